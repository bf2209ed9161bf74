"""The promise of a Mali device and its driver to the process that uses them.

Which calls have to succeed, which to be refused and with which errno; what the process was told
is mapped, and who holds which reference. What is mapped where, what the driver's events say of
it, and what the device may still use stands in :class:`MaliState`: :class:`MaliPromise` says
which calls move it on, and how.

What a call has to be refused for is reckoned here from the state, and by the driver from what it
holds: that both reckon it is meant, for a mistake that they shared would not be seen.

Source: formats.md B.3 to B.7; semantics.md (calls);
semantics.md (when a duty falls due).
"""

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from reference.calls import LEGAL, REFUSED, Broken, Call, Traits, create_before
from reference.hardware.observation import Observation
from reference.operations import Operation, Result
from reference.systems.gpuvm.mappings import Mapping as Vma
from reference.systems.mali.device import UPDATE
from reference.systems.mali.state import (
    MAP,
    MAP_FLAGS,
    NOEXECUTE,
    NONE,
    SYNC_ONLY,
    UNMAP,
    Bind,
    MaliFence,
    MaliNode,
    MaliState,
    MaliVm,
    user_part,
)
from reference.trace import REFS_PINS, REFS_VM, REFS_VM_BO
from reference.words import to_unsigned

PAGE: Final = 0x1000
"""Bytes of the smallest page."""
LARGE_PAGE: Final = 0x20_0000
"""From this size on the kernel's allocator aligns to it."""
ALL: Final = 1 << 64
"""Bytes that 64-bit addresses reach."""
LIMIT_VMS: Final = 128
LIMIT_BUFFERS: Final = 256
LIMIT_FENCES: Final = 1024
"""How many of each can ever be made; numbers are not used again."""
HANDLES: Final = 32
"""VMs that a process can have at a time (formats.md B.5)."""
PATIENT: Final = 1000
"""A driver waits for a command as long as that many reads of STATUS take, and longer."""

TIMED_OUT: Final = -errno.ETIMEDOUT
"""A command of the device did not end."""

_INVALID: Final = (-errno.EINVAL,)
UPDATES: Final = "updates"
"""The trait that says how the driver changes tables: "locked" is in a locked region, and UNLOCK and
UPDATE then stand for the invalidation; without it, tables are changed, and FLUSH_* follows.
"""
_WAITING: Final = frozenset({"bind", "alloc", "free", "active", "destroy_vm", "close_file"})
"""Operations that say so when the device does not answer."""
_SILENT: Final = frozenset({"destroy_vm", "close_file", "idle"})
"""Operations that may use the device and give no error when it does not answer."""


class Span:
    """Addresses ``first``..``last`` of a VM that a call was about.

    ``outside``: the VMAs that reached up to it, as they were before, without an address in it.
    """

    def __init__(self, vm: MaliVm, first: int, last: int) -> None:
        self.vm: MaliVm = vm
        self.first: int = first
        self.last: int = last
        self.outside: list[Vma] = []

    def window(self) -> tuple[int, int]:
        """The range with a page on each side, as far as there is one."""
        limit: int = self.vm.view.geometry.limit
        return max(self.first - PAGE, 0), min(self.last + PAGE, limit - 1)

    def vmas(self) -> list[Vma]:
        """What is promised in the window."""
        first, last = self.window()
        return self.vm.promise.within(first, last)

    def beside(self, others: "Sequence[Span]") -> list[tuple[int, int]]:
        """(first, last) of the pages on each side, but for those that ``others`` are about."""
        first, last = self.window()
        sides = ((first, self.first - 1), (self.last + 1, last))
        return [side for side in sides if side[0] <= side[1] and not self._is_named(side, others)]

    def _is_named(self, side: tuple[int, int], others: "Sequence[Span]") -> bool:
        """Whether one of ``others`` is about an address in a range of the same VM."""
        for span in others:
            if span.vm is self.vm and span.first <= side[1] and span.last >= side[0]:
                return True
        return False

    def is_judged(self, result: Result) -> bool:
        """Whether the driver still has the VM, and what was asked of it was done."""
        return result.result == 0 and self.vm.exists and self.vm.handle


class Recount:
    """A count of references that event ``event`` told, beside what a recount gives.

    ``what``: REFS_VM, ..., of object ``number``, in VM ``vm`` or NONE. ``told``; ``expected``:
    with what it is known to be wrong by.
    """

    def __init__(
        self, event: int, what: int, vm: int, number: int, told: int, expected: int
    ) -> None:
        self.event: int = event
        self.what: int = what
        self.vm: int = vm
        self.number: int = number
        self.told: int = told
        self.expected: int = expected


