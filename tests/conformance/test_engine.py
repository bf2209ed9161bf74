"""Rounds: everything that is planted is found, and no target ends a run."""

import contextlib
import random
import signal
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers
from hypothesis.stateful import precondition, rule

from conformance import engine
from conformance.discovery import SYSTEMS
from conformance.engine import MAX_ROUNDS, Plan, no_local_constants, run_shard
from conformance.minimise import reproduces
from conformance.registry import make_target
from conformance.run import read_spool, write_shard
from conformance.systems.pagetable.machine import machine_class
from conformance.systems.pagetable.targets import PageTableTarget
from reference.operations import Operation, Result
from reference.trace import CRASH
from strategies import pagetable as draw

pytestmark = pytest.mark.xdist_group("engine")

SYSTEM = SYSTEMS["pagetable"]
PLAN = Plan(examples=40, shards=1)
SHORT = Plan(examples=12, shards=1)


def drawn(result):
    """What a shard did and found, as something that can be compared."""
    return (
        result.tally,
        result.rounds,
        [(f.violation.identity, f.found, f.operations) for f in result.findings.values()],
    )


# -- rounds -----------------------------------------------------------------------------------


def test_three_bugs_in_one_driver_are_all_found_and_minimised():
    target = make_target("mutant:unmap-not-flushed+wrong-attribute+table-leaked")
    # What is rare comes up in one of a few shards.
    results = (run_shard(SYSTEM, target, PLAN, shard) for shard in range(4))
    planted = {"TL-1", "TR-2", "RC-1"}
    result = next(one for one in results if {rule for rule, _ in one.findings} == planted)
    assert result.complete
    assert result.rounds == len(result.findings) + 1
    for identity, finding in result.findings.items():
        assert finding.violation.identity == identity
        assert finding.reproduced
        assert finding.minimal
        assert reproduces(SYSTEM, target, finding.found, identity)
        assert reproduces(SYSTEM, target, finding.operations, identity) == len(finding.operations)
        # The first is create; without it the session makes a table of its own.
        for number in range(1, len(finding.operations)):
            fewer = finding.operations[:number] + finding.operations[number + 1 :]
            assert not reproduces(SYSTEM, target, fewer, identity), finding.operations


def test_an_identity_is_found_once_and_hit_often():
    plan = replace(PLAN, minimise_executions=20)
    result = run_shard(SYSTEM, make_target("mutant:wrong-attribute"), plan, 0)
    hits = result.tally.hits
    assert {" ".join(identity) for identity in result.findings} == set(hits)
    assert max(hits.values()) > 5
    assert sum(result.tally.violated.values()) == sum(hits.values())


def test_what_is_known_is_not_looked_for():
    target = make_target("mutant:wrong-attribute")
    first = run_shard(SYSTEM, target, replace(PLAN, minimise_executions=20), 0)
    again = run_shard(SYSTEM, target, PLAN, 0, set(first.findings))
    assert not set(again.findings) & set(first.findings)
    assert sum(again.tally.hits.values()) > 0


@pytest.mark.parametrize("name", ["reference", "mutant:wrong-attribute"])
@pytest.mark.parametrize("examples", [1, 2, 21])
def test_a_shard_does_its_part_of_the_examples_and_no_more(name, examples):
    result = run_shard(SYSTEM, make_target(name), Plan(examples=examples, steps=8, shards=1), 0)
    assert result.tally.examples == examples


def test_the_parts_of_the_shards_make_up_the_whole():
    for examples in (0, 1, 7, 8, 9, 4000):
        plan = Plan(examples=examples)
        parts = [plan.examples_of(shard) for shard in range(plan.shards)]
        assert sum(parts) == examples
        assert max(parts) - min(parts) <= 1


def test_progress_is_told_after_each_finding_and_at_the_end():
    seen = []

    def note(result):
        minimal = sum(finding.minimal for finding in result.findings.values())
        seen.append((len(result.findings), minimal, result.complete))

    result = run_shard(SYSTEM, make_target("mutant:wrong-attribute"), PLAN, 0, progress=note)
    count = len(result.findings)
    for number in range(1, count + 1):
        assert (number, number - 1, False) in seen
        assert (number, number, False) in seen
    assert seen[-1] == (count, count, True)
    assert [complete for _, _, complete in seen].count(True) == 1


def test_an_interrupt_leaves_what_progress_saw_last():
    class Interrupted(PageTableTarget):
        maps = 0

        def perform(self, operation, trace):
            Interrupted.maps += operation.name == "map"
            if Interrupted.maps > 300:
                raise KeyboardInterrupt
            return super().perform(operation, trace)

    seen = []
    with pytest.raises(KeyboardInterrupt):
        run_shard(
            SYSTEM, Interrupted(), Plan(examples=4000, shards=1), 0,
            progress=lambda result: seen.append((result.tally.examples, result.complete)),
        )  # fmt: skip
    assert seen
    assert seen[-1][0] >= 16
    assert seen[-1][1] is False


