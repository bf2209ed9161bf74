"""ER: what calls and fences return, that a failed call changes nothing, that faults are told."""

from conformance.rules.errnos import errno_kind, errno_name
from conformance.rules.results import result_check
from conformance.rules.rule import REFUSED, Rule, Violation
from conformance.systems.mali.rules.operations import EVERY, SWITCHING
from conformance.systems.mali.rules.step import MaliStep
from reference.systems.mali.promise import TIMED_OUT


def documented_check(step: MaliStep) -> int:
    """ER-1: a call returns one of its documented results."""
    accepted = step.sort == REFUSED and step.result.result == 0
    if accepted and step.reason == "in the kernel's part":
        return 1
    return result_check(step, step.what)


def unchanged_check(step: MaliStep) -> int:
    """ER-2: a call that fails leaves everything as it was."""
    result = step.result.result
    if result in (0, TIMED_OUT):
        return 0
    if step.seen.changed and not step.spans:
        vm = step.state.vms[min(step.seen.changed)[0]]
        _changed(step, vm.number, "VMAs changed")
        return 1
    for span in step.spans:
        vm = span.vm
        wrong = ""
        held = vm.held.within(span.first, span.last)
        kept = vm.promise.within(span.first, span.last)
        if len(held) != len(kept) or any(
            not one.same(other) for one, other in zip(held, kept, strict=True)
        ):
            wrong = "VMAs changed"
        else:
            seen = step.difference(span)
            if seen is not None:
                wrong = "page tables changed"
        if wrong:
            _changed(step, vm.number, wrong)
            return 1
    return 1


def _changed(step: MaliStep, vm: int, wrong: str) -> None:
    name = errno_name(step.result.result)
    step.violations.append(
        Violation(
            "ER-2",
            f"{step.kind}, {errno_kind(step.result.result)}, {wrong}",
            f"{step.kind} failed with {name}, but {wrong} in VM {vm}.",
            step.end_event,
            step.first,
            "everything as before",
            wrong,
            corrupts=True,
        )
    )


def fence_check(step: MaliStep) -> int:
    """ER-10: the fence of a queued bind carries what became of it."""
    count = 0
    failed: set[int] = set()
    for event, number, result in step.seen.fences:
        fence = step.state.fences[number] if number < len(step.state.fences) else None
        if fence is None or fence.bind is None:
            continue
        vm = step.state.vms[fence.bind.vm]
        count += 1
        # What was queued may fail once its VM is destroyed, or once a bind before it failed.
        may_fail = not vm.handle or not vm.usable or not vm.exists or vm.number in failed
        if result:
            failed.add(vm.number)
        if result == 0 or may_fail or (result == TIMED_OUT and step.may_time_out):
            continue
        step.violations.append(
            Violation(
                "ER-10",
                f"{step.kind}, queued bind failed with {errno_kind(result)}",
                f"Fence {number} was signalled with {errno_name(result)}, although nothing was "
                "wrong with the bind.",
                event,
                fence.bind.first,
                "success",
                errno_name(result),
                corrupts=True,
            )
        )
    return count


def fault_check(step: MaliStep) -> int:
    """ER-11: every fault of an enabled AS is told, and disables the AS."""
    slot = step.call.faulted
    if slot < 0:
        return 0
    raised = step.state.mmu.rawstat >> slot & 1
    wrong = "not acknowledged" if raised else ""
    if not wrong and step.roots(slot):
        wrong = "acknowledged, and the AS not disabled"
    if wrong:
        step.violations.append(
            Violation(
                "ER-11",
                f"fault, {wrong}",
                f"AS {slot} has faulted: {wrong}.",
                step.end_event,
                step.operation.number("address"),
                "FAULTSTATUS read, the interrupt cleared, the AS disabled",
                wrong,
            )
        )
    return 1


