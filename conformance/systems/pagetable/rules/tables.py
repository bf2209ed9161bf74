"""RC: table pages balance, and nothing is used after it was freed."""

from conformance.rules.rule import Rule, Violation
from conformance.systems.pagetable.rules.step import PageTableStep
from reference.hardware.observation import (
    FREED_UNKNOWN,
    STORED_FREED,
    STORED_OUTSIDE,
)


def leak_check(step: PageTableStep) -> int:
    """RC-1: every allocated table is reachable from the root."""
    lost = step.call.lost
    if lost > 0:
        step.violations.append(
            Violation(
                "RC-1",
                f"{step.kind}, table lost",
                f"{lost} allocated table page(s), the first at {step.call.lost_pa:#x}, cannot be "
                "reached from the root any more and were not freed.",
                step.end_event,
                step.first,
                "every allocated table is linked, or freed",
                f"{lost} lost",
            )
        )
    return 1


def free_check(step: PageTableStep) -> int:
    """RC-2: only what is allocated is freed, once."""
    for seen in step.observed(FREED_UNKNOWN):
        step.violations.append(
            Violation(
                "RC-2",
                f"{step.kind}, free of what is not allocated{step.function(seen.event)}",
                f"{seen.pa:#x} was freed, and no table is allocated there.",
                seen.event,
                step.first,
            )
        )
    return step.seen(FREED_UNKNOWN)


def use_check(step: PageTableStep) -> int:
    """RC-3: entries are stored only to allocated tables."""
    for seen in step.observed(STORED_FREED, STORED_OUTSIDE):
        where = "a freed table" if seen.kind == STORED_FREED else "memory outside every table"
        step.violations.append(
            Violation(
                "RC-3",
                f"{step.kind}, store to {where}{step.function(seen.event)}",
                f"A page-table entry was stored to {where}, at {seen.pa:#x}.",
                seen.event,
                step.first,
            )
        )
    return step.seen(STORED_FREED)


RULES = (
    Rule(
        "RC-1",
        "After each operation every allocated table page can be reached from the root; after "
        "destroy, and after a create that failed, none is left.",
        "Memory is lost with every unmap until the machine runs out of it.",
        "formats.md F.4 (free_io_pgtable_ops); KB-39",
        leak_check,
        frozenset({"create", "map", "unmap", "destroy"}),
        misuse=True,
    ),
    Rule(
        "RC-2",
        "A table page is freed once, and only if it was allocated.",
        "The allocator hands one page to two owners.",
        "semantics.md (references)",
        free_check,
        frozenset({"create", "map", "unmap", "destroy"}),
        misuse=True,
        watches=(FREED_UNKNOWN,),
    ),
    Rule(
        "RC-3",
        "Page-table entries are stored only to allocated table pages.",
        "Somebody else's memory is overwritten with addresses.",
        "semantics.md (memory safety)",
        use_check,
        frozenset({"create", "map", "unmap", "destroy"}),
        misuse=True,
        watches=(STORED_FREED,),
    ),
)
