"""The driver of a Mali MMU: the vectors of formats.md B.1 to B.6, and laws over many calls."""

import errno
import random
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from conformance.systems.mali.targets import MaliTarget
from reference import trace as t
from reference.formats.entry import LEAF, TABLE
from reference.operations import Operation, Result
from reference.systems.gpuvm.events import VMA_ADD, VMA_REMOVE
from reference.systems.mali import driver as mali
from reference.systems.mali.device import locked_range
from reference.systems.mali.events import VM
from reference.trace import Event, Trace
from reference.words import to_signed, to_unsigned

PAGE = 0x1000
LARGE = 0x200000
SPLIT = 1 << 47
DONE = Result(0)
REFUSED = Result(-errno.EINVAL)
STUCK = Result(-errno.ETIMEDOUT)
GONE = Result(-errno.ENODEV)

MAP, UNMAP, SYNC_ONLY = 0, 1, 2
READONLY, NOEXEC, UNCACHED = 1, 2, 4

CLEAR, MASK = 0x2004, 0x2008
COMMAND, STATUS = 0x18, 0x28
COMMANDS = {1: "update", 2: "lock", 3: "unlock", 4: "flush-pt", 5: "flush-mem"}
WIDE = {0x00: "root", 0x08: "memattr", 0x10: "region", 0x30: "config"}
ENABLE = ["region 3f", "lock", "flush-mem"]
DISABLED = ["root 0", "memattr 0", "config 1", "update"]


class World:
    """A device with VM 0 and buffer 0, its target, and the events of the last call."""

    def __init__(self, driver: Any = mali, buffer: int = 1 << 22, **create: int) -> None:
        self.target = MaliTarget(driver)
        self.trace = Trace()
        assert self.do("create", **create) == DONE
        assert self.do("vm") == DONE
        if buffer:
            assert self.do("bo", size=buffer) == DONE

    @property
    def device(self) -> Any:
        """The driver itself."""
        return self.target.made

    def do(self, name: str, **args: int) -> Result:
        """One operation; words may be given unsigned."""
        self.trace.clear()
        held = {key: to_signed(value) for key, value in args.items()}
        result = self.target.perform(Operation(name, held), self.trace)
        assert not self.named("warn", "bug", "crash", "hang", "wild")
        return result

    def bind(self, va: int, size: int = PAGE, bo: int = 0, **more: int) -> Result:
        """Map in VM 0."""
        return self.do("bind", **{"vm": 0, "kind": MAP, "va": va, "size": size, "bo": bo} | more)

    def unbind(self, va: int, size: int = PAGE, **more: int) -> Result:
        """Unmap in VM 0."""
        return self.do("bind", **{"vm": 0, "kind": UNMAP, "va": va, "size": size} | more)

    def queue(self, va: int, size: int = PAGE, fence: int = -1, **more: int) -> Result:
        """Map in VM 0, later."""
        args = {"vm": 0, "kind": MAP, "va": va, "size": size, "bo": 0, "fence": fence}
        return self.do("queue", **args | more)

    def active(self, vm: int = 0) -> Result:
        """A job begins."""
        return self.do("active", vm=vm)

    def idle(self, vm: int = 0) -> Result:
        """A job ends."""
        return self.do("idle", vm=vm)

    # -- the last call's events -----------------------------------------------------------------

    def named(self, *names: str) -> list[Event]:
        """Events of these kinds."""
        return [event for event in self.trace if event.name in names]

    def commands(self, slot: int = 1) -> list[str]:
        """What was written to an AS: commands by name, 64-bit registers as a whole."""
        said = []
        low = 0
        for event in self.named("reg-write"):
            offset = event.a - 0x2400 - 0x40 * slot
            if offset == COMMAND:
                said.append(COMMANDS[event.b])
            elif offset & ~4 in WIDE and 0 <= offset < 0x40:
                if offset & 4:
                    said.append(f"{WIDE[offset & ~4]} {event.b << 32 | low:x}")
                low = event.b
        return said

    def writes(self, register: int) -> list[int]:
        """What was written to a register."""
        return [event.b for event in self.named("reg-write") if event.a == register]

    def stores(self) -> list[tuple[int, int]]:
        """Words stored in tables, old and new."""
        return [(to_unsigned(e.b), to_unsigned(e.c)) for e in self.named("store")]

    def leaves(self) -> list[int]:
        """Entries that were made and are no table's."""
        return [new for _, new in self.stores() if new & 0x40]

    def slots(self) -> list[tuple[int, int, int]]:
        """(VM, AS, jobs) as told."""
        return [(e.a, e.b, e.c) for e in self.named("slot")]

    def counts(self) -> dict[tuple[int, int], int]:
        """By what is counted and its number."""
        return {(e.a, e.b): e.c for e in self.named("refs")}

    def fences(self) -> list[tuple[int, int]]:
        """(number, result) as signalled."""
        return [(e.a, e.b) for e in self.named("fence")]

    def mappings(self) -> list[str]:
        """Such as "+1000..1fff 0+0": what came into the tree of VMAs, and what went."""
        said = []
        for event in self.named("vma-add", "vma-remove"):
            first, last, word = (to_unsigned(x) for x in (event.a, event.b, event.c))
            sign = "+" if event.kind == VMA_ADD else "-"
            said.append(f"{sign}{first:x}..{last:x} {word >> 48}+{word & (1 << 48) - 1:x}")
        return said

    def count(self, name: str) -> int:
        """How many events of a kind there are."""
        return len(self.named(name))


