"""linux:gpuvm: how the real drm_gpuvm splits mappings, what it counts, and what it refuses."""

import errno
from pathlib import Path

import pytest

from conformance.registry import make_target
from conformance.systems.gpuvm.targets import LinuxGpuvm
from conformance.targets.linux.errors import HarnessError, KernelTreeError
from conformance.targets.linux.tree import DEBIAN_SOURCES
from reference.operations import Operation, Result
from reference.trace import REFS, REFS_BUFFER, REFS_VM, REFS_VM_BO, Event, Trace
from reference.words import to_unsigned

PAGE = 0x1000
NO_MEMORY = Result(-errno.ENOMEM)
REFUSED = Result(-errno.EINVAL)
DONE = Result(0)

CREATE = Operation("create", {})
VALIDATE = Operation("validate", {})
DESTROY = Operation("destroy", {})


def create(**args: int) -> Operation:
    return Operation("create", {**args})


def bo(private: int = 1, size: int = 1 << 20) -> Operation:
    return Operation("bo", {"size": size, "private": private})


def close(number: int) -> Operation:
    return Operation("close", {"bo": number})


def map_(first: int, end: int, number: int = 0, offset: int = 0, fail: int = 0) -> Operation:
    args = {"iova": first, "size": end - first, "bo": number, "offset": offset, "fail_at": fail}
    return Operation("map", {**args})


def unmap(first: int, end: int, fail: int = 0) -> Operation:
    return Operation("unmap", {"iova": first, "size": end - first, "fail_at": fail})


def evict(number: int, state: int = 1) -> Operation:
    return Operation("evict", {"bo": number, "state": state})


def find(iova: int, size: int = 1) -> Operation:
    return Operation("find", {"iova": iova, "size": size})


def run(target: LinuxGpuvm, *operations: Operation) -> tuple[list[Result], Trace]:
    """The results of ``operations``, and the events of the last one."""
    results = []
    trace = Trace()
    for operation in operations:
        trace.clear()
        results.append(target.perform(operation, trace))
    return results, trace


def text(event: Event) -> str:
    """Such as "vma-add 1000..1fff 0+2000": range, buffer, offset in it."""
    shown = f"{event.name} {to_unsigned(event.a):x}..{to_unsigned(event.b):x}"
    if event.name == "pt-unmap":
        return shown
    word = to_unsigned(event.c)
    return f"{shown} {word >> 48}+{word & (1 << 48) - 1:x}"


def steps(trace: Trace) -> list[str]:
    """What the driver was asked to do and did, in order."""
    names = ("pt-map", "pt-unmap", "vma-add", "vma-remove")
    return [text(event) for event in trace if event.name in names]


def mappings(trace: Trace) -> list[str]:
    return [text(event).removeprefix("vma ") for event in trace if event.name == "vma"]


def counts(trace: Trace) -> list[tuple[int, int, int]]:
    return [(event.a, event.b, event.c) for event in trace if event.kind == REFS]


def buffer_counts(number: int, buffer: int, vm_bo: int) -> list[tuple[int, int, int]]:
    return [(REFS_BUFFER, number, buffer), (REFS_VM_BO, number, vm_bo)]


def vm_count(count: int) -> list[tuple[int, int, int]]:
    return [(REFS_VM, 0, count)]


def others(trace: Trace) -> list[str]:
    """Warnings, crashes and the like."""
    return [e.name for e in trace if e.name in ("warn", "bug", "crash", "hang", "wild")]


def test_name_and_version(gpuvm: LinuxGpuvm) -> None:
    assert gpuvm.name == "linux:gpuvm"
    assert gpuvm.traits == {}
    assert gpuvm.version.endswith(", drivers/gpu/drm/drm_gpuvm.c")
    assert isinstance(make_target("linux:gpuvm"), LinuxGpuvm)


