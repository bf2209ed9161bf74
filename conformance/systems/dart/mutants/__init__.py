"""Seeded bugs of the driver of Apple's DARTs."""

from conformance.mutants.catalogue import Catalogue
from conformance.mutants.mutant import Mutant
from conformance.systems.dart.mutants import domains, registers, tables

DRIVER = "reference.systems.dart.driver"

MUTANTS: tuple[Mutant, ...] = (*registers.MUTANTS, *tables.MUTANTS, *domains.MUTANTS)
"""All of them."""

CATALOGUE = Catalogue("dart", MUTANTS, DRIVER, examples=60)
"""The catalogue, with what it is of."""
