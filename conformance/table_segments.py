"""What promise, tables and TLB say of a range of addresses, in the form of counterexamples."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from conformance.rules.rule import Violation
from reference.formats.access import access_letters, access_text
from reference.formats.entry import LEAF, ROLE_NAMES
from reference.hardware.context import Space
from reference.trace import Trace
from reference.translations import Translations
from reference.words import hex_word
from reports.counterexample import Segment, Stale, Step, Views
from reports.stores import annotate

PARTS_SHOWN = 2048
"""Pages or blocks of a window that are looked at, at most."""

Window = tuple[int, int] | None
"""First and last address that is shown; None: there is nothing to show."""


def promised(promise: Translations, window: Window) -> tuple[Segment, ...]:
    """What is promised in the window."""
    if window is None:
        return ()
    fmt = promise.format
    pieces = [
        (one.first, one.last, one.pa, access_letters(fmt.promised(one.prot)), fmt.span(one.level))
        for one in promise.parts(window[0], window[1], PARTS_SHOWN)
    ]
    return _joined(pieces)


def mapped(view: Space, window: Window) -> tuple[Segment, ...]:
    """What the tables in memory say of the window."""
    if window is None:
        return ()
    fmt = view.geometry.format
    pieces = []
    for va, level, word in view.leaves(window[0], window[1], PARTS_SHOWN):
        span = fmt.span(level)
        access = access_letters(fmt.meaning(level, word))
        pieces.append((va, va + span - 1, fmt.output(level, word), access, span))
    return _joined(pieces)


def _joined(pieces: Sequence[tuple[int, int, int, str, int]]) -> tuple[Segment, ...]:
    """Pieces that continue each other, as one segment."""
    joined: list[Segment] = []
    for first, last, pa, access, size in pieces:
        if joined:
            before = joined[-1]
            if (
                before.last + 1 == first
                and before.pa is not None
                and before.pa + (first - before.first) == pa
                and before.access == access
                and before.size == size
            ):
                joined[-1] = Segment(before.first, last, before.pa, access, size)
                continue
        joined.append(Segment(first, last, pa, access, size))
    return tuple(joined)


def walk(view: Space, iova: int) -> tuple[Step, ...]:
    """The walk of an address, step by step; none for -1."""
    if iova < 0:
        return ()
    fmt = view.geometry.format
    return tuple(
        Step(
            step.level,
            step.table,
            step.index,
            step.word,
            ROLE_NAMES[step.kind],
            fmt.describe(step.level, step.word),
        )
        for step in view.walker.walk(iova).steps
    )


def stale(view: Space, violation: Violation) -> tuple[Stale, ...]:
    """The stale fact that the rule named, or what else is cached for the address."""
    fmt = view.geometry.format
    if violation.stale is not None:
        level, first, last, word = violation.stale
        return (Stale(level, first, last, word, fmt.describe(level, word)),)
    if violation.iova < 0:
        return ()
    return tuple(
        Stale(fact.level, fact.first, fact.last, fact.word, fmt.describe(fact.level, fact.word))
        for fact in view.cached(violation.iova, violation.iova)[:8]
    )


def views(
    violation: Violation,
    trace: Trace,
    operations: int,
    window: Window,
    before: Sequence[tuple[Segment, ...]],
    after: Sequence[tuple[Segment, ...]],
    *,
    iova: int | None = None,
    space: Space | None = None,
    roots: Collection[int] = (),
    subject: str = "",
) -> Views:
    """What there is to say of a violation by the last of so many ``operations``.

    ``before``, ``after``: what the window holds, by promise and hardware, or by promise, driver
    and hardware. ``iova``: the address to look at, -1 for none; None for the violation's own.
    ``space``: whose tables are walked, and their stores told; ``roots`` are of those. ``subject``:
    which of several spaces it is.
    """
    events = list(trace)
    if iova is None:
        iova = violation.iova
    drivers = (before[1], after[1]) if len(before) == 3 else (None, None)
    return Views(
        message=violation.message,
        event=violation.event if 0 <= violation.event < len(events) else None,
        operation=operations - 1,
        iova=iova if iova >= 0 else None,
        promise_before=before[0],
        promise_after=after[0],
        driver_before=drivers[0],
        driver_after=drivers[1],
        hardware_before=before[-1],
        hardware_after=after[-1],
        walk=() if space is None else walk(space, iova),
        stale=() if space is None else stale(space, violation),
        window=window,
        subject=subject,
        expected=violation.expected,
        observed=violation.observed,
        notes=() if space is None else annotate(events, space.geometry, violation.event, roots),
    )


@dataclass(frozen=True, slots=True)
class Page:
    """What one page or block translates to, with the entries of its walk; ``pa`` None: nothing."""

    first: int
    size: int
    pa: int | None
    access: str
    entries: tuple[str, ...]

    def overlaps(self, other: "Page") -> bool:
        """Whether both have an address in common."""
        return self.first < other.first + other.size and other.first < self.first + self.size


def pages(view: Space, first: int, last: int) -> Iterator[Page]:
    """What each page or block in first..last translates to now, ascending; holes as well."""
    fmt = view.geometry.format
    va = first
    while va <= last:
        steps = view.walker.walk(va).steps
        end = steps[-1]
        span = fmt.span(end.level)
        start = va & ~(span - 1)
        is_mapped = end.kind == LEAF
        yield Page(
            start,
            span,
            fmt.output(end.level, end.word) if is_mapped else None,
            access_text(fmt.meaning(end.level, end.word)) if is_mapped else "",
            tuple(
                f"level {step.level} [{step.index}] of {step.table:#x}: "
                f"{hex_word(step.word)}  {ROLE_NAMES[step.kind]}: "
                f"{fmt.describe(step.level, step.word)}"
                for step in steps
            ),
        )
        va = start + span
