"""Invalidations: whom they reach, what they are for, and when they have completed.

An invalidation removes the facts in its scope that were loaded before it was issued, once it has
completed: by range, by entry, by tag, in the contexts that it reaches, which may be all.

Source: semantics.md "The maximal TLB"; formats.md F.1.
"""

from mypy_extensions import i64

from reference.hardware.context import Context
from reference.hardware.links import Links
from reference.hardware.observation import ISSUED_UNSEEN, Observed
from reference.hardware.tlb import FOREVER, TOP_VA, Fact, Waiting
from reference.trace import SCOPE_ENTRY, SCOPE_LEAF, SCOPE_WALK


class Issued:
    """An invalidation that was issued and has not completed."""

    def __init__(
        self, event: i64, first: i64, last: i64, scope: i64, contexts: list[Context]
    ) -> None:
        self.event: i64 = event
        """Number of the event at which it was issued."""
        self.first: i64 = first
        """The first input address that it is for."""
        self.last: i64 = last
        """The last input address that it is for."""
        self.scope: i64 = scope
        """What it removes there: SCOPE_*, or'ed."""
        self.contexts: list[Context] = contexts
        """Those that it reaches."""


class Invalidations:
    """Those of a machine."""

    def __init__(self, links: Links, waiting: Waiting, observed: Observed) -> None:
        self.links: Links = links
        """The machine's."""
        self.waiting: Waiting = waiting
        """The machine's."""
        self.observed: Observed = observed
        """The machine's."""
        self.page_span: i64 = links.geometry.format.span(links.last_level)
        """Bytes of a page."""
        self.tickets: dict[i64, Issued] = {}
        """What was issued and has not completed, by ticket."""

    def issue(
        self, ticket: i64, first: i64, last: i64, scope: i64, contexts: list[Context]
    ) -> None:
        """An invalidation of first..last begins, in the contexts that it reaches.

        ``scope``: SCOPE_*, or'ed. An address below 0 is the last that there is.
        """
        if first < 0:
            first = TOP_VA
        if last < 0:
            last = TOP_VA
        if last - first < self.page_span:
            # A command for one address: the entry that holds it goes as a whole.
            scope |= SCOPE_ENTRY
        self.observed.counts[ISSUED_UNSEEN] += len(contexts)
        # It is a command to the device: what was stored before a barrier before it is visible.
        self.waiting.seen_by_command(self.observed.now - 1)
        if self.waiting.facts:
            reached: set[i64] = {context.number for context in contexts}
            for pa in sorted(self.waiting.facts):
                self._look_at_unseen(pa, reached, first, last, scope)
        self.tickets[ticket] = Issued(self.observed.now, first, last, scope, contexts)

    def _look_at_unseen(
        self, pa: i64, reached: set[i64], first: i64, last: i64, scope: i64
    ) -> None:
        """What waits for the store to ``pa`` can be loaded again after an invalidation."""
        told: set[tuple[i64, i64, i64]] = set()
        for fact in self.waiting.facts[pa]:
            unseen = fact.context in reached and fact.loaded_until() == FOREVER
            if not unseen or not self._is_covered(fact, first, last, scope):
                continue
            context = self.links.contexts[fact.context]
            fact.seen(self.observed.now - 1)
            one = (fact.level, fact.first, fact.word)
            if len(reached) == 1 or one not in told:
                told.add(one)
                self.observed.observe(
                    ISSUED_UNSEEN, fact.level, fact.first, fact.word, 0, pa, context.space
                )

    def _is_covered(self, fact: Fact, first: i64, last: i64, scope: i64) -> bool:
        """Whether an invalidation is meant for ``fact``, or for leaves that it leads to.

        It is not where memory holds the entry again.
        """
        if fact.first > last or fact.last < first or self._is_current(fact):
            return False
        if fact.table < 0:
            return (scope & SCOPE_LEAF) != 0
        tlb = self.links.contexts[fact.context].tlb
        return (scope & SCOPE_WALK) != 0 or tlb.leads_to_leaves(fact, first, last)

    def _is_current(self, fact: Fact) -> bool:
        """Whether memory leads to what ``fact`` says, too."""
        space = self.links.spaces[self.links.contexts[fact.context].space]
        if fact.table < 0:
            level, word = space.walker.translate(fact.first)
            return level == fact.level and self.links.geometry.format.same(level, word, fact.word)
        page = self.links.memory.pages.get(fact.table)
        if page is None:
            return False
        for path in page.paths:
            if (
                path.fact < 0
                and path.level == fact.level + 1
                and path.va == fact.first
                and self.links.roots[path.owner].space is space
            ):
                return True
        return False

    def complete(self, ticket: i64) -> None:
        """An invalidation has completed: what it is for is cached no more."""
        issued = self.tickets.pop(ticket, None)
        if issued is None:
            return
        for context in issued.contexts:
            if not context.tlb.is_empty():
                context.tlb.invalidate(issued.first, issued.last, issued.scope, issued.event)
