"""The walk of paired tables: a large table, where there is one, goes before the small one.

Source: formats.md D.1, D.2, D.5.
"""

from typing import Final

from mypy_extensions import i64

from reference.formats.entry import INVALID, LEAF, SPARSE, TABLE, Half
from reference.formats.format import Format, Level
from reference.hardware.memory import POISON
from reference.hardware.packed_memory import PackedMemory
from reference.hardware.paired_context import PairedContext
from reference.hardware.paired_links import PairedLinks
from reference.pieces import (
    ARBITRARY,
    MAPPED,
    NOTHING,
    ZEROS,
    Piece,
    Pieces,
)

ENDS: Final = -2
"""In place of the next table's address: the walk ends here."""


class Translation:
    """What the walk of an address finds."""

    def __init__(self, va: i64) -> None:
        self.va: i64 = va
        """The address."""
        self.what: i64 = NOTHING
        """NOTHING, ZEROS, MAPPED or ARBITRARY (the walk met a word that nobody wrote, or memory
        that is no table)."""
        self.pa: i64 = -1
        """Where the address leads, or -1."""
        self.meaning: i64 = 0
        """Of the page, or 0."""
        self.first: i64 = va
        """The first address that the same entry translates."""
        self.last: i64 = va
        """The last address that the same entry translates."""
        self.table: i64 = -1
        """Number of the table in which the walk ended; -1: outside the address space."""
        self.entry: i64 = -1
        """Address of the first word of the entry at which it ended."""
        self.word: i64 = 0
        """The word that decided."""
        self.page_shift: i64 = 0
        """log2 of the bytes that the entry translates."""
        self.beside: bool = False
        """Whether there is a large table at the address."""

    def same(self, other: "Translation") -> bool:
        """Whether both say the same of their address."""
        return self.what == other.what and self.pa == other.pa and self.meaning == other.meaning


class PairedDifference:
    """An address at which walk and promise differ."""

    def __init__(self, va: i64, found: Translation, promised: Piece | None) -> None:
        self.va: i64 = va
        """The address."""
        self.found: Translation = found
        """What the walk says."""
        self.promised: Piece | None = promised
        """What was promised; None: nothing."""


