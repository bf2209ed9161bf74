"""What the ``nvidia`` machine draws: address spaces, areas, memories, parts, the raw interface.

Written-out lists, as in ``strategies.pagetable``: they say how often a case comes up.
"""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from reference.physical_layout import HOST, NCOH, VRAM
from strategies.pairs import Pairs

PAGE = 0x1000
LARGE = 0x20_0000
HALF_GIGA = 0x2000_0000
CLIENT = 1 << 32
"""Bytes that a client has to itself, from address 0 on."""


@dataclass(frozen=True, slots=True)
class Space:
    """An address space: the chip, log2 of its large pages, and who manages what.

    ``size``: bytes of all of it, 0 for as many as there can be. ``mode``: "own", "managed" or
    "raw". ``replays``: whether faults are replayed.
    """

    chip: str
    large: int
    mode: str
    start: int = 0
    size: int = 0
    replays: bool = False


SPACES: tuple[Space, ...] = (
    Space("gp100", 16, "own"), Space("gp100", 16, "raw"), Space("gp100", 16, "managed"),
    Space("gp100", 16, "own", replays=True), Space("gp100", 16, "raw"), Space("gm200", 17, "raw"),
    Space("gm200", 16, "own"), Space("gf100", 17, "own"), Space("gk104", 16, "own"),
    Space("gp100", 16, "own", LARGE, 5 * LARGE + 0x3000), Space("gm200", 17, "own"),
    Space("gk104", 17, "raw"), Space("gf100", 16, "raw"), Space("gm200", 16, "managed"),
    Space("gp100", 16, "managed"), Space("gk104", 17, "own"), Space("gf100", 16, "own"),
    Space("gm200", 16, "raw"), Space("gk104", 16, "managed"), Space("gf100", 17, "managed"),
    Space("gk104", 16, "raw"), Space("gf100", 17, "raw"), Space("gm200", 17, "managed"),
    Space("gp100", 16, "managed"), Space("gp100", 16, "raw"), Space("gp100", 16, "own"),
    Space("gf100", 16, "managed"), Space("gk104", 17, "managed"),
)  # fmt: skip
"""What address spaces there are, the more usual ones more often."""

SMALL_SPACES: tuple[Space, ...] = (
    Space("gp100", 16, "own", LARGE, 5 * LARGE + 0x3000),
    Space("gm200", 17, "own", 0, 0x11000), Space("gf100", 17, "own", 64 * LARGE, 3 * LARGE),
    Space("gk104", 16, "own", PAGE, LARGE), Space("gm200", 16, "own", 31 * LARGE, 2 * LARGE),
    Space("gf100", 16, "own", 0, 2 * LARGE), Space("gk104", 17, "own", 63 * LARGE, 2 * LARGE),
    Space("gp100", 16, "own", 0, 4 * LARGE),
)  # fmt: skip
"""Some that are small enough for tables for all of it."""

spaces: SearchStrategy[int] = st.integers(0, len(SPACES) - 1)
"""Which of them, modulo how many a target has."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A memory: where it is, its bytes, log2 of its page size, pages in a piece (0: in whole)."""

    target: int
    size: int
    page: int
    scattered: int = 0


MEMORIES: tuple[Kind, ...] = (
    Kind(VRAM, 4 * LARGE, 21), Kind(HOST, 2 * LARGE, 12), Kind(VRAM, 2 * LARGE, 17),
    Kind(NCOH, LARGE, 12, 1), Kind(HOST, LARGE, 12, 3), Kind(VRAM, LARGE, 12, 2),
    Kind(VRAM, 3 * LARGE, 16, 2), Kind(NCOH, 0x3000, 12), Kind(VRAM, LARGE, 17, 1),
)  # fmt: skip
"""Memories; the first three exist from the start."""


