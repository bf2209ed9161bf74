"""The rules of system ``uat``, one file for each subject."""

from conformance.rules.rule import Rule
from conformance.systems.uat.rules import calls, contexts, firmware, tables

UAT: tuple[Rule, ...] = (
    *firmware.REQUESTS,
    *contexts.RULES,
    *calls.RULES,
    *tables.RULES,
    *firmware.LINES,
)
"""The rules, in the order in which a step is judged: causes before what follows from them."""
