"""What a rule is, and what it is shown of one operation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from conformance.rules.step import Finished
from conformance.rules.violation import Violation
from reference.calls import LEGAL, MISUSE, REFUSED
from reference.hardware.view import Difference, HardwareView, Observation
from reference.operations import Operation, Result
from reference.trace import Trace
from reference.translations import Translations


@dataclass(slots=True)
class Step(Finished):
    """One finished operation, as the rules see it.

    ``first``..``last``: the addresses that it may change (``last`` < ``first``: none).
    ``sort``: legal, refused or misuse; ``reason``: why, for people.
    ``due``: inclusive ranges whose release makes stale facts a violation.
    ``held``: for a misuse, what was promised in its range before: (first, last, pa, level in
    memory).
    ``failed_allocations``: how many table allocations were made to fail in it.
    ``counts``, ``counts_before``: the view's counts after and before the operation.
    """

    operation: Operation
    result: Result
    sort: str
    reason: str
    first: int
    last: int
    promise: Translations
    view: HardwareView
    trace: Trace
    begin_event: int
    end_event: int
    places: Sequence[str]
    bbm: int
    map_errors: tuple[int, ...] = ()
    due: Sequence[tuple[int, int]] = ()
    held: Sequence[tuple[int, int, int, int]] = ()
    failed_allocations: int = 0
    warned: int = -1
    counts: Sequence[int] = ()
    counts_before: Sequence[int] = ()
    observations: Sequence[Observation] = ()
    violations: list[Violation] = field(default_factory=list)
    _same: tuple[int, int] = (0, -1)

    def seen(self, kind: int) -> int:
        """How often an observation of this kind could have been made in this step."""
        return self.counts[kind] - self.counts_before[kind]

    def observed(self, *kinds: int) -> list[Observation]:
        """The observations of these kinds made in this step."""
        if not self.observations:
            return []
        return [seen for seen in self.observations if seen.kind in kinds]

    def difference(self, first: int, last: int) -> Difference | None:
        """The lowest address of first..last at which memory does not say what was promised.

        What was found to be as promised is not compared a second time in the same step.
        """
        same_first, same_last = self._same
        if same_first <= first and last <= same_last:
            return None
        found = self.view.difference(self.promise, first, last)
        if found is None:
            self._same = (first, last)
        return found

    def covers(self, level: int, va: int) -> bool:
        """Whether all addresses of the entry for ``va`` at ``level`` are the operation's own."""
        span = self.view.geometry.format.span(level)
        start = va & ~(span - 1)
        return self.first <= start and start + span - 1 <= self.last

    def entry(self, level: int, word: int) -> str:
        """What kind of entry a word is, for signatures."""
        if level < 0:
            return "none"
        return ENTRY_NAMES[self.view.geometry.format.kind(level, word)]

    def describe(self, level: int, word: int) -> str:
        """An entry with its decoded fields; level -1 is a walk that did not begin."""
        if level < 0:
            return "no walk: no root is attached"
        return self.view.geometry.format.describe(level, word)


ENTRY_NAMES = ("invalid", "table", "leaf")

Check = Callable[[Any], int]
"""Looks at a step: :class:`Step`, or what another system shows of an operation."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One law that a target has to keep.

    ``sentence`` states it, ``consequence`` says what goes wrong without it, ``source`` is
    where it comes from. ``check`` looks at a step, appends violations to it, and returns
    how many judgements it made in which a wrong target could have failed.
    ``operations``: the kinds of operation after which it is asked. ``misuse``: whether it
    also judges calls that are outside the contract. ``watches``: for a rule that judges
    observations and nothing else, one kind of observation for each time that it judges. It
    is asked only after a step in which something was observed.
    """

    id: str
    sentence: str
    consequence: str
    source: str
    check: Check
    operations: frozenset[str]
    misuse: bool = False
    watches: tuple[int, ...] = ()

    def judge(self, step: Any) -> int:
        """Check a step; how many judgements that was."""
        if not self.watches or step.observations:
            return self.check(step)
        count: int = 0
        for kind in self.watches:
            count += step.counts[kind] - step.counts_before[kind]
        return count

    @property
    def family(self) -> str:
        """The two letters before the number."""
        return self.id.split("-")[0]


__all__ = ["LEGAL", "MISUSE", "REFUSED", "Check", "Rule", "Step", "Violation"]
