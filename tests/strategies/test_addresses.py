"""Addresses at the edges: all below the limit, and both sides of every boundary."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.formats import FORMATS
from reference.words import to_unsigned
from strategies.addresses import beyond, edges

K4, M2, G1 = 0x1000, 0x20_0000, 0x4000_0000


@st.composite
def spaces(draw):
    """(bits, page sizes) as a table may be configured."""
    fmt = draw(st.sampled_from(list(FORMATS.values())))
    sizes = draw(st.sets(st.sampled_from(fmt.page_sizes[1:]))) if fmt.page_sizes[1:] else set()
    return draw(st.sampled_from(fmt.ias_choices)), (fmt.page_sizes[0], *sorted(sizes))


@given(spaces())
def test_edges_are_pages_of_the_space_in_order_and_once(space):
    bits, sizes = space
    found = edges(bits, sizes)
    assert list(found) == sorted(set(found))
    assert all(0 <= address < 1 << bits and address % sizes[0] == 0 for address in found)
    assert found[0] == 0
    assert found[-1] == (1 << bits) - sizes[0]


@given(spaces())
def test_both_sides_of_each_boundary_between_entries_are_there(space):
    bits, sizes = space
    found = set(edges(bits, sizes))
    page, top = sizes[0], 1 << bits
    for span in sizes[1:]:
        for boundary in (span, 2 * span, top - span):
            if 0 < boundary < top:
                assert {boundary - page, boundary} <= found, hex(boundary)


def test_edges_of_a_small_space_by_hand():
    assert edges(14, (K4,)) == (0, 0x1000, 0x2000, 0x3000)
    found = edges(32, (K4, M2, G1))
    for address in (0, K4, 5 * K4, M2 - K4, M2, G1 - K4, G1, G1 + M2, 2 * G1, 2**32 - K4):
        assert address in found, hex(address)


@pytest.mark.parametrize("bits", [32, 33, 39, 48])
@pytest.mark.parametrize("page", [K4, 4 * K4])
def test_what_is_beyond_is_outside_on_a_page_and_starts_right_behind(bits, page):
    found = [to_unsigned(address) for address in beyond(bits, page)]
    assert all((1 << bits) <= address < 1 << 64 for address in found)
    assert all(address % page == 0 for address in found)
    assert found[0] == 1 << bits
    assert max(found) == (1 << 64) - page
    assert len(set(found)) == len(found)
