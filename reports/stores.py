"""What the events of a trace mean for the page table: which entry a store changes, and how.

A trace says which word was stored where. From the roots that were attached, or
made for a VM, and the tables that entries lead to, this finds the level and the input addresses
of every table, also of those that were filled before they were linked, and
puts the decoded entries beside the stores.
"""

from collections.abc import Collection, Sequence
from typing import Final, Protocol

from reference import trace as t
from reference.formats.entry import INVALID, TABLE
from reference.formats.format import Geometry
from reference.numbers import size_text
from reference.words import to_unsigned
from reports.counterexample import Note
from reports.events import runs

_WORD: Final = 8


class Tree(Protocol):
    """What has to be known of a format: where its tables lead, and what to say of an entry.

    ``level`` is the number of a kind of table, ``offset`` a byte in a table, a multiple of 8,
    and ``va`` the first input address of a table. ``granule``: bytes that no two tables share;
    ``root``: the level of root tables.
    """

    granule: int
    root: int

    def entry_va(self, level: int, va: int, offset: int) -> int:
        """The first input address of the entry at a byte of a table."""

    def links(self, level: int, offset: int, word: int) -> list[tuple[int, int]]:
        """(physical address, level) of each table that a word leads to."""

    def is_valid(self, level: int, offset: int, word: int) -> bool:
        """Whether a word is something that a walk goes on from, or ends at with a translation."""

    def table_text(self, level: int, va: int) -> str:
        """Which table it is."""

    def store_text(
        self, level: int, va: int, offset: int, old: int, new: int, written: bool
    ) -> str:
        """Which entry a store changes, and how; ``written``: ``old`` was stored or filled."""


class _Page:
    """One allocation of table memory: its place in the tree, once known, and its words.

    ``filled``: all of it was written at once, before what ``words`` has.
    """

    def __init__(self, pa: int, size: int) -> None:
        self.pa = pa
        self.size = size
        self.level = -1
        self.va = 0
        self.filled = False
        self.words: dict[int, int] = {}


class _Tables:
    """Follows allocations and stores through a trace, one event after the other."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.granule = tree.granule
        self.by_granule: dict[int, _Page] = {}

    def page(self, pa: int) -> _Page | None:
        """The allocation that holds ``pa`` now."""
        return self.by_granule.get(pa // self.granule)

    def allocate(self, page: _Page) -> None:
        for number in range(page.pa // self.granule, -(-(page.pa + page.size) // self.granule)):
            self.by_granule[number] = page

    def free(self, pa: int) -> None:
        page = self.page(pa)
        if page is not None:
            self.by_granule = {
                number: other for number, other in self.by_granule.items() if other is not page
            }

    def entry_va(self, page: _Page, pa: int) -> int:
        """The first input address of the entry at ``pa``; the page's place is known."""
        return self.tree.entry_va(page.level, page.va, pa - page.pa)


class _GeometryTree:
    """A table of a format whose levels each have one kind of table; see :class:`Tree`."""

    def __init__(self, geometry: Geometry) -> None:
        self.format = geometry.format
        self.granule = self.format.granule
        self.root = int(geometry.start_level)

    def entry_va(self, level: int, va: int, offset: int) -> int:
        return va + offset // _WORD * self.format.span(level)

    def links(self, level: int, offset: int, word: int) -> list[tuple[int, int]]:
        if level >= self.format.levels - 1 or self.format.kind(level, word) != TABLE:
            return []
        return [(self.format.next_table(level, word), level + 1)]

    def is_valid(self, level: int, offset: int, word: int) -> bool:
        return self.format.kind(level, word) != INVALID

    def table_text(self, level: int, va: int) -> str:
        if level == self.root:
            return f"root table, level {level}"
        return f"level {level} table of {va:#x} ({size_text(self.format.span(level - 1))})"

    def store_text(
        self, level: int, va: int, offset: int, old: int, new: int, written: bool
    ) -> str:
        fmt = self.format
        entry = self.entry_va(level, va, offset)
        where = f"level {level} entry of {entry:#x} ({size_text(fmt.span(level))})"
        described = fmt.describe(level, new)
        if fmt.same(level, old, new):
            return f"{where}: {described}; the same to the walker as before"
        both_valid = INVALID not in (fmt.kind(level, old), fmt.kind(level, new))
        valid = ", from valid to valid" if both_valid else ""
        return f"{where}{valid}: {fmt.describe(level, old)} -> {described}"


