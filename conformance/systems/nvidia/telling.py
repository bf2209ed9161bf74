"""What the three views of an address space said, for a counterexample of system ``nvidia``.

Source: formats.md D.2, D.4 for the entry of a large page.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from conformance.rules.rule import Violation
from conformance.session import Session
from conformance.systems.nvidia.trace_words import annotate, word_text
from conformance.table_segments import Window, views
from reference import trace as t
from reference.formats.entry import INVALID, LEAF, ROLE_NAMES, TABLE
from reference.formats.format import Format
from reference.formats.nvidia import meaning_text
from reference.numbers import range_text, size_text
from reference.operations import Operation
from reference.physical_layout import PAGE
from reference.pieces import MAPPED, WHAT_NAMES, Piece
from reference.systems.gpuvm.events import BACKING_SHIFT, VMA_ADD, VMA_REMOVE
from reference.systems.nvidia.device import NvidiaMmu
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
from reference.systems.nvidia.state import NvidiaState, ToldArea, small_count
from reference.words import to_unsigned
from reports.counterexample import Compared, Comparison, Segment, Stale, Step, Views
from reports.events import EventWords, range_words

Segments = tuple[Segment, ...]
SEGMENTS_SHOWN = 256
"""Of each view, at most."""
ENTRIES_SHOWN = 1 << 14
"""Entries whose page size is looked at, at most."""
NEAR = 0x1_0000
"""Bytes on each side of what is shown."""


# -- the entry of a large page ------------------------------------------------------------------

# Whether small pages or a large one translate an address is decided by the entry for the large
# page, and a driver keeps a byte for each: how many small pages in it are referenced, and two
# flags. What that byte says, and what is in memory, is put side by side here.

RUNS_SHOWN = 3
"""Of unlike entries side by side, at most."""
MEANING = (
    "The driver keeps a state of one byte for the entry of each large page. Bits 5:0 count the "
    "references to small pages in it, up to 63; VALID says that its small pages decide, so that "
    "its entry in the large table is unmapped; SPARSE says that it is sparse where they do not."
)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry that a walk looks at: number of its table, table's address, index, words."""

    table: int
    pa: int
    index: int
    words: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """Table memory, and what is noted and due of large entries, at one moment.

    ``tables``: words by address; ``states``: the driver's bytes, ``counts``: the references
    to small pages that there are, both by first address of the large page.
    """

    format: Format
    root: int
    tables: dict[int, tuple[int, ...]]
    states: dict[int, int]
    counts: dict[int, int]

    @staticmethod
    def of(state: NvidiaState) -> "Moment | None":
        """What it is now; None before there was an address space."""
        mmu = state.mmu
        if mmu is None:
            return None
        held = mmu.memory.tables.items()
        tables = {int(pa): tuple(int(word) for word in table.words) for pa, table in held}
        root = int(mmu.current.root)
        return Moment(mmu.format, root, tables, dict(state.states), dict(state.small_counts()))

    def walk(self, va: int) -> list[Entry]:
        """The entries that a walk of an address looks at, the large one before the small one."""
        fmt = self.format
        found: list[Entry] = []
        waiting = [(0, self.root)]
        while waiting:
            number, pa = waiting.pop(0)
            one, words = fmt.tables[number], self.tables.get(pa, ())
            index, size = int(fmt.index(number, va)), int(one.words)
            entry = words[index * size : (index + 1) * size]
            if len(entry) < size:
                continue
            found.append(Entry(number, pa, index, entry))
            for half in one.halves:
                if half.child >= 0 and half.role(entry[half.word]) == TABLE:
                    waiting.append((int(half.child), int(half.output(entry[half.word]))))
        return found

    def entry(self, table: int, va: int) -> Entry | None:
        """The entry of an address in a table of this number; None if no walk comes there."""
        return next((one for one in self.walk(va) if one.table == table), None)


def compared(before: Moment | None, after: Moment | None, va: int) -> Comparison | None:
    """The entry of the large page that has an address; None where there is none to speak of."""
    if before is None or after is None or before.format is not after.format:
        return None
    fmt = after.format
    span = int(fmt.tables[fmt.large].span)
    first = va // span * span
    if not any(_is_there(one, first) for one in (before, after)):
        return None
    names = ("SPARSE", "VALID")
    columns = [_column(one, first) for one in (before, after)]
    whats = (
        "references to small pages",
        "the driver's state",
        "  its count",
        f"  bit 6, {names[1]}",
        f"  bit 7, {names[0]}",
        f"entry in the {fmt.tables[fmt.large].name}",
        f"entries in the {fmt.tables[fmt.small].name}",
        f"the rest of the {fmt.tables[fmt.large].name}",
    )
    rows = [Compared(*cells) for cells in zip(whats, *columns, strict=True)]
    where = f"{first:#x}..{first + span - 1:#x} ({size_text(span)})"
    return Comparison(f"entry of the large page {where}", tuple(rows), MEANING)


