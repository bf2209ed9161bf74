"""A counterexample as data: what was done, what the target did, and which rule it broke.

The file is JSON with the schema named in ``SCHEMA``. It is complete: every
telling (terminal, Markdown, and others) is made from it alone, and so is a
replay. Addresses and entry words are "0x..." strings in the file and unsigned
numbers here.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from reference.operations import Operation, Specs
from reference.operations import from_json as operation_from_json
from reference.trace import Event, event_from_json
from reference.words import to_unsigned
from reports import files
from reports.fields import Fields, as_word, hex_or_none

SCHEMA: Final = "mmu-conformance/counterexample/1"
"""What the field "schema" of the file says."""

MISUSE: Final = "misuse"
"""The label of a finding whose operations the interface forbids."""


def _unsigned(owner: object, *names: str) -> None:
    """Turn held words that were given to a frozen dataclass into unsigned ones."""
    for name in names:
        value = getattr(owner, name)
        if value is not None:
            object.__setattr__(owner, name, to_unsigned(value))


@dataclass(frozen=True)
class Segment:
    """A run of input addresses that translates in one way.

    ``first`` and ``last`` are input addresses, inclusive; ``pa`` is what ``first`` translates
    to, or None where the output does not follow from it (arbitrary, or scattered pages);
    ``access`` is a short word such as "rw-c"; ``size`` is the size in bytes of the pages or
    blocks that the run is made of. Words may be given held; they are kept unsigned.

    A mapping of a buffer (a VMA) has "buffer N" at the start of its ``access``, and in ``pa`` the
    byte in that buffer where it begins.
    """

    first: int
    last: int
    pa: int | None
    access: str
    size: int

    def __post_init__(self) -> None:
        _unsigned(self, "first", "last", "pa", "size")
        if self.last < self.first:
            raise ValueError(
                f"last is {self.last:#x}; allowed are addresses from first, {self.first:#x}"
            )
        if self.size == 0:
            raise ValueError("size is 0; allowed are page sizes in bytes, 1 and more")


@dataclass(frozen=True)
class Step:
    """One fetch of the walk of the violated address: where the word lies, and what it says."""

    level: int
    table: int
    index: int
    word: int
    kind: str
    text: str

    def __post_init__(self) -> None:
        _unsigned(self, "table", "word")


@dataclass(frozen=True)
class Stale:
    """Something that the device may still have cached although memory says otherwise."""

    level: int
    first: int
    last: int
    word: int
    text: str

    def __post_init__(self) -> None:
        _unsigned(self, "first", "last", "word")


@dataclass(frozen=True)
class Note:
    """What one event of the trace means: for a store, which entry it changes, and how."""

    event: int
    text: str


@dataclass(frozen=True)
class Compared:
    """One thing about what the violation is about: what was said before, and what after."""

    what: str
    before: str
    after: str


@dataclass(frozen=True)
class Comparison:
    """Something that is worth a look before the operation and after it, thing by thing.

    ``subject``: what it is, to follow "The": "entry of the large page at 0x0". ``meaning``: a
    sentence or two for those who do not know what that is, or "".
    """

    subject: str
    rows: tuple[Compared, ...]
    meaning: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(self.rows))
        if not self.rows:
            raise ValueError("rows are empty; allowed is one row or more")


@dataclass(frozen=True)
class Views:
    """What the three views said where the rule was broken.

    ``event`` is the index in the trace of the offending event, or None where no single event
    is at fault; ``operation`` the index of the operation in which the duty fell due; ``iova``
    the violated input address, or None where the rule is not about one. Segments describe the
    window, before the operation and at the violation. ``expected`` and ``observed`` are what
    the address should translate to and what it does, or "".

    ``driver_before`` and ``driver_after`` are what the driver's own books say is mapped, in
    mappings of buffers; None, both of them, where nobody looked. ``subject`` says which of
    several address spaces it is all about ("VM 0"), or is "". ``comparison`` is what a strip does
    not show of the violated address, or None. ``repair`` is the smallest change to the events with
    which the rule would have held, to follow "It would have held ", or "" where none was found.
    """

    message: str
    event: int | None
    operation: int
    iova: int | None
    promise_before: tuple[Segment, ...] = ()
    promise_after: tuple[Segment, ...] = ()
    hardware_before: tuple[Segment, ...] = ()
    hardware_after: tuple[Segment, ...] = ()
    walk: tuple[Step, ...] = ()
    stale: tuple[Stale, ...] = ()
    window: tuple[int, int] | None = None
    expected: str = ""
    observed: str = ""
    notes: tuple[Note, ...] = ()
    driver_before: tuple[Segment, ...] | None = None
    driver_after: tuple[Segment, ...] | None = None
    subject: str = ""
    comparison: Comparison | None = None
    repair: str = ""

    def __post_init__(self) -> None:
        _unsigned(self, "iova")
        if (self.driver_before is None) != (self.driver_after is None):
            missing = "driver_before" if self.driver_before is None else "driver_after"
            raise ValueError(
                f"{missing} is missing; allowed are driver_before and driver_after, or neither"
            )
        if self.driver_before is not None and self.driver_after is not None:
            object.__setattr__(self, "driver_before", tuple(self.driver_before))
            object.__setattr__(self, "driver_after", tuple(self.driver_after))
        for name in ("promise_before", "promise_after", "hardware_before", "hardware_after"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("walk", "stale", "notes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.window is not None:
            first, last = (to_unsigned(word) for word in self.window)
            if last < first:
                raise ValueError(
                    f"window is {first:#x} to {last:#x}; allowed is a first address that is "
                    "not beyond the last"
                )
            object.__setattr__(self, "window", (first, last))


@dataclass(frozen=True)
class OperationResult:
    """What an operation returned: 0 or a negative errno, its value, and whether it came back."""

    result: int
    value: int
    finished: bool = True

    def __post_init__(self) -> None:
        _unsigned(self, "value")


@dataclass(frozen=True)
class RuleText:
    """What a rule says, what goes wrong without it, and where it comes from."""

    sentence: str
    consequence: str
    source: str


@dataclass(frozen=True)
class Counterexample:
    """One violation and the shortest operations that show it.

    ``operations`` are JSON objects as :mod:`reference.operations` writes them, ``trace`` is as
    ``Trace.to_json`` writes it, with function names as places. ``results`` has one entry for
    each operation that was begun, so it may be shorter than ``operations``.
    """

    system: str
    target_name: str
    target_version: str
    rule: str
    rule_text: RuleText
    label: str
    signature: str
    seed: int
    operations: tuple[Mapping[str, int | str], ...]
    results: tuple[OperationResult, ...]
    trace: tuple[Mapping[str, object], ...]
    views: Views
    events: tuple[Event, ...] = field(init=False, repr=False, compare=False)
    """The trace as events; place n is ``places[n]``."""
    places: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """Function names of the trace; place 0 is unknown."""

    def __post_init__(self) -> None:
        for name in ("operations", "results", "trace"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.label not in ("", MISUSE):
            raise ValueError(f'field label is {self.label!r}; allowed are "" and "{MISUSE}"')
        if not self.operations:
            raise ValueError("field operations is empty; allowed is one operation or more")
        if len(self.results) > len(self.operations):
            raise ValueError(
                f"field results has {len(self.results)} entries; allowed are up to "
                f"{len(self.operations)}, one for each operation"
            )
        if not 0 <= self.views.operation < len(self.operations):
            raise ValueError(
                f"field views.operation is {self.views.operation}; allowed are 0 to "
                f"{len(self.operations) - 1}"
            )
        if self.views.event is not None and not 0 <= self.views.event < len(self.trace):
            raise ValueError(
                f"field views.event is {self.views.event}; allowed are null and 0 to "
                f"{len(self.trace) - 1}"
            )
        for note in self.views.notes:
            if not 0 <= note.event < len(self.trace):
                raise ValueError(
                    f"field views.notes names event {note.event}; allowed are 0 to "
                    f"{len(self.trace) - 1}"
                )
        events, places = _events(self.trace)
        object.__setattr__(self, "events", events)
        object.__setattr__(self, "places", places)

    @property
    def file_name(self) -> str:
        """The file's name, the same for the same identity: ``pagetable-OR-2-1f3a9c.json``."""
        return file_name(self.system, self.rule, self.signature)

    def typed_operations(self, specs: Specs) -> list[Operation]:
        """The operations by the declaration of the system.

        Raises:
            ValueError: one that the system does not know, named by its number from 1.
        """
        typed = []
        for number, obj in enumerate(self.operations, start=1):
            try:
                typed.append(operation_from_json(obj, specs))
            except ValueError as error:
                raise ValueError(f"operation {number}: {error}") from None
        return typed


