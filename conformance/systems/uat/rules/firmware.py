"""OR, TL: what the firmware has cached, and how it is asked to clean it."""

import errno

from conformance.rules.rule import Rule, Violation
from conformance.systems.uat.operations import ALL, CALLS
from conformance.systems.uat.rules.step import UatStep, name_of
from reference.systems.uat.device import AP, DONE, FW, IDLE, REQUESTED, field_name

STATES = {IDLE: "idle", REQUESTED: "requested", DONE: "done"}
ALLOWED = {(AP, IDLE, REQUESTED), (FW, REQUESTED, DONE), (AP, DONE, IDLE)}
"""Who takes a flush entry from which state to which."""


def _state(number: int) -> str:
    return STATES.get(number, "unknown")


def entry_check(step: UatStep) -> int:
    """OR-60: a flush entry goes from idle to requested, done, and idle again."""
    if step.kind == "create":
        return 0
    # A request that nobody answers is taken back.
    timed_out = not step.done and -errno.ETIMEDOUT in step.errors
    for one in step.seen.entries:
        if (one.actor, one.old, one.new) in ALLOWED:
            continue
        if timed_out and (one.actor, one.old, one.new) == (AP, REQUESTED, IDLE):
            continue
        who = "driver" if one.actor == AP else "firmware"
        step.violations.append(
            Violation(
                "OR-60",
                f"{step.kind}, {who}, {_state(one.old)} -> {_state(one.new)}",
                f"the {who} set flush entry {one.number} from {_state(one.old)} to "
                f"{_state(one.new)}.",
                one.event,
                step.first,
                "idle -> requested -> done -> idle, each by its own side",
                corrupts=True,
            )
        )
        return len(step.seen.entries)
    for number, state in step.state.entry_states.items():
        if step.is_call and state != IDLE:
            step.violate(
                "OR-60", f"entry left {_state(state)}",
                f"{step.kind} returned, and flush entry {number} is {_state(state)}.", "idle",
                _state(state), corrupts=True,
            )  # fmt: skip
            break
    return len(step.seen.entries)


def message_check(step: UatStep) -> int:
    """OR-62: what a message is about is visible before the message."""
    for event, address in step.seen.untold:
        step.violations.append(
            Violation(
                "OR-62",
                f"{step.kind}, message before what it is about",
                f"the firmware sees a message, and not yet {field_name(address)}.",
                event,
                step.first,
                "the request and the message, a fence that orders stores, then the message's "
                "number",
                corrupts=True,
            )
        )
        break
    return step.seen.messages


def early_check(step: UatStep) -> int:
    """OR-63: with the lock, and after an answer, what is read is what is there."""
    for event, address in step.seen.early:
        step.violations.append(
            Violation(
                "OR-63",
                f"{step.kind}, read too early",
                f"the driver has read {field_name(address)} before it had the lock, or the answer.",
                event,
                step.first,
                "an acquiring fence behind the lock, and behind the answer",
                corrupts=True,
            )
        )
        break
    return step.seen.reads


def line_check(step: UatStep) -> int:
    """TL-60: after a drop the firmware can have no line of what was mapped."""
    mapping = step.mapping
    if mapping is None or not step.done or not mapping.cached or not mapping.size:
        return 0
    if step.broke("OR-2", "OR-4", "OR-60", "IS-65", "TL-61"):
        return 0
    if mapping.may_hold:
        step.violate(
            "TL-60",
            "line left",
            f"the mapping of {name_of(mapping.vm)} is gone, and the firmware may still have lines "
            f"of it: no range that covers it was cleaned while it was not mapped as cached. They "
            "are written to pages that have a new owner.",
            "mapped as not cached, invalidated, then cleaned by the firmware",
            "lines that may be dirty",
        )
    return 1


def clean_check(step: UatStep) -> int:
    """TL-61: what the firmware says to have cleaned, it has cleaned."""
    for event, lines in step.seen.left:
        step.violations.append(
            Violation(
                "TL-61",
                f"{step.kind}, firmware keeps lines",
                f"the firmware says that it has cleaned a range, and keeps {lines} of its lines.",
                event,
                step.first,
                "no line of it",
                corrupts=True,
            )
        )
        break
    return step.seen.cleanings + step.seen.entered


REQUESTS = (
    Rule(
        "OR-62",
        "A request, and the message about it, are visible to the firmware before it hears of them.",
        "The firmware cleans the range of the request before, or nothing.",
        "formats.md A.4",
        message_check,
        CALLS,
    ),
    Rule(
        "OR-63",
        "What the driver reads with the lock, or after an answer, is what is there then.",
        "A context is given away while the firmware is in it, or an answer is not seen.",
        "formats.md A.4 (acquire)",
        early_check,
        CALLS,
    ),
    Rule(
        "TL-61",
        "The firmware has no line left of a range that it says to have cleaned, nor of a context "
        "that it leaves, where it is known to flush then.",
        "Pages are given back whose lines are written later.",
        "formats.md A.4, A.9",
        clean_check,
        ALL,
    ),
    Rule(
        "OR-60",
        "A flush entry goes from idle to requested, by the driver; to done, by the firmware; and "
        "to idle, by the driver, before the call returns.",
        "The firmware cleans what is not asked for, or the host panics over the next request.",
        "formats.md A.4",
        entry_check,
        CALLS,
    ),
)
"""Those about requests, and how they are answered."""

LINES = (
    Rule(
        "TL-60",
        "When a mapping is dropped, the firmware has no line of it: it was made not cached, and "
        "cleaned after that.",
        "The firmware writes a line to a page that has a new owner.",
        "formats.md A.9, F.3 (free the page of data); KB-09",
        line_check,
        frozenset({"drop"}),
    ),
)
"""What has to be so after them."""
