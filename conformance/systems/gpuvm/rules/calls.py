"""ER, PG, TR, IS: what calls return, that they return, and whom they name."""

from conformance.rules.errnos import errno_kind, errno_name
from conformance.rules.progress import crash_check, return_check, warning_check
from conformance.rules.rule import LEGAL, REFUSED, Rule, Violation
from conformance.systems.gpuvm.rules.step import GpuvmStep

OPERATIONS = frozenset(
    {"create", "bo", "close", "map", "unmap", "evict", "validate", "find", "destroy"}
)
"""All operations of the system."""


def result_check(step: GpuvmStep) -> int:
    """ER-1: a call returns one of its documented results."""
    allowed = [0] if step.sort == LEGAL else []
    allowed += step.errors
    if step.result.result in allowed:
        return 1
    why = f" ({step.reason})" if step.reason else ""
    returned = errno_name(step.result.result)
    names = " or ".join(errno_name(one) for one in allowed)
    step.violations.append(
        Violation(
            "ER-1",
            f"{step.kind}, {step.sort}{why}, returned {errno_kind(step.result.result)}",
            f"{step.kind} returned {returned}; the call was {step.sort}"
            f"{f': {step.reason}' if step.reason else ''}.",
            step.end_event,
            step.first,
            names,
            returned,
            # What an accepted call of this kind has made means nothing.
            corrupts=step.sort == REFUSED and step.result.result == 0,
        )
    )
    return 1


def unchanged_check(step: GpuvmStep) -> int:
    """ER-2: a call that fails changes nothing."""
    if step.result.result == 0:
        return 0
    for event, first, last in step.seen.told:
        step.violations.append(
            Violation(
                "ER-2",
                f"{step.kind}, {errno_kind(step.result.result)}, page tables told"
                f"{step.function(event)}",
                f"{step.kind} failed with {errno_name(step.result.result)}, but had page tables "
                f"changed at {first:#x}..{last:#x} before: nobody will change them back.",
                event,
                first,
                "nothing is touched before it is known that the call can be carried out",
                f"{first:#x}..{last:#x} changed",
            )
        )
        return 1
    held = [one for one in step.seen.listed if one.first <= step.last and one.last >= step.first]
    kept = step.state.promise.within(step.first, step.last)
    same = len(held) == len(kept) and all(
        one.same(other) for one, other in zip(held, kept, strict=True)
    )
    if step.seen.changed or not same:
        step.violations.append(
            Violation(
                "ER-2",
                f"{step.kind}, {errno_kind(step.result.result)}, VMAs changed",
                f"{step.kind} failed with {errno_name(step.result.result)}, but has changed VMAs.",
                step.end_event,
                step.first,
                "the VMAs that there were",
                "others",
            )
        )
    return 1


def find_check(step: GpuvmStep) -> int:
    """TR-20: find gives the first mapping in the range."""
    expected, found = step.call.expected, step.result.value
    if expected is None or step.result.result != 0:
        return 0
    if found != expected:
        wanted = "a mapping" if expected != -1 else "nothing"
        step.violations.append(
            Violation(
                "TR-20",
                f"find, {wanted} wanted, {'nothing' if found == -1 else 'another'} found",
                f"The first mapping in {step.first:#x}..{step.last:#x} is not the one that is "
                "found.",
                step.end_event,
                step.first,
                f"{expected & (1 << 64) - 1:#x}" if expected != -1 else "nothing",
                f"{found & (1 << 64) - 1:#x}" if found != -1 else "nothing",
            )
        )
    return 1


def validate_check(step: GpuvmStep) -> int:
    """IS-20: every evicted buffer is made valid, once."""
    due, named = step.call.due, step.seen.validated
    for number in sorted(due | set(named)):
        times = named.count(number)
        if times == int(number in due):
            continue
        how = "left out" if times == 0 else "named twice" if number in due else "not evicted"
        step.violations.append(
            Violation(
                "IS-20",
                f"validate, buffer {how}",
                f"validate named buffer {number} {times} times; it "
                f"{'is' if number in due else 'is not'} evicted.",
                step.end_event,
                -1,
                "each evicted buffer once, and no other",
                f"{times} times",
            )
        )
        return 1
    return 1


RULES = (
    Rule(
        "PG-1",
        "A call returns within the work that its range and what is mapped there can need.",
        "A bind of one process keeps the lock of the address space for good.",
        "semantics.md (calls)",
        return_check,
        OPERATIONS,
        misuse=True,
    ),
    Rule(
        "PG-2",
        "A call does not crash, and touches only its own memory.",
        "One process takes the machine down, or writes to another's memory.",
        "semantics.md (memory safety); KB-02",
        crash_check,
        OPERATIONS,
        misuse=True,
    ),
    Rule(
        "PG-3",
        "A call that keeps the contract, or is refused, prints no warning.",
        "A warning stops machines that are set to panic on it; one that a caller without rights "
        "can cause is a denial of service.",
        "semantics.md (calls)",
        warning_check,
        OPERATIONS,
    ),
    Rule(
        "ER-1",
        "A call returns one of its documented results: a range that is empty, wraps, lies outside "
        "the window or touches the kernel's part is refused, and so is what no buffer has.",
        "What was accepted is taken for a mapping: the tree of VMAs stops being one, and later "
        "calls change addresses that they do not name.",
        "formats.md B.6, B.7 (validity); KB-11, KB-12, KB-14",
        result_check,
        OPERATIONS,
    ),
    Rule(
        "ER-2",
        "A call that fails has changed nothing: no VMA, no page table.",
        "Part of a range is unmapped while its owner believes that all of it is there.",
        "formats.md B.7 (before any step); semantics.md (calls)",
        unchanged_check,
        OPERATIONS - {"create"},
    ),
    Rule(
        "TR-20",
        "find gives the lowest address at which something in the range is mapped, or nothing.",
        "A driver looks into the wrong buffer, or maps where something is.",
        "formats.md B.7; drm_gpuva_find_first",
        find_check,
        frozenset({"find"}),
    ),
    Rule(
        "IS-20",
        "validate makes every buffer valid that was evicted and is still mapped, once, and no "
        "other.",
        "A job runs on pages that were given to somebody else.",
        "formats.md B.6; drm_gpuvm_validate",
        validate_check,
        frozenset({"validate"}),
    ),
)
