"""Runs of system nvidia: right code passes, what is planted is found, and told with little."""

import random

import pytest

from conformance import minimise as module
from conformance.discovery import SYSTEMS
from conformance.engine import Plan, run_shard
from conformance.make_counterexample import counterexample_of
from conformance.minimise import lower_values, minimise, reproduces
from conformance.registry import make_target
from conformance.replay import replay
from conformance.systems.nvidia.operations import CHIPS
from conformance.systems.nvidia.rules import NVIDIA
from conformance.systems.nvidia.targets import NvidiaTarget
from conformance.tally import Tally
from reference import trace as t
from reference.operations import Operation, Result, from_json
from reference.trace import Trace
from reports import counterexample

pytestmark = pytest.mark.xdist_group("engine")

PAGE, LARGE = 0x1000, 0x20_0000
SYSTEM = SYSTEMS["nvidia"]
SPECS = SYSTEM.specs
EXAMPLES, SHARDS = 150, 3


def op(name, **args):
    return from_json({"op": name} | args, SPECS)


CREATE, MEMORY, GET, MAP = op("create"), op("memory"), op("get"), op("map")
UNMAP, PUT, JOIN = op("unmap"), op("put"), op("join")
TWO = op("get", size=2 * PAGE)


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
    """What a run of the reference found, and counted."""
    target = make_target("reference", system="nvidia")
    findings, tally = {}, Tally()
    for shard in range(SHARDS):
        result = run_shard(SYSTEM, target, Plan(examples=EXAMPLES, shards=SHARDS), shard)
        assert result.complete
        findings |= result.findings
        tally.add(result.tally)
    return findings, tally


def test_the_reference_holds(reference):
    findings, tally = reference
    assert findings == {}
    assert tally.examples == EXAMPLES
    assert tally.violated == tally.hits == tally.cut == {}


@pytest.mark.parametrize("rule", [rule.id for rule in NVIDIA])
def test_no_rule_is_vacuous(reference, rule):
    assert reference[1].checked[rule] >= 5


def test_all_operations_are_done_and_most_calls_are_legal(reference):
    counts = reference[1].operations
    assert set(counts) == set(SPECS)
    for name, count in counts.items():
        assert count.legal + count.refused == count.count
        assert count.misuse == 0
        if name not in ("replay", "part"):
            # Only one chip in four has faults replayed; few address spaces are joined.
            assert count.legal > count.count / 2, name
    refused = {name for name, count in counts.items() if count.refused}
    assert refused >= {"create", "memory", "drop", "get", "put", "map", "map_part", "pfn_map"}


def test_at_least_half_of_the_steps_change_state(reference):
    tally = reference[1]
    changed = sum(count.changed for count in tally.operations.values())
    assert changed / tally.steps >= 0.5


class Noting(NvidiaTarget):
    """The reference, which notes the chips of the address spaces that it makes."""

    seen: list[str] = []  # noqa: RUF012

    def perform(self, operation, trace):
        if operation.name == "create":
            self.seen.append(operation.args["chip"])
        return super().perform(operation, trace)


@pytest.mark.parametrize("chip", CHIPS)
def test_a_target_of_one_chip_is_used_as_that_chip_alone(chip):
    target = make_target(f"python:conformance.systems.nvidia.targets:{chip}", system="nvidia")
    assert target.traits["chip"] == (chip,)
    noting = Noting(chips=target.traits["chip"])
    noting.seen = []
    result = run_shard(SYSTEM, noting, Plan(examples=6, shards=1), 0)
    assert (result.findings, result.tally.examples) == ({}, 6)
    assert len(noting.seen) >= 6
    assert set(noting.seen) == {chip}


# -- what is planted --------------------------------------------------------------------------


class Changed(NvidiaTarget):
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


class Unflushed(Changed):
    """An unmap that clears a single entry, of every fourth area, has nothing invalidated."""

    def change(self, operation, events, result):
        cleared = [one[3] for one in events if one[0] == t.STORE]
        if operation.name == "unmap" and not operation.args["vma"] & 3 and cleared == [0]:
            events[:] = [one for one in events if one[0] not in (t.REG_READ, t.REG_WRITE)]
        return result


class Miscounted(Changed):
    """Tells too many references of a memory that is mapped a second time."""

    def change(self, operation, events, result):
        for event in events:
            if event[0] == t.REFS and operation.name == "map" and event[3] == 3:
                event[3] = 9
        return result


