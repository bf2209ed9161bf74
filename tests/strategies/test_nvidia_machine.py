"""What the machine of nvidia really does: every space, operation, mishap and situation comes up."""

import errno
from collections import Counter
from contextlib import contextmanager
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.discovery import SYSTEMS
from conformance.engine import Plan, run_shard
from conformance.session import Session
from conformance.systems.nvidia import machine as machine_module
from conformance.systems.nvidia.machine import NvidiaMachine, machine_class
from conformance.systems.nvidia.operations import CHIPS, SPECS, possible
from conformance.systems.nvidia.targets import NvidiaTarget
from conformance.tally import Tally
from reference.operations import Operation, check, make
from reference.physical_layout import PFN_DIGITS, pfn_digit
from reference.pieces import ZEROS
from reference.systems.nvidia.state import NONE
from reference.words import to_unsigned
from strategies import nvidia as draw

pytestmark = pytest.mark.xdist_group("machine")

EXAMPLES, SHARDS, RUNS = 160, 8, 6
PAGE, MIDDLE, LARGE = 0x1000, 0x1_0000, 0x20_0000
NOTHING = ("unmapped", "sparse")


class Watch:
    """Looks at every call before it is made and after it, and counts the situations it is in."""

    def __init__(self):
        self.seen = Counter()
        self.steps = 0
        self.unusable = []
        self.misused = []
        self.forget()

    def forget(self):
        """Another address space."""
        self.cells = {}
        self.last = {}
        self.gets = []

    def note(self, situation, happens=True):
        self.seen[situation] += bool(happens)

    # -- before a call ------------------------------------------------------------------------

    def before(self, state, operation):
        name, args = operation.name, operation.args
        if name == "destroy":
            areas = [one for one in state.areas.values() if not one.client]
            self.note("destroy with areas left", areas)
            self.note("destroy with memory mapped", any(one.parts for one in areas))
            self.note("destroy with pages mapped one by one", state.pages)
            self.note("destroy of what was booted", state.booted)
            self.note("destroy while joined", state.instance != NONE)
            self.note("destroy of an empty address space", not areas and not state.pages)
        elif name == "raw_put":
            self.before_put(state, args)
        elif name == "pfn_map":
            self.before_pages(state, args)

    def before_put(self, state, args):
        index = state.index_of(args["shift"])
        first, last = range_of(args)
        mine = [at for at, i, a, b in self.gets if i == index and a <= last and b >= first]
        others = [
            at
            for at, i, a, b in self.gets
            if i != index and a <= last and b >= first and state.raw_holds[i].least(
                max(a, first), min(b, last)
            ) > 0
        ]  # fmt: skip
        if not mine:
            return
        self.note("put after a later get of the same page size", (
            state.raw_holds[index].least(first, last) > 1
        ))  # fmt: skip
        self.note("put after a later get of another page size", others and max(others) > min(mine))
        parts = [one for one in state.raw_parts if one.first <= last and one.last >= first]
        self.note("put of pages under a mapping of another page size", any(
            one.index != index for one in parts
        ))  # fmt: skip

    def before_pages(self, state, args):
        first, last = range_of(args)
        index, count = state.index_of(args["shift"]), to_unsigned(args["size"]) >> args["shift"]
        area = state.area_at(first)
        if area is None or index == NONE:
            return
        valid = [is_valid(args["pattern"], page) for page in range(min(count, 64))]
        runs = 1 + sum(one != two for one, two in pairwise(valid))
        self.note("pages in runs that alternate", runs > 2)
        self.note("pages that are not to be mapped, over some that are", (
            not all(valid) and area.within(first, last)
        ))  # fmt: skip
        there = area.within(first, last)
        self.note("pages over pages of another size", any(
            one.memory == NONE and one.index != index for one in there
        ))  # fmt: skip
        self.note("pages over pages", any(
            one.memory == NONE and one.index == index for one in there
        ))  # fmt: skip
        self.note("pages over memory", any(one.memory != NONE for one in there))
        self.note("pages of another size than the area's", area.index not in (NONE, index))
        self.note("pages behind an area's end", last > area.last)
        self.note("pages in a sparse area", area.sparse)
        self.note("pages where references do not come and go", not area.mapref)
        self.note("pages of 2 MiB", args["shift"] == 21)
        self.note("pages of both kinds of memory", len({
            PFN_DIGITS[pfn_digit(to_unsigned(args["pattern"]), page)][1]
            for page in range(min(count, 16)) if is_valid(args["pattern"], page)
        }) > 1)  # fmt: skip

    # -- after a call -------------------------------------------------------------------------

    def after(self, step):
        state, name, args = step.state, step.kind, step.operation.args
        result = step.result.result
        sort = step.sort if step.sort != "legal" or result == 0 else "failed"
        self.note(f"{name}, {sort}")
        if step.sort == "misuse":
            self.misused.append(step.operation)
        if name == "pfn_map" and step.seen.failed_allocations:
            self.note("pages for which there is no memory", step.result.value)
        if args.get("fail_at") and result == -errno.ENOMEM:
            self.note(f"{name} fails at allocation {args['fail_at']}")
            kind = "a table" if args["fail_at"] < 1000 else "any allocation"
            self.note(f"{name} fails at {kind}")
            self.note(f"{name} fails once something was done", step.seen.stores)
        if name == "create" and result == 0:
            self.forget()
            mode = "raw" if args["raw"] else "managed" if args["managed"] else "own"
            self.note(f"{args['chip']}, 2**{args['big']}, {mode}")
        elif name == "boot" and result == 0 and step.sort == "legal":
            shift = state.format.tables[state.format.large].shift
            self.note(f"{state.chip}, 2**{shift}, booted")
        elif name == "raw_get" and result == 0 and step.sort == "legal":
            index = state.index_of(args["shift"])
            self.gets.append((len(self.gets), index, *range_of(args)))
        if state.exists and result == 0 and step.sort == "legal":
            self.look_at_cells(state, step)
            self.look_at_sharing(state, step)
        for table in state.told_tables.values():
            self.note(f"a table below a sparse entry, level {table.level}", (
                table.sparse and step.seen.tables
            ))  # fmt: skip
        self.note(f"{name} with a stuck device", state.stuck and step.seen.stores)

    def look_at_cells(self, state, step):
        """What the operation made of the first and the last cell that it is about."""
        span = state.covers(0)
        cells = {at // span * span for one in step.ranges for at in one}
        for base in cells:
            was = self.cells.get(base, "unmapped")
            now = cell_state(state, base, base + span - 1)
            self.cells[base] = now
            if was == now and now == "unmapped":
                continue
            self.note(f"cell: {was} to {now}")
            if now not in NOTHING:
                before = self.last.get(base, now)
                self.note(f"cell: {now} some time after {before}")
                self.last[base] = now

    def look_at_sharing(self, state, step):
        """Areas that have small pages in one large entry."""
        if step.kind not in ("map", "map_part", "unmap", "put", "get"):
            return
        span = int(state.format.tables[state.format.large].span)
        small = state.small_index()
        for first, last in step.ranges:
            for edge in {first // span * span, last // span * span}:
                there = {
                    area.number
                    for area in state.areas.values()
                    if area.first < edge + span and area.last >= edge and not area.client
                    and any(one.index == small for one in area.holds()
                            if one.first < edge + span and one.last >= edge)
                }  # fmt: skip
                self.note(f"{step.kind} where areas share a large entry", len(there) > 1)

    def at_end_of_step(self, machine):
        """No step leaves the device stuck."""
        self.steps += 1
        session = machine.session
        if not session.ended and session.promise.state.stuck:
            self.unusable.append(session.operations[-1])


def range_of(args):
    first = to_unsigned(args["addr"])
    return first, first + to_unsigned(args["size"]) - 1


def is_valid(pattern, page):
    digit = pfn_digit(to_unsigned(pattern), page)
    return PFN_DIGITS[digit if digit < len(PFN_DIGITS) else 0][0]


def cell_state(state, first, last):
    """What is mapped in a cell: small, large, both, huge; sparse, or unmapped."""
    parts = [one for area in state.areas.values() for one in area.within(first, last)]
    parts += [one for one in state.raw_parts if one.first <= last and one.last >= first]
    small = state.small_index()
    sizes = {min(small - one.index, 2) for one in parts}
    if 2 in sizes:
        return "huge"
    if sizes:
        return "both" if len(sizes) > 1 else ("small", "large")[sizes.pop()]
    sparse = any(one.what == ZEROS for one in state.promise.pieces(first, last))
    return "sparse" if sparse else "unmapped"


def watched_step(watch, step):
    @contextmanager
    def watched(machine, pick):
        with step(machine, pick):
            yield
        watch.at_end_of_step(machine)

    return watched


@pytest.fixture(scope="module")
def run():
    """(what was watched, what was counted)."""
    watch, tally = Watch(), Tally()
    before, judge = Session._before, Session._judge

    def watched_before(session, operation):
        if not session._replaying:
            watch.before(session.promise.state, operation)
        return before(session, operation)

    def watched_judge(session, step):
        judge(session, step)
        if not session._replaying:
            watch.after(step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "_before", watched_before)
        patch.setattr(Session, "_judge", watched_judge)
        patch.setattr(NvidiaMachine, "_step", watched_step(watch, NvidiaMachine._step))
        for name, story in machine_module._STORIES.items():
            patch.setitem(machine_module._STORIES, name, noted(watch, f"story {name}", story))
        for name, mishap in machine_module._MISHAPS.items():
            patch.setitem(machine_module._MISHAPS, name, noted(watch, f"mishap {name}", mishap))
        for name, use in machine_module._RAWS.items():
            patch.setitem(machine_module._RAWS, name, noted(watch, f"raw {name}", use))
        for shard in range(SHARDS):
            plan = Plan(examples=EXAMPLES, shards=SHARDS)
            result = run_shard(SYSTEMS["nvidia"], NvidiaTarget(), plan, shard)
            assert result.findings == {}
            tally.add(result.tally)
        # What is rare comes up in one of a few more runs.
        for seed in range(1, RUNS):
            if min(watch.seen[one] for one in SITUATIONS) > 0:
                break
            run_shard(
                SYSTEMS["nvidia"], NvidiaTarget(), Plan(examples=EXAMPLES, seed=seed, shards=1), 0
            )
    return watch, tally


def noted(watch, what, function):
    def watched(machine, one, pick):
        watch.note(what)
        return function(machine, one, pick)

    return watched


SIZES = {"gf100": (16, 17), "gk104": (16, 17), "gm200": (16, 17), "gp100": (16,)}
MODES = ("own", "managed", "raw", "booted")
MAPPED = ("small", "large", "huge")
PAGES_OF = (
    "in runs that alternate", "that are not to be mapped, over some that are", "over pages",
    "over pages of another size", "over memory", "of another size than the area's",
    "behind an area's end", "in a sparse area", "where references do not come and go", "of 2 MiB",
    "of both kinds of memory",
)  # fmt: skip
REFUSED = set(SPECS) - {"stick", "destroy", "raw_put", "raw_map", "raw_unmap"}
"""Operations that something or other refuses; those left out are the subject of a test below."""

SITUATIONS = (
    *(f"{chip}, 2**{large}, {mode}" for chip, sizes in SIZES.items() for large in sizes
      for mode in MODES),
    *(f"{name}, legal" for name in SPECS), *(f"{name}, refused" for name in sorted(REFUSED)),
    *(f"{name}, failed" for name in ("get", "map", "map_part", "raw_get", "boot")),
    # A cell, from what to what; and once it was empty again, what else it had been.
    *(f"cell: unmapped to {now}" for now in ("sparse", *MAPPED)),
    *(f"cell: {was} to unmapped" for was in ("sparse", *MAPPED)),
    *(f"cell: sparse to {now}" for now in MAPPED), *(f"cell: {was} to sparse" for was in MAPPED),
    *(f"cell: {was} to {was}" for was in ("sparse", "both", *MAPPED)),
    *(f"cell: {was} to both" for was in ("small", "large")),
    *(f"cell: both to {now}" for now in ("small", "large", "unmapped")),
    *(f"cell: {now} some time after {was}" for now in MAPPED for was in MAPPED),
    *(f"{name} where areas share a large entry" for name in (
        "get", "map", "map_part", "unmap", "put",
    )),
    "a table below a sparse entry, level 0", "a table below a sparse entry, level 1",
    "put after a later get of the same page size", "put after a later get of another page size",
    "put of pages under a mapping of another page size",
    *(f"pages {what}" for what in PAGES_OF),
    *(f"get fails at allocation {number}" for number in (1, 2, 3, 4, 1001, 1002)),
    *(f"{name} fails at {what}" for name in ("get", "map", "map_part", "raw_get", "boot")
      for what in ("a table", "any allocation")),
    *(f"{name} fails once something was done" for name in (
        "get", "map", "map_part", "raw_get", "boot",
    )),
    "pages for which there is no memory",
    *(f"{name} with a stuck device" for name in ("map", "unmap", "put")),
    *(f"destroy {what}" for what in (
        "with areas left", "with memory mapped", "with pages mapped one by one",
        "of what was booted", "while joined", "of an empty address space",
    )),
    *(f"mishap {name}" for name in dict.fromkeys(draw.MISHAPS)),
    *(f"story {name}" for name in draw.CELLS), *(f"raw {name}" for name in dict.fromkeys(
        draw.RAW_WHATS
    )),
)  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_situation_comes_up(run, situation):
    assert run[0].seen[situation] > 0


def test_no_step_leaves_the_device_stuck(run):
    watch, _ = run
    assert watch.steps > 10 * EXAMPLES
    assert watch.unusable == []


def test_a_common_call_is_common(run):
    _, tally = run
    for name in ("get", "put", "map", "map_part", "unmap", "pfn_map", "raw_get", "raw_map"):
        count = tally.operations[name]
        assert count.legal > 1.5 * count.refused, name
        assert count.legal + count.refused == count.count


def test_at_least_half_of_all_operations_change_state(run):
    _, tally = run
    assert tally.examples == EXAMPLES
    assert sum(count.changed for count in tally.operations.values()) >= tally.steps / 2
    for name in ("get", "map", "map_part", "unmap", "put", "raw_map", "raw_unmap", "raw_put"):
        assert tally.operations[name].changed >= 0.9 * tally.operations[name].legal


def test_no_more_is_asked_than_is_there(run):
    """Every operation is one that a file may hold; no call is a misuse."""
    watch, tally = run
    assert set(tally.operations) == set(SPECS)
    assert watch.misused == []
    assert all(count.misuse == 0 for count in tally.operations.values())
    assert tally.violated == tally.cut == {}


# -- one step at a time -------------------------------------------------------------------------


class Direct(NvidiaMachine):
    """A machine that is told what to draw, on the reference."""

    def start(self):
        return SYSTEMS["nvidia"].session(NvidiaTarget(), set())

    def fail(self, violation):
        raise AssertionError(violation)

    def counted(self, field):
        return sum(getattr(one, field) for one in self.session.tally.operations.values())

    def names(self):
        return [one.name for one in self.session.operations]


def made(space=0):
    """A machine that has some of everything."""
    machine = Direct()
    machine.create(space)
    machine.do("memory", size=LARGE)
    machine.do("drop", memory=3)
    if machine.state.raw:
        machine.raw(0, numbers_of(draw.raws, "get-map", draw.raws.size)[0])
    for number, flavour in enumerate(("addr", "ptes", "lazy")):
        area = machine._get(draw.Get(flavour, False, number % 2 and 2), 32 << number)
        if area >= 0 and flavour == "addr":
            machine.do("map_part", vma=area, memory=number, first=0, size=16 * PAGE)
    return machine


def end(machine):
    machine.teardown()
    assert not machine.session.ended
    assert not machine.state.exists
    assert machine.counted("misuse") == 0
    assert machine.session.tally.violated == {}


def space_of(chip, mode):
    return next(
        number for number, one in enumerate(draw.SPACES) if (one.chip, one.mode) == (chip, mode)
    )


def numbers_of(pairs, name, count):
    """The numbers that stand for a pair with ``name``, one for each second part."""
    found = {}
    for number in range(count):
        first, second = pairs.pair(number)
        if first == name:
            found.setdefault(second, number)
    return list(found.values())


@pytest.mark.parametrize("mistake", dict.fromkeys(draw.MISTAKES))
def test_every_mistake_is_refused_and_followed_by_something_that_is_not(mistake):
    numbers = numbers_of(draw.mistakes, mistake, draw.mistakes.size)
    assert len(numbers) == 8
    refusals = 0
    for which, number in enumerate(numbers):
        machine = made((3 * which) % len(draw.SPACES))
        for pick in (which, 63 - 3 * which):
            refused, changed = machine.counted("refused"), machine.counted("changed")
            machine.mistake(pick, number)
            refusals += machine.counted("refused") - refused
            assert machine.counted("changed") > changed
        end(machine)
    assert refusals > 0


@pytest.mark.parametrize("mishap", dict.fromkeys(draw.MISHAPS))
def test_after_every_mishap_the_machine_goes_on(mishap):
    numbers = numbers_of(draw.mishaps, mishap, draw.mishaps.size)
    assert len(numbers) == 9
    for which, number in enumerate(numbers):
        machine = made((5 * which) % len(draw.SPACES))
        changed = machine.counted("changed")
        machine.mishap(7 * which % 64, number)
        assert machine.counted("changed") > changed
        assert (machine.state.exists, machine.state.stuck) == (True, False)
        machine.less(which, which)
        machine.get(which, 17 * which)
        end(machine)


@pytest.mark.parametrize("story", draw.CELLS)
def test_every_story_changes_something_in_every_form(story):
    changed = 0
    for how in range(12):
        machine = made(space_of(CHIPS[how % 4], "own"))
        machine.changed = False
        machine_module._STORIES[story](machine, how, 5 * how % 64)
        changed += machine.changed
        end(machine)
    # Not every memory can be mapped over every other.
    assert changed == 12 or (story == "remap" and changed > 6)


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("use", dict.fromkeys(draw.RAW_WHATS))
def test_every_use_of_the_raw_interface_changes_something(use, chip):
    machine = made(space_of(chip, "raw"))
    changed = 0
    for pick, where in enumerate(draw.RANGES[::2]):
        machine_module._raw_get(machine, where, 0)
        machine.changed = False
        machine_module._RAWS[use](machine, where, 7 * pick)
        changed += machine.changed
    can_be = chip in ("gm200", "gp100") or use not in ("sparse", "sparse-map")
    assert (changed > 0) is can_be
    end(machine)


@pytest.mark.parametrize("name", ["raw_put", "raw_map", "raw_unmap", "raw_get", "raw_sparse"])
def test_every_call_of_the_raw_interface_is_refused_at_times(name):
    machine = made(space_of("gp100", "raw"))
    for number in numbers_of(draw.mistakes, "raw-elsewhere", draw.mistakes.size):
        machine.mistake(0, number)
    assert machine.session.tally.operations[name].refused > 0
    end(machine)


def test_what_is_sparse_for_a_whole_table_of_directories_is_mapped_in():
    machine = made(space_of("gp100", "own"))
    number = next(
        one for one in numbers_of(draw.cells, "parents", draw.cells.size)
        if draw.cells.pair(one)[1] % 3 == 2
    )  # fmt: skip
    machine.cell(0, number)
    assert any(one.sparse and one.level == 2 for one in machine.state.told_tables.values())
    end(machine)


@pytest.mark.parametrize("mode", ["own", "managed", "raw"])
def test_where_memory_is_short_each_allocation_fails_in_turn(mode):
    failed = Counter()
    for which, number in enumerate(numbers_of(draw.mishaps, "lack", draw.mishaps.size)):
        for pick in (which, 63 - which):
            machine = made(space_of("gp100", mode))
            before = len(machine.session.results)
            machine.mishap(pick, number)
            operations = zip(
                machine.session.operations[before:], machine.session.results[before:], strict=True
            )
            failed.update(
                (one.name, one.args["fail_at"]) for one, result in operations
                if result.result == -errno.ENOMEM
            )  # fmt: skip
            end(machine)
    assert {number for _, number in failed} >= {1, 2, 3, 1001, 1002, 1003}
    names = {"raw_get", "raw_sparse"} if mode == "raw" else {"get", "map"}
    assert {name for name, _ in failed} == names


def test_the_raw_interface_is_used_while_the_device_is_stuck():
    done = Counter()
    for which, number in enumerate(numbers_of(draw.mishaps, "stuck", draw.mishaps.size)):
        machine = made(space_of("gp100", "raw"))
        before = len(machine.session.operations)
        machine.mishap(which, number)
        done.update(machine.names()[before:])
        end(machine)
    assert set(done) >= {"stick", "raw_get", "raw_map", "raw_unmap", "raw_put"}


# -- which spaces there are -----------------------------------------------------------------------


@pytest.mark.parametrize("space", [*draw.SPACES, *draw.SMALL_SPACES], ids=str)
def test_every_space_can_be(space):
    assert space.large in SIZES[space.chip]
    create = make("create", SPECS, chip=space.chip, big=space.large)
    assert possible(create, {})
    assert space.start % PAGE == space.size % PAGE == 0


def test_spaces_differ_in_all_that_matters():
    there = {(one.chip, one.large, one.mode) for one in draw.SPACES}
    assert there == {
        (chip, large, mode) for chip, sizes in SIZES.items() for large in sizes
        for mode in ("own", "managed", "raw")
    }  # fmt: skip
    assert {(one.chip, one.large) for one in draw.SMALL_SPACES} == {
        (chip, large) for chip, sizes in SIZES.items() for large in sizes
    }
    assert all(0 < one.size <= 1 << 30 and one.mode == "own" for one in draw.SMALL_SPACES)


@pytest.mark.parametrize("chip", CHIPS)
def test_a_target_gets_only_the_chips_that_it_has(chip):
    machine = machine_class({"chip": (chip,)})
    assert {one.chip for one in (*machine.spaces, *machine.small_spaces)} == {chip}
    assert {one.mode for one in machine.spaces} == {"own", "managed", "raw"}
    tame = machine_class({"chip": (chip,), "raw": (0,)})
    assert {one.mode for one in tame.spaces} == {"own", "managed"}


def test_all_chips_are_those_of_a_target_that_does_not_say():
    assert machine_class({}).spaces == draw.SPACES
    with pytest.raises(ValueError, match="allowed are gf100, gk104, gm200, gp100"):
        machine_class({"chip": ("g80",)})


# -- the tables -------------------------------------------------------------------------------


def test_the_first_memories_are_of_all_page_sizes():
    assert max(one.page for one in draw.MEMORIES[:3]) >= 21
    assert {one.target for one in draw.MEMORIES} == {0, 1, 2}
    assert any(one.scattered for one in draw.MEMORIES)
    for one in draw.MEMORIES:
        memory = {"target": one.target, "size": one.size, "page": one.page}
        check(make("memory", SPECS, **memory, scattered=one.scattered), SPECS)
        session = SYSTEMS["nvidia"].session(NvidiaTarget(), set())
        outcome = session.run(make("memory", SPECS, **memory, scattered=one.scattered))
        assert (outcome.sort, outcome.result.result) == ("legal", 0)


def test_failures_access_and_patterns_are_what_they_say():
    assert draw.FAILURES.count(0) > len(draw.FAILURES) / 2
    assert {one for one in draw.FAILURES if 0 < one < 1000} == set(range(1, 7))
    assert max(draw.FAILURES) > 1000
    assert {bit for one in draw.ACCESS for bit, on in enumerate(one) if on} == {0, 1, 2, 3}
    assert {how.access for how in draw.HOWS} == set(draw.ACCESS)
    assert {how.offset for how in draw.HOWS} == set(draw.OFFSETS)
    assert {how.fail_at for how in draw.HOWS} == set(draw.FAILURES)
    digits = {pfn_digit(pattern, page) for pattern in draw.PATTERNS for page in range(16)}
    assert digits >= set(range(len(PFN_DIGITS)))
    assert {one.flavour for one in draw.GETS} == {"ptes", "addr", "lazy"}
    assert not any(one.sparse for one in draw.GETS if one.flavour == "lazy")


@given(st.data())
def test_every_number_that_is_drawn_stands_for_a_pair(data):
    for pairs, firsts in (
        (draw.gets, draw.GETS), (draw.maps, draw.PARTS), (draw.pfns, draw.PATTERNS),
        (draw.raws, draw.RAW_WHATS), (draw.cells, draw.CELLS), (draw.mistakes, draw.MISTAKES),
        (draw.mishaps, draw.MISHAPS),
    ):  # fmt: skip
        first, second = pairs.pair(data.draw(pairs.numbers))
        assert (first in firsts, second in pairs.second) == (True, True)


def test_all_that_is_named_can_be_done():
    assert set(draw.CELLS) == set(machine_module._STORIES)
    assert set(draw.RAW_WHATS) == set(machine_module._RAWS)


class Refusing(NvidiaTarget):
    """A driver that never hands anything out, as a wrong one may."""

    def perform(self, operation, trace):
        if operation.name == "get":
            operation = Operation("get", {**operation.args, "size": 0})
        return super().perform(operation, trace)


def test_a_target_that_refuses_everything_is_asked_for_nothing_that_cannot_be_said():
    asked = []
    for number in range(0, draw.cells.size, 7):
        machine = Direct()
        machine.session = SYSTEMS["nvidia"].session(Refusing(), None)
        run = machine.session.run

        def noting(operation, run=run):
            asked.append(operation)
            return run(operation)

        machine.session.run = noting
        machine.create(number % len(draw.SPACES))
        machine.cell(number % 64, number)
        machine.get(number % 64, number)
        machine.less(number % 64, number % 64)
        machine.mishap(number % 64, number % draw.mishaps.size)
    assert sum(one.name == "get" for one in asked) > 20
    for operation in asked:
        check(operation, SPECS)
