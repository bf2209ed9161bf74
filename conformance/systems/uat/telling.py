"""What the views of one VM said, for a counterexample of system ``uat``, and what events say.

Accesses of the driver stand at the left, those of the firmware in a lane of their own: together
they are one schedule. Addresses are those in the half.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from conformance.rules.rule import Violation
from conformance.session import Session
from conformance.systems.uat.rules.step import name_of
from conformance.table_segments import Window, mapped, promised, views
from reference import trace as t
from reference.operations import Operation
from reference.systems.uat import device as d
from reference.systems.uat.interleaving import ACQUIRE, FENCE
from reference.systems.uat.promise import UatState, UatVm
from reference.words import to_unsigned
from reports.counterexample import Segment, Views
from reports.events import EventWords

Segments = tuple[Segment, ...]
LANE = 44
"""Where the firmware's lane begins."""


class UatViews:
    """Looks at a session before its last operation and after it.

    What is shown is about one VM: that of the last operation.
    """

    def __init__(self, session: Session, operations: Sequence[Operation]) -> None:
        """Look before the last of ``operations``."""
        self._session = session
        self._last = operations[-1]
        self._vm = self._subject()
        self._window = self._find_window()
        self._before = self._look()

    def after(self, violation: Violation) -> Views:
        """What there is to say once the last operation has broken a rule."""
        session = self._session
        if self._vm is None:
            self._vm = self._subject()
            self._window = self._find_window()
        window, vm = self._find_window() or self._window, self._vm
        # The views of a half count from its own beginning.
        at = d.split(violation.iova)[1] if violation.iova >= 0 else -1
        self._window = window
        return views(
            replace(violation, iova=at), session.trace, len(session.operations), window,
            self._before, self._look(),
            iova=at if window is not None and window[0] <= at <= window[1] else -1,
            space=None if vm is None else vm.space,
            subject="" if vm is None else name_of(vm),
        )  # fmt: skip

    def _state(self) -> UatState | None:
        made: UatState | None = self._session.promise.made
        return made

    def _subject(self) -> UatVm | None:
        """The VM that the last operation is about."""
        state, args = self._state(), self._last.args
        if state is None:
            return None
        if "mapping" in args:
            number = int(args["mapping"])
            return state.mappings[number].vm if number < len(state.mappings) else None
        return state.vm(int(args["vm"])) if "vm" in args else None

    def _find_window(self) -> Window:
        """What the last operation is about, with a page on each side."""
        state, args, vm = self._state(), self._last.args, self._vm
        if vm is None or state is None:
            return None
        first, last = -1, -1
        if "mapping" in args:
            one = state.mappings[int(args["mapping"])]
            first, last = one.first(), one.last()
        elif vm.mappings:
            first, last = vm.mappings[-1].first(), vm.mappings[-1].last()
        if "va" in args:
            at = to_unsigned(int(args["va"])) & (d.HALF - 1)
            first, last = at, at + max(to_unsigned(int(args["size"])), d.PAGE) - 1
        if first < 0:
            return None
        first &= ~(d.PAGE - 1)
        return max(first - d.PAGE, 0), min((last | d.PAGE - 1) + d.PAGE, d.HALF - 1)

    def _look(self) -> tuple[Segments, Segments]:
        """What promise and tables say of the window now."""
        if self._vm is None or self._window is None:
            return (), ()
        return promised(self._vm.pages, self._window), mapped(self._vm.space, self._window)


# -- events -------------------------------------------------------------------------------------


def _lane(actor: int, text: str) -> str:
    """A line in the lane of an actor."""
    return text if actor == d.AP else f"{'':<{LANE}}{text}"


def _value(event: t.Event) -> str:
    return f"{to_unsigned(event.b):#x}"


def _fence(event: t.Event, vm: int | None) -> str:
    name = {FENCE: "full fence", ACQUIRE: "acquiring fence"}.get(event.a, "order fence")
    return _lane(event.b, f"fence       {name}")


def _tlbi(event: t.Event, vm: int | None) -> str:
    scope = d.decode_tlbi(event.a, to_unsigned(event.b))
    name = d.TLBI_NAMES[event.a] if event.a < len(d.TLBI_NAMES) else str(event.a)
    whose = "all" if scope.asid < 0 else f"ASID {scope.asid}"
    where = "nothing" if scope.first > scope.last else f"{scope.first:#x}..{scope.last:#x}"
    half = {-1: "both halves", d.LOWER: "lower half"}.get(scope.half, "upper half")
    return f"tlbi        {name} {_value(event)}: {whose}, {half}, {where}"


def _cleaned(event: t.Event, vm: int | None) -> str:
    text = f"cleaned     entry {event.a}: {_value(event)}, {event.c:#x} bytes"
    return _lane(d.FW, text)


def _entered(event: t.Event, vm: int | None) -> str:
    context = f"context {event.a}, root {_value(event)}" if event.a else "no context"
    return _lane(d.FW, f"entered     {context}")


def _line(event: t.Event, vm: int | None) -> str:
    how = {d.CLEAN: "cached", d.DIRTY: "cached, dirty", d.DROPPED: "dropped"}[event.c]
    return _lane(d.FW, f"line        {to_unsigned(event.a):#x} -> {_value(event)}: {how}")


def _hold(event: t.Event, vm: int | None) -> str:
    where = "no context" if event.b < 0 else f"context {event.b}"
    return f"hold        VM {event.a}: {where}, {event.c} users"


def _actor(actor: int) -> str:
    """The lane of an actor."""
    return "driver" if actor == d.AP else "firmware"


def _shared(word: str, sign: str) -> Callable[[t.Event, int | None], str]:
    def text(event: t.Event, vm: int | None) -> str:
        name = d.field_name(event.a)
        return _lane(event.c, f"{word:<12}{name}{sign}{_value(event)}")

    return text


EVENT_WORDS = EventWords(
    texts={
        d.SPACE: lambda e, vm: f"space       {e.a}, which the next tables are of",
        d.LOADED: _shared("load", ": "),
        d.STORED: _shared("store", " := "),
        d.SEEN: _shared("visible", " = "),
        d.FENCED: _fence,
        d.TLBI: _tlbi,
        d.DSB: lambda e, vm: "dsb         the invalidations before have completed",
        d.TAKEN: lambda e, vm: _lane(e.a, "lock        taken"),
        d.GIVEN: lambda e, vm: _lane(e.a, "unlock"),
        d.ENTERED: _entered,
        d.LINE: _line,
        d.WRITTEN_BACK: lambda e, vm: _lane(d.FW, f"write back  {to_unsigned(e.a):#x}"),
        d.CLEANED: _cleaned,
        d.HOLD: _hold,
        d.SWITCHED: lambda e, vm: f"switch      the {('driver', 'firmware')[e.a]} goes on",
    },
    lanes={
        **dict.fromkeys((d.LOADED, d.STORED), lambda e: _actor(e.c)),
        d.FENCED: lambda e: _actor(e.b),
        **dict.fromkeys((d.TAKEN, d.GIVEN), lambda e: _actor(e.a)),
        **dict.fromkeys((d.ENTERED, d.LINE, d.WRITTEN_BACK, d.CLEANED), lambda e: "firmware"),
        d.SEEN: lambda e: "memory",
        **dict.fromkeys((d.TLBI, d.DSB), lambda e: "device"),
    },
)
"""The events of driver and firmware."""
