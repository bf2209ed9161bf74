"""The stateful machine of system ``dart``: it draws operations, and judges nothing.

A step draws two numbers, looks at what is there, and does what they stand for. One in which nothing
changed goes on with a map, so that no draw comes to nothing. No step leaves units asleep: what
comes between is part of the step.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

from hypothesis.stateful import initialize, rule

from conformance.machine import Machine
from reference.systems.dart.promise import (
    DMA,
    IDENTITY,
    LIMIT_DEVICES,
    NONE,
    UNMANAGED,
    DartPromise,
    DartState,
    KnownDevice,
    KnownDomain,
    KnownGroup,
)
from strategies import dart as draw

MOST_DEVICES = 8
MOST_DOMAINS = 8
PA = 0x8_4000_0000
"""Where buffers lie."""


class DartActor(Machine):
    """What the actions of the machine are made of."""

    @property
    def state(self) -> DartState:
        """What is known of the units."""
        promise: DartPromise = self.session.promise
        return promise.state

    def is_over(self) -> bool:
        """Whether nothing can be done any more."""
        promise: DartPromise = self.session.promise
        return self.session.ended or promise.made is None or promise.made.down

    def _has_changed(self) -> bool:
        """Whether an operation of this step changed anything."""
        return self.changed

    # -- what is there ------------------------------------------------------------------------

    def _devices(self) -> list[int]:
        there = self.state.devices
        return [number for number, one in enumerate(there) if one.group is not None]

    def _device(self, pick: int) -> int:
        """A device that is there; a new one where there is none."""
        found = self._devices()
        if not found:
            self._new_device("one", pick)
            found = self._devices()
        return found[pick % len(found)] if found else 0

    def _group(self, device: int) -> KnownGroup | None:
        one: KnownDevice | None = self.state.device(device)
        return None if one is None else one.group

    def _domains(self, kinds: tuple[int, ...]) -> list[KnownDomain]:
        return [one for one in self.state.domains if one.exists and one.kind in kinds]

    def _domain(self, pick: int) -> KnownDomain | None:
        """A domain that can be mapped in; one that something is attached to, if need be."""
        made = [one for one in self._domains((DMA, UNMANAGED)) if one.made]
        if not made:
            self._attach_somewhere(pick)
            made = [one for one in self._domains((DMA, UNMANAGED)) if one.made]
        return made[pick % len(made)] if made else None

    def _used_domain(self, pick: int) -> KnownDomain | None:
        """A domain that something is attached to."""
        made = self._domains((DMA, UNMANAGED))
        used = [one for one in made if self.state.in_use(one.number)]
        return used[pick % len(used)] if used else self._domain(pick)

    def _attach_somewhere(self, pick: int) -> None:
        """Some device is attached to a new domain with a table, where its units allow that."""
        if all(unit.forced for unit in self.state.units):
            return
        for device in self._devices() or [self._device(pick)]:
            if not self.is_over() and self._translates(device):
                number = self._new_domain(DMA + pick % 2 * (UNMANAGED - DMA))
                if number >= 0 and not self.is_over():
                    self.do("attach", device=device, domain=number)
                return

    def _translates(self, device: int) -> bool:
        """Whether the units of a device, and of its whole group, can do more than bypass it."""
        group = self._group(device)
        if group is None:
            return False
        units = [one.units for one in group.devices]
        forced = any(self.state.units[unit].forced for one in units for unit in one)
        return not forced and all(one == units[0] for one in units)

    def _fits(self, device: int, domain: int) -> bool:
        """Whether a device can be attached to a domain."""
        group, known = self._group(device), self.state.domain(domain)
        if group is None or known is None:
            return False
        if not known.is_paging():
            units = [self.state.units[unit] for one in group.devices for unit in one.units]
            any_way = known.kind != IDENTITY
            return any_way or all(u.device.bypass or self.state.has_window(u) for u in units)
        return self._translates(device) and (
            not known.made or known.units == group.devices[0].units
        )

    def _new_domain(self, kind: int) -> int:
        """Make a domain; the number of one of this kind that is there where there are many."""
        there = self._domains((kind,))
        if len(self._domains((0, 1, 2, 3))) >= MOST_DOMAINS and there:
            return there[-1].number
        before = len(self.state.domains)
        self.do("domain", kind=kind)
        return before if not self.is_over() and len(self.state.domains) > before else -1

    def _page(self, place: int) -> int:
        page = self.state.page
        return place * page % self.state.limit

    def _mapping(self, domain: KnownDomain, pick: int) -> tuple[int, int] | None:
        """First address and pages of something that is mapped."""
        level = int(domain.pages.bottom)
        keys = sorted(domain.pages.entries[level])
        if not keys:
            return None
        index = pick * 7 % len(keys)
        first = index
        while first > 0 and keys[first - 1] == keys[first] - 1 and index - first < 8:
            first -= 1
        last = index
        while last + 1 < len(keys) and keys[last + 1] == keys[last] + 1 and last - index < 8:
            last += 1
        return int(keys[first]) * self.state.page, int(keys[last] - keys[first]) + 1

    # -- mapping ------------------------------------------------------------------------------

    def _free_place(self, domain: KnownDomain, iova: int, pages: int) -> int:
        """An address from ``iova`` on at which so many pages are free, or the first few are."""
        page, limit = self.state.page, self.state.limit
        for _ in range(40):
            last = iova + pages * page - 1
            if last >= limit:
                iova = 0 if iova + page > limit else limit - pages * page
                last = iova + pages * page - 1
            waiting = any(one[0] <= last and one[1] >= iova for one in domain.queued)
            if not waiting and not domain.pages.any_in(iova, last):
                return iova
            iova = (iova + pages * page) % limit
        return -1

    def _map(self, domain: KnownDomain, place: int, shape: draw.Shape, pick: int) -> int:
        """Map at or behind a place; the address, -1 if there was no room."""
        state = self.state
        iova = self._free_place(domain, self._page(place), shape.pages)
        if iova < 0:
            return -1
        top = state.pa_limit - shape.pages * state.page
        pa = (PA, 0, top, PA + 7 * 0x4000)[pick % 4]
        self.do(
            "map", domain=domain.number, iova=iova, size=shape.pages * state.page, pa=pa,
            prot=shape.prot, fail_at=shape.fail_at,
        )  # fmt: skip
        return iova

    # -- devices ------------------------------------------------------------------------------

    def _new_device(self, how: str, pick: int, fail_at: int = 0) -> None:
        if len(self._devices()) >= MOST_DEVICES or len(self.state.devices) >= LIMIT_DEVICES:
            return
        self.do("device", **self._description(how, pick), fail_at=fail_at)

    def _description(self, how: str, pick: int) -> dict[str, int]:
        """Which streams of which units a device has."""
        state = self.state
        probed = [one.number for one in state.units if one.probed] or [0]
        unit = probed[pick % len(probed)]
        others = [number for number in probed if number != unit]
        streams = state.units[unit].device.streams
        free = [one for one in range(streams) if state.group_of(unit, one) is None]
        taken = [one for one in range(streams) if state.group_of(unit, one) is not None]
        stream = free[pick * 5 % len(free)] if free else 0
        args = {"unit": unit, "stream": stream}
        if how.startswith("shared") and taken:
            args["stream"] = taken[pick % len(taken)]
        if how in ("several", "bridge", "shared-two"):
            args["count"] = min(2 + pick % 3, streams - args["stream"])
        if how == "bridge":
            args.update(self._bridge(unit, taken, others, pick))
        if how in ("two-units", "three-units", "shared-other", "two-units-back") and others:
            args.update(unit2=others[0], stream2=(stream + 1) % streams)
            if how == "two-units-back":
                args.update(unit=others[0], unit2=unit)
        if how == "three-units" and len(others) > 1:
            args.update(unit3=others[1], stream3=(stream + 2) % streams)
        return args

    def _bridge(self, unit: int, taken: list[int], others: list[int], pick: int) -> dict[str, int]:
        """Streams that two groups have: beside each other, or of two units; empty for none."""
        state = self.state
        for one in taken:
            after = state.group_of(unit, one + 1) if one + 1 in taken else None
            if after is not None and after is not state.group_of(unit, one):
                return {"stream": one, "count": 2}
        for other in others[pick % 2 :]:
            streams = range(state.units[other].device.streams)
            for stream in streams if taken else ():
                group = state.group_of(other, stream)
                if group is not None and group is not state.group_of(unit, taken[0]):
                    return {"stream": taken[0], "count": 1, "unit2": other, "stream2": stream}
        return {}

    def _is_there(self, unit: int) -> bool:
        return self.state.units[unit].probed

    # -- units --------------------------------------------------------------------------------

    def _stick(self, unit: int, polls: int, after: int = 0) -> None:
        self.do("stick", unit=unit, polls=polls, after=after)

    def _wake(self) -> None:
        """All units work again, whatever they were in the middle of."""
        for unit in self.state.units:
            if unit.device.locked:
                self.do("lock", unit=unit.number, on=0)
        for _ in range(2):
            if not self.is_over() and not self.state.is_awake():
                self.do("resume")

    def _unstick(self) -> None:
        """Units that would never answer again lose power for a moment."""
        if self.is_over():
            return
        for unit in self.state.units:
            if unit.stuck and unit.device.running >= 0:
                self.do("suspend")
                self._wake()
                return

    def _sleep(self) -> None:
        self.do("suspend")


class DartMachine(DartActor):
    """Generates operations for one session."""

    @initialize(which=draw.units)
    def create(self, which: int) -> None:
        """There are units with a few devices, and domains, of which one is attached and mapped."""
        self.do("create", **asdict(draw.UNITS[which]))
        if self.session.promise.made is None:
            return
        for number in range(len(self.state.units)):
            self.do("probe", unit=number)
        self._new_device("one", 0)
        self._new_device("two-units", 2)
        for kind in (DMA, IDENTITY):
            self.do("domain", kind=kind)
        if not self.is_over():
            domain = self._domain(0)
            if domain is not None:
                self._map(domain, 0, draw.SHAPES[3 + which], 0)

    @contextmanager
    def _step(self, pick: int) -> Iterator[None]:
        """What a step does; if nothing changed by it, a map of a page at the end."""
        self.changed = False
        if self.is_over():
            return
        yield
        if self.is_over() or self._has_changed():
            return
        domain = self._domain(pick)
        if domain is not None:
            self._map(domain, pick, draw.SHAPES[0], pick)
        if not self._has_changed() and not self.is_over():
            self.do("domain", kind=IDENTITY)
            number = len(self.state.domains) - 1
            if not self.is_over() and self.state.domain(number) is not None:
                self.do("free", domain=number)

    @rule(pick=draw.picks, what=draw.actions.numbers)
    def act(self, pick: int, what: int) -> None:
        """One of the actions. They are one rule: to choose among many takes long."""
        name, number = draw.actions.pair(what)
        with self._step(pick):
            _ACTIONS[name](self, pick, number % draw.SIZES[name])

    # -- mappings -----------------------------------------------------------------------------

    def map(self, pick: int, what: int) -> None:
        """Map somewhere where nothing is."""
        place, shape = draw.maps.pair(what)
        domain = self._domain(pick)
        if domain is not None:
            self._map(domain, place, shape, pick >> 2)

    def run(self, pick: int, what: int) -> None:
        """Map across the end of a table, and unmap a part across it."""
        place, pages = draw.runs.pair(what)
        domain = self._used_domain(pick)
        if domain is None:
            return
        pages = min(pages, self.state.limit // self.state.page // 2)
        entries = self.state.page // 8
        place = place // entries * entries + entries - 1 - pick % 3
        iova = self._map(domain, place, draw.Shape(pages, draw.PROTS[0], pick % 4), pick)
        if iova >= 0 and pick & 8 and not self.is_over():
            size = pages * self.state.page
            self.do("unmap", domain=domain.number, iova=iova, size=size)

    def unmap(self, pick: int, what: int) -> None:
        """Unmap a part of something, with a flush at once or later."""
        part, how = draw.unmaps.pair(what)
        domain = self._used_domain(pick)
        there = None if domain is None else self._mapping(domain, pick)
        if domain is None or there is None:
            return
        page = self.state.page
        first, pages = there
        start = (pages if part.from_end else 0) + part.start
        start = min(max(start, 0), pages - 1)
        end = pages + part.pages if part.to_end else start + part.pages
        size = max(min(end, pages) - start, 1) * page
        # What many use is rare: it is flushed later more often, and then it is flushed.
        groups = [one for one in self.state.groups_there() if one.domain == domain.number]
        shared = len(groups) > 1
        queued = int(how == 3 or (shared and how > 0))
        self.do("unmap", domain=domain.number, iova=first + start * page, size=size, queued=queued)
        if queued and (pick & 1 or shared) and not self.is_over():
            self.do("flush", domain=domain.number)

    def translate(self, pick: int, what: int) -> None:
        """Ask where something leads."""
        domain = self._domain(pick)
        if domain is None:
            return
        there = self._mapping(domain, pick)
        iova = self._page(draw.PLACES[what]) if there is None or pick & 1 else there[0]
        self.do("translate", domain=domain.number, iova=iova + (0, 0x123, 0xFFF, 8)[pick % 4])

    # -- who is where -------------------------------------------------------------------------

    def attach(self, pick: int, what: int) -> None:
        """Attach a device to a domain that is there, or to a new one."""
        which, where = draw.moves.pair(what)
        device = self._device(which)
        there = [one for one in self.state.domains if one.exists]
        if pick % 8 != 7:
            there = [one for one in there if self._fits(device, one.number)]
        if where == 0 or not there:
            number = self._new_domain(draw.DOMAINS[pick % len(draw.DOMAINS)])
        else:
            number = there[(where + pick) % len(there)].number
        if number >= 0 and not self.is_over():
            self.do("attach", device=device, domain=number, fail_at=draw.FAILURES[pick % 12])

    def move_mapped(self, pick: int, what: int) -> None:
        """Two domains have the same address mapped; a device goes from one to the other."""
        which, where = draw.moves.pair(what)
        device = self._device(which)
        if pick % 8 != 7 and not self._translates(device):
            return
        numbers = [self._new_domain(DMA), self._new_domain(UNMANAGED)]
        for number in numbers:
            if number < 0 or self.is_over():
                return
            self.do("attach", device=device, domain=number)
            domain = self.state.domain(number)
            if domain is not None and domain.made:
                self._map(domain, where, draw.SHAPES[pick % 8], pick + number)
        if not self.is_over() and where & 1:
            self.do("attach", device=device, domain=numbers[0])
        elif not self.is_over() and where & 2:
            self.do("detach", device=device)

    def detach(self, pick: int, what: int) -> None:
        """A device is in no domain, while it is mapped in; and comes back."""
        device = self._device(pick)
        group = self._group(device)
        if group is None:
            return
        domain = group.domain
        self.do("detach", device=device)
        known = self.state.domain(domain) if domain != NONE and not self.is_over() else None
        if known is None:
            return
        if what & 1 and known.made:
            self._map(known, what, draw.SHAPES[pick], pick)
        if what & 6 and not self.is_over() and self._fits(device, domain):
            self.do("attach", device=device, domain=domain)
        elif not self.is_over() and not self.state.in_use(domain):
            self.do("free", domain=domain)

    def device(self, pick: int, what: int) -> None:
        """A device comes, or goes."""
        how, which = draw.devices.pair(what)
        if len(self._devices()) >= MOST_DEVICES or pick % 4 == 3:
            there = self._devices()
            if there:
                self.do("release", device=there[which % len(there)])
        else:
            self._new_device(how, pick + which)

    def domain(self, pick: int, what: int) -> None:
        """A domain comes, and may go unused; or an old one goes."""
        kind = draw.DOMAINS[what % len(draw.DOMAINS)]
        if pick % 16 == 15:
            used = self._used_domain(pick)
            if used is not None and not self.is_over():
                self.do("free", domain=used.number)
            return
        unused = [
            one.number for one in self._domains((0, 1, 2, 3)) if not self.state.in_use(one.number)
        ]
        if unused and (what >= len(draw.DOMAINS) or len(unused) > 3):
            self.do("free", domain=unused[pick % len(unused)])
            return
        number = self._new_domain(kind)
        if number >= 0 and pick & 1 and not self.is_over() and not self.state.in_use(number):
            self.do("free", domain=number)

    def unit(self, pick: int, what: int) -> None:
        """A unit goes with its devices, and comes back."""
        unit = self.state.units[pick % len(self.state.units)]
        if not unit.probed:
            self.do("probe", unit=unit.number)
            return
        there = [one for one in self._devices() if unit.number in self.state.devices[one].units]
        for device in there if what < 3 else []:
            self.do("release", device=device)
        if not self.is_over():
            self.do("remove", unit=unit.number)
        if not self.is_over() and not self._is_there(unit.number) and what != 1:
            self.do("probe", unit=unit.number, fail_at=(0, 0, 1, 2)[what % 4])
            self.do("probe", unit=unit.number)

    # -- mishaps ------------------------------------------------------------------------------

    def mishap(self, pick: int, what: int) -> None:
        """Units have errors, do not answer, are locked, sleep; or memory runs out."""
        mishap, how = draw.mishaps.pair(what)
        self._units_work()
        if self.is_over():
            return
        unit = self.state.units[how % len(self.state.units)].number
        polls = draw.LENGTHS[how // 3 % len(draw.LENGTHS)]
        if mishap.startswith("fault"):
            self._fault(mishap, pick, unit)
        elif mishap.startswith("sleep"):
            self._sleepless(mishap, pick, unit, polls)
        elif mishap.startswith("no-memory"):
            self._no_memory(mishap, pick, 1 + how % 5)
        else:
            self._stuck(mishap, pick, unit, polls)
            self._unstick()
        if not self.is_over():
            self._wake()

    def _units_work(self) -> None:
        for unit in self.state.units:
            if not unit.probed and not self.is_over():
                self.do("probe", unit=unit.number)

    def _fault(self, mishap: str, pick: int, unit: int) -> None:
        streams = self.state.units[unit].device.streams
        room = streams if self.state.part.newer else min(streams, 16)
        code = draw.CODES[pick % len(draw.CODES)]
        after = 3 * pick if mishap == "fault-later" else 0
        address = (0x4000 * (pick + 1), 0x1_2345_6789, 0xFFFF_FFFF)[pick % 3]
        self.do("fault", unit=unit, stream=pick * 3 % room, code=code, address=address, after=after)
        if mishap == "fault-again" and not self.is_over():
            self.do("fault", unit=unit, stream=pick % room, code=1, address=0)
        if mishap == "fault-later" and not self.is_over():
            self.move_mapped(pick, pick)

    def _sleepless(self, mishap: str, pick: int, unit: int, polls: int) -> None:
        """Power goes, with everything attached and mapped as it is, and comes back."""
        if mishap == "sleep-fault":
            self._fault("fault", pick, unit)
        self.do("suspend")
        if self.is_over() or self.state.is_awake():
            return
        if mishap == "sleep-locked":
            self.do("lock", unit=unit)
            self.do("resume")
        elif mishap == "sleep-stuck":
            self.do("translate", iova=0)
            self._wake()
            self._stick(unit, polls)
            self._sleep()
        self._wake()
        domain = None if self.is_over() else self._used_domain(pick)
        if domain is not None and not self.is_over():
            self._map(domain, pick, draw.SHAPES[pick % 8], pick)

    def _no_memory(self, mishap: str, pick: int, fail_at: int) -> None:
        if mishap == "no-memory-attach":
            number = self._new_domain(DMA)
            if number >= 0:
                self.do("attach", device=self._device(pick), domain=number, fail_at=fail_at)
        elif mishap == "no-memory-device":
            self._new_device(draw.DEVICES[pick % len(draw.DEVICES)], pick, fail_at % 2 + 1)
        elif mishap == "no-memory-domain":
            self.do("domain", kind=DMA, fail_at=1)
        else:
            self._reprobe(pick, fail_at)

    def _reprobe(self, pick: int, fail_at: int) -> None:
        """A unit goes with its devices, and is found again when memory has run out, and then."""
        # Where there is one that makes a table when it is found, that one.
        units = self.state.units
        there = [one.number for one in units if self.state.has_window(one)] or range(len(units))
        unit = there[pick % len(there)]
        for device in self._devices():
            if unit in self.state.devices[device].units and not self.is_over():
                self.do("release", device=device)
        for allocation in (fail_at, 0):
            if not self.is_over() and self.state.has_devices(unit):
                return
            self.do("remove", unit=unit)
            self.do("probe", unit=unit, fail_at=allocation)

    def _stuck(self, mishap: str, pick: int, unit: int, polls: int) -> None:
        """A command takes long, or for ever, in the middle of something."""
        if mishap in ("slow", "slow-attach"):
            polls = 20 + pick
        after = 1 + pick % 3 if mishap == "stuck-second" else 0
        device, domain = self._device(pick), self._used_domain(pick)
        if domain is None or self.is_over():
            return
        if mishap.endswith("-probe"):
            self._stuck_probe(mishap, pick, polls)
            return
        if mishap in ("stuck-unmap", "stuck-flush", "slow"):
            self._map(domain, pick, draw.SHAPES[pick % 8], pick)
        self._stick(unit, polls, after)
        if self.is_over():
            return
        there = self._mapping(domain, pick)
        if mishap in ("stuck-unmap", "slow", "stuck-flush") and there is not None:
            queued = int(mishap == "stuck-flush")
            # Where there is more than a page, half of it when the unit is stuck already.
            half = there[1] // 2 * queued
            for start, pages in ((0, there[1] - half), (there[1] - half, half)):
                args = {"iova": there[0] + start * self.state.page, "queued": queued}
                if pages and not self.is_over():
                    self.do("unmap", domain=domain.number, size=pages * self.state.page, **args)
                if pages and queued and not self.is_over():
                    self.do("flush", domain=domain.number)
        elif mishap == "stuck-map":
            self._map(domain, pick, draw.SHAPES[pick % 8], pick)
        elif mishap in ("stuck-detach", "stuck-free"):
            self._stuck_free(mishap, device)
        elif mishap == "stuck-device":
            self._new_device("shared-two", pick)
        else:
            number = self._new_domain(DMA)
            if number >= 0 and not self.is_over():
                self.do("attach", device=device, domain=number)
                self._map_there(number, pick)

    def _map_there(self, number: int, pick: int) -> None:
        domain = None if self.is_over() else self.state.domain(number)
        if domain is not None and domain.made:
            self._map(domain, pick, draw.SHAPES[pick % 8], pick)

    def _stuck_free(self, mishap: str, device: int) -> None:
        """A device leaves its domain while a unit does not answer; the domain may go, too."""
        group = self._group(device)
        if group is None:
            return
        domain = group.domain
        self.do("detach", device=device)
        if mishap == "stuck-free" and domain != NONE and not self.is_over():
            self.do("free", domain=domain)

    def _stuck_probe(self, mishap: str, pick: int, polls: int) -> None:
        unused = [one for one in self.state.units if not self.state.has_devices(one.number)]
        if not unused:
            return
        unit = unused[pick % len(unused)].number
        if mishap == "stuck-probe":
            self.do("remove", unit=unit)
            self._stick(unit, polls)
            self.do("probe", unit=unit)
        else:
            self.do("remove", unit=unit)
            self.do("lock", unit=unit)
            self.do("probe", unit=unit)
            self.do("lock", unit=unit, on=0)
            self.do("probe", unit=unit)

    # -- mistakes -----------------------------------------------------------------------------

    def mistake(self, pick: int, what: int) -> None:
        """A call that is refused, or that nobody may make."""
        mistake, which = draw.mistakes.pair(what)
        domain = self._used_domain(pick)
        if domain is None or self.is_over():
            return
        if mistake in _ODD_CALLS:
            name, args = _ODD_CALLS[mistake](self.state, domain, which)
            self.do(name, **args)
        elif mistake in ("never-attached", "translate-never", "unmap-never"):
            number = self._new_domain(DMA)
            calls = {"never-attached": "map", "translate-never": "translate"}
            if number >= 0 and not self.is_over():
                self.do(calls.get(mistake, "unmap"), domain=number)
        elif mistake in ("identity-map", "translate-identity"):
            number = self._new_domain(IDENTITY)
            name = "map" if mistake == "identity-map" else "translate"
            if number >= 0 and not self.is_over():
                self.do(name, domain=number, iova=which * 0x4000)
        else:
            self._wrong_range(mistake, domain, which, pick)

    def _wrong_range(self, mistake: str, domain: KnownDomain, which: int, pick: int) -> None:
        """A map or unmap of addresses that it must not be of."""
        state, page = self.state, self.state.page
        number = domain.number
        there = self._mapping(domain, pick)
        if there is None:
            self._map(domain, pick, draw.SHAPES[1], pick)
            there = None if self.is_over() else self._mapping(domain, pick)
        if there is None:
            return
        first, pages = there
        size = pages * page
        if mistake == "over":
            start = max(first - which * page, 0)
            self.do("map", domain=number, iova=start, size=size + which * page, pa=PA)
        elif mistake == "hole":
            self.do("unmap", domain=number, iova=first, size=size + (1 + which) * page)
        elif mistake == "reuse":
            self.do("unmap", domain=number, iova=first, size=size, queued=1)
            if not self.is_over():
                self.do("map", domain=number, iova=first, size=page, pa=PA)
                self.do("flush", domain=number)
        elif mistake == "unmap-beyond":
            self.do("unmap", domain=number, iova=first + (state.limit << which), size=page)
        elif mistake == "translate-beyond":
            self.do("translate", domain=number, iova=first + (state.limit << which))
        elif mistake == "across-input":
            self.do("map", domain=number, iova=state.limit - page, size=2 * page, pa=PA)
        elif mistake == "beyond-input":
            free = self._free_place(domain, (pick + which) * page, 1)
            self.do("map", domain=number, iova=free + (state.limit << which), size=page, pa=PA)


_Odd = Callable[[DartState, KnownDomain, int], tuple[str, dict[str, int]]]


def _shared_unit(state: DartState, domain: KnownDomain, which: int) -> tuple[str, dict[str, int]]:
    there = [one.number for one in state.units if state.has_devices(one.number)]
    return "remove", {"unit": there[which % len(there)] if there else 7}


_ODD_CALLS: dict[str, _Odd] = {
    "no-domain": lambda state, domain, which: (
        ("map", "unmap", "free", "flush")[which], {"domain": len(state.domains) + which},
    ),
    "no-device": lambda state, domain, which: (
        ("attach", "detach", "release", "attach")[which],
        {"device": len(state.devices) + which, **({} if which in (1, 2) else {"domain": 0})},
    ),
    "kind": lambda state, domain, which: ("domain", {"kind": 4 + which}),
    "in-use": lambda state, domain, which: ("free", {"domain": domain.number}),
    "no-unit": lambda state, domain, which: (
        "device", {"unit": which % 2 * len(state.units), "unit2": len(state.units) + 1},
    ),
    "twice": lambda state, domain, which: ("probe", {"unit": which % len(state.units)}),
    "stream": lambda state, domain, which: (
        "device", {"unit": 0, "stream": min(state.units[0].device.streams, 255), "count": 2},
    ),
    "busy-unit": _shared_unit,
    "askew": lambda state, domain, which: (
        "map",
        {
            "domain": domain.number, "size": state.page + (0x800 if which == 0 else 0),
            "iova": 0x800 if which == 1 else 0, "pa": PA + (0x800 if which > 1 else 0),
        },
    ),
    "no-permission": lambda state, domain, which: (
        "map", {"domain": domain.number, "prot": (0, 4, 8, 16)[which], "pa": PA},
    ),
    "beyond-output": lambda state, domain, which: (
        "map",
        {
            "domain": domain.number, "pa": state.pa_limit - which % 2 * state.page,
            "iova": 0, "size": 2 * state.page,
        },
    ),
    "unmap-askew": lambda state, domain, which: (
        "unmap", {"domain": domain.number, "iova": 0x800 * which, "size": state.page + 0x800},
    ),
    "resume": lambda state, domain, which: ("resume", {}),
    "lock": lambda state, domain, which: ("lock", {"unit": which % 2 * 7}),
    "fault-stream": lambda state, domain, which: (
        "fault", {"unit": 0, "stream": min(state.units[0].device.streams, 255)},
    ),
}  # fmt: skip
"""Calls that are wrong whatever is mapped."""


_ACTIONS: dict[str, Callable[[DartMachine, int, int], None]] = {
    "map": DartMachine.map,
    "run": DartMachine.run,
    "unmap": DartMachine.unmap,
    "attach": DartMachine.attach,
    "move-mapped": DartMachine.move_mapped,
    "detach": DartMachine.detach,
    "device": DartMachine.device,
    "domain": DartMachine.domain,
    "unit": DartMachine.unit,
    "translate": DartMachine.translate,
    "mishap": DartMachine.mishap,
    "mistake": DartMachine.mistake,
}


def machine_class(traits: dict[str, tuple[str, ...]]) -> type[DartMachine]:
    """The machine for targets with these traits: it is the same for all."""
    return DartMachine


__all__ = ["DartMachine", "machine_class"]
