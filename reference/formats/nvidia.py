"""NVIDIA's page tables, from Fermi (GF100) to Hopper (GH100): pages of several sizes side by side.

A walk goes through *page directories* down to one last directory entry, which leads to two
tables at once: the *large* one (LPT, 64 or 128 KiB a page) and the *small* one (SPT, 4 KiB a
page). The large table is looked at first. Where its entry is unmapped the small table decides;
where it holds the *hole* marker (GK104 and later) the small table is not looked at. From GM200
on an entry may be *sparse*: reads give zeros, and writes are dropped. From GP100 on a directory
entry may be a page itself.

That does not fit the levels of ``format.py``, where each has one kind of table. So a format is a
list of *tables* here, numbered from the root down, the large table before the small one; and
an entry has one or two *halves*, each of which can be one of a list of kinds. Halves of GF100's
directory entries share one word; those of GP100's last directory have a word each. A half is of
the first kind in its list whose fixed fields the word has.

What a page grants is one number, the same for all generations: its *meaning* (access, aperture,
peer, kind of storage). Words are held (see ``reference.words``).

NVIDIA has published headers (dev_mmu) for these entries; the layouts here are those of the
headers and of the nouveau driver. What a device makes of entries that are not valid and are none
of the markers is written nowhere; they are called ``not valid`` here.
"""

from collections.abc import Callable, Sequence
from typing import Final, final

from mypy_extensions import i64

from reference.formats.entry import (
    ADDRESS,
    ATTRIBUTE,
    ELSEWHERE,
    FIXED,
    HINT,
    HOLE,
    IGNORED,
    INVALID,
    LEAF,
    RESERVED,
    SPARSE,
    TABLE,
    EntryKind,
    Field,
    Reading,
)
from reference.words import hex_word, to_signed

# -- meaning: what a page says beside its address ---------------------------------------

READ_ONLY: Final = 1
PRIVILEGED: Final = 2
"""For privileged accesses only."""
VOLATILE: Final = 4
"""Not cached in the GPU's L2: system memory that the CPU shares."""
NO_ATOMIC: Final = 8
ENCRYPTED: Final = 0x10
NO_READ: Final = 0x20
NO_WRITE: Final = 0x40
LOCKED: Final = 0x80

ACCESS_MASK: Final = 0xFF
ACCESS_NAMES: Final = (
    "read-only",
    "privileged",
    "volatile",
    "no-atomic",
    "encrypted",
    "no-read",
    "no-write",
    "locked",
)
"""Name of each access bit, from bit 0."""

VRAM: Final = 0
"""The GPU's own memory."""
PEER: Final = 1
"""The memory of another GPU."""
HOST: Final = 2
"""System memory, coherent with the CPU's caches."""
NCOH: Final = 3
"""System memory, not coherent."""

APERTURE_NAMES: Final = ("vram", "peer", "host", "ncoh")
"""By the number that a page's aperture field holds. Directory entries have 1 for vram."""

_APERTURE_UP: Final = 8
_PEER_UP: Final = 10
_STORAGE_UP: Final = 16


def meaning_of(aperture: int, access: int = 0, storage: int = 0, peer: int = 0) -> int:
    """One number for what a page says beside its address.

    ``aperture``: VRAM to NCOH; ``access``: READ_ONLY to LOCKED, or'ed; ``storage``: the kind of
    storage (layout and compression), 0 to 255, 0 linear; ``peer``: which GPU, 0 to 7.

    Raises:
        ValueError: one of them is outside that.
    """
    for name, value, limit in (
        ("aperture", aperture, 4),
        ("access", access, ACCESS_MASK + 1),
        ("storage", storage, 256),
        ("peer", peer, 8),
    ):
        if not 0 <= value < limit:
            raise ValueError(f"{name} is {value:#x}; allowed are 0 to {limit - 1:#x}")
    return access | aperture << _APERTURE_UP | peer << _PEER_UP | storage << _STORAGE_UP


def access_in(meaning: i64) -> i64:
    """The access of a meaning: READ_ONLY to LOCKED, or'ed."""
    return meaning & ACCESS_MASK


def aperture_in(meaning: i64) -> i64:
    """The aperture of a meaning: VRAM, PEER, HOST or NCOH."""
    return (meaning >> _APERTURE_UP) & 3


def peer_in(meaning: i64) -> i64:
    """The peer of a meaning, 0 to 7; 0 where the aperture is not PEER."""
    return (meaning >> _PEER_UP) & 7


def storage_in(meaning: i64) -> i64:
    """The kind of storage of a meaning, 0 to 255."""
    return (meaning >> _STORAGE_UP) & 0xFF


def meaning_text(meaning: int) -> str:
    """A meaning in words: "vram", "host volatile read-only", "vram kind 0xfe"."""
    parts = [APERTURE_NAMES[aperture_in(meaning)]]
    if aperture_in(meaning) == PEER:
        parts[0] += f" {peer_in(meaning)}"
    parts += [name for i, name in enumerate(ACCESS_NAMES) if meaning >> i & 1]
    if storage_in(meaning):
        parts.append(f"kind {storage_in(meaning):#x}")
    return " ".join(parts)


# -- tables -----------------------------------------------------------------------------


@final
class _Candidate:
    """One kind that a half can be, with what is looked at for every word as native numbers."""

    def __init__(self, kind: EntryKind) -> None:
        self.kind: EntryKind = kind
        self.role: i64 = kind.role
        self.mask: i64 = kind.mask
        self.match: i64 = kind.match
        self.heeded: i64 = ~kind.ignored
        self.attributes: i64 = kind.attributes
        self.address: i64 = kind.address
        self.bits: i64 = kind.address_bits
        self.up: i64 = max(kind.address_up, 0)
        self.down: i64 = max(-kind.address_up, 0)
        self.aperture_low: i64 = _aperture_low(kind)
        self.meanings: dict[int, int] = {}


def _aperture_low(kind: EntryKind) -> int:
    """The lowest bit of a kind's aperture; 0 where it has none."""
    for field in kind.fields:
        if field.name == "aperture":
            return field.low
    return 0


