"""What a system's catalogue of mutants is."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from conformance.mutants.mutant import Mutant


@dataclass(frozen=True)
class Catalogue:
    """The mutants of one system.

    ``driver``: the module that they are edits of. ``not_here``: known bugs of such
    code that have no mutant at this layer, and why. ``examples``: so many of a part of a run
    are tried whatever is found.
    """

    system: str
    mutants: tuple[Mutant, ...]
    driver: str
    not_here: Mapping[str, str] = field(default_factory=dict)
    examples: int = 200


def catalogue_in(module: str) -> Callable[[], Catalogue]:
    """Gives the CATALOGUE of a module, which is imported only when it is asked for."""

    def load() -> Catalogue:
        found = importlib.import_module(module).CATALOGUE
        assert isinstance(found, Catalogue)
        return found

    return load
