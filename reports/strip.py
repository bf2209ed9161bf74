"""The address space drawn as a strip, for a person who wants to see what changed.

Several rows (what was promised, what is in memory, what may be cached; before
and after) are drawn over one ruler, so that the same column is the same
address in each of them::

    promise  [==============2M rw==============]
    memory   |4K|4K|-- 5 x 4K rw --|4K|........|
             |--------20K--------|4K|--2028K---|
             0x40200000          0x40205000
                                 ^ 0x40205000

A block is one wide ``[=== 2M ===]``; a run of pages is ``|4K|4K|`` with the
count where not all fit; a mapping of a buffer is ``[= 8K buffer 0 + 0x2000 =]``;
what may only be cached is drawn with ``~``. Dots are
addresses without translation. ``…`` stands for a stretch that no row
translates, drawn short whatever its size.

Widths are to scale where everything is large enough to be seen that way.
Otherwise larger stretches are only somewhat wider; the ruler under the rows
always gives the true sizes.
"""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reference.numbers import about_size, size_text
from reports.counterexample import Segment

PAGE: Final = 4096
"""What is marked where nothing is mapped that has a page size."""

_LEAST: Final = 6
"""Columns that a stretch has at least: "[ 2M ]"."""

_NARROWEST: Final = 48
"""Columns beside the labels in which any one stretch fits, with two addresses of 64 bits."""

_SMALL_PAGE: Final = 8
"""Columns up to which a page is drawn with blanks around its size; wider ones are filled."""

_MANY: Final = 8
"""Rows with more segments than this have neighbours of scattered pages drawn as one run."""


@dataclass(frozen=True)
class Row:
    """One line of the strip: its label and what it maps; ``cached`` rows are drawn with ``~``.

    Segments may overlap (a block and a page cached for one address); they are then drawn on
    lines under each other.
    """

    label: str
    segments: tuple[Segment, ...] = ()
    cached: bool = False


@dataclass(frozen=True)
class Stretch:
    """Addresses first..last, inclusive, that every row treats as one; ``gap``: none maps it."""

    first: int
    last: int
    gap: bool
    column: int
    columns: int

    @property
    def size(self) -> int:
        """Bytes, 1 to 2**64."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Band:
    """Stretches that are drawn beside each other, from column 0 to the strip's width."""

    stretches: tuple[Stretch, ...]
    to_scale: bool

    @property
    def first(self) -> int:
        """The first address drawn."""
        return self.stretches[0].first

    @property
    def last(self) -> int:
        """The last address drawn, inclusive."""
        return self.stretches[-1].last

    def column(self, address: int) -> int:
        """The column at which ``address`` (first..last+1) is drawn, or would be."""
        for stretch in self.stretches:
            if stretch.first <= address <= stretch.last:
                offset = address - stretch.first
                return stretch.column + offset * stretch.columns // stretch.size
        return self.columns

    @property
    def columns(self) -> int:
        """How many columns it has."""
        end = self.stretches[-1]
        return end.column + end.columns

    def inside(self, segments: Sequence[Segment]) -> list[Segment]:
        """Those of which some is drawn."""
        return [one for one in segments if one.first <= self.last and one.last >= self.first]

    def place(self, segment: Segment) -> tuple[int, int]:
        """The first column of a segment of which some is drawn, and the column behind it."""
        start = self.column(max(segment.first, self.first))
        return start, self.column(segment.last + 1) if segment.last < self.last else self.columns


def draw(
    rows: Sequence[Row],
    *,
    width: int = 100,
    window: tuple[int, int] | None = None,
    mark: int | None = None,
    most_bands: int | None = None,
) -> list[str]:
    """The lines of the strip, each at most ``width`` characters.

    Args:
        rows: what is drawn, from top to bottom; a row without label and segments is a blank line.
        width: columns, labels included; there must be 48 or more beside the labels.
        window: first and last address drawn, inclusive; None for all that is mapped or marked.
        mark: an address under which ``^`` is drawn, or None.
        most_bands: a strip that does not fit is drawn in bands under each other; of these at
            most so many, nearest to the mark, and a line that says what was left out. None for
            all of them.

    Raises:
        ValueError: a width or a window that is not allowed, or nothing to draw.
    """
    indent = _indent(rows)
    bands = layout(rows, width=width, window=window, mark=mark)
    rows = [prepare_row(row, bands[0].first, bands[-1].last, mark) for row in rows]
    shown, left_out = nearest_bands(bands, mark, most_bands)
    lines: list[str] = []
    for band in shown:
        if lines:
            lines.append("")
        lines += _draw_band(rows, band, indent, mark)
    if any(not band.to_scale for band in shown):
        lines += ["", " " * indent + "Not to scale; the ruler gives the true sizes."]
    if left_out:
        lines.append(" " * indent + f"{left_out} stretches further away are not drawn.")
    return [line.rstrip() for line in lines]


