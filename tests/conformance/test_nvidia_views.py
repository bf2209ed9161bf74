"""What a counterexample of system ``nvidia`` shows: pages, the walk, and the large entry."""

import pytest

from conformance.discovery import system_by_name
from conformance.registry import make_target
from conformance.rules.rule import Violation
from conformance.systems.nvidia.operations import SPECS
from conformance.systems.nvidia.telling import Moment, NvidiaViews, compared
from reference.operations import make
from reference.words import to_signed

RAW = {"op": "create", "raw": 1}
MEMORY = {"op": "memory"}
LARGE = {"op": "raw_get", "shift": 16, "addr": 0x10000, "size": 0x10000}
SMALL = {"op": "raw_get", "size": 0x10000}
MAP = {"op": "raw_map", "size": 0x10000}


def operations(*given):
    return [make(one["op"], SPECS, **{k: v for k, v in one.items() if k != "op"}) for one in given]


def views_of(*given, iova=0):
    """The views before and after the last of these operations, on the reference driver."""
    performed = operations(*given)
    session = system_by_name("nvidia").session(make_target("reference", system="nvidia"), None)
    for one in performed[:-1]:
        session.run(one)
    views = NvidiaViews(session, performed)
    outcome = session.run(performed[-1])
    assert outcome.result.result == 0
    return views.after(Violation("TR-1", "x", "x", len(session.trace) - 1, to_signed(iova)))


def column(views, when):
    return {row.what.strip(): getattr(row, when) for row in views.comparison.rows}


# -- the large entry ------------------------------------------------------------------------------


def test_the_large_entry_is_shown_before_and_after():
    views = views_of(RAW, MEMORY, LARGE, SMALL)
    assert views.comparison.subject == "entry of the large page 0x0..0xffff (64K)"
    assert column(views, "before") == {
        "references to small pages": "0",
        "the driver's state": "0x0",
        "its count": "0",
        "bit 6, VALID": "not set",
        "bit 7, SPARSE": "not set",
        "entry in the LPT": "0x20: hole (small pages are not looked at)",
        "entries in the SPT": "no small table (PD0 entry: no table)",
        "the rest of the LPT": "31 x hole",
    }
    assert column(views, "after") == {
        "references to small pages": "16",
        "the driver's state": "0x50",
        "its count": "16",
        "bit 6, VALID": "set: small pages decide",
        "bit 7, SPARSE": "not set",
        "entry in the LPT": "0x0: unmapped (small pages decide)",
        "entries in the SPT": "16 x unmapped",
        "the rest of the LPT": "31 x hole",
    }


def test_a_count_that_is_not_the_recount_says_so():
    performed = operations(RAW, MEMORY, LARGE, SMALL)
    session = system_by_name("nvidia").session(make_target("reference", system="nvidia"), None)
    for one in performed:
        session.run(one)
    right = Moment.of(session.promise.state)
    session.promise.state.states[0] = 0xC0
    wrong = Moment.of(session.promise.state)
    rows = {row.what.strip(): (row.before, row.after) for row in compared(right, wrong, 0x123).rows}
    assert rows["its count"] == ("16", "0, and 16 are due")
    assert rows["the driver's state"] == ("0x50", "0xc0")
    assert rows["bit 7, SPARSE"] == ("not set", "set: noted as sparse")
    # What was noted before does not change with what is noted now.
    assert right.states == {0: 0x50}


def test_pages_are_told_by_where_they_lead():
    rows = column(views_of(RAW, MEMORY, LARGE, SMALL, MAP), "after")
    assert rows["entries in the SPT"] == "16 x page vram from pa=0x40000000"
    scattered = {"op": "memory", "target": 1, "scattered": 1}
    rows = column(views_of(RAW, scattered, LARGE, SMALL, MAP), "after")
    assert rows["entries in the SPT"].count("1 x page host volatile from pa=") == 3
    assert rows["entries in the SPT"].endswith(", and 13 more")


def test_large_pages_are_told_too():
    large = {"op": "raw_map", "shift": 16, "addr": 0x10000, "size": 0x10000}
    memory = {"op": "memory", "page": 16}
    views = views_of(RAW, memory, LARGE, large, iova=0x10000)
    assert column(views, "after")["entry in the LPT"] == "0x4000001: page pa=0x40000000 vram"
    assert views.hardware_after[0].size == 0x10000
    assert [step.text for step in views.walk][-2:] == [
        "PD0: small: no table",
        "LPT: page pa=0x40000000 vram",
    ]


