"""The walk of an image: what was stored is found, in every format, by every root."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.formats import FORMATS
from reference.formats.entry import HOLE, LEAF, TABLE
from reference.formats.format import Format, Geometry
from reference.formats.nvidia import GK104_64K, GM200_64K, GP100, VRAM
from reference.formats.uat import UAT
from reference.formats.walk import BEYOND, FAULT, FOUND, NO_ROOT, NO_WORD, ZEROS, Walk
from strategies.formats import formats, input_addresses


def table_at(level: int) -> int:
    """Where the test's table of a level is: aligned for every format, and within 31 bits."""
    return (level + 1) << 20


class Image:
    """Words by address; tables that were never stored to read as zeros."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.words: dict[int, int] = {}

    def read(self, pa: int) -> int | None:
        return self.words.get(pa, 0)

    def store(self, level: int, va: int, entry: list[int]) -> None:
        one = self.geometry.format.tables[level]
        at = table_at(level) + int(self.geometry.index(level, va) * one.words) * 8
        for number, word in enumerate(entry):
            self.words[at + 8 * number] = word

    def lead(self, chain: list[int], va: int) -> None:
        """Store entries that lead from the root (or the first register's table) to a level."""
        fmt = self.geometry.format
        for above, below in itertools.pairwise(chain):
            halves = fmt.tables[above].halves
            pas = [table_at(below) if half.child == below else -1 for half in halves]
            self.store(above, va, fmt.directory(above, *pas))

    def roots(self) -> list[int]:
        """The root table; for each register the same, where there are some."""
        start = int(self.geometry.start_level)
        if self.geometry.roots > 1 or (start == 0 and self.geometry.format.roots > 1):
            return [table_at(1)] * self.geometry.roots
        return [table_at(start)]

    def walk(self, va: int) -> Walk:
        return Walk(self.geometry, self.roots(), self.read, va)


def chain_to(geometry: Geometry, level: int) -> list[int]:
    """The levels of tables in memory on the way to one, from the root on."""
    fmt = geometry.format
    page = fmt.page_of_shift(int(fmt.shift(level)))
    chain = page.chain if page is not None and page.table == level else range(level, -1, -1)
    registers = geometry.start_level == 0 and fmt.roots > 1
    return [one for one in reversed(chain) if one >= max(geometry.start_level, int(registers))]


@st.composite
def laid_out(draw: st.DrawFn, fmt: Format) -> Geometry:
    sizes = [*fmt.ias_choices, fmt.whole_ias] if fmt.whole_ias else fmt.ias_choices
    return fmt.geometry(draw(st.sampled_from(sizes)))


@given(st.data())
def test_a_leaf_is_found_where_it_was_stored(data: st.DataObject) -> None:
    fmt = data.draw(formats())
    geometry = data.draw(laid_out(fmt))
    levels = [n for n in range(fmt.levels) if fmt.tables[n].first.kind_with(LEAF) is not None]
    level = data.draw(st.sampled_from([n for n in levels if n >= geometry.start_level]))
    va = data.draw(input_addresses(geometry))
    asked = data.draw(st.sampled_from(fmt.permissions.examples))
    pa = data.draw(st.integers(0, 7)) * max(fmt.span(level), 1 << 30)
    image = Image(geometry)
    chain = chain_to(geometry, level)
    image.lead(chain, va)
    image.store(level, va, [fmt.leaf(level, pa, asked)])
    walk = image.walk(va)
    assert walk.end == FOUND
    assert walk.pa == pa + va % fmt.span(level)
    assert walk.meaning == fmt.promised(asked)
    assert walk.level == level
    looked_at = [one.level for one in walk.fetches if one.half.role(one.word or 0) in (TABLE, LEAF)]
    assert looked_at == chain
    assert (walk.register >= 0) == (geometry.start_level == 0 and fmt.roots > 1)
    # Elsewhere is nothing, and beyond the input bits nothing is looked at.
    other = va ^ (1 << (geometry.ias - 1))
    if other >> fmt.shift(chain[0]) != va >> fmt.shift(chain[0]) and walk.register < 0:
        assert image.walk(other).end == FAULT
    beyond = image.walk(geometry.limit + va)
    assert (beyond.end, beyond.fetches) == (BEYOND, [])


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=list(FORMATS))
def test_what_is_not_there_is_not_made_up(fmt: Format) -> None:
    geometry = fmt.geometry(fmt.ias_choices[-1])
    image = Image(geometry)
    walk = Walk(geometry, image.roots(), lambda pa: None, 0)
    assert (walk.end, len(walk.fetches)) == (NO_WORD, 1)
    assert walk.fetches[0].word is None


