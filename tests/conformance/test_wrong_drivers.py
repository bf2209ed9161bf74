"""Wrong versions of the driver: each is found, and several planted at once are all found."""

import pytest

from conformance.discovery import system_by_name
from conformance.engine import Finding, Plan, run_shard
from conformance.minimise import reproduces
from conformance.registry import mutant_by_id, mutant_target
from conformance.systems.pagetable.targets import PageTableTarget

WRONG = {
    "unflushed unmap": "unmap-not-flushed",
    "flush before store": "flush-before-store",
    "freed before flush": "freed-before-flush",
    "wrong range": "gather-one-page-short",
    "lost table": "table-lost",
    "leaked table": "table-leaked",
    "wrong attribute": "wrong-attribute",
    "off-by-one run": "run-one-short",
    "error that leaves entries": "error-leaves-entries",
    "endless loop": "endless-loop",
}
SYSTEM = system_by_name("pagetable")
PART = Plan(examples=60, shards=1, minimise_executions=300)
PARTS = 8


def findings_of(names: list[str], rules: set[str]) -> dict[tuple[str, str], Finding]:
    """What a run on a driver with these bugs finds; it goes on until each rule has fired."""
    target = mutant_target([mutant_by_id(name) for name in names])
    found: dict[tuple[str, str], Finding] = {}
    for part in range(PARTS):
        plan = Plan(part, PART.examples, PART.steps, 1, PART.minimise_executions)
        found.update(run_shard(SYSTEM, target, plan, 0, set(found)).findings)
        if rules <= {rule for rule, _ in found}:
            break
    return found


@pytest.mark.parametrize("name", WRONG.values(), ids=list(WRONG))
def test_each_wrong_driver_is_found(name: str) -> None:
    """The rule that the bug is for fires; its operations are few, and right code passes them."""
    mutant = mutant_by_id(name)
    found = findings_of([name], {mutant.rule})
    findings = [one for (rule, _), one in found.items() if rule == mutant.rule]
    assert findings, f"{name} was not found by {mutant.rule}: {sorted(found)}"
    for finding in findings:
        assert finding.minimal
        assert len(finding.operations) <= 6
        identity = finding.violation.identity
        assert not reproduces(SYSTEM, PageTableTarget(), finding.operations, identity)


def test_three_bugs_in_one_driver_are_all_found() -> None:
    """One does not hide another: each is found in a round of its own, and minimised."""
    names = ["unmap-not-flushed", "wrong-attribute", "table-lost"]
    rules = {mutant_by_id(name).rule for name in names}
    assert len(rules) == len(names)
    found = findings_of(names, rules)
    assert rules <= {rule for rule, _ in found}
    target = mutant_target([mutant_by_id(name) for name in names])
    for identity, finding in found.items():
        assert finding.minimal
        assert reproduces(SYSTEM, target, finding.operations, identity)
        # One bug needs no more than its own operations.
        assert len(finding.operations) <= 5