@dataclass(frozen=True, slots=True)
class Get:
    """What area to ask for: "ptes", "addr" or "lazy"; whether sparse; of which page size.

    ``size``: 0 none, 1 small, 2 large, 3 the next larger one.
    """

    flavour: str
    sparse: bool
    size: int


GETS: tuple[Get, ...] = (
    Get("addr", False, 0), Get("addr", False, 1), Get("ptes", False, 1), Get("lazy", False, 0),
    Get("addr", True, 0), Get("ptes", False, 2), Get("ptes", True, 1), Get("addr", False, 2),
    Get("ptes", True, 2), Get("addr", True, 1), Get("lazy", False, 2), Get("addr", True, 0),
    Get("lazy", False, 1), Get("addr", False, 3), Get("ptes", True, 3), Get("addr", True, 2),
    Get("ptes", False, 3),
)  # fmt: skip
"""Areas in every flavour."""

LENGTHS: tuple[int, ...] = (
    1, 2, 3, 1, 15, 16, 17, 31, 32, 33, 4, 5, 48, 512, 511, 513, 528, 529, 1024, 64, 1057,
)  # fmt: skip
"""Pages of an area, small ones; as many large ones as come to that, or one."""

FAILURES: tuple[int, ...] = (
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 1001, 1002, 1003, 1005,
)  # fmt: skip
"""Which allocation of an operation fails."""

gets: Pairs[Get, int] = Pairs(GETS, LENGTHS)
"""What to hand out, and how much of it."""

picks: SearchStrategy[int] = st.integers(0, 63)
"""Which of the things that are there, modulo how many there are."""

PARTS: tuple[tuple[int, int], ...] = (
    (0, 0), (0, 0), (0, 0), (0, 1), (1, 1), (2, 3), (-1, 1), (0, 16), (16, 16), (-16, 16),
    (1, 15), (15, 2), (16, 1), (32, 32), (0, 512), (512, 1), (511, 2), (5, 0), (16, 0), (-1, 0),
)  # fmt: skip
"""(first page, pages) of an area to map; negative ones are counted from its end, and 0 pages are
all that follow."""

