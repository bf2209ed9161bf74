"""What the three views of a page table said, for a counterexample."""

from collections.abc import Sequence

from conformance.machines.pagetable_session import PageTableSession
from conformance.rules.rule import Violation
from reference.formats.format import ROLE_NAMES, Format, access_letters
from reports.counterexample import Segment, Stale, Step, Views
from reports.operations import Operation
from reports.stores import annotate

PARTS_SHOWN = 2048
"""Pages or blocks of a window that are looked at, at most."""


class PageTableViews:
    """Looks at a session before its last operation and after it."""

    def __init__(self, session: PageTableSession, operations: Sequence[Operation]) -> None:
        """Look before the last of ``operations``."""
        self._session = session
        self._window = _window(session, operations)
        self._promise = _promised(session, self._window)
        self._hardware = _mapped(session, self._window)

    def after(self, violation: Violation) -> Views:
        """What there is to say once the last operation has broken a rule."""
        session = self._session
        events = list(session.trace)
        view = session.view
        return Views(
            message=violation.message,
            event=violation.event if 0 <= violation.event < len(events) else None,
            operation=len(session.operations) - 1,
            iova=violation.iova if violation.iova >= 0 else None,
            promise_before=self._promise,
            promise_after=_promised(session, self._window),
            hardware_before=self._hardware,
            hardware_after=_mapped(session, self._window),
            walk=_walk(session, violation),
            stale=_stale(session, violation),
            window=self._window,
            expected=violation.expected,
            observed=violation.observed,
            notes=() if view is None else annotate(events, view.geometry, violation.event),
        )


def _window(session: PageTableSession, operations: Sequence[Operation]) -> tuple[int, int] | None:
    """The addresses that the operations speak of, with a page on each side; None: none."""
    if session.view is None:
        return None
    limit = session.view.geometry.limit
    page = session.view.geometry.format.page_sizes[0]
    firsts: list[int] = []
    lasts: list[int] = []
    for operation in operations:
        iova = operation.args.get("iova")
        if isinstance(iova, int) and 0 <= iova < limit:
            size = int(operation.args.get("pgsize", page)) * int(operation.args.get("pgcount", 1))
            firsts.append(iova & ~(page - 1))
            lasts.append(min(max(iova + max(size, page) - 1, iova), limit - 1))
    if not firsts:
        return None
    return max(min(firsts) - page, 0), min(max(lasts) + page, limit - 1)


def _promised(session: PageTableSession, window: tuple[int, int] | None) -> tuple[Segment, ...]:
    promise = session.promise
    if promise is None or window is None:
        return ()
    fmt = promise.format
    pieces = [
        (one.first, one.last, one.pa, access_letters(fmt.promised(one.prot)), fmt.span(one.level))
        for one in promise.parts(window[0], window[1], PARTS_SHOWN)
    ]
    return _joined(pieces)


def _mapped(session: PageTableSession, window: tuple[int, int] | None) -> tuple[Segment, ...]:
    view = session.view
    if view is None or window is None:
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


def _walk(session: PageTableSession, violation: Violation) -> tuple[Step, ...]:
    view = session.view
    if view is None or violation.iova < 0:
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
        for step in view.walker.walk(violation.iova).steps
    )


def _stale(session: PageTableSession, violation: Violation) -> tuple[Stale, ...]:
    """The stale fact that the rule named, or what else is cached for the address."""
    view = session.view
    if view is None:
        return ()
    fmt: Format = view.geometry.format
    if violation.stale is not None:
        level, first, last, word = violation.stale
        return (Stale(level, first, last, word, fmt.describe(level, word)),)
    if violation.iova < 0:
        return ()
    return tuple(
        Stale(fact.level, fact.first, fact.last, fact.word, fmt.describe(fact.level, fact.word))
        for fact in view.tlb.leaves_in(violation.iova, violation.iova)[:8]
    )
