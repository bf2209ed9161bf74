"""The rules of system ``gpuvm``, one file for each subject."""

from conformance.rules.gpuvm import calls, references, splitting
from conformance.rules.rule import Rule

GPUVM: tuple[Rule, ...] = (*calls.RULES, *splitting.RULES, *references.RULES)
"""The rules, in the order in which a step is judged: causes before what follows from them."""
