"""The address space as shapes: all of it is there, where the strip has it, and what changed."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reports.counterexample import Segment
from reports.drawing import drawings
from reports.strip import Row, layout
from tests.reports.test_strip import K4, M2, TOP, rows_of, run, widths


@given(rows=rows_of(overlapping=True), width=widths, mark=st.none() | st.integers(0, TOP - 1))
def test_shapes_lie_in_the_drawing_and_do_not_overlap(rows, width, mark):
    assume(mark is not None or any(row.segments for row in rows))
    drawn, left_out = drawings(rows, width=width, window=None, mark=mark, most=100)
    assert left_out == 0
    for one in drawn:
        for row in one.rows:
            for line in row.lines:
                end = 0
                for shape in line:
                    assert shape.column >= end
                    assert shape.columns >= 1
                    assert len(shape.text) < shape.columns or not shape.text
                    assert all(0 < bar < shape.columns for bar in shape.bars)
                    end = shape.column + shape.columns
                assert end <= one.columns


@given(rows=rows_of(), width=widths)
def test_every_segment_is_a_shape_at_the_column_of_the_strip(rows, width):
    assume(any(row.segments for row in rows))
    bands = layout(rows, width=width)
    drawn, _ = drawings(rows, width=width, window=None, mark=None, most=len(bands))
    for band, one in zip(bands, drawn, strict=True):
        for row, shown in zip(rows, one.rows, strict=True):
            columns = {shape.column for line in shown.lines for shape in line}
            for segment in row.segments:
                if band.first <= segment.first <= band.last:
                    # Neighbours that go on are one shape.
                    at = band.column(segment.first)
                    assert any(column <= at for column in columns)


def test_what_one_time_has_alone_is_changed():
    same, gone = run(0, 1, M2), run(M2, 4, K4)
    rows = [
        Row("before  promise", (same, gone)),
        Row("        tables", (same,)),
        Row("after   promise", (same,)),
        Row("        tables", (same,)),
        Row("        cached", (gone,), cached=True),
    ]
    ((one,), _) = drawings(rows, width=100, window=None, mark=M2, most=1)
    changed = [[shape.changed for line in row.lines for shape in line] for row in one.rows]
    assert changed == [[False, True], [False], [False], [False], [False]]
    assert one.rows[4].cached
    assert one.violated == next(mark.column for mark in one.marks if mark.address == M2)
    assert one.end == M2 + 4 * K4


def test_what_does_not_fit_is_said_in_full():
    pages = Segment(0, 8 * K4 - 1, 0x123456789000, "rw cached outer", K4)
    rows = [Row("promise", (pages, run(M2, 1, M2)))]
    ((one,), _) = drawings(rows, width=60, window=None, mark=None, most=1)
    first = one.rows[0].lines[0][0]
    assert first.full == "0x0 to 0x7fff: 8 x 4K rw cached outer -> 0x123456789000"
    assert len(first.bars) == 7


def test_bands_further_away_are_counted():
    rows = [Row("promise", tuple(run(number << 30, 1, K4) for number in range(12)))]
    drawn, left_out = drawings(rows, width=60, window=None, mark=0, most=1)
    assert len(drawn) == 1
    assert left_out == 12 - sum(not mark.gap for mark in drawn[0].marks)
    with pytest.raises(ValueError, match=r"^width is 20; allowed are widths from \d+$"):
        drawings(rows, width=20, window=None, mark=0, most=1)
