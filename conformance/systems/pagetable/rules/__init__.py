"""The rules of system ``pagetable``, one file for each subject."""

from conformance.rules.rule import Rule
from conformance.systems.pagetable.rules import (
    errors,
    neighbours,
    ordering,
    progress,
    stale_tlb,
    tables,
    translation,
)

PAGETABLE: tuple[Rule, ...] = (
    *ordering.RULES,
    *neighbours.RULES,
    *tables.RULES,
    *stale_tlb.RULES,
    *errors.RULES,
    *translation.RULES,
    *progress.RULES,
)
"""The rules of system ``pagetable``, in the order in which a step is judged.

Causes come before what follows from them: what a rule reports is taken over by
the promise, so that a later rule does not report the same defect again.
"""