def test_an_older_tree_has_no_gpuvm() -> None:
    tarball = DEBIAN_SOURCES / "linux-source-6.1.tar.xz"
    if not tarball.exists():
        pytest.skip(f"{tarball} is not there; to install: apt-get install linux-source-6.1")
    with pytest.raises(KernelTreeError, match=r"6\.1\..* has no drivers/gpu/drm/drm_gpuvm\.c"):
        LinuxGpuvm(tarball)


# -- splitting ----------------------------------------------------------------------------

OLD = map_(0x4000, 0x8000, 0, 0x10000)
WHOLE = ["pt-unmap 4000..7fff", "vma-remove 4000..7fff 0+10000"]
START_KEPT = [
    "pt-unmap 6000..7fff", "vma-remove 4000..7fff 0+10000", "vma-add 4000..5fff 0+10000",
]  # fmt: skip
END_KEPT = [
    "pt-unmap 4000..5fff", "vma-remove 4000..7fff 0+10000", "vma-add 6000..7fff 0+12000",
]  # fmt: skip
BOTH_KEPT = [
    "pt-unmap 5000..5fff", "vma-remove 4000..7fff 0+10000",
    "vma-add 4000..4fff 0+10000", "vma-add 6000..7fff 0+12000",
]  # fmt: skip
SHAPES = [
    (0x4000, 0x8000, WHOLE),
    (0x4000, 0x9000, WHOLE),
    (0x4000, 0x6000, END_KEPT),
    (0x6000, 0x8000, START_KEPT),
    (0x6000, 0x9000, START_KEPT),
    (0x5000, 0x6000, BOTH_KEPT),
    (0x3000, 0x8000, WHOLE),
    (0x3000, 0x9000, WHOLE),
    (0x3000, 0x6000, END_KEPT),
]
"""How a request can lie to a mapping 0x4000..0x7fff, and what becomes of that."""


@pytest.mark.parametrize(("first", "end", "expected"), SHAPES)
def test_a_map_splits_what_it_meets(
    gpuvm: LinuxGpuvm, first: int, end: int, expected: list[str]
) -> None:
    results, trace = run(gpuvm, CREATE, bo(), bo(), OLD, map_(first, end, 1))
    assert results[-1] == DONE
    new = f"{first:x}..{end - 1:x} 1+0"
    assert steps(trace) == [*expected, f"pt-map {new}", f"vma-add {new}"]
    assert {gpuvm.places[event.place] for event in trace if event.place} == {"__drm_gpuvm_sm_map"}
    kept = [step.removeprefix("vma-add ") for step in expected if step.startswith("vma-add")]
    assert mappings(trace) == sorted([*kept, new])


@pytest.mark.parametrize(("first", "end", "expected"), SHAPES)
def test_an_unmap_splits_what_it_meets(
    gpuvm: LinuxGpuvm, first: int, end: int, expected: list[str]
) -> None:
    results, trace = run(gpuvm, CREATE, bo(), OLD, unmap(first, end))
    assert results[-1] == DONE
    assert steps(trace) == expected
    assert {gpuvm.places[e.place] for e in trace if e.place} == {"__drm_gpuvm_sm_unmap"}


TWO = (map_(0x1000, 0x2000), map_(0x3000, 0x5000, 0, 0x3000))


def test_ascending_over_two_mappings(gpuvm: LinuxGpuvm) -> None:
    first = ["pt-unmap 1000..1fff", "vma-remove 1000..1fff 0+0"]
    second = ["pt-unmap 3000..3fff", "vma-remove 3000..4fff 0+3000", "vma-add 4000..4fff 0+4000"]
    new = ["pt-map 1000..3fff 1+0", "vma-add 1000..3fff 1+0"]
    _, trace = run(gpuvm, CREATE, bo(), bo(), *TWO, map_(0x1000, 0x4000, 1))
    assert steps(trace) == [*first, *second, *new]
    gpuvm.reset()
    _, trace = run(gpuvm, CREATE, bo(), *TWO, unmap(0, 0x4000))
    assert steps(trace) == [*first, *second]


