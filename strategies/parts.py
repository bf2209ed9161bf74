"""A range by how it lies to a mapping that is there."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A range by a mapping that is there: pages from its first page (or, ``from_end``, behind its
    last) to where it starts, and how its end lies to the mapping's: ``pages`` long, or, where
    ``to_end``, that many pages beyond the mapping's end.
    """

    start: int
    from_end: bool
    pages: int
    to_end: bool
