"""What each library is made of: kernel objects, configuration, and our own files.

A unit is one library with the real code of one or more drivers. Units of one
tree share its configuration and its built objects.
"""

from dataclasses import dataclass

NATIVE_HOST = ("host/recorder.c", "host/memory.c", "host/guard.c")
"""The half of the harness that sees libc."""

NATIVE_KERNEL = (
    "kernel/pages.c",
    "kernel/folios.c",
    "kernel/heap.c",
    "kernel/dma.c",
    "kernel/messages.c",
    "kernel/bytes.c",
    "kernel/slabs.c",
    "kernel/waiting.c",
    "kernel/work.c",
    "kernel/interrupts.c",
    "kernel/clock.c",
    "kernel/drm_device.c",
    "kernel/start.c",
)
"""The fake kernel: the half of the harness that sees kernel headers."""

EXPORTS = ("mmu_open", "mmu_places", "mmu_reset", "mmu_close")
"""What every library offers to Python; each unit adds its calls."""

OPTIONS = (
    # A 64-bit kernel that can be configured freely.
    "64BIT",
    "COMPILE_TEST",
    "EXPERT",
    # Warnings and bugs must be more than a comment.
    "PRINTK",
    "BUG",
    # Without it, dma_sync_* is nothing at all from 6.10 on.
    "DMA_API_DEBUG",
    # What drivers depend on.
    "VIRTIO_UML",
    "UML_PCI_OVER_VIRTIO",
    "PCI",
    "PM",
    "PM_SLEEP",
    "SUSPEND",
    "OF",
    "COMMON_CLK",
    "DRM",
    "IOMMU_SUPPORT",
    # The drivers.
    "IOMMU_IO_PGTABLE_LPAE",
    "IOMMU_IO_PGTABLE_DART",
    "APPLE_DART",
    "DRM_PANTHOR",
    "DRM_PANFROST",
    "DRM_NOUVEAU",
)
"""Switched on in every configuration, as far as the tree has them (without CONFIG_)."""

VALUES = {"UML_PCI_OVER_VIRTIO_DEVICE_ID": "1234", "KERNEL_STACK_ORDER": "6"}
"""Options with a value."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One library.

    ``objects``: kernel objects, as paths from the tree's top; each has its source
    beside it. ``newer``: more of them, which only newer trees have. ``glue``: our files
    that call them, compiled like kernel files. ``watched``: our files that are compiled
    and watched like a driver. ``calls``: what the library exports besides ``EXPORTS``.
    ``wrapped``: functions of one object that, when another calls them, are called through
    ``__wrap_`` functions of the glue. ``options``: must be in the configuration.
    ``seen``: hooks without which an object cannot be watched; each object here has to use
    them, or the build fails rather than miss events silently.
    """

    name: str
    objects: tuple[str, ...]
    newer: tuple[str, ...]
    glue: tuple[str, ...]
    watched: tuple[str, ...]
    calls: tuple[str, ...]
    options: tuple[str, ...]
    seen: dict[str, tuple[str, ...]]
    wrapped: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The kernel sources of the objects that every tree has."""
        return tuple(map(source_of, self.objects))


def source_of(name: str) -> str:
    """The kernel source of the object ``name``."""
    return name.removesuffix(".o") + ".c"


PAGE_TABLES = Unit(
    name="page-tables",
    objects=(
        "drivers/iommu/io-pgtable.o",
        "drivers/iommu/io-pgtable-arm.o",
        "drivers/iommu/io-pgtable-dart.o",
    ),
    newer=("drivers/iommu/iommu-pages.o",),
    glue=("units/io_pgtable.c",),
    watched=("units/selftest.c",),
    calls=("mmu_pagetable_call", "mmu_selftest_call"),
    options=("64BIT", "BUG", "DMA_API_DEBUG", "IOMMU_IO_PGTABLE_LPAE", "IOMMU_IO_PGTABLE_DART"),
    seen={
        "drivers/iommu/io-pgtable-arm.o": ("mmu_access", "mmu_barrier", "warn_slowpath_fmt"),
        "drivers/iommu/io-pgtable-dart.o": ("mmu_access", "mmu_barrier", "warn_slowpath_fmt"),
    },
)
"""io-pgtable with the formats of Arm and of Apple's DART."""

GPUVM = Unit(
    name="gpuvm",
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
    glue=("units/gpuvm.c",),
    watched=(),
    calls=("mmu_gpuvm_call",),
    options=("64BIT", "BUG", "DRM", "DRM_EXEC", "DRM_GPUVM"),
    seen={
        "drivers/gpu/drm/drm_gpuvm.o": ("mmu_access", "warn_slowpath_fmt"),
        "lib/refcount.o": ("warn_slowpath_fmt",),
    },
)
"""drm_gpuvm, which manages the virtual addresses of a GPU driver, and what is below it."""

DRM_MM = Unit(
    name="drm-mm",
    objects=(
        # First comes one with the kernel's ordinary flags: our files are compiled with them.
        "lib/rbtree.o",
        "drivers/gpu/drm/drm_mm.o",
    ),
    newer=(),
    glue=("units/drm_mm.c",),
    watched=(),
    calls=("mmu_drm_mm_call",),
    options=("64BIT", "BUG", "DRM"),
    seen={"drivers/gpu/drm/drm_mm.o": ("mmu_access", "warn_slowpath_fmt")},
)
"""drm_mm, which gives out ranges of addresses."""

PANTHOR = Unit(
    name="panthor",
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
    glue=("units/panthor_device.c", "units/panthor_binds.c", "units/panthor_nodes.c"),
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

NVKM = Unit(
    name="nvkm",
    objects=(
        # First comes one with the flags of the driver's folder: our files are compiled with them.
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/base.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/gf100.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/gk104.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/gm200.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/gp100.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/uvmm.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmm.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmmgf100.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmmgk104.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmmgm200.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmmgp100.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmmnv04.o",
        "drivers/gpu/drm/nouveau/nvkm/core/memory.o",
        "drivers/gpu/drm/nouveau/nvkm/core/mm.o",
        "drivers/gpu/drm/nouveau/nvkm/core/object.o",
        "lib/rbtree.o",
        "lib/refcount.o",
        "lib/scatterlist.o",
        "kernel/locking/mutex.o",
    ),
    newer=(),
    glue=(
        "units/nvkm_device.c",
        "units/nvkm_memories.c",
        "units/nvkm_client.c",
        "units/nvkm_telling.c",
    ),
    watched=(),
    calls=("mmu_nvkm_call",),
    options=("64BIT", "BUG", "DRM", "DRM_NOUVEAU"),
    seen={
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmm.o": (
            "__tsan_read8",
            "__tsan_write8",
            "warn_slowpath_fmt",
        ),
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmmgf100.o": ("ioread32", "iowrite32"),
        "lib/refcount.o": ("warn_slowpath_fmt",),
    },
    wrapped=("nvkm_mmu_ptc_get", "nvkm_mmu_ptc_put"),
)
"""nvkm, the part of nouveau that manages page tables of NVIDIA devices, from Fermi to Pascal."""
