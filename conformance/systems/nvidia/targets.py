"""The targets of system ``nvidia``: our own driver, and Linux's code.

``reference`` is an NVIDIA driver's MMU code written in Python, which does what is right.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from conformance.systems.nvidia.operations import SPECS
from conformance.targets.linux.target import LinuxTarget
from conformance.targets.linux.toolchain import Progress, silent
from conformance.targets.linux.units import Unit
from conformance.targets.reference import ReferenceTarget
from reference.operations import Operation, Result
from reference.systems.gpuvm import events as gpuvm_events
from reference.systems.gpuvm.events import BACKING_SHIFT, VMA_ADD, VMA_REMOVE
from reference.systems.nvidia import driver as nvidia
from reference.systems.nvidia import events
from reference.systems.nvidia.events import (
    AREA_MAPPED,
    AREA_NO_PAGE,
    AREA_PART,
    PT_REFS,
    PT_STATE,
    STATE_SMALL,
    STATE_SPARSE,
    TABLE_SPARSE,
)
from reference.systems.nvidia.promise import ALWAYS, CHIPS
from reference.trace import REFS, REFS_BUFFER, Trace
from reference.words import to_signed, to_unsigned

# -- our own driver -----------------------------------------------------------------------------

ACCESS_BUDGET = 1 << 25
"""Accesses to entries that one call may make: more than any needs."""

COUNT_BITS = 6
"""Bits of a state that count small pages; what does not fit stands above the byte."""


class _Told:
    """What was told last of a table of the driver."""

    def __init__(self) -> None:
        self.counts: tuple[int, int, bool] | None = None
        self.states: dict[int, int] = {}
        self.below: dict[int, _Told] = {}


class NvidiaTarget(ReferenceTarget):
    """A driver of NVIDIA's page tables written in Python, by default the reference driver.

    ``driver`` is a module with the class ``Device`` of ``reference.systems.nvidia.driver``; a
    changed copy of it is how wrong drivers are tried. ``made`` is such a device, from the start.

    Operations, values and events are those of ``linux:nvkm``. States of entries with more than
    63 references to small pages have the rest of the number from bit 8 on. ``chips``: which to be
    judged on.
    """

    system = "nvidia"
    specs = SPECS

    def __init__(
        self,
        driver: Any = nvidia,
        name: str = "reference",
        version: str = "",
        chips: Sequence[str] = CHIPS,
    ) -> None:
        super().__init__(driver, name, version)
        self.traits = {"chip": tuple(chips)}
        self.reset()

    def reset(self) -> None:
        """Go back to the state before any operation, whatever the driver's state is."""
        self.made = self.driver.Device(Trace())
        # What was told last: areas, tables from the root on, and references of memories.
        self._vmas: list[tuple[int, int, int]] = []
        self._root: _Told | None = None
        self._levels: list[int] = []
        self._references: dict[int, int] = {}

    def close(self) -> None:
        """Nothing is held."""
        self.reset()

    def admit(self, operation: Operation) -> None:
        """Refuse what cannot be asked of the driver.

        Raises:
            ValueError: an unknown operation or chip, an operation on an address space that does
                not exist, or a second ``create``.
        """
        super().admit(operation)
        name, exists = operation.name, self.made.space is not None
        if exists and name == "create":
            raise ValueError(
                "operation is 'create' with an address space; what is allowed is destroy"
            )
        if not exists and name not in ALWAYS:
            allowed = ", ".join(ALWAYS)
            raise ValueError(
                f"operation is {name!r} without an address space; allowed are {allowed}"
            )
        chip = operation.args.get("chip", CHIPS[-1])
        if chip not in CHIPS:
            raise ValueError(f"chip is {chip!r}; allowed are {', '.join(CHIPS)}")

    def prepare(self, operation: Operation) -> None:
        """Tell the device where its events go, what fails, and how many accesses it has."""
        self.made.begin(self.trace, operation.args.get("fail_at", 0), ACCESS_BUDGET)

    # -- the operations: what fails in them is prepared -----------------------------------------

    def do_create(
        self, chip: str, big: int, managed: int, start: int, size: int, raw: int, replay: int,
        fail_at: int,
    ) -> Result:  # fmt: skip
        """Make an address space."""
        window = (to_unsigned(start), to_unsigned(size))
        return Result(self.made.create(CHIPS.index(chip), big, managed, *window, raw, replay))

    def do_memory(self, target: int, size: int, page: int, scattered: int) -> Result:
        """Make memory; its number."""
        return Result(*self.made.make_memory(target, to_unsigned(size), page, scattered))

    def do_drop(self, memory: int) -> Result:
        """Give a memory up."""
        return Result(self.made.drop(memory))

    def do_get(
        self, getref: int, mapref: int, sparse: int, shift: int, align: int, size: int, fail_at: int
    ) -> Result:
        """Hand an area out; its address."""
        return Result(*self.made.get(getref, mapref, sparse, shift, align, to_unsigned(size)))

    def do_put(self, vma: int) -> Result:
        """Give an area back."""
        return Result(self.made.put(vma))

    def do_map(
        self, vma: int, memory: int, offset: int, kind: int, ro: int, priv: int, vol: int,
        fail_at: int,
    ) -> Result:  # fmt: skip
        """Map a memory in a whole area."""
        return Result(self.made.map(vma, memory, to_unsigned(offset), kind, ro, priv, vol))

    def do_map_part(
        self, vma: int, first: int, size: int, memory: int, offset: int, kind: int, ro: int,
        priv: int, vol: int, fail_at: int,
    ) -> Result:  # fmt: skip
        """Map a memory in a part of an area."""
        part = (to_unsigned(first), to_unsigned(size))
        start = to_unsigned(offset)
        return Result(self.made.map_part(vma, *part, memory, start, kind, ro, priv, vol))

    def do_unmap(self, vma: int, first: int) -> Result:
        """Unmap the part of an area that begins at a byte of it."""
        return Result(self.made.unmap(vma, to_unsigned(first)))

    def do_pfn_map(self, shift: int, addr: int, size: int, pattern: int, fail_at: int) -> Result:
        """Map pages one by one; how many were not done."""
        words = (to_unsigned(addr), to_unsigned(size), to_unsigned(pattern))
        return Result(*self.made.pfn_map(shift, *words))

    def do_pfn_unmap(self, addr: int, size: int) -> Result:
        """Unmap pages that were mapped one by one."""
        return Result(self.made.pfn_unmap(to_unsigned(addr), to_unsigned(size)))

    def do_raw_get(self, shift: int, addr: int, size: int, fail_at: int) -> Result:
        """Take references to the pages of a range."""
        return Result(self.made.raw_get(shift, to_unsigned(addr), to_unsigned(size)))

    def do_raw_put(self, shift: int, addr: int, size: int) -> Result:
        """Give references to the pages of a range back."""
        return Result(self.made.raw_put(shift, to_unsigned(addr), to_unsigned(size)))

    def do_raw_map(
        self, shift: int, addr: int, size: int, memory: int, offset: int, kind: int, ro: int,
        priv: int, vol: int, fail_at: int,
    ) -> Result:  # fmt: skip
        """Map a memory where references were taken."""
        pages = (shift, to_unsigned(addr), to_unsigned(size))
        start = to_unsigned(offset)
        return Result(self.made.raw_map(*pages, memory, start, kind, ro, priv, vol))

    def do_raw_unmap(self, shift: int, addr: int, size: int, sparse: int) -> Result:
        """Unmap, and leave it sparse or not."""
        return Result(self.made.raw_unmap(shift, to_unsigned(addr), to_unsigned(size), sparse))

    def do_raw_sparse(self, addr: int, size: int, ref: int, fail_at: int) -> Result:
        """Make a range sparse, or no longer."""
        return Result(self.made.raw_sparse(to_unsigned(addr), to_unsigned(size), ref))

    def do_join(self) -> Result:
        """Write the root to an instance block; its address."""
        return Result(*self.made.join())

    def do_part(self) -> Result:
        """Take it out of the instance block."""
        return Result(self.made.part())

    def do_boot(self, fail_at: int) -> Result:
        """Make all tables."""
        return Result(self.made.boot())

    def do_replay(self) -> Result:
        """Have faults replayed."""
        return Result(self.made.replay())

    def do_stick(self, polls: int) -> Result:
        """Let the device be slow, or stuck."""
        self.made.stick(polls)
        return Result()

    def do_destroy(self) -> Result:
        """The address space goes."""
        self.made.destroy()
        return Result()

    # -- what has changed -----------------------------------------------------------------------

    def tell(self, operation: Operation, result: Result, begin: int) -> None:
        """How areas, tables and references of memories differ from what was told last."""
        trace = self.trace
        self._tell_vmas(trace)
        space = self.made.space
        if space is not None:
            root = space.tables.root
            if self._root is None:
                self._root = _Told()
                self._levels = _shifts(space.format)
            self._compare(root, self._root, trace)
        elif self._root is not None:
            self._end(len(self._levels) - 1, 0, self._root, trace)
            self._root = None
        for memory in self.made.memories:
            if self._references.get(memory.number, 0) != memory.references:
                self._references[memory.number] = memory.references
                if memory.references:
                    trace.emit(REFS, REFS_BUFFER, memory.number, memory.references)

    def _tell_vmas(self, trace: Trace) -> None:
        space = self.made.space
        now = [] if space is None else [_vma(vma) for vma in space.areas.vmas if vma.used]
        known = set(self._vmas)
        for vma in self._vmas:
            if vma not in now:
                trace.emit(VMA_REMOVE, *vma)
        for vma in now:
            if vma not in known:
                trace.emit(VMA_ADD, *vma)
        self._vmas = now

    def _compare(self, node: Any, told: _Told, trace: Trace) -> None:
        """Tell how a table and those below it differ from what was told of them."""
        level = node.level
        counts = (node.refs[0], node.refs[1], node.sparse)
        if counts != told.counts:
            told.counts = counts
            table = node.first | level | (TABLE_SPARSE if node.sparse else 0)
            trace.emit(PT_REFS, table, counts[0], counts[1])
        states = _states(node)
        shift = self._levels[level]
        for first, last, state in _runs(told.states, states):
            start = node.first + (first << shift)
            trace.emit(PT_STATE, start | level, node.first + ((last + 1) << shift) - 1, state)
        told.states = states
        for index in sorted(told.below):
            if index not in node.children:
                self._end(level - 1, node.first + (index << shift), told.below.pop(index), trace)
        for index in sorted(node.children):
            self._compare(node.children[index], told.below.setdefault(index, _Told()), trace)

    def _end(self, level: int, first: int, told: _Told, trace: Trace) -> None:
        """A table has gone, with all below it."""
        for index in sorted(told.below):
            below = first + (index << self._levels[level])
            self._end(level - 1, below, told.below[index], trace)
        trace.emit(PT_REFS, first | level, 0, 0)


