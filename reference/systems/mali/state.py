"""A Mali device and the VMs of a process on it, as they have to be, and as events say they are.

The three views of system ``mali``, side by side: *promise*, what the process was told is mapped
where, and who holds which reference; *driver*, the VMAs and counts that its events tell;
*hardware*, registers (``MaliMmu``), and the tables of all VMs with what may be cached of them
(``Machine``: a space and a context for each VM).

A VM's tables are walked while its root may be in use in an address space (AS). When the AS lets
go of it, what it has cached of it stays there: ``MaliSlot.left`` remembers whose it is until a
flush of everything has completed. An AS loads only while jobs run in it, so a flush of one that
nobody uses leaves nothing behind, although the root is still in its registers.

Source: formats.md B.1 to B.7; semantics.md "The maximal TLB", "When a duty falls due".
"""

from typing import Final

from mypy_extensions import i64

from reference.formats import format_by_name
from reference.formats.access import CACHE, NOEXEC, READ, WRITE
from reference.formats.format import Geometry
from reference.hardware.context import Context, Space
from reference.hardware.machine import Machine
from reference.hardware.observation import FREED_CACHED, Observation
from reference.hardware.tlb import TOP_VA, Fact
from reference.physical_layout import BufferLayout, BufferPages
from reference.systems.gpuvm.events import VMA_ADD, VMA_REMOVE
from reference.systems.gpuvm.mappings import VaPromise
from reference.systems.gpuvm.state import mapping_of
from reference.systems.mali.device import (
    ACTIVE,
    COMMAND,
    NO_SLOT,
    STATUS,
    UPDATE,
    Invalidation,
    MaliMmu,
    MmuObservation,
    place_at,
)
from reference.systems.mali.events import FENCE, SLOT, VM
from reference.trace import (
    ALLOC,
    ALLOC_FAILED,
    BARRIER,
    CLEAN,
    FILL,
    FREE,
    MESSAGE,
    MESSAGE_POWER_OFF,
    MESSAGE_POWER_ON,
    MESSAGE_RESET,
    MESSAGE_WAS_RESET,
    REFS,
    REFS_BUFFER,
    REFS_PINS,
    REFS_VM,
    REG_READ,
    REG_WRITE,
    SCOPE_LEAF,
    SCOPE_WALK,
    STORE,
    WARN,
    WORDS,
)
from reference.translations import Translations

FORMAT: Final = "lpae-s1"
"""What the MMUs of Mali GPUs with a command stream frontend walk (formats.md B.2)."""

PAGE_MASK: Final = 0xFFF

EVERYTHING: Final = SCOPE_LEAF | SCOPE_WALK
"""What a flush removes in its range."""

MAP: Final = 0
UNMAP: Final = 1
SYNC_ONLY: Final = 2
"""What a bind does (formats.md B.6)."""

READONLY: Final = 1
NOEXECUTE: Final = 2
UNCACHED: Final = 4
MAP_FLAGS: Final = 7
"""Flags of a bind (formats.md B.6)."""

NONE: Final = -1
"""No VM, no buffer, no fence, no AS."""
GONE: Final = -2
"""In place of the address of a root that was freed."""

SMALLEST_VA: Final = 1 << 28
"""Bytes of the smallest kernel part (formats.md B.5)."""
TASK_SIZE: Final = 1 << 47
"""Bytes that a process can address itself."""


def user_part(va_bits: int, asked: int) -> int:
    """Bytes of a VM's user part, where the kernel's starts; -1: it cannot be made.

    ``asked``: what the process asks for, 0 to leave it to the driver. Source: formats.md B.5.
    """
    full = 1 << va_bits
    if full < SMALLEST_VA:
        return -1
    want = asked
    if want == 0 and full > TASK_SIZE:
        want = TASK_SIZE
    elif want == 0:
        want = full >> 1 if full > 1 << 32 else full - SMALLEST_VA
    if want > full - SMALLEST_VA:
        if asked:
            return -1
        want = full - SMALLEST_VA
    # The kernel's part is the largest power of two that fits behind it.
    return full - (1 << ((full - want).bit_length() - 1))


