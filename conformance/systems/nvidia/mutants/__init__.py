"""Seeded bugs of the page-table code of an NVIDIA GPU."""

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
"""The catalogue."""
