"""What a session of any system offers, and what those that undo by repetition have in common.

A session keeps what it knows of the target in a state of its own. An operation that broke a
rule in a way that the state cannot take over is undone: target and state start again, and all
operations before it are carried out once more, without being counted or reported.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from conformance.rules.rule import MISUSE, Rule, Violation
from conformance.tally import Tally
from conformance.targets.protocol import Target
from reference.operations import Operation, OperationSpec, Result
from reference.trace import Trace


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


class Judged(Protocol):
    """What is asked of a system's step here: its violations, and how the call was sorted."""

    violations: list[Violation]

    @property
    def sort(self) -> str:
        """Legal, refused or misuse."""


class JudgedSession(ABC):
    """The part of a session that is the same for several systems.

    A subclass gives ``run``, ``_forget`` and ``_is_lost``. ``muted``: identities (rule,
    signature) that are known; ``None`` mutes all.
    """

    specs: Mapping[str, OperationSpec]
    rules: Sequence[Rule]

    def __init__(
        self, target: Target, muted: set[tuple[str, str]] | None = None, tally: Tally | None = None
    ) -> None:
        self.target = target
        self.muted = muted
        self.tally = tally if tally is not None else Tally()
        self.operations: list[Operation] = []
        self.results: list[Result] = []
        self.trace = Trace()
        self.ended = False
        self.frozen_on: tuple[str, str] | None = None
        self._effective: list[Operation] = []
        self._replaying = False
        self._forget()
        target.reset()

    @abstractmethod
    def run(self, operation: Operation) -> Outcome:
        """Carry out one operation and judge it."""

    @abstractmethod
    def _forget(self) -> None:
        """Forget what is known of the target: it starts again."""

    @abstractmethod
    def _is_lost(self) -> bool:
        """After an operation was undone: whether nothing is left that could go on."""

    def _judge(self, step: Judged, rules: Iterable[Rule]) -> None:
        """Ask the rules one after the other, until one says that nothing means anything now."""
        checked = {} if self._replaying else self.tally.checked
        for rule in rules:
            count = rule.check(step)
            if count:
                checked[rule.id] = checked.get(rule.id, 0) + count
            if step.violations and any(one.corrupts for one in step.violations):
                break
        if step.sort == MISUSE and step.violations:
            step.violations = [replace(one, label="misuse") for one in step.violations]

    def _is_frozen(self, step: Judged) -> bool:
        """Whether the violation was met at which the session has to stop moving on."""
        return any(violation.identity == self.frozen_on for violation in step.violations)

    def _report(self, step: Judged) -> list[Violation]:
        """Count violations; those of identities that are not muted."""
        if self._replaying:
            return []
        tally = self.tally
        fresh: list[Violation] = []
        for violation in step.violations:
            tally.violated[violation.rule] = tally.violated.get(violation.rule, 0) + 1
            identity = " ".join(violation.identity)
            tally.hits[identity] = tally.hits.get(identity, 0) + 1
            if self.muted is not None and violation.identity not in self.muted:
                fresh.append(violation)
        return fresh

    def _undo(self, step: Judged) -> None:
        """Start again, and do everything before the operation that broke a rule."""
        if self._replaying:
            self.ended = True
            return
        kept, results, trace = self.operations, self.results, self.trace
        again, self._effective = self._effective, []
        self._replaying = True
        self.operations, self.results, self.trace = [], [], Trace()
        self._forget()
        self.target.reset()
        for operation in again:
            self.run(operation)
            if self.ended:
                break
        self._replaying = False
        self.operations, self.results, self.trace = kept, results, trace
        self.ended = self.ended or self._is_lost()
        if self.ended:
            identity = " ".join(step.violations[0].identity)
            self.tally.cut[identity] = self.tally.cut.get(identity, 0) + 1