def prot_of(flags: int) -> int:
    """What a bind with these flags promises (formats.md B.2)."""
    prot = READ if flags & READONLY else READ | WRITE
    if flags & NOEXECUTE:
        prot |= NOEXEC
    return prot if flags & UNCACHED else prot | CACHE


class MaliBuffer:
    """A buffer of the process; ``vm``: the only one that may map it, or NONE.

    ``imported``: another driver's, which keeps its pages where they are without being asked.
    """

    def __init__(self, size: int, vm: int, pages: BufferPages, imported: bool = False) -> None:
        self.size: int = size
        self.vm: int = vm
        self.pages: BufferPages = pages
        self.imported: bool = imported
        self.open: bool = True


class Bind:
    """Map (or unmap) ``first`` to ``last`` of VM ``vm``: of ``buffer`` from byte ``offset`` on.

    ``fence``: the fence that says when it was done; ``waits_for``: the one that it waits for;
    NONE each for none.
    """

    def __init__(
        self, vm: int, kind: int, first: int, last: int, buffer: int, offset: int, flags: int
    ) -> None:
        self.vm: int = vm
        self.kind: int = kind
        self.first: int = first
        self.last: int = last
        self.buffer: int = buffer
        self.offset: int = offset
        self.flags: int = flags
        self.fence: int = NONE
        self.waits_for: int = NONE


class MaliFence:
    """A fence: of the process, where ``bind`` is None, or of a queued bind."""

    def __init__(self, bind: Bind | None) -> None:
        self.bind: Bind | None = bind
        self.signalled: bool = False
        self.result: int = 0


class MaliNode:
    """Addresses of a VM's kernel part that are in use, with a buffer behind them or none."""

    def __init__(self, vm: int, first: int, last: int, buffer: int) -> None:
        self.vm: int = vm
        self.first: int = first
        self.last: int = last
        self.buffer: int = buffer
        self.open: bool = True


class MaliSlot:
    """What is known of one AS besides its registers.

    ``roots``: VMs whose root it may use now. ``in_use``: whether jobs may run in it. ``quiet``:
    whether everything was flushed since they ran last. ``left``: the VM of which it may have
    something cached, although it has let go of its root; NONE for none.
    """

    def __init__(self) -> None:
        self.roots: set[int] = set()
        self.in_use: bool = False
        self.quiet: bool = True
        self.left: int = NONE


class MaliVm:
    """One VM.

    ``user_end``: the first address of the kernel's part. ``handle``: whether the process has it;
    ``exists``: whether the driver has it; ``usable``: whether it takes queued binds.
    ``active``: jobs that use it; ``slot``: its AS, NONE for none. ``queue``: the fences of binds
    that have not been done. ``promise``: what is mapped; ``pages``: the same, page by page;
    ``held``: the VMAs in the driver's tree; ``vmas``: how many of each buffer; ``muddled``: the
    event at which one was added where another is, or removed that is not there, NONE for none.
    ``busy_until_run``, ``busy_until_reset``: deferred work may hold references.
    ``reported``: it was told that it lives on. ``root``: of its tables, NONE before it is known.
    ``slots``: the AS that may walk it.
    ``view``: its tables; ``context``: what the AS that walk them, whichever they are, have cached.
    """

    def __init__(self, number: int, machine: Machine, user_end: int) -> None:
        self.number: int = number
        self.user_end: int = user_end
        self.view: Space = machine.add_space()
        self.context: Context = machine.add_context(self.view, tag=number, enabled=False)
        self.root: int = NONE
        self.exists: bool = True
        self.handle: bool = True
        self.usable: bool = True
        self.active: int = 0
        self.slot: int = NONE
        self.slots: set[int] = set()
        self.queue: list[int] = []
        self.promise: VaPromise = VaPromise()
        self.pages: Translations = Translations(machine.geometry.format)
        self.held: VaPromise = VaPromise()
        self.vmas: dict[int, int] = {}
        self.mapped: int = 0
        self.linked: int = 0
        self.muddled: int = NONE
        self.busy_until_run: bool = False
        self.busy_until_reset: bool = False
        self.reported: bool = False
        self.nodes: int = 0
        self.touched: bool = False

    def at_rest(self) -> bool:
        """Whether no queued or deferred work may hold references of it."""
        return not self.queue and not self.busy_until_run and not self.busy_until_reset

    def references(self) -> int:
        """What its count has to be, at rest (formats.md B.6)."""
        return (1 if self.handle else 0) + self.active + self.mapped + self.linked + self.nodes


