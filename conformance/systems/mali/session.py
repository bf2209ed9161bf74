"""One example of system ``mali``: a process uses a Mali device, and each operation is judged.

The session carries out one operation after the other on a target, feeds its trace to the
state, moves the promise on, and asks the rules. It draws nothing and knows no rule by name.
"""

import errno
from collections.abc import Mapping

from conformance.rules.rule import LEGAL, MISUSE, REFUSED, Rule
from conformance.session import JudgedSession, Outcome
from conformance.systems.mali.operations import (
    ALL,
    HANDLES,
    LARGE_PAGE,
    LIMIT_BUFFERS,
    LIMIT_FENCES,
    LIMIT_VMS,
    PAGE,
    PATIENT,
    SPECS,
    possible,
)
from conformance.systems.mali.rules import MALI
from conformance.systems.mali.rules.step import MaliStep, Span
from reference.operations import Operation, OperationSpec, Result, make
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
from reference.trace import BEGIN, END
from reference.words import to_unsigned

_RULES: dict[str, tuple[Rule, ...]] = {
    name: tuple(rule for rule in MALI if name in rule.operations) for name in SPECS
}
_ENDING_RULES = tuple(rule for rule in MALI if rule.id in ("PG-1", "PG-2"))

_TIMED_OUT = -errno.ETIMEDOUT
_INVALID = (-errno.EINVAL,)
_SILENT = frozenset({"destroy_vm", "close_file", "idle"})
"""Operations that may use the device and give no error when it does not answer."""


