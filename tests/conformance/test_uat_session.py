"""One example of a UAT driver: how calls are sorted, what both sides do, how it is told."""

import errno

import pytest

from conformance.discovery import SYSTEMS
from conformance.make_counterexample import counterexample_of
from conformance.mutants.mutant import load
from conformance.registry import make_target
from conformance.rules.rule import LEGAL, REFUSED
from conformance.systems.uat import mutants
from conformance.systems.uat.operations import SPECS
from conformance.systems.uat.rules import UAT
from conformance.systems.uat.targets import UatTarget
from reference.operations import Result, make
from reference.systems.uat import device as d
from reference.trace import BARRIER, STORE
from reports import terminal

SYSTEM = SYSTEMS["uat"]
PAGE = d.PAGE
ORDERS = ("sc", "tso", "weak")
MACHINES = [(order, flushes) for order in ORDERS for flushes in (1, 0)]


def op(name, **args):
    return make(name, SPECS, **args)


def create(order="sc", flushes=1, **more):
    return op("create", order=order, switch_flushes=flushes, **more)


def session_after(*operations, target=None):
    """A session in which these operations were done without a violation."""
    session = SYSTEM.session(target or UatTarget(), set())
    for operation in operations:
        outcome = session.run(operation)
        assert [one.identity for one in outcome.violations] == []
    return session


def results(session):
    return [one.result for one in session.results]


CACHED = op("map_in_range", vm=0, prot="gpu-fw-priv-rw", size=2 * PAGE)
KERNEL_CACHED = op("map_in_range", vm=-1, prot="fw-priv-rw", size=2 * PAGE)
IN_USE = (op("vm"), op("bind"), CACHED, op("fw_touch"), op("fw_run", steps=24))


@pytest.mark.parametrize(("order", "flushes"), MACHINES)
def test_a_cached_page_in_use_is_dropped(order, flushes):
    session = session_after(create(order, flushes), *IN_USE)
    assert session.promise.state.inside == 1
    assert session.promise.state.mappings[0].may_hold
    begin = len(session.trace)
    session.run(op("drop"))
    kinds = [event.kind for event in list(session.trace)[begin:]]
    # Uncached, invalidated, cleaned, unmapped, invalidated.
    order_of = [kind for kind in kinds if kind in (STORE, BARRIER, d.TLBI, d.DSB, d.CLEANED)]
    assert order_of == [
        STORE, STORE, BARRIER, d.TLBI, d.DSB, STORE, STORE, BARRIER, d.CLEANED,
        STORE, STORE, BARRIER, d.TLBI, d.DSB,
    ]  # fmt: skip
    assert session.finish().violations == []


@pytest.mark.parametrize(("order", "flushes"), MACHINES)
def test_the_kernels_part_is_always_cleaned(order, flushes):
    session = session_after(create(order, flushes), KERNEL_CACHED)
    session.run(op("drop"))
    cleaned = [event for event in session.trace if event.kind == d.CLEANED]
    assert [(event.a, event.c) for event in cleaned] == [(d.KERNEL_ENTRY, 2 * PAGE)]
    assert session.finish().violations == []


@pytest.mark.parametrize("order", ORDERS)
def test_who_is_not_inside_is_cleaned_only_where_a_switch_flushes_nothing(order):
    for flushes in (1, 0):
        session = session_after(create(order, flushes), op("vm"), op("bind"), CACHED, op("drop"))
        cleaned = [event for event in session.trace if event.kind == d.CLEANED]
        # A context that is given is cleaned before, and the range when it is dropped.
        assert len(cleaned) == (0 if flushes else 2)


def test_a_firmware_that_does_not_answer():
    session = session_after(create(), KERNEL_CACHED, op("drop", mute=1))
    assert results(session)[-1] == -errno.ETIMEDOUT
    # It stays, not cached, and goes later.
    assert session.promise.state.mappings[0].open
    session.run(op("drop"))
    assert results(session)[-1] == 0
    assert session.finish().violations == []


def test_a_firmware_that_stays_in_a_context():
    stays = (op("vm"), op("vm"), op("bind", vm=0), op("fw_enter"), op("fw_run", steps=24))
    for name in ("bind", "destroy_vm"):
        number = 1 if name == "bind" else 0
        session = session_after(create(contexts=2), *stays, op("unbind"))
        session.run(op(name, vm=number, mute=1))
        assert results(session)[-1] == -errno.ETIMEDOUT
        # Without mute it leaves, and is waited for.
        session.run(op(name, vm=number))
        assert results(session)[-1] == 0
        assert session.finish().violations == []


