"""The allocator of addresses: vectors, and random calls against a list of single pages."""

import errno
import random
import time
from itertools import pairwise

import pytest

from reference.drivers.budget import StepsExceeded
from reference.systems.va_alloc.driver import (
    ALL,
    BEST,
    HIGH,
    LOW,
    HoleList,
    VaAllocator,
)

NO_ROOM = -errno.ENOSPC
LAST = ALL - 1


def taken(allocator):
    """(first, end, number) of what was given out, ascending."""
    return sorted((one.first, one.end, one.number) for one in allocator.nodes.values())


def holes(allocator):
    found = [(one.first, one.end) for chunk in allocator.holes.chunks for one in chunk]
    assert all(chunk for chunk in allocator.holes.chunks)
    assert [max(one.size() for one in chunk) for chunk in allocator.holes.chunks] == list(
        allocator.holes.largest
    )
    sizes = [key for chunk in allocator.sizes.chunks for key in chunk]
    assert sizes == sorted((end - first) << 64 | first for first, end in found)
    return found


def with_holes(*sizes):
    """An allocator with holes of these sizes from 0 on, a range of one byte behind each."""
    allocator = VaAllocator(0, sum(sizes) + len(sizes))
    at = 0
    for size in sizes:
        assert allocator.reserve(at + size, 1) == 0
        at += size + 1
    return allocator


# -- vectors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "size", "align", "first", "last", "address"),
    [
        # Holes: 0..3, 5..14, 16..21, 23..24.
        (BEST, 2, 0, 0, LAST, 23),
        (BEST, 3, 0, 0, LAST, 0),
        (BEST, 5, 0, 0, LAST, 16),
        (BEST, 7, 0, 0, LAST, 5),
        (BEST, 11, 0, 0, LAST, None),
        (BEST, 2, 4, 0, LAST, 0),
        (BEST, 2, 7, 0, LAST, 0),
        (BEST, 2, 7, 1, LAST, 7),
        (BEST, 1, 25, 1, LAST, None),
        (BEST, 2, 0, 1, 22, 1),
        (BEST, 2, 0, 3, 16, 5),
        (BEST, 2, 0, 14, 17, 16),
        (BEST, 3, 0, 14, 17, None),
        (LOW, 2, 0, 0, LAST, 0),
        (LOW, 5, 0, 0, LAST, 5),
        (LOW, 2, 0, 3, LAST, 5),
        (LOW, 2, 8, 1, LAST, 8),
        (LOW, 2, 0, 13, LAST, 13),
        (LOW, 2, 0, 14, LAST, 16),
        (LOW, 2, 0, 14, 16, None),
        (LOW, 4, 0, 0, 3, 0),
        (LOW, 4, 0, 0, 2, None),
        (HIGH, 2, 0, 0, LAST, 23),
        (HIGH, 1, 0, 0, LAST, 24),
        (HIGH, 3, 0, 0, LAST, 19),
        (HIGH, 3, 8, 0, LAST, 16),
        (HIGH, 3, 9, 0, LAST, 18),
        (HIGH, 2, 0, 0, 23, 20),
        (HIGH, 2, 0, 0, 16, 13),
        (HIGH, 2, 0, 14, 16, None),
        (HIGH, 10, 0, 5, 14, 5),
        (HIGH, 10, 0, 6, 14, None),
        (HIGH, 1, 0, 4, 4, None),
        (HIGH, 1, 7, 15, 20, None),
        (BEST, 0, 0, 0, LAST, None),
    ],
)
def test_where_a_request_goes(mode, size, align, first, last, address):
    allocator = with_holes(4, 10, 6, 2)
    before = holes(allocator)
    result, given = allocator.alloc(size, align, mode, first, last)
    if address is None:
        assert (result, given) == (NO_ROOM, 0)
        assert holes(allocator) == before
        assert len(allocator.nodes) == 4
    else:
        assert (result, given) == (0, address)
        assert (address, address + size, 4) in taken(allocator)


@pytest.mark.parametrize(
    ("address", "size"), [(4, 1), (3, 2), (0, 5), (4, 2), (25, 2), (26, 1), (0, 0), (5, LAST)]
)  # fmt: skip
def test_what_cannot_be_reserved(address, size):
    allocator = with_holes(4, 10, 6, 2)
    before = holes(allocator), taken(allocator)
    assert allocator.reserve(address, size) == NO_ROOM
    assert (holes(allocator), taken(allocator)) == before


def test_what_comes_back_joins_its_neighbours():
    allocator = with_holes(4, 10, 6)
    assert allocator.free(1) == 0
    assert holes(allocator) == [(0, 4), (5, 22)]
    assert allocator.free(1) == allocator.free(3) == -errno.EINVAL
    assert allocator.free(2) == 0
    assert allocator.free(0) == 0
    assert holes(allocator) == [(0, 23)]


