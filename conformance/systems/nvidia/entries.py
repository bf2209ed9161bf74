"""Entries of NVIDIA's page tables in words, and what the events of a trace mean for them.

Tables are named as the format names them: ``PD0``, ``LPT`` (of large pages), ``SPT`` (of small
ones). Where an entry of the last directory leads to both, the walk looks at the large one first;
what that says about the small one is told with it.

Source: ``reference.formats.nvidia``; formats.md D.2, D.7 for the instance block.
"""

from collections.abc import Sequence
from typing import Final

from reference import trace as t
from reference.formats.entry import HOLE, INVALID, LEAF, TABLE, Half
from reference.formats.format import Format
from reference.formats.nvidia import APERTURE_NAMES, meaning_text
from reference.numbers import size_text
from reference.systems.gpuvm.events import VMA_ADD, VMA_REMOVE
from reference.systems.nvidia.events import AREA_NO_PAGE
from reference.words import to_signed, to_unsigned
from reports.counterexample import Note
from reports.stores import annotate_tree

_WORD: Final = 8
_INSTANCE_ROOT: Final = 0x200
"""Byte of an instance block at which the root's address stands, and flags below it."""
_INSTANCE_LIMIT: Final = 0x208
"""Byte of an instance block at which the last input address stands."""
_ROOT_FLAGS: Final = (
    (1 << 2, "volatile"),
    (3 << 4, "faults replayed"),
    (1 << 10, "second format"),
    (1 << 11, "64K large pages"),
)


def half_text(fmt: Format, table: int, half: Half, word: int) -> str:
    """What a half of an entry of table number ``table`` says; ``word`` is held or not.

    A page is told with its address and meaning; of large entries it is said what they mean for
    the small ones.
    """
    held = to_signed(word)
    role = int(half.role(held))
    if role == LEAF:
        meaning = meaning_text(int(fmt.meaning(table, held)))
        return f"page pa={int(half.output(held)):#x} {meaning}"
    text = half.candidate(held).kind.describe(held)
    if table == fmt.large and role == INVALID:
        return f"{text} (small pages decide)"
    if table == fmt.large and role == HOLE:
        return f"{text} (small pages are not looked at)"
    return text


def word_text(fmt: Format, table: int, part: int, word: int) -> str:
    """What word ``part`` (0 or 1) of an entry says, both halves where they share it."""
    parts = []
    for half in fmt.tables[table].halves:
        if half.word == part:
            text = half_text(fmt, table, half, word)
            parts.append(f"{half.name}: {text}" if half.name else text)
    return "; ".join(parts)


class NvidiaTree:
    """Tables of an NVIDIA format; see :class:`reports.stores.Tree`."""

    def __init__(self, fmt: Format) -> None:
        """``fmt``: the format of all tables of the trace."""
        self.format = fmt
        self.granule = 256
        self.root = 0

    def entry_va(self, level: int, va: int, offset: int) -> int:
        """The first input address of the entry at a byte of a table."""
        one = self.format.tables[level]
        return va + offset // (_WORD * int(one.words)) * int(one.span)

    def _part(self, level: int, offset: int) -> int:
        """Which word of its entry a byte of a table is in."""
        return offset // _WORD % int(self.format.tables[level].words)

    def links(self, level: int, offset: int, word: int) -> list[tuple[int, int]]:
        """(physical address, number) of each table that a word leads to."""
        fmt = self.format
        found = []
        for half in fmt.tables[level].halves:
            if half.child < 0 or half.word != self._part(level, offset):
                continue
            if half.role(word) == TABLE:
                found.append((int(half.output(word)), int(half.child)))
        return found

    def is_valid(self, level: int, offset: int, word: int) -> bool:
        """Whether a word is more than unmapped, or a hole."""
        fmt = self.format
        return any(
            half.word == self._part(level, offset) and half.role(word) not in (INVALID, HOLE)
            for half in fmt.tables[level].halves
        )

    def table_text(self, level: int, va: int) -> str:
        """Which table it is."""
        one = self.format.tables[level]
        if level == self.root:
            return f"{one.name}, the root table"
        return f"{one.name} of {va:#x} ({size_text(int(one.span << one.bits))})"

    def store_text(
        self, level: int, va: int, offset: int, old: int, new: int, written: bool
    ) -> str:
        """Which entry a store changes, and how."""
        fmt = self.format
        one = fmt.tables[level]
        part = self._part(level, offset)
        where = (
            f"{one.name} entry of {self.entry_va(level, va, offset):#x} "
            f"({size_text(int(one.span))})"
        )
        now = word_text(fmt, level, part, new)
        if not written:
            return f"{where}: {now}; the first word written there"
        if fmt.same(level, old, new, part):
            return f"{where}: {now}; the same to the walker as before"
        return f"{where}: {word_text(fmt, level, part, old)} -> {now}"


def annotate(events: Sequence[t.Event], fmt: Format, alone: int | None = None) -> tuple[Note, ...]:
    """Notes for what the events of a trace mean for the tables, as ``reports.stores`` has them.

    Also: which pages areas say that they use, and what is stored in instance blocks.
    """
    notes = [
        *annotate_tree(events, NvidiaTree(fmt), alone, space_roots(events)),
        *_instance_notes(events),
    ]
    for number, event in enumerate(events):
        if event.kind in (VMA_ADD, VMA_REMOVE) and event.c & AREA_NO_PAGE < len(fmt.pages):
            page = fmt.pages[event.c & AREA_NO_PAGE]
            notes.append(Note(number, f"pages of {size_text(1 << int(page.shift))}"))
    return tuple(sorted(notes, key=lambda note: note.event))


def space_roots(events: Sequence[t.Event]) -> frozenset[int]:
    """The allocations, by number of their event, that are root tables of address spaces.

    The first allocation is one, and the first after a root was freed.
    """
    found: set[int] = set()
    root = -1
    for number, event in enumerate(events):
        if event.kind == t.ALLOC and root < 0:
            root = event.a
            found.add(number)
        elif event.kind == t.FREE and event.a == root:
            root = -1
    return frozenset(found)


def _instance_notes(events: Sequence[t.Event]) -> list[Note]:
    """What is written to instance blocks: memory that is handed out where a root is attached."""
    notes: list[Note] = []
    begin = 0
    for number, event in enumerate(events):
        if event.kind == t.BEGIN:
            begin = number
        if event.kind != t.ATTACH:
            continue
        blocks: set[int] = set()
        for at in range(begin, number):
            one = events[at]
            if one.kind == t.ALLOC:
                blocks.add(one.a)
                notes.append(Note(at, "instance block"))
            elif one.kind == t.STORE and one.a - _INSTANCE_ROOT in blocks:
                notes.append(Note(at, f"instance block: {_root_text(one.c)}"))
            elif one.kind == t.STORE and one.a - _INSTANCE_LIMIT in blocks:
                limit = to_unsigned(one.c)
                notes.append(Note(at, f"instance block: the last address is {limit:#x}"))
    return notes


def _root_text(word: int) -> str:
    """Where an instance block says that the root is."""
    word = to_unsigned(word)
    flags = "".join(f", {name}" for mask, name in _ROOT_FLAGS if word & mask)
    return f"root {word & ~0xFFF:#x} in {APERTURE_NAMES[word & 3]}{flags}"
