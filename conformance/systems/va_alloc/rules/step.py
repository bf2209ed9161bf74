"""What the rules of system ``va-alloc`` are shown of one operation."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from conformance.rules.rule import Violation
from conformance.rules.step import Finished
from reference.operations import Operation, Result
from reference.systems.va_alloc.promise import HOLE, Range, Room, Seen, VaSpace
from reference.trace import Trace

NO_ROOM = "no room"
"""Why an ``alloc`` is refused that asks for something."""


@dataclass(slots=True)
class AllocStep(Finished):
    """One finished operation.

    ``sort``: legal, refused or misuse; ``reason``: why; ``errors``: the errnos that are allowed.
    ``first``..``last``: the addresses that it is about: of ``alloc`` those that it was given, or
    else those that it might have been. ``rooms``: of ``alloc``, the holes that had room.
    ``taken``: the range, other than its own, that has addresses of what was given out.
    ``expected``: what ``find`` has to give, or None.
    """

    operation: Operation
    result: Result
    sort: str
    reason: str
    errors: tuple[int, ...]
    first: int
    last: int
    state: VaSpace
    seen: Seen
    trace: Trace
    begin_event: int
    end_event: int
    places: Sequence[str]
    rooms: Sequence[Room] = ()
    taken: Range | None = None
    expected: int | None = None
    violations: list[Violation] = field(default_factory=list)

    @property
    def warned(self) -> int:
        """The event of a warning; -1 for none."""
        return self.seen.warned

    @property
    def given(self) -> bool:
        """Whether it is an ``alloc`` that gave something out."""
        return self.kind == "alloc" and self.result.result == 0

    def violate(
        self,
        rule: str,
        what: str,
        message: str,
        expected: str,
        observed: str,
        corrupts: bool = False,
    ) -> None:
        """A rule was broken by this operation; ``what`` tells one defect from another."""
        self.violations.append(
            Violation(
                rule, f"{self.kind}, {what}", message, self.end_event, self.first, expected,
                observed, corrupts=corrupts,
            )
        )  # fmt: skip


def shown(one: Range | None) -> str:
    """A range or a hole in words."""
    if one is None:
        return "nothing"
    owner = "a hole" if one.number == HOLE else f"range {one.number}"
    return f"{one.first:#x}..{one.last:#x}, {owner}"
