"""The systems, by name, and the reference target of each."""

from collections.abc import Callable, Mapping
from typing import Any

from conformance.machines import gpuvm, mali, nvidia, pagetable, va_alloc
from conformance.machines.gpuvm_session import SPECS as GPUVM_SPECS
from conformance.machines.gpuvm_session import GpuvmSession, possible
from conformance.machines.gpuvm_views import GpuvmViews
from conformance.machines.mali_session import SPECS as MALI_SPECS
from conformance.machines.mali_session import MaliSession
from conformance.machines.mali_session import possible as mali_possible
from conformance.machines.mali_views import MaliViews
from conformance.machines.nvidia_session import SPECS as NVIDIA_SPECS
from conformance.machines.nvidia_session import NvidiaSession
from conformance.machines.nvidia_session import possible as nvidia_possible
from conformance.machines.nvidia_views import NvidiaViews
from conformance.machines.pagetable_session import SPECS, PageTableSession, configurable
from conformance.machines.pagetable_views import PageTableViews
from conformance.machines.va_alloc_session import SPECS as VA_ALLOC_SPECS
from conformance.machines.va_alloc_session import VaAllocSession
from conformance.machines.va_alloc_session import possible as va_alloc_possible
from conformance.machines.va_alloc_views import VaAllocViews
from conformance.system import System
from conformance.targets.protocol import Target
from conformance.targets.reference import PageTableTarget
from conformance.targets.reference_gpuvm import GpuvmTarget
from conformance.targets.reference_mali import MaliTarget
from conformance.targets.reference_nvidia import NvidiaTarget
from conformance.targets.reference_va_alloc import VaAllocTarget

SYSTEMS: dict[str, System] = {
    "pagetable": System(
        "pagetable",
        "map, unmap and translate on one page table",
        SPECS,
        PageTableSession.rules,
        PageTableSession,
        PageTableViews,
        pagetable.machine_class,
        (("iova",), ("pa",)),
        configurable,
    ),
    "gpuvm": System(
        "gpuvm",
        "mappings of buffers in one address space: split and merge, links, references",
        GPUVM_SPECS,
        GpuvmSession.rules,
        GpuvmSession,
        GpuvmViews,
        gpuvm.machine_class,
        (("iova",), ("iova", "start"), ("iova", "start", "kernel_start")),
        possible,
    ),
    "mali": System(
        "mali",
        "binds, address spaces, faults and resets of a Mali GPU (CSF)",
        MALI_SPECS,
        MaliSession.rules,
        MaliSession,
        MaliViews,
        mali.machine_class,
        (("va",), ("va", "address"), ("offset",)),
        mali_possible,
        {"fence": ("fence", "queue"), "node": ("alloc",)},
        create_implied=True,
    ),
    "nvidia": System(
        "nvidia",
        "areas, sparse ranges and page tables of an NVIDIA GPU (GF100 to GP100)",
        NVIDIA_SPECS,
        NvidiaSession.rules,
        NvidiaSession,
        NvidiaViews,
        nvidia.machine_class,
        (("addr",), ("addr", "start"), ("offset",)),
        nvidia_possible,
        {"vma": ("get",)},
    ),
    "va-alloc": System(
        "va-alloc",
        "ranges of addresses handed out by an allocator: best fit, alignment, fixed ranges",
        VA_ALLOC_SPECS,
        VaAllocSession.rules,
        VaAllocSession,
        VaAllocViews,
        va_alloc.machine_class,
        (("va",), ("va", "start"), ("va", "start", "first", "last")),
        va_alloc_possible,
        {"node": ("alloc", "reserve")},
    ),
}
"""Every system, by name."""


def system_by_name(name: str) -> System:
    """The system called ``name``.

    Raises:
        ValueError: there is none.
    """
    if name not in SYSTEMS:
        raise ValueError(f"system is {name!r}; allowed are {', '.join(SYSTEMS)}")
    return SYSTEMS[name]


DRIVERS: Mapping[str, Callable[..., Target]] = {
    "pagetable": PageTableTarget,
    "gpuvm": GpuvmTarget,
    "mali": MaliTarget,
    "nvidia": NvidiaTarget,
    "va-alloc": VaAllocTarget,
}
"""The target of each system; called with a driver module, or without for our own."""


def reference_target(system: str, driver: Any = None) -> Target:
    """The reference target of ``system``, on ``driver`` if one is given.

    Raises:
        ValueError: there is no such system.
    """
    if system not in DRIVERS:
        raise ValueError(f"system is {system!r}; allowed are {', '.join(DRIVERS)}")
    return DRIVERS[system]() if driver is None else DRIVERS[system](driver)