def test_an_unmap_that_cuts_two_mappings(gpuvm: LinuxGpuvm) -> None:
    """It needs both of its two VMAs: the start of the first, and the end of the last."""
    _, trace = run(
        gpuvm, CREATE, bo(), map_(0x1000, 0x3000), map_(0x3000, 0x5000), unmap(0x2000, 0x4000)
    )
    assert mappings(trace) == ["1000..1fff 0+0", "4000..4fff 0+1000"]
    assert others(trace) == []


def test_the_same_mapping_again(gpuvm: LinuxGpuvm) -> None:
    _, trace = run(gpuvm, CREATE, bo(), map_(0, PAGE), map_(0, PAGE))
    assert steps(trace) == [
        "pt-unmap 0..fff", "vma-remove 0..fff 0+0", "pt-map 0..fff 0+0", "vma-add 0..fff 0+0",
    ]  # fmt: skip


def test_neighbours_are_not_merged(gpuvm: LinuxGpuvm) -> None:
    _, trace = run(gpuvm, CREATE, bo(), map_(0, PAGE), map_(PAGE, 2 * PAGE, 0, PAGE))
    assert mappings(trace) == ["0..fff 0+0", "1000..1fff 0+1000"]


def test_mappings_are_told_a_page_around(gpuvm: LinuxGpuvm) -> None:
    pages = [map_(page * PAGE, (page + 1) * PAGE) for page in (1, 2, 4, 5)]
    _, trace = run(gpuvm, CREATE, bo(), *pages, unmap(3 * PAGE, 4 * PAGE))
    assert steps(trace) == []
    assert mappings(trace) == ["2000..2fff 0+0", "4000..4fff 0+0"]


def test_find(gpuvm: LinuxGpuvm) -> None:
    run(gpuvm, CREATE, bo(), map_(0x1000, 0x3000), map_(0x5000, 0x6000))
    for iova, size, value in [
        (0x1000, 1, 0x1000),
        (0x2FFF, 1, 0x1000),
        (0x3000, 0x2000, -1),
        (0x3000, 0x2001, 0x5000),
        (0, 1 << 40, 0x1000),
    ]:
        assert run(gpuvm, find(iova, size))[0] == [Result(0, value)]


# -- what is counted ----------------------------------------------------------------------


def test_reference_counts(gpuvm: LinuxGpuvm) -> None:
    """A bond counts its mappings; a buffer its handle and its bond; a VM bonds and mappings."""
    assert counts(run(gpuvm, CREATE)[1]) == vm_count(1)
    results, trace = run(gpuvm, bo())
    assert results == [Result(0, 0)]
    assert counts(trace) == [*buffer_counts(0, 1, 0), *vm_count(1)]
    assert run(gpuvm, bo(private=0))[0] == [Result(0, 1)]
    _, trace = run(gpuvm, map_(0x1000, 0x4000))
    assert counts(trace) == [*buffer_counts(0, 2, 1), *vm_count(3)]
    _, trace = run(gpuvm, map_(0x2000, 0x3000, 1))
    assert counts(trace) == [*buffer_counts(0, 2, 2), *buffer_counts(1, 2, 1), *vm_count(6)]
    assert counts(run(gpuvm, find(0))[1]) == vm_count(6)
    _, trace = run(gpuvm, close(1))
    assert counts(trace) == [*buffer_counts(1, 1, 1), *vm_count(6)]
    _, trace = run(gpuvm, unmap(0x1000, 0x3000))
    assert counts(trace) == [*buffer_counts(0, 2, 1), *buffer_counts(1, 0, 0), *vm_count(3)]
    assert run(gpuvm, close(1))[0] == [REFUSED]
    assert run(gpuvm, map_(0, PAGE, 1))[0] == [REFUSED]
    _, trace = run(gpuvm, DESTROY)
    assert steps(trace) == ["pt-unmap 3000..3fff", "vma-remove 3000..3fff 0+2000"]
    assert counts(trace) == [*buffer_counts(0, 1, 0), *vm_count(0)]
    assert counts(run(gpuvm, close(0))[1]) == [*buffer_counts(0, 0, 0), *vm_count(0)]