def file_name(system: str, rule: str, signature: str) -> str:
    """The name of the file of an identity: system, rule, and a short hash of the signature."""
    short = hashlib.sha256(signature.encode()).hexdigest()[:6]
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{system}-{rule}")
    return f"{stem}-{short}.json"


# -- the trace ------------------------------------------------------------------------------


def _events(
    trace: Sequence[Mapping[str, object]],
) -> tuple[tuple[Event, ...], tuple[str, ...]]:
    places: dict[str, int] = {"": 0}
    for shown in trace:
        if isinstance(shown, Mapping):
            place = shown.get("place")
            if isinstance(place, str):
                places.setdefault(place, len(places))
    names = tuple(places)
    events = []
    for index, shown in enumerate(trace):
        where = f"trace[{index}]"
        if not isinstance(shown, Mapping):
            raise ValueError(f"field {where} is {shown!r}; allowed is an object")
        cpu = shown.get("cpu", 0)
        if not isinstance(cpu, int) or isinstance(cpu, bool) or not 0 <= cpu < 1 << 16:
            raise ValueError(f"field {where}.cpu is {cpu!r}; allowed are numbers from 0 to 65535")
        place = shown.get("place", 0)
        if not isinstance(place, str) and (
            not isinstance(place, int) or isinstance(place, bool) or not 0 <= place < 1 << 31
        ):
            raise ValueError(
                f"field {where}.place is {place!r}; allowed are function names and numbers from 0"
            )
        given = dict(shown)
        if isinstance(place, str):
            given["place"] = places[place]
        try:
            events.append(event_from_json(given))
        except ValueError as error:
            raise ValueError(f"field {where}: {error}") from None
    return tuple(events), names


