"""Inputs on which the suite was once wrong: false alarms, and bugs that it did not see.

The files in ``cases`` are operations for ``replay``; each case stands for a kind.
"""

from pathlib import Path

import pytest

from conformance.discovery import system_by_name
from conformance.mutants.mutant import Mutant
from conformance.registry import make_target, mutant_by_id, mutant_target
from conformance.systems.pagetable.machine import MOST_PAGES, PageTableMachine
from reference.formats.access import READ, WRITE
from reference.formats.dart import DART2_16K
from reference.formats.lpae import LPAE_S1
from reference.hardware.machine import Machine
from reference.hardware.observation import ISSUED_UNSEEN, PUBLISHED_UNORDERED
from reference.hardware.tlb import TOP_VA
from reference.operations import make, read_operations
from reference.trace import (
    ALLOC,
    ATTACH,
    BARRIER,
    BARRIER_FULL,
    BARRIER_ORDER,
    CLEAN,
    DETACH,
    FILL,
    FREE,
    INVALIDATE,
    SCOPE_LEAF,
    SCOPE_WALK,
    STORE,
    invalidate_command,
)

CASES = Path(__file__).parent / "cases"
PAGE = 0x1000


def judge(case, target, system):
    """(sorts, violations) of a case on a target, everything muted; the end is not judged."""
    operated_on = system_by_name(system)
    session = operated_on.session(target, None, None)
    sorts, violations = [], []
    for operation in read_operations(CASES / case, operated_on.specs):
        outcome = session.run(operation)
        sorts.append(outcome.sort)
        violations += outcome.violations
    return sorts, violations


# -- what a misuse lets go ------------------------------------------------------------------------


def test_a_page_that_waits_is_misused_although_its_neighbour_was():
    case = "waiting-range-trimmed.jsonl"
    sorts, violations = judge(case, make_target("reference", system="pagetable"), "pagetable")
    assert violations == []
    assert sorts[-2:] == ["misuse", "misuse"]


def test_a_misuse_of_one_page_keeps_the_duty_for_another():
    target = mutant_target([mutant_by_id("unmap-not-flushed")])
    _, violations = judge("waiting-range-kept.jsonl", target, "pagetable")
    assert [(one.rule, one.iova, one.label) for one in violations] == [("TL-1", 0, "")]


def test_what_a_misuse_loses_behind_an_errno_is_seen():
    target = mutant_target([mutant_by_id("table-in-the-way-freed")])
    _, violations = judge("loss-behind-an-errno.jsonl", target, "pagetable")
    assert [(one.rule, one.iova, one.label) for one in violations] == [("ER-2", 0x5000, "misuse")]


# -- what a device keeps and sees -----------------------------------------------------------------

NEVER_FLUSHED = Mutant(
    "freed-and-never-flushed",
    "TL-2",
    "a table is freed before the flush, and nothing is flushed",
    (("self.flush_walk(va, self.format.span(level))", ""),),
)


def test_a_freed_table_leaves_its_leaves_cached():
    target = mutant_target([NEVER_FLUSHED], "pagetable")
    _, violations = judge("freed-table-keeps-leaves.jsonl", target, "pagetable")
    assert {one.rule for one in violations} == {"TL-1", "TL-2"}


def machine_with(*events, coherent=True, bits=32):
    """A machine with one walked space of LPAE tables, after these events."""
    machine = Machine(LPAE_S1.geometry(bits), coherent)
    space = machine.add_space()
    space.touched_last = TOP_VA
    machine.add_context(space)
    feed(machine, *events)
    return machine, space


def feed(machine, *events):
    for event in events:
        kind, *words = event
        machine.take(kind, *words, *(0,) * (3 - len(words)))
        machine.now += 1


def kinds(machine):
    found, machine.observations = machine.observations, []
    return [int(one.kind) for one in found]


ROOT, CHILD, OTHER = 0x8000_0000, 0x8000_1000, 0x8000_2000
LEAF = LPAE_S1.leaf(2, 0x4000_0000, READ | WRITE)
FLUSH = (INVALIDATE, 0, -1, invalidate_command(SCOPE_LEAF | SCOPE_WALK, 0, 1))


def test_an_event_over_two_tables_means_both():
    machine, space = machine_with(
        (ALLOC, ROOT, PAGE), (ALLOC, CHILD, 2 * PAGE), (FILL, ROOT, PAGE, 0),
        (FILL, CHILD, 2 * PAGE, 0), (CLEAN, ROOT, PAGE), (BARRIER, BARRIER_FULL),
        (ATTACH, ROOT), (CLEAN, CHILD, 2 * PAGE), coherent=False,
    )  # fmt: skip
    assert space.allocated == 3
    for index, child in enumerate((CHILD, OTHER)):
        feed(machine, (STORE, ROOT + 8 * index, 0, LPAE_S1.table(1, child)))
    assert kinds(machine) == []
    feed(machine, (STORE, ROOT, 0, 0), (STORE, ROOT + 8, 0, 0), (CLEAN, ROOT, 16), FLUSH)
    machine.invalidations.complete(1)
    feed(machine, (FREE, CHILD, 2 * PAGE))
    assert space.allocated == 1
    assert kinds(machine) == []


