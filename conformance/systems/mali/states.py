"""The kinds of state that operations of system ``mali`` can meet."""

from collections.abc import Callable, Mapping

from conformance.states import States
from reference.formats.entry import LEAF
from reference.systems.gpuvm.mappings import Mapping as Vma
from reference.systems.mali.promise import LARGE_PAGE, MaliCall, MaliPromise
from reference.systems.mali.state import MAP, NONE, UNMAP, MaliState, MaliVm
from reference.words import to_unsigned

WORDS = {
    "snoops": "a device that snoops the CPU's caches",
    "dark": "a device that does not",
    "first": "a process that has no VM",
    "more": "a process that has one",
    "map": "a bind that maps",
    "unmap": "a bind that unmaps",
    "waits-only": "a bind of nothing, that waits",
    "free": "addresses of which none is mapped",
    "covers": "a mapping that lies in the range as a whole",
    "several": "more than one mapping",
    "splits": "a mapping of which a part stays",
    "block": "a block of 2M in the tables",
    "part-of-block": "a block of 2M of which a part stays",
    "can-be-block": "memory and addresses for a block of 2M",
    "private": "a buffer of one VM",
    "imported": "a buffer of another driver",
    "scattered": "a buffer in pieces",
    "plain": "a buffer in whole, for all VMs",
    "running": "a VM that jobs use",
    "in-slot": "a VM that has an AS, and no job",
    "no-slot": "a VM that has no AS",
    "asleep": "a device without power",
    "resetting": "a device that is being reset",
    "timed-out": "a device that may not answer",
    "queued": "a VM with binds that wait",
    "waits": "a fence that was not signalled",
    "signalled": "a fence that was, or none",
    "waited-for": "a fence for which a bind waits",
    "ready": "a bind that can be done",
    "asked": "a reset that was asked for",
    "going": "a VM whose handle was given back",
    "mapped": "something that is mapped",
    "empty": "nothing that is mapped",
    "free-slot": "an AS that nobody has",
    "evicts": "an AS that an idle VM has to give up",
    "again": "another job of a VM that jobs use",
    "last": "the last job of a VM",
    "not-last": "not the last",
    "faulted": "an AS that has faulted",
    "nobody": "an AS that no VM has, or no VM in one",
    "for-ever": "a command that is not to end",
    "slow": "a command that is to end late",
    "buffer": "a buffer that the kernel maps",
    "nothing": "addresses alone",
    "fixed": "addresses that the kernel names",
    "lack": "memory that runs short",
    "unplugged": "a device that is gone",
}

_PLACES = ("running", "in-slot", "no-slot")
_BUFFERS = ("private", "imported", "scattered", "plain")
_DOWN = ("asleep", "resetting", "timed-out")

PAIRS = {
    "create": ("snoops", "dark"),
    "vm": ("first", "more"),
    "destroy_vm": ("empty", "mapped", *_PLACES, "queued", *_DOWN, "faulted", "unplugged"),
    "bo": _BUFFERS,
    "close": ("mapped", "empty"),
    "bind": (
        "map", "unmap", "free", "covers", "several", "splits", "block", "part-of-block",
        "can-be-block", *_BUFFERS, *_PLACES, *_DOWN, "queued", "faulted", "lack",
    ),
    "queue": ("map", "unmap", "waits-only", "waits", "signalled", "queued", *_PLACES, *_DOWN),
    "fence": ("first", "more"),
    "signal": ("waited-for", "nobody"),
    "run": (
        "ready", "map", "unmap", "free", "covers", "splits", "block", "part-of-block",
        "can-be-block", *_PLACES, "asleep", "timed-out", "going", "asked",
    ),
    "active": ("free-slot", "in-slot", "again", "evicts", "mapped", "empty", "faulted",
               "timed-out", "queued"),
    "idle": ("last", "not-last", "resetting", "timed-out", "faulted", "going"),
    "fault": ("running", "in-slot", "nobody", "faulted", "resetting"),
    "stick": ("for-ever", "slow", *_PLACES),
    "pre_reset": ("running", "in-slot", "nobody", "faulted", "timed-out", "queued"),
    "post_reset": ("running", "in-slot", "nobody", "timed-out"),
    "suspend": ("running", "in-slot", "nobody", "faulted", "timed-out"),
    "resume": ("mapped", "queued"),
    "unplug": ("running", "in-slot", "nobody", "faulted", "timed-out", "queued"),
    "close_file": ("running", "in-slot", "nobody", "mapped", "queued", *_DOWN, "unplugged"),
    "alloc": ("buffer", "nothing", "fixed", *_PLACES, *_DOWN),
    "free": ("buffer", "nothing", *_PLACES, *_DOWN, "unplugged"),
}  # fmt: skip


