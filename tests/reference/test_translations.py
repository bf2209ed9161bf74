"""The promised translations against a dictionary of pages; blocks of 4 and 16 pages."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reference.formats.entry import (
    ADDRESS,
    FIXED,
    IGNORED,
    INVALID,
    LEAF,
    TABLE,
    EntryKind,
    Field,
)
from reference.formats.format import Format, Level, Permissions, Sizes, Walks
from reference.formats.lpae import LPAE_S1
from reference.translations import Translations

PAGE = 0x1000
PAGES = 64
TOP = PAGES * PAGE - 1
SPANS = (16, 4, 1)
"""Pages in an entry, by level."""


def _kind(name: str, role: int, levels: tuple[int, ...], match: int) -> EntryKind:
    use = ADDRESS if role else IGNORED
    return EntryKind(
        name,
        role,
        levels,
        [
            Field("rest", 63, 12, use, "", ""),
            Field("ignored", 11, 2, IGNORED, "", ""),
            Field("type", 1, 0, FIXED, "", "", match=match),
        ],
    )


def tiny() -> Format:
    """Three levels of four entries: 64 KiB, 16 KiB and 4 KiB each."""
    table, leaf = _kind("table", TABLE, (0, 1), 3), _kind("leaf", LEAF, (0, 1, 2), 1)
    none, other = _kind("none", INVALID, (0, 1, 2), 0), _kind("other", INVALID, (0, 1, 2), 2)
    last = _kind("no table", INVALID, (2,), 3)
    return Format(
        name="tiny",
        title="for this test",
        source="none",
        tables=[
            Level(0, 16, 2, [table, leaf, none, other]),
            Level(1, 14, 2, [table, leaf, none, other]),
            Level(2, 12, 2, [last, leaf, none, other]),
        ],
        sizes=Sizes(
            granule=PAGE,
            ias_choices=(18,),
            oas_choices=(40,),
            page_sizes=(PAGE, 4 * PAGE, 16 * PAGE),
        ),
        permissions=Permissions(
            fields_of=lambda prot: {},
            access_of=lambda values: 0,
            access_for=lambda prot: 0,
        ),
        walks=Walks(fixed_start=True, caches_invalid=False),
    )


FORMAT = tiny()


class PageByPage:
    """The naive promise: for each page its physical page, its prot and its entry's level."""

    def __init__(self) -> None:
        self.pages: dict[int, tuple[int, int, int]] = {}

    def add(self, page: int, physical: int, prot: int, level: int) -> None:
        for number in range(SPANS[level]):
            self.pages[page + number] = (physical + number, prot, level)

    def remove(self, first: int, last: int) -> None:
        """Entries within the range go; those that reach beyond are broken into smaller ones."""
        for page in range(first, last + 1):
            while page in self.pages:
                level = self.pages[page][2]
                span = SPANS[level]
                base = page // span * span
                if first <= base and base + span - 1 <= last:
                    for other in range(base, base + span):
                        del self.pages[other]
                else:
                    for other in range(base, base + span):
                        physical, prot, _ = self.pages[other]
                        self.pages[other] = (physical, prot, level + 1)

    def says_of(self, page: int, offset: int) -> tuple[int, int, int]:
        """(pa, prot, level) of a byte; (-1, 0, -1) where nothing is promised."""
        if page not in self.pages:
            return -1, 0, -1
        physical, prot, level = self.pages[page]
        return physical * PAGE + offset, prot, level

    def extent(self, page: int) -> int:
        """The last page that :meth:`Translations.extent` should name."""
        if page in self.pages:
            span = SPANS[self.pages[page][2]]
            return page // span * span + span - 1
        for span in SPANS:
            base = page // span * span
            if not any(other in self.pages for other in range(base, base + span)):
                return base + span - 1
        raise AssertionError(page)

    def entries(self, first: int, last: int) -> list[tuple[int, int, int, int, int]]:
        """(first page, last page, physical, prot, level) of the entries that reach in."""
        found = []
        for page in range(first, last + 1):
            if page in self.pages:
                physical, prot, level = self.pages[page]
                base = page // SPANS[level] * SPANS[level]
                entry = (base, base + SPANS[level] - 1, physical - (page - base), prot, level)
                if entry not in found:
                    found.append(entry)
        return found


