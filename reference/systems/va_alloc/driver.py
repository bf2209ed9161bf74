"""An allocator of addresses as it should be: ranges of one window are given out, and come back.

A *node* is a range that was given out; what lies between nodes is a *hole*. Holes never touch:
what comes back is joined to the holes beside it.

A caller says how many bytes it wants, at what multiple, in which part of the window, and
which of the holes that have room is to be taken:

========  ===============================================  ==========================
mode      the hole                                         where in it
========  ===============================================  ==========================
``BEST``  the smallest; of several, that of least address  at its lowest address
``LOW``   that of least address                            at its lowest address
``HIGH``  that of greatest address                         at its highest address
========  ===============================================  ==========================

Addresses are plain numbers, unsigned; ``end`` is exclusive and may be 2**64.
A call looks at the holes that are large enough, one after the other, until one has room: few,
unless alignment or range rule most of them out.

Results are the kernel's: 0 or a negative errno value.

Source: Linux include/drm/drm_mm.h (enum drm_mm_insert_mode) and drivers/gpu/drm/drm_mm.c.
"""

import errno
from typing import Final

from mypy_extensions import i64

from reference.drivers.budget import Steps
from reference.sorted_keys import SortedKeys

BEST: Final = 0
LOW: Final = 1
HIGH: Final = 2

ALL: Final = 1 << 64
"""Addresses in the address space of a 64-bit word."""
ADDRESS_BITS: Final = 64

CHUNK: Final = 4
"""Holes in half a full chunk: so few that every way through it is soon taken."""


class Node:
    """Addresses ``first`` to ``end`` (exclusive) were given out, as number ``number``."""

    def __init__(self, number: int, first: int, end: int) -> None:
        self.number: int = number
        self.first: int = first
        self.end: int = end


class Hole:
    """Addresses ``first`` to ``end`` (exclusive) are nobody's."""

    def __init__(self, first: int, end: int) -> None:
        self.first: int = first
        self.end: int = end

    def size(self) -> int:
        """Its bytes."""
        return self.end - self.first

    def key(self) -> int:
        """A number by which holes are in the order of their sizes, and then addresses."""
        return self.size() << ADDRESS_BITS | self.first


class HoleList(Steps):
    """Holes by address, in chunks of up to ``2*CHUNK``.

    ``largest``: for each chunk, the bytes of its largest hole, so that a search for many
    bytes passes by chunks of small holes. No chunk is empty. A step is a look at a hole.
    """

    def __init__(self) -> None:
        super().__init__(1 << 20)
        self.chunks: list[list[Hole]] = []
        self.largest: list[int] = []

    def place(self, address: int) -> tuple[i64, i64]:
        """(chunk, index in it) of the first hole that ends after ``address``.

        Behind the last chunk where none does.
        """
        # 1. The first chunk whose last hole ends after the address.
        low: i64 = 0
        high: i64 = len(self.chunks)
        while low < high:
            self.spend()
            middle = (low + high) >> 1
            if self.chunks[middle][-1].end > address:
                high = middle
            else:
                low = middle + 1
        # 2. The first such hole in it.
        index: i64 = 0
        if low < len(self.chunks):
            chunk = self.chunks[low]
            while chunk[index].end <= address:
                self.spend()
                index += 1
        return low, index

    def upwards(self, address: int, size: int) -> Hole | None:
        """The first hole of ``size`` bytes or more that ends after ``address``."""
        at, index = self.place(address)
        while at < len(self.chunks):
            if self.largest[at] >= size:
                chunk = self.chunks[at]
                while index < len(chunk):
                    self.spend()
                    if chunk[index].size() >= size:
                        return chunk[index]
                    index += 1
            at += 1
            index = 0
        return None

    def downwards(self, address: int, size: int) -> Hole | None:
        """The last hole of ``size`` bytes or more that starts before ``address``."""
        at, index = self.place(address)
        # The first that ends after the address may start before it, too.
        if at == len(self.chunks) or self.chunks[at][index].first >= address:
            index -= 1
        while at >= 0:
            if at < len(self.chunks) and self.largest[at] >= size:
                chunk = self.chunks[at]
                while index >= 0:
                    self.spend()
                    if chunk[index].size() >= size:
                        return chunk[index]
                    index -= 1
            at -= 1
            index = len(self.chunks[at]) - 1 if at >= 0 else 0
        return None

    def at(self, address: int) -> Hole | None:
        """The hole that ``address`` lies in."""
        hole = self.upwards(address, 0)
        return hole if hole is not None and hole.first <= address else None

    def insert(self, hole: Hole) -> None:
        """Add a hole, in whose range there is none."""
        at, index = self.place(hole.first)
        if at == len(self.chunks):
            # It comes behind all: in the last chunk, if there is one.
            if at == 0:
                self.chunks.append([hole])
                self.largest.append(hole.size())
                return
            at -= 1
            index = len(self.chunks[at])
        chunk = self.chunks[at]
        chunk.insert(index, hole)
        if len(chunk) > 2 * CHUNK:
            self.chunks.insert(at + 1, chunk[CHUNK:])
            self.largest.insert(at + 1, 0)
            del chunk[CHUNK:]
            self.measure(at + 1)
        self.measure(at)

    def remove(self, hole: Hole) -> None:
        """Take a hole out."""
        at, index = self.place(hole.first)
        self.chunks[at].pop(index)
        if self.chunks[at]:
            self.measure(at)
        else:
            self.chunks.pop(at)
            self.largest.pop(at)

    def measure(self, at: i64) -> None:
        """Note the bytes of a chunk's largest hole."""
        largest = 0
        for hole in self.chunks[at]:
            largest = max(largest, hole.size())
        self.largest[at] = largest


