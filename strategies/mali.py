"""What the ``mali`` machine draws: devices, VMs, buffers, binds by what is mapped, mishaps.

Written-out lists, as in ``strategies.pagetable``: they say how often a case comes up.
"""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from reference.systems.mali.state import NOEXECUTE, READONLY, UNCACHED
from strategies.pairs import Pairs
from strategies.parts import Part

PAGE = 0x1000
LARGE = 0x20_0000
GIGA = 0x4000_0000

DEVICES: tuple[tuple[int, int, int, int], ...] = (
    (48, 40, 3, 1), (48, 40, 4, 1), (39, 40, 3, 0), (48, 44, 3, 1), (33, 36, 4, 1),
    (36, 40, 3, 0), (48, 40, 2, 1), (32, 40, 8, 1),
)  # fmt: skip
"""Input bits, output bits, address spaces (the first of which is the firmware's), coherent."""

devices: SearchStrategy[int] = st.integers(0, len(DEVICES) - 1)

BUFFERS: tuple[tuple[int, int, bool], ...] = (
    (64 * PAGE, 0, False), (3 * LARGE, 0, False), (2 * LARGE, 1, False), (64 * PAGE, 3, True),
    (3 * LARGE, 0, True), (2 * LARGE, 512, False), (PAGE, 0, False), (LARGE, 700, False),
    (GIGA + LARGE, 0, False),
)  # fmt: skip
"""Bytes, pages in a piece (0: in whole), whether only one VM may map it. The first three exist
from the start."""

buffers: SearchStrategy[int] = st.integers(0, len(BUFFERS) - 1)

PLACES: tuple[int, ...] = (
    0, 0, PAGE, 3 * PAGE, 8 * PAGE, 511 * PAGE, LARGE, LARGE, LARGE + PAGE, LARGE - 2 * PAGE,
    2 * LARGE, 2 * LARGE - PAGE, 3 * LARGE, GIGA - PAGE, GIGA - LARGE, GIGA, GIGA + 3 * PAGE,
    -PAGE, -2 * PAGE, -LARGE,
)  # fmt: skip
"""Addresses in the process's part of a VM; negative ones are counted from its end."""

COUNTS: tuple[int, ...] = (
    *(1, 1, 2, 2, 3, 3, 4) * 7, 1, 1, 1, 2, 5, 5, 7, 9, 16, 33, 512, 513,
)  # fmt: skip
"""Pages of a bind, as far as the buffer has them."""

SHORT: tuple[int, ...] = (1, 1, 1, 2, 2, 3, 3, 4, 9, 16)
"""Pages where nothing depends on there being many."""

OFFSETS: tuple[int, ...] = (0, 0, 0, 1, 2, 5, 512, 63)
"""Where in the buffer, in pages; modulo what fits."""

FLAGS: tuple[int, ...] = (
    0, 0, 0, 0, READONLY, NOEXECUTE, UNCACHED, READONLY | UNCACHED,
    READONLY | NOEXECUTE | UNCACHED, NOEXECUTE,
)  # fmt: skip
"""Flags of a bind."""

FAILURES: tuple[int, ...] = (0,) * 12 + (1, 2, 3, 4, 5, 6, 7, 8)
"""Which allocation of a bind fails."""

CUT_FAILURES: tuple[int, ...] = (0,) * 18 + (1, 1, 2, 2, 3, 4, 5, 6)
"""Which allocation of an unmap fails; it has few."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What to map: pages, from where in the buffer, flags, and which allocation fails."""

    pages: int
    offset: int
    flags: int
    fail_at: int


SHAPES: tuple[Shape, ...] = tuple(
    Shape(
        COUNTS[number % len(COUNTS)],
        OFFSETS[number * 3 % len(OFFSETS)],
        FLAGS[number * 7 // 3 % len(FLAGS)],
        FAILURES[number * 11 % len(FAILURES)],
    )
    for number in range(240)
)
"""Every element of the lists in turn, with others beside it each time."""

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
    Part(-2, False, 3, False),  # what comes before, and the head
    Part(0, True, 2, False),  # right behind it
    Part(-2, False, 2, False),  # right before it
    Part(-3, False, 24, False),  # several mappings
    Part(0, False, 512, False),  # a large page from its start
    Part(-1, True, 513, False),
)
"""Ranges in every position to what is mapped."""

