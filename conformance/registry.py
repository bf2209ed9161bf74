"""Targets by the name that they have on the command line, and the systems that each speaks."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from conformance.discovery import DRIVERS, reference_target
from conformance.targets.protocol import Target, TargetUnavailable

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TargetKind:
    """One kind of target: how its name looks, what it is, and the systems that it can speak."""

    pattern: str
    title: str
    systems: tuple[str, ...]


KINDS: tuple[TargetKind, ...] = (
    TargetKind("reference", "our own drivers, which do what is right", tuple(DRIVERS)),
    TargetKind(
        "mutant:ID[+ID...]",
        "a reference driver with seeded bugs (mmu-conformance list mutants)",
        tuple(DRIVERS),
    ),
    TargetKind(
        "linux:io-pgtable-arm",
        "Linux's io-pgtable-arm.c, built from a kernel tree (--kernel)",
        ("pagetable",),
    ),
    TargetKind(
        "linux:io-pgtable-dart",
        "Linux's io-pgtable-dart.c, built from a kernel tree (--kernel)",
        ("pagetable",),
    ),
    TargetKind(
        "linux:gpuvm",
        "Linux's drm_gpuvm.c, built from a kernel tree (--kernel)",
        ("gpuvm",),
    ),
    TargetKind(
        "linux:panthor",
        "Linux's panthor_mmu.c with drm_gpuvm.c and drm_mm.c, built from a kernel tree (--kernel)",
        ("mali",),
    ),
    TargetKind(
        "linux:nvkm",
        "Linux's nvkm vmm.c and uvmm.c with the back ends of four chips, built from a kernel tree "
        "(--kernel)",
        ("nvidia",),
    ),
    TargetKind(
        "linux:drm-mm",
        "Linux's drm_mm.c, built from a kernel tree (--kernel)",
        ("va-alloc",),
    ),
    TargetKind(
        "python:MODULE:ATTRIBUTE",
        "your own: a callable that gives a Target (see conformance.targets.protocol)",
        tuple(DRIVERS),
    ),
)
"""What can stand behind ``--target``."""


def systems_of(name: str) -> tuple[str, ...]:
    """The systems that the target called ``name`` can be run on.

    For ``python:`` targets these are all: only their makers know which it speaks.

    Raises:
        ValueError: there is no such target.
    """
    kind, _, rest = name.partition(":")
    if kind == "mutant" and rest:
        from conformance.mutants.catalogue import catalogue_of, mutant_by_id

        systems = {catalogue_of(mutant_by_id(one)).system: None for one in rest.split("+")}
        if len(systems) > 1:
            raise ValueError(
                f"target is {name!r}, mutants of {', '.join(systems)}; "
                "allowed are mutants of one system"
            )
        return tuple(systems)
    for one in KINDS:
        if one.pattern == name or (kind == "python" and one.pattern.startswith("python:")):
            return one.systems
    raise _unknown(name)


def default_systems(name: str) -> tuple[str, ...]:
    """The systems of a run of ``name`` that names none: all it can, of a ``python:`` the first.

    Raises:
        ValueError: there is no such target.
    """
    systems = systems_of(name)
    return systems[:1] if name.startswith("python:") else systems


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
            f"{', '.join(one.pattern for one in KINDS if system in one.systems)}"
        )
    kind, _, rest = name.partition(":")
    if name == "reference":
        return reference_target(system or systems[0])
    if kind == "mutant":
        from conformance.mutants.catalogue import mutant_by_id
        from conformance.mutants.target import mutant_target

        return mutant_target([mutant_by_id(one) for one in rest.split("+")])
    if name == "linux:gpuvm":
        from conformance.systems.gpuvm.linux_target import LinuxGpuvm

        return LinuxGpuvm(kernel, progress)
    if name == "linux:panthor":
        from conformance.systems.mali.linux_target import LinuxPanthor

        return LinuxPanthor(kernel, progress)
    if name == "linux:nvkm":
        from conformance.systems.nvidia.linux_target import LinuxNvkm

        return LinuxNvkm(kernel, progress)
    if name == "linux:drm-mm":
        from conformance.systems.va_alloc.linux_target import LinuxDrmMm

        return LinuxDrmMm(kernel, progress)
    if kind == "linux":
        from conformance.systems.pagetable.linux_target import LinuxIoPgtable

        return LinuxIoPgtable(rest, kernel, progress)
    if kind == "python" and rest.count(":") == 1:
        return _python_target(rest)
    raise _unknown(name)


def _unknown(name: str) -> ValueError:
    return ValueError(f"target is {name!r}; allowed are {', '.join(one.pattern for one in KINDS)}")


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
    "KINDS", "TargetKind", "TargetUnavailable", "default_systems", "make_target", "systems_of",
]  # fmt: skip
