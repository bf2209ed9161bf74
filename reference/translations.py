"""The translations that callers were promised: what each address leads to.

A flat map from input addresses to physical addresses and permissions. It knows
nothing of tables: it only remembers, for each mapped page, the page size that
the caller asked for, because later calls speak of that size. One entry is kept
for each mapped page or block, keyed by level, so that a step costs the same
however much is mapped.

Source: formats.md F.4 (the io_pgtable contract).
"""

from mypy_extensions import i64

from reference.formats.format import Format

PROT_MASK = 0xFFF
"""Permissions are kept in the bits below the smallest page."""


class Promised:
    """One promised page or block: first..last (inclusive) translate to ``pa`` onwards."""

    def __init__(self, first: i64, last: i64, pa: i64, prot: i64, level: i64) -> None:
        self.first: i64 = first
        self.last: i64 = last
        self.pa: i64 = pa
        self.prot: i64 = prot
        self.level: i64 = level


class Translations:
    """The flat map of one address space.

    ``top`` is the largest-leaf level of the format, ``bottom`` its page level; addresses
    and sizes are multiples of the smallest page unless a method says otherwise.
    """

    def __init__(self, fmt: Format) -> None:
        self.format: Format = fmt
        self.bottom: i64 = fmt.levels - 1
        self.top: i64 = fmt.level_of(fmt.page_sizes[len(fmt.page_sizes) - 1])
        # entries[level][va >> shift] = pa | prot; below[level][va >> shift] = how many
        # entries of smaller size lie in that region.
        self.entries: list[dict[i64, i64]] = []
        self.below: list[dict[i64, i64]] = []
        for _ in range(fmt.levels):
            self.entries.append({})
            self.below.append({})
        self.bytes: i64 = 0

    # -- asking -----------------------------------------------------------------------------

    def level_at(self, va: i64) -> i64:
        """The level of the entry that covers ``va``; -1 where nothing is promised."""
        level: i64 = self.top
        while level <= self.bottom:
            if (va >> self.format.shift(level)) in self.entries[level]:
                return level
            level += 1
        return -1

    def lookup(self, va: i64) -> tuple[i64, i64]:
        """(pa, prot) that ``va`` (any byte) is promised; (-1, 0) where nothing is."""
        level: i64 = self.top
        while level <= self.bottom:
            shift = self.format.shift(level)
            value: i64 = self.entries[level].get(va >> shift, -1)
            if value != -1:
                base: i64 = value & ~PROT_MASK
                offset: i64 = va & (self.format.span(level) - 1)
                return base + offset, value & PROT_MASK
            level += 1
        return -1, 0

    def extent(self, va: i64) -> i64:
        """The last address for which ``lookup`` answers as for ``va``, in one entry or hole.

        A hole's extent is the largest aligned region around ``va`` that one entry of some
        level spans and in which nothing is promised.
        """
        level: i64 = 0
        while level <= self.bottom:
            shift = self.format.shift(level)
            key: i64 = va >> shift
            if key in self.entries[level] or key not in self.below[level]:
                return ((key + 1) << shift) - 1
            level += 1
        # Not promised, and its smallest page is the whole hole.
        bottom_shift = self.format.shift(self.bottom)
        return (((va >> bottom_shift) + 1) << bottom_shift) - 1

    def any_in(self, first: i64, last: i64) -> bool:
        """Whether any address of first..last is promised."""
        va: i64 = first
        while va <= last:
            if self.level_at(va) >= 0:
                return True
            va = self.extent(va) + 1
        return False

    def all_in(self, first: i64, last: i64) -> bool:
        """Whether every address of first..last is promised."""
        va: i64 = first
        while va <= last:
            if self.level_at(va) < 0:
                return False
            va = self.extent(va) + 1
        return True

    def largest_level_in(self, first: i64, last: i64) -> i64:
        """The level of the largest entry that reaches into first..last; -1 for none."""
        found: i64 = -1
        va: i64 = first
        while va <= last:
            level = self.level_at(va)
            if level >= 0 and (found < 0 or level < found):
                found = level
            va = self.extent(va) + 1
        return found

    def parts(self, first: i64, last: i64, limit: int = 4096) -> list[Promised]:
        """The entries that reach into first..last, in order; at most ``limit`` of them."""
        found: list[Promised] = []
        va: i64 = first
        while va <= last and len(found) < limit:
            level = self.level_at(va)
            end = self.extent(va)
            if level >= 0:
                shift = self.format.shift(level)
                value: i64 = self.entries[level][va >> shift]
                base: i64 = (va >> shift) << shift
                pa: i64 = value & ~PROT_MASK
                found.append(Promised(base, end, pa, value & PROT_MASK, level))
            va = end + 1
        return found

    # -- changing ---------------------------------------------------------------------------

    def add(self, va: i64, pa: i64, prot: i64, level: i64) -> None:
        """Promise one page or block of ``level`` at ``va``; nothing may be promised there."""
        shift = self.format.shift(level)
        self.entries[level][va >> shift] = pa | prot
        self.bytes += self.format.span(level)
        self._count(va, level, 1)

    def add_run(self, va: i64, pa: i64, pgsize: i64, count: i64, prot: i64) -> None:
        """Promise ``count`` pages of ``pgsize`` bytes, contiguous in both spaces."""
        level = self.format.level_of(pgsize)
        for _ in range(count):
            self.add(va, pa, prot, level)
            va += pgsize
            pa += pgsize

    def add_range(self, va: i64, pa: i64, size: i64, prot: i64) -> None:
        """Promise ``size`` bytes, contiguous in both spaces, in the largest pages that fit.

        Nothing may be promised there; all are multiples of the smallest page.
        """
        end: i64 = va + size
        while va < end:
            level: i64 = self.top
            while level < self.bottom:
                span = self.format.span(level)
                if not (va | pa) & (span - 1) and va + span <= end:
                    break
                level += 1
            self.add(va, pa, prot, level)
            step = self.format.span(level)
            va += step
            pa += step

    def remove(self, first: i64, last: i64) -> None:
        """Take back first..last; a block that reaches beyond is first broken into pages."""
        va: i64 = first
        while va <= last:
            level = self.level_at(va)
            if level < 0:
                va = self.extent(va) + 1
                continue
            shift = self.format.shift(level)
            base: i64 = (va >> shift) << shift
            end: i64 = base + self.format.span(level) - 1
            if base < first or end > last:
                self._break(va, level)
                continue
            del self.entries[level][va >> shift]
            self.bytes -= self.format.span(level)
            self._count(base, level, -1)
            va = end + 1

    def _break(self, va: i64, level: i64) -> None:
        """Replace the block of ``level`` around ``va`` by blocks of the next level."""
        shift = self.format.shift(level)
        value: i64 = self.entries[level].pop(va >> shift)
        self.bytes -= self.format.span(level)
        base: i64 = (va >> shift) << shift
        self._count(base, level, -1)
        step = self.format.span(level + 1)
        offset: i64 = 0
        while offset < self.format.span(level):
            self.add(base + offset, (value & ~PROT_MASK) + offset, value & PROT_MASK, level + 1)
            offset += step

    def _count(self, va: i64, level: i64, change: i64) -> None:
        """Tell the regions around an entry of ``level`` that it came (1) or went (-1)."""
        upper: i64 = 0
        while upper < level:
            key: i64 = va >> self.format.shift(upper)
            count: i64 = self.below[upper].get(key, 0) + change
            if count == 0:
                del self.below[upper][key]
            else:
                self.below[upper][key] = count
            upper += 1
