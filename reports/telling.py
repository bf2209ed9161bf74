"""What there is to tell of a counterexample, section by section, for every form of telling.

:func:`sections` decides what is said and in which order; the terminal, Markdown
and other tellings only decide how a heading, a paragraph or a drawing looks.
"""

import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reference import trace as t
from reference.numbers import about_size, errno_text
from reference.operations import from_json, json_text, text
from reports.counterexample import MISUSE, Counterexample, Segment
from reports.events import Told, tell_events
from reports.registers import Decoder
from reports.reproduce import replay_lines
from reports.strip import PAGE, Row, draw
from reports.vocabulary import NO_VOCABULARY, HardwareRow, Vocabulary

WIDTH: Final = 100
"""Columns of drawings and lists, where nothing else is asked for."""

_MOST_BEFORE: Final = 28
"""Lines of events before the offending one; what came earlier is counted."""
_MOST_AFTER: Final = 8
"""Lines of events after the offending one, up to the end of its operation."""
_MOST_BANDS: Final = 3
_MOST_FACTS: Final = 8
_VERB_COLUMNS: Final = 12
"""Columns of an event's kind, after which its own words begin."""

PLAIN: Final = ""
FAULT: Final = "fault"
"""The style of what is wrong: the offending event, the violated address."""
QUIET: Final = "quiet"
"""The style of what only helps: notes, rulers."""


@dataclass(frozen=True)
class Line:
    """One line of a list or drawing, at most ``WIDTH`` columns, shown as it is."""

    text: str
    style: str = PLAIN


@dataclass(frozen=True)
class Paragraph:
    """Running text, wrapped by whoever shows it; ``lead`` stands in front, emphasised."""

    text: str
    lead: str = ""


@dataclass(frozen=True)
class Block:
    """Lines shown as they are, in letters of one width."""

    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, in order; the first section's heading is the title."""

    title: str
    parts: tuple[Paragraph | Block, ...]


def sections(
    counterexample: Counterexample,
    *,
    file: str | None = None,
    vocabulary: Vocabulary = NO_VOCABULARY,
    commands: Sequence[str] = (),
    width: int = WIDTH,
) -> list[Section]:
    """Everything there is to tell.

    Args:
        counterexample: what is told.
        file: how the reader reaches the counterexample's file; None for its own name.
        vocabulary: the words of the counterexample's system.
        commands: the lines to type to see it again; none for replays of ``file``.
        width: columns of drawings and lists, 72 or more.
    """
    told = [
        head(counterexample),
        _done(counterexample, vocabulary, width),
        _seen(counterexample, width),
    ]
    for section in (
        _drawn(counterexample, vocabulary, width),
        _compared(counterexample, width),
        _walked(counterexample, width),
        _cached(counterexample, width),
        _happened(counterexample, vocabulary, width),
        enough(counterexample),
    ):
        if section is not None:
            told.append(section)
    file = file or counterexample.file_name
    told.append(_reproduced(counterexample, commands or replay_lines(counterexample, file)))
    return told


# -- helpers of all sections ----------------------------------------------------------------


def _wrapped(width: int, first: str, rest: str, words: str, style: str = PLAIN) -> list[Line]:
    """``words`` behind ``first``, further lines behind ``rest``, none wider than ``width``."""
    lines = textwrap.wrap(
        words,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
    )
    return [Line(line, style) for line in lines] or [Line(first.rstrip(), style)]


def operation_text(counterexample: Counterexample, index: int, vocabulary: Vocabulary) -> str:
    """An operation as a line, in the words of its declaration where that is known."""
    obj = counterexample.operations[index]
    specs = vocabulary.specs
    if specs is not None:
        try:
            return text(from_json(obj, specs), specs)
        except ValueError:
            # A file of another version: show what it says rather than nothing.
            return json_text(obj)
    return json_text(obj)


# -- the sections ---------------------------------------------------------------------------


