"""The MMU software of a Mali GPU with a command stream frontend, as it should be.

A process has VMs, and binds parts of buffers to addresses in them, at once or in a queue. The
VA manager of ``gpuvm`` splits mappings, the page-table code of ``pagetable`` stores entries, the
allocator of ``va-alloc`` hands out the kernel's addresses, and all are used here for what a device
needs beside: table pages that were reserved before, the region of addresses that is locked while
entries change, and the flush at the end of it.
The device walks for up to 16 address spaces (AS) at a time; a VM has one while its jobs run,
and until another one needs it.

Read it from the bottom of the hardware up: registers (``Bus``), commands (``Hardware``), table
pages (``TablePool``, ``Tables``), one VM (``Vm``), who has which AS (``Slots``), and what a
process and the rest of a driver ask for (``Device``).

Addresses and sizes are in bytes, held as two's complement; what is not below the end of the
process's part of the addresses is refused, so that no sum wraps. Results are the kernel's: 0 or
a negative errno value.

Source: formats.md B.1 (registers), B.3 (AS), B.4 (faults, power, resets), B.5 (VMs), B.6
(binds), F.2 and F.3 (orders of stores, barriers and flushes).
"""

import errno
from typing import Final

from mypy_extensions import i64

from reference.drivers.registers import Registers
from reference.drivers.table_memory import NO_TABLE, TableMemory
from reference.formats.access import CACHE, NOEXEC, READ, WRITE
from reference.formats.entry import INVALID as NO_ENTRY
from reference.formats.entry import LEAF
from reference.formats.format import Geometry
from reference.formats.lpae import LPAE_S1
from reference.physical_layout import BufferLayout, BufferPages
from reference.systems.gpuvm.driver import (
    BUFFER_BYTES,
    PAGE,
    PAGE_MASK,
    VMAS_TO_MAP,
    VMAS_TO_UNMAP,
    Buffer,
    Gpuvm,
    Vma,
    VmBo,
    page_of,
)
from reference.systems.mali.device import MaliDevice
from reference.systems.mali.events import FENCE, VM
from reference.systems.pagetable.driver import TABLE_BASE, TABLE_END, PageTable
from reference.systems.va_alloc.driver import BEST, VaAllocator
from reference.trace import (
    MESSAGE,
    MESSAGE_POWER_OFF,
    MESSAGE_POWER_ON,
    MESSAGE_RESET,
    MESSAGE_WAS_RESET,
    WARN,
    Trace,
)

# -- registers, B.1 -------------------------------------------------------------------------

INT_RAWSTAT: Final = 0x2000
INT_CLEAR: Final = 0x2004
INT_MASK: Final = 0x2008
INT_STAT: Final = 0x200C
AS_BASE: Final = 0x2400
"""Where the registers of AS 0 begin."""
AS_STRIDE: Final = 0x40
TRANSTAB: Final = 0x00
MEMATTR: Final = 0x08
LOCKADDR: Final = 0x10
COMMAND: Final = 0x18
FAULTSTATUS: Final = 0x1C
FAULTADDRESS: Final = 0x20
STATUS: Final = 0x28
TRANSCFG: Final = 0x30

UPDATE: Final = 1
LOCK: Final = 2
FLUSH_PT: Final = 4
FLUSH_MEM: Final = 5

ACTIVE: Final = 1
"""STATUS: a command is running."""
FAULTS: Final = 0xFFFF
"""The bits of the interrupt registers that say which AS faulted."""
POLLS: Final = 10000
"""How often STATUS is looked at before a command counts as stuck: 100 ms, 10 us apart."""
BUS_BUDGET: Final = 1 << 20
"""Accesses in one operation: more than any needs, even if every AS is stuck."""

LOCK_MINIMUM_BITS: Final = 15
"""log2 of the smallest region that can be locked."""
WHOLE_SPACE: Final = 1 << 64
"""Bytes in the region that holds all addresses."""

MODE_UNMAPPED: Final = 1
MODE_4K: Final = 6
INA_BASE: Final = 55
PTW_WRITE_BACK: Final = 2 << 24
PTW_OUTER_SHAREABLE: Final = 2 << 28
PTW_READ_ALLOCATE: Final = 1 << 30

MAIR: Final = 0xFFFFFFFFF404FF44
"""Attributes 0 to 3 as the table code has them; the rest are what its sign extension leaves."""
MEMATTR_NON_CACHED: Final = 0x4C
MEMATTR_WRITE_BACK: Final = 0x8C
MEMATTR_CPU_INNER: Final = 0x10

# -- addresses, B.2 and B.5 -----------------------------------------------------------------

LARGE_PAGE: Final = 0x20_0000
BLOCK_RUN: Final = 0x4000_0000
"""Large pages are mapped in runs that end at a multiple of this: the end of a table."""
PAGE_SIZES: Final = PAGE | LARGE_PAGE
TABLE_SPANS: Final[list[i64]] = [1 << 39, 1 << 30, 1 << 21]
"""Bytes that one table translates, by level, below the root."""
MINIMUM_PART: Final = 1 << 28
"""The kernel's part of the addresses has at least so many bytes."""
TASK_SIZE: Final = 1 << 47
"""Addresses of a process of the CPU."""
AUTO_VA: Final = -1
"""In place of an address: anywhere."""

# -- what there can be ----------------------------------------------------------------------

AS_LIMIT: Final = 16
BIT: Final[list[i64]] = [1 << slot for slot in range(AS_LIMIT)]
"""The bit of each AS in a mask."""
MCU_SLOT: Final = 0
"""The AS of the GPU's own processor: no VM of a process ever has it."""
NO_SLOT: Final = -1
HANDLES: Final = 32
VMS: Final = 128
BUFFERS: Final = 256
FENCES: Final = 1024
LARGEST_PIECES: Final = 1 << 18
LOOKS_EACH: Final = 64
"""Looks at a VMA that a call may take for each VMA that exists."""
NONE: Final = -1
"""No buffer, no fence, or no VM to which a buffer belongs."""

# -- binds, B.6 -----------------------------------------------------------------------------

MAP: Final = 0
UNMAP: Final = 1
SYNC_ONLY: Final = 2
BIND_READONLY: Final = 1
BIND_NOEXEC: Final = 2
BIND_UNCACHED: Final = 4
BIND_FLAGS: Final = 7

__all__ = ["Device"]


# -- arithmetic -----------------------------------------------------------------------------


def region_of(start: int, size: int) -> int:
    """LOCKADDR for ``size`` bytes from ``start``, at least one byte; both unsigned.

    The region is a naturally aligned power of two: the smallest that holds the first and the
    last byte begins with the highest bit in which they differ. Source: B.1.
    """
    differ = start ^ (start + size - 1)
    width = max(differ.bit_length(), LOCK_MINIMUM_BITS) - 1
    return start >> width << width | width


def memattr_of(mair: int, coherent: bool) -> int:
    """MEMATTR for the eight attributes of a MAIR. Source: B.1."""
    memattr = 0
    for shift in range(0, 64, 8):
        outer = mair >> (shift + 4) & 0xF
        inner = mair >> shift & 0xF
        attribute = MEMATTR_NON_CACHED
        if outer & 3 and outer & 4 and inner & 4:
            attribute = MEMATTR_WRITE_BACK | inner & 3
            if coherent:
                attribute |= MEMATTR_CPU_INNER
        memattr |= attribute << shift
    return memattr


