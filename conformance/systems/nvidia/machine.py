"""The stateful machine of system ``nvidia``: it draws operations, and judges nothing.

A step draws a number or two, looks at what is there, and does what they stand for: areas that
come and go, memory that is mapped in parts of them, pages one by one, references and maps of
the raw interface apart from each other. One in which nothing changed goes on with a map of a
page, so that no draw comes to nothing.
"""

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from hypothesis.stateful import initialize, rule

from conformance.machine import Machine, held
from conformance.session import Outcome
from conformance.systems.nvidia.operations import ANY_ALLOCATION
from reference.operations import Operation
from reference.physical_layout import VRAM
from reference.systems.nvidia.promise import CHIPS, LARGEST_BOOT, MOST_PAGES, NvidiaPromise
from reference.systems.nvidia.state import NONE, Area, NvidiaState, Part
from reference.words import to_signed
from strategies import nvidia as draw

PAGE = draw.PAGE
MOST_AREAS = 24
MOST_MEMORIES = 12
MOST_HOLDS = 200
"""References that the raw interface holds at most to one page."""


class NvidiaMachine(Machine):
    """Generates operations for one session."""

    spaces: tuple[draw.Space, ...] = draw.SPACES
    small_spaces: tuple[draw.Space, ...] = draw.SMALL_SPACES
    """What the target has of them."""

    @property
    def promise(self) -> NvidiaPromise:
        """What callers were told, with the views that it is held against."""
        promise: NvidiaPromise = self.session.promise
        return promise

    @property
    def state(self) -> NvidiaState:
        """What is known of the address space."""
        return self.promise.state

    def do(self, name: str, **args: int | str) -> Outcome | None:
        """Do one operation; None: it was not done.

        What is a misuse is not done. What broke a rule was undone, and has changed nothing.
        """
        defaults = self.session.system.specs[name].defaults
        operation = Operation(name, {**defaults, **held(args)})
        if self.session.ended or self.promise.is_misuse(operation):
            return None
        changed = self.changed
        outcome = super().do(name, **args)
        if outcome is not None and outcome.violations:
            self.changed = changed
        return outcome

    def value(self, name: str, **args: int | str) -> int:
        """Do one operation; the value that it gave back, -1 if it changed nothing."""
        outcome = self.do(name, **args)
        if outcome is None or outcome.violations or not outcome.changed:
            return -1
        result = outcome.result
        return result.value if result.finished and result.result == 0 else -1

    # -- what is there ------------------------------------------------------------------------

    @initialize(which=draw.spaces)
    def create(self, which: int) -> None:
        """Make an address space and three memories."""
        self._create(self.spaces[which % len(self.spaces)])
        for number in range(3):
            self._new_memory(number)

    def _create(self, space: draw.Space) -> None:
        client = space.mode != "own"
        self.do(
            "create",
            chip=space.chip,
            big=space.large,
            managed=int(space.mode == "managed"),
            raw=int(space.mode == "raw"),
            start=draw.CLIENT if client else space.start,
            size=draw.CLIENT if client else space.size,
            replay=int(space.replays),
        )
        if not self.state.exists:
            # Nothing can be done without one.
            self.session.ended = True

    @contextmanager
    def _step(self, pick: int) -> Iterator[None]:
        """What a step does; if nothing changed by it, a map of a page at the end."""
        self.changed = False
        if not self.state.exists:
            self._create(self.spaces[pick % len(self.spaces)])
        yield
        if self.changed or self.session.ended or not self.state.exists:
            return
        if self.state.raw:
            self._raw_page(pick)
        else:
            self._page(pick)

    def _page(self, pick: int) -> None:
        """A page that is handed out and mapped; where nothing can be, something given back."""
        if len(self.state.areas) >= MOST_AREAS or self.value("get", size=PAGE) < 0:
            areas = self._areas()
            if areas:
                self.do("put", vma=areas[pick % len(areas)].number)
            return
        self.do("map", vma=self.state.area_count - 1, memory=self._memory(0))

    def _raw_page(self, pick: int) -> None:
        first = (64 + pick) * PAGE
        if self.state.raw_holds[-1].least(first, first + PAGE - 1) < MOST_HOLDS:
            self.do("raw_get", addr=first, size=PAGE)

    def _areas(self) -> list[Area]:
        """The areas that can be used by the calls for areas."""
        raw = self.state.raw
        return [one for one in self.state.areas.values() if not (one.client and raw)]

    def _area(self, pick: int) -> Area | None:
        areas = self._areas()
        return areas[pick % len(areas)] if areas else None

    def _new_memory(self, which: int) -> int:
        if len(self.state.memories) >= MOST_MEMORIES:
            return -1
        one = draw.MEMORIES[which % len(draw.MEMORIES)]
        return self.value(
            "memory", target=one.target, size=one.size, page=one.page, scattered=one.scattered
        )

    def _memory(self, pick: int) -> int:
        """A memory that is still owned; a new one where there is none."""
        there = [number for number, one in enumerate(self.state.memories) if one.owned]
        if not there:
            return max(self._new_memory(0), 0)
        return there[pick % len(there)]

    def _shift(self, size: int) -> int:
        """log2 of a page size: 0 none, 1 small, 2 large, 3 the next larger one."""
        pages = self.state.page_list()
        if size == 0 or not pages:
            return 0
        return int(pages[max(len(pages) - size, 0)].listed)

    def _can_be_sparse(self) -> bool:
        return any(page.sparse for page in self.state.page_list())

    # -- areas --------------------------------------------------------------------------------

    def _get(self, one: draw.Get, pages: int, fail_at: int = 0, align: int = 0) -> int:
        """The number of an area that is handed out, sparse where that can be; -1: none."""
        if len(self.state.areas) >= MOST_AREAS:
            return -1
        shift = self._shift(one.size)
        if one.flavour == "ptes" and not shift:
            shift = 12
        size = max(pages * PAGE >> max(shift, 12), 1) << max(shift, 12)
        number = self.state.area_count
        value = self.value(
            "get",
            getref=int(one.flavour == "ptes"),
            mapref=int(one.flavour == "addr"),
            sparse=int(one.sparse and self._can_be_sparse()),
            shift=shift,
            align=align,
            size=size,
            fail_at=fail_at,
        )
        return number if value >= 0 else -1

    @rule(pick=draw.picks, what=draw.gets.numbers)
    def get(self, pick: int, what: int) -> None:
        """Hand an area out, and sometimes map it."""
        one, pages = draw.gets.pair(what)
        with self._step(pick):
            fail_at = draw.FAILURES[(pick + what) % len(draw.FAILURES)]
            align = (0, 0, 0, 16, 21)[pick % 5]
            number = self._get(one, pages, fail_at, align)
            if number >= 0 and pick & 1:
                how = draw.HOWS[what % len(draw.HOWS)]
                self._map(self.state.areas[number], draw.PARTS[0], how, pick >> 1)

    @rule(pick=draw.picks, what=draw.maps.numbers)
    def map(self, pick: int, what: int) -> None:
        """Map memory in an area or a part of it, over what is mapped there sometimes."""
        part, how = draw.maps.pair(what)
        with self._step(pick):
            if pick >= 60:
                self._new_memory(3 + pick % 6)
            area = self._area(pick)
            if area is not None:
                self._map(area, part, how, pick >> 2)

    def _map(self, area: Area, part: tuple[int, int], how: draw.How, pick: int) -> None:
        """Map as much of a part as a memory has, with pages that can be.

        Where something is mapped in it, the map is of exactly that, or of nothing.
        """
        number = self._memory(pick)
        if not 0 <= number < len(self.state.memories):
            return
        memory = self.state.memories[number]
        index = area.refd if area.refd != NONE else area.index
        unit = max(1 << self.state.page_list()[index].shift, PAGE) if index != NONE else PAGE
        if unit > memory.size:
            return
        size = area.last + 1 - area.first
        first = part[0] * PAGE if part[0] >= 0 else max(size + part[0] * PAGE, 0)
        first = first // unit * unit
        if first >= size or (not area.mapref and area.refd == NONE):
            first = 0
        length = part[1] * PAGE if part[1] else size
        length = max(min(length, size - first, memory.size) // unit * unit, unit)
        if not area.mapref and area.refd == NONE:
            length = size
        offset = how.offset * PAGE // unit * unit
        if offset + length > memory.size:
            offset = 0
        there = area.within(area.first + first, area.first + first + length - 1)
        if there:
            one = there[pick % len(there)]
            if one.memory == NONE:
                return
            first, length = one.first - area.first, one.last + 1 - one.first
            offset = 0
        kind, ro, priv, vol = how.access
        args: dict[str, int] = {"vma": area.number, "memory": number, "offset": offset}
        args.update(kind=kind, ro=ro, priv=priv, vol=vol, fail_at=how.fail_at)
        if (first, length) == (0, size):
            self.do("map", **args)
        else:
            self.do("map_part", **args, first=first, size=length)

    def _mapped(self, pick: int) -> tuple[Area, Part] | None:
        """A part of an area where memory is mapped."""
        there = [
            (area, part) for area in self._areas() for part in area.parts if part.memory != NONE
        ]
        return there[pick % len(there)] if there else None

    @rule(pick=draw.picks, count=draw.picks)
    def less(self, pick: int, count: int) -> None:
        """Unmap a part or some of them, or give an area back, mapped or not."""
        with self._step(pick):
            if count % 3 == 0:
                areas = [one for one in self._areas() if not one.client or pick == 63]
                if areas:
                    self.do("put", vma=areas[pick % len(areas)].number)
                return
            for _ in range(1 + count % 3 // 2 * 2):
                found = self._mapped(pick)
                if found is not None:
                    area, part = found
                    self.do("unmap", vma=area.number, first=part.first - area.first)

    # -- stories of a cell --------------------------------------------------------------------

    @rule(pick=draw.picks, what=draw.cells.numbers)
    def cell(self, pick: int, what: int) -> None:
        """What happens in one cell of a directory, in an order that matters."""
        story, how = draw.cells.pair(what)
        with self._step(pick):
            if self.state.raw and pick & 1:
                self._any_raw(pick >> 1, what)
            else:
                _STORIES[story](self, how, pick)

    # -- pages one by one ---------------------------------------------------------------------

    @rule(pick=draw.picks, what=draw.pfns.numbers)
    def pfn(self, pick: int, what: int) -> None:
        """Map pages one by one, or unmap them."""
        with self._step(pick):
            if self.state.raw:
                self._any_raw(pick, what)
            elif self.state.chip != "gp100":
                self._any_story(pick, what)
            else:
                self._pfn(pick, what)

    def _pfn(self, pick: int, what: int) -> None:
        pattern, number = draw.pfns.pair(what)
        area = self._area_of_pages(pick)
        if area is None:
            return
        place = draw.PFN_PLACES[number % len(draw.PFN_PLACES)]
        pages = draw.PFN_LENGTHS[number // len(draw.PFN_PLACES)]
        shift = 21 if pick % 4 == 1 else 12
        first = area.first + place % (area.last + 1 - area.first)
        span = pages << 12
        if shift == 21:
            first, span = first >> 21 << 21, draw.LARGE * (1 + pages % 3)
            if first < area.first:
                return
        if pick % 16 != 5:
            span = min(span, max((area.last + 1 - first) >> shift, 1) << shift)
        if pick % 4 == 3:
            there = sorted(self.state.pages)
            if there and pick % 16 != 7:
                # Mostly from a page on that is there.
                first = there[(pick >> 2) * 5 % len(there)]
            self.do("pfn_unmap", addr=to_signed(first), size=span)
        else:
            fail_at = draw.FAILURES[(pick + number) % len(draw.FAILURES)]
            args = {"addr": to_signed(first), "size": span, "pattern": to_signed(pattern)}
            self.do("pfn_map", shift=shift, **args, fail_at=fail_at)

    def _area_of_pages(self, pick: int) -> Area | None:
        """An area in which pages are mapped one by one, or can be; sometimes any."""
        free = [one for one in self._areas() if all(part.memory == NONE for part in one.parts)]
        if pick % 8 == 0:
            return self._area(pick >> 3)
        free = [one for one in free if one.mapref]
        if not free or (len(free) < 3 and pick & 2):
            number = self._get(draw.GETS[pick % len(draw.GETS)], 1 + pick * 9, 0, 21)
            return self.state.areas.get(number)
        return free[(pick >> 3) % len(free)]

    # -- the raw interface --------------------------------------------------------------------

    @rule(pick=draw.picks, what=draw.raws.numbers)
    def raw(self, pick: int, what: int) -> None:
        """References, maps and sparseness, each by itself."""
        name, where = draw.raws.pair(what)
        with self._step(pick):
            if self.state.raw:
                _RAWS[name](self, where, pick)
            else:
                self._any_story(pick, what)

    @rule(pick=draw.picks, what=draw.raws.numbers)
    def raw_too(self, pick: int, what: int) -> None:
        """The same, so that such address spaces are used for it most of the time."""
        name, where = draw.raws.pair(what)
        with self._step(pick):
            if self.state.raw:
                _RAWS[name](self, where, pick >> 1)
            elif self.state.chip == "gp100" and (self.state.managed or pick & 1):
                self._pfn(pick, what % draw.pfns.size)
            else:
                part, how = draw.maps.pair(what % draw.maps.size)
                area = self._area(pick)
                if area is not None:
                    self._map(area, part, how, pick >> 2)

    def _any_story(self, pick: int, what: int) -> None:
        """A story of a cell, chosen by any number."""
        names = draw.CELLS
        _STORIES[names[what % len(names)]](self, what // len(names) % 12, pick)

    def _any_raw(self, pick: int, what: int) -> None:
        """A use of the raw interface, chosen by any number."""
        name, where = draw.raws.pair(what % draw.raws.size)
        _RAWS[name](self, where, pick)

    # -- what else happens --------------------------------------------------------------------

    @rule(pick=draw.picks, what=draw.mishaps.numbers)
    def mishap(self, pick: int, what: int) -> None:
        """Something happens to device, address space or memories."""
        name, which = draw.mishaps.pair(what)
        with self._step(pick):
            _MISHAPS[name](self, which, pick)

    # -- calls that have to be refused --------------------------------------------------------

    @rule(pick=draw.picks, what=draw.mistakes.numbers)
    def mistake(self, pick: int, what: int) -> None:
        """A call that has to be refused, and changes nothing."""
        mistake, which = draw.mistakes.pair(what)
        with self._step(pick):
            found = _mistake(self, mistake, which, pick)
            if found is not None:
                self.do(found[0], **found[1])


# -- stories of a cell ----------------------------------------------------------------------------


def _in_sparse(
    machine: NvidiaMachine, how: int, pick: int, parts: tuple[tuple[int, int], ...]
) -> None:
    """A sparse area in which parts are mapped, and some unmapped in another order."""
    number = machine._get(draw.Get("addr", True, how % 3 // 2), 512 + 32 * (how & 1), 0, 21)
    if number < 0:
        return
    area = machine.state.areas[number]
    for part in parts[how % len(parts) :] + parts[: how % len(parts)]:
        machine._map(area, part, draw.HOWS[0], 0)
    for _ in range(1 + how % 3):
        mapped = [one for one in area.parts if one.memory != NONE]
        if mapped:
            one = mapped[(pick + how) % len(mapped)]
            machine.do("unmap", vma=number, first=one.first - area.first)
    if how & 4:
        machine.do("put", vma=number)


def _small_in_sparse(machine: NvidiaMachine, how: int, pick: int) -> None:
    _in_sparse(machine, how, pick, ((1, 1), (3, 2), (31, 3)))


def _large_in_sparse(machine: NvidiaMachine, how: int, pick: int) -> None:
    _in_sparse(machine, how, pick, ((0, 32), (64, 32), (96, 32)))


def _both_in_sparse(machine: NvidiaMachine, how: int, pick: int) -> None:
    _in_sparse(machine, how, pick, ((1, 1), (32, 32), (65, 2), (96, 32)))


def _share(machine: NvidiaMachine, how: int, pick: int) -> None:
    """Areas of small pages in one large entry, given back in some order."""
    kinds = (draw.Get("ptes", False, 1), draw.Get("addr", False, 1), draw.Get("ptes", True, 1))
    numbers = [machine._get(kinds[(how + i) % 3], 1 + (pick + i) % 5) for i in range(3)]
    for number in numbers:
        if number >= 0 and how & 1:
            machine._map(machine.state.areas[number], (0, 0), draw.HOWS[0], 0)
    for number in (numbers if how & 2 else numbers[::-1])[: 1 + how % 3]:
        if number in machine.state.areas:
            machine.do("put", vma=number)


def _share_map(machine: NvidiaMachine, how: int, pick: int) -> None:
    """An area of large pages that ends in the directory entry in which small ones follow."""
    large = draw.Get("ptes" if how & 1 else "addr", bool(how & 2), 2)
    first = machine._get(large, 32, 0, 21)
    second = machine._get(draw.Get("addr", bool(how & 4), 0), 33 + pick % 7)
    for number in (first, second) if how & 1 else (second, first):
        if number >= 0:
            machine._map(machine.state.areas[number], (0, 0), draw.HOWS[0], 0)
    for number in (first, second) if pick & 1 else (second, first):
        if number in machine.state.areas and how != 5:
            machine.do("put", vma=number)


def _huge(machine: NvidiaMachine, how: int, pick: int) -> None:
    """A whole cell is one page, where there are such pages; and what comes before or after."""
    large = [
        number
        for number, one in enumerate(machine.state.memories)
        if one.owned and one.page >= 21 and one.size >= 2 * draw.LARGE
    ]
    memory = large[0] if large else machine._new_memory(0)
    flavour = ("addr", "ptes", "addr", "lazy")[how & 3]
    one = draw.Get(flavour, flavour != "lazy" and how & 4 != 0, 3 if how & 3 == 1 else 0)
    number = machine._get(one, 512 * (1 + pick % 2), 0, 21)
    if memory < 0 or number < 0:
        return
    if pick % 3 and flavour == "addr":
        machine._map(machine.state.areas[number], draw.PARTS[3 + pick % 8], draw.HOWS[0], pick)
        if machine.state.areas[number].parts:
            first = machine.state.areas[number].parts[0].first
            machine.do("unmap", vma=number, first=first - machine.state.areas[number].first)
    if pick & 1 and pick & 4:
        machine.do("map_part", vma=number, memory=memory, first=draw.LARGE, size=draw.LARGE)
    else:
        machine.do("map", vma=number, memory=memory)
    if pick & 2:
        machine.do("unmap", vma=number)
        machine._map(machine.state.areas[number], draw.PARTS[pick % 20], draw.HOWS[0], pick >> 2)
    if how & 8:
        machine.do("put", vma=number)


def _late(machine: NvidiaMachine, how: int, pick: int) -> None:
    """Given back, and handed out again as something else."""
    number = machine._get(draw.Get("lazy" if how & 1 else "addr", False, 0), 512, 0, 21)
    if number < 0:
        return
    machine._map(machine.state.areas[number], (0, 0), draw.HOWS[0], how)
    machine.do("put", vma=number)
    kind = draw.GETS[(how + pick) % len(draw.GETS)]
    again = machine._get(kind, 512, 0, 21)
    if again >= 0:
        machine._map(machine.state.areas[again], (0, 0), draw.HOWS[0], how >> 1)


def _other_size(machine: NvidiaMachine, how: int, pick: int) -> None:
    """The same area with memory whose pages are larger or smaller than before."""
    number = machine._get(draw.Get("addr", bool(how & 1), 0), 512, 0, 21)
    if number < 0:
        return
    for i in range(3):
        area = machine.state.areas.get(number)
        if area is None:
            return
        machine._map(area, ((0, 0), (0, 512), (0, 32))[(how + i) % 3], draw.HOWS[0], pick + i)
        if area.parts and how & 2:
            machine.do("unmap", vma=number, first=area.parts[0].first - area.first)


def _remap(machine: NvidiaMachine, how: int, pick: int) -> None:
    """What is mapped is mapped over with another memory."""
    found = machine._mapped(pick)
    if found is not None:
        area, part = found
        first = (part.first - area.first) // PAGE
        machine._map(area, (first, 1), draw.HOWS[how * 7 % len(draw.HOWS)], how)


def _fill(machine: NvidiaMachine, how: int, pick: int) -> None:
    """Every small page of a large one is referenced more than once: sparse, and mapped."""
    shift = machine._shift(2)
    machine._get(draw.Get("ptes", False, 2), 1, 0, 21)
    pages = (1 << shift) // PAGE
    split = 1 + (how + pick) % (pages - 1)
    for count in (split, pages - split):
        number = machine._get(draw.Get("addr", True, 0), count)
        if number >= 0:
            machine._map(machine.state.areas[number], (0, 0), draw.HOWS[0], 0)


def _parents(machine: NvidiaMachine, how: int, pick: int) -> None:
    """A sparse area as large as a whole table, and something mapped in it."""
    span = machine.state.covers(how % 3)
    if machine.state.chip != "gp100":
        span = min(span, draw.HALF_GIGA * 2)
    shift = span.bit_length() - 1
    number = machine._get(draw.Get("addr", True, 0), span // PAGE, 0, shift)
    if number >= 0:
        area = machine.state.areas[number]
        for i in range(1 + how % 3):
            machine._map(area, draw.PARTS[(how + i * 3 + pick) % len(draw.PARTS)], draw.HOWS[0], i)


def _hole(machine: NvidiaMachine, how: int, pick: int) -> None:
    """Parts of an area are mapped, and the middle unmapped and mapped again."""
    number = machine._get(draw.Get("addr" if how & 1 else "ptes", bool(how & 2), 1), 48)
    if number < 0:
        return
    area = machine.state.areas[number]
    for first, count in ((0, 16), (16, 16), (32, 16)):
        machine._map(area, (first, count), draw.HOWS[0], 0)
    machine.do("unmap", vma=number, first=16 * PAGE)
    machine._map(area, ((16, 1), (20, 8), (31, 1))[pick % 3], draw.HOWS[0], how)
    if how & 4:
        machine.do("put", vma=number)


def _two_lazy(machine: NvidiaMachine, how: int, pick: int) -> None:
    """An area that gets its references by its first map, and parts of it afterwards."""
    number = machine._get(draw.Get("lazy", False, how % 3), 32)
    if number < 0:
        return
    area = machine.state.areas[number]
    machine._map(area, (0, 0), draw.HOWS[0], how)
    if area.parts:
        machine.do("unmap", vma=number)
        if how & 4:
            machine.do("put", vma=number)
        else:
            machine._map(area, draw.PARTS[(how + pick) % len(draw.PARTS)], draw.HOWS[0], how)


def _short(machine: NvidiaMachine, how: int, pick: int) -> None:
    """A map goes on in a cell for whose table there is no memory; the one before it stays."""
    machine._get(draw.Get("ptes", False, 1), 1 + pick % 3, 0, 21)
    number = machine._get(draw.Get("addr", bool(how & 1), 0), 512 + 32 * (pick & 1))
    if number >= 0:
        fails = draw.How(0, draw.ACCESS[0], 1 + how % 4)
        machine._map(machine.state.areas[number], (0, 0), fails, how)


def _pages(machine: NvidiaMachine, how: int, pick: int) -> None:
    """Small pages one by one, a huge one, and memory between them; and then fewer pages."""
    if machine.state.chip != "gp100":
        _late(machine, how, pick)
        return
    if pick & 16:
        _join(machine, how, pick)
    number = machine._get(draw.Get("addr", bool(pick & 1), 0), 1024, 0, 21)
    if number < 0:
        return
    area = machine.state.areas[number]
    if pick & 2:
        machine._map(area, (32, 16), draw.HOWS[0], pick >> 2)
    first = area.first + pick % 3 * PAGE
    small = {"addr": to_signed(first), "size": 16 * PAGE}
    huge = {"shift": 21, "addr": to_signed(area.first + draw.LARGE), "size": draw.LARGE}
    for args in (small, huge) if how & 1 else (huge, small):
        machine.do("pfn_map", **args, pattern=draw.PATTERNS[how % 3])
    if pick & 4:
        machine.do("pfn_map", **small, pattern=draw.PATTERNS[how])
    if pick & 32:
        machine.do("put", vma=number)
        return
    for place, size in (draw.FEWER[how], draw.FEWER[(how + 5) % len(draw.FEWER)]):
        machine.do("pfn_unmap", addr=to_signed(area.first + place), size=size)


def _across(machine: NvidiaMachine, how: int, pick: int) -> None:
    """Pages one by one in two areas, by calls that are about both."""
    if machine.state.chip != "gp100":
        _share(machine, how, pick)
        return
    kinds = (draw.Get("addr", bool(pick & 1), 0), draw.Get("addr", bool(pick & 2), 0))
    numbers = [machine._get(kind, 3 + how % 3) for kind in kinds]
    areas = [machine.state.areas[number] for number in numbers if number >= 0]
    if len(areas) < 2:
        return
    low, high = sorted([(area.first, area.last) for area in areas])
    if how & 1:
        for first, _ in (low, high):
            machine.do("pfn_map", addr=to_signed(first), size=2 * PAGE, pattern=0x1)
    both = {"addr": to_signed(low[0] + PAGE), "size": high[1] + 1 - low[0] - PAGE}
    if high[0] - low[1] < draw.LARGE:
        machine.do("pfn_map", **both, pattern=draw.PATTERNS[how])
    if how & 3:
        machine.do("pfn_unmap", **both)


# -- uses of the raw interface --------------------------------------------------------------------


def _raw_args(machine: NvidiaMachine, where: draw.Range, pick: int) -> dict[str, int]:
    """A range: page size, first address, bytes; in one of two cells."""
    shift = machine._shift(where.size)
    span = 1 << shift
    cell = draw.LARGE if pick & 1 and where.size < 3 else 0
    return {
        "shift": shift,
        "addr": cell + where.first * span,
        "size": min(where.pages * span, 2 * machine.state.covers(0)),
    }


def _raw_get(machine: NvidiaMachine, where: draw.Range, pick: int) -> bool:
    args = _raw_args(machine, where, pick)
    fail_at = draw.FAILURES[pick % len(draw.FAILURES)]
    return machine.value("raw_get", **args, fail_at=fail_at) >= 0


def _raw_again(machine: NvidiaMachine, where: draw.Range, pick: int) -> None:
    """References to what is referenced already, several times."""
    runs = [run for counts in machine.state.raw_holds for run in counts.runs]
    if not runs:
        _raw_get(machine, where, 0)
        return
    run = runs[pick % len(runs)]
    shift = int(machine.state.page_list()[run.index].listed)
    for _ in range(1 + pick % 4):
        if machine.state.raw_holds[run.index].least(run.first, run.last) < MOST_HOLDS:
            machine.do("raw_get", shift=shift, addr=run.first, size=run.last + 1 - run.first)


def _raw_map(machine: NvidiaMachine, where: draw.Range, pick: int) -> None:
    """Map where there are references and nothing is mapped."""
    for run in _runs(machine, pick):
        span = 1 << machine.state.page_list()[run.index].shift
        first, last = run.first, run.last
        if pick & 4 and last + 1 - first > span:
            first += span * (pick % ((last + 1 - first) // span))
        if pick & 8:
            last = min(last, first + span - 1)
        over = [one for one in machine.state.raw_parts if one.first <= last and one.last >= first]
        if not over and _raw_map_at(machine, run.index, first, last, pick):
            return


def _runs(machine: NvidiaMachine, pick: int) -> list[Part]:
    """What is referenced, as ranges, beginning with one of them."""
    found = [
        Part(run.first, run.last, run.index, NONE, 0)
        for counts in machine.state.raw_holds
        for run in counts.runs
    ]
    start = pick % max(len(found), 1)
    return found[start:] + found[:start]


def _raw_map_at(machine: NvidiaMachine, index: int, first: int, last: int, pick: int) -> bool:
    page = machine.state.page_list()[index]
    if pick & 32 and page.host:
        machine._new_memory(3 + pick % 3)
    fitting = [
        number
        for number, memory in enumerate(machine.state.memories)
        if (page.vram if memory.target == VRAM else page.host)
        and memory.owned
        and memory.page >= page.shift
        and memory.size >= last + 1 - first
    ]
    if not fitting:
        return False
    kind, ro, priv, vol = draw.ACCESS[pick % len(draw.ACCESS)]
    args = {"shift": int(page.listed), "addr": first, "size": last + 1 - first}
    args.update(memory=fitting[pick % len(fitting)], kind=kind, ro=ro, priv=priv, vol=vol)
    fail_at = draw.FAILURES[pick * 3 % len(draw.FAILURES)]
    return machine.value("raw_map", **args, fail_at=fail_at) >= 0


def _raw_unmap(machine: NvidiaMachine, where: draw.Range, pick: int) -> None:
    """Unmap what is mapped, or a part of it."""
    parts = machine.state.raw_parts
    if not parts:
        _raw_get_map(machine, where, pick)
        return
    part = parts[pick % len(parts)]
    first, last = part.first, part.last
    span = 1 << machine.state.page_list()[part.index].shift
    if pick & 8 and last + 1 - first > span:
        first += span
    _raw_unmap_at(machine, part.index, first, last)


def _raw_unmap_at(machine: NvidiaMachine, index: int, first: int, last: int) -> None:
    inside = any(one.first <= first <= one.last for one in machine.state.regions)
    shift = int(machine.state.page_list()[index].listed)
    size = last + 1 - first
    machine.do("raw_unmap", shift=shift, addr=first, size=size, sparse=int(inside))


def _raw_put(machine: NvidiaMachine, where: draw.Range, pick: int) -> None:
    """Give references back that nothing mapped needs."""
    for run in _runs(machine, pick):
        counts = machine.state.raw_holds[run.index]
        mapped = any(
            one.index == run.index and one.first <= run.last and one.last >= run.first
            for one in machine.state.raw_parts
        )
        if counts.least(run.first, run.last) < (2 if mapped else 1):
            continue
        span = 1 << machine.state.page_list()[run.index].shift
        first, last = run.first, run.last
        if pick & 16 and last + 1 - first > span:
            last = first + span - 1
        shift = int(machine.state.page_list()[run.index].listed)
        machine.do("raw_put", shift=shift, addr=first, size=last + 1 - first)
        return


def _raw_get_map(machine: NvidiaMachine, where: draw.Range, pick: int) -> None:
    args = _raw_args(machine, where, pick)
    first, last = args["addr"], args["addr"] + args["size"] - 1
    over = [one for one in machine.state.raw_parts if one.first <= last and one.last >= first]
    if machine.value("raw_get", **args) >= 0 and not over:
        _raw_map_at(machine, machine.state.index_of(args["shift"]), first, last, pick)


def _raw_replace(machine: NvidiaMachine, where: draw.Range, pick: int) -> None:
    """Another page size takes a mapping's place: references before, unmap, map, put late."""
    parts = machine.state.raw_parts
    if not parts:
        _raw_get_map(machine, where, pick)
        return
    part = parts[pick % len(parts)]
    pages = machine.state.page_list()
    other = len(pages) - 1 if part.index != len(pages) - 1 else len(pages) - 2
    unit = 1 << pages[other].shift
    first, last = part.first // unit * unit, -(-(part.last + 1) // unit) * unit - 1
    size = last + 1 - first
    near = [one for one in parts if one.first <= last and one.last >= first]
    if machine.value("raw_get", shift=int(pages[other].listed), addr=first, size=size) < 0:
        return
    for one in near:
        _raw_unmap_at(machine, one.index, one.first, one.last)
    over = [one for one in machine.state.raw_parts if one.first <= last and one.last >= first]
    if not over:
        _raw_map_at(machine, other, first, last, pick)
    if pick & 1:
        for one in near:
            if machine.state.raw_holds[one.index].least(one.first, one.last) > 0:
                shift = int(pages[one.index].listed)
                machine.do("raw_put", shift=shift, addr=one.first, size=one.last + 1 - one.first)


def _raw_late_put(machine: NvidiaMachine, where: draw.Range, pick: int) -> None:
    """Unmapped, referenced once more, and only then given back."""
    parts = machine.state.raw_parts
    if not parts:
        _raw_get_map(machine, where, pick)
        return
    part = parts[pick % len(parts)]
    shift = int(machine.state.page_list()[part.index].listed)
    args = {"shift": shift, "addr": part.first, "size": part.last + 1 - part.first}
    _raw_unmap_at(machine, part.index, part.first, part.last)
    machine.do("raw_get", **args)
    if machine.state.raw_holds[part.index].least(part.first, part.last) > 0:
        machine.do("raw_put", **args)


def _raw_sparse(machine: NvidiaMachine, where: draw.Range, pick: int) -> None:
    """Make a range sparse in the first cells where nothing is referenced."""
    args = _raw_args(machine, where, pick)
    for base in range(0, 5 * 2 * draw.LARGE, 2 * draw.LARGE):
        first = args["addr"] + base
        last = first + args["size"] - 1
        over = [one for one in machine.state.regions if one.first <= last and one.last >= first]
        if over or _is_held(machine, first, last):
            continue
        if machine.state.sparse_holds(first, args["size"]):
            fail_at = draw.FAILURES[pick % len(draw.FAILURES)]
            machine.do("raw_sparse", addr=first, size=args["size"], ref=1, fail_at=fail_at)
        return


def _is_held(machine: NvidiaMachine, first: int, last: int) -> bool:
    """Whether a page in a range is referenced."""
    return any(
        run.first <= last and run.last >= first
        for counts in machine.state.raw_holds
        for run in counts.runs
    )


def _raw_sparse_map(machine: NvidiaMachine, where: draw.Range, pick: int) -> None:
    """Something is mapped in what is sparse, and unmapped."""
    if not machine.state.regions:
        _raw_sparse(machine, draw.RANGES[11], pick >> 1 << 1)
    if not machine.state.regions:
        return
    region = machine.state.regions[pick % len(machine.state.regions)]
    shift = machine._shift(1 + pick % 2)
    span = 1 << shift
    first = -(-region.first // span) * span
    if first + span - 1 > region.last:
        return
    over = [
        one for one in machine.state.raw_parts if one.first < first + span and one.last >= first
    ]
    machine.do("raw_get", shift=shift, addr=first, size=span)
    if not over:
        _raw_map_at(machine, machine.state.index_of(shift), first, first + span - 1, pick)
    if pick & 4:
        for one in list(machine.state.raw_parts):
            if one.first == first:
                _raw_unmap_at(machine, one.index, one.first, one.last)


def _raw_unsparse(machine: NvidiaMachine, where: draw.Range, pick: int) -> None:
    for region in machine.state.regions:
        over = any(
            one.first <= region.last and one.last >= region.first for one in machine.state.raw_parts
        )
        if not over and not _is_held(machine, region.first, region.last):
            size = region.last + 1 - region.first
            machine.do("raw_sparse", addr=region.first, size=size, ref=0)
            return
    _raw_put(machine, where, pick)


def _raw_swap(machine: NvidiaMachine, where: draw.Range, pick: int) -> None:
    """Small and large pages of one range are referenced, and mapped in turns."""
    pages = machine.state.page_list()
    small, large = len(pages) - 1, len(pages) - 2
    span = 1 << pages[large].shift
    first = (pick % 3) * span
    over = [one for one in machine.state.raw_parts if one.first < first + span]
    if any(one.last >= first for one in over):
        return
    for index in (small, large) if pick & 1 else (large, small):
        machine.do("raw_get", shift=int(pages[index].listed), addr=first, size=span)
    for index in (large, small) if pick & 2 else (small, large):
        if machine.state.raw_holds[index].least(first, first + span - 1) < 1:
            continue
        if _raw_map_at(machine, index, first, first + span - 1, 0) and index != pick % 2:
            _raw_unmap_at(machine, index, first, first + span - 1)
            if pick & 4:
                shift = int(pages[index].listed)
                machine.do("raw_put", shift=shift, addr=first, size=span)


def _raw_huge(machine: NvidiaMachine, where: draw.Range, pick: int) -> None:
    """A page that is an entry of a directory, where there are such: mapped, and given back."""
    pages = machine.state.page_list()
    index = len(pages) - 3
    if index < 0 or not pages[index].vram:
        _raw_get_map(machine, where, pick)
        return
    span = 1 << pages[index].shift
    first = (4 + pick % 3) * span
    last = first + span - 1
    args = {"shift": int(pages[index].listed), "addr": first, "size": span}
    if not any(one.owned and one.page >= pages[index].shift for one in machine.state.memories):
        machine._new_memory(0)
    there = [one for one in machine.state.raw_parts if one.first <= last and one.last >= first]
    if there or _is_held(machine, first, last):
        for one in there:
            _raw_unmap_at(machine, one.index, one.first, one.last)
    else:
        machine.do("raw_get", **args)
        _raw_map_at(machine, index, first, last, 0)
    if pick & 8 and machine.state.raw_holds[index].least(first, last) > 0:
        machine.do("raw_put", **args)


# -- mishaps --------------------------------------------------------------------------------------


def _full(machine: NvidiaMachine, which: int, pick: int) -> None:
    """All that is left of the address space is handed out."""
    holes = machine.state.holes()
    if holes and len(machine.state.areas) < MOST_AREAS:
        first, last = holes[pick % len(holes)]
        machine.do("get", size=last + 1 - first)


def _lack(machine: NvidiaMachine, which: int, pick: int) -> None:
    """Memory is short at each allocation of an operation in turn, until there is enough."""
    state = machine.state
    name, args = "get", {"shift": machine._shift(1 + pick % 2), "size": 17 * draw.LARGE}
    args |= {"getref": 1, "sparse": which // 3 % 2, "align": (29, 21, 38)[pick % 3]}
    if state.raw:
        name, args = ("raw_get", "raw_sparse")[which % 2], {}
        place = (1 + pick) * (draw.CLIENT >> 8)
        while _is_held(machine, place, place + 3 * draw.LARGE - 1):
            place += draw.HALF_GIGA >> 3
        args |= {"addr": place + draw.LARGE, "size": 2 * draw.LARGE}
        if name == "raw_get" or not state.sparse_holds(place, draw.LARGE):
            name = "raw_get"
            args |= {"shift": machine._shift(1 + pick % 2)}
    elif which % 3 and len(state.areas) < MOST_AREAS:
        area = machine._get(draw.Get("addr", which % 2 == 0, 0), 1024, 0, (29, 21, 38)[pick % 3])
        if area < 0:
            return
        name, args = "map", {"vma": area, "memory": machine._memory(pick)}
        if state.chip == "gp100" and pick & 1:
            first = to_signed(state.areas[area].first)
            name, args = "pfn_map", {"addr": first, "size": 513 * PAGE, "pattern": 0x1}
    for number in range(1, 7):
        before = len(machine.session.operations)
        machine.do(name, **args, fail_at=(0, ANY_ALLOCATION)[pick >> 1 & 1] + number)
        done = len(machine.session.operations) > before
        if not done or machine.session.results[-1].result != -errno.ENOMEM:
            break


def _destroy(machine: NvidiaMachine) -> None:
    """The address space goes with what is left in it."""
    while not machine.session.ended:
        operation = machine.promise.giving_back()
        if operation is None:
            break
        before = len(machine.session.operations)
        changed = machine.value(operation.name, **operation.args)
        if changed < 0 or len(machine.session.operations) == before:
            return
    machine.do("destroy")


def _again(machine: NvidiaMachine, which: int, pick: int) -> None:
    """The address space goes, and another comes."""
    _destroy(machine)
    if not machine.state.exists:
        machine._create(machine.spaces[pick % len(machine.spaces)])
        if which % 3 == 0:
            machine.do("replay")
        elif which % 3 == 1:
            (_join_part if pick & 1 else _join)(machine, which, pick)


def _wrong_create(machine: NvidiaMachine, which: int, pick: int) -> None:
    """The address space goes, and another comes, most times at the second attempt only."""
    _destroy(machine)
    if not machine.state.exists:
        wrong = _WRONG_CREATES[which % len(_WRONG_CREATES)]
        machine.do("create", chip=machine.spaces[0].chip, **wrong)
    if not machine.state.exists:
        machine._create(machine.spaces[pick % len(machine.spaces)])


def _boot(machine: NvidiaMachine, which: int, pick: int) -> None:
    """The address space goes, and a small one comes with all its tables."""
    _destroy(machine)
    if not machine.state.exists:
        machine._create(machine.small_spaces[(which + pick) % len(machine.small_spaces)])
        machine.do("boot", fail_at=draw.FAILURES[pick % len(draw.FAILURES)])
        if not machine.state.booted:
            machine.do("boot")


def _slow(machine: NvidiaMachine, which: int, pick: int) -> None:
    _stick(machine, 1 + which * 100, which, pick)


def _stuck(machine: NvidiaMachine, which: int, pick: int) -> None:
    _stick(machine, NONE, which, pick)


def _stick(machine: NvidiaMachine, polls: int, which: int, pick: int) -> None:
    """Something is given back, or used, while the device is slow or stuck."""
    machine.do("stick", polls=polls)
    areas = [one for one in machine._areas() if not one.client]
    if areas and pick & 2:
        machine.do("put", vma=areas[which % len(areas)].number)
    elif machine.state.raw:
        where = draw.RANGES[which % len(draw.RANGES)]
        _raw_get_map(machine, where, pick & 1)
        _raw_unmap(machine, where, pick)
        _raw_put(machine, where, pick)
    else:
        machine._page(pick)
        found = machine._mapped(pick)
        if found is not None and which & 1:
            area, part = found
            machine.do("unmap", vma=area.number, first=part.first - area.first)
        elif found is not None and not found[0].client:
            machine.do("put", vma=found[0].number)
    machine.do("stick", polls=0)


def _join(machine: NvidiaMachine, which: int, pick: int) -> None:
    if machine.state.instance == NONE:
        machine.do("join")


def _join_part(machine: NvidiaMachine, which: int, pick: int) -> None:
    _join(machine, which, pick)
    machine.do("part")


def _replay(machine: NvidiaMachine, which: int, pick: int) -> None:
    machine.do("replay")


def _drop(machine: NvidiaMachine, which: int, pick: int) -> None:
    machine.do("drop", memory=machine._memory(pick))


def _more_memory(machine: NvidiaMachine, which: int, pick: int) -> None:
    machine._new_memory(which)


# -- calls that have to be refused -----------------------------------------------------------------


Wrong = tuple[str, dict[str, int]] | None


def _mistake(machine: NvidiaMachine, mistake: str, which: int, pick: int) -> Wrong:
    """The call that a mistake stands for; None where there is nothing to make it with."""
    simple = _SIMPLE.get(mistake)
    if simple is not None:
        return simple
    state = machine.state
    if mistake in ("drop-again", "no-memory"):
        gone = [number for number, one in enumerate(state.memories) if not one.owned]
        number = gone[which % len(gone)] if gone else len(state.memories) + which
        area = machine._area(pick)
        if mistake == "drop-again" or area is None:
            return "drop", {"memory": number}
        return "map", {"vma": area.number, "memory": number}
    if mistake in ("no-area", "put-again"):
        number = next((n for n in range(state.area_count) if n not in state.areas), which + 300)
        return ("put" if mistake == "put-again" else "map"), {"vma": number}
    if mistake == "boot":
        large = state.end - state.start > LARGEST_BOOT
        return ("boot", {}) if state.booted or large else None
    if mistake in ("join", "part"):
        # What is wrong with it is that it was done already.
        if (state.instance == NONE) == (mistake == "join"):
            machine.do(mistake)
        return mistake, {}
    if mistake == "not-sparse":
        return None if machine._can_be_sparse() else ("get", {"sparse": 1, "getref": which % 2})
    if mistake.startswith(("pfn", "raw")):
        return _wrong_range(state, mistake, which)
    area = machine._area(pick)
    return None if area is None else _wrong_map(machine, area, mistake, which, pick)


def _wrong_range(state: NvidiaState, mistake: str, which: int) -> Wrong:
    if mistake == "pfn-nowhere":
        holes = state.holes()
        if not holes:
            return None
        name = "pfn_map" if state.chip == "gp100" and which % 2 else "pfn_unmap"
        return name, {"addr": to_signed(holes[-1][0]), "size": PAGE}
    if mistake == "raw-elsewhere":
        names = ("raw_get", "raw_put", "raw_map", "raw_unmap", "raw_sparse")
        return names[which % 5], {"addr": to_signed(draw.CLIENT + which * PAGE), "size": PAGE}
    if mistake == "raw-shift":
        return "raw_get", {"shift": 13 + which % 3, "size": 1 << 16}
    return "raw_get", {"size": 0}


def _wrong_map(machine: NvidiaMachine, area: Area, mistake: str, which: int, pick: int) -> Wrong:
    state = machine.state
    size = area.last + 1 - area.first
    number = machine._memory(pick)
    if not 0 <= number < len(state.memories):
        return None
    whole = {"vma": area.number, "memory": number}
    if mistake == "beyond":
        return "map_part", {**whole, "size": PAGE, "offset": state.memories[number].size}
    if mistake == "kind":
        return "map_part", {**whole, "size": min(PAGE, size), "kind": 0xFF}
    if mistake == "beyond-area":
        return "map_part", {**whole, "first": to_signed(size - PAGE), "size": 2 * PAGE}
    if mistake in ("kind-again", "over", "unmap-inside"):
        found = machine._mapped(pick)
        if found is None:
            return None
        area, part = found
        first = part.first - area.first
        if mistake == "unmap-inside":
            return "unmap", {"vma": area.number, "first": first + PAGE // 2}
        over = {"vma": area.number, "memory": number, "first": first}
        if mistake == "over":
            return "map_part", {**over, "first": first + PAGE, "size": part.last - part.first + 1}
        return "map_part", {**over, "size": part.last + 1 - part.first, "kind": 0xFF}
    if mistake == "not-mapped":
        return "unmap", {"vma": area.number, "first": to_signed(size - PAGE)}
    if mistake == "host-large":
        host = [n for n, one in enumerate(state.memories) if one.owned and one.target != VRAM]
        large = [one for one in machine._areas() if one.index == len(state.page_list()) - 2]
        if not host or not large:
            return None
        return "map", {"vma": large[which % len(large)].number, "memory": host[0]}
    if mistake == "lazy-part":
        lazy = [one for one in machine._areas() if not one.mapref and one.refd == NONE]
        if not lazy:
            return None
        return "map_part", {"vma": lazy[0].number, "memory": number, "first": PAGE, "size": PAGE}
    return None


_SIMPLE: Mapping[str, tuple[str, dict[str, int]]] = {
    "no-size": ("get", {"size": 0}),
    "lazy-sparse": ("get", {"mapref": 0, "sparse": 1}),
    "no-shift": ("get", {"getref": 1}),
    "shift": ("get", {"shift": 13, "size": 1 << 16}),
    "askew-size": ("get", {"shift": 16, "size": 0x11000}),
    "too-much": ("get", {"size": 1 << 50}),
    "memory": ("memory", {"size": 0x1800}),
    "memory-target": ("memory", {"target": 3}),
    "pfn-shift": ("pfn_map", {"shift": 16, "size": 1 << 16}),
    "pfn-askew": ("pfn_map", {"addr": 0x800}),
    "pfn-outside": ("pfn_map", {"addr": to_signed(1 << 50)}),
    "pfn-many": ("pfn_map", {"size": (MOST_PAGES + 1) * PAGE}),
}
"""Mistakes that nothing has to be there for."""

_STORIES: Mapping[str, Callable[[NvidiaMachine, int, int], None]] = {
    "small-in-sparse": _small_in_sparse,
    "large-in-sparse": _large_in_sparse,
    "both-in-sparse": _both_in_sparse,
    "share": _share,
    "share-map": _share_map,
    "huge": _huge,
    "late": _late,
    "other-size": _other_size,
    "remap": _remap,
    "fill": _fill,
    "parents": _parents,
    "hole": _hole,
    "two-lazy": _two_lazy,
    "short": _short,
    "pages": _pages,
    "across": _across,
}

_RAWS: Mapping[str, Callable[[NvidiaMachine, draw.Range, int], object]] = {
    "get": _raw_get,
    "again": _raw_again,
    "map": _raw_map,
    "unmap": _raw_unmap,
    "put": _raw_put,
    "get-map": _raw_get_map,
    "replace": _raw_replace,
    "late-put": _raw_late_put,
    "sparse": _raw_sparse,
    "sparse-map": _raw_sparse_map,
    "unsparse": _raw_unsparse,
    "swap": _raw_swap,
    "huge": _raw_huge,
}

_WRONG_CREATES: tuple[dict[str, int], ...] = (
    {"managed": 1, "start": -PAGE, "size": 2 * PAGE},
    {"start": to_signed(1 << 50)},
    {"managed": 1, "size": 1 << 50},
    {"fail_at": 1},
    {"fail_at": 1001},
    {"start": 2 * PAGE, "size": -PAGE},
    {"fail_at": 1002},
    {"fail_at": 1003},
    {"managed": 1, "start": PAGE, "size": PAGE, "fail_at": 1005},
)
"""What an address space cannot be made with, or may not be."""

_MISHAPS: Mapping[str, Callable[[NvidiaMachine, int, int], None]] = {
    "slow": _slow,
    "stuck": _stuck,
    "join": _join,
    "join-part": _join_part,
    "boot": _boot,
    "replay": _replay,
    "destroy": _again,
    "again": _again,
    "wrong-create": _wrong_create,
    "drop": _drop,
    "memory": _more_memory,
    "full": _full,
    "lack": _lack,
}


def machine_class(traits: dict[str, tuple[str, ...]]) -> type[NvidiaMachine]:
    """The machine for targets with these traits: with the chips and interfaces that they have.

    Raises:
        ValueError: they have no chip that there is.
    """

    def there(spaces: tuple[draw.Space, ...]) -> tuple[draw.Space, ...]:
        chips: tuple[str, ...] = traits.get("chip", CHIPS)
        raws: tuple[str | int, ...] = traits.get("raw", (0, 1))
        return tuple(
            one for one in spaces if one.chip in chips and (one.mode != "raw" or 1 in raws)
        )

    if not there(draw.SPACES):
        raise ValueError(f"chip is {traits['chip']!r}; allowed are {', '.join(CHIPS)}")

    class Machine(NvidiaMachine):
        spaces = there(draw.SPACES)
        small_spaces = there(draw.SMALL_SPACES)

    return Machine
