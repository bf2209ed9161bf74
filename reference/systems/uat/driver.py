"""The driver's MMU code as it should be: contexts, address spaces, mappings, and the handoff.

Every call is an actor: a generator of its accesses to what it shares with the firmware, which may
run between any two of them. What it does to its own tables, and what it broadcasts, is told to the
trace in the same order. It is an executable specification, in numbered steps. The lock, the slots
and the order of a mapping's end are those of Asahi Linux's ``mmu.rs``; where that is known to go
wrong, this does what the hardware needs:

* an attribute of a live page changes by break-before-make: invalid, invalidated, then the new one;
* a map that fails half-way takes back what it has mapped;
* a context that the firmware is in is not given to another, and its tables are not freed;
* pages whose lines the firmware did not clean are not given back;
* stores to tables are visible before the invalidation that is meant for them.

Source: formats.md A.3 to A.10, F.2, F.3; KB-08, KB-09.
"""

import errno
from typing import Final

from mypy_extensions import i64, mypyc_attr

from reference.drivers.table_memory import TableMemory
from reference.formats.access import CACHE
from reference.formats.uat import UAT
from reference.systems.pagetable.driver import PageTable
from reference.systems.uat.device import (
    ALSO_NO_CONTEXT,
    AP_TURN,
    CUR_SLOT,
    DONE,
    FW_TURN,
    HALF,
    HALF_BITS,
    HANDOFF_SIZE,
    IDLE,
    KERNEL_BITS,
    KERNEL_ENTRY,
    KERNEL_FIRST,
    KERNEL_INDEX,
    KERNEL_LAST,
    LOCK_AP,
    LOCK_FW,
    MAGIC,
    MAGIC_AP,
    MAGIC_FW,
    MESSAGE_ADDRESS,
    MESSAGE_PAGES,
    MESSAGE_SLOT,
    NO_CONTEXT,
    PAGE,
    PROTECTIONS,
    REQUESTED,
    RING_READ,
    RING_SIZE,
    RING_WRITE,
    SPACE,
    TLBI_ALL,
    TLBI_ASID,
    TLBI_PAGE,
    TLBI_RANGE,
    TTBS_SIZE,
    TURN,
    UNK3,
    USER_FIRST,
    USER_LAST,
    flush_address,
    flush_size,
    flush_state,
    ttb0,
    ttb1,
    ttb_of,
)
from reference.systems.uat.firmware import Firmware, Soc, Walks
from reference.systems.uat.interleaving import (
    GIVE,
    NAP,
    TAKE,
    Accesses,
    acquire,
    fence,
    load,
    order,
    point,
    release,
    store,
)
from reference.systems.va_alloc.driver import BEST, VaAllocator
from reference.trace import BARRIER, BARRIER_FULL, BARRIER_ORDER, Trace

ERESTARTSYS: Final = 512
"""The kernel's: whoever waited was interrupted."""
FIRST_USER: Final = 1
"""The first context that users get (formats.md A.3)."""
BOOT_NAPS: Final = 100
"""Naps of 10 ms until the firmware is taken not to run: a second (formats.md A.4)."""
FW_SHARED_RW: Final = PROTECTIONS["fw-shared-rw"]
FW_MMIO_RW: Final = PROTECTIONS["fw-mmio-rw"]
FW_MMIO_RO: Final = PROTECTIONS["fw-mmio-ro"]


# -- the handoff region -----------------------------------------------------------------------


