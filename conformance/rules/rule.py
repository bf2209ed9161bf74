"""What a rule is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from conformance.rules.violation import Violation
from reference.calls import LEGAL, MISUSE, REFUSED

OUTSIDE = "the call is outside the contract"
NOT_BACK = "the call did not come back"
WORSE = "what was found before may be the cause"
"""Why rules are silent that are not asked."""

Check = Callable[[Any], int]
"""Looks at a system's step, and says how many judgements that was."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One law that a target has to keep.

    ``sentence`` states it, ``consequence`` says what goes wrong without it, ``source`` is
    where it comes from. ``check`` looks at a step, appends violations to it, and returns
    how many judgements it made in which a wrong target could have failed.
    ``operations``: the kinds of operation after which it is asked. ``misuse``: whether it
    also judges calls that are outside the contract. ``watches``: for a rule that judges
    observations and nothing else, one kind of observation for each time that it judges. It
    is asked only after a step in which something was observed; such a step has
    ``observations``, and ``seen(kind)`` says how often there could have been one. ``silent``:
    for which reasons ``check`` may say that it cannot judge (``CallStep.silence``).
    """

    id: str
    sentence: str
    consequence: str
    source: str
    check: Check
    operations: frozenset[str]
    misuse: bool = False
    watches: tuple[int, ...] = ()
    silent: tuple[str, ...] = ()

    @property
    def silences(self) -> tuple[str, ...]:
        """Why it may not judge a call that it is asked about, or would be."""
        return self.silent if self.misuse else (OUTSIDE, *self.silent)

    def judge(self, step: Any) -> int:
        """Check a step; how many judgements that was."""
        if not self.watches or step.observations:
            return self.check(step)
        count: int = 0
        for kind in self.watches:
            count += step.seen(kind)
        return count

    @property
    def family(self) -> str:
        """The two letters before the number."""
        return self.id.split("-")[0]


__all__ = [
    "LEGAL", "MISUSE", "NOT_BACK", "OUTSIDE", "REFUSED", "WORSE", "Check", "Rule", "Violation",
]  # fmt: skip