def test_holes_are_joined_in_whatever_order_ranges_come_back():
    allocator = VaAllocator(0, 16)
    for at in range(16):
        assert allocator.alloc(1, 1, BEST, 0, LAST) == (0, at)
    assert holes(allocator) == []
    order = list(range(16))
    random.Random(0).shuffle(order)
    for at in order:
        assert allocator.free_at(at) == 0
        assert allocator.free_at(at) == -errno.EINVAL
        found = holes(allocator)
        assert found == sorted(found)
        assert all(one[1] < other[0] for one, other in pairwise(found))
    assert holes(allocator) == [(0, 16)]


def test_all_comes_back_in_the_end():
    allocator = with_holes(4, 10, 6)
    allocator.destroy()
    assert taken(allocator) == []
    assert holes(allocator) == [(0, 23)]


def test_find():
    allocator = with_holes(4, 10, 6)
    for first, last, found in [
        (0, LAST, 4), (0, 3, None), (0, 4, 4), (4, 4, 4), (5, LAST, 15), (5, 14, None),
        (23, LAST, None),
    ]:  # fmt: skip
        node = allocator.find(first, last)
        assert (node.first if node is not None else None) == found


def test_the_last_addresses_there_are():
    allocator = VaAllocator(ALL - 8, 7)
    assert allocator.alloc(7, 0, BEST, 0, LAST) == (0, ALL - 8)
    assert allocator.free(0) == 0
    assert allocator.alloc(1, 0, HIGH, 0, LAST) == (0, ALL - 2)
    assert allocator.reserve(ALL - 2, 3) == NO_ROOM


def test_a_loop_ends():
    allocator = VaAllocator(0, 64)
    allocator.holes.budget = 0
    with pytest.raises(StepsExceeded):
        allocator.alloc(1, 0, LOW, 0, LAST)
    assert HoleList().at(0) is None


# -- against pages ----------------------------------------------------------------------------


def rooms(owner, size, align, first, last):
    """Every address at which a request has room."""
    return [
        at
        for at in range(max(first, 0), min(last + 1, len(owner)) - size + 1)
        if at % max(align, 1) == 0 and not any(owner[at : at + size])
    ]


def hole_size(owner, at):
    low = high = at
    while low > 0 and not owner[low - 1]:
        low -= 1
    while high < len(owner) and not owner[high]:
        high += 1
    return high - low


@pytest.mark.parametrize("seed", range(60))
def test_against_a_list_of_addresses(seed):
    draw = random.Random(seed)
    owner = [None] * 80
    allocator = VaAllocator(0, 80)
    made = {}
    for _ in range(150):
        what = draw.randrange(5)
        if what < 2:
            size, align = draw.randrange(1, 9), draw.choice([0, 0, 1, 2, 3, 4, 5, 8])
            first = draw.choice([0, 0, draw.randrange(80)])
            last = draw.choice([LAST, draw.randrange(first, 90)])
            mode = draw.choice([BEST, LOW, HIGH])
            possible = rooms(owner, size, align, first, last)
            result, at = allocator.alloc(size, align, mode, first, last)
            if not possible:
                assert result == NO_ROOM
                continue
            if mode == BEST:
                smallest = min(hole_size(owner, one) for one in possible)
                possible = [one for one in possible if hole_size(owner, one) == smallest]
            assert (result, at) == (0, possible[-1] if mode == HIGH else possible[0])
        elif what < 3:
            at, size = draw.randrange(82), draw.randrange(6)
            free = size > 0 and at + size <= 80 and not any(owner[at : at + size])
            assert allocator.reserve(at, size) == (0 if free else NO_ROOM)
            if not free:
                continue
        else:
            number = draw.randrange(allocator.next_number + 1)
            assert allocator.free(number) == (0 if number in made else -errno.EINVAL)
            if number in made:
                first, end = made.pop(number)
                owner[first:end] = [None] * (end - first)
            continue
        made[allocator.next_number - 1] = (at, at + size)
        owner[at : at + size] = [object()] * size
        assert taken(allocator) == sorted((*ends, number) for number, ends in made.items())
        lengths = sum(end - first for first, end in holes(allocator))
        assert lengths == owner.count(None)


def test_a_hundred_thousand_holes_cost_little():
    count = 100_000
    allocator = VaAllocator(0, 1 << 60)
    allocator.holes.budget = 1 << 40
    for number in range(count):
        assert allocator.reserve(number * 0x2000, 0x1000) == 0
    started = time.process_time()
    for _ in range(100):
        for mode in (BEST, LOW, HIGH):
            assert allocator.alloc(0x2000, 0x1000, mode, 0, LAST)[0] == 0
            assert allocator.free(allocator.next_number - 1) == 0
    # Half a millisecond for each, and room for slow machines.
    assert time.process_time() - started < 10
