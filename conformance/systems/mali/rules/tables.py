"""OR, TL, NB, RC: tables are published, changed, flushed and freed in the right order."""

from conformance.rules.entries import entry_name, entry_text
from conformance.rules.rule import Rule, Violation
from conformance.systems.mali.rules.operations import MAPPING, TABLES
from conformance.systems.mali.rules.step import MAY_NOT_END, MaliStep
from reference.formats.access import access_text
from reference.hardware.observation import (
    CHANGED_OUTSIDE,
    CONFLICT_SIZE,
    CONFLICT_VALUE,
    FREED_CACHED,
    FREED_LINKED,
    FREED_UNKNOWN,
    ISSUED_UNSEEN,
    PUBLISHED_NOTHING,
    PUBLISHED_UNORDERED,
    PUBLISHED_UNWRITTEN,
    REPLACED_SIZE,
    REPLACED_VALUE,
    STORED_FREED,
    STORED_OUTSIDE,
)
from reference.systems.mali.state import MaliVm

PUBLISHED = {
    PUBLISHED_UNWRITTEN: "a table in which some entries were never written",
    PUBLISHED_UNORDERED: "tables with stores that the device may not see yet",
    PUBLISHED_NOTHING: "memory that is not an allocated table",
}
CONFLICTS = (CONFLICT_SIZE, CONFLICT_VALUE)


def publish_check(step: MaliStep) -> int:
    """OR-1: what a walk can reach is written and visible."""
    if not step.state.touched:
        return 0
    for vm, seen in step.observed(*PUBLISHED):
        what = PUBLISHED[seen.kind]
        step.violations.append(
            Violation(
                "OR-1",
                f"{step.kind}, level {seen.level}, leads to {what}{step.function(seen.event)}",
                f"VM {vm.number}: a walk for {seen.va:#x} leads to {what}.",
                seen.event,
                seen.va,
                "zeroed or filled, then made visible, then linked or given to the device",
                entry_text(vm.view.geometry.format, seen.level, seen.new),
                corrupts=seen.kind == PUBLISHED_NOTHING,
            )
        )
    return step.occasions(PUBLISHED_UNORDERED)


def replace_check(step: MaliStep) -> int:
    """OR-2: break before make, unless accesses to the entry stall."""
    if not step.state.touched:
        return 0
    for vm, seen in step.observed(REPLACED_SIZE, REPLACED_VALUE, *CONFLICTS):
        if step.may_time_out:
            # Nothing can be locked or flushed any more; a reset has to come.
            step.silence("OR-2", MAY_NOT_END)
            break
        if seen.kind in CONFLICTS and any(one.bind.vm == vm.number for one in step.seen.stale):
            # What was not flushed is still cached at the end: that is TL-1's to say.
            continue
        table_format = vm.view.geometry.format
        old = entry_name(table_format, seen.level, seen.old)
        new = entry_name(table_format, seen.level, seen.new)
        how = "cached entry conflicts" if seen.kind in CONFLICTS else f"{old} -> {new}"
        step.violations.append(
            Violation(
                "OR-2",
                f"{step.kind}, level {seen.level}, {how}{step.function(seen.event)}",
                f"VM {vm.number}: for {seen.va:#x} the device may hold two different entries "
                f"at once ({how}): it may use either, or fault.",
                seen.event,
                seen.va,
                "invalid entry stored and flushed before the new one, or the region locked",
                f"{entry_text(table_format, seen.level, seen.old)} -> "
                f"{entry_text(table_format, seen.level, seen.new)}",
            )
        )
    return step.occasions(REPLACED_SIZE) + step.occasions(CONFLICT_SIZE)


def visible_check(step: MaliStep) -> int:
    """OR-4: stores are visible before the flush that is meant for them, and before the return."""
    if not step.state.touched:
        return 0
    count = step.occasions(ISSUED_UNSEEN)
    for vm, seen in step.observed(ISSUED_UNSEEN):
        step.violations.append(
            Violation(
                "OR-4",
                f"{step.kind}, level {seen.level}, flush before store is visible"
                f"{step.function(seen.event)}",
                f"VM {vm.number}: the flush began before the store that removed the entry for "
                f"{seen.va:#x} was visible to the MMU, which may load the old entry again.",
                seen.event,
                seen.va,
                "store, barrier (or clean), then the flush",
            )
        )
    for vm in step.state.touched:
        if not vm.view.walked:
            continue
        count += 1
        pa = vm.view.unseen_store()
        if pa >= 0:
            step.violations.append(
                Violation(
                    "OR-4",
                    f"{step.kind}, returns before a store is visible",
                    f"VM {vm.number}: the call returned, but the device may not see the entry "
                    f"at {pa:#x} yet.",
                    step.end_event,
                    step.first,
                    "a full barrier (or clean) after the last store",
                )
            )
    return count


