"""What stores to NVIDIA's tables mean: which entry of which table, before and after."""

import pytest

from conformance.systems.nvidia.trace_words import (
    annotate,
    half_text,
    space_roots,
    word_text,
)
from reference import trace as t
from reference.formats.nvidia import (
    HOST,
    NO_ATOMIC,
    READ_ONLY,
    VOLATILE,
    VRAM,
    meaning_of,
    nvidia_format,
)
from reference.systems.gpuvm.events import VMA_ADD, VMA_REMOVE, backing_of
from reference.systems.nvidia.events import AREA_MAPPED, AREA_NO_PAGE

GP100 = nvidia_format("gp100")
GM200 = nvidia_format("gm200", 16)
PD3, PD2, PD1, PD0, LPT, SPT = (0x8000_0000 + 0x1000 * at for at in range(6))
POISON = 0x5A5A_5A5A_5A5A_5A5A
HOLE = GP100.hole(GP100.large)


def page(pa, access=0, aperture=VRAM, kind=0, table=None):
    number = GP100.small if table is None else table
    return GP100.leaf(number, pa, meaning_of(aperture, access, kind))


def table(number, *children):
    return GP100.directory(number, *children)


def store(pa, old, new):
    return t.Event(t.STORE, pa, old, new)


def made(pa, size=4096):
    return [t.Event(t.ALLOC, pa, size), t.Event(t.FILL, pa, size, 0)]


def linked():
    """The tables of address 2M, the large one full of holes before anything leads to it."""
    large, small = table(3, LPT, -1)[0], table(3, -1, SPT)[1]
    return [
        *made(PD3, 32),
        *made(PD2),
        store(PD3, 0, table(0, PD2)[0]),
        *made(PD1),
        store(PD2, 0, table(1, PD1)[0]),
        *made(PD0),
        store(PD1, 0, table(2, PD0)[0]),
        t.Event(t.ALLOC, LPT, 256),
        *[store(LPT + 8 * at, POISON, HOLE) for at in range(32)],
        store(PD0 + 16, 0, large),
        *made(SPT),
        store(PD0 + 24, 0, small),
    ]


def notes_of(events, fmt=GP100, alone=None):
    return {note.event: note.text for note in annotate(events, fmt, alone)}


def last(*more):
    """The note of the last event, after the tables were linked."""
    events = [*linked(), *more]
    return notes_of(events).get(len(events) - 1, "")


# -- entries ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "word", "said"),
    [
        (SPT, page(0x4000_0000), "page pa=0x40000000 vram"),
        (
            SPT,
            page(0x1_ABCD_E000, READ_ONLY | VOLATILE | NO_ATOMIC, HOST, 7),
            "page pa=0x1abcde000 host read-only volatile no-atomic kind 0x7",
        ),
        (SPT, 0, "unmapped"),
        (SPT, GP100.sparse(GP100.small), "sparse"),
        (LPT, page(0x4001_0000, table=GP100.large), "page pa=0x40010000 vram"),
        (LPT, 0, "unmapped (small pages decide)"),
        (LPT, HOLE, "hole (small pages are not looked at)"),
        (LPT, GP100.sparse(GP100.large), "sparse"),
    ],
)
def test_what_one_entry_says(number, word, said):
    which = GP100.large if number == LPT else GP100.small
    half = GP100.tables[which].first
    assert half_text(GP100, int(which), half, word) == said
    # Unsigned words are taken, too.
    assert half_text(GP100, int(which), half, word & (1 << 64) - 1) == said


def test_halves_in_one_word_are_told_together():
    word = GM200.directory(0, 0x15_0000, 0x11_0000)[0]
    assert word_text(GM200, 0, 0, word) == (
        "large: table pa=0x150000 aperture=vram; small: table pa=0x110000 aperture=vram"
    )
    low, high = table(3, LPT, SPT)
    assert word_text(GP100, 3, 0, low) == "large: table pa=0x80004000 aperture=vram"
    assert word_text(GP100, 3, 1, high) == "small: table pa=0x80005000 aperture=vram"


# -- notes ------------------------------------------------------------------------------------


