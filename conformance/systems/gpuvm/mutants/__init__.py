"""Seeded bugs of the VA manager."""

from conformance.mutants.catalogue import Catalogue
from conformance.mutants.mutant import Mutant
from conformance.systems.gpuvm.mutants import calls, counts, parts

DRIVER = "reference.systems.gpuvm.driver"

MUTANTS: tuple[Mutant, ...] = (
    *parts.MUTANTS,
    *counts.MUTANTS,
    *calls.MUTANTS,
)
"""All of them."""

CATALOGUE = Catalogue("gpuvm", MUTANTS, DRIVER)
"""The catalogue, with what it is of."""
