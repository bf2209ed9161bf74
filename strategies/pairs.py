"""Two choices in one draw: the draws of a step cost more than the operation that they end in."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

First = TypeVar("First")
Second = TypeVar("Second")


class Pairs(Generic[First, Second]):
    """Every pair of an element of ``first`` and one of ``second``, by number.

    ``numbers`` is the strategy that draws a number, 0 to ``size`` - 1; ``pair(number)`` is what
    it stands for.
    """

    def __init__(self, first: Sequence[First], second: Sequence[Second]) -> None:
        self.first: Sequence[First] = first
        self.second: Sequence[Second] = second
        self.size: int = len(first) * len(second)
        self.numbers: SearchStrategy[int] = st.integers(0, self.size - 1)

    def pair(self, number: int) -> tuple[First, Second]:
        """The pair with this number, 0 to len(first) * len(second) - 1."""
        rest, which = divmod(number, len(self.first))
        return self.first[which], self.second[rest]