class Misplaced(Changed):
    """An area of two pages is said to lie a page further than it does."""

    def change(self, operation, events, result):
        if operation.name == "get" and operation.args["size"] == 2 * PAGE and not result.result:
            return Result(0, result.value + PAGE)
        return result


class Careless(Changed):
    """All three at once."""

    def change(self, operation, events, result):
        for bug in (Unflushed, Miscounted, Misplaced):
            result = bug.change(self, operation, events, result)
        return result


class CrashesOnThirdMap(NvidiaTarget):
    """Crashes whenever three maps of whole areas were made."""

    def reset(self):
        super().reset()
        self.maps = 0

    def perform(self, operation, trace):
        result = super().perform(operation, trace)
        self.maps += operation.name == "map" and result.result == 0
        if operation.name != "map" or self.maps != 3:
            return result
        trace.emit(t.CRASH)
        return Result(0, 0, False)


STALE = ("TL-1", "unmap, SPT entry that shrank not invalidated: mapped for nothing")
TOO_MANY = ("RC-30", "map, memory, too many references")
ELSEWHERE = ("SP-32", "get, not the best fit")
CRASHED = ("PG-2", "map, legal, crashed")


def is_least(target, finding):
    """Whether no operation can go: what is left of it breaks nothing in the same way."""
    identity, operations = finding.violation.identity, finding.operations
    return reproduces(SYSTEM, target, operations, identity) >= len(operations) and not any(
        reproduces(SYSTEM, target, operations[:number] + operations[number + 1 :], identity)
        for number in range(1, len(operations))
    )


def test_three_bugs_in_one_driver_are_all_found_and_minimised():
    target = Careless()
    result = run_shard(SYSTEM, target, Plan(examples=24, shards=1, minimise_executions=300), 0)
    # A table that goes with its last page is freed without the flush, too, where that comes up.
    assert {rule for rule, _ in result.findings} - {"TL-2"} == {"TL-1", "RC-30", "SP-32"}
    assert set(result.findings) >= {STALE, TOO_MANY, ELSEWHERE}
    assert result.complete
    assert result.tally.examples == 24
    for identity in (STALE, TOO_MANY, ELSEWHERE):
        finding = result.findings[identity]
        assert finding.violation.identity == identity
        assert finding.reproduced
        assert reproduces(SYSTEM, target, finding.found, identity)
        assert is_least(target, finding), finding.operations
        assert not reproduces(SYSTEM, NvidiaTarget(), finding.operations, identity)
    assert result.findings[ELSEWHERE].operations == [CREATE, TWO]
    assert len(result.findings[STALE].operations) <= 8


def test_a_target_that_crashes_is_found_minimised_and_gone_on_with():
    result = run_shard(SYSTEM, CrashesOnThirdMap(), Plan(examples=5, shards=1), 0)
    assert {rule for rule, _ in result.findings} == {"PG-2"}
    names = [one.name for one in result.findings[CRASHED].operations]
    assert names[-3:] == ["map"] * 3
    assert len(names) <= 6
    assert result.tally.examples == 5
    assert result.tally.cut == {}


def test_the_same_seed_is_the_same_run_and_another_is_another():
    plan = Plan(examples=8, shards=1, minimise_executions=20)
    one = run_shard(SYSTEM, Misplaced(), plan, 0)
    # Whatever happens in between.
    random.seed(1)
    two = run_shard(SYSTEM, Misplaced(), plan, 0)
    assert one.findings
    assert drawn(one) == drawn(two)
    other = run_shard(SYSTEM, Misplaced(), Plan(1, 8, 30, 1, 20), 0)
    assert other.tally != one.tally


# -- the least --------------------------------------------------------------------------------

HIGH = 1 << 40

