"""OR: stores, barriers, invalidations and frees come in the right order."""

from conformance.rules.rule import MISUSE, OUTSIDE, Rule, Violation
from conformance.systems.pagetable.rules.step import PageTableStep
from reference.hardware.observation import (
    CONFLICT_SIZE,
    CONFLICT_VALUE,
    FREED_LINKED,
    ISSUED_UNSEEN,
    PUBLISHED_NOTHING,
    PUBLISHED_UNORDERED,
    PUBLISHED_UNWRITTEN,
    REPLACED_SIZE,
    REPLACED_VALUE,
)

PUBLISHED = {
    PUBLISHED_UNWRITTEN: "a table in which some entries were never written",
    PUBLISHED_UNORDERED: "a table whose content the device may not see yet",
    PUBLISHED_NOTHING: "memory that is not an allocated table",
}


def publish_check(step: PageTableStep) -> int:
    """OR-1: a table is linked only when all of it is written and visible."""
    for seen in step.observed(*PUBLISHED):
        what = PUBLISHED[seen.kind]
        step.violations.append(
            Violation(
                "OR-1",
                f"{step.kind}, level {seen.level}, links {what}{step.function(seen.event)}",
                f"The level-{seen.level} entry for {seen.va:#x} was made to point to {what}.",
                seen.event,
                seen.va,
                "zeroed or filled, then made visible, then linked",
                step.describe(seen.level, seen.new),
                corrupts=seen.kind == PUBLISHED_NOTHING,
            )
        )
    return step.seen(PUBLISHED_UNWRITTEN)


def replace_check(step: PageTableStep) -> int:
    """OR-2: break before make. After a misuse, only for entries that others use as well."""
    for seen in step.observed(REPLACED_SIZE, REPLACED_VALUE, CONFLICT_SIZE, CONFLICT_VALUE):
        if seen.kind in (REPLACED_SIZE, CONFLICT_SIZE) and step.table.bbm >= 2:
            continue
        if step.sort == MISUSE and (
            seen.kind in (CONFLICT_SIZE, CONFLICT_VALUE) or step.covers(seen.level, seen.va)
        ):
            # What a caller does to its own range by a wrong call is its own affair; where the
            # entry was somebody else's to make valid, NB-1 says so.
            step.silence("OR-2", OUTSIDE)
            continue
        old, new = step.entry(seen.level, seen.old), step.entry(seen.level, seen.new)
        if seen.kind in (CONFLICT_SIZE, CONFLICT_VALUE):
            how = "cached entry conflicts"
            message = (
                f"A leaf became valid for {seen.va:#x} while a different one may still be cached "
                "for the same address: no completed invalidation came between."
            )
        else:
            how = f"{old} -> {new}"
            message = (
                f"The level-{seen.level} entry for {seen.va:#x} went from one valid {old} to "
                f"another valid {new} in one store. The TLB may hold both for the same address: "
                "the device may use either, or fault."
            )
        step.violations.append(
            Violation(
                "OR-2",
                f"{step.kind}, level {seen.level}, {how}{step.function(seen.event)}",
                message,
                seen.event,
                seen.va,
                "invalid entry stored, barrier, invalidate, completion, then the new entry",
                f"{step.describe(seen.level, seen.old)} -> {step.describe(seen.level, seen.new)}",
            )
        )
    return step.seen(REPLACED_SIZE) + step.seen(CONFLICT_SIZE)


def free_check(step: PageTableStep) -> int:
    """OR-3: a table is unlinked before it is freed."""
    for seen in step.observed(FREED_LINKED):
        step.violations.append(
            Violation(
                "OR-3",
                f"{step.kind}, level {seen.level}, linked table freed{step.function(seen.event)}",
                f"The table at {seen.pa:#x} was freed while the level-{seen.level} entry for "
                f"{seen.va:#x} still points to it.",
                seen.event,
                seen.va,
                "the entry is cleared before the table is freed",
                "the entry still leads to the freed table",
            )
        )
    return step.seen(FREED_LINKED)


def visible_check(step: PageTableStep) -> int:
    """OR-4: stores are visible before the invalidation that covers them, and before map returns."""
    for seen in step.observed(ISSUED_UNSEEN):
        step.violations.append(
            Violation(
                "OR-4",
                f"{step.kind}, level {seen.level}, invalidate before store is visible"
                f"{step.function(seen.event)}",
                f"The invalidation was issued before the store that removed the entry for "
                f"{seen.va:#x} was visible to the walker, which may load the old entry again.",
                seen.event,
                seen.va,
                "store, then barrier or cache clean, then invalidate",
                step.describe(seen.level, seen.old),
            )
        )
    checked = step.seen(ISSUED_UNSEEN)
    if step.kind == "map" and step.result.result == 0:
        checked += 1
        pa = step.view.unseen_store()
        if pa >= 0:
            missing = "barrier" if step.view.visibility.coherent else "cache clean"
            step.violations.append(
                Violation(
                    "OR-4",
                    f"map returned before its stores are visible, no {missing}",
                    f"map returned success, but no {missing} followed the store at {pa:#x}: "
                    "the walker may not see the new entry.",
                    step.end_event,
                    step.first,
                    "the device can use the mapping when map returns",
                    f"a store at {pa:#x} that may not be visible",
                )
            )
    return checked


RULES = (
    Rule(
        "OR-1",
        "A table is linked into the tree only when every entry in it was written, and these "
        "stores are visible before the link is.",
        "The device takes garbage for page-table entries for a moment, and may cache it.",
        "formats.md F.3 (new table)",
        publish_check,
        frozenset({"map", "unmap"}),
        misuse=True,
        watches=(PUBLISHED_UNWRITTEN,),
    ),
    Rule(
        "OR-2",
        "A valid entry is replaced by a different valid one only by break-before-make: store "
        "invalid, make visible, invalidate, wait, store the new one. A device whose "
        "break-before-make level allows it may change the size of a block at once.",
        "The TLB holds two different entries for one address: a fault, or a translation "
        "that is neither.",
        "formats.md F.2; KB-16",
        replace_check,
        frozenset({"map", "unmap"}),
        misuse=True,
        silent=(OUTSIDE,),
        watches=(REPLACED_SIZE, CONFLICT_SIZE),
    ),
    Rule(
        "OR-3",
        "A table is unlinked before it is freed.",
        "The device walks freed memory, with nothing to stop it.",
        "formats.md F.3 (remove table)",
        free_check,
        frozenset({"map", "unmap", "destroy"}),
        misuse=True,
        watches=(FREED_LINKED,),
    ),
    Rule(
        "OR-4",
        "A store is visible to the walker (barrier; for a walker that does not snoop, cache "
        "clean) before the invalidation that covers it is issued, and before a map returns.",
        "The TLB loads the old entry again right after it was invalidated, or a fresh mapping "
        "faults.",
        "formats.md F.3 (remove leaf, new leaf)",
        visible_check,
        frozenset({"map", "unmap", "sync", "flush", "destroy"}),
    ),
)
