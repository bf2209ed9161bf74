"""The target ``linux:nvkm``.

The real code of nvkm, the part of Linux's nouveau that manages the page tables
of NVIDIA devices, for chips from GF100 to GP100. Around it the harness plays
the device (registers that ask for invalidations, and the memory in which
tables lie) and a client that makes an address space and uses it (see
``native/units/nvkm_device.c``, ``native/units/nvkm_client.c``,
``native/units/nvkm_memories.c`` and ``native/units/nvkm_telling.c``).
"""

import os
from collections.abc import Mapping

from conformance.targets.linux.library import arguments_of
from conformance.targets.linux.target import LinuxTarget
from conformance.targets.linux.toolchain import Progress, silent
from conformance.targets.linux.units import NVKM
from reference.operations import Operation, Result
from reference.trace import Trace

SOURCE = "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmm.c"
"""The driver that is judged, from the tree's top."""

CHIPS = ("gf100", "gk104", "gm200", "gp100")
"""The generations, each with its place as its number in the native half."""

RAW_CALL = "nvkm_vmm_raw_get"
"""A function that only trees with the raw interface have."""

_REQUIRED: None = None

_KINDS: tuple[tuple[str, int | None], ...] = (("kind", 0), ("ro", 0), ("priv", 0), ("vol", 0))

_PAGES: tuple[tuple[str, int | None], ...] = (
    ("shift", _REQUIRED),
    ("addr", _REQUIRED),
    ("size", _REQUIRED),
)

_OPERATIONS: Mapping[str, tuple[tuple[str, int | None], ...]] = {
    "create": (
        ("chip", CHIPS.index("gp100")),
        ("big", 16),
        ("managed", 0),
        ("start", 0),
        ("size", 0),
        ("raw", 0),
        ("replay", 0),
        ("fail_at", 0),
    ),
    "memory": (("target", _REQUIRED), ("size", _REQUIRED), ("page", 12), ("scattered", 0)),
    "drop": (("memory", _REQUIRED),),
    "get": (
        ("getref", 0),
        ("mapref", 1),
        ("sparse", 0),
        ("shift", 0),
        ("align", 0),
        ("size", _REQUIRED),
        ("fail_at", 0),
    ),
    "put": (("vma", _REQUIRED),),
    "map": (("vma", _REQUIRED), ("memory", _REQUIRED), ("offset", 0), *_KINDS, ("fail_at", 0)),
    "map_part": (
        ("vma", _REQUIRED),
        ("first", _REQUIRED),
        ("size", _REQUIRED),
        ("memory", _REQUIRED),
        ("offset", 0),
        *_KINDS,
        ("fail_at", 0),
    ),
    "unmap": (("vma", _REQUIRED), ("first", 0)),
    "pfn_map": (*_PAGES, ("pattern", _REQUIRED), ("fail_at", 0)),
    "pfn_unmap": (("addr", _REQUIRED), ("size", _REQUIRED)),
    "raw_get": (*_PAGES, ("fail_at", 0)),
    "raw_put": _PAGES,
    "raw_map": (*_PAGES, ("memory", _REQUIRED), ("offset", 0), *_KINDS, ("fail_at", 0)),
    "raw_unmap": (*_PAGES, ("sparse", 0)),
    "raw_sparse": (("addr", _REQUIRED), ("size", _REQUIRED), ("ref", _REQUIRED), ("fail_at", 0)),
    "join": (),
    "part": (),
    "boot": (("fail_at", 0),),
    "replay": (),
    "stick": (("polls", _REQUIRED),),
    "destroy": (),
}
"""Each operation's arguments, with the values that they have if they are left out.

The place of an operation is its number in the native half.
"""

_NUMBERS: Mapping[str, int] = {name: number for number, name in enumerate(_OPERATIONS)}

_ALWAYS = ("memory", "drop", "stick")
"""Operations that need no address space."""


class LinuxNvkm(LinuxTarget):
    """Linux's nvkm as a target of system ``nvidia``.

    One target at a time can be used in a process: each ``reset`` takes the library over.

    ``name``, ``version``, ``traits``, ``places``: see the target protocol. A tree without the
    raw interface (before 6.6) has ``raw`` restricted to 0.
    """

    def __init__(
        self, kernel: str | os.PathLike[str] | None = None, progress: Progress = silent
    ) -> None:
        """Find the tree, build what is not built yet, and load it: see ``LinuxTarget``."""
        super().__init__("linux:nvkm", SOURCE, NVKM, "mmu_nvkm_call", kernel, progress)
        if RAW_CALL not in self.places:
            self.traits = {"raw": (0,)}
        self.reset()

    def perform(self, operation: Operation, trace: Trace) -> Result:
        """Carry out one operation and append its events to ``trace``.

        Operations and arguments are those of system ``nvidia``; addresses may be signed or
        unsigned. The driver is asked through the methods that it has for clients, so its own
        checks are part of it. What a client could not even say is refused before it is asked:
        an area or memory that does not exist (``-ENOENT``), a page size that is no shift or a
        chip that has no such large pages (``-EINVAL``), more than 16384 pages in one
        ``pfn_map`` or the 65537th area (``-E2BIG``), a ``boot`` of more than 1 GiB or a second
        one (``-EINVAL``), a ``join`` of what is joined (``-EBUSY``), a ``part`` of what is not
        (``-EINVAL``).
        The raw interface of a tree that has none gives ``-EOPNOTSUPP``.

        Areas are numbered as they come: by ``create``, for what the client manages itself, and
        by ``get``. Parts of them are named by the area and the first byte in it.

        With ``replay`` an address space of gp100 has its faults replayed when the client asks for
        it, by the operation ``replay``.

        After ``stick`` the device says so many times (-1: from then on) that no invalidation is
        done. Of answers that are all the same only the first 16 are told.

        Raises:
            ValueError: an unknown operation, a missing argument, an operation on an address
                space that does not exist, or a second ``create``.
            HarnessError: another target has taken the library over since the last ``reset``.
            MissingFunctionError: the driver called something that the harness does not have.
        """
        self.library.check_owner(self, self.name)
        name = operation.name
        values = _numbered(operation, arguments_of(operation, _OPERATIONS))
        if self._exists == (name == "create") and name not in _ALWAYS:
            allowed = "what is allowed is destroy" if self._exists else "allowed is create"
            raise ValueError(
                f"operation is {name!r} {'with' if self._exists else 'without'} an address space; "
                f"{allowed}"
            )
        return self._carry_out(operation, _NUMBERS[name], values, trace)


def _numbered(operation: Operation, values: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """``values`` with the chip as a number."""
    if operation.name != "create" or not isinstance(values[0], str):
        return values
    if values[0] not in CHIPS:
        raise ValueError(f"chip is {values[0]!r}; allowed are {', '.join(CHIPS)}")
    return (CHIPS.index(values[0]), *values[1:])
