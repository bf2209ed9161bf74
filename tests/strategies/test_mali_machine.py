"""What the machine of mali really does: every operation, mistake, mishap and situation comes up."""

import errno
from collections import Counter
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.discovery import SYSTEMS
from conformance.engine import Plan, run_shard
from conformance.session import Session
from conformance.systems.mali import machine as machine_module
from conformance.systems.mali.machine import MaliMachine
from conformance.systems.mali.operations import SPECS, possible
from conformance.systems.mali.targets import MaliTarget
from reference.formats.entry import LEAF
from reference.operations import Operation, check, make
from reference.systems.mali.state import MAP, NONE, SYNC_ONLY, UNMAP
from reference.words import to_unsigned
from strategies import mali as draw

pytestmark = pytest.mark.xdist_group("machine")

EXAMPLES, RUNS = 160, 6
PAGE = 0x1000
LARGE = 0x20_0000


def place(value, other):
    """How one address lies to another."""
    return "<" if value < other else "==" if value == other else ">"


class Watch:
    """Looks at every call before it is made and after it, and counts the situations it is in."""

    def __init__(self):
        self.seen = Counter()
        self.unusable = []
        self.steps = 0

    def note(self, situation, happens=True):
        self.seen[situation] += bool(happens)

    # -- before a call ------------------------------------------------------------------------

    def before(self, state, operation, sort, reason):
        name, args = operation.name, operation.args
        self.note(f"{name}, {sort}, {reason}" if reason else f"{name}, {sort}")
        if name == "create":
            self.note(f"a device with {args['slots']} address spaces")
            self.note("a device that is coherent" if args["coherent"] else "one that is not")
            self.note(f"a device with {args['va_bits']} bits")
        elif name in ("bind", "queue") and sort == "legal":
            self.look_at_bind(state, name, args)
        elif name == "active" and sort == "legal":
            vm = state.vms[args["vm"]]
            free = len(state.slots) - 1 - sum(one.slot > 0 for one in state.vms if one.exists)
            self.note("active of a VM with jobs", vm.active)
            self.note("active of a VM that still has its AS", not vm.active and vm.slot > 0)
            self.note("active takes the AS of another", vm.slot < 0 and free <= 0)
        elif name == "destroy_vm" and sort == "legal":
            vm = state.vms[args["vm"]]
            self.note("destroy of a VM with jobs", vm.active)
            self.note("destroy of a VM with queued binds", vm.queue)
            self.note("destroy of a VM with nodes", vm.nodes)
            self.note("destroy of an idle VM with mappings", not vm.active and len(vm.promise))
        elif name == "close" and sort == "legal":
            self.note("close of a mapped buffer", state.links(args["bo"]))
            self.note("close of an unmapped buffer", not state.links(args["bo"]))
        elif name == "close_file":
            self.note("the process ends while jobs run", any(vm.active for vm in state.vms))
        elif name == "run":
            waiting = [vm for vm in state.vms if vm.queue]
            ready = [vm for vm in waiting if state.ready(vm)]
            self.note("run with something to do", ready)
            self.note("run with something that waits", len(waiting) > len(ready))
            self.note("run of two VMs' binds", len(ready) > 1)
            self.note("run of some of it", ready and args["steps"])
            self.note("run with a reset asked for", state.reset_asked)
        elif name == "alloc" and sort == "legal":
            self.note("alloc with a buffer", args["bo"] != NONE)
            self.note("alloc anywhere", args["va"] == -1)
            self.note("alloc in its place", args["va"] != -1)
            self.note("alloc of large pages", args["size"] >= LARGE)
        elif name == "fault" and sort == "legal":
            self.note("fault of an AS that walks", state.mmu.at(args["slot"]).roots())
        self.note("four VMs at once", state.handles() >= 4)
        self.note("a buffer in two VMs", any(state.links(n) > 1 for n in range(len(state.buffers))))

    def look_at_bind(self, state, name, args):
        vm = state.vms[args["vm"]]
        first, size = to_unsigned(args["va"]), to_unsigned(args["size"])
        kind = {MAP: "map", UNMAP: "unmap", SYNC_ONLY: "wait"}[args["kind"]] if size else "nothing"
        how = f"{name}, {kind}"
        self.note(how)
        self.note(f"{how}, in use" if vm.view.walked else f"{how}, not in use")
        self.note(f"{name} while asleep", not state.powered)
        self.note(f"{name} in a reset", state.resetting)
        if name == "queue":
            fence = args["fence"]
            self.note("queue behind a fence of the process", (
                fence >= 0 and state.fences[fence].bind is None
            ))  # fmt: skip
            other = state.fences[fence].bind if fence >= 0 else None
            self.note("queue behind another bind", other is not None)
            self.note("queue behind a bind of another VM", other is not None and (
                other.vm != vm.number
            ))  # fmt: skip
            return
        if kind not in ("map", "unmap"):
            return
        last = first + size - 1
        there = vm.promise.within(first, last)
        for one in there:
            self.note(f"{kind} over A{place(one.first, first)}R, E{place(one.last, last)}Q")
        self.note(f"{kind} over {min(len(there), 3)}")
        self.note(f"{kind} up to the kernel's part", last + 1 == vm.user_end)
        levels = {vm.view.walker.translate(at) for at in (first, last)}
        fmt = vm.view.geometry.format
        large = [
            at
            for at in (first, last)
            for level, word in [vm.view.walker.translate(at)]
            if level == 2 and fmt.kind(level, word) == LEAF
        ]
        part = first % LARGE or size % LARGE
        self.note(f"{kind} over a part of a large page", large and part)
        self.note(f"{kind} over whole large pages", large and not part)
        self.note(f"{kind} across a border of 2 MiB", first // LARGE != last // LARGE)
        self.note(f"{kind} across a border of 1 GiB", first >> 30 != last >> 30)
        self.note(f"{kind} over small pages as a large one", not part and any(
            level == 3 and word for level, word in levels
        ))  # fmt: skip
        if kind == "map":
            buffer = state.buffers[args["bo"]]
            run = buffer.pages.contiguous(args["offset"])
            self.note("map of several pieces", run < size)
            self.note("map of one piece", run >= size)
            self.note("map of a buffer of this VM's alone", buffer.vm != NONE)
            self.note(f"map with flags {args['flags']}")
            self.note("map of a large page", not (first | run) % LARGE and size >= LARGE)

    # -- after a call -------------------------------------------------------------------------

    def after(self, step):
        name, args, result = step.kind, step.operation.args, step.result.result
        fail_at = args.get("fail_at", 0)
        if fail_at:
            kind = "unmap" if args["kind"] else "map"
            self.note(f"{kind} fails at allocation {fail_at}", result == -errno.ENOMEM)
            self.note(f"{kind} needs less than is made to fail", result == 0)
        self.note(f"{name} times out", result == -errno.ETIMEDOUT)
        for _, number, ended in step.seen.fences:
            bind = step.state.fences[number].bind
            if bind is not None:
                said = errno.errorcode.get(-ended, "success")
                self.note(f"a queued bind ends with {said}")
        self.note(f"{name} asks for a reset", step.seen.asked >= 0)
        self.note(f"{name} loses registers", step.seen.lost_registers)
        if name == "vm":
            self.note(f"vm made in a {'reset' if step.state.resetting else 'time of peace'}")

    def at_end_of_step(self, machine):
        """No step leaves the device asleep, stuck, or in a reset."""
        self.steps += 1
        if machine.session.promise.made is None or machine.session.ended:
            return
        state = machine.state
        usable = state.unplugged or (
            state.is_up() and not state.may_time_out and not state.reset_asked
        )
        if not usable:
            self.unusable.append(machine.session.operations[-1])


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
    watch = Watch()
    before, judge = Session._before, Session._judge

    def watched_before(session, operation):
        call = before(session, operation)
        watch.before(session.promise.state, operation, call.sort, call.reason)
        return call

    def watched_judge(session, step):
        judge(session, step)
        watch.after(step)

    def watched_mishap(name, mishap):
        def watched(machine, vm, pick):
            watch.note(f"mishap {name}")
            mishap(machine, vm, pick)

        return watched

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "_before", watched_before)
        patch.setattr(Session, "_judge", watched_judge)
        patch.setattr(MaliMachine, "_step", watched_step(watch, MaliMachine._step))
        for name, mishap in machine_module._MISHAPS.items():
            patch.setitem(machine_module._MISHAPS, name, watched_mishap(name, mishap))
        result = run_shard(SYSTEMS["mali"], MaliTarget(), Plan(examples=EXAMPLES, shards=1), 0)
        assert result.findings == {}
        # What is rare comes up in one of a few more runs.
        for seed in range(1, RUNS):
            if min(watch.seen[one] for one in SITUATIONS) > 0:
                break
            run_shard(
                SYSTEMS["mali"], MaliTarget(), Plan(examples=EXAMPLES, seed=seed, shards=1), 0
            )
    return watch, result.tally


