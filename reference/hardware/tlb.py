"""The maximal TLB: everything that a device may still have cached.

Any translation that was walkable at any instant counts as cached until an
invalidation that covers it has completed. What memory holds now is walkable
now, so it needs no record; kept here are only the *stale* facts: entries that
were walkable since the last covering invalidation and are not in memory any
more. The cost follows the words stored, not the pages mapped.

Two kinds of fact:

* a *leaf* fact: addresses first..last translate by this leaf entry;
* a *walk* fact: for addresses first..last the walk may start from this table
  entry, although memory no longer leads to that table. As long as it lives, the
  unlinked table can be walked, with whatever is in it by then: its leaves are
  cached too, and need no records of their own (``leaves_in`` reads them there).

An invalidation removes the facts in its scope that stopped being walkable
before it was issued, once it has completed. A block may be cached in parts, so
an invalidation of some of its addresses removes just that part of the fact, unless it is
a command for an address, which takes the whole entry that holds it (SCOPE_ENTRY). One for
a tag leaves global entries alone (SCOPE_TAG).

While its context is disabled the TLB is *frozen*: it keeps what it has, and loads nothing.

Source: semantics.md, "The maximal TLB"; formats.md F.1 and F.2.
"""

from typing import Final

from mypy_extensions import i64

from reference.formats.access import GLOBAL
from reference.formats.entry import LEAF
from reference.formats.format import Geometry
from reference.hardware.memory import Path, PhysicalMemory, TablePage
from reference.trace import SCOPE_ENTRY, SCOPE_LEAF, SCOPE_TAG, SCOPE_WALK

TOP_VA: Final = (1 << 62) - 1
"""Stands for "to the end of the address space" in ranges."""

FOREVER: Final = 1 << 62
"""``until`` of a fact that is still walkable (its replacement is not visible yet)."""


class Fact:
    """One stale fact."""

    def __init__(
        self,
        number: i64,
        context: i64,
        level: i64,
        first: i64,
        last: i64,
        word: i64,
        until: i64,
        table: i64,
    ) -> None:
        self.number: i64 = number
        """Counted in its context; -1: it is read from a table behind a walk fact."""
        self.context: i64 = context
        """Number of the context that has it cached."""
        self.level: i64 = level
        """Of the entry ``word``."""
        self.first: i64 = first
        """The first input address that it serves."""
        self.last: i64 = last
        """The last input address that it serves."""
        self.word: i64 = word
        """The entry, held."""
        self.until: i64 = until
        """Number of the event after which it could no longer be loaded, or FOREVER."""
        self.table: i64 = table
        """For a walk fact, the address of the table that it leads to; -1 for a leaf fact."""
        self.ordered: bool = False
        """Whether the store that removed it comes before a barrier that orders stores."""
        self.behind: Fact | None = None
        """The walk fact that this was loaded through, where memory led there no more; None
        elsewhere. What comes through a cached entry is no younger than that entry."""
        self.followers: list[Fact] | None = None
        """Facts that have this one as ``behind``."""

    def follow(self, walk: "Fact") -> None:
        """From now on only the walk entry ``walk`` leads to where this was loaded from."""
        self.behind = walk
        if walk.followers is None:
            walk.followers = [self]
        else:
            walk.followers.append(self)

    def seen(self, now: i64) -> None:
        """Its removal is visible from event ``now`` on, if it was not before."""
        if self.until == FOREVER:
            self.until = now
            self.until = self.loaded_until()

    def loaded_until(self) -> i64:
        """``until``, or that of a walk entry on the way here, if that is less."""
        until: i64 = self.until
        fact = self.behind
        while fact is not None:
            until = min(until, fact.until)
            fact = fact.behind
        return until


def level_and_number(fact: Fact) -> tuple[i64, i64]:
    """The order in which walk facts are removed."""
    return fact.level, fact.number


