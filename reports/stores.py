"""What the events of a trace mean for the page table: which entry a store changes, and how.

A trace says which word was stored where. From the roots that were attached, or
made for a VM, and the tables that entries lead to, this finds the level and the input addresses
of every table, also of those that were filled before they were linked, and
puts the decoded entries beside the stores.
"""

from collections.abc import Collection, Sequence
from typing import Final

from reference import trace as t
from reference.formats.format import INVALID, TABLE, Geometry
from reference.words import to_unsigned
from reports.counterexample import Note
from reports.events import runs
from reports.numbers import size_text

_WORD: Final = 8


class _Page:
    """One allocation of table memory: its place in the tree, once known, and its words."""

    def __init__(self, pa: int, size: int) -> None:
        self.pa = pa
        self.size = size
        self.level = -1
        self.va = 0
        self.words: dict[int, int] = {}


class _Tables:
    """Follows allocations and stores through a trace, one event after the other."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.granule = geometry.format.granule
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
        return page.va + (pa - page.pa) // _WORD * self.geometry.format.span(page.level)


def vm_roots(events: Sequence[t.Event]) -> frozenset[int]:
    """The allocations, by number of their event, that are root tables of VMs.

    For systems that name VMs and attach no roots: the first page allocated in a VM is its root.
    """
    roots: dict[int, int] = {}
    found: set[int] = set()
    vm: int | None = None
    for number, event in enumerate(events):
        if event.kind == t.BEGIN:
            vm = None
        elif event.kind == t.VM:
            vm = event.a
        elif event.kind == t.ALLOC and vm is not None and vm not in roots:
            roots[vm] = event.a
            found.add(number)
        elif event.kind == t.FREE:
            # A number is used again where the VM could not be made after all.
            roots = {other: pa for other, pa in roots.items() if pa != event.a}
    return frozenset(found)


def _place_tables(
    events: Sequence[t.Event],
    pages: dict[int, _Page],
    geometry: Geometry,
    roots: Collection[int],
) -> None:
    """Find level and address of every allocation in ``pages`` (by number of its event).

    One pass in order of time does for tables that are linked from the root down; a table
    that got entries before it was linked needs another.
    """
    for number in roots:
        pages[number].level = geometry.start_level
    found = True
    while found:
        found = False
        tables = _Tables(geometry)
        for number, event in enumerate(events):
            if event.kind == t.ALLOC:
                tables.allocate(pages[number])
            elif event.kind == t.FREE:
                tables.free(to_unsigned(event.a))
            elif event.kind == t.ATTACH:
                root = tables.page(to_unsigned(event.a))
                if root is not None and root.level < 0:
                    root.level = geometry.start_level
                    found = True
            elif event.kind == t.STORE:
                holder = tables.page(to_unsigned(event.a))
                if holder is None or not _can_have_tables(holder.level, geometry):
                    continue
                if geometry.format.kind(holder.level, event.c) != TABLE:
                    continue
                child = tables.page(geometry.format.next_table(holder.level, event.c))
                if child is not None and child.level < 0:
                    child.level = holder.level + 1
                    child.va = tables.entry_va(holder, to_unsigned(event.a))
                    found = True


def _can_have_tables(level: int, geometry: Geometry) -> bool:
    return 0 <= level < geometry.format.levels - 1


def annotate(
    events: Sequence[t.Event],
    geometry: Geometry,
    alone: int | None = None,
    roots: Collection[int] = (),
) -> tuple[Note, ...]:
    """Notes for the stores, allocations and frees of a trace that was made with ``geometry``.

    A run of like stores has one note, on its first; the event ``alone``, the offending one,
    always has its own. Events whose table was never linked to an attached root have none.
    ``roots``: allocations that are roots without being attached (:func:`vm_roots`).
    """
    pages = {
        number: _Page(to_unsigned(event.a), to_unsigned(event.b))
        for number, event in enumerate(events)
        if event.kind == t.ALLOC
    }
    _place_tables(events, pages, geometry, roots)
    tables = _Tables(geometry)
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
        return _table_text(made, tables.geometry)
    page = tables.page(pa)
    if page is None:
        return ""
    if event.kind == t.FREE:
        tables.free(pa)
        return _freed_text(page, tables.geometry)
    if event.kind == t.FILL:
        last = pa + to_unsigned(event.b)
        page.words = {at: word for at, word in page.words.items() if not pa <= at < last}
        if event.c:
            page.words.update(dict.fromkeys(range(pa, last, _WORD), event.c))
    elif event.kind == t.STORE:
        page.words[pa] = event.c
        if page.level >= 0:
            return _store_text(event, page, tables)
    return ""


def _table_text(page: _Page, geometry: Geometry) -> str:
    if page.level < 0:
        return ""
    if page.level == geometry.start_level:
        return f"root table, level {page.level}"
    span = geometry.format.span(page.level - 1)
    return f"level {page.level} table of {page.va:#x} ({size_text(span)})"


def _freed_text(page: _Page, geometry: Geometry) -> str:
    text = _table_text(page, geometry)
    if not text:
        return ""
    fmt = geometry.format
    valid = sum(1 for word in page.words.values() if fmt.kind(page.level, word) != INVALID)
    if valid:
        text += f", with {valid} valid {'entry' if valid == 1 else 'entries'} still in it"
    return text


def _store_text(event: t.Event, page: _Page, tables: _Tables) -> str:
    fmt = tables.geometry.format
    level = page.level
    old, new = fmt.describe(level, event.b), fmt.describe(level, event.c)
    where = (
        f"level {level} entry of {tables.entry_va(page, to_unsigned(event.a)):#x} "
        f"({size_text(fmt.span(level))})"
    )
    if fmt.same(level, event.b, event.c):
        return f"{where}: {new}; the same to the walker as before"
    both_valid = INVALID not in (fmt.kind(level, event.b), fmt.kind(level, event.c))
    return f"{where}{', from valid to valid' if both_valid else ''}: {old} -> {new}"
