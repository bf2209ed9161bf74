"""What the hardware's side of the model sees, and a rule may object to.

Source: semantics.md "The maximal TLB"; formats.md F.2, F.3.
"""

from typing import Final

from mypy_extensions import i64

# What can be observed. Each has a count of the times that it could have been.
PUBLISHED_UNWRITTEN: Final = 0
PUBLISHED_UNORDERED: Final = 1
PUBLISHED_NOTHING: Final = 2
REPLACED_SIZE: Final = 3
REPLACED_VALUE: Final = 4
CONFLICT_SIZE: Final = 5
CONFLICT_VALUE: Final = 6
CHANGED_OUTSIDE: Final = 7
FREED_LINKED: Final = 8
FREED_CACHED: Final = 9
FREED_UNKNOWN: Final = 10
STORED_FREED: Final = 11
STORED_OUTSIDE: Final = 12
ISSUED_UNSEEN: Final = 13
OBSERVATIONS: Final = 14


class Observation:
    """Something that a rule may object to."""

    def __init__(
        self, kind: i64, event: i64, level: i64, va: i64, old: i64, new: i64, pa: i64, space: i64
    ) -> None:
        self.kind: i64 = kind
        """One of the numbers above."""
        self.event: i64 = event
        """Number of the event, counted from the start of the example."""
        self.level: i64 = level
        """Of the entry concerned; -1: none."""
        self.va: i64 = va
        """First address of the entry concerned; -1: none."""
        self.old: i64 = old
        """The entry's word before, or 0."""
        self.new: i64 = new
        """The entry's word after, or 0."""
        self.pa: i64 = pa
        """Of the table or word concerned."""
        self.space: i64 = space
        """Number of the address space concerned."""


class Observed:
    """What was observed so far, and how often there was something to observe."""

    def __init__(self) -> None:
        self.now: i64 = 0
        """Number of the event that is looked at, from the start of the example."""
        self.observations: list[Observation] = []
        """In order; whoever has judged them empties the list."""
        self.counts: list[i64] = [0] * OBSERVATIONS
        """How often each kind could have been observed."""

    def observe(
        self, kind: i64, level: i64, va: i64, old: i64, new: i64, pa: i64, space: i64
    ) -> None:
        """Write an observation down."""
        self.observations.append(Observation(kind, self.now, level, va, old, new, pa, space))
