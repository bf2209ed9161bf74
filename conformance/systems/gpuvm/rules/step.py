"""What the rules of system ``gpuvm`` are shown of one call."""

from conformance.rules.step import CallStep
from reference.systems.gpuvm.mappings import Mapping
from reference.systems.gpuvm.promise import GpuvmCall, GpuvmPromise
from reference.systems.gpuvm.state import Seen, VmState


class GpuvmStep(CallStep[GpuvmCall, GpuvmPromise]):
    """One finished call."""

    @property
    def state(self) -> VmState:
        """The VM, as it has to be and as events say that it is."""
        return self.promise.state

    @property
    def seen(self) -> Seen:
        """What its events said."""
        return self.promise.seen


def shown(one: Mapping | None) -> str:
    """A mapping in words."""
    if one is None:
        return "nothing"
    return f"{one.first:#x}..{one.last:#x} -> buffer {one.buffer} from {one.offset:#x}"