def neighbours_check(step: MaliStep) -> int:
    """NB-1: what is not named translates all the time as it did."""
    if not step.state.touched:
        return 0
    for vm, seen in step.observed(CHANGED_OUTSIDE):
        _changed(step, vm, seen.va, seen.event, seen.level)
        break
    for vm, va in step.call.changed_stalled:
        # Nobody could look meanwhile: what counts is how it ends.
        if not step.violations and vm.view.difference(vm.pages, va, va) is not None:
            _changed(step, vm, va, step.end_event, -1)
    for span in step.spans:
        # What an operation is about may be told in one range only, with what lies between.
        if not step.violations and span.is_judged(step.result):
            for first, last in span.beside(step.spans):
                found = span.vm.view.difference(span.vm.pages, first, last)
                if found is not None and not step.violations:
                    _changed(step, span.vm, found.va, step.end_event, found.level)
    return step.occasions(CHANGED_OUTSIDE)


def _changed(step: MaliStep, vm: MaliVm, va: int, event: int, level: int) -> None:
    where = f", level {level}" if level >= 0 else ""
    step.violations.append(
        Violation(
            "NB-1",
            f"{step.kind}{where}, neighbour changed{step.function(event)}",
            f"VM {vm.number}: {va:#x} is not what {step.kind} was about, and its translation "
            "changed while a job could use it.",
            event,
            va,
            "every address beside the range translates as before, all the time",
            corrupts=True,
        )
    )


def stale_check(step: MaliStep) -> int:
    """TL-1: when a bind is done, nothing stale is cached for its range."""
    fmt = step.state.geometry.format
    for one in step.seen.stale:
        fact, vm = one.fact, step.state.vms[one.bind.vm]
        at = max(one.bind.first, fact.first)
        pa = fmt.output(fact.level, fact.word) + (at & (fmt.span(fact.level) - 1))
        how = "queued bind" if one.bind.fence >= 0 else "bind"
        step.violations.append(
            Violation(
                "TL-1",
                f"{step.kind}, {how}, level {fact.level}, stale leaf",
                f"VM {vm.number}: the {how} is done, and the device may still translate {at:#x} "
                "by an entry that is gone: no completed flush covered it since it was removed.",
                one.event,
                at,
                "nothing, or what is mapped there now",
                f"{pa:#x} {access_text(fmt.meaning(fact.level, fact.word))}, from the TLB",
                stale=(fact.level, fact.first, fact.last, fact.word),
            )
        )
    return step.seen.due


def freed_check(step: MaliStep) -> int:
    """TL-2: a table is freed only when the device can neither walk it nor has walked to it."""
    if not step.state.touched:
        return 0
    fmt = step.state.geometry.format
    for vm, seen in step.observed(FREED_CACHED, FREED_LINKED):
        linked = seen.kind == FREED_LINKED
        how = "while it is linked" if linked else "before a flush"
        last = seen.va + fmt.span(seen.level) - 1 if seen.level >= 0 else -1
        step.violations.append(
            Violation(
                "TL-2",
                f"{step.kind}, level {seen.level}, table freed {how}{step.function(seen.event)}",
                f"VM {vm.number}: the table at {seen.pa:#x} was freed while "
                + (
                    "an address space still walks to it"
                    if linked
                    else f"the level-{seen.level} entry that leads to it may still be cached"
                )
                + ": the device can walk memory that has a new owner.",
                seen.event,
                seen.va,
                "the entry cleared, a flush of its range seen to end, then the table freed",
                "no such flush since the entry was cleared" if not linked else "still linked",
                stale=(seen.level, seen.va, last, seen.old) if not linked else None,
                corrupts=linked,
            )
        )
    return step.occasions(FREED_CACHED)


