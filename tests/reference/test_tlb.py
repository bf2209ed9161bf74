"""The maximal TLB against a naive one that knows semantics.md and nothing else.

The naive model has no facts in store for what is walkable now, no paths, no lists of
what waits to become visible. After each event it follows every walk that the device
could do, from memory with every value that may be visible, and from everything cached
so far, and writes down what was walkable, and when. It is slow, and short.
"""

import copy
from collections.abc import Callable, Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from reference.formats.access import CACHE, READ, WRITE
from reference.formats.entry import INVALID, LEAF, TABLE
from reference.formats.lpae import LPAE_S1
from reference.hardware import observation as seen
from reference.hardware.machine import Machine
from reference.trace import (
    ALLOC,
    ATTACH,
    BARRIER,
    BARRIER_FULL,
    BARRIER_ORDER,
    CLEAN,
    COMPLETE,
    DETACH,
    FILL,
    FREE,
    INVALIDATE,
    SCOPE_LEAF,
    SCOPE_WALK,
    STORE,
    Event,
    Trace,
    invalidate_command,
)

# -- a small world ------------------------------------------------------------------------
#
# 32 input bits: a root of 4 entries at level 1, two tables for level 2, two for level 3.
# Entries 0 and 1 of each are used.

GEOMETRY = LPAE_S1.geometry(32)
FMT = LPAE_S1
PAGE, SPAN = 0x1000, (1 << 39, 1 << 30, 1 << 21, 1 << 12)
ROOT = 0x8000_0000
TABLES = tuple(ROOT + PAGE * number for number in range(5))
LEVEL = dict(zip(TABLES, (1, 2, 2, 3, 3), strict=True))
BELOW = {1: TABLES[1:3], 2: TABLES[3:5]}
INDICES = (0, 1)

BOUNDS = (
    *(
        root * SPAN[1] + upper * SPAN[2] + lower * SPAN[3]
        for root in (0, 1)
        for upper in (0, 1, 2)
        for lower in ((0, 1, 2) if upper < 2 else (0,))
    ),
    2 * SPAN[1],
)
"""Where invalidations begin and end; between two of them all pages fare alike."""
PAGES = BOUNDS[:-1]
"""One page for each stretch between two bounds."""

RW = READ | WRITE


def word_of(level: int, index: int, choice: int) -> int:
    """One of the entries that are tried at ``index`` of a table of ``level``."""
    here = 0x4000_0000 + index * SPAN[level]
    leaf = FMT.leaf(level, here, RW)
    choices = [
        0,
        leaf,
        FMT.leaf(level, here, READ),
        FMT.leaf(level, here, RW | CACHE),
        FMT.leaf(level, here + 0x8000_0000, RW),
        leaf | 1 << 55,
    ]
    if level < 3:
        choices += [FMT.table(level, child) for child in BELOW[level]]
    return choices[choice % len(choices)]


def plain(level: int, word: int) -> int:
    """A valid entry without what the hardware ignores."""
    return word & ~(0xF << 55) if FMT.kind(level, word) == LEAF else word


# -- the naive model ------------------------------------------------------------------------


