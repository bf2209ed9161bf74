"""Where memory of system nvidia lies."""

import pytest

from reference.physical_layout import (
    HOST,
    LARGE_PAGE,
    LARGEST,
    NCOH,
    PAGE,
    PFN_BYTES,
    PFN_DIGITS,
    PFN_HOST_BASE,
    PFN_VRAM_BASE,
    SYSTEM_BASE,
    VRAM,
    VRAM_BASE,
    MemoryLayout,
    pfn_address,
    pfn_digit,
)


def test_memory_in_whole_follows_the_one_before():
    layout = MemoryLayout()
    first = layout.take(VRAM, 3 * PAGE, 12, 0)
    second = layout.take(VRAM, PAGE, 12, 0)
    host = layout.take(HOST, PAGE, 12, 0)
    other = layout.take(NCOH, PAGE, 12, 0)
    assert [each.address(0) for each in (first, second, host, other)] == [
        VRAM_BASE,
        VRAM_BASE + LARGE_PAGE,
        SYSTEM_BASE,
        SYSTEM_BASE + LARGE_PAGE,
    ]
    assert first.address(2 * PAGE + 5) == VRAM_BASE + 2 * PAGE + 5
    assert first.contiguous(PAGE) == 2 * PAGE


def test_pieces_have_gaps_of_their_own_size():
    pages = MemoryLayout().take(HOST, 5 * PAGE, 12, 2)
    assert [(pages.address(at * PAGE) - SYSTEM_BASE) // PAGE for at in range(5)] == [1, 2, 5, 6, 9]
    assert pages.contiguous(PAGE) == PAGE
    large = MemoryLayout()
    assert large.take(VRAM, 1 << 25, 24, 1).address(1 << 24) == VRAM_BASE + (3 << 24)
    assert large.take(VRAM, PAGE, 12, 0).address(0) == VRAM_BASE + (5 << 24)


def test_what_there_is_no_room_for_takes_none():
    layout = MemoryLayout()
    assert layout.take(HOST, LARGEST + PAGE, 12, 0) is None
    assert layout.take(VRAM, LARGEST, 12, 1) is None
    assert layout.take(VRAM, LARGEST, 12, 0).address(0) == VRAM_BASE
    assert layout.take(VRAM, PAGE, 12, 0) is None
    assert layout.take(HOST, PAGE, 12, 0).address(0) == SYSTEM_BASE


@pytest.mark.parametrize(
    ("pattern", "digits"),
    [
        (0, [0, 0, 0]),
        (1, [1, 1, 1]),
        (0x10, [0, 1, 0]),
        (0x321, [1, 2, 3]),
        (1 << 63, [0] * 15 + [8, 0]),
    ],
)
def test_patterns(pattern, digits):
    assert [pfn_digit(pattern, page) for page in range(len(digits))] == digits


def test_pages_by_themselves():
    assert len(set(PFN_DIGITS)) == len(PFN_DIGITS)
    assert pfn_address(True, PFN_BYTES + PAGE) == PFN_VRAM_BASE + PAGE
    assert pfn_address(False, PAGE) == PFN_HOST_BASE + PAGE
