"""Table memory where tables are of many sizes, and lie wherever there is room.

It is a machine's, once, as :class:`reference.hardware.memory.PhysicalMemory` is where all tables
have the size of a page.

Source: formats.md D.1; semantics.md, "The maximal TLB" (freed memory reads as anything).
"""

from mypy_extensions import i64

from reference.hardware.memory import TableWords
from reference.sorted_keys import SortedKeys


class Table(TableWords):
    """Memory of one table."""

    def __init__(self, pa: i64, size: i64) -> None:
        super().__init__(pa, size >> 3)
        self.size: i64 = size
        """Its bytes."""
        self.number: i64 = -1
        """Its level in the format, -1 while nothing leads to it."""
        self.out: dict[i64, Link] = {}
        """The links from its entries, by number of the entry * 2 + half."""
        self.bases: dict[i64, list[i64]] = {}
        """Where it is in the address space of each context, as of the links' ``bases_at``."""
        self.bases_at: i64 = -1
        """The links' ``epoch`` when that was looked for."""


class Link:
    """Half of an entry leads to a table."""

    def __init__(self, parent: Table, above: i64, entry: i64, child: i64, number: i64) -> None:
        self.parent: Table = parent
        """The table that has the entry."""
        self.above: i64 = above
        """The level of that table, when the link was made."""
        self.entry: i64 = entry
        """The number of the entry in it."""
        self.child: i64 = child
        """The address that it leads to."""
        self.number: i64 = number
        """The level of what is there."""
        self.broken: i64 = -1
        """The event that replaced it, -1 while memory holds it."""
        self.cached_in: list[i64] = []
        """Numbers of the contexts that may have it cached, once it was replaced."""


class PackedMemory:
    """The tables by address."""

    def __init__(self) -> None:
        self.tables: dict[i64, Table] = {}
        """Those that are allocated."""
        self.starts: SortedKeys = SortedKeys()
        """Their addresses, in order."""
        self.freed: dict[i64, i64] = {}
        """Bytes of memory that was freed, by address, and is no table now."""
        self.freed_starts: SortedKeys = SortedKeys()
        """The addresses of that, in order."""
        self.last_table: Table | None = None
        """The one that was found last."""

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

    def reaching_into(self, pa: i64, last: i64) -> Table | None:
        """The last table that has a byte in pa..last; None if there is none."""
        before: i64 = self.starts.at_or_before(last)
        if before < 0 or before + self.tables[before].size <= pa:
            return None
        return self.tables[before]

    def allocate(self, pa: i64, size: i64) -> Table:
        """Memory for a table is handed out, where there is no other."""
        first: i64 = self.freed_starts.at_or_before(pa)
        if first >= 0 and first + self.freed[first] > pa:
            self._forget_freed(first)
        for start in self.freed_starts.between(pa, pa + size - 1):
            self._forget_freed(start)
        table = Table(pa, size)
        self.tables[pa] = table
        self.starts.add(pa)
        return table

    def _forget_freed(self, start: i64) -> None:
        self.freed_starts.remove(start)
        del self.freed[start]

    def remove(self, table: Table) -> None:
        """The table is no more."""
        del self.tables[table.pa]
        self.starts.remove(table.pa)
        self.last_table = None

    def free(self, table: Table) -> None:
        """Its memory is given back."""
        self.remove(table)
        if table.pa not in self.freed:
            self.freed_starts.add(table.pa)
        self.freed[table.pa] = table.size
