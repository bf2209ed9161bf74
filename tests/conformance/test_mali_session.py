"""One example of a Mali device: how calls are sorted, what is judged, and how it goes on."""

import ast
import errno
import re
from importlib import resources

import pytest

from conformance.discovery import SYSTEMS
from conformance.make_counterexample import counterexample_of
from conformance.rules.rule import LEGAL, MISUSE, REFUSED
from conformance.systems.mali.operations import SPECS, possible
from conformance.systems.mali.rules import MALI
from conformance.systems.mali.targets import MaliTarget
from conformance.systems.mali.telling import MaliViews
from reference import trace as t
from reference.formats.access import READ, WRITE
from reference.operations import Operation, Result, from_json
from reference.systems.gpuvm.events import BACKING_SHIFT, VMA_ADD, VMA_REMOVE
from reference.systems.mali import events as mali_events
from reference.systems.mali import promise as mali_promise
from reference.systems.mali.device import (
    COMMAND,
    FLUSH_MEM,
    FLUSH_PT,
    INT_CLEAR,
    INT_MASK,
    LOCK,
    LOCKADDR,
    MEMATTR,
    STATUS,
    TRANSCFG,
    TRANSTAB,
    UPDATE,
    offset_of,
    place_at,
)
from reference.systems.mali.promise import ALL, HANDLES, LIMIT_FENCES
from reference.trace import WORDS, Trace
from reference.words import to_signed
from reports import terminal
from reports.counterexample import Segment

PAGE = 0x1000
LARGE = 0x20_0000
SYSTEM = SYSTEMS["mali"]
KERNEL = 1 << 47
"""Where the kernel's part of a VM begins, if nothing else is asked for."""
NEVER = 2**64 - 1
"""The address that stands for any; and no buffer."""
MAP, UNMAP, WAIT = 0, 1, 2

INVALID, GONE, FULL, BUSY = -errno.EINVAL, -errno.ENODEV, -errno.ENOSPC, -errno.EBUSY
STUCK, NO_MEMORY = -errno.ETIMEDOUT, -errno.ENOMEM


def op(name, **args):
    """An operation, as a file of operations would give it."""
    return from_json({"op": name} | args, SPECS)


def bind(page, count=1, bo=0, **more):
    return op("bind", **({"va": page * PAGE, "size": count * PAGE, "bo": bo} | more))


def unbind(page, count=1, **more):
    return op("bind", **({"kind": UNMAP, "va": page * PAGE, "size": count * PAGE} | more))


def queue(page, count=1, bo=0, **more):
    return op("queue", **({"va": page * PAGE, "size": count * PAGE, "bo": bo} | more))


def active(vm=0):
    return op("active", vm=vm)


def idle(vm=0):
    return op("idle", vm=vm)


CREATE, VM, BO, RUN, FENCE = op("create"), op("vm"), op("bo"), op("run"), op("fence")
SUSPEND, RESUME = op("suspend"), op("resume")
PRE_RESET, POST_RESET = op("pre_reset"), op("post_reset")
UNPLUG, CLOSE_FILE = op("unplug"), op("close_file")
DESTROY = op("destroy_vm")


def session_after(*operations, target=None):
    """A session in which these operations were done without a violation."""
    session = SYSTEM.session(target or MaliTarget(), set())
    for operation in operations:
        outcome = session.run(operation)
        assert [one.identity for one in outcome.violations] == [], operation
    return session


