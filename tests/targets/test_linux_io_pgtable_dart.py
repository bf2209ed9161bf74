"""linux:io-pgtable-dart: both DART formats of the real code, with 16K and 4K pages."""

import errno

import pytest

from conformance.systems.pagetable.targets import LinuxIoPgtable
from reference.operations import Operation, Result
from reference.trace import ALLOC, ATTACH, STORE, Trace
from reference.words import to_unsigned

READ, WRITE, CACHE = 1, 2, 4
ROOT = 0x80000000
SIZES = {"dart1-16k": 1 << 14, "dart1-4k": 1 << 12, "dart2-16k": 1 << 14}


def create(name: str, **changes: int) -> Operation:
    args: dict[str, int | str] = {
        "format": name, "ias": 32, "oas": 36, "pgsizes": SIZES[name], "coherent": 1,
    }  # fmt: skip
    return Operation("create", {**args, **changes})


def map_(iova: int, pa: int, prot: int, size: int, count: int = 1, fail: int = 0) -> Operation:
    return Operation(
        "map",
        {"iova": iova, "pa": pa, "pgsize": size, "pgcount": count, "prot": prot, "fail_at": fail},
    )


def unmap(iova: int, size: int, count: int = 1, gather: str = "strict") -> Operation:
    return Operation("unmap", {"iova": iova, "pgsize": size, "pgcount": count, "gather": gather})


def run(target: LinuxIoPgtable, *operations: Operation) -> tuple[list[Result], Trace]:
    trace = Trace()
    return [target.perform(operation, trace) for operation in operations], trace


def stores(trace: Trace) -> list[tuple[int, int]]:
    return [(event.a, to_unsigned(event.c)) for event in trace if event.kind == STORE]


def names(trace: Trace) -> list[str]:
    return [event.name for event in trace]


def test_first_map(dart: LinuxIoPgtable) -> None:
    """C1: root entry 97, then leaf entry 209; the new table is published after a barrier."""
    _, trace = run(dart, create("dart1-16k"))
    assert names(trace) == ["alloc", "fill", "attach"]
    results, trace = run(dart, map_(0xC2344000, 0x9F0000000, READ | WRITE, 1 << 14))
    assert results == [Result(0, 1 << 14, True)]
    assert names(trace) == ["alloc", "fill", "barrier", "store", "store", "barrier"]
    assert [event.a for event in trace if event.name == "barrier"] == [1, 0]
    table = next(event.a for event in trace if event.kind == ALLOC)
    assert table == ROOT + 0x4000
    assert stores(trace) == [
        (ROOT + 8 * 97, table | 1),
        (table + 8 * 209, 0x000FFF09F0000003),
    ]
    assert run(dart, Operation("translate", {"iova": 0xC2344567}))[0] == [
        Result(0, 0x9F0000567, True)
    ]


@pytest.mark.parametrize(
    ("name", "prot", "pa", "word"),
    [
        ("dart1-16k", READ, 0x9F0004000, 0x000FFF09F0004083),
        ("dart1-16k", WRITE, 0x9F0008000, 0x000FFF09F0008103),
        ("dart2-16k", READ | WRITE, 0x109F0000000, 0x000FFF109F000003),
        ("dart2-16k", READ, 0x109F0004000, 0x000FFF109F000407),
        ("dart2-16k", WRITE, 0x109F0008000, 0x000FFF109F00080B),
        ("dart1-4k", READ | WRITE, 0x9F0000000, 0x000FFF09F0000003),
    ],
)
def test_leaf_words(dart: LinuxIoPgtable, name: str, prot: int, pa: int, word: int) -> None:
    """C2, C3."""
    run(dart, create(name, oas=42 if name == "dart2-16k" else 36))
    _, trace = run(dart, map_(0xC2344000, pa, prot, SIZES[name]))
    assert stores(trace)[-1][1] == word


