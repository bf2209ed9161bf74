"""The VA manager below a GPU driver as it should be: mappings of buffers in one address space.

A *VMA* says that a range of addresses is a part of a buffer. A new mapping takes the
place of whatever was there: what it covers goes, what it covers in part is split. No
page table is here; what a driver would have to do to its own is an event of the trace.

A buffer is linked to the address space by one *VM-object link* (``VmBo``) however many
VMAs it has there. References are counted: who is counted stands in each class.

Everything is in pages of 4 KiB: a page number fits a signed word whatever the address,
and the sum of two cannot wrap. Words (addresses, sizes) are held as two's complement
and changed to pages where they come in.

Results are the kernel's: 0 or a negative errno value.

Source: formats.md B.6 (what a driver checks, its steps, its references), formats.md B.7
(drm_gpuvm's split and merge).
"""

import errno
from typing import Final

from mypy_extensions import i64, mypyc_attr

from reference.drivers.budget import Steps
from reference.systems.gpuvm.events import (
    BACKING_SHIFT,
    PT_MAP,
    PT_UNMAP,
    VALIDATED,
    VMA_ADD,
    VMA_REMOVE,
)
from reference.trace import ALLOC_FAILED, Trace

PAGE: Final = 4096
"""Bytes in a page."""
PAGE_SHIFT: Final = 12
PAGE_MASK: Final = 0xFFF
PAGE_NUMBERS: Final = 0xF_FFFF_FFFF_FFFF
"""Mask of all page numbers, which is also the last of them."""
PAGES: Final = 0x10_0000_0000_0000
"""Pages in the address space of a 64-bit word."""

BUFFER_BYTES: Final = 0x1_0000_0000_0000
"""A buffer has fewer bytes: events keep its number above 48 bits of offset."""

OBJECT_BYTES: Final = 128
"""What a failed allocation of a VMA or a link is said to have asked for."""

CHUNK: Final = 4
"""VMAs in half a full chunk of the tree: so few that every way through it is soon taken."""

