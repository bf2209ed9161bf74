"""IS, OR: who has which context, and under what it is changed."""

from conformance.rules.rule import Rule, Violation
from conformance.systems.uat.operations import ALL, CALLS
from conformance.systems.uat.rules.step import UatStep, name_of
from reference.systems.uat.device import (
    AP,
    KERNEL_INDEX,
    PAGE,
    PAGETABLES,
    field_name,
    ttb0,
    ttb1,
    ttb_of,
)

BIND = frozenset({"bind"})


def _violate(step: UatStep, rule: str, event: int, what: str, message: str, expected: str) -> None:
    step.violations.append(
        Violation(rule, f"{step.kind}, {what}", message, event, step.first, expected, corrupts=True)
    )


def exclusion_check(step: UatStep) -> int:
    """IS-60: never both have the lock."""
    if step.seen.both >= 0:
        _violate(
            step, "IS-60", step.seen.both, "both have the lock",
            "driver and firmware have the handoff lock at the same time.", "one of them waits",
        )  # fmt: skip
    return step.seen.taken


def locked_check(step: UatStep) -> int:
    """IS-63: roots change with the lock only."""
    for one in step.seen.roots:
        if not one.locked:
            _violate(
                step, "IS-63", one.event, "root stored without the lock",
                f"a root of context {one.context} was stored without the handoff lock.",
                "the lock taken before, and given back after",
            )  # fmt: skip
            break
    return len(step.seen.roots)


def kernel_check(step: UatStep) -> int:
    """IS-64: the upper half is the kernel's, in context 0 alone, and stays."""
    state, ends = step.state, step.kind in ("create", "destroy")
    for root in step.seen.roots:
        if not ends and root.context == 0:
            what = "root of context 0 changed"
        elif root.upper and root.context > 0 and root.value:
            what = "a user's context has an upper half"
        else:
            continue
        _violate(step, "IS-64", root.event, what, f"{what}: {root.value:#x}.", "as at the start")
        return 1
    for event, index in step.seen.linked:
        if not ends or (step.kind == "destroy" and index != KERNEL_INDEX):
            _violate(
                step, "IS-64", event, "root of the upper half changed",
                f"entry {index} of the root of the upper half was stored.", "as at the start",
            )  # fmt: skip
            return 1
    if step.kind == "create" and step.done:
        words = state.machine.memory.pages[PAGETABLES].words
        fmt = state.geometry.format
        wanted = [fmt.table(1, pa) for pa in (PAGETABLES + PAGE, PAGETABLES + 2 * PAGE)]
        wanted.append(fmt.table(1, state.kernel.root))
        if list(words[:8]) != [*wanted, 0, 0, 0, 0, 0]:
            _violate(
                step, "IS-64", step.end_event, "root of the upper half is wrong",
                "the root of the upper half does not lead to the kernel's table alone, besides the "
                "firmware's own.", "entry 2 leads to the kernel's table",
            )  # fmt: skip
    return 1


def own_check(step: UatStep) -> int:
    """IS-65: a call changes its own VM's context, and no other's."""
    if step.kind in ("create", "destroy"):
        return 0
    count = 0
    owned, own_entry = step.call.owned, step.call.entry
    if step.kind == "bind" and step.seen.roots:
        # Whether that is the one that is due is IS-67's to say.
        owned = own_entry = step.seen.roots[0].context
    for root in step.seen.roots:
        count += 1
        if root.context not in (owned, 0):
            _violate(
                step, "IS-65", root.event, "another's root stored",
                f"a root of context {root.context} was stored, which is not that of the VM that "
                "the call is about.", "only the own context",
            )  # fmt: skip
            return count
    for entry in step.seen.entries:
        if entry.actor == AP:
            count += 1
            if entry.number != own_entry:
                _violate(
                    step, "IS-65", entry.event, "another's flush entry used",
                    f"flush entry {entry.number} was used, which is not that of the VM that the "
                    "call is about.", "only the own entry",
                )  # fmt: skip
                return count
    return count


def inside_check(step: UatStep) -> int:
    """IS-66: a context keeps its root while the firmware is in it."""
    for event, context, _ in step.seen.shared:
        _violate(
            step, "IS-66", event, "root changed under the firmware",
            f"context {context} got another root while the firmware was in it: it goes on with "
            "the old one.", "wait until the firmware has left",
        )  # fmt: skip
        break
    return sum(1 for root in step.seen.roots if not root.upper)


