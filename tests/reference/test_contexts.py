"""Contexts: table memory once, and several that walk it, each with what it has cached.

One table is walked by three contexts of two devices, whose invalidations differ, and any of
which may be disabled for a while; what each of them may have cached is compared with a naive
model. Then streams of two DARTs with root registers, and 64 contexts with two observers each.
"""

from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reference.formats import format_by_name
from reference.formats.access import CACHE, PRIV, READ, WRITE
from reference.formats.entry import LEAF, TABLE
from reference.formats.lpae import LPAE_S1
from reference.hardware import observation as seen
from reference.hardware.context import Context, Space
from reference.hardware.machine import Machine
from reference.hardware.memory import PhysicalMemory
from reference.hardware.tlb import TOP_VA
from reference.hardware.walker import NO_ROOT
from reference.trace import (
    ALLOC,
    BARRIER,
    BARRIER_FULL,
    FILL,
    FREE,
    SCOPE_ENTRY,
    SCOPE_LEAF,
    SCOPE_TAG,
    SCOPE_WALK,
    STORE,
)
from reference.translations import Translations

RW = READ | WRITE
ALL_OF_IT = SCOPE_LEAF | SCOPE_WALK


class World:
    """A machine, and what happens to it: each call is an event, or a few."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.tickets = 0

    def happens(self, kind: int, a: int = 0, b: int = 0, c: int = 0) -> None:
        self.machine.take(kind, a, b, c)
        self.machine.now += 1

    def make(self, *tables: int) -> None:
        size = int(self.machine.memory.granule)
        for pa in tables:
            self.happens(ALLOC, pa, size)
            self.happens(FILL, pa, size, 0)
        self.happens(BARRIER, BARRIER_FULL)

    def store(self, pa: int, index: int, word: int) -> None:
        """A store, made visible at once."""
        self.happens(STORE, pa + 8 * index, 0, word)
        self.happens(BARRIER, BARRIER_FULL)

    def issue(self, first: int, last: int, scope: int, contexts: list[Context]) -> int:
        self.tickets += 1
        self.machine.invalidations.issue(self.tickets, first, last, scope, contexts)
        self.machine.now += 1
        return self.tickets

    def complete(self, ticket: int) -> None:
        self.machine.invalidations.complete(ticket)
        self.machine.now += 1

    def flush(
        self, contexts: list[Context], first: int = 0, last: int = TOP_VA, scope: int = ALL_OF_IT
    ) -> None:
        self.complete(self.issue(first, last, scope, contexts))

    def kinds(self) -> list[int]:
        """What was observed since it was asked last."""
        found, self.machine.observations = self.machine.observations, []
        return [int(one.kind) for one in found]


def cached(context: Context, page: int, size: int) -> list[int]:
    """The entries that a context may have cached for a page, and memory does not hold for it."""
    return [int(one.word) for one in context.tlb.leaves_in(page, page + size - 1)]


# -- three contexts of two devices, beside a naive model ----------------------------------------
#
# 32 input bits: a root of 4 entries at level 1, two tables for level 2, two for level 3, of
# which entries 0 and 1 are used. Each store is visible at once.

GEOMETRY = LPAE_S1.geometry(32)
PAGE, SPAN = 0x1000, (1 << 39, 1 << 30, 1 << 21, 1 << 12)
ROOT = 0x8000_0000
TABLES = tuple(ROOT + PAGE * number for number in range(5))
LEVEL = dict(zip(TABLES, (1, 2, 2, 3, 3), strict=True))
BELOW = {1: TABLES[1:3], 2: TABLES[3:5]}
BOUNDS = (
    *(
        root * SPAN[1] + upper * SPAN[2] + lower * SPAN[3]
        for root in (0, 1)
        for upper in (0, 1, 2)
        for lower in ((0, 1, 2) if upper < 2 else (0,))
    ),
    2 * SPAN[1],
)
PAGES = BOUNDS[:-1]
"""One page of each stretch between two bounds; all pages in one fare alike."""


def word_of(level: int, index: int, choice: int) -> int:
    """One of the entries that are tried at ``index`` of a table of ``level``."""
    here = 0x4000_0000 + index * SPAN[level]
    choices = [0, LPAE_S1.leaf(level, here, RW), LPAE_S1.leaf(level, here + 0x8000_0000, RW)]
    if level < 3:
        choices += [LPAE_S1.table(level, child) for child in BELOW[level]]
    return choices[choice % len(choices)]


class Naive:
    """What one context may have cached: after each event every walk is followed.

    ``leaves``: (page, level, word) -> when it could be loaded last; ``walks``: the same for
    (first address, level, word).
    """

    def __init__(self, words: dict[tuple[int, int], list[int]]) -> None:
        self.words = words
        self.attached = True
        self.enabled = True
        self.leaves: dict[tuple[int, int, int], int] = {}
        self.walks: dict[tuple[int, int, int], int] = {}

    def look(self, now: int) -> None:
        if not self.enabled:
            return
        todo = [
            (LPAE_S1.next_table(level, word), level + 1, va, time)
            for (va, level, word), time in self.walks.items()
        ]
        if self.attached:
            todo.append((ROOT, 1, 0, now))
        while todo:
            table, level, base, time = todo.pop()
            for index in (0, 1):
                va = base + index * SPAN[level]
                for word in self.words[table, index]:
                    kind = LPAE_S1.kind(level, word)
                    if kind == TABLE and self.walks.get((va, level, word), -1) < time:
                        self.walks[va, level, word] = time
                        todo.append((LPAE_S1.next_table(level, word), level + 1, va, time))
                    elif kind == LEAF:
                        for page in PAGES:
                            if va <= page < va + SPAN[level]:
                                fact = (page, level, word)
                                self.leaves[fact] = max(self.leaves.get(fact, -1), time)

    def complete(self, issued: int, first: int, last: int, scope: int) -> None:
        def covered(va: int, level: int, whole: bool) -> bool:
            start = va & -SPAN[level] if whole else va
            end = start + SPAN[level] if whole else va + PAGE
            return start <= last and end > first

        if scope & SCOPE_LEAF:
            self.leaves = {
                (page, level, word): time
                for (page, level, word), time in self.leaves.items()
                if time >= issued or not covered(page, level, bool(scope & SCOPE_ENTRY))
            }
        if scope & SCOPE_WALK:
            self.walks = {
                (va, level, word): time
                for (va, level, word), time in self.walks.items()
                if time >= issued or not covered(va, level, True)
            }


class ThreeContexts(World):
    """Two contexts of device 0, which invalidates ranges, and one of device 1, by entry."""

    def __init__(self) -> None:
        super().__init__(Machine(GEOMETRY, True))
        self.space = self.machine.add_space()
        self.contexts = [
            self.machine.add_context(self.space, device, 0, tag)
            for device, tag in ((0, 1), (0, 2), (1, 3))
        ]
        self.words = {(table, index): [0] for table in TABLES for index in (0, 1)}
        self.naive = [Naive(self.words) for _ in self.contexts]
        self.space.touched_last = TOP_VA
        self.open: list[tuple[int, list[int], tuple[int, int, int, int]]] = []
        self.make(*TABLES)
        for context in self.contexts:
            self.machine.attach(context, self.space, ROOT)
            self.machine.now += 1

    def compare(self) -> None:
        now = int(self.machine.now) - 1
        for context, naive in zip(self.contexts, self.naive, strict=True):
            naive.look(now)
            for page in PAGES:
                slow = {(level, word) for at, level, word in naive.leaves if at == page}
                assert self.fast(context, page) == slow, f"{context.number}, page {page:#x}"
        found = [
            (int(one.kind), int(one.level), int(one.va), int(one.pa), int(one.old))
            for one in self.machine.observations
        ]
        assert len(set(found)) == len(found), "a store is observed once"
        self.machine.observations = []

    def fast(self, context: Context, page: int) -> set[tuple[int, int]]:
        found = {
            (int(one.level), int(one.word)) for one in context.tlb.leaves_in(page, page + PAGE - 1)
        }
        if context.roots and context.enabled:
            level, word = self.space.walker.translate(page)
            if level >= 0 and LPAE_S1.kind(level, word) == LEAF:
                found.add((int(level), int(word)))
        return found

    # -- what is drawn ------------------------------------------------------------------------

    def put(self, table: int, index: int, choice: int) -> None:
        word = word_of(LEVEL[table], index, choice)
        self.words[table, index].append(word)
        self.happens(STORE, table + 8 * index, 0, word)
        self.compare()
        del self.words[table, index][:-1]
        self.happens(BARRIER, BARRIER_FULL)
        self.compare()

    def switch_root(self, number: int) -> None:
        context, naive = self.contexts[number], self.naive[number]
        if naive.attached:
            self.machine.detach(context)
        else:
            self.machine.attach(context, self.space, ROOT)
        naive.attached = not naive.attached
        self.machine.now += 1
        self.compare()

    def switch_on(self, number: int) -> None:
        context, naive = self.contexts[number], self.naive[number]
        if naive.enabled:
            self.machine.disable(context)
        else:
            self.machine.enable(context)
        naive.enabled = not naive.enabled
        self.machine.now += 1
        self.compare()

    def orphan(
        self, number: int, pick: int, index: int, choices: tuple[int, int], command: int
    ) -> None:
        """Unlink a table, and store to it, while a context is disabled, with an invalidation."""
        links = [
            (table, entry, LPAE_S1.next_table(LEVEL[table], words[0]))
            for (table, entry), words in self.words.items()
            if LPAE_S1.kind(LEVEL[table], words[0]) == TABLE
        ]
        if not links or not self.naive[number].enabled:
            return
        table, entry, child = links[pick % len(links)]
        self.put(table, entry, 0)
        self.switch_on(number)
        for choice in choices:
            self.put(child, index, choice)
        self.begin(command, 0, 0)
        self.end()
        self.switch_on(number)

    def begin(self, command: int, one: int, other: int) -> None:
        """An invalidation: of a range in device 0, or one of its contexts; by entry in device 1."""
        first, end = sorted((BOUNDS[one], BOUNDS[other]))
        if first == end:
            end = BOUNDS[-1]
        devices = self.machine.contexts_of
        last = end - 1
        if command == 0:
            reached, scope = devices(device=0), ALL_OF_IT
        elif command == 1:
            reached, scope = devices(device=0, tag=2), SCOPE_LEAF
        elif command == 2:
            reached, scope, last = devices(device=1), ALL_OF_IT | SCOPE_ENTRY, first + PAGE - 1
        elif command == 3:
            reached, scope, first, last = devices(tag=1), ALL_OF_IT, 0, TOP_VA
        else:
            reached, scope, first, last = devices(), SCOPE_WALK, 0, TOP_VA
        issued = int(self.machine.now)
        ticket = self.issue(first, last, scope, reached)
        if last - first < PAGE:
            # A command for one address takes the whole entry.
            scope |= SCOPE_ENTRY
        numbers = [int(context.number) for context in reached]
        self.open.append((ticket, numbers, (issued, first, last, scope)))
        self.compare()

    def end(self) -> None:
        if self.open:
            ticket, numbers, what = self.open.pop(0)
            self.complete(ticket)
            for number in numbers:
                self.naive[number].complete(*what)
            self.compare()


tables, indices, numbers = st.sampled_from(TABLES), st.sampled_from((0, 1)), st.integers(0, 2)
bounds = st.integers(0, len(BOUNDS) - 1)
STEPS = st.one_of(
    st.tuples(st.just("put"), tables, indices, st.integers(0, 4)),
    st.tuples(st.just("put"), st.sampled_from(TABLES[:3]), indices, st.just(0)),
    st.tuples(st.just("put"), st.sampled_from(TABLES[:3]), indices, st.integers(3, 4)),
    st.tuples(st.just("switch_root"), numbers),
    st.tuples(st.just("switch_on"), numbers),
    st.tuples(st.just("begin"), st.integers(0, 4), bounds, bounds),
    st.tuples(st.just("end")),
    st.tuples(
        st.just("orphan"),
        numbers,
        st.integers(0, 4),
        indices,
        st.tuples(st.integers(0, 4), st.integers(0, 4)),
        st.integers(0, 4),
    ),
)


TWICE_CACHED = [
    ("switch_root", 2), ("switch_root", 2), ("begin", 0, 0, 0), ("begin", 2, 0, 0),
    ("orphan", 2, 0, 0, (0, 3), 0), ("end",),
]  # fmt: skip
"""An entry that was cached before an invalidation was issued, and once more after that: what is
stored behind it while the context is disabled is loaded by the younger."""


@given(st.integers(0, 5), st.lists(STEPS, min_size=4, max_size=25))
@example(1, TWICE_CACHED)
@example(0, [("put", ROOT, 0, 1), ("put", ROOT, 0, 0), ("begin", 0, 1, 2), ("end",)])
@settings(max_examples=150)
def test_each_context_has_cached_what_it_could_load(planted: int, steps: list) -> None:
    world = ThreeContexts()
    root, upper, other, lower, last = TABLES
    links = ((root, 0, 3), (upper, 0, 3), (upper, 1, 4), (root, 1, 4), (other, 0, 4))
    for link in links[:planted]:
        world.put(*link)
    world.put(lower, 0, 1)
    world.put(last, 1, 2)
    for name, *drawn in steps:
        getattr(world, name)(*drawn)


# -- streams of two DARTs -----------------------------------------------------------------------

DART = format_by_name("dart1-4k")
DART_GEOMETRY = DART.geometry(32)
DART_PAGE = 0x1000
DART_ROOTS = (0x8000_0000, 0x8000_1000)
DART_LAST = 0x8000_2000
SECOND = int(DART.span(0))
"""The first address of the second root register."""


class Streams(World):
    """Streams 0 and 1 of one DART and stream 0 of another, with two root registers in use."""

    def __init__(self) -> None:
        super().__init__(Machine(DART_GEOMETRY, True))
        self.space: Space = self.machine.add_space()
        self.first, self.second, self.other = (
            self.machine.add_context(self.space, device, 0, tag)
            for device, tag in ((0, 0), (0, 1), (1, 0))
        )
        self.all = [self.first, self.second, self.other]
        self.space.touched_last = TOP_VA
        self.make(*DART_ROOTS, DART_LAST)
        self.store(DART_ROOTS[0], 0, DART.table(1, DART_LAST))
        self.store(DART_LAST, 0, self.leaf(0))
        for context in self.all:
            for number, pa in enumerate(DART_ROOTS):
                self.machine.attach(context, self.space, pa, number)
                self.machine.now += 1

    def leaf(self, number: int) -> int:
        return DART.leaf(2, 0x9_0000_0000 + number * DART_PAGE, RW)

    def holders(self) -> list[bool]:
        """Which stream may still have something cached for the first page."""
        return [bool(cached(context, 0, DART_PAGE)) for context in self.all]


def test_memory_and_links_are_there_once_however_many_streams_walk() -> None:
    world = Streams()
    assert (world.space.allocated, world.space.reachable, world.space.lost_tables()) == (3, 3, 0)
    page = world.machine.memory.pages[DART_LAST]
    assert [(int(one.level), int(one.va), int(one.fact)) for one in page.paths] == [(2, 0, -1)]
    assert world.kinds() == []


def test_a_store_is_observed_once_and_cached_by_each() -> None:
    world = Streams()
    counts = list(world.machine.counts)
    world.store(DART_LAST, 0, world.leaf(1))
    assert world.kinds() == [seen.REPLACED_VALUE]
    assert world.machine.counts[seen.REPLACED_VALUE] == counts[seen.REPLACED_VALUE] + 1
    assert world.holders() == [True, True, True]
    world.space.touched_last = -1
    world.store(DART_LAST, 0, 0)
    assert world.kinds() == [seen.CHANGED_OUTSIDE]


def test_an_invalidation_reaches_its_own_device_or_stream() -> None:
    world = Streams()
    world.store(DART_LAST, 0, 0)
    world.flush(world.machine.contexts_of(device=0, tag=1))
    assert world.holders() == [True, False, True]
    world.flush(world.machine.contexts_of(device=0))
    assert world.holders() == [False, False, True]
    world.flush([world.other])
    assert world.holders() == [False, False, False]


def test_a_table_is_freed_when_no_stream_has_the_way_to_it_cached() -> None:
    world = Streams()
    world.store(DART_ROOTS[0], 0, 0)
    world.flush(world.machine.contexts_of(device=0))
    world.happens(FREE, DART_LAST, DART_PAGE)
    assert world.kinds() == [seen.FREED_CACHED]
    again = Streams()
    again.store(DART_ROOTS[0], 0, 0)
    again.flush(again.all)
    again.happens(FREE, DART_LAST, DART_PAGE)
    assert again.kinds() == []


def test_a_stream_that_is_disabled_keeps_what_it_cached_and_loads_nothing() -> None:
    world = Streams()
    world.machine.disable(world.second)
    world.store(DART_LAST, 1, world.leaf(1))
    world.store(DART_LAST, 1, 0)
    assert cached(world.first, DART_PAGE, DART_PAGE) == [world.leaf(1)]
    assert cached(world.second, DART_PAGE, DART_PAGE) == []
    world.store(DART_LAST, 0, 0)
    assert world.holders() == [True, True, True]
    world.flush(world.all)
    assert world.holders() == [False, False, False]
    world.store(DART_LAST, 0, world.leaf(2))
    world.store(DART_LAST, 0, 0)
    assert world.holders() == [True, False, True]
    world.machine.enable(world.second)
    assert world.holders() == [True, False, True]
    world.store(DART_LAST, 0, world.leaf(3))
    world.store(DART_LAST, 0, 0)
    assert world.holders() == [True, True, True]
    assert seen.PUBLISHED_UNORDERED not in world.kinds()


def test_a_stream_that_is_enabled_again_goes_on_from_what_it_has_cached() -> None:
    """A table that was unlinked meanwhile is still walked, with what is stored to it by then."""
    world = Streams()
    world.machine.disable(world.second)
    world.store(DART_ROOTS[0], 0, 0)
    world.flush([world.first, world.other])
    world.store(DART_LAST, 3, world.leaf(3))
    assert cached(world.second, 3 * DART_PAGE, DART_PAGE) == []
    world.machine.enable(world.second)
    assert cached(world.second, 3 * DART_PAGE, DART_PAGE) == [world.leaf(3)]
    assert cached(world.first, 3 * DART_PAGE, DART_PAGE) == []
    world.happens(FREE, DART_LAST, DART_PAGE)
    assert world.kinds() == [seen.FREED_CACHED]


def test_enabling_a_stream_before_stores_are_visible_is_observed_once() -> None:
    world = Streams()
    world.machine.disable(world.second)
    world.happens(STORE, DART_LAST, 0, 0)
    world.machine.enable(world.second)
    assert world.kinds() == [seen.PUBLISHED_UNORDERED]


def test_a_root_register_of_one_stream_is_its_own() -> None:
    world = Streams()
    world.machine.detach(world.other, 0)
    world.machine.now += 1
    assert (sorted(world.other.roots), sorted(world.first.roots)) == ([1], [0, 1])
    assert world.space.reachable == 3
    # It walks on from what it has cached, until that is invalidated.
    world.store(DART_LAST, 0, 0)
    assert world.holders() == [True, True, True]
    world.flush(world.all)
    world.store(DART_LAST, 0, world.leaf(1))
    world.store(DART_LAST, 0, 0)
    assert world.holders() == [True, True, False]
    for context in (world.first, world.second):
        world.machine.detach(context, 0)
    assert world.space.lost_tables() == 2
    assert world.space.walker.translate(0)[0] == 0
    for context in world.all:
        world.machine.detach(context, 1)
    assert world.space.walker.root == NO_ROOT
    assert world.space.lost_tables() == 3


def test_a_stream_goes_to_another_space_with_what_it_has_cached() -> None:
    """Nothing that a stream has of its former owner's may serve the next."""
    world = Streams()
    promise = Translations(DART)
    taken = world.machine.add_space()
    world.machine.current = taken.number
    root = 0x8001_0000
    world.make(root)
    for number in (0, 1):
        world.machine.detach(world.second, number)
    world.store(DART_LAST, 0, 0)
    world.machine.attach(world.second, taken, root, 0)
    assert [int(one.number) for one in taken.contexts] == [int(world.second.number)]
    fact = taken.stale(promise, 0, DART_PAGE - 1)
    assert fact is not None
    assert int(fact.word) == world.leaf(0)
    world.flush([world.second])
    assert taken.stale(promise, 0, DART_PAGE - 1) is None
    assert world.space.stale(promise, 0, DART_PAGE - 1) is not None
    assert (taken.reachable, world.space.reachable) == (1, 3)


