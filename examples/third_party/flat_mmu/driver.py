"""The driver of the flat MMU, as it should be: store the entry, then ring the bell."""

import errno

from flat_mmu.promise import BELL, ENTRIES, VALID
from reference.trace import ALLOC, BARRIER, BARRIER_FULL, FREE, STORE, Trace

TABLE = 0x8000_0000
"""Where the table lies."""


class FlatDriver:
    """One table, ``words``; ``trace`` is told what is done to it."""

    def __init__(self, trace: Trace) -> None:
        self.words = [0] * ENTRIES
        self.trace = trace
        trace.emit(ALLOC, TABLE, ENTRIES * 8)

    def _write(self, slot: int, word: int) -> None:
        self.trace.emit(STORE, TABLE + 8 * slot, self.words[slot], word)
        self.words[slot] = word
        # The device must not read the entry before it is there.
        self.trace.emit(BARRIER, BARRIER_FULL)
        self.trace.emit(BELL, slot)

    def map(self, slot: int, page: int) -> int:
        """Map page number ``page`` at ``slot``."""
        if self.words[slot]:
            return -errno.EEXIST
        self._write(slot, page << 12 | VALID)
        return 0

    def unmap(self, slot: int) -> int:
        """Unmap ``slot``."""
        if not self.words[slot]:
            return -errno.ENOENT
        self._write(slot, 0)
        return 0

    def destroy(self) -> None:
        """Give the table back."""
        self.trace.emit(FREE, TABLE, ENTRIES * 8)
