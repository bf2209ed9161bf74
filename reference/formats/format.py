"""What an MMU format is, and what it answers: the one API of all formats.

A format is data
    A format lists the *levels* of its page tables. A level says how many bytes an entry
    translates, how many entries a table has, and, for each half of an entry, the kinds of entry
    that it can be, every bit of each with its source (``reference.formats.entry``). With that go
    which addresses and pages there are (``Sizes``), what can be asked for and what an entry
    grants (``Permissions``), and where a walk begins (``Walks``). Encoder, decoder, descriptions,
    walks and documentation come from these.

Levels
    They are numbered from 0, the one with the largest span, on. In most formats the tables of
    level n + 1 hang in entries of level n. Where one entry leads to two tables, of large and of
    small pages for the same addresses, the level of the large ones comes before that of the
    small ones, and the walk looks at it first; ``last_directory``, ``large`` and ``small`` are
    the three. ``Half.child`` says which level an entry leads to, ``tables[n]`` is level n.

Entries
    An entry has one word or two, and one half or two. A *plain* level has entries of one word and
    one half, each word of exactly one kind, at most one kind of table and one of leaf. A leaf is
    always in the first half, and in its first word. What the methods here say of "a word" at a
    level, they say of its first half; the other is asked for by ``tables[n].halves``.

Roots
    A context has one root table, or several root registers with a table each (``roots``), of
    which the upper bits of the input address choose one. The registers are level 0 then, and a
    walk begins there (``Geometry.roots`` above 1) or below (it has one root).

Asking and granting
    What a caller asks for is one number, of which ``Permissions.asks`` has the bits: a ``prot``
    for an IOMMU, or what the entry is to mean. ``promised(asked)`` is what is to be granted,
    ``leaf(level, pa, asked)`` is the entry, ``meaning(level, word)`` is what it grants:
    ``meaning(level, leaf(level, pa, asked)) == promised(asked)``, and the two sides are written
    without looking at each other. Table entries can take accesses away (``denied``).

Changing a valid entry
    ``may_change(level, old, new)`` says whether a valid entry may become another one while the
    device uses it, with no invalid entry and invalidation between. Each kind says which bits may
    be set and which may be cleared so. A change of kind, of the address, or of any bit of which
    it is not said, needs break-before-make.

Numbers
    Words and addresses are *held* (see ``reference.words``): two's complement, so that 64 bits
    fit a native signed integer. Addresses below 2**63 are themselves. What walkers and drivers
    ask for every word (the first part of ``Format``) uses masks that are worked out once, when
    the format is made. It checks nothing: a level outside the format, or a word that is not of
    the kind asked about, is the caller's error. What people ask is checked.
"""

from collections.abc import Callable, Sequence
from typing import Final, final

from mypy_extensions import i64

from reference.formats.access import PROT_COUNT, access_text, prot_text
from reference.formats.entry import (
    ATTRIBUTE,
    HINT,
    HOLE,
    INVALID,
    LEAF,
    SPARSE,
    TABLE,
    EntryKind,
    Half,
    Reading,
    is_partition,
    overlap,
)
from reference.words import hex_word, to_signed

_SLOTS: Final = 2048
"""Meanings remembered for each plain level, by a few attribute bits; a power of two."""

WORD_BYTES: Final = 8
"""Bytes of a word of an entry, in every format."""


# -- what a format's table says, part by part -------------------------------------------


@final
class Sizes:
    """Which addresses and pages a format has.

    Args:
        granule: bytes of the smallest page; of a full table, too, where all are of one size.
        ias_choices: input address bits that can be configured for one table, ascending.
        oas_choices: output address bits that can be configured, ascending; none where nothing is.
        page_sizes: bytes, ascending; each is what a leaf of some level translates.
        ias_within_oas: whether there must be at least as many output bits as input bits.
        whole_ias: input address bits of all roots together, where no choice has as many; else 0.
    """

    def __init__(
        self,
        granule: int,
        ias_choices: Sequence[int],
        oas_choices: Sequence[int],
        page_sizes: Sequence[int],
        ias_within_oas: bool = False,
        whole_ias: int = 0,
    ) -> None:
        self.granule: int = granule
        self.ias_choices: tuple[int, ...] = tuple(ias_choices)
        self.oas_choices: tuple[int, ...] = tuple(oas_choices)
        self.page_sizes: tuple[int, ...] = tuple(page_sizes)
        self.ias_within_oas: bool = ias_within_oas
        self.whole_ias: int = whole_ias