# -- 64 contexts, each seen by the GPU and by the firmware --------------------------------------

UAT = format_by_name("uat")
UAT_GEOMETRY = UAT.geometry(39)
UAT_PAGE = 0x4000
GPU, FIRMWARE = 0, 1
CONTEXTS = 64


class Uat(World):
    """64 contexts with a table of their own each, walked by GPU and firmware."""

    def __init__(self) -> None:
        super().__init__(Machine(UAT_GEOMETRY, True))
        self.spaces: list[Space] = []
        for number in range(CONTEXTS):
            space = self.machine.add_space()
            space.touched_last = TOP_VA
            self.spaces.append(space)
            self.machine.current = space.number
            root, middle, last = self.tables(number)
            self.make(root, middle, last)
            self.store(root, 0, UAT.table(1, middle))
            self.store(middle, 0, UAT.table(2, last))
            for observer in (GPU, FIRMWARE):
                context = self.machine.add_context(space, 0, observer, number)
                self.machine.attach(context, space, root)
                self.machine.now += 1

    def tables(self, number: int) -> tuple[int, int, int]:
        root = 0x8_0000_0000 + number * 3 * UAT_PAGE
        return root, root + UAT_PAGE, root + 2 * UAT_PAGE

    def map(self, number: int, page: int, prot: int = RW) -> None:
        word = UAT.leaf(3, 0x9_0000_0000 + (number * 16 + page) * UAT_PAGE, prot)
        self.store(self.tables(number)[2], page, word)

    def unmap(self, number: int, page: int) -> None:
        self.store(self.tables(number)[2], page, 0)

    def holders(self, page: int) -> Iterator[tuple[int, int]]:
        """(tag, observer) of all that may still have something cached for a page."""
        for context in self.machine.contexts:
            if cached(context, page * UAT_PAGE, UAT_PAGE):
                yield int(context.tag), int(context.observer)


