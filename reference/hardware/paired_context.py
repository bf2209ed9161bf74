"""Who walks paired tables: one context, with its root and what it may have cached.

Its invalidations have no narrower scope than all of it. So there is no list of what is cached,
as :class:`reference.hardware.tlb.MaximalTlb` has one: every entry that a walk could see counts as
cached, valid or not, page or directory. Memory says it of what has not changed, and ``changes``
says what did since the last invalidation. In the same way, a table counts as reachable through a
link that was replaced, until then.

Source: formats.md D.3, F.1; semantics.md, "The maximal TLB".
"""

from typing import Final

from mypy_extensions import i64

from reference.formats.entry import HOLE, INVALID
from reference.formats.format import Level
from reference.hardware.memory import POISON
from reference.hardware.packed_memory import Link, Table

MARKED: Final = 0
"""Between unmapped and hole: nothing is translated by this entry before or after."""
GREW: Final = 1
"""Out of nothing (unmapped, or hole) came a page, a table or sparseness."""
SHRANK: Final = 2
"""A page, a table or sparseness became nothing."""
REPLACED: Final = 3
"""Something became something else."""

HOW_NAMES: Final = ("marked", "grew", "shrank", "replaced")


def how_changed(one: Level, part: i64, old: i64, new: i64) -> i64:
    """MARKED to REPLACED for word ``part`` of an entry; the highest of its halves."""
    if old == POISON:
        return REPLACED
    found: i64 = MARKED
    for half in one.halves:
        if half.word != part:
            continue
        before = half.candidate(old)
        after = half.candidate(new)
        if before is after and (old ^ new) & before.heeded == 0:
            continue
        how: i64 = REPLACED
        was_nothing = before.role == INVALID or before.role == HOLE
        is_nothing = after.role == INVALID or after.role == HOLE
        if was_nothing and is_nothing:
            how = MARKED
        elif was_nothing:
            how = GREW
        elif is_nothing:
            how = SHRANK
        if how > found:
            found = how
    return found


class Change:
    """A word that a walk could see was replaced, and may still be cached."""

    def __init__(
        self, event: i64, first: i64, last: i64, holder: Table, index: i64, old: i64, new: i64
    ) -> None:
        self.event: i64 = event
        """Number of the store's event."""
        self.first: i64 = first
        """The first address that its entry translates."""
        self.last: i64 = last
        """The last address that its entry translates."""
        self.holder: Table = holder
        """The table."""
        self.table: i64 = holder.number
        """The table's level, when it was replaced."""
        self.pa: i64 = holder.pa + index * 8
        """The word's address."""
        self.old: i64 = old
        """What it held."""
        self.new: i64 = new
        """What it holds since."""
        self.part: i64 = 0
        """Which word of its entry it is, 0 or 1."""
        self.how: i64 = REPLACED
        """MARKED, GREW, SHRANK or REPLACED, the last of them that is true of a half."""

    def __repr__(self) -> str:
        return (
            f"Change(event {self.event}, {self.first:#x}..{self.last:#x} {HOW_NAMES[self.how]}, "
            f"table {self.table}, pa {self.pa:#x})"
        )


class PairedContext:
    """One who walks."""

    def __init__(self, number: i64) -> None:
        self.number: i64 = number
        """Counted from 0, in the machine."""
        self.root: i64 = -1
        """Address of the table at which its walks begin; -1: it walks nothing."""
        self.changes: list[Change] = []
        """What was replaced and may be cached, in order of ``event``."""
        self.stale: list[Link] = []
        """The links that were replaced and may be cached, in order of ``broken``."""

    def unflushed(self, first: i64, last: i64) -> list[Change]:
        """What changed in first..last since the last completed invalidation, oldest first.

        The old entries may still be cached. MARKED are due later than others
        (semantics.md (when a duty falls due)); GREW are wrong only where invalid entries are
        cached.
        """
        return [one for one in self.changes if one.first <= last and one.last >= first]

    def forget_changes(self, started: i64) -> None:
        """Nothing that was replaced before event ``started`` is cached any more."""
        count: i64 = 0
        for change in self.changes:
            if change.event >= started:
                break
            count += 1
        if count > 0:
            del self.changes[:count]
