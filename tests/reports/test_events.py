"""Events in words, long runs of like ones in one line, and what stores mean for the table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.systems.mali.telling import EVENT_WORDS as MALI
from conformance.systems.mali.telling import vm_roots
from conformance.systems.nvidia.telling import EVENT_WORDS as NVIDIA
from conformance.systems.va_alloc.telling import EVENT_WORDS as VA_ALLOC
from reference import trace as t
from reference.formats import format_by_name
from reference.systems.gpuvm.events import (
    PT_MAP,
    PT_UNMAP,
    VALIDATED,
    VMA,
    VMA_ADD,
    VMA_REMOVE,
    backing_of,
)
from reference.systems.mali.events import FENCE, SLOT, VM
from reference.systems.nvidia.events import (
    AREA_MAPPED,
    AREA_NO_PAGE,
    AREA_PART,
    PT_REFS,
    PT_STATE,
    STATE_SPARSE,
    TABLE_SPARSE,
)
from reference.systems.va_alloc.promise import RANGE
from reports.events import LEAST_RUN, EventWords, Run, event_text, runs, tell_events
from reports.stores import annotate

GEOMETRY = format_by_name("lpae-s1").geometry(48)
ROOT, L1, L2, L3 = 0x80000000, 0x80001000, 0x80002000, 0x80003000
PAGE, BLOCK = 0xF47, 0xF45

WORDS = EventWords({**NVIDIA.texts, **VA_ALLOC.texts, **MALI.texts})
"""Those of all systems; mappings are a VA manager's, and not areas."""

held = st.integers(-(2**63), 2**63 - 1)


def stores(count, pa=L3, old=0, new=0x1000 | PAGE, step=0x1000, place=1):
    return [t.Event(t.STORE, pa + 8 * i, old, new + step * i, place=place) for i in range(count)]


def linked():
    """A root with the three tables below it, for address 0."""
    made = []
    for pa in (ROOT, L1, L2, L3):
        made += [t.Event(t.ALLOC, pa, 4096), t.Event(t.FILL, pa, 4096, 0)]
    made.append(t.Event(t.ATTACH, ROOT, 0))
    made += [t.Event(t.STORE, pa, 0, below | 3) for pa, below in ((ROOT, L1), (L1, L2), (L2, L3))]
    return made


