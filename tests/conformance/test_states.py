"""Pairs of operation and state: what is declared, what is found in a call, what a run counts."""

import re
from pathlib import Path

import pytest

from conformance.discovery import SYSTEMS
from conformance.engine import Plan, run_shard
from conformance.registry import make_target
from conformance.states import ENOUGH, NO_STATES, States
from conformance.tally import Tally
from reference.operations import make

PAGE = 0x1000
HUGE = 0x20_0000
NAMES = tuple(name for name in SYSTEMS if SYSTEMS[name].states is not NO_STATES)
ROW = re.compile(r"\| (\w+) \| `([\w-]+)`.* \| (\d+) \| (\d+) \| (.*) \|")


def pairs(page, system):
    """(operation, word): (changed, met, why) of a system's table on the page."""
    table = page.split(f"\n## {system}\n", 1)[1].split("\n## ", 1)[0]
    return {
        (found[1], found[2]): (int(found[3]), int(found[4]), found[5])
        for found in map(ROW.fullmatch, table.splitlines())
        if found
    }


def met(system, *operations):
    """The words that the last of the operations met, and the session."""
    session = SYSTEMS[system].session(make_target("reference", system=system), set(), Tally())
    before = {}
    for name, args in operations:
        before = {key: states.count for key, states in session.tally.states.get(name, {}).items()}
        outcome = session.run(make(name, SYSTEMS[system].specs, **args))
        assert not outcome.violations
        assert outcome.sort == "legal", (name, args)
    counts = session.tally.states[operations[-1][0]]
    return {word for word, states in counts.items() if states.count > before.get(word, 0)}


# -- what is declared ---------------------------------------------------------------------------


def test_every_system_declares_what_its_operations_meet():
    assert set(NAMES) >= {"dart", "gpuvm", "mali", "nvidia", "pagetable", "uat", "va-alloc"}


@pytest.mark.parametrize("name", NAMES)
def test_pairs_are_of_operations_that_there_are(name):
    system = SYSTEMS[name]
    assert set(system.states.pairs) <= set(system.specs)
    assert len(set(system.states)) == len(list(system.states))
    for word, meaning in system.states.words.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", word)
        assert re.fullmatch(r"[^.|\n]+", meaning)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"words": {}}, "words and pairs differ in large"),
        ({"words": {"large": "it is", "small": "it is"}}, "differ in small"),
        ({"few": {("map", "small"): "why"}}, r"few names \('map', 'small'\)"),
    ],
)
def test_what_does_not_fit_together_is_refused(wrong, said):
    right = {"words": {"large": "it is"}, "pairs": {"map": ("large",)}, "few": {}}
    with pytest.raises(ValueError, match=said):
        States(met=NO_STATES.met, **{**right, **wrong})


@pytest.mark.parametrize("name", NAMES)
def test_a_run_counts_what_is_declared(name):
    system = SYSTEMS[name]
    plan = Plan(seed=3, examples=12, shards=1)
    tally = run_shard(system, make_target("reference", system=name), plan, 0).tally
    found = {(name, word) for name, words in tally.states.items() for word in words}
    assert found
    assert found <= set(system.states)
    for words in tally.states.values():
        for count in words.values():
            assert 0 <= count.changed <= count.count > 0


# -- what a run counted ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_no_pair_is_starved_but_those_that_are_argued(name):
    states = SYSTEMS[name].states
    path = Path(__file__).resolve().parents[2] / "docs" / "states.md"
    counted = pairs(path.read_text("utf-8"), name)
    assert set(counted) == set(states)
    few = {pair for pair, (changed, _, _) in counted.items() if changed < ENOUGH}
    assert few == set(states.few)
    for pair, (changed, count, why) in counted.items():
        assert changed <= count
        assert why == states.few.get(pair, "")


# -- what is found in a call ----------------------------------------------------------------------

PAGES = (
    ("create", {"chip": "gp100"}),
    ("get", {"mapref": 1, "sparse": 1, "size": 4 * HUGE, "align": 21}),
)


def test_a_part_of_a_huge_page_in_a_sparse_area():
    mapped = ("pfn_map", {"shift": 21, "addr": 0, "size": HUGE, "pattern": 0x1})
    small = ("pfn_map", {"addr": HUGE, "size": PAGE, "pattern": 0x1})
    part = ("pfn_unmap", {"addr": PAGE, "size": PAGE})
    assert met("nvidia", *PAGES, mapped, part) == {"huge", "sparse", "part"}
    whole = ("pfn_unmap", {"addr": 0, "size": 2 * HUGE})
    assert met("nvidia", *PAGES, mapped, small, whole) == {"huge", "small", "both", "sparse"}
    assert met("nvidia", *PAGES, small, part) == set()


def test_a_small_page_beside_pages_of_another_area():
    one = ("get", {"mapref": 1, "size": 16 * PAGE, "align": 21})
    large = ("get", {"getref": 1, "shift": 16, "size": 0x1_0000})
    memory = ("memory", {"size": 0x1_0000, "page": 16})
    create = ("create", {"chip": "gp100"})
    page = ("map_part", {"vma": 0, "memory": 0, "size": PAGE})
    assert met("nvidia", create, one, memory, page) == {"counted", "small"}
    assert met("nvidia", create, one, large, memory, page) == {"counted", "small", "mixed"}
    again = ("map_part", {"vma": 0, "first": PAGE, "memory": 0, "size": PAGE})
    assert met("nvidia", create, one, memory, page, again) == {"counted", "small", "shared"}