# -- to and from JSON -----------------------------------------------------------------------


def _segment_json(segment: Segment) -> dict[str, object]:
    return {
        "first": f"{segment.first:#x}",
        "last": f"{segment.last:#x}",
        "pa": hex_or_none(segment.pa),
        "access": segment.access,
        "size": f"{segment.size:#x}",
    }


def _optional_json(views: Views) -> dict[str, object]:
    """The fields that a file has only where there is something to say."""
    shown: dict[str, object] = {}
    if views.driver_before is not None and views.driver_after is not None:
        shown["driver_before"] = [_segment_json(segment) for segment in views.driver_before]
        shown["driver_after"] = [_segment_json(segment) for segment in views.driver_after]
    if views.subject:
        shown["subject"] = views.subject
    if views.comparison is not None:
        shown["comparison"] = {
            "subject": views.comparison.subject,
            "rows": [
                {"what": row.what, "before": row.before, "after": row.after}
                for row in views.comparison.rows
            ],
            "meaning": views.comparison.meaning,
        }
    if views.repair:
        shown["repair"] = views.repair
    return shown


def to_json(counterexample: Counterexample) -> dict[str, object]:
    """The file's content, keys in their fixed order."""
    return {
        "schema": SCHEMA,
        "system": counterexample.system,
        "target": {
            "name": counterexample.target_name,
            "version": counterexample.target_version,
        },
        "rule": counterexample.rule,
        "rule_text": {
            "sentence": counterexample.rule_text.sentence,
            "consequence": counterexample.rule_text.consequence,
            "source": counterexample.rule_text.source,
        },
        "label": counterexample.label,
        "signature": counterexample.signature,
        "seed": counterexample.seed,
        "operations": [dict(operation) for operation in counterexample.operations],
        "results": [
            {
                "result": result.result,
                "value": f"{result.value:#x}",
                "finished": result.finished,
            }
            for result in counterexample.results
        ],
        "trace": [dict(event) for event in counterexample.trace],
        "views": _views_json(counterexample.views),
    }


