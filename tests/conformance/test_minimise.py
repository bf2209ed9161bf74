"""Our last pass over recorded operations: nothing can go, and no number can be lowered."""

from collections import Counter

import pytest

from conformance import minimise as module
from conformance.discovery import SYSTEMS
from conformance.minimise import lower_values, minimise, reproduces
from conformance.registry import make_target
from conformance.systems.pagetable.targets import PageTableTarget
from reference.operations import ArgSpec, Operation, Result, from_json
from reference.systems.pagetable.driver import TABLE_BASE
from reference.trace import DETACH
from reference.words import to_signed

SYSTEM = SYSTEMS["pagetable"]
SPECS = SYSTEM.specs


def op(name, **args):
    return from_json({"op": name} | args, SPECS)


LONG = [
    op("create", ias=39, oas=40, pgsizes="4K|2M", coherent=0),
    op("map", iova=0x40_0000, pa=0x40_0000, pgsize="2M", prot="rw"),
    op("translate", iova=0x40_1234),
    op("map", iova=0x7F_F7E0_5000, pa=0x12_3000, pgcount=3, prot="rcN"),
    op("unmap", iova=0x40_0000, pgsize="2M", gather="queued"),
    op("translate", iova=0x7F_F7E0_6000),
    op("flush"),
    op("release"),
    op("map", iova=0x40_0000, pa=0x80_0000, prot="rw"),
]
"""Operations of which two are needed to see that every page is writable."""

GRANTED = ("TR-2", "map, level 3, write granted")


def wrong(name):
    return make_target(f"mutant:{name}")


# -- reproduces -------------------------------------------------------------------------------


def test_reproduces_says_how_many_operations_it_takes():
    target = wrong("wrong-attribute")
    assert reproduces(SYSTEM, target, LONG, GRANTED) == 4
    assert reproduces(SYSTEM, target, LONG[:4], GRANTED) == 4
    assert reproduces(SYSTEM, target, LONG[:3], GRANTED) == 0
    assert reproduces(SYSTEM, target, LONG, ("TR-2", "another signature")) == 0
    assert reproduces(SYSTEM, target, LONG, ("TR-1", GRANTED[1])) == 0
    assert reproduces(SYSTEM, PageTableTarget(), LONG, GRANTED) == 0


def test_what_only_the_destroy_at_the_end_shows_takes_one_more():
    class Keeps(PageTableTarget):
        """Detaches the root at the end, but does not free anything."""

        def perform(self, operation, trace):
            if operation.name != "destroy":
                return super().perform(operation, trace)
            trace.emit(DETACH, TABLE_BASE, 0)
            return Result()

    identity = ("RC-1", "destroy, table lost")
    operations = [op("create"), op("map", iova=0x5000), op("translate", iova=0x5000)]
    assert reproduces(SYSTEM, Keeps(), operations, identity) == 4
    assert reproduces(SYSTEM, Keeps(), [*operations, op("destroy")], identity) == 4
    assert minimise(SYSTEM, Keeps(), operations, identity) == [op("create")]


# -- minimise ---------------------------------------------------------------------------------