def test_both_halves_of_a_gpus_addresses_have_a_root() -> None:
    geometry = UAT.geometry(40)
    image = Image(geometry)
    user, kernel = 0x12345 << 14, (1 << 39) | 0x777 << 14
    asked = UAT.permissions.examples[3]
    for va, pa in ((user, 4 << 30), (kernel, 5 << 30)):
        image.lead([1, 2, 3], va)
        image.store(3, va, [UAT.leaf(3, pa, asked)])
    walks = [Walk(geometry, [table_at(1)] * 2, image.read, va) for va in (user, kernel)]
    assert [(one.register, one.end, one.pa) for one in walks] == [
        (0, FOUND, 4 << 30),
        (1, FOUND, 5 << 30),
    ]
    assert Walk(geometry, [table_at(1)], image.read, kernel).end == NO_ROOT
    assert geometry.roots == 2
    assert [UAT.geometry(ias).roots for ias in UAT.ias_choices] == [1, 1]
    with pytest.raises(ValueError, match="allowed for uat are 36, 39, and 40 with all roots"):
        UAT.geometry(41)


def test_each_register_of_a_dart_has_a_root() -> None:
    dart = FORMATS["dart1-4k"]
    geometry = dart.geometry(32)
    assert geometry.roots == 4
    asked = dart.permissions.examples[3]
    words = {}
    for register in range(4):
        base = (register + 1) << 20
        words[base] = dart.table(1, base + 0x1000)
        words[base + 0x1000] = dart.leaf(2, register << 16, asked)
    roots = [(register + 1) << 20 for register in range(4)]
    for register in range(4):
        walk = Walk(geometry, roots, words.get, (register << 30) + 5)
        assert (walk.register, walk.end, walk.pa) == (register, FOUND, (register << 16) + 5)
    assert Walk(geometry, roots[:3], words.get, 3 << 30).end == NO_ROOT


def test_the_large_table_is_looked_at_first() -> None:
    fmt = GP100
    geometry = fmt.geometry(49)
    directory, large, small = int(fmt.last_directory), int(fmt.large), int(fmt.small)
    image = Image(geometry)
    image.lead([*range(large)], 0)
    image.store(directory, 0, fmt.directory(directory, table_at(large), table_at(small)))
    image.store(small, 0, [fmt.leaf(small, 0x5000, VRAM)])
    assert image.walk(0x10).pa == 0x5010
    assert [one.level for one in image.walk(0).fetches][-3:] == [large, directory, small]
    image.store(large, 0, [fmt.hole(large)])
    assert image.walk(0x10).end == FAULT
    assert image.walk(0x10).level == large
    assert image.walk(0x10).fetches[-1].half.role(fmt.hole(large)) == HOLE
    image.store(large, 0, [fmt.leaf(large, 0x20000, VRAM)])
    assert image.walk(0x10).pa == 0x20010
    image.store(large, 0, [fmt.sparse(large)])
    assert image.walk(0x10).end == ZEROS
    image.store(directory, 0, [fmt.sparse(directory), 0])
    assert image.walk(0x10).end == ZEROS


def test_words_that_share_their_halves_lead_to_both_tables() -> None:
    for fmt in (GK104_64K, GM200_64K):
        image = Image(fmt.geometry(40))
        image.store(0, 0, fmt.directory(0, table_at(1), table_at(2)))
        image.store(2, 0x3000, [fmt.leaf(2, 0x9000, VRAM)])
        assert image.walk(0x3004).pa == 0x9004
        assert image.walk(0x4004).end == FAULT
        image.store(1, 0, [fmt.leaf(1, 0x70000, VRAM)])
        assert image.walk(0x3004).pa == 0x73004
