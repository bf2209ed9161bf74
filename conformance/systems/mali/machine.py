"""The stateful machine of system ``mali``: it draws operations, and judges nothing.

A step draws two numbers, looks at what is there, and does what they stand for: a bind,
queued binds and their fences, jobs of the device, a mishap. One in which nothing changed goes
on with a bind, so that no draw comes to nothing. No step leaves the device asleep, stuck or
in a reset: what comes between is part of the step.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from hypothesis.stateful import initialize, rule

from conformance.machine import Machine
from reference.systems.gpuvm.mappings import Mapping as Vma
from reference.systems.mali.promise import ALL, HANDLES, PAGE, MaliPromise
from reference.systems.mali.state import (
    MAP,
    NONE,
    SYNC_ONLY,
    UNMAP,
    MaliState,
    MaliVm,
)
from strategies import mali as draw
from strategies.parts import Part

GIVEN_UP = 30_000
"""Reads of STATUS for which a command sticks longer than any driver waits for it."""

MOST_VMS = 10
MOST_BUFFERS = 14


class MaliActor(Machine):
    """What the actions of the machine are made of. ``made``: how many buffers were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    @property
    def state(self) -> MaliState:
        """What is known of the device."""
        promise: MaliPromise = self.session.promise
        return promise.state

    def ask(self, name: str, **args: int) -> int:
        """Do one operation; the value that it gave back, -1 if it failed or broke a rule."""
        outcome = self.do(name, **args)
        if outcome is None or outcome.violations:
            return -1
        result = outcome.result
        return result.value if result.finished and result.result == 0 else -1

    def _new_buffer(self, which: int) -> int:
        size, pieces, private = draw.BUFFERS[which % len(draw.BUFFERS)]
        if self.made >= MOST_BUFFERS:
            return -1
        self.made += 1
        vm = self._vm(which).number if private else NONE
        imported = int(self.made > 3 and not private and self.made % 3 == 0)
        return self.ask("bo", size=size, vm=vm, pieces=pieces, imported=imported)

    def _vm(self, pick: int) -> MaliVm:
        """A VM whose handle the process has; a new one where there is none."""
        there = [vm for vm in self.state.vms if vm.handle]
        if not there:
            self.do("vm")
            there = [vm for vm in self.state.vms if vm.handle] or self.state.vms
        return there[pick % len(there)]

    def _buffer(self, vm: MaliVm, pick: int) -> int:
        """An open buffer that a VM may map; a new one where there is none."""
        buffers = self.state.buffers
        allowed = (NONE, vm.number)
        numbers = [number for number, one in enumerate(buffers) if one.open and one.vm in allowed]
        if not numbers:
            return self._new_buffer(0)
        return numbers[pick % len(numbers)]

    def _there(self, vm: MaliVm, pick: int) -> Vma | None:
        """One of the mappings in the process's part of a VM, the longer of two; None: none."""
        promise = vm.promise
        if not len(promise):
            return None
        one = promise.nth(pick % len(promise))
        other = promise.nth((pick + 1) % len(promise))
        if other.last - other.first > one.last - one.first:
            one = other
        return one if one.last < vm.user_end else None

    def _place(self, vm: MaliVm, place: int) -> int:
        return place if place >= 0 else vm.user_end + place

    def _range(self, vm: MaliVm, one: Vma, part: Part) -> tuple[int, int]:
        """(first, bytes) of a range by a mapping, cut to the process's part."""
        first = (one.last + 1 if part.from_end else one.first) + part.start * PAGE
        end = (one.last + 1 if part.to_end else first) + part.pages * PAGE
        first = min(max(first, 0), vm.user_end - PAGE)
        return first, max(min(end, vm.user_end) - first, PAGE)

    # -- binds --------------------------------------------------------------------------------

    def _map_args(self, vm: MaliVm, first: int, shape: draw.Shape, pick: int) -> dict[str, int]:
        """A map of as many pages as fit into buffer and VM; empty where there is no buffer."""
        number = self._buffer(vm, pick)
        if number < 0:
            return {}
        pages = self.state.buffers[number].size // PAGE
        count = max(1, min(shape.pages, pages, (vm.user_end - first) // PAGE))
        return {
            "vm": vm.number,
            "kind": MAP,
            "va": first,
            "size": count * PAGE,
            "bo": number,
            "offset": shape.offset % (pages - count + 1) * PAGE,
            "flags": shape.flags,
        }

    def _map(self, vm: MaliVm, first: int, shape: draw.Shape, pick: int) -> None:
        args = self._map_args(vm, first, shape, pick)
        if args:
            self.do("bind", **args, fail_at=shape.fail_at)

    def _unmap(self, vm: MaliVm, first: int, size: int, fail_at: int = 0) -> None:
        self.do("bind", vm=vm.number, kind=UNMAP, va=first, size=size, fail_at=fail_at)

    def _whole_buffer(self, vm: MaliVm, pick: int) -> int:
        """A buffer that large pages can map; a new one where there is none."""
        numbers = [
            number
            for number, one in enumerate(self.state.buffers)
            if one.open and one.vm in (NONE, vm.number) and one.pages.contiguous(0) >= draw.LARGE
        ]
        return numbers[pick % len(numbers)] if numbers else self._new_buffer(1)

    # -- jobs of the device -------------------------------------------------------------------

    def _job(self, vm: MaliVm) -> bool:
        """A job uses a VM, if there is an address space for it; whether one does."""
        if vm.active > 0:
            return True
        if not self._make_room(vm):
            return False
        return self.state.is_up() and self.ask("active", vm=vm.number) >= 0

    def _make_room(self, vm: MaliVm) -> bool:
        """Jobs of others end until an address space can be had."""
        state = self.state
        busy = [one for one in state.vms if one.active > 0 and one is not vm]
        while vm.slot < 0 and len(busy) >= len(state.slots) - 1:
            one = busy.pop(0)
            before = one.active
            for _ in range(before):
                self.do("idle", vm=one.number)
            if one.active:
                return False
        return True

    def _end_jobs(self, vm: MaliVm) -> None:
        for _ in range(vm.active):
            self.do("idle", vm=vm.number)

    def _new_vm(self, user: int) -> None:
        if len([vm for vm in self.state.vms if vm.handle]) < MOST_VMS:
            full = 1 << self.state.va_bits
            self.do("vm", user_va=user if user >= 0 else full + user)

    # -- while the device cannot be used, and after it -----------------------------------------

    def _recover(self) -> None:
        """Whatever happened is over at the end of the step."""
        if self.session.promise.made is None or self.session.ended:
            return
        state = self.state
        if state.resetting:
            self.do("post_reset")
        if not state.powered and not state.unplugged:
            self.do("resume")
        if state.reset_asked:
            self.do("run")
        if state.may_time_out and state.is_up():
            self.do("pre_reset")
            self.do("post_reset")

    def _between(self, vm: MaliVm, pick: int) -> None:
        """What a process does while the device cannot be used."""
        self._map(vm, pick % 8 * PAGE, draw.SHAPES[pick], pick)
        one = self._there(vm, pick)
        if one is not None:
            self._unmap(vm, *self._range(vm, one, draw.PARTS[pick % len(draw.PARTS)]))
        if pick & 1:
            args = self._map_args(vm, pick % 4 * PAGE, draw.SHAPES[pick + 1], pick)
            if args:
                self.do("queue", **args)
            self.do("run")
        if pick & 2:
            self.do("active", vm=vm.number)
        if pick & 4:
            self.do("vm")
        if pick & 8:
            self.do("alloc", vm=vm.number, bo=self._buffer(vm, pick) if pick & 16 else NONE)
            self._free(pick)
        if pick & 16 and self.state.handles() > 2:
            self.do("destroy_vm", vm=[one.number for one in self.state.vms if one.handle][-1])
        if pick & 32:
            self._end_jobs(vm)

    def _free(self, pick: int) -> None:
        """The kernel gives addresses back, if it has any."""
        there = [number for number, one in enumerate(self.state.nodes) if one.open]
        if there:
            self.do("free", node=there[pick % len(there)])

    def _end_all_jobs(self) -> None:
        for one in self.state.vms:
            self._end_jobs(one)

    def _queue_page(self, vm: MaliVm, pick: int, fence: int = NONE) -> None:
        """A page is to be mapped, when a fence was signalled."""
        args = self._map_args(vm, pick % 8 * PAGE, draw.SHAPES[pick], pick)
        if args:
            self.do("queue", **args, fence=fence)

    def _reset_alone(self) -> None:
        """After it, no VM without jobs has an AS."""
        self.do("pre_reset")
        self.do("post_reset")


class MaliMachine(MaliActor):
    """Generates operations for one session."""

    @initialize(which=draw.devices)
    def create(self, which: int) -> None:
        """Probe a device, make two VMs and three buffers, and let a job use the first VM."""
        va_bits, pa_bits, slots, coherent = draw.DEVICES[which]
        self.do("create", va_bits=va_bits, pa_bits=pa_bits, slots=slots, coherent=coherent)
        if self.session.promise.made is None:
            return
        for _ in range(2):
            self.do("vm")
        for number in range(3):
            self._new_buffer(number)
        self.do("active", vm=0)

    @contextmanager
    def _step(self, pick: int) -> Iterator[None]:
        """What a step does; if nothing changed by it, a bind of a page at the end."""
        self.changed = False
        if self.session.promise.made is None:
            return
        yield
        if self.changed or self.session.ended:
            return
        if self.state.unplugged:
            self.do("bo", size=PAGE)
        else:
            self._map(self._vm(pick), pick % 8 * PAGE, draw.SHAPES[0], pick)

    @rule(pick=draw.picks, what=draw.actions.numbers)
    def act(self, pick: int, what: int) -> None:
        """One of the actions. They are one rule: to choose among many takes long."""
        name, number = draw.actions.pair(what)
        _ACTIONS[name](self, pick, number % draw.SIZES[name])

    # -- binds --------------------------------------------------------------------------------

    def bind(self, pick: int, what: int) -> None:
        """Map somewhere, over whatever is there."""
        place, shape = draw.binds.pair(what)
        with self._step(pick):
            vm = self._vm(pick)
            self._map(vm, self._place(vm, place), shape, pick >> 2)

    def bind_over(self, pick: int, where: int) -> None:
        """Map over a part of something that is mapped."""
        part, fail_at = draw.parts.pair(where)
        with self._step(pick):
            vm = self._vm(pick)
            one = self._there(vm, pick >> 1)
            if one is not None:
                first, size = self._range(vm, one, part)
                flags = draw.FLAGS[(pick + where) % len(draw.FLAGS)]
                shape = draw.Shape(size // PAGE, where % 7, flags, fail_at)
                self._map(vm, first, shape, pick >> 3)

    def unbind(self, pick: int, where: int) -> None:
        """Unmap a part of something that is mapped, or of several."""
        part, fail_at = draw.cuts.pair(where)
        with self._step(pick):
            vm = self._vm(pick)
            one = self._there(vm, pick >> 1)
            if one is None:
                return
            first, size = self._range(vm, one, part)
            if pick > 48:
                # From its last page to the first page of the next one.
                first = one.last + 1 - PAGE
                after = vm.promise.first_in(one.last + 1, min(one.last + (64 << 20), vm.user_end))
                size = PAGE if after is None else after.first + PAGE - first
                size = min(size, vm.user_end - first)
            self._unmap(vm, first, size, fail_at)

    def bind_in_use(self, pick: int, what: int) -> None:
        """A job uses a VM while a range is mapped, partly unmapped, and mapped again."""
        place, shape = draw.binds.pair(what)
        with self._step(pick):
            vm = self._vm(pick)
            first = self._place(vm, place)
            self._job(vm)
            self._map(vm, first, shape, pick >> 2)
            one = vm.promise.first_in(first, first)
            if one is not None and one.last < vm.user_end:
                where, size = self._range(vm, one, draw.PARTS[pick % len(draw.PARTS)])
                self._unmap(vm, where, size)

    def bind_large(self, pick: int, where: int) -> None:
        """Large pages are mapped, and then all or a part of them is mapped over or unmapped.

        Or small pages are mapped in a whole 2 MiB, and replaced by a large page or unmapped.
        """
        part, how = draw.larges.pair(where)
        with self._step(pick):
            vm = self._vm(pick)
            number = self._whole_buffer(vm, pick >> 2)
            if number < 0:
                return
            small = how in draw.SMALL
            if how & 1 or small:
                self._job(vm)
            first = (1 + pick % 3) * draw.LARGE
            there = self.state.buffers[number].size
            size = min(2 * draw.LARGE, there) if how in draw.TWICE else draw.LARGE
            # From its second page on, a buffer has no large page in its place.
            offset = PAGE if small and there > draw.LARGE else 0
            args = {"vm": vm.number, "va": first, "size": size, "bo": number, "offset": offset}
            if how & 4 and not small:
                self.do("queue", **args)
                self.do("run")
            else:
                self.do("bind", **args)
            one = vm.promise.first_in(first, first)
            if one is None:
                return
            if small:
                how_args = {"kind": UNMAP} if how & 2 else {"bo": number}
                self.do("bind", vm=vm.number, va=first, size=size, **how_args)
                return
            start, size = self._range(vm, one, part)
            if how & 2:
                self._unmap(vm, start, size)
            else:
                self._map(vm, start, draw.Shape(size // PAGE, 0, 0, 0), pick >> 1)

    # -- queued binds -------------------------------------------------------------------------

    def queue(self, pick: int, what: int) -> None:
        """Queue a map, and have it carried out, now or later."""
        place, shape = draw.binds.pair(what)
        with self._step(pick):
            vm = self._vm(pick)
            args = self._map_args(vm, self._place(vm, place), shape, pick >> 2)
            if args:
                self.do("queue", **args)
            if pick & 4:
                self.do("run", steps=pick >> 3 & 3)

    def queue_in_order(self, pick: int, where: int) -> None:
        """Several queued binds of a range, which wait for a fence or for each other."""
        part, order = draw.queues.pair(where)
        with self._step(pick):
            vm = self._vm(pick)
            one = self._there(vm, pick >> 1)
            first, size = (pick % 8 * PAGE, 2 * PAGE)
            if one is not None:
                first, size = self._range(vm, one, part)
            fence = self.ask("fence") if order & 1 else NONE
            unmap = {"vm": vm.number, "kind": UNMAP, "va": first, "size": size}
            awaited = self.ask("queue", **unmap, fence=fence)
            shape = draw.Shape(size // PAGE, order, draw.FLAGS[order % len(draw.FLAGS)], 0)
            other = self._vm(pick + 1) if order & 2 else vm
            args = self._map_args(other, min(first, other.user_end - PAGE), shape, pick >> 3)
            if args:
                self.do("queue", **args, fence=awaited if order & 4 else NONE)
            if order & 8:
                self.do("run")
                self._map(vm, first, draw.SHAPES[pick], pick)
                self.do("queue", vm=vm.number, kind=SYNC_ONLY, va=0, size=0)
            if fence >= 0:
                self.do("signal", fence=fence)
            self.do("run")

    # -- jobs of the device -------------------------------------------------------------------

    def jobs(self, pick: int, what: int) -> None:
        """Jobs start to use VMs, or end; more VMs than there are address spaces take turns."""
        which, how = draw.jobs.pair(what)
        with self._step(pick):
            vm = self._vm(which)
            if how < 2:
                self._end_jobs(vm)
            elif how < 6:
                if self._job(vm) and how == 5:
                    self.do("active", vm=vm.number)
            else:
                for number in range(min(len(self.state.slots), 3)):
                    turn = self._vm(which + number)
                    if self._job(turn) and how == 7:
                        self._end_jobs(turn)

    # -- VMs, buffers, nodes ------------------------------------------------------------------

    def vms(self, pick: int, what: int) -> None:
        """Make a VM, or destroy one: idle, in use, or with binds queued."""
        how, size = draw.vms.pair(what)
        with self._step(pick):
            vm = self._vm(pick)
            if how == "handles" and size == 0:
                for _ in range(HANDLES + 1 - self.state.handles()):
                    self.do("vm")
                for one in [one for one in self.state.vms if one.handle][4:]:
                    self.do("destroy_vm", vm=one.number)
            elif how in ("new", "user-part", "handles"):
                self._new_vm(draw.USER_PARTS[size])
            elif how == "destroy":
                self._end_jobs(vm)
                self.do("destroy_vm", vm=vm.number)
            elif how == "destroy-active":
                self._job(vm)
                self._map(vm, pick % 8 * PAGE, draw.SHAPES[pick], pick)
                self.do("destroy_vm", vm=vm.number)
                self._end_jobs(vm)
            else:
                self._destroy_queued(vm, pick)

    def _destroy_queued(self, vm: MaliVm, pick: int) -> None:
        """A VM is destroyed while a bind of it waits for a fence."""
        fence = self.ask("fence")
        args = self._map_args(vm, pick % 8 * PAGE, draw.SHAPES[pick], pick)
        if args:
            self.do("queue", **args, fence=fence)
        self._end_jobs(vm)
        self.do("destroy_vm", vm=vm.number)
        if pick & 1:
            self.do("run")
        self.do("signal", fence=max(fence, 0))
        self.do("run")

    def make_or_close(self, pick: int, which: int) -> None:
        """Make a buffer, or give the handle of one back."""
        with self._step(pick):
            open_ = [number for number, one in enumerate(self.state.buffers) if one.open]
            if pick & 1 or len(open_) < 3:
                self._new_buffer(which)
            else:
                self.do("close", bo=open_[which % len(open_)])

    def nodes(self, pick: int, what: int) -> None:
        """The kernel takes addresses of its part, with a buffer behind them or none."""
        pages, how = draw.nodes.pair(what)
        with self._step(pick):
            vm = self._vm(pick)
            there = [number for number, one in enumerate(self.state.nodes) if one.open]
            if how < 3 and there:
                self.do("free", node=there[pick % len(there)])
                return
            kernel = (1 << self.state.va_bits) - vm.user_end
            size = pages * PAGE if pages > 0 else kernel // -pages
            number = self._buffer(vm, pick) if how & 1 else NONE
            if number >= 0:
                size = min(size, self.state.buffers[number].size)
            va = ALL - 1
            if how >= 6:
                va = vm.user_end + pick * PAGE if how == 6 else vm.user_end + kernel - size
            before = len(self.state.nodes)
            self.do("alloc", vm=vm.number, size=size, va=va, bo=number)
            if pages < 0 and len(self.state.nodes) > before:
                self.do("free", node=before)

    # -- mishaps ------------------------------------------------------------------------------

    def mishap(self, pick: int, what: int) -> None:
        """The device faults, gets stuck, is reset, sleeps, or goes; and then works again."""
        mishap, which = draw.mishaps.pair(what)
        with self._step(pick):
            if self.state.unplugged:
                return
            vm = self._vm(which)
            self._job(vm)
            _MISHAPS[mishap](self, vm, pick)
            self._recover()

    def _fault(self, vm: MaliVm, pick: int) -> None:
        if pick & 16:
            self._end_jobs(vm)
        slot = vm.slot
        if pick & 32:
            # One that nobody has, if there is such.
            had = {one.slot for one in self.state.vms}
            slot = next((one for one in range(1, len(self.state.slots)) if one not in had), slot)
        if slot > 0:
            self.do("fault", slot=slot, address=pick % 8 * PAGE, code=0x2C3)
        if pick & 1:
            self._map(vm, pick % 8 * PAGE, draw.SHAPES[pick], pick)

    def _fault_once(self, vm: MaliVm, pick: int) -> None:
        """An AS faults; its VM may go as it is."""
        self._fault(vm, pick)
        if pick & 8:
            self.do("destroy_vm", vm=vm.number)

    def _fault_again(self, vm: MaliVm, pick: int) -> None:
        self._fault(vm, pick)
        self._end_jobs(vm)
        if self._job(vm):
            self._fault(vm, pick + 1)
        self._end_jobs(vm)
        self._job(vm)

    def _slow(self, vm: MaliVm, pick: int) -> None:
        """A command takes its time, and the driver waits for it."""
        if pick & 32:
            self._end_jobs(vm)
        if vm.slot > 0:
            self.do("stick", slot=vm.slot, polls=1 + pick % 5, after=pick >> 3 & 3)
        self._map(vm, pick % 8 * PAGE, draw.SHAPES[pick], pick)
        self._end_jobs(vm)
        self._job(vm)

    def _stuck(self, vm: MaliVm, pick: int) -> None:
        """A command never ends, while something is mapped or unmapped."""
        one = self._there(vm, pick)
        if vm.slot <= 0:
            return
        self.do("stick", slot=vm.slot, polls=NONE, after=pick >> 4)
        if pick & 1 and one is not None:
            self._unmap(vm, *self._range(vm, one, draw.PARTS[pick % len(draw.PARTS)]))
        else:
            self._map(vm, pick % 8 * PAGE, draw.SHAPES[pick], pick)
        self._go_on(vm, pick)

    def _stuck_later(self, vm: MaliVm, pick: int) -> None:
        """A command never ends, while a queued bind is carried out."""
        if vm.slot <= 0:
            return
        self.do("stick", slot=vm.slot, polls=NONE, after=pick >> 4)
        args = self._map_args(vm, pick % 8 * PAGE, draw.SHAPES[pick], pick)
        if args:
            self.do("queue", **args)
        self.do("run")
        self._go_on(vm, pick)

    def _go_on(self, vm: MaliVm, pick: int) -> None:
        """What a process does that does not know of it yet."""
        if pick & 8:
            self._map(vm, pick % 4 * PAGE, draw.SHAPES[pick + 1], pick)
        self.do("run")
        self._job(vm)

    def _stuck_active(self, vm: MaliVm, pick: int) -> None:
        """A command never ends, while the VM gets its address space."""
        self._end_jobs(vm)
        self.do("pre_reset")
        self.do("post_reset")
        # For good, or until the driver has given up.
        self.do("stick", slot=1, polls=GIVEN_UP if pick & 8 else NONE, after=pick % 4)
        self.do("active", vm=vm.number)
        if pick & 16:
            self.do("active", vm=vm.number)
        self.do("run")
        self._job(vm)
        self._map(vm, pick % 8 * PAGE, draw.SHAPES[pick], pick)

    def _stuck_asleep(self, vm: MaliVm, pick: int) -> None:
        """A command never ends, while the device is put to sleep."""
        if vm.slot <= 0:
            return
        self.do("stick", slot=vm.slot, polls=GIVEN_UP if pick & 8 else NONE, after=pick >> 4)
        if pick & 1:
            self._map(vm, pick % 8 * PAGE, draw.SHAPES[pick], pick)
        self.do("suspend")
        self.do("resume")
        self.do("run")

    def _reset(self, vm: MaliVm, pick: int) -> None:
        """Once, or once more when no VM has an AS."""
        if pick & 4:
            self._end_all_jobs()
        for _ in range(1 + (pick >> 3 & 1)):
            self._reset_alone()
        self._job(vm)

    def _reset_between(self, vm: MaliVm, pick: int) -> None:
        if pick & 8:
            args = self._map_args(vm, pick % 8 * PAGE, draw.SHAPES[pick], pick)
            if args:
                self.do("queue", **args)
        self.do("pre_reset")
        if pick & 4:
            self.do("fault", slot=1, address=pick * PAGE)
        self._between(vm, pick)
        self.do("post_reset")
        self.do("run")
        self._job(vm)

    def _suspend(self, vm: MaliVm, pick: int) -> None:
        """Once, or once more when no VM has an AS; after a fault now and then."""
        if pick & 2:
            self._fault(vm, pick & ~1)
        if pick & 4:
            self._end_all_jobs()
        for _ in range(1 + (pick >> 3 & 1)):
            self.do("suspend")
            self.do("resume")
        self._job(vm)

    def _suspend_between(self, vm: MaliVm, pick: int) -> None:
        self.do("suspend")
        self._between(vm, pick)
        self.do("resume")
        self._job(vm)

    def _unplug(self, vm: MaliVm, pick: int) -> None:
        """The device goes; only so late in an example that not much is lost."""
        if len(self.session.operations) < 40 and pick > 2:
            self._reset(vm, pick)
            return
        self.do("alloc", vm=vm.number)
        if pick & 1:
            self._end_all_jobs()
        if pick & 2:
            self._end_all_jobs()
            self._reset_alone()
        elif pick & 4:
            self._fault(vm, 0)
        if pick & 16:
            self._queue_page(vm, pick, self.ask("fence"))
        self.do("unplug")
        self._between(vm, pick | 31)
        self.do("alloc", vm=vm.number)
        self.do("close_file")
        self.do("run")

    def _close_file(self, vm: MaliVm, pick: int) -> None:
        """The process ends, while jobs of it may be at work; then another begins."""
        if pick & 1:
            self._end_jobs(vm)
        if pick & 8:
            self._queue_page(vm, pick, self.ask("fence"))
        if pick & 6 == 2:
            self.do("suspend")
        elif pick & 6 == 4:
            self.do("pre_reset")
        elif pick & 6 == 6 and vm.slot > 0:
            self.do("stick", slot=vm.slot)
            self._map(vm, pick % 8 * PAGE, draw.SHAPES[pick], pick)
        self.do("close_file")
        for one in self.state.vms:
            self._end_jobs(one)
        self.do("run")
        self.do("vm")

    # -- mistakes -----------------------------------------------------------------------------

    def mistake(self, pick: int, what: int) -> None:
        """A call that has to be refused; then one that has not."""
        mistake, which = draw.mistakes.pair(what)
        with self._step(pick):
            before = self.changed
            other = _other_mistake(self.state, mistake, which)
            if other is not None:
                self.do(other[0], **other[1])
            elif mistake in ("node-there", "no-room"):
                self._wrong_node(mistake, which)
            else:
                self._wrong_bind(mistake, which, pick)
            self.changed = before

    def _wrong_node(self, mistake: str, which: int) -> None:
        vm = self._vm(which)
        kernel = (1 << self.state.va_bits) - vm.user_end
        if mistake == "no-room":
            size = kernel + PAGE if which & 1 else kernel
            va = vm.user_end - PAGE if which & 2 else vm.user_end + PAGE
            self.do("alloc", vm=vm.number, size=size, va=va if which & 4 else ALL - 1)
            return
        there = [one for one in self.state.nodes if one.open]
        if there:
            one = there[which % len(there)]
            va = one.last + 1 - PAGE if which & 1 else max(one.first - PAGE, 0)
            self.do("alloc", vm=one.vm, size=2 * PAGE, va=va)

    def _wrong_bind(self, mistake: str, which: int, pick: int) -> None:
        vm = self._vm(which)
        shape = draw.Shape(draw.SHORT[pick % len(draw.SHORT)], 0, 0, 0)
        args = self._map_args(vm, pick % 8 * PAGE, shape, pick)
        if not args:
            return
        if which & 1 and mistake in _FOR_UNMAP:
            args.update(kind=UNMAP, bo=NONE, offset=0, flags=0)
        one = self._there(vm, pick)
        if one is not None and which & 2:
            args["va"] = min(one.first + PAGE, vm.user_end - PAGE)
        queued = mistake in _QUEUED or bool(which & 4 and mistake != "empty")
        args.update(_spoilt(self.state, vm, mistake, which, args))
        if not queued:
            args.pop("fence", None)
        self.do("queue" if queued else "bind", **args)


_ACTIONS: Mapping[str, Callable[[MaliMachine, int, int], None]] = {
    "bind": MaliMachine.bind,
    "bind-over": MaliMachine.bind_over,
    "unbind": MaliMachine.unbind,
    "bind-in-use": MaliMachine.bind_in_use,
    "bind-large": MaliMachine.bind_large,
    "queue": MaliMachine.queue,
    "queue-in-order": MaliMachine.queue_in_order,
    "jobs": MaliMachine.jobs,
    "vms": MaliMachine.vms,
    "make-or-close": MaliMachine.make_or_close,
    "nodes": MaliMachine.nodes,
    "mishap": MaliMachine.mishap,
    "mistake": MaliMachine.mistake,
}

_MISHAPS: Mapping[str, Callable[[MaliMachine, MaliVm, int], None]] = {
    "fault": MaliMachine._fault_once,
    "fault-again": MaliMachine._fault_again,
    "slow": MaliMachine._slow,
    "stuck": MaliMachine._stuck,
    "stuck-later": MaliMachine._stuck_later,
    "stuck-active": MaliMachine._stuck_active,
    "stuck-asleep": MaliMachine._stuck_asleep,
    "reset": MaliMachine._reset,
    "reset-between": MaliMachine._reset_between,
    "suspend": MaliMachine._suspend,
    "suspend-between": MaliMachine._suspend_between,
    "unplug": MaliMachine._unplug,
    "close-file": MaliMachine._close_file,
}

_FOR_UNMAP = frozenset(
    {"empty", "empty-queued", "askew", "askew-size", "kernel", "kernel-edge", "outside", "wrap"}
)
"""Mistakes that an unmap can make as well."""

_QUEUED = frozenset({"empty-queued", "no-fence", "wait-with-range"})
"""Mistakes that only a queued bind can make."""


def _other_mistake(state: MaliState, mistake: str, which: int) -> tuple[str, dict[str, int]] | None:
    """A wrong operation that is no bind; None where the mistake is about binds."""
    gone = [vm.number for vm in state.vms if not vm.handle]
    destroyed = gone[which % len(gone)] if gone else len(state.vms) + which
    found: dict[str, tuple[str, dict[str, int]]] = {
        "signal-again": ("signal", {"fence": _unsignalable(state, which)}),
        "idle-none": ("idle", {"vm": _idle_vm(state, which)}),
        "size-of-buffer": ("bo", {"size": 0 if which & 1 else PAGE + 0x800}),
        "close-again": ("close", {"bo": _closed(state, which)}),
        "destroy-again": ("destroy_vm", {"vm": destroyed}),
        "no-slot": ("fault", {"slot": len(state.slots) + which}),
        "user-part": ("vm", {"user_va": (1 << state.va_bits) - (which << 20)}),
        "no-node": ("free", {"node": len(state.nodes) + which}),
        "node-askew": ("alloc", {"vm": 0, "size": 0x800 if which & 1 else 0}),
    }
    return found.get(mistake)


def _unsignalable(state: MaliState, which: int) -> int:
    numbers = [
        number for number, one in enumerate(state.fences) if one.signalled or one.bind is not None
    ]
    return numbers[which % len(numbers)] if numbers else len(state.fences)


def _idle_vm(state: MaliState, which: int) -> int:
    numbers = [vm.number for vm in state.vms if vm.active == 0]
    return numbers[which % len(numbers)] if numbers else len(state.vms)


def _closed(state: MaliState, which: int) -> int:
    numbers = [number for number, one in enumerate(state.buffers) if not one.open]
    return numbers[which % len(numbers)] if numbers else len(state.buffers)


def _spoilt(
    state: MaliState, vm: MaliVm, mistake: str, which: int, args: Mapping[str, int]
) -> dict[str, int]:
    """The arguments of a bind that make it wrong."""
    full = 1 << state.va_bits
    gone = [one.number for one in state.vms if not one.handle]
    destroyed = gone[which % len(gone)] if gone and which & 1 else len(state.vms)
    others = [number for number, one in enumerate(state.buffers) if one.vm not in (NONE, vm.number)]
    closed = [number for number, one in enumerate(state.buffers) if not one.open]
    number = closed[which % len(closed)] if closed and which & 2 else len(state.buffers)
    size = args["size"]
    buffer = max(args["bo"], 0)
    found: dict[str, dict[str, int]] = {
        "empty": {"size": 0},
        "empty-queued": {"size": 0},
        "askew": {"va": args["va"] | 0x800},
        "askew-size": {"size": size | 0x800},
        "askew-offset": {"offset": 0x800},
        "no-buffer": {"bo": number},
        "beyond": {"offset": state.buffers[buffer].size - size + PAGE},
        "other-vm": {"bo": others[which % len(others)] if others else len(state.buffers)},
        "flags": {"flags": 8 << which % 4},
        "kind": {"kind": 3 + which},
        "kernel": {"va": vm.user_end + which * PAGE},
        "kernel-edge": {"va": vm.user_end - PAGE, "size": 2 * PAGE},
        "outside": {"va": full - PAGE if which & 2 else full},
        "wrap": {"va": -PAGE, "size": 2 * PAGE},
        "no-vm": {"vm": destroyed},
        "no-fence": {"fence": len(state.fences) + which},
        "unmap-buffer": {"kind": UNMAP, "bo": buffer},
        "wait-with-range": {"kind": SYNC_ONLY},
    }
    if mistake == "kernel-edge" and args["kind"] == MAP and state.buffers[buffer].size < 2 * PAGE:
        return {"va": vm.user_end}
    return found[mistake]


def machine_class(traits: dict[str, tuple[str, ...]]) -> type[MaliMachine]:
    """The machine for targets with these traits: it is the same for all."""
    return MaliMachine