class Stale:
    """An entry for the range of ``bind`` was cached when the duty to flush it fell due."""

    def __init__(self, bind: Bind, event: int, fact: Fact) -> None:
        self.bind: Bind = bind
        self.event: int = event
        self.fact: Fact = fact


class Unflushed:
    """AS ``slot`` may walk from the root of ``vm`` while it has entries of ``former`` cached."""

    def __init__(self, event: int, slot: int, former: int, vm: int) -> None:
        self.event: int = event
        self.slot: int = slot
        self.former: int = former
        self.vm: int = vm


class MaliSeen:
    """What the events of one operation said.

    ``observations``: (VM, what its view observed); ``commands``: what the MMU observed.
    ``stale``, ``unflushed``: see there. ``unseen_updates``: (event, AS, whether it is to walk) of
    tables that were freed while the UPDATE that takes them from an AS was not seen to end.
    ``done``: binds that were carried out. ``fences``: (event, fence, result). ``refs``: (event,
    what, VM or NONE, number, count). ``slots``: (event, VM, AS, jobs). ``changed``: (VM,
    first, last) of VMAs that came or went. ``warned``: event of a warning, ``asked``: at which a
    reset was asked for; -1: none.
    ``registers``, ``flushes``, ``updates``, ``starts``, ``due``: how often a register was used, a
    flush was seen to end, an UPDATE was written, an AS took a root up, a duty to flush fell due.
    """

    def __init__(self) -> None:
        self.observations: list[tuple[int, Observation]] = []
        self.commands: list[MmuObservation] = []
        self.stale: list[Stale] = []
        self.unflushed: list[Unflushed] = []
        self.unseen_updates: list[tuple[int, int, bool]] = []
        self.done: list[Bind] = []
        self.fences: list[tuple[int, int, int]] = []
        self.refs: list[tuple[int, int, int, int, int]] = []
        self.slots: list[tuple[int, int, int, int]] = []
        self.changed: list[tuple[int, int, int]] = []
        self.warned: int = -1
        self.failed_allocations: int = 0
        self.asked: int = -1
        self.lost_registers: bool = False
        self.registers: int = 0
        self.flushes: int = 0
        self.updates: int = 0
        self.starts: int = 0
        self.due: int = 0


