"""What a page-table entry is made of: fields, kinds of entry, and readings of a word.

Words and addresses are *held* (see ``reference.words``): two's complement, so
that 64 bits fit a native signed integer. Addresses below 2**63 are themselves.
"""

from collections.abc import Sequence
from typing import Final, final

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
