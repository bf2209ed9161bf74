"""One example: how calls are sorted, when duties fall due, and how it goes on after a violation."""

import ast
import errno
from pathlib import Path

import pytest

from conformance.discovery import SYSTEMS
from conformance.registry import make_target
from conformance.rules.rule import LEGAL, MISUSE, REFUSED
from conformance.systems.pagetable.operations import SPECS
from conformance.systems.pagetable.targets import PageTableTarget
from reference.operations import Operation, Result, from_json
from reference.systems.pagetable import promise
from reference.trace import BEGIN, END, RELEASE, WORDS

SYSTEM = SYSTEMS["pagetable"]
K4, M2, G1 = 0x1000, 0x20_0000, 0x4000_0000


def op(name, **args):
    """An operation, as a file of operations would give it."""
    return from_json({"op": name} | args, SPECS)


def a_map(iova, pgsize=K4, **more):
    return op("map", **({"iova": iova, "pa": iova % 2**39, "pgsize": pgsize} | more))


def unmap(iova, pgsize=K4, **more):
    return op("unmap", **({"iova": iova, "pgsize": pgsize} | more))


def session_after(*operations, target=None):
    """A session in which these operations were done without a violation."""
    session = SYSTEM.session(target or PageTableTarget(), set())
    for operation in operations:
        outcome = session.run(operation)
        assert [one.identity for one in outcome.violations] == []
    return session


SPLIT = op("create", block_unmap="split", bbm=2)
NARROW = op("create", ias=32, oas=40, pgsizes=K4 | M2)

