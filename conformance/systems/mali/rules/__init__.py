"""The rules of system ``mali``, one file for each subject."""

from conformance.rules.rule import Rule
from conformance.systems.mali.rules import (
    calls,
    commands,
    mappings,
    progress,
    references,
    slots,
    tables,
)

MALI: tuple[Rule, ...] = (
    *tables.RULES,
    *commands.RULES,
    *slots.RULES,
    *calls.RULES,
    *mappings.RULES,
    *references.RULES,
    *progress.RULES,
)
"""The rules, in the order in which a step is judged: causes before what follows from them."""
