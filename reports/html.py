"""A counterexample, and a run, as pages: each one file, which needs no network and no script.

What is said is what the terminal says (:mod:`reports.telling`), with the
address space as a picture, the walk as a table, and the events in lanes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from reference import trace as t
from reports.counterexample import Counterexample
from reports.drawing import Drawing, drawings
from reports.events import Told, lane_of, tell_events
from reports.reproduce import replay_lines
from reports.result import Identity, Result
from reports.telling import (
    Paragraph,
    drawing_meaning,
    drawn_rows,
    end_of_operation,
    enough,
    event_words,
    head,
    operation_text,
    result_text,
    told_from,
    used_window,
)
from reports.vocabulary import NO_VOCABULARY, Vocabulary

COLUMNS: Final = 120
"""The grid of a drawing, the rows' labels included."""
_MOST_DRAWINGS: Final = 4
_MOST_SHOWN: Final = 80
"""Lines of events up to the offending one that are seen at once."""
_MOST_EARLIER: Final = 400
"""Lines of events before these, for who asks; what came earlier still is counted."""
_LANES: Final = ("driver", "firmware", "memory", "device")
"""Lanes that have a place of their own, in order; others follow by name."""


@dataclass(frozen=True)
class Page:
    """Where the page of a finding is, as a relative address, and what it says in a sentence."""

    address: str
    message: str


@dataclass(frozen=True)
class Done:
    """One operation: its number from 1, what it was, what it returned, whether it is the one."""

    number: int
    text: str
    result: str
    here: bool


@dataclass(frozen=True)
class EventLine:
    """One line of the timeline.

    ``lane``: the number of its lane, -1 for a line across all. ``notes``: what it means.
    ``here``: it breaks the rule.
    """

    event: int
    lane: int
    text: str
    place: str
    notes: tuple[str, ...]
    here: bool


@dataclass(frozen=True)
class Timeline:
    """Events in lanes; ``earlier`` are those before what is told at once, ``left_out`` of them
    are not told at all. ``why`` says where it begins. ``has_places``: some events say which
    function made them.
    """

    lanes: tuple[str, ...]
    earlier: tuple[EventLine, ...]
    left_out: int
    lines: tuple[EventLine, ...]
    why: str
    has_places: bool


@dataclass(frozen=True)
class Picture:
    """The address space before and after; ``meaning`` says what the rows are."""

    drawings: tuple[Drawing, ...]
    left_out: int
    label_columns: int
    meaning: str


@lru_cache(maxsize=1)
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["hex"] = hex
    return environment


def tell(
    counterexample: Counterexample,
    *,
    file: str | None = None,
    vocabulary: Vocabulary = NO_VOCABULARY,
    commands: Sequence[str] = (),
    index: str = "",
) -> str:
    """A page about one counterexample.

    Args:
        counterexample: what is told.
        file: how the reader reaches the counterexample's file; None for its own name.
        vocabulary: the words of its system.
        commands: the lines to type to see it again; none for replays of ``file``.
        index: the page of the run that it is of, as a relative address; "" for none.
    """
    title = head(counterexample)
    file = file or counterexample.file_name
    return (
        _templates()
        .get_template("counterexample.html")
        .render(
            title=title.title,
            about=[part for part in title.parts if isinstance(part, Paragraph)],
            counterexample=counterexample,
            views=counterexample.views,
            done=_done(counterexample, vocabulary),
            picture=_picture(counterexample, vocabulary),
            timeline=_timeline(counterexample, vocabulary),
            enough=enough(counterexample),
            commands=list(commands) or replay_lines(counterexample, file),
            index=index,
        )
    )


def index(result: Result, pages: Mapping[tuple[str, str, str], Page]) -> str:
    """A page about a run: what was judged, and what was found.

    Args:
        result: the run.
        pages: those of the findings, by (system, rule, signature); what has no counterexample
            has none.
    """

    def told(findings: Sequence[Identity]) -> list[tuple[Identity, Page | None]]:
        return [(one, pages.get((one.system, one.rule, one.signature))) for one in findings]

    return (
        _templates()
        .get_template("index.html")
        .render(
            result=result,
            new=told(result.violations),
            known=told([one for one in result.identities if one.known]),
        )
    )


# -- parts of a page ------------------------------------------------------------------------


def _done(counterexample: Counterexample, vocabulary: Vocabulary) -> list[Done]:
    return [
        Done(
            number + 1,
            operation_text(counterexample, number, vocabulary),
            result_text(counterexample, number, vocabulary),
            number == counterexample.views.operation,
        )
        for number in range(len(counterexample.operations))
    ]


def _picture(counterexample: Counterexample, vocabulary: Vocabulary) -> Picture | None:
    views = counterexample.views
    rows = drawn_rows(counterexample, vocabulary.hardware.name)
    if not rows:
        return None
    drawn, left_out = drawings(
        rows,
        width=COLUMNS,
        window=used_window(rows, views.window, views.iova),
        mark=views.iova,
        most=_MOST_DRAWINGS,
    )
    return Picture(
        tuple(drawn),
        left_out,
        COLUMNS - max(one.columns for one in drawn),
        drawing_meaning(counterexample, vocabulary.hardware),
    )


def _timeline(counterexample: Counterexample, vocabulary: Vocabulary) -> Timeline | None:
    events = counterexample.events
    if not events:
        return None
    offending = counterexample.views.event
    end = len(events) - 1 if offending is None else offending
    start, why = told_from(events, end, "that" if offending is None else "it", vocabulary.registers)
    words = vocabulary.events
    lanes = _lanes({lane_of(event, words) for event in events})

    def lines(first: int, until: int) -> list[EventLine]:
        told = tell_events(
            events, first, until, counterexample.places, offending, vocabulary.registers, words
        )
        return [_event_line(counterexample, one, vocabulary, lanes) for one in told]

    shown = lines(start, end)
    earlier = lines(0, start - 1) + shown[:-_MOST_SHOWN]
    left_out = max(0, len(earlier) - _MOST_EARLIER)
    return Timeline(
        lanes,
        tuple(earlier[left_out:]),
        left_out,
        tuple(shown[-_MOST_SHOWN:] + lines(end + 1, end_of_operation(events, end))),
        why,
        any(event.place for event in events),
    )


def _lanes(names: set[str]) -> tuple[str, ...]:
    ordered = [name for name in _LANES if name in names]
    return (*ordered, *sorted(names - set(_LANES)))


def _event_line(
    counterexample: Counterexample, told: Told, vocabulary: Vocabulary, lanes: tuple[str, ...]
) -> EventLine:
    event = counterexample.events[told.first]
    words, notes = event_words(counterexample, told, vocabulary)
    lane = -1 if event.kind == t.BEGIN else lanes.index(lane_of(event, vocabulary.events))
    here = told.first == counterexample.views.event
    return EventLine(told.first, lane, " ".join(words.split()), told.place, tuple(notes), here)
