"""A large page's entry of system ``nvidia``, before an operation and after it.

Whether small pages or a large one translate an address is decided by the entry for the large
page, and a driver keeps a byte for each: how many small pages in it are referenced, and two
flags. What that byte says, and what is in memory, is put side by side here.

Source: formats.md D.2, D.4.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from conformance.systems.nvidia.entries import word_text
from reference.formats.entry import LEAF, TABLE
from reference.formats.format import Format
from reference.formats.nvidia import meaning_text
from reference.numbers import size_text
from reference.systems.nvidia.events import STATE_SMALL, STATE_SPARSE
from reference.systems.nvidia.state import NvidiaState, small_count
from reports.counterexample import Compared, Comparison

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
