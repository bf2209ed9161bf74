"""What the GPU of an Apple SoC and its firmware share with a driver: memory, and invalidations.

Three regions come from the boot loader. The *handoff* region is plain memory in which driver and
firmware take turns; the *ttbs* region has the roots of 64 contexts, a pair each; *pagetables* is
the root of the upper half, of which the first two entries are the firmware's own.

GPU and firmware have TLBs that listen to the broadcast invalidations of the CPU (``TLBI ...OS``).
What one of them is for is decoded from its operand, so that a wrong shift invalidates what it
really would. It has completed when a barrier (``DSB``) after it has.

Addresses of the two halves are told apart by their sign bit. In memory both begin at a table of
level 1, so that an address is a half, and 39 bits.

There is no vendor manual; everything here was found by reverse engineering.

Source: formats.md A.1, A.3 to A.5.
"""

from typing import Final

from mypy_extensions import i64

from reference.formats.access import CACHE, MMIO, NOEXEC, PRIV, READ, WRITE
from reference.trace import DECIMAL, HEX, declare

# -- where things lie -----------------------------------------------------------------------

HANDOFF: Final = 0x7_0000_0000
"""Physical address of the handoff region."""
TTBS: Final = 0x7_0001_0000
"""Of the roots."""
PAGETABLES: Final = 0x7_0002_0000
"""Of the root of the upper half."""
RING: Final = 0x7_0003_0000
"""Of the channel for messages to the firmware (FwCtl)."""
TABLES: Final = 0x8_0000_0000
"""Of the first table that a driver makes."""
TABLES_END: Final = 0x9_0000_0000
"""Behind the last one."""
DATA: Final = 0xA_0000_0000
"""Of the first page of a buffer."""

PAGE: Final = 0x4000
"""Bytes of a page, and of a table (formats.md A.1)."""
CONTEXTS: Final = 64
"""Contexts that exist; context 0 is the kernel's (formats.md A.3)."""
TTBS_SIZE: Final = 16 * CONTEXTS
"""Bytes of the roots."""
NO_CONTEXT: Final = 0
"""CUR_SLOT: the firmware has no user's context in its lower half."""
ALSO_NO_CONTEXT: Final = 0xFFFF_FFFF
"""CUR_SLOT: the same, as it was seen at the start (formats.md A.4)."""
MAGIC: Final = 0x4B1D_0000_0000_0002
"""Both sides say so when they are ready (formats.md A.4)."""
KERNEL_ENTRY: Final = 64
"""The flush entry of the upper half; those of contexts have their numbers (formats.md A.4)."""
RING_SIZE: Final = 256
"""Messages that the channel holds (formats.md A.4)."""

# -- the handoff region, byte for byte (formats.md A.4) -------------------------------------

MAGIC_AP: Final = HANDOFF
MAGIC_FW: Final = HANDOFF + 0x8
LOCK_AP: Final = HANDOFF + 0x10
LOCK_FW: Final = HANDOFF + 0x11
TURN: Final = HANDOFF + 0x14
CUR_SLOT: Final = HANDOFF + 0x18
UNK2: Final = HANDOFF + 0x638
UNK3: Final = HANDOFF + 0x640
HANDOFF_SIZE: Final = 0x648

AP_TURN: Final = 0
"""TURN: who waits is the firmware."""
FW_TURN: Final = 1
"""TURN: who waits is the driver."""

IDLE: Final = 0
"""State of a flush entry: nothing is asked for."""
REQUESTED: Final = 1
"""The driver asks for a range."""
DONE: Final = 2
"""The firmware has cleaned it."""


def flush_state(entry: i64) -> i64:
    """Where the state of flush entry 0 to 64 stands."""
    return HANDOFF + 0x20 + 0x18 * entry


def flush_address(entry: i64) -> i64:
    """Where its first address stands."""
    return flush_state(entry) + 8


def flush_size(entry: i64) -> i64:
    """Where its bytes stand."""
    return flush_state(entry) + 16


def ttb0(context: i64) -> i64:
    """Where the root of a context's lower half stands."""
    return TTBS + 16 * context


def ttb1(context: i64) -> i64:
    """Where that of its upper half stands."""
    return TTBS + 16 * context + 8


def ttb_of(root: i64, context: i64) -> int:
    """The word for a root: valid, with the context's number as ASID. Unsigned."""
    return root | 1 | int(context) << 48


# The channel: one message of FwCtl, and who has read how far.
RING_WRITE: Final = RING
RING_READ: Final = RING + 4
MESSAGE_ADDRESS: Final = RING + 8
MESSAGE_SLOT: Final = RING + 0x14
MESSAGE_PAGES: Final = RING + 0x18