def test_table_entry_of_dart2(dart: LinuxIoPgtable) -> None:
    run(dart, create("dart2-16k", oas=42))
    _, trace = run(dart, map_(0, 0, READ, 1 << 14))
    assert stores(trace)[0] == (ROOT, (ROOT + 0x4000) >> 4 | 1)


def test_four_roots(dart: LinuxIoPgtable) -> None:
    """C4: with 4K pages and 32 bits there are four roots, one for each gigabyte."""
    _, trace = run(dart, create("dart1-4k"))
    assert [(event.a, event.b) for event in trace if event.kind == ATTACH] == [
        (ROOT + 0x1000 * index, index) for index in range(4)
    ]
    _, trace = run(dart, map_(0xC2345000, 0x9F0000000, READ | WRITE, 1 << 12))
    table = ROOT + 0x4000
    assert stores(trace) == [
        (ROOT + 3 * 0x1000 + 8 * 17, table | 1),
        (table + 8 * 325, 0x000FFF09F0000003),
    ]
    _, trace = run(dart, Operation("destroy"))
    assert names(trace) == [*["detach"] * 4, "barrier", "invalidate", "complete", *["free"] * 5]


def test_unmap(dart: LinuxIoPgtable) -> None:
    """C6: stops at the first hole; each page is gathered, unless a flush is queued."""
    size = 1 << 14
    run(dart, create("dart1-16k"), map_(0, 0, READ, size, count=5))
    results, trace = run(dart, unmap(0, size, count=8))
    assert results == [Result(0, 5 * size, True)]
    assert names(trace) == [*["store", "gather"] * 5, "warn"]
    _, trace = run(dart, Operation("sync"))
    assert [(e.a, e.b) for e in trace if e.name == "invalidate"] == [(0, 5 * size - 1)]
    run(dart, map_(0, 0, READ, size))
    assert names(run(dart, unmap(0, size, gather="queued"))[1]) == ["store"]


def test_refused_calls(dart: LinuxIoPgtable) -> None:
    size = 1 << 14
    run(dart, create("dart1-16k"), map_(0, 0, READ, size))
    for operation, expected in [
        (map_(size, 0, READ, 1 << 12), -errno.EINVAL),
        (map_(size, 0, 0, size), -errno.EINVAL),
        (map_(size, 1 << 36, READ, size), -errno.ERANGE),
        (map_(0, 0, READ, size), -errno.EEXIST),
        (map_(1 << 25, 0, READ, size, fail=1), -errno.ENOMEM),
    ]:
        assert run(dart, operation)[0] == [Result(expected, 0, True)]


@pytest.mark.parametrize(
    "changes",
    [{"coherent": 0}, {"oas": 40}, {"ias": 43, "oas": 42}, {"pgsizes": 1 << 16}],
)
def test_refused_configurations(dart: LinuxIoPgtable, changes: dict[str, int]) -> None:
    results, trace = run(dart, create("dart1-16k", **changes))
    assert results == [Result(-errno.EINVAL, 0, True)]
    assert names(trace) == []
    assert run(dart, create("dart1-16k"))[0] == [Result(0, 0, True)]


def test_second_root_without_memory(dart: LinuxIoPgtable) -> None:
    results, trace = run(dart, create("dart1-4k", fail_at=2))
    assert results == [Result(-errno.ENOMEM, 0, True)]
    assert names(trace) == ["alloc", "fill", "alloc-failed", "free"]


def test_traits(dart: LinuxIoPgtable) -> None:
    assert dart.name == "linux:io-pgtable-dart"
    traits = dict(dart.traits)
    # Where one more level is what makes room for more than 36 bits, as in newer trees.
    assert traits.pop("ias", None) == (None if root_count(dart, 38) == 4 else (30, 32, 34, 36))
    assert traits == {"format": tuple(SIZES), "coherent": (1,)}


def root_count(dart: LinuxIoPgtable, ias: int) -> int:
    _, trace = run(dart, create("dart2-16k", ias=ias, oas=42))
    return names(trace).count("attach")
