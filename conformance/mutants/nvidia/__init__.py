"""Seeded bugs of the page-table code of an NVIDIA GPU."""

from conformance.mutants.mutant import Mutant

PACKAGE = "reference.drivers"
FILE = "nvidia.py"

MUTANTS: tuple[Mutant, ...] = ()
"""The catalogue."""
