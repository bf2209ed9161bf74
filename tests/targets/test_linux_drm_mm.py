"""linux:drm-mm: ranges of addresses, as Linux gives them out."""

import errno
import random

import pytest

from conformance.systems.va_alloc.targets import LinuxDrmMm, VaAllocTarget
from conformance.targets.linux.errors import HarnessError
from reference.operations import Operation, Result
from reference.systems.va_alloc.promise import RANGE
from reference.trace import Trace
from reference.words import to_signed, to_unsigned

PAGE = 0x1000
DONE = Result(0)
FULL = Result(-errno.ENOSPC)
NONE = Result(-errno.EINVAL)
ALL = (1 << 64) - 1


def op(name: str, **args: int | str) -> Operation:
    return Operation(name, {**args})


def alloc(
    pages: int = 1, mode: str = "best", align: int = 0, first: int = 0, last: int = ALL
) -> Operation:
    return op("alloc", size=pages * PAGE, align=align * PAGE, mode=mode, first=first, last=last)


def reserve(page: int, pages: int = 1) -> Operation:
    return op("reserve", va=page * PAGE, size=pages * PAGE)


def free(node: int) -> Operation:
    return op("free", node=node)


CREATE = op("create", start=0, size=64 * PAGE)
DESTROY = op("destroy")


def run(target: LinuxDrmMm, *operations: Operation) -> tuple[list[Result], Trace]:
    """The results of ``operations``, and the events of the last one."""
    results = []
    trace = Trace()
    for operation in operations:
        trace.clear()
        results.append(target.perform(operation, trace))
    return results, trace


