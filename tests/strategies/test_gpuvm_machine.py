"""What the machine of gpuvm really does: every situation that matters comes up."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.discovery import SYSTEMS
from conformance.engine import Plan, run_shard
from conformance.session import Session
from conformance.systems.gpuvm.operations import SPECS, possible
from conformance.systems.gpuvm.targets import GpuvmTarget
from reference.operations import Operation, check
from reference.words import to_unsigned
from strategies import gpuvm as draw

pytestmark = pytest.mark.xdist_group("machine")

EXAMPLES, RUNS = 300, 6
PAGE = 0x1000
ALL = 1 << 64


def place(value, other):
    """How one address lies to another."""
    return "<" if value < other else "==" if value == other else ">"


class Watch:
    """Looks at every call before it is made and after it, and counts the situations it is in."""

    def __init__(self):
        self.seen = Counter()

    def note(self, situation, happens=True):
        self.seen[situation] += bool(happens)

    def before(self, state, operation, sort, reason):
        name, args = operation.name, operation.args
        self.note(f"{name}, {sort}, {reason}" if reason else f"{name}, {sort}")
        if name == "create":
            self.look_at_window(*(to_unsigned(args[key]) for key in args))
        elif name == "bo":
            self.note("bo, private" if args["private"] else "bo, shared")
        elif name == "close":
            self.note("close of a mapped buffer", sort == "legal" and state.link_count(args["bo"]))
            self.note("close of an unmapped buffer", not state.link_count(args["bo"]))
        elif name == "evict":
            self.look_at_eviction(state, args)
        elif name == "validate":
            self.note("validate with nothing evicted", not state.evicted())
            self.note("validate with two evicted", len(state.evicted()) > 1)
            self.note("validate with a mapping of two VMAs", any(
                state.link_count(number) > 1 for number in state.evicted()
            ))  # fmt: skip
        elif name == "find":
            self.look_at_find(state, to_unsigned(args["iova"]), to_unsigned(args["size"]))
        elif name == "destroy":
            self.note("destroy with something mapped", len(state.promise))
            self.note("destroy with nothing mapped", not len(state.promise))
        elif sort == "legal":
            self.look_at_range(state, operation)
        self.note("more than 8 VMAs at once", len(state.promise) > 8)
        self.note("more than 16 VMAs at once", len(state.promise) > 16)

    def look_at_window(self, start, size, kernel_start, kernel_size):
        last = start + size - 1
        self.note("window from 0", start == 0)
        self.note("window across bit 63", start < 1 << 63 <= last)
        self.note("window near 2^64", last >= ALL - 2 * PAGE)
        self.note("window of few pages", size <= 64 * PAGE)
        self.note("no kernel part", not kernel_size)
        if kernel_size:
            kernel_last = kernel_start + kernel_size - 1
            self.note("kernel part at the start", kernel_start == start)
            self.note("kernel part at the end", kernel_last == last)
            self.note("kernel part in the middle", start < kernel_start and kernel_last < last)

    def look_at_eviction(self, state, args):
        buffer = state.buffers.get(args["bo"])
        evicted = buffer is not None and buffer.evicted
        linked = state.link_count(args["bo"]) > 0
        self.note("evict", args["state"] and linked and not evicted)
        self.note("evict of what is evicted", args["state"] and linked and evicted)
        self.note("evict taken back", not args["state"] and linked and evicted)

    def look_at_find(self, state, first, size):
        last = min(first + size, ALL) - 1
        found = state.promise.first_in(first, last)
        in_page = first % PAGE
        self.note("find from the middle of a page", in_page)
        self.note("find to the middle of a page", (last + 1) % PAGE)
        self.note("find of nothing", found is None)
        self.note("find from inside of a mapping", found is not None and found.first < first)
        self.note("find of what starts later", found is not None and found.first > first)
        behind = state.promise.first_in(min(last + 1, ALL - 1), min(last + PAGE, ALL - 1))
        self.note("find with something right behind", found is None and behind is not None)

    def look_at_range(self, state, operation):
        name, args = operation.name, operation.args
        first, size = to_unsigned(args["iova"]), to_unsigned(args["size"])
        last = first + size - 1
        there = state.promise.within(first, last)
        for one in there:
            shape = f"A{place(one.first, first)}R, E{place(one.last, last)}Q"
            self.note(f"{name} over {shape}")
        self.note(f"{name} over {min(len(there), 3)}")
        self.note(f"{name} of the first page of the window", first == state.first)
        self.note(f"{name} of the last page of the window", last == state.last)
        self.note(f"{name} across bit 63", first < 1 << 63 <= last)
        self.note(f"{name} above bit 63", first >= 1 << 63)
        if state.kernel_last > state.kernel_first:
            self.note(f"{name} up to the kernel's part", last + 1 == state.kernel_first)
            self.note(f"{name} right behind the kernel's part", first == state.kernel_last + 1)
        if there and there[0].first < first and there[-1].last > last and len(there) > 1:
            self.note(f"{name} of the tail of one and the head of another")
        if name == "map":
            self.look_at_map(state, first, last, args, there)

    def look_at_map(self, state, first, last, args, there):
        one = there[0] if len(there) == 1 else None
        number, offset = args["bo"], to_unsigned(args["offset"])
        lined_up = [
            part
            for part in there
            if part.buffer == number and part.offset - part.first == offset - first
        ]
        whole = one is not None and (one.first, one.last) == (first, last)
        self.note("map of the same mapping", whole and lined_up)
        self.note("map of another in the same place", whole and not lined_up)
        self.note("map of a part of the same mapping", one is not None and lined_up and not whole)
        self.note("map of what goes on", any(
            before.buffer == number and before.offset + first - before.first == offset
            for before in state.promise.within(max(first - 1, 0), max(first - 1, 0))
            if before.last < first
        ))  # fmt: skip
        self.note("map of one page", last - first + 1 == PAGE)
        self.note("map of several pages", last - first + 1 > PAGE)
        self.note("map of a whole buffer", last - first + 1 == state.buffers[number].size)
        self.note("map from inside a buffer", offset)
        self.note("map up to the end of a buffer", (
            offset + last - first + 1 == state.buffers[number].size
        ))  # fmt: skip
        self.note("map of an evicted buffer", state.buffers[number].evicted)
        self.note("map of a buffer that has no link", not state.link_count(number))

    def after(self, step):
        name, fail_at = step.kind, step.operation.args.get("fail_at", 0)
        failed = step.seen.failed_allocations and step.result.result != 0
        if fail_at:
            self.note(f"{name} fails at allocation {fail_at}", failed)
            self.note(f"{name} is done before allocation {fail_at}", not failed)
            some = step.last >= step.first and step.state.promise.first_in(step.first, step.last)
            self.note(f"{name} fails over something", failed and some)
        state = step.state
        evicted = [number for number, one in state.buffers.items() if one.evicted]
        gone = [number for number in evicted if not state.link_count(number)]
        self.note("a link goes while it is evicted", gone)
        self.note("a closed buffer goes with its last mapping", step.seen.changed and any(
            not one.open and not state.link_count(number) for number, one in state.buffers.items()
        ))  # fmt: skip


@pytest.fixture(scope="module")
def run():
    """(how often each situation came up, what was counted)."""
    watch = Watch()
    before, judge = Session._before, Session._judge

    def watched_before(session, operation):
        call = before(session, operation)
        watch.before(session.promise.state, operation, call.sort, call.reason)
        return call

    def watched_judge(session, step):
        judge(session, step)
        watch.after(step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "_before", watched_before)
        patch.setattr(Session, "_judge", watched_judge)
        plan = Plan(examples=EXAMPLES, shards=1)
        result = run_shard(SYSTEMS["gpuvm"], GpuvmTarget(), plan, 0)
        assert result.findings == {}
        # What is rare comes up in one of a few more runs.
        for seed in range(1, RUNS):
            if min(watch.seen[one] for one in SITUATIONS) > 0:
                break
            run_shard(
                SYSTEMS["gpuvm"], GpuvmTarget(), Plan(examples=EXAMPLES, seed=seed, shards=1), 0
            )
    return watch.seen, result.tally


SHAPES = tuple(f"A{start}R, E{end}Q" for start in ("<", "==", ">") for end in ("<", "==", ">"))
BOTH = ("map", "unmap")

SITUATIONS = (
    "window from 0", "window across bit 63", "window near 2^64", "window of few pages",
    "no kernel part", "kernel part at the start", "kernel part at the end",
    "kernel part in the middle",
    "bo, private", "bo, shared",
    *(f"{name}, refused, {reason}" for name in BOTH for reason in (
        "not whole pages", "no pages", "wraps", "outside the window", "in the kernel's part",
    )),
    "map, refused, no such buffer", "map, refused, beyond the buffer",
    *(f"{name} over {shape}" for name in BOTH for shape in SHAPES),
    *(f"{name} over {count}" for name in BOTH for count in (1, 2, 3)),
    "map over 0",
    *(f"{name} {what}" for name in BOTH for what in (
        "of the first page of the window", "of the last page of the window", "across bit 63",
        "above bit 63", "up to the kernel's part",
        "of the tail of one and the head of another", "fails over something",
    )),
    "map right behind the kernel's part",
    "map of the same mapping", "map of another in the same place",
    "map of a part of the same mapping", "map of what goes on", "map of one page",
    "map of several pages", "map of a whole buffer", "map from inside a buffer",
    "map up to the end of a buffer", "map of an evicted buffer",
    "map of a buffer that has no link",
    *(f"map fails at allocation {number}" for number in (1, 2, 3, 4)),
    *(f"unmap fails at allocation {number}" for number in (1, 2)),
    "map is done before allocation 4", "unmap is done before allocation 3",
    "more than 8 VMAs at once", "more than 16 VMAs at once",
    "close, legal", "close of a mapped buffer", "close of an unmapped buffer",
    "a closed buffer goes with its last mapping",
    "evict", "evict of what is evicted", "evict taken back", "a link goes while it is evicted",
    "validate with nothing evicted", "validate with two evicted",
    "validate with a mapping of two VMAs",
    "find from the middle of a page", "find to the middle of a page", "find of nothing",
    "find from inside of a mapping", "find of what starts later",
    "find with something right behind",
    "destroy with something mapped",
)  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_situation_comes_up(run, situation):
    assert run[0][situation] > 0


def test_a_common_call_is_common(run):
    seen, _ = run
    refused = Counter()
    for situation, count in seen.items():
        name, _, rest = situation.partition(", ")
        if rest.startswith("refused, "):
            refused[name] += count
    for name in BOTH:
        assert seen[f"{name}, legal"] > 2 * refused[name] > 0
    assert seen["map of one page"] > seen["map of a whole buffer"]


def test_at_least_half_of_all_operations_change_state(run):
    _, tally = run
    assert tally.examples == EXAMPLES
    assert sum(count.changed for count in tally.operations.values()) >= tally.steps / 2
    assert tally.operations["map"].changed >= tally.operations["map"].legal / 2


def test_no_more_is_asked_than_is_there(run):
    """Every operation is one that a file may hold; no call is a misuse."""
    _, tally = run
    assert set(tally.operations) == set(SPECS)
    assert all(count.misuse == 0 for count in tally.operations.values())


# -- the tables -------------------------------------------------------------------------------


@pytest.mark.parametrize("window", draw.WINDOWS, ids=str)
def test_every_window_can_be_and_is_told_in_held_words(window):
    create = Operation("create", window.args())
    check(create, SPECS)
    assert possible(create, {})
    assert {name: to_unsigned(word) for name, word in create.args.items()} == {
        "start": window.start, "size": window.size, "kernel_start": window.kernel_start,
        "kernel_size": window.kernel_size,
    }  # fmt: skip
    # There is room beside what is the kernel's.
    assert window.size - window.kernel_size >= 16 * PAGE


def test_buffers_can_be_made_and_the_first_two_are_of_both_sorts():
    for size, private in draw.BUFFERS:
        operation = Operation("bo", {"size": size, "private": private})
        check(operation, SPECS)
        assert 0 < size < 1 << 48
        assert size % PAGE == 0
    assert [private for _, private in draw.BUFFERS[:2]] == [0, 1]
    sizes = [size for size, _ in draw.BUFFERS]
    assert min(sizes) == PAGE
    assert max(sizes) >= 1 << 32


def test_counts_offsets_and_failures_are_what_they_say():
    assert min(draw.COUNTS) == draw.COUNTS[0] == 1
    assert min(draw.OFFSETS) == draw.OFFSETS[0] == 0
    assert set(draw.FAILURES) == {0, 1, 2, 3, 4}
    # Most calls have all the memory that they need.
    assert draw.FAILURES.count(0) > len(draw.FAILURES) / 2
    assert draw.FAILURES[0] == 0


def test_parts_are_in_every_position_to_what_is_mapped():
    first, end = 100, 110
    shapes = Counter()
    outside = 0
    for part in draw.PARTS:
        start = (end if part.from_end else first) + part.start
        stop = (end if part.to_end else start) + part.pages
        assert start < stop, part
        if start >= end or stop <= first:
            outside += 1
        else:
            shapes[f"A{place(first, start)}R, E{place(end, stop)}Q"] += 1
    # Nothing is exactly as long as, and starts before, or ends as it does.
    assert set(shapes) >= {
        "A==R, E==Q", "A==R, E>Q", "A<R, E==Q", "A<R, E<Q", "A<R, E>Q", "A>R, E<Q", "A>R, E>Q",
    }  # fmt: skip
    assert outside == 2
    assert draw.PARTS[0] == draw.Part(0, False, 0, True)


def test_pairs_are_numbered_by_both_of_their_lists():
    assert draw.maps.pair(0) == (1, (0, 0))
    assert draw.parts.pair(0) == (draw.PARTS[0], 0)
    assert draw.mistakes.pair(0) == ("empty", 0)
    assert {draw.mistakes.pair(number)[0] for number in range(len(draw.MISTAKES))} == set(
        draw.MISTAKES
    )
    last = len(draw.MISTAKES) * 8 - 1
    assert draw.mistakes.pair(last) == (draw.MISTAKES[-1], 7)


@given(st.data())
def test_every_number_that_is_drawn_stands_for_a_pair(data):
    count, (offset, fail) = draw.maps.pair(data.draw(draw.maps.numbers))
    assert (count in draw.COUNTS, offset in draw.OFFSETS, fail in draw.FAILURES) == (True,) * 3
    part, fail = draw.parts.pair(data.draw(draw.parts.numbers))
    assert (part in draw.PARTS, fail in draw.FAILURES) == (True, True)
    mistake, which = draw.mistakes.pair(data.draw(draw.mistakes.numbers))
    assert mistake in draw.MISTAKES
    assert which in range(8)
