"""What linux:nvkm does is told so that a person can read it."""

import pytest

from conformance.systems.nvidia.targets import LinuxNvkm
from conformance.systems.nvidia.telling import EVENT_WORDS
from reference import trace as t
from reference.operations import Operation
from reports.events import tell_events

PAGE = 0x1000


def op(name: str, **args: int) -> Operation:
    return Operation(name, {**args})


@pytest.fixture
def told(nvkm: LinuxNvkm) -> list[list[str]]:
    """The lines of each operation on an address space."""
    trace = t.Trace()
    tellings = []
    for operation in (
        op("create", managed=1, start=1 << 40, size=1 << 20),
        op("memory", target=0, size=4 * PAGE),
        op("get", size=4 * PAGE, shift=12),
        op("map", vma=2, memory=0),
        op("pfn_map", shift=12, addr=0, size=8 * PAGE, pattern=1),
        op("pfn_unmap", addr=0, size=8 * PAGE),
    ):
        first = len(trace)
        assert nvkm.perform(operation, trace).result == 0
        lines = tell_events(list(trace), first, len(trace) - 1, nvkm.places, words=EVENT_WORDS)
        tellings.append([line.text for line in lines])
    return tellings


def test_areas_and_tables_are_told_as_such(told: list[list[str]]) -> None:
    assert told[0][2:] == [
        "vma-add     0x0..0xffffffffff (1T): area 0, no pages referenced",
        "vma-add     0x10000100000..0x1ffffffffffff (~511T): area 1, no pages referenced",
        "pt-refs     directory of 0x0, level 4: 1 reference",
    ]
    assert told[2] == [
        "vma-add     0x10000000000..0x10000003fff (16K): area 2, no pages referenced"
    ]
    assert told[3][-5:] == [
        "vma-remove  0x10000000000..0x10000003fff (16K): area 2, no pages referenced",
        "vma-add     0x10000000000..0x10000003fff (16K): area 2, page size 5, mapped",
        "pt-refs     directory of 0x0, level 4: 2; directory of 0x0, level 3: 1; "
        "directory of 0x10000000000, level 2: 1; directory of 0x10000000000, level 1: 1; "
        "tables of 0x10000000000: 0 to large pages, 4 to small ones",
        "pt-state    large entries of 0x10000000000..0x1000000ffff (64K): count 4 (0x4)",
        "refs        memory 0: 2 references",
    ]


def test_pages_one_by_one_are_one_line(told: list[list[str]]) -> None:
    (line,) = [line for line in told[4] if "dma-map" in line]
    assert line.startswith(
        "in turn     8 times: dma-map 8 times 4K, 0x200000000 to 0x200007000; store 8 words"
    )
    assert "dma-unmap   8 times 4K, 0x200000000 to 0x200007000" in told[5]
