"""DART: Apple's IOMMU, in its first format (16 KiB or 4 KiB pages) and its second (16 KiB).

Two levels of tables lie in memory, or three where the unit is told so (T8110). Above them a
stream has up to four root registers (TTBR), of which the top bits of the input address choose
one. They are level 0 here: a "table" of 1, 2 or 4 words, each laid out like the register and,
like it, pointing to a root table. (The registers are those of the T8020 and T6000 units. The
T8110 has one for each stream, laid out otherwise.)

A leaf says what is forbidden, read or write, and which part of the page may be reached.
The first format has no memory type. The second has a no-cache bit, at the place where
the first has the bit that switches the part-of-page window off.

There is no vendor manual; everything here was found by reverse engineering.
"""

from typing import Final

from reference.formats.access import (
    CACHE,
    CACHED,
    NON_CACHED,
    P_READ,
    P_WRITE,
    PARTIAL,
    READ,
    U_READ,
    U_WRITE,
    UNSTATED,
    WRITE,
)
from reference.formats.entry import (
    ADDRESS,
    ATTRIBUTE,
    FIXED,
    IGNORED,
    INVALID,
    LEAF,
    RESERVED,
    TABLE,
    EntryKind,
    Field,
)
from reference.formats.format import Format, Level, Permissions, Sizes, Walks

_LINUX: Final = "Linux io-pgtable-dart.c"
_REGISTERS: Final = "Linux apple-dart.c, TTBR of T8020; m1n1, hw/dart8020.py"
_T8020: Final = "m1n1, hw/dart8020.py; Linux io-pgtable-dart.c"
_T8110: Final = "m1n1, hw/dart8110.py; Linux io-pgtable-dart.c"

_16K: Final = 1 << 14

_LAST_PART: Final = 0xFFF
"""A page has 4096 parts; this is the last one."""

_WALKS: Final = Walks(fixed_start=True, caches_invalid=True, roots=4)
"""Every walk begins at one of a stream's root registers."""

_LIVE: Final = ("no-read", "no-write")
"""What may change in a valid leaf: permissions. Nothing is written about that; no driver does."""

_START_TEXT: Final = {0: ""}
_END_TEXT: Final = {_LAST_PART: ""}


def _root() -> EntryKind:
    """A root register in use, as the low half of a word."""
    return EntryKind(
        "ttbr",
        TABLE,
        (0,),
        [
            Field("reserved", 63, 32, RESERVED, "beyond the register", _REGISTERS),
            Field("valid", 31, 31, FIXED, "the register is in use", _REGISTERS, match=1),
            Field("address", 30, 0, ADDRESS, "root table", _REGISTERS, address_low=12),
        ],
    )


def _no_root() -> EntryKind:
    """A root register out of use."""
    return EntryKind(
        "no ttbr",
        INVALID,
        (0,),
        [
            Field("ignored", 63, 32, IGNORED, "beyond the register", _REGISTERS),
            Field("valid", 31, 31, FIXED, "the register is not in use", _REGISTERS, match=0),
            Field("ignored", 30, 0, IGNORED, "not looked at", _REGISTERS),
        ],
    )


def _invalid(levels: tuple[int, ...] = (1, 2)) -> EntryKind:
    return EntryKind(
        "invalid",
        INVALID,
        levels,
        [
            Field("ignored", 63, 1, IGNORED, "not looked at", _LINUX),
            Field("valid", 0, 0, FIXED, "no entry", _LINUX, match=0),
        ],
    )


def _part_of_page(source: str) -> list[Field]:
    """Bits 63 to 40 of a leaf."""
    return [
        Field("start", 63, 52, ATTRIBUTE, "first part that can be reached", source, _START_TEXT),
        Field("end", 51, 40, ATTRIBUTE, "last part that can be reached", source, _END_TEXT),
    ]


def _whole(values: dict[str, int]) -> bool:
    return values["start"] == 0 and values["end"] == _LAST_PART


def _rights(values: dict[str, int]) -> int:
    """Who may do what: a DART has one observer, which counts as both."""
    access = 0
    if not values["no-read"]:
        access |= U_READ | P_READ
    if not values["no-write"]:
        access |= U_WRITE | P_WRITE
    return access


