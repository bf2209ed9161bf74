"""What a counterexample of system ``dart`` says: views of a domain, registers and own events.

What the hardware may use of a domain is drawn stream by stream: where several streams walk it,
each has its own segments, which lie under each other in a drawing.
"""

from collections.abc import Iterator, Sequence

from conformance.rules.rule import Violation
from conformance.session import Session
from conformance.table_segments import Window, mapped, promised, views
from reference import trace as t
from reference.operations import Operation
from reference.systems.dart import device as unit_of
from reference.systems.dart.device import PARTS, UNIT_MASK, UNIT_SHIFT, Part, Place
from reference.systems.dart.events import DOMAIN, ERROR, TOLD, UNITS
from reference.systems.dart.promise import (
    DartPromise,
    DartState,
    KnownDomain,
    Stream,
)
from reference.words import to_unsigned
from reports.counterexample import Segment, Views
from reports.events import EventWords
from reports.registers import Accesses, last_showing

Segments = tuple[Segment, ...]

MOST_LANES = 4
"""So many streams of a domain are drawn."""


class DartViews:
    """Looks at a session before its last operation and after it.

    What is shown is about one domain: that of the last operation that names one, or that its
    device is attached to.
    """

    def __init__(self, session: Session, operations: Sequence[Operation]) -> None:
        """Look before the last of ``operations``."""
        self._session = session
        self._number = _subject(session, operations)
        self._window = _window(session, operations, self._number)
        self._before = self._look()

    def after(self, violation: Violation) -> Views:
        """What there is to say once the last operation has broken a rule."""
        session = self._session
        domain = self._domain()
        inside = self._window is not None and (self._window[0] <= violation.iova <= self._window[1])
        return views(
            violation, session.trace, len(session.operations), self._window,
            self._before, self._look(),
            iova=violation.iova if inside else -1,
            space=None if domain is None else domain.space,
            roots=_roots(list(session.trace)),
            subject=f"domain {self._number}",
        )  # fmt: skip

    def _domain(self) -> KnownDomain | None:
        state = _state(self._session)
        if state is None or not 0 <= self._number < len(state.domains):
            return None
        return state.domains[self._number]

    def _look(self) -> tuple[Segments, Segments]:
        """What promise and hardware say of the window now."""
        domain, state = self._domain(), _state(self._session)
        if domain is None or state is None or self._window is None:
            return (), ()
        return promised(domain.pages, self._window), _lanes(state, domain, self._window)


def _lanes(state: DartState, domain: KnownDomain, window: tuple[int, int]) -> Segments:
    """What each stream may use of a domain: what memory says, and what it may have cached."""
    there = mapped(domain.space, window)
    streams = [one for unit in state.units for one in unit.streams if _concerns(one, domain)]
    if not streams:
        return there
    found: list[Segment] = []
    for stream in streams[:MOST_LANES]:
        name = f"unit {stream.unit} stream {stream.number}"
        if stream.mode == unit_of.TRANSLATE:
            found += [
                Segment(one.first, one.last, one.pa, f"{one.access}, {name}", one.size)
                for one in there
            ]
        if stream.context is not None:
            found += _cached(state, stream, name, window)
    return tuple(sorted(found, key=lambda one: (one.first, one.access)))


def _concerns(stream: Stream, domain: KnownDomain) -> bool:
    return stream.context is not None and int(domain.space.number) in stream.loaded


def _cached(
    state: DartState, stream: Stream, name: str, window: tuple[int, int]
) -> Iterator[Segment]:
    """What a stream may have cached that memory does not hold any more."""
    assert stream.context is not None
    for fact in stream.context.tlb.leaves_in(*window):
        pa = state.format.output(fact.level, fact.word)
        yield Segment(fact.first, fact.last, pa, f"cached, {name}", fact.last - fact.first + 1)


def _state(session: Session) -> DartState | None:
    """The units and what the kernel has; None before they were made."""
    promise: DartPromise = session.promise
    return promise.made