def transcfg_of(va_bits: int, coherent: bool) -> int:
    """TRANSCFG of an AS that walks tables of 4 KiB. Source: B.1."""
    config = PTW_WRITE_BACK | PTW_READ_ALLOCATE | (INA_BASE - va_bits) << 6 | MODE_4K
    if coherent:
        config |= PTW_OUTER_SHAREABLE
    return config


def user_part(va_bits: int, wanted: int) -> int:
    """How many bytes of a VM are the process's, from 0 on; the rest are the kernel's. Or -1.

    ``wanted``: what it asks for, 0 for as much as it has itself. The kernel gets the largest
    power of two that is left over. Source: B.5.
    """
    full = 1 << va_bits
    most = full - MINIMUM_PART
    if most < 0 or not 0 <= wanted <= most:
        return -1
    if wanted == 0:
        wanted = TASK_SIZE
        if full <= TASK_SIZE:
            wanted = full // 2 if full > 1 << 32 else most
    left = full - min(wanted, most)
    return full - (1 << (left.bit_length() - 1))


def tables_to_map(va: i64, size: i64) -> i64:
    """How many tables a map may need: one for each part of each level that it touches. B.6."""
    count: i64 = 0
    for span in TABLE_SPANS:
        count += (va + size + span - 1) // span - va // span
    return count