_NAMES: Final[dict[int, str]] = {
    MAGIC_AP: "magic_ap",
    MAGIC_FW: "magic_fw",
    LOCK_AP: "lock_ap",
    LOCK_FW: "lock_fw",
    TURN: "turn",
    CUR_SLOT: "cur_slot",
    UNK2: "unk2",
    UNK3: "unk3",
    RING_WRITE: "ring.write",
    RING_READ: "ring.read",
    MESSAGE_ADDRESS: "message.addr",
    MESSAGE_SLOT: "message.slot",
    MESSAGE_PAGES: "message.page_count",
}


def width_of(address: int) -> int:
    """The bytes of the field at an address of the handoff region, or of the roots."""
    if address in (LOCK_AP, LOCK_FW, UNK2):
        return 1
    return 4 if address in (TURN, CUR_SLOT) or address >= RING else 8


def field_name(address: int) -> str:
    """For people: "lock_ap", "flush[3].state", "ttbs[1].ttb0"."""
    if address in _NAMES:
        return _NAMES[address]
    if HANDOFF + 0x20 <= address < UNK2:
        entry, part = divmod(address - HANDOFF - 0x20, 0x18)
        return f"flush[{entry}].{('state', 'addr', 'size')[part // 8]}"
    if TTBS <= address < TTBS + 16 * CONTEXTS:
        context, rest = divmod(address - TTBS, 16)
        return f"ttbs[{context}].ttb{rest // 8}"
    return f"{address:#x}"


def image(words: dict[int, int]) -> bytes:
    """The handoff region byte for byte, of what stands at addresses (unsigned words)."""
    region = bytearray(HANDOFF_SIZE)
    for address, word in words.items():
        offset = address - HANDOFF
        if 0 <= offset < HANDOFF_SIZE:
            width = width_of(address)
            region[offset : offset + width] = word.to_bytes(width, "little")
    return bytes(region)


# -- addresses ------------------------------------------------------------------------------

HALF_BITS: Final = 39
"""Bits of an address below the one that is extended (formats.md A.1)."""
HALF: Final = 1 << HALF_BITS
"""Bytes of a half."""
LOWER: Final = 0
UPPER: Final = 1

USER_FIRST: Final = PAGE
USER_LAST: Final = HALF - 1
KERNEL_FIRST: Final = 0xFFFF_FFA0_0000_0000
KERNEL_LAST: Final = 0xFFFF_FFAF_FFFF_FFFF
"""The driver's part of the upper half: one entry of its root (formats.md A.1)."""
KERNEL_INDEX: Final = 2
"""Which entry that is."""
KERNEL_BITS: Final = 36
"""Bits of an address in that part."""


def split(va: int) -> tuple[int, int]:
    """(half, address in it) of a 64-bit address, unsigned; (-1, 0) if it is in neither."""
    if va < HALF:
        return LOWER, va
    if va >= (1 << 64) - HALF:
        return UPPER, va & (HALF - 1)
    return -1, 0


def whole(half: int, va: int) -> int:
    """The 64-bit address, unsigned, of an address in a half: the way back from ``split``."""
    return va + (1 << 64) - HALF if half == UPPER else va


# -- invalidations (formats.md A.5) ---------------------------------------------------------

TLBI_ALL: Final = 0
"""VMALLE1OS: everything."""
TLBI_ASID: Final = 1
"""ASIDE1OS: all that is tagged with an ASID."""
TLBI_PAGE: Final = 2
"""VAE1OS: an address, of an ASID or global."""
TLBI_RANGE: Final = 3
"""RVAE1OS: a range of them."""

TLBI_NAMES: Final = ("VMALLE1OS", "ASIDE1OS", "VAE1OS", "RVAE1OS")

ANY_ASID: Final = -1
"""Of an invalidation: whatever the ASID is."""


class Scope:
    """What an invalidation is for.

    ``asid``: whose entries, ANY_ASID for all; ``half``: LOWER, UPPER, or -1 for both; ``first`` to
    ``last``: addresses in the half, inclusive, none if ``last`` is less; ``by_address``: global
    entries go, too.
    """

    def __init__(self, asid: int, half: int, first: int, last: int, by_address: bool) -> None:
        self.asid: int = asid
        self.half: int = half
        self.first: int = first
        self.last: int = last
        self.by_address: bool = by_address

    def covers(self, half: int, first: int, last: int) -> bool:
        """Whether all of a range is in it."""
        return self.half in (-1, half) and self.first <= first and last <= self.last


