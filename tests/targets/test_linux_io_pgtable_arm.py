"""linux:io-pgtable-arm: every store, barrier, clean and flush of the real code, in order."""

import errno

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.systems.pagetable.targets import LinuxIoPgtable
from conformance.targets.linux.errors import HarnessError
from reference.operations import Operation, Result
from reference.trace import (
    ALLOC,
    CLEAN,
    FILL,
    FREE,
    STORE,
    Event,
    Trace,
    event_to_json,
)
from reference.words import to_signed, to_unsigned

PAGE, BLOCK, GIANT = 1 << 12, 1 << 21, 1 << 30
READ, WRITE, CACHE, NOEXEC = 1, 2, 4, 8
VA = 0x7F0012345000
PA = 0xC0DE0000
ROOT = 0x80000000


def create(name: str = "lpae-s1", **changes: int) -> Operation:
    args: dict[str, int | str] = {
        "format": name, "ias": 48, "oas": 40, "pgsizes": PAGE | BLOCK, "coherent": 1, "bbm": 0,
        "block_unmap": "split",
    }  # fmt: skip
    return Operation("create", {**args, **changes})


def map_(iova: int, pa: int, prot: int, size: int = PAGE, count: int = 1, fail: int = 0):
    return Operation(
        "map",
        {"iova": iova, "pa": pa, "pgsize": size, "pgcount": count, "prot": prot, "fail_at": fail},
    )


def unmap(iova: int, size: int = PAGE, count: int = 1, gather: str = "strict", fail: int = 0):
    return Operation(
        "unmap",
        {"iova": iova, "pgsize": size, "pgcount": count, "gather": gather, "fail_at": fail},
    )


def translate(iova: int) -> Operation:
    return Operation("translate", {"iova": iova})


def run(target: LinuxIoPgtable, *operations: Operation) -> tuple[list[Result], Trace]:
    trace = Trace()
    return [target.perform(operation, trace) for operation in operations], trace


def told(target: LinuxIoPgtable, trace: Trace) -> list[str]:
    """Each event as a short line: name, values, and the function behind it.

    Which function allocates differs from tree to tree, and is left out.
    """
    lines = []
    for event in trace:
        shown = event_to_json(event, target.places)
        place = shown.pop("place", "")
        if event.kind not in (ALLOC, FILL, FREE, CLEAN):
            shown["place"] = f"@{place}"
        lines.append(" ".join(str(value) for value in shown.values()))
    return lines


def last(target: LinuxIoPgtable, *operations: Operation) -> tuple[Result, list[str]]:
    """The last operation's result and events."""
    run(target, *operations[:-1])
    results, trace = run(target, operations[-1])
    return results[0], told(target, trace)


def names(trace: Trace) -> list[str]:
    return [event.name for event in trace]


def leaf_words(trace: Trace) -> list[int]:
    """The new words of all stores, unsigned."""
    return [to_unsigned(event.c) for event in trace if event.kind == STORE]


# -- the trace --------------------------------------------------------------------------


def test_create(arm: LinuxIoPgtable) -> None:
    result, events = last(arm, create())
    assert result == Result(0, 0, True)
    assert events == [
        "alloc 0x80000000 0x1000",
        "fill 0x80000000 0x1000 0x0",
        "barrier 0 @arm_64_lpae_alloc_pgtable_s1",
        "attach 0x80000000 0 @",
    ]


def test_first_map_of_a_coherent_walker(arm: LinuxIoPgtable) -> None:
    """Each new table is zeroed, then ordered by a barrier, then published by compare-exchange."""
    result, events = last(arm, create(), map_(VA, PA, READ | WRITE | CACHE))
    assert result == Result(0, PAGE, True)
    assert events == [
        "alloc 0x80001000 0x1000",
        "fill 0x80001000 0x1000 0x0",
        "barrier 1 @arm_lpae_install_table",
        "store 0x800007f0 0x0 0x80001003 @arm_lpae_install_table",
        "alloc 0x80002000 0x1000",
        "fill 0x80002000 0x1000 0x0",
        "barrier 1 @arm_lpae_install_table",
        "store 0x80001000 0x0 0x80002003 @arm_lpae_install_table",
        "alloc 0x80003000 0x1000",
        "fill 0x80003000 0x1000 0x0",
        "barrier 1 @arm_lpae_install_table",
        "store 0x80002488 0x0 0x80003003 @arm_lpae_install_table",
        "store 0x80003a28 0x0 0xc0de0f47 @__arm_lpae_init_pte",
        "barrier 0 @arm_lpae_map_pages",
    ]