class VaAllocator:
    """The addresses from ``start``, ``size`` bytes of them: one hole at first."""

    def __init__(self, start: int, size: int) -> None:
        self.first: int = start
        self.end: int = start + size
        # Holes by address, and the keys that say their sizes.
        self.holes: HoleList = HoleList()
        self.sizes: SortedKeys = SortedKeys()
        # Nodes by number, and by their first address.
        self.nodes: dict[int, Node] = {}
        self.starts: SortedKeys = SortedKeys()
        self.starting: dict[int, Node] = {}
        self.next_number: int = 0
        self.add_hole(self.first, self.end)

    # -- the calls ----------------------------------------------------------------------------

    def alloc(self, size: int, align: int, mode: int, first: int, last: int) -> tuple[int, int]:
        """A node of ``size`` bytes, all within ``first`` to ``last``: (result, its address).

        Its address is a multiple of ``align`` (0: any). ENOSPC: no bytes, or no hole has room.
        Nothing is changed then.
        """
        # 1. Refuse what no hole is there for.
        if size <= 0:
            return -errno.ENOSPC, 0
        # 2. Go through the holes that are large enough, in the mode's order.
        hole = self.first_hole(size, mode, first, last)
        while hole is not None:
            self.holes.spend()
            # 3. Take the first that has room.
            address = self.room(hole, size, align, mode, first, last)
            if address >= 0:
                self.take(hole, address, address + size)
                return 0, address
            hole = self.next_hole(hole, size, mode, first, last)
        return -errno.ENOSPC, 0

    def reserve(self, address: int, size: int) -> int:
        """A node at an address of the caller's.

        ENOSPC: no bytes, or some of them are not free. Nothing is changed then.
        """
        end = address + size
        if size <= 0 or end > ALL:
            return -errno.ENOSPC
        hole = self.holes.at(address)
        if hole is None or hole.end < end:
            return -errno.ENOSPC
        self.take(hole, address, end)
        return 0

    def free(self, number: int) -> int:
        """Give a node back. EINVAL: there is none of that number."""
        node = self.nodes.get(number)
        if node is None:
            return -errno.EINVAL
        self.drop(node)
        # What comes back is one hole with those that it touches.
        first = node.first
        end = node.end
        before = self.holes.at(first - 1)
        if before is not None:
            self.drop_hole(before)
            first = before.first
        after = self.holes.at(end)
        if after is not None:
            self.drop_hole(after)
            end = after.end
        self.add_hole(first, end)
        return 0

    def free_at(self, address: int) -> int:
        """Give the node back that starts at an address. EINVAL: none does."""
        node = self.starting.get(address)
        return -errno.EINVAL if node is None else self.free(node.number)

    def find(self, first: int, last: int) -> Node | None:
        """The first node that has an address in ``first`` to ``last``."""
        before = self.starts.at_or_before(first)
        if before >= 0 and self.starting[before].end > first:
            return self.starting[before]
        after = self.starts.at_or_after(first)
        return self.starting[after] if 0 <= after <= last else None

    def destroy(self) -> None:
        """Give everything back."""
        for number in list(self.nodes):
            self.free(number)

    # -- which hole, and where in it ----------------------------------------------------------

    def first_hole(self, size: int, mode: int, first: int, last: int) -> Hole | None:
        """The first hole to look at that has ``size`` bytes or more."""
        if mode == LOW:
            return self.holes.upwards(first, size)
        if mode == HIGH:
            return self.holes.downwards(last + 1, size)
        return self.of_size(size << ADDRESS_BITS)

    def next_hole(self, hole: Hole, size: int, mode: int, first: int, last: int) -> Hole | None:
        """The hole to look at after ``hole``; None once those that follow are out of range."""
        if mode == LOW:
            return self.holes.upwards(hole.end, size) if hole.end <= last else None
        if mode == HIGH:
            return self.holes.downwards(hole.first, size) if hole.first > first else None
        return self.of_size(hole.key() + 1)

    def of_size(self, key: int) -> Hole | None:
        """The hole with the least key that is not below ``key``."""
        found = self.sizes.at_or_after(key)
        return self.holes.at(found & (ALL - 1)) if found >= 0 else None

    def room(self, hole: Hole, size: int, align: int, mode: int, first: int, last: int) -> int:
        """The address in a hole at which ``size`` bytes are to lie; -1 if they have no room."""
        # 1. What of the hole may be used.
        low = max(hole.first, first)
        high = min(hole.end, last + 1)
        # 2. The lowest multiple in it, or the highest that leaves enough behind it.
        step = max(align, 1)
        address = low + -low % step
        if mode == HIGH:
            address = high - size
            address -= address % step
        # 3. Whether that is inside.
        if address < low or address + size > high:
            return -1
        return address

    # -- books --------------------------------------------------------------------------------

    def take(self, hole: Hole, first: int, end: int) -> None:
        """Make a node of a part of a hole; what is left of it are holes."""
        self.drop_hole(hole)
        if hole.first < first:
            self.add_hole(hole.first, first)
        if end < hole.end:
            self.add_hole(end, hole.end)
        node = Node(self.next_number, first, end)
        self.next_number += 1
        self.nodes[node.number] = node
        self.starts.add(first)
        self.starting[first] = node

    def drop(self, node: Node) -> None:
        """Forget a node."""
        del self.nodes[node.number]
        self.starts.remove(node.first)
        del self.starting[node.first]

    def add_hole(self, first: int, end: int) -> None:
        """A hole that touches no other."""
        hole = Hole(first, end)
        self.holes.insert(hole)
        self.sizes.add(hole.key())

    def drop_hole(self, hole: Hole) -> None:
        """Forget a hole."""
        self.sizes.remove(hole.key())
        self.holes.remove(hole)