def _vma(vma: Any) -> tuple[int, int, int]:
    """The words of a vma event."""
    page = AREA_NO_PAGE if vma.refd == nvidia.NO_PAGE else vma.refd
    backing = vma.number << BACKING_SHIFT | page
    backing |= (AREA_MAPPED if vma.mapped else 0) | (AREA_PART if vma.part else 0)
    return vma.address, vma.end - 1, to_signed(backing)


def _shifts(fmt: Any) -> list[int]:
    """By level from the leaves up: log2 of the bytes that an entry covers."""
    return [int(fmt.tables[number].shift) for number in range(fmt.large, -1, -1)]


def _states(node: Any) -> dict[int, int]:
    """The states of a table's entries, those that are 0 left out."""
    states = dict.fromkeys(node.marked, STATE_SPARSE)
    small_decides = STATE_SMALL if node.pa[0] >= 0 else 0
    for index, count in node.small.items():
        low = count & ((1 << COUNT_BITS) - 1)
        state = low | (count >> COUNT_BITS) << 8 | small_decides
        states[index] = states.get(index, 0) | state
    return states


def _runs(old: dict[int, int], new: dict[int, int]) -> Iterable[tuple[int, int, int]]:
    """(first, last, state) of entries beside each other that have changed to the same state."""
    changed = sorted(at for at in old.keys() | new.keys() if old.get(at, 0) != new.get(at, 0))
    at = 0
    while at < len(changed):
        first = last = changed[at]
        state = new.get(first, 0)
        at += 1
        while at < len(changed) and changed[at] == last + 1 and new.get(last + 1, 0) == state:
            last += 1
            at += 1
        yield first, last, state