def met(promise: MaliPromise, call: MaliCall) -> list[str]:
    """What a legal call meets."""
    state = promise.state
    words: list[str] = []
    _MET[call.operation.name](state, call, words)
    words += ["asleep"] * (not state.powered) + ["resetting"] * state.resetting
    words += ["timed-out"] * state.may_time_out + ["unplugged"] * state.unplugged
    return words + ["lack"] * (call.operation.args.get("fail_at", 0) != 0)


def _place(state: MaliState, vm: MaliVm) -> list[str]:
    """Words for where a VM is."""
    where = "running" if vm.active else "in-slot" if vm.slot >= 0 else "no-slot"
    return [where, *["faulted"] * (vm.slot in state.faulted), *["queued"] * bool(vm.queue)]


def _places(state: MaliState) -> list[str]:
    """Words for where the VMs are that there are."""
    words: list[str] = []
    for vm in state.vms:
        if vm.exists:
            words += _place(state, vm)
    if "running" not in words and "in-slot" not in words:
        words.append("nobody")
    return words + ["faulted"] * bool(state.faulted)


def _vm(state: MaliState, call: MaliCall) -> MaliVm:
    return state.vms[call.operation.number("vm")]


def _create(state: MaliState, call: MaliCall, words: list[str]) -> None:
    words.append("snoops" if state.coherent else "dark")


def _new_vm(state: MaliState, call: MaliCall, words: list[str]) -> None:
    # The one that is to be made is there already.
    words.append("more" if state.handles() > 1 else "first")


def _of_vm(state: MaliState, call: MaliCall, words: list[str]) -> None:
    vm = _vm(state, call)
    words += _place(state, vm)
    words.append("mapped" if len(vm.promise) else "empty")


def _bo(state: MaliState, call: MaliCall, words: list[str]) -> None:
    args = call.operation.args
    words += ["private"] * (args["vm"] != NONE) + ["imported"] * bool(args["imported"])
    words += ["scattered"] * bool(args["pieces"])
    words += ["plain"] * (not words)


def _close(state: MaliState, call: MaliCall, words: list[str]) -> None:
    words.append("mapped" if state.links(call.operation.number("bo")) else "empty")


def _range(
    state: MaliState, vm: MaliVm, kind: int, first: int, last: int, number: int, offset: int
) -> list[str]:
    """Words for the range of a bind that is to be done."""
    if kind not in (MAP, UNMAP) or last < first:
        return []
    there: list[Vma] = vm.promise.within(first, last)
    cut = [one for one in there if one.first < first or one.last > last]
    words = ["map" if kind == MAP else "unmap", *["free"] * (not there)]
    words += ["several"] * (len(there) > 1) + ["covers"] * (len(cut) < len(there))
    words += ["splits"] * bool(cut) + _blocks(vm, first, last)
    if kind == MAP and 0 <= number < len(state.buffers):
        buffer = state.buffers[number]
        words += ["private"] * (buffer.vm != NONE) + ["imported"] * buffer.imported
        whole = buffer.pages.contiguous(offset) >= buffer.size - offset
        words += ["scattered"] * (not whole)
        words += ["plain"] * (whole and buffer.vm == NONE and not buffer.imported)
        pa = to_unsigned(buffer.pages.address(offset))
        high = (first + LARGE_PAGE - 1) // LARGE_PAGE * LARGE_PAGE
        fits = whole and (pa - first) % LARGE_PAGE == 0 and high + LARGE_PAGE - 1 <= last
        words += ["can-be-block"] * fits
    return words


def _blocks(vm: MaliVm, first: int, last: int) -> list[str]:
    """Words for the blocks in tables at the ends of a range."""
    words: list[str] = []
    fmt = vm.view.geometry.format
    for at in (first, last):
        level, word = vm.view.walker.translate(at)
        if level < 0 or fmt.kind(level, word) != LEAF or fmt.span(level) < LARGE_PAGE:
            continue
        base = at // LARGE_PAGE * LARGE_PAGE
        words.append("block")
        words += ["part-of-block"] * (base < first or base + LARGE_PAGE - 1 > last)
    return words


def _bind(state: MaliState, call: MaliCall, words: list[str]) -> None:
    operation = call.operation
    vm = _vm(state, call)
    words += _place(state, vm)
    first, size = to_unsigned(operation.number("va")), to_unsigned(operation.number("size"))
    words += _range(
        state, vm, operation.number("kind"), first, first + size - 1, operation.number("bo"),
        to_unsigned(operation.number("offset")),
    )  # fmt: skip


