"""The targets of system ``gpuvm``: our own driver, and Linux's code.

``reference`` is a VA manager written in Python, which does what is right.
"""

import os
from pathlib import Path
from typing import Any, ClassVar

from conformance.systems.gpuvm.operations import SPECS
from conformance.targets.linux.target import LinuxTarget
from conformance.targets.linux.toolchain import Progress, silent
from conformance.targets.linux.units import Unit
from conformance.targets.reference import ReferenceTarget
from reference.operations import Operation, Result
from reference.systems.gpuvm import driver as gpuvm
from reference.systems.gpuvm import events
from reference.systems.gpuvm.events import BACKING_SHIFT, VMA, VMA_ADD, VMA_REMOVE
from reference.trace import REFS, REFS_BUFFER, REFS_VM, REFS_VM_BO, WORDS, Trace
from reference.words import to_unsigned

# -- our own driver -----------------------------------------------------------------------------

STEP_BUDGET = 1 << 14
"""Looks at a VMA that one call may take, besides ``VMA_BUDGET`` for each VMA that exists."""

VMA_BUDGET = 64
"""A call finds, removes and inserts each VMA once, and looks at about 20 each time."""

LISTED_AROUND = 4096
"""After a map or unmap, VMAs so many bytes around its range are listed too."""


class GpuvmTarget(ReferenceTarget):
    """A VA manager written in Python, by default the reference driver."""

    system = "gpuvm"
    specs = SPECS

    def __init__(self, driver: Any = gpuvm, name: str = "reference", version: str = "") -> None:
        super().__init__(driver, name, version)

    def prepare(self, operation: Operation) -> None:
        """Give a call its budget of looks at VMAs."""
        if operation.name != "create":
            self.made.trace = self.trace
            self.made.tree.budget = STEP_BUDGET + VMA_BUDGET * self.made.count
            self.made.fail_at = 0

    # -- the operations -----------------------------------------------------------------------

    def do_create(self, start: int, size: int, kernel_start: int, kernel_size: int) -> Result:
        """Make a VM."""
        self.made = self.driver.Gpuvm(start, size, kernel_start, kernel_size, self.trace)
        self.made.tree.budget = STEP_BUDGET + VMA_BUDGET * self.made.count
        return Result()

    def do_bo(self, size: int, private: int) -> Result:
        """Make a buffer."""
        return Result(*self.made.make_buffer(size, bool(private)))

    def do_close(self, bo: int) -> Result:
        """Give a handle back."""
        return Result(self.made.close_buffer(bo))

    def do_map(self, iova: int, size: int, bo: int, offset: int, fail_at: int) -> Result:
        """Map a part of a buffer."""
        self.made.fail_at = fail_at
        return Result(self.made.map(iova, size, bo, offset))

    def do_unmap(self, iova: int, size: int, fail_at: int) -> Result:
        """Unmap a range."""
        self.made.fail_at = fail_at
        return Result(self.made.unmap(iova, size))

    def do_evict(self, bo: int, state: int) -> Result:
        """Say that a buffer has lost its pages, or has them again."""
        self.made.evict(bo, bool(state))
        return Result()

    def do_validate(self) -> Result:
        """Have evicted buffers made valid."""
        self.made.validate()
        return Result()

    def do_find(self, iova: int, size: int) -> Result:
        """Look for a mapping."""
        return Result(0, self.made.find(iova, size))

    def do_destroy(self) -> Result:
        """Drop the VM."""
        self.made.destroy()
        return Result()

    # -- what is left -------------------------------------------------------------------------

    def tell(self, operation: Operation, result: Result, begin: int) -> None:
        """The VMAs in and around the operation's range, then the counts of what it touched."""
        vm, trace = self.made, self.trace
        if operation.name in ("map", "unmap"):
            iova = to_unsigned(operation.number("iova"))
            end = iova + to_unsigned(operation.number("size")) + LISTED_AROUND
            page = self.driver.PAGE
            for vma in vm.tree.overlapping(max(0, iova - LISTED_AROUND) // page, -(-end // page)):
                vm.emit_vma(VMA, vma, vma.link.buffer)
        buffers = _buffers_moved(trace, begin)
        if "bo" in operation.args:
            buffers.add(operation.number("bo"))
        elif operation.name == "bo" and result.result == 0:
            buffers.add(result.value)
        elif operation.name == "destroy":
            buffers |= set(vm.buffers)
        for number in sorted(buffers):
            buffer, link = vm.buffers.get(number), vm.links.get(number)
            trace.emit(REFS, REFS_BUFFER, number, 0 if buffer is None else buffer.count)
            trace.emit(REFS, REFS_VM_BO, number, 0 if link is None else link.count)
        trace.emit(REFS, REFS_VM, 0, vm.count)


def _buffers_moved(trace: Trace, begin: int) -> set[int]:
    """The buffers of the VMAs that were added or removed since event ``begin``."""
    words = trace.words
    return {
        to_unsigned(words[at + 3]) >> BACKING_SHIFT
        for at in range(WORDS * begin, len(words), WORDS)
        if words[at] & 0xFFFF in (VMA_ADD, VMA_REMOVE)
    }


# -- Linux's code -------------------------------------------------------------------------------
#
# The target ``linux:gpuvm``.
#
# The real drm_gpuvm, which keeps a GPU driver's mappings and splits them where a
# new request cuts through. Around it the harness plays a simple driver, which has
# buffers and says what it would put in page tables (see ``native/gpuvm.c``).

SOURCE = "drivers/gpu/drm/drm_gpuvm.c"
"""The driver that is judged, from the tree's top."""

NATIVE = Path(__file__).parent / "native"
"""Our C files, which call it."""

GPUVM = Unit(
    name="gpuvm",
    operations=SPECS,
    native=NATIVE,
    events=(events,),
    objects=(
        # First comes one with the kernel's ordinary flags: our files are compiled with them.
        "lib/rbtree.o",
        "lib/refcount.o",
        "kernel/locking/mutex.o",
        "drivers/dma-buf/dma-resv.o",
        "drivers/dma-buf/dma-fence.o",
        "drivers/gpu/drm/drm_mm.o",
        "drivers/gpu/drm/drm_vma_manager.o",
        "drivers/gpu/drm/drm_gem.o",
        "drivers/gpu/drm/drm_exec.o",
        "drivers/gpu/drm/drm_gpuvm.o",
    ),
    newer=(),
    glue=("gpuvm.c",),
    watched=(),
    calls=("mmu_gpuvm_call",),
    options=("64BIT", "BUG", "DRM", "DRM_EXEC", "DRM_GPUVM"),
    seen={
        "drivers/gpu/drm/drm_gpuvm.o": ("mmu_access", "warn_slowpath_fmt"),
        "lib/refcount.o": ("warn_slowpath_fmt",),
    },
)
"""drm_gpuvm, which manages the virtual addresses of a GPU driver, and what is below it."""


class LinuxGpuvm(LinuxTarget):
    """Linux's drm_gpuvm as a target of system ``gpuvm``: see ``LinuxTarget``.

    The order of events is that of the system, too. A buffer that does not exist, or whose handle
    was closed, is refused by the driver (``-EINVAL``), as is the 1025th one (``-ENOSPC``).
    """

    thing: ClassVar[str] = "a VM"
    always: ClassVar[tuple[str, ...]] = ("close",)

    def __init__(
        self, kernel: str | os.PathLike[str] | None = None, progress: Progress = silent
    ) -> None:
        """Find the tree, build what is not built yet, and load it: see ``LinuxTarget``."""
        super().__init__("linux:gpuvm", SOURCE, GPUVM, "mmu_gpuvm_call", kernel, progress)
        self.reset()
