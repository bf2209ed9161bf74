"""What events say of a Mali device: who walks what, what was flushed, what is promised and held."""

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import trace as t
from reference.formats.access import CACHE, NOEXEC, READ, WRITE
from reference.formats.lpae import LPAE_S1
from reference.hardware.tlb import TOP_VA
from reference.systems.gpuvm.events import BACKING_SHIFT, VMA_ADD, VMA_REMOVE
from reference.systems.mali.device import (
    COMMAND,
    FLUSH_MEM,
    FLUSH_PT,
    LOCK,
    LOCKADDR,
    MEMATTR,
    MODE_UNMAPPED,
    STATUS,
    TRANSCFG,
    TRANSTAB,
    UNLOCK,
    UPDATE,
    lock_address,
    offset_of,
    transcfg_of,
)
from reference.systems.mali.events import FENCE, SLOT, VM
from reference.systems.mali.state import (
    GONE,
    MAP,
    NONE,
    SYNC_ONLY,
    UNMAP,
    Bind,
    MaliFence,
    MaliSeen,
    MaliState,
    MaliVm,
    prot_of,
    user_part,
)
from reference.trace import Trace
from reference.words import to_signed

PAGE = 0x1000
LARGE = 0x20_0000
ROOT = 0x8000_0000
ROOTS = tuple(ROOT + 0x10_0000 * number for number in range(3))
"""Where the root of each VM lies; its other tables follow."""
ALL = (0, 1 << 48)
HANDLE = 1 << 47

Event = tuple[int, ...]


# -- events -----------------------------------------------------------------------------------


def register(name: str, slot: int, value: int) -> list[Event]:
    """A write of a register of 64 bits, in halves."""
    offset = offset_of(name, slot)
    return [
        (t.REG_WRITE, offset, value & 0xFFFF_FFFF),
        (t.REG_WRITE, offset + 4, value >> 32),
    ]


def status(slot: int, active: int = 0) -> Event:
    return (t.REG_READ, offset_of(STATUS, slot), active)


def command(slot: int, number: int, seen: bool = True) -> list[Event]:
    """A command, and a look that shows its end."""
    written = (t.REG_WRITE, offset_of(COMMAND, slot), number)
    return [written, status(slot)] if seen else [written]


def flush(slot: int, start: int, size: int, kind: int = FLUSH_PT, seen: bool = True) -> list[Event]:
    """Lock a region, and flush it."""
    region = lock_address(start, size)
    assert region is not None
    return [
        *register(LOCKADDR, slot, region), *command(slot, LOCK), *command(slot, kind, seen),
    ]  # fmt: skip


def configure(slot: int, root: int) -> list[Event]:
    """Write what the next UPDATE latches; root 0: nothing is translated."""
    config = transcfg_of(48, True) if root else MODE_UNMAPPED
    return [
        *register(TRANSTAB, slot, root), *register(MEMATTR, slot, 0x4C4C),
        *register(TRANSCFG, slot, config),
    ]  # fmt: skip


def enable(slot: int, root: int, seen: bool = True) -> list[Event]:
    """Flush everything, and have an AS walk from a root."""
    everything = flush(slot, *ALL, FLUSH_MEM)
    return [*everything, *configure(slot, root), *command(slot, UPDATE, seen)]


def table(pa: int) -> list[Event]:
    """A new table, empty."""
    return [(t.ALLOC, pa, PAGE), (t.FILL, pa, PAGE, 0), (t.BARRIER, t.BARRIER_ORDER)]


def tables(number: int, level_1: int = 0) -> list[Event]:
    """The tables of a VM for its first 2 MiB, below an entry of the root."""
    root = ROOTS[number]
    events: list[Event] = []
    for level, pa in enumerate((root, root + PAGE, root + 2 * PAGE)):
        events += table(pa + PAGE)
        index = level_1 if level == 0 else 0
        events.append(store(pa, index, LPAE_S1.table(level, pa + PAGE)))
    return events


def store(pa: int, index: int, word: int) -> Event:
    return (t.STORE, pa + 8 * index, 0, word)


def leaf(page: int) -> int:
    return LPAE_S1.leaf(3, 0x9000_0000 + page * PAGE, READ | WRITE)


FULL: Event = (t.BARRIER, t.BARRIER_FULL)


