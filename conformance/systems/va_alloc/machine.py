"""The stateful machine of system ``va-alloc``: it draws operations, and judges nothing.

A step draws a number or two, looks at what was given out, and does one operation. One in
which nothing changed goes on: a page is given out, or, where there is none, one comes back.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from conformance.systems.va_alloc.operations import ALL, PAGE
from conformance.systems.va_alloc.session import VaAllocSession
from reference.operations import Operation
from reference.systems.va_alloc.promise import Range
from reference.words import to_signed
from strategies import va_alloc as draw


class VaAllocMachine(RuleBasedStateMachine):
    """Generates operations for one session. A generated subclass gives ``start``."""

    def __init__(self) -> None:
        super().__init__()
        self.session: VaAllocSession = self.start()
        self.changed = False

    def start(self) -> VaAllocSession:
        """A fresh session; given by the generated subclass."""
        raise TypeError("start is missing; make subclasses with conformance.engine")

    def fail(self, violation: object) -> None:
        """Raise for a new violation; given by the generated subclass."""

    def do(self, name: str, **args: int | str) -> None:
        """Do one operation; addresses and sizes are unsigned."""
        if self.session.ended:
            return
        held = {
            key: value if isinstance(value, str) else to_signed(value)
            for key, value in args.items()
        }
        outcome = self.session.run(Operation(name, held))
        self.changed = self.changed or outcome.changed
        if outcome.fresh:
            self.fail(outcome.fresh[0])

    def alloc(
        self, size: int, align: int = 0, mode: str = "best", first: int = 0, last: int = ALL - 1
    ) -> None:
        """Ask for addresses."""
        self.do("alloc", size=size, align=align, mode=mode, first=first, last=last)

    def teardown(self) -> None:
        """End the example: everything comes back, and must be one hole then."""
        outcome = self.session.finish()
        if outcome is not None and outcome.fresh:
            self.fail(outcome.fresh[0])

    # -- drawing ------------------------------------------------------------------------------

    @initialize(window=draw.windows)
    def create(self, window: draw.Window) -> None:
        """Make the allocator."""
        self.do("create", **window.args())

    @contextmanager
    def _step(self, pick: int) -> Iterator[None]:
        """What a step does; if nothing changed by it, another thing that does, at the end."""
        self.changed = False
        yield
        if not self.changed and not self.session.ended:
            if any(hole.last - hole.first + 1 >= PAGE for hole in self.session.state.holes()):
                self.alloc(PAGE, mode=_mode(pick))
            else:
                self._free(pick)

    def _hole(self, pick: int, further: int = 0) -> Range | None:
        """One of the holes, or one of those behind it; None where there is none."""
        holes = self.session.state.holes()
        return holes[min(pick % len(holes) + further, len(holes) - 1)] if holes else None

    def _range(self, pick: int) -> Range | None:
        """One of the ranges that were given out; None where there is none."""
        state = self.session.state
        return state.at[state.firsts.nth(pick % len(state.at))] if state.at else None

    def _free(self, pick: int) -> None:
        one = self._range(pick)
        if one is not None:
            self.do("free", node=one.number)

    def _bounds(self, bounds: draw.Bounds, pick: int) -> tuple[int, int]:
        """(first, last) of the addresses that a request may get."""
        state = self.session.state
        hole, further = self._hole(pick), self._hole(pick, 1)
        if bounds.by == "all":
            return 0, ALL - 1
        first, last = state.first, state.last
        if bounds.by != "window" and hole is not None and further is not None:
            first, last = hole.first, (hole if bounds.by == "hole" else further).last
        first = min(max(first + bounds.cut[0] * PAGE, 0), ALL - 1)
        return first, max(min(last - bounds.cut[1] * PAGE, ALL - 1), first)

    @rule(shape=draw.requests.numbers, where=draw.bounds.numbers)
    def ask(self, shape: int, where: int) -> None:
        """Ask for addresses, somewhere."""
        pages, align = draw.requests.pair(shape)
        bounds, pick = draw.bounds.pair(where)
        with self._step(pick):
            first, last = self._bounds(bounds, pick)
            self.alloc(pages * PAGE, align * PAGE, _mode(shape ^ where), first, last)

    @rule(pick=draw.picks, where=draw.bounds.numbers)
    def ask_for_all(self, pick: int, where: int) -> None:
        """Ask for as much as a hole has, or a page less, often in its own bounds only."""
        bounds, which = draw.bounds.pair(where)
        with self._step(pick):
            hole = self._hole(which)
            if hole is None:
                return
            size = hole.last - hole.first + 1 - (pick & 1) * PAGE
            first, last = self._bounds(bounds, which)
            if size > 0:
                self.alloc(size, 0, _mode(pick // 2 ^ where), first, last)

    @rule(where=draw.parts.numbers)
    def reserve(self, where: int) -> None:
        """Reserve a part of a hole."""
        part, pick = draw.parts.pair(where)
        with self._step(pick):
            hole = self._hole(pick)
            if hole is None:
                return
            first = (hole.last + 1 if part.from_end else hole.first) + PAGE * (
                -part.start if part.from_end else part.start
            )
            first = min(max(first, hole.first), hole.last)
            left = hole.last + 1 - first
            # Of a hole without end, no more than some pages.
            size = min(part.pages * PAGE, left) if part.pages else min(left, 1 << 34)
            self.do("reserve", va=first, size=size)

    @rule(pick=draw.picks)
    def free(self, pick: int) -> None:
        """Give a range back, or every second of three."""
        with self._step(pick):
            self._free(pick)
            if pick & 16:
                self._free(pick + 1)

    @rule(where=draw.finds.numbers)
    def find(self, where: int) -> None:
        """Look for a range; then give something out."""
        (start, end), pick = draw.finds.pair(where)
        with self._step(pick):
            one = self._range(pick)
            if one is None:
                return
            first = min(max(one.first + start * PAGE, 0), ALL - 1)
            # What starts before it, and does not end in it, ends right before it.
            last = one.first - 1 if start < 0 and end < 0 else one.last + end * PAGE
            self.do("find", first=first, last=min(max(last, first), ALL - 1))

    @rule(place=draw.picks, wrong=draw.mistakes.numbers)
    def mistake(self, place: int, wrong: int) -> None:
        """A call that has to be refused; then one that has not."""
        mistake, which = draw.mistakes.pair(wrong)
        with self._step(place):
            self._err(mistake, which)

    def _err(self, mistake: str, which: int) -> None:
        state = self.session.state
        hole, one = self._hole(which), self._range(which)
        mode = _mode(which)
        holes = state.holes()
        if mistake == "no-bytes":
            self.alloc(0, mode=mode)
        elif mistake == "reserve-no-bytes":
            self.do("reserve", va=state.first if hole is None else hole.first, size=0)
        elif mistake == "too-large" and holes:
            # A byte more than the largest hole has.
            most = max(hole.last - hole.first + 1 for hole in holes)
            self.alloc(min(most + 1, ALL - 1), mode=mode)
        elif mistake == "no-such-multiple" and state.first:
            # The only multiples lie below the window and above it.
            self.alloc(PAGE, (state.last + 1) & ~(PAGE - 1) or PAGE, mode)
        elif mistake == "elsewhere":
            first = (state.last + 1) if which & 1 else max(state.first - 8 * PAGE, 0)
            last = ALL - 1 if which & 1 else max(state.first - 1, 0)
            self.alloc(PAGE, 0, mode, min(first, last), last)
        elif mistake == "hole-too-small" and hole is not None:
            size = hole.last - hole.first + 1
            self.alloc(size, 0, mode, hole.first + (which & 1), hole.last - (1 - (which & 1)))
        elif mistake in ("taken", "head-taken", "tail-taken") and one is not None:
            va, end = one.first, one.last + 1
            if mistake == "head-taken":
                va, end = one.last, one.last + 2 * PAGE
            elif mistake == "tail-taken":
                va, end = max(one.first - PAGE, 0), one.first + 1
            self.do("reserve", va=va, size=max(end - va, 1))
        elif mistake == "below":
            self.do("reserve", va=max(state.first - PAGE, 0), size=2 * PAGE)
        elif mistake == "above":
            self.do("reserve", va=min(state.last + 1, ALL - 1), size=1)
        elif mistake == "across":
            self.do("reserve", va=state.last, size=2)
        elif mistake == "wraps":
            self.do("reserve", va=state.last, size=ALL - 1 - (which & 1) * PAGE)
        elif mistake == "no-such-range":
            self.do("free", node=state.made + which % 2)


def _mode(number: int) -> str:
    return draw.MODES[number % len(draw.MODES)]


def machine_class(traits: dict[str, tuple[str, ...]]) -> type[VaAllocMachine]:
    """The machine for targets with these traits: it is the same for all."""
    return VaAllocMachine
