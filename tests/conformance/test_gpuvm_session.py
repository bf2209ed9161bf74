"""One example of a VM: how calls are sorted, what is judged, and how it goes on after that."""

import ast
import errno
import re

import pytest

from conformance.discovery import SYSTEMS
from conformance.make_counterexample import counterexample_of
from conformance.mutants.mutant import driver_source
from conformance.rules.rule import LEGAL, MISUSE, REFUSED
from conformance.systems.gpuvm.operations import SPECS, possible
from conformance.systems.gpuvm.rules import GPUVM
from conformance.systems.gpuvm.targets import GpuvmTarget
from conformance.systems.gpuvm.telling import GpuvmViews
from reference.operations import Operation, Result, from_json
from reference.systems.gpuvm.events import (
    BACKING_SHIFT,
    PT_MAP,
    PT_UNMAP,
    VALIDATED,
    VMA,
    VMA_ADD,
    VMA_REMOVE,
)
from reference.systems.gpuvm.promise import ALL
from reference.trace import (
    CRASH,
    HANG,
    REFS,
    REFS_BUFFER,
    REFS_VM,
    REFS_VM_BO,
    WARN,
    WORDS,
    Trace,
)
from reports import terminal
from reports.counterexample import Segment

PAGE = 0x1000
SYSTEM = SYSTEMS["gpuvm"]


def op(name, **args):
    """An operation, as a file of operations would give it."""
    return from_json({"op": name} | args, SPECS)


def a_map(page, count=1, bo=0, **more):
    return op("map", **({"iova": page * PAGE, "size": count * PAGE, "bo": bo} | more))


def unmap(page, count=1, **more):
    return op("unmap", **({"iova": page * PAGE, "size": count * PAGE} | more))


def find(page, count=1, **more):
    return op("find", **({"iova": page * PAGE, "size": count * PAGE} | more))


def session_after(*operations, target=None):
    """A session in which these operations were done without a violation."""
    session = SYSTEM.session(target or GpuvmTarget(), set())
    for operation in operations:
        outcome = session.run(operation)
        assert [one.identity for one in outcome.violations] == []
    return session


