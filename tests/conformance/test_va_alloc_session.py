"""One example of an allocator: how calls are sorted, what each rule catches, how it goes on."""

import errno

import pytest

from conformance.discovery import SYSTEMS
from conformance.make_counterexample import counterexample_of
from conformance.rules.rule import LEGAL, MISUSE, REFUSED
from conformance.systems.va_alloc.operations import SPECS, possible
from conformance.systems.va_alloc.rules import VA_ALLOC
from conformance.systems.va_alloc.targets import VaAllocTarget
from conformance.systems.va_alloc.telling import VaAllocViews
from reference.operations import Result, from_json
from reference.systems.va_alloc.promise import ALL, RANGE
from reference.trace import CRASH, HANG, WARN, Trace
from reports import terminal
from reports.counterexample import Segment

PAGE = 0x1000
SYSTEM = SYSTEMS["va-alloc"]


def op(name, **args):
    """An operation, as a file of operations would give it."""
    return from_json({"op": name} | args, SPECS)


def alloc(pages=1, **more):
    return op("alloc", **{"size": pages * PAGE} | more)


def reserve(page, pages=1):
    return op("reserve", va=page * PAGE, size=pages * PAGE)


def free(node):
    return op("free", node=node)


CREATE = op("create", start=0, size=64 * PAGE)
START = (CREATE, reserve(4, 4), reserve(16, 40))
"""Holes: pages 0..3, 8..15 and 56..63."""


def session_after(*operations, target=None):
    """A session in which these operations were done without a violation."""
    session = SYSTEM.session(target or VaAllocTarget(), set())
    for operation in operations:
        outcome = session.run(operation)
        assert [one.identity for one in outcome.violations] == []
    return session