class PairedWalker:
    """Walks for one context through memory as it is now, and compares it with a promise."""

    def __init__(self, links: PairedLinks, context: PairedContext) -> None:
        self.format: Format = links.format
        """How tables are laid out."""
        self.memory: PackedMemory = links.memory
        """The machine's."""
        self.links: PairedLinks = links
        """What an entry leads to."""
        self.context: PairedContext = context
        """Whose walk it is."""

    def leaves_it(self, word: i64) -> bool:
        """Whether an entry for a large page leaves it to the small table beside it."""
        half = self.format.tables[self.format.large].first
        return word != POISON and half.role(word) == INVALID

    def go_on(self, half: Half, word: i64) -> i64:
        """Where the walk goes on from a half of a word: the next table's address, or ENDS.

        -1: it goes on where no table is.
        """
        if word == POISON:
            return ENDS
        if half.child < 0 or half.role(word) != TABLE:
            return ENDS
        return self.links.child(half, word)

    def is_nothing(self, half: Half, word: i64) -> bool:
        """Whether the large half leaves it to the small one.

        A half that says sparse does so too: sparse is what has no table in either half.
        """
        role = half.role(word)
        return word != POISON and role in (INVALID, SPARSE)

    def deciding(self, one: Level, low: i64, small_word: i64) -> i64:
        """The word that decides where an entry of the last directory leads to no table."""
        return POISON if small_word == POISON and self.is_nothing(one.first, low) else low

    def ended(self, va: i64, number: i64, at: i64, word: i64) -> Translation:
        """What the entry at ``at`` in a table of this number says, where the walk ends."""
        one = self.format.tables[number]
        found = Translation(va)
        found.table = number
        found.page_shift = one.shift
        offset: i64 = va & (one.span - 1)
        found.first = va - offset
        found.last = found.first + one.span - 1
        found.entry = at
        found.word = word
        if word == POISON:
            found.what = ARBITRARY
            return found
        half = one.first
        role = half.role(word)
        if role == LEAF:
            found.what = MAPPED
            found.pa = half.output(word) + offset
            found.meaning = self.format.meaning(number, word)
        elif role == SPARSE:
            found.what = ZEROS
        return found

    def translate(self, va: i64) -> Translation:
        """The walk of ``va`` through memory as it is now."""
        fmt = self.format
        if va < 0 or va >= fmt.limit:
            return Translation(va)
        if self.context.root < 0:
            # Nothing decides of any address: they are all alike.
            nowhere = Translation(va)
            nowhere.first = 0
            nowhere.last = fmt.limit - 1
            return nowhere
        pa: i64 = self.context.root
        number: i64 = 0
        # 1. From the root down to the directory whose entries lead to two tables.
        while True:
            one = fmt.tables[number]
            table = self.memory.tables.get(pa)
            index: i64 = ((va >> one.shift) & one.index_mask) * one.words
            if table is None or index + one.words > len(table.words):
                return self.ended(va, number, -1, POISON)
            at: i64 = table.pa + index * 8
            word: i64 = table.words[index]
            if number == fmt.last_directory:
                break
            pa = self.go_on(one.first, word)
            if pa == ENDS:
                return self.ended(va, number, at, word)
            number = one.first.child
        # 2. The large table, if there is one; it decides unless its entry is unmapped.
        small_word: i64 = table.words[index + 1] if one.words == 2 else word
        small: i64 = self.go_on(one.halves[1], small_word)
        large: i64 = self.go_on(one.first, word)
        if large == ENDS:
            if small == ENDS or not self.is_nothing(one.first, word):
                return self.ended(va, number, at, self.deciding(one, word, small_word))
            return self._last_step(va, fmt.small, small, False)
        found = self._last_step(va, fmt.large, large, True)
        if found.what != NOTHING or small == ENDS or not self.leaves_it(found.word):
            return found
        # 3. The small table.
        return self._last_step(va, fmt.small, small, True)

    def _last_step(self, va: i64, number: i64, pa: i64, beside: bool) -> Translation:
        """Look at the entry of ``va`` in the large or small table at ``pa``."""
        table = self.memory.tables.get(pa)
        index: i64 = self.format.index(number, va)
        if table is None or index >= len(table.words):
            found = self.ended(va, number, -1, POISON)
        else:
            found = self.ended(va, number, table.pa + index * 8, table.words[index])
        found.beside = beside
        return found

    def difference(self, promise: Pieces, first: i64, last: i64) -> PairedDifference | None:
        """The first address of first..last that is translated otherwise than promised."""
        va: i64 = first
        while va <= last and va < self.format.limit:
            found = self.translate(va)
            piece = promise.at(va)
            if piece is None:
                if found.what != NOTHING:
                    return PairedDifference(va, found, None)
            elif (
                found.what != piece.what
                or found.pa != piece.pa_at(va)
                or found.meaning != piece.meaning
            ):
                return PairedDifference(va, found, piece)
            va = min(self._run_end(found, last), promise.extent(va)) + 1
        return None

    def pieces(self, first: i64, last: i64) -> list[Piece]:
        """What the walk says of first..last, as a promise would have it: no piece for NOTHING."""
        found: list[Piece] = []
        va: i64 = first
        while va <= last and va < self.format.limit:
            one = self.translate(va)
            end: i64 = min(self._run_end(one, last), last)
            if one.what != NOTHING:
                piece = Piece(va, end, one.what, one.pa, one.meaning)
                if found and piece.follows(found[-1]):
                    before = found[-1]
                    piece = Piece(before.first, end, before.what, before.pa, before.meaning)
                    found[-1] = piece
                else:
                    found.append(piece)
            va = end + 1
        return found

    def _run_end(self, one: Translation, last: i64) -> i64:
        """The last address up to which the entries say what that of ``one`` says.

        Entries that are equal say the same; pages do that go on in physical memory, too.
        """
        end: i64 = one.last
        if one.entry < 0 or end >= last:
            return end
        table = self.memory.table_of(one.entry)
        if table is None:
            return end
        here = self.format.tables[one.table]
        step = here.words
        if one.what == MAPPED and step > 1:
            return end
        stop: i64 = last
        if one.beside and one.table == self.format.small:
            # The next large entry decides anew.
            stop = min(last, one.va | (self.format.tables[self.format.large].span - 1))
        index: i64 = (one.entry - table.pa) >> 3
        low: i64 = table.words[index]
        high: i64 = table.words[index + 1] if step == 2 else low
        grown: i64 = here.page_step(low) if one.what == MAPPED else 0
        kept: i64 = ~here.address_in(low) if one.what == MAPPED else -1
        count: i64 = min(here.entries * step, len(table.words))
        index += step
        while end < stop and index < count:
            word: i64 = table.words[index]
            if word != low + grown or (word ^ low) & kept:
                break
            if step == 2:
                other: i64 = table.words[index + 1]
                if other != high:
                    break
            low = word
            end += here.span
            index += step
        return end
