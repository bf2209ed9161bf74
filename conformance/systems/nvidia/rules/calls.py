"""ER: what calls return, and that a failed call changes nothing."""

from conformance.rules.errnos import errno_kind, errno_name
from conformance.rules.results import result_check
from conformance.rules.rule import MISUSE, Rule, Violation
from conformance.systems.nvidia.rules.operations import CHANGING, EVERY
from conformance.systems.nvidia.rules.recount import (
    areas_mismatch,
    memory_mismatch,
    tables_mismatch,
)
from conformance.systems.nvidia.rules.step import NvidiaStep


def unchanged_check(step: NvidiaStep) -> int:
    """ER-2: a call that fails leaves everything as it was."""
    result = step.result.result
    if result == 0 or step.sort == MISUSE or not step.state.exists:
        return 0
    state = step.state
    wrong, message, address = "", "", step.first
    if step.difference is not None:
        address = int(step.difference.va)
        wrong, message = "translations changed", f"{address:#x} is translated otherwise."
    else:
        for what, found in (
            ("areas changed", areas_mismatch(state)),
            ("references of memory changed", memory_mismatch(state)),
            ("references of tables changed", tables_mismatch(state)),
        ):
            if found is not None:
                wrong, message, address = what, found.message, found.address
                break
    if wrong:
        step.violations.append(
            Violation(
                "ER-2",
                f"{step.kind}, {errno_kind(result)}, {wrong}",
                f"{step.kind} failed with {errno_name(result)}, but {message}",
                step.end_event,
                address if address >= 0 else step.first,
                "everything as before",
                wrong,
                corrupts=True,
            )
        )
    return 1


def undone_check(step: NvidiaStep) -> int:
    """ER-30: a pfn_map says how many pages were not done as asked."""
    undone, told = step.call.undone, step.result.value
    if step.kind != "pfn_map" or undone < 0 or step.result.result != 0:
        return 0
    if told != undone:
        what = f"{'fewer' if told < undone else 'more'} pages refused than have to be"
        if told < undone <= told + step.call.outside:
            what = "pages done outside of an area for pages"
        step.violations.append(
            Violation(
                "ER-30",
                f"pfn_map, {what}",
                f"pfn_map says that {told} pages were not done; {undone} cannot be.",
                step.end_event,
                step.first,
                str(undone),
                str(told),
            )
        )
    return 1


RULES = (
    Rule(
        "ER-1",
        "A call returns one of its documented results, and never succeeds when it has to be "
        "refused.",
        "The caller believes what did not happen, or gets what it must not have.",
        "formats.md D.6",
        result_check,
        EVERY,
    ),
    Rule(
        "ER-2",
        "A call that fails leaves translations, areas and references as they were.",
        "Entries under no mapping: the device reaches memory that was given back.",
        "formats.md D.5 (failure), D.6; semantics.md (calls)",
        unchanged_check,
        CHANGING,
    ),
    Rule(
        "ER-30",
        "A pfn_map says of each page that was not done that it was not.",
        "The caller believes pages to be mapped that are not.",
        "formats.md D.6 (pfn_map)",
        undone_check,
        frozenset({"pfn_map"}),
    ),
)