def test_an_interrupt_that_is_dropped_while_minimising_is_raised_afterwards(monkeypatch):
    """Python drops what is raised in a callback of the garbage collector."""
    really = engine.minimise

    def dropping(*given):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return really(*given)

    monkeypatch.setattr(engine, "minimise", dropping)
    handler = signal.getsignal(signal.SIGINT)
    seen = []
    with pytest.raises(KeyboardInterrupt):
        run_shard(
            SYSTEM, make_target("mutant:unmap-not-flushed"), Plan(examples=4000, shards=1), 0,
            progress=lambda result: seen.append((len(result.findings), result.complete)),
        )  # fmt: skip
    assert seen[-1] == (1, False)
    assert signal.getsignal(signal.SIGINT) is handler


# -- the same seed ----------------------------------------------------------------------------


def test_the_same_seed_is_the_same_run_and_another_is_another():
    plan = Plan(examples=12, shards=1, minimise_executions=100)
    target = make_target("mutant:wrong-attribute")
    one = run_shard(SYSTEM, target, plan, 0)
    # Whatever happens in between.
    random.seed(1)
    two = run_shard(SYSTEM, make_target("mutant:wrong-attribute"), plan, 0)
    assert one.findings
    assert drawn(one) == drawn(two)
    other = run_shard(SYSTEM, target, replace(plan, seed=1), 0)
    assert other.tally != one.tally
    shard = run_shard(SYSTEM, target, replace(plan, examples=24, shards=2), 1)
    assert shard.tally != one.tally


@pytest.fixture(scope="module")
def plain():
    """A short run of the reference."""
    return drawn(run_shard(SYSTEM, PageTableTarget(), SHORT, 0))


@pytest.mark.parametrize(
    "profile", [{"backend": "hypothesis-urandom"}, {"derandomize": True, "max_examples": 3}]
)
def test_the_users_hypothesis_profile_has_no_say(plain, profile):
    current = settings.get_current_profile_name()
    settings.register_profile("user", **profile)
    settings.load_profile("user")
    try:
        assert drawn(run_shard(SYSTEM, PageTableTarget(), SHORT, 0)) == plain
    finally:
        settings.load_profile(current)


def test_constants_of_local_files_do_not_leak_into_a_run(plain, monkeypatch):
    asked = []

    def constants():
        asked.append(1)
        found = providers.Constants()
        found.integers.update(range(64))
        return found

    monkeypatch.setattr(providers, "_get_local_constants", constants)
    providers.CONSTANTS_CACHE.cache.clear()
    assert drawn(run_shard(SYSTEM, PageTableTarget(), SHORT, 0)) == plain
    assert asked == []
    # They are kept out of runs only.
    assert providers._get_local_constants is constants


def test_constants_come_back_after_an_error():
    before = providers._get_local_constants

    def fail() -> None:
        with no_local_constants():
            assert providers._get_local_constants is not before
            assert not providers._get_local_constants().integers
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert providers._get_local_constants is before


# -- targets that misbehave -------------------------------------------------------------------


class Wrapped(PageTableTarget):
    """The reference target, with one thing changed in ``spoil``."""

    def __init__(self):
        super().__init__()
        self.maps = 0

    def reset(self):
        super().reset()
        self.maps = 0

    def perform(self, operation, trace):
        if operation.name == "map":
            self.maps += 1
            spoilt = self.spoil(operation, trace)
            if spoilt is not None:
                return spoilt
        return super().perform(operation, trace)

    def spoil(self, operation, trace):
        raise AssertionError("nothing to spoil")


class CrashesOnThirdMap(Wrapped):
    def spoil(self, operation, trace):
        if self.maps != 3:
            return None
        trace.emit(CRASH)
        return Result(0, 0, False)


def test_a_crash_is_undone_and_the_example_goes_on():
    class CrashesAtOneAddress(Wrapped):
        def spoil(self, operation, trace):
            if operation.args["iova"] != 0x9000:
                return None
            trace.emit(CRASH)
            return Result(0, 0, False)

    session = SYSTEM.session(CrashesAtOneAddress(), set(), None)
    pages = [0x1000, 0x5000, 0x9000, 0xD000]
    for number, iova in enumerate(pages, start=1):
        outcome = session.run(a_map(iova))
        assert [one.rule for one in outcome.fresh] == (["PG-2"] if number == 3 else [])
        assert not session.ended
    for iova in pages:
        outcome = session.run(Operation("translate", {"iova": iova}))
        assert not outcome.violations
        assert outcome.result.value == (0 if iova == 0x9000 else iova)
    assert not session.finish().violations
    assert session.tally.cut == {}
    assert session.tally.operations["map"].count == 4


def a_map(iova, **more):
    args = {"iova": iova, "pa": iova, "pgsize": 0x1000, "pgcount": 1, "prot": 3, "fail_at": 0}
    return Operation("map", args | more)


