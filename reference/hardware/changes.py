"""What a change of an entry means: for its neighbours, and for what is cached beside it.

Source: semantics.md "The maximal TLB"; formats.md F.2 (break-before-make).
"""

from mypy_extensions import i64

from reference.formats.access import ACCESS_MASK
from reference.formats.entry import INVALID, LEAF, TABLE
from reference.formats.format import Geometry
from reference.hardware.context import Context, Space
from reference.hardware.memory import PhysicalMemory
from reference.hardware.observation import (
    CHANGED_OUTSIDE,
    CONFLICT_SIZE,
    CONFLICT_VALUE,
    REPLACED_SIZE,
    REPLACED_VALUE,
    Observation,
    Observed,
)
from reference.hardware.tlb import Fact


class Changes:
    """Looks at each entry that memory leads to when it changes."""

    def __init__(self, geometry: Geometry, memory: PhysicalMemory, observed: Observed) -> None:
        self.geometry: Geometry = geometry
        """How tables are laid out."""
        self.memory: PhysicalMemory = memory
        """The machine's."""
        self.observed: Observed = observed
        """The machine's."""

    def replaced(
        self,
        space: Space,
        level: i64,
        va: i64,
        old: i64,
        old_kind: i64,
        new: i64,
        new_kind: i64,
        pa: i64,
    ) -> None:
        """A valid entry was replaced by another valid one, without an invalid one between."""
        seen = self.observed
        if space.is_stalled(va, va + self.geometry.format.span(level) - 1):
            return
        seen.counts[REPLACED_SIZE] += 1
        seen.counts[REPLACED_VALUE] += 1
        if not self.geometry.format.may_change(level, old, new):
            kind: i64 = REPLACED_VALUE if old_kind == new_kind else REPLACED_SIZE
            seen.observe(kind, level, va, old, new, pa, space.number)

    def may_conflict(
        self,
        space: Space,
        contexts: list[Context],
        level: i64,
        va: i64,
        new: i64,
        new_kind: i64,
        pa: i64,
    ) -> None:
        """An entry became valid: has a context another leaf cached for one of its addresses?"""
        last: i64 = va + self.geometry.format.span(level) - 1
        if space.is_stalled(va, last):
            return
        seen = self.observed
        seen.counts[CONFLICT_SIZE] += 1
        seen.counts[CONFLICT_VALUE] += 1
        sized: Observation | None = None
        for context in contexts:
            if context.tlb.is_empty():
                continue
            cached = context.tlb.leaves_in(va, last)
            if not cached:
                continue
            found: list[Observation] = []
            self._find_conflicts(space.number, level, va, new, new_kind, pa, cached, found)
            # A different size may be allowed, a different value never is.
            for one in found:
                if one.kind == CONFLICT_VALUE:
                    seen.observations.append(one)
                    return
            if found and sized is None:
                sized = found[0]
        if sized is not None:
            seen.observations.append(sized)

    def _find_conflicts(
        self,
        space: i64,
        level: i64,
        va: i64,
        new: i64,
        new_kind: i64,
        pa: i64,
        cached: list[Fact],
        found: list[Observation],
    ) -> None:
        """The first conflict of each kind between ``cached`` leaves and each leaf of ``new``."""
        fmt = self.geometry.format
        now = self.observed.now
        if new_kind == LEAF:
            last: i64 = va + fmt.span(level) - 1
            sized = False
            for fact in cached:
                if fact.first > last or fact.last < va:
                    continue
                at: i64 = max(fact.first, va)
                was: i64 = fmt.output(fact.level, fact.word) + (at & (fmt.span(fact.level) - 1))
                changed: i64 = fmt.meaning(fact.level, fact.word) ^ fmt.meaning(level, new)
                if was != fmt.output(level, new) + (at - va) or changed & ~ACCESS_MASK:
                    found.append(
                        Observation(CONFLICT_VALUE, now, level, va, fact.word, new, pa, space)
                    )
                    return
                if fact.level != level and not sized:
                    sized = True
                    found.append(
                        Observation(CONFLICT_SIZE, now, level, va, fact.word, new, pa, space)
                    )
            return
        child = self.memory.pages.get(fmt.next_table(level, new))
        if child is None or child.nonzero == 0:
            return
        below: i64 = level + 1
        index: i64 = 0
        for entry in child.words:
            kind: i64 = INVALID if entry == 0 else fmt.kind(below, entry)
            if kind != INVALID:
                start: i64 = va + (index << fmt.shift(below))
                self._find_conflicts(space, below, start, entry, kind, pa, cached, found)
            index += 1

    def compare_outside(
        self,
        space: Space,
        level: i64,
        va: i64,
        old: i64,
        old_kind: i64,
        new: i64,
        new_kind: i64,
        pa: i64,
    ) -> None:
        """Did the change alter a translation outside the addresses of this operation?"""
        seen = self.observed
        seen.counts[CHANGED_OUTSIDE] += 1
        last: i64 = va + self.geometry.format.span(level) - 1
        if va >= space.touched_first and last <= space.touched_last:
            return
        differs = self._differs(space, level, va, old, old_kind, new, new_kind)
        if differs >= 0 and space.is_stalled(va, last):
            space.changed_stalled.append(differs)
        elif differs >= 0:
            seen.observe(CHANGED_OUTSIDE, level, differs, old, new, pa, space.number)

    def _differs(
        self, space: Space, level: i64, va: i64, old: i64, old_kind: i64, new: i64, new_kind: i64
    ) -> i64:
        """The first address of the entry, outside the touched range, that it changed; or -1."""
        fmt = self.geometry.format
        if old_kind == INVALID and new_kind == TABLE:
            child = self.memory.pages.get(fmt.next_table(level, new))
            if child is None or child.nonzero == 0:
                return -1
        if new_kind == INVALID and old_kind == TABLE:
            child = self.memory.pages.get(fmt.next_table(level, old))
            if child is None or child.nonzero == 0:
                return -1
        before: list[tuple[i64, i64, i64, i64]] = []
        after: list[tuple[i64, i64, i64, i64]] = []
        self._leaves_outside(space, level, va, old, before)
        self._leaves_outside(space, level, va, new, after)
        return first_difference(before, after)

    def _leaves_outside(
        self, space: Space, level: i64, va: i64, word: i64, found: list[tuple[i64, i64, i64, i64]]
    ) -> None:
        """(first, last, pa, meaning) of every leaf behind ``word`` outside the touched range."""
        fmt = self.geometry.format
        kind = fmt.kind(level, word)
        if kind == INVALID:
            return
        last: i64 = va + fmt.span(level) - 1
        if va >= space.touched_first and last <= space.touched_last:
            return
        if kind == LEAF:
            pa = fmt.output(level, word)
            meaning = fmt.meaning(level, word)
            if va < space.touched_first:
                end: i64 = min(last, space.touched_first - 1)
                add_piece(found, va, end, pa, meaning)
            if last > space.touched_last:
                after: i64 = max(va, space.touched_last + 1)
                if after > va or space.touched_first <= va:
                    add_piece(found, after, last, pa + (after - va), meaning)
            return
        child = self.memory.pages.get(fmt.next_table(level, word))
        if child is None:
            return
        index: i64 = 0
        for entry in child.words:
            if entry != 0:
                start: i64 = va + (index << fmt.shift(level + 1))
                self._leaves_outside(space, level + 1, start, entry, found)
            index += 1


