"""OR, TL, TR, NB, RC, ER: tables are published, changed, invalidated and freed in order."""

from conformance.rules.entries import entry_name, entry_text
from conformance.rules.rule import REFUSED, Rule, Violation
from conformance.systems.uat.operations import CALLS, MAPS
from conformance.systems.uat.rules.step import UatStep, name_of
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
from reference.systems.uat.device import HALF, PAGE, UPPER, whole
from reference.systems.uat.promise import BOOT_PAGES, NO_ROOM, UatVm

PUBLISHED = {
    PUBLISHED_UNWRITTEN: "a table in which some entries were never written",
    PUBLISHED_UNORDERED: "tables with stores that a walk may not see yet",
    PUBLISHED_NOTHING: "memory that is not an allocated table",
}
DROPS = frozenset({"drop"})
ENDS = frozenset({"drop", "destroy_vm", "destroy"})


def publish_check(step: UatStep) -> int:
    """OR-1: what a walk can reach is written and visible."""
    for vm, seen in step.observed(*PUBLISHED):
        what = PUBLISHED[seen.kind]
        step.violations.append(
            Violation(
                "OR-1",
                f"{step.kind}, level {seen.level}, leads to {what}",
                f"{name_of(vm)}: a walk for {seen.va:#x} leads to {what}.",
                seen.event,
                seen.va,
                "zeroed, then made visible, then linked or given to a context",
                entry_text(step.state.geometry.format, seen.level, seen.new),
                corrupts=seen.kind == PUBLISHED_NOTHING,
            )
        )
    return step.occasions(PUBLISHED_UNORDERED)


def replace_check(step: UatStep) -> int:
    """OR-2: break before make."""
    for vm, seen in step.observed(REPLACED_SIZE, REPLACED_VALUE, CONFLICT_SIZE, CONFLICT_VALUE):
        cached = seen.kind in (CONFLICT_SIZE, CONFLICT_VALUE)
        if step.is_map or (cached and step.broke("OR-4")):
            # What is cached for a page that is mapped now was left by another call.
            continue
        table_format = step.state.geometry.format
        old = entry_name(table_format, seen.level, seen.old)
        new = entry_name(table_format, seen.level, seen.new)
        how = "cached entry conflicts" if cached else f"{old} -> {new}"
        step.violations.append(
            Violation(
                "OR-2",
                f"{step.kind}, level {seen.level}, {how}",
                f"{name_of(vm)}: for {seen.va:#x} GPU or firmware may hold two different entries "
                f"at once ({how}): either may be used.",
                seen.event,
                seen.va,
                "invalid entry stored, invalidated, and only then the new one",
                f"{entry_text(table_format, seen.level, seen.old)} -> "
                f"{entry_text(table_format, seen.level, seen.new)}",
            )
        )
        break
    return step.occasions(REPLACED_SIZE) + step.occasions(CONFLICT_SIZE)


def visible_check(step: UatStep) -> int:
    """OR-4: stores are visible before the invalidation that is meant for them, and at the end."""
    count = step.occasions(ISSUED_UNSEEN)
    for vm, seen in step.observed(ISSUED_UNSEEN):
        step.violations.append(
            Violation(
                "OR-4",
                f"{step.kind}, level {seen.level}, invalidation before a store is visible",
                f"{name_of(vm)}: the invalidation began before the store that removed the entry "
                f"for {seen.va:#x} was visible: the old entry may be loaded again.",
                seen.event,
                seen.va,
                "store, barrier, then the invalidation",
            )
        )
        return count
    vms = [step.vm] if step.vm is not None else [step.state.kernel]
    for vm in vms:
        if not vm.is_walked():
            continue
        count += 1
        pa = vm.space.unseen_store()
        if pa >= 0:
            step.violate(
                "OR-4", "returns before a store is visible",
                f"{name_of(vm)}: {step.kind} returned, and the entry at {pa:#x} may not be visible "
                "yet.", "a barrier after the last store", "none",
            )  # fmt: skip
    return count


def freed_check(step: UatStep) -> int:
    """TL-2: a table is freed when nobody can walk it, or has walked to it."""
    for vm, seen in step.observed(FREED_CACHED, FREED_LINKED):
        linked = seen.kind == FREED_LINKED
        if linked and step.broke("IS-66"):
            continue
        how = "while a context walks to it" if linked else "before an invalidation"
        step.violations.append(
            Violation(
                "TL-2",
                f"{step.kind}, level {seen.level}, table freed {how}",
                f"{name_of(vm)}: the table at {seen.pa:#x} was freed {how}: memory with a new "
                "owner is walked.",
                seen.event,
                seen.va,
                "no root or entry leads to it, an invalidation, then the table freed",
                corrupts=linked,
            )
        )
        break
    return step.occasions(FREED_CACHED)


