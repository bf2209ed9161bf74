"""The promise of a VA manager against a dictionary of pages, and the vectors of formats.md B.7."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from reference.systems.gpuvm.mappings import (
    Mapping,
    VaPromise,
    cut,
    first_difference,
    joined,
)

PAGE = 0x1000
PAGES = 24
BASES = (0, (1 << 63) - PAGES // 2 * PAGE, (1 << 64) - PAGES * PAGE)
"""Where the pages are: from 0, across bit 63, up to the last page that there is."""

Told = tuple[int, int, int, int]


def told(mappings: list[Mapping]) -> list[Told]:
    """(first, last, buffer, offset) of each."""
    return [(one.first, one.last, one.buffer, one.offset) for one in mappings]


def of(*mappings: Told) -> list[Mapping]:
    return [Mapping(*one) for one in mappings]


class PageByPage:
    """The naive promise: for each page its buffer, its offset, and which call mapped it.

    What one call has mapped is one piece wherever its pages are still side by side. Pieces of
    two calls are two, whatever lies behind them.
    """

    def __init__(self) -> None:
        self.pages: dict[int, tuple[int, int, int]] = {}
        self.calls = 0

    def map(self, first: int, end: int, buffer: int, offset: int) -> None:
        self.calls += 1
        for page in range(first, end):
            self.pages[page] = (buffer, offset + (page - first) * PAGE, self.calls)

    def unmap(self, first: int, end: int) -> None:
        for page in range(first, end):
            self.pages.pop(page, None)

    def pieces(self, base: int) -> list[Told]:
        """What mappings there have to be."""
        found: list[Told] = []
        for page, (buffer, offset, call) in sorted(self.pages.items()):
            address = base + page * PAGE
            if page - 1 in self.pages and self.pages[page - 1][2] == call:
                before = found.pop()
                found.append((before[0], address + PAGE - 1, before[2], before[3]))
            else:
                found.append((address, address + PAGE - 1, buffer, offset))
        return found


page_numbers = st.integers(0, PAGES - 1)
counts = st.integers(1, 8)
in_page = st.sampled_from((0, 1, 0x7FF, PAGE - 1))


class PromiseMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.promise = VaPromise()
        self.naive = PageByPage()
        self.base = 0

    def bounds(self, first: int, end: int) -> tuple[int, int]:
        return self.base + first * PAGE, self.base + end * PAGE - 1

    @initialize(base=st.sampled_from(BASES))
    def start(self, base: int) -> None:
        self.base = base

    @rule(first=page_numbers, count=counts, buffer=st.integers(0, 2), offset=st.integers(0, 3))
    def map(self, first: int, count: int, buffer: int, offset: int) -> None:
        end = min(first + count, PAGES)
        self.promise.map(*self.bounds(first, end), buffer, offset * PAGE)
        self.naive.map(first, end, buffer, offset * PAGE)

    @rule(page=page_numbers, count=counts)
    def map_on(self, page: int, count: int) -> None:
        """Map what goes on where the page before ends: it stays a mapping of its own."""
        buffer, offset, _ = self.naive.pages.get(page - 1, (0, 0, 0))
        self.map(page, count, buffer, offset // PAGE + 1)

    @rule(first=page_numbers, count=counts)
    def unmap(self, first: int, count: int) -> None:
        end = min(first + count, PAGES)
        self.promise.unmap(*self.bounds(first, end))
        self.naive.unmap(first, end)

    @rule()
    def clear(self) -> None:
        self.promise.clear()
        self.naive.pages.clear()

    @rule(one=page_numbers, other=page_numbers, start=in_page, end=in_page)
    def ask(self, one: int, other: int, start: int, end: int) -> None:
        """What has an address in a range, from any byte to any byte."""
        first, last = sorted((self.base + one * PAGE + start, self.base + other * PAGE + end))
        wanted = [
            piece
            for piece in self.naive.pieces(self.base)
            if piece[0] <= last and piece[1] >= first
        ]
        assert told(self.promise.within(first, last)) == wanted
        found = self.promise.first_in(first, last)
        assert told([] if found is None else [found]) == wanted[:1]

    @invariant()
    def the_mappings_are_those_of_the_pages(self) -> None:
        pieces = self.naive.pieces(self.base)
        assert told(self.promise.within(0, (1 << 64) - 1)) == pieces
        assert len(self.promise) == len(pieces)
        firsts = self.promise.firsts.between(0, 1 << 64)
        assert sorted(self.promise.at) == firsts == [piece[0] for piece in pieces]


TestVaPromise = PromiseMachine.TestCase
TestVaPromise.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


# -- joined, cut and the first difference ---------------------------------------------------


@st.composite
def lists(draw: st.DrawFn) -> list[Mapping]:
    """Mappings that do not overlap, ascending; neighbours often go on."""
    found: list[Mapping] = []
    page = draw(st.integers(0, 2))
    while page < PAGES and draw(st.integers(0, 5)):
        end = min(page + draw(st.integers(1, 4)), PAGES)
        buffer, offset = draw(st.integers(0, 1)), draw(st.integers(0, 3)) * PAGE
        goes_on = draw(st.booleans())
        if found and goes_on:
            before = found[-1]
            buffer, offset = before.buffer, before.offset + page * PAGE - before.first
        found.append(Mapping(page * PAGE, end * PAGE - 1, buffer, offset))
        page = end + draw(st.sampled_from((0, 0, 0, 1, 3)))
    return found


def translations(mappings: list[Mapping]) -> dict[int, tuple[int, int]]:
    """For each page that is mapped, the buffer behind it and where in it."""
    return {
        address: (one.buffer, one.offset + address - one.first)
        for one in mappings
        for address in range(one.first, one.last + 1, PAGE)
    }


@given(lists())
def test_joined_says_the_same_with_the_fewest_mappings(mappings: list[Mapping]) -> None:
    given_as = told(mappings)
    found = joined(mappings)
    assert translations(found) == translations(mappings)
    said = translations(mappings)
    starts = [
        address
        for address, (buffer, offset) in said.items()
        if said.get(address - PAGE) != (buffer, offset - PAGE)
    ]
    assert [one.first for one in found] == starts
    assert told(joined(found)) == told(found)
    # What it was given is as it was.
    assert told(mappings) == given_as


@given(lists(), page_numbers, page_numbers)
def test_cut_is_what_lies_inside(mappings: list[Mapping], one: int, other: int) -> None:
    first, last = min(one, other) * PAGE, max(one, other) * PAGE + PAGE - 1
    found = cut(mappings, first, last)
    wanted = {at: what for at, what in translations(mappings).items() if first <= at <= last}
    assert translations(found) == wanted
    inside = [m for m in mappings if m.first <= last and m.last >= first]
    assert [(m.first, m.last) for m in found] == [
        (max(m.first, first), min(m.last, last)) for m in inside
    ]


@given(lists(), lists())
def test_the_first_difference_is_the_lowest_page_that_differs(
    one: list[Mapping], other: list[Mapping]
) -> None:
    left, right = translations(one), translations(other)
    differing = [at for at in left.keys() | right.keys() if left.get(at) != right.get(at)]
    wanted = min(differing, default=-1)
    assert first_difference(one, other) == first_difference(other, one) == wanted


@given(lists(), st.data())
def test_a_change_of_one_page_is_the_first_difference(
    mappings: list[Mapping], data: st.DataObject
) -> None:
    promise = VaPromise()
    for one in mappings:
        promise.map(one.first, one.last, one.buffer, one.offset)
    page = data.draw(page_numbers) * PAGE
    promise.map(page, page + PAGE - 1, 7, 0)
    assert first_difference(mappings, promise.within(0, PAGES * PAGE)) == page


@given(lists())
def test_how_it_is_cut_makes_no_difference(mappings: list[Mapping]) -> None:
    pages = [
        Mapping(at, at + PAGE - 1, buffer, offset)
        for at, (buffer, offset) in translations(mappings).items()
    ]
    assert first_difference(mappings, pages) == -1


DIFFERENCES: dict[str, tuple[list[Told], list[Told], int]] = {
    "nothing and nothing": ([], [], -1),
    "nothing and something": ([], [(0x5000, 0x5FFF, 0, 0)], 0x5000),
    "another start": ([(0x1000, 0x2FFF, 0, 0)], [(0x2000, 0x2FFF, 0, 0x1000)], 0x1000),
    "another end": ([(0x1000, 0x2FFF, 0, 0)], [(0x1000, 0x1FFF, 0, 0)], 0x2000),
    "another buffer": ([(0x1000, 0x2FFF, 0, 0)], [(0x1000, 0x2FFF, 1, 0)], 0x1000),
    "another offset": ([(0x1000, 0x2FFF, 0, 0)], [(0x1000, 0x2FFF, 0, 0x1000)], 0x1000),
    "two that go on": (
        [(0x1000, 0x2FFF, 0, 0)], [(0x1000, 0x1FFF, 0, 0), (0x2000, 0x2FFF, 0, 0x1000)], -1,
    ),
    "two that do not go on": (
        [(0x1000, 0x2FFF, 0, 0)], [(0x1000, 0x1FFF, 0, 0), (0x2000, 0x2FFF, 0, 0)], 0x2000,
    ),
    "one more": (
        [(0x1000, 0x1FFF, 0, 0)], [(0x1000, 0x1FFF, 0, 0), (0x9000, 0x9FFF, 0, 0)], 0x9000,
    ),
    "the last page of all": ([(0, 2**64 - 1, 0, 0)], [(0, 2**64 - PAGE - 1, 0, 0)], 2**64 - PAGE),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENCES)
def test_first_differences_by_hand(name: str) -> None:
    one, other, wanted = DIFFERENCES[name]
    assert first_difference(of(*one), of(*other)) == wanted
    assert first_difference(of(*other), of(*one)) == wanted


def test_same_looks_at_everything() -> None:
    one = Mapping(0x1000, 0x1FFF, 3, 0x5000)
    assert one.same(Mapping(0x1000, 0x1FFF, 3, 0x5000))
    for other in of(
        (0, 0x1FFF, 3, 0x5000), (0x1000, 0x2FFF, 3, 0x5000), (0x1000, 0x1FFF, 2, 0x5000),
        (0x1000, 0x1FFF, 3, 0x6000),
    ):  # fmt: skip
        assert not one.same(other)
        assert not other.same(one)


def test_follows_looks_at_everything() -> None:
    before = Mapping(0x1000, 0x2FFF, 3, 0x5000)
    assert Mapping(0x3000, 0x3FFF, 3, 0x7000).follows(before)
    for other in of(
        (0x4000, 0x4FFF, 3, 0x7000), (0x4000, 0x4FFF, 3, 0x8000), (0x3000, 0x3FFF, 2, 0x7000),
        (0x3000, 0x3FFF, 3, 0x5000), (0x3000, 0x3FFF, 3, 0x6000), (0x1000, 0x2FFF, 3, 0x5000),
    ):  # fmt: skip
        assert not other.follows(before)
    assert not before.follows(Mapping(0x3000, 0x3FFF, 3, 0x7000))


# -- formats.md B.7 -------------------------------------------------------------------------

OLD, NEW = 0, 1
WORKED: list[tuple[str, list[Told], tuple[int, int], list[Told]]] = [
    # (call, before, its range with the end exclusive, what is left besides the new mapping)
    ("map", [(0x1000, 0x4FFF, OLD, 0)], (0x2000, 0x3000),
     [(0x1000, 0x1FFF, OLD, 0), (0x3000, 0x4FFF, OLD, 0x2000)]),
    ("map", [(0x1000, 0x4FFF, OLD, 0)], (0, 0x3000), [(0x3000, 0x4FFF, OLD, 0x2000)]),
    ("map", [(0x1000, 0x4FFF, OLD, 0)], (0x4000, 0x8000), [(0x1000, 0x3FFF, OLD, 0)]),
    ("unmap", [(0x1000, 0x4FFF, OLD, 0)], (0, 0x10000), []),
    ("unmap", [(0x1000, 0x4FFF, OLD, 0)], (0x2000, 0x3000),
     [(0x1000, 0x1FFF, OLD, 0), (0x3000, 0x4FFF, OLD, 0x2000)]),
    ("map", [(0x1000, 0x1FFF, OLD, 0), (0x3000, 0x4FFF, OLD, 0x9000)], (0x1000, 0x4000),
     [(0x4000, 0x4FFF, OLD, 0xA000)]),
    ("unmap", [(0x1000, 0x1FFF, OLD, 0), (0x3000, 0x4FFF, OLD, 0x9000)], (0, 0x4000),
     [(0x4000, 0x4FFF, OLD, 0xA000)]),
]  # fmt: skip

SHAPES: dict[str, tuple[tuple[int, int], list[Told]]] = {
    # request on [0x4000, 0x8000) of OLD from 0x2000 on: its range, what is left
    "A==R, E==Q": ((0x4000, 0x8000), []),
    "A==R, E<Q": ((0x4000, 0xA000), []),
    "A==R, E>Q": ((0x4000, 0x6000), [(0x6000, 0x7FFF, OLD, 0x4000)]),
    "A<R, E==Q": ((0x6000, 0x8000), [(0x4000, 0x5FFF, OLD, 0x2000)]),
    "A<R, E<Q": ((0x6000, 0xA000), [(0x4000, 0x5FFF, OLD, 0x2000)]),
    "A<R, E>Q": (
        (0x5000, 0x7000), [(0x4000, 0x4FFF, OLD, 0x2000), (0x7000, 0x7FFF, OLD, 0x5000)],
    ),
    "A>R, E==Q": ((0x2000, 0x8000), []),
    "A>R, E<Q": ((0x2000, 0xA000), []),
    "A>R, E>Q": ((0x2000, 0x6000), [(0x6000, 0x7FFF, OLD, 0x4000)]),
}  # fmt: skip


def split(call: str, before: list[Told], first: int, end: int, left: list[Told]) -> None:
    """One call on what is there leaves ``left``, and the new mapping if there is one."""
    promise = VaPromise()
    for one in before:
        promise.map(*one)
    if call == "map":
        promise.map(first, end - 1, NEW, 0x7000)
        left = sorted([*left, (first, end - 1, NEW, 0x7000)])
    else:
        promise.unmap(first, end - 1)
    assert told(promise.within(0, (1 << 64) - 1)) == left


@pytest.mark.parametrize("worked", WORKED, ids=lambda one: f"{one[0]}-{one[2][0]:x}-{one[2][1]:x}")
def test_worked(worked: tuple[str, list[Told], tuple[int, int], list[Told]]) -> None:
    call, before, (first, end), left = worked
    split(call, before, first, end, left)


@pytest.mark.parametrize("call", ["map", "unmap"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape(call: str, shape: str) -> None:
    (first, end), left = SHAPES[shape]
    split(call, [(0x4000, 0x7FFF, OLD, 0x2000)], first, end, left)


def test_the_same_again_is_one_mapping_and_neighbours_are_two() -> None:
    promise = VaPromise()
    promise.map(0x1000, 0x1FFF, OLD, 0)
    promise.map(0x1000, 0x1FFF, OLD, 0)
    promise.map(0x2000, 0x2FFF, OLD, 0x1000)
    found = promise.within(0, 0xFFFF)
    assert told(found) == [(0x1000, 0x1FFF, OLD, 0), (0x2000, 0x2FFF, OLD, 0x1000)]
    assert told(joined(found)) == [(0x1000, 0x2FFF, OLD, 0)]


def test_one_mapping_can_fill_the_whole_space() -> None:
    promise = VaPromise()
    promise.map(0, 2**64 - 1, OLD, 0)
    assert told(promise.within(2**64 - 1, 2**64 - 1)) == [(0, 2**64 - 1, OLD, 0)]
    promise.unmap(2**63, 2**63 + PAGE - 1)
    assert told(promise.within(0, 2**64 - 1)) == [
        (0, 2**63 - 1, OLD, 0), (2**63 + PAGE, 2**64 - 1, OLD, 2**63 + PAGE),
    ]  # fmt: skip
