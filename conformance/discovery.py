"""The systems that are installed: found by entry points, known by name, loaded when one is used."""

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from importlib.metadata import EntryPoint, entry_points

from conformance.system import System

GROUP = "mmu_conformance.systems"
"""The group of entry points, of any distribution: NAME = "MODULE:SYSTEM"."""


@lru_cache(maxsize=1)
def _found() -> dict[str, EntryPoint]:
    """The entry point of each system, in the order of names.

    Raises:
        ValueError: two distributions have a system of one name.
    """
    found: dict[str, EntryPoint] = {}
    for one in sorted(entry_points(group=GROUP), key=lambda one: (one.name, one.value)):
        before = found.setdefault(one.name, one)
        if before.value != one.value:
            raise ValueError(
                f"system {one.name} is {before.value} and {one.value}, of two distributions; "
                "allowed is one"
            )
    return found


@cache
def _loaded(name: str) -> System:
    point = _found()[name]
    system = point.load()
    if not isinstance(system, System) or system.name != name:
        raise ValueError(
            f"system {name} is {point.value}, which is {system!r}; allowed is a "
            f"conformance.system.System of that name"
        )
    return system


class _Systems(Mapping[str, System]):
    """Every system by name, in the order of names. A name is known without loading anything."""

    def __getitem__(self, name: str) -> System:
        if name not in _found():
            raise KeyError(name)
        return _loaded(name)

    def __contains__(self, name: object) -> bool:
        return name in _found()

    def __iter__(self) -> Iterator[str]:
        return iter(_found())

    def __len__(self) -> int:
        return len(_found())


SYSTEMS: Mapping[str, System] = _Systems()
"""Every system, by name."""


def system_by_name(name: str) -> System:
    """The system called ``name``.

    Raises:
        ValueError: there is none, or what is installed under that name is none.
    """
    if name not in SYSTEMS:
        raise ValueError(f"system is {name!r}; allowed are {', '.join(SYSTEMS)}")
    return SYSTEMS[name]
