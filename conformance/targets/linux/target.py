"""What all targets of Linux's code have in common: a library that one of them uses at a time."""

import os
import struct
from collections.abc import Mapping, Sequence

from conformance.targets.linux.build import build
from conformance.targets.linux.library import Library, held_words, load
from conformance.targets.linux.toolchain import Progress
from conformance.targets.linux.tree import find_tree
from conformance.targets.linux.units import Unit
from reference.operations import Operation, Result
from reference.trace import Trace


class LinuxTarget:
    """A unit of Linux's code. One target at a time can be used in a process.

    ``name``, ``version``, ``traits``, ``places``: see the target protocol. Nothing is restricted
    unless a subclass says so, so there are no traits.
    """

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
            HarnessError: the library cannot be loaded.
        """
        tree = find_tree(kernel, progress)
        tree.require((source, *unit.sources), name)
        self.library: Library = load(build(tree, unit, progress))
        self._call = self.library.call(call)
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

    def _carry_out(
        self, operation: Operation, number: int, values: tuple[int | str, ...], trace: Trace
    ) -> Result:
        """Have the native half do operation ``number``; ``values``: its arguments in order.

        Keeps count of whether what ``create`` makes exists.
        """
        try:
            result, value, finished = self._call(trace, number, values)
        except struct.error:
            result, value, finished = self._call(trace, number, held_words(operation, values))
        if operation.name == "create":
            self._exists = finished and result == 0
        elif operation.name == "destroy":
            self._exists = False
        return Result(result, value, finished)
