"""The registers of DARTs: offsets and values by hand, commands, errors, locks, power."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.systems.dart import device
from reference.systems.dart.device import (
    BYPASS,
    DISABLED,
    PARTS,
    T6000,
    T8020,
    T8110,
    TRANSLATE,
    UNDEFINED,
    USB4,
    DartUnit,
)

ALL_ONES = 0xFFFF_FFFF


def unit_of(name, streams=0):
    part = PARTS[name]
    return DartUnit(part, 14, streams or part.most_streams, 32, True)


def kinds(unit):
    found, unit.happened = unit.happened, []
    return [one.kind for one in found]


@pytest.mark.parametrize(
    ("name", "pa", "word"),
    [
        (T8020, 0x8_0040_0000, 0x8080_0400),
        (T6000, 0x100_0040_0000, 0x9000_0400),
        (T8110, 0x100_0040_0000, 0x1000_0401),
    ],
)
def test_root_registers_have_the_values_of_the_facts(name, pa, word):
    part = PARTS[name]
    assert part.ttbr_word(pa) == word
    assert part.root_of(word) == pa
    assert part.root_of(0) == -1


def test_registers_are_where_the_facts_have_them():
    old, usb4, new = PARTS[T8020], PARTS[USB4], PARTS[T8110]
    assert (old.tcr(5), old.ttbr(5, 2)) == (0x114, 0x258)
    assert (usb4.tcr(63), usb4.ttbr(0, 0), usb4.ttbr(63, 3)) == (0x1FC, 0x400, 0x7FC)
    assert (new.tcr(255), new.ttbr(255, 0)) == (0x13FC, 0x17FC)
    assert (old.command, old.error, new.command, new.error) == (0x20, 0x40, 0x80, 0x100)


@pytest.mark.parametrize("name", PARTS)
def test_each_register_has_a_place_of_its_own(name):
    part = PARTS[name]
    named = [(one.name, one.stream, one.index) for one in part.places.values()]
    assert len(set(named)) == len(named)
    assert {one.name for one in part.places.values()} <= set(device.MEANINGS)
    streams = part.most_streams
    assert sum(one.name == device.TCR for one in part.places.values()) == streams
    assert sum(one.name == device.TTBR for one in part.places.values()) == streams * part.ttbrs


def test_modes_are_what_the_facts_say():
    old, usb4, new = PARTS[T8020], PARTS[USB4], PARTS[T8110]
    assert [old.mode_of(word) for word in (0, 0x80, 0x1100, 0x1180)] == [
        DISABLED, TRANSLATE, BYPASS, UNDEFINED,
    ]  # fmt: skip
    assert [new.mode_of(word) for word in (0, 1, 6, 7)] == [
        DISABLED, TRANSLATE, BYPASS, UNDEFINED,
    ]  # fmt: skip
    assert usb4.mode_of(0x1100) == UNDEFINED
    assert [new.mode_of(word) for word in (9, 8, 0xE)] == [TRANSLATE, UNDEFINED, UNDEFINED]


def test_more_input_bits_than_one_root_reaches_take_a_level_more():
    old, new = PARTS[T6000], PARTS[T8110]
    assert new.format(14, 36) is old.format(14, 36)
    assert (old.format(14, 38).levels, new.format(14, 38).levels) == (3, 4)
    assert new.format(14, 42).geometry(42).roots == 1
    # 42 bits are 6 of the first level, and all of the two below it.
    geometry = new.format(14, 42).geometry(42)
    top = (1 << 42) - 0x4000
    assert [geometry.index(level, top) for level in range(4)] == [0, 63, 2047, 2047]


def test_parameters():
    new = DartUnit(PARTS[T8110], 14, 40, 36, True)
    assert new.read(0x00) == 14 << 24
    assert new.read(0x04) == 1
    assert new.read(0x08) == 42 << 24 | 36 << 16
    assert new.read(0x0C) & 0x1FF == 40
    assert DartUnit(PARTS[USB4], 12, 64, 32, True).read(0x04) == 0


@pytest.mark.parametrize("streams", [0b1, 0b1010, 1 << 15])
def test_a_command_is_for_the_streams_that_are_selected(streams):
    unit = unit_of(T8020)
    unit.write(0x34, streams)
    unit.write(0x20, 1 << 20)
    one = unit.happened[-1]
    assert one.kind == device.ISSUED
    assert sum(1 << stream for stream in one.streams) == streams


def test_streams_of_the_second_register():
    unit = unit_of(USB4)
    unit.write(0x34, 1)
    unit.write(0x38, 1 << 31)
    unit.write(0x20, 1 << 20)
    assert unit.happened[-1].streams == [0, 63]


def test_the_newer_part_invalidates_one_or_all():
    unit = unit_of(T8110, 24)
    unit.write(0x80, 1 << 8 | 7)
    assert unit.happened[-1].streams == [7]
    unit.read(0x80)
    unit.write(0x80, 0)
    assert unit.happened[-1].streams == list(range(24))
    unit.read(0x80)
    kinds(unit)
    unit.write(0x80, 1 << 8 | 24)
    assert kinds(unit) == [device.UNKNOWN]


@given(st.integers(0, 40), st.integers(0, 3))
def test_a_command_has_ended_when_busy_was_read_clear(polls, after):
    unit = unit_of(T8020)
    unit.stick(polls, after)
    for number in range(after + 1):
        unit.write(0x20, 1 << 20)
        looks = 0
        while unit.read(0x20) & 4:
            looks += 1
        assert looks == (polls if number == after else 0)
        assert kinds(unit)[-1] == device.COMPLETED


def test_one_that_never_ends_does_not():
    unit = unit_of(T8110)
    unit.stick(-1)
    unit.write(0x80, 0)
    assert all(unit.read(0x80) == 1 << 31 for _ in range(1000))
    kinds(unit)
    unit.write(0x80, 0)
    assert kinds(unit) == [device.BUSY, device.ISSUED]


def test_a_locked_unit_takes_neither_mode_nor_root():
    unit = unit_of(T8020)
    unit.locked = True
    assert unit.read(0x60) & 1 << 15
    unit.write(0x100, 0x80)
    unit.write(0x200, 0x8080_0400)
    assert kinds(unit) == [device.PROTECTED] * 2
    assert (unit.read(0x100), unit.read(0x200)) == (0, 0)


def test_a_lock_that_is_written_stays():
    unit = unit_of(T8110)
    unit.write(0x200, 1)
    unit.write(0x200, 0)
    assert unit.read(0x200) == 1


@pytest.mark.parametrize(("name", "shift"), [(T8020, 24), (T8110, 20)])
def test_an_error_has_stream_code_and_address_and_is_cleared_by_ones(name, shift):
    unit = unit_of(name)
    part = unit.part
    assert unit.fault(9, 0x14, 0x1_2345_6789)
    word = unit.read(part.error)
    assert word == 1 << 31 | 9 << shift | 0x14
    assert (part.error_stream(word), part.error_code(word)) == (9, 0x14)
    assert unit.read(part.error_hi) << 32 | unit.read(part.error_lo) == 0x1_2345_6789
    assert not unit.fault(3, 1, 0), "the first one stays"
    unit.write(part.error, word & ~(1 << 31))
    assert unit.read(part.error) == 1 << 31
    unit.write(part.error, word)
    assert unit.read(part.error) == 0
    assert unit.fault(3, 1, 0)


def test_the_newer_part_raises_what_is_not_masked():
    unit = unit_of(T8110)
    unit.fault(40, 1 << 4, 0)
    assert not unit.interrupt()
    unit.write(0x104, 0x7FFF & ~(1 << 4))
    assert unit.interrupt()
    assert unit.read(0x1C4) == 1 << 8
    unit.write(0x1C4, ALL_ONES)
    assert unit.read(0x1C4) == 0


def test_the_older_parts_have_no_mask():
    unit = unit_of(T8020)
    unit.fault(1, 1, 0)
    assert unit.interrupt()


def test_streams_are_let_in_by_bits():
    new = unit_of(T8110)
    assert not new.is_let_in(33)
    new.write(0xC04, 2)
    new.write(0xC04, 4)
    assert new.is_let_in(33)
    assert new.is_let_in(34)
    new.write(0xC24, 2)
    assert not new.is_let_in(33)
    usb4 = unit_of(USB4)
    assert not usb4.is_let_in(31)
    assert usb4.is_let_in(32), "no register is known that could shut it out"


@given(st.permutations(range(16)))
def test_incoming_streams_count_as_the_remap_says(order):
    unit = unit_of(T8020)
    assert [unit.counts_as(one) for one in range(16)] == list(range(16))
    for word in range(4):
        value = sum(order[4 * word + byte] << 8 * byte for byte in range(4))
        unit.write(0x80 + 4 * word, value)
    assert [unit.counts_as(one) for one in range(16)] == order


def test_registers_are_lost_with_power():
    unit = unit_of(T8020)
    unit.write(0x100, 0x80)
    unit.power_off()
    kinds(unit)
    assert unit.read(0x100) == 0
    unit.write(0x100, 0x80)
    assert kinds(unit) == [device.POWERLESS] * 2
    unit.power_on()
    assert unit.read(0x100) == 0


@pytest.mark.parametrize("name", PARTS)
@given(data=st.data())
def test_a_device_and_an_observer_of_it_agree(name, data):
    part = PARTS[name]
    unit, observer = unit_of(name), unit_of(name)
    offsets = st.sampled_from(sorted(part.places))
    values = st.integers(0, ALL_ONES) | st.sampled_from((0, 1, 1 << 20, 1 << 8 | 3, ALL_ONES))
    for _ in range(data.draw(st.integers(0, 30))):
        offset = data.draw(offsets)
        if data.draw(st.booleans()):
            value = data.draw(values)
            unit.write(offset, value)
            observer.saw_write(offset, value)
        else:
            observer.saw_read(offset, unit.read(offset))
        assert kinds(unit) == kinds(observer)
    assert all(unit.value_at(one) == observer.value_at(one) for one in part.places)
