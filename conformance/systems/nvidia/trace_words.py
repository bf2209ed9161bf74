"""Stores and accesses of registers in words: what the events of a trace mean for the MMU.

Tables are named as the format names them: ``PD0``, ``LPT`` (of large pages), ``SPT`` (of small
ones). Where an entry of the last directory leads to both, the walk looks at the large one first;
what that says about the small one is told with it.

An invalidation is one line: the reads of STATUS that wait for a free slot, the address space
that is selected, the start, and the reads that wait for its end. Its scope is always all pages
of an address space, or of all of them: the registers have no range, and how deep a change goes,
which drivers work out, is written nowhere.

Source: ``reference.formats.nvidia``; the registers of ``reference.systems.nvidia.device``;
formats.md D.2, D.7 for the instance block, D.3 for the types 0xb (faults are replayed) and 0x1b (a
fault is cancelled).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from reference import trace as t
from reference.formats.entry import HOLE, INVALID, LEAF, TABLE, Half
from reference.formats.format import Format
from reference.formats.nvidia import APERTURE_NAMES, meaning_text
from reference.numbers import size_text
from reference.systems.gpuvm.events import VMA_ADD, VMA_REMOVE
from reference.systems.nvidia import device as mmu
from reference.systems.nvidia.events import AREA_NO_PAGE
from reference.words import to_signed, to_unsigned
from reports.counterexample import Note
from reports.registers import Accesses, last_showing
from reports.stores import annotate_tree

# -- entries ----------------------------------------------------------------------------------

_WORD: Final = 8
_INSTANCE_ROOT: Final = 0x200
"""Byte of an instance block at which the root's address stands, and flags below it."""
_INSTANCE_LIMIT: Final = 0x208
"""Byte of an instance block at which the last input address stands."""
_ROOT_FLAGS: Final = (
    (1 << 2, "volatile"),
    (3 << 4, "faults replayed"),
    (1 << 10, "second format"),
    (1 << 11, "64K large pages"),
)


def half_text(fmt: Format, table: int, half: Half, word: int) -> str:
    """What a half of an entry of table number ``table`` says; ``word`` is held or not.

    A page is told with its address and meaning; of large entries it is said what they mean for
    the small ones.
    """
    held = to_signed(word)
    role = int(half.role(held))
    if role == LEAF:
        meaning = meaning_text(int(fmt.meaning(table, held)))
        return f"page pa={int(half.output(held)):#x} {meaning}"
    text = half.candidate(held).kind.describe(held)
    if table == fmt.large and role == INVALID:
        return f"{text} (small pages decide)"
    if table == fmt.large and role == HOLE:
        return f"{text} (small pages are not looked at)"
    return text


def word_text(fmt: Format, table: int, part: int, word: int) -> str:
    """What word ``part`` (0 or 1) of an entry says, both halves where they share it."""
    parts = []
    for half in fmt.tables[table].halves:
        if half.word == part:
            text = half_text(fmt, table, half, word)
            parts.append(f"{half.name}: {text}" if half.name else text)
    return "; ".join(parts)