@final
class Half:
    """One reading of a directory or table entry: what it says about one table or page.

    Args:
        name: "" where an entry has one half; else "large" or "small".
        word: which word of the entry it is in, 0 or 1.
        child: number of the table that it can lead to; -1: it leads to none.
        kinds: what it can be, in order: it is of the first that holds the word.

    Raises:
        ValueError: not every word is of a kind.
    """

    def __init__(self, name: str, word: int, child: int, kinds: Sequence[EntryKind]) -> None:
        candidates = [_Candidate(kind) for kind in kinds]
        if not candidates or not (kinds[-1].mask == 0 or _covers(kinds)):
            raise ValueError(f"kinds of half {name!r} do not cover every word")
        self.name: str = name
        self.word: i64 = word
        self.child: i64 = child
        self.kinds: tuple[EntryKind, ...] = tuple(kinds)
        self.candidates: list[_Candidate] = candidates

    def candidate(self, word: i64) -> _Candidate:
        """The candidate that a held word is."""
        for one in self.candidates:
            if (word & one.mask) == one.match:
                return one
        return self.candidates[-1]

    def kind_with(self, role: int) -> EntryKind | None:
        """The first kind of this role; None if there is none."""
        for kind in self.kinds:
            if kind.role == role:
                return kind
        return None


def _covers(kinds: Sequence[EntryKind]) -> bool:
    """Whether kinds with no fixed field but bit 0 are there for both of its values."""
    plain = [kind.match for kind in kinds if kind.mask == 1]
    return 0 in plain and 1 in plain


@final
class TableType:
    """A directory or table: how many entries, what one translates, what it can be.

    Args:
        number: 0 is the root.
        name: "PD0", "LPT", ...
        shift: log2 of the bytes that one entry translates.
        bits: log2 of the number of entries.
        words: 64-bit words in an entry, 1 or 2.
        halves: one, or the large and the small one.
    """

    def __init__(
        self, number: int, name: str, shift: int, bits: int, words: int, halves: Sequence[Half]
    ) -> None:
        self.number: i64 = number
        self.name: str = name
        self.shift: i64 = shift
        self.span: i64 = 1 << shift
        self.bits: i64 = bits
        self.entries: i64 = 1 << bits
        self.index_mask: i64 = (1 << bits) - 1
        self.words: i64 = words
        self.bytes: i64 = (8 * words) << bits
        self.halves: list[Half] = list(halves)
        self.first: Half = halves[0]
        self.has_children: bool = any(half.child >= 0 for half in halves)

    def __repr__(self) -> str:
        return f"TableType({self.number} {self.name}, shift {self.shift}, {self.entries} entries)"


@final
class Page:
    """A page size: log2 of its bytes, the tables on the way to its entry, what it may hold.

    ``chain``: numbers of tables, the entry's own first, the root last. ``sparse``, ``vram``,
    ``host``, ``compressed``: whether an entry of this size can be sparse, be a page in the GPU's
    memory, a page in system memory, a page of compressed storage. ``listed``: log2 of the size
    as nouveau's table has it, where that differs from what the entry translates.
    """

    def __init__(
        self,
        shift: int,
        chain: tuple[int, ...],
        sparse: bool,
        vram: bool,
        host: bool,
        compressed: bool,
        listed: int = 0,
    ) -> None:
        self.shift: i64 = shift
        self.chain: tuple[int, ...] = chain
        self.table: i64 = chain[0]
        self.sparse: bool = sparse
        self.vram: bool = vram
        self.host: bool = host
        self.compressed: bool = compressed
        self.listed: i64 = listed or shift

    def __repr__(self) -> str:
        return f"Page(shift {self.shift}, chain {self.chain})"