def wanted(root: str = "80000000", memattr: str = "9f9f9f9f9c4c9f4c", config: str = "620001c6"):
    return [*ENABLE, f"root {root}", f"memattr {memattr}", f"config {config}", "update"]


# -- arithmetic (B.1, B.2, B.5, B.6) ----------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "size", "region"),
    [
        (0, 1 << 64, 0x3F),
        (0, 0x1000, 0xE),
        (0x4000, 0x1000, 0x400E),
        (0x7000, 0x2000, 0xF),
        (0x8000, 0x8000, 0x800E),
        (0x10000, 0x10000, 0x1000F),
        (0x7F0012345000, 0x1000, 0x7F001234400E),
        (0x7F0012345000, 0x200000, 0x7F0012000016),
        (0xFFFF000, 0x2000, 0x1C),
        (0x1FE000, 0x4000, 0x15),
        (0, 1 << 48, 0x2F),
        (0x40000000, 0x200000, 0x40000014),
    ],
)
def test_regions_that_are_locked(start, size, region):
    assert mali.region_of(start, size) == region
    locked = locked_range(region)
    assert locked is not None
    assert locked[0] <= start
    assert start + size - 1 <= locked[1]


def test_memory_types():
    assert mali.memattr_of(mali.MAIR, False) == 0x8F8F8F8F8C4C8F4C
    assert mali.memattr_of(mali.MAIR, True) == 0x9F9F9F9F9C4C9F4C
    assert mali.memattr_of(0xF404FF44, False) == 0x4C4C4C4C8C4C8F4C
    assert mali.memattr_of(0xF404FF44, True) == 0x4C4C4C4C9C4C9F4C


@pytest.mark.parametrize(
    ("bits", "plain", "coherent"),
    [
        (48, 0x420001C6, 0x620001C6),
        (39, 0x42000406, 0x62000406),
        (33, 0x42000586, 0x62000586),
        (32, 0x420005C6, 0x620005C6),
    ],
)
def test_how_an_address_space_walks(bits, plain, coherent):
    assert mali.transcfg_of(bits, False) == plain
    assert mali.transcfg_of(bits, True) == coherent


@pytest.mark.parametrize(
    ("bits", "asked", "split"),
    [
        (48, 0, SPLIT),
        (39, 0, 0x4000000000),
        (32, 0, 0xF0000000),
        (33, 0, 0x100000000),
        (48, (1 << 48) - (1 << 28), 0xFFFFF0000000),
        (48, (1 << 48) - (1 << 28) + PAGE, -1),
        (48, 1 << 32, SPLIT),
        (48, 0xFFFF00000000, 0xFFFF00000000),
        (48, -PAGE, -1),
        (27, 0, -1),
        (28, 0, 0),
    ],
)
def test_whose_addresses_are_whose(bits, asked, split):
    assert mali.user_part(bits, asked) == split


@pytest.mark.parametrize(
    ("va", "size", "tables"),
    [
        (0, 0x1000, 3),
        (0x1FF000, 0x2000, 4),
        (0x3FFFF000, 0x2000, 5),
        (0x7FFFFFF000, 0x2000, 6),
        (0x10000000, 1 << 28, 130),
        (0x40000000, 1 << 30, 514),
    ],
)
def test_tables_reserved_for_a_map(va, size, tables):
    assert mali.tables_to_map(va, size) == tables


@pytest.mark.parametrize(
    ("va", "size", "tables"),
    [
        (0x200000, 0x200000, 0),
        (0x201000, 0x1000, 1),
        (0x1FF000, 0x2000, 2),
        (0x200000, 0x1000, 1),
        (0x201000, 0x3FF000, 1),
    ],
)
def test_tables_reserved_for_an_unmap(va, size, tables):
    assert mali.tables_to_unmap(va, size) == tables
    world = World()
    assert world.unbind(va, size) == DONE
    assert world.count("alloc") == world.count("free") == tables


@pytest.mark.parametrize(
    ("address", "size", "page", "count"),
    [
        (0, PAGE, PAGE, 1),
        (0, LARGE, LARGE, 1),
        (0, LARGE + PAGE, LARGE, 1),
        (0x1FF000, LARGE, PAGE, 1),
        (0x1000, 0x4000, PAGE, 4),
        (0x3FE00000, 3 * LARGE, LARGE, 1),
        (0x40000000, 1 << 31, LARGE, 1024),
    ],
)
def test_pages_that_a_range_begins_with(address, size, page, count):
    assert mali.page_run(address, size) == (page, count)


@pytest.mark.parametrize("extra", [0, NOEXEC])
@pytest.mark.parametrize(
    ("flags", "bits"),
    [
        (0, 0xF47),
        (READONLY, 0xFC7),
        (UNCACHED, 0xE43),
        (READONLY | UNCACHED, 0xEC3),
    ],
)
def test_entries_of_pages_and_of_large_pages(flags, bits, extra):
    bits |= 0x0060000000000000 if extra else 0
    world = World()
    assert world.bind(0x7F0012345000, 2 * PAGE, flags=flags | extra) == DONE
    assert world.leaves() == [0x90000000 | bits, 0x90001000 | bits]
    assert world.bind(0x40200000, LARGE, flags=flags | extra) == DONE
    assert world.leaves() == [0x90000000 | bits & ~2]