def _subject(session: Session, operations: Sequence[Operation]) -> int:
    """The domain that the last operations are about."""
    state = _state(session)
    for operation in reversed(operations):
        if "domain" in operation.args:
            return operation.number("domain")
        if "device" in operation.args and state is not None:
            device = state.device(operation.number("device"))
            if device is not None and device.group is not None and device.group.domain >= 0:
                return device.group.domain
    return 0


def _window(session: Session, operations: Sequence[Operation], domain: int) -> Window:
    """The addresses of one domain that the operations speak of, and a page on each side."""
    state = _state(session)
    if state is None:
        return None
    firsts: list[int] = []
    lasts: list[int] = []
    for operation in operations:
        if operation.name in ("map", "unmap") and operation.args.get("domain") == domain:
            first = to_unsigned(operation.number("iova"))
            size = to_unsigned(operation.number("size"))
            if first < state.limit:
                firsts.append(first & ~(state.page - 1))
                lasts.append(min(first + size, state.limit) - 1)
    if not firsts:
        return None
    return max(min(firsts) - state.page, 0), min(max(lasts) + state.page, state.limit - 1)


def _roots(events: Sequence[t.Event]) -> frozenset[int]:
    """The allocations, by number of their event, of root tables: those that registers lead to."""
    allocated: dict[int, int] = {}
    found: set[int] = set()
    part = PARTS[unit_of.T8020]
    for number, event in enumerate(events):
        if event.kind == UNITS:
            part = _part(event.a)
        elif event.kind == t.ALLOC:
            allocated[event.a] = number
        elif event.kind == t.REG_WRITE:
            place = part.places.get(event.a & UNIT_MASK)
            root = -1
            if place is not None and place.name == unit_of.TTBR:
                root = part.root_of(event.b)
            if root in allocated:
                found.add(allocated[root])
    return frozenset(found)


# -- events -------------------------------------------------------------------------------------


def _part(number: int) -> Part:
    """The part with this number, as ``units`` events have it; the first where there is none."""
    there = list(PARTS.values())
    return there[number] if 0 <= number < len(there) else there[0]


def _source(event: t.Event) -> str:
    """Unit, stream, code and address of an error."""
    return (
        f"unit {event.a >> 16}, stream {event.a & 0xFFFF}: code {event.b:#x} at "
        f"{to_unsigned(event.c):#x}"
    )


def _domain_text(event: t.Event, vm: int | None) -> str:
    if event.a < 0:
        return f"domain      software bypass of unit {-1 - event.a}, which is next"
    return f"domain      {event.a}, which the next events are about"


EVENT_WORDS = EventWords(
    texts={
        DOMAIN: _domain_text,
        ERROR: lambda e, vm: f"error       {_source(e)}",
        TOLD: lambda e, vm: f"told        {_source(e)}",
        UNITS: lambda e, vm: f"units       of part {_part(e.a).name}",
    },
)
"""The events of driver and units."""


# -- registers ----------------------------------------------------------------------------------


def _streams(numbers: Sequence[int]) -> str:
    return ("stream " if len(numbers) == 1 else "streams ") + ", ".join(map(str, numbers))


def _value(part: Part, place: Place, value: int) -> str:
    """What a register holds, in words."""
    name = place.name
    if name == unit_of.TCR:
        return unit_of.MODE_NAMES[part.mode_of(value)]
    if name == unit_of.TTBR:
        root = part.root_of(value)
        return f"table {root:#x}" if root >= 0 else "none"
    if name == unit_of.SELECT:
        return _streams([one + 32 * place.index for one in range(32) if value >> one & 1])
    if name == unit_of.ERROR:
        return _error(part, value)
    return f"{value:#x}"


def _error(part: Part, value: int) -> str:
    if not value & unit_of.FLAG:
        return "none"
    code = part.error_code(value)
    names = unit_of.ERROR_BITS[part.newer]
    said = [names.get(bit, f"bit {bit}") for bit in range(24) if code >> bit & 1]
    return f"stream {part.error_stream(value)}: {' and '.join(said) or 'no code'}"