@mypyc_attr(allow_interpreted_subclasses=True)
class Handoff:
    """The driver's side of the handoff region (formats.md A.4).

    ``ring``: messages that the channel holds. ``patience``: how often something is looked at that
    the firmware is to do; 0: for ever.
    """

    def __init__(self, ring: int = RING_SIZE, patience: int = 0) -> None:
        self.ring: int = ring
        self.patience: int = patience

    def lock(self) -> Accesses:
        """Keep the firmware out of the contexts."""
        # 1. The own flag is up, for the firmware to see, before its flag is looked at.
        yield store("lock 1", LOCK_AP, 1)
        yield fence("lock 2")
        while True:
            # 2. Is the firmware's down?
            other = yield load("lock 3", LOCK_FW)
            if other == 0:
                break
            # 3. If it is not, and it is the firmware's turn: back off until it is not.
            turn = yield load("lock 4", TURN)
            if turn == AP_TURN:
                continue
            yield store("lock 5", LOCK_AP, 0)
            while turn != AP_TURN:
                turn = yield load("lock 6", TURN)
            yield store("lock 7", LOCK_AP, 1)
            yield fence("lock 8")
        # 4. Nothing of what follows is read before.
        yield acquire("lock 9")
        yield point("lock 10", TAKE)
        return 0

    def unlock(self) -> Accesses:
        """Let it in, and give it the turn. What was stored meanwhile is visible before."""
        yield point("unlock 1", GIVE)
        yield store("unlock 2", TURN, FW_TURN)
        yield release("unlock 3", LOCK_AP, 0)
        return 0

    def current(self) -> Accesses:
        """The context that the firmware has in its lower half; NO_CONTEXT for none."""
        context = yield load("current 1", CUR_SLOT)
        return NO_CONTEXT if context == ALSO_NO_CONTEXT else context

    def initialise(self) -> Accesses:
        """Meet the firmware. EIO: it does not say that it runs."""
        # 1. Say who is here.
        yield store("initialise 1", MAGIC_AP, MAGIC)
        yield store("initialise 2", CUR_SLOT, NO_CONTEXT)
        yield store("initialise 3", UNK3, 0)
        yield fence("initialise 4")
        # 2. Wait for the same from the firmware; it is let in meanwhile.
        yield from self.lock()
        magic = yield load("initialise 5", MAGIC_FW)
        for _ in range(BOOT_NAPS):
            if magic == MAGIC:
                break
            yield from self.unlock()
            yield point("initialise 6", NAP)
            yield from self.lock()
            magic = yield load("initialise 5", MAGIC_FW)
        yield from self.unlock()
        if magic != MAGIC:
            return -errno.EIO
        # 3. Nothing is asked for.
        for entry in range(KERNEL_ENTRY + 1):
            yield store("initialise 7", flush_state(entry), IDLE, entry)
            yield store("initialise 8", flush_address(entry), 0, entry)
            yield store("initialise 9", flush_size(entry), 0, entry)
        yield fence("initialise 10")
        return 0

    def begin_flush(self, entry: int, va: int, size: int) -> Accesses:
        """Ask for a range (64-bit address, bytes) to be cleaned."""
        yield store("begin 1", flush_address(entry), va, entry)
        yield store("begin 2", flush_size(entry), size, entry)
        yield store("begin 3", flush_state(entry), REQUESTED, entry)
        return 0

    def send(self, entry: int, va: int, pages: int) -> Accesses:
        """Tell the firmware to look, and wait until it has. ETIMEDOUT: it has not."""
        # 1. The message.
        written = yield load("send 1", RING_WRITE)
        written = (written + 1) % self.ring
        live = written << 8 | entry
        yield store("send 2", MESSAGE_ADDRESS, va, live)
        yield store("send 3", MESSAGE_SLOT, entry, live)
        yield store("send 4", MESSAGE_PAGES, pages & 0xFFFF, live)
        # 2. It and what it is about are visible before the firmware hears of it.
        yield order("send 5", live)
        yield store("send 6", RING_WRITE, written, live)
        # 3. Wait until it is read.
        looks = 0
        while True:
            read = yield load("send 7", RING_READ, live)
            if read == written:
                break
            looks += 1
            if looks == self.patience:
                return -errno.ETIMEDOUT
        # 4. What the firmware has said before is read after.
        yield acquire("send 8", entry)
        return 0

    def end_flush(self, entry: int) -> Accesses:
        """The entry is free again. EIO: the firmware has not said that it was done."""
        state = yield load("end 1", flush_state(entry), entry)
        yield store("end 2", flush_state(entry), IDLE, entry)
        return 0 if state == DONE else -errno.EIO

    def clean(self, entry: int, va: int, size: int) -> Accesses:
        """Have the firmware clean a range, through flush entry ``entry``. ETIMEDOUT: it does not.

        A range of more pages than a message can say is cleaned by what the entry says.
        """
        yield from self.begin_flush(entry, va, size)
        result = yield from self.send(entry, va, size // PAGE)
        ended = yield from self.end_flush(entry)
        return result or (-errno.ETIMEDOUT if ended else 0)


# -- invalidations (formats.md A.5) -------------------------------------------------------------

RANGE_PAGES: Final = 1 << 21
"""Pages of the largest range that one TLBI can be for."""


def range_operands(asid: int, va: int, size: int) -> list[tuple[int, int]]:
    """(command, operand) of the TLBI for all pages that a range reaches into, and maybe more."""
    found: list[tuple[int, int]] = []
    first = va & ~(PAGE - 1)
    pages = (va + size + PAGE - 1 - first) // PAGE if size else 0
    while pages > 0:
        if pages == 1:
            found.append((TLBI_PAGE, asid << 48 | first >> 12 & 0xFFF_FFFF_FFFC))
            break
        pairs = (min(pages, RANGE_PAGES) + 1) // 2
        scale = min(3, pairs.bit_length() // 5)
        count = (pairs + (1 << 5 * scale) - 1) >> 5 * scale
        operand = asid << 48 | 2 << 46 | scale << 44 | count - 1 << 39
        found.append((TLBI_RANGE, operand | first >> 14 & 0x1F_FFFF_FFFF))
        covered = count << 5 * scale + 1
        pages -= covered
        first += covered * PAGE
    return found


# -- regions (formats.md A.3) -------------------------------------------------------------------

MISSING: Final = -1
"""In place of the bytes of a region: it is not described."""
UNMAPPABLE: Final = -2
"""It cannot be mapped."""


def regions_result(handoff: int, ttbs: int, pagetables: int) -> int:
    """Whether three regions of so many bytes will do. EINVAL: one is missing; ENOMEM: too small."""
    for size, needed in ((handoff, HANDOFF_SIZE), (ttbs, TTBS_SIZE), (pagetables, PAGE)):
        if size == MISSING:
            return -errno.EINVAL
        if size < needed:
            return -errno.ENOMEM
    return 0


# -- slots (formats.md A.6) ---------------------------------------------------------------------


class Slot:
    """One slot: whether it is ``free``, and when it was taken and given back last.

    ``former``: when it was taken before that.
    """

    def __init__(self) -> None:
        self.free: bool = True
        self.got: int = 0
        self.former: int = 0
        self.dropped: int = 0


class Slots:
    """Who has which of ``count`` slots. Times are counts of what was done."""

    def __init__(self, count: int) -> None:
        self.slots: list[Slot] = [Slot() for _ in range(count)]
        self.gets: int = 0
        self.drops: int = 0

    def owns(self, slot: int, time: int) -> bool:
        """Whether nobody has had a slot since it was taken at ``time``."""
        return slot >= 0 and self.slots[slot].got == time

    def get(self, hint: int, time: int) -> int:
        """A slot: the one of ``hint``, if it is free and nobody has had it since; -1 for none."""
        # 1. The same as before.
        if self.owns(hint, time) and self.slots[hint].free:
            self.slots[hint].free = False
            return hint
        # 2. The one that was given back longest ago.
        found = -1
        for number, slot in enumerate(self.slots):
            if slot.free and (found < 0 or slot.dropped < self.slots[found].dropped):
                found = number
        if found >= 0:
            self.gets += 1
            self.slots[found].free = False
            self.slots[found].former = self.slots[found].got
            self.slots[found].got = self.gets
        return found

    def cancel(self, slot: int) -> None:
        """It was not taken after all: whoever had it last has it last."""
        self.slots[slot].free = True
        self.slots[slot].got = self.slots[slot].former

    def drop(self, slot: int) -> None:
        """It is free again."""
        self.drops += 1
        self.slots[slot].free = True
        self.slots[slot].dropped = self.drops


# -- address spaces -----------------------------------------------------------------------------


class Vm:
    """One address space. ``first`` to ``last``: its addresses, 64 bits, unsigned.

    ``table``: its page table, for addresses less ``base``; ``room``: which addresses are taken.
    ``users``: how many hold it bound; ``slot``: the slot it has, -1 for none; ``hint``, ``time``:
    the one that it had last, and since when.
    """

    def __init__(self, number: int, kernel: bool, table: PageTable) -> None:
        self.number: int = number
        self.kernel: bool = kernel
        self.first: int = KERNEL_FIRST if kernel else USER_FIRST
        self.last: int = KERNEL_LAST if kernel else USER_LAST
        self.base: int = KERNEL_FIRST if kernel else 0
        self.table: PageTable = table
        self.room: VaAllocator = VaAllocator(self.first, self.last - self.first + 1)
        self.users: int = 0
        self.slot: int = -1
        self.hint: int = -1
        self.time: int = 0

    def root(self) -> int:
        """The address of its root table."""
        return self.table.roots[0]


class Mapping:
    """``size`` bytes at ``va`` of a VM lead to ``pieces``: (physical address, bytes) in order."""

    def __init__(
        self, vm: Vm, va: int, size: int, prot: int, pieces: list[tuple[int, int]]
    ) -> None:
        self.vm: Vm = vm
        self.va: int = va
        self.size: int = size
        self.prot: int = prot
        self.pieces: list[tuple[int, int]] = pieces


KERNEL: Final = -1
"""The number of the kernel's VM; those of users count from 0."""
LOWEST: Final = -2
"""That of the empty one in the lower half of context 0."""
PATIENCE_LOOKS: Final = 400
"""How often the driver looks whether the firmware has done something, or naps for it."""
NAPS: Final = 16
"""Naps until the firmware is taken not to leave a context."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Uat:
    """All of it. ``contexts``: how many there are, 2 to 64; ``oas``: bits of physical addresses.

    ``trusts_switch``: the firmware is known to flush its caches whenever it changes context.
    ``memory``: where tables lie; ``vms``, ``mappings``: by number; ``value``: what a call gives
    back besides its result.
    """

    def __init__(
        self, soc: Soc, contexts: int, oas: int, trusts_switch: bool, memory: TableMemory
    ) -> None:
        self.soc: Soc = soc
        self.contexts: int = contexts
        self.oas: int = oas
        self.trusts_switch: bool = trusts_switch
        self.memory: TableMemory = memory
        self.trace: Trace = soc.trace
        self.handoff: Handoff = Handoff(RING_SIZE, PATIENCE_LOOKS)
        self.slots: Slots = Slots(contexts - FIRST_USER)
        self.lowest: Vm | None = None
        self.kernel: Vm | None = None
        self.vms: list[Vm | None] = []
        self.mappings: list[Mapping | None] = []
        self.value: int = 0

    def begin(self, trace: Trace, fail_at: int, budget: i64) -> None:
        """A new operation: where its events go, and which table of it is not to be had."""
        self.trace = trace
        self.memory.trace = trace
        self.memory.fail_at = fail_at
        self.memory.budget = budget
        self.value = 0
        self.soc.begin(trace)
        for vm in [*self.vms, self.kernel, self.lowest]:
            if vm is not None:
                vm.table.trace = trace

    # -- what is told the hardware --------------------------------------------------------------

    def barrier(self, place: str) -> Accesses:
        """All stores so far, to tables and to shared memory, are visible (DSB ST)."""
        self.trace.emit(BARRIER, BARRIER_FULL)
        yield fence(place)
        return 0

    def sync(self) -> Accesses:
        """The invalidations so far have completed (DSB SY)."""
        yield point("sync")
        self.soc.dsb()
        return 0

    def invalidate_range(self, context: int, va: int, size: int) -> Accesses:
        """Nothing is cached for a range of a context any more; -1: it has none."""
        if context >= 0:
            for command, operand in range_operands(context, va, size):
                self.soc.tlbi(command, operand)
                yield point("invalidate range")
            yield from self.sync()
        return 0

    def invalidate_context(self, context: int) -> Accesses:
        """Nothing that is not global is cached for a context any more."""
        self.soc.tlbi(TLBI_ASID, context << 48)
        yield point("invalidate context")
        yield from self.sync()
        return 0

    # -- life -----------------------------------------------------------------------------------

    def create(self, upper: int) -> Accesses:
        """Start. ``upper``: address of the root of the upper half. ENOMEM, EIO: nothing is left."""
        # 1. The kernel's tables: an empty lower half, and its part of the upper one.
        lowest = self.make_vm(LOWEST, False)
        kernel = self.make_vm(KERNEL, True) if lowest is not None else None
        if lowest is None or kernel is None:
            self.free_vm(lowest)
            return -errno.ENOMEM
        # 2. Meet the firmware.
        result = yield from self.handoff.initialise()
        if result:
            self.free_vm(lowest)
            self.free_vm(kernel)
            return result
        # 3. The roots: context 0 is the kernel's, the others are nobody's.
        yield from self.handoff.lock()
        yield store("create 1", ttb0(0), lowest.root() | 1)
        yield store("create 2", ttb1(0), upper | 1)
        for context in range(FIRST_USER, self.contexts):
            yield store("create 3", ttb0(context), 0, context)
            yield store("create 4", ttb1(context), 0, context)
        yield from self.handoff.unlock()
        # 4. The kernel's part is linked.
        self.trace.emit(BARRIER, BARRIER_ORDER)
        self.memory.store(upper, KERNEL_INDEX, kernel.table.format.table(1, kernel.root()))
        yield from self.barrier("create 5")
        self.lowest = lowest
        self.kernel = kernel
        return 0

    def destroy(self, upper: int) -> Accesses:
        """Stop: nobody is bound, and nothing is mapped."""
        # 1. No context has a root any more.
        yield from self.handoff.lock()
        for context in range(self.contexts):
            yield store("destroy 1", ttb0(context), 0, context)
            yield store("destroy 2", ttb1(context), 0, context)
        yield from self.handoff.unlock()
        # 2. The kernel's part is unlinked.
        self.memory.store(upper, KERNEL_INDEX, 0)
        # 3. And nothing of all that is cached.
        yield from self.barrier("destroy 3")
        self.soc.tlbi(TLBI_ALL, 0)
        yield from self.sync()
        # 4. So the tables can go.
        for vm in [*self.vms, self.kernel, self.lowest]:
            self.free_vm(vm)
        self.lowest = None
        self.kernel = None
        return 0

    def make_vm(self, number: int, kernel: bool) -> Vm | None:
        """An address space with an empty table; None: no memory."""
        self.trace.emit(SPACE, number)
        geometry = UAT.geometry(KERNEL_BITS if kernel else HALF_BITS)
        table = PageTable(geometry, self.oas, PAGE, True, False, self.trace, self.memory)
        if table.create() != 0:
            return None
        return Vm(number, kernel, table)

    def free_vm(self, vm: Vm | None) -> None:
        """Its tables go."""
        if vm is not None:
            vm.table.free_tables(vm.root(), vm.table.top)
            vm.table.roots.clear()

    def new_vm(self) -> Accesses:
        """An address space for a user; its number is the value. ENOMEM."""
        yield point("new vm")
        vm = self.make_vm(len(self.vms), False)
        if vm is None:
            return -errno.ENOMEM
        self.value = vm.number
        self.vms.append(vm)
        return 0

    def destroy_vm(self, number: int) -> Accesses:
        """It goes; nobody is bound, and nothing is mapped. ETIMEDOUT: the firmware stays in it."""
        vm = self.vm(number)
        # 1. If a context still has its root, that is taken away, once the firmware has left.
        if vm.hint >= 0:
            context = vm.hint + FIRST_USER
            result = yield from self.lock_without(context, vm)
            if result:
                return result
            root = yield load("destroy vm 1", ttb0(context))
            mine = root == ttb_of(vm.root(), context)
            if mine:
                yield store("destroy vm 2", ttb0(context), 0)
                yield store("destroy vm 3", ttb1(context), 0)
            yield from self.handoff.unlock()
            # 2. What was cached through it goes.
            if mine:
                yield from self.barrier("destroy vm 4")
                yield from self.invalidate_context(context)
        # 3. And its tables.
        self.free_vm(vm)
        self.vms[number] = None
        return 0

    def lock_without(self, context: int, owner: Vm | None) -> Accesses:
        """Take the lock while the firmware is not in a context. ETIMEDOUT: it stays there.

        ``owner``: only if the context has that VM's root.
        """
        yield from self.handoff.lock()
        for _ in range(NAPS):
            current = yield from self.handoff.current()
            if current != context:
                return 0
            if owner is not None:
                root = yield load("leave 1", ttb0(context))
                if root != ttb_of(owner.root(), context):
                    return 0
            yield from self.handoff.unlock()
            yield point("leave 2", NAP)
            yield from self.handoff.lock()
        yield from self.handoff.unlock()
        return -errno.ETIMEDOUT

    def vm(self, number: int) -> Vm:
        """An address space that there is."""
        vm = self.kernel if number == KERNEL else self.vms[number]
        assert vm is not None
        return vm

    # -- who is bound (formats.md A.7) ----------------------------------------------------------

    def bind(self, number: int) -> Accesses:
        """Have a context for a VM; its number is the value.

        ERESTARTSYS: all are taken, and whoever waited was interrupted. ETIMEDOUT: the firmware
        stays in the one that was to be had.
        """
        vm = self.vm(number)
        yield point("bind")
        if vm.slot < 0:
            assert vm.users == 0
            # 1. A slot; the former one, if nobody has had it since.
            slot = self.slots.get(vm.hint, vm.time)
            if slot < 0:
                return -ERESTARTSYS
            time = self.slots.slots[slot].got
            # 2. If it is another one, it has another's root.
            if slot != vm.hint or time != vm.time:
                result = yield from self.give(slot + FIRST_USER, vm)
                if result:
                    self.slots.cancel(slot)
                    return result
            vm.hint = slot
            vm.time = time
            vm.slot = slot
        vm.users += 1
        self.value = vm.slot + FIRST_USER
        return 0

    def give(self, context: int, vm: Vm) -> Accesses:
        """A context gets a VM's root. ETIMEDOUT: the firmware stays in it, or cleans nothing."""
        result = yield from self.lock_without(context, None)
        if result:
            return result
        # 1. Where a switch flushes nothing, lines of its former owner are cleaned while nobody can
        #    enter it.
        if not self.trusts_switch:
            former = yield load("give 1", ttb0(context))
            yield store("give 2", ttb0(context), 0)
            yield from self.handoff.unlock()
            yield from self.barrier("give 3")
            yield from self.invalidate_context(context)
            result = yield from self.handoff.clean(context, 0, HALF)
            yield from self.handoff.lock()
            if result:
                yield store("give 4", ttb0(context), former)
                yield from self.handoff.unlock()
                return result
        # 2. The root, with the context's number as ASID.
        yield store("give 5", ttb0(context), ttb_of(vm.root(), context))
        yield store("give 6", ttb1(context), 0)
        yield from self.handoff.unlock()
        # 3. Nothing of the former owner is cached under that ASID.
        yield from self.barrier("give 7")
        yield from self.invalidate_context(context)
        return 0

    def clone(self, number: int) -> Accesses:
        """One more holds a VM bound."""
        yield point("clone")
        vm = self.vm(number)
        vm.users += 1
        self.value = vm.slot + FIRST_USER
        return 0

    def unbind(self, number: int) -> Accesses:
        """One less does. The last gives the slot back; its root stays until another needs it."""
        yield point("unbind")
        vm = self.vm(number)
        vm.users -= 1
        if vm.users == 0:
            self.slots.drop(vm.slot)
            vm.slot = -1
        return 0

    def context_of(self, vm: Vm) -> int:
        """The context under whose ASID something of a VM may be cached; -1: there is none."""
        if vm.kernel:
            return 0
        if vm.hint >= 0 and self.slots.owns(vm.hint, vm.time):
            return vm.hint + FIRST_USER
        return -1

    # -- mapping (formats.md A.8) ---------------------------------------------------------------

    def map(self, number: int, size: int, pieces: list[tuple[int, int]]) -> Accesses:
        """Somewhere, with a guard page, shared with the firmware. The value is the address."""
        vm = self.vm(number)
        result, va = vm.room.alloc(size + PAGE, 0, BEST, vm.first, vm.last)
        if result:
            return result
        return (yield from self.fill(vm, va, size, pieces, FW_SHARED_RW))

    def map_in_range(
        self,
        number: int,
        size: int,
        pieces: list[tuple[int, int]],
        align: int,
        first: int,
        end: int,
        prot: int,
        guard: bool,
    ) -> Accesses:
        """Somewhere from ``first`` to ``end`` (exclusive), at a multiple of ``align``."""
        vm = self.vm(number)
        room = size + PAGE if guard else size
        if first >= end:
            return -errno.ENOSPC
        result, va = vm.room.alloc(room, align, BEST, first, end - 1)
        if result:
            return result
        return (yield from self.fill(vm, va, size, pieces, prot))

    def map_at(
        self,
        number: int,
        va: int,
        size: int,
        pieces: list[tuple[int, int]],
        prot: int,
        guard: bool,
    ) -> Accesses:
        """At an address of the caller's."""
        vm = self.vm(number)
        result = vm.room.reserve(va, size + PAGE if guard else size)
        if result:
            return result
        return (yield from self.fill(vm, va, size, pieces, prot))

    def map_io(self, number: int, pa: int, size: int, writable: bool) -> Accesses:
        """Registers, somewhere, with a guard page."""
        vm = self.vm(number)
        result, va = vm.room.alloc(size + PAGE, 0, BEST, vm.first, vm.last)
        if result:
            return result
        prot = FW_MMIO_RW if writable else FW_MMIO_RO
        return (yield from self.fill(vm, va, size, [(pa, size)] if size else [], prot))

    def fill(
        self, vm: Vm, va: int, size: int, pieces: list[tuple[int, int]], prot: int
    ) -> Accesses:
        """Map pieces one behind the other from ``va`` on, which was reserved. All, or nothing."""
        done = 0
        result = 0
        for pa, length in pieces:
            # 1. Whole pages only.
            if (pa | length | va + done) & (PAGE - 1):
                result = -errno.EINVAL
                break
            # 2. Each piece; as much as a table holds at a time.
            left = length
            while left > 0 and result == 0:
                at = va + done - vm.base
                result, mapped = vm.table.map_pages(
                    at, pa + length - left, PAGE, left // PAGE, prot
                )
                yield point("map")
                left -= mapped
                done += mapped
            if result:
                break
        if result == 0:
            self.mappings.append(Mapping(vm, va, size, prot, pieces))
            self.value = va
            return 0
        # 3. What was mapped is taken back as any mapping is, and so are the addresses.
        yield from self.take_down(Mapping(vm, va, done, prot, pieces))
        vm.room.free_at(va)
        return result

    # -- the end of a mapping (formats.md A.9) --------------------------------------------------

    def drop(self, number: int) -> Accesses:
        """A mapping goes. ETIMEDOUT: the firmware has not cleaned it, and it stays, uncached."""
        mapping = self.mappings[number]
        assert mapping is not None
        result = yield from self.take_down(mapping)
        if result:
            return result
        mapping.vm.room.free_at(mapping.va)
        self.mappings[number] = None
        return 0

    def take_down(self, mapping: Mapping) -> Accesses:
        """Leave no entry, no translation and no line of a mapping. ETIMEDOUT: lines may be left."""
        vm = mapping.vm
        va, size = mapping.va, mapping.size
        context = self.context_of(vm)
        if not mapping.prot & CACHE and size > 0:
            # 1. Break before make: not cached by the firmware from now on.
            self.unmap(mapping)
            yield from self.barrier("take down 1")
            yield from self.invalidate_range(context, va, size)
            self.map_again(mapping, mapping.prot | CACHE)
            yield point("take down 2")
            # 2. The firmware cleans what it has of it, if it has.
            entry = yield from self.entry_of(vm, context)
            if entry >= 0:
                result = yield from self.handoff.clean(entry, va, size)
                if result:
                    return result
        # 3. No entry.
        self.unmap(mapping)
        # 4. No translation.
        yield from self.barrier("take down 3")
        yield from self.invalidate_range(context, va, size)
        return 0

    def entry_of(self, vm: Vm, context: int) -> Accesses:
        """The flush entry through which lines of a VM are cleaned; -1: there can be none."""
        if vm.kernel:
            return KERNEL_ENTRY
        if context < 0:
            return -1
        yield from self.handoff.lock()
        current = yield from self.handoff.current()
        root = yield load("entry 1", ttb0(context))
        yield from self.handoff.unlock()
        mine = root == ttb_of(vm.root(), context)
        if mine and (current == context or not self.trusts_switch):
            return context
        return -1

    def unmap(self, mapping: Mapping) -> None:
        """Clear all entries of a mapping; its guard page has none."""
        table = mapping.vm.table
        done = 0
        while done < mapping.size:
            at = mapping.va + done - mapping.vm.base
            done += table.unmap_pages(at, PAGE, (mapping.size - done) // PAGE, True)
            table.memory.spend()

    def map_again(self, mapping: Mapping, prot: int) -> None:
        """Map what a mapping led to, with another protection; its tables are there."""
        vm = mapping.vm
        done = 0
        for pa, length in mapping.pieces:
            left = min(length, mapping.size - done)
            while left > 0:
                at = mapping.va + done - vm.base
                result, mapped = vm.table.map_pages(at, pa, PAGE, left // PAGE, prot)
                assert result == 0
                pa += mapped
                left -= mapped
                done += mapped


__all__ = ["Firmware", "Handoff", "Soc", "Uat", "Walks"]
