"""The events of a trace as lines for people, long runs of like events in one line."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from reference import trace as t
from reference.numbers import errno_text, range_text, size_text
from reference.words import to_unsigned
from reports.registers import Decoder

LEAST_RUN: Final = 4
"""So many like events in a row, or more, are told as one line."""

UNNAMED: Final = -1
"""In place of the number of a VM: there are several, and none was named."""

TABLE: Final = 4096
"""Stores within one such aligned stretch are told as stores in one table."""

_WORD: Final = 8

_BARRIERS: Final = {
    t.BARRIER_FULL: "full",
    t.BARRIER_ORDER: "order of stores only",
    t.BARRIER_READ: "reads only",
}
_REFS: Final = {
    t.REFS_VM: "VM",
    t.REFS_BUFFER: "buffer",
    t.REFS_VM_BO: "link of buffer",
    t.REFS_PINS: "pages of buffer",
}
_CAUSES: Final = {
    t.CAUSE_ALL: "the driver flushes everything",
    t.CAUSE_WALK: "the driver flushes a range with its walk entries",
    t.CAUSE_GATHER: "the gather was full and is flushed early",
    t.CAUSE_SYNC: "the caller syncs its gather",
    t.CAUSE_QUEUE: "the caller's flush queue",
}


@dataclass(frozen=True)
class EventWords:
    """How a system tells the kinds of events that it has beside those that all share."""

    texts: Mapping[int, Callable[[t.Event, int | None], str]] = field(default_factory=dict)
    """For each kind its line, of an event and the VM that it is about (see ``event_text``)."""
    together: Mapping[int, Callable[[Sequence[t.Event]], str]] = field(default_factory=dict)
    """For kinds of which several in a row, be they only two, are one line: that line."""
    counted: Mapping[int, str] = field(default_factory=dict)
    """What the counts of refs events are called here, where that is not as elsewhere."""
    subject: int = -1
    """The kind that says which VM the next events are about; -1 where there is only one."""
    lanes: Mapping[int, Callable[[t.Event], str]] = field(default_factory=dict)
    """For kinds that are not the driver's doing: whose they are, the name of a lane."""


NO_WORDS: Final = EventWords()
"""For systems with no kinds of their own."""


@dataclass(frozen=True)
class Told:
    """Events ``first``..``last`` of a trace (mostly one), as one line of text.

    A run in which several kinds take turns has that many events as its ``period``; ``place``
    is the function that made the events, "" if it is not known or not one.
    """

    first: int
    last: int
    period: int
    text: str
    place: str


_MEMORY: Final = frozenset({t.STORE, t.FILL, t.BARRIER, t.CLEAN, t.DMA_MAP, t.DMA_UNMAP, t.WILD})
_DEVICE: Final = frozenset({t.INVALIDATE, t.COMPLETE, t.ATTACH, t.DETACH, t.REG_READ, t.REG_WRITE})


def lane_of(event: t.Event, words: EventWords = NO_WORDS) -> str:
    """The lane of a timeline in which an event stands: "driver", "memory", "device", or another's.

    A system says where its own kinds stand; those of which it says nothing are the driver's.
    """
    if event.kind in words.lanes:
        return words.lanes[event.kind](event)
    if event.kind in _MEMORY:
        return "memory"
    return "device" if event.kind in _DEVICE else "driver"


def range_words(first: int, last: int) -> str:
    """An inclusive range of held addresses, with its size."""
    return range_text(to_unsigned(first), to_unsigned(last))


def _bytes(size: int) -> str:
    return f"{size} bytes" if size < 1024 else size_text(size)


def in_vm(vm: int | None) -> str:
    """ " in VM N" where it is known which."""
    return "" if vm is None or vm == UNNAMED else f" in VM {vm}"


