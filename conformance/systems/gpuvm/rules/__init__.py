"""The rules of system ``gpuvm``, one file for each subject."""

from conformance.rules.rule import Rule
from conformance.systems.gpuvm.rules import calls, references, splitting

GPUVM: tuple[Rule, ...] = (*calls.RULES, *splitting.RULES, *references.RULES)
"""The rules, in the order in which a step is judged: causes before what follows from them."""
