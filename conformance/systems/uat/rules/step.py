"""What the rules of system ``uat`` are shown of one call."""

import errno

from conformance.rules.step import CallStep
from conformance.systems.uat.operations import CALLS, MAPS
from reference.hardware.context import Difference
from reference.hardware.observation import Observation
from reference.systems.uat.device import CUR_SLOT, NO_CONTEXT
from reference.systems.uat.promise import UatCall, UatMapping, UatPromise, UatSeen, UatState, UatVm


class UatStep(CallStep[UatCall, UatPromise]):
    """One finished call."""

    __slots__ = ()

    @property
    def state(self) -> UatState:
        """GPU, firmware, and all VMs."""
        return self.promise.state

    @property
    def seen(self) -> UatSeen:
        """What its events said."""
        return self.promise.state.seen

    @property
    def errors(self) -> tuple[int, ...]:
        """The results, besides success, that are allowed.

        A VM cannot go while a firmware that neither answers nor leaves is in its context; that it
        is may turn out only in the course of the call.
        """
        call = self.call
        if self.kind != "destroy_vm" or not call.operation.number("mute") or call.owned < 0:
            return call.errors
        stays = self.state.words.get(CUR_SLOT, NO_CONTEXT) == call.owned
        return (*call.errors, -errno.ETIMEDOUT) if stays else call.errors

    @property
    def vm(self) -> UatVm | None:
        """The VM that it is about."""
        return self.call.vm

    @property
    def mapping(self) -> UatMapping | None:
        """The mapping that it is about."""
        return self.call.mapping

    @property
    def done(self) -> bool:
        """Whether it did what it is for."""
        return self.result.result == 0

    @property
    def observations(self) -> list[tuple[UatVm, Observation]]:
        """What the views observed."""
        return self.seen.observations

    @property
    def is_map(self) -> bool:
        """Whether it makes a mapping."""
        return self.kind in MAPS

    @property
    def is_call(self) -> bool:
        """Whether it is a call of the driver."""
        return self.kind in CALLS

    def observed(self, *kinds: int) -> list[tuple[UatVm, Observation]]:
        """What views observed of these kinds, and of which VM."""
        return [(vm, one) for vm, one in self.observations if one.kind in kinds]

    def occasions(self, kind: int) -> int:
        """How often something of this kind could have been observed in this step."""
        return int(self.state.machine.counts[kind] - self.state.counts_before[kind])

    def broke(self, *rules: str) -> bool:
        """Whether one of these rules is broken already, from which what follows may come."""
        return any(one.rule in rules for one in self.violations)

    def difference(self) -> Difference | None:
        """The lowest address of the mapping at which tables do not say what was promised."""
        mapping = self.mapping
        if mapping is None or not mapping.size or not self.call.was_free:
            return None
        return mapping.vm.space.difference(mapping.vm.pages, mapping.first(), mapping.last())


def name_of(vm: UatVm) -> str:
    """For people: "the kernel", "VM 3"."""
    return {-1: "the kernel", -2: "the empty lower half"}.get(vm.number, f"VM {vm.number}")
