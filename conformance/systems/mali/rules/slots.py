"""IS, TR: which VM an address space serves, and how it walks."""

from conformance.rules.rule import MISUSE, OUTSIDE, Rule, Violation
from conformance.systems.mali.rules.operations import SWITCHING
from conformance.systems.mali.rules.step import MAY_NOT_END, MaliStep
from reference.systems.mali.device import MODE_4K, Latched

LOSING = frozenset({"suspend", "pre_reset", "post_reset", "run", "unplug", "resume"})
"""Operations in which a VM that jobs use may lose its address space: they are gone with it."""

_NON_CACHED = 1
_WRITE_BACK = 2


def root_check(step: MaliStep) -> int:
    """IS-10: an AS walks the tables of the VM that it was given to."""
    state = step.state
    if step.sort == MISUSE:
        step.silence("IS-10", OUTSIDE)
        return 0
    count = 0
    if step.call.activated >= 0 and step.result.result == 0:
        count = 1
        vm = state.vms[step.call.activated]
        roots = step.roots(vm.slot) if 0 <= vm.slot < len(state.slots) else set()
        # While a command may not have ended, the AS may have another root, too.
        if roots != {vm.root} and not (step.may_time_out and vm.root in roots):
            how = "another VM's" if roots else "no"
            _wrong_root(step, vm.number, vm.slot, f"{how} tables")
            return count
    if not (step.seen.registers or step.seen.slots):
        return count
    if step.may_time_out:
        step.silence("IS-10", MAY_NOT_END)
        return count
    for number in range(len(state.slots)):
        for vm_number in step.walked(number):
            count += 1
            vm = state.vms[vm_number]
            if vm.slot != number:
                _wrong_root(step, vm_number, number, "a VM's tables that lost the AS")
                return count
    return count


def _wrong_root(step: MaliStep, vm: int, slot: int, how: str) -> None:
    step.violations.append(
        Violation(
            "IS-10",
            f"{step.kind}, AS walks {how}",
            f"After {step.kind}, AS {slot} walks {how}; this is about VM {vm}.",
            step.end_event,
            step.first,
            "each AS walks the tables of the VM that has it, or none",
            f"AS {slot} walks {how}",
            corrupts=True,
        )
    )


def left_check(step: MaliStep) -> int:
    """IS-11: an AS is enabled only when nothing of its former VM is cached."""
    for one in step.seen.unflushed:
        who = "its own" if one.former == one.vm else "another VM's"
        step.violations.append(
            Violation(
                "IS-11",
                f"{step.kind}, AS enabled with {who} old entries",
                f"AS {one.slot} starts to walk the tables of VM {one.vm} while it may have "
                f"entries of VM {one.former} cached from before.",
                one.event,
                step.first,
                "a flush of everything after the last job that used the AS, seen to end",
                f"entries of VM {one.former} may be cached",
            )
        )
    return step.seen.starts


def kernel_check(step: MaliStep) -> int:
    """IS-12: a process cannot bind in the kernel's part of its VM."""
    if step.reason != "in the kernel's part":
        return 0
    if step.result.result == 0:
        step.violations.append(
            Violation(
                "IS-12",
                f"{step.kind}, accepted in the kernel's part",
                f"{step.kind} was accepted at {step.operation.number('va'):#x}, which is in the "
                "kernel's part of the VM.",
                step.end_event,
                step.operation.number("va"),
                "EINVAL",
                "success",
                corrupts=True,
            )
        )
    return 1


def owner_check(step: MaliStep) -> int:
    """IS-13: an AS has one VM, and a VM keeps it as long as jobs use it."""
    if not step.seen.slots:
        return 0
    owners: dict[int, int] = {}
    for vm in step.state.vms:
        if not vm.exists or vm.slot < 0:
            continue
        wrong = ""
        if vm.slot == 0:
            wrong = "VM in the AS of the firmware"
        elif vm.slot >= len(step.state.slots):
            wrong = "VM in an AS that does not exist"
        elif vm.slot in owners:
            wrong = "two VMs in one AS"
        owners[vm.slot] = vm.number
        if wrong:
            _wrong_owner(step, vm.number, vm.slot, wrong)
            return 1
    if step.kind not in LOSING:
        for number, slot in step.call.running.items():
            vm = step.state.vms[number]
            if vm.exists and vm.slot != slot and step.kind != "idle":
                _wrong_owner(step, number, slot, "VM with jobs lost its AS")
                return 1
    return 1


