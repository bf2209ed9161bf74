"""NB: what no operation touches does not change, at any instant."""

from conformance.rules.rule import Rule, Violation
from conformance.systems.pagetable.rules.step import PageTableStep
from reference.hardware.observation import CHANGED_OUTSIDE, Observation


def untouched_check(step: PageTableStep) -> int:
    """NB-1: no store changes a translation outside the addresses of the operation."""
    for seen in step.observed(CHANGED_OUTSIDE):
        if step.may_break(seen):
            continue
        old, new = step.entry(seen.level, seen.old), step.entry(seen.level, seen.new)
        pa, _ = step.translations.lookup(seen.va)
        step.violations.append(
            Violation(
                "NB-1",
                f"{step.kind}, level {seen.level}, {old} -> {new}{step.function(seen.event)}",
                f"A store to the level-{seen.level} entry changed what {seen.va:#x} translates to, "
                f"and {step.kind} was not asked to touch that address.",
                seen.event,
                seen.va,
                "nothing" if pa < 0 else f"{pa:#x}, as before",
                f"{step.describe(seen.level, seen.old)} -> {step.describe(seen.level, seen.new)}",
            )
        )
    for seen in step.observed(CHANGED_OUTSIDE):
        if step.may_break(seen) and not step.violations:
            _remade_check(step, seen)
    return step.seen(CHANGED_OUTSIDE)


def _remade_check(step: PageTableStep, seen: Observation) -> None:
    """What was broken so that it could be made anew is there again."""
    span = step.table.format.span(seen.level)
    base = seen.va & ~(span - 1)
    for first, last in ((base, step.first - 1), (step.last + 1, base + span - 1)):
        found = step.difference(first, last) if first <= last else None
        if found is not None:
            step.violations.append(
                Violation(
                    "NB-1",
                    f"{step.kind}, level {seen.level}, block not made again",
                    f"The block around {seen.va:#x} was taken away to be made again in smaller "
                    f"parts, and {found.va:#x}, which {step.kind} was not asked to touch, does "
                    "not translate as before.",
                    step.end_event,
                    found.va,
                    "as before",
                    step.describe(found.level, found.word),
                )
            )
            return


RULES = (
    Rule(
        "NB-1",
        "A page that an operation was not asked to touch translates the same at every instant "
        "of that operation. Where the device needs break-before-make, the rest of a block that "
        "is split may translate to nothing for a moment.",
        "A device that works in a neighbouring buffer meanwhile faults, or hits a wrong page; it "
        "happens rarely, under load, and far from its cause.",
        "semantics.md (neighbours); IGT's untouched-neighbour scenarios",
        untouched_check,
        frozenset({"map", "unmap", "translate", "sync", "flush"}),
        misuse=True,
        watches=(CHANGED_OUTSIDE,),
    ),
)
