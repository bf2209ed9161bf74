"""What the steps of all systems have in common: the operation, and who made an event of it."""

from collections.abc import Sequence

from reference.operations import Operation
from reference.trace import WORDS, Trace


class Finished:
    """A finished operation. Each system's step adds what its rules look at.

    ``places``: the functions of the target by place number.
    """

    __slots__ = ()
    operation: Operation
    trace: Trace
    places: Sequence[str]

    @property
    def kind(self) -> str:
        """The operation's name."""
        return self.operation.name

    def function(self, event: int) -> str:
        """ ", in FUNCTION" for the code that made an event, where it is known."""
        position = event * WORDS
        if not 0 <= position < len(self.trace.words):
            return ""
        place = self.trace.words[position] >> 32
        name = self.places[place] if 0 < place < len(self.places) else ""
        return f", in {name}" if name else ""