def head(counterexample: Counterexample) -> Section:
    """Which rule is broken by what, and what the rule says."""
    rule = counterexample.rule_text
    parts: list[Paragraph | Block] = [
        Paragraph(rule.sentence, "The rule:"),
        Paragraph(rule.consequence, "Without it:"),
    ]
    if counterexample.label == MISUSE:
        parts.append(
            Paragraph(
                "the interface forbids what the caller does here. What is judged all the same is "
                "that memory stays safe, that neighbours keep their translations, and that "
                "nothing mapped is lost without an error.",
                "Misuse:",
            )
        )
    parts.append(
        Paragraph(f"{counterexample.target_name} ({counterexample.target_version})", "The target:")
    )
    if rule.source:
        parts.append(Paragraph(rule.source, "Its source:"))
    label = f", {counterexample.label}" if counterexample.label else ""
    return Section(
        f"{counterexample.rule} is broken by {counterexample.target_name} "
        f"({counterexample.system}{label})",
        tuple(parts),
    )


def result_text(counterexample: Counterexample, index: int, vocabulary: Vocabulary) -> str:
    """What an operation returned."""
    if index >= len(counterexample.results):
        return "was not reached"
    result = counterexample.results[index]
    if not result.finished:
        return "did not come back"
    returned = errno_text(result.result)
    name = str(counterexample.operations[index].get("op"))
    spec = vocabulary.specs.get(name) if vocabulary.specs is not None else None
    if spec is not None:
        told = spec.returned(result.value)
        return f"{returned}{', ' if told else ''}{told}"
    return f"{returned}, value {result.value:#x}" if result.value else returned


def _done(counterexample: Counterexample, vocabulary: Vocabulary, width: int) -> Section:
    lines: list[Line] = []
    digits = len(str(len(counterexample.operations)))
    for index in range(len(counterexample.operations)):
        here = index == counterexample.views.operation
        style = FAULT if here else PLAIN
        begin = f"{'>' if here else ' '} {index + 1:>{digits}}  "
        indent = " " * (len(begin) + 4)
        lines += _wrapped(
            width, begin, indent, operation_text(counterexample, index, vocabulary), style
        )
        result = result_text(counterexample, index, vocabulary)
        if len(lines[-1].text) + 5 + len(result) <= width:
            lines[-1] = Line(f"{lines[-1].text}  -> {result}", style)
        else:
            lines += _wrapped(width, f"{indent}-> ", f"{indent}   ", result, style)
    return Section("What was done", (Block(tuple(lines)),))


def _seen(counterexample: Counterexample, width: int) -> Section:
    views = counterexample.views
    parts: list[Paragraph | Block] = [Paragraph(views.message)]
    lines: list[Line] = []
    if views.iova is not None:
        lines.append(Line(f"address   {views.iova:#x}"))
    if views.expected:
        lines += _wrapped(width, "expected  ", " " * 10, views.expected)
    if views.observed:
        lines += _wrapped(width, "observed  ", " " * 10, views.observed, FAULT)
    if lines:
        parts.append(Block(tuple(lines)))
    return Section("What was seen", tuple(parts))


def _stale_segments(counterexample: Counterexample) -> tuple[Segment, ...]:
    return tuple(
        Segment(
            fact.first,
            fact.last,
            None,
            f"{fact.text.partition(' ')[0]}, level {fact.level}",
            fact.last - fact.first + 1,
        )
        for fact in counterexample.views.stale
    )