@final
class NvidiaFormat:
    """The page tables of one generation with one size of large page.

    Args:
        name, title, source: as in ``format.Format``.
        tables: from the root down, the large table before the small one.
        pages: largest first.
        page_fields: attributes and hints of a page, by name, for a meaning.
        page_meaning: the meaning of a page's fields, the fixed ones included.
        directory_fields: attributes of a directory entry for a table in this aperture.
        access: the access bits that a page can express.
        storage: the highest kind of storage that it can express.
    """

    def __init__(
        self,
        name: str,
        title: str,
        source: str,
        tables: Sequence[TableType],
        pages: Sequence[Page],
        page_fields: Callable[[int], dict[str, int]],
        page_meaning: Callable[[dict[str, int]], int],
        directory_fields: Callable[[int], dict[str, int]],
        access: int,
        storage: int,
    ) -> None:
        root = tables[0]
        self.name: str = name
        self.title: str = title
        self.source: str = source
        self.tables: list[TableType] = list(tables)
        self.pages: tuple[Page, ...] = tuple(pages)
        self.va_bits: int = int(root.shift + root.bits)
        self.limit: i64 = 1 << self.va_bits
        self.large: i64 = len(tables) - 2
        """Number of the large table."""
        self.small: i64 = len(tables) - 1
        """Number of the small table."""
        self.last_directory: i64 = len(tables) - 3
        """Number of the directory whose entries lead to both."""
        self.page_fields: Callable[[int], dict[str, int]] = page_fields
        self.page_meaning: Callable[[dict[str, int]], int] = page_meaning
        self.directory_fields: Callable[[int], dict[str, int]] = directory_fields
        self.access: int = access
        self.storage: int = storage
        # Pages without their address, by table and meaning.
        self.known_pages: list[dict[int, tuple[EntryKind, int]]] = [{} for _ in tables]

    # -- what is asked for every word -------------------------------------------------------

    def index(self, table: i64, va: i64) -> i64:
        """Which entry of a table of this number an input address uses."""
        one = self.tables[table]
        return (va >> one.shift) & one.index_mask

    def role(self, half: Half, word: i64) -> i64:
        """INVALID, TABLE, LEAF, SPARSE or HOLE: what a half of this word is."""
        return half.candidate(word).role

    def output(self, half: Half, word: i64) -> i64:
        """The address of the page or table in a half of this word; 0 where it has none."""
        one = half.candidate(word)
        if one.down:
            return (word >> one.down) & one.bits
        return (word & one.address) << one.up

    def meaning(self, half: Half, word: i64) -> i64:
        """The meaning of a page; 0 for what is none."""
        one = half.candidate(word)
        if one.role != LEAF:
            return 0
        chosen = word & one.attributes
        known = one.meanings.get(chosen)
        if known is None:
            known = self.page_meaning({f.name: f.get(word) for f in one.kind.fields})
            one.meanings[chosen] = known
        return known

    def address_in(self, table: TableType, word: i64) -> i64:
        """The bits that hold the address in a page of this table."""
        return table.first.candidate(word).address

    def page_step(self, table: TableType, word: i64) -> i64:
        """What to add to a page of this table for one that leads to the memory after it."""
        return table.span >> table.first.candidate(word).up

    def aperture(self, half: Half, word: i64) -> i64:
        """Where the table is that a half of this word leads to: VRAM, HOST or NCOH."""
        one = half.candidate(word)
        number: i64 = (word >> one.aperture_low) & 3
        return VRAM if number == 1 else number

    def same(self, table: i64, part: i64, old: i64, new: i64) -> bool:
        """Whether two words say the same to the device as word ``part`` of an entry.

        Bits that it ignores do not count.
        """
        if old == new:
            return True
        for half in self.tables[table].halves:
            if half.word == part:
                one = half.candidate(old)
                if half.candidate(new) is not one or (old ^ new) & one.heeded:
                    return False
        return True

    # -- encoding ---------------------------------------------------------------------------

    def page(self, table: i64, pa: i64, meaning: i64) -> i64:
        """The word (the first, of two) of a page at ``pa`` in a table of this number, held.

        Raises:
            ValueError: no pages there, a ``pa`` that is misaligned or too large, or a meaning
                that the entry cannot express.
        """
        known = self.known_pages[table].get(meaning)
        if known is None:
            known = self._new_page(table, meaning)
            self.known_pages[table][meaning] = known
        kind, word = known
        if pa & (self.tables[table].span - 1):
            raise ValueError(
                f"pa is {pa:#x}; allowed are multiples of {self.tables[table].span:#x}"
            )
        return word | kind.place(pa)

    def sparse(self, table: i64) -> i64:
        """The word (the first, of two; the second is 0) of a sparse entry.

        Raises:
            ValueError: entries of this table cannot be sparse.
        """
        return self._marker(table, SPARSE)

    def hole(self, table: i64) -> i64:
        """The word that says that the small table is not to be looked at.

        Raises:
            ValueError: the table has no such entries.
        """
        return self._marker(table, HOLE)

    def can_be_sparse(self, table: i64) -> bool:
        """Whether entries of this table can be sparse."""
        return self.tables[table].first.kind_with(SPARSE) is not None

    def has_hole(self) -> bool:
        """Whether the large table can keep a walk from the small one."""
        return self.tables[self.large].first.kind_with(HOLE) is not None

    def directory(
        self, table: i64, first: i64, second: i64 = -1, aperture: int = VRAM
    ) -> list[int]:
        """The words of a directory entry, as many as it has.

        Args:
            table: number of the directory that the entry is in.
            first: address of the next table, or of the large table; -1 for none.
            second: address of the small table; -1 for none, as in directories with one half.
            aperture: where the tables are: VRAM, HOST or NCOH.

        Raises:
            ValueError: no such directory, aperture or half, or an address that does not fit.
        """
        one = self.tables[table]
        if not one.has_children or aperture not in (VRAM, HOST, NCOH):
            raise ValueError(
                f"table, aperture are {table}, {aperture}; allowed for {self.name} are tables "
                f"0 to {self.last_directory}, apertures {VRAM}, {HOST} and {NCOH}"
            )
        if second >= 0 and len(one.halves) == 1:
            raise ValueError(f"second is {second:#x}; entries of {one.name} lead to one table")
        found = [0] * one.words
        fields = self.directory_fields(aperture)
        for half, pa in zip(one.halves, (first, second), strict=False):
            kind = half.kind_with(TABLE)
            if pa >= 0 and kind is not None:
                word = _encode(kind, fields) | kind.place(pa)
                found[half.word] = to_signed(found[half.word] | word)
        return found

    # -- for people -------------------------------------------------------------------------

    def kinds_of(self, table: int, words: Sequence[int]) -> list[EntryKind]:
        """The kind of each half of an entry, whose words are held or not.

        Raises:
            ValueError: there is no such table, or the number of words is not the entry's.
        """
        held = self._held(table, words)
        return [half.candidate(held[half.word]).kind for half in self.tables[table].halves]

    def decode(self, word: int, table: int | None = None) -> list[Reading]:
        """Every reading of a 64-bit word, held or not: one for each kind that a half can be.

        Where entries have two words, the word is read as either. With ``table``, the readings
        in that table.

        Raises:
            ValueError: ``word`` has more than 64 bits, or there is no such table.
        """
        held = to_signed(word)
        if table is not None and not 0 <= table < len(self.tables):
            raise ValueError(
                f"table is {table}; allowed for {self.name} are 0 to {len(self.tables) - 1}"
            )
        kinds: list[EntryKind] = []
        numbers: list[list[int]] = []
        for number, one in enumerate(self.tables):
            if table is not None and number != table:
                continue
            for half in one.halves:
                kind = half.candidate(held).kind
                if kind not in kinds:
                    kinds.append(kind)
                    numbers.append([number])
                elif number not in numbers[kinds.index(kind)]:
                    numbers[kinds.index(kind)].append(number)
        return [Reading(kind, tuple(at), held) for kind, at in zip(kinds, numbers, strict=True)]

    def describe(self, table: int, words: Sequence[int]) -> str:
        """One line that says what an entry is: "large table pa=0x105000 aperture=vram; ...".

        Raises:
            ValueError: as :meth:`kinds_of`.
        """
        held = self._held(table, words)
        parts: list[str] = []
        for half, kind in zip(self.tables[table].halves, self.kinds_of(table, words), strict=True):
            text = kind.describe(held[half.word])
            parts.append(f"{half.name}: {text}" if half.name else text)
        return "; ".join(parts)

    def page_of_shift(self, shift: int) -> Page | None:
        """The page size of 2**shift bytes; None if there is none."""
        for page in self.pages:
            if page.shift == shift:
                return page
        return None

    def __repr__(self) -> str:
        return f"NvidiaFormat({self.name})"

    # -- behind the above -------------------------------------------------------------------

    def _held(self, table: int, words: Sequence[int]) -> list[int]:
        if not 0 <= table < len(self.tables):
            raise ValueError(
                f"table is {table}; allowed for {self.name} are 0 to {len(self.tables) - 1}"
            )
        one = self.tables[table]
        if len(words) != one.words:
            raise ValueError(
                f"words are {[hex_word(word) for word in words]}; entries of {one.name} of "
                f"{self.name} have {one.words}"
            )
        return [to_signed(word) for word in words]

    def _new_page(self, table: i64, meaning: int) -> tuple[EntryKind, int]:
        access = meaning & ACCESS_MASK
        if access & ~self.access or storage_in(meaning) > self.storage:
            raise ValueError(
                f"meaning is {meaning_text(meaning)}; {self.name} has access bits "
                f"{self.access:#x} and kinds up to {self.storage:#x}"
            )
        fields = self.page_fields(meaning)
        one = self.tables[table]
        for kind in one.first.kinds:
            if kind.role == LEAF:
                word = _encode(kind, fields)
                if (
                    self.meaning(one.first, word) == meaning
                    and one.first.candidate(word).kind is kind
                ):
                    return kind, word
        raise ValueError(
            f"table, meaning are {one.name}, {meaning_text(meaning)}; {self.name} has no such pages"
        )

    def _marker(self, table: i64, role: int) -> i64:
        one = self.tables[table]
        kind = one.first.kind_with(role)
        if kind is None:
            what = "sparse entries" if role == SPARSE else "holes"
            raise ValueError(f"table is {one.name}; {self.name} has no {what} there")
        return kind.match