def gf100() -> NvidiaTarget:
    """The target, for GF100 alone: ``python:conformance.systems.nvidia.targets:gf100``."""
    return NvidiaTarget(chips=("gf100",))


def gk104() -> NvidiaTarget:
    """The target, for GK104 alone."""
    return NvidiaTarget(chips=("gk104",))


def gm200() -> NvidiaTarget:
    """The target, for GM200 alone."""
    return NvidiaTarget(chips=("gm200",))


def gp100() -> NvidiaTarget:
    """The target, for GP100 alone."""
    return NvidiaTarget(chips=("gp100",))


# -- Linux's code -------------------------------------------------------------------------------
#
# The target ``linux:nvkm``.
#
# The real code of nvkm, the part of Linux's nouveau that manages the page tables
# of NVIDIA devices, for chips from GF100 to GP100. Around it the harness plays
# the device (registers that ask for invalidations, and the memory in which
# tables lie) and a client that makes an address space and uses it (see
# ``native/nvkm_device.c``, ``native/nvkm_client.c``,
# ``native/nvkm_memories.c`` and ``native/nvkm_telling.c``).

SOURCE = "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmm.c"
"""The driver that is judged, from the tree's top."""

RAW_CALL = "nvkm_vmm_raw_get"
"""A function that only trees with the raw interface have."""

