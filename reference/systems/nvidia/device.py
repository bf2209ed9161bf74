"""NVIDIA's MMU: table memory, the walk, the invalidation registers, and what may be cached.

``NvidiaMmu.feed`` takes the events of a trace one after the other. It judges nothing. What is
worth a rule's attention becomes an ``NvidiaObservation``, and ``counts`` says how often there
could have been one. ``translate`` walks the tables as memory holds them now.

The cache is *maximal*. Every entry, valid or not, page or directory, counts as cached from when
a walk could see it until an invalidation of its address space (its PDB: the root's address) has
completed that was started after the entry was replaced. An invalidation has no narrower scope.
So the cache needs no list of what is in it: memory says what is cached of what has not changed,
and ``changes`` says what did change since the last completed invalidation. In the same way,
a table counts as reachable through an entry that was replaced, until then.

That invalid entries are cached is not stated by anybody; drivers invalidate after a map, too,
and the model takes them at their word. ``Change.how`` tells such changes apart.

The device walks from the root from when the root is written: whoever made an address space may
hand it to the device at any time after that.

Source: formats.md D.1 to D.5, D.7, F.1; semantics.md, "The maximal TLB".
"""

from typing import Final

from mypy_extensions import i64

from reference.formats.entry import HOLE, INVALID, LEAF, SPARSE, TABLE, Half
from reference.formats.format import Format, Level
from reference.formats.nvidia import VRAM, access_in, aperture_in, storage_in, table_aperture
from reference.hardware.memory import POISON
from reference.sorted_keys import SortedKeys
from reference.systems.nvidia.translations import (
    ARBITRARY,
    MAPPED,
    NOTHING,
    ZEROS,
    NvidiaTranslations,
    Piece,
)
from reference.trace import ALLOC, FILL, FREE, REG_READ, REG_WRITE, STORE, WORDS

# -- registers ----------------------------------------------------------------------------

STATUS: Final = 0x100C80
"""Bits 23:16: free slots for invalidations; bit 15: all that were started are over."""
SELECT: Final = 0x100CB8
"""The PDB to invalidate: bits 39:12 of the root's address at 31:4, its aperture at 1:0."""
START: Final = 0x100CBC
"""Bit 31 starts an invalidation; the rest is its type."""
SELECT_HIGH: Final = 0x100CEC
"""From GP100 on: the bits of SELECT from 32 up, for roots at 2**40 and above."""

STATUS_SLOTS: Final = 0xFF0000
STATUS_DONE: Final = 0x8000
START_NOW: Final = 0x80000000

PAGE_ALL: Final = 1
"""Type: all pages. Without it, those that other registers name."""
ALL_PDB: Final = 2
"""Type: all address spaces; SELECT does not count."""
HUB_ONLY: Final = 4
"""Type: in the hub's caches only, which is where BAR accesses go."""


def pdb_of(root: int, aperture: int = VRAM) -> tuple[int, int]:
    """SELECT and SELECT_HIGH for the root table at ``root``, 0 to 2**52-1, a multiple of 4096."""
    word = root >> 12 << 4 | aperture
    return word & 0xFFFF_FFFF, word >> 32


class Invalidation:
    """One invalidation: its type; when it was started and seen to be over (-1: not yet).

    ``covers``: whether it covers all that may be cached of the address space.
    """

    def __init__(self, kind: i64, started: i64, covers: bool) -> None:
        self.kind: i64 = kind
        self.started: i64 = started
        self.completed: i64 = -1
        self.covers: bool = covers


# -- what can be observed -----------------------------------------------------------------

PUBLISHED_UNWRITTEN: Final = 0
"""A table became reachable that has words which nobody wrote."""
PUBLISHED_NOTHING: Final = 1
"""A directory entry leads to where no table is."""
PUBLISHED_SHORT: Final = 2
"""A table became reachable that has fewer entries than a walk can ask for."""
LINKED_TWICE: Final = 3
"""A table became reachable that memory leads to already, from another entry."""
FREED_LINKED: Final = 4
"""A table was freed that memory still leads to."""
FREED_CACHED: Final = 5
"""A table was freed that a directory entry leads to which may still be cached."""
FREED_UNKNOWN: Final = 6
"""Memory was freed that is no table."""
FREED_ROOT: Final = 7
"""The root was freed while something was linked in it, or not invalidated."""
STORED_FREED: Final = 8
"""A store to a table that was freed."""
STORED_OUTSIDE: Final = 9
"""A store to memory that never was a table."""
ALLOCATED_TWICE: Final = 10
"""Memory was handed out for a table that is one already."""
STARTED_BUSY: Final = 11
"""An invalidation was started before those before it were seen to be over."""
STARTED_FULL: Final = 12
"""An invalidation was started and no free slot was seen since the one before."""
STARTED_OTHER: Final = 13
"""An invalidation was started for another PDB than that of the root."""
STARTED_UNSELECTED: Final = 14
"""An invalidation was started before any PDB was selected."""
STARTED_NARROW: Final = 15
"""An invalidation was started that does not cover all pages, or not all caches."""
SELECTED_BUSY: Final = 16
"""The PDB was selected while an invalidation may be under way."""
OBSERVATIONS: Final = 17