def _encode(kind: EntryKind, fields: dict[str, int]) -> int:
    """The word of a kind with those of the fields that it has and that are not fixed."""
    wanted = {f.name for f in kind.fields if f.use in (ATTRIBUTE, HINT)}
    return kind.encode({name: value for name, value in fields.items() if name in wanted})


# -- what several generations share -----------------------------------------------------

_HEADERS: Final = "NVIDIA's dev_mmu headers"
_APERTURE_TEXT: Final = {0: "vram", 1: "peer", 2: "host", 3: "ncoh"}
_TABLE_TEXT: Final = {0: "none", 1: "vram", 2: "host", 3: "ncoh"}


def _reserved(high: int, low: int, source: str) -> Field:
    return Field("reserved", high, low, RESERVED, "no use known", source)


def _ignored(high: int, low: int, source: str) -> Field:
    return Field("ignored", high, low, IGNORED, "not looked at", source)


def _alone(
    name: str, role: int, tables: tuple[int, ...], bit: int, field: str, what: str, source: str
) -> EntryKind:
    """A kind that is one word: that with this bit alone, or with none (``bit`` -1)."""
    fields = []
    if bit < 0:
        fields.append(Field("zero", 63, 0, FIXED, what, source))
    else:
        if bit < 63:
            fields.append(Field("zero", 63, bit + 1, FIXED, "nothing else", source))
        fields.append(Field(field, bit, bit, FIXED, what, source, match=1))
        if bit > 0:
            fields.append(Field("zero", bit - 1, 0, FIXED, "nothing else; not valid", source))
    return EntryKind(name, role, tables, fields)


def _not_valid(name: str, role: int, tables: tuple[int, ...], source: str) -> EntryKind:
    """What is not valid, and none of the markers."""
    return EntryKind(
        name,
        role,
        tables,
        [
            Field("rest", 63, 1, IGNORED, "what the device makes of it is written nowhere", source),
            Field("valid", 0, 0, FIXED, "no page", source),
        ],
    )


# -- GF100, GK104, GM200 ----------------------------------------------------------------

_GF100: Final = "Linux nouveau, vmmgf100.c"
_GK104: Final = "Linux nouveau, vmmgk104.c"
_GM200: Final = "Linux nouveau, vmmgm200.c"

_GF_PGD: Final = 0
_GF_LPT: Final = 1
_GF_SPT: Final = 2

_GF_ACCESS: Final = READ_ONLY | PRIVILEGED | VOLATILE | ENCRYPTED | NO_READ | NO_WRITE | LOCKED


def _gf_page() -> EntryKind:
    return EntryKind(
        "page",
        LEAF,
        (_GF_LPT, _GF_SPT),
        [
            Field("write-disable", 63, 63, ATTRIBUTE, "writing faults", _HEADERS),
            Field("read-disable", 62, 62, ATTRIBUTE, "reading faults", _HEADERS),
            _reserved(61, 61, _HEADERS),
            Field("comptag", 60, 44, HINT, "compression tag line", _GF100, {0: ""}),
            Field("kind", 43, 36, ATTRIBUTE, "kind of storage", _GF100, {0: ""}),
            Field("lock", 35, 35, ATTRIBUTE, "locked", _HEADERS),
            Field("aperture", 34, 33, ATTRIBUTE, "which memory", _GF100, _APERTURE_TEXT),
            Field("VOL", 32, 32, ATTRIBUTE, "volatile", _GF100),
            Field("address", 31, 4, ADDRESS, "output address", _GF100, address_low=12),
            Field("encrypted", 3, 3, ATTRIBUTE, "encrypted", _HEADERS),
            Field("read-only", 2, 2, ATTRIBUTE, "writing faults", _GF100),
            Field("privileged", 1, 1, ATTRIBUTE, "for privileged accesses only", _GF100),
            Field("valid", 0, 0, FIXED, "page", _GF100, match=1),
        ],
    )


def _gf_page_fields(meaning: int) -> dict[str, int]:
    """GF100's fields of a page for a meaning."""
    return {
        "write-disable": bool(meaning & NO_WRITE),
        "read-disable": bool(meaning & NO_READ),
        "kind": storage_in(meaning),
        "lock": bool(meaning & LOCKED),
        "aperture": aperture_in(meaning),
        "VOL": bool(meaning & VOLATILE),
        "encrypted": bool(meaning & ENCRYPTED),
        "read-only": bool(meaning & READ_ONLY),
        "privileged": bool(meaning & PRIVILEGED),
    }


def _gf_page_meaning(values: dict[str, int]) -> int:
    """The meaning of GF100's fields. Which peer a page of a peer is on is written nowhere."""
    access = 0
    for name, flag in (
        ("write-disable", NO_WRITE),
        ("read-disable", NO_READ),
        ("lock", LOCKED),
        ("VOL", VOLATILE),
        ("encrypted", ENCRYPTED),
        ("read-only", READ_ONLY),
        ("privileged", PRIVILEGED),
    ):
        if values[name]:
            access |= flag
    return meaning_of(values["aperture"], access, values["kind"])


def _gf_directory_fields(aperture: int) -> dict[str, int]:
    return {"aperture": 1 if aperture == VRAM else aperture, "VOL": int(aperture == HOST)}


def _gf_large_half(sparse: bool) -> list[EntryKind]:
    """The large table's half of a directory entry: bits 31:0, and bit 35."""
    other = Field("small", 63, 36, ELSEWHERE, "the small table's address", _GF100)
    small_low = Field("small", 34, 32, ELSEWHERE, "the small table's VOL and aperture", _GF100)
    found = []
    if sparse:
        found.append(
            EntryKind(
                "sparse",
                SPARSE,
                (_GF_PGD,),
                [
                    other,
                    Field("VOL", 35, 35, FIXED, "sparse, with no table", _GM200, match=1),
                    small_low,
                    Field("zero", 31, 0, FIXED, "no table", _GM200),
                ],
            )
        )
    found.append(
        EntryKind(
            "no table",
            INVALID,
            (_GF_PGD,),
            [
                other,
                Field("VOL", 35, 35, IGNORED, "not looked at", _GF100),
                small_low,
                _ignored(31, 2, _GF100),
                Field("aperture", 1, 0, FIXED, "no table", _GF100),
            ],
        )
    )
    found.append(
        EntryKind(
            "table",
            TABLE,
            (_GF_PGD,),
            [
                other,
                Field("VOL", 35, 35, ATTRIBUTE, "volatile", _GF100),
                small_low,
                Field("address", 31, 4, ADDRESS, "large table", _GF100, address_low=12),
                _reserved(3, 2, _GF100),
                Field("aperture", 1, 0, ATTRIBUTE, "which memory", _GF100, _TABLE_TEXT),
            ],
        )
    )
    return found


