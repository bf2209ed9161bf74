"""OR, RC, TL: tables are complete before they are walked, are freed once, and not too early."""

from conformance.rules.rule import Rule, Violation
from conformance.systems.dart.rules.operations import SWITCHING, TABLES
from conformance.systems.dart.rules.step import DartStep
from reference.hardware.observation import (
    FREED_CACHED,
    FREED_LINKED,
    FREED_UNKNOWN,
    ISSUED_UNSEEN,
    PUBLISHED_NOTHING,
    PUBLISHED_UNORDERED,
    PUBLISHED_UNWRITTEN,
    STORED_FREED,
    STORED_OUTSIDE,
    Observation,
)

PUBLISHED = {
    PUBLISHED_UNWRITTEN: "a table in which some entries were never written",
    PUBLISHED_UNORDERED: "a table whose content the unit may not see yet",
    PUBLISHED_NOTHING: "memory that is no table",
}


def _place(level: int) -> str:
    return "a root register" if level <= 0 else f"a level-{level} entry"


def _found(
    rule: str, step: DartStep, seen: Observation, how: str, message: str, expected: str,
    corrupts: bool = True,
) -> None:  # fmt: skip
    step.violations.append(
        Violation(
            rule,
            f"{step.kind}, {how}{step.function(seen.event)}",
            message,
            seen.event,
            seen.va,
            expected,
            how,
            corrupts=corrupts,
        )
    )


def publish_check(step: DartStep) -> int:
    """OR-1: a table is complete and visible before a register or an entry leads to it."""
    for seen in step.observed(*PUBLISHED)[:1]:
        what = PUBLISHED[seen.kind]
        where = _place(seen.level)
        _found(
            "OR-1", step, seen, f"{where} leads to {what}",
            f"From {where}, for {seen.va:#x}, a unit can walk {what}, at {seen.pa:#x}.",
            "zeroed, made visible, then linked; roots before the mode of the stream",
        )  # fmt: skip
    return step.seen(PUBLISHED_UNWRITTEN)


def visible_check(step: DartStep) -> int:
    """OR-4: stores are visible before the invalidation that is meant for them."""
    for seen in step.observed(ISSUED_UNSEEN)[:1]:
        _found(
            "OR-4", step, seen, "invalidation before the store is visible",
            f"The invalidation was issued before the store that removed the entry for {seen.va:#x} "
            "was visible: the unit may load the old entry again.",
            "store, barrier, invalidate",
        )  # fmt: skip
    checked = step.seen(ISSUED_UNSEEN)
    domain = step.call.domain
    if step.kind == "map" and step.succeeded and domain is not None:
        checked += 1
        pa = domain.space.unseen_store()
        if pa >= 0 and not step.violations:
            step.violate(
                "OR-4", "returned before its stores are visible",
                f"map returned success, but no barrier followed the store at {pa:#x}.",
                "the new entries are visible when map returns", "a store that may not be visible",
                corrupts=True,
            )  # fmt: skip
    return checked


def linked_check(step: DartStep) -> int:
    """RC-50: nothing leads to a table that is freed."""
    for seen in (*step.observed(FREED_LINKED), *step.call.freed_linked)[:1]:
        where = _place(seen.level)
        _found(
            "RC-50", step, seen, f"freed while {where} leads to it",
            f"The table at {seen.pa:#x} was freed while {where} still leads to it.",
            "no stream has the table when it is freed",
        )  # fmt: skip
    return step.seen(FREED_LINKED)


def cached_check(step: DartStep) -> int:
    """TL-2: a table is freed only when no stream may know the way to it."""
    for seen in step.observed(FREED_CACHED)[:1]:
        _found(
            "TL-2", step, seen, f"level {seen.level}, table freed",
            f"The table at {seen.pa:#x} was freed while a stream may have the way to it cached.",
            "a completed invalidation of every stream that walked there, before the table is freed",
        )  # fmt: skip
    return step.seen(FREED_CACHED)


def free_check(step: DartStep) -> int:
    """RC-2: only what is allocated is freed, once."""
    for seen in step.observed(FREED_UNKNOWN)[:1]:
        _found(
            "RC-2", step, seen, "free of what is not allocated",
            f"{seen.pa:#x} was freed, and no table is allocated there.", "freed once",
        )  # fmt: skip
    return step.seen(FREED_UNKNOWN)


def use_check(step: DartStep) -> int:
    """RC-3: entries are stored only to tables."""
    for seen in step.observed(STORED_FREED, STORED_OUTSIDE)[:1]:
        where = "a freed table" if seen.kind == STORED_FREED else "memory outside every table"
        _found(
            "RC-3", step, seen, f"store to {where}",
            f"An entry was stored to {where}, at {seen.pa:#x}.", "stores to allocated tables",
        )  # fmt: skip
    return step.seen(STORED_FREED)


def leak_check(step: DartStep) -> int:
    """RC-1: no table is lost, and none is left when its domain is gone."""
    call = step.call
    what = "tables left of what is gone" if call.kept else "table lost"
    if call.kept or call.lost > 0:
        step.violate(
            "RC-1", what,
            f"After {step.kind} {call.kept or call.lost} table(s) are allocated that nothing leads "
            "to.",
            "every table is linked, or freed", what, corrupts=True,
        )  # fmt: skip
    return len(step.events.spaces)


RULES = (
    Rule(
        "OR-1",
        "A table is complete and visible before a root register of an enabled stream, or an entry, "
        "leads to it.",
        "The device takes garbage for page-table entries for a moment, and may cache it.",
        "formats.md F.3 (new table, change root), C.2, C.4",
        publish_check,
        TABLES | SWITCHING,
        misuse=True,
        watches=(PUBLISHED_UNWRITTEN,),
    ),
    Rule(
        "RC-3",
        "Entries are stored only to tables that are allocated.",
        "Somebody else's memory is overwritten with addresses.",
        "semantics.md (memory safety)",
        use_check,
        TABLES,
        misuse=True,
        watches=(STORED_FREED,),
    ),
    Rule(
        "RC-2",
        "A table is freed once, and only if it was allocated.",
        "The allocator hands one page to two owners.",
        "semantics.md (references)",
        free_check,
        TABLES,
        misuse=True,
        watches=(FREED_UNKNOWN,),
    ),
    Rule(
        "RC-50",
        "A table is freed only when no entry, and no root register of a stream, leads to it.",
        "The device walks freed memory, with nothing to stop it.",
        "formats.md F.3 (remove table); C.5 (roots are valid only while attached)",
        linked_check,
        TABLES,
        misuse=True,
    ),
    Rule(
        "TL-2",
        "A table is freed only after an invalidation of every stream that may have walked there "
        "has completed, on every unit.",
        "The device walks a page that holds somebody else's data.",
        "formats.md F.3 (remove table); KB-49",
        cached_check,
        TABLES,
        misuse=True,
        watches=(FREED_CACHED,),
    ),
    Rule(
        "RC-1",
        "After each call every table can be reached from its domain's roots, and none is left of "
        "a domain that was freed or could not be made.",
        "Memory is lost with every domain.",
        "formats.md C.5 (free); F.4 (free_io_pgtable_ops)",
        leak_check,
        TABLES,
        misuse=True,
    ),
    Rule(
        "OR-4",
        "A store is visible before the invalidation that is meant for it is issued, and before a "
        "map returns.",
        "The unit loads the old entry again right after it was invalidated.",
        "formats.md F.3 (remove leaf, new leaf); C.2",
        visible_check,
        TABLES,
    ),
)
