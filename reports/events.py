"""The events of a trace as lines for people, long runs of like events in one line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reference import trace as t
from reference.words import to_unsigned
from reports.numbers import about_size, errno_text, size_text

LEAST_RUN: Final = 4
"""So many like events in a row, or more, are told as one line."""

TABLE: Final = 4096
"""Stores within one such aligned stretch are told as stores in one table."""

_BARRIERS: Final = {
    t.BARRIER_FULL: "full",
    t.BARRIER_ORDER: "order of stores only",
    t.BARRIER_READ: "reads only",
}
_CAUSES: Final = {
    t.CAUSE_ALL: "the driver flushes everything",
    t.CAUSE_WALK: "the driver flushes a range with its walk entries",
    t.CAUSE_GATHER: "the gather was full and is flushed early",
    t.CAUSE_SYNC: "the caller syncs its gather",
    t.CAUSE_QUEUE: "the caller's flush queue",
}


@dataclass(frozen=True)
class Told:
    """Events ``first``..``last`` of a trace (mostly one), as one line of text."""

    first: int
    last: int
    text: str
    place: str


def _range(first: int, last: int) -> str:
    first, last = to_unsigned(first), to_unsigned(last)
    if first == 0 and last == (1 << 64) - 1:
        return "all addresses"
    if last < first:
        return f"{first:#x} to {last:#x}, which is backwards"
    return f"{first:#x}..{last:#x} ({about_size(last - first + 1)})"


def scope_text(scope: int) -> str:
    """What an invalidation removes."""
    if scope == t.SCOPE_LEAF:
        return "leaf entries only"
    if scope == t.SCOPE_WALK:
        return "walk entries only"
    if scope == t.SCOPE_LEAF | t.SCOPE_WALK:
        return "leaf and walk entries"
    return f"scope {scope:#x}"


def event_text(event: t.Event) -> str:
    """One event as a line, without its number and the function that did it."""
    a, b, c = (to_unsigned(word) for word in (event.a, event.b, event.c))
    if event.kind == t.BEGIN:
        return f"operation {event.a + 1} begins"
    if event.kind == t.END:
        return f"return      {errno_text(event.a)}, value {b:#x}"
    if event.kind == t.ALLOC:
        return f"alloc       {size_text(b)} at {a:#x}"
    if event.kind == t.ALLOC_FAILED:
        return f"alloc       {size_text(a)}: FAILED"
    if event.kind == t.FREE:
        return f"free        {size_text(b)} at {a:#x}"
    if event.kind == t.STORE:
        return f"store       at {a:#x}: {b:#x} -> {c:#x}"
    if event.kind == t.FILL:
        return f"fill        {size_text(b)} at {a:#x} with {c:#x}"
    if event.kind == t.BARRIER:
        return f"barrier     {_BARRIERS.get(event.a, f'type {event.a}')}"
    if event.kind == t.CLEAN:
        return f"clean       {size_text(b)} at {a:#x} from the cache to memory"
    if event.kind == t.GATHER:
        return f"gather      {a:#x}, {size_text(b)}, for a later invalidation"
    if event.kind == t.INVALIDATE:
        scope, cause, ticket = c & 0xFF, c >> 8 & 0xFF, c >> 16
        return (
            f"invalidate  {_range(event.a, event.b)}, {scope_text(scope)}, ticket {ticket}: "
            f"{_CAUSES.get(cause, f'cause {cause}')}"
        )
    if event.kind == t.COMPLETE:
        return f"complete    ticket {event.a}"
    if event.kind == t.ATTACH:
        return f"attach      the device walks from root {a:#x}, context {event.b}"
    if event.kind == t.DETACH:
        return f"detach      the device leaves root {a:#x}, context {event.b}"
    if event.kind == t.RELEASE:
        return f"release     {_range(event.a, event.b)}: addresses and pages get a new owner"
    if event.kind == t.CRASH:
        return f"CRASH       signal {event.a} at address {b:#x}"
    if event.kind == t.HANG:
        return "HANG        it did not come back"
    if event.kind == t.BUG:
        return "BUG         the code stopped itself"
    if event.kind == t.WARN:
        return "WARN        the code says that something is wrong"
    if event.kind == t.WILD:
        way = "write" if event.c else "read"
        return f"WILD        {way} of {event.b} bytes at {a:#x}, outside all memory of the code"
    fields = ", ".join(
        f"{name} {f'{to_unsigned(value):#x}' if form == 'hex' else value}"
        for name, value, form in event.fields()
    )
    return f"{event.name:<11} {fields}".rstrip()


# -- runs -----------------------------------------------------------------------------------

_STRIDES: Final[Mapping[int, int]] = {t.STORE: 8, t.GATHER: 0, t.FREE: 0, t.CLEAN: 0}
"""Kinds that come in runs; for a store the bytes from one word to the next."""


def _step(before: t.Event, event: t.Event) -> tuple[int, int, int] | None:
    """How ``event`` follows ``before``: the difference of each word; None if it is not alike."""
    if (
        event.kind != before.kind
        or event.kind not in _STRIDES
        or event.place != before.place
        or event.cpu != before.cpu
    ):
        return None
    step = (event.a - before.a, event.b - before.b, event.c - before.c)
    if event.kind == t.STORE:
        same_table = to_unsigned(event.a) // TABLE == to_unsigned(before.a) // TABLE
        # What was there before need not be regular: clearing scattered pages is one thing too.
        if step[0] != _STRIDES[t.STORE] or not same_table:
            return None
        if (event.b == 0) != (before.b == 0):
            return None
        return (step[0], 0, step[2])
    if event.kind == t.GATHER and step[0] != before.b:
        return None
    return step if event.kind == t.GATHER else (0, step[1], 0)


def _run_text(events: Sequence[t.Event]) -> str:
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
            f"gather      {count} times {size_text(size)}, {start:#x}..{end + size - 1:#x}, "
            "for a later invalidation"
        )
    word = "free" if first.kind == t.FREE else "clean"
    return f"{word:<11} {count} times {size_text(to_unsigned(first.b))}, {start:#x} to {end:#x}"


def tell_events(
    events: Sequence[t.Event],
    first: int,
    last: int,
    places: Sequence[str] = (),
    alone: int | None = None,
) -> list[Told]:
    """Events ``first``..``last`` (inclusive; none if last < first) as lines.

    ``places[n]`` is the name of place n. The event ``alone`` is never part of a run.
    """
    told: list[Told] = []
    index = first
    while index <= last:
        end = end_of_run(events, index, last, alone)
        place = events[index].place
        name = places[place] if place < len(places) else f"place {place}" if place else ""
        text = event_text(events[index])
        if end - index + 1 >= LEAST_RUN:
            text = _run_text(events[index : end + 1])
        elif index < last and alone not in (index, index + 1) and _is_filled(events, index):
            end = index + 1
            word = to_unsigned(events[end].c)
            text += f", filled with {word:#x}" if word else " zeroed"
        else:
            end = index
        told.append(Told(index, end, text, name))
        index = end + 1
    return told


def _is_filled(events: Sequence[t.Event], index: int) -> bool:
    """Whether event ``index`` allocates a table, and the next one fills just that."""
    event, following = events[index], events[index + 1]
    return (
        event.kind == t.ALLOC
        and following.kind == t.FILL
        and (event.a, event.b) == (following.a, following.b)
    )


def end_of_run(events: Sequence[t.Event], start: int, last: int, alone: int | None = None) -> int:
    """The last event, up to ``last``, of the run of like events that begins at ``start``.

    The event ``alone`` is in no run but its own.
    """
    if start == alone:
        return start
    wanted: tuple[int, int, int] | None = None
    end = start
    while end < last and end + 1 != alone:
        step = _step(events[end], events[end + 1])
        if step is None or (wanted is not None and step != wanted):
            break
        wanted = step
        end += 1
    return end
