"""The target ``linux:drm-mm``.

The real drm_mm, from which the kernel's graphics drivers get ranges of addresses. Around it the
harness keeps the nodes that were given out (see ``native/drm_mm.c``).
"""

import os
from pathlib import Path
from typing import ClassVar

from conformance.systems.va_alloc.operations import SPECS
from conformance.targets.linux.target import LinuxTarget
from conformance.targets.linux.toolchain import Progress, silent
from conformance.targets.linux.units import Unit
from reference.systems.va_alloc import events

SOURCE = "drivers/gpu/drm/drm_mm.c"
"""The driver that is judged, from the tree's top."""

NATIVE = Path(__file__).parent / "native"
"""Our C files, which call it."""

DRM_MM = Unit(
    name="drm-mm",
    operations=SPECS,
    native=NATIVE,
    events=(events,),
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
