"""OR: registers and commands of address spaces are used as the MMU wants it."""

from collections.abc import Mapping

from conformance.rules.rule import Rule, Violation
from conformance.systems.mali.rules.operations import SWITCHING
from conformance.systems.mali.rules.step import MAY_NOT_END, MaliStep
from reference.systems.mali.device import (
    ACCESS_ABSENT,
    ACCESS_OFF,
    COMMAND_BUSY,
    COMMAND_UNKNOWN,
    FLUSH_UNLOCKED,
    LOCK_UNDEFINED,
    MODE_RESERVED,
    REGISTER_BUSY,
    ROOT_ADDRESS,
    UPDATE_UNFLUSHED,
    WRITTEN_READ_ONLY,
)

COMMANDS: Mapping[int, str] = {
    COMMAND_BUSY: "a command is written while another may be running",
    REGISTER_BUSY: "a register is changed that a running command looks at",
}
ACCESSES: Mapping[int, str] = {
    COMMAND_UNKNOWN: "a command is written that does not exist",
    ACCESS_ABSENT: "an address space is used that does not exist",
    ACCESS_OFF: "a register is used while there is no power",
    WRITTEN_READ_ONLY: "a register is written that can only be read",
}
FLUSHING: Mapping[int, str] = {
    FLUSH_UNLOCKED: "a flush is asked for without a locked region",
    LOCK_UNDEFINED: "a region is locked that is smaller than the smallest",
}
LATCHING: Mapping[int, str] = {
    UPDATE_UNFLUSHED: "an address space that walks gets another root, and not all that it has "
    "cached was flushed",
    ROOT_ADDRESS: "the root is not the start of a table that the MMU can address",
    MODE_RESERVED: "the mode of walking is not one that is known",
}


def _observed(step: MaliStep, rule: str, kinds: Mapping[int, str], expected: str) -> None:
    for seen in step.seen.commands:
        if seen.kind in kinds:
            what = kinds[seen.kind]
            step.violations.append(
                Violation(
                    rule,
                    f"{step.kind}, {what}{step.function(seen.event)}",
                    f"AS {seen.slot}, {seen.register}: {what}.",
                    seen.event,
                    step.first,
                    expected,
                    f"{seen.value:#x} written" if seen.value else "",
                )
            )


def protocol_check(step: MaliStep) -> int:
    """OR-11: one command after the other, and no register that is not there."""
    if not step.seen.registers:
        return 0
    # Where a command may never end, what comes behind it is lost until a reset.
    kinds: Mapping[int, str] = {**COMMANDS, **ACCESSES}
    if step.may_time_out:
        kinds = ACCESSES
        step.silence("OR-11", MAY_NOT_END)
    _observed(step, "OR-11", kinds, "STATUS seen idle before the next command")
    return step.seen.updates + step.seen.flushes


def flush_check(step: MaliStep) -> int:
    """OR-12: a flush is of a locked region, and the lock is released."""
    if not step.seen.registers:
        return 0
    _observed(step, "OR-12", FLUSHING, "LOCK of at least 32 KiB, seen to end, then the flush")
    # What became of a lock after commands that cannot be relied on is not known.
    doubtful = {
        seen.slot for seen in step.seen.commands if seen.kind in (COMMAND_BUSY, REGISTER_BUSY)
    }
    for slot in range(len(step.state.slots)):
        locked = step.state.mmu.at(slot).may_be_locked
        if locked and step.may_time_out:
            step.silence("OR-12", MAY_NOT_END)
        elif locked and slot not in doubtful:
            step.violations.append(
                Violation(
                    "OR-12",
                    f"{step.kind}, region left locked",
                    f"AS {slot}: the call is over, and accesses to a region still stall.",
                    step.end_event,
                    step.first,
                    "FLUSH or UNLOCK, seen to end",
                    "still locked",
                )
            )
    return step.seen.flushes


def latch_check(step: MaliStep) -> int:
    """OR-13: an AS gets another root only after all was flushed, and a root that it can walk."""
    if not step.seen.registers:
        return 0
    _observed(step, "OR-13", LATCHING, "LOCK of everything and FLUSH_MEM, seen to end, then UPDATE")
    return step.seen.updates


def update_check(step: MaliStep) -> int:
    """OR-10: the end of an UPDATE is seen before anyone relies on it."""
    if not step.seen.updates:
        return 0
    unseen = {slot: (event, walks) for event, slot, walks in step.seen.unseen_updates}
    for slot in step.call.unended:
        unseen.setdefault(slot, (step.end_event, step.latched(slot)[-1].walks()))
    for slot, (event, walks) in sorted(unseen.items()):
        what = "AS enabled" if walks else "AS disabled"
        step.violations.append(
            Violation(
                "OR-10",
                f"{what}, UPDATE not seen to end",
                f"{what} in {step.kind}: UPDATE was written for AS {slot}, and nobody looked "
                "whether it has ended: the AS may still work with its former root and mode.",
                event,
                step.first,
                "STATUS seen idle after UPDATE",
                "STATUS not read after UPDATE",
            )
        )
    return step.seen.updates


RULES = (
    Rule(
        "OR-10",
        "The end of an UPDATE is seen before the call returns and before tables are freed.",
        "Jobs run on the former VM's tables, or on tables that were freed.",
        "formats.md B.1, B.3; KB-04",
        update_check,
        SWITCHING,
        misuse=True,
    ),
    Rule(
        "OR-11",
        "A command is written only after the one before was seen to end; registers that it looks "
        "at stay; only what exists is accessed, and only with power.",
        "Commands are lost, or the bus hangs.",
        "formats.md B.1, B.3 (wait_ready)",
        protocol_check,
        SWITCHING,
        misuse=True,
        silent=(MAY_NOT_END,),
    ),
    Rule(
        "OR-12",
        "A flush is of a locked region of at least 32 KiB, and no region stays locked.",
        "It is not known what is flushed, or all jobs stall for ever.",
        "formats.md B.1; KB-34, KB-38",
        flush_check,
        SWITCHING,
        misuse=True,
        silent=(MAY_NOT_END,),
    ),
    Rule(
        "OR-13",
        "An address space that walks gets another root only after everything that it has cached "
        "was flushed; the root is one that it can walk.",
        "The next VM uses the translations of the former.",
        "formats.md B.3 (step 6), F.3 (change root)",
        latch_check,
        SWITCHING,
        misuse=True,
    ),
)
