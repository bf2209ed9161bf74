"""Accesses of Mali's registers: by name, decoded, and what belongs together in one line."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.discovery import SYSTEMS
from conformance.systems.mali.registers import MaliRegisters
from reference import trace as t
from reference.systems.mali import device as mmu
from reports import terminal
from reports.counterexample import Views, load
from reports.events import tell_events

DECODER = MaliRegisters()
ORDER = t.Event(t.BARRIER, t.BARRIER_FULL)
READS = t.Event(t.BARRIER, t.BARRIER_READ)
STORE = t.Event(t.STORE, 0x8000_0000, 0, 0x8000_1003)
RESET = t.Event(t.MESSAGE, 0, t.MESSAGE_WAS_RESET)
OFF = t.Event(t.MESSAGE, 0, t.MESSAGE_POWER_OFF)


def write(name, value, slot=1, high=False):
    return t.Event(t.REG_WRITE, mmu.offset_of(name, slot) + 4 * high, value)


def read(name, value, slot=1, high=False):
    return t.Event(t.REG_READ, mmu.offset_of(name, slot) + 4 * high, value)


def halves(access, name, value, slot=1):
    """Both halves of a register, each with the barrier that a driver has before a write."""
    low, high = value & 0xFFFF_FFFF, value >> 32
    return [ORDER, access(name, low, slot), ORDER, access(name, high, slot, True)]


def idle(slot=1):
    return read(mmu.STATUS, 0, slot)


def active(count, slot=1):
    return [read(mmu.STATUS, mmu.ACTIVE, slot)] * count


def command(number, slot=1):
    return [ORDER, write(mmu.COMMAND, number, slot)]


def locked(start, size, flush=mmu.FLUSH_PT, slot=1):
    """LOCK of a range, and a flush of it, both seen to end: as panthor does it, in 10 events."""
    return [
        *halves(write, mmu.LOCKADDR, mmu.lock_address(start, size), slot)[1:],
        idle(slot),
        *command(mmu.LOCK, slot),
        idle(slot),
        *command(flush, slot),
        idle(slot),
    ]


def told(events, first=0, alone=None):
    return tell_events(events, first, len(events) - 1, (), alone, DECODER)


def texts(events, **more):
    return [line.text for line in told(events, **more)]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (write(mmu.COMMAND, mmu.UPDATE), "command     AS 1: UPDATE"),
        (write(mmu.COMMAND, mmu.UNLOCK, 15), "command     AS 15: UNLOCK"),
        (write(mmu.COMMAND, 16), "command     AS 1: 0x10, which is no command"),
        (write(mmu.COMMAND, mmu.LOCK), "command     AS 1: LOCK"),
        (
            write(mmu.COMMAND, mmu.FLUSH_MEM),
            "command     AS 1: FLUSH_MEM with no LOCK before it",
        ),
        (idle(), "reg-read    AS 1: STATUS idle"),
        (active(1)[0], "reg-read    AS 1: STATUS active once"),
        (read(mmu.STATUS, 6), "reg-read    AS 1 STATUS: idle (0x6)"),
        (write(mmu.INT_MASK, 0, mmu.NO_SLOT), "reg-write   MMU_INT_MASK = none"),
        (
            write(mmu.INT_MASK, 0xFFFD, mmu.NO_SLOT),
            "reg-write   MMU_INT_MASK = faults of AS 0, 2 to 15",
        ),
        (
            read(mmu.INT_RAWSTAT, 0x6_0003, mmu.NO_SLOT),
            "reg-read    MMU_INT_RAWSTAT: faults of AS 0, 1 and commands ended in AS 1, 2",
        ),
        (read(mmu.AS_PRESENT, 0xF, mmu.NO_SLOT), "reg-read    GPU_AS_PRESENT: AS 0 to 3"),
        (
            read(mmu.MMU_FEATURES, 0x2830, mmu.NO_SLOT),
            "reg-read    GPU_MMU_FEATURES: 48 input bits, 40 output bits",
        ),
        (
            read(mmu.FAULTSTATUS, mmu.faultstatus_of(0xC3, mmu.ACCESS_WRITE, 0x12)),
            "reg-read    AS 1 FAULTSTATUS: translation fault at level 3, write, source 0x12",
        ),
        (write(mmu.MEMATTR, 0x4C, 2), "reg-write   AS 2 MEMATTR, low half = 0x4c"),
        (write(mmu.MEMATTR, 0x4C, 2, True), "reg-write   AS 2 MEMATTR, high half = 0x4c"),
        # What is no register of the MMU, or no 32 bits, stays as it is.
        (t.Event(t.REG_WRITE, 0x30, 5), "reg-write   register 0x30, value 0x5"),
        (
            t.Event(t.REG_WRITE, 0x2458, -1),
            "reg-write   register 0x2458, value 0xffffffffffffffff",
        ),
    ],
)
def test_what_one_access_says(event, said):
    assert texts([event]) == [said]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (mmu.LOCKADDR, 0x3F, "region all addresses"),
        (
            mmu.LOCKADDR,
            0x7F001234400E,
            "region 0x7f0012340000..0x7f0012347fff (32K)",
        ),
        (mmu.LOCKADDR, 0x5000_0000_000D, "0x50000000000d, a region of less than 32K"),
        (mmu.TRANSTAB, 0x1_8000_0000, "0x180000000"),
        (mmu.MEMATTR, 0x9F9F9F9F9C4C9F4C, "0x9f9f9f9f9c4c9f4c"),
        (
            mmu.TRANSCFG,
            mmu.transcfg_of(48, True),
            "4K tables, 48 input bits, walks write-back outer shareable read-allocate",
        ),
        (
            mmu.TRANSCFG,
            mmu.transcfg_of(39, False) | 5 << 14 | 1 << 35 | 1 << 40,
            "4K tables, 39 input bits, OUTA_BITS 5, walks write-back read-allocate, WXN, "
            "and 0x10000000000",
        ),
        (mmu.TRANSCFG, 1, "unmapped"),
        (mmu.TRANSCFG, 1 | 7 << 6, "unmapped, INA_BITS 7"),
        (mmu.TRANSCFG, 2, "identity"),
        (mmu.TRANSCFG, 3, "reserved mode 3, 55 input bits"),
    ],
)
def test_two_halves_are_one_value(name, value, said):
    events = halves(write, name, value)[1:]
    assert texts(events) == [f"reg-write   AS 1 {name} = {said}"]
    # Where the offending event is one of them, the second has all that is known.
    first, _, second = texts(events, alone=0)
    assert first == f"reg-write   AS 1 {name}, low half = {value & 0xFFFF_FFFF:#x}"
    assert second == f"reg-write   AS 1 {name} = {said}"
    assert texts(events, alone=2)[-1] == f"reg-write   AS 1 {name} = {said}"
    assert texts(events, first=2) == [f"reg-write   AS 1 {name} = {said}"]


@pytest.mark.parametrize(
    "between",
    [
        write(mmu.MEMATTR, 1, high=True),
        STORE,
        idle(),
        # The same register of another AS, or of another way.
        write(mmu.LOCKADDR, 0xE, 2),
        read(mmu.LOCKADDR, 0xE),
    ],
)
def test_a_high_half_alone_is_no_whole_value(between):
    low, _, high = halves(write, mmu.LOCKADDR, 0x20000E)[1:]
    assert texts([low, between, high])[-1] == "reg-write   AS 1 LOCKADDR, high half = 0x0"
    assert texts([low, high]) == ["reg-write   AS 1 LOCKADDR = region 0x200000..0x207fff (32K)"]


def test_halves_of_two_processors_are_not_joined():
    low, _, high = halves(write, mmu.LOCKADDR, 0x20000E)[1:]
    other = t.Event(high.kind, high.a, high.b, cpu=1)
    assert texts([low, other])[-1] == "reg-write   AS 1 LOCKADDR, high half = 0x0"


def test_a_lock_and_its_flush_are_a_line_each():
    events = [STORE, ORDER, *locked(0x200000, 0x200000), STORE]
    lines = told(events)
    assert [line.text for line in lines] == [
        "store       at 0x80000000: 0x0 -> 0x80001003",
        # What makes the store visible is a line of its own.
        "barrier     full",
        "command     AS 1: LOCK 0x200000..0x3fffff (2M), seen to end",
        "command     AS 1: FLUSH_PT of 0x200000..0x3fffff (2M), seen to end",
        "store       at 0x80000000: 0x0 -> 0x80001003",
    ]
    assert [(line.first, line.last) for line in lines] == [
        (0, 0),
        (1, 1),
        (2, 9),
        (10, 11),
        (12, 12),
    ]


def test_a_flush_is_of_what_its_own_address_space_locked():
    events = [*locked(0, 1), *command(mmu.FLUSH_PT), *locked(0x8000, 1, slot=2)[:7]]
    said = texts([*events, *command(mmu.FLUSH_MEM, 2), *command(mmu.FLUSH_PT)])
    assert "command     AS 1: FLUSH_PT of 0x0..0x7fff (32K), seen to end" in said
    # The first flush released the lock, and that of AS 2 is none of AS 1.
    assert said.count("command     AS 1: FLUSH_PT with no LOCK before it") == 2
    assert "command     AS 2: FLUSH_MEM of 0x8000..0xffff (32K)" in said


@pytest.mark.parametrize("lost", [RESET, OFF])
def test_what_was_written_is_lost_with_the_registers(lost):
    locking = locked(0, 1)
    assert texts([*locking[:4], lost, *command(mmu.LOCK)])[-1] == "command     AS 1: LOCK"
    said = texts([*locking[:7], lost, *command(mmu.FLUSH_PT), idle()])[-1]
    assert said == "command     AS 1: FLUSH_PT with no LOCK before it, seen to end"
    events = [*locking[:-1], lost, idle()]
    assert DECODER.completion(events, len(events)) is None


@pytest.mark.parametrize(
    ("polls", "said"),
    [
        ([], ""),
        ([idle()], ", seen to end"),
        ([*active(1), idle()], ", STATUS active once, then seen to end"),
        ([*active(15), idle()], ", STATUS active 15 times, then seen to end"),
        ([*active(16), idle()], ", STATUS active 16 times or more, then seen to end"),
        (active(16), ", STATUS active 16 times or more"),
        # The barriers of a driver that has one after each read.
        ([active(1)[0], READS, active(1)[0], READS], ", STATUS active 2 times"),
    ],
)
def test_the_wait_for_the_end_is_counted(polls, said):
    assert texts([*command(mmu.UPDATE)[1:], *polls]) == [f"command     AS 1: UPDATE{said}"]
    assert texts([*command(mmu.UPDATE)[1:], *polls, *active(1, 2)])[:1] == [
        f"command     AS 1: UPDATE{said}"
    ]


def test_a_wait_before_a_command_is_told_where_it_took_time():
    events = [*active(2), idle(), *command(mmu.UPDATE)]
    assert texts(events) == ["command     AS 1: UPDATE, after STATUS active 2 times, then idle"]
    # Where it shows the end of another command it is a line of its own.
    assert texts([*command(mmu.UNLOCK), *events])[1:] == [
        "command     AS 1: UNLOCK, STATUS active 2 times, then seen to end",
        "command     AS 1: UPDATE",
    ]
    after = texts([*command(mmu.UNLOCK), STORE, *events])[2:]
    assert after == [
        "store       at 0x80000000: 0x0 -> 0x80001003",
        "reg-read    AS 1: STATUS active 2 times, then idle, UNLOCK seen to end",
        "command     AS 1: UPDATE",
    ]


def test_waiting_without_a_command_is_one_line():
    assert texts(active(16)) == ["reg-read    AS 1: STATUS active 16 times or more"]
    low, _, high = halves(write, mmu.LOCKADDR, 0xE)[1:]
    assert texts([low, high, *active(3), STORE])[:2] == [
        "reg-write   AS 1 LOCKADDR = region 0x0..0x7fff (32K)",
        "reg-read    AS 1: STATUS active 3 times",
    ]


def test_an_address_space_is_programmed_in_one_line():
    events = [
        *halves(write, mmu.TRANSTAB, 0x8000_0000, 2)[1:],
        *halves(write, mmu.MEMATTR, 0x9F9F9F9F9C4C9F4C, 2),
        *halves(write, mmu.TRANSCFG, mmu.MODE_UNMAPPED, 2),
        idle(2),
        *command(mmu.UPDATE, 2),
    ]
    assert texts(events) == [
        "reg-write   AS 2: TRANSTAB = 0x80000000; MEMATTR = 0x9f9f9f9f9c4c9f4c; "
        "TRANSCFG = unmapped",
        "command     AS 2: UPDATE",
    ]
    # Another AS is programmed by itself.
    assert len(texts([*events[:3], *halves(write, mmu.TRANSTAB, 0x8000_1000, 3)])) == 2


def test_what_a_fault_was_is_one_line():
    status = read(mmu.FAULTSTATUS, mmu.faultstatus_of(0xC8, mmu.ACCESS_READ, 0))
    low, _, high = halves(read, mmu.FAULTADDRESS, 0x1_0000_5000)[1:]
    assert texts([status, READS, low, READS, high, READS, STORE])[0] == (
        "reg-read    AS 1: FAULTSTATUS: permission fault at level 0, read, source 0x0; "
        "FAULTADDRESS: 0x100005000"
    )


@pytest.mark.parametrize("alone", range(10))
def test_the_offending_access_is_never_with_others(alone):
    events = locked(0x200000, 0x1000)
    lines = told(events, alone=alone)
    numbers = [n for line in lines for n in range(line.first, line.last + 1)]
    assert numbers == list(range(len(events))) == list(range(10))
    assert (alone, alone) in [(line.first, line.last) for line in lines]
    # And every command says all the same what it is about.
    said = " ".join(line.text for line in lines)
    assert "AS 1: LOCK 0x200000..0x207fff (32K)" in said
    assert "AS 1: FLUSH_PT of 0x200000..0x207fff (32K)" in said
    assert "FLUSH_PT" in lines[-1].text
    assert "seen to end" in said


ALPHABET = [
    *locked(0, 1),
    *locked(0x8000, 1, mmu.FLUSH_MEM, slot=2),
    *halves(write, mmu.TRANSTAB, 0x8000_0000),
    *command(mmu.UPDATE),
    *command(mmu.UNLOCK, 2),
    *active(1),
    read(mmu.FAULTSTATUS, 0xC3),
    write(mmu.INT_MASK, 1, mmu.NO_SLOT),
    t.Event(t.REG_WRITE, 0x30, 5),
    t.Event(t.REFS, 0, 0, 1),
    READS,
    STORE,
    RESET,
]


@given(events=st.lists(st.sampled_from(ALPHABET), max_size=40), data=st.data())
def test_every_event_is_told_once_and_in_order(events, data):
    some = st.integers(0, len(events) - 1) if events else st.nothing()
    first = data.draw(st.just(0) | some) if events else 0
    alone = data.draw(st.none() | some) if events else None
    lines = told(events, first=first, alone=alone)
    numbers = [n for line in lines for n in range(line.first, line.last + 1)]
    assert numbers == list(range(first, len(events)))
    if alone is not None and alone >= first:
        assert (alone, alone) in [(line.first, line.last) for line in lines]
    assert not [line for line in lines if "\n" in line.text or line.text != line.text.strip()]


@given(
    pieces=st.lists(
        st.sampled_from(
            [
                locked(0, 1),
                locked(0, 1)[:-1],
                locked(0x8000, 1, mmu.FLUSH_MEM, slot=2),
                [*command(mmu.UPDATE), idle()],
                [idle()],
                [*active(2, 2), idle(2)],
                [STORE],
            ]
        ),
        max_size=8,
    )
)
def test_what_the_device_completed_is_seen_to_be_completed(pieces):
    events = [event for piece in pieces for event in piece]
    trace = t.Trace()
    for event in events:
        trace.append(event)
    device = mmu.MaliMmu()
    device.feed(trace.words, 0)
    for one in device.completed:
        number = int(one.completed)
        assert DECODER.completion(events, number + 1) == number
        assert DECODER.completion(events, number) != number


# -- in a telling -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kb21():
    return load(Path(__file__).parents[1] / "reports" / "data" / "kb-21.json")


def told_of(kb21, system, events, offending):
    """How the counterexample is told with these events instead of its own."""
    trace = t.Trace()
    for event in events:
        trace.append(event)
    views = Views("x", offending, 1, None)
    told = dataclasses.replace(kb21, system=system, trace=tuple(trace.to_json()), views=views)
    return terminal.tell(told, vocabulary=SYSTEMS[system].vocabulary)


def test_only_mali_has_these_registers(kb21):
    events = [t.Event(t.BEGIN, 1), STORE, ORDER, *locked(0, 1), t.Event(t.END, 0)]
    mali = told_of(kb21, "mali", events, 1)
    assert "  3  command     AS 1: LOCK 0x0..0x7fff (32K), seen to end\n" in mali
    assert " 11  command     AS 1: FLUSH_PT of 0x0..0x7fff (32K), seen to end\n" in mali
    assert "register 0x" not in mali
    other = told_of(kb21, "pagetable", events, 1)
    assert "  3  reg-write   register 0x2450, value 0xe\n" in other
    assert "LOCK" not in other


def test_events_are_told_from_the_last_flush_that_was_seen_to_end(kb21):
    flush = locked(0, 1)
    events = [t.Event(t.BEGIN, 0), *flush, t.Event(t.END, 0), t.Event(t.BEGIN, 1), STORE]
    told = told_of(kb21, "mali", events, len(events) - 1)
    assert f"was completed at event {len(flush)}: told from there" in " ".join(told.split())
    assert "LOCK" not in told.split("event by event")[1]
    unseen = [*events[: len(flush)], *events[len(flush) + 1 :]]
    told = told_of(kb21, "mali", unseen, len(unseen) - 1)
    assert "No invalidation was completed before it: told from the beginning" in " ".join(
        told.split()
    )
    assert "command     AS 1: FLUSH_PT of 0x0..0x7fff (32K)\n" in told
