"""Regions byte for byte, operands of invalidations, slots: formats.md A.3 to A.6."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.systems.uat import device as d
from reference.systems.uat import driver

KERNEL = d.KERNEL_FIRST


def test_the_handoff_region_byte_for_byte():
    words = {d.MAGIC_AP: d.MAGIC, d.LOCK_AP: 1, d.LOCK_FW: 2, d.TURN: 3, d.CUR_SLOT: 0xFFFF_FFFF}
    words |= {d.flush_state(64): 1, d.flush_address(0): 0x1234, d.flush_size(1): 0x4000}
    words |= {d.UNK2: 9, d.UNK3: 7}
    region = d.image(words)
    assert len(region) == 0x648
    assert region[:8] == bytes.fromhex("020000000000 1d4b".replace(" ", ""))
    assert region[0x10:0x12] == b"\x01\x02"
    assert region[0x14:0x1C] == b"\x03\0\0\0\xff\xff\xff\xff"
    assert region[0x28:0x2A] == b"\x34\x12"
    assert region[0x20 + 0x18 + 0x10 :][:2] == b"\x00\x40"
    assert d.flush_state(64) - d.HANDOFF == 0x620
    assert region[0x620] == 1
    assert (region[0x638], region[0x640]) == (9, 7)


def test_names_of_fields():
    names = [d.field_name(one) for one in (d.LOCK_AP, d.flush_size(3), d.ttb1(63), 0x123)]
    assert names == ["lock_ap", "flush[3].size", "ttbs[63].ttb1", "0x123"]


def test_roots():
    assert d.ttb_of(0x8_0100_0000, 1) == 0x0001_0008_0100_0001
    assert d.ttb_of(0x8_0100_0000, 63) == 0x003F_0008_0100_0001
    assert d.ttb0(63) - d.TTBS == 0x3F0
    assert d.TTBS_SIZE == 0x400


VECTORS = [
    (1, 0x15_0000_8000, 0x4000, d.TLBI_PAGE, 0x0001_0000_0150_0008, 1),
    (1, 0x15_0000_8000, 0x8000, d.TLBI_RANGE, 0x0001_8000_0054_0002, 2),
    (1, 0x15_0000_8000, 0xC000, d.TLBI_RANGE, 0x0001_8080_0054_0002, 4),
    (1, 0x15_0000_8000, 0x10000, d.TLBI_RANGE, 0x0001_8080_0054_0002, 4),
    (63, 0x15_0000_8000, 62 * 0x4000, d.TLBI_RANGE, 0x003F_9000_0054_0002, 64),
    (63, 0x15_0000_8000, 64 * 0x4000, d.TLBI_RANGE, 0x003F_9000_0054_0002, 64),
    (0, KERNEL, 0x4000, d.TLBI_PAGE, 0x0000_0FFF_FFA0_0000_0, 1),
    (0, KERNEL, 0x40000, d.TLBI_RANGE, 0x0000_839F_FE80_0000, 16),
    (2, 0x15_0000_0000, 32 << 20, d.TLBI_RANGE, 0x0002_A000_0054_0000, 2048),
]


@pytest.mark.parametrize(("asid", "va", "size", "command", "operand", "pages"), VECTORS)
def test_operands(asid, va, size, command, operand, pages):
    if command == d.TLBI_PAGE and va == KERNEL:
        operand = 0x0000_0FFF_FFFA_0000_00 >> 4
    found = driver.range_operands(asid, va, size)
    assert len(found) == 1
    assert found[0][0] == command
    scope = d.decode_tlbi(*found[0])
    half, first = d.split(va)
    assert (scope.asid, scope.half, scope.first) == (asid, half, first)
    assert scope.last - scope.first + 1 == pages * d.PAGE
    if va != KERNEL:
        assert found[0][1] == operand


def test_operands_of_the_kernel():
    assert driver.range_operands(0, KERNEL, 0x4000) == [(d.TLBI_PAGE, 0xFFF_FFFA_0000_00 & -1)] or (
        driver.range_operands(0, KERNEL, 0x4000)[0][1] == (KERNEL >> 12) & 0xFFF_FFFF_FFFC
    )
    assert driver.range_operands(0, KERNEL, 0x40000)[0][1] == 0x0000_839F_FE80_0000


@given(st.integers(0, 1 << 36), st.integers(0, 1 << 36), st.booleans(), st.integers(0, 63))
def test_all_pages_of_a_range_are_invalidated(start, size, upper, asid):
    va = (KERNEL if upper else 0) + start
    size = min(size, d.HALF - start - (1 << 37 if upper else 0))
    scopes = [d.decode_tlbi(*one) for one in driver.range_operands(asid, va, size)]
    half, first = d.split(va)
    at = first
    for scope in scopes:
        assert (scope.asid, scope.half, scope.by_address) == (asid, half, True)
        assert scope.first <= at
        at = scope.last + 1
    assert size == 0 or at >= first + size
    assert bool(scopes) == bool(size)


def test_a_large_range_goes_on_where_the_first_operand_ends():
    """The seed begins each at the same address."""
    scopes = [d.decode_tlbi(*one) for one in driver.range_operands(1, 0, 36 << 30)]
    assert [one.first for one in scopes] == [0, 32 << 30]


def test_a_wrong_operand_is_for_what_it_says():
    # Shifted by the size of a page: another address (KB-68).
    scope = d.decode_tlbi(d.TLBI_PAGE, 1 << 48 | 0x15_0000_8000 >> 14)
    assert not scope.covers(d.LOWER, 0x15_0000_8000, 0x15_0000_8000)
    # Another granule, and an address whose sign is not extended, are nobody's.
    for command, operand in (
        (d.TLBI_RANGE, 0x0001_4000_0054_0002),
        (d.TLBI_PAGE, (1 << 42) >> 12),
    ):
        scope = d.decode_tlbi(command, operand)
        assert scope.first > scope.last
    assert not d.decode_tlbi(d.TLBI_ASID, 5 << 48).by_address
    assert d.decode_tlbi(d.TLBI_ALL, 0).asid == d.ANY_ASID


def test_halves():
    assert d.split(0x7F_FFFF_FFFF) == (d.LOWER, 0x7F_FFFF_FFFF)
    assert d.split(KERNEL) == (d.UPPER, 0x20_0000_0000)
    assert d.split(1 << 40) == (-1, 0)
    assert d.whole(d.UPPER, 0x20_0000_0000) == KERNEL
    assert d.whole(d.LOWER, 0x4000) == 0x4000


def test_regions():
    good = [d.HANDOFF_SIZE, d.TTBS_SIZE, d.PAGE]
    assert driver.regions_result(*good) == 0
    for number in range(3):
        for wrong, result in (
            (driver.MISSING, errno.EINVAL), (driver.UNMAPPABLE, errno.ENOMEM),
            (good[number] - 1, errno.ENOMEM),
        ):  # fmt: skip
            sizes = list(good)
            sizes[number] = wrong
            assert driver.regions_result(*sizes) == -result


def test_slots():
    slots = driver.Slots(3)
    assert [slots.get(-1, 0) for _ in range(4)] == [0, 1, 2, -1]
    times = [slot.got for slot in slots.slots]
    for number in (1, 0, 2):
        slots.drop(number)
    # The same again; then the one given back longest ago.
    assert slots.get(2, times[2]) == 2
    assert slots.get(-1, 0) == 1
    # Another has had it since.
    slots.drop(1)
    assert not slots.owns(1, times[1])
    assert slots.get(1, times[1]) == 0
    assert slots.gets == 5


def test_a_slot_that_was_not_taken_after_all_is_as_before():
    slots = driver.Slots(1)
    slots.get(-1, 0)
    slots.drop(0)
    before = slots.slots[0].got
    slots.get(-1, 0)
    slots.cancel(0)
    assert slots.owns(0, before)
    assert slots.get(0, before) == 0
