"""What the machine of va-alloc really does: every situation that matters comes up."""

from collections import Counter

import pytest

from conformance.discovery import SYSTEMS
from conformance.engine import Plan, run_shard
from conformance.session import Session
from conformance.systems.va_alloc.operations import PAGE, SPECS, possible
from conformance.systems.va_alloc.targets import VaAllocTarget
from reference.operations import Operation, check
from reference.systems.va_alloc.promise import ALL
from reference.words import to_unsigned
from strategies import va_alloc as draw

EXAMPLES, RUNS = 150, 6


class Watch:
    """Counts situations, by name."""

    def __init__(self):
        self.seen = Counter()

    def note(self, situation, happens=True):
        self.seen[situation] += bool(happens)

    def look(self, space, call):
        kind = call.operation.name
        args = {
            key: one if isinstance(one, str) else to_unsigned(one)
            for key, one in call.operation.args.items()
        }
        self.note(f"{kind}, {call.sort}" + (f", {call.reason}" if call.reason else ""))
        if kind == "create":
            end = args["start"] + args["size"]
            self.note("window from 0", args["start"] == 0)
            self.note("window across bit 63", args["start"] < 1 << 63 < end)
            self.note("window up to the end", end >= ALL - PAGE)
            return
        holes = space.holes()
        self.note("more than 8 ranges", len(space.ranges) > 8)
        self.note("no hole", not holes)
        self.note("holes of one size", len({h.last - h.first for h in holes}) < len(holes))
        if kind == "alloc" and call.sort == "legal":
            self.look_at_alloc(space, call, args, holes)
        elif kind == "reserve" and call.sort == "legal":
            hole = next(h for h in holes if h.first <= args["va"] <= h.last)
            last = args["va"] + args["size"] - 1
            shape = (args["va"] == hole.first, last == hole.last)
            where = {(True, True): "all", (True, False): "head", (False, True): "tail"}
            self.note(f"reserve {where.get(shape, 'inside')} of a hole")
            self.note("reserve up to the window's end", last == space.last)
        elif kind == "free" and call.sort == "legal":
            one = space.ranges[args["node"]]
            before = any(h.last + 1 == one.first for h in holes)
            after = any(h.first == one.last + 1 for h in holes)
            self.note(f"free, hole before {before}, after {after}")
        elif kind == "find":
            found = call.expected != -1
            self.note(f"find, {'something' if found else 'nothing'}")
            self.note("find, starts before", found and to_unsigned(call.expected) < args["first"])
            self.note("find, right behind one", any(
                one.last + 1 == args["first"] for one in space.ranges.values()
            ))  # fmt: skip
            self.note("find, right before one", any(
                one.first == args["last"] + 1 for one in space.ranges.values()
            ))  # fmt: skip

    def look_at_alloc(self, space, call, args, holes):
        mode, rooms, size = args["mode"], call.rooms, args["size"]
        self.note(f"alloc, {mode}")
        self.note(f"alloc, {mode}, of several holes", len(rooms) > 1)
        self.note(f"alloc, {mode}, in bounds", args["last"] < space.last)
        smallest = min(rooms, key=lambda room: room.size)
        self.note("alloc, best, not the first", mode == "best" and smallest is not rooms[0])
        self.note("alloc, all of the bounds", args["last"] - args["first"] + 1 == size)
        self.note("alloc, all of a hole", any(room.size == size for room in rooms))
        self.note("alloc, the last byte of the window", any(
            room.highest + size - 1 == space.last and room.highest == room.lowest
            for room in rooms
        ))  # fmt: skip
        if args["align"] > 1:
            power = args["align"] & (args["align"] - 1) == 0
            self.note(f"alloc, {mode}, at multiples of {'a power' if power else 'another'}")
            large = [h for h in holes if h.last - h.first + 1 >= size]
            self.note("alloc, a hole has no multiple", len(large) > len(rooms))


@pytest.fixture(scope="module")
def run():
    """(how often each situation came up, what was counted)."""
    watch = Watch()
    before = Session._before

    def watched(session, operation):
        call = before(session, operation)
        watch.look(session.promise.space, call)
        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "_before", watched)
        plan = Plan(examples=EXAMPLES, shards=1)
        result = run_shard(SYSTEMS["va-alloc"], VaAllocTarget(), plan, 0)
        assert result.findings == {}
        # What is rare comes up in one of a few more runs.
        for seed in range(1, RUNS):
            if min(watch.seen[one] for one in SITUATIONS) >= 5:
                break
            run_shard(
                SYSTEMS["va-alloc"],
                VaAllocTarget(),
                Plan(examples=EXAMPLES, seed=seed, shards=1),
                0,
            )
    return watch.seen, result.tally


SITUATIONS = (
    "window from 0", "window across bit 63", "window up to the end", "more than 8 ranges",
    "no hole", "holes of one size",
    "alloc, refused, no bytes", "alloc, refused, no room",
    *(f"reserve, refused, {reason}" for reason in (
        "no bytes", "wraps", "outside the window", "taken",
    )),
    "free, refused, no such range",
    *(f"alloc, {mode}{what}" for mode in ("best", "low", "high") for what in (
        "", ", of several holes", ", in bounds", ", at multiples of a power",
        ", at multiples of another",
    )),
    "alloc, best, not the first", "alloc, all of the bounds", "alloc, all of a hole",
    "alloc, the last byte of the window", "alloc, a hole has no multiple",
    *(f"reserve {where} of a hole" for where in ("all", "head", "tail", "inside")),
    "reserve up to the window's end",
    *(f"free, hole before {before}, after {after}"
      for before in (False, True) for after in (False, True)),
    "find, something", "find, nothing", "find, starts before", "find, right behind one",
    "find, right before one",
)  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_situation_comes_up(run, situation):
    assert run[0][situation] >= 5


def test_at_least_half_of_all_operations_change_state(run):
    _, tally = run
    assert tally.examples == EXAMPLES
    assert sum(count.changed for count in tally.operations.values()) >= tally.steps / 2
    assert set(tally.operations) == set(SPECS)
    assert all(count.misuse == 0 for count in tally.operations.values())


# -- the tables -------------------------------------------------------------------------------


@pytest.mark.parametrize("window", draw.WINDOWS, ids=str)
def test_every_window_can_be_and_is_told_in_held_words(window):
    create = Operation("create", window.args())
    check(create, SPECS)
    assert possible(create, {})
    assert {name: to_unsigned(word) for name, word in create.args.items()} == {
        "start": window.start, "size": window.size,
    }  # fmt: skip


def test_lists_begin_with_the_plainest():
    assert draw.SIZES[0] == min(draw.SIZES) == 1
    assert draw.ALIGNS[0] == 0
    assert draw.BOUNDS[0] == draw.Bounds("all", (0, 0))
    assert draw.requests.pair(0) == (1, 0)
    assert draw.MODES[0] == "best"
    assert draw.mistakes.pair(0) == ("no-bytes", 0)
    assert any(align & (align - 1) for align in draw.ALIGNS)
