"""The Mali MMU's registers, encodings, address spaces and commands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.formats.lpae import LPAE_S1
from reference.hardware.machine import Machine
from reference.hardware.tlb import TOP_VA
from reference.systems.mali import device as mali
from reference.systems.mali.device import (
    FLUSH_MEM,
    FLUSH_PT,
    LOCK,
    NOP,
    UNLOCK,
    UPDATE,
    Fault,
    MaliDevice,
    MaliMmu,
    lock_address,
    locked_range,
    offset_of,
    transcfg_of,
)
from reference.trace import (
    ALLOC,
    ATTACH,
    BARRIER,
    BARRIER_FULL,
    COMPLETE,
    FILL,
    INVALIDATE,
    REG_READ,
    REG_WRITE,
    SCOPE_LEAF,
    SCOPE_WALK,
    STORE,
    Event,
    Trace,
    invalidate_command,
)

ALL = (1 << 64) - 1
ROOT, OTHER_ROOT = 0x8000_0000, 0x9000_0000
CONFIG = transcfg_of(48, True)
COMMANDS = (UPDATE, LOCK, UNLOCK, FLUSH_PT, FLUSH_MEM)

words64 = st.integers(0, ALL) | st.integers(0, 63).map(lambda bit: 1 << bit)


@st.composite
def addresses(draw):
    """Of 64 bits, many of them near powers of two."""
    edge = draw(st.integers(-3, 3)) * draw(st.sampled_from((1, 0x1000)))
    return min(max(draw(words64) + edge, 0), ALL)


@st.composite
def ranges(draw):
    """(start, size), not empty, in 64 bits, short and long, with ends near powers of two."""
    start = draw(addresses())
    last = draw(addresses() | st.integers(0, 1 << 16).map(lambda more: min(start + more, ALL)))
    first, last = min(start, last), max(start, last)
    return first, last - first + 1


# -- a driver's accesses ------------------------------------------------------------------------


def put(mmu, name, value, slot=mali.NO_SLOT):
    """Write a 32-bit register."""
    mmu.write(offset_of(name, slot), value)


def put64(mmu, name, value, slot):
    """Write a 64-bit register, low half first."""
    mmu.write(offset_of(name, slot), value & 0xFFFF_FFFF)
    mmu.write(offset_of(name, slot) + 4, value >> 32)


def get(mmu, name, slot=mali.NO_SLOT):
    return mmu.read(offset_of(name, slot))


def get64(mmu, name, slot):
    return get(mmu, name, slot) | mmu.read(offset_of(name, slot) + 4) << 32


def command(mmu, slot, number):
    """Write a command, and do not wait."""
    put(mmu, mali.COMMAND, number, slot)


def wait(mmu, slot):
    """Read STATUS until it is clear, ten times at most; whether it was."""
    return any(not get(mmu, mali.STATUS, slot) & mali.ACTIVE for _ in range(10))


def program(mmu, slot, root=ROOT, config=CONFIG, memattr=0):
    """Write the registers that UPDATE latches."""
    put64(mmu, mali.TRANSTAB, root, slot)
    put64(mmu, mali.MEMATTR, memattr, slot)
    put64(mmu, mali.TRANSCFG, config, slot)


def lock(mmu, slot, start, size):
    """Lock a region, and wait."""
    put64(mmu, mali.LOCKADDR, lock_address(start, size), slot)
    command(mmu, slot, LOCK)
    wait(mmu, slot)


def flush(mmu, slot, start=0, size=ALL, kind=FLUSH_MEM):
    """Lock and flush a region, and wait."""
    lock(mmu, slot, start, size)
    command(mmu, slot, kind)
    wait(mmu, slot)


def enable(mmu, slot, root=ROOT, config=CONFIG):
    """Switch an AS to a root as the manual order has it, and wait."""
    flush(mmu, slot)
    program(mmu, slot, root, config)
    command(mmu, slot, UPDATE)
    wait(mmu, slot)


def kinds(mmu):
    return [one.kind for one in mmu.observations]


# -- registers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "name", "slot", "high"),
    [
        (0x14, mali.MMU_FEATURES, -1, False),
        (0x18, mali.AS_PRESENT, -1, False),
        (0x2000, mali.INT_RAWSTAT, -1, False),
        (0x2004, mali.INT_CLEAR, -1, False),
        (0x2008, mali.INT_MASK, -1, False),
        (0x200C, mali.INT_STAT, -1, False),
        (0x2400, mali.TRANSTAB, 0, False),
        (0x2404, mali.TRANSTAB, 0, True),
        (0x2408, mali.MEMATTR, 0, False),
        (0x240C, mali.MEMATTR, 0, True),
        (0x2410, mali.LOCKADDR, 0, False),
        (0x2414, mali.LOCKADDR, 0, True),
        (0x2418, mali.COMMAND, 0, False),
        (0x241C, mali.FAULTSTATUS, 0, False),
        (0x2420, mali.FAULTADDRESS, 0, False),
        (0x2424, mali.FAULTADDRESS, 0, True),
        (0x2428, mali.STATUS, 0, False),
        (0x2430, mali.TRANSCFG, 0, False),
        (0x2434, mali.TRANSCFG, 0, True),
        (0x2438, mali.FAULTEXTRA, 0, False),
        (0x243C, mali.FAULTEXTRA, 0, True),
        (0x2440, mali.TRANSTAB, 1, False),
        (0x27D8, mali.COMMAND, 15, False),
    ],
)
def test_what_stands_at_an_offset(offset, name, slot, high):
    place = mali.place_at(offset)
    assert (place.register.name, place.slot, place.high) == (name, slot, high)


@pytest.mark.parametrize("offset", [0, 0x10, 0x16, 0x2010, 0x23FC, 0x242C, 0x2402, 0x2800, -4])
def test_elsewhere_is_no_register_of_the_mmu(offset):
    assert mali.place_at(offset) is None
    mmu = MaliDevice()
    mmu.write(offset, 1)
    assert mmu.read(offset) == 0
    assert not any(mmu.counts)


@given(st.sampled_from([one.name for one in mali.AS_REGISTERS]), st.integers(0, 15))
def test_offset_of_and_place_at_are_inverse(name, slot):
    place = mali.place_at(offset_of(name, slot))
    assert (place.register.name, place.slot, place.high) == (name, slot, False)


@pytest.mark.parametrize(
    ("name", "slot"), [(mali.STATUS, -1), (mali.STATUS, 16), (mali.AS_PRESENT, 0), ("x", 0)]
)
def test_a_register_that_does_not_exist_has_no_offset(name, slot):
    with pytest.raises(ValueError, match="register is"):
        offset_of(name, slot)


def test_registers_do_not_overlap():
    at = 0
    for register in sorted(mali.AS_REGISTERS, key=lambda one: one.offset):
        assert register.offset >= at
        at = register.offset + register.width // 8
    assert at <= mali.AS_SIZE


def test_every_register_says_what_it_is_and_who_says_so():
    for register in (*mali.GPU_REGISTERS, *mali.AS_REGISTERS):
        assert register.meaning
        assert "formats.md B.1" in register.source


def test_features_and_present():
    mmu = MaliDevice(slots=4, va_bits=39, pa_bits=36)
    assert get(mmu, mali.MMU_FEATURES) == 0x2427
    assert get(mmu, mali.AS_PRESENT) == 0xF
    mmu = MaliDevice()
    assert get(mmu, mali.MMU_FEATURES) == 0x2830
    assert get(mmu, mali.AS_PRESENT) == 0xFFFF


def test_a_device_starts_without_interrupts_or_anything_to_use():
    mmu = MaliDevice()
    assert get(mmu, mali.INT_MASK) == 0
    assert get(mmu, mali.INT_RAWSTAT) == 0
    assert not mmu.interrupt()
    for slot in range(16):
        assert mmu.at(slot).roots() == set()
        assert not mmu.at(slot).is_busy()
        assert not mmu.at(slot).may_be_locked


def test_registers_that_can_only_be_written_read_as_0():
    mmu = MaliDevice()
    put(mmu, mali.INT_CLEAR, 0xFFFF)
    command(mmu, 1, UNLOCK)
    assert get(mmu, mali.INT_CLEAR) == 0
    assert get(mmu, mali.COMMAND, 1) == 0
    assert not mmu.observations


@given(
    st.sampled_from((mali.TRANSTAB, mali.MEMATTR, mali.LOCKADDR, mali.TRANSCFG)),
    st.integers(0, 15),
    words64,
)
def test_a_register_reads_as_it_was_written(name, slot, value):
    mmu = MaliDevice()
    put64(mmu, name, value, slot)
    assert get64(mmu, name, slot) == value
    assert all(get64(mmu, name, other) == 0 for other in range(16) if other != slot)


@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_a_register_takes_32_bits(value):
    with pytest.raises(ValueError, match="value is"):
        MaliDevice().write(0x2400, value)


@pytest.mark.parametrize("slots", [0, 17])
def test_how_many_address_spaces_there_can_be(slots):
    with pytest.raises(ValueError, match="slots is"):
        MaliDevice(slots=slots)


@pytest.mark.parametrize("slot", [-1, 4])
def test_asking_about_an_address_space_that_does_not_exist(slot):
    with pytest.raises(ValueError, match="slot is"):
        MaliDevice(slots=4).at(slot).roots()


def test_an_absent_address_space_is_observed_and_changes_nothing():
    mmu = MaliDevice(slots=4)
    put64(mmu, mali.TRANSTAB, ROOT, 4)
    assert get64(mmu, mali.TRANSTAB, 4) == 0
    assert kinds(mmu) == [mali.ACCESS_ABSENT] * 4
    assert mmu.observations[0].slot == 4
    assert mmu.observations[0].register == mali.TRANSTAB
    assert [one.value for one in mmu.observations] == [ROOT, 0, 0, 0]


@pytest.mark.parametrize("name", [mali.STATUS, mali.FAULTSTATUS, mali.FAULTADDRESS])
def test_a_register_that_can_only_be_read_stays(name):
    mmu = MaliDevice()
    before = get(mmu, name, 2)
    put(mmu, name, 1, 2)
    assert get(mmu, name, 2) == before
    assert kinds(mmu) == [mali.WRITTEN_READ_ONLY]


# -- LOCKADDR -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "size", "value"),
    [
        (0, ALL, 0x3F),
        (0, 0x1000, 0xE),
        (0x4000, 0x1000, 0x400E),
        (0x7000, 0x2000, 0xF),
        (0x8000, 0x8000, 0x800E),
        (0x10000, 0x10000, 0x1000F),
        (0x7F00_1234_5000, 0x1000, 0x7F00_1234_400E),
        (0x7F00_1234_5000, 0x20_0000, 0x7F00_1200_0016),
        (0x0FFF_F000, 0x2000, 0x1C),
        (0x1F_E000, 0x4000, 0x15),
        (0, 1 << 48, 0x2F),
        (0x4000_0000, 0x20_0000, 0x4000_0014),
        # The last byte alone is on the other side.
        (0x8000, 0x8001, 0x10),
        (0xFFFF, 1, 0xC00E),
        (0xFFFF, 2, 0x10),
        (ALL, 1, ALL & ~0x3FFF | 0xE),
    ],
)
def test_known_values_of_lockaddr(start, size, value):
    assert lock_address(start, size) == value


@pytest.mark.parametrize(
    ("value", "first", "last"),
    [
        (0x3F, 0, ALL),
        (0x400E, 0, 0x7FFF),
        (0x800E, 0x8000, 0xFFFF),
        (0x7F00_1200_0016, 0x7F00_1200_0000, 0x7F00_127F_FFFF),
        (0x4000_0014, 0x4000_0000, 0x401F_FFFF),
        (0x2F, 0, (1 << 48) - 1),
    ],
)
def test_known_regions(value, first, last):
    assert locked_range(value) == (first, last)


@given(words64)
def test_no_bytes_are_not_locked(start):
    assert lock_address(start, 0) is None


@pytest.mark.parametrize(("start", "size"), [(-1, 1), (0, -1), (ALL, 2), (0, (1 << 64) + 1)])
def test_a_range_beyond_64_bits_cannot_be_locked(start, size):
    with pytest.raises(ValueError, match="range is"):
        lock_address(start, size)


@given(ranges())
def test_the_smallest_region_that_covers_is_locked(asked):
    start, size = asked
    first, last = locked_range(lock_address(start, size))
    length = last - first + 1
    assert first <= start
    assert start + size - 1 <= last
    assert length >= mali.LOCK_MINIMUM
    assert length & (length - 1) == 0
    assert first % length == 0
    if length > mali.LOCK_MINIMUM:
        # The halves of the region are the candidates of half the size: neither holds the range.
        assert start < first + length // 2 <= start + size - 1


@given(ranges())
def test_the_ignored_bit_is_ignored(asked):
    value = lock_address(*asked)
    width = value & 0x3F
    if width >= 6:
        assert locked_range(value ^ 1 << width) == locked_range(value)


@given(st.integers(0, 13), words64)
def test_a_region_that_is_too_small_is_none(width, base):
    assert locked_range(base & ~0x3F | width) is None


# -- TRANSCFG, MEMATTR, FAULTSTATUS -------------------------------------------------------------


@pytest.mark.parametrize(
    ("va_bits", "coherent", "word"),
    [
        (48, False, 0x4200_01C6),
        (48, True, 0x6200_01C6),
        (39, False, 0x4200_0406),
        (39, True, 0x6200_0406),
        (33, False, 0x4200_0586),
        (32, False, 0x4200_05C6),
    ],
)
def test_known_values_of_transcfg(va_bits, coherent, word):
    assert transcfg_of(va_bits, coherent) == word


@given(st.integers(24, 55), st.booleans())
def test_transcfg_there_and_back(va_bits, coherent):
    word = transcfg_of(va_bits, coherent)
    fields = mali.transcfg_fields(word)
    latched = mali.Latched(ROOT, word, 0)
    assert latched.input_bits() == va_bits == 55 - fields["INA_BITS"]
    assert latched.mode() == fields["mode"] == mali.MODE_4K
    assert fields["PTW_SH"] == (2 if coherent else 0)
    assert latched.walks()


@given(words64)
def test_the_fields_of_transcfg_do_not_overlap(word):
    rebuilt = 0
    mask = 0
    for name, high, low, _ in mali.TRANSCFG_FIELDS:
        field = ((1 << (high - low + 1)) - 1) << low
        assert not mask & field
        mask |= field
        rebuilt |= mali.transcfg_fields(word)[name] << low
    assert rebuilt == word & mask


@pytest.mark.parametrize("va_bits", [23, 56])
def test_input_bits_that_cannot_be_said(va_bits):
    with pytest.raises(ValueError, match="va_bits is"):
        transcfg_of(va_bits, False)


@pytest.mark.parametrize(
    ("mair", "coherent", "memattr"),
    [
        (0xFFFF_FFFF_F404_FF44, False, 0x8F8F_8F8F_8C4C_8F4C),
        (0xFFFF_FFFF_F404_FF44, True, 0x9F9F_9F9F_9C4C_9F4C),
        (0xF404_FF44, False, 0x4C4C_4C4C_8C4C_8F4C),
        (0xF404_FF44, True, 0x4C4C_4C4C_9C4C_9F4C),
    ],
)
def test_known_values_of_memattr(mair, coherent, memattr):
    assert mali.mair_to_memattr(mair, coherent) == memattr


def test_only_what_is_written_back_is_cached():
    for byte in range(256):
        outer, inner = divmod(byte, 16)
        cached = outer in (5, 6, 7, 13, 14, 15) and inner in (4, 5, 6, 7, 12, 13, 14, 15)
        expected = 0x8C + inner % 4 if cached else 0x4C
        assert mali.mair_to_memattr(byte, False) & 0xFF == expected


@given(words64, st.integers(0, 7))
def test_each_byte_of_memattr_comes_from_its_own(mair, index):
    byte = mair >> 8 * index & 0xFF
    alone = mali.mair_to_memattr(byte, False) & 0xFF
    assert mali.mair_to_memattr(mair, False) >> 8 * index & 0xFF == alone


@given(words64)
def test_coherence_changes_cached_types_only(mair):
    plain = mali.mair_to_memattr(mair, False)
    coherent = mali.mair_to_memattr(mair, True)
    for shift in range(0, 64, 8):
        cached = plain >> shift & 0xC0 == 0x80
        assert (plain ^ coherent) >> shift & 0xFF == (0x10 if cached else 0)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0x0012_03C3, "translation fault at level 3, write, source 0x12"),
        (0xC0, "translation fault at level 0, atomic, source 0x0"),
        (0xC4, "translation fault at level 4, atomic, source 0x0"),
        (0x1C8, "permission fault at level 0, execute, source 0x0"),
        (0x2CB, "permission fault at level 3, read, source 0x0"),
        (0x2D9, "access flag fault at level 1, read, source 0x0"),
        (0x2DB, "access flag fault at level 3, read, source 0x0"),
        (0x2E0, "input address size fault, read, source 0x0"),
        (0x2E4, "output address size fault at level 0, read, source 0x0"),
        (0x2E7, "output address size fault at level 3, read, source 0x0"),
        (0xFFFF_02EB, "memory attribute fault at level 3, read, source 0xffff"),
        (0x2D8, "unknown exception 0xd8, read, source 0x0"),
        (0x2C5, "unknown exception 0xc5, read, source 0x0"),
    ],
)
def test_known_faults(status, text):
    assert Fault(status).text() == text


@pytest.mark.parametrize(("code", "level"), [(0xC3, 3), (0xDA, 2), (0xE0, -1), (0xD8, -1)])
def test_level_of_a_fault(code, level):
    assert Fault(code).level == level


@given(st.integers(0, 0xFF), st.integers(0, 3), st.integers(0, 0xFFFF))
def test_faultstatus_there_and_back(code, access, source):
    fault = Fault(mali.faultstatus_of(code, access, source))
    assert (fault.code, fault.access, fault.source) == (code, access, source)
    assert not fault.decoder
    assert Fault(1 << 10).decoder


# -- UPDATE -------------------------------------------------------------------------------------


def test_registers_are_not_used_before_update():
    mmu = MaliDevice()
    program(mmu, 1)
    wait(mmu, 1)
    assert mmu.at(1).roots() == set()


def test_update_is_in_effect_once_status_was_seen_clear():
    mmu = MaliDevice()
    enable(mmu, 1, ROOT)
    program(mmu, 1, OTHER_ROOT)
    assert mmu.at(1).roots() == {ROOT}
    command(mmu, 1, UPDATE)
    assert mmu.at(1).roots() == {ROOT, OTHER_ROOT}
    assert mmu.at(1).is_busy()
    wait(mmu, 1)
    assert mmu.at(1).roots() == {OTHER_ROOT}
    assert not mmu.at(1).is_busy()
    assert mmu.at(0).roots() == set()


def test_update_latches_three_registers():
    mmu = MaliDevice()
    program(mmu, 1, ROOT, CONFIG, 0x8F4C)
    command(mmu, 1, UPDATE)
    assert [one.mode() for one in mmu.at(1).states] == [mali.MODE_UNMAPPED, mali.MODE_4K]
    wait(mmu, 1)
    (latched,) = mmu.at(1).states
    assert (latched.transtab, latched.transcfg, latched.memattr) == (ROOT, CONFIG, 0x8F4C)


def test_a_command_that_is_not_stuck_has_ended_at_the_first_read():
    mmu = MaliDevice()
    program(mmu, 1)
    command(mmu, 1, UPDATE)
    assert get(mmu, mali.STATUS, 1) == 0
    # It is the next command that sticks, and no other.
    mmu.stick(1, 1)
    assert get(mmu, mali.STATUS, 1) == 0
    command(mmu, 1, UNLOCK)
    assert get(mmu, mali.STATUS, 1) == mali.ACTIVE
    assert get(mmu, mali.STATUS, 1) == 0
    command(mmu, 1, UNLOCK)
    assert get(mmu, mali.STATUS, 1) == 0


def test_only_its_own_status_ends_a_command():
    mmu = MaliDevice()
    program(mmu, 1)
    command(mmu, 1, UPDATE)
    wait(mmu, 0)
    get(mmu, mali.TRANSTAB, 1)
    assert mmu.at(1).is_busy()


def test_a_disabled_address_space_walks_nothing():
    mmu = MaliDevice()
    enable(mmu, 1)
    flush(mmu, 1)
    program(mmu, 1, 0, mali.MODE_UNMAPPED)
    command(mmu, 1, UPDATE)
    assert mmu.at(1).roots() == {ROOT}
    wait(mmu, 1)
    assert mmu.at(1).roots() == set()
    assert not mmu.observations


@given(st.sampled_from(COMMANDS), st.integers(1, 5))
def test_nothing_is_in_effect_while_status_reads_active(number, polls):
    mmu = MaliDevice()
    enable(mmu, 3, ROOT)
    lock(mmu, 3, 0x10000, 0x8000)
    program(mmu, 3, OTHER_ROOT)
    completed = len(mmu.completed)
    mmu.stick(3, polls)
    command(mmu, 3, number)
    for _ in range(polls):
        assert get(mmu, mali.STATUS, 3) == mali.ACTIVE
        assert mmu.at(3).is_busy()
        assert ROOT in mmu.at(3).roots()
        assert mmu.at(3).may_be_locked
        assert len(mmu.completed) == completed
    assert get(mmu, mali.STATUS, 3) == 0
    assert mmu.at(3).roots() == {OTHER_ROOT if number == UPDATE else ROOT}
    assert mmu.at(3).may_be_locked == (number in (UPDATE, LOCK))
    assert len(mmu.completed) == completed + (number in (FLUSH_PT, FLUSH_MEM))


def test_a_stuck_address_space_never_ends_its_command():
    mmu = MaliDevice()
    enable(mmu, 1)
    program(mmu, 1, OTHER_ROOT)
    mmu.stick(1, -1)
    command(mmu, 1, UPDATE)
    assert not wait(mmu, 1)
    assert mmu.at(1).roots() == {ROOT, OTHER_ROOT}
    mmu.reset()
    assert wait(mmu, 1)
    assert mmu.at(1).roots() == set()


def test_a_command_while_one_may_be_running_leaves_all_open():
    mmu = MaliDevice()
    enable(mmu, 1, ROOT)
    flush(mmu, 1)
    program(mmu, 1, OTHER_ROOT)
    command(mmu, 1, UPDATE)
    command(mmu, 1, FLUSH_PT)
    assert kinds(mmu) == [mali.COMMAND_BUSY]
    completed = len(mmu.completed)
    wait(mmu, 1)
    assert mmu.at(1).roots() == {ROOT, OTHER_ROOT}
    assert len(mmu.completed) == completed
    # The next UPDATE that begins alone settles it.
    flush(mmu, 1)
    command(mmu, 1, UPDATE)
    wait(mmu, 1)
    assert mmu.at(1).roots() == {OTHER_ROOT}


@pytest.mark.parametrize("first", COMMANDS)
def test_an_update_that_is_written_too_early_may_have_been_lost(first):
    mmu = MaliDevice()
    enable(mmu, 1, ROOT)
    program(mmu, 1, OTHER_ROOT)
    command(mmu, 1, first)
    command(mmu, 1, UPDATE)
    wait(mmu, 1)
    assert mmu.at(1).roots() == {ROOT, OTHER_ROOT}
    assert not mmu.at(1).is_busy()


def test_a_command_after_the_wait_is_no_observation():
    mmu = MaliDevice()
    for number in (NOP, *COMMANDS):
        put64(mmu, mali.LOCKADDR, 0xE, 1)
        lock(mmu, 1, 0, 0x1000)
        command(mmu, 1, number)
        wait(mmu, 1)
    assert mali.COMMAND_BUSY not in kinds(mmu)
    assert mmu.counts[mali.COMMAND_BUSY] == 12


@pytest.mark.parametrize("name", [mali.TRANSTAB, mali.TRANSCFG, mali.MEMATTR])
def test_a_register_that_changes_under_update(name):
    mmu = MaliDevice()
    program(mmu, 1, ROOT)
    command(mmu, 1, UPDATE)
    put64(mmu, name, OTHER_ROOT | CONFIG, 1)
    assert kinds(mmu) == [mali.REGISTER_BUSY]
    assert mmu.observations[0].register == name
    wait(mmu, 1)
    assert ROOT in mmu.at(1).roots()
    if name == mali.TRANSTAB:
        assert OTHER_ROOT | CONFIG in mmu.at(1).roots()


def test_lockaddr_may_change_under_update():
    mmu = MaliDevice()
    program(mmu, 1)
    command(mmu, 1, UPDATE)
    put64(mmu, mali.LOCKADDR, 0x3F, 1)
    assert not mmu.observations
    wait(mmu, 1)
    assert mmu.at(1).roots() == {ROOT}


def test_lockaddr_may_not_change_under_lock():
    mmu = MaliDevice()
    put64(mmu, mali.LOCKADDR, 0xE, 1)
    command(mmu, 1, LOCK)
    put64(mmu, mali.LOCKADDR, 0x3F, 1)
    wait(mmu, 1)
    assert kinds(mmu) == [mali.REGISTER_BUSY]
    assert mmu.at(1).region is None


@pytest.mark.parametrize(
    ("root", "config", "seen"),
    [
        (ROOT, CONFIG, []),
        (ROOT + 0x800, CONFIG, [mali.ROOT_ADDRESS]),
        (ROOT | 3, CONFIG, [mali.ROOT_ADDRESS]),
        (1 << 40, CONFIG, [mali.ROOT_ADDRESS]),
        ((1 << 40) - 0x1000, CONFIG, []),
        (ROOT + 0x1000, CONFIG & ~0xF | mali.MODE_64K, [mali.ROOT_ADDRESS]),
        (ROOT | 3, mali.MODE_UNMAPPED, []),
        (ROOT, 0, [mali.MODE_RESERVED]),
        (ROOT, CONFIG | 1, [mali.MODE_RESERVED]),
    ],
)
def test_what_update_may_latch(root, config, seen):
    mmu = MaliDevice(pa_bits=40)
    program(mmu, 1, root, config)
    command(mmu, 1, UPDATE)
    assert kinds(mmu) == seen


def test_update_of_an_enabled_address_space_wants_a_flush_of_everything():
    mmu = MaliDevice()
    program(mmu, 1, ROOT)
    command(mmu, 1, UPDATE)
    wait(mmu, 1)
    assert not mmu.observations  # It was disabled, and had nothing cached.
    for start, size, right in ((0, 1 << 47, False), (0, 1 << 48, True), (0, ALL, True)):
        flush(mmu, 1, start, size)
        program(mmu, 1, OTHER_ROOT)
        command(mmu, 1, UPDATE)
        wait(mmu, 1)
        assert kinds(mmu) == ([] if right else [mali.UPDATE_UNFLUSHED])
        mmu.observations.clear()
    command(mmu, 1, UPDATE)
    assert kinds(mmu) == [mali.UPDATE_UNFLUSHED]
    assert mmu.counts[mali.UPDATE_UNFLUSHED] == 4


def test_a_command_that_does_not_exist():
    mmu = MaliDevice()
    command(mmu, 1, 6)
    assert kinds(mmu) == [mali.COMMAND_UNKNOWN]
    assert not mmu.at(1).is_busy()


# -- LOCK and FLUSH -----------------------------------------------------------------------------


def test_a_region_is_locked_from_the_end_of_lock_until_unlock():
    mmu = MaliDevice()
    put64(mmu, mali.LOCKADDR, lock_address(0x4000, 0x1000), 2)
    command(mmu, 2, LOCK)
    assert mmu.at(2).region is None
    assert mmu.at(2).may_be_locked
    wait(mmu, 2)
    assert mmu.at(2).region == (0, 0x7FFF)
    assert mmu.at(1).region is None
    command(mmu, 2, UNLOCK)
    assert mmu.at(2).region is None
    assert mmu.at(2).may_be_locked
    wait(mmu, 2)
    assert not mmu.at(2).may_be_locked


def test_a_second_lock_takes_the_place_of_the_first():
    mmu = MaliDevice()
    lock(mmu, 2, 0, 0x8000)
    put64(mmu, mali.LOCKADDR, lock_address(0x10000, 0x8000), 2)
    assert mmu.at(2).region == (0, 0x7FFF)
    command(mmu, 2, LOCK)
    assert mmu.at(2).region is None
    wait(mmu, 2)
    assert mmu.at(2).region == (0x10000, 0x17FFF)


def test_an_update_leaves_the_lock():
    mmu = MaliDevice()
    lock(mmu, 2, 0, 0x8000)
    command(mmu, 2, UPDATE)
    assert mmu.at(2).region == (0, 0x7FFF)
    wait(mmu, 2)
    assert mmu.at(2).region == (0, 0x7FFF)


def test_a_flush_releases_the_lock_when_it_ends():
    mmu = MaliDevice()
    lock(mmu, 2, 0, 0x8000)
    command(mmu, 2, FLUSH_PT)
    assert mmu.at(2).region is None
    assert mmu.at(2).may_be_locked
    wait(mmu, 2)
    assert not mmu.at(2).may_be_locked


def test_a_flush_that_keeps_the_lock():
    mmu = MaliDevice(flush_unlocks=False)
    flush(mmu, 2, 0, 0x8000)
    assert mmu.at(2).region == (0, 0x7FFF)
    assert mmu.at(2).may_be_locked
    assert len(mmu.completed) == 1
    command(mmu, 2, UNLOCK)
    wait(mmu, 2)
    assert mmu.at(2).region is None
    assert not mmu.at(2).may_be_locked


@given(ranges(), ranges())
def test_covers_is_what_is_locked(asked, other):
    mmu = MaliDevice()
    lock(mmu, 0, *asked)
    first, last = mmu.at(0).region
    assert mmu.at(0).covers(asked[0], sum(asked) - 1)
    end = sum(other) - 1
    assert mmu.at(0).covers(other[0], end) == (first <= other[0] and end <= last)
    assert not mmu.at(1).covers(*asked)


def test_an_invalidation_counts_when_issued_and_when_completed():
    mmu = MaliDevice()
    enable(mmu, 1, ROOT)
    lock(mmu, 1, 0x4000_0000, 0x20_0000)
    written = mmu.now
    before = len(mmu.completed)
    command(mmu, 1, FLUSH_PT)
    assert len(mmu.issued) == before + 1
    one = mmu.issued[-1]
    assert (one.slot, one.first, one.last) == (1, 0x4000_0000, 0x401F_FFFF)
    assert (one.issued, one.kind, one.roots) == (written, FLUSH_PT, {ROOT})
    assert one.completed == -1
    assert len(mmu.completed) == before
    read = mmu.now
    wait(mmu, 1)
    assert mmu.completed[-1] is one
    assert one.completed == read


def test_ranges_end_where_views_end():
    mmu = MaliDevice()
    flush(mmu, 1)
    assert (mmu.completed[-1].first, mmu.completed[-1].last) == (0, TOP_VA)


def test_a_flush_without_a_region_flushes_nothing():
    mmu = MaliDevice()
    command(mmu, 1, FLUSH_MEM)
    wait(mmu, 1)
    assert kinds(mmu) == [mali.FLUSH_UNLOCKED]
    assert not mmu.issued
    # The region of the flush before is not locked any more.
    flush(mmu, 1)
    command(mmu, 1, FLUSH_MEM)
    wait(mmu, 1)
    assert kinds(mmu) == [mali.FLUSH_UNLOCKED] * 2
    assert len(mmu.issued) == len(mmu.completed) == 1


@pytest.mark.parametrize("by_command", [True, False])
def test_a_flush_in_doubt_completes_nothing_then_or_later(by_command):
    mmu = MaliDevice()
    lock(mmu, 1, 0, ALL)
    command(mmu, 1, FLUSH_PT)
    if by_command:
        command(mmu, 1, LOCK)
    else:
        put64(mmu, mali.LOCKADDR, 0xE, 1)
    wait(mmu, 1)
    assert not mmu.completed
    assert mmu.at(1).region is None
    assert mmu.at(1).may_be_locked
    command(mmu, 1, FLUSH_PT)
    wait(mmu, 1)
    assert len(mmu.issued) == 1
    assert not mmu.completed
    assert not mmu.at(1).may_be_locked


def test_a_lock_that_was_not_awaited_gives_no_flush():
    mmu = MaliDevice()
    put64(mmu, mali.LOCKADDR, 0x3F, 1)
    command(mmu, 1, LOCK)
    command(mmu, 1, FLUSH_PT)
    wait(mmu, 1)
    assert kinds(mmu) == [mali.COMMAND_BUSY]
    assert not mmu.issued


def test_a_region_that_is_too_small_locks_and_flushes_nothing_for_sure():
    mmu = MaliDevice()
    put64(mmu, mali.LOCKADDR, 0x400D, 1)
    command(mmu, 1, LOCK)
    wait(mmu, 1)
    assert kinds(mmu) == [mali.LOCK_UNDEFINED]
    assert mmu.at(1).region is None
    command(mmu, 1, FLUSH_PT)
    wait(mmu, 1)
    assert not mmu.issued


def test_a_flush_that_never_ends_completes_nothing():
    mmu = MaliDevice()
    lock(mmu, 1, 0, ALL)
    mmu.stick(1, -1)
    command(mmu, 1, FLUSH_MEM)
    assert not wait(mmu, 1)
    assert len(mmu.issued) == 1
    assert not mmu.completed


# -- interrupts and faults ----------------------------------------------------------------------


@given(st.integers(0, 15), st.integers(0, 0xFFFF), words64)
def test_a_fault_is_visible_until_cleared_as_mask_says(slot, mask, address):
    mmu = MaliDevice()
    put(mmu, mali.INT_MASK, mask)
    status = mali.faultstatus_of(0xC3, mali.ACCESS_WRITE, 7)
    assert mmu.fault(slot, status, address, 0x1234)
    bit = 1 << slot
    assert get(mmu, mali.INT_RAWSTAT) == bit
    assert get(mmu, mali.INT_STAT) == bit & mask
    assert mmu.interrupt() == bool(bit & mask)
    put(mmu, mali.INT_CLEAR, 0xFFFF & ~bit)
    assert get(mmu, mali.INT_RAWSTAT) == bit
    put(mmu, mali.INT_MASK, 0)
    assert not mmu.interrupt()
    assert get(mmu, mali.INT_RAWSTAT) == bit
    put(mmu, mali.INT_MASK, 0xFFFF)
    assert mmu.interrupt()
    put(mmu, mali.INT_CLEAR, bit)
    assert get(mmu, mali.INT_RAWSTAT) == 0
    assert not mmu.interrupt()
    # Drivers clear first and read afterwards.
    assert get(mmu, mali.FAULTSTATUS, slot) == status
    assert get64(mmu, mali.FAULTADDRESS, slot) == address
    assert get64(mmu, mali.FAULTEXTRA, slot) == 0x1234


def test_a_second_fault_waits_for_the_first():
    mmu = MaliDevice()
    assert mmu.fault(1, 0x2C3, 0x1000)
    assert not mmu.fault(1, 0x2C8, 0x2000)
    assert mmu.fault(2, 0x2C8, 0x2000)
    assert get64(mmu, mali.FAULTADDRESS, 1) == 0x1000
    assert get64(mmu, mali.FAULTEXTRA, 1) == 0
    put(mmu, mali.INT_CLEAR, 2)
    assert mmu.fault(1, 0x2C8, 0x2000)
    assert get64(mmu, mali.FAULTADDRESS, 1) == 0x2000


def test_the_end_of_a_command_has_an_interrupt_of_its_own():
    mmu = MaliDevice()
    mmu.stick(3, 2)
    command(mmu, 3, UNLOCK)
    assert get(mmu, mali.INT_RAWSTAT) == 0
    get(mmu, mali.STATUS, 3)
    assert get(mmu, mali.INT_RAWSTAT) == 0
    wait(mmu, 3)
    assert get(mmu, mali.INT_RAWSTAT) == 1 << 19
    put(mmu, mali.INT_CLEAR, 1 << 19)
    command(mmu, 3, UNLOCK)
    assert get(mmu, mali.INT_RAWSTAT) == 1 << 19


# -- reset and power ----------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(COMMANDS), st.booleans()), max_size=8),
    st.booleans(),
)
def test_after_a_reset_nothing_is_latched(steps, off):
    mmu = MaliDevice(slots=4)
    for slot, number, waits in steps:
        program(mmu, slot, ROOT + 0x1000 * slot)
        put64(mmu, mali.LOCKADDR, 0x3F, slot)
        command(mmu, slot, number)
        if waits:
            wait(mmu, slot)
    mmu.fault(0, 0x2C3, 0x1000)
    put(mmu, mali.INT_MASK, 0xFFFF)
    before = len(mmu.completed)
    roots = [mmu.at(slot).roots() for slot in range(4)]
    if off:
        mmu.power_off()
        mmu.power_on()
    else:
        mmu.reset()
    kind = mali.BY_POWER_OFF if off else mali.BY_RESET
    gone = mmu.completed[before:]
    assert [(one.slot, one.first, one.last, one.kind) for one in gone] == [
        (slot, 0, TOP_VA, kind) for slot in range(4)
    ]
    assert [one.roots for one in gone] == roots
    for slot in range(4):
        assert mmu.at(slot).roots() == set()
        assert not mmu.at(slot).is_busy()
        assert mmu.at(slot).region is None
        assert not mmu.at(slot).may_be_locked
        assert get64(mmu, mali.TRANSTAB, slot) == 0
    assert get(mmu, mali.INT_RAWSTAT) == 0
    assert get(mmu, mali.INT_MASK) == 0


def test_what_was_under_way_at_a_reset_never_completes():
    mmu = MaliDevice(slots=1)
    lock(mmu, 0, 0, ALL)
    command(mmu, 0, FLUSH_MEM)
    under_way = mmu.issued[-1]
    mmu.reset()
    wait(mmu, 0)
    assert under_way.completed == -1
    assert under_way not in mmu.completed


def test_without_power_no_register_answers():
    mmu = MaliDevice()
    enable(mmu, 1)
    put(mmu, mali.INT_MASK, 0xFFFF)
    mmu.power_off()
    assert not mmu.fault(1, 0x2C3, 0)
    assert get(mmu, mali.AS_PRESENT) == 0
    put64(mmu, mali.TRANSTAB, ROOT, 1)
    assert kinds(mmu) == [mali.ACCESS_OFF] * 3
    mmu.power_on()
    assert get64(mmu, mali.TRANSTAB, 1) == 0
    assert get(mmu, mali.AS_PRESENT) == 0xFFFF


# -- traces -------------------------------------------------------------------------------------


class Recorded:
    """A device whose accesses are written to a trace, with what the reads gave."""

    def __init__(self, mmu):
        self.mmu = mmu
        self.trace = Trace()

    def write(self, offset, value):
        self.trace.emit(REG_WRITE, offset, value)
        self.mmu.write(offset, value)

    def read(self, offset):
        value = self.mmu.read(offset)
        self.trace.emit(REG_READ, offset, value)
        return value


def told(mmu):
    """All that a model says."""
    return (
        [(mmu.at(slot).roots(), mmu.at(slot).region, mmu.at(slot).is_busy()) for slot in range(4)],
        [(one.slot, one.first, one.last, one.issued, one.completed) for one in mmu.issued],
        [one.number for one in mmu.completed],
        [(one.kind, one.event, one.slot, one.value) for one in mmu.observations],
        mmu.counts,
        mmu.now,
    )


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4),
            st.sampled_from((NOP, *COMMANDS, 9)),
            st.integers(-1, 3),
            st.sampled_from((ROOT, OTHER_ROOT, 0x123)),
            ranges(),
            st.integers(0, 3),
        ),
        max_size=12,
    )
)
def test_an_observer_of_the_trace_knows_what_the_device_knows(steps):
    device = MaliDevice(slots=4)
    recorded = Recorded(device)
    observer = MaliMmu(slots=4)
    fed = 0
    for slot, number, polls, root, region, reads in steps:
        if slot < 4:
            device.stick(slot, polls)
        put64(recorded, mali.TRANSTAB, root, slot)
        put64(recorded, mali.TRANSCFG, CONFIG, slot)
        put64(recorded, mali.LOCKADDR, lock_address(*region), slot)
        command(recorded, slot, number)
        for _ in range(reads):
            get(recorded, mali.STATUS, slot)
        observer.feed(recorded.trace.words, fed)
        fed = len(recorded.trace)
        assert told(observer) == told(device)


def test_events_of_other_kinds_count_and_do_nothing():
    mmu = MaliDevice()
    trace = Trace()
    trace.emit(STORE, 0x2418, 0, UPDATE)
    trace.emit(BARRIER, BARRIER_FULL)
    mmu.feed(trace.words, 0)
    assert mmu.now == 2
    assert not mmu.at(0).is_busy()


def test_what_the_mmu_flushed_is_not_cached_in_the_view():
    """The invalidations fit the hardware view: a leaf outside the locked region stays."""
    page, leaf_table = 0x1000, ROOT + 0x3000
    machine = Machine(LPAE_S1.geometry(48), True)
    view = machine.add_space()
    context = machine.add_context(view)
    trace = Trace()
    for level in range(4):
        trace.emit(ALLOC, ROOT + page * level, page)
        trace.emit(FILL, ROOT + page * level, page, 0)
    for level in range(3):
        word = LPAE_S1.table(level, ROOT + page * (level + 1))
        trace.append(Event(STORE, ROOT + page * level, 0, word))
    for index in (0, 8):
        word = LPAE_S1.leaf(3, 0x4000_0000 + page * index, 3)
        trace.append(Event(STORE, leaf_table + 8 * index, 0, word))
    trace.emit(BARRIER, BARRIER_FULL)
    trace.emit(ATTACH, ROOT, 0)
    for index in (0, 8):
        trace.append(Event(STORE, leaf_table + 8 * index, 0, 0))
    trace.emit(BARRIER, BARRIER_FULL)
    machine.feed(trace.words, 0)
    assert len(context.tlb.leaves_in(0, 0xFFFF)) == 2

    mmu = MaliDevice()
    enable(mmu, 1)
    flush(mmu, 1, 0, page, FLUSH_PT)
    one = mmu.completed[-1]
    more = Trace()
    scope = invalidate_command(SCOPE_LEAF | SCOPE_WALK, 0, one.number)
    more.emit(INVALIDATE, one.first, one.last, scope)
    more.emit(COMPLETE, one.number)
    machine.feed(more.words, 0)
    assert [fact.first for fact in context.tlb.leaves_in(0, 0xFFFF)] == [0x8000]


# -- drivers that change tables in a locked region -------------------------------------------------


def test_an_unlock_invalidates_the_region_when_it_ends():
    mmu = MaliDevice(unlock_flushes=True)
    enable(mmu, 1, ROOT)
    lock(mmu, 1, 0x4000_0000, 0x20_0000)
    before = len(mmu.completed)
    written = mmu.now
    command(mmu, 1, UNLOCK)
    one = mmu.issued[-1]
    assert (one.slot, one.first, one.last) == (1, 0x4000_0000, 0x401F_FFFF)
    assert (one.issued, one.kind, one.roots) == (written, UNLOCK, {ROOT})
    assert len(mmu.completed) == before
    assert mmu.at(1).region is None
    wait(mmu, 1)
    assert mmu.completed[before:] == [one]
    assert not mmu.at(1).may_be_locked


def test_an_unlock_of_nothing_invalidates_nothing():
    mmu = MaliDevice(unlock_flushes=True)
    enable(mmu, 1, ROOT)
    before = len(mmu.issued)
    command(mmu, 1, UNLOCK)
    wait(mmu, 1)
    assert len(mmu.issued) == before


def test_elsewhere_an_unlock_invalidates_nothing():
    mmu = MaliDevice()
    enable(mmu, 1, ROOT)
    before = len(mmu.issued)
    lock(mmu, 1, 0, 0x8000)
    command(mmu, 1, UNLOCK)
    wait(mmu, 1)
    assert len(mmu.issued) == before


def test_an_update_invalidates_everything_when_it_ends():
    """Of the roots before it and of its own: the address space begins anew."""
    mmu = MaliDevice(unlock_flushes=True)
    enable(mmu, 1, ROOT)
    program(mmu, 1, OTHER_ROOT)
    before = len(mmu.completed)
    command(mmu, 1, UPDATE)
    assert len(mmu.completed) == before
    wait(mmu, 1)
    (one,) = mmu.completed[before:]
    assert (one.slot, one.first, one.last, one.kind) == (1, 0, TOP_VA, UPDATE)
    assert one.roots == {ROOT, OTHER_ROOT}
    assert mmu.at(1).roots() == {OTHER_ROOT}
    assert kinds(mmu) == []
