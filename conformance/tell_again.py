"""A counterexample that was written to a file, told again in the form that is asked for."""

from conformance.discovery import system_by_name
from reports import counterexample as counterexamples
from reports import html, markdown, terminal
from reports.reproduce import replay_lines
from reports.telling import WIDTH

WIDTHS = range(72, 201)
"""Columns that a text can have."""


def telling(path: str, form: str, width: int | None, file: str, kernel: str | None) -> str:
    """What a counterexample says, as "text", "markdown" or "html".

    Args:
        path: the file to read.
        form: of what is told.
        width: columns of a text; None for 100. Other forms have none.
        file: what the lines that reproduce it call the file.
        kernel: the tree that they name; None for none.

    Raises:
        ValueError: not a counterexample, one of a system that is not installed, or a width that
            is not allowed.
        OSError: the file cannot be read.
    """
    if width is not None and (form != "text" or width not in WIDTHS):
        raise ValueError(
            f"--width is {width} with --as {form}; allowed are {WIDTHS.start} to "
            f"{WIDTHS.stop - 1}, with --as text"
        )
    example = counterexamples.load(path, system_by_name)
    vocabulary = system_by_name(example.system).vocabulary
    commands = replay_lines(example, file, kernel)
    if form == "html":
        return html.tell(example, vocabulary=vocabulary, commands=commands)
    if form == "markdown":
        return markdown.tell(example, vocabulary=vocabulary, commands=commands)
    return terminal.tell(example, vocabulary=vocabulary, commands=commands, width=width or WIDTH)