# -- registers, and how an AS is enabled ------------------------------------------------------


def test_probe_unmasks_the_faults():
    target = MaliTarget()
    trace = Trace()
    target.perform(Operation("create"), trace)
    assert [(e.a, e.b) for e in trace] == [(CLEAR, 0xFFFF), (MASK, 0xFFFF)]
    with pytest.raises(ValueError, match="'create'; there is only one"):
        target.perform(Operation("create"), trace)


def test_what_cannot_be_asked():
    target = MaliTarget()
    with pytest.raises(ValueError, match="'vm'; allowed is create"):
        target.perform(Operation("vm"), Trace())
    for slots in (0, 17):
        assert target.perform(Operation("create", {"slots": slots}), Trace()) == REFUSED
    target.perform(Operation("create"), Trace())
    with pytest.raises(ValueError, match="operation is 'map'"):
        target.perform(Operation("map"), Trace())
    with pytest.raises(ValueError, match="operation bind has no number 'vm'"):
        target.perform(Operation("bind", {"vm": "0"}), Trace())


@pytest.mark.parametrize(
    ("create", "config", "memattr"),
    [
        ({}, "620001c6", "9f9f9f9f9c4c9f4c"),
        ({"coherent": 0}, "420001c6", "8f8f8f8f8c4c8f4c"),
        ({"va_bits": 39}, "62000406", "9f9f9f9f9c4c9f4c"),
    ],
)
def test_an_as_is_enabled(create, config, memattr):
    world = World(**create)
    assert world.active() == DONE
    assert world.commands() == wanted(memattr=memattr, config=config)
    assert world.slots() == [(0, 1, 1)]
    assert not world.device.bus.mmu.observations
    # Every command was waited for, and none was written while one ran.
    accesses = world.named("reg-read", "reg-write")
    for number, event in enumerate(accesses):
        if event.kind == t.REG_WRITE and event.a == 0x2440 + COMMAND:
            assert (accesses[number + 1].a, accesses[number + 1].b) == (0x2440 + STATUS, 0)


def test_what_is_read_again_and_again_is_told_16_times():
    world = World()
    world.do("stick", slot=1, polls=100)
    assert world.active() == DONE
    polls = [e.b for e in world.named("reg-read")]
    assert polls == [0] + [1] * 16 + [0, 0, 0]


def test_a_command_after_others_sticks():
    world = World()
    world.active()
    world.do("stick", slot=1, polls=2, after=1)
    world.bind(0)
    assert [e.b for e in world.named("reg-read")] == [0, 0, 1, 1, 0]


# -- order of a change ------------------------------------------------------------------------


def change_of(world: World) -> list[str]:
    """A change's stores and commands in order; runs of stores are one."""
    said: list[str] = []
    for event in world.trace:
        name = event.name
        if event.kind == t.REG_WRITE and event.a == 0x2440 + COMMAND:
            name = COMMANDS[event.b]
        elif event.kind not in (t.STORE, t.BARRIER, t.FREE, VMA_ADD, VMA_REMOVE):
            continue
        if not said or said[-1] != name:
            said.append(name)
    return said


def test_entries_change_while_the_range_is_locked():
    world = World()
    world.active()
    world.bind(0x7000, 2 * PAGE)
    assert world.commands() == ["region f", "lock", "flush-pt"]
    steps = change_of(world)
    assert steps[0] == "lock"
    assert steps[-4:] == ["store", "barrier", "flush-pt", "vma-add"]
    world.unbind(0x7000, 2 * PAGE)
    assert world.commands() == ["region f", "lock", "flush-pt"]
    assert change_of(world) == ["lock", "store", "barrier", "flush-pt", "vma-remove", "free"]


def test_nothing_is_locked_where_nobody_walks():
    world = World()
    world.bind(0)
    assert not world.named("reg-read", "reg-write")


def test_part_of_a_large_page_is_unmapped_behind_a_lock_of_all_of_it():
    world = World()
    world.active()
    world.bind(0x40200000, LARGE, flags=NOEXEC)
    assert world.unbind(0x40205000, 2 * PAGE) == DONE
    assert world.commands() == ["region 40200014", "lock", "flush-pt"]
    made = world.leaves()
    assert len(made) == 512
    assert made[4:8] == [0x0060000090000F47 + PAGE * n for n in (4, 5, 6, 7)]
    assert world.stores()[-3] == (0x0060000090000F45, 0x80003003)
    assert world.mappings() == [
        "-40200000..403fffff 0+0",
        "+40200000..40204fff 0+0",
        "+40207000..403fffff 0+7000",
    ]
    # What is pages already is locked as such.
    world.unbind(0x40200000, PAGE)
    assert world.commands() == ["region 4020000e", "lock", "flush-pt"]


def test_tables_are_freed_after_the_flush():
    world = World()
    world.do("bo", size=LARGE, pieces=8)
    world.active()
    world.bind(LARGE, LARGE, 1)
    world.unbind(LARGE, LARGE)
    assert change_of(world) == ["lock", "store", "barrier", "flush-pt", "free", "vma-remove"]
    # So is the empty table that a large page takes the place of.
    world.bind(LARGE, PAGE)
    world.unbind(LARGE, PAGE)
    world.bind(LARGE, LARGE)
    steps = change_of(world)
    assert steps == ["lock", "store", "barrier", "flush-pt", "free", "vma-add", "free"]


