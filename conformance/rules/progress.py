"""PG: every call comes back, and whole."""

from conformance.rules.rule import MISUSE, Violation
from conformance.rules.step import AnyStep
from reference.trace import BUG, CRASH, HANG, WILD, WORDS, Trace

ENDED = {
    HANG: "did not return",
    CRASH: "crashed",
    BUG: "stopped at a BUG",
    WILD: "accessed memory outside everything that it owns",
}


ENDING = ("PG-1", "PG-2")
"""The rules about calls that do not come back: nothing else is asked then."""


def ending(trace: Trace, begin: int, end: int) -> tuple[int, int]:
    """(kind, number) of the first event of begin..end that ended a call; (0, end) for none."""
    for event in range(begin, end):
        kind = trace.words[event * WORDS] & 0xFFFF
        if kind in ENDED:
            return kind, event
    return 0, end


def return_check(step: AnyStep) -> int:
    """PG-1: the call returns."""
    if not step.result.finished:
        kind, event = ending(step.trace, step.begin_event, step.end_event)
        if kind in (0, HANG):
            step.violations.append(_ended("PG-1", step, HANG, event))
    return 1


def crash_check(step: AnyStep) -> int:
    """PG-2: the call does not crash, and touches only its own memory."""
    if not step.result.finished:
        kind, event = ending(step.trace, step.begin_event, step.end_event)
        if kind not in (0, HANG):
            step.violations.append(_ended("PG-2", step, kind, event))
    return 1


def _ended(rule: str, step: AnyStep, kind: int, event: int) -> Violation:
    what = ENDED[kind]
    return Violation(
        rule,
        f"{step.kind}, {step.sort}, {what}{step.function(event)}",
        f"{step.kind} {what}{step.function(event)}.",
        event,
        step.first,
        "the call returns",
        what,
    )


def warning_check(step: AnyStep) -> int:
    """PG-3: no warning on a call that keeps the contract."""
    if step.sort == MISUSE:
        return 0
    if step.warned >= 0:
        step.violations.append(
            Violation(
                "PG-3",
                f"{step.kind}, {step.sort}, warning{step.function(step.warned)}",
                f"{step.kind} printed a warning, although the call was {step.sort}.",
                step.warned,
                step.first,
            )
        )
    return 1
