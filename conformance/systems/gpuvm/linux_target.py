"""The target ``linux:gpuvm``.

The real drm_gpuvm, which keeps a GPU driver's mappings and splits them where a
new request cuts through. Around it the harness plays a simple driver, which has
buffers and says what it would put in page tables (see ``native/gpuvm.c``).
"""

import os
from pathlib import Path
from typing import ClassVar

from conformance.systems.gpuvm.operations import SPECS
from conformance.targets.linux.target import LinuxTarget
from conformance.targets.linux.toolchain import Progress, silent
from conformance.targets.linux.units import Unit
from reference.systems.gpuvm import events

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