def test_pieces_of_a_buffer_are_mapped_from_the_middle_of_one_on():
    world = World()
    world.do("bo", size=12 * PAGE, pieces=4)
    world.bind(0x10000, 9 * PAGE, 1, offset=2 * PAGE)
    base = world.device.buffers[1].at.pa
    found = [(word & ~0xFFF) - base for word in world.leaves()]
    assert found == [PAGE * n for n in (2, 3, 8, 9, 10, 11, 16, 17, 18)]


def test_tables_of_a_device_that_does_not_snoop_are_cleaned():
    world = World(coherent=0)
    world.bind(0)
    cleaned = {e.a // PAGE for e in world.named("clean")}
    assert cleaned >= {e.a // PAGE for e in world.named("store")}


# -- binds ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        {"va": 0x800},
        {"size": 0x800},
        {"offset": 0x800},
        {"va": SPLIT},
        {"va": SPLIT - PAGE, "size": 2 * PAGE},
        {"va": -PAGE, "size": 2 * PAGE},
        {"size": -PAGE},
        {"bo": 5},
        {"bo": -1},
        {"flags": 8},
        {"offset": 1 << 22},
        {"offset": -PAGE},
        {"size": (1 << 22) + PAGE},
        {"bo": 1},
        {"vm": 3},
        {"vm": -1},
        {"kind": UNMAP},
        {"kind": UNMAP, "bo": -1, "flags": READONLY},
        {"kind": UNMAP, "bo": -1, "offset": PAGE},
        {"kind": SYNC_ONLY, "bo": -1},
        {"kind": 3, "bo": -1},
    ],
)
def test_binds_that_are_refused_change_nothing(args):
    world = World()
    world.do("vm")
    world.do("bo", size=PAGE, vm=1)
    world.active()
    given = {"va": 0x10000, "size": PAGE, "bo": 0, **args}
    assert world.bind(**given) == REFUSED
    assert all(e.kind in (VM, t.REFS) for e in world.trace)
    assert world.counts().get((t.REFS_VM, 0), 2) == 2
    assert world.queue(**given) == REFUSED
    assert world.bind(0) == DONE


def test_binds_of_no_bytes():
    world = World()
    assert world.bind(0x800, 0) == DONE
    assert all(e.kind in (VM, t.REFS) for e in world.trace)
    assert world.queue(0, 0) == world.queue(0, 0, kind=UNMAP, bo=-1) == REFUSED


@pytest.mark.parametrize("map_first", [False, True])
def test_a_bind_that_gets_no_memory_changes_nothing(map_first):
    world = World()
    world.active()
    if map_first:
        world.bind(0, LARGE)
    before = dict(world.device.pool.pages)
    fails = 1
    while world.bind(PAGE, PAGE, fail_at=fails) != DONE:
        assert world.named("alloc-failed")
        assert not world.named("store", "vma-add", "vma-remove", "reg-write")
        assert world.count("alloc") == world.count("free")
        assert world.device.pool.pages.keys() == before.keys()
        fails += 1
    # Three VMAs and three tables; and the link, if it is new.
    assert fails == 7 + (not map_first)
    fails = 1
    while world.unbind(0, 2 * PAGE, fail_at=fails) != DONE:
        fails += 1
    assert fails == 2 + 1 + 1


def test_counts():
    world = World()
    world.bind(0, 4 * PAGE)
    assert world.counts() == {
        (t.REFS_VM, 0): 3,
        (t.REFS_VM_BO, 0): 1,
        (t.REFS_BUFFER, 0): 2,
        (t.REFS_PINS, 0): 1,
    }
    world.unbind(PAGE)
    assert world.counts() == {(t.REFS_VM, 0): 4, (t.REFS_VM_BO, 0): 2}
    world.do("close", bo=0)
    assert world.counts() == {(t.REFS_BUFFER, 0): 1, (t.REFS_PINS, 0): 1}
    world.unbind(0, 4 * PAGE)
    assert world.counts() == {
        (t.REFS_VM, 0): 1,
        (t.REFS_VM_BO, 0): 0,
        (t.REFS_BUFFER, 0): 0,
        (t.REFS_PINS, 0): 0,
    }


def test_pages_that_no_entry_can_name():
    world = World(buffer=1 << 40, pa_bits=32)
    assert world.bind(0, PAGE, offset=(1 << 40) - PAGE) == Result(-errno.ERANGE)
    assert not world.named("store", "alloc")
    assert world.bind(0, PAGE) == DONE


# -- queued binds -----------------------------------------------------------------------------


def test_queued_binds_wait_and_are_done_in_order():
    world = World()
    world.do("vm")
    world.do("fence")
    world.queue(0, fence=0)
    assert world.count("alloc") == 3
    world.queue(PAGE)
    world.queue(0, kind=UNMAP, bo=-1)
    world.queue(0, vm=1)
    world.do("run")
    assert world.fences() == [(4, 0)]
    assert world.do("signal", fence=0) == DONE
    assert world.mappings() == []
    world.do("run")
    assert world.mappings() == ["+0..fff 0+0", "+1000..1fff 0+0", "-0..fff 0+0"]
    assert world.fences() == [(1, 0), (2, 0), (3, 0)]
    assert world.do("signal", fence=0) == world.do("signal", fence=1) == REFUSED


