"""Seeded bugs of where addresses lie that are given out, and of what is found."""

from conformance.mutants.mutant import Mutant

_INSIDE = """
    if address < low or address + size > high:
        return -1
    """
_LOWEST = "address = low + -low % step"
_HIGHEST = """
    address = high - size
    address -= address % step
    """
_FROM_TOP = """
    if mode == HIGH:
        address = high - size
    """

MUTANTS: tuple[Mutant, ...] = (
    # -- what is free ---------------------------------------------------------------------------
    Mutant(
        "end-of-hole-not-checked",
        "SP-40",
        "what is rounded up to a multiple may end behind the hole, if not behind the window",
        (
            (
                _INSIDE,
                """
                if address < low or address >= high or address + size > self.end:
                    return -1
                if address + size > high and (mode == HIGH or high > last):
                    return -1
                """,
            ),
        ),
    ),
    # -- what was asked for ---------------------------------------------------------------------
    Mutant(
        "lower-bound-not-rounded",
        "TR-41",
        "where a hole is cut by the range that is asked for, its start is not rounded up",
        ((_LOWEST, "address = low + (-low % step if low == hole.first else 0)"),),
    ),
    Mutant(
        "not-rounded-from-the-top",
        "TR-41",
        "from the top, the end is put at the end of the hole, whatever the start is a multiple of",
        ((_HIGHEST, "address = high - size"),),
    ),
    Mutant(
        "lower-bound-forgotten-from-the-top",
        "TR-41",
        "from the top, a request may get addresses below those that it was to get",
        (
            (
                _INSIDE,
                """
                if mode == HIGH:
                    low = hole.first
                if address < low or address + size > high:
                    return -1
                """,
            ),
        ),
    ),
    # -- which hole, and where in it ------------------------------------------------------------
    Mutant(
        "first-fit-for-best",
        "TR-42",
        "best takes the first hole that has room, however large",
        (
            (
                """
                if mode == LOW:
                    return self.holes.upwards(first, size)
                """,
                """
                if mode != HIGH:
                    return self.holes.upwards(first, size)
                """,
            ),
            (
                """
                if mode == LOW:
                    return self.holes.upwards(hole.end, size) if hole.end <= last else None
                """,
                """
                if mode != HIGH:
                    return self.holes.upwards(hole.end, size) if hole.end <= last else None
                """,
            ),
        ),
    ),
    Mutant(
        "from-the-bottom-of-the-highest",
        "TR-42",
        "high takes the right hole, and the lowest addresses in it",
        ((_FROM_TOP, _FROM_TOP.replace("HIGH:", "HIGH and low % step:")),),
    ),
    Mutant(
        "best-from-the-top",
        "TR-42",
        "best takes the right hole, and the highest addresses in it",
        ((_FROM_TOP, _FROM_TOP.replace("mode == HIGH", "mode != LOW")),),
    ),
    # -- what is found --------------------------------------------------------------------------
    Mutant(
        "found-at-the-end",
        "TR-43",
        "a range that ends right before what is asked for is found",
        (
            (
                "if before >= 0 and self.starting[before].end > first:",
                "if before >= 0 and self.starting[before].end >= first:",
            ),
        ),
    ),
    Mutant(
        "found-behind-the-end",
        "TR-43",
        "the first range above what is asked for is found, however far",
        (
            (
                "return self.starting[after] if 0 <= after <= last else None",
                "return self.starting[after] if 0 <= after else None",
            ),
        ),
    ),
)