class World:
    """A device, and what happened to it so far."""

    def __init__(self, vms: int = 1, slots: int = 4, coherent: bool = True) -> None:
        self.state = MaliState(48, 40, slots, coherent)
        self.trace = Trace()
        for _ in range(vms):
            self.make_vm()

    def happens(self, *events: Event) -> MaliSeen:
        """One operation with these events; what it is about is everything."""
        self.state.begin()
        for vm in self.state.vms:
            vm.view.touched_last = TOP_VA
        start = len(self.trace)
        for kind, *words in events:
            a, b, c = (*map(to_signed, words), 0, 0, 0)[:3]
            self.trace.emit(kind, a, b, c)
        seen = self.state.feed(self.trace.words, start)
        self.state.settle()
        return seen

    def make_vm(self) -> MaliVm:
        number = len(self.state.vms)
        self.state.vms.append(MaliVm(number, self.state.machine, HANDLE))
        self.happens((VM, number), *table(ROOTS[number]), FULL)
        return self.state.vms[number]

    def has_jobs(self, vm: int, slot: int, jobs: int = 1) -> None:
        """Jobs of a VM run in an AS from now on."""
        self.happens((SLOT, vm, slot, jobs))
        self.state.settle_slots()

    def with_page(self, slot: int = 1) -> None:
        """VM 0 has tables and pages 0 to 15, and an AS walks it."""
        leaves = [store(ROOT + 3 * PAGE, page, leaf(page)) for page in range(16)]
        seen = self.happens(*enable(slot, ROOT), (VM, 0), *tables(0), *leaves, FULL)
        assert not seen.observations

    def cached(self, page: int) -> bool:
        """Whether a leaf of VM 0 may be in the TLB."""
        view = self.state.vms[0].view
        return bool(view.cached(page * PAGE, page * PAGE + PAGE - 1))


# -- roots ------------------------------------------------------------------------------------


def test_the_first_page_of_a_vm_is_its_root_and_nobody_walks_it_yet() -> None:
    world = World(2)
    one, other = world.state.vms
    assert (one.root, other.root) == ROOTS[:2]
    assert not one.view.walked
    assert [page.pa for page in one.view.pages()] == [ROOTS[0]]
    world.happens((VM, 0), *table(ROOTS[0] + PAGE))
    assert one.root == ROOTS[0]
    assert world.state.owners == {ROOTS[0]: 0, ROOTS[0] + PAGE: 0, ROOTS[1]: 1}


def test_a_root_is_taken_up_when_update_is_written_and_let_go_when_it_was_seen_to_end() -> None:
    world = World(2)
    one, other = world.state.vms
    slot = world.state.slots[1]
    assert world.happens(*configure(1, ROOTS[0])).starts == 0
    assert (slot.roots, one.view.walked) == (set(), False)
    seen = world.happens(*command(1, UPDATE, seen=False))
    assert (slot.roots, one.slots, one.view.walked) == ({0}, {1}, True)
    assert (seen.updates, seen.starts) == (1, 1)
    # It does not end because it may be over: somebody has to look.
    world.happens(status(1, active=1), *flush(2, *ALL))
    assert world.state.mmu.at(1).command == UPDATE
    world.happens(status(1), *configure(1, ROOTS[1]), *command(1, UPDATE, seen=False))
    assert (slot.roots, one.view.walked, other.view.walked) == ({0, 1}, True, True)
    world.happens(status(1, active=1))
    assert slot.roots == {0, 1}
    world.happens(status(1))
    assert (slot.roots, one.slots, other.slots) == ({1}, set(), {1})
    assert (one.view.walked, other.view.walked) == (False, True)


def test_a_vm_may_be_walked_by_two_address_spaces() -> None:
    world = World()
    (vm,) = world.state.vms
    world.happens(*enable(1, ROOT), *enable(3, ROOT))
    assert vm.slots == {1, 3}
    world.happens(*enable(1, 0))
    assert (vm.slots, vm.view.walked) == ({3}, True)
    world.happens(*enable(3, 0))
    assert (vm.slots, vm.view.walked) == (set(), False)


def test_a_root_of_nobody_is_walked_by_nobody() -> None:
    world = World()
    world.happens(*enable(1, ROOT + PAGE))
    assert world.state.slots[1].roots == set()
    assert world.state.mmu.at(1).roots() == {ROOT + PAGE}


steps = st.lists(
    st.tuples(
        st.sampled_from((1, 2)),
        st.sampled_from(("root", "none", "update", "look", "busy", "flush", "lose")),
        st.integers(0, 2),
    ),
    max_size=30,
)


