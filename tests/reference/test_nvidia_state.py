"""What an NVIDIA address space has to count: references, tables, large entries."""

import pytest

from reference.formats.nvidia import nvidia_format
from reference.systems.nvidia.state import (
    Area,
    Hold,
    HoldCounts,
    NvidiaState,
    small_count,
)

PAGE, PAGE_64K, LARGE = 0x1000, 0x10000, 0x200000


def made(chip: str = "gp100", large: int = 16, **more: bool) -> NvidiaState:
    state = NvidiaState()
    flags = {"managed": False, "raw": False, "replay": False, **more}
    state.prepare(nvidia_format(chip, large), chip, **flags)
    state.made_space(0, 0)
    return state


def runs(counts: HoldCounts) -> list[tuple[int, int, int]]:
    return [(one.first, one.last, one.count) for one in counts.runs]


def test_references_add_up_and_come_apart() -> None:
    counts = HoldCounts(0)
    counts.add(0, 9, 1)
    counts.add(4, 14, 1)
    assert runs(counts) == [(0, 3, 1), (4, 9, 2), (10, 14, 1)]
    assert (counts.least(0, 14), counts.least(4, 9), counts.least(4, 15)) == (1, 2, 0)
    counts.add(2, 11, -1)
    assert runs(counts) == [(0, 1, 1), (4, 9, 1), (12, 14, 1)]
    assert (counts.least(0, 3), counts.least(20, 30)) == (0, 0)
    counts.add(0, 20, 1)
    assert counts.least(0, 20) == 1


@pytest.mark.parametrize(("state", "count"), [(0, 0), (0x45, 5), (0xC1, 1), (0x17F, 127)])
def test_the_count_in_the_state_of_a_large_entry(state: int, count: int) -> None:
    assert small_count(state) == count


def test_what_is_referenced_for_a_sparse_range() -> None:
    state = made()
    found = state.sparse_holds(0, 2 * LARGE + 2 * PAGE_64K + PAGE)
    assert [(one.index, one.first, one.last + 1 - one.first) for one in found] == [
        (3, 0, 2 * LARGE),
        (4, 2 * LARGE, 2 * PAGE_64K),
        (5, 2 * LARGE + 2 * PAGE_64K, PAGE),
    ]
    found = state.sparse_holds(PAGE, 31 * PAGE)
    assert [(one.index, one.first) for one in found] == [(5, PAGE), (4, PAGE_64K)]
    assert state.sparse_holds(0, 0x1800) == []
    assert made("gf100").sparse_holds(0, PAGE) == []


def test_a_recount_of_tables() -> None:
    state = made()
    assert {key: (one.large, one.small) for key, one in state.recount().items()} == {(4, 0): (1, 0)}
    area = Area(0, 0, 3 * PAGE - 1, True, False, False)
    area.refd = 5
    state.areas[0] = area
    state.raw_holds[4].add(PAGE_64K, 3 * PAGE_64K - 1, 1)
    state.raw_holds[3].add(LARGE, 2 * LARGE - 1, 1)
    assert {key: (one.large, one.small) for key, one in state.recount().items()} == {
        (0, 0): (2, 3),
        (1, 0): (3, 0),
        (2, 0): (1, 0),
        (3, 0): (1, 0),
        (4, 0): (2, 0),
    }
    assert state.small_counts() == {0: 3}


def test_holes_and_the_best_fit() -> None:
    state = made()
    for number, first in enumerate((0, 4, 6)):
        state.areas[number] = Area(number, first * PAGE, (first + 1) * PAGE - 1, False, True, False)
    assert state.holes()[:2] == [(PAGE, 4 * PAGE - 1), (5 * PAGE, 6 * PAGE - 1)]
    assert state.place(PAGE, 12) == 5 * PAGE
    assert state.place(2 * PAGE, 12) == PAGE
    assert state.place(PAGE, 16) == PAGE_64K
    assert state.place(1 << 50, 12) == -1


def test_the_holds_of_an_area() -> None:
    area = Area(0, 0, 3 * PAGE - 1, False, True, True)
    area.sparse_holds = [Hold(5, 0, 3 * PAGE - 1, 1)]
    assert len(area.holds()) == 1
    area.mapref = False
    assert len(area.holds()) == 1
    area.refd = 5
    assert len(area.holds()) == 2
