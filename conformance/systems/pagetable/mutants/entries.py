"""Seeded bugs of what an entry says: addresses, permissions, and the driver's own walk."""

from conformance.mutants.mutant import Mutant

_LEAF = """
    table, index, self.format.leaf(level, pa + (index - first) * pgsize, prot)
    """

MUTANTS: tuple[Mutant, ...] = (
    # -- addresses ----------------------------------------------------------------------------
    Mutant(
        "leaf-address-of-32-bits",
        "TR-1",
        "the physical address of a page is kept in 32 bits",
        (
            (
                _LEAF,
                """
                table,
                index,
                self.format.leaf(level, (pa + (index - first) * pgsize) & 0xFFFF_FFFF, prot),
                """,
            ),
        ),
        known="KB-44",
    ),
    Mutant(
        "run-restarts",
        "TR-1",
        "a run is stored in pieces of 64 pages, and each piece starts again at the first address",
        (
            (
                _LEAF,
                """
                table, index, self.format.leaf(level, pa + (index - first) % 64 * pgsize, prot)
                """,
            ),
        ),
        known="KB-46",
    ),
    Mutant(
        "split-repeats-first-part",
        "NB-1",
        "every part of a block that is split leads to the block's start",
        (
            (
                "self.memory.store(child, part, self.format.part(level, block, part * step))",
                "self.memory.store(child, part, self.format.part(level, block, 0))",
            ),
        ),
        known="KB-33",
    ),
    Mutant(
        "alias-beyond-input",
        "NB-1",
        "a map beyond the input size is not refused, and lands where its low bits point",
        (
            (
                """
                if not fits(iova, pgsize, pgcount, self.geometry.limit):
                    return -errno.ERANGE, 0
                """,
                "",
            ),
        ),
        known="KB-18",
    ),
    # -- permissions and memory types ---------------------------------------------------------
    Mutant(
        "wrong-attribute",
        "TR-2",
        "every mapping is writable",
        (
            (
                _LEAF,
                """
                table, index, self.format.leaf(level, pa + (index - first) * pgsize, prot | WRITE)
                """,
            ),
        ),
    ),
    Mutant(
        "never-cached",
        "TR-2",
        "every mapping is made without CACHE",
        (
            (
                _LEAF,
                """
                table, index, self.format.leaf(level, pa + (index - first) * pgsize, prot & ~4)
                """,
            ),
        ),
        known="KB-05",
    ),
    Mutant(
        "block-without-execute-never",
        "TR-2",
        "execution is forbidden in pages of the smallest size only",
        (
            (
                """
                # 4. Store the leaves.
                """,
                """
                # 4. Store the leaves.
                if level < self.last_level:
                    prot &= ~8
                """,
            ),
        ),
    ),
    # -- the driver's own walk ----------------------------------------------------------------
    Mutant(
        "translate-drops-offset",
        "TR-3",
        "iova_to_phys gives the start of the page or block",
        (
            (
                "return self.format.output(level, entry) + offset",
                "return self.format.output(level, entry)",
            ),
        ),
        known="KB-41",
    ),
    Mutant(
        "translate-page-offset-in-block",
        "TR-3",
        "iova_to_phys adds the offset inside the smallest page, for blocks too",
        (
            (
                "offset: i64 = iova & (self.format.span(level) - 1)",
                "offset: i64 = iova & (self.format.granule - 1)",
            ),
        ),
        known="KB-41",
    ),
    Mutant(
        "translate-without-last-page",
        "TR-3",
        "iova_to_phys knows nothing of the last page of the input range",
        (
            (
                "if not fits(iova, 1, 1, self.geometry.limit):",
                "if not fits(iova, 1, 1, self.geometry.limit - self.format.granule):",
            ),
        ),
    ),
)