OBSERVATION_NAMES: Final = (
    "published unwritten",
    "published nothing",
    "published short",
    "linked twice",
    "freed linked",
    "freed cached",
    "freed unknown",
    "freed root",
    "stored freed",
    "stored outside",
    "allocated twice",
    "started busy",
    "started full",
    "started other",
    "started unselected",
    "started narrow",
    "selected busy",
)


class NvidiaObservation:
    """Something that a rule may object to.

    ``kind``: one of the numbers above; ``event``: number of the event, from the start of the
    example; ``table``: number of the table concerned in the format, -1 if none; ``va``: first
    address of the entry or table concerned, -1 if none; ``old``, ``new``: words of the entry, or
    in ``new`` the value written to a register; ``pa``: of the table or word concerned, or -1.
    """

    def __init__(
        self, kind: i64, event: i64, table: i64, va: i64, old: i64, new: i64, pa: i64
    ) -> None:
        self.kind: i64 = kind
        self.event: i64 = event
        self.table: i64 = table
        self.va: i64 = va
        self.old: i64 = old
        self.new: i64 = new
        self.pa: i64 = pa

    def __repr__(self) -> str:
        return (
            f"NvidiaObservation({OBSERVATION_NAMES[self.kind]} at event {self.event}, "
            f"table {self.table}, va {self.va:#x}, pa {self.pa:#x})"
        )


# -- changes ------------------------------------------------------------------------------

MARKED: Final = 0
"""Between unmapped and hole: nothing is translated by this entry before or after."""
GREW: Final = 1
"""Out of nothing (unmapped, or hole) came a page, a table or sparseness."""
SHRANK: Final = 2
"""A page, a table or sparseness became nothing."""
REPLACED: Final = 3
"""Something became something else."""

HOW_NAMES: Final = ("marked", "grew", "shrank", "replaced")


class Change:
    """A word that a walk could see was replaced, and may still be cached.

    ``event``: number of the store; ``first``..``last``: the addresses that its entry translates;
    ``table``: number of the table in the format; ``pa``, ``old``, ``new``: of the word;
    ``part``: which word of its entry, 0 or 1; ``how``: MARKED, GREW, SHRANK or REPLACED, the
    last of them that is true of a half; ``holder``: the table.
    """

    def __init__(
        self,
        event: i64,
        first: i64,
        last: i64,
        table: i64,
        part: i64,
        pa: i64,
        old: i64,
        new: i64,
        how: i64,
        holder: "Table",
    ) -> None:
        self.event: i64 = event
        self.first: i64 = first
        self.last: i64 = last
        self.table: i64 = table
        self.part: i64 = part
        self.pa: i64 = pa
        self.old: i64 = old
        self.new: i64 = new
        self.how: i64 = how
        self.holder: Table = holder

    def __repr__(self) -> str:
        return (
            f"Change(event {self.event}, {self.first:#x}..{self.last:#x} {HOW_NAMES[self.how]}, "
            f"table {self.table}, pa {self.pa:#x})"
        )


class Table:
    """Memory of one table.

    ``words``: held; ``unwritten``: how many of them nobody wrote; ``nonzero``: how many are
    neither that nor 0; ``number``: its number in the format, -1 while nothing leads to it;
    ``out``: the links from its entries, by word index * 2 + half.
    """

    def __init__(self, pa: i64, size: i64) -> None:
        entries: i64 = size >> 3
        self.pa: i64 = pa
        self.size: i64 = size
        self.words: list[i64] = [POISON] * entries
        self.unwritten: i64 = entries
        self.nonzero: i64 = 0
        self.number: i64 = -1
        self.out: dict[i64, Link] = {}
        # Where the table is in the address space, as of links' state ``bases_at``.
        self.bases: list[i64] = []
        self.bases_at: i64 = -1

    def set(self, index: i64, word: i64) -> i64:
        """Write one word and return what it held; 0 <= index < len(words)."""
        old: i64 = self.words[index]
        self.words[index] = word
        if old == POISON:
            self.unwritten -= 1
        elif old != 0:
            self.nonzero -= 1
        if word != 0:
            self.nonzero += 1
        return old

    def fill(self, word: i64) -> None:
        """Write every word."""
        count: i64 = len(self.words)
        self.words = [word] * count
        self.unwritten = 0
        self.nonzero = count if word != 0 else 0


class Link:
    """Half ``half`` of entry ``entry`` of ``parent`` leads to the table at ``child``.

    ``number``: that of the child in the format; ``broken``: the event that replaced it, -1
    while memory holds it.
    """

    def __init__(self, parent: Table, above: i64, entry: i64, child: i64, number: i64) -> None:
        self.parent: Table = parent
        self.above: i64 = above
        self.entry: i64 = entry
        self.child: i64 = child
        self.number: i64 = number
        self.broken: i64 = -1


