"""Seeded bugs of what is flushed, how much of it, and when."""

from conformance.mutants.mutant import Mutant

_SYNC = """
    self.invalidate(self.gather_first, self.gather_last, SCOPE_LEAF, cause)
    """

MUTANTS: tuple[Mutant, ...] = (
    # -- leaves: the caller's gather ----------------------------------------------------------
    Mutant(
        "unmap-not-flushed",
        "TL-1",
        "an unmapped leaf is not added to the caller's gather",
        (
            (
                """
                self.clean(table, index, 1)
                if not queued:
                    self.gather(va, pgsize)
                """,
                """
                self.clean(table, index, 1)
                """,
            ),
        ),
    ),
    Mutant(
        "gather-one-page-short",
        "TL-1",
        "the end of the gathered range is kept as if it were exclusive: one page is missing",
        (
            (
                "self.gather_last = max(self.gather_last, iova + size - 1)",
                "self.gather_last = max(self.gather_last, iova - 1)",
            ),
        ),
        known="KB-42",
    ),
    Mutant(
        "gather-start-kept",
        "TL-1",
        "a page gathered below the others does not lower the start of the range",
        (("self.gather_first = min(self.gather_first, iova)", ""),),
    ),
    Mutant(
        "gather-first-page-only",
        "TL-1",
        "of a run only the first page is added to the gather",
        (
            (
                """
                if not queued:
                    self.gather(va, pgsize)
                """,
                """
                if not queued and done == 0:
                    self.gather(va, pgsize)
                """,
            ),
        ),
    ),
    Mutant(
        "gather-dropped-when-disjoint",
        "TL-1",
        "a page that cannot be joined to the gather replaces it, without the flush",
        (("self.sync_gather(CAUSE_GATHER)", "self.gather_size = 0"),),
    ),
    Mutant(
        "gather-joins-everything",
        "TL-1",
        "a page that leaves a gap takes the place of the gathered range's end",
        (
            (
                """
                if self.gather_size != 0 and (self.gather_size != size or not joins):
                    self.sync_gather(CAUSE_GATHER)
                """,
                """
                if self.gather_size != 0 and self.gather_size != size:
                    self.sync_gather(CAUSE_GATHER)
                """,
            ),
            (
                "self.gather_last = max(self.gather_last, iova + size - 1)",
                "self.gather_last = iova + size - 1",
            ),
        ),
    ),
    Mutant(
        "blocks-gathered-as-pages",
        "TL-1",
        "a run of unmapped blocks is gathered as so many pages of the smallest size",
        (
            (
                """
                if not queued:
                    self.gather(va, pgsize)
                """,
                """
                if not queued:
                    self.gather(iova + done * self.format.granule, self.format.granule)
                """,
            ),
        ),
    ),
    Mutant(
        "sync-not-awaited",
        "TL-1",
        "the invalidation of a sync is issued, and its completion not awaited",
        (
            (
                """
                self.trace.emit(COMPLETE, self.ticket)
                """,
                """
                if cause != CAUSE_SYNC:
                    self.trace.emit(COMPLETE, self.ticket)
                """,
            ),
        ),
        known="KB-04",
    ),
    Mutant(
        "flush-size-of-32-bits",
        "TL-1",
        "the size of a flush is kept in 32 bits",
        (
            (
                _SYNC,
                """
                size = (self.gather_last + 1 - self.gather_first) & 0xFFFF_FFFF
                last: i64 = self.gather_first + size - 1
                self.invalidate(self.gather_first, last, SCOPE_LEAF, cause)
                """,
            ),
        ),
        known="KB-38",
    ),
    Mutant(
        "flush-region-not-widened",
        "TL-1",
        "a flush is rounded to a region of a power of two, 32K at least, that does not grow "
        "where the range crosses the region's end",
        (
            (
                _SYNC,
                """
                size = 0x8000
                while size < self.gather_last + 1 - self.gather_first:
                    size <<= 1
                start: i64 = self.gather_first & ~(size - 1)
                self.invalidate(start, start + size - 1, SCOPE_LEAF, cause)
                """,
            ),
        ),
        known="KB-38",
    ),
    Mutant(
        "flush-mask-misses-pair",
        "TL-1",
        "a flush takes the number of pages, rounded up to a power of two, for a mask of numbers",
        (
            (
                _SYNC,
                """
                mask = 1
                while mask < (self.gather_last + 1 - self.gather_first) // self.gather_size:
                    mask <<= 1
                mask = mask * self.gather_size - 1
                last: i64 = self.gather_first | mask
                self.invalidate(self.gather_first & ~mask, last, SCOPE_LEAF, cause)
                """,
            ),
        ),
        known="KB-43",
    ),
    Mutant(
        "flush-shift-out-of-range",
        "TL-1",
        "a flush is rounded up by a shift, which counts modulo 32 as the processor's does",
        (
            (
                _SYNC,
                """
                shift = (self.gather_first ^ self.gather_last).bit_length() % 32
                start: i64 = self.gather_first >> shift << shift
                self.invalidate(start, start + (1 << shift) - 1, SCOPE_LEAF, cause)
                """,
            ),
        ),
        known="KB-47",
    ),
    Mutant(
        "flush-in-cpu-pages",
        "TL-1",
        "the pages to flush are counted in the table's granule and flushed as pages of 4K",
        (
            (
                _SYNC,
                """
                pages = (self.gather_last + 1 - self.gather_first) // self.format.granule
                last: i64 = self.gather_first + pages * 0x1000 - 1
                self.invalidate(self.gather_first, last, SCOPE_LEAF, cause)
                """,
            ),
        ),
        known="KB-53",
    ),
    # -- leaves: the flush queue --------------------------------------------------------------
    Mutant(
        "queue-flushes-walks-only",
        "TL-1",
        "the flush of the queue reaches walk caches, and no leaves",
        (
            (
                "self.invalidate(0, -1, SCOPE_LEAF | SCOPE_WALK, CAUSE_QUEUE)",
                "self.invalidate(0, -1, SCOPE_WALK, CAUSE_QUEUE)",
            ),
        ),
    ),
    Mutant(
        "queue-flushes-the-gather",
        "TL-1",
        "the flush of the queue flushes what was gathered, which queued unmaps never are",
        (
            (
                "self.invalidate(0, -1, SCOPE_LEAF | SCOPE_WALK, CAUSE_QUEUE)",
                "self.sync_gather(CAUSE_QUEUE)",
            ),
        ),
        known="KB-30",
    ),
    # -- walk entries -------------------------------------------------------------------------
    Mutant(
        "flush-before-store",
        "TL-2",
        "a table is unlinked only after its walk entries were flushed",
        (
            (
                """
                self.memory.store(table, index, 0)
                self.clean(table, index, 1)
                self.flush_walk(va, self.format.span(level))
                """,
                """
                self.flush_walk(va, self.format.span(level))
                self.memory.store(table, index, 0)
                self.clean(table, index, 1)
                """,
            ),
        ),
    ),
    Mutant(
        "freed-before-flush",
        "TL-2",
        "a table is freed before its walk entries are flushed",
        (
            (
                """
                self.flush_walk(va, self.format.span(level))
                self.free_tables(self.format.next_table(level, entry), level + 1)
                """,
                """
                self.free_tables(self.format.next_table(level, entry), level + 1)
                self.flush_walk(va, self.format.span(level))
                """,
            ),
        ),
        known="KB-03",
    ),
    Mutant(
        "table-flush-leaves-only",
        "TL-2",
        "when a table is removed, only leaves are flushed",
        (
            (
                "self.invalidate(iova, iova + size - 1, SCOPE_LEAF | SCOPE_WALK, CAUSE_WALK)",
                "self.invalidate(iova, iova + size - 1, SCOPE_LEAF, CAUSE_WALK)",
            ),
        ),
        known="KB-49",
    ),
    Mutant(
        "destroy-not-awaited",
        "TL-2",
        "the invalidation before all tables are freed is issued, and its completion not awaited",
        (
            (
                """
                self.trace.emit(COMPLETE, self.ticket)
                """,
                """
                if cause != CAUSE_ALL:
                    self.trace.emit(COMPLETE, self.ticket)
                """,
            ),
        ),
        known="KB-04",
    ),
    Mutant(
        "table-flush-left-to-queue",
        "TL-2",
        "an unmap for a flush queue frees tables at once, and leaves their flush to the queue",
        (
            (
                """
                if kind == TABLE:
                    self.remove_table(table, index, level, va, entry)
                else:
                """,
                """
                if kind == TABLE and queued:
                    self.memory.store(table, index, 0)
                    self.clean(table, index, 1)
                    self.free_tables(self.format.next_table(level, entry), level + 1)
                elif kind == TABLE:
                    self.remove_table(table, index, level, va, entry)
                else:
                """,
            ),
        ),
    ),
    Mutant(
        "destroyed-without-flush",
        "TL-2",
        "the tables are freed when their root is detached, without a flush",
        (("self.flush_all()", ""),),
    ),
    Mutant(
        "table-flush-walks-only",
        "TL-1",
        "when a table is removed, the leaves that were in it are not flushed",
        (
            (
                "self.flush_walk(va, self.format.span(level))",
                "self.invalidate(va, va + self.format.span(level) - 1, SCOPE_WALK, CAUSE_WALK)",
            ),
        ),
    ),
    # -- visibility ---------------------------------------------------------------------------
    Mutant(
        "flush-without-barrier",
        "OR-4",
        "an invalidation is issued without a barrier after the stores",
        (
            (
                """
                self.ticket += 1
                self.barrier()
                """,
                """
                self.ticket += 1
                """,
            ),
        ),
    ),
    Mutant(
        "unmap-not-cleaned",
        "OR-4",
        "the entries that an unmap clears are not written back for a walker that does not snoop",
        (
            (
                """
                self.memory.store(table, index, 0)
                self.clean(table, index, 1)
                if not queued:
                """,
                """
                self.memory.store(table, index, 0)
                if not queued:
                """,
            ),
        ),
    ),
    Mutant(
        "map-without-barrier",
        "OR-4",
        "a map returns without a barrier after its stores",
        (
            (
                """
                self.barrier()
                return 0, count * pgsize
                """,
                "return 0, count * pgsize",
            ),
        ),
    ),
    Mutant(
        "map-cleans-first-entry",
        "OR-4",
        "of a run of new entries only the first is written back for a walker that does not snoop",
        (("self.clean(table, first, count)", "self.clean(table, first, 1)"),),
    ),
    Mutant(
        "link-not-cleaned",
        "OR-4",
        "the entry that links a new table is not written back for a walker that does not snoop",
        (
            (
                """
                self.memory.store(table, index, self.format.table(level, child))
                self.clean(table, index, 1)
                """,
                """
                self.memory.store(table, index, self.format.table(level, child))
                """,
            ),
        ),
    ),
)
