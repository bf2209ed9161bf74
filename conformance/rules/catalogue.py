"""All rules, by id and by system."""

from conformance.rules.rule import Rule
from conformance.systems.gpuvm.rules import GPUVM
from conformance.systems.mali.rules import MALI
from conformance.systems.nvidia.rules import NVIDIA
from conformance.systems.pagetable.rules import (
    errors,
    neighbours,
    ordering,
    progress,
    stale_tlb,
    tables,
    translation,
)
from conformance.systems.va_alloc.rules import VA_ALLOC

PAGETABLE: tuple[Rule, ...] = (
    *ordering.RULES,
    *neighbours.RULES,
    *tables.RULES,
    *stale_tlb.RULES,
    *errors.RULES,
    *translation.RULES,
    *progress.RULES,
)
"""The rules of system ``pagetable``, in the order in which a step is judged.

Causes come before what follows from them: what a rule reports is taken over by
the promise, so that a later rule does not report the same defect again.
"""

RULES: dict[str, tuple[Rule, ...]] = {
    "pagetable": PAGETABLE,
    "gpuvm": GPUVM,
    "mali": MALI,
    "nvidia": NVIDIA,
    "va-alloc": VA_ALLOC,
}
"""The rules of each system."""


def rule_by_id(system: str, rule_id: str) -> Rule:
    """The rule called ``rule_id`` of ``system``.

    Raises:
        ValueError: no such system or rule.
    """
    if system not in RULES:
        raise ValueError(f"system is {system!r}; allowed are {', '.join(RULES)}")
    for rule in RULES[system]:
        if rule.id == rule_id:
            return rule
    allowed = ", ".join(rule.id for rule in RULES[system])
    raise ValueError(f"rule is {rule_id!r}; allowed for {system} are {allowed}")
