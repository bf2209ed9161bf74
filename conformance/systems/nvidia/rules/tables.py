"""OR, IS, RC, TL: tables are published, changed, flushed and freed in the right order."""

from conformance.rules.rule import Rule, Violation
from conformance.systems.nvidia.rules.operations import CHANGING, EVERY, MAPS
from conformance.systems.nvidia.rules.step import NvidiaStep
from reference.hardware.cached_walks import possible
from reference.hardware.observation import (
    ALLOCATED_TWICE,
    FREED_CACHED,
    FREED_LINKED,
    FREED_ROOT,
    FREED_UNKNOWN,
    ISSUED_UNSEEN,
    LINKED_TWICE,
    PUBLISHED_NOTHING,
    PUBLISHED_SHORT,
    PUBLISHED_UNWRITTEN,
    STORED_FREED,
    STORED_OUTSIDE,
    Observation,
)
from reference.hardware.paired_context import HOW_NAMES, MARKED, Change
from reference.hardware.paired_walker import Translation
from reference.pieces import MAPPED, WHAT_NAMES
from reference.systems.nvidia.device import (
    SELECTED_BUSY,
    STARTED_BUSY,
    STARTED_FULL,
    STARTED_NARROW,
    STARTED_OTHER,
    STARTED_UNSELECTED,
    NvidiaMmu,
)

PUBLISHED = {
    PUBLISHED_UNWRITTEN: "a table with entries that nobody wrote",
    PUBLISHED_NOTHING: "memory that is no table",
    PUBLISHED_SHORT: "a table that is too short",
    LINKED_TWICE: "a table that is linked already",
    ALLOCATED_TWICE: "memory that is a table already",
}
FREED = {
    FREED_LINKED: "memory still leads to it",
    FREED_CACHED: "an entry that leads to it may be cached",
    FREED_ROOT: "something is linked in it, or not invalidated",
}
STARTED = {
    STARTED_BUSY: "while another one is under way",
    STARTED_FULL: "without a free slot",
    STARTED_OTHER: "for another address space",
    STARTED_UNSELECTED: "for no address space",
    STARTED_NARROW: "that does not cover everything",
    SELECTED_BUSY: "and its address space replaced while it is under way",
}
STORED = {STORED_FREED: "a table that was freed", STORED_OUTSIDE: "memory that is no table"}


def _table(step: NvidiaStep, number: int) -> str:
    mmu = step.mmu
    if mmu is None or not 0 <= number < len(mmu.format.tables):
        return "no table"
    return mmu.format.tables[number].name


def _violation(
    rule: str, step: NvidiaStep, seen: Observation, what: str, message: str, expected: str
) -> Violation:
    return Violation(
        rule,
        f"{step.kind}, {what}{step.function(int(seen.event))}",
        message,
        int(seen.event),
        int(seen.va),
        expected,
        what,
        corrupts=True,
    )


def publish_check(step: NvidiaStep) -> int:
    """OR-1: what a walk can reach is complete."""
    for seen in step.observed(*PUBLISHED):
        what = PUBLISHED[int(seen.kind)]
        name = _table(step, int(seen.level))
        step.violations.append(
            _violation(
                "OR-1",
                step,
                seen,
                f"{name}, {what}",
                f"A walk for {int(seen.va):#x} comes to {what} at {int(seen.pa):#x} ({name}).",
                "a table of its own, every entry written, before it is linked",
            )
        )
    return step.occasions(PUBLISHED_UNWRITTEN)


def free_check(step: NvidiaStep) -> int:
    """TL-2: clear the entry, have it invalidated, then free the table."""
    if step.state.stuck:
        return 0
    for seen in step.observed(*FREED):
        what = FREED[int(seen.kind)]
        name = _table(step, int(seen.level))
        step.violations.append(
            _violation(
                "TL-2",
                step,
                seen,
                f"{name} freed, {what}",
                f"The {name} at {int(seen.pa):#x} was freed, and {what}.",
                "the entry cleared, an invalidation completed, then the table freed",
            )
        )
    return step.occasions(FREED_LINKED, FREED_ROOT)


def invalidation_check(step: NvidiaStep) -> int:
    """OR-30: the invalidation registers are used as they have to be."""
    if step.state.stuck:
        return 0
    for seen in step.observed(*STARTED):
        what = STARTED[int(seen.kind)]
        step.violations.append(
            _violation(
                "OR-30",
                step,
                seen,
                f"invalidation started {what}",
                f"An invalidation was started {what}.",
                "a free slot waited for, the root selected, all pages and caches, then waited for",
            )
        )
    return step.occasions(STARTED_BUSY)