def add_piece(
    found: list[tuple[i64, i64, i64, i64]], first: i64, last: i64, pa: i64, meaning: i64
) -> None:
    """Append a piece, joined to the one before where they continue each other."""
    if found:
        before_first, before_last, before_pa, before_meaning = found[len(found) - 1]
        if (
            before_last + 1 == first
            and before_pa + (first - before_first) == pa
            and before_meaning == meaning
        ):
            found[len(found) - 1] = (before_first, last, before_pa, meaning)
            return
    found.append((first, last, pa, meaning))


def first_difference(
    before: list[tuple[i64, i64, i64, i64]], after: list[tuple[i64, i64, i64, i64]]
) -> i64:
    """The lowest address at which two lists of pieces say different things; -1 if none.

    Pieces are (first, last, pa, meaning), ascending, and joined where they can be.
    """
    index: i64 = 0
    while index < len(before) and index < len(after):
        b_first, b_last, b_pa, b_meaning = before[index]
        a_first, a_last, a_pa, a_meaning = after[index]
        if b_first != a_first:
            return min(b_first, a_first)
        if b_pa != a_pa or b_meaning != a_meaning:
            return b_first
        if b_last != a_last:
            return min(b_last, a_last) + 1
        index += 1
    if index < len(before):
        return before[index][0]
    if index < len(after):
        return after[index][0]
    return -1
