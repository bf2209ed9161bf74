"""Table memory: pages, what is in them, and how much of it was ever written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.formats import FORMATS
from reference.formats.entry import INVALID, LEAF
from reference.hardware.memory import POISON, Path, PhysicalMemory, TablePage
from reference.words import to_unsigned
from strategies.formats import words

PAGE = 0x1000


def test_a_new_page_holds_poison() -> None:
    page = TablePage(0x8000, 16)
    assert page.words == [POISON] * 16
    assert (page.unwritten, page.nonzero) == (16, 0)
    assert to_unsigned(POISON) == 0x5A5A_5A5A_5A5A_5A5A


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=lambda fmt: fmt.name)
def test_poison_is_no_valid_entry(fmt) -> None:
    for level in range(fmt.levels):
        # Entries of two halves always say something; the device's model looks at it by itself.
        assert fmt.kind(level, POISON) == INVALID or not fmt.plain
        assert fmt.kind(level, POISON) != LEAF


changes = st.one_of(
    st.tuples(st.integers(0, 7), st.just(0) | words().filter(lambda word: word != POISON)),
    st.just(0) | words().filter(lambda word: word != POISON),
)


@given(st.lists(changes, max_size=30))
def test_counts_are_those_of_the_words(drawn: list) -> None:
    page = TablePage(0x8000, 8)
    expected = [POISON] * 8
    for change in drawn:
        if isinstance(change, tuple):
            index, word = change
            assert page.set(index, word) == expected[index]
            expected[index] = word
        else:
            page.fill(change)
            expected = [change] * 8
        assert page.words == expected
        assert page.unwritten == expected.count(POISON)
        assert page.nonzero == sum(word not in (0, POISON) for word in expected)


def test_a_page_is_live_by_a_path_that_memory_holds() -> None:
    page = TablePage(0x8000, 8)
    assert not page.is_live()
    page.paths.append(Path(2, 0, 5))
    assert not page.is_live()
    page.paths.append(Path(2, 0x20_0000, -1))
    assert page.is_live()


def test_words_are_read_where_they_were_written() -> None:
    memory = PhysicalMemory(PAGE)
    page = memory.allocate(0x5000, PAGE)
    assert len(page.words) == 512
    page.set(511, -7)
    assert memory.read(0x5FF8) == -7
    assert memory.read(0x5FFF) == -7
    assert memory.read(0x5FF0) == POISON
    assert memory.page_of(0x5000) is page
    assert memory.page_of(0x5FFF) is page
    assert memory.page_of(0x6000) is None
    assert memory.page_of(0x4FFF) is None


def test_nothing_is_read_where_nothing_is() -> None:
    memory = PhysicalMemory(PAGE)
    memory.allocate(0x5000, 64).fill(3)
    assert memory.read(0x5000 + 56) == 3
    assert memory.read(0x5000 + 64) == POISON
    assert memory.read(0x6000) == POISON


def test_what_was_freed_is_known_until_it_is_allocated_again() -> None:
    memory = PhysicalMemory(PAGE)
    assert not memory.was_freed(0x5000)
    page = memory.allocate(0x5000, PAGE)
    page.fill(3)
    assert not memory.was_freed(0x5123)
    assert memory.free(0x5000) is page
    assert memory.was_freed(0x5123)
    assert not memory.was_freed(0x6000)
    assert memory.read(0x5000) == POISON
    assert memory.free(0x5000) is None
    again = memory.allocate(0x5000, PAGE)
    assert not memory.was_freed(0x5123)
    assert again.words[0] == POISON


@pytest.mark.parametrize("granule", [0, 4, 24, 0x1001, -8])
def test_a_granule_is_a_power_of_two(granule: int) -> None:
    with pytest.raises(ValueError, match=f"granule is {granule}; allowed are powers of two"):
        PhysicalMemory(granule)
