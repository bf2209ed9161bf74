"""Runs of system mali: right code passes, what is planted is found, and told with little."""

import random

import pytest

from conformance import minimise as module
from conformance.discovery import SYSTEMS
from conformance.engine import Plan, run_shard
from conformance.make_counterexample import counterexample_of
from conformance.minimise import lower_values, minimise, reproduces
from conformance.registry import make_target
from conformance.replay import replay
from conformance.systems.mali.rules import MALI
from conformance.systems.mali.targets import MaliTarget
from reference import trace as t
from reference.operations import Operation, Result, from_json
from reference.systems.mali.device import COMMAND, STATUS, UPDATE, place_at
from reference.systems.mali.events import FENCE
from reference.trace import Trace
from reports import counterexample

pytestmark = pytest.mark.xdist_group("engine")

PAGE = 0x1000
LARGE = 0x20_0000
SYSTEM = SYSTEMS["mali"]
SPECS = SYSTEM.specs
EXAMPLES = 150


def op(name, **args):
    return from_json({"op": name} | args, SPECS)


def bind(page, count=1, bo=0, **more):
    return op("bind", va=page * PAGE, size=count * PAGE, bo=bo, **more)


def unbind(page, count=1, **more):
    return op("bind", kind=1, va=page * PAGE, size=count * PAGE, **more)


CREATE, VM, BO, RUN, ACTIVE = op("create"), op("vm"), op("bo"), op("run"), op("active")


def drawn(result):
    """What a shard did and found, as something that can be compared."""
    return (
        result.tally,
        result.rounds,
        [(f.violation.identity, f.found, f.operations) for f in result.findings.values()],
    )


# -- right code -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference():
    """A run of the reference."""
    target = make_target("reference", system="mali")
    return run_shard(SYSTEM, target, Plan(examples=EXAMPLES, shards=1), 0)


def test_the_reference_holds(reference):
    assert reference.findings == {}
    assert reference.complete
    assert reference.tally.examples == EXAMPLES
    assert reference.tally.violated == reference.tally.hits == reference.tally.cut == {}


@pytest.mark.parametrize("rule", [rule.id for rule in MALI])
def test_no_rule_is_vacuous(reference, rule):
    assert reference.tally.checked[rule] >= 5


def test_most_operations_are_done_and_most_calls_are_legal(reference):
    counts = reference.tally.operations
    # It goes once and for all, so it does so late and seldom.
    assert set(counts) >= set(SPECS) - {"unplug"}
    for name, count in counts.items():
        assert count.legal + count.refused == count.count
        assert count.misuse == 0
        assert count.legal > count.count / 2, name
    refused = {name for name, count in counts.items() if count.refused}
    assert refused >= {"bind", "queue", "active", "alloc", "vm"}


def test_at_least_half_of_the_steps_change_state(reference):
    changed = sum(count.changed for count in reference.tally.operations.values())
    assert changed / reference.tally.steps >= 0.5


# -- what is planted --------------------------------------------------------------------------


class Changed(MaliTarget):
    """The reference, the events of which are changed by ``change`` after every operation.

    ``change`` is given the operation and its events, to change in place, and the result; it gives
    the result.
    """

    def perform(self, operation, trace):
        seen = Trace()
        result = super().perform(operation, seen)
        events = [[e.kind, e.a, e.b, e.c, e.place] for e in seen]
        result = self.change(operation, events, result)
        for kind, a, b, c, place in events:
            trace.emit(kind, a, b, c, place=place)
        return result

    def change(self, operation, events, result):
        raise NotImplementedError


def is_command(event, command):
    place = place_at(event[1]) if event[0] == t.REG_WRITE else None
    return place is not None and place.register.name == COMMAND and event[2] == command


def reads_status(event):
    place = place_at(event[1]) if event[0] == t.REG_READ else None
    return place is not None and place.register.name == STATUS


class Impatient(Changed):
    """Never looks whether an UPDATE has ended."""

    def change(self, operation, events, result):
        kept = [
            event
            for before, event in zip([[0, 0, 0], *events], events, strict=False)
            if not (reads_status(event) and is_command(before, UPDATE))
        ]
        events[:] = kept
        return result


class Unflushed(Changed):
    """A bind that unmaps has nothing flushed."""

    def change(self, operation, events, result):
        if operation.name == "bind" and operation.args["kind"] == 1:
            events[:] = [one for one in events if one[0] not in (t.REG_READ, t.REG_WRITE)]
        return result


class Miscounted(Changed):
    """Tells too many references of a buffer after a queued bind was done."""

    def change(self, operation, events, result):
        if operation.name == "run" and any(one[0] == FENCE for one in events):
            events.append([t.REFS, t.REFS_BUFFER, 0, 99, 0])
        return result