class MaliState:
    """A device, the VMs, buffers, fences and nodes of the process that uses it.

    ``va_bits``, ``pa_bits``, ``slots``, ``coherent``: the device's. ``locked_updates``: the driver
    changes and frees tables while the region is locked, and UNLOCK and UPDATE invalidate; it keeps
    pages of buffers in place while a bind is under way, and no longer. ``may_time_out``: a command
    may never end; ``timed_out``: one was seen not to, and until a reset nothing is flushed.
    """

    def __init__(
        self,
        va_bits: int,
        pa_bits: int,
        slots: int,
        coherent: bool,
        locked_updates: bool = False,
    ) -> None:
        self.geometry: Geometry = format_by_name(FORMAT).geometry(va_bits)
        self.locked_updates: bool = locked_updates
        # As a number of any size: what callers ask for may be beyond all native ones.
        self.limit: int = self.geometry.limit
        self.va_bits: int = va_bits
        self.pa_bits: int = pa_bits
        self.coherent: bool = coherent
        self.mmu: MaliMmu = MaliMmu(slots, va_bits, pa_bits, unlock_flushes=locked_updates)
        self.machine: Machine = Machine(self.geometry, coherent)
        self.slots: list[MaliSlot] = [MaliSlot() for _ in range(slots)]
        self.layout: BufferLayout = BufferLayout()
        self.vms: list[MaliVm] = []
        self.buffers: list[MaliBuffer] = []
        self.fences: list[MaliFence] = []
        self.nodes: list[MaliNode] = []
        self.powered: bool = True
        self.resetting: bool = False
        self.reset_asked: bool = False
        self.unplugged: bool = False
        self.may_time_out: bool = False
        self.timed_out: bool = False
        # AS that have faulted and were not enabled since; whether they have stopped walking.
        self.faulted: dict[int, bool] = {}
        # Counts that are wrong and were reported: by how much, by (what, VM, number).
        self.owed: dict[tuple[int, int, int], int] = {}
        # Which VM a table page belongs to; what could be observed before the operation at hand.
        self.owners: dict[i64, int] = {}
        self.counts_before: list[i64] = self.machine.counts.copy()
        self.current: int = NONE
        self.touched: list[MaliVm] = []
        self.issued: int = 0
        self.completed: int = 0
        self.observed: int = 0
        self.seen: MaliSeen = MaliSeen()

    # -- the process ------------------------------------------------------------------------

    def mask_due(self) -> int:
        """The AS whose faults have to be let through: all but those that have faulted."""
        return sum(1 << slot for slot in range(len(self.slots)) if slot not in self.faulted)

    def is_up(self) -> bool:
        """Whether the device is there, has power, and is not being reset."""
        return self.powered and not self.resetting and not self.unplugged

    def vm_with_handle(self, number: int) -> MaliVm | None:
        """The VM whose handle the process has; None if it has none of that number."""
        if not 0 <= number < len(self.vms) or not self.vms[number].handle:
            return None
        return self.vms[number]

    def handles(self) -> int:
        """How many VMs the process has handles of."""
        return sum([1 for vm in self.vms if vm.handle])

    def at_rest(self) -> bool:
        """Whether no VM has queued or deferred work."""
        for vm in self.vms:
            if vm.exists and not vm.at_rest():
                return False
        return True

    def links(self, buffer: int) -> int:
        """In how many VMs a buffer is mapped."""
        return sum([1 for vm in self.vms if vm.vmas.get(buffer, 0) > 0])

    def add_buffer(self, size: int, vm: int, pieces: int, imported: bool = False) -> None:
        """A buffer was made."""
        self.buffers.append(MaliBuffer(size, vm, self.layout.take(size, pieces), imported))

    def carry_out(self, bind: Bind) -> None:
        """A bind was done: what it asked for is promised from now on."""
        vm = self.vms[bind.vm]
        vm.promise.unmap(bind.first, bind.last)
        vm.pages.remove(bind.first, bind.last)
        if bind.kind != MAP:
            return
        vm.promise.map(bind.first, bind.last, bind.buffer, bind.offset)
        pages = self.buffers[bind.buffer].pages
        prot = prot_of(bind.flags)
        va: i64 = bind.first
        offset: i64 = bind.offset
        while va <= bind.last:
            size: i64 = min(pages.contiguous(offset), bind.last + 1 - va)
            vm.pages.add_range(va, pages.address(offset), size, prot)
            va += size
            offset += size

    def fall_due(self, bind: Bind, event: int) -> None:
        """Nothing that is not promised may be cached for the range of a bind any more."""
        vm = self.vms[bind.vm]
        if not vm.view.walked or self.timed_out:
            return
        self.seen.due += 1
        fact = vm.view.stale(vm.pages, bind.first, min(bind.last, TOP_VA))
        if fact is not None:
            self.seen.stale.append(Stale(bind, event, fact))
            vm.view.forget(bind.first, min(bind.last, TOP_VA))

    def ready(self, vm: MaliVm) -> list[Bind]:
        """The queued binds of a VM that do not wait for anything but each other, in order."""
        found: list[Bind] = []
        for number in vm.queue:
            bind = self.fences[number].bind
            assert bind is not None
            awaited = bind.waits_for
            if awaited != NONE and not self.fences[awaited].signalled:
                in_front = [one for one in found if one.fence == awaited]
                if not in_front:
                    break
            found.append(bind)
        return found

    # -- events -----------------------------------------------------------------------------

    def begin(self) -> None:
        """An operation begins."""
        for vm in self.touched:
            vm.touched = False
        self.touched = []
        self.counts_before = self.machine.counts.copy()
        self.current = NONE
        self.seen = MaliSeen()

    def feed(self, words: list[int], start: i64) -> MaliSeen:
        """Take the events of a flat trace from event number ``start`` to its end."""
        event: i64 = start
        position: i64 = start * WORDS
        end: i64 = len(words)
        while position < end:
            self.machine.now = event
            kind: i64 = words[position] & 0xFFFF
            a: i64 = words[position + 1]
            b: i64 = words[position + 2]
            c: i64 = words[position + 3]
            if kind in (REG_WRITE, REG_READ):
                self._register(event, kind == REG_WRITE, a, b)
            elif kind == BARRIER:
                self.machine.take(kind, a, b, c)
            elif kind in (STORE, FILL, CLEAN, ALLOC, FREE):
                self._table(event, kind, a, b, c)
            else:
                self._tell(event, kind, a, b, c)
            event += 1
            position += WORDS
        return self.seen

    def settle(self) -> None:
        """After an operation: gather what views and MMU have observed in it."""
        seen = self.seen
        found, self.machine.observations = self.machine.observations, []
        for vm in self.touched if found else []:
            for one in found:
                if one.space == vm.view.number:
                    seen.observations.append((vm.number, one))
        seen.commands = self.mmu.observations[self.observed :]
        self.observed = len(self.mmu.observations)

    def _touch(self, vm: MaliVm) -> None:
        if not vm.touched:
            vm.touched = True
            self.touched.append(vm)

    def _table(self, event: i64, kind: i64, a: i64, b: i64, c: i64) -> None:
        page: i64 = a & ~PAGE_MASK
        number: int = self.current if kind == ALLOC else self.owners.get(page, self.current)
        if not 0 <= number < len(self.vms):
            return
        vm = self.vms[number]
        self._touch(vm)
        if kind == ALLOC:
            self.owners[page] = number
        elif kind == FREE:
            self.owners.pop(page, None)
            self._freed(event, vm, page)
        self.machine.current = vm.view.number
        before = len(self.machine.observations)
        self.machine.take(kind, a, b, c)
        if kind == FREE and self.locked_updates:
            self._drop_stalled(vm, before)
        if kind == ALLOC and vm.root == NONE:
            vm.root = page
            self.machine.attach(vm.context, vm.view, page)

    def _drop_stalled(self, vm: MaliVm, before: int) -> None:
        """A table may be freed while nobody can walk through it: UNLOCK is what invalidates."""
        view = vm.view
        found = self.machine.observations
        kept = found[:before]
        for one in found[before:]:
            last = one.va + view.geometry.format.span(one.level) - 1 if one.level >= 0 else TOP_VA
            stalled = view.stalled_first <= one.va and last <= view.stalled_last
            if one.kind != FREED_CACHED or not stalled:
                kept.append(one)
        self.machine.observations = kept

    def _freed(self, event: i64, vm: MaliVm, page: i64) -> None:
        """A table is freed: an UPDATE that takes it from an AS must have been seen to end."""
        for slot in sorted(vm.slots):
            states = self.mmu.at(slot).states
            if len(states) > 1 and states[-1].transtab != vm.root:
                self.seen.unseen_updates.append((event, slot, states[-1].walks()))
                self.mmu.assume_ended(slot)
                self._look_at(event, slot)
        if page == vm.root:
            vm.exists = False
            vm.root = GONE

    def _tell(self, event: i64, kind: i64, a: i64, b: i64, c: i64) -> None:
        seen = self.seen
        if kind == VM:
            self.current = a
        elif kind in (VMA_ADD, VMA_REMOVE):
            self._vma(event, kind == VMA_ADD, a, b, c)
        elif kind == REFS:
            in_vm = self.current if a != REFS_BUFFER and a != REFS_PINS else NONE
            seen.refs.append((event, a, b if a == REFS_VM else in_vm, b, c))
            if a == REFS_VM and c == 0 and 0 <= b < len(self.vms):
                self.vms[b].exists = False
        elif kind == SLOT:
            seen.slots.append((event, a, b, c))
            self._slot(a, b, c)
        elif kind == FENCE:
            seen.fences.append((event, a, b))
            self._fence(event, a, b)
        elif kind == MESSAGE:
            self._message(event, b)
        elif kind == WARN:
            seen.warned = event
        elif kind == ALLOC_FAILED:
            seen.failed_allocations += 1

    def _vma(self, event: i64, added: bool, a: i64, b: i64, c: i64) -> None:
        if not 0 <= self.current < len(self.vms):
            return
        vm = self.vms[self.current]
        self._touch(vm)
        one = mapping_of(a, b, c)
        self.seen.changed.append((vm.number, one.first, one.last))
        before = vm.vmas.get(one.buffer, 0)
        after = before + 1 if added else before - 1
        vm.vmas[one.buffer] = after
        vm.mapped += after - before
        if (before > 0) != (after > 0):
            vm.linked += 1 if after > 0 else -1
        there = vm.held.first_in(one.first, one.last) if one.first <= one.last else None
        if added:
            wrong = one.first > one.last or there is not None
        else:
            wrong = there is None or not there.same(one)
        if wrong:
            vm.muddled = event
        if added and one.first <= one.last:
            vm.held.map(one.first, one.last, one.buffer, one.offset)
        elif not added and one.first <= one.last:
            vm.held.unmap(one.first, one.last)

    def _slot(self, number: i64, slot: i64, active: i64) -> None:
        if 0 <= number < len(self.vms):
            vm = self.vms[number]
            self._touch(vm)
            vm.slot = slot
            vm.active = active

    def settle_slots(self) -> None:
        """After an operation: jobs run in the AS of VMs that are active."""
        used = {vm.slot for vm in self.vms if vm.active > 0}
        for number in range(len(self.slots)):
            slot = self.slots[number]
            slot.in_use = number in used
            if slot.in_use:
                slot.quiet = False

    def _fence(self, event: i64, number: int, result: int) -> None:
        if not 0 <= number < len(self.fences):
            return
        fence = self.fences[number]
        fence.signalled = True
        fence.result = result
        bind = fence.bind
        if bind is None:
            return
        vm = self.vms[bind.vm]
        if number in vm.queue:
            vm.queue.remove(number)
        vm.busy_until_run = True
        if result == 0 and bind.kind != SYNC_ONLY:
            self._touch(vm)
            self.seen.done.append(bind)
            if vm.handle:
                self.carry_out(bind)
                self.fall_due(bind, event)

    def _message(self, event: i64, what: int) -> None:
        if what == MESSAGE_RESET:
            self.seen.asked = event
            self.reset_asked = True
            # A region that could not be unlocked stays locked until the reset.
            self.timed_out = self.timed_out or (self.locked_updates and self.may_time_out)
        elif what == MESSAGE_WAS_RESET:
            self._lose_registers(event)
            self.mmu.reset()
            self._all_slots(event)
        elif what == MESSAGE_POWER_OFF:
            self._lose_registers(event)
            self.mmu.power_off()
            self._all_slots(event)
        elif what == MESSAGE_POWER_ON:
            self.mmu.power_on()

    # -- address spaces -----------------------------------------------------------------------

    def _lose_registers(self, event: i64) -> None:
        """All AS let go of their roots, and nothing stays cached."""
        self.seen.lost_registers = True
        self.reset_asked = False
        self.may_time_out = False
        self.timed_out = False
        self.faulted.clear()
        self.halt(event)

    def halt(self, event: i64) -> None:
        """No job runs any more, and before one does, all registers and caches will be lost.

        Until then it does not matter what is cached.
        """
        for number in range(len(self.slots)):
            slot = self.slots[number]
            for vm in sorted(slot.roots):
                self._let_go(event, number, vm)
            slot.roots = set()
            slot.left = NONE
            slot.quiet = True

    def _all_slots(self, event: i64) -> None:
        for number in range(len(self.slots)):
            self._look_at(event, number)

    def _register(self, event: i64, is_write: bool, offset: i64, value: i64) -> None:
        if is_write:
            self.mmu.observe_write(event, offset, value)
        else:
            self.mmu.observe_read(event, offset, value)
        self.seen.registers += 1
        place = place_at(offset)
        if place is None or place.slot == NO_SLOT or place.slot >= len(self.slots):
            return
        name = place.register.name
        if is_write and name == COMMAND:
            self.seen.updates += 1 if value == UPDATE else 0
            self._look_at(event, place.slot)
        elif not is_write and name == STATUS and not value & ACTIVE:
            self._look_at(event, place.slot)

    def _look_at(self, event: i64, number: int) -> None:
        """Commands of an AS began or ended: what it has flushed, locked and may walk now."""
        mmu = self.mmu
        while self.issued < len(mmu.issued):
            self._issue(event, mmu.issued[self.issued])
            self.issued += 1
        while self.completed < len(mmu.completed):
            self._complete(event, mmu.completed[self.completed])
            self.completed += 1
        self._roots(event, number)
        region = mmu.at(number).region
        for vm in self.slots[number].roots:
            view = self.vms[vm].view
            view.stalled_first = 0
            view.stalled_last = -1
            if region is not None and len(self.vms[vm].slots) == 1:
                view.stalled_first = min(region[0], TOP_VA)
                view.stalled_last = min(region[1], TOP_VA)

    def _issue(self, event: i64, one: Invalidation) -> None:
        contexts: list[Context] = []
        for vm in self.vms:
            if vm.root in one.roots:
                self._touch(vm)
                contexts.append(vm.context)
        self.machine.invalidations.issue(one.number, one.first, one.last, EVERYTHING, contexts)

    def _complete(self, event: i64, one: Invalidation) -> None:
        self.seen.flushes += 1
        self.machine.invalidations.complete(one.number)
        if one.first == 0 and one.last >= (1 << self.va_bits) - 1:
            slot = self.slots[one.slot]
            slot.left = NONE
            # After an UPDATE nothing of what was there before is loaded any more.
            slot.quiet = not slot.in_use or one.kind == UPDATE

    def _roots(self, event: i64, number: int) -> None:
        """Which VMs' roots may an AS use now?"""
        slot = self.slots[number]
        roots = self.mmu.at(number).roots()
        now: set[int] = set()
        if roots and not self.resetting:
            for vm in self.vms:
                if vm.root in roots:
                    now.add(vm.number)
        if now == slot.roots:
            return
        before = slot.roots
        slot.roots = now
        for one in sorted(now - before):
            self._take_up(event, number, one, before)
        for one in sorted(before - now):
            self._let_go(event, number, one)
            if not slot.quiet:
                slot.left = one

    def _take_up(self, event: i64, number: int, vm: int, before: set[int]) -> None:
        """An AS may walk a VM's tables from now on."""
        slot = self.slots[number]
        self.seen.starts += 1
        former = slot.left
        if former == NONE and before and not slot.quiet and not self.locked_updates:
            former = min(before)
        if former != NONE:
            self.seen.unflushed.append(Unflushed(event, number, former, vm))
            slot.left = NONE
        one = self.vms[vm]
        self._touch(one)
        if not one.slots:
            self.machine.enable(one.context)
        one.slots.add(number)

    def _let_go(self, event: i64, number: int, vm: int) -> None:
        one = self.vms[vm]
        self._touch(one)
        one.slots.discard(number)
        if not one.slots:
            self.machine.retire(one.context)

    def assume_updates_ended(self, number: int, event: i64) -> None:
        """After it was reported that nobody saw the end of an AS's last command."""
        self.mmu.assume_ended(number)
        self._look_at(event, number)
