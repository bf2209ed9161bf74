"""Seeded bugs of calls: runs, refusals, errors half-way, loops that do not end."""

from conformance.mutants.mutant import Mutant

_COUNT_OF_UNMAP = """
    count: i64 = min(pgcount, self.entries_at(level) - first)
    done: i64 = 0
    """
_COUNT_OF_MAP = """
    count: i64 = min(pgcount, self.entries_at(level) - first)
    for index in range(first, first + count):
        if not self.is_free(level, self.memory.read(table, index)):
    """

MUTANTS: tuple[Mutant, ...] = (
    # -- runs ---------------------------------------------------------------------------------
    Mutant(
        "run-one-short",
        "TR-1",
        "the last page of a run of several is not stored, and reported as mapped",
        (
            (
                """
                for index in range(first, first + count):
                    va: i64 = iova + (index - first) * pgsize
                """,
                """
                for index in range(first, first + count - (count > 1)):
                    va: i64 = iova + (index - first) * pgsize
                """,
            ),
        ),
        known="KB-40",
    ),
    Mutant(
        "run-past-table",
        "PG-2",
        "a run of a map does not stop at the end of its table",
        (
            (
                _COUNT_OF_MAP,
                """
                count: i64 = pgcount
                for index in range(first, first + count):
                    if not self.is_free(level, self.memory.read(table, index)):
                """,
            ),
        ),
        known="KB-40",
    ),
    Mutant(
        "run-wraps-in-table",
        "NB-1",
        "a run of an unmap that reaches the end of its table goes on at the table's start",
        (
            (
                _COUNT_OF_UNMAP,
                """
                count: i64 = min(pgcount, self.entries_at(level))
                done: i64 = 0
                """,
            ),
            (
                """
                index = first + done
                va: i64 = iova + done * pgsize
                """,
                """
                index = (first + done) % self.entries_at(level)
                va: i64 = iova + done * pgsize
                """,
            ),
        ),
        known="KB-40",
    ),
    Mutant(
        "map-reports-all",
        "TR-1",
        "a map that stops at the end of a table reports the whole run as mapped",
        (("return 0, count * pgsize", "return 0, pgcount * pgsize"),),
    ),
    Mutant(
        "unmap-one-short",
        "TR-1",
        "the last page of an unmap of several is reported, and stays mapped",
        (
            (
                """
                if kind == TABLE:
                    self.remove_table(table, index, level, va, entry)
                else:
                """,
                """
                if kind == TABLE:
                    self.remove_table(table, index, level, va, entry)
                elif count == 1 or done < count - 1:
                """,
            ),
        ),
    ),
    Mutant(
        "unmap-takes-next",
        "NB-1",
        "an unmap of pages clears the entry behind its run, too",
        (
            (
                "return done * pgsize",
                """
                if level == self.last_level and 0 < done < self.entries_at(level) - first:
                    self.memory.store(table, first + done, 0)
                    self.clean(table, first + done, 1)
                return done * pgsize
                """,
            ),
        ),
    ),
    # -- results ------------------------------------------------------------------------------
    Mutant(
        "last-page-refused",
        "ER-1",
        "a run that ends at the end of an address space counts as out of range",
        (
            (
                "return count <= (limit - address) // size",
                "return count < (limit - address) // size",
            ),
        ),
        known="KB-19",
    ),
    Mutant(
        "write-only-refused",
        "ER-1",
        "a mapping that may only be written is refused",
        (("if not prot & (READ | WRITE):", "if not prot & READ:"),),
    ),
    Mutant(
        "out-of-memory-misreported",
        "ER-1",
        "a map that gets no table says that something is mapped there",
        (("return -errno.ENOMEM, 0", "return -errno.EEXIST, 0"),),
    ),
    Mutant(
        "error-leaves-entries",
        "ER-2",
        "a map that goes on in the next table, and fails there, reports nothing of what it did",
        (
            (
                "return 0, count * pgsize",
                """
                if count < pgcount:
                    done = count * pgsize
                    result, more = self.map_pages(
                        iova + done, pa + done, pgsize, pgcount - count, prot
                    )
                    return result, done + more if result == 0 else 0
                return 0, count * pgsize
                """,
            ),
        ),
        known="KB-08",
    ),
    Mutant(
        "refused-after-store",
        "ER-2",
        "a map without any permission is refused when its entries are stored already",
        (
            (
                """
                if not prot & (READ | WRITE):
                    return -errno.EINVAL, 0
                """,
                "",
            ),
            (
                """
                self.barrier()
                return 0, count * pgsize
                """,
                """
                self.barrier()
                if not prot & (READ | WRITE):
                    return -errno.EINVAL, 0
                return 0, count * pgsize
                """,
            ),
        ),
    ),
    # -- what was mapped ----------------------------------------------------------------------
    Mutant(
        "table-counts-as-free",
        "ER-3",
        "a block replaces a table that still holds live pages",
        (
            (
                """
                if not self.is_free(level + 1, self.memory.read(table, index)):
                    return False
                """,
                """
                if not self.is_free(level + 1, self.memory.read(table, index)):
                    return True
                """,
            ),
        ),
        known="KB-21",
    ),
    Mutant(
        "page-overwritten",
        "ER-3",
        "a map over a page that is mapped takes its place",
        (
            (
                """
                if kind == LEAF:
                    return False
                table = self.format.next_table(level, entry)
                """,
                """
                if kind == LEAF:
                    return True
                table = self.format.next_table(level, entry)
                """,
            ),
        ),
    ),
    Mutant(
        "unmap-goes-on-behind-hole",
        "ER-3",
        "an unmap that meets a hole clears what is behind it, and reports what is before it",
        (
            (
                """
                if kind == INVALID:
                    break
                if kind == TABLE:
                """,
                """
                if kind == INVALID:
                    for behind in range(index + 1, first + count):
                        self.memory.store(table, behind, 0)
                        self.clean(table, behind, 1)
                    break
                if kind == TABLE:
                """,
            ),
        ),
    ),
    # -- progress -----------------------------------------------------------------------------
    Mutant(
        "endless-loop",
        "PG-1",
        "an unmap that meets a hole does not go on to the next entry",
        (
            (
                """
                if kind == INVALID:
                    break
                if kind == TABLE:
                """,
                """
                if kind == INVALID:
                    continue
                if kind == TABLE:
                """,
            ),
        ),
    ),
    Mutant(
        "endless-walk",
        "PG-1",
        "the driver's own walk does not get past an entry that is invalid",
        (
            (
                """
                if kind == INVALID:
                    return 0
                if kind == LEAF:
                    offset: i64 = iova & (self.format.span(level) - 1)
                """,
                """
                if kind == INVALID:
                    continue
                if kind == LEAF:
                    offset: i64 = iova & (self.format.span(level) - 1)
                """,
            ),
        ),
    ),
    Mutant(
        "warns-at-table-end",
        "PG-3",
        "a map that stops at the end of a table prints a warning",
        (
            (
                """
                SCOPE_WALK,
                Trace,
                """,
                """
                SCOPE_WALK,
                WARN,
                Trace,
                """,
            ),
            (
                """
                self.barrier()
                return 0, count * pgsize
                """,
                """
                self.barrier()
                if count < pgcount:
                    self.trace.emit(WARN)
                return 0, count * pgsize
                """,
            ),
        ),
    ),
    Mutant(
        "table-not-unmapped",
        "PG-4",
        "an unmap of a larger size stops at a table of smaller pages, as if it were a hole",
        (
            (
                """
                if kind == INVALID:
                    break
                if kind == TABLE:
                """,
                """
                if kind != LEAF:
                    break
                if kind == TABLE:
                """,
            ),
        ),
    ),
    Mutant(
        "block-not-split",
        "PG-4",
        "an unmap of part of a block does nothing, although the device allows to split it",
        (
            (
                """
                if not self.split or not self.split_block(table, index, level, iova, entry):
                    return 0
                entry = self.memory.read(table, index)
                """,
                "return 0",
            ),
        ),
    ),
)
