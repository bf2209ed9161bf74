"""What a run counts: judgements of each rule, and what operations came to."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class OperationCount:
    """How often an operation was done, and with which outcome."""

    count: int = 0
    legal: int = 0
    refused: int = 0
    misuse: int = 0
    changed: int = 0


@dataclass(slots=True)
class StateCount:
    """How often an operation met a kind of state, and how often it changed anything then."""

    count: int = 0
    changed: int = 0


@dataclass(slots=True)
class Tally:
    """Counts of one shard, or the sum of several.

    ``checked``/``violated`` by rule id; ``silent``: how often a rule could not judge, by rule id
    and why; ``operations`` by name; ``states``: what each operation met, by its name and the word;
    ``examples`` finished;
    ``steps``: operations done; ``hits``/``cut``: for each identity ("RULE signature") how
    often it was hit, and how many examples ended early because of it. ``lengths``: how many
    examples had so many operations, by that number as text (as JSON keeps it).
    """

    checked: dict[str, int] = field(default_factory=dict)
    violated: dict[str, int] = field(default_factory=dict)
    silent: dict[str, dict[str, int]] = field(default_factory=dict)
    operations: dict[str, OperationCount] = field(default_factory=dict)
    states: dict[str, dict[str, StateCount]] = field(default_factory=dict)
    hits: dict[str, int] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    examples: int = 0
    steps: int = 0

    def example(self, operations: int) -> None:
        """Count one finished example, of so many operations."""
        self.examples += 1
        key = str(operations)
        self.lengths[key] = self.lengths.get(key, 0) + 1

    def median_steps(self) -> int:
        """The number of operations that half of the examples do not exceed; 0 without any."""
        left = (sum(self.lengths.values()) + 1) // 2
        for length in sorted(int(key) for key in self.lengths):
            left -= self.lengths[str(length)]
            if left <= 0:
                return length
        return 0

    def operation(self, name: str, sort: str, changed: bool) -> None:
        """Count one finished operation."""
        self.steps += 1
        counts = self.operations.get(name)
        if counts is None:
            counts = self.operations[name] = OperationCount()
        counts.count += 1
        if sort == "legal":
            counts.legal += 1
        elif sort == "refused":
            counts.refused += 1
        else:
            counts.misuse += 1
        if changed:
            counts.changed += 1

    def met(self, name: str, words: Sequence[str], changed: bool) -> None:
        """Count what a finished operation met before it."""
        states = self.states.setdefault(name, {})
        for word in words:
            counts = states.get(word)
            if counts is None:
                counts = states[word] = StateCount()
            counts.count += 1
            if changed:
                counts.changed += 1

    def is_silent(self, rule: str, why: str) -> None:
        """Count a call that a rule could not judge."""
        reasons = self.silent.setdefault(rule, {})
        reasons[why] = reasons.get(why, 0) + 1

    def add(self, other: "Tally") -> None:
        """Add the counts of another shard."""
        for rule, reasons in other.silent.items():
            sums = self.silent.setdefault(rule, {})
            for why, count in reasons.items():
                sums[why] = sums.get(why, 0) + count
        for mine, theirs in (
            (self.checked, other.checked),
            (self.violated, other.violated),
            (self.hits, other.hits),
            (self.cut, other.cut),
            (self.lengths, other.lengths),
        ):
            for key, value in theirs.items():
                mine[key] = mine.get(key, 0) + value
        for name, counts in other.operations.items():
            sum_of = self.operations.setdefault(name, OperationCount())
            sum_of.count += counts.count
            sum_of.legal += counts.legal
            sum_of.refused += counts.refused
            sum_of.misuse += counts.misuse
            sum_of.changed += counts.changed
        for name, states in other.states.items():
            mine_of = self.states.setdefault(name, {})
            for word, met in states.items():
                total = mine_of.setdefault(word, StateCount())
                total.count += met.count
                total.changed += met.changed
        self.examples += other.examples
        self.steps += other.steps