def test_deferred_work_step_by_step():
    world = World()
    world.active()
    world.queue(0x10000)
    assert world.counts()[t.REFS_VM, 0] == 2 + 1 + 1
    world.do("run", steps=1)
    assert world.fences() == [(0, 0)]
    assert world.counts() == {(t.REFS_VM, 0): 5, (t.REFS_VM_BO, 0): 2}
    world.do("run")
    assert world.counts() == {(t.REFS_VM, 0): 4, (t.REFS_VM_BO, 0): 1}
    world.do("run")
    assert list(world.trace) == []


def test_a_bind_that_only_signals():
    world = World()
    world.do("fence")
    assert world.do("queue", vm=0, kind=SYNC_ONLY, va=0, size=0, fence=0) == Result(0, 1)
    world.do("run")
    assert world.fences() == []
    world.do("signal", fence=0)
    world.do("run")
    assert world.fences() == [(1, 0)]


def test_queued_binds_of_a_destroyed_vm_are_not_carried_out():
    world = World()
    world.active()
    world.do("fence")
    world.queue(0x10000, fence=0)
    world.queue(0x20000, kind=UNMAP, bo=-1)
    world.do("destroy_vm", vm=0)
    # The job, two binds, and the link of the first.
    assert world.counts()[t.REFS_VM, 0] == 1 + 2 + 1
    world.do("signal", fence=0)
    world.do("run")
    assert world.fences() == [(1, -errno.ECANCELED), (2, -errno.ECANCELED)]
    assert world.mappings() == []
    assert not world.named("store", "reg-write")
    assert world.idle() == DONE
    assert world.commands() == [*ENABLE, *DISABLED]
    assert world.device.pool.pages == {}
    assert world.device.vms == [None]


def test_a_queued_bind_that_fails_makes_the_vm_unusable():
    world = World()
    world.active()
    world.queue(0)
    world.do("stick", slot=1, polls=-1)
    world.do("run", steps=1)
    assert world.fences() == [(0, -errno.ETIMEDOUT)]
    world.do("run")
    assert world.queue(PAGE) == world.bind(PAGE) == REFUSED
    assert world.unbind(0) == DONE


# -- which VM has which AS --------------------------------------------------------------------


def test_an_as_is_kept_until_another_vm_needs_it():
    world = World(slots=3)
    for _ in range(2):
        world.do("vm")
    assert [world.active(0), world.active(1), world.active(0)] == [DONE] * 3
    assert world.slots() == [(0, 1, 2)]
    assert world.active(2) == Result(-errno.EBUSY)
    assert [world.idle(1), world.idle(0), world.idle(0)] == [DONE] * 3
    assert world.idle(0) == REFUSED
    # VM 1 was idle first.
    assert world.active(2) == DONE
    assert world.slots() == [(1, -1, 0), (2, 2, 1)]
    assert world.commands(2) == wanted("80002000")
    # VM 0 still has its own.
    assert world.active(0) == DONE
    assert world.commands() == []
    assert world.bind(0, vm=1) == DONE
    assert not world.named("reg-write")


def test_an_as_that_cannot_be_enabled_is_given_back():
    world = World()
    world.do("stick", slot=1, polls=-1, after=2)
    assert world.active() == STUCK
    assert world.slots() == []
    assert world.counts() == {(t.REFS_VM, 0): 1}
    assert [(e.a, e.b) for e in world.named("message")] == [(0, t.MESSAGE_RESET)]
    assert world.active() == STUCK
    assert not world.named("message")
    world.do("run")
    assert world.active() == DONE
    assert world.commands() == wanted()


def test_tables_of_whom_a_stuck_as_may_walk_for_are_kept():
    world = World(slots=2)
    world.do("vm")
    world.bind(0)
    world.active(0)
    world.idle(0)
    world.do("stick", slot=1, polls=-1)
    assert world.active(1) == STUCK
    world.do("destroy_vm", vm=0)
    assert world.count("free") == 0
    assert (t.REFS_PINS, 0) not in world.counts()
    world.do("run")
    assert world.count("free") == 4
    assert world.counts()[t.REFS_PINS, 0] == 0


# -- faults -----------------------------------------------------------------------------------


def test_a_fault_stops_its_as_until_the_vm_was_idle():
    world = World()
    world.active()
    fault = {"slot": 1, "address": 0x7F0012345000, "code": 0x302C3}
    for _ in range(2):
        assert world.do("fault", **fault) == DONE
        read = [(e.a, e.b) for e in world.named("reg-read")]
        assert (0x245C, 0x302C3) in read
        assert (0x2460, 0x12345000) in read
        assert (0x2464, 0x7F00) in read
        assert world.writes(CLEAR) == [2]
        assert world.writes(MASK) == [0, 0xFFFD, 0xFFFD]
        assert world.commands() == [*ENABLE, *DISABLED]
        assert world.slots() == []
        # It is masked now.
        world.do("fault", **fault)
        assert list(world.trace) == []
        # A second job does not help.
        world.active()
        assert world.commands() == []
        world.idle()
        world.idle()
        assert world.active() == DONE
        assert world.writes(CLEAR) == [2]
        assert world.writes(MASK) == [0xFFFF]
        assert world.commands() == wanted()


