"""The MMU formats, by name: those of every installed distribution.

A distribution names its formats as entry points of the group ``mmu_conformance.formats``: the
name as users write it, and the place of the ``Format``, ``"package.module:OBJECT"``. Names are
known without importing anything; a format is imported when it is first asked for.
"""

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from reference.formats.format import Format

GROUP: Final = "mmu_conformance.formats"
"""The group of entry points."""


class Formats(Mapping[str, Format]):
    """Every format, by name, in the order of the names."""

    def __init__(self) -> None:
        self._points: dict[str, EntryPoint] | None = None
        """Where each is; None until somebody asks."""
        self._loaded: dict[str, Format] = {}
        """Those that were asked for."""

    def __getitem__(self, name: str) -> Format:
        """The format of this name.

        Raises:
            KeyError: there is none.
            ValueError: what stands at its place is no format of this name.
        """
        if name not in self._loaded:
            point = self._places()[name]
            found = point.load()
            if not isinstance(found, Format) or found.name != name:
                raise ValueError(
                    f"format {name} is {point.value}, which is {found!r}; allowed is a "
                    "reference.formats.format.Format of that name"
                )
            self._loaded[name] = found
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is a format of this name; imports nothing."""
        return name in self._places()

    def __iter__(self) -> Iterator[str]:
        """The names; imports nothing."""
        return iter(self._places())

    def __len__(self) -> int:
        """How many there are; imports nothing."""
        return len(self._places())

    def _places(self) -> dict[str, EntryPoint]:
        if self._points is None:
            found: dict[str, EntryPoint] = {}
            for point in sorted(entry_points(group=GROUP), key=lambda one: (one.name, one.value)):
                before = found.setdefault(point.name, point)
                if before.value != point.value:
                    raise ValueError(
                        f"format {point.name} is {before.value} and {point.value}, of two "
                        "distributions; allowed is one"
                    )
            if not found:
                raise ValueError(
                    f"no format is known; the group {GROUP} of entry points is empty: "
                    "install this distribution again (pip install)"
                )
            self._points = found
        return self._points


FORMATS: Final = Formats()
"""Every format, in the order in which they are listed to people."""


def format_by_name(name: str) -> Format:
    """The format that users call ``name``.

    Raises:
        ValueError: there is none.
    """
    if name not in FORMATS:
        raise ValueError(f"format is {name!r}; allowed are {', '.join(FORMATS)}")
    return FORMATS[name]
