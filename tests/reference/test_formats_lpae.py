"""LPAE: words and walks known from running Linux's encoder, and the manual's tables."""

import pytest
from hypothesis import given

from reference.formats.access import (
    ACCESS_MASK,
    CACHE,
    CACHED,
    DEVICE,
    GLOBAL,
    MEMORY_MASK,
    MMIO,
    NOEXEC,
    NON_CACHED,
    OTHER_MEMORY,
    P_EXEC,
    P_READ,
    P_WRITE,
    PRIV,
    PROT_COUNT,
    READ,
    SHARE_INNER,
    SHARE_MASK,
    SHARE_OUTER,
    U_EXEC,
    U_READ,
    U_WRITE,
    WRITE,
)
from reference.formats.entry import INVALID, LEAF, TABLE
from reference.formats.lpae import LPAE_MALI, LPAE_S1
from reference.words import to_signed, to_unsigned
from strategies.formats import aligned_addresses, permissions

RW = READ | WRITE
U_ALL = U_READ | U_WRITE | U_EXEC
P_ALL = P_READ | P_WRITE | P_EXEC


# -- stage 1 ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prot", "low_bits"),
    [
        (RW | CACHE, 0xF47),
        (READ | CACHE, 0xFC7),
        (RW, 0xE43),
        (READ, 0xEC3),
        (WRITE | CACHE, 0xF47),
        (RW | MMIO, 0xE4B),
        (RW | MMIO | CACHE, 0xF4B),
        (RW | PRIV | NOEXEC | CACHE, 0xF07),
        (READ | PRIV | NOEXEC, 0xE83),
    ],
)
def test_leaf_bits_of_a_page(prot: int, low_bits: int) -> None:
    never = 0x0060000000000000
    if not prot & PRIV:
        assert LPAE_S1.leaf(3, 0, prot) == low_bits
    assert LPAE_S1.leaf(3, 0xC0DE0000, prot | NOEXEC) == 0xC0DE0000 | low_bits | never
    assert LPAE_S1.leaf(2, 0x140200000, prot | NOEXEC) == 0x140200000 | low_bits - 2 | never


@given(permissions(useful=True), aligned_addresses(48, 4096))
def test_leaf_against_the_formula(prot: int, pa: int) -> None:
    """The formula of the reverse-engineered facts, which knows nothing of fields."""
    expected = pa | 3 | 0x400 | 0x800
    expected |= 2 << 2 if prot & MMIO else 1 << 2 if prot & CACHE else 0
    expected |= 3 << 8 if prot & CACHE else 2 << 8
    if not prot & WRITE:
        expected |= 0x80
    if not prot & PRIV:
        expected |= 0x40
    if prot & NOEXEC:
        expected |= 0x0060000000000000
    elif prot & PRIV:
        expected |= 0x0040000000000000
    assert LPAE_S1.leaf(3, pa, prot) == expected


def test_walk_to_a_page_with_48_input_bits() -> None:
    geometry = LPAE_S1.geometry(48)
    va = 0x7F0012345000
    assert geometry.start_level == 0
    assert geometry.root_entries == 512
    assert [geometry.index(level, va) for level in range(4)] == [0xFE, 0, 0x91, 0x145]
    assert LPAE_S1.leaf(3, 0xC0DE0000, RW | CACHE) == 0xC0DE0F47
    for level, pa in enumerate((0x80001000, 0x80002000, 0x80003000)):
        assert LPAE_S1.table(level, pa) == pa | 3
        for word in (pa | 3, pa | 3 | 1 << 55):
            assert LPAE_S1.kind(level, word) == TABLE
            assert LPAE_S1.next_table(level, word) == pa
            assert LPAE_S1.same(level, word, pa | 3)


def test_walk_to_a_page_with_39_input_bits() -> None:
    geometry = LPAE_S1.geometry(39)
    assert geometry.start_level == 1
    assert geometry.root_entries == 512
    assert [geometry.index(level, 0x12345000) for level in (1, 2, 3)] == [0, 145, 325]
    assert not geometry.contains(0x7F0012345000)


def test_walk_to_a_block() -> None:
    geometry = LPAE_S1.geometry(48)
    assert [geometry.index(level, 0x40200000) for level in range(3)] == [0, 1, 1]
    word = LPAE_S1.leaf(2, 0x140200000, RW | CACHE | NOEXEC)
    assert word == 0x0060000140200F45
    assert LPAE_S1.kind(2, word) == LEAF
    assert LPAE_S1.output(2, word) == 0x140200000


def test_pages_that_replace_a_block() -> None:
    pages = {i: LPAE_S1.leaf(3, 0x140200000 + 0x1000 * i, RW | CACHE | NOEXEC) for i in (4, 7)}
    assert pages == {4: 0x0060000140204F47, 7: 0x0060000140207F47}
    block = LPAE_S1.leaf(2, 0x140200000, RW | CACHE | NOEXEC)
    assert LPAE_S1.meaning(3, pages[4]) == LPAE_S1.meaning(2, block)