def mappings(session, vm=0):
    """What is promised: (first page, last page, buffer, page of it)."""
    return [
        (one.first // PAGE, one.last // PAGE, one.buffer, one.offset // PAGE)
        for one in session.promise.state.vms[vm].promise.within(0, ALL - 1)
    ]


def sorting(session, call):
    """How a call is sorted: (sort, reason, allowed errnos)."""
    sorted_as = session.promise.sort(call)
    return sorted_as.sort, sorted_as.reason, sorted_as.errors


# -- how calls are sorted -----------------------------------------------------------------------

ON = (CREATE, VM, BO)
OFF = (*ON, UNPLUG)
DESTROYED = (*ON, DESTROY)
SMALL = op("bo", size=4 * PAGE)
OTHER = (*ON, VM, op("bo", vm=1))
"""Buffer 1 is one of VM 1's alone."""
UNUSABLE = (
    *ON, active(), op("stick", slot=1), queue(4), RUN, PRE_RESET, POST_RESET,
)  # fmt: skip
"""A queued bind of the VM has failed."""
NODE = (*ON, op("alloc", size=4 * PAGE))
TASK = 1 << 47
FENCES = LIMIT_FENCES
MOST = (CREATE, *[VM] * HANDLES)
MANY = (CREATE, *[one for number in range(128) for one in (VM, op("destroy_vm", vm=number))])
HALF_ASLEEP = (*ON, SUSPEND)
IN_RESET = (*ON, PRE_RESET)

CALLS = {
    # name: what was done before, the call, sort, reason, allowed errno (0: success)
    "create": ((), CREATE, LEGAL, "", 0),
    "vm": ((CREATE,), VM, LEGAL, "", 0),
    "vm-all-but-least": ((CREATE,), op("vm", user_va=(1 << 48) - (1 << 28)), LEGAL, "", 0),
    "vm-no-kernel": (
        (CREATE,), op("vm", user_va=(1 << 48) - (1 << 28) + PAGE), REFUSED,
        "no room for the kernel's part", INVALID,
    ),
    "vm-asleep": (HALF_ASLEEP, VM, LEGAL, "", 0),
    "vm-in-reset": (IN_RESET, VM, LEGAL, "", 0),
    "vm-gone": (OFF, VM, REFUSED, "unplugged", GONE),
    "vm-33rd": (MOST, VM, REFUSED, "too many handles", BUSY),
    "vm-32nd": (MOST[:-1], VM, LEGAL, "", 0),
    "vm-129th": (MANY, VM, REFUSED, "too many VMs", FULL),
    "destroy": (ON, DESTROY, LEGAL, "", 0),
    "destroy-again": (DESTROYED, DESTROY, REFUSED, "no such VM", INVALID),
    "destroy-none": (ON, op("destroy_vm", vm=1), REFUSED, "no such VM", INVALID),
    "destroy-gone": (OFF, DESTROY, LEGAL, "", 0),
    "bo": (ON, BO, LEGAL, "", 0),
    "bo-private": (ON, op("bo", vm=0), LEGAL, "", 0),
    "bo-in-pieces": (ON, op("bo", pieces=1 << 18), LEGAL, "", 0),
    "bo-gone": (OFF, BO, LEGAL, "", 0),
    "bo-nothing": (ON, op("bo", size=0), REFUSED, "no size of a buffer", INVALID),
    "bo-askew": (ON, op("bo", size=PAGE + 1), REFUSED, "no size of a buffer", INVALID),
    "bo-large": (ON, op("bo", size=1 << 48), REFUSED, "no size of a buffer", INVALID),
    "bo-no-vm": (ON, op("bo", vm=1), REFUSED, "no such VM", INVALID),
    "bo-destroyed-vm": (DESTROYED, op("bo", vm=0), REFUSED, "no such VM", INVALID),
    "bo-257th": ((CREATE, *[SMALL] * 256), BO, REFUSED, "too many buffers", FULL),
    "close": (ON, op("close"), LEGAL, "", 0),
    "close-mapped": ((*ON, bind(0)), op("close"), LEGAL, "", 0),
    "close-again": ((*ON, op("close")), op("close"), REFUSED, "no such buffer", INVALID),
    "close-none": (ON, op("close", bo=1), REFUSED, "no such buffer", INVALID),
    "bind": (ON, bind(0), LEGAL, "", 0),
    "bind-over": ((*ON, active(), bind(0, 4)), bind(1, 2), LEGAL, "", 0),
    "bind-last-page": (ON, bind(0, va=KERNEL - PAGE), LEGAL, "", 0),
    "bind-all-of-buffer": ((*ON, SMALL), bind(0, 4, bo=1), LEGAL, "", 0),
    "bind-its-last-page": ((*ON, SMALL), bind(0, bo=1, offset=3 * PAGE), LEGAL, "", 0),
    "bind-its-owner": (OTHER, bind(0, bo=1, vm=1), LEGAL, "", 0),
    "bind-nothing": (ON, bind(0, 0, bo=9), LEGAL, "", 0),
    "bind-nothing-askew": (ON, bind(0, 0, va=1, offset=3, kind=7), LEGAL, "", 0),
    "bind-asleep": (HALF_ASLEEP, bind(0), LEGAL, "", 0),
    "bind-in-reset": (IN_RESET, bind(0), LEGAL, "", 0),
    "bind-gone": (OFF, bind(0), REFUSED, "unplugged", GONE),
    "bind-no-vm": (ON, bind(0, vm=1), REFUSED, "no such VM", INVALID),
    "bind-destroyed": (DESTROYED, bind(0), REFUSED, "no such VM", INVALID),
    "bind-kind": (ON, bind(0, kind=3), REFUSED, "no such kind of bind", INVALID),
    "bind-wait": ((*ON, SMALL), bind(0, kind=WAIT), REFUSED, "no such kind of bind", INVALID),
    "bind-askew": (ON, bind(0, va=0x800), REFUSED, "not whole pages", INVALID),
    "bind-askew-size": (ON, bind(0, size=0x800), REFUSED, "not whole pages", INVALID),
    "bind-askew-offset": (ON, bind(0, offset=0x800), REFUSED, "not whole pages", INVALID),
    "bind-flags": (ON, bind(0, flags=8), REFUSED, "unknown flags", INVALID),
    "bind-no-buffer": (ON, bind(0, bo=1), REFUSED, "no such buffer", INVALID),
    "bind-buffer-none": (ON, bind(0, bo=-1), REFUSED, "no such buffer", INVALID),
    "bind-closed": ((*ON, op("close")), bind(0), REFUSED, "no such buffer", INVALID),
    "bind-beyond": ((*ON, SMALL), bind(0, 5, bo=1), REFUSED, "beyond the buffer", INVALID),
    "bind-past": (
        (*ON, SMALL), bind(0, 2, bo=1, offset=3 * PAGE), REFUSED, "beyond the buffer", INVALID,
    ),
    "bind-other-vm": (OTHER, bind(0, bo=1), REFUSED, "buffer of another VM", INVALID),
    "bind-unusable": (UNUSABLE, bind(0), REFUSED, "VM is unusable", INVALID),
    "bind-kernel": (ON, bind(0, va=KERNEL), REFUSED, "in the kernel's part", INVALID),
    "bind-into-kernel": (
        ON, bind(0, 2, va=KERNEL - PAGE), REFUSED, "in the kernel's part", INVALID,
    ),
    "bind-outside": (ON, bind(0, va=1 << 48), REFUSED, "outside the VM", INVALID),
    "bind-out": (ON, bind(0, 2, va=(1 << 48) - PAGE), REFUSED, "outside the VM", INVALID),
    "bind-wrap": (ON, bind(0, 2, va=2**64 - PAGE), REFUSED, "outside the VM", INVALID),
    "unbind": ((*ON, bind(0)), unbind(0), LEGAL, "", 0),
    "unbind-hole": (ON, unbind(0, 5), LEGAL, "", 0),
    "unbind-all": ((*ON, bind(0)), unbind(0, size=KERNEL), LEGAL, "", 0),
    "unbind-unusable": (UNUSABLE, unbind(0), LEGAL, "", 0),
    "unbind-flags": (ON, unbind(0, flags=1), REFUSED, "unknown flags", INVALID),
    "unbind-buffer": (ON, unbind(0, bo=0), REFUSED, "unmap of a buffer", INVALID),
    "unbind-offset": (ON, unbind(0, offset=PAGE), REFUSED, "unmap of a buffer", INVALID),
    "unbind-kernel": (NODE, unbind(0, va=KERNEL), REFUSED, "in the kernel's part", INVALID),
    "queue": (ON, queue(0), LEGAL, "", 0),
    "queue-unmap": (ON, queue(0, kind=UNMAP, bo=-1), LEGAL, "", 0),
    "queue-wait": (ON, queue(0, 0, kind=WAIT, bo=-1), LEGAL, "", 0),
    "queue-behind": ((*ON, FENCE), queue(0, fence=0), LEGAL, "", 0),
    "queue-gone": (OFF, queue(0), REFUSED, "unplugged", GONE),
    "queue-1025th": ((*ON, *[FENCE] * FENCES), queue(0), REFUSED, "too many fences", FULL),
    "queue-no-vm": (DESTROYED, queue(0), REFUSED, "no such VM", INVALID),
    "queue-no-fence": ((*ON, FENCE), queue(0, fence=1), REFUSED, "no such fence", INVALID),
    "queue-unusable": (
        UNUSABLE, queue(0, kind=UNMAP, bo=-1), REFUSED, "VM is unusable", INVALID,
    ),
    "queue-nothing": (ON, queue(0, 0), REFUSED, "no pages", INVALID),
    "queue-kind": (ON, queue(0, kind=3), REFUSED, "no such kind of bind", INVALID),
    "queue-askew": (ON, queue(0, va=1), REFUSED, "not whole pages", INVALID),
    "queue-flags": (ON, queue(0, flags=8), REFUSED, "unknown flags", INVALID),
    "queue-beyond": (
        ON, queue(0, offset=(1 << 22)), REFUSED, "beyond the buffer", INVALID,
    ),
    "queue-kernel": (ON, queue(0, va=KERNEL), REFUSED, "in the kernel's part", INVALID),
    "queue-wrap": (ON, queue(0, 2, va=2**64 - PAGE), REFUSED, "outside the VM", INVALID),
    **{
        f"queue-wait-{name}": (
            ON, queue(0, 0, **({"kind": WAIT, "bo": -1} | args)), REFUSED, "not only waiting",
            INVALID,
        )
        for name, args in {
            "bo": {"bo": 0}, "va": {"va": PAGE}, "size": {"size": PAGE}, "flags": {"flags": 1},
            "offset": {"offset": PAGE},
        }.items()
    },
    "fence": (ON, FENCE, LEGAL, "", 0),
    "fence-1025th": ((CREATE, *[FENCE] * FENCES), FENCE, REFUSED, "too many fences", FULL),
    "signal": ((*ON, FENCE), op("signal"), LEGAL, "", 0),
    "signal-again": (
        (*ON, FENCE, op("signal")), op("signal"), REFUSED, "signalled already", INVALID,
    ),
    "signal-none": (ON, op("signal"), REFUSED, "no such fence of the process", INVALID),
    "signal-queued": (
        (*ON, queue(0)), op("signal"), REFUSED, "no such fence of the process", INVALID,
    ),
    "run": (ON, RUN, LEGAL, "", 0),
    "active": (ON, active(), LEGAL, "", 0),
    "active-again": ((*ON, active()), active(), LEGAL, "", 0),
    "active-none": (ON, active(1), REFUSED, "no such VM", INVALID),
    "active-destroyed": (DESTROYED, active(), REFUSED, "no such VM", INVALID),
    "active-gone": (OFF, active(), REFUSED, "unplugged", GONE),
    "active-asleep": (HALF_ASLEEP, active(), REFUSED, "device cannot be used", INVALID),
    "active-in-reset": (IN_RESET, active(), REFUSED, "device cannot be used", INVALID),
    "active-dying": (
        (*ON, active(), DESTROY), active(), MISUSE, "a job of a destroyed VM", INVALID,
    ),
    "active-evicts": (
        (op("create", slots=2), VM, VM, active(), idle()), active(1), LEGAL, "", 0,
    ),
    "active-crowd": (
        (op("create", slots=2), VM, VM, active()), active(1), MISUSE,
        "all address spaces are in use", BUSY,
    ),
    "idle": ((*ON, active()), idle(), LEGAL, "", 0),
    "idle-dying": ((*ON, active(), DESTROY), idle(), LEGAL, "", 0),
    "idle-none": (ON, idle(), REFUSED, "no job uses the VM", INVALID),
    "idle-again": ((*ON, active(), idle()), idle(), REFUSED, "no job uses the VM", INVALID),
    "idle-no-vm": (ON, idle(7), REFUSED, "no job uses the VM", INVALID),
    "idle-slept": (
        (*ON, active(), SUSPEND), idle(), REFUSED, "no job uses the VM", INVALID,
    ),
    "fault": (ON, op("fault"), LEGAL, "", 0),
    "fault-last": (ON, op("fault", slot=3), LEGAL, "", 0),
    "fault-none": (
        ON, op("fault", slot=4), REFUSED, "no such address space, or no power", INVALID,
    ),
    "fault-asleep": (
        HALF_ASLEEP, op("fault"), REFUSED, "no such address space, or no power", INVALID,
    ),
    "stick": (ON, op("stick", polls=3), LEGAL, "", 0),
    "stick-absent": (ON, op("stick", slot=15, polls=3), LEGAL, "", 0),
    "stick-none": (ON, op("stick", slot=16), REFUSED, "no such address space", INVALID),
    "pre_reset": (ON, PRE_RESET, LEGAL, "", 0),
    "pre_reset-again": (IN_RESET, PRE_RESET, REFUSED, "device cannot be used", INVALID),
    "pre_reset-asleep": (HALF_ASLEEP, PRE_RESET, REFUSED, "device cannot be used", INVALID),
    "pre_reset-gone": (OFF, PRE_RESET, REFUSED, "device cannot be used", INVALID),
    "post_reset": (IN_RESET, POST_RESET, LEGAL, "", 0),
    "post_reset-none": (ON, POST_RESET, REFUSED, "no reset has begun", INVALID),
    "suspend": (ON, SUSPEND, LEGAL, "", 0),
    "suspend-again": (HALF_ASLEEP, SUSPEND, REFUSED, "device cannot be used", INVALID),
    "suspend-in-reset": (IN_RESET, SUSPEND, REFUSED, "device cannot be used", INVALID),
    "resume": (HALF_ASLEEP, RESUME, LEGAL, "", 0),
    "resume-awake": (ON, RESUME, REFUSED, "device is awake, or gone", INVALID),
    "unplug": (ON, UNPLUG, LEGAL, "", 0),
    "unplug-again": (OFF, UNPLUG, REFUSED, "gone, or in a reset", INVALID),
    "unplug-in-reset": (IN_RESET, UNPLUG, REFUSED, "gone, or in a reset", INVALID),
    "unplug-asleep": (HALF_ASLEEP, UNPLUG, MISUSE, "unplugged while asleep", INVALID),
    "close_file": ((*ON, active()), CLOSE_FILE, LEGAL, "", 0),
    "alloc": (ON, op("alloc"), LEGAL, "", 0),
    "alloc-buffer": (ON, op("alloc", bo=0, offset=PAGE), LEGAL, "", 0),
    "alloc-there": (ON, op("alloc", va=KERNEL + PAGE), LEGAL, "", 0),
    "alloc-behind": (NODE, op("alloc", va=KERNEL + 4 * PAGE), LEGAL, "", 0),
    "alloc-gone": (OFF, op("alloc"), REFUSED, "unplugged", GONE),
    "alloc-no-vm": (DESTROYED, op("alloc"), REFUSED, "no such VM", INVALID),
    "alloc-nothing": (ON, op("alloc", size=0), REFUSED, "not whole pages", INVALID),
    "alloc-askew": (ON, op("alloc", size=1), REFUSED, "not whole pages", INVALID),
    "alloc-askew-va": (ON, op("alloc", va=KERNEL + 1), REFUSED, "not whole pages", INVALID),
    "alloc-askew-offset": (ON, op("alloc", bo=0, offset=1), REFUSED, "not whole pages", INVALID),
    "alloc-no-buffer": (ON, op("alloc", bo=1), REFUSED, "no such buffer", INVALID),
    "alloc-beyond": (
        ON, op("alloc", bo=0, offset=1 << 22), REFUSED, "beyond the buffer", INVALID,
    ),
    "alloc-other-vm": (OTHER, op("alloc", bo=1), REFUSED, "buffer of another VM", INVALID),
    "alloc-below": (ON, op("alloc", va=KERNEL - PAGE), REFUSED, "no room", FULL),
    "alloc-over": (NODE, op("alloc", va=KERNEL + 3 * PAGE), REFUSED, "no room", FULL),
    "alloc-too-much": (ON, op("alloc", size=KERNEL + PAGE), REFUSED, "no room", FULL),
    "alloc-all": (NODE, op("alloc", size=KERNEL), REFUSED, "no room", FULL),
    "free": (NODE, op("free"), LEGAL, "", 0),
    "free-again": ((*NODE, op("free")), op("free"), REFUSED, "no such node", INVALID),
    "free-none": (NODE, op("free", node=1), REFUSED, "no such node", INVALID),
    "free-destroyed": ((*NODE, DESTROY), op("free"), REFUSED, "no such node", INVALID),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_sorted_before_it_is_made_and_the_reference_answers_so(name):
    before, call, sort, reason, result = CALLS[name]
    session = session_after(*before)
    if call.name != "create":
        assert sorting(session, call)[:2] == (sort, reason)
        if result:
            assert sorting(session, call)[2] == (result,)
    promised = [mappings(session, vm.number) for vm in session.promise.state.vms] if before else []
    outcome = session.run(call)
    assert outcome.sort == sort
    # What happens on a misuse is the driver's affair, as long as nothing breaks.
    assert outcome.result.result == result or sort == MISUSE
    assert [one.identity for one in outcome.violations] == []
    if sort == REFUSED:
        assert not outcome.changed
        assert [mappings(session, vm.number) for vm in session.promise.state.vms] == promised
    closing = session.finish()
    assert closing is None or not closing.violations
    assert not session.ended
    assert not any(vm.exists for vm in session.promise.state.vms)


def test_every_reason_has_an_example_for_every_operation_that_gives_it():
    folder = resources.files("reference.systems.mali")
    source = ast.parse(folder.joinpath("promise.py").read_text(encoding="utf-8"))
    functions = [
        node
        for node in source.body
        if isinstance(node, ast.FunctionDef) and node.name.endswith(("_refusal", "_misuse"))
    ]
    assert len(functions) > 15
    reasons = set()
    for function in functions:
        for node in ast.walk(function):
            if isinstance(node, ast.Return):
                given = node.value
                first = given.elts[0] if isinstance(given, ast.Tuple) else given
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "reason":
                first = node.value
            else:
                continue
            parts = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
            reasons |= {
                one.value
                for one in parts
                if isinstance(one, ast.Constant) and isinstance(one.value, str)
            }
    assert reasons >= {reason for _, _, sort, reason, _ in CALLS.values() if sort == MISUSE}
    assert len(reasons) > 30
    assert reasons <= {reason for _, _, _, reason, _ in CALLS.values()}
    sorted_by = {call.name for _, call, sort, _, _ in CALLS.values() if sort != LEGAL}
    assert sorted_by == set(mali_promise._REFUSALS)
    assert {call.name for _, call, sort, _, _ in CALLS.values() if sort == LEGAL} == set(SPECS)


ORDER = (
    ("no such VM", {"vm": 9, "size": 0x800, "va": KERNEL, "bo": 9, "kind": 3, "fence": 9}),
    ("no such fence", {"size": 0x800, "va": KERNEL, "bo": 9, "kind": 3, "fence": 9}),
    ("no such kind of bind", {"size": 0x800, "va": KERNEL, "bo": 9, "kind": 3}),
    ("not whole pages", {"size": 0x800, "va": KERNEL, "bo": 9, "flags": 8}),
    ("unknown flags", {"va": KERNEL, "bo": 9, "flags": 8}),
    ("no such buffer", {"va": KERNEL, "bo": 9}),
    ("beyond the buffer", {"va": KERNEL, "size": 1 << 23}),
    ("outside the VM", {"va": 1 << 48}),
    ("in the kernel's part", {"va": KERNEL}),
)
"""Of several reasons the first of these is given."""


@pytest.mark.parametrize("name", ["bind", "queue"])
@pytest.mark.parametrize(("reason", "args"), ORDER)
def test_reasons_have_an_order(name, reason, args):
    session = session_after(*ON)
    if name == "bind" and reason == "no such fence":
        reason = "no such kind of bind"
    if name == "bind":
        args = {key: value for key, value in args.items() if key != "fence"}
    call = op(name, **({"bo": 0, "size": PAGE} | args))
    assert sorting(session, call) == (REFUSED, reason, (INVALID,))


def test_an_allocation_that_is_made_to_fail_and_a_stuck_command_may_be_the_answer():
    session = session_after(*ON, active())
    assert sorting(session, bind(0, fail_at=1)) == (LEGAL, "", (NO_MEMORY,))
    refused = sorting(session, bind(0, va=1, fail_at=1))
    assert refused == (REFUSED, "not whole pages", (INVALID, NO_MEMORY))
    assert not session.run(op("stick", polls=5)).violations
    assert sorting(session, bind(0)) == (LEGAL, "", ())
    assert not session.run(op("stick", slot=2, polls=-1)).violations
    for call in (bind(0), op("alloc"), DESTROY, CLOSE_FILE):
        assert sorting(session, call) == (LEGAL, "", (STUCK,)), call
    assert sorting(session, active()) == (LEGAL, "", (STUCK, -errno.EBUSY))
    assert sorting(session, queue(0)) == (LEGAL, "", ())
    session.run(PRE_RESET)
    session.run(POST_RESET)
    assert sorting(session, bind(0)) == (LEGAL, "", ())


def test_a_device_that_cannot_be_is_not_made():
    for args, can_be in (
        ({}, True), ({"va_bits": 33, "pa_bits": 36}, True), ({"va_bits": 31 + 1}, True),
        ({"pa_bits": 41}, False), ({"pa_bits": 33}, False),
    ):  # fmt: skip
        create = op("create", **args)
        assert possible(create, {}) is can_be
        session = SYSTEM.session(MaliTarget(), set())
        assert (session.run(create).sort == LEGAL) is can_be
        assert len(session.operations) == int(can_be)
    assert possible(bind(0, 0), {})


# -- right sequences ----------------------------------------------------------------------------

CROWD = (
    op("create", slots=3), VM, VM, VM, BO, op("bo", pieces=1), op("bo", vm=2, pieces=3),
)  # fmt: skip

RIGHT = {
    "eviction": (
        *CROWD, *[bind(0, 3, vm=vm) for vm in range(3)], active(0), active(1), idle(0),
        active(2), idle(1), active(0), unbind(0), idle(0), active(1), bind(1, 4, bo=1, vm=1),
        idle(2), active(2), unbind(0, 9, vm=2),
    ),
    "large pages": (
        *ON, active(), bind(512, 512), unbind(513), bind(513), bind(512, 512, offset=LARGE),
        unbind(600, 2), unbind(512, 512), bind(0, 1024),
    ),
    "faults": (
        *ON, active(), bind(0, 4), op("fault"), bind(2, 4), op("fault"), idle(), active(),
        unbind(0, 3), op("fault", slot=1), op("fault", slot=2), idle(), active(), bind(0),
    ),
    "queues": (
        *CROWD, FENCE, active(1), queue(0, 4, vm=1, fence=0), queue(2, kind=UNMAP, bo=-1, vm=1),
        queue(0, 2, fence=2), RUN, op("signal"), op("run", steps=1), bind(9), op("run", steps=2),
        RUN, queue(0, 0, kind=WAIT, bo=-1), RUN,
    ),
    "destroyed while queued": (
        *ON, FENCE, queue(0, 4, fence=0), queue(1, kind=UNMAP, bo=-1), DESTROY, VM,
        op("signal"), op("run", steps=1), RUN,
    ),
    "destroyed while used": (*ON, active(), active(), bind(0, 5), DESTROY, idle(), idle(), VM),
    "nodes": (
        *ON, active(), op("alloc", size=4 * PAGE, bo=0), op("alloc", size=LARGE),
        op("alloc", size=PAGE), op("free", node=1), op("free", node=0), op("alloc", bo=0),
        op("alloc", size=LARGE, bo=0, offset=LARGE), DESTROY, idle(),
    ),
    "asleep": (
        *ON, active(), bind(0, 4), SUSPEND, bind(1), unbind(3), queue(9), RUN, RESUME, active(),
        unbind(0, 2),
    ),
    "reset": (
        *ON, active(), bind(0, 4), queue(8), PRE_RESET, unbind(0), bind(1), queue(2), RUN, VM,
        DESTROY, POST_RESET, RUN, active(1),
    ),
    "destroyed in a reset": (
        *ON, BO, active(), bind(0, 4), bind(9, bo=1), PRE_RESET, DESTROY, idle(), POST_RESET, RUN,
    ),
    "the last job of a destroyed one ends in a reset": (
        *ON, active(), bind(0, 4), DESTROY, PRE_RESET, idle(), POST_RESET, RUN, VM,
    ),
    "the process ends in a reset": (
        *ON, active(), bind(0, 4), idle(), PRE_RESET, CLOSE_FILE, POST_RESET, RUN, VM,
    ),
    "given back in a reset": (
        *ON, active(), op("alloc", bo=0), PRE_RESET, op("free", node=0), POST_RESET, RUN,
    ),
    "stuck": (
        *ON, active(), bind(0, 4), op("stick", slot=1), unbind(0), bind(2, 5), queue(1), RUN,
        active(), unbind(0, 9), bind(0, 2),
    ),
    "stuck while it is destroyed": (
        *ON, active(), bind(0, 4), idle(), op("stick", slot=1), DESTROY, RUN, VM, bind(0, vm=1),
    ),
    "stuck while it is enabled": (*ON, op("stick", slot=1, after=2), active(), RUN, active()),
    "stuck while the used one is destroyed": (
        *ON, active(), bind(0, 4), op("stick", slot=1), DESTROY, idle(), VM, RUN, bind(0, vm=1),
    ),
    "stuck when the last job of a destroyed one ends": (
        *ON, active(), bind(0, 4), DESTROY, op("stick", slot=1), idle(), VM, RUN, active(1),
    ),
    "stuck when the process ends": (
        *ON, VM, active(), bind(0, 4), idle(), active(1), op("stick", slot=1), CLOSE_FILE,
        idle(1), RUN, VM, active(2),
    ),
    "slow": (
        *ON, op("stick", slot=1, polls=9), active(), op("stick", slot=1, polls=40, after=1),
        bind(0, 3), unbind(1),
    ),
    "unplugged": (*ON, active(), bind(0, 4), queue(8), UNPLUG, idle(), RUN, DESTROY, RUN),
    "the process ends": (*CROWD, active(1), bind(0, vm=1), queue(0), CLOSE_FILE, idle(1), RUN, VM),
    "out of memory": (*ON, active(), *[bind(0, 600, fail_at=number) for number in range(1, 9)]),
    "not coherent": (
        op("create", coherent=0, va_bits=39), VM, BO, active(), bind(0, 600), unbind(5, 590),
        bind(512, 512), unbind(514), SUSPEND, RESUME, active(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_sequence_breaks_no_rule(name):
    session = session_after(*RIGHT[name])
    closing = session.finish()
    assert closing is not None
    assert session.tally.violated == session.tally.hits == session.tally.cut == {}
    assert not session.ended
    assert not any(vm.exists for vm in session.promise.state.vms)
    assert all(not one for one in session.promise.state.owners)


def test_the_right_sequences_give_every_rule_something_to_judge():
    checked = set()
    for operations in RIGHT.values():
        session = session_after(*operations)
        session.finish()
        checked |= {rule for rule, count in session.tally.checked.items() if count}
    # A kernel's part that the process does not try to map needs a refusal.
    assert checked == {rule.id for rule in MALI} - {"IS-12"}


# -- wrong targets ------------------------------------------------------------------------------


class Wrong(MaliTarget):
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
            trace.emit(kind, to_signed(a), to_signed(b), to_signed(c), place=place)
        return result


def kind(*kinds):
    return lambda event: event[0] in kinds


def writes(name, value=None):
    """A write of a register of an AS, or of one that exists once: its lower half."""
    return lambda event: _uses(event, t.REG_WRITE, name) and value in (None, event[2])


def reads(name):
    return lambda event: _uses(event, t.REG_READ, name)


def _uses(event, how, name):
    place = place_at(event[1]) if event[0] == how else None
    return place is not None and place.register.name == name and not place.high


def refs(what):
    return lambda event: event[0] == t.REFS and event[1] == what


REGISTERS = kind(t.REG_READ, t.REG_WRITE)
ORDERED = lambda event: event[:2] == [t.BARRIER, t.BARRIER_ORDER]  # noqa: E731
VISIBLE = lambda event: event[:2] == [t.BARRIER, t.BARRIER_FULL]  # noqa: E731
LINKS = lambda event: event[0] == t.STORE and event[3] & 0xFFF == 3  # noqa: E731
LEAVES = lambda event: event[0] == t.STORE and event[3] & 0x40  # noqa: E731
CLEARS = lambda event: event[0] == t.STORE and event[3] == 0  # noqa: E731


def all_of(*spoils):
    def spoil(events, result):
        for one in spoils:
            result = one(events, result)
        return result

    return spoil


def _where(events, is_it, which=0):
    found = [number for number, event in enumerate(events) if is_it(event)]
    assert found, events
    return found[which]


def without(is_it, which=None):
    """Leave out an event, or all such."""

    def spoil(events, result):
        if which is None:
            assert any(map(is_it, events))
            events[:] = [event for event in events if not is_it(event)]
        else:
            del events[_where(events, is_it, which)]
        return result

    return spoil


def changed(is_it, word, change, which=0):
    """Change a word (1 to 3) of an event."""

    def spoil(events, result):
        event = events[_where(events, is_it, which)]
        event[word] = change(event[word])
        return result

    return spoil


def added(by):
    return lambda value: value + by


def moved(is_it, is_there, which=0, there=0, behind=False):
    """An event comes right before (or behind) another."""

    def spoil(events, result):
        event = events.pop(_where(events, is_it, which))
        events.insert(_where(events, is_there, there) + behind, event)
        return result

    return spoil


def more(*added_events, before=None, which=0, place=0):
    """More events: before one, or at the end."""

    def spoil(events, result):
        at = len(events) if before is None else _where(events, before, which)
        events[at:at] = [[one[0], *(*one[1:], 0, 0, 0)[:3], place] for one in added_events]
        return result

    return spoil


def first(*added_events):
    """More events, when it is told which VM it is about."""

    def spoil(events, result):
        events[1:1] = [[one[0], *(*one[1:], 0, 0, 0)[:3], 0] for one in added_events]
        return result

    return spoil


def gives(result, *spoils):
    """Another result."""

    def spoil(events, given):
        all_of(*spoils)(events, given)
        return Result(result) if isinstance(result, int) else result

    return spoil


def stops(what, place=0):
    """Stop with an event of this kind."""

    def spoil(events, result):
        events[:] = [[what, 0, 0, 0, place]]
        return Result(0, 0, False)

    return spoil


def write(name, value, slot=1):
    return (t.REG_WRITE, offset_of(name, slot), value)


def read(name, value=0, slot=1):
    return (t.REG_READ, offset_of(name, slot), value)


ROOT = 0x8000_0000
"""Of VM 0; the tables down to its pages lie in the three pages behind it."""
TABLE = ROOT + 3 * PAGE
NOWHERE = 0x7000_0000
NEXT_BUFFER = 1 << BACKING_SHIFT

JOB = (CREATE, VM, BO, op("bo", pieces=1), active())
THREE = (*JOB, bind(0, 3), bind(8, 2))
IDLE = (*THREE, idle())
ALONE = (*JOB[:-1], bind(0, 3), bind(8, 2))
"""No address space has ever been the VM's."""
PIECES = (*JOB, bind(512, 512, bo=1))
TWO_VMS = (op("create", slots=3), VM, VM, BO)
CROWDED = (op("create", slots=2), VM, VM, BO, active(), bind(0, 3), idle())
STICKY = (*THREE, op("stick", slot=1))
NEW = bind(4)
"""A page beside others, for which there are tables."""

NOT_FLUSHED = all_of(
    without(writes(COMMAND, FLUSH_MEM)), without(reads(STATUS), -2),
    without(writes(COMMAND, LOCK)), without(reads(STATUS), -2),
)  # fmt: skip
"""An AS gets another root, or none, and what it has cached stays."""
TOO_EARLY = all_of(
    moved(CLEARS, kind(t.REG_READ)), moved(LEAVES, kind(t.REG_READ)),
)  # fmt: skip
"""An entry is removed and replaced before anything is locked or flushed; then all is flushed."""
LIVES_ON = all_of(without(kind(t.FREE)), without(refs(t.REFS_VM)))
"""Nothing is given back, and no count says why."""
COUNTED_ON = all_of(without(kind(t.FREE)), changed(refs(t.REFS_VM), 3, added(1)))
"""Nothing is given back, because of a reference that nobody has."""

WRONG = {
    # rule, signature: before, operation, how it is spoiled
    ("OR-1", "bind, level 0, leads to a table in which some entries were never written"): (
        JOB, bind(0), without(kind(t.FILL), 0),
    ),
    ("OR-1", "bind, level 2, leads to tables with stores that the device may not see yet"): (
        JOB, bind(0), without(ORDERED, 2),
    ),
    ("OR-1", "bind, level 2, leads to memory that is not an allocated table"): (
        JOB, bind(0), changed(LINKS, 3, added(0x10_0000), 2),
    ),
    ("OR-1", "active, level -1, leads to tables with stores that the device may not see yet"): (
        (*THREE, idle(), op("fault")), active(),
        first((t.STORE, TABLE + 8, 0, 0), (t.STORE, TABLE + 8, 0, 0x9000_1F47)),
    ),
    ("OR-2", "bind, level 3, leaf -> leaf"): (
        THREE, bind(1, offset=9 * PAGE), all_of(without(REGISTERS), without(CLEARS)),
    ),
    ("OR-2", "bind, level 3, cached entry conflicts"): (
        THREE, bind(1, offset=9 * PAGE), TOO_EARLY,
    ),
    ("OR-2", "bind, level 2, leaf -> table"): (
        (*JOB, bind(512, 512)), bind(512, 512, bo=1), all_of(without(REGISTERS), without(CLEARS)),
    ),
    ("OR-4", "bind, level 3, flush before store is visible"): (
        THREE, unbind(1), moved(VISIBLE, writes(COMMAND, FLUSH_PT), behind=True),
    ),
    ("OR-4", "bind, returns before a store is visible"): (THREE, NEW, without(VISIBLE)),
    ("TL-2", "bind, level 2, table freed before a flush"): (
        PIECES, unbind(512, 512), moved(kind(t.FREE), writes(COMMAND, FLUSH_PT)),
    ),
    ("TL-2", "bind, level 2, table freed while it is linked"): (
        THREE, NEW, more((t.FREE, TABLE, PAGE)),
    ),
    ("RC-2", "bind, level 2, linked table freed"): (ALONE, NEW, more((t.FREE, TABLE, PAGE))),
    ("RC-2", "bind, free of what is not allocated"): (THREE, NEW, more((t.FREE, NOWHERE, PAGE))),
    ("RC-3", "bind, store to a freed table"): (
        PIECES, unbind(512, 512), more((t.STORE, TABLE, 0, 5)),
    ),
    ("RC-3", "bind, store to memory outside every table"): (
        THREE, NEW, more((t.STORE, NOWHERE, 0, 5)),
    ),
    ("NB-1", "bind, level 3, neighbour changed"): (
        THREE, NEW, first((t.STORE, TABLE + 8 * 8, 0, 0)),
    ),
    ("NB-1", "bind, neighbour changed"): (
        ALONE, NEW, more((t.STORE, TABLE + 8 * 8, 0, 0), (t.BARRIER, 0)),
    ),
    ("TL-1", "bind, bind, level 3, stale leaf"): (THREE, unbind(1), without(REGISTERS)),
    ("TL-1", "bind, bind, level 2, stale leaf"): (
        (*JOB, bind(512, 512)), unbind(512, 512), without(REGISTERS),
    ),
    ("TL-1", "run, queued bind, level 3, stale leaf"): (
        (*THREE, queue(1, kind=UNMAP, bo=-1)), RUN, without(REGISTERS),
    ),
    ("TL-1", "free, bind, level 3, stale leaf"): (
        (*JOB, op("alloc", bo=0)), op("free"), without(REGISTERS),
    ),
    ("TL-1", "destroy_vm, bind, level 3, stale leaf"): (THREE, DESTROY, without(REGISTERS)),
    ("OR-10", "AS enabled, UPDATE not seen to end"): (ON, active(), without(reads(STATUS), -1)),
    ("OR-10", "AS disabled, UPDATE not seen to end"): (IDLE, DESTROY, without(reads(STATUS), -1)),
    ("OR-11", "bind, a command is written while another may be running"): (
        THREE, NEW, without(reads(STATUS), 1),
    ),
    ("OR-11", "bind, a command is written that does not exist"): (
        THREE, NEW, more(write(COMMAND, 9)),
    ),
    ("OR-11", "bind, a register is changed that a running command looks at"): (
        THREE, NEW, more(write(LOCKADDR, 0xF), before=reads(STATUS), which=1),
    ),
    ("OR-11", "active, an address space is used that does not exist"): (
        ON, active(), more(read(STATUS, slot=9)),
    ),
    ("OR-11", "suspend, a register is used while there is no power"): (
        JOB, SUSPEND, more(read(STATUS)),
    ),
    ("OR-11", "active, a register is written that can only be read"): (
        ON, active(), more(write(STATUS, 1)),
    ),
    ("OR-12", "bind, a flush is asked for without a locked region"): (
        THREE, NEW, all_of(without(writes(COMMAND, LOCK)), without(reads(STATUS), 1)),
    ),
    ("OR-12", "bind, a region is locked that is smaller than the smallest"): (
        THREE, NEW, changed(writes(LOCKADDR), 2, lambda value: value & ~0x3F | 3),
    ),
    ("OR-12", "bind, region left locked"): (
        THREE, NEW, more(write(COMMAND, LOCK), read(STATUS)),
    ),
    ("OR-13", "fault, an address space that walks gets another root, and not all that it has "
     "cached was flushed"): (
        JOB, op("fault"), NOT_FLUSHED,
    ),
    ("OR-13", "active, the root is not the start of a table that the MMU can address"): (
        ON, active(), changed(writes(TRANSTAB), 2, added(0x800)),
    ),
    ("OR-13", "active, the mode of walking is not one that is known"): (
        ON, active(), changed(writes(TRANSCFG), 2, added(1)),
    ),
    ("IS-13", "active, VM in the AS of the firmware"): (
        ON, active(), changed(kind(mali_events.SLOT), 2, lambda slot: 0),
    ),
    ("IS-13", "active, VM in an AS that does not exist"): (
        ON, active(), changed(kind(mali_events.SLOT), 2, lambda slot: 4),
    ),
    ("IS-13", "active, two VMs in one AS"): (
        (*TWO_VMS, active()), active(1), changed(kind(mali_events.SLOT), 2, lambda slot: 1),
    ),
    ("IS-13", "active, VM with jobs lost its AS"): (
        (*TWO_VMS, active()), active(1), more((mali_events.SLOT, 0, -1, 0)),
    ),
    ("IS-11", "active, AS enabled with its own old entries"): (
        (*JOB, op("fault"), idle()), active(),
        NOT_FLUSHED,
    ),
    ("IS-11", "active, AS enabled with another VM's old entries"): (
        CROWDED, active(1), NOT_FLUSHED,
    ),
    ("IS-10", "active, AS walks no tables"): (
        ON, active(), all_of(without(writes(COMMAND, UPDATE)), without(reads(STATUS), -1)),
    ),
    ("IS-10", "active, AS walks another VM's tables"): (
        TWO_VMS, active(1), changed(writes(TRANSTAB), 2, added(-PAGE)),
    ),
    ("IS-10", "idle, AS walks a VM's tables that lost the AS"): (
        JOB, idle(), changed(kind(mali_events.SLOT), 2, lambda slot: -1),
    ),
    ("IS-12", "bind, accepted in the kernel's part"): (
        THREE, bind(0, va=KERNEL), gives(0),
    ),
    ("IS-12", "queue, accepted in the kernel's part"): (THREE, queue(0, va=KERNEL), gives(0)),
    ("TR-10", "active, AS walks with another table size"): (
        ON, active(), changed(writes(TRANSCFG), 2, added(2)),
    ),
    ("TR-10", "active, AS walks with another address size"): (
        ON, active(), changed(writes(TRANSCFG), 2, added(9 << 6)),
    ),
    ("TR-10", "active, AS walks with another shareability of walks"): (
        ON, active(), changed(writes(TRANSCFG), 2, added(-(2 << 28))),
    ),
    ("TR-10", "active, AS walks with another memory type"): (
        ON, active(), changed(writes(MEMATTR), 2, lambda value: value & 0xFFFF_00FF | 0x4C00),
    ),
    ("TR-10", "active, AS walks with another shareability of memory"): (
        ON, active(), changed(writes(MEMATTR), 2, lambda value: value & 0xFFFF_00FF | 0x8F00),
    ),
    ("ER-1", "bind (map), legal, returned EINVAL"): (THREE, NEW, gives(INVALID)),
    ("ER-1", "bind (unmap), legal, returned ENOMEM"): (THREE, unbind(1), gives(NO_MEMORY)),
    ("ER-1", "bind (unknown), refused (no such kind of bind), returned success"): (
        THREE, bind(0, kind=5), gives(0),
    ),
    ("ER-1", "queue (map), refused (no pages), returned success"): (THREE, queue(0, 0), gives(0)),
    ("ER-1", "bind (map), legal, returned ETIMEDOUT"): (THREE, NEW, gives(STUCK)),
    ("ER-1", "alloc, refused (no room), returned EINVAL"): (
        ON, op("alloc", va=0), gives(INVALID),
    ),
    ("ER-1", "vm, legal, returned EBUSY"): (ON, VM, gives(BUSY)),
    ("ER-1", "idle, refused (no job uses the VM), returned success"): (ON, idle(), gives(0)),
    ("ER-2", "bind, ENOMEM, VMAs changed"): (
        THREE, bind(0, 2, fail_at=1), first((VMA_REMOVE, 0, 3 * PAGE - 1, 0)),
    ),
    ("ER-2", "bind, ENOMEM, page tables changed"): (
        IDLE, bind(0, 2, fail_at=1), first((t.STORE, TABLE, 0, 0), (t.BARRIER, 0)),
    ),
    ("ER-10", "run, queued bind failed with EINVAL"): (
        (*THREE, queue(1)), RUN, changed(kind(mali_events.FENCE), 2, lambda result: INVALID),
    ),
    ("ER-10", "run, queued bind failed with ETIMEDOUT"): (
        (*THREE, queue(1)), RUN, changed(kind(mali_events.FENCE), 2, lambda result: STUCK),
    ),
    ("ER-11", "fault, not acknowledged"): (JOB, op("fault"), without(writes(INT_CLEAR))),
    ("ER-11", "fault, acknowledged, and the AS not disabled"): (
        JOB, op("fault"), all_of(without(writes(COMMAND, UPDATE)), without(reads(STATUS), -1)),
    ),
    ("ER-13", "fault, AS has faulted and is not masked"): (
        JOB, op("fault"), without(writes(INT_MASK)),
    ),
    ("ER-12", "bind, ETIMEDOUT, page tables have more than VMAs"): (
        STICKY, NEW, without(kind(VMA_ADD)),
    ),
    ("ER-12", "bind, ETIMEDOUT, page tables have less than VMAs"): (
        STICKY, NEW, without(LEAVES),
    ),
    ("SP-10", "bind, VMA added over another, or removed that is not there"): (
        THREE, bind(1), without(kind(VMA_REMOVE)),
    ),
    ("SP-10", "bind, neighbour changed"): (
        (*THREE, bind(3, bo=1)), bind(1, 2),
        more((VMA_REMOVE, 3 * PAGE, 4 * PAGE - 1, NEXT_BUFFER)),
    ),
    ("SP-11", "alloc, another address than was asked for"): (
        ON, op("alloc", va=KERNEL + PAGE), gives(Result(0, KERNEL)),
    ),
    ("SP-11", "alloc, an address that is not aligned"): (
        ON, op("alloc", size=LARGE), gives(Result(0, KERNEL + PAGE)),
    ),
    ("SP-11", "alloc, addresses that are not free, or not the kernel's"): (
        NODE, op("alloc"), gives(Result(0, KERNEL + 3 * PAGE)),
    ),
    ("SP-1", "bind, VMA missing"): (THREE, bind(1), without(kind(VMA_ADD), 1)),
    ("SP-1", "bind, VMA too many"): (THREE, unbind(8, 2), without(kind(VMA_REMOVE))),
    ("SP-1", "bind, VMA of other addresses"): (
        THREE, unbind(1), changed(kind(VMA_ADD), 2, added(-0x800)),
    ),
    ("SP-1", "run, VMA missing"): ((*THREE, queue(1)), RUN, without(kind(VMA_ADD), 1)),
    ("SP-2", "bind, VMA with another offset"): (
        THREE, bind(1), changed(kind(VMA_ADD), 3, added(PAGE), 1),
    ),
    ("SP-2", "bind, VMA with another buffer"): (
        THREE, unbind(1), changed(kind(VMA_ADD), 3, added(NEXT_BUFFER)),
    ),
    ("TR-1", "bind, level 3, other page"): (THREE, NEW, changed(LEAVES, 3, added(PAGE))),
    ("TR-1", "bind, level 3, not mapped"): (THREE, NEW, without(LEAVES)),
    ("TR-1", "bind, level 3, still mapped"): (IDLE, unbind(1), without(CLEARS)),
    ("TR-1", "alloc, level 3, other page"): (
        JOB, op("alloc", bo=0), changed(LEAVES, 3, added(PAGE)),
    ),
    ("TR-2", "bind, level 3, other access"): (THREE, NEW, changed(LEAVES, 3, added(0x80))),
    ("TR-2", "bind, level 2, other access"): (
        JOB, bind(512, 512, flags=4), changed(LEAVES, 3, added(4)),
    ),
    ("RC-4", "bind, VM, too many references"): (THREE, NEW, changed(refs(t.REFS_VM), 3, added(1))),
    ("RC-4", "bind, buffer, too few references"): (
        THREE, NEW, changed(refs(t.REFS_BUFFER), 3, added(-1)),
    ),
    ("RC-4", "bind, link of a buffer to a VM, too many references"): (
        THREE, NEW, changed(refs(t.REFS_VM_BO), 3, added(2)),
    ),
    ("RC-4", "bind, pages of a buffer, too few references"): (
        THREE, NEW, changed(refs(t.REFS_PINS), 3, added(-1)),
    ),
    ("RC-4", "destroy_vm, VM, too many references"): (ON, DESTROY, COUNTED_ON),
    ("RC-10", "destroy_vm, destroyed VM lives on"): (ON, DESTROY, LIVES_ON),
    ("RC-1", "bind, table pages lost"): (THREE, NEW, without(kind(t.FREE), 0)),
    ("RC-1", "destroy_vm, table pages lost"): (IDLE, DESTROY, without(kind(t.FREE), 0)),
    ("OR-14", "run, queued binds out of order"): (
        (*ON, queue(0), queue(1)), RUN,
        moved(kind(mali_events.FENCE), kind(mali_events.FENCE), 1, 0),
    ),
    ("PG-1", "bind, legal, did not return"): (THREE, NEW, stops(t.HANG)),
    ("PG-1", "run, legal, did not return, in spoil_it"): (ON, RUN, stops(t.HANG, 1)),
    ("PG-2", "bind, legal, crashed"): (THREE, NEW, stops(t.CRASH)),
    ("PG-2", "bind, refused, stopped at a BUG"): (THREE, bind(0, kind=9), stops(t.BUG)),
    ("PG-3", "bind, legal, warning"): (THREE, NEW, more((t.WARN,))),
    ("PG-3", "bind, refused, warning, in spoil_it"): (
        THREE, bind(0, kind=9), more((t.WARN,), place=1),
    ),
    ("PG-10", "run, queued bind not done"): (
        (*ON, queue(0)), RUN, lambda events, result: (events.clear(), result)[1],
    ),
    ("PG-11", "bind, ETIMEDOUT, no reset asked for"): (
        STICKY, NEW, without(kind(t.MESSAGE)),
    ),
}  # fmt: skip


def wrong_session(identity, muted=frozenset()):
    """A session before the operation that breaks a rule, and that operation."""
    before, operation, spoil = WRONG[identity]
    target = Wrong(operation.name, spoil, armed=0)
    session = session_after(*before, target=target)
    session.muted = None if muted is None else set(muted)
    target.armed = 1
    return session, operation


@pytest.mark.parametrize("identity", WRONG, ids=" ".join)
def test_a_wrong_target_is_found_by_its_rule_and_named(identity):
    session, operation = wrong_session(identity)
    outcome = session.run(operation)
    found = [one.identity for one in outcome.violations]
    assert identity in found
    assert outcome.fresh == outcome.violations
    assert session.tally.hits[" ".join(identity)] == 1
    violation = outcome.violations[found.index(identity)]
    assert violation.message.endswith(".")
    assert violation.label == ""
    assert 0 <= violation.event < len(session.trace)
    # Nothing that is different every time: no address, no number but that of a level.
    assert not re.search(r"\d", re.sub(r"level -?\d", "", identity[1]))


STALE = "bind, bind, level 3, stale leaf"
UNFLUSHED = (
    "active, an address space that walks gets another root, and not all that it has cached was "
    "flushed"
)
ALSO = {
    # What one mistake breaks besides, each told in its turn.
    ("OR-2", "bind, level 3, leaf -> leaf"): [("TL-1", STALE)],
    ("OR-2", "bind, level 2, leaf -> table"): [("TL-1", "bind, bind, level 2, stale leaf")],
    ("OR-13", "active, the root is not the start of a table that the MMU can address"): [
        ("IS-10", "active, AS walks another VM's tables"),
    ],
    ("OR-13", "active, the mode of walking is not one that is known"): [
        ("TR-10", "active, AS walks with another table size"),
    ],
    ("IS-11", "active, AS enabled with another VM's old entries"): [("OR-13", UNFLUSHED)],
}  # fmt: skip


@pytest.mark.parametrize("identity", WRONG, ids=" ".join)
def test_no_other_rule_is_broken_but_what_follows(identity):
    session, operation = wrong_session(identity)
    found = {one.identity for one in session.run(operation).violations}
    assert found == {identity, *ALSO.get(identity, ())}


@pytest.mark.parametrize("identity", WRONG, ids=" ".join)
def test_rules_change_nothing(identity):
    session, operation = wrong_session(identity)
    step = session._perform(operation)
    session._judge(step)
    again = SYSTEM.make_step(
        step.call, step.result, step.promise, step.trace, step.begin_event, step.places
    )
    session._judge(again)
    assert identity in [one.identity for one in step.violations]
    assert again.violations == step.violations


def test_every_rule_has_a_wrong_target():
    assert {rule for rule, _ in WRONG} == {rule.id for rule in MALI}


def test_causes_are_told_before_what_follows_from_them():
    spoil = all_of(
        changed(refs(t.REFS_VM), 3, added(1)), without(REGISTERS), more((t.WARN,)),
        more((t.FREE, NOWHERE, PAGE)),
    )  # fmt: skip
    session = session_after(*THREE, target=Wrong("bind", spoil, 0))
    session.target.armed = 1
    found = [one.rule for one in session.run(unbind(1)).violations]
    assert set(found) == {"RC-2", "TL-1", "RC-4", "PG-3"}
    order = [rule.id for rule in MALI]
    assert found == sorted(found, key=order.index)


def test_a_conflict_with_what_stays_cached_is_told_once():
    target = Wrong("bind", without(REGISTERS), armed=0)
    session = session_after(*THREE, target=target)
    target.armed = 1
    found = [one.identity for one in session.run(bind(1, offset=9 * PAGE)).violations]
    assert found == [("TL-1", STALE)]


def test_after_what_corrupts_nothing_else_is_judged():
    spoil = all_of(changed(LINKS, 3, added(0x10_0000), 2), changed(refs(t.REFS_VM), 3, added(1)))
    session = session_after(*JOB, target=Wrong("bind", spoil))
    assert [one.rule for one in session.run(bind(0)).violations] == ["OR-1"]


def test_after_a_crash_only_that_is_judged():
    spoil = all_of(changed(refs(t.REFS_VM), 3, added(1)), more((t.CRASH,)))
    session = session_after(*THREE, target=Wrong("bind", gives(Result(0, 0, False), spoil), 0))
    session.target.armed = 1
    assert [one.rule for one in session.run(NEW).violations] == ["PG-2"]


def test_a_call_without_an_end_that_says_nothing_did_not_return():
    session = session_after(*JOB, target=Wrong("bind", gives(Result(0, 0, False))))
    assert [one.rule for one in session.run(NEW).violations] == ["PG-1"]


@pytest.mark.parametrize("number", [4096, -4096, 7, -(1 << 40)])
def test_a_result_that_is_no_errno_does_not_get_into_the_signature(number):
    session = session_after(*JOB, target=Wrong("bind", gives(number)))
    (violation,) = session.run(NEW).violations
    assert violation.identity == ("ER-1", "bind (map), legal, returned no errno")
    assert str(number) in violation.message + violation.observed


def shifted(operation):
    """The operation at other addresses of another VM, with another buffer of the same kind."""
    args = dict(operation.args)
    for name in ("vm", "bo"):
        if args.get(name, -1) >= 0 and operation.name != "alloc":
            args[name] += 2 if name == "bo" else 1
    if operation.name == "active" or "va" in args:
        args["vm"] = 1
    return Operation(operation.name, args)


ELSEWHERE = (
    "bind, bind, level 3, stale leaf", "bind, level 3, flush before store is visible",
    "bind, region left locked", "bind, VMA missing", "bind, VMA too many",
    "bind, level 3, other access",
    "bind (map), legal, returned EINVAL", "bind, legal, crashed", "bind, VM, too many references",
)  # fmt: skip


@pytest.mark.parametrize("identity", [one for one in WRONG if one[1] in ELSEWHERE], ids=" ".join)
def test_the_signature_is_the_same_wherever_it_happens(identity):
    before, operation, spoil = WRONG[identity]
    target = Wrong(operation.name, spoil, armed=0)
    # Another VM in another AS, other buffers, other events before.
    start = (CREATE, VM, VM, BO, BO, BO, active(0), bind(3, 2), unbind(3), active(1))
    assert before[:5] == JOB
    session = session_after(*start, *(shifted(one) for one in before[5:]), target=target)
    target.armed = 1
    outcome = session.run(shifted(operation))
    assert [one.identity for one in outcome.violations] == [identity]


# -- after a violation --------------------------------------------------------------------------

AFTER = (SUSPEND, RESUME, active(), bind(20, 2), unbind(0, 9), bind(1, 4), idle())

LIARS = {
    # Those whose events go on to say what the target does not know of.
    ("ER-11", "fault, acknowledged, and the AS not disabled"),
    *(identity for identity in WRONG if identity[0] == "RC-4"),
}


@pytest.mark.parametrize("identity", [one for one in WRONG if one not in LIARS], ids=" ".join)
def test_after_a_violation_the_example_goes_on_and_is_judged_rightly(identity):
    session, operation = wrong_session(identity)
    session.run(operation)
    violated = dict(session.tally.violated)
    for one in (operation, *AFTER):
        outcome = session.run(one)
        assert [found.identity for found in outcome.violations] == [], one
    closing = session.finish()
    assert not closing.violations
    assert not session.ended
    assert session.tally.violated == violated
    assert session.tally.cut == {}


CORRUPTING = [
    identity for identity, (_, operation, _) in WRONG.items()
    if identity[0] in ("ER-1", "ER-2", "ER-10", "ER-12", "SP-1", "SP-2", "SP-10", "SP-11", "TR-1",
                       "TR-2", "PG-1", "PG-2", "PG-10", "OR-14", "IS-10", "IS-12", "IS-13", "NB-1")
]  # fmt: skip


@pytest.mark.parametrize("identity", CORRUPTING, ids=" ".join)
def test_what_cannot_be_taken_over_is_undone(identity):
    session, operation = wrong_session(identity)
    before, target = list(session.operations), session.target
    promised = [mappings(session, vm.number) for vm in session.promise.state.vms]
    counted, results = session.tally.steps, list(session.results)
    session.run(operation)
    # What was before is done again, on a target that knows nothing, and is told once.
    assert target.resets == 2
    assert target.done == before
    assert [mappings(session, vm.number) for vm in session.promise.state.vms] == promised
    assert session.operations == [*before, operation]
    assert session.results[:-1] == results
    assert session.tally.steps == counted + 1


TAKEN_OVER = [one for one in WRONG if one[0] in ("TL-1", "OR-4", "OR-10", "OR-12", "RC-4", "RC-1")]


@pytest.mark.parametrize("identity", TAKEN_OVER, ids=" ".join)
def test_what_can_be_taken_over_is_not_undone(identity):
    session, operation = wrong_session(identity)
    session.run(operation)
    assert session.target.resets == 1
    assert session.target.done == session.operations


def test_a_count_that_is_wrong_for_good_is_told_once():
    class Leaking(MaliTarget):
        """Counts a reference of VM 0 more from the first bind on."""

        def perform(self, operation, trace):
            seen = Trace()
            result = super().perform(operation, seen)
            self.leaks = getattr(self, "leaks", False) or operation.name == "bind"
            for event in seen:
                more = self.leaks and event.kind == t.REFS and event.a == t.REFS_VM
                trace.emit(event.kind, event.a, event.b, event.c + more)
            return result

    session = session_after(*JOB, target=Leaking())
    found = [[one.identity for one in session.run(bind(page)).violations] for page in range(4)]
    assert found == [[("RC-4", "bind, VM, too many references")], [], [], []]
    assert not session.run(idle()).violations


def test_a_table_that_is_lost_is_told_once():
    session = session_after(*THREE, target=Wrong("bind", without(kind(t.FREE), 0), 0))
    session.target.armed = 1
    assert [one.rule for one in session.run(bind(4)).violations] == ["RC-1"]
    assert [one.rule for one in session.run(bind(5)).violations] == []
    assert not session.finish().violations


def test_a_driver_that_never_looks_whether_an_update_has_ended_breaks_only_that_rule():
    class Impatient(MaliTarget):
        """Ends each switch of an AS with UPDATE."""

        def perform(self, operation, trace):
            seen = Trace()
            result = super().perform(operation, seen)
            events = list(seen)
            updated = writes(COMMAND, UPDATE)
            for number, event in enumerate(events):
                before = events[number - 1] if number else event
                if not updated([before.kind, before.a, before.b, before.c]):
                    trace.emit(event.kind, event.a, event.b, event.c)
            return result

    session = SYSTEM.session(Impatient(), set())
    for operation in RIGHT["eviction"]:
        session.run(operation)
    session.finish()
    assert set(session.tally.violated) == {"OR-10"}
    assert set(session.tally.hits) == {
        f"OR-10 AS {name}, UPDATE not seen to end" for name in ("enabled", "disabled")
    }


def test_what_was_undone_is_not_done_again():
    session = session_after(*JOB, target=Wrong("bind", gives(INVALID), 2))
    assert session.run(bind(4)).violations
    assert session.run(bind(5)).violations
    assert not session.run(bind(6)).violations
    assert mappings(session) == [(6, 6, 0, 0)]
    assert session.target.done == [*JOB, bind(6)]
    assert session.operations == [*JOB, bind(4), bind(5), bind(6)]
    assert session.tally.operations["bind"].count == 3


def test_the_trace_is_of_what_was_done_and_not_of_what_was_done_again():
    session = session_after(*THREE, target=Wrong("bind", gives(INVALID), 0))
    session.target.armed = 1
    before = len(session.trace)
    session.run(NEW)
    kinds = [word & 0xFFFF for word in session.trace.words[before * WORDS :: WORDS]]
    assert (kinds.count(t.BEGIN), kinds.count(VMA_ADD)) == (1, 1)


def test_where_doing_it_again_fails_too_the_example_ends_and_is_counted():
    session = session_after(*THREE, target=Wrong("bind", stops(t.CRASH), 0))
    session.target.armed = 99
    outcome = session.run(NEW)
    assert [one.rule for one in outcome.fresh] == ["PG-2"]
    assert session.ended
    assert session.tally.cut == {"PG-2 bind, legal, crashed": 1}
    assert session.finish() is None


@pytest.mark.parametrize("spoil", [stops(t.CRASH), stops(t.HANG), gives(INVALID)])
def test_without_a_device_the_example_ends(spoil):
    session = SYSTEM.session(Wrong("create", spoil), set())
    assert session.run(CREATE).fresh
    assert session.ended
    assert len(session.tally.cut) == 1
    assert session.finish() is None


def test_what_is_muted_is_counted_and_not_fresh():
    identity = ("TL-1", STALE)
    session, operation = wrong_session(identity, {identity})
    outcome = session.run(operation)
    assert [one.identity for one in outcome.violations] == [identity]
    assert not outcome.fresh
    assert session.tally.hits == {" ".join(identity): 1}
    everything, operation = wrong_session(identity, None)
    assert not everything.run(operation).fresh


def test_frozen_it_stays_as_it_is_when_the_rule_is_broken():
    identity = ("TR-1", "bind, level 3, other page")
    session, operation = wrong_session(identity)
    session.frozen_on = identity
    outcome = session.run(operation)
    assert [one.identity for one in outcome.violations] == [identity]
    assert session.ended
    assert session.target.resets == 1
    assert (4, 4, 0, 0) in mappings(session)
    assert session.finish() is None
    other, operation = wrong_session(identity)
    other.frozen_on = ("TR-1", "bind, level 3, not mapped")
    other.run(operation)
    assert not other.ended


# -- what changed, and what is promised ------------------------------------------------------------


def test_what_a_step_changed_is_told():
    session = SYSTEM.session(MaliTarget(), set())
    for operation, changes in (
        (CREATE, True), (VM, True), (BO, True), (op("bo", size=1), False), (bind(0, 4), True),
        (bind(0, 4), True), (bind(0, 0), False), (unbind(9), False), (unbind(1), True),
        (bind(0, kind=9), False), (bind(2, fail_at=1), False), (RUN, False), (queue(9), True),
        (RUN, True), (RUN, False), (FENCE, True), (op("signal"), False),
        (op("signal", fence=1), True), (active(), True), (active(), True), (idle(), True),
        (op("alloc"), True), (op("free"), True), (op("free"), False), (PRE_RESET, True),
        (PRE_RESET, False), (POST_RESET, True), (DESTROY, True), (DESTROY, False),
    ):  # fmt: skip
        outcome = session.run(operation)
        assert not outcome.violations
        assert outcome.changed is changes, operation


def test_what_is_queued_is_promised_when_it_was_done():
    session = session_after(*ON, FENCE, queue(0, 4, fence=0), queue(1, kind=UNMAP, bo=-1))
    assert mappings(session) == []
    session.run(RUN)
    assert mappings(session) == []
    session.run(op("signal"))
    session.run(op("run", steps=1))
    assert mappings(session) in ([], [(0, 3, 0, 0)])
    session.run(RUN)
    assert mappings(session) == [(0, 0, 0, 0), (2, 3, 0, 2)]


def test_after_a_command_that_did_not_end_the_promise_is_what_the_driver_says():
    session = session_after(*JOB, bind(0, 4), op("stick", slot=1))
    outcome = session.run(unbind(1, 2))
    assert (outcome.result.result, outcome.sort, [*outcome.violations]) == (STUCK, LEGAL, [])
    held = [
        (one.first // PAGE, one.last // PAGE)
        for one in session.promise.state.vms[0].held.within(0, ALL)
    ]
    assert [one[:2] for one in mappings(session)] == held
    assert session.promise.state.timed_out
    assert session.promise.state.reset_asked
    for operation in (bind(8), unbind(0, 9), RUN, active(), bind(0, 3)):
        assert not session.run(operation).violations
    assert not session.promise.state.may_time_out
    assert mappings(session) == [(0, 2, 0, 0)]


def test_a_bind_that_times_out_before_it_has_begun_promises_nothing_new():
    """Newer drivers lock first: other permissions for the same pages of the same buffer."""
    nothing = all_of(
        without(kind(VMA_ADD)), without(kind(VMA_REMOVE)), without(LEAVES), without(CLEARS),
    )  # fmt: skip
    session = session_after(*JOB, bind(0), op("stick", slot=1), target=Wrong("bind", nothing, 0))
    session.target.armed = 1
    outcome = session.run(bind(0, flags=1))
    assert (outcome.result.result, [*outcome.violations]) == (STUCK, [])
    # What was begun is followed.
    session = session_after(*JOB, bind(0), op("stick", slot=1))
    outcome = session.run(bind(0, flags=1))
    assert (outcome.result.result, [*outcome.violations]) == (STUCK, [])
    _, prot = session.promise.state.vms[0].pages.lookup(0)
    assert prot & (READ | WRITE) == READ


def test_a_vm_of_which_a_queued_bind_failed_is_unusable():
    session = session_after(*UNUSABLE)
    assert not session.promise.state.vms[0].usable
    assert session.run(bind(0)).result.result == INVALID
    assert session.run(unbind(0)).result.result == 0


def test_a_vm_that_could_not_be_made_has_no_number():
    session = session_after(CREATE, op("vm", user_va=NEVER), VM)
    assert [vm.number for vm in session.promise.state.vms] == [0]
    session.run(bind(0, 0))
    assert not session.finish().violations


# -- the life of a device --------------------------------------------------------------------------


def test_a_first_operation_without_create_makes_a_default_device():
    session = session_after(VM)
    # It goes without saying, and so do its events.
    assert session.operations == [VM]
    assert [event.a for event in session.trace if event.kind == t.BEGIN] == [0]
    assert len(session.results) == 1
    assert (
        session.promise.state.va_bits,
        session.promise.state.pa_bits,
        len(session.promise.state.slots),
    ) == (48, 40, 4)


def test_a_second_create_is_not_done():
    session = session_after(*ON)
    outcome = session.run(op("create", slots=2))
    assert (outcome.sort, outcome.changed, len(session.operations)) == (MISUSE, False, 3)
    assert len(session.promise.state.slots) == 4


def names_of(session, before):
    return [one.name for one in session.operations[before:]]


def test_the_end_of_an_example_ends_everything():
    assert SYSTEM.session(MaliTarget(), set()).finish() is None
    session = session_after(*ON, active(), active(), FENCE, queue(0, fence=0))
    before = len(session.operations)
    assert not session.finish().violations
    assert names_of(session, before) == ["signal", "run", "close_file", "idle", "idle", "run"]
    vm = session.promise.state.vms[0]
    assert (vm.exists, vm.active, vm.queue, len(vm.held)) == (False, 0, [], 0)
    assert session.promise.state.owners == {}


@pytest.mark.parametrize(
    ("operations", "first_of_end"),
    [
        ((*JOB, PRE_RESET), ["post_reset", "run"]),
        ((*JOB, SUSPEND), ["resume", "run"]),
        ((*JOB, op("stick", slot=1)), ["pre_reset", "post_reset", "run"]),
        ((*JOB, UNPLUG), ["run", "close_file"]),
        ((*JOB, op("stick", slot=1), UNPLUG), ["run", "close_file"]),
    ],
)
def test_the_end_of_an_example_makes_the_device_work_again(operations, first_of_end):
    session = session_after(*operations)
    before = len(session.operations)
    assert not session.finish().violations
    assert names_of(session, before)[: len(first_of_end)] == first_of_end
    assert not any(vm.exists for vm in session.promise.state.vms)


@pytest.mark.parametrize(
    ("spoil", "identity"),
    [
        (LIVES_ON, ("RC-10", "close_file, destroyed VM lives on")),
        (COUNTED_ON, ("RC-4", "close_file, VM, too many references")),
    ],
    ids=["lives-on", "counted-on"],
)
def test_what_is_wrong_at_the_end_is_told(spoil, identity):
    session = session_after(*ON, target=Wrong("close_file", spoil))
    assert [one.identity for one in session.finish().fresh] == [identity]


# -- what is told of it ----------------------------------------------------------------------------


def told_of(identity):
    """The counterexample of a wrong target."""
    before, operation, spoil = WRONG[identity]
    operations = [*before, operation]

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


@pytest.mark.parametrize("identity", WRONG, ids=" ".join)
def test_every_violation_can_be_told(identity):
    told = told_of(identity)
    assert (told.rule, told.signature) == identity
    text = terminal.tell(told, vocabulary=SYSTEM.vocabulary)
    assert identity[0] in text
    assert told.views.message.split()[0] in text


def test_the_views_of_a_counterexample():
    views = told_of(("TR-1", "bind, level 3, other page")).views
    pa = 0x9000_0000
    three = Segment(0, 3 * PAGE - 1, pa, "rwxc", PAGE)
    assert views.subject == "VM 0"
    assert views.window == (0, 11 * PAGE - 1)
    assert views.iova == 4 * PAGE
    assert [one.first // PAGE for one in views.promise_before] == [0, 8]
    assert [one.first // PAGE for one in views.promise_after] == [0, 4, 8]
    assert views.promise_before[0].pa == views.hardware_before[0].pa == three.pa
    assert (views.promise_before[0].first, views.promise_before[0].last) == (0, 3 * PAGE - 1)
    assert [(one.first // PAGE, one.pa) for one in views.hardware_after] == [
        (0, pa), (4, pa + PAGE), (8, pa),
    ]  # fmt: skip
    assert views.driver_after[1] == Segment(4 * PAGE, 5 * PAGE - 1, 0, "buffer 0", PAGE)
    assert len(views.driver_before) == 2
    assert [step.level for step in views.walk] == [0, 1, 2, 3]


def test_what_is_stale_is_shown():
    views = told_of(("TL-1", STALE)).views
    (stale,) = views.stale
    assert (stale.level, stale.first, stale.last) == (3, PAGE, 2 * PAGE - 1)
    assert [one.first // PAGE for one in views.hardware_after] == [0, 2, 8]


def test_what_is_about_no_address_has_no_window():
    session = session_after(*ON)
    assert MaliViews(session, [*ON])._window is None
    assert MaliViews(session, [*ON, bind(1)])._window == (0, 3 * PAGE - 1)
    # Of the VM that the last operation names, and of no other.
    assert MaliViews(session, [*ON, bind(1), VM, bind(9, vm=1)])._window == (
        8 * PAGE, 11 * PAGE - 1,
    )  # fmt: skip
    assert MaliViews(session, [*ON, bind(1), active(1)])._window is None
    assert MaliViews(session, [*ON, bind(0, va=2**64 - PAGE)])._window is None
    node = session_after(*NODE)
    assert MaliViews(node, [*NODE])._window == (KERNEL - PAGE, KERNEL + 5 * PAGE - 1)


def test_a_vm_that_was_never_made_can_be_told_of():
    views = MaliViews(session_after(CREATE), [CREATE, bind(1)])
    assert views._look() == ((), (), ())
