"""DART: words and walks known from running Linux's encoder, and where it errs."""

import pytest

from reference.formats.access import (
    ACCESS_MASK,
    CACHE,
    CACHED,
    MEMORY_MASK,
    MMIO,
    NOEXEC,
    NON_CACHED,
    P_READ,
    P_WRITE,
    PARTIAL,
    PRIV,
    READ,
    U_READ,
    U_WRITE,
    UNSTATED,
    WRITE,
    access_letters,
    access_text,
)
from reference.formats.dart import DART1_4K, DART1_16K, DART2_16K
from reference.formats.entry import INVALID, LEAF, TABLE
from reference.formats.format import Format
from reference.words import to_signed

RW = READ | WRITE
BOTH_READ = U_READ | P_READ
BOTH_WRITE = U_WRITE | P_WRITE

DART1 = pytest.mark.parametrize("fmt", [DART1_16K, DART1_4K], ids=lambda fmt: fmt.name)
EVERY = pytest.mark.parametrize("fmt", [DART1_16K, DART1_4K, DART2_16K], ids=lambda f: f.name)


# -- the first format -----------------------------------------------------------------------


@DART1
@pytest.mark.parametrize(
    ("pa", "prot", "word"),
    [
        (0x9F0000000, RW, 0x000FFF09F0000003),
        (0x9F0004000, READ, 0x000FFF09F0004083),
        (0x9F0008000, WRITE, 0x000FFF09F0008103),
        (0x9F0000000, 0, 0x000FFF09F0000183),
        (0x9F0000000, RW | CACHE | NOEXEC | MMIO | PRIV, 0x000FFF09F0000003),
    ],
)
def test_leaves_of_the_first_format(fmt: Format, pa: int, prot: int, word: int) -> None:
    assert fmt.leaf(2, pa, prot) == word
    assert fmt.kind(2, word) == LEAF
    assert fmt.output(2, word) == pa


def test_walk_of_the_first_format_with_16k_pages() -> None:
    geometry = DART1_16K.geometry(32)
    assert (geometry.start_level, geometry.root_entries) == (0, 1)
    assert [geometry.index(level, 0xC2344000) for level in range(3)] == [0, 0x61, 0xD1]
    assert DART1_16K.table(1, 0x800404000) == 0x800404001
    assert DART1_16K.next_table(1, 0x800404001) == 0x800404000
    assert DART1_16K.table(0, 0x800400000) == 0x80800400


def test_walk_of_the_first_format_with_4k_pages() -> None:
    geometry = DART1_4K.geometry(32)
    assert (geometry.start_level, geometry.root_entries) == (0, 4)
    assert [geometry.index(level, 0xC2345000) for level in range(3)] == [3, 0x11, 0x145]
    assert DART1_4K.next_table(0, DART1_4K.table(0, 0x800400000 + 0x3000)) == 0x800403000
    assert DART1_4K.leaf(2, 0x9F0000000, RW) == 0x000FFF09F0000003


@DART1
@pytest.mark.parametrize("prot", range(64))
def test_promises_of_the_first_format(fmt: Format, prot: int) -> None:
    expected = UNSTATED
    expected |= BOTH_READ if prot & READ else 0
    expected |= BOTH_WRITE if prot & WRITE else 0
    assert fmt.promised(prot) == expected


@DART1
def test_part_of_page_of_the_first_format(fmt: Format) -> None:
    """Start and end count only while bit 1 is clear."""
    whole = BOTH_READ | BOTH_WRITE | UNSTATED
    for start, end, expected in (
        (0, 0xFFF, whole),
        (0, 0xFFE, whole | PARTIAL),
        (1, 0xFFF, whole | PARTIAL),
        (7, 7, whole | PARTIAL),
        (8, 7, UNSTATED),
    ):
        word = to_signed(start << 52 | end << 40 | 1)
        assert fmt.meaning(2, word) == expected
        assert fmt.meaning(2, word | 2) == whole


# -- the second format ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pa", "prot", "word"),
    [
        (0x109F0000000, RW, 0x000FFF109F000003),
        (0x109F0004000, READ, 0x000FFF109F000407),
        (0x109F0008000, WRITE, 0x000FFF109F00080B),
        (0x109F0000000, RW | NOEXEC | MMIO | PRIV, 0x000FFF109F000003),
    ],
)
def test_leaves_of_the_second_format(pa: int, prot: int, word: int) -> None:
    assert DART2_16K.leaf(2, pa, prot) == word
    assert DART2_16K.leaf(2, pa, prot | CACHE) == word & ~2
    assert DART2_16K.output(2, word) == pa


def test_bit_1_of_the_second_format_is_no_cache() -> None:
    """The word that Linux 6.1 and 6.12 write for a cacheable page is not a cacheable page."""
    linux = 0x000FFF109F000003
    assert DART2_16K.promised(RW | CACHE) & MEMORY_MASK == CACHED
    assert DART2_16K.meaning(2, linux) & MEMORY_MASK == NON_CACHED
    assert DART2_16K.meaning(2, linux) != DART2_16K.promised(RW | CACHE)
    assert DART2_16K.meaning(2, linux) == DART2_16K.promised(RW)
    assert DART2_16K.meaning(2, linux & ~2) == DART2_16K.promised(RW | CACHE)
    assert not DART2_16K.same(2, linux, linux & ~2)


