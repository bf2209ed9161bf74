"""What a machine and a kernel tree have for the targets of Linux's code, in words.

Nothing of the tree is changed. What the compiler has to decide is decided by a build of one
object, which is kept like any other.
"""

from collections.abc import Iterator

from conformance.discovery import SYSTEMS
from conformance.list_and_decode import lacking
from conformance.targets.kind import TargetKind
from conformance.targets.linux import probes
from conformance.targets.linux.build import answers_of
from conformance.targets.linux.errors import (
    PACKAGES,
    BuildError,
    KernelTreeError,
    TargetUnavailable,
    install_command,
)
from conformance.targets.linux.toolchain import Progress, check_host
from conformance.targets.linux.tree import KernelTree, find_tree
from conformance.targets.linux.units import Unit, source_of


def examine(kernel: str | None, progress: Progress) -> tuple[list[str], bool]:
    """Lines about this machine and the tree ``kernel`` (None: the one that is found), and whether
    every target of Linux's code can be built from it.
    """
    lines = [f"machine: {_machine()}", f"to install on Debian: {install_command(PACKAGES)}"]
    try:
        tree = find_tree(kernel, progress)
    except (KernelTreeError, TargetUnavailable) as error:
        return [*lines, f"kernel tree: none: {error}"], False
    lines += [f"kernel tree: {tree.description}", f"read from: {tree.path}"]
    told, decided = _probes(tree, progress)
    units = [line for kind in _kinds() for line in _unit(kind, tree)]
    good = decided and not any(line.startswith("  missing: ") for line in units)
    return [*lines, "", *units, "", *told], good


def _machine() -> str:
    try:
        check_host()
    except TargetUnavailable as error:
        return str(error)
    return "has all that the build needs"


def _kinds() -> Iterator[TargetKind]:
    for system in SYSTEMS.values():
        yield from (kind for kind in system.targets if kind.unit is not None)


def _unit(kind: TargetKind, tree: KernelTree) -> Iterator[str]:
    """What a target would be built of, and what is missing for that."""
    unit = kind.unit
    assert unit is not None
    newer = [name for name in unit.newer if (tree.path / source_of(name)).is_file()]
    objects = [*unit.objects, *newer]
    yield f"{kind.name}, judged is {kind.source}"
    yield f"  built of: {', '.join(source_of(name) for name in objects)}"
    yield f"  with: {', '.join((*unit.glue, *unit.watched))}; options {', '.join(unit.options)}"
    yield f"  hooks: {'; '.join(_hooks(unit))}"
    absent = [name for name in unit.sources if not (tree.path / name).is_file()]
    refused = lacking(kind, tree)
    if absent or refused:
        yield f"  missing: {', '.join(absent) or refused}"


def _hooks(unit: Unit) -> Iterator[str]:
    for name, hooks in unit.seen.items():
        yield f"{name} {', '.join(hook.replace('|', ' or ') for hook in hooks)}"


def _probes(tree: KernelTree, progress: Progress) -> tuple[list[str], bool]:
    """Each probe with its answer; and whether all could be decided."""
    unit = next(kind.unit for kind in _kinds() if kind.unit is not None)
    try:
        answers = answers_of(tree, unit, progress)
    except (BuildError, TargetUnavailable) as error:
        return [f"probes: {error}"], False
    words = {True: "yes", False: "no", None: "-"}
    lines = ["what the tree has (-: not what it is about):"]
    for probe in probes.PROBES:
        lines.append(f"  {words[answers[probe.name]]:<4}{probe.name}: {probe.sentence}")
    return lines, True
