"""What the rules of system ``pagetable`` are shown of one call."""

from collections.abc import Sequence

from conformance.rules.entries import entry_name, entry_text
from conformance.rules.step import CallStep
from reference.hardware.context import Difference, Space
from reference.hardware.machine import Machine
from reference.hardware.observation import Observation
from reference.operations import Result
from reference.systems.pagetable.promise import PageTableCall, PageTablePromise, Table
from reference.trace import Trace
from reference.translations import Translations


class PageTableStep(CallStep[PageTableCall, PageTablePromise]):
    """One finished call.

    ``table``: the table that it is about; ``view``: what a device could use of it;
    ``translations``: what callers were promised.
    """

    __slots__ = ("_same", "machine", "table", "translations", "view")

    def __init__(
        self,
        call: PageTableCall,
        result: Result,
        promise: PageTablePromise,
        trace: Trace,
        begin_event: int,
        places: Sequence[str],
    ) -> None:
        super().__init__(call, result, promise, trace, begin_event, places)
        assert promise.table is not None
        self.table: Table = promise.table
        self.machine: Machine = promise.table.machine
        self.view: Space = promise.table.view
        self.translations: Translations = promise.table.translations
        # What was found to be as promised in this step.
        self._same: tuple[int, int] = (0, -1)

    @property
    def failed_allocations(self) -> int:
        """How many table allocations were made to fail in it."""
        return self.machine.failed_allocations - self.call.failed_before

    @property
    def observations(self) -> Sequence[Observation]:
        """What was observed in it."""
        return self.machine.observations

    def seen(self, kind: int) -> int:
        """How often an observation of this kind could have been made in it."""
        return self.machine.counts[kind] - self.call.counts_before[kind]

    def observed(self, *kinds: int) -> Sequence[Observation]:
        """The observations of these kinds made in it."""
        if not self.machine.observations:
            return ()
        return [seen for seen in self.machine.observations if seen.kind in kinds]

    def difference(self, first: int, last: int) -> Difference | None:
        """The lowest address of first..last at which memory does not say what was promised.

        What was found to be as promised is not compared a second time in the same step.
        """
        same_first, same_last = self._same
        if same_first <= first and last <= same_last:
            return None
        found = self.view.difference(self.translations, first, last)
        if found is None:
            self._same = (first, last)
        return found

    def covers(self, level: int, va: int) -> bool:
        """Whether all addresses of the entry for ``va`` at ``level`` are the call's own."""
        span = self.table.format.span(level)
        start = va & ~(span - 1)
        return self.first <= start and start + span - 1 <= self.last

    def may_break(self, seen: Observation) -> bool:
        """Whether a change outside the call's range is a step of break-before-make.

        A block that reaches into the range is split, on a device that needs it to be invalid
        between.
        """
        if self.table.bbm >= 2 or self.table.config["block_unmap"] != "split":
            return False
        if self.kind != "unmap" or "invalid" not in (
            self.entry(seen.level, seen.old), self.entry(seen.level, seen.new)
        ):  # fmt: skip
            return False
        span = self.table.format.span(seen.level)
        base = seen.va & ~(span - 1)
        return base <= self.last and self.first <= base + span - 1

    def entry(self, level: int, word: int) -> str:
        """What kind of entry a word is, for signatures."""
        return entry_name(self.table.format, level, word)

    def describe(self, level: int, word: int) -> str:
        """An entry with its decoded fields; level -1 is a walk that did not begin."""
        return entry_text(self.table.format, level, word, "no walk: no root is attached")
