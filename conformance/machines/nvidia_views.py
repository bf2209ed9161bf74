"""What the three views of an address space said, for a counterexample of system ``nvidia``."""

from collections.abc import Sequence

from conformance.machines.nvidia_session import PAGE, NvidiaSession
from conformance.machines.table_segments import Window
from conformance.rules.rule import Violation
from reference.formats.format import ROLE_NAMES, TABLE
from reference.formats.nvidia import meaning_text
from reference.hardware.nvidia_mmu import HOW_NAMES, NvidiaMmu
from reference.nvidia_promise import MAPPED, WHAT_NAMES, Piece
from reference.nvidia_state import ToldArea
from reference.words import to_unsigned
from reports.counterexample import Segment, Stale, Step, Views
from reports.operations import Operation

Segments = tuple[Segment, ...]
SEGMENTS_SHOWN = 256
"""Of each view, at most."""
NEAR = 0x1_0000
"""Bytes on each side of what is shown."""


class NvidiaViews:
    """Looks at a session before its last operation and after it."""

    def __init__(self, session: NvidiaSession, operations: Sequence[Operation]) -> None:
        """Look before the last of ``operations``."""
        self._session = session
        self._window = _window(session, operations)
        self._before = self._look()

    def after(self, violation: Violation) -> Views:
        """What there is to say once the last operation has broken a rule."""
        session = self._session
        window = self._window
        iova = violation.iova
        if window is None or not window[0] <= iova <= window[1]:
            iova = -1
        promise, driver, hardware = self._look()
        mmu = session.state.mmu
        event = violation.event
        return Views(
            message=violation.message,
            event=event if 0 <= event < len(session.trace) else None,
            operation=len(session.operations) - 1,
            iova=iova if iova >= 0 else None,
            promise_before=self._before[0],
            promise_after=promise,
            driver_before=self._before[1],
            driver_after=driver,
            hardware_before=self._before[2],
            hardware_after=hardware,
            walk=() if mmu is None or iova < 0 else _walk(mmu, iova),
            stale=() if mmu is None or iova < 0 else _stale(mmu, iova),
            window=window,
            expected=violation.expected,
            observed=violation.observed,
        )

    def _look(self) -> tuple[Segments, Segments, Segments]:
        """What promise, driver and hardware say of the window now."""
        state = self._session.state
        if self._window is None or state.mmu is None:
            return (), (), ()
        first, last = self._window
        told = sorted(state.told_areas.values(), key=lambda one: one.first)
        areas = [one for one in told if one.first <= last and one.last >= first]
        return (
            _segments(state.promise.pieces(first, last)),
            tuple(_area(one, first, last) for one in areas[:SEGMENTS_SHOWN]),
            _segments(state.mmu.pieces(first, last)),
        )


def _segments(pieces: Sequence[Piece]) -> Segments:
    return tuple(
        Segment(
            int(one.first),
            int(one.last),
            int(one.pa) if one.what == MAPPED else None,
            meaning_text(int(one.meaning)) if one.what == MAPPED else WHAT_NAMES[int(one.what)],
            int(one.last - one.first + 1),
        )
        for one in pieces[:SEGMENTS_SHOWN]
    )


def _area(one: ToldArea, first: int, last: int) -> Segment:
    first, last = max(one.first, first), min(one.last, last)
    access = f"area {one.number}{' mapped' if one.mapped else ''}"
    return Segment(first, last, None, access, last - first + 1)


def _walk(mmu: NvidiaMmu, va: int) -> tuple[Step, ...]:
    """The entries that a walk of an address looks at, the large one before the small one."""
    fmt = mmu.format
    steps: list[Step] = []
    waiting = [(0, int(mmu.root))]
    while waiting:
        number, pa = waiting.pop(0)
        table = mmu.table_of(pa) if pa >= 0 else None
        one = fmt.tables[number]
        index = int(fmt.index(number, va))
        at = index * int(one.words)
        if table is None or table.pa != pa or at + one.words > len(table.words):
            break
        words = [int(word) for word in table.words[at : at + int(one.words)]]
        role = int(fmt.role(one.first, words[0]))
        text = fmt.describe(number, words)
        steps.append(Step(number, pa, index, words[0], ROLE_NAMES[role], text))
        for half in one.halves:
            word = words[int(half.word)] if half.word < len(words) else words[0]
            if half.child >= 0 and fmt.role(half, word) == TABLE:
                waiting.append((int(half.child), int(fmt.output(half, word))))
    return tuple(steps)


def _stale(mmu: NvidiaMmu, va: int) -> tuple[Stale, ...]:
    """What entries for an address said before, as far as that may be cached."""
    return tuple(
        Stale(
            int(one.table),
            int(one.first),
            int(one.last),
            int(one.old),
            f"{mmu.format.tables[int(one.table)].name} entry that {HOW_NAMES[int(one.how)]}",
        )
        for one in mmu.unflushed(va, va)[:8]
    )


def _window(session: NvidiaSession, operations: Sequence[Operation]) -> Window:
    """The addresses that the operations speak of, and some on each side."""
    state = session.state
    limit = state.limit()
    firsts: list[int] = []
    lasts: list[int] = []
    for operation in operations:
        if "addr" in operation.args:
            first = to_unsigned(operation.number("addr"))
            size = to_unsigned(operation.number("size"))
            if first < limit:
                firsts.append(first)
                lasts.append(min(first + max(size, PAGE), limit) - 1)
    for area in state.areas.values():
        if not area.client:
            firsts.append(area.first)
            lasts.append(area.last)
    if not firsts or not limit:
        return (0, min(NEAR, limit) - 1) if limit else None
    return max(min(firsts) - NEAR, 0), min(max(lasts) + NEAR, limit - 1)