SHAPES = tuple(f"A{start}R, E{end}Q" for start in ("<", "==", ">") for end in ("<", "==", ">"))
BOTH = ("map", "unmap")

SITUATIONS = (
    "a device that is coherent", "one that is not",
    *(f"a device with {bits} bits" for bits in (32, 33, 36, 39, 48)),
    *(f"a device with {slots} address spaces" for slots in (2, 3, 4, 8)),
    *(f"{name}, legal" for name in SPECS if name != "unplug"),
    "four VMs at once", "a buffer in two VMs",
    "active of a VM with jobs", "active of a VM that still has its AS",
    "active takes the AS of another", "active times out", "active asks for a reset",
    "active, refused, device cannot be used",
    *(f"{name}, {kind}, {how}" for name in ("bind", "queue") for kind in BOTH
      for how in ("in use", "not in use")),
    "bind in a reset", "queue in a reset",
    "bind, nothing", "queue, nothing", "bind times out", "bind asks for a reset",
    *(f"{name} over {shape}" for name in BOTH for shape in SHAPES),
    *(f"{name} over {count}" for name in BOTH for count in (0, 1, 2)), "map over 3",
    *(f"{name} {what}" for name in BOTH for what in (
        "up to the kernel's part", "across a border of 2 MiB", "over a part of a large page",
        "over small pages as a large one",
    )),
    "map across a border of 1 GiB", "map over whole large pages", "map of a large page",
    "map of one piece", "map of several pieces", "map of a buffer of this VM's alone",
    *(f"map with flags {flags}" for flags in (0, 1, 2, 4, 5, 7)),
    *(f"map fails at allocation {number}" for number in range(1, 8)),
    *(f"unmap fails at allocation {number}" for number in (1, 2)),
    "map needs less than is made to fail", "unmap needs less than is made to fail",
    "queue behind a fence of the process", "queue behind another bind",
    "queue behind a bind of another VM",
    *(f"a queued bind ends with {end}" for end in ("success", "ECANCELED", "ETIMEDOUT")),
    "run of some of it", "run of two VMs' binds", "run with a reset asked for",
    "run with something that waits", "run with something to do", "run loses registers",
    "run asks for a reset",
    "destroy of a VM with jobs", "destroy of a VM with nodes",
    "destroy of a VM with queued binds", "destroy of an idle VM with mappings",
    "close of a mapped buffer", "close of an unmapped buffer", "the process ends while jobs run",
    "alloc with a buffer", "alloc anywhere", "alloc in its place", "alloc of large pages",
    "fault of an AS that walks", "suspend loses registers", "post_reset loses registers",
    "vm made in a reset",
    *(f"mishap {name}" for name in ("fault", "slow", "stuck", "reset", "reset-between")),
)  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_situation_comes_up(run, situation):
    assert run[0].seen[situation] > 0


