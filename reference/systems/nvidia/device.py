"""NVIDIA's MMU: its invalidation registers, and what an invalidation promises.

Tables, walks and caches are those of :class:`reference.hardware.paired_machine.PairedMachine`. A
context is an address space by its PDB, the root's address. An invalidation is of one address space
or of all, and covers every entry that was replaced before it was started, once it is seen to be
over; without the type PAGE_ALL, or in the hub's caches only, it covers less, and counts as covering
nothing.

Source: formats.md D.3, D.7, F.1.
"""

from typing import Final

from mypy_extensions import i64

from reference.formats.format import Format
from reference.formats.nvidia import VRAM, table_apertures
from reference.hardware.observation import ISSUED_UNSEEN, OBSERVATIONS
from reference.hardware.paired_context import PairedContext
from reference.hardware.paired_machine import PairedMachine
from reference.hardware.paired_walker import PairedWalker
from reference.trace import REG_READ, REG_WRITE

# -- registers ----------------------------------------------------------------------------

STATUS: Final = 0x100C80
"""Bits 23:16: free slots for invalidations; bit 15: all that were started are over."""
SELECT: Final = 0x100CB8
"""The PDB to invalidate: bits 39:12 of the root's address at 31:4, its aperture at 1:0."""
START: Final = 0x100CBC
"""Bit 31 starts an invalidation; the rest is its type."""
SELECT_HIGH: Final = 0x100CEC
"""From GP100 on: the bits of SELECT from 32 up, for roots at 2**40 and above."""

STATUS_SLOTS: Final = 0xFF0000
STATUS_DONE: Final = 0x8000
START_NOW: Final = 0x80000000

PAGE_ALL: Final = 1
"""Type: all pages. Without it, those that other registers name."""
ALL_PDB: Final = 2
"""Type: all address spaces; SELECT does not count."""
HUB_ONLY: Final = 4
"""Type: in the hub's caches only, which is where BAR accesses go."""


def pdb_of(root: int, aperture: int = VRAM) -> tuple[int, int]:
    """SELECT and SELECT_HIGH for the root table at ``root``, 0 to 2**52-1, a multiple of 4096."""
    word = root >> 12 << 4 | aperture
    return word & 0xFFFF_FFFF, word >> 32


class Invalidation:
    """One invalidation."""

    def __init__(self, kind: i64, started: i64, contexts: list[PairedContext]) -> None:
        self.kind: i64 = kind
        """Its type: what START took, without the bit that starts it."""
        self.started: i64 = started
        """Number of the event that started it."""
        self.completed: i64 = -1
        """Number of the event that showed that it is over; -1: not yet."""
        self.contexts: list[PairedContext] = contexts
        """Those of which it covers all that may be cached."""


# -- what can be observed of them -----------------------------------------------------------

STARTED_BUSY: Final = OBSERVATIONS
"""An invalidation was started before those before it were seen to be over."""
STARTED_FULL: Final = OBSERVATIONS + 1
"""An invalidation was started and no free slot was seen since the one before."""
STARTED_OTHER: Final = OBSERVATIONS + 2
"""An invalidation was started for another PDB than that of a root."""
STARTED_UNSELECTED: Final = OBSERVATIONS + 3
"""An invalidation was started before any PDB was selected."""
STARTED_NARROW: Final = OBSERVATIONS + 4
"""An invalidation was started that does not cover all pages, or not all caches."""
SELECTED_BUSY: Final = OBSERVATIONS + 5
"""The PDB was selected while an invalidation may be under way."""
NVIDIA_OBSERVATIONS: Final = OBSERVATIONS + 6


