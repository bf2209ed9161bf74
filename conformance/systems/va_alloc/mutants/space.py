"""Seeded bugs of the books: holes that are lost, or not joined, or not given back."""

from conformance.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "not-joined-with-the-hole-before",
        "SP-41",
        "what comes back is not joined to the hole before it",
        (
            (
                """
                if before is not None:
                    self.drop_hole(before)
                    first = before.first
                """,
                """
                if before is not None and self.holes.at(end) is None:
                    self.drop_hole(before)
                    first = before.first
                """,
            ),
        ),
    ),
    Mutant(
        "page-behind-lost",
        "SP-41",
        "a rest of one page behind what is given out is no hole",
        (("if end < hole.end:", "if end < hole.end and end + 4096 != hole.end:"),),
    ),
    Mutant(
        "rest-before-lost",
        "SP-41",
        "where something is left of a hole on both sides, what is before is lost",
        (("if hole.first < first:", "if hole.first < first and end == hole.end:"),),
    ),
    Mutant(
        "last-not-given-back",
        "RC-40",
        "in the end the last range stays taken",
        (("for number in list(self.nodes):", "for number in list(self.nodes)[:-1]:"),),
    ),
    Mutant(
        "dropped-without-holes",
        "RC-40",
        "in the end ranges are forgotten, and their addresses are no hole",
        (
            (
                """
                for number in list(self.nodes):
                    self.free(number)
                """,
                """
                for number in list(self.nodes):
                    self.drop(self.nodes[number])
                """,
            ),
        ),
    ),
    Mutant(
        "hole-dropped-before-it-is-known",
        "ER-2",
        "a range that is not free to its end leaves the allocator without the hole at its start",
        (
            (
                """
                if hole is None or hole.end < end:
                    return -errno.ENOSPC
                """,
                """
                if hole is None:
                    return -errno.ENOSPC
                if hole.end < end:
                    self.drop_hole(hole)
                    return -errno.ENOSPC
                """,
            ),
        ),
    ),
)
