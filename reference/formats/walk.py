"""The walk of an image of table memory, for every format: what each word says, and the end.

This is the walk as a person follows it in a dump. The walk as a device does it, on memory that
changes and with what was cached, is in ``reference.hardware``.
"""

from collections.abc import Callable, Sequence
from typing import Final, final

from reference.formats.entry import INVALID, LEAF, SPARSE, TABLE, Half
from reference.formats.format import Geometry
from reference.words import to_signed

# How a walk ends.
FOUND: Final = 0
"""At a leaf."""
ZEROS: Final = 1
"""At a sparse entry: reads give zeros, writes are dropped."""
FAULT: Final = 2
"""At an entry that leads nowhere."""
BEYOND: Final = 3
"""Before it began: the address has more bits than are translated."""
NO_ROOT: Final = 4
"""Before it began: no root is given for the register that the address chooses."""
NO_WORD: Final = 5
"""At an entry that the image does not have."""
_UNDECIDED: Final = -1
"""Not yet: the large table leaves it to the small one."""


@final
class Fetch:
    """One look at a half of an entry."""

    def __init__(self, level: int, half: Half, table: int, index: int, pa: int) -> None:
        self.level: int = level
        self.half: Half = half
        """The half that was looked at."""
        self.table: int = table
        """Physical address of the table."""
        self.index: int = index
        """Which entry of it."""
        self.pa: int = pa
        """Physical address of the word."""
        self.word: int | None = None
        """Held; None: the image does not have it."""


@final
class Walk:
    """The walk of one input address.

    Args:
        geometry: the layout of the tables.
        roots: physical addresses of the root tables: one, or one for each register, from the
            first on.
        read: the held word at a physical address; None where there is none.
        va: the input address, held or not; any byte.
    """

    def __init__(
        self,
        geometry: Geometry,
        roots: Sequence[int],
        read: Callable[[int], int | None],
        va: int,
    ) -> None:
        self.geometry: Geometry = geometry
        self.read: Callable[[int], int | None] = read
        self.va: int = to_signed(va)
        """Held."""
        self.register: int = -1
        """Which root register the address chose; -1: there is one root."""
        self.fetches: list[Fetch] = []
        """What was looked at, in order."""
        self.level: int = -1
        """The level at which it ended; -1 if it did not begin."""
        self.pa: int = -1
        """The output address, if it ended at a leaf."""
        self.meaning: int = 0
        """What is granted there, less what the table entries on the way deny."""
        self.denied: int = 0
        """What these deny."""
        self.end: int = self._begin(roots)
        """FOUND to NO_WORD."""

    def _begin(self, roots: Sequence[int]) -> int:
        geometry = self.geometry
        if not geometry.contains(self.va):
            return BEYOND
        start = int(geometry.start_level)
        if start > 0 or geometry.format.roots == 1:
            return self._from(start, roots[0])
        self.register = int(geometry.index(0, self.va))
        if self.register >= len(roots):
            return NO_ROOT
        return self._from(1, roots[self.register])

    def _from(self, level: int, table: int) -> int:
        """The walk from a table at ``level`` on. Of two halves the large one is looked at first."""
        fmt = self.geometry.format
        one = fmt.tables[level]
        index = int(self.geometry.index(level, self.va))
        self.level = level
        for half in one.halves:
            at = table + (index * int(one.words) + int(half.word)) * fmt.word_bytes
            fetch = Fetch(level, half, table, index, at)
            self.fetches.append(fetch)
            fetch.word = self.read(at)
            end = NO_WORD if fetch.word is None else self._at(level, half, fetch.word)
            if end != _UNDECIDED:
                return end
        self.level = level
        return _UNDECIDED if level == fmt.large else FAULT

    def _at(self, level: int, half: Half, word: int) -> int:
        """What a half of an entry leads to."""
        fmt = self.geometry.format
        role = half.role(word)
        if role == TABLE:
            self.denied |= fmt.denied(level, word)
            return self._from(int(half.child), int(half.output(word)))
        if role == LEAF:
            self.pa = int(half.output(word)) + (self.va & (int(fmt.span(level)) - 1))
            self.meaning = int(fmt.meaning(level, word)) & ~self.denied
            return FOUND
        if role == SPARSE:
            return ZEROS
        return _UNDECIDED if role == INVALID else FAULT