def test_destroy_leaves_nothing(gpuvm: LinuxGpuvm) -> None:
    """On both sides of the kernel's range; private and external buffers, open and closed."""
    _, trace = run(
        gpuvm,
        create(start=0x10000, size=1 << 30, kernel_start=1 << 20, kernel_size=1 << 20),
        bo(), bo(private=0), bo(), bo(private=0),
        map_(0x10000, 0x20000, 0), map_(0x18000, 0x28000, 1), map_(2 << 20, 3 << 20, 2),
        map_(3 << 20, 4 << 20, 1), map_((1 << 20) - PAGE, 1 << 20, 0), evict(1), evict(2),
        close(0), close(1),
        DESTROY,
    )  # fmt: skip
    assert sum(event.name == "vma-remove" for event in trace) == 5
    assert counts(trace) == [
        *buffer_counts(0, 0, 0), *buffer_counts(1, 0, 0), *buffer_counts(2, 1, 0),
        *buffer_counts(3, 1, 0), *vm_count(0),
    ]  # fmt: skip
    assert others(trace) == []


def test_a_vm_after_another(gpuvm: LinuxGpuvm) -> None:
    """Numbers go on; a private buffer stays that of its own VM, an external one is for all."""
    run(gpuvm, CREATE, bo(), bo(private=0), DESTROY)
    assert run(gpuvm, CREATE, bo())[0] == [DONE, Result(0, 2)]
    assert run(gpuvm, map_(0, PAGE, 0), map_(0, PAGE, 1), map_(0, PAGE, 2))[0] == [
        REFUSED, DONE, DONE,
    ]  # fmt: skip


# -- what is refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "end"),
    [
        (0x1000, 0x2000),
        (0x0, 0x11000),
        ((1 << 30) + 0x10000 - PAGE, (1 << 30) + 0x10000 + PAGE),
        ((1 << 20) - PAGE, (1 << 20) + PAGE),
        ((1 << 21) - 1, 1 << 21),
        (0x10000, 1 << 29),
        ((1 << 64) - PAGE, 1 << 64),
        ((1 << 64) - PAGE, (1 << 64) + (1 << 19)),
    ],
)
def test_refused_ranges(gpuvm: LinuxGpuvm, first: int, end: int) -> None:
    """Outside the window, in the kernel's range, around the end of addresses: nothing is done."""
    size = end - first
    whole = create(start=0x10000, size=1 << 30, kernel_start=1 << 20, kernel_size=1 << 20)
    results, trace = run(gpuvm, whole, bo(), map_(first, first + size))
    assert results[-1] == REFUSED
    assert steps(trace) == []
    assert counts(trace) == [*buffer_counts(0, 1, 0), *vm_count(1)]
    results, trace = run(gpuvm, unmap(first, first + size))
    assert results == [REFUSED]
    assert counts(trace) == vm_count(1)


@pytest.mark.parametrize("bound", [False, True])
def test_map_without_memory(gpuvm: LinuxGpuvm, bound: bool) -> None:
    """The bond, if there is none yet, and then three VMAs are allocated, before any step."""
    run(gpuvm, CREATE, bo(), bo())
    if bound:
        run(gpuvm, map_(0x8000, 0x9000))
    before = [*buffer_counts(0, 2, 1), *vm_count(3)] if bound else None
    last = 3 if bound else 4
    for fail in range(1, last + 1):
        results, trace = run(gpuvm, map_(0, 0x10000, fail=fail))
        assert results == [NO_MEMORY]
        assert steps(trace) == []
        assert counts(trace) == (before or [*buffer_counts(0, 1, 0), *vm_count(1)])
    results, trace = run(gpuvm, map_(0, 0x10000, fail=last + 1))
    assert results == [DONE]
    assert mappings(trace) == ["0..ffff 0+0"]


