"""ER, PG: what calls return, and that they return."""

import errno

from conformance.rules.errnos import errno_kind, errno_name
from conformance.rules.progress import crash_check, return_check, warning_check
from conformance.rules.rule import LEGAL, REFUSED, Rule
from conformance.systems.va_alloc.rules.step import NO_ROOM, AllocStep

OPERATIONS = frozenset({"create", "alloc", "reserve", "free", "find", "destroy"})
"""All operations of the system."""


def _no_room(step: AllocStep) -> bool:
    """Whether it was said that there is no room for what there is room for."""
    return (
        step.kind in ("alloc", "reserve")
        and step.sort == LEGAL
        and step.result.result == -errno.ENOSPC
    )


def result_check(step: AllocStep) -> int:
    """ER-1: a call returns one of its documented results."""
    allowed = [0] if step.sort == LEGAL else list(step.errors)
    # Whether there was room for what an alloc gave out is seen at the addresses.
    if step.result.result in allowed or _no_room(step) or (step.given and step.reason == NO_ROOM):
        return 1
    why = f" ({step.reason})" if step.reason else ""
    returned = errno_name(step.result.result)
    step.violate(
        "ER-1",
        f"{step.sort}{why}, returned {errno_kind(step.result.result)}",
        f"{step.kind} returned {returned}; the call was {step.sort}"
        f"{f': {step.reason}' if step.reason else ''}.",
        " or ".join(errno_name(one) for one in allowed),
        returned,
        # What was given out although it could not be means nothing.
        corrupts=step.sort == REFUSED and step.result.result == 0,
    )
    return 1


def found_check(step: AllocStep) -> int:
    """ER-40: room that there is, is found."""
    if step.sort != LEGAL:
        return 0
    if _no_room(step):
        if step.kind == "reserve":
            where = f"all of {step.first:#x}..{step.last:#x} is free"
        else:
            room = step.call.rooms[0]
            where = f"there is room at {room.lowest:#x}"
            if room.highest != room.lowest:
                where += f", and up to {room.highest:#x}"
        step.violate(
            "ER-40",
            "room not found",
            f"{step.kind} returned ENOSPC, although {where}.",
            where,
            "ENOSPC",
        )
    return 1


RULES = (
    Rule(
        "PG-1",
        "A call returns within the work that looking at each hole once needs.",
        "Whoever asks for memory waits for ever, with the lock of the address space.",
        "semantics.md (progress)",
        return_check,
        OPERATIONS,
    ),
    Rule(
        "PG-2",
        "A call does not crash, and touches only its own memory.",
        "One process takes the machine down, or writes to another's memory.",
        "semantics.md (memory safety)",
        crash_check,
        OPERATIONS,
    ),
    Rule(
        "PG-3",
        "A call prints no warning; least of all the last one, when everything has come back.",
        "A warning stops machines that are set to panic on it.",
        "semantics.md (calls); drm_mm_takedown",
        warning_check,
        OPERATIONS,
    ),
    Rule(
        "ER-1",
        "A call returns one of its documented results: ENOSPC where no hole has room for what is "
        "asked, or not all of a range is free; success otherwise.",
        "Two owners have the same addresses, or a caller takes one error for another.",
        "drm_mm_insert_node_in_range, drm_mm_reserve_node (returns); semantics.md (calls)",
        result_check,
        OPERATIONS,
    ),
    Rule(
        "ER-40",
        "Room that there is, is found: where a hole has as many bytes in the range that is asked "
        "for, at such a multiple, they are given out. The last page is no exception.",
        "A caller is told that its address space is full while it is not.",
        "drm_mm_insert_node_in_range, drm_mm_reserve_node (returns); KB-19",
        found_check,
        frozenset({"alloc", "reserve"}),
    ),
)