def _gf_small_half() -> list[EntryKind]:
    """The small table's half of a directory entry: bits 63:32 without bit 35."""
    large_low = Field("large", 31, 0, ELSEWHERE, "the large table's half", _GF100)
    large_volatile = Field("large", 35, 35, ELSEWHERE, "the large table's VOL", _GF100)
    none = EntryKind(
        "no table",
        INVALID,
        (_GF_PGD,),
        [
            _ignored(63, 36, _GF100),
            large_volatile,
            Field("VOL", 34, 34, IGNORED, "not looked at", _GF100),
            Field("aperture", 33, 32, FIXED, "no table", _GF100),
            large_low,
        ],
    )
    table = EntryKind(
        "table",
        TABLE,
        (_GF_PGD,),
        [
            Field("address", 63, 36, ADDRESS, "small table", _GF100, address_low=12),
            large_volatile,
            Field("VOL", 34, 34, ATTRIBUTE, "volatile", _GF100),
            Field("aperture", 33, 32, ATTRIBUTE, "which memory", _GF100, _TABLE_TEXT),
            large_low,
        ],
    )
    return [none, table]


def _gf_format(
    chip: str, title: str, source: str, large: int, hole: bool, sparse: bool
) -> NvidiaFormat:
    """GF100's tables with large pages of 2**large bytes, with what later chips added."""
    tables = (_GF_LPT, _GF_SPT)
    zero = _alone("unmapped", INVALID, tables, -1, "", "nothing", _GF100)
    sparse_page = _alone("sparse", SPARSE, tables, 32, "VOL", "sparse", _GM200)
    marker = _alone(
        "hole", HOLE, tables, 1, "privileged", "the small table is not looked at", _GK104
    )
    large_kinds = [_gf_page()]
    small_kinds = [_gf_page()]
    if hole:
        large_kinds += [zero, marker]
        small_kinds.append(zero)
    if sparse:
        large_kinds.append(sparse_page)
        small_kinds.append(sparse_page)
    # Before there were markers, what is not valid is simply nothing.
    name = "not valid" if hole else "unmapped"
    large_kinds.append(_not_valid(name, HOLE if hole else INVALID, tables, _GF100))
    small_kinds.append(_not_valid(name, INVALID, tables, _GF100))
    halves = [
        Half("large", 0, _GF_LPT, _gf_large_half(sparse)),
        Half("small", 0, _GF_SPT, _gf_small_half()),
    ]
    pages = [
        Page(large, (_GF_LPT, _GF_PGD), sparse, True, False, True),
        Page(12, (_GF_SPT, _GF_PGD), sparse, True, True, False),
    ]
    if sparse:
        pages.insert(0, Page(large + 10, (_GF_PGD,), True, False, False, False, listed=27))
    return NvidiaFormat(
        name=f"{chip}-{1 << (large - 10)}k",
        title=f"{title}, {1 << (large - 10)} KiB large pages",
        source=source,
        tables=[
            TableType(_GF_PGD, "PGD", large + 10, 30 - large, 1, halves),
            TableType(_GF_LPT, "LPT", large, 10, 1, [Half("", 0, -1, large_kinds)]),
            TableType(_GF_SPT, "SPT", 12, large - 2, 1, [Half("", 0, -1, small_kinds)]),
        ],
        pages=pages,
        page_fields=_gf_page_fields,
        page_meaning=_gf_page_meaning,
        directory_fields=_gf_directory_fields,
        access=_GF_ACCESS,
        storage=0xFF,
    )


_GF100_TITLE: Final = "NVIDIA Fermi (GF100)"
_GK104_TITLE: Final = "NVIDIA Kepler (GK104)"
_GM200_TITLE: Final = "NVIDIA Maxwell (GM200)"
_GK104_SOURCE: Final = f"{_GF100}; {_GK104}; {_HEADERS}"
_GM200_SOURCE: Final = f"{_GF100}; {_GK104}; {_GM200}; {_HEADERS}"

GF100_128K: Final = _gf_format("gf100", _GF100_TITLE, f"{_GF100}; {_HEADERS}", 17, False, False)
GF100_64K: Final = _gf_format("gf100", _GF100_TITLE, f"{_GF100}; {_HEADERS}", 16, False, False)
GK104_128K: Final = _gf_format("gk104", _GK104_TITLE, _GK104_SOURCE, 17, True, False)
GK104_64K: Final = _gf_format("gk104", _GK104_TITLE, _GK104_SOURCE, 16, True, False)
GM200_128K: Final = _gf_format("gm200", _GM200_TITLE, _GM200_SOURCE, 17, True, True)
GM200_64K: Final = _gf_format("gm200", _GM200_TITLE, _GM200_SOURCE, 16, True, True)
"""Nouveau lists the directory's entry as a page of 128 MiB here; it translates 64 MiB."""


# -- GP100 ------------------------------------------------------------------------------

_GP100: Final = "Linux nouveau, vmmgp100.c"

_GP_PD0: Final = 3
_GP_LPT: Final = 4
_GP_SPT: Final = 5
_GP_UPPER: Final = (0, 1, 2)
_GP_PAGES: Final = (_GP_PD0, _GP_LPT, _GP_SPT)

_GP_ACCESS: Final = READ_ONLY | PRIVILEGED | VOLATILE | NO_ATOMIC | ENCRYPTED


def _gp_page(name: str, upper: list[Field], aperture: Field) -> EntryKind:
    """A page: ``upper`` are its bits 55 to 8, which depend on the aperture."""
    return EntryKind(
        name,
        LEAF,
        _GP_PAGES,
        [
            Field("kind", 63, 56, ATTRIBUTE, "kind of storage", _GP100, {0: ""}),
            *upper,
            Field("atomic-disable", 7, 7, ATTRIBUTE, "atomic accesses fault", _GP100),
            Field("read-only", 6, 6, ATTRIBUTE, "writing faults", _GP100),
            Field("privileged", 5, 5, ATTRIBUTE, "for privileged accesses only", _GP100),
            Field("encrypted", 4, 4, ATTRIBUTE, "encrypted", _HEADERS),
            Field("VOL", 3, 3, ATTRIBUTE, "volatile", _GP100),
            aperture,
            Field("valid", 0, 0, FIXED, "page", _GP100, match=1),
        ],
    )