def test_unmap_without_memory(gpuvm: LinuxGpuvm) -> None:
    run(gpuvm, CREATE, bo(), map_(0, 0x4000))
    for fail in (1, 2):
        results, trace = run(gpuvm, unmap(0, 0x4000, fail=fail))
        assert results == [NO_MEMORY]
        assert steps(trace) == []
        assert mappings(trace) == ["0..3fff 0+0"]
    assert run(gpuvm, unmap(0, 0x4000, fail=3))[0] == [DONE]


def test_too_many_buffers(gpuvm: LinuxGpuvm) -> None:
    run(gpuvm, CREATE)
    results, _ = run(gpuvm, *[bo() for _ in range(1025)])
    assert results[1023:] == [Result(0, 1023), Result(-errno.ENOSPC)]


def test_wrong_use(gpuvm: LinuxGpuvm) -> None:
    trace = Trace()
    for operation, message in [
        (map_(0, PAGE), "operation is 'map' without a VM; allowed are create, close"),
        (Operation("sync", {}), "operation is 'sync'; allowed are create, bo"),
        (Operation("map", {"size": 0}), "operation map has no argument 'iova'"),
    ]:
        with pytest.raises(ValueError, match=message):
            gpuvm.perform(operation, trace)
    run(gpuvm, CREATE)
    with pytest.raises(ValueError, match="operation is 'create' with a VM"):
        gpuvm.perform(CREATE, trace)
    with pytest.raises(ValueError, match="where a number is needed"):
        gpuvm.perform(Operation("close", {"bo": "first"}), trace)


def test_two_of_them(gpuvm: LinuxGpuvm, kernel: Path | None) -> None:
    other = make_target("linux:gpuvm", None if kernel is None else str(kernel))
    with pytest.raises(HarnessError, match="after another target of the same library"):
        gpuvm.perform(CREATE, Trace())
    assert other.perform(CREATE, Trace()) == DONE


# -- evicted buffers ----------------------------------------------------------------------


def test_a_hundred_thousand_mappings(gpuvm: LinuxGpuvm) -> None:
    count = 100_000
    run(gpuvm, CREATE, bo())
    for number in range(count):
        results, trace = run(gpuvm, map_(2 * number * PAGE, (2 * number + 1) * PAGE))
        assert results == [DONE]
    # Only what is near is listed, wherever it is in the order.
    assert len(mappings(trace)) == 1
    _, trace = run(gpuvm, unmap(PAGE, 2 * PAGE))
    assert mappings(trace) == ["0..fff 0+0", "2000..2fff 0+0"]
    results, trace = run(gpuvm, DESTROY)
    assert results == [DONE]
    assert steps(trace).count("vma-remove 0..fff 0+0") == 1
    assert len(steps(trace)) == 2 * count
    assert counts(trace) == [*buffer_counts(0, 1, 0), *vm_count(0)]


def validated(trace: Trace) -> list[int]:
    return [event.a for event in trace if event.name == "validated"]


def test_evicted_buffers_are_validated_once(gpuvm: LinuxGpuvm) -> None:
    """An external one comes onto the list when its reservation is locked, so it comes last."""
    run(gpuvm, CREATE, bo(private=0), bo(), bo(), bo())
    run(gpuvm, *[map_(number << 16, (number << 16) + PAGE, number) for number in range(3)])
    assert run(gpuvm, *map(evict, range(5)))[0] == [DONE] * 5
    results, trace = run(gpuvm, VALIDATE)
    assert results == [DONE]
    assert validated(trace) == [1, 2, 0]
    assert counts(trace) == vm_count(7)
    assert validated(run(gpuvm, VALIDATE)[1]) == []