@final
class Permissions:
    """What can be asked of a mapping, and what an entry grants.

    Args:
        fields_of: the leaf's attributes and hints, by name, for what is asked for; names that a
            kind of leaf does not have are left out where there are several kinds.
        access_of: what a leaf with these attributes, hints and fixed fields grants.
        access_for: what is to be granted, as far as the hardware can express it; says what is
            right without using the two above.
        denied_by: the access bits that a table entry with these attributes takes away from
            all leaves below; None where table entries take nothing away.
        asks: the bits of the number that says what is asked for.
        asked: what that number is called.
        asked_text: such a number in words.
        granted_text: what is granted, in words.
        memories: where tables can be, as ``table_fields`` numbers it; the first is the usual one.
        table_fields: the attributes of an entry for a table there; None: it has none.
        examples: what is asked for in examples.
    """

    def __init__(
        self,
        fields_of: Callable[[int], dict[str, int]],
        access_of: Callable[[dict[str, int]], int],
        access_for: Callable[[int], int],
        denied_by: Callable[[dict[str, int]], int] | None = None,
        asks: int = PROT_COUNT - 1,
        asked: str = "prot",
        asked_text: Callable[[int], str] = prot_text,
        granted_text: Callable[[int], str] = access_text,
        memories: Sequence[int] = (0,),
        table_fields: Callable[[int], dict[str, int]] | None = None,
        examples: Sequence[int] = range(PROT_COUNT),
    ) -> None:
        self.fields_of: Callable[[int], dict[str, int]] = fields_of
        self.access_of: Callable[[dict[str, int]], int] = access_of
        self.access_for: Callable[[int], int] = access_for
        self.denied_by: Callable[[dict[str, int]], int] | None = denied_by
        self.asks: int = asks
        self.asked: str = asked
        self.asked_text: Callable[[int], str] = asked_text
        self.granted_text: Callable[[int], str] = granted_text
        self.memories: tuple[int, ...] = tuple(memories)
        self.table_fields: Callable[[int], dict[str, int]] | None = table_fields
        self.examples: tuple[int, ...] = tuple(examples)


@final
class Walks:
    """Where a walk begins, and what of it is cached.

    Args:
        fixed_start: whether every walk begins at level 0; else it begins at the deepest level
            whose full table covers the input addresses.
        caches_invalid: whether the device's caches hold invalid entries, too.
        roots: how many root registers a context has; with more than one they are level 0.
    """

    def __init__(self, fixed_start: bool, caches_invalid: bool, roots: int = 1) -> None:
        self.fixed_start: bool = fixed_start
        self.caches_invalid: bool = caches_invalid
        self.roots: int = roots


@final
class Page:
    """A page size: the tables on the way to its entry, and what that may hold.

    Args:
        shift: log2 of the bytes that the entry translates.
        chain: numbers of the levels on the way, the entry's own first, that of the root last.
        sparse: whether the entry can be sparse.
        vram: whether it can be a page in the device's own memory, or anywhere where a format
            does not tell memories apart.
        host: whether it can be a page in system memory.
        compressed: whether it can be a page of compressed storage.
        listed: log2 of the size as the driver's own table has it, where that differs.
    """

    def __init__(
        self,
        shift: int,
        chain: Sequence[int],
        sparse: bool = False,
        vram: bool = True,
        host: bool = True,
        compressed: bool = False,
        listed: int = 0,
    ) -> None:
        self.shift: i64 = shift
        self.chain: tuple[int, ...] = tuple(chain)
        self.table: i64 = chain[0]
        """The level of the entry."""
        self.sparse: bool = sparse
        self.vram: bool = vram
        self.host: bool = host
        self.compressed: bool = compressed
        self.listed: i64 = listed or shift

    def __repr__(self) -> str:
        return f"Page(shift {self.shift}, chain {self.chain})"


# -- levels -----------------------------------------------------------------------------


