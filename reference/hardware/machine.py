"""A machine: table memory and the links in it, once, and all contexts that walk there.

``Machine.feed`` takes events one after the other and keeps memory, the ways to reach each
table, and the maximal TLB of every context up to date. It judges nothing. What is worth a
rule's attention becomes an ``Observation`` (a table was published before its content was
visible, a page was freed that a device could still walk, ...), and ``counts`` says how often
there was something to observe.

A store is observed once, and concerns the contexts from which its table can be reached. Events
of a trace are about the space that is ``current`` and its first context. A device with more of
them says itself who attaches what (``attach``, ``detach``, ``disable``, ``enable``), and which
contexts an invalidation reaches (``invalidations``).

Source: semantics.md "The maximal TLB"; formats.md F.1 to F.3.
"""

from typing import Final

from mypy_extensions import i64

from reference.formats.entry import INVALID, LEAF, TABLE
from reference.formats.format import Geometry
from reference.hardware.changes import Changes, EntryChange
from reference.hardware.context import ANY, Context, Root, Space
from reference.hardware.invalidation import Invalidations
from reference.hardware.links import Links
from reference.hardware.memory import POISON, Path, PhysicalMemory, TablePage, Visibility
from reference.hardware.observation import (
    FREED_CACHED,
    FREED_LINKED,
    FREED_UNKNOWN,
    PUBLISHED_UNORDERED,
    PUBLISHED_UNWRITTEN,
    STORED_FREED,
    STORED_OUTSIDE,
    Observation,
    Observed,
)
from reference.hardware.tlb import FOREVER, TOP_VA, Waiting
from reference.hardware.walker import NO_ROOT
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
    STORE,
    WARN,
)

MOST_PAGES: Final = 1 << 12
"""No event is about more table pages; what it says beyond them is not looked at."""


