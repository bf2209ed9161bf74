"""What a page-table entry is made of: fields, kinds of entry, halves, and readings of a word.

An entry is one word, or two. What it says about one table or page is a *half* of it: most
entries have one half and one word; an entry that leads to two tables has two halves, which share
one word or have a word each. A half is of one *kind*, and a kind is a list of *fields*, every bit
of a word once.

Words and addresses are *held* (see ``reference.words``): two's complement, so
that 64 bits fit a native signed integer. Addresses below 2**63 are themselves.
"""

from collections.abc import Sequence
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
        may_set: names of attributes and hints of which bits may go from 0 to 1 in a valid entry
            that is in use. What is not named needs break-before-make; ignored bits never do.
        may_clear: names of those of which bits may go from 1 to 0.

    Raises:
        ValueError: bits missing or twice, a role out of range, more or fewer than one
            address in a table or leaf, two encoded fields of one name, or a name of none.
    """

    def __init__(
        self,
        name: str,
        role: int,
        levels: tuple[int, ...],
        fields: Sequence[Field],
        may_set: Sequence[str] = (),
        may_clear: Sequence[str] = (),
    ) -> None:
        _check_fields(name, fields)
        _check_role(name, role, fields)
        self.name: str = name
        self.role: int = role
        self.levels: tuple[int, ...] = levels
        self.fields: tuple[Field, ...] = tuple(fields)
        self.mask: int = _mask_of(fields, FIXED)
        """Held; the bits that identify the kind."""
        self.match: int = _fixed_values(fields)
        """Held; their values: a word is of this kind if ``word & mask == match``."""
        self.attributes: int = _mask_of(fields, ATTRIBUTE)
        """Held; the bits on which the access depends."""
        self.ignored: int = _mask_of(fields, IGNORED) | _mask_of(fields, ELSEWHERE)
        """Held; the bits that the hardware does not look at."""
        self.live_set: int = self.ignored | _encoded_mask(name, fields, may_set)
        """Held; the bits that may go from 0 to 1 in a valid entry with no invalid one between."""
        self.live_clear: int = self.ignored | _encoded_mask(name, fields, may_clear)
        """Held; the bits that may go from 1 to 0 likewise."""
        self.address: int = _mask_of(fields, ADDRESS)
        """Held; the bits of the word that hold the address."""
        self.address_bits: int = 0
        """The bits of an address that the entry can hold."""
        self.address_up: int = 0
        """How far the address is shifted up from its place in the word; below 0: down."""
        for field in fields:
            if field.use == ADDRESS:
                self.address_up = field.address_low - field.low
                self.address_bits = _ones(field.high + self.address_up, field.address_low)

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

    def may_change(self, old: int, new: int) -> bool:
        """Whether a valid ``old`` may become ``new``, both held and of this kind, as it is.

        That is without break-before-make: an invalid entry, and an invalidation, between.
        """
        return not new & ~old & ~self.live_set and not old & ~new & ~self.live_clear

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


def _check_fields(name: str, fields: Sequence[Field]) -> None:
    """Every bit once, from 63 down to 0, and names of their own for what is encoded.

    Raises:
        ValueError: it is not so.
    """
    expected = 63
    names: set[str] = set()
    for field in fields:
        if field.high != expected:
            raise ValueError(
                f"fields of kind {name} have {field.name} {field.position} where bit "
                f"{expected} comes next; allowed is each bit once, from 63 to 0"
            )
        expected = field.low - 1
        if field.use in (ATTRIBUTE, HINT):
            if field.name in names:
                raise ValueError(f"fields of kind {name} have {field.name} twice")
            names.add(field.name)
    if expected != -1:
        raise ValueError(f"fields of kind {name} end above bit {expected}; allowed is 0")


def _check_role(name: str, role: int, fields: Sequence[Field]) -> None:
    """A role that there is, with as many addresses as it has.

    Raises:
        ValueError: it is not so.
    """
    if not INVALID <= role <= HOLE:
        raise ValueError(f"role of kind {name} is {role}; allowed are 0 to {HOLE}")
    addresses = len([field for field in fields if field.use == ADDRESS])
    if addresses != (1 if role in (TABLE, LEAF) else 0):
        raise ValueError(
            f"fields of kind {name} have {addresses} addresses; allowed is one in a table "
            "or leaf and none in others"
        )


def _mask_of(fields: Sequence[Field], use: int) -> int:
    """The held word with all bits of fields of this use set."""
    mask = 0
    for field in fields:
        if field.use == use:
            mask |= field.mask
    return mask


def _fixed_values(fields: Sequence[Field]) -> int:
    """The held word with the values of all FIXED fields, and zeros elsewhere."""
    word = 0
    for field in fields:
        if field.use == FIXED:
            word |= field.put(field.match)
    return word


def _encoded_mask(kind: str, fields: Sequence[Field], names: Sequence[str]) -> int:
    """The held word with all bits of the attributes and hints of these names set.

    Raises:
        ValueError: there is no attribute or hint of some name.
    """
    mask = 0
    encoded = {field.name: field.mask for field in fields if field.use in (ATTRIBUTE, HINT)}
    for name in names:
        if name not in encoded:
            raise ValueError(
                f"fields of kind {kind} that may change have {name}; allowed are "
                f"{', '.join(encoded)}"
            )
        mask |= encoded[name]
    return mask


# -- halves -----------------------------------------------------------------------------


@final
class Candidate:
    """One kind that a half can be, with what is looked at for every word as native numbers."""

    def __init__(self, kind: EntryKind) -> None:
        self.kind: EntryKind = kind
        self.role: i64 = kind.role
        self.mask: i64 = kind.mask
        """The bits that identify the kind."""
        self.match: i64 = kind.match
        """Their values."""
        self.heeded: i64 = ~kind.ignored
        """The bits that the hardware looks at."""
        self.attributes: i64 = kind.attributes
        """The bits on which the access depends."""
        self.address: i64 = kind.address
        """The bits of the word that hold the address."""
        self.bits: i64 = kind.address_bits
        """The bits of an address that it can hold."""
        self.up: i64 = max(kind.address_up, 0)
        """How far the address is shifted up from its place in the word."""
        self.down: i64 = max(-kind.address_up, 0)
        """How far it is shifted down."""
        self.aperture_low: i64 = _low_of(kind, "aperture")
        """The lowest bit of the field that says in which memory the address is; 0: none does."""
        self.meanings: dict[int, int] = {}
        """What was found so far: attribute bits to what a leaf with these grants."""

    def output(self, word: i64) -> i64:
        """The address in a held word of this kind; 0 where it has none."""
        if self.down:
            # The shift is arithmetic; the mask removes the copies of the sign.
            return (word >> self.down) & self.bits
        return (word & self.address) << self.up


def _low_of(kind: EntryKind, name: str) -> int:
    """The lowest bit of the field of this name; 0 where there is none."""
    for field in kind.fields:
        if field.name == name:
            return field.low
    return 0


@final
class Half:
    """What an entry says about one table or page.

    Args:
        name: "" where an entry has one half; else "large" or "small".
        word: which word of the entry it is in, 0 or 1.
        child: number of the level of the table that it can lead to; -1: it leads to none.
        kinds: what it can be, in order: it is of the first that holds the word.

    Raises:
        ValueError: some word is of no kind.
    """

    def __init__(self, name: str, word: int, child: int, kinds: Sequence[EntryKind]) -> None:
        if not kinds or not (kinds[-1].mask == 0 or _parted(kinds) or is_partition(kinds)):
            raise ValueError(f"kinds of half {name!r} do not cover every word")
        self.name: str = name
        self.word: i64 = word
        self.child: i64 = child
        self.kinds: tuple[EntryKind, ...] = tuple(kinds)
        self.candidates: list[Candidate] = [Candidate(kind) for kind in kinds]

    def candidate(self, word: i64) -> Candidate:
        """The candidate that a held word is."""
        for one in self.candidates:
            if (word & one.mask) == one.match:
                return one
        return self.candidates[-1]

    def role(self, word: i64) -> i64:
        """INVALID, TABLE, LEAF, SPARSE or HOLE: what a held word is to this half."""
        return self.candidate(word).role

    def output(self, word: i64) -> i64:
        """The address of the page or table that a held word leads to; 0 where it has none."""
        return self.candidate(word).output(word)

    def aperture(self, word: i64) -> i64:
        """What a held word says of which memory it leads to, where there is a field that does."""
        return (word >> self.candidate(word).aperture_low) & 3

    def kind_with(self, role: int) -> EntryKind | None:
        """The first kind of this role; None if there is none."""
        for kind in self.kinds:
            if kind.role == role:
                return kind
        return None

    def __repr__(self) -> str:
        name = f"{self.name}: " if self.name else ""
        return f"Half({name}{', '.join(kind.name for kind in self.kinds)})"


def _parted(kinds: Sequence[EntryKind]) -> bool:
    """Whether there are kinds with no fixed field but bit 0 for both of its values."""
    plain = [kind.match for kind in kinds if kind.mask == 1]
    return 0 in plain and 1 in plain


def overlap(kinds: Sequence[EntryKind]) -> tuple[EntryKind, EntryKind] | None:
    """Two of the kinds that some word is both of; None if there are none."""
    for i, kind in enumerate(kinds):
        for other in kinds[i + 1 :]:
            if not (kind.match ^ other.match) & kind.mask & other.mask:
                return kind, other
    return None


def is_partition(kinds: Sequence[EntryKind]) -> bool:
    """Whether each word is of exactly one of the kinds."""
    share = 0
    for kind in kinds:
        share += 1 << (64 - to_unsigned(kind.mask).bit_count())
    return share == 1 << 64 and overlap(kinds) is None


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
