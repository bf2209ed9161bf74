"""Translations in pieces, sparse ones included: what callers of an address space were promised.

A flat list of pieces, none of which overlap: addresses that are mapped, with where they lead
and what is granted there, and addresses that are sparse, where reads give zeros and writes are
dropped. Elsewhere there is nothing. It knows no tables and no page sizes. Pieces that go on
where the one before ends are kept as one, so their number follows what was asked for.

Addresses are bytes, ranges are inclusive.

Source: formats.md D.6; semantics.md (calls).
"""

from typing import Final

from mypy_extensions import i64

from reference.sorted_keys import SortedKeys

NOTHING: Final = 0
"""An access faults."""
ZEROS: Final = 1
"""Sparse: reads give zeros, writes are dropped."""
MAPPED: Final = 2
"""An access goes to physical memory."""
ARBITRARY: Final = 3
"""Never promised: what the device gets where a walk meets memory that holds anything."""

TOP: Final = (1 << 62) - 1
"""Stands for the end of what is beyond the address space."""

WHAT_NAMES: Final = ("nothing", "sparse", "mapped", "arbitrary")


class Piece:
    """Addresses ``first`` to ``last`` are all ZEROS, or MAPPED from ``pa`` on with ``meaning``.

    ``meaning``: as the format has it; ``pa`` is -1 and ``meaning`` 0 where it is not MAPPED.
    """

    def __init__(self, first: i64, last: i64, what: i64, pa: i64, meaning: i64) -> None:
        self.first: i64 = first
        self.last: i64 = last
        self.what: i64 = what
        self.pa: i64 = pa
        self.meaning: i64 = meaning

    def pa_at(self, va: i64) -> i64:
        """Where ``va``, first to last, leads; -1 where it is not MAPPED."""
        return self.pa + (va - self.first) if self.what == MAPPED else -1

    def follows(self, other: "Piece") -> bool:
        """Whether it goes on where ``other`` ends: both could be one piece."""
        return (
            self.first == other.last + 1
            and self.what == other.what
            and self.meaning == other.meaning
            and (self.what != MAPPED or self.pa == other.pa_at(self.first))
        )

    def __repr__(self) -> str:
        leads = f" to {self.pa:#x}, meaning {self.meaning:#x}" if self.what == MAPPED else ""
        return f"Piece({self.first:#x}..{self.last:#x} {WHAT_NAMES[self.what]}{leads})"


class Pieces:
    """The pieces of one address space of ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit: i64 = limit
        self.firsts: SortedKeys = SortedKeys()
        self.pieces_at: dict[i64, Piece] = {}

    # -- asking -----------------------------------------------------------------------------

    def at(self, va: i64) -> Piece | None:
        """The piece that ``va`` is in; None where there is nothing."""
        before: i64 = self.firsts.at_or_before(va)
        if before < 0:
            return None
        found = self.pieces_at[before]
        return found if found.last >= va else None

    def lookup(self, va: i64) -> tuple[i64, i64, i64]:
        """(NOTHING, ZEROS or MAPPED; the pa of ``va`` or -1; the meaning or 0)."""
        found = self.at(va)
        if found is None:
            return NOTHING, -1, 0
        return found.what, found.pa_at(va), found.meaning

    def extent(self, va: i64) -> i64:
        """The last address up to which the piece, or the hole, that ``va`` is in goes on."""
        found = self.at(va)
        if found is not None:
            return found.last
        after: i64 = self.firsts.at_or_after(va)
        if after >= 0:
            return after - 1
        return self.limit - 1 if va < self.limit else TOP

    def pieces(self, first: i64, last: i64) -> list[Piece]:
        """What of each piece lies in first..last, ascending."""
        found: list[Piece] = []
        for one in self._within(first, last):
            start: i64 = max(one.first, first)
            end: i64 = min(one.last, last)
            found.append(Piece(start, end, one.what, one.pa_at(start), one.meaning))
        return found

    def __len__(self) -> int:
        return len(self.firsts)

    # -- changing ---------------------------------------------------------------------------

    def map(self, first: i64, last: i64, pa: i64, meaning: i64) -> None:
        """first..last lead to ``pa`` and on, whatever was there before."""
        self._put(Piece(first, last, MAPPED, pa, meaning))

    def sparse(self, first: i64, last: i64) -> None:
        """first..last are sparse, whatever was there before."""
        self._put(Piece(first, last, ZEROS, -1, 0))

    def clear(self, first: i64, last: i64) -> None:
        """There is nothing in first..last."""
        for one in self._within(first, last):
            self._remove(one)
            if one.first < first:
                self._add(Piece(one.first, first - 1, one.what, one.pa, one.meaning))
            if one.last > last:
                start: i64 = last + 1
                self._add(Piece(start, one.last, one.what, one.pa_at(start), one.meaning))

    def take(self, first: i64, last: i64, pieces: list[Piece]) -> None:
        """first..last are what ``pieces``, which lie in it, say: another view is right there.

        What is ARBITRARY to the other is not promised.
        """
        self.clear(first, last)
        for one in pieces:
            if one.what in (ZEROS, MAPPED):
                self._put(Piece(one.first, one.last, one.what, one.pa, one.meaning))

    def _put(self, one: Piece) -> None:
        self.clear(one.first, one.last)
        if one.first > 0:
            before = self.at(one.first - 1)
            if before is not None and one.follows(before):
                self._remove(before)
                one = Piece(before.first, one.last, before.what, before.pa, before.meaning)
        after = self.at(one.last + 1)
        if after is not None and after.follows(one):
            self._remove(after)
            one = Piece(one.first, after.last, one.what, one.pa, one.meaning)
        self._add(one)

    def _within(self, first: i64, last: i64) -> list[Piece]:
        found: list[Piece] = []
        before = self.at(first)
        if before is not None and before.first < first:
            found.append(before)
        for key in self.firsts.between(first, last):
            found.append(self.pieces_at[key])
        return found

    def _add(self, one: Piece) -> None:
        self.firsts.add(one.first)
        self.pieces_at[one.first] = one

    def _remove(self, one: Piece) -> None:
        self.firsts.remove(one.first)
        del self.pieces_at[one.first]
