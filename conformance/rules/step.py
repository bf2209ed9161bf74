"""What a rule is shown: one finished call, with its result, its events and the promise."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from conformance.rules.violation import Violation
from reference.calls import Call, Promise
from reference.operations import Operation, Result
from reference.trace import WORDS, Trace

C = TypeVar("C", bound=Call)
P = TypeVar("P", bound=Promise[Any])


class CallStep(Generic[C, P]):
    """A finished call as rules see it. A system's own step adds properties, and changes nothing.

    ``call``: how it was sorted, with what the system says of it; ``result``: what it gave back;
    ``promise``: the system's, with its views; ``trace``: all events so far, of which
    ``begin_event``..``end_event`` are this call's; ``places``: the functions of the target by
    place number. ``violations``: what was found by now. ``silences``: (rule, why) of rules that
    could not judge it.
    """

    __slots__ = (
        "begin_event", "call", "end_event", "places", "promise", "result", "silences", "trace",
        "violations",
    )  # fmt: skip

    def __init__(
        self,
        call: C,
        result: Result,
        promise: P,
        trace: Trace,
        begin_event: int,
        places: Sequence[str],
    ) -> None:
        self.call: C = call
        self.result: Result = result
        self.promise: P = promise
        self.trace: Trace = trace
        self.begin_event: int = begin_event
        self.end_event: int = len(trace) - 1
        self.places: Sequence[str] = places
        self.violations: list[Violation] = []
        self.silences: list[tuple[str, str]] = []

    @property
    def operation(self) -> Operation:
        """The operation."""
        return self.call.operation

    @property
    def kind(self) -> str:
        """The operation's name."""
        return self.call.operation.name

    @property
    def sort(self) -> str:
        """Legal, refused or misuse."""
        return self.call.sort

    @property
    def reason(self) -> str:
        """Why, for people."""
        return self.call.reason

    @property
    def errors(self) -> tuple[int, ...]:
        """The results, besides success, that are allowed."""
        return self.call.errors

    @property
    def first(self) -> int:
        """The first address that it is about."""
        return self.call.first

    @property
    def last(self) -> int:
        """The last address that it is about."""
        return self.call.last

    @property
    def warned(self) -> int:
        """The event of a warning; -1 for none."""
        return self.promise.warned

    def function(self, event: int) -> str:
        """ ", in FUNCTION" for the code that made an event, where it is known."""
        position = event * WORDS
        if not 0 <= position < len(self.trace.words):
            return ""
        place = self.trace.words[position] >> 32
        name = self.places[place] if 0 < place < len(self.places) else ""
        return f", in {name}" if name else ""

    def silence(self, rule: str, why: str) -> None:
        """A rule cannot judge this call, or a part of it; ``why`` is counted in the result."""
        self.silences.append((rule, why))

    def violate(
        self,
        rule: str,
        what: str,
        message: str,
        expected: str,
        observed: str,
        corrupts: bool = False,
    ) -> None:
        """A rule was broken by this call; ``what`` tells one defect from another."""
        self.violations.append(
            Violation(
                rule, f"{self.kind}, {what}", message, self.end_event, self.first, expected,
                observed, corrupts=corrupts,
            )
        )  # fmt: skip


AnyStep = CallStep[Any, Any]
"""What the rules of some system are shown."""
