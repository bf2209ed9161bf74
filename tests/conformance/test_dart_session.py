"""Calls of system dart by hand: what the reference does, and what the views say of it."""

import errno

import pytest

from conformance.discovery import SYSTEMS
from conformance.engine import Plan, run_shard
from conformance.registry import make_target
from conformance.systems.dart.rules import DART
from conformance.systems.dart.targets import DartTarget
from reference.operations import from_json, make
from reference.systems.dart.device import BYPASS, DISABLED, TRANSLATE
from reference.systems.dart.promise import BLOCKED, DMA, IDENTITY, UNMANAGED
from reports.counterexample import Segment

SYSTEM = SYSTEMS["dart"]
PAGE = 0x4000
PA = 0x8_4000_0000
TIMED_OUT = -errno.ETIMEDOUT


class World:
    """A session on the reference; each call has to keep every rule."""

    def __init__(self, **units):
        self.session = SYSTEM.session(DartTarget(), set())
        self.ask("create", **units)
        for unit in range(len(self.state.units)):
            self.ask("probe", unit=unit)

    @property
    def state(self):
        return self.session.promise.state

    def ask(self, name, **args):
        """The result, or the value where there is one."""
        outcome = self.session.run(make(name, SYSTEM.specs, **args))
        assert not outcome.violations, outcome.violations
        return outcome.result.result or outcome.result.value

    def stream(self, unit, number):
        return self.state.units[unit].streams[number]

    def modes(self, *streams):
        return [self.stream(*one).mode for one in streams]

    def spaces(self, unit, number):
        """The domains from which a stream may have something."""
        loaded = self.stream(unit, number).loaded
        return [one.number for one in self.state.domains if int(one.space.number) in loaded]


@pytest.fixture
def two():
    """A device behind two units, in a domain with a page mapped; another domain beside it."""
    world = World()
    world.ask("device", unit=0, stream=0, unit2=1, stream2=1)
    world.ask("domain")
    world.ask("domain", kind=UNMANAGED)
    world.ask("attach", domain=0)
    world.ask("map", domain=0, iova=0, size=PAGE, pa=PA)
    return world


def test_two_units_walk_one_table(two):
    assert two.modes((0, 0), (1, 1), (0, 1)) == [TRANSLATE, TRANSLATE, DISABLED]
    assert two.stream(0, 0).roots == two.stream(1, 1).roots


def test_a_stream_that_moves_has_nothing_of_its_former_domain(two):
    assert two.spaces(0, 0) == [0]
    two.ask("attach", domain=1)
    assert two.spaces(0, 0) == two.spaces(1, 1) == [1]
    assert two.ask("translate", domain=0, iova=0x123) == PA + 0x123


def test_two_domains_compete_for_a_stream(two):
    for _ in range(3):
        for domain in (1, 0):
            two.ask("attach", domain=domain)
            assert two.spaces(0, 0) == two.spaces(1, 1) == [domain]


def test_a_detached_stream_is_blocked_and_has_no_roots(two):
    two.ask("detach")
    assert two.modes((0, 0), (1, 1)) == [DISABLED, DISABLED]
    assert set(two.stream(0, 0).roots) == {-1}
    assert two.spaces(0, 0) == []
    assert two.ask("map", domain=0, iova=PAGE, size=PAGE, pa=PA) == 0


def test_nothing_is_mapped_before_the_first_attach(two):
    assert two.ask("map", domain=1, iova=0, size=PAGE, pa=PA) == -errno.ENODEV
    assert two.ask("translate", domain=1) == 0
    assert two.ask("unmap", domain=1, iova=0, size=PAGE) == 0
    assert two.ask("free", domain=1) == 0


@pytest.mark.parametrize("unit", [0, 1])
def test_an_attach_that_times_out_leaves_both_units_as_they_were(two, unit):
    before = list(two.stream(0, 0).roots)
    two.ask("stick", unit=unit, polls=150)
    assert two.ask("attach", domain=1) == TIMED_OUT
    assert two.stream(0, 0).roots == two.stream(1, 1).roots == before
    assert two.modes((0, 0), (1, 1)) == [TRANSLATE, TRANSLATE]
    assert two.ask("attach", domain=1) == 0


