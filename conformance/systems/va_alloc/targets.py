"""The targets of system ``va-alloc``: our own driver, and Linux's code.

``reference`` is an allocator of addresses written in Python, which does what is right.
"""

import os
from pathlib import Path
from typing import Any, ClassVar

from conformance.systems.va_alloc.operations import SPECS
from conformance.targets.linux.target import LinuxTarget
from conformance.targets.linux.toolchain import Progress, silent
from conformance.targets.linux.units import Unit
from conformance.targets.reference import ReferenceTarget
from reference.operations import Operation, Result
from reference.systems.va_alloc import driver as va_alloc
from reference.systems.va_alloc import promise
from reference.systems.va_alloc.promise import HOLE, LISTED, RANGE
from reference.trace import Trace
from reference.words import to_signed, to_unsigned

# -- our own driver -----------------------------------------------------------------------------

STEP_BUDGET = 1 << 14
"""Looks at a hole that one call may take, besides ``HOLE_BUDGET`` for each node that exists."""

HOLE_BUDGET = 256
"""A call looks at each hole once, after a search of some 20 looks. Destroying frees each node."""


class VaAllocTarget(ReferenceTarget):
    """An allocator written in Python, by default the reference driver."""

    system = "va-alloc"
    specs = SPECS

    def __init__(self, driver: Any = va_alloc, name: str = "reference", version: str = "") -> None:
        super().__init__(driver, name, version)
        self._modes: dict[str, int] = {"best": driver.BEST, "low": driver.LOW, "high": driver.HIGH}
        self._about: tuple[int, int] = (0, -1)

    def prepare(self, operation: Operation) -> None:
        """Give a call its budget of looks at holes."""
        allocator = self.made
        if operation.name != "create":
            allocator.holes.budget = STEP_BUDGET + HOLE_BUDGET * len(allocator.nodes)
            self._about = (allocator.first, allocator.end - 1)

    # -- the operations -----------------------------------------------------------------------

    def do_create(self, start: int, size: int) -> Result:
        """Make an allocator."""
        allocator = self.driver.VaAllocator(to_unsigned(start), to_unsigned(size))
        allocator.holes.budget = STEP_BUDGET
        self.made = allocator
        self._about = (allocator.first, allocator.end - 1)
        return Result()

    def do_alloc(self, size: int, align: int, mode: str, first: int, last: int) -> Result:
        """Ask for addresses."""
        size = to_unsigned(size)
        bounds = to_unsigned(first), to_unsigned(last)
        self._about = bounds
        result, address = self.made.alloc(size, to_unsigned(align), self._modes[mode], *bounds)
        if result == 0:
            self._about = (address, address + size - 1)
        return Result(result, to_signed(address))

    def do_reserve(self, va: int, size: int) -> Result:
        """Ask for these addresses."""
        va, size = to_unsigned(va), to_unsigned(size)
        self._about = (va, va + max(size, 1) - 1)
        return Result(self.made.reserve(va, size))

    def do_free(self, node: int) -> Result:
        """Give a range back."""
        allocator = self.made
        one = allocator.nodes.get(node)
        first = allocator.first
        self._about = (first, first) if one is None else (one.first, one.end - 1)
        return Result(allocator.free(node))

    def do_find(self, first: int, last: int) -> Result:
        """Look for a range."""
        allocator = self.made
        low = max(to_unsigned(first), allocator.first)
        high = min(to_unsigned(last), allocator.end - 1)
        node = allocator.find(low, high) if low <= high else None
        return Result(0, -1 if node is None else to_signed(node.first))

    def do_destroy(self) -> Result:
        """Give everything back."""
        self.made.destroy()
        return Result()

    # -- what is left -------------------------------------------------------------------------

    def tell(self, operation: Operation, result: Result, begin: int) -> None:
        """Nodes and holes in and around what the call was about: see ``VaSpace.around``."""
        if operation.name != "find":
            self._tell(*self._about, self.trace)

    def _tell(self, first: int, last: int, trace: Trace) -> None:
        """Nodes and holes in and around ``first``..``last``, ascending."""
        allocator = self.made
        low = min(max(first, allocator.first), allocator.end - 1)
        high = min(max(last, low), allocator.end - 1)
        start, stop = allocator.first, allocator.end
        listed: list[tuple[int, int, int]] = []
        # 1. Nodes: the one below the range, those in it, the one above it.
        at = allocator.starts.at_or_before(low)
        if at >= 0 and allocator.starting[at].end > low:
            at = allocator.starts.at_or_before(at - 1)
        if at >= 0:
            start = at
            listed.append((at, allocator.starting[at].end, allocator.starting[at].number))
        for number in range(LISTED):
            at = allocator.starts.at_or_after(at + 1 if listed else start)
            if at < 0:
                break
            listed.append((at, allocator.starting[at].end, allocator.starting[at].number))
            if at > high or number == LISTED - 1:
                stop = allocator.starting[at].end
                break
        # 2. Holes between them, and up to the window's ends where there is no such node.
        hole = allocator.holes.upwards(start, 0)
        while hole is not None and hole.first < stop:
            listed.append((hole.first, hole.end, HOLE))
            hole = allocator.holes.upwards(hole.end, 0)
        for first, end, number in sorted(listed):
            trace.emit(RANGE, to_signed(first), to_signed(end - 1), number)


# -- Linux's code -------------------------------------------------------------------------------
#
# The target ``linux:drm-mm``.
#
# The real drm_mm, from which the kernel's graphics drivers get ranges of addresses. Around it the
# harness keeps the nodes that were given out (see ``native/drm_mm.c``).

SOURCE = "drivers/gpu/drm/drm_mm.c"
"""The driver that is judged, from the tree's top."""

NATIVE = Path(__file__).parent / "native"
"""Our C files, which call it."""

DRM_MM = Unit(
    name="drm-mm",
    operations=SPECS,
    native=NATIVE,
    events=(promise,),
    objects=(
        # First comes one with the kernel's ordinary flags: our files are compiled with them.
        "lib/rbtree.o",
        "drivers/gpu/drm/drm_mm.o",
    ),
    newer=(),
    glue=("drm_mm.c",),
    watched=(),
    calls=("mmu_drm_mm_call",),
    options=("64BIT", "BUG", "DRM"),
    seen={"drivers/gpu/drm/drm_mm.o": ("mmu_access", "warn_slowpath_fmt")},
)
"""drm_mm, which gives out ranges of addresses."""


class LinuxDrmMm(LinuxTarget):
    """Linux's drm_mm as a target of system ``va-alloc``: see ``LinuxTarget``.

    What is told after each operation is that of the system, too. A node that does not exist is
    refused before the driver is asked (``-EINVAL``).
    """

    thing: ClassVar[str] = "an allocator"

    def __init__(
        self, kernel: str | os.PathLike[str] | None = None, progress: Progress = silent
    ) -> None:
        """Find the tree, build what is not built yet, and load it: see ``LinuxTarget``."""
        super().__init__("linux:drm-mm", SOURCE, DRM_MM, "mmu_drm_mm_call", kernel, progress)
        self.reset()