@given(data=st.data(), kind=st.sampled_from(sorted(t.KINDS)))
def test_every_event_has_a_line_of_its_own(data, kind):
    event = t.Event(kind, *(data.draw(held) for _ in t.KINDS[kind][1]))
    line = event_text(event, words=WORDS)
    assert line == line.strip()
    assert "\n" not in line
    assert "0x-" not in line


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (t.Event(t.STORE, L3, 0, -1), "store       at 0x80003000: 0x0 -> 0xffffffffffffffff"),
        (t.Event(t.BARRIER, 1), "barrier     order of stores only"),
        (t.Event(t.BARRIER, 9), "barrier     type 9"),
        (t.Event(t.END, -12, 0x1000), "return      -ENOMEM (-12), value 0x1000"),
        (
            t.Event(t.INVALIDATE, 0x5000, 0x5FFF, t.invalidate_command(1, t.CAUSE_SYNC, 7)),
            "invalidate  0x5000..0x5fff (4K), leaf entries only, ticket 7: "
            "the caller syncs its gather",
        ),
        (
            t.Event(t.INVALIDATE, 0, -1, t.invalidate_command(3, t.CAUSE_ALL, 1)),
            "invalidate  all addresses, leaf and walk entries, ticket 1: "
            "the driver flushes everything",
        ),
        (
            t.Event(t.INVALIDATE, 0x5000, 0x4FFF, t.invalidate_command(8, 9, 1)),
            "invalidate  0x5000 to 0x4fff, which is backwards, scope 0x8, ticket 1: cause 9",
        ),
        (
            t.Event(t.WILD, 0x10, 8, 1),
            "WILD        write of 8 bytes at 0x10, outside all memory of the code",
        ),
        (t.Event(t.LOCK, 3), "lock        lock 3"),
        (
            t.Event(VMA_ADD, 0x5000, 0x6FFF, backing_of(3, 0x2000)),
            "vma-add     0x5000..0x6fff (8K): buffer 3 from 0x2000",
        ),
        (
            t.Event(VMA_REMOVE, 0, 0xFFF, backing_of(0xFFFF, (1 << 48) - 1)),
            "vma-remove  0x0..0xfff (4K): buffer 65535 from 0xffffffffffff",
        ),
        (
            t.Event(VMA, -0x2000, -0x1001, 0),
            "vma         0xffffffffffffe000..0xffffffffffffefff (4K): buffer 0 from 0x0",
        ),
        (
            t.Event(RANGE, 0x5000, 0x6FFF, 3),
            "range       0x5000..0x6fff (8K): range 3",
        ),
        (
            t.Event(RANGE, 0, 0xFFF, -1),
            "range       0x0..0xfff (4K): a hole",
        ),
        (
            t.Event(PT_MAP, 0x5000, 0x4FFF, backing_of(1, 0)),
            "pt-map      0x5000 to 0x4fff, which is backwards: buffer 1 from 0x0",
        ),
        (t.Event(PT_UNMAP, 0x5000, 0x6FFF), "pt-unmap    0x5000..0x6fff (8K)"),
        (t.Event(t.REFS, t.REFS_VM, 0, 4), "refs        VM: 4 references"),
        (t.Event(t.REFS, t.REFS_BUFFER, 2, 1), "refs        buffer 2: 1 reference"),
        (t.Event(t.REFS, t.REFS_VM_BO, 2, 0), "refs        link of buffer 2: none left"),
        (t.Event(t.REFS, t.REFS_VM_BO, 2, -1), "refs        link of buffer 2: -1 references"),
        (t.Event(t.REFS, 7, 2, 1), "refs        count 7 of 2: 1 reference"),
        (t.Event(t.REFS, t.REFS_VM, 1, 2), "refs        VM 1: 2 references"),
        (t.Event(t.REFS, t.REFS_PINS, 2, 1), "refs        pages of buffer 2: 1 pin"),
        (t.Event(t.REFS, t.REFS_PINS, 2, 0), "refs        pages of buffer 2: none left"),
        (t.Event(VALIDATED, 2), "validated   the pages of buffer 2 again"),
        (t.Event(VM, 3), "vm          3, which the next events are about"),
        (t.Event(FENCE, 3, 0), "fence       3 is signalled, without an error"),
        (t.Event(FENCE, 3, -22), "fence       3 is signalled, with -EINVAL (-22)"),
        (t.Event(SLOT, 3, 1, 2), "slot        1 has VM 3, 2 jobs running"),
        (t.Event(SLOT, 3, 1, 1), "slot        1 has VM 3, 1 job running"),
        (t.Event(SLOT, 3, -1, 0), "slot        VM 3 has none, no job running"),
        (t.Event(t.MESSAGE, 0, t.MESSAGE_RESET), "message     the device is to be reset, later"),
        (t.Event(PT_REFS, 4, 1, 0), "pt-refs     directory of 0x0, level 4: 1 reference"),
        (
            t.Event(PT_REFS, 0x200000 | TABLE_SPARSE, 2, 16),
            "pt-refs     tables of 0x200000, sparse: 2 references to large pages, 16 to small ones",
        ),
        (t.Event(PT_REFS, 0, 0, 0), "pt-refs     tables of 0x0: none left"),
        (
            t.Event(PT_STATE, 0x10000, 0x2FFFF, 0x43),
            "pt-state    large entries of 0x10000..0x2ffff (128K): count 3, VALID (0x43)",
        ),
        (
            # What does not fit in six bits goes on from bit 8.
            t.Event(PT_STATE, 0, 0xFFFF, 0x1C1),
            "pt-state    large entries of 0x0..0xffff (64K): count 65, VALID, SPARSE (0x1c1)",
        ),
        (
            t.Event(PT_STATE, 1, 0x1FFFFF, STATE_SPARSE),
            "pt-state    directory entries of 0x0..0x1fffff (2M), level 1: SPARSE",
        ),
        (
            t.Event(PT_STATE, 1, 0x1FFFFF, 0),
            "pt-state    directory entries of 0x0..0x1fffff (2M), level 1: not sparse",
        ),
        (
            t.Event(PT_STATE, 0, 0xFFFF, 0),
            "pt-state    large entries of 0x0..0xffff (64K): count 0 (0x0)",
        ),
        (
            t.Event(t.DMA_MAP, 0x5000, 0x1000),
            "dma-map     4K at 0x5000: the device is let at them",
        ),
        (
            t.Event(t.DMA_UNMAP, 0x5000, 0x1000),
            "dma-unmap   4K at 0x5000: the device is no longer let at them",
        ),
    ],
)
def test_what_events_say(event, said):
    assert event_text(event, words=WORDS) == said


