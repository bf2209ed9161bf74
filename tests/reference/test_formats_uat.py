"""UAT: words and walks known from running the driver's encoder."""

import pytest

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
    P_READ,
    P_WRITE,
    PRIV,
    READ,
    U_READ,
    U_WRITE,
    UNKNOWN,
    WRITE,
    access_letters,
    access_text,
)
from reference.formats.entry import INVALID, LEAF, TABLE
from reference.formats.uat import UAT
from reference.words import to_signed

RW = READ | WRITE
G_RW = U_READ | U_WRITE
F_RW = P_READ | P_WRITE

FW_MMIO_RW = PRIV | RW | CACHE | MMIO
FW_MMIO_RO = PRIV | READ | CACHE | MMIO
FW_SHARED_RW = PRIV | RW | CACHE
FW_SHARED_RO = PRIV | READ | CACHE
FW_PRIV_RW = PRIV | RW
FW_PRIV_RO = PRIV | READ
GPU_FW_SHARED_RW = RW | CACHE
GPU_FW_PRIV_RW = RW
GPU_SHARED_RW = RW | CACHE | NOEXEC
GPU_SHARED_RO = READ | CACHE | NOEXEC
GPU_SHARED_WO = WRITE | CACHE | NOEXEC
GPU_PRIV_RW = RW | NOEXEC
GPU_PRIV_RO = READ | NOEXEC


@pytest.mark.parametrize(
    ("prot", "word", "access", "memory"),
    [
        (FW_MMIO_RW, 0x00C0000000000447, F_RW | GLOBAL, DEVICE),
        (FW_MMIO_RO, 0x0080000000000447, P_READ | GLOBAL, DEVICE),
        (FW_SHARED_RW, 0x00C000000000044B, F_RW | GLOBAL, NON_CACHED),
        (FW_SHARED_RO, 0x008000000000044B, P_READ | GLOBAL, NON_CACHED),
        (FW_PRIV_RW, 0x00C0000000000443, F_RW | GLOBAL, CACHED),
        (FW_PRIV_RO, 0x0080000000000443, P_READ | GLOBAL, CACHED),
        (GPU_FW_SHARED_RW, 0x00E0000000000C0B, G_RW | F_RW, NON_CACHED),
        (GPU_FW_PRIV_RW, 0x00E0000000000C03, G_RW | F_RW, CACHED),
        (GPU_SHARED_RW, 0x00C0000000000C8B, G_RW, NON_CACHED),
        (GPU_SHARED_RO, 0x0080000000000C8B, U_READ, NON_CACHED),
        (GPU_SHARED_WO, 0x00A0000000000C8B, U_WRITE, NON_CACHED),
        (GPU_PRIV_RW, 0x00C0000000000C83, G_RW, CACHED),
        (GPU_PRIV_RO, 0x0080000000000C83, U_READ, CACHED),
    ],
)
def test_protections_that_the_driver_uses(prot: int, word: int, access: int, memory: int) -> None:
    assert UAT.leaf(3, 0, prot) == word
    assert UAT.meaning(3, word) == access | memory
    assert UAT.promised(prot) == access | memory


@pytest.mark.parametrize(
    ("pa", "prot", "word"),
    [
        (0x900000000, FW_MMIO_RW, 0x00C0000900000447),
        (0x900004000, FW_MMIO_RO, 0x0080000900004447),
        (0x900008000, FW_SHARED_RW, 0x00C000090000844B),
        (0x90000C000, FW_SHARED_RO, 0x008000090000C44B),
        (0x900010000, FW_PRIV_RW, 0x00C0000900010443),
        (0x900018000, GPU_FW_SHARED_RW, 0x00E0000900018C0B),
        (0x90001C000, GPU_FW_PRIV_RW, 0x00E000090001CC03),
        (0x900020000, GPU_SHARED_RW, 0x00C0000900020C8B),
        (0x900024000, GPU_SHARED_RO, 0x0080000900024C8B),
        (0x900028000, GPU_SHARED_WO, 0x00A0000900028C8B),
    ],
)
def test_leaves_with_addresses(pa: int, prot: int, word: int) -> None:
    assert UAT.leaf(3, pa, prot) == word
    assert UAT.output(3, word) == pa


