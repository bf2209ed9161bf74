"""Seeded bugs of calls: what they refuse, what they say, and what is left when they fail."""

from conformance.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    # -- what is refused -----------------------------------------------------------------------
    Mutant(
        "last-byte-of-area-refused",
        "ER-1",
        "a part that ends with its area is taken to go beyond it",
        (("or address + size > vma.end", "or address + size >= vma.end"),),
        known="KB-42",
    ),
    Mutant(
        "beyond-memory-accepted",
        "ER-1",
        "a map may begin anywhere in a memory, and go on behind its end",
        (
            (
                """
                if offset + size > memory.size:
                    return NO_PAGE
                """,
                """
                if offset > memory.size:
                    return NO_PAGE
                """,
            ),
        ),
    ),
    Mutant(
        "raw-calls-anywhere",
        "ER-1",
        "the raw interface may be used for addresses that are handed out",
        (
            (
                "if not self.keeps_out(address, size) or index == NO_PAGE:",
                "if not self.space.raw or index == NO_PAGE:",
            ),
        ),
        known="KB-12",
    ),
    Mutant(
        "no-pages-referenced",
        "ER-1",
        "references to no pages at all can be taken",
        (
            (
                """
                if index == NO_PAGE or size == 0:
                    return -errno.EINVAL
                return self.references.take(self.space.format.pages[index], address, size)
                """,
                """
                if index == NO_PAGE:
                    return -errno.EINVAL
                return self.references.take(self.space.format.pages[index], address, size)
                """,
            ),
        ),
        known="KB-14",
    ),
    Mutant(
        "unmapped-from-inside",
        "ER-1",
        "an unmap takes any address of what is mapped, and unmaps all of it",
        (
            (
                "if vma is None or vma.address != address:",
                "if vma is None:",
            ),
        ),
    ),
    Mutant(
        "dropped-again",
        "ER-1",
        "memory that its owner has given up can be given up again",
        (
            (
                "if number >= len(self.memories) or self.memories[number].dropped:",
                "if number >= len(self.memories):",
            ),
        ),
    ),
    # -- what is left when they fail -----------------------------------------------------------
    Mutant(
        "failed-map-left",
        "ER-2",
        "a map for whose tables there is not enough memory leaves the entries that it has made",
        (
            (
                """
                if done:
                    self.end_map(index, address, done, sparse, change.memory is None)
                return -errno.ENOMEM
                """,
                """
                return -errno.ENOMEM
                """,
            ),
        ),
        known="KB-08",
    ),
    Mutant(
        "failed-references-left",
        "ER-2",
        "where there is no memory for all tables, the references taken so far stay",
        (
            (
                """
                if done:
                    self.drop(page, address, done)
                return -errno.ENOMEM
                """,
                """
                return -errno.ENOMEM
                """,
            ),
        ),
    ),
    Mutant(
        "refused-map-lets-go",
        "ER-2",
        "a map that no page size fits has already let go of the memory that was there",
        (
            (
                """
                if index == NO_PAGE:
                    return -errno.EINVAL
                if not is_whole:
                    vma = self.areas.split(vma, address, size)
                """,
                """
                if index == NO_PAGE:
                    if vma.memory is not None:
                        self.tables.release(vma.memory)
                    return -errno.EINVAL
                if not is_whole:
                    vma = self.areas.split(vma, address, size)
                """,
            ),
        ),
    ),
    Mutant(
        "half-sparse-left",
        "ER-2",
        "a range that cannot be made sparse to its end stays so where it could",
        (
            (
                """
                if result != 0:
                    self.drop_sparse(blocks)
                    return result
                """,
                """
                if result != 0:
                    return result
                """,
            ),
        ),
    ),
    # -- what they say -------------------------------------------------------------------------
    Mutant(
        "runs-counted",
        "ER-30",
        "a run of pages that cannot be mapped is told as one page",
        (("refused += run", "refused += 1"),),
    ),
    Mutant(
        "unmapped-counted",
        "ER-30",
        "pages that were not to be mapped, and are not there, are told as not done",
        (
            (
                """
                if wanted and not done:
                    refused += run
                """,
                """
                if not done:
                    refused += run
                """,
            ),
        ),
    ),
    # -- how they end --------------------------------------------------------------------------
    Mutant(
        "refused-space-destroyed",
        "PG-2",
        "an address space that is refused is destroyed, although nothing of it was made",
        (
            (
                """
                if end > self.limit or start > end:
                    return -errno.EINVAL
                """,
                """
                if end > self.limit or start > end:
                    self.tables.remove_all()
                    return -errno.EINVAL
                """,
            ),
        ),
        known="KB-20",
    ),
    Mutant(
        "put-of-mapped-warned-of",
        "PG-3",
        "an area that is given back with parts mapped in it is warned of as one that is in use",
        (
            (
                """
                for part in parts:
                    if part.memory is not None:
                        self.tables.release(part.memory)
                """,
                """
                for part in parts:
                    if part.memory is not None:
                        if part is not vma:
                            self.memory.trace.emit(WARN)
                        self.tables.release(part.memory)
                """,
            ),
            (
                """
                REFS_BUFFER,
                Trace,
                """,
                """
                REFS_BUFFER,
                WARN,
                Trace,
                """,
            ),
        ),
    ),
)