@final
class Level:
    """One level: what its tables and their entries are like.

    Args:
        number: 0 is the level with the largest span.
        shift: log2 of the bytes that one entry translates.
        bits: log2 of the entries of a full table.
        kinds: of a plain level: the kinds of its entries; each word is of exactly one of them,
            and a table entry leads to the next level.
        halves: of any other level: one, or that of the large and that of the small table.
        name: of its tables, where the manual names them: "PD0", "LPT", ...

    Raises:
        ValueError: some word is of no kind; or, for a plain level, of two, there are two kinds of
            table or leaf, or an address that is above its place.
    """

    def __init__(
        self,
        number: int,
        shift: int,
        bits: int,
        kinds: Sequence[EntryKind] = (),
        halves: Sequence[Half] = (),
        name: str = "",
    ) -> None:
        plain = len(kinds) > 0
        table, leaf = _plain_kinds(number, kinds)
        if plain:
            halves = [Half("", 0, number + 1 if table is not None else -1, kinds)]
        words = 1 + max([int(half.word) for half in halves])
        self.number: i64 = number
        self.name: str = name
        self.shift: i64 = shift
        self.span: i64 = 1 << shift
        """Bytes that one entry translates."""
        self.bits: i64 = bits
        self.entries: i64 = 1 << bits
        """Of a full table."""
        self.index_mask: i64 = (1 << bits) - 1
        self.words: i64 = words
        """Words of an entry, 1 or 2."""
        self.bytes: i64 = (WORD_BYTES * words) << bits
        """Of a full table."""
        self.halves: list[Half] = list(halves)
        self.first: Half = halves[0]
        """The half in which a leaf is, or the only one."""
        self.has_children: bool = any(half.child >= 0 for half in halves)
        """Whether its entries lead to tables."""
        self.kinds: tuple[EntryKind, ...] = tuple(
            dict.fromkeys(kind for half in halves for kind in half.kinds)
        )
        """Of all halves."""
        self.plain: bool = plain
        # What the hot methods use of a plain level. Without tables (or leaves), and where it is
        # not plain, there is mask 0 and match 1, which no word passes.
        self.table: EntryKind | None = table
        self.leaf: EntryKind | None = leaf
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
        """The leaf without its address, held, for each prot; empty if there is none, or if it is
        not a prot that is asked for."""
        self.known_leaves: dict[int, tuple[EntryKind, int]] = {}
        """Kind and word of a leaf without its address, by what was asked for."""
        self.is_page_size: bool = False
        """Whether the format offers this level's span as a page size."""
        # Meanings found so far: slot -> attribute bits (held; -1 none) and meaning.
        self.known_bits: list[int] = [-1] * (_SLOTS if plain else 0)
        self.known_meaning: list[int] = [0] * (_SLOTS if plain else 0)
        self.denials: dict[int, int] = {}

    @property
    def title(self) -> str:
        """What it is called: "level 2", or the name of its tables."""
        return self.name or f"level {self.number}"

    def address_in(self, word: i64) -> i64:
        """The bits that hold the address in a leaf of this level."""
        return self.first.candidate(word).address

    def page_step(self, word: i64) -> i64:
        """What to add to a leaf of this level for one that leads to the memory after it."""
        return self.span >> self.first.candidate(word).up

    def __repr__(self) -> str:
        name = f" {self.name}" if self.name else ""
        return f"Level({self.number}{name}, shift {self.shift}, {self.entries} entries)"


def _plain_kinds(
    number: int, kinds: Sequence[EntryKind]
) -> tuple[EntryKind | None, EntryKind | None]:
    """The kind of table and the kind of leaf among the kinds of a plain level.

    Raises:
        ValueError: the kinds are not those of a plain level.
    """
    if not kinds:
        return None, None
    for kind in kinds:
        if number not in kind.levels:
            raise ValueError(
                f"kinds of level {number} have {kind.name}, which is for {kind.levels}"
            )
    both = overlap(kinds)
    if both is not None:
        raise ValueError(
            f"kinds of level {number} are not disjoint: {both[0].name}, {both[1].name}"
        )
    if not is_partition(kinds):
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
    return tables[0] if tables else None, leaves[0] if leaves else None