def _is_there(moment: Moment, first: int) -> bool:
    """Whether there is something of a large entry: a note of it, or a table it could be in."""
    fmt = moment.format
    if moment.states.get(first) or moment.counts.get(first):
        return True
    return any(moment.entry(int(number), first) for number in (fmt.large, fmt.small))


def _column(moment: Moment, first: int) -> tuple[str, ...]:
    state, due = moment.states.get(first, 0), moment.counts.get(first, 0)
    count = small_count(state)
    return (
        str(due),
        f"{state:#x}",
        f"{count}{f', and {due} are due' if count != due else ''}",
        "set: small pages decide" if state & STATE_SMALL else "not set",
        "set: noted as sparse" if state & STATE_SPARSE else "not set",
        _large_text(moment, first),
        _small_text(moment, first),
        _rest_text(moment, first),
    )


def _large_text(moment: Moment, first: int) -> str:
    fmt = moment.format
    entry = moment.entry(int(fmt.large), first)
    if entry is None:
        return _no_table(moment, "large", first)
    word = entry.words[0]
    return f"{word & (1 << 64) - 1:#x}: {word_text(fmt, entry.table, 0, word)}"


def _small_text(moment: Moment, first: int) -> str:
    fmt = moment.format
    entry = moment.entry(int(fmt.small), first)
    if entry is None:
        return _no_table(moment, "small", first)
    count = int(fmt.tables[fmt.large].span // fmt.tables[fmt.small].span)
    words = moment.tables[entry.pa][entry.index : entry.index + count]
    return _runs_text(fmt, entry.table, words)


def _rest_text(moment: Moment, first: int) -> str:
    """What the other entries of the large table say."""
    fmt = moment.format
    entry = moment.entry(int(fmt.large), first)
    if entry is None:
        return _no_table(moment, "large", first)
    words = moment.tables[entry.pa][: int(fmt.tables[fmt.large].entries)]
    return _runs_text(fmt, entry.table, words[: entry.index] + words[entry.index + 1 :])


def _no_table(moment: Moment, name: str, first: int) -> str:
    """Why there is no large or small table: what the directory's entry says."""
    fmt = moment.format
    walk = moment.walk(first)
    if not walk:
        return "no tables"
    last = [one for one in walk if one.table <= fmt.last_directory][-1]
    table = fmt.tables[last.table]
    for half in table.halves:
        if half.name in ("", name):
            text = half.candidate(last.words[half.word]).kind.name
            return f"no {name} table ({table.name} entry: {text})"
    return f"no {name} table"


def _runs_text(fmt: Format, table: int, words: Sequence[int]) -> str:
    """Entries side by side: how many say the same, or go on where the one before ends."""
    half = fmt.tables[table].first
    step = int(fmt.tables[table].span)
    runs: list[tuple[int, str, int]] = []
    for word in words:
        pa = -1
        text = half.candidate(word).kind.name
        if half.role(word) == LEAF:
            pa = int(half.output(word))
            text = f"page {meaning_text(int(fmt.meaning(table, word)))}"
        if runs and runs[-1][1] == text and runs[-1][2] + (runs[-1][0] * step) * (pa >= 0) == pa:
            runs[-1] = (runs[-1][0] + 1, text, runs[-1][2])
        else:
            runs.append((1, text, pa))
    shown = [
        f"{count} x {text}{f' from pa={pa:#x}' if pa >= 0 else ''}"
        for count, text, pa in runs[:RUNS_SHOWN]
    ]
    more = sum(count for count, _, _ in runs[RUNS_SHOWN:])
    return ", ".join(shown) + (f", and {more} more" if more else "")


# -- the three views --------------------------------------------------------------------------


class NvidiaViews:
    """Looks at a session before its last operation and after it.

    Before it, nobody knows which addresses will be at fault: all of them are looked at.
    """

    def __init__(self, session: Session, operations: Sequence[Operation]) -> None:
        """Look before the last of ``operations``."""
        self._session = session
        self._operations = operations
        self._windows = [_window(session, operations)]
        self._before = self._look()
        self._moment = Moment.of(session.promise.state)

    def after(self, violation: Violation) -> Views:
        """What there is to say once the last operation has broken a rule."""
        session = self._session
        state: NvidiaState = session.promise.state
        limit = state.limit()
        iova = violation.iova if 0 <= violation.iova < limit else -1
        around = None if iova < 0 else (max(iova - NEAR, 0), min(iova + NEAR, limit - 1))
        window = _joint([*self._windows, _window(session, self._operations), around])
        before = [_near(segments, window, iova) for segments in self._before]
        after = [_near(segments, window, iova) for segments in self._look()]
        if iova < 0 and not any((*before, *after)):
            # It is about no address, and there is nothing to show.
            window = None
        mmu = state.mmu
        now = Moment.of(state) if iova >= 0 else None
        common = views(
            violation, session.trace, len(session.operations), window, before, after, iova=iova
        )  # fmt: skip
        return replace(
            common,
            walk=() if now is None else _steps(now.format, now.walk(iova)),
            stale=() if mmu is None or iova < 0 else _stale(mmu, iova),
            notes=() if mmu is None else annotate(list(session.trace), mmu.format, violation.event),
            comparison=compared(self._moment, now, iova),
        )

    def _look(self) -> tuple[Segments, Segments, Segments]:
        """What promise, driver and hardware say now."""
        state: NvidiaState = self._session.promise.state
        if state.mmu is None:
            return (), (), ()
        last = state.limit() - 1
        told = sorted(state.told_areas.values(), key=lambda one: one.first)
        return (
            _promised(state.promise.pieces(0, last)),
            tuple(_area(one) for one in told),
            _mapped(state.mmu, 0, last),
        )


def _joint(windows: Sequence[Window]) -> Window:
    """The window that has all of these in it."""
    there = [one for one in windows if one is not None]
    if not there:
        return None
    return min(first for first, _ in there), max(last for _, last in there)


def _near(segments: Segments, window: Window, iova: int) -> Segments:
    """The segments in a window; if there are too many, those before and behind an address."""
    if window is None:
        return ()
    first, last = window
    inside = [one for one in segments if one.first <= last and one.last >= first]
    before = sum(1 for one in inside if one.last < iova)
    start = max(0, min(before - SEGMENTS_SHOWN // 2, len(inside) - SEGMENTS_SHOWN))
    return tuple(inside[start : start + SEGMENTS_SHOWN])


def _promised(pieces: Sequence[Piece]) -> Segments:
    """What was promised: it says nothing of page sizes."""
    return tuple(
        Segment(
            int(one.first),
            int(one.last),
            int(one.pa) if one.what == MAPPED else None,
            _piece_text(one),
            int(one.last - one.first + 1),
        )
        for one in pieces
    )


def _piece_text(one: Piece) -> str:
    return meaning_text(int(one.meaning)) if one.what == MAPPED else WHAT_NAMES[int(one.what)]


def _mapped(mmu: NvidiaMmu, first: int, last: int) -> Segments:
    """What a walk finds, with the sizes of the pages that say so."""
    found: list[Segment] = []
    looked = 0
    for piece in mmu.walker.pieces(first, last):
        va, text = int(piece.first), _piece_text(piece)
        while va <= piece.last:
            looked += 1
            end, size = int(piece.last), int(piece.last) + 1 - va
            if looked <= ENTRIES_SHOWN:
                entry = mmu.walker.translate(va)
                end = min(end, int(entry.last))
                size = 1 << int(entry.page_shift)
            pa = int(piece.pa_at(va)) if piece.what == MAPPED else None
            found.append(Segment(va, end, pa, text, size))
            va = end + 1
    return _joined(found)


def _joined(segments: Sequence[Segment]) -> Segments:
    """Pages of one size that continue each other, as one segment."""
    joined: list[Segment] = []
    for one in segments:
        before = joined[-1] if joined else None
        if (
            before is not None
            and (before.last + 1, before.access, before.size) == (one.first, one.access, one.size)
            and (before.pa is None) == (one.pa is None)
            and (before.pa is None or before.pa + one.first - before.first == one.pa)
        ):
            joined[-1] = Segment(before.first, one.last, before.pa, one.access, one.size)
        else:
            joined.append(one)
    return tuple(joined)


def _area(one: ToldArea) -> Segment:
    access = f"area {one.number}{' mapped' if one.mapped else ''}"
    return Segment(one.first, one.last, None, access, one.last - one.first + 1)


def _steps(fmt: Format, entries: Sequence[Entry]) -> tuple[Step, ...]:
    """A walk, one step for each word: of the last directory the large half, then the small one."""
    steps: list[Step] = []
    decided = False
    for one in entries:
        table = fmt.tables[one.table]
        for part, word in enumerate(one.words):
            half = next((half for half in table.halves if half.word == part), table.first)
            role = int(half.role(word))
            text = f"{table.name}: {word_text(fmt, one.table, part, word)}"
            if decided:
                text = f"{text} (not looked at)"
            # What is behind it is not looked at: the small table beside a large page.
            decided = decided or role not in (INVALID, TABLE)
            steps.append(Step(one.table, one.pa, one.index, word, ROLE_NAMES[role], text))
    return tuple(steps)


def _stale(mmu: NvidiaMmu, va: int) -> tuple[Stale, ...]:
    """What entries for an address said before, as far as that may be cached."""
    fmt = mmu.format
    return tuple(
        Stale(
            int(one.table),
            int(one.first),
            int(one.last),
            int(one.old),
            f"{word_text(fmt, int(one.table), int(one.part), int(one.old))}, "
            f"in the {fmt.tables[int(one.table)].name}",
        )
        for one in mmu.current.unflushed(va, va)[:8]
    )


def _window(session: Session, operations: Sequence[Operation]) -> Window:
    """The addresses that the operations speak of, and some on each side."""
    state: NvidiaState = session.promise.state
    limit = state.limit()
    firsts: list[int] = []
    lasts: list[int] = []
    for operation in operations:
        if "addr" in operation.args:
            first = to_unsigned(operation.number("addr"))
            size = to_unsigned(operation.number("size"))
            if first < limit:
                firsts.append(first)
                lasts.append(min(first + max(size, PAGE), limit) - 1)
    for area in state.areas.values():
        if not area.client:
            firsts.append(area.first)
            lasts.append(area.last)
    if not firsts or not limit:
        return (0, min(NEAR, limit) - 1) if limit else None
    return max(min(firsts) - NEAR, 0), min(max(lasts) + NEAR, limit - 1)


# -- events -------------------------------------------------------------------------------------


def _area_words(word: int) -> str:
    """What is known of an area of addresses, or of a part of one."""
    index, mapped, part = word & 7, word & AREA_MAPPED, word & AREA_PART
    pages = "no pages referenced" if index == AREA_NO_PAGE else f"page size {index}"
    return (
        f"{'part of ' if part else ''}area {word >> BACKING_SHIFT}, {pages}"
        f"{', mapped' if mapped else ''}"
    )


def _table(event: t.Event) -> str:
    """Which software page table, and what it counts."""
    return f"{_table_name(event)}: {_table_counts(event)}"


def _table_name(event: t.Event) -> str:
    word = to_unsigned(event.a)
    level, first = word & 0xF, word & ~0xFFF
    sparse = ", sparse" if word & TABLE_SPARSE else ""
    if level:
        return f"directory of {first:#x}, level {level}{sparse}"
    return f"tables of {first:#x}{sparse}"


def _table_counts(event: t.Event) -> str:
    level = to_unsigned(event.a) & 0xF
    if not event.b and not event.c:
        return "none left"
    if level:
        return f"{event.b} reference{'' if event.b == 1 else 's'}"
    return (
        f"{event.b} reference{'' if event.b == 1 else 's'} to large pages, {event.c} to small ones"
    )


def _tables_text(events: Sequence[t.Event]) -> str:
    """Counts of software page tables in a row as one line."""
    told = []
    for event in events:
        level = to_unsigned(event.a) & 0xF
        counts = str(event.b) if level else f"{event.b} to large pages, {event.c} to small ones"
        if not event.b and not event.c:
            counts = "none left"
        told.append(f"{_table_name(event)}: {counts}")
    return "pt-refs     " + "; ".join(told)


def _state(event: t.Event) -> str:
    """What is noted of entries of a software page table."""
    level, first = to_unsigned(event.a) & 0xF, to_unsigned(event.a) & ~0xFFF
    where = range_text(first, to_unsigned(event.b))
    sparse = ["SPARSE"] if event.c & STATE_SPARSE else []
    if level:
        return f"directory entries of {where}, level {level}: {''.join(sparse) or 'not sparse'}"
    count = event.c & (STATE_SMALL - 1) | event.c >> 8 << 6
    flags = [*(["VALID"] if event.c & STATE_SMALL else []), *sparse]
    said = ", ".join([f"count {count}", *flags])
    return f"large entries of {where}: {said} ({to_unsigned(event.c):#x})"


def _area_text(event: t.Event, vm: int | None) -> str:
    return f"{event.name:<11} {range_words(event.a, event.b)}: {_area_words(to_unsigned(event.c))}"


EVENT_WORDS = EventWords(
    texts={
        VMA_ADD: _area_text,
        VMA_REMOVE: _area_text,
        PT_REFS: lambda e, vm: f"pt-refs     {_table(e)}",
        PT_STATE: lambda e, vm: f"pt-state    {_state(e)}",
    },
    together={PT_REFS: _tables_text},
    counted={t.REFS_BUFFER: "memory"},
)
"""What the driver tells of its areas and software tables."""
