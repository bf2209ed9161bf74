"""The page-table driver as it should be: map, unmap and translate on one table.

This is the io_pgtable contract (formats.md F.4) in the order in which a reader
of the hardware manual would carry it out. It works on table memory of its own
(``reference.drivers.table_memory``), and everything that it does to that memory is an
event of its trace.

Results are the kernel's: 0 or a negative errno value, and the bytes mapped or
unmapped.
"""

import errno
from typing import Final

from mypy_extensions import i64, mypyc_attr

from reference.drivers.table_memory import NO_TABLE, TableMemory
from reference.formats.access import READ, WRITE
from reference.formats.entry import INVALID, LEAF, TABLE
from reference.formats.format import Format, Geometry
from reference.trace import (
    ATTACH,
    BARRIER,
    BARRIER_FULL,
    BARRIER_ORDER,
    CAUSE_ALL,
    CAUSE_GATHER,
    CAUSE_QUEUE,
    CAUSE_SYNC,
    CAUSE_WALK,
    CLEAN,
    COMPLETE,
    DETACH,
    GATHER,
    INVALIDATE,
    SCOPE_LEAF,
    SCOPE_WALK,
    Trace,
    invalidate_command,
)

TABLE_BASE: Final = 0x8000_0000
"""Physical address of the first table page that is handed out."""

TABLE_END: Final = 1 << 40
"""Where memory for tables ends: there is more than any run needs."""


