"""Runs of system gpuvm: right code passes, what is planted is found, and told with little."""

import random

import pytest

from conformance import minimise as module
from conformance.discovery import SYSTEMS
from conformance.engine import Plan, run_shard
from conformance.minimise import lower_values, minimise, reproduces
from conformance.registry import make_target, mutant_by_id
from conformance.systems.gpuvm.rules import GPUVM
from conformance.systems.gpuvm.targets import GpuvmTarget
from reference.operations import Operation, Result, from_json
from reference.trace import CRASH

pytestmark = pytest.mark.xdist_group("engine")

PAGE = 0x1000
SYSTEM = SYSTEMS["gpuvm"]
SPECS = SYSTEM.specs
PLAN = Plan(examples=60, shards=1)


def op(name, **args):
    return from_json({"op": name} | args, SPECS)


def a_map(page, count=1, **more):
    return op("map", iova=page * PAGE, size=count * PAGE, **more)


def unmap(page, count=1, **more):
    return op("unmap", iova=page * PAGE, size=count * PAGE, **more)


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
    return run_shard(SYSTEM, make_target("reference", system="gpuvm"), PLAN, 0)


def test_the_reference_holds(reference):
    assert reference.findings == {}
    assert reference.complete
    assert reference.tally.examples == 60
    assert reference.tally.violated == reference.tally.hits == reference.tally.cut == {}


@pytest.mark.parametrize("rule", [rule.id for rule in GPUVM])
def test_no_rule_is_vacuous(reference, rule):
    # One judgement in every example, at the least.
    assert reference.tally.checked[rule] >= 60


def test_every_operation_is_done_and_most_calls_are_legal(reference):
    counts = reference.tally.operations
    assert set(counts) == set(SPECS)
    for name, count in counts.items():
        assert count.legal + count.refused == count.count
        assert count.misuse == 0
        assert count.legal > count.count / 2, name
    assert {name for name, count in counts.items() if count.refused} >= {"map", "unmap"}


def test_at_least_half_of_the_steps_change_state(reference):
    changed = sum(count.changed for count in reference.tally.operations.values())
    assert changed / reference.tally.steps >= 0.5


# -- the same seed ----------------------------------------------------------------------------


def test_the_same_seed_is_the_same_run_and_another_is_another():
    plan = Plan(examples=16, shards=1, minimise_executions=200)
    name = "mutant:part-after-hole-lost+evicted-twice"
    one = run_shard(SYSTEM, make_target(name), plan, 0)
    # Whatever happens in between.
    random.seed(1)
    two = run_shard(SYSTEM, make_target(name), plan, 0)
    assert one.findings
    assert drawn(one) == drawn(two)
    other = run_shard(SYSTEM, make_target(name), Plan(1, 16, 30, 1, 200), 0)
    assert other.tally != one.tally
    shard = run_shard(SYSTEM, make_target(name), Plan(0, 32, 30, 2, 200), 1)
    assert shard.tally != one.tally


# -- what is planted --------------------------------------------------------------------------


def is_least(target, finding):
    """Whether no operation can go: what is left of it breaks nothing in the same way."""
    identity, operations = finding.violation.identity, finding.operations
    return reproduces(SYSTEM, target, operations, identity) >= len(operations) and not any(
        reproduces(SYSTEM, target, operations[:number] + operations[number + 1 :], identity)
        for number in range(1, len(operations))
    )


def test_three_bugs_in_one_driver_are_all_found_and_minimised():
    names = ("offset-of-the-range", "link-leaked-without-memory", "still-evicted")
    target = make_target(f"mutant:{'+'.join(names)}")
    result = run_shard(SYSTEM, target, PLAN, 0)
    assert {rule for rule, _ in result.findings} == {mutant_by_id(name).rule for name in names}
    assert result.complete
    assert result.rounds == len(result.findings) + 1
    assert result.tally.examples == 60
    for identity, finding in result.findings.items():
        assert finding.violation.identity == identity
        assert finding.reproduced
        assert finding.minimal
        assert reproduces(SYSTEM, target, finding.found, identity)
        assert is_least(target, finding), finding.operations
        assert not reproduces(SYSTEM, GpuvmTarget(), finding.operations, identity)


