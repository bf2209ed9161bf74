"""The choice of page sizes, against trying everything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.formats.page_sizes import best_page_size, page_sizes_of

BITMAPS = st.sets(st.integers(0, 9), min_size=1).map(lambda bits: sum(1 << bit for bit in bits))


def usable(size: int, iova: int, pa: int, left: int) -> bool:
    """Whether one page of ``size`` can map the start of what is left."""
    return iova % size == 0 and pa % size == 0 and size <= left


def try_everything(sizes: tuple[int, ...], iova: int, pa: int, left: int) -> tuple[int, int]:
    """Page by page: the largest usable size, for as long as it stays the largest."""
    best = max(size for size in sizes if usable(size, iova, pa, left))
    count = 0
    while left >= best and best == max(s for s in sizes if usable(s, iova, pa, left)):
        count += 1
        iova, pa, left = iova + best, pa + best, left - best
    return best, count


@given(BITMAPS, st.integers(0, 3000), st.integers(-2, 2), st.integers(0, 1500), st.data())
def test_best_page_size_is_found_by_trying_everything(
    bitmap: int, iova: int, skew: int, length: int, data: st.DataObject
) -> None:
    sizes = page_sizes_of(bitmap)
    unit = sizes[0]
    iova -= iova % unit
    offset = skew * data.draw(st.sampled_from(sizes))
    pa = abs(iova + offset)
    size = length - length % unit + unit
    expected = try_everything(sizes, iova, pa, size)
    assert best_page_size(bitmap, iova, pa, size) == expected
    assert best_page_size(sizes, iova, pa, size) == expected


@pytest.mark.parametrize(
    ("iova", "pa", "size", "expected"),
    [
        (0x1FF000, 0x401FF000, 0x201000, (0x1000, 1)),
        (0x200000, 0x40200000, 0x200000, (0x200000, 1)),
        (0x200000, 0x40201000, 0x200000, (0x1000, 512)),
        (0x3FE00000, 0x7FE00000, 0x40400000, (0x200000, 1)),
        (0x3FE00000, 0x7FE00000, 0x40000000, (0x200000, 512)),
        (0x40000000, 0x80000000, 0x40200000, (0x40000000, 1)),
        (0, 0, 0x1FF000, (0x1000, 0x1FF)),
        (0x1000, 0x1000, 0x1234, (0x1000, 1)),
    ],
)
def test_steps_with_4k_2m_and_1g(iova: int, pa: int, size: int, expected: tuple[int, int]) -> None:
    assert best_page_size(0x40201000, iova, pa, size) == expected
    assert best_page_size((0x1000, 0x200000, 0x40000000), iova, pa, size) == expected


@given(BITMAPS)
def test_page_sizes_of_a_bitmap(bitmap: int) -> None:
    sizes = page_sizes_of(bitmap)
    assert sum(sizes) == bitmap
    assert list(sizes) == sorted(set(sizes))
    assert all(size & (size - 1) == 0 for size in sizes)


@pytest.mark.parametrize(
    ("iova", "pa", "size"),
    [
        (0x800, 0, 0x1000),
        (0, 0x800, 0x1000),
        (0, 0, 0xFFF),
        (0, 0, 0),
        (0, 0, -0x1000),
        (-0x1000, 0, 0x1000),
        (0, -0x1000, 0x1000),
    ],
)
def test_what_no_page_fits_is_refused(iova: int, pa: int, size: int) -> None:
    with pytest.raises(ValueError, match="iova, pa"):
        best_page_size(0x201000, iova, pa, size)


def test_a_negative_bitmap_is_refused() -> None:
    with pytest.raises(ValueError, match="bitmap is -1"):
        page_sizes_of(-1)
