"""Running operations again: a counterexample, or a file that somebody wrote by hand."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from conformance.discovery import system_by_name
from conformance.make_counterexample import counterexample_of
from conformance.registry import default_systems, make_target
from conformance.rules.rule import Violation
from conformance.system import System
from conformance.table_segments import Page
from reference.numbers import errno_text
from reference.operations import Operation, read_operations, text, to_json
from reference.words import hex_word
from reports import counterexample as counterexamples
from reports import terminal
from reports.counterexample import Counterexample
from reports.reproduce import replay_lines

PAGES_SHOWN = 64
"""Entries of touched ranges that are listed for a hand-written file, at most."""


@dataclass(frozen=True, slots=True)
class Line:
    """One operation of a replay: what it returned, and how the contract sorts it."""

    operation: Operation
    result: int
    value: int
    finished: bool
    sort: str


@dataclass(slots=True)
class Replay:
    """What a replay came to. ``answer`` is FAILED, FIXED, or "" for operations by hand."""

    system: System
    target: str
    answer: str = ""
    lines: list[Line] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    left_out: int = 0
    violations: list[Violation] = field(default_factory=list)
    telling: Counterexample | None = None
    file: str = ""
    kernel: str | None = None

    @property
    def failed(self) -> bool:
        """Whether a rule was broken."""
        return self.answer == "FAILED" or (not self.answer and bool(self.violations))

    def text(self) -> str:
        """The replay in words."""
        lines = []
        if self.answer:
            lines.append(f"{self.answer} on {self.target}")
        specs = self.system.specs
        if self.telling is not None:
            # It has the operations, and what is wrong with them.
            telling = terminal.tell(
                self.telling,
                vocabulary=self.system.vocabulary,
                commands=replay_lines(self.telling, self.file, self.kernel),
            )
            return f"{lines[0]}\n\n{telling}"
        for number, line in enumerate(self.lines, start=1):
            returned = errno_text(line.result)
            told = specs[line.operation.name].returned(line.value)
            if not line.finished:
                returned, told = "did not come back", ""
            mark = f"  [{line.sort}]" if line.sort != "legal" else ""
            lines.append(
                f"{number:>3}  {text(line.operation, specs)}  -> {returned}"
                f"{f', {told}' if told else ''}{mark}"
            )
        if self.pages:
            lines.append("")
        for page in self.pages:
            where = f"{page.first:#x}..{page.first + page.size - 1:#x}"
            leads = f"{page.pa:#x} {page.access}" if page.pa is not None else "nothing"
            lines.append(f"{where} -> {leads}")
            lines += [f"    {entry}" for entry in page.entries]
        if self.left_out:
            lines.append(f"and more touched entries, from {self.left_out:#x} on")
        for violation in self.violations:
            lines.append("")
            label = f" ({violation.label})" if violation.label else ""
            lines.append(f"{violation.rule}{label}: {violation.message}")
            if violation.expected or violation.observed:
                lines.append(f"    expected {violation.expected}")
                lines.append(f"    observed {violation.observed}")
        return "\n".join(lines) + "\n"

    def json_text(self) -> str:
        """The replay as one JSON object."""
        shown = {
            "answer": self.answer or ("FAILED" if self.violations else "HELD"),
            "system": self.system.name,
            "target": self.target,
            "operations": [
                {
                    **to_json(line.operation, self.system.specs),
                    "result": line.result,
                    "value": hex_word(line.value),
                    "finished": line.finished,
                    "sort": line.sort,
                }
                for line in self.lines
            ],
            "pages": [
                {
                    "first": f"{page.first:#x}",
                    "size": f"{page.size:#x}",
                    "pa": None if page.pa is None else f"{page.pa:#x}",
                    "access": page.access,
                    "entries": list(page.entries),
                }
                for page in self.pages
            ],
            "violations": [
                {
                    "rule": one.rule,
                    "signature": one.signature,
                    "label": one.label,
                    "message": one.message,
                }
                for one in self.violations
            ],
        }
        return json.dumps(shown, indent=2) + "\n"


def replay(
    file: str, target_name: str | None, system_name: str | None, kernel: str | None, shown: str = ""
) -> Replay:
    """Run ``file`` again.

    ``system_name``: of a file written by hand; None for the one that target and operations are
    of. ``kernel``: a tree for linux: targets. ``shown``: how the reader reaches the file, where it
    is another way.

    Raises:
        ValueError: the file cannot be read, or the file, the target or the system is not usable.
        TargetUnavailable: the target cannot be had here.
    """
    example: Counterexample | None = None
    operations: list[Operation] = []
    try:
        system = system_by_name(system_name or "pagetable")
        if counterexamples.is_counterexample(file):
            example = counterexamples.load(file, system_by_name)
        else:
            if system_name is None:
                system = _system_of(file, target_name or "reference")
            operations = read_operations(file, system.specs)
    except OSError as error:
        raise ValueError(
            f"file is {file!r}, which cannot be read ({error.strerror}); allowed are "
            "counterexamples, and files of operations, one JSON object a line"
        ) from None
    shown = shown or file
    if example is not None:
        return _counterexample(example, target_name, kernel, shown)
    return _by_hand(system, operations, target_name or "reference", kernel, shown)


def _system_of(file: str, target_name: str) -> System:
    """The system that a file written by hand is of: one of the target's that knows its operations.

    ``pagetable`` comes first, for a file of what several know and for one of what none does.

    Raises:
        ValueError: it can be of several, of which that is none.
    """
    names = default_systems(target_name)
    asked = _names(file)
    fitting = [name for name in names if asked <= set(system_by_name(name).specs)] or names
    if len(fitting) > 1 and "pagetable" not in fitting:
        raise ValueError(
            f"--system is not given, and the operations can be of {', '.join(fitting)}; "
            "allowed is one of them"
        )
    return system_by_name("pagetable" if "pagetable" in fitting else fitting[0])


def _names(file: str) -> set[str]:
    """The names of the operations in a file written by hand; of what is none, nothing."""
    names: set[str] = set()
    for line in Path(file).read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            names.add(json.loads(line)["op"])
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
    return names


def _counterexample(
    example: Counterexample, target_name: str | None, kernel: str | None, file: str
) -> Replay:
    system = system_by_name(example.system)
    system.rule(example.rule)
    operations = example.typed_operations(system.specs)
    target = make_target(target_name or example.target_name, kernel, system=system.name)
    # Another target may not have the same ways: take the nearest that it declares.
    fitted = [_fitted(one, target.traits) for one in operations]
    done = Replay(system, f"{target.name} ({target.version})", file=file, kernel=kernel)
    _run(done, system, fitted, target)
    identity = (example.rule, example.signature)
    again = counterexample_of(system, target, fitted, identity, example.seed)
    if again is None:
        # Another function of another version may break the same rule.
        same_rule = [one for one in done.violations if one.rule == example.rule]
        if same_rule:
            again = counterexample_of(system, target, fitted, same_rule[0].identity, example.seed)
    done.answer = "FIXED" if again is None else "FAILED"
    done.telling = again
    done.pages = []
    target.close()
    return done


def _fitted(operation: Operation, traits: object) -> Operation:
    assert hasattr(traits, "items")
    args = dict(operation.args)
    for name, values in traits.items():
        if name in args and args[name] not in values and name != "format":
            args[name] = values[0]
    return Operation(operation.name, args)


def _by_hand(
    system: System, operations: list[Operation], target_name: str, kernel: str | None, file: str
) -> Replay:
    target = make_target(target_name, kernel, system=system.name)
    done = Replay(system, f"{target.name} ({target.version})", file=file, kernel=kernel)
    if operations[0].name != "create":
        operations = [Operation("create", _defaults(system)), *operations]
    _run(done, system, [_fitted(one, target.traits) for one in operations], target)
    target.close()
    return done


def _defaults(system: System) -> dict[str, int | str]:
    return {arg.name: arg.default for arg in system.specs["create"].args if arg.default is not None}


def _run(done: Replay, system: System, operations: list[Operation], target: object) -> None:
    session = system.session(target, None, None)  # type: ignore[arg-type]
    for number, outcome in enumerate(session.run_all(operations)):
        done.violations += outcome.violations
        if number == len(operations):
            # What was left was destroyed.
            break
        operation, result = operations[number], outcome.result
        done.lines.append(
            Line(operation, result.result, result.value, result.finished, outcome.sort)
        )
        if system.look is not None:
            _note(done, system.look(session, operation))


def _note(done: Replay, pages: Iterator[Page]) -> None:
    """Note what pages translate to now; what was noted of them before is out of date."""
    for page in pages:
        done.pages = [one for one in done.pages if not one.overlaps(page)]
        if len(done.pages) >= PAGES_SHOWN:
            done.left_out = page.first
            break
        done.pages.append(page)
    done.pages.sort(key=lambda page: page.first)
