"""The walker against the format's tables, read bit by bit."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.formats import FORMATS
from reference.formats.access import (
    P_EXEC,
    P_READ,
    P_WRITE,
    READ,
    U_EXEC,
    U_READ,
    U_WRITE,
    WRITE,
)
from reference.formats.entry import INVALID, LEAF, TABLE
from reference.formats.format import Format
from reference.formats.lpae import LPAE_S1
from reference.hardware.memory import POISON, PhysicalMemory
from reference.hardware.walker import NO_ROOT, Walker
from reference.words import to_signed
from strategies.hardware import TABLE_BASE, TINY, walked_addresses, wild_tables

PAGE = 0x1000
EVERY = [*(fmt for fmt in FORMATS.values() if fmt.plain), TINY]


def by_the_book(walker: Walker, va: int) -> tuple[list[tuple[int, int, int, int]], int, int]:
    """(steps, pa or -1, access bits denied), from the declared fields and nothing else."""
    geometry = walker.geometry
    fmt = geometry.format
    steps: list[tuple[int, int, int, int]] = []
    table, denied = int(walker.root), 0
    left = geometry.ias
    for level in range(int(geometry.start_level), fmt.levels):
        shift = int(fmt.shift(level))
        index = (va >> shift) & ((1 << (left - shift)) - 1) if left > shift else 0
        left = min(left, shift)
        page = walker.memory.pages.get(table)
        if page is None:
            return steps, -1, denied
        word = page.words[index]
        kind = fmt.kind_of(level, word)
        steps.append((level, table, index, word))
        if kind.role == LEAF:
            return steps, kind.output(word) + (va & ((1 << shift) - 1)), denied
        if kind.role == INVALID:
            return steps, -1, denied
        if fmt.permissions.denied_by is not None:
            denied |= fmt.permissions.denied_by(kind.values(word))
        table = kind.output(word)
    raise AssertionError("the last level has a table entry")


@pytest.mark.parametrize("fmt", EVERY, ids=lambda fmt: fmt.name)
@given(st.data())
@settings(max_examples=40)
def test_walks_by_the_book(fmt: Format, data: st.DataObject) -> None:
    geometry = fmt.geometry(data.draw(st.sampled_from(fmt.ias_choices)))
    memory, root = data.draw(wild_tables(geometry))
    walker = Walker(memory, geometry)
    walker.root = root
    for va in data.draw(st.lists(walked_addresses(geometry), min_size=1, max_size=20)):
        held = to_signed(va)
        walk = walker.walk(held)
        level, word = walker.translate(held)
        if va >= 1 << geometry.ias:
            assert (walk.pa, walk.steps, level, word) == (-1, [], -1, 0)
            assert f"beyond the {geometry.ias} input bits" in walk.fault
            continue
        steps, pa, denied = by_the_book(walker, va)
        assert [(one.level, one.table, one.index, one.word) for one in walk.steps] == steps
        assert [one.kind for one in walk.steps[:-1]] == [TABLE] * (len(steps) - 1)
        assert walk.pa == pa
        assert (walk.fault == "") == (pa >= 0)
        assert walker.denied == denied
        if len(steps) == 0 or fmt.kind(steps[-1][0], steps[-1][3]) == TABLE:
            # The table to go on in is not there.
            assert (level, word) == (geometry.start_level + len(steps), POISON)
            assert "is not allocated" in walk.fault
        else:
            assert (level, word) == (steps[-1][0], steps[-1][3])


def chain(root_bits: int = 0, upper_bits: int = 0) -> tuple[Walker, PhysicalMemory]:
    """Level 1, 2 and 3 of stage 1 with one page at 0; tables with more bits set."""
    memory = PhysicalMemory(PAGE)
    root, upper, lower = (memory.allocate(TABLE_BASE + PAGE * n, PAGE) for n in range(3))
    for page in (root, upper, lower):
        page.fill(0)
    root.set(0, LPAE_S1.table(1, upper.pa) | to_signed(root_bits))
    upper.set(0, LPAE_S1.table(2, lower.pa) | to_signed(upper_bits))
    lower.set(0, LPAE_S1.leaf(3, 0x7000, READ | WRITE))
    walker = Walker(memory, LPAE_S1.geometry(39))
    walker.root = root.pa
    return walker, memory


def test_a_fault_names_the_level_and_the_entry() -> None:
    walker, memory = chain()
    assert walker.walk(0).fault == ""
    assert walker.walk(0x123).pa == 0x7123
    cases = {
        1 << 30: "translation fault, level 1: invalid",
        1 << 21: "translation fault, level 2: invalid",
        PAGE: "translation fault, level 3: invalid",
    }
    for va, fault in cases.items():
        walk = walker.walk(va)
        assert (walk.pa, walk.fault) == (-1, fault)
    memory.pages[TABLE_BASE + 2 * PAGE].set(1, 0xABCD_0001)
    assert walker.walk(PAGE).fault.startswith("translation fault, level 3: reserved")
    assert "0x2af34000" in walker.walk(PAGE).fault


def test_a_fault_names_the_table_that_is_not_there() -> None:
    walker, memory = chain()
    memory.free(TABLE_BASE + 2 * PAGE)
    walk = walker.walk(0)
    assert walk.fault == f"level 3: the table at {TABLE_BASE + 2 * PAGE:#x} is not allocated"
    assert [step.level for step in walk.steps] == [1, 2]
    assert walker.translate(0) == (3, POISON)


def test_a_table_that_is_too_short() -> None:
    walker, memory = chain()
    memory.allocate(TABLE_BASE + 2 * PAGE, 64).fill(LPAE_S1.leaf(3, 0, READ))
    assert walker.walk(7 * PAGE).fault == ""
    walk = walker.walk(8 * PAGE)
    assert walk.fault == f"level 3: the table at {TABLE_BASE + 2 * PAGE:#x} ends before entry 8"
    assert [step.level for step in walk.steps] == [1, 2]
    assert walker.translate(8 * PAGE) == (3, POISON)


def test_a_fault_says_that_there_is_no_root() -> None:
    walker, _ = chain()
    walker.root = NO_ROOT
    assert walker.walk(0).fault == "no root is attached"
    assert walker.translate(0) == (-1, 0)


@pytest.mark.parametrize("va", [1 << 39, (1 << 39) + 0x5000, -1, -(1 << 39), -(1 << 63)])
def test_addresses_beyond_the_input_size_do_not_alias(va: int) -> None:
    walker, _ = chain()
    assert walker.translate(va) == (-1, 0)
    assert walker.walk(va).fault == "the address is beyond the 39 input bits"
    assert walker.walk(va).pa == -1


def test_a_root_of_few_entries() -> None:
    memory = PhysicalMemory(PAGE)
    root = memory.allocate(TABLE_BASE, PAGE)
    root.fill(0)
    geometry = LPAE_S1.geometry(40)
    assert geometry.root_entries == 2
    for index in range(512):
        root.set(index, LPAE_S1.table(0, TABLE_BASE + PAGE * (index + 1)))
    walker = Walker(memory, geometry)
    walker.root = root.pa
    for va, index in ((0, 0), ((1 << 39) - 1, 0), (1 << 39, 1), ((1 << 40) - 1, 1)):
        assert [step.index for step in walker.walk(va).steps] == [index]
    assert walker.walk(1 << 40).steps == []


ALL_WRITES, ALL_USER = U_WRITE | P_WRITE, U_READ | U_WRITE


@pytest.mark.parametrize(
    ("root_bits", "upper_bits", "denied"),
    [
        (0, 0, 0),
        (1 << 61, 0, ALL_USER),
        (1 << 62, 0, ALL_WRITES),
        (3 << 61, 0, ALL_USER | ALL_WRITES),
        (1 << 60, 0, U_EXEC),
        (1 << 59, 0, P_EXEC),
        (0, 1 << 61, ALL_USER),
        (1 << 61, 1 << 62, ALL_USER | ALL_WRITES),
        (1 << 60, 1 << 59, U_EXEC | P_EXEC),
        (1 << 63, 1 << 55, 0),
    ],
)
def test_hierarchical_bits_deny_what_lies_below(
    root_bits: int, upper_bits: int, denied: int
) -> None:
    walker, _ = chain(root_bits, upper_bits)
    level, word = walker.translate(0)
    assert walker.denied == denied
    granted = LPAE_S1.meaning(level, word) & ~walker.denied & 0x3F
    everything = U_READ | U_WRITE | U_EXEC | P_READ | P_WRITE
    assert granted == everything & ~denied


def test_what_was_denied_on_another_walk_is_forgotten() -> None:
    walker, memory = chain(root_bits=1 << 62)
    walker.translate(0)
    assert walker.denied == ALL_WRITES
    memory.pages[TABLE_BASE].set(1, LPAE_S1.leaf(1, 1 << 30, READ | WRITE))
    walker.translate(1 << 30)
    assert walker.denied == 0