def visible_check(step: NvidiaStep) -> int:
    """OR-4: stores are visible before the invalidation that is to cover them."""
    unseen = step.observed(ISSUED_UNSEEN)
    if unseen:
        step.violations.append(
            Violation(
                "OR-4",
                f"{step.kind}, invalidation before stores are visible",
                "An invalidation was started while stores may not be visible to the device yet.",
                int(unseen[0].event),
                step.first,
                "a full barrier between the last store and the invalidation",
            )
        )
    return step.seen.starts


def outside_check(step: NvidiaStep) -> int:
    """RC-3: entries are stored in tables, and nowhere else."""
    for seen in step.observed(*STORED):
        what = STORED[int(seen.kind)]
        step.violations.append(
            _violation(
                "RC-3",
                step,
                seen,
                f"store to {what}",
                f"A store at {int(seen.pa):#x} went to {what}.",
                "stores to tables only",
            )
        )
    return step.occasions(STORED_OUTSIDE)


def twice_check(step: NvidiaStep) -> int:
    """RC-2: nothing is freed that is not there."""
    for seen in step.observed(FREED_UNKNOWN):
        step.violations.append(
            _violation(
                "RC-2",
                step,
                seen,
                "freed what is no table",
                f"What is at {int(seen.pa):#x} was freed, and is no table.",
                "every table freed once",
            )
        )
    return step.occasions(FREED_UNKNOWN)


def cached_check(step: NvidiaStep) -> int:
    """TL-1: at the end of an operation, what may be cached says what memory says.

    An entry that was replaced may still be cached until an invalidation has completed. Three
    kinds of them are not held against an operation:

    * MARKED: an entry for a large page went from "invalid" to "unmapped", or back. Both
      translate nothing. The one keeps a walk from the small table, the other lets it go there,
      so that a stale one hides small pages that are mapped later, or looks at a table in which
      nothing is left: a duty of the map that comes, or of who frees that table, as
      semantics.md has it. So it is asked for at the end of operations that map (and before a
      table is freed, which is TL-2).
    * an entry of a small table that no walk came to when it was replaced, because the entry for
      the large page beside it decided: a device cannot have cached what it did not look at.
    * one that makes no difference: every translation that the device may make with it is the
      one that memory makes (a sparse large entry over small entries that are all sparse).
    """
    mmu = step.mmu
    if mmu is None or step.state.stuck or not step.state.exists:
        return 0
    if not mmu.current.changes:
        return step.seen.starts
    found = _first_stale(step, mmu)
    if found is not None:
        _report_stale(step, *found)
    return step.seen.starts + len(mmu.current.changes)


def _first_stale(
    step: NvidiaStep, mmu: NvidiaMmu
) -> tuple[Change, Translation, Translation] | None:
    """A change that is due: what memory says, what the device may use instead."""
    hidden = {one for one in mmu.current.changes if _was_hidden(mmu, one)}
    for change in mmu.current.changes:
        if change in hidden or (change.how == MARKED and step.kind not in MAPS):
            continue
        found = _stale(mmu, change, hidden)
        # Where memory itself is not what was promised, that is what has to be told.
        if found is not None and _is_promised(step, found[0]):
            return change, found[0], found[1]
    return None


def _is_promised(step: NvidiaStep, one: Translation) -> bool:
    """Whether a translation is the one that was promised."""
    what, pa, meaning = step.state.promise.lookup(one.va)
    return what == one.what and pa == one.pa and meaning == one.meaning


def _was_hidden(mmu: NvidiaMmu, change: Change) -> bool:
    """Whether the large entry beside a small one has kept walks from it since the last flush."""
    fmt = mmu.format
    if change.table != fmt.small:
        return False
    found = mmu.walker.translate(change.first)
    directory = fmt.tables[fmt.last_directory]
    if not found.beside:
        return False
    # The table of large entries: where the walk of this address ends, or passes.
    for table in mmu.memory.tables.values():
        if table.number != fmt.large or change.first // directory.span * directory.span not in (
            mmu.links.bases(mmu.current, table)
        ):
            continue
        index = int(fmt.index(fmt.large, change.first))
        word, seen = int(table.words[index]), False
        for other in reversed(mmu.current.changes):
            if other.holder is table and other.pa == table.pa + index * 8:
                if other.event < change.event:
                    break
                word = int(other.old)
        for other in mmu.current.changes:
            if other.holder is table and other.pa == table.pa + index * 8:
                seen = seen or (other.event < change.event and mmu.walker.leaves_it(other.old))
        return not seen and not mmu.walker.leaves_it(word)
    return False


