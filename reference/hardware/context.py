"""Who walks, from where, and what a promise is about.

A *context* is whoever walks: an address space of a GPU, a stream of a DART, one of UAT's
contexts as one observer sees it, an ASID of a CPU. It has a root, or several where roots are in
registers, and its own cached facts. It may be attached and disabled: then it loads nothing, and
keeps what it cached.

A *root* is a table at which walks begin; memory leads from it to all that is linked. Several
contexts may walk from the same one.

A *space* is what a promise is about: the tables that software made for one address space,
whoever walks them and when. Its questions compare tables and caches with a promise.

Source: semantics.md "The maximal TLB".
"""

from typing import Final

from mypy_extensions import i64

from reference.formats.entry import LEAF
from reference.formats.format import Geometry
from reference.hardware.memory import PhysicalMemory, TablePage, Visibility
from reference.hardware.observation import Observation, Observed
from reference.hardware.tlb import FOREVER, TOP_VA, Fact, MaximalTlb, Waiting
from reference.hardware.walker import REGISTERS, Walker
from reference.trace import SCOPE_LEAF, SCOPE_WALK
from reference.translations import Translations

ANY: Final = -1
"""In place of a device, an observer or a tag: all of them."""


class Difference:
    """An address at which the walk and the promise differ."""

    def __init__(self, va: i64, pa: i64, level: i64, word: i64, address: bool) -> None:
        self.va: i64 = va
        """The address."""
        self.pa: i64 = pa
        """Where the walk leads; -1: nothing is mapped."""
        self.level: i64 = level
        """Of the entry at which the walk ended."""
        self.word: i64 = word
        """That entry."""
        self.address: bool = address
        """False when only permission or type differ."""


class Context:
    """Who walks: one context of one device, as one observer sees it."""

    def __init__(
        self,
        number: i64,
        space: i64,
        memory: PhysicalMemory,
        geometry: Geometry,
        device: i64,
        observer: i64,
        tag: i64,
    ) -> None:
        self.number: i64 = number
        """Counted from 0, in the machine."""
        self.space: i64 = space
        """Number of the space that it walks, or walked last."""
        self.device: i64 = device
        """Whose context it is; invalidations of a device reach its own contexts."""
        self.observer: i64 = observer
        """Which of those who walk the same tables it is, where there are several."""
        self.tag: i64 = tag
        """ASID, PDB or the like: what is cached is tagged with it."""
        self.tlb: MaximalTlb = MaximalTlb(memory, geometry, number)
        """What it may have cached that memory does not hold."""
        self.roots: dict[i64, Root] = {}
        """Where its walks begin: by number of the register, 0 where there is one root."""
        self.unused: dict[i64, i64] = {}
        """Roots in registers beyond the input size, which no address leads to, by register."""
        self.enabled: bool = True
        """Whether it loads anything."""


class Root:
    """A table at which walks begin."""

    def __init__(self, number: i64, space: "Space", pa: i64, level: i64, va: i64) -> None:
        self.number: i64 = number
        """Counted from 0, in the machine."""
        self.space: Space = space
        """The address space that begins here."""
        self.pa: i64 = pa
        """The table's address."""
        self.level: i64 = level
        """Its level."""
        self.va: i64 = va
        """The first input address that it translates."""
        self.contexts: list[Context] = []
        """Those that may load from here now."""
        self.attached: i64 = 0
        """How many contexts it is a root of, the disabled ones included."""


