"""Physical memory that holds table pages, as the walking device sees it.

Only memory that was allocated for tables exists here. A page is *poisoned* when
it is allocated and again when it is freed: until the driver has filled it, or
stored to it, its content is arbitrary, and the model counts such words instead
of guessing what is in them.

Source: semantics.md, "The maximal TLB" (freed memory reads as anything).
"""

from typing import Final

from mypy_extensions import i64

from reference.words import to_signed

POISON: Final = to_signed(0x5A5A_5A5A_5A5A_5A5A)
"""What a word that was never written holds. Bit 0 is clear, so no format calls it valid."""


class Path:
    """One way to reach a table page: as the table of ``level`` whose first VA is ``va``.

    ``fact`` is -1 while memory itself leads here from an attached root. Otherwise
    the page was unlinked, and only the cached walk entry with this number does.
    """

    def __init__(self, level: i64, va: i64, fact: i64) -> None:
        self.level: i64 = level
        self.va: i64 = va
        self.fact: i64 = fact


class TablePage:
    """One allocated table page.

    ``words``: its entries, held; ``unwritten``: how many of them are still poison;
    ``nonzero``: how many are neither poison nor 0; ``paths``: the ways to reach it;
    ``stored_at``: event number of the last store or fill that the device can tell apart.
    ``unclean``: indices of words that a non-coherent walker may not see yet, or all of
    them where ``all_unclean``.
    """

    def __init__(self, pa: i64, entries: i64) -> None:
        self.pa: i64 = pa
        self.words: list[i64] = [POISON] * entries
        self.unwritten: i64 = entries
        self.nonzero: i64 = 0
        self.paths: list[Path] = []
        self.stored_at: i64 = -1
        self.unclean: set[i64] = set()
        self.all_unclean: bool = False
        self.leaked: bool = False

    def set(self, index: i64, word: i64) -> i64:
        """Write one entry and return what it held before; 0 <= index < len(words)."""
        old: i64 = self.words[index]
        self.words[index] = word
        if old == POISON:
            self.unwritten -= 1
        elif old != 0:
            self.nonzero -= 1
        if word != 0:
            self.nonzero += 1
        return old

    def fill(self, word: i64) -> None:
        """Write every entry."""
        entries: i64 = len(self.words)
        self.words = [word] * entries
        self.unwritten = 0
        self.nonzero = entries if word != 0 else 0

    def is_live(self) -> bool:
        """Whether memory leads here from an attached root."""
        for path in self.paths:
            if path.fact < 0:
                return True
        return False


class PhysicalMemory:
    """Table pages by physical address. Each starts at a multiple of ``granule`` bytes."""

    def __init__(self, granule: int) -> None:
        if granule < 8 or granule & (granule - 1):
            raise ValueError(f"granule is {granule}; allowed are powers of two from 8 bytes")
        self.granule: i64 = granule
        self.offset_mask: i64 = granule - 1
        self.pages: dict[i64, TablePage] = {}
        self.freed: set[i64] = set()

    def page_of(self, pa: i64) -> TablePage | None:
        """The allocated page that holds physical address ``pa``, or None."""
        return self.pages.get(pa & ~self.offset_mask)

    def was_freed(self, pa: i64) -> bool:
        """Whether ``pa`` lies in a page that was freed and not allocated again."""
        return (pa & ~self.offset_mask) in self.freed

    def allocate(self, pa: i64, size: i64) -> TablePage:
        """Create a poisoned page of ``size`` bytes at ``pa``."""
        page = TablePage(pa, size >> 3)
        self.pages[pa] = page
        self.freed.discard(pa)
        return page

    def free(self, pa: i64) -> TablePage | None:
        """Remove the page at ``pa`` and return it; None if there is none."""
        page = self.pages.pop(pa, None)
        if page is not None:
            self.freed.add(pa)
        return page

    def read(self, pa: i64) -> i64:
        """The word at ``pa``; POISON where nothing is allocated."""
        page = self.page_of(pa)
        if page is None:
            return POISON
        index: i64 = (pa & self.offset_mask) >> 3
        if index >= len(page.words):
            return POISON
        return page.words[index]
