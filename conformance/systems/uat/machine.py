"""The stateful machine of system ``uat``: it draws operations, and judges nothing.

A step draws a number or two, looks at what is there, and does one operation or two. One in which
nothing changed goes on: a page is mapped, or, where there are many, one goes. What the firmware is
to do, and when it runs, is drawn with the calls of the driver.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from hypothesis.stateful import initialize, rule

from conformance.machine import Machine
from reference.systems.uat.device import DATA, KERNEL_FIRST, PAGE, USER_FIRST
from reference.systems.uat.promise import KERNEL, UatMapping, UatPromise, UatState, UatVm
from strategies import uat as draw

MANY_MAPPINGS = 12
"""So many are there at most."""
MANY_VMS = 6
"""So many VMs are there at most."""
LAST = (1 << 64) - 1
NOTHING = UatState(2, 40, True)
"""What there is once nothing is left that could go on."""


class UatMachine(Machine):
    """Generates operations for one session. ``pa``: where the next buffer lies."""

    def __init__(self) -> None:
        super().__init__()
        self.pa = DATA

    @property
    def state(self) -> UatState:
        """What callers have."""
        promise: UatPromise = self.session.promise
        return NOTHING if promise.made is None else promise.made

    @initialize(number=draw.starts)
    def create(self, number: int) -> None:
        """Start; now and then after a start that fails."""
        which, more = divmod(number, 6)
        if more & 1:
            one = draw.WRONG_MACHINES[which % len(draw.WRONG_MACHINES)]
            self.do("create", **asdict(one))
        if not self.session.promise.started:
            self.do("create", **asdict(draw.MACHINES[which]))
        # Some VMs that are bound, and one that is not.
        made = min(more, self.state.contexts)
        for vm in range(made):
            self.do("vm")
            if vm < made - 1 or made == 1:
                self.do("bind", vm=vm)

    # -- drawing ------------------------------------------------------------------------------

    @contextmanager
    def _step(self, pick: int) -> Iterator[None]:
        """What a step does; if nothing changed by it, another thing that does, at the end."""
        self.changed = False
        yield
        if not self.changed and not self.session.ended:
            if len(self._open()) < MANY_MAPPINGS:
                self._map(self._vm(pick), 1, 0, pick)
            else:
                self._drop(pick)

    def _vms(self) -> list[UatVm]:
        return [vm for vm in self.state.vms if vm.exists]

    def _vm(self, pick: int) -> UatVm:
        """A user's VM, or the kernel's."""
        vms = self._vms()
        which = pick % (len(vms) + 1)
        return self.state.kernel if which == len(vms) else vms[which]

    def _bound(self) -> list[UatVm]:
        return [vm for vm in self._vms() if vm.users]

    def _open(self) -> list[tuple[int, UatMapping]]:
        return [(number, one) for number, one in enumerate(self.state.mappings) if one.open]

    def _mapping(self, pick: int) -> tuple[int, UatMapping] | None:
        there = self._open()
        return there[pick % len(there)] if there else None

    def _pages(self, pages: int) -> int:
        """The address of a buffer of so many pages, and room for gaps."""
        pa = self.pa
        self.pa += (2 * pages + 2) * PAGE
        return pa

    def _prot(self, vm: UatVm, pick: int) -> str:
        prots = draw.KERNEL_PROTS if vm.number == KERNEL else draw.USER_PROTS
        return prots[pick % len(prots)]

    def _interleave(self, when: tuple[int, int]) -> None:
        if when[1]:
            self.do("switch", at=when[0], steps=when[1])

    # -- the driver's calls -------------------------------------------------------------------

    def _map(self, vm: UatVm, pages: int, piece: int, pick: int) -> None:
        """Map somewhere."""
        args = {"vm": vm.number, "size": pages * PAGE, "pa": self._pages(pages)}
        args["fail_at"] = draw.FAILURES[(pick + 3 * pages) % len(draw.FAILURES)]
        if vm.number == KERNEL and pick % 4 == 0:
            self.do("map", **args, piece=piece)
        elif vm.number == KERNEL and pick % 4 == 1:
            self.do("map_io", **args, writable=pick >> 2 & 1)
        else:
            align = (0, 0, PAGE, 4 * PAGE, 0, 0x40_0000)[pick % 6]
            end = min(vm.last, vm.first + (64 << pick % 3) * PAGE) if pick & 1 else LAST
            self.do(
                "map_in_range", **args, piece=piece, align=align,
                start=vm.first if pick & 1 else 0, end=end, prot=self._prot(vm, pick),
                guard=pick >> 1 & 1,
            )  # fmt: skip

    def _drop(self, pick: int, mute: int = 0) -> None:
        one = self._mapping(pick)
        if one is not None:
            self.do("drop", mapping=one[0], mute=mute)

    @rule(shape=draw.shapes.numbers, when=draw.switches.numbers)
    def map(self, shape: int, when: int) -> None:
        """Map memory somewhere."""
        (pages, piece), pick = draw.shapes.pair(shape)
        switch, which = draw.switches.pair(when)
        with self._step(pick):
            if len(self._open()) >= MANY_MAPPINGS:
                self._drop(pick)
            else:
                self._interleave(switch)
                self._map(self._vm(which), pages, piece, pick)

    @rule(place=draw.places.numbers, shape=draw.shapes.numbers)
    def map_at(self, place: int, shape: int) -> None:
        """Map memory at an address."""
        offset, which = draw.places.pair(place)
        (pages, piece), pick = draw.shapes.pair(shape)
        with self._step(pick):
            vm = self._vm(which)
            first = KERNEL_FIRST if vm.number == KERNEL else USER_FIRST - PAGE
            if len(self._open()) < MANY_MAPPINGS:
                self.do(
                    "map_at", vm=vm.number, va=first + offset, size=pages * PAGE,
                    pa=self._pages(pages), piece=piece, prot=self._prot(vm, pick),
                    guard=pick & 1,
                )  # fmt: skip

    @rule(when=draw.switches.numbers, pick=draw.picks)
    def drop(self, when: int, pick: int) -> None:
        """Drop a mapping; now and then the firmware does not answer."""
        switch, which = draw.switches.pair(when)
        with self._step(which):
            self._interleave(switch)
            self._drop(pick, int(which in (11, 13, 15)))

    @rule(when=draw.switches.numbers, pick=draw.picks)
    def drop_in_use(self, when: int, pick: int) -> None:
        """The firmware uses a cached mapping that is dropped, before or meanwhile."""
        switch, which = draw.switches.pair(when)
        with self._step(which):
            there = [(number, one) for number, one in self._open() if one.cached and one.size]
            usable = [one for one in there if one[1].vm.number == KERNEL or one[1].vm.users]
            if not usable:
                return
            number, _ = usable[pick % len(usable)]
            self.do("fw_touch", mapping=number, page=which, write=which & 1)
            if pick & 3:
                self.do("fw_run", steps=24 if pick & 1 else 2 * which + 8)
            self._interleave(switch)
            self.do("drop", mapping=number, mute=int(which == 7))

    @rule(when=draw.switches.numbers, pick=draw.picks)
    def contend(self, when: int, pick: int) -> None:
        """The firmware is about to enter a context that is taken from its owner."""
        switch, which = draw.switches.pair(when)
        with self._step(pick):
            bound = self._bound()
            if not bound:
                return
            vm = bound[pick % len(bound)]
            self.do("fw_enter", vm=vm.number)
            for _ in range(vm.users):
                self.do("unbind", vm=vm.number)
            if which & 3:
                self.do("fw_run", steps=which + 4)
            self._interleave(switch)
            others = [one for one in self._vms() if not one.users and one is not vm]
            # With all other contexts taken, or one after the other, it is the one that is given.
            for other in others[: self.state.contexts - 1]:
                self.do("bind", vm=other.number)

    @rule(when=draw.switches.numbers, pick=draw.picks)
    def bind(self, when: int, pick: int) -> None:
        """Have a context, often another's; make VMs where there are few."""
        switch, which = draw.switches.pair(when)
        with self._step(pick):
            vms = self._vms()
            if len(vms) < min(MANY_VMS, self.state.contexts + 1) and which & 1:
                self.do("vm", fail_at=int(which == 15))
                vms = self._vms()
            idle = [vm for vm in vms if not vm.users]
            if idle:
                vm = idle[pick % len(idle)]
                # Where all contexts are taken, one is mostly given back before.
                bound = self._bound()
                if len(bound) == self.state.contexts - 1 and which & 6:
                    for former in bound[pick % len(bound) :][: 1 + (which >> 3)]:
                        for _ in range(former.users):
                            self.do("unbind", vm=former.number)
                self._interleave(switch)
                self.do("bind", vm=vm.number, mute=int(which in (5, 11, 13)))
            elif vms:
                vm = vms[pick % len(vms)]
                self.do(("bind", "clone")[which & 1], vm=vm.number)

    @rule(when=draw.switches.numbers, pick=draw.picks)
    def unbind(self, when: int, pick: int) -> None:
        """Give a context back, the firmware being in it now and then; then others come."""
        switch, which = draw.switches.pair(when)
        with self._step(pick):
            bound = self._bound()
            if not bound:
                return
            vm = bound[pick % len(bound)]
            if which & 1:
                self.do("fw_enter", vm=vm.number)
                self.do("fw_run", steps=30)
            self._interleave(switch)
            if which & 12 == 4:
                self.do("clone", vm=vm.number)
            self.do("unbind", vm=vm.number)

    @rule(when=draw.switches.numbers, pick=draw.picks)
    def destroy_vm(self, when: int, pick: int) -> None:
        """A VM goes, with all that is mapped in it."""
        switch, which = draw.switches.pair(when)
        with self._step(pick):
            vms = self._vms()
            if not vms:
                self.do("vm")
                return
            vm = vms[pick % len(vms)]
            if which & 2 and vm.users:
                self.do("fw_enter", vm=vm.number)
                self.do("fw_run", steps=30)
            for number, one in self._open():
                if one.vm is vm:
                    self.do("drop", mapping=number)
            for _ in range(vm.users):
                self.do("unbind", vm=vm.number)
            self._interleave(switch)
            self.do("destroy_vm", vm=vm.number, mute=int(which == 15))

    # -- the firmware ---------------------------------------------------------------------------

    @rule(number=draw.firmware.numbers, pick=draw.picks)
    def act(self, number: int, pick: int) -> None:
        """The firmware is to do something, now or when the driver is at work."""
        what, which = draw.firmware.pair(number)
        with self._step(pick):
            bound = self._bound()
            if what.startswith("enter") and bound:
                self.do("fw_enter", vm=bound[which % len(bound)].number)
            elif what.startswith("touch"):
                one = self._mapping(pick)
                if one is not None:
                    self.do("fw_touch", mapping=one[0], page=which, write=which & 1)
            elif what == "leave":
                self.do("fw_leave")
            if "run" in what:
                self.do("fw_run", steps=120 if what == "run-long" else 3 * which + 6)

    # -- mistakes -------------------------------------------------------------------------------

    @rule(place=draw.picks, wrong=draw.mistakes.numbers)
    def mistake(self, place: int, wrong: int) -> None:
        """A call that has to be refused, or fails half-way; then one that does not."""
        mistake, which = draw.mistakes.pair(wrong)
        with self._step(place):
            if len(self._open()) < MANY_MAPPINGS:
                self._err(mistake, which, place)

    def _err(self, mistake: str, which: int, place: int) -> None:
        vm = self._vm(which)
        prot = self._prot(vm, place)
        at = vm.first + (64 + place) * PAGE
        one = self._mapping(place)
        args: dict[str, int | str] = {"vm": vm.number, "prot": prot}
        if mistake in ("no-bytes", "no-bytes-guard"):
            guard = int(mistake == "no-bytes-guard")
            self.do("map_at", **args, va=at, size=0, guard=guard)
        elif mistake in ("taken", "head-taken", "tail-taken") and one is not None:
            mapping = one[1]
            va = mapping.va
            if mistake == "head-taken":
                va -= PAGE
            elif mistake == "tail-taken":
                va += max(mapping.room - PAGE, 0)
            args = {"vm": mapping.vm.number, "prot": self._prot(mapping.vm, place)}
            self.do("map_at", **args, va=max(va, 0), size=2 * PAGE, pa=self._pages(2))
        elif mistake == "below":
            self.do("map_at", **args, va=vm.first - PAGE, size=2 * PAGE, pa=self._pages(2))
        elif mistake == "above":
            self.do("map_at", **args, va=vm.last + 1 - PAGE, size=2 * PAGE, pa=self._pages(2))
        elif mistake == "guard-outside":
            self.do("map_at", **args, va=vm.last + 1 - PAGE, guard=1, pa=self._pages(1))
        elif mistake == "part-page":
            self.do("map_at", **args, va=at + PAGE // 2, pa=self._pages(1))
        elif mistake == "part-size":
            self.do("map_at", **args, va=at, size=PAGE + PAGE // 4, pa=self._pages(2))
        elif mistake in ("bad-piece", "bad-later-piece"):
            bad = 1 if mistake == "bad-piece" else 2 + which % 3
            self.do("map_at", **args, va=at, size=5 * PAGE, pa=self._pages(5), piece=1, bad=bad)
            self._again(args, at)
        elif mistake == "beyond-memory":
            pa = (1 << self.state.oas) - (which % 3) * PAGE
            self.do("map_at", **args, va=at, size=3 * PAGE, pa=pa, piece=which & 1)
            self._again(args, at)
        elif mistake == "range-too-small":
            end = at + 2 * PAGE
            self.do("map_in_range", **args, size=2 * PAGE, start=at, end=end - 1 + which % 2)
        elif mistake == "range-empty":
            self.do("map_in_range", **args, start=at, end=at - which * PAGE)
        elif mistake == "no-such-multiple":
            self.do("map_in_range", **args, align=1 << 40, start=vm.first, end=at)
        elif mistake == "too-large":
            self.do("map_in_range", **args, size=1 << 29, start=at, end=at + (1 << 28))
        elif mistake == "io-part":
            self.do("map_io", vm=KERNEL, pa=self._pages(1) + (which & 1) * 8, size=PAGE + 4)
        elif mistake == "io-beyond":
            self.do("map_io", vm=KERNEL, pa=1 << self.state.oas)
        elif mistake in ("no-memory", "no-memory-later"):
            # The second table that is missing is that of the second half.
            far = vm.first + (9 + place) * draw.TABLE
            va = far - vm.first % PAGE - (vm.first & PAGE) - 2 * PAGE
            fail_at = 1 + which % 2 if mistake == "no-memory" else 2 + which % 2
            self.do("map_at", **args, va=va, size=4 * PAGE, pa=self._pages(4), fail_at=fail_at)
            self._again(args, va)
        elif mistake == "no-vm-memory":
            self.do("vm", fail_at=1)

    def _again(self, args: dict[str, int | str], va: int) -> None:
        """What was refused left its addresses free."""
        if not self.changed:
            self.do("map_at", **args, va=va, pa=self._pages(1))


def machine_class(traits: dict[str, tuple[str, ...]]) -> type[UatMachine]:
    """The machine for targets with these traits: it is the same for all."""
    return UatMachine
