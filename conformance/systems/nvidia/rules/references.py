"""RC: references are what a recount gives, nothing is lost, and in the end nothing is left."""

from conformance.rules.rule import Rule, Violation
from conformance.systems.nvidia.rules.operations import EVERY
from conformance.systems.nvidia.rules.recount import (
    Mismatch,
    memory_mismatch,
    pages_mismatch,
    tables_mismatch,
)
from conformance.systems.nvidia.rules.step import NvidiaStep


def _report(rule: str, step: NvidiaStep, found: Mismatch | None) -> None:
    if found is None:
        return
    step.violations.append(
        Violation(
            rule,
            f"{step.kind}, {found.what}",
            f"{step.kind}: {found.message}",
            step.end_event,
            found.address if found.address >= 0 else step.first,
            found.expected,
            found.observed,
        )
    )


def table_check(step: NvidiaStep) -> int:
    """RC-4: software page tables count what a recount gives."""
    _report("RC-4", step, tables_mismatch(step.state))
    return 1 if step.seen.tables or step.state.told_tables else 0


def lost_check(step: NvidiaStep) -> int:
    """RC-1: every table is linked, and nothing is left of an address space that is gone."""
    if step.mmu is None:
        return 0
    lost = step.state.lost_tables()
    if lost:
        step.violations.append(
            Violation(
                "RC-1",
                f"{step.kind}, tables lost",
                f"{len(lost)} table(s) lead nowhere and were not given back, the first at "
                f"{lost[0]:#x}.",
                step.end_event,
                step.first,
                "every table is linked, or given back",
                f"{len(lost)} lost",
            )
        )
    return 1


def memory_check(step: NvidiaStep) -> int:
    """RC-30: a memory has a reference for its owner, and one for each part mapped to it."""
    _report("RC-30", step, memory_mismatch(step.state))
    return 1 if step.seen.refs or step.state.memories else 0


def page_check(step: NvidiaStep) -> int:
    """RC-31: the device is let at pages of the system as often as they are mapped."""
    _report("RC-31", step, pages_mismatch(step.state))
    return 1 if step.seen.dma or step.state.dma else 0


RULES = (
    Rule(
        "RC-4",
        "Every software page table counts the pages that are referenced in it, and the tables "
        "behind it.",
        "Tables are freed while they are in use, or never.",
        "formats.md D.4 (reference states), D.5; KB-15",
        table_check,
        EVERY,
    ),
    Rule(
        "RC-1",
        "Every table is linked, and no table is left of an address space that was destroyed.",
        "Memory of the device is lost until nothing works any more.",
        "formats.md D.5 (unref_pdes), D.6",
        lost_check,
        EVERY,
    ),
    Rule(
        "RC-30",
        "A memory has a reference of its owner, and one of each part that is mapped to it.",
        "Memory is freed while it is mapped, or never.",
        "formats.md D.6 (map)",
        memory_check,
        EVERY,
    ),
    Rule(
        "RC-31",
        "The device is let at a page of the system once for each address where it is mapped.",
        "The device keeps pages that were given back, or loses pages that are in use.",
        "formats.md D.6 (pfn_map, pfn_unmap)",
        page_check,
        EVERY,
    ),
)
