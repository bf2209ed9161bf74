"""Seeded bugs of what is sparse, and of large entries above small pages."""

from conformance.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    # -- what reads as zeros -------------------------------------------------------------------
    Mutant(
        "unmap-ends-sparse",
        "TR-30",
        "what is unmapped in a sparse area, and loses its references with that, is left invalid",
        (
            (
                """
                self.end_map(vma.refd, vma.address, vma.size, vma.sparse, False)
                vma.refd = NO_PAGE
                """,
                """
                self.end_map(vma.refd, vma.address, vma.size, vma.sparse and self.raw, False)
                vma.refd = NO_PAGE
                """,
            ),
        ),
        known="KB-36",
    ),
    Mutant(
        "sparse-ended-first",
        "TR-30",
        "a sparse area that is given back is no longer sparse first, and then unmapped to sparse",
        (
            (
                """
                # 1. What is mapped or referenced, in runs.
                if vma.mapref or not vma.sparse:
                    self.drop_runs(vma, parts)
                # 2. What makes it sparse.
                self.references.drop_sparse(vma.blocks)
                """,
                """
                self.references.drop_sparse(vma.blocks)
                # 1. What is mapped or referenced, in runs.
                if vma.mapref or not vma.sparse:
                    self.drop_runs(vma, parts)
                # 2. What makes it sparse.
                """,
            ),
        ),
    ),
    Mutant(
        "sparse-mark-of-table-lost",
        "TR-30",
        "the entry that led to a table in a sparse range is unmapped when the table goes",
        (
            (
                """
                del parent.children[child.index]
                if child.sparse:
                    parent.marked.add(child.index)
                """,
                """
                del parent.children[child.index]
                """,
            ),
        ),
    ),
    Mutant(
        "small-pages-stay-sparse",
        "TR-30",
        "small entries that were made sparse below a large one stay so when it no longer is",
        (
            (
                """
                node.marked.discard(at)
                if at in node.below:
                    node.below.remove(at)
                    self.write_small(node, at << self.small_shift, self.small_each, False)
                    self.pending = True
                """,
                """
                node.marked.discard(at)
                node.below.discard(at)
                """,
            ),
        ),
    ),
    Mutant(
        "new-table-without-marks",
        "TR-30",
        "a table of large pages that comes into a sparse range is sparse, and not marked so",
        (
            (
                """
                if child.sparse and number != self.format.small:
                    child.marked.update(range(table.entries))
                """,
                """
                if child.sparse and number < self.format.large:
                    child.marked.update(range(table.entries))
                """,
            ),
        ),
    ),
    # -- large entries and small pages ---------------------------------------------------------
    Mutant(
        "count-of-six-bits",
        "SP-31",
        "more than 63 references to the small pages of a large one are counted as 63",
        (
            (
                "node.small[large] = node.small.get(large, 0) + (stop - at)",
                "node.small[large] = min(node.small.get(large, 0) + (stop - at), 63)",
            ),
        ),
        known="KB-01",
    ),
    Mutant(
        "small-pages-counted-once",
        "SP-31",
        "however many small pages of a large one are referenced by a call, it counts as one",
        (
            (
                "node.small[large] = node.small.get(large, 0) + (stop - at)",
                "node.small[large] = node.small.get(large, 0) + 1",
            ),
        ),
    ),
    Mutant(
        "mark-stays",
        "SP-31",
        "a large entry stays marked when it is no longer sparse, unless small pages are in use",
        (
            (
                """
                node.marked.discard(at)
                if at in node.below:
                """,
                """
                if node.level > 0 or node.small.get(at, 0):
                    node.marked.discard(at)
                if at in node.below:
                """,
            ),
        ),
    ),
)