class MaliSession(JudgedSession):
    """Runs operations of one example on ``target`` and judges each.

    It goes on after a violation: what the promise can take over, it does; else the operation
    is undone by running the ones before it again.
    """

    system = "mali"
    specs: Mapping[str, OperationSpec] = SPECS
    rules: tuple[Rule, ...] = MALI

    def _forget(self) -> None:
        self.state: MaliState | None = None

    def _is_lost(self) -> bool:
        return self.state is None

    # -- one operation ------------------------------------------------------------------------

    def run(self, operation: Operation) -> Outcome:
        """Carry out one operation and judge it.

        A first operation other than create makes a default device before, which goes without
        saying: it is not one of the operations, and its events are none of the trace's.
        """
        name = operation.name
        nothing = Outcome(Result(), MISUSE, False, (), ())
        if self.state is None and name != "create" and (self.operations or not self._imply()):
            return nothing
        if name == "create" and (self.state is not None or not possible(operation, {})):
            return nothing
        begin = len(self.trace)
        self.operations.append(operation)
        if name == "create":
            args = operation.args
            self.state = MaliState(
                int(args["va_bits"]), int(args["pa_bits"]), int(args["slots"]),
                bool(args["coherent"]),
            )  # fmt: skip
        state = self.state
        assert state is not None
        step = self._step(state, operation, begin)
        self.trace.emit(BEGIN, len(self.operations) - 1)
        step.result = self.target.perform(operation, self.trace)
        self.trace.emit(END, step.result.result, step.result.value)
        self.results.append(step.result)
        step.end_event = len(self.trace) - 1
        step.may_time_out = state.may_time_out
        state.feed(self.trace.words, begin)
        if step.result.finished:
            self._keep_promise(state, step)
            state.settle()
            self._judge(step, _RULES[name])
        else:
            self._judge(step, _ENDING_RULES)
        if self._is_frozen(step):
            self.ended = True
            return Outcome(step.result, step.sort, True, step.violations, ())
        changed = step.result.finished and self._changed(step)
        if not self._replaying:
            self.tally.operation(name, step.sort, changed)
        fresh = self._report(step)
        undo = not step.result.finished or any(one.corrupts for one in step.violations)
        if undo:
            self._undo(step)
        else:
            self._move_on(state, step)
            self._effective.append(operation)
        return Outcome(step.result, step.sort, changed, step.violations, fresh)

    def _imply(self) -> bool:
        """Make a default device that no operation tells of; whether there is one now."""
        self.run(make("create", SPECS))
        self.operations.clear()
        self.results.clear()
        self.trace.clear()
        return self.state is not None

    def _step(self, state: MaliState, operation: Operation, begin: int) -> MaliStep:
        """What is known of an operation before it is carried out."""
        state.begin()
        sort, reason, errors = self._sort(state, operation)
        step = MaliStep(
            operation, Result(), sort, reason, errors, state, state.seen, self.trace, begin,
            begin, self.target.places,
        )  # fmt: skip
        step.running = {vm.number: vm.slot for vm in state.vms if vm.active > 0}
        name, args = operation.name, operation.args
        for vm in state.vms:
            vm.view.touched_first, vm.view.touched_last = 0, -1
        if name == "vm":
            end = user_part(state.va_bits, to_unsigned(int(args["user_va"])))
            state.vms.append(MaliVm(len(state.vms), state.geometry, state.coherent, max(end, 0)))
        elif name == "bind":
            self._will_touch(step, _bind_of(operation))
        elif name == "run":
            for vm in state.vms:
                for number in vm.queue:
                    bind = state.fences[number].bind
                    if bind is not None and bind.kind != SYNC_ONLY:
                        _widen(vm, bind.first, bind.last)
                        step.beside[number] = _span(vm, bind.first, bind.last).outside
        elif name == "alloc":
            self._before_alloc(step)
        elif name == "free" and 0 <= int(args["node"]) < len(state.nodes):
            node = state.nodes[int(args["node"])]
            _widen(state.vms[node.vm], node.first, node.last)
        elif name == "fault":
            self._before_fault(step)
        elif name == "stick":
            state.may_time_out = state.may_time_out or not 0 <= int(args["polls"]) < PATIENT
        for vm in state.vms:
            # What is destroyed is unmapped as a whole, now or when the last job has ended.
            named = name == "destroy_vm" and vm.number == args["vm"]
            if not vm.handle or named or name == "close_file":
                _widen(vm, 0, state.geometry.limit - 1)
        return step

    def _will_touch(self, step: MaliStep, bind: Bind) -> None:
        vm = step.state.vm_with_handle(bind.vm)
        if vm is not None and bind.first <= bind.last < step.state.geometry.limit:
            _widen(vm, bind.first, bind.last)
            step.spans.append(_span(vm, bind.first, bind.last))

    def _before_alloc(self, step: MaliStep) -> None:
        vm = step.state.vm_with_handle(int(step.operation.args["vm"]))
        if vm is not None:
            step.holes = _holes(step.state, vm)
            _widen(vm, vm.user_end, step.state.geometry.limit - 1)

    def _before_fault(self, step: MaliStep) -> None:
        """The device faults at this instant; whether the driver has to hear of it."""
        state = step.state
        slot = step.operation.number("slot")
        if step.sort != LEGAL:
            return
        if state.is_up() and state.mmu.roots(slot) and not state.may_time_out:
            step.faulted = slot
        address = to_unsigned(step.operation.number("address"))
        code = to_unsigned(step.operation.number("code"))
        if not state.mmu.fault(slot, code, address):
            step.faulted = NONE

    # -- what the promise says of a call --------------------------------------------------------

    def _sort(self, state: MaliState, operation: Operation) -> tuple[str, str, tuple[int, ...]]:
        """(legal, refused or misuse; why; the errnos that are allowed) for a call."""
        name = operation.name
        reason, errors = _refusal(state, operation)
        if reason.startswith("misuse: "):
            return MISUSE, reason[8:], errors
        if not errors and reason:
            errors = _INVALID
        if operation.args.get("fail_at"):
            errors += (-errno.ENOMEM,)
        if state.may_time_out and name in (
            "bind", "alloc", "free", "active", "destroy_vm", "close_file",
        ):  # fmt: skip
            errors += (_TIMED_OUT,)
            if name == "active":
                # An AS that could not be enabled may be lost until the reset.
                errors += (-errno.EBUSY,)
        return (REFUSED if reason else LEGAL), reason, errors

    # -- moving on --------------------------------------------------------------------------------

    def _keep_promise(self, state: MaliState, step: MaliStep) -> None:
        """What the process was told by the result of this operation."""
        name, args, result = step.kind, step.operation.args, step.result
        results = [result.result, *(told for _, _, told in state.seen.fences)]
        if _TIMED_OUT in results or state.seen.asked >= 0:
            # What some address space may still use is kept until the reset.
            for one in state.vms:
                one.busy_until_reset = True
        if name == "run":
            step.spans += [_done_span(step, one) for one in state.seen.done]
            self._after_run(state, step)
        if name == "vm" and result.result != 0:
            self._unmake_vm(state)
        asked = state.may_time_out and state.seen.asked >= 0
        if name in _SILENT and (asked or state.timed_out) and not state.seen.lost_registers:
            # What could not be flushed is kept until the device was reset.
            state.timed_out = True
            for one in state.vms:
                one.busy_until_reset = True
        if result.result == _TIMED_OUT and step.sort == LEGAL:
            self._after_timeout(state, step)
            return
        if result.result != 0 and name == "alloc":
            vm = state.vm_with_handle(int(args["vm"]))
            if vm is not None:
                step.spans.append(Span(vm, vm.user_end, state.geometry.limit - 1))
        if result.result != 0 or step.sort == REFUSED:
            return
        if name == "bind" and step.reason != "nothing to do" and step.spans:
            bind = _bind_of(step.operation)
            state.carry_out(bind)
            state.fall_due(bind, step.end_event)
            # What comes off while the device is reset may be kept until it was.
            state.vms[bind.vm].busy_until_reset |= state.resetting
        elif name == "queue":
            bind = _bind_of(step.operation)
            bind.fence, bind.waits_for = len(state.fences), int(args["fence"])
            state.fences.append(MaliFence(bind))
            state.vms[bind.vm].queue.append(bind.fence)
            state.vms[bind.vm].busy_until_run = True
        elif name == "fence":
            state.fences.append(MaliFence(None))
        elif name == "bo":
            size, owner = to_unsigned(int(args["size"])), int(args["vm"])
            state.add_buffer(size, owner, int(args["pieces"]), bool(args["imported"]))
        elif name == "close":
            state.buffers[int(args["bo"])].open = False
        elif name == "destroy_vm":
            self._destroyed(state, step, state.vms[int(args["vm"])])
        elif name == "close_file":
            for vm in state.vms:
                if vm.handle:
                    self._destroyed(state, step, vm)
        elif name == "active":
            vm = state.vms[int(args["vm"])]
            if vm.active == 1:
                step.activated = vm.number
        elif name == "alloc":
            self._allocated(state, step)
        elif name == "free":
            node = state.nodes[int(args["node"])]
            self._freed(state, step, node)
        elif name == "pre_reset":
            state.resetting = True
            state.halt(step.end_event)
        elif name == "post_reset":
            state.resetting = False
        elif name == "suspend":
            state.powered = False
        elif name == "resume":
            state.powered = True
        elif name == "unplug":
            state.unplugged = True

    def _unmake_vm(self, state: MaliState) -> None:
        """The VM that was to be made was not."""
        vm = state.vms.pop()
        for page in [page for page, owner in state.owners.items() if owner == vm.number]:
            del state.owners[page]
        state.stored.pop(vm.number, None)
        state.touched = [one for one in state.touched if one is not vm]

    def _destroyed(self, state: MaliState, step: MaliStep, vm: MaliVm) -> None:
        vm.handle = False
        for node in state.nodes:
            if node.vm == vm.number:
                node.open = False
        vm.nodes = 0
        everything = Bind(vm.number, UNMAP, 0, state.geometry.limit - 1, NONE, 0, 0)
        state.carry_out(everything)
        state.fall_due(everything, step.end_event)
        step.spans.append(Span(vm, everything.first, everything.last))

    def _allocated(self, state: MaliState, step: MaliStep) -> None:
        args = step.operation.args
        vm = state.vms[int(args["vm"])]
        first = to_unsigned(step.result.value)
        last = first + to_unsigned(int(args["size"])) - 1
        buffer = int(args["bo"])
        state.nodes.append(MaliNode(vm.number, first, last, buffer))
        vm.nodes += 1
        if buffer != NONE and last < state.geometry.limit:
            offset = to_unsigned(int(args["offset"]))
            step.spans.append(_span(vm, first, last))
            state.carry_out(Bind(vm.number, MAP, first, last, buffer, offset, NOEXECUTE))

    def _freed(self, state: MaliState, step: MaliStep, node: MaliNode) -> None:
        vm = state.vms[node.vm]
        node.open = False
        vm.nodes -= 1
        if node.buffer != NONE:
            bind = Bind(vm.number, UNMAP, node.first, node.last, NONE, 0, 0)
            step.spans.append(_span(vm, node.first, node.last))
            state.carry_out(bind)
            state.fall_due(bind, step.end_event)

    def _after_run(self, state: MaliState, step: MaliStep) -> None:
        if state.seen.lost_registers:
            state.resetting = False
        for number in [number for _, number, _ in state.seen.fences]:
            fence = state.fences[number] if number < len(state.fences) else None
            if fence is not None and fence.bind is not None and fence.result:
                vm = state.vms[fence.bind.vm]
                if fence.result == _TIMED_OUT:
                    state.timed_out = not state.seen.lost_registers
                if vm.handle and fence.result == _TIMED_OUT:
                    self._take_over(state, step, fence.bind)
        if not int(step.operation.args["steps"]):
            for vm in state.vms:
                vm.busy_until_run = False
                if state.seen.lost_registers:
                    vm.busy_until_reset = False

    def _after_timeout(self, state: MaliState, step: MaliStep) -> None:
        """The result says that the device did not answer: the promise follows the driver."""
        state.timed_out = not state.seen.lost_registers
        name, args = step.kind, step.operation.args
        if name == "bind" and step.spans:
            self._take_over(state, step, _bind_of(step.operation))
        elif name == "destroy_vm":
            self._destroyed(state, step, state.vms[int(args["vm"])])
        elif name == "free":
            self._freed(state, step, state.nodes[int(args["node"])])

    def _take_over(self, state: MaliState, step: MaliStep, bind: Bind) -> None:
        """Promise what the driver's VMAs say for a range, with the permissions of a bind."""
        vm = state.vms[bind.vm]
        held = vm.held.within(bind.first, bind.last)
        whole = len(held) == 1 and (held[0].first, held[0].last) == (bind.first, bind.last)
        if bind.kind == MAP and whole and held[0].buffer == bind.buffer:
            state.carry_out(bind)
        elif not held:
            state.carry_out(Bind(vm.number, UNMAP, bind.first, bind.last, NONE, 0, 0))
        if step.kind == "run":
            step.spans.append(_done_span(step, bind))

    def _move_on(self, state: MaliState, step: MaliStep) -> None:
        """After an operation that stands: who is unusable, which address spaces have jobs."""
        for _, number, result in state.seen.fences:
            fence = state.fences[number] if number < len(state.fences) else None
            if fence is not None and fence.bind is not None and result:
                state.vms[fence.bind.vm].usable = False
        if state.seen.lost_registers:
            for vm in state.vms:
                # What waited for the reset is deferred work now.
                vm.busy_until_run |= vm.busy_until_reset
                vm.busy_until_reset = False
        state.settle_slots()

    def _changed(self, step: MaliStep) -> bool:
        seen = step.seen
        if step.kind == "bind":
            return bool(seen.changed)
        if step.kind == "run":
            return bool(seen.changed or seen.fences or seen.lost_registers or seen.slots)
        return step.result.result == 0

    def finish(self) -> Outcome | None:
        """The process ends at the end of an example, and all deferred work is done."""
        state = self.state
        if state is None or self.ended:
            return None
        for operation in self._ending(state):
            outcome = self.run(operation)
            if outcome.fresh or self.ended:
                return outcome
        return outcome

    def _ending(self, state: MaliState) -> list[Operation]:
        """What brings everything to its end: the last jobs, fences, the file, and work left."""
        ending: list[Operation] = []
        if state.resetting:
            ending.append(make("post_reset", SPECS))
        if not state.powered and not state.unplugged:
            ending.append(make("resume", SPECS))
        if state.may_time_out and not state.unplugged and not state.resetting:
            ending += [make("pre_reset", SPECS), make("post_reset", SPECS)]
        for number, fence in enumerate(state.fences):
            if fence.bind is None and not fence.signalled:
                ending.append(make("signal", SPECS, fence=number))
        ending += [make("run", SPECS), make("close_file", SPECS)]
        for vm in state.vms:
            ending += [make("idle", SPECS, vm=vm.number)] * vm.active
        ending.append(make("run", SPECS))
        return ending


