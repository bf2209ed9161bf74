"""SP, TR: where the addresses lie that are given out."""

from collections.abc import Sequence

from conformance.rules.rule import Rule
from conformance.systems.va_alloc.rules.step import AllocStep, shown
from reference.systems.va_alloc.promise import Room
from reference.words import to_unsigned


def free_check(step: AllocStep) -> int:
    """SP-40: what is given out is in the window, and was free."""
    if not step.given:
        return 0
    where = f"{step.first:#x}..{step.last:#x}"
    if not step.space.inside(step.first, step.last):
        step.violate(
            "SP-40",
            "outside the window",
            f"alloc gave out {where}, which does not lie in the window.",
            f"addresses in {step.space.first:#x}..{step.space.last:#x}",
            where,
            corrupts=True,
        )
    elif step.call.taken is not None:
        step.violate(
            "SP-40",
            "taken already",
            f"alloc gave out {where}, of which somebody has a part already.",
            "addresses that are free",
            f"{where}, over {shown(step.call.taken)}",
            corrupts=True,
        )
    return 1


def _wish(step: AllocStep) -> tuple[int, int, int]:
    """(align, first, last) of an ``alloc``."""
    operation = step.operation
    first, last = to_unsigned(operation.number("first")), to_unsigned(operation.number("last"))
    return max(to_unsigned(operation.number("align")), 1), first, last


def _as_wished(step: AllocStep) -> bool:
    align, first, last = _wish(step)
    return step.first % align == 0 and first <= step.first and step.last <= last


def wish_check(step: AllocStep) -> int:
    """TR-41: what is given out lies in the range that was asked for, at such a multiple."""
    if not step.given:
        return 0
    align, first, last = _wish(step)
    if step.first % align:
        step.violate(
            "TR-41",
            "not at a multiple",
            f"alloc gave out {step.first:#x}, which is no multiple of {align:#x}.",
            f"a multiple of {align:#x}",
            f"{step.first:#x}",
        )
    elif not _as_wished(step):
        step.violate(
            "TR-41",
            "outside the range that was asked for",
            f"alloc gave out {step.first:#x}..{step.last:#x}; it was asked for addresses in "
            f"{first:#x}..{last:#x}.",
            f"addresses in {first:#x}..{last:#x}",
            f"{step.first:#x}..{step.last:#x}",
        )
    return int(align > 1 or not (first <= step.space.first and last >= step.space.last))


def mode_check(step: AllocStep) -> int:
    """TR-42: of the holes with room the one is taken that the mode says, at the right end."""
    if not step.given or not step.call.rooms or not _as_wished(step):
        return 0
    mode = step.operation.string("mode")
    if mode == "low":
        allowed = {step.call.rooms[0].lowest}
    elif mode == "high":
        allowed = {step.call.rooms[-1].highest}
    else:
        allowed = {room.lowest for room in _smallest(step.call.rooms)}
    if step.first not in allowed:
        mine = [room for room in step.call.rooms if room.lowest <= step.first <= room.highest]
        right = mine and not _is_another(mode, mine[0], step.call.rooms)
        step.violate(
            "TR-42",
            f"{mode}, {'another end' if right else 'another hole'}",
            f"alloc, {mode}, gave out {step.first:#x}.",
            " or ".join(f"{address:#x}" for address in sorted(allowed)),
            f"{step.first:#x}",
        )
    return 1


def _smallest(rooms: Sequence[Room]) -> list[Room]:
    """The smallest holes: as a whole, or in what of them may be used."""
    size, usable = min(room.size for room in rooms), min(room.usable for room in rooms)
    return [room for room in rooms if room.size == size or room.usable == usable]


def _is_another(mode: str, room: Room, rooms: Sequence[Room]) -> bool:
    """Whether the mode says another hole than this one."""
    if mode == "best":
        return room not in _smallest(rooms)
    return room is not rooms[0 if mode == "low" else -1]


def find_check(step: AllocStep) -> int:
    """TR-43: find gives the first range that has an address in what is asked for."""
    if step.result.result != 0:
        return 0
    found = step.result.value
    if found != step.call.expected:
        wanted = "a range" if step.call.expected != -1 else "nothing"
        step.violate(
            "TR-43",
            f"{wanted} wanted, {'nothing' if found == -1 else 'another'} found",
            f"The first range that has an address in {step.first:#x}..{step.last:#x} is not the "
            "one that is found.",
            f"{to_unsigned(step.call.expected):#x}" if step.call.expected != -1 else "nothing",
            f"{to_unsigned(found):#x}" if found != -1 else "nothing",
        )
    return 1


RULES = (
    Rule(
        "SP-40",
        "What is given out lies in the window, and nobody has a byte of it.",
        "Two owners write to the same addresses.",
        "Linux drivers/gpu/drm/drm_mm.c (overview)",
        free_check,
        frozenset({"alloc"}),
    ),
    Rule(
        "TR-41",
        "What is given out starts at a multiple of the alignment that was asked for, and lies "
        "in the range that was asked for.",
        "A device that can reach only part of the addresses, or only large pages, reads others.",
        "drm_mm_insert_node_in_range (parameters)",
        wish_check,
        frozenset({"alloc"}),
    ),
    Rule(
        "TR-42",
        "Of the holes that have room, best takes the smallest, low that of the lowest address, and "
        "high that of the highest; best and low take the lowest address in it, high the highest.",
        "Large holes are used up by small requests, or what is to lie apart lies together.",
        "include/drm/drm_mm.h (enum drm_mm_insert_mode)",
        mode_check,
        frozenset({"alloc"}),
    ),
    Rule(
        "TR-43",
        "find gives the first range that has an address in what is asked for, or nothing.",
        "What has to make way is not seen, or the wrong owner is told to.",
        "include/drm/drm_mm.h (drm_mm_for_each_node_in_range)",
        find_check,
        frozenset({"find"}),
    ),
)