class NvidiaTree:
    """Tables of an NVIDIA format; see :class:`reports.stores.Tree`."""

    def __init__(self, fmt: Format) -> None:
        """``fmt``: the format of all tables of the trace."""
        self.format = fmt
        self.granule = 256
        self.root = 0

    def entry_va(self, level: int, va: int, offset: int) -> int:
        """The first input address of the entry at a byte of a table."""
        one = self.format.tables[level]
        return va + offset // (_WORD * int(one.words)) * int(one.span)

    def _part(self, level: int, offset: int) -> int:
        """Which word of its entry a byte of a table is in."""
        return offset // _WORD % int(self.format.tables[level].words)

    def links(self, level: int, offset: int, word: int) -> list[tuple[int, int]]:
        """(physical address, number) of each table that a word leads to."""
        fmt = self.format
        found = []
        for half in fmt.tables[level].halves:
            if half.child < 0 or half.word != self._part(level, offset):
                continue
            if half.role(word) == TABLE:
                found.append((int(half.output(word)), int(half.child)))
        return found

    def is_valid(self, level: int, offset: int, word: int) -> bool:
        """Whether a word is more than unmapped, or a hole."""
        fmt = self.format
        return any(
            half.word == self._part(level, offset) and half.role(word) not in (INVALID, HOLE)
            for half in fmt.tables[level].halves
        )

    def table_text(self, level: int, va: int) -> str:
        """Which table it is."""
        one = self.format.tables[level]
        if level == self.root:
            return f"{one.name}, the root table"
        return f"{one.name} of {va:#x} ({size_text(int(one.span << one.bits))})"

    def store_text(
        self, level: int, va: int, offset: int, old: int, new: int, written: bool
    ) -> str:
        """Which entry a store changes, and how."""
        fmt = self.format
        one = fmt.tables[level]
        part = self._part(level, offset)
        where = (
            f"{one.name} entry of {self.entry_va(level, va, offset):#x} "
            f"({size_text(int(one.span))})"
        )
        now = word_text(fmt, level, part, new)
        if not written:
            return f"{where}: {now}; the first word written there"
        if fmt.same(level, old, new, part):
            return f"{where}: {now}; the same to the walker as before"
        return f"{where}: {word_text(fmt, level, part, old)} -> {now}"


def annotate(events: Sequence[t.Event], fmt: Format, alone: int | None = None) -> tuple[Note, ...]:
    """Notes for what the events of a trace mean for the tables, as ``reports.stores`` has them.

    Also: which pages areas say that they use, and what is stored in instance blocks.
    """
    notes = [
        *annotate_tree(events, NvidiaTree(fmt), alone, space_roots(events)),
        *_instance_notes(events),
    ]
    for number, event in enumerate(events):
        if event.kind in (VMA_ADD, VMA_REMOVE) and event.c & AREA_NO_PAGE < len(fmt.pages):
            page = fmt.pages[event.c & AREA_NO_PAGE]
            notes.append(Note(number, f"pages of {size_text(1 << int(page.shift))}"))
    return tuple(sorted(notes, key=lambda note: note.event))


def space_roots(events: Sequence[t.Event]) -> frozenset[int]:
    """The allocations, by number of their event, that are root tables of address spaces.

    The first allocation is one, and the first after a root was freed.
    """
    found: set[int] = set()
    root = -1
    for number, event in enumerate(events):
        if event.kind == t.ALLOC and root < 0:
            root = event.a
            found.add(number)
        elif event.kind == t.FREE and event.a == root:
            root = -1
    return frozenset(found)


def _instance_notes(events: Sequence[t.Event]) -> list[Note]:
    """What is written to instance blocks: memory that is handed out where a root is attached."""
    notes: list[Note] = []
    begin = 0
    for number, event in enumerate(events):
        if event.kind == t.BEGIN:
            begin = number
        if event.kind != t.ATTACH:
            continue
        blocks: set[int] = set()
        for at in range(begin, number):
            one = events[at]
            if one.kind == t.ALLOC:
                blocks.add(one.a)
                notes.append(Note(at, "instance block"))
            elif one.kind == t.STORE and one.a - _INSTANCE_ROOT in blocks:
                notes.append(Note(at, f"instance block: {_root_text(one.c)}"))
            elif one.kind == t.STORE and one.a - _INSTANCE_LIMIT in blocks:
                limit = to_unsigned(one.c)
                notes.append(Note(at, f"instance block: the last address is {limit:#x}"))
    return notes


def _root_text(word: int) -> str:
    """Where an instance block says that the root is."""
    word = to_unsigned(word)
    flags = "".join(f", {name}" for mask, name in _ROOT_FLAGS if word & mask)
    return f"root {word & ~0xFFF:#x} in {APERTURE_NAMES[word & 3]}{flags}"


# -- invalidation registers -------------------------------------------------------------------

_SELECTS: Final = (mmu.SELECT, mmu.SELECT_HIGH)
_NAMES: Final = {
    mmu.STATUS: "STATUS",
    mmu.SELECT: "PDB",
    mmu.SELECT_HIGH: "PDB, high half",
    mmu.START: "INVALIDATE",
}
_MOST_TOLD: Final = 16
"""So many identical answers in a row a trace has at most; there may have been more."""

