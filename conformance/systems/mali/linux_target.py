"""The target ``linux:panthor``.

The real MMU code of panthor, Linux's driver for Mali devices, with the page
tables, the VA manager and the scheduler that it uses. Around it the harness
plays the device (registers, which fault and get stuck as told, and its
interrupt) and the process that creates VMs and binds buffers (see
``native/units/panthor_device.c``, ``native/units/panthor_binds.c`` and
``native/units/panthor_nodes.c``).
"""

import os
from collections.abc import Mapping

from conformance.targets.linux.library import arguments_of
from conformance.targets.linux.target import LinuxTarget
from conformance.targets.linux.toolchain import Progress, silent
from conformance.targets.linux.units import PANTHOR
from reference.operations import Operation, Result
from reference.trace import Trace

SOURCE = "drivers/gpu/drm/panthor/panthor_mmu.c"
"""The driver that is judged, from the tree's top."""

NONE = -1
"""No buffer, no fence, or no VM to which a buffer belongs."""

AUTO = -1
"""The address of a node that is to be wherever there is room."""

_REQUIRED: None = None

_BIND: tuple[tuple[str, int | None], ...] = (
    ("vm", _REQUIRED),
    ("kind", _REQUIRED),
    ("va", _REQUIRED),
    ("size", _REQUIRED),
    ("bo", NONE),
    ("offset", 0),
    ("flags", 0),
)

_OPERATIONS: Mapping[str, tuple[tuple[str, int | None], ...]] = {
    "create": (("va_bits", 48), ("pa_bits", 40), ("slots", 4), ("coherent", 1)),
    "vm": (("user_va", 0),),
    "destroy_vm": (("vm", _REQUIRED),),
    "bo": (("size", _REQUIRED), ("vm", NONE), ("pieces", 0), ("imported", 0)),
    "close": (("bo", _REQUIRED),),
    "bind": (*_BIND, ("fail_at", 0)),
    "queue": (*_BIND, ("fence", NONE)),
    "fence": (),
    "signal": (("fence", _REQUIRED),),
    "run": (("steps", 0),),
    "active": (("vm", _REQUIRED),),
    "idle": (("vm", _REQUIRED),),
    "fault": (("slot", _REQUIRED), ("address", _REQUIRED), ("code", _REQUIRED)),
    "stick": (("slot", _REQUIRED), ("polls", _REQUIRED), ("after", 0)),
    "pre_reset": (),
    "post_reset": (),
    "suspend": (),
    "resume": (),
    "unplug": (),
    "close_file": (),
    "alloc": (
        ("vm", _REQUIRED),
        ("size", _REQUIRED),
        ("va", AUTO),
        ("bo", NONE),
        ("offset", 0),
    ),
    "free": (("node", _REQUIRED),),
}
"""Each operation's arguments, with the values that they have if they are left out.

The place of an operation is its number in the native half.
"""

_NUMBERS: Mapping[str, int] = {name: number for number, name in enumerate(_OPERATIONS)}


class LinuxPanthor(LinuxTarget):
    """Linux's panthor_mmu as a target of system ``mali``.

    One target at a time can be used in a process: each ``reset`` takes the library over.

    ``name``, ``version``, ``traits``, ``places``: see the target protocol. Nothing about
    the configuration is restricted, so there are no traits.
    """

    def __init__(
        self, kernel: str | os.PathLike[str] | None = None, progress: Progress = silent
    ) -> None:
        """Find the tree, build what is not built yet, and load it: see ``LinuxTarget``."""
        super().__init__("linux:panthor", SOURCE, PANTHOR, "mmu_panthor_call", kernel, progress)
        self.reset()

    def perform(self, operation: Operation, trace: Trace) -> Result:
        """Carry out one operation and append its events to ``trace``.

        Operations and arguments are those of system ``mali``. Numbers of VMs, buffers, fences
        and nodes may be signed or unsigned, as may addresses; ``NONE`` is none. What does not
        exist is refused (``-EINVAL``), as is ``idle`` without ``active``, a ``suspend`` of
        what is suspended, and anything else that no caller of the driver does. There can be
        128 VMs, 256 buffers and 1024 fences (``-ENOSPC``). One operation may lead to 32768
        events, so that binds of up to 8 GB are possible, or 64 MB in small pages; a bigger
        one looks like a loop. It may lead to 16 more for each mapping that there is, so that
        VMs with 100,000 mappings can be destroyed.

        Two arguments are for finer steps: ``run`` with ``steps`` other than 0 does so many
        items of deferred work; ``stick`` lets ``after`` commands pass before one sticks.

        ``alloc`` and ``free`` are what the driver's other parts do for memory that they share
        with the device: ``alloc`` gives a range of the VM's kernel part, anywhere (``AUTO``) or
        at ``va``, and maps a buffer there unless that is ``NONE``. What such a part never asks
        for, as bytes that the buffer does not have, is refused before the driver is asked.
        Whether the driver could unmap what ``free`` gives back is not said: nobody asks it.
        ``destroy_vm`` and ``close_file`` free the nodes of the VMs first.

        A command's end is polled until it is there, but of answers that are all the same
        only the first 16 are told. What a VM's ``refs`` counts includes one reference for
        each job that keeps it active. The table pages that a bind reserves are told as
        allocated, and those that it did not need as freed.

        Raises:
            ValueError: an unknown operation, a missing argument, or an operation before
                ``create``, or a second ``create``.
            HarnessError: another target has taken the library over since the last ``reset``.
            MissingFunctionError: the driver called something that the harness does not have.
        """
        self.library.check_owner(self, self.name)
        name = operation.name
        values = arguments_of(operation, _OPERATIONS)
        if self._exists == (name == "create"):
            allowed = "there is only one" if self._exists else "allowed is create"
            raise ValueError(
                f"operation is {name!r} {'with' if self._exists else 'without'} a device; {allowed}"
            )
        return self._carry_out(operation, _NUMBERS[name], values, trace)