def _place_tables(
    events: Sequence[t.Event], pages: dict[int, _Page], tree: Tree, roots: Collection[int]
) -> None:
    """Find level and address of every allocation in ``pages`` (by number of its event).

    One pass in order of time does for tables that are linked from the root down; a table
    that got entries before it was linked needs another.
    """
    for number in roots:
        pages[number].level = tree.root
    found = True
    while found:
        found = False
        tables = _Tables(tree)
        for number, event in enumerate(events):
            if event.kind == t.ALLOC:
                tables.allocate(pages[number])
            elif event.kind == t.FREE:
                tables.free(to_unsigned(event.a))
            elif event.kind == t.ATTACH:
                root = tables.page(to_unsigned(event.a))
                if root is not None and root.level < 0:
                    root.level = tree.root
                    found = True
            elif event.kind == t.STORE:
                found = _link(event, tables) or found


def _link(event: t.Event, tables: _Tables) -> bool:
    """Whether a store leads to a table whose place was not known yet; now it is."""
    holder = tables.page(to_unsigned(event.a))
    if holder is None or holder.level < 0:
        return False
    found = False
    offset = to_unsigned(event.a) - holder.pa
    for pa, level in tables.tree.links(holder.level, offset, event.c):
        child = tables.page(pa)
        if child is not None and child.level < 0:
            child.level = level
            child.va = tables.entry_va(holder, to_unsigned(event.a))
            found = True
    return found


def annotate(
    events: Sequence[t.Event],
    geometry: Geometry,
    alone: int | None = None,
    roots: Collection[int] = (),
) -> tuple[Note, ...]:
    """Notes for the stores, allocations and frees of a trace that was made with ``geometry``.

    A run of like stores has one note, on its first; the event ``alone``, the offending one,
    always has its own. Events whose table was never linked to an attached root have none.
    ``roots``: allocations that are roots without being attached.
    """
    return annotate_tree(events, _GeometryTree(geometry), alone, roots)


def annotate_tree(
    events: Sequence[t.Event], tree: Tree, alone: int | None = None, roots: Collection[int] = ()
) -> tuple[Note, ...]:
    """As :func:`annotate`, with tables that are laid out as ``tree`` says."""
    pages = {
        number: _Page(to_unsigned(event.a), to_unsigned(event.b))
        for number, event in enumerate(events)
        if event.kind == t.ALLOC
    }
    _place_tables(events, pages, tree, roots)
    tables = _Tables(tree)
    notes: list[Note] = []
    for run in runs(events, 0, len(events) - 1, alone):
        for number in range(run.first, run.last + 1):
            text = _note(events[number], pages.get(number), tables)
            if text and number < run.first + run.period:
                notes.append(Note(number, text))
    return tuple(notes)


def _note(event: t.Event, made: _Page | None, tables: _Tables) -> str:
    """What ``event`` means, or ""; ``tables`` is brought up to date with it."""
    pa = to_unsigned(event.a)
    if made is not None:
        tables.allocate(made)
        return _table_text(made, tables.tree)
    page = tables.page(pa)
    if page is None:
        return ""
    if event.kind == t.FREE:
        tables.free(pa)
        return _freed_text(page, tables.tree)
    if event.kind == t.FILL:
        size = to_unsigned(event.b)
        page.filled = page.filled or (pa == page.pa and size >= page.size)
        page.words = {at: word for at, word in page.words.items() if not pa <= at < pa + size}
        if event.c:
            page.words.update(dict.fromkeys(range(pa, pa + size, _WORD), event.c))
    elif event.kind == t.STORE:
        written = page.filled or pa in page.words
        page.words[pa] = event.c
        if page.level >= 0:
            offset = pa - page.pa
            return tables.tree.store_text(page.level, page.va, offset, event.b, event.c, written)
    return ""


def _table_text(page: _Page, tree: Tree) -> str:
    return tree.table_text(page.level, page.va) if page.level >= 0 else ""


def _freed_text(page: _Page, tree: Tree) -> str:
    text = _table_text(page, tree)
    if not text:
        return ""
    entries = {
        tree.entry_va(page.level, page.va, pa - page.pa)
        for pa, word in page.words.items()
        if tree.is_valid(page.level, pa - page.pa, word)
    }
    valid = len(entries)
    if valid:
        text += f", with {valid} valid {'entry' if valid == 1 else 'entries'} still in it"
    return text
