"""The targets ``mutant:ID``: a reference driver with a seeded bug, or with several."""

from collections.abc import Mapping, Sequence

from conformance.discovery import reference_target
from conformance.mutants.catalogue import CATALOGUES, catalogue_of
from conformance.mutants.mutant import LoadedDriver, Mutant, load
from conformance.targets.protocol import Target
from reference.operations import Operation, Result
from reference.trace import Trace


class MutantTarget:
    """A system's reference target on a driver with seeded bugs."""

    def __init__(self, system: str, driver: LoadedDriver, names: str) -> None:
        self.driver: LoadedDriver = driver
        self._target: Target = reference_target(system, driver.module)
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


def mutant_target(mutants: Sequence[Mutant], system: str = "") -> MutantTarget:
    """The target with the edits of all ``mutants`` in one driver.

    ``system``: whose driver; "" for that of the first one's catalogue.

    Raises:
        ValueError: the edits do not fit the driver, or each other.
    """
    catalogue = CATALOGUES[system] if system else catalogue_of(mutants[0])
    driver = load(catalogue.driver, mutants)
    return MutantTarget(catalogue.system, driver, "+".join(one.id for one in mutants))
