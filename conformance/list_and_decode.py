"""What there is, in words: for the ``list`` and ``decode`` commands."""

import json
import textwrap

from conformance.discovery import SYSTEMS
from conformance.registry import catalogues, kinds
from conformance.targets.kind import TargetKind
from conformance.targets.linux import probes
from conformance.targets.linux.tree import KernelTree, find_tree
from reference.formats import FORMATS, format_by_name
from reference.formats.entry import Reading
from reference.formats.format import Format
from reference.numbers import size_text
from reference.words import hex_word, parse_word

WIDTH = 100


def listing(what: str) -> str:
    """The list called ``what``.

    Raises:
        ValueError: there is no such list.
    """
    makers = {
        "systems": _systems,
        "targets": _targets,
        "rules": _rules,
        "formats": _formats,
        "mutants": _mutants,
    }
    if what not in makers:
        raise ValueError(f"list is {what!r}; allowed are {', '.join(makers)}")
    return "\n".join(makers[what]()) + "\n"


def _systems() -> list[str]:
    lines = []
    for system in SYSTEMS.values():
        lines.append(f"{system.name}  {system.title}")
        lines += [f"    {spec.name:<14}{spec.purpose}" for spec in system.specs.values()]
    return lines


def _targets() -> list[str]:
    return [f"{kind.pattern:<26}{kind.title}" for kind in kinds()]


def targets_json(kernel: str | None) -> str:
    """The targets that systems name, each with the examples that a run on every tree has.

    ``kernel``: a tree; each target of Linux's code is then said to be "missing" a file that the
    tree has not, or what we have not for such a tree, or nothing ("").

    Raises:
        KernelTreeError: what was named is no kernel tree.
    """
    tree = None if kernel is None else find_tree(kernel)
    shown = []
    for name, system in SYSTEMS.items():
        for one in system.targets:
            missing = "" if tree is None else lacking(one, tree)
            shown.append(
                {
                    "name": one.name, "system": name, "title": one.title,
                    "examples": one.examples, "missing": missing,
                }
            )  # fmt: skip
    return json.dumps(shown, indent=1) + "\n"


def lacking(kind: TargetKind, tree: KernelTree) -> str:
    """What a tree, or what we have for it, lacks for a target of Linux's code; "": nothing."""
    if kind.source and not (tree.path / kind.source).is_file():
        return kind.source
    return "" if kind.unit is None else probes.refusal(tree.path, kind.unit.refuses)


def _rules() -> list[str]:
    lines = []
    for name, system in SYSTEMS.items():
        lines.append(f"system {name}")
        for rule in sorted(system.rules, key=lambda one: one.id):
            lines += textwrap.wrap(
                rule.sentence, WIDTH, initial_indent=f"{rule.id}  ", subsequent_indent=" " * 6
            )
            for lead, text in (("without it: ", rule.consequence), ("source: ", rule.source)):
                lines += textwrap.wrap(
                    text, WIDTH, initial_indent=f"      {lead}", subsequent_indent=" " * 6
                )
    return lines


def _formats() -> list[str]:
    lines = []
    for fmt in FORMATS.values():
        lines.append(f"{fmt.name}  {fmt.title}")
        sizes = ", ".join(size_text(size) for size in fmt.page_sizes)
        facts = [f"pages {sizes}", f"ias {_range(fmt.ias_choices)}"]
        if fmt.oas_choices:
            facts.append(f"oas {_range(fmt.oas_choices)}")
        if all(one.name for one in fmt.tables):
            facts.append("tables " + ", ".join(f"{one.number} {one.name}" for one in fmt.tables))
        lines.append(f"    {'; '.join(facts)}")
    return lines


def _range(numbers: tuple[int, ...]) -> str:
    if len(numbers) > 2 and numbers == tuple(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(str(number) for number in numbers)


def _mutants() -> list[str]:
    lines = []
    for catalogue in catalogues().values():
        lines.append(f"system {catalogue.system}")
        lines += [f"{one.id:<32}{one.rule}  {one.story}" for one in catalogue.mutants]
    return lines


def decoded(format_name: str, word: str, level: int | None) -> str:
    """Every reading of a word in a format, with its fields.

    ``level``: the level that it is from, by number; None for all.

    Raises:
        ValueError: no such format or level, or no 64-bit word.
    """
    fmt = format_by_name(format_name)
    held = parse_word(word)
    lines = [f"{hex_word(held)} in {fmt.name} ({fmt.title})"]
    for reading in fmt.decode(held, level):
        where = f"{fmt.title_of(reading.levels)}{_halves(fmt, reading)}"
        lines += [f"{where}: {reading.text}", *_field_lines(reading)]
    return "\n".join(lines) + "\n"


def _halves(fmt: Format, reading: Reading) -> str:
    """Which half of an entry says what a reading says, where an entry has two."""
    found = {
        half.name
        for number in reading.levels
        for half in fmt.tables[number].halves
        if half.name and reading.kind in half.kinds
    }
    return f", {' or '.join(sorted(found))} half" if found else ""


def _field_lines(reading: Reading) -> list[str]:
    """A reading, field by field."""
    lines = []
    for field, value in reading.fields():
        said = field.values.get(value, "")
        shown = f"{field.name} = {value:#x}{f' {said}' if said else ''}"
        lines.append(f"    {field.position:<9}{shown:<36}  {field.meaning}")
    return lines