def test_part_of_page_of_the_second_format_always_counts() -> None:
    whole = BOTH_READ | BOTH_WRITE
    for bit_1, memory in ((0, CACHED), (2, NON_CACHED)):
        for start, end, expected in (
            (0, 0xFFF, whole),
            (0, 0x7FF, whole | PARTIAL),
            (0x800, 0xFFF, whole | PARTIAL),
            (1, 0, 0),
        ):
            word = to_signed(start << 52 | end << 40 | bit_1 | 1)
            assert DART2_16K.meaning(2, word) == expected | memory


def test_walk_of_the_second_format() -> None:
    assert DART2_16K.table(1, 0x800404000) == 0x0000000080040401 == 0x80040401
    assert DART2_16K.next_table(1, 0x80040401) == 0x800404000
    geometry = DART2_16K.geometry(32)
    assert [geometry.index(level, 0xC2344000) for level in range(3)] == [0, 0x61, 0xD1]


def test_the_second_format_cannot_place_a_4k_page() -> None:
    for pa in (0x1000, 0x2000, 0x3000):
        with pytest.raises(ValueError, match="pa is"):
            DART2_16K.leaf(2, pa, RW)


@pytest.mark.parametrize("prot", range(64))
def test_promises_of_the_second_format(prot: int) -> None:
    promise = DART2_16K.promised(prot)
    assert promise & MEMORY_MASK == (CACHED if prot & CACHE else NON_CACHED)
    assert promise & ACCESS_MASK == (BOTH_READ if prot & READ else 0) | (
        BOTH_WRITE if prot & WRITE else 0
    )


# -- both -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fmt", "ias", "roots"),
    [
        (DART1_16K, 32, 1),
        (DART1_16K, 36, 1),
        (DART1_4K, 30, 1),
        (DART1_4K, 31, 2),
        (DART1_4K, 32, 4),
        (DART2_16K, 32, 1),
        (DART2_16K, 36, 1),
        (DART2_16K, 37, 2),
        (DART2_16K, 38, 4),
    ],
)
def test_number_of_roots(fmt: Format, ias: int, roots: int) -> None:
    geometry = fmt.geometry(ias)
    assert (geometry.start_level, geometry.root_entries) == (0, roots)
    assert geometry.root_bytes == 8 * roots
    assert geometry.table_bytes(1) == fmt.granule


@pytest.mark.parametrize(("fmt", "ias"), [(DART1_16K, 39), (DART1_4K, 36), (DART2_16K, 39)])
def test_inputs_that_four_roots_do_not_reach_are_refused(fmt: Format, ias: int) -> None:
    with pytest.raises(ValueError, match=f"ias is {ias}"):
        fmt.geometry(ias)


def test_outputs_that_do_not_go_with_an_input() -> None:
    assert DART2_16K.oas_for(36) == (36, 42)
    assert DART2_16K.oas_for(38) == (42,)
    for ias, oas in ((38, 36), (32, 40)):
        with pytest.raises(ValueError, match=f"oas is {oas}"):
            DART2_16K.check(ias, oas, 0x4000)


def test_addresses_beyond_the_input_are_no_addresses() -> None:
    """Linux 6.1 and 6.12 let 0x1000004000 fall on the entry of 0x4000."""
    geometry = DART1_16K.geometry(32)
    assert not geometry.contains(0x1000004000)
    assert [geometry.index(level, 0x1000004000) for level in range(3)] == [
        geometry.index(level, 0x4000) for level in range(3)
    ]


@EVERY
def test_valid_is_one_bit(fmt: Format) -> None:
    assert [fmt.kind(2, word) for word in range(4)] == [INVALID, LEAF, INVALID, LEAF]
    assert [fmt.kind(1, word) for word in range(4)] == [INVALID, TABLE, INVALID, TABLE]
    assert fmt.kind(0, 0x80000000) == TABLE
    assert fmt.kind(0, 0x7FFFFFFF) == INVALID


@EVERY
def test_invalid_entries_are_cached(fmt: Format) -> None:
    assert fmt.caches_invalid


@EVERY
@pytest.mark.parametrize(
    ("pa", "register"), [(0x800400000, 0x80800400), (0x10000400000, 0x90000400)]
)
def test_root_registers(fmt: Format, pa: int, register: int) -> None:
    assert fmt.table(0, pa) == register
    assert fmt.next_table(0, register) == pa


def test_texts() -> None:
    assert access_text(DART1_16K.promised(RW | CACHE)) == "rw-"
    assert access_letters(DART1_16K.promised(READ)) == "r--."
    assert access_text(DART2_16K.promised(READ | CACHE)) == "r-- cached"
    assert access_letters(DART2_16K.promised(WRITE)) == "-w-n"
    assert DART1_16K.describe(2, 0x000FFF09F0004083) == "page pa=0x9f0004000 SP_DIS no-write"
    assert DART2_16K.describe(2, 0x000FFF109F00080B) == "page pa=0x109f0008000 no-cache no-read"
    assert DART2_16K.describe(2, 0x109F000001) == "page pa=0x109f0000000 end=0x0"
    assert DART1_16K.describe(0, 0x80800400) == "ttbr pa=0x800400000"
    assert DART1_16K.describe(1, 0x800404001) == "table pa=0x800404000"
