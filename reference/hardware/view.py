"""The hardware view: what the device could use at every instant, fed by a trace.

``HardwareView.feed`` takes events one after the other and keeps memory, the
ways to reach each table, and the maximal TLB up to date. It judges nothing. What
is worth a rule's attention becomes an ``Observation`` (a table was published
before its content was visible, a page was freed that the device could still
walk, ...), and ``counts`` says how often there was something to observe.

Visibility of stores. A coherent walker sees a store once a full barrier follows
it; an order barrier keeps it before later stores. A non-coherent walker sees it
once its cache line was cleaned. Until then old and new value are both visible.

Source: semantics.md "The maximal TLB"; formats.md F.1 to F.3.
"""

from typing import Final

from mypy_extensions import i64

from reference.formats.access import ACCESS_MASK
from reference.formats.entry import INVALID, LEAF, TABLE
from reference.formats.format import Geometry
from reference.hardware.memory import POISON, Path, PhysicalMemory, TablePage
from reference.hardware.tlb import FOREVER, Fact, MaximalTlb
from reference.hardware.walker import NO_ROOT, Walker
from reference.trace import (
    ALLOC,
    ALLOC_FAILED,
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
    WARN,
    WORDS,
)
from reference.translations import Translations

# What can be observed. Each has a count of the times that it could have been.
PUBLISHED_UNWRITTEN: Final = 0
PUBLISHED_UNORDERED: Final = 1
PUBLISHED_NOTHING: Final = 2
REPLACED_SIZE: Final = 3
REPLACED_VALUE: Final = 4
CONFLICT_SIZE: Final = 5
CONFLICT_VALUE: Final = 6
CHANGED_OUTSIDE: Final = 7
FREED_LINKED: Final = 8
FREED_CACHED: Final = 9
FREED_UNKNOWN: Final = 10
STORED_FREED: Final = 11
STORED_OUTSIDE: Final = 12
ISSUED_UNSEEN: Final = 13
OBSERVATIONS: Final = 14

REGISTERS: Final = -(1 << 40)
"""The address of the page that stands for root registers; no memory is there."""

TOP_VA: Final = (1 << 62) - 1
"""Stands for "to the end of the address space" in ranges."""


class Observation:
    """Something that a rule may object to.

    ``kind``: one of the numbers above; ``event``: number of the event, counted from
    the start of the example; ``level``, ``va``: the entry concerned (-1: none);
    ``old``, ``new``: its words; ``pa``: the table or word concerned.
    """

    def __init__(
        self, kind: i64, event: i64, level: i64, va: i64, old: i64, new: i64, pa: i64
    ) -> None:
        self.kind: i64 = kind
        self.event: i64 = event
        self.level: i64 = level
        self.va: i64 = va
        self.old: i64 = old
        self.new: i64 = new
        self.pa: i64 = pa


class Difference:
    """An address at which the walk and the promise differ.

    ``pa`` is -1 where nothing is mapped; ``level`` and ``word`` are those of the entry
    at which the walk ended; ``access`` is False when only permission or type differ.
    """

    def __init__(self, va: i64, pa: i64, level: i64, word: i64, address: bool) -> None:
        self.va: i64 = va
        self.pa: i64 = pa
        self.level: i64 = level
        self.word: i64 = word
        self.address: bool = address


