"""ER, IS, PG: what calls return, which devices are one group, and that errors are told."""

import errno

from conformance.rules.errnos import errno_kind, errno_name
from conformance.rules.progress import crash_check, return_check, warning_check
from conformance.rules.rule import LEGAL, MISUSE, Rule, Violation
from conformance.systems.dart.rules.operations import EVERY
from conformance.systems.dart.rules.step import DartStep
from reference.systems.dart.promise import TIMED_OUT


def result_check(step: DartStep) -> int:
    """ER-1: a call returns one of its documented results."""
    if step.sort == MISUSE:
        return 0
    allowed = [0] if step.sort == LEGAL and step.reason == "" else []
    allowed += step.errors
    if step.events.failed_allocations:
        allowed.append(-errno.ENOMEM)
    if step.events.timed_out:
        allowed.append(TIMED_OUT)
    result = step.result.result
    wrong = "" if result in allowed else f"returned {errno_kind(result)}"
    if not wrong and step.kind == "unmap":
        wanted = step.address("size") if step.sort == LEGAL else 0
        wrong = "" if step.result.value == wanted else "reported other bytes than it unmapped"
    if not wrong:
        return 1
    why = f" ({step.reason})" if step.reason else ""
    step.violate(
        "ER-1", f"{step.sort}{why}, {wrong}",
        f"{step.kind} {wrong}; the call was {step.sort}{why}.",
        " or ".join(errno_name(one) for one in allowed),
        f"{errno_name(result)}, value {step.result.value:#x}",
        corrupts=True,
    )  # fmt: skip
    return 1


def group_check(step: DartStep) -> int:
    """IS-51: devices are in one group if they share a stream, and only then."""
    if not step.succeeded:
        return 0
    if step.result.value != step.call.group:
        step.violate(
            "IS-51", "device in another group",
            f"The device is in group {step.result.value}, and has to be in {step.call.group}.",
            f"group {step.call.group}", f"group {step.result.value}", corrupts=True,
        )  # fmt: skip
    return 1


def told_check(step: DartStep) -> int:
    """ER-50: the error that is told is the error that was."""
    errors, told = step.events.errors, step.events.told
    was = sorted(one[1:] for one in errors)
    said = sorted(one[1:] for one in told)
    wrong = ""
    if step.state.resets:
        # Those that come in the middle of a reset may be cleared by it.
        if any(one not in was for one in said):
            wrong = "another error was told"
    elif len(said) != len(was):
        wrong = "an error was not told" if len(said) < len(was) else "what was no error was told"
    elif said != was:
        wrong = "another error was told"
    if wrong:
        event = (*told, *errors)[0][0]
        step.violations.append(
            Violation(
                "ER-50",
                f"{step.kind}, {wrong}",
                f"{wrong}: there was {_errors(was)}, and told was {_errors(said)}.",
                event,
                -1,
                _errors(was),
                _errors(said),
                corrupts=True,
            )
        )
    return len(errors)


def _errors(errors: list[tuple[int, int, int]]) -> str:
    shown = [
        f"unit {source >> 16}, stream {source & 0xFFFF}, code {code:#x} at {address:#x}"
        for source, code, address in errors
    ]
    return "; ".join(shown) or "none"


def cleared_check(step: DartStep) -> int:
    """ER-51: an error that was told is cleared."""
    if not step.events.told:
        return 0
    for source in sorted({one[1] for one in step.events.told}):
        unit = step.state.units[source >> 16]
        if unit.device.powered and unit.device.error:
            step.violate(
                "ER-51", "error not cleared",
                f"The error of unit {unit.number} was told, and not cleared: the next one is lost.",
                "ones written to what was read", "the error is still raised", corrupts=True,
            )  # fmt: skip
            break
    return 1


RESULTS = (
    Rule(
        "ER-1",
        "A call returns one of its documented results, and an unmap the bytes that it unmapped.",
        "Callers go on with what was never done.",
        "formats.md C.4, C.5, F.4; semantics.md (calls)",
        result_check,
        EVERY,
    ),
)
"""The rule about results: what else is wrong follows from a call that should have failed."""

RULES = (
    Rule(
        "IS-51",
        "Devices that share a stream are in one group, and devices that share none are not.",
        "Two owners get one stream each thinks its own.",
        "formats.md C.5 (outcome of the review: groups)",
        group_check,
        frozenset({"device"}),
    ),
    Rule(
        "ER-50",
        "Each error that a unit raises is told once, with its stream, all bits of its code and its "
        "address, and nothing else is told.",
        "People look for the mistake of another device.",
        "formats.md C.6",
        told_check,
        EVERY,
        misuse=True,
    ),
    Rule(
        "ER-51",
        "An error that was told is cleared, so that the next one can be raised.",
        "The second error of a device is never seen, or the interrupt never ends.",
        "formats.md C.6; KB-10",
        cleared_check,
        EVERY,
        misuse=True,
    ),
    Rule(
        "PG-1",
        "Every call returns, however long a unit is busy.",
        "A CPU hangs with interrupts off.",
        "formats.md C.4 (100 us)",
        return_check,
        EVERY,
        misuse=True,
    ),
    Rule(
        "PG-2",
        "No call crashes, or touches memory that is not the driver's.",
        "The kernel stops.",
        "semantics.md (calls)",
        crash_check,
        EVERY,
        misuse=True,
    ),
    Rule(
        "PG-3",
        "A call that keeps the contract prints no warning, whether it succeeds or is refused.",
        "Users who try what is not possible fill the log.",
        "formats.md C.5 (outcome of the review: no WARN for what users can cause)",
        warning_check,
        EVERY,
    ),
)
