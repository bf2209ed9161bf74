"""Runs of system va-alloc: right code passes, and what is planted is told with little."""

import random

import pytest

from conformance import minimise as module
from conformance.discovery import SYSTEMS
from conformance.engine import Plan, run_shard
from conformance.minimise import minimise
from conformance.registry import make_target
from conformance.systems.va_alloc.rules import VA_ALLOC
from reference.operations import from_json

pytestmark = pytest.mark.xdist_group("engine")

PAGE = 0x1000
SYSTEM = SYSTEMS["va-alloc"]
EXAMPLES = 200


def op(name, **args):
    return from_json({"op": name} | args, SYSTEM.specs)


@pytest.fixture(scope="module")
def reference():
    """A run of the reference."""
    plan = Plan(examples=EXAMPLES, shards=1)
    return run_shard(SYSTEM, make_target("reference", system="va-alloc"), plan, 0)


def test_the_reference_holds(reference):
    assert reference.findings == {}
    assert reference.complete
    assert reference.tally.examples == EXAMPLES
    assert reference.tally.violated == reference.tally.hits == reference.tally.cut == {}


@pytest.mark.parametrize("rule", [rule.id for rule in VA_ALLOC])
def test_no_rule_is_vacuous(reference, rule):
    # One judgement in every example, at the least.
    assert reference.tally.checked[rule] >= EXAMPLES


def test_every_operation_is_done_and_half_of_the_steps_change_something(reference):
    counts = reference.tally.operations
    assert set(counts) == set(SYSTEM.specs)
    assert all(count.misuse == 0 for count in counts.values())
    changed = sum(count.changed for count in counts.values())
    assert changed / reference.tally.steps >= 0.5
    assert {name for name, count in counts.items() if count.refused} == {"alloc", "reserve", "free"}


def test_the_same_seed_is_the_same_run():
    plan = Plan(examples=16, shards=1, minimise_executions=100)
    runs = []
    for seed in (1, 2):
        random.seed(seed)
        target = make_target("mutant:page-behind-lost+best-from-the-top")
        result = run_shard(SYSTEM, target, plan, 0)
        found = [(one.violation.identity, one.operations) for one in result.findings.values()]
        runs.append((result.tally, result.rounds, found))
    assert runs[0] == runs[1]
    assert {identity[0] for identity, _ in runs[0][2]} == {"SP-41", "TR-42"}


LEAST = {
    # Ranges have numbers: without those made before, one has a lower one.
    "joined-with-nothing": (
        [
            op("create", start=1 << 47, size=1 << 32), op("alloc", size=3 * PAGE),
            op("reserve", va=(1 << 47) + 16 * PAGE), op("alloc", size=5 * PAGE, mode="high"),
            op("free", node=1), op("reserve", va=(1 << 47) + 9 * PAGE, size=2 * PAGE),
            op("free", node=2),
        ],
        ("PG-2", "free, legal, crashed"),
        [op("create"), op("alloc", mode="high"), op("free")],
    ),
    "last-range-not-free": (
        [
            op("create", size=32 * PAGE), op("alloc", size=2 * PAGE), op("free", node=0),
            op("reserve", va=20 * PAGE, size=12 * PAGE),
        ],
        ("ER-40", "reserve, room not found"),
        # The range and the window go together: neither gets smaller by itself.
        [op("create", size=32 * PAGE), op("reserve", va=20 * PAGE, size=12 * PAGE)],
    ),
    "hole-dropped-before-it-is-known": (
        [
            op("create"), op("alloc"), op("reserve", va=8 * PAGE, size=4 * PAGE),
            op("free", node=0), op("reserve", va=7 * PAGE, size=2 * PAGE),
        ],
        ("ER-2", "reserve, ENOSPC, something missing"),
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LEAST)
def test_what_is_left_is_the_least(name):
    operations, identity, least = LEAST[name]
    found = minimise(SYSTEM, make_target(f"mutant:{name}"), operations, identity)
    if least is not None:
        assert found == least
    else:
        assert found is None or len(found) <= 3


@pytest.mark.parametrize(
    ("start", "end", "left"), [(1, 2, (0, 0, 1)), (2, 3, (0, 1, 1)), (1, 3, (0, 1, 0))]
)
def test_without_one_range_those_behind_it_have_lower_numbers(start, end, left):
    makers = [op("create"), op("alloc"), op("reserve", va=0x8000), op("alloc")]
    users = [op("free", node=number) for number in range(3)]
    rest = module._renumbered([*makers, *users], start, end, SYSTEM.made_by)
    assert rest == [*makers[end:], *(op("free", node=number) for number in left)]