@pytest.mark.parametrize(
    ("ap", "uxn", "pxn", "firmware", "gpu"),
    [
        (0, 0, 0, 0, 0),
        (0, 0, 1, P_READ, U_READ),
        (0, 1, 0, P_WRITE | UNKNOWN, U_WRITE),
        (0, 1, 1, F_RW, G_RW),
        (1, 0, 0, P_READ, 0),
        (1, 0, 1, 0, 0),
        (1, 1, 0, F_RW, 0),
        (1, 1, 1, F_RW, U_READ),
        (2, 0, 0, 0, U_READ),
        (2, 0, 1, 0, U_WRITE),
        (2, 1, 0, 0, G_RW),
        (2, 1, 1, 0, 0),
        (3, 0, 0, 0, 0),
        (3, 0, 1, 0, 0),
        (3, 1, 0, 0, 0),
        (3, 1, 1, 0, 0),
    ],
)
def test_permission_table(ap: int, uxn: int, pxn: int, firmware: int, gpu: int) -> None:
    word = 0x0080000000000C03 | ap << 6 | uxn << 54 | pxn << 53
    granted = UAT.meaning(3, word) & (ACCESS_MASK | UNKNOWN)
    assert granted == firmware | gpu
    no_flag = word & ~(1 << 10)
    assert UAT.meaning(3, no_flag) & (ACCESS_MASK | UNKNOWN) == 0
    firmware_own = word & ~(1 << 55)
    assert UAT.meaning(3, firmware_own) & (ACCESS_MASK | UNKNOWN) == UNKNOWN


def test_nobody_ever_executes() -> None:
    for prot in range(64):
        assert UAT.promised(prot) & 0b100100 == 0


def test_walk_of_a_user_table() -> None:
    geometry = UAT.geometry(39)
    assert (geometry.start_level, geometry.root_entries, geometry.root_bytes) == (1, 8, 64)
    assert [geometry.index(level, 0x1500008000) for level in (1, 2, 3)] == [1, 0x280, 2]
    assert UAT.table(1, 0x801004000) == 0x801004003
    assert UAT.table(2, 0x801008000) == 0x801008003
    assert UAT.leaf(3, 0x900000000, FW_MMIO_RW) == 0x00C0000900000447
    assert geometry.index(3, 0x1500028000) == 10


def test_walk_of_the_kernel_table() -> None:
    geometry = UAT.geometry(36)
    assert (geometry.start_level, geometry.root_entries) == (2, 2048)
    va = 0xFFFFFFA012344000 - 0xFFFFFFA000000000
    assert [geometry.index(level, va) for level in (2, 3)] == [9, 0xD1]
    assert not geometry.contains(to_signed(0xFFFFFFA012344000))


def test_what_lies_beyond_is_refused() -> None:
    assert not UAT.geometry(39).contains(1 << 39)
    assert UAT.oas_for(39) == (40, 42)
    with pytest.raises(ValueError, match="oas is 44"):
        UAT.check(39, 44, 0x4000)
    with pytest.raises(ValueError, match="page sizes are 0x1000"):
        UAT.check(39, 40, 0x1000)


def test_five_pages_from_index_7fe_cross_the_end_of_a_table() -> None:
    geometry = UAT.geometry(39)
    first = 0x7FE << 14
    in_this_table = geometry.entries(3) - geometry.index(3, first)
    assert in_this_table * UAT.granule == 0x8000
    assert geometry.index(3, first + 0x8000) == 0
    assert geometry.index(2, first + 0x8000) == geometry.index(2, first) + 1


def test_root_registers() -> None:
    assert UAT.table(0, 0x801000000) == 0x801000001
    for slot in (1, 63):
        word = to_signed(0x801000001 | slot << 48)
        assert UAT.kind(0, word) == TABLE
        assert UAT.next_table(0, word) == 0x801000000
        assert UAT.describe(0, word) == f"ttb pa=0x801000000 ASID={slot:#x}"
        assert not UAT.same(0, word, 0x801000001)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_what_type_bits_mean_at_each_level(level: int) -> None:
    """There are no blocks for the GPU."""
    kinds = [UAT.kind(level, type_bits) for type_bits in range(4)]
    assert kinds == [INVALID, INVALID, INVALID, LEAF if level == 3 else TABLE]


def test_memory_types_are_the_firmware_view() -> None:
    """Coherent with the CPU means not cached by the firmware."""
    leaf = UAT.leaf(3, 0, RW)
    assert UAT.meaning(3, leaf) & MEMORY_MASK == CACHED
    assert UAT.meaning(3, UAT.leaf(3, 0, RW | CACHE)) & MEMORY_MASK == NON_CACHED


def test_texts() -> None:
    assert access_text(UAT.promised(FW_SHARED_RW)) == "---/rw- non-cached global"
    assert access_text(UAT.promised(GPU_SHARED_RO)) == "r--/--- non-cached"
    assert access_text(UAT.promised(GPU_FW_PRIV_RW)) == "rw- cached"
    assert access_letters(UAT.promised(FW_SHARED_RW)) == "rw-np"
    assert access_letters(UAT.promised(GPU_SHARED_RO)) == "r--nu"
    assert UAT.describe(3, 0x00C0000900000447) == (
        "page pa=0x900000000 AttrIndx=1 device AP=firmware AF UXN OS"
    )
    assert UAT.describe(2, 0x801008001).startswith("block (ignored")
