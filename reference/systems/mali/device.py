"""The MMU of Arm's Mali GPUs with a command stream frontend: registers and address spaces.

A GPU has up to 16 *address spaces* (AS), each with a block of registers. What a driver writes
there is not what the MMU uses: the command UPDATE latches the root and how to walk from it.
Commands run on their own. One is in effect when STATUS was read with AS_ACTIVE clear after it,
not before; until then the state before and the state after it are both possible.

``MaliMmu`` observes a trace: ``feed`` takes the events, in which the values that were read stand
already. What no register tells (a fault, a reset, power) is said by methods. It judges nothing.
What is worth a rule's attention becomes an ``MmuObservation``, and ``counts`` says how often there
could have been one. ``MaliDevice`` is what a driver works with where there is no hardware:
``write`` and ``read`` are its accesses, and ``read`` says what the register holds.

Registers are 32 bits wide, and two of them, low half first, hold a 64-bit value. Such values are
unsigned numbers here, 0 to 2**64 - 1. ``slot`` is always the number of an AS, 0 to 15; ranges of
input addresses are in bytes and inclusive.

Arm has published no manual of these registers. What is known comes from drivers, and what is not
known is said where it matters.

Source: formats.md B.1, B.3, B.4; semantics.md "The maximal TLB".
"""

from typing import Final

from mypy_extensions import i64

from reference.hardware.tlb import TOP_VA
from reference.trace import REG_READ, REG_WRITE, WORDS
from reference.words import bits, to_signed

# -- registers ----------------------------------------------------------------------------

READ_ONLY: Final = "r"
WRITE_ONLY: Final = "w"
READ_WRITE: Final = "rw"


class Register:
    """One register: a line of the table.

    ``offset``: bytes from the start of the GPU's registers, or of the AS's block; ``width``: 32
    or 64 bits; ``access``: READ_ONLY, WRITE_ONLY or READ_WRITE; ``source``: where it is stated.
    """

    def __init__(
        self, name: str, offset: int, width: int, access: str, meaning: str, source: str
    ) -> None:
        self.name: str = name
        self.offset: int = offset
        self.width: int = width
        self.access: str = access
        self.meaning: str = meaning
        self.source: str = source


_B1: Final = "formats.md B.1; Linux panthor_regs.h"

MMU_FEATURES: Final = "GPU_MMU_FEATURES"
AS_PRESENT: Final = "GPU_AS_PRESENT"
INT_RAWSTAT: Final = "MMU_INT_RAWSTAT"
INT_CLEAR: Final = "MMU_INT_CLEAR"
INT_MASK: Final = "MMU_INT_MASK"
INT_STAT: Final = "MMU_INT_STAT"
TRANSTAB: Final = "TRANSTAB"
MEMATTR: Final = "MEMATTR"
LOCKADDR: Final = "LOCKADDR"
COMMAND: Final = "COMMAND"
FAULTSTATUS: Final = "FAULTSTATUS"
FAULTADDRESS: Final = "FAULTADDRESS"
STATUS: Final = "STATUS"
TRANSCFG: Final = "TRANSCFG"
FAULTEXTRA: Final = "FAULTEXTRA"

GPU_REGISTERS: Final = (
    Register(MMU_FEATURES, 0x14, 32, READ_ONLY, "7:0 input bits, 15:8 output bits", _B1),
    Register(AS_PRESENT, 0x18, 32, READ_ONLY, "a bit for each AS that exists", _B1),
    Register(INT_RAWSTAT, 0x2000, 32, READ_ONLY, "15:0 fault, 31:16 command complete, by AS", _B1),
    Register(INT_CLEAR, 0x2004, 32, WRITE_ONLY, "ones clear the bits of RAWSTAT", _B1),
    Register(INT_MASK, 0x2008, 32, READ_WRITE, "ones let the bits of RAWSTAT through", _B1),
    Register(INT_STAT, 0x200C, 32, READ_ONLY, "RAWSTAT and MASK; not 0: interrupt", _B1),
)
"""The registers that exist once."""

AS_BASE: Final = 0x2400
"""Where the block of AS 0 begins (formats.md B.1)."""
AS_SIZE: Final = 0x40
"""Bytes from one block to the next (formats.md B.1)."""
AS_LIMIT: Final = 16
"""How many AS have bits in the interrupt registers (formats.md B.1)."""

