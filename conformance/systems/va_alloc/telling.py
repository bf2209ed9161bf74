"""What callers have and what an allocator has, for a counterexample."""

from collections.abc import Sequence

from conformance.rules.rule import Violation
from conformance.session import Session
from conformance.systems.va_alloc.operations import PAGE
from conformance.table_segments import views
from reference.operations import Operation
from reference.systems.va_alloc.promise import HOLE, RANGE, Range
from reference.trace import Event
from reference.words import to_unsigned
from reports.counterexample import Segment, Views
from reports.events import EventWords, range_words


class VaAllocViews:
    """Looks at a session before its last operation and after it."""

    def __init__(self, session: Session, operations: Sequence[Operation]) -> None:
        """Look before the last of ``operations``."""
        self._session = session
        self._promise = self._promised()
        self._listed = _segments(session.promise.space.listed)
        self._window = _window(session, operations)

    def after(self, violation: Violation) -> Views:
        """What there is to say once the last operation has broken a rule."""
        session = self._session
        after = (self._promised(), _segments(session.promise.space.listed))
        return views(
            violation, session.trace, len(session.operations), self._window,
            (self._promise, self._listed), after,
        )  # fmt: skip

    def _promised(self) -> tuple[Segment, ...]:
        at = self._session.promise.space.at
        return _segments([at[first] for first in sorted(at)])


def _segments(ranges: Sequence[Range]) -> tuple[Segment, ...]:
    return tuple(
        Segment(
            one.first,
            one.last,
            None,
            "free" if one.number == HOLE else f"range {one.number}",
            one.last - one.first + 1,
        )
        for one in ranges
        if one.first <= one.last
    )


def _window(session: Session, operations: Sequence[Operation]) -> tuple[int, int] | None:
    """The addresses that were given out or reserved, with a page on each side; None: none."""
    firsts = [one.first for one in session.promise.space.ranges.values()]
    lasts = [one.last for one in session.promise.space.ranges.values()]
    last = operations[-1]
    if last.name == "reserve":
        firsts.append(to_unsigned(last.number("va")))
        lasts.append(firsts[-1] + max(to_unsigned(last.number("size")), 1) - 1)
    if not firsts:
        return None
    return max(min(firsts) - PAGE, 0), min(max(lasts) + PAGE, (1 << 64) - 1)


def _range_text(event: Event, vm: int | None) -> str:
    owner = "a hole" if event.c < 0 else f"range {event.c}"
    return f"range       {range_words(event.a, event.b)}: {owner}"


EVENT_WORDS = EventWords(texts={RANGE: _range_text})
"""The allocator's own events."""