def _windowed(access: int, values: dict[str, int]) -> int:
    """What is left of an access inside the part-of-page window."""
    if _whole(values):
        return access
    return access | PARTIAL if values["start"] <= values["end"] else 0


def _rights_for(prot: int) -> int:
    """What a prot asks for, the memory type aside. There is no execution to forbid."""
    promise = 0
    if prot & READ:
        promise |= U_READ | P_READ
    if prot & WRITE:
        promise |= U_WRITE | P_WRITE
    return promise


# -- the first format -------------------------------------------------------------------


def _dart1_address(low: int, meaning: str) -> list[Field]:
    """The address, from bit 39 down to bit 9, for pages whose size has ``low`` bits."""
    fields = [
        Field("reserved", 39, 36, RESERVED, "0 with 36 bits of output address", _T8020),
        Field("address", 35, low, ADDRESS, meaning, _T8020),
    ]
    fields.append(Field("reserved", low - 1, 9, RESERVED, "no use known", _T8020))
    return fields


def _dart1_kinds(low: int) -> tuple[list[EntryKind], list[EntryKind]]:
    """The kinds of level 1 and of level 2, for pages whose size has ``low`` bits."""
    invalid = _invalid()
    table = EntryKind(
        "table",
        TABLE,
        (1,),
        [
            Field("reserved", 63, 40, RESERVED, "no use known", _T8020),
            *_dart1_address(low, "next table"),
            Field("reserved", 8, 1, RESERVED, "no use known", _T8020),
            Field("valid", 0, 0, FIXED, "table", _T8020, match=1),
        ],
    )
    page = EntryKind(
        "page",
        LEAF,
        (2,),
        [
            *_part_of_page(_T8020),
            *_dart1_address(low, "output address"),
            Field("no-read", 8, 8, ATTRIBUTE, "reading faults", _T8020),
            Field("no-write", 7, 7, ATTRIBUTE, "writing faults", _T8020),
            Field("reserved", 6, 2, RESERVED, "no use known", _T8020),
            Field("SP_DIS", 1, 1, ATTRIBUTE, "start and end do not count", _T8020),
            Field("valid", 0, 0, FIXED, "page", _T8020, match=1),
        ],
        may_set=_LIVE,
        may_clear=_LIVE,
    )
    return [table, invalid], [page, invalid]


def _dart1_fields_of(prot: int) -> dict[str, int]:
    """The leaf's fields for a prot: the whole page, by both of the ways to say so."""
    return {
        "start": 0,
        "end": _LAST_PART,
        "no-read": 0 if prot & READ else 1,
        "no-write": 0 if prot & WRITE else 1,
        "SP_DIS": 1,
    }


def _dart1_access_of(values: dict[str, int]) -> int:
    """The access that a leaf grants."""
    access = _rights(values)
    if not values["SP_DIS"]:
        access = _windowed(access, values)
    return access | UNSTATED


def _dart1_access_for(prot: int) -> int:
    """What a prot asks for; the format has no memory type, and no use for other flags."""
    return _rights_for(prot) | UNSTATED


def _dart1(name: str, title: str, low: int, ias_choices: tuple[int, ...]) -> Format:
    """The first format, for pages whose size has ``low`` bits."""
    index_bits = low - 3
    upper, lower = _dart1_kinds(low)
    return Format(
        name=name,
        title=title,
        source=_T8020,
        tables=[
            Level(0, low + 2 * index_bits, 2, [_root(), _no_root()]),
            Level(1, low + index_bits, index_bits, upper),
            Level(2, low, index_bits, lower),
        ],
        sizes=Sizes(
            granule=1 << low,
            ias_choices=ias_choices,
            oas_choices=(36,),
            page_sizes=(1 << low,),
        ),
        permissions=Permissions(
            fields_of=_dart1_fields_of,
            access_of=_dart1_access_of,
            access_for=_dart1_access_for,
        ),
        walks=_WALKS,
    )


DART1_16K: Final = _dart1(
    "dart1-16k", "Apple DART, first format (T8020), 16 KiB pages", 14, (32, 34, 36)
)
"""One root reaches 36 bits, all that the output can hold; the unit itself passes 32."""

DART1_4K: Final = _dart1(
    "dart1-4k", "Apple DART, first format (T8020), 4 KiB pages", 12, (30, 31, 32)
)
"""One root reaches 30 bits; 32 bits take all four."""


