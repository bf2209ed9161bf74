"""The target ``linux:gpuvm``.

The real drm_gpuvm, which keeps a GPU driver's mappings and splits them where a
new request cuts through. Around it the harness plays a simple driver, which has
buffers and says what it would put in page tables (see ``native/units/gpuvm.c``).
"""

import os
import struct
from collections.abc import Mapping, Sequence

from conformance.targets.linux.build import build
from conformance.targets.linux.library import Library, arguments_of, held_words, load
from conformance.targets.linux.toolchain import Progress, silent
from conformance.targets.linux.tree import find_tree
from conformance.targets.linux.units import GPUVM
from conformance.targets.protocol import Result
from reference.trace import Trace
from reports.operations import Operation

SOURCE = "drivers/gpu/drm/drm_gpuvm.c"
"""The driver that is judged, from the tree's top."""

_REQUIRED: None = None

_OPERATIONS: Mapping[str, tuple[tuple[str, int | None], ...]] = {
    "create": (("start", 0), ("size", 1 << 48), ("kernel_start", 0), ("kernel_size", 0)),
    "bo": (("size", _REQUIRED), ("private", _REQUIRED)),
    "close": (("bo", _REQUIRED),),
    "map": (
        ("iova", _REQUIRED),
        ("size", _REQUIRED),
        ("bo", _REQUIRED),
        ("offset", _REQUIRED),
        ("fail_at", 0),
    ),
    "unmap": (("iova", _REQUIRED), ("size", _REQUIRED), ("fail_at", 0)),
    "evict": (("bo", _REQUIRED), ("state", _REQUIRED)),
    "validate": (),
    "find": (("iova", _REQUIRED), ("size", _REQUIRED)),
    "destroy": (),
}
"""Each operation's arguments, with the values that they have if they are left out.

The place of an operation is its number in the native half.
"""

_NUMBERS: Mapping[str, int] = {name: number for number, name in enumerate(_OPERATIONS)}


class LinuxGpuvm:
    """Linux's drm_gpuvm as a target of system ``gpuvm``.

    One target at a time can be used in a process: each ``reset`` takes the library over.

    ``name``, ``version``, ``traits``, ``places``: see the target protocol. Nothing about
    the configuration is restricted, so there are no traits.
    """

    def __init__(
        self, kernel: str | os.PathLike[str] | None = None, progress: Progress = silent
    ) -> None:
        """Find the tree, build what is not built yet, and load it.

        Args:
            kernel: a kernel tree or tarball; None for the one that ``find_tree`` finds.
            progress: is told what is done when it takes long.

        Raises:
            TargetUnavailable: no tree, no tools, or another kind of host.
            KernelTreeError: the tree that was named cannot be used, or is older than
                drm_gpuvm.
            BuildError: the build failed.
            HarnessError: the library cannot be loaded.
        """
        tree = find_tree(kernel, progress)
        tree.require((SOURCE, *GPUVM.sources), "linux:gpuvm")
        self.library: Library = load(build(tree, GPUVM, progress))
        self._call = self.library.call("mmu_gpuvm_call")
        self._exists = False
        self.name: str = "linux:gpuvm"
        self.version: str = f"{tree.description}, {SOURCE}"
        self.places: Sequence[str] = self.library.places
        self.traits: Mapping[str, Sequence[str | int]] = {}
        self.reset()

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

        Operations, arguments and the order of events are those of system ``gpuvm``.
        Addresses may be signed or unsigned. A buffer that does not exist, or whose handle
        was closed, is refused by the driver (``-EINVAL``), as is the 1025th one
        (``-ENOSPC``).

        Raises:
            ValueError: an unknown operation, a missing argument, or an operation on a VM
                that does not exist.
            HarnessError: another target has taken the library over since the last ``reset``.
            MissingFunctionError: the driver called something that the harness does not have.
        """
        self.library.check_owner(self, self.name)
        name = operation.name
        values = arguments_of(operation, _OPERATIONS)
        if self._exists == (name == "create") and name != "close":
            allowed = "what is allowed is destroy" if self._exists else "allowed are create, close"
            raise ValueError(
                f"operation is {name!r} {'with' if self._exists else 'without'} a VM; {allowed}"
            )
        number = _NUMBERS[name]
        try:
            result, value, finished = self._call(trace, number, values)
        except struct.error:
            result, value, finished = self._call(trace, number, held_words(operation, values))
        if name == "create":
            self._exists = finished and result == 0
        elif name == "destroy":
            self._exists = False
        return Result(result, value, finished)