STAYS = (
    create("tso", flushes=0, contexts=4),
    op("vm"), op("bind"), op("vm"), op("bind", vm=1), op("map_at", va=PAGE, size=PAGE),
    op("fw_touch"), op("drop"), op("switch", at=1, steps=2), op("unbind"),
)  # fmt: skip


def test_a_firmware_that_comes_into_a_context_in_the_course_of_the_call():
    session = session_after(*STAYS)
    assert session.promise.state.inside != 1
    outcome = session.run(op("destroy_vm", mute=1))
    assert results(session)[-1] == -errno.ETIMEDOUT
    assert outcome.violations == []
    assert session.finish().violations == []


def test_a_vm_whose_context_the_firmware_is_not_in_has_to_go():
    class Impatient(UatTarget):
        def do_destroy_vm(self, vm, mute):
            return Result(-errno.ETIMEDOUT, 0)

    session = session_after(create(), op("vm"), op("bind"), op("unbind"), target=Impatient())
    (violation,) = session.run(op("destroy_vm", mute=1)).violations
    assert violation.identity == ("ER-1", "destroy_vm, legal, returned ETIMEDOUT")


def test_a_vm_keeps_its_context_until_others_needed_it():
    vms = [op("vm"), op("vm"), op("vm")]
    session = session_after(create(contexts=3), *vms, op("bind", vm=0), op("unbind", vm=0))
    session.run(op("bind", vm=0))
    assert session.results[-1].value == 1
    session.run(op("unbind", vm=0))
    for vm, context in ((1, 2), (2, 1), (0, None)):
        session.run(op("bind", vm=vm))
        if context is None:
            assert results(session)[-1] == -512
        else:
            assert session.results[-1].value == context
    session.run(op("unbind", vm=1))
    session.run(op("bind", vm=0))
    assert session.results[-1].value == 2
    assert session.finish().violations == []


REFUSED_CALLS = [
    (op("map_at", va=0, size=PAGE), "no room", errno.ENOSPC),
    (op("map_at", va=PAGE, size=0), "no room", errno.ENOSPC),
    (op("map_at", va=PAGE + 8), "not whole pages", errno.EINVAL),
    (op("map_at", va=PAGE, size=PAGE + 8), "not whole pages", errno.EINVAL),
    (op("map_at", va=PAGE, size=3 * PAGE, piece=1, bad=3), "not whole pages", errno.EINVAL),
    (op("map_at", va=PAGE, pa=1 << 40), "beyond physical memory", errno.ERANGE),
    (op("map_at", va=d.USER_LAST + 1 - PAGE, guard=1), "no room", errno.ENOSPC),
    (op("map_in_range", start=PAGE, end=PAGE), "no room", errno.ENOSPC),
    (op("map_in_range", start=PAGE, end=2 * PAGE, size=2 * PAGE), "no room", errno.ENOSPC),
    (op("map_io", vm=-1, pa=8), "not whole pages", errno.EINVAL),
]


@pytest.mark.parametrize(("operation", "reason", "error"), REFUSED_CALLS)
def test_refused_calls(operation, reason, error):
    session = session_after(create(), op("vm"))
    call = session.promise.before(operation)
    assert (call.sort, call.reason, -error in call.errors) == (REFUSED, reason, True)
    outcome = session.run(operation)
    assert (outcome.result.result, outcome.violations) == (-error, [])
    # Nothing is left: the same addresses can be had.
    assert session.run(op("map_at", va=PAGE, size=4 * PAGE)).result.result == 0
    assert session.finish().violations == []


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({"boot": "dead"}, errno.EIO), ({"regions": "no-ttbs"}, errno.EINVAL),
        ({"regions": "small-handoff"}, errno.ENOMEM), ({"fail_at": 2}, errno.ENOMEM),
        ({"regions": "unmappable-pagetables"}, errno.ENOMEM), ({"boot": "late"}, 0),
    ],
)  # fmt: skip
def test_starts(args, error):
    session = session_after(create(**args))
    assert results(session) == [-error]
    if error:
        session_after(create(**args), create())


def test_a_map_that_fails_half_way_leaves_nothing():
    va = 0x400_0000 - PAGE
    fails = op("map_at", va=va, size=2 * PAGE, prot="gpu-fw-priv-rw", fail_at=3)
    for bound in ([], [op("bind")]):
        session = session_after(create("weak"), op("vm"), *bound, fails)
        assert results(session)[-1] == -errno.ENOMEM
        assert session.run(op("map_at", va=va, size=2 * PAGE)).result.result == 0
        assert session.finish().violations == []


