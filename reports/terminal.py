"""A counterexample told on a terminal: plain text, with colour where the terminal has it."""

import textwrap
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from reports.counterexample import Counterexample
from reports.telling import FAULT, PLAIN, QUIET, WIDTH, Block, Line, Paragraph, sections
from reports.vocabulary import NO_VOCABULARY, Vocabulary

_TITLE: Final = "title"
_COLOURS: Final = {PLAIN: "", FAULT: "bold red", QUIET: "dim", _TITLE: "bold"}


def _lines(
    counterexample: Counterexample,
    file: str | None,
    vocabulary: Vocabulary,
    commands: Sequence[str],
    width: int,
) -> list[Line]:
    lines: list[Line] = []
    for number, section in enumerate(
        sections(counterexample, file=file, vocabulary=vocabulary, commands=commands, width=width)
    ):
        if number:
            lines.append(Line(""))
        title = textwrap.wrap(section.title, width)
        lines += [Line(line, FAULT if number == 0 else _TITLE) for line in title]
        lines.append(Line(("=" if number == 0 else "-") * max(map(len, title)), QUIET))
        after_block = False
        for place, part in enumerate(section.parts):
            if isinstance(part, Block):
                if place and not after_block:
                    lines.append(Line(""))
                lines += part.lines
                after_block = True
            else:
                if after_block:
                    lines.append(Line(""))
                lines += _paragraph(part, width)
                after_block = False
    return lines


def _paragraph(part: Paragraph, width: int) -> list[Line]:
    lead = f"{part.lead} " if part.lead else ""
    hang = " " * 12 if lead else ""
    return [
        Line(line)
        for line in textwrap.wrap(
            part.text,
            width,
            initial_indent=lead.ljust(len(hang)),
            subsequent_indent=hang,
            break_on_hyphens=False,
        )
    ]


def tell(
    counterexample: Counterexample,
    *,
    file: str | None = None,
    vocabulary: Vocabulary = NO_VOCABULARY,
    commands: Sequence[str] = (),
    width: int = WIDTH,
) -> str:
    """The telling as plain text with a newline at the end.

    ``file`` is how the reader reaches the counterexample's file (None for its own name);
    ``vocabulary`` has the words of its system; ``commands`` are the lines to type to see it again
    (none for replays of the file). No line is wider than ``width`` columns, but for those commands.
    """
    lines = _lines(counterexample, file, vocabulary, commands, width)
    return "\n".join(line.text.rstrip() for line in lines) + "\n"


def show(
    counterexample: Counterexample,
    *,
    file: str | None = None,
    vocabulary: Vocabulary = NO_VOCABULARY,
    commands: Sequence[str] = (),
    console: Console | None = None,
) -> None:
    """Print the telling on ``console`` (None for standard output), in colour if it has any."""
    console = console if console is not None else Console()
    for line in _lines(counterexample, file, vocabulary, commands, WIDTH):
        console.print(
            Text(line.text.rstrip(), style=_COLOURS[line.style]),
            soft_wrap=True,
            highlight=False,
        )
