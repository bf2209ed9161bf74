"""Seeded bugs of the allocator of addresses."""

from conformance.mutants.catalogue import Catalogue
from conformance.mutants.mutant import Mutant
from conformance.systems.va_alloc.mutants import calls, placement, space

DRIVER = "reference.systems.va_alloc.driver"

MUTANTS: tuple[Mutant, ...] = (
    *placement.MUTANTS,
    *space.MUTANTS,
    *calls.MUTANTS,
)
"""All of them."""

CATALOGUE = Catalogue("va-alloc", MUTANTS, DRIVER)
"""The catalogue, with what it is of."""