def _counted(event: t.Event, vm: int | None, counted: Mapping[int, str]) -> str:
    """What a count is the count of; ``vm`` as in :func:`event_text`."""
    what = counted.get(event.a, _REFS.get(event.a, f"count {event.a} of"))
    only = event.a == t.REFS_VM and not event.b and vm is None
    number = "" if only else f" {event.b}"
    return f"{what}{number}{in_vm(vm) if event.a == t.REFS_VM_BO else ''}"


def _refs(event: t.Event, vm: int | None, counted: Mapping[int, str]) -> str:
    word = "pin" if event.a == t.REFS_PINS else "reference"
    told = f"{event.c} {word}{'' if event.c == 1 else 's'}" if event.c else "none left"
    return f"{_counted(event, vm, counted)}: {told}"


def _refs_text(
    events: Sequence[t.Event], vms: Sequence[int | None], counted: Mapping[int, str]
) -> str:
    """Counts in a row as one line."""
    counts = [
        f"{_counted(event, vm, counted)}: {event.c}" for event, vm in zip(events, vms, strict=True)
    ]
    return "refs        " + ", ".join(counts)


def scope_text(scope: int) -> str:
    """What an invalidation removes."""
    if scope == t.SCOPE_LEAF:
        return "leaf entries only"
    if scope == t.SCOPE_WALK:
        return "walk entries only"
    if scope == t.SCOPE_LEAF | t.SCOPE_WALK:
        return "leaf and walk entries"
    return f"scope {scope:#x}"


def _invalidation_text(event: t.Event) -> str:
    word = to_unsigned(event.c)
    scope, cause, ticket = word & 0xFF, word >> 8 & 0xFF, word >> 16
    return (
        f"invalidate  {range_words(event.a, event.b)}, {scope_text(scope)}, ticket {ticket}: "
        f"{_CAUSES.get(cause, f'cause {cause}')}"
    )


def _wild_text(event: t.Event) -> str:
    way = "write" if event.c else "read"
    return (
        f"WILD        {way} of {event.b} bytes at {to_unsigned(event.a):#x}, outside all memory of "
        "the code"
    )


def _release_text(event: t.Event) -> str:
    where = range_words(event.a, event.b)
    return f"release     {where}: addresses and pages get a new owner"


_TEXTS: Final[Mapping[int, Callable[[t.Event], str]]] = {
    t.BEGIN: lambda e: f"operation {e.a + 1} begins",
    t.END: lambda e: f"return      {errno_text(e.a)}, value {to_unsigned(e.b):#x}",
    t.ALLOC: lambda e: f"alloc       {_bytes(to_unsigned(e.b))} at {to_unsigned(e.a):#x}",
    t.ALLOC_FAILED: lambda e: f"alloc       {_bytes(to_unsigned(e.a))}: FAILED",
    t.FREE: lambda e: f"free        {_bytes(to_unsigned(e.b))} at {to_unsigned(e.a):#x}",
    t.STORE: lambda e: (
        f"store       at {to_unsigned(e.a):#x}: {to_unsigned(e.b):#x} -> {to_unsigned(e.c):#x}"
    ),
    t.FILL: lambda e: (
        f"fill        {_bytes(to_unsigned(e.b))} at {to_unsigned(e.a):#x} with "
        f"{to_unsigned(e.c):#x}"
    ),
    t.BARRIER: lambda e: f"barrier     {_BARRIERS.get(e.a, f'type {e.a}')}",
    t.CLEAN: lambda e: (
        f"clean       {_bytes(to_unsigned(e.b))} at {to_unsigned(e.a):#x} from the cache to memory"
    ),
    t.GATHER: lambda e: (
        f"gather      {to_unsigned(e.a):#x}, {_bytes(to_unsigned(e.b))}, for a later invalidation"
    ),
    t.INVALIDATE: _invalidation_text,
    t.COMPLETE: lambda e: f"complete    ticket {e.a}",
    t.ATTACH: lambda e: (
        f"attach      the device walks from root {to_unsigned(e.a):#x}, context {e.b}"
    ),
    t.DETACH: lambda e: f"detach      the device leaves root {to_unsigned(e.a):#x}, context {e.b}",
    t.RELEASE: _release_text,
    t.CRASH: lambda e: f"CRASH       signal {e.a} at address {to_unsigned(e.b):#x}",
    t.HANG: lambda e: "HANG        it did not come back",
    t.BUG: lambda e: "BUG         the code stopped itself",
    t.WARN: lambda e: "WARN        the code says that something is wrong",
    t.WILD: _wild_text,
    t.DMA_MAP: lambda e: (
        f"dma-map     {_bytes(to_unsigned(e.b))} at {to_unsigned(e.a):#x}: the device is let at "
        "them"
    ),
    t.DMA_UNMAP: lambda e: (
        f"dma-unmap   {_bytes(to_unsigned(e.b))} at {to_unsigned(e.a):#x}: the device is no longer "
        "let at them"
    ),
}
"""The events that all systems share, each as a line."""


