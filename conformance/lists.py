"""What there is, in words: for the ``list`` and ``decode`` commands."""

import textwrap

from conformance.mutants.catalogue import CATALOGUES
from conformance.rules.catalogue import RULES
from conformance.systems import SYSTEMS
from conformance.targets.registry import KINDS
from reference.formats import FORMATS, format_by_name
from reference.words import hex_word, parse_word
from reports.numbers import size_text

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
    return [f"{kind.pattern:<26}{kind.title}" for kind in KINDS]


def _rules() -> list[str]:
    lines = []
    for system, rules in RULES.items():
        lines.append(f"system {system}")
        for rule in sorted(rules, key=lambda one: one.id):
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
    return lines


def _range(numbers: tuple[int, ...]) -> str:
    if len(numbers) > 2 and numbers == tuple(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(str(number) for number in numbers)


def _mutants() -> list[str]:
    lines = []
    for catalogue in CATALOGUES.values():
        lines.append(f"system {catalogue.system}")
        lines += [f"{one.id:<32}{one.rule}  {one.story}" for one in catalogue.mutants]
    return lines


def decoded(format_name: str, word: str, level: int | None) -> str:
    """Every reading of a word in a format, with its fields.

    Raises:
        ValueError: no such format or level, or no 64-bit word.
    """
    fmt = format_by_name(format_name)
    held = parse_word(word)
    if level is not None and not 0 <= level < fmt.levels:
        raise ValueError(f"level is {level}; allowed for {fmt.name} are 0 to {fmt.levels - 1}")
    lines = [f"{hex_word(held)} in {fmt.name} ({fmt.title})"]
    for reading in fmt.decode(held, level):
        levels = ", ".join(str(one) for one in reading.levels)
        lines.append(f"level {levels}: {reading.text}")
        for field, value in reading.fields():
            place = f"[{field.high}:{field.low}]" if field.high != field.low else f"[{field.low}]"
            said = field.values.get(value, "")
            shown = f"{field.name} = {value:#x}{f' {said}' if said else ''}"
            lines.append(f"    {place:<9}{shown:<36}  {field.meaning}")
    return "\n".join(lines) + "\n"
