"""What a library is made of: kernel objects, configuration, and our own files.

A unit is one library with the real code of one or more drivers; each system
declares its own, in its ``linux_target.py``. Units of one tree share its
configuration and its built objects.
"""

from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from reference.operations import Specs

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

SELFTEST = "selftest.c"
"""Deliberate misbehaviour, which exports ``mmu_selftest_call``; for the harness's own tests."""

EXPORTS = ("mmu_operations", "mmu_open", "mmu_places", "mmu_reset", "mmu_close")
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

    ``operations``: the table that its calls follow, the system's. ``native``: the folder of the
    system's C files. ``events``: the modules that declare what it has to tell. ``objects``:
    kernel objects, as paths from the tree's top; each has its source beside it. ``newer``: more
    of them, which only newer trees have. ``glue``: files of ``native`` that call them, compiled
    like kernel files. ``watched``: files of the harness that are compiled and watched like a
    driver. ``calls``: what the library exports besides ``EXPORTS``. ``options``: must be in the
    configuration. ``seen``: hooks without which an object cannot be watched; each object here
    has to use them, or the build fails rather than miss events silently. Where trees differ,
    one hook is several names, with bars between. ``wrapped``: functions
    of one object that, when another calls them, are called through ``__wrap_`` functions of the
    glue. ``more_options``: switched on besides ``OPTIONS``; a unit with some has a
    configuration, and so objects, of its own. ``refuses``: by the name of a probe for a file or
    a word, what our C files lack for trees that have it.
    """

    name: str
    # What is in them is part of a library's identity, see the build; where they are is not.
    operations: Specs = field(repr=False, compare=False)
    native: Path = field(repr=False, compare=False)
    events: tuple[ModuleType, ...] = field(repr=False, compare=False)
    objects: tuple[str, ...]
    newer: tuple[str, ...]
    glue: tuple[str, ...]
    watched: tuple[str, ...]
    calls: tuple[str, ...]
    options: tuple[str, ...]
    seen: dict[str, tuple[str, ...]]
    wrapped: tuple[str, ...] = ()
    more_options: tuple[str, ...] = ()
    refuses: dict[str, str] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        """The kernel sources of the objects that every tree has."""
        return tuple(map(source_of, self.objects))


def source_of(name: str) -> str:
    """The kernel source of the object ``name``."""
    return name.removesuffix(".o") + ".c"
