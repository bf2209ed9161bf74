"""The events of a trace as lines for people, long runs of like events in one line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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


def _range(first: int, last: int) -> str:
    return range_text(to_unsigned(first), to_unsigned(last))


def _bytes(size: int) -> str:
    return f"{size} bytes" if size < 1024 else size_text(size)


def _backing(word: int) -> str:
    """What a mapping leads to."""
    number, offset = word >> t.BACKING_SHIFT, word & ((1 << t.BACKING_SHIFT) - 1)
    return f"buffer {number} from {offset:#x}"


def _area(word: int) -> str:
    """What is known of an area of addresses, or of a part of one."""
    index, mapped, part = word & 7, word & t.AREA_MAPPED, word & t.AREA_PART
    pages = "no pages referenced" if index == t.AREA_NO_PAGE else f"page size {index}"
    return (
        f"{'part of ' if part else ''}area {word >> t.BACKING_SHIFT}, {pages}"
        f"{', mapped' if mapped else ''}"
    )


def _table(event: t.Event) -> str:
    """Which software page table, and what it counts."""
    return f"{_table_name(event)}: {_table_counts(event)}"


def _table_name(event: t.Event) -> str:
    word = to_unsigned(event.a)
    level, first = word & 0xF, word & ~0xFFF
    sparse = ", sparse" if word & t.TABLE_SPARSE else ""
    if level:
        return f"directory of {first:#x}, level {level}{sparse}"
    return f"tables of {first:#x}{sparse}"


def _table_counts(event: t.Event) -> str:
    level = to_unsigned(event.a) & 0xF
    if not event.b and not event.c:
        return "none left"
    if level:
        return f"{event.b} reference{'' if event.b == 1 else 's'}"
    return (
        f"{event.b} reference{'' if event.b == 1 else 's'} to large pages, {event.c} to small ones"
    )


def _tables_text(events: Sequence[t.Event]) -> str:
    """Counts of software page tables in a row as one line."""
    told = []
    for event in events:
        level = to_unsigned(event.a) & 0xF
        counts = str(event.b) if level else f"{event.b} to large pages, {event.c} to small ones"
        if not event.b and not event.c:
            counts = "none left"
        told.append(f"{_table_name(event)}: {counts}")
    return "pt-refs     " + "; ".join(told)


def _state(event: t.Event) -> str:
    """What is noted of entries of a software page table."""
    level, first = to_unsigned(event.a) & 0xF, to_unsigned(event.a) & ~0xFFF
    where = range_text(first, to_unsigned(event.b))
    sparse = ["SPARSE"] if event.c & t.STATE_SPARSE else []
    if level:
        return f"directory entries of {where}, level {level}: {''.join(sparse) or 'not sparse'}"
    count = event.c & (t.STATE_SMALL - 1) | event.c >> 8 << 6
    flags = [*(["VALID"] if event.c & t.STATE_SMALL else []), *sparse]
    said = ", ".join([f"count {count}", *flags])
    return f"large entries of {where}: {said} ({to_unsigned(event.c):#x})"


def _in_vm(vm: int | None) -> str:
    return "" if vm is None or vm == UNNAMED else f" in VM {vm}"


def _counted(event: t.Event, vm: int | None, areas: bool) -> str:
    """What a count is the count of; ``vm`` and ``areas`` as in :func:`event_text`."""
    what = _REFS.get(event.a, f"count {event.a} of")
    if areas and event.a == t.REFS_BUFFER:
        what = "memory"
    only = event.a == t.REFS_VM and not event.b and vm is None
    number = "" if only else f" {event.b}"
    return f"{what}{number}{_in_vm(vm) if event.a == t.REFS_VM_BO else ''}"


def _refs(event: t.Event, vm: int | None, areas: bool) -> str:
    word = "pin" if event.a == t.REFS_PINS else "reference"
    told = f"{event.c} {word}{'' if event.c == 1 else 's'}" if event.c else "none left"
    return f"{_counted(event, vm, areas)}: {told}"


def _refs_text(events: Sequence[t.Event], vms: Sequence[int | None], areas: bool) -> str:
    """Counts in a row as one line."""
    counts = [
        f"{_counted(event, vm, areas)}: {event.c}" for event, vm in zip(events, vms, strict=True)
    ]
    return "refs        " + ", ".join(counts)


def _slot(event: t.Event) -> str:
    """Which address space a VM has."""
    where = f"VM {event.a} has none" if event.b < 0 else f"{event.b} has VM {event.a}"
    jobs = f"{event.c} job{'' if event.c == 1 else 's'}" if event.c else "no job"
    return f"{where}, {jobs} running"


def scope_text(scope: int) -> str:
    """What an invalidation removes."""
    if scope == t.SCOPE_LEAF:
        return "leaf entries only"
    if scope == t.SCOPE_WALK:
        return "walk entries only"
    if scope == t.SCOPE_LEAF | t.SCOPE_WALK:
        return "leaf and walk entries"
    return f"scope {scope:#x}"


def event_text(event: t.Event, vm: int | None = None, areas: bool = False) -> str:
    """One event as a line, without its number and the function that did it.

    ``vm``: the number of the VM that it is about, UNNAMED where there are several and none was
    named, None where there is only one. ``areas``: mappings are areas of addresses, see
    ``reference.trace``.
    """
    a, b, c = (to_unsigned(word) for word in (event.a, event.b, event.c))
    if event.kind == t.BEGIN:
        return f"operation {event.a + 1} begins"
    if event.kind == t.END:
        return f"return      {errno_text(event.a)}, value {b:#x}"
    if event.kind == t.ALLOC:
        return f"alloc       {_bytes(b)} at {a:#x}"
    if event.kind == t.ALLOC_FAILED:
        return f"alloc       {_bytes(a)}: FAILED"
    if event.kind == t.FREE:
        return f"free        {_bytes(b)} at {a:#x}"
    if event.kind == t.STORE:
        return f"store       at {a:#x}: {b:#x} -> {c:#x}"
    if event.kind == t.FILL:
        return f"fill        {_bytes(b)} at {a:#x} with {c:#x}"
    if event.kind == t.BARRIER:
        return f"barrier     {_BARRIERS.get(event.a, f'type {event.a}')}"
    if event.kind == t.CLEAN:
        return f"clean       {_bytes(b)} at {a:#x} from the cache to memory"
    if event.kind == t.GATHER:
        return f"gather      {a:#x}, {_bytes(b)}, for a later invalidation"
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
    if areas and event.kind in (t.VMA_ADD, t.VMA_REMOVE):
        return f"{event.name:<11} {_range(event.a, event.b)}: {_area(c)}"
    if event.kind in (t.VMA_ADD, t.VMA_REMOVE, t.VMA, t.PT_MAP):
        return f"{event.name:<11} {_range(event.a, event.b)}{_in_vm(vm)}: {_backing(c)}"
    if event.kind == t.PT_UNMAP:
        return f"pt-unmap    {_range(event.a, event.b)}{_in_vm(vm)}"
    if event.kind == t.REFS:
        return f"refs        {_refs(event, vm, areas)}"
    if event.kind == t.VALIDATED:
        return f"validated   the pages of buffer {event.a} again"
    if event.kind == t.VM:
        return f"vm          {event.a}, which the next events are about"
    if event.kind == t.FENCE:
        how = f"with {errno_text(event.b)}" if event.b else "without an error"
        return f"fence       {event.a} is signalled, {how}"
    if event.kind == t.SLOT:
        return f"slot        {_slot(event)}"
    if event.kind == t.RANGE:
        owner = "a hole" if event.c < 0 else f"range {event.c}"
        return f"range       {_range(event.a, event.b)}: {owner}"
    if event.kind == t.PT_REFS:
        return f"pt-refs     {_table(event)}"
    if event.kind == t.PT_STATE:
        return f"pt-state    {_state(event)}"
    if event.kind == t.DMA_MAP:
        return f"dma-map     {_bytes(b)} at {a:#x}: the device is let at them"
    if event.kind == t.DMA_UNMAP:
        return f"dma-unmap   {_bytes(b)} at {a:#x}: the device is no longer let at them"
    if event.kind == t.MESSAGE and event.b in _MESSAGES:
        return f"message     {_MESSAGES[event.b]}"
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
) -> list[Told]:
    """Events ``first``..``last`` (inclusive; none if last < first) as lines.

    ``places[n]`` is the name of place n. The event ``alone`` is never part of a run.
    ``decoder`` knows the registers of the device, if it has any that are known.
    """
    vms = _vms(events, first, last)
    areas = any(event.kind == t.PT_REFS for event in events)
    told: list[Told] = []
    for run, text in _pieces(events, first, last, alone, decoder):
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
            text = _refs_text(events[run.first : run.last + 1], vms[here], areas)
        elif run.count > 1 and events[run.first].kind == t.PT_REFS:
            text = _tables_text(events[run.first : run.last + 1])
        elif run.count > 1:
            text = _run_text(events[run.first : run.last + 1])
        elif _fills_the_last(events, told, run.first, alone):
            word = to_unsigned(events[run.first].c)
            how = f", filled with {word:#x}" if word else " zeroed"
            before = told.pop()
            told.append(Told(before.first, run.last, 1, before.text + how, before.place))
            continue
        else:
            text = event_text(events[run.first], vms[run.first - first], areas)
        told.append(Told(run.first, run.last, run.period, text, name))
    return told


def _pieces(
    events: Sequence[t.Event], first: int, last: int, alone: int | None, decoder: Decoder | None
) -> Iterator[tuple[Run, str]]:
    """Events ``first``..``last`` in the pieces that they are told in.

    The second part is the text of a piece that is already told: accesses of registers.
    """
    if decoder is not None:
        for found in decoder.accesses(events, first, last, alone):
            for run in _with_counts(events, first, found.first - 1, alone):
                yield run, ""
            yield Run(found.first, found.last), found.text
            first = found.last + 1
    for run in _with_counts(events, first, last, alone):
        yield run, ""


def _with_counts(
    events: Sequence[t.Event], first: int, last: int, alone: int | None
) -> Iterator[Run]:
    """As :func:`runs`, and counts of references in a row are one run, be they only two."""
    counts = (t.REFS, t.PT_REFS)
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


def _vms(events: Sequence[t.Event], first: int, last: int) -> list[int | None]:
    """For events ``first``..``last`` the VM that each is about, as :func:`event_text` takes it."""
    if not any(event.kind == t.VM for event in events):
        return [None] * max(0, last + 1 - first)
    vm = UNNAMED
    vms: list[int | None] = []
    for number in range(last + 1):
        event = events[number]
        if event.kind == t.BEGIN:
            vm = UNNAMED
        elif event.kind == t.VM:
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