class Careless(Impatient):
    """All three at once."""

    def change(self, operation, events, result):
        result = Unflushed.change(self, operation, events, result)
        result = Miscounted.change(self, operation, events, result)
        return super().change(operation, events, result)


class CrashesOnThirdBind(MaliTarget):
    """Crashes whenever three binds were made."""

    def reset(self):
        super().reset()
        self.binds = 0

    def perform(self, operation, trace):
        result = super().perform(operation, trace)
        self.binds += operation.name == "bind" and result.result == 0
        if operation.name != "bind" or self.binds != 3:
            return result
        trace.emit(t.CRASH)
        return Result(0, 0, False)


STALE = ("TL-1", "bind, bind, level 3, stale leaf")
UNSEEN = ("OR-10", "AS enabled, UPDATE not seen to end")
TOO_MANY = ("RC-4", "run, buffer, too many references")
CRASHED = ("PG-2", "bind, legal, crashed")


def is_least(target, finding):
    """Whether no operation can go: what is left of it breaks nothing in the same way."""
    identity, operations = finding.violation.identity, finding.operations
    return reproduces(SYSTEM, target, operations, identity) >= len(operations) and not any(
        reproduces(SYSTEM, target, operations[:number] + operations[number + 1 :], identity)
        for number in range(1, len(operations))
    )


def test_three_bugs_in_one_driver_are_all_found_and_minimised():
    target = Careless()
    plan = Plan(examples=24, shards=1, minimise_executions=300)
    result = run_shard(SYSTEM, target, plan, 0)
    # What is split without a lock, as there is no flush, conflicts with what is cached.
    assert {rule for rule, _ in result.findings} - {"OR-2"} == {"TL-1", "OR-10", "RC-4"}
    assert set(result.findings) >= {STALE, UNSEEN, TOO_MANY}
    assert result.complete
    assert result.tally.examples == 24
    for identity in (STALE, UNSEEN, TOO_MANY):
        finding = result.findings[identity]
        assert finding.violation.identity == identity
        assert finding.reproduced
        assert reproduces(SYSTEM, target, finding.found, identity)
        assert is_least(target, finding), finding.operations
        assert not reproduces(SYSTEM, MaliTarget(), finding.operations, identity)
    assert len(result.findings[UNSEEN].operations) == 2
    assert len(result.findings[STALE].operations) <= 5


def test_a_target_that_crashes_is_found_minimised_and_gone_on_with():
    result = run_shard(SYSTEM, CrashesOnThirdBind(), Plan(examples=8, shards=1), 0)
    assert {rule for rule, _ in result.findings} == {"PG-2"}
    names = [one.name for one in result.findings[CRASHED].operations]
    assert names[-3:] == ["bind"] * 3
    assert len(names) <= 6
    assert result.tally.examples == 8
    assert result.tally.cut == {}


def test_the_same_seed_is_the_same_run_and_another_is_another():
    plan = Plan(examples=8, shards=1, minimise_executions=60)
    one = run_shard(SYSTEM, Impatient(), plan, 0)
    # Whatever happens in between.
    random.seed(1)
    two = run_shard(SYSTEM, Impatient(), plan, 0)
    assert one.findings
    assert drawn(one) == drawn(two)
    other = run_shard(SYSTEM, Impatient(), Plan(1, 8, 30, 1, 60), 0)
    assert other.tally != one.tally


# -- the least --------------------------------------------------------------------------------

HIGH = (1 << 46) // PAGE