AS_REGISTERS: Final = (
    Register(TRANSTAB, 0x00, 64, READ_WRITE, "address of the root table", _B1),
    Register(MEMATTR, 0x08, 64, READ_WRITE, "eight memory types of a byte each", _B1),
    Register(LOCKADDR, 0x10, 64, READ_WRITE, "region for LOCK: base, and width in 5:0", _B1),
    Register(COMMAND, 0x18, 32, WRITE_ONLY, "starts a command", _B1),
    Register(FAULTSTATUS, 0x1C, 32, READ_ONLY, "what the fault was", _B1),
    Register(FAULTADDRESS, 0x20, 64, READ_ONLY, "input address of the fault", _B1),
    Register(STATUS, 0x28, 32, READ_ONLY, "bit 0 AS_ACTIVE: a command is running", _B1),
    Register(TRANSCFG, 0x30, 64, READ_WRITE, "how to walk", _B1),
    Register(FAULTEXTRA, 0x38, 64, READ_ONLY, "more about the fault", _B1),
)
"""The registers of each AS, by their offset in its block."""

NO_SLOT: Final = -1
"""In place of the number of an AS: a register that exists once."""


class Place:
    """What stands at an offset: ``register`` of AS ``slot``, or NO_SLOT; ``high``: upper half."""

    def __init__(self, slot: int, register: Register, high: bool) -> None:
        self.slot: int = slot
        self.register: Register = register
        self.high: bool = high


def _all_places() -> dict[int, Place]:
    places: dict[int, Place] = {}
    for register in GPU_REGISTERS:
        places[register.offset] = Place(NO_SLOT, register, False)
    for slot in range(AS_LIMIT):
        for register in AS_REGISTERS:
            offset = AS_BASE + AS_SIZE * slot + register.offset
            places[offset] = Place(slot, register, False)
            if register.width == 64:
                places[offset + 4] = Place(slot, register, True)
    return places


_PLACES: Final[dict[int, Place]] = _all_places()
_OFFSETS: Final[dict[tuple[str, int], int]] = {
    (place.register.name, place.slot): offset for offset, place in _PLACES.items() if not place.high
}


def place_at(offset: int) -> Place | None:
    """What register is at byte ``offset``; None: no register of the MMU (formats.md B.1)."""
    return _PLACES.get(offset)


def offset_of(name: str, slot: int = NO_SLOT) -> int:
    """The byte offset of a register's lower half: the way back from ``place_at``.

    Raises:
        ValueError: there is no such register, or AS.
    """
    offset = _OFFSETS.get((name, slot))
    if offset is not None:
        return offset
    names = [register.name for register in (*GPU_REGISTERS, *AS_REGISTERS)]
    raise ValueError(
        f"register is {name!r} of AS {slot}; allowed are {', '.join(names)}, "
        f"those of an AS with 0 to {AS_LIMIT - 1}, the others with {NO_SLOT}"
    )


# -- commands -----------------------------------------------------------------------------

NOP: Final = 0
"""Nothing."""
UPDATE: Final = 1
"""Latch TRANSTAB, TRANSCFG and MEMATTR."""
LOCK: Final = 2
"""Accesses to the region in LOCKADDR stall from now on."""
UNLOCK: Final = 3
"""Accesses to the locked region go on."""
FLUSH_PT: Final = 4
"""Flush the L2 cache and invalidate what the MMU has cached for the locked region."""
FLUSH_MEM: Final = 5
"""As FLUSH_PT, and flush the caches of the shader cores too."""
BY_RESET: Final = 16
"""Not a command: what was cached is gone because the GPU was reset."""
BY_POWER_OFF: Final = 17
"""Not a command: what was cached is gone because power was off."""

COMMANDS: Final = (NOP, UPDATE, LOCK, UNLOCK, FLUSH_PT, FLUSH_MEM)
"""Those that exist (formats.md B.1)."""

COMMAND_NAMES: Final[dict[int, str]] = {
    NOP: "NOP",
    UPDATE: "UPDATE",
    LOCK: "LOCK",
    UNLOCK: "UNLOCK",
    FLUSH_PT: "FLUSH_PT",
    FLUSH_MEM: "FLUSH_MEM",
    BY_RESET: "reset",
    BY_POWER_OFF: "power off",
}
"""For people (formats.md B.1)."""

ACTIVE: Final = 1
"""STATUS: a command is running."""

_OPERANDS: Final[dict[int, tuple[str, ...]]] = {
    UPDATE: (TRANSTAB, TRANSCFG, MEMATTR),
    LOCK: (LOCKADDR,),
    UNLOCK: (LOCKADDR,),
    FLUSH_PT: (LOCKADDR,),
    FLUSH_MEM: (LOCKADDR,),
}
"""The registers that a command may look at while it runs."""


# -- LOCKADDR -----------------------------------------------------------------------------

LOCK_MINIMUM: Final = 1 << 15
"""Bytes in the smallest region that can be locked (formats.md B.1)."""
_LOCK_MINIMUM_BITS: Final = 15
_WORD_LIMIT: Final = 1 << 64


