"""What promise and page tables said of a VM, for a counterexample."""

from collections.abc import Sequence

from conformance.rules.rule import Violation
from conformance.session import Session
from conformance.table_segments import views
from reference.operations import Operation
from reference.systems.gpuvm.events import (
    BACKING_SHIFT,
    PT_MAP,
    PT_UNMAP,
    VALIDATED,
    VMA,
    VMA_ADD,
    VMA_REMOVE,
)
from reference.systems.gpuvm.mappings import Mapping, VaPromise
from reference.systems.gpuvm.promise import ALL, PAGE
from reference.trace import Event
from reference.words import to_unsigned
from reports.counterexample import Segment, Views
from reports.events import EventWords, in_vm, range_words


class GpuvmViews:
    """Looks at a session before its last operation and after it."""

    def __init__(self, session: Session, operations: Sequence[Operation]) -> None:
        """Look before the last of ``operations``."""
        self._session = session
        self._window = _window(operations)
        self._promise = self._segments(session.promise.state.promise)
        self._tables = self._segments(session.promise.state.tables)

    def after(self, violation: Violation) -> Views:
        """What there is to say once the last operation has broken a rule."""
        session = self._session
        state = session.promise.state
        return views(
            violation, session.trace, len(session.operations), self._window,
            (self._promise, self._tables),
            (self._segments(state.promise), self._segments(state.tables)),
        )  # fmt: skip

    def _segments(self, mappings: VaPromise) -> tuple[Segment, ...]:
        if self._window is None:
            return ()
        return tuple(_segment(one) for one in mappings.within(*self._window))


def _segment(one: Mapping) -> Segment:
    # One that fills the whole address space has one byte more than a word can say.
    size = min(one.last - one.first + 1, ALL - 1)
    return Segment(one.first, one.last, one.offset, f"buffer {one.buffer}", size)


def _window(operations: Sequence[Operation]) -> tuple[int, int] | None:
    """The addresses that the operations speak of, with a page on each side; None: none."""
    firsts: list[int] = []
    lasts: list[int] = []
    for operation in operations:
        if operation.name in ("map", "unmap", "find"):
            first = to_unsigned(operation.number("iova"))
            size = to_unsigned(operation.number("size"))
            firsts.append(first)
            lasts.append(min(first + max(size, 1), ALL) - 1)
    if not firsts:
        return None
    return max(min(firsts) - PAGE, 0), min(max(lasts) + PAGE, ALL - 1)


# -- events -------------------------------------------------------------------------------------


def _backing(word: int) -> str:
    """What a mapping leads to."""
    number, offset = word >> BACKING_SHIFT, word & ((1 << BACKING_SHIFT) - 1)
    return f"buffer {number} from {offset:#x}"


def _mapping_text(event: Event, vm: int | None) -> str:
    where = f"{range_words(event.a, event.b)}{in_vm(vm)}"
    return f"{event.name:<11} {where}: {_backing(to_unsigned(event.c))}"


EVENT_WORDS = EventWords(
    texts={
        VMA_ADD: _mapping_text,
        VMA_REMOVE: _mapping_text,
        VMA: _mapping_text,
        PT_MAP: _mapping_text,
        PT_UNMAP: lambda e, vm: f"pt-unmap    {range_words(e.a, e.b)}{in_vm(vm)}",
        VALIDATED: lambda e, vm: f"validated   the pages of buffer {e.a} again",
    }
)
"""The VA manager's own events."""