def test_tables_and_stores_have_their_place():
    events = linked()
    notes = notes_of(events)
    assert notes[0] == "PD3, the root table"
    assert notes[2] == "PD2 of 0x0 (128T)"
    assert notes[4] == ("PD3 entry of 0x0 (128T): no table -> table pa=0x80001000 aperture=vram")
    at = next(n for n, one in enumerate(events) if (one.kind, one.a) == (t.ALLOC, LPT))
    # It was filled before it was linked, and lies behind the second entry of its directory.
    assert notes[at] == "LPT of 0x200000 (2M)"
    assert notes[at + 1] == (
        "LPT entry of 0x200000 (64K): hole (small pages are not looked at); the first word "
        "written there"
    )
    assert at + 2 not in notes
    assert notes[at + 33] == (
        "PD0 entry of 0x200000 (2M): large: no table -> large: table pa=0x80004000 aperture=vram"
    )
    assert notes[len(events) - 1] == (
        "PD0 entry of 0x200000 (2M): small: no table -> small: table pa=0x80005000 aperture=vram"
    )


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            store(SPT + 8, 0, page(0x4000_0000)),
            "SPT entry of 0x201000 (4K): unmapped -> page pa=0x40000000 vram",
        ),
        (
            store(SPT + 8, page(0x4000_0000), GP100.sparse(GP100.small)),
            "SPT entry of 0x201000 (4K): page pa=0x40000000 vram -> sparse",
        ),
        (
            store(LPT + 8, HOLE, 0),
            "LPT entry of 0x210000 (64K): hole (small pages are not looked at) -> unmapped "
            "(small pages decide)",
        ),
        (
            store(LPT + 8, HOLE, HOLE),
            "LPT entry of 0x210000 (64K): hole (small pages are not looked at); the same to the "
            "walker as before",
        ),
        (t.Event(t.FREE, SPT, 4096), "SPT of 0x200000 (2M)"),
        # Holes are nothing that a walk would miss.
        (t.Event(t.FREE, LPT, 256), "LPT of 0x200000 (2M)"),
        # Two halves are one entry.
        (t.Event(t.FREE, PD0, 4096), "PD0 of 0x0 (512M), with 1 valid entry still in it"),
        (store(0x9000_0000, 0, 1), ""),
    ],
)
def test_what_events_mean_for_the_tables(event, said):
    assert last(event) == said


def test_memory_beside_a_small_table_is_another_table():
    """Tables of large pages have 256 bytes, and share a page of memory."""
    other = LPT + 256
    more = [
        t.Event(t.ALLOC, other, 256),
        *[store(other + 8 * at, POISON, HOLE) for at in range(32)],
        store(PD0 + 32, 0, table(3, other, -1)[0]),
        store(other, HOLE, 0),
    ]
    assert last(*more).startswith("LPT entry of 0x400000 (64K): hole")
    assert last(store(LPT, HOLE, 0)).startswith("LPT entry of 0x200000 (64K): hole")


def test_the_first_table_after_a_root_was_freed_is_a_root():
    again = 0x8100_0000
    events = [
        *linked(),
        *[t.Event(t.FREE, pa, 4096) for pa in (PD2, PD1, PD0, LPT, SPT)],
        t.Event(t.FREE, PD3, 32),
        *made(again, 32),
        *made(again + 0x1000),
    ]
    assert space_roots(events) == {0, len(events) - 4}
    assert notes_of(events)[len(events) - 4] == "PD3, the root table"
    assert len(events) - 2 not in notes_of(events)


def test_an_instance_block_says_where_it_leads():
    block = 0x8200_0000
    events = [
        *linked(),
        t.Event(t.BEGIN, 1),
        *made(block),
        store(block + 0x200, 0, PD3 | 0xC30),
        store(block + 0x208, 0, 0x1_FFFF_FFFF_FFFF),
        store(block + 0x210, 0, 1),
        t.Event(t.ATTACH, PD3),
    ]
    notes = notes_of(events)
    begin = len(linked())
    assert notes[begin + 1] == "instance block"
    assert notes[begin + 3] == (
        "instance block: root 0x80000000 in vram, faults replayed, second format, 64K large pages"
    )
    assert notes[begin + 4] == "instance block: the last address is 0x1ffffffffffff"
    assert begin + 5 not in notes
    # A root that nobody attaches is no instance block's.
    assert begin + 1 not in notes_of(events[:-1])


def test_areas_say_which_pages_they_use():
    events = [
        t.Event(VMA_ADD, 0, 0xFFF, backing_of(1, AREA_NO_PAGE)),
        t.Event(VMA_ADD, 0, 0xFFF, backing_of(1, AREA_MAPPED | 5)),
        t.Event(VMA_REMOVE, 0, 0xFFFF, backing_of(1, 4)),
    ]
    assert notes_of(events) == {1: "pages of 4K", 2: "pages of 64K"}
