"""The MMU formats, by name."""

from typing import Final

from reference.formats.dart import DART1_4K, DART1_16K, DART2_16K
from reference.formats.format import Format
from reference.formats.lpae import LPAE_MALI, LPAE_S1
from reference.formats.uat import UAT

FORMATS: Final[dict[str, Format]] = {
    one.name: one for one in (LPAE_S1, LPAE_MALI, UAT, DART1_16K, DART1_4K, DART2_16K)
}
"""Every format, in the order in which they are listed to people."""


def format_by_name(name: str) -> Format:
    """The format that users call ``name``.

    Raises:
        ValueError: there is none.
    """
    found = FORMATS.get(name)
    if found is None:
        raise ValueError(f"format is {name!r}; allowed are {', '.join(FORMATS)}")
    return found