def _report_stale(step: NvidiaStep, change: Change, now: Translation, old: Translation) -> None:
    name = _table(step, int(change.table))
    what = f"{name} entry that {HOW_NAMES[int(change.how)]} not invalidated"
    step.violations.append(
        Violation(
            "TL-1",
            f"{step.kind}, {what}: {_short(old)} for {_short(now)}"
            f"{step.function(int(change.event))}",
            f"For {int(now.va):#x} the device may still use what the {name} entry said before: "
            f"{_text(old)}; memory says {_text(now)}.",
            int(change.event),
            int(now.va),
            _text(now),
            _text(old),
        )
    )


def _stale(
    mmu: NvidiaMmu, change: Change, hidden: set[Change]
) -> tuple[Translation, Translation] | None:
    """(what memory says, what the device may use instead) for an address of a change."""
    step = int(mmu.format.tables[mmu.format.small].span)
    last = int(change.last)
    # An entry of a directory has many pages behind it: the first ones, and the last.
    addresses = list(range(int(change.first), min(last + 1, int(change.first) + 64 * step), step))
    for va in [*addresses, last + 1 - step]:
        found = possible(mmu.walker, va, hidden=hidden)
        for other in found[1:]:
            if not other.same(found[0]):
                return found[0], other
    return None


def _short(one: Translation) -> str:
    return WHAT_NAMES[int(one.what)]


def _text(one: Translation) -> str:
    leads = f" to {int(one.pa):#x}" if one.what == MAPPED else ""
    return WHAT_NAMES[int(one.what)] + leads


def early_check(step: NvidiaStep) -> int:
    """OR-31: the device is let at a page as long as it may have a translation to it."""
    for event, va, pa in step.seen.early[:1]:
        step.violations.append(
            Violation(
                "OR-31",
                f"{step.kind}, page taken away too early",
                f"The page at {pa:#x} was taken away from the device, which may still have a "
                f"translation of {va:#x} to it.",
                event,
                va,
                "the entry cleared and invalidated before",
            )
        )
    return step.seen.dma + len(step.seen.refs)


RULES = (
    Rule(
        "OR-1",
        "A table is complete, and linked nowhere else, before an entry leads to it.",
        "The device walks through memory that holds anything.",
        "formats.md D.5 (ref_hwpt), F.3",
        publish_check,
        EVERY,
        misuse=True,
    ),
    Rule(
        "OR-30",
        "An invalidation waits for a free slot, names the root, covers all pages and caches, and "
        "is waited for.",
        "Nothing, or the wrong address space, is invalidated.",
        "formats.md D.3",
        invalidation_check,
        EVERY,
    ),
    Rule(
        "TL-2",
        "A table is freed only after the entry that led to it was cleared, and an invalidation "
        "has completed since.",
        "The device walks through memory that has a new owner.",
        "formats.md D.5 (unref_pdes), F.3",
        free_check,
        EVERY,
    ),
    Rule(
        "OR-4",
        "What was stored is visible to the device before the invalidation is started.",
        "The device caches the old entry again.",
        "formats.md F.3",
        visible_check,
        EVERY,
    ),
    Rule(
        "OR-31",
        "A page is taken away from the device, and memory goes, after the entries that lead there "
        "were cleared and invalidated.",
        "The device accesses a page that has a new owner.",
        "formats.md D.5 (unref_ptes)",
        early_check,
        CHANGING,
    ),
    Rule(
        "RC-3",
        "Entries are stored in tables that are allocated.",
        "Somebody else's memory is overwritten.",
        "semantics.md (neighbours)",
        outside_check,
        EVERY,
        misuse=True,
    ),
    Rule(
        "RC-2",
        "Nothing is freed twice.",
        "Two tables share their memory.",
        "formats.md D.5",
        twice_check,
        EVERY,
        misuse=True,
    ),
    Rule(
        "TL-1",
        "When an operation ends, nothing that may be cached says otherwise than memory.",
        "The device uses translations that are gone, or faults where something is mapped.",
        "formats.md D.3, D.5; semantics.md (when a duty falls due)",
        cached_check,
        CHANGING,
    ),
)
