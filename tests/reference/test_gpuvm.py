"""The VA manager: the table of formats.md B.7 row by row, and laws over any sequence of calls."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.systems.gpuvm.targets import GpuvmTarget
from reference.drivers.budget import StepsExceeded
from reference.operations import Operation, Result
from reference.systems.gpuvm.driver import (
    CHUNK,
    PAGES,
    Gpuvm,
    Vma,
    VmaTree,
)
from reference.systems.gpuvm.events import (
    BACKING_SHIFT,
    PT_MAP,
    VALIDATED,
    VMA,
    VMA_ADD,
    VMA_REMOVE,
)
from reference.trace import (
    ALLOC_FAILED,
    REFS,
    REFS_BUFFER,
    REFS_VM,
    REFS_VM_BO,
    Event,
    Trace,
)
from reference.words import to_signed, to_unsigned

PAGE = 0x1000
BUFFER = 64
"""Pages of a buffer, where it does not matter."""

OF_VMAS = (VMA_ADD, VMA_REMOVE, VMA, PT_MAP)


class World:
    """One VM, its target, and the events of the last call."""

    def __init__(self, driver: Any = None, **create: int) -> None:
        self.target = GpuvmTarget() if driver is None else GpuvmTarget(driver)
        self.trace = Trace()
        self.call(
            "create", **{"start": 0, "size": 1 << 48, "kernel_start": 0, "kernel_size": 0} | create
        )

    @property
    def vm(self) -> Any:
        """The driver itself."""
        return self.target.made

    def call(self, name: str, **args: int) -> Result:
        """One operation; words may be given unsigned."""
        self.trace.clear()
        held = {key: to_signed(value) for key, value in args.items()}
        return self.target.perform(Operation(name, held), self.trace)

    def bo(self, pages: int = BUFFER, private: int = 1) -> int:
        return self.call("bo", size=pages * PAGE, private=private).value

    def map(self, first: int, end: int, bo: int = 0, offset: int = 0, fail_at: int = 0) -> int:
        """Map pages ``first`` to ``end`` (exclusive)."""
        return self.call(
            "map",
            iova=first * PAGE,
            size=(end - first) * PAGE,
            bo=bo,
            offset=offset * PAGE,
            fail_at=fail_at,
        ).result

    def unmap(self, first: int, end: int, fail_at: int = 0) -> int:
        """Unmap pages ``first`` to ``end`` (exclusive)."""
        return self.call(
            "unmap", iova=first * PAGE, size=(end - first) * PAGE, fail_at=fail_at
        ).result

    def steps(self) -> list[tuple[Any, ...]]:
        """What the last call did, in pages: (name, first, end, and for some buffer, offset)."""
        return [told(event) for event in self.trace if event.kind not in (VMA, REFS)]

    def listed(self) -> list[tuple[Any, ...]]:
        """The VMAs that the last call listed: (first, end, buffer, offset)."""
        return [told(event)[1:] for event in self.trace if event.kind == VMA]

    def refs(self) -> list[tuple[int, int, int]]:
        """The counts that the last call told: (what, number, count)."""
        return [(event.a, event.b, event.c) for event in self.trace if event.kind == REFS]

    def vmas(self) -> list[tuple[int, int, int, int]]:
        """Every VMA: (first, end, buffer, offset), in pages."""
        return [
            (vma.first, vma.end, vma.link.buffer.number, vma.offset)
            for vma in self.vm.tree.overlapping(0, PAGES)
        ]


def told(event: Event) -> tuple[Any, ...]:
    """An event in pages."""
    if event.kind in (VALIDATED, ALLOC_FAILED):
        return (event.name, event.a)
    first, last = to_unsigned(event.a), to_unsigned(event.b)
    assert first % PAGE == 0
    assert (last + 1) % PAGE == 0
    shown: tuple[Any, ...] = (event.name, first // PAGE, (last + 1) // PAGE)
    if event.kind in OF_VMAS:
        backing = to_unsigned(event.c)
        number, offset = backing >> BACKING_SHIFT, backing & ((1 << BACKING_SHIFT) - 1)
        assert offset % PAGE == 0
        shown += (number, offset // PAGE)
    return shown


def two_buffers(**create: int) -> World:
    world = World(**create)
    assert world.bo() == 0
    assert world.bo() == 1
    return world


# -- the table ----------------------------------------------------------------------------

ROWS = {
    # request: (hole, what is left before, what is left after), of [4, 8) from offset 2 on
    "A==R E==Q": ((4, 8), (4, 8), None, None),
    "A==R E<Q": ((4, 10), (4, 8), None, None),
    "A==R E>Q": ((4, 6), (4, 6), None, (6, 8, 4)),
    "A<R E==Q": ((6, 8), (6, 8), (4, 6, 2), None),
    "A<R E<Q": ((6, 10), (6, 8), (4, 6, 2), None),
    "A<R E>Q": ((5, 7), (5, 7), (4, 5, 2), (7, 8, 5)),
    "A>R E==Q": ((2, 8), (4, 8), None, None),
    "A>R E<Q": ((2, 10), (4, 8), None, None),
    "A>R E>Q": ((2, 6), (4, 6), None, (6, 8, 4)),
}


def expected(row: str) -> list[tuple[Any, ...]]:
    """The steps by which [4, 8) of buffer 0, from page 2 on, makes way."""
    _, hole, prev, after = ROWS[row]
    steps: list[tuple[Any, ...]] = [("pt-unmap", *hole), ("vma-remove", 4, 8, 0, 2)]
    for first, end, offset in (part for part in (prev, after) if part is not None):
        steps.append(("vma-add", first, end, 0, offset))
    return steps


@pytest.mark.parametrize("row", ROWS)
def test_sm_map_by_shape(row: str) -> None:
    world = two_buffers()
    first, end = ROWS[row][0]
    assert world.map(4, 8, bo=0, offset=2) == 0
    assert world.map(first, end, bo=1, offset=1) == 0
    mapped = (first, end, 1, 1)
    assert world.steps() == [*expected(row), ("pt-map", *mapped), ("vma-add", *mapped)]


@pytest.mark.parametrize("row", ROWS)
def test_sm_unmap_by_shape(row: str) -> None:
    world = two_buffers()
    first, end = ROWS[row][0]
    assert world.map(4, 8, bo=0, offset=2) == 0
    assert world.unmap(first, end) == 0
    assert world.steps() == expected(row)


WORKED: list[tuple[str, list[tuple[int, int, int]], tuple[int, int], list[tuple[Any, ...]]]] = [
    # (call, VMAs before as (first, end, offset), its range, the steps before the map)
    ("map", [(1, 5, 0)], (2, 3), [
        ("pt-unmap", 2, 3), ("vma-remove", 1, 5, 0, 0),
        ("vma-add", 1, 2, 0, 0), ("vma-add", 3, 5, 0, 2),
    ]),
    ("map", [(1, 5, 0)], (0, 3), [
        ("pt-unmap", 1, 3), ("vma-remove", 1, 5, 0, 0), ("vma-add", 3, 5, 0, 2),
    ]),
    ("map", [(1, 5, 0)], (4, 8), [
        ("pt-unmap", 4, 5), ("vma-remove", 1, 5, 0, 0), ("vma-add", 1, 4, 0, 0),
    ]),
    ("unmap", [(1, 5, 0)], (0, 16), [("pt-unmap", 1, 5), ("vma-remove", 1, 5, 0, 0)]),
    ("unmap", [(1, 5, 0)], (2, 3), [
        ("pt-unmap", 2, 3), ("vma-remove", 1, 5, 0, 0),
        ("vma-add", 1, 2, 0, 0), ("vma-add", 3, 5, 0, 2),
    ]),
    ("map", [(1, 2, 0), (3, 5, 7)], (1, 4), [
        ("pt-unmap", 1, 2), ("vma-remove", 1, 2, 0, 0),
        ("pt-unmap", 3, 4), ("vma-remove", 3, 5, 0, 7), ("vma-add", 4, 5, 0, 8),
    ]),
    ("unmap", [(1, 2, 0), (3, 5, 7)], (0, 4), [
        ("pt-unmap", 1, 2), ("vma-remove", 1, 2, 0, 0),
        ("pt-unmap", 3, 4), ("vma-remove", 3, 5, 0, 7), ("vma-add", 4, 5, 0, 8),
    ]),
]  # fmt: skip


@pytest.mark.parametrize("worked", WORKED, ids=lambda worked: f"{worked[0]}-{worked[2]}")
def test_worked(worked: Any) -> None:
    name, before, (first, end), steps = worked
    world = two_buffers()
    for start, stop, offset in before:
        assert world.map(start, stop, offset=offset) == 0
    if name == "map":
        assert world.map(first, end, bo=1) == 0
        mapped = (first, end, 1, 0)
        steps = [*steps, ("pt-map", *mapped), ("vma-add", *mapped)]
    else:
        assert world.unmap(first, end) == 0
    assert world.steps() == steps


def test_the_tail_of_one_and_the_head_of_the_next() -> None:
    """Two VMAs are needed for what is left, though neither is split in two."""
    world = two_buffers()
    world.map(0, 4)
    world.map(4, 8, bo=1)
    assert world.unmap(3, 5) == 0
    assert world.vmas() == [(0, 3, 0, 0), (5, 8, 1, 1)]


def test_a_map_is_a_map_whatever_is_there() -> None:
    world = two_buffers()
    mapped = (4, 8, 0, 2)
    world.map(4, 8, offset=2)
    assert world.steps() == [("pt-map", *mapped), ("vma-add", *mapped)]
    world.map(4, 8, offset=2)
    assert world.steps() == [
        ("pt-unmap", 4, 8), ("vma-remove", *mapped), ("pt-map", *mapped), ("vma-add", *mapped),
    ]  # fmt: skip
    assert world.unmap(9, 20) == 0
    assert world.steps() == []


def test_neighbours_are_not_joined() -> None:
    world = two_buffers()
    world.map(0, 2)
    world.map(2, 4, offset=2)
    assert world.vmas() == [(0, 2, 0, 0), (2, 4, 0, 2)]


# -- what is refused ----------------------------------------------------------------------

INSIDE = {"start": 16 * PAGE, "size": 64 * PAGE, "kernel_start": 32 * PAGE, "kernel_size": 8 * PAGE}
MAPPED = {"iova": 20 * PAGE, "size": PAGE, "bo": 0, "offset": 0}
BAD_RANGES = [
    {"size": 0},
    {"iova": 21 * PAGE, "size": 0},
    {"iova": 15 * PAGE, "size": 2 * PAGE},
    {"iova": 79 * PAGE, "size": 2 * PAGE},
    {"iova": 80 * PAGE},
    {"iova": 0},
    {"iova": 31 * PAGE, "size": 2 * PAGE},
    {"iova": 39 * PAGE},
    {"iova": 33 * PAGE},
    {"iova": 31 * PAGE, "size": 10 * PAGE},
    {"iova": (1 << 64) - PAGE},
    {"iova": (1 << 64) - PAGE, "size": 32 * PAGE},
    {"iova": 20 * PAGE + 1},
    {"size": PAGE - 8},
]
BAD_MAPS = [
    {"bo": 1},
    {"bo": 2},
    {"bo": (1 << 64) - 1},
    {"offset": 0x800},
    {"offset": (BUFFER - 1) * PAGE, "size": 2 * PAGE},
    {"offset": BUFFER * PAGE},
    {"offset": (1 << 64) - PAGE},
    {"size": (BUFFER + 1) * PAGE},
]


def refused() -> World:
    world = two_buffers(**INSIDE)
    world.call("close", bo=1)
    assert world.map(20, 24, offset=3) == 0
    return world


@pytest.mark.parametrize("change", BAD_RANGES + BAD_MAPS, ids=str)
def test_bad_maps_change_nothing(change: dict[str, int]) -> None:
    world = refused()
    before = state(world)
    args = MAPPED | {"fail_at": 0} | change
    assert world.call("map", **args) == Result(-errno.EINVAL)
    assert world.steps() == []
    assert state(world) == before


@pytest.mark.parametrize(
    "change", [*BAD_RANGES, {"size": (1 << 64) - PAGE}, {"size": 1 << 63}], ids=str
)
def test_bad_unmaps_change_nothing(change: dict[str, int]) -> None:
    world = refused()
    before = state(world)
    args = {"iova": 20 * PAGE, "size": PAGE, "fail_at": 0} | change
    assert world.call("unmap", **args) == Result(-errno.EINVAL)
    assert world.steps() == []
    assert state(world) == before


def test_what_just_fits_is_not_refused() -> None:
    world = two_buffers(**INSIDE)
    for first, end in ((16, 32), (40, 80)):
        assert world.map(first, end) == 0
        assert world.unmap(first, end) == 0
    assert world.map(16, 17, offset=BUFFER - 1) == 0


@pytest.mark.parametrize(("linked", "allocations"), [(False, 4), (True, 3)])
def test_a_map_without_memory_changes_nothing(linked: bool, allocations: int) -> None:
    world = two_buffers()
    if linked:
        world.map(0, 8)
    before = state(world)
    for fail_at in range(1, allocations + 1):
        assert world.map(2, 4, fail_at=fail_at) == -errno.ENOMEM
        assert [step[0] for step in world.steps()] == ["alloc-failed"]
        assert state(world) == before
    assert world.map(2, 4, fail_at=allocations + 1) == 0


def test_an_unmap_without_memory_changes_nothing() -> None:
    world = two_buffers()
    world.map(0, 8)
    before = state(world)
    for fail_at in (1, 2):
        assert world.unmap(2, 4, fail_at=fail_at) == -errno.ENOMEM
        assert [step[0] for step in world.steps()] == ["alloc-failed"]
        assert state(world) == before
    assert world.unmap(2, 4, fail_at=3) == 0


@pytest.mark.parametrize("size", [0, 0x800, 1 << 48, 1 << 63])
def test_bad_buffers_are_not_made(size: int) -> None:
    world = World()
    assert world.call("bo", size=size, private=0) == Result(-errno.EINVAL)
    assert world.refs() == [(REFS_VM, 0, 1)]
    assert world.bo() == 0


# -- references ---------------------------------------------------------------------------


def test_counts_of_a_life() -> None:
    world = World()
    assert world.refs() == [(REFS_VM, 0, 1)]
    world.bo()
    assert world.refs() == [(REFS_BUFFER, 0, 1), (REFS_VM_BO, 0, 0), (REFS_VM, 0, 1)]
    world.map(0, 8)
    assert world.refs() == [(REFS_BUFFER, 0, 2), (REFS_VM_BO, 0, 1), (REFS_VM, 0, 3)]
    world.unmap(2, 4)
    assert world.refs() == [(REFS_BUFFER, 0, 2), (REFS_VM_BO, 0, 2), (REFS_VM, 0, 4)]
    assert world.call("close", bo=0) == Result()
    assert world.refs() == [(REFS_BUFFER, 0, 1), (REFS_VM_BO, 0, 2), (REFS_VM, 0, 4)]
    assert world.call("close", bo=0) == Result(-errno.EINVAL)
    world.unmap(0, 2)
    assert world.refs() == [(REFS_BUFFER, 0, 1), (REFS_VM_BO, 0, 1), (REFS_VM, 0, 3)]
    world.unmap(0, 8)
    assert world.refs() == [(REFS_BUFFER, 0, 0), (REFS_VM_BO, 0, 0), (REFS_VM, 0, 1)]


def test_a_number_is_not_used_again() -> None:
    world = World()
    assert world.bo() == 0
    world.call("close", bo=0)
    assert world.refs() == [(REFS_BUFFER, 0, 0), (REFS_VM_BO, 0, 0), (REFS_VM, 0, 1)]
    assert world.bo() == 1


def test_counts_are_told_of_what_was_touched() -> None:
    """Of the buffer that is named, and of each that gained or lost a VMA; in ascending order."""
    world = two_buffers()
    world.bo()
    world.map(0, 2, bo=2)
    world.map(4, 6, bo=1)
    world.map(1, 3, bo=0)
    assert [number for what, number, _ in world.refs() if what == REFS_BUFFER] == [0, 2]
    world.call("find", iova=0, size=PAGE)
    assert world.refs() == [(REFS_VM, 0, world.vm.count)]
    world.call("destroy")
    assert [number for what, number, _ in world.refs() if what == REFS_VM_BO] == [0, 1, 2]
    assert world.refs()[-1] == (REFS_VM, 0, 0)


def test_destroy_unmaps_everything_first() -> None:
    world = two_buffers(**INSIDE)
    world.map(16, 20)
    world.map(50, 60, bo=1, offset=4)
    world.call("close", bo=1)
    assert world.call("destroy") == Result()
    assert world.steps() == [
        ("pt-unmap", 16, 20), ("vma-remove", 16, 20, 0, 0),
        ("pt-unmap", 50, 60), ("vma-remove", 50, 60, 1, 4),
    ]  # fmt: skip
    assert world.refs() == [
        (REFS_BUFFER, 0, 1), (REFS_VM_BO, 0, 0),
        (REFS_BUFFER, 1, 0), (REFS_VM_BO, 1, 0), (REFS_VM, 0, 0),
    ]  # fmt: skip
    assert world.call("close", bo=0) == Result()
    assert world.refs()[0] == (REFS_BUFFER, 0, 0)


# -- evicted buffers ----------------------------------------------------------------------


@pytest.mark.parametrize("private", [0, 1])
def test_evicted_buffers_are_validated_once(private: int) -> None:
    world = World()
    world.bo(private=private)
    world.call("evict", bo=0, state=1)
    world.call("validate")
    assert world.steps() == []  # It has no link yet.
    world.map(0, 2)
    world.call("validate")
    assert world.steps() == []  # A new link is not evicted.
    world.call("evict", bo=0, state=1)
    world.call("evict", bo=0, state=1)
    world.call("validate")
    assert world.steps() == [("validated", 0)]
    world.call("validate")
    assert world.steps() == []


def test_evicted_belongs_to_the_link() -> None:
    world = two_buffers()
    world.map(0, 2)
    world.map(4, 6, bo=1)
    world.call("evict", bo=0, state=1)
    world.call("evict", bo=1, state=1)
    world.call("evict", bo=1, state=0)
    world.map(1, 2, offset=8)  # The link stays, and what it says.
    world.call("validate")
    assert world.steps() == [("validated", 0)]
    world.call("evict", bo=0, state=1)
    world.unmap(0, 2)
    world.map(0, 2)  # This link is another.
    world.call("validate")
    assert world.steps() == []
    assert world.call("evict", bo=9, state=1) == Result()


# -- what is listed, and found ------------------------------------------------------------


def test_the_range_and_a_page_around_it_are_listed() -> None:
    world = two_buffers()
    for first in range(0, 20, 2):
        world.map(first, first + 1, offset=first)
    world.map(6, 9, bo=1)
    assert world.listed() == [(6, 9, 1, 0)]
    world.map(9, 10, bo=1)
    assert world.listed() == [(6, 9, 1, 0), (9, 10, 1, 0), (10, 11, 0, 10)]
    world.unmap(1, 2)
    assert world.listed() == [(0, 1, 0, 0), (2, 3, 0, 2)]
    world.unmap(0, 0)
    assert world.listed() == [(0, 1, 0, 0)]
    world.call("unmap", iova=0x2800, size=0, fail_at=0)
    assert world.listed() == [(2, 3, 0, 2)]
    world.call("find", iova=0, size=PAGE)
    assert world.listed() == []


def test_addresses_beyond_the_sign_are_addresses() -> None:
    """Both sides of 2**63, and the last pages that a window can have."""
    start, half, last = (1 << 63) - 0x4000, 1 << 51, (1 << 52) - 2
    world = two_buffers(start=start, size=(1 << 64) - PAGE - start)
    assert world.map(half - 2, half) == 0
    assert world.map(half, half + 2, offset=2) == 0
    assert world.map(last - 1, last + 1, offset=4) == 0
    assert world.listed() == [(last - 1, last + 1, 0, 4)]
    assert world.unmap(half - 1, half + 1) == 0
    assert world.steps()[0] == ("pt-unmap", half - 1, half)
    assert world.vmas() == [
        (half - 2, half - 1, 0, 0), (half + 1, half + 2, 0, 3), (last - 1, last + 1, 0, 4),
    ]  # fmt: skip
    found = world.call("find", iova=(1 << 63) + 1, size=PAGE)
    assert to_unsigned(found.value) == (half + 1) * PAGE
    assert world.map(last, last + 2) == -errno.EINVAL


@pytest.mark.parametrize(
    ("iova", "size", "page"),
    [
        (0, 1 << 48, 4),
        (0, 4 * PAGE, None),
        (0, 4 * PAGE + 1, 4),
        (0x4FFF, 1, 4),
        (0x5FFF, 2, None),
        (0x5FFF, 0x1002, 7),
        (0x7FFF, 1, 7),
        (0x8000, (1 << 64) - 1, 20),
        (0x15000, (1 << 64) - 1, None),
        (0x4000, 0, None),
    ],
)
def test_find_gives_the_first(iova: int, size: int, page: int | None) -> None:
    world = two_buffers()
    for first in (4, 7, 20):
        world.map(first, first + 1)
    found = world.call("find", iova=iova, size=size)
    assert found == Result(0, -1 if page is None else page * PAGE)


def test_the_kernels_range_is_found_and_not_listed() -> None:
    """It stands in the tree like a VMA, though nobody asked for it."""
    world = two_buffers(**INSIDE)
    for pages, found in (((32, 33), 32), ((38, 60), 32), ((0, 80), 32), ((40, 80), None)):
        value = world.call("find", iova=pages[0] * PAGE, size=(pages[1] - pages[0]) * PAGE).value
        assert value == (-1 if found is None else found * PAGE)
    world.map(30, 32)
    assert world.listed() == [(30, 32, 0, 0)]
    world.map(40, 41)
    assert world.listed() == [(40, 41, 0, 0)]
    assert world.call("find", iova=31 * PAGE, size=20 * PAGE).value == 30 * PAGE
    assert world.call("find", iova=39 * PAGE, size=20 * PAGE).value == 32 * PAGE
    assert world.call("find", iova=40 * PAGE, size=20 * PAGE).value == 40 * PAGE


# -- laws over any sequence ---------------------------------------------------------------

LAW_PAGES = 24
KERNEL = (18, 20)
LAW_BUFFERS = 3
LAW_BUFFER_PAGES = 12


@st.composite
def calls(draw: st.DrawFn) -> list[Operation]:
    """Calls on a small VM, most of them good."""
    page = st.integers(0, LAW_PAGES)
    some: list[Operation] = []
    for _ in range(draw(st.integers(1, 14))):
        name = draw(st.sampled_from(["map"] * 5 + ["unmap"] * 3 + ["evict", "validate", "close"]))
        args: dict[str, int | str] = {}
        if name in ("map", "unmap"):
            first = draw(page)
            size = draw(st.integers(0, 8) if draw(st.booleans()) else st.integers(1, 3))
            args = {"iova": first * PAGE, "size": size * PAGE}
            args["fail_at"] = draw(st.sampled_from([0, 0, 0, 0, 0, 1, 2, 3, 4, 5]))
        if name in ("map", "evict", "close"):
            args["bo"] = draw(st.integers(0, LAW_BUFFERS))
        if name == "map":
            args["offset"] = draw(st.integers(0, LAW_BUFFER_PAGES)) * PAGE
        if name == "evict":
            args["state"] = draw(st.integers(0, 1))
        some.append(Operation(name, args))
    return some


@dataclass
class Step:
    """One call, the state before it, and the world after it."""

    world: World
    operation: Operation
    result: Result
    before: dict[str, Any]
    steps: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def range(self) -> tuple[int, int]:
        """The pages that the call named; none for calls without a range."""
        if "iova" not in self.operation.args:
            return 0, 0
        first = self.operation.number("iova") // PAGE
        return first, first + self.operation.number("size") // PAGE


def law_world(driver: Any = None) -> World:
    """A small VM with a reserved range, at a place where page 0 is not 0."""
    world = World(
        driver,
        size=LAW_PAGES * PAGE,
        kernel_start=KERNEL[0] * PAGE,
        kernel_size=(KERNEL[1] - KERNEL[0]) * PAGE,
    )
    for number in range(LAW_BUFFERS):
        world.bo(LAW_BUFFER_PAGES, private=number & 1)
    return world


def play(some: list[Operation], driver: Any = None) -> Iterator[Step]:
    """Carry out the calls one by one, and destroy the VM at the end."""
    world = law_world(driver)
    for operation in [*some, Operation("destroy")]:
        before = state(world)
        world.trace.clear()
        result = world.target.perform(operation, world.trace)
        assert result.finished
        yield Step(world, operation, result, before, world.steps())


def state(world: World) -> dict[str, Any]:
    """Everything that a call can change."""
    vm = world.vm
    return {
        "vmas": world.vmas(),
        "vm": vm.count,
        "buffers": {number: (one.count, one.open) for number, one in vm.buffers.items()},
        "links": {number: (one.count, one.evicted) for number, one in vm.links.items()},
        "evicted": sorted(link.buffer.number for link in vm.evicted),
        "spare": len(vm.spare),
    }


def flat(vmas: list[tuple[int, int, int, int]]) -> dict[int, tuple[int, int]]:
    """The VMAs page by page: (buffer, page in it)."""
    return {
        page: (number, offset + page - first)
        for first, end, number, offset in vmas
        for page in range(first, end)
    }


def documented(step: Step) -> int | None:
    """What a map or unmap has to return; None: ENOMEM or 0, by what failed."""
    args = step.operation.args
    first, end = step.range
    good = first < end <= LAW_PAGES and not (first < KERNEL[1] and end > KERNEL[0])
    if step.operation.name == "map":
        buffer = step.before["buffers"].get(args["bo"], (0, False))
        good = good and buffer[1]
        good = good and step.operation.number("offset") // PAGE + end - first <= LAW_BUFFER_PAGES
    if args["fail_at"]:
        return None
    return 0 if good else -errno.EINVAL


@settings(max_examples=60)
@given(calls())
def test_vmas_tile_what_was_asked(some: list[Operation]) -> None:
    """A flat map that knows nothing of splits says the same, page for page."""
    pages: dict[int, tuple[int, int]] = {}
    for step in play(some):
        first, end = step.range
        if step.operation.name == "destroy":
            first, end = 0, LAW_PAGES
        if step.result.result == 0:
            for page in range(first, end):
                pages.pop(page, None)
            if step.operation.name == "map":
                offset = step.operation.number("offset") // PAGE
                for page in range(first, end):
                    pages[page] = (step.operation.number("bo"), offset + page - first)
        vmas = step.world.vmas()
        assert flat(vmas) == pages
        assert sum(end - first for first, end, _, _ in vmas) == len(pages)
        assert vmas == sorted(vmas)
        if step.operation.name == "map" and step.result.result == 0:
            assert (first, end) in [vma[:2] for vma in vmas]


@settings(max_examples=60)
@given(calls())
def test_page_tables_are_told_the_same(some: list[Operation]) -> None:
    """What is to be mapped and cleared, one after the other, comes to what the VMAs say."""
    tables: dict[int, tuple[int, int]] = {}
    vmas: set[tuple[Any, ...]] = set()
    for step in play(some):
        for name, *rest in step.steps:
            if name == "pt-map":
                assert not set(range(rest[0], rest[1])) & set(tables)
                tables |= flat([tuple(rest)])
            elif name == "pt-unmap":
                for page in range(rest[0], rest[1]):
                    del tables[page]
            elif name == "vma-add":
                vmas.add(tuple(rest))
            elif name == "vma-remove":
                vmas.remove(tuple(rest))
        assert tables == flat(step.world.vmas())
        assert vmas == set(step.world.vmas())


@settings(max_examples=60)
@given(calls())
def test_counts_are_what_a_recount_gives(some: list[Operation]) -> None:
    for step in play(some):
        after = state(step.world)
        of_buffer: dict[int, int] = {}
        for _, _, number, _ in after["vmas"]:
            of_buffer[number] = of_buffer.get(number, 0) + 1
        gone = step.operation.name == "destroy"
        assert after["vm"] == (not gone) + len(after["vmas"]) + len(of_buffer)
        assert {number: count for number, (count, _) in after["links"].items()} == of_buffer
        for number, (count, is_open) in after["buffers"].items():
            assert count == is_open + (number in of_buffer) > 0
        assert after["spare"] == 0
        for what, number, count in step.world.refs():
            if what == REFS_VM:
                assert count == after["vm"]
            elif what == REFS_BUFFER:
                assert count == after["buffers"].get(number, (0, False))[0]
            else:
                assert count == of_buffer.get(number, 0)


@settings(max_examples=60)
@given(calls())
def test_errors_are_documented_and_change_nothing(some: list[Operation]) -> None:
    for step in play(some):
        failed = [step for step in step.steps if step[0] == "alloc-failed"]
        if step.operation.name in ("map", "unmap"):
            wanted = documented(step)
            if wanted is not None:
                assert step.result.result == wanted
            else:
                assert (step.result.result == -errno.ENOMEM) == bool(failed)
        if step.result.result != 0:
            assert state(step.world) == step.before
            assert step.steps == failed


@settings(max_examples=60)
@given(calls())
def test_vmas_outside_the_range_stay_as_they_were(some: list[Operation]) -> None:
    for step in play(some):
        if step.operation.name == "destroy":
            continue
        first, end = step.range
        after = step.world.vmas()
        for vma in step.before["vmas"]:
            if vma[1] <= first or vma[0] >= end:
                assert vma in after


@settings(max_examples=60)
@given(calls())
def test_validate_is_for_exactly_the_evicted(some: list[Operation]) -> None:
    evicted: set[int] = set()
    for step in play(some):
        name, linked = step.operation.name, state(step.world)["links"]
        if name == "evict" and step.operation.number("bo") in linked:
            number = step.operation.number("bo")
            if step.operation.number("state"):
                evicted.add(number)
            else:
                evicted.discard(number)
        if name == "validate":
            assert sorted(one[1] for one in step.steps) == sorted(evicted)
            evicted.clear()
        evicted &= set(linked)
        assert {number for number, (_, state) in linked.items() if state} == evicted


@settings(max_examples=60)
@given(calls())
def test_destroy_gives_everything_back(some: list[Operation]) -> None:
    *_, last = play(some)
    after = state(last.world)
    assert after["vmas"] == []
    assert after["links"] == {}
    assert after["evicted"] == []
    assert after["vm"] == 0
    assert all(one == (1, True) for one in after["buffers"].values())
    assert set(after["buffers"]) == {
        number for number, (_, is_open) in last.before["buffers"].items() if is_open
    }


# -- many VMAs ----------------------------------------------------------------------------


def vma_of(first: int, end: int) -> Vma:
    made = Vma()
    made.set(first, end, 0)
    return made


@settings(max_examples=30)
@given(st.permutations(range(12 * CHUNK)), st.integers(0, 12 * CHUNK), st.integers(0, 3))
def test_the_tree_is_a_sorted_list(order: list[int], kept: int, inside: int) -> None:
    """Also across chunks, and after chunks were emptied again."""
    tree = VmaTree()
    vmas = {number: vma_of(4 * number, 4 * number + 3) for number in order}
    for number in order:
        tree.insert(vmas[number])
    for number in order[kept:]:
        tree.remove(vmas[number])
    left = [vmas[number] for number in sorted(order[:kept])]
    assert tree.overlapping(0, PAGES) == left
    at = 4 * order[0] + inside
    following = [vma for vma in left if vma.end > at]
    assert tree.first(at, PAGES) is (following[0] if following else None)
    assert tree.first(at, at + 1) is next((vma for vma in left if vma.first <= at < vma.end), None)
    assert all(tree.chunks) or len(tree.chunks) == 1
    with pytest.raises(IndexError):
        tree.remove(vma_of(4 * order[0], 4 * order[0] + 3))


def test_a_step_costs_the_same_with_many() -> None:
    """100,000 VMAs: a call looks at some tens of them."""
    vm = Gpuvm(0, 1 << 48, 0, 0, Trace())
    vm.make_buffer(PAGE, True)
    vm.tree.budget = 1 << 40
    for number in range(100_000):
        vm.map(2 * number * PAGE, PAGE, 0, 0)
    assert vm.count == 100_002
    vm.tree.budget = 100
    assert vm.map(100_000 * PAGE, PAGE, 0, 0) == 0
    vm.tree.budget = 100
    assert vm.unmap(60_000 * PAGE, PAGE) == 0
    vm.tree.budget = 4
    with pytest.raises(StepsExceeded):
        vm.find(0, PAGE)
