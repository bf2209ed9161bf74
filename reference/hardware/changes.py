"""What a change of an entry means: for its neighbours, and for what is cached beside it.

Source: semantics.md "The maximal TLB"; formats.md F.2 (break-before-make).
"""

from mypy_extensions import i64

from reference.formats.access import ACCESS_MASK
from reference.formats.entry import INVALID, LEAF, TABLE
from reference.formats.format import Format, Geometry
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


class EntryChange:
    """The word of an entry was replaced by another."""

    def __init__(self, fmt: Format, level: i64, va: i64, old: i64, new: i64, pa: i64) -> None:
        self.level: i64 = level
        """Of its table."""
        self.va: i64 = va
        """The first address that it translates."""
        self.last: i64 = va + fmt.span(level) - 1
        """The last address that it translates."""
        self.old: i64 = old
        """The word before."""
        self.old_kind: i64 = fmt.kind(level, old)
        """INVALID, TABLE or LEAF: what that was."""
        self.new: i64 = new
        """The word now."""
        self.new_kind: i64 = fmt.kind(level, new)
        """What that is."""
        self.pa: i64 = pa
        """The word's address."""


class Changes:
    """Looks at each entry that memory leads to when it changes."""

    def __init__(self, geometry: Geometry, memory: PhysicalMemory, observed: Observed) -> None:
        self.geometry: Geometry = geometry
        """How tables are laid out."""
        self.memory: PhysicalMemory = memory
        """The machine's."""
        self.observed: Observed = observed
        """The machine's."""

    def replaced(self, space: Space, change: EntryChange) -> None:
        """A valid entry was replaced by another valid one, without an invalid one between."""
        seen = self.observed
        if space.is_stalled(change.va, change.last):
            return
        seen.counts[REPLACED_SIZE] += 1
        seen.counts[REPLACED_VALUE] += 1
        if not self.geometry.format.may_change(change.level, change.old, change.new):
            same_kind = change.old_kind == change.new_kind
            self._observe(REPLACED_VALUE if same_kind else REPLACED_SIZE, space, change, change.va)

    def _observe(self, kind: i64, space: Space, change: EntryChange, va: i64) -> None:
        """Write down what was observed of a change, at address ``va``."""
        self.observed.observe(
            kind, change.level, va, change.old, change.new, change.pa, space.number
        )

    def may_conflict(self, space: Space, contexts: list[Context], change: EntryChange) -> None:
        """An entry became valid: has a context another leaf cached for one of its addresses?"""
        if space.is_stalled(change.va, change.last):
            return
        seen = self.observed
        seen.counts[CONFLICT_SIZE] += 1
        seen.counts[CONFLICT_VALUE] += 1
        sized: Observation | None = None
        for context in contexts:
            if context.tlb.is_empty():
                continue
            cached = context.tlb.leaves_in(change.va, change.last)
            if not cached:
                continue
            found: list[Observation] = []
            self._find_conflicts(space.number, change, cached, found)
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
        self, space: i64, change: EntryChange, cached: list[Fact], found: list[Observation]
    ) -> None:
        """The first conflict of each kind between ``cached`` leaves and each leaf of an entry."""
        fmt = self.geometry.format
        level: i64 = change.level
        va: i64 = change.va
        new: i64 = change.new
        if change.new_kind == LEAF:
            sized = False
            for fact in cached:
                if fact.first > change.last or fact.last < va:
                    continue
                at: i64 = max(fact.first, va)
                was: i64 = fmt.output(fact.level, fact.word) + (at & (fmt.span(fact.level) - 1))
                changed: i64 = fmt.meaning(fact.level, fact.word) ^ fmt.meaning(level, new)
                if was != fmt.output(level, new) + (at - va) or changed & ~ACCESS_MASK:
                    found.append(self._conflict(CONFLICT_VALUE, space, change, fact))
                    return
                if fact.level != level and not sized:
                    sized = True
                    found.append(self._conflict(CONFLICT_SIZE, space, change, fact))
            return
        child = self.memory.pages.get(fmt.next_table(level, new))
        if child is None or child.nonzero == 0:
            return
        below: i64 = level + 1
        index: i64 = 0
        for entry in child.words:
            if entry != 0 and fmt.kind(below, entry) != INVALID:
                start: i64 = va + (index << fmt.shift(below))
                inside = EntryChange(fmt, below, start, 0, entry, change.pa)
                self._find_conflicts(space, inside, cached, found)
            index += 1

    def _conflict(self, kind: i64, space: i64, change: EntryChange, fact: Fact) -> Observation:
        """An entry is valid while another leaf may be cached for an address of it."""
        return Observation(
            kind,
            self.observed.now,
            change.level,
            change.va,
            fact.word,
            change.new,
            change.pa,
            space,
        )

    def compare_outside(self, space: Space, change: EntryChange) -> None:
        """Did the change alter a translation outside the addresses of this operation?"""
        self.observed.counts[CHANGED_OUTSIDE] += 1
        if change.va >= space.touched_first and change.last <= space.touched_last:
            return
        differs = self._differs(space, change)
        if differs >= 0 and space.is_stalled(change.va, change.last):
            space.changed_stalled.append(differs)
        elif differs >= 0:
            self._observe(CHANGED_OUTSIDE, space, change, differs)

    def _differs(self, space: Space, change: EntryChange) -> i64:
        """The first address of the entry, outside the touched range, that it changed; or -1."""
        fmt = self.geometry.format
        level: i64 = change.level
        if change.old_kind == INVALID and change.new_kind == TABLE:
            child = self.memory.pages.get(fmt.next_table(level, change.new))
            if child is None or child.nonzero == 0:
                return -1
        if change.new_kind == INVALID and change.old_kind == TABLE:
            child = self.memory.pages.get(fmt.next_table(level, change.old))
            if child is None or child.nonzero == 0:
                return -1
        before: list[tuple[i64, i64, i64, i64]] = []
        after: list[tuple[i64, i64, i64, i64]] = []
        self._leaves_outside(space, level, change.va, change.old, before)
        self._leaves_outside(space, level, change.va, change.new, after)
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