@final
class Geometry:
    """How a format lays out a table for one input size: made by ``Format.geometry``.

    Addresses 0 to ``limit``-1 are translated, by ``levels`` levels from ``start_level`` on.
    The root has ``root_entries`` entries, which can be fewer or more than other tables have.
    """

    def __init__(self, format: "Format", ias: int, start_level: int) -> None:
        start = format.tables[start_level]
        root_bits: int = max(0, ias - int(start.shift))
        self.format: Format = format
        self.ias: int = ias
        self.limit: i64 = 1 << ias
        self.levels: int = format.levels - start_level
        self.start_level: i64 = start_level
        self.root_entries: int = 1 << root_bits
        self.root_bytes: int = (format.word_bytes * int(start.words)) << root_bits
        self.root_mask: i64 = (1 << root_bits) - 1
        self.roots: int = self.root_entries if start_level == 0 and format.roots > 1 else 1
        """Root tables: one, or one for each register in use, which are level 0 then."""

    def index(self, level: i64, va: i64) -> i64:
        """Which entry of its table at ``level`` an input address uses.

        Bits of ``va`` at and above ``ias`` are not looked at; see :meth:`contains`.
        """
        entry = self.format.tables[level]
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
        return self.format.tables[level].index_mask + 1

    def table_bytes(self, level: i64) -> i64:
        """Bytes of a table at ``level``, start_level or above."""
        return self.entries(level) * self.format.word_bytes * self.format.tables[level].words

    def __repr__(self) -> str:
        return (
            f"Geometry({self.format.name}, ias {self.ias}, start level {self.start_level}, "
            f"root of {self.root_entries} entries)"
        )


# -- the format -------------------------------------------------------------------------


