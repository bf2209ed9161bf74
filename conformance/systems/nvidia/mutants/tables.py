"""Seeded bugs of table memory: how tables are filled, linked, taken off and freed."""

from conformance.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    # -- before it is linked -------------------------------------------------------------------
    Mutant(
        "linked-before-filled",
        "OR-1",
        "an entry leads to a table of small pages, where large ones are, before it is filled",
        (
            (
                """
                child.pa[half] = pa
                # 2. What is in it.
                """,
                """
                child.pa[half] = pa
                if half == SMALL and child.pa[LARGE] != NO_TABLE:
                    self.write_directory(parent, child.index, False)
                # 2. What is in it.
                """,
            ),
        ),
    ),
    Mutant(
        "spare-table-not-cleared",
        "OR-1",
        "a table of small pages that was used before is taken as it was left",
        (
            (
                """
                else:
                    self.memory.zero(pa)
                self.memory.barrier()
                # 3. Only now can the device see it.
                """,
                """
                elif number != self.format.small:
                    self.memory.zero(pa)
                self.memory.barrier()
                # 3. Only now can the device see it.
                """,
            ),
        ),
    ),
    Mutant(
        "page-of-directory-in-two-steps",
        "OR-1",
        "a page of a directory is made not valid first, and leads to a table until it is cleared",
        (
            (
                "keep: i64 = 0 if number <= self.format.last_directory else ~1",
                "keep: i64 = ~1",
            ),
        ),
    ),
    # -- when it is taken off ------------------------------------------------------------------
    Mutant(
        "pair-freed-before-flush",
        "TL-2",
        "a table is freed as soon as its entry is cleared, and the invalidation comes at the end",
        (
            (
                """
                self.write_directory(parent, child.index, child.index in parent.marked)
                self.memory.barrier()
                self.flush()
                """,
                """
                self.write_directory(parent, child.index, child.index in parent.marked)
                self.memory.barrier()
                self.pending = True
                """,
            ),
        ),
    ),
    Mutant(
        "directories-not-flushed",
        "TL-2",
        "when tables go, only entries of the last directory are invalidated",
        (
            (
                """
                self.write_directory(parent, child.index, child.index in parent.marked)
                self.memory.barrier()
                self.flush()
                """,
                """
                self.write_directory(parent, child.index, child.index in parent.marked)
                self.memory.barrier()
                self.pending = True
                if child.level == 0:
                    self.flush()
                """,
            ),
        ),
        known="KB-49",
    ),
    Mutant(
        "pair-freed-before-unlinked",
        "TL-2",
        "one table of a pair is freed before the entry that leads to both is written again",
        (
            (
                """
                if child.refs[1 - half] == 0:
                    del parent.children[child.index]
                """,
                """
                if child.refs[1 - half] and pa != NO_TABLE:
                    self.free_table(pa)
                    pa = NO_TABLE
                if child.refs[1 - half] == 0:
                    del parent.children[child.index]
                """,
            ),
        ),
    ),
    # -- what is given back --------------------------------------------------------------------
    Mutant(
        "root-lost",
        "RC-1",
        "an address space that goes keeps its root",
        (
            (
                """
                for pa in tables:
                    self.free_table(pa)
                self.free_table(root.pa[LARGE])
                """,
                """
                for pa in tables:
                    self.free_table(pa)
                """,
            ),
        ),
    ),
    Mutant(
        "root-of-failed-space-lost",
        "RC-1",
        "an address space that cannot be made for lack of memory keeps its root",
        (
            (
                """
                if not done:
                    self.tables.remove_all()
                    return -errno.ENOMEM
                """,
                """
                if not done:
                    return -errno.ENOMEM
                """,
            ),
        ),
    ),
    Mutant(
        "instance-block-lost",
        "RC-1",
        "the instance block is emptied and not given back",
        (
            (
                """
                self.memory.free(pa)
                self.instance = NO_TABLE
                """,
                """
                self.instance = NO_TABLE
                """,
            ),
        ),
    ),
    Mutant(
        "table-beside-lost",
        "RC-1",
        "of a pair of tables, the one that goes first is not freed",
        (
            (
                """
                if pa != NO_TABLE:
                    self.free_table(pa)
                """,
                """
                if pa != NO_TABLE and child.refs[1 - half] == 0:
                    self.free_table(pa)
                """,
            ),
        ),
    ),
    Mutant(
        "page-of-small-tables-freed",
        "RC-2",
        "a page from which tables were cut is freed when all of them are, and they stay in stock",
        (
            (
                """
                self.places[self.rooms[pa]].append(pa)
                """,
                """
                places = self.places[self.rooms[pa]]
                places.append(pa)
                size = len(words) << 3
                if size < self.page and len(places) * size == self.page:
                    self.trace.emit(FREE, min(places), self.page)
                """,
            ),
        ),
        module="reference.drivers.table_memory",
    ),
    Mutant(
        "kept-tables-freed-again",
        "RC-2",
        "a table that was kept for a device that was stuck is freed, and noted as kept once more",
        (
            (
                """
                while self.kept_tables:
                    self.memory.free(self.kept_tables.pop(0))
                """,
                """
                while self.kept_tables:
                    pa = self.kept_tables.pop(0)
                    self.memory.free(pa)
                    self.memory.free(pa)
                """,
            ),
        ),
    ),
    Mutant(
        "cleared-after-freed",
        "RC-3",
        "a table is cleared for its next owner after it was freed",
        (
            (
                """
                self.places[self.rooms[pa]].append(pa)
                """,
                """
                self.trace.emit(FILL, pa, len(words) << 3, 0)
                self.places[self.rooms[pa]].append(pa)
                """,
            ),
        ),
        module="reference.drivers.table_memory",
    ),
)