CALLS = {
    "map": ([], a_map(0x5000), LEGAL, ""),
    "map-last": ([], a_map(2**48 - K4), LEGAL, ""),
    "map-last-pa": ([NARROW], a_map(0, pa=2**40 - K4), LEGAL, ""),
    "map-run-across-a-table": ([], a_map(0x1F_F000, pgcount=2), LEGAL, ""),
    "map-beside": ([a_map(0x5000)], a_map(0x6000), LEGAL, ""),
    "map-no-permission": ([], a_map(0, prot=0), REFUSED, "no permission asked for"),
    "map-no-access": ([], a_map(0, prot="cNmp"), REFUSED, "no permission asked for"),
    "map-size": ([], a_map(0, 0x2000), MISUSE, "page size is not one of the table's"),
    "map-no-size": ([], a_map(0, 0), MISUSE, "page size is not one of the table's"),
    "map-sizes": ([], a_map(0, K4 | M2), MISUSE, "page size is not one of the table's"),
    "map-other-size": ([NARROW], a_map(0, G1), MISUSE, "page size is not one of the table's"),
    "map-none": ([], a_map(0, pgcount=0), MISUSE, "no pages"),
    "map-askew": ([], a_map(0x5800), MISUSE, "iova is not aligned"),
    "map-askew-block": ([], a_map(K4, M2), MISUSE, "iova is not aligned"),
    "map-beyond": ([], a_map(2**48), MISUSE, "beyond the input size"),
    "map-far-beyond": ([], a_map(2**64 - K4), MISUSE, "beyond the input size"),
    "map-beyond-narrow": ([NARROW], a_map(2**32), MISUSE, "beyond the input size"),
    "map-past": ([], a_map(2**48 - K4, pgcount=2), MISUSE, "runs past the input size"),
    "map-askew-pa": ([], a_map(0, pa=0x800), MISUSE, "pa is not aligned"),
    "map-askew-block-pa": ([], a_map(0, M2, pa=K4), MISUSE, "pa is not aligned"),
    "map-beyond-pa": ([NARROW], a_map(0, pa=2**40), MISUSE, "beyond the output size"),
    "map-past-pa": ([NARROW], a_map(0, pa=2**40 - K4, pgcount=2), MISUSE, "beyond the output size"),
    "map-negative-pa": ([], a_map(0, pa=2**64 - K4), MISUSE, "beyond the output size"),
    "map-again": ([a_map(0x5000)], a_map(0x5000), MISUSE, "something is mapped there"),
    "map-into": ([a_map(0, M2)], a_map(0x5000), MISUSE, "something is mapped there"),
    "map-over": ([a_map(0x5000)], a_map(0, M2), MISUSE, "something is mapped there"),
    "map-run-over": (
        [a_map(0x5000)], a_map(0x3000, pgcount=3), MISUSE, "something is mapped there",
    ),
    "map-before-sync": (
        [a_map(0x5000), unmap(0x5000)], a_map(0x5000), MISUSE,
        "address reused before it was released",
    ),
    "map-before-flush": (
        [a_map(0x5000), unmap(0x5000, gather="queued"), op("sync")], a_map(0x5000), MISUSE,
        "address reused before it was released",
    ),
    "map-before-release": (
        [a_map(0x5000), unmap(0x5000), op("sync")], a_map(0, M2), MISUSE,
        "address reused before it was released",
    ),
    "map-after-release": (
        [a_map(0x5000), unmap(0x5000), op("sync"), op("release")], a_map(0x5000), LEGAL, "",
    ),
    "map-beside-waiting": ([a_map(0x5000), unmap(0x5000)], a_map(0x6000), LEGAL, ""),
    "unmap": ([a_map(0x5000)], unmap(0x5000), LEGAL, ""),
    "unmap-block": ([a_map(0, M2)], unmap(0, M2), LEGAL, ""),
    "unmap-table": ([a_map(0, pgcount=512)], unmap(0, M2), LEGAL, ""),
    "unmap-hole": ([], unmap(0x5000), MISUSE, "nothing is mapped in a part of the range"),
    "unmap-past-run": (
        [a_map(0x5000)], unmap(0x5000, pgcount=2), MISUSE,
        "nothing is mapped in a part of the range",
    ),
    "unmap-sparse-table": (
        [a_map(0, pgcount=511)], unmap(0, M2), MISUSE, "nothing is mapped in a part of the range",
    ),
    "unmap-twice": (
        [a_map(0x5000), unmap(0x5000)], unmap(0x5000), MISUSE,
        "nothing is mapped in a part of the range",
    ),
    "unmap-part-refused": ([a_map(0, M2)], unmap(0x5000), MISUSE, "part of a block"),
    "unmap-part-split": ([SPLIT, a_map(0, M2)], unmap(0x5000), LEGAL, ""),
    "unmap-size": ([], unmap(0, 0x2000), MISUSE, "page size is not one of the table's"),
    "unmap-none": ([a_map(0)], unmap(0, pgcount=0), MISUSE, "no pages"),
    "unmap-askew": ([a_map(0)], unmap(0x800), MISUSE, "iova is not aligned"),
    "unmap-beyond": ([], unmap(2**48), MISUSE, "beyond the input size"),
    "unmap-past": (
        [a_map(2**48 - K4)], unmap(2**48 - K4, pgcount=2), MISUSE, "runs past the input size",
    ),
    "translate": ([a_map(0x5000)], op("translate", iova=0x5123), LEGAL, ""),
    "translate-hole": ([], op("translate", iova=0x5000), LEGAL, ""),
    "translate-last": ([], op("translate", iova=2**48 - 1), LEGAL, ""),
    "translate-beyond": ([], op("translate", iova=2**48), MISUSE, "beyond the input size"),
    "translate-far": ([], op("translate", iova=2**64 - 1), MISUSE, "beyond the input size"),
    "sync": ([], op("sync"), LEGAL, ""),
    "flush": ([], op("flush"), LEGAL, ""),
    "release": ([], op("release"), LEGAL, ""),
    "destroy": ([], op("destroy"), LEGAL, ""),
    "create": ([], op("create"), LEGAL, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_sorted_before_it_is_made(name):
    before, call, sort, reason = CALLS[name]
    if call.name != "create" and (not before or before[0].name != "create"):
        before = [op("create"), *before]
    session = session_after(*before)
    if call.name != "create":
        errors = (-errno.EINVAL,) if sort == REFUSED else ()
        sorted_as = session.promise.before(call)
        assert (sorted_as.sort, sorted_as.reason, sorted_as.errors) == (sort, reason, errors)
    outcome = session.run(call)
    assert outcome.sort == sort
    # The reference does nothing wrong, whatever it is asked.
    assert [one.identity for one in outcome.violations] == []
    assert not session.ended


def test_every_reason_has_an_example():
    # The source lies beside the module, compiled or not.
    source = ast.parse(Path(promise.__file__).with_name("promise.py").read_text())
    functions = {node.name: node for node in ast.walk(source) if isinstance(node, ast.FunctionDef)}
    said = [
        word
        for name, function in functions.items()
        if name.startswith("misuse_of_")
        for returned in ast.walk(function)
        if isinstance(returned, ast.Return)
        for word in ast.walk(returned)
    ] + [
        call.args[0]
        for call in ast.walk(functions["_sort"])
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("misuse", "refuse")
    ]
    reasons = {word.value for word in said if isinstance(word, ast.Constant)}
    reasons |= {
        getattr(promise, word.id)
        for word in said
        if isinstance(word, ast.Name) and word.id.isupper()
    }
    assert reasons == {reason for _, _, _, reason in CALLS.values()}


# -- duties -----------------------------------------------------------------------------------


def duties(session):
    waiting = session.promise.table.duties
    return waiting.strict, waiting.queued, waiting.flushed


def test_a_strict_unmap_waits_for_sync_and_then_for_release():
    session = session_after(op("create"), a_map(0x5000, pgcount=2), unmap(0x5000, pgcount=2))
    page = [(0x5000, 0x6FFF)]
    assert duties(session) == (page, [], [])
    session.run(op("flush"))
    assert duties(session) == (page, [], [])
    session.run(op("sync"))
    assert duties(session) == ([], [], page)
    assert session.promise.table.duties.is_waiting(0x6000, 0x6FFF)
    session.run(op("release"))
    assert duties(session) == ([], [], [])
    assert not session.promise.table.duties.is_waiting(0, 2**48 - 1)


def test_a_queued_unmap_waits_for_flush_and_then_for_release():
    session = session_after(op("create"), a_map(0, M2), unmap(0, M2, gather="queued"))
    block = [(0, M2 - 1)]
    assert duties(session) == ([], block, [])
    session.run(op("sync"))
    session.run(op("release"))
    assert duties(session) == ([], block, [])
    session.run(op("flush"))
    assert duties(session) == ([], [], block)


def test_a_release_is_an_event_for_each_range_and_nothing_that_the_target_sees():
    class Counting(PageTableTarget):
        names = ()

        def perform(self, operation, trace):
            Counting.names = (*Counting.names, operation.name)
            return super().perform(operation, trace)

    session = session_after(
        op("create"), a_map(0x5000), a_map(0x9000), unmap(0x5000), unmap(0x9000), op("sync"),
        target=Counting(),
    )  # fmt: skip
    begin = len(session.trace)
    session.run(op("release"))
    words = session.trace.words[begin * WORDS :]
    events = [(words[at] & 0xFFFF, *words[at + 1 : at + 3]) for at in range(0, len(words), WORDS)]
    assert events[0][0] == BEGIN
    assert events[1:3] == [(RELEASE, 0x5000, 0x5FFF), (RELEASE, 0x9000, 0x9FFF)]
    assert events[3][0] == END
    assert "release" not in Counting.names


class Forgetful(PageTableTarget):
    """Does not do the operation called ``forgotten``."""

    forgotten = ""

    def perform(self, operation, trace):
        if operation.name == self.forgotten:
            return Result()
        return super().perform(operation, trace)


@pytest.mark.parametrize(
    ("gather", "due", "others"),
    [("strict", "sync", []), ("queued", "flush", [op("sync"), op("release")])],
)
def test_a_stale_leaf_is_a_violation_when_the_duty_falls_due_and_not_before(gather, due, others):
    target = Forgetful()
    target.forgotten = due
    session = session_after(
        op("create"), a_map(0x5000), unmap(0x5000, gather=gather), op("translate", iova=0x5000),
        *others, target=target,
    )  # fmt: skip
    outcome = session.run(op(due))
    assert [(one.rule, one.iova) for one in outcome.fresh] == [("TL-1", 0x5000)]
    # It was reported; the release that follows is no second one.
    assert not session.run(op("release")).violations
    assert not session.run(a_map(0x5000)).violations


def test_a_flush_that_comes_too_early_does_not_count():
    target = Forgetful()
    session = session_after(op("create"), a_map(0x5000), op("flush"), op("sync"), target=target)
    target.forgotten = "flush"
    session.run(unmap(0x5000, gather="queued"))
    assert [one.rule for one in session.run(op("flush")).fresh] == ["TL-1"]


# -- after a violation ------------------------------------------------------------------------


def test_the_promise_takes_over_a_wrong_permission():
    session = session_after(op("create"), target=make_target("mutant:wrong-attribute"))
    outcome = session.run(a_map(0x5000, prot="r"))
    assert {one.rule for one in outcome.violations} == {"TR-2"}
    for operation in (
        op("translate", iova=0x5000), a_map(0x9000, prot="r"), unmap(0x5000), op("sync"),
        op("release"), a_map(0x5000),
    ):  # fmt: skip
        assert [one.identity for one in session.run(operation).violations] == []
    assert not session.finish().violations


def test_the_promise_takes_over_a_page_that_is_missing():
    session = session_after(op("create"), target=make_target("mutant:run-one-short"))
    outcome = session.run(a_map(0x5000, pgcount=2))
    assert [(one.rule, one.iova) for one in outcome.violations] == [("TR-1", 0x6000)]
    assert session.promise.table.translations.lookup(0x5000)[0] == 0x5000
    assert session.promise.table.translations.lookup(0x6000)[0] == -1
    assert not session.run(op("translate", iova=0x6000)).violations
    second = session.run(a_map(0x6000))
    assert (second.sort, [one.identity for one in second.violations]) == (LEGAL, [])
    assert not session.finish().violations


def test_the_promise_takes_over_a_lost_table():
    session = session_after(op("create"), target=make_target("mutant:table-leaked"))
    session.run(a_map(0, pgcount=512))
    outcome = session.run(unmap(0, M2))
    assert [one.rule for one in outcome.violations] == ["RC-1"]
    for operation in (op("sync"), op("release"), a_map(0), unmap(0), op("destroy")):
        assert not session.run(operation).violations


class Rounding(PageTableTarget):
    """Maps at the page that a misaligned pa lies in, instead of refusing the call."""

    def perform(self, operation, trace):
        if operation.name == "map":
            args = dict(operation.args)
            args["pa"] = int(args["pa"]) & -int(args["pgsize"])
            operation = Operation("map", args)
        return super().perform(operation, trace)


def test_entries_that_mean_nothing_are_undone():
    session = session_after(op("create"), a_map(0x9000), target=Rounding())
    outcome = session.run(a_map(0x5000, pa=0x1800))
    assert (outcome.sort, outcome.result.value) == (MISUSE, K4)
    assert not outcome.fresh
    assert not session.ended
    for iova, pa in ((0x5000, 0), (0x9000, 0x9000)):
        again = session.run(op("translate", iova=iova))
        assert again.result.value == pa
        assert not again.violations
    # It is told and counted as it was done.
    assert [one.name for one in session.operations] == [
        "create",
        "map",
        "map",
        "translate",
        "translate",
    ]
    assert session.tally.operations["map"].count == 2
    assert session.tally.operations["create"].count == 1


def test_violations_of_a_misuse_say_so():
    class Overwriting(PageTableTarget):
        """Unmaps what is in the way, and tells nobody."""

        def perform(self, operation, trace):
            if operation.name == "map":
                super().perform(unmap(operation.args["iova"]), trace)
                super().perform(op("sync"), trace)
            return super().perform(operation, trace)

    session = session_after(op("create"), a_map(0x5000), target=Overwriting())
    outcome = session.run(a_map(0x5000, pa=0x7000))
    assert outcome.sort == MISUSE
    assert {(one.rule, one.label) for one in outcome.violations} == {("ER-3", "misuse")}
    # What the target did is what is promised now.
    assert session.run(op("translate", iova=0x5000)).result.value == 0x7000
    assert not session.finish().violations


def test_what_is_muted_is_counted_and_not_fresh():
    identity = ("TR-1", "map, level 3, mapped wanted, invalid found")
    session = SYSTEM.session(make_target("mutant:run-one-short"), {identity})
    outcome = session.run(a_map(0x5000, pgcount=2))
    assert [one.identity for one in outcome.violations] == [identity]
    assert not outcome.fresh
    assert session.tally.hits == {" ".join(identity): 1}
    everything = SYSTEM.session(make_target("mutant:run-one-short"), None)
    assert not everything.run(a_map(0x5000, pgcount=2)).fresh


# -- the life of a table ----------------------------------------------------------------------


def test_a_first_operation_without_create_makes_a_default_table():
    session = session_after(a_map(0x5000))
    assert session.operations == [op("create"), a_map(0x5000)]
    assert session.promise.table.config["pgsizes"] == K4 | M2 | G1
    assert (session.promise.table.config["ias"], session.promise.table.config["oas"]) == (48, 48)
    assert len(session.results) == 2


@pytest.mark.parametrize("name", [name for name in SPECS if name != "create"])
def test_after_destroy_only_create_does_anything(name):
    class Counting(PageTableTarget):
        calls = 0

        def perform(self, operation, trace):
            Counting.calls += 1
            return super().perform(operation, trace)

    session = session_after(op("create"), a_map(0x5000), op("destroy"), target=Counting())
    assert (session.promise.table is not None, Counting.calls) == (False, 3)
    args = {"iova": 0} if "iova" in [arg.name for arg in SPECS[name].args] else {}
    outcome = session.run(op(name, **args))
    assert (outcome.sort, outcome.changed, outcome.violations) == (MISUSE, False, ())
    assert (len(session.operations), Counting.calls) == (3, 3)
    again = session.run(op("create"))
    assert (again.sort, len(session.operations)) == (LEGAL, 4)
    assert not session.run(a_map(0x5000)).violations


def test_a_second_create_is_not_done():
    session = session_after(op("create"), a_map(0x5000))
    outcome = session.run(op("create", ias=32))
    assert (outcome.sort, len(session.operations)) == (MISUSE, 2)
    assert session.promise.table.config["ias"] == 48


def test_the_end_of_an_example_destroys_the_table():
    session = session_after(op("create"), a_map(0x5000))
    assert not session.finish().violations
    assert session.operations[-1] == op("destroy")
    assert session.promise.table is None
    assert session.finish() is None
    assert SYSTEM.session(PageTableTarget(), set()).finish() is None


def test_what_a_step_changed_is_told():
    session = session_after(op("create"))
    for operation, changed in (
        (a_map(0x5000), True),
        (a_map(0x5000), False),
        (op("translate", iova=0x5000), False),
        (op("sync"), False),
        (unmap(0x5000), True),
        (unmap(0x5000), False),
        (op("sync"), True),
        (op("release"), True),
        (op("release"), False),
        (op("destroy"), True),
    ):
        assert session.run(operation).changed is changed, operation
    counts = session.tally.operations
    assert (counts["map"].count, counts["map"].changed, counts["map"].misuse) == (2, 1, 1)
    assert session.tally.steps == 11