def freed_linked_check(step: MaliStep) -> int:
    """RC-2: of a VM that lives on, no table is freed that is linked, or not allocated."""
    if not step.state.touched:
        return 0
    for vm, seen in step.call.freed_linked:
        # Of one that ends, tables go from the last to the first.
        if vm.exists and vm.root in step.state.owners:
            step.violations.append(
                Violation(
                    "RC-2",
                    f"{step.kind}, level {seen.level}, linked table freed"
                    f"{step.function(seen.event)}",
                    f"VM {vm.number}: the table at {seen.pa:#x} was freed, and the "
                    f"level-{seen.level} entry for {seen.va:#x} still points to it.",
                    seen.event,
                    seen.va,
                    corrupts=True,
                )
            )
            return 1
    for vm, seen in step.observed(FREED_UNKNOWN):
        step.violations.append(
            Violation(
                "RC-2",
                f"{step.kind}, free of what is not allocated{step.function(seen.event)}",
                f"VM {vm.number}: {seen.pa:#x} was freed, and no table is allocated there.",
                seen.event,
                step.first,
            )
        )
    return step.occasions(FREED_UNKNOWN)


def store_check(step: MaliStep) -> int:
    """RC-3: entries are stored only to allocated tables."""
    if not step.state.touched:
        return 0
    for vm, seen in step.observed(STORED_FREED, STORED_OUTSIDE):
        where = "a freed table" if seen.kind == STORED_FREED else "memory outside every table"
        step.violations.append(
            Violation(
                "RC-3",
                f"{step.kind}, store to {where}{step.function(seen.event)}",
                f"VM {vm.number}: an entry was stored to {where}, at {seen.pa:#x}.",
                seen.event,
                step.first,
                corrupts=True,
            )
        )
    return step.occasions(STORED_FREED)


RULES = (
    Rule(
        "OR-1",
        "What a walk can reach is written and visible before it can be reached: tables before "
        "they are linked, everything before an address space is enabled.",
        "The device takes what lay in memory before for page-table entries.",
        "formats.md F.3 (new table, change root)",
        publish_check,
        TABLES,
        misuse=True,
    ),
    Rule(
        "OR-2",
        "A valid entry is replaced by another only after it was made invalid and flushed, or "
        "while accesses to its addresses stall.",
        "The TLB holds two entries for one address, and the device may use either.",
        "formats.md F.2; KB-16",
        replace_check,
        MAPPING,
        misuse=True,
        silent=(MAY_NOT_END,),
    ),
    Rule(
        "OR-4",
        "Stores are visible to the MMU before the flush that is meant for them, and before the "
        "call returns.",
        "The MMU loads the old entry again after the flush, or faults on a page that is mapped.",
        "formats.md F.3 (remove leaf, non-coherent walker)",
        visible_check,
        TABLES,
        misuse=True,
    ),
    Rule(
        "TL-2",
        "A table is freed only after a flush that covers the entries leading to it was seen to "
        "end, or no address space walks it any more.",
        "The device walks a page that holds somebody else's data.",
        "formats.md B.2, F.3 (remove table); KB-03",
        freed_check,
        TABLES,
        misuse=True,
    ),
    Rule(
        "RC-2",
        "A table page is freed once, after it was unlinked, and only if it was allocated.",
        "A later walk goes through memory that has a new owner.",
        "formats.md F.3 (remove table)",
        freed_linked_check,
        TABLES,
        misuse=True,
    ),
    Rule(
        "RC-3",
        "Page-table entries are stored only to allocated table pages.",
        "Somebody else's memory is overwritten with addresses.",
        "semantics.md (memory safety)",
        store_check,
        TABLES,
        misuse=True,
    ),
    Rule(
        "NB-1",
        "An address that a call does not name translates as before, at every instant at which "
        "a job could access it.",
        "Jobs that have nothing to do with the call fault, or use another's pages.",
        "semantics.md; formats.md B.6 (the region is locked)",
        neighbours_check,
        TABLES,
        misuse=True,
    ),
    Rule(
        "TL-1",
        "When a bind has returned, or the fence of a queued one was signalled, nothing is cached "
        "for its range that is not mapped there.",
        "The device keeps reading and writing pages that have a new owner.",
        "semantics.md (when a duty falls due); formats.md B.6; KB-30, KB-38",
        stale_check,
        MAPPING,
        misuse=True,
    ),
)
