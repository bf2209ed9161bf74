"""What the rules of system ``dart`` are shown of one call."""

from conformance.rules.step import CallStep
from reference.hardware.observation import Observation
from reference.systems.dart.promise import DartCall, DartPromise, DartSeen, DartState, Stream
from reference.words import to_unsigned


class DartStep(CallStep[DartCall, DartPromise]):
    """One finished call."""

    __slots__ = ()

    @property
    def state(self) -> DartState:
        """The units, and what the kernel has."""
        return self.promise.state

    @property
    def events(self) -> DartSeen:
        """What its events said."""
        return self.promise.state.seen

    @property
    def observations(self) -> list[Observation]:
        """What was observed of tables and caches in it."""
        return self.promise.state.seen.observations

    def seen(self, kind: int) -> int:
        """How often an observation of this kind could have been made in it."""
        return self.state.machine.counts[kind] - self.state.counts_before[kind]

    def observed(self, *kinds: int) -> list[Observation]:
        """The observations of these kinds made in it."""
        return [one for one in self.observations if one.kind in kinds]

    @property
    def succeeded(self) -> bool:
        """Whether it did what was asked for."""
        return self.result.result == 0 and self.sort == "legal"

    def is_named(self, stream: Stream) -> bool:
        """Whether it is about this stream."""
        if self.state.resets:
            return True
        return self.state.named.get(stream.unit, 0) >> stream.number & 1 != 0

    def address(self, name: str) -> int:
        """An argument that is an address or size, unsigned."""
        return to_unsigned(self.operation.number(name))


def name_of(stream: Stream) -> str:
    """A stream for people."""
    return f"stream {stream.number} of unit {stream.unit}"
