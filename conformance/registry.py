"""Targets by the name that they have on the command line, and the systems that each speaks."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from conformance.discovery import SYSTEMS, system_by_name
from conformance.mutants.catalogue import Catalogue
from conformance.mutants.mutant import Mutant, load
from conformance.mutants.target import MutantTarget
from conformance.targets.kind import Progress, TargetKind
from conformance.targets.protocol import Target, TargetUnavailable

# -- mutants ----------------------------------------------------------------------------------


@cache
def catalogues() -> Mapping[str, Catalogue]:
    """The catalogue of mutants of each system that has one, by the system's name."""
    return {
        name: system.load_mutants()
        for name, system in SYSTEMS.items()
        if system.load_mutants is not None
    }


def all_mutants() -> tuple[Mutant, ...]:
    """All mutants."""
    return tuple(one for catalogue in catalogues().values() for one in catalogue.mutants)


def mutant_by_id(mutant_id: str) -> Mutant:
    """The mutant called ``mutant_id``.

    Raises:
        ValueError: there is none.
    """
    for one in all_mutants():
        if one.id == mutant_id:
            return one
    allowed = ", ".join(one.id for one in all_mutants())
    raise ValueError(f"mutant is {mutant_id!r}; allowed are {allowed}")


def catalogue_of(mutant: Mutant) -> Catalogue:
    """The catalogue that a mutant stands in.

    Raises:
        ValueError: in none.
    """
    for catalogue in catalogues().values():
        if mutant in catalogue.mutants:
            return catalogue
    raise ValueError(f"mutant is {mutant.id!r}, which is in no catalogue")


def mutant_target(mutants: Sequence[Mutant], system: str = "") -> MutantTarget:
    """The target with the edits of all ``mutants`` in one driver.

    ``system``: whose driver; "" for that of the first one's catalogue.

    Raises:
        ValueError: the edits do not fit the driver, or each other.
    """
    catalogue = catalogues()[system] if system else catalogue_of(mutants[0])
    driver = load(catalogue.driver, mutants)
    target = reference_target(catalogue.system, driver.module)
    return MutantTarget(target, driver, "+".join(one.id for one in mutants))


# -- targets ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of target: how its name looks, what it is, and the systems that it can speak."""

    pattern: str
    title: str
    systems: tuple[str, ...]


def kinds() -> tuple[Kind, ...]:
    """What can stand behind ``--target``."""
    every = tuple(SYSTEMS)
    return (
        Kind("reference", "our own drivers, which do what is right", every),
        Kind(
            "mutant:ID[+ID...]",
            "a reference driver with seeded bugs (mmu-conformance list mutants)",
            tuple(catalogues()),
        ),
        *(Kind(one.name, one.title, systems) for one, systems in _named().values()),
        Kind(
            "python:MODULE:ATTRIBUTE",
            "your own: a callable that gives a Target (see conformance.targets.protocol)",
            every,
        ),
    )


def _named() -> dict[str, tuple[TargetKind, tuple[str, ...]]]:
    """The targets that systems name, with the systems that each speaks."""
    found: dict[str, tuple[TargetKind, tuple[str, ...]]] = {}
    for name, system in SYSTEMS.items():
        for one in system.targets:
            found[one.name] = one, (*found.get(one.name, (one, ()))[1], name)
    return found


def reference_target(system: str, driver: Any = None) -> Target:
    """The reference target of ``system``, on ``driver`` if one is given.

    Raises:
        ValueError: there is no such system.
    """
    make = system_by_name(system).reference
    return make() if driver is None else make(driver)


def systems_of(name: str) -> tuple[str, ...]:
    """The systems that the target called ``name`` can be run on.

    For ``python:`` targets these are all: only their makers know which it speaks.

    Raises:
        ValueError: there is no such target.
    """
    kind, _, rest = name.partition(":")
    if kind == "mutant" and rest:
        systems = {catalogue_of(mutant_by_id(one)).system: None for one in rest.split("+")}
        if len(systems) > 1:
            raise ValueError(
                f"target is {name!r}, mutants of {', '.join(systems)}; "
                "allowed are mutants of one system"
            )
        return tuple(systems)
    if name == "reference" or kind == "python":
        return tuple(SYSTEMS)
    if name in _named():
        return _named()[name][1]
    raise _unknown(name)


def default_systems(name: str) -> tuple[str, ...]:
    """The systems of a run of ``name`` that names none: all it can.

    Of a ``python:`` target the one that it says it speaks, by an attribute ``system``.

    Raises:
        ValueError: there is no such target, or it does not say.
    """
    systems = systems_of(name)
    if not name.startswith("python:"):
        return systems
    try:
        target = make_target(name)
    except TargetUnavailable:
        # Nothing will be judged, of whatever system.
        return systems[:1]
    spoken = getattr(target, "system", "")
    target.close()
    if spoken not in systems:
        raise ValueError(
            f"system is not given, and target {name!r} does not say which it speaks (its attribute "
            f"system is {spoken!r}); allowed are {', '.join(systems)}"
        )
    return (spoken,)


def make_target(
    name: str,
    kernel: str | None = None,
    progress: Progress = lambda text: None,
    system: str = "",
) -> Target:
    """The target called ``name``; built, where it has to be, with ``progress`` told of it.

    ``system``: which of its systems it is to speak; "" for the first.

    Raises:
        ValueError: there is no such target, it does not speak the system, or ``kernel`` is no
            usable tree.
        TargetUnavailable: it cannot be had on this machine.
    """
    systems = systems_of(name)
    if system and system not in systems:
        raise ValueError(
            f"target is {name!r}, which does not speak {system}; allowed for {system} are "
            f"{', '.join(one.pattern for one in kinds() if system in one.systems)}"
        )
    kind, _, rest = name.partition(":")
    if name == "reference":
        return reference_target(system or systems[0])
    if kind == "mutant":
        return mutant_target([mutant_by_id(one) for one in rest.split("+")])
    if name in _named():
        return _named()[name][0].make(kernel, progress)
    if kind == "python" and rest.count(":") == 1:
        return _python_target(rest)
    raise _unknown(name)


def _unknown(name: str) -> ValueError:
    return ValueError(
        f"target is {name!r}; allowed are {', '.join(one.pattern for one in kinds())}"
    )


def _python_target(rest: str) -> Target:
    module_name, _, attribute = rest.partition(":")
    try:
        module = importlib.import_module(module_name)
        factory = getattr(module, attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"target is 'python:{rest}', which cannot be imported ({error}); allowed are a module "
            "on the import path and a callable in it"
        ) from None
    if not callable(factory):
        raise ValueError(
            f"target is 'python:{rest}', which is a {type(factory).__name__}; allowed are "
            "callables that give a target"
        )
    target = factory()
    missing = [
        member
        for member in ("name", "version", "traits", "places", "reset", "perform", "close")
        if not hasattr(target, member)
    ]
    if missing:
        raise ValueError(
            f"target is 'python:{rest}', which has no {', '.join(missing)}; allowed are objects "
            "with everything in conformance.targets.protocol.Target"
        )
    return cast(Target, target)


__all__ = [
    "Kind", "TargetUnavailable", "all_mutants", "catalogue_of", "catalogues", "default_systems",
    "kinds", "make_target", "mutant_by_id", "mutant_target", "reference_target", "systems_of",
]  # fmt: skip
