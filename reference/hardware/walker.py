"""The table walk, one level after the other, as the device does it.

Source: each format's own table in ``reference.formats``; for Arm, the walk of
the architecture manual: index, fetch, decide between fault, table and leaf.
"""

from typing import Final

from mypy_extensions import i64

from reference.formats.entry import INVALID, LEAF, TABLE
from reference.formats.format import Geometry
from reference.hardware.memory import POISON, PhysicalMemory

NO_ROOT: Final = -1
"""``Walker.root`` while no root is attached."""

REGISTERS: Final = -(1 << 40)
"""``Walker.root`` where registers take the place of the root; no memory is there."""


class Step:
    """One fetch of a walk: level, the table's pa, the index in it, the word, and its kind.

    ``kind`` is INVALID, TABLE or LEAF as ``reference.formats.entry`` numbers them.
    """

    def __init__(self, level: i64, table: i64, index: i64, word: i64, kind: i64) -> None:
        self.level: i64 = level
        self.table: i64 = table
        self.index: i64 = index
        self.word: i64 = word
        self.kind: i64 = kind


class Walk:
    """A finished walk of ``va``: its steps, and the page found or the fault.

    ``pa`` is the output address, or -1 on a fault. ``fault`` is "" or one sentence
    that names the level and the entry at which the walk ended.
    """

    def __init__(self, va: i64, steps: list[Step], pa: i64, fault: str) -> None:
        self.va: i64 = va
        self.steps: list[Step] = steps
        self.pa: i64 = pa
        self.fault: str = fault


class Walker:
    """Walks one address space: ``root`` is the root table's pa, or NO_ROOT.

    ``denied``: the access bits that table entries on the last ``translate`` took away.
    """

    def __init__(self, memory: PhysicalMemory, geometry: Geometry) -> None:
        self.memory: PhysicalMemory = memory
        self.geometry: Geometry = geometry
        self.root: i64 = NO_ROOT
        self.denied: i64 = 0

    def translate(self, va: i64) -> tuple[i64, i64]:
        """(level, word) of the entry at which the walk of ``va`` ends, leaf or not.

        Level -1: no root is attached or ``va`` is outside the input range. A table
        that is not allocated, or ends before the entry, ends the walk with word POISON,
        which is invalid.
        """
        geometry = self.geometry
        if self.root == NO_ROOT or va < 0 or va >= geometry.limit:
            return -1, 0
        table: i64 = self.root
        level: i64 = geometry.start_level
        memory = self.memory
        self.denied = 0
        fmt = geometry.format
        while True:
            page = memory.pages.get(table)
            index: i64 = geometry.index(level, va)
            if page is None or index >= len(page.words):
                return level, POISON
            word: i64 = page.words[index]
            if fmt.kind(level, word) != TABLE:
                return level, word
            self.denied |= fmt.denied(level, word)
            table = fmt.next_table(level, word)
            level += 1

    def walk(self, va: int) -> Walk:
        """The walk of ``va`` with every step, for people to read."""
        held: i64 = va
        steps: list[Step] = []
        geometry = self.geometry
        fmt = geometry.format
        if self.root == NO_ROOT:
            return Walk(held, steps, -1, "no root is attached")
        if held < 0 or held >= geometry.limit:
            return Walk(held, steps, -1, f"the address is beyond the {geometry.ias} input bits")
        table: i64 = self.root
        level: i64 = geometry.start_level
        while True:
            index: i64 = geometry.index(level, held)
            page = self.memory.pages.get(table)
            if page is None:
                return Walk(
                    held, steps, -1, f"level {level}: the table at {table:#x} is not allocated"
                )
            if index >= len(page.words):
                return Walk(
                    held,
                    steps,
                    -1,
                    f"level {level}: the table at {table:#x} ends before entry {index}",
                )
            word: i64 = page.words[index]
            kind = fmt.kind(level, word)
            steps.append(Step(level, table, index, word, kind))
            if kind == LEAF:
                offset: i64 = held & (fmt.span(level) - 1)
                return Walk(held, steps, fmt.output(level, word) + offset, "")
            if kind == INVALID:
                described = fmt.describe(level, word)
                return Walk(held, steps, -1, f"translation fault, level {level}: {described}")
            table = fmt.next_table(level, word)
            level += 1