def test_a_target_that_crashes_is_found_minimised_and_gone_on_with():
    result = run_shard(SYSTEM, CrashesOnThirdMap(), PLAN, 0)
    assert {rule for rule, _ in result.findings} == {"PG-2"}
    for finding in result.findings.values():
        assert [one.name for one in finding.operations] == ["create", "map", "map", "map"]
    assert result.tally.examples == 40
    assert result.tally.cut == {}
    assert result.tally.operations["map"].count > 3 * 40


class CrashesForGood(Wrapped):
    """Crashes at the 40th map, and on every one from then on, also when it is repeated."""

    every = 0

    def spoil(self, operation, trace):
        CrashesForGood.every += 1
        if CrashesForGood.every < 40:
            return None
        trace.emit(CRASH)
        return Result(0, 0, False)


def test_where_a_crash_cannot_be_undone_the_example_ends_and_is_counted():
    CrashesForGood.every = 0
    result = run_shard(SYSTEM, CrashesForGood(), PLAN, 0)
    assert {rule for rule, _ in result.findings} == {"PG-2"}
    assert sum(result.tally.cut.values()) > 0
    assert sum(result.tally.cut.values()) <= result.tally.examples == 40


def test_a_driver_that_raises_has_crashed():
    class Raising:
        """A driver module whose map raises; everything else is the reference driver's."""

        @staticmethod
        def PageTable(*arguments, **more):
            return Raiser(PageTableTarget().driver.PageTable(*arguments, **more))

    class Raiser:
        def __init__(self, table):
            vars(self)["table"] = table

        def __getattr__(self, name):
            return getattr(self.table, name)

        def __setattr__(self, name, value):
            setattr(self.table, name, value)

        def map_pages(self, *arguments):
            raise ZeroDivisionError("the driver is broken")

    result = run_shard(SYSTEM, PageTableTarget(Raising), PLAN, 0)
    assert {identity[0] for identity in result.findings} == {"PG-2"}
    assert {identity[1] for identity in result.findings} >= {"map, legal, crashed"}
    assert result.tally.examples == 40


def test_a_driver_that_never_returns_is_stopped():
    result = run_shard(SYSTEM, make_target("mutant:endless-loop"), PLAN, 0)
    assert {identity[0] for identity in result.findings} == {"PG-1"}
    assert result.tally.examples == 40


class CrashesOnce(Wrapped):
    """Crashes at the 30th map that it ever does, and never again."""

    every = 0

    def spoil(self, operation, trace):
        CrashesOnce.every += 1
        if CrashesOnce.every != 30:
            return None
        trace.emit(CRASH)
        return Result(0, 0, False)


def test_what_happens_once_and_never_again_is_still_told(tmp_path):
    CrashesOnce.every = 0
    target = CrashesOnce()
    result = run_shard(
        SYSTEM, target, PLAN, 0,
        progress=lambda shard: write_shard(tmp_path, SYSTEM, target, shard, 0, 1.0),
    )  # fmt: skip
    (finding,) = result.findings.values()
    assert finding.violation.rule == "PG-2"
    assert (finding.reproduced, finding.minimal) == (False, False)
    assert result.tally.examples == 40
    (run,) = read_spool(tmp_path, ["pagetable"], 1)
    (found,) = run.found.values()
    assert found.counterexample is None
    assert run.complete


class Fickle(Wrapped):
    """Maps only the first page of every third run: legal, but not the same every time."""

    every = 0

    def spoil(self, operation, trace):
        if operation.args["pgcount"] < 2:
            return None
        Fickle.every += 1
        if Fickle.every % 3:
            return None
        shorter = Operation("map", {**operation.args, "pgcount": 1})
        return PageTableTarget.perform(self, shorter, trace)


def test_a_target_that_is_not_deterministic_does_not_end_the_run():
    def choosy(traits):
        class Choosy(machine_class(traits)):
            """What can be drawn depends on what the target did."""

            @precondition(lambda self: len(self.runs) % 2 and self.runs[-1][1] & 0x1000)
            @rule(spot=draw.spots)
            def nothing(self, spot):
                pass

        return Choosy

    Fickle.every = 0
    system = replace(SYSTEM, make_machine=choosy)
    result = run_shard(system, Fickle(), replace(PLAN, examples=100), 0)
    assert result.findings == {}
    assert result.unstable > 0
    assert result.rounds <= MAX_ROUNDS
    assert result.complete


def test_a_target_in_which_everything_is_new_ends_after_some_rounds(monkeypatch):
    monkeypatch.setattr(engine, "MAX_ROUNDS", 4)

    class New(CrashesOnThirdMap):
        """Each crash has another place, so each is another identity."""

        crashes = 0
        places = ("", *(f"function_{number}" for number in range(1000)))

        def __init__(self):
            super().__init__()
            self.places = New.places

        def spoil(self, operation, trace):
            if self.maps != 3:
                return None
            New.crashes += 1
            trace.emit(CRASH, place=New.crashes % 1000)
            return Result(0, 0, False)

    result = run_shard(SYSTEM, New(), PLAN, 0)
    assert result.rounds == 4
    assert len(result.findings) == 4
    assert result.complete
