"""The driver of Apple's DARTs, as it should be.

Devices use streams of one, two or three DARTs (units). Devices that share a stream cannot be told
apart and form a group. A group is attached to a domain: one with a page table (DMA or unmanaged),
identity, or blocked, which is what a group is without any. All units of a domain walk one table,
and each flush has to reach every stream of the domain on every unit.

Read it from the bottom of the hardware up: registers (``Bus``), the page table (``Table``), one
unit (``Unit``), and what the kernel asks for (``Driver``).

Nothing here decides by a count of devices in a stream: a group has its streams once, whoever shares
them. Flags of a mapping that a DART cannot enforce are ignored. A domain that was never attached
is freed like any other.

Addresses and sizes are in bytes, held as two's complement. Sets of streams are numbers with a bit
for each. Results are the kernel's: 0 or a negative errno value.

Source: formats.md C.1 (tables), C.2 (entries), C.3 and C.4 (registers and their order), C.5
(domains, with the outcome of the review), C.6 (errors), F.3 and F.4 (orders of stores, barriers
and flushes; map and unmap).
"""

import errno
from typing import Final

from mypy_extensions import i64

from reference.drivers.registers import Registers
from reference.drivers.table_memory import NO_TABLE, TableMemory
from reference.formats.access import READ, WRITE
from reference.formats.entry import INVALID, LEAF, TABLE
from reference.formats.format import Format, Geometry
from reference.systems.dart.device import FOUR_LEVELS, UNIT_MASK, UNIT_SHIFT, DartUnit, Part
from reference.systems.dart.events import DOMAIN, ERROR, TOLD
from reference.trace import (
    ALLOC_FAILED,
    BARRIER,
    BARRIER_FULL,
    BARRIER_ORDER,
    MESSAGE,
    MESSAGE_POWER_OFF,
    MESSAGE_POWER_ON,
    Trace,
)

TABLE_BASE: Final = 0x8_0000_0000
"""Physical address of the first table that is handed out: where memory of these machines begins."""
TABLE_END: Final = 0xC_0000_0000

POLLS: Final = 100
"""Looks at the busy bit before a command counts as stuck: 100 us, 1 us apart (C.4)."""

BUS_BUDGET: Final = 1 << 16
"""Accesses in one operation: more than any needs."""

BLOCKED: Final = 0
IDENTITY: Final = 1
UNMANAGED: Final = 2
DMA: Final = 3
"""Kinds of domains (C.5)."""

NONE: Final = -1
"""No unit, no domain."""

DISABLED: Final = 0
TRANSLATE: Final = 1
BYPASS: Final = 2
"""Modes of a stream, as ``Part.modes`` numbers their values (C.4)."""

ALL_ONES: Final = 0xFFFF_FFFF


# -- registers ----------------------------------------------------------------------------


class Raise:
    """An error that a unit will raise after so many accesses of registers."""

    def __init__(self, unit: int, stream: int, code: int, address: int, after: int) -> None:
        self.unit: int = unit
        self.stream: int = stream
        self.code: int = code
        self.address: int = address
        self.after: int = after


class Bus(Registers):
    """The way to the registers of all units. Errors that are due come between accesses."""

    def __init__(self, units: list[DartUnit], trace: Trace) -> None:
        super().__init__(trace, BUS_BUDGET)
        self.units: list[DartUnit] = units
        self.raises: list[Raise] = []

    def ask(self, register: i64) -> i64:
        """What a unit answers to a read."""
        unit = self.units[register >> UNIT_SHIFT]
        value = unit.read(int(register & UNIT_MASK))
        unit.happened.clear()
        self.raise_errors()
        return value

    def give(self, register: i64, value: i64) -> None:
        """What a unit does on a write."""
        unit = self.units[register >> UNIT_SHIFT]
        unit.write(int(register & UNIT_MASK), int(value))
        unit.happened.clear()
        self.raise_errors()

    def raise_errors(self) -> None:
        """An access was made: errors that wait for it are raised."""
        for one in self.raises.copy():
            if one.after > 0:
                one.after -= 1
                continue
            self.raises.remove(one)
            if self.units[one.unit].fault(one.stream, one.code, one.address):
                self.trace.emit(ERROR, one.unit << 16 | one.stream, one.code, one.address)


# -- the page table, C.1 and C.2 ------------------------------------------------------------


