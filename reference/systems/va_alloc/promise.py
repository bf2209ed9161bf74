"""The promise of an allocator of addresses: which ranges callers have, and what has room.

A flat list of the ranges that were given out, in one window. It knows no holes but those
that lie between: :meth:`VaSpace.holes` and all that follows from it is counted anew.

Addresses are unsigned words, in bytes; ranges are inclusive.

Source: Linux include/drm/drm_mm.h (enum drm_mm_insert_mode).
"""

from typing import Final

from reference.sorted_keys import SortedKeys
from reference.trace import RANGE, WARN, WORDS
from reference.words import to_unsigned

HOLE: Final = -1
"""The number of what is nobody's."""

LISTED: Final = 16
"""So many ranges are listed after an operation at most, besides the one below it."""


class Range:
    """Addresses ``first`` to ``last`` are those of range ``number``; or a hole's."""

    def __init__(self, first: int, last: int, number: int) -> None:
        self.first: int = first
        self.last: int = last
        self.number: int = number

    def same(self, other: "Range") -> bool:
        """Whether both say the same."""
        return self.first == other.first and self.last == other.last and self.number == other.number


class Room:
    """A hole in which a request has room: at ``lowest``, up to at ``highest``.

    ``size``: the hole's bytes; ``usable``: those that lie in the range that was asked for.
    """

    def __init__(self, size: int, usable: int, lowest: int, highest: int) -> None:
        self.size: int = size
        self.usable: int = usable
        self.lowest: int = lowest
        self.highest: int = highest


class Seen:
    """What the events of one operation said.

    ``listed``: what the allocator has in and around the operation's range. ``warned``: the
    event of a warning, or -1.
    """

    def __init__(self) -> None:
        self.listed: list[Range] = []
        self.warned: int = -1


class VaSpace:
    """The window ``first``..``last``, and the ranges in it that callers have.

    ``made``: how many were given out so far. ``listed``: what the allocator said last of
    what it has.
    """

    def __init__(self) -> None:
        self.exists: bool = False
        self.first: int = 0
        self.last: int = -1
        self.made: int = 0
        self.ranges: dict[int, Range] = {}
        self.firsts: SortedKeys = SortedKeys()
        self.at: dict[int, Range] = {}
        self.listed: list[Range] = []

    def create(self, start: int, size: int) -> None:
        """A window with nothing in it."""
        self.exists = True
        self.first = start
        self.last = start + size - 1

    def add(self, first: int, last: int) -> None:
        """A range was given out, in which there is no other."""
        one = Range(first, last, self.made)
        self.made += 1
        self.ranges[one.number] = one
        self.firsts.add(first)
        self.at[first] = one

    def remove(self, number: int) -> None:
        """A range came back."""
        one = self.ranges.pop(number)
        self.firsts.remove(one.first)
        del self.at[one.first]

    def clear(self) -> None:
        """All came back, and the window is gone."""
        self.exists = False
        self.ranges.clear()
        self.firsts.clear()
        self.at.clear()

    # -- what is there --------------------------------------------------------------------------

    def first_in(self, first: int, last: int) -> Range | None:
        """The lowest range that has an address in ``first`` to ``last``."""
        before = self.firsts.at_or_before(first)
        if before >= 0 and self.at[before].last >= first:
            return self.at[before]
        after = self.firsts.at_or_after(first)
        return self.at[after] if 0 <= after <= last else None

    def inside(self, first: int, last: int) -> bool:
        """Whether ``first`` to ``last`` lie in the window."""
        return self.first <= first and last <= self.last

    def holes(self) -> list[Range]:
        """What lies between the ranges, ascending."""
        found: list[Range] = []
        at = self.first
        for first in self.firsts.between(self.first, self.last):
            if first > at:
                found.append(Range(at, first - 1, HOLE))
            at = self.at[first].last + 1
        if at <= self.last:
            found.append(Range(at, self.last, HOLE))
        return found

    def rooms(self, size: int, align: int, first: int, last: int) -> list[Room]:
        """The holes in which ``size`` bytes have room within ``first``..``last``, ascending.

        At a multiple of ``align`` (0: anywhere).
        """
        found: list[Room] = []
        if size <= 0:
            return found
        step = max(align, 1)
        for hole in self.holes():
            low, high = max(hole.first, first), min(hole.last, last)
            lowest = low + -low % step
            if lowest + size - 1 > high:
                continue
            highest = high + 1 - size
            highest -= highest % step
            found.append(Room(hole.last - hole.first + 1, high - low + 1, lowest, highest))
        return found

    # -- what has to be listed ------------------------------------------------------------------

    def around(self, first: int, last: int) -> list[Range]:
        """What has to be listed after an operation about ``first``..``last``, ascending.

        The range below it; each range and hole in it; the range above it. Where there is no
        range below or above, what there is up to the window's end. What lies outside the window
        is not looked at, and after ``LISTED`` ranges the list ends.
        """
        low = min(max(first, self.first), self.last)
        high = min(max(last, low), self.last)
        found: list[Range] = []
        at = self.first
        before = self.firsts.at_or_before(low)
        if before >= 0 and self.at[before].last >= low:
            before = self.firsts.at_or_before(before - 1) if before > 0 else -1
        if before >= 0:
            found.append(self.at[before])
            at = self.at[before].last + 1
        for _ in range(LISTED):
            following = self.firsts.at_or_after(at)
            if following < 0:
                if at <= self.last:
                    found.append(Range(at, self.last, HOLE))
                return found
            if following > at:
                found.append(Range(at, following - 1, HOLE))
            found.append(self.at[following])
            at = self.at[following].last + 1
            if following > high:
                return found
        return found

    # -- events ---------------------------------------------------------------------------------

    def feed(self, words: list[int], begin: int) -> Seen:
        """Take the events of a flat trace from event number ``begin`` to its end."""
        seen = Seen()
        for event in range(begin, len(words) // WORDS):
            head, a, b, c = words[event * WORDS : event * WORDS + WORDS]
            kind = head & 0xFFFF
            if kind == RANGE:
                seen.listed.append(Range(to_unsigned(a), to_unsigned(b), c))
            elif kind == WARN:
                seen.warned = event
        if seen.listed:
            self.listed = seen.listed
        return seen
