"""Addresses at the edges that matter: 0, the last page, ends of tables, both sides of each."""

from collections.abc import Sequence
from functools import lru_cache


@lru_cache(maxsize=256)
def edges(bits: int, spans: Sequence[int]) -> tuple[int, ...]:
    """Page addresses around the boundaries of an address space, ascending, without doubles.

    Args:
        bits: the size of the space; every address is below 2**bits.
        spans: page sizes in bytes, ascending, smallest first; the boundaries are where
            entries of the larger sizes meet, at the bottom and at the top of the space.
    """
    page = spans[0]
    top = 1 << bits
    boundaries = {0, top}
    for span in spans[1:]:
        boundaries |= {span, 2 * span, top - span}
        for larger in spans[1:]:
            if larger > span:
                boundaries.add(larger + span)
    found = {
        boundary + distance * page
        for boundary in boundaries
        for distance in (-2, -1, 0, 1, 5)
        if 0 <= boundary + distance * page < top
    }
    return tuple(sorted(found))


@lru_cache(maxsize=256)
def beyond(bits: int, page: int) -> tuple[int, ...]:
    """Page addresses outside a space of 2**bits bytes, held (see ``reference.words``)."""
    top = 1 << bits
    return (top, top + page, top + (top >> 1), -(1 << 63), -page)