VMAS_TO_MAP: Final = 3
"""The new one, what is left before it, and what is left after it."""
VMAS_TO_UNMAP: Final = 2
"""What is left before the range, and what is left after it."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Buffer:
    """A buffer object of ``pages`` pages. ``private``: it shares the VM's reservation.

    ``count``: 1 while its handle is open, and 1 while it has a link.
    """

    def __init__(self, number: i64, pages: i64, private: bool) -> None:
        self.number: i64 = number
        self.pages: i64 = pages
        self.private: bool = private
        self.open: bool = True
        self.count: i64 = 1


class VmBo:
    """The link of one buffer to the VM. ``evicted``: its pages have to be made valid again.

    ``count``: 1 for each VMA of the buffer, and 1 for a call at work on it.
    """

    def __init__(self, buffer: Buffer) -> None:
        self.buffer: Buffer = buffer
        self.evicted: bool = False
        self.count: i64 = 1


class Vma:
    """Pages ``first`` to ``end`` (exclusive) are those of a buffer from page ``offset`` on.

    ``link`` is None in a VMA that was taken and is not used yet.
    """

    def __init__(self) -> None:
        self.first: i64 = 0
        self.end: i64 = 0
        self.offset: i64 = 0
        self.link: VmBo | None = None

    def set(self, first: i64, end: i64, offset: i64) -> None:
        """Say what it maps."""
        self.first = first
        self.end = end
        self.offset = offset


class VmaTree(Steps):
    """The VMAs of a VM by address, none of which overlap.

    They are kept in order, in chunks of up to ``2*CHUNK``: finding one is two searches
    by halves, and inserting one moves no more than a chunk. No chunk is empty but the only one.
    A step is a look at a VMA.
    """

    def __init__(self) -> None:
        super().__init__(1 << 20)
        self.chunks: list[list[Vma]] = [[]]

    def place(self, page: i64) -> tuple[i64, i64]:
        """(chunk, index in it) of the first VMA that ends after ``page``.

        Behind the last VMA of the last chunk where none does.
        """
        # 1. The chunk whose last VMA is the first to end after the page, or the last chunk.
        low: i64 = 0
        high: i64 = len(self.chunks) - 1
        while low < high:
            self.spend()
            middle = (low + high) >> 1
            if self.chunks[middle][-1].end > page:
                high = middle
            else:
                low = middle + 1
        # 2. The VMA in it.
        chunk = self.chunks[low]
        index: i64 = 0
        high = len(chunk)
        while index < high:
            self.spend()
            middle = (index + high) >> 1
            if chunk[middle].end > page:
                high = middle
            else:
                index = middle + 1
        return low, index

    def first(self, first: i64, end: i64) -> Vma | None:
        """The first VMA that has a page in ``first`` to ``end`` (exclusive)."""
        at, index = self.place(first)
        if index < len(self.chunks[at]):
            vma = self.chunks[at][index]
            if vma.first < end:
                return vma
        return None

    def overlapping(self, first: i64, end: i64) -> list[Vma]:
        """Every VMA that has a page in ``first`` to ``end`` (exclusive), in order."""
        found: list[Vma] = []
        at, index = self.place(first)
        while at < len(self.chunks):
            chunk = self.chunks[at]
            while index < len(chunk):
                if chunk[index].first >= end:
                    return found
                found.append(chunk[index])
                index += 1
            at += 1
            index = 0
        return found

    def insert(self, vma: Vma) -> None:
        """Add a VMA, in whose range there is none."""
        at, index = self.place(vma.first)
        chunk = self.chunks[at]
        chunk.insert(index, vma)
        if len(chunk) > 2 * CHUNK:
            self.chunks.insert(at + 1, chunk[CHUNK:])
            del chunk[CHUNK:]

    def remove(self, vma: Vma) -> None:
        """Take a VMA out."""
        # The one before may be found first: it ends where this one starts.
        at, index = self.place(vma.first - 1)
        while self.chunks[at][index] is not vma:
            self.spend()
            index += 1
            if index == len(self.chunks[at]):
                at += 1
                index = 0
        self.chunks[at].pop(index)
        if not self.chunks[at] and len(self.chunks) > 1:
            self.chunks.pop(at)


@mypyc_attr(allow_interpreted_subclasses=True)
class Gpuvm:
    """One VM with the window from ``start``, ``size`` bytes, and the buffers of its owner.

    ``kernel_size`` bytes from ``kernel_start`` are reserved: no mapping may touch them
    (none if 0). All are words, multiples of a page; neither range wraps.
    ``count``: 1 for its owner, 1 for each VMA and 1 for each link; at 0 it is freed.
    ``fail_at``: the number of the next allocation that fails (1 is the next one; 0 none).
    """

    def __init__(
        self, start: i64, size: i64, kernel_start: i64, kernel_size: i64, trace: Trace
    ) -> None:
        self.trace: Trace = trace
        self.first: i64 = page_of(start)
        self.end: i64 = self.first + page_of(size)
        self.kernel_first: i64 = page_of(kernel_start)
        self.kernel_end: i64 = self.kernel_first + page_of(kernel_size)
        self.tree: VmaTree = VmaTree()
        self.count: i64 = 1
        # Buffers that exist, by number; their links to this VM; those that are evicted.
        self.buffers: dict[i64, Buffer] = {}
        self.links: dict[i64, VmBo] = {}
        self.evicted: list[VmBo] = []
        self.next_number: i64 = 0
        # VMAs that the call at work has taken and not used.
        self.spare: list[Vma] = []
        self.fail_at: i64 = 0

    # -- buffers ----------------------------------------------------------------------------

    def make_buffer(self, size: i64, private: bool) -> tuple[i64, i64]:
        """A buffer of ``size`` bytes with one handle: (result, its number).

        EINVAL: no size, not whole pages, or as large as ``BUFFER_BYTES``.
        """
        if size <= 0 or size & PAGE_MASK or size >= BUFFER_BYTES:
            return -errno.EINVAL, 0
        number = self.next_number
        self.next_number += 1
        self.buffers[number] = Buffer(number, page_of(size), private)
        return 0, number

    def close_buffer(self, number: i64) -> i64:
        """Give the handle back. EINVAL: there is none."""
        buffer = self.open_buffer(number)
        if buffer is None:
            return -errno.EINVAL
        buffer.open = False
        self.put_buffer(buffer)
        return 0

    def open_buffer(self, number: i64) -> Buffer | None:
        """The buffer whose handle is ``number``; None where no such handle is open."""
        buffer = self.buffers.get(number)
        if buffer is None or not buffer.open:
            return None
        return buffer

    # -- map and unmap ----------------------------------------------------------------------

    def map(self, iova: i64, size: i64, number: i64, offset: i64) -> i64:
        """Map ``size`` bytes of buffer ``number`` from ``offset`` on at ``iova``.

        EINVAL: no such handle, not whole pages, outside the buffer, or a range that
        :meth:`allows` refuses. ENOMEM. Nothing is changed then.
        """
        # 1. Refuse what the buffer cannot give.
        if (iova | size | offset) & PAGE_MASK:
            return -errno.EINVAL
        buffer = self.open_buffer(number)
        if buffer is None:
            return -errno.EINVAL
        pages = page_of(size)
        skipped = page_of(offset)
        if pages > buffer.pages or skipped > buffer.pages - pages:
            return -errno.EINVAL
        # 2. Take everything that the steps may need, so that none of them can fail.
        link = self.obtain(buffer)
        if link is None:
            return -errno.ENOMEM
        if not self.take(VMAS_TO_MAP):
            self.put_link(link)
            return -errno.ENOMEM
        # 3. Split and map.
        result = self.sm_map(page_of(iova), pages, link, skipped)
        # 4. Give back what was not used.
        self.give_back()
        self.put_link(link)
        return result

    def unmap(self, iova: i64, size: i64) -> i64:
        """Unmap whatever lies in ``size`` bytes at ``iova``.

        EINVAL: not whole pages, or a range that :meth:`allows` refuses. ENOMEM. Nothing
        is changed then. A range in which nothing is mapped is none of them.
        """
        if (iova | size) & PAGE_MASK:
            return -errno.EINVAL
        if not self.take(VMAS_TO_UNMAP):
            return -errno.ENOMEM
        result = self.sm_unmap(page_of(iova), page_of(size))
        self.give_back()
        return result

    # -- split and merge (B.7) --------------------------------------------------------------

    def sm_map(self, first: i64, pages: i64, link: VmBo, offset: i64) -> i64:
        """Make way for a new mapping, then make it, always one, whatever was there.

        It is not joined to a neighbour. EINVAL, before any step: :meth:`allows`.
        """
        if not self.allows(first, pages):
            return -errno.EINVAL
        self.clear(first, first + pages)
        self.step_map(first, first + pages, link, offset)
        return 0

    def sm_unmap(self, first: i64, pages: i64) -> i64:
        """Make way for nothing. EINVAL, before any step: :meth:`allows`."""
        if not self.allows(first, pages):
            return -errno.EINVAL
        self.clear(first, first + pages)
        return 0

    def allows(self, first: i64, pages: i64) -> bool:
        """Whether a range may be mapped or unmapped."""
        # 1. It holds something.
        if pages <= 0:
            return False
        # 2. It lies in the window. What wraps ends beyond every window.
        end = first + pages
        if first < self.first or end > self.end:
            return False
        # 3. It has no page of the kernel's.
        return not self.is_kernels(first, end)

    def is_kernels(self, first: i64, end: i64) -> bool:
        """Whether a page of ``first`` to ``end`` (exclusive) is reserved for the kernel."""
        return self.kernel_first < self.kernel_end and (
            first < self.kernel_end and end > self.kernel_first
        )

    def clear(self, first: i64, end: i64) -> None:
        """Take ``first`` to ``end`` (exclusive) from every VMA there, in ascending order.

        With the VMA from A to E, and the range from R to Q:

        ============  ================  ===================  ======================
        \\             E < Q             E == Q               E > Q
        ============  ================  ===================  ======================
        A < R         remap prev        remap prev, stop     remap prev, next, stop
        A == R        unmap             unmap, stop          remap next, stop
        A > R         unmap             unmap, stop          remap next, stop
        ============  ================  ===================  ======================
        """
        at = first
        while True:
            vma = self.tree.first(at, end)
            if vma is None:
                return
            at = vma.end
            if vma.first < first or vma.end > end:
                self.step_remap(vma, first, end)
            else:
                self.step_unmap(vma)

    # -- the steps --------------------------------------------------------------------------

    def step_map(self, first: i64, end: i64, link: VmBo, offset: i64) -> None:
        """A new VMA."""
        vma = self.spare.pop()
        vma.set(first, end, offset)
        self.emit_vma(PT_MAP, vma, link.buffer)
        self.insert(vma, link)

    def step_remap(self, vma: Vma, first: i64, end: i64) -> None:
        """In place of a VMA, what it has before ``first`` (prev) and from ``end`` on (next)."""
        link = vma.link
        assert link is not None
        # 1. The page tables lose the hole, and nothing else.
        hole_first = max(vma.first, first)
        hole_end = min(vma.end, end)
        self.unmap_pages(hole_first, hole_end)
        # 2. The parts take the old one's place, and its offsets go on in them.
        self.remove(vma)
        if vma.first < first:
            before = self.spare.pop()
            before.set(vma.first, first, vma.offset)
            self.insert(before, link)
        if vma.end > end:
            after = self.spare.pop()
            after.set(end, vma.end, vma.offset + (end - vma.first))
            self.insert(after, link)
        # 3. Only then does the old one let go of the link: it may be the last to hold it.
        self.unlink(vma)
        self.free(vma)

    def step_unmap(self, vma: Vma) -> None:
        """A whole VMA goes."""
        self.unmap_pages(vma.first, vma.end)
        self.remove(vma)
        self.unlink(vma)
        self.free(vma)

    def unmap_pages(self, first: i64, end: i64) -> None:
        """Clear ``first`` to ``end`` (exclusive) in the page tables: here, tell the driver to."""
        self.trace.emit(PT_UNMAP, address_of(first), last_address(end))

    def insert(self, vma: Vma, link: VmBo) -> None:
        """Add a VMA to the tree and link it."""
        self.tree.insert(vma)
        self.emit_vma(VMA_ADD, vma, link.buffer)
        vma.link = link
        link.count += 1

    def remove(self, vma: Vma) -> None:
        """Take a VMA out of the tree; it stays linked."""
        link = vma.link
        assert link is not None
        self.tree.remove(vma)
        self.emit_vma(VMA_REMOVE, vma, link.buffer)

    def unlink(self, vma: Vma) -> None:
        """Drop a VMA's reference to its link."""
        link = vma.link
        assert link is not None
        vma.link = None
        self.put_link(link)

    # -- evicted buffers --------------------------------------------------------------------

    def evict(self, number: i64, state: bool) -> None:
        """A buffer lost its pages, or (not ``state``) has them again."""
        link = self.links.get(number)
        if link is None or link.evicted == state:
            return
        link.evicted = state
        if state:
            self.evicted.append(link)
        else:
            self.evicted.remove(link)

    def validate(self) -> None:
        """Have every evicted buffer made valid, private or not, in the order of eviction."""
        for link in self.evicted:
            self.trace.emit(VALIDATED, link.buffer.number)
            link.evicted = False
        self.evicted.clear()

    # -- find and destroy -------------------------------------------------------------------

    def find(self, iova: i64, size: i64) -> i64:
        """The first address of the first VMA in ``size`` bytes at ``iova``; -1 if none.

        Any bytes will do; a range that would wrap ends with the address space. What is
        reserved for the kernel is found as if it were a VMA.
        """
        if size == 0:
            return -1
        # Whole pages of both, and what their last parts come to.
        parts = (iova & PAGE_MASK) + (size & PAGE_MASK)
        first = page_of(iova)
        end = first + page_of(size) + ((parts + PAGE_MASK) >> PAGE_SHIFT)
        vma = self.tree.first(first, end)
        if self.is_kernels(first, end) and (vma is None or self.kernel_first < vma.first):
            return address_of(self.kernel_first)
        if vma is None:
            return -1
        return address_of(vma.first)

    def destroy(self) -> None:
        """Unmap everything and drop the owner's reference."""
        while True:
            vma = self.tree.first(0, PAGES)
            if vma is None:
                break
            self.step_unmap(vma)
        self.count -= 1

    # -- references -------------------------------------------------------------------------

    def allocate(self) -> bool:
        """Whether there is memory for one more object."""
        if self.fail_at > 0:
            self.fail_at -= 1
            if self.fail_at == 0:
                self.trace.emit(ALLOC_FAILED, OBJECT_BYTES)
                return False
        return True

    def take(self, count: i64) -> bool:
        """Take ``count`` VMAs for the steps; False, and none taken, where memory runs out.

        A VMA holds the VM from here on.
        """
        for _ in range(count):
            if not self.allocate():
                self.give_back()
                return False
            self.count += 1
            self.spare.append(Vma())
        return True

    def give_back(self) -> None:
        """Free the VMAs that no step has used."""
        while self.spare:
            self.free(self.spare.pop())

    def free(self, vma: Vma) -> None:
        """Free a VMA, which is in no tree and has no link."""
        self.count -= 1

    def obtain(self, buffer: Buffer) -> VmBo | None:
        """The buffer's link, with a reference for the caller; None where memory runs out.

        A new one holds buffer and VM. It is not evicted.
        """
        link = self.links.get(buffer.number)
        if link is not None:
            link.count += 1
            return link
        if not self.allocate():
            return None
        link = VmBo(buffer)
        self.links[buffer.number] = link
        buffer.count += 1
        self.count += 1
        return link

    def put_link(self, link: VmBo) -> None:
        """Drop a reference to a link; the last one destroys it."""
        link.count -= 1
        if link.count != 0:
            return
        if link.evicted:
            self.evicted.remove(link)
        del self.links[link.buffer.number]
        self.put_buffer(link.buffer)
        self.count -= 1

    def put_buffer(self, buffer: Buffer) -> None:
        """Drop a reference to a buffer; the last one frees it."""
        buffer.count -= 1
        if buffer.count == 0:
            del self.buffers[buffer.number]

    # -- what is seen -----------------------------------------------------------------------

    def emit_vma(self, kind: i64, vma: Vma, buffer: Buffer) -> None:
        """An event of a VMA: its first and last address, and what is behind them."""
        backing = (buffer.number << BACKING_SHIFT) | (vma.offset << PAGE_SHIFT)
        self.trace.emit(kind, address_of(vma.first), last_address(vma.end), backing)


def page_of(word: i64) -> i64:
    """The page that an address lies in, or the whole pages of a size: 0 to ``PAGE_NUMBERS``."""
    return (word >> PAGE_SHIFT) & PAGE_NUMBERS


def address_of(page: i64) -> i64:
    """The first address of a page, held."""
    if page >= PAGES >> 1:
        page -= PAGES
    return page * PAGE


def last_address(end: i64) -> i64:
    """The last address before page ``end``, held."""
    return address_of(end - 1) | PAGE_MASK