def _gp_pages() -> list[EntryKind]:
    """Pages in the GPU's memory, in a peer's, and in the system's."""
    vram = _gp_page(
        "page",
        [
            _reserved(55, 54, _HEADERS),
            Field("comptag", 53, 36, HINT, "compression tag line", _HEADERS, {0: ""}),
            _reserved(35, 33, _HEADERS),
            Field("address", 32, 8, ADDRESS, "output address", _HEADERS, address_low=12),
        ],
        Field("aperture", 2, 1, FIXED, "the GPU's memory", _GP100),
    )
    peer = _gp_page(
        "peer's page",
        [
            _reserved(55, 36, _HEADERS),
            Field("peer", 35, 33, ATTRIBUTE, "which GPU", _HEADERS),
            Field("address", 32, 8, ADDRESS, "output address", _HEADERS, address_low=12),
        ],
        Field("aperture", 2, 1, FIXED, "a peer's memory", _HEADERS, match=1),
    )
    system = _gp_page(
        "system page",
        [
            _reserved(55, 54, _HEADERS),
            Field("address", 53, 8, ADDRESS, "output address", _GP100, address_low=12),
        ],
        Field("aperture", 2, 1, ATTRIBUTE, "which memory", _GP100, _APERTURE_TEXT),
    )
    return [vram, peer, system]


def _gp_page_fields(meaning: int) -> dict[str, int]:
    """GP100's fields of a page for a meaning."""
    return {
        "kind": storage_in(meaning),
        "peer": peer_in(meaning),
        "atomic-disable": bool(meaning & NO_ATOMIC),
        "read-only": bool(meaning & READ_ONLY),
        "privileged": bool(meaning & PRIVILEGED),
        "encrypted": bool(meaning & ENCRYPTED),
        "VOL": bool(meaning & VOLATILE),
        "aperture": aperture_in(meaning),
    }


def _gp_page_meaning(values: dict[str, int]) -> int:
    """The meaning of GP100's fields."""
    access = 0
    for name, flag in (
        ("atomic-disable", NO_ATOMIC),
        ("read-only", READ_ONLY),
        ("privileged", PRIVILEGED),
        ("encrypted", ENCRYPTED),
        ("VOL", VOLATILE),
    ):
        if values[name]:
            access |= flag
    return meaning_of(values["aperture"], access, values["kind"], values.get("peer", 0))


_gp_directory_fields = _gf_directory_fields


def _gp_no_table(tables: tuple[int, ...], valid: bool) -> EntryKind:
    """A directory entry with no table; ``valid``: whether bit 0 means something in it."""
    bit_0 = Field("is-pte", 0, 0, FIXED, "no page", _HEADERS) if valid else _ignored(0, 0, _HEADERS)
    return EntryKind(
        "no table",
        INVALID,
        tables,
        [
            _ignored(63, 3, _GP100),
            Field("aperture", 2, 1, FIXED, "no table", _GP100),
            bit_0,
        ],
    )


def _gp_table(tables: tuple[int, ...]) -> EntryKind:
    return EntryKind(
        "table",
        TABLE,
        tables,
        [
            _reserved(63, 54, _HEADERS),
            Field("address", 53, 8, ADDRESS, "next table", _GP100, address_low=12),
            _reserved(7, 6, _HEADERS),
            Field("no-ATS", 5, 5, ATTRIBUTE, "no address translation service", _HEADERS),
            _reserved(4, 4, _HEADERS),
            Field("VOL", 3, 3, ATTRIBUTE, "volatile", _GP100),
            Field("aperture", 2, 1, ATTRIBUTE, "which memory", _GP100, _TABLE_TEXT),
            Field("is-pte", 0, 0, FIXED, "no page", _HEADERS),
        ],
    )


def _no_page(tables: tuple[int, ...], source: str) -> EntryKind:
    """An entry that says it is a page, in a directory that has none."""
    return EntryKind(
        "reserved",
        HOLE,
        tables,
        [
            _ignored(63, 1, source),
            Field("is-pte", 0, 0, FIXED, "no pages of this size", source, match=1),
        ],
    )


def _gp_upper_kinds() -> list[EntryKind]:
    """The directories above PD0."""
    return [
        _alone("sparse", SPARSE, _GP_UPPER, 3, "VOL", "sparse, with no table", _GP100),
        _no_page(_GP_UPPER, _HEADERS),
        _gp_no_table(_GP_UPPER, True),
        _gp_table(_GP_UPPER),
    ]


def _gp_large_half() -> list[EntryKind]:
    """The first word of PD0's entries: the large table, or a page of 2 MiB."""
    table = EntryKind(
        "table",
        TABLE,
        (_GP_PD0,),
        [
            _reserved(63, 54, _HEADERS),
            Field("address", 53, 4, ADDRESS, "large table", _GP100, address_low=8),
            Field("VOL", 3, 3, ATTRIBUTE, "volatile", _GP100),
            Field("aperture", 2, 1, ATTRIBUTE, "which memory", _GP100, _TABLE_TEXT),
            Field("is-pte", 0, 0, FIXED, "no page", _HEADERS),
        ],
    )
    return [
        _alone("sparse", SPARSE, (_GP_PD0,), 3, "VOL", "sparse, with no table", _GP100),
        *_gp_pages(),
        _gp_no_table((_GP_PD0,), True),
        table,
    ]


def _gp_small_half() -> list[EntryKind]:
    """The second word of PD0's entries: the small table."""
    table = EntryKind(
        "table",
        TABLE,
        (_GP_PD0,),
        [
            _reserved(63, 54, _HEADERS),
            Field("address", 53, 8, ADDRESS, "small table", _GP100, address_low=12),
            _reserved(7, 4, _HEADERS),
            Field("VOL", 3, 3, ATTRIBUTE, "volatile", _GP100),
            Field("aperture", 2, 1, ATTRIBUTE, "which memory", _GP100, _TABLE_TEXT),
            _reserved(0, 0, _HEADERS),
        ],
    )
    return [_gp_no_table((_GP_PD0,), False), table]


