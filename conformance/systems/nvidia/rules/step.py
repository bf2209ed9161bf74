"""What the rules of system ``nvidia`` are shown of one call."""

from collections.abc import Sequence
from functools import cached_property

from conformance.rules.step import CallStep
from reference.hardware.observation import Observation
from reference.hardware.paired_walker import PairedDifference
from reference.systems.nvidia.device import NvidiaMmu
from reference.systems.nvidia.promise import NvidiaCall, NvidiaPromise
from reference.systems.nvidia.state import NvidiaSeen, NvidiaState

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


class NvidiaStep(CallStep[NvidiaCall, NvidiaPromise]):
    """One finished call."""

    @property
    def state(self) -> NvidiaState:
        """All three views."""
        return self.promise.state

    @property
    def seen(self) -> NvidiaSeen:
        """What its events said."""
        return self.promise.state.seen

    @property
    def mmu(self) -> NvidiaMmu | None:
        """The device's view, None before there was an address space."""
        return self.promise.state.mmu

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """(first, last) of the addresses that it is about."""
        return self.call.ranges

    @cached_property
    def difference(self) -> PairedDifference | None:
        """The first address at which tables do not say what was promised.

        Addresses that the operation is about come first, then those beside them, then those of
        entries that changed: no others can be translated otherwise than before.
        """
        state = self.state
        if state.mmu is None or not state.exists:
            return None
        limit = state.limit()
        beside: list[tuple[int, int]] = []
        for first, last in self.ranges:
            beside += [(first - NEAR, first - 1), (last + 1, last + NEAR)]
        for first, last in [*self.ranges, *beside, *joined(self.seen.changed)]:
            found = state.mmu.walker.difference(state.promise, max(first, 0), min(last, limit - 1))
            if found is not None:
                return found
        return None

    def is_about(self, address: int) -> bool:
        """Whether the operation is about an address."""
        return any(first <= address <= last for first, last in self.ranges)

    def observed(self, *kinds: int) -> list[Observation]:
        """What the device's view observed of these kinds."""
        return [one for one in self.seen.observations if one.kind in kinds]

    def occasions(self, *kinds: int) -> int:
        """How often it could have observed something of these kinds in this step."""
        mmu = self.state.mmu
        if mmu is None or not self.seen.counts_before:
            return 0
        before = self.seen.counts_before
        return sum(int(mmu.counts[kind] - before[kind]) for kind in kinds)
