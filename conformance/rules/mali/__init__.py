"""The rules of system ``mali``, one file for each subject."""

from conformance.rules.mali import calls, commands, contents, progress, references, slots, tables
from conformance.rules.rule import Rule

MALI: tuple[Rule, ...] = (
    *tables.RULES,
    *commands.RULES,
    *slots.RULES,
    *calls.RULES,
    *contents.RULES,
    *references.RULES,
    *progress.RULES,
)
"""The rules, in the order in which a step is judged: causes before what follows from them."""
