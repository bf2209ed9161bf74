"""NVIDIA's page tables, from Fermi (GF100) to Hopper (GH100): pages of several sizes side by side.

A walk goes through *page directories* down to one last directory entry, which leads to two
tables at once: the *large* one (LPT, 64 or 128 KiB a page) and the *small* one (SPT, 4 KiB a
page). The large table is looked at first. Where its entry is unmapped the small table decides;
where it holds the *hole* marker (GK104 and later) the small table is not looked at. From GM200
on an entry may be *sparse*: reads give zeros, and writes are dropped. From GP100 on a directory
entry may be a page itself.

So a level is a table of one type here, numbered from the root down, the large table before the
small one. Halves of GF100's directory entries share one word; those of GP100's last directory
have a word each. A half is of the first kind in its list whose fixed fields the word has.

What a page grants is one number, the same for all generations: its *meaning* (access, aperture,
peer, kind of storage); it is also what is asked for. Words are held (see ``reference.words``).

Nothing is written about bits that may change in a valid entry, so none are said to.

NVIDIA has published headers (dev_mmu) for these entries; the layouts here are those of the
headers and of the nouveau driver. What a device makes of entries that are not valid and are none
of the markers is written nowhere; they are called ``not valid`` here.
"""

from collections.abc import Callable, Sequence
from typing import Final

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
    Half,
)
from reference.formats.format import Format, Level, Page, Permissions, Sizes, Walks

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


def table_aperture(half: Half, word: i64) -> i64:
    """Where the table is that a half of this word leads to: VRAM, HOST or NCOH."""
    return _aperture_of(half.aperture(word))


def table_apertures(aperture: i64) -> list[i64]:
    """What directory entries hold to say that a table is in this aperture: VRAM, HOST or NCOH."""
    numbers: list[i64] = [0, 1, 2, 3]
    return [number for number in numbers if _aperture_of(number) == aperture]


def _aperture_of(number: i64) -> i64:
    return VRAM if number == 1 else number


def _same(meaning: int) -> int:
    """What is asked for is what is to be granted."""
    return meaning


def _permissions(
    page_fields: Callable[[int], dict[str, int]],
    page_meaning: Callable[[dict[str, int]], int],
    directory_fields: Callable[[int], dict[str, int]],
    access: int,
    storage: int,
) -> Permissions:
    """What pages can be: with these access bits, and kinds of storage up to this one."""
    examples = [meaning_of(VRAM), meaning_of(HOST, VOLATILE)]
    examples += [
        meaning_of(VRAM, 1 << bit) for bit in range(len(ACCESS_NAMES)) if access >> bit & 1
    ]
    examples.append(meaning_of(VRAM, 0, storage))
    return Permissions(
        fields_of=page_fields,
        access_of=page_meaning,
        access_for=_same,
        asks=meaning_of(NCOH, access, storage, 7),
        asked="meaning",
        asked_text=meaning_text,
        granted_text=meaning_text,
        memories=(VRAM, HOST, NCOH),
        table_fields=directory_fields,
        examples=examples,
    )


def _sizes(ias: int, shifts: Sequence[int]) -> Sizes:
    """Input bits, and log2 of the page sizes, of a format in which nothing is configured."""
    return Sizes(
        granule=1 << 12, ias_choices=(ias,), oas_choices=(), page_sizes=[1 << one for one in shifts]
    )


_WALKS: Final = Walks(fixed_start=True, caches_invalid=True)
"""One root. That what is not valid is cached is written nowhere, and taken to be so."""


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


