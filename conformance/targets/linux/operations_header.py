"""What C learns from a system's table of operations, so that it repeats nothing of it.

From the one table (``SPECS`` in the system's ``operations.py``) come the number
of an operation, which is its place, the place of each argument in a guarded
call, and the numbers of choices that have names. The build writes them to a
header for the system's C files; ``LinuxTarget`` packs its calls by the same
functions. The library tells the text of the table that it was built with.
"""

import re
from collections.abc import Iterable, Mapping

from reference.operations import ArgSpec, Specs

HEADER = "operations.h"
"""The name under which C files include it."""

ARGUMENTS = 11
"""How many arguments a guarded call can have (``struct mmu_call``)."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


def choice_numbers(arg: ArgSpec) -> Mapping[int | str, int]:
    """The numbers of an argument's choices by name: their places. Empty if it has no names.

    Choices that are numbers stand for themselves.

    Raises:
        ValueError: some have names, and some are numbers.
    """
    named = [isinstance(choice, str) for choice in arg.choices]
    if any(named) and not all(named):
        raise ValueError(
            f"choices of {arg.name} are {arg.choices!r}; allowed are names only, or numbers only"
        )
    return {choice: number for number, choice in enumerate(arg.choices)} if any(named) else {}


def table_text(specs: Specs) -> str:
    """All of a table that C depends on, an operation a line: ``alloc size mode=best|low|high``."""
    lines = []
    for spec in specs.values():
        words = [spec.name]
        for arg in spec.args:
            choices = "|".join(map(str, choice_numbers(arg)))
            words.append(f"{arg.name}={choices}" if choices else arg.name)
        lines.append(" ".join(words))
    return "\n".join(lines)


def operations_header(specs: Specs) -> str:
    """The C header: ``MMU_OP_ALLOC``, ``MMU_ARG_ALLOC_MODE``, ``MMU_ALLOC_MODE_BEST``.

    Operations and named choices are enums with a tag (``enum mmu_operation``,
    ``enum mmu_alloc_mode``). ``MMU_OPERATIONS`` is the table's text.

    Raises:
        ValueError: a name that makes none in C, two that make the same one, or an operation
            with more arguments than a call can have.
    """
    enums = [_enum("mmu_operation", (f"MMU_OP_{_in_c(name)}" for name in specs))]
    for spec in specs.values():
        operation = _in_c(spec.name)
        if len(spec.args) > ARGUMENTS:
            raise ValueError(
                f"operation {spec.name} has {len(spec.args)} arguments; allowed are {ARGUMENTS}"
            )
        if spec.args:
            enums.append(_enum("", (f"MMU_ARG_{operation}_{_in_c(arg.name)}" for arg in spec.args)))
        for arg in spec.args:
            choices = choice_numbers(arg)
            if choices:
                tag = f"mmu_{operation}_{_in_c(arg.name)}"
                names = (f"{tag.upper()}_{_in_c(str(choice))}" for choice in choices)
                enums.append(_enum(tag.lower(), names))
    _check_different(enums)
    text = "".join(f' \\\n\t"{line}\\n"' for line in table_text(specs).split("\n"))
    return (
        "/* Made from the system's table of operations by the build. */\n"
        "#ifndef MMU_OPERATIONS_H\n#define MMU_OPERATIONS_H\n\n"
        + "\n".join(enums)
        + f"\n#define MMU_OPERATIONS{text}\n\n#endif\n"
    )


def first_difference(built: str, specs: Specs) -> str:
    """Where a library's table, ``built``, differs from ``specs``, in words; "" if it does not."""
    ours = table_text(specs).split("\n")
    theirs = built.rstrip("\n").split("\n")
    for number in range(max(len(ours), len(theirs))):
        there, here = (
            repr(lines[number]) if number < len(lines) else "missing" for lines in (theirs, ours)
        )
        if there != here:
            return f"operation {number} is {there} in the library and {here} in the table"
    return ""


def _in_c(name: str) -> str:
    """A name as a part of one in C."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"name is {name!r}; allowed are small letters, digits, and the signs . _ - in between"
        )
    return re.sub(r"[.-]", "_", name).upper()


def _enum(tag: str, names: Iterable[str]) -> str:
    """An enum whose members count from 0."""
    members = "".join(f"\t{name},\n" for name in names)
    return f"enum {tag}{' ' if tag else ''}{{\n{members}}};\n"


def _check_different(enums: Iterable[str]) -> None:
    """Make sure that no two members, which share one space of names in C, are called the same."""
    members = [line for enum in enums for line in enum.split("\n") if line.startswith("\t")]
    double = {line.strip("\t,") for line in members if members.count(line) > 1}
    if double:
        raise ValueError(
            f"two names make {', '.join(sorted(double))} in C; allowed are different names"
        )