@mypyc_attr(allow_interpreted_subclasses=True)
class PageTable:
    """One page table.

    ``coherent``: the walker snoops the CPU's caches. ``split``: an unmap of part of a
    block replaces the block by a table; otherwise such an unmap is refused. ``memory``: where
    tables lie, if others lie there, too. ``break_first``: the device may not meet block and
    table at a time (break-before-make below level 2), so that the block goes first.
    """

    def __init__(
        self,
        geometry: Geometry,
        oas: int,
        page_sizes: int,
        coherent: bool,
        split: bool,
        trace: Trace,
        memory: TableMemory | None = None,
        break_first: bool = False,
    ) -> None:
        self.format: Format = geometry.format
        self.geometry: Geometry = geometry
        self.output_limit: i64 = 1 << oas
        self.page_sizes: i64 = page_sizes
        self.coherent: bool = coherent
        self.split: bool = split
        self.break_first: bool = break_first
        self.trace: Trace = trace
        if memory is None:
            memory = TableMemory(TABLE_BASE, TABLE_END, geometry.format.granule, trace)
        self.memory: TableMemory = memory
        self.last_level: i64 = geometry.format.levels - 1
        self.table_entries: i64 = geometry.format.granule // 8
        # Where roots are in registers, level 0 is no table: the walk starts one level below.
        self.roots: list[i64] = []
        self.top: i64 = geometry.start_level + (1 if geometry.format.registers else 0)
        self.ticket: i64 = 0
        # The caller's strict gather: an inclusive range, and the page size in it (0: empty).
        self.gather_first: i64 = 0
        self.gather_last: i64 = 0
        self.gather_size: i64 = 0

    # -- life -------------------------------------------------------------------------------

    def create(self) -> i64:
        """Allocate an empty root, or one for each root register, and attach them.

        0, or -ENOMEM with nothing left behind.
        """
        count: i64 = 1
        if self.format.registers:
            count = self.geometry.entries(0)
        for _ in range(count):
            root = self.new_table()
            if root == NO_TABLE:
                for made in self.roots:
                    self.memory.free(made)
                self.roots.clear()
                return -errno.ENOMEM
            self.roots.append(root)
        self.barrier()
        for number in range(count):
            self.trace.emit(ATTACH, self.roots[number], number)
        return 0

    def root_of(self, iova: i64) -> i64:
        """The root table that ``iova`` is walked from."""
        if self.format.registers:
            return self.roots[self.geometry.index(0, iova)]
        return self.roots[0]

    def destroy(self) -> None:
        """Detach the roots, invalidate everything, then free every table."""
        for number in range(len(self.roots)):
            self.trace.emit(DETACH, self.roots[number], number)
        self.flush_all()
        for root in self.roots:
            self.free_tables(root, self.top)
        self.roots.clear()

    # -- map --------------------------------------------------------------------------------

    def map_pages(
        self, iova: i64, pa: i64, pgsize: i64, pgcount: i64, prot: i64
    ) -> tuple[i64, i64]:
        """Map ``pgcount`` contiguous pages of ``pgsize`` bytes: (result, bytes mapped).

        May stop at the end of a table, with success; the caller goes on from there.
        EINVAL: page size, count or permission; ERANGE: an address is out of range;
        EEXIST: something is mapped there, and nothing was changed; ENOMEM.
        """
        # 1. Refuse what no table can express.
        if pgsize <= 0 or pgsize & (pgsize - 1) or not pgsize & self.page_sizes or pgcount <= 0:
            return -errno.EINVAL, 0
        if (iova | pa) & (pgsize - 1):
            return -errno.EINVAL, 0
        if not prot & (READ | WRITE):
            return -errno.EINVAL, 0
        if not fits(iova, pgsize, pgcount, self.geometry.limit):
            return -errno.ERANGE, 0
        if not fits(pa, pgsize, pgcount, self.output_limit):
            return -errno.ERANGE, 0
        # 2. Walk down to the table that holds the leaves, making missing tables on the way.
        leaf_level = self.format.level_of(pgsize)
        table: i64 = self.root_of(iova)
        level: i64 = self.top
        while level < leaf_level:
            index = self.geometry.index(level, iova)
            entry = self.memory.read(table, index)
            kind = self.format.kind(level, entry)
            if kind == LEAF:
                self.barrier()
                return -errno.EEXIST, 0
            if kind == INVALID:
                child = self.new_table()
                if child == NO_TABLE:
                    self.barrier()
                    return -errno.ENOMEM, 0
                self.publish(table, index, level, child)
            else:
                child = self.format.next_table(level, entry)
            table = child
            level += 1
        # 3. Every entry of the run must be free. An empty table counts as free.
        first = self.geometry.index(level, iova)
        count: i64 = min(pgcount, self.entries_at(level) - first)
        for index in range(first, first + count):
            if not self.is_free(level, self.memory.read(table, index)):
                self.barrier()
                return -errno.EEXIST, 0
        # 4. Store the leaves.
        for index in range(first, first + count):
            va: i64 = iova + (index - first) * pgsize
            entry = self.memory.read(table, index)
            if self.format.kind(level, entry) == TABLE:
                self.remove_table(table, index, level, va, entry)
            self.memory.store(
                table, index, self.format.leaf(level, pa + (index - first) * pgsize, prot)
            )
        self.clean(table, first, count)
        # 5. The device sees the new leaves before the call returns.
        self.barrier()
        return 0, count * pgsize

    def is_free(self, level: i64, entry: i64) -> bool:
        """Whether a leaf may be stored over ``entry``: invalid, or a table of no valid entry."""
        kind = self.format.kind(level, entry)
        if kind == INVALID:
            return True
        if kind == LEAF:
            return False
        table = self.format.next_table(level, entry)
        for index in range(self.table_entries):
            if not self.is_free(level + 1, self.memory.read(table, index)):
                return False
        return True

    # -- unmap ------------------------------------------------------------------------------

    def unmap_pages(self, iova: i64, pgsize: i64, pgcount: i64, queued: bool) -> i64:
        """Unmap up to ``pgcount`` pages of ``pgsize`` bytes; the bytes unmapped.

        Stops at the first hole and at the end of a table. 0: nothing was done. Leaves
        go to the caller's gather, unless a flush of everything is ``queued``.
        """
        # 1. Refuse what cannot be mapped.
        if pgsize <= 0 or pgsize & (pgsize - 1) or not pgsize & self.page_sizes or pgcount <= 0:
            return 0
        if iova & (pgsize - 1) or not fits(iova, pgsize, pgcount, self.geometry.limit):
            return 0
        # 2. Walk down to the table that holds entries of this size.
        leaf_level = self.format.level_of(pgsize)
        table: i64 = self.root_of(iova)
        level: i64 = self.top
        while level < leaf_level:
            index = self.geometry.index(level, iova)
            entry = self.memory.read(table, index)
            kind = self.format.kind(level, entry)
            if kind == INVALID:
                return 0
            if kind == LEAF:
                # Part of a block. One table for each level down to the pages' own.
                if not self.split or not self.split_block(table, index, level, iova, entry):
                    return 0
                entry = self.memory.read(table, index)
            table = self.format.next_table(level, entry)
            level += 1
        # 3. Remove entries up to the first hole: whole tables, or leaves.
        first = self.geometry.index(level, iova)
        count: i64 = min(pgcount, self.entries_at(level) - first)
        done: i64 = 0
        while done < count:
            index = first + done
            va: i64 = iova + done * pgsize
            entry = self.memory.read(table, index)
            kind = self.format.kind(level, entry)
            if kind == INVALID:
                break
            if kind == TABLE:
                self.remove_table(table, index, level, va, entry)
            else:
                self.memory.store(table, index, 0)
                self.clean(table, index, 1)
                if not queued:
                    self.gather(va, pgsize)
            done += 1
        return done * pgsize

    def split_block(self, table: i64, index: i64, level: i64, iova: i64, block: i64) -> bool:
        """Replace the block around ``iova`` by a table that says the same; False: no memory."""
        child = self.new_table()
        if child == NO_TABLE:
            return False
        step = self.format.span(level + 1)
        for part in range(self.table_entries):
            self.memory.store(child, part, self.format.part(level, block, part * step))
        self.clean(child, 0, self.table_entries)
        if self.break_first:
            # All of the block translates to nothing until the table is there.
            self.memory.store(table, index, 0)
            self.clean(table, index, 1)
            span = self.format.span(level)
            self.flush_walk(iova & ~(span - 1), span)
        self.publish(table, index, level, child)
        return True

    def remove_table(self, table: i64, index: i64, level: i64, va: i64, entry: i64) -> None:
        """Unlink a table, flush the walks that may know it, and only then free it."""
        self.memory.store(table, index, 0)
        self.clean(table, index, 1)
        self.flush_walk(va, self.format.span(level))
        self.free_tables(self.format.next_table(level, entry), level + 1)

    # -- translate --------------------------------------------------------------------------

    def iova_to_phys(self, iova: i64) -> i64:
        """The physical address that ``iova`` (any byte) translates to; 0 if none."""
        if not fits(iova, 1, 1, self.geometry.limit):
            return 0
        table: i64 = self.root_of(iova)
        level: i64 = self.top
        while True:
            entry = self.memory.read(table, self.geometry.index(level, iova))
            kind = self.format.kind(level, entry)
            if kind == INVALID:
                return 0
            if kind == LEAF:
                offset: i64 = iova & (self.format.span(level) - 1)
                return self.format.output(level, entry) + offset
            table = self.format.next_table(level, entry)
            level += 1

    # -- tables -----------------------------------------------------------------------------

    def entries_at(self, level: i64) -> i64:
        """How many entries the table of ``level`` has; the root may have fewer."""
        return self.geometry.entries(level)

    def new_table(self) -> i64:
        """The pa of a table whose entries are all invalid; NO_TABLE: no memory."""
        table = self.memory.allocate(self.format.granule, self.format.granule)
        if table != NO_TABLE:
            self.memory.zero(table)
            self.clean(table, 0, self.table_entries)
        return table

    def publish(self, table: i64, index: i64, level: i64, child: i64) -> None:
        """Link ``child``, whose content is visible before the link is."""
        self.trace.emit(BARRIER, BARRIER_ORDER)
        self.memory.store(table, index, self.format.table(level, child))
        self.clean(table, index, 1)

    def free_tables(self, table: i64, level: i64) -> None:
        """Free a table that nothing leads to any more, and all tables behind it."""
        if level < self.last_level:
            for index in range(self.entries_at(level)):
                entry = self.memory.read(table, index)
                if self.format.kind(level, entry) == TABLE:
                    self.free_tables(self.format.next_table(level, entry), level + 1)
        self.memory.free(table)

    def clean(self, table: i64, first: i64, count: i64) -> None:
        """Write entries back to memory for a walker that does not snoop."""
        if not self.coherent and count > 0:
            self.trace.emit(CLEAN, table + first * 8, count * 8)

    def barrier(self) -> None:
        """Wait until every store so far is visible."""
        self.trace.emit(BARRIER, BARRIER_FULL)

    # -- the device's flushes -----------------------------------------------------------------

    def invalidate(self, first: i64, last: i64, scope: i64, cause: i64) -> None:
        """Make stores visible, invalidate first..last, and wait for completion."""
        self.ticket += 1
        self.barrier()
        self.trace.emit(INVALIDATE, first, last, invalidate_command(scope, cause, self.ticket))
        self.trace.emit(COMPLETE, self.ticket)

    def flush_all(self) -> None:
        """Invalidate everything."""
        self.invalidate(0, -1, SCOPE_LEAF | SCOPE_WALK, CAUSE_ALL)

    def flush_walk(self, iova: i64, size: i64) -> None:
        """Invalidate leaves and walk caches of a range."""
        self.invalidate(iova, iova + size - 1, SCOPE_LEAF | SCOPE_WALK, CAUSE_WALK)

    def gather(self, iova: i64, size: i64) -> None:
        """Add a page to the gather; flush first what it cannot be joined to."""
        self.trace.emit(GATHER, iova, size)
        joins = iova <= self.gather_last + 1 and iova + size >= self.gather_first
        if self.gather_size != 0 and (self.gather_size != size or not joins):
            self.sync_gather(CAUSE_GATHER)
        if self.gather_size == 0:
            self.gather_first = iova
            self.gather_last = iova + size - 1
        else:
            self.gather_first = min(self.gather_first, iova)
            self.gather_last = max(self.gather_last, iova + size - 1)
        self.gather_size = size

    def sync_gather(self, cause: i64) -> None:
        """Invalidate the leaves that were gathered, if any."""
        if self.gather_size != 0:
            self.invalidate(self.gather_first, self.gather_last, SCOPE_LEAF, cause)
            self.gather_size = 0

    def sync(self) -> None:
        """The caller's iotlb_sync."""
        self.sync_gather(CAUSE_SYNC)

    def flush(self) -> None:
        """The flush of a flush queue: one for everything."""
        self.invalidate(0, -1, SCOPE_LEAF | SCOPE_WALK, CAUSE_QUEUE)


def fits(address: i64, size: i64, count: i64, limit: i64) -> bool:
    """Whether ``count`` pieces of ``size`` bytes at ``address`` lie in 0 to ``limit``-1."""
    if address < 0 or address >= limit:
        return False
    return count <= (limit - address) // size
