"""An NVIDIA address space as it has to be, and as events say it is.

The three views of system ``nvidia``, side by side: *promise*, what the caller was told is mapped
or sparse where, which areas were handed out, and what references were taken; *driver*, the
areas, software page tables and counts that its events tell; *hardware*, tables, registers and
what may be cached (``NvidiaMmu``).

A *reference* is one page of one page size that software counts in the table of that page's
entry: taken when an area is handed out with them, by the first map of one that is not, and by
itself in the raw interface. A table is there as long as it has references; a directory counts
the tables behind it, and the pages that it maps itself. The small pages that are referenced in
a large one are counted, too.

Source: formats.md D.1 to D.6; semantics.md (when a duty falls due), semantics.md (calls).
"""

from typing import Final

from mypy_extensions import i64

from reference.formats.format import Format, Page
from reference.hardware.cached_walks import possible
from reference.hardware.observation import Observation
from reference.physical_layout import BufferPages, MemoryLayout
from reference.pieces import MAPPED, Pieces
from reference.systems.gpuvm.events import BACKING_SHIFT, VMA_ADD, VMA_REMOVE
from reference.systems.nvidia.device import ALL_PDB, NvidiaMmu
from reference.systems.nvidia.events import (
    AREA_MAPPED,
    AREA_NO_PAGE,
    AREA_PART,
    PT_REFS,
    PT_STATE,
    STATE_SMALL,
    STATE_SPARSE,
    TABLE_SPARSE,
)
from reference.trace import (
    ALLOC_FAILED,
    DMA_MAP,
    DMA_UNMAP,
    REFS,
    REFS_BUFFER,
    REG_WRITE,
    STORE,
    WARN,
    WORDS,
)

NONE: Final = -1
"""No memory, no page size, no instance block."""

COUNT_BITS: Final = 6
"""Bits of a large entry's state that count small pages; those above STATE_SPARSE go on."""


def small_count(state: i64) -> i64:
    """How many small pages are referenced, as the state of a large entry has it."""
    return (state & 0x3F) | (state >> 8) << COUNT_BITS


class NvidiaMemory:
    """Memory that can be mapped; ``page``: log2 of its page size; ``owned``: not yet dropped.

    ``told``: references that were told last.
    """

    def __init__(self, target: int, size: int, page: int, pages: BufferPages) -> None:
        self.target: int = target
        self.size: int = size
        self.page: int = page
        self.pages: BufferPages = pages
        self.owned: bool = True
        self.told: int = 0


class Part:
    """``first``..``last`` are mapped with pages of size ``index`` in the format's list.

    ``memory``: the number of what they lead to, from byte ``offset`` on; NONE: page by page.
    """

    def __init__(self, first: int, last: int, index: int, memory: int, offset: int) -> None:
        self.first: int = first
        self.last: int = last
        self.index: int = index
        self.memory: int = memory
        self.offset: int = offset


class Hold:
    """``count`` references to every page of size ``index`` in ``first``..``last``."""

    def __init__(self, index: int, first: int, last: int, count: int) -> None:
        self.index: int = index
        self.first: int = first
        self.last: int = last
        self.count: int = count


class HoldCounts:
    """How often each page of one size is referenced: runs that do not overlap, ascending."""

    def __init__(self, index: int) -> None:
        self.index: int = index
        self.runs: list[Hold] = []

    def add(self, first: int, last: int, count: int) -> None:
        """``count`` references more, or less, to everything in first..last."""
        runs: list[Hold] = []
        at = first
        for run in self.runs:
            if run.last < first or run.first > last:
                runs.append(run)
                continue
            if at < run.first:
                runs.append(Hold(self.index, at, run.first - 1, count))
            if run.first < first:
                runs.append(Hold(self.index, run.first, first - 1, run.count))
            start = max(run.first, first)
            end = min(run.last, last)
            if run.count + count > 0:
                runs.append(Hold(self.index, start, end, run.count + count))
            if run.last > last:
                runs.append(Hold(self.index, last + 1, run.last, run.count))
            at = run.last + 1
        if at <= last and count > 0:
            runs.append(Hold(self.index, at, last, count))
        runs.sort(key=_first_of)
        self.runs = runs

    def least(self, first: int, last: int) -> int:
        """The references of that page of first..last that has the fewest."""
        found = -1
        at = first
        for run in self.runs:
            if run.last < first or run.first > last:
                continue
            if run.first > at:
                return 0
            if found < 0 or run.count < found:
                found = run.count
            at = run.last + 1
        return max(found, 0) if at > last else 0