def test_first_map_of_a_walker_that_does_not_snoop(arm: LinuxIoPgtable) -> None:
    """The same, with every entry written back; a table entry then gets its software mark."""
    _, events = last(arm, create(coherent=0), map_(VA, PA, READ | WRITE | CACHE))
    table = [
        "fill 0x80001000 0x1000 0x0",
        "clean 0x80001000 0x1000",
        "barrier 1 @arm_lpae_install_table",
        "store 0x800007f0 0x0 0x80001003 @arm_lpae_install_table",
        "clean 0x800007f0 0x8",
        "store 0x800007f0 0x80001003 0x80000080001003 @arm_lpae_install_table",
    ]
    assert events[1:7] == table
    assert events[-3:] == [
        "store 0x80003a28 0x0 0xc0de0f47 @__arm_lpae_init_pte",
        "clean 0x80003a28 0x8",
        "barrier 0 @arm_lpae_map_pages",
    ]


def test_unmap_gathers_and_sync_flushes(arm: LinuxIoPgtable) -> None:
    run(arm, create(), map_(VA, PA, READ, count=2))
    results, trace = run(arm, unmap(VA, count=2), Operation("sync"), Operation("sync"))
    assert [result.value for result in results] == [2 * PAGE, 0, 0]
    assert sorted(told(arm, trace)[:4]) == sorted(
        [
            "store 0x80003a28 0xc0de0ec3 0x0 @__arm_lpae_clear_pte",
            "store 0x80003a30 0xc0de1ec3 0x0 @__arm_lpae_clear_pte",
            "gather 0x7f0012345000 0x1000 @__arm_lpae_unmap",
            "gather 0x7f0012346000 0x1000 @__arm_lpae_unmap",
        ]
    )
    assert told(arm, trace)[4:] == [
        "barrier 0 @",
        "invalidate 0x7f0012345000 0x7f0012346fff 0x10401 @",
        "complete 1 @",
    ]


def test_a_disjoint_page_flushes_what_was_gathered(arm: LinuxIoPgtable) -> None:
    run(arm, create(), map_(0, PA, READ), map_(4 * PAGE, PA, READ), unmap(0))
    _, trace = run(arm, unmap(4 * PAGE), Operation("sync"))
    assert told(arm, trace)[-7:] == [
        "gather 0x4000 0x1000 @__arm_lpae_unmap",
        "barrier 0 @__arm_lpae_unmap",
        "invalidate 0x0 0xfff 0x10301 @__arm_lpae_unmap",
        "complete 1 @__arm_lpae_unmap",
        "barrier 0 @",
        "invalidate 0x4000 0x4fff 0x20401 @",
        "complete 2 @",
    ]


def test_queued_unmap_leaves_the_flush_to_the_queue(arm: LinuxIoPgtable) -> None:
    run(arm, create(), map_(VA, PA, READ))
    _, trace = run(arm, unmap(VA, gather="queued"), Operation("sync"), Operation("flush"))
    assert told(arm, trace) == [
        "store 0x80003a28 0xc0de0ec3 0x0 @__arm_lpae_clear_pte",
        "barrier 0 @",
        "invalidate 0x0 0xffffffffffffffff 0x10503 @",
        "complete 1 @",
    ]


def test_unmap_of_a_whole_table_flushes_walks_before_it_frees(arm: LinuxIoPgtable) -> None:
    run(arm, create(), map_(BLOCK, PA, READ))
    _, trace = run(arm, unmap(BLOCK, BLOCK))
    assert told(arm, trace)[:5] == [
        "store 0x80002008 0x80003003 0x0 @__arm_lpae_clear_pte",
        "barrier 0 @__arm_lpae_unmap",
        "invalidate 0x200000 0x3fffff 0x10203 @__arm_lpae_unmap",
        "complete 1 @__arm_lpae_unmap",
        "free 0x80003000 0x1000",
    ]


def test_destroy(arm: LinuxIoPgtable) -> None:
    run(arm, create(), map_(VA, PA, READ))
    results, trace = run(arm, Operation("destroy"))
    assert results == [Result(0, 0, True)]
    assert names(trace) == ["detach", "barrier", "invalidate", "complete", *["free"] * 4]
    assert {event.a for event in trace if event.kind == FREE} == {
        ROOT, ROOT + PAGE, ROOT + 2 * PAGE, ROOT + 3 * PAGE,
    }  # fmt: skip