def _queue(state: MaliState, call: MaliCall, words: list[str]) -> None:
    operation = call.operation
    words += _place(state, _vm(state, call))
    fence = operation.number("fence")
    waits = fence != NONE and not state.fences[fence].signalled
    words.append("waits" if waits else "signalled")
    kind = operation.number("kind")
    words.append("map" if kind == MAP else "unmap" if kind == UNMAP else "waits-only")


def _fence(state: MaliState, call: MaliCall, words: list[str]) -> None:
    words.append("more" if state.fences else "first")


def _signal(state: MaliState, call: MaliCall, words: list[str]) -> None:
    number = call.operation.number("fence")
    waiting = any(
        one.bind is not None and not one.signalled and one.bind.waits_for == number
        for one in state.fences
    )
    words.append("waited-for" if waiting else "nobody")


def _run(state: MaliState, call: MaliCall, words: list[str]) -> None:
    for vm in state.vms:
        if not vm.exists:
            continue
        binds = state.ready(vm)
        if binds:
            words += ["ready", *_place(state, vm)]
            bind = binds[0]
            words += _range(state, vm, bind.kind, bind.first, bind.last, bind.buffer, bind.offset)
        words += ["going"] * (not vm.handle)
    words += ["asked"] * state.reset_asked


def _active(state: MaliState, call: MaliCall, words: list[str]) -> None:
    vm = _vm(state, call)
    _of_vm(state, call, words)
    if vm.active:
        words.append("again")
    elif vm.slot < 0:
        taken = {one.slot for one in state.vms if one.exists and one.slot > 0}
        free = len(taken) < len(state.slots) - 1
        words.append("free-slot" if free else "evicts")


def _idle(state: MaliState, call: MaliCall, words: list[str]) -> None:
    vm = _vm(state, call)
    words += _place(state, vm)
    words.append("last" if vm.active == 1 else "not-last")
    words += ["going"] * (not vm.handle)


def _fault(state: MaliState, call: MaliCall, words: list[str]) -> None:
    slot = call.operation.number("slot")
    owners = [vm for vm in state.vms if vm.exists and vm.slot == slot]
    words += _place(state, owners[0]) if owners else ["nobody"]
    words += ["faulted"] * (slot in state.faulted)


def _stick(state: MaliState, call: MaliCall, words: list[str]) -> None:
    polls, slot = call.operation.number("polls"), call.operation.number("slot")
    words += ["for-ever"] * (polls < 0) + ["slow"] * (polls > 0)
    owners = [vm for vm in state.vms if vm.exists and vm.slot == slot]
    words += _place(state, owners[0]) if owners else ["no-slot"]


def _device(state: MaliState, call: MaliCall, words: list[str]) -> None:
    words += _places(state)
    words += ["mapped"] * any(len(vm.promise) > 0 for vm in state.vms if vm.exists)


def _alloc(state: MaliState, call: MaliCall, words: list[str]) -> None:
    operation = call.operation
    words += _place(state, _vm(state, call))
    words.append("nothing" if operation.number("bo") == NONE else "buffer")
    words += ["fixed"] * (operation.number("va") != -1)


def _free(state: MaliState, call: MaliCall, words: list[str]) -> None:
    node = state.nodes[call.operation.number("node")]
    vm = state.vms[node.vm]
    words += _place(state, vm)
    words.append("nothing" if node.buffer == NONE else "buffer")


_MET: Mapping[str, Callable[[MaliState, MaliCall, list[str]], None]] = {
    "create": _create,
    "vm": _new_vm,
    "destroy_vm": _of_vm,
    "bo": _bo,
    "close": _close,
    "bind": _bind,
    "queue": _queue,
    "fence": _fence,
    "signal": _signal,
    "run": _run,
    "active": _active,
    "idle": _idle,
    "fault": _fault,
    "stick": _stick,
    "pre_reset": _device,
    "post_reset": _device,
    "suspend": _device,
    "resume": _device,
    "unplug": _device,
    "close_file": _device,
    "alloc": _alloc,
    "free": _free,
}
"""Which words to look at for an operation."""

_NOT_PARTED = "Linux's panthor leaves several things behind then that are not told apart yet"

FEW = {
    (name, "timed-out"): _NOT_PARTED for name in ("destroy_vm", "idle", "unplug", "alloc", "free")
}
"""What an ordinary run reaches less often, and why."""

STATES = States(words=WORDS, pairs=PAIRS, met=met, few=FEW)
"""What operations of system ``mali`` can meet."""