@given(steps)
@settings(max_examples=120)
def test_who_walks_is_what_the_mmu_says_after_every_event(
    drawn: list[tuple[int, str, int]],
) -> None:
    world = World(3)
    for slot, what, number in drawn:
        choices: dict[str, list[Event]] = {
            "root": configure(slot, ROOTS[number]),
            "none": configure(slot, 0),
            "update": command(slot, UPDATE, seen=False),
            "look": [status(slot)],
            "busy": [status(slot, active=1)],
            "flush": flush(slot, *ALL),
            "lose": [(t.MESSAGE, 0, t.MESSAGE_WAS_RESET)],
        }
        events = choices[what]
        state = world.state
        if what in ("root", "none") and state.mmu.at(slot).is_busy():
            # Who writes registers while a command looks at them is reported for that.
            continue
        for event in events:
            world.happens(event)
        for at, one in enumerate(state.slots):
            assert one.roots == {
                vm.number for vm in state.vms if vm.root in state.mmu.at(at).roots()
            }
        for vm in state.vms:
            expected = {n for n, one in enumerate(state.slots) if vm.number in one.roots}
            assert vm.slots == expected
            assert vm.view.walked == bool(expected)


# -- flushes ----------------------------------------------------------------------------------


def test_a_removed_page_is_cached_until_a_flush_of_it_was_seen_to_end() -> None:
    world = World()
    world.with_page()
    world.happens(store(ROOT + 3 * PAGE, 2, 0), FULL)
    assert world.cached(2)
    world.happens(*flush(1, 2 * PAGE, PAGE, seen=False))
    assert world.cached(2)
    world.happens(status(1, active=1))
    assert world.cached(2)
    seen = world.happens(status(1))
    assert not world.cached(2)
    assert seen.flushes == 1


@pytest.mark.parametrize("kind", [FLUSH_PT, FLUSH_MEM])
def test_both_flushes_take_what_is_cached(kind: int) -> None:
    world = World()
    world.with_page()
    world.happens(store(ROOT + 3 * PAGE, 2, 0), FULL, *flush(1, 0, PAGE, kind))
    assert not world.cached(2)


def test_a_flush_that_began_before_the_store_takes_nothing() -> None:
    world = World()
    world.with_page()
    world.happens(*flush(1, 0, PAGE, seen=False), store(ROOT + 3 * PAGE, 2, 0), FULL, status(1))
    assert world.cached(2)


def test_a_flush_in_another_address_space_takes_nothing() -> None:
    world = World(2)
    world.with_page()
    world.happens(*enable(2, ROOTS[1]))
    world.happens(store(ROOT + 3 * PAGE, 2, 0), FULL, *flush(2, *ALL))
    assert world.cached(2)
    world.happens(*flush(1, *ALL))
    assert not world.cached(2)