def _first_of(one: Hold) -> int:
    return one.first


class Area:
    """Addresses that were handed out, or that the client has had from the start.

    ``mapref``: references come and go with what is mapped; ``getref``: they were taken when it
    was handed out. Neither: the first map takes them. ``index``: of the page size that was
    asked for, or NONE; ``refd``: of the one that is referenced all over, or NONE.
    ``sparse_holds``: references for its being sparse. ``client``: not from the driver's part.
    """

    def __init__(
        self, number: int, first: int, last: int, getref: bool, mapref: bool, sparse: bool
    ) -> None:
        self.number: int = number
        self.first: int = first
        self.last: int = last
        self.getref: bool = getref
        self.mapref: bool = mapref
        self.sparse: bool = sparse
        self.index: int = NONE
        self.refd: int = NONE
        self.client: bool = False
        self.parts: list[Part] = []
        self.sparse_holds: list[Hold] = []

    def within(self, first: int, last: int) -> list[Part]:
        """The parts that have an address in first..last."""
        return [one for one in self.parts if one.first <= last and one.last >= first]

    def cut(self, first: int, last: int) -> None:
        """Nothing is mapped in first..last."""
        kept: list[Part] = []
        for one in self.parts:
            if one.last < first or one.first > last:
                kept.append(one)
                continue
            if one.first < first:
                kept.append(Part(one.first, first - 1, one.index, one.memory, one.offset))
            if one.last > last:
                offset = one.offset + (last + 1 - one.first)
                kept.append(Part(last + 1, one.last, one.index, one.memory, offset))
        self.parts = kept

    def holds(self) -> list[Hold]:
        """The references that are held for it."""
        found: list[Hold] = list(self.sparse_holds)
        if not self.mapref:
            if self.refd >= 0:
                found.append(Hold(self.refd, self.first, self.last, 1))
        else:
            for one in self.parts:
                found.append(Hold(one.index, one.first, one.last, 1))
        return found


class Region:
    """Sparse addresses of the raw interface, with the references for it."""

    def __init__(self, first: int, last: int, holds: list[Hold]) -> None:
        self.first: int = first
        self.last: int = last
        self.holds: list[Hold] = holds


class ToldArea:
    """An area, or a part of one, as the driver tells it."""

    def __init__(self, first: int, last: int, backing: int) -> None:
        self.first: int = first
        self.last: int = last
        self.number: int = (backing >> BACKING_SHIFT) & 0xFFFF
        self.index: int = backing & AREA_NO_PAGE
        self.mapped: bool = backing & AREA_MAPPED != 0
        self.part: bool = backing & AREA_PART != 0


class ToldTable:
    """A software page table as the driver tells it. ``first``: of the addresses it covers."""

    def __init__(self, level: int, first: int) -> None:
        self.level: int = level
        self.first: int = first
        self.large: int = 0
        self.small: int = 0
        self.sparse: bool = False


class NvidiaSeen:
    """What the events of one operation said.

    ``observations``: of the MMU. ``early``: (event, input address, page) of pages that were
    taken away while the device may have had a translation to them, or went with their memory.
    ``changed``: (first, last) of the addresses of entries that were replaced where a walk could
    see it. ``refs``: (event, memory, count). ``warned``: event of a warning, -1: none.
    ``begun``: how many invalidations there were before it. ``registers``, ``starts`` (of
    invalidations), ``stores``, ``areas``, ``tables``, ``dma``: how often they were told.
    """

    def __init__(self) -> None:
        self.observations: list[Observation] = []
        self.counts_before: list[i64] = []
        self.early: list[tuple[int, int, int]] = []
        self.refs: list[tuple[int, int, int]] = []
        self.changed: list[tuple[int, int]] = []
        self.warned: int = -1
        self.failed_allocations: int = 0
        self.registers: int = 0
        self.begun: int = 0
        self.starts: int = 0
        self.stores: int = 0
        self.areas: int = 0
        self.tables: int = 0
        self.dma: int = 0

    def has_changes(self) -> bool:
        """Whether tables, areas, or references are not what they were, for all that was told."""
        return bool(self.stores or self.areas or self.tables or self.refs or self.dma)


