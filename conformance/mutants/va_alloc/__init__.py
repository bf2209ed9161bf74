"""Seeded bugs of the allocator of addresses."""

from conformance.mutants.mutant import Mutant
from conformance.mutants.va_alloc import calls, places, space

PACKAGE = "reference.drivers"
FILE = "va_alloc.py"

MUTANTS: tuple[Mutant, ...] = (
    *places.MUTANTS,
    *space.MUTANTS,
    *calls.MUTANTS,
)
"""The catalogue."""
