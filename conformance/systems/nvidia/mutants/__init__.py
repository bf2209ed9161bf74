"""Seeded bugs of the page-table code of an NVIDIA GPU."""

from conformance.mutants.catalogue import Catalogue
from conformance.mutants.mutant import Mutant
from conformance.systems.nvidia.mutants import (
    areas,
    calls,
    entries,
    invalidations,
    references,
    sparse,
    tables,
)

DRIVER = "reference.systems.nvidia.driver"

MUTANTS: tuple[Mutant, ...] = (
    *tables.MUTANTS,
    *invalidations.MUTANTS,
    *entries.MUTANTS,
    *sparse.MUTANTS,
    *references.MUTANTS,
    *areas.MUTANTS,
    *calls.MUTANTS,
)
"""All of them."""

CATALOGUE = Catalogue("nvidia", MUTANTS, DRIVER, examples=60)
"""The catalogue, with what it is of."""
