"""ER, PG, RC: what calls return, that they return, and who is counted."""

import errno

from conformance.rules.errnos import errno_kind, errno_name
from conformance.rules.progress import crash_check, return_check, warning_check
from conformance.rules.rule import LEGAL, REFUSED, Rule
from conformance.systems.uat.operations import ALL, CALLS, MAPS
from conformance.systems.uat.rules.step import UatStep
from reference.systems.uat.device import (
    AP,
    CUR_SLOT,
    KERNEL_ENTRY,
    LOCK_AP,
    MAGIC,
    MAGIC_AP,
    NO_CONTEXT,
    PAGETABLES,
    UNK3,
    field_name,
    flush_address,
    flush_size,
    flush_state,
    ttb0,
    ttb1,
)
from reference.systems.uat.promise import NO_ROOM


def _no_room(step: UatStep) -> bool:
    """Whether it was said that there is no room for what there is room for."""
    return step.is_map and step.sort == LEGAL and step.result.result == -errno.ENOSPC


def result_check(step: UatStep) -> int:
    """ER-1: a call returns one of its documented results."""
    allowed = [*([] if step.sort == REFUSED else [0]), *step.errors]
    result = step.result.result
    # What was given out although there is no room is seen at the addresses.
    if result in allowed or _no_room(step) or (result == 0 and step.reason == NO_ROOM):
        return 1
    why = f" ({step.reason.split(':')[0]})" if step.reason else ""
    step.violate(
        "ER-1",
        f"{step.sort}{why}, returned {errno_kind(result)}",
        f"{step.kind} returned {errno_name(result)}; the call was {step.sort}"
        f"{f': {step.reason}' if step.reason else ''}.",
        " or ".join(errno_name(one) for one in allowed),
        errno_name(result),
        corrupts=step.sort == REFUSED and result == 0,
    )
    return 1


def found_check(step: UatStep) -> int:
    """ER-61: room that there is, is found."""
    if step.sort != LEGAL:
        return 0
    if _no_room(step):
        step.violate(
            "ER-61", "room not found", f"{step.kind} returned ENOSPC, although there is room.",
            "an address", "ENOSPC",
        )  # fmt: skip
    return 1


def initial_check(step: UatStep) -> int:
    """ER-60: after the start the shared regions are as the firmware expects them."""
    if not step.done:
        return 0
    state = step.state
    wanted = {MAGIC_AP: MAGIC, UNK3: 0, CUR_SLOT: NO_CONTEXT}
    for entry in range(KERNEL_ENTRY + 1):
        for field in (flush_state, flush_address, flush_size):
            wanted[field(entry)] = 0
    wanted[ttb0(0)], wanted[ttb1(0)] = state.lowest.root | 1, PAGETABLES | 1
    for context in range(1, state.contexts):
        wanted[ttb0(context)] = wanted[ttb1(context)] = 0
    for address, word in wanted.items():
        found = state.words.get(address, 0)
        if found != word:
            name = field_name(address)
            step.violate(
                "ER-60", f"{name.split('[')[0]} is not set up",
                f"the driver has started, and {name} is {found:#x}.", f"{word:#x}", f"{found:#x}",
            )  # fmt: skip
            break
    return 1


def lock_check(step: UatStep) -> int:
    """PG-60: no call returns with the lock."""
    seen = step.seen
    if seen.given != seen.turns:
        step.violate(
            "PG-60", "turn not given",
            f"{step.kind} gave the lock back {seen.given} times, and the turn {seen.turns} times: "
            "a firmware that waits for its turn waits for ever.", "the turn given with the lock",
            "the turn kept", corrupts=True,
        )  # fmt: skip
    elif step.state.is_locked():
        held = step.state.has_lock[AP]
        step.violate(
            "PG-60", "lock kept" if held else "flag left up",
            f"{step.kind} returned, and lock_ap is {step.state.words.get(LOCK_AP, 0)}: the "
            "firmware waits for ever.",
            "the lock given back", "the lock taken", corrupts=True,
        )  # fmt: skip
    return min(step.seen.taken, 1)


def count_check(step: UatStep) -> int:
    """RC-4: who is bound is counted, and has a context while somebody is."""
    count = 0
    for _, number, context, users in step.seen.holds:
        vm = step.state.vm(number)
        if vm is None:
            continue
        count += 1
        wanted = vm.context if vm.users else -1
        if (users, context) != (vm.users, wanted) and not step.broke("IS-61", "IS-67"):
            step.violate(
                "RC-4",
                "users" if users != vm.users else "context",
                f"VM {number} has {users} users and context {context}.",
                f"{vm.users} users, context {wanted}",
                f"{users} users, context {context}",
                corrupts=True,
            )
    return count


RULES = (
    Rule(
        "PG-1",
        "A call returns, while the firmware keeps the protocol.",
        "The GPU's driver waits for ever, and everything that waits for it.",
        "semantics.md (progress); formats.md A.4",
        return_check,
        ALL,
    ),
    Rule(
        "PG-2",
        "A call does not crash, and touches only its own memory.",
        "One process takes the machine down.",
        "semantics.md (memory safety)",
        crash_check,
        ALL,
    ),
    Rule(
        "PG-3",
        "A call prints no warning.",
        "A warning stops machines that are set to panic on it.",
        "semantics.md (calls)",
        warning_check,
        CALLS,
    ),
    Rule(
        "ER-1",
        "A call returns one of its documented results: EINVAL, ENOMEM for regions that will not "
        "do, EIO without a firmware, ENOSPC without room, EINVAL for parts of pages, ERANGE beyond "
        "physical memory, ENOMEM, ERESTARTSYS while all contexts are taken, ETIMEDOUT where the "
        "firmware neither answers nor leaves; success otherwise.",
        "A caller takes one error for another, or goes on with what it was not given.",
        "formats.md A.3, A.4, A.6, A.8",
        result_check,
        CALLS,
    ),
    Rule(
        "ER-61",
        "Room that there is, is found.",
        "A caller is told that its address space is full while it is not.",
        "formats.md A.8",
        found_check,
        MAPS,
    ),
    Rule(
        "ER-60",
        "When the driver has started, the shared regions are set up: magic, no context, no flush "
        "asked for, context 0 with the kernel's roots, all others with none.",
        "The firmware takes what stood there before for a request, or for a root.",
        "formats.md A.3, A.4",
        initial_check,
        frozenset({"create"}),
    ),
    Rule(
        "PG-60",
        "No call returns with the handoff lock, and with the lock the turn is given.",
        "The firmware waits for ever.",
        "formats.md A.4",
        lock_check,
        CALLS,
    ),
    Rule(
        "RC-4",
        "A VM has a context as long as somebody holds it bound, and is counted right.",
        "A context is given away under a job, or never again.",
        "formats.md A.7 (U3)",
        count_check,
        frozenset({"bind", "clone", "unbind"}),
    ),
)
