"""A counterexample told as Markdown, for a bug report, a README or a page of documentation."""

import re
from collections.abc import Sequence

from reports.counterexample import Counterexample
from reports.telling import Block, Paragraph, sections
from reports.vocabulary import NO_VOCABULARY, Vocabulary


def tell(
    counterexample: Counterexample,
    *,
    file: str | None = None,
    vocabulary: Vocabulary = NO_VOCABULARY,
    commands: Sequence[str] = (),
    level: int = 2,
) -> str:
    """The telling as Markdown, with a newline at the end.

    Args:
        counterexample: what is told.
        file: how the reader reaches the counterexample's file; None for its own name.
        vocabulary: the words of its system.
        commands: the lines to type to see it again; none for replays of the file.
        level: of the title's heading, 1 to 5; the sections' headings are one deeper.

    Raises:
        ValueError: a level that is not allowed.
    """
    if not 1 <= level <= 5:
        raise ValueError(f"level is {level}; allowed are 1 to 5")
    pieces: list[str] = []
    for number, section in enumerate(
        sections(counterexample, file=file, vocabulary=vocabulary, commands=commands)
    ):
        marks = "#" * (level if number == 0 else level + 1)
        pieces.append(f"{marks} {escaped(section.title)}")
        pieces += [_piece(part) for part in section.parts]
    return "\n\n".join(pieces) + "\n"


def _piece(part: Paragraph | Block) -> str:
    if isinstance(part, Paragraph):
        lead = f"**{escaped(part.lead)}** " if part.lead else ""
        return lead + escaped(part.text)
    lines = [line.text.rstrip() for line in part.lines]
    # A fence must be longer than any run of backquotes inside.
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *lines, fence])


def escaped(text: str) -> str:
    """``text`` so that Markdown shows it as it is, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>|~^#$&])", r"\\\1", " ".join(text.split()))
