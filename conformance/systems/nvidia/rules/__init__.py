"""The rules of system ``nvidia``, one file for each subject."""

from conformance.rules.rule import Rule
from conformance.systems.nvidia.rules import (
    calls,
    progress,
    references,
    tables,
    translation,
)

NVIDIA: tuple[Rule, ...] = (
    *tables.RULES,
    *calls.RULES,
    *translation.RULES,
    *references.RULES,
    *progress.RULES,
)
"""The rules, in the order in which a step is judged: causes before what follows from them."""
