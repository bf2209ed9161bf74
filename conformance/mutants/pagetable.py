"""Seeded bugs of the page-table driver."""

from conformance.mutants.mutant import Mutant

PACKAGE = "reference.drivers"
FILE = "pagetable.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "unmap-not-flushed",
        "TL-1",
        "an unmapped leaf is not added to the caller's gather",
        (("                if not queued:\n                    self.gather(va, pgsize)\n", ""),),
    ),
    Mutant(
        "flush-before-store",
        "TL-2",
        "a table is unlinked only after its walk entries were flushed",
        (
            (
                "        self.memory.store(table, index, 0)\n"
                "        self.clean(table, index, 1)\n"
                "        self.flush_walk(va, self.format.span(level))\n",
                "        self.flush_walk(va, self.format.span(level))\n"
                "        self.memory.store(table, index, 0)\n"
                "        self.clean(table, index, 1)\n",
            ),
        ),
    ),
    Mutant(
        "freed-before-flush",
        "TL-2",
        "a table is freed before its walk entries are flushed",
        (
            (
                "        self.flush_walk(va, self.format.span(level))\n"
                "        self.free_tables(self.format.next_table(level, entry), level + 1)\n",
                "        self.free_tables(self.format.next_table(level, entry), level + 1)\n"
                "        self.flush_walk(va, self.format.span(level))\n",
            ),
        ),
        known="KB-03",
    ),
    Mutant(
        "gather-one-page-short",
        "TL-1",
        "the gathered range ends one page early",
        (
            (
                "            self.gather_last = max(self.gather_last, iova + size - 1)\n",
                "            self.gather_last = max(self.gather_last, iova - 1)\n",
            ),
        ),
        known="KB-42",
    ),
    Mutant(
        "table-lost",
        "RC-1",
        "a block is stored over an empty table, which nobody frees",
        (
            (
                "                self.remove_table(table, index, level, va, entry)\n"
                "            self.memory.store(\n",
                "                self.memory.store(table, index, 0)\n"
                "                self.clean(table, index, 1)\n"
                "                self.flush_walk(va, self.format.span(level))\n"
                "            self.memory.store(\n",
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
                "            if kind == TABLE:\n"
                "                self.remove_table(table, index, level, va, entry)\n"
                "            else:\n",
                "            if kind == TABLE:\n"
                "                self.memory.store(table, index, 0)\n"
                "                self.clean(table, index, 1)\n"
                "                self.flush_walk(va, pgsize)\n"
                "            else:\n",
            ),
        ),
    ),
    Mutant(
        "wrong-attribute",
        "TR-2",
        "every mapping is writable",
        (
            (
                "self.format.leaf(level, pa + (index - first) * pgsize, prot)",
                "self.format.leaf(level, pa + (index - first) * pgsize, prot | WRITE)",
            ),
        ),
    ),
    Mutant(
        "run-one-short",
        "TR-1",
        "the last page of a run of several is not stored, and reported as mapped",
        (
            (
                "        for index in range(first, first + count):\n            va: i64 = iova",
                "        for index in range(first, first + count - (count > 1)):\n"
                "            va: i64 = iova",
            ),
        ),
        known="KB-40",
    ),
    Mutant(
        "error-leaves-entries",
        "ER-2",
        "a run that meets a page already mapped fails after it has stored the pages before it",
        (
            (
                "            kind = self.format.kind(level, entry)\n"
                "            if kind == LEAF:\n"
                "                self.barrier()\n"
                "                return -errno.EEXIST, 0\n"
                "            if kind == INVALID:\n"
                "                child = self.new_table()\n"
                "                if child == 0:\n"
                "                    self.barrier()\n",
                "            kind = self.format.kind(level, entry)\n"
                "            if kind == LEAF:\n"
                "                self.barrier()\n"
                "                return -errno.EEXIST, 0\n"
                "            if kind == INVALID:\n"
                "                child = self.new_table()\n"
                "                if child == 0:\n"
                "                    if self.format.level_of(self.format.span(level)) >= 0:\n"
                "                        block = pa & ~(self.format.span(level) - 1)\n"
                "                        self.memory.store(\n"
                "                            table, index, self.format.leaf(level, block, prot)\n"
                "                        )\n"
                "                    self.barrier()\n",
            ),
        ),
        known="KB-08",
    ),
    Mutant(
        "endless-loop",
        "PG-1",
        "an unmap that meets a table does not go on to the next entry",
        (
            (
                "                if not queued:\n"
                "                    self.gather(va, pgsize)\n"
                "            done += 1\n",
                "                if not queued:\n"
                "                    self.gather(va, pgsize)\n"
                "            if done + 1 < count or count < 3:\n"
                "                done += 1\n"
                "            else:\n"
                "                self.memory.read(table, index)\n"
                "                self.memory.store(table, index, entry)\n",
            ),
        ),
    ),
)
"""The catalogue."""