def layout(
    rows: Sequence[Row],
    *,
    width: int = 100,
    window: tuple[int, int] | None = None,
    mark: int | None = None,
) -> list[Band]:
    """Where everything is drawn. Arguments and errors as of :func:`draw`."""
    if width < _indent(rows) + _NARROWEST:
        raise ValueError(f"width is {width}; allowed are widths from {_indent(rows) + _NARROWEST}")
    first, last = _window(rows, window, mark)
    prepared = [prepare_row(row, first, last, mark) for row in rows]
    edges = {first, last + 1}
    for row in prepared:
        for segment in row.segments:
            edges |= {segment.first, segment.last + 1}
    if mark is not None and first <= mark <= last:
        page_first, page_last = _marked_page(prepared, mark)
        edges |= {max(first, page_first), min(last, page_last) + 1}
    ordered = sorted(edges)
    stretches = []
    for start, end in itertools.pairwise(ordered):
        covered = any(
            segment.first <= start <= segment.last for row in prepared for segment in row.segments
        ) or (mark is not None and start <= mark < end)
        stretches.append(Stretch(start, end - 1, not covered, 0, 0))
    wishes: dict[tuple[int, int], int] = {}
    for row in prepared:
        for segment in row.segments:
            key = (segment.first, segment.last)
            wishes[key] = max(wishes.get(key, 0), len(segment_labels(segment)[0]) + 6)
    return _bands(stretches, width - _indent(rows), wishes)


# -- what to draw ---------------------------------------------------------------------------


def _indent(rows: Sequence[Row]) -> int:
    return max((len(row.label) for row in rows), default=0) + 1


def _window(
    rows: Sequence[Row], window: tuple[int, int] | None, mark: int | None
) -> tuple[int, int]:
    if window is not None:
        first, last = window
        if not 0 <= first <= last < 1 << 64:
            raise ValueError(
                f"window is {first:#x} to {last:#x}; allowed are 64-bit addresses, the first "
                "not beyond the last"
            )
        return first, last
    firsts = [segment.first for row in rows for segment in row.segments]
    lasts = [segment.last for row in rows for segment in row.segments]
    if mark is not None:
        page = mark // PAGE * PAGE
        firsts.append(page)
        lasts.append(page + PAGE - 1)
    if not firsts:
        raise ValueError("window is None; allowed only where a row has a segment or mark is given")
    return min(firsts), max(lasts)


def prepare_row(row: Row, first: int, last: int, mark: int | None) -> Row:
    """The row cut to the window, with neighbours that continue each other drawn as one run."""
    clipped = []
    for segment in sorted(row.segments, key=lambda segment: (segment.first, -segment.last)):
        if segment.first > last or segment.last < first:
            continue
        clipped.append(cut_segment(segment, first, last))
    many = len(clipped) > _MANY
    merged: list[Segment] = []
    for segment in clipped:
        before = merged[-1] if merged else None
        if before is not None and _continues(before, segment, many, mark):
            in_line = (
                before.pa is not None
                and segment.pa is not None
                and before.pa + segment.first - before.first == segment.pa
            )
            merged[-1] = Segment(
                before.first,
                segment.last,
                before.pa if in_line else None,
                segment.access,
                segment.size,
            )
        else:
            merged.append(segment)
    return Row(row.label, tuple(merged), row.cached)


def cut_segment(segment: Segment, first: int, last: int) -> Segment:
    """The part of a segment that lies in first..last, inclusive; some of it does."""
    start, end = max(segment.first, first), min(segment.last, last)
    # The sum wraps as addresses do.
    pa = None if segment.pa is None else (segment.pa + start - segment.first) % (1 << 64)
    return Segment(start, end, pa, segment.access, segment.size)


def _continues(before: Segment, segment: Segment, many: bool, mark: int | None) -> bool:
    if (
        before.last + 1 != segment.first
        or before.size != segment.size
        or before.access != segment.access
        # Parts of pages or blocks stay apart: together they would look whole.
        or (before.last - before.first + 1) % before.size
        or (segment.last - segment.first + 1) % segment.size
    ):
        return False
    if mark is not None and before.first <= mark <= segment.last:
        return False
    if before.pa is None or segment.pa is None:
        return many
    return many or before.pa + segment.first - before.first == segment.pa


