"""What events say of a VM: mappings, page tables, and counts against a recount."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.systems.gpuvm.events import (
    BACKING_SHIFT,
    PT_MAP,
    PT_UNMAP,
    VALIDATED,
    VMA,
    VMA_ADD,
    VMA_REMOVE,
)
from reference.systems.gpuvm.mappings import Mapping
from reference.systems.gpuvm.state import BufferState, Seen, VmState, mapping_of
from reference.trace import (
    ALLOC_FAILED,
    BEGIN,
    END,
    REFS,
    REFS_BUFFER,
    REFS_VM,
    REFS_VM_BO,
    WARN,
    Trace,
)
from reference.words import to_signed, to_unsigned

PAGE = 0x1000
LAST = (1 << 64) - 1

Told = tuple[int, int, int, int]


def told(mappings: list[Mapping]) -> list[Told]:
    return [(one.first, one.last, one.buffer, one.offset) for one in mappings]


def trace_of(*events: tuple[int, ...], place: int = 0) -> Trace:
    """A trace of these events: kind and up to three words, held or not."""
    trace = Trace()
    for kind, *words in events:
        a, b, c = (*map(to_signed, words), 0, 0, 0)[:3]
        trace.emit(kind, a, b, c, place=place)
    return trace


def backing(buffer: int, offset: int) -> int:
    return buffer << BACKING_SHIFT | offset


def fed(state: VmState, *events: tuple[int, ...]) -> Seen:
    return state.feed(trace_of(*events).words, 0)


def empty(seen: Seen) -> bool:
    """Whether nothing was seen."""
    return vars_of(seen) == vars_of(Seen())


def vars_of(seen: Seen) -> tuple[object, ...]:
    return (
        told(seen.listed), seen.told, seen.counts, seen.validated, seen.changed,
        seen.failed_allocations, seen.warned,
    )  # fmt: skip


# -- each kind of event ---------------------------------------------------------------------


def test_a_listed_vma_is_only_seen() -> None:
    state = VmState()
    seen = fed(state, (VMA, 0x1000, 0x2FFF, backing(3, 0x5000)))
    assert told(seen.listed) == [(0x1000, 0x2FFF, 3, 0x5000)]
    assert not seen.changed
    assert state.vmas == {}
    assert len(state.tables) == 0


@pytest.mark.parametrize(("kind", "count"), [(VMA_ADD, 1), (VMA_REMOVE, -1)])
def test_a_vma_that_comes_or_goes_changes_counts_and_no_table(kind: int, count: int) -> None:
    state = VmState()
    seen = fed(state, (kind, 0x1000, 0x2FFF, backing(3, 0x5000)))
    assert seen.changed
    assert state.vmas == {3: count}
    assert (seen.listed, seen.told) == ([], [])
    assert len(state.tables) == len(state.promise) == 0


def test_page_tables_hold_what_they_are_told() -> None:
    state = VmState()
    seen = fed(
        state,
        (PT_MAP, 0x1000, 0x4FFF, backing(3, 0x5000)),
        (PT_UNMAP, 0x2000, 0x2FFF),
        (PT_MAP, 0x4000, 0x5FFF, backing(1, 0)),
    )
    assert seen.told == [(0, 0x1000, 0x4FFF), (1, 0x2000, 0x2FFF), (2, 0x4000, 0x5FFF)]
    assert told(state.tables.within(0, LAST)) == [
        (0x1000, 0x1FFF, 3, 0x5000), (0x3000, 0x3FFF, 3, 0x7000), (0x4000, 0x5FFF, 1, 0),
    ]  # fmt: skip
    assert not seen.changed
    assert len(state.promise) == 0


def test_page_tables_told_of_nothing_do_nothing_and_it_is_seen() -> None:
    state = VmState()
    fed(state, (PT_MAP, 0x1000, 0x4FFF, backing(3, 0)))
    seen = fed(state, (PT_MAP, 0x2000, 0x1FFF, backing(1, 0)), (PT_UNMAP, 0x3000, 0x2FFF))
    assert seen.told == [(0, 0x2000, 0x1FFF), (1, 0x3000, 0x2FFF)]
    assert told(state.tables.within(0, LAST)) == [(0x1000, 0x4FFF, 3, 0)]


def test_the_other_events() -> None:
    state = VmState()
    seen = fed(
        state,
        (BEGIN, 7),
        (VALIDATED, 2), (VALIDATED, 2), (VALIDATED, 0),
        (REFS, REFS_VM, 0, 5), (REFS, REFS_BUFFER, 1, 2), (REFS, REFS_VM_BO, 1, 3),
        (ALLOC_FAILED, 128), (ALLOC_FAILED, 128),
        (WARN,),
        (END, 0, 0),
    )  # fmt: skip
    assert seen.validated == [2, 2, 0]
    assert seen.counts == [(4, REFS_VM, 0, 5), (5, REFS_BUFFER, 1, 2), (6, REFS_VM_BO, 1, 3)]
    assert seen.failed_allocations == 2
    assert seen.warned == 9
    assert (seen.listed, seen.told, seen.changed) == ([], [], False)
    assert (state.vmas, state.buffers, state.exists) == ({}, {}, False)


def test_nothing_is_seen_in_nothing() -> None:
    assert empty(VmState().feed([], 0))
    assert empty(fed(VmState(), (BEGIN, 0), (END, 0, 0)))


def test_only_events_from_the_beginning_on_are_taken() -> None:
    state = VmState()
    words = trace_of(
        (VMA_ADD, 0, 0xFFF, backing(0, 0)), (WARN,), (VMA_ADD, PAGE, 0x1FFF, backing(1, 0)), (WARN,)
    ).words
    seen = state.feed(words, 2)
    assert state.vmas == {1: 1}
    assert seen.warned == 3


def test_the_code_that_did_it_makes_no_difference() -> None:
    state = VmState()
    words = trace_of((PT_MAP, 0, 0xFFF, backing(2, 0)), (VMA_ADD, 0, 0xFFF, backing(2, 0)), place=9)
    assert state.feed(words.words, 0).told == [(0, 0, 0xFFF)]
    assert state.vmas == {2: 1}


@given(st.integers(0, LAST), st.integers(0, LAST), st.integers(0, LAST))
def test_a_mapping_is_told_in_any_words(first: int, last: int, word: int) -> None:
    one = mapping_of(to_signed(first), to_signed(last), to_signed(word))
    assert (one.first, one.last) == (first, last)
    assert one.buffer << BACKING_SHIFT | one.offset == word
    assert 0 <= one.offset < 1 << BACKING_SHIFT


# -- counts ---------------------------------------------------------------------------------

changes = st.lists(st.tuples(st.sampled_from((VMA_ADD, VMA_ADD, VMA_REMOVE)), st.integers(0, 3)))


@given(changes, st.sets(st.integers(0, 3)), st.booleans(), st.integers(0, 12))
def test_counts_are_what_a_recount_gives(
    events: list[tuple[int, int]], handles: set[int], exists: bool, cut: int
) -> None:
    """Also those of a driver that takes out more than it has put in."""
    state = VmState()
    state.exists = exists
    state.buffers = {number: BufferState(PAGE) for number in handles}
    given_as = [(kind, 0, 0xFFF, backing(number, 0)) for kind, number in events]
    # How the events are cut into operations makes no difference.
    fed(state, *given_as[:cut])
    fed(state, *given_as[cut:])
    vmas: Counter[int] = Counter()
    for kind, number in events:
        vmas[number] += 1 if kind == VMA_ADD else -1
    there = {number: max(count, 0) for number, count in vmas.items()}
    for number in range(5):
        count = there.get(number, 0)
        assert state.link_count(number) == count
        assert state.buffer_count(number) == (number in handles) + (count > 0)
    links = sum(count > 0 for count in there.values())
    assert state.vm_count() == exists + sum(there.values()) + links


def test_a_closed_handle_is_no_reference() -> None:
    state = VmState()
    state.buffers[0] = BufferState(PAGE)
    fed(state, (VMA_ADD, 0, 0xFFF, backing(0, 0)))
    assert state.buffer_count(0) == 2
    state.buffers[0].open = False
    assert state.buffer_count(0) == 1
    fed(state, (VMA_REMOVE, 0, 0xFFF, backing(0, 0)))
    assert state.buffer_count(0) == 0


def test_a_vm_with_two_vmas_of_one_buffer_and_one_of_another() -> None:
    state = VmState()
    state.exists = True
    for number in (0, 0, 1):
        fed(state, (VMA_ADD, 0, 0xFFF, backing(number, 0)))
    # Its owner, three VMAs, two links.
    assert state.vm_count() == 6
    state.exists = False
    assert state.vm_count() == 5


# -- evicted buffers, and what is gone ------------------------------------------------------


def evicted_state(*linked: int) -> VmState:
    """Four buffers, all evicted; those named have a VMA."""
    state = VmState()
    for number in (3, 0, 2, 1):
        state.buffers[number] = BufferState(PAGE)
        state.buffers[number].evicted = True
    for number in linked:
        fed(state, (VMA_ADD, 0, 0xFFF, backing(number, 0)))
    return state


def test_evicted_are_those_that_are_linked_in_order() -> None:
    assert evicted_state(2, 0).evicted() == [0, 2]
    assert evicted_state().evicted() == []
    state = evicted_state(2, 0)
    state.buffers[0].evicted = False
    assert state.evicted() == [2]


def test_with_its_last_vma_a_link_is_gone_and_that_it_was_evicted() -> None:
    state = evicted_state(0, 0, 2)
    fed(state, (VMA_REMOVE, 0, 0xFFF, backing(0, 0)))
    state.settle()
    assert state.evicted() == [0, 2]
    fed(state, (VMA_REMOVE, 0, 0xFFF, backing(0, 0)))
    state.settle()
    # Another link of the same buffer is another link.
    fed(state, (VMA_ADD, 0, 0xFFF, backing(0, 0)))
    assert state.evicted() == [2]


def test_within_an_operation_a_link_may_be_without_a_vma() -> None:
    state = evicted_state(0)
    fed(state, (VMA_REMOVE, 0, 0xFFF, backing(0, 0)), (VMA_ADD, 0, 0xFFF, backing(0, 0)))
    state.settle()
    assert state.evicted() == [0]


def test_a_buffer_without_a_reference_is_gone_and_no_other() -> None:
    state = evicted_state(1, 2)
    state.buffers[0].open = state.buffers[1].open = False
    state.settle()
    assert sorted(state.buffers) == [1, 2, 3]
    fed(state, (VMA_REMOVE, 0, 0xFFF, backing(1, 0)), (VMA_REMOVE, 0, 0xFFF, backing(2, 0)))
    state.settle()
    assert sorted(state.buffers) == [2, 3]


# -- the window -----------------------------------------------------------------------------


def created(start: int, size: int, kernel_start: int, kernel_size: int) -> VmState:
    state = VmState()
    words = {
        "start": start, "size": size, "kernel_start": kernel_start, "kernel_size": kernel_size,
    }  # fmt: skip
    state.create({name: to_signed(word) for name, word in words.items()})
    return state


@pytest.mark.parametrize(
    ("start", "size"),
    [(0, PAGE), (0, 1 << 48), ((1 << 63) - PAGE, 2 * PAGE), (PAGE, (1 << 64) - PAGE)],
)
def test_a_window_is_where_it_was_asked_for(start: int, size: int) -> None:
    state = created(start, size, 0, 0)
    assert state.exists
    assert (state.first, state.last) == (start, start + size - 1)
    assert not state.is_kernels(0, LAST)


page_numbers = st.integers(0, 15)


@given(st.sampled_from((0, (1 << 63) - 8 * PAGE)), *[page_numbers] * 4)
def test_the_kernels_part_is_every_address_of_it(
    base: int, start: int, end: int, one: int, other: int
) -> None:
    kernel = range(min(start, end), max(start, end))
    state = created(base, 16 * PAGE, base + kernel.start * PAGE, len(kernel) * PAGE)
    asked = range(min(one, other), max(one, other) + 1)
    first, last = base + asked.start * PAGE, base + asked.stop * PAGE - 1
    assert state.is_kernels(first, last) == bool(set(kernel) & set(asked))


def test_the_kernels_part_by_the_byte() -> None:
    state = created(0, 1 << 48, 0x5000, 0x2000)
    assert not state.is_kernels(0, 0x4FFF)
    assert state.is_kernels(0, 0x5000)
    assert state.is_kernels(0x6FFF, 0x6FFF)
    assert not state.is_kernels(0x7000, LAST)
    assert (to_unsigned(state.kernel_first), state.kernel_last) == (0x5000, 0x6FFF)
