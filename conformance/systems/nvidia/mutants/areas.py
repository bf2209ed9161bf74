"""Seeded bugs of areas: where they are handed out, their parts, and what those say."""

from conformance.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    # -- where they are handed out -------------------------------------------------------------
    Mutant(
        "first-fit",
        "SP-32",
        "the first hole with enough room is taken, and not the smallest",
        (
            (
                """
                if vma.used or vma.size < size or (best is not None and vma.size >= best.size):
                    continue
                """,
                """
                if vma.used or vma.size < size or best is not None:
                    continue
                """,
            ),
        ),
    ),
    Mutant(
        "page-size-not-aligned-to",
        "SP-32",
        "an area for which an alignment is asked for is not aligned to its page size",
        (
            (
                "vma, address = self.areas.best_fit(size, max(unit, 1 << int(align)), index)",
                """
                unit = 1 << int(align) if align else unit
                vma, address = self.areas.best_fit(size, unit, index)
                """,
            ),
        ),
    ),
    Mutant(
        "hole-not-merged",
        "SP-32",
        "what is given back does not become one with what is free behind it",
        (
            (
                """
                if place + 1 < len(self.vmas) and not self.vmas[place + 1].used:
                    vma.size += self.vmas[place + 1].size
                    self.vmas.pop(place + 1)
                """,
                "",
            ),
        ),
    ),
    # -- parts ---------------------------------------------------------------------------------
    Mutant(
        "mapped-before-referenced",
        "SP-30",
        "pages count as mapped before there are references for them, and stay so if there is no "
        "memory",
        (
            (
                """
                if wanted:
                    if self.begin_pages(index, address, size, change, part.sparse) != 0:
                """,
                """
                if wanted:
                    part.mapped = True
                    part.refd = index
                    if self.begin_pages(index, address, size, change, part.sparse) != 0:
                """,
            ),
        ),
        known="KB-15",
    ),
    Mutant(
        "unmapped-with-page-size",
        "SP-30",
        "what was unmapped still says with which page size it is referenced",
        (
            (
                """
                self.end_map(vma.refd, vma.address, vma.size, vma.sparse, False)
                vma.refd = NO_PAGE
                """,
                """
                self.end_map(vma.refd, vma.address, vma.size, vma.sparse, False)
                """,
            ),
        ),
    ),
    Mutant(
        "parts-not-alike-merged",
        "SP-30",
        "a part that is not mapped becomes one with the pages beside it that still are",
        (
            (
                """
                self.mapped == other.mapped
                and self.memory is None
                and other.memory is None
                and self.refd == other.refd
                """,
                """
                self.memory is None
                and other.memory is None
                """,
            ),
        ),
    ),
)
