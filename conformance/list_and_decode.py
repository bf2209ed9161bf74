"""What there is, in words: for the ``list`` and ``decode`` commands."""

import json
import textwrap

from conformance.discovery import SYSTEMS
from conformance.registry import catalogues, kinds
from conformance.targets.linux.tree import find_tree
from conformance.walking import format_of
from reference.formats import FORMATS
from reference.formats.entry import Reading
from reference.formats.nvidia import NVIDIA_FORMATS, NvidiaFormat
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
        lines += [f"    {spec.name:<10}{spec.purpose}" for spec in system.specs.values()]
    return lines


def _targets() -> list[str]:
    return [f"{kind.pattern:<26}{kind.title}" for kind in kinds()]


def targets_json(kernel: str | None) -> str:
    """The targets that systems name, each with the examples that a run on every tree has.

    ``kernel``: a tree; each target of Linux's code is then said to be "missing" a file that the
    tree has not, or nothing ("").

    Raises:
        KernelTreeError: what was named is no kernel tree.
    """
    tree = None if kernel is None else find_tree(kernel)
    shown = []
    for name, system in SYSTEMS.items():
        for one in system.targets:
            there = tree is None or not one.source or (tree.path / one.source).is_file()
            shown.append(
                {
                    "name": one.name, "system": name, "title": one.title,
                    "examples": one.examples, "missing": "" if there else one.source,
                }
            )  # fmt: skip
    return json.dumps(shown, indent=1) + "\n"


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
        lines.append(
            f"    pages {sizes}; ias {_range(fmt.ias_choices)}; oas {_range(fmt.oas_choices)}"
        )
    for nvidia in NVIDIA_FORMATS.values():
        lines.append(f"{nvidia.name}  {nvidia.title}")
        pages = [size_text(1 << int(one.shift)) for one in reversed(nvidia.pages) if one.vram]
        tables = ", ".join(f"{number} {one.name}" for number, one in enumerate(nvidia.tables))
        lines.append(f"    pages {', '.join(pages)}; ias {nvidia.va_bits}; tables {tables}")
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

    ``level``: the level, or for formats of NVIDIA the number of the table, that it is from;
    None for all.

    Raises:
        ValueError: no such format or level, or no 64-bit word.
    """
    fmt = format_of(format_name)
    if isinstance(fmt, NvidiaFormat):
        return _decoded_nvidia(fmt, parse_word(word), level)
    held = parse_word(word)
    if level is not None and not 0 <= level < fmt.levels:
        raise ValueError(f"level is {level}; allowed for {fmt.name} are 0 to {fmt.levels - 1}")
    lines = [f"{hex_word(held)} in {fmt.name} ({fmt.title})"]
    for reading in fmt.decode(held, level):
        levels = ", ".join(str(one) for one in reading.levels)
        lines += [f"level {levels}: {reading.text}", *_field_lines(reading)]
    return "\n".join(lines) + "\n"


def _decoded_nvidia(fmt: NvidiaFormat, held: int, level: int | None) -> str:
    """The same for a format with large and small tables: levels are its tables, by number."""
    if level is not None and not 0 <= level < len(fmt.tables):
        names = ", ".join(f"{number} {one.name}" for number, one in enumerate(fmt.tables))
        raise ValueError(f"level is {level}; allowed for {fmt.name} are the tables {names}")
    lines = [f"{hex_word(held)} in {fmt.name} ({fmt.title})"]
    for reading in fmt.decode(held, level):
        names = ", ".join(fmt.tables[number].name for number in reading.levels)
        halves = _halves(fmt, reading)
        lines += [f"{names}{halves}: {reading.text}", *_field_lines(reading)]
    return "\n".join(lines) + "\n"


def _halves(fmt: NvidiaFormat, reading: Reading) -> str:
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
        place = f"[{field.high}:{field.low}]" if field.high != field.low else f"[{field.low}]"
        said = field.values.get(value, "")
        shown = f"{field.name} = {value:#x}{f' {said}' if said else ''}"
        lines.append(f"    {place:<9}{shown:<36}  {field.meaning}")
    return lines