_REPLAY_LOW: Final = 3
_REPLAYS: Final = {1: "faults replayed", 3: "a fault cancelled"}
"""What bits 5:3 of a type say."""
_TYPE_BITS: Final = mmu.PAGE_ALL | mmu.ALL_PDB | mmu.HUB_ONLY | 7 << _REPLAY_LOW


def _is_access(event: t.Event) -> bool:
    """Whether an event is an access of one of the registers."""
    if event.kind not in (t.REG_READ, t.REG_WRITE) or not 0 <= event.b <= 0xFFFF_FFFF:
        return False
    return event.a in _NAMES


def _is_poll(event: t.Event) -> bool:
    return _is_access(event) and event.kind == t.REG_READ and event.a == mmu.STATUS


def _is_select(event: t.Event) -> bool:
    return _is_access(event) and event.kind == t.REG_WRITE and event.a in _SELECTS


def _is_start(event: t.Event) -> bool:
    if not _is_access(event) or event.kind != t.REG_WRITE or event.a != mmu.START:
        return False
    return event.b & mmu.START_NOW != 0


class _Known:
    """What the accesses so far say about the registers."""

    def __init__(self) -> None:
        self.select: int | None = None
        self.select_high = 0
        self.running = 0
        """Invalidations that were started and not seen to end."""

    def feed(self, event: t.Event) -> bool:
        """Take one event; whether it shows that an invalidation has ended."""
        if not _is_access(event):
            return False
        if event.kind == t.REG_WRITE:
            if event.a == mmu.SELECT:
                self.select = event.b
            elif event.a == mmu.SELECT_HIGH:
                self.select_high = event.b
            elif _is_start(event):
                self.running += 1
        elif event.a == mmu.STATUS and event.b & mmu.STATUS_DONE and self.running:
            self.running = 0
            return True
        return False

    def pdb_text(self) -> str:
        """The address space that is selected."""
        if self.select is None:
            return "of no PDB that was selected"
        return f"PDB {_pdb_text(self.select_high << 32 | self.select)}"


def _pdb_text(word: int) -> str:
    """The root's address, and which memory it is in."""
    return f"{word >> 4 << 12:#x} in {APERTURE_NAMES[word & 3]}"


def _type_text(kind: int) -> list[str]:
    """What a type says beside which address spaces it is about."""
    parts = ["all pages" if kind & mmu.PAGE_ALL else "not all pages"]
    if kind & mmu.HUB_ONLY:
        parts.append("in the hub's caches only")
    replay = kind >> _REPLAY_LOW & 7
    if replay:
        parts.append(_REPLAYS.get(replay, f"replay {replay}"))
    if kind & ~_TYPE_BITS:
        parts.append(f"and {kind & ~_TYPE_BITS:#x}")
    return parts


def _status_text(word: int) -> str:
    slots = (word & mmu.STATUS_SLOTS) >> 16
    told = f"{slots} free slots" if slots != 1 else "1 free slot"
    told += ", all done" if word & mmu.STATUS_DONE else ", not all done"
    more = word & ~(mmu.STATUS_SLOTS | mmu.STATUS_DONE)
    return told + (f" ({word:#x})" if more else "")


def _access_text(event: t.Event, count: int, known: _Known) -> str:
    """``count`` equal accesses that are no part of an invalidation; ``known``: with them."""
    write = event.kind == t.REG_WRITE
    verb = "reg-write" if write else "reg-read"
    if event.a == mmu.STATUS and not write:
        value = _status_text(event.b)
    elif event.a == mmu.SELECT:
        value = _pdb_text(known.select_high << 32 | event.b)
    else:
        value = f"{event.b:#x}"
    often = f" {_times(count)}" if count > 1 else ""
    return f"{verb:<11} {_NAMES[event.a]}{often}{' =' if write else ':'} {value}"


def _times(count: int) -> str:
    """How often equal answers came: a trace does not have all of them."""
    return f"{count} times{' or more' if count >= _MOST_TOLD else ''}"


# -- what belongs together ------------------------------------------------------------------