# -- reasons to refuse a call ---------------------------------------------------------------------


def _refusal(state: MaliState, operation: Operation) -> tuple[str, tuple[int, ...]]:
    """Why a call has to be refused, "" if it has not; and the errnos that are allowed."""
    name = operation.name
    if name in ("bind", "queue"):
        return _bind_refusal(state, operation)
    check = _REFUSALS.get(name)
    return check(state, operation) if check is not None else ("", ())


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
        limit = state.geometry.limit
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
    vm = state.vms[number]
    if state.unplugged:
        return "unplugged", (-errno.ENODEV,)
    if not state.is_up():
        return "device cannot be used", ()
    if not vm.handle:
        return "misuse: a job of a destroyed VM", (-errno.EINVAL,)
    if vm.slot < 0:
        free = len(state.slots) - 1
        taken = sum(1 for one in state.vms if one.exists and one.slot > 0 and one.active > 0)
        if taken >= free:
            # The scheduler of the device never has more VMs at work than there are AS.
            return "misuse: all address spaces are in use", (-errno.EBUSY,)
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
    if not state.powered:
        # Who removes a driver wakes the device before.
        return "misuse: unplugged while asleep", (-errno.EINVAL,)
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


_REFUSALS = {
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


# -- ranges ---------------------------------------------------------------------------------------


def _bind_of(operation: Operation) -> Bind:
    args = operation.args
    first = to_unsigned(int(args["va"]))
    return Bind(
        int(args["vm"]), int(args["kind"]), first, first + to_unsigned(int(args["size"])) - 1,
        int(args["bo"]), to_unsigned(int(args["offset"])), int(args["flags"]),
    )  # fmt: skip


def _span(vm: MaliVm, first: int, last: int) -> Span:
    """A range, with the mappings beside it as the promise has them."""
    span = Span(vm, first, last)
    outside = [
        one for one in vm.promise.within(*span.window) if one.last < first or one.first > last
    ]
    return Span(vm, first, last, outside)


def _done_span(step: MaliStep, bind: Bind) -> Span:
    """The range of a queued bind that was done, with what was beside it before and still is."""
    vm = step.state.vms[bind.vm]
    there = {one.first: one for one in vm.promise.within(*Span(vm, bind.first, bind.last).window)}
    before = step.beside.get(bind.fence, ())
    outside = [one for one in before if one.first in there and there[one.first].same(one)]
    return Span(vm, bind.first, bind.last, outside)


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
    if at < state.geometry.limit:
        holes.append((at, state.geometry.limit - 1))
    return holes


def _has_room(state: MaliState, vm: MaliVm, size: int, va: int) -> bool:
    """Whether there is a place for ``size`` bytes: at ``va``, or anywhere."""
    align = LARGE_PAGE if size >= LARGE_PAGE else PAGE
    for first, last in _holes(state, vm):
        start = va if va != NONE else -(-first // align) * align
        if first <= start and start + size - 1 <= last:
            return True
    return False
