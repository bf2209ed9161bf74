"""The strip: never wider than it may be, and everything that is mapped can be seen in it."""

import itertools
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reports.counterexample import Segment
from reports.strip import Row, draw, layout

K4, M2, G1 = 1 << 12, 1 << 21, 1 << 30
TOP = 1 << 48


def run(first, count, size, pa=0, access="rw"):
    return Segment(first, first + count * size - 1, pa, access, size)


@st.composite
def rows_of(draw, most=5, overlapping=False):
    """Rows with segments of pages and blocks, some adjacent and some far apart."""
    made = []
    for number in range(draw(st.integers(1, 4))):
        segments = []
        at = 0
        for _ in range(draw(st.integers(0, most))):
            size = draw(st.sampled_from([K4, M2, G1]))
            gap = draw(st.sampled_from([0, 0, 1, 2, 511, 1 << 14, 1 << 34]))
            at = -(-at // size) * size + (0 if overlapping else gap * K4)
            at = -(-at // size) * size
            count = draw(st.sampled_from([1, 1, 2, 3, 512]))
            if at + count * size > TOP:
                break
            pa = draw(st.none() | st.integers(0, 1 << 36).map(lambda page: page * K4))
            segments.append(run(at, count, size, pa, draw(st.sampled_from(["", "rw", "r--d"]))))
            at += size if overlapping else count * size
        made.append(Row(f"row {number}", tuple(segments), draw(st.booleans())))
    return made


widths = st.integers(60, 140)


@given(rows=rows_of(), width=widths, mark=st.none() | st.integers(0, TOP - 1))
def test_no_line_is_wider_than_it_may_be(rows, width, mark):
    assume(mark is not None or any(row.segments for row in rows))
    lines = draw(rows, width=width, mark=mark)
    assert max(map(len, lines)) <= width
    assert all(line == line.rstrip() for line in lines)


@given(rows=rows_of(overlapping=True), width=widths)
def test_overlapping_segments_are_drawn_within_the_width_too(rows, width):
    assume(any(row.segments for row in rows))
    assert max(map(len, draw(rows, width=width))) <= width


@given(rows=rows_of(), width=widths)
def test_every_segment_can_be_seen_where_it_is(rows, width):
    assume(any(row.segments for row in rows))
    bands = layout(rows, width=width)
    lines = draw(rows, width=width)
    indent = max(len(row.label) for row in rows) + 1
    for number, row in enumerate(rows):
        # One line for each band, since nothing overlaps.
        drawn = [line.ljust(width)[indent:] for line in lines if line.startswith(row.label)]
        assert len(drawn) == len(bands)
        for band, cells in zip(bands, drawn, strict=True):
            for stretch in band.stretches:
                part = cells[stretch.column : stretch.column + stretch.columns]
                mapped = any(
                    segment.first <= stretch.first and stretch.last <= segment.last
                    for segment in row.segments
                )
                assert (set(part) <= set(". …")) == (not mapped), (number, part)
                if mapped and any(segment.first == stretch.first for segment in row.segments):
                    assert part[0] in "[|…" or "|" in part or "=" in part or "~" in part


@given(rows=rows_of(), width=widths)
def test_the_layout_covers_the_window_once_and_in_order(rows, width):
    assume(any(row.segments for row in rows))
    bands = layout(rows, width=width)
    stretches = [stretch for band in bands for stretch in band.stretches]
    assert stretches[0].first == min(s.first for row in rows for s in row.segments)
    assert stretches[-1].last == max(s.last for row in rows for s in row.segments)
    for before, after in itertools.pairwise(stretches):
        assert before.last + 1 == after.first
    for band in bands:
        columns = [stretch.column for stretch in band.stretches]
        assert columns == sorted(set(columns))
        assert band.column(band.first) == 0
        total = sum(stretch.columns for stretch in band.stretches)
        assert total == width - len("row 0 ")


@given(
    page=st.integers(0, (TOP >> 12) - 1),
    window_bits=st.integers(12, 48),
    offset=st.integers(0, K4 - 1),
)
def test_the_mark_stands_under_its_address(page, window_bits, offset):
    mark = page * K4 + offset
    first = mark >> window_bits << window_bits
    window = (first, first + (1 << window_bits) - 1)
    rows = [Row("promise", (run(page * K4, 1, K4),))]
    lines = draw(rows, window=window, mark=mark)
    marked = next(line for line in lines if "^" in line)
    assert f"{mark:#x}" in marked
    column = marked.index("^")
    band = next(line for line in lines if line.startswith("promise") and "[" in line)
    assert band.index("[") <= column <= band.index("]")


def test_a_block_beside_pages_and_the_hole_between_them():
    base = 0x40200000
    rows = [
        Row("before", (run(base, 1, M2, 0x140200000, "rwc"),)),
        Row("after", (run(base, 5, K4, None, "rwc"), run(base + 6 * K4, 506, K4))),
        Row("cached", (run(base, 1, M2),), cached=True),
    ]
    before, after, cached, ruler, addresses, mark, *_ = draw(rows, mark=base + 0x5000)
    assert re.fullmatch(r"before \[=+ 2M rwc -> 0x140200000 =+\]", before)
    assert re.fullmatch(
        r"after  \|(4K\|)+=+ 5 x 4K rwc =+\|4K\|\.+\|4K\|4K\|=+ 506 x 4K rw -> 0x0 =+\|4K\|4K\|",
        after,
    )
    assert re.fullmatch(r"cached \[~+ 2M rw -> 0x0 ~+\]", cached)
    assert re.fullmatch(r" +\|-+20K-+\|-+4K-+\|-+2024K-+\|", ruler)
    assert addresses.split() == ["0x40200000", "0x40205000", "0x40206000", "0x40400000"]
    assert mark.strip() == "^ 0x40205000"
    # Everything about 0x40205000 stands in one column.
    column = addresses.index("0x40205000")
    assert after[column] == "."
    assert ruler[column] == "|"
    assert mark[column] == "^"


def test_a_mapping_of_a_buffer_says_where_in_it():
    rows = [
        Row(
            "vma",
            (
                Segment(0x5000, 0x8FFF, 0x2000, "buffer 0", 0x4000),
                Segment(0xA000, 0xBFFF, 0x1000, "buffer 12 r-n", 0x2000),
            ),
        )
    ]
    drawn = draw(rows)[0]
    assert re.fullmatch(
        r"vma \[=* 16K buffer 0 \+ 0x2000 =*\] +… +\[=* 8K buffer 12 \+ 0x1000 r-n =*\]",
        drawn,
    )
    # What is cut off at the window's edge begins further on in the buffer.
    assert " 12K of 16K buffer 0 + 0x3000 " in draw(rows, window=(0x6000, 0xBFFF))[0]
    # Where it is narrow, the place in the buffer is more than the size, which the ruler has.
    offsets = (0, 0x8000, 0x10000, 0x18000)
    many = tuple(run(i * K4, 1, K4, offset, "buffer 7") for i, offset in enumerate(offsets))
    drawn = draw([Row("vma", many)], width=92)[0]
    assert all(f"[ buffer 7 + {offset:#x} ]" in drawn for offset in offsets[2:])
    assert drawn.count("4K") == 1
    (unknown, *_) = draw([Row("vma", (Segment(0, 4095, None, "buffer 7", 4096),))])
    assert " 4K buffer 7 =" in unknown


def test_overlapping_segments_get_lines_of_their_own():
    rows = [Row("cached", (run(0, 1, M2), run(0x5000, 1, K4)), cached=True)]
    first, second, *_ = draw(rows)
    assert first.startswith("cached [~")
    assert re.fullmatch(r" {7}\.+\[[ ~]*4K[^\]]*\]\.+", second)


def test_scattered_pages_are_one_run_only_where_there_are_many():
    def pages(count):
        return [Row("m", tuple(run(i * K4, 1, K4, (i * 37 % 64) * K4) for i in range(count)))]

    assert draw(pages(3))[0].count("[") == 3
    assert " 4K rw -> 0x25000 " in draw(pages(3))[0]
    lines = draw(pages(64), mark=40 * K4)
    assert len([line for line in lines if line.startswith("m ")]) == 1
    # What lies at the mark stays apart, with its own address.
    assert f"4K rw -> {40 * 37 % 64 * K4:#x}" in lines[0]
    assert "40 x 4K rw" in lines[0]


def test_a_gap_is_short_and_says_its_size():
    rows = [Row("m", (run(0, 1, K4), run(TOP - K4, 1, K4)))]
    lines = draw(rows, window=(0, TOP - 1))
    assert "…" in lines[0]
    assert "~256T" in lines[1]
    assert lines[2].split() == ["0x0", "0x1000", "0xfffffffff000", "0x1000000000000"]


def test_equal_sizes_are_to_scale_and_nothing_is_said_about_it():
    rows = [Row("m", (run(0, 8, K4),))]
    assert not any("scale" in line for line in draw(rows, mark=4 * K4, window=(0, 8 * K4 - 1)))
    assert any("Not to scale" in line for line in draw([Row("m", (run(0, 1, K4), run(M2, 1, M2)))]))


def test_a_strip_that_does_not_fit_is_drawn_in_bands_around_the_mark():
    rows = [Row("m", tuple(run(2 * i * K4, 1, K4, i * K4) for i in range(40)))]
    every = draw(rows)
    assert len([line for line in every if line.startswith("m ")]) > 3
    some = draw(rows, mark=40 * K4, most_bands=3)
    assert len([line for line in some if line.startswith("m ")]) == 3
    assert any(line.strip() == f"^ {40 * K4:#x}" for line in some)
    assert re.search(r"\d+ stretches further away are not drawn\.", some[-1])


def test_what_goes_on_in_the_next_band_is_open_at_the_cut():
    block = Row("block", (run(0, 1, G1),))
    pages = Row("pages", tuple(run(i * M2, 1, K4, i * M2) for i in range(30)))
    drawn = [line for line in draw([block, pages]) if line.startswith("block")]
    assert len(drawn) > 2
    assert all(line.endswith("…") for line in drawn[:-1])
    assert all(line[len("block ")] == "…" for line in drawn[1:])
    assert drawn[0].startswith("block [")
    assert drawn[-1].endswith("]")


def test_a_part_of_a_block_is_not_joined_with_the_block_beside_it():
    half = Segment(M2 // 2, M2 - 1, M2 // 2, "rw", M2)
    (line, *_) = draw([Row("m", (half, run(M2, 1, M2, M2)))])
    assert re.fullmatch(r"m \[=+ 1M of 2M rw -> 0x100000 =+\]\[=+ 2M rw -> 0x200000 =+\]", line)
    (line, *_) = draw([Row("m", (run(0, 1, M2), run(M2, 1, M2, M2)))])
    assert re.fullmatch(r"m \|=+ 2 x 2M rw -> 0x0 =+\|", line)


def test_the_last_addresses_of_64_bits():
    last = 2**64 - 1
    lines = draw([Row("m", (Segment(last - M2 + 1, last, 0, "rw", M2),))], mark=last)
    assert lines[2].endswith("0x10000000000000000")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"width": 49, "mark": 0}, "width is 49; allowed are widths from 50"),
        ({"window": (2, 1)}, "window is 0x2 to 0x1; allowed are 64-bit addresses"),
        ({"window": (0, 1 << 64)}, "window is 0x0 to 0x10000000000000000"),
        ({}, "window is None; allowed only where a row has a segment or mark is given"),
    ],
)
def test_what_cannot_be_drawn_is_refused(asked, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        draw([Row("m")], **asked)
