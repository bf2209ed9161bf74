"""The hardware view of tables that are not always walked, and of addresses that may be locked."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.formats.access import READ, WRITE
from reference.formats.lpae import LPAE_S1
from reference.hardware import observation as seen
from reference.hardware.machine import Machine
from reference.hardware.tlb import TOP_VA
from reference.trace import (
    ALLOC,
    BARRIER,
    BARRIER_FULL,
    BARRIER_ORDER,
    CLEAN,
    COMPLETE,
    FILL,
    FREE,
    INVALIDATE,
    SCOPE_LEAF,
    SCOPE_WALK,
    STORE,
    invalidate_command,
)

# 32 input bits: a root of 4 entries at level 1, then levels 2 and 3.
GEOMETRY = LPAE_S1.geometry(32)
PAGE, LARGE = 0x1000, 0x20_0000
ROOT, MIDDLE, LAST = 0x8000_0000, 0x8000_1000, 0x8000_2000


def leaf(page: int, number: int = 0) -> int:
    return LPAE_S1.leaf(3, 0x4000_0000 + (page + number) * PAGE, READ | WRITE)


class World:
    """Tables for the first pages, with pages 0 to 3 mapped, and what happens to them."""

    def __init__(self, coherent: bool = True, mapped: bool = True) -> None:
        self.machine = Machine(GEOMETRY, coherent)
        self.view = self.machine.add_space()
        self.context = self.machine.add_context(self.view, enabled=False)
        self.coherent = coherent
        self.tickets = 0
        self.touch(0, TOP_VA)
        self.happens(ALLOC, ROOT, PAGE)
        self.happens(FILL, ROOT, PAGE, 0)
        self.publish(ROOT)
        self.machine.attach(self.context, self.view, ROOT)
        if mapped:
            self.link()
            for page in range(4):
                self.store(LAST, page, leaf(page))
            self.settle()
        self.machine.observations.clear()

    def happens(self, kind: int, a: int = 0, b: int = 0, c: int = 0) -> None:
        self.machine.take(kind, a, b, c)
        self.machine.now += 1

    def start(self) -> None:
        """Somebody begins to walk."""
        self.machine.enable(self.context)

    def stop(self) -> None:
        """Nobody walks any more, and what was cached is nobody's concern."""
        self.machine.retire(self.context)

    def touch(self, first: int, last: int) -> None:
        self.view.touched_first, self.view.touched_last = first, last

    def publish(self, pa: int) -> None:
        if self.coherent:
            self.happens(BARRIER, BARRIER_ORDER)
        else:
            self.happens(CLEAN, pa, PAGE)

    def settle(self) -> None:
        """Every store becomes visible."""
        self.happens(BARRIER, BARRIER_FULL)
        for pa in (ROOT, MIDDLE, LAST):
            self.happens(CLEAN, pa, PAGE)

    def link(self) -> None:
        """The tables down to the last level."""
        for above, pa, level in ((ROOT, MIDDLE, 1), (MIDDLE, LAST, 2)):
            self.happens(ALLOC, pa, PAGE)
            self.happens(FILL, pa, PAGE, 0)
            self.publish(pa)
            self.store(above, 0, LPAE_S1.table(level, pa))

    def store(self, pa: int, index: int, word: int) -> None:
        self.happens(STORE, pa + 8 * index, 0, word)

    def flush(self, first: int = 0, last: int = TOP_VA) -> None:
        self.tickets += 1
        command = invalidate_command(SCOPE_LEAF | SCOPE_WALK, 0, self.tickets)
        self.happens(INVALIDATE, first, last, command)
        self.happens(COMPLETE, self.tickets)

    def cached(self) -> list[int]:
        """The pages of which a leaf that memory does not hold may be cached."""
        return sorted({int(one.first) // PAGE for one in self.context.tlb.leaves_in(0, TOP_VA)})

    def kinds(self) -> list[int]:
        return [int(one.kind) for one in self.machine.observations]

    def lock(self, first: int, last: int) -> None:
        self.view.stalled_first, self.view.stalled_last = first, last


both = pytest.mark.parametrize("coherent", [True, False])


# -- while nobody walks -------------------------------------------------------------------------


@both
def test_while_nobody_walks_nothing_is_cached_and_nothing_can_conflict(coherent: bool) -> None:
    world = World(coherent)
    world.store(LAST, 0, 0)
    world.store(LAST, 1, leaf(77))
    world.settle()
    assert world.cached() == []
    assert world.kinds() == []
    world.start()
    assert world.cached() == []
    assert world.kinds() == []


@both
def test_once_somebody_walks_all_that_is_removed_is_cached(coherent: bool) -> None:
    world = World(coherent)
    world.start()
    world.store(LAST, 0, 0)
    world.store(LAST, 1, leaf(77))
    world.settle()
    assert world.cached() == [0, 1]
    assert world.kinds() == [seen.REPLACED_VALUE]


@both
def test_when_nobody_walks_any_more_what_is_cached_is_nobodys_concern(coherent: bool) -> None:
    world = World(coherent)
    world.start()
    world.store(LAST, 0, 0)
    # Visible to nobody yet.
    world.stop()
    assert world.cached() == []
    world.settle()
    world.store(LAST, 0, leaf(9))
    world.settle()
    world.start()
    assert (world.cached(), world.kinds()) == ([], [])


@both
def test_a_store_that_is_not_visible_when_walking_starts_is_told_once(coherent: bool) -> None:
    world = World(coherent)
    world.store(LAST, 0, 0)
    assert world.view.unseen_store() >= 0
    before = world.machine.counts[seen.PUBLISHED_UNORDERED]
    world.start()
    assert world.kinds() == [seen.PUBLISHED_UNORDERED]
    assert world.machine.counts[seen.PUBLISHED_UNORDERED] == before + 1
    assert world.view.unseen_store() == -1
    world.stop()
    world.start()
    assert world.kinds() == [seen.PUBLISHED_UNORDERED]


@both
def test_a_table_that_is_linked_unordered_matters_only_when_somebody_walks(coherent: bool) -> None:
    for walked in (False, True):
        world = World(coherent, mapped=False)
        if walked:
            world.start()
        world.happens(ALLOC, MIDDLE, PAGE)
        world.happens(FILL, MIDDLE, PAGE, 0)
        world.store(ROOT, 0, LPAE_S1.table(1, MIDDLE))
        world.settle()
        assert world.kinds() == ([seen.PUBLISHED_UNORDERED] if walked else [])


def test_a_table_with_entries_that_were_never_written_is_told_whoever_walks() -> None:
    world = World(mapped=False)
    world.happens(ALLOC, MIDDLE, PAGE)
    world.store(ROOT, 0, LPAE_S1.table(1, MIDDLE))
    assert seen.PUBLISHED_UNWRITTEN in world.kinds()


@both
def test_a_table_that_is_freed_linked_is_kept_for_later_while_nobody_walks(coherent: bool) -> None:
    world = World(coherent)
    world.happens(FREE, LAST, PAGE)
    assert world.kinds() == []
    (one,) = world.view.freed_linked
    assert (one.kind, one.level, one.va, one.pa) == (seen.FREED_LINKED, 2, 0, LAST)
    world = World(coherent)
    world.start()
    world.happens(FREE, LAST, PAGE)
    assert world.kinds() == [seen.FREED_LINKED]
    assert world.view.freed_linked == []


@both
def test_a_table_that_was_unlinked_may_be_freed_at_once_while_nobody_walks(coherent: bool) -> None:
    world = World(coherent)
    tables = world.view.reachable
    world.store(ROOT, 0, 0)
    assert world.view.reachable == tables - 2
    assert world.view.lost_tables() == 2
    world.happens(FREE, LAST, PAGE)
    world.happens(FREE, MIDDLE, PAGE)
    assert (world.kinds(), world.view.freed_linked, world.view.lost_tables()) == ([], [], 0)
    walked = World(coherent)
    walked.start()
    walked.store(ROOT, 0, 0)
    walked.settle()
    walked.happens(FREE, LAST, PAGE)
    walked.happens(FREE, MIDDLE, PAGE)
    assert walked.kinds() == [seen.FREED_CACHED] * 2
    flushed = World(coherent)
    flushed.start()
    flushed.store(ROOT, 0, 0)
    flushed.settle()
    flushed.flush()
    flushed.happens(FREE, LAST, PAGE)
    flushed.happens(FREE, MIDDLE, PAGE)
    assert (flushed.kinds(), flushed.view.lost_tables()) == ([], 0)


def test_a_table_that_was_cached_may_be_freed_when_nobody_walks_any_more() -> None:
    world = World()
    world.start()
    world.store(ROOT, 0, 0)
    world.stop()
    world.happens(FREE, LAST, PAGE)
    world.happens(FREE, MIDDLE, PAGE)
    assert world.kinds() == []


# -- while addresses are locked -----------------------------------------------------------------


def test_in_a_locked_region_an_entry_is_replaced_at_once_and_is_still_cached() -> None:
    world = World()
    world.start()
    world.lock(PAGE, 3 * PAGE - 1)
    world.store(LAST, 1, leaf(77))
    world.store(LAST, 2, 0)
    world.store(LAST, 2, leaf(2, 5))
    assert world.kinds() == []
    # It has to be flushed all the same.
    assert world.cached() == [1, 2]
    world.store(LAST, 3, leaf(77))
    world.store(LAST, 0, 0)
    world.store(LAST, 0, leaf(0, 9))
    assert world.kinds() == [seen.REPLACED_VALUE, seen.CONFLICT_VALUE]


@pytest.mark.parametrize(
    ("first", "last"), [(1, LARGE - 1), (0, LARGE - 2), (LARGE, 2 * LARGE - 1)]
)
def test_an_entry_of_which_a_part_is_locked_is_not_locked(first: int, last: int) -> None:
    world = World()
    world.start()
    world.lock(first, last)
    block = LPAE_S1.leaf(2, 0x4000_0000, READ | WRITE)
    world.store(MIDDLE, 0, block)
    assert world.kinds() == [seen.REPLACED_SIZE]
    locked = World()
    locked.start()
    locked.lock(0, LARGE - 1)
    locked.store(MIDDLE, 0, block)
    assert locked.kinds() == []


def test_a_neighbour_that_changes_unseen_is_looked_at_later() -> None:
    world = World()
    world.start()
    world.touch(PAGE, 2 * PAGE - 1)
    world.lock(0, 0x7FFF)
    world.store(LAST, 1, 0)
    world.store(LAST, 2, 0)
    assert (world.kinds(), world.view.changed_stalled) == ([], [2 * PAGE])
    world.lock(0, -1)
    world.store(LAST, 3, 0)
    assert world.kinds() == [seen.CHANGED_OUTSIDE]


@both
def test_while_nobody_walks_every_address_is_as_if_locked(coherent: bool) -> None:
    world = World(coherent)
    world.touch(0, -1)
    world.store(LAST, 2, 0)
    assert (world.kinds(), world.view.changed_stalled) == ([], [2 * PAGE])


# -- laws ---------------------------------------------------------------------------------------

drawn_steps = st.lists(
    st.tuples(
        st.sampled_from(("map", "map", "unmap", "flush", "start", "stop", "settle")),
        st.integers(0, 7),
        st.integers(0, 3),
    ),
    max_size=24,
)


@given(drawn_steps, st.booleans())
@settings(max_examples=80)
def test_what_is_cached_was_there_while_somebody_walked_and_not_flushed_since(
    drawn: list[tuple[str, int, int]], coherent: bool
) -> None:
    """The naive TLB: each page's entry is loaded after each event while somebody walks."""
    world = World(coherent)
    memory = {page: leaf(page) for page in range(4)}
    loaded: set[tuple[int, int]] = set()
    for what, page, number in drawn:
        if what in ("map", "unmap"):
            word = leaf(page, number) if what == "map" else 0
            world.store(LAST, page, word)
            memory[page] = word
            world.settle()
        elif what == "flush":
            world.flush(page * PAGE, (page + number) * PAGE + PAGE - 1)
            loaded = {one for one in loaded if not page <= one[0] <= page + number}
        elif what == "start" and not world.view.walked:
            world.start()
        elif what == "stop" and world.view.walked:
            world.stop()
            loaded = set()
        if world.view.walked:
            loaded |= {(page, word) for page, word in memory.items() if word}
        stale = {one for one in loaded if memory[one[0]] != one[1]}
        said = {
            (int(one.first) // PAGE, int(one.word))
            for one in world.context.tlb.leaves_in(0, TOP_VA)
        }
        assert {one for one in said if memory.get(one[0], 0) != one[1]} == stale
