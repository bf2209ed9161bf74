"""The systems, by name, and the reference target of each."""

from collections.abc import Callable, Mapping
from typing import Any

from conformance.system import System
from conformance.systems.gpuvm import machine as gpuvm
from conformance.systems.gpuvm.operations import SPECS as GPUVM_SPECS
from conformance.systems.gpuvm.operations import possible
from conformance.systems.gpuvm.reference_target import GpuvmTarget
from conformance.systems.gpuvm.rules import GPUVM
from conformance.systems.gpuvm.rules.step import GpuvmStep
from conformance.systems.gpuvm.telling import GpuvmViews
from conformance.systems.mali import machine as mali
from conformance.systems.mali.operations import SPECS as MALI_SPECS
from conformance.systems.mali.operations import possible as mali_possible
from conformance.systems.mali.reference_target import MaliTarget
from conformance.systems.mali.registers import MaliRegisters
from conformance.systems.mali.session import MaliSession
from conformance.systems.mali.telling import MaliViews
from conformance.systems.nvidia import machine as nvidia
from conformance.systems.nvidia.operations import SPECS as NVIDIA_SPECS
from conformance.systems.nvidia.operations import possible as nvidia_possible
from conformance.systems.nvidia.reference_target import NvidiaTarget
from conformance.systems.nvidia.registers import NvidiaRegisters
from conformance.systems.nvidia.session import NvidiaSession
from conformance.systems.nvidia.telling import NvidiaViews
from conformance.systems.pagetable import machine as pagetable
from conformance.systems.pagetable.operations import SPECS, configurable
from conformance.systems.pagetable.reference_target import PageTableTarget
from conformance.systems.pagetable.session import PageTableSession
from conformance.systems.pagetable.telling import PageTableViews
from conformance.systems.va_alloc import machine as va_alloc
from conformance.systems.va_alloc.operations import SPECS as VA_ALLOC_SPECS
from conformance.systems.va_alloc.operations import possible as va_alloc_possible
from conformance.systems.va_alloc.reference_target import VaAllocTarget
from conformance.systems.va_alloc.rules import VA_ALLOC
from conformance.systems.va_alloc.rules.step import AllocStep
from conformance.systems.va_alloc.telling import VaAllocViews
from conformance.targets.protocol import Target
from reference.systems.gpuvm.promise import GpuvmPromise
from reference.systems.va_alloc.promise import VaAllocPromise
from reports.vocabulary import HardwareRow

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
        GPUVM,
        None,
        GpuvmViews,
        gpuvm.machine_class,
        (("iova",), ("iova", "start"), ("iova", "start", "kernel_start")),
        possible,
        hardware=HardwareRow("page tables", "what the driver was told to put there", False),
        make_promise=GpuvmPromise,
        make_step=GpuvmStep,
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
        registers=MaliRegisters(),
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
        registers=NvidiaRegisters(),
    ),
    "va-alloc": System(
        "va-alloc",
        "ranges of addresses handed out by an allocator: best fit, alignment, fixed ranges",
        VA_ALLOC_SPECS,
        VA_ALLOC,
        None,
        VaAllocViews,
        va_alloc.machine_class,
        (("va",), ("va", "start"), ("va", "start", "first", "last")),
        va_alloc_possible,
        {"node": ("alloc", "reserve")},
        hardware=HardwareRow("allocator", "what the allocator says that it has there", False),
        make_promise=VaAllocPromise,
        make_step=AllocStep,
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