def _gp_page_kinds(large: bool) -> list[EntryKind]:
    """Entries of the large or of the small table."""
    tables = (_GP_LPT, _GP_SPT)
    found = [
        *_gp_pages(),
        _alone("unmapped", INVALID, tables, -1, "", "nothing", _GP100),
        _alone("sparse", SPARSE, tables, 3, "VOL", "sparse", _GP100),
    ]
    if large:
        found.append(
            _alone(
                "hole",
                HOLE,
                (_GP_LPT,),
                5,
                "privileged",
                "the small table is not looked at",
                _GP100,
            )
        )
        found.append(_not_valid("not valid", HOLE, (_GP_LPT,), _GP100))
    else:
        found.append(_not_valid("not valid", INVALID, (_GP_SPT,), _GP100))
    return found


_GP_UPPER_KINDS: Final = _gp_upper_kinds()

GP100: Final = NvidiaFormat(
    name="gp100",
    title="NVIDIA Pascal to Ampere (GP100, GV100, TU102), second version",
    source=f"{_GP100}; {_HEADERS}",
    tables=[
        TableType(0, "PD3", 47, 2, 1, [Half("", 0, 1, _GP_UPPER_KINDS)]),
        TableType(1, "PD2", 38, 9, 1, [Half("", 0, 2, _GP_UPPER_KINDS)]),
        TableType(2, "PD1", 29, 9, 1, [Half("", 0, _GP_PD0, _GP_UPPER_KINDS)]),
        TableType(
            _GP_PD0,
            "PD0",
            21,
            8,
            2,
            [
                Half("large", 0, _GP_LPT, _gp_large_half()),
                Half("small", 1, _GP_SPT, _gp_small_half()),
            ],
        ),
        TableType(_GP_LPT, "LPT", 16, 5, 1, [Half("", 0, -1, _gp_page_kinds(True))]),
        TableType(_GP_SPT, "SPT", 12, 9, 1, [Half("", 0, -1, _gp_page_kinds(False))]),
    ],
    pages=[
        Page(47, (0,), True, False, False, False),
        Page(38, (1, 0), True, False, False, False),
        Page(29, (2, 1, 0), True, False, False, False),
        Page(21, (_GP_PD0, 2, 1, 0), True, True, False, True),
        Page(16, (_GP_LPT, _GP_PD0, 2, 1, 0), True, True, False, True),
        Page(12, (_GP_SPT, _GP_PD0, 2, 1, 0), True, True, True, False),
    ],
    page_fields=_gp_page_fields,
    page_meaning=_gp_page_meaning,
    directory_fields=_gp_directory_fields,
    access=_GP_ACCESS,
    storage=0xFF,
)


# -- GH100 ------------------------------------------------------------------------------

_GH100: Final = "Linux nouveau, vmmgh100.c"

_GH_PD1: Final = 3
_GH_PD0: Final = 4
_GH_LPT: Final = 5
_GH_SPT: Final = 6
_GH_UPPER: Final = (0, 1, 2)
_GH_PAGES: Final = (_GH_PD1, _GH_PD0, _GH_LPT, _GH_SPT)

_GH_ACCESS: Final = READ_ONLY | PRIVILEGED | VOLATILE | NO_ATOMIC


def _gh_page(name: str, upper: list[Field], aperture: Field) -> EntryKind:
    """A page: ``upper`` are its bits 63 to 12, which depend on the aperture."""
    return EntryKind(
        name,
        LEAF,
        _GH_PAGES,
        [
            *upper,
            Field("kind", 11, 8, ATTRIBUTE, "kind of storage", _GH100, {0: ""}),
            Field("ACD", 7, 7, HINT, "PCF bit 4: accesses are not counted", _GH100),
            Field("atomic-disable", 6, 6, ATTRIBUTE, "PCF bit 3: atomic accesses fault", _GH100),
            Field("read-only", 5, 5, ATTRIBUTE, "PCF bit 2: writing faults", _GH100),
            Field("privileged", 4, 4, ATTRIBUTE, "PCF bit 1: privileged accesses only", _GH100),
            Field("uncached", 3, 3, ATTRIBUTE, "PCF bit 0: volatile", _GH100),
            aperture,
            Field("valid", 0, 0, FIXED, "page", _GH100, match=1),
        ],
    )


def _gh_pages() -> list[EntryKind]:
    """Pages in the GPU's memory, in a peer's, and in the system's."""
    vram = _gh_page(
        "page",
        [
            _reserved(63, 40, _HEADERS),
            Field("address", 39, 12, ADDRESS, "output address", _HEADERS),
        ],
        Field("aperture", 2, 1, FIXED, "the GPU's memory", _GH100),
    )
    peer = _gh_page(
        "peer's page",
        [
            Field("peer", 63, 61, ATTRIBUTE, "which GPU", _HEADERS),
            _reserved(60, 52, _HEADERS),
            Field("address", 51, 12, ADDRESS, "output address", _HEADERS),
        ],
        Field("aperture", 2, 1, FIXED, "a peer's memory", _HEADERS, match=1),
    )
    system = _gh_page(
        "system page",
        [
            _reserved(63, 52, _HEADERS),
            Field("address", 51, 12, ADDRESS, "output address", _GH100),
        ],
        Field("aperture", 2, 1, ATTRIBUTE, "which memory", _GH100, _APERTURE_TEXT),
    )
    return [vram, peer, system]


def _gh_page_fields(meaning: int) -> dict[str, int]:
    """GH100's fields of a page for a meaning. The driver has accesses not counted."""
    return {
        "peer": peer_in(meaning),
        "kind": storage_in(meaning),
        "ACD": 1,
        "atomic-disable": bool(meaning & NO_ATOMIC),
        "read-only": bool(meaning & READ_ONLY),
        "privileged": bool(meaning & PRIVILEGED),
        "uncached": bool(meaning & VOLATILE),
        "aperture": aperture_in(meaning),
    }


def _gh_page_meaning(values: dict[str, int]) -> int:
    """The meaning of GH100's fields."""
    access = 0
    for name, flag in (
        ("atomic-disable", NO_ATOMIC),
        ("read-only", READ_ONLY),
        ("privileged", PRIVILEGED),
        ("uncached", VOLATILE),
    ):
        if values[name]:
            access |= flag
    return meaning_of(values["aperture"], access, values["kind"], values.get("peer", 0))


def _gh_directory_fields(aperture: int) -> dict[str, int]:
    """As the driver has it: cached without ATS for vram, uncached for host, else cached."""
    pcf = 2 if aperture == VRAM else 1 if aperture == HOST else 0
    return {"aperture": 1 if aperture == VRAM else aperture, "PCF": pcf}


_GH_PCF_TEXT: Final = {0: "cached", 1: "uncached", 2: "cached,no-ATS", 3: "uncached,no-ATS"}