@pytest.fixture
def uat() -> Uat:
    return Uat()


def test_a_store_concerns_the_two_contexts_from_which_its_table_can_be_reached(uat: Uat) -> None:
    assert len(uat.machine.contexts) == 2 * CONTEXTS
    uat.map(5, 1)
    uat.unmap(5, 1)
    assert list(uat.holders(1)) == [(5, GPU), (5, FIRMWARE)]
    assert uat.kinds() == []
    touched = [int(one.tlb.next_number) for one in uat.machine.contexts]
    assert sum(touched) == 2


def test_what_two_observers_could_object_to_is_observed_once(uat: Uat) -> None:
    counts = list(uat.machine.counts)
    uat.map(9, 1)
    uat.map(9, 1, READ)
    uat.unmap(9, 1)
    uat.store(uat.tables(9)[2], 1, UAT.leaf(3, 0xA_0000_0000, RW))
    assert uat.kinds() == [seen.CONFLICT_VALUE]
    assert uat.machine.counts[seen.REPLACED_SIZE] == counts[seen.REPLACED_SIZE] + 1
    # The store that removes an entry is not visible: once for both.
    uat.happens(STORE, uat.tables(9)[2] + 8, 0, 0)
    uat.flush(uat.machine.contexts_of(tag=9))
    assert uat.kinds() == [seen.ISSUED_UNSEEN]
    # A table that both may walk to: once for both.
    uat.happens(STORE, uat.tables(9)[1], 0, 0)
    uat.happens(BARRIER, BARRIER_FULL)
    uat.happens(ALLOC, 0xB_0000_0000, UAT_PAGE)
    uat.happens(STORE, uat.tables(9)[1] + 8, 0, UAT.table(2, 0xB_0000_0000))
    assert uat.kinds() == [seen.PUBLISHED_UNWRITTEN]