class Space:
    """The tables of one address space; what a promise is about."""

    def __init__(
        self,
        number: i64,
        geometry: Geometry,
        memory: PhysicalMemory,
        visibility: Visibility,
        waiting: Waiting,
        observed: Observed,
    ) -> None:
        self.number: i64 = number
        """Counted from 0, in the machine."""
        self.geometry: Geometry = geometry
        """How the tables are laid out."""
        self.memory: PhysicalMemory = memory
        """The machine's."""
        self.visibility: Visibility = visibility
        """The machine's."""
        self.waiting: Waiting = waiting
        """The machine's."""
        self.observed: Observed = observed
        """The machine's."""
        self.walker: Walker = Walker(memory, geometry)
        """The walk through memory alone, from where contexts were attached."""
        self.contexts: list[Context] = []
        """Who walks here, or did last."""
        self.walked: bool = False
        """Whether a context is enabled."""
        self.touched_first: i64 = 0
        """The first address whose translation the operation at hand may change."""
        self.touched_last: i64 = -1
        """The last such address; less than the first: there is none."""
        self.stalled_first: i64 = 0
        """The first address to which accesses wait now, as they do in a locked region: what an
        entry there is in between is nobody's concern."""
        self.stalled_last: i64 = TOP_VA
        """The last such address. While nobody walks, all accesses wait."""
        self.changed_stalled: list[i64] = []
        """Addresses outside the touched ones whose translation changed while accesses to them
        waited, to be looked at afterwards."""
        self.freed_linked: list[Observation] = []
        """Tables that were freed although memory led to them, while nobody walked."""
        self.allocated: i64 = 0
        """How many table pages it has."""
        self.reachable: i64 = 0
        """How many of them memory leads to from a root."""
        self.leaked: i64 = 0
        """How many of them were reported as lost."""
        self.last_store: i64 = -1
        """Number of the event of the last store to a table that can be walked."""
        self.last_store_pa: i64 = -1
        """The word, or table, that it was to."""
        self.accepted: dict[i64, set[i64]] = {}
        """Accesses that were reported and stand for a promised one from then on, by that one."""

    # -- its tables -------------------------------------------------------------------------

    def registers(self) -> TablePage:
        """The registers that stand for the table of level 0, made when they are first asked for."""
        pa: i64 = REGISTERS - self.number * self.memory.granule
        page = self.memory.pages.get(pa)
        if page is None:
            page = self.memory.allocate(pa, self.geometry.entries(0) * 8, ANY)
            page.fill(0)
            self.walker.root = pa
        return page

    def pages(self) -> list[TablePage]:
        """Its table pages, by address."""
        pages = self.memory.pages
        return [pages[pa] for pa in sorted(pages) if pages[pa].space == self.number]

    def lost_tables(self) -> i64:
        """How many of its table pages no attached root leads to, less those reported."""
        return self.allocated - self.reachable - self.leaked

    def mark_leaked(self) -> i64:
        """Take every unreachable page as reported; the pa of the first of them, or -1."""
        found: i64 = -1
        for page in self.pages():
            if not page.leaked and not page.is_live():
                page.leaked = True
                self.leaked += 1
                if found < 0:
                    found = page.pa
        return found

    def take_back(self) -> list[i64]:
        """Take every page as freed, after it was reported that none was; their addresses."""
        found = [page.pa for page in self.pages()]
        for pa in found:
            self.memory.free(pa)
        self.allocated = 0
        self.reachable = 0
        self.leaked = 0
        return found

    def unseen_store(self, barrier: i64 = -1) -> i64:
        """The pa of a reachable table, or word of it, with stores that walkers may not see.

        -1: they see them all. ``barrier``: number of the event of a barrier that does as well as
        the last full one.
        """
        visibility = self.visibility
        if visibility.coherent:
            seen: i64 = max(visibility.full_barrier, barrier)
            return self.last_store_pa if self.last_store > seen else -1
        for pa in sorted(visibility.unclean_pages):
            page = visibility.unclean_pages[pa]
            if page.space == self.number and page.is_live():
                return pa if page.all_unclean else pa + min(page.unclean) * 8
        return -1

    def make_all_seen(self) -> None:
        """Take every store as visible (after it was reported that it was not)."""
        self.last_store = -1
        for page in list(self.visibility.unclean_pages.values()):
            if page.space == self.number:
                self.visibility.forget(page)
        for context in self.contexts:
            self.waiting.all_seen_by(context.number, self.observed.now - 1)

    def is_stalled(self, first: i64, last: i64) -> bool:
        """Whether accesses to every address of first..last wait."""
        return self.stalled_first <= first and last <= self.stalled_last

    # -- what memory says, beside a promise ---------------------------------------------------

    def leaves(self, first: i64, last: i64, limit: int = 4096) -> list[tuple[i64, i64, i64]]:
        """(va, level, word) of the leaves in memory that reach into first..last, in order."""
        fmt = self.geometry.format
        found: list[tuple[i64, i64, i64]] = []
        va: i64 = max(first, 0)
        end: i64 = min(last, self.geometry.limit - 1)
        while va <= end and len(found) < limit:
            level, word = self.walker.translate(va)
            if level < 0:
                break
            span = fmt.span(level)
            if fmt.kind(level, word) == LEAF:
                found.append((va & ~(span - 1), level, word))
            va = (va | (span - 1)) + 1
        return found

    def difference(self, promise: Translations, first: i64, last: i64) -> Difference | None:
        """The lowest address of first..last at which memory does not say what was promised."""
        fmt = self.geometry.format
        va: i64 = max(first, 0)
        end: i64 = min(last, self.geometry.limit - 1)
        while va <= end:
            level, word = self.walker.translate(va)
            expected, prot = promise.lookup(va)
            if level < 0 or fmt.kind(level, word) != LEAF:
                if expected != -1:
                    return Difference(va, -1, level, word, True)
            else:
                pa: i64 = fmt.output(level, word) + (va & (fmt.span(level) - 1))
                if pa != expected:
                    return Difference(va, pa, level, word, True)
                promised = fmt.promised(prot)
                found: i64 = fmt.meaning(level, word) & ~self.walker.denied
                if found != promised and not self._accepts(promised, found):
                    return Difference(va, pa, level, word, False)
            stop = promise.extent(va)
            if level >= 0:
                stop = min(stop, va | (fmt.span(level) - 1))
            va = stop + 1
        return None

    def held(
        self, promise: Translations, first: i64, last: i64, limit: int = 4096
    ) -> list[tuple[i64, i64, i64, i64]]:
        """(first, last, pa, level in memory) of what is promised in first..last, in order.

        At most ``limit`` of them. Memory may hold it in smaller entries than the caller asked for.
        """
        found: list[tuple[i64, i64, i64, i64]] = []
        for part in promise.parts(first, min(last, self.geometry.limit - 1), limit):
            start: i64 = max(part.first, first)
            level, _ = self.walker.translate(start)
            found.append((start, part.last, part.pa + (start - part.first), level))
        return found

    def _accepts(self, promised: i64, found: i64) -> bool:
        accepted = self.accepted.get(promised)
        return accepted is not None and found in accepted

    def accept(self, promise: Translations, difference: Difference) -> None:
        """Take the access at a reported difference as good for what was promised there."""
        _, prot = promise.lookup(difference.va)
        found = self.geometry.format.meaning(difference.level, difference.word)
        self.accepted.setdefault(self.geometry.format.promised(prot), set()).add(found)

    # -- what is cached, beside a promise -----------------------------------------------------

    def cached(self, first: i64, last: i64) -> list[Fact]:
        """Every stale leaf that may serve an address of first..last, context by context."""
        found: list[Fact] = []
        for context in self.contexts:
            found.extend(context.tlb.leaves_in(first, last))
        return found

    def stale(self, promise: Translations, first: i64, last: i64) -> Fact | None:
        """A cached leaf for an address of first..last that the promise does not hold with."""
        for context in self.contexts:
            if context.tlb.is_empty():
                continue
            for fact in context.tlb.leaves_in(first, last):
                if self._disagrees(promise, fact, max(first, fact.first), min(last, fact.last)):
                    return fact
        return None

    def _disagrees(self, promise: Translations, fact: Fact, first: i64, last: i64) -> bool:
        fmt = self.geometry.format
        base = fmt.output(fact.level, fact.word)
        mask: i64 = fmt.span(fact.level) - 1
        meaning = fmt.meaning(fact.level, fact.word)
        va: i64 = first
        while va <= last:
            expected, prot = promise.lookup(va)
            if expected != base + (va & mask):
                return True
            if fmt.promised(prot) != meaning and not self._accepts(fmt.promised(prot), meaning):
                return True
            va = promise.extent(va) + 1
        return False

    def forget(self, first: i64, last: i64) -> None:
        """Drop all that is cached for first..last (it was reported, or is nobody's duty)."""
        for context in self.contexts:
            self.forget_in(context, first, last)

    def forget_in(self, context: Context, first: i64, last: i64) -> None:
        """Drop what one context has cached for first..last."""
        # What is left of it must not wait for a store that nobody tracks for it.
        self.waiting.give_up(context.number, first, last, self.observed.now)
        context.tlb.invalidate(first, last, SCOPE_LEAF | SCOPE_WALK, FOREVER + 1)

    def forget_all(self, context: Context) -> None:
        """Drop what one context has cached: it is somebody else's concern."""
        self.waiting.all_seen_by(context.number, self.observed.now - 1)
        self.forget_in(context, 0, TOP_VA)