page_numbers = st.integers(0, PAGES - 1)
prots = st.integers(0, 63)
levels = st.sampled_from((0, 1, 2, 2, 2))


class PromiseMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.promise = Translations(FORMAT)
        self.naive = PageByPage()

    def said_of(self, va: int) -> tuple[int, int, int]:
        pa, prot = self.promise.lookup(va)
        return int(pa), int(prot), int(self.promise.level_at(va))

    @rule(
        page=page_numbers, level=levels, count=st.integers(1, 5), physical=page_numbers, prot=prots
    )
    def add(self, page: int, level: int, count: int, physical: int, prot: int) -> None:
        span = SPANS[level]
        page = page // span * span
        physical = physical // span * span + 0x1000
        count = min(count, (PAGES - page) // span)
        if self.naive.entries(page, page + span * count - 1):
            return
        if count == 1:
            self.promise.add(page * PAGE, physical * PAGE, prot, level)
        else:
            self.promise.add_run(page * PAGE, physical * PAGE, span * PAGE, count, prot)
        for number in range(count):
            self.naive.add(page + number * span, physical + number * span, prot, level)

    @precondition(lambda self: self.naive.pages)
    @rule(one=page_numbers, other=page_numbers)
    def remove(self, one: int, other: int) -> None:
        first, last = min(one, other), max(one, other)
        self.promise.remove(first * PAGE, (last + 1) * PAGE - 1)
        self.naive.remove(first, last)

    @rule(one=page_numbers, other=page_numbers)
    def ask_of_a_range(self, one: int, other: int) -> None:
        first, last = min(one, other), max(one, other)
        start, end = first * PAGE, (last + 1) * PAGE - 1
        promised = [page in self.naive.pages for page in range(first, last + 1)]
        assert self.promise.any_in(start, end) == any(promised)
        assert self.promise.all_in(start, end) == all(promised)
        entries = self.naive.entries(first, last)
        largest = min((entry[4] for entry in entries), default=-1)
        assert self.promise.largest_level_in(start, end) == largest
        parts = self.promise.parts(start, end)
        assert [(p.first, p.last, p.pa, p.prot, p.level) for p in parts] == [
            (base * PAGE, (end + 1) * PAGE - 1, physical * PAGE, prot, level)
            for base, end, physical, prot, level in entries
        ]
        limited = self.promise.parts(start, end, 2)
        assert [part.first for part in limited] == [part.first for part in parts[:2]]

    @rule(page=page_numbers, offset=st.sampled_from((0, 1, 0x7FF, 0xFFF)))
    def ask_of_a_byte(self, page: int, offset: int) -> None:
        va = page * PAGE + offset
        assert self.said_of(va) == self.naive.says_of(page, offset)
        assert self.promise.extent(va) == (self.naive.extent(page) + 1) * PAGE - 1

    @invariant()
    def every_page_is_as_promised(self) -> None:
        assert self.promise.bytes == len(self.naive.pages) * PAGE
        for page in range(PAGES):
            assert self.said_of(page * PAGE) == self.naive.says_of(page, 0)


TestPromise = PromiseMachine.TestCase
TestPromise.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


# -- ranges ---------------------------------------------------------------------------------


@given(page_numbers, page_numbers, st.integers(1, PAGES), prots)
def test_a_range_is_promised_page_for_page_in_the_largest_entries_that_fit(
    page: int, physical: int, count: int, prot: int
) -> None:
    count = min(count, PAGES - page)
    promise = Translations(FORMAT)
    promise.add_range(page * PAGE, physical * PAGE, count * PAGE, prot)
    assert promise.bytes == count * PAGE
    for number in range(PAGES):
        inside = page <= number < page + count
        expected = ((physical + number - page) * PAGE, prot) if inside else (-1, 0)
        assert promise.lookup(number * PAGE) == expected
    for level, span in enumerate(SPANS):
        aligned = (page - physical) % span == 0
        # Aligned in both spaces, and whole in the range: as large as it can be.
        for base in range(0, PAGES, span):
            if aligned and page <= base and base + span <= page + count:
                assert promise.level_at(base * PAGE) <= level
    for one in promise.parts(0, TOP):
        assert one.pa % (SPANS[one.level] * PAGE) == 0
        assert page * PAGE <= one.first
        assert one.last < (page + count) * PAGE


@given(page_numbers, page_numbers, st.integers(1, PAGES), page_numbers, page_numbers)
def test_a_part_of_a_range_can_be_taken_back_and_promised_again(
    page: int, physical: int, count: int, one: int, other: int
) -> None:
    count = min(count, PAGES - page)
    promise = Translations(FORMAT)
    promise.add_range(page * PAGE, physical * PAGE, count * PAGE, 3)
    first, last = min(one, other), max(one, other)
    promise.remove(first * PAGE, (last + 1) * PAGE - 1)
    promise.add_range(first * PAGE, 0x9000_0000, (last + 1 - first) * PAGE, 1)
    for number in range(PAGES):
        expected = (-1, 0)
        if first <= number <= last:
            expected = (0x9000_0000 + (number - first) * PAGE, 1)
        elif page <= number < page + count:
            expected = ((physical + number - page) * PAGE, 3)
        assert promise.lookup(number * PAGE) == expected


# -- with real sizes ------------------------------------------------------------------------

_2M, _1G = 1 << 21, 1 << 30


def test_a_page_taken_out_of_a_large_block_leaves_the_largest_pieces() -> None:
    promise = Translations(LPAE_S1)
    promise.add(_1G, 0x40_0000_0000, 3, 1)
    hole = _1G + 5 * _2M + 7 * PAGE
    promise.remove(hole, hole + PAGE - 1)
    assert promise.bytes == _1G - PAGE
    assert promise.lookup(hole) == (-1, 0)
    assert promise.lookup(hole - 1) == (0x40_0000_0000 + hole - 1 - _1G, 3)
    assert promise.lookup(hole + PAGE) == (0x40_0000_0000 + hole + PAGE - _1G, 3)
    parts = promise.parts(_1G, 2 * _1G - 1)
    assert [part.level for part in parts] == [2] * 5 + [3] * 511 + [2] * 506
    assert [part.last + 1 for part in parts[:5]] == [part.first for part in parts[1:6]]


def test_the_last_bytes_of_the_largest_space() -> None:
    promise = Translations(LPAE_S1)
    last = (1 << 48) - PAGE
    promise.add(last, last, 1, 3)
    assert promise.lookup((1 << 48) - 1) == ((1 << 48) - 1, 1)
    assert promise.extent(last) == (1 << 48) - 1
    assert promise.any_in(last - PAGE, (1 << 48) - 1)
    assert not promise.all_in(last - PAGE, (1 << 48) - 1)
    promise.remove(last - 3 * PAGE, (1 << 48) - 1)
    assert promise.bytes == 0
    assert not promise.any_in((1 << 48) - _1G, (1 << 48) - 1)


def test_what_is_beside_is_not_removed() -> None:
    promise = Translations(LPAE_S1)
    promise.add_run(0, 0, PAGE, 512, 3)
    promise.add(_2M, _2M, 3, 2)
    promise.remove(PAGE, _2M - 1)
    assert promise.lookup(0) == (0, 3)
    assert promise.lookup(_2M) == (_2M, 3)
    assert promise.level_at(_2M) == 2
    assert promise.bytes == _2M + PAGE


def test_a_range_in_the_pages_of_a_gpu() -> None:
    promise = Translations(LPAE_S1)
    promise.add_range(_2M - PAGE, 2 * _2M - PAGE, 2 * _2M + 2 * PAGE, 7)
    parts = promise.parts(0, 8 * _2M)
    assert [part.level for part in parts] == [3, 2, 2, 3]
    assert [part.first for part in parts] == [_2M - PAGE, _2M, 2 * _2M, 3 * _2M]
    # Off by a page in one of the two spaces, no large page fits.
    other = Translations(LPAE_S1)
    other.add_range(_2M, _2M + PAGE, _2M, 7)
    assert {part.level for part in other.parts(0, 4 * _2M)} == {3}
    assert other.bytes == _2M