def event_text(event: t.Event, vm: int | None = None, words: EventWords | None = None) -> str:
    """One event as a line, without its number and the function that did it.

    ``vm``: the number of the VM that it is about, UNNAMED where there are several and none was
    named, None where there is only one. ``words``: those of the system.
    """
    if words is not None and event.kind in words.texts:
        return words.texts[event.kind](event, vm)
    if event.kind == t.REFS:
        return f"refs        {_refs(event, vm, words.counted if words is not None else {})}"
    if event.kind == t.MESSAGE and event.b in _MESSAGES:
        return f"message     {_MESSAGES[event.b]}"
    if event.kind in _TEXTS:
        return _TEXTS[event.kind](event)
    fields = ", ".join(
        f"{name} {f'{to_unsigned(value):#x}' if form == 'hex' else value}"
        for name, value, form in event.fields()
    )
    return f"{event.name:<11} {fields}".rstrip()


_MESSAGES: Final = {
    t.MESSAGE_RESET: "the device is to be reset, later",
    t.MESSAGE_WAS_RESET: "the device was reset: its registers are lost",
    t.MESSAGE_POWER_OFF: "the device has lost its power, and its registers",
    t.MESSAGE_POWER_ON: "the device has power again",
}

# -- runs -----------------------------------------------------------------------------------

_IN_RUNS: Final = frozenset(
    {
        t.STORE,
        t.GATHER,
        t.FREE,
        t.CLEAN,
        t.BARRIER,
        t.INVALIDATE,
        t.COMPLETE,
        t.DMA_MAP,
        t.DMA_UNMAP,
    }
)
"""Kinds that come in runs, alone or in turn: each page cleared, cleaned and gathered."""
_OF_MEMORY: Final = frozenset({t.FREE, t.CLEAN, t.DMA_MAP, t.DMA_UNMAP})
"""Of these, runs are told by their first and last piece, wherever those between are."""
_LONGEST_TURN: Final = 5


@dataclass(frozen=True)
class Run:
    """Events ``first``..``last``: one event, or ``count`` like turns of ``period`` events each."""

    first: int
    last: int
    period: int = 1

    @property
    def count(self) -> int:
        """How many turns."""
        return (self.last - self.first + 1) // self.period


def _step(before: t.Event, event: t.Event) -> tuple[int, int, int] | None:
    """How ``event`` follows ``before``: the difference of each word; None if it is not alike."""
    if (
        event.kind != before.kind
        or event.kind not in _IN_RUNS
        or event.place != before.place
        or event.cpu != before.cpu
    ):
        return None
    step = (event.a - before.a, event.b - before.b, event.c - before.c)
    if event.kind == t.STORE:
        same_table = to_unsigned(event.a) // TABLE == to_unsigned(before.a) // TABLE
        # What was there before need not be regular: clearing scattered pages is one thing too.
        if step[0] != _WORD or not same_table or (event.b == 0) != (before.b == 0):
            return None
        return (step[0], 0, step[2])
    if event.kind == t.GATHER and step[0] != before.b:
        return None
    if event.kind in _OF_MEMORY:
        return (0, 0, 0) if event.b == before.b else None
    if event.kind == t.BARRIER:
        return step if event.a == before.a else None
    return step