@pytest.mark.parametrize("unit", [0, 1])
def test_one_unit_that_does_not_answer_keeps_the_other_judged(two, unit):
    two.ask("stick", unit=unit, polls=150)
    two.ask("unmap", domain=0, iova=0, size=PAGE)
    stuck, other = ((0, 0), (1, 1)) if unit == 0 else ((1, 1), (0, 0))
    assert two.session.promise.state.seen.timed_out == {unit}
    assert two.stream(*stuck).context.tlb.leaves_in(0, PAGE - 1)
    assert not two.stream(*other).context.tlb.leaves_in(0, PAGE - 1)


def test_a_domain_waits_for_a_unit_that_may_walk_its_tables(two):
    two.ask("stick", unit=1, polls=250)
    two.ask("detach")
    assert two.ask("free", domain=0) == TIMED_OUT
    assert two.ask("free", domain=0) == 0


def test_memory_that_runs_out_at_any_table():
    # Four roots, and a lower table.
    world = World(page=0x1000, units=1)
    world.ask("device")
    world.ask("domain")
    for fail_at in range(1, 5):
        assert world.ask("attach", fail_at=fail_at) == -errno.ENOMEM
        assert world.modes((0, 0)) == [DISABLED]
        assert world.ask("map", size=0x1000) == -errno.ENODEV
    assert world.ask("attach", fail_at=5) == 0
    assert world.ask("map", size=0x1000, fail_at=1) == -errno.ENOMEM
    assert world.ask("map", iova=0x1F_F000, size=0x2000, fail_at=2) == -errno.ENOMEM
    assert world.ask("translate", iova=0x1F_F000) == 0


def test_sleep_keeps_what_is_attached_and_mapped(two):
    roots = list(two.stream(0, 0).roots)
    two.ask("suspend")
    assert two.modes((0, 0)) == [DISABLED]
    two.ask("resume")
    assert two.modes((0, 0), (1, 1)) == [TRANSLATE, TRANSLATE]
    assert two.stream(0, 0).roots == roots


def test_a_unit_that_was_locked_meanwhile_stays_off(two):
    two.ask("suspend")
    two.ask("lock", unit=1)
    assert two.ask("resume") == -errno.EINVAL
    assert two.modes((0, 0), (1, 1)) == [TRANSLATE, DISABLED]
    two.ask("lock", unit=1, on=0)
    assert two.ask("resume") == 0
    assert two.modes((1, 1)) == [TRANSLATE]


def test_a_locked_unit_is_not_probed():
    world = World(units=1)
    world.ask("remove")
    world.ask("lock")
    assert world.ask("probe") == -errno.EINVAL


def test_devices_that_share_a_stream_are_one_group(two):
    assert two.ask("device", unit=0, stream=0, count=2, unit2=1, stream2=2) == 0
    assert two.modes((0, 1), (1, 2)) == [TRANSLATE, TRANSLATE]
    assert two.ask("device", unit=0, stream=5) == 1
    assert two.ask("device", unit=0, stream=5, count=1, unit2=1, stream2=1) == -errno.EINVAL
    two.ask("release", device=0)
    assert two.modes((0, 0), (1, 1), (1, 2)) == [TRANSLATE, DISABLED, TRANSLATE]


def test_bypass_by_the_unit_and_by_a_table():
    world = World(bypass=1, window=3)
    world.ask("device", unit=0, unit2=1)
    world.ask("domain", kind=IDENTITY)
    assert world.ask("attach") == 0
    assert world.modes((0, 0), (1, 0)) == [BYPASS, TRANSLATE]
    assert world.ask("translate", iova=0x1234) == 0x1234


def test_bypass_that_cannot_be_had():
    world = World(bypass=1)
    world.ask("device", unit=1)
    world.ask("domain", kind=IDENTITY)
    world.ask("domain", kind=BLOCKED)
    assert world.ask("attach", domain=0) == -errno.EINVAL
    assert world.ask("attach", domain=1) == 0
    assert World(bypass=1, mixes="refuse").ask("device", unit=0, unit2=1) == -errno.EINVAL


def test_the_last_page_of_42_bits():
    world = World(part="t8110", ias=42)
    world.ask("device", unit=0, stream=0, unit2=1, stream2=3)
    world.ask("domain")
    assert world.ask("attach") == 0
    assert world.ask("map", iova=(1 << 42) - PAGE, size=PAGE, pa=PA) == 0
    assert world.ask("translate", iova=(1 << 42) - 1) == PA + PAGE - 1
    assert [
        unit.device.tcr[number] for unit, number in zip(world.state.units, (0, 3), strict=True)
    ] == [9, 9]


