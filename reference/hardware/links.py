"""Which entry leads to which table, in memory and through what is cached.

Links exist once a machine. A table that memory leads to has a *live* path from a root; when it
is unlinked, every context that may have walked there keeps a path through a cached walk entry,
until that is invalidated. What becomes reachable is looked at once: is it written, is it
visible, is it a table at all?

Source: semantics.md "The maximal TLB"; formats.md F.1, F.3.
"""

from mypy_extensions import i64

from reference.formats.entry import LEAF, TABLE
from reference.formats.format import Geometry
from reference.hardware.context import Context, Root, Space
from reference.hardware.memory import POISON, Path, PhysicalMemory, TablePage, Visibility
from reference.hardware.observation import (
    PUBLISHED_NOTHING,
    PUBLISHED_UNORDERED,
    PUBLISHED_UNWRITTEN,
    Observed,
)
from reference.hardware.tlb import FOREVER, Fact, Waiting


class Links:
    """The ways to all tables of a machine."""

    def __init__(
        self,
        geometry: Geometry,
        memory: PhysicalMemory,
        visibility: Visibility,
        waiting: Waiting,
        observed: Observed,
    ) -> None:
        self.geometry: Geometry = geometry
        """How tables are laid out."""
        self.memory: PhysicalMemory = memory
        """The machine's."""
        self.visibility: Visibility = visibility
        """The machine's."""
        self.waiting: Waiting = waiting
        """The machine's."""
        self.observed: Observed = observed
        """The machine's."""
        self.last_level: i64 = geometry.format.levels - 1
        """The level whose entries lead to no table."""
        self.spaces: list[Space] = []
        """By number."""
        self.contexts: list[Context] = []
        """By number."""
        self.roots: list[Root] = []
        """By number; live paths say which one they begin at."""

    def root(self, space: Space, pa: i64, level: i64, va: i64) -> Root:
        """The root of a space at this place, made when it is first asked for."""
        for root in self.roots:
            if root.pa == pa and root.level == level and root.va == va and root.space is space:
                return root
        made = Root(len(self.roots), space, pa, level, va)
        self.roots.append(made)
        return made

    def is_walked(self, page: TablePage) -> bool:
        """Whether a context may walk to a page, from memory or from what it has cached."""
        for path in page.paths:
            if path.fact >= 0 or self.roots[path.owner].contexts:
                return True
        return False

    def hold(self, pa: i64, held: bool) -> None:
        """A root stands in a register that no address leads to: it is not lost; or not any more."""
        page = self.memory.pages.get(pa)
        if page is None or page.is_live() or page.leaked == held:
            return
        page.leaked = held
        self.spaces[page.space].leaked += 1 if held else -1

    # -- linking ----------------------------------------------------------------------------

    def link(self, root: Root, level: i64, va: i64, word: i64) -> None:
        """A table entry was stored: memory leads from ``root`` to the table behind it now."""
        self.check_published(root.space.number, len(root.contexts) > 0, level, va, word)
        child = self.memory.pages.get(self.geometry.format.next_table(level, word))
        if child is not None:
            self.add_path(root, child, level + 1, va)

    def add_path(self, root: Root, page: TablePage, level: i64, va: i64) -> None:
        """Memory leads to a page and to all tables behind it."""
        if not page.is_live():
            owner = self.spaces[page.space]
            owner.reachable += 1
            if page.leaked:
                page.leaked = False
                owner.leaked -= 1
        page.paths.append(Path(level, va, -1, root.number))
        if level == self.last_level or page.nonzero == 0:
            return
        fmt = self.geometry.format
        index: i64 = 0
        for word in page.words:
            if word != 0 and fmt.kind(level, word) == TABLE:
                child = self.memory.pages.get(fmt.next_table(level, word))
                if child is not None:
                    self.add_path(root, child, level + 1, va + (index << fmt.shift(level)))
            index += 1

    def link_behind(self, level: i64, va: i64, word: i64, behind: Fact) -> None:
        """A table entry can be walked that only the cached entry ``behind`` leads to."""
        fmt = self.geometry.format
        child_pa = fmt.next_table(level, word)
        child = self.memory.pages.get(child_pa)
        if child is None:
            return
        context = self.contexts[behind.context]
        fact = context.tlb.remember_walk(level, va, word, child_pa, behind.until)
        if fact.until == FOREVER:
            self.waiting.wait_with(behind, fact)
        below: i64 = level + 1
        child.paths.append(Path(below, va, fact.number, context.number))
        if below == self.last_level or child.nonzero == 0:
            return
        index: i64 = 0
        for entry in child.words:
            if entry != 0 and fmt.kind(below, entry) == TABLE:
                self.link_behind(below, va + (index << fmt.shift(below)), entry, fact)
            index += 1

    def link_again(self, context: Context) -> None:
        """Walks go on from cached entries: what was linked behind them meanwhile can be reached."""
        fmt = self.geometry.format
        for behind in list(context.tlb.walks.values()):
            page = self.memory.pages.get(behind.table)
            level: i64 = behind.level + 1
            if page is None or page.nonzero == 0 or level == self.last_level:
                continue
            index: i64 = 0
            for word in page.words:
                if word != 0 and fmt.kind(level, word) == TABLE:
                    va: i64 = behind.first + (index << fmt.shift(level))
                    if not self._is_cached(context, level, va, word, behind.until):
                        self.link_behind(level, va, word, behind)
                index += 1

    def _is_cached(self, context: Context, level: i64, va: i64, word: i64, until: i64) -> bool:
        """Whether a context has a table entry for ``va`` cached that it could load ``until`` then.

        An older one is not enough: an invalidation takes it and leaves what was loaded later.
        """
        child = self.memory.pages.get(self.geometry.format.next_table(level, word))
        if child is not None:
            for path in child.paths:
                if (
                    path.fact >= 0
                    and path.owner == context.number
                    and path.level == level + 1
                    and path.va == va
                ):
                    fact = context.tlb.walks.get(path.fact)
                    if fact is not None and fact.until >= until:
                        return True
        return False

    # -- unlinking --------------------------------------------------------------------------

    def unlink(
        self,
        root: Root,
        contexts: list[Context],
        gone: bool,
        level: i64,
        va: i64,
        word: i64,
        pa: i64,
    ) -> None:
        """``contexts`` load this table entry from memory no more, and have it cached.

        The table behind it, and all behind that, stay walkable for them. ``gone``: memory leads
        there no more, for nobody. ``pa``: of the word whose store has to become visible first.
        """
        fmt = self.geometry.format
        child_pa = fmt.next_table(level, word)
        child = self.memory.pages.get(child_pa)
        if child is None:
            return
        below: i64 = level + 1
        live: Path | None = None
        for path in child.paths:
            if (
                path.fact < 0
                and path.owner == root.number
                and path.level == below
                and path.va == va
            ):
                live = path
                break
        if live is None:
            return
        taken: bool = not gone
        for context in contexts:
            fact = context.tlb.remember_walk(level, va, word, child_pa, FOREVER)
            self.waiting.follow(child, fact)
            self.waiting.wait(pa, fact)
            if taken:
                child.paths.append(Path(below, va, fact.number, context.number))
            else:
                live.fact = fact.number
                live.owner = context.number
                taken = True
        if not taken:
            child.paths.remove(live)
        if gone and not child.is_live():
            self.spaces[child.space].reachable -= 1
        if below == self.last_level or child.nonzero == 0:
            return
        index: i64 = 0
        for entry in child.words:
            if entry != 0 and fmt.kind(below, entry) == TABLE:
                start: i64 = va + (index << fmt.shift(below))
                self.unlink(root, contexts, gone, below, start, entry, pa)
            index += 1

    def unlink_behind(self, context: Context, level: i64, va: i64, word: i64, pa: i64) -> None:
        """A table entry went that only a cached entry led to: it is cached as well.

        It can be loaded until the walker sees the store, or sees that its table is gone.
        """
        child = self.memory.pages.get(self.geometry.format.next_table(level, word))
        if child is None:
            return
        for path in child.paths:
            if (
                path.fact >= 0
                and path.owner == context.number
                and path.level == level + 1
                and path.va == va
            ):
                fact = context.tlb.walks.get(path.fact)
                if fact is not None and fact.until == FOREVER:
                    self.waiting.wait(pa, fact)

    def unlink_root(self, root: Root, contexts: list[Context], gone: bool) -> None:
        """``contexts`` walk from a root no more; what they read through it stays cached."""
        page = self.memory.pages.get(root.pa)
        if page is None:
            return
        if gone:
            page.paths = [
                path for path in page.paths if path.fact >= 0 or path.owner != root.number
            ]
            if not page.is_live():
                self.spaces[page.space].reachable -= 1
        self.keep_entries(root, page, contexts, gone)

    def keep_entries(
        self, root: Root, page: TablePage, contexts: list[Context], gone: bool
    ) -> None:
        """Every entry of the root's own table stays cached in ``contexts``."""
        fmt = self.geometry.format
        level: i64 = root.level
        entries = self.geometry.entries(level)
        index: i64 = 0
        for word in page.words:
            if index >= entries:
                break
            if word != 0:
                kind: i64 = fmt.kind(level, word)
                va: i64 = root.va + (index << fmt.shift(level))
                if kind == TABLE:
                    self.unlink(root, contexts, gone, level, va, word, root.pa)
                elif kind == LEAF:
                    last: i64 = va + fmt.span(level) - 1
                    for context in contexts:
                        context.tlb.remember_leaf(level, va, last, word, self.observed.now)
            index += 1

    # -- what becomes reachable -------------------------------------------------------------

    def check_published(self, space: i64, walked: bool, level: i64, va: i64, word: i64) -> None:
        """A table becomes walkable through ``word``."""
        child = self.geometry.format.next_table(level, word)
        self.check_content(space, walked, level, va, word, child)

    def check_content(
        self, space: i64, walked: bool, level: i64, va: i64, word: i64, child_pa: i64
    ) -> None:
        """Are the table that becomes walkable, and all tables behind it, complete?

        ``level`` and ``word`` are those of the entry that leads there. That of a root is
        the level above the walk's first, and 0. ``walked``: somebody walks there now.
        """
        fmt = self.geometry.format
        seen = self.observed
        child = self.memory.pages.get(child_pa)
        for kind in (PUBLISHED_UNWRITTEN, PUBLISHED_UNORDERED, PUBLISHED_NOTHING):
            seen.counts[kind] += 1
        if child is None:
            seen.observe(PUBLISHED_NOTHING, level, va, 0, word, child_pa, space)
            return
        below: i64 = level + 1
        if child.unwritten > 0 and POISON in child.words[: self.geometry.entries(below)]:
            seen.observe(PUBLISHED_UNWRITTEN, level, va, 0, word, child_pa, space)
        if walked and not self.visibility.is_ordered(child):
            seen.observe(PUBLISHED_UNORDERED, level, va, 0, word, child_pa, space)
        if below == self.last_level or child.nonzero == 0:
            return
        index: i64 = 0
        for entry in child.words:
            if entry != 0 and fmt.kind(below, entry) == TABLE:
                start: i64 = va + (index << fmt.shift(below))
                self.check_published(space, walked, below, start, entry)
            index += 1