def test_areas_are_told_as_such():
    backing = backing_of(2, AREA_MAPPED | AREA_PART | 5)
    events = [
        t.Event(PT_REFS, 4, 1, 0),
        t.Event(VMA_REMOVE, 0, 0xFFF, backing_of(1, AREA_NO_PAGE)),
        t.Event(VMA_ADD, 0, 0xFFF, backing),
    ]
    assert [line.text for line in tell_events(events, 1, 2, words=NVIDIA)] == [
        "vma-remove  0x0..0xfff (4K): area 1, no pages referenced",
        "vma-add     0x0..0xfff (4K): part of area 2, page size 5, mapped",
    ]


def test_counts_of_tables_and_memories_in_a_row_are_one_line():
    events = [
        t.Event(t.REFS, t.REFS_BUFFER, 0, 1),
        t.Event(PT_REFS, 2, 2, 0),
        t.Event(PT_REFS, 1 | TABLE_SPARSE, 1, 0),
        t.Event(PT_REFS, 0x200000, 0, 0),
        t.Event(PT_REFS, 0, 1, 16),
        t.Event(t.REFS, t.REFS_BUFFER, 0, 2),
        t.Event(t.REFS, t.REFS_BUFFER, 1, 1),
    ]
    assert [(line.first, line.text) for line in tell_events(events, 0, 6, words=NVIDIA)] == [
        (0, "refs        memory 0: 1 reference"),
        (
            1,
            "pt-refs     directory of 0x0, level 2: 2; directory of 0x0, level 1, sparse: 1; "
            "tables of 0x200000: none left; tables of 0x0: 1 to large pages, 16 to small ones",
        ),
        (5, "refs        memory 0: 2, memory 1: 1"),
    ]
    told = tell_events(events, 0, 6, alone=3, words=NVIDIA)
    assert [(line.first, line.last) for line in told] == [
        (0, 0), (1, 2), (3, 3), (4, 4), (5, 6)
    ]  # fmt: skip


def test_runs_of_dma():
    unmapped = [t.Event(t.DMA_UNMAP, 0x1000 * at, 0x1000) for at in range(4)]
    (line,) = tell_events(unmapped, 0, 3)
    assert line.text == "dma-unmap   4 times 4K, 0x0 to 0x3000"
    pages = [
        event
        for at in range(4)
        for event in (t.Event(t.DMA_MAP, 0x1000 * at, 0x1000), stores(1, L3 + 8 * at)[0])
    ]
    (line,) = tell_events(pages, 0, 7)
    assert line.text.startswith("in turn     4 times: dma-map 4 times 4K, 0x0 to 0x3000; store 4 ")


def test_a_run_of_stores_is_one_line():
    (line,) = tell_events(stores(512), 0, 511, ["", "init_pte"])
    assert (line.first, line.last, line.place) == (0, 511, "init_pte")
    assert line.text == (
        "store       512 words in one table, 0x80003000..0x80003ff8: "
        "0x0 -> 0x1f47 up to 0x200f47, +0x1000 each"
    )


def test_scattered_pages_cleared_in_a_row_are_one_line():
    cleared = [t.Event(t.STORE, L3 + 8 * i, (i * 7 % 5 + 1) << 12 | PAGE, 0) for i in range(6)]
    (line,) = tell_events(cleared, 0, 5)
    assert "6 words in one table" in line.text
    assert line.text.endswith("-> 0x0")


@pytest.mark.parametrize(
    "events",
    [
        stores(LEAST_RUN - 1),
        # Another table, another function, another step, another kind of change.
        [store for i in range(6) for store in stores(1, pa=L3 + 0x1000 * i)],
        [store for i in range(6) for store in stores(1, pa=L3 + 8 * i, place=i)],
        [store for i in range(6) for store in stores(1, pa=L3 + 8 * i, new=(i * i) << 12 | 3)],
        [store for i in range(6) for store in stores(1, pa=L3 + 8 * i, old=i % 2, step=0)],
        [store for i in range(6) for store in stores(1, pa=L3 + 16 * i)],
        stores(6, pa=L3 + 0xFE8),
    ],
)
def test_what_is_not_alike_is_told_one_by_one(events):
    assert len(tell_events(events, 0, len(events) - 1)) == len(events)


