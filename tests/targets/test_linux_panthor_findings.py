"""What the driver of Linux does wrong, shown by few operations, and judged by the right rule."""

import pytest

from conformance.discovery import SYSTEMS
from conformance.make_counterexample import counterexample_of
from conformance.minimise import minimise, reproduces
from conformance.systems.mali.operations import SPECS
from conformance.systems.mali.targets import LinuxPanthor, MaliTarget
from reference.operations import Operation, from_json
from reports import terminal

PAGE = 0x1000
LARGE = 0x20_0000
SYSTEM = SYSTEMS["mali"]


def op(name: str, **args: int) -> Operation:
    return from_json({"op": name} | args, SPECS)


def bind(va: int, size: int = PAGE, **more: int) -> Operation:
    return op("bind", va=va, size=size, bo=0, **more)


def unbind(va: int, size: int = PAGE, **more: int) -> Operation:
    return op("bind", kind=1, va=va, size=size, **more)


CREATE, VM, BO, ACTIVE, RUN = map(op, ("create", "vm", "bo", "active", "run"))

FINDINGS: dict[str, tuple[tuple[Operation, ...], str, str]] = {
    # what is known of it: operations, rule, how its signature begins
    "KB-03 a table is freed before the flush": (
        (VM, op("bo", pieces=1), ACTIVE, bind(LARGE, LARGE), unbind(LARGE, LARGE)),
        "TL-2",
        "bind, level 2, table freed before a flush",
    ),
    "KB-04 nobody waits for the last UPDATE": (
        (VM, ACTIVE),
        "OR-10",
        "AS enabled, UPDATE not seen to end",
    ),
    "KB-14 a queued bind of no pages": (
        (VM, op("queue", kind=1, size=0)),
        "ER-1",
        "queue (unmap), refused (no pages), returned success",
    ),
    "KB-16 a large page is split at once": (
        (VM, BO, ACTIVE, bind(LARGE, LARGE), unbind(LARGE)),
        "OR-2",
        "bind, level 2, leaf -> table",
    ),
    "KB-17 a VM that is destroyed with binds queued": (
        (VM, BO, op("queue", bo=0), op("destroy_vm"), RUN),
        "RC-10",
        "run, destroyed VM lives on",
    ),
    "KB-19 the last page of the kernel's part": (
        (VM, op("alloc", size=1 << 47)),
        "ER-1",
        "alloc, legal, returned ENOSPC",
    ),
    "a command that does not end leaves entries": (
        (VM, BO, ACTIVE, op("stick", slot=1), bind(0)),
        "ER-12",
        "bind, ETIMEDOUT, page tables have more than VMAs",
    ),
}


def identity_of(target: LinuxPanthor, name: str) -> tuple[str, str]:
    """The violation that the operations of a finding end with; where it happens is left open."""
    operations, rule, start = FINDINGS[name]
    session = SYSTEMS["mali"].session(target, None)
    session.run(CREATE)
    for operation in operations:
        outcome = session.run(operation)
    found = [one.identity for one in outcome.violations]
    assert len(found) == 1, found
    assert (found[0][0], found[0][1].partition(", in ")[0]) == (rule, start)
    return found[0]


@pytest.mark.parametrize("name", FINDINGS)
def test_few_operations_show_it(panthor: LinuxPanthor, name: str) -> None:
    assert len(FINDINGS[name][0]) <= 5
    identity = identity_of(panthor, name)
    assert (identity[1].count(", in ") == 1) == (identity[0] in ("TL-2", "OR-2"))


@pytest.mark.parametrize("name", FINDINGS)
def test_our_own_driver_does_it_right(name: str) -> None:
    session = SYSTEMS["mali"].session(MaliTarget(), None)
    session.run(CREATE)
    for operation in FINDINGS[name][0]:
        assert not session.run(operation).violations
    closing = session.finish()
    assert closing is not None
    assert not closing.violations


@pytest.mark.parametrize("name", FINDINGS)
def test_the_example_goes_on_and_only_what_is_known_is_found(
    panthor: LinuxPanthor, name: str
) -> None:
    session = SYSTEMS["mali"].session(panthor, None)
    session.run(CREATE)
    for operation in FINDINGS[name][0]:
        session.run(operation)
    for operation in (op("pre_reset"), op("post_reset"), VM, BO, bind(0, vm=1), unbind(0, vm=1)):
        session.run(operation)
    session.finish()
    assert not session.ended
    # The UPDATE of every switch is not waited for.
    assert set(session.tally.violated) - {"OR-10"} <= {FINDINGS[name][1]}


@pytest.mark.parametrize("name", FINDINGS)
def test_nothing_of_it_can_go_and_it_can_be_told(panthor: LinuxPanthor, name: str) -> None:
    identity = identity_of(panthor, name)
    operations = [CREATE, *FINDINGS[name][0]]
    least = minimise(SYSTEM, panthor, operations, identity)
    assert least is not None
    # That there is a device goes without saying.
    assert [one.name for one in least] == [one.name for one in FINDINGS[name][0]]
    assert reproduces(SYSTEM, panthor, least, identity) == len(least)
    told = counterexample_of(SYSTEM, panthor, least, identity, 0)
    assert told is not None
    assert identity[0] in terminal.tell(told, vocabulary=SYSTEM.vocabulary)
