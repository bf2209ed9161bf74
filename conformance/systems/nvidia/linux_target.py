"""The target ``linux:nvkm``.

The real code of nvkm, the part of Linux's nouveau that manages the page tables
of NVIDIA devices, for chips from GF100 to GP100. Around it the harness plays
the device (registers that ask for invalidations, and the memory in which
tables lie) and a client that makes an address space and uses it (see
``native/nvkm_device.c``, ``native/nvkm_client.c``,
``native/nvkm_memories.c`` and ``native/nvkm_telling.c``).
"""

import os
from pathlib import Path
from typing import ClassVar

from conformance.systems.nvidia.operations import SPECS
from conformance.targets.linux.target import LinuxTarget
from conformance.targets.linux.toolchain import Progress, silent
from conformance.targets.linux.units import Unit
from reference.systems.gpuvm import events as gpuvm_events
from reference.systems.nvidia import events

SOURCE = "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmm.c"
"""The driver that is judged, from the tree's top."""

RAW_CALL = "nvkm_vmm_raw_get"
"""A function that only trees with the raw interface have."""

NATIVE = Path(__file__).parent / "native"
"""Our C files, which call it."""

NVKM = Unit(
    name="nvkm",
    operations=SPECS,
    native=NATIVE,
    events=(gpuvm_events, events),
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
    glue=("nvkm_device.c", "nvkm_memories.c", "nvkm_client.c", "nvkm_telling.c"),
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


class LinuxNvkm(LinuxTarget):
    """Linux's nvkm as a target of system ``nvidia``: see ``LinuxTarget``.

    A tree without the raw interface (before 6.6) has ``raw`` restricted to 0, and gives
    ``-EOPNOTSUPP`` for it.

    The driver is asked through the methods that it has for clients, so its own checks are part
    of it. What a client could not even say is refused before it is asked: an area or memory that
    does not exist (``-ENOENT``), a page size that is no shift or a chip that has no such large
    pages (``-EINVAL``), more than 16384 pages in one ``pfn_map`` or the 65537th area
    (``-E2BIG``), a ``boot`` of more than 1 GiB or a second one (``-EINVAL``), a ``join`` of what
    is joined (``-EBUSY``), a ``part`` of what is not (``-EINVAL``).

    Areas are numbered as they come: by ``create``, for what the client manages itself, and by
    ``get``. Parts of them are named by the area and the first byte in it.

    With ``replay`` an address space of gp100 has its faults replayed when the client asks for
    it, by the operation ``replay``.

    After ``stick`` the device says so many times (-1: from then on) that no invalidation is
    done. Of answers that are all the same only the first 16 are told.
    """

    thing: ClassVar[str] = "an address space"
    always: ClassVar[tuple[str, ...]] = ("memory", "drop", "stick")

    def __init__(
        self, kernel: str | os.PathLike[str] | None = None, progress: Progress = silent
    ) -> None:
        """Find the tree, build what is not built yet, and load it: see ``LinuxTarget``."""
        super().__init__("linux:nvkm", SOURCE, NVKM, "mmu_nvkm_call", kernel, progress)
        if RAW_CALL not in self.places:
            self.traits = {"raw": (0,)}
        self.reset()
