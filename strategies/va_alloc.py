"""What the ``va-alloc`` machine draws: windows, requests, ranges by the holes that there are.

Written-out lists, as in ``strategies.pagetable``: they say how often a case comes up.
"""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from reference.words import to_signed
from strategies.pairs import Pairs

PAGE = 0x1000


@dataclass(frozen=True, slots=True)
class Window:
    """The addresses of an allocator. Unsigned."""

    start: int
    size: int

    def args(self) -> dict[str, int | str]:
        """As the arguments of ``create``."""
        return {"start": to_signed(self.start), "size": to_signed(self.size)}


WINDOWS: tuple[Window, ...] = (
    Window(0, 64 * PAGE),
    Window(0, 32 * PAGE),
    Window(5 * PAGE, 48 * PAGE),
    Window(1 << 47, 1 << 32),
    Window((1 << 63) - 16 * PAGE, 40 * PAGE),
    Window((1 << 64) - 64 * PAGE, 63 * PAGE),
    Window(0, (1 << 64) - 1),
)
"""Windows of few pages, which fill up; a large one; one across bit 63; one up to the last page
but one; all that there can be."""

windows: SearchStrategy[Window] = st.sampled_from(WINDOWS)

SIZES: tuple[int, ...] = (1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 7, 12)
"""Pages of a request."""

ALIGNS: tuple[int, ...] = (0, 0, 0, 0, 0, 1, 2, 4, 3, 5, 16)
"""Pages of an alignment: none, powers of two, and others."""

MODES: tuple[str, ...] = ("best", "low", "high", "best")
"""Drawn by the low bits of two numbers that stand for other things, too."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The addresses that a request may get.

    ``by``: "all" (any), "window", "hole" (one of the holes), or "two" (one, and the next).
    ``cut``: pages less at its start, and at its end.
    """

    by: str
    cut: tuple[int, int]


BOUNDS: tuple[Bounds, ...] = (
    *(Bounds("all", (0, 0)),) * 5,
    *(Bounds("window", cut) for cut in ((0, 0), (8, 0), (0, 8), (1, 1), (-1, -1), (16, 3))),
    *(Bounds("hole", cut) for cut in ((0, 0), (0, 0), (1, 0), (0, 1), (1, 1), (-1, 2), (2, -2))),
    *(Bounds("two", cut) for cut in ((0, 0), (1, 0), (0, 1), (2, 1))),
)
"""Bounds in every position to the holes that there are."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a hole: pages from its start (or, ``from_end``, back from its end), and how many.

    ``pages`` 0: all that is left of the hole.
    """

    start: int
    from_end: bool
    pages: int


PARTS: tuple[Part, ...] = (
    Part(0, False, 1),  # its head
    Part(1, True, 1),  # its tail
    Part(1, False, 1),  # inside
    Part(2, False, 2),
    Part(3, True, 2),
    Part(0, False, 0),  # all of it
    Part(1, False, 0),  # all but the head
    Part(5, False, 1),
)
"""Parts of a hole that are reserved."""

MISTAKES: tuple[str, ...] = (
    "no-bytes", "reserve-no-bytes", "too-large", "no-such-multiple", "elsewhere", "hole-too-small",
    "taken", "head-taken", "tail-taken", "below", "above", "across", "wraps", "no-such-range",
)  # fmt: skip
"""Calls that have to be refused: see ``conformance.systems.va_alloc.machine``."""

FINDS: tuple[tuple[int, int], ...] = (
    (0, 0), (-1, -1), (1, 1), (-1, 0), (0, 1), (1, -1), (-3, -1), (1, 3), (-8, 8), (-20, -1),
)  # fmt: skip
"""What is looked for: pages from a range's first to where it starts, and from its last to where
it ends."""

picks: SearchStrategy[int] = st.integers(0, 63)
"""Which of the things that are there, modulo how many there are."""

requests: Pairs[int, int] = Pairs(SIZES, ALIGNS)
"""How many pages, and at which multiple."""

bounds: Pairs[Bounds, int] = Pairs(BOUNDS, range(8))
"""Which addresses, and which of the holes."""

parts: Pairs[Part, int] = Pairs(PARTS, range(8))
"""Which part of which hole."""

mistakes: Pairs[str, int] = Pairs(MISTAKES, range(8))
"""What is wrong, and with which of the things that are there."""

finds: Pairs[tuple[int, int], int] = Pairs(FINDS, range(8))
"""What is looked for, by which of the ranges."""
