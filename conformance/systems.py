"""The systems: what belongs to each, so that engine, minimiser and replay need know none."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

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
from conformance.machines.session import Session
from conformance.machines.va_alloc_session import SPECS as VA_ALLOC_SPECS
from conformance.machines.va_alloc_session import VaAllocSession
from conformance.machines.va_alloc_session import possible as va_alloc_possible
from conformance.machines.va_alloc_views import VaAllocViews
from conformance.rules.rule import Rule, Violation
from conformance.tally import Tally
from conformance.targets.protocol import Target
from reports.counterexample import Views
from reports.operations import Operation, OperationSpec


class ViewsMaker(Protocol):
    """What has looked at a session before an operation, and will look after it."""

    def after(self, violation: Violation) -> Views:
        """What the three views said before and after the operation that broke a rule."""


@dataclass(frozen=True)
class System:
    """One system: its operations, its rules, how to make a session and a machine for it.

    ``make_views`` is called before the operation that breaks a rule, with a session and the
    operations up to it. ``moved_together``: groups of names of address arguments that the
    minimiser may move as one; the first name is that of the addresses that operations are about.
    ``title``: for lists. ``valid``: whether an operation's arguments go together, for a target of
    these traits. ``made_by``: for each argument that numbers objects in the order in which they
    were made, the operations that make them, where that is not one of the argument's name.
    ``create_implied``: a first operation other than create has a default one before it, which
    counts as none.
    """

    name: str
    title: str
    specs: Mapping[str, OperationSpec]
    rules: Sequence[Rule]
    make_session: Callable[[Target, set[tuple[str, str]] | None, Tally | None], Session]
    make_views: Callable[[Any, Sequence[Operation]], ViewsMaker]
    make_machine: Callable[[dict[str, tuple[str, ...]]], type]
    moved_together: Sequence[Sequence[str]]
    valid: Callable[[Operation, Mapping[str, Sequence[str | int]]], bool]
    made_by: Mapping[str, Sequence[str]] = field(default_factory=dict)
    create_implied: bool = False

    def session(
        self, target: Target, muted: set[tuple[str, str]] | None, tally: Tally | None
    ) -> Session:
        """A session on ``target``; ``muted`` None mutes every identity."""
        return self.make_session(target, muted, tally)

    def machine(self, target: Target) -> Any:
        """The machine class for a target."""
        traits = tuple((name, tuple(values)) for name, values in sorted(target.traits.items()))
        return _machine(self.make_machine, traits)

    def allows(self, target: Target, operations: Sequence[Operation]) -> bool:
        """Whether the arguments go together, and the target declares that it can take them."""
        for operation in operations:
            if not self.valid(operation, target.traits):
                return False
            for name, values in target.traits.items():
                if name in operation.args and operation.args[name] not in values:
                    return False
        return True


@lru_cache(maxsize=32)
def _machine(
    make: Callable[[dict[str, tuple[str, ...]]], type], traits: tuple[tuple[str, Any], ...]
) -> type:
    return make(dict(traits))


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
