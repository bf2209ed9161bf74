"""Numbers in order: the same as a sorted list, whatever came and went."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.sorted_keys import HALF_CHUNK, SortedKeys

KEYS = st.integers(0, 2000)
CHANGES = st.lists(st.tuples(st.booleans(), KEYS), max_size=200)


def filled(keys):
    made = SortedKeys()
    for key in keys:
        made.add(key)
    return made


def changed(changes):
    """The numbers after some came and went, and the same as a list."""
    made, plain = filled(range(0, 2000, 3)), set(range(0, 2000, 3))
    for comes, key in changes:
        if comes and key not in plain:
            made.add(key)
            plain.add(key)
        elif not comes and key in plain:
            made.remove(key)
            plain.discard(key)
    return made, sorted(plain)


@given(CHANGES)
def test_they_are_those_that_came_and_did_not_go(changes):
    made, plain = changed(changes)
    assert made.between(0, 1 << 64) == plain
    assert len(made) == len(plain)
    assert [made.nth(number) for number in range(0, len(plain), 50)] == plain[::50]


@given(CHANGES, st.integers(0, 2100), st.integers(0, 2100))
def test_what_lies_where_is_found(changes, first, last):
    made, plain = changed(changes)
    assert made.between(first, last) == [key for key in plain if first <= key <= last]
    assert made.at_or_before(first) == max((key for key in plain if key <= first), default=-1)
    assert made.at_or_after(first) == min((key for key in plain if key >= first), default=-1)


def test_no_chunk_is_empty_or_larger_than_it_may_be():
    made = filled(range(5 * HALF_CHUNK))
    for key in range(HALF_CHUNK, 3 * HALF_CHUNK):
        made.remove(key)
    assert all(0 < len(chunk) <= 2 * HALF_CHUNK for chunk in made.chunks)
    assert made.tops == [chunk[-1] for chunk in made.chunks]
    assert len(made.chunks) > 1


def test_the_last_one_leaves_nothing():
    made = filled([7])
    made.remove(7)
    assert (len(made), made.at_or_before(9), made.at_or_after(0), made.between(0, 9)) == (
        0, -1, -1, [],
    )  # fmt: skip


def test_one_more_than_there_are_is_refused():
    with pytest.raises(IndexError, match="number is 3; allowed are 0 to 2"):
        filled([1, 2, 3]).nth(3)


def test_clear_takes_all_out():
    made = filled(range(10))
    made.clear()
    assert made.between(0, 100) == []
    made.add(4)
    assert made.at_or_after(0) == 4
