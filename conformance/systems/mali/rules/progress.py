"""PG, OR: every call comes back, queues go on and in order, a stuck device is reset."""

from conformance.rules.progress import crash_check, return_check
from conformance.rules.progress import warning_check as any_warning_check
from conformance.rules.rule import Rule, Violation
from conformance.systems.mali.rules.operations import EVERY
from conformance.systems.mali.rules.step import MAY_NOT_END, MaliStep
from reference.systems.mali.promise import TIMED_OUT


def warning_check(step: MaliStep) -> int:
    """PG-3: no warning, but for those about a device that does not answer."""
    if step.may_time_out:
        step.silence("PG-3", MAY_NOT_END)
        return 0
    return any_warning_check(step)


def queue_check(step: MaliStep) -> int:
    """PG-10: what is queued and waits for nothing is done."""
    state = step.state
    if state.resetting or step.operation.args.get("steps", 0):
        return 0
    judged = 0
    for vm in state.vms:
        if not vm.queue:
            continue
        judged += 1
        ready = state.ready(vm)
        if ready:
            step.violations.append(
                Violation(
                    "PG-10",
                    "run, queued bind not done",
                    f"The bind that signals fence {ready[0].fence} waits for nothing any more, "
                    "and was not done.",
                    step.end_event,
                    ready[0].first,
                    "its fence is signalled",
                    "it is not",
                    corrupts=True,
                )
            )
            return judged
    return judged + len(step.seen.fences)


def order_check(step: MaliStep) -> int:
    """OR-14: the binds that a VM has queued are done in that order."""
    last: dict[int, int] = {}
    for event, number, _ in step.seen.fences:
        fence = step.state.fences[number] if number < len(step.state.fences) else None
        if fence is None or fence.bind is None:
            continue
        vm = step.state.vms[fence.bind.vm]
        before = last.get(vm.number, -1)
        waiting = [one for one in vm.queue if one < number]
        if number < before or waiting:
            step.violations.append(
                Violation(
                    "OR-14",
                    f"{step.kind}, queued binds out of order",
                    f"VM {vm.number}: the bind that signals fence {number} was done before one "
                    "that was queued before it.",
                    event,
                    fence.bind.first,
                    corrupts=True,
                )
            )
            return 1
        last[vm.number] = number
    return len(last)


def reset_check(step: MaliStep) -> int:
    """PG-11: when a command does not end, a reset is asked for."""
    results = [result for _, _, result in step.seen.fences]
    if TIMED_OUT not in (step.result.result, *results):
        return 0
    state = step.state
    if not (state.reset_asked or state.resetting or step.seen.lost_registers):
        step.violations.append(
            Violation(
                "PG-11",
                f"{step.kind}, ETIMEDOUT, no reset asked for",
                "A command of the device did not end, and nobody has asked for a reset: nothing "
                "will ever end.",
                step.end_event,
                step.first,
                "a reset is scheduled",
            )
        )
    return 1


RULES = (
    Rule(
        "OR-14",
        "The binds that were queued in a VM are carried out in that order.",
        "A page is unmapped that was mapped after the unmap was asked for.",
        "formats.md B.6 (a queue for each VM)",
        order_check,
        frozenset({"run"}),
        misuse=True,
    ),
    Rule(
        "PG-1",
        "Every call returns.",
        "The caller holds its locks for ever.",
        "semantics.md (progress)",
        return_check,
        EVERY,
        misuse=True,
    ),
    Rule(
        "PG-2",
        "No call crashes, stops at a BUG, or accesses memory outside what the driver owns.",
        "The kernel dies, or silently corrupts itself.",
        "semantics.md (memory safety); KB-02",
        crash_check,
        EVERY,
        misuse=True,
    ),
    Rule(
        "PG-3",
        "A call that keeps the contract prints no warning, as long as the device answers.",
        "Machines that panic on warnings go down; on others the log is not believed any more.",
        "semantics.md (calls)",
        warning_check,
        EVERY,
        misuse=True,
        silent=(MAY_NOT_END,),
    ),
    Rule(
        "PG-10",
        "A queued bind that waits for nothing any more is carried out.",
        "Everything behind it waits for ever.",
        "formats.md B.4 (queues are restarted), B.6",
        queue_check,
        frozenset({"run"}),
        misuse=True,
    ),
    Rule(
        "PG-11",
        "When a command of the device does not end, a reset is asked for.",
        "The device hangs until the machine is started again.",
        "formats.md B.3 (wait_ready)",
        reset_check,
        EVERY,
        misuse=True,
    ),
)