QUICK = {
    # rule: (mutant, how many operations show it)
    "SP-1": ("part-after-hole-lost", 4),
    "SP-2": ("offset-without-hole", 4),
    "SP-20": ("whole-vma-not-cleared", 4),
    "NB-1": ("neighbour-taken-for-part", 4),
    "TR-20": ("find-end-inclusive", 4),
    "RC-4": ("link-without-vm", 3),
    "RC-20": ("owner-not-dropped", 3),
    "IS-20": ("external-not-evicted", 5),
    "ER-1": ("unmap-of-nothing", 2),
    "ER-2": ("unmapped-before-checked", 4),
    "PG-1": ("search-stands-still", 4),
    "PG-2": ("two-vmas-for-map", 4),
}


@pytest.mark.parametrize("rule", QUICK)
def test_a_mutant_is_found_by_its_rule_alone_within_few_examples(rule):
    name, count = QUICK[rule]
    assert mutant_by_id(name).rule == rule
    target = make_target(f"mutant:{name}")
    result = run_shard(SYSTEM, target, Plan(examples=24, shards=1), 0)
    assert {found for found, _ in result.findings} == {rule}
    for identity, finding in result.findings.items():
        assert finding.minimal
        assert is_least(target, finding), finding.operations
        assert not reproduces(SYSTEM, GpuvmTarget(), finding.operations, identity)
    assert min(len(finding.operations) for finding in result.findings.values()) == count
    assert target.executed(name)[0] > 0


def test_every_rule_but_that_of_warnings_has_a_mutant_here():
    # Our own driver has no place for a warning.
    assert set(QUICK) == {rule.id for rule in GPUVM} - {"PG-3"}


class CrashesOnThirdMap(GpuvmTarget):
    """Crashes whenever three maps were made on one VM."""

    def reset(self):
        super().reset()
        self.maps = 0

    def perform(self, operation, trace):
        result = super().perform(operation, trace)
        self.maps += operation.name == "map" and result.result == 0
        if operation.name != "map" or self.maps != 3:
            return result
        trace.emit(CRASH)
        return Result(0, 0, False)


def test_a_target_that_crashes_is_found_minimised_and_gone_on_with():
    result = run_shard(SYSTEM, CrashesOnThirdMap(), Plan(examples=20, shards=1), 0)
    assert {rule for rule, _ in result.findings} == {"PG-2"}
    legal = result.findings["PG-2", "map, legal, crashed"]
    assert [one.name for one in legal.operations] == ["create", "bo", "map", "map", "map"]
    assert result.tally.examples == 20
    assert result.tally.cut == {}
    assert result.tally.operations["map"].count > 3 * 20


# -- the least --------------------------------------------------------------------------------

HIGH = (1 << 47) // PAGE
KERNEL = op(
    "create", start=1 << 47, size=1 << 32, kernel_start=(1 << 47) + 0x8000_0000,
    kernel_size=0x8000_0000,
)  # fmt: skip

