"""What the hardware's side of the model sees, and a rule may object to.

Source: semantics.md "The maximal TLB"; formats.md F.2, F.3.
"""

from typing import Final

from mypy_extensions import i64

from reference.trace import WORDS

# What can be observed. Each has a count of the times that it could have been. A device numbers
# what it observes of its registers from OBSERVATIONS on.
PUBLISHED_UNWRITTEN: Final = 0
"""A table became reachable that has words which nobody wrote."""
PUBLISHED_UNORDERED: Final = 1
"""A table became reachable before what is in it is sure to be seen."""
PUBLISHED_NOTHING: Final = 2
"""A table entry leads to where no table is."""
REPLACED_SIZE: Final = 3
"""A valid entry was replaced by one of another size."""
REPLACED_VALUE: Final = 4
"""A valid entry was replaced by another that a device may not see beside it."""
CONFLICT_SIZE: Final = 5
"""An entry became valid while one of another size may be cached."""
CONFLICT_VALUE: Final = 6
"""An entry became valid while another may be cached that it must not be seen beside."""
CHANGED_OUTSIDE: Final = 7
"""A translation changed of an address that the operation does not touch."""
FREED_LINKED: Final = 8
"""A table was freed that memory still leads to."""
FREED_CACHED: Final = 9
"""A table was freed that an entry leads to which may still be cached."""
FREED_UNKNOWN: Final = 10
"""Memory was freed that is no table."""
STORED_FREED: Final = 11
"""A store to a table that was freed."""
STORED_OUTSIDE: Final = 12
"""A store to memory that never was a table."""
ISSUED_UNSEEN: Final = 13
"""An invalidation began before the stores that it is for are sure to be seen."""
PUBLISHED_SHORT: Final = 14
"""A table became reachable that has fewer entries than a walk can ask for."""
LINKED_TWICE: Final = 15
"""A table became reachable that memory leads to already, from another entry."""
FREED_ROOT: Final = 16
"""A root was freed while something was linked in it, or not invalidated."""
ALLOCATED_TWICE: Final = 17
"""Memory was handed out for a table that is one already."""
OBSERVATIONS: Final = 18

OBSERVATION_NAMES: Final = (
    "published unwritten",
    "published unordered",
    "published nothing",
    "replaced size",
    "replaced value",
    "conflict size",
    "conflict value",
    "changed outside",
    "freed linked",
    "freed cached",
    "freed unknown",
    "stored freed",
    "stored outside",
    "issued unseen",
    "published short",
    "linked twice",
    "freed root",
    "allocated twice",
)
"""By kind."""


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

    def __repr__(self) -> str:
        names = OBSERVATION_NAMES
        name = names[self.kind] if self.kind < OBSERVATIONS else f"kind {self.kind}"
        return (
            f"Observation({name} at event {self.event}, level {self.level}, "
            f"va {self.va:#x}, pa {self.pa:#x})"
        )


class Observed:
    """What is told of a machine by events, and what was observed so far."""

    def __init__(self, kinds: i64 = OBSERVATIONS) -> None:
        self.now: i64 = 0
        """Number of the event that is looked at, from the start of the example."""
        self.observations: list[Observation] = []
        """In order; whoever has judged them empties the list."""
        self.counts: list[i64] = [0] * kinds
        """How often each kind could have been observed."""

    def feed(self, words: list[int], start: i64) -> None:
        """Take the events of a flat trace from event number ``start`` to its end."""
        position: i64 = start * WORDS
        end: i64 = len(words)
        while position < end:
            head: i64 = words[position]
            a: i64 = words[position + 1]
            b: i64 = words[position + 2]
            c: i64 = words[position + 3]
            position += WORDS
            self.take(head & 0xFFFF, a, b, c)
            self.now += 1

    def take(self, kind: i64, a: i64, b: i64, c: i64) -> None:
        """Take one event, which has number ``now``."""
        raise NotImplementedError

    def observe(
        self, kind: i64, level: i64, va: i64, old: i64, new: i64, pa: i64, space: i64
    ) -> None:
        """Write an observation down."""
        self.observations.append(Observation(kind, self.now, level, va, old, new, pa, space))
