"""Seeded bugs of the allocator: their edits fit, each shows, and its rule alone finds it."""

import random
import re

import pytest

from conformance.discovery import SYSTEMS
from conformance.engine import Plan, run_shard
from conformance.kill import subset
from conformance.minimise import reproduces
from conformance.mutants.mutant import driver_source, load
from conformance.registry import make_target
from conformance.systems.va_alloc import mutants as va_alloc
from conformance.systems.va_alloc.rules import VA_ALLOC
from conformance.systems.va_alloc.targets import VaAllocTarget
from reference.operations import Operation
from reference.trace import Trace
from reference.words import to_signed

pytestmark = pytest.mark.xdist_group("engine")

PAGE = 0x1000
SYSTEM = SYSTEMS["va-alloc"]


def test_ids_are_unique_and_stories_are_told():
    ids = [one.id for one in va_alloc.MUTANTS]
    assert len(ids) == len(set(ids)) >= 12
    for one in va_alloc.MUTANTS:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.id)
        assert one.story[0].islower()
        assert not one.story.endswith(".")
        assert one.known in ("", "KB-19")
    assert "KB-19" in [one.known for one in va_alloc.MUTANTS]


def test_every_rule_but_that_of_warnings_has_a_mutant():
    # Our own driver has no place for a warning.
    assert {one.rule for one in va_alloc.MUTANTS} == {rule.id for rule in VA_ALLOC} - {"PG-3"}


def calls(seed):
    """Calls on a window of 64 pages, at the start, in the middle or at the end."""
    draw = random.Random(seed)
    start = draw.choice([0, 16, (1 << 52) - 65])
    yield "create", {"start": start * PAGE, "size": 64 * PAGE}
    for _ in range(40):
        name = draw.choice(["alloc"] * 4 + ["reserve"] * 3 + ["free"] * 3 + ["find"])
        first = start + draw.randrange(0, 64)
        last = (min(first + draw.randrange(0, 40), (1 << 52) - 1) + 1) * PAGE - 1
        bounds = {"first": first * PAGE, "last": last}
        if name == "alloc":
            wide = {"first": 0, "last": (1 << 64) - 1}
            size = draw.choice([0, 1, 1, 2, 3, 5, (last + 1) // PAGE - first]) * PAGE
            align = draw.choice([0, 0, 1, 2, 3, 4]) * PAGE
            mode = draw.choice(["best", "low", "high"])
            args = {"size": size, "align": align, "mode": mode, **draw.choice([wide, bounds])}
        elif name == "reserve":
            args = {
                "va": first * PAGE,
                "size": draw.choice([0, 1, 1, 2, 4, start + 64 - first]) * PAGE,
            }
        elif name == "free":
            args = {"node": draw.randrange(12)}
        else:
            args = bounds
        yield name, args
    yield "destroy", {}


def traces(target, seed):
    """Everything that is seen of each call."""
    target.reset()
    for name, args in calls(seed):
        held = {key: one if isinstance(one, str) else to_signed(one) for key, one in args.items()}
        trace = Trace()
        result = target.perform(Operation(name, held), trace)
        yield result, trace.words


def differs(target, seed):
    """Whether a driver is seen to do other than the reference driver."""
    pairs = zip(traces(target, seed), traces(VaAllocTarget(), seed), strict=True)
    return any(one != other for one, other in pairs)


@pytest.mark.parametrize("one", va_alloc.MUTANTS, ids=lambda one: one.id)
def test_each_fits_the_driver_and_shows(one):
    driver = load(va_alloc.DRIVER, [one])
    assert set(driver.places) == {one.id}
    assert driver.source != driver_source(va_alloc.DRIVER)
    target = VaAllocTarget(driver.module, one.id)
    assert any(differs(target, seed) for seed in range(200))
    assert driver.executed(one.id)[1] > 0


def test_a_driver_without_edits_does_not_differ():
    driver = load(va_alloc.DRIVER, [])
    target = VaAllocTarget(driver.module, "unedited")
    assert not any(differs(target, seed) for seed in range(40))


@pytest.mark.parametrize("one", subset(va_alloc.MUTANTS), ids=lambda one: one.id)
def test_one_of_each_rule_is_found_by_it_alone(one):
    target = make_target(f"mutant:{one.id}")
    result = run_shard(SYSTEM, target, Plan(examples=150, shards=1, minimise_executions=200), 0)
    assert {rule for rule, _ in result.findings} == {one.rule}
    assert target.executed(one.id)[1] > 0
    for identity, finding in result.findings.items():
        assert reproduces(SYSTEM, target, finding.operations, identity)
        assert not reproduces(SYSTEM, VaAllocTarget(), finding.operations, identity)
    assert min(len(finding.operations) for finding in result.findings.values()) <= 5
