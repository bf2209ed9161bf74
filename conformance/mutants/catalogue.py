"""The catalogues of mutants, one for each system that has a reference driver."""

from collections.abc import Mapping
from dataclasses import dataclass

from conformance.mutants import gpuvm, mali, nvidia, pagetable, va_alloc
from conformance.mutants.mutant import Mutant


@dataclass(frozen=True)
class Catalogue:
    """The mutants of one system.

    ``package``, ``file``: the driver that they are edits of. ``not_here``: known bugs of such
    code that have no mutant at this layer, and why. ``examples``: so many of a part of a run
    are tried whatever is found.
    """

    system: str
    mutants: tuple[Mutant, ...]
    package: str
    file: str
    not_here: Mapping[str, str]
    examples: int = 200


CATALOGUES: dict[str, Catalogue] = {
    "pagetable": Catalogue(
        "pagetable", pagetable.MUTANTS, pagetable.PACKAGE, pagetable.FILE, pagetable.NOT_HERE
    ),
    "gpuvm": Catalogue("gpuvm", gpuvm.MUTANTS, gpuvm.PACKAGE, gpuvm.FILE, {}),
    "va-alloc": Catalogue("va-alloc", va_alloc.MUTANTS, va_alloc.PACKAGE, va_alloc.FILE, {}),
    "mali": Catalogue("mali", mali.MUTANTS, mali.PACKAGE, mali.FILE, {}, examples=60),
    "nvidia": Catalogue("nvidia", nvidia.MUTANTS, nvidia.PACKAGE, nvidia.FILE, {}, examples=60),
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
