"""What an MMU format is: levels, kinds of entry, fields; and all that follows from them.

A format is data. It lists, for each level of the page table, the kinds of entry
that a 64-bit word can be there, and for each kind every bit of the word as a
named field with its source. Three small functions go with the table: which field
values an encoder chooses for a ``prot``, which access field values give, and
which access a ``prot`` asks for (written without looking at the other two).

From that come the encoder, the decoder, the one-line description, what the
walker sees, and the comparison of two words. The methods that the walker and
the drivers call for every word use masks that are worked out once, when the
format is made; they check nothing, and a level outside the format is the
caller's error.

Words and addresses are *held* (see ``reference.words``): two's complement, so
that 64 bits fit a native signed integer. Addresses below 2**63 are themselves.
"""

from collections.abc import Callable, Sequence
from typing import Final, final

from mypy_extensions import i64

from reference.formats.access import PROT_COUNT
from reference.formats.entry import INVALID, LEAF, TABLE, EntryKind, Reading
from reference.words import hex_word, to_signed, to_unsigned

_SLOTS: Final = 2048
"""Meanings remembered for each level, by a few attribute bits; a power of two."""


@final
class Level:
    """One level of a page table.

    Args:
        number: 0 is the level with the largest span.
        shift: log2 of the bytes that one entry translates.
        bits: log2 of the entries of a full table.
        kinds: the kinds of entry of this level; each word is of exactly one of them.

    Raises:
        ValueError: some word is of no kind or of two, or there are two kinds of table or leaf.
    """

    def __init__(self, number: int, shift: int, bits: int, kinds: Sequence[EntryKind]) -> None:
        share = 0
        for i, kind in enumerate(kinds):
            if number not in kind.levels:
                raise ValueError(
                    f"kinds of level {number} have {kind.name}, which is for {kind.levels}"
                )
            share += 1 << (64 - to_unsigned(kind.mask).bit_count())
            for other in kinds[i + 1 :]:
                if not (kind.match ^ other.match) & kind.mask & other.mask:
                    raise ValueError(
                        f"kinds of level {number} are not disjoint: {kind.name}, {other.name}"
                    )
        if share != 1 << 64:
            raise ValueError(f"kinds of level {number} do not cover every word")
        tables = [kind for kind in kinds if kind.role == TABLE]
        leaves = [kind for kind in kinds if kind.role == LEAF]
        if len(tables) > 1 or len(leaves) > 1:
            raise ValueError(f"kinds of level {number} have more than one table or leaf")
        for kind in (*tables, *leaves):
            if kind.address_up < 0:
                raise ValueError(
                    f"address of {kind.name} is {-kind.address_up} bits above its place; "
                    f"allowed at level {number} are bits at their place or below"
                )
        table = tables[0] if tables else None
        leaf = leaves[0] if leaves else None
        self.number: i64 = number
        self.shift: i64 = shift
        self.span: i64 = 1 << shift
        """Bytes that one entry translates."""
        self.bits: i64 = bits
        self.kinds: tuple[EntryKind, ...] = tuple(kinds)
        self.table: EntryKind | None = table
        self.leaf: EntryKind | None = leaf
        # What the hot methods use. A level without tables (or leaves) has mask 0 and
        # match 1, which no word passes.
        self.index_mask: i64 = (1 << bits) - 1
        self.table_mask: i64 = table.mask if table else 0
        self.table_match: i64 = table.match if table else 1
        self.table_address: i64 = table.address if table else 0
        self.table_up: i64 = table.address_up if table else 0
        self.table_pa: i64 = table.address_bits if table else 0
        self.table_attributes: i64 = table.attributes if table else 0
        self.table_heeded: i64 = ~table.ignored if table else 0
        self.leaf_mask: i64 = leaf.mask if leaf else 0
        self.leaf_match: i64 = leaf.match if leaf else 1
        self.leaf_address: i64 = leaf.address if leaf else 0
        self.leaf_up: i64 = leaf.address_up if leaf else 0
        self.leaf_pa: i64 = leaf.address_bits if leaf else 0
        self.leaf_attributes: i64 = leaf.attributes if leaf else 0
        self.leaf_heeded: i64 = ~leaf.ignored if leaf else 0
        self.leaf_words: list[int] = []
        """The leaf without its address, held, for each prot; empty where there are no leaves."""
        self.is_page_size: bool = False
        """Whether the format offers this level's span as a page size."""
        # Meanings found so far: slot -> attribute bits (held; -1 none) and meaning.
        self.known_bits: list[int] = [-1] * _SLOTS
        self.known_meaning: list[int] = [0] * _SLOTS
        self.denials: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"Level({self.number}, shift {self.shift}, {', '.join(k.name for k in self.kinds)})"


