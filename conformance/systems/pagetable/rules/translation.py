"""TR: after each operation, touched pages translate as promised."""

from conformance.rules.rule import Rule, Violation
from conformance.systems.pagetable.rules.step import PageTableStep
from reference.formats.access import (
    ACCESS_MASK,
    CACHED,
    DEVICE,
    MEMORY_MASK,
    NON_CACHED,
    P_EXEC,
    P_READ,
    P_WRITE,
    U_EXEC,
    U_READ,
    U_WRITE,
    UNSTATED,
    access_text,
)
from reference.hardware.context import Difference
from reference.hardware.observation import CHANGED_OUTSIDE


def address_check(step: PageTableStep) -> int:
    """TR-1: every touched page and its neighbours lead where they should, or nowhere."""
    if step.result.result != 0:
        return 0
    page = step.table.format.page_sizes[0]
    if step.observed(CHANGED_OUTSIDE):
        # A store outside changed the neighbours, and NB-1 says so.
        page = 0
    found = step.difference(step.first - page, step.last + page)
    if found is not None and found.address:
        step.violations.append(_differs("TR-1", step, found))
    return 1


def access_check(step: PageTableStep) -> int:
    """TR-2: permission and memory type are the promised ones."""
    if step.result.result != 0:
        return 0
    found = step.difference(step.first, step.last)
    if found is None or found.address:
        return 1 if found is None and step.result.value else 0
    for one in step.table.access_differences(step.first, step.last):
        for aspect in aspects(step, one):
            step.violations.append(_differs("TR-2", step, one, aspect))
    return 1


_RIGHTS = (
    (U_READ, "unprivileged read"),
    (U_WRITE, "unprivileged write"),
    (U_EXEC, "unprivileged execution"),
    (P_READ, "privileged read"),
    (P_WRITE, "privileged write"),
    (P_EXEC, "privileged execution"),
)


def aspects(step: PageTableStep, found: Difference) -> list[str]:
    """In which ways the access of a leaf differs from the promised one, each in a few words.

    Where both observers differ alike, that is one way.
    """
    fmt = step.table.format
    _, prot = step.translations.lookup(found.va)
    promised, granted = fmt.promised(prot), fmt.meaning(found.level, found.word)
    changed = promised ^ granted
    ways = []
    for bit, right in _RIGHTS:
        if changed & bit:
            both = changed & (bit << 3) if bit < P_READ else changed & (bit >> 3)
            other = bit << 3 if bit < P_READ else bit >> 3
            alike = both and bool(granted & bit) == bool(granted & other)
            if alike and bit >= P_READ:
                continue
            name = right.split()[1] if alike else right
            ways.append(f"{name} {'granted' if granted & bit else 'denied'}")
    if changed & MEMORY_MASK:
        wanted, given = promised & MEMORY_MASK, granted & MEMORY_MASK
        ways.append(
            f"{MEMORY_NAMES.get(given, 'other memory')} for "
            f"{MEMORY_NAMES.get(wanted, 'other memory')}"
        )
    if changed & ~(ACCESS_MASK | MEMORY_MASK):
        ways.append("sharing or scope")
    return ways


MEMORY_NAMES = {NON_CACHED: "non-cached", CACHED: "cached", DEVICE: "device", UNSTATED: "unstated"}


def _differs(rule: str, step: PageTableStep, found: Difference, aspect: str = "") -> Violation:
    fmt = step.table.format
    pa, prot = step.translations.lookup(found.va)
    expected = "nothing" if pa < 0 else f"{pa:#x} {access_text(fmt.promised(prot))}"
    if found.pa < 0:
        observed = f"nothing: {step.describe(found.level, found.word)}"
    else:
        observed = f"{found.pa:#x} {access_text(fmt.meaning(found.level, found.word))}"
    if aspect:
        how = aspect
        message = (
            f"After {step.kind}, the entry for {found.va:#x} does not grant what the caller asked "
            f"for: {aspect}."
        )
    else:
        wanted = "unmapped" if pa < 0 else "mapped"
        how = f"{wanted} wanted, {step.entry(found.level, found.word)} found"
        message = (
            f"After {step.kind}, the walk of {found.va:#x} does not give what the caller was "
            "promised."
        )
    return Violation(
        rule,
        f"{step.kind}, level {found.level}, {how}",
        message,
        step.end_event,
        found.va,
        expected,
        observed,
    )


def software_walk_check(step: PageTableStep) -> int:
    """TR-3: the driver's own translation says what was promised."""
    iova = step.operation.number("iova")
    expected, _ = step.translations.lookup(iova)
    expected = max(expected, 0)
    if step.result.value != expected:
        step.violations.append(
            Violation(
                "TR-3",
                f"translate, {'mapped' if expected else 'unmapped'} wanted",
                f"The driver translates {iova:#x} to {step.result.value:#x}; "
                f"{f'{expected:#x} is' if expected else 'nothing is'} mapped there.",
                step.end_event,
                iova,
                f"{expected:#x}",
                f"{step.result.value:#x}",
            )
        )
    return 1


RULES = (
    Rule(
        "TR-1",
        "After an operation, every page that it touched, and the page on each side, translates "
        "to the address that the caller was promised, or to nothing.",
        "The device reads and writes memory that belongs to somebody else, or faults on a page "
        "that was mapped.",
        "formats.md F.4 (map_pages, unmap_pages)",
        address_check,
        frozenset({"map", "unmap"}),
    ),
    Rule(
        "TR-2",
        "After an operation, every mapped page has the permission and the memory type that the "
        "caller asked for.",
        "The device writes what it may only read, or reads through a cache that nobody cleans.",
        "formats.md B.2 (leaf bits)",
        access_check,
        frozenset({"map", "unmap"}),
    ),
    Rule(
        "TR-3",
        "iova_to_phys gives the address that was mapped, with the offset inside the page or "
        "block, and 0 where nothing is mapped.",
        "The caller syncs, dumps or frees the wrong memory.",
        "formats.md F.4 (iova_to_phys); KB-41",
        software_walk_check,
        frozenset({"translate"}),
    ),
)