@pytest.mark.parametrize(
    ("ias", "start_level", "root_entries"),
    [(32, 1, 4), (33, 1, 8), (38, 1, 256), (39, 1, 512), (40, 0, 2), (47, 0, 256), (48, 0, 512)],
)
def test_roots(ias: int, start_level: int, root_entries: int) -> None:
    geometry = LPAE_S1.geometry(ias)
    assert (geometry.start_level, geometry.root_entries) == (start_level, root_entries)
    assert geometry.root_bytes == 8 * root_entries


@pytest.mark.parametrize("level", range(4))
def test_what_type_bits_mean_at_each_level(level: int) -> None:
    """Level 0 has no blocks, level 3 has pages and no blocks; bit 0 clear is never valid."""
    kinds = [LPAE_S1.kind(level, type_bits) for type_bits in range(4)]
    assert kinds[0] == kinds[2] == INVALID
    assert kinds[1] == (LEAF if level in (1, 2) else INVALID)
    assert kinds[3] == (LEAF if level == 3 else TABLE)


@pytest.mark.parametrize(
    ("ap", "uxn", "pxn", "unprivileged", "privileged"),
    [
        (0, 0, 0, U_EXEC, P_ALL),
        (0, 0, 1, U_EXEC, P_READ | P_WRITE),
        (0, 1, 0, 0, P_ALL),
        (0, 1, 1, 0, P_READ | P_WRITE),
        (1, 0, 0, U_ALL, P_READ | P_WRITE),
        (1, 0, 1, U_ALL, P_READ | P_WRITE),
        (1, 1, 0, U_READ | U_WRITE, P_READ | P_WRITE),
        (1, 1, 1, U_READ | U_WRITE, P_READ | P_WRITE),
        (2, 0, 0, U_EXEC, P_READ | P_EXEC),
        (2, 0, 1, U_EXEC, P_READ),
        (2, 1, 0, 0, P_READ | P_EXEC),
        (2, 1, 1, 0, P_READ),
        (3, 0, 0, U_READ | U_EXEC, P_READ | P_EXEC),
        (3, 0, 1, U_READ | U_EXEC, P_READ),
        (3, 1, 0, U_READ, P_READ | P_EXEC),
        (3, 1, 1, U_READ, P_READ),
    ],
)
def test_permissions_of_the_manual(
    ap: int, uxn: int, pxn: int, unprivileged: int, privileged: int
) -> None:
    word = 3 | ap << 6 | 1 << 10 | uxn << 54 | pxn << 53
    assert LPAE_S1.meaning(3, word) & ACCESS_MASK == unprivileged | privileged
    assert LPAE_S1.meaning(3, word & ~(1 << 10)) & ACCESS_MASK == 0


@pytest.mark.parametrize("level", [1, 2, 3])
def test_memory_types_and_shareability(level: int) -> None:
    leaf = LPAE_S1.leaf(level, 0, RW)
    memory = [LPAE_S1.meaning(level, leaf & ~0x1C | n << 2) & MEMORY_MASK for n in range(8)]
    assert memory[:3] == [NON_CACHED, CACHED, DEVICE]
    assert memory[3:] == [OTHER_MEMORY + 0x100 * n for n in range(3, 8)]
    for n, expected in ((0, 2), (1, 3), (2, 2)):
        inner = LPAE_S1.meaning(level, leaf & ~0x1C | n << 2 | 3 << 8)
        assert (inner & SHARE_MASK) >> 12 == expected


def test_global_is_what_has_no_address_space() -> None:
    leaf = LPAE_S1.leaf(3, 0, RW)
    assert not LPAE_S1.meaning(3, leaf) & GLOBAL
    assert LPAE_S1.meaning(3, leaf & ~(1 << 11)) == LPAE_S1.meaning(3, leaf) | GLOBAL


@pytest.mark.parametrize(
    ("prot", "access"),
    [
        (0, 0),
        (NOEXEC | CACHE, 0),
        (READ, U_READ | U_EXEC | P_READ | P_EXEC),
        (READ | NOEXEC, U_READ | P_READ),
        (WRITE, U_ALL | P_READ | P_WRITE),
        (WRITE | NOEXEC, U_READ | U_WRITE | P_READ | P_WRITE),
        (RW, U_ALL | P_READ | P_WRITE),
        (RW | PRIV, P_ALL),
        (READ | PRIV, P_READ | P_EXEC),
        (READ | PRIV | NOEXEC, P_READ),
    ],
)
def test_promises_of_stage_1(prot: int, access: int) -> None:
    assert LPAE_S1.promised(prot) == access | NON_CACHED | SHARE_OUTER or prot & CACHE
    assert LPAE_S1.promised(prot | CACHE) == access | CACHED | SHARE_INNER
    assert LPAE_S1.promised(prot | MMIO) == access | DEVICE | SHARE_OUTER
    assert LPAE_S1.promised(prot | MMIO | CACHE) == access | DEVICE | SHARE_OUTER


def test_a_privileged_word_that_leaves_execution_open_is_told_apart() -> None:
    """AP alone does not keep unprivileged instruction fetches out; UXN does."""
    word = 0x0000000000000F07
    assert LPAE_S1.meaning(3, word) & ACCESS_MASK == P_ALL | U_EXEC
    assert LPAE_S1.meaning(3, word) != LPAE_S1.promised(RW | CACHE | PRIV)
    assert LPAE_S1.meaning(3, word | 1 << 54) == LPAE_S1.promised(RW | CACHE | PRIV)


