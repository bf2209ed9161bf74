"""The rules of system ``va-alloc``, one file for each subject."""

from conformance.rules.rule import Rule
from conformance.rules.va_alloc import calls, places, space

VA_ALLOC: tuple[Rule, ...] = (*calls.RULES, *places.RULES, *space.RULES)
"""The rules, in the order in which a step is judged: causes before what follows from them."""
