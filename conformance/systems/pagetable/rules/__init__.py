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
"""The rules, in the order in which a step is judged: causes before what follows from them."""