def test_faults_that_cannot_be():
    world = World()
    assert world.do("fault", slot=4, address=0, code=0) == REFUSED
    assert world.do("stick", slot=16, polls=1) == world.do("stick", slot=1, polls=-2) == REFUSED
    assert world.do("stick", slot=15, polls=1) == DONE
    world.do("suspend")
    assert world.do("fault", slot=1, address=0, code=0) == REFUSED


# -- a device that is stuck -------------------------------------------------------------------


def test_what_a_stuck_change_took_off_is_kept_until_the_reset():
    world = World()
    world.do("bo", size=LARGE, pieces=1)
    world.active()
    world.bind(LARGE, LARGE, 1)
    world.do("stick", slot=1, polls=-1)
    assert world.unbind(LARGE, LARGE) == STUCK
    assert world.commands() == ["region 200014", "lock"]
    assert world.count("message") == 1
    assert world.mappings() == ["-200000..3fffff 1+0"]
    assert world.count("free") == 0
    # Its VMA is gone, the link and the pin are not.
    assert world.counts() == {(t.REFS_VM, 0): 3}
    # The next one tries.
    assert world.bind(0) == STUCK
    assert world.commands() == []
    assert world.mappings() == ["+0..fff 0+0"]
    world.do("run")
    assert [e.b for e in world.named("message")] == [t.MESSAGE_WAS_RESET]
    assert world.writes(MASK) == [0, 0xFFFF]
    assert world.count("free") == 1
    assert world.slots() == [(0, -1, 0)]
    assert world.counts()[t.REFS_PINS, 1] == 0
    assert world.bind(LARGE, LARGE, 1) == DONE


def test_a_node_whose_mapping_is_stuck_is_not_made():
    world = World()
    world.active()
    world.do("stick", slot=1, polls=-1)
    assert world.do("alloc", vm=0, size=PAGE, bo=0) == STUCK
    assert world.mappings() == [
        f"+{SPLIT:x}..{SPLIT + 0xFFF:x} 0+0",
        f"-{SPLIT:x}..{SPLIT + 0xFFF:x} 0+0",
    ]
    world.do("run")
    assert world.do("alloc", vm=0, size=PAGE, bo=0) == Result(0, SPLIT)
    assert world.do("free", node=0) == DONE


# -- power, resets ----------------------------------------------------------------------------


def test_suspend_and_resume():
    world = World()
    world.active()
    assert world.do("suspend") == DONE
    assert world.commands() == [*ENABLE, *DISABLED]
    assert world.writes(MASK) == [0]
    assert world.slots() == [(0, -1, 0)]
    assert world.named("message")[-1].b == t.MESSAGE_POWER_OFF
    assert world.do("suspend") == world.active() == world.do("pre_reset") == REFUSED
    assert world.bind(0) == DONE
    assert world.do("resume") == DONE
    assert (world.writes(CLEAR), world.writes(MASK)) == ([0xFFFF], [0xFFFF])
    assert world.do("resume") == REFUSED
    assert world.active() == DONE
    assert world.commands() == wanted()
    assert not world.device.bus.mmu.observations


def test_a_reset():
    world = World()
    world.bind(0, LARGE)
    world.active()
    assert world.do("pre_reset") == DONE
    assert world.writes(MASK) == [0]
    assert world.do("pre_reset") == world.do("suspend") == world.active() == REFUSED
    assert world.do("unplug") == REFUSED
    # Queued binds wait; others do not touch the device, and free nothing.
    world.queue(0x40000000)
    world.do("run")
    assert world.fences() == []
    assert world.unbind(0, LARGE) == DONE
    assert not world.named("reg-read", "reg-write")
    assert world.counts() == {(t.REFS_VM, 0): 1 + 1 + 1 + 1}
    assert world.do("post_reset") == DONE
    assert world.commands() == []
    assert world.slots() == [(0, -1, 0)]
    assert world.counts()[t.REFS_VM, 0] == 3
    assert world.do("post_reset") == REFUSED
    world.do("run")
    assert world.fences() == [(0, 0)]


def test_a_device_that_is_stuck_is_reset_when_it_is_unplugged():
    world = World()
    world.bind(0, LARGE)
    world.active()
    world.do("stick", slot=1, polls=-1)
    assert world.unbind(0, LARGE) == STUCK
    assert world.do("unplug") == DONE
    assert world.named("message")[-1].b == t.MESSAGE_WAS_RESET
    assert world.counts()[t.REFS_PINS, 0] == 0
    world.do("destroy_vm", vm=0)
    assert world.device.pool.pages == {}


def test_unplug():
    world = World()
    world.bind(0)
    world.active()
    assert world.do("unplug") == DONE
    assert world.commands() == [*ENABLE, *DISABLED]
    assert world.slots() == [(0, -1, 0)]
    assert world.do("unplug") == world.do("resume") == REFUSED
    assert world.bind(PAGE) == world.active() == world.do("vm") == world.queue(0) == GONE
    assert world.do("alloc", vm=0, size=PAGE) == GONE
    assert world.do("destroy_vm", vm=0) == DONE
    assert not world.named("reg-read", "reg-write")
    assert world.count("free") == 4


# -- VMs, nodes -------------------------------------------------------------------------------


@pytest.mark.parametrize("create", [{"va_bits": 27}, {"va_bits": 49}, {"pa_bits": 41}])
def test_vms_that_cannot_be(create):
    target = MaliTarget()
    target.perform(Operation("create", create), Trace())
    assert target.perform(Operation("vm"), Trace()) == REFUSED