LEAST = {
    "stale": (
        Unflushed,
        [
            op("create", slots=3, va_bits=39), VM, VM, BO, op("bo", pieces=3), op("fence"),
            op("active", vm=1), bind(0x123, 4, vm=1, bo=1, flags=3), op("queue", bo=0, fence=0),
            bind(0), unbind(0x124, 2, vm=1), RUN,
        ],
        STALE,
        [VM, BO, ACTIVE, bind(0), unbind(0)],
    ),
    "update": (
        Impatient,
        [op("create", slots=2), VM, VM, BO, bind(9, vm=1), op("active", vm=1)],
        UNSEEN,
        [VM, ACTIVE],
    ),
    # Fences are numbered with those that queued binds make.
    "fences": (
        Miscounted,
        [
            CREATE, VM, BO, op("queue", va=4 * PAGE, bo=0), op("fence"), op("fence"), RUN,
            op("queue", va=8 * PAGE, size=3 * PAGE, bo=0, fence=2), op("signal", fence=2), RUN,
        ],
        TOO_MANY,
        [VM, BO, op("queue", bo=0), RUN],
    ),
    "addresses": (
        CrashesOnThirdBind,
        [CREATE, VM, BO, bind(HIGH), bind(HIGH + 1), bind(HIGH + 512, 512), bind(HIGH)],
        CRASHED,
        [VM, BO, bind(0), bind(0), bind(0)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LEAST)
def test_what_is_left_is_the_least_and_breaks_the_same_rule(name):
    make, operations, identity, least = LEAST[name]
    given = list(operations)
    target = make()
    left = minimise(SYSTEM, target, operations, identity)
    assert operations == given
    assert reproduces(SYSTEM, target, left, identity) == len(left)
    if name == "addresses":
        # Binds of nothing are done, too.
        assert [one.name for one in left][-3:] == ["bind"] * 3
        assert len(left) <= len(least)
    elif name == "fences":
        assert [one.name for one in left][-2:] == ["queue", "run"]
        assert len(left) <= len(least)
    else:
        assert left == least


@pytest.mark.parametrize("name", LEAST)
def test_nothing_that_is_left_can_go_and_no_number_can_be_lowered(name):
    make, operations, identity, _ = LEAST[name]
    target = make()
    left = minimise(SYSTEM, target, operations, identity)
    for number, operation in enumerate(left):
        if number:
            assert not reproduces(SYSTEM, target, left[:number] + left[number + 1 :], identity)
        for spec in SPECS[operation.name].args:
            for lower in lower_values(spec, operation.args[spec.name]):
                other = Operation(operation.name, {**operation.args, spec.name: lower})
                changed = [*left[:number], other, *left[number + 1 :]]
                if SYSTEM.allows(target, changed):
                    assert not reproduces(SYSTEM, target, changed, identity), other


MAKERS = [CREATE, VM, op("fence"), op("queue", bo=0), op("fence"), op("alloc"), op("alloc")]


@pytest.mark.parametrize(
    ("start", "end", "fence", "node"),
    [(2, 3, 1, 1), (3, 4, 1, 1), (2, 4, 0, 1), (5, 6, 2, 0), (2, 6, 2, 0), (1, 2, 2, 1)],
)
def test_fences_and_nodes_have_lower_numbers_without_those_before(start, end, fence, node):
    users = [op("signal", fence=2), op("free", node=1)]
    if start == 2 and end == 6:
        # The fence that it names is gone itself: what it is then is nobody's concern.
        users[0] = op("signal", fence=5)
    rest = module._renumbered([*MAKERS, *users], start, end, SYSTEM.made_by)
    assert rest[: len(MAKERS) - end] == MAKERS[end:]
    signal, free = rest[-2:]
    assert (signal.number("fence"), free.number("node")) == (fence, node)


def test_devices_that_cannot_be_are_not_made_while_minimising():
    made = []

    class Noting(Impatient):
        def perform(self, operation, trace):
            if operation.name == "create":
                made.append(operation)
            return super().perform(operation, trace)

    operations = [op("create", va_bits=36, pa_bits=44, slots=9, coherent=0), VM, ACTIVE]
    assert minimise(SYSTEM, Noting(), operations, UNSEEN) == [VM, ACTIVE]
    assert len(made) > 3
    assert all(SYSTEM.allows(MaliTarget(), [create]) for create in made)


# -- replay -----------------------------------------------------------------------------------


def test_a_counterexample_is_fixed_on_the_reference(tmp_path):
    target = Unflushed()
    *_, identity, least = LEAST["stale"]
    found = counterexample_of(SYSTEM, target, least, identity, 3)
    path = tmp_path / "stale.json"
    counterexample.save(found, str(path))
    done = replay(str(path), "reference", "mali", None)
    assert (done.answer, done.failed, done.violations) == ("FIXED", False, [])
    assert [line.operation for line in done.lines[: len(least)]] == least
    assert "FIXED on reference" in done.text()
    assert counterexample.load(str(path)).signature == identity[1]


def test_operations_by_hand_are_told_one_by_one(tmp_path):
    path = tmp_path / "operations.json"
    path.write_text(
        """
        {"op": "create", "slots": 2}
        {"op": "vm"}
        {"op": "bo", "pieces": 1}
        {"op": "active"}
        {"op": "bind", "va": "0x200000", "size": "0x200000", "bo": 0}
        {"op": "queue", "kind": 1, "va": "0x200000", "size": "0x200000"}
        {"op": "run"}
        {"op": "bind", "va": "0x800000000000", "bo": 0}
        {"op": "alloc"}
        """,
        encoding="utf-8",
    )
    done = replay(str(path), "reference", "mali", None)
    assert (done.answer, done.failed, done.violations) == ("", False, [])
    assert [line.operation.name for line in done.lines[:9]] == [
        "create", "vm", "bo", "active", "bind", "queue", "run", "bind", "alloc",
    ]  # fmt: skip
    assert [line.sort for line in done.lines[:9]] == ["legal"] * 7 + ["refused", "legal"]
    text = done.text()
    assert "signals fence 0" in text
    assert "at 0x800000000000" in text
    assert "[refused]" in text
