"""Strategies for what the device sees: small spaces to enumerate, and tables with anything in.

``TINY`` is a format made up to be small: 64 pages, which a test can go through one by one.
"""

from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from reference.formats.access import (
    CACHE,
    CACHED,
    NON_CACHED,
    P_READ,
    P_WRITE,
    U_READ,
    U_WRITE,
    WRITE,
)
from reference.formats.entry import (
    ADDRESS,
    ATTRIBUTE,
    FIXED,
    IGNORED,
    INVALID,
    LEAF,
    TABLE,
    EntryKind,
    Field,
)
from reference.formats.format import Format, Geometry, Level, Permissions, Sizes, Walks
from reference.hardware.memory import PhysicalMemory
from strategies.formats import entry_words

_SOURCE: Final = "made up"


def _kind(name: str, role: int, levels: tuple[int, ...], match: int) -> EntryKind:
    address = ADDRESS if role != INVALID else IGNORED
    attribute = ATTRIBUTE if role != INVALID else IGNORED
    live = ("read-only",) if role == LEAF else ()
    return EntryKind(
        name,
        role,
        levels,
        [
            Field("software", 63, 40, IGNORED, "for software", _SOURCE),
            Field("address", 39, 12, address, "output address, or next table", _SOURCE),
            Field("ignored", 11, 4, IGNORED, "not looked at", _SOURCE),
            Field("cached", 3, 3, attribute if role == LEAF else IGNORED, "cached", _SOURCE),
            Field("read-only", 2, 2, attribute, "writing faults", _SOURCE),
            Field("type", 1, 0, FIXED, name, _SOURCE, match=match),
        ],
        may_set=live,
        may_clear=live,
    )


def _access_of(values: dict[str, int]) -> int:
    access = U_READ | P_READ | (CACHED if values["cached"] else NON_CACHED)
    return access if values["read-only"] else access | U_WRITE | P_WRITE


def _access_for(prot: int) -> int:
    access = U_READ | P_READ | (CACHED if prot & CACHE else NON_CACHED)
    return access | U_WRITE | P_WRITE if prot & WRITE else access


def _fields_of(prot: int) -> dict[str, int]:
    return {"cached": int(bool(prot & CACHE)), "read-only": int(not prot & WRITE)}


_TABLE: Final = _kind("table", TABLE, (0, 1), 3)
_LEAF: Final = _kind("leaf", LEAF, (0, 1, 2), 1)
_NONE: Final = _kind("none", INVALID, (0, 1, 2), 0)
_SPARE: Final = _kind("spare", INVALID, (0, 1, 2), 2)
_NO_TABLE: Final = _kind("no table", INVALID, (2,), 3)

TINY: Final = Format(
    name="tiny",
    title="64 pages of 4 KiB, for tests",
    source=_SOURCE,
    tables=[
        Level(0, 16, 2, [_TABLE, _LEAF, _NONE, _SPARE]),
        Level(1, 14, 2, [_TABLE, _LEAF, _NONE, _SPARE]),
        Level(2, 12, 2, [_NO_TABLE, _LEAF, _NONE, _SPARE]),
    ],
    sizes=Sizes(
        granule=0x1000,
        ias_choices=(18,),
        oas_choices=(40,),
        page_sizes=(0x1000, 0x4000, 0x10000),
    ),
    permissions=Permissions(
        fields_of=_fields_of,
        access_of=_access_of,
        access_for=_access_for,
        denied_by=lambda values: (U_WRITE | P_WRITE) if values["read-only"] else 0,
    ),
    walks=Walks(fixed_start=True, caches_invalid=False),
)
"""Three levels of four entries, which translate 64, 16 and 4 KiB each."""

TABLE_BASE: Final = 0x8000_0000
"""Where the tables of :func:`wild_tables` begin."""


@st.composite
def wild_tables(draw: st.DrawFn, geometry: Geometry) -> tuple[PhysicalMemory, int]:
    """(memory, root): up to eight table pages with any entries in a few places.

    Table entries mostly lead to one of the pages, at any level: to the one that they are
    in, too, or to one that is not allocated.
    """
    fmt = geometry.format
    granule = fmt.granule
    count = draw(st.integers(1, 8))
    # Not all are there, and their order is not that of their addresses.
    places = draw(st.lists(st.integers(0, 11), min_size=count, max_size=count, unique=True))
    memory = PhysicalMemory(granule)
    for place in places:
        memory.allocate(TABLE_BASE + place * granule, granule)
    tables = st.integers(0, 12).map(lambda place: TABLE_BASE + place * granule)
    for _ in range(draw(st.integers(0, 40))):
        page = memory.pages[TABLE_BASE + draw(st.sampled_from(places)) * granule]
        level = draw(st.integers(int(geometry.start_level), fmt.levels - 1))
        word = draw(entry_words(fmt, level))
        if fmt.kind(level, word) == TABLE and draw(st.integers(0, 9)):
            entry = fmt.tables[level].table
            assert entry is not None
            word = (word & ~entry.address) | fmt.table(level, draw(tables))
        page.set(draw(places_in(int(geometry.entries(level)))), word)
    return memory, TABLE_BASE + places[0] * granule


def places_in(entries: int) -> SearchStrategy[int]:
    """An index in a table of ``entries`` entries: mostly one of a few, so that walks meet."""
    few = sorted({0, 1, entries // 2, entries - 1} & set(range(entries)))
    return st.sampled_from(few) if entries <= 8 else st.sampled_from([*few, 7])


def walked_addresses(geometry: Geometry) -> SearchStrategy[int]:
    """Addresses of which each level's index is one of those that :func:`wild_tables` uses.

    Some are beyond the input size.
    """
    fmt = geometry.format
    parts = [
        places_in(int(geometry.entries(level))).map(int(fmt.span(level)).__mul__)
        for level in range(int(geometry.start_level), fmt.levels)
    ]
    offset = st.sampled_from((0, 1, 8, fmt.granule - 1))
    beyond = st.sampled_from((0,) * 12 + (geometry.limit, 1 << 63, 2**64 - geometry.limit))
    return st.tuples(*parts, offset, beyond).map(lambda drawn: sum(drawn) % 2**64)
