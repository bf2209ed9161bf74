"""What a mutant is, and how a driver is loaded with its edits.

An edit replaces whole lines of a driver's source. The loader compares the lines before
and after, and puts a counter before the first statement of each place where they
differ, so that it is known whether a run ever got there: a mutant whose edit was not
executed says nothing about the rules.
"""

import ast
import difflib
import importlib.util
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from types import ModuleType

COUNTS = "_mmu_reached"
"""The name, in a loaded driver, of the list that counts how often each place was reached."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One seeded bug.

    ``id``: its name, as in ``mutant:ID``; ``rule``: the one rule that has to catch it;
    ``story``: what is wrong, in one sentence; ``edits``: pairs of lines and the lines
    instead, at any common indentation; the former stand exactly once in the driver.
    ``known``: the known bug that it is after, "" if none. ``module``: the module that is edited
    instead of the driver, which imports from it; "" for the driver itself.
    """

    id: str
    rule: str
    story: str
    edits: tuple[tuple[str, str], ...]
    known: str = ""
    module: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """Lines ``first`` to ``end`` (exclusive, from 0) of a source become ``lines``."""

    mutant: str
    first: int
    end: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoadedDriver:
    """A driver with the edits of mutants.

    ``module``: the driver; ``source``: its text, behind those of edited modules that it
    imports from; ``places``: for each of the changed places the mutant that it belongs to;
    ``counts``: how often each place was reached so far.
    """

    module: ModuleType
    source: str
    places: tuple[str, ...]
    counts: list[int]

    def executed(self, mutant_id: str) -> tuple[int, int]:
        """How often the edit of a mutant was executed: at the least, and the most, in one place.

        Raises:
            ValueError: this driver has no edit of that mutant.
        """
        of_it = [
            count for name, count in zip(self.places, self.counts, strict=True) if name == mutant_id
        ]
        if not of_it:
            allowed = ", ".join(dict.fromkeys(self.places))
            raise ValueError(f"mutant is {mutant_id!r}; in this driver are {allowed}")
        return min(of_it), max(of_it)


def driver_source(module: str) -> str:
    """The source of a module of the model, as it was installed."""
    package, _, stem = module.rpartition(".")
    return resources.files(package).joinpath(f"{stem}.py").read_text(encoding="utf-8")


def load(driver: str, mutants: Sequence[Mutant]) -> LoadedDriver:
    """The module ``driver`` with the edits of all ``mutants``, interpreted, under a private name.

    Where an edit is in another module, that one is loaded in the same way before, and the
    driver imports from it.

    Raises:
        ValueError: an edit does not fit the driver, or two of them do not fit each other.
    """
    name = "_mmu_mutant_" + "_".join(one.id.replace("-", "_") for one in mutants)
    loaded = LoadedDriver(ModuleType(name), "", (), [])
    instead: dict[str, str] = {}
    for other in dict.fromkeys(one.module for one in mutants if one.module not in ("", driver)):
        edits = [one for one in mutants if one.module == other]
        instead[other] = f"{name}_of_{other.replace('.', '_')}"
        loaded = _load_one(other, edits, instead[other], {}, loaded)
    edits = [one for one in mutants if one.module in ("", driver)]
    return _load_one(driver, edits, name, instead, loaded)


def _load_one(
    module: str,
    mutants: Sequence[Mutant],
    name: str,
    instead: Mapping[str, str],
    before: LoadedDriver,
) -> LoadedDriver:
    """One module, known as ``name``, that imports from others ``instead``; ``before``: those."""
    source, ranges = edited(driver_source(module), mutants)
    tree = ast.parse(source)
    _import_from(tree, module, instead)
    places, counts = [*before.places], before.counts
    for mutant, first, end in ranges:
        _count_at(tree, len(places), mutant, first, end)
        places.append(mutant)
        counts.append(0)
    spec = importlib.util.spec_from_loader(name, loader=None)
    assert spec is not None
    loaded = importlib.util.module_from_spec(spec)
    loaded.__dict__[COUNTS] = counts
    sys.modules[name] = loaded
    exec(compile(ast.fix_missing_locations(tree), f"<{name}>", "exec"), loaded.__dict__)
    return LoadedDriver(loaded, before.source + source, tuple(places), counts)


def _import_from(tree: ast.Module, module: str, instead: Mapping[str, str]) -> None:
    """Have a module import from others ``instead`` of those that it names.

    Raises:
        ValueError: it does not import from one of them.
    """
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module in instead:
            found.add(node.module)
            node.module = instead[node.module]
    if len(found) < len(instead):
        missing = ", ".join(sorted(instead.keys() - found))
        raise ValueError(
            f"edits are in {missing}, from which {module} does not import; allowed are that one "
            "and modules that it imports from"
        )


# -- editing ----------------------------------------------------------------------------------