LEAST = {
    "stale": (
        Unflushed,
        [
            op("create", start=LARGE, size=64 * LARGE), op("memory", target=1, scattered=2),
            op("memory", size=2 * LARGE, page=21), JOIN,
            op("get", getref=1, shift=12, align=16, size=5 * PAGE), GET,
            op("map", vma=1, memory=1),
            op("map_part", first=PAGE, memory=1, offset=PAGE, kind=0xFE, ro=1),
            op("map_part", memory=1), op("put", vma=1), op("unmap", first=PAGE), PUT,
        ],
        STALE,
        [CREATE, MEMORY, op("get", getref=1, shift=12), op("map_part"), UNMAP],
    ),
    "counted": (
        Miscounted,
        [CREATE, op("memory", target=2), MEMORY, GET, op("get", size=9 * PAGE), GET,
         op("map", vma=1, memory=1, offset=PAGE), op("map", vma=2, memory=1)],
        TOO_MANY,
        [CREATE, MEMORY, GET, GET, MAP, op("map", vma=1)],
    ),
    "placed": (
        Misplaced,
        [op("create", chip="gk104", big=17, start=LARGE, size=9 * LARGE), MEMORY, GET, JOIN,
         op("get", getref=1, shift=12, align=21, size=2 * PAGE)],
        ELSEWHERE,
        [CREATE, TWO],
    ),
    "addresses": (
        CrashesOnThirdMap,
        [CREATE, op("memory", size=4 * LARGE), op("get", size=LARGE, align=38), PUT,
         op("get", size=3 * PAGE, align=38), op("map", vma=1), op("map", vma=1, ro=1),
         op("map", vma=1, offset=PAGE)],
        CRASHED,
        [CREATE, MEMORY, GET, MAP, MAP, MAP],
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


def test_areas_and_memories_have_lower_numbers_without_those_before():
    makers = [CREATE, MEMORY, GET, MEMORY, GET, PUT, GET]
    users = [op("map", vma=2, memory=1), op("unmap", vma=1), op("drop", memory=0)]
    for start, end, vma, memory, unmapped in (
        (2, 3, 1, 1, 0), (1, 2, 2, 0, 1), (1, 4, 1, -1, 0), (4, 5, 1, 1, 1), (2, 5, 0, 1, 1),
    ):  # fmt: skip
        rest = module._renumbered([*makers, *users], start, end, SYSTEM.made_by)
        assert len(rest) == len(makers) + len(users) - end
        mapped, unmap, _ = rest[-3:]
        if memory >= 0:
            assert mapped.args["memory"] == memory
        assert mapped.args["vma"] == vma
        assert unmap.args["vma"] == unmapped


def test_what_no_chip_has_is_not_made_while_minimising():
    made = []

    class Watched(Misplaced):
        def perform(self, operation, trace):
            if operation.name == "create":
                made.append(operation)
            return super().perform(operation, trace)

    operations = [op("create", chip="gm200", big=17, size=9 * LARGE), MEMORY, TWO]
    assert minimise(SYSTEM, Watched(), operations, ELSEWHERE) == [CREATE, TWO]
    assert len(made) > 3
    assert all(SYSTEM.allows(NvidiaTarget(), [create]) for create in made)


# -- replay -----------------------------------------------------------------------------------


def test_a_counterexample_is_fixed_on_the_reference(tmp_path):
    target = Unflushed()
    *_, identity, least = LEAST["stale"]
    found = counterexample_of(SYSTEM, target, least, identity, 3)
    path = tmp_path / "stale.json"
    counterexample.save(found, str(path))
    done = replay(str(path), "reference", "nvidia", None)
    assert (done.answer, done.failed, done.violations) == ("FIXED", False, [])
    assert [line.operation for line in done.lines[: len(least)]] == least
    assert "FIXED on reference" in done.text()
    assert counterexample.load(str(path)).signature == identity[1]


def test_operations_by_hand_are_told_one_by_one(tmp_path):
    path = tmp_path / "operations.json"
    path.write_text(
        """
        {"op": "create", "raw": 1, "start": "0x8000000", "size": "0x8000000"}
        {"op": "memory", "size": "0x400000", "page": 21}
        {"op": "raw_get", "shift": 16, "size": "0x20000"}
        {"op": "raw_map", "shift": 16, "size": "0x20000"}
        {"op": "get", "size": "0x3000"}
        {"op": "map", "vma": 2}
        {"op": "raw_get", "addr": "0x8000000"}
        {"op": "join"}
        {"op": "unmap", "vma": 2}
        """,
        encoding="utf-8",
    )
    done = replay(str(path), "reference", "nvidia", None)
    assert (done.answer, done.failed, done.violations) == ("", False, [])
    names = [line.operation.name for line in done.lines]
    assert names[:9] == [
        "create", "memory", "raw_get", "raw_map", "get", "map", "raw_get", "join", "unmap",
    ]  # fmt: skip
    assert [line.sort for line in done.lines[:9]] == ["legal"] * 6 + ["refused", "legal", "legal"]
    text = done.text()
    assert "memory 0" in text
    assert "at 0x8000000" in text
    assert "[refused]" in text
