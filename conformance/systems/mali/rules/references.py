"""RC: references are what a recount gives, nothing is lost, and what is destroyed goes."""

from conformance.rules.rule import Rule, Violation
from conformance.systems.mali.rules.operations import EVERY, TABLES
from conformance.systems.mali.rules.step import MaliStep
from reference.systems.mali.promise import is_over, lost_tables, may_lose_tables
from reference.trace import REFS_BUFFER, REFS_PINS, REFS_VM, REFS_VM_BO

NAMES = {
    REFS_VM: "VM",
    REFS_BUFFER: "buffer",
    REFS_VM_BO: "link of a buffer to a VM",
    REFS_PINS: "pages of a buffer",
}


def count_check(step: MaliStep) -> int:
    """RC-4: at rest, every count that is told is that of a recount."""
    for one in step.call.recounts:
        if one.told == one.expected:
            continue
        how = "too many" if one.told > one.expected else "too few"
        step.violations.append(
            Violation(
                "RC-4",
                f"{step.kind}, {NAMES[one.what]}, {how} references",
                f"{NAMES[one.what]}, number {one.number}: {one.told} references, and a recount "
                f"gives {one.expected}.",
                one.event,
                step.first,
                str(one.expected),
                str(one.told),
            )
        )
    return len(step.call.recounts)


def alive_check(step: MaliStep) -> int:
    """RC-10: a destroyed VM goes as soon as no job and no queued bind uses it."""
    judged = 0
    for vm in step.state.vms:
        if vm.reported or not is_over(vm):
            continue
        judged += 1
        # Of one that has too many references, or a link to which has, that is RC-4's to tell.
        if vm.exists and not step.promise.owes(step.call, vm.number):
            step.violations.append(
                Violation(
                    "RC-10",
                    f"{step.kind}, destroyed VM lives on",
                    f"VM {vm.number} was destroyed, nothing uses it any more, and it is still "
                    "there with all that it holds.",
                    step.end_event,
                    step.first,
                    "the VM, its mappings and its tables are gone",
                    f"{len(vm.held)} mappings",
                )
            )
    return judged


def table_check(step: MaliStep) -> int:
    """RC-1: at rest, every table page is linked, and those of a VM that is gone are free."""
    judged = 0
    for vm in step.state.touched:
        if may_lose_tables(vm):
            continue
        judged += 1
        lost = lost_tables(vm)
        if lost > 0:
            step.violations.append(
                Violation(
                    "RC-1",
                    f"{step.kind}, table pages lost",
                    f"VM {vm.number}: {lost} table page(s) lead nowhere and were not given back.",
                    step.end_event,
                    step.first,
                    "every table page is linked, or given back",
                    f"{lost} lost",
                )
            )
    return judged


RULES = (
    Rule(
        "RC-4",
        "When nothing is going on, the references of VMs, buffers, links and pinned pages are "
        "what a recount gives.",
        "Objects live for ever, or are freed while something still uses them.",
        "formats.md B.6 (refcounts); KB-13, KB-48",
        count_check,
        EVERY,
        misuse=True,
    ),
    Rule(
        "RC-10",
        "A destroyed VM is gone as soon as no job and no queued bind uses it.",
        "Every process that ends leaves its address space behind.",
        "formats.md B.5 (destroy); KB-17, KB-48",
        alive_check,
        EVERY,
        misuse=True,
    ),
    Rule(
        "RC-1",
        "When nothing is going on, every table page is linked, and those that a bind reserved "
        "and did not need are given back.",
        "Memory is lost with every bind until the machine runs out of it.",
        "formats.md B.6 (pre-allocation)",
        table_check,
        TABLES,
        misuse=True,
    ),
)