def mappings(session):
    """What is promised: (first page, last page, buffer, page of it)."""
    return [
        (one.first // PAGE, one.last // PAGE, one.buffer, one.offset // PAGE)
        for one in session.promise.state.promise.within(0, ALL - 1)
    ]


# -- how calls are sorted -----------------------------------------------------------------------

BO = op("bo", size=16 * PAGE)
WINDOW = op("create", start=16 * PAGE, size=64 * PAGE, kernel_start=32 * PAGE, kernel_size=8 * PAGE)
NEAR_END = op("create", start=2**64 - 64 * PAGE, size=63 * PAGE)
LAST = 2**64 - PAGE

CALLS = {
    "map": ([BO], a_map(0), LEGAL, ""),
    "map-over": ([BO, a_map(0, 4)], a_map(1, 2), LEGAL, ""),
    "map-all-of-it": ([BO], a_map(0, 16), LEGAL, ""),
    "map-its-last-page": ([BO], a_map(0, offset=15 * PAGE), LEGAL, ""),
    "map-first-of-window": ([WINDOW, BO], a_map(16), LEGAL, ""),
    "map-last-of-window": ([WINDOW, BO], a_map(79), LEGAL, ""),
    "map-before-kernel": ([WINDOW, BO], a_map(31), LEGAL, ""),
    "map-behind-kernel": ([WINDOW, BO], a_map(40), LEGAL, ""),
    "map-across-bit-63": (
        [op("create", start=2**63 - PAGE, size=2 * PAGE), BO], a_map(2**51 - 1, 2), LEGAL, "",
    ),
    "map-askew": ([BO], a_map(0, iova=0x800), REFUSED, "not whole pages"),
    "map-askew-size": ([BO], a_map(0, size=0x1800), REFUSED, "not whole pages"),
    "map-askew-offset": ([BO], a_map(0, offset=1), REFUSED, "not whole pages"),
    "map-nothing": ([BO], a_map(0, 0), REFUSED, "no pages"),
    "map-nothing-inside": ([BO, a_map(0, 4)], a_map(2, 0), REFUSED, "no pages"),
    "map-no-buffer": ([], a_map(0), REFUSED, "no such buffer"),
    "map-next-buffer": ([BO], a_map(0, bo=1), REFUSED, "no such buffer"),
    "map-closed": ([BO, a_map(4), op("close")], a_map(0), REFUSED, "no such buffer"),
    "map-beyond": ([BO], a_map(0, 17), REFUSED, "beyond the buffer"),
    "map-past": ([BO], a_map(0, 2, offset=15 * PAGE), REFUSED, "beyond the buffer"),
    "map-behind": ([BO], a_map(0, offset=16 * PAGE), REFUSED, "beyond the buffer"),
    "map-far-behind": ([BO], a_map(0, offset=LAST), REFUSED, "beyond the buffer"),
    "map-wraps": ([NEAR_END, BO], a_map(0, 2, iova=LAST), REFUSED, "wraps"),
    "map-wraps-to-0": ([NEAR_END, BO], a_map(0, 1, iova=LAST), REFUSED, "outside the window"),
    "map-below": ([WINDOW, BO], a_map(15), REFUSED, "outside the window"),
    "map-into-window": ([WINDOW, BO], a_map(15, 2), REFUSED, "outside the window"),
    "map-out-of-window": ([WINDOW, BO], a_map(79, 2), REFUSED, "outside the window"),
    "map-above": ([WINDOW, BO], a_map(80), REFUSED, "outside the window"),
    "map-kernel": ([WINDOW, BO], a_map(32), REFUSED, "in the kernel's part"),
    "map-into-kernel": ([WINDOW, BO], a_map(31, 2), REFUSED, "in the kernel's part"),
    "map-out-of-kernel": ([WINDOW, BO], a_map(39, 2), REFUSED, "in the kernel's part"),
    "map-over-kernel": ([WINDOW, BO], a_map(31, 10), REFUSED, "in the kernel's part"),
    "unmap": ([BO, a_map(0)], unmap(0), LEGAL, ""),
    "unmap-hole": ([], unmap(0, 5), LEGAL, ""),
    "unmap-all-of-window": ([op("create", size=64 * PAGE)], unmap(0, 64), LEGAL, ""),
    "unmap-askew": ([], unmap(0, iova=0x800), REFUSED, "not whole pages"),
    "unmap-askew-size": ([], unmap(0, size=1), REFUSED, "not whole pages"),
    "unmap-nothing": ([], unmap(0, 0), REFUSED, "no pages"),
    "unmap-wraps": ([], unmap(1, 1, size=LAST), REFUSED, "outside the window"),
    "unmap-wraps-around": ([], unmap(2, 1, size=LAST), REFUSED, "wraps"),
    "unmap-below": ([WINDOW], unmap(0), REFUSED, "outside the window"),
    "unmap-above": ([WINDOW], unmap(16, 65), REFUSED, "outside the window"),
    "unmap-kernel": ([WINDOW], unmap(16, 64), REFUSED, "in the kernel's part"),
    "bo": ([], BO, LEGAL, ""),
    "bo-largest": ([], op("bo", size=2**48 - PAGE), LEGAL, ""),
    "bo-nothing": ([], op("bo", size=0), REFUSED, "no size that a buffer can have"),
    "bo-askew": ([], op("bo", size=0x1001), REFUSED, "no size that a buffer can have"),
    "bo-too-large": ([], op("bo", size=2**48), REFUSED, "no size that a buffer can have"),
    "bo-negative": ([], op("bo", size=LAST), REFUSED, "no size that a buffer can have"),
    "close": ([BO], op("close"), LEGAL, ""),
    "close-none": ([], op("close"), REFUSED, "no such buffer"),
    "close-again": ([BO, a_map(0), op("close")], op("close"), REFUSED, "no such buffer"),
    "evict": ([BO, a_map(0)], op("evict"), LEGAL, ""),
    "evict-none": ([], op("evict", bo=7), LEGAL, ""),
    "validate": ([], op("validate"), LEGAL, ""),
    "find": ([BO, a_map(0)], find(0), LEGAL, ""),
    "find-askew": ([BO, a_map(0)], op("find", iova=0xFFF, size=2), LEGAL, ""),
    "find-wraps": ([], find(5, size=LAST), LEGAL, ""),
    "find-outside": ([WINDOW], find(0, 200), LEGAL, ""),
    "create": ([], op("create"), LEGAL, ""),
    "destroy": ([BO, a_map(0)], op("destroy"), LEGAL, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_sorted_before_it_is_made(name):
    before, call, sort, reason = CALLS[name]
    if call.name != "create" and (not before or before[0].name != "create"):
        before = [op("create"), *before]
    session = session_after(*before)
    refused = (-errno.EINVAL,) if sort == REFUSED else ()
    sorted_as = session.promise.before(call)
    assert (sorted_as.sort, sorted_as.reason, sorted_as.errors) == (sort, reason, refused)
    promised = mappings(session)
    outcome = session.run(call)
    assert outcome.sort == sort
    assert outcome.result.result == (refused[0] if refused else 0)
    # The reference does nothing wrong, whatever it is asked.
    assert [one.identity for one in outcome.violations] == []
    assert not session.ended
    if refused:
        assert mappings(session) == promised
        assert not outcome.changed
    assert not session.finish() or not session.promise.state.exists


@pytest.mark.parametrize(
    "name", [name for name, case in CALLS.items() if "fail_at" in case[1].args]
)
def test_where_an_allocation_may_fail_no_memory_is_an_answer_too(name):
    before, call, sort, _ = CALLS[name]
    session = session_after(*(before or [op("create")]))
    failing = Operation(call.name, {**call.args, "fail_at": 1})
    allowed = session.promise.before(failing).errors
    assert allowed == ((-errno.EINVAL,) if sort == REFUSED else ()) + (-errno.ENOMEM,)
    outcome = session.run(failing)
    assert outcome.result.result in allowed
    assert not outcome.violations
    assert not outcome.changed


def test_every_reason_has_an_example():
    source = ast.parse(driver_source("reference.systems.gpuvm.promise"))
    methods = {node.name: node for node in ast.walk(source) if isinstance(node, ast.FunctionDef)}
    given = [
        node.value
        for node in ast.walk(methods["before"])
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "reason"
    ] + [node.value for node in ast.walk(methods["_refusal"]) if isinstance(node, ast.Return)]
    reasons = {one.value for one in given if isinstance(one, ast.Constant)}
    assert len(reasons) > 8
    assert reasons == {reason for _, _, _, reason in CALLS.values()}


ORDER = (
    ("not whole pages", {"size": 0x800, "iova": LAST, "bo": 9}),
    ("no pages", {"size": 0, "iova": LAST, "bo": 9}),
    ("no such buffer", {"size": 32 * PAGE, "iova": LAST, "bo": 9}),
    ("beyond the buffer", {"size": 32 * PAGE, "iova": LAST}),
    ("wraps", {"size": 2 * PAGE, "iova": LAST}),
    ("outside the window", {"size": 16 * PAGE, "iova": 15 * PAGE}),
    ("outside the window", {"size": 16 * PAGE, "iova": 15 * PAGE, "offset": 0}),
    ("in the kernel's part", {"size": 2 * PAGE, "iova": 31 * PAGE}),
)
"""Of several reasons the first of these is given."""


@pytest.mark.parametrize(("reason", "args"), ORDER)
def test_reasons_have_an_order(reason, args):
    session = session_after(
        op("create", start=0x1_0000, size=0x4_0000, kernel_start=0x1_0000, kernel_size=0x1_4000),
        BO,
    )
    sorted_as = session.promise.before(op("map", **args))
    assert (sorted_as.sort, sorted_as.reason) == (REFUSED, reason)


# -- what changed -----------------------------------------------------------------------------


def test_what_a_step_changed_is_told():
    session = session_after(op("create", size=64 * PAGE, kernel_start=0, kernel_size=PAGE))
    for operation, changed in (
        (BO, True),
        (op("bo", size=1), False),
        (op("evict"), False),
        (op("validate"), False),
        (a_map(1, 4), True),
        # Another VMA, though it says the same.
        (a_map(1, 4), True),
        (a_map(0), False),
        (a_map(2, fail_at=1), False),
        (op("evict"), True),
        (op("validate"), True),
        (op("validate"), False),
        (find(1), False),
        (unmap(3), True),
        (unmap(3), False),
        (unmap(0), False),
        (op("close"), True),
        (op("close"), False),
        (op("destroy"), True),
    ):
        assert session.run(operation).changed is changed, operation
    counts = session.tally.operations
    assert (counts["map"].count, counts["map"].changed, counts["map"].refused) == (4, 2, 1)
    assert (counts["validate"].count, counts["validate"].changed) == (3, 1)
    assert session.tally.steps == 19


def test_an_eviction_changes_something_only_where_it_was_not_so():
    session = session_after(op("create"), BO, a_map(0))
    for state, changed in ((0, False), (1, True), (1, False), (0, True), (0, False)):
        assert session.run(op("evict", state=state)).changed is changed


# -- wrong targets ----------------------------------------------------------------------------


class Wrong(GpuvmTarget):
    """The reference driver, with the events or the result of one kind of operation spoiled.

    ``spoil`` is given events as lists (kind, words, place) to change, and the result; it gives
    the result. ``done``: what was performed since the last reset; ``resets``: how often that was.
    ``armed``: how many operations of that kind are still to be spoiled.
    """

    def __init__(self, kind, spoil, armed=1):
        super().__init__(name="wrong")
        self.kind, self.spoil, self.armed = kind, spoil, armed
        self.done, self.resets = [], 0
        self.places = ("", "spoil_it")

    def reset(self):
        super().reset()
        self.done, self.resets = [], self.resets + 1

    def perform(self, operation, trace):
        self.done.append(operation)
        if operation.name != self.kind or not self.armed:
            return super().perform(operation, trace)
        self.armed -= 1
        seen = Trace()
        result = super().perform(operation, seen)
        events = [[e.kind, e.a, e.b, e.c, e.place] for e in seen]
        result = self.spoil(events, result)
        for kind, a, b, c, place in events:
            trace.emit(kind, a, b, c, place=place)
        return result


def without(kind, which=0):
    """Leave out an event of this kind."""

    def spoil(events, result):
        del events[[n for n, event in enumerate(events) if event[0] == kind][which]]
        return result

    return spoil


def changed(kind, word, by, which=0):
    """Add to a word (1 to 3) of an event of this kind."""

    def spoil(events, result):
        [event for event in events if event[0] == kind][which][word] += by
        return result

    return spoil


def count_off(what, by):
    """Add to a count that is told."""

    def spoil(events, result):
        next(event for event in events if event[0] == REFS and event[1] == what)[3] += by
        return result

    return spoil


def more(*event, result=None):
    """One more event, before all others; and another result."""

    def spoil(events, given):
        kind, *words = event
        events.insert(0, [kind, *(*words, 0, 0, 0)[:3], 0])
        return given if result is None else result

    return spoil


def gives(result):
    """Another result."""
    return lambda events, given: result


def stops(kind, place=0):
    """Stop with an event of this kind."""

    def spoil(events, result):
        events[:] = [[kind, 0, 0, 0, place]]
        return Result(0, 0, False)

    return spoil


NEXT_BUFFER = 1 << BACKING_SHIFT
FOUR = (a_map(4, 4), a_map(8, 4, bo=1))
"""Pages 4 to 7 of buffer 0, and 8 to 11 of buffer 1."""

WRONG = {
    # rule, signature: before, operation, how it is spoiled
    ("PG-1", "map, legal, did not return"): ((), a_map(4), stops(HANG)),
    ("PG-1", "find, legal, did not return, in spoil_it"): ((), find(4), stops(HANG, 1)),
    ("PG-2", "unmap, legal, crashed"): ((), unmap(4), stops(CRASH)),
    ("PG-2", "map, refused, crashed"): ((), a_map(4, 0), stops(CRASH)),
    ("PG-3", "map, legal, warning"): ((), a_map(4), more(WARN)),
    ("PG-3", "unmap, refused, warning"): ((), unmap(4, 0), more(WARN)),
    ("ER-1", "map, legal, returned EINVAL"): ((), a_map(4, 16), gives(Result(-errno.EINVAL))),
    ("ER-1", "unmap, legal, returned ENOMEM"): ((), unmap(4), gives(Result(-errno.ENOMEM))),
    ("ER-1", "map, refused (no pages), returned success"): (
        FOUR, a_map(6, 0), gives(Result()),
    ),
    ("ER-1", "map, refused (beyond the buffer), returned ENOENT"): (
        (), a_map(4, 99), gives(Result(-errno.ENOENT)),
    ),
    ("ER-1", "close, refused (no such buffer), returned success"): (
        (), op("close", bo=9), gives(Result()),
    ),
    ("ER-2", "map, EINVAL, page tables told"): (
        (), a_map(4, 99), more(PT_UNMAP, 5 * PAGE, 6 * PAGE - 1),
    ),
    ("ER-2", "unmap, ENOMEM, VMAs changed"): (
        FOUR, unmap(4, 2, fail_at=1), more(VMA_ADD, 5 * PAGE, 6 * PAGE - 1, 0),
    ),
    ("TR-20", "find, a mapping wanted, nothing found"): (FOUR, find(0, 9), gives(Result(0, -1))),
    ("TR-20", "find, a mapping wanted, another found"): (
        FOUR, find(0, 9), gives(Result(0, 5 * PAGE)),
    ),
    ("TR-20", "find, nothing wanted, another found"): (
        FOUR, find(0, 4), gives(Result(0, 4 * PAGE)),
    ),
    ("IS-20", "validate, buffer left out"): (
        (*FOUR, op("evict"), op("evict", bo=1)), op("validate"), without(VALIDATED),
    ),
    ("IS-20", "validate, buffer named twice"): (
        (*FOUR, op("evict")), op("validate"), more(VALIDATED, 0),
    ),
    ("IS-20", "validate, buffer not evicted"): (
        (*FOUR, op("evict")), op("validate"), more(VALIDATED, 1),
    ),
    ("SP-1", "map, VMA missing"): (FOUR, a_map(5), without(VMA, 2)),
    ("SP-1", "map, VMA of other addresses"): (FOUR, a_map(5, 3), changed(VMA, 2, -PAGE, 1)),
    ("SP-1", "unmap, VMA too many"): (
        FOUR, unmap(4, 4), more(VMA, 4 * PAGE, 5 * PAGE - 1, 0),
    ),
    ("SP-2", "map, new mapping with another offset"): (FOUR, a_map(5), changed(VMA, 3, PAGE, 1)),
    ("SP-2", "map, new mapping with another buffer"): (
        FOUR, a_map(5), changed(VMA, 3, NEXT_BUFFER, 1),
    ),
    ("SP-2", "unmap, part that is left with another offset"): (
        FOUR, unmap(5), changed(VMA, 3, -PAGE, 1),
    ),
    ("SP-2", "unmap, part that is left with another buffer"): (
        FOUR, unmap(5), changed(VMA, 3, NEXT_BUFFER, 0),
    ),
    ("SP-20", "unmap, page tables told outside the range"): (
        FOUR, unmap(5), changed(PT_UNMAP, 2, PAGE),
    ),
    # Of nothing, where the range is.
    ("SP-20", "map, page tables told outside the range"): (
        FOUR, a_map(5), more(PT_UNMAP, 5 * PAGE, 5 * PAGE - 1),
    ),
    ("SP-20", "map, page tables lack what is mapped"): (FOUR, a_map(5), without(PT_MAP)),
    ("SP-20", "unmap, page tables keep what is not mapped"): (FOUR, unmap(5), without(PT_UNMAP)),
    ("SP-20", "map, page tables get another part of a buffer"): (
        FOUR, a_map(5), changed(PT_MAP, 3, PAGE),
    ),
    ("NB-1", "map, neighbour gone"): (FOUR, a_map(5, 3), without(VMA, 2)),
    ("NB-1", "unmap, neighbour changed"): (FOUR, unmap(4, 4), changed(VMA, 3, PAGE)),
    ("RC-4", "map, VM has too many references"): (FOUR, a_map(5), count_off(REFS_VM, 1)),
    ("RC-4", "close, buffer has too few references"): (
        FOUR, op("close"), count_off(REFS_BUFFER, -1),
    ),
    ("RC-4", "unmap, link has too many references"): (FOUR, unmap(4), count_off(REFS_VM_BO, 1)),
    ("RC-4", "create, VM has too few references"): (None, op("create"), count_off(REFS_VM, -1)),
    ("RC-20", "destroy, VM has too many references"): (FOUR, op("destroy"), count_off(REFS_VM, 2)),
    ("RC-20", "destroy, buffer has too many references"): (
        FOUR, op("destroy"), count_off(REFS_BUFFER, 1),
    ),
    ("RC-20", "destroy, link has too many references"): (
        FOUR, op("destroy"), count_off(REFS_VM_BO, 1),
    ),
}  # fmt: skip


def shifted(operation, pages):
    """The operation, so many pages higher."""
    if "iova" not in operation.args:
        return operation
    iova = operation.number("iova") + pages * PAGE
    return from_json(
        {"op": operation.name} | operation.args | {"iova": iova % 2**64}, SPECS
    )  # fmt: skip


START = (op("create", size=1 << 47), BO, op("bo", size=16 * PAGE, private=1))


def wrong_session(identity, muted=frozenset()):
    """A session before the operation that breaks a rule, and that operation."""
    before, operation, spoil = WRONG[identity]
    before = () if before is None else (*START, *before)
    target = Wrong(operation.name, spoil, armed=0)
    session = session_after(*before, target=target)
    session.muted = None if muted is None else set(muted)
    target.armed = 1
    return session, operation


@pytest.mark.parametrize("identity", WRONG, ids=" ".join)
def test_a_wrong_target_is_found_by_its_rule_and_named(identity):
    session, operation = wrong_session(identity)
    outcome = session.run(operation)
    assert identity in [one.identity for one in outcome.violations]
    first = outcome.violations[0]
    assert first.identity == identity
    assert outcome.fresh == outcome.violations
    assert session.tally.violated[identity[0]] >= 1
    assert session.tally.hits[" ".join(identity)] == 1
    assert first.message.endswith(".")
    assert first.label == ""
    assert first.event < len(session.trace)


def test_every_rule_has_a_wrong_target():
    assert {rule for rule, _ in WRONG} == {rule.id for rule in GPUVM}


@pytest.mark.parametrize("identity", WRONG, ids=" ".join)
def test_the_signature_is_the_same_wherever_it_happens(identity):
    before, operation, spoil = WRONG[identity]
    if before is None:
        return_value = [SYSTEM.session(Wrong("create", spoil), set(), None).run(operation)]
        assert [one.violations[0].identity for one in return_value] == [identity]
        return
    pages = 0x3_4560

    def there(events, result):
        """Spoil it as if it were lower."""
        moved = (VMA, VMA_ADD, VMA_REMOVE, PT_MAP, PT_UNMAP)
        for event in events:
            if event[0] in moved:
                event[1] -= pages * PAGE
                event[2] -= pages * PAGE
        result = spoil(events, result)
        for event in events:
            if event[0] in moved:
                event[1] += pages * PAGE
                event[2] += pages * PAGE
        if operation.name == "find" and result.value > 0:
            result = Result(0, result.value + pages * PAGE)
        return result

    # Other addresses, other numbers of buffers before, other events before.
    target = Wrong(operation.name, there, armed=0)
    session = session_after(
        *START, op("bo"), a_map(1, 2, bo=2), op("evict", bo=2), op("validate"), unmap(1, 2),
        *(shifted(one, pages) for one in before), target=target,
    )  # fmt: skip
    target.armed = 1
    outcome = session.run(shifted(operation, pages))
    assert outcome.violations[0].identity == identity
    assert not re.search(r"\d", identity[1])


@pytest.mark.parametrize("number", [4096, -4096, 7, -(1 << 40)])
def test_a_result_that_is_no_errno_does_not_get_into_the_signature(number):
    session = session_after(*START, target=Wrong("map", gives(Result(number))))
    (violation,) = session.run(a_map(4, 0)).violations
    assert violation.rule == "ER-1"
    assert not re.search(r"\d", violation.signature)
    assert str(number) in violation.message + violation.observed


# -- the order of judging ---------------------------------------------------------------------


def test_causes_are_told_before_what_follows_from_them():
    def spoil(events, result):
        for one in (
            count_off(REFS_VM, 1), changed(VMA, 3, PAGE, 1), changed(PT_MAP, 3, PAGE), more(WARN),
        ):  # fmt: skip
            one(events, result)
        return result

    session = session_after(*START, *FOUR, target=Wrong("map", spoil, 0))
    session.target.armed = 1
    outcome = session.run(a_map(5))
    found = [one.rule for one in outcome.violations]
    assert found == ["PG-3", "SP-2", "SP-20", "RC-4"]
    order = [rule.id for rule in GPUVM]
    assert found == sorted(found, key=order.index)


def test_what_was_accepted_in_error_is_not_judged_further():
    def spoil(events, result):
        # Split what is there, as if there had been something to map.
        events[:0] = [
            [VMA_REMOVE, 4 * PAGE, 8 * PAGE - 1, 0, 0], [PT_UNMAP, 6 * PAGE, 6 * PAGE - 1, 0, 0],
        ]  # fmt: skip
        return Result()

    session = session_after(*START, *FOUR, target=Wrong("map", spoil, 0))
    session.target.armed = 1
    outcome = session.run(a_map(6, 0))
    assert [one.rule for one in outcome.violations] == ["ER-1"]
    assert outcome.violations[0].corrupts


def test_after_a_crash_only_that_is_judged():
    def spoil(events, result):
        events.append([CRASH, 0, 0, 0, 0])
        count_off(REFS_VM, 1)(events, result)
        return Result(0, 0, False)

    session = session_after(*START, *FOUR, target=Wrong("map", spoil, 0))
    session.target.armed = 1
    assert [one.rule for one in session.run(a_map(5)).violations] == ["PG-2"]


def test_a_call_without_an_end_that_says_nothing_did_not_return():
    session = session_after(*START, target=Wrong("map", gives(Result(0, 0, False))))
    assert [one.rule for one in session.run(a_map(5)).violations] == ["PG-1"]


def test_a_call_of_no_pages_that_fails_and_yet_splits_is_found():
    def spoil(events, result):
        events[:0] = [
            [VMA_REMOVE, 4 * PAGE, 8 * PAGE - 1, 0, 0], [VMA_ADD, 4 * PAGE, 6 * PAGE - 1, 0, 0],
            [VMA_ADD, 6 * PAGE, 8 * PAGE - 1, 2 * PAGE, 0],
        ]  # fmt: skip
        return result

    session = session_after(*START, *FOUR, target=Wrong("unmap", spoil, 0))
    session.target.armed = 1
    outcome = session.run(unmap(6, 0))
    assert outcome.result.result == -errno.EINVAL
    assert [one.identity for one in outcome.violations][:1] == [
        ("ER-2", "unmap, EINVAL, VMAs changed")
    ]


# -- after a violation ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "identity", [one for one in WRONG if one[1].split(",")[0] not in ("create",)], ids=" ".join
)
def test_a_violation_is_undone_and_the_example_goes_on(identity):
    session, operation = wrong_session(identity)
    before, target = list(session.operations), session.target
    promised, results = mappings(session), list(session.results)
    evicted, counted = session.promise.state.evicted(), session.tally.steps
    session.run(operation)
    # What was before is done again, on a target that knows nothing, and is told once.
    assert target.resets == 2
    assert target.done == before
    assert mappings(session) == promised
    assert session.promise.state.evicted() == evicted
    assert session.operations == [*before, operation]
    assert session.results[:-1] == results
    assert session.tally.steps == counted + 1
    assert session.tally.cut == {}
    assert not session.ended
    # The same call, done right, breaks nothing; nor does anything else.
    assert not session.run(operation).violations
    for one in (a_map(5, 4), unmap(6), op("validate"), find(0, 99)):
        assert not session.run(one).violations
    closing = session.finish()
    assert closing is None or not closing.violations


def test_what_was_undone_is_not_done_again():
    session = session_after(*START, target=Wrong("map", more(WARN), 2))
    assert session.run(a_map(4)).violations
    assert session.run(a_map(5)).violations
    assert not session.run(a_map(6)).violations
    assert mappings(session) == [(6, 6, 0, 0)]
    assert session.target.done == [*START, a_map(6)]
    assert session.operations == [*START, a_map(4), a_map(5), a_map(6)]
    assert len(session.results) == 6
    assert session.tally.operations["map"].count == 3


def test_the_trace_is_of_what_was_done_and_not_of_what_was_done_again():
    session = session_after(*START, *FOUR, target=Wrong("map", more(WARN), 0))
    session.target.armed = 1
    before = len(session.trace)
    session.run(a_map(5))
    kinds = [word & 0xFFFF for word in session.trace.words[before * WORDS :: WORDS]]
    assert kinds.count(WARN) == 1
    assert kinds.count(PT_MAP) == 1


def test_where_doing_it_again_fails_too_the_example_ends_and_is_counted():
    session = session_after(*START, *FOUR, target=Wrong("map", stops(CRASH), 0))
    session.target.armed = 99
    outcome = session.run(a_map(5))
    assert [one.rule for one in outcome.fresh] == ["PG-2"]
    assert session.ended
    assert session.tally.cut == {"PG-2 map, legal, crashed": 1}
    assert session.tally.hits == {"PG-2 map, legal, crashed": 1}
    assert session.finish() is None


@pytest.mark.parametrize("spoil", [stops(CRASH), stops(HANG), count_off(REFS_VM, 1)])
def test_without_a_vm_the_example_ends(spoil):
    session = SYSTEM.session(Wrong("create", spoil), set())
    assert session.run(op("create")).fresh
    assert session.ended
    assert len(session.tally.cut) == 1
    assert session.finish() is None


def test_a_driver_that_raises_when_it_is_made_has_crashed():
    class Raising:
        """A driver module that cannot make a VM."""

        from reference.systems.gpuvm.driver import PAGE

        @staticmethod
        def Gpuvm(*arguments):
            raise ZeroDivisionError("the driver is broken")

    session = SYSTEM.session(GpuvmTarget(Raising, "raising"), set())
    outcome = session.run(op("create"))
    assert [one.identity for one in outcome.fresh] == [("PG-2", "create, legal, crashed")]
    assert session.ended
    other = SYSTEM.session(GpuvmTarget(Raising, "raising"), set())
    # The VM that it makes for a first call is no other.
    assert [one.rule for one in other.run(a_map(4)).fresh] == ["PG-2"]
    assert other.ended
    assert other.operations == [op("create")]


def test_a_driver_that_raises_in_a_call_has_crashed():
    class Raising(GpuvmTarget):
        def do_map(self, iova, size, bo, offset, fail_at):
            raise ZeroDivisionError("the driver is broken")

    outcome = session_after(*START, target=Raising()).run(a_map(4))
    assert outcome.result == Result(0, 0, False)
    assert [one.rule for one in outcome.violations] == ["PG-2"]
    assert not outcome.changed


def test_what_is_muted_is_counted_and_not_fresh():
    identity = ("SP-20", "map, page tables lack what is mapped")
    session, operation = wrong_session(identity, {identity})
    outcome = session.run(operation)
    assert [one.identity for one in outcome.violations] == [identity]
    assert not outcome.fresh
    assert session.tally.hits == {" ".join(identity): 1}
    everything, operation = wrong_session(identity, None)
    assert not everything.run(operation).fresh


def test_frozen_it_stays_as_it_is_when_the_rule_is_broken():
    identity = ("SP-20", "map, page tables lack what is mapped")
    session, operation = wrong_session(identity)
    session.frozen_on = identity
    outcome = session.run(operation)
    assert [one.identity for one in outcome.violations] == [identity]
    assert session.ended
    assert session.target.resets == 1
    # What was promised, and what page tables have.
    assert (5, 5, 0, 0) in mappings(session)
    assert not session.promise.state.tables.within(5 * PAGE, 5 * PAGE)
    assert session.finish() is None


def test_frozen_on_another_identity_it_goes_on():
    identity = ("SP-20", "map, page tables lack what is mapped")
    session, operation = wrong_session(identity)
    session.frozen_on = ("SP-20", "unmap, page tables lack what is mapped")
    session.run(operation)
    assert not session.ended
    assert session.target.resets == 2


# -- the life of a VM -------------------------------------------------------------------------


def test_a_first_operation_without_create_makes_a_default_vm():
    session = session_after(BO)
    assert session.operations == [op("create"), BO]
    assert (session.promise.state.first, session.promise.state.last) == (0, (1 << 48) - 1)
    assert len(session.results) == 2


@pytest.mark.parametrize("name", SPECS)
def test_after_destroy_nothing_is_done(name):
    target = Wrong("", None)
    session = session_after(op("create"), BO, a_map(0), op("destroy"), target=target)
    args = {"iova": 0} if "iova" in [arg.name for arg in SPECS[name].args] else {}
    outcome = session.run(op(name, **args))
    assert (outcome.sort, outcome.changed, outcome.violations) == (MISUSE, False, ())
    assert len(session.operations) == len(target.done) == 4
    assert session.tally.steps == 4


def test_a_second_create_is_not_done():
    session = session_after(op("create"), BO)
    outcome = session.run(op("create", size=PAGE))
    assert (outcome.sort, len(session.operations)) == (MISUSE, 2)
    assert session.promise.state.last == (1 << 48) - 1


def test_the_end_of_an_example_destroys_the_vm():
    session = session_after(op("create"), BO, a_map(0, 4), unmap(1), op("close"))
    closing = session.finish()
    assert not closing.violations
    assert session.operations[-1] == op("destroy")
    assert not session.promise.state.exists
    assert mappings(session) == []
    assert session.promise.state.vm_count() == 0
    assert session.finish() is None
    assert SYSTEM.session(GpuvmTarget(), set()).finish() is None


VMS = {
    "default": ({}, True),
    "one page": ({"size": PAGE}, True),
    "all but a page": ({"start": PAGE, "size": LAST}, True),
    "from 0": ({"size": LAST}, True),
    "the last page": ({"start": LAST, "size": PAGE}, True),
    "kernel is all": ({"size": PAGE, "kernel_size": PAGE}, True),
    "nothing": ({"size": 0}, False),
    "wraps": ({"start": 2 * PAGE, "size": LAST}, False),
    "askew": ({"start": 1}, False),
    "askew size": ({"size": 0x1800}, False),
    "askew kernel": ({"kernel_start": 0x800, "kernel_size": PAGE}, False),
    "askew kernel size": ({"kernel_size": 0x800}, False),
    "kernel before": ({"start": PAGE, "size": PAGE, "kernel_size": PAGE}, False),
    "kernel behind": (
        {"start": PAGE, "size": PAGE, "kernel_start": PAGE, "kernel_size": 2 * PAGE}, False,
    ),
    "no kernel, anywhere": ({"start": PAGE, "size": PAGE, "kernel_start": 9 * PAGE}, True),
}  # fmt: skip


@pytest.mark.parametrize("name", VMS)
def test_a_vm_that_cannot_be_is_not_made(name):
    args, can_be = VMS[name]
    create = op("create", **args)
    assert possible(create, {}) is can_be
    session = SYSTEM.session(GpuvmTarget(), set())
    outcome = session.run(create)
    assert not outcome.violations
    assert (outcome.sort == LEGAL) is session.promise.state.exists is can_be
    assert len(session.operations) == int(can_be)


def test_other_operations_can_always_be():
    assert all(possible(op(name, **{"iova": 1} if name in ("map", "unmap", "find") else {}), {})
               for name in SPECS)  # fmt: skip


def test_what_a_link_knew_goes_with_its_last_mapping_and_so_does_a_closed_buffer():
    session = session_after(op("create"), BO, a_map(0), op("evict"), unmap(0), a_map(0))
    assert session.promise.state.evicted() == []
    assert not session.run(op("validate")).violations
    session.run(op("close"))
    assert 0 in session.promise.state.buffers
    assert not session.run(unmap(0)).violations
    assert session.promise.state.buffers == {}
    assert not session.finish().violations


# -- find -------------------------------------------------------------------------------------

FOUND = {
    "first of two": (find(0, 99), 20),
    "from inside": (find(22, 1), 20),
    "the second": (find(24, 1), 24),
    "nothing": (find(26, 2), -1),
    "the kernel's part": (find(26, 9), 32),
    "inside the kernel's part": (find(35), 32),
    "a mapping before the kernel's part": (find(25, 20), 24),
    "a mapping behind the kernel's part": (find(40, 9), 45),
    "the last byte of a page": (op("find", iova=24 * PAGE - 1, size=1), 20),
    "from the middle of a page": (op("find", iova=19 * PAGE + 0x800, size=0x801), 20),
    "to the middle of a page": (op("find", iova=19 * PAGE + 0x800, size=0x800), -1),
    "a range that wraps": (find(41, size=LAST), 45),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_find_has_to_give(name):
    operation, page = FOUND[name]
    session = session_after(WINDOW, BO, a_map(20, 4), a_map(24, 2), a_map(45, 3))
    expected = page * PAGE if page >= 0 else -1
    outcome = session.run(operation)
    assert (outcome.result.value, outcome.violations) == (expected, [])


# -- what is told of it -----------------------------------------------------------------------


def told_of(identity):
    """The counterexample of a wrong target."""
    before, operation, spoil = WRONG[identity]
    operations = [*START, *before, operation]
    armed = before.count(operation) + 1
    target = Wrong(operation.name, spoil, armed)

    class Again(Wrong):
        """Spoils the last of its kind, in every example."""

        def reset(self):
            super().reset()
            self.left = [one.name for one in operations].count(operation.name)

        def perform(self, one, trace):
            if one.name == operation.name:
                self.left -= 1
                self.armed = int(self.left == 0)
            return super().perform(one, trace)

    target = Again(operation.name, spoil)
    return counterexample_of(SYSTEM, target, operations, identity, 5)


def test_the_views_of_a_counterexample():
    told = told_of(("SP-20", "map, page tables lack what is mapped"))
    views = told.views
    both = (
        Segment(4 * PAGE, 8 * PAGE - 1, 0, "buffer 0", 4 * PAGE),
        Segment(8 * PAGE, 12 * PAGE - 1, 0, "buffer 1", 4 * PAGE),
    )
    assert views.promise_before == views.hardware_before == both
    four = Segment(4 * PAGE, 5 * PAGE - 1, 0, "buffer 0", PAGE)
    rest = Segment(6 * PAGE, 8 * PAGE - 1, 2 * PAGE, "buffer 0", 2 * PAGE)
    new = Segment(5 * PAGE, 6 * PAGE - 1, 0, "buffer 0", PAGE)
    assert views.promise_after == (four, new, rest, both[1])
    assert views.hardware_after == (four, rest, both[1])
    # A page on each side of all that the operations speak of.
    assert views.window == (3 * PAGE, 13 * PAGE - 1)
    assert views.iova == 5 * PAGE
    assert views.operation == 5
    assert told.trace[views.event]["event"] == "end"
    assert (views.expected, views.observed) == ("0x5000..0x5fff -> buffer 0 from 0x0", "nothing")


@pytest.mark.parametrize("identity", [one for one in WRONG if WRONG[one][0] is not None])
def test_every_violation_can_be_told(identity):
    told = told_of(identity)
    assert (told.rule, told.signature) == identity
    text = terminal.tell(told, vocabulary=SYSTEM.vocabulary)
    assert identity[0] in text
    assert told.views.message.split()[0] in text


def test_what_is_about_no_address_has_no_window():
    session = session_after(op("create"), BO)
    violation = GpuvmViews(session, [op("create"), BO])
    assert violation._window is None
    told = told_of(("ER-1", "close, refused (no such buffer), returned success"))
    assert told.views.window is None
    assert told.views.promise_before == told.views.hardware_after == ()
    assert told.views.iova is None


def test_a_window_ends_with_the_address_space():
    session = session_after(NEAR_END, BO)
    operations = [a_map(0, 1, iova=2**64 - 2 * PAGE), find(0, size=LAST), unmap(0, 0)]
    assert GpuvmViews(session, operations)._window == (0, 2**64 - 1)
    assert GpuvmViews(session, operations[:1])._window == (2**64 - 3 * PAGE, 2**64 - 1)
    assert GpuvmViews(session, [a_map(9, 0)])._window == (8 * PAGE, 10 * PAGE)


def test_a_mapping_that_fills_the_whole_space_can_be_told():
    spoil = more(PT_MAP, 0, -1, 1 << BACKING_SHIFT)
    target = Wrong("unmap", spoil, 99)
    operations = [op("create", size=LAST), BO, unmap(0, 1, size=LAST)]
    identity = ("SP-20", "unmap, page tables told outside the range")
    told = counterexample_of(SYSTEM, target, operations, identity, 0)
    # One byte more than a word can say.
    whole = Segment(0, 2**64 - 1, 0, "buffer 1", 2**64 - 1)
    assert told.views.hardware_after == (whole,)
    assert told.views.hardware_before == ()
    text = terminal.tell(told, vocabulary=SYSTEM.vocabulary)
    assert "0xffffffffffffffff" in text
    assert "buffer 1" in text
