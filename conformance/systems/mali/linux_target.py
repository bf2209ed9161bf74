"""The target ``linux:panthor``.

The real MMU code of panthor, Linux's driver for Mali devices, with the page
tables, the VA manager and the scheduler that it uses. Around it the harness
plays the device (registers, which fault and get stuck as told, and its
interrupt) and the process that creates VMs and binds buffers (see
``native/panthor_device.c``, ``native/panthor_binds.c`` and
``native/panthor_nodes.c``).
"""

import os
from pathlib import Path
from typing import ClassVar

from conformance.systems.mali.operations import SPECS
from conformance.targets.linux.target import LinuxTarget
from conformance.targets.linux.toolchain import Progress, silent
from conformance.targets.linux.units import Unit
from reference.systems.gpuvm import events as gpuvm_events
from reference.systems.mali import events

SOURCE = "drivers/gpu/drm/panthor/panthor_mmu.c"
"""The driver that is judged, from the tree's top."""

NATIVE = Path(__file__).parent / "native"
"""Our C files, which call it."""

PANTHOR = Unit(
    name="panthor",
    operations=SPECS,
    native=NATIVE,
    events=(gpuvm_events, events),
    objects=(
        # First comes one with the kernel's ordinary flags: our files are compiled with them.
        "lib/rbtree.o",
        "lib/refcount.o",
        "lib/scatterlist.o",
        "lib/xarray.o",
        "kernel/locking/mutex.o",
        "drivers/dma-buf/dma-resv.o",
        "drivers/dma-buf/dma-fence.o",
        "drivers/dma-buf/dma-fence-array.o",
        "drivers/dma-buf/dma-fence-chain.o",
        "drivers/iommu/io-pgtable.o",
        "drivers/iommu/io-pgtable-arm.o",
        "drivers/iommu/io-pgtable-dart.o",
        "drivers/gpu/drm/drm_mm.o",
        "drivers/gpu/drm/drm_vma_manager.o",
        "drivers/gpu/drm/drm_gem.o",
        "drivers/gpu/drm/drm_exec.o",
        "drivers/gpu/drm/drm_gpuvm.o",
        "drivers/gpu/drm/scheduler/sched_main.o",
        "drivers/gpu/drm/scheduler/sched_entity.o",
        "drivers/gpu/drm/scheduler/sched_fence.o",
        "drivers/gpu/drm/panthor/panthor_mmu.o",
    ),
    newer=("drivers/iommu/iommu-pages.o",),
    glue=("panthor_device.c", "panthor_binds.c", "panthor_nodes.c"),
    watched=(),
    calls=("mmu_panthor_call",),
    options=("64BIT", "BUG", "DRM", "DRM_EXEC", "DRM_GPUVM", "DRM_SCHED", "DRM_PANTHOR"),
    seen={
        "drivers/iommu/io-pgtable-arm.o": ("mmu_access", "mmu_barrier", "warn_slowpath_fmt"),
        "drivers/gpu/drm/drm_gpuvm.o": ("mmu_access", "warn_slowpath_fmt"),
        "drivers/gpu/drm/panthor/panthor_mmu.o": ("mmu_access", "mmu_barrier", "__raw_writel"),
    },
    wrapped=(
        "drm_gpuva_map",
        "drm_gpuva_remap",
        "drm_gpuva_unmap",
        "drm_gpuvm_sm_map",
        "drm_gpuvm_sm_unmap",
        "drm_sched_entity_destroy",
        "queue_work_on",
    ),
)
"""panthor's code for the MMU of Mali devices, with its page tables, its VA manager and the
scheduler of its binds.
"""


class LinuxPanthor(LinuxTarget):
    """Linux's panthor_mmu as a target of system ``mali``: see ``LinuxTarget``.

    Numbers of VMs, buffers, fences and nodes may be signed or unsigned. What does not exist is
    refused (``-EINVAL``), as is ``idle`` without ``active``, a ``suspend`` of what is suspended,
    and anything else that no caller of the driver does. There can be 128 VMs, 256 buffers and
    1024 fences (``-ENOSPC``). One operation may lead to 32768 events, so that binds of up to
    8 GB are possible, or 64 MB in small pages; a bigger one looks like a loop. It may lead to 16
    more for each mapping that there is, so that VMs with 100,000 mappings can be destroyed.

    Two arguments are for finer steps: ``run`` with ``steps`` other than 0 does so many items of
    deferred work; ``stick`` lets ``after`` commands pass before one sticks.

    ``alloc`` and ``free`` are what the driver's other parts do for memory that they share with
    the device: ``alloc`` gives a range of the VM's kernel part, anywhere (``va`` all ones) or at
    ``va``, and maps a buffer there unless there is none. What such a part never asks for, as
    bytes that the buffer does not have, is refused before the driver is asked. Whether the
    driver could unmap what ``free`` gives back is not said: nobody asks it. ``destroy_vm`` and
    ``close_file`` free the nodes of the VMs first.

    A command's end is polled until it is there, but of answers that are all the same only the
    first 16 are told. What a VM's ``refs`` counts includes one reference for each job that keeps
    it active. The table pages that a bind reserves are told as allocated, and those that it did
    not need as freed.
    """

    thing: ClassVar[str] = "a device"

    def __init__(
        self, kernel: str | os.PathLike[str] | None = None, progress: Progress = silent
    ) -> None:
        """Find the tree, build what is not built yet, and load it: see ``LinuxTarget``."""
        super().__init__("linux:panthor", SOURCE, PANTHOR, "mmu_panthor_call", kernel, progress)
        self.reset()
