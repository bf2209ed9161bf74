"""The target of system ``uat``: our own driver, with our own firmware beside it.

``reference`` is a UAT driver written in Python, which does what is right. It runs on a ``Soc``,
which an adapter for another driver can use as well.
"""

from typing import Any

from conformance.systems.uat.operations import SPECS
from conformance.targets.reference import ReferenceTarget
from reference.drivers.table_memory import TableMemory
from reference.formats.entry import LEAF, TABLE
from reference.formats.uat import UAT
from reference.operations import Operation, Result
from reference.systems.uat import driver as uat
from reference.systems.uat.device import (
    ALSO_NO_CONTEXT,
    CUR_SLOT,
    HANDOFF_SIZE,
    HOLD,
    KERNEL_ENTRY,
    PAGE,
    PAGETABLES,
    PROTECTIONS,
    SEEN,
    SPACE,
    TABLES,
    TABLES_END,
    TTBS_SIZE,
    UNK3,
    flush_address,
    flush_size,
    flush_state,
    ttb0,
    ttb1,
)
from reference.systems.uat.firmware import Task, Walks
from reference.systems.uat.interleaving import ORDERS, Accesses
from reference.systems.uat.promise import KERNEL, pieces_of
from reference.trace import ALLOC, FILL, STORE
from reference.words import to_signed, to_unsigned

ACCESS_BUDGET = 1 << 18
"""Accesses to entries that one call may make, besides ``PAGE_BUDGET`` for each table page."""
PAGE_BUDGET = 4096
"""A call reads each entry of a table a few times at most."""
BOOT_TABLES = (PAGETABLES + PAGE, PAGETABLES + 2 * PAGE)
"""The firmware's own tables in the upper half."""

LEFT_BEHIND = {
    CUR_SLOT: ALSO_NO_CONTEXT, UNK3: 7, flush_state(0): 2, flush_address(1): 0x4000,
    flush_size(2): 0x8000, flush_state(KERNEL_ENTRY): 1, ttb0(1): 0x5000_4001,
    ttb1(1): 0x5000_8001, ttb0(0): 0x5000_C001,
}  # fmt: skip
"""What stands in the regions when the driver comes."""


class TableWalks(Walks):
    """The firmware's walks through the driver's tables."""

    def __init__(self, memory: TableMemory) -> None:
        super().__init__()
        self.memory = memory

    def leaf(self, root: int, half: int, va: int) -> int:
        """The leaf entry for an address of a half, held; 0 if there is none."""
        table, level = root, 1
        while True:
            words = self.memory.pages.get(table)
            word = words[UAT.index(level, va)] if words is not None else 0
            kind = UAT.kind(level, word)
            if kind != TABLE:
                return word if kind == LEAF else 0
            table, level = UAT.next_table(level, word), level + 1


