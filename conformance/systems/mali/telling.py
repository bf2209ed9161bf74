"""What the three views of a VM said, for a counterexample of system ``mali``."""

from collections.abc import Sequence

from conformance.rules.rule import Violation
from conformance.session import Session
from conformance.systems.gpuvm import telling as gpuvm
from conformance.table_segments import Window, mapped, promised, views
from reference import trace as t
from reference.numbers import errno_text
from reference.operations import Operation
from reference.systems.gpuvm.mappings import Mapping
from reference.systems.mali.events import FENCE, SLOT, VM
from reference.systems.mali.promise import ALL, PAGE, MaliPromise
from reference.systems.mali.state import MaliState, MaliVm
from reference.words import to_unsigned
from reports.counterexample import Segment, Views
from reports.events import EventWords

Segments = tuple[Segment, ...]


class MaliViews:
    """Looks at a session before its last operation and after it.

    What is shown is about one VM: that of the last operation that names one.
    """

    def __init__(self, session: Session, operations: Sequence[Operation]) -> None:
        """Look before the last of ``operations``."""
        self._session = session
        self._number = _subject(operations)
        self._window = _window(session, operations, self._number)
        self._before = self._look()

    def after(self, violation: Violation) -> Views:
        """What there is to say once the last operation has broken a rule."""
        session = self._session
        vm = self._vm()
        return views(
            violation, session.trace, len(session.operations), self._window,
            self._before, self._look(),
            iova=violation.iova if self._is_shown(violation.iova) else -1,
            space=None if vm is None else vm.view,
            roots=vm_roots(list(session.trace)),
            subject=f"VM {self._number}",
        )  # fmt: skip

    def _is_shown(self, iova: int) -> bool:
        """Whether an address lies in the VM, and in what is shown of it."""
        return self._window is not None and self._window[0] <= iova <= self._window[1]

    def _vm(self) -> MaliVm | None:
        state = _state(self._session)
        if state is None or not 0 <= self._number < len(state.vms):
            return None
        return state.vms[self._number]

    def _look(self) -> tuple[Segments, Segments, Segments]:
        """What promise, driver and hardware say of the window now."""
        vm = self._vm()
        if vm is None or self._window is None:
            return (), (), ()
        held = tuple(_segment(one) for one in vm.held.within(*self._window))
        return promised(vm.pages, self._window), held, mapped(vm.view, self._window)


def _state(session: Session) -> MaliState | None:
    """The device and all that the process has of it; None before it was made."""
    promise: MaliPromise = session.promise
    return promise.made


def _segment(one: Mapping) -> Segment:
    size = min(one.last - one.first + 1, ALL - 1)
    return Segment(one.first, one.last, one.offset, f"buffer {one.buffer}", size)


def _subject(operations: Sequence[Operation]) -> int:
    """The VM that the last operation that names one is about."""
    for operation in reversed(operations):
        if operation.name not in ("bo", "vm") and int(operation.args.get("vm", -1)) >= 0:
            return operation.number("vm")
    return 0


def _window(session: Session, operations: Sequence[Operation], vm: int) -> Window:
    """The addresses of one VM that the operations speak of, and a page on each side."""
    state = _state(session)
    limit = ALL if state is None else state.geometry.limit
    firsts: list[int] = []
    lasts: list[int] = []
    for operation in operations:
        if operation.name in ("bind", "queue") and operation.args["vm"] == vm:
            first = to_unsigned(operation.number("va"))
            size = to_unsigned(operation.number("size"))
            if first < limit:
                firsts.append(first & ~(PAGE - 1))
                lasts.append(min(first + max(size, PAGE), limit) - 1)
    if state is not None:
        nodes = [node for node in state.nodes if node.vm == vm and node.open]
        firsts += [node.first for node in nodes]
        lasts += [node.last for node in nodes]
    if not firsts:
        return None
    return max(min(firsts) - PAGE, 0), min(max(lasts) + PAGE, limit - 1)


def vm_roots(events: Sequence[t.Event]) -> frozenset[int]:
    """The allocations, by number of their event, that are root tables of VMs.

    For systems that name VMs and attach no roots: the first page allocated in a VM is its root.
    """
    roots: dict[int, int] = {}
    found: set[int] = set()
    vm: int | None = None
    for number, event in enumerate(events):
        if event.kind == t.BEGIN:
            vm = None
        elif event.kind == VM:
            vm = event.a
        elif event.kind == t.ALLOC and vm is not None and vm not in roots:
            roots[vm] = event.a
            found.add(number)
        elif event.kind == t.FREE:
            # A number is used again where the VM could not be made after all.
            roots = {other: pa for other, pa in roots.items() if pa != event.a}
    return frozenset(found)


# -- events -------------------------------------------------------------------------------------


def _slot(event: t.Event) -> str:
    """Which address space a VM has."""
    where = f"VM {event.a} has none" if event.b < 0 else f"{event.b} has VM {event.a}"
    jobs = f"{event.c} job{'' if event.c == 1 else 's'}" if event.c else "no job"
    return f"{where}, {jobs} running"


def _fence_text(event: t.Event, vm: int | None) -> str:
    how = f"with {errno_text(event.b)}" if event.b else "without an error"
    return f"fence       {event.a} is signalled, {how}"


EVENT_WORDS = EventWords(
    texts={
        **gpuvm.EVENT_WORDS.texts,
        VM: lambda e, vm: f"vm          {e.a}, which the next events are about",
        FENCE: _fence_text,
        SLOT: lambda e, vm: f"slot        {_slot(e)}",
    },
    subject=VM,
)
"""The driver's own events, and those of its VA manager."""
