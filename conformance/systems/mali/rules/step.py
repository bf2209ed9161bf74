"""What the rules of system ``mali`` are shown of one call."""

from collections.abc import Sequence

from conformance.rules.step import CallStep
from reference.hardware.context import Difference
from reference.hardware.observation import Observation
from reference.operations import Result
from reference.systems.mali.device import Latched
from reference.systems.mali.promise import MaliCall, MaliPromise, Span
from reference.systems.mali.state import MaliSeen, MaliState, MaliVm
from reference.trace import Trace

MAY_NOT_END = "a command of the device may not have ended"
"""Why a rule is silent from when a command sticks until the reset."""

BIND_NAMES = ("map", "unmap", "wait")


class MaliStep(CallStep[MaliCall, MaliPromise]):
    """One finished call."""

    __slots__ = ("_compared",)

    def __init__(
        self,
        call: MaliCall,
        result: Result,
        promise: MaliPromise,
        trace: Trace,
        begin_event: int,
        places: Sequence[str],
    ) -> None:
        super().__init__(call, result, promise, trace, begin_event, places)
        # What spans were found to differ in.
        self._compared: dict[Span, Difference | None] = {}

    @property
    def state(self) -> MaliState:
        """The device and all that the process has of it."""
        return self.promise.state

    @property
    def seen(self) -> MaliSeen:
        """What its events said."""
        return self.promise.state.seen

    @property
    def spans(self) -> Sequence[Span]:
        """What it was about, queued binds that were done included."""
        return self.call.spans

    @property
    def may_time_out(self) -> bool:
        """Whether a command of the device may not have ended."""
        return self.call.may_time_out

    @property
    def what(self) -> str:
        """The operation's name; for binds, whether it maps or unmaps."""
        if "kind" not in self.operation.args:
            return self.kind
        kind = self.operation.number("kind")
        return f"{self.kind} ({BIND_NAMES[kind] if kind < len(BIND_NAMES) else 'unknown'})"

    def difference(self, span: Span) -> Difference | None:
        """The lowest address of a span at which tables do not say what was promised.

        It is looked for once in a step.
        """
        if span not in self._compared:
            self._compared[span] = span.vm.view.difference(span.vm.pages, span.first, span.last)
        return self._compared[span]

    def observed(self, *kinds: int) -> list[tuple[MaliVm, Observation]]:
        """What views observed of these kinds, and of which VM."""
        if not self.seen.observations:
            return []
        vms = self.state.vms
        return [(vms[vm], one) for vm, one in self.seen.observations if one.kind in kinds]

    def occasions(self, kind: int) -> int:
        """How often something of this kind could have been observed in this step."""
        return self.state.machine.counts[kind] - self.state.counts_before[kind]

    # An UPDATE whose end nobody saw is OR-10's to tell: other rules take it as ended.

    def latched(self, slot: int) -> Sequence[Latched]:
        """What an AS may work with now."""
        states = self.state.mmu.at(slot).states
        return states[-1:] if slot in self.call.unended else states

    def roots(self, slot: int) -> set[int]:
        """The addresses of the root tables that an AS may walk now; empty if it is disabled."""
        return {one.transtab for one in self.latched(slot) if one.walks()}

    def walked(self, slot: int) -> list[int]:
        """The VMs whose tables an AS may walk now, ascending."""
        there = sorted(self.state.slots[slot].roots)
        if slot not in self.call.unended:
            return there
        roots = self.roots(slot)
        return [number for number in there if self.state.vms[number].root in roots]