def test_a_file_has_32_vms_and_128_can_be_made():
    world = World(buffer=0)
    assert [world.do("vm") for _ in range(31)] == [Result(0, n) for n in range(1, 32)]
    assert world.do("vm") == Result(-errno.EBUSY)
    assert world.do("destroy_vm", vm=7) == DONE
    assert world.do("destroy_vm", vm=7) == REFUSED
    assert world.do("vm") == Result(0, 32)
    assert world.device.vms[32].handle == 8
    world.do("close_file")
    assert world.device.pool.pages == {}
    for number in range(33, 128):
        assert world.do("vm") == Result(0, number)
        world.do("destroy_vm", vm=number)
    assert world.do("vm") == Result(-errno.ENOSPC)


def test_a_destroyed_vm_lives_until_its_job_ends():
    world = World()
    world.bind(0)
    world.active()
    world.do("destroy_vm", vm=0)
    assert world.mappings() == ["-0..fff 0+0"]
    assert world.counts()[t.REFS_VM, 0] == 1
    assert world.idle() == DONE
    # The AS walks nothing any more before tables are freed.
    names = [e.name for e in world.trace if e.kind in (t.REG_READ, t.FREE)]
    assert names == ["reg-read"] * 4 + ["free"] * 4
    assert world.slots() == [(0, -1, 0)]
    assert world.idle() == world.active() == REFUSED


def test_nodes():
    world = World(va_bits=32)
    kernel = 0xF0000000
    assert world.do("alloc", vm=0, size=PAGE) == Result(0, kernel)
    assert world.counts() == {(t.REFS_VM, 0): 2}
    assert world.do("alloc", vm=0, size=LARGE, bo=0) == Result(0, kernel + LARGE)
    assert world.leaves() == [0x0060000090000F45]
    assert world.counts()[t.REFS_VM, 0] == 5
    # The smallest hole in which it fits is between the two.
    assert world.do("alloc", vm=0, size=2 * PAGE) == Result(0, kernel + PAGE)
    assert world.do("alloc", vm=0, size=PAGE, va=kernel + PAGE) == Result(-errno.ENOSPC)
    assert world.do("alloc", vm=0, size=PAGE, va=0) == Result(-errno.ENOSPC)
    assert world.do("alloc", vm=0, size=-PAGE) == Result(-errno.ENOSPC)
    last = (1 << 32) - PAGE
    assert world.do("alloc", vm=0, size=PAGE, va=last, bo=0) == Result(0, last)
    for wrong in ({"size": 0}, {"size": 1}, {"va": 1}, {"bo": 3}, {"vm": 1}, {"offset": 1}):
        assert world.do("alloc", **{"vm": 0, "size": PAGE, **wrong}) == REFUSED
    assert world.do("alloc", vm=0, size=1 << 22, bo=0, offset=PAGE) == REFUSED
    # The process cannot touch it.
    assert world.unbind(last) == REFUSED
    assert world.do("free", node=1) == DONE
    assert world.mappings() == [f"-{kernel + LARGE:x}..{kernel + 2 * LARGE - 1:x} 0+0"]
    assert world.do("free", node=1) == world.do("free", node=9) == REFUSED
    world.do("destroy_vm", vm=0)
    assert world.counts()[t.REFS_VM, 0] == 0
    assert world.do("free", node=0) == REFUSED


def test_the_kernels_part_can_be_filled():
    world = World(va_bits=32, buffer=0)
    whole = 1 << 28
    assert world.do("alloc", vm=0, size=whole) == Result(0, 0xF0000000)
    assert world.do("alloc", vm=0, size=PAGE) == Result(-errno.ENOSPC)
    world.do("free", node=0)
    kernel = world.device.vms[0].kernel
    holes = [hole for chunk in kernel.holes.chunks for hole in chunk]
    assert [(hole.first, hole.end) for hole in holes] == [(0xF0000000, 1 << 32)]
    assert not kernel.nodes


# -- laws -------------------------------------------------------------------------------------


def random_operation(draw: random.Random, world: World) -> tuple[str, dict[str, int]]:
    """Something that makes sense more often than not."""
    device = world.device
    vm = draw.randrange(len(device.vms))
    bo = draw.randrange(device.buffers_made)
    fence = draw.choice([-1, *range(len(device.binds.fences))])
    va = draw.choice([0, LARGE, 0x3FE00000]) + draw.choice([0, 0, PAGE, 511 * PAGE])
    size = draw.choice([PAGE, 2 * PAGE, LARGE - PAGE, LARGE, LARGE + PAGE])
    changes: Sequence[tuple[str, dict[str, int]]] = (
        ("bind", {"vm": vm, "kind": MAP, "va": va, "size": size, "bo": bo}),
        ("bind", {"vm": vm, "kind": UNMAP, "va": va, "size": size}),
        ("queue", {"vm": vm, "kind": MAP, "va": va, "size": size, "bo": bo, "fence": fence}),
        ("queue", {"vm": vm, "kind": UNMAP, "va": va, "size": size, "fence": fence}),
        ("bind", {"vm": vm, "kind": MAP, "va": va, "size": size, "bo": bo, "fail_at": 5}),
    )
    others: Sequence[tuple[str, dict[str, int]]] = (
        ("run", {"steps": draw.randrange(3)}),
        ("active", {"vm": vm}),
        ("idle", {"vm": vm}),
        ("vm", {}),
        ("destroy_vm", {"vm": vm}),
        ("bo", {"size": 2 * LARGE, "pieces": draw.choice([0, 3])}),
        ("close", {"bo": bo}),
        ("fence", {}),
        ("signal", {"fence": max(0, fence)}),
        ("fault", {"slot": draw.randrange(1, 4), "address": va, "code": 0xC3}),
        ("stick", {"slot": draw.randrange(1, 4), "polls": draw.choice([3, 3, -1]), "after": 1}),
        ("alloc", {"vm": vm, "size": size, "bo": draw.choice([-1, bo])}),
        ("free", {"node": draw.randrange(len(device.ranges.nodes) + 1)}),
        (draw.choice(["pre_reset", "post_reset", "suspend", "resume"]), {}),
    )
    return draw.choice(changes if draw.randrange(2) else others)