def test_the_offending_event_is_never_inside_a_run():
    told = tell_events(stores(20), 0, 19, alone=10)
    assert [(line.first, line.last) for line in told] == [(0, 9), (10, 10), (11, 19)]


def test_gathers_frees_and_cleans_come_in_runs_too():
    gathers = [t.Event(t.GATHER, 0x5000 + 0x1000 * i, 0x1000) for i in range(5)]
    assert tell_events(gathers, 0, 4)[0].text == (
        "gather      5 times 4K, 0x5000..0x9fff, for a later invalidation"
    )
    frees = [t.Event(t.FREE, L3 - 0x1000 * i, 0x1000) for i in range(4)]
    assert tell_events(frees, 0, 3)[0].text == "free        4 times 4K, 0x80003000 to 0x80000000"
    apart = [t.Event(t.GATHER, 0x5000 + 0x2000 * i, 0x1000) for i in range(5)]
    assert len(tell_events(apart, 0, 4)) == 5


IN_VM = [t.Event(VM, 2), t.Event(VMA_ADD, 0x5000, 0x6FFF, backing_of(3, 0x2000))]
REFS = [
    t.Event(t.REFS, t.REFS_VM, 0, 5),
    t.Event(t.REFS, t.REFS_VM_BO, 3, 0),
    t.Event(t.REFS, t.REFS_BUFFER, 3, 2),
    t.Event(t.REFS, t.REFS_PINS, 3, 1),
]


def test_where_there_are_several_vms_each_event_says_which_it_is_about():
    events = [*IN_VM, t.Event(PT_UNMAP, 0, 0xFFF), t.Event(VM, 1), REFS[1], IN_VM[1]]
    assert [line.text for line in tell_events(events, 1, len(events) - 1, words=MALI)] == [
        "vma-add     0x5000..0x6fff (8K) in VM 2: buffer 3 from 0x2000",
        "pt-unmap    0x0..0xfff (4K) in VM 2",
        "vm          1, which the next events are about",
        "refs        link of buffer 3 in VM 1: none left",
        "vma-add     0x5000..0x6fff (8K) in VM 1: buffer 3 from 0x2000",
    ]
    # It is said for one operation; the number of VM 0 is told all the same.
    events += [t.Event(t.BEGIN, 1), IN_VM[1], REFS[0]]
    assert [line.text for line in tell_events(events, 7, len(events) - 1, words=MALI)] == [
        "vma-add     0x5000..0x6fff (8K): buffer 3 from 0x2000",
        "refs        VM 0: 5 references",
    ]
    # Where there is only one, it has no number.
    assert tell_events(REFS, 0, 0, words=MALI)[0].text == "refs        VM: 5 references"


def test_counts_in_a_row_are_one_line():
    (line,) = tell_events(REFS, 0, 3, words=MALI)
    assert (line.first, line.last) == (0, 3)
    assert line.text == (
        "refs        VM: 5, link of buffer 3: 0, buffer 3: 2, pages of buffer 3: 1"
    )
    events = [IN_VM[0], *REFS, t.Event(SLOT, 0, 1, 1), *REFS[:2]]
    told = [line.text for line in tell_events(events, 0, len(events) - 1, alone=3, words=MALI)]
    assert told[1:] == [
        "refs        VM 0: 5, link of buffer 3 in VM 2: 0",
        "refs        buffer 3: 2 references",
        "refs        pages of buffer 3: 1 pin",
        "slot        1 has VM 0, 1 job running",
        "refs        VM 0: 5, link of buffer 3 in VM 2: 0",
    ]


def test_an_allocation_and_its_zeroing_are_one_line():
    events = linked()[:2]
    assert [line.text for line in tell_events(events, 0, 1, words=MALI)] == [
        "alloc       4K at 0x80000000 zeroed"
    ]
    assert len(tell_events(events, 0, 1, alone=1, words=MALI)) == 2
    assert len(tell_events([events[0], t.Event(t.FILL, L1, 4096, 0)], 0, 1, words=MALI)) == 2