def test_an_unlinked_table_is_walked_by_both_observers_until_each_is_invalidated(uat: Uat) -> None:
    root, middle, last = uat.tables(3)
    uat.map(3, 2)
    uat.store(root, 0, 0)
    uat.unmap(3, 2)
    assert list(uat.holders(2)) == [(3, GPU), (3, FIRMWARE)]
    uat.flush(uat.machine.contexts_of(observer=GPU))
    assert list(uat.holders(2)) == [(3, FIRMWARE)]
    uat.happens(FREE, last, UAT_PAGE)
    assert uat.kinds() == [seen.FREED_CACHED]
    uat.flush(uat.machine.contexts_of(observer=FIRMWARE))
    uat.happens(FREE, middle, UAT_PAGE)
    assert uat.kinds() == []


def test_what_is_published_behind_a_cached_entry_is_observed_once(uat: Uat) -> None:
    root, middle, _ = uat.tables(3)
    uat.store(root, 0, 0)
    uat.kinds()
    uat.happens(STORE, middle + 8, 0, UAT.table(2, 0xB_0000_0000))
    assert uat.kinds() == [seen.PUBLISHED_NOTHING]


@pytest.mark.parametrize("prot", [RW, PRIV | RW | CACHE])
def test_an_invalidation_by_tag_leaves_global_entries(uat: Uat, prot: int) -> None:
    uat.map(7, 1, prot)
    uat.map(8, 1, prot)
    uat.unmap(7, 1)
    uat.unmap(8, 1)
    left = [(7, GPU), (7, FIRMWARE)] if prot & PRIV else []
    uat.flush(uat.machine.contexts_of(tag=7), scope=ALL_OF_IT | SCOPE_TAG)
    assert list(uat.holders(1)) == [*left, (8, GPU), (8, FIRMWARE)]
    uat.flush(uat.machine.contexts_of())
    assert list(uat.holders(1)) == []