def test_refused_calls(arm: LinuxIoPgtable) -> None:
    run(arm, create(), map_(VA, PA, READ))
    assert last(arm, map_(VA, PA, 0)) == (Result(-errno.EINVAL, 0, True), [])
    for operation, expected in [
        (map_(1 << 48, PA, READ), -errno.ERANGE),
        (map_(0, 1 << 40, READ), -errno.ERANGE),
        (map_(0, 0, READ, size=1 << 14), -errno.EINVAL),
        (map_(VA, PA, READ), -errno.EEXIST),
    ]:
        result, events = last(arm, operation)
        assert (result.result, result.value, result.finished) == (expected, 0, True)
        assert any(line.startswith("warn @") for line in events)
    result, events = last(arm, unmap(VA + PAGE))
    assert (result, events) == (Result(0, 0, True), ["warn @__arm_lpae_unmap"])


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_kth_allocation_fails(arm: LinuxIoPgtable, k: int) -> None:
    run(arm, create())
    results, trace = run(arm, map_(VA, PA, READ, fail=k))
    if k == 4:
        assert results == [Result(0, PAGE, True)]
    else:
        assert results == [Result(-errno.ENOMEM, 0, True)]
        assert names(trace).count("alloc") == k - 1
        assert names(trace).count("alloc-failed") == 1
    results, trace = run(arm, map_(VA + PAGE, PA, READ))
    assert results == [Result(0, PAGE, True)]
    assert names(trace).count("alloc") == (4 - k if k < 4 else 0)


def test_create_without_memory(arm: LinuxIoPgtable) -> None:
    results, trace = run(arm, create(fail_at=1))
    assert results == [Result(-errno.ENOMEM, 0, True)]
    assert names(trace) == ["alloc-failed"]


def test_reset_gives_an_identical_trace(arm: LinuxIoPgtable) -> None:
    operations = [
        create(coherent=0),
        map_(VA, PA, READ, count=512),
        map_(GIANT, GIANT, READ | WRITE, size=BLOCK, count=3),
        unmap(GIANT + 5 * PAGE, count=2),
        unmap(VA, count=600),
        map_(GIANT, 0, READ),
        unmap(GIANT, size=BLOCK),
        Operation("sync"),
        map_(VA, PA, READ, count=3, fail=1),
    ]
    before = run(arm, *operations)
    for _ in range(2):
        arm.reset()
        after = run(arm, *operations)
        assert (after[0], after[1].words) == (before[0], before[1].words)
        assert len(after[1]) > 600


# -- known entries, checked against other sources (formats.md, section G) ------------------


@pytest.mark.parametrize("name", ["lpae-s1", "lpae-mali"])
def test_table_chain(arm: LinuxIoPgtable, name: str) -> None:
    """B1: the way to 7f0012345000 leads through entries 0xfe, 0, 0x91 and 0x145."""
    run(arm, create(name))
    _, trace = run(arm, map_(VA, PA, READ | WRITE | CACHE))
    stores = [(event.a, event.c) for event in trace if event.kind == STORE]
    assert stores[:3] == [
        (ROOT + 8 * 0xFE, 0x80001003),
        (ROOT + PAGE, 0x80002003),
        (ROOT + 2 * PAGE + 8 * 0x91, 0x80003003),
    ]
    assert stores[3][0] == ROOT + 3 * PAGE + 8 * 0x145


@pytest.mark.parametrize(
    ("prot", "low"),
    [
        (READ | WRITE | CACHE, 0xF47),
        (READ | CACHE, 0xFC7),
        (READ | WRITE | CACHE | NOEXEC, 0x60000000000F47),
        (READ | WRITE, 0xE43),
        (READ | NOEXEC, 0x60000000000EC3),
    ],
)
def test_leaf_words(arm: LinuxIoPgtable, prot: int, low: int) -> None:
    """B1, B2."""
    run(arm, create())
    _, trace = run(arm, map_(VA, PA, prot))
    assert leaf_words(trace)[-1] == PA | low


def test_block_and_its_split(arm: LinuxIoPgtable) -> None:
    """B3, B4, B5."""
    start, pa = 0x40200000, 0x140200000
    run(arm, create())
    _, trace = run(arm, map_(start, pa, READ | WRITE | CACHE | NOEXEC, size=BLOCK))
    assert leaf_words(trace)[-1] == 0x60000140200F45
    result, _ = last(arm, map_(start + PAGE, PA, READ))
    assert result == Result(-errno.EEXIST, 0, True)
    results, trace = run(arm, unmap(start + 5 * PAGE, count=2))
    if arm.traits["block_unmap"] == ("refuse",):
        assert results == [Result(0, 0, True)]
        return
    assert results == [Result(0, 2 * PAGE, True)]
    words = {event.a: to_unsigned(event.c) for event in trace if event.kind == STORE}
    table = next(event.a for event in trace if event.kind == ALLOC)
    assert words[table + 8 * 4] == 0x60000140204F47
    assert table + 8 * 5 not in words
    assert words[table + 8 * 7] == 0x60000140207F47
    assert len(words) == 511
    # The block is swapped for the table in one exchange, after all that is ordered.
    stores = [event for event in trace if event.kind == STORE]
    assert (stores[-1].b, stores[-1].c) == (0x60000140200F45, table | 3)
    assert [event.name for event in trace][-4:-2] == ["barrier", "store"]
    for page, expected in [(4, pa + 4 * PAGE), (5, 0), (6, 0), (7, pa + 7 * PAGE)]:
        assert run(arm, translate(start + page * PAGE))[0] == [Result(0, expected, True)]


