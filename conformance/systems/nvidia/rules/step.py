"""What the rules of system ``nvidia`` are shown of one operation."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from conformance.rules.rule import Violation
from conformance.rules.step import Finished
from reference.operations import Operation, Result
from reference.systems.nvidia.device import (
    NvidiaDifference,
    NvidiaMmu,
    NvidiaObservation,
)
from reference.systems.nvidia.state import NvidiaSeen, NvidiaState
from reference.trace import Trace

NEAR = 0x20_0000
"""Bytes on each side of a range that are its neighbours."""


def joined(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same addresses in as few ranges, ascending."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found


@dataclass(slots=True)
class NvidiaStep(Finished):
    """One finished operation.

    ``sort``: legal, refused or misuse; ``reason``: why; ``errors``: the errnos that are allowed.
    ``ranges``: (first, last) of the addresses that it is about. ``holes``: what was free before.
    ``place``: where what is handed out has to be, -1: nowhere. ``undone``: pages of a ``pfn_map``
    that cannot be done, -1: not known. ``done``: whether something was promised by it.
    """

    operation: Operation
    result: Result
    sort: str
    reason: str
    errors: tuple[int, ...]
    state: NvidiaState
    seen: NvidiaSeen
    trace: Trace
    begin_event: int
    end_event: int
    places: Sequence[str]
    ranges: list[tuple[int, int]] = field(default_factory=list)
    place: int = -1
    undone: int = -1
    violations: list[Violation] = field(default_factory=list)
    _compared: bool = False
    _difference: NvidiaDifference | None = None

    @property
    def warned(self) -> int:
        """The event of a warning; -1 for none."""
        return self.seen.warned

    @property
    def first(self) -> int:
        """The first address that it is about; -1 for none."""
        return self.ranges[0][0] if self.ranges else -1

    @property
    def mmu(self) -> NvidiaMmu | None:
        """The device's view, None before there was an address space."""
        return self.state.mmu

    @property
    def difference(self) -> NvidiaDifference | None:
        """The first address at which tables do not say what was promised.

        Addresses that the operation is about come first, then those beside them, then those of
        entries that changed: no others can be translated otherwise than before. It is looked
        for once in a step.
        """
        if not self._compared:
            self._compared = True
            self._difference = self._compare()
        return self._difference

    def _compare(self) -> NvidiaDifference | None:
        state = self.state
        if state.mmu is None or not state.exists:
            return None
        limit = state.limit()
        beside: list[tuple[int, int]] = []
        for first, last in self.ranges:
            beside += [(first - NEAR, first - 1), (last + 1, last + NEAR)]
        for first, last in [*self.ranges, *beside, *joined(self.seen.changed)]:
            found = state.mmu.difference(state.promise, max(first, 0), min(last, limit - 1))
            if found is not None:
                return found
        return None

    def is_about(self, address: int) -> bool:
        """Whether the operation is about an address."""
        return any(first <= address <= last for first, last in self.ranges)

    def observed(self, *kinds: int) -> list[NvidiaObservation]:
        """What the device's view observed of these kinds."""
        return [one for one in self.seen.observations if one.kind in kinds]

    def occasions(self, *kinds: int) -> int:
        """How often it could have observed something of these kinds in this step."""
        mmu = self.state.mmu
        if mmu is None or not self.seen.counts_before:
            return 0
        before = self.seen.counts_before
        return sum(int(mmu.counts[kind] - before[kind]) for kind in kinds)