def mapped(vm: Any, table: int, level: int, va: int = 0) -> Iterable[tuple[int, int]]:
    """(page, physical address) of everything below a table."""
    for index, word in enumerate(vm.pool.pages[table]):
        kind = vm.tables.format.kind(level, word)
        span = vm.tables.format.span(level)
        if kind == TABLE:
            next_table = vm.tables.format.next_table(level, word)
            yield from mapped(vm, next_table, level + 1, va + index * span)
        elif kind == LEAF:
            pa = vm.tables.format.output(level, word)
            yield from ((va + index * span + at, pa + at) for at in range(0, span, PAGE))


def check_vm(device: Any, vm: Any, nodes: int) -> None:
    """A recount of one VM, and its page tables against its mappings."""
    vmas = vm.tree.overlapping(0, 1 << 52)
    binds = [bind for bind in (*vm.queue, *device.binds.done) if bind.vm is vm]
    handle = int(vm.handle != 0)
    assert vm.count == handle + vm.active + len(vmas) + len(vm.links) + nodes + len(binds)
    for number, link in vm.links.items():
        held = sum(bind.link is link for bind in binds) + (number in vm.kept)
        assert link.count == held + sum(vma.link is link for vma in vmas)
    # M1 to M3 of B.3.
    if vm.slot >= 0:
        assert device.slots.vms[vm.slot] is vm
        assert vm.slot != 0
    assert (vm in device.slots.idle) == (vm.slot >= 0 and vm.active == 0)
    promised = {
        (vma.first + page) * PAGE: vma.link.buffer.at.address((vma.offset + page) * PAGE)
        for vma in vmas
        for page in range(vma.end - vma.first)
    }
    assert dict(mapped(vm, vm.tables.roots[0], vm.tables.top)) == promised


def check(device: Any) -> None:
    """M1 to M4 of B.3, and a recount of everything."""
    for slot, vm in enumerate(device.slots.vms):
        assert (vm is not None) == bool(device.slots.taken >> slot & 1)
        assert vm is None or vm.slot == slot
        if device.hardware.reset_asked or device.hardware.in_reset:
            continue
        faulty = bool(device.slots.faulty >> slot & 1)
        walked = device.bus.mmu.at(slot).roots()
        assert not device.bus.mmu.at(slot).may_be_locked
        if faulty:
            assert walked == set()
        elif vm is not None:
            assert walked == set(vm.tables.roots)
    nodes = [node.vm for node in device.ranges.nodes if node is not None]
    pins: dict[int, int] = {}
    for vm in device.vms:
        if vm is not None:
            check_vm(device, vm, nodes.count(vm))
            for number in vm.links:
                pins[number] = pins.get(number, 0) + 1
    for number, buffer in device.buffers.items():
        assert buffer.pins == pins.get(number, 0)
        assert buffer.count == buffer.open + buffer.pins
    assert not device.bus.mmu.observations


@pytest.mark.parametrize("seed", range(12))
def test_laws_hold_after_every_operation(seed):
    draw = random.Random(seed)
    world = World(slots=3, coherent=seed % 2)
    world.do("vm")
    world.do("bo", size=2 * LARGE, pieces=5)
    for _ in range(40):
        name, args = random_operation(draw, world)
        world.do(name, **args)
        check(world.device)
    # At the end nothing is left.
    for name in ("post_reset", "resume", "run", "close_file"):
        world.do(name)
    for fence in list(world.device.binds.fences):
        world.do("signal", fence=fence.number)
    for number in range(len(world.device.vms)):
        while world.idle(number) == DONE:
            pass
    world.do("run")
    for number in range(world.device.buffers_made):
        world.do("close", bo=number)
    assert [vm for vm in world.device.vms if vm is not None] == []
    assert (world.device.pool.pages, world.device.buffers) == ({}, {})


def test_the_same_operations_leave_the_same_events():
    seen = []
    for _ in range(2):
        world = World()
        words = []
        for name, args in (
            ("active", {"vm": 0}),
            ("bind", {"vm": 0, "kind": MAP, "va": 0, "size": LARGE, "bo": 0}),
            ("queue", {"vm": 0, "kind": UNMAP, "va": PAGE, "size": PAGE}),
            ("run", {}),
            ("destroy_vm", {"vm": 0}),
            ("idle", {"vm": 0}),
        ):
            world.do(name, **args)
            words += world.trace.words
        seen.append(words)
    assert seen[0] == seen[1]