def test_every_step_leaves_the_device_usable(run):
    watch, _ = run
    assert watch.steps > 10 * EXAMPLES
    assert watch.unusable == []


def test_a_common_call_is_common(run):
    _, tally = run
    for name in ("bind", "queue", "active", "idle", "destroy_vm", "bo"):
        count = tally.operations[name]
        assert count.legal > 2 * count.refused, name
        assert count.legal + count.refused == count.count
    assert run[0].seen["map of one piece"] > run[0].seen["map of several pieces"]


def test_at_least_half_of_all_operations_change_state(run):
    _, tally = run
    assert tally.examples == EXAMPLES
    assert sum(count.changed for count in tally.operations.values()) >= tally.steps / 2
    assert tally.operations["bind"].changed >= tally.operations["bind"].legal / 2


def test_no_more_is_asked_than_is_there(run):
    """Every operation is one that a file may hold; no call is a misuse."""
    _, tally = run
    assert set(tally.operations) <= set(SPECS)
    assert all(count.misuse == 0 for count in tally.operations.values())
    assert tally.violated == tally.cut == {}


# -- one step at a time -------------------------------------------------------------------------


class Direct(MaliMachine):
    """A machine that is told what to draw, on the reference."""

    def start(self):
        return SYSTEMS["mali"].session(MaliTarget(), set())

    def fail(self, violation):
        raise AssertionError(violation)

    def counted(self, field):
        return sum(getattr(one, field) for one in self.session.tally.operations.values())


def made(device=0):
    """A machine that has some of everything: what is gone, too."""
    machine = Direct()
    machine.create(device)
    machine.do("alloc", vm=0, size=4 * PAGE)
    machine.do("vm")
    machine.do("bo", vm=1, size=4 * PAGE)
    machine.do("destroy_vm", vm=2)
    machine.do("bo")
    machine.do("close", bo=4)
    machine.do("signal", fence=machine.ask("fence"))
    return machine


