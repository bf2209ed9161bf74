"""Physical memory that holds table pages, as walking devices see it. It exists once a machine.

Only memory that was allocated for tables exists here. A page is *poisoned* when
it is allocated and again when it is freed: until the driver has filled it, or
stored to it, its content is arbitrary, and the model counts such words instead
of guessing what is in them.

Visibility of stores. A coherent walker sees a store once a full barrier follows
it; an order barrier keeps it before later stores. A non-coherent walker sees it
once its cache line was cleaned. Until then old and new value are both visible.

Source: semantics.md, "The maximal TLB" (freed memory reads as anything); formats.md F.3.
"""

from typing import Final

from mypy_extensions import i64

from reference.words import to_signed

POISON: Final = to_signed(0x5A5A_5A5A_5A5A_5A5A)
"""What a word that was never written holds. Bit 0 is clear, so no format calls it valid."""


class Path:
    """One way to reach a table page: as the table of ``level`` whose first VA is ``va``."""

    def __init__(self, level: i64, va: i64, fact: i64, owner: i64 = 0) -> None:
        self.level: i64 = level
        """The level of the table's entries."""
        self.va: i64 = va
        """The first input address that its entry 0 translates."""
        self.fact: i64 = fact
        """-1 while memory itself leads here. Otherwise it did, and only the cached walk entry
        with this number still does."""
        self.owner: i64 = owner
        """Number of the root from which memory leads here; of a cached entry, of the context
        that has it cached."""


class TableWords:
    """The words of one allocated table."""

    def __init__(self, pa: i64, entries: i64) -> None:
        self.pa: i64 = pa
        """Its physical address."""
        self.words: list[i64] = [POISON] * entries
        """Its entries, held."""
        self.unwritten: i64 = entries
        """How many of its words are still poison."""
        self.nonzero: i64 = 0
        """How many of its words are neither poison nor 0."""

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


class TablePage(TableWords):
    """One allocated table page."""

    def __init__(self, pa: i64, entries: i64, space: i64 = 0) -> None:
        super().__init__(pa, entries)
        self.paths: list[Path] = []
        """The ways to reach it."""
        self.stored_at: i64 = -1
        """Number of the event of the last store or fill that a device can tell apart."""
        self.unclean: set[i64] = set()
        """Indices of words that a non-coherent walker may not see yet."""
        self.all_unclean: bool = False
        """Whether these are all words, whatever ``unclean`` says."""
        self.space: i64 = space
        """Number of the address space that it was allocated for."""
        self.leaked: bool = False
        """Whether nothing leads to it, and that was reported, or is right."""

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
        """Bytes of the largest page."""
        self.offset_mask: i64 = granule - 1
        """The bits of an address that say where in a page it is."""
        self.pages: dict[i64, TablePage] = {}
        """Those that are allocated."""
        self.freed: set[i64] = set()
        """Addresses of those that were freed and not allocated again."""

    def page_of(self, pa: i64) -> TablePage | None:
        """The allocated page that holds physical address ``pa``, or None."""
        return self.pages.get(pa & ~self.offset_mask)

    def was_freed(self, pa: i64) -> bool:
        """Whether ``pa`` lies in a page that was freed and not allocated again."""
        return (pa & ~self.offset_mask) in self.freed

    def allocate(self, pa: i64, size: i64, space: i64 = 0) -> TablePage:
        """Create a poisoned page of ``size`` bytes at ``pa``, for address space ``space``."""
        page = TablePage(pa, size >> 3, space)
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


class Visibility:
    """Which stores walkers are sure to see."""

    def __init__(self, coherent: bool) -> None:
        self.coherent: bool = coherent
        """Whether walkers snoop the caches of CPUs."""
        self.full_barrier: i64 = -1
        """Number of the event of the last full barrier."""
        self.order_barrier: i64 = -1
        """Number of the event of the last barrier that orders stores, full ones included."""
        self.unclean_pages: dict[i64, TablePage] = {}
        """For walkers that do not snoop: pages with words that were not cleaned yet."""

    def soil(self, page: TablePage, index: i64) -> None:
        """A word was stored: a walker that does not snoop may not see it before a clean."""
        if not self.coherent:
            page.unclean.add(index)
            self.unclean_pages[page.pa] = page

    def soil_all(self, page: TablePage) -> None:
        """Every word of a page was stored."""
        if not self.coherent:
            page.all_unclean = True
            page.unclean.clear()
            self.unclean_pages[page.pa] = page

    def clean(self, page: TablePage, pa: i64, size: i64) -> list[i64]:
        """``size`` bytes from ``pa`` in a page are cleaned: addresses of words seen from now on.

        Those of words that were soiled as a part of all are left out: nobody had loaded them.
        """
        found: list[i64] = []
        if self.coherent or page.pa not in self.unclean_pages:
            return found
        first: i64 = (pa - page.pa) >> 3
        end: i64 = (pa + size - page.pa + 7) >> 3
        if first == 0 and end >= len(page.words):
            page.all_unclean = False
        elif page.all_unclean:
            page.all_unclean = False
            for index in range(len(page.words)):
                page.unclean.add(index)
        for index in sorted(page.unclean):
            if first <= index < end:
                page.unclean.discard(index)
                found.append(page.pa + index * 8)
        if not page.unclean and not page.all_unclean:
            del self.unclean_pages[page.pa]
        return found

    def forget(self, page: TablePage) -> None:
        """Nothing of a page has to be waited for any more."""
        page.unclean.clear()
        page.all_unclean = False
        self.unclean_pages.pop(page.pa, None)

    def forget_behind(self, page: TablePage, entries: i64) -> None:
        """A small root is the start of a page; what follows is nobody's entry."""
        if page.all_unclean:
            page.all_unclean = False
            page.unclean = set(range(len(page.words)))
        page.unclean = {index for index in page.unclean if index < entries}
        if not page.unclean:
            self.unclean_pages.pop(page.pa, None)

    def is_ordered(self, page: TablePage) -> bool:
        """Whether all content of an unlinked page is visible before later stores are."""
        if self.coherent:
            return page.stored_at < self.order_barrier
        return not page.all_unclean and not page.unclean
