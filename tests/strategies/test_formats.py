"""Strategies for words, permissions and addresses: in range, held, and with the edges in."""

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from reference.formats import FORMATS
from reference.formats.access import PROT_COUNT, READ, WRITE
from reference.words import to_unsigned
from strategies.formats import (
    aligned_addresses,
    entry_words,
    formats,
    geometries,
    input_addresses,
    permissions,
    words,
)

FEW = settings(max_examples=50)
SOON = settings(max_examples=2000, database=None)
LEVELS = [(name, level) for name, fmt in FORMATS.items() for level in range(fmt.levels)]


@FEW
@given(st.data())
def test_layouts_are_the_formats_own(data):
    fmt = data.draw(formats())
    geometry = data.draw(geometries(fmt))
    assert geometry.format is fmt is FORMATS[fmt.name]
    assert geometry.limit in {1 << bits for bits in fmt.ias_choices}


@FEW
@given(permissions(), permissions(useful=True))
def test_permissions_are_in_range_and_useful_ones_let_somebody_in(one, useful):
    assert 0 <= one < PROT_COUNT
    assert useful & (READ | WRITE)


@FEW
@given(words())
def test_words_are_held(word):
    assert -(1 << 63) <= word < 1 << 63


@pytest.mark.parametrize("unsigned", [0, 1, 1 << 63, 2**64 - 1, 2**64 - 2])
def test_words_with_few_bits_set_or_clear_are_soon_found(unsigned):
    # A random word would be one of these hardly ever.
    found = find(words(), lambda word: to_unsigned(word) == unsigned, settings=SOON)
    assert to_unsigned(found) == unsigned


@pytest.mark.parametrize(("name", "level"), LEVELS)
def test_every_kind_of_entry_comes_up(name, level):
    fmt = FORMATS[name]
    for kind in fmt.tables[level].kinds:

        def is_one(word, kind=kind):
            return not (word ^ kind.match) & kind.mask

        assert -(1 << 63) <= find(entry_words(fmt, level), is_one, settings=SOON) < 1 << 63


@FEW
@given(st.integers(22, 48), st.integers(0, 21).map(lambda bit: 1 << bit), st.data())
def test_aligned_addresses_are_aligned_and_inside(bits, alignment, data):
    address = data.draw(aligned_addresses(bits, alignment))
    assert address % alignment == 0
    assert 0 <= address < 1 << bits


@pytest.mark.parametrize("wanted", [0, 0x1000, 2**48 - 0x1000, 2**47 - 0x1000])
def test_first_and_last_aligned_address_are_soon_found(wanted):
    addresses = aligned_addresses(48, 0x1000)
    assert find(addresses, lambda address: address == wanted, settings=SOON) == wanted


@FEW
@given(st.data())
def test_input_addresses_are_within_reach(data):
    geometry = data.draw(geometries(data.draw(formats())))
    assert 0 <= data.draw(input_addresses(geometry)) < geometry.limit