def numbers_of(pairs, name, count):
    """The numbers that stand for a pair with ``name``, one for each second part."""
    found = {}
    for number in range(count):
        first, second = pairs.pair(number)
        if first == name:
            found.setdefault(second, number)
    return list(found.values())


def numbers_of_second(pairs, value):
    """The numbers that stand for a pair with ``value`` as its second part."""
    return [number for number in range(pairs.size) if pairs.pair(number)[1] == value]


@pytest.mark.parametrize("mistake", dict.fromkeys(draw.MISTAKES))
def test_every_mistake_is_refused_and_followed_by_something_that_is_not(mistake):
    numbers = numbers_of(draw.mistakes, mistake, 8 * len(draw.MISTAKES))
    assert len(numbers) == 8
    for which, number in enumerate(numbers):
        machine = made(which % len(draw.DEVICES))
        for pick in (which, 63 - 3 * which):
            refused, changed = machine.counted("refused"), machine.counted("changed")
            machine.mistake(pick, number)
            # A bind of nothing is no error.
            assert (machine.counted("refused") > refused) == (mistake != "empty")
            assert machine.counted("changed") > changed
        machine.teardown()
        assert machine.counted("misuse") == 0


@pytest.mark.parametrize("mishap", dict.fromkeys(draw.MISHAPS))
def test_after_every_mishap_the_device_works_again(mishap):
    numbers = numbers_of(draw.mishaps, mishap, 8 * len(draw.MISHAPS))
    assert len(numbers) == 8
    for which, number in enumerate(numbers):
        machine = made(which % len(draw.DEVICES))
        machine.bind_in_use(which, 100 + which)
        machine.mishap(8 * which + 3 + which % 5, number)
        state = machine.state
        assert state.is_up()
        assert (state.may_time_out, state.reset_asked) == (False, False)
        machine.bind_in_use(which, 7)
        machine.jobs(which, number % 64)
        machine.teardown()
        assert not any(vm.exists for vm in machine.state.vms)
        assert machine.counted("misuse") == 0


BETWEEN = {"reset-between": ("pre_reset", "post_reset"), "suspend-between": ("suspend", "resume")}


@pytest.mark.parametrize("mishap", BETWEEN)
def test_while_the_device_cannot_be_used_the_process_goes_on(mishap):
    begin, end = BETWEEN[mishap]
    between = Counter()
    for which, number in enumerate(numbers_of(draw.mishaps, mishap, 8 * len(draw.MISHAPS))):
        machine = made(which % len(draw.DEVICES))
        machine.bind_in_use(which, 40 + which)
        machine.mishap(which, number)
        names = [one.name for one in machine.session.operations]
        between.update(names[names.index(begin) : names.index(end)])
        machine.teardown()
    assert set(between) >= {"bind", "queue", "run", "active", "vm"}


def test_late_in_an_example_the_device_may_go_and_the_machine_goes_on():
    machine = made()
    for number in range(20):
        machine.bind(number, number)
        machine.queue(number, 3 * number)
    (number, *_) = numbers_of(draw.mishaps, "unplug", 8 * len(draw.MISHAPS))
    machine.mishap(5, number)
    assert machine.state.unplugged
    for pick in range(4):
        for rule in (machine.bind, machine.unbind, machine.jobs, machine.nodes, machine.vms,
                     machine.queue, machine.mishap, machine.bind_large):  # fmt: skip
            rule(pick, pick)
    machine.teardown()
    assert not machine.session.ended


def test_every_way_to_use_whole_vms_and_nodes_does_something():
    cases = (
        (draw.vms, "vms", draw.VMS, len(draw.VMS) * len(draw.USER_PARTS)),
        (draw.nodes, "nodes", draw.NODES, len(draw.NODES) * 8),
    )
    for pairs, rule, firsts, count in cases:
        for first in dict.fromkeys(firsts):
            for which, number in enumerate(numbers_of(pairs, first, count)):
                machine = made(which % len(draw.DEVICES))
                changed = machine.counted("changed")
                getattr(machine, rule)(which, number)
                assert machine.counted("changed") > changed
                machine.teardown()


@pytest.mark.parametrize("how", draw.SMALL)
@pytest.mark.parametrize("device", range(len(draw.DEVICES)))
def test_small_pages_in_a_whole_large_one_go_at_once_while_a_job_runs(how, device):
    machine, watch = made(device), Watch()
    run = machine.session.run

    def watched(operation):
        if operation.name == "bind":
            watch.look_at_bind(machine.state, operation.name, operation.args)
        return run(operation)

    machine.session.run = watched
    (number, *_) = numbers_of_second(draw.larges, how)
    machine.bind_large(device, number)
    kind = "unmap" if how & 2 else "map"
    assert watch.seen[f"{kind} over small pages as a large one"] == 1
    assert watch.seen[f"bind, {kind}, in use"] >= 1
    machine.teardown()


