"""The session of one example: sort, perform, follow, judge, report, take over or undo.

What is known of the target is in the system's promise. What a call did that breaks a rule, and that
the promise cannot take over, is undone: target and promise start again, and all operations before
it are carried out once more, without being counted or reported.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from conformance.rules.rule import MISUSE, WORSE, Rule, Violation
from conformance.rules.step import AnyStep
from conformance.states import States
from conformance.tally import Tally
from conformance.targets.protocol import Target
from reference.calls import LEGAL, Promise, Traits
from reference.operations import Operation, Result, Specs, completed
from reference.trace import BEGIN, END, Trace


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


class Judged(Protocol):
    """What a session asks of its system: see ``conformance.system.System``."""

    @property
    def specs(self) -> Specs:
        """The table of its operations."""

    @property
    def create_implied(self) -> bool:
        """Whether a default create goes without saying, and is not told."""

    @property
    def make_promise(self) -> Callable[[Traits], Promise[Any]]:
        """A promise, before any operation."""

    @property
    def make_step(self) -> Callable[[Any, Result, Any, Trace, int, Sequence[str]], AnyStep]:
        """What its rules are shown of a call."""

    @property
    def valid(self) -> Callable[[Operation, Traits], bool]:
        """Whether the arguments of an operation go together."""

    @property
    def states(self) -> States:
        """The kinds of state that its operations can meet."""

    def asked(self, kind: str, sort: str, finished: bool) -> Sequence[Rule]:
        """The rules that are asked after a call."""

    def unasked(self, kind: str, sort: str, finished: bool) -> Sequence[tuple[str, str]]:
        """(rule, why) of those that are for such a call and cannot be asked after this one."""


class Session:
    """One example: operations carried out on a target one after the other, each judged.

    For each: it is sorted, performed, fed to the views, moved on by, judged, reported, and then
    taken over or undone. ``muted``: identities (rule, signature) that are known; ``None`` mutes
    all. ``operations`` and their ``results``; the ``trace`` of all that happened; ``promise``: the
    system's; ``ended``: nothing more can be judged. ``frozen_on``: stop moving on when this
    identity is met, so that the views can be looked at. ``tally``: what is counted.
    """

    def __init__(
        self,
        system: Judged,
        target: Target,
        muted: set[tuple[str, str]] | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.system = system
        self.target = target
        self.muted = muted
        self.tally = tally if tally is not None else Tally()
        self.operations: list[Operation] = []
        self.results: list[Result] = []
        self.trace = Trace()
        self.ended = False
        self.frozen_on: tuple[str, str] | None = None
        self.promise: Any = None
        # What stands: the operations that were not undone.
        self._effective: list[Operation] = []
        self._replaying = False
        self._start()

    def _start(self) -> None:
        """Target and promise as they are before any operation."""
        self.promise = self.system.make_promise(self.target.traits)
        self.target.reset()

    # -- one operation ------------------------------------------------------------------------

    def run(self, operation: Operation) -> Outcome:
        """Carry out one operation and judge it.

        What has to be there before it, and goes without saying, is made first. What cannot be
        made now is passed over.
        """
        implied = self.promise.implied(operation, not self.operations)
        if implied is not None:
            made = self._imply(implied)
            if made.fresh or not self.promise.takes(operation):
                return made
        if not (self.promise.takes(operation) and self.system.valid(operation, self.target.traits)):
            return Outcome(Result(), MISUSE, False, (), ())
        step = self._perform(operation)
        self._judge(step)
        if any(one.identity == self.frozen_on for one in step.violations):
            self.ended = True
            return Outcome(step.result, step.sort, True, step.violations, ())
        changed = step.result.finished and self.promise.changed(step.call, step.result)
        if not self._replaying:
            self.tally.operation(step.kind, step.sort, changed)
            self.tally.met(step.kind, step.call.met, changed)
        fresh = self._report(step)
        if step.result.finished and self.promise.take_over(step.call, step.result, step.violations):
            self._effective.append(operation)
        else:
            self._undo(step)
        return Outcome(step.result, step.sort, changed, step.violations, fresh)

    def run_all(self, operations: Iterable[Operation]) -> Iterator[Outcome]:
        """Carry out operations one after the other, and destroy at the end whatever exists.

        It ends early with the example.
        """
        for operation in operations:
            yield self.run(operation)
            if self.ended:
                return
        closing = self.finish()
        if closing is not None:
            yield closing

    def _imply(self, operation: Operation) -> Outcome:
        """Make what goes without saying; where that is how the system is told, it is not told."""
        outcome = self.run(completed(operation, self.system.specs))
        if self.system.create_implied and not outcome.fresh:
            self.operations.clear()
            self.results.clear()
            self.trace.clear()
        return outcome

    def _before(self, operation: Operation) -> Any:
        """The call, sorted by the promise."""
        return self.promise.before(operation)

    def _perform(self, operation: Operation) -> AnyStep:
        """Sort an operation, carry it out, and let the promise follow."""
        begin = len(self.trace)
        self.operations.append(operation)
        call = self._before(operation)
        if call.sort == LEGAL and not self._replaying:
            call.met = self.system.states.of(self.promise, call)
        self.trace.emit(BEGIN, len(self.operations) - 1)
        if call.events is None:
            result = self.target.perform(call.operation, self.trace)
        else:
            for kind, a, b in call.events:
                self.trace.emit(kind, a, b)
            result = Result()
        self.trace.emit(END, result.result, result.value)
        self.results.append(result)
        self.promise.feed(self.trace.words, begin)
        step = self.system.make_step(
            call, result, self.promise, self.trace, begin, self.target.places
        )
        if result.finished:
            self.promise.after(call, result, step.end_event)
        return step

    def _judge(self, step: AnyStep) -> None:
        """Ask the rules one after the other, until one says that nothing means anything now."""
        checked = {} if self._replaying else self.tally.checked
        which = step.kind, step.sort, step.result.finished
        asked = self.system.asked(*which)
        step.silences += self.system.unasked(*which)
        for number, rule in enumerate(asked):
            count = rule.judge(step)
            if count:
                checked[rule.id] = checked.get(rule.id, 0) + count
            if step.violations and any(one.corrupts for one in step.violations):
                # Whatever else is wrong with this step may follow from it.
                step.silences += [(one.id, WORSE) for one in asked[number + 1 :]]
                break
        if not self._replaying:
            for one, why in step.silences:
                self.tally.is_silent(one, why)
        if step.sort == MISUSE and step.violations:
            step.violations = [replace(one, label="misuse") for one in step.violations]

    def _report(self, step: AnyStep) -> list[Violation]:
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

    def _undo(self, step: AnyStep) -> None:
        """Start again, and do everything that stood before this step.

        The events of the rerun are those of the original up to here. The longer story is kept,
        and event numbers go on from its end.
        """
        if self._replaying:
            self.ended = True
            return
        kept, results, trace = self.operations, self.results, self.trace
        again, self._effective = self._effective, []
        self._replaying = True
        self.operations, self.results, self.trace = [], [], Trace()
        self._start()
        for operation in again:
            self.run(operation)
            if self.ended:
                break
        self._replaying = False
        self.operations, self.results, self.trace = kept, results, trace
        if self.promise.is_lost():
            self.ended = True
        if self.ended:
            identity = " ".join(step.violations[0].identity) if step.violations else "unknown"
            self.tally.cut[identity] = self.tally.cut.get(identity, 0) + 1

    def finish(self) -> Outcome | None:
        """Destroy at the end of an example whatever exists; None if nothing does.

        An operation of the end that is undone would be undone again: then the example ends.
        """
        outcome: Outcome | None = None
        if self.ended:
            return None
        for operation in self.promise.ending():
            stood = len(self._effective)
            outcome = self.run(completed(operation, self.system.specs))
            if outcome.fresh or len(self._effective) == stood:
                break
        return outcome