class Table:
    """The page table of a domain, or of a unit's software bypass.

    ``roots``: its root tables, one for each TTBR that it needs. ``number``: what events say that
    it is the table of. ``levels`` below the roots are made as they are needed, and stay until the
    table goes.
    """

    def __init__(self, number: int, geometry: Geometry, output_bits: int, memory: TableMemory):
        self.number: int = number
        self.format: Format = geometry.format
        self.geometry: Geometry = geometry
        self.output_limit: i64 = 1 << output_bits
        self.memory: TableMemory = memory
        self.page: i64 = geometry.format.granule
        self.last_level: i64 = geometry.format.levels - 1
        self.roots: list[i64] = []

    def tell(self) -> None:
        """Events are about this table from here on."""
        self.memory.trace.emit(DOMAIN, self.number)

    def barrier(self, kind: i64) -> None:
        """Earlier stores become visible to the units: now, or before later ones."""
        self.memory.trace.emit(BARRIER, kind)

    def create(self) -> int:
        """Make empty roots. 0, or -ENOMEM with nothing left behind."""
        self.tell()
        for _ in range(self.geometry.roots):
            root = self.new_table()
            if root == NO_TABLE:
                for made in self.roots:
                    self.memory.free(made)
                self.roots.clear()
                return -errno.ENOMEM
            self.roots.append(root)
        self.barrier(BARRIER_FULL)
        return 0

    def destroy(self) -> None:
        """Give all tables back. No stream can walk them any more."""
        self.tell()
        for root in self.roots:
            self.free_below(root, 1)
        self.roots.clear()

    def free_below(self, table: i64, level: i64) -> None:
        """Free a table and all behind it."""
        if level < self.last_level:
            for index in range(len(self.memory.pages[table])):
                entry = self.memory.read(table, index)
                if self.format.kind(level, entry) == TABLE:
                    self.free_below(self.format.next_table(level, entry), level + 1)
        self.memory.free(table)

    def new_table(self) -> i64:
        """A table whose entries are all invalid; NO_TABLE where memory has run out."""
        table = self.memory.allocate(self.page, self.page)
        if table != NO_TABLE:
            self.memory.zero(table)
        return table

    def last_table(self, iova: i64, make: bool) -> i64:
        """The table that holds the leaf of ``iova``; NO_TABLE: there is none.

        ``make``: those that are missing on the way are made.
        """
        table: i64 = self.roots[self.geometry.index(0, iova)]
        level: i64 = 1
        while level < self.last_level:
            index = self.geometry.index(level, iova)
            entry = self.memory.read(table, index)
            if self.format.kind(level, entry) == TABLE:
                table = self.format.next_table(level, entry)
            elif not make:
                return NO_TABLE
            else:
                child = self.new_table()
                if child == NO_TABLE:
                    return NO_TABLE
                # What is in the new table is visible before the way to it is.
                self.barrier(BARRIER_ORDER)
                self.memory.store(table, index, self.format.table(level, child))
                table = child
            level += 1
        return table

    def run_length(self, iova: i64, size: i64) -> i64:
        """How many pages from ``iova`` on, of ``size`` bytes, are in one last table."""
        first = self.geometry.index(self.last_level, iova)
        return min(size // self.page, self.geometry.entries(self.last_level) - first)

    def map_run(self, iova: i64, pa: i64, size: i64, prot: i64) -> tuple[int, i64]:
        """Map pages up to the end of a last table: (result, bytes mapped).

        EEXIST: something is mapped there, and nothing was stored; ENOMEM.
        """
        # 1. Find the table, making those that are missing.
        table = self.last_table(iova, True)
        if table == NO_TABLE:
            return -errno.ENOMEM, 0
        # 2. Every entry of the run has to be free.
        first = self.geometry.index(self.last_level, iova)
        count = self.run_length(iova, size)
        for index in range(first, first + count):
            if self.format.kind(self.last_level, self.memory.read(table, index)) != INVALID:
                return -errno.EEXIST, 0
        # 3. Store the leaves: the whole page can be reached, whatever window the format has.
        for index in range(first, first + count):
            there: i64 = pa + (index - first) * self.page
            self.memory.store(table, index, self.format.leaf(self.last_level, there, prot))
        # 4. They are visible before anything is flushed.
        self.barrier(BARRIER_FULL)
        return 0, count * self.page

    def unmap_run(self, iova: i64, size: i64) -> i64:
        """Unmap pages up to the first hole or the end of a last table; the bytes unmapped."""
        table = self.last_table(iova, False)
        if table == NO_TABLE:
            return 0
        first = self.geometry.index(self.last_level, iova)
        count = self.run_length(iova, size)
        done: i64 = 0
        while done < count:
            index = first + done
            if self.format.kind(self.last_level, self.memory.read(table, index)) != LEAF:
                break
            self.memory.store(table, index, 0)
            done += 1
        self.barrier(BARRIER_FULL)
        return done * self.page

    def unmap_all(self, iova: i64, size: i64) -> i64:
        """Unmap table by table up to the first hole; the bytes unmapped."""
        done: i64 = 0
        while done < size:
            more = self.unmap_run(iova + done, size - done)
            if more == 0:
                break
            done += more
        return done

    def translate(self, iova: i64) -> i64:
        """Where ``iova``, any byte, leads; 0 if nowhere."""
        if not fits(iova, 1, self.geometry.limit):
            return 0
        table = self.last_table(iova, False)
        if table == NO_TABLE:
            return 0
        entry = self.memory.read(table, self.geometry.index(self.last_level, iova))
        if self.format.kind(self.last_level, entry) != LEAF:
            return 0
        return self.format.output(self.last_level, entry) + (iova & (self.page - 1))


def fits(address: i64, size: i64, limit: i64) -> bool:
    """Whether ``size`` bytes from ``address`` on lie in 0 to ``limit`` - 1."""
    return 0 <= address < limit and size <= limit - address


# -- one unit, C.3 and C.4 ------------------------------------------------------------------


class Unit:
    """One DART, as its driver knows it.

    ``page_bits``, ``bypass``, ``streams``: what its parameters said. ``forced``: its pages are
    larger than the CPU's, so that only bypass will do. ``probed``; ``powered``: whether its
    registers can be used. ``unflushed``: streams whose last invalidation was not seen to end.
    ``table``: of software bypass, None where there is none. ``groups``: by stream.
    ``levels`` of its tables, root registers counted.
    """

    def __init__(self, number: int, part: Part, bus: Bus, levels: int) -> None:
        self.number: int = number
        self.part: Part = part
        self.levels: int = levels
        self.bus: Bus = bus
        self.base: int = number << UNIT_SHIFT
        self.page_bits: int = 0
        self.bypass: bool = False
        self.forced: bool = False
        self.streams: int = 0
        self.probed: bool = False
        self.powered: bool = True
        self.unflushed: int = 0
        self.table: Table | None = None
        self.groups: dict[int, Group] = {}

    def read(self, offset: int) -> int:
        """A register of this unit."""
        return int(self.bus.read(self.base + offset))

    def write(self, offset: int, value: int) -> None:
        """A register of this unit."""
        self.bus.write(self.base + offset, value)

    def set_mode(self, stream: int, mode: int) -> None:
        """A stream translates, is let through, or is blocked."""
        value = self.part.modes[mode]
        if mode == TRANSLATE and self.levels > 3:
            value |= FOUR_LEVELS
        self.write(self.part.tcr(stream), value)

    def set_roots(self, stream: int, roots: list[i64]) -> None:
        """A stream walks from these root tables, and from no others."""
        for index in range(self.part.ttbrs):
            if index < len(roots):
                self.write(self.part.ttbr(stream, index), self.part.ttbr_word(int(roots[index])))
            else:
                self.write(self.part.ttbr(stream, index), 0)

    def invalidate(self, streams: int) -> int:
        """Have nothing cached for ``streams``. 0, or -ETIMEDOUT: it was not seen to end."""
        self.unflushed |= streams
        # 1. A command that timed out may run still; two at a time are not known to work.
        if not self.is_idle():
            return -errno.ETIMEDOUT
        # 2. Invalidate them: one by one, or all that are selected.
        if self.part.newer:
            for stream in bits_of(streams):
                if not self.command(1 << 8 | stream):
                    return -errno.ETIMEDOUT
        else:
            for word in range(self.part.words):
                self.write(0x34 + 4 * word, streams >> 32 * word & ALL_ONES)
            if not self.command(1 << 20):
                return -errno.ETIMEDOUT
        self.unflushed &= ~streams
        return 0

    def command(self, value: int) -> bool:
        """Write a command and wait for its end. False: it was not seen to end."""
        self.write(self.part.command, value)
        return self.is_idle()

    def is_idle(self) -> bool:
        """Wait until no command runs. False: one does for longer than one waits."""
        command = self.base + self.part.command
        return self.bus.wait_for(command, self.part.busy, False, POLLS)

    def invalidate_all(self) -> int:
        """Have nothing cached at all. 0, or -ETIMEDOUT."""
        if not self.part.newer:
            return self.invalidate((1 << self.streams) - 1)
        self.unflushed = (1 << self.streams) - 1
        if not self.is_idle():
            return -errno.ETIMEDOUT
        if not self.command(0):
            return -errno.ETIMEDOUT
        self.unflushed = 0
        return 0

    def read_parameters(self, cpu_page_bits: int) -> None:
        """What kind of unit it is."""
        self.page_bits = self.read(0x00) >> 24 & 0xF
        self.bypass = self.read(0x04) & 1 != 0
        self.streams = self.part.most_streams
        if self.part.newer:
            self.streams = self.read(0x0C) & 0x1FF
        self.forced = self.page_bits > cpu_page_bits

    def reset(self) -> int:
        """Block all streams and forget all errors. 0, -EINVAL where it is locked, -ETIMEDOUT."""
        # 1. The boot loader may have locked it: then nothing can be changed.
        if self.read(self.part.lock) & self.part.lock_bit:
            return -errno.EINVAL
        # 2. No stream translates, and none has a root.
        for stream in range(self.streams):
            self.set_mode(stream, DISABLED)
            self.set_roots(stream, [])
        # 3. Let all streams in: their modes say what comes of it.
        for word in range(min(self.part.enable_words, (self.streams + 31) // 32)):
            self.write(self.part.enable + 4 * word, ALL_ONES)
        # 4. Errors from before are nobody's; those to come raise the interrupt.
        self.clear_error(self.read(self.part.error))
        if self.part.newer:
            self.write(0x104, 0)
        # 5. Nothing from before is cached.
        return self.invalidate_all()

    def clear_error(self, error: int) -> None:
        """Have an error that was read cleared, so that the next one can be raised."""
        self.write(self.part.error, error)
        if self.part.newer:
            for word in range((self.streams + 31) // 32):
                self.write(0x1C0 + 4 * word, ALL_ONES)


def bits_of(streams: int) -> list[int]:
    """The numbers of the streams in a set, ascending."""
    found: list[int] = []
    number = 0
    while streams >> number:
        if streams >> number & 1:
            found.append(number)
        number += 1
    return found


# -- domains, devices and groups, C.5 --------------------------------------------------------


class Domain:
    """An address space. ``units``: those that it was made for when it was first attached.

    ``table``: None before that, and where there is nothing to walk. ``streams``: those that are
    attached, by unit.
    """

    def __init__(self, number: int, kind: int) -> None:
        self.number: int = number
        self.kind: int = kind
        self.units: list[int] = []
        self.table: Table | None = None
        self.streams: dict[int, int] = {}

    def is_paging(self) -> bool:
        """Whether it has a page table of its own."""
        return self.kind in (UNMANAGED, DMA)


class Device:
    """A device. ``units``: those that it is behind, in the order of its description.

    ``streams``: its streams, by unit. ``group``: None once it is gone.
    """

    def __init__(self, units: list[int], streams: dict[int, int]) -> None:
        self.units: list[int] = units
        self.streams: dict[int, int] = streams
        self.group: Group | None = None


class Group:
    """Devices that cannot be told apart. ``domain``: None means that all is blocked."""

    def __init__(self, number: int) -> None:
        self.number: int = number
        self.devices: list[Device] = []
        self.domain: Domain | None = None

    def streams(self) -> dict[int, int]:
        """Its streams, by unit: each once, however many devices share it."""
        found: dict[int, int] = {}
        for device in self.devices:
            for unit, streams in device.streams.items():
                found[unit] = found.get(unit, 0) | streams
        return found


def without(streams: dict[int, int], others: dict[int, int]) -> dict[int, int]:
    """Those of ``streams`` that are not among ``others``."""
    found: dict[int, int] = {}
    for number, some in streams.items():
        rest = some & ~others.get(number, 0)
        if rest:
            found[number] = rest
    return found


def leave(streams: dict[int, int], former: Domain | None) -> None:
    """A domain has these streams no more: its flushes need not reach them."""
    if former is not None:
        for number, some in streams.items():
            former.streams[number] = former.streams.get(number, 0) & ~some


class Driver:
    """The driver with all that it keeps.

    ``input_bits``, ``output_bits``: of the units; ``cpu_page_bits``; ``window``: what software
    bypass maps (first input address, first output address, bytes), 0 bytes for no such thing;
    ``mixes``: whether a device may be behind units with and without bypass.
    """

    def __init__(
        self,
        part: Part,
        hardware: list[DartUnit],
        geometry: Geometry,
        cpu_page_bits: int,
        window: tuple[i64, i64, i64],
        mixes: bool,
        trace: Trace,
    ) -> None:
        self.bus: Bus = Bus(hardware, trace)
        self.memory: TableMemory = TableMemory(
            TABLE_BASE, TABLE_END, geometry.format.granule, trace
        )
        self.geometry: Geometry = geometry
        self.output_bits: int = part.output_bits
        self.cpu_page_bits: int = cpu_page_bits
        self.window: tuple[i64, i64, i64] = window
        self.mixes: bool = mixes
        levels = geometry.format.levels
        self.units: list[Unit] = [
            Unit(number, part, self.bus, levels) for number in range(len(hardware))
        ]
        self.devices: list[Device] = []
        self.domains: list[Domain | None] = []
        self.groups: int = 0

    def begin(self, trace: Trace, fail_at: int, budget: i64) -> None:
        """A new operation: its events, which allocation of it fails, and its budget."""
        self.bus.begin(trace, BUS_BUDGET)
        self.memory.trace = trace
        self.memory.budget = budget
        self.memory.fail_at = fail_at

    def no_memory(self) -> bool:
        """Whether an allocation that is for no table fails."""
        if self.memory.fails():
            self.memory.trace.emit(ALLOC_FAILED, 0)
            return True
        return False

    # -- units ------------------------------------------------------------------------------

    def probe(self, number: int) -> int:
        """A unit is found. EBUSY: it was before; EINVAL: it is locked; ENOMEM; ETIMEDOUT."""
        if not 0 <= number < len(self.units):
            return -errno.ENODEV
        unit = self.units[number]
        if unit.probed:
            return -errno.EBUSY
        # 1. What it is, and nothing that was before.
        unit.read_parameters(self.cpu_page_bits)
        result = unit.reset()
        if result != 0:
            return result
        # 2. Where bypass has to be made of a page table, there is one for the whole unit.
        if self.window[2] > 0 and not unit.bypass:
            result = self.make_bypass_table(unit)
            if result != 0:
                return result
        unit.probed = True
        return 0

    def make_bypass_table(self, unit: Unit) -> int:
        """The table of software bypass. 0, or -ENOMEM with nothing left behind."""
        table = Table(-1 - unit.number, self.geometry, self.output_bits, self.memory)
        first, pa, size = self.window
        result = table.create()
        done: i64 = 0
        while result == 0 and done < size:
            result, more = table.map_run(first + done, pa + done, size - done, READ | WRITE)
            done += more
        if result != 0:
            table.destroy()
            return result
        unit.table = table
        return 0

    def remove(self, number: int) -> int:
        """A unit goes. ENODEV: it is not there; EBUSY: devices are behind it; ETIMEDOUT."""
        if not 0 <= number < len(self.units) or not self.units[number].probed:
            return -errno.ENODEV
        unit = self.units[number]
        if unit.groups:
            return -errno.EBUSY
        if unit.powered and unit.reset() == -errno.ETIMEDOUT:
            return -errno.ETIMEDOUT
        unit.probed = False
        if unit.table is not None:
            unit.table.destroy()
            unit.table = None
        return 0

    def shutdown(self) -> int:
        """The machine goes down: whoever comes next finds all streams blocked."""
        for unit in self.units:
            if unit.probed and unit.powered:
                unit.reset()
        return 0

    # -- devices and their groups -----------------------------------------------------------

    def add_device(self, units: list[int], streams: dict[int, int]) -> tuple[int, int]:
        """A device is found behind units: (result, number of its group).

        ENODEV: a unit is not there; EINVAL: no such stream, units that do not go together, or
        streams of several groups; ENOMEM; what attaching it to the group's domain gives.
        """
        # 1. Its units have to be alike.
        for number in units:
            if not 0 <= number < len(self.units) or not self.units[number].probed:
                return -errno.ENODEV, 0
            unit, first = self.units[number], self.units[units[0]]
            if streams[number] >> unit.streams:
                return -errno.EINVAL, 0
            if unit.page_bits != first.page_bits:
                return -errno.EINVAL, 0
            if unit.bypass != first.bypass and not self.mixes:
                return -errno.EINVAL, 0
        if self.no_memory():
            return -errno.ENOMEM, 0
        device = Device(units, streams)
        # 2. It is in the group of those with which it shares a stream.
        found = self.groups_of(device)
        if len(found) > 1:
            return -errno.EINVAL, 0
        if found:
            group = found[0]
        elif self.no_memory():
            return -errno.ENOMEM, 0
        else:
            group = Group(self.groups)
        # 3. It has the domain that the group has; what is attached already stays untouched.
        domain = group.domain
        if domain is not None:
            result = self.refusal(domain, device.units)
            if result == 0:
                result = self.switch(without(streams, group.streams()), None, domain)
            if result != 0:
                return result, 0
        # 4. From here on nothing fails.
        if not found:
            self.groups += 1
        group.devices.append(device)
        device.group = group
        self.devices.append(device)
        self.claim(group)
        return 0, group.number

    def groups_of(self, device: Device) -> list[Group]:
        """The groups that have a stream of a device."""
        found: list[Group] = []
        for number in device.units:
            for stream in bits_of(device.streams[number]):
                group = self.units[number].groups.get(stream)
                if group is not None and group not in found:
                    found.append(group)
        return found

    def claim(self, group: Group) -> None:
        """The streams of a group are known to be its own."""
        for number, streams in group.streams().items():
            for stream in bits_of(streams):
                self.units[number].groups[stream] = group

    def release_device(self, number: int) -> int:
        """A device goes: streams that no other device of its group uses are blocked."""
        device = self.device(number)
        if device is None or device.group is None:
            return -errno.ENODEV
        group = device.group
        group.devices.remove(device)
        device.group = None
        own = without(device.streams, group.streams())
        if group.domain is not None:
            self.switch_off(own, group.domain)
        for unit, streams in own.items():
            for stream in bits_of(streams):
                del self.units[unit].groups[stream]
        return 0

    def device(self, number: int) -> Device | None:
        """The device with this number; None: there is none, or no more."""
        if not 0 <= number < len(self.devices) or self.devices[number].group is None:
            return None
        return self.devices[number]

    # -- domains ----------------------------------------------------------------------------

    def make_domain(self, kind: int) -> tuple[int, int]:
        """A domain: (result, its number). EINVAL: there is no such kind; ENOMEM."""
        if kind not in (BLOCKED, IDENTITY, UNMANAGED, DMA):
            return -errno.EINVAL, 0
        if self.no_memory():
            return -errno.ENOMEM, 0
        self.domains.append(Domain(len(self.domains), kind))
        return 0, len(self.domains) - 1

    def domain(self, number: int) -> Domain | None:
        """The domain with this number; None: there is none, or no more."""
        return self.domains[number] if 0 <= number < len(self.domains) else None

    def free_domain(self, number: int) -> int:
        """A domain goes, with its table. EBUSY: something is attached to it; ETIMEDOUT."""
        domain = self.domain(number)
        if domain is None:
            return -errno.ENODEV
        if self.in_use(domain):
            return -errno.EBUSY
        # 1. A stream that was never seen flushed may know the way to its tables.
        for unit_number in domain.units:
            unit = self.units[unit_number]
            if unit.unflushed and unit.powered and unit.invalidate(unit.unflushed) != 0:
                return -errno.ETIMEDOUT
        # 2. Nobody can walk them now.
        if domain.table is not None:
            domain.table.destroy()
            domain.table = None
        self.domains[number] = None
        return 0

    def in_use(self, domain: Domain) -> bool:
        """Whether a group is attached to a domain."""
        for device in self.devices:
            if device.group is not None and device.group.domain is domain:
                return True
        return False

    def refusal(self, domain: Domain, units: list[int]) -> int:
        """Why a device behind ``units`` cannot be attached to a domain: 0, or -EINVAL."""
        for number in units:
            unit = self.units[number]
            if domain.is_paging() and unit.forced:
                return -errno.EINVAL
            if domain.kind == IDENTITY and not unit.bypass and unit.table is None:
                return -errno.EINVAL
        if domain.is_paging() and domain.units and domain.units != units:
            # Its table was made for others.
            return -errno.EINVAL
        return 0

    def finalise(self, domain: Domain, units: list[int]) -> int:
        """The first attach says which units a domain is for. 0, or -ENOMEM."""
        if not domain.is_paging() or domain.table is not None:
            return 0
        table = Table(domain.number, self.geometry, self.output_bits, self.memory)
        if table.create() != 0:
            return -errno.ENOMEM
        domain.table = table
        domain.units = units
        return 0

    def attach(self, device_number: int, domain_number: int) -> int:
        """The group of a device is attached to a domain, and leaves the one that it was in.

        ENODEV: no such device or domain; EINVAL: they do not go together; ENOMEM; ETIMEDOUT. After
        an error every stream is as it was.
        """
        device, domain = self.device(device_number), self.domain(domain_number)
        if device is None or device.group is None or domain is None:
            return -errno.ENODEV
        group = device.group
        # 1. Every device of the group has to go with the domain.
        units = group.devices[0].units
        for one in group.devices:
            result = self.refusal(domain, one.units)
            if result == 0 and domain.is_paging() and one.units != units:
                result = -errno.EINVAL
            if result != 0:
                return result
        if group.domain is domain:
            return 0
        # 2. Its table has to be there.
        result = self.finalise(domain, units)
        if result != 0:
            return result
        # 3. The streams go over together.
        result = self.switch(group.streams(), group.domain, domain)
        if result == 0:
            group.domain = domain
        return result

    def detach(self, number: int) -> int:
        """The group of a device is in no domain any more: all that it sends is blocked."""
        device = self.device(number)
        if device is None or device.group is None:
            return -errno.ENODEV
        group = device.group
        if group.domain is not None:
            self.switch_off(group.streams(), group.domain)
            group.domain = None
        return 0

    # -- pointing streams at domains, C.4 ---------------------------------------------------

    def switch(self, streams: dict[int, int], former: Domain | None, domain: Domain) -> int:
        """Take streams from one domain to another. After -ETIMEDOUT they are as they were.

        While anything can fail they are blocked, so that there is nothing to be flushed when they
        have to go back.
        """
        # 1. Block them.
        for number, some in streams.items():
            for stream in bits_of(some):
                self.units[number].set_mode(stream, DISABLED)
        # 2. Their roots are those of the new domain.
        for number, some in streams.items():
            for stream in bits_of(some):
                self.units[number].set_roots(stream, self.roots(self.units[number], domain))
        # 3. Nothing of the former one is cached.
        result = 0
        for number, some in streams.items():
            if self.units[number].invalidate(some) != 0:
                result = -errno.ETIMEDOUT
                break
        if result != 0:
            self.switch_back(streams, former)
            return result
        # 4. Let them go.
        for number, some in streams.items():
            for stream in bits_of(some):
                self.units[number].set_mode(stream, self.mode(self.units[number], domain))
        leave(streams, former)
        for number, some in streams.items():
            domain.streams[number] = domain.streams.get(number, 0) | some
        return 0

    def switch_back(self, streams: dict[int, int], former: Domain | None) -> None:
        """Streams that were blocked meanwhile are as they were."""
        for number, some in streams.items():
            unit = self.units[number]
            for stream in bits_of(some):
                unit.set_roots(stream, self.roots(unit, former))
                unit.set_mode(stream, self.mode(unit, former))

    def switch_off(self, streams: dict[int, int], former: Domain) -> None:
        """Block streams for good. What cannot be flushed now is flushed before it is let go."""
        for number, some in streams.items():
            unit = self.units[number]
            if not unit.powered:
                continue
            for stream in bits_of(some):
                unit.set_mode(stream, DISABLED)
                unit.set_roots(stream, [])
            unit.invalidate(some)
        leave(streams, former)

    def roots(self, unit: Unit, domain: Domain | None) -> list[i64]:
        """Where streams of a unit walk from in a domain; none where they walk nothing."""
        if domain is None:
            return []
        if domain.table is not None:
            return domain.table.roots
        if domain.kind == IDENTITY and not unit.bypass and unit.table is not None:
            return unit.table.roots
        return []

    def mode(self, unit: Unit, domain: Domain | None) -> int:
        """What streams of a unit do in a domain."""
        if domain is None or domain.kind == BLOCKED:
            return DISABLED
        if domain.kind == IDENTITY and unit.bypass:
            return BYPASS
        return TRANSLATE

    # -- map, unmap, flush ------------------------------------------------------------------

    def flush(self, domain: Domain) -> None:
        """Have nothing cached for any stream of a domain, on any unit.

        One that does not answer keeps no other from being flushed.
        """
        for number, streams in domain.streams.items():
            unit = self.units[number]
            if streams and unit.powered:
                unit.invalidate(streams)

    def map(self, number: int, iova: i64, pa: i64, size: i64, prot: i64) -> int:
        """Map ``size`` bytes. ENODEV: no such domain, or it was never attached; EINVAL: it has no
        table, not whole pages, or no permission; ERANGE; EEXIST; ENOMEM. After an error nothing of
        it is mapped.
        """
        # 1. Refuse what cannot be.
        domain = self.domain(number)
        if domain is None:
            return -errno.ENODEV
        if not domain.is_paging():
            return -errno.EINVAL
        table = domain.table
        if table is None:
            return -errno.ENODEV
        if size <= 0 or (iova | pa | size) & (table.page - 1):
            return -errno.EINVAL
        if not prot & (READ | WRITE):
            return -errno.EINVAL
        if not fits(iova, size, table.geometry.limit):
            return -errno.ERANGE
        if not fits(pa, size, table.output_limit):
            return -errno.ERANGE
        # 2. Map table by table.
        table.tell()
        done: i64 = 0
        result = 0
        while result == 0 and done < size:
            result, more = table.map_run(iova + done, pa + done, size - done, prot)
            done += more
        # 3. Take back what was mapped before an error.
        if result != 0:
            table.unmap_all(iova, done)
        # 4. Units keep invalid entries, too: only now are the new ones sure to be used.
        self.flush(domain)
        return result

    def unmap(self, number: int, iova: i64, size: i64, queued: bool) -> i64:
        """Unmap ``size`` bytes, up to the first hole; the bytes unmapped.

        ``queued``: the caller flushes the domain before it uses the addresses again.
        """
        domain = self.domain(number)
        if domain is None or domain.table is None:
            return 0
        table = domain.table
        if size <= 0 or (iova | size) & (table.page - 1):
            return 0
        if not fits(iova, size, table.geometry.limit):
            return 0
        table.tell()
        done = table.unmap_all(iova, size)
        if done and not queued:
            self.flush(domain)
        return done

    def flush_domain(self, number: int) -> int:
        """The flush of what was queued. ENODEV: there is no such domain."""
        domain = self.domain(number)
        if domain is None:
            return -errno.ENODEV
        self.flush(domain)
        return 0

    def translate(self, number: int, iova: i64) -> i64:
        """Where an address of a domain leads; 0 if nowhere."""
        domain = self.domain(number)
        if domain is None:
            return 0
        if domain.kind == IDENTITY:
            return iova
        return 0 if domain.table is None else domain.table.translate(iova)

    # -- power ------------------------------------------------------------------------------

    def suspend(self) -> int:
        """All units lose power, and what their registers held. EBUSY: they have none."""
        if not self.is_awake():
            return -errno.EBUSY
        for unit in self.units:
            if unit.probed:
                self.memory.trace.emit(MESSAGE, unit.number, MESSAGE_POWER_OFF)
                self.bus.units[unit.number].power_off()
                unit.powered = False
                unit.unflushed = 0
        return 0

    def resume(self) -> int:
        """Units have power again, and streams are where they were.

        EBUSY: nothing sleeps; EINVAL: a unit is locked; ETIMEDOUT. Units with an error stay as if
        asleep.
        """
        if self.is_awake():
            return -errno.EBUSY
        found = 0
        for unit in self.units:
            if not unit.probed or unit.powered:
                continue
            self.memory.trace.emit(MESSAGE, unit.number, MESSAGE_POWER_ON)
            self.bus.units[unit.number].power_on()
            result = unit.reset()
            if result != 0:
                self.memory.trace.emit(MESSAGE, unit.number, MESSAGE_POWER_OFF)
                self.bus.units[unit.number].power_off()
                found = result
                continue
            unit.powered = True
            self.restore(unit)
        return found

    def restore(self, unit: Unit) -> None:
        """Point all streams of a unit where they belong, the roots before the modes."""
        for stream, group in unit.groups.items():
            if group.domain is not None:
                unit.set_roots(stream, self.roots(unit, group.domain))
                unit.set_mode(stream, self.mode(unit, group.domain))

    def is_awake(self) -> bool:
        """Whether every unit that is there has power."""
        for unit in self.units:
            if unit.probed and not unit.powered:
                return False
        return True

    # -- errors, C.6 ------------------------------------------------------------------------

    def interrupt(self, number: int) -> bool:
        """The interrupt of a unit, which may be shared. Whether it was for this unit."""
        unit = self.units[number]
        error = unit.read(unit.part.error)
        # 1. Somebody else's.
        if not error & 1 << 31:
            return False
        # 2. What, where, and whose; of several code bits none hides another.
        address = unit.read(unit.part.error_hi) << 32 | unit.read(unit.part.error_lo)
        stream, code = unit.part.error_stream(error), unit.part.error_code(error)
        self.bus.trace.emit(TOLD, number << 16 | stream, code, address)
        # 3. Ready for the next one.
        unit.clear_error(error)
        return True
