"""Entries of tables, as signatures and tellings of rules name them."""

from reference.formats.entry import ROLE_NAMES
from reference.formats.format import Format


def entry_name(table_format: Format, level: int, word: int) -> str:
    """What kind of entry a word is at a level, for signatures; level -1: "none"."""
    return ROLE_NAMES[table_format.kind(level, word)] if level >= 0 else "none"


def entry_text(table_format: Format, level: int, word: int, root: str = "a root") -> str:
    """An entry with its decoded fields; for level -1, where no walk has begun, ``root``."""
    return table_format.describe(level, word) if level >= 0 else root
