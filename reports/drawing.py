"""The address space as shapes: what :mod:`reports.strip` draws with letters, for pages.

Both put everything at the same place: a shape has a column and a number of
columns of a grid that is as wide as a strip, whatever a column then is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from reference.numbers import about_size
from reports.counterexample import Segment
from reports.strip import (
    Band,
    Row,
    cut_segment,
    in_lanes,
    layout,
    nearest_bands,
    prepare_row,
    segment_labels,
)

_MOST_BARS = 16
"""A run of more pages is drawn without bars between them."""


@dataclass(frozen=True)
class Shape:
    """One run of addresses in a row.

    ``column``, ``columns``: where it is, and how wide. ``text`` is what fits inside, ``full`` all
    there is to say. ``bars`` are the columns, from its left, between pages. ``changed``: the row
    of the other time has nothing like it.
    """

    column: int
    columns: int
    text: str
    full: str
    bars: tuple[float, ...]
    changed: bool


@dataclass(frozen=True)
class DrawnRow:
    """One row: its ``label``, and shapes on as many lines as it takes for none to overlap."""

    label: str
    lines: tuple[tuple[Shape, ...], ...]
    cached: bool


@dataclass(frozen=True)
class Mark:
    """Where a stretch of the ruler begins: its first address, its size in words, how wide it is."""

    column: int
    columns: int
    address: int
    size: str
    gap: bool


@dataclass(frozen=True)
class Drawing:
    """Rows over one ruler.

    ``columns``: how wide; ``end``: the address behind the last; ``violated``: the column of the
    violated address, or None; ``to_scale``: whether widths are in proportion to sizes.
    """

    rows: tuple[DrawnRow, ...]
    marks: tuple[Mark, ...]
    columns: int
    end: int
    violated: int | None
    to_scale: bool


def drawings(
    rows: Sequence[Row],
    *,
    width: int,
    window: tuple[int, int] | None,
    mark: int | None,
    most: int,
) -> tuple[list[Drawing], int]:
    """At most ``most`` drawings under each other, and how many stretches were left out.

    Arguments and errors as of :func:`reports.strip.draw`. Rows of the same label behind their
    first word ("before  promise", "after   promise") are of two times, and are compared.
    """
    bands = layout(rows, width=width, window=window, mark=mark)
    ready = [prepare_row(row, bands[0].first, bands[-1].last, mark) for row in rows]
    shown, left_out = nearest_bands(bands, mark, most)
    return [_drawing(ready, band, mark) for band in shown], left_out


def _subject(row: Row) -> str:
    """What a row is about, behind the seven letters and a blank that say when: "promise"."""
    return row.label[8:]


def _drawing(rows: Sequence[Row], band: Band, mark: int | None) -> Drawing:
    drawn = []
    for row in rows:
        # What the row of the other time has; None for a row that has no other.
        twins = [one.segments for one in rows if one is not row and _subject(one) == _subject(row)]
        others = {segment for segments in twins for segment in segments} if twins else None
        lines = tuple(
            tuple(_shape(segment, band, others) for segment in line)
            for line in in_lanes(band.inside(row.segments))
        )
        drawn.append(DrawnRow(row.label, lines, row.cached))
    return Drawing(
        tuple(drawn),
        tuple(
            Mark(one.column, one.columns, one.first, about_size(one.size), one.gap)
            for one in band.stretches
        ),
        band.columns,
        band.last + 1,
        band.column(mark) if mark is not None and band.first <= mark <= band.last else None,
        band.to_scale,
    )


def _shape(segment: Segment, band: Band, others: set[Segment] | None) -> Shape:
    start, end = band.place(segment)
    wide = max(end - start, 1)
    texts = segment_labels(cut_segment(segment, band.first, band.last))
    text = next((one for one in texts if len(one) + 1 <= wide), "")
    pages = (segment.last - segment.first + 1) // segment.size
    bars = tuple(wide * page / pages for page in range(1, pages)) if pages <= _MOST_BARS else ()
    changed = others is not None and segment not in others
    where = f"{segment.first:#x} to {segment.last:#x}"
    return Shape(start, wide, text, f"{where}: {texts[0]}", bars, changed)
