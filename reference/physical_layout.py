"""Where the pages of buffers lie: the same for every target of system ``mali``.

A device reads and writes physical pages, so who judges its page tables has to know where the
pages of each buffer are. They follow from the sizes of the buffers and the order in which
they are made, so that no target has to tell.

A buffer is a *scatter list*: pieces, each of which is contiguous. One in whole lies at a
multiple of 2 MiB, in pieces of 1 GiB that follow each other. One in pieces of ``k`` pages
starts a page behind such a multiple, and leaves a gap of ``k`` pages behind each piece.
"""

from typing import Final

from mypy_extensions import i64

PAGE: Final = 0x1000
LARGE_PAGE: Final = 0x20_0000
DATA_BASE: Final = 0x9000_0000
"""Physical address of the first buffer: above the pages of tables."""
LARGEST_PIECE: Final = 0x4000_0000
"""Bytes of a piece of a buffer that is in whole."""


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
