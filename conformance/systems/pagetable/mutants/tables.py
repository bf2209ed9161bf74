"""Seeded bugs of tables: how they are made, linked, unlinked and freed."""

from conformance.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    # -- making and linking -------------------------------------------------------------------
    Mutant(
        "table-not-zeroed",
        "OR-1",
        "a new table is linked as it came from the allocator",
        (("self.memory.zero(table)", "self.memory.pages[table] = [0] * self.table_entries"),),
    ),
    Mutant(
        "table-linked-without-barrier",
        "OR-1",
        "a new table is linked without a barrier after it was zeroed",
        (("self.trace.emit(BARRIER, BARRIER_ORDER)", ""),),
    ),
    Mutant(
        "table-cleaned-after-link",
        "OR-1",
        "a new table is written back, for a walker that does not snoop, after it was linked",
        (
            (
                """
                self.memory.zero(table)
                self.clean(table, 0, self.table_entries)
                """,
                "self.memory.zero(table)",
            ),
            (
                "self.roots.append(root)",
                """
                self.clean(root, 0, self.table_entries)
                self.roots.append(root)
                """,
            ),
            (
                """
                self.memory.store(table, index, self.format.table(level, child))
                self.clean(table, index, 1)
                """,
                """
                self.memory.store(table, index, self.format.table(level, child))
                self.clean(table, index, 1)
                self.clean(child, 0, self.table_entries)
                """,
            ),
        ),
    ),
    Mutant(
        "table-address-of-32-bits",
        "OR-1",
        "the address of a table is kept in 32 bits (and there is memory above 4 GiB)",
        (
            ("TABLE_BASE: Final = 0x8000_0000", "TABLE_BASE: Final = 0xFFFF_C000"),
            (
                "self.memory.store(table, index, self.format.table(level, child))",
                "self.memory.store(table, index, self.format.table(level, child & 0xFFFF_FFFF))",
            ),
        ),
        known="KB-44",
    ),
    Mutant(
        "split-filled-after-link",
        "NB-1",
        "a block is replaced by an empty table, which is filled after that",
        (
            (
                """
                step = self.format.span(level + 1)
                for part in range(self.table_entries):
                    self.memory.store(child, part, self.format.part(level, block, part * step))
                self.clean(child, 0, self.table_entries)
                """,
                """
                step = self.format.span(level + 1)
                if not self.break_first:
                    self.publish(table, index, level, child)
                for part in range(self.table_entries):
                    self.memory.store(child, part, self.format.part(level, block, part * step))
                self.clean(child, 0, self.table_entries)
                """,
            ),
        ),
    ),
    Mutant(
        "split-swaps-parts",
        "NB-1",
        "the parts of a block that is split lead to each other's memory, in pairs",
        (
            (
                "self.memory.store(child, part, self.format.part(level, block, part * step))",
                "self.memory.store(child, part, self.format.part(level, block, (part ^ 1) * step))",
            ),
        ),
    ),
    Mutant(
        "split-forgets-permissions",
        "NB-1",
        "the parts of a block that is split can all be read and written",
        (
            (
                "self.memory.store(child, part, self.format.part(level, block, part * step))",
                """
                pa = self.format.output(level, block) + part * step
                self.memory.store(child, part, self.format.leaf(level + 1, pa, READ | WRITE))
                """,
            ),
        ),
    ),
    Mutant(
        "split-not-broken-first",
        "OR-2",
        "a block is replaced by a table at once on a device that needs break-before-make",
        (("if self.break_first:", "if False:"),),
        known="KB-16",
    ),
    Mutant(
        "split-broken-not-flushed",
        "OR-2",
        "a block that is split is made invalid first, and not flushed before the table is linked",
        (("self.flush_walk(iova & ~(span - 1), span)", "self.barrier()"),),
    ),
    Mutant(
        "split-not-made-again",
        "NB-1",
        "of a block that had to be broken first the first parts do not come back",
        (
            (
                """
                if self.break_first:
                    # All of the block translates to nothing until the table is there.
                """,
                """
                if self.break_first:
                    for part in range(8 if self.geometry.index(level + 1, iova) > 8 else 0):
                        self.memory.store(child, part, 0)
                    self.clean(child, 0, self.table_entries)
                """,
            ),
        ),
    ),
    Mutant(
        "create-keeps-roots",
        "RC-1",
        "a create that gets no memory for one of its roots keeps the others",
        (
            (
                """
                for made in self.roots:
                    self.memory.free(made)
                """,
                "",
            ),
        ),
    ),
    Mutant(
        "table-in-the-way-freed",
        "ER-2",
        "a map that finds a table with pages in its way frees that, and fails nevertheless",
        (
            (
                """
                if not self.is_free(level, self.memory.read(table, index)):
                    self.barrier()
                """,
                """
                if not self.is_free(level, self.memory.read(table, index)):
                    entry = self.memory.read(table, index)
                    if self.format.kind(level, entry) == TABLE:
                        va: i64 = iova + (index - first) * pgsize
                        self.remove_table(table, index, level, va, entry)
                    self.barrier()
                """,
            ),
        ),
    ),
    Mutant(
        "block-over-table",
        "OR-2",
        "a block is stored over the entry of an empty table, which is flushed and freed after that",
        (
            (
                """
                if self.format.kind(level, entry) == TABLE:
                    self.remove_table(table, index, level, va, entry)
                self.memory.store(
                    table, index, self.format.leaf(level, pa + (index - first) * pgsize, prot)
                )
                """,
                """
                self.memory.store(
                    table, index, self.format.leaf(level, pa + (index - first) * pgsize, prot)
                )
                if self.format.kind(level, entry) == TABLE:
                    self.clean(table, index, 1)
                    self.flush_walk(va, pgsize)
                    self.free_tables(self.format.next_table(level, entry), level + 1)
                """,
            ),
        ),
    ),
    # -- freeing ------------------------------------------------------------------------------
    Mutant(
        "freed-before-unlinked",
        "OR-3",
        "a table is freed, and only then unlinked",
        (
            (
                """
                self.memory.store(table, index, 0)
                self.clean(table, index, 1)
                self.flush_walk(va, self.format.span(level))
                self.free_tables(self.format.next_table(level, entry), level + 1)
                """,
                """
                self.free_tables(self.format.next_table(level, entry), level + 1)
                self.memory.store(table, index, 0)
                self.clean(table, index, 1)
                self.flush_walk(va, self.format.span(level))
                """,
            ),
        ),
    ),
    Mutant(
        "destroyed-while-attached",
        "OR-3",
        "the tables are freed while the device may still use their root",
        (
            (
                """
                for number in range(len(self.roots)):
                    self.trace.emit(DETACH, self.roots[number], number)
                self.flush_all()
                for root in self.roots:
                    self.free_tables(root, self.top)
                """,
                """
                for root in self.roots:
                    self.free_tables(root, self.top)
                for number in range(len(self.roots)):
                    self.trace.emit(DETACH, self.roots[number], number)
                self.flush_all()
                """,
            ),
        ),
        known="KB-54",
    ),
    Mutant(
        "table-lost",
        "RC-1",
        "a block is stored over an empty table, which nobody frees",
        (
            (
                """
                    self.remove_table(table, index, level, va, entry)
                self.memory.store(
                """,
                """
                    self.memory.store(table, index, 0)
                    self.clean(table, index, 1)
                    self.flush_walk(va, pgsize)
                self.memory.store(
                """,
            ),
        ),
        known="KB-39",
    ),
    Mutant(
        "table-leaked",
        "RC-1",
        "a table that was removed by an unmap is not freed",
        (
            (
                """
                if kind == TABLE:
                    self.remove_table(table, index, level, va, entry)
                else:
                """,
                """
                if kind == TABLE:
                    self.memory.store(table, index, 0)
                    self.clean(table, index, 1)
                    self.flush_walk(va, pgsize)
                else:
                """,
            ),
        ),
    ),
    Mutant(
        "tables-below-leaked",
        "RC-1",
        "when a table is freed, the tables behind it are not",
        (
            (
                """
                if level < self.last_level:
                    for index in range(self.entries_at(level)):
                """,
                """
                if level < self.top:
                    for index in range(self.entries_at(level)):
                """,
            ),
        ),
    ),
    Mutant(
        "split-table-leaked",
        "RC-1",
        "a block that is split needs a second table, and the first is lost when there is none",
        (
            (
                """
                child = self.new_table()
                if child == NO_TABLE:
                    return False
                step = self.format.span(level + 1)
                """,
                """
                child = self.new_table()
                spare = self.new_table()
                if child == NO_TABLE or spare == NO_TABLE:
                    return False
                self.memory.free(spare)
                step = self.format.span(level + 1)
                """,
            ),
        ),
    ),
    Mutant(
        "table-freed-twice",
        "RC-2",
        "a table that a block replaces is freed by the map as well",
        (
            (
                """
                if self.format.kind(level, entry) == TABLE:
                    self.remove_table(table, index, level, va, entry)
                self.memory.store(
                """,
                """
                if self.format.kind(level, entry) == TABLE:
                    self.remove_table(table, index, level, va, entry)
                    self.memory.free(self.format.next_table(level, entry))
                self.memory.store(
                """,
            ),
        ),
    ),
    Mutant(
        "root-freed-twice",
        "RC-2",
        "the root is freed with its tables, and once more",
        (
            (
                """
                    self.free_tables(root, self.top)
                self.roots.clear()
                """,
                """
                    self.free_tables(root, self.top)
                    self.memory.free(root)
                self.roots.clear()
                """,
            ),
        ),
    ),
    Mutant(
        "stored-after-free",
        "RC-3",
        "a table is cleared after it was freed",
        (
            (
                """
                self.flush_walk(va, self.format.span(level))
                self.free_tables(self.format.next_table(level, entry), level + 1)
                """,
                """
                self.flush_walk(va, self.format.span(level))
                self.free_tables(self.format.next_table(level, entry), level + 1)
                self.memory.store(self.format.next_table(level, entry), 0, 0)
                """,
            ),
        ),
    ),
    Mutant(
        "failed-table-filled",
        "RC-3",
        "a block that cannot be split for lack of memory is split into a table at address 0, "
        "which is noticed after it was filled",
        (
            (
                """
                child = self.new_table()
                if child == NO_TABLE:
                    return False
                step = self.format.span(level + 1)
                for part in range(self.table_entries):
                    self.memory.store(child, part, self.format.part(level, block, part * step))
                """,
                """
                child = self.new_table()
                step = self.format.span(level + 1)
                for part in range(self.table_entries):
                    self.memory.store(child, part, self.format.part(level, block, part * step))
                if child == NO_TABLE:
                    return False
                """,
            ),
        ),
    ),
)