def _run_of(events: Sequence[t.Event], first: int, last: int, period: int) -> Run:
    """The longest run from event ``first`` with turns of ``period`` events."""
    wanted: list[tuple[int, int, int] | None] = [None] * period
    end = first + period - 1
    while end + period <= last:
        steps = [_step(events[at - period], events[at]) for at in range(end + 1, end + period + 1)]
        if None in steps or (wanted[0] is not None and steps != wanted):
            break
        wanted = steps
        end += period
    return Run(first, end, period)


def runs(
    events: Sequence[t.Event], first: int, last: int, alone: int | None = None
) -> Iterator[Run]:
    """Events ``first``..``last`` (inclusive; none if last < first), in order, in runs.

    A run has ``LEAST_RUN`` turns or more; all other events are runs of one. The event
    ``alone`` is in no run but its own.
    """
    while first <= last:
        until = alone - 1 if alone is not None and first < alone <= last else last
        best = Run(first, first)
        if first != alone:
            for period in range(1, _LONGEST_TURN + 1):
                if first + LEAST_RUN * period - 1 > until:
                    break
                found = _run_of(events, first, until, period)
                if found.count >= LEAST_RUN and found.last > best.last:
                    best = found
        yield best
        first = best.last + 1


def _run_text(events: Sequence[t.Event]) -> str:
    """Like events as one line; the first two words are the kind and how many."""
    first, last, count = events[0], events[-1], len(events)
    start, end = to_unsigned(first.a), to_unsigned(last.a)
    if first.kind == t.STORE:
        step = to_unsigned(events[1].c) - to_unsigned(first.c)
        new = f"{to_unsigned(first.c):#x}"
        if step:
            new += f" up to {to_unsigned(last.c):#x}, {'+' if step > 0 else '-'}{abs(step):#x} each"
        old_first, old_last = to_unsigned(first.b), to_unsigned(last.b)
        old = f"{old_first:#x}" if old_first == old_last else f"{old_first:#x}..{old_last:#x}"
        return f"store       {count} words in one table, {start:#x}..{end:#x}: {old} -> {new}"
    if first.kind == t.GATHER:
        size = to_unsigned(first.b)
        return (
            f"gather      {count} times {_bytes(size)}, {start:#x}..{end + size - 1:#x}, "
            "for a later invalidation"
        )
    if first.kind == t.INVALIDATE:
        scope, cause = first.c & 0xFF, first.c >> 8 & 0xFF
        return (
            f"invalidate  {count} ranges, {start:#x}..{to_unsigned(last.b):#x}, "
            f"{scope_text(scope)}, tickets {to_unsigned(first.c) >> 16} to "
            f"{to_unsigned(last.c) >> 16}: {_CAUSES.get(cause, f'cause {cause}')}"
        )
    if first.kind == t.COMPLETE:
        return f"complete    {count} tickets, {first.a} to {last.a}"
    if first.kind == t.BARRIER:
        return f"barrier     {count} times: {_BARRIERS.get(first.a, f'type {first.a}')}"
    each = _bytes(to_unsigned(first.b))
    return f"{first.name:<11} {count} times {each}, {start:#x} to {end:#x}"


def _turns_text(events: Sequence[t.Event], run: Run) -> str:
    """A run of several kinds in turn as one line."""
    parts = []
    for offset in range(run.period):
        line = _run_text(events[run.first + offset : run.last + 1 : run.period])
        parts.append(" ".join(line.split()))
    return f"in turn     {run.count} times: " + "; ".join(parts)