class NvidiaState:
    """The memories of a device, and one address space at a time.

    ``exists``: whether there is an address space; the rest is about the last one. ``managed``:
    the client has addresses of its own; ``raw``: it uses them by the raw interface.
    ``start``, ``end``: what the address space has, ``end`` exclusive. ``instance``: where the
    instance block is that leads to the root, or NONE; ``booted``: all its small tables are held.
    ``stuck``: the device does not carry out invalidations any more. ``kept``: it did not, and
    none of this address space was completed since: what nothing leads to any more may have to
    stay (one of all, which has faults replayed, is no occasion to let go). ``abandoned``: for
    good, as the address space is gone that could have invalidated it. ``pages``: mapped
    page by page: by address, log2 of the bytes and whether the page is the device's own.
    ``areas`` and what follows them: promised; ``told_areas`` and what follows: told.
    """

    def __init__(self) -> None:
        self.memories: list[NvidiaMemory] = []
        self.layout: MemoryLayout = MemoryLayout()
        self.exists: bool = False
        self.made: bool = False
        # Numbers of areas are not used again, not even for another address space.
        self.area_count: int = 0
        self.stuck: bool = False
        self.kept: bool = False
        self.abandoned: bool = False
        self.seen: NvidiaSeen = NvidiaSeen()
        self.format: Format | None = None
        self.mmu: NvidiaMmu | None = None
        self.promise: Pieces = Pieces(0)
        self._clear()

    def _clear(self) -> None:
        self.managed: bool = False
        self.raw: bool = False
        self.replay: bool = False
        self.chip: str = ""
        self.start: int = 0
        self.end: int = 0
        self.booted: bool = False
        self.instance: int = NONE
        self.areas: dict[int, Area] = {}
        self.raw_holds: list[HoldCounts] = []
        self.raw_parts: list[Part] = []
        self.regions: list[Region] = []
        self.pages: dict[int, tuple[int, bool]] = {}
        self.told_areas: dict[int, ToldArea] = {}
        self.told_tables: dict[tuple[int, int], ToldTable] = {}
        self.states: dict[int, int] = {}
        self.dma: dict[int, int] = {}

    # -- one operation ----------------------------------------------------------------------

    def begin(self) -> None:
        """An operation begins."""
        self.seen = NvidiaSeen()
        if self.mmu is not None:
            self.mmu.observations = []
            self.seen.counts_before = list(self.mmu.counts)
            self.seen.begun = len(self.mmu.invalidations)

    def prepare(self, fmt: Format, chip: str, managed: bool, raw: bool, replay: bool) -> None:
        """An address space is about to be made."""
        self._clear()
        self.format = fmt
        self.mmu = NvidiaMmu(fmt)
        self.promise = Pieces(int(fmt.limit))
        self.chip = chip
        self.managed = managed or raw
        self.raw = raw
        self.replay = replay
        self.raw_holds = [HoldCounts(index) for index in range(len(fmt.pages))]
        self.seen.counts_before = list(self.mmu.counts)
        self.seen.begun = 0

    def made_space(self, start: int, size: int) -> None:
        """It was made; ``start`` and ``size`` as they were asked for."""
        limit = self.limit()
        self.exists = True
        self.made = True
        if not self.managed:
            self.start = start
            self.end = start + size if size else limit
            return
        self.start = 0
        self.end = limit
        if start > 0:
            self._client_area(0, start - 1)
        if start + size < limit:
            self._client_area(start + size, limit - 1)

    def _client_area(self, first: int, last: int) -> None:
        area = Area(self.area_count, first, last, False, True, False)
        area.client = True
        self.areas[area.number] = area
        self.area_count += 1

    def destroyed(self) -> None:
        """The address space is gone, with all that was mapped there."""
        self.exists = False
        self.abandoned = self.abandoned or self.kept or self.stuck
        self.areas = {}
        self.raw_parts = []
        self.regions = []
        self.pages = {}
        self.booted = False
        self.instance = NONE
        for counts in self.raw_holds:
            counts.runs = []
        self.promise = Pieces(self.limit())

    def settle(self) -> None:
        """After an operation: what the MMU observed, and what a stuck device leaves cached."""
        if self.mmu is None:
            return
        self.seen.observations = self.mmu.observations
        started = self.mmu.invalidations[self.seen.begun :]
        self.seen.starts = len(started)
        its_own = [one for one in started if not one.kind & ALL_PDB]
        if self.stuck:
            self.kept = True
            self.mmu.assume_invalidated()
            self.mmu.running.clear()
        elif its_own and not self.mmu.running and not self.abandoned:
            self.kept = False

    def limit(self) -> int:
        """Bytes that the page tables can translate."""
        return 0 if self.format is None else int(self.format.limit)

    # -- events -----------------------------------------------------------------------------

    def feed(self, words: list[int], start: int) -> None:
        """Take the events of a flat trace from event number ``start`` to its end."""
        position: i64 = start * WORDS
        end: i64 = len(words)
        event: i64 = start
        mmu = self.mmu
        if mmu is not None:
            mmu.now = event
        while position < end:
            kind: i64 = words[position] & 0xFFFF
            a: i64 = words[position + 1]
            b: i64 = words[position + 2]
            c: i64 = words[position + 3]
            position += WORDS
            if kind == STORE:
                self.seen.stores += 1
            elif kind == REG_WRITE:
                self.seen.registers += 1
            else:
                self._take(event, kind, a, b, c)
            if mmu is not None:
                before: i64 = len(mmu.current.changes)
                mmu.take(kind, a, b, c)
                mmu.now += 1
                if len(mmu.current.changes) > before:
                    self._note(before)
            event += 1

    def _note(self, since: i64) -> None:
        """Entries that a walk could see were replaced: whose addresses may be others now."""
        changed = self.seen.changed
        if self.mmu is None:
            return
        for one in self.mmu.current.changes[since:]:
            first = int(one.first)
            last = int(one.last)
            if changed and first <= changed[-1][1] + 1 and last >= changed[-1][0] - 1:
                changed[-1] = (min(first, changed[-1][0]), max(last, changed[-1][1]))
            else:
                changed.append((first, last))

    def _take(self, event: i64, kind: i64, a: i64, b: i64, c: i64) -> None:
        seen = self.seen
        if kind == VMA_ADD:
            seen.areas += 1
            self.told_areas[a] = ToldArea(a, b, c)
        elif kind == VMA_REMOVE:
            seen.areas += 1
            self.told_areas.pop(a, None)
        elif kind == PT_REFS:
            seen.tables += 1
            self._told_table(a, b, c)
        elif kind == PT_STATE:
            self._told_state(a, b, c)
        elif kind == REFS:
            if a == REFS_BUFFER:
                seen.refs.append((event, b, c))
                if 0 <= b < len(self.memories):
                    self.memories[b].told = c
                    if c == 0:
                        self._let_go(event, b)
        elif kind == DMA_MAP:
            seen.dma += 1
            self.dma[a] = self.dma.get(a, 0) + 1
        elif kind == DMA_UNMAP:
            seen.dma += 1
            self._unmapped(event, a)
        elif kind == WARN:
            if seen.warned < 0:
                seen.warned = event
        elif kind == ALLOC_FAILED:
            seen.failed_allocations += 1

    def _told_table(self, word: i64, large: i64, small: i64) -> None:
        level: i64 = word & 0xF
        first: i64 = word & ~0xFFF
        key = (int(level), int(first))
        if large == 0 and small == 0:
            self.told_tables.pop(key, None)
            if level == 0 and self.format is not None:
                span: i64 = self.format.tables[self.format.last_directory].span
                for at in list(self.states):
                    if first <= at < first + span:
                        del self.states[at]
            return
        table = self.told_tables.get(key)
        if table is None:
            table = ToldTable(key[0], key[1])
            self.told_tables[key] = table
        table.large = large
        table.small = small
        table.sparse = word & TABLE_SPARSE != 0

    def _told_state(self, word: i64, last: i64, state: i64) -> None:
        if word & 0xF or self.format is None:
            return
        span: i64 = self.format.tables[self.format.large].span
        at: i64 = word & ~0xFFF
        while at <= last:
            if state:
                self.states[at] = state
            else:
                self.states.pop(at, None)
            at += span

    def _unmapped(self, event: i64, pa: i64) -> None:
        """The device is no longer let at a page: may it have a translation that leads there?"""
        count = self.dma.get(pa, 0)
        if count > 1:
            # It is mapped elsewhere, too.
            self.dma[pa] = count - 1
            return
        self.dma.pop(pa, None)
        if self.mmu is None or self.stuck:
            return
        for va in self.pages:
            promised = self.promise.lookup(va)
            if promised[0] != MAPPED or promised[1] != pa:
                continue
            for one in possible(self.mmu.walker, va):
                if one.what == MAPPED and one.pa == pa:
                    self.seen.early.append((event, va, pa))
                    return

    def _let_go(self, event: i64, number: i64) -> None:
        """A memory is gone: may the device have a translation that leads to a part of it?"""
        if self.mmu is None or self.stuck:
            return
        for area in self.areas.values():
            for part in area.parts:
                if part.memory != number:
                    continue
                pa: i64 = self.memories[number].pages.address(part.offset)
                for one in possible(self.mmu.walker, part.first):
                    if one.what == MAPPED and one.pa == pa:
                        self.seen.early.append((event, part.first, int(pa)))
                        return

    # -- page sizes -------------------------------------------------------------------------

    def page_list(self) -> list[Page]:
        """The page sizes, largest first."""
        return [] if self.format is None else list(self.format.pages)

    def index_of(self, shift: int) -> int:
        """The index of a page size; NONE if there is no such. ``shift``: as the driver lists it."""
        for index, page in enumerate(self.page_list()):
            if page.listed == shift:
                return index
        return NONE

    def small_index(self) -> int:
        """The index of the smallest page size."""
        return len(self.page_list()) - 1

    def sparse_holds(self, first: int, size: int) -> list[Hold]:
        """What is referenced so that a range is sparse: the largest pages that fit.

        An empty list where a page of it cannot be sparse, or it is not whole pages. What fits
        goes by the sizes that the driver lists: one of GM200 is two entries.
        Source: formats.md D.5 (sparse).
        """
        pages = self.page_list()
        found: list[Hold] = []
        largest = 0
        at = first
        left = size
        while left > 0:
            while largest < len(pages) and left < 1 << int(pages[largest].listed):
                largest += 1
            index = largest
            while index < len(pages) and at & ((1 << int(pages[index].listed)) - 1):
                index += 1
            if index >= len(pages) or not pages[index].sparse:
                return []
            span = 1 << int(pages[index].listed)
            block = left // span * span
            if index != largest:
                above = 1 << int(pages[index - 1].listed)
                part = -at % above
                if left - part >= above:
                    block = part // span * span
            found.append(Hold(index, at, at + block - 1, 1))
            at += block
            left -= block
        return found

    # -- recount ----------------------------------------------------------------------------

    def holds(self) -> list[Hold]:
        """All references that there have to be."""
        found: list[Hold] = []
        for area in self.areas.values():
            found.extend(area.holds())
        for counts in self.raw_holds:
            found.extend(counts.runs)
        for region in self.regions:
            found.extend(region.holds)
        if self.booted:
            found.append(Hold(self.small_index(), self.start, self.end - 1, 1))
        return found

    def recount(self) -> dict[tuple[int, int], ToldTable]:
        """The tables that there have to be, and what each has to count."""
        fmt = self.format
        found: dict[tuple[int, int], ToldTable] = {}
        if fmt is None or not self.exists:
            return found
        top = int(fmt.last_directory) + 1
        pages = fmt.pages
        for hold in self.holds():
            page = pages[hold.index]
            number = int(page.table)
            level = 0 if number > fmt.last_directory else top - number
            span = self.covers(level)
            base = hold.first // span * span
            while base <= hold.last:
                start = max(base, hold.first)
                end = min(base + span - 1, hold.last)
                count = ((end + 1 - start) >> page.shift) * hold.count
                table = found.get((level, base))
                if table is None:
                    table = ToldTable(level, base)
                    found[(level, base)] = table
                if number == fmt.small:
                    table.small += count
                else:
                    table.large += count
                base += span
        for level in range(top):
            for one in [table for table in found.values() if table.level == level]:
                span = self.covers(level + 1)
                key = (level + 1, one.first // span * span)
                above = found.get(key)
                if above is None:
                    above = ToldTable(key[0], key[1])
                    found[key] = above
                above.large += (1 if one.large else 0) + (1 if one.small else 0)
        root = found.get((top, 0))
        if root is None:
            root = ToldTable(top, 0)
            found[(top, 0)] = root
        root.large += 1
        return found

    def covers(self, level: int) -> int:
        """Bytes of input addresses that a table of a level covers."""
        fmt = self.format
        if fmt is None:
            return 0
        if level == 0:
            return int(fmt.tables[fmt.last_directory].span)
        one = fmt.tables[fmt.last_directory + 1 - level]
        return int(one.span << one.bits)

    def small_counts(self) -> dict[int, int]:
        """For each large entry by its first address, how many small pages in it are held."""
        fmt = self.format
        found: dict[int, int] = {}
        if fmt is None or not self.exists:
            return found
        span = int(fmt.tables[fmt.large].span)
        shift = int(fmt.pages[-1].shift)
        for hold in self.holds():
            if hold.index != len(fmt.pages) - 1:
                continue
            base = hold.first // span * span
            while base <= hold.last:
                start = max(base, hold.first)
                end = min(base + span - 1, hold.last)
                found[base] = found.get(base, 0) + ((end + 1 - start) >> shift) * hold.count
                base += span
        return found

    def is_sparse(self, first: int, last: int) -> bool:
        """Whether an address of first..last belongs to something sparse."""
        for area in self.areas.values():
            if area.sparse and area.first <= last and area.last >= first:
                return True
        for region in self.regions:
            if region.first <= last and region.last >= first:
                return True
        return False

    def memory_references(self, number: int) -> int:
        """How many references a memory has to have."""
        count = 1 if self.memories[number].owned else 0
        for area in self.areas.values():
            for part in area.parts:
                if part.memory == number:
                    count += 1
        return count

    def dma_pages(self) -> dict[int, int]:
        """The pages of the system that are mapped page by page, and how often each."""
        found: dict[int, int] = {}
        for va, (_, vram) in self.pages.items():
            if not vram:
                pa = int(self.promise.lookup(va)[1])
                found[pa] = found.get(pa, 0) + 1
        return found

    def lost_tables(self) -> list[int]:
        """Addresses of table memory that nothing leads to, and that has not to stay."""
        if self.mmu is None or self.kept:
            return []
        if not self.exists:
            return sorted(self.mmu.memory.tables)
        return [int(one.pa) for one in self.mmu.links.unreachable() if one.pa != self.instance]

    # -- areas ------------------------------------------------------------------------------

    def area_at(self, address: int) -> Area | None:
        """The area that has an address; None if it is free."""
        for area in self.areas.values():
            if area.first <= address <= area.last:
                return area
        return None

    def holes(self) -> list[tuple[int, int]]:
        """(first, last) of what is free, ascending."""
        found: list[tuple[int, int]] = []
        at = self.start
        for first, last in sorted([(one.first, one.last) for one in self.areas.values()]):
            if first > at:
                found.append((at, first - 1))
            at = last + 1
        if at < self.end:
            found.append((at, self.end - 1))
        return found

    def place(self, size: int, align: int) -> int:
        """Where ``size`` bytes go, by best fit; -1: nowhere. ``align``: log2."""
        unit = 1 << align
        for _, first, last in sorted([(b - a, a, b) for a, b in self.holes()]):
            start = (first + unit - 1) // unit * unit
            if start + size - 1 <= last:
                return start
        return NONE


__all__ = [
    "COUNT_BITS", "NONE", "STATE_SMALL", "STATE_SPARSE", "Area", "Hold", "HoldCounts",
    "NvidiaMemory", "NvidiaSeen", "NvidiaState", "Part", "Region", "ToldArea", "ToldTable",
    "small_count",
]  # fmt: skip