@given(st.integers(0, 15), st.integers(0, 40), st.integers(1, 40))
@settings(max_examples=60)
def test_a_flush_takes_exactly_the_region_that_was_locked(page: int, start: int, size: int) -> None:
    world = World()
    world.with_page()
    world.happens(store(ROOT + 3 * PAGE, page, 0), FULL, *flush(1, start * PAGE, size * PAGE))
    # The smallest aligned power of two, from 32 KiB on, that holds the range.
    pages = 8
    while start // pages != (start + size - 1) // pages:
        pages *= 2
    assert world.cached(page) == (start // pages != page // pages)


def test_while_a_region_is_locked_nobody_looks_at_it() -> None:
    world = World()
    world.with_page()
    view = world.state.vms[0].view
    lock = [*register(LOCKADDR, 1, 0x800E), *command(1, LOCK, seen=False)]
    world.happens(*lock)
    assert view.stalled_last < view.stalled_first
    world.happens(status(1))
    assert (view.stalled_first, view.stalled_last) == (0x8000, 0xFFFF)
    # Replaced there at once: no conflict can be seen. Beside it: one can.
    inside = world.happens(store(ROOT + 3 * PAGE, 8, leaf(99)))
    outside = world.happens(store(ROOT + 3 * PAGE, 7, leaf(99)))
    assert not inside.observations
    assert len(outside.observations) > 0
    world.happens(*command(1, UNLOCK, seen=False))
    assert view.stalled_last < view.stalled_first


def test_a_lock_of_one_address_space_does_not_stop_another() -> None:
    world = World()
    world.with_page()
    view = world.state.vms[0].view
    world.happens(*enable(2, ROOT), *register(LOCKADDR, 1, 0x800E), *command(1, LOCK))
    assert view.stalled_last < view.stalled_first


def test_only_who_has_stored_something_waits_for_a_barrier() -> None:
    world = World(2)
    world.happens(*enable(1, ROOTS[0]), *enable(2, ROOTS[1]))
    world.happens((VM, 0), *tables(0))
    one, other = (vm.view for vm in world.state.vms)
    assert one.unseen_store() >= 0
    assert other.unseen_store() == -1
    world.happens((t.BARRIER, t.BARRIER_ORDER))
    assert one.unseen_store() >= 0
    assert other.unseen_store() == -1
    world.happens(FULL)
    assert one.unseen_store() == -1
    assert other.unseen_store() == -1


# -- facts that are left in an AS -------------------------------------------------------------


def switch(*between: Event, jobs: int = 1, end: bool = True, other: int = 1) -> MaliSeen:
    """VM 0 has used AS 1; its last job ends, ``between`` happens, and it is another's."""
    world = World(2)
    world.with_page()
    world.has_jobs(0, 1, jobs)
    if end:
        world.has_jobs(0, 1, 0)
    if between:
        world.happens(*between)
    return world.happens(*configure(1, ROOTS[other]), *command(1, UPDATE))


def test_without_a_flush_the_next_vm_may_find_what_the_former_has_cached() -> None:
    (one,) = switch().unflushed
    assert (one.slot, one.former, one.vm) == (1, 0, 1)


def test_after_a_flush_of_everything_it_does_not() -> None:
    assert switch(*flush(1, *ALL)).unflushed == []
    assert switch(*flush(1, *ALL, FLUSH_MEM)).unflushed == []


NOT_ENOUGH: dict[str, list[Event]] = {
    "a part of it": flush(1, 0, 1 << 47),
    "the upper part": flush(1, 1 << 47, 1 << 47),
    "another AS": flush(2, *ALL),
    "a lock only": [*register(LOCKADDR, 1, 0x3F), *command(1, LOCK), *command(1, UNLOCK)],
}


@pytest.mark.parametrize("what", NOT_ENOUGH)
def test_a_flush_of_less_is_none(what: str) -> None:
    assert [one.former for one in switch(*NOT_ENOUGH[what]).unflushed] == [0]


def test_while_a_job_runs_a_flush_leaves_an_as_anything_but_empty() -> None:
    assert [one.former for one in switch(*flush(1, *ALL), end=False).unflushed] == [0]


def test_where_no_job_ever_ran_nothing_is_left() -> None:
    world = World(2)
    world.with_page()
    assert world.happens(*configure(1, ROOTS[1]), *command(1, UPDATE)).unflushed == []


def test_what_was_left_is_remembered_while_an_as_is_disabled() -> None:
    world = World(2)
    world.with_page()
    world.has_jobs(0, 1)
    world.has_jobs(0, 1, 0)
    world.happens(*configure(1, 0), *command(1, UPDATE))
    assert world.state.slots[1].left == 0
    seen = world.happens(*configure(1, ROOTS[1]), *command(1, UPDATE))
    assert [(one.former, one.vm) for one in seen.unflushed] == [(0, 1)]
    # It was told, and is no news.
    assert world.state.slots[1].left == NONE


def test_its_own_old_entries_are_old_too() -> None:
    world = World()
    world.with_page()
    world.has_jobs(0, 1)
    world.happens(*configure(1, 0), *command(1, UPDATE))
    seen = world.happens(*configure(1, ROOTS[0]), *command(1, UPDATE))
    assert [(one.former, one.vm) for one in seen.unflushed] == [(0, 0)]
    assert world.happens(*enable(1, 0), *enable(1, ROOTS[0])).unflushed == []


@pytest.mark.parametrize("what", [t.MESSAGE_WAS_RESET, t.MESSAGE_POWER_OFF])
def test_nothing_is_left_when_registers_are_lost(what: int) -> None:
    world = World(2)
    world.with_page()
    world.has_jobs(0, 1)
    world.happens(store(ROOT + 3 * PAGE, 2, 0), FULL)
    world.state.may_time_out = world.state.timed_out = world.state.reset_asked = True
    seen = world.happens((t.MESSAGE, 0, what))
    state = world.state
    assert seen.lost_registers
    assert not world.cached(2)
    assert (state.vms[0].view.walked, state.vms[0].slots) == (False, set())
    assert (state.may_time_out, state.timed_out, state.reset_asked) == (False, False, False)
    assert state.mmu.powered == (what == t.MESSAGE_WAS_RESET)
    assert [(slot.left, slot.roots) for slot in state.slots] == [(NONE, set())] * 4
    world.has_jobs(0, NONE, 0)
    world.happens((t.MESSAGE, 0, t.MESSAGE_POWER_ON))
    assert state.mmu.powered
    assert world.happens(*configure(1, ROOTS[1]), *command(1, UPDATE)).unflushed == []


def test_who_wants_a_reset_is_told_and_registers_stay() -> None:
    world = World()
    world.with_page()
    seen = world.happens(FULL, (t.MESSAGE, 0, t.MESSAGE_RESET))
    assert seen.asked == len(world.trace) - 1
    assert world.state.reset_asked
    assert world.state.vms[0].view.walked
    assert not seen.lost_registers


def test_between_the_start_of_a_reset_and_its_end_nobody_walks() -> None:
    world = World()
    world.with_page()
    world.state.halt(0)
    world.state.resetting = True
    vm = world.state.vms[0]
    assert (vm.view.walked, vm.slots) == (False, set())
    world.happens(*enable(1, ROOT))
    assert not vm.view.walked


# -- an UPDATE that nobody waits for -----------------------------------------------------------


def take_away(*, seen: bool, free: int = ROOT) -> tuple[World, MaliSeen]:
    """AS 1 gets no root any more; then a table is freed."""
    world = World()
    world.with_page()
    clear = (*flush(1, *ALL), *configure(1, 0), *command(1, UPDATE, seen=seen))
    return world, world.happens(*clear, (t.FREE, free, PAGE))


def test_a_table_is_freed_while_the_update_that_takes_it_away_may_run() -> None:
    world, seen = take_away(seen=False)
    assert seen.unseen_updates == [(len(world.trace) - 1, 1, False)]
    # It was told; what follows from it is not told as well.
    assert [one.kind for _, one in seen.observations] == []
    assert not world.state.mmu.at(1).is_busy()


def test_a_table_is_freed_after_the_update_was_seen_to_end() -> None:
    world, seen = take_away(seen=True)
    assert seen.unseen_updates == []
    assert (world.state.vms[0].exists, world.state.vms[0].root) == (False, GONE)


def test_a_vm_without_its_root_is_gone_and_its_address_may_be_anothers() -> None:
    world, _ = take_away(seen=True)
    vm = MaliVm(1, world.state.machine, HANDLE)
    world.state.vms.append(vm)
    world.happens((VM, 1), *table(ROOT))
    assert (vm.root, vm.exists, world.state.owners[ROOT]) == (ROOT, True, 1)
    world.happens(*enable(1, ROOT))
    assert world.state.slots[1].roots == {1}


def test_an_update_that_gives_a_root_delays_no_free() -> None:
    world = World()
    world.with_page()
    world.happens((VM, 0), *table(ROOT + 9 * PAGE), *configure(1, ROOT), *command(1, UPDATE, False))
    assert world.happens((t.FREE, ROOT + 9 * PAGE, PAGE)).unseen_updates == []


def test_an_update_can_be_taken_as_ended() -> None:
    world = World(2)
    world.with_page()
    world.happens(*flush(1, *ALL), *configure(1, ROOTS[1]), *command(1, UPDATE, seen=False))
    assert world.state.slots[1].roots == {0, 1}
    world.state.assume_updates_ended(1, len(world.trace))
    assert world.state.slots[1].roots == {1}
    assert not world.state.vms[0].view.walked


# -- the parts of a VM (formats.md B.5) ---------------------------------------------------------

SPLITS = (
    (48, 0, 0x8000_0000_0000),
    (39, 0, 0x40_0000_0000),
    (32, 0, 0xF000_0000),
    (33, 0, 0x1_0000_0000),
    (48, (1 << 48) - (1 << 28), 0xFFFF_F000_0000),
    (48, (1 << 48) - (1 << 28) + PAGE, -1),
    (48, 1 << 32, 0x8000_0000_0000),
    (27, 0, -1),
    (48, 0xFFFF_0000_0000, 0xFFFF_0000_0000),
    # The least that can be split: nothing is left for the process.
    (28, 0, 0),
    (28, PAGE, -1),
    (32, 1, 0x8000_0000),
    (48, 1 << 63, -1),
)


@pytest.mark.parametrize(("va_bits", "asked", "end"), SPLITS)
def test_the_parts_of_a_vm(va_bits: int, asked: int, end: int) -> None:
    assert user_part(va_bits, asked) == end


@given(st.integers(28, 48), st.integers(0, 1 << 48))
def test_the_kernels_part_is_a_power_of_two_and_the_process_gets_what_it_asked_for(
    va_bits: int, asked: int
) -> None:
    end = user_part(va_bits, asked)
    full = 1 << va_bits
    if end < 0:
        assert asked > full - (1 << 28)
        return
    kernel = full - end
    assert asked <= end < full
    assert kernel & (kernel - 1) == 0
    assert kernel >= 1 << 28
    assert asked == 0 or 2 * kernel > full - asked


@pytest.mark.parametrize("flags", range(8))
def test_what_the_flags_of_a_bind_promise(flags: int) -> None:
    prot = prot_of(flags)
    assert prot & READ
    assert bool(prot & WRITE) == (not flags & 1)
    assert bool(prot & NOEXEC) == bool(flags & 2)
    assert bool(prot & CACHE) == (not flags & 4)
    assert prot & ~(READ | WRITE | NOEXEC | CACHE) == 0


# -- binds ------------------------------------------------------------------------------------

binds = st.lists(
    st.tuples(
        st.sampled_from((MAP, MAP, UNMAP)), st.integers(0, 40), st.integers(1, 24),
        st.integers(0, 2), st.integers(0, 16), st.integers(0, 7),
    ),
    max_size=12,
)  # fmt: skip
PIECES = (0, 1, 3)


@given(binds)
@settings(max_examples=60)
def test_the_promise_is_that_of_a_dictionary_of_pages(
    drawn: list[tuple[int, int, int, int, int, int]],
) -> None:
    world = World()
    state, vm = world.state, world.state.vms[0]
    for pieces in PIECES:
        state.add_buffer(40 * PAGE, NONE, pieces)
    naive: dict[int, tuple[int, int, int]] = {}
    for kind, page, count, buffer, offset, flags in drawn:
        first, last = page * PAGE, (page + count) * PAGE - 1
        state.carry_out(Bind(0, kind, first, last, buffer, offset * PAGE, flags))
        for number in range(count):
            naive.pop(page + number, None)
            if kind == MAP:
                naive[page + number] = (buffer, offset + number, flags)
    for page in range(70):
        found = vm.promise.first_in(page * PAGE, page * PAGE)
        expected = naive.get(page)
        if expected is None:
            assert found is None
            assert vm.pages.lookup(page * PAGE) == (-1, 0)
            continue
        buffer, number, flags = expected
        assert found is not None
        assert found.buffer == buffer
        assert found.offset + page * PAGE - found.first == number * PAGE
        pa = state.buffers[buffer].pages.address(number * PAGE)
        assert vm.pages.lookup(page * PAGE) == (pa, prot_of(flags))
    assert vm.pages.bytes == len(naive) * PAGE


def unmapped(world: World) -> MaliVm:
    """VM 0 promised page 2, and memory does not say it any more, but the TLB."""
    world.with_page()
    vm = world.state.vms[0]
    vm.pages.add_range(2 * PAGE, 0x9000_2000, PAGE, READ | WRITE)
    world.happens(store(ROOT + 3 * PAGE, 2, 0), FULL)
    return vm


def test_what_is_cached_and_not_promised_is_stale_once() -> None:
    world = World()
    unmapped(world)
    bind = Bind(0, UNMAP, 2 * PAGE, 3 * PAGE - 1, NONE, 0, 0)
    world.state.carry_out(bind)
    world.state.fall_due(bind, 5)
    (one,) = world.state.seen.stale
    assert (one.bind, one.event, one.fact.first) == (bind, 5, 2 * PAGE)
    world.state.fall_due(bind, 6)
    assert len(world.state.seen.stale) == 1
    assert world.state.seen.due == 2


def test_the_same_is_not_stale_while_it_is_promised_or_nobody_walks_or_nothing_can_be_flushed() -> (
    None
):
    bind = Bind(0, UNMAP, 2 * PAGE, 3 * PAGE - 1, NONE, 0, 0)
    promised = World()
    unmapped(promised)
    promised.state.fall_due(bind, 5)
    assert (promised.state.seen.stale, promised.state.seen.due) == ([], 1)
    stuck = World()
    unmapped(stuck)
    stuck.state.timed_out = True
    stuck.state.carry_out(bind)
    stuck.state.fall_due(bind, 5)
    assert (stuck.state.seen.stale, stuck.state.seen.due) == ([], 0)
    alone = World()
    unmapped(alone)
    alone.happens(*enable(1, 0))
    alone.state.carry_out(bind)
    alone.state.fall_due(bind, 5)
    assert (alone.state.seen.stale, alone.state.seen.due) == ([], 0)


# -- fences -----------------------------------------------------------------------------------


def queued(world: World, kind: int = MAP, waits_for: int = NONE, page: int = 4) -> int:
    """A bind of a page is queued; the number of its fence."""
    state = world.state
    if not state.buffers:
        state.add_buffer(16 * PAGE, NONE, 0)
    bind = Bind(0, kind, page * PAGE, (page + 1) * PAGE - 1, 0, 0, 0)
    bind.fence, bind.waits_for = len(state.fences), waits_for
    state.fences.append(MaliFence(bind))
    state.vms[0].queue.append(bind.fence)
    return bind.fence


def own_fence(world: World) -> int:
    """A fence of the process."""
    world.state.fences.append(MaliFence(None))
    return len(world.state.fences) - 1


def test_a_queued_bind_is_promised_when_its_fence_is_signalled() -> None:
    world = World()
    fence = queued(world)
    vm = world.state.vms[0]
    assert (vm.at_rest(), len(vm.promise)) == (False, 0)
    seen = world.happens((FENCE, fence, 0))
    assert (len(vm.promise), vm.queue, vm.busy_until_run) == (1, [], True)
    assert [one.fence for one in seen.done] == [fence]
    assert seen.fences == [(len(world.trace) - 1, fence, 0)]
    assert (world.state.fences[fence].signalled, world.state.fences[fence].result) == (True, 0)


def test_one_that_failed_or_only_waits_or_whose_vm_was_destroyed_is_not_promised() -> None:
    for result, kind, handle in (
        (-errno.ECANCELED, MAP, True),
        (0, SYNC_ONLY, True),
        (0, MAP, False),
    ):
        world = World()
        fence = queued(world, kind)
        world.state.vms[0].handle = handle
        seen = world.happens((FENCE, fence, result))
        assert len(world.state.vms[0].promise) == 0
        assert world.state.vms[0].queue == []
        assert world.state.fences[fence].result == result
        assert len(seen.done) == (not handle)


def test_a_fence_of_the_process_carries_nothing_out_and_an_unknown_one_is_told_only() -> None:
    world = World()
    fence = own_fence(world)
    seen = world.happens((FENCE, fence, 0), (FENCE, 7, 0), (FENCE, -1, 0))
    assert world.state.fences[fence].signalled
    assert seen.done == []
    assert [number for _, number, _ in seen.fences] == [fence, 7, -1]


def test_when_a_fence_is_signalled_what_it_took_away_must_not_be_cached() -> None:
    world = World()
    unmapped(world)
    fence = queued(world, UNMAP, page=2)
    seen = world.happens((FENCE, fence, 0))
    assert [one.bind.fence for one in seen.stale] == [fence]


def test_what_is_ready_is_what_waits_for_nothing_but_what_is_before_it() -> None:
    world = World()
    vm = world.state.vms[0]
    process = own_fence(world)
    first = queued(world)
    second = queued(world, waits_for=first)
    third = queued(world, waits_for=process)
    fourth = queued(world)
    assert [one.fence for one in world.state.ready(vm)] == [first, second]
    world.happens((FENCE, process, 0))
    assert [one.fence for one in world.state.ready(vm)] == [first, second, third, fourth]
    world.happens((FENCE, first, 0))
    assert [one.fence for one in world.state.ready(vm)] == [second, third, fourth]


# -- counts -----------------------------------------------------------------------------------


def vma(kind: int, page: int, count: int = 1, buffer: int = 0, offset: int = 0) -> Event:
    backing = buffer << BACKING_SHIFT | offset * PAGE
    return (kind, page * PAGE, (page + count) * PAGE - 1, backing)


def test_vmas_are_counted_by_buffer_and_make_links() -> None:
    world = World(2)
    one, other = world.state.vms
    for _ in range(3):
        world.state.add_buffer(16 * PAGE, NONE, 0)
    seen = world.happens(
        (VM, 0), vma(VMA_ADD, 0), vma(VMA_ADD, 4, 2), vma(VMA_ADD, 8, 1, 1),
        (VM, 1), vma(VMA_ADD, 0),
    )  # fmt: skip
    assert seen.changed == [
        (0, 0, PAGE - 1), (0, 4 * PAGE, 6 * PAGE - 1), (0, 8 * PAGE, 9 * PAGE - 1),
        (1, 0, PAGE - 1),
    ]  # fmt: skip
    assert (one.mapped, one.linked, one.vmas) == (3, 2, {0: 2, 1: 1})
    assert (other.mapped, other.linked) == (1, 1)
    assert [world.state.links(number) for number in range(3)] == [2, 1, 0]
    one.active, one.nodes = 2, 1
    assert one.references() == 1 + 2 + 3 + 2 + 1
    one.handle = False
    assert one.references() == 2 + 3 + 2 + 1
    world.happens((VM, 0), vma(VMA_REMOVE, 0), vma(VMA_REMOVE, 8, 1, 1))
    assert (one.mapped, one.linked, one.vmas) == (1, 1, {0: 1, 1: 0})
    assert [world.state.links(number) for number in range(3)] == [2, 0, 0]
    assert one.muddled == NONE
    assert [(x.first, x.last) for x in one.held.within(0, 99 * PAGE)] == [(4 * PAGE, 6 * PAGE - 1)]


MUDDLES: dict[str, list[Event]] = {
    "added over another": [vma(VMA_ADD, 3)],
    "added over a part": [vma(VMA_ADD, 1, 2)],
    "removed where none is": [vma(VMA_REMOVE, 9)],
    "removed in part": [vma(VMA_REMOVE, 2)],
    "removed of another buffer": [vma(VMA_REMOVE, 2, 2, 1)],
    "removed of another place": [vma(VMA_REMOVE, 2, 2, 0, 1)],
    "added with no end": [(VMA_ADD, 9 * PAGE, 8 * PAGE, 0)],
}


@pytest.mark.parametrize("what", MUDDLES)
def test_a_tree_that_cannot_be_is_muddled(what: str) -> None:
    world = World()
    vm = world.state.vms[0]
    world.happens((VM, 0), vma(VMA_ADD, 2, 2), vma(VMA_ADD, 4), vma(VMA_REMOVE, 4))
    assert vm.muddled == NONE
    world.happens((VM, 0), *MUDDLES[what])
    assert vm.muddled == len(world.trace) - 1


def test_counts_and_slots_that_are_told() -> None:
    world = World(2)
    seen = world.happens(
        (VM, 1), (t.REFS, t.REFS_VM, 1, 4), (t.REFS, t.REFS_VM_BO, 3, 2),
        (t.REFS, t.REFS_BUFFER, 3, 5), (t.REFS, t.REFS_PINS, 3, 1), (SLOT, 1, 2, 3),
    )  # fmt: skip
    assert [one[1:] for one in seen.refs] == [
        (t.REFS_VM, 1, 1, 4), (t.REFS_VM_BO, 1, 3, 2), (t.REFS_BUFFER, NONE, 3, 5),
        (t.REFS_PINS, NONE, 3, 1),
    ]  # fmt: skip
    assert [one[1:] for one in seen.slots] == [(1, 2, 3)]
    assert (world.state.vms[1].slot, world.state.vms[1].active) == (2, 3)
    assert world.state.vms[1].exists
    world.happens((t.REFS, t.REFS_VM, 1, 0))
    assert [vm.exists for vm in world.state.vms] == [True, False]


def test_a_vm_number_holds_for_one_operation() -> None:
    world = World(2)
    world.happens((VM, 1), vma(VMA_ADD, 0))
    world.happens(vma(VMA_ADD, 4), (VM, 9), vma(VMA_ADD, 5), (t.ALLOC, 0x7000_0000, PAGE))
    assert [vm.mapped for vm in world.state.vms] == [0, 1]
    assert 0x7000_0000 not in world.state.owners


def test_a_table_belongs_to_the_vm_that_took_it_whichever_is_told() -> None:
    world = World(2)
    world.happens(*enable(1, ROOTS[0]), *enable(2, ROOTS[1]))
    seen = world.happens((VM, 1), store(ROOTS[0], 3, 0xF00D), (t.FREE, ROOTS[0], PAGE))
    assert [vm.exists for vm in world.state.vms] == [False, True]
    assert [vm for vm, _ in seen.observations if vm == 1] == []
    assert world.state.machine.observations == []


def test_warnings_and_failed_allocations_are_told() -> None:
    world = World()
    seen = world.happens(FULL, (t.WARN,), (t.ALLOC_FAILED, PAGE), (t.ALLOC_FAILED, PAGE))
    assert (seen.warned, seen.failed_allocations) == (len(world.trace) - 3, 2)
    assert world.happens(FULL).warned == -1


def test_who_is_there_and_up() -> None:
    world = World(3)
    state = world.state
    state.vms[1].handle = False
    assert state.handles() == 2
    assert [state.vm_with_handle(number) is not None for number in (-1, 0, 1, 2, 3)] == [
        False, True, False, True, False,
    ]  # fmt: skip
    assert state.is_up()
    for name, value in (("powered", False), ("resetting", True), ("unplugged", True)):
        setattr(state, name, value)
        assert not state.is_up()
        setattr(state, name, not value)
    assert state.is_up()
    assert state.at_rest()
    for name in ("busy_until_run", "busy_until_reset"):
        setattr(state.vms[0], name, True)
        assert not state.at_rest()
        setattr(state.vms[0], name, False)
    state.vms[0].queue.append(0)
    assert not state.at_rest()
    state.vms[0].exists = False
    assert state.at_rest()