class MaliCall(Call):
    """One call. ``first``..``last``: the first range that it is about.

    ``end``: its last event. ``spans``: what it was about, queued binds that were done included.
    ``faulted``: the AS whose fault the driver has to handle; ``activated``: the VM that a first
    job uses from now on; NONE each for none. ``running``: the AS of each VM that jobs used before.
    ``beside``: of each queued bind, the VMAs that reached up to its range before ``run``.
    ``holes``: (first, last) of what was free in the kernel's part before ``alloc``.
    ``may_time_out``: whether a command of the device may not have ended. ``unended``: the AS whose
    last command is an UPDATE, and nobody looked whether it has ended. ``recounts``: the counts
    that it told and that can be judged; ``owed``: by how much they are wrong, by (what, VM,
    number). ``changed_stalled``: addresses that it was not about, and that changed while nobody
    could look; ``freed_linked``: tables that it freed although they were linked.
    """

    def __init__(self, operation: Operation) -> None:
        super().__init__(operation)
        self.end: int = NONE
        self.spans: list[Span] = []
        self.faulted: int = NONE
        self.activated: int = NONE
        self.running: dict[int, int] = {}
        self.beside: dict[int, list[Vma]] = {}
        self.holes: list[tuple[int, int]] = []
        self.may_time_out: bool = False
        self.unended: list[int] = []
        self.recounts: list[Recount] = []
        self.owed: dict[tuple[int, int, int], int] = {}
        self.changed_stalled: list[tuple[MaliVm, int]] = []
        self.freed_linked: list[tuple[MaliVm, Observation]] = []

    def concern(self, span: Span) -> None:
        """It is about these addresses, too."""
        if not self.spans:
            self.first, self.last = span.first, span.last
        self.spans.append(span)


class MaliPromise:
    """What a process was told by the driver of a Mali device, with what events say of both.

    ``made``: the device and all that the process has of it; None before it was made.
    """

    def __init__(self, traits: Traits) -> None:
        self.made: MaliState | None = None
        self.locked_updates: bool = "locked" in traits.get(UPDATES, ())

    @property
    def state(self) -> MaliState:
        """The device and all that the process has of it; there has to be one."""
        assert self.made is not None
        return self.made

    @property
    def warned(self) -> int:
        """The event of a warning in the last call; -1 for none."""
        return self.state.seen.warned

    def implied(self, operation: Operation, first: bool) -> Operation | None:
        """A default device goes without saying."""
        return create_before(operation, first, self.made is not None)

    def takes(self, operation: Operation) -> bool:
        """There is one device: it is made first, and once."""
        return (self.made is None) == (operation.name == "create")

    # -- before a call --------------------------------------------------------------------------

    def before(self, operation: Operation) -> MaliCall:
        """Sort a call before it is made, and say what it may touch."""
        if operation.name == "create":
            self.made = _device(operation, self.locked_updates)
        state = self.state
        state.begin()
        call = self.sort(operation)
        for vm in state.vms:
            if vm.active > 0:
                call.running[vm.number] = vm.slot
            vm.view.touched_first = 0
            vm.view.touched_last = -1
        prepare = _BEFORE.get(operation.name)
        if prepare is not None:
            prepare(state, call)
        _before_destruction(state, operation)
        call.may_time_out = state.may_time_out
        return call

    def sort(self, operation: Operation) -> MaliCall:
        """A call, sorted: legal, refused or misuse. Nothing is changed by it."""
        state, name = self.state, operation.name
        call = MaliCall(operation)
        refusal = _REFUSALS.get(name)
        reason, errors = refusal(state, operation) if refusal is not None else ("", ())
        if not reason and name in _MISUSES:
            why, results = _MISUSES[name](state, operation)
            if why:
                call.misuse(why)
                call.errors = results
                return call
        if not errors and reason:
            errors = _INVALID
        if operation.args.get("fail_at"):
            errors += (-errno.ENOMEM,)
        if state.may_time_out and name in _WAITING:
            errors += (TIMED_OUT,)
            if name == "active":
                # An AS that could not be enabled may be lost until the reset.
                errors += (-errno.EBUSY,)
        call.errors = errors
        if reason:
            call.refuse(reason, *errors)
        return call

    # -- after it -------------------------------------------------------------------------------

    def feed(self, words: list[int], begin: int) -> None:
        """Let the views of driver and device follow the events of a call."""
        self.state.feed(words, begin)

    def after(self, call: MaliCall, result: Result, end: int) -> None:
        """What the process was told by a call that came back."""
        state, name = self.state, call.operation.name
        call.end = end
        _keep_until_reset(state, call, result)
        if name == "run":
            _after_run(state, call)
        if result.result == TIMED_OUT and call.sort == LEGAL:
            _after_timeout(state, call)
        elif result.result != 0:
            _after_failure(state, call)
        elif call.sort != REFUSED:
            move = _AFTER.get(name)
            if move is not None:
                move(state, call, result)
        state.settle()
        _follow_faults(state)
        _gather(state, call)
        _recount(state, call)

    def changed(self, call: MaliCall, result: Result) -> bool:
        """Whether the call changed VMAs, fences, address spaces, or what the process has."""
        seen = self.state.seen
        if call.operation.name == "bind":
            return len(seen.changed) > 0
        if call.operation.name == "run":
            return bool(seen.changed or seen.fences or seen.lost_registers or seen.slots)
        return result.result == 0

    # -- going on -------------------------------------------------------------------------------

    def take_over(self, call: MaliCall, result: Result, broken: Sequence[Broken]) -> bool:
        """Go on with what the driver did, unless driver or device work on what is no table."""
        state = self.state
        for one in broken:
            if one.corrupts:
                return False
        if broken:
            _take_over(state, call, {one.rule for one in broken})
        for vm in state.vms:
            if is_over(vm):
                vm.reported = True
        _move_on(state)
        return True

    def owes(self, call: MaliCall, vm: int) -> bool:
        """Whether a VM, or a link to it, is known to have too many references."""
        for key, by in {**self.state.owed, **call.owed}.items():
            if key[1] == vm and by > 0:
                return True
        return False

    def is_lost(self) -> bool:
        """Not even the device could be made without what is wrong."""
        return self.made is None

    def ending(self) -> Iterator[Operation]:
        """What brings everything to its end: the last jobs, fences, the file, and work left."""
        state = self.made
        return iter([]) if state is None else iter(_ending(state))