@final
class Geometry:
    """How a format lays out a table for one input size: made by ``Format.geometry``.

    Addresses 0 to ``limit``-1 are translated, by ``levels`` levels from ``start_level`` on.
    The root has ``root_entries`` entries, which can be fewer or more than other tables have.
    """

    def __init__(self, format: "Format", ias: int, start_level: int) -> None:
        start = format.structure[start_level]
        root_bits: int = max(0, ias - int(start.shift))
        self.format: Format = format
        self.ias: int = ias
        self.limit: i64 = 1 << ias
        self.levels: int = format.levels - start_level
        self.start_level: i64 = start_level
        self.root_entries: int = 1 << root_bits
        self.root_bytes: int = format.word_bytes << root_bits
        self.root_mask: i64 = (1 << root_bits) - 1

    def index(self, level: i64, va: i64) -> i64:
        """Which entry of its table at ``level`` an input address uses.

        Bits of ``va`` at and above ``ias`` are not looked at; see :meth:`contains`.
        """
        entry = self.format.structure[level]
        if level == self.start_level:
            return (va >> entry.shift) & self.root_mask
        return (va >> entry.shift) & entry.index_mask

    def contains(self, va: i64) -> bool:
        """Whether a held input address is below 2**ias (kernel addresses are negative: no)."""
        return 0 <= va < self.limit

    def entries(self, level: i64) -> i64:
        """Number of entries of a table at ``level``, start_level or above."""
        if level == self.start_level:
            return self.root_mask + 1
        return self.format.structure[level].index_mask + 1

    def table_bytes(self, level: i64) -> i64:
        """Bytes of a table at ``level``, start_level or above."""
        return self.entries(level) * self.format.word_bytes

    def __repr__(self) -> str:
        return (
            f"Geometry({self.format.name}, ias {self.ias}, start level {self.start_level}, "
            f"root of {self.root_entries} entries)"
        )