@final
class Format:
    """An MMU format. See the module's text for its contracts.

    Args:
        name: as users write it: "lpae-s1".
        title: in words, for people.
        source: the documents that the table was made from.
        tables: the levels, 0 first.
        sizes: which addresses and pages it has.
        permissions: what can be asked for, and what an entry grants.
        walks: where a walk begins.
        pages: the page sizes, largest first, with what each may hold; left out where any leaf may
            hold anything, and nothing is sparse.

    Raises:
        ValueError: the arguments do not fit together.
    """

    def __init__(
        self,
        name: str,
        title: str,
        source: str,
        tables: Sequence[Level],
        sizes: Sizes,
        permissions: Permissions,
        walks: Walks,
        pages: Sequence[Page] = (),
    ) -> None:
        _fill_levels(name, tables, sizes, permissions)
        dual = [int(one.number) for one in tables if _leads_to_two(one)]
        self.name: str = name
        self.title: str = title
        self.source: str = source
        self.tables: list[Level] = list(tables)
        self.levels: int = len(tables)
        self.plain: bool = all(one.plain for one in tables)
        """Whether all levels are."""
        self.word_bytes: int = WORD_BYTES
        self.last_directory: i64 = dual[0] if dual else -1
        """The level whose entries lead to two tables; -1: none does."""
        self.large: i64 = tables[dual[0]].halves[0].child if dual else -1
        """The level of the large one of these; -1: there is none."""
        self.small: i64 = len(tables) - 1
        """The level of the smallest pages."""
        self.granule: int = sizes.granule
        self.ias_choices: tuple[int, ...] = sizes.ias_choices
        self.oas_choices: tuple[int, ...] = sizes.oas_choices
        self.ias_within_oas: bool = sizes.ias_within_oas
        self.whole_ias: int = sizes.whole_ias
        self.page_sizes: tuple[int, ...] = sizes.page_sizes
        self.pages: tuple[Page, ...] = tuple(pages or _any_pages(tables))
        self.limit: i64 = 1 << sizes.ias_choices[-1]
        """The first input address beyond what the largest table translates."""
        self.fixed_start: bool = walks.fixed_start
        self.caches_invalid: bool = walks.caches_invalid
        self.roots: int = walks.roots
        self.registers: bool = walks.roots > 1 and walks.fixed_start
        """Whether every table hangs in root registers, which are level 0."""
        self.permissions: Permissions = permissions
        self.promises: list[int] = []
        """What each prot promises; empty if it is not a prot that is asked for."""
        if permissions.asks == PROT_COUNT - 1:
            self.promises = [permissions.access_for(prot) for prot in range(PROT_COUNT)]

    # -- what the walker and the drivers ask for every word -------------------------------

    def kind(self, level: i64, word: i64) -> i64:
        """INVALID, TABLE, LEAF, SPARSE or HOLE: what the walker sees in a held word."""
        entry = self.tables[level]
        if (word & entry.leaf_mask) == entry.leaf_match:
            return LEAF
        if (word & entry.table_mask) == entry.table_match:
            return TABLE
        return INVALID if entry.plain else entry.first.role(word)

    def output(self, level: i64, word: i64) -> i64:
        """The output address of a leaf's first byte. ``word`` is a leaf at ``level``, held."""
        entry = self.tables[level]
        if not entry.plain:
            return entry.first.output(word)
        return (word & entry.leaf_address) << entry.leaf_up

    def next_table(self, level: i64, word: i64) -> i64:
        """The address of the next table. ``word`` is a table entry at ``level``, held."""
        entry = self.tables[level]
        if not entry.plain:
            return entry.first.output(word)
        return (word & entry.table_address) << entry.table_up

    def meaning(self, level: i64, word: i64) -> i64:
        """What a leaf grants. ``word`` is a leaf at ``level``, held."""
        entry = self.tables[level]
        if not entry.plain:
            return _first_meaning(self, entry, word)
        chosen: i64 = word & entry.leaf_attributes
        # Attributes sit at both ends of the word: fold the upper ones onto the lower.
        slot: i64 = ((chosen >> 2) ^ (chosen >> 43) ^ chosen) & (_SLOTS - 1)
        if entry.known_bits[slot] == chosen:
            return entry.known_meaning[slot]
        found = _find_meaning(self, entry, word)
        entry.known_bits[slot] = chosen
        entry.known_meaning[slot] = found
        return found

    def denied(self, level: i64, word: i64) -> i64:
        """Access bits that a table entry takes from everything below it; mostly 0.

        ``word`` is a table entry at ``level``, held.
        """
        entry = self.tables[level]
        chosen = word & entry.table_attributes
        if chosen == 0:
            return 0
        known = entry.denials.get(chosen)
        if known is not None:
            return known
        found = _find_denial(self, entry, word)
        entry.denials[chosen] = found
        return found

    def promised(self, asked: i64) -> i64:
        """What is to be granted where ``asked`` is asked for: for a prot, 0 to 63."""
        if self.promises:
            return self.promises[asked]
        return self.permissions.access_for(asked)

    def leaf(self, level: i64, pa: i64, asked: i64) -> i64:
        """The leaf at ``level`` that maps its page to ``pa`` with what is asked for, held.

        Of an entry of two words it is the first; the other is 0.

        Raises:
            ValueError: no leaves at this level, a ``pa`` that the entry cannot hold
                (misaligned or too large), or a number that cannot be asked for.
        """
        entry = self.tables[level]
        words = entry.leaf_words
        if pa & ~entry.leaf_pa or asked < 0 or asked >= len(words):
            return _any_leaf(self, entry, pa, asked)
        return words[asked] | (pa >> entry.leaf_up)

    def part(self, level: i64, word: i64, offset: i64) -> i64:
        """The leaf of the next level that says what a block says for one part of it, held.

        ``word`` is a leaf at ``level``, ``offset`` a multiple of the next level's span
        below this level's. Bits that only the block's level heeds are dropped.
        """
        block = self.tables[level]
        page = self.tables[level + 1]
        pa: i64 = self.output(level, word) + offset
        if not page.plain:
            return self.leaf(level + 1, pa, self.meaning(level, word))
        carried: i64 = (
            block.leaf_heeded
            & ~block.leaf_mask
            & ~block.leaf_address
            & page.leaf_heeded
            & ~page.leaf_mask
            & ~page.leaf_address
        )
        return (word & carried) | page.leaf_match | (pa >> page.leaf_up)

    def table(self, level: i64, pa: i64) -> i64:
        """The entry at ``level`` that leads to the table at ``pa``, and to no other, held.

        Of an entry of two words it is the first; the other is 0.

        Raises:
            ValueError: no table entries at this level, or a ``pa`` that it cannot hold.
        """
        entry = self.tables[level]
        if pa & ~entry.table_pa or entry.table is None:
            return _any_table(self, entry, pa)
        return entry.table_match | (pa >> entry.table_up)

    def same(self, level: i64, old: i64, new: i64, part: i64 = 0) -> bool:
        """Whether two held words say the same to the hardware, as word ``part`` of an entry.

        Bits that the hardware ignores do not count, and all invalid words of a plain level are
        the same.
        """
        if old == new:
            return True
        entry = self.tables[level]
        if not entry.plain:
            return _same_halves(entry, old, new, part)
        changed: i64 = old ^ new
        if (old & entry.leaf_mask) == entry.leaf_match:
            return (changed & entry.leaf_heeded) == 0
        if (old & entry.table_mask) == entry.table_match:
            return (changed & entry.table_heeded) == 0
        return (new & entry.leaf_mask) != entry.leaf_match and (
            new & entry.table_mask
        ) != entry.table_match

    def may_change(self, level: i64, old: i64, new: i64, part: i64 = 0) -> bool:
        """Whether a word may be replaced by another while the device uses the entry.

        ``old``, ``new``: held, valid, as word ``part`` of an entry at ``level``. False: it needs
        break-before-make.
        """
        for half in self.tables[level].halves:
            if half.word == part:
                kind = half.candidate(old).kind
                if half.candidate(new).kind is not kind or not kind.may_change(old, new):
                    return False
        return True

    def level_of(self, pgsize: i64) -> i64:
        """The level whose leaves translate ``pgsize`` bytes; -1 if it is no page size."""
        for level in self.tables:
            if level.is_page_size and level.span == pgsize:
                return level.number
        return -1

    def span(self, level: i64) -> i64:
        """Bytes that one entry at ``level`` translates."""
        return self.tables[level].span

    def shift(self, level: i64) -> i64:
        """log2 of :meth:`span`."""
        return self.tables[level].shift

    def index(self, level: i64, va: i64) -> i64:
        """Which entry of a full table at ``level`` an input address uses."""
        entry = self.tables[level]
        return (va >> entry.shift) & entry.index_mask

    # -- entries that are more than a leaf or one table -----------------------------------

    def sparse(self, level: i64) -> i64:
        """The word (the first, of two; the second is 0) of a sparse entry.

        Raises:
            ValueError: entries of this level cannot be sparse.
        """
        return _marker(self, level, SPARSE)

    def hole(self, level: i64) -> i64:
        """The word that says that the small table is not to be looked at.

        Raises:
            ValueError: the level has no such entries.
        """
        return _marker(self, level, HOLE)

    def can_be_sparse(self, level: i64) -> bool:
        """Whether entries of this level can be sparse."""
        return self.tables[level].first.kind_with(SPARSE) is not None

    def has_hole(self) -> bool:
        """Whether the large table can keep a walk from the small one."""
        return self.large >= 0 and self.tables[self.large].first.kind_with(HOLE) is not None

    def directory(self, level: i64, first: i64, second: i64 = -1, memory: int = -1) -> list[int]:
        """The words of an entry that leads to tables, as many as it has.

        Args:
            level: that of the entry.
            first: address of the next table, or of the large table; -1 for none.
            second: address of the small table; -1 for none, as in entries with one half.
            memory: where the tables are, one of ``Permissions.memories``; -1: the usual one.

        Raises:
            ValueError: no table entries there, no such memory or half, or an address that does
                not fit.
        """
        one = self.tables[level]
        memories = self.permissions.memories
        where = memories[0] if memory < 0 else memory
        if not one.has_children or where not in memories:
            levels = [str(table.number) for table in self.tables if table.has_children]
            raise ValueError(
                f"level, memory are {level}, {where}; allowed for {self.name} are levels "
                f"{', '.join(levels)}, memories {', '.join(str(one) for one in memories)}"
            )
        if second >= 0 and len(one.halves) == 1:
            raise ValueError(f"second is {second:#x}; entries of {one.title} lead to one table")
        fields: dict[str, int] = {}
        if self.permissions.table_fields is not None:
            fields = self.permissions.table_fields(where)
        found = [0] * int(one.words)
        for half, pa in zip(one.halves, (first, second), strict=False):
            kind = half.kind_with(TABLE)
            if pa != -1 and kind is not None:
                word = _encode(kind, fields) | kind.place(pa)
                found[half.word] = to_signed(found[half.word] | word)
        return found

    # -- what people ask ------------------------------------------------------------------

    def kind_of(self, level: int, word: int) -> EntryKind:
        """The kind of entry that a word (held or not) is at ``level``, by its first half.

        Raises:
            ValueError: ``level`` or ``word`` is out of range.
        """
        return self._level(level).first.candidate(to_signed(word)).kind

    def kinds_of(self, level: int, *words: int) -> list[EntryKind]:
        """The kind of each half of an entry, whose words are held or not.

        Raises:
            ValueError: there is no such level, or the number of words is not the entry's.
        """
        held = self._held(level, words)
        return [half.candidate(held[half.word]).kind for half in self.tables[level].halves]

    def decode(self, word: int, level: int | None = None) -> list[Reading]:
        """Every reading of a 64-bit word, held or not: one for each kind that a half can be.

        Where entries have two words, the word is read as either. With ``level``, the readings at
        that level: one for each half, if they differ.

        Raises:
            ValueError: ``word`` has more than 64 bits, or there is no such level.
        """
        held = to_signed(word)
        kinds: list[EntryKind] = []
        levels: list[list[int]] = []
        for one in self.tables if level is None else [self._level(level)]:
            number = int(one.number)
            for half in one.halves:
                kind = half.candidate(held).kind
                if kind not in kinds:
                    kinds.append(kind)
                    levels.append([number])
                elif number not in levels[kinds.index(kind)]:
                    levels[kinds.index(kind)].append(number)
        return [Reading(kind, tuple(at), held) for kind, at in zip(kinds, levels, strict=True)]

    def describe(self, level: int, *words: int) -> str:
        """One line that says what an entry is: "large: table pa=0x105000 ...; small: ...".

        ``words``: as many as the entry has, held or not.

        Raises:
            ValueError: as :meth:`kinds_of`.
        """
        held = self._held(level, words)
        parts: list[str] = []
        for half in self.tables[level].halves:
            word = held[half.word]
            text = half.candidate(word).kind.describe(word)
            parts.append(f"{half.name}: {text}" if half.name else text)
        return "; ".join(parts)

    def title_of(self, levels: Sequence[int]) -> str:
        """What these levels are called together: "level 1, 2", or "PD1, PD0"."""
        names = [self.tables[level].name for level in levels]
        if all(names):
            return ", ".join(names)
        return f"level {', '.join(str(level) for level in levels)}"

    def page_of_shift(self, shift: int) -> Page | None:
        """The page size of 2**shift bytes; None if there is none."""
        for page in self.pages:
            if page.shift == shift:
                return page
        return None

    def geometry(self, ias: int) -> Geometry:
        """The layout for ``ias`` bits of input address: a choice, or ``whole_ias``.

        Raises:
            ValueError: the format has no such input size.
        """
        if ias not in self.ias_choices and (ias != self.whole_ias or not ias):
            allowed = ", ".join(str(choice) for choice in self.ias_choices)
            also = f", and {self.whole_ias} with all roots" if self.whole_ias else ""
            raise ValueError(f"ias is {ias}; allowed for {self.name} are {allowed}{also}")
        start = 0
        if not self.fixed_start:
            for level in self.tables:
                if level.shift + level.bits >= ias:
                    start = int(level.number)
        return Geometry(self, ias, start)

    def oas_for(self, ias: int) -> tuple[int, ...]:
        """The output sizes that go with an input size, in bits; none where nothing is configured.

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
        if oas not in outputs and self.oas_choices:
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
            allowed = f"0 to {self.levels - 1}"
            if all(one.name for one in self.tables):
                allowed = "the tables " + ", ".join(
                    f"{one.number} {one.name}" for one in self.tables
                )
            raise ValueError(f"level is {level}; allowed for {self.name} are {allowed}")
        return self.tables[level]

    def _held(self, level: int, words: Sequence[int]) -> list[int]:
        one = self._level(level)
        if len(words) != one.words:
            raise ValueError(
                f"words are {[hex_word(word) for word in words]}; entries of {one.title} of "
                f"{self.name} have {one.words}"
            )
        return [to_signed(word) for word in words]


# -- behind the methods for every word --------------------------------------------------


def _find_meaning(fmt: Format, entry: Level, word: int) -> int:
    if entry.leaf is None:
        raise ValueError(f"level is {entry.number}; {fmt.name} has no leaves there")
    return fmt.permissions.access_of(_said(entry.leaf, word))


def _first_meaning(fmt: Format, entry: Level, word: i64) -> i64:
    """What the first half grants, at a level that is not plain; 0 if it is no leaf."""
    one = entry.first.candidate(word)
    if one.role != LEAF:
        return 0
    chosen = word & one.attributes
    known = one.meanings.get(chosen)
    if known is None:
        known = fmt.permissions.access_of(_said(one.kind, word))
        one.meanings[chosen] = known
    return known


def _find_denial(fmt: Format, entry: Level, word: int) -> int:
    if entry.table is None or fmt.permissions.denied_by is None:
        return 0
    return fmt.permissions.denied_by(entry.table.values(word))


def _any_leaf(fmt: Format, entry: Level, pa: int, asked: int) -> int:
    """A leaf of a level that is not plain, or the refusal of one."""
    known = entry.known_leaves.get(asked)
    if known is None:
        known = _new_leaf(fmt, entry, asked)
        entry.known_leaves[asked] = known
    kind, word = known
    if pa & (entry.span - 1):
        raise ValueError(
            f"pa is {hex_word(pa)}; allowed are multiples of {entry.span:#x} at "
            f"{entry.title} of {fmt.name}"
        )
    return word | kind.place(pa)


def _new_leaf(fmt: Format, entry: Level, asked: int) -> tuple[EntryKind, int]:
    """The kind, and the word without an address, of a leaf for what is asked for."""
    permissions = fmt.permissions
    kinds = [kind for kind in entry.first.kinds if kind.role == LEAF]
    if not kinds:
        raise ValueError(f"level is {entry.number}; {fmt.name} has no such pages there")
    if asked & ~permissions.asks:
        raise ValueError(
            f"{permissions.asked} is {permissions.asked_text(asked)}; allowed for {fmt.name} "
            f"are 0 to {permissions.asks:#x} with bits of that only"
        )
    fields = permissions.fields_of(asked)
    for kind in kinds:
        word = _encode(kind, fields)
        mine = entry.first.candidate(word).kind is kind
        if mine and permissions.access_of(_said(kind, word)) == fmt.promised(asked):
            return kind, word
    raise ValueError(
        f"level, {permissions.asked} are {entry.title}, {permissions.asked_text(asked)}; "
        f"{fmt.name} has no such pages"
    )


def _any_table(fmt: Format, entry: Level, pa: int) -> int:
    """A table entry of a level that is not plain, or the refusal of one."""
    kind = entry.first.kind_with(TABLE)
    if kind is None:
        raise ValueError(f"level is {entry.number}; {fmt.name} has no such entries there")
    kind.place(pa)  # Refuses what does not fit; -1, too, which says "none" to the other.
    return fmt.directory(entry.number, pa)[0]


def _marker(fmt: Format, level: i64, role: int) -> i64:
    one = fmt.tables[level]
    kind = one.first.kind_with(role)
    if kind is None:
        what = "sparse entries" if role == SPARSE else "holes"
        raise ValueError(f"table is {one.title}; {fmt.name} has no {what} there")
    return kind.match


# -- behind the making of a format -------------------------------------------------------


def _fill_levels(
    name: str, tables: Sequence[Level], sizes: Sizes, permissions: Permissions
) -> None:
    """Tell the levels of a format which of them are pages, and their leaves for each prot.

    Raises:
        ValueError: the levels are not numbered as they stand, or a page size is no leaf's.
    """
    leaves: list[int] = []
    for i, level in enumerate(tables):
        if level.number != i:
            raise ValueError(f"tables of {name} have level {level.number} at place {i}")
        if level.first.kind_with(LEAF) is not None:
            leaves.append(int(level.span))
            level.is_page_size = level.span in sizes.page_sizes
        if level.leaf is not None and permissions.asks == PROT_COUNT - 1:
            level.leaf_words = [
                level.leaf.encode(permissions.fields_of(prot)) for prot in range(PROT_COUNT)
            ]
    if list(sizes.page_sizes) != sorted(set(sizes.page_sizes) & set(leaves)):
        raise ValueError(
            f"page_sizes of {name} are {list(sizes.page_sizes)}; allowed are those of "
            f"{sorted(leaves)}, ascending"
        )


def _leads_to_two(level: Level) -> bool:
    """Whether an entry of this level leads to two tables."""
    return len([half for half in level.halves if half.child >= 0]) == 2


def _any_pages(tables: Sequence[Level]) -> list[Page]:
    """The page sizes, largest first, of levels each of which hangs in the one before it."""
    return [
        Page(int(level.shift), range(int(level.number), -1, -1))
        for level in tables
        if level.is_page_size
    ]


def _same_halves(entry: Level, old: i64, new: i64, part: i64) -> bool:
    """Whether two words are of the same kinds, and differ in ignored bits alone."""
    for half in entry.halves:
        if half.word == part:
            one = half.candidate(old)
            if half.candidate(new) is not one or (old ^ new) & one.heeded:
                return False
    return True


def _said(kind: EntryKind, word: int) -> dict[str, int]:
    """The values of all fields of a word, by name: the fixed ones can say something, too."""
    return {field.name: field.get(word) for field in kind.fields}


def _encode(kind: EntryKind, fields: dict[str, int]) -> int:
    """The word of a kind with those of the fields that it has and that are not fixed."""
    wanted = {f.name for f in kind.fields if f.use in (ATTRIBUTE, HINT)}
    return kind.encode({name: value for name, value in fields.items() if name in wanted})