def _marked_page(rows: Sequence[Row], mark: int) -> tuple[int, int]:
    holding = [
        segment.size
        for row in rows
        for segment in row.segments
        if segment.first <= mark <= segment.last
    ]
    size = min(holding, default=PAGE)
    return mark // size * size, mark // size * size + size - 1


# -- where to draw it -----------------------------------------------------------------------


def _least(stretch: Stretch, is_end: bool) -> int:
    """The columns that a stretch needs for its ruler, its address, and the end's if it ends."""
    needed = max(_LEAST, len(f"{stretch.first:#x}") + 1, len(about_size(stretch.size)) + 2)
    return needed + (len(f"{stretch.last + 1:#x}") if is_end else 0)


def _bands(
    stretches: Sequence[Stretch], width: int, wishes: Mapping[tuple[int, int], int]
) -> list[Band]:
    """``wishes`` are the columns that would show all there is to say of some stretches."""
    bands: list[Band] = []
    waiting: list[Stretch] = []
    for stretch in stretches:
        taken = sum(_least(other, False) for other in waiting)
        if waiting and taken + _least(stretch, True) > width:
            bands.append(_band(waiting, width, wishes))
            waiting = []
        waiting.append(stretch)
    bands.append(_band(waiting, width, wishes))
    return bands


def _band(stretches: Sequence[Stretch], width: int, wishes: Mapping[tuple[int, int], int]) -> Band:
    least = [
        _least(stretch, index == len(stretches) - 1) for index, stretch in enumerate(stretches)
    ]
    whole = sum(stretch.size for stretch in stretches)
    linear = _shares([stretch.size for stretch in stretches], width)
    to_scale = all(
        share >= need and abs(share * whole - stretch.size * width) <= whole
        for share, need, stretch in zip(linear, least, stretches, strict=True)
    )
    if to_scale:
        columns = linear
    else:
        mapped = [stretch.size for stretch in stretches if not stretch.gap]
        smallest = min(mapped, default=1)
        weights = [
            0
            if stretch.gap and mapped
            else 1 + round(2 * math.log2(max(1, stretch.size / smallest)))
            for stretch in stretches
        ]
        wished = [
            max(need, wishes.get((stretch.first, stretch.last), 0))
            for need, stretch in zip(least, stretches, strict=True)
        ]
        if sum(wished) <= width:
            least = wished
        extra = _shares(weights, width - sum(least))
        columns = [need + more for need, more in zip(least, extra, strict=True)]
    placed = []
    column = 0
    for stretch, number in zip(stretches, columns, strict=True):
        placed.append(Stretch(stretch.first, stretch.last, stretch.gap, column, number))
        column += number
    return Band(tuple(placed), to_scale)


