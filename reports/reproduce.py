"""The lines to type to see something again."""

import shlex
from collections.abc import Sequence

from reports.counterexample import Counterexample


def _line(*words: str) -> str:
    return "mmu-conformance " + " ".join(shlex.quote(word) for word in words)


def _tree(target: str, kernel: str | None) -> list[str]:
    """Which kernel's code a linux: target was built of, if that was said."""
    return ["--kernel", kernel] if kernel and target.startswith("linux:") else []


def replay_lines(counterexample: Counterexample, file: str, kernel: str | None = None) -> list[str]:
    """Replays of a counterexample that was written to ``file``: on its target, on the reference."""
    target = counterexample.target_name
    lines = [_line("replay", file, "--target", target, *_tree(target, kernel))]
    if target != "reference":
        lines.append(_line("replay", file, "--target", "reference"))
    return lines


def run_line(
    system: str, target: str, kernel: str | None, settings: Sequence[tuple[str, object]]
) -> str:
    """The run that writes what it finds; ``settings``: (option, value), None where not given."""
    given = [word for name, value in settings if value is not None for word in (name, str(value))]
    words = ["run", system, "--target", target, *_tree(target, kernel), *given]
    return _line(*words, "--report-dir", "reports")
