"""What a session of any system offers to the engine, the minimiser, replay and the tellings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from conformance.rules.rule import Violation
from conformance.tally import Tally
from conformance.targets.protocol import Result
from reference.trace import Trace
from reports.operations import Operation


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one operation came to.

    ``sort``: legal, refused or misuse. ``fresh``: violations of identities that were not muted;
    ``violations``: all of them. ``changed``: whether anything that the system keeps changed.
    """

    result: Result
    sort: str
    changed: bool
    violations: Sequence[Violation]
    fresh: Sequence[Violation]


class Session(Protocol):
    """One example: operations carried out on a target one after the other, each judged.

    ``operations`` and their ``results``; the ``trace`` of all that happened; ``ended``: nothing
    more can be judged. ``frozen_on``: stop moving on when this identity is met, so that the
    views can be looked at. ``tally``: what is counted.
    """

    operations: list[Operation]
    results: list[Result]
    trace: Trace
    ended: bool
    frozen_on: tuple[str, str] | None
    tally: Tally

    def run(self, operation: Operation) -> Outcome:
        """Carry out one operation and judge it."""

    def finish(self) -> Outcome | None:
        """Destroy at the end of an example whatever exists; None if nothing does."""
