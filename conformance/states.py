"""The kinds of state that operations meet: what a system declares of them, and finds in a call.

A *pair* is an operation and a word for a state in which it can change something: "unmap", "sparse".
What a call meets is looked up before it is made, from the promise alone. A run counts for each pair
how often it was met, and how often the call changed anything then; a pair in which nothing ever
changed was not *reached*. The counts of an ordinary run are on the page ``docs/states.md``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ENOUGH = 50
"""An ordinary run changes something so often in each pair, but for those that are argued."""


@dataclass(frozen=True, kw_only=True)
class States:
    """The states that a system's operations can meet.

    Raises:
        ValueError: a pair has a word that is not explained, a word has no pair, or what is argued
            is no pair.
    """

    words: Mapping[str, str]
    """What each word stands for: "the call meets ..."."""
    pairs: Mapping[str, Sequence[str]]
    """For each operation that can change anything, the words of what it can meet then."""
    met: Callable[[Any, Any], Sequence[str]]
    """Of a promise and a legal call, sorted and not made yet: the words of what it meets. It may
    give words that are no pair with the operation; they are left out."""
    few: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Why an ordinary run needs no more than a few of such a pair."""

    def __post_init__(self) -> None:
        every = list(self)
        used = {word for _, word in every}
        if used != set(self.words):
            wrong = sorted(used ^ set(self.words))
            raise ValueError(
                f"words and pairs differ in {', '.join(wrong)}; allowed are words of both"
            )
        for pair in self.few:
            if pair not in every:
                raise ValueError(f"few names {pair}; allowed are pairs of pairs")

    def of(self, promise: Any, call: Any) -> tuple[str, ...]:
        """The words of what a legal call meets, each once, of those declared for its operation."""
        known = self.pairs.get(call.operation.name, ())
        if not known:
            return ()
        return tuple(dict.fromkeys(word for word in self.met(promise, call) if word in known))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Every (operation, word), in the order declared."""
        return ((name, word) for name, words in self.pairs.items() for word in words)


def no_words(promise: Any, call: Any) -> Sequence[str]:
    """What a call meets in a system that declares no states."""
    return ()


NO_STATES = States(words={}, pairs={}, met=no_words)
"""Those of a system that declares none."""
