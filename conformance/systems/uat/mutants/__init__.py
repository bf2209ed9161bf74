"""Seeded bugs of a UAT driver, and of the firmware beside it."""

from conformance.mutants.catalogue import Catalogue
from conformance.mutants.mutant import Mutant

DRIVER = "reference.systems.uat.driver"

MUTANTS: tuple[Mutant, ...] = ()
"""All of them."""

CATALOGUE = Catalogue("uat", MUTANTS, DRIVER, examples=60)
"""The catalogue, with what it is of."""