def lock_address(start: int, size: int) -> int | None:
    """LOCKADDR for a lock of ``size`` bytes from ``start``; None for no bytes: there is no lock.

    A region is a naturally aligned power of two. The smallest that holds both ends begins with
    the highest bit in which they differ. 0 <= start, start + size <= 2**64. Source: formats.md B.1.

    Raises:
        ValueError: the range does not fit in 64 bits.
    """
    if start < 0 or size < 0 or start + size > _WORD_LIMIT:
        raise ValueError(f"range is {start:#x}, {size:#x} bytes; allowed are ranges in 64 bits")
    if size == 0:
        return None
    differ = start ^ (start + size - 1)
    width = max(differ.bit_length(), _LOCK_MINIMUM_BITS) - 1
    # The driver leaves bit ``width`` in the base, and the hardware ignores it.
    return (start >> width) << width | width


def locked_range(lockaddr: int) -> tuple[int, int] | None:
    """First and last address of the region that LOCKADDR names; None: smaller than allowed.

    The region has 2**(width + 1) bytes, and all bits of the base below that are ignored. What
    the hardware does with a smaller region than ``LOCK_MINIMUM`` is not known. Source: formats.md
    B.1.
    """
    region_bits = (lockaddr & 0x3F) + 1
    if region_bits < _LOCK_MINIMUM_BITS:
        return None
    first = (lockaddr >> region_bits) << region_bits
    return first, first + (1 << region_bits) - 1


# -- TRANSCFG -----------------------------------------------------------------------------

MODE_UNMAPPED: Final = 1
"""No access is translated: the AS is disabled."""
MODE_IDENTITY: Final = 2
"""Addresses go through as they are; nothing is walked."""
MODE_4K: Final = 6
"""Walks LPAE tables of 4 KiB (``lpae-s1``)."""
MODE_64K: Final = 8
"""Walks LPAE tables of 64 KiB."""

TRANSCFG_FIELDS: Final = (
    ("mode", 3, 0, "1 unmapped, 2 identity, 6 AArch64 4K, 8 AArch64 64K"),
    ("INA_BITS", 10, 6, "55 - input bits"),
    ("OUTA_BITS", 18, 14, "output bits, coded; 0: as many as there are"),
    ("SL_CONCAT", 22, 22, "tables of the first level are concatenated"),
    ("PTW_MEMATTR", 25, 24, "walks are: 1 not cached, 2 write-back"),
    ("PTW_SH", 29, 28, "walks are: 0 not shareable, 2 outer, 3 inner shareable"),
    ("PTW_RA", 30, 30, "walks allocate on read"),
    ("DISABLE_HIER_AP", 33, 33, "permissions in table entries are ignored"),
    ("DISABLE_AF_FAULT", 34, 34, "a clear access flag is no fault"),
    ("WXN", 35, 35, "what can be written cannot be executed"),
    ("XREADABLE", 36, 36, "what can be executed can be read"),
)
"""Name, highest bit, lowest bit and meaning of the fields of TRANSCFG (formats.md B.1)."""

_INA_BASE: Final = 55
_PTW_WRITE_BACK: Final = 2 << 24
_PTW_OUTER: Final = 2 << 28
_PTW_READ_ALLOCATE: Final = 1 << 30


def transcfg_of(va_bits: int, coherent: bool) -> int:
    """TRANSCFG of an AS that walks tables of 4 KiB.

    ``va_bits``: input bits, 24 to 55; ``coherent``: walks snoop the CPU's caches. Source:
    formats.md B.1.

    Raises:
        ValueError: ``va_bits`` cannot be expressed.
    """
    if not _INA_BASE - 31 <= va_bits <= _INA_BASE:
        raise ValueError(f"va_bits is {va_bits}; allowed are {_INA_BASE - 31} to {_INA_BASE}")
    word = _PTW_WRITE_BACK | _PTW_READ_ALLOCATE | (_INA_BASE - va_bits) << 6 | MODE_4K
    return word | _PTW_OUTER if coherent else word


def transcfg_fields(word: int) -> dict[str, int]:
    """The fields of a TRANSCFG by name (formats.md B.1)."""
    held = to_signed(word)
    return {name: bits(held, high, low) for name, high, low, _ in TRANSCFG_FIELDS}


# -- MEMATTR ------------------------------------------------------------------------------

_NON_CACHED: Final = 0x4C
_WRITE_BACK: Final = 0x8C
_CPU_INNER: Final = 0x10


def mair_to_memattr(mair: int, coherent: bool) -> int:
    """MEMATTR for the eight attributes of an Arm MAIR, a byte each.

    Write-back inside and outside is write-back with the inner hints of allocation; all else is
    not cached. ``coherent``: the inner shareable domain is the CPU's. Source: formats.md B.1.
    """
    memattr = 0
    for shift in range(0, 64, 8):
        outer = mair >> (shift + 4) & 0xF
        inner = mair >> shift & 0xF
        attribute = _NON_CACHED
        if outer & 3 and outer & 4 and inner & 4:
            attribute = _WRITE_BACK | inner & 3 | (_CPU_INNER if coherent else 0)
        memattr |= attribute << shift
    return memattr