def _command(part: Part, value: int, selected: dict[int, int]) -> str:
    """What a command does; ``selected``: the selection by word."""
    if part.newer:
        what = value >> 8 & 7
        if what == unit_of.TLB_ALL:
            return "invalidate all streams"
        if what == unit_of.TLB_STREAM:
            return f"invalidate stream {value & 0xFF}"
    elif value == unit_of.INVALIDATE:
        numbers = [
            one + 32 * word for word in sorted(selected) for one in range(32)
            if selected[word] >> one & 1
        ]  # fmt: skip
        return f"invalidate {_streams(numbers) if numbers else 'nothing'}"
    return f"{value:#x}, which is no command"


class DartRegisters:
    """The registers of DARTs, see :class:`reports.registers.Decoder`."""

    def accesses(
        self, events: Sequence[t.Event], first: int, last: int, alone: int | None
    ) -> list[Accesses]:
        """Every access among events ``first``..``last`` of a register that is known, in order."""
        part = PARTS[unit_of.T8020]
        selected: dict[int, dict[int, int]] = {}
        found: list[Accesses] = []
        for number, event in enumerate(events[: last + 1]):
            if event.kind == UNITS:
                part = _part(event.a)
            place = _place(part, event)
            if place is None:
                continue
            unit = event.a >> UNIT_SHIFT
            if place.name == unit_of.SELECT and event.kind == t.REG_WRITE:
                selected.setdefault(unit, {})[place.index] = event.b
            if number >= first:
                text = self._text(part, event, place, selected.get(unit, {}))
                self._add(found, number, text, alone)
        return found

    def _add(self, found: list[Accesses], number: int, text: str, alone: int | None) -> None:
        """An access more; the same answer again and again is one line."""
        if found and alone not in (number, found[-1].last):
            before = found[-1]
            if before.last == number - 1 and before.text.split(" (")[0] == text:
                times = number - before.first + 1
                found[-1] = Accesses(before.first, number, f"{text} ({times} times)")
                return
        found.append(Accesses(number, number, text))

    def _text(self, part: Part, event: t.Event, place: Place, selected: dict[int, int]) -> str:
        is_write = event.kind == t.REG_WRITE
        where = f"unit {event.a >> UNIT_SHIFT}"
        if place.stream >= 0:
            where += f" stream {place.stream}"
        if place.name == unit_of.COMMAND:
            if is_write:
                return f"command     {where}: {_command(part, event.b, selected)}"
            return f"reg-read    {where}: {'busy' if event.b & part.busy else 'not busy'}"
        name = place.name
        if name == unit_of.TTBR and part.ttbrs > 1:
            name += f" {place.index}"
        sign = " =" if is_write else ":"
        verb = "reg-write" if is_write else "reg-read"
        return f"{verb:<11} {where}: {name}{sign} {_value(part, place, event.b)}"

    def completion(self, events: Sequence[t.Event], end: int) -> int | None:
        """The last event before ``end`` that showed an invalidation to have ended."""
        part = PARTS[unit_of.T8020]
        running: set[int] = set()

        def showed(event: t.Event) -> bool:
            nonlocal part
            if event.kind == UNITS:
                part = _part(event.a)
            place = _place(part, event)
            if place is None or place.name != unit_of.COMMAND:
                return False
            unit = event.a >> UNIT_SHIFT
            if event.kind == t.REG_WRITE:
                running.add(unit)
                return False
            if event.b & part.busy or unit not in running:
                return False
            running.discard(unit)
            return True

        return last_showing(showed, events, end)


def _place(part: Part, event: t.Event) -> Place | None:
    """The register that an event is an access of, if it is one of a register that is known."""
    if event.kind not in (t.REG_READ, t.REG_WRITE):
        return None
    return part.places.get(event.a & UNIT_MASK)