def known_check(step: UatStep) -> int:
    """RC-2: what is freed was allocated."""
    for vm, seen in step.observed(FREED_UNKNOWN):
        step.violations.append(
            Violation(
                "RC-2",
                f"{step.kind}, free of what is not allocated",
                f"{name_of(vm)}: {seen.pa:#x} was freed, and no table is allocated there.",
                seen.event,
                step.first,
                corrupts=True,
            )
        )
        break
    return step.occasions(FREED_UNKNOWN)


def store_check(step: UatStep) -> int:
    """RC-3: entries are stored only to allocated tables."""
    for vm, seen in step.observed(STORED_FREED, STORED_OUTSIDE):
        where = "a freed table" if seen.kind == STORED_FREED else "memory outside every table"
        step.violations.append(
            Violation(
                "RC-3",
                f"{step.kind}, store to {where}",
                f"{name_of(vm)}: an entry was stored to {where}, at {seen.pa:#x}.",
                seen.event,
                step.first,
                corrupts=True,
            )
        )
        break
    return step.occasions(STORED_FREED)


def failed_check(step: UatStep) -> int:
    """ER-2: a map that fails leaves no entry."""
    vm = step.vm
    if step.done or vm is None or step.reason == NO_ROOM or step.result.result not in step.errors:
        return 0
    found = vm.space.difference(vm.pages, 0, HALF - 1)
    if found is not None:
        step.violate(
            "ER-2", "entries of a failed map left",
            f"{step.kind} failed, and {whole(vm.half, found.va):#x} of {name_of(vm)} leads to "
            f"{found.pa:#x}.", "no entry", "the entries that were stored before it failed",
            corrupts=True,
        )  # fmt: skip
    return 1


def address_check(step: UatStep) -> int:
    """TR-1: addresses lead where callers were told, and nowhere after a drop."""
    found = step.difference()
    if found is not None and found.address:
        mapping = step.mapping
        assert mapping is not None
        expected, _ = mapping.vm.pages.lookup(found.va)
        step.violate(
            "TR-1", "wrong page" if expected >= 0 and found.pa >= 0 else
            "not mapped" if found.pa < 0 else "still mapped",
            f"{name_of(mapping.vm)}: {whole(mapping.vm.half, found.va):#x} leads to "
            f"{'nothing' if found.pa < 0 else f'{found.pa:#x}'}.",
            "nothing" if expected < 0 else f"{expected:#x}",
            "nothing" if found.pa < 0 else f"{found.pa:#x}", corrupts=True,
        )  # fmt: skip
    return 1 if step.mapping is not None else 0


def access_check(step: UatStep) -> int:
    """TR-2: GPU and firmware may do what was asked for, with the memory type asked for."""
    found = step.difference()
    mapping = step.mapping
    if found is not None and not found.address and mapping is not None:
        fmt = step.state.geometry.format
        _, prot = mapping.vm.pages.lookup(found.va)
        wanted = access_text(fmt.promised(prot))
        step.violate(
            "TR-2", f"{wanted} asked for",
            f"{name_of(mapping.vm)}: {whole(mapping.vm.half, found.va):#x} grants another access.",
            wanted, access_text(fmt.meaning(found.level, found.word)),
        )  # fmt: skip
    return 1 if mapping is not None else 0


def neighbours_check(step: UatStep) -> int:
    """NB-1: what a call does not name translates as before."""
    for vm, seen in step.observed(CHANGED_OUTSIDE):
        step.violations.append(
            Violation(
                "NB-1",
                f"{step.kind}, level {seen.level}, neighbour changed",
                f"{name_of(vm)}: {whole(vm.half, seen.va):#x} is not what {step.kind} was about, "
                "and its translation changed.",
                seen.event,
                seen.va,
                "every other address translates as before",
                corrupts=True,
            )
        )
        return 1
    mapping = step.mapping
    if mapping is None or step.violations or not mapping.size or not step.call.was_free:
        return step.occasions(CHANGED_OUTSIDE)
    sides = [mapping.first() - PAGE]
    if mapping.room == mapping.size:
        sides.append(mapping.last() + 1)
    vm = mapping.vm
    for side in sides:
        found = vm.space.difference(vm.pages, side, side + PAGE - 1) if side >= 0 else None
        if found is not None:
            step.violate(
                "NB-1", "neighbour changed",
                f"{name_of(vm)}: {whole(vm.half, found.va):#x} lies beside what {step.kind} was "
                "about, and is not what was promised.", "as before", "something else",
                corrupts=True,
            )  # fmt: skip
            break
    return 1 + step.occasions(CHANGED_OUTSIDE)


