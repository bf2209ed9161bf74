"""What the rules of system ``gpuvm`` are shown of one call."""

from collections.abc import Sequence

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


def first_unlike(
    wanted: Sequence[Mapping], there: Sequence[Mapping]
) -> tuple[str, int, Mapping | None, Mapping | None] | None:
    """Where VMAs first have other addresses than those that there have to be; None: nowhere.

    (how, lowest address, wanted, found); both lists are ascending.
    """
    for number in range(max(len(wanted), len(there))):
        one = wanted[number] if number < len(wanted) else None
        other = there[number] if number < len(there) else None
        if one is not None and other is not None:
            if (one.first, one.last) == (other.first, other.last):
                continue
            how = "VMA of other addresses"
        else:
            how = "VMA missing" if other is None else "VMA too many"
        return how, min(part.first for part in (one, other) if part is not None), one, other
    return None


def shown(one: Mapping | None) -> str:
    """A mapping in words."""
    if one is None:
        return "nothing"
    return f"{one.first:#x}..{one.last:#x} -> buffer {one.buffer} from {one.offset:#x}"
