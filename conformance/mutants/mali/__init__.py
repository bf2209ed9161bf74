"""Seeded bugs of the MMU software of a Mali GPU."""

from conformance.mutants.mali import calls, contents, registers, slots, tables, vms
from conformance.mutants.mutant import Mutant

PACKAGE = "reference.drivers"
FILE = "mali.py"

MUTANTS: tuple[Mutant, ...] = (
    *registers.MUTANTS,
    *slots.MUTANTS,
    *tables.MUTANTS,
    *contents.MUTANTS,
    *calls.MUTANTS,
    *vms.MUTANTS,
)
"""The catalogue."""