CASES = {
    "wrong-attribute": (
        LONG, GRANTED, [op("create"), op("map", iova=0, prot="r")],
    ),
    "run-one-short": (
        [
            op("create", format="lpae-mali", ias=40, oas=40, block_unmap="split", bbm=2),
            op("map", iova=0x5000, pa=0x5000),
            op("map", iova=0xFF_4020_0000, pa=0x40_0000, pgsize="2M", pgcount=5, prot="rw"),
        ],
        ("TR-1", "map, level 2, mapped wanted, invalid found"),
        [op("create"), op("map", iova=0, pgsize="2M", pgcount=2)],
    ),
    "unmap-not-flushed": (
        [
            op("create", ias=32, coherent=0),
            op("map", iova=0xFFFF_E000, pa=0xE000, pgcount=2, prot="rwc"),
            op("map", iova=0x40_0000, pa=0, pgsize="2M", fail_at=1),
            op("unmap", iova=0xFFFF_F000),
            op("unmap", iova=0xFFFF_E000, gather="queued"),
            op("translate", iova=0xFFFF_F000),
            op("sync"),
        ],
        ("TL-1", "sync, level 3, stale leaf"),
        [op("create"), op("map", iova=0), op("unmap", iova=0), op("sync")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_left_is_the_least(name):
    operations, identity, least = CASES[name]
    given = list(operations)
    assert minimise(SYSTEM, wrong(name), operations, identity) == least
    assert operations == given


@pytest.mark.parametrize("name", CASES)
def test_nothing_that_is_left_can_go_and_no_number_can_be_lowered(name):
    operations, identity, _ = CASES[name]
    target = wrong(name)
    left = minimise(SYSTEM, target, operations, identity)
    for number in range(1, len(left)):
        assert not reproduces(SYSTEM, target, left[:number] + left[number + 1 :], identity)
    for number, operation in enumerate(left):
        for spec in SPECS[operation.name].args:
            for lower in lower_values(spec, operation.args[spec.name]):
                other = Operation(operation.name, {**operation.args, spec.name: lower})
                changed = [*left[:number], other, *left[number + 1 :]]
                if SYSTEM.allows(target, changed):
                    assert not reproduces(SYSTEM, target, changed, identity), other


def test_what_does_not_fail_again_is_not_minimised():
    assert minimise(SYSTEM, PageTableTarget(), LONG, GRANTED) is None


@pytest.mark.parametrize("budget", [0, 1, 7])
def test_no_more_is_run_than_the_budget_allows(monkeypatch, budget):
    runs = []
    target = wrong("wrong-attribute")

    def counted(*arguments):
        runs.append(arguments)
        return reproduces(*arguments)

    monkeypatch.setattr(module, "reproduces", counted)
    left = minimise(SYSTEM, target, LONG, GRANTED, budget)
    # The first is not a candidate.
    assert len(runs) <= 1 + budget
    assert reproduces(SYSTEM, target, left, GRANTED) == len(left)
    assert len(left) <= 4


def test_no_candidate_is_run_twice(monkeypatch):
    runs = Counter()

    def counted(system, target, operations, identity):
        runs[tuple(operations)] += 1
        return reproduces(system, target, operations, identity)

    monkeypatch.setattr(module, "reproduces", counted)
    operations, identity, least = CASES["unmap-not-flushed"]
    minimise(SYSTEM, wrong("unmap-not-flushed"), operations, identity)
    assert runs[tuple(least)] == 1
    # The first is run to see whether there is anything to minimise.
    assert {count for given, count in runs.items() if given != tuple(operations)} == {1}


def test_what_the_target_does_not_declare_is_not_tried():
    given = set()

    class Narrow(PageTableTarget):
        """Takes non-coherent tables of one format only; says so, and notes what it is given."""

        def __init__(self):
            super().__init__(wrong("wrong-attribute").driver.module)
            self.traits = {"format": ("lpae-mali",), "coherent": (0,), "block_unmap": ("refuse",)}

        def perform(self, operation, trace):
            if operation.name == "create":
                given.add((operation.args["format"], operation.args["coherent"]))
            return super().perform(operation, trace)

    operations = [
        op("create", format="lpae-mali", coherent=0, ias=40, oas=40),
        op("map", iova=0x5000, prot="r"),
    ]
    left = minimise(SYSTEM, Narrow(), operations, GRANTED)
    assert left == [op("create", format="lpae-mali", coherent=0), op("map", iova=0, prot="r")]
    assert given == {("lpae-mali", 0)}


def test_tables_that_cannot_be_are_not_tried():
    operations = [
        op("create", format="dart1-16k", ias=36, oas=36, pgsizes="16K"),
        op("map", iova=0x4000, pa=0x4000, pgsize="16K", prot="r"),
    ]
    target = wrong("wrong-attribute")
    session = SYSTEM.session(target, None, None)
    session.run(operations[0])
    (found, *_) = session.run(operations[1]).violations
    left = minimise(SYSTEM, target, operations, found.identity)
    assert reproduces(SYSTEM, target, left, found.identity) == len(left) == 2


# -- lower values -----------------------------------------------------------------------------


def lowered(kind, value, **more):
    return list(lower_values(ArgSpec("a", kind, **more), value))


def test_the_default_comes_first_and_nothing_is_lower():
    assert lowered("address", 0x5000, default=0x1000)[0] == 0x1000
    assert lowered("address", 0x1000, default=0x1000) == []
    assert lowered("count", 7, default=1)[0] == 1


def test_choices_and_configurations_have_only_their_default():
    assert lowered("choice", "queued", choices=("strict", "queued"), default="strict") == ["strict"]
    assert lowered("choice", "queued", choices=("strict", "queued")) == []
    assert lowered("bits", 39, default=48) == [48]
    assert lowered("bits", 39) == []


@pytest.mark.parametrize("kind", ["address", "size", "flags", "count"])
@pytest.mark.parametrize("value", [0, 1, 2, 3, 0x5000, 0x7FFF_F000])
def test_values_are_smaller_different_and_allowed(kind, value):
    values = lowered(kind, value)
    assert len(set(values)) == len(values)
    assert all(0 <= lower < value for lower in values)
    assert bool(values) == bool(value)
    assert lowered(kind, value, low=value) == []


def test_every_bit_of_a_word_can_be_cleared():
    word = to_signed(0x8000_0000_0040_5001)
    values = {lower & (1 << 64) - 1 for lower in lowered("address", word)}
    for bit in (63, 22, 14, 12, 0):
        assert 0x8000_0000_0040_5001 & ~(1 << bit) in values
    assert max(values) < 0x8000_0000_0040_5001
