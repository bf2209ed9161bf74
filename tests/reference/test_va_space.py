"""The promise of an allocator: what lies between ranges, what has room, what has to be listed."""

import itertools

import pytest

from reference.systems.va_alloc.promise import HOLE, LISTED, RANGE, Range, VaSpace
from reference.trace import WARN, Trace

ALL = 1 << 64


def space(*ranges, start=0, size=64):
    made = VaSpace()
    made.create(start, size)
    for first, last in ranges:
        made.add(first, last)
    return made


def told(ranges):
    return [(one.first, one.last, one.number) for one in ranges]


def test_holes_lie_between():
    assert told(space().holes()) == [(0, 63, HOLE)]
    made = space((0, 3), (10, 19), (60, 63))
    assert told(made.holes()) == [(4, 9, HOLE), (20, 59, HOLE)]
    made.remove(0)
    assert told(made.holes()) == [(0, 9, HOLE), (20, 59, HOLE)]
    assert told(space((0, 63)).holes()) == []
    made.clear()
    assert not made.exists
    assert not made.ranges


def test_the_first_range_that_is_met():
    made = space((4, 7), (10, 19))
    for first, last, number in [
        (0, 3, None), (0, 4, 0), (7, 7, 0), (8, 9, None), (8, 63, 1), (19, 63, 1), (20, 63, None),
    ]:  # fmt: skip
        found = made.first_in(first, last)
        assert (found.number if found is not None else None) == number
    assert made.inside(0, 63)
    assert not made.inside(0, 64)


@pytest.mark.parametrize(
    ("wish", "found"),
    [
        # Holes: 0..3, 8..9, 20..63.
        ((1, 0, 0, ALL - 1), [(4, 4, 0, 3), (2, 2, 8, 9), (44, 44, 20, 63)]),
        ((3, 0, 0, ALL - 1), [(4, 4, 0, 1), (44, 44, 20, 61)]),
        ((2, 7, 0, ALL - 1), [(4, 4, 0, 0), (44, 44, 21, 56)]),
        ((2, 7, 1, 21), []),
        ((2, 7, 1, 28), [(44, 9, 21, 21)]),
        ((2, 0, 3, 8), []),
        ((2, 0, 2, 30), [(4, 2, 2, 2), (2, 2, 8, 8), (44, 11, 20, 29)]),
        ((44, 0, 0, 63), [(44, 44, 20, 20)]),
        ((44, 0, 0, 62), []),
        ((0, 0, 0, ALL - 1), []),
    ],
)
def test_what_has_room(wish, found):
    rooms = space((4, 7), (10, 19)).rooms(*wish)
    assert [(one.size, one.usable, one.lowest, one.highest) for one in rooms] == found


@pytest.mark.parametrize(
    ("first", "last", "numbers"),
    [
        (0, 0, [HOLE, 0]),
        (4, 7, [HOLE, 0, HOLE, 1]),
        (8, 9, [0, HOLE, 1]),
        (10, 19, [0, HOLE, 1, 2]),
        (20, 25, [1, 2, HOLE]),
        (30, 90, [2, HOLE]),
        (70, 90, [2, HOLE]),
        (0, 63, [HOLE, 0, HOLE, 1, 2, HOLE]),
    ],
)
def test_what_is_listed(first, last, numbers):
    listed = space((4, 7), (10, 19), (20, 25)).around(first, last)
    assert [one.number for one in listed] == numbers
    assert all(one.last + 1 == other.first for one, other in itertools.pairwise(listed))


def test_a_list_ends():
    made = space(*[(2 * number, 2 * number) for number in range(32)])
    listed = made.around(6, 63)
    assert listed[0].number == 2
    assert sum(one.number != HOLE for one in listed) == LISTED + 1
    assert listed[-1].number == 2 + LISTED


def test_events_are_taken():
    trace = Trace()
    trace.emit(RANGE, 0, 3, 5)
    trace.emit(WARN)
    trace.emit(RANGE, -4, -1, -1)
    made = space()
    seen = made.feed(trace.words, 0)
    assert told(seen.listed) == [(0, 3, 5), (ALL - 4, ALL - 1, HOLE)]
    assert seen.warned == 1
    assert made.listed == seen.listed
    assert made.feed(trace.words, 3).listed == []
    assert made.listed == seen.listed
    assert Range(0, 3, 5).same(seen.listed[0])
    assert not Range(0, 3, 4).same(seen.listed[0])
