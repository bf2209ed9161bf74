"""What accesses of a device's registers mean, for the systems whose devices have any.

A trace has the number of a register and a word. What they say depends on the
device, so each system with registers has a decoder of its own; the tellings
know no more of it than what stands here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from reference import trace as t


@dataclass(frozen=True)
class Accesses:
    """Events ``first``..``last``, which belong together, in words.

    All of them are accesses of registers, and barriers that go with these.
    """

    first: int
    last: int
    text: str


class Decoder(Protocol):
    """Knows the registers of one device."""

    def accesses(
        self, events: Sequence[t.Event], first: int, last: int, alone: int | None
    ) -> list[Accesses]:
        """Every access among events ``first``..``last`` whose register is known, in order.

        ``events`` is the whole trace: what was written earlier may say what an access means.
        The event ``alone`` is with no other.
        """

    def completion(self, events: Sequence[t.Event], end: int) -> int | None:
        """The last event before ``end`` that showed an invalidation to be completed."""


def last_showing(
    showed: Callable[[t.Event], bool], events: Sequence[t.Event], end: int
) -> int | None:
    """The last event before ``end`` that ``showed`` says something of; it is asked in order."""
    found = None
    for number in range(end):
        if showed(events[number]):
            found = number
    return found
