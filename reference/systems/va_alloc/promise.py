"""The promise of an allocator of addresses: which ranges callers have, and what has room.

A flat list of the ranges that were given out, in one window. It knows no holes but those
that lie between: :meth:`VaSpace.holes` and all that follows from it is counted anew. The driver
keeps holes, and finds them by size and address: that both reckon what has room is meant.
:class:`VaAllocPromise` says which calls have to succeed, and moves the list on.

Addresses are unsigned words, in bytes; ranges are inclusive.

Source: Linux include/drm/drm_mm.h (enum drm_mm_insert_mode).
"""

import errno
from collections.abc import Iterator, Sequence
from typing import Final

from reference.calls import LEGAL, Broken, Call, OfOne, Traits
from reference.operations import Operation, Result
from reference.sorted_keys import SortedKeys
from reference.trace import DECIMAL, HEX, WARN, WORDS, declare
from reference.words import to_signed, to_unsigned

RANGE: Final = 36
"""The event "range": after an operation, what the allocator has in and around the range that it was
about: a range that was given out, by its number, or a hole, -1."""
declare(RANGE, "range", (("first", HEX), ("last", HEX), ("number", DECIMAL)))

ALL: Final = 1 << 64
"""Bytes that 64-bit addresses reach."""

HOLE: Final = -1
"""The number of what is nobody's."""

LISTED: Final = 16
"""So many ranges are listed after an operation at most, besides the one below it."""

NO_ROOM: Final = "no room"
"""Why an ``alloc`` is refused that asks for something."""


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


class AllocCall(Call):
    """One call. ``first``..``last``: of ``alloc`` the addresses that it was given, or else those
    that it might have been.

    ``rooms``: of ``alloc``, the holes that had room. ``taken``: the range, other than its own, that
    has addresses of what was given out. ``expected``: what ``find`` has to give, held.
    """

    def __init__(self, operation: Operation) -> None:
        super().__init__(operation)
        self.rooms: list[Room] = []
        self.taken: Range | None = None
        self.expected: int = -1


class VaAllocPromise(OfOne):
    """What callers of an allocator were told, and what it says that it has.

    ``space``: the ranges that callers have; ``seen``: what the events of the last call said.
    """

    def __init__(self, traits: Traits) -> None:
        super().__init__()
        self.space: VaSpace = VaSpace()
        self.seen: Seen = Seen()

    @property
    def warned(self) -> int:
        """The event of a warning in the last call; -1 for none."""
        return self.seen.warned

    def exists(self) -> bool:
        """Whether there is an allocator."""
        return self.space.exists

    # -- before a call --------------------------------------------------------------------------

    def before(self, operation: Operation) -> AllocCall:
        """Sort a call before it is made."""
        call = AllocCall(operation)
        call.first, call.last = self.space.first, self.space.last
        name = operation.name
        if name == "create":
            call.first = to_unsigned(operation.number("start"))
            call.last = call.first + to_unsigned(operation.number("size")) - 1
        elif name == "alloc":
            self._before_alloc(call)
        elif name == "reserve":
            self._before_reserve(call)
        elif name == "free":
            self._before_free(call)
        elif name == "find":
            self._before_find(call)
        return call

    def _before_alloc(self, call: AllocCall) -> None:
        operation = call.operation
        size, align = to_unsigned(operation.number("size")), to_unsigned(operation.number("align"))
        call.first = to_unsigned(operation.number("first"))
        call.last = to_unsigned(operation.number("last"))
        call.rooms = self.space.rooms(size, align, call.first, call.last)
        if size == 0:
            call.refuse("no bytes", -errno.ENOSPC)
        elif not call.rooms:
            call.refuse(NO_ROOM, -errno.ENOSPC)

    def _before_reserve(self, call: AllocCall) -> None:
        first, size = (to_unsigned(call.operation.number(name)) for name in ("va", "size"))
        call.first, call.last = first, first + max(size, 1) - 1
        last = first + size - 1
        if size == 0:
            call.refuse("no bytes", -errno.ENOSPC)
        elif last >= ALL:
            call.refuse("wraps", -errno.ENOSPC)
        elif not self.space.inside(first, last):
            call.refuse("outside the window", -errno.ENOSPC)
        elif self.space.first_in(first, last) is not None:
            call.refuse("taken", -errno.ENOSPC)

    def _before_free(self, call: AllocCall) -> None:
        one = self.space.ranges.get(call.operation.number("node"))
        if one is None:
            call.first = call.last = self.space.first
            call.refuse("no such range", -errno.EINVAL)
        else:
            call.first, call.last = one.first, one.last

    def _before_find(self, call: AllocCall) -> None:
        call.first = to_unsigned(call.operation.number("first"))
        call.last = to_unsigned(call.operation.number("last"))
        first, last = max(call.first, self.space.first), min(call.last, self.space.last)
        found = self.space.first_in(first, last) if first <= last else None
        call.expected = -1 if found is None else to_signed(found.first)

    # -- after it -------------------------------------------------------------------------------

    def feed(self, words: list[int], begin: int) -> None:
        """Take the events of a call."""
        self.seen = self.space.feed(words, begin)

    def after(self, call: AllocCall, result: Result, end: int) -> None:
        """What callers were told by a call that came back."""
        space, operation = self.space, call.operation
        if operation.name == "create":
            self.made = True
        if result.result != 0 or not (call.sort == LEGAL or call.reason == NO_ROOM):
            return
        if operation.name == "create":
            space.create(call.first, to_unsigned(operation.number("size")))
        elif operation.name == "alloc":
            call.first = to_unsigned(result.value)
            call.last = call.first + to_unsigned(operation.number("size")) - 1
            call.taken = space.first_in(call.first, call.last)
            if call.taken is None and space.inside(call.first, call.last):
                space.add(call.first, call.last)
        elif operation.name == "reserve":
            space.add(call.first, call.last)
        elif operation.name == "free":
            space.remove(operation.number("node"))
        elif operation.name == "destroy":
            space.clear()

    def changed(self, call: AllocCall, result: Result) -> bool:
        """Whether something was given out or came back."""
        return result.result == 0 and call.operation.name != "find"

    def take_over(self, call: AllocCall, result: Result, broken: Sequence[Broken]) -> bool:
        """What a target does that breaks a rule is undone."""
        return not broken

    def is_lost(self) -> bool:
        """Not even the allocator could be made without what is wrong, or it is gone."""
        return not self.space.exists

    def ending(self) -> Iterator[Operation]:
        """All ranges come back, and the allocator goes."""
        if self.space.exists:
            yield Operation("destroy")
