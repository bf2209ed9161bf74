"""A machine with paired tables: table memory and the links in it, once, and all who walk there.

``PairedMachine.feed`` takes the events of a trace one after the other, as
:class:`reference.hardware.machine.Machine` does for tables of one size, each entry of which leads
to one table at most. It judges nothing. What is worth a rule's attention becomes an
``Observation``, and ``counts`` says how often there could have been one.

That invalid entries are cached is not stated by anybody; drivers invalidate after a map, too,
and the model takes them at their word. ``Change.how`` tells such changes apart.

The device walks from the root from when the root is written: whoever made an address space may
hand it to the device at any time after that.

Source: formats.md D.1 to D.5, F.1; semantics.md, "The maximal TLB".
"""

from mypy_extensions import i64

from reference.formats.format import Format
from reference.hardware.memory import POISON, Visibility
from reference.hardware.observation import (
    ALLOCATED_TWICE,
    FREED_CACHED,
    FREED_LINKED,
    FREED_ROOT,
    FREED_UNKNOWN,
    OBSERVATIONS,
    STORED_FREED,
    STORED_OUTSIDE,
    Observed,
)
from reference.hardware.packed_memory import PackedMemory, Table
from reference.hardware.paired_context import Change, PairedContext, how_changed
from reference.hardware.paired_links import PairedLinks
from reference.trace import ALLOC, BARRIER, BARRIER_FULL, FILL, FREE, STORE


class PairedMachine(Observed):
    """Memory, links and contexts, kept up to date by events."""

    def __init__(self, fmt: Format, apertures: list[i64], kinds: i64 = OBSERVATIONS) -> None:
        super().__init__(kinds)
        self.format: Format = fmt
        """How tables are laid out."""
        self.memory: PackedMemory = PackedMemory()
        """The tables."""
        self.visibility: Visibility = Visibility(True)
        """Whether stores to them are sure to be seen; whoever walks snoops the CPU's caches."""
        self.last_store: i64 = -1
        """Number of the event of the last store."""
        self.links: PairedLinks = PairedLinks(fmt, apertures, self.memory, self)
        """Which entry leads to which table."""
        self.contexts: list[PairedContext] = self.links.contexts
        """By number."""
        self.current: PairedContext = self.links.add_context()
        """Whose root the first table is that is allocated while it has none."""

    def take(self, kind: i64, a: i64, b: i64, c: i64) -> None:
        """Take one event, which has number ``now``."""
        if kind == STORE:
            self.last_store = self.now
            self._store(a, c)
        elif kind == FILL:
            self._fill(a, b, c)
        elif kind == BARRIER:
            if a == BARRIER_FULL:
                self.visibility.full_barrier = self.now
        elif kind == ALLOC:
            self._allocate(a, b)
        elif kind == FREE:
            self._free(a)

    def is_unseen(self) -> bool:
        """Whether a store may not be visible to those who walk yet."""
        return self.last_store > self.visibility.full_barrier

    # -- memory -----------------------------------------------------------------------------

    def _allocate(self, pa: i64, size: i64) -> None:
        self.counts[ALLOCATED_TWICE] += 1
        last: i64 = pa + size - 1
        other = self.memory.reaching_into(pa, last)
        while other is not None:
            self.observe(ALLOCATED_TWICE, other.number, -1, 0, 0, other.pa, 0)
            self.links.drop(other)
            self.memory.remove(other)
            other = self.memory.reaching_into(pa, last)
        table = self.memory.allocate(pa, size)
        if self.current.root < 0:
            self.links.attach(self.current, pa)
        else:
            self.links.place(table)

    def _free(self, pa: i64) -> None:
        self.counts[FREED_UNKNOWN] += 1
        table = self.memory.tables.get(pa)
        if table is None:
            self.observe(FREED_UNKNOWN, -1, -1, 0, 0, pa, 0)
            return
        if self.links.is_root(pa):
            self._free_root(table)
        else:
            self.counts[FREED_LINKED] += 1
            self.counts[FREED_CACHED] += 1
            places = self.links.places(table)
            if places:
                linked = self.links.is_reachable(pa, table.number)
                kind: i64 = FREED_LINKED if linked else FREED_CACHED
                self.observe(kind, table.number, places[0].bases[0], 0, 0, pa, 0)
        self.links.drop(table)
        self.memory.free(table)

    def _free_root(self, table: Table) -> None:
        """Nobody walks from it any more, and what is cached is of what is gone."""
        self.counts[FREED_ROOT] += 1
        walking = [one for one in self.contexts if one.root == table.pa]
        changed = False
        for context in walking:
            changed = changed or len(context.changes) > 0
        if table.out or changed:
            self.observe(FREED_ROOT, table.number, 0, 0, 0, table.pa, 0)
        for context in walking:
            self.links.invalidated(context, self.now + 1)
            self.links.attach(context, -1)

    # -- stores -----------------------------------------------------------------------------

    def _store(self, pa: i64, new: i64) -> None:
        self.counts[STORED_FREED] += 1
        self.counts[STORED_OUTSIDE] += 1
        table = self.memory.table_of(pa)
        if table is None:
            freed = self.memory.was_freed(pa)
            self.observe(STORED_FREED if freed else STORED_OUTSIDE, -1, -1, 0, new, pa, 0)
            return
        index: i64 = (pa - table.pa) >> 3
        old = table.set(index, new)
        if table.number >= 0 and old != new:
            self._changed(table, index, old, new)

    def _fill(self, pa: i64, size: i64, word: i64) -> None:
        table = self.memory.table_of(pa)
        if (
            table is not None
            and table.pa == pa
            and size >= table.size
            and self._unseen(table, word)
        ):
            table.fill(word)
            if size == table.size:
                return
            size -= table.size
            pa += table.size
        end: i64 = pa + size
        while pa < end:
            # Memory that is no table is observed once.
            outside = self.memory.table_of(pa) is None
            self._store(pa, word)
            if outside:
                return
            pa += 8

    def _unseen(self, table: Table, word: i64) -> bool:
        """Whether no walk can see it if every word of a table becomes ``word``.

        True of tables that nothing leads to, and of a root that is zeroed.
        """
        if table.number < 0:
            return True
        return table.number == 0 and word == 0 and table.unwritten == len(table.words)

    def _changed(self, table: Table, index: i64, old: i64, new: i64) -> None:
        """A word of a table that has a level is another now."""
        number = table.number
        one = self.format.tables[number]
        entry: i64 = index
        part: i64 = 0
        if one.words == 2:
            entry = index >> 1
            part = index & 1
        if entry >= one.entries:
            return
        places = self.links.places(table)
        if one.has_children:
            self.links.relink(table, entry, part, old, new, places)
        if not places or (old == POISON and number == 0):
            # Nobody walks: from no other table, or not yet from a root with this unwritten.
            return
        if old != POISON and self.format.same(number, old, new, part):
            return
        how = how_changed(one, part, old, new)
        for place in places:
            for base in place.bases:
                first: i64 = base + (entry << one.shift)
                last: i64 = first + one.span - 1
                change = Change(self.now, first, last, table, index, old, new)
                change.table = number
                change.part = part
                change.how = how
                place.context.changes.append(change)
