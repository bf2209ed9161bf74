"""The catalogues of mutants, one for each system that has a reference driver."""

from collections.abc import Mapping
from dataclasses import dataclass

from conformance.mutants.mutant import Mutant
from conformance.systems.gpuvm import mutants as gpuvm
from conformance.systems.mali import mutants as mali
from conformance.systems.nvidia import mutants as nvidia
from conformance.systems.pagetable import mutants as pagetable
from conformance.systems.va_alloc import mutants as va_alloc


@dataclass(frozen=True)
class Catalogue:
    """The mutants of one system.

    ``driver``: the module that they are edits of. ``not_here``: known bugs of such
    code that have no mutant at this layer, and why. ``examples``: so many of a part of a run
    are tried whatever is found.
    """

    system: str
    mutants: tuple[Mutant, ...]
    driver: str
    not_here: Mapping[str, str]
    examples: int = 200


CATALOGUES: dict[str, Catalogue] = {
    "pagetable": Catalogue("pagetable", pagetable.MUTANTS, pagetable.DRIVER, pagetable.NOT_HERE),
    "gpuvm": Catalogue("gpuvm", gpuvm.MUTANTS, gpuvm.DRIVER, {}),
    "va-alloc": Catalogue("va-alloc", va_alloc.MUTANTS, va_alloc.DRIVER, {}),
    "mali": Catalogue("mali", mali.MUTANTS, mali.DRIVER, {}, examples=60),
    "nvidia": Catalogue("nvidia", nvidia.MUTANTS, nvidia.DRIVER, {}, examples=60),
}
"""Every catalogue, by system."""

MUTANTS: tuple[Mutant, ...] = tuple(
    mutant for catalogue in CATALOGUES.values() for mutant in catalogue.mutants
)
"""All mutants."""


def mutant_by_id(mutant_id: str) -> Mutant:
    """The mutant called ``mutant_id``.

    Raises:
        ValueError: there is none.
    """
    for one in MUTANTS:
        if one.id == mutant_id:
            return one
    allowed = ", ".join(one.id for one in MUTANTS)
    raise ValueError(f"mutant is {mutant_id!r}; allowed are {allowed}")


def catalogue_of(mutant: Mutant) -> Catalogue:
    """The catalogue that a mutant stands in.

    Raises:
        ValueError: in none.
    """
    for catalogue in CATALOGUES.values():
        if mutant in catalogue.mutants:
            return catalogue
    raise ValueError(f"mutant is {mutant.id!r}, which is in no catalogue")