# -- FAULTSTATUS --------------------------------------------------------------------------

ACCESS_ATOMIC: Final = 0
ACCESS_EXECUTE: Final = 1
ACCESS_READ: Final = 2
ACCESS_WRITE: Final = 3
ACCESS_NAMES: Final = ("atomic", "execute", "read", "write")
"""Names of bits 9:8 of FAULTSTATUS (formats.md B.1)."""

EXCEPTIONS: Final = (
    (0xC0, 0xC4, 0, "translation fault"),
    (0xC8, 0xCB, 0, "permission fault"),
    (0xD9, 0xDB, 1, "access flag fault"),
    (0xE0, 0xE0, -1, "input address size fault"),
    (0xE4, 0xE7, 0, "output address size fault"),
    (0xE8, 0xEB, 0, "memory attribute fault"),
)
"""First and last code, the level that the first one means (-1: none), name (formats.md B.1)."""


class Fault:
    """A FAULTSTATUS in its parts.

    ``code``: bits 7:0; ``exception``: its name, "" if it has none; ``level``: of the walk, 0 to
    4, or -1; ``access``: an ACCESS_* number; ``decoder``: bit 10; ``source``: who accessed,
    bits 31:16. Source: formats.md B.1.
    """

    def __init__(self, status: int) -> None:
        self.code: int = status & 0xFF
        self.access: int = status >> 8 & 3
        self.decoder: bool = bool(status >> 10 & 1)
        self.source: int = status >> 16 & 0xFFFF
        self.exception: str = ""
        self.level: int = -1
        for first, last, level, name in EXCEPTIONS:
            if first <= self.code <= last:
                self.exception = name
                self.level = level if level < 0 else level + self.code - first

    def text(self) -> str:
        """For people: "translation fault at level 3, write, source 0x12"."""
        what = self.exception or f"unknown exception {self.code:#x}"
        where = "" if self.level < 0 else f" at level {self.level}"
        return f"{what}{where}, {ACCESS_NAMES[self.access]}, source {self.source:#x}"


def faultstatus_of(code: int, access: int, source: int) -> int:
    """FAULTSTATUS of an exception ``code``, 0 to 0xff; ``access``: ACCESS_*; ``source``: 16 bits.

    Source: formats.md B.1.
    """
    return code & 0xFF | (access & 3) << 8 | (source & 0xFFFF) << 16


# -- what is in use, what was flushed, what is worth a look -------------------------------


class Latched:
    """What an AS works with: the values that UPDATE took from the registers."""

    def __init__(self, transtab: int, transcfg: int, memattr: int) -> None:
        self.transtab: int = transtab
        self.transcfg: int = transcfg
        self.memattr: int = memattr

    def mode(self) -> int:
        """MODE_*, or a reserved number."""
        return self.transcfg & 0xF

    def walks(self) -> bool:
        """Whether accesses are translated by tables. What a reserved mode does is not known."""
        return self.mode() not in (MODE_UNMAPPED, MODE_IDENTITY)

    def input_bits(self) -> int:
        """How many bits input addresses have, 24 to 55."""
        return _INA_BASE - (self.transcfg >> 6 & 0x1F)


class Invalidation:
    """Everything cached for some input addresses of an AS goes, walk entries included.

    ``number``: counted from 0; ``slot``: the AS; ``first``, ``last``: inclusive, and at most
    TOP_VA, as ``Invalidations`` takes them; ``issued``: number of the event at which it was issued;
    ``kind``: FLUSH_PT, FLUSH_MEM, UNLOCK, UPDATE, BY_RESET or BY_POWER_OFF; ``roots``: those that
    the AS may have walked from when it was issued. ``completed``: number of the event that showed
    its completion, -1 until then.
    """

    def __init__(
        self,
        number: int,
        slot: int,
        region: tuple[int, int],
        issued: i64,
        kind: int,
        roots: set[int],
    ) -> None:
        self.number: int = number
        self.slot: int = slot
        self.first: int = min(region[0], TOP_VA)
        self.last: int = min(region[1], TOP_VA)
        self.issued: i64 = issued
        self.kind: int = kind
        self.roots: set[int] = roots
        self.completed: i64 = -1


