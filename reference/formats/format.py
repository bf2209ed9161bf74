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

from reference.words import bits, hex_word, to_signed, to_unsigned

# -- what the walker sees in an entry ---------------------------------------------------

INVALID: Final = 0
"""Nothing: the walk ends in a fault. Encodings that are reserved are this, too."""
TABLE: Final = 1
"""The address of a table of the next level."""
LEAF: Final = 2
"""A translation: an output address and its attributes."""
SPARSE: Final = 3
"""No translation, and no fault: reads give zeros, writes are dropped."""
HOLE: Final = 4
"""Nothing, and nothing is looked for elsewhere: where two tables share a directory entry."""

ROLE_NAMES: Final = ("invalid", "table", "leaf", "sparse", "hole")

# -- prot: what a caller asks for, with the values of the kernel's IOMMU_* flags --------

READ: Final = 1
WRITE: Final = 2
CACHE: Final = 4
"""Coherent with the CPU's caches."""
NOEXEC: Final = 8
MMIO: Final = 0x10
"""Device registers rather than memory."""
PRIV: Final = 0x20
"""The permissions are for privileged accesses; others get as little as possible."""

PROT_COUNT: Final = 0x40
"""``prot`` is 0 to 63: any combination of the six flags."""
PROT_NAMES: Final = ("READ", "WRITE", "CACHE", "NOEXEC", "MMIO", "PRIV")
"""Name of each prot bit, from bit 0."""

# -- canonical access: what an entry grants, the same numbers for every format ----------
#
# U is the unprivileged observer, P the privileged one. Formats whose hardware does not
# tell privileges apart give both the same; for UAT, U is the GPU and P the firmware.

U_READ: Final = 1
U_WRITE: Final = 2
U_EXEC: Final = 4
P_READ: Final = 8
P_WRITE: Final = 0x10
P_EXEC: Final = 0x20
ACCESS_MASK: Final = 0x3F

MEMORY_MASK: Final = 0xF00
NON_CACHED: Final = 0x000
CACHED: Final = 0x100
DEVICE: Final = 0x200
UNSTATED: Final = 0x300
"""The entry has no say in the memory type."""
OTHER_MEMORY: Final = 0x800
"""0x800 + 0x100 * n: attribute number n, 0 to 7, to which no use is given."""

SHARE_MASK: Final = 0x3000
SHARE_NONE: Final = 0x0000
"""Not shareable, or not stated by the format."""
SHARE_OUTER: Final = 0x2000
SHARE_INNER: Final = 0x3000

GLOBAL: Final = 0x10000
"""Not tagged with an address space: an invalidation by tag does not remove it."""
PARTIAL: Final = 0x20000
"""Only a part of the page can be accessed."""
UNKNOWN: Final = 0x40000
"""What the hardware grants is not known; the access bits are a guess."""

# -- what a field of an entry is for ----------------------------------------------------

FIXED: Final = 0
"""Has one value in entries of this kind, and identifies the kind."""
ADDRESS: Final = 1
"""Bits of the output address or of the next table's address."""
ATTRIBUTE: Final = 2
"""Decides what an access may do."""
HINT: Final = 3
"""Used by the hardware, but not to decide what an access may do."""
IGNORED: Final = 4
"""Not looked at by the hardware: free for software."""
RESERVED: Final = 5
"""To be left zero."""
ELSEWHERE: Final = 6
"""Of the other half of an entry that points to two tables."""

USE_NAMES: Final = ("fixed", "address", "attribute", "hint", "ignored", "reserved", "elsewhere")

_SLOTS: Final = 2048
"""Meanings remembered for each level, by a few attribute bits; a power of two."""

_EMPTY_VALUES: Final[dict[int, str]] = {}


def _ones(high: int, low: int) -> int:
    """The held word with bits [high:low] set."""
    return to_signed(((1 << (high - low + 1)) - 1) << low)


