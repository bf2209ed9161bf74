"""Mappings of buffers in one address space: which part of which buffer lies behind each address.

A flat list of mappings, none of which overlap. It splits as formats.md B.7 says: what
a request covers goes, what it covers in part keeps its buffer, and its offset goes on.
Mappings are never joined, so the list says exactly which VMAs there have to be.

The same list, fed with what page tables are told, says what the device can reach.

Addresses and offsets are unsigned words, in bytes; ranges are inclusive.

Source: formats.md B.7.
"""

from reference.sorted_keys import SortedKeys


class Mapping:
    """Addresses ``first`` to ``last`` are those of ``buffer`` from byte ``offset`` on."""

    def __init__(self, first: int, last: int, buffer: int, offset: int) -> None:
        self.first: int = first
        self.last: int = last
        self.buffer: int = buffer
        self.offset: int = offset

    def same(self, other: "Mapping") -> bool:
        """Whether both say the same."""
        return (
            self.first == other.first
            and self.last == other.last
            and self.buffer == other.buffer
            and self.offset == other.offset
        )

    def follows(self, other: "Mapping") -> bool:
        """Whether it goes on where ``other`` ends, in addresses and in the buffer."""
        return (
            self.first == other.last + 1
            and self.buffer == other.buffer
            and self.offset == other.offset + (self.first - other.first)
        )


class VaPromise:
    """The mappings of one address space, by their first address."""

    def __init__(self) -> None:
        self.firsts: SortedKeys = SortedKeys()
        self.at: dict[int, Mapping] = {}

    def __len__(self) -> int:
        return len(self.at)

    def nth(self, number: int) -> Mapping:
        """The mapping at place ``number``, from 0."""
        return self.at[self.firsts.nth(number)]

    def within(self, first: int, last: int) -> list[Mapping]:
        """Every mapping that has an address in ``first`` to ``last``, ascending."""
        found: list[Mapping] = []
        before = self.firsts.at_or_before(first)
        if before >= 0 and before < first and self.at[before].last >= first:
            found.append(self.at[before])
        found.extend([self.at[key] for key in self.firsts.between(first, last)])
        return found

    def first_in(self, first: int, last: int) -> Mapping | None:
        """The lowest mapping that has an address in ``first`` to ``last``."""
        before = self.firsts.at_or_before(first)
        if before >= 0 and self.at[before].last >= first:
            return self.at[before]
        after = self.firsts.at_or_after(first)
        return self.at[after] if 0 <= after <= last else None

    def unmap(self, first: int, last: int) -> None:
        """Take ``first`` to ``last`` out of every mapping there; what is left keeps its offsets."""
        for one in self.within(first, last):
            self._remove(one)
            if one.first < first:
                self._add(Mapping(one.first, first - 1, one.buffer, one.offset))
            if one.last > last:
                offset = one.offset + (last + 1 - one.first)
                self._add(Mapping(last + 1, one.last, one.buffer, offset))

    def map(self, first: int, last: int, buffer: int, offset: int) -> None:
        """Put one mapping in the place of whatever is there."""
        self.unmap(first, last)
        self._add(Mapping(first, last, buffer, offset))

    def clear(self) -> None:
        """Take everything out."""
        self.firsts.clear()
        self.at.clear()

    def _add(self, one: Mapping) -> None:
        self.firsts.add(one.first)
        self.at[one.first] = one

    def _remove(self, one: Mapping) -> None:
        self.firsts.remove(one.first)
        del self.at[one.first]


def joined(mappings: list[Mapping]) -> list[Mapping]:
    """The same translations with the fewest mappings: neighbours that go on are one."""
    found: list[Mapping] = []
    for one in mappings:
        if found and one.follows(found[-1]):
            before = found[-1]
            found[-1] = Mapping(before.first, one.last, before.buffer, before.offset)
        else:
            found.append(one)
    return found


def cut(mappings: list[Mapping], first: int, last: int) -> list[Mapping]:
    """What of ``mappings`` lies in ``first`` to ``last``; parts keep their offsets."""
    found: list[Mapping] = []
    for one in mappings:
        start, end = max(one.first, first), min(one.last, last)
        if start <= end:
            found.append(Mapping(start, end, one.buffer, one.offset + (start - one.first)))
    return found


def first_difference(one: list[Mapping], other: list[Mapping]) -> int:
    """The lowest address that two lists of mappings translate differently; -1 if none."""
    left, right = joined(one), joined(other)
    for a, b in zip(left, right, strict=False):
        if a.first != b.first:
            return min(a.first, b.first)
        if a.buffer != b.buffer or a.offset != b.offset:
            return a.first
        if a.last != b.last:
            return min(a.last, b.last) + 1
    common = min(len(left), len(right))
    if len(left) > common:
        return left[common].first
    if len(right) > common:
        return right[common].first
    return -1