# -- the second format ------------------------------------------------------------------


def _dart2_kinds(last: int) -> tuple[list[EntryKind], list[EntryKind]]:
    """The kinds of the levels of tables, from 1 on, and of level ``last``, that of pages."""
    invalid = _invalid(tuple(range(1, last + 1)))
    table = EntryKind(
        "table",
        TABLE,
        tuple(range(1, last)),
        [
            Field("reserved", 63, 38, RESERVED, "no use known", _T8110),
            Field("address", 37, 10, ADDRESS, "next table", _T8110, address_low=14),
            Field("reserved", 9, 1, RESERVED, "no use known", _T8110),
            Field("valid", 0, 0, FIXED, "table", _T8110, match=1),
        ],
    )
    page = EntryKind(
        "page",
        LEAF,
        (last,),
        [
            *_part_of_page(_T8110),
            Field("reserved", 39, 38, RESERVED, "no use known", _T8110),
            Field("address", 37, 10, ADDRESS, "output address", _T8110, address_low=14),
            Field("reserved", 9, 4, RESERVED, "no use known", _T8110),
            Field("no-read", 3, 3, ATTRIBUTE, "reading faults", _T8110),
            Field("no-write", 2, 2, ATTRIBUTE, "writing faults", _T8110),
            Field("no-cache", 1, 1, ATTRIBUTE, "uncached; 'real-time' in T6000 notes", _T8110),
            Field("valid", 0, 0, FIXED, "page", _T8110, match=1),
        ],
        may_set=_LIVE,
        may_clear=_LIVE,
    )
    return [table, invalid], [page, invalid]


def _dart2_fields_of(prot: int) -> dict[str, int]:
    """The leaf's fields for a prot: the whole page, and cached where CACHE asks for it."""
    return {
        "start": 0,
        "end": _LAST_PART,
        "no-read": 0 if prot & READ else 1,
        "no-write": 0 if prot & WRITE else 1,
        "no-cache": 0 if prot & CACHE else 1,
    }


def _dart2_access_of(values: dict[str, int]) -> int:
    """The access that a leaf grants. The window always counts."""
    access = _windowed(_rights(values), values)
    return access | (NON_CACHED if values["no-cache"] else CACHED)


def _dart2_access_for(prot: int) -> int:
    """What a prot asks for. CACHE alone decides the memory type; MMIO has no place."""
    return _rights_for(prot) | (CACHED if prot & CACHE else NON_CACHED)


_UPPER, _LOWER = _dart2_kinds(2)
_DEEP_UPPER, _DEEP_LOWER = _dart2_kinds(3)

_DART2: Final = Permissions(
    fields_of=_dart2_fields_of,
    access_of=_dart2_access_of,
    access_for=_dart2_access_for,
)

DART2_16K: Final = Format(
    name="dart2-16k",
    title="Apple DART, second format (T6000, T8110), 16 KiB pages",
    source=_T8110,
    tables=[
        Level(0, 36, 2, [_root(), _no_root()]),
        Level(1, 25, 11, _UPPER),
        Level(2, 14, 11, _LOWER),
    ],
    sizes=Sizes(
        granule=_16K,
        ias_choices=(32, 36, 37, 38),
        oas_choices=(36, 42),
        page_sizes=(_16K,),
        ias_within_oas=True,
    ),
    permissions=_DART2,
    walks=_WALKS,
)
"""One root reaches 36 bits; 37 take two, 38 all four."""

DART2_16K_DEEP: Final = Format(
    name="dart2-16k-deep",
    title="Apple DART, second format (T8110), 16 KiB pages, three levels in memory",
    source=_T8110,
    tables=[
        Level(0, 47, 2, [_root(), _no_root()]),
        Level(1, 36, 11, _DEEP_UPPER),
        Level(2, 25, 11, _DEEP_UPPER),
        Level(3, 14, 11, _DEEP_LOWER),
    ],
    sizes=Sizes(
        granule=_16K,
        ias_choices=(37, 38, 40, 42),
        oas_choices=(42,),
        page_sizes=(_16K,),
        ias_within_oas=True,
    ),
    permissions=_DART2,
    walks=_WALKS,
)
"""Where a unit says so, its one root is that of a level more, which reaches what can be output."""