@pytest.mark.parametrize(
    ("bits", "denied"),
    [
        (0, 0),
        (1 << 61, U_READ | U_WRITE),
        (2 << 61, U_WRITE | P_WRITE),
        (3 << 61, U_READ | U_WRITE | P_WRITE),
        (1 << 60, U_EXEC),
        (1 << 59, P_EXEC),
        (1 << 63, 0),
        (1 << 55 | 0xFFC, 0),
    ],
)
def test_limits_of_table_entries(bits: int, denied: int) -> None:
    for level in range(3):
        for _ in range(2):
            assert LPAE_S1.denied(level, to_signed(0x80001003 | bits)) == denied
    assert LPAE_S1.same(1, to_signed(0x80001003 | bits), 0x80001003) == (denied == 0)


def test_descriptions() -> None:
    describe = LPAE_S1.describe
    assert describe(3, 0xC0DE0F47) == (
        "page pa=0xc0de0000 AttrIndx=1 cached AP=rw,unprivileged SH=inner AF nG"
    )
    assert describe(2, 0x0060000140200EC5 | 1 << 4) == (
        "block pa=0x140200000 AttrIndx=0x5 AP=ro,unprivileged SH=outer AF nG PXN UXN"
    )
    assert describe(3, 0xC0DE0B47).split()[-2:] == ["AF=0", "nG"]
    assert describe(0, 0x80001003) == "table pa=0x80001000"
    assert describe(0, 0x0080000080001003) == "table pa=0x80001000 (synced)"
    assert describe(1, 0) == "invalid"
    assert describe(3, 0xF45).startswith("reserved")
    assert describe(2, 0x140210F45).split()[-1] == "nT"
    assert describe(2, 0x140203F45).split()[-1] == "reserved[15:12]=0x3"


def test_readings_of_a_word() -> None:
    readings = {r.kind.name: r.levels for r in LPAE_S1.decode(0xC0DE0F47)}
    assert readings == {"table": (0, 1, 2), "page": (3,)}
    blocks = [(r.kind.name, r.levels, r.address) for r in LPAE_S1.decode(0x4040200F45)]
    assert blocks == [
        ("reserved", (0, 3), None),
        ("block", (1,), 0x4040000000 - 0x0),
        ("block", (2,), 0x4040200000),
    ]
    assert [r.levels for r in LPAE_S1.decode(0)] == [(0, 1, 2, 3)]


# -- Midgard --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prot", "word"),
    [
        (RW | CACHE, 0x2C5),
        (READ | CACHE, 0x245),
        (WRITE | CACHE, 0x285),
        (RW, 0x2C1),
        (RW | MMIO, 0x2C9),
        (RW | MMIO | CACHE, 0x2C9),
        (READ | NOEXEC, 0x0060000000000241),
        (RW | PRIV, 0x2C1),
    ],
)
def test_leaf_bits_of_midgard(prot: int, word: int) -> None:
    for level in (1, 2, 3):
        assert LPAE_MALI.leaf(level, 0x40000000, prot) == word | 0x40000000


@pytest.mark.parametrize("level", range(4))
def test_what_type_bits_mean_at_each_level_of_midgard(level: int) -> None:
    kinds = [LPAE_MALI.kind(level, type_bits) for type_bits in range(4)]
    assert kinds == [INVALID, LEAF, INVALID, INVALID if level == 3 else TABLE]


@pytest.mark.parametrize(("ias", "root_entries"), [(32, 1), (39, 1), (40, 2), (44, 32), (48, 512)])
def test_midgard_always_has_four_levels(ias: int, root_entries: int) -> None:
    geometry = LPAE_MALI.geometry(ias)
    assert (geometry.start_level, geometry.levels) == (0, 4)
    assert geometry.root_entries == root_entries


def test_promises_of_midgard() -> None:
    for prot in range(PROT_COUNT):
        promise = LPAE_MALI.promised(prot)
        for unprivileged, privileged, wanted in (
            (U_READ, P_READ, prot & READ),
            (U_WRITE, P_WRITE, prot & WRITE),
            (U_EXEC, P_EXEC, prot & RW and not prot & NOEXEC),
        ):
            assert bool(promise & unprivileged) == bool(promise & privileged) == bool(wanted)
        assert promise & SHARE_MASK == SHARE_OUTER
        assert promise & MEMORY_MASK == (
            DEVICE if prot & MMIO else CACHED if prot & CACHE else NON_CACHED
        )


def test_descriptions_of_midgard() -> None:
    assert LPAE_MALI.describe(3, 0xC0DE02C5) == (
        "page pa=0xc0de0000 AttrIndx=1 cached access rights=rw SH=outer"
    )
    assert LPAE_MALI.describe(3, 0xC0DE02C7).startswith("reserved")
    assert to_unsigned(LPAE_MALI.table(0, 0x1000)) == 0x1003
