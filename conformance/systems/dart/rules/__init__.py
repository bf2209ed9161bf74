"""The rules of system ``dart``, one file for each subject."""

from conformance.rules.rule import Rule
from conformance.systems.dart.rules import calls, flushes, mappings, streams, tables

DART: tuple[Rule, ...] = (
    *tables.RULES,
    *flushes.RULES,
    *streams.ACCESSES,
    *calls.RESULTS,
    *streams.RULES,
    *mappings.RULES,
    *calls.RULES,
)
"""The rules, in the order in which a step is judged: causes before what follows from them."""