def test_global_entries_behind_a_cached_one_stay_too(uat: Uat) -> None:
    uat.map(7, 1, PRIV | RW | CACHE)
    uat.map(7, 2, RW)
    uat.store(uat.tables(7)[0], 0, 0)
    uat.flush(uat.machine.contexts_of(tag=7), scope=ALL_OF_IT | SCOPE_TAG)
    assert list(uat.holders(1)) == [(7, GPU), (7, FIRMWARE)]
    assert list(uat.holders(2)) == []


def test_a_table_that_several_contexts_share_is_there_once(uat: Uat) -> None:
    """As the kernel's half: one table, linked in the tables of two contexts."""
    shared = uat.tables(0)[1]
    uat.store(uat.tables(1)[0], 1, UAT.table(1, shared))
    uat.map(0, 4)
    uat.unmap(0, 4)
    assert list(uat.holders(4)) == [(0, GPU), (0, FIRMWARE)]
    second = int(UAT.span(1)) // UAT_PAGE
    assert list(uat.holders(second + 4)) == [(1, GPU), (1, FIRMWARE)]
    assert uat.spaces[0].lost_tables() == 0
    uat.store(uat.tables(0)[0], 0, 0)
    assert uat.spaces[0].lost_tables() == 0
    uat.store(uat.tables(1)[0], 1, 0)
    assert uat.spaces[0].lost_tables() == 2


