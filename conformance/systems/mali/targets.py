"""The targets of system ``mali``: our own driver, and Linux's code.

``reference`` is a Mali driver's MMU code written in Python, which does what is right.
"""

import errno
import os
from pathlib import Path
from typing import Any, ClassVar

from conformance.systems.mali.operations import SPECS
from conformance.targets.linux.target import LinuxTarget
from conformance.targets.linux.toolchain import Progress, silent
from conformance.targets.linux.units import Unit
from conformance.targets.reference import ReferenceTarget
from reference.operations import Operation, Result
from reference.systems.gpuvm import events as gpuvm_events
from reference.systems.mali import driver as mali
from reference.systems.mali import events
from reference.systems.mali.events import SLOT, VM
from reference.systems.mali.promise import UPDATES
from reference.systems.mali.state import NONE
from reference.trace import (
    REFS,
    REFS_BUFFER,
    REFS_PINS,
    REFS_VM,
    REFS_VM_BO,
    Trace,
)

# -- our own driver -----------------------------------------------------------------------------

ACCESS_BUDGET = 1 << 18
"""Accesses to entries that one call may make, besides ``PAGE_BUDGET`` for each table page."""

PAGE_BUDGET = 4096
"""A call reads each entry of a table a few times at most."""

LOOK_BUDGET = 1 << 14
"""Looks at a VMA that one call may take, besides those for each VMA that exists."""

INTERRUPTS = 32
"""How often an operation can raise the interrupt, at most."""

SLOTS = 16
"""The interrupt has bits for so many address spaces."""


