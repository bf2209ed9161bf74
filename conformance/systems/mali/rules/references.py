"""RC: references are what a recount gives, nothing is lost, and what is destroyed goes."""

from conformance.rules.rule import Rule, Violation
from conformance.systems.mali.rules.operations import EVERY, TABLES
from conformance.systems.mali.rules.step import MaliStep
from reference.trace import REFS_BUFFER, REFS_PINS, REFS_VM, REFS_VM_BO

NAMES = {
    REFS_VM: "VM",
    REFS_BUFFER: "buffer",
    REFS_VM_BO: "link of a buffer to a VM",
    REFS_PINS: "pages of a buffer",
}


def count_check(step: MaliStep) -> int:
    """RC-1: at rest, every count that is told is that of a recount."""
    state = step.state
    judged = 0
    for event, what, vm, number, count in step.seen.refs:
        expected = _expected(step, what, vm, number)
        if expected < 0:
            continue
        judged += 1
        key = (what, vm, number)
        owed = state.owed.get(key, 0)
        if count == expected + owed:
            continue
        state.owed[key] = count - expected
        how = "too many" if count > expected + owed else "too few"
        step.violations.append(
            Violation(
                "RC-1",
                f"{step.kind}, {NAMES[what]}, {how} references",
                f"{NAMES[what]}, number {number}: {count} references, and a recount gives "
                f"{expected + owed}.",
                event,
                step.first,
                str(expected + owed),
                str(count),
            )
        )
    return judged


def _expected(step: MaliStep, what: int, vm: int, number: int) -> int:
    """What a recount gives; -1 where work that is not done may hold references."""
    state = step.state
    if what in (REFS_VM, REFS_VM_BO):
        if not 0 <= vm < len(state.vms):
            return -1
        one = state.vms[vm]
        # Of one that lives on without a reason, that was told.
        if not one.at_rest() or not one.exists or one.reported:
            return -1
        return one.references() if what == REFS_VM else one.vmas.get(number, 0)
    if not 0 <= number < len(state.buffers) or not state.at_rest():
        return -1
    links = state.links(number)
    if what == REFS_PINS:
        return 0 if state.buffers[number].imported else links
    return links + (1 if state.buffers[number].open else 0)


def alive_check(step: MaliStep) -> int:
    """RC-2: a destroyed VM goes as soon as no job and no queued bind uses it."""
    state = step.state
    judged = 0
    for vm in state.vms:
        if vm.handle or vm.reported or vm.active or not vm.at_rest() or vm.nodes:
            continue
        judged += 1
        if vm.exists and any(
            of == vm.number and owed > 0 for (_, of, _), owed in state.owed.items()
        ):
            # It was reported that it, or a link to it, has too many references.
            vm.reported = True
        elif vm.exists:
            vm.reported = True
            step.violations.append(
                Violation(
                    "RC-2",
                    f"{step.kind}, destroyed VM lives on",
                    f"VM {vm.number} was destroyed, nothing uses it any more, and it is still "
                    "there with all that it holds.",
                    step.end_event,
                    step.first,
                    "the VM, its mappings and its tables are gone",
                    f"{len(vm.held)} mappings",
                )
            )
        else:
            vm.reported = True
    return judged


def table_check(step: MaliStep) -> int:
    """RC-3: at rest, every table page is linked, and those of a VM that is gone are free."""
    judged = 0
    for vm in step.state.touched:
        if not vm.at_rest() or (vm.reported and vm.exists):
            continue
        judged += 1
        lost = vm.view.lost_tables() if vm.exists else len(vm.view.memory.pages)
        if vm.exists and lost > 0:
            vm.view.mark_leaked()
        elif lost > 0:
            for pa in list(vm.view.memory.pages):
                vm.view.memory.free(pa)
                step.state.owners.pop(pa, None)
        if lost > 0:
            step.violations.append(
                Violation(
                    "RC-3",
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
        "RC-1",
        "When nothing is going on, the references of VMs, buffers, links and pinned pages are "
        "what a recount gives.",
        "Objects live for ever, or are freed while something still uses them.",
        "formats.md B.6 (refcounts); KB-13, KB-48",
        count_check,
        EVERY,
    ),
    Rule(
        "RC-2",
        "A destroyed VM is gone as soon as no job and no queued bind uses it.",
        "Every process that ends leaves its address space behind.",
        "formats.md B.5 (destroy); KB-17, KB-48",
        alive_check,
        EVERY,
    ),
    Rule(
        "RC-3",
        "When nothing is going on, every table page is linked, and those that a bind reserved "
        "and did not need are given back.",
        "Memory is lost with every bind until the machine runs out of it.",
        "formats.md B.6 (pre-allocation)",
        table_check,
        TABLES,
    ),
)