class Naive:
    """semantics.md, "The maximal TLB", followed by enumeration.

    ``words``: for each entry of each table every value that may be visible, oldest first,
    with the time of its store. ``leaves``: (page, level, word) -> the last time at which
    it could be loaded; ``walks``: the same for (first address, level, word, ``after``).

    Something loaded through a cached entry is as old as that entry: an invalidation that
    removes the entry also stops the walks that began with it. ``after`` is the time of the
    latest store that a walk has met, or of the attach: it does not see what was put before.
    """

    def __init__(self, coherent: bool) -> None:
        self.coherent = coherent
        self.words: dict[int, dict[int, list[tuple[int, int]]]] = {}
        self.filled: set[int] = set()
        self.unclean: dict[int, set[int]] = {}
        self.stored_at: dict[int, int] = {}
        self.order_barrier = -1
        self.attached = False
        self.attached_at = -1
        self.leaves: dict[tuple[int, int, int], int] = {}
        self.walks: dict[tuple[int, int, int, int], int] = {}
        self.issued: dict[int, tuple[int, int, int, int]] = {}

    def current(self, table: int, index: int) -> int:
        return self.words[table][index][-1][0]

    def take(self, event: Event, now: int) -> None:
        """Carry out one event, then write down all that is walkable after it."""
        kind, a, b, c = event.kind, event.a, event.b, event.c
        if kind == STORE:
            self.store(a, c, now)
        elif kind == FILL:
            for index in INDICES:
                self.store(a + 8 * index, c, now)
            self.filled.add(a)
            self.unclean[a] = set(range(512))
        elif kind == ALLOC:
            self.words[a] = {index: [(0, -1)] for index in INDICES}
            self.filled.discard(a)
            self.unclean[a] = set()
            self.stored_at[a] = -1
        elif kind == FREE:
            self.words.pop(a, None)
        elif kind == BARRIER:
            self.order_barrier = now
            if a == BARRIER_FULL and self.coherent:
                for entries in self.words.values():
                    for versions in entries.values():
                        del versions[:-1]
        elif kind == CLEAN and not self.coherent:
            table = a & -PAGE
            for index in range((a - table) // 8, (a - table + b) // 8):
                self.unclean.get(table, set()).discard(index)
                if index in self.words.get(table, ()):
                    del self.words[table][index][:-1]
        elif kind in (ATTACH, DETACH):
            self.attached = kind == ATTACH
            self.attached_at = now
        elif kind == INVALIDATE:
            self.command()
            self.issued[c >> 16] = (now, a, b, c & 0xFF)
        elif kind == COMPLETE:
            self.complete(*self.issued.pop(a))
        self.look(now)

    def command(self) -> None:
        """The device sees what was stored before the last barrier, of whichever kind."""
        if self.coherent:
            for entries in self.words.values():
                for versions in entries.values():
                    while len(versions) > 1 and versions[1][1] <= self.order_barrier:
                        del versions[0]

    def store(self, pa: int, value: int, now: int) -> None:
        table = pa & -PAGE
        index = (pa - table) // 8
        versions = self.words[table][index]
        level = LEVEL[table]
        if self.places(table) and FMT.same(level, versions[-1][0], value):
            versions[-1] = (value, versions[-1][1])
            return
        versions.append((value, now))
        self.stored_at[table] = now
        self.unclean[table].add(index)

    def complete(self, issued: int, first: int, last: int, scope: int) -> None:
        if scope & SCOPE_LEAF:
            self.leaves = {
                (page, level, word): time
                for (page, level, word), time in self.leaves.items()
                if time >= issued or not within(page, level, first, last)
            }
        if scope & SCOPE_WALK:
            self.walks = {
                (va, level, word, after): time
                for (va, level, word, after), time in self.walks.items()
                if time >= issued or va > last or va + SPAN[level] <= first
            }

    def look(self, now: int) -> None:
        """Follow every walk from the root and from all that is cached."""
        todo = [(FMT.next_table(level, word), level + 1, va, time, after)
                for (va, level, word, after), time in self.walks.items()]  # fmt: skip
        if self.attached:
            todo.append((ROOT, 1, 0, now, self.attached_at))
        while todo:
            table, level, base, time, after = todo.pop()
            for index, versions in self.words.get(table, {}).items():
                va = base + index * SPAN[level]
                for number, (word, at) in enumerate(versions):
                    if number + 1 < len(versions) and versions[number + 1][1] <= after:
                        continue
                    kind = FMT.kind(level, word)
                    if kind == TABLE:
                        key = (va, level, word, max(after, at))
                        if self.walks.get(key, -1) < time:
                            self.walks[key] = time
                            todo.append((FMT.next_table(level, word), level + 1, va, time, key[3]))
                    elif kind == LEAF:
                        for page in pages_in(va, level):
                            fact = (page, level, plain(level, word))
                            self.leaves[fact] = max(self.leaves.get(fact, -1), time)

    # -- what there is to object to, before an event is carried out -----------------------------

    def live(self) -> Iterator[tuple[int, int]]:
        """(table, first address) of all that memory leads to from the attached root."""
        todo = [(ROOT, 1, 0)] if self.attached else []
        while todo:
            table, level, base = todo.pop()
            if table not in self.words:
                continue
            yield table, base
            for index in INDICES:
                word = self.current(table, index)
                if FMT.kind(level, word) == TABLE:
                    va = base + index * SPAN[level]
                    todo.append((FMT.next_table(level, word), level + 1, va))

    def places(self, table: int) -> set[int]:
        """First addresses at which ``table`` can be walked, from memory or from caches."""
        found = {va for one, va in self.live() if one == table}
        for va, level, word, _ in self.walks:
            if FMT.next_table(level, word) == table:
                found.add(va)
        return found

    def objections(self, event: Event, now: int) -> set[int]:
        """The observations that ``event`` is worth."""
        if event.kind == STORE:
            return self.of_store(event.a, event.c)
        if event.kind == FREE:
            return self.of_free(event.a)
        if event.kind == INVALIDATE:
            return self.of_issue(event.a, event.b, event.c & 0xFF, now)
        if event.kind == ATTACH:
            return self.of_link(event.a)
        return set()

    def of_store(self, pa: int, new: int) -> set[int]:
        table = pa & -PAGE
        if table not in self.words:
            return {seen.STORED_FREED}
        index = (pa - table) // 8
        level = LEVEL[table]
        old = self.current(table, index)
        found: set[int] = set()
        if FMT.same(level, old, new):
            return found
        was, becomes = FMT.kind(level, old), FMT.kind(level, new)
        if becomes == TABLE and self.places(table):
            found |= self.of_link(FMT.next_table(level, new))
        for one, base in self.live():
            if one != table:
                continue
            va = base + index * SPAN[level]
            if was != INVALID and becomes != INVALID:
                if was != becomes:
                    found.add(seen.REPLACED_SIZE)
                elif was == TABLE or differs(level, old, level, new, va, va):
                    found.add(seen.REPLACED_VALUE)
            elif becomes == LEAF:
                found |= self.conflicts(va, level, new)
            elif becomes == TABLE:
                found |= self.conflicts_below(FMT.next_table(level, new), level + 1, va)
        if seen.CONFLICT_VALUE in found:
            found.discard(seen.CONFLICT_SIZE)
        return found

    def of_link(self, child: int) -> set[int]:
        if child not in self.words:
            return {seen.PUBLISHED_NOTHING}
        found: set[int] = set()
        if child not in self.filled:
            found.add(seen.PUBLISHED_UNWRITTEN)
        if self.unclean[child] if not self.coherent else self.stored_at[child] > self.order_barrier:
            found.add(seen.PUBLISHED_UNORDERED)
        for index in INDICES:
            if FMT.kind(LEVEL[child], self.current(child, index)) == TABLE:
                found |= self.of_link(FMT.next_table(LEVEL[child], self.current(child, index)))
        return found

    def conflicts(self, va: int, level: int, new: int) -> set[int]:
        found: set[int] = set()
        for page, cached, word in self.leaves:
            if page in pages_in(va, level):
                if differs(cached, word, level, new, page, va):
                    found.add(seen.CONFLICT_VALUE)
                elif cached != level:
                    found.add(seen.CONFLICT_SIZE)
        return found

    def conflicts_below(self, table: int, level: int, base: int) -> set[int]:
        found: set[int] = set()
        for index in INDICES if table in self.words else ():
            word = self.current(table, index)
            va = base + index * SPAN[level]
            if FMT.kind(level, word) == LEAF:
                found |= self.conflicts(va, level, word)
            elif FMT.kind(level, word) == TABLE:
                found |= self.conflicts_below(FMT.next_table(level, word), level + 1, va)
        return found

    def of_free(self, table: int) -> set[int]:
        if table not in self.words:
            return {seen.FREED_UNKNOWN}
        if any(one == table for one, _ in self.live()):
            return {seen.FREED_LINKED}
        return {seen.FREED_CACHED} if self.places(table) else set()

    def of_issue(self, first: int, last: int, scope: int, now: int) -> set[int]:
        """Whether something in scope was removed, and can be loaded still."""
        again = Naive(self.coherent)
        again.attached = self.attached
        again.words = {
            table: {index: versions[-1:] for index, versions in words.items()}
            for table, words in self.words.items()
        }
        again.look(now)
        walks = {(va, level, word) for va, level, word, _ in again.walks}
        # What can be loaded once the command has made visible what was ordered before it.
        after = copy.deepcopy(self)
        after.command()
        after.look(now)
        removed = [
            scope & SCOPE_LEAF and within(page, level, first, last)
            for (page, level, word), time in after.leaves.items()
            if time == now and (page, level, word) not in again.leaves
        ] + [
            scope & SCOPE_WALK and va <= last and va + SPAN[level] > first
            for (va, level, word, _), time in after.walks.items()
            if time == now and (va, level, word) not in walks
        ]
        return {seen.ISSUED_UNSEEN} if any(removed) else set()


def within(page: int, level: int, first: int, last: int) -> bool:
    """Whether an invalidation takes a page of a leaf: of one for one page, the leaf as a whole."""
    if last - first < PAGE:
        return page // SPAN[level] == first // SPAN[level]
    return first <= page <= last


def pages_in(va: int, level: int) -> list[int]:
    return [page for page in PAGES if va <= page < va + SPAN[level]]


def differs(one: int, word: int, other: int, new: int, page: int, va: int) -> bool:
    """Whether two leaves (at levels ``one`` and ``other``) lead ``page`` to different memory."""
    before = FMT.output(one, word) + (page & (SPAN[one] - 1))
    after = FMT.output(other, new) + (page & (SPAN[other] - 1))
    kinds = FMT.meaning(one, word) ^ FMT.meaning(other, new)
    return before != after or bool(kinds & ~0x3F)


# -- both at once -----------------------------------------------------------------------------

JUDGED = frozenset(
    (
        seen.PUBLISHED_UNWRITTEN, seen.PUBLISHED_UNORDERED, seen.PUBLISHED_NOTHING,
        seen.REPLACED_SIZE, seen.REPLACED_VALUE, seen.CONFLICT_SIZE, seen.CONFLICT_VALUE,
        seen.FREED_LINKED, seen.FREED_CACHED, seen.FREED_UNKNOWN, seen.STORED_FREED,
        seen.ISSUED_UNSEEN,
    )
)  # fmt: skip
GOES_ON = {seen.REPLACED_SIZE, seen.REPLACED_VALUE, seen.CONFLICT_SIZE, seen.CONFLICT_VALUE}
"""After any other observation the fast model forgets what it reported."""


class Both:
    """The two models, fed the same events, and compared after each."""

    def __init__(self, coherent: bool) -> None:
        self.coherent = coherent
        self.naive = Naive(coherent)
        self.machine = Machine(GEOMETRY, coherent)
        self.view = self.machine.add_space()
        self.context = self.machine.add_context(self.view)
        self.view.touched_last = 2 * SPAN[1]
        self.trace = Trace()
        self.ticket = 0
        self.open: list[int] = []
        self.ended = False

    def emit(self, kind: int, a: int = 0, b: int = 0, c: int = 0) -> None:
        if self.ended:
            return
        now = len(self.trace)
        event = Event(kind, a, b, c)
        expected = self.naive.objections(event, now)
        self.trace.append(event)
        self.machine.observations = []
        self.machine.feed(self.trace.words, now)
        found = {one.kind for one in self.machine.observations}
        assert found & JUDGED == expected, f"event {now}: {event}"
        if expected - GOES_ON:
            self.ended = True
            return
        self.naive.take(event, now)
        for page in PAGES:
            assert self.fast(page) == self.slow(page), f"event {now}: {event}, page {page:#x}"

    def slow(self, page: int) -> set[tuple[int, int]]:
        return {(level, word) for at, level, word in self.naive.leaves if at == page}

    def fast(self, page: int) -> set[tuple[int, int]]:
        level, word = self.view.walker.translate(page)
        found = {
            (fact.level, plain(fact.level, fact.word))
            for fact in self.context.tlb.leaves_in(page, page + PAGE - 1)
        }
        if level >= 0 and FMT.kind(level, word) == LEAF:
            found.add((level, plain(level, word)))
        return found

    # -- what is drawn ------------------------------------------------------------------------

    def show(self, table: int) -> None:
        """Make a table's content visible before later stores are."""
        if self.coherent:
            self.emit(BARRIER, BARRIER_ORDER)
        else:
            self.emit(CLEAN, table, PAGE)

    def show_all(self) -> None:
        if self.coherent:
            self.emit(BARRIER, BARRIER_FULL)
        else:
            for table in self.naive.words:
                self.emit(CLEAN, table, PAGE)

    def make(self, table: int) -> None:
        if table not in self.naive.words:
            self.emit(ALLOC, table, PAGE)
            self.emit(FILL, table, PAGE, 0)
            self.show(table)

    def store(self, table: int, index: int, choice: int) -> None:
        self.emit(STORE, table + 8 * index, 0, word_of(LEVEL[table], index, choice))

    def link(self, table: int, index: int, number: int) -> None:
        """Link a table as it should be done: made, visible, then linked."""
        if LEVEL[table] == 3:
            return
        child = BELOW[LEVEL[table]][number]
        self.make(child)
        for below in BELOW.get(LEVEL[child], ()):
            if below in self.naive.words:
                self.show(below)
        self.show(child)
        self.store(table, index, 6 + number)

    def issue(self, one: int, other: int, scope: int) -> None:
        first, end = sorted((BOUNDS[one], BOUNDS[other]))
        if first == end:
            first, end = BOUNDS[0], BOUNDS[-1]
        self.ticket += 1
        self.open.append(self.ticket)
        self.emit(INVALIDATE, first, end - 1, invalidate_command(scope, 1, self.ticket))

    def complete(self, number: int) -> None:
        if self.open:
            self.emit(COMPLETE, self.open.pop(number % len(self.open)))

    def flush(self, one: int, other: int, scope: int) -> None:
        self.show_all()
        self.issue(one, other, scope)
        self.emit(COMPLETE, self.open.pop())

    def late(self, table: int, index: int, choice: int, one: int, other: int, scope: int) -> None:
        """An invalidation is under way while an entry is removed, or replaced."""
        self.show_all()
        self.issue(one, other, scope)
        self.store(table, index, choice)
        self.show_all()
        self.complete(-1)

    def links(self) -> list[tuple[int, int]]:
        """(table, index) of the table entries that memory leads to, upper ones first."""
        return [
            (table, index)
            for table, _ in sorted(self.naive.live(), key=lambda one: LEVEL[one[0]])
            for index in INDICES
            if FMT.kind(LEVEL[table], self.naive.current(table, index)) == TABLE
        ]

    def show_one(self, table: int) -> None:
        """Make what was stored to one table visible, or all where that cannot be."""
        if self.coherent:
            self.emit(BARRIER, BARRIER_FULL)
        else:
            self.emit(CLEAN, table, PAGE)

    def orphan(
        self, pick: int, below: int, choice: int, shown: bool, order: int,
        one: int, other: int, scope: int,
    ) -> None:  # fmt: skip
        """Unlink a table, then store to it, with an invalidation somewhere.

        ``order`` 0: none; 1: after the store; 2: begun before and completed after it; 3: as
        2, and the store is made visible before it completes.
        """
        links = self.links()
        if not links:
            return
        table, index = links[pick % len(links)]
        child = FMT.next_table(LEVEL[table], self.naive.current(table, index))
        self.store(table, index, 0)
        if shown:
            self.show_one(table)
        if order > 1:
            self.issue(one, other, scope)
        if child in self.naive.words:
            self.store(child, below, choice)
        if order == 3:
            self.show_one(child)
        if order == 1:
            self.issue(one, other, scope)
        if order:
            self.complete(-1)

    def collapse(self, pick: int, one: int, other: int, scope: int) -> None:
        """Remove a link, then one that leads there, and make only the latter visible."""
        lower = [link for link in self.links() if link[0] != ROOT]
        if not lower:
            return
        table, index = lower[pick % len(lower)]
        self.store(table, index, 0)
        for upper in INDICES:
            if self.naive.current(ROOT, upper) == FMT.table(1, table):
                self.store(ROOT, upper, 0)
        self.show_one(ROOT)
        self.issue(one, other, scope)
        self.complete(-1)

    def unlink(self, table: int, index: int) -> None:
        """Remove an entry, and see to it that the device knows."""
        self.store(table, index, 0)
        self.show_all()

    def again(self, table: int, index: int) -> None:
        """Store 0, then what was there before."""
        if table in self.naive.words:
            word = self.naive.current(table, index)
            self.emit(STORE, table + 8 * index, 0, 0)
            self.emit(STORE, table + 8 * index, 0, word)

    def free(self, table: int) -> None:
        if table != ROOT:
            self.emit(FREE, table, PAGE)

    def switch(self) -> None:
        self.emit(DETACH if self.naive.attached else ATTACH, ROOT, 0)

    def begin(self, planted: int) -> None:
        """Tables, visible and attached; with ``planted`` links, and leaves in the lowest."""
        for table in TABLES:
            self.make(table)
        root, upper, other, lower, last = TABLES
        links = ((root, 0, 0), (upper, 0, 0), (upper, 1, 1), (root, 1, 1), (other, 0, 1))
        for link in links[:planted]:
            self.link(*link)
        if planted:
            self.store(lower, 0, 1)
            self.store(lower, 1, 4)
            self.store(last, 0, 3)
        self.show_all()
        self.emit(ATTACH, ROOT, 0)


tables = st.sampled_from(TABLES)
indices = st.sampled_from(INDICES)
bounds = st.integers(0, len(BOUNDS) - 1)
scopes = st.sampled_from((SCOPE_LEAF, SCOPE_WALK, SCOPE_LEAF | SCOPE_WALK))

Step = Callable[[Both], None]


def a_step(name: str, *drawn: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.tuples(st.just(name), *drawn)


STEPS = st.one_of(
    a_step("store", tables, indices, st.integers(0, 7)),
    a_step("store", st.sampled_from(TABLES[1:]), indices, st.integers(0, 5)),
    a_step("link", tables, indices, st.integers(0, 1)),
    a_step("link", st.sampled_from(TABLES[:3]), indices, st.integers(0, 1)),
    a_step("store", st.sampled_from(TABLES[:3]), indices, st.just(0)),
    a_step("store", st.sampled_from(TABLES[:3]), indices, st.just(0)),
    a_step("unlink", st.sampled_from(TABLES[:3]), indices),
    a_step("again", tables, indices),
    a_step("show_all"),
    a_step("show", tables),
    a_step("issue", bounds, bounds, scopes),
    a_step("complete", st.integers(0, 1)),
    a_step("flush", bounds, bounds, scopes),
    a_step("late", tables, indices, st.integers(0, 1), bounds, bounds, scopes),
    a_step(
        "orphan",
        st.integers(0, 4),
        indices,
        st.integers(0, 7),
        st.booleans(),
        st.integers(0, 3),
        bounds,
        bounds,
        scopes,
    ),
    a_step(
        "orphan",
        st.integers(0, 4),
        indices,
        st.just(0),
        st.just(True),
        st.integers(1, 3),
        st.just(0),
        st.just(0),
        scopes,
    ),
    a_step("collapse", st.integers(0, 4), st.just(0), bounds, scopes),
    a_step("free", tables),
    a_step("make", tables),
    a_step("switch"),
)


@given(st.booleans(), st.integers(0, 5), st.lists(STEPS, min_size=8, max_size=40))
@settings(max_examples=300)
def test_what_may_be_cached_is_what_was_walkable(coherent: bool, planted: int, steps: list) -> None:
    both = Both(coherent)
    both.begin(planted)
    for name, *args in steps:
        getattr(both, name)(*args)
