"""ER: errors are the documented ones, and change nothing."""

import errno

from conformance.rules.errnos import errno_kind, errno_name
from conformance.rules.rule import LEGAL, MISUSE, Rule, Violation
from conformance.systems.pagetable.rules.step import PageTableStep


def result_check(step: PageTableStep) -> int:
    """ER-1: a call returns one of its documented results."""
    result, value = step.result.result, step.result.value
    allowed = [0] if step.sort == LEGAL else list(step.errors)
    if step.failed_allocations:
        # Of several reasons to fail, a driver may find any first.
        allowed.append(-errno.ENOMEM)
    size = step.last - step.first + 1
    wrong = ""
    if result not in allowed:
        wrong = f"returned {errno_kind(result)}"
    elif value < 0 or (step.kind in ("map", "unmap") and value > max(size, 0)):
        wrong = "reported more bytes than it was asked for"
    elif step.kind in ("map", "unmap") and value % step.operation.number("pgsize"):
        wrong = "reported a part of a page"
    if wrong:
        names = " or ".join(errno_name(one) for one in allowed)
        step.violations.append(
            Violation(
                "ER-1",
                f"{step.kind}, {step.sort}{f' ({step.reason})' if step.reason else ''}, {wrong}",
                f"{step.kind} {wrong} ({value:#x} bytes); the call was {step.sort}"
                f"{f': {step.reason}' if step.reason else ''}.",
                step.end_event,
                step.first,
                names,
                f"{errno_name(result)}, {value:#x} bytes",
            )
        )
    return 1


def unchanged_check(step: PageTableStep) -> int:
    """ER-2: after an error, nothing is mapped beyond the bytes that were reported."""
    if step.result.result == 0:
        return 0
    # What a call outside the contract says that it did is asked of ER-3, and not promised.
    done = max(step.result.value, 0) if step.sort == MISUSE else 0
    found = step.difference(step.first + done, step.last)
    if found is not None:
        step.violations.append(
            Violation(
                "ER-2",
                f"{step.kind}, {errno_kind(step.result.result)}, level {found.level}, "
                f"{step.entry(found.level, found.word)} left",
                f"{step.kind} failed with {errno_name(step.result.result)} after "
                f"{step.result.value:#x} bytes, but changed {found.va:#x}, which lies beyond them: "
                "the caller will not undo it.",
                step.end_event,
                found.va,
                "as before the call",
                step.describe(found.level, found.word),
            )
        )
    return 1


def lost_check(step: PageTableStep) -> int:
    """ER-3: a misuse does not silently drop what was mapped."""
    if step.sort != MISUSE or step.result.result != 0:
        return 0
    for first, _last, pa, level in step.call.held:
        # For an unmap, what it reported as unmapped was asked for.
        if step.kind == "unmap" and first < step.first + step.result.value:
            continue
        walked, word = step.view.walker.translate(first)
        fmt = step.table.format
        offset = first & (fmt.span(walked) - 1) if walked >= 0 else 0
        if step.entry(walked, word) == "leaf" and fmt.output(walked, word) + offset == pa:
            continue
        step.violations.append(
            Violation(
                "ER-3",
                f"{step.kind}, level {level} mapping lost, "
                f"{step.entry(walked, word)} at level {walked} now",
                f"{step.kind} ({step.reason}) returned success, and what was mapped at {first:#x} "
                "is gone: nobody was told.",
                step.end_event,
                first,
                f"{pa:#x}, or an error",
                step.describe(walked, word) if walked >= 0 else "nothing",
            )
        )
        break
    return len(step.call.held)


RULES = (
    Rule(
        "ER-1",
        "A call returns one of its documented results, and never reports more than it was "
        "asked for.",
        "Callers unroll what was never done, or leave behind what was.",
        "formats.md F.4; semantics.md (calls)",
        result_check,
        frozenset({"create", "map", "unmap"}),
    ),
    Rule(
        "ER-2",
        "A call that fails leaves every page as it was, except for the bytes that it reports "
        "as done.",
        "Entries stay behind under no mapping; the next map of that address fails, or the "
        "device reaches pages that were given back.",
        "formats.md F.4; KB-08; semantics.md (calls)",
        unchanged_check,
        frozenset({"map"}),
        misuse=True,
    ),
    Rule(
        "ER-3",
        "A call outside the contract may do what it likes to its own range, but nothing that "
        "was mapped is lost without an error.",
        "A mistake of one caller makes another caller's buffer vanish, and nothing is logged.",
        "formats.md F.4 (never overwrites a valid leaf); KB-21",
        lost_check,
        frozenset({"map", "unmap"}),
        misuse=True,
    ),
)
