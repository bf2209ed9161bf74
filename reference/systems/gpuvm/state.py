"""A VM as it has to be, and as events say that it is: promise, page tables, counts, buffers.

The three views of system ``gpuvm``: *promise* is what callers were told; *tables* is what
page tables were told, which is all that the device can reach; what the driver holds shows
in the VMAs and counts that its events tell.

Source: formats.md B.6 (references), B.7.
"""

from collections.abc import Mapping as MappingOf
from typing import Final

from reference.systems.gpuvm.events import (
    BACKING_SHIFT,
    PT_MAP,
    PT_UNMAP,
    VALIDATED,
    VMA,
    VMA_ADD,
    VMA_REMOVE,
)
from reference.systems.gpuvm.mappings import Mapping, VaPromise
from reference.trace import ALLOC_FAILED, REFS, WARN, WORDS
from reference.words import to_unsigned

OFFSET_MASK: Final = (1 << BACKING_SHIFT) - 1


class BufferState:
    """A buffer of ``size`` bytes. ``open``: the caller has its handle.

    ``evicted``: it lost its pages; that is kept in its link, and goes with it.
    """

    def __init__(self, size: int) -> None:
        self.size: int = size
        self.open: bool = True
        self.evicted: bool = False


class Seen:
    """What the events of one operation said.

    ``listed``: the VMAs that the tree holds in and around the range. ``told``: (event, first,
    last) of what page tables were told. ``counts``: (event, what, number, count).
    ``validated``: the buffers named. ``changed``: whether a VMA was added or removed.
    ``failed_allocations``: how many there were. ``warned``: the event of a warning, or -1.
    """

    def __init__(self) -> None:
        self.listed: list[Mapping] = []
        self.told: list[tuple[int, int, int]] = []
        self.counts: list[tuple[int, int, int, int]] = []
        self.validated: list[int] = []
        self.changed: bool = False
        self.failed_allocations: int = 0
        self.warned: int = -1


class VmState:
    """One VM and the buffers of its owner.

    ``first``..``last``: the window. ``kernel_first``..``kernel_last``: what is reserved in it
    (``last`` < ``first``: nothing). ``vmas``: how many VMAs of each buffer the events put into
    the tree, less those that they took out.
    """

    def __init__(self) -> None:
        self.exists: bool = False
        self.first: int = 0
        self.last: int = -1
        self.kernel_first: int = 0
        self.kernel_last: int = -1
        self.promise: VaPromise = VaPromise()
        self.tables: VaPromise = VaPromise()
        self.vmas: dict[int, int] = {}
        self.buffers: dict[int, BufferState] = {}
        self.mapped: int = 0
        self.linked: int = 0

    def create(self, args: MappingOf[str, int | str]) -> None:
        """A VM as the arguments of ``create`` ask for it."""
        self.first = to_unsigned(int(args["start"]))
        self.last = self.first + to_unsigned(int(args["size"])) - 1
        self.kernel_first = to_unsigned(int(args["kernel_start"]))
        self.kernel_last = self.kernel_first + to_unsigned(int(args["kernel_size"])) - 1
        self.exists = True

    def is_kernels(self, first: int, last: int) -> bool:
        """Whether an address of ``first`` to ``last`` is reserved for the kernel."""
        if self.kernel_last < self.kernel_first:
            return False
        return first <= self.kernel_last and last >= self.kernel_first

    # -- what a recount gives -----------------------------------------------------------------

    def link_count(self, number: int) -> int:
        """References to the link of a buffer: its VMAs."""
        return max(self.vmas.get(number, 0), 0)

    def buffer_count(self, number: int) -> int:
        """References to a buffer: its open handle, and its link."""
        buffer = self.buffers.get(number)
        count = 1 if buffer is not None and buffer.open else 0
        return count + 1 if self.link_count(number) > 0 else count

    def vm_count(self) -> int:
        """References to the VM: its owner, each VMA, each link."""
        return (1 if self.exists else 0) + self.mapped + self.linked

    def evicted(self) -> list[int]:
        """The buffers that are evicted and linked, ascending."""
        return sorted(
            number
            for number, buffer in self.buffers.items()
            if buffer.evicted and self.link_count(number) > 0
        )

    # -- events -------------------------------------------------------------------------------

    def feed(self, words: list[int], begin: int) -> Seen:
        """Take the events of a flat trace from event number ``begin`` to its end."""
        seen = Seen()
        event = begin
        while event * WORDS < len(words):
            head, a, b, c = words[event * WORDS : event * WORDS + WORDS]
            self._take(seen, event, head & 0xFFFF, a, b, c)
            event += 1
        return seen

    def _take(self, seen: Seen, event: int, kind: int, a: int, b: int, c: int) -> None:
        if kind == VMA:
            seen.listed.append(mapping_of(a, b, c))
        elif kind in (VMA_ADD, VMA_REMOVE):
            self._count(to_unsigned(c) >> BACKING_SHIFT, 1 if kind == VMA_ADD else -1)
            seen.changed = True
        elif kind == PT_MAP:
            one = mapping_of(a, b, c)
            seen.told.append((event, one.first, one.last))
            if one.first <= one.last:
                self.tables.map(one.first, one.last, one.buffer, one.offset)
        elif kind == PT_UNMAP:
            first, last = to_unsigned(a), to_unsigned(b)
            seen.told.append((event, first, last))
            if first <= last:
                self.tables.unmap(first, last)
        elif kind == REFS:
            seen.counts.append((event, a, b, c))
        elif kind == VALIDATED:
            seen.validated.append(a)
        elif kind == ALLOC_FAILED:
            seen.failed_allocations += 1
        elif kind == WARN:
            seen.warned = event

    def _count(self, number: int, change: int) -> None:
        """A VMA of a buffer came (1) or went (-1); with the first comes its link."""
        before = self.link_count(number)
        self.vmas[number] = self.vmas.get(number, 0) + change
        after = self.link_count(number)
        self.mapped += after - before
        if (before > 0) != (after > 0):
            self.linked += 1 if after > 0 else -1

    def settle(self) -> None:
        """After an operation: a link without a VMA is gone, and that it was evicted with it.

        So is a buffer without a reference.
        """
        for number in list(self.buffers):
            buffer = self.buffers[number]
            if self.link_count(number) == 0:
                buffer.evicted = False
                if not buffer.open:
                    del self.buffers[number]


def mapping_of(first: int, last: int, backing: int) -> Mapping:
    """What an event of a VMA says; held words."""
    word = to_unsigned(backing)
    return Mapping(to_unsigned(first), to_unsigned(last), word >> BACKING_SHIFT, word & OFFSET_MASK)