def test_pages_larger_than_the_cpus_force_bypass():
    world = World(cpu_page=0x1000)
    world.ask("device")
    world.ask("domain", kind=DMA)
    world.ask("domain", kind=IDENTITY)
    assert world.ask("attach", domain=0) == -errno.EINVAL
    assert world.ask("attach", domain=1) == 0


def test_units_of_two_page_sizes_have_no_device_together():
    world = World(page=0x1000, cpu_page=0x1000, odd=2)
    assert world.ask("device", unit=0, unit2=1) == -errno.EINVAL


@pytest.mark.parametrize("code", [1, 0x10, 0x18, 0x7FFF])
@pytest.mark.parametrize("part", ["t8020", "t8110"])
def test_errors_are_told_as_they_were(part, code):
    world = World(part=part, ias=32)
    world.ask("fault", unit=1, stream=9, code=code, address=0x1_2345_6000)
    seen = world.session.promise.state.seen
    assert [one[1:] for one in seen.told] == [(1 << 16 | 9, code, 0x1_2345_6000)]
    assert world.state.units[1].device.error == 0


def test_flags_that_cannot_be_enforced_are_ignored(two):
    assert two.ask("map", domain=0, iova=PAGE, size=PAGE, pa=PA, prot=0x1B) == 0


@pytest.mark.parametrize("name", ["map", "unmap", "translate"])
def test_addresses_beyond_the_input_size_reach_nothing(two, name):
    args = {} if name == "translate" else {"size": PAGE}
    two.ask(name, domain=0, iova=(1 << 32) + PAGE, **args)
    assert two.ask("translate", domain=0, iova=PAGE) == 0
    two.ask("unmap", domain=0, iova=1 << 32, size=PAGE)
    assert two.ask("translate", domain=0, iova=0) == PA


def test_streams_are_lanes_of_the_drawing(two):
    target = make_target("mutant:unmap-flushes-one-unit")
    operations = [*two.session.operations, make("unmap", SYSTEM.specs, domain=0, size=PAGE)]
    session = SYSTEM.session(target, set())
    for operation in operations[:-1]:
        session.run(operation)
    views = SYSTEM.make_views(session, operations)
    session.frozen_on = ("TL-1", "unmap, stale leaf")
    broken = session.run(operations[-1]).violations
    told = views.after(broken[0])
    assert [one.access for one in told.hardware_before] == [
        "rw-., unit 0 stream 0", "rw-., unit 1 stream 1",
    ]  # fmt: skip
    assert told.hardware_after == (Segment(0, PAGE - 1, PA, "cached, unit 1 stream 1", PAGE),)


# -- runs -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference():
    """A run of the reference, and more where an operation did not come up."""
    target = make_target("reference", system="dart")
    result = run_shard(SYSTEM, target, Plan(examples=120, shards=1), 0)
    for seed in range(1, 6):
        if set(result.tally.operations) == set(SYSTEM.specs):
            break
        more = run_shard(SYSTEM, target, Plan(examples=120, seed=seed, shards=1), 0)
        assert more.findings == {}
        result.tally.add(more.tally)
    return result


def test_the_reference_holds(reference):
    assert reference.findings == {}
    assert reference.complete


@pytest.mark.parametrize("rule", [rule.id for rule in DART])
def test_no_rule_is_vacuous(reference, rule):
    assert reference.tally.checked[rule] > 0


def test_every_operation_is_done_and_most_steps_change_something(reference):
    counts = reference.tally.operations
    assert set(counts) == set(SYSTEM.specs)
    assert sum(count.changed for count in counts.values()) / reference.tally.steps >= 0.8
    refused = {name for name, count in counts.items() if count.refused}
    assert {"probe", "remove", "device", "domain", "free", "attach", "map"} <= refused
    assert counts["map"].misuse > 0
    assert counts["unmap"].misuse > 0


def test_an_operation_is_what_its_json_says():
    one = from_json({"op": "device", "unit": 1, "unit2": "none"}, SYSTEM.specs)
    assert one.number("unit2") == -1