@given(
    events=st.lists(
        st.sampled_from(
            [*stores(6), *linked()[:2], *REFS, *IN_VM, t.Event(t.BARRIER), t.Event(t.GATHER, 0, 1)]
        ),
        max_size=30,
    ),
    data=st.data(),
)
def test_every_event_is_told_once_and_in_order(events, data):
    alone = data.draw(st.none() | st.integers(0, len(events) - 1)) if events else None
    told = tell_events(events, 0, len(events) - 1, alone=alone, words=MALI)
    assert [n for line in told for n in range(line.first, line.last + 1)] == list(
        range(len(events))
    )
    if alone is not None:
        assert any((line.first, line.last) == (alone, alone) for line in told)


# -- what stores mean ------------------------------------------------------------------------


def notes_of(events, alone=None):
    return {note.event: note.text for note in annotate(events, GEOMETRY, alone)}


def test_tables_and_stores_get_their_level_and_address():
    events = [*linked(), t.Event(t.STORE, L3 + 0x28, 0, 0x1000 | PAGE)]
    notes = notes_of(events)
    assert notes[0] == "root table, level 0"
    assert notes[6] == "level 3 table of 0x0 (2M)"
    assert notes[11] == "level 2 entry of 0x0 (2M): invalid -> table pa=0x80003000"
    assert notes[12].startswith("level 3 entry of 0x5000 (4K): invalid -> page pa=0x1000")


def test_a_table_that_is_filled_before_it_is_linked_has_its_address_too():
    block = 0x140200000
    events = [*linked()[:6], *linked()[8:11], t.Event(t.STORE, L2 + 8, 0, block | BLOCK)]
    split = len(events)
    events += [t.Event(t.ALLOC, L3, 4096), *stores(512, new=block | PAGE)]
    events.append(t.Event(t.STORE, L2 + 8, block | BLOCK, L3 | 3))
    notes = notes_of(events)
    assert notes[split] == "level 3 table of 0x200000 (2M)"
    assert notes[split + 1].startswith("level 3 entry of 0x200000 (4K): invalid -> page pa=0x14020")
    assert split + 2 not in notes
    assert notes[len(events) - 1].startswith(
        "level 2 entry of 0x200000 (2M), from valid to valid: block pa=0x140200000"
    )
    # The offending event inside a run has a note of its own.
    assert split + 6 in notes_of(events, alone=split + 6)


def test_a_freed_table_says_what_was_left_in_it():
    events = [*linked(), *stores(2), t.Event(t.STORE, L3, 0x1000 | PAGE, 0)]
    events.append(t.Event(t.FREE, L3, 4096))
    assert notes_of(events)[len(events) - 1] == (
        "level 3 table of 0x0 (2M), with 1 valid entry still in it"
    )
    events[-1:] = [t.Event(t.FILL, L3, 4096, 0), t.Event(t.FREE, L3, 4096)]
    assert notes_of(events)[len(events) - 1] == "level 3 table of 0x0 (2M)"


def test_memory_that_is_used_again_has_its_new_place():
    events = [*linked(), t.Event(t.STORE, L2, L3 | 3, 0), t.Event(t.FREE, L3, 4096)]
    again = len(events)
    events += [t.Event(t.ALLOC, L3, 4096), t.Event(t.STORE, L1 + 8, 0, L3 | 3)]
    events.append(t.Event(t.STORE, L3 + 8, 0, 0x40000000 | BLOCK))
    notes = notes_of(events)
    assert notes[again] == "level 2 table of 0x40000000 (1G)"
    assert notes[again + 2].startswith("level 2 entry of 0x40200000 (2M): invalid -> block")


def test_a_change_that_the_walker_does_not_see_is_said_to_be_none():
    synced = L3 | 3 | 1 << 55
    events = [*linked(), t.Event(t.STORE, L2, L3 | 3, synced)]
    assert notes_of(events)[len(events) - 1].endswith("the same to the walker as before")


def test_tables_may_be_linked_from_the_bottom_up():
    events = linked()
    reversed_links = [*events[:9], *reversed(events[9:])]
    notes = notes_of(reversed_links)
    assert notes[6] == "level 3 table of 0x0 (2M)"
    assert notes[9] == "level 2 entry of 0x0 (2M): invalid -> table pa=0x80003000"