# -- the tables -------------------------------------------------------------------------------


@pytest.mark.parametrize("device", draw.DEVICES, ids=str)
def test_every_device_can_be(device):
    va_bits, pa_bits, slots, coherent = device
    create = Operation("create", {
        "va_bits": va_bits, "pa_bits": pa_bits, "slots": slots, "coherent": coherent,
    })  # fmt: skip
    check(create, SPECS)
    assert possible(create, {})
    # One AS is the firmware's, and one has to be left.
    assert slots >= 2


def test_devices_differ_in_all_that_matters():
    assert {va_bits for va_bits, *_ in draw.DEVICES} >= {32, 33, 39, 48}
    assert {coherent for *_, coherent in draw.DEVICES} == {0, 1}
    # With two address spaces every second VM takes that of the first.
    assert min(slots for _, _, slots, _ in draw.DEVICES) == 2


def test_the_first_buffers_are_in_whole_and_in_pieces_and_of_large_pages():
    first = draw.BUFFERS[:3]
    assert any(size >= LARGE and not pieces for size, pieces, _ in first)
    assert any(size >= LARGE and pieces == 1 for size, pieces, _ in first)
    assert not any(private for *_, private in first)
    for size, pieces, _ in draw.BUFFERS:
        check(make("bo", SPECS, size=size, pieces=pieces), SPECS)
        assert size % PAGE == 0


def test_flags_places_and_failures_are_what_they_say():
    assert draw.FLAGS[0] == draw.FAILURES[0] == draw.PLACES[0] == 0
    assert {bit for flags in draw.FLAGS for bit in (1, 2, 4) if flags & bit} == {1, 2, 4}
    assert all(0 <= flags < 8 for flags in draw.FLAGS)
    assert set(draw.FAILURES) == set(range(9))
    assert draw.FAILURES.count(0) > len(draw.FAILURES) / 2
    assert set(draw.CUT_FAILURES) == set(range(7))
    assert draw.CUT_FAILURES.count(0) > len(draw.CUT_FAILURES) / 2
    assert any(place < 0 for place in draw.PLACES)
    assert all(place % PAGE == 0 for place in draw.PLACES)
    for values, field in (
        (draw.COUNTS, "pages"), (draw.OFFSETS, "offset"), (draw.FLAGS, "flags"),
        (draw.FAILURES, "fail_at"),
    ):  # fmt: skip
        assert {getattr(shape, field) for shape in draw.SHAPES} == set(values)


@given(st.data())
def test_every_number_that_is_drawn_stands_for_a_pair(data):
    where, shape = draw.binds.pair(data.draw(draw.binds.numbers))
    assert (where in draw.PLACES, shape in draw.SHAPES) == (True, True)
    part, fail_at = draw.parts.pair(data.draw(draw.parts.numbers))
    assert (part in draw.PARTS, fail_at in draw.FAILURES) == (True, True)
    part, fail_at = draw.cuts.pair(data.draw(draw.cuts.numbers))
    assert (part in draw.PARTS, fail_at in draw.CUT_FAILURES) == (True, True)
    mistake, which = draw.mistakes.pair(data.draw(draw.mistakes.numbers))
    assert (mistake in draw.MISTAKES, which in range(8)) == (True, True)
    mishap, which = draw.mishaps.pair(data.draw(draw.mishaps.numbers))
    assert (mishap in draw.MISHAPS, which in range(8)) == (True, True)


def test_all_that_is_named_can_be_done():
    assert set(draw.MISHAPS) == set(machine_module._MISHAPS)


class Refusing(MaliTarget):
    """A driver that has no addresses to give in the kernel's part, as a wrong one may."""

    def perform(self, operation, trace):
        if operation.name == "alloc":
            operation = Operation("alloc", {**operation.args, "size": 1})
        return super().perform(operation, trace)


def test_a_target_that_refuses_everything_is_asked_for_nothing_that_cannot_be_said():
    machine = made()
    machine.session = SYSTEMS["mali"].session(Refusing(), None)
    machine.create(0)
    asked = []
    run = machine.session.run

    def noting(operation):
        asked.append(operation)
        return run(operation)

    machine.session.run = noting
    for number in range(draw.nodes.size):
        machine.nodes(number % 5, number)
    assert sum(one.name == "alloc" for one in asked) > 20
    for operation in asked:
        check(operation, SPECS)
