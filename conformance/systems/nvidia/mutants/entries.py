"""Seeded bugs of entries: where pages lead, what they grant, and whose entries are changed."""

from conformance.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    # -- where pages lead ----------------------------------------------------------------------
    Mutant(
        "address-in-32-bits",
        "TR-1",
        "the address of a page is cut to 32 bits",
        (
            (
                "pa: i64 = memory.pages.address(offset)",
                "pa: i64 = memory.pages.address(offset) & 0xFFFF_FFFF",
            ),
        ),
        known="KB-44",
    ),
    Mutant(
        "pieces-taken-as-one",
        "TR-1",
        "the pieces of a memory are taken to follow each other",
        (
            (
                "pa: i64 = memory.pages.address(offset)",
                "pa: i64 = memory.pages.address(change.offset) + (offset - change.offset)",
            ),
        ),
    ),
    Mutant(
        "next-table-from-the-start",
        "TR-1",
        "where a map goes on in the next table, it goes on from the start of its memory",
        (
            (
                "offset: i64 = change.offset + (va - change.start)",
                "offset: i64 = change.offset",
            ),
        ),
        known="KB-46",
    ),
    Mutant(
        "unmapped-by-word-only",
        "TR-1",
        "an unmap that keeps references leaves the entries as they are, unless they are sparse",
        (
            (
                """
                page = self.format.pages[vma.refd]
                self.tables.walk(page, vma.address, vma.size, Change(KEEP, write))
                """,
                """
                page = self.format.pages[vma.refd]
                if vma.sparse:
                    self.tables.walk(page, vma.address, vma.size, Change(KEEP, write))
                """,
            ),
        ),
    ),
    # -- what they grant -----------------------------------------------------------------------
    Mutant(
        "kind-in-seven-bits",
        "TR-2",
        "the kind of storage loses its highest bit",
        (
            (
                "return meaning_of(aperture, access, plain_kind(kind.kind, self.chip))",
                "return meaning_of(aperture, access, plain_kind(kind.kind, self.chip) & 0x7F)",
            ),
        ),
    ),
    Mutant(
        "host-not-volatile",
        "TR-2",
        "memory of the system is cached by the device unless somebody says otherwise",
        (
            (
                "volatile = kind.vol if kind.given else memory.target == HOST",
                "volatile = kind.vol",
            ),
        ),
    ),
    Mutant(
        "wrong-aperture",
        "TR-2",
        "memory that is not coherent is mapped as if it were",
        (("aperture = NCOH_APERTURE", "aperture = HOST_APERTURE"),),
    ),
    # -- the instance block --------------------------------------------------------------------
    Mutant(
        "limit-one-too-high",
        "TR-31",
        "the instance block has the first address behind the address space as the last one in it",
        (
            (
                "self.memory.store(pa, PDB_LIMIT, self.limit - 1)",
                "self.memory.store(pa, PDB_LIMIT, self.limit)",
            ),
        ),
    ),
    Mutant(
        "one-unit-replays",
        "TR-31",
        "of the units whose faults are to be replayed, the instance block names one",
        (("base |= PDB_REPLAY", "base |= PDB_REPLAY & -PDB_REPLAY"),),
    ),
    Mutant(
        "large-size-not-said",
        "TR-31",
        "the instance block does not say of what size large pages are",
        (
            (
                """
                elif self.chip == GM200 and self.format.tables[self.format.large].shift == 16:
                    base |= PDB_64K
                """,
                """
                elif self.chip == GM200 and self.format.tables[self.format.large].shift == 17:
                    base |= PDB_64K
                """,
            ),
        ),
    ),
    # -- whose entries are changed -------------------------------------------------------------
    Mutant(
        "one-entry-more-cleared",
        "NB-1",
        "an unmap of small pages clears the entry behind them, too",
        (
            (
                """
                elif half == SMALL:
                    self.write_small(node, index, count, change.write == SPARSE)
                """,
                """
                elif half == SMALL:
                    self.write_small(node, index, count, change.write == SPARSE)
                    if index + count < self.format.tables[number].entries and not change.single:
                        self.write_small(node, index + count, 1, change.write == SPARSE)
                """,
            ),
        ),
    ),
    Mutant(
        "half-of-directory-sparse",
        "IS-30",
        "a directory that comes into a sparse range is made sparse in its first half",
        (
            (
                """
                for index in range(table.entries):
                    self.write_directory(child, index, True)
                """,
                """
                for index in range(table.entries):
                    self.write_directory(child, index, index < table.entries // 2)
                """,
            ),
        ),
    ),
)