def mask_check(step: MaliStep) -> int:
    """ER-13: the fault of an AS is let through, until it has faulted."""
    state = step.state
    if not state.is_up():
        return 0
    due = state.mask_due()
    wrong = (state.mmu.mask ^ due) & ((1 << len(state.slots)) - 1)
    for slot in range(len(state.slots)):
        if not wrong >> slot & 1:
            continue
        if state.locked_updates and not step.roots(slot):
            # Such a driver lets through what address spaces report that it has enabled.
            continue
        if slot in state.faulted and (step.may_time_out or step.roots(slot)):
            # Whether it was disabled, or enabled again, is not known, or ER-11's to say.
            continue
        how = "is masked" if due >> slot & 1 else "has faulted and is not masked"
        step.violations.append(
            Violation(
                "ER-13",
                f"{step.kind}, AS {how}",
                f"After {step.kind}, AS {slot} {how}.",
                step.end_event,
                step.first,
                "the faults of every AS are let through, but of those that have faulted and do "
                "not walk again",
                f"INT_MASK {state.mmu.mask:#x}",
            )
        )
        break
    return 1


def timeout_check(step: MaliStep) -> int:
    """ER-12: after a command that did not end, VMAs and page tables still say the same."""
    results = [result for _, _, result in step.seen.fences]
    if TIMED_OUT not in (step.result.result, *results):
        return 0
    for span in step.spans:
        vm = span.vm
        if not vm.exists:
            continue
        seen = step.difference(span)
        while seen is not None and seen.pa != -1 and vm.pages.lookup(seen.va)[0] != -1:
            # Something is mapped, if not what has to be: that is TR-1's to say.
            seen = vm.view.difference(vm.pages, vm.pages.extent(seen.va) + 1, span.last)
        if seen is not None:
            step.violations.append(
                Violation(
                    "ER-12",
                    f"{step.kind}, ETIMEDOUT, page tables "
                    f"{'have more' if seen.pa != -1 else 'have less'} than VMAs",
                    f"A command did not end, and afterwards the page tables of VM {vm.number} "
                    f"are not what its VMAs say at {seen.va:#x}.",
                    step.end_event,
                    seen.va,
                    "both as before, or both as after",
                    f"{seen.pa:#x}" if seen.pa != -1 else "nothing mapped",
                    corrupts=True,
                )
            )
            return 1
    return 1


RULES = (
    Rule(
        "ER-1",
        "A call returns one of its documented results, and never succeeds when it has to be "
        "refused.",
        "The process believes what did not happen, or gets what it must not have.",
        "formats.md B.5, B.6; KB-11, KB-14, KB-19",
        documented_check,
        EVERY,
        misuse=True,
    ),
    Rule(
        "ER-2",
        "A call that fails leaves VMAs and page tables as they were.",
        "Entries under no mapping: the device reaches pages that were given back.",
        "formats.md B.6; semantics.md (calls)",
        unchanged_check,
        EVERY - {"create"},
        misuse=True,
    ),
    Rule(
        "ER-10",
        "The fence of a queued bind is signalled with an error only if the VM was destroyed, is "
        "unusable, or a command of the device did not end.",
        "The process waits for a mapping that is not there.",
        "formats.md B.6 (async path)",
        fence_check,
        frozenset({"run"}),
        misuse=True,
    ),
    Rule(
        "ER-11",
        "Every fault of an enabled address space is acknowledged, and the address space disabled.",
        "The second fault of a VM is never told: its jobs hang without a reason.",
        "formats.md B.4; KB-10",
        fault_check,
        frozenset({"fault"}),
        misuse=True,
    ),
    Rule(
        "ER-13",
        "As long as the device works, the faults of every address space are let through, but of "
        "one that has faulted and was not enabled again.",
        "A fault is never told, and its jobs hang; or one that goes on stops the machine with "
        "interrupts.",
        "formats.md B.4; KB-10",
        mask_check,
        SWITCHING,
        misuse=True,
    ),
    Rule(
        "ER-12",
        "When a command of the device does not end, VMAs and page tables say the same afterwards.",
        "Entries under no mapping, and later binds that fail for no reason.",
        "semantics.md (progress)",
        timeout_check,
        frozenset({"bind", "run", "alloc", "free", "destroy_vm"}),
        misuse=True,
    ),
)
