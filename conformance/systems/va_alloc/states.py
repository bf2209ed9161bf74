"""The kinds of state that operations of system ``va-alloc`` can meet."""

from conformance.states import States
from conformance.systems.va_alloc.operations import PAGE
from reference.systems.va_alloc.promise import ALL, AllocCall, VaAllocPromise, VaSpace
from reference.words import to_unsigned

WORDS = {
    "from-zero": "a window that begins at address 0",
    "to-end": "a window that ends where addresses end, or a page before that",
    "between": "a window between",
    "one": "one hole that has room",
    "choice": "several holes that have room",
    "exact": "a hole that the request fills",
    "aligned": "a request that has to begin at a multiple",
    "bounded": "a request that may not have all of the window",
    "through": "a bound that goes through the hole",
    "best": "the smallest hole that is to be taken",
    "low": "the lowest",
    "high": "the highest",
    "whole": "a hole that is reserved as a whole",
    "head": "the lower end of a hole",
    "tail": "the upper end of a hole",
    "inside": "the middle of a hole",
    "alone": "a range between two others",
    "hole-below": "a range with a hole below it",
    "hole-above": "a range with a hole above it",
    "hole-around": "a range between two holes",
    "empty": "an allocator that has given nothing out",
    "taken": "one that has",
}

PAIRS = {
    "create": ("from-zero", "to-end", "between"),
    "alloc": ("best", "low", "high", "one", "choice", "exact", "aligned", "bounded", "through"),
    "reserve": ("whole", "head", "tail", "inside"),
    "free": ("alone", "hole-below", "hole-above", "hole-around"),
    "destroy": ("empty", "taken"),
}


def met(promise: VaAllocPromise, call: AllocCall) -> list[str]:
    """What a legal call meets."""
    space, operation = promise.space, call.operation
    name = operation.name
    if name == "create":
        words = ["from-zero"] * (call.first == 0) + ["to-end"] * (call.last >= ALL - 2 * PAGE)
        return words or ["between"]
    if name == "alloc":
        return _alloc(space, call)
    if name in ("reserve", "free"):
        sides = ("alone", "hole-below", "hole-above", "hole-around")
        if name == "reserve":
            sides = ("whole", "tail", "head", "inside")
        below, above = _is_hole(space, call.first - 1), _is_hole(space, call.last + 1)
        return [sides[below + 2 * above]]
    if name == "destroy":
        return ["taken" if space.ranges else "empty"]
    return []


def _alloc(space: VaSpace, call: AllocCall) -> list[str]:
    operation, rooms = call.operation, call.rooms
    size = to_unsigned(operation.number("size"))
    bounded = call.first > space.first or call.last < space.last
    return [
        operation.string("mode"),
        "one" if len(rooms) == 1 else "choice",
        *["exact"] * any(room.size == size for room in rooms),
        *["aligned"] * (operation.number("align") != 0),
        *["bounded"] * bounded,
        *["through"] * any(room.usable < room.size for room in rooms),
    ]


def _is_hole(space: VaSpace, address: int) -> bool:
    """Whether an address lies in the window, and in no range."""
    return space.inside(address, address) and space.first_in(address, address) is None


STATES = States(words=WORDS, pairs=PAIRS, met=met)
"""What operations of system ``va-alloc`` can meet."""
