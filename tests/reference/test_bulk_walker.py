"""The bulk walker says what the scalar walker says, of every address, in every format."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.formats import FORMATS
from reference.formats.access import READ, WRITE
from reference.formats.entry import ATTRIBUTE, LEAF
from reference.formats.format import Format, Geometry
from reference.hardware.bulk_walker import FAULT, IMAGE_LIMIT, NO_ACCESS, image_of, translate_many
from reference.hardware.context import Space
from reference.hardware.machine import Machine
from reference.hardware.memory import POISON, PhysicalMemory
from reference.hardware.walker import NO_ROOT, Walker
from reference.systems.pagetable.driver import PageTable
from reference.trace import Trace
from reference.words import to_signed, to_unsigned
from strategies.hardware import TABLE_BASE, TINY, walked_addresses, wild_tables

PLAIN = [fmt for fmt in FORMATS.values() if fmt.plain]
EVERY = [*PLAIN, TINY]
PAGE = 0x1000


def one_by_one(walker: Walker, vas: list[int]) -> tuple[list[int], list[int], list[int]]:
    """What :func:`translate_many` should give, from the scalar walker."""
    fmt = walker.geometry.format
    pas, levels, accesses = [], [], []
    for va in vas:
        held = to_signed(va)
        level, word = walker.translate(held)
        if level >= 0 and fmt.kind(level, word) == LEAF:
            pas.append(to_unsigned(fmt.output(level, word) + (held & (fmt.span(level) - 1))))
            accesses.append(fmt.meaning(level, word) & ~walker.denied)
        else:
            pas.append(FAULT)
            accesses.append(NO_ACCESS)
        levels.append(level)
    return pas, levels, accesses


def all_together(walker: Walker, vas: list[int]) -> tuple[list[int], list[int], list[int]]:
    base, image = image_of(walker.memory)
    root = int(walker.root)
    pa, level, access = translate_many(
        image, base, walker.geometry, root, np.array(vas, dtype=np.uint64)
    )
    assert [pa.dtype.name, level.dtype.name, access.dtype.name] == ["uint64", "int8", "int32"]
    return pa.tolist(), level.tolist(), access.tolist()


@pytest.mark.parametrize("fmt", EVERY, ids=lambda fmt: fmt.name)
@given(st.data())
@settings(max_examples=40)
def test_agrees_with_the_scalar_walker(fmt: Format, data: st.DataObject) -> None:
    geometry = fmt.geometry(data.draw(st.sampled_from(fmt.ias_choices)))
    memory, root = data.draw(wild_tables(geometry))
    walker = Walker(memory, geometry)
    walker.root = root
    near = walked_addresses(geometry)
    vas = data.draw(st.lists(near | st.integers(0, 2**64 - 1), max_size=60))
    assert all_together(walker, vas) == one_by_one(walker, vas)


def mapped(geometry: Geometry, coherent: bool = True) -> Space:
    """A view of a table with a few pages and blocks."""
    trace = Trace()
    sizes = sum(geometry.format.page_sizes)
    table = PageTable(geometry, max(geometry.format.oas_choices), sizes, coherent, False, trace)
    assert table.create() == 0
    page, *larger = geometry.format.page_sizes
    for number, prot in enumerate((READ, WRITE | READ, READ | 4, READ | WRITE | 8)):
        iova = number * 37 * page
        assert table.map_pages(iova, 0x100 * page + iova, page, 9, prot) == (0, 9 * page)
    for size in larger:
        assert table.map_pages(size, 2 * size, size, 1, READ) == (0, size)
    end = int(geometry.limit) - page
    assert table.map_pages(end, 3 * page, page, 1, READ) == (0, page)
    machine = Machine(geometry, coherent)
    view = machine.add_space()
    machine.add_context(view)
    machine.feed(trace.words, 0)
    return view


@pytest.mark.parametrize("fmt", PLAIN, ids=lambda fmt: fmt.name)
def test_what_a_driver_mapped(fmt: Format) -> None:
    for ias in fmt.ias_choices:
        geometry = fmt.geometry(ias)
        view = mapped(geometry)
        page = fmt.page_sizes[0]
        vas = [number * page + number for number in range(200)]
        vas += [size * part // 2 + 5 for size in fmt.page_sizes[1:] for part in range(10)]
        limit = int(geometry.limit)
        vas += [limit - 1, limit, limit + 1, 2**63, 2**64 - 1]
        found = all_together(view.walker, vas)
        assert found == one_by_one(view.walker, vas)
        assert found[0][0] == 0x100 * page
        assert found[0][-5:] == [4 * page - 1, FAULT, FAULT, FAULT, FAULT]
        assert found[1][-4:] == [-1] * 4


def test_no_root() -> None:
    memory = PhysicalMemory(PAGE)
    memory.allocate(TABLE_BASE, PAGE).fill(0)
    walker = Walker(memory, TINY.geometry(18))
    assert walker.root == NO_ROOT
    assert all_together(walker, [0, PAGE]) == ([FAULT] * 2, [-1] * 2, [NO_ACCESS] * 2)


def test_no_addresses_and_no_memory() -> None:
    walker = Walker(PhysicalMemory(PAGE), TINY.geometry(18))
    walker.root = TABLE_BASE
    assert all_together(walker, []) == ([], [], [])
    assert all_together(walker, [0]) == ([FAULT], [0], [NO_ACCESS])


@pytest.mark.parametrize("root", [TABLE_BASE - PAGE, TABLE_BASE + PAGE, TABLE_BASE + 8])
def test_a_root_that_is_no_table(root: int) -> None:
    memory = PhysicalMemory(PAGE)
    memory.allocate(TABLE_BASE, PAGE).fill(TINY.leaf(0, 0, READ))
    walker = Walker(memory, TINY.geometry(18))
    walker.root = root
    assert all_together(walker, [0]) == one_by_one(walker, [0]) == ([FAULT], [0], [NO_ACCESS])


def test_tables_that_are_too_short() -> None:
    memory = PhysicalMemory(PAGE)
    memory.allocate(TABLE_BASE, 16).fill(TINY.table(0, TABLE_BASE + PAGE))
    memory.allocate(TABLE_BASE + PAGE, 24).fill(TINY.leaf(1, 0, READ))
    walker = Walker(memory, TINY.geometry(18))
    walker.root = TABLE_BASE
    vas = [0, 0x8000, 0xC000, 0x20000]
    found = all_together(walker, vas)
    assert found == one_by_one(walker, vas)
    assert found[:2] == ([0, 0, FAULT, FAULT], [1, 1, 1, 0])


def test_attributes_that_share_a_slot() -> None:
    """All combinations of attribute bits in one table of leaves, so that slots collide."""
    fmt = FORMATS["lpae-s1"]
    geometry = fmt.geometry(39)
    memory = PhysicalMemory(PAGE)
    root, upper, *lower = (memory.allocate(TABLE_BASE + PAGE * n, PAGE) for n in range(6))
    root.set(0, fmt.table(1, upper.pa))
    kind = fmt.tables[3].leaf
    assert kind is not None
    fields = [field for field in kind.fields if field.use == ATTRIBUTE]
    assert sum(field.width for field in fields) == 11
    for number in range(2048):
        word, left = kind.match, number
        for field in fields:
            word |= field.put(left % (1 << field.width))
            left >>= field.width
        lower[number // 512].set(number % 512, word)
    for number, page in enumerate(lower):
        upper.set(number, fmt.table(2, page.pa))
    walker = Walker(memory, geometry)
    walker.root = root.pa
    vas = [number * PAGE for number in range(2048)]
    found = all_together(walker, vas)
    assert found == one_by_one(walker, vas)
    assert len(set(found[2])) > 100


def test_tables_that_deny_add_up() -> None:
    memory = PhysicalMemory(PAGE)
    root, upper, lower = (memory.allocate(TABLE_BASE + PAGE * n, PAGE) for n in range(3))
    read_only = 1 << 2
    root.set(0, TINY.table(0, upper.pa) | read_only)
    root.set(1, TINY.table(0, upper.pa))
    upper.set(0, TINY.table(1, lower.pa))
    upper.set(1, TINY.table(1, lower.pa) | read_only)
    lower.set(0, TINY.leaf(2, 0x5000, READ | WRITE))
    walker = Walker(memory, TINY.geometry(18))
    walker.root = root.pa
    vas = [0, 0x4000, 0x10000, 0x14000]
    found = all_together(walker, vas)
    assert found == one_by_one(walker, vas)
    assert [access & 0x12 for access in found[2]] == [0, 0, 0x12, 0]


def test_the_image_holds_each_page_in_its_place() -> None:
    memory = PhysicalMemory(PAGE)
    memory.allocate(TABLE_BASE + 5 * PAGE, PAGE).fill(-1)
    memory.allocate(TABLE_BASE + 2 * PAGE, PAGE).set(511, 7)
    base, image = image_of(memory)
    assert base == TABLE_BASE + 2 * PAGE
    assert image.dtype == np.uint64
    assert len(image) == 4 * 512
    assert image[511] == 7
    assert image[510] == to_unsigned(POISON)
    assert image[512] == to_unsigned(POISON)
    assert image[3 * 512] == 2**64 - 1


def test_the_image_is_a_snapshot() -> None:
    memory = PhysicalMemory(PAGE)
    page = memory.allocate(TABLE_BASE, PAGE)
    page.fill(1)
    _, image = image_of(memory)
    page.set(0, 2)
    assert image[0] == 1


def test_pages_too_far_apart_for_an_image() -> None:
    memory = PhysicalMemory(PAGE)
    memory.allocate(0x1000, PAGE)
    memory.allocate(IMAGE_LIMIT + 0x1000, PAGE)
    with pytest.raises(ValueError, match=r"memory has table pages from 0x1000 to .* allowed are"):
        image_of(memory)


@pytest.mark.parametrize(
    ("image", "base", "vas", "named"),
    [
        (np.zeros(512, np.int64), 0, np.zeros(1, np.uint64), "image has type int64"),
        (np.zeros((1, 512), np.uint64), 0, np.zeros(1, np.uint64), "image has .* shape"),
        (np.zeros(512, np.uint64), 8, np.zeros(1, np.uint64), "base is 0x8"),
        (np.zeros(512, np.uint64), -PAGE, np.zeros(1, np.uint64), "base is -0x1000"),
        (np.zeros(512, np.uint64), 0, np.zeros(1, np.int64), "vas has type int64"),
        (np.zeros(512, np.uint64), 0, np.zeros((1, 1), np.uint64), "vas has .* shape"),
    ],
)
def test_bad_input_is_named(image: np.ndarray, base: int, vas: np.ndarray, named: str) -> None:
    with pytest.raises(ValueError, match=f"{named}.*; allowed are"):
        translate_many(image, base, TINY.geometry(18), 0, vas)