@final
class Format:
    """An MMU format. See the module's text for what it is made of.

    Args:
        name: as users write it: "lpae-s1".
        title: in words, for people.
        source: the documents that the table was made from.
        granule: bytes of a full table, and of the smallest page.
        structure: the levels, 0 first.
        ias_choices, oas_choices: input and output address bits that can be configured.
        page_sizes: bytes, ascending; each is what a leaf of some level translates.
        registers: whether level 0 is not a table in memory but registers of the device, one
            for each root table.
        fixed_start: whether every walk starts at level 0; else it starts at the deepest
            level whose full table covers the input addresses.
        caches_invalid: whether the device's caches hold invalid entries, too.
        fields_of: the leaf's attributes and hints, by name, for a prot.
        access_of: the canonical access of a leaf with these attributes and hints.
        access_for: the canonical access that a prot asks for, as far as the hardware can
            express it; says what is right without using the two above.
        denied_by: the access bits that a table entry with these attributes takes away from
            all leaves below; None where table entries have no attributes.
        ias_within_oas: whether there must be at least as many output bits as input bits.

    Raises:
        ValueError: the arguments do not fit together.
    """

    def __init__(
        self,
        name: str,
        title: str,
        source: str,
        granule: int,
        structure: Sequence[Level],
        ias_choices: Sequence[int],
        oas_choices: Sequence[int],
        page_sizes: Sequence[int],
        fixed_start: bool,
        caches_invalid: bool,
        fields_of: Callable[[int], dict[str, int]],
        access_of: Callable[[dict[str, int]], int],
        access_for: Callable[[int], int],
        denied_by: Callable[[dict[str, int]], int] | None = None,
        ias_within_oas: bool = False,
        registers: bool = False,
    ) -> None:
        sizes: list[int] = []
        for i, level in enumerate(structure):
            if level.number != i:
                raise ValueError(f"structure of {name} has level {level.number} at place {i}")
            if level.leaf is not None:
                level.leaf_words = [level.leaf.encode(fields_of(p)) for p in range(PROT_COUNT)]
                sizes.append(level.span)
                level.is_page_size = level.span in page_sizes
        if list(page_sizes) != sorted(set(page_sizes) & set(sizes)):
            raise ValueError(
                f"page_sizes of {name} are {list(page_sizes)}; allowed are those of "
                f"{sorted(sizes)}, ascending"
            )
        self.name: str = name
        self.title: str = title
        self.source: str = source
        self.word_bytes: int = 8
        self.granule: int = granule
        self.registers: bool = registers
        self.structure: list[Level] = list(structure)
        self.levels: int = len(structure)
        self.ias_choices: tuple[int, ...] = tuple(ias_choices)
        self.oas_choices: tuple[int, ...] = tuple(oas_choices)
        self.page_sizes: tuple[int, ...] = tuple(page_sizes)
        self.fixed_start: bool = fixed_start
        self.caches_invalid: bool = caches_invalid
        self.ias_within_oas: bool = ias_within_oas
        self.fields_of: Callable[[int], dict[str, int]] = fields_of
        self.access_of: Callable[[dict[str, int]], int] = access_of
        self.denied_by: Callable[[dict[str, int]], int] | None = denied_by
        self.promises: list[int] = [access_for(prot) for prot in range(PROT_COUNT)]

    # -- what the walker and the drivers ask for every word -------------------------------

    def kind(self, level: i64, word: i64) -> i64:
        """INVALID, TABLE or LEAF: what the walker sees in a held word at ``level``."""
        entry = self.structure[level]
        if (word & entry.leaf_mask) == entry.leaf_match:
            return LEAF
        if (word & entry.table_mask) == entry.table_match:
            return TABLE
        return INVALID

    def output(self, level: i64, word: i64) -> i64:
        """The output address of a leaf's first byte. ``word`` is a leaf at ``level``, held."""
        entry = self.structure[level]
        return (word & entry.leaf_address) << entry.leaf_up

    def next_table(self, level: i64, word: i64) -> i64:
        """The address of the next table. ``word`` is a table entry at ``level``, held."""
        entry = self.structure[level]
        return (word & entry.table_address) << entry.table_up

    def meaning(self, level: i64, word: i64) -> i64:
        """The canonical access of a leaf. ``word`` is a leaf at ``level``, held."""
        entry = self.structure[level]
        chosen: i64 = word & entry.leaf_attributes
        # Attributes sit at both ends of the word: fold the upper ones onto the lower.
        slot: i64 = ((chosen >> 2) ^ (chosen >> 43) ^ chosen) & (_SLOTS - 1)
        if entry.known_bits[slot] == chosen:
            return entry.known_meaning[slot]
        found = self._find_meaning(entry, word)
        entry.known_bits[slot] = chosen
        entry.known_meaning[slot] = found
        return found

    def denied(self, level: i64, word: i64) -> i64:
        """Access bits that a table entry takes from everything below it; mostly 0.

        ``word`` is a table entry at ``level``, held.
        """
        entry = self.structure[level]
        chosen = word & entry.table_attributes
        if chosen == 0:
            return 0
        known = entry.denials.get(chosen)
        if known is not None:
            return known
        found = self._find_denial(entry, word)
        entry.denials[chosen] = found
        return found

    def promised(self, prot: i64) -> i64:
        """The canonical access that ``prot``, 0 to 63, asks for."""
        return self.promises[prot]

    def leaf(self, level: i64, pa: i64, prot: i64) -> i64:
        """The leaf at ``level`` that maps its page to ``pa`` with ``prot``, held.

        Raises:
            ValueError: no leaves at this level, a ``pa`` that the entry cannot hold
                (misaligned or too large), or a ``prot`` outside 0 to 63.
        """
        entry = self.structure[level]
        if pa & ~entry.leaf_pa or prot < 0 or prot >= PROT_COUNT or entry.leaf is None:
            raise self._refusal(level, pa, prot, entry.leaf)
        words = entry.leaf_words
        return words[prot] | (pa >> entry.leaf_up)

    def part(self, level: i64, word: i64, offset: i64) -> i64:
        """The leaf of the next level that says what a block says for one part of it, held.

        ``word`` is a leaf at ``level``, ``offset`` a multiple of the next level's span
        below this level's. Bits that only the block's level heeds are dropped.
        """
        block = self.structure[level]
        page = self.structure[level + 1]
        carried: i64 = (
            block.leaf_heeded
            & ~block.leaf_mask
            & ~block.leaf_address
            & page.leaf_heeded
            & ~page.leaf_mask
            & ~page.leaf_address
        )
        pa: i64 = self.output(level, word) + offset
        return (word & carried) | page.leaf_match | (pa >> page.leaf_up)

    def table(self, level: i64, pa: i64) -> i64:
        """The entry at ``level`` that points to the table at ``pa``, held.

        Raises:
            ValueError: no table entries at this level, or a ``pa`` that it cannot hold.
        """
        entry = self.structure[level]
        if pa & ~entry.table_pa or entry.table is None:
            raise self._refusal(level, pa, 0, entry.table)
        return entry.table_match | (pa >> entry.table_up)

    def same(self, level: i64, old: i64, new: i64) -> bool:
        """Whether two held words are equal to the hardware at ``level``.

        Bits that the hardware ignores do not count, and all invalid words are the same.
        """
        if old == new:
            return True
        entry = self.structure[level]
        changed: i64 = old ^ new
        if (old & entry.leaf_mask) == entry.leaf_match:
            return (changed & entry.leaf_heeded) == 0
        if (old & entry.table_mask) == entry.table_match:
            return (changed & entry.table_heeded) == 0
        return (new & entry.leaf_mask) != entry.leaf_match and (
            new & entry.table_mask
        ) != entry.table_match

    def level_of(self, pgsize: i64) -> i64:
        """The level whose leaves translate ``pgsize`` bytes; -1 if it is no page size."""
        for level in self.structure:
            if level.is_page_size and level.span == pgsize:
                return level.number
        return -1

    def span(self, level: i64) -> i64:
        """Bytes that one entry at ``level`` translates."""
        return self.structure[level].span

    def shift(self, level: i64) -> i64:
        """log2 of :meth:`span`."""
        return self.structure[level].shift

    # -- what people ask ------------------------------------------------------------------

    def kind_of(self, level: int, word: int) -> EntryKind:
        """The kind of entry that a word (held or not) is at ``level``.

        Raises:
            ValueError: ``level`` or ``word`` is out of range.
        """
        held = to_signed(word)
        for kind in self._level(level).kinds:
            if kind.holds(held):
                return kind
        raise AssertionError(f"{self.name}: {hex_word(held)} is of no kind at level {level}")

    def decode(self, word: int, level: int | None = None) -> list[Reading]:
        """Every reading of a 64-bit word, held or not: one for each kind that it can be.

        With ``level``, the one reading at that level.

        Raises:
            ValueError: ``word`` has more than 64 bits, or there is no such level.
        """
        held = to_signed(word)
        if level is not None:
            return [Reading(self.kind_of(level, held), (level,), held)]
        kinds: list[EntryKind] = []
        levels: list[list[int]] = []
        for number in range(self.levels):
            kind = self.kind_of(number, held)
            if kind in kinds:
                levels[kinds.index(kind)].append(number)
            else:
                kinds.append(kind)
                levels.append([number])
        return [Reading(kind, tuple(at), held) for kind, at in zip(kinds, levels, strict=True)]

    def describe(self, level: int, word: int) -> str:
        """One line that says what a word (held or not) is at ``level``.

        Raises:
            ValueError: ``word`` has more than 64 bits, or there is no such level.
        """
        return self.kind_of(level, word).describe(to_signed(word))

    def geometry(self, ias: int) -> Geometry:
        """The layout for ``ias`` bits of input address.

        Raises:
            ValueError: the format has no such input size.
        """
        if ias not in self.ias_choices:
            allowed = ", ".join(str(choice) for choice in self.ias_choices)
            raise ValueError(f"ias is {ias}; allowed for {self.name} are {allowed}")
        start = 0
        if not self.fixed_start:
            for level in self.structure:
                if level.shift + level.bits >= ias:
                    start = level.number
        return Geometry(self, ias, start)

    def oas_for(self, ias: int) -> tuple[int, ...]:
        """The output sizes that go with an input size, in bits.

        Raises:
            ValueError: the format has no such input size.
        """
        self.geometry(ias)
        return tuple(oas for oas in self.oas_choices if oas >= ias or not self.ias_within_oas)

    def check(self, ias: int, oas: int, page_bitmap: int) -> None:
        """Whether a table can be configured so.

        Raises:
            ValueError: an input or output size that the format does not have or that do not
                go together, or a bitmap of page sizes with others than the format's, or
                without its smallest.
        """
        outputs = self.oas_for(ias)
        if oas not in outputs:
            allowed = ", ".join(str(choice) for choice in outputs)
            raise ValueError(f"oas is {oas}; allowed for {self.name} with ias {ias} are {allowed}")
        if page_bitmap & ~sum(self.page_sizes) or not page_bitmap & self.page_sizes[0]:
            raise ValueError(
                f"page sizes are {page_bitmap:#x}; allowed for {self.name} are "
                f"{self.page_sizes[0]:#x} and any of {sum(self.page_sizes):#x}"
            )

    def __repr__(self) -> str:
        return f"Format({self.name})"

    # -- behind the above -----------------------------------------------------------------

    def _level(self, level: int) -> Level:
        if not 0 <= level < self.levels:
            raise ValueError(
                f"level is {level}; allowed for {self.name} are 0 to {self.levels - 1}"
            )
        return self.structure[level]

    def _find_meaning(self, entry: Level, word: int) -> int:
        if entry.leaf is None:
            raise ValueError(f"level is {entry.number}; {self.name} has no leaves there")
        return self.access_of(entry.leaf.values(word))

    def _find_denial(self, entry: Level, word: int) -> int:
        if entry.table is None or self.denied_by is None:
            return 0
        return self.denied_by(entry.table.values(word))

    def _refusal(self, level: int, pa: int, prot: int, kind: EntryKind | None) -> ValueError:
        if kind is None:
            return ValueError(f"level is {level}; {self.name} has no such entries there")
        if not 0 <= prot < PROT_COUNT:
            return ValueError(f"prot is {prot:#x}; allowed are 0 to {PROT_COUNT - 1:#x}")
        return ValueError(
            f"pa is {hex_word(pa)}; allowed for a {kind.name} at level {level} of {self.name} "
            f"are addresses with bits of {kind.address_bits:#x} only"
        )
