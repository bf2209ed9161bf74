"""The target ``linux:gpuvm``.

The real drm_gpuvm, which keeps a GPU driver's mappings and splits them where a
new request cuts through. Around it the harness plays a simple driver, which has
buffers and says what it would put in page tables (see ``native/units/gpuvm.c``).
"""

import os
from collections.abc import Mapping

from conformance.targets.linux.library import arguments_of
from conformance.targets.linux.target import LinuxTarget
from conformance.targets.linux.toolchain import Progress, silent
from conformance.targets.linux.units import GPUVM
from reference.operations import Operation, Result
from reference.trace import Trace

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


class LinuxGpuvm(LinuxTarget):
    """Linux's drm_gpuvm as a target of system ``gpuvm``.

    One target at a time can be used in a process: each ``reset`` takes the library over.

    ``name``, ``version``, ``traits``, ``places``: see the target protocol. Nothing about
    the configuration is restricted, so there are no traits.
    """

    def __init__(
        self, kernel: str | os.PathLike[str] | None = None, progress: Progress = silent
    ) -> None:
        """Find the tree, build what is not built yet, and load it: see ``LinuxTarget``."""
        super().__init__("linux:gpuvm", SOURCE, GPUVM, "mmu_gpuvm_call", kernel, progress)
        self.reset()

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
        return self._carry_out(operation, _NUMBERS[name], values, trace)
