"""Memory for a driver's tables: where they lie, what is in them, and what is told of it.

Every access is an event, and goes by address, as the driver's own would: to a table that was given
back, too, of which nothing is there to be read. ``reference.hardware.memory`` is the same memory as
the device sees it, made of these events: that both keep its words is meant, for what a driver
believes to be there is not what is judged.

Source: semantics.md (The maximal TLB).
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

from reference.drivers.budget import Steps
from reference.hardware.memory import POISON
from reference.trace import ALLOC, ALLOC_FAILED, FILL, FREE, STORE, Trace

NO_TABLE: Final = -1
"""In place of the address of a table: there is none."""

ACCESSES: Final = 1 << 24
"""The budget of who is given none: more accesses than any call needs."""


@mypyc_attr(allow_interpreted_subclasses=True)
class TableMemory(Steps):
    """Memory from ``first`` to ``end`` (exclusive), a multiple of ``page``. A step is an access.

    ``trace``: where events go. ``next``: where nothing ever lay. ``pages``: the words of each table
    that is there, by address. ``rooms``: the bytes of the place in which a table lies or lay, by
    address; ``places``: those that are free, by their bytes, the one first that was given back
    first. ``fail_at``: the number of the next table that is not to be had (1 is the next one; 0
    none).
    """

    def __init__(self, first: i64, end: i64, page: i64, trace: Trace) -> None:
        super().__init__(ACCESSES)
        self.trace: Trace = trace
        self.next: i64 = first
        self.end: i64 = end
        self.page: i64 = page
        self.pages: dict[i64, list[i64]] = {}
        self.rooms: dict[i64, i64] = {}
        self.places: dict[i64, list[i64]] = {}
        self.fail_at: i64 = 0

    def fails(self) -> bool:
        """Count a table that is asked for; whether it is the one that is not to be had."""
        self.spend()
        if self.fail_at > 0:
            self.fail_at -= 1
            return self.fail_at == 0
        return False

    def allocate(self, size: i64, align: i64) -> i64:
        """A table of ``size`` bytes of arbitrary content; NO_TABLE where memory has run out.

        Tables smaller than a page whose ``align`` is, too, are cut from a page.
        """
        room: i64 = max(size, align)
        if self.fails() or not self.has(room):
            self.trace.emit(ALLOC_FAILED, size)
            return NO_TABLE
        pa = self.places[room].pop(0)
        self.pages[pa] = [POISON] * (size >> 3)
        self.trace.emit(ALLOC, pa, size)
        return pa

    def has(self, room: i64) -> bool:
        """Whether a place of so many bytes is free, if need be in a page that is cut up for it."""
        places = self.places.setdefault(room, [])
        if places:
            return True
        stop: i64 = self.next + max(room, self.page)
        if stop > self.end:
            return False
        for pa in range(self.next, stop, room):
            places.append(pa)
            self.rooms[pa] = room
        self.next = stop
        return True

    def free(self, pa: i64) -> None:
        """Give a table back. Of one that is not there it is told, and nothing else done.

        Raises:
            ValueError: ``pa`` is NO_TABLE, which is nowhere.
        """
        self.spend()
        if pa == NO_TABLE:
            raise ValueError(f"pa is {pa}; allowed are addresses, of tables that are there or not")
        words = self.pages.get(pa)
        if words is None:
            self.trace.emit(FREE, pa, self.rooms.get(pa, self.page))
            return
        self.trace.emit(FREE, pa, len(words) << 3)
        del self.pages[pa]
        self.places[self.rooms[pa]].append(pa)

    def zero(self, pa: i64) -> None:
        """Clear a whole table."""
        self.spend()
        size: i64 = len(self.pages[pa])
        self.pages[pa] = [0] * size
        self.trace.emit(FILL, pa, size << 3, 0)

    def read(self, table: i64, index: i64) -> i64:
        """Word ``index`` of a table."""
        self.spend()
        words = self.pages.get(table)
        if words is None:
            return POISON
        return words[index]

    def store(self, table: i64, index: i64, word: i64) -> None:
        """Store word ``index`` of a table."""
        self.spend()
        old: i64 = POISON
        words = self.pages.get(table)
        if words is not None:
            old = words[index]
            words[index] = word
        self.trace.emit(STORE, table + index * 8, old, word)
