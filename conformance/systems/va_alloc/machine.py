"""The stateful machine of system ``va-alloc``: it draws operations, and judges nothing.

A step draws a number or two, looks at what was given out, and does one operation. One in
which nothing changed goes on: a page is given out, or, where there is none, one comes back.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis.stateful import initialize, rule

from conformance.machine import Machine
from conformance.systems.va_alloc.operations import PAGE
from reference.systems.va_alloc.promise import ALL, Range, VaAllocPromise, VaSpace
from strategies import va_alloc as draw


class VaAllocMachine(Machine):
    """Generates operations for one session."""

    @property
    def space(self) -> VaSpace:
        """The ranges that callers have."""
        promise: VaAllocPromise = self.session.promise
        return promise.space

    def alloc(
        self, size: int, align: int = 0, mode: str = "best", first: int = 0, last: int = ALL - 1
    ) -> None:
        """Ask for addresses."""
        self.do("alloc", size=size, align=align, mode=mode, first=first, last=last)

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
            if any(hole.last - hole.first + 1 >= PAGE for hole in self.space.holes()):
                self.alloc(PAGE, mode=_mode(pick))
            else:
                self._free(pick)

    def _hole(self, pick: int, further: int = 0) -> Range | None:
        """One of the holes, or one of those behind it; None where there is none."""
        holes = self.space.holes()
        return holes[min(pick % len(holes) + further, len(holes) - 1)] if holes else None

    def _range(self, pick: int) -> Range | None:
        """One of the ranges that were given out; None where there is none."""
        space = self.space
        return space.at[space.firsts.nth(pick % len(space.at))] if space.at else None

    def _free(self, pick: int) -> None:
        one = self._range(pick)
        if one is not None:
            self.do("free", node=one.number)

    def _bounds(self, bounds: draw.Bounds, pick: int) -> tuple[int, int]:
        """(first, last) of the addresses that a request may get."""
        space = self.space
        hole, further = self._hole(pick), self._hole(pick, 1)
        if bounds.by == "all":
            return 0, ALL - 1
        first, last = space.first, space.last
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
        space = self.space
        hole, one = self._hole(which), self._range(which)
        mode = _mode(which)
        holes = space.holes()
        if mistake == "no-bytes":
            self.alloc(0, mode=mode)
        elif mistake == "reserve-no-bytes":
            self.do("reserve", va=space.first if hole is None else hole.first, size=0)
        elif mistake == "too-large" and holes:
            # A byte more than the largest hole has.
            most = max(hole.last - hole.first + 1 for hole in holes)
            self.alloc(min(most + 1, ALL - 1), mode=mode)
        elif mistake == "no-such-multiple" and space.first:
            # The only multiples lie below the window and above it.
            self.alloc(PAGE, (space.last + 1) & ~(PAGE - 1) or PAGE, mode)
        elif mistake == "elsewhere":
            first = (space.last + 1) if which & 1 else max(space.first - 8 * PAGE, 0)
            last = ALL - 1 if which & 1 else max(space.first - 1, 0)
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
            self.do("reserve", va=max(space.first - PAGE, 0), size=2 * PAGE)
        elif mistake == "above":
            self.do("reserve", va=min(space.last + 1, ALL - 1), size=1)
        elif mistake == "across":
            self.do("reserve", va=space.last, size=2)
        elif mistake == "wraps":
            self.do("reserve", va=space.last, size=ALL - 1 - (which & 1) * PAGE)
        elif mistake == "no-such-range":
            self.do("free", node=space.made + which % 2)


def _mode(number: int) -> str:
    return draw.MODES[number % len(draw.MODES)]


def machine_class(traits: dict[str, tuple[str, ...]]) -> type[VaAllocMachine]:
    """The machine for targets with these traits: it is the same for all."""
    return VaAllocMachine
