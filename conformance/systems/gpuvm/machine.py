"""The stateful machine of system ``gpuvm``: it draws operations, and judges nothing.

A step draws a number or two, looks at what is mapped, and does one operation. One in
which nothing changed goes on with a map, so that no draw comes to nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis.stateful import initialize, rule

from conformance.machine import Machine
from reference.systems.gpuvm.mappings import Mapping
from reference.systems.gpuvm.promise import ALL, PAGE, GpuvmPromise
from reference.systems.gpuvm.state import VmState
from strategies import gpuvm as draw
from strategies.parts import Part

NEAR_END = 8
"""So many of the places are counted back from the window's end."""

MOST_BUFFERS = 12

OF_BUFFERS = ("askew-offset", "no-buffer", "closed", "beyond")
"""Mistakes that only a map can make: they are about what is mapped, and not where."""


class GpuvmMachine(Machine):
    """Generates operations for one session. ``made``: how many buffers were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    @property
    def state(self) -> VmState:
        """The VM as it has to be."""
        promise: GpuvmPromise = self.session.promise
        return promise.state

    # -- drawing ------------------------------------------------------------------------------

    @initialize(window=draw.windows)
    def create(self, window: draw.Window) -> None:
        """Make the VM, and two buffers."""
        self.do("create", **window.args())
        for which in (0, 1):
            self._new_buffer(which)

    @contextmanager
    def _step(self, pick: int) -> Iterator[None]:
        """What a step does; if nothing changed by it, a map of a page at the end."""
        self.changed = False
        yield
        if not self.changed and not self.session.ended:
            self._map(self._place(pick), 1, pick, 0, 0)

    def _new_buffer(self, which: int) -> None:
        size, private = draw.BUFFERS[which]
        if self.made < MOST_BUFFERS:
            self.made += 1
            self.do("bo", size=size, private=private)

    def _place(self, place: int) -> int:
        """A page address in the window."""
        state = self.state
        if place >= 64 - NEAR_END:
            return state.last + 1 - (64 - place) * PAGE
        return state.first + place % ((state.last + 1 - state.first) // PAGE) * PAGE

    def _buffer(self, pick: int) -> int:
        """An open buffer's number; -1 if none is."""
        numbers = [number for number, one in self.state.buffers.items() if one.open]
        return numbers[pick % len(numbers)] if numbers else -1

    def _there(self, pick: int) -> Mapping | None:
        """One of the mappings; None if there is none."""
        promise = self.state.promise
        if not len(promise):
            return None
        return promise.nth(pick % len(promise))

    def _longer(self, pick: int) -> Mapping | None:
        """The longer of two mappings that follow each other: one that can be split more ways."""
        one, other = self._there(pick), self._there(pick + 1)
        if one is None or other is None or one.last - one.first >= other.last - other.first:
            return one
        return other

    def _between(self, one: Mapping) -> tuple[int, int]:
        """(first, bytes) from a mapping's last page to the first page of the next near it."""
        first = one.last + 1 - PAGE
        state = self.state
        following = state.promise.first_in(one.last + 1, min(one.last + 16 * PAGE, state.last))
        return first, PAGE if following is None else following.first + PAGE - first

    def _map(self, iova: int, count: int, pick: int, offset: int, fail_at: int) -> None:
        """Map pages of an open buffer, as many as fit into it and the window."""
        number = self._buffer(pick)
        if number < 0:
            self._new_buffer(pick % len(draw.BUFFERS))
            number = self._buffer(pick)
        if number < 0:
            return
        state = self.state
        pages = state.buffers[number].size // PAGE
        count = max(1, min(count, pages, (state.last + 1 - iova) // PAGE))
        start = offset % (pages - count + 1)
        self.do(
            "map", iova=iova, size=count * PAGE, bo=number, offset=start * PAGE,
            fail_at=fail_at,
        )  # fmt: skip

    def _part(self, one: Mapping, part: Part) -> tuple[int, int]:
        """(first, bytes) of a range by a mapping, cut to the window."""
        state = self.state
        first = (one.last + 1 if part.from_end else one.first) + part.start * PAGE
        end = (one.last + 1 if part.to_end else first) + part.pages * PAGE
        first = max(first, state.first)
        return first, max(min(end, state.last + 1) - first, PAGE)

    @rule(place=draw.places, shape=draw.maps.numbers)
    def map(self, place: int, shape: int) -> None:
        """Map somewhere, over whatever is there."""
        count, (offset, fail_at) = draw.maps.pair(shape)
        with self._step(place):
            self._map(self._place(place), count, place ^ shape, offset, fail_at)

    @rule(pick=draw.picks, where=draw.parts.numbers)
    def map_over(self, pick: int, where: int) -> None:
        """Map over a part of something that is mapped."""
        part, fail_at = draw.parts.pair(where)
        with self._step(pick):
            one = self._longer(pick)
            if one is not None:
                first, size = self._part(one, part)
                self._map(first, size // PAGE, pick, pick >> 3, fail_at)

    @rule(pick=draw.picks, where=draw.parts.numbers)
    def map_same(self, pick: int, where: int) -> None:
        """Map a part of something again, as it is, or with what is in front of it or behind."""
        part, _ = draw.parts.pair(where)
        with self._step(pick):
            one = self._there(pick)
            if one is None or one.buffer != self._buffer(one.buffer):
                return
            first, size = self._part(one, part)
            offset = one.offset + first - one.first
            left = self.state.buffers[one.buffer].size - offset
            if offset >= 0 and left >= PAGE:
                self.do(
                    "map", iova=first, size=min(size, left), bo=one.buffer,
                    offset=offset, fail_at=0,
                )  # fmt: skip

    @rule(pick=draw.picks, where=draw.parts.numbers)
    def unmap(self, pick: int, where: int) -> None:
        """Unmap a part of something that is mapped, or what lies between two, and their ends."""
        part, fail_at = draw.parts.pair(where)
        with self._step(pick):
            one = self._longer(pick)
            if one is not None:
                first, size = self._between(one) if pick > 48 else self._part(one, part)
                self.do("unmap", iova=first, size=size, fail_at=fail_at)

    @rule(pick=draw.picks, which=draw.buffers)
    def make_or_close(self, pick: int, which: int) -> None:
        """Make a buffer, or give the handle of one back."""
        with self._step(pick):
            if pick & 1:
                self._new_buffer(which)
            elif len(self.state.buffers) > 1:
                self.do("close", bo=self._buffer(which))

    @rule(pick=draw.picks, which=draw.buffers)
    def evict(self, pick: int, which: int) -> None:
        """Buffers lose their pages; then, mostly, they are made valid."""
        with self._step(pick):
            linked = [number for number in self.state.buffers if self.state.link_count(number) > 0]
            for number in linked[: 1 + pick % 3]:
                self.do("evict", bo=number, state=1)
            if linked and pick & 8:
                self.do("evict", bo=linked[which % len(linked)], state=int(pick & 16 > 0))
            if pick & 4:
                self.do("validate")

    @rule(pick=draw.picks, where=draw.parts.numbers)
    def find(self, pick: int, where: int) -> None:
        """Look for a mapping, also from and to the middle of a page; then map something."""
        part, _ = draw.parts.pair(where)
        with self._step(pick):
            one = self._there(pick)
            if one is None:
                first, size = self._place(pick), 4 * PAGE
            else:
                first, size = self._part(one, part)
            if pick & 1:
                first += 0x234
                size -= 0x300
            self.do("find", iova=first, size=size)

    @rule(place=draw.places, wrong=draw.mistakes.numbers)
    def mistake(self, place: int, wrong: int) -> None:
        """A call that has to be refused; then one that has not."""
        mistake, which = draw.mistakes.pair(wrong)
        with self._step(place):
            self._err(mistake, which, place)

    def _err(self, mistake: str, which: int, place: int) -> None:
        """A map, or an unmap where that can be wrong in the same way, with a mistake in it."""
        iova, size = self._wrong_range(mistake, which, place)
        if which & 4 and mistake not in OF_BUFFERS:
            self.do("unmap", iova=iova, size=size, fail_at=0)
            return
        number, offset = self._wrong_part(mistake, which)
        self.do("map", iova=iova, size=size, bo=max(number, 0), offset=offset, fail_at=0)

    def _wrong_part(self, mistake: str, which: int) -> tuple[int, int]:
        """(buffer, offset) of what is mapped: none that can be, if that is the mistake."""
        buffers = self.state.buffers
        number = self._buffer(which)
        if mistake == "askew-offset":
            return number, 0x800
        if mistake == "no-buffer":
            return self.made + which, 0
        if mistake == "closed":
            closed = [number for number, buffer in buffers.items() if not buffer.open]
            return (closed[which % len(closed)] if closed else self.made), 0
        if mistake == "beyond" and max(number, 0) in buffers:
            return number, buffers[max(number, 0)].size - (which % 2) * PAGE
        return number, 0

    def _wrong_range(self, mistake: str, which: int, place: int) -> tuple[int, int]:
        """(first, bytes) of where: no range that can be mapped, if that is the mistake."""
        state = self.state
        one = self._there(which)
        iova, size = self._place(place), 2 * PAGE
        if one is not None and place & 1:
            iova = one.first
        if mistake == "empty":
            if one is not None and place & 2:
                iova = min(iova + PAGE, state.last + 1 - PAGE)
            return iova, 0
        if mistake == "askew":
            return iova + 0x800, size
        if mistake == "askew-size":
            return iova, size + 0x800
        if mistake == "wrap":
            return _wrapping(iova, which)
        if mistake in ("below", "above", "across"):
            return self._across_an_end(mistake, which)
        if mistake.startswith("kernel") and state.kernel_last > state.kernel_first:
            return self._of_the_kernels(mistake, which), size
        return iova, size

    def _across_an_end(self, mistake: str, which: int) -> tuple[int, int]:
        """(first, bytes) of a range that is not all in the window."""
        state = self.state
        if mistake == "below":
            first = max(state.first - (1 + which % 2) * PAGE, 0)
            return first, PAGE if which & 2 else 2 * PAGE
        if mistake == "above":
            return min(state.last + 1, ALL - PAGE), PAGE
        return state.last + 1 - PAGE, 2 * PAGE

    def _of_the_kernels(self, mistake: str, which: int) -> int:
        """The first of two pages of which at least one is the kernel's."""
        state = self.state
        if mistake != "kernel-edge":
            return state.kernel_first
        # The first or the last of its part.
        first = state.kernel_first - PAGE if which & 1 else state.kernel_last + 1 - PAGE
        return max(first, state.first)


def _wrapping(iova: int, which: int) -> tuple[int, int]:
    """(first, bytes) of a range that wraps."""
    if not which & 4:
        # No buffer has so many pages that a map of them wraps from inside the window.
        return ALL - PAGE, 2 * PAGE
    size = ALL - (which % 2) * PAGE - (iova if which & 2 else 0)
    return iova, min(size, ALL - PAGE)


def machine_class(traits: dict[str, tuple[str, ...]]) -> type[GpuvmMachine]:
    """The machine for targets with these traits: it is the same for all."""
    return GpuvmMachine
