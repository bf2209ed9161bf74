"""The rules of system ``va-alloc``, one file for each subject."""

from conformance.rules.rule import Rule
from conformance.systems.va_alloc.rules import calls, placement, space

VA_ALLOC: tuple[Rule, ...] = (*calls.RULES, *placement.RULES, *space.RULES)
"""The rules, in the order in which a step is judged: causes before what follows from them."""
