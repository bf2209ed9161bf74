"""The stateful machine of system ``nvidia``: it draws operations, and judges nothing.

A step draws a number or two, looks at what is there, and does what they stand for: areas that
come and go, memory that is mapped in parts of them, pages one by one, references and maps of
the raw interface apart from each other. One in which nothing changed goes on with a map of a
page, so that no draw comes to nothing.
"""

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from conformance.systems.nvidia.operations import (
    ANY_ALLOCATION,
    CHIPS,
    LARGEST_BOOT,
    MOST_PAGES,
    SPECS,
)
from conformance.systems.nvidia.session import NvidiaSession, giving_back, is_misuse
from reference.operations import Operation, make
from reference.systems.nvidia.physical_layout import VRAM
from reference.systems.nvidia.state import NONE, Area, NvidiaState, Part
from reference.words import to_signed
from strategies import nvidia as draw

PAGE = draw.PAGE
MOST_AREAS = 24
MOST_MEMORIES = 12
MOST_HOLDS = 200
"""References that the raw interface holds at most to one page."""


class NvidiaMachine(RuleBasedStateMachine):
    """Generates operations for one session. A generated subclass gives ``start``."""

    spaces: tuple[draw.Space, ...] = draw.SPACES
    small_spaces: tuple[draw.Space, ...] = draw.SMALL_SPACES
    """What the target has of them."""

    def __init__(self) -> None:
        super().__init__()
        self.session: NvidiaSession = self.start()
        self.changed = False

    def start(self) -> NvidiaSession:
        """A fresh session; given by the generated subclass."""
        raise TypeError("start is missing; make subclasses with conformance.engine")

    def fail(self, violation: object) -> None:
        """Raise for a new violation; given by the generated subclass."""

    def do(self, name: str, **args: int | str) -> int:
        """Do one operation, words held; the value that it gave back, -1 if it failed.

        What is a misuse is not done.
        """
        operation = Operation(name, {**_DEFAULTS[name], **args})
        if self.session.ended or is_misuse(self.state, operation):
            return -1
        outcome = self.session.run(operation)
        # What broke a rule was undone.
        self.changed = self.changed or (outcome.changed and not outcome.violations)
        if outcome.fresh:
            self.fail(outcome.fresh[0])
        done = outcome.result.finished and outcome.result.result == 0 and outcome.changed
        return outcome.result.value if done and not outcome.violations else -1

    def teardown(self) -> None:
        """End the example: everything is destroyed, and must be given back."""
        outcome = self.session.finish()
        if outcome is not None and outcome.fresh:
            self.fail(outcome.fresh[0])

    @property
    def state(self) -> NvidiaState:
        """What is known of the address space."""
        return self.session.state

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
        if len(self.state.areas) >= MOST_AREAS or self.do("get", size=PAGE) < 0:
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
        return self.do(
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
        value = self.do(
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

    def _in_sparse(self, how: int, pick: int, parts: tuple[tuple[int, int], ...]) -> None:
        """A sparse area in which parts are mapped, and some unmapped in another order."""
        number = self._get(draw.Get("addr", True, how % 3 // 2), 512 + 32 * (how & 1), 0, 21)
        if number < 0:
            return
        area = self.state.areas[number]
        for part in parts[how % len(parts) :] + parts[: how % len(parts)]:
            self._map(area, part, draw.HOWS[0], 0)
        for _ in range(1 + how % 3):
            mapped = [one for one in area.parts if one.memory != NONE]
            if mapped:
                one = mapped[(pick + how) % len(mapped)]
                self.do("unmap", vma=number, first=one.first - area.first)
        if how & 4:
            self.do("put", vma=number)

    def _small_in_sparse(self, how: int, pick: int) -> None:
        self._in_sparse(how, pick, ((1, 1), (3, 2), (31, 3)))

    def _large_in_sparse(self, how: int, pick: int) -> None:
        self._in_sparse(how, pick, ((0, 32), (64, 32), (96, 32)))

    def _both_in_sparse(self, how: int, pick: int) -> None:
        self._in_sparse(how, pick, ((1, 1), (32, 32), (65, 2), (96, 32)))

    def _share(self, how: int, pick: int) -> None:
        """Areas of small pages in one large entry, given back in some order."""
        kinds = (draw.Get("ptes", False, 1), draw.Get("addr", False, 1), draw.Get("ptes", True, 1))
        numbers = [self._get(kinds[(how + i) % 3], 1 + (pick + i) % 5) for i in range(3)]
        for number in numbers:
            if number >= 0 and how & 1:
                self._map(self.state.areas[number], (0, 0), draw.HOWS[0], 0)
        for number in (numbers if how & 2 else numbers[::-1])[: 1 + how % 3]:
            if number in self.state.areas:
                self.do("put", vma=number)

    def _share_map(self, how: int, pick: int) -> None:
        """An area of large pages that ends in the directory entry in which small ones follow."""
        large = draw.Get("ptes" if how & 1 else "addr", bool(how & 2), 2)
        first = self._get(large, 32, 0, 21)
        second = self._get(draw.Get("addr", bool(how & 4), 0), 33 + pick % 7)
        for number in (first, second) if how & 1 else (second, first):
            if number >= 0:
                self._map(self.state.areas[number], (0, 0), draw.HOWS[0], 0)
        for number in (first, second) if pick & 1 else (second, first):
            if number in self.state.areas and how != 5:
                self.do("put", vma=number)

    def _huge(self, how: int, pick: int) -> None:
        """A whole cell is one page, where there are such pages; and what comes before or after."""
        large = [
            number
            for number, one in enumerate(self.state.memories)
            if one.owned and one.page >= 21 and one.size >= 2 * draw.LARGE
        ]
        memory = large[0] if large else self._new_memory(0)
        flavour = ("addr", "ptes", "addr", "lazy")[how & 3]
        one = draw.Get(flavour, flavour != "lazy" and how & 4 != 0, 3 if how & 3 == 1 else 0)
        number = self._get(one, 512 * (1 + pick % 2), 0, 21)
        if memory < 0 or number < 0:
            return
        if pick % 3 and flavour == "addr":
            self._map(self.state.areas[number], draw.PARTS[3 + pick % 8], draw.HOWS[0], pick)
            if self.state.areas[number].parts:
                first = self.state.areas[number].parts[0].first
                self.do("unmap", vma=number, first=first - self.state.areas[number].first)
        self.do("map", vma=number, memory=memory)
        if pick & 2:
            self.do("unmap", vma=number)
            self._map(self.state.areas[number], draw.PARTS[pick % 20], draw.HOWS[0], pick >> 2)
        if how & 8:
            self.do("put", vma=number)

    def _late(self, how: int, pick: int) -> None:
        """Given back, and handed out again as something else."""
        number = self._get(draw.Get("lazy" if how & 1 else "addr", False, 0), 512, 0, 21)
        if number < 0:
            return
        self._map(self.state.areas[number], (0, 0), draw.HOWS[0], how)
        self.do("put", vma=number)
        kind = draw.GETS[(how + pick) % len(draw.GETS)]
        again = self._get(kind, 512, 0, 21)
        if again >= 0:
            self._map(self.state.areas[again], (0, 0), draw.HOWS[0], how >> 1)

    def _other_size(self, how: int, pick: int) -> None:
        """The same area with memory whose pages are larger or smaller than before."""
        number = self._get(draw.Get("addr", bool(how & 1), 0), 512, 0, 21)
        if number < 0:
            return
        for i in range(3):
            area = self.state.areas.get(number)
            if area is None:
                return
            self._map(area, ((0, 0), (0, 512), (0, 32))[(how + i) % 3], draw.HOWS[0], pick + i)
            if area.parts and how & 2:
                self.do("unmap", vma=number, first=area.parts[0].first - area.first)

    def _remap(self, how: int, pick: int) -> None:
        """What is mapped is mapped over with another memory."""
        found = self._mapped(pick)
        if found is not None:
            area, part = found
            first = (part.first - area.first) // PAGE
            self._map(area, (first, 1), draw.HOWS[how * 7 % len(draw.HOWS)], how)

    def _fill(self, how: int, pick: int) -> None:
        """Every small page of a large one is referenced more than once: sparse, and mapped."""
        shift = self._shift(2)
        self._get(draw.Get("ptes", False, 2), 1, 0, 21)
        pages = (1 << shift) // PAGE
        split = 1 + (how + pick) % (pages - 1)
        for count in (split, pages - split):
            number = self._get(draw.Get("addr", True, 0), count)
            if number >= 0:
                self._map(self.state.areas[number], (0, 0), draw.HOWS[0], 0)

    def _parents(self, how: int, pick: int) -> None:
        """A sparse area as large as a whole table, and something mapped in it."""
        span = self.state.covers(how % 3)
        if self.state.chip != "gp100":
            span = min(span, draw.HALF_GIGA * 2)
        shift = span.bit_length() - 1
        number = self._get(draw.Get("addr", True, 0), span // PAGE, 0, shift)
        if number >= 0:
            area = self.state.areas[number]
            for i in range(1 + how % 3):
                self._map(area, draw.PARTS[(how + i * 3 + pick) % len(draw.PARTS)], draw.HOWS[0], i)

    def _hole(self, how: int, pick: int) -> None:
        """Parts of an area are mapped, and the middle unmapped and mapped again."""
        number = self._get(draw.Get("addr" if how & 1 else "ptes", bool(how & 2), 1), 48)
        if number < 0:
            return
        area = self.state.areas[number]
        for first, count in ((0, 16), (16, 16), (32, 16)):
            self._map(area, (first, count), draw.HOWS[0], 0)
        self.do("unmap", vma=number, first=16 * PAGE)
        self._map(area, ((16, 1), (20, 8), (31, 1))[pick % 3], draw.HOWS[0], how)
        if how & 4:
            self.do("put", vma=number)

    def _two_lazy(self, how: int, pick: int) -> None:
        """An area that gets its references by its first map, and parts of it afterwards."""
        number = self._get(draw.Get("lazy", False, how % 3), 32)
        if number < 0:
            return
        area = self.state.areas[number]
        self._map(area, (0, 0), draw.HOWS[0], how)
        if area.parts:
            self.do("unmap", vma=number)
            if how & 4:
                self.do("put", vma=number)
            else:
                self._map(area, draw.PARTS[(how + pick) % len(draw.PARTS)], draw.HOWS[0], how)

    def _short(self, how: int, pick: int) -> None:
        """A map goes on in a cell for whose table there is no memory; the one before it stays."""
        self._get(draw.Get("ptes", False, 1), 1 + pick % 3, 0, 21)
        number = self._get(draw.Get("addr", bool(how & 1), 0), 512 + 32 * (pick & 1))
        if number >= 0:
            fails = draw.How(0, draw.ACCESS[0], 1 + how % 4)
            self._map(self.state.areas[number], (0, 0), fails, how)

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

    def _raw_args(self, where: draw.Range, pick: int) -> dict[str, int]:
        """A range: page size, first address, bytes; in one of two cells."""
        shift = self._shift(where.size)
        span = 1 << shift
        cell = draw.LARGE if pick & 1 and where.size < 3 else 0
        return {
            "shift": shift,
            "addr": cell + where.first * span,
            "size": min(where.pages * span, 2 * self.state.covers(0)),
        }

    def _raw_get(self, where: draw.Range, pick: int) -> bool:
        args = self._raw_args(where, pick)
        fail_at = draw.FAILURES[pick % len(draw.FAILURES)]
        return self.do("raw_get", **args, fail_at=fail_at) >= 0

    def _raw_again(self, where: draw.Range, pick: int) -> None:
        """References to what is referenced already, several times."""
        runs = [run for counts in self.state.raw_holds for run in counts.runs]
        if not runs:
            self._raw_get(where, 0)
            return
        run = runs[pick % len(runs)]
        shift = int(self.state.page_list()[run.index].listed)
        for _ in range(1 + pick % 4):
            if self.state.raw_holds[run.index].least(run.first, run.last) < MOST_HOLDS:
                self.do("raw_get", shift=shift, addr=run.first, size=run.last + 1 - run.first)

    def _raw_map(self, where: draw.Range, pick: int) -> None:
        """Map where there are references and nothing is mapped."""
        for run in self._runs(pick):
            span = 1 << self.state.page_list()[run.index].shift
            first, last = run.first, run.last
            if pick & 4 and last + 1 - first > span:
                first += span * (pick % ((last + 1 - first) // span))
            if pick & 8:
                last = min(last, first + span - 1)
            over = [one for one in self.state.raw_parts if one.first <= last and one.last >= first]
            if not over and self._raw_map_at(run.index, first, last, pick):
                return

    def _runs(self, pick: int) -> list[Part]:
        """What is referenced, as ranges, beginning with one of them."""
        found = [
            Part(run.first, run.last, run.index, NONE, 0)
            for counts in self.state.raw_holds
            for run in counts.runs
        ]
        start = pick % max(len(found), 1)
        return found[start:] + found[:start]

    def _raw_map_at(self, index: int, first: int, last: int, pick: int) -> bool:
        page = self.state.page_list()[index]
        for number, memory in enumerate(self.state.memories):
            fits = page.vram if memory.target == VRAM else page.host
            if not (fits and memory.owned and memory.page >= page.shift):
                continue
            if last + 1 - first > memory.size or (number < pick % 3 and page.host):
                continue
            kind, ro, priv, vol = draw.ACCESS[pick % len(draw.ACCESS)]
            args = {"shift": int(page.listed), "addr": first, "size": last + 1 - first}
            args.update(memory=number, kind=kind, ro=ro, priv=priv, vol=vol)
            return self.do("raw_map", **args) >= 0
        return False

    def _raw_unmap(self, where: draw.Range, pick: int) -> None:
        """Unmap what is mapped, or a part of it."""
        parts = self.state.raw_parts
        if not parts:
            self._raw_get_map(where, pick)
            return
        part = parts[pick % len(parts)]
        first, last = part.first, part.last
        span = 1 << self.state.page_list()[part.index].shift
        if pick & 8 and last + 1 - first > span:
            first += span
        self._raw_unmap_at(part.index, first, last)

    def _raw_unmap_at(self, index: int, first: int, last: int) -> None:
        inside = any(one.first <= first <= one.last for one in self.state.regions)
        shift = int(self.state.page_list()[index].listed)
        size = last + 1 - first
        self.do("raw_unmap", shift=shift, addr=first, size=size, sparse=int(inside))

    def _raw_put(self, where: draw.Range, pick: int) -> None:
        """Give references back that nothing mapped needs."""
        for run in self._runs(pick):
            counts = self.state.raw_holds[run.index]
            mapped = any(
                one.index == run.index and one.first <= run.last and one.last >= run.first
                for one in self.state.raw_parts
            )
            if counts.least(run.first, run.last) < (2 if mapped else 1):
                continue
            span = 1 << self.state.page_list()[run.index].shift
            first, last = run.first, run.last
            if pick & 16 and last + 1 - first > span:
                last = first + span - 1
            shift = int(self.state.page_list()[run.index].listed)
            self.do("raw_put", shift=shift, addr=first, size=last + 1 - first)
            return

    def _raw_get_map(self, where: draw.Range, pick: int) -> None:
        args = self._raw_args(where, pick)
        first, last = args["addr"], args["addr"] + args["size"] - 1
        over = [one for one in self.state.raw_parts if one.first <= last and one.last >= first]
        if self.do("raw_get", **args) >= 0 and not over:
            self._raw_map_at(self.state.index_of(args["shift"]), first, last, pick)

    def _raw_replace(self, where: draw.Range, pick: int) -> None:
        """Another page size takes a mapping's place: references before, unmap, map, put late."""
        parts = self.state.raw_parts
        if not parts:
            self._raw_get_map(where, pick)
            return
        part = parts[pick % len(parts)]
        pages = self.state.page_list()
        other = len(pages) - 1 if part.index != len(pages) - 1 else len(pages) - 2
        unit = 1 << pages[other].shift
        first, last = part.first // unit * unit, -(-(part.last + 1) // unit) * unit - 1
        size = last + 1 - first
        near = [one for one in parts if one.first <= last and one.last >= first]
        if self.do("raw_get", shift=int(pages[other].listed), addr=first, size=size) < 0:
            return
        for one in near:
            self._raw_unmap_at(one.index, one.first, one.last)
        over = [one for one in self.state.raw_parts if one.first <= last and one.last >= first]
        if not over:
            self._raw_map_at(other, first, last, pick)
        if pick & 1:
            for one in near:
                if self.state.raw_holds[one.index].least(one.first, one.last) > 0:
                    shift = int(pages[one.index].listed)
                    self.do("raw_put", shift=shift, addr=one.first, size=one.last + 1 - one.first)

    def _raw_late_put(self, where: draw.Range, pick: int) -> None:
        """Unmapped, referenced once more, and only then given back."""
        parts = self.state.raw_parts
        if not parts:
            self._raw_get_map(where, pick)
            return
        part = parts[pick % len(parts)]
        shift = int(self.state.page_list()[part.index].listed)
        args = {"shift": shift, "addr": part.first, "size": part.last + 1 - part.first}
        self._raw_unmap_at(part.index, part.first, part.last)
        self.do("raw_get", **args)
        if self.state.raw_holds[part.index].least(part.first, part.last) > 0:
            self.do("raw_put", **args)

    def _raw_sparse(self, where: draw.Range, pick: int) -> None:
        """Make a range sparse in the first cells where nothing is referenced."""
        args = self._raw_args(where, pick)
        for base in range(0, 5 * 2 * draw.LARGE, 2 * draw.LARGE):
            first = args["addr"] + base
            last = first + args["size"] - 1
            over = [one for one in self.state.regions if one.first <= last and one.last >= first]
            if over or self._is_held(first, last):
                continue
            if self.state.sparse_holds(first, args["size"]):
                fail_at = draw.FAILURES[pick % len(draw.FAILURES)]
                self.do("raw_sparse", addr=first, size=args["size"], ref=1, fail_at=fail_at)
            return

    def _is_held(self, first: int, last: int) -> bool:
        """Whether a page in a range is referenced."""
        return any(
            run.first <= last and run.last >= first
            for counts in self.state.raw_holds
            for run in counts.runs
        )

    def _raw_sparse_map(self, where: draw.Range, pick: int) -> None:
        """Something is mapped in what is sparse, and unmapped."""
        if not self.state.regions:
            self._raw_sparse(draw.RANGES[11], pick >> 1 << 1)
        if not self.state.regions:
            return
        region = self.state.regions[pick % len(self.state.regions)]
        shift = self._shift(1 + pick % 2)
        span = 1 << shift
        first = -(-region.first // span) * span
        if first + span - 1 > region.last:
            return
        over = [
            one for one in self.state.raw_parts if one.first < first + span and one.last >= first
        ]
        self.do("raw_get", shift=shift, addr=first, size=span)
        if not over:
            self._raw_map_at(self.state.index_of(shift), first, first + span - 1, pick)
        if pick & 4:
            for one in list(self.state.raw_parts):
                if one.first == first:
                    self._raw_unmap_at(one.index, one.first, one.last)

    def _raw_unsparse(self, where: draw.Range, pick: int) -> None:
        for region in self.state.regions:
            over = any(
                one.first <= region.last and one.last >= region.first
                for one in self.state.raw_parts
            )
            if not over and not self._is_held(region.first, region.last):
                size = region.last + 1 - region.first
                self.do("raw_sparse", addr=region.first, size=size, ref=0)
                return
        self._raw_put(where, pick)

    def _raw_swap(self, where: draw.Range, pick: int) -> None:
        """Small and large pages of one range are referenced, and mapped in turns."""
        pages = self.state.page_list()
        small, large = len(pages) - 1, len(pages) - 2
        span = 1 << pages[large].shift
        first = (pick % 3) * span
        over = [one for one in self.state.raw_parts if one.first < first + span]
        if any(one.last >= first for one in over):
            return
        for index in (small, large) if pick & 1 else (large, small):
            self.do("raw_get", shift=int(pages[index].listed), addr=first, size=span)
        for index in (large, small) if pick & 2 else (small, large):
            if self.state.raw_holds[index].least(first, first + span - 1) < 1:
                continue
            if self._raw_map_at(index, first, first + span - 1, 0) and index != pick % 2:
                self._raw_unmap_at(index, first, first + span - 1)
                if pick & 4:
                    shift = int(pages[index].listed)
                    self.do("raw_put", shift=shift, addr=first, size=span)

    # -- what else happens --------------------------------------------------------------------

    @rule(pick=draw.picks, what=draw.mishaps.numbers)
    def mishap(self, pick: int, what: int) -> None:
        """Something happens to device, address space or memories."""
        name, which = draw.mishaps.pair(what)
        with self._step(pick):
            self._mishap(name, which, pick)

    def _mishap(self, name: str, which: int, pick: int) -> None:
        if name in ("slow", "stuck"):
            self.do("stick", polls=1 + which * 100 if name == "slow" else NONE)
            areas = [one for one in self._areas() if not one.client]
            if areas and pick & 2:
                self.do("put", vma=areas[which % len(areas)].number)
            elif self.state.raw:
                where = draw.RANGES[which % len(draw.RANGES)]
                self._raw_get_map(where, pick & 1)
                self._raw_unmap(where, pick)
                self._raw_put(where, pick)
            else:
                self._page(pick)
                found = self._mapped(pick)
                if found is not None and which & 1:
                    self.do("unmap", vma=found[0].number, first=found[1].first - found[0].first)
                elif found is not None and not found[0].client:
                    self.do("put", vma=found[0].number)
            self.do("stick", polls=0)
        elif name in ("join", "join-part"):
            if self.state.instance == NONE:
                self.do("join")
            if name == "join-part":
                self.do("part")
        elif name == "boot":
            self._destroy(name, which)
            if not self.state.exists:
                self._create(self.small_spaces[(which + pick) % len(self.small_spaces)])
                self.do("boot", fail_at=draw.FAILURES[pick % len(draw.FAILURES)])
                if not self.state.booted:
                    self.do("boot")
        elif name == "replay":
            self.do("replay")
        elif name in ("destroy", "wrong-create", "again"):
            self._destroy(name, which)
            if not self.state.exists:
                self._create(self.spaces[pick % len(self.spaces)])
        elif name == "drop":
            self.do("drop", memory=self._memory(pick))
        elif name == "memory":
            self._new_memory(which)
        elif name == "full":
            self._full(pick)
        elif name == "lack":
            self._lack(which, pick)

    def _full(self, pick: int) -> None:
        """All that is left of the address space is handed out."""
        holes = self.state.holes()
        if holes and len(self.state.areas) < MOST_AREAS:
            first, last = holes[pick % len(holes)]
            self.do("get", size=last + 1 - first)

    def _lack(self, which: int, pick: int) -> None:
        """Memory is short at each allocation of an operation in turn, until there is enough."""
        state = self.state
        name, args = "get", {"shift": self._shift(1 + pick % 2), "size": 17 * draw.LARGE}
        args |= {"getref": 1, "sparse": which // 3 % 2, "align": (29, 21, 38)[pick % 3]}
        if state.raw:
            name, args = ("raw_get", "raw_sparse")[which % 2], {}
            place = (1 + pick) * (draw.CLIENT >> 8)
            while self._is_held(place, place + 3 * draw.LARGE - 1):
                place += draw.HALF_GIGA >> 3
            args |= {"addr": place + draw.LARGE, "size": 2 * draw.LARGE}
            if name == "raw_get" or not state.sparse_holds(place, draw.LARGE):
                name = "raw_get"
                args |= {"shift": self._shift(1 + pick % 2)}
        elif which % 3 and len(state.areas) < MOST_AREAS:
            area = self._get(draw.Get("addr", which % 2 == 0, 0), 1024, 0, (29, 21, 38)[pick % 3])
            if area < 0:
                return
            name, args = "map", {"vma": area, "memory": self._memory(pick)}
            if state.chip == "gp100" and pick & 1:
                first = to_signed(state.areas[area].first)
                name, args = "pfn_map", {"addr": first, "size": 513 * PAGE, "pattern": 0x1}
        for number in range(1, 7):
            before = len(self.session.operations)
            self.do(name, **args, fail_at=(0, ANY_ALLOCATION)[pick >> 1 & 1] + number)
            done = len(self.session.operations) > before
            if not done or self.session.results[-1].result != -errno.ENOMEM:
                break

    def _destroy(self, name: str, which: int) -> None:
        """The address space goes with what is left in it; sometimes none can be made then."""
        while not self.session.ended:
            operation = giving_back(self.state)
            if operation is None:
                break
            before = len(self.session.operations)
            changed = self.do(operation.name, **operation.args)
            if changed < 0 or len(self.session.operations) == before:
                return
        self.do("destroy")
        if self.state.exists:
            return
        if name == "wrong-create":
            wrong: tuple[dict[str, int], ...] = (
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
            self.do("create", chip=self.spaces[0].chip, **wrong[which % len(wrong)])

    # -- calls that have to be refused --------------------------------------------------------

    @rule(pick=draw.picks, what=draw.mistakes.numbers)
    def mistake(self, pick: int, what: int) -> None:
        """A call that has to be refused, and changes nothing."""
        mistake, which = draw.mistakes.pair(what)
        with self._step(pick):
            found = _mistake(self, mistake, which, pick)
            if found is not None:
                self.do(found[0], **found[1])


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
    "small-in-sparse": NvidiaMachine._small_in_sparse,
    "large-in-sparse": NvidiaMachine._large_in_sparse,
    "both-in-sparse": NvidiaMachine._both_in_sparse,
    "share": NvidiaMachine._share,
    "share-map": NvidiaMachine._share_map,
    "huge": NvidiaMachine._huge,
    "late": NvidiaMachine._late,
    "other-size": NvidiaMachine._other_size,
    "remap": NvidiaMachine._remap,
    "fill": NvidiaMachine._fill,
    "parents": NvidiaMachine._parents,
    "hole": NvidiaMachine._hole,
    "two-lazy": NvidiaMachine._two_lazy,
    "short": NvidiaMachine._short,
}

_RAWS: Mapping[str, Callable[[NvidiaMachine, draw.Range, int], object]] = {
    "get": NvidiaMachine._raw_get,
    "again": NvidiaMachine._raw_again,
    "map": NvidiaMachine._raw_map,
    "unmap": NvidiaMachine._raw_unmap,
    "put": NvidiaMachine._raw_put,
    "get-map": NvidiaMachine._raw_get_map,
    "replace": NvidiaMachine._raw_replace,
    "late-put": NvidiaMachine._raw_late_put,
    "sparse": NvidiaMachine._raw_sparse,
    "sparse-map": NvidiaMachine._raw_sparse_map,
    "unsparse": NvidiaMachine._raw_unsparse,
    "swap": NvidiaMachine._raw_swap,
}

_DEFAULTS: Mapping[str, Mapping[str, int | str]] = {name: make(name, SPECS).args for name in SPECS}


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