LEAST = {
    "map-of-nothing": (
        [
            KERNEL, op("bo", size=16 * PAGE, private=1), op("bo"), a_map(HIGH + 3, 4, bo=1),
            op("evict", bo=1), op("validate"), unmap(HIGH + 5),
            a_map(HIGH + 4, 0, bo=1, offset=PAGE), a_map(HIGH),
        ],
        ("ER-1", "map, refused (no pages), returned success"),
        [op("create"), op("bo"), a_map(0, 0)],
    ),
    "part-after-hole-lost": (
        [
            op("create", start=4 * PAGE, size=32 * PAGE), op("bo", private=1),
            a_map(9, 8, offset=3 * PAGE), a_map(20, 2), a_map(11, 2, offset=PAGE), unmap(20),
        ],
        ("SP-1", "map, VMA missing"),
        [op("create"), op("bo"), a_map(0, 3), a_map(1)],
    ),
    "kernel-range-not-checked": (
        [KERNEL, op("bo"), a_map(HIGH), a_map(HIGH + 0x8_0005, 2), unmap(HIGH)],
        ("ER-1", "map, refused (in the kernel's part), returned success"),
        [op("create", kernel_size=PAGE), op("bo"), a_map(0)],
    ),
    "find-end-inclusive": (
        [
            op("create", start=2**63 - 16 * PAGE, size=32 * PAGE), op("bo"), op("bo"),
            a_map(2**51 - 4, 8, bo=1), op("find", iova=2**63 - 5 * PAGE, size=PAGE),
        ],
        ("TR-20", "find, nothing wanted, another found"),
        [op("create"), op("bo"), a_map(1), op("find", iova=0)],
    ),
    # Buffers have numbers: without those made before, the one that it takes has a lower one.
    "beyond-the-buffer": (
        [
            op("create"), op("bo"), op("bo", private=1), op("bo"), op("bo", size=2 * PAGE),
            a_map(4, bo=1), a_map(9, bo=3), a_map(5, 2, bo=3, offset=PAGE),
        ],
        ("ER-1", "map, refused (beyond the buffer), returned success"),
        [op("create"), op("bo"), a_map(0, 256, offset=PAGE)],
    ),
    "owner-not-dropped": (
        [op("create", size=64 * PAGE), op("bo"), a_map(9, 3), unmap(10), op("find", iova=0)],
        ("RC-20", "destroy, VM has too many references"),
        [op("create"), op("bo"), a_map(0)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LEAST)
def test_what_is_left_is_the_least(name):
    operations, identity, least = LEAST[name]
    given = list(operations)
    assert minimise(SYSTEM, make_target(f"mutant:{name}"), operations, identity) == least
    assert operations == given


@pytest.mark.parametrize("name", LEAST)
def test_nothing_that_is_left_can_go_and_no_number_can_be_lowered(name):
    operations, identity, _ = LEAST[name]
    target = make_target(f"mutant:{name}")
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


class Uncounted(GpuvmTarget):
    """Reports a reference too few after a map of the second page of the window.

    ``kernel``: only where the kernel's part begins so many bytes after the window; 0 anywhere.
    """

    def __init__(self, kernel):
        super().__init__()
        self.kernel = kernel

    def perform(self, operation, trace):
        if operation.name == "create":
            self.start = operation.number("start")
            kernel = operation.number("kernel_start") - self.start
            self.counts = self.kernel in (0, kernel if operation.args["kernel_size"] else 0)
        result = super().perform(operation, trace)
        second = self.start + PAGE == operation.args.get("iova")
        if operation.name == "map" and second and self.counts and result.result == 0:
            trace.words[-1] -= 1
        return result


@pytest.mark.parametrize("kernel", [0, 4])
def test_a_window_goes_down_with_the_addresses_in_it(kernel):
    """Neither can go alone: what they have to each other is what shows it."""
    create = op(
        "create", start=(HIGH + 5) * PAGE, size=64 * PAGE, kernel_start=(HIGH + 9) * PAGE,
        kernel_size=8 * PAGE,
    )  # fmt: skip
    operations = [create, op("bo"), a_map(HIGH + 7, 1), a_map(HIGH + 6, 3)]
    identity = ("RC-4", "map, VM has too few references")
    target = Uncounted(kernel * PAGE)
    for alone in ({"start": 0}, {"kernel_start": 0}, {"start": 0, "kernel_start": 0}):
        lower = Operation("create", {**create.args, **alone})
        if SYSTEM.allows(target, [lower]):
            assert not reproduces(SYSTEM, target, [lower, *operations[1:]], identity)
    left = minimise(SYSTEM, target, operations, identity)
    reserved = {"kernel_start": kernel * PAGE, "kernel_size": PAGE} if kernel else {}
    assert left == [op("create", **reserved), op("bo"), a_map(1)]


def test_windows_that_cannot_be_are_not_made_while_minimising():
    made = []

    class Noting(GpuvmTarget):
        def perform(self, operation, trace):
            if operation.name == "create":
                made.append(operation)
            result = super().perform(operation, trace)
            if operation.name == "map" and result.result == 0:
                trace.words[-1] += 1
            return result

    operations = [KERNEL, op("bo"), a_map(HIGH + 1)]
    left = minimise(SYSTEM, Noting(), operations, ("RC-4", "map, VM has too many references"))
    assert left == [op("create"), op("bo"), a_map(0)]
    assert len(made) > 3
    assert all(SYSTEM.allows(GpuvmTarget(), [create]) for create in made)


@pytest.mark.parametrize(
    ("start", "end", "left"),
    [(2, 3, (0, 1, 1, 2)), (1, 2, (0, 0, 1, 2)), (1, 4, (0, 1, 2, 0)), (4, 5, (0, 1, 2, 3))],
)
def test_without_one_object_those_behind_it_have_lower_numbers(start, end, left):
    makers = [op("create"), *[op("bo")] * 4]
    users = [a_map(9, bo=number) for number in range(4)]
    rest = module._renumbered([*makers, *users], start, end, {})
    assert rest == [*makers[end:], *(a_map(9, bo=number) for number in left)]