def decode_tlbi(command: int, operand: int) -> Scope:
    """What a TLBI with this operand (unsigned) invalidates.

    An address whose sign is not extended, and a range for another granule, are nobody's.
    """
    asid = operand >> 48 & 0xFFFF
    if command == TLBI_ALL:
        return Scope(ANY_ASID, -1, 0, HALF - 1, True)
    if command == TLBI_ASID:
        return Scope(asid, -1, 0, HALF - 1, False)
    if command == TLBI_PAGE:
        # Bits 43:0 are bits 55:12 of the address.
        address = (operand & 0xFFF_FFFF_FFFF) << 12
        high, sign = address >> HALF_BITS, 55 - HALF_BITS
        size = PAGE
    else:
        # Bits 36:0 are bits 50:14 of the address.
        address = (operand & 0x1F_FFFF_FFFF) << 14
        high, sign = address >> HALF_BITS, 50 - HALF_BITS
        size = ((operand >> 39 & 31) + 1 << 5 * (operand >> 44 & 3) + 1) * PAGE
        if operand >> 46 & 3 != 2:
            return Scope(asid, -1, 0, -1, True)
    if high not in (0, (2 << sign) - 1):
        return Scope(asid, -1, 0, -1, True)
    first = address & (HALF - 1) & ~(PAGE - 1)
    return Scope(asid, UPPER if high else LOWER, first, min(first + size, HALF) - 1, True)


# -- protections (formats.md A.2) -----------------------------------------------------------

PROTECTIONS: Final[dict[str, int]] = {
    "fw-mmio-rw": PRIV | READ | WRITE | CACHE | MMIO,
    "fw-mmio-ro": PRIV | READ | CACHE | MMIO,
    "fw-shared-rw": PRIV | READ | WRITE | CACHE,
    "fw-shared-ro": PRIV | READ | CACHE,
    "fw-priv-rw": PRIV | READ | WRITE,
    "gpu-fw-shared-rw": READ | WRITE | CACHE,
    "gpu-fw-priv-rw": READ | WRITE,
    "gpu-shared-rw": READ | WRITE | CACHE | NOEXEC,
    "gpu-shared-ro": READ | CACHE | NOEXEC,
    "gpu-shared-wo": WRITE | CACHE | NOEXEC,
}
"""The ten that the driver uses, by name. CACHE means coherent with the CPU, which the firmware is
by not caching; without it the firmware caches the page."""

# -- events ---------------------------------------------------------------------------------

SPACE: Final = 0x50
LOADED: Final = 0x51
STORED: Final = 0x52
SEEN: Final = 0x53
FENCED: Final = 0x54
TLBI: Final = 0x55
DSB: Final = 0x56
TAKEN: Final = 0x57
GIVEN: Final = 0x58
ENTERED: Final = 0x59
LINE: Final = 0x5A
WRITTEN_BACK: Final = 0x5B
CLEANED: Final = 0x5C
NODE: Final = 0x5D
HOLD: Final = 0x5E
ASKED: Final = 0x5F
SWITCHED: Final = 0x60

CLEAN: Final = 0
"""Of a line: it was read."""
DIRTY: Final = 1
"""It was written."""
DROPPED: Final = 2
"""It is cached no more."""

AP: Final = 0
"""Who does something: the driver."""
FW: Final = 1
"""The firmware."""

declare(SPACE, "uat-space", (("number", DECIMAL),))
declare(LOADED, "uat-load", (("address", HEX), ("value", HEX), ("actor", DECIMAL)))
declare(STORED, "uat-store", (("address", HEX), ("value", HEX), ("actor", DECIMAL)))
declare(SEEN, "uat-seen", (("address", HEX), ("value", HEX), ("actor", DECIMAL)))
declare(FENCED, "uat-fence", (("type", DECIMAL), ("actor", DECIMAL)))
declare(TLBI, "uat-tlbi", (("command", DECIMAL), ("operand", HEX)))
declare(DSB, "uat-dsb", ())
declare(TAKEN, "uat-taken", (("actor", DECIMAL),))
declare(GIVEN, "uat-given", (("actor", DECIMAL),))
declare(ENTERED, "uat-entered", (("context", DECIMAL), ("ttb", HEX)))
declare(LINE, "uat-line", (("va", HEX), ("pa", HEX), ("how", DECIMAL)))
declare(WRITTEN_BACK, "uat-written-back", (("va", HEX), ("pa", HEX)))
declare(CLEANED, "uat-cleaned", (("entry", DECIMAL), ("va", HEX), ("size", HEX)))
declare(NODE, "uat-node", (("space", DECIMAL), ("va", HEX), ("size", HEX)))
declare(HOLD, "uat-hold", (("space", DECIMAL), ("context", DECIMAL), ("users", DECIMAL)))
declare(ASKED, "uat-asked", (("slot", DECIMAL), ("va", HEX), ("pages", DECIMAL)))
declare(SWITCHED, "uat-switched", (("actor", DECIMAL),))