def used_window(
    rows: Sequence[Row], window: tuple[int, int] | None, mark: int | None
) -> tuple[int, int] | None:
    """The window without what no row maps at its ends, unless nothing at all is mapped in it."""
    if window is None:
        return None
    inside = [
        segment
        for row in rows
        for segment in row.segments
        if segment.first <= window[1] and segment.last >= window[0]
    ]
    if not inside:
        return window
    firsts = [segment.first for segment in inside]
    lasts = [segment.last for segment in inside]
    if mark is not None:
        firsts.append(mark // PAGE * PAGE)
        lasts.append(mark // PAGE * PAGE + PAGE - 1)
    return max(window[0], min(firsts)), min(window[1], max(lasts))


def drawn_rows(counterexample: Counterexample, hardware: str) -> list[Row]:
    """Promise, driver and hardware, before and after, and what is cached; [] for nothing to draw.

    The driver is there only where somebody looked.
    """
    views = counterexample.views
    rows: list[Row] = []
    for when, promise, driver, tables in (
        ("before", views.promise_before, views.driver_before, views.hardware_before),
        ("after", views.promise_after, views.driver_after, views.hardware_after),
    ):
        if rows:
            rows.append(Row(""))
        rows.append(Row(f"{when:<7} promise", promise))
        if driver is not None:
            rows.append(Row(f"{'':<7} driver", driver))
        rows.append(Row(f"{'':<7} {hardware}", tables))
    if views.stale:
        rows.append(Row(f"{'':<7} cached", _stale_segments(counterexample), cached=True))
    shown = views.window is not None or views.iova is not None or any(row.segments for row in rows)
    return rows if shown else []


def _drawn(counterexample: Counterexample, vocabulary: Vocabulary, width: int) -> Section | None:
    views = counterexample.views
    hardware = vocabulary.hardware
    rows = drawn_rows(counterexample, hardware.name)
    if not rows:
        return None
    drawing = draw(
        rows,
        width=width,
        window=used_window(rows, views.window, views.iova),
        mark=views.iova,
        most_bands=_MOST_BANDS,
    )
    lines = [
        Line(line, FAULT if line.lstrip().startswith("^") or line.endswith("^") else PLAIN)
        for line in drawing
    ]
    of = f" of {views.subject}" if views.subject else ""
    return Section(
        f"The addresses{of} before and after operation {views.operation + 1}",
        (
            Block(tuple(lines)),
            Paragraph(
                f"{drawing_meaning(counterexample, hardware)} [==] is one entry, |4K|4K| a run "
                f"of pages, {'~ what may be cached, ' if views.stale else ''}dots are addresses "
                "without translation, ^ is the violated address."
            ),
        ),
    )


def drawing_meaning(counterexample: Counterexample, hardware: HardwareRow) -> str:
    """What the rows of a drawing stand for, as a sentence."""
    meanings = ["Promise is what callers were told"]
    if counterexample.views.driver_after is not None:
        meanings.append("driver the mappings in its own books")
    meanings.append(f"{hardware.name} {hardware.meaning}")
    if counterexample.views.stale:
        meanings.append("cached what the device may still hold")
    return f"{', '.join(meanings)}."


def _compared(counterexample: Counterexample, width: int) -> Section | None:
    """What was said before and after of something, side by side."""
    comparison = counterexample.views.comparison
    if comparison is None:
        return None
    what = max(len(row.what) for row in comparison.rows) + 2
    room = (width - what) // 2
    lines = _beside(("", "before", "after"), what, room, QUIET)
    for row in comparison.rows:
        style = FAULT if row.before != row.after else PLAIN
        lines += _beside((row.what, row.before, row.after), what, room, style)
    parts: list[Paragraph | Block] = [Block(tuple(lines))]
    if comparison.meaning:
        parts.append(Paragraph(comparison.meaning))
    operation = counterexample.views.operation + 1
    return Section(
        f"The {comparison.subject}, before and after operation {operation}", tuple(parts)
    )


def _beside(cells: tuple[str, str, str], first: int, room: int, style: str) -> list[Line]:
    """Three cells side by side, the first ``first`` columns wide, the others up to ``room``."""
    wrapped = [
        [cells[0]],
        *(textwrap.wrap(cell, room - 2, break_on_hyphens=False) for cell in cells[1:]),
    ]
    return [
        Line(f"{a:<{first}}{b:<{room}}{c}".rstrip(), style)
        for a, b, c in itertools.zip_longest(*wrapped, fillvalue="")
    ]


def _walked(counterexample: Counterexample, width: int) -> Section | None:
    views = counterexample.views
    if not views.walk:
        return None
    rows = [("level", "table", "entry", "word", "says")]
    rows += [
        (str(step.level), f"{step.table:#x}", str(step.index), f"{step.word:#x}", step.text)
        for step in views.walk
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines: list[Line] = []
    for number, row in enumerate(rows):
        begin = "".join(f"{row[column]:<{widths[column]}}  " for column in range(4))
        lines += _wrapped(width, begin, " " * len(begin), row[4], QUIET if number == 0 else PLAIN)
    address = f" of {views.iova:#x}" if views.iova is not None else ""
    return Section(f"The walk{address} afterwards", (Block(tuple(lines)),))


def _cached(counterexample: Counterexample, width: int) -> Section | None:
    stale = counterexample.views.stale
    if not stale:
        return None
    lines: list[Line] = []
    for fact in stale[:_MOST_FACTS]:
        begin = f"level {fact.level}  {fact.first:#x}..{fact.last:#x} "
        begin += f"({about_size(fact.last - fact.first + 1)})  {fact.word:#x}  "
        lines += _wrapped(width, begin, " " * 9, fact.text)
    if len(stale) > _MOST_FACTS:
        lines.append(Line(f"and {len(stale) - _MOST_FACTS} more", QUIET))
    return Section(
        "What the device may still have cached",
        (
            Paragraph(
                "These entries could be walked once, and no invalidation that covers them has "
                "completed since."
            ),
            Block(tuple(lines)),
        ),
    )


# -- events ---------------------------------------------------------------------------------


def told_from(
    events: Sequence[t.Event], end: int, subject: str, decoder: Decoder | None
) -> tuple[int, str]:
    """The first event to tell, and why that one.

    That is the one after the last completed invalidation before ``end``, or, where this
    lies within the same operation, the operation's beginning: what it did before it
    invalidated is mostly where it went wrong.
    """
    begun = None
    completed = decoder.completion(events, end) if decoder is not None else None
    for index in range(end - 1, -1, -1):
        if events[index].kind == t.COMPLETE and (completed is None or completed < index):
            completed = index
        if events[index].kind == t.BEGIN and begun is None:
            begun = index
    if completed is None:
        return 0, f"No invalidation was completed before {subject}: told from the beginning."
    last = f"The last invalidation before {subject} was completed at event {completed}"
    if begun is not None and begun < completed:
        return begun, f"{last}: told from where its operation begins."
    return completed + 1, f"{last}: told from there."


def _happened(counterexample: Counterexample, vocabulary: Vocabulary, width: int) -> Section | None:
    events = counterexample.events
    if not events:
        return None
    offending = counterexample.views.event
    end = len(events) - 1 if offending is None else offending
    decoder = vocabulary.registers
    start, why = told_from(events, end, "that" if offending is None else "it", decoder)
    told = tell_events(
        events, start, end, counterexample.places, offending, decoder, vocabulary.events
    )
    left_out = 0
    if len(told) > _MOST_BEFORE:
        told = told[-_MOST_BEFORE:]
        left_out = told[0].first - start
    lines: list[Line] = []
    if left_out:
        lines.append(Line(f"        earlier events left out: {left_out}", QUIET))
    told_operation = _operation_of(events, told[0].first) if told else None
    if told_operation is not None and events[told[0].first].kind != t.BEGIN:
        lines += _operation_line(counterexample, told_operation, vocabulary, "goes on", width)
    for line in told:
        lines += _event_lines(counterexample, line, vocabulary, width, offending)
    for line in _after(counterexample, end, vocabulary):
        lines += _event_lines(counterexample, line, vocabulary, width)
    if not vocabulary.hardware.invalidates:
        why = f"Told from event {start}."
    what = (
        f"No single event is at fault; the violation shows at event {end}."
        if offending is None
        else f"Event {offending}, marked >, breaks the rule."
    )
    intro = f"{what} {why}"
    return Section("What happened, event by event", (Paragraph(intro), Block(tuple(lines))))


def _after(counterexample: Counterexample, end: int, vocabulary: Vocabulary) -> list[Told]:
    """What the target did after event ``end``, to the end of that operation."""
    events = counterexample.events
    last = end_of_operation(events, end)
    decoder = vocabulary.registers
    told = tell_events(
        events, end + 1, last, counterexample.places, None, decoder, vocabulary.events
    )
    return told[:_MOST_AFTER]


def end_of_operation(events: Sequence[t.Event], index: int) -> int:
    """The last event of the operation that event ``index`` belongs to."""
    while index + 1 < len(events) and events[index].kind != t.END:
        index += 1
    return index


def _operation_of(events: Sequence[t.Event], index: int) -> int | None:
    """The operation that event ``index`` belongs to."""
    for at in range(index, -1, -1):
        if events[at].kind == t.BEGIN:
            return events[at].a
        if events[at].kind == t.END and at < index:
            return None
    return None


def _operation_line(
    counterexample: Counterexample, operation: int, vocabulary: Vocabulary, what: str, width: int
) -> list[Line]:
    words = _operation_words(counterexample, operation, vocabulary, what)
    return _wrapped(width, "  ", "      ", words, QUIET)


def _operation_words(
    counterexample: Counterexample, operation: int, vocabulary: Vocabulary, what: str
) -> str:
    words = f"operation {operation + 1} {what}"
    if 0 <= operation < len(counterexample.operations):
        words += ": " + operation_text(counterexample, operation, vocabulary)
    return words


def event_words(
    counterexample: Counterexample, told: Told, vocabulary: Vocabulary
) -> tuple[str, list[str]]:
    """A told event in the words of its system, and what it means."""
    event = counterexample.events[told.first]
    words = told.text
    if event.kind == t.BEGIN:
        words = _operation_words(counterexample, event.a, vocabulary, "begins")
    elif event.kind == t.END:
        words = _return_text(counterexample, event, told.first, vocabulary) or words
    notes = [
        note.text
        for note in counterexample.views.notes
        if told.first <= note.event < told.first + told.period
    ]
    return words, notes


def _event_lines(
    counterexample: Counterexample,
    told: Told,
    vocabulary: Vocabulary,
    width: int,
    offending: int | None = None,
) -> list[Line]:
    event = counterexample.events[told.first]
    if event.kind == t.BEGIN:
        return _operation_line(counterexample, event.a, vocabulary, "begins", width)
    here = told.first == offending
    digits = len(str(len(counterexample.events) - 1))
    begin = f"{'>' if here else ' '} {told.first:>{digits}}  "
    indent = " " * (len(begin) + _VERB_COLUMNS)
    style = FAULT if here else PLAIN
    words, notes = event_words(counterexample, told, vocabulary)
    room = width - len(begin) - len(told.place) - 2
    if len(notes) == 1 and told.first + 1 >= told.last and len(words) + 2 + len(notes[0]) <= room:
        words = f"{words}: {notes.pop()}"
    lines = _wrapped(width, begin, indent, words, style)
    if told.place:
        last = lines[-1].text
        if len(last) + 2 + len(told.place) <= width:
            lines[-1] = Line(last + told.place.rjust(width - len(last)), style)
        else:
            lines.append(Line(told.place[:width].rjust(width), style))
    for note in notes:
        run = event.kind != t.ALLOC and told.first != told.last
        lines += _wrapped(
            width, indent, indent, f"the first: {note}" if run else note, style if here else QUIET
        )
    return lines


def _return_text(
    counterexample: Counterexample, event: t.Event, index: int, vocabulary: Vocabulary
) -> str:
    """What an END event returned, in the words of its operation's declaration, or ""."""
    operation = _operation_of(counterexample.events, index)
    specs = vocabulary.specs
    if specs is None or operation is None or operation >= len(counterexample.operations):
        return ""
    spec = specs.get(str(counterexample.operations[operation].get("op")))
    if spec is None:
        return ""
    told = spec.returned(event.b)
    return f"return      {errno_text(event.a)}{', ' if told else ''}{told}"


def enough(counterexample: Counterexample) -> Section | None:
    """With which change to the events nothing would be broken."""
    if not counterexample.views.repair:
        return None
    return Section(
        "What would have been enough",
        (
            Paragraph(f"It would have held {counterexample.views.repair}."),
            Paragraph("Found by trying: the same events were played back with one change."),
        ),
    )


# -- reproducing ----------------------------------------------------------------------------


def _reproduced(counterexample: Counterexample, commands: Sequence[str]) -> Section:
    return Section(
        "Reproduce",
        (
            Block(tuple(Line(command) for command in commands)),
            Paragraph(
                "FAILED means that the rule is still broken, FIXED that it held. "
                f"Found with --seed {counterexample.seed}, as: {counterexample.signature}."
            ),
        ),
    )