def guard_check(step: UatStep) -> int:
    """SP-60: the guard page behind a mapping leads nowhere."""
    mapping = step.mapping
    if not step.done or mapping is None or mapping.room == mapping.size or not step.call.was_free:
        return 0
    vm = mapping.vm
    behind = mapping.first() + mapping.size
    if behind & (PAGE - 1) == 0 and behind < HALF and vm.space.leaves(behind, behind + PAGE - 1):
        step.violate(
            "SP-60", "guard page mapped",
            f"{name_of(vm)}: the guard page at {whole(vm.half, behind):#x} is mapped: an overrun "
            "is not seen.", "no entry", "an entry",
        )  # fmt: skip
    return 1


def stale_check(step: UatStep) -> int:
    """TL-1: nothing stale is left of what was dropped, failed, or destroyed."""
    vm = step.vm
    if vm is None or step.broke("OR-2", "OR-4", "OR-61") or step.reason == NO_ROOM:
        return 0
    first, last = 0, HALF - 1
    if step.kind == "drop":
        mapping = step.mapping
        assert mapping is not None
        if not mapping.size:
            return 0
        first, last = mapping.first(), mapping.last()
    elif step.done != (step.kind == "destroy_vm"):
        return 0
    fact = vm.space.stale(vm.pages, first, last)
    if fact is not None:
        fmt = step.state.geometry.format
        who = "firmware" if step.state.machine.contexts[fact.context].observer else "GPU"
        step.violations.append(
            Violation(
                "TL-1",
                f"{step.kind}, {who}, stale leaf",
                f"{name_of(vm)}: {step.kind} is done, and the {who} may still translate "
                f"{whole(vm.half, fact.first):#x} by an entry that is gone.",
                step.end_event,
                fact.first,
                "no entry, or that of what is mapped there now",
                f"{fmt.output(fact.level, fact.word):#x} "
                f"{access_text(fmt.meaning(fact.level, fact.word))}, from the TLB",
                stale=(fact.level, fact.first, fact.last, fact.word),
            )
        )
    return 1


def lost_check(step: UatStep) -> int:
    """RC-1: no table is lost, and none is left of what is destroyed."""
    count = 0
    vms: list[tuple[UatVm, int]] = []
    if step.kind == "destroy":
        vms = [(vm, BOOT_PAGES if vm.half == UPPER else 0) for vm in step.state.all_vms()]
    elif step.kind == "destroy_vm" and step.done and step.vm is not None:
        vms = [(step.vm, 0)]
    for vm, left in vms:
        count += 1
        if vm.space.allocated > left and not step.broke("RC-1"):
            step.violate(
                "RC-1", "tables left",
                f"{name_of(vm)} is gone, and {vm.space.allocated - left} of its tables are left.",
                "none", f"{vm.space.allocated - left} tables",
            )  # fmt: skip
    one = step.vm
    if not vms and one is not None and one.exists and one.is_walked():
        count += 1
        if one.space.lost_tables() > 0:
            step.violate(
                "RC-1", "table lost",
                f"{name_of(one)}: {one.space.lost_tables()} of its tables can be reached from no "
                "root.", "each table linked", "a table that nothing leads to",
            )  # fmt: skip
            one.space.mark_leaked()
    return count


def free_check(step: UatStep) -> int:
    """SP-61: what is given out is in the window, and was free; with its guard page."""
    mapping = step.mapping
    if not step.is_map or not step.done or mapping is None:
        return 0
    if not step.call.was_free:
        step.violate(
            "SP-61", "taken already, or outside the window",
            f"{step.kind} gave out {mapping.va:#x}, {mapping.room} bytes of room, which are not "
            "free.", "addresses that are free, and in the window", f"{mapping.va:#x}",
            corrupts=True,
        )  # fmt: skip
    return 1