def tell_events(
    events: Sequence[t.Event],
    first: int,
    last: int,
    places: Sequence[str] = (),
    alone: int | None = None,
    decoder: Decoder | None = None,
    words: EventWords = NO_WORDS,
) -> list[Told]:
    """Events ``first``..``last`` (inclusive; none if last < first) as lines.

    ``places[n]`` is the name of place n. The event ``alone`` is never part of a run.
    ``decoder`` knows the registers of the device, if it has any that are known; ``words`` are
    those of the system.
    """
    vms = _vms(events, first, last, words.subject)
    told: list[Told] = []
    for run, text in _pieces(events, first, last, alone, decoder, words):
        used = {events[at].place for at in range(run.first, run.first + run.period)}
        if text:
            used = {events[at].place for at in range(run.first, run.last + 1)}
        place = used.pop() if len(used) == 1 else 0
        name = places[place] if place < len(places) else f"place {place}"
        here = slice(run.first - first, run.last + 1 - first)
        if text:
            pass
        elif run.period > 1:
            text = _turns_text(events, run)
        elif run.count > 1 and events[run.first].kind == t.REFS:
            text = _refs_text(events[run.first : run.last + 1], vms[here], words.counted)
        elif run.count > 1 and events[run.first].kind in words.together:
            text = words.together[events[run.first].kind](events[run.first : run.last + 1])
        elif run.count > 1:
            text = _run_text(events[run.first : run.last + 1])
        elif _fills_the_last(events, told, run.first, alone):
            word = to_unsigned(events[run.first].c)
            how = f", filled with {word:#x}" if word else " zeroed"
            before = told.pop()
            told.append(Told(before.first, run.last, 1, before.text + how, before.place))
            continue
        else:
            text = event_text(events[run.first], vms[run.first - first], words)
        told.append(Told(run.first, run.last, run.period, text, name))
    return told


def _pieces(
    events: Sequence[t.Event],
    first: int,
    last: int,
    alone: int | None,
    decoder: Decoder | None,
    words: EventWords,
) -> Iterator[tuple[Run, str]]:
    """Events ``first``..``last`` in the pieces that they are told in.

    The second part is the text of a piece that is already told: accesses of registers.
    """
    if decoder is not None:
        for found in decoder.accesses(events, first, last, alone):
            for run in _with_counts(events, first, found.first - 1, alone, words):
                yield run, ""
            yield Run(found.first, found.last), found.text
            first = found.last + 1
    for run in _with_counts(events, first, last, alone, words):
        yield run, ""


def _with_counts(
    events: Sequence[t.Event], first: int, last: int, alone: int | None, words: EventWords
) -> Iterator[Run]:
    """As :func:`runs`, and counts in a row are one run, be they only two."""
    counts = (t.REFS, *words.together)
    while first <= last:
        end, kind = first, events[first].kind
        while kind in counts and end <= last and events[end].kind == kind and end != alone:
            end += 1
        if end > first:
            yield Run(first, end - 1)
        else:
            while end < last and events[end + 1].kind not in counts:
                end += 1
            yield from runs(events, first, end, alone)
            end += 1
        first = end


def _vms(events: Sequence[t.Event], first: int, last: int, subject: int) -> list[int | None]:
    """For events ``first``..``last`` the VM that each is about, as :func:`event_text` takes it."""
    if not any(event.kind == subject for event in events):
        return [None] * max(0, last + 1 - first)
    vm = UNNAMED
    vms: list[int | None] = []
    for number in range(last + 1):
        event = events[number]
        if event.kind == t.BEGIN:
            vm = UNNAMED
        elif event.kind == subject:
            vm = event.a
        if number >= first:
            vms.append(vm)
    return vms


def _fills_the_last(
    events: Sequence[t.Event], told: Sequence[Told], index: int, alone: int | None
) -> bool:
    """Whether event ``index`` fills just the memory that the last told event allocated."""
    event = events[index]
    if event.kind != t.FILL or not told or index == alone or told[-1].first == alone:
        return False
    before = events[told[-1].first]
    return (
        before.kind == t.ALLOC
        and told[-1].last == index - 1
        and told[-1].first == told[-1].last
        and (before.a, before.b) == (event.a, event.b)
    )
