"""Seeded bugs of what a call refuses, what it finds room for, and whether it comes back."""

from conformance.mutants.mutant import Mutant

_FREE = "if hole is None or hole.end < end:"

MUTANTS: tuple[Mutant, ...] = (
    # -- what is refused ------------------------------------------------------------------------
    Mutant(
        "start-only-has-to-be-free",
        "ER-1",
        "a range can be reserved if its first byte is free",
        ((_FREE, "if hole is None:"),),
    ),
    Mutant(
        "no-room-is-invalid",
        "ER-1",
        "a request for which there is no room is told that it is invalid",
        (
            (
                """
                    hole = self.next_hole(hole, size, mode, first, last)
                return -errno.ENOSPC, 0
                """,
                """
                    hole = self.next_hole(hole, size, mode, first, last)
                return -errno.EINVAL, 0
                """,
            ),
        ),
    ),
    Mutant(
        "nothing-given-out",
        "ER-1",
        "a request for no bytes gets an address",
        (
            (
                "if size <= 0:\n    return -errno.ENOSPC, 0",
                "if size < 0:\n    return -errno.ENOSPC, 0",
            ),
        ),
    ),
    # -- what there is room for -----------------------------------------------------------------
    Mutant(
        "last-byte-taken-for-the-end",
        "ER-40",
        "the last byte of the range that is asked for is taken for what comes behind it: a request "
        "for all of it finds no room",
        (
            (
                """
                if size <= 0:
                    return -errno.ENOSPC, 0
                """,
                """
                if size <= 0 or size > last - first:
                    return -errno.ENOSPC, 0
                """,
            ),
        ),
        known="KB-19",
    ),
    Mutant(
        "last-range-not-free",
        "ER-40",
        "a range that ends where its hole ends cannot be reserved",
        ((_FREE, "if hole is None or hole.end <= end:"),),
    ),
    Mutant(
        "first-hole-only",
        "ER-40",
        "if the smallest hole has no room at such a multiple, no other is looked at",
        (("return self.of_size(hole.key() + 1)", "return None"),),
    ),
    # -- calls that do not come back ------------------------------------------------------------
    Mutant(
        "hole-search-stands-still",
        "PG-1",
        "the search for a chunk of holes keeps the middle one that it has ruled out",
        (("low = middle + 1", "low = middle"),),
    ),
    Mutant(
        "joined-with-nothing",
        "PG-2",
        "a range that comes back is joined to a hole behind it that is not there",
        (("if after is not None:", "if after is not None or before is not None:"),),
    ),
)
