"""Seeded bugs of the page-table code of an NVIDIA GPU."""

from conformance.mutants.mutant import Mutant
from conformance.mutants.nvidia import (
    areas,
    calls,
    contents,
    invalidations,
    references,
    sparse,
    tables,
)

PACKAGE = "reference.drivers"
FILE = "nvidia.py"

MUTANTS: tuple[Mutant, ...] = (
    *tables.MUTANTS,
    *invalidations.MUTANTS,
    *contents.MUTANTS,
    *sparse.MUTANTS,
    *references.MUTANTS,
    *areas.MUTANTS,
    *calls.MUTANTS,
)
"""The catalogue."""
