"""The ways that a walk of paired tables may go by what memory says, or said and is still cached.

Source: formats.md D.1, D.2, D.3; semantics.md, "The maximal TLB".
"""

from mypy_extensions import i64

from reference.formats.format import Format, Level
from reference.hardware.memory import POISON
from reference.hardware.packed_memory import PackedMemory, Table
from reference.hardware.paired_context import Change
from reference.hardware.paired_walker import ENDS, PairedWalker, Translation
from reference.pieces import NOTHING


def possible(
    walker: PairedWalker, va: i64, limit: int = 64, hidden: set[Change] | None = None
) -> list[Translation]:
    """Every translation of ``va`` that a context may use now, at most ``limit`` of them.

    Each step of a walk takes the word in memory, or one that it replaced and that may be
    cached. What memory says comes first. ``hidden``: changes of what no walk came to.
    """
    found: list[Translation] = [walker.translate(va)]
    context = walker.context
    if context.root < 0 or va < 0 or va >= walker.format.limit:
        return found
    replaced: dict[i64, list[i64]] = {}
    for change in context.unflushed(va, va):
        if hidden is not None and change in hidden:
            continue
        if walker.memory.tables.get(change.holder.pa) is change.holder:
            words = replaced.get(change.pa)
            if words is None:
                replaced[change.pa] = [change.old]
            else:
                words.append(change.old)
    if replaced:
        CachedWalks(walker, va, replaced, limit).explore(context.root, 0, found)
    different: list[Translation] = []
    for one in found:
        known = False
        for other in different:
            known = known or one.same(other)
        if not known:
            different.append(one)
    return different


class CachedWalks:
    """The walks of one address by one context."""

    def __init__(
        self, walker: PairedWalker, va: i64, replaced: dict[i64, list[i64]], limit: i64
    ) -> None:
        self.walker: PairedWalker = walker
        """What memory says."""
        self.format: Format = walker.format
        """How tables are laid out."""
        self.memory: PackedMemory = walker.memory
        """The machine's."""
        self.va: i64 = va
        """The address."""
        self.replaced: dict[i64, list[i64]] = replaced
        """What may be cached instead of a word in memory, by the word's address."""
        self.limit: i64 = limit
        """How many translations are looked for."""

    def explore(self, pa: i64, number: i64, found: list[Translation]) -> None:
        """Walk on from the table at ``pa`` in every way, and add what is new to ``found``."""
        if len(found) >= self.limit:
            return
        one = self.format.tables[number]
        table = self.memory.tables.get(pa)
        index: i64 = self.format.index(number, self.va) * one.words
        if table is None or index + one.words > len(table.words):
            self._add(self.walker.ended(self.va, number, -1, POISON), found)
            return
        at: i64 = table.pa + index * 8
        lows = self._versions(table, index)
        highs: list[i64] = [0]
        if one.words == 2:
            highs = self._versions(table, index + 1)
        for low in lows:
            for high in highs:
                self._explore_entry(one, at, low, high, found)

    def _versions(self, table: Table, index: i64) -> list[i64]:
        """The word in memory, and those that it replaced."""
        found: list[i64] = [table.words[index]]
        old = self.replaced.get(table.pa + index * 8)
        if old is not None:
            found.extend(old)
        return found

    def _explore_entry(
        self, one: Level, at: i64, low: i64, high: i64, found: list[Translation]
    ) -> None:
        """Every way on from one entry whose words are ``low`` and ``high``."""
        number = one.number
        walker = self.walker
        if number < self.format.last_directory or number > self.format.last_directory:
            child: i64 = walker.go_on(one.first, low)
            if child == ENDS:
                self._add(walker.ended(self.va, number, at, low), found)
            else:
                self.explore(child, one.first.child, found)
            return
        small_word: i64 = high if one.words == 2 else low
        large = walker.go_on(one.first, low)
        small = walker.go_on(one.halves[1], small_word)
        if large == ENDS:
            if small != ENDS and walker.is_nothing(one.first, low):
                self.explore(small, self.format.small, found)
            else:
                word = walker.deciding(one, low, small_word)
                self._add(walker.ended(self.va, number, at, word), found)
            return
        behind: list[Translation] = []
        self.explore(large, self.format.large, behind)
        for answer in behind:
            if answer.what == NOTHING and small != ENDS and walker.leaves_it(answer.word):
                self.explore(small, self.format.small, found)
            else:
                self._add(answer, found)

    def _add(self, one: Translation, found: list[Translation]) -> None:
        for other in found:
            # Unmapped and hole are both nothing, and lead on in different ways.
            if one.same(other) and (one.what != NOTHING or one.word == other.word):
                return
        if len(found) < self.limit:
            found.append(one)