def _shares(weights: Sequence[int], total: int) -> list[int]:
    """``total`` columns dealt out by weight; what rounding leaves over goes to the largest."""
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    shares = [total * weight // whole for weight in weights]
    largest = max(range(len(weights)), key=lambda index: weights[index])
    shares[largest] += total - sum(shares)
    return shares


def nearest_bands(
    bands: list[Band], mark: int | None, most_bands: int | None
) -> tuple[list[Band], int]:
    """At most so many bands, nearest to the mark; how many stretches were left out."""
    if most_bands is None or len(bands) <= most_bands:
        return bands, 0
    centre = 0
    if mark is not None:
        centre = next(
            (index for index, band in enumerate(bands) if band.first <= mark <= band.last), 0
        )
    start = min(max(0, centre - most_bands // 2), len(bands) - most_bands)
    shown = bands[start : start + most_bands]
    left_out = bands[:start] + bands[start + most_bands :]
    return shown, sum(1 for band in left_out for stretch in band.stretches if not stretch.gap)


# -- drawing --------------------------------------------------------------------------------


def _draw_band(rows: Sequence[Row], band: Band, indent: int, mark: int | None) -> list[str]:
    """The lines of one band; ``rows`` are prepared."""
    columns = band.columns
    lines = []
    for row in rows:
        if not row.label and not row.segments:
            lines.append("")
            continue
        for number, lane in enumerate(in_lanes(band.inside(row.segments))):
            cells = _ground(band, columns)
            for segment in lane:
                start, end = band.place(segment)
                cells[start:end] = _segment_text(
                    cut_segment(segment, band.first, band.last),
                    end - start,
                    row.cached,
                    cut_left=segment.first < band.first,
                    cut_right=segment.last > band.last,
                )
            label = row.label if number == 0 else ""
            lines.append(label.ljust(indent) + "".join(cells))
    lines.append(" " * indent + _ruler(band))
    lines.append(" " * indent + _addresses(band, columns))
    if mark is not None and band.first <= mark <= band.last:
        lines.append(" " * indent + _mark_line(band.column(mark), columns, mark))
    return lines


def _ground(band: Band, columns: int) -> list[str]:
    cells = ["."] * columns
    for stretch in band.stretches:
        if stretch.gap:
            cells[stretch.column : stretch.column + stretch.columns] = " " * stretch.columns
            cells[stretch.column + stretch.columns // 2] = "…"
    return cells


def in_lanes(segments: Sequence[Segment]) -> list[list[Segment]]:
    """Segments dealt out to as few lines as it takes for none to overlap; at least one line."""
    lanes: list[list[Segment]] = [[]]
    for segment in segments:
        for lane in lanes:
            if not lane or lane[-1].last < segment.first:
                lane.append(segment)
                break
        else:
            lanes.append([segment])
    return lanes


def _segment_text(
    segment: Segment, columns: int, cached: bool, *, cut_left: bool, cut_right: bool
) -> str:
    """Exactly ``columns`` characters, 1 or more."""
    length = segment.last - segment.first + 1
    fill = "~" if cached else "="
    labels = segment_labels(segment)
    if length <= segment.size:
        left, right = "[", "]"
        body = _centred(labels, columns - 2, fill)
    else:
        left, right = "|", "|"
        labels.append(labels[-1].replace(" ", ""))
        body = _pages(labels, size_text(segment.size), length // segment.size, columns - 2, fill)
    if cut_left:
        left = "…"
    if cut_right:
        right = "…"
    return (left + body + right)[:columns] if columns > 1 else left


def segment_labels(segment: Segment) -> list[str]:
    """What can be said inside a segment, the longest first."""
    length = segment.last - segment.first + 1
    size = size_text(segment.size)
    if length == segment.size:
        what = size
    elif length < segment.size:
        what = f"{about_size(length)} of {size}"
    elif length % segment.size:
        what = f"{about_size(length)} by {size}"
    else:
        what = f"{length // segment.size} x {size}"
    access = f" {segment.access}" if segment.access else ""
    buffer = re.match(r" buffer \d+", access)
    if segment.pa is None:
        whole = f"{what}{access}"
    elif buffer:
        # The ruler says how much it is, and nothing else where in the buffer.
        where = f"{buffer[0]} + {segment.pa:#x}"
        return [f"{what}{where}{access[buffer.end() :]}", where.strip(), what]
    else:
        whole = f"{what}{access} -> {segment.pa:#x}"
    return [whole, f"{what}{access}", what]


def _centred(labels: Sequence[str], columns: int, fill: str) -> str:
    for label in labels:
        if len(label) + 2 <= columns:
            return f" {label} ".center(columns, fill)
    for label in labels:
        if len(label) <= columns:
            return label.center(columns, fill)
    return fill * max(0, columns)


def _pages(labels: Sequence[str], size: str, count: int, columns: int, fill: str) -> str:
    """A run of pages between its outer bars: every page, or some at each end and the count."""
    cell = len(size) + 1
    if count == 2 and len(labels[0]) + 2 <= columns:
        # With both pages drawn there would be no place for what they map to.
        return _centred(labels[:1], columns, fill)
    for label in labels:
        # One page, or two, at each end, then the text between them.
        for ends in (2, 1):
            room = columns - 2 * ends * cell
            if count > 2 * ends and room >= len(label) + 2:
                return (size + "|") * ends + f" {label} ".center(room, fill) + ("|" + size) * ends
        if count * cell - 1 <= columns:
            return _every_page(size, count, columns, fill)
    return _centred(labels, columns, fill)


def _every_page(size: str, count: int, columns: int, fill: str) -> str:
    cells = []
    for index in range(count):
        start = index * (columns + 1) // count
        end = (index + 1) * (columns + 1) // count
        room = end - start - 1
        cells.append(size.center(room) if room <= _SMALL_PAGE else _centred([size], room, fill))
    return "|".join(cells)


def _ruler(band: Band) -> str:
    text = ""
    for stretch in band.stretches:
        is_end = stretch is band.stretches[-1]
        inner = stretch.columns - (2 if is_end else 1)
        text += "|" + about_size(stretch.size).center(inner, "." if stretch.gap else "-")
    return text + "|"


def _addresses(band: Band, columns: int) -> str:
    text = ""
    for stretch in band.stretches:
        text = text.ljust(stretch.column) + f"{stretch.first:#x}"
    end = f"{band.last + 1:#x}"
    return text.ljust(columns - len(end)) + end


def _mark_line(column: int, columns: int, mark: int) -> str:
    text = f"{mark:#x}"
    if column + 2 + len(text) <= columns:
        return " " * column + f"^ {text}"
    return " " * (column - 1 - len(text)) + f"{text} ^"
