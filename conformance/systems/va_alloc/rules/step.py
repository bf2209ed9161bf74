"""What the rules of system ``va-alloc`` are shown of one call."""

from conformance.rules.step import CallStep
from reference.systems.va_alloc.promise import (
    HOLE,
    NO_ROOM,
    AllocCall,
    Range,
    Seen,
    VaAllocPromise,
    VaSpace,
)


class AllocStep(CallStep[AllocCall, VaAllocPromise]):
    """One finished call."""

    @property
    def space(self) -> VaSpace:
        """The ranges that callers have."""
        return self.promise.space

    @property
    def seen(self) -> Seen:
        """What its events said."""
        return self.promise.seen

    @property
    def given(self) -> bool:
        """Whether it is an ``alloc`` that gave something out."""
        return self.kind == "alloc" and self.result.result == 0


def shown(one: Range | None) -> str:
    """A range or a hole in words."""
    if one is None:
        return "nothing"
    owner = "a hole" if one.number == HOLE else f"range {one.number}"
    return f"{one.first:#x}..{one.last:#x}, {owner}"


__all__ = ["NO_ROOM", "AllocStep", "shown"]