@final
class Field:
    """Bits [high:low] of an entry.

    Args:
        name: as in the manual; fields of one kind that are encoded have names of their own.
        high, low: inclusive, 63 >= high >= low >= 0.
        use: FIXED, ADDRESS, ATTRIBUTE, HINT, IGNORED, RESERVED or ELSEWHERE.
        meaning: one phrase for a reader.
        source: where this is written or was measured.
        values: text for values that have one; "" for a value that goes without saying.
        match: the value of a FIXED field.
        address_low: the lowest address bit that an ADDRESS field carries; low if left out.

    Raises:
        ValueError: an argument is outside what is said above.
    """

    def __init__(
        self,
        name: str,
        high: int,
        low: int,
        use: int,
        meaning: str,
        source: str,
        values: dict[int, str] = _EMPTY_VALUES,
        match: int = 0,
        address_low: int = -1,
    ) -> None:
        if not 63 >= high >= low >= 0:
            raise ValueError(
                f"high, low of field {name} are {high}, {low}; allowed are 63 >= high >= low >= 0"
            )
        if not FIXED <= use <= ELSEWHERE:
            raise ValueError(f"use of field {name} is {use}; allowed are 0 to {ELSEWHERE}")
        if not 0 <= match < 1 << (high - low + 1) or (match and use != FIXED):
            raise ValueError(
                f"match of field {name} is {match}; allowed is what {high - low + 1} bits hold, "
                "and only 0 unless use is FIXED"
            )
        if address_low < -1:
            raise ValueError(
                f"address_low of field {name} is {address_low}; allowed are 0 and above"
            )
        if use == ADDRESS and address_low < 0:
            address_low = low
        self.name: str = name
        self.high: int = high
        self.low: int = low
        self.use: int = use
        self.meaning: str = meaning
        self.source: str = source
        self.values: dict[int, str] = dict(values)
        self.match: int = match
        self.address_low: int = address_low
        self.mask: int = _ones(high, low)

    @property
    def width(self) -> int:
        """Number of bits, 1 to 64."""
        return self.high - self.low + 1

    @property
    def position(self) -> str:
        """The bits as the manual writes them: "[47:12]" or "[10]"."""
        return f"[{self.high}:{self.low}]" if self.high != self.low else f"[{self.low}]"

    def get(self, word: int) -> int:
        """The field's value, 0 to 2**width-1, in a held word."""
        return to_unsigned(bits(word, self.high, self.low))

    def put(self, value: int) -> int:
        """The held word that has ``value`` in this field and zeros elsewhere.

        Raises:
            ValueError: ``value`` does not fit.
        """
        if not 0 <= value < 1 << self.width:
            raise ValueError(
                f"{self.name} is {value:#x}; allowed are 0 to {(1 << self.width) - 1:#x}"
            )
        return to_signed(value << self.low)

    def text(self, value: int) -> str:
        """How ``value`` is shown in a one-line description; "" if it says nothing."""
        said = self.values.get(value)
        if self.use == ELSEWHERE:
            return ""
        if self.use == IGNORED:
            if not value:
                return ""
            if self.width == 1:
                return f"({self.name})"
            return f"({self.name}{self.position}={value:#x})"
        if self.use == RESERVED:
            return f"{self.name}{self.position}={value:#x}" if value else ""
        if said is not None:
            return f"{self.name}={said}" if said else ""
        if self.width == 1:
            return self.name if value else ""
        return f"{self.name}={value:#x}"

    def __repr__(self) -> str:
        return f"Field({self.name} {self.position} {USE_NAMES[self.use]})"


