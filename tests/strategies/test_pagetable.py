"""The written-out lists of draws: each is what it says, and every table can be made."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.systems.pagetable.operations import SPECS, configurable
from conformance.systems.pagetable.targets import PageTableTarget
from reference.formats import FORMATS, format_by_name
from reference.formats.access import PROT_COUNT, READ, WRITE
from reference.operations import Operation, check
from strategies import pagetable as draw

TRAITS = {
    "reference": dict(PageTableTarget().traits),
    "one": {"format": ("lpae-mali",), "coherent": (0,), "block_unmap": ("refuse",), "ias": (40,)},
    "splitting": {"format": ("lpae-s1",), "block_unmap": ("split",)},
    "dart": {"format": ("dart1-16k", "dart2-16k"), "block_unmap": ("refuse",)},
    "nothing": {},
}


def every(strategy):
    """All that a list of draws holds."""
    return list(getattr(strategy, "wrapped_strategy", strategy).elements)


@pytest.mark.parametrize("name", TRAITS)
def test_every_table_that_is_drawn_can_be_made_and_is_one_that_the_target_declares(name):
    traits = TRAITS[name]
    tables = every(draw.tables(traits))
    assert tables
    for args in tables:
        create = Operation("create", {**args, "fail_at": 0})
        check(create, SPECS)
        assert configurable(create, traits)
        fmt = format_by_name(args["format"])
        fmt.check(args["ias"], args["oas"], args["pgsizes"])
        for key, values in traits.items():
            assert args[key] in values


def test_every_format_input_size_and_kind_of_walker_is_drawn():
    tables = every(draw.tables(TRAITS["reference"]))
    assert (
        {one["format"] for one in tables}
        == set(draw.FORMATS_TRIED)
        == {name for name, fmt in FORMATS.items() if fmt.plain}
    )
    assert {one["coherent"] for one in tables} == {0, 1}
    lpae = [one for one in tables if one["format"] == "lpae-s1"]
    assert {32, 39, 40, 48} <= {one["ias"] for one in lpae}
    assert {32, 40, 48} <= {one["oas"] for one in lpae}
    assert {(one["block_unmap"], one["bbm"]) for one in lpae} == {
        ("refuse", 0),
        ("split", 0),
        ("split", 2),
    }
    assert len({one["pgsizes"] for one in lpae}) == 2
    few = {one["ias"] for one in tables if one["format"] == "dart1-16k"}
    assert few == set(FORMATS["dart1-16k"].ias_choices)


@settings(max_examples=30)
@given(st.data())
def test_a_table_is_one_of_the_list(data):
    assert data.draw(draw.tables(TRAITS["dart"])) in every(draw.tables(TRAITS["dart"]))


def test_a_driver_that_always_splits_is_tried_on_both_kinds_of_device():
    assert draw.bbm_levels("split") == (0, 2)
    assert draw.bbm_levels("refuse") == (0,)


def test_runs_fill_a_table_and_stop_on_both_sides_of_its_end():
    assert {511, 512, 513} <= {run.count for run in draw.RUNS if run.size == 0}
    assert {run.size for run in draw.RUNS} == {0, 1, 2}
    assert min(run.count for run in draw.RUNS) == 1


def test_attributes_have_every_kind_of_permission_place_and_failure():
    assert {one.memory for one in draw.ATTRIBUTES} == {"beside", "low", "high", "far", "askew"}
    assert {one.fail_at for one in draw.ATTRIBUTES} == {0, 1, 2, 3}
    assert {one.insist for one in draw.ATTRIBUTES} == {False, True}
    prots = {one.prot for one in draw.ATTRIBUTES}
    assert all(0 <= prot < PROT_COUNT for prot in prots)
    for bit in range(6):
        assert {prot >> bit & 1 for prot in prots} == {0, 1}, bit
    assert any(not prot & (READ | WRITE) for prot in prots)
    # Most calls are meant to succeed.
    good = [one for one in draw.ATTRIBUTES if one.prot & 3 and not one.fail_at and not one.insist]
    assert len(good) > len(draw.ATTRIBUTES) / 2


def test_scatter_lists_are_scattered():
    for pieces in draw.SCATTERS:
        assert len(set(pieces)) == len(pieces) > 1
        assert any(after != before + 1 for before, after in pairwise(pieces))
    assert any(list(pieces) != sorted(pieces) for pieces in draw.SCATTERS)


def test_the_simplest_of_everything_comes_first():
    """Hypothesis's simplest example takes the first of each list; that one is a plain call."""
    assert draw.RUNS[0] == draw.Run(0, 1)
    first = draw.ATTRIBUTES[0]
    assert (first.prot, first.memory, first.fail_at, first.insist) == (3, "beside", 0, False)
    assert draw.PARTS[0] == "whole"
    assert draw.unmaps.pair(0) == ("whole", "strict")
    assert draw.shapes.pair(0) == (draw.RUNS[0], first)


def test_a_pair_is_numbered_by_both_of_its_lists():
    pairs = draw.Pairs("abc", (1, 2))
    assert [pairs.pair(number) for number in range(6)] == [
        ("a", 1), ("b", 1), ("c", 1), ("a", 2), ("b", 2), ("c", 2),
    ]  # fmt: skip


@given(st.data())
def test_every_number_that_is_drawn_stands_for_a_pair(data):
    run, chosen = draw.shapes.pair(data.draw(draw.shapes.numbers))
    assert run in draw.RUNS
    assert chosen in draw.ATTRIBUTES