def test_a_buffer_that_came_back_or_went_is_not_validated(gpuvm: LinuxGpuvm) -> None:
    run(gpuvm, CREATE, bo(private=0), bo(), bo(private=0), bo())
    run(gpuvm, *[map_(number << 16, (number << 16) + PAGE, number) for number in range(4)])
    run(gpuvm, *map(evict, range(4)), evict(0, 0), evict(1, 0), unmap(2 << 16, 4 << 16))
    _, trace = run(gpuvm, VALIDATE)
    assert validated(trace) == []
    assert others(trace) == []


def test_the_eviction_is_of_the_bond(gpuvm: LinuxGpuvm) -> None:
    """A buffer that is mapped again after its last mapping went is not evicted any more."""
    run(gpuvm, CREATE, bo(), map_(0, PAGE), evict(0), unmap(0, PAGE), map_(0, PAGE))
    assert validated(run(gpuvm, VALIDATE)[1]) == []


# -- what goes wrong in the real code ------------------------------------------------------


def test_a_crash_is_an_event(gpuvm: LinuxGpuvm) -> None:
    """A kernel range that wraps is warned of and not inserted, but taken out at the end."""
    wrapping = create(kernel_start=(1 << 64) - PAGE, kernel_size=2 * PAGE)
    results, trace = run(gpuvm, wrapping)
    assert results == [DONE]
    assert others(trace) == ["warn"]
    results, trace = run(gpuvm, DESTROY)
    assert results == [Result(0, 0, False)]
    assert others(trace) == ["wild"]
    assert counts(trace) == []
    gpuvm.reset()
    assert run(gpuvm, CREATE, DESTROY)[0] == [DONE, DONE]


def test_an_unmap_of_nothing_splits(gpuvm: LinuxGpuvm) -> None:
    _, trace = run(gpuvm, CREATE, bo(), map_(0x1000, 0x5000), unmap(0x2000, 0x2000))
    assert steps(trace) == [
        "pt-unmap 2000..1fff", "vma-remove 1000..4fff 0+0",
        "vma-add 1000..1fff 0+0", "vma-add 2000..4fff 0+1000",
    ]  # fmt: skip


def test_a_mapping_of_nothing_stays_below_the_next_one(gpuvm: LinuxGpuvm) -> None:
    results, trace = run(gpuvm, CREATE, bo(), map_(PAGE, PAGE), map_(PAGE, 2 * PAGE))
    assert results[-1] == DONE
    assert steps(trace) == ["pt-map 1000..1fff 0+0", "vma-add 1000..1fff 0+0"]
    assert mappings(trace) == ["1000..fff 0+0", "1000..1fff 0+0"]


def test_a_mapping_of_nothing_at_0_is_one_of_everything(gpuvm: LinuxGpuvm) -> None:
    """Its last byte is that before 0. What is mapped next cuts it, and clears all above."""
    _, trace = run(gpuvm, CREATE, bo(), map_(0, 0), map_(0x10000, 0x11000))
    assert steps(trace) == [
        "pt-unmap 10000..ffffffffffffffff", "vma-remove 0..ffffffffffffffff 0+0",
        "vma-add 0..ffff 0+0", "pt-map 10000..10fff 0+0", "vma-add 10000..10fff 0+0",
    ]  # fmt: skip


def test_a_mapping_of_nothing_at_0_that_finds_no_room(gpuvm: LinuxGpuvm) -> None:
    """The map succeeds without the mapping, whose references nobody can give back."""
    results, trace = run(gpuvm, CREATE, bo(), map_(0x1000, 0x2000), map_(0, 0))
    assert results[-1] == DONE
    assert steps(trace) == ["pt-map 0..ffffffffffffffff 0+0"]
    _, trace = run(gpuvm, DESTROY)
    assert counts(trace) == [*buffer_counts(0, 2, 1), *vm_count(1)]