def _device(operation: Operation, locked_updates: bool) -> MaliState:
    """A device that nobody has used."""
    return MaliState(
        operation.number("va_bits"),
        operation.number("pa_bits"),
        operation.number("slots"),
        bool(operation.number("coherent")),
        locked_updates,
    )


def _ending(state: MaliState) -> list[Operation]:
    ending: list[Operation] = []
    if state.resetting:
        ending.append(Operation("post_reset"))
    if not state.powered and not state.unplugged:
        ending.append(Operation("resume"))
    if state.may_time_out and not state.unplugged and not state.resetting:
        ending += [Operation("pre_reset"), Operation("post_reset")]
    for number, fence in enumerate(state.fences):
        if fence.bind is None and not fence.signalled:
            ending.append(Operation("signal", {"fence": number}))
    ending += [Operation("run"), Operation("close_file")]
    for vm in state.vms:
        ending += [Operation("idle", {"vm": vm.number})] * vm.active
    ending.append(Operation("run"))
    return ending


# -- reasons to refuse a call ---------------------------------------------------------------------


def _bind_refusal(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    args = operation.args
    queued = operation.name == "queue"
    if state.unplugged:
        return "unplugged", (-errno.ENODEV,)
    if queued and len(state.fences) >= LIMIT_FENCES:
        return "too many fences", (-errno.ENOSPC,)
    vm = state.vm_with_handle(int(args["vm"]))
    if vm is None:
        return "no such VM", ()
    if queued and not NONE <= int(args["fence"]) < len(state.fences):
        return "no such fence", ()
    if queued and not vm.usable:
        return "VM is unusable", ()
    kind = int(args["kind"])
    va, size = to_unsigned(int(args["va"])), to_unsigned(int(args["size"]))
    if kind == SYNC_ONLY and queued:
        empty = not (va or size or int(args["offset"]) or int(args["flags"]))
        return ("" if empty and int(args["bo"]) == NONE else "not only waiting"), ()
    if size == 0:
        return ("no pages", ()) if queued else ("", ())
    if kind not in (MAP, UNMAP):
        return "no such kind of bind", ()
    if (va | size) & (PAGE - 1):
        return "not whole pages", ()
    reason = _map_refusal(state, vm, args) if kind == MAP else _unmap_refusal(args)
    if not reason and va + size > vm.user_end:
        limit = state.limit
        reason = "in the kernel's part" if va + size <= limit else "outside the VM"
    return reason, ()


def _map_refusal(state: MaliState, vm: MaliVm, args: Mapping[str, int | str]) -> str:
    size, offset = to_unsigned(int(args["size"])), to_unsigned(int(args["offset"]))
    if offset & (PAGE - 1):
        return "not whole pages"
    if to_unsigned(int(args["flags"])) & ~MAP_FLAGS:
        return "unknown flags"
    reason = _buffer_refusal(state, vm, int(args["bo"]), size, offset)
    return reason or ("" if vm.usable else "VM is unusable")


def _unmap_refusal(args: Mapping[str, int | str]) -> str:
    if int(args["flags"]):
        return "unknown flags"
    return "unmap of a buffer" if int(args["bo"]) != NONE or int(args["offset"]) else ""


def _buffer_refusal(state: MaliState, vm: MaliVm, number: int, size: int, offset: int) -> str:
    if not 0 <= number < len(state.buffers) or not state.buffers[number].open:
        return "no such buffer"
    buffer = state.buffers[number]
    if size > buffer.size or offset > buffer.size - size:
        return "beyond the buffer"
    return "buffer of another VM" if buffer.vm not in (NONE, vm.number) else ""


def _vm_refusal(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    if len(state.vms) >= LIMIT_VMS:
        return "too many VMs", (-errno.ENOSPC,)
    if state.unplugged:
        return "unplugged", (-errno.ENODEV,)
    if user_part(state.va_bits, to_unsigned(operation.number("user_va"))) < 0:
        return "no room for the kernel's part", ()
    if state.handles() >= HANDLES:
        return "too many handles", (-errno.EBUSY,)
    return "", ()


def _destroy_refusal(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    vm = state.vm_with_handle(operation.number("vm"))
    return ("" if vm is not None else "no such VM"), ()


def _bo_refusal(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    size, vm = to_unsigned(operation.number("size")), operation.number("vm")
    if not size or size & (PAGE - 1) or size >= 1 << 48:
        return "no size of a buffer", ()
    if len(state.buffers) >= LIMIT_BUFFERS:
        return "too many buffers", (-errno.ENOSPC,)
    return ("" if vm == NONE or state.vm_with_handle(vm) is not None else "no such VM"), ()


def _close_refusal(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    number = operation.number("bo")
    open_ = 0 <= number < len(state.buffers) and state.buffers[number].open
    return ("" if open_ else "no such buffer"), ()


def _fence_refusal(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    return ("too many fences", (-errno.ENOSPC,)) if len(state.fences) >= LIMIT_FENCES else ("", ())


def _signal_refusal(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    number = operation.number("fence")
    if not 0 <= number < len(state.fences) or state.fences[number].bind is not None:
        return "no such fence of the process", ()
    return ("signalled already" if state.fences[number].signalled else ""), ()


def _active_refusal(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    number = operation.number("vm")
    if not 0 <= number < len(state.vms) or not state.vms[number].exists:
        return "no such VM", ()
    if state.unplugged:
        return "unplugged", (-errno.ENODEV,)
    if not state.is_up():
        return "device cannot be used", ()
    return "", ()


def _active_misuse(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    vm = state.vms[operation.number("vm")]
    if not vm.handle:
        return "a job of a destroyed VM", (-errno.EINVAL,)
    if vm.slot < 0:
        free = len(state.slots) - 1
        taken = sum(1 for one in state.vms if one.exists and one.slot > 0 and one.active > 0)
        if taken >= free:
            # The scheduler of the device never has more VMs at work than there are AS.
            return "all address spaces are in use", (-errno.EBUSY,)
    return "", ()


def _idle_refusal(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    number = operation.number("vm")
    active = 0 <= number < len(state.vms) and state.vms[number].active > 0
    return ("" if active else "no job uses the VM"), ()


def _fault_refusal(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    there = operation.number("slot") < len(state.slots) and state.powered
    return ("" if there else "no such address space, or no power"), ()


def _stick_refusal(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    return ("" if operation.number("slot") < 16 else "no such address space"), ()


def _up_refusal(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    return ("" if state.is_up() else "device cannot be used"), ()


def _post_refusal(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    return ("" if state.resetting else "no reset has begun"), ()


def _resume_refusal(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    return ("device is awake, or gone" if state.powered or state.unplugged else ""), ()


def _unplug_refusal(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    if state.unplugged or state.resetting:
        return "gone, or in a reset", ()
    return "", ()


def _unplug_misuse(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    if not state.powered:
        # Who removes a driver wakes the device before.
        return "unplugged while asleep", (-errno.EINVAL,)
    return "", ()


def _alloc_refusal(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    if state.unplugged:
        return "unplugged", (-errno.ENODEV,)
    vm = state.vm_with_handle(operation.number("vm"))
    if vm is None:
        return "no such VM", ()
    size, va = to_unsigned(operation.number("size")), to_unsigned(operation.number("va"))
    auto = va == ALL - 1
    if not size or size & (PAGE - 1) or (not auto and va & (PAGE - 1)):
        return "not whole pages", ()
    number = operation.number("bo")
    offset = to_unsigned(operation.number("offset"))
    if number != NONE:
        if offset & (PAGE - 1):
            return "not whole pages", ()
        reason = _buffer_refusal(state, vm, number, size, offset)
        if reason:
            return reason, ()
    if not _has_room(state, vm, size, NONE if auto else va):
        return "no room", (-errno.ENOSPC,)
    # Whether the kernel itself may map in a VM that is unusable is its own affair.
    return "", () if vm.usable or number == NONE else _INVALID


def _free_refusal(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    number = operation.number("node")
    there = 0 <= number < len(state.nodes) and state.nodes[number].open
    return ("" if there else "no such node"), ()


_REFUSALS: Final[dict[str, Callable[[MaliState, Operation], tuple[str, tuple[int, ...]]]]] = {
    "bind": _bind_refusal,
    "queue": _bind_refusal,
    "vm": _vm_refusal,
    "destroy_vm": _destroy_refusal,
    "bo": _bo_refusal,
    "close": _close_refusal,
    "fence": _fence_refusal,
    "signal": _signal_refusal,
    "active": _active_refusal,
    "idle": _idle_refusal,
    "fault": _fault_refusal,
    "stick": _stick_refusal,
    "pre_reset": _up_refusal,
    "post_reset": _post_refusal,
    "suspend": _up_refusal,
    "resume": _resume_refusal,
    "unplug": _unplug_refusal,
    "alloc": _alloc_refusal,
    "free": _free_refusal,
}
"""Why a call has to fail, and with what; nothing: it has not to."""

_MISUSES: Final[dict[str, Callable[[MaliState, Operation], tuple[str, tuple[int, ...]]]]] = {
    "active": _active_misuse,
    "unplug": _unplug_misuse,
}
"""Of calls that do not have to fail: why the interface forbids them, and what they may give."""


# -- what a call may touch ------------------------------------------------------------------------


def _before_vm(state: MaliState, call: MaliCall) -> None:
    """The VM that is to be made; its events may come before it is known whether it is."""
    end = user_part(state.va_bits, to_unsigned(call.operation.number("user_va")))
    state.vms.append(MaliVm(len(state.vms), state.machine, max(end, 0)))


def _before_bind(state: MaliState, call: MaliCall) -> None:
    bind = _bind_of(call.operation)
    vm = state.vm_with_handle(bind.vm)
    if vm is not None and bind.first <= bind.last < state.limit:
        _widen(vm, bind.first, bind.last)
        call.concern(_span(vm, bind.first, bind.last))


def _before_run(state: MaliState, call: MaliCall) -> None:
    for vm in state.vms:
        for number in vm.queue:
            bind = state.fences[number].bind
            if bind is not None and bind.kind != SYNC_ONLY:
                _widen(vm, bind.first, bind.last)
                call.beside[number] = _span(vm, bind.first, bind.last).outside


def _before_alloc(state: MaliState, call: MaliCall) -> None:
    vm = state.vm_with_handle(call.operation.number("vm"))
    if vm is not None:
        call.holes = _holes(state, vm)
        _widen(vm, vm.user_end, state.limit - 1)


def _before_free(state: MaliState, call: MaliCall) -> None:
    number = call.operation.number("node")
    if 0 <= number < len(state.nodes):
        node = state.nodes[number]
        _widen(state.vms[node.vm], node.first, node.last)


def _before_fault(state: MaliState, call: MaliCall) -> None:
    """The device faults at this instant; whether the driver has to hear of it."""
    if call.sort != LEGAL:
        return
    slot = call.operation.number("slot")
    if state.is_up() and state.mmu.at(slot).roots() and not state.may_time_out:
        call.faulted = slot
    address = to_unsigned(call.operation.number("address"))
    code = to_unsigned(call.operation.number("code"))
    if state.mmu.fault(slot, code, address):
        state.faulted[slot] = False
    else:
        call.faulted = NONE


def _before_stick(state: MaliState, call: MaliCall) -> None:
    if not 0 <= call.operation.number("polls") < PATIENT:
        state.may_time_out = True


def _before_destruction(state: MaliState, operation: Operation) -> None:
    """What is destroyed is unmapped as a whole, now or when the last job has ended."""
    destroyed = operation.number("vm") if operation.name == "destroy_vm" else NONE
    for vm in state.vms:
        if not vm.handle or vm.number == destroyed or operation.name == "close_file":
            _widen(vm, 0, state.limit - 1)


_BEFORE: Final[dict[str, Callable[[MaliState, MaliCall], None]]] = {
    "vm": _before_vm,
    "bind": _before_bind,
    "run": _before_run,
    "alloc": _before_alloc,
    "free": _before_free,
    "fault": _before_fault,
    "stick": _before_stick,
}


# -- what the process was told by a call ----------------------------------------------------------


def _keep_until_reset(state: MaliState, call: MaliCall, result: Result) -> None:
    """After a command that did not end, what an AS may still use is kept until the reset."""
    seen = state.seen
    stuck = seen.asked >= 0 or result.result == TIMED_OUT
    for _, _, told in seen.fences:
        stuck = stuck or told == TIMED_OUT
    may_be_stuck = state.timed_out or (state.may_time_out and seen.asked >= 0)
    if may_be_stuck and call.operation.name in _SILENT and not seen.lost_registers:
        # It gives no error: what could not be flushed is kept all the same.
        state.timed_out = True
        stuck = True
    if stuck:
        for vm in state.vms:
            vm.busy_until_reset = True


def _follow_faults(state: MaliState) -> None:
    """Which AS have faulted, and were not enabled again since."""
    for slot, stopped in list(state.faulted.items()):
        walks: bool = len(state.mmu.at(slot).roots()) > 0
        let: bool = state.mmu.mask >> slot & 1 != 0
        if walks and (stopped or let):
            del state.faulted[slot]
        else:
            state.faulted[slot] = not walks


def _after_run(state: MaliState, call: MaliCall) -> None:
    """Queued binds were done, or have failed; deferred work was done, if it was all of it."""
    seen = state.seen
    binds = list(seen.done)
    if seen.lost_registers:
        state.resetting = False
    for _, number, _ in seen.fences:
        fence = state.fences[number] if number < len(state.fences) else None
        if fence is None or fence.bind is None or fence.result != TIMED_OUT:
            continue
        state.timed_out = not seen.lost_registers
        if state.vms[fence.bind.vm].handle:
            _follow_driver(state, fence.bind)
            binds.append(fence.bind)
    # What is beside a bind is known once all of them are done.
    for bind in binds:
        call.concern(_done_span(state, call, bind))
    if not call.operation.number("steps"):
        for vm in state.vms:
            vm.busy_until_run = False
            if seen.lost_registers:
                vm.busy_until_reset = False


def _after_timeout(state: MaliState, call: MaliCall) -> None:
    """The result says that the device did not answer: the promise follows the driver."""
    state.timed_out = not state.seen.lost_registers
    operation = call.operation
    if operation.name == "bind" and call.spans:
        _follow_driver(state, _bind_of(operation))
    elif operation.name == "destroy_vm":
        _destroy(state, call, state.vms[operation.number("vm")])
    elif operation.name == "free":
        _free(state, call, state.nodes[operation.number("node")])


def _follow_driver(state: MaliState, bind: Bind) -> None:
    """Promise what the driver's VMAs say for a range, with the permissions of a bind.

    Where none of them came or went, the bind has not begun.
    """
    vm = state.vms[bind.vm]
    moved = state.seen.changed
    if not any(one == vm.number and a <= bind.last and b >= bind.first for one, a, b in moved):
        return
    held = vm.held.within(bind.first, bind.last)
    whole = len(held) == 1 and (held[0].first, held[0].last) == (bind.first, bind.last)
    if bind.kind == MAP and whole and held[0].buffer == bind.buffer:
        state.carry_out(bind)
    elif not held:
        state.carry_out(Bind(vm.number, UNMAP, bind.first, bind.last, NONE, 0, 0))


def _after_failure(state: MaliState, call: MaliCall) -> None:
    """A call failed: the VM was not made, or there is nothing new in the kernel's part."""
    if call.operation.name == "vm":
        _unmake_vm(state)
    elif call.operation.name == "alloc":
        vm = state.vm_with_handle(call.operation.number("vm"))
        if vm is not None:
            call.concern(Span(vm, vm.user_end, state.limit - 1))


def _unmake_vm(state: MaliState) -> None:
    """The VM that was to be made was not."""
    vm = state.vms.pop()
    for page in [page for page, owner in state.owners.items() if owner == vm.number]:
        del state.owners[page]
    vm.view.take_back()
    state.touched = [one for one in state.touched if one is not vm]


def _bound(state: MaliState, call: MaliCall, result: Result) -> None:
    if not call.spans:
        return
    bind = _bind_of(call.operation)
    state.carry_out(bind)
    state.fall_due(bind, call.end)
    _keep_in_reset(state, state.vms[bind.vm])


def _keep_in_reset(state: MaliState, vm: MaliVm) -> None:
    """What comes off while the device is reset may be kept until it was."""
    if state.resetting:
        vm.busy_until_reset = True


def _queued(state: MaliState, call: MaliCall, result: Result) -> None:
    bind = _bind_of(call.operation)
    bind.fence = len(state.fences)
    bind.waits_for = call.operation.number("fence")
    state.fences.append(MaliFence(bind))
    state.vms[bind.vm].queue.append(bind.fence)
    state.vms[bind.vm].busy_until_run = True


def _fence_made(state: MaliState, call: MaliCall, result: Result) -> None:
    state.fences.append(MaliFence(None))


def _buffer_made(state: MaliState, call: MaliCall, result: Result) -> None:
    operation = call.operation
    state.add_buffer(
        to_unsigned(operation.number("size")),
        operation.number("vm"),
        operation.number("pieces"),
        bool(operation.number("imported")),
    )


def _buffer_closed(state: MaliState, call: MaliCall, result: Result) -> None:
    state.buffers[call.operation.number("bo")].open = False


def _vm_destroyed(state: MaliState, call: MaliCall, result: Result) -> None:
    _destroy(state, call, state.vms[call.operation.number("vm")])


def _file_closed(state: MaliState, call: MaliCall, result: Result) -> None:
    for vm in state.vms:
        if vm.handle:
            _destroy(state, call, vm)


def _destroy(state: MaliState, call: MaliCall, vm: MaliVm) -> None:
    """The process has no handle of a VM any more, and nothing is mapped in it."""
    vm.handle = False
    for node in state.nodes:
        if node.vm == vm.number:
            node.open = False
    vm.nodes = 0
    _keep_in_reset(state, vm)
    everything = Bind(vm.number, UNMAP, 0, state.limit - 1, NONE, 0, 0)
    state.carry_out(everything)
    state.fall_due(everything, call.end)
    call.concern(Span(vm, everything.first, everything.last))


def _job_began(state: MaliState, call: MaliCall, result: Result) -> None:
    vm = state.vms[call.operation.number("vm")]
    if vm.active == 1:
        call.activated = vm.number


def _job_ended(state: MaliState, call: MaliCall, result: Result) -> None:
    # It may have been the last of a VM that was destroyed.
    _keep_in_reset(state, state.vms[call.operation.number("vm")])


def _allocated(state: MaliState, call: MaliCall, result: Result) -> None:
    operation = call.operation
    vm = state.vms[operation.number("vm")]
    first = to_unsigned(result.value)
    last = first + to_unsigned(operation.number("size")) - 1
    buffer = operation.number("bo")
    state.nodes.append(MaliNode(vm.number, first, last, buffer))
    vm.nodes += 1
    if buffer != NONE and last < state.limit:
        offset = to_unsigned(operation.number("offset"))
        call.concern(_span(vm, first, last))
        state.carry_out(Bind(vm.number, MAP, first, last, buffer, offset, NOEXECUTE))


def _freed(state: MaliState, call: MaliCall, result: Result) -> None:
    _free(state, call, state.nodes[call.operation.number("node")])


def _free(state: MaliState, call: MaliCall, node: MaliNode) -> None:
    """The kernel has addresses of its part back, and nothing is mapped there."""
    vm = state.vms[node.vm]
    node.open = False
    vm.nodes -= 1
    _keep_in_reset(state, vm)
    if node.buffer != NONE:
        bind = Bind(vm.number, UNMAP, node.first, node.last, NONE, 0, 0)
        call.concern(_span(vm, node.first, node.last))
        state.carry_out(bind)
        state.fall_due(bind, call.end)


def _reset_began(state: MaliState, call: MaliCall, result: Result) -> None:
    state.resetting = True
    state.halt(call.end)


def _reset_ended(state: MaliState, call: MaliCall, result: Result) -> None:
    state.resetting = False


def _suspended(state: MaliState, call: MaliCall, result: Result) -> None:
    state.powered = False


def _resumed(state: MaliState, call: MaliCall, result: Result) -> None:
    state.powered = True


def _unplugged(state: MaliState, call: MaliCall, result: Result) -> None:
    state.unplugged = True


_AFTER: Final[dict[str, Callable[[MaliState, MaliCall, Result], None]]] = {
    "destroy_vm": _vm_destroyed,
    "bo": _buffer_made,
    "close": _buffer_closed,
    "bind": _bound,
    "queue": _queued,
    "fence": _fence_made,
    "active": _job_began,
    "idle": _job_ended,
    "pre_reset": _reset_began,
    "post_reset": _reset_ended,
    "suspend": _suspended,
    "resume": _resumed,
    "unplug": _unplugged,
    "close_file": _file_closed,
    "alloc": _allocated,
    "free": _freed,
}


# -- what there is to compare ---------------------------------------------------------------------


def _gather(state: MaliState, call: MaliCall) -> None:
    """What the views have kept for the end of the call, and commands that nobody saw end."""
    for vm in state.touched:
        for va in vm.view.changed_stalled:
            call.changed_stalled.append((vm, va))
        for seen in vm.view.freed_linked:
            call.freed_linked.append((vm, seen))
        vm.view.changed_stalled = []
        vm.view.freed_linked = []
    if state.seen.updates and not call.may_time_out:
        call.unended = [
            slot for slot in range(len(state.slots)) if state.mmu.at(slot).command == UPDATE
        ]


def _recount(state: MaliState, call: MaliCall) -> None:
    """The counts that were told, beside what a recount gives."""
    for event, what, vm, number, told in state.seen.refs:
        counted = _references(state, what, vm, number)
        if counted < 0:
            continue
        key = (what, vm, number)
        expected = counted + call.owed.get(key, state.owed.get(key, 0))
        call.recounts.append(Recount(event, what, vm, number, told, expected))
        if told != expected:
            call.owed[key] = told - counted


def _references(state: MaliState, what: int, vm: int, number: int) -> int:
    """What a recount gives; -1 where work that is not done may hold references."""
    if what in (REFS_VM, REFS_VM_BO):
        if not 0 <= vm < len(state.vms):
            return -1
        one = state.vms[vm]
        # Of one that lives on without a reason, that was told.
        if not one.at_rest() or not one.exists or one.reported:
            return -1
        return one.references() if what == REFS_VM else one.vmas.get(number, 0)
    if not 0 <= number < len(state.buffers) or not state.at_rest():
        return -1
    links = state.links(number)
    if what == REFS_PINS:
        return 0 if state.buffers[number].imported or state.locked_updates else links
    return links + (1 if state.buffers[number].open else 0)


def is_over(vm: MaliVm) -> bool:
    """Whether a VM was destroyed, and no job, queued bind or node uses it: it has to be gone."""
    return not vm.handle and not vm.active and vm.at_rest() and not vm.nodes


def may_lose_tables(vm: MaliVm) -> bool:
    """Whether tables of a VM may lead nowhere: work goes on, or it is told that it lives on."""
    return not vm.at_rest() or (vm.exists and (vm.reported or is_over(vm)))


def lost_tables(vm: MaliVm) -> int:
    """How many table pages of a VM lead nowhere, less those of which that was told."""
    return vm.view.lost_tables() if vm.exists else vm.view.allocated


# -- going on with what is wrong ------------------------------------------------------------------


def _take_over(state: MaliState, call: MaliCall, rules: set[str]) -> None:
    """What is wrong by these rules is so from now on, and is told once."""
    if "OR-4" in rules:
        for vm in state.touched:
            if vm.view.walked and vm.view.unseen_store() >= 0:
                vm.view.make_all_seen()
    if "RC-1" in rules:
        for vm in state.touched:
            if not may_lose_tables(vm) and lost_tables(vm) > 0:
                _forget_tables(state, vm)
    if "OR-10" in rules:
        for slot in call.unended:
            state.assume_updates_ended(slot, call.end)
    # What became of a lock after commands that cannot be relied on is not known.
    if ("OR-11" in rules or "OR-12" in rules) and not call.may_time_out:
        for slot in range(len(state.slots)):
            if state.mmu.at(slot).may_be_locked:
                state.mmu.assume_unlocked(slot)
    if "ER-11" in rules:
        state.mmu.rawstat &= ~(1 << call.faulted)
    if "ER-13" in rules:
        state.mmu.mask = state.mask_due() | state.mmu.mask & ~((1 << len(state.slots)) - 1)
    if "PG-11" in rules:
        state.reset_asked = True
    state.owed.update(call.owed)


def _forget_tables(state: MaliState, vm: MaliVm) -> None:
    """The lost tables of a VM were told of."""
    if vm.exists:
        vm.view.mark_leaked()
        return
    for pa in vm.view.take_back():
        state.owners.pop(pa, None)


def _move_on(state: MaliState) -> None:
    """After a call that stands: who is unusable, which address spaces have jobs."""
    for _, number, result in state.seen.fences:
        fence = state.fences[number] if number < len(state.fences) else None
        if fence is not None and fence.bind is not None and result:
            state.vms[fence.bind.vm].usable = False
    if state.seen.lost_registers:
        for vm in state.vms:
            # What waited for the reset is deferred work now.
            vm.busy_until_run = vm.busy_until_run or vm.busy_until_reset
            vm.busy_until_reset = False
    state.settle_slots()


# -- ranges ---------------------------------------------------------------------------------------


def _bind_of(operation: Operation) -> Bind:
    first = to_unsigned(operation.number("va"))
    return Bind(
        operation.number("vm"),
        operation.number("kind"),
        first,
        first + to_unsigned(operation.number("size")) - 1,
        operation.number("bo"),
        to_unsigned(operation.number("offset")),
        operation.number("flags"),
    )


def _span(vm: MaliVm, first: int, last: int) -> Span:
    """A range, with the mappings beside it as the promise has them."""
    span = Span(vm, first, last)
    span.outside = [one for one in span.vmas() if one.last < first or one.first > last]
    return span


def _done_span(state: MaliState, call: MaliCall, bind: Bind) -> Span:
    """The range of a queued bind that was done, with what was beside it before and still is."""
    span = Span(state.vms[bind.vm], bind.first, bind.last)
    there = {one.first: one for one in span.vmas()}
    for one in call.beside.get(bind.fence, []):
        if one.first in there and there[one.first].same(one):
            span.outside.append(one)
    return span


def _widen(vm: MaliVm, first: int, last: int) -> None:
    """What the operation may change in a VM reaches over these addresses, too."""
    view = vm.view
    if view.touched_last < view.touched_first:
        view.touched_first, view.touched_last = first, last
    else:
        view.touched_first = min(view.touched_first, first)
        view.touched_last = max(view.touched_last, last)


def _holes(state: MaliState, vm: MaliVm) -> list[tuple[int, int]]:
    """(first, last) of what is free in the kernel's part of a VM."""
    nodes = sorted((one.first, one.last) for one in state.nodes if one.vm == vm.number and one.open)
    holes: list[tuple[int, int]] = []
    at = vm.user_end
    for first, last in nodes:
        if first > at:
            holes.append((at, first - 1))
        at = last + 1
    if at < state.limit:
        holes.append((at, state.limit - 1))
    return holes


def _has_room(state: MaliState, vm: MaliVm, size: int, va: int) -> bool:
    """Whether there is a place for ``size`` bytes: at ``va``, or anywhere."""
    align = LARGE_PAGE if size >= LARGE_PAGE else PAGE
    for first, last in _holes(state, vm):
        start = va if va != NONE else -(-first // align) * align
        if first <= start and start + size - 1 <= last:
            return True
    return False
