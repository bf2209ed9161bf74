"""NVIDIA's MMU: known store sequences walked state by state, the cache, and observations."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.formats.entry import TABLE
from reference.formats.format import Format
from reference.formats.nvidia import (
    GF100_128K,
    GH100,
    GK104_128K,
    GM200_64K,
    GP100,
    HOST,
    NCOH,
    NO_ATOMIC,
    NVIDIA,
    READ_ONLY,
    VOLATILE,
    VRAM,
    access_in,
    aperture_in,
    meaning_of,
    storage_in,
)
from reference.hardware.cached_walks import possible
from reference.hardware.memory import POISON
from reference.hardware.observation import OBSERVATION_NAMES
from reference.hardware.paired_context import GREW, MARKED, REPLACED, SHRANK
from reference.hardware.paired_walker import PairedWalker, Translation
from reference.pieces import ARBITRARY, MAPPED, NOTHING, ZEROS, Pieces
from reference.systems.nvidia.device import (
    ALL_PDB,
    HUB_ONLY,
    PAGE_ALL,
    SELECT,
    SELECT_HIGH,
    START,
    START_NOW,
    STATUS,
    NvidiaMmu,
    pdb_of,
)
from reference.trace import (
    ALLOC,
    BARRIER,
    BARRIER_FULL,
    BARRIER_ORDER,
    FILL,
    FREE,
    REG_READ,
    REG_WRITE,
    STORE,
    Trace,
)
from reference.words import to_signed

ROOT = 0x100000
READY = 0x00FF8000
"""STATUS: slots are free, and nothing is under way."""
PD3, PD2, PD1, PD0, LPT, SPT = range(6)
"""Tables of GP100."""
NAMES = (
    *OBSERVATION_NAMES,
    "started busy",
    "started full",
    "started other",
    "started unselected",
    "started narrow",
    "selected busy",
)
"""By kind: what can be observed of tables, then of registers."""
M2 = 1 << 21


class Device:
    """Events for an MMU, as a driver causes them."""

    def __init__(self, fmt: Format = GP100, root: int = ROOT, tables_in: int = VRAM) -> None:
        self.fmt = fmt
        self.mmu = NvidiaMmu(fmt, tables_in)
        self.trace = Trace()
        self.aperture = tables_in
        self.root = root
        self.table(root, 0)

    def event(self, kind: int, a: int = 0, b: int = 0, c: int = 0) -> int:
        """Emit one event, and return its number."""
        number = len(self.trace)
        self.trace.emit(kind, to_signed(a), to_signed(b), to_signed(c))
        self.mmu.feed(self.trace.words, number)
        return number

    def alloc(self, pa: int, size: int) -> None:
        self.event(ALLOC, pa, size)

    def table(self, pa: int, number: int, word: int = 0) -> None:
        """A table of this number in the format, all of whose words are ``word``."""
        size = self.fmt.tables[number].bytes
        self.alloc(pa, size)
        self.event(FILL, pa, size, word)

    def free(self, pa: int) -> None:
        self.event(FREE, pa)

    def store(self, pa: int, *words: int) -> int:
        """Store words one after the other; returns the number of the last event."""
        number = -1
        for i, word in enumerate(words):
            number = self.event(STORE, pa + 8 * i, 0, word)
        return number

    def start(self, kind: int = PAGE_ALL) -> int:
        low, high = pdb_of(self.root, self.aperture)
        self.event(BARRIER, BARRIER_FULL)
        self.event(REG_READ, STATUS, READY)
        self.event(REG_WRITE, SELECT, low)
        if self.fmt.last_directory > 0:
            self.event(REG_WRITE, SELECT_HIGH, high)
        return self.event(REG_WRITE, START, START_NOW | kind)

    def finish(self) -> None:
        self.event(REG_READ, STATUS, READY)

    def flush(self) -> None:
        self.start()
        self.finish()

    def at(self, va: int) -> tuple[int, int, int]:
        """(what, pa, meaning) of ``va``."""
        found = self.mmu.walker.translate(va)
        return found.what, found.pa, found.meaning

    def seen(self) -> list[str]:
        """Names of what was observed, oldest first."""
        return [NAMES[one.kind] for one in self.mmu.observations]

    def spans(self, first: int = 0, last: int = -1) -> list[tuple[int, int, int, int, int]]:
        """(first, last, what, pa, meaning) of each piece of the walk."""
        end = self.fmt.limit - 1 if last < 0 else last
        return [
            (one.first, one.last, one.what, one.pa, one.meaning)
            for one in self.mmu.walker.pieces(first, end)
        ]


NONE = (NOTHING, -1, 0)
SPARSE = (ZEROS, -1, 0)


def mapped(pa: int, meaning: int = VRAM) -> tuple[int, int, int]:
    return MAPPED, pa, meaning


def small_pages(device: Device) -> None:
    """formats.md D.7: three pages of 4 KiB at va 0, in an empty GP100 address space."""
    device.table(0x101000, PD2)
    device.store(0x100000, 0x10102)
    device.table(0x102000, PD1)
    device.store(0x101000, 0x10202)
    device.table(0x103000, PD0)
    device.store(0x102000, 0x10302)
    device.table(0x104000, SPT)
    device.store(0x103000, 0, 0x10402)
    device.store(0x104000, 0x1234001, 0x1234101, 0x1234201)


def large_pages(device: Device) -> None:
    """formats.md D.7: then two pages of 64 KiB at va 10000."""
    device.alloc(0x105000, 0x100)
    device.store(0x105000, 0, *[0x20] * 31)
    device.store(0x103000, 0x10502, 0x10402)
    device.store(0x105008, 0x1235001, 0x1236001)


# -- known sequences ------------------------------------------------------------------------


def test_small_and_large_pages_of_gp100() -> None:
    device = Device()
    mmu = device.mmu
    assert device.spans() == []
    small_pages(device)
    assert device.spans() == [(0, 0x2FFF, MAPPED, 0x12340000, VRAM)]
    assert device.at(0x2FFF) == mapped(0x12342FFF)
    assert device.at(0x3000) == NONE
    # One invalidation for the whole operation, and the registers that it takes.
    assert pdb_of(ROOT) == (0x1000, 0)
    assert [one.how for one in mmu.current.unflushed(0, M2 - 1)] == [GREW] * 7
    device.flush()
    assert mmu.current.unflushed(0, GP100.limit - 1) == []

    large_pages(device)
    assert device.spans() == [
        (0, 0x2FFF, MAPPED, 0x12340000, VRAM),
        (0x10000, 0x2FFFF, MAPPED, 0x12350000, VRAM),
    ]
    assert mmu.walker.translate(0x10000).page_shift == 16
    assert mmu.walker.translate(0).page_shift == 12
    # The large table says that no small page is behind it there.
    hole = mmu.walker.translate(0x30000)
    assert (hole.what, hole.table, hole.word) == (NOTHING, LPT, 0x20)
    device.flush()

    # Unmap the small pages: the large entry becomes a hole, the small table goes.
    marked = device.store(0x105000, 0x20)
    device.store(0x103000, 0x10502)
    shrank = device.store(0x103008, 0)
    assert device.at(0) == NONE
    changes = mmu.current.unflushed(0, 0)
    assert [(one.event, one.how, one.table) for one in changes] == [
        (marked, MARKED, LPT),
        (shrank, SHRANK, PD0),
    ]
    assert [(one.first, one.last) for one in changes] == [(0, 0xFFFF), (0, M2 - 1)]
    assert [one.how for one in mmu.current.unflushed(0x10000, 0x10FFF)] == [SHRANK]
    device.flush()
    device.free(0x104000)

    # Unmap the large ones: one store kills the whole subtree.
    device.store(0x100000, 0)
    assert device.spans() == []
    device.flush()
    for table in (0x101000, 0x102000, 0x103000, 0x105000):
        device.free(table)
    assert device.seen() == []
    device.free(ROOT)
    assert device.seen() == []
    assert mmu.memory.tables == {}
    assert mmu.links.by_child == {}


def test_pages_of_2_mib() -> None:
    device = Device()
    small_pages(device)
    device.store(0x103000, 0x4000001, 0)
    device.store(0x103010, 0x4020001, 0)
    assert device.spans(0, 2 * M2) == [(0, 2 * M2 - 1, MAPPED, 0x40000000, VRAM)]
    assert device.mmu.walker.translate(M2 + 0x123).pa == 0x40200123
    assert device.mmu.walker.translate(M2).page_shift == 21


def test_pages_of_system_memory_and_their_clearing() -> None:
    device = Device()
    small_pages(device)
    device.store(0x104000, 0x550D, 0x56CD, 0x9981)
    assert device.at(0) == mapped(0x55000, meaning_of(HOST, VOLATILE))
    assert device.at(0x1000) == mapped(0x56000, meaning_of(HOST, VOLATILE | READ_ONLY | NO_ATOMIC))
    assert device.at(0x2000) == mapped(0x99000, meaning_of(VRAM, NO_ATOMIC))
    found = device.mmu.walker.translate(0x1000)
    assert aperture_in(found.meaning) == HOST
    assert access_in(found.meaning) == VOLATILE | READ_ONLY | NO_ATOMIC
    assert storage_in(found.meaning) == 0
    device.flush()
    device.store(0x104008, 0x56CC)
    assert device.at(0x1000) == NONE
    assert [one.how for one in device.mmu.current.unflushed(0x1000, 0x1FFF)] == [SHRANK]


def test_sparse_addresses_of_gp100() -> None:
    """formats.md D.7: sparse from 0, 421000 bytes."""
    device = Device()
    mmu = device.mmu
    small_pages(device)
    device.store(0x103008, 0)
    device.flush()
    device.free(0x104000)
    device.store(0x103000, 8, 0)
    device.store(0x103010, 8, 0)
    assert device.spans() == [(0, 2 * M2 - 1, ZEROS, -1, 0)]
    device.flush()
    device.table(0x104000, LPT, 0x20)
    device.store(0x103020, 0x10402, 0)
    device.store(0x104000, 8, 8)
    assert device.spans() == [(0, 0x41FFFF, ZEROS, -1, 0)]
    device.flush()
    device.table(0x105000, SPT)
    device.store(0x103028, 0x10502)
    assert device.at(0x420000) == NONE
    device.store(0x104010, 0)
    device.store(0x105100, 8)
    assert device.spans() == [(0, 0x420FFF, ZEROS, -1, 0)]
    device.flush()

    # Map two pages inside, and unmap them.
    device.table(0x106000, SPT, 8)
    device.store(0x103000, 0, 0x10602)
    device.store(0x106018, 0x1234001, 0x1234101)
    assert device.spans() == [
        (0, 0x2FFF, ZEROS, -1, 0),
        (0x3000, 0x4FFF, MAPPED, 0x12340000, VRAM),
        (0x5000, 0x420FFF, ZEROS, -1, 0),
    ]
    assert {one.how for one in mmu.current.unflushed(0x3000, 0x3FFF)} == {SHRANK, GREW, REPLACED}
    device.flush()
    device.store(0x103000, 8, 0)
    assert device.spans() == [(0, 0x420FFF, ZEROS, -1, 0)]
    device.flush()
    device.free(0x106000)
    assert device.seen() == []


def test_between_the_words_of_a_sparse_entry_the_small_table_decides() -> None:
    device = Device()
    small_pages(device)
    device.store(0x103000, 8)
    assert device.at(0) == mapped(0x12340000)
    device.store(0x103008, 0)
    assert device.at(0) == SPARSE


def test_gf100_with_large_pages_of_128_kib() -> None:
    device = Device(GF100_128K)
    device.table(0x110000, 2)
    device.store(0x100000, 0x0000110100000000)
    device.store(0x110000, 0x123411, 0x123421)
    assert device.spans() == [(0, 0x1FFF, MAPPED, 0x12341000, VRAM)]
    device.flush()
    device.table(0x150000, 1)
    device.store(0x100000, 0x0000110100001501)
    device.store(0x150008, 0x123601, 0x123801)
    assert device.spans() == [
        (0, 0x1FFF, MAPPED, 0x12341000, VRAM),
        (0x20000, 0x5FFFF, MAPPED, 0x12360000, VRAM),
    ]
    assert device.mmu.walker.translate(0x20000).page_shift == 17
    device.flush()
    device.store(0x100000, 0x1501)
    assert device.spans() == [(0x20000, 0x5FFFF, MAPPED, 0x12360000, VRAM)]
    device.flush()
    device.free(0x110000)
    assert device.seen() == []


def test_gk104_marks_large_entries_without_small_pages() -> None:
    """formats.md D.7: the large table first, then the small one in the same directory entry."""
    device = Device(GK104_128K)
    mmu = device.mmu
    device.table(0x150000, 1, 2)
    device.store(0x100000, 0x1501)
    assert device.spans() == []
    device.flush()
    device.table(0x110000, 2)
    device.store(0x100000, 0x0000110100001501)
    device.store(0x110000 + 32 * 8, 0x123411)
    # The large entry still says that nothing is there.
    assert device.at(0x20000) == NONE
    event = device.store(0x150008, 0)
    assert device.at(0x20000) == mapped(0x12341000)
    assert mmu.current.unflushed(0x20000, 0x20000)[-1].event == event
    assert [one.how for one in mmu.current.unflushed(0x20000, 0x20000)] == [GREW, GREW, MARKED]
    device.flush()
    device.store(0x110000 + 32 * 8, 0)
    device.store(0x150008, 2)
    assert [one.how for one in mmu.current.unflushed(0x20000, 0x3FFFF)] == [SHRANK, MARKED]
    assert device.spans() == []


def test_gk104_large_table_over_small_pages() -> None:
    device = Device(GK104_128K)
    device.table(0x110000, 2)
    device.store(0x100000, 0x0000110100000000)
    device.store(0x110000 + 63 * 8, 0x123411)
    device.alloc(0x150000, 1 << 13)
    device.store(0x150000, 0, 0, *[2] * 1022)
    device.store(0x100000, 0x0000110100001501)
    assert device.spans() == [(0x3F000, 0x3FFFF, MAPPED, 0x12341000, VRAM)]
    assert device.seen() == []


def test_sparse_addresses_of_gm200() -> None:
    device = Device(GM200_64K)
    span = 1 << 26
    device.store(0x100000, 0x0000000800000000)
    assert device.spans() == [(0, span - 1, ZEROS, -1, 0)]
    device.table(0x120000, 2)
    device.store(0x100008, 0x0000120100000000)
    device.store(0x120000, 0x0000000100000000)
    assert device.spans() == [(0, span + 0xFFF, ZEROS, -1, 0)]
    # Sparse is an entry that has no table in either half.
    device.store(0x100008, 0x0000120900000000)
    assert device.at(span) == SPARSE
    assert device.at(span + 0x1000) == NONE


def test_gh100_has_pages_of_512_mib() -> None:
    device = Device(GH100)
    for number in range(1, 4):
        device.table(0x100000 + number * 0x1000, number)
        above = 0x100000 + (number - 1) * 0x1000
        device.store(above, *GH100.directory(number - 1, 0x100000 + number * 0x1000))
    device.store(0x103008, GH100.leaf(3, 0x20000000, meaning_of(VRAM, READ_ONLY)))
    device.store(0x103010, GH100.sparse(3))
    size = 1 << 29
    assert device.spans() == [
        (size, 2 * size - 1, MAPPED, 0x20000000, meaning_of(VRAM, READ_ONLY)),
        (2 * size, 3 * size - 1, ZEROS, -1, 0),
    ]


def test_addresses_outside() -> None:
    device = Device()
    for va in (-1, GP100.limit, 1 << 60):
        found = device.mmu.walker.translate(va)
        assert (found.what, found.table) == (NOTHING, -1)
        assert [one.what for one in possible(device.mmu.walker, va)] == [NOTHING]
    nobody = NvidiaMmu(GP100)
    assert nobody.walker.translate(0).table == -1


def test_words_that_nobody_wrote_are_arbitrary() -> None:
    device = Device()
    small_pages(device)
    device.alloc(0x106000, 0x1000)
    device.store(0x103010, 0, 0x10602)
    assert device.at(M2)[0] == ARBITRARY
    device.store(0x106000, 0)
    assert device.at(M2) == NONE
    assert device.at(M2 + 0x1000)[0] == ARBITRARY
    # A directory entry that leads to another aperture leads to no table.
    device.store(0x103020, 0, GP100.directory(PD0, -1, 0x104000, HOST)[1])
    assert device.at(2 * M2)[0] == ARBITRARY
    assert device.seen() == ["published unwritten", "published nothing"]


def test_tables_in_system_memory() -> None:
    device = Device(GF100_128K, 0x1_0000_0000, HOST)
    device.table(0x1_0010_0000, 2)
    device.store(0x1_0000_0000, *GF100_128K.directory(0, -1, 0x1_0010_0000, HOST))
    device.store(0x1_0010_0000, 0x123411)
    assert device.at(0) == mapped(0x12341000)
    assert pdb_of(0x1_0000_0000, HOST) == (0x1000002, 0)
    device.flush()
    assert device.mmu.current.unflushed(0, 0) == []


def test_a_root_above_40_bits_needs_the_high_register() -> None:
    root = 0x123_4567_8000_0000
    device = Device(GP100, root)
    assert pdb_of(root) == (0x67800000, 0x12345)
    device.store(root, 8)
    device.flush()
    assert device.mmu.current.unflushed(0, 0) == []
    device.store(root, 0)
    device.event(BARRIER, BARRIER_FULL)
    device.event(REG_WRITE, SELECT_HIGH, 0)
    device.event(REG_WRITE, START, START_NOW | PAGE_ALL)
    device.finish()
    assert len(device.mmu.current.unflushed(0, 0)) == 1
    assert device.seen() == ["started other"]


# -- the cache ------------------------------------------------------------------------------


def test_what_changes_after_the_start_may_still_be_cached() -> None:
    device = Device()
    small_pages(device)
    device.store(0x104000, 0)
    device.start()
    late = device.store(0x104008, 0)
    assert len(device.mmu.current.unflushed(0, 0)) == 7 - 1
    device.finish()
    assert device.mmu.current.unflushed(0, 0) == []
    assert [one.event for one in device.mmu.current.unflushed(0x1000, 0x1000)] == [late]
    device.flush()
    assert device.mmu.current.changes == []


def test_a_store_of_what_is_there_changes_nothing() -> None:
    device = Device()
    small_pages(device)
    device.flush()
    device.store(0x104000, 0x1234001)
    device.store(0x100000, 0x10102)
    # Bits that the device does not look at: the rest of an entry with no table.
    device.store(0x103018, 0x1000)
    assert device.mmu.current.changes == []


def test_changes_say_how() -> None:
    device = Device()
    small_pages(device)
    large_pages(device)
    device.flush()
    for pa, word, how in (
        (0x104018, 0x1234301, GREW),
        (0x104018, 0x1234401, REPLACED),
        (0x104018, 8, REPLACED),
        (0x104018, 0, SHRANK),
        (0x104018, 8, GREW),
        (0x105010, 0x20, SHRANK),
        (0x105010, 0, MARKED),
        (0x105010, 0x20, MARKED),
        (0x105010, 0x1236001, GREW),
        (0x103000, 0, SHRANK),
        (0x103000, 0x10502, GREW),
    ):
        device.store(pa, word)
        assert device.mmu.current.changes[-1].how == how
    first = device.mmu.current.changes[0]
    assert repr(first) == (
        f"Change(event {first.event}, 0x3000..0x3fff grew, table 5, pa 0x104018)"
    )


def test_halves_of_one_word_say_how_together() -> None:
    device = Device(GF100_128K)
    device.table(0x110000, 2)
    device.table(0x150000, 1)
    for word, how in (
        (0x0000110100001501, GREW),
        (0x0000000000001501, SHRANK),
        (0x0000110100000000, SHRANK),
        (0x0000110100001501, GREW),
    ):
        device.store(0x100000, word)
        assert device.mmu.current.changes[-1].how == how


def test_a_table_that_nothing_leads_to_is_not_cached() -> None:
    device = Device()
    small_pages(device)
    device.flush()
    device.table(0x106000, SPT)
    device.store(0x106000, 0x1234001)
    device.store(0x106000, 0x1235001)
    assert device.mmu.current.changes == []
    device.store(0x103010, 0, 0x10602)
    assert [one.how for one in device.mmu.current.changes] == [GREW]
    assert device.at(M2) == mapped(0x12350000)


def test_an_unlinked_table_is_walked_until_it_is_invalidated() -> None:
    device = Device()
    small_pages(device)
    device.flush()
    device.store(0x103008, 0)
    device.store(0x104000, 0x1235001)
    assert [(one.what, one.pa) for one in possible(device.mmu.walker, 0)] == [
        (NOTHING, -1),
        (MAPPED, 0x12350000),
        (MAPPED, 0x12340000),
    ]
    assert device.mmu.current.changes[-1].table == SPT
    device.flush()
    assert [one.what for one in possible(device.mmu.walker, 0)] == [NOTHING]
    device.store(0x104000, 0x1236001)
    assert device.mmu.current.changes == []


def test_a_freed_table_behind_a_cached_entry_is_anything() -> None:
    device = Device()
    small_pages(device)
    device.flush()
    device.store(0x103008, 0)
    device.free(0x104000)
    assert [one.what for one in possible(device.mmu.walker, 0)] == [NOTHING, ARBITRARY]
    assert device.seen() == ["freed cached"]


def test_a_cached_hole_hides_a_small_page() -> None:
    device = Device()
    small_pages(device)
    large_pages(device)
    device.flush()
    device.store(0x104000 + 48 * 8, 0x1237001)
    device.store(0x105018, 0)
    assert [(one.what, one.pa) for one in possible(device.mmu.walker, 0x30000)] == [
        (MAPPED, 0x12370000),
        (NOTHING, -1),
    ]


def test_tables_that_no_walk_comes_to() -> None:
    device = Device()
    small_pages(device)
    device.table(0x106000, SPT)
    assert [one.pa for one in device.mmu.links.unreachable()] == [0x106000]
    device.store(0x102000, 0)
    assert [one.pa for one in device.mmu.links.unreachable()] == [0x106000]
    device.flush()
    assert [one.pa for one in device.mmu.links.unreachable()] == [0x103000, 0x104000, 0x106000]


def test_no_more_translations_than_asked_for() -> None:
    device = Device()
    small_pages(device)
    for i in range(20):
        device.store(0x104000, GP100.leaf(SPT, 0x10000 * i, VRAM))
    assert len(possible(device.mmu.walker, 0)) == 22
    few = possible(device.mmu.walker, 0, 5)
    assert len(few) == 5
    assert few[0].same(device.mmu.walker.translate(0))


def test_assuming_that_it_is_invalidated() -> None:
    device = Device()
    small_pages(device)
    device.store(0x103008, 0)
    device.mmu.assume_invalidated()
    assert device.mmu.current.changes == []
    device.free(0x104000)
    assert device.seen() == []


# -- observations ---------------------------------------------------------------------------


def observed_by(calls, prepare=small_pages, fmt=GP100) -> list[str]:
    """What ``calls`` on a device in use make observed."""
    device = Device(fmt)
    prepare(device)
    device.flush()
    assert device.seen() == []
    calls(device)
    for one in device.mmu.observations:
        assert device.mmu.counts[one.kind] > 0
        name = NAMES[one.kind] if one.kind < len(OBSERVATION_NAMES) else f"kind {one.kind}"
        assert repr(one).startswith(f"Observation({name} at event")
    return device.seen()


def test_publishing_a_table_with_unwritten_words() -> None:
    def calls(device: Device) -> None:
        device.alloc(0x106000, 0x1000)
        device.store(0x106000, *[0] * 511)
        device.store(0x103010, 0, 0x10602)

    assert observed_by(calls) == ["published unwritten"]


def test_publishing_a_table_behind_a_table() -> None:
    def calls(device: Device) -> None:
        device.table(0x107000, PD0)
        device.alloc(0x106000, 0x1000)
        device.store(0x107000, 0, 0x10602)
        assert device.seen() == []
        device.store(0x102008, 0x10702)

    assert observed_by(calls) == ["published unwritten"]


def test_words_beyond_the_table_need_not_be_written() -> None:
    """The root of GP100 has four entries, in a page."""
    device = Device()
    device.alloc(0x200000, 0x1000)
    device.store(0x200000, *[0x20] * 32)
    small_pages(device)
    device.store(0x103000, GP100.directory(PD0, 0x200000)[0])
    device.store(0x200100, 5)
    assert device.seen() == []
    assert device.at(0) == NONE


def test_publishing_what_is_no_table() -> None:
    def nothing(device: Device) -> None:
        device.store(0x103010, 0, 0x10602)

    def inside(device: Device) -> None:
        device.store(0x103010, GP100.directory(PD0, 0x104100)[0])

    def elsewhere(device: Device) -> None:
        device.store(0x103010, 0, GP100.directory(PD0, -1, 0x104000, NCOH)[1])

    for calls in (nothing, inside, elsewhere):
        assert observed_by(calls) == ["published nothing"]


def test_publishing_a_table_that_is_too_short() -> None:
    def calls(device: Device) -> None:
        device.alloc(0x106000, 0x800)
        device.event(FILL, 0x106000, 0x800, 0)
        device.store(0x103010, 0, 0x10602)
        assert device.at(M2) == NONE
        assert device.at(M2 + 0x100000)[0] == ARBITRARY

    assert observed_by(calls) == ["published short"]


def test_linking_a_table_twice() -> None:
    def again(device: Device) -> None:
        device.store(0x103010, 0, 0x10402)
        device.store(0x104000, 0)
        assert [one.first for one in device.mmu.current.changes] == [M2, 0, M2]

    def as_another(device: Device) -> None:
        device.store(0x103010, 0, 0x10302)

    def the_root(device: Device) -> None:
        device.store(0x103010, 0, 0x10002)

    for calls in (again, as_another):
        assert observed_by(calls) == ["linked twice"]
    # The root of GP100 is smaller than a page.
    assert observed_by(the_root) == ["published short", "linked twice"]


def test_moving_a_table_is_not_linking_it_twice() -> None:
    def calls(device: Device) -> None:
        device.store(0x103008, 0)
        device.store(0x103018, 0x10402)

    assert observed_by(calls) == []


@pytest.mark.parametrize(
    ("table", "entry"), [(0x104000, 0x103008), (0x103000, 0x102000), (0x101000, 0x100000)]
)
def test_freeing_a_table_that_can_be_reached(table: int, entry: int) -> None:
    def linked(device: Device) -> None:
        device.free(table)

    def cached(device: Device) -> None:
        device.store(entry, 0)
        device.free(table)

    def not_completed(device: Device) -> None:
        device.store(entry, 0)
        device.start()
        device.free(table)

    def too_early(device: Device) -> None:
        device.start()
        device.store(entry, 0)
        device.finish()
        device.free(table)

    def right(device: Device) -> None:
        device.store(entry, 0)
        device.flush()
        device.free(table)

    assert observed_by(linked) == ["freed linked"]
    for calls in (cached, not_completed, too_early):
        assert observed_by(calls) == ["freed cached"]
    assert observed_by(right) == []


def test_freeing_a_table_behind_one_that_was_freed_is_observed_once() -> None:
    def calls(device: Device) -> None:
        device.store(0x100000, 0)
        for table in (0x101000, 0x102000, 0x103000, 0x104000):
            device.free(table)

    assert observed_by(calls) == ["freed cached"]


def test_a_table_behind_a_cached_entry_is_cached() -> None:
    def calls(device: Device) -> None:
        device.store(0x100000, 0)
        device.free(0x104000)

    assert observed_by(calls) == ["freed cached"]


def test_an_entry_replaced_where_nobody_sees_it_is_not_cached() -> None:
    def calls(device: Device) -> None:
        device.store(0x100000, 0)
        device.flush()
        device.store(0x103008, 0)
        device.free(0x104000)

    assert observed_by(calls) == []


def test_freeing_the_root() -> None:
    def linked(device: Device) -> None:
        device.free(ROOT)

    def changed(device: Device) -> None:
        device.store(0x100000, 0)
        device.free(ROOT)

    assert observed_by(linked) == ["freed root"]
    assert observed_by(changed) == ["freed root"]


def test_an_address_space_after_another() -> None:
    device = Device()
    small_pages(device)
    device.store(0x100000, 0)
    device.flush()
    for table in (0x101000, 0x102000, 0x103000, 0x104000, ROOT):
        device.free(table)
    device.root = 0x104000
    device.table(0x104000, PD3)
    assert device.mmu.current.root == 0x104000
    device.table(0x100000, PD2)
    device.store(0x104000, 0x10002)
    device.store(0x100000, 8)
    assert device.spans() == [(0, (1 << 38) - 1, ZEROS, -1, 0)]
    device.flush()
    assert device.mmu.current.changes == []
    assert device.seen() == []


def test_freeing_and_storing_where_no_table_is() -> None:
    def unknown(device: Device) -> None:
        device.free(0x104100)

    def twice(device: Device) -> None:
        device.table(0x106000, SPT)
        device.free(0x106000)
        device.free(0x106000)

    def freed(device: Device) -> None:
        device.table(0x106000, SPT)
        device.free(0x106000)
        device.store(0x106008, 0)

    def outside(device: Device) -> None:
        device.store(0x105000, 0)

    def filled(device: Device) -> None:
        device.event(FILL, 0x200000, 0x1000, 0)

    assert observed_by(unknown) == ["freed unknown"]
    assert observed_by(twice) == ["freed unknown"]
    assert observed_by(freed) == ["stored freed"]
    assert observed_by(outside) == ["stored outside"]
    assert observed_by(filled) == ["stored outside"]


def test_allocating_what_is_a_table() -> None:
    def inside(device: Device) -> None:
        device.alloc(0x104100, 0x100)

    def around(device: Device) -> None:
        device.alloc(0x103F00, 0x10000)

    def same(device: Device) -> None:
        device.alloc(0x104000, 0x1000)

    assert observed_by(inside) == ["allocated twice"]
    assert observed_by(around) == ["allocated twice"] * 2
    assert observed_by(same) == ["allocated twice"]


def test_sub_allocated_tables_side_by_side() -> None:
    device = Device()
    small_pages(device)
    for i in range(16):
        device.table(0x106000 + 0x100 * i, LPT)
        device.store(0x103000 + 16 * (i + 1), *GP100.directory(PD0, 0x106000 + 0x100 * i))
        device.store(0x106008 + 0x100 * i, GP100.leaf(LPT, 0x20000000 + 0x10000 * i, VRAM))
    for i in range(16):
        assert device.at(M2 * (i + 1) + 0x10000) == mapped(0x20000000 + 0x10000 * i)
    device.flush()
    for i in range(16):
        device.store(0x103000 + 16 * (i + 1), 0)
    device.flush()
    for i in range(0, 16, 2):
        device.free(0x106000 + 0x100 * i)
    assert device.mmu.memory.was_freed(0x106000)
    assert not device.mmu.memory.was_freed(0x106100)
    for i in range(1, 16, 2):
        device.free(0x106000 + 0x100 * i)
    # The whole page is a table now: no part of it is freed any more.
    device.table(0x106000, SPT)
    device.free(0x106000)
    assert device.mmu.memory.was_freed(0x106FFF)
    assert not device.mmu.memory.was_freed(0x107000)
    assert device.seen() == []


def test_a_fill_of_a_table_in_use_is_as_many_stores() -> None:
    device = Device()
    small_pages(device)
    device.flush()
    device.event(FILL, 0x104000, 0x1000, 8)
    assert len(device.mmu.current.changes) == 512
    assert device.spans() == [(0, M2 - 1, ZEROS, -1, 0)]
    device.event(FILL, 0x104000, 0x10, 0)
    assert device.spans() == [(0x2000, M2 - 1, ZEROS, -1, 0)]


def test_starting_invalidations() -> None:
    def busy(device: Device) -> None:
        device.event(REG_READ, STATUS, READY)
        device.event(REG_WRITE, START, START_NOW | PAGE_ALL)
        device.event(REG_READ, STATUS, 0xFF0000)
        device.event(REG_WRITE, START, START_NOW | PAGE_ALL)

    def full(device: Device) -> None:
        device.event(REG_READ, STATUS, READY)
        device.event(REG_WRITE, START, START_NOW | PAGE_ALL)
        device.event(REG_READ, STATUS, 0x8000)
        device.event(REG_WRITE, START, START_NOW | PAGE_ALL)

    def other(device: Device) -> None:
        device.event(REG_READ, STATUS, READY)
        device.event(REG_WRITE, SELECT, 0x1010)
        device.event(REG_WRITE, START, START_NOW | PAGE_ALL)

    def other_aperture(device: Device) -> None:
        device.event(REG_READ, STATUS, READY)
        device.event(REG_WRITE, SELECT, 0x1002)
        device.event(REG_WRITE, START, START_NOW | PAGE_ALL)

    def not_all_pages(device: Device) -> None:
        device.start(0)

    def hub_only(device: Device) -> None:
        device.start(PAGE_ALL | HUB_ONLY)

    def selected_busy(device: Device) -> None:
        device.event(REG_READ, STATUS, READY)
        device.event(REG_WRITE, START, START_NOW | PAGE_ALL)
        device.event(REG_WRITE, SELECT, 0x1000)
        device.event(REG_WRITE, SELECT_HIGH, 0)

    assert observed_by(busy) == ["started busy"]
    assert observed_by(full) == ["started full"]
    assert observed_by(other) == ["started other"]
    assert observed_by(other_aperture) == ["started other"]
    assert observed_by(not_all_pages) == ["started narrow"]
    assert observed_by(hub_only) == ["started narrow"]
    assert observed_by(selected_busy) == ["selected busy"] * 2


def test_starting_before_anything_is_selected() -> None:
    device = Device()
    device.event(REG_READ, STATUS, READY)
    device.event(REG_WRITE, START, START_NOW | PAGE_ALL)
    assert device.seen() == ["started unselected"]


@pytest.mark.parametrize(
    ("select", "kind", "gpc", "covers"),
    [
        (0x1000, PAGE_ALL, True, True),
        (0x1000, PAGE_ALL | HUB_ONLY, True, False),
        (0x1000, PAGE_ALL | HUB_ONLY, False, True),
        (0x1000, 0, True, False),
        (0x2000, PAGE_ALL, True, False),
        (0x2000, PAGE_ALL | ALL_PDB, True, True),
    ],
)
def test_what_an_invalidation_covers(select: int, kind: int, gpc: bool, covers: bool) -> None:
    device = Device()
    device.mmu.gpc = gpc
    small_pages(device)
    device.event(REG_READ, STATUS, READY)
    device.event(REG_WRITE, SELECT, select)
    device.event(REG_WRITE, START, START_NOW | kind)
    device.finish()
    assert (device.mmu.current.changes == []) == covers
    one = device.mmu.invalidations[-1]
    assert (one.kind, bool(one.contexts)) == (kind, covers)
    assert one.completed == one.started + 1


def test_an_invalidation_before_stores_are_visible() -> None:
    device = Device()
    small_pages(device)
    device.flush()
    for barrier, seen in ((BARRIER_FULL, []), (BARRIER_ORDER, ["issued unseen"])):
        device.mmu.observations.clear()
        device.store(0x104000, 0)
        device.event(BARRIER, barrier)
        device.event(REG_READ, STATUS, READY)
        device.event(REG_WRITE, START, START_NOW | PAGE_ALL)
        device.finish()
        assert device.seen() == seen


def test_several_contexts_share_tables() -> None:
    """Two roots lead to one directory: each context has its own addresses, cache and flushes."""
    device = Device()
    small_pages(device)
    links = device.mmu.links
    device.flush()
    other = links.add_context()
    device.table(0x200000, PD3)
    links.attach(other, 0x200000)
    # The directory of level 1 is the second one's at another address.
    device.store(0x200008, *GP100.directory(PD3, 0x101000))
    first = device.mmu.current
    walker = PairedWalker(links, other)
    span = GP100.tables[PD3].span
    assert device.seen() == ["linked twice"]
    assert device.at(0x1000) == mapped(0x12341000)
    assert walker.translate(0x1000).what == NOTHING
    assert walker.translate(span + 0x1000).pa == 0x12341000
    # A store concerns both, each at its addresses; an invalidation that for which it is.
    device.store(0x104008, 0)
    device.event(BARRIER, BARRIER_FULL)
    assert [one.first for one in first.changes] == [0x1000]
    assert [one.first for one in other.changes][-1] == span + 0x1000
    device.flush()
    assert first.changes == []
    assert [one.what for one in possible(walker, span + 0x1000)] == [NOTHING, MAPPED]
    # What one context may have cached is reached by nobody else.
    device.store(0x200008, 0)
    assert links.bases(other, device.mmu.memory.tables[0x104000]) == [span]
    device.store(0x100000, 0)
    device.flush()
    assert links.bases(first, device.mmu.memory.tables[0x104000]) == []
    assert links.bases(other, device.mmu.memory.tables[0x104000]) == [span]
    device.start(PAGE_ALL | ALL_PDB)
    device.finish()
    assert other.changes == []
    assert other.stale == []
    assert [one.pa for one in links.unreachable()] == [0x101000, 0x102000, 0x103000, 0x104000]


def test_other_registers_and_events_do_nothing() -> None:
    device = Device(GF100_128K)
    device.event(REG_WRITE, SELECT_HIGH, 5)
    device.event(REG_WRITE, 0x100C84, 5)
    device.event(REG_WRITE, START, PAGE_ALL)
    device.event(REG_READ, SELECT, 0)
    device.event(BARRIER)
    assert device.mmu.select_high == 0
    assert device.mmu.invalidations == []
    device.flush()
    assert device.seen() == []


def test_attaching_a_root() -> None:
    device = Device()
    device.table(0x200000, PD3)
    device.table(0x300000, PD2, 8)
    device.store(0x200000, GP100.directory(PD3, 0x300000)[0])
    assert device.spans() == []
    device.mmu.links.attach(device.mmu.current, 0x200000)
    assert device.spans() == [(0, (1 << 47) - 1, ZEROS, -1, 0)]
    device.store(0x300000, 0)
    assert len(device.mmu.current.changes) == 1


# -- comparing with the promise -------------------------------------------------------------


def test_differences() -> None:
    device = Device()
    small_pages(device)
    mmu = device.mmu
    promise = Pieces(GP100.limit)
    found = mmu.walker.difference(promise, 0, GP100.limit - 1)
    assert found is not None
    assert (found.va, found.found.pa, found.promised) == (0, 0x12340000, None)
    promise.map(0, 0x2FFF, 0x12340000, VRAM)
    assert mmu.walker.difference(promise, 0, GP100.limit - 1) is None
    for change, va in (
        (lambda: promise.sparse(0x1FF000, 0x1FFFFF), 0x1FF000),
        (lambda: promise.map(0x1000, 0x1FFF, 0x12341000, meaning_of(VRAM, READ_ONLY)), 0x1000),
        (lambda: promise.map(0x2000, 0x2FFF, 0x12343000, VRAM), 0x2000),
        (lambda: promise.clear(0x1000, 0x2FFF), 0x1000),
        (lambda: promise.map(M2, 2 * M2 - 1, 0x40000000, VRAM), M2),
    ):
        before = promise.pieces(0, GP100.limit - 1)
        change()
        found = mmu.walker.difference(promise, 0, GP100.limit - 1)
        assert found is not None
        assert found.va == va
        promise.take(0, GP100.limit - 1, before)
    device.store(0x104000 + 8 * 511, 8)
    found = mmu.walker.difference(promise, 0, GP100.limit - 1)
    assert found is not None
    assert (found.va, found.found.what) == (0x1FF000, ZEROS)


def test_runs_of_pages_end_where_something_changes() -> None:
    for changed, pieces in (
        (0x1234201, [(0, 0x7FFF, 0x12340000)]),
        (0x1234301, [(0, 0x1FFF, 0x12340000), (0x2000, 0x2FFF, 0x12343000), (0x3000, 0x7FFF, 0)]),
        (0x1234241, [(0, 0x1FFF, 0x12340000), (0x2000, 0x2FFF, 0x12342000), (0x3000, 0x7FFF, 0)]),
    ):
        device = Device()
        small_pages(device)
        device.store(0x104000, *(GP100.leaf(SPT, 0x12340000 + 0x1000 * i, VRAM) for i in range(8)))
        device.store(0x104010, changed)
        found = [(one.first, one.last) for one in device.mmu.walker.pieces(0, M2 - 1)]
        assert found == [(first, last) for first, last, _ in pieces]
        assert [one.pa for one in device.mmu.walker.pieces(0, M2 - 1)][:2] == [
            pa for _, _, pa in pieces
        ][:2]


def test_a_run_does_not_carry_into_other_fields() -> None:
    """The last page of 128 GiB, and a word that is one page more as a number."""
    device = Device()
    small_pages(device)
    last_page = GP100.leaf(SPT, (1 << 37) - 0x1000, VRAM)
    device.store(0x104000, last_page, last_page + 0x100)
    assert [one.last for one in device.mmu.walker.pieces(0, 0x1FFF)] == [0xFFF, 0x1FFF]


def test_comparing_beyond_the_address_space_ends() -> None:
    device = Device()
    promise = Pieces(GP100.limit)
    assert device.mmu.walker.difference(promise, GP100.limit - 1, GP100.limit + 5) is None
    assert device.mmu.walker.difference(Pieces(M2), 0, GP100.limit - 1) is None
    assert device.mmu.walker.pieces(GP100.limit, GP100.limit + 5) == []


def test_without_a_root_all_addresses_are_looked_at_in_one_step() -> None:
    """Looking byte by byte would not end in a lifetime."""
    device = Device()
    small_pages(device)
    device.free(ROOT)
    found = device.mmu.walker.translate(0x1000)
    assert (found.what, found.first, found.last) == (NOTHING, 0, GP100.limit - 1)
    assert device.mmu.walker.pieces(0, GP100.limit - 1) == []
    promise = Pieces(GP100.limit)
    assert device.mmu.walker.difference(promise, 0, GP100.limit - 1) is None
    promise.map(0x5000, 0x5FFF, 0, 0)
    different = device.mmu.walker.difference(promise, 0, GP100.limit - 1)
    assert different is not None
    assert different.va == 0x5000


class Builder(Device):
    """Puts single entries in tables that it makes where they are needed."""

    def __init__(self, fmt: Format) -> None:
        super().__init__(fmt)
        self.next = ROOT + 0x100000
        self.made: dict[tuple[int, int], int] = {(0, 0): ROOT}

    def table_for(self, number: int, va: int) -> int:
        """The address of the table of this number that translates ``va``."""
        fmt = self.fmt
        one = fmt.tables[number]
        key = (number, va // (one.span * one.entries))
        if key not in self.made:
            self.made[key] = self.next
            self.table(self.next, number)
            self.next += max(one.bytes, 0x1000)
            parent = min(number - 1, fmt.last_directory)
            entry = self.entry(parent, va)
            pas = [self.made.get((half.child, key[1])) for half in fmt.tables[parent].halves]
            words = fmt.directory(parent, *(-1 if pa is None else pa for pa in pas))
            self.store(entry, *words)
        return self.made[key]

    def entry(self, number: int, va: int) -> int:
        one = self.fmt.tables[number]
        return self.table_for(number, va) + self.fmt.index(number, va) * one.words * 8


def entries_for(fmt: Format) -> st.SearchStrategy:
    """(table, va, sparse, pa, meaning) of entries near 0, near others, and at the end."""
    page_sizes = [page for page in fmt.pages if page.sparse or page.vram]
    bases = [0, 1 << 21, 1 << 27, fmt.limit - (1 << 29)]

    def of(page) -> st.SearchStrategy:
        span = 1 << page.shift
        return st.tuples(
            st.just(page.table),
            st.tuples(st.sampled_from(bases), st.integers(0, 70)).map(
                lambda at: min(at[0] // span + at[1], fmt.limit // span - 1) * span
            ),
            st.booleans().map(lambda sparse: (sparse and page.sparse) or not page.vram),
            st.integers(0, 8).map(lambda n: n * span),
            st.sampled_from([VRAM, meaning_of(VRAM, READ_ONLY), meaning_of(HOST, VOLATILE)]),
        )

    return st.lists(st.sampled_from(page_sizes).flatmap(of), max_size=12)


@settings(max_examples=60)
@given(st.sampled_from(NVIDIA).flatmap(lambda fmt: st.tuples(st.just(fmt), entries_for(fmt))))
def test_the_walk_of_tables_built_by_hand(case) -> None:
    """Larger entries are put in first, and smaller ones only where no larger one is."""
    fmt, entries = case
    device = Builder(fmt)
    promise = Pieces(fmt.limit)
    placed: set[tuple[int, int]] = set()
    for number, va, sparse, pa, meaning in sorted(entries, key=lambda one: one[0]):
        span = fmt.tables[number].span
        if promise.pieces(va, va + span - 1) and (number, va) not in placed:
            continue
        placed.add((number, va))
        if sparse:
            word = fmt.sparse(number)
            promise.sparse(va, va + span - 1)
        else:
            word = fmt.leaf(number, pa, meaning)
            promise.map(va, va + span - 1, pa, meaning)
        device.store(device.entry(number, va), word)
    assert device.seen() == []
    assert device.mmu.walker.difference(promise, 0, fmt.limit - 1) is None
    told = [repr(one) for one in promise.pieces(0, fmt.limit - 1)]
    assert [repr(one) for one in device.mmu.walker.pieces(0, fmt.limit - 1)] == told
    for number, va in placed:
        found = device.mmu.walker.translate(va)
        assert (found.first, found.last) == (va, va + fmt.tables[number].span - 1)
        assert found.page_shift == fmt.tables[number].shift
    # An invalidation forgets everything.
    assert bool(device.mmu.current.changes) == bool(entries)
    device.flush()
    assert device.mmu.current.unflushed(0, fmt.limit - 1) == []
    for _, va in placed:
        only = possible(device.mmu.walker, va)
        assert len(only) == 1
        assert only[0].same(device.mmu.walker.translate(va))


# -- the cache against remembering everything -------------------------------------------------

TABLES = {0x101000: PD2, 0x102000: PD1, 0x103000: PD0, 0x107000: PD0}
LARGE = (0x104000, 0x104100)
SMALL = (0x105000, 0x106000)
LOOKED_AT = (0, 0x1000, 0x10000, M2, 1 << 29)

stores = st.one_of(
    st.tuples(
        st.just("store"),
        st.sampled_from([0x102000, 0x102008]),
        st.sampled_from([0, 8, 0x10302, 0x10702]),
    ),
    st.tuples(
        st.just("store"),
        st.sampled_from([0x103000, 0x103010, 0x107000]),
        st.sampled_from([0, 8, 0x10402, 0x10412, 0x4000001, 0x4020001]),
    ),
    st.tuples(
        st.just("store"),
        st.sampled_from([0x103008, 0x103018, 0x107008]),
        st.sampled_from([0, 0x10502, 0x10602]),
    ),
    st.tuples(
        st.just("store"),
        st.sampled_from([0x104000, 0x104008, 0x104100]),
        st.sampled_from([0, 8, 0x20, 0x1235001]),
    ),
    st.tuples(
        st.just("store"),
        st.sampled_from([0x105000, 0x105008, 0x106000]),
        st.sampled_from([0, 8, 0x1234001, 0x1234101, 0x1236001]),
    ),
)
steps = st.lists(
    st.one_of(stores, stores, stores, st.just(("start",)), st.just(("finish",))), max_size=40
)


class Remembering:
    """The naive cache: every word that was replaced where a walk could come, and when."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.old: list[tuple[int, int, int]] = []
        self.walks: list[tuple[int, int, Translation]] = []

    def word(self, pa: int) -> int:
        table = self.device.mmu.memory.table_of(pa)
        assert table is not None
        return table.words[(pa - table.pa) // 8]

    def reachable(self) -> set[tuple[int, int]]:
        """(table, number) of every table that a walk can come to."""
        found: set[tuple[int, int]] = set()
        left = [(ROOT, 0)]
        while left:
            pa, number = left.pop()
            if (pa, number) in found or pa not in self.device.mmu.memory.tables:
                continue
            found.add((pa, number))
            one = GP100.tables[number]
            for index in range(one.entries * one.words):
                at = pa + 8 * index
                versions = [self.word(at)] + [old for where, old, _ in self.old if where == at]
                for half in one.halves:
                    if half.child >= 0 and half.word == index % one.words:
                        left += [
                            (half.output(word), half.child)
                            for word in versions
                            if half.role(word) == TABLE
                        ]
        return found

    def store(self, pa: int, word: int) -> None:
        event = len(self.device.trace)
        old = self.word(pa)
        table = self.device.mmu.memory.table_of(pa)
        assert table is not None
        if old != word and table.pa in {one for one, _ in self.reachable()}:
            self.old.append((pa, old, event))
        self.device.store(pa, word)
        self.look(event)

    def look(self, event: int) -> None:
        """Remember what is walked now."""
        for va in LOOKED_AT:
            self.walks.append((event, va, self.device.mmu.walker.translate(va)))

    def flushed(self, started: int) -> None:
        self.old = [one for one in self.old if one[2] >= started]
        # What was last seen before the start was what memory held at the start.
        latest = {va: n for n, (event, va, _) in enumerate(self.walks) if event < started}
        self.walks = [
            one for n, one in enumerate(self.walks) if one[0] >= started or n == latest.get(one[1])
        ]


@settings(max_examples=120)
@given(steps)
def test_the_cache_against_remembering_everything(calls) -> None:
    device = Device()
    for pa, number in TABLES.items():
        device.table(pa, number)
    for pa in LARGE:
        device.table(pa, LPT)
    for pa in SMALL:
        device.table(pa, SPT)
    device.store(0x100000, 0x10102)
    device.store(0x101000, 0x10202)
    device.flush()
    naive = Remembering(device)
    naive.look(len(device.trace) - 1)
    started = -1
    for call in calls:
        if call[0] == "store":
            naive.store(call[1], call[2])
        elif call[0] == "start" and started < 0:
            started = device.start()
        elif call[0] == "finish" and started >= 0:
            device.finish()
            naive.flushed(started)
            started = -1
    whole = device.mmu.walker.pieces(0, GP100.limit - 1)
    # 1. The same tables can be come to, in the same places in the format.
    mine = {
        (pa, number)
        for pa, table in device.mmu.memory.tables.items()
        for number in range(6)
        if device.mmu.links._bases(device.mmu.current, table, number)
    }
    assert mine == naive.reachable()
    # 2. Everything that was walked since the last invalidation started is possible now.
    for _, va, walked in naive.walks:
        assert any(walked.same(one) for one in possible(device.mmu.walker, va, 100000))
    # 3. What differs from the walk now is in the list of changes.
    for va in LOOKED_AT:
        now = device.mmu.walker.translate(va)
        others = [one for one in possible(device.mmu.walker, va, 100000) if not one.same(now)]
        assert not others or device.mmu.current.unflushed(va, va)
    # 4. Runs of entries say what each entry says.
    pages = [*range(0, 0x30000, 0x1000), *range(M2 - 0x2000, M2 + 0x12000, 0x1000)]
    for va in pages:
        piece = device.mmu.walker.pieces(va, va + 0xFFF)
        single = device.at(va)
        assert [(one.what, one.pa, one.meaning) for one in piece] == (
            [] if single == NONE else [single]
        )
        assert [p.what for p in whole if p.first <= va <= p.last] == (
            [] if single == NONE else [single[0]]
        )
    # 5. An invalidation forgets everything.
    device.finish()
    device.flush()
    assert device.mmu.current.changes == []
    assert device.mmu.current.stale == []
    for va in LOOKED_AT:
        assert [
            one.same(device.mmu.walker.translate(va)) for one in possible(device.mmu.walker, va)
        ] == [True]


def test_poison_is_what_nobody_wrote() -> None:
    device = Device()
    device.alloc(0x106000, 0x100)
    assert device.mmu.memory.tables[0x106000].words == [POISON] * 32
    assert device.mmu.memory.tables[0x106000].unwritten == 32