COMMAND_BUSY: Final = 0
"""A command was written while one may be running. Neither is sure to be carried out."""
COMMAND_UNKNOWN: Final = 1
"""A command was written that does not exist."""
REGISTER_BUSY: Final = 2
"""A register changed while a command that looks at it may be running."""
UPDATE_UNFLUSHED: Final = 3
"""UPDATE of an AS that walks, whose last flush since the UPDATE before left something out."""
FLUSH_UNLOCKED: Final = 4
"""FLUSH_* without a locked region: it is not known to flush anything."""
LOCK_UNDEFINED: Final = 5
"""LOCK of a region that is smaller than the smallest."""
ROOT_ADDRESS: Final = 6
"""UPDATE with a root that is not at the start of a table, or beyond the output bits."""
MODE_RESERVED: Final = 7
"""UPDATE with a mode that is not known."""
ACCESS_ABSENT: Final = 8
"""A register of an AS was used that does not exist."""
ACCESS_OFF: Final = 9
"""A register was used while power was off."""
WRITTEN_READ_ONLY: Final = 10
"""A register was written that can only be read."""
OBSERVATIONS: Final = 11

OBSERVATION_NAMES: Final = (
    "command while busy",
    "unknown command",
    "register changed while a command runs",
    "update without a flush",
    "flush without a lock",
    "lock of a region that is too small",
    "root address",
    "reserved mode",
    "absent address space",
    "access without power",
    "write of a read-only register",
)
"""For people, by number."""


class MmuObservation:
    """Something that a rule may object to.

    ``kind``: one of the numbers above; ``event``: number of the event; ``slot``: the AS, or
    NO_SLOT; ``register``: its name; ``value``: what was written, or 0.
    """

    def __init__(self, kind: int, event: i64, slot: int, register: str, value: int) -> None:
        self.kind: int = kind
        self.event: i64 = event
        self.slot: int = slot
        self.register: str = register
        self.value: int = value


# -- the device ---------------------------------------------------------------------------


class AddressSpace:
    """One AS. ``MaliMmu`` is what changes it; others may look."""

    def __init__(self) -> None:
        self.registers: dict[str, int] = {register.name: 0 for register in AS_REGISTERS}
        """What was written, by name."""
        self.states: list[Latched] = [Latched(0, MODE_UNMAPPED, 0)]
        """What may be latched, oldest first; one unless an UPDATE has not been seen to end."""
        self.command: int = NOP
        """The one that may be running; NOP for none."""
        self.sure: bool = True
        """Whether its effect is certain once it has ended."""
        self.region: tuple[int, int] | None = None
        """First and last address of the region in which accesses are sure to stall: from when
        LOCK was seen to end until UNLOCK or FLUSH_* is written, which may release the lock at any
        time after that."""
        self.to_lock: tuple[int, int] | None = None
        """The region that a running LOCK locks."""
        self.may_be_locked: bool = False
        """Whether accesses may stall: from when LOCK is written until its release was seen."""
        self.flushed: bool = False
        """Whether the last flush since UPDATE covered all inputs."""
        self.running: Invalidation | None = None
        """The invalidation that a FLUSH_* is about to complete."""

    def written(self) -> Latched:
        """What an UPDATE latches that begins now."""
        registers = self.registers
        return Latched(registers[TRANSTAB], registers[TRANSCFG], registers[MEMATTR])

    def roots(self) -> set[int]:
        """The root tables' addresses that it may walk from now on; empty if disabled."""
        return {state.transtab for state in self.states if state.walks()}

    def is_busy(self) -> bool:
        """Whether a command may be running."""
        return self.command != NOP

    def covers(self, first: int, last: int) -> bool:
        """Whether every address of first..last is sure to be locked."""
        region = self.region
        return region is not None and region[0] <= first and last <= region[1]

    def doubt(self) -> None:
        """What the running command does, and whether it does, is not known."""
        self.sure = False
        self.running = None