def test_a_store_to_freed_memory_is_not_taken_for_an_entry():
    events = [*linked(), t.Event(t.FREE, L3, 4096), *stores(1)]
    assert len(events) - 1 not in notes_of(events)


def test_the_first_page_of_a_vm_is_its_root():
    other = ROOT + 0x10000
    events = [
        t.Event(t.BEGIN, 0),
        t.Event(VM, 0),
        t.Event(t.ALLOC, other, 4096),
        # It could not be made: the next one has its number.
        t.Event(t.FREE, other, 4096),
        t.Event(t.BEGIN, 1),
        t.Event(t.ALLOC, 0x9000, 4096),
        t.Event(VM, 0),
        *(event for event in linked() if event.kind != t.ATTACH),
        t.Event(VM, 1),
        t.Event(t.ALLOC, other, 4096),
        t.Event(t.STORE, other + 8, 0, L1 | 3),
    ]
    first = 7
    assert vm_roots(events) == {2, first, len(events) - 2}
    notes = {note.event: note.text for note in annotate(events, GEOMETRY, None, vm_roots(events))}
    assert notes[first] == notes[len(events) - 2] == "root table, level 0"
    assert notes[first + 6] == "level 3 table of 0x0 (2M)"
    assert notes[len(events) - 1].startswith("level 0 entry of 0x8000000000 (512G): invalid -> ")
    assert 5 not in notes
    assert notes_of(events) == {}


def test_what_was_never_linked_has_no_note():
    events = [t.Event(t.ALLOC, L3, 4096), *stores(1), t.Event(t.STORE, 0x9000, 0, 3)]
    assert notes_of(events) == {}


def test_pages_that_are_cleared_one_by_one_are_told_in_turn():
    events = []
    for i in range(512):
        events += [
            t.Event(t.STORE, L3 + 8 * i, 0x1000 * i | PAGE, 0),
            t.Event(t.CLEAN, L3 + 8 * i, 8),
            t.Event(t.GATHER, 0x1000 * i, 0x1000),
        ]
    events.append(t.Event(t.BARRIER, 0))
    turn, barrier = tell_events(events, 0, len(events) - 1, words=MALI)
    assert (turn.first, turn.last, turn.period) == (0, 1535, 3)
    assert turn.text == (
        "in turn     512 times: store 512 words in one table, 0x80003000..0x80003ff8: "
        "0xf47..0x1fff47 -> 0x0; clean 512 times 8 bytes, 0x80003000 to 0x80003ff8; "
        "gather 512 times 4K, 0x0..0x1fffff, for a later invalidation"
    )
    assert barrier.text == "barrier     full"
    # One that is out of order, or the offending one, is not lost in it.
    told = tell_events(events, 0, len(events) - 1, alone=700, words=MALI)
    assert any((line.first, line.last) == (700, 700) for line in told)
    assert len(told) < 10


def test_invalidations_one_by_one_are_told_in_turn_too():
    events = []
    for i in range(4):
        command = t.invalidate_command(1, t.CAUSE_GATHER, i + 1)
        events += [
            t.Event(t.BARRIER, 0),
            t.Event(t.INVALIDATE, 0x1000 * i, 0x1000 * i + 0xFFF, command),
            t.Event(t.COMPLETE, i + 1),
        ]
    (turn,) = tell_events(events, 0, len(events) - 1, words=MALI)
    assert "invalidate 4 ranges, 0x0..0x3fff, leaf entries only, tickets 1 to 4:" in turn.text
    assert turn.text.endswith("complete 4 tickets, 1 to 4")
    assert "in turn     4 times: barrier 4 times: full; " in turn.text
    assert list(runs([t.Event(t.BARRIER, 0)] * 9, 0, 8)) == [Run(0, 8)]
    assert len(list(runs([t.Event(t.WARN)] * 9, 0, 8))) == 9


def test_each_kind_of_a_turn_has_its_note():
    events = [*linked()]
    start = len(events)
    for store in stores(5):
        events += [t.Event(t.CLEAN, store.a, 8), store]
    notes = notes_of(events)
    assert start + 1 in notes
    assert start + 3 not in notes