class NvidiaMmu(PairedMachine):
    """The MMU of a device, kept up to date by events, with one address space.

    Args:
        fmt: the format of its tables.
        tables_in: the aperture that all tables are in.
    """

    def __init__(self, fmt: Format, tables_in: int = VRAM) -> None:
        super().__init__(fmt, table_apertures(tables_in), NVIDIA_OBSERVATIONS)
        self.tables_in: i64 = tables_in
        """The aperture that all tables are in."""
        self.walker: PairedWalker = PairedWalker(self.links, self.current)
        """What memory says of an address of the address space."""
        self.has_select_high: bool = fmt.last_directory > 0
        """Whether there is a register for the high half of a PDB."""
        self.gpc: bool = True
        """Whether more than the hub (which serves the BARs) walks the tables; where it does, an
        invalidation of the hub's caches covers too little."""
        self.select: i64 = 0
        """What SELECT holds."""
        self.select_high: i64 = 0
        """What SELECT_HIGH holds."""
        self.selected: bool = False
        """Whether SELECT was written."""
        self.slot_seen: bool = False
        """Whether a free slot was seen since an invalidation was started."""
        self.running: list[Invalidation] = []
        """Those that were not seen to be over."""
        self.invalidations: list[Invalidation] = []
        """All of them, in order."""

    def take(self, kind: i64, a: i64, b: i64, c: i64) -> None:
        """Take one event, which has number ``now``."""
        if kind == REG_READ:
            self._read(a, b)
        elif kind == REG_WRITE:
            self._written(a, b)
        else:
            super().take(kind, a, b, c)

    def assume_invalidated(self) -> None:
        """Take all that was replaced as gone, after it was reported that it may be cached."""
        for context in self.contexts:
            self.links.invalidated(context, self.now + 1)

    def _written(self, register: i64, value: i64) -> None:
        if register == START:
            if value & START_NOW:
                self._start(value & ~START_NOW)
        elif register == SELECT or (register == SELECT_HIGH and self.has_select_high):
            self.counts[SELECTED_BUSY] += 1
            if self.running:
                self._say(SELECTED_BUSY, value, -1)
            if register == SELECT:
                self.select = value & 0xFFFF_FFFF
                self.selected = True
            else:
                self.select_high = value & 0xFFFF_FFFF

    def _read(self, register: i64, value: i64) -> None:
        if register != STATUS:
            return
        if value & STATUS_SLOTS:
            self.slot_seen = True
        if value & STATUS_DONE and self.running:
            for one in self.running:
                one.completed = self.now
                for context in one.contexts:
                    self.links.invalidated(context, one.started)
            self.running.clear()

    def _start(self, kind: i64) -> None:
        """An invalidation is started."""
        for counted in (ISSUED_UNSEEN, STARTED_BUSY, STARTED_FULL, STARTED_NARROW):
            self.counts[counted] += 1
        if self.is_unseen():
            self._say(ISSUED_UNSEEN, kind, -1)
        if self.running:
            self._say(STARTED_BUSY, kind, -1)
        if not self.slot_seen:
            self._say(STARTED_FULL, kind, -1)
        self.slot_seen = False
        narrow = not kind & PAGE_ALL or (self.gpc and bool(kind & HUB_ONLY))
        if narrow:
            self._say(STARTED_NARROW, kind, -1)
        reached = self.contexts.copy() if kind & ALL_PDB else self._selected(kind)
        one = Invalidation(kind, self.now, [] if narrow else reached)
        self.running.append(one)
        self.invalidations.append(one)

    def _selected(self, kind: i64) -> list[PairedContext]:
        """The contexts whose PDB is selected."""
        self.counts[STARTED_OTHER] += 1
        self.counts[STARTED_UNSELECTED] += 1
        found: list[PairedContext] = []
        word: i64 = self.select | (self.select_high << 32)
        pa: i64 = (word >> 4) << 12
        if not self.selected:
            self._say(STARTED_UNSELECTED, kind, -1)
        elif (word & 3) == self.tables_in:
            found.extend([one for one in self.contexts if one.root == pa])
        if self.selected and not found:
            self._say(STARTED_OTHER, kind, pa)
        return found

    def _say(self, kind: i64, value: i64, pa: i64) -> None:
        """Write an observation of a register down."""
        self.observe(kind, -1, -1, 0, value, pa, 0)