# -- by range, and by entry -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "pages"), [(ALL_OF_IT, 1), (ALL_OF_IT, 2), (ALL_OF_IT | SCOPE_ENTRY, 2)]
)
@pytest.mark.parametrize("linked", [True, False])
def test_a_command_for_an_address_takes_the_whole_block(
    scope: int, pages: int, linked: bool
) -> None:
    world = World(Machine(GEOMETRY, True))
    space = world.machine.add_space()
    space.touched_last = TOP_VA
    context = world.machine.add_context(space)
    world.make(*TABLES[:2])
    world.store(ROOT, 0, LPAE_S1.table(1, TABLES[1]))
    world.store(TABLES[1], 1, LPAE_S1.leaf(2, 0x4000_0000, RW))
    world.machine.attach(context, space, ROOT)
    if linked:
        world.store(TABLES[1], 1, 0)
    else:
        # The block is cached behind the entry that led to its table.
        world.store(ROOT, 0, 0)
    world.flush([context], SPAN[2] + PAGE, SPAN[2] + (1 + pages) * PAGE - 1, scope)
    left = [number for number in range(5) if cached(context, SPAN[2] + number * PAGE, PAGE)]
    assert left == ([0, 3, 4] if scope == ALL_OF_IT and pages == 2 else [])


def test_contexts_are_found_by_device_observer_and_tag() -> None:
    machine = Machine(GEOMETRY, True)
    space = machine.add_space()
    for device in (0, 1):
        for observer in (0, 1):
            for tag in (3, 4):
                machine.add_context(space, device, observer, tag)
    assert [int(one.number) for one in machine.contexts_of()] == list(range(8))
    assert [int(one.number) for one in machine.contexts_of(device=1)] == [4, 5, 6, 7]
    assert [int(one.number) for one in machine.contexts_of(0, 1)] == [2, 3]
    assert [int(one.number) for one in machine.contexts_of(tag=4)] == [1, 3, 5, 7]
    assert isinstance(machine.memory, PhysicalMemory)
