"""What the ``gpuvm`` machine draws: VMs, buffers, ranges by what is mapped, failures, mistakes.

Written-out lists, as in ``strategies.pagetable``: they say how often a case comes up.
"""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from reference.words import to_signed
from strategies.pairs import Pairs
from strategies.parts import Part

PAGE = 0x1000


@dataclass(frozen=True, slots=True)
class Window:
    """A VM: its window, and what of it is reserved for the kernel (0 bytes: nothing). Unsigned."""

    start: int
    size: int
    kernel_start: int
    kernel_size: int

    def args(self) -> dict[str, int | str]:
        """As the arguments of ``create``."""
        return {
            "start": to_signed(self.start),
            "size": to_signed(self.size),
            "kernel_start": to_signed(self.kernel_start),
            "kernel_size": to_signed(self.kernel_size),
        }


WINDOWS: tuple[Window, ...] = (
    Window(0, 1 << 48, 0, 0),
    Window(0, 1 << 48, 0, 0),
    Window(0, 1 << 48, 0xFFFF_0000_0000, 1 << 32),
    Window(0, 1 << 48, 8 * PAGE, 2 * PAGE),
    Window(4 * PAGE, 32 * PAGE, 0, 0),
    Window(4 * PAGE, 32 * PAGE, 4 * PAGE, PAGE),
    Window(1 << 47, 1 << 32, (1 << 47) + 0x8000_0000, 0x8000_0000),
    Window((1 << 63) - 8 * PAGE, 16 * PAGE, 0, 0),
    Window((1 << 64) - 64 * PAGE, 63 * PAGE, 0, 0),
)
"""Windows from 0, small ones, one across bit 63, one up to the last page but one; kernel parts
at the end, in the middle and at the start."""

windows: SearchStrategy[Window] = st.sampled_from(WINDOWS)

BUFFERS: tuple[tuple[int, int], ...] = (
    (64 * PAGE, 0), (64 * PAGE, 1), (16 * PAGE, 1), (PAGE, 0), (1 << 32, 1), (200 * PAGE, 0),
)  # fmt: skip
"""Sizes in bytes, and whether private. The first two exist from the start."""

buffers: SearchStrategy[int] = st.integers(0, len(BUFFERS) - 1)

COUNTS: tuple[int, ...] = (1, 1, 1, 1, 2, 2, 3, 3, 4, 5, 8, 16, 64)
"""Pages of a mapping."""

OFFSETS: tuple[int, ...] = (0, 0, 1, 2, 5, 15, 63)
"""Where in the buffer, in pages; modulo what fits."""

FAILURES: tuple[int, ...] = (0,) * 12 + (1, 2, 3, 4)
"""Which allocation fails."""


PARTS: tuple[Part, ...] = (
    Part(0, False, 0, True),  # exactly it
    Part(0, False, 0, True),
    Part(0, False, 1, False),  # its head
    Part(-1, True, 1, False),  # its tail
    Part(1, False, 1, False),  # inside
    Part(1, False, -1, True),  # all but a page at each end
    Part(1, False, 0, True),  # all but the head
    Part(0, False, -1, True),  # all but the tail
    Part(-1, False, 1, True),  # a page more on each side
    Part(-1, True, 2, False),  # the tail and what follows
    Part(-1, True, 3, False),
    Part(1, False, 1, True),  # all but the head, and a page more
    Part(-1, True, 8, False),  # the tail and more
    Part(-2, False, 3, False),  # what comes before, and the head
    Part(0, True, 2, False),  # right behind it
    Part(-2, False, 2, False),  # right before it
    Part(-3, False, 24, False),  # several mappings
)
"""Ranges in every position to what is mapped."""

MISTAKES: tuple[str, ...] = (
    "empty", "empty", "askew", "askew-size", "askew-offset", "no-buffer", "closed", "beyond",
    "below", "above", "across", "wrap", "kernel", "kernel-edge",
)  # fmt: skip
"""Calls that have to be refused: see ``conformance.systems.gpuvm.machine``."""

picks: SearchStrategy[int] = st.integers(0, 63)
"""Which of the things that are there, modulo how many there are."""

places: SearchStrategy[int] = st.integers(0, 63)
"""Pages from the start of the window; the last few are counted back from its end."""

maps: Pairs[int, tuple[int, int]] = Pairs(
    COUNTS, [(offset, fail) for fail in FAILURES for offset in OFFSETS]
)
"""How many pages; from where in the buffer, and which allocation fails."""

parts: Pairs[Part, int] = Pairs(PARTS, FAILURES)
"""Where, and which allocation fails."""

mistakes: Pairs[str, int] = Pairs(MISTAKES, range(8))
"""What is wrong, and with which of the things that are there."""
