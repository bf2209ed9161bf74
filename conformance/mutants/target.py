"""The targets ``mutant:ID``: a reference driver with a seeded bug, or with several."""

from collections.abc import Mapping, Sequence

from conformance.mutants.mutant import LoadedDriver
from conformance.targets.protocol import Target
from reference.operations import Operation, Result
from reference.trace import Trace


class MutantTarget:
    """The reference ``target`` of a system, which is on ``driver``, one with seeded bugs."""

    def __init__(self, target: Target, driver: LoadedDriver, names: str) -> None:
        self.system: str = getattr(target, "system", "")
        self.driver: LoadedDriver = driver
        self._target: Target = target
        self.name: str = f"mutant:{names}"
        self.version: str = f"reference driver, with {names}"
        self.traits: Mapping[str, Sequence[str | int]] = self._target.traits
        self.places: Sequence[str] = self._target.places

    def reset(self) -> None:
        """Go back to the state before any operation."""
        self._target.reset()

    def perform(self, operation: Operation, trace: Trace) -> Result:
        """Carry out one operation and append its events to ``trace``."""
        return self._target.perform(operation, trace)

    def close(self) -> None:
        """Give back what the target holds."""
        self._target.close()

    def executed(self, mutant_id: str) -> tuple[int, int]:
        """How often the edit of a mutant was executed so far, over all examples.

        An edit may be in several places: that which was reached least often, and most often.

        Raises:
            ValueError: this driver has no edit of that mutant.
        """
        return self.driver.executed(mutant_id)