def tables_to_unmap(va: i64, size: i64) -> i64:
    """How many tables an unmap may need, for the large pages of which it leaves a part. B.6."""
    end: i64 = va + size
    count: i64 = 0
    if va % LARGE_PAGE != 0:
        count += 1
    if end % LARGE_PAGE != 0 and (count == 0 or end // LARGE_PAGE != va // LARGE_PAGE):
        count += 1
    return count


def page_run(address: i64, size: i64) -> tuple[i64, i64]:
    """(page size, how many) with which ``size`` bytes begin; ``address``: all that count, or-ed.

    Source: B.2.
    """
    to_large: i64 = -address % LARGE_PAGE
    if to_large != 0 or size < LARGE_PAGE:
        return PAGE, (min(to_large, size) if to_large != 0 else size) // PAGE
    to_end: i64 = -address % BLOCK_RUN
    return LARGE_PAGE, (min(to_end, size) if to_end != 0 else size) // LARGE_PAGE


def prot_of(flags: i64) -> i64:
    """The permissions that a bind's flags ask for. Source: B.2."""
    prot: i64 = READ
    if not flags & BIND_READONLY:
        prot |= WRITE
    if flags & BIND_NOEXEC:
        prot |= NOEXEC
    if not flags & BIND_UNCACHED:
        prot |= CACHE
    return prot


# -- registers ------------------------------------------------------------------------------


class Bus(Registers):
    """The way to the device."""

    def __init__(self, mmu: MaliDevice, trace: Trace) -> None:
        super().__init__(trace, BUS_BUDGET)
        self.mmu: MaliDevice = mmu

    def ask(self, register: i64) -> i64:
        """What the device answers to a read."""
        return self.mmu.read(register)

    def give(self, register: i64, value: i64) -> None:
        """What the device does on a write."""
        self.mmu.write(register, value)

    def write_wide(self, register: i64, value: int) -> None:
        """64 bits, the lower half first."""
        self.write(register, value & 0xFFFF_FFFF)
        self.write(register + 4, value >> 32)


def register_of(slot: i64, register: i64) -> i64:
    """Where a register of an AS is."""
    return AS_BASE + AS_STRIDE * slot + register


# -- commands -------------------------------------------------------------------------------


class Hardware:
    """The device: commands of its AS, its interrupt, its power.

    A command is written only where STATUS was seen clear, and its end is always waited for.
    ``reset_asked``: it got stuck, and a reset is to come. ``in_reset``: one is under way, and
    registers are left alone.
    """

    def __init__(self, bus: Bus, va_bits: i64, coherent: bool) -> None:
        self.bus: Bus = bus
        self.transcfg: int = transcfg_of(va_bits, coherent)
        self.memattr: int = memattr_of(MAIR, coherent)
        self.powered: bool = True
        self.unplugged: bool = False
        self.in_reset: bool = False
        self.reset_asked: bool = False

    def is_up(self) -> bool:
        """Whether it is there, has power, and is not being reset."""
        return self.powered and not self.in_reset and not self.unplugged

    # -- commands of an AS ------------------------------------------------------------------

    def wait(self, slot: i64) -> i64:
        """Until no command runs. ETIMEDOUT: one is stuck; a reset is asked for."""
        if self.bus.wait_for(register_of(slot, STATUS), ACTIVE, False, POLLS):
            return 0
        self.ask_for_reset()
        return -errno.ETIMEDOUT

    def ask_for_reset(self) -> None:
        """Have the device reset later, once."""
        if not self.reset_asked:
            self.reset_asked = True
            self.bus.trace.emit(MESSAGE, 0, MESSAGE_RESET)

    def carry_out(self, slot: i64, command: i64) -> i64:
        """A command, to its end; no other one runs. ETIMEDOUT."""
        self.bus.write(register_of(slot, COMMAND), command)
        return self.wait(slot)

    def lock(self, slot: i64, start: int, size: int) -> i64:
        """Let accesses to a range stall, until a flush has ended. ETIMEDOUT."""
        result = self.wait(slot)
        if result != 0:
            return result
        self.bus.write_wide(register_of(slot, LOCKADDR), region_of(start, size))
        return self.carry_out(slot, LOCK)

    def flush_all(self, slot: i64) -> i64:
        """Leave nothing cached of what an AS translated. ETIMEDOUT."""
        result = self.lock(slot, 0, WHOLE_SPACE)
        if result != 0:
            return result
        return self.carry_out(slot, FLUSH_MEM)

    def set(self, slot: i64, transtab: int, memattr: int, transcfg: int) -> i64:
        """How an AS translates from now on. ETIMEDOUT."""
        self.bus.write_wide(register_of(slot, TRANSTAB), transtab)
        self.bus.write_wide(register_of(slot, MEMATTR), memattr)
        self.bus.write_wide(register_of(slot, TRANSCFG), transcfg)
        return self.carry_out(slot, UPDATE)

    def enable(self, slot: i64, root: i64) -> i64:
        """Let an AS translate by the tables from ``root`` on. ETIMEDOUT."""
        # 1. Nothing of whoever had it is left.
        result = self.flush_all(slot)
        if result != 0:
            return result
        # 2. Root and attributes, latched by UPDATE.
        return self.set(slot, root, self.memattr, self.transcfg)

    def disable(self, slot: i64) -> i64:
        """Let an AS translate nothing. ETIMEDOUT."""
        result = self.flush_all(slot)
        if result != 0:
            return result
        return self.set(slot, 0, 0, MODE_UNMAPPED)

    # -- power and resets -------------------------------------------------------------------

    def reset(self) -> None:
        """The device loses what it knows."""
        self.bus.mmu.reset()
        self.bus.trace.emit(MESSAGE, 0, MESSAGE_WAS_RESET)
        self.reset_asked = False

    def power_off(self) -> None:
        """The same, and it answers no more. A reset would do no more than this."""
        self.bus.mmu.power_off()
        self.bus.trace.emit(MESSAGE, 0, MESSAGE_POWER_OFF)
        self.powered = False
        self.reset_asked = False

    def power_on(self) -> None:
        """It answers again."""
        self.bus.mmu.power_on()
        self.bus.trace.emit(MESSAGE, 0, MESSAGE_POWER_ON)
        self.powered = True


# -- table pages ----------------------------------------------------------------------------


class TablePool(TableMemory):
    """The table pages of all VMs.

    ``spare``: those that were reserved for the change at work, which gets no others;
    ``removed``: those that it took off, which the device may still walk; ``kept``: those that
    it may walk until it is reset, by VM.
    """

    def __init__(self, trace: Trace) -> None:
        super().__init__(TABLE_BASE, TABLE_END, PAGE, trace)
        self.spare: list[i64] = []
        self.removed: list[i64] = []
        self.kept: dict[i64, list[i64]] = {}

    def reserve(self, count: i64) -> bool:
        """Add ``count`` pages to ``spare``; False, and none added, where memory runs out."""
        before = len(self.spare)
        for _ in range(count):
            page = super().allocate(PAGE, PAGE)
            if page == NO_TABLE:
                self.free_spare(before)
                return False
            self.spare.append(page)
        return True

    def free_spare(self, left: i64) -> None:
        """Free reserved pages, but for the first ``left``."""
        while len(self.spare) > left:
            super().free(self.spare.pop())

    def allocate(self, size: i64, align: i64) -> i64:
        """A page that was reserved; NO_TABLE if none is left."""
        if not self.spare:
            return NO_TABLE
        return self.spare.pop(0)

    def free(self, pa: i64) -> None:
        """A page comes off a table. It is freed when the device was flushed."""
        self.removed.append(pa)

    def settle(self, vm: i64, flushed: bool) -> None:
        """Free what came off a VM's tables, or, if the device may still walk there, keep it."""
        if self.removed and not flushed:
            self.kept.setdefault(vm, []).extend(self.removed)
            self.removed.clear()
        while self.removed:
            super().free(self.removed.pop(0))

    def free_kept(self, vm: i64) -> None:
        """The device was reset: nothing is walked any more."""
        for page in self.kept.pop(vm):
            super().free(page)


class Tables(PageTable):
    """The page tables of one VM. Whoever changes them has the region locked, and flushes it."""

    def __init__(
        self, geometry: Geometry, pa_bits: i64, coherent: bool, pool: TablePool, trace: Trace
    ) -> None:
        super().__init__(geometry, pa_bits, PAGE_SIZES, coherent, True, trace, pool)

    def make_root(self) -> bool:
        """Make the root, from a page that was reserved; False: there is none."""
        root = self.new_table()
        if root == NO_TABLE:
            return False
        self.barrier()
        self.roots.append(root)
        return True

    def remove_all(self) -> None:
        """Take off every table, the root too."""
        for root in self.roots:
            self.free_tables(root, self.top)
        self.roots.clear()

    def flush_walk(self, iova: i64, size: i64) -> None:
        """A table came off: the pages are held back until the flush at the end of the change."""

    def map_buffer(
        self, va: i64, size: i64, pages: BufferPages, offset: i64, prot: i64
    ) -> tuple[i64, i64]:
        """Map the pages of a buffer from byte ``offset`` on, piece by piece: (result, bytes)."""
        piece: i64 = offset // pages.piece
        skipped: i64 = offset % pages.piece
        done: i64 = 0
        while done < size:
            pa: i64 = pages.pa + piece * pages.apart + skipped
            length: i64 = min(pages.piece - skipped, size - done)
            result, mapped = self.map_run(va + done, pa, length, prot)
            done += mapped
            if result != 0:
                return result, done
            piece += 1
            skipped = 0
        return 0, done

    def map_run(self, va: i64, pa: i64, size: i64, prot: i64) -> tuple[i64, i64]:
        """Map bytes that follow each other in memory: (result, bytes mapped)."""
        done: i64 = 0
        while done < size:
            page, count = page_run((va + done) | (pa + done), size - done)
            result, mapped = self.map_pages(va + done, pa + done, page, count, prot)
            done += mapped
            if result != 0:
                return result, done
        return 0, done

    def unmap_range(self, va: i64, size: i64) -> i64:
        """Unmap what is mapped without a hole: bytes unmapped."""
        done: i64 = 0
        while done < size:
            page, count = page_run(va + done, size - done)
            unmapped = self.unmap_pages(va + done, page, count, True)
            if unmapped == 0:
                break
            done += unmapped
        return done

    def has_block(self, va: i64) -> bool:
        """Whether a large page lies at an address."""
        table: i64 = self.root_of(va)
        level: i64 = self.top
        while level < self.last_level:
            entry = self.memory.read(table, self.geometry.index(level, va))
            kind = self.format.kind(level, entry)
            if kind == NO_ENTRY:
                return False
            if kind == LEAF:
                return True
            table = self.format.next_table(level, entry)
            level += 1
        return False


# -- what a process has ---------------------------------------------------------------------


class MaliBuffer(Buffer):
    """A buffer whose pages lie at ``at``.

    ``owner``: the VM to which it belongs, or NONE. ``pins``: how many links there are, each of
    which keeps its pages in memory; none where it is ``imported``: they are another driver's.
    """

    def __init__(self, number: i64, size: i64, at: BufferPages, owner: i64, imported: bool) -> None:
        super().__init__(number, page_of(size), owner != NONE)
        self.at: BufferPages = at
        self.owner: i64 = owner
        self.imported: bool = imported
        self.pins: i64 = 0

    def pin(self, change: i64) -> None:
        """A link came (1) or went (-1)."""
        if not self.imported:
            self.pins += change


class Fence:
    """Says that something is done. ``made``: by the process, which signals it."""

    def __init__(self, number: i64, made: bool) -> None:
        self.number: i64 = number
        self.made: bool = made
        self.signalled: bool = False


class Bind:
    """A change of a VM, and everything that it may need, so that it cannot fail half-way.

    ``link``: that of the buffer, with a reference; ``vmas``, ``pages``: what was reserved.
    ``fence``: the one that it signals; ``wait_for``: the one that it waits for.
    """

    def __init__(self, vm: "Vm", kind: i64, va: i64, size: i64, offset: i64, flags: i64) -> None:
        self.vm: Vm = vm
        self.kind: i64 = kind
        self.va: i64 = va
        self.size: i64 = size
        self.offset: i64 = offset
        self.flags: i64 = flags
        self.link: VmBo | None = None
        self.vmas: list[Vma] = []
        self.pages: list[i64] = []
        self.fence: Fence | None = None
        self.wait_for: Fence | None = None


class Node:
    """A range of the kernel's part of a VM; ``mapped``: it has a mapping."""

    def __init__(self, vm: "Vm", va: i64, size: i64, mapped: bool) -> None:
        self.vm: Vm = vm
        self.va: i64 = va
        self.size: i64 = size
        self.mapped: bool = mapped


class Touched:
    """Whose counts an operation may have changed, for whoever tells them.

    VMs and buffers by number; links as (VM, buffer). ``named``: those that it named.
    """

    def __init__(self) -> None:
        self.vms: dict[i64, Vm] = {}
        self.buffers: set[i64] = set()
        self.links: set[tuple[i64, i64]] = set()
        self.named_vms: set[i64] = set()
        self.named_buffers: set[i64] = set()

    def clear(self) -> None:
        """A new operation begins."""
        self.vms.clear()
        self.buffers.clear()
        self.links.clear()
        self.named_vms.clear()
        self.named_buffers.clear()

    def link(self, vm: "Vm", buffer: Buffer) -> None:
        """The link of a buffer to a VM, and both of them."""
        self.vms[vm.number] = vm
        self.buffers.add(buffer.number)
        self.links.add((vm.number, buffer.number))


# -- one VM ---------------------------------------------------------------------------------


class Vm(Gpuvm):
    """One VM: a VA manager with page tables.

    ``count``: 1 for its handle, each job, VMA, link and node, and each queued bind that is not
    cleaned up. ``user_end``: where the process's part ends. ``slot``: its AS, or NO_SLOT;
    ``active``: its jobs. ``destroyed``: its handle is gone; ``unusable``: a queued bind failed.
    ``result``: the first error of the change at work. ``lost``: some AS may walk its tables
    until the device is reset, for a command got stuck.
    """

    def __init__(
        self,
        number: i64,
        geometry: Geometry,
        user_end: i64,
        tables: Tables,
        hardware: Hardware,
        pool: TablePool,
        touched: Touched,
    ) -> None:
        super().__init__(0, geometry.limit, 0, 0, tables.trace)
        self.number: i64 = number
        self.handle: i64 = 0
        self.user_end: i64 = user_end
        self.kernel: VaAllocator = VaAllocator(user_end, geometry.limit - user_end)
        self.tables: Tables = tables
        self.hardware: Hardware = hardware
        self.pool: TablePool = pool
        self.touched: Touched = touched
        self.slot: i64 = NO_SLOT
        self.active: i64 = 0
        self.destroyed: bool = False
        self.unusable: bool = False
        self.lost: bool = False
        self.result: i64 = 0
        self.prot: i64 = 0
        self.queue: list[Bind] = []
        self.nodes: list[i64] = []
        # References to links that stuck changes let go, by buffer.
        self.kept: dict[i64, VmBo] = {}

    # -- reserving --------------------------------------------------------------------------

    def prepare(self, bind: Bind, buffer: Buffer | None) -> i64:
        """Reserve all that a bind may need. ENOMEM: nothing is reserved."""
        # 1. The link of a buffer that is mapped.
        vmas: i64 = VMAS_TO_UNMAP
        tables: i64 = tables_to_unmap(bind.va, bind.size)
        if buffer is not None:
            bind.link = self.obtain(buffer)
            if bind.link is None:
                return -errno.ENOMEM
            vmas = VMAS_TO_MAP
            tables = tables_to_map(bind.va, bind.size)
        # 2. VMAs.
        if not self.take(vmas):
            self.put_bind_link(bind)
            return -errno.ENOMEM
        # 3. Table pages. An operation has one count of allocations.
        self.pool.fail_at = self.fail_at
        self.fail_at = 0
        if not self.pool.reserve(tables):
            self.give_back()
            self.put_bind_link(bind)
            return -errno.ENOMEM
        # 4. They are the bind's. A VMA counts when it is used.
        bind.vmas = self.spare
        bind.pages = self.pool.spare
        self.count -= len(bind.vmas)
        self.spare = []
        self.pool.spare = []
        return 0

    def clean_up(self, bind: Bind) -> None:
        """Give back what a bind did not need."""
        self.pool.spare = bind.pages
        self.pool.free_spare(0)
        bind.pages = []
        bind.vmas = []
        self.put_bind_link(bind)

    def put_bind_link(self, bind: Bind) -> None:
        """Drop a bind's reference to its link."""
        link = bind.link
        if link is not None:
            bind.link = None
            self.put_link(link)

    # -- changing ---------------------------------------------------------------------------

    def carry_out(self, bind: Bind) -> i64:
        """Do what was prepared. ETIMEDOUT: it is done, but the device is stuck."""
        self.result = 0
        # 1. What was reserved is used, and nothing else.
        self.spare = bind.vmas
        self.count += len(self.spare)
        self.pool.spare = bind.pages
        # 2. Split and map.
        link = bind.link
        result: i64 = 0
        if link is not None:
            self.prot = prot_of(bind.flags)
            result = self.sm_map(page_of(bind.va), page_of(bind.size), link, page_of(bind.offset))
        else:
            result = self.sm_unmap(page_of(bind.va), page_of(bind.size))
        # 3. What is left.
        self.give_back()
        self.spare = []
        bind.vmas = []
        bind.pages = self.pool.spare
        self.pool.spare = []
        return result if result != 0 else self.result

    def unmap_everything(self) -> None:
        """Unmap the whole VM, which splits nothing and so needs nothing."""
        self.result = 0
        self.sm_unmap(0, self.end)

    def step_map(self, first: i64, end: i64, link: VmBo, offset: i64) -> None:
        """A new VMA, once its entries are there."""
        vma = self.spare.pop()
        vma.set(first, end, offset)
        if not self.map_pages(first * PAGE, (end - first) * PAGE, link.buffer, offset * PAGE):
            self.free(vma)
            return
        self.insert(vma, link)

    def map_pages(self, va: i64, size: i64, buffer: Buffer, offset: i64) -> bool:
        """Store the entries of a mapping. False: ``result``, and none is left."""
        assert isinstance(buffer, MaliBuffer)
        self.begin_change(va, size)
        result, done = self.tables.map_buffer(va, size, buffer.at, offset, self.prot)
        if result != 0:
            self.tables.unmap_range(va, done)
            self.note(result)
        self.end_change()
        return result == 0

    def unmap_pages(self, first: i64, end: i64) -> None:
        """Clear the entries of pages, all of which are mapped."""
        va: i64 = first * PAGE
        end *= PAGE
        # 1. A large page of which a part stays is replaced as a whole.
        start: i64 = va
        if va % LARGE_PAGE != 0 and self.tables.has_block(va):
            start = va // LARGE_PAGE * LARGE_PAGE
        stop: i64 = end
        if end % LARGE_PAGE != 0 and self.tables.has_block(end - PAGE):
            stop = (end + LARGE_PAGE - 1) // LARGE_PAGE * LARGE_PAGE
        # 2. Nobody translates there while entries change.
        self.begin_change(start, stop - start)
        done = self.tables.unmap_range(va, end - va)
        if done != end - va:
            self.trace.emit(WARN)
        self.end_change()

    def begin_change(self, start: i64, size: i64) -> None:
        """Lock the range, if an AS translates it."""
        if self.is_walked():
            self.note(self.hardware.lock(self.slot, start, size))

    def end_change(self) -> None:
        """Flush the locked range; then nobody walks what came off, and it is given back."""
        self.tables.barrier()
        if self.is_walked():
            self.note(self.hardware.carry_out(self.slot, FLUSH_PT))
        self.pool.settle(self.number, self.is_flushed())

    def is_walked(self) -> bool:
        """Whether a change has to tell an AS. Not after it got stuck by the same bind."""
        if self.slot == NO_SLOT or not self.hardware.is_up():
            return False
        return self.result != -errno.ETIMEDOUT

    def is_flushed(self) -> bool:
        """Whether no AS can use what the change at work has taken off."""
        if self.result == -errno.ETIMEDOUT or self.lost:
            return False
        return self.slot == NO_SLOT or self.hardware.is_up()

    def note(self, result: i64) -> None:
        """Remember the first error of a change, and a device that is stuck before all else."""
        if self.result == 0 or result == -errno.ETIMEDOUT:
            self.result = result

    # -- links ------------------------------------------------------------------------------

    def obtain(self, buffer: Buffer) -> VmBo | None:
        """As any VA manager; a new link pins the buffer's pages."""
        is_new = buffer.number not in self.links
        link = super().obtain(buffer)
        self.touched.link(self, buffer)
        if is_new and link is not None:
            assert isinstance(buffer, MaliBuffer)
            buffer.pin(1)
        return link

    def insert(self, vma: Vma, link: VmBo) -> None:
        """As any VA manager."""
        self.touched.link(self, link.buffer)
        super().insert(vma, link)

    def put_link(self, link: VmBo) -> None:
        """As any VA manager; a link that is gone pins no more."""
        buffer = link.buffer
        self.touched.link(self, buffer)
        super().put_link(link)
        if link.count == 0:
            assert isinstance(buffer, MaliBuffer)
            buffer.pin(-1)

    def unlink(self, vma: Vma) -> None:
        """Drop a VMA's reference to its link, unless the device may still use the pages."""
        link = vma.link
        assert link is not None
        if self.is_flushed() or link.buffer.number in self.kept:
            super().unlink(vma)
            return
        vma.link = None
        self.kept[link.buffer.number] = link
        self.touched.link(self, link.buffer)

    def put_kept_links(self) -> None:
        """The device was reset: no page is used any more."""
        self.lost = False
        for link in list(self.kept.values()):
            self.put_link(link)
        self.kept.clear()


# -- who has which AS -----------------------------------------------------------------------


class Slots:
    """The AS, B.3: VMs take turns; one that is idle keeps its AS until another VM needs it.

    ``taken``, ``faulty``: masks of AS; ``vms``: who has which; ``walked``: for whom an AS walks,
    as far as the device was seen to obey; ``idle``: VMs that have an AS and no job, the one
    that has waited longest first. ``mask``: the interrupts that the driver wants.
    """

    def __init__(self, hardware: Hardware, count: i64, touched: Touched) -> None:
        self.hardware: Hardware = hardware
        self.touched: Touched = touched
        self.vms: list[Vm | None] = [None for _ in range(count)]
        self.walked: list[Vm | None] = [None for _ in range(count)]
        self.idle: list[Vm] = []
        self.taken: i64 = 0
        self.faulty: i64 = 0
        self.mask: i64 = 0
        self.suspended: bool = True

    # -- jobs -------------------------------------------------------------------------------

    def activate(self, vm: Vm) -> i64:
        """One job more. EBUSY: every AS is in use. ETIMEDOUT."""
        if vm.active == 0:
            result = self.make_ready(vm)
            if result != 0:
                return result
            if vm in self.idle:
                self.idle.remove(vm)
        vm.active += 1
        return 0

    def deactivate(self, vm: Vm) -> None:
        """One job less. The last one leaves the AS to the VM, for now."""
        vm.active -= 1
        if vm.active == 0:
            self.idle.append(vm)

    def make_ready(self, vm: Vm) -> i64:
        """Give a VM an AS that walks for it. EBUSY, ETIMEDOUT: it has none."""
        # 1. It may have kept one.
        if vm.slot != NO_SLOT and not self.faulty & BIT[vm.slot]:
            return 0
        # 2. Or get one, if need be that of the VM that was idle first.
        if vm.slot == NO_SLOT:
            slot = self.find()
            if slot == NO_SLOT:
                return -errno.EBUSY
            self.take(vm, slot)
        # 3. A fault there is over.
        self.forget_fault(vm.slot)
        # 4. If it cannot be enabled, nobody knows for whom it walks.
        result = self.hardware.enable(vm.slot, vm.tables.roots[0])
        if result != 0:
            vm.lost = True
            before = self.walked[vm.slot]
            if before is not None:
                before.lost = True
            self.release(vm)
            return result
        self.walked[vm.slot] = vm
        return 0

    def find(self) -> i64:
        """An AS that is free, or was made so; NO_SLOT: there is none."""
        for slot in range(MCU_SLOT + 1, len(self.vms)):
            if not self.taken & BIT[slot]:
                return slot
        if not self.idle:
            return NO_SLOT
        victim = self.idle[0]
        slot_of_victim = victim.slot
        self.release(victim)
        return slot_of_victim

    # -- book-keeping -----------------------------------------------------------------------

    def take(self, vm: Vm, slot: i64) -> None:
        """An AS is a VM's."""
        self.touched.vms[vm.number] = vm
        vm.slot = slot
        self.vms[slot] = vm
        self.taken |= BIT[slot]

    def release(self, vm: Vm) -> None:
        """A VM has no AS any more, and no job that would need one."""
        self.touched.vms[vm.number] = vm
        self.vms[vm.slot] = None
        self.taken &= ~BIT[vm.slot]
        if vm in self.idle:
            self.idle.remove(vm)
        vm.count -= vm.active
        vm.active = 0
        vm.slot = NO_SLOT

    def disable(self, slot: i64) -> i64:
        """Let an AS walk for nobody. ETIMEDOUT: nobody knows whether it does."""
        result = self.hardware.disable(slot)
        before = self.walked[slot]
        if result != 0:
            if before is not None:
                before.lost = True
            return result
        self.walked[slot] = None
        return 0

    def forget(self) -> None:
        """The device lost its registers: no AS walks, and none is faulty."""
        self.faulty = 0
        for slot in range(len(self.walked)):
            self.walked[slot] = None

    # -- interrupts, B.4 --------------------------------------------------------------------

    def arm(self) -> None:
        """Let faults through from now on; what was raised before is nobody's."""
        self.suspended = False
        self.mask = FAULTS
        self.hardware.bus.write(INT_CLEAR, FAULTS)
        self.hardware.bus.write(INT_MASK, FAULTS)

    def disarm(self) -> None:
        """Let nothing through."""
        self.suspended = True
        self.hardware.bus.write(INT_MASK, 0)

    def interrupt(self) -> bool:
        """The interrupt is raised; False: not by this device."""
        bus = self.hardware.bus
        # 1. The hard handler leaves the rest to a thread.
        if self.suspended or bus.read(INT_STAT) == 0:
            return False
        bus.write(INT_MASK, 0)
        # 2. The thread, until nothing is raised.
        while True:
            status: i64 = bus.read(INT_RAWSTAT) & self.mask
            if status == 0:
                break
            for slot in range(AS_LIMIT):
                if status & BIT[slot]:
                    self.handle_fault(slot)
        if not self.suspended:
            bus.write(INT_MASK, self.mask)
        return True

    def handle_fault(self, slot: i64) -> None:
        """Stop an AS that faulted. Its VM keeps it until its jobs are gone."""
        bus = self.hardware.bus
        # 1. What it was, which is for people; then the next fault may come.
        bus.read(register_of(slot, FAULTSTATUS))
        bus.read(register_of(slot, FAULTADDRESS))
        bus.read(register_of(slot, FAULTADDRESS + 4))
        bus.write(INT_CLEAR, BIT[slot])
        # 2. No more of this AS.
        self.faulty |= BIT[slot]
        self.mask = FAULTS & ~self.faulty
        bus.write(INT_MASK, self.mask)
        self.disable(slot)

    def forget_fault(self, slot: i64) -> None:
        """Let the faults of an AS through again."""
        if not self.faulty & BIT[slot]:
            return
        bus = self.hardware.bus
        bus.write(INT_CLEAR, BIT[slot])
        self.faulty &= ~BIT[slot]
        self.mask = FAULTS & ~self.faulty
        bus.write(INT_MASK, self.mask)


# -- the driver -----------------------------------------------------------------------------


class Binds:
    """What the process asks to be mapped and unmapped, at once or queued, and its fences. B.6."""

    def __init__(self, device: "Device") -> None:
        self.device: Device = device
        """Whose VMs and buffers they are about."""
        self.fences: list[Fence] = []
        """By number."""
        self.waiting: list[Vm] = []
        """VMs with queued binds; the one whose turn it is comes first."""
        self.done: list[Bind] = []
        """Binds that were carried out, of which something is left to be given back."""

    def bind(
        self, number: i64, kind: i64, va: i64, size: i64, bo: i64, offset: i64, flags: i64
    ) -> i64:
        """Change a VM at once."""
        if self.device.hardware.unplugged:
            return -errno.ENODEV
        buffer = self.device.open_buffer(bo)
        vm = self.device.open_vm(number)
        if vm is None:
            return -errno.EINVAL
        result: i64 = 0
        if size != 0:
            result = self.check(vm, kind, va, size, bo, offset, flags)
        if size != 0 and result == 0:
            result = self.bind_now(Bind(vm, kind, va, size, offset, flags), buffer)
        self.device.leave(vm)
        return result

    def bind_now(self, bind: Bind, buffer: Buffer | None) -> i64:
        """Reserve, change, and give back what was not needed."""
        bind.vm.fail_at = self.device.fail_at
        result = bind.vm.prepare(bind, buffer)
        if result != 0:
            return result
        result = bind.vm.carry_out(bind)
        bind.vm.clean_up(bind)
        return result

    def queue(
        self,
        number: i64,
        kind: i64,
        va: i64,
        size: i64,
        bo: i64,
        offset: i64,
        flags: i64,
        fence: i64,
    ) -> tuple[i64, i64]:
        """Change a VM later, in order: (result, the fence that says so)."""
        if self.device.hardware.unplugged:
            return -errno.ENODEV, 0
        if len(self.fences) == FENCES:
            return -errno.ENOSPC, 0
        buffer = self.device.open_buffer(bo)
        if fence != NONE and not 0 <= fence < len(self.fences):
            return -errno.EINVAL, 0
        vm = self.device.open_vm(number)
        if vm is None:
            return -errno.EINVAL, 0
        result = self.check_queued(vm, kind, va, size, bo, offset, flags)
        bind = Bind(vm, kind, va, size, offset, flags)
        if result == 0 and kind != SYNC_ONLY:
            result = vm.prepare(bind, buffer)
        made: i64 = 0
        if result == 0:
            bind.wait_for = None if fence == NONE else self.fences[fence]
            made = self.push(bind)
        self.device.leave(vm)
        return result, made

    def push(self, bind: Bind) -> i64:
        """Put a bind at the end of its VM's queue: the number of its fence."""
        fence = Fence(len(self.fences), False)
        self.fences.append(fence)
        bind.fence = fence
        bind.vm.count += 1
        if not bind.vm.queue:
            self.waiting.append(bind.vm)
        bind.vm.queue.append(bind)
        return fence.number

    # -- what a bind needs --------------------------------------------------------------------

    def check(self, vm: Vm, kind: i64, va: i64, size: i64, bo: i64, offset: i64, flags: i64) -> i64:
        """What any change needs. EINVAL, or ERANGE for pages that no entry can name."""
        # 1. Whole pages, in the process's part of the addresses.
        if (va | size) & PAGE_MASK:
            return -errno.EINVAL
        limit = vm.user_end
        if va < 0 or size <= 0 or size > limit or va > limit - size:
            return -errno.EINVAL
        # 2. A part of a buffer, or nothing.
        if kind == MAP:
            if flags & ~BIND_FLAGS or vm.unusable:
                return -errno.EINVAL
            return self.check_buffer(vm, bo, offset, size)
        if kind != UNMAP or flags != 0 or bo != NONE or offset != 0:
            return -errno.EINVAL
        return 0

    def check_buffer(self, vm: Vm, bo: i64, offset: i64, size: i64) -> i64:
        """Whether a part of a buffer can be mapped in a VM."""
        buffer = self.device.open_buffer(bo)
        if buffer is None or (buffer.owner != NONE and buffer.owner != vm.number):
            return -errno.EINVAL
        if offset < 0 or offset & PAGE_MASK:
            return -errno.EINVAL
        whole: i64 = buffer.pages * PAGE
        if size < 0 or size > whole or offset > whole - size:
            return -errno.EINVAL
        if buffer.at.address(offset + size - 1) >= vm.tables.output_limit:
            return -errno.ERANGE
        return 0

    def check_queued(
        self, vm: Vm, kind: i64, va: i64, size: i64, bo: i64, offset: i64, flags: i64
    ) -> i64:
        """What a queued change needs beside."""
        if vm.unusable:
            return -errno.EINVAL
        if kind != SYNC_ONLY:
            return self.check(vm, kind, va, size, bo, offset, flags)
        if va != 0 or size != 0 or bo != NONE or offset != 0 or flags != 0:
            return -errno.EINVAL
        return 0

    # -- fences -----------------------------------------------------------------------------

    def make_fence(self) -> tuple[i64, i64]:
        """A fence that the process signals: (result, number)."""
        if len(self.fences) == FENCES:
            return -errno.ENOSPC, 0
        number: i64 = len(self.fences)
        self.fences.append(Fence(number, True))
        return 0, number

    def signal_fence(self, number: i64) -> i64:
        """EINVAL: not one of the process's, or signalled already."""
        if not 0 <= number < len(self.fences):
            return -errno.EINVAL
        fence = self.fences[number]
        if not fence.made or fence.signalled:
            return -errno.EINVAL
        self.signal(fence, 0)
        return 0

    def signal(self, fence: Fence, result: i64) -> None:
        """Say that something is done, and how it went."""
        fence.signalled = True
        self.device.trace.emit(FENCE, fence.number, result)

    # -- queued binds -------------------------------------------------------------------------

    def run_bind(self, bind: Bind) -> None:
        """Carry out a queued bind, and signal its fence."""
        vm = bind.vm
        self.device.enter(vm)
        # 1. It is the first of its queue; other VMs come before its next one.
        vm.queue.pop(0)
        self.waiting.remove(vm)
        if vm.queue:
            self.waiting.append(vm)
        # 2. Nothing happens to a VM that was destroyed.
        result: i64 = 0
        if vm.destroyed:
            result = -errno.ECANCELED
        elif bind.kind != SYNC_ONLY:
            result = self.run_change(bind)
        # 3. Whoever waits goes on; the rest is done later.
        fence = bind.fence
        assert fence is not None
        self.signal(fence, result)
        self.done.append(bind)
        self.device.leave(vm)

    def run_change(self, bind: Bind) -> i64:
        """A queued change. If it fails, the process does not know what is mapped any more."""
        vm = bind.vm
        if vm.unusable and bind.kind == MAP:
            return -errno.EINVAL
        result = vm.carry_out(bind)
        if result != 0:
            vm.unusable = True
        return result

    def finish(self, bind: Bind) -> None:
        """Give back what a queued bind did not need, and its reference to the VM."""
        vm = bind.vm
        self.device.enter(vm)
        vm.result = 0
        vm.clean_up(bind)
        vm.count -= 1
        self.device.leave(vm)


class KernelRanges:
    """Ranges that the kernel takes of its part of VMs, and what it maps there. B.5."""

    def __init__(self, device: "Device") -> None:
        self.device: Device = device
        """Whose VMs and buffers they are about."""
        self.nodes: list[Node | None] = []
        """By number; None once a range was given back."""

    def alloc(self, number: i64, size: i64, va: i64, bo: i64, offset: i64) -> tuple[i64, i64]:
        """A range for the kernel, at ``va`` or AUTO_VA, which maps a part of a buffer or NONE.

        (result, address). EINVAL; ENOSPC: there is no such range. Source: B.5.
        """
        if self.device.hardware.unplugged:
            return -errno.ENODEV, 0
        self.device.open_buffer(bo)
        vm = self.device.open_vm(number)
        if vm is None:
            return -errno.EINVAL, 0
        result, address = self.alloc_in(vm, size, va, bo, offset)
        self.device.leave(vm)
        return result, address

    def alloc_in(self, vm: Vm, size: i64, va: i64, bo: i64, offset: i64) -> tuple[i64, i64]:
        """As ``alloc``."""
        # 1. Refuse what cannot be.
        if size == 0 or (size | offset) & PAGE_MASK or (va != AUTO_VA and va & PAGE_MASK):
            return -errno.EINVAL, 0
        if bo != NONE:
            result = self.device.binds.check_buffer(vm, bo, offset, size)
            if result != 0:
                return result, 0
        # 2. The range. A size that reads as negative is more than there can be.
        if size < 0:
            return -errno.ENOSPC, 0
        result, va = self.take_range(vm, size, va)
        if result != 0:
            return result, 0
        # 3. The mapping. If it fails nothing is left.
        if bo != NONE:
            bind = Bind(vm, MAP, va, size, offset, BIND_NOEXEC)
            result = self.device.binds.bind_now(bind, self.device.buffers[bo])
            if result == -errno.ETIMEDOUT:
                self.unmap_node(vm, va, size)
            if result != 0:
                vm.kernel.free_at(va)
                return result, 0
        # 4. The node keeps the VM.
        vm.nodes.append(len(self.nodes))
        self.nodes.append(Node(vm, va, size, bo != NONE))
        vm.count += 1
        return 0, va

    def take_range(self, vm: Vm, size: i64, va: i64) -> tuple[i64, i64]:
        """Addresses of the kernel's part, at ``va`` or AUTO_VA: (result, address). ENOSPC."""
        if va == AUTO_VA:
            align = LARGE_PAGE if size >= LARGE_PAGE else PAGE
            result, va = vm.kernel.alloc(size, align, BEST, 0, vm.kernel.end - 1)
            return result, va
        if va < 0:
            return -errno.ENOSPC, 0
        return vm.kernel.reserve(va, size), va

    def unmap_node(self, vm: Vm, va: i64, size: i64) -> i64:
        """Unmap a range of the kernel's."""
        return self.device.binds.bind_now(Bind(vm, UNMAP, va, size, 0, 0), None)

    def free(self, number: i64) -> i64:
        """Give a node back. EINVAL: there is none. ETIMEDOUT: it is gone all the same."""
        if not 0 <= number < len(self.nodes):
            return -errno.EINVAL
        node = self.nodes[number]
        if node is None:
            return -errno.EINVAL
        vm = node.vm
        self.device.name_vm(vm)
        result = self.free_node(number)
        self.device.leave(vm)
        return result

    def free_node(self, number: i64) -> i64:
        """Unmap it, give its range back, and let go of the VM."""
        node = self.nodes[number]
        assert node is not None
        vm = node.vm
        self.device.enter(vm)
        result: i64 = 0
        if node.mapped:
            result = self.unmap_node(vm, node.va, node.size)
        vm.kernel.free_at(node.va)
        vm.nodes.remove(number)
        self.nodes[number] = None
        vm.count -= 1
        self.device.leave(vm)
        return result


class Device:
    """The driver of one device with ``slots`` AS, 1 to 16, and the process that uses it."""

    def __init__(
        self, va_bits: i64, pa_bits: i64, slots: i64, coherent: bool, trace: Trace
    ) -> None:
        self.trace: Trace = trace
        self.va_bits: i64 = va_bits
        self.pa_bits: i64 = pa_bits
        self.coherent: bool = coherent
        self.touched: Touched = Touched()
        self.bus: Bus = Bus(MaliDevice(slots, va_bits, pa_bits), trace)
        self.hardware: Hardware = Hardware(self.bus, va_bits, coherent)
        self.slots: Slots = Slots(self.hardware, slots, self.touched)
        self.pool: TablePool = TablePool(trace)
        self.layout: BufferLayout = BufferLayout()
        # By number; None once it is gone. Handles, from 1 on, of those that are not destroyed.
        self.vms: list[Vm | None] = []
        self.handles: list[Vm | None] = [None for _ in range(HANDLES + 1)]
        self.buffers: dict[i64, Buffer] = {}
        self.buffers_made: i64 = 0
        self.binds: Binds = Binds(self)
        self.ranges: KernelRanges = KernelRanges(self)
        # The VM that events are about, and what a call may do with its tree.
        self.told: i64 = NONE
        self.looks: i64 = 0
        self.fail_at: i64 = 0
        self.slots.arm()

    # -- calls ------------------------------------------------------------------------------

    def begin(self, trace: Trace, fail_at: i64, accesses: i64, looks: i64) -> None:
        """A new operation: its events, the allocation that fails, and how long it may take.

        ``accesses``: of entries; ``looks``: at VMAs of one VM.
        """
        self.trace = trace
        self.bus.begin(trace, BUS_BUDGET)
        self.pool.trace = trace
        self.pool.budget = accesses
        self.pool.fail_at = 0
        self.fail_at = fail_at
        self.looks = looks
        self.told = NONE
        self.touched.clear()

    def enter(self, vm: Vm) -> None:
        """Begin to work on a VM, which is kept until ``leave``."""
        self.touched.vms[vm.number] = vm
        vm.trace = self.trace
        vm.tables.trace = self.trace
        vm.tree.budget = self.looks + LOOKS_EACH * vm.count
        vm.kernel.holes.budget = vm.tree.budget
        vm.count += 1
        self.tell(vm.number)

    def tell(self, number: i64) -> None:
        """From here on events are about a VM."""
        if self.told != number:
            self.told = number
            self.trace.emit(VM, number)

    def leave(self, vm: Vm) -> None:
        """Drop a reference to a VM; the last one frees it."""
        vm.count -= 1
        if vm.count == 0:
            self.free_vm(vm)

    def living_vm(self, number: i64) -> Vm | None:
        """The VM of a number; None: it is gone, or was never made."""
        if not 0 <= number < len(self.vms):
            return None
        return self.vms[number]

    def open_vm(self, number: i64) -> Vm | None:
        """The VM that the process names, entered; None: it has no such handle."""
        vm = self.living_vm(number)
        if vm is None or vm.handle == 0:
            return None
        self.name_vm(vm)
        return vm

    def name_vm(self, vm: Vm) -> None:
        """An operation is about a VM, which is entered."""
        self.touched.named_vms.add(vm.number)
        self.enter(vm)

    def open_buffer(self, number: i64) -> MaliBuffer | None:
        """The buffer that the process names; None: it has no such handle."""
        if 0 <= number < self.buffers_made:
            self.touched.named_buffers.add(number)
        buffer = self.buffers.get(number)
        if buffer is None or not buffer.open:
            return None
        assert isinstance(buffer, MaliBuffer)
        return buffer

    # -- VMs, B.5 ---------------------------------------------------------------------------

    def make_vm(self, wanted: i64) -> tuple[i64, i64]:
        """A VM of which the process has ``wanted`` bytes: (result, number)."""
        # 1. Whether there can be one more.
        if len(self.vms) == VMS:
            return -errno.ENOSPC, 0
        if self.hardware.unplugged:
            return -errno.ENODEV, 0
        # 2. Whose addresses are whose, and what the tables look like.
        if self.va_bits not in LPAE_S1.ias_choices or self.pa_bits not in LPAE_S1.oas_choices:
            return -errno.EINVAL, 0
        user_end = user_part(self.va_bits, wanted)
        if user_end < 0:
            return -errno.EINVAL, 0
        handle = self.free_handle()
        if handle == 0:
            return -errno.EBUSY, 0
        # 3. An empty root.
        number: i64 = len(self.vms)
        geometry = LPAE_S1.geometry(self.va_bits)
        tables = Tables(geometry, self.pa_bits, self.coherent, self.pool, self.trace)
        vm = Vm(number, geometry, user_end, tables, self.hardware, self.pool, self.touched)
        vm.buffers = self.buffers
        self.name_vm(vm)
        if not self.pool.reserve(1) or not tables.make_root():
            return -errno.ENOMEM, 0
        # 4. Its handle keeps it.
        vm.handle = handle
        self.handles[handle] = vm
        self.vms.append(vm)
        self.leave(vm)
        return 0, number

    def free_handle(self) -> i64:
        """The lowest number of a handle that is not in use; 0: there is none."""
        for handle in range(1, HANDLES + 1):
            if self.handles[handle] is None:
                return handle
        return 0

    def destroy_vm(self, number: i64) -> i64:
        """Take a VM from the process. It is gone when its last job is. EINVAL: no handle."""
        vm = self.open_vm(number)
        if vm is None:
            return -errno.EINVAL
        self.destroy(vm)
        self.leave(vm)
        return 0

    def destroy(self, vm: Vm) -> None:
        """Unmap everything; what is queued is not carried out any more."""
        self.handles[vm.handle] = None
        vm.handle = 0
        vm.destroyed = True
        while vm.nodes:
            self.ranges.free_node(vm.nodes[0])
        vm.unmap_everything()
        self.leave(vm)

    def free_vm(self, vm: Vm) -> None:
        """The last reference is gone: no AS walks its tables, then they are freed."""
        self.enter(vm)
        vm.result = 0
        # 1. Its AS.
        if vm.slot != NO_SLOT:
            if self.hardware.is_up():
                vm.note(self.slots.disable(vm.slot))
            else:
                vm.lost = True
            self.slots.release(vm)
        # 2. Its tables.
        vm.tables.remove_all()
        self.pool.settle(vm.number, vm.is_flushed())
        self.vms[vm.number] = None
        vm.count = 0

    def close_file(self) -> None:
        """The process ends, and another one begins."""
        for handle in range(1, HANDLES + 1):
            vm = self.handles[handle]
            if vm is not None:
                self.enter(vm)
                self.destroy(vm)
                self.leave(vm)

    # -- buffers ----------------------------------------------------------------------------

    def make_buffer(self, size: i64, owner: i64, pieces: i64, imported: i64) -> tuple[i64, i64]:
        """A buffer, which belongs to VM ``owner`` or NONE: (result, number).

        ``imported``: another driver's, if not 0.
        """
        if size <= 0 or size & PAGE_MASK or size >= BUFFER_BYTES:
            return -errno.EINVAL, 0
        if not 0 <= pieces <= LARGEST_PIECES:
            return -errno.EINVAL, 0
        if self.buffers_made == BUFFERS:
            return -errno.ENOSPC, 0
        if owner != NONE:
            vm = self.open_vm(owner)
            if vm is None:
                return -errno.EINVAL, 0
            self.leave(vm)
        number = self.buffers_made
        self.buffers_made += 1
        pages = self.layout.take(size, pieces)
        buffer = MaliBuffer(number, size, pages, owner, imported != 0)
        self.buffers[number] = buffer
        self.touched.named_buffers.add(number)
        return 0, number

    def close_buffer(self, number: i64) -> i64:
        """Give a handle back. EINVAL: there is none."""
        buffer = self.buffers.get(number)
        if buffer is None or not buffer.open:
            return -errno.EINVAL
        self.touched.named_buffers.add(number)
        buffer.open = False
        buffer.count -= 1
        if buffer.count == 0:
            del self.buffers[number]
        return 0

    # -- deferred work ----------------------------------------------------------------------

    def step(self) -> bool:
        """One item of deferred work; False: there is none that could be done."""
        # 1. A device that is stuck.
        if self.hardware.reset_asked and self.hardware.is_up():
            self.pre_reset()
            self.post_reset()
            return True
        # 2. What is left of the bind that was done first.
        if self.binds.done:
            self.binds.finish(self.binds.done.pop(0))
            return True
        # 3. The bind whose turn it is. There is none in a reset.
        if self.hardware.in_reset:
            return False
        for vm in self.binds.waiting:
            if is_ready(vm.queue[0]):
                self.binds.run_bind(vm.queue[0])
                return True
        return False

    # -- jobs -------------------------------------------------------------------------------

    def activate(self, number: i64) -> i64:
        """A job of the device starts to use a VM. EINVAL: none there, or no device to use."""
        vm = self.living_vm(number)
        if vm is None or not (self.hardware.is_up() or self.hardware.unplugged):
            return -errno.EINVAL
        self.name_vm(vm)
        result: i64 = -errno.ENODEV
        if not self.hardware.unplugged:
            result = self.slots.activate(vm)
        if result == 0:
            vm.count += 1
        self.leave(vm)
        return result

    def idle(self, number: i64) -> i64:
        """A job ends. EINVAL: there is none."""
        vm = self.living_vm(number)
        if vm is None or vm.active == 0:
            return -errno.EINVAL
        self.name_vm(vm)
        self.slots.deactivate(vm)
        vm.count -= 1
        self.leave(vm)
        return 0

    # -- faults, power, resets, B.4 ---------------------------------------------------------

    def interrupt(self) -> bool:
        """The interrupt is raised; False: not by this device."""
        return self.slots.interrupt()

    def release_slots(self, disable: bool) -> None:
        """Take every VM's AS and jobs, and ``disable`` what the device still walks."""
        for slot in range(len(self.slots.vms)):
            vm = self.slots.vms[slot]
            if vm is None:
                continue
            self.enter(vm)
            if disable:
                self.slots.disable(slot)
            self.slots.release(vm)
            self.leave(vm)

    def give_kept_back(self) -> None:
        """The device lost its registers: what it might have used is free."""
        self.slots.forget()
        for number in sorted(self.pool.kept):
            self.tell(number)
            self.pool.free_kept(number)
        for vm in self.vms:
            if vm is not None and (vm.lost or vm.kept):
                self.enter(vm)
                vm.put_kept_links()
                self.leave(vm)

    def pre_reset(self) -> i64:
        """Before a reset: no interrupt, no queued bind, no access. EINVAL: not now."""
        if not self.hardware.is_up():
            return -errno.EINVAL
        self.slots.disarm()
        self.hardware.in_reset = True
        return 0

    def post_reset(self) -> i64:
        """The reset, and what comes after it. EINVAL: none was begun."""
        if not self.hardware.in_reset:
            return -errno.EINVAL
        self.hardware.reset()
        self.release_slots(False)
        self.hardware.in_reset = False
        self.slots.arm()
        self.give_kept_back()
        return 0

    def suspend(self) -> i64:
        """Nothing walks, then power goes. EINVAL: not now."""
        if not self.hardware.is_up():
            return -errno.EINVAL
        self.release_slots(True)
        self.slots.disarm()
        self.hardware.power_off()
        self.give_kept_back()
        return 0

    def resume(self) -> i64:
        """Power comes back. VMs get an AS when they need one. EINVAL: not now."""
        if self.hardware.powered or self.hardware.unplugged:
            return -errno.EINVAL
        self.hardware.power_on()
        self.slots.arm()
        return 0

    def unplug(self) -> i64:
        """The device goes away: the last accesses. EINVAL: it has, or is being reset."""
        if self.hardware.unplugged or self.hardware.in_reset:
            return -errno.EINVAL
        if self.hardware.powered:
            self.slots.disarm()
            self.release_slots(True)
            # What is stuck is stopped by a reset, for there is no later.
            if self.hardware.reset_asked:
                self.hardware.reset()
                self.give_kept_back()
        self.hardware.unplugged = True
        return 0


def is_ready(bind: Bind) -> bool:
    """Whether a queued bind waits for nothing any more."""
    return bind.wait_for is None or bind.wait_for.signalled
