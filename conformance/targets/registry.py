"""Targets by the name that they have on the command line."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from conformance.targets.protocol import Target, TargetUnavailable

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TargetKind:
    """One kind of target: how its name looks, what it is, and the systems that it speaks."""

    pattern: str
    title: str
    systems: tuple[str, ...]


KINDS: tuple[TargetKind, ...] = (
    TargetKind("reference", "our own driver, which does what is right", ("pagetable",)),
    TargetKind(
        "mutant:ID[+ID...]",
        "the reference driver with seeded bugs (ids in the docs)",
        ("pagetable",),
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
        "python:MODULE:ATTRIBUTE",
        "your own: a callable that gives a Target (see conformance.targets.protocol)",
        ("pagetable",),
    ),
)
"""What can stand behind ``--target``."""


def make_target(
    name: str, kernel: str | None = None, progress: Progress = lambda text: None
) -> Target:
    """The target called ``name``; built, where it has to be, with ``progress`` told of it.

    Raises:
        ValueError: there is no such target, or ``kernel`` is no usable tree.
        TargetUnavailable: it cannot be had on this machine.
    """
    kind, _, rest = name.partition(":")
    if name == "reference":
        from conformance.targets.reference import PageTableTarget

        return PageTableTarget()
    if kind == "mutant" and rest:
        from conformance.targets.mutant import mutant_by_id, mutant_target

        return mutant_target([mutant_by_id(one) for one in rest.split("+")])
    if kind == "linux" and rest in ("io-pgtable-arm", "io-pgtable-dart"):
        from conformance.targets.linux.io_pgtable import LinuxIoPgtable

        return LinuxIoPgtable(rest, kernel, progress)
    if name == "linux:gpuvm":
        from conformance.targets.linux.gpuvm import LinuxGpuvm

        return LinuxGpuvm(kernel, progress)
    if kind == "python" and rest.count(":") == 1:
        return _python_target(rest)
    allowed = ", ".join(one.pattern for one in KINDS)
    raise ValueError(f"target is {name!r}; allowed are {allowed}")


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


__all__ = ["KINDS", "TargetKind", "TargetUnavailable", "make_target"]