@final
class EntryKind:
    """One kind of entry: which words are of it, and what each bit of them is.

    Args:
        name: "table", "block", "page", "invalid", "reserved", ...
        role: INVALID, TABLE, LEAF, SPARSE or HOLE.
        levels: the levels at which words are read so.
        fields: every bit once, from bit 63 down to bit 0.

    Raises:
        ValueError: bits missing or twice, a role out of range, more or fewer than one
            address in a table or leaf, or two encoded fields of one name.
    """

    def __init__(
        self, name: str, role: int, levels: tuple[int, ...], fields: Sequence[Field]
    ) -> None:
        if not INVALID <= role <= HOLE:
            raise ValueError(f"role of kind {name} is {role}; allowed are 0 to {HOLE}")
        expected = 63
        mask = match = attributes = ignored = address = address_bits = address_up = addresses = 0
        names: set[str] = set()
        for field in fields:
            if field.high != expected:
                raise ValueError(
                    f"fields of kind {name} have {field.name} {field.position} where bit "
                    f"{expected} comes next; allowed is each bit once, from 63 to 0"
                )
            expected = field.low - 1
            if field.use == FIXED:
                mask |= field.mask
                match |= field.put(field.match)
            elif field.use == ADDRESS:
                addresses += 1
                address = field.mask
                address_up = field.address_low - field.low
                address_bits = _ones(field.high + address_up, field.address_low)
            elif field.use in (IGNORED, ELSEWHERE):
                ignored |= field.mask
            elif field.use == ATTRIBUTE:
                attributes |= field.mask
            if field.use in (ATTRIBUTE, HINT):
                if field.name in names:
                    raise ValueError(f"fields of kind {name} have {field.name} twice")
                names.add(field.name)
        if expected != -1:
            raise ValueError(f"fields of kind {name} end above bit {expected}; allowed is 0")
        if addresses != (1 if role in (TABLE, LEAF) else 0):
            raise ValueError(
                f"fields of kind {name} have {addresses} addresses; allowed is one in a table "
                "or leaf and none in others"
            )
        self.name: str = name
        self.role: int = role
        self.levels: tuple[int, ...] = levels
        self.fields: tuple[Field, ...] = tuple(fields)
        self.mask: int = mask
        """Held; the bits that identify the kind."""
        self.match: int = match
        """Held; their values: a word is of this kind if ``word & mask == match``."""
        self.attributes: int = attributes
        """Held; the bits on which the access depends."""
        self.ignored: int = ignored
        """Held; the bits that the hardware does not look at."""
        self.address: int = address
        """Held; the bits of the word that hold the address."""
        self.address_bits: int = address_bits
        """The bits of an address that the entry can hold."""
        self.address_up: int = address_up
        """How far the address is shifted up from its place in the word; below 0: down."""

    def holds(self, word: int) -> bool:
        """Whether a held word is of this kind."""
        return (word & self.mask) == self.match

    def value(self, word: int, name: str) -> int:
        """The value of field ``name``, 0 or above, in a held word.

        Raises:
            ValueError: no field has this name.
        """
        return self.field(name).get(word)

    def field(self, name: str) -> Field:
        """The field of this name (the highest one, should several have it).

        Raises:
            ValueError: none has it.
        """
        for field in self.fields:
            if field.name == name:
                return field
        allowed = ", ".join(field.name for field in self.fields)
        raise ValueError(f"name is {name!r}; fields of {self.name} are {allowed}")

    def values(self, word: int) -> dict[str, int]:
        """The values of all attributes and hints of a held word, by name."""
        return {
            field.name: field.get(word) for field in self.fields if field.use in (ATTRIBUTE, HINT)
        }

    def encode(self, values: dict[str, int]) -> int:
        """The held word of this kind with these attributes and hints, others zero, no address.

        Raises:
            ValueError: an unknown name, or a value that does not fit.
        """
        word = self.match
        left = dict(values)
        for field in self.fields:
            if field.use in (ATTRIBUTE, HINT) and field.name in left:
                word |= field.put(left.pop(field.name))
        if left:
            allowed = ", ".join(f.name for f in self.fields if f.use in (ATTRIBUTE, HINT))
            raise ValueError(f"values has {', '.join(left)}; {self.name} has {allowed}")
        return word

    def output(self, word: int) -> int:
        """The address in a held word of this kind; 0 for kinds that have none."""
        if self.address_up < 0:
            # The shift is arithmetic; the mask removes the copies of the sign.
            return (word >> -self.address_up) & self.address_bits
        return (word & self.address) << self.address_up

    def place(self, pa: int) -> int:
        """The held word that has address ``pa`` in its place and zeros elsewhere.

        Raises:
            ValueError: the entry cannot hold ``pa``: it is too large, or misaligned.
        """
        if pa & ~self.address_bits:
            raise ValueError(
                f"pa is {pa:#x}; allowed for {self.name} are addresses with bits of "
                f"{self.address_bits:#x} only"
            )
        if self.address_up < 0:
            return to_signed(pa << -self.address_up)
        return pa >> self.address_up

    def describe(self, word: int) -> str:
        """One line: the kind, the address, then what the other fields say, from bit 0 up."""
        parts = [self.name]
        if self.address:
            parts.append(f"pa={self.output(word):#x}")
        for field in reversed(self.fields):
            if field.use not in (FIXED, ADDRESS):
                parts.append(field.text(field.get(word)))
        return " ".join(part for part in parts if part)

    def __repr__(self) -> str:
        return f"EntryKind({self.name} {ROLE_NAMES[self.role]} at {self.levels})"


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
class Reading:
    """One way to read a word: as an entry of one kind, at the levels that have this kind."""

    def __init__(self, kind: EntryKind, levels: tuple[int, ...], word: int) -> None:
        self.kind: EntryKind = kind
        self.levels: tuple[int, ...] = levels
        self.word: int = word
        """Held."""

    @property
    def address(self) -> int | None:
        """Output address of a leaf, address of the next table, or None."""
        return self.kind.output(self.word) if self.kind.role in (TABLE, LEAF) else None

    def fields(self) -> list[tuple[Field, int]]:
        """Every field with its value (0 or above), from bit 63 down."""
        return [(field, field.get(self.word)) for field in self.kind.fields]

    @property
    def text(self) -> str:
        """The one-line description."""
        return self.kind.describe(self.word)

    def __repr__(self) -> str:
        return f"Reading({hex_word(self.word)} at {self.levels}: {self.text})"


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


# -- page sizes -------------------------------------------------------------------------


def page_sizes_of(bitmap: int) -> tuple[int, ...]:
    """The page sizes, in bytes and ascending, of a bitmap in which each is one bit.

    Raises:
        ValueError: ``bitmap`` is negative.
    """
    if bitmap < 0:
        raise ValueError(f"bitmap is {bitmap}; allowed are 0 and above")
    return tuple(1 << bit for bit in range(bitmap.bit_length()) if bitmap >> bit & 1)