def wish_check(step: UatStep) -> int:
    """SP-62: what is given out lies where it was asked for."""
    mapping = step.mapping
    if step.kind not in ("map_in_range", "map_at") or not step.done or mapping is None:
        return 0
    operation = step.operation
    if step.kind == "map_at":
        good = mapping.va == operation.number("va") & (1 << 64) - 1
    else:
        align = max(operation.number("align"), 1)
        start, end = (operation.number(name) & (1 << 64) - 1 for name in ("start", "end"))
        good = mapping.va % align == 0 and start <= mapping.va <= end - mapping.room
    if not good and step.sort != REFUSED and not step.broke("SP-61"):
        step.violate(
            "SP-62", "not where it was asked for",
            f"{step.kind} gave out {mapping.va:#x}, which is not where it was asked for.",
            "the address, or one in the range at such a multiple", f"{mapping.va:#x}",
            corrupts=True,
        )  # fmt: skip
    return 1


RULES = (
    Rule(
        "OR-1",
        "What a walk can reach is written and visible before it can be reached.",
        "What lay in memory before is taken for entries.",
        "formats.md F.3 (new table, change root)",
        publish_check,
        CALLS,
    ),
    Rule(
        "OR-4",
        "Stores to tables are visible before the invalidation that is meant for them, and before "
        "the call returns.",
        "The old entry is loaded again after the invalidation.",
        "formats.md A.5, F.3 (remove leaf)",
        visible_check,
        CALLS,
    ),
    Rule(
        "OR-2",
        "The attribute of a page changes by break-before-make: invalid, invalidated, and only then "
        "the new entry.",
        "The firmware goes on with the cached translation after its cache was cleaned.",
        "formats.md A.9, F.2; KB-09",
        replace_check,
        DROPS | MAPS,
    ),
    Rule(
        "TL-2",
        "A table is freed when no root or entry leads to it, and after an invalidation.",
        "GPU or firmware walk a page that holds somebody else's data.",
        "formats.md A.7 (U5), F.3 (remove table)",
        freed_check,
        CALLS,
    ),
    Rule(
        "RC-2",
        "What is freed was allocated, and is freed once.",
        "A table is somebody else's while it is walked.",
        "formats.md F.3 (remove table)",
        known_check,
        CALLS,
    ),
    Rule(
        "RC-3",
        "Entries are stored only to allocated tables.",
        "Somebody else's memory is overwritten with addresses.",
        "semantics.md (memory safety)",
        store_check,
        CALLS,
    ),
    Rule(
        "SP-61",
        "Addresses that are given out are in the window and were free, with their guard page.",
        "Two mappings have the same addresses, or nothing lies between them.",
        "formats.md A.8",
        free_check,
        MAPS,
    ),
    Rule(
        "SP-62",
        "A mapping lies at the address, or in the range and at the multiple, that was asked for.",
        "The firmware looks for it elsewhere.",
        "formats.md A.8",
        wish_check,
        MAPS,
    ),
    Rule(
        "ER-2",
        "A map that fails leaves no entry.",
        "Pages that nobody has mapped can be read and written, and the next map there fails.",
        "formats.md A.8; KB-08",
        failed_check,
        MAPS,
    ),
    Rule(
        "SP-60",
        "The guard page behind a mapping leads nowhere.",
        "An overrun by one page reads and writes another mapping.",
        "formats.md A.8",
        guard_check,
        MAPS,
    ),
    Rule(
        "TR-1",
        "Mapped addresses lead to the pages that were given, and nowhere after a drop.",
        "GPU or firmware read and write other memory, or fault.",
        "formats.md A.8, A.9",
        address_check,
        DROPS | MAPS,
    ),
    Rule(
        "TR-2",
        "GPU and firmware may do with a page what was asked for, and no more.",
        "The GPU writes what only the firmware may write.",
        "formats.md A.2",
        access_check,
        DROPS | MAPS,
    ),
    Rule(
        "NB-1",
        "An address that a call does not name translates as before, all the time.",
        "Jobs that have nothing to do with the call fault.",
        "semantics.md",
        neighbours_check,
        CALLS,
    ),
    Rule(
        "TL-1",
        "When a drop, a failed map or a destruction returns, neither GPU nor firmware has an entry "
        "cached that is gone.",
        "Pages that have a new owner are read and written.",
        "formats.md A.5, A.9; KB-30, KB-68",
        stale_check,
        MAPS | frozenset({"drop", "destroy_vm"}),
    ),
    Rule(
        "RC-1",
        "Every table is linked while its VM lives, and freed with it.",
        "Memory is lost, and never comes back.",
        "formats.md A.10",
        lost_check,
        MAPS | ENDS | frozenset({"bind", "unbind"}),
    ),
)
