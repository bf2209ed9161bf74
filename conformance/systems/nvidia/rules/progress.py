"""PG: every call comes back, whole, and without a warning."""

from conformance.rules.progress import crash_check, return_check, warning_check
from conformance.rules.rule import Rule
from conformance.systems.nvidia.rules.operations import EVERY
from conformance.systems.nvidia.rules.step import NvidiaStep


def quiet_check(step: NvidiaStep) -> int:
    """PG-3: no warning on a call that keeps the contract, as long as the device does its part."""
    return 0 if step.state.stuck else warning_check(step)  # type: ignore[arg-type]


RULES = (
    Rule(
        "PG-1",
        "Every call returns.",
        "The caller holds its locks for ever.",
        "semantics.md (progress)",
        return_check,
        EVERY,
        misuse=True,
    ),
    Rule(
        "PG-2",
        "No call crashes, stops at a BUG, or accesses memory outside what the driver owns.",
        "The kernel dies, or silently corrupts itself.",
        "semantics.md (memory safety); KB-15, KB-20",
        crash_check,
        EVERY,
        misuse=True,
    ),
    Rule(
        "PG-3",
        "A call that keeps the contract prints no warning.",
        "Machines that panic on warnings go down; on others the log is not believed any more.",
        "semantics.md (calls)",
        quiet_check,
        EVERY,
    ),
)