def _gf_format(chip: str, title: str, source: str, large: int, hole: bool, sparse: bool) -> Format:
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
        Page(large, (_GF_LPT, _GF_PGD), sparse=sparse, host=False, compressed=True),
        Page(12, (_GF_SPT, _GF_PGD), sparse=sparse),
    ]
    if sparse:
        pages.insert(
            0, Page(large + 10, (_GF_PGD,), sparse=True, vram=False, host=False, listed=27)
        )
    return Format(
        name=f"{chip}-{1 << (large - 10)}k",
        title=f"{title}, {1 << (large - 10)} KiB large pages",
        source=source,
        tables=[
            Level(_GF_PGD, large + 10, 30 - large, halves=halves, name="PGD"),
            Level(_GF_LPT, large, 10, halves=[Half("", 0, -1, large_kinds)], name="LPT"),
            Level(_GF_SPT, 12, large - 2, halves=[Half("", 0, -1, small_kinds)], name="SPT"),
        ],
        sizes=_sizes(40, (12, large)),
        permissions=_permissions(
            _gf_page_fields, _gf_page_meaning, _gf_directory_fields, _GF_ACCESS, 0xFF
        ),
        walks=_WALKS,
        pages=pages,
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

GP100: Final = Format(
    name="gp100",
    title="NVIDIA Pascal to Ampere (GP100, GV100, TU102), second version",
    source=f"{_GP100}; {_HEADERS}",
    tables=[
        Level(0, 47, 2, halves=[Half("", 0, 1, _GP_UPPER_KINDS)], name="PD3"),
        Level(1, 38, 9, halves=[Half("", 0, 2, _GP_UPPER_KINDS)], name="PD2"),
        Level(2, 29, 9, halves=[Half("", 0, _GP_PD0, _GP_UPPER_KINDS)], name="PD1"),
        Level(
            _GP_PD0,
            21,
            8,
            halves=[
                Half("large", 0, _GP_LPT, _gp_large_half()),
                Half("small", 1, _GP_SPT, _gp_small_half()),
            ],
            name="PD0",
        ),
        Level(_GP_LPT, 16, 5, halves=[Half("", 0, -1, _gp_page_kinds(True))], name="LPT"),
        Level(_GP_SPT, 12, 9, halves=[Half("", 0, -1, _gp_page_kinds(False))], name="SPT"),
    ],
    pages=[
        Page(47, (0,), sparse=True, vram=False, host=False),
        Page(38, (1, 0), sparse=True, vram=False, host=False),
        Page(29, (2, 1, 0), sparse=True, vram=False, host=False),
        Page(21, (_GP_PD0, 2, 1, 0), sparse=True, host=False, compressed=True),
        Page(16, (_GP_LPT, _GP_PD0, 2, 1, 0), sparse=True, host=False, compressed=True),
        Page(12, (_GP_SPT, _GP_PD0, 2, 1, 0), sparse=True),
    ],
    sizes=_sizes(49, (12, 16, 21)),
    permissions=_permissions(
        _gp_page_fields, _gp_page_meaning, _gp_directory_fields, _GP_ACCESS, 0xFF
    ),
    walks=_WALKS,
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

GH100: Final = Format(
    name="gh100",
    title="NVIDIA Hopper (GH100), third version",
    source=f"{_GH100}; {_HEADERS}",
    tables=[
        Level(0, 56, 1, halves=[Half("", 0, 1, _GH_UPPER_KINDS)], name="PD4"),
        Level(1, 47, 9, halves=[Half("", 0, 2, _GH_UPPER_KINDS)], name="PD3"),
        Level(2, 38, 9, halves=[Half("", 0, _GH_PD1, _GH_UPPER_KINDS)], name="PD2"),
        Level(
            _GH_PD1,
            29,
            9,
            halves=[Half("", 0, _GH_PD0, _gh_directory_kinds((_GH_PD1,), True, 12, "next table"))],
            name="PD1",
        ),
        Level(
            _GH_PD0,
            21,
            8,
            halves=[
                Half("large", 0, _GH_LPT, _gh_directory_kinds((_GH_PD0,), True, 8, "large table")),
                Half("small", 1, _GH_SPT, _gh_small_half()),
            ],
            name="PD0",
        ),
        Level(_GH_LPT, 16, 5, halves=[Half("", 0, -1, _gh_page_kinds(True))], name="LPT"),
        Level(_GH_SPT, 12, 9, halves=[Half("", 0, -1, _gh_page_kinds(False))], name="SPT"),
    ],
    pages=[
        Page(56, (0,), sparse=True, vram=False, host=False),
        Page(47, (1, 0), sparse=True, vram=False, host=False),
        Page(38, (2, 1, 0), sparse=True, vram=False, host=False),
        Page(29, (_GH_PD1, 2, 1, 0), sparse=True, host=False, compressed=True),
        Page(21, (_GH_PD0, _GH_PD1, 2, 1, 0), sparse=True, host=False, compressed=True),
        Page(16, (_GH_LPT, _GH_PD0, _GH_PD1, 2, 1, 0), sparse=True, host=False, compressed=True),
        Page(12, (_GH_SPT, _GH_PD0, _GH_PD1, 2, 1, 0), sparse=True),
    ],
    sizes=_sizes(57, (12, 16, 21, 29)),
    permissions=_permissions(
        _gh_page_fields, _gh_page_meaning, _gh_directory_fields, _GH_ACCESS, 0xF
    ),
    walks=_WALKS,
)

NVIDIA: Final = (
    GF100_128K,
    GF100_64K,
    GK104_128K,
    GK104_64K,
    GM200_128K,
    GM200_64K,
    GP100,
    GH100,
)
"""The formats of this file."""


def nvidia_format(chip: str, large: int = 16) -> Format:
    """The format of a chip with large pages of 2**large bytes; GP100 and later have 16 only.

    Raises:
        ValueError: there is none.
    """
    names = (chip, f"{chip}-{1 << (large - 10)}k" if large >= 10 else chip)
    for one in NVIDIA:
        if one.name in names and one.tables[one.large].shift == large:
            return one
    raise ValueError(
        f"chip, large are {chip!r}, {large}; allowed are gf100, gk104, gm200 with 16 or 17, and "
        "gp100, gh100 with 16"
    )