class Translation:
    """What the walk of ``va`` finds.

    ``what``: NOTHING, ZEROS, MAPPED or ARBITRARY (the walk met a word that nobody wrote, or
    memory that is no table); ``pa``: where ``va`` leads, or -1; ``meaning``: of the page, or 0;
    ``first``..``last``: the addresses that the same entry translates; ``table``: number of the
    table in which the walk ended, -1: outside the address space; ``entry``: pa of its first word;
    ``page_shift``: log2 of the bytes that it translates; ``word``: the word that decided;
    ``beside``: whether there is a large table at ``va``.
    """

    def __init__(self, va: i64) -> None:
        self.va: i64 = va
        self.what: i64 = NOTHING
        self.pa: i64 = -1
        self.meaning: i64 = 0
        self.first: i64 = va
        self.last: i64 = va
        self.table: i64 = -1
        self.entry: i64 = -1
        self.word: i64 = 0
        self.page_shift: i64 = 0
        self.beside: bool = False

    @property
    def aperture(self) -> i64:
        """The page's aperture: VRAM, PEER, HOST or NCOH."""
        return aperture_in(self.meaning)

    @property
    def access(self) -> i64:
        """The page's access: READ_ONLY and the like, or'ed."""
        return access_in(self.meaning)

    @property
    def storage(self) -> i64:
        """The page's kind of storage."""
        return storage_in(self.meaning)

    def same(self, other: "Translation") -> bool:
        """Whether both say the same of their address."""
        return self.what == other.what and self.pa == other.pa and self.meaning == other.meaning


class NvidiaDifference:
    """An address at which walk and promise differ: what each says (None: nothing promised)."""

    def __init__(self, va: i64, found: Translation, promised: Piece | None) -> None:
        self.va: i64 = va
        self.found: Translation = found
        self.promised: Piece | None = promised