def root_check(step: UatStep) -> int:
    """IS-61: after a bind the context has the VM's root, with its number as ASID."""
    vm = step.vm
    if not step.done or vm is None:
        return 0
    context = step.result.value
    wanted = ttb_of(vm.root, context)
    found = step.state.words.get(ttb0(context), 0)
    if found != wanted:
        step.violate(
            "IS-61", "context has another root",
            f"{name_of(vm)} was bound to context {context}, whose ttb0 is {found:#x}: its jobs run "
            "on another's tables.", f"{wanted:#x}", f"{found:#x}", corrupts=True,
        )  # fmt: skip
    elif step.state.words.get(ttb1(context), 0):
        step.violate(
            "IS-61", "context has an upper half", f"ttb1 of context {context} is not 0.",
            "0", "a root",
        )  # fmt: skip
    return 1


def former_check(step: UatStep) -> int:
    """IS-62: nothing of the former owner is cached when a context has a new one."""
    vm = step.vm
    if not step.done or vm is None or not step.call.changes:
        return 0
    if step.broke("OR-4", "OR-61", "IS-61"):
        return 0
    fact = step.state.foreign(vm)
    if fact is not None:
        step.violate(
            "IS-62", f"level {fact.level}, former owner's entry",
            f"{name_of(vm)} was bound to context {step.result.value}, under whose ASID an entry of "
            f"its former owner may still be cached for {fact.first:#x}.",
            "invalidated by ASID, after the root was stored", "the former owner's entry",
        )  # fmt: skip
    return 1


def slot_check(step: UatStep) -> int:
    """IS-67: the context that a VM had, if nobody has had it since; or that longest not in use."""
    if not step.done or step.broke("IS-61"):
        return 0
    if step.result.value != step.call.slot:
        step.violate(
            "IS-67", "another context than due",
            f"the VM got context {step.result.value}.", f"context {step.call.slot}",
            f"context {step.result.value}", corrupts=True,
        )  # fmt: skip
    return 1


def visible_root_check(step: UatStep) -> int:
    """OR-61: roots are visible before the invalidation that is meant for them."""
    for event, address in step.seen.unseen:
        _violate(
            step, "OR-61", event, "root not visible",
            f"{field_name(address)} was not visible when the lock was given back, or the "
            "invalidation for it began: the old root may be loaded again.",
            "store, release of the lock, barrier, then the invalidation",
        )  # fmt: skip
        break
    return len(step.seen.tlbis) + step.seen.given if step.seen.roots else 0


RULES = (
    Rule(
        "IS-60",
        "Driver and firmware never have the handoff lock at the same time.",
        "The firmware enters a context whose root is being changed.",
        "formats.md A.4",
        exclusion_check,
        ALL,
    ),
    Rule(
        "IS-63",
        "The driver stores to roots only while it has the handoff lock.",
        "The firmware loads a root that is being changed.",
        "formats.md A.3, A.7",
        locked_check,
        CALLS,
    ),
    Rule(
        "OR-61",
        "Roots are visible when the lock is given back, and before the invalidation that is meant "
        "for them.",
        "The firmware enters with the old root, or the GPU loads it again.",
        "formats.md F.3 (change root, reuse context tag)",
        visible_root_check,
        CALLS,
    ),
    Rule(
        "IS-64",
        "The upper half is the same from the start to the end: context 0 has it, no other does, "
        "and entry 2 of its root leads to the kernel's table.",
        "A user reaches the kernel's memory, or the firmware loses its own.",
        "formats.md A.1, A.3, A.7 (U4)",
        kernel_check,
        CALLS,
    ),
    Rule(
        "IS-65",
        "A call changes the root and the flush entry of its own VM's context, and no other's: a VM "
        "that has lost its context leaves it alone.",
        "The next owner's jobs lose their tables.",
        "formats.md A.7 (U1), A.9",
        own_check,
        CALLS,
    ),
    Rule(
        "IS-66",
        "A context keeps its root as long as the firmware is in it.",
        "The firmware walks tables that have another owner.",
        "formats.md A.3, A.7 (U5)",
        inside_check,
        CALLS,
    ),
    Rule(
        "IS-61",
        "After a bind the context has the VM's root, with its own number as ASID, and no upper "
        "half.",
        "Jobs of one process run on another's tables.",
        "formats.md A.3, A.7 (U1); KB-50",
        root_check,
        BIND,
    ),
    Rule(
        "IS-62",
        "When a context has a new owner, nothing of the former one is cached under its ASID.",
        "Jobs of one process read and write another's memory.",
        "formats.md A.7 (U2); KB-51",
        former_check,
        BIND,
    ),
    Rule(
        "IS-67",
        "A VM gets the context that it had, if it is free and nobody has had it since; or else the "
        "free one that was given back longest ago.",
        "A VM loses its context, and its cached entries, although nobody needs it.",
        "formats.md A.6",
        slot_check,
        BIND,
    ),
)
