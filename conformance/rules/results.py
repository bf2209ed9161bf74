"""ER-1: what calls return, for systems whose callers cannot go on after a wrong result."""

from conformance.rules.errnos import errno_kind, errno_name
from conformance.rules.rule import LEGAL, MISUSE, Violation
from conformance.rules.step import AnyStep


def result_check(step: AnyStep, what: str = "") -> int:
    """ER-1: a call returns one of its documented results. ``what``: the call; "": its name."""
    if step.sort == MISUSE:
        return 0
    allowed = [0] if step.sort == LEGAL else []
    allowed += step.errors
    result = step.result.result
    if result in allowed:
        return 1
    call = what or step.kind
    why = f" ({step.reason})" if step.reason else ""
    names = " or ".join(errno_name(one) for one in allowed)
    step.violations.append(
        Violation(
            "ER-1",
            f"{call}, {step.sort}{why}, returned {errno_kind(result)}",
            f"{call} returned {errno_name(result)}; the call was {step.sort}{why}.",
            step.end_event,
            step.first,
            names,
            errno_name(result),
            corrupts=True,
        )
    )
    return 1