NATIVE = Path(__file__).parent / "native"
"""Our C files, which call it."""

NVKM = Unit(
    name="nvkm",
    operations=SPECS,
    native=NATIVE,
    events=(gpuvm_events, events),
    objects=(
        # First comes one with the flags of the driver's folder: our files are compiled with them.
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/base.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/gf100.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/gk104.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/gm200.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/gp100.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/uvmm.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmm.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmmgf100.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmmgk104.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmmgm200.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmmgp100.o",
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmmnv04.o",
        "drivers/gpu/drm/nouveau/nvkm/core/memory.o",
        "drivers/gpu/drm/nouveau/nvkm/core/mm.o",
        "drivers/gpu/drm/nouveau/nvkm/core/object.o",
        "lib/rbtree.o",
        "lib/refcount.o",
        "lib/scatterlist.o",
        "kernel/locking/mutex.o",
    ),
    newer=(),
    glue=("nvkm_device.c", "nvkm_memories.c", "nvkm_client.c", "nvkm_telling.c"),
    watched=(),
    calls=("mmu_nvkm_call",),
    options=("64BIT", "BUG", "DRM", "DRM_NOUVEAU"),
    seen={
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmm.o": (
            "__tsan_read8",
            "__tsan_write8",
            "warn_slowpath_fmt",
        ),
        "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmmgf100.o": (
            "ioread32|__raw_readl",
            "iowrite32|__raw_writel",
        ),
        "lib/refcount.o": ("warn_slowpath_fmt",),
    },
    wrapped=("nvkm_mmu_ptc_get", "nvkm_mmu_ptc_put"),
)
"""nvkm, the part of nouveau that manages page tables of NVIDIA devices, from Fermi to Pascal."""


class LinuxNvkm(LinuxTarget):
    """Linux's nvkm as a target of system ``nvidia``: see ``LinuxTarget``.

    A tree without the raw interface (before 6.6) has ``raw`` restricted to 0, and gives
    ``-EOPNOTSUPP`` for it.

    The driver is asked through the methods that it has for clients, so its own checks are part
    of it. What a client could not even say is refused before it is asked: an area or memory that
    does not exist (``-ENOENT``), a page size that is no shift or a chip that has no such large
    pages (``-EINVAL``), more than 16384 pages in one ``pfn_map`` or the 65537th area
    (``-E2BIG``), a ``boot`` of more than 1 GiB or a second one (``-EINVAL``), a ``join`` of what
    is joined (``-EBUSY``), a ``part`` of what is not (``-EINVAL``).

    Areas are numbered as they come: by ``create``, for what the client manages itself, and by
    ``get``. Parts of them are named by the area and the first byte in it.

    With ``replay`` an address space of gp100 has its faults replayed when the client asks for
    it, by the operation ``replay``.

    After ``stick`` the device says so many times (-1: from then on) that no invalidation is
    done. Of answers that are all the same only the first 16 are told.
    """

    thing: ClassVar[str] = "an address space"
    always: ClassVar[tuple[str, ...]] = ("memory", "drop", "stick")

    def __init__(
        self, kernel: str | os.PathLike[str] | None = None, progress: Progress = silent
    ) -> None:
        """Find the tree, build what is not built yet, and load it: see ``LinuxTarget``."""
        super().__init__("linux:nvkm", SOURCE, NVKM, "mmu_nvkm_call", kernel, progress)
        if RAW_CALL not in self.places:
            self.traits = {"raw": (0,)}
        self.reset()