def _gh_table(tables: tuple[int, ...], low: int, what: str) -> EntryKind:
    """A table whose address begins at bit ``low``, 8 or 12."""
    between = [_reserved(low - 1, 6, _HEADERS)]
    return EntryKind(
        "table",
        TABLE,
        tables,
        [
            _reserved(63, 52, _HEADERS),
            Field("address", 51, low, ADDRESS, what, _GH100),
            *between,
            Field("PCF", 5, 3, ATTRIBUTE, "caching, ATS", _GH100, _GH_PCF_TEXT),
            Field("aperture", 2, 1, ATTRIBUTE, "which memory", _GH100, _TABLE_TEXT),
            Field("is-pte", 0, 0, FIXED, "no page", _HEADERS),
        ],
    )


def _gh_directory_kinds(
    tables: tuple[int, ...], pages: bool, low: int, what: str
) -> list[EntryKind]:
    """One half of a directory that is in the first word: sparse, page, no table, table."""
    return [
        _alone("sparse", SPARSE, tables, 3, "PCF", "sparse, with no table", _GH100),
        *(_gh_pages() if pages else [_no_page(tables, _HEADERS)]),
        EntryKind(
            "no table",
            INVALID,
            tables,
            [
                _ignored(63, 3, _GH100),
                Field("aperture", 2, 1, FIXED, "no table", _GH100),
                Field("is-pte", 0, 0, FIXED, "no page", _HEADERS),
            ],
        ),
        _gh_table(tables, low, what),
    ]


def _gh_small_half() -> list[EntryKind]:
    """The second word of PD0's entries."""
    none = EntryKind(
        "no table",
        INVALID,
        (_GH_PD0,),
        [
            _ignored(63, 3, _GH100),
            Field("aperture", 2, 1, FIXED, "no table", _GH100),
            _ignored(0, 0, _HEADERS),
        ],
    )
    table = EntryKind(
        "table",
        TABLE,
        (_GH_PD0,),
        [
            _reserved(63, 52, _HEADERS),
            Field("address", 51, 12, ADDRESS, "small table", _GH100),
            _reserved(11, 6, _HEADERS),
            Field("PCF", 5, 3, ATTRIBUTE, "caching, ATS", _GH100, _GH_PCF_TEXT),
            Field("aperture", 2, 1, ATTRIBUTE, "which memory", _GH100, _TABLE_TEXT),
            _reserved(0, 0, _HEADERS),
        ],
    )
    return [none, table]


def _gh_page_kinds(large: bool) -> list[EntryKind]:
    """Entries of the large or of the small table."""
    tables = (_GH_LPT, _GH_SPT)
    found = [
        *_gh_pages(),
        _alone("unmapped", INVALID, tables, -1, "", "nothing", _GH100),
        _alone("sparse", SPARSE, tables, 3, "PCF", "PCF 1: sparse", _GH100),
    ]
    if large:
        found.append(
            EntryKind(
                "hole",
                HOLE,
                (_GH_LPT,),
                [
                    Field("zero", 63, 8, FIXED, "nothing else", _GH100),
                    Field("PCF", 7, 3, FIXED, "PCF 3: no valid page of 4 KiB", _GH100, match=3),
                    Field("zero", 2, 0, FIXED, "nothing else; not valid", _GH100),
                ],
            )
        )
        found.append(_not_valid("not valid", HOLE, (_GH_LPT,), _GH100))
    else:
        found.append(_not_valid("not valid", INVALID, (_GH_SPT,), _GH100))
    return found


_GH_UPPER_KINDS: Final = _gh_directory_kinds(_GH_UPPER, False, 12, "next table")

GH100: Final = NvidiaFormat(
    name="gh100",
    title="NVIDIA Hopper (GH100), third version",
    source=f"{_GH100}; {_HEADERS}",
    tables=[
        TableType(0, "PD4", 56, 1, 1, [Half("", 0, 1, _GH_UPPER_KINDS)]),
        TableType(1, "PD3", 47, 9, 1, [Half("", 0, 2, _GH_UPPER_KINDS)]),
        TableType(2, "PD2", 38, 9, 1, [Half("", 0, _GH_PD1, _GH_UPPER_KINDS)]),
        TableType(
            _GH_PD1,
            "PD1",
            29,
            9,
            1,
            [Half("", 0, _GH_PD0, _gh_directory_kinds((_GH_PD1,), True, 12, "next table"))],
        ),
        TableType(
            _GH_PD0,
            "PD0",
            21,
            8,
            2,
            [
                Half("large", 0, _GH_LPT, _gh_directory_kinds((_GH_PD0,), True, 8, "large table")),
                Half("small", 1, _GH_SPT, _gh_small_half()),
            ],
        ),
        TableType(_GH_LPT, "LPT", 16, 5, 1, [Half("", 0, -1, _gh_page_kinds(True))]),
        TableType(_GH_SPT, "SPT", 12, 9, 1, [Half("", 0, -1, _gh_page_kinds(False))]),
    ],
    pages=[
        Page(56, (0,), True, False, False, False),
        Page(47, (1, 0), True, False, False, False),
        Page(38, (2, 1, 0), True, False, False, False),
        Page(29, (_GH_PD1, 2, 1, 0), True, True, False, True),
        Page(21, (_GH_PD0, _GH_PD1, 2, 1, 0), True, True, False, True),
        Page(16, (_GH_LPT, _GH_PD0, _GH_PD1, 2, 1, 0), True, True, False, True),
        Page(12, (_GH_SPT, _GH_PD0, _GH_PD1, 2, 1, 0), True, True, True, False),
    ],
    page_fields=_gh_page_fields,
    page_meaning=_gh_page_meaning,
    directory_fields=_gh_directory_fields,
    access=_GH_ACCESS,
    storage=0xF,
)

NVIDIA_FORMATS: Final[dict[str, NvidiaFormat]] = {
    one.name: one
    for one in (
        GF100_128K,
        GF100_64K,
        GK104_128K,
        GK104_64K,
        GM200_128K,
        GM200_64K,
        GP100,
        GH100,
    )
}
"""Every format, in the order in which they are listed to people."""


def nvidia_format(chip: str, large: int = 16) -> NvidiaFormat:
    """The format of a chip with large pages of 2**large bytes; GP100 and later have 16 only.

    Raises:
        ValueError: there is none.
    """
    for name in (chip, f"{chip}-{1 << (large - 10)}k" if large >= 10 else chip):
        found = NVIDIA_FORMATS.get(name)
        if found is not None and found.tables[found.large].shift == large:
            return found
    raise ValueError(
        f"chip, large are {chip!r}, {large}; allowed are gf100, gk104, gm200 with 16 or 17, and "
        "gp100, gh100 with 16"
    )