def best_page_size(
    page_sizes: Sequence[int] | int, iova: int, pa: int, size: int
) -> tuple[int, int]:
    """One step of mapping (or, with ``pa = iova``, unmapping) ``size`` bytes at ``iova``.

    The page size is the largest that divides both addresses and fits. The count is how many
    pages of it come before the first place where a larger size could be used, or else before
    the end.

    Args:
        page_sizes: powers of two, ascending, or a bitmap of them.
        iova, pa: bytes, 0 or above.
        size: bytes, 1 or more.

    Returns:
        (page size in bytes, count, 1 or more).

    Raises:
        ValueError: no page size divides the addresses and fits, or an argument is negative.
    """
    sizes = page_sizes_of(page_sizes) if isinstance(page_sizes, int) else tuple(page_sizes)
    if iova < 0 or pa < 0:
        raise ValueError(f"iova, pa are {iova:#x}, {pa:#x}; allowed are 0 and above")
    best = 0
    larger = 0
    for candidate in sizes:
        if candidate <= size and not (iova | pa) & (candidate - 1):
            best = candidate
            larger = 0
        elif not larger:
            larger = candidate
    if not best:
        raise ValueError(
            f"iova, pa, size are {iova:#x}, {pa:#x}, {size:#x}; allowed are multiples of the "
            f"smallest of {', '.join(f'{one:#x}' for one in sizes)}, and a size of at least that"
        )
    if larger and not (iova ^ pa) & (larger - 1):
        before = -iova & (larger - 1)
        if before + larger <= size:
            size = before
    return best, size // best


# -- canonical access in words ----------------------------------------------------------


def _rwx(access: int) -> str:
    """Three letters for the low three bits of ``access``."""
    return (
        ("r" if access & U_READ else "-")
        + ("w" if access & U_WRITE else "-")
        + ("x" if access & U_EXEC else "-")
    )


def _follows(user: int, privileged: int) -> bool:
    """Whether the privileged access is what one expects from the unprivileged one.

    That is: the same, or the same without execution of what the unprivileged may write.
    """
    if user == privileged:
        return True
    return bool(user & U_WRITE) and privileged == user & ~U_EXEC


def access_text(meaning: int) -> str:
    """A canonical access in words: "rwx cached inner", "r-- device outer", "--x/rwx cached".

    First who may read, write, execute; with a slash, unprivileged/privileged (GPU/firmware)
    where the privileged access is not what follows from the unprivileged one: the same, or
    the same less execution of what the unprivileged may write. Then the memory type, the
    shareability, and "global", "partial" or "unknown" where they apply. Within one format,
    two accesses with the same text are the same.
    """
    user = meaning & 7
    privileged = meaning >> 3 & 7
    parts = [_rwx(user) if _follows(user, privileged) else f"{_rwx(user)}/{_rwx(privileged)}"]
    memory = meaning & MEMORY_MASK
    if memory >= OTHER_MEMORY:
        parts.append(f"attribute-{(memory - OTHER_MEMORY) >> 8}")
    elif memory != UNSTATED:
        parts.append(("non-cached", "cached", "device")[memory >> 8])
    share = (meaning & SHARE_MASK) >> 12
    if share:
        parts.append(("", "share-1", "outer", "inner")[share])
    if meaning & GLOBAL:
        parts.append("global")
    if meaning & PARTIAL:
        parts.append("partial")
    if meaning & UNKNOWN:
        parts.append("unknown")
    return " ".join(parts)


def access_letters(meaning: int) -> str:
    """A canonical access in 4 or 5 letters, for strips: "rw-c", "rwxcp", "r--d".

    * r, w, x or - each: read, write, execute;
    * memory type: c cached, n non-cached, d device, . not stated by the entry, ? another;
    * p: the letters are those of the privileged (firmware) observer, the other has less;
      u: those of the unprivileged (GPU) one, the privileged has less than that;
      m: mixed, the letters are what either has. Absent where :func:`access_text` has no slash.

    Shorter than :func:`access_text`, and so not different for all that differs.
    """
    user = meaning & 7
    privileged = meaning >> 3 & 7
    memory = meaning & MEMORY_MASK
    letter = "?" if memory >= OTHER_MEMORY else "ncd."[memory >> 8]
    shown = _rwx(user | privileged) + letter
    if _follows(user, privileged):
        return _rwx(user) + letter
    if user & ~privileged == 0:
        return shown + "p"
    if privileged & ~user == 0:
        return shown + "u"
    return shown + "m"


def prot_text(prot: int) -> str:
    """A prot as its flags' names: "READ|WRITE|CACHE"; "0" for none."""
    named = [name for i, name in enumerate(PROT_NAMES) if prot >> i & 1]
    rest = prot & ~(PROT_COUNT - 1)
    if rest:
        named.append(f"{rest:#x}")
    return "|".join(named) or "0"
