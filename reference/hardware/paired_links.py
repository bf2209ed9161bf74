"""Which entry of paired tables leads to which table, in memory and through what is cached.

An entry may have two halves, each of which leads to a table of its own: one for large pages and
one for small ones, side by side. A table's level follows from what leads to it. Links exist once a
machine; one that was replaced counts for the contexts that could walk there until the next
invalidation of theirs, as they may have the entry cached.

Source: formats.md D.1, D.2, D.5, F.1, F.3.
"""

from mypy_extensions import i64

from reference.formats.entry import TABLE, Half
from reference.formats.format import Format
from reference.hardware.memory import POISON
from reference.hardware.observation import (
    LINKED_TWICE,
    PUBLISHED_NOTHING,
    PUBLISHED_SHORT,
    PUBLISHED_UNWRITTEN,
    Observed,
)
from reference.hardware.packed_memory import Link, PackedMemory, Table
from reference.hardware.paired_context import PairedContext


class Place:
    """Where the walks of one context can come to a table."""

    def __init__(self, context: PairedContext, bases: list[i64]) -> None:
        self.context: PairedContext = context
        """The context."""
        self.bases: list[i64] = bases
        """The first addresses that the table translates there; one at least."""


class PairedLinks:
    """The ways to all tables of a machine."""

    def __init__(
        self, fmt: Format, apertures: list[i64], memory: PackedMemory, observed: Observed
    ) -> None:
        self.format: Format = fmt
        """How tables are laid out."""
        self.apertures: list[i64] = apertures
        """What an entry that leads to a table says of the memory that all tables are in. One
        with something else leads to memory that is no table."""
        self.memory: PackedMemory = memory
        """The machine's."""
        self.observed: Observed = observed
        """The machine's."""
        self.contexts: list[PairedContext] = []
        """By number."""
        self.by_child: dict[i64, list[Link]] = {}
        """By the address of the child."""
        self.epoch: i64 = 0
        """Grows with each change of the links."""

    # -- tables and contexts ------------------------------------------------------------------

    def add_context(self) -> PairedContext:
        """A context more, which walks nothing yet."""
        context = PairedContext(len(self.contexts))
        self.contexts.append(context)
        return context

    def attach(self, context: PairedContext, root: i64) -> None:
        """The walks of a context begin at ``root`` from now on; -1: it walks no more."""
        context.root = root
        self.epoch += 1
        table = self.memory.tables.get(root)
        if table is not None:
            self.become(table, 0)

    def is_root(self, pa: i64) -> bool:
        """Whether walks of a context begin here."""
        for context in self.contexts:
            if context.root == pa:
                return True
        return False

    def place(self, table: Table) -> None:
        """A table was allocated, which something may lead to already."""
        if self.is_root(table.pa):
            table.number = 0
        elif table.pa in self.by_child:
            table.number = self.by_child[table.pa][0].number

    def drop(self, table: Table) -> None:
        """The table is no more. Nothing is reached through it; what leads to it stays."""
        for link in table.out.values():
            self._unlist(link)
        table.out.clear()
        for context in self.contexts:
            kept: list[Link] = []
            for link in context.stale:
                # What a cached entry leads to was told when the table was freed.
                if link.parent is table or link.child == table.pa:
                    self._unlist(link)
                else:
                    kept.append(link)
            context.stale = kept
        self.epoch += 1

    def invalidated(self, context: PairedContext, started: i64) -> None:
        """A context has nothing cached any more that was replaced before event ``started``."""
        context.forget_changes(started)
        count: i64 = 0
        for link in context.stale:
            if link.broken >= started:
                break
            link.cached_in.remove(context.number)
            if not link.cached_in:
                self._unlist(link)
            count += 1
        if count > 0:
            del context.stale[:count]
            self.epoch += 1

    def _unlist(self, link: Link) -> None:
        """Take a link out of the list of those that lead to its child."""
        listed = self.by_child.get(link.child)
        if listed is not None and link in listed:
            listed.remove(link)
            if not listed:
                del self.by_child[link.child]

    def child(self, half: Half, word: i64) -> i64:
        """The address of the table that a half of this word leads to; -1: none, or elsewhere."""
        if half.child < 0 or half.role(word) != TABLE:
            return -1
        if half.aperture(word) not in self.apertures:
            return -1
        return half.output(word)

    # -- making and breaking links ----------------------------------------------------------

    def relink(
        self, table: Table, entry: i64, part: i64, old: i64, new: i64, places: list[Place]
    ) -> None:
        """Word ``part`` of a directory's entry changed: break and make its links.

        ``places``: where the table can be come to.
        """
        one = self.format.tables[table.number]
        key: i64 = entry * 2
        for half in one.halves:
            if half.word == part:
                before: i64 = -1 if old == POISON else self.child(half, old)
                after: i64 = -1 if new == POISON else self.child(half, new)
                if before != after:
                    if before >= 0:
                        self._break(table, key, places)
                    if after >= 0:
                        self._make(table, half, entry, key, after)
                if places and new != POISON and half.role(new) == TABLE:
                    va: i64 = places[0].bases[0] + (entry << one.shift)
                    if before != after or after < 0:
                        self._publish(half.child, after, va, old, new)
            key += 1

    def _break(self, table: Table, key: i64, places: list[Place]) -> None:
        """Memory leads through this half no more; a cached entry may, where it was walked."""
        link = table.out.pop(key, None)
        if link is None:
            return
        self.epoch += 1
        link.broken = self.observed.now
        for place in places:
            link.cached_in.append(place.context.number)
            place.context.stale.append(link)
        if not places:
            self._unlist(link)

    def _make(self, table: Table, half: Half, entry: i64, key: i64, child: i64) -> None:
        link = Link(table, table.number, entry, child, half.child)
        self.epoch += 1
        table.out[key] = link
        listed = self.by_child.get(child)
        if listed is None:
            self.by_child[child] = [link]
        else:
            listed.append(link)
        target = self.memory.tables.get(child)
        if target is None or target.number == half.child or self.is_root(child):
            return
        if target.number < 0 or len(self.by_child[child]) == 1:
            self.become(target, half.child)

    def become(self, table: Table, number: i64) -> None:
        """The table is of this level now: its entries lead on from there."""
        for link in table.out.values():
            self._unlist(link)
        table.out.clear()
        table.number = number
        one = self.format.tables[number]
        if not one.has_children or table.nonzero == 0:
            return
        index: i64 = 0
        nowhere: list[Place] = []
        for word in table.words:
            entry: i64 = index if one.words == 1 else index >> 1
            part: i64 = 0 if one.words == 1 else index & 1
            if entry >= one.entries:
                break
            if word != 0 and word != POISON:
                self.relink(table, entry, part, POISON, word, nowhere)
            index += 1

    # -- where tables can be come to --------------------------------------------------------

    def bases(self, context: PairedContext, table: Table) -> list[i64]:
        """The addresses at which a context's walk can come to a table, cached entries included.

        Mostly there is one, or none.
        """
        if table.number < 0:
            return []
        return self._bases(context, table, table.number)

    def _bases(self, context: PairedContext, table: Table, number: i64) -> list[i64]:
        """The same, as a table of this level, which it may be no more."""
        if table.bases_at != self.epoch:
            table.bases.clear()
            table.bases_at = self.epoch
        known = table.bases.get(context.number)
        if known is not None and table.number == number:
            return known
        found: list[i64] = []
        if number == 0:
            if table.pa == context.root:
                found.append(0)
        else:
            for link in self.by_child.get(table.pa, []):
                if link.number != number:
                    continue
                if link.broken >= 0 and context.number not in link.cached_in:
                    continue
                shift = self.format.tables[link.above].shift
                for base in self._bases(context, link.parent, link.above):
                    va: i64 = base + (link.entry << shift)
                    if va not in found:
                        found.append(va)
        if table.number == number:
            table.bases[context.number] = found
        return found

    def places(self, table: Table) -> list[Place]:
        """Where the walks of each context can come to a table, cached entries included."""
        found: list[Place] = []
        for context in self.contexts:
            bases = self.bases(context, table)
            if bases:
                found.append(Place(context, bases))
        return found

    def is_reachable(self, pa: i64, number: i64) -> bool:
        """Whether memory, without cached entries, leads from a root to the table at ``pa``."""
        if number == 0:
            return self.is_root(pa)
        listed = self.by_child.get(pa)
        if listed is not None:
            for link in listed:
                if (
                    link.broken < 0
                    and link.number == number
                    and self.is_reachable(link.parent.pa, link.above)
                ):
                    return True
        return False

    def _publish(self, number: i64, pa: i64, va: i64, old: i64, new: i64) -> None:
        """A walk can come to a table of this number at ``pa`` (-1: in another aperture).

        Are it, and all tables behind it, complete? ``va``: first address of the entry that leads
        there; ``old``, ``new``: its words.
        """
        for kind in (PUBLISHED_UNWRITTEN, PUBLISHED_NOTHING, PUBLISHED_SHORT, LINKED_TWICE):
            self.observed.counts[kind] += 1
        table = self.memory.tables.get(pa)
        if table is None:
            self.observed.observe(PUBLISHED_NOTHING, number, va, old, new, pa, 0)
            return
        one = self.format.tables[number]
        needed: i64 = one.entries * one.words
        if len(table.words) < needed:
            self.observed.observe(PUBLISHED_SHORT, number, va, old, new, pa, 0)
        if table.unwritten > 0 and POISON in table.words[:needed]:
            self.observed.observe(PUBLISHED_UNWRITTEN, number, va, old, new, pa, 0)
        if self.is_root(pa) or table.number != number or self._led_to(pa) > 1:
            self.observed.observe(LINKED_TWICE, number, va, old, new, pa, 0)
            return
        for link in table.out.values():
            below: i64 = va + (link.entry << one.shift)
            self._publish(link.number, link.child, below, old, new)

    def _led_to(self, pa: i64) -> i64:
        """How many entries in reachable tables lead to the table at ``pa``."""
        found: i64 = 0
        for link in self.by_child[pa]:
            if link.broken < 0 and self.is_reachable(link.parent.pa, link.above):
                found += 1
        return found

    def unreachable(self) -> list[Table]:
        """Tables that no walk comes to, cached entries included, by address."""
        tables = self.memory.tables
        return [tables[pa] for pa in sorted(tables) if not self.places(tables[pa])]
