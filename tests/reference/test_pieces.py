"""The promise of an NVIDIA address space, against a dictionary of pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.formats.nvidia import GH100, GP100, HOST, READ_ONLY, VRAM, meaning_of
from reference.pieces import (
    ARBITRARY,
    MAPPED,
    NOTHING,
    ZEROS,
    Piece,
    Pieces,
)

PAGE = 0x1000
PAGES = 24
LIMIT = GP100.limit
MEANINGS = (VRAM, meaning_of(VRAM, READ_ONLY), meaning_of(HOST))

Told = tuple[int, int, int, int, int]
NONE = (NOTHING, -1, 0)


def looked_up(promise: Pieces, va: int) -> tuple[int, int, int]:
    what, pa, meaning = promise.lookup(va)
    return int(what), int(pa), int(meaning)


def told(pieces: list[Piece]) -> list[Told]:
    return [(one.first, one.last, one.what, one.pa, one.meaning) for one in pieces]


class PageByPage:
    """The naive promise: what each page is."""

    def __init__(self) -> None:
        self.pages: dict[int, tuple[int, int, int]] = {}

    def at(self, page: int) -> tuple[int, int, int]:
        return self.pages.get(page, NONE)

    def goes_on(self, page: int) -> bool:
        """Whether page + 1 is what the piece or hole of ``page`` goes on with."""
        what, pa, meaning = self.at(page)
        return self.at(page + 1) == (what, pa + PAGE if what == MAPPED else pa, meaning)

    def pieces(self, first: int, end: int) -> list[Told]:
        found: list[Told] = []
        for page in range(first, end):
            what, pa, meaning = self.at(page)
            if what == NOTHING:
                continue
            if found and page > first and self.goes_on(page - 1):
                before = found.pop()
                found.append((before[0], (page + 1) * PAGE - 1, *before[2:]))
            else:
                found.append((page * PAGE, (page + 1) * PAGE - 1, what, pa, meaning))
        return found


page_numbers = st.integers(0, PAGES - 1)
# Few physical addresses, so that pieces of different calls often go on in one another.
operations = st.lists(
    st.tuples(
        st.sampled_from(["map", "sparse", "clear"]),
        page_numbers,
        page_numbers,
        st.integers(-2, 2),
        st.sampled_from(MEANINGS),
    ),
    max_size=30,
)


def apply(what: Pieces, naive: PageByPage, calls: list) -> None:
    for kind, one, other, shift, meaning in calls:
        first, last = min(one, other), max(one, other)
        start, end = first * PAGE, (last + 1) * PAGE - 1
        base = 0x4000_0000 + (first + shift) * PAGE
        if kind == "map":
            what.map(start, end, base, meaning)
        elif kind == "sparse":
            what.sparse(start, end)
        else:
            what.clear(start, end)
        for page in range(first, last + 1):
            if kind == "map":
                naive.pages[page] = (MAPPED, base + (page - first) * PAGE, meaning)
            elif kind == "sparse":
                naive.pages[page] = (ZEROS, -1, 0)
            else:
                naive.pages.pop(page, None)


@given(operations, page_numbers, page_numbers)
def test_against_a_dictionary_of_pages(calls: list, one: int, other: int) -> None:
    promise, naive = Pieces(LIMIT), PageByPage()
    apply(promise, naive, calls)
    assert told(promise.pieces(0, LIMIT - 1)) == naive.pieces(0, PAGES)
    assert len(promise) == len(naive.pieces(0, PAGES))
    first, last = min(one, other), max(one, other)
    assert told(promise.pieces(first * PAGE, (last + 1) * PAGE - 1)) == naive.pieces(
        first, last + 1
    )
    for page in range(PAGES):
        what, pa, meaning = naive.at(page)
        assert looked_up(promise, page * PAGE) == (what, pa, meaning)
        inside = pa + 0x123 if what == MAPPED else pa
        assert looked_up(promise, page * PAGE + 0x123) == (what, inside, meaning)
        end = page
        while end < PAGES and naive.goes_on(end):
            end += 1
        expected = LIMIT - 1 if end == PAGES else (end + 1) * PAGE - 1
        assert promise.extent(page * PAGE + 7) == expected


@given(operations, operations, page_numbers, page_numbers)
def test_taking_over_what_another_says(first: list, second: list, one: int, other: int) -> None:
    mine, other_promise = Pieces(LIMIT), Pieces(LIMIT)
    apply(mine, PageByPage(), first)
    apply(other_promise, PageByPage(), second)
    start, end = min(one, other) * PAGE, (max(one, other) + 1) * PAGE - 1
    before = mine.pieces(0, start - 1) if start else []
    after = mine.pieces(end + 1, LIMIT - 1)
    mine.take(start, end, other_promise.pieces(start, end))
    assert told(mine.pieces(start, end)) == told(other_promise.pieces(start, end))
    assert told(mine.pieces(0, start - 1) if start else []) == told(before)
    assert told(mine.pieces(end + 1, LIMIT - 1)) == told(after)


def test_what_is_arbitrary_is_not_taken_over() -> None:
    promise = Pieces(LIMIT)
    promise.sparse(0, 0x1FFF)
    promise.take(0, 0xFFF, [Piece(0, 0xFFF, ARBITRARY, -1, 0)])
    assert told(promise.pieces(0, LIMIT - 1)) == [(0x1000, 0x1FFF, ZEROS, -1, 0)]


def test_pieces_that_go_on_are_one() -> None:
    promise = Pieces(LIMIT)
    for page in (0, 2, 1):
        promise.map(page * PAGE, page * PAGE + 0xFFF, 0x5000_0000 + page * PAGE, VRAM)
    assert told(promise.pieces(0, LIMIT - 1)) == [(0, 0x2FFF, MAPPED, 0x5000_0000, VRAM)]
    promise.map(0x1000, 0x1FFF, 0x5000_1000, meaning_of(VRAM, READ_ONLY))
    assert len(promise) == 3
    promise.sparse(0x3000, 0x3FFF)
    promise.sparse(0x4000, 0x4FFF)
    assert len(promise) == 4


@pytest.mark.parametrize("limit", [GP100.limit, GH100.limit])
def test_the_ends_of_the_address_space(limit: int) -> None:
    promise = Pieces(limit)
    assert looked_up(promise, limit - 1) == NONE
    assert promise.extent(0) == limit - 1
    promise.sparse(0, limit - 1)
    assert promise.extent(0) == limit - 1
    promise.map(limit - PAGE, limit - 1, 0x4000_0000, VRAM)
    assert looked_up(promise, limit - 1) == (MAPPED, 0x4000_0FFF, VRAM)
    assert promise.extent(0) == limit - PAGE - 1
    promise.clear(0, limit - 1)
    assert len(promise) == 0


def test_repr() -> None:
    assert repr(Piece(0, 0xFFF, ZEROS, -1, 0)) == "Piece(0x0..0xfff sparse)"
    assert repr(Piece(0, 0xFFF, MAPPED, 0x1000, 4)) == (
        "Piece(0x0..0xfff mapped to 0x1000, meaning 0x4)"
    )