class MaliTarget(ReferenceTarget):
    """A driver of a Mali MMU written in Python, by default the reference driver.

    ``made`` is its ``Device``.
    """

    system = "mali"
    specs = SPECS

    def __init__(self, driver: Any = mali, name: str = "reference", version: str = "") -> None:
        super().__init__(driver, name, version)
        # What was told last: counts by (what, number, VM), AS and jobs by VM.
        self._told: dict[tuple[int, int, int], int] = {}
        self._slots: dict[int, tuple[int, int]] = {}

    def reset(self) -> None:
        """Forget the device, whatever state it is in."""
        super().reset()
        self._told.clear()
        self._slots.clear()

    def admit(self, operation: Operation) -> None:
        """Refuse what cannot be asked of the driver.

        Raises:
            ValueError: an unknown operation, an argument that is no number, an operation before
                ``create``, or a second ``create``.
        """
        super().admit(operation)
        name = operation.name
        for arg, value in operation.args.items():
            if not isinstance(value, int):
                raise ValueError(f"operation {name} has no number {arg!r}, but {value!r}")
        if (self.made is None) != (name == "create"):
            allowed = "allowed is create" if self.made is None else "there is only one"
            raise ValueError(f"operation is {name!r}; {allowed}")

    def prepare(self, operation: Operation) -> None:
        """Give a call its budgets, and say which allocation of it fails."""
        if operation.name != "create":
            fail_at = operation.args.get("fail_at", 0)
            self.made.begin(self.trace, fail_at, self._accesses(), LOOK_BUDGET)

    def _accesses(self) -> int:
        return ACCESS_BUDGET + PAGE_BUDGET * len(self.made.pool.pages)

    # -- what the process does ----------------------------------------------------------------

    def do_create(self, va_bits: int, pa_bits: int, slots: int, coherent: int) -> Result:
        """Probe a device."""
        if not 1 <= slots <= SLOTS:
            return Result(-errno.EINVAL)
        self.made = self.driver.Device(va_bits, pa_bits, slots, bool(coherent), self.trace)
        return Result()

    def do_vm(self, user_va: int) -> Result:
        """Make a VM."""
        return Result(*self.made.make_vm(user_va))

    def do_destroy_vm(self, vm: int) -> Result:
        """Give a VM's handle back."""
        return Result(self.made.destroy_vm(vm))

    def do_bo(self, size: int, vm: int, pieces: int, imported: int) -> Result:
        """Make a buffer."""
        return Result(*self.made.make_buffer(size, vm, pieces, imported))

    def do_close(self, bo: int) -> Result:
        """Give a buffer's handle back."""
        return Result(self.made.close_buffer(bo))

    def do_bind(
        self, vm: int, kind: int, va: int, size: int, bo: int, offset: int, flags: int, fail_at: int
    ) -> Result:
        """Map or unmap at once; which allocation fails was said before."""
        return Result(self.made.binds.bind(vm, kind, va, size, bo, offset, flags))

    def do_queue(
        self, vm: int, kind: int, va: int, size: int, bo: int, offset: int, flags: int, fence: int
    ) -> Result:
        """Queue a bind."""
        return Result(*self.made.binds.queue(vm, kind, va, size, bo, offset, flags, fence))

    def do_fence(self) -> Result:
        """Make a fence."""
        return Result(*self.made.binds.make_fence())

    def do_signal(self, fence: int) -> Result:
        """Signal a fence."""
        return Result(self.made.binds.signal_fence(fence))

    def do_run(self, steps: int) -> Result:
        """So many items of deferred work, or all of them; each has its own budget."""
        device = self.made
        done = 0
        while (steps == 0 or done < steps) and device.step():
            done += 1
            device.bus.budget = self.driver.BUS_BUDGET
            device.pool.budget = self._accesses()
        return Result()

    def do_close_file(self) -> Result:
        """The process ends."""
        self.made.close_file()
        return Result()

    # -- what the kernel does besides ---------------------------------------------------------

    def do_active(self, vm: int) -> Result:
        """A job starts to use a VM."""
        return Result(self.made.activate(vm))

    def do_idle(self, vm: int) -> Result:
        """A job has ended."""
        return Result(self.made.idle(vm))

    def do_alloc(self, vm: int, size: int, va: int, bo: int, offset: int) -> Result:
        """Take addresses of the kernel's part."""
        return Result(*self.made.ranges.alloc(vm, size, va, bo, offset))

    def do_free(self, node: int) -> Result:
        """Give them back."""
        return Result(self.made.ranges.free(node))

    def do_pre_reset(self) -> Result:
        """A reset begins."""
        return Result(self.made.pre_reset())

    def do_post_reset(self) -> Result:
        """The device was reset."""
        return Result(self.made.post_reset())

    def do_suspend(self) -> Result:
        """The device goes to sleep."""
        return Result(self.made.suspend())

    def do_resume(self) -> Result:
        """The device wakes up."""
        return Result(self.made.resume())

    def do_unplug(self) -> Result:
        """The device goes for good."""
        return Result(self.made.unplug())

    # -- what the device does of its own ------------------------------------------------------

    def do_fault(self, slot: int, address: int, code: int) -> Result:
        """A fault at an address, with a status."""
        mmu = self.made.bus.mmu
        if not 0 <= slot < len(mmu.spaces) or not mmu.powered:
            return Result(-errno.EINVAL)
        mmu.fault(slot, code & 0xFFFF_FFFF, address & 0xFFFF_FFFF_FFFF_FFFF)
        return Result()

    def do_stick(self, slot: int, polls: int, after: int) -> Result:
        """A command that sticks, after others."""
        mmu = self.made.bus.mmu
        if not 0 <= slot < SLOTS or polls < NONE:
            return Result(-errno.EINVAL)
        if slot < len(mmu.spaces):
            mmu.stick(slot, polls, after & 0xFFFF_FFFF_FFFF_FFFF)
        return Result()

    def _deliver(self) -> None:
        """The interrupt's line stays up as long as a fault is neither cleared nor masked."""
        mmu = self.made.bus.mmu
        for _ in range(INTERRUPTS):
            if not mmu.interrupt() or not self.made.interrupt():
                return

    # -- what is left -------------------------------------------------------------------------

    def tell(self, operation: Operation, result: Result, begin: int) -> None:
        """Counts and slots of what the operation touched, as far as they changed or it named them.

        What it named is told in any case.
        """
        if operation.name == "create":
            return
        self._deliver()
        device, trace = self.made, self.trace
        touched = device.touched
        links: dict[int, list[int]] = {}
        for vm, buffer in touched.links:
            links.setdefault(vm, []).append(buffer)
        for vm in touched.named_vms:
            links.setdefault(vm, []).extend(touched.named_buffers)
        for number in sorted(touched.vms.keys() | touched.named_vms):
            self._tell_vm(number, sorted(set(links.get(number, ()))), trace)
        for number in sorted(touched.buffers | touched.named_buffers):
            buffer = device.buffers.get(number)
            named = number in touched.named_buffers
            count, pins = (0, 0) if buffer is None else (buffer.count, buffer.pins)
            self._tell_count(REFS_BUFFER, number, count, named, trace)
            self._tell_count(REFS_PINS, number, pins, named, trace)

    def _tell_vm(self, number: int, buffers: list[int], trace: Trace) -> None:
        device = self.made
        vm = device.touched.vms.get(number)
        if vm is None:
            return
        named = number in device.touched.named_vms
        self._tell_count(REFS_VM, number, vm.count, named, trace)
        for buffer in buffers:
            link = vm.links.get(buffer)
            count = 0 if link is None else link.count
            wanted = named and buffer in device.touched.named_buffers
            if wanted or self._told.get((REFS_VM_BO, buffer, number), 0) != count:
                if device.told != number:
                    device.told = number
                    trace.emit(VM, number)
                self._tell_count(REFS_VM_BO, buffer, count, wanted, trace, number)
        place = (vm.slot, vm.active)
        if self._slots.get(number, (NONE, 0)) != place:
            self._slots[number] = place
            trace.emit(SLOT, number, *place)

    def _tell_count(
        self, what: int, number: int, count: int, named: bool, trace: Trace, vm: int = 0
    ) -> None:
        key = (what, number, vm)
        if named or self._told.get(key, 0) != count:
            self._told[key] = count
            trace.emit(REFS, what, number, count)


# -- Linux's code -------------------------------------------------------------------------------
#
# The target ``linux:panthor``.
#
# The real MMU code of panthor, Linux's driver for Mali devices, with the page
# tables, the VA manager and the scheduler that it uses. Around it the harness
# plays the device (registers, which fault and get stuck as told, and its
# interrupt) and the process that creates VMs and binds buffers (see
# ``native/panthor_device.c``, ``native/panthor_binds.c`` and
# ``native/panthor_nodes.c``).

