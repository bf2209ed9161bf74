"""Accesses of NVIDIA's invalidation registers: what belongs together in one line, decoded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.systems.nvidia.trace_words import NvidiaRegisters
from reference import trace as t
from reference.formats.nvidia import nvidia_format
from reference.systems.nvidia import device as mmu
from reports.events import tell_events
from reports.registers import Accesses

DECODER = NvidiaRegisters()
ROOT = 0x8000_0000
IDLE, BUSY, FULL, ODD = 0xFF8000, 0xFE0000, 0, 0x1_0001
STORE = t.Event(t.STORE, 0x8000_0000, 0, 0x8000_102)
START = t.Event(t.REG_WRITE, mmu.START, mmu.START_NOW | mmu.PAGE_ALL)
WARN = t.Event(t.WARN)


def read(value, cpu=0):
    return t.Event(t.REG_READ, mmu.STATUS, value, 0, cpu)


def write(register, value):
    return t.Event(t.REG_WRITE, register, value)


def start(kind):
    return write(mmu.START, mmu.START_NOW | kind)


def select(root=ROOT, aperture=0, high=True):
    low, rest = mmu.pdb_of(root, aperture)
    return [write(mmu.SELECT, low), *([write(mmu.SELECT_HIGH, rest)] if high else [])]


def invalidation(kind=mmu.PAGE_ALL, slots=(IDLE,), waits=(IDLE,), **selected):
    """What a driver does, from the wait for a free slot to the wait for the end."""
    selects = [] if kind & mmu.ALL_PDB else select(**selected)
    return [*map(read, slots), *selects, start(kind), *map(read, waits)]


def told(events, first=0, alone=None):
    return tell_events(events, first, len(events) - 1, (), alone, DECODER)


def texts(events, **more):
    return [line.text for line in told(events, **more)]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (read(IDLE), "reg-read    STATUS: 255 free slots, all done"),
        (read(FULL), "reg-read    STATUS: 0 free slots, not all done"),
        (read(ODD), "reg-read    STATUS: 1 free slot, not all done (0x10001)"),
        (write(mmu.SELECT, 0x80_0000), "reg-write   PDB = 0x80000000 in vram"),
        (write(mmu.SELECT, 0x80_0002), "reg-write   PDB = 0x80000000 in host"),
        (write(mmu.SELECT_HIGH, 1), "reg-write   PDB, high half = 0x1"),
        (write(mmu.STATUS, 1), "reg-write   STATUS = 0x1"),
        # Without bit 31 it starts nothing.
        (write(mmu.START, 1), "reg-write   INVALIDATE = 0x1"),
        (START, "invalidate  of no PDB that was selected, all pages"),
        (start(3), "invalidate  all PDBs, all pages"),
        (start(2), "invalidate  all PDBs, not all pages"),
        (start(7), "invalidate  all PDBs, all pages, in the hub's caches only"),
        (start(0xB), "invalidate  all PDBs, all pages, faults replayed"),
        (start(0x1B), "invalidate  all PDBs, all pages, a fault cancelled"),
        (start(0x13), "invalidate  all PDBs, all pages, replay 2"),
        (start(0x103), "invalidate  all PDBs, all pages, and 0x100"),
        # What is no register of these, or no 32 bits, stays as it is.
        (write(0x100C84, 5), "reg-write   register 0x100c84, value 0x5"),
        (t.Event(t.REG_READ, mmu.STATUS, -1), "reg-read    register 0x100c80, value 0x" + "f" * 16),
    ],
)
def test_what_one_access_says(event, said):
    assert texts([event]) == [said]


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        (1, {}, "PDB 0x80000000 in vram, all pages: seen to end"),
        (1, {"aperture": 3}, "PDB 0x80000000 in ncoh, all pages: seen to end"),
        (1, {"root": 0x345_0000_1000}, "PDB 0x34500001000 in vram, all pages: seen to end"),
        # GF100 to GM200 have no high half.
        (1, {"high": False}, "PDB 0x80000000 in vram, all pages: seen to end"),
        (5, {}, "PDB 0x80000000 in vram, all pages, in the hub's caches only: seen to end"),
        (3, {}, "all PDBs, all pages: seen to end"),
        # Nobody waited for its end.
        (1, {"waits": ()}, "PDB 0x80000000 in vram, all pages"),
        (
            1,
            {"waits": (BUSY, BUSY, IDLE)},
            "PDB 0x80000000 in vram, all pages: seen to end, after 2 reads",
        ),
        (1, {"waits": (BUSY,)}, "PDB 0x80000000 in vram, all pages: not seen to end in 1 read"),
        (
            1,
            {"waits": (BUSY,) * 16},
            "PDB 0x80000000 in vram, all pages: not seen to end in 16 reads or more",
        ),
        (
            1,
            {"slots": (FULL, FULL, BUSY)},
            "PDB 0x80000000 in vram, all pages, after 2 reads without a free slot: seen to end",
        ),
        (
            1,
            {"slots": (FULL,) * 16, "waits": ()},
            "PDB 0x80000000 in vram, all pages, with no free slot in 16 reads or more",
        ),
        # Nobody looked for a free slot: that is a matter for OR-30, and no words here.
        (1, {"slots": ()}, "PDB 0x80000000 in vram, all pages: seen to end"),
    ],
)
def test_an_invalidation_is_one_line(kind, given, said):
    events = invalidation(kind, **given)
    assert [(line.first, line.last, line.text) for line in told([STORE, *events, STORE])][1:-1] == [
        (1, len(events), f"invalidate  {said}")
    ]


def test_what_is_selected_stays_selected():
    events = [*invalidation(root=0x5000), STORE, read(IDLE), START, read(IDLE)]
    assert texts(events)[-1] == "invalidate  PDB 0x5000 in vram, all pages: seen to end"
    # Also where the select is not among the events that are told.
    assert texts(events, first=5) == texts(events)[1:]


def test_equal_answers_that_lead_to_nothing_are_one_line():
    events = [*[read(FULL)] * 16, WARN, *invalidation(slots=())]
    assert texts(events)[0] == "reg-read    STATUS 16 times or more: 0 free slots, not all done"
    assert [line.first for line in told(events)] == [0, 16, 17]
    assert texts([read(FULL), read(FULL), read(IDLE)]) == [
        "reg-read    STATUS 2 times: 0 free slots, not all done",
        "reg-read    STATUS: 255 free slots, all done",
    ]


def test_an_end_that_is_seen_late_is_said():
    late = "; the invalidation before is seen to end"
    events = [*invalidation(waits=()), STORE, read(IDLE), STORE, read(IDLE)]
    assert texts(events)[2] == "reg-read    STATUS: 255 free slots, all done" + late
    assert texts(events)[4] == "reg-read    STATUS: 255 free slots, all done"
    events = [*invalidation(waits=()), STORE, *invalidation()]
    assert texts(events)[2].endswith("seen to end" + late)


def test_the_offending_event_stands_alone():
    events = invalidation(waits=(BUSY, IDLE))
    for alone in range(len(events)):
        lines = told(events, alone=alone)
        assert (alone, alone) in [(line.first, line.last) for line in lines]
        assert [n for line in lines for n in range(line.first, line.last + 1)] == list(range(6))
    # The PDB that was selected before is still known.
    assert texts(events, alone=3)[3] == "invalidate  PDB 0x80000000 in vram, all pages"


def test_accesses_of_two_processors_are_no_one_invalidation():
    events = invalidation()
    events[-1] = read(IDLE, cpu=1)
    assert texts(events)[0] == "reg-read    STATUS: 255 free slots, all done"
    assert texts(events)[-1].endswith("all done; the invalidation before is seen to end")


# -- completion -------------------------------------------------------------------------------


def test_the_last_completed_invalidation_is_found():
    events = [STORE, *invalidation(), STORE, *invalidation(waits=(BUSY, BUSY)), STORE]
    assert DECODER.completion(events, len(events)) == 5
    assert DECODER.completion(events, 5) is None
    events.append(read(IDLE))
    assert DECODER.completion(events, len(events)) == len(events) - 1
    # That a slot is free, or nothing runs, says nothing of an invalidation there was not.
    assert DECODER.completion([STORE, read(IDLE), write(mmu.START, 1), read(IDLE)], 4) is None


EVENTS = st.sampled_from(
    [read(IDLE), read(BUSY), read(FULL), START, start(3), *select(), STORE, WARN]
)


@given(st.lists(EVENTS, max_size=30), st.data())
def test_each_access_is_told_once_and_completion_is_that_of_the_model(events, data):
    first = data.draw(st.integers(0, len(events)))
    alone = data.draw(st.none() | st.integers(0, 30))
    found = DECODER.accesses(events, first, len(events) - 1, alone)
    covered = [n for one in found for n in range(one.first, one.last + 1)]
    wanted = [n for n in range(first, len(events)) if events[n] not in (STORE, WARN)]
    assert covered == wanted
    assert all(isinstance(one, Accesses) and one.text for one in found)
    model = mmu.NvidiaMmu(nvidia_format("gp100"))
    ends = []
    for number, event in enumerate(events):
        model.now = number
        model.take(event.kind, event.a, event.b, event.c)
        ends += [number] if any(one.completed == number for one in model.invalidations) else []
    assert DECODER.completion(events, len(events)) == (ends[-1] if ends else None)
