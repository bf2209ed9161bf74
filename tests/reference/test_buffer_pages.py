"""Where buffers lie: laws, and the same places as the C harness has them."""

from hypothesis import given
from hypothesis import strategies as st

from reference.physical_layout import (
    DATA_BASE,
    LARGE_PAGE,
    LARGEST_PIECE,
    PAGE,
    BufferLayout,
)

buffers = st.lists(
    st.tuples(
        st.one_of(
            st.integers(1, 2048),
            st.sampled_from((1, 511, 512, 513, 4096, (1 << 14) + 1)),
        ),
        st.sampled_from((0, 0, 1, 2, 3, 511, 512, 513, 700, 1 << 18)),
    ),
    min_size=1,
    max_size=6,
)
"""Pages of each, and of each of its pieces; 0: in whole."""


def pieces_of(size: int, pieces: int, start: int) -> list[tuple[int, int]]:
    """(address, bytes) of the scatter list that ``lay_out`` in panthor_binds.c makes."""
    length = pieces * 0x1000 if pieces else 0x4000_0000
    apart = 2 * length if pieces else length
    count = (size + length - 1) // length
    pa = start + (0x1000 if pieces else 0)
    return [(pa + i * apart, min(length, size - i * length)) for i in range(count)]


def next_free(size: int, pieces: int, start: int) -> int:
    """What ``take_addresses`` there leaves."""
    length = pieces * 0x1000 if pieces else 0x4000_0000
    count = (size + length - 1) // length
    end = start + count * (2 * length if pieces else length) + 0x1000
    return (end + 0x1F_FFFF) & ~0x1F_FFFF


@given(buffers)
def test_every_page_lies_where_the_c_harness_puts_it(drawn: list[tuple[int, int]]) -> None:
    layout = BufferLayout()
    start = DATA_BASE
    for pages, pieces in drawn:
        size = pages * PAGE
        buffer = layout.take(size, pieces)
        there = pieces_of(size, pieces, start)
        assert sum(length for _, length in there) == buffer.size == size
        # Of many pieces, some from the start, the middle and the end.
        middle = len(there) // 2
        for number in {*range(len(there))[:3], middle, *range(len(there))[-2:]}:
            pa, length = there[number]
            offset = number * there[0][1]
            for at in {0, 0xFFF, length // PAGE // 2 * PAGE, length - 1}:
                assert buffer.address(offset + at) == pa + at
        start = next_free(size, pieces, start)
        assert layout.next == start


@given(buffers, st.data())
def test_what_is_contiguous_is_the_longest_run_that_is(
    drawn: list[tuple[int, int]], data: st.DataObject
) -> None:
    layout = BufferLayout()
    taken = [layout.take(pages * PAGE, pieces) for pages, pieces in drawn]
    buffer = data.draw(st.sampled_from(taken))
    offset = data.draw(st.integers(0, buffer.size - 1))
    run = buffer.contiguous(offset)
    assert 1 <= run <= buffer.size - offset
    for at in (run // 3, run // 2, run - 1):
        assert buffer.address(offset + at) == buffer.address(offset) + at
    if offset + run < buffer.size:
        assert buffer.address(offset + run) != buffer.address(offset) + run


@given(buffers)
def test_no_two_buffers_share_a_large_page(drawn: list[tuple[int, int]]) -> None:
    layout = BufferLayout()
    end = DATA_BASE
    for pages, pieces in drawn:
        buffer = layout.take(pages * PAGE, pieces)
        assert buffer.address(0) // LARGE_PAGE * LARGE_PAGE >= end
        end = -(-(buffer.address(buffer.size - 1) + 1) // LARGE_PAGE) * LARGE_PAGE
        assert layout.next >= end
        assert layout.next % LARGE_PAGE == 0


def test_one_in_whole_is_aligned_so_that_large_pages_fit() -> None:
    layout = BufferLayout()
    layout.take(PAGE, 1)
    buffer = layout.take(LARGEST_PIECE + LARGE_PAGE, 0)
    assert buffer.pa % LARGE_PAGE == 0
    assert buffer.contiguous(0) == buffer.size
    assert buffer.address(LARGEST_PIECE) == buffer.pa + LARGEST_PIECE


def test_one_in_whole_of_several_gigabytes_goes_on_without_a_gap() -> None:
    size = 2 * LARGEST_PIECE + PAGE
    buffer = BufferLayout().take(size, 0)
    offset = 0
    for pa, length in pieces_of(size, 0, DATA_BASE):
        assert buffer.address(offset) == pa
        offset += length
    assert buffer.address(size - 1) == DATA_BASE + size - 1


def test_one_in_pieces_is_never_aligned_and_has_gaps() -> None:
    buffer = BufferLayout().take(10 * PAGE, 4)
    assert buffer.pa == DATA_BASE + PAGE
    assert [buffer.address(n * PAGE) - buffer.pa for n in range(10)] == [
        n * PAGE for n in (0, 1, 2, 3, 8, 9, 10, 11, 16, 17)
    ]
    assert [buffer.contiguous(n * PAGE) // PAGE for n in range(10)] == [4, 3, 2, 1] * 2 + [2, 1]