def _views_json(views: Views) -> dict[str, object]:
    """What the three views said, keys in their fixed order."""
    return {
        "message": views.message,
        "event": views.event,
        "operation": views.operation,
        "iova": hex_or_none(views.iova),
        "promise_before": [_segment_json(segment) for segment in views.promise_before],
        "promise_after": [_segment_json(segment) for segment in views.promise_after],
        "hardware_before": [_segment_json(segment) for segment in views.hardware_before],
        "hardware_after": [_segment_json(segment) for segment in views.hardware_after],
        **_optional_json(views),
        "walk": [
            {
                "level": step.level,
                "table": f"{step.table:#x}",
                "index": step.index,
                "word": f"{step.word:#x}",
                "kind": step.kind,
                "text": step.text,
            }
            for step in views.walk
        ],
        "stale": [
            {
                "level": fact.level,
                "first": f"{fact.first:#x}",
                "last": f"{fact.last:#x}",
                "word": f"{fact.word:#x}",
                "text": fact.text,
            }
            for fact in views.stale
        ],
        "window": (None if views.window is None else [f"{word:#x}" for word in views.window]),
        "expected": views.expected,
        "observed": views.observed,
        "notes": [{"event": note.event, "text": note.text} for note in views.notes],
    }


def _read_segment(fields: Fields) -> Segment:
    first, last = fields.word("first"), fields.word("last")
    pa, access, size = fields.word_or_none("pa"), fields.string("access"), fields.word("size")
    try:
        return Segment(first, last, pa, access, size)
    except ValueError as error:
        raise ValueError(f"field {fields.where}: {error}") from None


def _read_step(fields: Fields) -> Step:
    return Step(
        level=fields.number("level", 0, 16),
        table=fields.word("table"),
        index=fields.number("index", 0),
        word=fields.word("word"),
        kind=fields.string("kind"),
        text=fields.string("text"),
    )


def _read_stale(fields: Fields) -> Stale:
    return Stale(
        level=fields.number("level", 0, 16),
        first=fields.word("first"),
        last=fields.word("last"),
        word=fields.word("word"),
        text=fields.string("text"),
    )


def _read_result(fields: Fields) -> OperationResult:
    return OperationResult(
        result=fields.number("result"),
        value=fields.word("value"),
        finished=fields.boolean("finished"),
    )


def _read_window(fields: Fields) -> tuple[int, int] | None:
    if fields.raw("window", "null or a list of two addresses") is None:
        return None
    words = fields.items("window")
    where = fields.path("window")
    if len(words) != 2:
        raise ValueError(
            f"field {where} has {len(words)} addresses; allowed is null or two, first and last"
        )
    first, last = as_word(words[0], f"{where}[0]"), as_word(words[1], f"{where}[1]")
    if last < first:
        raise ValueError(
            f"field {where} is {first:#x} to {last:#x}; allowed is a first address that is not "
            "beyond the last"
        )
    return first, last


def _read_operations(fields: Fields) -> tuple[dict[str, int | str], ...]:
    made = []
    for index, obj in enumerate(fields.items("operations")):
        where = f"operations[{index}]"
        if not isinstance(obj, dict) or not isinstance(obj.get("op"), str):
            raise ValueError(
                f'field {where} is {obj!r}; allowed are objects with a field "op", a string'
            )
        for name, value in obj.items():
            if not isinstance(value, int | str) or isinstance(value, bool):
                raise ValueError(
                    f"field {where}.{name} is {value!r}; allowed are whole numbers and strings"
                )
        made.append(obj)
    return tuple(made)


def _read_trace(fields: Fields) -> tuple[dict[str, object], ...]:
    made = []
    for index, obj in enumerate(fields.items("trace")):
        if not isinstance(obj, dict):
            raise ValueError(f"field trace[{index}] is {obj!r}; allowed is an object")
        made.append(obj)
    return tuple(made)


def _read_driver(fields: Fields) -> tuple[tuple[Segment, ...] | None, tuple[Segment, ...] | None]:
    if not fields.has("driver_before") and not fields.has("driver_after"):
        return None, None
    # Where one of them is missing, it is refused by name.
    return (
        fields.objects("driver_before", _read_segment),
        fields.objects("driver_after", _read_segment),
    )


def _read_compared(fields: Fields) -> Compared:
    return Compared(fields.string("what"), fields.string("before"), fields.string("after"))


def _read_comparison(fields: Fields) -> Comparison | None:
    if not fields.has("comparison"):
        return None
    inside = fields.fields("comparison")
    subject, meaning = inside.string("subject"), inside.string("meaning")
    rows = inside.objects("rows", _read_compared)
    inside.finish()
    try:
        return Comparison(subject, rows, meaning)
    except ValueError as error:
        raise ValueError(f"field {inside.where}: {error}") from None


