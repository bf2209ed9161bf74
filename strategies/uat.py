"""What the ``uat`` machine draws: machines, shapes of mappings, places, and when the firmware runs.

Written-out lists, as in ``strategies.pagetable``: they say how often a case comes up.
"""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from strategies.pairs import Pairs

PAGE = 0x4000
TABLE = PAGE << 11
"""Bytes that one table of pages maps."""


@dataclass(frozen=True, slots=True)
class Made:
    """The arguments of ``create``."""

    order: str
    switch_flushes: int
    contexts: int
    oas: int = 40
    boot: str = "ready"
    regions: str = "all"
    fail_at: int = 0


def _machines() -> tuple[Made, ...]:
    found = [
        Made(order, flushes, contexts)
        for order in ("sc", "tso", "weak")
        for flushes in (1, 0)
        for contexts in (4, 3, 2, 4, 5)
    ]
    found += [Made("weak", 1, 64), Made("tso", 0, 64), Made("sc", 1, 3, 42, "late")]
    found += [Made("weak", 0, 3, 40, "late"), Made("tso", 1, 4, 42)]
    return tuple(found)


MACHINES: tuple[Made, ...] = _machines()
"""Each order of memory with each assumption on the firmware; few contexts, so that they run out."""

WRONG_MACHINES: tuple[Made, ...] = (
    Made("sc", 1, 3, boot="dead"), Made("tso", 1, 3, fail_at=1), Made("sc", 1, 3, fail_at=2),
    Made("sc", 1, 3, regions="no-handoff"), Made("sc", 1, 3, regions="no-ttbs"),
    Made("sc", 1, 3, regions="no-pagetables"), Made("sc", 1, 3, regions="small-handoff"),
    Made("sc", 1, 3, regions="small-ttbs"), Made("sc", 1, 3, regions="small-pagetables"),
    Made("sc", 1, 3, regions="unmappable-ttbs"), Made("weak", 1, 3, boot="dead"),
)  # fmt: skip
"""Starts that have to fail."""

starts: SearchStrategy[int] = st.integers(0, 6 * len(MACHINES) - 1)
"""Which machine, how many VMs are made at once, and whether a start that fails comes before."""

SHAPES: tuple[tuple[int, int], ...] = (
    (1, 0), (1, 0), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (4, 2), (5, 0), (5, 3), (9, 0), (0, 0),
    (17, 0), (40, 16), (0, 0),
)  # fmt: skip
"""Pages of a mapping, and of each piece of what it leads to (0: one piece)."""

FAILURES: tuple[int, ...] = (0,) * 13 + (1, 2, 3)
"""Which allocation of a map fails."""

USER_PROTS: tuple[str, ...] = (
    "gpu-fw-priv-rw", "gpu-fw-priv-rw", "gpu-fw-shared-rw", "gpu-shared-rw", "gpu-shared-ro",
    "gpu-shared-wo", "gpu-fw-priv-rw",
)  # fmt: skip
"""Protections of users' mappings; those that the firmware caches come up most."""

KERNEL_PROTS: tuple[str, ...] = (
    "fw-priv-rw", "fw-priv-rw", "fw-shared-rw", "fw-shared-ro", "fw-mmio-rw", "fw-mmio-ro",
    "gpu-fw-priv-rw", "gpu-fw-shared-rw", "gpu-shared-rw", "gpu-shared-ro", "gpu-shared-wo",
)  # fmt: skip
"""Those of the kernel's."""

OFFSETS: tuple[int, ...] = (
    0, PAGE, 2 * PAGE, 4 * PAGE, 5 * PAGE, 8 * PAGE, TABLE - PAGE, TABLE - 2 * PAGE, TABLE,
    TABLE - 3 * PAGE, 1 << 35, (1 << 36) - 48 * PAGE,
)  # fmt: skip
"""Where mappings lie in a window: together, across a table's end, at the window's end."""

SWITCHES: tuple[tuple[int, int], ...] = (
    (0, 0), (0, 0), (0, 0), (1, 4), (2, 3), (2, 8), (3, 5), (4, 12), (5, 8), (6, 20), (7, 3),
    (8, 9), (10, 16), (12, 24), (14, 8), (16, 40), (18, 12), (20, 30), (24, 6), (28, 60), (3, 60),
    (1, 30), (9, 60), (2, 9), (3, 12), (4, 16), (5, 14), (6, 10),
)  # fmt: skip
"""After so many accesses of the next call, so many of the firmware; no steps: none."""

FIRMWARE: tuple[str, ...] = (
    "enter", "enter", "touch", "touch", "touch", "leave", "run", "run-long", "enter-run",
    "touch-run",
)  # fmt: skip
"""What the firmware is to do."""

MISTAKES: tuple[str, ...] = (
    "no-bytes", "taken", "head-taken", "tail-taken", "below", "above", "part-page", "part-size",
    "bad-piece", "bad-later-piece", "beyond-memory", "range-too-small", "range-empty", "io-part",
    "too-large", "no-memory", "no-vm-memory", "guard-outside", "no-such-multiple", "io-beyond",
    "no-memory-later", "no-bytes-guard", "bad-later-piece", "no-memory-later",
)  # fmt: skip
"""Calls that have to be refused, or may fail: see ``conformance.systems.uat.machine``."""

picks: SearchStrategy[int] = st.integers(0, 63)
"""Which of the things that are there, modulo how many there are."""

shapes: Pairs[tuple[int, int], int] = Pairs(SHAPES, range(16))
"""Which shape, and a number for its protection and its place."""

places: Pairs[int, int] = Pairs(OFFSETS, range(8))
"""Where, and with what."""

switches: Pairs[tuple[int, int], int] = Pairs(SWITCHES, range(16))
"""When the firmware runs, and which of the things that are there."""

firmware: Pairs[str, int] = Pairs(FIRMWARE, range(8))
"""What it does, with which of the things that are there."""

mistakes: Pairs[str, int] = Pairs(MISTAKES, range(8))
"""What is wrong, and with which of the things that are there."""