def test_translation_inside_a_block(arm: LinuxIoPgtable) -> None:
    run(arm, create(pgsizes=PAGE | BLOCK | GIANT), map_(GIANT, 3 * GIANT, READ, size=GIANT))
    assert run(arm, translate(GIANT + 0x1234567))[0] == [Result(0, 3 * GIANT + 0x1234567, True)]
    assert run(arm, translate(2 * GIANT))[0] == [Result(0, 0, True)]


def test_mali_has_four_levels_and_blocks_as_leaves(arm: LinuxIoPgtable) -> None:
    """Linux gives Mali its root at level 0 whatever the input size, and type 1 to every leaf."""
    run(arm, create("lpae-mali", ias=39))
    _, trace = run(arm, map_(0x12345000, PA, READ | WRITE))
    assert names(trace).count("alloc") == 3
    assert leaf_words(trace)[-1] & 3 == 1


# -- what holds for every sequence ----------------------------------------------------------


def replayed(trace: Trace, poison: int) -> dict[int, list[int]]:
    """The table pages that are in use at the end, word by word, by the trace alone."""
    pages: dict[int, list[int]] = {}
    for event in trace:
        if event.kind == ALLOC:
            pages[event.a] = [to_signed(poison)] * (event.b // 8)
        elif event.kind == FREE:
            del pages[event.a]
        elif event.kind == FILL:
            assert event.a in pages
            pages[event.a] = [event.c] * (event.b // 8)
        elif event.kind == STORE:
            page = event.a & ~(PAGE - 1)
            index = (event.a - page) // 8
            assert pages[page][index] == event.b
            pages[page][index] = event.c
    return pages


_sizes = st.sampled_from([PAGE, PAGE, BLOCK, GIANT])
_addresses = st.builds(
    lambda base, offset: base + offset * PAGE,
    st.sampled_from([0, BLOCK, GIANT, VA & ~(BLOCK - 1), (1 << 48) - BLOCK]),
    st.one_of(st.integers(0, 8), st.integers(500, 515)),
)
_operations = st.one_of(
    st.builds(
        map_,
        iova=_addresses,
        pa=_addresses.map(lambda address: address % (1 << 39)),
        prot=st.integers(0, 63),
        size=_sizes,
        count=st.one_of(st.integers(0, 4), st.sampled_from([512, 513])),
        fail=st.integers(0, 3),
    ),
    st.builds(
        unmap,
        iova=_addresses,
        size=_sizes,
        count=st.one_of(st.integers(0, 4), st.sampled_from([512, 513])),
        gather=st.sampled_from(["strict", "queued"]),
        fail=st.integers(0, 2),
    ),
    st.just(Operation("sync")),
    st.builds(translate, iova=_addresses),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["lpae-s1", "lpae-mali"]),
    coherent=st.integers(0, 1),
    ias=st.sampled_from([39, 48]),
    operations=st.lists(_operations, max_size=25),
)
def test_the_trace_says_all_that_happened_to_the_tables(
    arm: LinuxIoPgtable, name: str, coherent: int, ias: int, operations: list[Operation]
) -> None:
    """Memory rebuilt from the events is the memory of the C code, word for word."""
    arm.reset()
    trace = Trace()
    arm.perform(create(name, coherent=coherent, ias=ias, pgsizes=PAGE | BLOCK | GIANT), trace)
    for operation in operations:
        if not arm.perform(operation, trace).finished:
            break
    library = arm.library
    for page, words in replayed(trace, library.poison).items():
        for index, word in enumerate(words):
            assert library.word(page + 8 * index) == word


# -- misuse of the target itself ----------------------------------------------------------


def test_bad_operations_are_refused_by_name(arm: LinuxIoPgtable) -> None:
    with pytest.raises(ValueError, match="'map' without a table"):
        arm.perform(map_(0, 0, READ), Trace())
    with pytest.raises(ValueError, match=r"'remap'; allowed are create, map"):
        arm.perform(Operation("remap"), Trace())
    with pytest.raises(ValueError, match=r"'dart1-16k'.*lpae-s1, lpae-mali"):
        arm.perform(create("dart1-16k"), Trace())
    run(arm, create())
    with pytest.raises(ValueError, match=r"'create' with a table"):
        arm.perform(create(), Trace())
    with pytest.raises(ValueError, match=r"map has no argument 'iova'"):
        arm.perform(Operation("map", {"pa": 0}), Trace())
    with pytest.raises(ValueError, match=r"operation is 'release'"):
        arm.perform(Operation("release"), Trace())
    with pytest.raises(ValueError, match=r"has 'high' where a number"):
        arm.perform(translate("high"), Trace())  # type: ignore[arg-type]


def test_addresses_may_be_unsigned(arm: LinuxIoPgtable) -> None:
    run(arm, create())
    top = (1 << 64) - PAGE
    unsigned, signed = run(arm, unmap(top)), run(arm, unmap(-PAGE))
    assert unsigned[0] == signed[0]
    assert unsigned[1].words == signed[1].words


def test_one_library_has_one_owner(arm: LinuxIoPgtable, built_dart: LinuxIoPgtable) -> None:
    run(arm, create())
    built_dart.reset()
    with pytest.raises(HarnessError, match=r"call reset\(\) first"):
        arm.perform(translate(0), Trace())
    arm.reset()
    run(arm, create())


def test_version_and_places(arm: LinuxIoPgtable) -> None:
    assert arm.name == "linux:io-pgtable-arm"
    assert arm.version.startswith("linux ")
    assert arm.version.endswith(", drivers/iommu/io-pgtable-arm.c")
    assert arm.places[0] == ""
    assert list(arm.places[1:]) == sorted(set(arm.places[1:]))
    assert not any("." in place for place in arm.places)
    assert arm.traits["block_unmap"] in (("split",), ("refuse",))


def test_kinds_of_events_are_those_of_the_model(arm: LinuxIoPgtable) -> None:
    """An event of an unknown kind would not be accepted as an object."""
    _, trace = run(arm, create(), map_(VA, PA, READ), unmap(VA), Operation("destroy"))
    assert all(isinstance(event, Event) for event in trace)


# -- limits -------------------------------------------------------------------------------


def test_thousands_of_tables_at_once(arm: LinuxIoPgtable) -> None:
    """8192 tables of leaves are no loop, and are all freed in one call."""
    count = 8192
    run(arm, create())
    trace = Trace()
    for index in range(count):
        assert arm.perform(map_(index * BLOCK, PA, READ), trace).value == PAGE
        trace.clear()
    assert arm.perform(Operation("destroy"), trace) == Result(0, 0, True)
    freed = [event.a for event in trace if event.kind == FREE]
    assert len(freed) == len(set(freed)) == 1 + 1 + count // 512 + count


def test_memory_runs_out_with_an_error(arm: LinuxIoPgtable) -> None:
    run(arm, create())
    trace = Trace()
    for index in range(20000):
        result = arm.perform(map_(index * BLOCK, PA, READ), trace)
        if result.result:
            break
        trace.clear()
    assert (index > 8192, result) == (True, Result(-errno.ENOMEM, 0, True))
    assert names(trace)[-2:] == ["alloc-failed", "barrier"]


def test_a_freed_table_is_not_used_again_at_once(arm: LinuxIoPgtable) -> None:
    """So that whoever still uses it is seen; in the end it is used again, the oldest first."""
    run(arm, create(), map_(0, PA, READ))
    taken = []
    for _ in range(40):
        _, trace = run(arm, map_(BLOCK, PA, READ), unmap(BLOCK, BLOCK))
        taken += [event.a for event in trace if event.kind == ALLOC]
        assert [event.a for event in trace if event.kind == FREE] == taken[-1:]
    again = next(index for index, pa in enumerate(taken) if pa in taken[:index])
    assert again > 10
    assert taken[again] == taken[0]


def test_a_freed_table_is_told_of_who_freed_it(arm: LinuxIoPgtable) -> None:
    """Not of the helpers in between, of which newer trees have more."""
    trace = Trace()
    arm.perform(create(coherent=0), trace)
    arm.perform(Operation("destroy", {}), trace)
    places = {arm.places[event.place] for event in trace if event.name in ("alloc", "free")}
    assert places == {"__arm_lpae_alloc_pages", "__arm_lpae_free_pages"}