@pytest.mark.parametrize("chip", ["gf100", "gk104", "gm200"])
def test_chips_with_one_directory_have_the_same_table(chip):
    create = {**RAW, "chip": chip, "big": 17}
    large = {"op": "raw_get", "shift": 17, "addr": 0x20000, "size": 0x20000}
    views = views_of(create, MEMORY, large, {"op": "raw_get", "size": 0x20000})
    assert views.comparison.subject == "entry of the large page 0x0..0x1ffff (128K)"
    assert column(views, "after")["its count"] == "32"
    assert column(views, "after")["entries in the SPT"] == "32 x unmapped"
    assert [step.text.split(":")[0] for step in views.walk] == ["PGD", "LPT", "SPT"]


def test_nothing_is_compared_where_there_is_nothing():
    views = views_of(RAW, MEMORY, LARGE, SMALL, iova=-1)
    assert (views.comparison, views.walk, views.iova) == (None, (), None)
    # No table that could have its entry, and no note of it.
    assert views_of({"op": "create"}, MEMORY, {"op": "get"}).comparison is None


# -- the rest -------------------------------------------------------------------------------------


def test_hardware_is_shown_in_pages_and_promise_as_it_was_asked_for():
    views = views_of(RAW, MEMORY, LARGE, SMALL, MAP)
    assert [(one.first, one.last, one.size) for one in views.hardware_after] == [(0, 0xFFFF, 4096)]
    assert [(one.first, one.last, one.size) for one in views.promise_after] == [
        (0, 0xFFFF, 0x10000)
    ]
    assert views.hardware_before == ()
    assert [one.pa for one in (*views.hardware_after, *views.promise_after)] == [0x40000000] * 2
    # The client's area goes on beyond what is shown of it.
    assert views.driver_after[0].last > views.window[1]


def test_sparse_pages_have_their_size():
    sparse = {"op": "raw_sparse", "size": 0x21000}
    views = views_of(RAW, sparse)
    assert [(one.first, one.size, one.access) for one in views.hardware_after] == [
        (0, 0x10000, "sparse"),
        (0x20000, 0x1000, "sparse"),
    ]
    # The last page has a small table, which the entry of a large page keeps walks from.
    assert [step.text for step in views.walk][-3:] == [
        "PD0: small: table pa=0x80005000 aperture=vram",
        "LPT: sparse",
        "SPT: unmapped (not looked at)",
    ]
    assert column(views, "after")["bit 7, SPARSE"] == "set: noted as sparse"
    assert column(views, "after")["entry in the LPT"] == "0x8: sparse"


def test_the_walk_looks_at_the_large_entry_before_the_small_one():
    views = views_of(RAW, MEMORY, LARGE, SMALL, MAP)
    assert [step.text.split(" ")[0] for step in views.walk] == [
        "PD3:", "PD2:", "PD1:", "PD0:", "PD0:", "LPT:", "SPT:"
    ]  # fmt: skip
    assert views.walk[-2].text == "LPT: unmapped (small pages decide)"
    assert (views.walk[-1].text, views.walk[-1].word) == (
        "SPT: page pa=0x40000000 vram",
        0x4000001,
    )
    assert any(note.text.startswith("SPT entry of 0x0 (4K)") for note in views.notes)


def test_what_is_at_fault_is_shown_wherever_it_lies():
    far = 1 << 40
    views = views_of(RAW, MEMORY, LARGE, SMALL, MAP, iova=far)
    assert views.iova == far
    assert views.window[0] <= 0x10000 < far < views.window[1]
    assert views.walk[0].text.startswith("PD3: ")
    assert [one.first for one in views.hardware_after] == [0]
    # Where an area is handed out, the window has all of it.
    views = views_of({"op": "create"}, {"op": "get", "size": 1 << 27}, iova=0x4000000)
    assert views.window == (0, (1 << 27) + 0xFFFF)
    assert views_of({"op": "create"}, {"op": "get"}, iova=1 << 50).iova is None


def test_of_many_segments_those_near_the_fault_are_shown():
    pages = {"op": "raw_get", "size": 0x200000}
    scattered = {"op": "memory", "scattered": 1}
    mapped = {"op": "raw_map", "size": 0x200000}
    for page, first in ((0, 0), (300, 300 - 128), (511, 256)):
        views = views_of(RAW, scattered, pages, mapped, iova=page << 12)
        shown = [one.first >> 12 for one in views.hardware_after]
        assert shown == list(range(first, first + 256))
        assert len(views.promise_after) == 256


def test_nothing_is_looked_at_after_the_address_space_is_gone():
    views = views_of(RAW, MEMORY, {"op": "destroy"}, {"op": "create", "chip": "gm200"})
    assert views.hardware_before == views.hardware_after == ()
    assert views.comparison is None