class MaliMmu:
    """Registers, address spaces and faults of one GPU, as the accesses of a driver show them.

    ``slots``: how many AS there are, 1 to 16.

    Source: formats.md B.1, B.3, B.4.
    """

    def __init__(
        self,
        slots: int = AS_LIMIT,
        va_bits: int = 48,
        pa_bits: int = 40,
        flush_unlocks: bool = True,
        unlock_flushes: bool = False,
    ) -> None:
        if not 1 <= slots <= AS_LIMIT:
            raise ValueError(f"slots is {slots}; allowed are 1 to {AS_LIMIT}")
        self.va_bits: int = va_bits
        """Input bits that GPU_MMU_FEATURES tells."""
        self.pa_bits: int = pa_bits
        """Output bits that it tells."""
        self.flush_unlocks: bool = flush_unlocks
        """Whether FLUSH_* releases the lock when it ends; drivers rely on it, and no manual says
        so."""
        self.unlock_flushes: bool = unlock_flushes
        """Whether UNLOCK invalidates what is cached for the region, and UPDATE what is cached of
        the AS, when they end; drivers that change tables while the region is locked rely on it, and
        no manual says so."""
        self.spaces: list[AddressSpace] = [AddressSpace() for _ in range(slots)]
        """By number."""
        self.rawstat: int = 0
        """INT_RAWSTAT: the faults that were raised and not cleared, by AS."""
        self.mask: int = 0
        """INT_MASK, as it was written last: ones let the bits of INT_RAWSTAT through."""
        self.powered: bool = True
        """Whether registers answer."""
        self.now: i64 = 0
        """Number of the next event, or access."""
        self.issued: list[Invalidation] = []
        """In order."""
        self.completed: list[Invalidation] = []
        """In the order in which they were seen to be over."""
        self.observations: list[MmuObservation] = []
        """What is worth a rule's attention, in order."""
        self.counts: list[int] = [0] * OBSERVATIONS
        """How often there could have been something, by kind."""

    # -- feeding ----------------------------------------------------------------------------

    def feed(self, words: list[int], start: i64) -> None:
        """Take the events of a flat trace from event number ``start`` to its end.

        Accesses of registers that are not the MMU's are left to others.
        """
        position: i64 = start * WORDS
        end: i64 = len(words)
        while position < end:
            kind: i64 = words[position] & 0xFFFF
            if kind == REG_WRITE:
                self._write(words[position + 1], words[position + 2])
            elif kind == REG_READ:
                self._saw(words[position + 1], words[position + 2])
            position += WORDS
            self.now += 1

    def observe_write(self, event: i64, offset: int, value: int) -> None:
        """Event number ``event`` of a trace was a write of ``value`` at byte ``offset``."""
        self.now = event
        self._write(offset, value)

    def observe_read(self, event: i64, offset: int, value: int) -> None:
        """Event number ``event`` of a trace was a read at byte ``offset`` that gave ``value``."""
        self.now = event
        self._saw(offset, value)

    def assume_ended(self, slot: int) -> None:
        """Take the last command in AS ``slot`` as ended, after it was reported that nobody saw."""
        self._ended(slot)

    def assume_unlocked(self, slot: int) -> None:
        """Take every region of AS ``slot`` as released, after it was reported that it was not."""
        space = self.at(slot)
        space.region = None
        space.may_be_locked = False

    def _write(self, offset: int, value: int) -> None:
        if not 0 <= value <= 0xFFFF_FFFF:
            raise ValueError(f"value is {value:#x}; allowed are 0 to 0xffffffff")
        place = self._access(offset, value)
        if place is None:
            return
        name = place.register.name
        if self._wrong(WRITTEN_READ_ONLY, place.register.access == READ_ONLY, place, value):
            return
        if name == INT_CLEAR:
            self.rawstat &= ~value
        elif name == INT_MASK:
            self.mask = value
        elif name == COMMAND:
            self._command(place, value)
        elif place.slot != NO_SLOT:
            self._set(place, value)

    def _saw(self, offset: int, value: int) -> None:
        """A read gave ``value``. Only STATUS tells something that was not known."""
        place = self._access(offset, 0)
        if place is not None and place.register.name == STATUS and not value & ACTIVE:
            self._ended(place.slot)

    def _access(self, offset: int, value: int) -> Place | None:
        """The register that an access meets, if any does."""
        place = place_at(offset)
        if place is None:
            return None
        if self._wrong(ACCESS_OFF, not self.powered, place, value):
            return None
        if place.slot != NO_SLOT and self._wrong(
            ACCESS_ABSENT, place.slot >= len(self.spaces), place, value
        ):
            return None
        return place

    def _wrong(self, kind: int, wrong: bool, place: Place, value: int) -> bool:
        """Count an occasion to observe ``kind``, and observe it if it is so."""
        self.counts[kind] += 1
        if wrong:
            found = MmuObservation(kind, self.now, place.slot, place.register.name, value)
            self.observations.append(found)
        return wrong

    def _set(self, place: Place, value: int) -> None:
        """Write one half of a 64-bit register of an AS."""
        space = self.spaces[place.slot]
        name = place.register.name
        old = space.registers[name]
        if place.high:
            space.registers[name] = old & 0xFFFF_FFFF | value << 32
        else:
            space.registers[name] = old >> 32 << 32 | value
        changed = space.command != NOP and name in _OPERANDS[space.command]
        # One observation for each command; what follows from it is no news.
        if space.sure:
            self._wrong(REGISTER_BUSY, changed, place, value)
        if changed:
            space.doubt()
            if space.command == UPDATE:
                space.states.append(space.written())

    # -- commands ---------------------------------------------------------------------------

    def _command(self, place: Place, command: int) -> None:
        """A command is written: from now on it may be in effect."""
        space = self.spaces[place.slot]
        if self._wrong(COMMAND_UNKNOWN, command not in COMMANDS, place, command):
            return
        busy = self._wrong(COMMAND_BUSY, space.command != NOP, place, command)
        if command == NOP:
            return
        if command == UPDATE:
            self._update(space, place)
        elif command == LOCK:
            self._lock(space, place)
        elif command == UNLOCK:
            if self.unlock_flushes and space.region is not None and not busy:
                space.running = self._issue(place.slot, space.region, UNLOCK)
            space.region = None
        else:
            self._flush(space, place, command, busy)
        space.command = command
        if busy:
            space.doubt()

    def _update(self, space: AddressSpace, place: Place) -> None:
        new = space.written()
        enabled = any(state.walks() for state in space.states)
        if enabled and not self.unlock_flushes:
            self._wrong(UPDATE_UNFLUSHED, not space.flushed, place, UPDATE)
        if new.walks():
            known = new.mode() in (MODE_4K, MODE_64K)
            self._wrong(MODE_RESERVED, not known, place, UPDATE)
            table = 1 << (16 if new.mode() == MODE_64K else 12)
            outside = bool(new.transtab & (table - 1)) or new.transtab >> self.pa_bits != 0
            self._wrong(ROOT_ADDRESS, outside, place, UPDATE)
        space.states.append(new)
        space.flushed = False

    def _lock(self, space: AddressSpace, place: Place) -> None:
        space.to_lock = locked_range(space.registers[LOCKADDR])
        self._wrong(LOCK_UNDEFINED, space.to_lock is None, place, LOCK)
        space.region = None
        space.may_be_locked = True

    def _flush(self, space: AddressSpace, place: Place, command: int, busy: bool) -> None:
        if not busy:
            # A lock that is in doubt was observed before.
            self._wrong(FLUSH_UNLOCKED, not space.may_be_locked, place, command)
            if space.region is not None:
                space.running = self._issue(place.slot, space.region, command)
        if self.flush_unlocks:
            space.region = None

    def _issue(self, slot: int, region: tuple[int, int], kind: int) -> Invalidation:
        one = Invalidation(
            len(self.issued), slot, region, self.now, kind, self.spaces[slot].roots()
        )
        self.issued.append(one)
        return one

    def _complete(self, one: Invalidation) -> None:
        one.completed = self.now
        self.completed.append(one)

    def _ended(self, slot: int) -> None:
        """STATUS was seen clear: what was written last is in effect now."""
        space = self.spaces[slot]
        command = space.command
        space.command = NOP
        if not space.sure:
            space.sure = True
            return
        if command == UPDATE:
            if self.unlock_flushes:
                # Nothing of what was latched before is left, neither in use nor cached.
                self._complete(self._issue(slot, (0, TOP_VA), UPDATE))
            del space.states[:-1]
        elif command == LOCK:
            space.region = space.to_lock
        elif command == UNLOCK:
            space.may_be_locked = False
            one = space.running
            space.running = None
            if one is not None:
                self._complete(one)
        elif command in (FLUSH_PT, FLUSH_MEM):
            self._flushed(space)

    def _flushed(self, space: AddressSpace) -> None:
        """A FLUSH_* has ended."""
        one = space.running
        space.running = None
        if self.flush_unlocks:
            space.may_be_locked = False
        if one is not None:
            self._complete(one)
            inputs = [state.input_bits() for state in space.states if state.walks()]
            space.flushed = one.first == 0 and one.last >= (1 << max(inputs, default=0)) - 1

    # -- asking -----------------------------------------------------------------------------

    def at(self, slot: int) -> AddressSpace:
        """AS ``slot``.

        Raises:
            ValueError: there is none.
        """
        if not 0 <= slot < len(self.spaces):
            raise ValueError(f"slot is {slot}; allowed are 0 to {len(self.spaces) - 1}")
        return self.spaces[slot]

    # -- what happens to the device ---------------------------------------------------------

    def fault(self, slot: int, status: int, address: int, extra: int = 0) -> bool:
        """AS ``slot`` faults: ``status`` is FAULTSTATUS, ``address`` FAULTADDRESS.

        False: a fault is raised there already, and its registers stay as they are. (What comes
        of the second is not documented.) CLEAR lowers the interrupt and leaves the registers.
        Source: formats.md B.1, B.4.
        """
        registers = self.at(slot).registers
        if not self.powered or self.rawstat >> slot & 1:
            return False
        registers[FAULTSTATUS] = status
        registers[FAULTADDRESS] = address
        registers[FAULTEXTRA] = extra
        self.rawstat |= 1 << slot
        return True

    def reset(self) -> None:
        """The GPU is reset: all AS are disabled, nothing is cached, no interrupt is raised.

        Registers read as 0 afterwards; their true values at reset are not documented. Detach
        the roots of each AS from the views before they are handed the invalidations. Source:
        formats.md B.4.
        """
        self._forget(BY_RESET)

    def power_off(self) -> None:
        """Power goes: as a reset, and until ``power_on`` no register answers."""
        self._forget(BY_POWER_OFF)
        self.powered = False

    def power_on(self) -> None:
        """Power comes back. Registers are as after a reset."""
        self.powered = True

    def _forget(self, kind: int) -> None:
        for slot in range(len(self.spaces)):
            self._complete(self._issue(slot, (0, TOP_VA), kind))
            self.spaces[slot] = AddressSpace()
        self.rawstat = 0
        self.mask = 0