class NvidiaMmu:
    """One address space, kept up to date by events.

    Args:
        fmt: its format.
        tables_in: the aperture that all tables are in. An entry with another one leads to
            memory that is no table.

    ``root``: the root's address, -1 while there is none: the first table allocated, unless
    ``attach`` says another. ``gpc``: whether more than the hub (which serves the BARs) walks
    the tables; where it does, an invalidation of the hub's caches covers too little.
    """

    def __init__(self, fmt: Format, tables_in: int = VRAM) -> None:
        self.format: Format = fmt
        self.tables_in: i64 = tables_in
        self.has_select_high: bool = fmt.last_directory > 0
        self.root: i64 = -1
        self.gpc: bool = True
        self.now: i64 = 0
        self.observations: list[NvidiaObservation] = []
        self.counts: list[i64] = [0] * OBSERVATIONS
        # Memory. ``starts`` and ``freed_starts``: the keys of the two below, in order.
        self.tables: dict[i64, Table] = {}
        self.starts: SortedKeys = SortedKeys()
        self.freed: dict[i64, i64] = {}
        self.freed_starts: SortedKeys = SortedKeys()
        self.last_table: Table | None = None
        # Links by the address of the child; those that were replaced, in order of ``broken``.
        self.links: dict[i64, list[Link]] = {}
        self.stale: list[Link] = []
        self.epoch: i64 = 0
        # What was replaced and may be cached, in order of ``event``.
        self.changes: list[Change] = []
        # Registers.
        self.select: i64 = 0
        self.select_high: i64 = 0
        self.selected: bool = False
        self.slot_seen: bool = False
        self.running: list[Invalidation] = []
        self.invalidations: list[Invalidation] = []

    # -- feeding ----------------------------------------------------------------------------

    def feed(self, words: list[int], start: i64) -> None:
        """Take the events of a flat trace from event number ``start`` to its end."""
        position: i64 = start * WORDS
        end: i64 = len(words)
        while position < end:
            kind: i64 = words[position] & 0xFFFF
            a: i64 = words[position + 1]
            b: i64 = words[position + 2]
            c: i64 = words[position + 3]
            position += WORDS
            self.take(kind, a, b, c)
            self.now += 1

    def take(self, kind: i64, a: i64, b: i64, c: i64) -> None:
        """Take one event, which has number ``now``."""
        if kind == STORE:
            self._store(a, c)
        elif kind == FILL:
            self._fill(a, b, c)
        elif kind == REG_READ:
            self._read(a, b)
        elif kind == REG_WRITE:
            self._written(a, b)
        elif kind == ALLOC:
            self._allocate(a, b)
        elif kind == FREE:
            self._free(a)

    def attach(self, root: i64) -> None:
        """The walk begins at ``root`` from now on."""
        self.root = root
        self.epoch += 1
        table = self.tables.get(root)
        if table is not None:
            self._become(table, 0)

    def _observe(self, kind: i64, table: i64, va: i64, old: i64, new: i64, pa: i64) -> None:
        self.observations.append(NvidiaObservation(kind, self.now, table, va, old, new, pa))

    # -- memory -----------------------------------------------------------------------------

    def table_of(self, pa: i64) -> Table | None:
        """The table that has the byte at ``pa``; None if there is none."""
        last = self.last_table
        if last is not None and last.pa <= pa < last.pa + last.size:
            return last
        start: i64 = self.starts.at_or_before(pa)
        if start < 0:
            return None
        found = self.tables[start]
        if pa >= found.pa + found.size:
            return None
        self.last_table = found
        return found

    def was_freed(self, pa: i64) -> bool:
        """Whether ``pa`` lies in a table that was freed, and is in none now."""
        start: i64 = self.freed_starts.at_or_before(pa)
        if start < 0:
            return False
        size: i64 = self.freed[start]
        return pa < start + size

    def _allocate(self, pa: i64, size: i64) -> None:
        self.counts[ALLOCATED_TWICE] += 1
        last: i64 = pa + size - 1
        while True:
            before: i64 = self.starts.at_or_before(last)
            if before < 0 or before + self.tables[before].size <= pa:
                break
            other = self.tables[before]
            self._observe(ALLOCATED_TWICE, other.number, -1, 0, 0, before)
            self._remove(other)
        first: i64 = self.freed_starts.at_or_before(pa)
        if first >= 0 and first + self.freed[first] > pa:
            self._forget_freed(first)
        for start in self.freed_starts.between(pa, last):
            self._forget_freed(start)
        table = Table(pa, size)
        self.tables[pa] = table
        self.starts.add(pa)
        if self.root < 0:
            self.root = pa
            self.epoch += 1
        if pa == self.root:
            table.number = 0
        elif pa in self.links:
            table.number = self.links[pa][0].number

    def _forget_freed(self, start: i64) -> None:
        self.freed_starts.remove(start)
        del self.freed[start]

    def _free(self, pa: i64) -> None:
        self.counts[FREED_UNKNOWN] += 1
        table = self.tables.get(pa)
        if table is None:
            self._observe(FREED_UNKNOWN, -1, -1, 0, 0, pa)
            return
        number = table.number
        if pa == self.root:
            self.counts[FREED_ROOT] += 1
            if table.out or self.changes:
                self._observe(FREED_ROOT, number, 0, 0, 0, pa)
            # Nobody walks any more, and what is cached is of an address space that is gone.
            self.assume_invalidated()
            self.root = -1
        else:
            self.counts[FREED_LINKED] += 1
            self.counts[FREED_CACHED] += 1
            bases = self._bases(table, pa, number)
            if bases:
                linked = self._reachable(pa, number)
                kind: i64 = FREED_LINKED if linked else FREED_CACHED
                self._observe(kind, number, bases[0], 0, 0, pa)
        self._remove(table)
        if pa not in self.freed:
            self.freed_starts.add(pa)
        self.freed[pa] = table.size

    def _remove(self, table: Table) -> None:
        """The table is no more. Nothing is reached through it; what leads to it stays."""
        for link in table.out.values():
            self._unlist(link)
        table.out.clear()
        kept: list[Link] = []
        for link in self.stale:
            # What a cached entry leads to was told when the table was freed.
            if link.parent is table or link.child == table.pa:
                self._unlist(link)
            else:
                kept.append(link)
        self.stale = kept
        self.epoch += 1
        del self.tables[table.pa]
        self.starts.remove(table.pa)
        self.last_table = None

    def _unlist(self, link: Link) -> None:
        """Take a link out of the list of those that lead to its child."""
        listed = self.links.get(link.child)
        if listed is not None and link in listed:
            listed.remove(link)
            if not listed:
                del self.links[link.child]

    # -- stores -----------------------------------------------------------------------------

    def _store(self, pa: i64, new: i64) -> None:
        self.counts[STORED_FREED] += 1
        self.counts[STORED_OUTSIDE] += 1
        table = self.table_of(pa)
        if table is None:
            freed = self.was_freed(pa)
            self._observe(STORED_FREED if freed else STORED_OUTSIDE, -1, -1, 0, new, pa)
            return
        index: i64 = (pa - table.pa) >> 3
        old = table.set(index, new)
        if table.number >= 0 and old != new:
            self._changed(table, index, old, new)

    def _fill(self, pa: i64, size: i64, word: i64) -> None:
        table = self.table_of(pa)
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
            outside = self.table_of(pa) is None
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
        """A word of a table that has a place in the format is another now."""
        number = table.number
        one = self.format.tables[number]
        entry: i64 = index
        part: i64 = 0
        if one.words == 2:
            entry = index >> 1
            part = index & 1
        if entry >= one.entries:
            return
        bases = self._bases(table, table.pa, number)
        if one.has_children:
            self._relink(table, one, entry, part, old, new, bases)
        if not bases or (old == POISON and number == 0):
            # Nobody walks: from no other table, or not yet from a root with this unwritten.
            return
        if old != POISON and self.format.same(number, old, new, part):
            return
        how = self._how(one, part, old, new)
        pa: i64 = table.pa + index * 8
        for base in bases:
            first: i64 = base + (entry << one.shift)
            last: i64 = first + one.span - 1
            self.changes.append(
                Change(self.now, first, last, number, part, pa, old, new, how, table)
            )

    def _how(self, one: Level, part: i64, old: i64, new: i64) -> i64:
        """MARKED to REPLACED for word ``part`` of an entry; the highest of its halves."""
        if old == POISON:
            return REPLACED
        found: i64 = MARKED
        for half in one.halves:
            if half.word != part:
                continue
            before = half.candidate(old)
            after = half.candidate(new)
            if before is after and (old ^ new) & before.heeded == 0:
                continue
            how: i64 = REPLACED
            was_nothing = before.role == INVALID or before.role == HOLE
            is_nothing = after.role == INVALID or after.role == HOLE
            if was_nothing and is_nothing:
                how = MARKED
            elif was_nothing:
                how = GREW
            elif is_nothing:
                how = SHRANK
            if how > found:
                found = how
        return found

    # -- links ------------------------------------------------------------------------------

    def _child(self, half: Half, word: i64) -> i64:
        """The address of the table that a half of this word leads to; -1: none, or elsewhere."""
        if half.child < 0 or half.role(word) != TABLE:
            return -1
        if table_aperture(half, word) != self.tables_in:
            return -1
        return half.output(word)

    def _relink(
        self,
        table: Table,
        one: Level,
        entry: i64,
        part: i64,
        old: i64,
        new: i64,
        bases: list[i64],
    ) -> None:
        """Word ``part`` of a directory's entry changed: break and make its links."""
        key: i64 = entry * 2
        for half in one.halves:
            if half.word == part:
                before: i64 = -1 if old == POISON else self._child(half, old)
                after: i64 = -1 if new == POISON else self._child(half, new)
                if before != after:
                    if before >= 0:
                        self._break(table, key, len(bases) > 0)
                    if after >= 0:
                        self._make(table, one, half, entry, key, after)
                if bases and new != POISON and half.role(new) == TABLE:
                    va: i64 = bases[0] + (entry << one.shift)
                    if before != after or after < 0:
                        self._publish(half.child, after, va, old, new)
            key += 1

    def _break(self, table: Table, key: i64, visible: bool) -> None:
        """Memory leads through this half no more; a cached entry may, if it was visible."""
        link = table.out.pop(key, None)
        if link is None:
            return
        self.epoch += 1
        link.broken = self.now
        if visible:
            self.stale.append(link)
        else:
            self._unlist(link)

    def _make(self, table: Table, one: Level, half: Half, entry: i64, key: i64, child: i64) -> None:
        link = Link(table, one.number, entry, child, half.child)
        self.epoch += 1
        table.out[key] = link
        listed = self.links.get(child)
        if listed is None:
            self.links[child] = [link]
        else:
            listed.append(link)
        target = self.tables.get(child)
        if target is None or target.number == half.child or child == self.root:
            return
        if target.number < 0 or len(self.links[child]) == 1:
            self._become(target, half.child)

    def _become(self, table: Table, number: i64) -> None:
        """The table has this place in the format now: its entries lead on from there."""
        for link in table.out.values():
            self._unlist(link)
        table.out.clear()
        table.number = number
        one = self.format.tables[number]
        if not one.has_children or table.nonzero == 0:
            return
        index: i64 = 0
        nothing: list[i64] = []
        for word in table.words:
            entry: i64 = index if one.words == 1 else index >> 1
            part: i64 = 0 if one.words == 1 else index & 1
            if entry >= one.entries:
                break
            if word != 0 and word != POISON:
                self._relink(table, one, entry, part, POISON, word, nothing)
            index += 1

    def _bases(self, table: Table | None, pa: i64, number: i64) -> list[i64]:
        """The addresses at which a walk can come to the table at ``pa``, cached entries included.

        ``number``: the table's in the format. Mostly there is one, or none.
        """
        if number < 0:
            return []
        if table is not None and table.bases_at == self.epoch and table.number == number:
            return table.bases
        found: list[i64] = []
        if number == 0:
            if pa == self.root:
                found.append(0)
        else:
            listed = self.links.get(pa)
            if listed is not None:
                for link in listed:
                    if link.number != number:
                        continue
                    shift = self.format.tables[link.above].shift
                    for base in self._bases(link.parent, link.parent.pa, link.above):
                        va: i64 = base + (link.entry << shift)
                        if va not in found:
                            found.append(va)
        if table is not None and table.number == number:
            table.bases = found
            table.bases_at = self.epoch
        return found

    def bases_of(self, table: Table) -> list[i64]:
        """The addresses at which a walk can come to a table, cached entries included."""
        return self._bases(table, table.pa, table.number)

    def leaves_it(self, word: i64) -> bool:
        """Whether an entry for a large page leaves it to the small table beside it."""
        return self._unmapped(word)

    def _reachable(self, pa: i64, number: i64) -> bool:
        """Whether memory, without cached entries, leads from the root to the table at ``pa``."""
        if number == 0:
            return pa == self.root
        listed = self.links.get(pa)
        if listed is not None:
            for link in listed:
                if (
                    link.broken < 0
                    and link.number == number
                    and self._reachable(link.parent.pa, link.above)
                ):
                    return True
        return False

    def _publish(self, number: i64, pa: i64, va: i64, old: i64, new: i64) -> None:
        """A walk can come to a table of this number at ``pa`` (-1: in another aperture).

        Are it, and all tables behind it, complete? ``va``: first address of the entry that leads
        there; ``old``, ``new``: its words.
        """
        for kind in (PUBLISHED_UNWRITTEN, PUBLISHED_NOTHING, PUBLISHED_SHORT, LINKED_TWICE):
            self.counts[kind] += 1
        table = self.tables.get(pa)
        if table is None:
            self._observe(PUBLISHED_NOTHING, number, va, old, new, pa)
            return
        one = self.format.tables[number]
        needed: i64 = one.entries * one.words
        if len(table.words) < needed:
            self._observe(PUBLISHED_SHORT, number, va, old, new, pa)
        if table.unwritten > 0 and POISON in table.words[:needed]:
            self._observe(PUBLISHED_UNWRITTEN, number, va, old, new, pa)
        if pa == self.root or table.number != number or self._led_to(pa) > 1:
            self._observe(LINKED_TWICE, number, va, old, new, pa)
            return
        for link in table.out.values():
            below: i64 = va + (link.entry << one.shift)
            self._publish(link.number, link.child, below, old, new)

    def _led_to(self, pa: i64) -> i64:
        """How many entries in reachable tables lead to the table at ``pa``."""
        found: i64 = 0
        for link in self.links[pa]:
            if link.broken < 0 and self._reachable(link.parent.pa, link.above):
                found += 1
        return found

    def unreachable(self) -> list[Table]:
        """Tables that no walk comes to, cached entries included, by address."""
        return [
            self.tables[pa]
            for pa in sorted(self.tables)
            if not self._bases(self.tables[pa], pa, self.tables[pa].number)
        ]

    # -- registers --------------------------------------------------------------------------

    def _written(self, register: i64, value: i64) -> None:
        if register == START:
            if value & START_NOW:
                self._start(value & ~START_NOW)
        elif register == SELECT or (register == SELECT_HIGH and self.has_select_high):
            self.counts[SELECTED_BUSY] += 1
            if self.running:
                self._observe(SELECTED_BUSY, -1, -1, 0, value, -1)
            if register == SELECT:
                self.select = value & 0xFFFF_FFFF
                self.selected = True
            else:
                self.select_high = value & 0xFFFF_FFFF

    def _read(self, register: i64, value: i64) -> None:
        if register != STATUS:
            return
        if value & STATUS_SLOTS:
            self.slot_seen = True
        if value & STATUS_DONE and self.running:
            for one in self.running:
                one.completed = self.now
                if one.covers:
                    self._flushed(one.started)
            self.running.clear()

    def _start(self, kind: i64) -> None:
        """An invalidation is started."""
        for counted in (STARTED_BUSY, STARTED_FULL, STARTED_NARROW):
            self.counts[counted] += 1
        if self.running:
            self._observe(STARTED_BUSY, -1, -1, 0, kind, -1)
        if not self.slot_seen:
            self._observe(STARTED_FULL, -1, -1, 0, kind, -1)
        self.slot_seen = False
        narrow = not kind & PAGE_ALL or (self.gpc and bool(kind & HUB_ONLY))
        if narrow:
            self._observe(STARTED_NARROW, -1, -1, 0, kind, -1)
        ours = True
        if not kind & ALL_PDB:
            self.counts[STARTED_OTHER] += 1
            self.counts[STARTED_UNSELECTED] += 1
            word: i64 = self.select | (self.select_high << 32)
            pa: i64 = (word >> 4) << 12
            ours = self.selected and pa == self.root and (word & 3) == self.tables_in
            if not self.selected:
                self._observe(STARTED_UNSELECTED, -1, -1, 0, kind, -1)
            elif not ours:
                self._observe(STARTED_OTHER, -1, -1, 0, kind, pa)
        one = Invalidation(kind, self.now, ours and not narrow)
        self.running.append(one)
        self.invalidations.append(one)

    def _flushed(self, started: i64) -> None:
        """Nothing is cached any more of what was replaced before event ``started``."""
        count: i64 = 0
        for change in self.changes:
            if change.event >= started:
                break
            count += 1
        if count > 0:
            del self.changes[:count]
        count = 0
        for link in self.stale:
            if link.broken >= started:
                break
            self._unlist(link)
            count += 1
        if count > 0:
            del self.stale[:count]
            self.epoch += 1

    def assume_invalidated(self) -> None:
        """Take all that was replaced as gone, after it was reported that it may be cached."""
        self._flushed(self.now + 1)

    # -- the cache --------------------------------------------------------------------------

    def unflushed(self, first: i64, last: i64) -> list[Change]:
        """What changed in first..last since the last completed invalidation, oldest first.

        The old entries may still be cached. MARKED are due later than others
        (semantics.md (when a duty falls due)); GREW are wrong only where invalid entries are
        cached.
        """
        return [one for one in self.changes if one.first <= last and one.last >= first]

    def possible(
        self, va: i64, limit: int = 64, hidden: set[Change] | None = None
    ) -> list[Translation]:
        """Every translation of ``va`` that the device may use now, at most ``limit`` of them.

        Each step of a walk takes the word in memory, or one that it replaced and that may be
        cached. What memory says comes first. ``hidden``: changes of what no walk came to.
        """
        found: list[Translation] = [self.translate(va)]
        if self.root < 0 or va < 0 or va >= self.format.limit:
            return found
        replaced: dict[i64, list[i64]] = {}
        for change in self.unflushed(va, va):
            if hidden is not None and change in hidden:
                continue
            if self.tables.get(change.holder.pa) is change.holder:
                words = replaced.get(change.pa)
                if words is None:
                    replaced[change.pa] = [change.old]
                else:
                    words.append(change.old)
        if replaced:
            self._explore(self.root, 0, va, replaced, found, limit)
        different: list[Translation] = []
        for one in found:
            known = False
            for other in different:
                known = known or one.same(other)
            if not known:
                different.append(one)
        return different

    def _explore(
        self,
        pa: i64,
        number: i64,
        va: i64,
        replaced: dict[i64, list[i64]],
        found: list[Translation],
        limit: int,
    ) -> None:
        """Walk on from the table at ``pa`` in every way, and add what is new to ``found``."""
        if len(found) >= limit:
            return
        one = self.format.tables[number]
        table = self.tables.get(pa)
        index: i64 = self.format.index(number, va) * one.words
        if table is None or index + one.words > len(table.words):
            self._add(self._ended(va, number, -1, POISON), found, limit)
            return
        at: i64 = table.pa + index * 8
        lows = self._versions(table, index, replaced)
        highs: list[i64] = [0]
        if one.words == 2:
            highs = self._versions(table, index + 1, replaced)
        for low in lows:
            for high in highs:
                self._explore_entry(one, at, low, high, va, replaced, found, limit)

    def _versions(self, table: Table, index: i64, replaced: dict[i64, list[i64]]) -> list[i64]:
        """The word in memory, and those that it replaced."""
        found: list[i64] = [table.words[index]]
        old = replaced.get(table.pa + index * 8)
        if old is not None:
            found.extend(old)
        return found

    def _explore_entry(
        self,
        one: Level,
        at: i64,
        low: i64,
        high: i64,
        va: i64,
        replaced: dict[i64, list[i64]],
        found: list[Translation],
        limit: int,
    ) -> None:
        """Every way on from one entry whose words are ``low`` and ``high``."""
        number = one.number
        if number < self.format.last_directory or number > self.format.last_directory:
            child: i64 = self._next(one.first, low)
            if child == _ENDS:
                self._add(self._ended(va, number, at, low), found, limit)
            else:
                self._explore(child, one.first.child, va, replaced, found, limit)
            return
        small_word: i64 = high if one.words == 2 else low
        large = self._next(one.first, low)
        small = self._next(one.halves[1], small_word)
        if large == _ENDS:
            if small != _ENDS and self._is_nothing(one.first, low):
                self._explore(small, self.format.small, va, replaced, found, limit)
            else:
                self._add(
                    self._ended(va, number, at, self._deciding(one, low, small_word)), found, limit
                )
            return
        behind: list[Translation] = []
        self._explore(large, self.format.large, va, replaced, behind, limit)
        for answer in behind:
            if answer.what == NOTHING and small != _ENDS and self._unmapped(answer.word):
                self._explore(small, self.format.small, va, replaced, found, limit)
            else:
                self._add(answer, found, limit)

    def _add(self, one: Translation, found: list[Translation], limit: int) -> None:
        for other in found:
            # Unmapped and hole are both nothing, and lead on in different ways.
            if one.same(other) and (one.what != NOTHING or one.word == other.word):
                return
        if len(found) < limit:
            found.append(one)

    # -- the walk ---------------------------------------------------------------------------

    def _next(self, half: Half, word: i64) -> i64:
        """Where the walk goes on from a half of a word: the next table's address, or _ENDS.

        -1: it goes on where no table is.
        """
        if word == POISON:
            return _ENDS
        if half.child < 0 or half.role(word) != TABLE:
            return _ENDS
        return self._child(half, word)

    def _is_nothing(self, half: Half, word: i64) -> bool:
        """Whether the large half leaves it to the small one.

        A half that says sparse does so too: sparse is what has no table in either half.
        """
        role = half.role(word)
        return word != POISON and role in (INVALID, SPARSE)

    def _deciding(self, one: Level, low: i64, small_word: i64) -> i64:
        """The word that decides where an entry of the last directory leads to no table."""
        return POISON if small_word == POISON and self._is_nothing(one.first, low) else low

    def _unmapped(self, word: i64) -> bool:
        """Whether a large entry leaves it to the small table."""
        half = self.format.tables[self.format.large].first
        return word != POISON and half.role(word) == INVALID

    def _ended(self, va: i64, number: i64, at: i64, word: i64) -> Translation:
        """What the entry at ``at`` in a table of this number says, where the walk ends."""
        one = self.format.tables[number]
        found = Translation(va)
        found.table = number
        found.page_shift = one.shift
        offset: i64 = va & (one.span - 1)
        found.first = va - offset
        found.last = found.first + one.span - 1
        found.entry = at
        found.word = word
        if word == POISON:
            found.what = ARBITRARY
            return found
        half = one.first
        role = half.role(word)
        if role == LEAF:
            found.what = MAPPED
            found.pa = half.output(word) + offset
            found.meaning = self.format.meaning(number, word)
        elif role == SPARSE:
            found.what = ZEROS
        return found

    def translate(self, va: i64) -> Translation:
        """The walk of ``va`` through memory as it is now."""
        fmt = self.format
        if va < 0 or va >= fmt.limit:
            return Translation(va)
        if self.root < 0:
            # Nothing decides of any address: they are all alike.
            nowhere = Translation(va)
            nowhere.first = 0
            nowhere.last = fmt.limit - 1
            return nowhere
        pa: i64 = self.root
        number: i64 = 0
        # 1. From the root down to the directory whose entries lead to two tables.
        while True:
            one = fmt.tables[number]
            table = self.tables.get(pa)
            index: i64 = ((va >> one.shift) & one.index_mask) * one.words
            if table is None or index + one.words > len(table.words):
                return self._ended(va, number, -1, POISON)
            at: i64 = table.pa + index * 8
            word: i64 = table.words[index]
            if number == fmt.last_directory:
                break
            pa = self._next(one.first, word)
            if pa == _ENDS:
                return self._ended(va, number, at, word)
            number = one.first.child
        # 2. The large table, if there is one; it decides unless its entry is unmapped.
        small_word: i64 = table.words[index + 1] if one.words == 2 else word
        small: i64 = self._next(one.halves[1], small_word)
        large: i64 = self._next(one.first, word)
        if large == _ENDS:
            if small == _ENDS or not self._is_nothing(one.first, word):
                return self._ended(va, number, at, self._deciding(one, word, small_word))
            return self._last_step(va, fmt.small, small, False)
        found = self._last_step(va, fmt.large, large, True)
        if found.what != NOTHING or small == _ENDS or not self._unmapped(found.word):
            return found
        # 3. The small table.
        return self._last_step(va, fmt.small, small, True)

    def _last_step(self, va: i64, number: i64, pa: i64, beside: bool) -> Translation:
        """Look at the entry of ``va`` in the large or small table at ``pa``."""
        table = self.tables.get(pa)
        index: i64 = self.format.index(number, va)
        if table is None or index >= len(table.words):
            found = self._ended(va, number, -1, POISON)
        else:
            found = self._ended(va, number, table.pa + index * 8, table.words[index])
        found.beside = beside
        return found

    # -- comparing --------------------------------------------------------------------------

    def difference(
        self, promise: NvidiaTranslations, first: i64, last: i64
    ) -> NvidiaDifference | None:
        """The first address of first..last that is translated otherwise than promised."""
        va: i64 = first
        while va <= last and va < self.format.limit:
            found = self.translate(va)
            piece = promise.at(va)
            if piece is None:
                if found.what != NOTHING:
                    return NvidiaDifference(va, found, None)
            elif (
                found.what != piece.what
                or found.pa != piece.pa_at(va)
                or found.meaning != piece.meaning
            ):
                return NvidiaDifference(va, found, piece)
            va = min(self._run_end(found, last), promise.extent(va)) + 1
        return None

    def pieces(self, first: i64, last: i64) -> list[Piece]:
        """What the walk says of first..last, as a promise would have it: no piece for NOTHING."""
        found: list[Piece] = []
        va: i64 = first
        while va <= last and va < self.format.limit:
            one = self.translate(va)
            end: i64 = min(self._run_end(one, last), last)
            if one.what != NOTHING:
                piece = Piece(va, end, one.what, one.pa, one.meaning)
                if found and piece.follows(found[-1]):
                    before = found[-1]
                    piece = Piece(before.first, end, before.what, before.pa, before.meaning)
                    found[-1] = piece
                else:
                    found.append(piece)
            va = end + 1
        return found

    def _run_end(self, one: Translation, last: i64) -> i64:
        """The last address up to which the entries say what that of ``one`` says.

        Entries that are equal say the same; pages do that go on in physical memory, too.
        """
        end: i64 = one.last
        if one.entry < 0 or end >= last:
            return end
        table = self.table_of(one.entry)
        if table is None:
            return end
        here = self.format.tables[one.table]
        step = here.words
        if one.what == MAPPED and step > 1:
            return end
        stop: i64 = last
        if one.beside and one.table == self.format.small:
            # The next large entry decides anew.
            stop = min(last, one.va | (self.format.tables[self.format.large].span - 1))
        index: i64 = (one.entry - table.pa) >> 3
        low: i64 = table.words[index]
        high: i64 = table.words[index + 1] if step == 2 else low
        grown: i64 = here.page_step(low) if one.what == MAPPED else 0
        kept: i64 = ~here.address_in(low) if one.what == MAPPED else -1
        count: i64 = min(here.entries * step, len(table.words))
        index += step
        while end < stop and index < count:
            word: i64 = table.words[index]
            if word != low + grown or (word ^ low) & kept:
                break
            if step == 2:
                other: i64 = table.words[index + 1]
                if other != high:
                    break
            low = word
            end += here.span
            index += step
        return end


_ENDS: Final = -2
"""In place of the next table's address: the walk ends here."""
