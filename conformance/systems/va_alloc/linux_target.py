"""The target ``linux:drm-mm``.

The real drm_mm, from which the kernel's graphics drivers get ranges of addresses. Around it the
harness keeps the nodes that were given out (see ``native/units/drm_mm.c``).
"""

import os
from collections.abc import Mapping

from conformance.targets.linux.library import arguments_of
from conformance.targets.linux.target import LinuxTarget
from conformance.targets.linux.toolchain import Progress, silent
from conformance.targets.linux.units import DRM_MM
from reference.operations import Operation, Result
from reference.trace import Trace

SOURCE = "drivers/gpu/drm/drm_mm.c"
"""The driver that is judged, from the tree's top."""

_REQUIRED: None = None
_ALL = -1

_OPERATIONS: Mapping[str, tuple[tuple[str, int | None], ...]] = {
    "create": (("start", 0), ("size", 1 << 18)),
    "alloc": (("size", _REQUIRED), ("align", 0), ("mode", 0), ("first", 0), ("last", _ALL)),
    "reserve": (("va", _REQUIRED), ("size", _REQUIRED)),
    "free": (("node", _REQUIRED),),
    "find": (("first", 0), ("last", _ALL)),
    "destroy": (),
}
"""Each operation's arguments, with the values that they have if they are left out.

The place of an operation is its number in the native half.
"""

_NUMBERS: Mapping[str, int] = {name: number for number, name in enumerate(_OPERATIONS)}

MODES: Mapping[int | str, int] = {"best": 0, "low": 1, "high": 2}
"""What the modes are called in ``enum drm_mm_insert_mode``."""


class LinuxDrmMm(LinuxTarget):
    """Linux's drm_mm as a target of system ``va-alloc``.

    One target at a time can be used in a process: each ``reset`` takes the library over.

    ``name``, ``version``, ``traits``, ``places``: see the target protocol. Nothing about
    the configuration is restricted, so there are no traits.
    """

    def __init__(
        self, kernel: str | os.PathLike[str] | None = None, progress: Progress = silent
    ) -> None:
        """Find the tree, build what is not built yet, and load it: see ``LinuxTarget``."""
        super().__init__("linux:drm-mm", SOURCE, DRM_MM, "mmu_drm_mm_call", kernel, progress)
        self.reset()

    def perform(self, operation: Operation, trace: Trace) -> Result:
        """Carry out one operation and append its events to ``trace``.

        Operations, arguments and what is told after each are those of system ``va-alloc``.
        Addresses and sizes may be signed or unsigned; a mode may be its name or its number.
        A node that does not exist is refused before the driver is asked (``-EINVAL``).

        Raises:
            ValueError: an unknown operation or mode, a missing argument, or an operation on an
                allocator that does not exist.
            HarnessError: another target has taken the library over since the last ``reset``.
            MissingFunctionError: the driver called something that the harness does not have.
        """
        self.library.check_owner(self, self.name)
        name = operation.name
        values = arguments_of(operation, _OPERATIONS)
        if self._exists == (name == "create"):
            allowed = "there is only one" if self._exists else "allowed is create"
            raise ValueError(
                f"operation is {name!r} {'with' if self._exists else 'without'} an allocator; "
                f"{allowed}"
            )
        if name == "alloc":
            mode = values[2]
            if mode not in MODES and mode not in MODES.values():
                raise ValueError(f"mode is {mode!r}; allowed are {', '.join(map(str, MODES))}")
            values = (*values[:2], MODES.get(mode, mode), *values[3:])
        return self._carry_out(operation, _NUMBERS[name], values, trace)
