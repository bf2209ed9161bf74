"""The targets ``mutant:ID``: a reference driver with a seeded bug, or with several."""

from collections.abc import Sequence

from conformance.mutants import pagetable
from conformance.mutants.mutant import LoadedDriver, Mutant, load
from conformance.targets.reference import PageTableTarget


class MutantTarget(PageTableTarget):
    """The page-table target on a driver with seeded bugs."""

    def __init__(self, driver: LoadedDriver, names: str) -> None:
        super().__init__(driver.module, f"mutant:{names}", f"reference driver, with {names}")
        self._loaded = driver

    def executed(self, mutant_id: str) -> tuple[int, int]:
        """How often the edit of a mutant was executed so far, over all examples.

        An edit may be in several places: that which was reached least often, and most often.

        Raises:
            ValueError: this driver has no edit of that mutant.
        """
        return self._loaded.executed(mutant_id)


def mutant_by_id(mutant_id: str) -> Mutant:
    """The mutant called ``mutant_id``.

    Raises:
        ValueError: there is none.
    """
    for one in pagetable.MUTANTS:
        if one.id == mutant_id:
            return one
    allowed = ", ".join(one.id for one in pagetable.MUTANTS)
    raise ValueError(f"mutant is {mutant_id!r}; allowed are {allowed}")


def mutant_target(mutants: Sequence[Mutant]) -> MutantTarget:
    """The page-table target with the edits of all ``mutants`` in one driver.

    Raises:
        ValueError: the edits do not fit the driver, or each other.
    """
    driver = load(pagetable.PACKAGE, pagetable.FILE, mutants)
    return MutantTarget(driver, "+".join(one.id for one in mutants))
