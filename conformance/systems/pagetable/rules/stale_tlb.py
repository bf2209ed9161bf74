"""TL: nothing stale is cached when the duty to flush falls due."""

from conformance.rules.rule import Rule, Violation
from conformance.systems.pagetable.rules.step import PageTableStep
from reference.formats.access import access_text
from reference.hardware.observation import FREED_CACHED


def leaf_check(step: PageTableStep) -> int:
    """TL-1: when a range is given back, no cached leaf still serves an address in it."""
    fmt = step.table.format
    for first, last in step.call.due:
        fact = step.view.stale(step.translations, first, last)
        if fact is None:
            continue
        at = max(first, fact.first)
        pa = fmt.output(fact.level, fact.word) + (at & (fmt.span(fact.level) - 1))
        step.violations.append(
            Violation(
                "TL-1",
                f"{step.kind}, level {fact.level}, stale leaf",
                f"The device may still translate {at:#x} by an entry that is gone: no completed "
                "invalidation covered it since it was removed.",
                step.end_event,
                at,
                "nothing",
                f"{pa:#x} {access_text(fmt.meaning(fact.level, fact.word))}, from the TLB",
                stale=(fact.level, fact.first, fact.last, fact.word),
            )
        )
    return len(step.call.due)


def walk_check(step: PageTableStep) -> int:
    """TL-2: a table is freed only when no walk cache can lead to it."""
    for seen in step.observed(FREED_CACHED):
        fmt = step.table.format
        step.violations.append(
            Violation(
                "TL-2",
                f"{step.kind}, level {seen.level}, table freed{step.function(seen.event)}",
                f"The table at {seen.pa:#x} was freed while a walk cache may still hold the "
                f"level-{seen.level} entry that leads to it: the device can walk memory that has "
                "a new owner.",
                seen.event,
                seen.va,
                "a completed invalidation of the walk caches before the table is freed",
                "no such invalidation since the entry was removed",
                stale=(
                    seen.level,
                    seen.va,
                    seen.va + fmt.span(seen.level) - 1,
                    seen.old,
                ),
            )
        )
    return step.seen(FREED_CACHED)


RULES = (
    Rule(
        "TL-1",
        "When the caller gives a range back (sync of a strict gather, flush of a queue, release), "
        "no leaf is cached for any address in it.",
        "The device keeps reading and writing pages that have a new owner.",
        "semantics.md (when a duty falls due); formats.md F.3 (remove leaf)",
        leaf_check,
        frozenset({"sync", "flush", "release"}),
    ),
    Rule(
        "TL-2",
        "A table is freed only after an invalidation that covers the walk entries leading to it "
        "has completed.",
        "The device walks a page that holds somebody else's data, and takes what it finds there "
        "for page-table entries.",
        "formats.md F.3 (remove table); KB-49",
        walk_check,
        frozenset({"map", "unmap", "destroy"}),
        misuse=True,
        watches=(FREED_CACHED,),
    ),
)
