"""What the rules of system ``mali`` are shown of one operation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from conformance.rules.rule import Violation
from conformance.rules.step import Finished
from reference.hardware.view import Difference, Observation
from reference.operations import Operation, Result
from reference.systems.gpuvm.mappings import Mapping as Vma
from reference.systems.mali.state import MaliSeen, MaliState, MaliVm
from reference.trace import Trace

PAGE = 0x1000
BIND_NAMES = ("map", "unmap", "wait")


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """Addresses ``first``..``last`` of a VM that an operation was about.

    ``outside``: the VMAs that reached up to it, as they were before, without an address in it.
    """

    vm: MaliVm
    first: int
    last: int
    outside: Sequence[Vma] = ()

    @property
    def window(self) -> tuple[int, int]:
        """The range with a page on each side, as far as there is one."""
        limit = self.vm.view.geometry.limit
        return max(self.first - PAGE, 0), min(self.last + PAGE, limit - 1)

    def beside(self, others: Sequence["Span"]) -> list[tuple[int, int]]:
        """(first, last) of the pages on each side, but for those that ``others`` are about."""
        first, last = self.window
        return [
            (one, other)
            for one, other in ((first, self.first - 1), (self.last + 1, last))
            if one <= other
            and not any(
                span.vm is self.vm and span.first <= other and span.last >= one for span in others
            )
        ]

    def is_judged(self, result: Result) -> bool:
        """Whether the driver still has the VM, and what was asked of it was done."""
        return result.result == 0 and self.vm.exists and self.vm.handle


@dataclass(slots=True)
class MaliStep(Finished):
    """One finished operation.

    ``sort``: legal, refused or misuse; ``reason``: why; ``errors``: the errnos that are allowed.
    ``spans``: what it was about, queued binds that were done included.
    ``faulted``: the AS whose fault the driver has to handle; ``activated``: the VM that a first
    job uses from now on; -1 each for none. ``running``: the AS of each VM that jobs used before.
    ``beside``: of each queued bind, the VMAs that reached up to its range before ``run``.
    ``holes``: (first, last) of what was free in the kernel's part before ``alloc``.
    ``may_time_out``: whether a command of the device may not have ended.
    """

    operation: Operation
    result: Result
    sort: str
    reason: str
    errors: tuple[int, ...]
    state: MaliState
    seen: MaliSeen
    trace: Trace
    begin_event: int
    end_event: int
    places: Sequence[str]
    spans: list[Span] = field(default_factory=list)
    faulted: int = -1
    activated: int = -1
    running: Mapping[int, int] = field(default_factory=dict)
    beside: dict[int, Sequence[Vma]] = field(default_factory=dict)
    holes: Sequence[tuple[int, int]] = ()
    may_time_out: bool = False
    compared: dict[Span, Difference | None] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)

    def difference(self, span: Span) -> Difference | None:
        """The lowest address of a span at which tables do not say what was promised.

        It is looked for once in a step.
        """
        if span not in self.compared:
            self.compared[span] = span.vm.view.difference(span.vm.pages, span.first, span.last)
        return self.compared[span]

    @property
    def what(self) -> str:
        """The operation's name; for binds, whether it maps or unmaps."""
        if "kind" not in self.operation.args:
            return self.kind
        kind = self.operation.number("kind")
        return f"{self.kind} ({BIND_NAMES[kind] if kind < len(BIND_NAMES) else 'unknown'})"

    @property
    def warned(self) -> int:
        """The event of a warning; -1 for none."""
        return self.seen.warned

    @property
    def first(self) -> int:
        """The first address that it is about; -1 for none."""
        return self.spans[0].first if self.spans else -1

    def observed(self, *kinds: int) -> list[tuple[MaliVm, Observation]]:
        """What views observed of these kinds, and of which VM."""
        if not self.seen.observations:
            return []
        vms = self.state.vms
        return [(vms[vm], one) for vm, one in self.seen.observations if one.kind in kinds]

    def occasions(self, kind: int) -> int:
        """How often a view could have observed something of this kind in this step."""
        count = 0
        for vm in self.state.touched:
            count += vm.view.counts[kind] - vm.counts_before[kind]
        return count