def pages(results: list[Result]) -> list[int]:
    assert all(result.result == 0 for result in results)
    return [to_unsigned(result.value) // PAGE for result in results]


def listed(trace: Trace) -> list[str]:
    """Such as "0..3 free" (inclusive pages), "4..5 #0"."""
    return [
        f"{to_unsigned(e.a) // PAGE}..{to_unsigned(e.b) // PAGE} {'free' if e.c < 0 else f'#{e.c}'}"
        for e in trace
        if e.kind == RANGE
    ]


def test_name_and_version(drm_mm: LinuxDrmMm) -> None:
    assert drm_mm.name == "linux:drm-mm"
    assert drm_mm.traits == {}
    assert drm_mm.version.endswith(", drivers/gpu/drm/drm_mm.c")


def test_a_window_is_one_hole_before_and_after(drm_mm: LinuxDrmMm) -> None:
    _, trace = run(drm_mm, CREATE)
    assert listed(trace) == ["0..63 free"]
    results, trace = run(drm_mm, alloc(), alloc(3), reserve(10), DESTROY)
    assert [result.result for result in results] == [0] * 4
    assert [e.name for e in trace] == ["range"]
    assert listed(trace) == ["0..63 free"]
    # After one allocator comes another.
    assert run(drm_mm, CREATE, alloc())[0] == [DONE, DONE]


def test_modes_say_which_hole_and_where_in_it(drm_mm: LinuxDrmMm) -> None:
    run(drm_mm, CREATE, reserve(5), reserve(10, 20), reserve(33, 11))
    # Holes: 0..4, 6..9, 30..32, 44..63.
    assert pages(run(drm_mm, alloc(2), alloc(2), alloc(2, "low"), alloc(2, "high"))[0]) == [
        30, 6, 0, 62,
    ]  # fmt: skip


def test_an_alignment_need_be_no_power_of_two(drm_mm: LinuxDrmMm) -> None:
    run(drm_mm, CREATE, reserve(0), reserve(63))
    found = pages(run(drm_mm, alloc(1, "low", 7), alloc(2, "high", 7), alloc(1, "low", 16))[0])
    assert found == [7, 56, 16]


def test_bounds_are_inclusive_and_can_be_filled(drm_mm: LinuxDrmMm) -> None:
    run(drm_mm, CREATE)
    wishes = [
        alloc(count, mode, first=8 * PAGE, last=12 * PAGE - 1)
        for count, mode in ((5, "best"), (4, "best"), (1, "high"))
    ]
    results, _ = run(drm_mm, *wishes)
    assert results == [FULL, Result(0, 8 * PAGE), FULL]
    # The last page of the window can be had like any other.
    results, trace = run(drm_mm, alloc(52), alloc(8), alloc())
    assert pages(results[:2]) == [12, 0]
    assert results[2] == FULL
    assert listed(trace) == ["0..7 #2", "8..11 #0", "12..63 #1"]


@pytest.mark.parametrize(
    ("va", "size"),
    [
        (4, 1), (3, 2), (5, 2), (3, 20), (63, 2), (64, 1), (1 << 40, 1), (7, 0),
        (63, (1 << 52) - 63),
    ],
)  # fmt: skip
def test_what_cannot_be_reserved_changes_nothing(drm_mm: LinuxDrmMm, va: int, size: int) -> None:
    run(drm_mm, CREATE, reserve(4, 2))
    results, trace = run(drm_mm, op("reserve", va=va * PAGE, size=size * PAGE & ALL))
    assert results == [FULL]
    assert listed(trace)[-1] in ("6..63 free", "4..5 #0")
    assert run(drm_mm, reserve(6, 58), reserve(0, 4))[0] == [DONE, DONE]


def test_what_comes_back_is_one_hole_with_its_neighbours(drm_mm: LinuxDrmMm) -> None:
    run(drm_mm, CREATE, *[alloc(4)] * 4)
    _, trace = run(drm_mm, free(1))
    assert listed(trace) == ["0..3 #0", "4..7 free", "8..11 #2"]
    _, trace = run(drm_mm, free(3))
    assert listed(trace) == ["8..11 #2", "12..63 free"]
    _, trace = run(drm_mm, free(2))
    assert listed(trace) == ["0..3 #0", "4..63 free"]
    assert run(drm_mm, free(2), free(4))[0] == [NONE, NONE]


def test_find(drm_mm: LinuxDrmMm) -> None:
    run(drm_mm, op("create", start=8 * PAGE, size=32 * PAGE), reserve(10, 2), reserve(20))

    def find(first: int, last: int) -> int:
        return run(drm_mm, op("find", first=first, last=last))[0][0].value

    assert find(0, ALL) == 10 * PAGE
    assert find(11 * PAGE, ALL) == 10 * PAGE
    assert find(12 * PAGE, ALL) == 20 * PAGE
    assert find(12 * PAGE, 20 * PAGE - 1) == -1
    assert find(0, 8 * PAGE) == find(21 * PAGE, ALL) == find(0, 0) == find(ALL, ALL) == -1
    assert find(-PAGE, -1) == -1


def test_a_window_across_bit_63(drm_mm: LinuxDrmMm) -> None:
    start = (1 << 63) - PAGE
    results, _ = run(drm_mm, op("create", start=start, size=2 * PAGE), alloc(), alloc(), alloc())
    assert results == [DONE, Result(0, start), Result(0, -(1 << 63)), FULL]
    assert run(drm_mm, op("find", first=1 << 63, last=-1))[0] == [Result(0, -(1 << 63))]


def test_lists_end(drm_mm: LinuxDrmMm) -> None:
    run(drm_mm, CREATE, *[reserve(2 * number) for number in range(32)])
    _, trace = run(drm_mm, alloc(2))
    assert len(listed(trace)) == 31
    assert listed(trace)[-2:] == ["29..29 free", "30..30 #15"]


def test_wrong_use(drm_mm: LinuxDrmMm) -> None:
    with pytest.raises(ValueError, match="'alloc' without an allocator; allowed is create"):
        run(drm_mm, alloc())
    with pytest.raises(ValueError, match="'create' with an allocator; there is only one"):
        run(drm_mm, CREATE, CREATE)
    with pytest.raises(ValueError, match="operation is 'map'; allowed are create, alloc"):
        run(drm_mm, op("map"))
    with pytest.raises(ValueError, match="mode is 'worst'; allowed are best, low, high"):
        run(drm_mm, alloc(1, "worst"))
    with pytest.raises(ValueError, match="operation reserve has no argument 'va'"):
        run(drm_mm, op("reserve"))
    other = LinuxDrmMm()
    other.reset()
    if other.library is drm_mm.library:
        with pytest.raises(HarnessError, match="after another target"):
            run(drm_mm, alloc())
    other.close()


def test_a_hundred_thousand_ranges(drm_mm: LinuxDrmMm) -> None:
    count = 100_000
    run(drm_mm, op("create", start=0, size=1 << 47))
    for number in range(count):
        assert run(drm_mm, op("reserve", va=2 * number * PAGE, size=PAGE))[0] == [DONE]
    results, trace = run(drm_mm, alloc(1), free(count // 2), alloc(3, "low"))
    assert results == [Result(0, (2 * count - 3) * PAGE), DONE, Result(0, (count - 1) * PAGE)]
    assert len(listed(trace)) == 3
    results, trace = run(drm_mm, DESTROY)
    assert results == [DONE]
    assert len(listed(trace)) == 1


def calls(seed: int) -> list[Operation]:
    """Calls whose answers are all laid down: best may choose among holes of one size."""
    draw = random.Random(seed)
    start = draw.choice([0, 16, (1 << 52) - 65])
    made: list[Operation] = [op("create", start=to_signed(start * PAGE), size=64 * PAGE)]
    for _ in range(40):
        name = draw.choice(["alloc"] * 4 + ["reserve"] * 3 + ["free"] * 3 + ["find"])
        first = min(max(start + draw.randrange(-2, 66), 0), (1 << 52) - 1)
        last = min(first + draw.randrange(0, 40), (1 << 52) - 1)
        bounds = {"first": first * PAGE, "last": last * PAGE + draw.choice([0, PAGE - 1])}
        if name == "alloc":
            wide = draw.randrange(2)
            made.append(alloc(
                draw.choice([0, 1, 1, 2, 3, 5, 9]), draw.choice(["low", "high"]),
                draw.choice([0, 0, 1, 2, 3, 4]), **({} if wide else bounds),
            ))  # fmt: skip
        elif name == "reserve":
            made.append(op("reserve", va=first * PAGE, size=draw.randrange(0, 6) * PAGE))
        elif name == "free":
            made.append(free(draw.randrange(12)))
        else:
            made.append(op("find", **bounds))
    return [*made, DESTROY]


@pytest.mark.parametrize("seed", range(40))
def test_linux_and_the_reference_say_the_same(drm_mm: LinuxDrmMm, seed: int) -> None:
    reference = VaAllocTarget()
    for operation in calls(seed):
        held = {
            key: value if isinstance(value, str) else to_signed(value & ALL)
            for key, value in operation.args.items()
        }
        ours, theirs = Trace(), Trace()
        expected = reference.perform(Operation(operation.name, held), ours)
        assert drm_mm.perform(operation, theirs) == expected, operation
        said = [(e.a, e.b, e.c) for e in theirs if e.kind == RANGE]
        assert said == [(e.a, e.b, e.c) for e in ours]
