"""PG: every call comes back, whole, and with something done."""

from typing import Protocol

from conformance.rules.rule import MISUSE, Rule, Step, Violation
from reference.operations import Result
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


class Call(Protocol):
    """What these rules need to know of an operation, of whatever system."""

    violations: list[Violation]

    @property
    def kind(self) -> str:
        """The operation's name."""

    @property
    def sort(self) -> str:
        """Legal, refused or misuse."""

    @property
    def result(self) -> Result:
        """What it gave back."""

    @property
    def trace(self) -> Trace:
        """All events so far."""

    @property
    def begin_event(self) -> int:
        """The number of its first event."""

    @property
    def end_event(self) -> int:
        """The number of its last event."""

    @property
    def first(self) -> int:
        """The first address that it is about."""

    @property
    def warned(self) -> int:
        """The event of a warning; -1 for none."""

    def function(self, event: int) -> str:
        """ ", in FUNCTION" for the code that made an event, where it is known."""


def return_check(step: Call) -> int:
    """PG-1: the call returns."""
    if not step.result.finished:
        kind, event = ending(step.trace, step.begin_event, step.end_event)
        if kind in (0, HANG):
            step.violations.append(_ended("PG-1", step, HANG, event))
    return 1


def crash_check(step: Call) -> int:
    """PG-2: the call does not crash, and touches only its own memory."""
    if not step.result.finished:
        kind, event = ending(step.trace, step.begin_event, step.end_event)
        if kind not in (0, HANG):
            step.violations.append(_ended("PG-2", step, kind, event))
    return 1


def _ended(rule: str, step: Call, kind: int, event: int) -> Violation:
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


def warning_check(step: Call) -> int:
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


def moved_check(step: Step) -> int:
    """PG-4: a legal call that reports success has done at least one page."""
    if step.sort != "legal" or step.result.result != 0 or step.failed_allocations:
        return 0
    if step.result.value <= 0:
        step.violations.append(
            Violation(
                "PG-4",
                f"{step.kind}, nothing done",
                f"{step.kind} reported success and 0 bytes: a caller that loops until its range is "
                "done never ends, and one that does not, leaves it undone.",
                step.end_event,
                step.first,
                "at least one page",
                "0 bytes",
            )
        )
    return 1


RULES = (
    Rule(
        "PG-1",
        "Every call returns.",
        "The caller holds its locks for ever.",
        "semantics.md (progress)",
        return_check,
        frozenset({"create", "map", "unmap", "translate", "sync", "flush", "destroy"}),
        misuse=True,
    ),
    Rule(
        "PG-2",
        "No call crashes, stops at a BUG, or accesses memory outside what the driver owns.",
        "The kernel dies, or silently corrupts itself.",
        "semantics.md (memory safety)",
        crash_check,
        frozenset({"create", "map", "unmap", "translate", "sync", "flush", "destroy"}),
        misuse=True,
    ),
    Rule(
        "PG-3",
        "A call that keeps the contract prints no warning.",
        "Machines that panic on warnings go down; on others the log is not believed any more.",
        "semantics.md (calls)",
        warning_check,
        frozenset({"create", "map", "unmap", "translate", "sync", "flush", "destroy"}),
    ),
    Rule(
        "PG-4",
        "A call that keeps the contract and reports success has mapped or unmapped at least "
        "one page.",
        "A caller that goes on until its range is done loops for ever.",
        "formats.md F.4 (callee may stop early)",
        moved_check,
        frozenset({"map", "unmap"}),
    ),
)