class HardwareView:
    """Memory, walker and maximal TLB of one context, kept up to date by events.

    ``coherent``: whether the walker snoops CPU caches. ``touched_first`` and
    ``touched_last`` (inclusive) are set by the caller before each operation: the
    addresses whose translation the operation may change. ``warned``: number of the last
    warning event, -1 for none; ``failed_allocations``: how many there were.

    A device with address spaces that come and go says itself when it walks: ``adopt`` makes a
    root known, ``start_walking`` and ``stop_walking`` say from when to when it is used. While
    ``walked`` is False nothing is loaded. ``stalled_first``..``stalled_last``: addresses to
    which accesses wait now, as they do in a locked region (everything while nobody walks);
    what an entry there is in between is nobody's concern. ``changed_stalled``: addresses
    outside the touched ones whose translation changed meanwhile, to be looked at afterwards;
    ``freed_linked``: tables that were freed although memory led to them, while nobody walked.
    """

    def __init__(self, geometry: Geometry, coherent: bool) -> None:
        self.geometry: Geometry = geometry
        self.coherent: bool = coherent
        self.memory: PhysicalMemory = PhysicalMemory(geometry.format.granule)
        self.walker: Walker = Walker(self.memory, geometry)
        self.tlb: MaximalTlb = MaximalTlb(self.memory, geometry)
        self.last_level: i64 = geometry.format.levels - 1
        self.now: i64 = 0
        self.touched_first: i64 = 0
        self.touched_last: i64 = -1
        self.reachable: i64 = 0
        self.leaked: i64 = 0
        self.accepted: dict[i64, set[i64]] = {}
        self.warned: i64 = -1
        self.failed_allocations: i64 = 0
        self.observations: list[Observation] = []
        self.counts: list[i64] = [0] * OBSERVATIONS
        self.tickets: dict[i64, tuple[i64, i64, i64, i64]] = {}
        # Visibility. Coherent: times of the last barriers and of the last store that the
        # device can tell apart. Non-coherent: the pages with words not cleaned yet.
        self.full_barrier: i64 = -1
        self.order_barrier: i64 = -1
        self.last_store: i64 = -1
        self.last_store_pa: i64 = -1
        self.unclean_pages: dict[i64, TablePage] = {}
        # Facts whose replacement is not visible yet, by the pa of the word.
        self.unseen: dict[i64, list[Fact]] = {}
        # Devices that do not always walk from the root, or have regions locked.
        self.walked: bool = True
        self.stalled_first: i64 = 0
        self.stalled_last: i64 = -1
        self.changed_stalled: list[i64] = []
        self.freed_linked: list[Observation] = []

    # -- feeding ----------------------------------------------------------------------------

    def feed(self, words: list[int], start: i64) -> None:
        """Take the events of a flat trace from event number ``start`` to its end."""
        position: i64 = start * WORDS
        end: i64 = len(words)
        while position < end:
            head: i64 = words[position]
            a: i64 = words[position + 1]
            b: i64 = words[position + 2]
            c: i64 = words[position + 3]
            position += WORDS
            self.take(head & 0xFFFF, a, b, c)
            self.now += 1

    def take(self, kind: i64, a: i64, b: i64, c: i64) -> None:
        """Take one event, which has number ``now``."""
        if kind == STORE:
            self._store(a, c)
        elif kind == BARRIER:
            self._barrier(a)
        elif kind == CLEAN:
            self._clean(a, b)
        elif kind == FILL:
            self._fill(a, b, c)
        elif kind == INVALIDATE:
            self._issue(a, b, c)
        elif kind == COMPLETE:
            self._complete(a)
        elif kind == ALLOC:
            self._allocate(a, b)
        elif kind == FREE:
            self._free(a)
        elif kind == ATTACH:
            self._attach(a, b)
        elif kind == DETACH:
            self._detach(a, b)
        elif kind == WARN:
            self.warned = self.now
        elif kind == ALLOC_FAILED:
            self.failed_allocations += 1

    def _observe(self, kind: i64, level: i64, va: i64, old: i64, new: i64, pa: i64) -> None:
        self.observations.append(Observation(kind, self.now, level, va, old, new, pa))

    # -- stores and their visibility ----------------------------------------------------------

    def _store(self, pa: i64, new: i64) -> None:
        self.counts[STORED_FREED] += 1
        self.counts[STORED_OUTSIDE] += 1
        page = self.memory.page_of(pa)
        if page is None:
            freed = self.memory.was_freed(pa)
            self._observe(STORED_FREED if freed else STORED_OUTSIDE, -1, -1, 0, new, pa)
            return
        index: i64 = (pa & self.memory.offset_mask) >> 3
        if index >= len(page.words):
            self._observe(STORED_OUTSIDE, -1, -1, 0, new, pa)
            return
        old = page.set(index, new)
        if not page.paths:
            # Not linked yet: only whether the content is visible when it is published matters.
            page.stored_at = self.now
            if not self.coherent:
                self._soil(page, index)
            return
        if len(page.paths) == 1:
            self._stored(page, page.paths[0], index, old, new, pa)
            return
        for path in page.paths.copy():
            self._stored(page, path, index, old, new, pa)

    def _stored(self, page: TablePage, path: Path, index: i64, old: i64, new: i64, pa: i64) -> None:
        """A word of a page changed that ``path`` leads to."""
        fmt = self.geometry.format
        if fmt.same(path.level, old, new):
            return
        if path.level == self.geometry.start_level and index >= self.geometry.entries(path.level):
            return
        page.stored_at = self.now
        self.last_store = self.now
        self.last_store_pa = pa
        if not self.coherent:
            self._soil(page, index)
        va: i64 = path.va + (index << fmt.shift(path.level))
        self._entry_changed(path, va, old, new, pa)

    def _barrier(self, kind: i64) -> None:
        if kind == BARRIER_FULL:
            self.full_barrier = self.now
            self.order_barrier = self.now
            if self.coherent and self.unseen:
                self._all_seen(self.now)
        elif kind == BARRIER_ORDER:
            self.order_barrier = self.now

    def _soil(self, page: TablePage, index: i64) -> None:
        """The walker may not see the newest value of this entry before it is cleaned."""
        page.unclean.add(index)
        self.unclean_pages[page.pa] = page

    def _clean(self, pa: i64, size: i64) -> None:
        page = self.memory.page_of(pa)
        if self.coherent or page is None or page.pa not in self.unclean_pages:
            return
        first: i64 = (pa - page.pa) >> 3
        end: i64 = (pa + size - page.pa + 7) >> 3
        if first == 0 and end >= len(page.words):
            page.all_unclean = False
        elif page.all_unclean:
            page.all_unclean = False
            for index in range(len(page.words)):
                page.unclean.add(index)
        for index in sorted(page.unclean):
            if first <= index < end:
                page.unclean.discard(index)
                self._seen(page.pa + index * 8)
        if not page.unclean and not page.all_unclean:
            del self.unclean_pages[page.pa]

    def _seen(self, pa: i64) -> None:
        """The walker sees the newest value of the word at ``pa`` from now on."""
        facts = self.unseen.pop(pa, None)
        if facts is not None:
            for fact in facts:
                fact.seen(self.now)

    def _all_seen(self, until: i64) -> None:
        """No fact waits any more for a store to become visible."""
        for facts in self.unseen.values():
            for fact in facts:
                fact.seen(until)
        self.unseen.clear()

    def unseen_store(self) -> i64:
        """The pa of a reachable table, or word of it, with stores that the walker may not see.

        -1: it sees them all.
        """
        if self.coherent:
            return self.last_store_pa if self.last_store > self.full_barrier else -1
        for pa in sorted(self.unclean_pages):
            page = self.unclean_pages[pa]
            if page.is_live():
                return pa if page.all_unclean else pa + min(page.unclean) * 8
        return -1

    def make_all_seen(self) -> None:
        """Take every store as visible (after it was reported that it was not)."""
        self.full_barrier = self.now
        for page in self.unclean_pages.values():
            page.unclean.clear()
            page.all_unclean = False
        self.unclean_pages.clear()
        self._all_seen(self.now - 1)

    def _fill(self, pa: i64, size: i64, word: i64) -> None:
        page = self.memory.page_of(pa)
        # A root that was never written is no table in use before somebody walks it.
        is_new: bool = page is not None and not self.walked and page.unwritten == len(page.words)
        if page is None or (page.paths and not is_new) or size < len(page.words) * 8:
            # Part of a table, or a table in use: the same as so many stores.
            target: i64 = pa
            while target < pa + size:
                self._store(target, word)
                target += 8
            return
        page.fill(word)
        page.stored_at = self.now
        if page.paths:
            self.last_store = self.now
            self.last_store_pa = page.pa
        if not self.coherent:
            page.all_unclean = True
            page.unclean.clear()
            self.unclean_pages[page.pa] = page

    # -- entries ------------------------------------------------------------------------------

    def _entry_changed(self, path: Path, va: i64, old: i64, new: i64, pa: i64) -> None:
        """An entry for ``va`` at ``path.level`` changed from ``old`` to ``new`` for the device."""
        fmt = self.geometry.format
        level: i64 = path.level
        old_kind = fmt.kind(level, old)
        new_kind = fmt.kind(level, new)
        both_tables: bool = old_kind == TABLE and new_kind == TABLE
        if both_tables and fmt.next_table(level, old) == fmt.next_table(level, new):
            # Only attributes differ: the table is linked as before.
            return
        if path.fact < 0:
            self._compare_outside(level, va, old, old_kind, new, new_kind, pa)
            if old_kind != INVALID and new_kind != INVALID:
                self._replaced(level, va, old, old_kind, new, new_kind, pa)
            elif new_kind != INVALID:
                self._may_conflict(level, va, new, new_kind, pa)
            if old_kind == TABLE:
                if self.walked:
                    self._unlink(level, va, old, pa)
                else:
                    self._drop(level, va, old)
            elif old_kind == LEAF and self.walked:
                last: i64 = va + fmt.span(level) - 1
                self._wait(pa, self.tlb.remember_leaf(level, va, last, old, FOREVER))
            if new_kind == TABLE:
                self._link(level, va, new)
            return
        # Only a cached entry leads here. What is loaded through it is no younger than it is.
        behind = self.tlb.walks.get(path.fact)
        if behind is None:
            return
        if old_kind == LEAF:
            end: i64 = va + fmt.span(level) - 1
            leaf = self.tlb.remember_leaf(level, va, end, old, FOREVER)
            leaf.follow(behind)
            self._wait(pa, leaf)
        elif old_kind == TABLE:
            self._unlink_behind(level, va, old, pa)
        if new_kind == TABLE:
            self._check_published(level, va, new)
            self._link_behind(level, va, new, behind)

    def _wait(self, pa: i64, fact: Fact) -> None:
        """``fact`` stays loadable until the store to ``pa`` is visible."""
        facts = self.unseen.get(pa)
        if facts is None:
            self.unseen[pa] = [fact]
        else:
            facts.append(fact)

    def _wait_with(self, other: Fact, fact: Fact) -> None:
        """``fact`` stays loadable for as long as ``other``, which waits for a store."""
        for facts in self.unseen.values():
            if other in facts:
                facts.append(fact)
                return

    def _link(self, level: i64, va: i64, word: i64) -> None:
        """A table entry was stored: memory leads to the table behind it now."""
        self._check_published(level, va, word)
        child = self.memory.pages.get(self.geometry.format.next_table(level, word))
        if child is not None:
            self._add_path(child, level + 1, va)

    def _check_published(self, level: i64, va: i64, word: i64) -> None:
        """A table becomes walkable through ``word``."""
        self._check_content(level, va, word, self.geometry.format.next_table(level, word))

    def _check_content(self, level: i64, va: i64, word: i64, child_pa: i64) -> None:
        """Are the table that becomes walkable, and all tables behind it, complete?

        ``level`` and ``word`` are those of the entry that leads there. That of a root is
        the level above the walk's first, and 0.
        """
        fmt = self.geometry.format
        child = self.memory.pages.get(child_pa)
        for kind in (PUBLISHED_UNWRITTEN, PUBLISHED_UNORDERED, PUBLISHED_NOTHING):
            self.counts[kind] += 1
        if child is None:
            self._observe(PUBLISHED_NOTHING, level, va, 0, word, child_pa)
            return
        below: i64 = level + 1
        if child.unwritten > 0 and POISON in child.words[: self.geometry.entries(below)]:
            self._observe(PUBLISHED_UNWRITTEN, level, va, 0, word, child_pa)
        if self.walked and not self._ordered(child):
            self._observe(PUBLISHED_UNORDERED, level, va, 0, word, child_pa)
        if below == self.last_level or child.nonzero == 0:
            return
        index: i64 = 0
        for entry in child.words:
            if entry != 0 and fmt.kind(below, entry) == TABLE:
                self._check_published(below, va + (index << fmt.shift(below)), entry)
            index += 1

    def _link_behind(self, level: i64, va: i64, word: i64, behind: Fact) -> None:
        """A table entry can be walked that only the cached entry ``behind`` leads to."""
        fmt = self.geometry.format
        child_pa = fmt.next_table(level, word)
        child = self.memory.pages.get(child_pa)
        if child is None:
            return
        fact = self.tlb.remember_walk(level, va, word, child_pa, behind.until)
        if fact.until == FOREVER:
            self._wait_with(behind, fact)
        below: i64 = level + 1
        child.paths.append(Path(below, va, fact.number))
        if below == self.last_level or child.nonzero == 0:
            return
        index: i64 = 0
        for entry in child.words:
            if entry != 0 and fmt.kind(below, entry) == TABLE:
                self._link_behind(below, va + (index << fmt.shift(below)), entry, fact)
            index += 1

    def _ordered(self, page: TablePage) -> bool:
        """Whether all content of an unlinked page is visible before later stores are."""
        if self.coherent:
            return page.stored_at < self.order_barrier
        return not page.all_unclean and not page.unclean

    def _add_path(self, page: TablePage, level: i64, va: i64) -> None:
        if not page.is_live():
            self.reachable += 1
            if page.leaked:
                page.leaked = False
                self.leaked -= 1
        page.paths.append(Path(level, va, -1))
        if level == self.last_level or page.nonzero == 0:
            return
        fmt = self.geometry.format
        index: i64 = 0
        for word in page.words:
            if word != 0 and fmt.kind(level, word) == TABLE:
                child = self.memory.pages.get(fmt.next_table(level, word))
                if child is not None:
                    self._add_path(child, level + 1, va + (index << fmt.shift(level)))
            index += 1

    def _unlink(self, level: i64, va: i64, word: i64, pa: i64) -> None:
        """A table entry went: the table behind it stays walkable through the cached entry."""
        fmt = self.geometry.format
        child_pa = fmt.next_table(level, word)
        child = self.memory.pages.get(child_pa)
        if child is None:
            return
        for path in child.paths:
            if path.fact < 0 and path.level == level + 1 and path.va == va:
                fact = self.tlb.remember_walk(level, va, word, child_pa, FOREVER)
                self._follow(child, fact)
                self._wait(pa, fact)
                path.fact = fact.number
                break
        else:
            return
        if not child.is_live():
            self.reachable -= 1
        self._unlink_below(child, level + 1, va, pa)

    def _follow(self, page: TablePage, walk: Fact) -> None:
        """What was removed from a table, unseen so far, can be loaded through ``walk`` only."""
        for pa, facts in self.unseen.items():
            if pa >= page.pa and pa < page.pa + 8 * len(page.words):
                for fact in facts:
                    if fact.behind is None and fact.first >= walk.first and fact.last <= walk.last:
                        fact.follow(walk)

    def _unlink_below(self, page: TablePage, level: i64, va: i64, pa: i64) -> None:
        if level == self.last_level or page.nonzero == 0:
            return
        fmt = self.geometry.format
        index: i64 = 0
        for word in page.words:
            if word != 0 and fmt.kind(level, word) == TABLE:
                self._unlink(level, va + (index << fmt.shift(level)), word, pa)
            index += 1

    def _unlink_behind(self, level: i64, va: i64, word: i64, pa: i64) -> None:
        """A table entry went that only a cached entry led to: it is cached as well.

        It can be loaded until the walker sees the store, or sees that its table is gone.
        """
        child = self.memory.pages.get(self.geometry.format.next_table(level, word))
        if child is None:
            return
        for path in child.paths:
            if path.fact >= 0 and path.level == level + 1 and path.va == va:
                fact = self.tlb.walks.get(path.fact)
                if fact is not None and fact.until == FOREVER:
                    self._wait(pa, fact)

    def _drop(self, level: i64, va: i64, word: i64) -> None:
        """A table entry went that nobody had loaded: nothing leads to the table any more."""
        fmt = self.geometry.format
        child = self.memory.pages.get(fmt.next_table(level, word))
        if child is None or not child.is_live():
            return
        child.paths = [path for path in child.paths if path.level != level + 1 or path.va != va]
        if not child.is_live():
            self.reachable -= 1
        below: i64 = level + 1
        if below == self.last_level or child.nonzero == 0:
            return
        index: i64 = 0
        for entry in child.words:
            if entry != 0 and fmt.kind(below, entry) == TABLE:
                self._drop(below, va + (index << fmt.shift(below)), entry)
            index += 1

    # -- who walks ----------------------------------------------------------------------------

    def adopt(self, root: i64) -> None:
        """The tables behind ``root`` are this context's; nobody walks them yet."""
        self.walker.root = root
        self.walked = False
        self.stalled_first = 0
        self.stalled_last = TOP_VA
        page = self.memory.pages.get(root)
        if page is not None:
            self._add_path(page, self.geometry.start_level, 0)

    def start_walking(self) -> None:
        """From now on the device may load whatever the root leads to."""
        self.walked = True
        self.stalled_last = -1
        self.counts[PUBLISHED_UNORDERED] += 1
        level: i64 = self.geometry.start_level
        page = self.memory.pages.get(self.walker.root)
        if page is not None and POISON in page.words[: self.geometry.entries(level)]:
            self._observe(PUBLISHED_UNWRITTEN, level - 1, 0, 0, 0, page.pa)
        if page is not None and not self.coherent:
            self._forget_behind_root(page)
        unseen = self.unseen_store()
        if unseen >= 0:
            self._observe(PUBLISHED_UNORDERED, level - 1, 0, 0, 0, unseen)
            self.make_all_seen()

    def stop_walking(self) -> None:
        """The device does not walk any more, and what it has cached is somebody else's concern."""
        self.walked = False
        self.stalled_first = 0
        self.stalled_last = TOP_VA
        self._all_seen(self.now - 1)
        self.forget(0, TOP_VA)

    def _is_stalled(self, first: i64, last: i64) -> bool:
        return self.stalled_first <= first and last <= self.stalled_last

    # -- what an entry's change means for others ------------------------------------------------

    def _replaced(
        self, level: i64, va: i64, old: i64, old_kind: i64, new: i64, new_kind: i64, pa: i64
    ) -> None:
        """A valid entry was replaced by another valid one, without an invalid one between."""
        if self._is_stalled(va, va + self.geometry.format.span(level) - 1):
            return
        self.counts[REPLACED_SIZE] += 1
        self.counts[REPLACED_VALUE] += 1
        if not self.geometry.format.may_change(level, old, new):
            kind: i64 = REPLACED_VALUE if old_kind == new_kind else REPLACED_SIZE
            self._observe(kind, level, va, old, new, pa)

    def _may_conflict(self, level: i64, va: i64, new: i64, new_kind: i64, pa: i64) -> None:
        """An entry became valid: is another leaf still cached for one of its addresses?"""
        if self._is_stalled(va, va + self.geometry.format.span(level) - 1):
            return
        self.counts[CONFLICT_SIZE] += 1
        self.counts[CONFLICT_VALUE] += 1
        if self.tlb.is_empty():
            return
        last: i64 = va + self.geometry.format.span(level) - 1
        cached = self.tlb.leaves_in(va, last)
        if cached:
            found: list[Observation] = []
            self._find_conflicts(level, va, new, new_kind, pa, cached, found)
            # A different size may be allowed, a different value never is.
            for one in found:
                if one.kind == CONFLICT_VALUE:
                    self.observations.append(one)
                    return
            if found:
                self.observations.append(found[0])

    def _find_conflicts(
        self,
        level: i64,
        va: i64,
        new: i64,
        new_kind: i64,
        pa: i64,
        cached: list[Fact],
        found: list[Observation],
    ) -> None:
        """The first conflict of each kind between ``cached`` leaves and each leaf of ``new``."""
        fmt = self.geometry.format
        if new_kind == LEAF:
            last: i64 = va + fmt.span(level) - 1
            sized = False
            for fact in cached:
                if fact.first > last or fact.last < va:
                    continue
                at: i64 = max(fact.first, va)
                was: i64 = fmt.output(fact.level, fact.word) + (at & (fmt.span(fact.level) - 1))
                changed: i64 = fmt.meaning(fact.level, fact.word) ^ fmt.meaning(level, new)
                if was != fmt.output(level, new) + (at - va) or changed & ~ACCESS_MASK:
                    found.append(
                        Observation(CONFLICT_VALUE, self.now, level, va, fact.word, new, pa)
                    )
                    return
                if fact.level != level and not sized:
                    sized = True
                    found.append(
                        Observation(CONFLICT_SIZE, self.now, level, va, fact.word, new, pa)
                    )
            return
        child = self.memory.pages.get(fmt.next_table(level, new))
        if child is None or child.nonzero == 0:
            return
        below: i64 = level + 1
        index: i64 = 0
        for entry in child.words:
            kind: i64 = INVALID if entry == 0 else fmt.kind(below, entry)
            if kind != INVALID:
                start: i64 = va + (index << fmt.shift(below))
                self._find_conflicts(below, start, entry, kind, pa, cached, found)
            index += 1

    def _compare_outside(
        self, level: i64, va: i64, old: i64, old_kind: i64, new: i64, new_kind: i64, pa: i64
    ) -> None:
        """Did the change alter a translation outside the addresses of this operation?"""
        self.counts[CHANGED_OUTSIDE] += 1
        last: i64 = va + self.geometry.format.span(level) - 1
        if va >= self.touched_first and last <= self.touched_last:
            return
        differs = self._differs(level, va, old, old_kind, new, new_kind)
        if differs >= 0 and self._is_stalled(va, last):
            self.changed_stalled.append(differs)
        elif differs >= 0:
            self._observe(CHANGED_OUTSIDE, level, differs, old, new, pa)

    def _differs(
        self, level: i64, va: i64, old: i64, old_kind: i64, new: i64, new_kind: i64
    ) -> i64:
        """The first address of the entry, outside the touched range, that it changed; or -1."""
        fmt = self.geometry.format
        if old_kind == INVALID and new_kind == TABLE:
            child = self.memory.pages.get(fmt.next_table(level, new))
            if child is None or child.nonzero == 0:
                return -1
        if new_kind == INVALID and old_kind == TABLE:
            child = self.memory.pages.get(fmt.next_table(level, old))
            if child is None or child.nonzero == 0:
                return -1
        before: list[tuple[i64, i64, i64, i64]] = []
        after: list[tuple[i64, i64, i64, i64]] = []
        self._leaves_outside(level, va, old, before)
        self._leaves_outside(level, va, new, after)
        return first_difference(before, after)

    def _leaves_outside(
        self, level: i64, va: i64, word: i64, found: list[tuple[i64, i64, i64, i64]]
    ) -> None:
        """(first, last, pa, meaning) of every leaf behind ``word`` outside the touched range."""
        fmt = self.geometry.format
        kind = fmt.kind(level, word)
        if kind == INVALID:
            return
        last: i64 = va + fmt.span(level) - 1
        if va >= self.touched_first and last <= self.touched_last:
            return
        if kind == LEAF:
            pa = fmt.output(level, word)
            meaning = fmt.meaning(level, word)
            if va < self.touched_first:
                end: i64 = min(last, self.touched_first - 1)
                add_piece(found, va, end, pa, meaning)
            if last > self.touched_last:
                start: i64 = max(va, self.touched_last + 1)
                if start > va or self.touched_first <= va:
                    add_piece(found, start, last, pa + (start - va), meaning)
            return
        child = self.memory.pages.get(fmt.next_table(level, word))
        if child is None:
            return
        index: i64 = 0
        for entry in child.words:
            if entry != 0:
                self._leaves_outside(level + 1, va + (index << fmt.shift(level + 1)), entry, found)
            index += 1

    # -- invalidation, memory, roots --------------------------------------------------------------

    def _issue(self, first: i64, last: i64, command: i64) -> None:
        if first < 0:
            first = TOP_VA
        if last < 0:
            last = TOP_VA
        self.counts[ISSUED_UNSEEN] += 1
        for pa in sorted(self.unseen):
            for fact in self.unseen[pa]:
                unseen = fact.loaded_until() == FOREVER
                if unseen and self._is_covered(fact, first, last, command & 0xFF):
                    self._observe(ISSUED_UNSEEN, fact.level, fact.first, fact.word, 0, pa)
                    fact.seen(self.now - 1)
        self.tickets[command >> 16] = (self.now, first, last, command & 0xFF)

    def _is_covered(self, fact: Fact, first: i64, last: i64, scope: i64) -> bool:
        """Whether an invalidation is meant for ``fact``, or for leaves that it leads to.

        It is not where memory holds the entry again.
        """
        if fact.first > last or fact.last < first or self._is_current(fact):
            return False
        if fact.table < 0:
            return (scope & SCOPE_LEAF) != 0
        return (scope & SCOPE_WALK) != 0 or self.tlb.leads_to_leaves(fact, first, last)

    def _is_current(self, fact: Fact) -> bool:
        """Whether memory leads to what ``fact`` says, too."""
        if fact.table < 0:
            level, word = self.walker.translate(fact.first)
            return level == fact.level and self.geometry.format.same(level, word, fact.word)
        page = self.memory.pages.get(fact.table)
        if page is None:
            return False
        for path in page.paths:
            if path.fact < 0 and path.level == fact.level + 1 and path.va == fact.first:
                return True
        return False

    def _complete(self, ticket: i64) -> None:
        if ticket in self.tickets:
            issued, first, last, scope = self.tickets.pop(ticket)
            if not self.tlb.is_empty():
                self.tlb.invalidate(first, last, scope, issued)

    def _allocate(self, pa: i64, size: i64) -> None:
        self.memory.allocate(pa, size)

    def _free(self, pa: i64) -> None:
        for kind in (FREED_LINKED, FREED_CACHED, FREED_UNKNOWN):
            self.counts[kind] += 1
        page = self.memory.pages.get(pa)
        if page is None:
            self._observe(FREED_UNKNOWN, -1, -1, 0, 0, pa)
            return
        live = page.is_live()
        for path in page.paths.copy():
            if path.fact < 0 and not self.walked:
                self.freed_linked.append(
                    Observation(FREED_LINKED, self.now, path.level - 1, path.va, 0, 0, pa)
                )
            elif path.fact < 0:
                self._observe(FREED_LINKED, path.level - 1, path.va, 0, 0, pa)
            elif path.fact in self.tlb.walks:
                # One mistake, one observation: what is freed linked is cached as well.
                fact = self.tlb.walks[path.fact]
                if not live:
                    self._observe(FREED_CACHED, fact.level, fact.first, fact.word, 0, pa)
                self.tlb.forget_walk(fact, 0, TOP_VA)
        if live:
            self.reachable -= 1
        if page.leaked:
            self.leaked -= 1
        for index in page.unclean:
            # Nobody will clean these; memory that was freed is nothing to wait for.
            self._seen(pa + index * 8)
        self.unclean_pages.pop(pa, None)
        self.memory.free(pa)

    def _attach(self, root: i64, number: i64) -> None:
        """The device walks from ``root``; where roots are in registers, register ``number``."""
        if self.geometry.format.registers:
            self._set_register(number, self.geometry.format.table(0, root))
            return
        self.walker.root = root
        level = self.geometry.start_level
        page = self.memory.pages.get(root)
        if page is None:
            self._check_content(level - 1, 0, 0, root)
            return
        self._forget_behind_root(page)
        self._check_content(level - 1, 0, 0, root)
        self._add_path(page, level, 0)

    def _forget_behind_root(self, page: TablePage) -> None:
        """A small root is the start of a page; what follows is nobody's entry."""
        if page.all_unclean:
            page.all_unclean = False
            page.unclean = set(range(len(page.words)))
        entries = self.geometry.entries(self.geometry.start_level)
        page.unclean = {index for index in page.unclean if index < entries}
        if not page.unclean:
            self.unclean_pages.pop(page.pa, None)

    def _set_register(self, number: i64, word: i64) -> None:
        """Write one of the registers that take the place of the level-0 table."""
        registers = self.memory.pages.get(REGISTERS)
        if registers is None:
            registers = self.memory.allocate(REGISTERS, self.geometry.entries(0) * 8)
            registers.fill(0)
            self._add_path(registers, 0, 0)
            self.walker.root = REGISTERS
        if number >= len(registers.words):
            return
        old = registers.set(number, word)
        fmt = self.geometry.format
        va: i64 = number << fmt.shift(0)
        if fmt.kind(0, old) == TABLE:
            self._unlink(0, va, old, REGISTERS)
            self._shut(va, va + fmt.span(0) - 1)
        if fmt.kind(0, word) == TABLE:
            self._link(0, va, word)
        elif registers.nonzero == 0:
            self.memory.free(REGISTERS)
            self.memory.freed.discard(REGISTERS)
            self.reachable -= 1
            self.walker.root = NO_ROOT

    def _detach(self, root: i64, number: i64) -> None:
        """The device does not walk from ``root`` any more."""
        if self.geometry.format.registers:
            self._set_register(number, 0)
            return
        if self.walker.root != root:
            return
        self.walker.root = NO_ROOT
        page = self.memory.pages.get(root)
        if page is None:
            return
        page.paths = [path for path in page.paths if path.fact >= 0]
        self.reachable -= 1
        # What the device read through the root before stays cached.
        fmt = self.geometry.format
        level: i64 = self.geometry.start_level
        entries = self.geometry.entries(level)
        index: i64 = 0
        for word in page.words:
            if index >= entries:
                break
            kind: i64 = INVALID if word == 0 else fmt.kind(level, word)
            va: i64 = index << fmt.shift(level)
            if kind == TABLE:
                self._unlink(level, va, word, root)
            elif kind == LEAF:
                self.tlb.remember_leaf(level, va, va + fmt.span(level) - 1, word, self.now)
            index += 1
        self._shut(0, TOP_VA)

    def _shut(self, first: i64, last: i64) -> None:
        """Nothing is loaded for first..last any more, whichever stores are visible or not."""
        for facts in self.unseen.values():
            for fact in facts:
                if fact.behind is None and fact.first >= first and fact.last <= last:
                    fact.seen(self.now)

    # -- questions that rules ask -------------------------------------------------------------

    def lost_tables(self) -> i64:
        """How many allocated table pages no attached root leads to, less those reported."""
        allocated: i64 = len(self.memory.pages)
        return allocated - self.reachable - self.leaked

    def mark_leaked(self) -> i64:
        """Take every unreachable page as reported; the pa of the first of them, or -1."""
        found: i64 = -1
        for pa in sorted(self.memory.pages):
            page = self.memory.pages[pa]
            if not page.leaked and not page.is_live():
                page.leaked = True
                self.leaked += 1
                if found < 0:
                    found = pa
        return found

    def difference(self, promise: Translations, first: i64, last: i64) -> Difference | None:
        """The lowest address of first..last at which memory does not say what was promised."""
        fmt = self.geometry.format
        va: i64 = max(first, 0)
        end: i64 = min(last, self.geometry.limit - 1)
        while va <= end:
            level, word = self.walker.translate(va)
            expected, prot = promise.lookup(va)
            if level < 0 or fmt.kind(level, word) != LEAF:
                if expected != -1:
                    return Difference(va, -1, level, word, True)
            else:
                pa: i64 = fmt.output(level, word) + (va & (fmt.span(level) - 1))
                if pa != expected:
                    return Difference(va, pa, level, word, True)
                promised = fmt.promised(prot)
                found: i64 = fmt.meaning(level, word) & ~self.walker.denied
                if found != promised and not self._accepts(promised, found):
                    return Difference(va, pa, level, word, False)
            stop = promise.extent(va)
            if level >= 0:
                stop = min(stop, va | (fmt.span(level) - 1))
            va = stop + 1
        return None

    def held(
        self, promise: Translations, first: i64, last: i64, limit: int = 4096
    ) -> list[tuple[i64, i64, i64, i64]]:
        """(first, last, pa, level in memory) of what is promised in first..last, in order.

        At most ``limit`` of them. Memory may hold it in smaller entries than the caller asked for.
        """
        found: list[tuple[i64, i64, i64, i64]] = []
        for part in promise.parts(first, min(last, self.geometry.limit - 1), limit):
            start: i64 = max(part.first, first)
            level, _ = self.walker.translate(start)
            found.append((start, part.last, part.pa + (start - part.first), level))
        return found

    def _accepts(self, promised: i64, found: i64) -> bool:
        accepted = self.accepted.get(promised)
        return accepted is not None and found in accepted

    def accept(self, promise: Translations, difference: Difference) -> None:
        """Take the access at a reported difference as good for what was promised there."""
        _, prot = promise.lookup(difference.va)
        found = self.geometry.format.meaning(difference.level, difference.word)
        self.accepted.setdefault(self.geometry.format.promised(prot), set()).add(found)

    def stale(self, promise: Translations, first: i64, last: i64) -> Fact | None:
        """A cached leaf for an address of first..last that the promise does not hold with."""
        if self.tlb.is_empty():
            return None
        for fact in self.tlb.leaves_in(first, last):
            if self._disagrees(promise, fact, max(first, fact.first), min(last, fact.last)):
                return fact
        return None

    def _disagrees(self, promise: Translations, fact: Fact, first: i64, last: i64) -> bool:
        fmt = self.geometry.format
        base = fmt.output(fact.level, fact.word)
        mask: i64 = fmt.span(fact.level) - 1
        meaning = fmt.meaning(fact.level, fact.word)
        va: i64 = first
        while va <= last:
            expected, prot = promise.lookup(va)
            if expected != base + (va & mask):
                return True
            if fmt.promised(prot) != meaning and not self._accepts(fmt.promised(prot), meaning):
                return True
            va = promise.extent(va) + 1
        return False

    def forget(self, first: i64, last: i64) -> None:
        """Drop all that is cached for first..last (it was reported, or is nobody's duty)."""
        for pa in list(self.unseen):
            for fact in self.unseen[pa]:
                if fact.first <= last and fact.last >= first:
                    # What is left of it must not wait for a store that nobody tracks for it.
                    fact.until = self.now
        self.tlb.invalidate(first, last, SCOPE_LEAF | SCOPE_WALK, FOREVER + 1)

    def leaves(self, first: i64, last: i64, limit: int = 4096) -> list[tuple[i64, i64, i64]]:
        """(va, level, word) of the leaves in memory that reach into first..last, in order."""
        fmt = self.geometry.format
        found: list[tuple[i64, i64, i64]] = []
        va: i64 = max(first, 0)
        end: i64 = min(last, self.geometry.limit - 1)
        while va <= end and len(found) < limit:
            level, word = self.walker.translate(va)
            if level < 0:
                break
            span = fmt.span(level)
            if fmt.kind(level, word) == LEAF:
                found.append((va & ~(span - 1), level, word))
            va = (va | (span - 1)) + 1
        return found


