"""The kinds of state that operations of system ``gpuvm`` can meet."""

from conformance.states import States
from reference.systems.gpuvm.mappings import Mapping
from reference.systems.gpuvm.promise import GpuvmCall, GpuvmPromise
from reference.systems.gpuvm.state import VmState
from reference.words import to_unsigned

WORDS = {
    "all": "a window of which nothing is reserved",
    "kernel": "a part that is reserved for the kernel, or right beside the range",
    "private": "a buffer that shares the VM's reservation",
    "other": "a buffer with a reservation of its own",
    "free": "addresses of which none is mapped",
    "covers": "a mapping that lies in the range as a whole",
    "several": "more than one mapping in the range, or of the buffer",
    "once": "one mapping of the buffer",
    "cuts-tail": "a mapping that begins before the range and ends in it",
    "cuts-head": "a mapping that begins in the range and ends behind it",
    "inside": "a mapping that reaches out of the range on both sides",
    "same": "exactly this part of this buffer, mapped there already",
    "goes-on": "a mapping right before the range that goes on in it",
    "edge": "the first or last page of the window",
    "linked": "a buffer that is mapped in the VM",
    "unlinked": "a buffer that is not",
    "last-link": "the last mapping of a buffer",
    "closed": "a buffer whose handle was given back",
    "evicted": "a buffer that has lost its pages",
    "back": "a buffer that has its pages again",
    "lack": "memory that runs short",
    "empty": "a VM in which nothing is mapped",
    "mapped": "a VM in which something is",
}

_CUTS = ("covers", "several", "cuts-tail", "cuts-head", "inside", "edge", "kernel")

PAIRS = {
    "create": ("all", "kernel"),
    "bo": ("private", "other"),
    "close": ("linked", "unlinked", "evicted"),
    "map": (
        "free", *_CUTS, "same", "goes-on", "linked", "unlinked", "evicted", "last-link", "closed",
        "lack",
    ),
    "unmap": (*_CUTS, "last-link", "closed", "evicted", "lack"),
    "evict": ("once", "several", "closed", "back"),
    "validate": ("once", "several", "closed"),
    "destroy": ("empty", "mapped", "evicted", "closed"),
}  # fmt: skip


def met(promise: GpuvmPromise, call: GpuvmCall) -> list[str]:
    """What a legal call meets."""
    state, operation = promise.state, call.operation
    words: list[str] = []
    if operation.name in ("map", "unmap"):
        words += _range(state, call)
    elif operation.name in ("close", "evict"):
        words += _buffer(state, operation.number("bo"))
        words += ["back"] * (operation.name == "evict" and not operation.number("state"))
    elif operation.name == "validate":
        words += ["once" if len(call.due) == 1 else "several"] * bool(call.due)
        words += ["closed"] * any(not state.buffers[number].open for number in call.due)
    elif operation.name == "destroy":
        words.append("mapped" if len(state.promise) else "empty")
        linked = [one for number, one in state.buffers.items() if state.link_count(number)]
        words += ["evicted"] * any(one.evicted for one in linked)
        words += ["closed"] * any(not one.open for one in linked)
    elif operation.name == "create":
        words.append("kernel" if operation.number("kernel_size") else "all")
    elif operation.name == "bo":
        words.append("private" if operation.number("private") else "other")
    if operation.args.get("fail_at"):
        words.append("lack")
    return words


def _range(state: VmState, call: GpuvmCall) -> list[str]:
    first, last = call.first, call.last
    there = state.promise.within(first, last)
    words = [
        word
        for word, meets in (
            ("free", not there and call.operation.name == "map"),
            ("several", len(there) > 1),
            ("covers", any(first <= one.first and one.last <= last for one in there)),
            ("cuts-tail", any(one.first < first <= one.last <= last for one in there)),
            ("cuts-head", any(first <= one.first <= last < one.last for one in there)),
            ("inside", any(one.first < first and last < one.last for one in there)),
            ("edge", first == state.first or last == state.last),
            ("kernel", state.is_kernels(max(first - 1, 0), last + 1)),
            ("last-link", _loses_a_link(state, there, first, last)),
            ("closed", any(not state.buffers[one.buffer].open for one in there)),
        )
        if meets
    ]
    if call.operation.name == "map":
        words += _mapped(state, call, there)
    else:
        words += ["evicted"] * any(state.buffers[one.buffer].evicted for one in there)
    return words


def _loses_a_link(state: VmState, there: list[Mapping], first: int, last: int) -> bool:
    """Whether a buffer is mapped nowhere else."""
    whole = [one.buffer for one in there if first <= one.first and one.last <= last]
    return any(whole.count(number) == state.link_count(number) for number in set(whole))


def _mapped(state: VmState, call: GpuvmCall, there: list[Mapping]) -> list[str]:
    """What a map meets beside what is there: the buffer, and what it goes on with."""
    number = call.operation.number("bo")
    offset = to_unsigned(call.operation.number("offset"))
    new = Mapping(call.first, call.last, number, offset)
    before = state.promise.first_in(call.first - 1, call.first - 1) if call.first else None
    words = ["linked" if state.link_count(number) else "unlinked"]
    words += ["evicted"] * state.buffers[number].evicted
    words += ["same"] * any(one.same(new) for one in there)
    return words + ["goes-on"] * (before is not None and new.follows(before))


def _buffer(state: VmState, number: int) -> list[str]:
    buffer, links = state.buffers.get(number), state.link_count(number)
    if buffer is None:
        return []
    words = ["linked" if links else "unlinked", *(["once"] if links == 1 else [])]
    words += ["several"] * (links > 1) + ["evicted"] * buffer.evicted
    return words + ["closed"] * (not buffer.open)


STATES = States(words=WORDS, pairs=PAIRS, met=met)
"""What operations of system ``gpuvm`` can meet."""
