"""The rules of system ``nvidia``, one file for each subject."""

from conformance.rules.nvidia import calls, contents, progress, references, tables
from conformance.rules.rule import Rule

NVIDIA: tuple[Rule, ...] = (
    *tables.RULES,
    *calls.RULES,
    *contents.RULES,
    *references.RULES,
    *progress.RULES,
)
"""The rules, in the order in which a step is judged: causes before what follows from them."""
