"""What a mutant is, and how a driver is loaded with its edits."""

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from types import ModuleType


@dataclass(frozen=True, slots=True)
class Mutant:
    """One seeded bug.

    ``id``: its name, as in ``mutant:ID``; ``rule``: the one rule that has to catch it;
    ``story``: what is wrong, in one sentence; ``known``: the known bug that it is after, "" if
    none. ``edits``: (text, text instead) pairs; each text stands exactly once in the source.
    """

    id: str
    rule: str
    story: str
    edits: tuple[tuple[str, str], ...]
    known: str = ""


def driver_source(package: str, file: str) -> str:
    """The source of a driver module, as it was installed."""
    return resources.files(package).joinpath(file).read_text(encoding="utf-8")


def edited(source: str, mutants: Sequence[Mutant]) -> str:
    """The source with the edits of all ``mutants``.

    Raises:
        ValueError: a text to edit does not stand exactly once.
    """
    for mutant in mutants:
        for old, new in mutant.edits:
            count = source.count(old)
            if count != 1:
                raise ValueError(
                    f"edit of mutant {mutant.id} stands {count} times in the driver, "
                    f"allowed is once: {old!r}"
                )
            source = source.replace(old, new)
    return source


def load(package: str, file: str, mutants: Sequence[Mutant]) -> ModuleType:
    """The driver with these edits, interpreted, as a module of a private name."""
    source = edited(driver_source(package, file), mutants)
    name = "_mmu_mutant_" + "_".join(one.id.replace("-", "_") for one in mutants)
    spec = importlib.util.spec_from_loader(name, loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    exec(compile(source, f"<{name}>", "exec"), module.__dict__)
    return module
