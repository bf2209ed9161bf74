"""Seeded bugs of the VA manager: their edits fit, and each shows in a trace."""

import random
import re

import pytest

from conformance.mutants.mutant import driver_source, load
from conformance.systems.gpuvm import mutants as gpuvm
from conformance.systems.gpuvm.targets import GpuvmTarget
from reference.operations import Operation
from reference.trace import CRASH, HANG, Trace

PAGE = 0x1000
RULES = {
    "SP-1", "SP-2", "SP-20", "NB-1", "TR-20", "RC-4", "RC-20", "ER-1", "ER-2", "IS-20",
    "PG-1", "PG-2",
}  # fmt: skip


def test_ids_are_unique_and_stories_are_told():
    ids = [one.id for one in gpuvm.MUTANTS]
    assert len(ids) == len(set(ids)) >= 50
    for one in gpuvm.MUTANTS:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.id)
        assert one.story[0].islower()
        assert not one.story.endswith(".")
        assert one.known == "" or re.fullmatch(r"KB-\d\d", one.known)


def test_every_rule_has_a_mutant():
    assert {one.rule for one in gpuvm.MUTANTS} == RULES


def test_known_bugs_of_the_va_manager_are_here():
    known = [one.known for one in gpuvm.MUTANTS]
    assert {f"KB-{number:02}" for number in (2, 11, 12, 13, 14, 33, 35, 45, 48)} <= set(known)
    assert known.count("KB-14") == 2
    assert known.count("KB-35") >= 2


def calls(seed):
    """Calls on a window of 64 pages, which lies at its end and start or in the middle."""
    draw = random.Random(seed)
    start = draw.choice([0, 16, (1 << 52) - 65])
    create = {"start": start, "size": 64, "kernel_start": start + 40, "kernel_size": 4}
    yield "create", {name: held(pages * PAGE) for name, pages in create.items()}
    for private in (0, 1):
        yield "bo", {"size": 16 * PAGE, "private": private}
    end = 0
    for _ in range(40):
        name = draw.choice(["map"] * 6 + ["unmap"] * 3 + ["evict"] * 3 + ["validate", "find"] * 2)
        args = {}
        if name in ("map", "unmap", "find"):
            first = draw.choice([start + draw.randrange(-1, 65), end, end - 1])
            args = {"iova": first * PAGE, "size": draw.choice([0, 1, 1, 1, 2, 3, 5]) * PAGE}
            end = first + args["size"] // PAGE
        if name == "find":
            args["iova"] += draw.choice([0, 0x800])
        elif args:
            args["fail_at"] = draw.choice([0] * 9 + [1, 2, 3, 4, 5])
        if name in ("map", "evict"):
            args["bo"] = draw.randrange(2)
        if name == "map":
            # Often in one piece with what may be there already.
            offset = draw.choice([(first - start) % 16, draw.randrange(16)])
            args["offset"] = offset * PAGE + draw.choice([0] * 9 + [0x800])
        if name == "evict":
            args["state"] = draw.randrange(4) > 0
        if draw.randrange(40) == 0:
            name, args = "close", {"bo": draw.randrange(2)}
        yield name, {key: held(value) for key, value in args.items()}
    yield "destroy", {}


def held(value):
    """A word, which may have wrapped, in two's complement."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def traces(target, seed):
    """Everything that is seen of each call."""
    target.reset()
    for name, args in calls(seed):
        trace = Trace()
        result = target.perform(Operation(name, args), trace)
        yield result, trace.words


def differs(target, seed):
    """Whether a driver is seen to do other than the reference driver."""
    pairs = zip(traces(target, seed), traces(GpuvmTarget(), seed), strict=True)
    return any(one != other for one, other in pairs)


@pytest.mark.parametrize("one", gpuvm.MUTANTS, ids=lambda one: one.id)
def test_each_fits_the_driver_and_shows(one):
    driver = load(gpuvm.DRIVER, [one])
    assert set(driver.places) == {one.id}
    assert driver.source != driver_source(gpuvm.DRIVER)
    target = GpuvmTarget(driver.module, one.id)
    assert any(differs(target, seed) for seed in range(200))
    assert driver.executed(one.id)[1] > 0


def test_a_driver_without_edits_does_not_differ():
    driver = load(gpuvm.DRIVER, [])
    target = GpuvmTarget(driver.module, "unedited")
    assert not any(differs(target, seed) for seed in range(40))


@pytest.mark.parametrize(
    ("mutant", "kind"), [("search-stands-still", HANG), ("one-vma-for-unmap", CRASH)]
)
def test_a_call_that_does_not_come_back_is_told(mutant, kind):
    one = next(one for one in gpuvm.MUTANTS if one.id == mutant)
    target = GpuvmTarget(load(gpuvm.DRIVER, [one]).module, one.id)
    finished = []
    for name, args in [
        ("create", {"start": 0, "size": 64 * PAGE, "kernel_start": 0, "kernel_size": 0}),
        ("bo", {"size": 16 * PAGE, "private": 0}),
        ("map", {"iova": 0, "size": 8 * PAGE, "bo": 0, "offset": 0, "fail_at": 0}),
        ("map", {"iova": 8 * PAGE, "size": 8 * PAGE, "bo": 0, "offset": 0, "fail_at": 0}),
        ("unmap", {"iova": 2 * PAGE, "size": PAGE, "fail_at": 0}),
    ]:
        trace = Trace()
        finished.append(target.perform(Operation(name, args), trace).finished)
        if not finished[-1]:
            break
    assert not finished[-1]
    assert [event.kind for event in trace][-1] == kind