def ranges(session):
    """What callers have: (first page, last page, number)."""
    at = session.promise.space.at
    return [(at[one].first // PAGE, at[one].last // PAGE, at[one].number) for one in sorted(at)]


# -- how calls are sorted ---------------------------------------------------------------------

CALLS = {
    "alloc": (alloc(), LEGAL, ""),
    "alloc-all-of-a-hole": (alloc(8, first=8 * PAGE, last=16 * PAGE - 1), LEGAL, ""),
    "alloc-the-last-page": (alloc(1, first=63 * PAGE), LEGAL, ""),
    "alloc-at-a-multiple": (alloc(8, align=8 * PAGE), LEGAL, ""),
    "alloc-nothing": (alloc(0), REFUSED, "no bytes"),
    "alloc-too-much": (alloc(9), REFUSED, "no room"),
    "alloc-in-too-little": (alloc(2, last=PAGE), REFUSED, "no room"),
    "alloc-outside": (alloc(1, first=64 * PAGE), REFUSED, "no room"),
    "alloc-at-no-multiple": (alloc(1, align=64 * PAGE, first=1), REFUSED, "no room"),
    "reserve": (reserve(8, 8), LEGAL, ""),
    "reserve-the-last-page": (reserve(63), LEGAL, ""),
    "reserve-nothing": (reserve(8, 0), REFUSED, "no bytes"),
    "reserve-taken": (reserve(3, 2), REFUSED, "taken"),
    "reserve-inside-of-taken": (reserve(20), REFUSED, "taken"),
    "reserve-outside": (reserve(63, 2), REFUSED, "outside the window"),
    "reserve-wraps": (op("reserve", va=63 * PAGE, size=ALL - 63 * PAGE + 1), REFUSED, "wraps"),
    "free": (free(1), LEGAL, ""),
    "free-none": (free(2), REFUSED, "no such range"),
    "find": (op("find"), LEGAL, ""),
    "destroy": (op("destroy"), LEGAL, ""),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_sorted_before_it_is_made(name):
    call, sort, reason = CALLS[name]
    session = session_after(*START)
    step = session.promise.before(call)
    refused = -errno.EINVAL if call.name == "free" else -errno.ENOSPC
    assert (step.sort, step.reason) == (sort, reason)
    assert step.errors == ((refused,) if sort == REFUSED else ())
    had = ranges(session)
    outcome = session.run(call)
    assert (outcome.sort, outcome.result.result) == (sort, 0 if sort == LEGAL else refused)
    assert [one.identity for one in outcome.violations] == []
    assert outcome.changed == (sort == LEGAL and call.name != "find")
    if sort == REFUSED:
        assert ranges(session) == had


@pytest.mark.parametrize(
    ("operation", "can_be"),
    [
        (op("create", start=0, size=ALL - 1), True),
        (op("create", start=1, size=ALL - 1), False),
        (op("create", start=0, size=0), False),
        (alloc(first=5, last=5), True),
        (alloc(first=5, last=4), False),
        (op("find", first=ALL - 1, last=ALL - 1), True),
        (op("find", first=1, last=0), False),
        (reserve(0), True),
    ],
)
def test_what_goes_together(operation, can_be):
    assert possible(operation, {}) is can_be
    if operation.name != "create" and not can_be:
        session = session_after(*START)
        assert session.run(operation).sort == MISUSE
        assert len(session.operations) == 3


def test_numbers_are_of_those_that_were_given_out():
    session = session_after(*START, alloc(9), reserve(4), alloc(2), free(0), alloc(1))
    assert ranges(session) == [(0, 1, 2), (16, 55, 1), (56, 56, 3)]
    assert session.finish().result.result == 0
    assert not session.promise.space.exists
    assert session.finish() is None


def test_a_first_operation_makes_an_allocator_and_destroy_ends():
    session = session_after(alloc())
    assert [one.name for one in session.operations] == ["create", "alloc"]
    assert session.run(CREATE).sort == MISUSE
    session.run(op("destroy"))
    assert session.run(alloc()).sort == MISUSE
    assert len(session.operations) == 3


# -- what each rule catches -------------------------------------------------------------------


class Wrong(VaAllocTarget):
    """The reference driver, with one operation of a kind spoiled: its events, or its result."""

    def __init__(self, kind, spoil, armed=0):
        super().__init__(name="wrong")
        self.kind, self.spoil, self.armed = kind, spoil, armed

    def perform(self, operation, trace):
        if operation.name != self.kind or not self.armed:
            return super().perform(operation, trace)
        self.armed -= 1
        seen = Trace()
        result = super().perform(operation, seen)
        events = [[event.kind, event.a, event.b, event.c] for event in seen]
        result = self.spoil(events, result)
        for kind, a, b, c in events:
            trace.emit(kind, a, b, c)
        return result


def gives(result):
    return lambda events, given: result


def at(page):
    """Another address."""
    return gives(Result(0, page * PAGE))


def without(which):
    def spoil(events, result):
        del events[which]
        return result

    return spoil


def changed(which, word, by):
    def spoil(events, result):
        events[which][word] += by
        return result

    return spoil


def more(*event):
    def spoil(events, result):
        events.insert(0, [*event, 0, 0, 0][:4])
        return result

    return spoil


def stops(kind):
    def spoil(events, result):
        events[:] = [[kind, 0, 0, 0]]
        return Result(0, 0, False)

    return spoil


WRONG = {
    # rule, signature: operation, how it is spoiled
    ("PG-1", "alloc, legal, did not return"): (alloc(), stops(HANG)),
    ("PG-2", "reserve, refused, crashed"): (reserve(4), stops(CRASH)),
    ("PG-3", "destroy, legal, warning"): (op("destroy"), more(WARN)),
    ("ER-1", "alloc, legal, returned EINVAL"): (alloc(), gives(Result(-errno.EINVAL))),
    ("ER-1", "alloc, refused (no room), returned EINVAL"): (alloc(9), gives(Result(-errno.EINVAL))),
    ("ER-1", "alloc, refused (no bytes), returned success"): (alloc(0), gives(Result())),
    ("ER-1", "reserve, refused (taken), returned success"): (reserve(3, 2), gives(Result())),
    ("ER-1", "free, refused (no such range), returned success"): (free(7), gives(Result())),
    ("ER-1", "free, legal, returned ENOSPC"): (free(0), gives(Result(-errno.ENOSPC))),
    ("ER-40", "alloc, room not found"): (
        alloc(8, first=8 * PAGE, last=16 * PAGE - 1), gives(Result(-errno.ENOSPC)),
    ),
    ("ER-40", "reserve, room not found"): (reserve(63), gives(Result(-errno.ENOSPC))),
    ("SP-40", "alloc, taken already"): (alloc(2), at(3)),
    ("SP-40", "alloc, outside the window"): (alloc(2), at(63)),
    ("TR-41", "alloc, not at a multiple"): (alloc(2, align=2 * PAGE), at(9)),
    ("TR-41", "alloc, outside the range that was asked for"): (alloc(2, first=56 * PAGE), at(9)),
    ("TR-42", "alloc, best, another hole"): (alloc(3), at(8)),
    ("TR-42", "alloc, best, another end"): (alloc(3), at(1)),
    ("TR-42", "alloc, low, another hole"): (alloc(3, mode="low"), at(8)),
    ("TR-42", "alloc, high, another hole"): (alloc(3, mode="high"), at(13)),
    ("TR-42", "alloc, high, another end"): (alloc(3, mode="high"), at(56)),
    ("TR-43", "find, a range wanted, nothing found"): (op("find"), gives(Result(0, -1))),
    ("TR-43", "find, a range wanted, another found"): (op("find"), at(16)),
    ("TR-43", "find, nothing wanted, another found"): (op("find", last=PAGE), at(4)),
    ("SP-41", "reserve, something missing"): (reserve(60), without(-1)),
    ("SP-41", "reserve, something too many"): (reserve(60), lambda events, result: (
        events.append([RANGE, 64 * PAGE, 65 * PAGE - 1, -1]), result
    )[1]),
    ("SP-41", "reserve, hole too long"): (reserve(60), changed(1, 2, PAGE)),
    ("SP-41", "reserve, range too short"): (reserve(60), changed(2, 2, -PAGE)),
    ("SP-41", "reserve, hole in the place of a range"): (reserve(60), changed(2, 3, -3)),
    ("SP-41", "free, range in the place of a hole"): (free(0), changed(0, 3, 5)),
    ("SP-41", "free, hole too short"): (free(0), lambda events, result: (
        events.__setitem__(slice(0, 1), [
            [RANGE, 0, 4 * PAGE - 1, -1], [RANGE, 4 * PAGE, 16 * PAGE - 1, -1],
        ]), result
    )[1]),
    ("SP-41", "create, hole too short"): (CREATE, changed(0, 2, -PAGE)),
    ("ER-2", "alloc, ENOSPC, something missing"): (alloc(9), without(-1)),
    ("ER-2", "reserve, ENOSPC, hole too short"): (reserve(63, 2), changed(-1, 2, -PAGE)),
    ("ER-2", "free, EINVAL, hole in the place of a range"): (free(9), changed(1, 3, -1)),
    ("RC-40", "destroy, range left"): (op("destroy"), changed(0, 3, 1)),
    ("RC-40", "destroy, addresses lost"): (op("destroy"), changed(0, 2, -PAGE)),
    ("SP-41", "destroy, hole too short"): (op("destroy"), lambda events, result: (
        events.__setitem__(slice(0, 1), [
            [RANGE, 0, 4 * PAGE - 1, -1], [RANGE, 4 * PAGE, 64 * PAGE - 1, -1],
        ]), result
    )[1]),
}  # fmt: skip


def wrong_session(identity, muted=frozenset()):
    operation, spoil = WRONG[identity]
    before = () if operation.name == "create" else START
    target = Wrong(operation.name, spoil)
    session = SYSTEM.session(target, set(muted))
    for one in before:
        assert not session.run(one).violations
    target.armed = 1
    return session, operation


@pytest.mark.parametrize("identity", WRONG, ids=lambda one: ": ".join(one))
def test_what_a_rule_catches(identity):
    session, operation = wrong_session(identity)
    outcome = session.run(operation)
    assert outcome.fresh[0].identity == identity
    # What is given out elsewhere is also seen in what is listed, which is of the right driver.
    rules = {one.rule for one in outcome.violations}
    assert rules - {identity[0]} <= {"SP-41", "ER-2"}
    assert session.tally.violated[identity[0]] == 1


def test_every_rule_catches_something():
    assert {rule for rule, _ in WRONG} == {rule.id for rule in VA_ALLOC}


def test_after_a_violation_the_operation_is_undone():
    session, operation = wrong_session(("SP-40", "alloc, taken already"))
    had = ranges(session)
    assert session.run(operation).fresh
    assert ranges(session) == had
    assert not session.ended
    # The target is right now, and so is what is done.
    assert not session.run(operation).violations
    assert ranges(session) == [(0, 1, 2), *had]


def test_without_an_allocator_the_example_ends():
    session, operation = wrong_session(("SP-41", "create, hole too short"))
    session.target.armed = 9
    assert session.run(operation).fresh
    assert session.ended
    assert session.tally.cut == {"SP-41 create, hole too short": 1}
    assert session.finish() is None


def test_what_is_muted_is_counted_and_not_fresh():
    identity = ("TR-42", "alloc, best, another hole")
    session, operation = wrong_session(identity, {identity})
    outcome = session.run(operation)
    assert outcome.violations[0].identity == identity
    assert all(one.identity != identity for one in outcome.fresh)
    assert session.tally.hits[" ".join(identity)] == 1


def test_of_two_readings_of_the_smallest_hole_both_pass():
    # Pages 0..3 and 56..59 of the range that is asked for, of holes of 4 and of 8.
    wish = alloc(2, last=60 * PAGE - 1)
    for page in (0,):
        session, _ = wrong_session(("TR-42", "alloc, best, another hole"))
        session.target.spoil = at(page)
        assert {one.rule for one in session.run(wish).violations} <= {"SP-41"}
    cut = alloc(2, first=2 * PAGE, last=10 * PAGE - 1)
    for page in (2, 8):
        session, _ = wrong_session(("TR-42", "alloc, best, another hole"))
        session.target.spoil = at(page)
        assert {one.rule for one in session.run(cut).violations} <= {"SP-41"}


def test_a_driver_that_raises_has_crashed():
    class Raising(VaAllocTarget):
        def do_alloc(self, size, align, mode, first, last):
            raise ZeroDivisionError("the driver is broken")

    outcome = session_after(*START, target=Raising()).run(alloc())
    assert [one.identity for one in outcome.fresh] == [("PG-2", "alloc, legal, crashed")]


# -- what is told -----------------------------------------------------------------------------


def test_views_are_of_before_and_after():
    session, operation = wrong_session(("TR-42", "alloc, best, another hole"))
    session.frozen_on = ("TR-42", "alloc, best, another hole")
    views = VaAllocViews(session, [*START, operation])
    violation = session.run(operation).violations[0]
    shown = views.after(violation)
    assert session.ended
    assert shown.promise_before == (
        Segment(4 * PAGE, 8 * PAGE - 1, None, "range 0", 4 * PAGE),
        Segment(16 * PAGE, 56 * PAGE - 1, None, "range 1", 40 * PAGE),
    )
    assert shown.promise_after[1].access == "range 2"
    assert [one.access for one in shown.hardware_after] == ["range 2", "free", "range 0"]
    assert shown.iova == 8 * PAGE
    assert shown.expected == "0x0"


@pytest.mark.parametrize("identity", WRONG, ids=lambda one: ": ".join(one))
def test_a_counterexample_can_be_told(identity):
    operation, spoil = WRONG[identity]

    class Always(Wrong):
        """Spoils the last operation, whenever it is run."""

        def reset(self):
            super().reset()
            self.armed = 0

        def perform(self, one, trace):
            self.armed = int(one == operation)
            return super().perform(one, trace)

    operations = [operation] if operation.name == "create" else [*START, operation]
    target = Always(operation.name, spoil)
    example = counterexample_of(SYSTEM, target, operations, identity, 0)
    assert example is not None
    assert (example.rule, example.signature) == identity
    text = terminal.tell(example, vocabulary=SYSTEM.vocabulary)
    assert identity[0] in text
    assert "what the allocator says that it has there" in text or operation.name == "create"
