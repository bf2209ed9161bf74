"""Seeded bugs of the VA manager."""

from conformance.mutants.gpuvm import calls, counts, parts
from conformance.mutants.mutant import Mutant

PACKAGE = "reference.drivers"
FILE = "gpuvm.py"

MUTANTS: tuple[Mutant, ...] = (
    *parts.MUTANTS,
    *counts.MUTANTS,
    *calls.MUTANTS,
)
"""The catalogue."""