def _read_views(fields: Fields) -> Views:
    driver_before, driver_after = _read_driver(fields)
    return Views(
        message=fields.string("message"),
        event=fields.number_or_none("event", 0, 1 << 62),
        operation=fields.number("operation", 0),
        iova=fields.word_or_none("iova"),
        promise_before=fields.objects("promise_before", _read_segment),
        promise_after=fields.objects("promise_after", _read_segment),
        hardware_before=fields.objects("hardware_before", _read_segment),
        hardware_after=fields.objects("hardware_after", _read_segment),
        walk=fields.objects("walk", _read_step),
        stale=fields.objects("stale", _read_stale),
        window=_read_window(fields),
        expected=fields.string("expected"),
        observed=fields.string("observed"),
        notes=fields.objects(
            "notes", lambda note: Note(note.number("event", 0), note.string("text"))
        )
        if fields.has("notes")
        else (),
        driver_before=driver_before,
        driver_after=driver_after,
        subject=fields.string("subject") if fields.has("subject") else "",
        comparison=_read_comparison(fields),
        repair=fields.string("repair") if fields.has("repair") else "",
    )


def from_json(data: object) -> Counterexample:
    """The counterexample that a file's content describes.

    Raises:
        ValueError: not a counterexample, or of another schema; the message names the field,
            what it is, and what is allowed.
    """
    fields = Fields(data, "")
    fields.choice("schema", (SCHEMA,))
    target = fields.fields("target")
    target_name, target_version = target.string("name"), target.string("version")
    target.finish()
    text = fields.fields("rule_text")
    rule_text = RuleText(text.string("sentence"), text.string("consequence"), text.string("source"))
    text.finish()
    views = fields.fields("views")
    made = Counterexample(
        system=fields.string("system"),
        target_name=target_name,
        target_version=target_version,
        rule=fields.string("rule"),
        rule_text=rule_text,
        label=fields.string("label"),
        signature=fields.string("signature"),
        seed=fields.number("seed"),
        operations=_read_operations(fields),
        results=fields.objects("results", _read_result),
        trace=_read_trace(fields),
        views=_read_views(views),
    )
    views.finish()
    fields.finish()
    return made


# -- files ----------------------------------------------------------------------------------

_ALLOWED: Final = f'counterexample files, JSON objects with "schema": "{SCHEMA}"'


def load(path: str | Path, know: Callable[[str], object] | None = None) -> Counterexample:
    """The counterexample in a file.

    ``know`` is called with the system's name before the events are read, so that the kinds of
    events that this system declares are known by then.

    Raises:
        ValueError: the file was cut off, or is something else; one message with the file, what
            was found, and what is allowed. Or what ``know`` raises.
        OSError: the file cannot be read.
    """
    data = files.read_json(path, _ALLOWED)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = "is not a JSON object"
        if isinstance(data, dict):
            found = f"has schema {data['schema']!r}" if "schema" in data else "has no schema"
        raise ValueError(f"{path} {found}; allowed are {_ALLOWED}")
    try:
        if know is not None and isinstance(data.get("system"), str):
            know(data["system"])
        return from_json(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def save(counterexample: Counterexample, path: str | Path) -> None:
    """Write the file, all of it or nothing; the same counterexample gives the same bytes.

    Raises:
        OSError: the folder cannot be written.
    """
    files.write_json(path, to_json(counterexample))


def is_counterexample(path: str | Path) -> bool:
    """Whether a file is meant as a counterexample, and not as operations written by hand.

    A file of operations has a whole object with "op" on its first line that is not blank and
    not a comment; anything that starts as an object without that, whole or cut off, is taken
    for a counterexample, so that :func:`load` can say what is wrong with it.

    Raises:
        OSError: the file cannot be read.
    """
    with Path(path).open(encoding="utf-8", errors="replace") as file:
        for line in file:
            line = line.strip()
            if line and not line.startswith("#"):
                return (
                    line.startswith("{")
                    and not re.match(r'\{\s*"op"\s*:', line)
                    and ('"schema"' in line or not line.endswith("}"))
                )
    return False