def test_what_callers_may_not_do_is_passed_over():
    session = session_after(create(), op("vm"))
    done = len(session.operations)
    for operation in (
        op("map", vm=0), op("bind", vm=3), op("drop", mapping=2), op("clone", vm=0),
        op("map_in_range", vm=0, prot="fw-priv-rw"), create(), op("unbind", vm=0),
    ):  # fmt: skip
        session.run(operation)
    assert len(session.operations) == done


def test_sorts():
    session = session_after(create(contexts=2), op("vm"), op("vm"), op("bind", vm=0))
    assert session.promise.before(op("bind", vm=0)).sort == LEGAL
    assert session.promise.before(op("bind", vm=1)).sort == REFUSED


def mutant_target(name):
    one = next(one for one in mutants.MUTANTS if one.id == name)
    return UatTarget(load(mutants.DRIVER, [one]).module, name)


SHORTEST = {
    "drop-no-break": [create(), *IN_USE, op("drop")],
    "hint-trusted": [
        create(contexts=2), op("vm"), op("vm"), op("bind", vm=0), op("unbind", vm=0),
        op("bind", vm=1), op("unbind", vm=1), op("bind", vm=0),
    ],
    "bind-keeps-lines": [
        create(flushes=0, contexts=2), op("vm"), op("vm"), op("bind", vm=0), CACHED,
        op("unbind", vm=0), op("bind", vm=1), op("drop"),
    ],
    "drop-in-spite": [create(), KERNEL_CACHED, op("drop", mute=1)],
    "bind-unlocked": [create("tso"), op("vm"), op("bind")],
    "map-not-undone": [create(), op("vm"), op("map_at", va=PAGE, size=2 * PAGE, piece=1, bad=2)],
    "drop-no-invalidation": [create(), op("vm"), op("bind"), op("map_at", va=PAGE), op("drop")],
    "drop-other-asid": [create(), op("vm"), op("bind"), op("map_at", va=PAGE), op("drop")],
    "request-kernel-skipped": [create(), KERNEL_CACHED, op("drop")],
    "request-no-order": [create("weak"), KERNEL_CACHED, op("drop")],
    "unlock-plain": [create("weak")],
    "bind-no-barrier": [create("tso"), op("vm"), op("bind")],
    "firmware-cleans-nothing": [
        create(), KERNEL_CACHED, op("fw_touch"), op("fw_run", steps=24), op("drop"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SHORTEST)
def test_known_bugs_are_found_by_their_rule(name):
    rule = next(one.rule for one in mutants.MUTANTS if one.id == name)
    session = SYSTEM.session(mutant_target(name), None)
    for operation in SHORTEST[name]:
        outcome = session.run(operation)
    assert {one.rule for one in outcome.violations} == {rule}
    session_after(*SHORTEST[name])


def test_a_counterexample_tells_both_lanes():
    operations = SHORTEST["drop-no-break"]
    session = SYSTEM.session(mutant_target("drop-no-break"), None)
    for operation in operations:
        outcome = session.run(operation)
    identity = outcome.violations[0].identity
    told = counterexample_of(SYSTEM, mutant_target("drop-no-break"), operations, identity, 0)
    page = terminal.tell(told, vocabulary=SYSTEM.vocabulary)
    assert "create order=sc switch_flushes=1" in page
    assert "conflicts" in page
    assert "VM 0" in page


def test_an_address_of_the_upper_half_is_told_from_the_beginning_of_its_half():
    target = make_target("mutant:uat-map-not-visible")
    made, mapped = create(flushes=0), op("map", vm=-1, size=PAGE)
    session = session_after(made, target=target)
    (violation,) = session.run(mapped).violations
    assert violation.iova >= 1 << 63
    identity = violation.identity
    told = counterexample_of(SYSTEM, target, [made, mapped], identity, 0)
    assert told.views.iova < 1 << 39
    assert told.views.subject == "the kernel"
    assert f"{told.views.iova:#x}" in terminal.tell(told, vocabulary=SYSTEM.vocabulary)


def test_every_rule_has_a_sentence_and_is_asked():
    assert len({rule.id for rule in UAT}) == len(UAT) >= 30
    for rule in UAT:
        assert rule.sentence.endswith(".")
        assert rule.operations <= set(SPECS)
