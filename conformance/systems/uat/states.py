"""The kinds of state that operations of system ``uat`` can meet."""

from conformance.states import States
from reference.formats.access import CACHE
from reference.systems.uat.device import NO_CONTEXT, PAGE
from reference.systems.uat.promise import KERNEL, UatCall, UatPromise, UatState, UatVm
from reference.words import to_unsigned

WORDS = {
    "in-order": "memory that shows stores in order",
    "reorders": "memory that does not",
    "flushes": "a firmware that flushes as it changes context",
    "keeps": "a firmware that does not",
    "late": "a firmware that is ready late",
    "first": "no user's VM",
    "more": "another VM that is there",
    "kernel": "the kernel's VM",
    "bound": "a VM that is bound",
    "unbound": "a VM that is not",
    "never": "a VM that was never bound",
    "own": "a context that the VM had last, and nobody since",
    "other": "a context that another VM had",
    "unused": "a context that nobody had",
    "again": "a VM that somebody holds bound",
    "last": "the last who holds it bound",
    "not-last": "not the last",
    "inside": "a firmware that is in the VM's context",
    "elsewhere": "a firmware that is in another context",
    "nowhere": "a firmware that is in none",
    "beside": "a mapping right beside it",
    "empty": "a VM in which nothing is mapped",
    "pages": "one page or more",
    "many": "more than one page",
    "nothing": "a mapping of no bytes",
    "pieces": "memory in pieces",
    "aligned": "a multiple that is asked for",
    "bounded": "a range that is asked for",
    "guard": "a guard page",
    "cached": "a mapping that the firmware caches",
    "uncached": "a mapping that it does not",
    "lines": "a mapping of which the firmware may have lines",
    "downgraded": "a mapping that it caches no more, as it did not answer",
    "mute": "a firmware that does not answer",
    "lack": "memory that runs short",
    "write": "an access that writes",
    "read": "an access that reads",
}

_WHERE = ("inside", "elsewhere", "nowhere")
_OWNERS = ("kernel", "bound", "unbound", "never")
_MAP = (*_OWNERS, *_WHERE, "empty", "beside", "nothing", "many", "lack")

PAIRS = {
    "create": ("in-order", "reorders", "flushes", "keeps", "late"),
    "vm": ("first", "more"),
    "destroy_vm": ("own", "other", "never", *_WHERE, "mute"),
    "bind": ("own", "other", "unused", "again", "never", *_WHERE, "mute"),
    "clone": _WHERE,
    "unbind": ("last", "not-last", *_WHERE, "empty", "pages"),
    "map": ("kernel", *_WHERE[1:], "empty", "beside", "nothing", "many", "lack", "pieces"),
    "map_in_range": (*_MAP, "pieces", "aligned", "bounded", "guard", "cached", "uncached"),
    "map_at": (*_MAP, "pieces", "guard", "cached", "uncached"),
    "map_io": ("kernel", *_WHERE[1:], "empty", "beside", "nothing", "many", "lack"),
    "drop": (
        *_OWNERS, *_WHERE, "beside", "nothing", "many", "pieces", "cached", "uncached", "lines",
        "downgraded", "mute",
    ),
    "fw_enter": _WHERE,
    "fw_leave": ("elsewhere", "nowhere"),
    "fw_touch": (*_WHERE, "kernel", "cached", "uncached", "read", "write"),
    "destroy": ("first", "more"),
}  # fmt: skip

_MAPS = ("map", "map_in_range", "map_at", "map_io")


def met(promise: UatPromise, call: UatCall) -> list[str]:
    """What a legal call meets."""
    state, operation = promise.state, call.operation
    name = operation.name
    words: list[str] = []
    if name == "create":
        words.append("in-order" if operation.string("order") == "sc" else "reorders")
        words.append("flushes" if state.switch_flushes else "keeps")
        words += ["late"] * (operation.string("boot") == "late")
    elif name in ("vm", "destroy"):
        others = len(state.vms) - (name == "vm")
        words.append("more" if others else "first")
    elif name == "fw_leave":
        words.append("nowhere" if state.inside == NO_CONTEXT else "elsewhere")
    if call.vm is not None:
        words += _where(state, call.vm)
        words += _holders(state, call, call.vm)
        if name in _MAPS:
            words += _mapped(promise, call, call.vm)
        elif call.mapping is not None:
            words += _mapping(call)
    words += ["mute"] * (operation.args.get("mute", 0) != 0)
    return words + ["lack"] * (operation.args.get("fail_at", 0) != 0)


def _where(state: UatState, vm: UatVm) -> list[str]:
    """Where the firmware is, as this VM sees it."""
    if state.inside == NO_CONTEXT:
        return ["nowhere"]
    inside = vm.context == state.inside and state.owns(vm)
    return ["inside" if inside else "elsewhere"]


def _holders(state: UatState, call: UatCall, vm: UatVm) -> list[str]:
    """Who holds a VM, and which context it has or is to have."""
    if vm.number == KERNEL:
        return ["kernel", *(["empty"] if not vm.mappings else ["pages"])]
    words = ["bound" if vm.users else "unbound", "empty" if not vm.mappings else "pages"]
    words += ["never"] * (vm.context < 0)
    words += ["last" if vm.users == 1 else "not-last"] * (vm.users > 0)
    if call.operation.name == "bind":
        if vm.users:
            return [*words, "again"]
        had = state.given_back[call.slot] if call.slot >= 0 else 0
        return [*words, "other" if call.changes and had else "unused" if call.changes else "own"]
    if vm.context >= 0:
        words.append("own" if state.owns(vm) else "other")
    return words


def _mapped(promise: UatPromise, call: UatCall, vm: UatVm) -> list[str]:
    """What a map is asked for, and what is beside it."""
    operation = call.operation
    args = operation.args
    size = to_unsigned(operation.number("size"))
    words = ["many"] * (size > PAGE) + ["nothing"] * (size == 0)
    words += ["pieces"] * (args.get("piece", 0) != 0) + ["guard"] * (args.get("guard", 0) != 0)
    words += ["aligned"] * (to_unsigned(int(args.get("align", 0))) > PAGE)
    words += ["bounded"] * (call.first > vm.first or call.last < vm.last)
    words.append("uncached" if promise.prot_of(operation) & CACHE else "cached")
    if operation.name == "map_at":
        first, last = call.first, call.last
        taken = vm.taken()
        return words + ["beside"] * any(b == first - 1 or a == last + 1 for a, b in taken)
    return words + ["beside"] * bool(vm.taken())


def _mapping(call: UatCall) -> list[str]:
    """How a mapping is that is dropped or touched."""
    mapping, args = call.mapping, call.operation.args
    if mapping is None:
        return []
    words = ["many"] * (mapping.size > PAGE) + ["nothing"] * (mapping.size == 0)
    words += ["pieces"] * (len(mapping.pieces) > 1) + ["lines"] * mapping.may_hold
    if mapping.cached and mapping.prot & CACHE:
        words.append("downgraded")
    words.append("cached" if mapping.cached else "uncached")
    if "write" in args:
        words.append("write" if args["write"] else "read")
    others = [one for one in mapping.vm.mappings if one is not mapping and one.room]
    first, last = mapping.va, mapping.va + mapping.room - 1
    beside = any(one.va == last + 1 or one.va + one.room == first for one in others)
    return words + ["beside"] * beside


STATES = States(words=WORDS, pairs=PAIRS, met=met)
"""What operations of system ``uat`` can meet."""
