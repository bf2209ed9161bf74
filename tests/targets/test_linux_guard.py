"""Whatever watched code does, it becomes an event, and Python lives on."""

import signal
import time
from pathlib import Path

import pytest

from conformance.systems.pagetable.targets import LinuxIoPgtable
from conformance.targets.linux.errors import HarnessError
from conformance.targets.linux.library import Library
from reference.operations import Operation
from reference.trace import Event, Trace, event_to_json
from reference.words import to_signed, to_unsigned

# The numbers of native/selftest.c.
WARN, WARN_ONCE, BUG, LOAD, STORE, FAULT, TRAP, DIVIDE, LOOP, SILENT_LOOP = range(10)
STORING_LOOP, RECURSION, AFTER_KFREE, PAST_OBJECT, DOUBLE_KFREE, STORES, BARRIERS = range(10, 17)
FREED_PAGE, DOUBLE_FREE, MISSING, FRESH_PAGE, COUNTER = range(17, 22)


class Selftest:
    """The calls of the library that misbehave on purpose."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._call = library.call("mmu_selftest_call")

    def __call__(self, number: int, *arguments: int) -> tuple[int, bool, list[Event]]:
        """Value, whether it finished, and events."""
        trace = Trace()
        result, value, finished = self._call(trace, number, arguments)
        assert result == 0
        return value, finished, list(trace)

    def told(self, events: list[Event]) -> list[str]:
        lines = []
        for event in events:
            shown = event_to_json(event, self.library.places)
            place = shown.pop("place", "")
            lines.append(" ".join([*(str(value) for value in shown.values()), f"@{place}"]))
        return lines


@pytest.fixture
def selftest(arm: LinuxIoPgtable) -> Selftest:
    return Selftest(arm.library)


def test_warnings_go_on(selftest: Selftest) -> None:
    for _ in range(2):
        _, finished, events = selftest(WARN)
        assert finished
        assert selftest.told(events) == ["warn @selftest_warn"]


def test_a_warning_given_once_is_given_again_after_reset(selftest: Selftest) -> None:
    assert len(selftest(WARN_ONCE)[2]) == 1
    assert len(selftest(WARN_ONCE)[2]) == 0
    selftest.library.reset(None)
    assert selftest.told(selftest(WARN_ONCE)[2]) == ["warn @selftest_warn_once"]


@pytest.mark.parametrize(
    ("number", "arguments", "expected"),
    [
        (BUG, (), "bug @selftest_bug"),
        (LOAD, (0,), "wild 0x0 8 0 @selftest_read"),
        (LOAD, (0x5000,), "wild 0x5000 8 0 @selftest_read"),
        (STORE, (0x5000,), "wild 0x5000 8 1 @selftest_write"),
        (STORE, (to_signed(0xDEAD000000000122),),
         "wild 0xdead000000000122 8 1 @selftest_write"),
        (FAULT, (), f"crash {signal.SIGSEGV} 0x10 @selftest_fault"),
        (LOOP, (), "hang @selftest_loop"),
        (AFTER_KFREE, (), "wild 0xffff888000000050 8 1 @selftest_after_kfree"),
        (PAST_OBJECT, (), "wild 0xffff888000000080 8 1 @selftest_past_object"),
        (DOUBLE_KFREE, (), "wild 0xffff888000000040 0 1 @selftest_double_kfree"),
    ],
)  # fmt: skip
def test_what_ends_a_call(
    selftest: Selftest, number: int, arguments: tuple[int, ...], expected: str
) -> None:
    for _ in range(2):
        selftest.library.reset(None)
        _, finished, events = selftest(number, *arguments)
        assert not finished
        assert selftest.told(events) == [expected]


@pytest.mark.parametrize(
    ("number", "caught", "place"),
    [
        (TRAP, signal.SIGILL, "selftest_trap"),
        (DIVIDE, signal.SIGFPE, "selftest_divide"),
        (RECURSION, signal.SIGSEGV, "selftest_recursion"),
    ],
)
def test_signals(selftest: Selftest, number: int, caught: int, place: str) -> None:
    _, finished, events = selftest(number)
    assert not finished
    assert [(event.name, event.a) for event in events] == [("crash", caught)]
    assert selftest.library.places[events[0].place] == place
    # The address is told in a way that does not depend on where the library was loaded.
    assert to_unsigned(events[0].b) >> 40 in (0xFFFFFF, 0xFFFFC9)


def test_a_loop_without_any_access_is_ended_by_time(selftest: Selftest) -> None:
    started = time.process_time()
    _, finished, events = selftest(SILENT_LOOP)
    assert not finished
    assert selftest.told(events) == ["hang @selftest_silent_loop"]
    assert time.process_time() - started < 5


def test_a_loop_that_stores_is_ended_when_the_buffer_is_full(selftest: Selftest) -> None:
    _, finished, events = selftest(STORING_LOOP)
    assert not finished
    assert [event.name for event in events[-2:]] == ["store", "hang"]
    assert 20_000 < len(events) < 300_000


def test_every_kind_of_store_is_seen(selftest: Selftest) -> None:
    """Plain, volatile, narrow, exchanges, bit operations; a failed exchange is no store."""
    _, finished, events = selftest(STORES)
    assert finished
    page = 0x80000000
    assert [(e.name, e.a - page, to_unsigned(e.b), to_unsigned(e.c)) for e in events[2:]] == [
        ("store", 0x00, 0, 1),
        ("store", 0x08, 0, 2),
        ("store", 0x10, 0, 3),
        ("store", 0x10, 3, 0x400000003),
        ("store", 0x18, 0, 5),
        ("store", 0x20, 0, 6),
        ("store", 0x28, 0, 8),
        ("store", 0x30, 0, 0x10),
        ("store", 0x30, 0x10, 0),
        ("fill", 0x40, 0x20, 0x5555555555555555),
        ("store", 0x60, 0, 0x11),
        ("store", 0x68, 0, 0x22),
        ("store", 0x00, 1, 0),
    ]
    assert {selftest.library.places[event.place] for event in events[2:]} == {"selftest_stores"}


def test_every_barrier_towards_devices_is_seen(selftest: Selftest) -> None:
    """mb, wmb, rmb, dma_wmb, dma_rmb; smp_mb and smp_wmb order processors only."""
    _, _, events = selftest(BARRIERS)
    assert [(event.name, event.a) for event in events] == [
        ("barrier", kind) for kind in (0, 0, 2, 1, 2)
    ]


def test_pages_that_nobody_owns_are_poison(selftest: Selftest) -> None:
    poison = selftest.library.poison
    value, finished, events = selftest(FREED_PAGE)
    assert finished
    assert to_unsigned(value) == poison
    assert [event.name for event in events] == ["alloc", "free", "store"]
    assert (to_unsigned(events[2].b), events[2].c) == (poison, 9)
    assert to_unsigned(selftest(FRESH_PAGE)[0]) == poison
    selftest.library.reset(None)
    assert to_unsigned(selftest(FRESH_PAGE)[0]) == poison


def test_a_page_freed_twice_is_reported_twice(selftest: Selftest) -> None:
    _, finished, events = selftest(DOUBLE_FREE)
    assert finished
    assert [event.name for event in events] == ["alloc", "free", "free"]
    # It is not handed out twice.
    assert len({selftest(FRESH_PAGE)[2][0].a for _ in range(40)}) == 40


def test_a_function_that_is_missing_is_named(selftest: Selftest) -> None:
    with pytest.raises(HarnessError, match=r"mmu_function_of_a_newer_kernel\(\)"):
        selftest(MISSING)
    assert selftest(COUNTER)[1]


def test_reset_takes_back_the_kernel_s_own_data(selftest: Selftest) -> None:
    assert [selftest(COUNTER)[0] for _ in range(3)] == [1, 2, 3]
    selftest.library.reset(None)
    assert selftest(COUNTER)[0] == 1


def test_the_target_goes_on_after_a_crash(arm: LinuxIoPgtable, selftest: Selftest) -> None:
    for number in (BUG, FAULT, LOOP, RECURSION):
        assert not selftest(number)[1]
    arm.reset()
    done = arm.perform(
        Operation(
            "create",
            {"format": "lpae-s1", "ias": 48, "oas": 48, "pgsizes": 0x1000, "coherent": 1},
        ),
        Trace(),
    )
    assert (done.result, done.finished) == (0, True)


def test_faults_outside_of_calls_are_not_ours(selftest: Selftest) -> None:
    """Handlers of others stay in force: here Python's own for a division in another library."""
    seen: list[int] = []
    before = signal.signal(signal.SIGILL, lambda number, _frame: seen.append(number))
    try:
        selftest.library.reset(None)
        assert not selftest(TRAP)[1]
        signal.raise_signal(signal.SIGILL)
        assert seen == [signal.SIGILL]
    finally:
        signal.signal(signal.SIGILL, before)
        selftest.library.reset(None)
    assert not selftest(TRAP)[1]


def test_words_outside_the_arena_are_refused(selftest: Selftest) -> None:
    library = selftest.library
    for pa in (0, library.arena_pa + 4, library.arena_pa + library.arena_size):
        with pytest.raises(ValueError, match="multiples of 8, 0x80000000 to"):
            library.word(pa)


def test_a_file_that_is_no_library_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "library.so"
    path.write_bytes(b"\x7fELF")
    with pytest.raises(HarnessError, match="cannot be loaded"):
        Library(path)