# -- the device a driver works with -------------------------------------------------------


class Delay:
    """How long the commands of one AS take."""

    def __init__(self) -> None:
        self.polls: int = 0
        """How often STATUS still reads active; -1: for ever."""
        self.stuck: int = 0
        """The same of the next command, or of a later one."""
        self.passing: int = 0
        """How many commands precede that one."""


class MaliDevice(MaliMmu):
    """The registers as a driver accesses them, and what they answer. Arguments as ``MaliMmu``'s."""

    def __init__(
        self,
        slots: int = AS_LIMIT,
        va_bits: int = 48,
        pa_bits: int = 40,
        flush_unlocks: bool = True,
        unlock_flushes: bool = False,
    ) -> None:
        super().__init__(slots, va_bits, pa_bits, flush_unlocks, unlock_flushes)
        self.delays: list[Delay] = [Delay() for _ in range(slots)]
        """By AS."""

    def write(self, offset: int, value: int) -> None:
        """A driver writes ``value``, 32 bits, at byte ``offset``.

        Raises:
            ValueError: ``value`` does not fit in 32 bits (``feed`` raises it, too).
        """
        self._write(offset, value)
        place = self._find(offset)
        starts: bool = place is not None and place.register.name == COMMAND
        if place is not None and starts and self.powered and value in COMMANDS and value != NOP:
            self._begin(place.slot)
        self.now += 1

    def read(self, offset: int) -> int:
        """A driver reads the 32 bits at byte ``offset``; 0 where the MMU has no register."""
        value = self.value_at(offset)
        place = self._find(offset)
        if place is not None and place.register.name == STATUS:
            self._polled(place.slot)
        self._saw(offset, value)
        self.now += 1
        return value

    def value_at(self, offset: int) -> int:
        """What a read at byte ``offset`` gives now; 0 without power. Changes nothing."""
        place = self._find(offset)
        if place is None or not self.powered:
            return 0
        value = self._value(place.slot, place.register.name)
        return value >> 32 if place.high else value & 0xFFFF_FFFF

    def _find(self, offset: int) -> Place | None:
        """The register at ``offset``, if the AS that it belongs to exists."""
        place = place_at(offset)
        return None if place is None or place.slot >= len(self.spaces) else place

    def _value(self, slot: int, name: str) -> int:
        if name == MMU_FEATURES:
            return self.va_bits | self.pa_bits << 8
        if name == AS_PRESENT:
            return (1 << len(self.spaces)) - 1
        if name == INT_RAWSTAT:
            return self.rawstat
        if name == INT_MASK:
            return self.mask
        if name == INT_STAT:
            return self.rawstat & self.mask
        if slot == NO_SLOT or name == COMMAND:
            return 0
        space = self.spaces[slot]
        if name == STATUS:
            return ACTIVE if space.is_busy() and self.delays[slot].polls != 0 else 0
        return space.registers[name]

    def _begin(self, slot: int) -> None:
        """A command was written."""
        delay = self.delays[slot]
        if delay.passing > 0:
            delay.passing -= 1
            delay.polls = 0
        else:
            delay.polls = delay.stuck
            delay.stuck = 0
        if delay.polls == 0:
            self._complete_bit(slot)

    def _polled(self, slot: int) -> None:
        """STATUS is read: a command that takes some reads is nearer to its end."""
        delay = self.delays[slot]
        if delay.polls > 0:
            delay.polls -= 1
            if delay.polls == 0:
                self._complete_bit(slot)

    def _complete_bit(self, slot: int) -> None:
        self.rawstat |= 1 << (AS_LIMIT + slot)

    def interrupt(self) -> bool:
        """Whether the MMU's interrupt is raised: INT_STAT is not 0."""
        return self.powered and self.rawstat & self.mask != 0

    def stick(self, slot: int, polls: int, after: int = 0) -> None:
        """STATUS reads active ``polls`` times after the next command in AS ``slot``; -1: always.

        ``after``: how many commands pass before that one.

        Raises:
            ValueError: there is no such AS.
        """
        self.at(slot)
        delay = self.delays[slot]
        delay.stuck = polls
        delay.passing = after

    def _forget(self, kind: int) -> None:
        super()._forget(kind)
        self.delays = [Delay() for _ in self.spaces]