@dataclass
class _Found:
    """The accesses of one invalidation, by number of their events; ``last`` of all of them."""

    slots: list[int]
    start: int
    waits: list[int]
    last: int


def _reads(events: Sequence[t.Event], at: int, last: int, wanted: int) -> list[int]:
    """The reads of STATUS from event ``at`` on, to the first that has a bit of ``wanted``."""
    found: list[int] = []
    while at <= last and _is_poll(events[at]):
        found.append(at)
        if events[at].b & wanted:
            break
        at += 1
    return found


def _same(events: Sequence[t.Event], first: int, last: int) -> int:
    """The last of the reads from event ``first`` on that all got the same answer."""
    one = events[first]
    at = first
    while _is_poll(one) and at < last and events[at + 1] == one:
        at += 1
    return at


def _invalidation(events: Sequence[t.Event], first: int, last: int) -> _Found | None:
    """The invalidation whose accesses begin with event ``first``; None if none does."""
    cpu = events[first].cpu
    slots = _reads(events, first, last, mmu.STATUS_SLOTS)
    at = first + len(slots)
    while at <= last and _is_select(events[at]):
        at += 1
    if at > last or not _is_start(events[at]):
        return None
    waits = _reads(events, at + 1, last, mmu.STATUS_DONE)
    end = waits[-1] if waits else at
    if any(events[number].cpu != cpu for number in range(first, end + 1)):
        return None
    return _Found(slots, at, waits, end)


def _count_text(count: int) -> str:
    more = " or more" if count >= _MOST_TOLD else ""
    return "1 read" if count == 1 else f"{count} reads{more}"


def _invalidation_text(events: Sequence[t.Event], found: _Found, known: _Known) -> str:
    """``known``: with the accesses up to the start."""
    kind = events[found.start].b & ~mmu.START_NOW
    parts = ["all PDBs" if kind & mmu.ALL_PDB else known.pdb_text(), *_type_text(kind)]
    full = [at for at in found.slots if not events[at].b & mmu.STATUS_SLOTS]
    if full and len(full) == len(found.slots):
        parts.append(f"with no free slot in {_count_text(len(full))}")
    elif full:
        parts.append(f"after {_count_text(len(full))} without a free slot")
    words = ", ".join(parts)
    if found.waits:
        busy = [at for at in found.waits if not events[at].b & mmu.STATUS_DONE]
        if len(busy) == len(found.waits):
            words += f": not seen to end in {_count_text(len(busy))}"
        else:
            words += f": seen to end{f', after {_count_text(len(busy))}' if busy else ''}"
    return f"invalidate  {words}"


class NvidiaRegisters:
    """The invalidation registers, see :class:`reports.registers.Decoder`."""

    def accesses(
        self, events: Sequence[t.Event], first: int, last: int, alone: int | None
    ) -> list[Accesses]:
        """Every access among events ``first``..``last`` of one of the registers, in order."""
        return list(self._accesses(events, first, last, alone))

    def _accesses(
        self, events: Sequence[t.Event], first: int, last: int, alone: int | None
    ) -> Iterator[Accesses]:
        known = _Known()
        for number in range(first):
            known.feed(events[number])
        at = first
        while at <= last:
            if not _is_access(events[at]):
                at += 1
                continue
            limit = last
            if alone is not None and at <= alone <= last:
                limit = alone if at == alone else alone - 1
            found = _invalidation(events, at, limit)
            end = _same(events, at, limit) if found is None else found.last
            told = end if found is None else found.start
            ended = False
            for number in range(at, told + 1):
                ended = known.feed(events[number]) or ended
            if found is None:
                text = _access_text(events[at], end + 1 - at, known)
            else:
                text = _invalidation_text(events, found, known)
            text += "; the invalidation before is seen to end" * ended
            for number in range(told + 1, end + 1):
                known.feed(events[number])
            yield Accesses(at, end, text)
            at = end + 1

    def completion(self, events: Sequence[t.Event], end: int) -> int | None:
        """The last event before ``end`` that showed an invalidation to have ended."""
        return last_showing(_Known().feed, events, end)