class MaximalTlb:
    """The stale facts of one context (one address space, one observer)."""

    def __init__(self, memory: PhysicalMemory, geometry: Geometry, context: i64 = 0) -> None:
        self.memory: PhysicalMemory = memory
        """Table memory, which the walk facts lead to."""
        self.geometry: Geometry = geometry
        """How the tables are laid out."""
        self.context: i64 = context
        """Number of the context whose TLB this is."""
        self.last_level: i64 = geometry.format.levels - 1
        """The level of pages."""
        self.page_span: i64 = geometry.format.span(self.last_level)
        """Bytes of a page."""
        self.next_number: i64 = 0
        """Number of the next fact."""
        self.pages: dict[i64, list[Fact]] = {}
        """Leaf facts of the last level, by their first address."""
        self.blocks: list[Fact] = []
        """Leaf facts of other levels, and what is left of them."""
        self.walks: dict[i64, Fact] = {}
        """Walk facts by number."""
        self.frozen: bool = False
        """Whether nothing is loaded, through cached walk entries neither."""

    # -- remembering ------------------------------------------------------------------------

    def remember_leaf(self, level: i64, first: i64, last: i64, word: i64, until: i64) -> Fact:
        """A leaf entry that was walkable for first..last is no longer what memory holds."""
        fact = Fact(self.next_number, self.context, level, first, last, word, until, -1)
        self.next_number += 1
        if level == self.last_level:
            same_page = self.pages.get(first)
            if same_page is None:
                self.pages[first] = [fact]
            else:
                same_page.append(fact)
        else:
            self.blocks.append(fact)
        return fact

    def remember_walk(self, level: i64, va: i64, word: i64, table: i64, until: i64) -> Fact:
        """A table entry at ``level`` that led to ``table`` is no longer what memory holds."""
        last: i64 = va + self.geometry.format.span(level) - 1
        fact = Fact(self.next_number, self.context, level, va, last, word, until, table)
        self.next_number += 1
        self.walks[fact.number] = fact
        return fact

    # -- invalidation -----------------------------------------------------------------------

    def invalidate(self, first: i64, last: i64, scope: i64, issued: i64) -> None:
        """An invalidation of first..last, issued at event ``issued``, has completed.

        A page that the range reaches into is in it as a whole. ``scope``: SCOPE_*, or'ed.
        """
        first &= ~(self.page_span - 1)
        last |= self.page_span - 1
        if scope & SCOPE_WALK and self.walks:
            # Upper levels first: what they led to ends with them.
            facts = sorted(self.walks.values(), key=level_and_number)
            for fact in facts:
                inside = fact.first <= last and fact.last >= first  # no difference: whole pages
                if fact.until < issued and inside:
                    if scope & SCOPE_LEAF:
                        self.forget_walk(fact, first, last, scope)
                    else:
                        self.forget_walk(fact, 0, -1)
        if scope & SCOPE_LEAF:
            self._invalidate_pages(first, last, scope, issued)
            if self.blocks:
                self._invalidate_blocks(first, last, scope, issued)

    def _survives(self, level: i64, word: i64, scope: i64) -> bool:
        """Whether a leaf is out of reach of an invalidation whatever its address is."""
        if not scope & SCOPE_TAG:
            return False
        return (self.geometry.format.meaning(level, word) & GLOBAL) != 0

    def _invalidate_pages(self, first: i64, last: i64, scope: i64, issued: i64) -> None:
        pages = self.pages
        count: i64 = len(pages)
        if count == 0:
            return
        if (last - first) // self.page_span < count:  # no difference: both ways find the same
            va: i64 = first & ~(self.page_span - 1)
            while va <= last:  # no difference: ``last`` is the end of a page
                if va in pages:
                    self._invalidate_page(va, scope, issued)
                va += self.page_span
        else:
            for va in list(pages):
                if va > last:  # no difference: as above
                    continue
                if va + self.page_span > first:
                    self._invalidate_page(va, scope, issued)

    def _invalidate_page(self, va: i64, scope: i64, issued: i64) -> None:
        kept = [
            fact
            for fact in self.pages[va]
            if fact.until >= issued or self._survives(fact.level, fact.word, scope)
        ]
        if kept:
            self.pages[va] = kept
        else:
            del self.pages[va]

    def _invalidate_blocks(self, first: i64, last: i64, scope: i64, issued: i64) -> None:
        before = self.blocks
        self.blocks = []
        for fact in before:
            if (
                fact.until >= issued
                or fact.first > last  # no difference: a page has a first and a last address
                or fact.last < first  # no difference: as above
                or self._survives(fact.level, fact.word, scope)
            ):
                self.blocks.append(fact)
                continue
            if scope & SCOPE_ENTRY:
                continue
            if fact.first < first:
                self.remember_leaf(fact.level, fact.first, first - 1, fact.word, fact.until)
            if fact.last > last:
                self.remember_leaf(fact.level, last + 1, fact.last, fact.word, fact.until)

    def forget_walk(self, fact: Fact, first: i64, last: i64, scope: i64 = 0) -> None:
        """Remove a walk fact. Leaves behind it outside first..last stay cached as facts.

        An empty range is 0, -1. ``scope``: of the invalidation that removes it, if one does.
        """
        self.walks.pop(fact.number, None)
        if fact.followers is not None:
            for follower in fact.followers:
                follower.until = min(follower.until, fact.until)
        page = self.memory.pages.get(fact.table)
        if page is None:
            return
        for path in page.paths:
            if path.fact == fact.number and path.owner == self.context:
                page.paths.remove(path)
                # Where it does not matter: of what lies in the range nothing would be kept.
                inside: bool = first <= fact.first and fact.last <= last  # no difference: see above
                if not self.frozen and (not inside or scope & SCOPE_TAG):
                    self.keep_leaves(page, path, first, last, fact.until, scope)
                return

    def keep_leaves(
        self, page: TablePage, path: Path, first: i64, last: i64, until: i64, scope: i64
    ) -> None:
        """The leaves of a table stay cached, but for those that an invalidation is for."""
        fmt = self.geometry.format
        level: i64 = path.level
        span = fmt.span(level)
        index: i64 = 0
        for word in page.words:
            if fmt.kind(level, word) == LEAF:
                start: i64 = path.va + index * span
                end: i64 = start + span - 1
                if self._survives(level, word, scope):
                    self.remember_leaf(level, start, end, word, until)
                elif not scope & SCOPE_ENTRY or end < first or start > last:  # no difference: pages
                    if start < first:  # no difference: what begins in the range goes with it
                        self.remember_leaf(level, start, min(end, first - 1), word, until)
                    if end > last:
                        self.remember_leaf(level, max(start, last + 1), end, word, until)
            index += 1

    def freeze(self) -> None:
        """Nothing is loaded from now on. What walk facts lead to so far counts as cached."""
        for fact in list(self.walks.values()):
            page = self.memory.pages.get(fact.table)
            if page is not None:
                for path in page.paths:
                    if path.fact == fact.number and path.owner == self.context:
                        self.keep_leaves(page, path, 0, -1, fact.until, 0)
        self.frozen = True

    def thaw(self) -> None:
        """Walks go on, from memory and from cached walk entries."""
        self.frozen = False

    # -- asking -----------------------------------------------------------------------------

    def is_empty(self) -> bool:
        """Whether no stale fact is cached."""
        return not self.pages and not self.blocks and not self.walks

    def leaves_in(self, first: i64, last: i64) -> list[Fact]:
        """Every stale leaf that may serve an address of first..last.

        Leaves behind cached walk entries are included, as facts with number -1.
        """
        found: list[Fact] = []
        pages = self.pages
        if pages:
            if (last - first) // self.page_span < len(pages):  # no difference: the same is found
                va: i64 = first & ~(self.page_span - 1)
                while va <= last:
                    if va in pages:
                        found.extend(pages[va])
                    va += self.page_span
            else:
                for va in sorted(pages):
                    if va <= last and va + self.page_span > first:
                        found.extend(pages[va])
        for fact in self.blocks:
            if fact.first <= last and fact.last >= first:
                found.append(fact)
        for fact in self.walks.values():
            if fact.first <= last and fact.last >= first:
                self._leaves_behind(fact, first, last, found)
        return found

    def leads_to_leaves(self, walk: Fact, first: i64, last: i64) -> bool:
        """Whether the table that a walk fact leads to has a leaf for first..last."""
        found: list[Fact] = []
        self._leaves_behind(walk, first, last, found)
        return len(found) > 0

    def _leaves_behind(self, walk: Fact, first: i64, last: i64, found: list[Fact]) -> None:
        page = self.memory.pages.get(walk.table)
        if page is None or page.nonzero == 0 or self.frozen:
            return
        fmt = self.geometry.format
        level: i64 = walk.level + 1
        span = fmt.span(level)
        index: i64 = max(0, (first - walk.first) // span)
        va: i64 = walk.first + index * span
        while va <= last and index < len(page.words):
            word: i64 = page.words[index]
            if fmt.kind(level, word) == LEAF:
                found.append(Fact(-1, self.context, level, va, va + span - 1, word, walk.until, -1))
            index += 1
            va += span


class Waiting:
    """Facts of all contexts that stay loadable until the store that removed them is visible."""

    def __init__(self) -> None:
        self.facts: dict[i64, list[Fact]] = {}
        """By the physical address of the word that was stored."""

    def wait(self, pa: i64, fact: Fact) -> None:
        """``fact`` stays loadable until the store to ``pa`` is visible."""
        facts = self.facts.get(pa)
        if facts is None:
            self.facts[pa] = [fact]
        else:
            facts.append(fact)

    def wait_with(self, other: Fact, fact: Fact) -> None:
        """``fact`` stays loadable for as long as ``other``, which waits for a store."""
        for facts in self.facts.values():
            if other in facts:
                facts.append(fact)
                return

    def follow(self, page: TablePage, walk: Fact) -> None:
        """What was removed from a table, unseen so far, can be loaded through ``walk`` only."""
        for pa, facts in self.facts.items():
            if pa >= page.pa and pa < page.pa + 8 * len(page.words):
                for fact in facts:
                    if (
                        fact.behind is None
                        and fact.context == walk.context
                        and fact.first >= walk.first
                        and fact.last <= walk.last
                    ):
                        fact.follow(walk)

    def seen(self, pa: i64, now: i64) -> None:
        """Walkers see the newest value of the word at ``pa`` from event ``now`` on."""
        facts = self.facts.pop(pa, None)
        if facts is not None:
            for fact in facts:
                fact.seen(now)

    def order(self) -> None:
        """A barrier keeps the stores so far before whatever comes later, commands included."""
        for facts in self.facts.values():
            for fact in facts:
                fact.ordered = True

    def seen_by_command(self, until: i64) -> None:
        """The device is told to do something: it sees what was ordered before that."""
        for pa in list(self.facts):
            kept: list[Fact] = []
            for fact in self.facts[pa]:
                if fact.ordered:
                    fact.seen(until)
                else:
                    kept.append(fact)
            if kept:
                self.facts[pa] = kept
            else:
                del self.facts[pa]

    def all_seen(self, until: i64) -> None:
        """No fact waits any more for a store to become visible."""
        for facts in self.facts.values():
            for fact in facts:
                fact.seen(until)
        self.facts.clear()

    def all_seen_by(self, context: i64, until: i64) -> None:
        """No fact of one context waits any more."""
        for pa in list(self.facts):
            kept: list[Fact] = []
            for fact in self.facts[pa]:
                if fact.context == context:
                    fact.seen(until)
                else:
                    kept.append(fact)
            if kept:
                self.facts[pa] = kept
            else:
                del self.facts[pa]

    def shut(self, context: i64, first: i64, last: i64, now: i64) -> None:
        """A context loads nothing for first..last any more, whichever stores are visible."""
        for facts in self.facts.values():
            for fact in facts:
                if (
                    fact.context == context
                    and fact.behind is None
                    and fact.first >= first
                    and fact.last <= last
                ):
                    fact.seen(now)

    def give_up(self, context: i64, first: i64, last: i64, now: i64) -> None:
        """What is left of a context's facts in first..last waits for no store any more."""
        for facts in self.facts.values():
            for fact in facts:
                if fact.context == context and fact.first <= last and fact.last >= first:
                    fact.until = now