ACCESS: tuple[tuple[int, int, int, int], ...] = (
    (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (0, 1, 0, 0), (0xFE, 0, 0, 0), (0, 0, 1, 1),
    (0xFE, 1, 1, 0), (0, 0, 0, 1),
)  # fmt: skip
"""Kind, read-only, privileged, volatile."""


@dataclass(frozen=True, slots=True)
class How:
    """How to map: from which page of the memory on, with which access, what fails."""

    offset: int
    access: tuple[int, int, int, int]
    fail_at: int


OFFSETS: tuple[int, ...] = (0, 0, 0, 16, 1, 32, 2, 512)

HOWS: tuple[How, ...] = tuple(
    How(
        OFFSETS[number % len(OFFSETS)],
        ACCESS[number * 5 // 3 % len(ACCESS)],
        FAILURES[number * 7 % len(FAILURES)],
    )
    for number in range(88)
)
"""Every element of the lists in turn, with others beside it each time."""

maps: Pairs[tuple[int, int], How] = Pairs(PARTS, HOWS)
"""What part of an area to map, and how."""

PATTERNS: tuple[int, ...] = (
    0x1, 0x1, 0x5031, 0, 0x6543210, 0x10, 0x4, 0x40, 0x1111_0000_1111, 0x2, 0x63, 0x104, 0x4441,
    0x9,
)  # fmt: skip
"""Patterns of pages: all, none, every other one, runs, memory of both kinds."""

PFN_PLACES: tuple[int, ...] = (
    0, 0, PAGE, 2 * PAGE, 5 * PAGE, 511 * PAGE, LARGE, LARGE - 2 * PAGE, LARGE + PAGE,
    16 * PAGE, 2 * LARGE, HALF_GIGA - PAGE,
)  # fmt: skip

PFN_LENGTHS: tuple[int, ...] = (1, 2, 3, 4, 5, 8, 16, 17, 64, 512, 513, 1)

FEWER: tuple[tuple[int, int], ...] = (
    (LARGE + PAGE, PAGE), (0, 2 * LARGE), (0, 2 * PAGE), (PAGE, 64 * PAGE), (LARGE, LARGE),
    (LARGE - PAGE, 2 * PAGE), (2 * PAGE, PAGE), (0, LARGE), (PAGE, 2 * LARGE), (0, 4 * LARGE),
    (3 * PAGE, LARGE), (2 * LARGE - PAGE, PAGE),
)  # fmt: skip
"""(first byte, bytes) to unmap of small pages and of a huge one that follows."""

pfns: Pairs[int, int] = Pairs(PATTERNS, range(len(PFN_PLACES) * len(PFN_LENGTHS)))
"""Which pages of which range."""


@dataclass(frozen=True, slots=True)
class Range:
    """A range of the raw interface: log2 of the page size by number, and pages of it.

    ``size``: as in Get; ``first``, ``pages``: of that size.
    """

    size: int
    first: int
    pages: int


RANGES: tuple[Range, ...] = (
    Range(1, 0, 16), Range(2, 0, 1), Range(1, 0, 32), Range(2, 0, 2), Range(1, 0, 1),
    Range(2, 1, 1), Range(1, 3, 2), Range(1, 15, 2), Range(1, 16, 16), Range(1, 8, 16),
    Range(1, 31, 2), Range(2, 0, 32), Range(1, 0, 512), Range(3, 0, 1), Range(1, 510, 4),
    Range(2, 2, 3), Range(2, 31, 2), Range(3, 1, 1), Range(1, 512, 1), Range(1, 32, 32),
)  # fmt: skip
"""Ranges in two cells of a directory, most in its first large pages."""

RAW_WHATS: tuple[str, ...] = (
    "get", "map", "get", "unmap", "put", "map", "again", "get-map", "replace", "put", "sparse",
    "unsparse", "unmap", "again", "swap", "sparse-map", "late-put", "huge",
)  # fmt: skip
"""What the raw interface is used for: see ``conformance.systems.nvidia.machine``."""

raws: Pairs[str, Range] = Pairs(RAW_WHATS, RANGES)
"""What to do, and where."""

CELLS: tuple[str, ...] = (
    "small-in-sparse", "large-in-sparse", "both-in-sparse", "share", "share-map", "late",
    "other-size", "remap", "fill", "parents", "hole", "two-lazy", "short", "huge", "pages", "pages",
    "across",
)  # fmt: skip
"""Stories of one cell of a directory: see ``conformance.systems.nvidia.machine``."""

cells: Pairs[str, int] = Pairs(CELLS, range(12))
"""Which story, and how it goes."""

MISTAKES: tuple[str, ...] = (
    "no-size", "lazy-sparse", "no-shift", "shift", "askew-size", "too-much", "no-area", "no-memory",
    "beyond", "kind", "kind-again", "not-mapped", "unmap-inside", "over", "beyond-area",
    "host-large", "put-again", "memory", "memory-target", "drop-again", "pfn-shift", "pfn-askew",
    "pfn-outside", "pfn-many", "pfn-nowhere", "raw-elsewhere", "raw-shift", "raw-none", "join",
    "part", "boot", "lazy-part", "not-sparse",
)  # fmt: skip
"""Calls that have to be refused."""

mistakes: Pairs[str, int] = Pairs(MISTAKES, range(8))
"""What is wrong, and with which of the things that are there."""

MISHAPS: tuple[str, ...] = (
    "slow", "stuck", "join", "join-part", "boot", "replay", "destroy", "drop", "memory", "again",
    "wrong-create", "memory", "full", "lack", "stuck", "again", "boot",
    "lack", "replay",
)  # fmt: skip
"""What else happens."""

mishaps: Pairs[str, int] = Pairs(MISHAPS, range(9))
"""What happens, and to what."""
