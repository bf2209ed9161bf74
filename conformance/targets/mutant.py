"""The targets ``mutant:ID``: a reference driver with a seeded bug, or with several."""

from collections.abc import Sequence

from conformance.mutants import pagetable
from conformance.mutants.mutant import Mutant, load
from conformance.targets.reference import PageTableTarget


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


def mutant_target(mutants: Sequence[Mutant]) -> PageTableTarget:
    """The page-table target with the edits of all ``mutants`` in one driver."""
    module = load(pagetable.PACKAGE, pagetable.FILE, mutants)
    names = "+".join(one.id for one in mutants)
    return PageTableTarget(module, f"mutant:{names}", f"reference driver, with {names}")