def add_piece(
    found: list[tuple[i64, i64, i64, i64]], first: i64, last: i64, pa: i64, meaning: i64
) -> None:
    """Append a piece, joined to the one before where they continue each other."""
    if found:
        before_first, before_last, before_pa, before_meaning = found[len(found) - 1]
        if (
            before_last + 1 == first
            and before_pa + (first - before_first) == pa
            and before_meaning == meaning
        ):
            found[len(found) - 1] = (before_first, last, before_pa, meaning)
            return
    found.append((first, last, pa, meaning))


def first_difference(
    before: list[tuple[i64, i64, i64, i64]], after: list[tuple[i64, i64, i64, i64]]
) -> i64:
    """The lowest address at which two lists of pieces say different things; -1 if none.

    Pieces are (first, last, pa, meaning), ascending, and joined where they can be.
    """
    index: i64 = 0
    while index < len(before) and index < len(after):
        b_first, b_last, b_pa, b_meaning = before[index]
        a_first, a_last, a_pa, a_meaning = after[index]
        if b_first != a_first:
            return min(b_first, a_first)
        if b_pa != a_pa or b_meaning != a_meaning:
            return b_first
        if b_last != a_last:
            return min(b_last, a_last) + 1
        index += 1
    if index < len(before):
        return before[index][0]
    if index < len(after):
        return after[index][0]
    return -1