def test_what_a_map_of_a_buffer_replaces():
    create, bo = ("create", {}), ("bo", {})
    four = ("map", {"iova": 4 * PAGE, "size": 4 * PAGE, "bo": 0})

    def over(first, pages, **more):
        args = {"iova": first * PAGE, "size": pages * PAGE, "bo": 0, **more}
        return met("gpuvm", create, bo, four, ("map", args))

    assert met("gpuvm", create, bo, four) == {"free", "unlinked"}
    assert over(5, 1) == {"linked", "inside"}
    assert over(4, 4) == {"linked", "covers", "same", "last-link"}
    assert over(4, 4, offset=PAGE) == {"linked", "covers", "last-link"}
    assert over(3, 2) == {"linked", "cuts-head"}
    assert over(7, 2) == {"linked", "cuts-tail"}
    assert over(8, 1, offset=4 * PAGE) == {"linked", "free", "goes-on"}


def test_where_a_range_of_addresses_comes_back():
    create = ("create", {"start": 0, "size": 3 * PAGE})
    first, second, third = (("reserve", {"va": number * PAGE}) for number in range(3))
    assert met("va-alloc", create, second) == {"inside"}
    assert met("va-alloc", create, first) == {"head"}
    assert met("va-alloc", create, first, second, third) == {"whole"}
    assert met("va-alloc", create, first, second, ("free", {"node": 1})) == {"hole-above"}
    assert met("va-alloc", create, first, second, third, ("free", {"node": 1})) == {"alone"}
    exact = ("alloc", {"size": PAGE, "mode": "low"})
    assert met("va-alloc", create, second, exact) == {"low", "choice", "exact"}


def test_a_block_over_a_table_that_was_left():
    create = ("create", {"coherent": 0})
    page = ("map", {"iova": PAGE})
    gone = [("unmap", {"iova": PAGE}), ("sync", {}), ("release", {})]
    block = ("map", {"iova": 0, "pgsize": HUGE})
    assert met("pagetable", create, page, gone[0]) == {"dark", "small", "one", "strict", "last"}
    assert met("pagetable", create, page, *gone, block) == {"dark", "block", "one", "over-table"}
    assert met("pagetable", create, block) == {"dark", "block", "one"}
    beside = ("map", {"iova": HUGE})
    assert met("pagetable", create, block, beside) == {"dark", "small", "one", "beside"}


def test_a_bind_in_a_vm_that_jobs_use():
    vm = [("create", {}), ("vm", {}), ("bo", {"size": 2 * HUGE})]
    block = ("bind", {"va": HUGE, "size": HUGE, "bo": 0, "offset": 0})
    new = {"map", "free", "plain", "no-slot", "can-be-block"}
    assert met("mali", *vm, block) == new
    part = ("bind", {"va": HUGE, "size": PAGE, "kind": 1})
    split = {"unmap", "splits", "block", "part-of-block"}
    assert met("mali", *vm, block, part) == {*split, "no-slot"}
    job = [("active", {"vm": 0})]
    assert met("mali", *vm, block, *job, part) == {*split, "running"}
    assert met("mali", *vm, block, *job, ("idle", {"vm": 0}), part) == {*split, "in-slot"}
    assert met("mali", *vm, *job) == {"free-slot", "empty"}


def test_an_attach_of_a_group_that_was_attached():
    start = [("create", {}), ("probe", {"unit": 0}), ("probe", {"unit": 1})]
    found = [*start, ("device", {"unit": 0, "stream": 1}), ("domain", {}), ("domain", {})]
    one, other = (("attach", {"device": 0, "domain": number}) for number in range(2))
    assert met("dart", *found, one) == {"dma", "from-blocked", "empty", "fresh", "stream"}
    assert met("dart", *found, one, other) == {"dma", "from-paging", "empty", "fresh", "stream"}
    page = ("map", {"domain": 0})
    assert met("dart", *found, one, page) == {"stream"}
    assert met("dart", *found, one, page, one) == {
        "dma", "from-paging", "mapped", "same", "stream",
    }  # fmt: skip


def test_a_bind_of_a_vm_whose_context_another_had():
    start = [
        ("create", {"order": "sc", "switch_flushes": 1, "contexts": 2}),
        ("vm", {}),
        ("vm", {}),
    ]
    bind, other = ("bind", {"vm": 0}), ("bind", {"vm": 1})
    unbind = ("unbind", {"vm": 0})
    assert met("uat", *start, bind) == {"unused", "never", "nowhere"}
    assert met("uat", *start, bind, bind) == {"again", "nowhere"}
    assert met("uat", *start, bind, unbind, bind) == {"own", "nowhere"}
    assert met("uat", *start, bind, unbind, other) == {"other", "never", "nowhere"}