SOURCE = "drivers/gpu/drm/panthor/panthor_mmu.c"
"""The driver that is judged, from the tree's top."""

NATIVE = Path(__file__).parent / "native"
"""Our C files, which call it."""

PANTHOR = Unit(
    name="panthor",
    operations=SPECS,
    native=NATIVE,
    events=(gpuvm_events, events),
    objects=(
        # First comes one with the kernel's ordinary flags: our files are compiled with them.
        "lib/rbtree.o",
        "lib/refcount.o",
        "lib/scatterlist.o",
        "lib/xarray.o",
        "kernel/locking/mutex.o",
        "drivers/dma-buf/dma-resv.o",
        "drivers/dma-buf/dma-fence.o",
        "drivers/dma-buf/dma-fence-array.o",
        "drivers/dma-buf/dma-fence-chain.o",
        "drivers/iommu/io-pgtable.o",
        "drivers/iommu/io-pgtable-arm.o",
        "drivers/iommu/io-pgtable-dart.o",
        "drivers/gpu/drm/drm_mm.o",
        "drivers/gpu/drm/drm_vma_manager.o",
        "drivers/gpu/drm/drm_gem.o",
        "drivers/gpu/drm/drm_exec.o",
        "drivers/gpu/drm/drm_gpuvm.o",
        "drivers/gpu/drm/scheduler/sched_main.o",
        "drivers/gpu/drm/scheduler/sched_entity.o",
        "drivers/gpu/drm/scheduler/sched_fence.o",
        "drivers/gpu/drm/panthor/panthor_mmu.o",
    ),
    newer=("drivers/iommu/iommu-pages.o", "drivers/gpu/drm/scheduler/sched_rq.o"),
    glue=("panthor_device.c", "panthor_binds.c", "panthor_nodes.c"),
    watched=(),
    calls=("mmu_panthor_call",),
    options=("64BIT", "BUG", "DRM", "DRM_EXEC", "DRM_GPUVM", "DRM_SCHED", "DRM_PANTHOR"),
    seen={
        "drivers/iommu/io-pgtable-arm.o": ("mmu_access", "mmu_barrier", "warn_slowpath_fmt"),
        "drivers/gpu/drm/drm_gpuvm.o": ("mmu_access", "warn_slowpath_fmt"),
        "drivers/gpu/drm/panthor/panthor_mmu.o": ("mmu_access", "mmu_barrier", "__raw_writel"),
    },
    wrapped=(
        "drm_gpuva_map",
        "drm_gpuva_remap",
        "drm_gpuva_unmap",
        "drm_gpuvm_sm_map",
        "drm_gpuvm_sm_unmap",
        "drm_sched_entity_destroy",
        "queue_work_on",
    ),
)
"""panthor's code for the MMU of Mali devices, with its page tables, its VA manager and the
scheduler of its binds.
"""


class LinuxPanthor(LinuxTarget):
    """Linux's panthor_mmu as a target of system ``mali``: see ``LinuxTarget``.

    Numbers of VMs, buffers, fences and nodes may be signed or unsigned. What does not exist is
    refused (``-EINVAL``), as is ``idle`` without ``active``, a ``suspend`` of what is suspended,
    and anything else that no caller of the driver does. There can be 128 VMs, 256 buffers and
    1024 fences (``-ENOSPC``). One operation may lead to 32768 events, so that binds of up to
    8 GB are possible, or 64 MB in small pages; a bigger one looks like a loop. It may lead to 16
    more for each mapping that there is, so that VMs with 100,000 mappings can be destroyed.

    Two arguments are for finer steps: ``run`` with ``steps`` other than 0 does so many items of
    deferred work; ``stick`` lets ``after`` commands pass before one sticks.

    ``alloc`` and ``free`` are what the driver's other parts do for memory that they share with
    the device: ``alloc`` gives a range of the VM's kernel part, anywhere (``va`` all ones) or at
    ``va``, and maps a buffer there unless there is none. What such a part never asks for, as
    bytes that the buffer does not have, is refused before the driver is asked. Whether the
    driver could unmap what ``free`` gives back is not said: nobody asks it. ``destroy_vm`` and
    ``close_file`` free the nodes of the VMs first.

    A command's end is polled until it is there, but of answers that are all the same only the
    first 16 are told. What a VM's ``refs`` counts includes one reference for each job that keeps
    it active. The table pages that a bind reserves are told as allocated, and those that it did
    not need as freed.
    """

    thing: ClassVar[str] = "a device"

    def __init__(
        self, kernel: str | os.PathLike[str] | None = None, progress: Progress = silent
    ) -> None:
        """Find the tree, build what is not built yet, and load it: see ``LinuxTarget``."""
        super().__init__("linux:panthor", SOURCE, PANTHOR, "mmu_panthor_call", kernel, progress)
        if "PANTHOR_LOCKED_UPDATES" in self.features:
            self.traits = {UPDATES: ("locked",)}
        self.reset()
