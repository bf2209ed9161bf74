"""Where memory lies that is mapped: the same for every target of a system.

A device reads and writes physical pages, so who judges its page tables has to know where they
are. That follows from what was asked for, and in which order, so that no target has to tell.

A buffer is a *scatter list*: pieces, each of which is contiguous. One in whole lies at a
multiple of 2 MiB, in pieces of 1 GiB that follow each other. One in pieces of ``k`` pages
starts a page behind such a multiple, and leaves a gap of ``k`` pages behind each piece.

A device may have memory of its own (VRAM) beside that of the system. There, memory in whole is
contiguous from a multiple of 2 MiB on (or of its page size, if that is larger). Memory that is
*scattered* into pieces of ``k`` of its pages starts one page behind such a multiple, and leaves a
gap as large as a piece behind each. What cannot be had takes no room.

Pages that are mapped one by one, without such memory, have the physical address that
:func:`pfn_address` makes from the input address; which they are is said by a pattern.
"""

from typing import Final

from mypy_extensions import i64

PAGE: Final = 0x1000
LARGE_PAGE: Final = 0x20_0000
DATA_BASE: Final = 0x9000_0000
"""Physical address of the first buffer: above the pages of tables."""
LARGEST_PIECE: Final = 0x4000_0000
"""Bytes of a piece of a buffer that is in whole."""

VRAM: Final = 0
"""Memory of the device."""
HOST: Final = 1
"""Memory of the system, seen coherently."""
NCOH: Final = 2
"""Memory of the system, not coherent."""

VRAM_BASE: Final = 0x4000_0000
VRAM_END: Final = 0x8000_0000
"""From here on, VRAM has tables."""
SYSTEM_BASE: Final = 0x1_0000_0000
LARGEST: Final = 0x4000_0000
"""Bytes that memory can have at most where there is VRAM."""

PFN_VRAM_BASE: Final = 0x6000_0000
PFN_HOST_BASE: Final = 0x2_0000_0000
PFN_BYTES: Final = 0x1000_0000
"""Input addresses that differ by a multiple of this have the same page."""

PFN_DIGITS: Final = (
    (False, False, False, False),
    (True, False, True, True),
    (True, False, True, False),
    (True, False, False, False),
    (True, True, True, True),
    (True, True, True, False),
    (True, True, False, False),
)
"""What a digit of a pattern stands for: (valid, in VRAM, writable, atomics allowed).

A pattern has one hexadecimal digit for each page, the lowest first; after the last one that is
not 0 (or the first one, if all are) it begins again. Higher digits stand for nothing, as 0 does.
"""


class BufferPages:
    """The pages of one buffer of ``size`` bytes, the first piece of which lies at ``pa``.

    ``piece``: bytes in each piece but the last; ``apart``: from the start of one to the next.
    """

    def __init__(self, size: i64, pa: i64, piece: i64, apart: i64) -> None:
        self.size: i64 = size
        self.pa: i64 = pa
        self.piece: i64 = piece
        self.apart: i64 = apart

    def address(self, offset: i64) -> i64:
        """The physical address of byte ``offset``, 0 to ``size`` - 1."""
        return self.pa + offset // self.piece * self.apart + offset % self.piece

    def contiguous(self, offset: i64) -> i64:
        """How many bytes from ``offset`` on follow each other in memory, too."""
        if self.apart == self.piece:
            return self.size - offset
        return min(self.piece - offset % self.piece, self.size - offset)


class BufferLayout:
    """Hands out the pages of one buffer after the other."""

    def __init__(self) -> None:
        self.next: i64 = DATA_BASE

    def take(self, size: i64, pieces: i64) -> BufferPages:
        """Pages for ``size`` bytes; ``pieces``: how many pages each piece has, 0 for in whole."""
        piece: i64 = pieces * PAGE if pieces else LARGEST_PIECE
        apart: i64 = 2 * piece if pieces else piece
        count: i64 = (size + piece - 1) // piece
        start: i64 = self.next
        end: i64 = start + count * apart + PAGE
        self.next = (end + LARGE_PAGE - 1) // LARGE_PAGE * LARGE_PAGE
        return BufferPages(size, start + PAGE if pieces else start, piece, apart)


class MemoryLayout:
    """Hands out one memory after the other, of the device or of the system."""

    def __init__(self) -> None:
        self.vram: i64 = VRAM_BASE
        self.system: i64 = SYSTEM_BASE

    def take(self, target: i64, size: i64, page: i64, scattered: i64) -> BufferPages | None:
        """Pages for ``size`` bytes; None if there is no room for them.

        ``page``: log2 of its page size. ``scattered``: pages in each piece, 0 for in whole.
        """
        if size > LARGEST:
            return None
        unit: i64 = 1
        unit <<= page
        align: i64 = max(LARGE_PAGE, unit)
        free: i64 = self.vram if target == VRAM else self.system
        start: i64 = (free + align - 1) // align * align
        piece: i64 = scattered * unit if scattered else size
        end: i64 = start + size
        if scattered:
            start += unit
            end = start + (size + piece - 1) // piece * 2 * piece
        if target == VRAM:
            if end > VRAM_END:
                return None
            self.vram = end
        else:
            self.system = end
        return BufferPages(size, start, piece, 2 * piece if scattered else piece)


def pfn_digit(pattern: int, page: int) -> int:
    """The digit of ``pattern`` (0..2**64-1) for page ``page`` (from 0 on) of a ``pfn_map``."""
    digits = max(1, (pattern.bit_length() + 3) // 4)
    return pattern >> page % digits * 4 & 15


def pfn_address(vram: bool, address: i64) -> i64:
    """The physical address of the page that is mapped by itself at ``address``."""
    base: i64 = PFN_VRAM_BASE if vram else PFN_HOST_BASE
    return base + address % PFN_BYTES
