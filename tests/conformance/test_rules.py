"""Rules: each says what it is about, is exercised by the reference, and names no address."""

import os
import re
from dataclasses import replace

import pytest

from conformance.discovery import SYSTEMS, system_by_name
from conformance.engine import Plan, run_shard
from conformance.registry import make_target
from conformance.rules.laws import LAWS
from conformance.rules.rule import NOT_BACK, OUTSIDE, WORSE
from conformance.targets.linux.errors import TargetUnavailable
from reference.operations import from_json
from reports import counterexample

pytestmark = pytest.mark.xdist_group("engine")

SYSTEM = SYSTEMS["pagetable"]
EVERY = [(name, rule) for name, system in SYSTEMS.items() for rule in system.rules]
PLAN = Plan(examples=80, shards=1)


@pytest.fixture(scope="module")
def reference():
    """A run of the reference, a fifth of what profile dev does."""
    result = run_shard(SYSTEM, make_target("reference", system="pagetable"), PLAN, 0)
    assert result.findings == {}
    return result.tally


# -- what they say ----------------------------------------------------------------------------


def test_every_system_has_its_rules():
    assert list(SYSTEMS) == sorted(SYSTEMS)
    for name, system in SYSTEMS.items():
        assert system.name == name
        assert system.rules


def test_ids_are_unique_and_name_their_family():
    for rules in (system.rules for system in SYSTEMS.values()):
        ids = [rule.id for rule in rules]
        assert len(set(ids)) == len(ids)
        for rule in rules:
            assert re.fullmatch(r"(TR|NB|TL|OR|RC|SP|IS|ER|PG)-[1-9]\d?", rule.id)
            assert rule.family == rule.id[:2]


def test_an_id_names_one_law():
    """What several systems keep is a law that all share; all other ids are one system's."""
    keep = {}
    for name, rule in EVERY:
        keep.setdefault(rule.id, set()).add(name)
    assert {one for one, systems in keep.items() if len(systems) > 1} == set(LAWS)
    assert len(set(LAWS.values())) == len(LAWS)


@pytest.mark.parametrize(("system", "rule"), EVERY, ids=[rule.id for _, rule in EVERY])
def test_a_rule_has_sentence_consequence_and_source(system, rule):
    for said in (rule.sentence, rule.consequence):
        assert re.fullmatch(r"[A-Za-z_][^\n]+[.]", said)
    assert rule.sentence != rule.consequence
    assert len(rule.source) > 3
    assert rule.operations
    assert rule.operations <= set(SYSTEMS[system].specs)
    assert SYSTEMS[system].rule(rule.id) is rule


def test_an_unknown_rule_or_system_is_named_with_what_there_is():
    with pytest.raises(ValueError, match=r"rule is 'XX-1'; allowed for pagetable are .*TL-1"):
        SYSTEMS["pagetable"].rule("XX-1")
    with pytest.raises(ValueError, match=r"system is 'nosuch'; allowed are dart, gpuvm, mali"):
        system_by_name("nosuch")


# -- what they count --------------------------------------------------------------------------


def test_no_rule_is_vacuous_on_the_reference(reference):
    assert [rule.id for rule in SYSTEM.rules if not reference.checked.get(rule.id)] == []
    assert reference.violated == {}
    assert set(reference.checked) <= {rule.id for rule in SYSTEM.rules}


def test_at_least_half_of_the_steps_change_state(reference):
    assert share(reference) >= 0.5


def share(tally):
    """The share of steps that changed state."""
    return sum(count.changed for count in tally.operations.values()) / tally.steps


def test_every_operation_is_done_and_most_calls_keep_the_contract(reference):
    assert set(reference.operations) == set(SYSTEM.specs)
    for name, count in reference.operations.items():
        assert count.legal + count.refused + count.misuse == count.count
        assert count.legal > count.count / 2, name
    assert reference.operations["map"].refused
    assert reference.operations["map"].misuse
    assert reference.operations["unmap"].misuse


def test_only_generation_is_counted():
    target = make_target("mutant:wrong-attribute")
    plan = Plan(examples=12, shards=1)
    short = run_shard(SYSTEM, target, replace(plan, minimise_executions=0), 0)
    long = run_shard(SYSTEM, target, plan, 0)
    assert long.findings
    assert short.tally == long.tally


def test_a_step_without_anything_to_judge_is_not_counted():
    session = SYSTEM.session(make_target("reference", system="pagetable"), set(), None)
    session.run(operation("create"))
    before = dict(session.tally.checked)
    session.run(operation("sync"))
    session.run(operation("release"))
    after = session.tally.checked
    changed = {rule for rule in after if after[rule] != before.get(rule, 0)}
    # Nothing was due, nothing was stored: only whether the call came back was judged.
    assert changed <= {"PG-1", "PG-2", "PG-3"}


def operation(name):
    """An operation with its defaults."""
    return from_json({"op": name}, SYSTEM.specs)


@pytest.mark.parametrize("unit", ["arm", "dart"])
def test_linux_is_judged_by_every_rule_and_most_steps_change_state(unit):
    try:
        target = make_target(f"linux:io-pgtable-{unit}")
    except TargetUnavailable as error:
        if os.environ.get("MMU_CONFORMANCE_REQUIRE_LINUX"):
            raise
        pytest.skip(str(error))
    plan = replace(PLAN, examples=40, minimise_executions=0)
    known = set(run_shard(SYSTEM, target, plan, 0).findings)
    # Each finding begins a round anew, with the simplest example; so go on without them.
    tally = run_shard(SYSTEM, target, replace(plan, seed=1), 0, known).tally
    target.close()
    assert share(tally) >= 0.5
    assert [rule.id for rule in SYSTEM.rules if not tally.checked.get(rule.id)] == []


# -- signatures -------------------------------------------------------------------------------

PLANTED = (
    "unmap-not-flushed+wrong-attribute+table-leaked",
    "freed-before-flush+run-one-short",
    "endless-loop",
    "error-leaves-entries+gather-one-page-short",
)


@pytest.mark.parametrize("names", PLANTED)
def test_signatures_hold_no_address_and_no_count(names):
    plan = Plan(examples=24, shards=1, minimise_executions=0)
    findings = run_shard(SYSTEM, make_target(f"mutant:{names}"), plan, 0).findings
    assert findings
    files = set()
    for (rule, signature), finding in findings.items():
        assert signature.partition(",")[0] in SYSTEM.specs
        without_level = re.sub(r"\blevel -?\d\b", "level", signature)
        assert not re.search(r"\d", without_level), signature
        assert finding.violation.message.endswith(".")
        files.add(counterexample.file_name("pagetable", rule, signature))
    assert len(files) == len(findings)


# -- when they are silent -----------------------------------------------------------------------


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_a_rule_is_silent_only_for_reasons_that_it_states(name):
    system = SYSTEMS[name]
    tally = run_shard(system, make_target("reference", system=name), PLAN, 0).tally
    for rule, reasons in tally.silent.items():
        assert set(reasons) <= {*system.rule(rule).silences, NOT_BACK, WORSE}, rule
        assert all(count > 0 for count in reasons.values())


def test_a_call_outside_the_contract_silences_who_does_not_judge_those(reference):
    unjudged = {rule.id for rule in SYSTEM.rules if not rule.misuse}
    assert {one for one, reasons in reference.silent.items() if OUTSIDE in reasons} >= {
        rule.id for rule in SYSTEM.rules if rule.id in unjudged and "map" in rule.operations
    }