def edited(source: str, mutants: Sequence[Mutant]) -> tuple[str, list[tuple[str, int, int]]]:
    """The source with the edits of all ``mutants``, and where it differs from before.

    Each difference is (mutant, first line, line after the last), counted from 1. Where lines
    were only left out, a ``pass`` stands in their place.

    Raises:
        ValueError: an edit does not fit the source or changes nothing, or two of them change
            the same lines.
    """
    before = source.splitlines()
    starts = _statement_lines(source)
    changes = [
        change
        for mutant in mutants
        for edit in mutant.edits
        for change in _changes(before, starts, mutant.id, *edit)
    ]
    changes.sort(key=lambda change: (change.first, change.end))
    lines: list[str] = []
    ranges: list[tuple[str, int, int]] = []
    at = 0
    for change in changes:
        if change.first < at:
            others = ", ".join(one.id for one in mutants)
            raise ValueError(
                f"edit of mutant {change.mutant} changes line {change.first + 1} of the driver, "
                f"which another of {others} changes too; allowed are mutants that differ in lines"
            )
        lines += before[at : change.first]
        ranges.append((change.mutant, len(lines) + 1, len(lines) + len(change.lines) + 1))
        lines += change.lines
        at = change.end
    lines += before[at:]
    return "\n".join(lines) + "\n", ranges


def _changes(
    source: Sequence[str], starts: set[int], mutant: str, old: str, new: str
) -> Iterator[Change]:
    """The places at which one edit makes a difference."""
    old_lines = _lines(old)
    new_lines = _lines(new)
    found = [
        (number, indent)
        for number in range(len(source) - len(old_lines) + 1)
        if (indent := _indent_at(source, number, old_lines)) is not None
    ]
    if len(found) != 1:
        raise ValueError(
            f"lines to edit of mutant {mutant} stand {len(found)} times in the driver; "
            f"allowed is once: {old_lines!r}"
        )
    if old_lines == new_lines:
        raise ValueError(f"an edit of mutant {mutant} changes nothing: {old_lines!r}")
    start, indent = found[0]
    matcher = difflib.SequenceMatcher(None, old_lines, new_lines, autojunk=False)
    for tag, first, end, new_first, new_end in matcher.get_opcodes():
        if tag == "equal":
            continue
        lines = tuple(indent + line if line else "" for line in new_lines[new_first:new_end])
        if not lines and start + first + 1 in starts:
            line = source[start + first]
            lines = (line[: len(line) - len(line.lstrip())] + "pass",)
        yield Change(mutant, start + first, start + end, lines)


def _lines(text: str) -> list[str]:
    return textwrap.dedent(text).strip("\n").rstrip().splitlines()


def _indent_at(source: Sequence[str], number: int, lines: Sequence[str]) -> str | None:
    """The indentation with which ``lines`` stand in ``source`` from line ``number``; else None."""
    first = source[number]
    if not lines or not first.endswith(lines[0]):
        return None
    indent = first[: len(first) - len(lines[0])]
    if indent.strip():
        return None
    for line, there in zip(lines, source[number : number + len(lines)], strict=True):
        if (indent + line if line else "") != there:
            return None
    return indent


# -- counting ---------------------------------------------------------------------------------


def _statement_lines(source: str) -> set[int]:
    """The lines, from 1, on which a statement starts."""
    return {node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)}


def _blocks(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    """Every list of statements in a tree."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                yield block


def _header_end(statement: ast.stmt) -> int:
    """The last line of a statement itself, without the statements inside it."""
    inside: list[ast.stmt] = getattr(statement, "body", [])
    if inside:
        return max(inside[0].lineno - 1, statement.lineno)
    return statement.end_lineno or statement.lineno


def _counts(statement: ast.stmt) -> bool:
    """Whether reaching a statement says that something was executed."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return False
    return not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))


def _count_at(tree: ast.Module, number: int, mutant: str, first: int, end: int) -> None:
    """Count in place ``number`` each time the first statement of lines first..end is reached.

    Raises:
        ValueError: there is no such statement.
    """
    last = max(first, end - 1)
    best: tuple[int, list[ast.stmt], ast.stmt] | None = None
    for block in _blocks(tree):
        for statement in block:
            if not _counts(statement) or getattr(statement, COUNTS, False):
                continue
            if statement.lineno > last or _header_end(statement) < first:
                continue
            if best is None or statement.lineno < best[0]:
                best = (statement.lineno, block, statement)
    if best is None:
        raise ValueError(
            f"edit of mutant {mutant} changes no statement at line {first} of the edited driver"
        )
    _, block, statement = best
    counter = ast.parse(f"{COUNTS}[{number}] += 1").body[0]
    for node in ast.walk(counter):
        if isinstance(node, ast.stmt | ast.expr):
            ast.copy_location(node, statement)
    setattr(counter, COUNTS, True)
    block.insert(block.index(statement), counter)


__all__ = ["LoadedDriver", "Mutant", "driver_source", "edited", "load"]
