"""PG: every call comes back, whole, and with something done."""

from conformance.rules.progress import crash_check, return_check, warning_check
from conformance.rules.rule import LEGAL, Rule, Violation
from conformance.systems.pagetable.rules.step import PageTableStep

CALLS = frozenset({"create", "map", "unmap", "translate", "sync", "flush", "destroy"})
"""The operations that are calls of the target: all but release."""


def moved_check(step: PageTableStep) -> int:
    """PG-4: a legal call that reports success has done at least one page."""
    if step.sort != LEGAL or step.result.result != 0 or step.failed_allocations:
        return 0
    if step.result.value <= 0:
        step.violations.append(
            Violation(
                "PG-4",
                f"{step.kind}, nothing done",
                f"{step.kind} reported success and 0 bytes: a caller that loops until its range is "
                "done never ends, and one that does not, leaves it undone.",
                step.end_event,
                step.first,
                "at least one page",
                "0 bytes",
            )
        )
    return 1


RULES = (
    Rule(
        "PG-1",
        "Every call returns.",
        "The caller holds its locks for ever.",
        "semantics.md (progress)",
        return_check,
        CALLS,
        misuse=True,
    ),
    Rule(
        "PG-2",
        "No call crashes, stops at a BUG, or accesses memory outside what the driver owns.",
        "The kernel dies, or silently corrupts itself.",
        "semantics.md (memory safety)",
        crash_check,
        CALLS,
        misuse=True,
    ),
    Rule(
        "PG-3",
        "A call that keeps the contract prints no warning.",
        "Machines that panic on warnings go down; on others the log is not believed any more.",
        "semantics.md (calls)",
        warning_check,
        CALLS,
    ),
    Rule(
        "PG-4",
        "A call that keeps the contract and reports success has mapped or unmapped at least "
        "one page.",
        "A caller that goes on until its range is done loops for ever.",
        "formats.md F.4 (callee may stop early)",
        moved_check,
        frozenset({"map", "unmap"}),
    ),
)
