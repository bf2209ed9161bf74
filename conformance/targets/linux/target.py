"""What all targets of Linux's code have in common: a library that one of them uses at a time."""

import os
import struct
from collections.abc import Mapping, Sequence
from typing import ClassVar

from conformance.targets.linux import probes
from conformance.targets.linux.build import build
from conformance.targets.linux.errors import KernelTreeError
from conformance.targets.linux.library import Library, load
from conformance.targets.linux.operations_header import choice_numbers
from conformance.targets.linux.toolchain import Progress
from conformance.targets.linux.tree import find_tree
from conformance.targets.linux.units import Unit
from reference.operations import Operation, Result, Specs
from reference.trace import Trace
from reference.words import to_signed


class LinuxTarget:
    """A unit of Linux's code. One target at a time can be used in a process.

    Operations, their arguments and what is left out of them are those of the unit's table.
    Words may be signed or unsigned, and a choice may be its name or its number. A subclass says
    what ``create`` makes, ``thing``, and which operations need none, ``always``.

    ``name``, ``version``, ``traits``, ``places``: see the target protocol. Nothing is restricted
    unless a subclass says so, so there are no traits. ``features``: what its tree has, by the
    names of ``probes``.
    """

    thing: ClassVar[str] = "one"
    always: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        name: str,
        source: str,
        unit: Unit,
        call: str,
        kernel: str | os.PathLike[str] | None,
        progress: Progress,
    ) -> None:
        """Find the tree, build what is not built yet, and load it.

        Args:
            name: the target's.
            source: the file that is judged, from the tree's top.
            unit: what is built.
            call: the function of the library that carries operations out.
            kernel: a kernel tree or tarball; None for the one that ``find_tree`` finds.
            progress: is told what is done when it takes long.

        Raises:
            TargetUnavailable: no tree, no tools, or another kind of host.
            KernelTreeError: the tree that was named cannot be used, or lacks a source.
            BuildError: the build failed.
            HarnessError: the library cannot be loaded, or was built from another table.
        """
        tree = find_tree(kernel, progress)
        tree.require((source, *unit.sources), name)
        refused = probes.refusal(tree.path, unit.refuses)
        if refused:
            raise KernelTreeError(f"{tree.description} cannot be judged as {name}: {refused}")
        library = build(tree, unit, progress)
        self.library: Library = load(library)
        self.features: frozenset[str] = probes.read_features(library.parents[2] / probes.HEADER)
        self.library.check_operations(unit.operations, unit.name)
        self._call = self.library.call(call)
        self._packer = Packer(unit.operations)
        self._exists = False
        self.name: str = name
        self.version: str = f"{tree.description}, {source}"
        self.places: Sequence[str] = self.library.places
        self.traits: Mapping[str, Sequence[str | int]] = {}

    def reset(self) -> None:
        """Go back to the state before any operation, and take the library over."""
        self.library.reset(self)
        self._exists = False

    def close(self) -> None:
        """Let go of the library; ``reset`` takes it over again."""
        if self.library.owner is self:
            self.library.close()

    def perform(self, operation: Operation, trace: Trace) -> Result:
        """Carry out one operation and append its events to ``trace``.

        Raises:
            ValueError: an unknown operation or choice, a missing argument, or an operation
                without what ``create`` makes, or a second ``create``.
            HarnessError: another target has taken the library over since the last ``reset``.
            MissingFunctionError: the driver called something that the harness does not have.
        """
        self.library.check_owner(self, self.name)
        number, values = self._packer.packed(operation)
        name = operation.name
        if self._exists == (name == "create") and name not in self.always:
            raise self._refusal(name)
        try:
            result, value, finished = self._call(trace, number, values)
        except struct.error:
            result, value, finished = self._call(trace, number, _held_words(operation, values))
        if name == "create":
            self._exists = finished and result == 0
        elif name == "destroy":
            self._exists = False
        return Result(result, value, finished)

    def _refusal(self, name: str) -> ValueError:
        """Why the operation ``name`` cannot be asked for now."""
        if self._exists:
            return ValueError(f"operation is {name!r} with {self.thing}; there is only one")
        allowed = f"allowed {'are' if self.always else 'is'} {', '.join(('create', *self.always))}"
        return ValueError(f"operation is {name!r} without {self.thing}; {allowed}")


class Packer:
    """Makes the words of guarded calls from operations, as a table has them."""

    def __init__(self, specs: Specs) -> None:
        """Prepare for the operations of ``specs``; raises ValueError as ``choice_numbers``."""
        self._calls = {
            spec.name: (
                number,
                tuple((arg.name, arg.default, choice_numbers(arg)) for arg in spec.args),
            )
            for number, spec in enumerate(specs.values())
        }

    def packed(self, operation: Operation) -> tuple[int, tuple[int | str, ...]]:
        """The number of ``operation``, and its arguments in order, defaults filled in.

        Words are signed or unsigned as they are given.

        Raises:
            ValueError: there is no such operation or choice, or an argument is missing.
        """
        call = self._calls.get(operation.name)
        if call is None:
            raise ValueError(
                f"operation is {operation.name!r}; allowed are {', '.join(self._calls)}"
            )
        number, arguments = call
        values: list[int | str] = []
        for name, default, choices in arguments:
            value = operation.args.get(name, default)
            if value is None:
                raise ValueError(f"operation {operation.name} has no argument {name!r}")
            values.append(_number_of(name, value, choices) if choices else value)
        return number, tuple(values)


def _number_of(name: str, value: int | str, choices: Mapping[int | str, int]) -> int:
    """The number of the choice ``value``, which may be that already, for the argument ``name``."""
    number = choices.get(value)
    if number is not None:
        return number
    if isinstance(value, int) and 0 <= value < len(choices):
        return value
    raise ValueError(f"{name} is {value!r}; allowed are {', '.join(map(str, choices))}")


def _held_words(operation: Operation, values: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """``values``, arguments for a guarded call, as held words, for those who gave them unsigned.

    Raises:
        ValueError: one is no 64-bit number.
    """
    held: list[int | str] = []
    for value in values:
        if not isinstance(value, int):
            raise ValueError(
                f"operation {operation.name} has {value!r} where a number is needed: "
                f"{operation.args}"
            )
        held.append(to_signed(value))
    return tuple(held)
