"""Seeded bugs of the MMU software of a Mali GPU."""

from conformance.mutants.catalogue import Catalogue
from conformance.mutants.mutant import Mutant
from conformance.systems.mali.mutants import (
    calls,
    mappings,
    registers,
    slots,
    tables,
    vms,
)

DRIVER = "reference.systems.mali.driver"

MUTANTS: tuple[Mutant, ...] = (
    *registers.MUTANTS,
    *slots.MUTANTS,
    *tables.MUTANTS,
    *mappings.MUTANTS,
    *calls.MUTANTS,
    *vms.MUTANTS,
)
"""All of them."""

CATALOGUE = Catalogue("mali", MUTANTS, DRIVER, examples=60)
"""The catalogue, with what it is of."""