def test_a_clean_that_ends_inside_a_table_means_its_part():
    machine, _ = machine_with(
        (ALLOC, ROOT, PAGE), (ALLOC, CHILD, PAGE), (ALLOC, OTHER, PAGE), (FILL, ROOT, PAGE, 0),
        (FILL, CHILD, 2 * PAGE, 0), (CLEAN, ROOT, PAGE), (ATTACH, ROOT),
        (CLEAN, CHILD, PAGE + 64), coherent=False,
    )  # fmt: skip
    feed(machine, (STORE, ROOT, 0, LPAE_S1.table(1, CHILD)))
    assert kinds(machine) == []
    feed(machine, (STORE, ROOT + 8, 0, LPAE_S1.table(1, OTHER)))
    assert kinds(machine) == [PUBLISHED_UNORDERED]


@pytest.mark.parametrize("late", [False, True])
def test_what_was_ordered_before_a_command_is_visible_to_it(late):
    machine, _ = machine_with(
        (ALLOC, ROOT, PAGE), (ALLOC, CHILD, PAGE), (FILL, ROOT, 2 * PAGE, 0),
        (STORE, ROOT, 0, LPAE_S1.table(1, CHILD)), (STORE, CHILD, 0, LEAF),
        (BARRIER, BARRIER_FULL), (ATTACH, ROOT),
    )  # fmt: skip
    store, barrier = (STORE, CHILD, LEAF, 0), (BARRIER, BARRIER_ORDER)
    feed(machine, *((barrier, store) if late else (store, barrier)), FLUSH)
    assert kinds(machine) == ([ISSUED_UNSEEN] if late else [])


def test_a_word_stored_again_after_the_barrier_waits_again():
    machine, _ = machine_with(
        (ALLOC, ROOT, PAGE), (ALLOC, CHILD, PAGE), (FILL, ROOT, 2 * PAGE, 0),
        (STORE, ROOT, 0, LPAE_S1.table(1, CHILD)), (STORE, CHILD, 0, LEAF),
        (BARRIER, BARRIER_FULL), (ATTACH, ROOT), (STORE, CHILD, LEAF, 0),
        (BARRIER, BARRIER_ORDER), (STORE, CHILD, 0, LEAF), (STORE, CHILD, LEAF, 0), FLUSH,
    )  # fmt: skip
    assert kinds(machine) == [ISSUED_UNSEEN]


def test_a_root_in_a_register_that_no_address_leads_to_is_not_lost():
    machine = Machine(DART2_16K.geometry(36), True)
    space = machine.add_space()
    machine.add_context(space)
    size = int(DART2_16K.granule)
    for number in range(2):
        root = 0x8000_0000 + number * size
        feed(machine, (ALLOC, root, size), (FILL, root, size, 0), (BARRIER, BARRIER_FULL))
        feed(machine, (ATTACH, root, number))
    assert space.lost_tables() == 0
    feed(machine, (DETACH, 0x8000_0000 + size, 1))
    assert space.lost_tables() == 1
    feed(machine, (FREE, 0x8000_0000 + size, size))
    assert space.lost_tables() == 0


# -- break before make ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rules"),
    [("", set()), ("split-not-broken-first", {"OR-2"}), ("split-not-made-again", {"NB-1"})],
)
def test_a_block_may_be_broken_before_its_parts_are_made(name, rules):
    system = system_by_name("pagetable")
    target = (
        mutant_target([mutant_by_id(name)])
        if name
        else make_target("reference", system="pagetable")
    )
    session = system.session(target, None, None)
    broken = set()
    for operation, args in (
        ("create", {"block_unmap": "split", "bbm": 0}),
        ("map", {"iova": 0, "pgsize": 0x20_0000}),
        ("unmap", {"iova": 0x2_0000, "pgsize": PAGE}),
    ):
        outcome = session.run(make(operation, system.specs, **args))
        broken |= {one.rule for one in outcome.violations}
    assert broken == rules


# -- mali: what is beside a bind, and what an AS walks after a time-out ---------------------------


def test_a_neighbour_made_by_the_same_run_is_no_neighbour_changed():
    target = make_target("reference", system="mali")
    assert judge("two-binds-and-a-timeout.jsonl", target, "mali")[1] == []


def test_an_address_space_that_was_said_to_walk_walks():
    right = make_target("reference", system="mali")
    assert judge("active-after-timeout.jsonl", right, "mali")[1] == []


# -- limits of the harness ------------------------------------------------------------------------


def test_no_call_is_recorded_beyond_its_own_limit():
    asked = []

    class Recorder(PageTableMachine):
        def start(self):
            return system_by_name("pagetable").session(
                make_target("reference", system="pagetable"), None, None
            )

        def bytes_of(self, name, **args):
            asked.append(args["pgcount"])
            return 0

    Recorder()._unmap(0, PAGE, MOST_PAGES + 130_000, "strict", 0)
    assert asked == [MOST_PAGES]