def _wrong_owner(step: MaliStep, vm: int, slot: int, wrong: str) -> None:
    step.violations.append(
        Violation(
            "IS-13",
            f"{step.kind}, {wrong}",
            f"After {step.kind}: {wrong} (VM {vm}, AS {slot}).",
            step.end_event,
            step.first,
            "AS 1 and up, one VM each, kept while jobs use it",
            wrong,
            corrupts=True,
        )
    )


def walks_check(step: MaliStep) -> int:
    """TR-10: an AS walks with the address size and the memory types of the VM's tables."""
    state = step.state
    if step.call.activated < 0 or step.result.result != 0:
        return 0
    vm = state.vms[step.call.activated]
    states = step.latched(vm.slot) if 0 <= vm.slot < len(state.slots) else []
    if len(states) != 1 or not states[0].walks():
        return 0
    wrong = _wrong_walk(states[0], state.va_bits, state.coherent)
    if wrong:
        step.violations.append(
            Violation(
                "TR-10",
                f"{step.kind}, AS walks with another {wrong}",
                f"AS {vm.slot} walks the tables of VM {vm.number} with another {wrong} than they "
                "were made for.",
                step.end_event,
                step.first,
                f"{state.va_bits} bits, tables of 4 KiB, attribute 0 not cached, 1 write-back",
                f"TRANSCFG {states[0].transcfg:#x}, MEMATTR {states[0].memattr:#x}",
            )
        )
    return 1


def _wrong_walk(latched: Latched, va_bits: int, coherent: bool) -> str:
    if latched.mode() != MODE_4K:
        return "table size"
    if latched.input_bits() != va_bits:
        return "address size"
    if coherent and not latched.transcfg >> 28 & 3:
        return "shareability of walks"
    types = [latched.memattr >> 8 * number & 0xFF for number in range(3)]
    if [one >> 6 for one in types] != [_NON_CACHED, _WRITE_BACK, _NON_CACHED]:
        return "memory type"
    if coherent and types[1] >> 4 & 3 != 1:
        return "shareability of memory"
    return ""


RULES = (
    Rule(
        "IS-13",
        "An address space belongs to one VM, never that of the firmware, and a VM keeps it as "
        "long as jobs use it.",
        "Two VMs' jobs run on one set of tables.",
        "formats.md B.3 (M1, M2, M3)",
        owner_check,
        SWITCHING,
        misuse=True,
    ),
    Rule(
        "IS-11",
        "An address space is enabled for a VM only after everything that it may have cached from "
        "before was flushed.",
        "A job reads and writes pages of another process, or pages that were given back.",
        "semantics.md (when a duty falls due); formats.md B.3; KB-50",
        left_check,
        SWITCHING,
        misuse=True,
    ),
    Rule(
        "IS-10",
        "An address space walks the tables of the VM that it was given to, from when the first "
        "job may run until it is taken away.",
        "A job runs on another process's memory.",
        "formats.md B.3 (M4); KB-50",
        root_check,
        SWITCHING,
        misuse=True,
        silent=(MAY_NOT_END, OUTSIDE),
    ),
    Rule(
        "IS-12",
        "A bind of the process that has an address in the kernel's part of the VM is refused.",
        "The kernel's own objects lose their mapping, or the process reads them.",
        "formats.md B.6; KB-12",
        kernel_check,
        frozenset({"bind", "queue"}),
        misuse=True,
    ),
    Rule(
        "TR-10",
        "An address space walks with the address size, table size and memory types that the VM's "
        "tables were made for.",
        "The device faults on what is mapped, or does not see what the CPU wrote.",
        "formats.md B.1 (TRANSCFG, MEMATTR)",
        walks_check,
        frozenset({"active"}),
        misuse=True,
    ),
)
