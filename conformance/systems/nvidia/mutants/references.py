"""Seeded bugs of references: to tables, to memories, and to pages of the system."""

from conformance.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    # -- tables --------------------------------------------------------------------------------
    Mutant(
        "lazy-references-kept",
        "RC-4",
        "the references that the first map took stay when the area is given back unmapped",
        (
            (
                """
                elif first.refd != NO_PAGE:
                    self.references.drop(self.format.pages[first.refd], first.address, size)
                """,
                """
                elif first.refd == vma.page and first.refd != NO_PAGE:
                    self.references.drop(self.format.pages[first.refd], first.address, size)
                """,
            ),
        ),
    ),
    Mutant(
        "referenced-by-every-map",
        "RC-4",
        "a map takes references where there are some from when the area was handed out",
        (
            (
                """
                if vma.refd == NO_PAGE:
                    result = self.begin_map(index, address, size, change, vma.sparse)
                """,
                """
                if vma.refd == NO_PAGE or not (vma.mapped or vma.sparse):
                    result = self.begin_map(index, address, size, change, vma.sparse)
                """,
            ),
        ),
    ),
    # -- memories ------------------------------------------------------------------------------
    Mutant(
        "old-memory-kept",
        "RC-30",
        "memory that another one replaces keeps its reference",
        (
            (
                """
                if old is not None:
                    self.tables.release(old)
                return 0
                """,
                """
                if old is not None and old is memory:
                    self.tables.release(old)
                return 0
                """,
            ),
        ),
        known="KB-32",
    ),
    Mutant(
        "memory-of-parts-kept",
        "RC-30",
        "of an area that is given back, only the first part lets go of its memory",
        (
            (
                """
                for part in parts:
                    if part.memory is not None:
                        self.tables.release(part.memory)
                        part.memory = None
                    if part is not vma:
                """,
                """
                for part in parts:
                    if part.memory is not None and part is vma:
                        self.tables.release(part.memory)
                        part.memory = None
                    if part is not vma:
                """,
            ),
        ),
    ),
    Mutant(
        "memory-gone-while-mapped",
        "RC-30",
        "memory that its owner gives up is freed, mapped or not",
        (
            (
                """
                memory.dropped = True
                memory.references -= 1
                """,
                """
                memory.dropped = True
                memory.references = 0
                """,
            ),
        ),
        known="KB-48",
    ),
    # -- pages of the system -------------------------------------------------------------------
    Mutant(
        "page-never-taken-away",
        "RC-31",
        "a page that is unmapped by itself is never taken away from the device",
        (
            (
                """
                self.flush()
                for word in words:
                    self.unmap_page(table.first.output(word), table.span)
                """,
                """
                self.flush()
                """,
            ),
        ),
    ),
    Mutant(
        "replaced-page-kept",
        "RC-31",
        "a page that another one replaces is not taken away from the device",
        (
            (
                """
                if change.refs == KEEP and self.is_let_at(number, old):
                    # The invalidation at the end of the walk lets go of what was there before.
                    self.kept_pages.append((table.first.output(old), table.span))
                """,
                "",
            ),
        ),
    ),
)