class UatTarget(ReferenceTarget):
    """A UAT driver written in Python, by default the reference driver.

    ``made`` is its ``Uat``. A mutant may be one of the firmware, which the driver's module names,
    too.
    """

    system = "uat"
    specs = SPECS

    def __init__(self, driver: Any = uat, name: str = "reference", version: str = "") -> None:
        super().__init__(driver, name, version)
        self._memory: TableMemory | None = None

    @property
    def soc(self) -> Any:
        """What driver and firmware run on."""
        return self.made.soc

    def prepare(self, operation: Operation) -> None:
        """Give a call its budgets, and say which allocation of it fails."""
        if operation.name != "create":
            memory = self.made.memory
            budget = ACCESS_BUDGET + PAGE_BUDGET * len(memory.pages)
            self.made.begin(self.trace, operation.args.get("fail_at", 0), budget)

    def _call(self, call: Accesses, mute: int = 0) -> Result:
        """Run a call; ``mute``: the firmware neither answers nor leaves meanwhile."""
        firmware = self.soc.firmware
        firmware.mute = bool(mute)
        result = self.soc.run(call)
        firmware.mute = False
        return Result(result, to_signed(self.made.value) if result == 0 else 0)

    # -- the driver's calls -------------------------------------------------------------------

    def do_create(
        self,
        order: str,
        switch_flushes: int,
        contexts: int,
        oas: int,
        boot: str,
        regions: str,
        fail_at: int,
    ) -> Result:
        """Probe: find the regions, and start."""
        result = self.driver.regions_result(*self._regions(regions))
        if result:
            return Result(result)
        memory = TableMemory(TABLES, TABLES_END, PAGE, self.trace)
        self._boot_tables(memory)
        firmware = self.driver.Firmware(TableWalks(memory), bool(switch_flushes), self.trace)
        soc = self.driver.Soc(ORDERS.index(order), firmware)
        for address, word in LEFT_BEHIND.items():
            soc.memory.words[address] = word
            self.trace.emit(SEEN, address, to_signed(word))
        firmware.tasks.append(Task("boot", 0, 0, False))
        soc.alive = boot != "dead"
        if boot == "ready":
            soc.steps(16)
            soc.drain(1)
        made = self.driver.Uat(soc, contexts, oas, bool(switch_flushes), memory)
        self.made = made
        made.begin(self.trace, fail_at, ACCESS_BUDGET)
        call = self._call(made.create(PAGETABLES))
        if call.result:
            self.made = None
        return call

    def _regions(self, regions: str) -> list[int]:
        """The bytes of the three regions."""
        sizes = {"handoff": HANDOFF_SIZE, "ttbs": TTBS_SIZE, "pagetables": PAGE}
        what, _, name = regions.partition("-")
        if name:
            wrong = {
                "no": self.driver.MISSING, "unmappable": self.driver.UNMAPPABLE,
                "small": sizes[name] - 1,
            }  # fmt: skip
            sizes[name] = wrong[what]
        return list(sizes.values())

    def _boot_tables(self, memory: TableMemory) -> None:
        """What the boot loader has left in the upper half: its root, and two tables behind it."""
        trace = self.trace
        trace.emit(SPACE, KERNEL)
        for pa in (PAGETABLES, *BOOT_TABLES):
            memory.pages[pa] = [0] * (PAGE // 8)
            memory.rooms[pa] = PAGE
            trace.emit(ALLOC, pa, PAGE)
            trace.emit(FILL, pa, PAGE, 0)
        for index, pa in enumerate(BOOT_TABLES):
            word = UAT.table(1, pa)
            memory.pages[PAGETABLES][index] = word
            trace.emit(STORE, PAGETABLES + 8 * index, 0, word)

    def do_vm(self, fail_at: int) -> Result:
        """Make an address space."""
        return self._call(self.made.new_vm())

    def do_destroy_vm(self, vm: int, mute: int) -> Result:
        """Destroy one."""
        return self._call(self.made.destroy_vm(vm), mute)

    def do_bind(self, vm: int, mute: int) -> Result:
        """Have a context."""
        return self._call(self.made.bind(vm), mute)

    def do_clone(self, vm: int) -> Result:
        """One more holds it."""
        return self._call(self.made.clone(vm))

    def do_unbind(self, vm: int) -> Result:
        """One less holds it."""
        return self._call(self.made.unbind(vm))

    def do_map(self, vm: int, size: int, pa: int, piece: int, bad: int, fail_at: int) -> Result:
        """Map somewhere."""
        self.trace.emit(SPACE, vm)
        pieces = pieces_of(to_unsigned(pa), size, piece, bad)
        return self._call(self.made.map(vm, size, pieces))

    def do_map_in_range(
        self,
        vm: int,
        size: int,
        pa: int,
        piece: int,
        bad: int,
        align: int,
        start: int,
        end: int,
        prot: str,
        guard: int,
        fail_at: int,
    ) -> Result:
        """Map somewhere in a range."""
        self.trace.emit(SPACE, vm)
        pieces = pieces_of(to_unsigned(pa), size, piece, bad)
        bounds = to_unsigned(align), to_unsigned(start), to_unsigned(end)
        how = PROTECTIONS[prot], bool(guard)
        return self._call(self.made.map_in_range(vm, size, pieces, *bounds, *how))

    def do_map_at(
        self,
        vm: int,
        va: int,
        size: int,
        pa: int,
        piece: int,
        bad: int,
        prot: str,
        guard: int,
        fail_at: int,
    ) -> Result:
        """Map at an address."""
        self.trace.emit(SPACE, vm)
        pieces = pieces_of(to_unsigned(pa), size, piece, bad)
        how = PROTECTIONS[prot], bool(guard)
        return self._call(self.made.map_at(vm, to_unsigned(va), size, pieces, *how))

    def do_map_io(self, vm: int, size: int, pa: int, writable: int, fail_at: int) -> Result:
        """Map registers."""
        self.trace.emit(SPACE, vm)
        return self._call(self.made.map_io(vm, to_unsigned(pa), size, bool(writable)))

    def do_drop(self, mapping: int, mute: int) -> Result:
        """Drop a mapping."""
        return self._call(self.made.drop(mapping), mute)

    def do_destroy(self) -> Result:
        """Stop."""
        return self._call(self.made.destroy(PAGETABLES))

    # -- what the firmware does of its own ----------------------------------------------------

    def do_switch(self, at: int, steps: int) -> Result:
        """Let the firmware in, in the next call."""
        self.soc.switches.append((at, steps))
        return Result()

    def do_fw_enter(self, vm: int) -> Result:
        """A context to enter."""
        self._post("enter", self.made.vm(vm).slot + 1)
        return Result()

    def do_fw_leave(self) -> Result:
        """A context to leave."""
        self._post("leave", 0)
        return Result()

    def do_fw_touch(self, mapping: int, page: int, write: int) -> Result:
        """An address to use."""
        one = self.made.mappings[mapping]
        va = one.va + page * PAGE % max(one.size, PAGE)
        context = 0 if one.vm.kernel else one.vm.slot + 1
        self._post("touch", context, va, bool(write))
        return Result()

    def _post(self, what: str, context: int, va: int = 0, write: bool = False) -> None:
        self.soc.firmware.tasks.append(Task(what, context, va, write))

    def do_fw_run(self, steps: int) -> Result:
        """Let it run."""
        self.soc.steps(steps)
        return Result()

    # -- what is left -------------------------------------------------------------------------

    def tell(self, operation: Operation, result: Result, begin: int) -> None:
        """Which context a VM has, and how many hold it."""
        if operation.name in ("bind", "clone", "unbind") and result.result == 0:
            number = operation.number("vm")
            vm = self.made.vm(number)
            context = vm.slot + 1 if vm.slot >= 0 else -1
            self.trace.emit(HOLD, number, context, vm.users)