class Machine(Observed):
    """Memory, links and contexts, kept up to date by events.

    ``coherent``: whether walkers snoop the CPU's caches.
    """

    def __init__(self, geometry: Geometry, coherent: bool) -> None:
        super().__init__()
        self.geometry: Geometry = geometry
        """How tables are laid out, for all of its devices."""
        self.memory: PhysicalMemory = PhysicalMemory(geometry.format.granule)
        """The table pages."""
        self.visibility: Visibility = Visibility(coherent)
        """Which stores to them walkers are sure to see."""
        self.waiting: Waiting = Waiting()
        """Cached facts whose replacement is not visible yet."""
        self.links: Links = Links(geometry, self.memory, self.visibility, self.waiting, self)
        """Which entry leads to which table."""
        self.changes: Changes = Changes(geometry, self.memory, self)
        """What a changed entry means for others."""
        self.spaces: list[Space] = self.links.spaces
        """By number."""
        self.contexts: list[Context] = self.links.contexts
        """By number."""
        self.current: i64 = 0
        """Number of the space that events are about which name no table that is known."""
        self.invalidations: Invalidations = Invalidations(self.links, self.waiting, self)
        """What was issued, and which contexts it reaches."""
        self.warned: i64 = -1
        """Number of the last warning event; -1: none."""
        self.failed_allocations: i64 = 0
        """How many allocations were made to fail."""

    def add_space(self) -> Space:
        """An address space more, without tables."""
        number: i64 = len(self.spaces)
        space = Space(number, self.geometry, self.memory, self.visibility, self.waiting, self)
        self.spaces.append(space)
        return space

    def add_context(
        self, space: Space, device: i64 = 0, observer: i64 = 0, tag: i64 = 0, enabled: bool = True
    ) -> Context:
        """A context more, which will walk ``space``, and has no root yet."""
        number: i64 = len(self.contexts)
        context = Context(number, space.number, self.memory, self.geometry, device, observer, tag)
        self.contexts.append(context)
        space.contexts.append(context)
        context.enabled = enabled
        self._look_who_walks(space)
        return context

    def contexts_of(self, device: i64 = ANY, observer: i64 = ANY, tag: i64 = ANY) -> list[Context]:
        """The contexts that something for a device, an observer and a tag reaches."""
        return [
            context
            for context in self.contexts
            if device in (ANY, context.device)
            and observer in (ANY, context.observer)
            and tag in (ANY, context.tag)
        ]

    # -- feeding ----------------------------------------------------------------------------

    def take(self, kind: i64, a: i64, b: i64, c: i64) -> None:
        """Take one event, which has number ``now``."""
        if kind == STORE:
            self._store(a, c)
        elif kind == BARRIER:
            self._barrier(a)
        elif kind == CLEAN:
            for start in self._starts(a, b):
                self._clean(start, min(b - (start - a), self._room(start)))
        elif kind == FILL:
            for start in self._starts(a, b):
                self._fill(start, min(b - (start - a), self._room(start)), c)
        elif kind == INVALIDATE:
            self.invalidations.issue(c >> 16, a, b, c & 0xFF, self.contexts.copy())
        elif kind == COMPLETE:
            self.invalidations.complete(a)
        elif kind == ALLOC:
            granule = self.memory.granule
            for page in self._starts(a, b):
                self._allocate(page, min(b, granule))
        elif kind == FREE:
            for page in self._starts(a, b):
                self._free(page)
        elif kind == ATTACH:
            self.attach(self._first_context(), self.spaces[self.current], a, b)
        elif kind == DETACH:
            self._detach(a, b)
        elif kind == WARN:
            self.warned = self.now
        elif kind == ALLOC_FAILED:
            self.failed_allocations += 1

    def _room(self, pa: i64) -> i64:
        """Bytes from ``pa`` to the end of the page that holds it."""
        return self.memory.granule - (pa & self.memory.offset_mask)

    def _starts(self, pa: i64, size: i64) -> list[i64]:
        """Where an event for ``size`` bytes begins in each page that it is about."""
        found: list[i64] = [pa]
        if size > self._room(pa):
            start: i64 = pa + self._room(pa)
            while start < pa + size and len(found) < MOST_PAGES:
                found.append(start)
                start += self.memory.granule
        return found

    def _first_context(self) -> Context:
        return self.spaces[self.current].contexts[0]

    # -- stores and their visibility ----------------------------------------------------------

    def _store(self, pa: i64, new: i64) -> None:
        self.counts[STORED_FREED] += 1
        self.counts[STORED_OUTSIDE] += 1
        page = self.memory.page_of(pa)
        if page is None:
            freed = self.memory.was_freed(pa)
            kind: i64 = STORED_FREED if freed else STORED_OUTSIDE
            self.observe(kind, -1, -1, 0, new, pa, self.current)
            return
        index: i64 = (pa & self.memory.offset_mask) >> 3
        if index >= len(page.words):
            self.observe(STORED_OUTSIDE, -1, -1, 0, new, pa, page.space)
            return
        old = page.set(index, new)
        paths = page.paths
        if len(paths) == 1:
            self._stored(page, paths[0], old, new, pa, True)
        elif not paths:
            # Not linked yet: only whether the content is visible when it is published matters.
            page.stored_at = self.now
            self.visibility.soil(page, index)
        else:
            self._stored_for_all(page, old, new, pa)

    def _stored_for_all(self, page: TablePage, old: i64, new: i64, pa: i64) -> None:
        """A word changed that there are several ways to."""
        before: list[Path] = []
        for path in page.paths.copy():
            first = True
            for other in before:
                # What a table behind an entry holds is looked at for one context of several.
                if (
                    path.fact >= 0
                    and other.fact >= 0
                    and path.owner != other.owner
                    and path.level == other.level
                    and path.va == other.va
                ):
                    first = False
            before.append(path)
            self._stored(page, path, old, new, pa, first)

    def _stored(
        self, page: TablePage, path: Path, old: i64, new: i64, pa: i64, first: bool
    ) -> None:
        """A word of a page changed that ``path`` leads to; ``first``: of those alike."""
        fmt = self.geometry.format
        level: i64 = path.level
        if fmt.same(level, old, new):
            return
        index: i64 = (pa & self.memory.offset_mask) >> 3
        if level == self.geometry.start_level and index >= self.geometry.entries(level):
            return
        page.stored_at = self.now
        space = self.spaces[page.space]
        space.last_store = self.now
        space.last_store_pa = pa
        self.visibility.soil(page, index)
        change = EntryChange(fmt, level, path.va + (index << fmt.shift(level)), old, new, pa)
        both_tables: bool = change.old_kind == TABLE and change.new_kind == TABLE
        if both_tables and fmt.next_table(level, old) == fmt.next_table(level, new):
            # Only attributes differ: the table is linked as before.
            return
        if path.fact < 0:
            self._changed(self.links.roots[path.owner], change)
        else:
            self._changed_behind(path, change, first)

    def _changed(self, root: Root, change: EntryChange) -> None:
        """An entry changed that memory leads to from ``root``."""
        space = root.space
        contexts = root.contexts
        self.changes.compare_outside(space, change)
        if change.old_kind != INVALID and change.new_kind != INVALID:
            self.changes.replaced(space, change)
        elif change.new_kind != INVALID:
            self.changes.may_conflict(space, contexts, change)
        level: i64 = change.level
        va: i64 = change.va
        if change.old_kind == TABLE:
            self.links.unlink(root, contexts, True, level, va, change.old, change.pa)
        elif change.old_kind == LEAF:
            for context in contexts:
                leaf = context.tlb.remember_leaf(level, va, change.last, change.old, FOREVER)
                self.waiting.wait(change.pa, leaf)
        if change.new_kind == TABLE:
            self.links.link(root, level, va, change.new)

    def _changed_behind(self, path: Path, change: EntryChange, first: bool) -> None:
        """An entry changed that only a cached one leads to.

        What is loaded through that is no younger than it is.
        """
        level: i64 = change.level
        va: i64 = change.va
        context = self.contexts[path.owner]
        behind = context.tlb.walks.get(path.fact)
        if behind is None or not context.enabled:
            return
        if change.old_kind == LEAF:
            leaf = context.tlb.remember_leaf(level, va, change.last, change.old, FOREVER)
            leaf.follow(behind)
            self.waiting.wait(change.pa, leaf)
        elif change.old_kind == TABLE:
            self.links.unlink_behind(context, level, va, change.old, change.pa)
        if change.new_kind == TABLE:
            if first:
                self.links.check_published(context.space, True, level, va, change.new)
            self.links.link_behind(level, va, change.new, behind)

    def _barrier(self, kind: i64) -> None:
        if kind == BARRIER_FULL:
            self.visibility.full_barrier = self.now
            self.visibility.order_barrier = self.now
            if self.visibility.coherent and self.waiting.facts:
                self.waiting.all_seen(self.now)
        elif kind == BARRIER_ORDER:
            self.visibility.order_barrier = self.now
            if self.visibility.coherent and self.waiting.facts:
                self.waiting.order()

    def _clean(self, pa: i64, size: i64) -> None:
        page = self.memory.page_of(pa)
        if page is not None:
            for word in self.visibility.clean(page, pa, size):
                self.waiting.seen(word, self.now)

    def _fill(self, pa: i64, size: i64, word: i64) -> None:
        page = self.memory.page_of(pa)
        # A root that was never written is no table in use before somebody walks it.
        is_new: bool = (
            page is not None
            and page.unwritten == len(page.words)
            and not self.links.is_walked(page)
        )
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
            space = self.spaces[page.space]
            space.last_store = self.now
            space.last_store_pa = page.pa
        self.visibility.soil_all(page)

    # -- memory -----------------------------------------------------------------------------

    def _allocate(self, pa: i64, size: i64) -> None:
        before = self.memory.pages.get(pa)
        if before is not None:
            self.spaces[before.space].allocated -= 1
        self.memory.allocate(pa, size, self.current)
        self.spaces[self.current].allocated += 1

    def _free(self, pa: i64) -> None:
        for kind in (FREED_LINKED, FREED_CACHED, FREED_UNKNOWN):
            self.counts[kind] += 1
        page = self.memory.pages.get(pa)
        if page is None:
            self.observe(FREED_UNKNOWN, -1, -1, 0, 0, pa, self.current)
            return
        live = page.is_live()
        for path in page.paths.copy():
            if path.fact < 0:
                self._freed_linked(self.links.roots[path.owner], path, pa)
            else:
                self._freed_cached(path, pa, live)
        owner = self.spaces[page.space]
        owner.allocated -= 1
        if live:
            owner.reachable -= 1
        if page.leaked:
            owner.leaked -= 1
        for index in page.unclean:
            # Nobody will clean these; memory that was freed is nothing to wait for.
            self.waiting.seen(pa + index * 8, self.now)
        self.visibility.unclean_pages.pop(pa, None)
        self.memory.free(pa)

    def _freed_linked(self, root: Root, path: Path, pa: i64) -> None:
        space = root.space
        seen = Observation(FREED_LINKED, self.now, path.level - 1, path.va, 0, 0, pa, space.number)
        for context in root.contexts:
            context.tlb.keep_leaves(self.memory.pages[pa], path, 0, -1, self.now, 0)
        if root.contexts:
            self.observations.append(seen)
        else:
            space.freed_linked.append(seen)

    def _freed_cached(self, path: Path, pa: i64, live: bool) -> None:
        context = self.contexts[path.owner]
        fact = context.tlb.walks.get(path.fact)
        if fact is None:
            return
        # One mistake, one observation: what is freed linked is cached as well.
        if not live:
            self.observe(FREED_CACHED, fact.level, fact.first, fact.word, 0, pa, context.space)
        # The way is gone; the leaves that were read through it stay cached.
        fact.until = min(fact.until, self.now)
        context.tlb.forget_walk(fact, 0, -1)

    # -- who walks --------------------------------------------------------------------------

    def attach(self, context: Context, space: Space, pa: i64, number: i64 = 0) -> None:
        """A context walks ``space`` from the table at ``pa``, once it is enabled.

        Where roots are in registers, register ``number`` is written; one that does not exist
        takes nothing.
        """
        if self.geometry.format.registers and number >= self.geometry.entries(0):
            self._detach_unused(context, number)
            context.unused[number] = pa
            self.links.hold(pa, True)
            return
        if number in context.roots:
            self.detach(context, number)
        if context.space != space.number:
            before = self.spaces[context.space]
            before.contexts.remove(context)
            space.contexts.append(context)
            context.space = space.number
            self._look_who_walks(before)
        if self.geometry.format.registers:
            self._attach_register(context, space, pa, number)
        else:
            self._attach_root(context, space, pa)
        self._look_who_walks(space)

    def _attach_root(self, context: Context, space: Space, pa: i64) -> None:
        level = self.geometry.start_level
        root = self.links.root(space, pa, level, 0)
        page = self.memory.pages.get(pa)
        if page is not None and context.enabled:
            self.visibility.forget_behind(page, self.geometry.entries(level))
        if context.enabled:
            self.links.check_content(space.number, True, level - 1, 0, 0, pa)
        self._join(context, root, 0)
        space.walker.root = pa

    def _attach_register(self, context: Context, space: Space, pa: i64, number: i64) -> None:
        fmt = self.geometry.format
        word: i64 = fmt.table(0, pa)
        va: i64 = number << fmt.shift(0)
        space.registers().set(number, word)
        if fmt.kind(0, word) == TABLE:
            root = self.links.root(space, fmt.next_table(0, word), 1, va)
            self.links.check_published(space.number, context.enabled, 0, va, word)
            self._join(context, root, number)

    def _join(self, context: Context, root: Root, number: i64) -> None:
        """A context has this root from now on."""
        context.roots[number] = root
        root.attached += 1
        if context.enabled:
            root.contexts.append(context)
        page = self.memory.pages.get(root.pa)
        if page is not None and root.attached == 1:
            self.links.add_path(root, page, root.level, root.va)

    def _detach(self, pa: i64, number: i64) -> None:
        """An event says that a root, or a root register, is given up."""
        context = self._first_context()
        if self.geometry.format.registers:
            self.detach(context, number)
        elif 0 in context.roots and context.roots[0].pa == pa:
            self.detach(context, 0)

    def _detach_unused(self, context: Context, number: i64) -> None:
        """A register that no address leads to holds its root no more."""
        pa = context.unused.pop(number, -1)
        for other in self.contexts:
            if pa in other.unused.values():
                return
        self.links.hold(pa, False)

    def detach(self, context: Context, number: i64 = 0) -> None:
        """A context begins no walk any more at a root; what it read through it stays cached."""
        root = context.roots.pop(number, None)
        if root is None:
            self._detach_unused(context, number)
            return
        root.attached -= 1
        gone: bool = root.attached == 0
        walking: list[Context] = []
        if context.enabled:
            root.contexts.remove(context)
            walking.append(context)
        if self.geometry.format.registers:
            self._clear_register(root, walking, gone, number)
        else:
            if gone and root.space.walker.root == root.pa:
                root.space.walker.root = NO_ROOT
            self.links.unlink_root(root, walking, gone)
        last: i64 = TOP_VA
        if self.geometry.format.registers:
            last = root.va + self.geometry.format.span(0) - 1
        self.waiting.shut(context.number, root.va, last, self.now)

    def _clear_register(self, root: Root, walking: list[Context], gone: bool, number: i64) -> None:
        space = root.space
        registers = space.registers()
        word: i64 = registers.words[number]
        if gone:
            registers.set(number, 0)
        self.links.unlink(root, walking, gone, 0, root.va, word, registers.pa)
        if registers.nonzero == 0:
            self.memory.free(registers.pa)
            self.memory.freed.discard(registers.pa)
            space.walker.root = NO_ROOT

    def enable(self, context: Context) -> None:
        """From now on a context may load whatever its roots, and what it has cached, lead to."""
        if context.enabled:
            return
        context.enabled = True
        context.tlb.thaw()
        self.links.link_again(context)
        space = self.spaces[context.space]
        level: i64 = self.geometry.start_level
        for root in context.roots.values():
            root.contexts.append(context)
            page = self.memory.pages.get(root.pa)
            if page is None:
                continue
            entries = self.geometry.entries(root.level)
            if POISON in page.words[:entries]:
                self.observe(
                    PUBLISHED_UNWRITTEN, root.level - 1, root.va, 0, 0, root.pa, space.number
                )
            self.visibility.forget_behind(page, entries)
        self._look_who_walks(space)
        self.counts[PUBLISHED_UNORDERED] += 1
        # It is a command that enables it: what was ordered before that is visible.
        unseen = space.unseen_store(self.visibility.order_barrier)
        if unseen >= 0:
            self.observe(PUBLISHED_UNORDERED, level - 1, 0, 0, 0, unseen, space.number)
            space.make_all_seen()

    def disable(self, context: Context) -> None:
        """A context loads nothing any more; its roots stay attached, and what it cached cached."""
        if not context.enabled:
            return
        walking = [context]
        for number, root in context.roots.items():
            root.contexts.remove(context)
            page = self.memory.pages.get(root.pa)
            if page is None:
                continue
            if self.geometry.format.registers:
                word: i64 = root.space.registers().words[number]
                self.links.unlink(root, walking, False, 0, root.va, word, root.pa)
            else:
                self.links.keep_entries(root, page, walking, False)
        self._stop(context)
        context.tlb.freeze()

    def retire(self, context: Context) -> None:
        """A context loads nothing any more, and what it has cached is somebody else's concern."""
        if not context.enabled:
            return
        for root in context.roots.values():
            root.contexts.remove(context)
        self._stop(context)
        self.spaces[context.space].forget_all(context)
        context.tlb.frozen = True

    def _stop(self, context: Context) -> None:
        context.enabled = False
        self.waiting.all_seen_by(context.number, self.now)
        self._look_who_walks(self.spaces[context.space])

    def _look_who_walks(self, space: Space) -> None:
        """While nobody walks a space, all accesses to it wait."""
        walked = False
        for context in space.contexts:
            walked = walked or context.enabled
        if walked != space.walked:
            space.walked = walked
            space.stalled_first = 0
            space.stalled_last = -1 if walked else TOP_VA