SMALL: tuple[int, ...] = (8, 10)
"""What is done with large pages: these, with a whole 2 MiB of small ones. It takes long."""

TWICE: tuple[int, ...] = (0, 3)
"""What is done with large pages: these, with two of them."""

MISTAKES: tuple[str, ...] = (
    "empty", "empty-queued", "empty-queued", "askew", "askew-size", "askew-offset",
    "askew-offset", "no-buffer", "beyond", "other-vm", "flags", "kind", "kernel", "kernel",
    "kernel-edge", "outside", "wrap", "no-vm", "no-fence", "unmap-buffer", "wait-with-range",
    "signal-again", "idle-none", "size-of-buffer", "close-again", "destroy-again", "no-slot",
    "user-part", "no-node", "no-room", "node-there", "node-askew",
)  # fmt: skip
"""Calls that have to be refused: see ``conformance.systems.mali.machine``."""

MISHAPS: tuple[str, ...] = (
    "fault", "fault", "fault-again", "slow", "slow", "stuck", "stuck", "stuck-later",
    "stuck-active", "stuck-active", "stuck-asleep", "reset", "reset", "reset-between",
    "reset-between", "suspend",
    "suspend-between", "unplug", "unplug", "close-file",
)  # fmt: skip
"""What happens to the device: see ``conformance.systems.mali.machine``."""

VMS: tuple[str, ...] = (
    "new", "new", "new", "destroy", "destroy-active", "destroy-queued", "destroy-queued",
    "user-part", "handles",
)  # fmt: skip
"""What is done with whole VMs."""

USER_PARTS: tuple[int, ...] = (0, 0, 0, 1 << 28, 1 << 32, -(1 << 28), 1 << 31)
"""Bytes that a process asks for; negative ones are counted from all there is."""

NODES: tuple[int, ...] = (1, 1, 2, 5, 512, 513, 1024, -1, -2)
"""Pages that the kernel takes; negative ones: all there is, or half of it."""

picks: SearchStrategy[int] = st.integers(0, 63)
"""Which of the things that are there, modulo how many there are."""

binds: Pairs[int, Shape] = Pairs(PLACES, SHAPES)
"""Where to map what."""

parts: Pairs[Part, int] = Pairs(PARTS, FAILURES)
"""Where by a mapping, and which allocation fails."""

cuts: Pairs[Part, int] = Pairs(PARTS, CUT_FAILURES)
"""Where by a mapping to unmap, and which allocation fails."""

larges: Pairs[Part, int] = Pairs(PARTS, (*range(8), *SMALL))
"""Where by a mapping of large pages, and what is done there."""

queues: Pairs[Part, int] = Pairs(PARTS, range(16))
"""Where by a mapping, and in which order queued binds wait for what."""

jobs: Pairs[int, int] = Pairs(range(8), range(8))
"""Which VM, and what its jobs do."""

mistakes: Pairs[str, int] = Pairs(MISTAKES, range(8))
"""What is wrong, and with which of the things that are there."""

mishaps: Pairs[str, int] = Pairs(MISHAPS, range(8))
"""What happens, and to which address space."""

vms: Pairs[str, int] = Pairs(VMS, range(len(USER_PARTS)))
"""What is done with which VM, and how large the process's part is."""

nodes: Pairs[int, int] = Pairs(NODES, range(8))
"""How much the kernel takes, and what is done with it."""

SIZES: dict[str, int] = {
    "bind": binds.size,
    "bind-over": parts.size,
    "unbind": cuts.size,
    "bind-in-use": binds.size,
    "bind-large": larges.size,
    "queue": binds.size,
    "queue-in-order": queues.size,
    "jobs": jobs.size,
    "vms": vms.size,
    "make-or-close": len(BUFFERS),
    "nodes": nodes.size,
    "mishap": mishaps.size,
    "mistake": mistakes.size,
}
"""How many ways there are to carry out each action."""

ACTIONS: tuple[str, ...] = (*SIZES, "bind", "bind-over", "unbind", "unbind")
"""What a step does, as often as it comes up."""

actions: Pairs[str, int] = Pairs(ACTIONS, range(max(SIZES.values())))
"""What to do, and in which way, modulo how many there are."""
