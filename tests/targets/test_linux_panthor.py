"""linux:panthor: registers, address spaces, faults, resets and binds, as the driver has them."""

import errno
import itertools
from collections.abc import Sequence

import pytest

from conformance.systems.mali.targets import LinuxPanthor
from conformance.targets.linux.errors import HarnessError, KernelTreeError
from conformance.targets.linux.tree import DEBIAN_SOURCES
from reference import trace as t
from reference.operations import Operation, Result
from reference.systems.gpuvm.events import VMA_ADD, VMA_REMOVE
from reference.systems.mali import events as mali_events
from reference.trace import Event, Trace
from reference.words import to_unsigned

PAGE = 0x1000
LARGE = 0x200000
DONE = Result(0)
REFUSED = Result(-errno.EINVAL)
NO_MEMORY = Result(-errno.ENOMEM)

MAP, UNMAP, SYNC_ONLY = 0, 1, 2
READONLY, NOEXEC, UNCACHED = 1, 2, 4

# Bytes in the register file; those of an address space follow its number.
RAWSTAT, CLEAR, MASK, STAT = 0x2000, 0x2004, 0x2008, 0x200C
TRANSTAB, MEMATTR, LOCKADDR, COMMAND, STATUS, TRANSCFG = 0x00, 0x08, 0x10, 0x18, 0x28, 0x30
COMMANDS = {1: "update", 2: "lock", 3: "unlock", 4: "flush-pt", 5: "flush-mem"}
NAMES = {TRANSTAB: "root", MEMATTR: "memattr", LOCKADDR: "region", TRANSCFG: "config"}

MEMATTR_COHERENT = 0x9F9F9F9F9C4C9F4C
CONFIG_COHERENT = 0x620001C6
UNMAPPED = 1


def op(name: str, **args: int) -> Operation:
    return Operation(name, {**args})


def bind(va: int, size: int, bo: int = 0, **more: int) -> Operation:
    return op("bind", **{"vm": 0, "kind": MAP, "va": va, "size": size, "bo": bo, **more})


def unbind(va: int, size: int, **more: int) -> Operation:
    return op("bind", **{"vm": 0, "kind": UNMAP, "va": va, "size": size, **more})


def queue(va: int, size: int, fence: int = -1, **more: int) -> Operation:
    args = {"vm": 0, "kind": MAP, "va": va, "size": size, "bo": 0, "fence": fence, **more}
    return op("queue", **args)


CREATE = op("create")
VM = op("vm")
RUN = op("run")
FENCE = op("fence")
ACTIVE = op("active", vm=0)
IDLE = op("idle", vm=0)


def bo(size: int = 1 << 22, vm: int = -1, pieces: int = 0) -> Operation:
    return op("bo", size=size, vm=vm, pieces=pieces)


def run(target: LinuxPanthor, *operations: Operation) -> tuple[list[Result], Trace]:
    """The results of ``operations``, and the events of the last one."""
    results = []
    trace = Trace()
    for operation in operations:
        trace.clear()
        results.append(target.perform(operation, trace))
    return results, trace


def ready(target: LinuxPanthor, *operations: Operation, slots: int = 4) -> Trace:
    """A device with VM 0 and buffer 0, then ``operations``, all without an error."""
    results, trace = run(target, op("create", slots=slots), VM, bo(), *operations)
    assert all(result.result == 0 and result.finished for result in results), results
    return trace


def commands(trace: Sequence[Event] | Trace, slot: int = 1) -> list[str]:
    """What was written to an address space: commands by name, 64-bit registers as a whole.

    Such as "region 3f", "lock", "flush-mem", "root 80000000", "config 620001c6", "update".
    """
    base = 0x2400 + 0x40 * slot
    said = []
    low = 0
    for event in trace:
        offset = event.a - base
        if event.kind != t.REG_WRITE or not 0 <= offset < 0x40:
            continue
        if offset == COMMAND:
            said.append(COMMANDS[event.b])
        elif offset & ~4 in NAMES:
            if offset & 4:
                said.append(f"{NAMES[offset & ~4]} {event.b << 32 | low:x}")
            low = event.b
    return said


def writes(trace: Trace, register: int) -> list[int]:
    return [event.b for event in trace if event.kind == t.REG_WRITE and event.a == register]


def stores(trace: Trace) -> list[tuple[int, int]]:
    """Words stored in tables, old and new."""
    return [(to_unsigned(e.b), to_unsigned(e.c)) for e in trace if e.kind == t.STORE]


def leaves(trace: Trace) -> list[int]:
    """Entries that were made and are no table's."""
    return [new for _, new in stores(trace) if new & 0x40]


def slots(trace: Trace) -> list[tuple[int, int, int]]:
    return [(event.a, event.b, event.c) for event in trace if event.kind == mali_events.SLOT]


def counts(trace: Trace) -> dict[tuple[int, int], int]:
    return {(event.a, event.b): event.c for event in trace if event.kind == t.REFS}


def fences(trace: Trace) -> list[tuple[int, int]]:
    return [(event.a, event.b) for event in trace if event.kind == mali_events.FENCE]


def mappings(trace: Trace) -> list[str]:
    """Such as "+1000..1fff 0+0": what came into the tree of VMAs, and what went."""
    said = []
    for event in trace:
        if event.kind in (VMA_ADD, VMA_REMOVE):
            first, last, word = (to_unsigned(x) for x in (event.a, event.b, event.c))
            sign = "+" if event.kind == VMA_ADD else "-"
            said.append(f"{sign}{first:x}..{last:x} {word >> 48}+{word & (1 << 48) - 1:x}")
    return said


def complaints(trace: Trace) -> list[str]:
    return [e.name for e in trace if e.name in ("warn", "bug", "crash", "hang", "wild")]


def index(trace: Trace, kind: int, a: int | None = None, b: int | None = None) -> int:
    """Where the first such event is."""
    return next(
        number
        for number, event in enumerate(trace)
        if event.kind == kind and (a is None or event.a == a) and (b is None or event.b == b)
    )


def test_name_and_version(panthor: LinuxPanthor) -> None:
    assert panthor.name == "linux:panthor"
    assert panthor.traits == {}
    assert panthor.version.endswith(", drivers/gpu/drm/panthor/panthor_mmu.c")


def test_an_older_tree_has_no_panthor() -> None:
    tarball = DEBIAN_SOURCES / "linux-source-6.1.tar.xz"
    if not tarball.exists():
        pytest.skip(f"{tarball} is not there; to install: apt-get install linux-source-6.1")
    with pytest.raises(KernelTreeError, match=r"6\.1\..* has no drivers/gpu/drm/panthor/"):
        LinuxPanthor(tarball)


def test_what_is_left_out_is_as_the_table_has_it(panthor: LinuxPanthor) -> None:
    traces = []
    for operation in (op("bind", bo=0), bind(0, PAGE, 0, offset=0, flags=0, fail_at=0)):
        panthor.reset()
        traces.append(ready(panthor, operation).words)
    assert traces[0] == traces[1]
    assert len(traces[0]) > 0


def test_what_cannot_be_asked(panthor: LinuxPanthor) -> None:
    with pytest.raises(ValueError, match="'vm' without a device; allowed is create"):
        run(panthor, VM)
    with pytest.raises(ValueError, match="'create' with a device; there is only one"):
        run(panthor, CREATE, CREATE)
    with pytest.raises(ValueError, match="operation is 'map'; allowed are create, vm"):
        run(panthor, op("map"))
    other = LinuxPanthor()
    with pytest.raises(HarnessError, match="after another target"):
        run(panthor, VM)
    other.close()


def test_the_same_operations_leave_the_same_events(panthor: LinuxPanthor) -> None:
    work = (ACTIVE, bind(0, LARGE), queue(LARGE, PAGE), RUN, op("destroy_vm", vm=0), IDLE, RUN)
    seen = []
    for _ in range(2):
        panthor.reset()
        words: list[int] = []
        ready(panthor)
        for operation in work:
            words += run(panthor, operation)[1].words
        seen.append(words)
    assert seen[0] == seen[1]


# -- the device -----------------------------------------------------------------------------


def test_probe_unmasks_the_faults_of_all_address_spaces(panthor: LinuxPanthor) -> None:
    _, trace = run(panthor, CREATE)
    assert [(e.a, e.b) for e in trace if e.kind == t.REG_WRITE] == [
        (CLEAR, 0xFFFF),
        (MASK, 0xFFFF),
    ]


@pytest.mark.parametrize(
    ("args", "config", "memattr"),
    [
        ({}, CONFIG_COHERENT, MEMATTR_COHERENT),
        ({"coherent": 0}, 0x420001C6, MEMATTR_COHERENT),
        ({"va_bits": 39}, 0x62000406, MEMATTR_COHERENT),
        ({"va_bits": 39, "coherent": 0}, 0x42000406, MEMATTR_COHERENT),
        ({"va_bits": 33, "coherent": 0}, 0x42000586, MEMATTR_COHERENT),
        ({"va_bits": 32, "coherent": 0}, 0x420005C6, MEMATTR_COHERENT),
    ],
)
def test_an_address_space_is_enabled_by_root_attributes_and_config_in_this_order(
    panthor: LinuxPanthor, args: dict[str, int], config: int, memattr: int
) -> None:
    results, trace = run(panthor, op("create", **args), VM, ACTIVE)
    assert results[-1] == DONE
    assert commands(trace) == [
        "region 3f",
        "lock",
        "flush-mem",
        "root 80000000",
        f"memattr {memattr:x}",
        f"config {config:x}",
        "update",
    ]
    assert slots(trace) == [(0, 1, 1)]


def test_update_is_not_waited_for(panthor: LinuxPanthor) -> None:
    # Nothing looks at STATUS after the last command: a job starts with the old root for all
    # that the driver knows.
    trace = ready(panthor, ACTIVE)
    update = index(trace, t.REG_WRITE, 0x2440 + COMMAND, 1)
    assert not [e for e in list(trace)[update + 1 :] if e.kind in (t.REG_READ, t.REG_WRITE)]
    # When the VM ends, its tables are freed just so.
    results, trace = run(panthor, IDLE, op("destroy_vm", vm=0))
    assert results == [DONE, DONE]
    assert commands(trace)[-2:] == [f"config {UNMAPPED:x}", "update"]
    update = index(trace, t.REG_WRITE, 0x2440 + COMMAND, 1)
    after = [e.kind for e in list(trace)[update + 1 :]]
    assert after[0] == t.FREE
    assert t.REG_READ not in after


def test_a_command_that_sticks_is_polled_until_it_is_done(panthor: LinuxPanthor) -> None:
    ready(panthor, ACTIVE)
    results, trace = run(panthor, op("stick", slot=1, polls=5), bind(0, PAGE))
    assert results[-1] == DONE
    polled = [e.b for e in trace if e.kind == t.REG_READ and e.a == 0x2440 + STATUS]
    # Before LOCK, then LOCK takes five polls, then FLUSH_PT.
    assert polled == [0, 1, 1, 1, 1, 1, 0, 0]


def test_a_command_that_sticks_for_good_is_a_timeout_and_a_reset(panthor: LinuxPanthor) -> None:
    ready(panthor, ACTIVE, bind(0, PAGE))
    results, trace = run(panthor, op("stick", slot=1, polls=-1), unbind(0, PAGE))
    assert results[-1] == Result(-errno.ETIMEDOUT)
    assert commands(trace) == ["region e", "lock"]
    assert [(e.a, e.b) for e in trace if e.kind == t.MESSAGE] == [(0, t.MESSAGE_RESET)]
    assert complaints(trace) == ["warn"]
    # The mapping stays in the tree, although its entries are gone.
    assert mappings(trace) == []
    assert stores(trace)[-1][1] == 0
    results, trace = run(panthor, RUN)
    assert results == [DONE]
    assert [(e.a, e.b) for e in trace if e.kind == t.REG_WRITE] == [
        (MASK, 0),
        (CLEAR, 0xFFFF),
        (MASK, 0xFFFF),
    ]
    assert slots(trace) == [(0, -1, 0)]


def test_a_vm_that_could_not_be_enabled_looks_enabled_the_next_time(panthor: LinuxPanthor) -> None:
    ready(panthor)
    results, trace = run(panthor, op("stick", slot=1, polls=-1), ACTIVE)
    assert results[-1] == Result(-errno.ETIMEDOUT)
    assert slots(trace) == [(0, 1, 0)]
    results, trace = run(panthor, ACTIVE)
    assert results == [DONE]
    assert commands(trace) == []
    assert slots(trace) == [(0, 1, 1)]


def test_an_update_that_sticks_is_noticed_by_the_next_command(panthor: LinuxPanthor) -> None:
    # Behind LOCK and FLUSH_MEM.
    ready(panthor)
    results, trace = run(panthor, op("stick", slot=1, polls=-1, after=2), ACTIVE)
    assert results == [DONE, DONE]
    assert commands(trace)[-1] == "update"
    assert slots(trace) == [(0, 1, 1)]
    results, trace = run(panthor, bind(0, PAGE))
    assert results == [Result(-errno.ETIMEDOUT)]
    assert t.MESSAGE in [e.kind for e in trace]


# -- address spaces -------------------------------------------------------------------------


def test_address_spaces_are_given_from_1_and_kept_when_idle(panthor: LinuxPanthor) -> None:
    ready(panthor, VM, slots=3)
    assert slots(run(panthor, ACTIVE)[1]) == [(0, 1, 1)]
    assert slots(run(panthor, op("active", vm=1))[1]) == [(1, 2, 1)]
    assert slots(run(panthor, ACTIVE)[1]) == [(0, 1, 2)]
    _, trace = run(panthor, IDLE, IDLE)
    assert slots(trace) == [(0, 1, 0)]
    # It is still enabled there.
    _, trace = run(panthor, ACTIVE)
    assert slots(trace) == [(0, 1, 1)]
    assert commands(trace) == []


def test_the_vm_that_was_idle_first_is_evicted(panthor: LinuxPanthor) -> None:
    ready(panthor, VM, VM, ACTIVE, op("active", vm=1), op("idle", vm=1), IDLE, slots=3)
    results, trace = run(panthor, op("active", vm=2))
    assert results == [DONE]
    assert slots(trace) == [(1, -1, 0), (2, 2, 1)]
    assert commands(trace, 2)[3] == "root 80002000"
    # What was evicted has no address space to be flushed.
    results, trace = run(panthor, bind(0, PAGE, vm=1))
    assert results == [DONE]
    assert not [e for e in trace if e.kind in (t.REG_READ, t.REG_WRITE)]


def test_there_is_no_address_space_if_all_are_active(panthor: LinuxPanthor) -> None:
    ready(panthor, VM, ACTIVE, slots=2)
    results, trace = run(panthor, op("active", vm=1))
    assert results == [Result(-errno.EBUSY)]
    assert complaints(trace) == ["warn"]
    assert slots(trace) == []


# -- faults ---------------------------------------------------------------------------------

FAULT = op("fault", slot=1, address=0x7F0012345000, code=0x302C3)


def test_a_fault_disables_the_address_space_and_masks_it(panthor: LinuxPanthor) -> None:
    trace = ready(panthor, ACTIVE, FAULT)
    registers = [(e.name[4:], e.a, e.b) for e in trace if e.kind in (t.REG_READ, t.REG_WRITE)]
    assert registers[:8] == [
        ("read", STAT, 2),
        ("write", MASK, 0),
        ("read", RAWSTAT, 2),
        ("write", CLEAR, 2),
        ("read", 0x245C, 0x302C3),
        ("read", 0x2460, 0x12345000),
        ("read", 0x2464, 0x7F00),
        ("write", MASK, 0xFFFD),
    ]
    assert registers[-2:] == [("read", RAWSTAT, 0), ("write", MASK, 0xFFFD)]
    assert commands(trace) == [
        "region 3f",
        "lock",
        "flush-mem",
        "root 0",
        "memattr 0",
        "config 1",
        "update",
    ]


def test_a_vm_that_faulted_is_enabled_again_when_it_was_idle(panthor: LinuxPanthor) -> None:
    ready(panthor, ACTIVE, FAULT)
    _, trace = run(panthor, ACTIVE)
    assert commands(trace) == []
    _, trace = run(panthor, IDLE, IDLE, ACTIVE)
    assert writes(trace, CLEAR) == [2]
    assert writes(trace, MASK) == [0xFFFFFFFF]
    assert commands(trace)[3:] == [
        "root 80000000",
        f"memattr {MEMATTR_COHERENT:x}",
        f"config {CONFIG_COHERENT:x}",
        "update",
    ]


def test_a_masked_fault_is_not_delivered(panthor: LinuxPanthor) -> None:
    ready(panthor, ACTIVE, FAULT)
    results, trace = run(panthor, FAULT)
    assert results == [DONE]
    assert list(trace) == []


# -- power and resets -----------------------------------------------------------------------


def test_suspend_disables_what_is_enabled(panthor: LinuxPanthor) -> None:
    ready(panthor, ACTIVE)
    results, trace = run(panthor, op("suspend"))
    assert results == [DONE]
    assert commands(trace)[-2:] == ["config 1", "update"]
    assert writes(trace, MASK) == [0]
    assert slots(trace) == [(0, -1, 0)]
    assert run(panthor, op("suspend"), ACTIVE, FAULT)[0] == [REFUSED] * 3
    results, trace = run(panthor, op("resume"))
    assert results == [DONE]
    assert (writes(trace, CLEAR), writes(trace, MASK)) == ([0xFFFF], [0xFFFF])
    assert commands(run(panthor, ACTIVE)[1])[-1] == "update"


def test_a_reset_takes_all_address_spaces_and_stops_the_queues(panthor: LinuxPanthor) -> None:
    ready(panthor, ACTIVE)
    results, trace = run(panthor, op("pre_reset"))
    assert results == [DONE]
    assert writes(trace, MASK) == [0]
    assert run(panthor, op("pre_reset"), op("suspend"), ACTIVE)[0] == [REFUSED] * 3
    results, trace = run(panthor, queue(0, PAGE), RUN)
    assert results[0] == DONE
    assert fences(trace) == []
    results, trace = run(panthor, op("post_reset"))
    assert results == [DONE]
    assert slots(trace) == [(0, -1, 0)]
    assert commands(trace) == []
    assert fences(run(panthor, RUN)[1]) == [(0, 0)]


def test_nothing_is_left_after_unplug(panthor: LinuxPanthor) -> None:
    ready(panthor, ACTIVE, bind(0, PAGE))
    results, trace = run(panthor, op("unplug"))
    assert results == [DONE]
    assert commands(trace)[-2:] == ["config 1", "update"]
    assert slots(trace) == [(0, -1, 0)]
    gone = Result(-errno.ENODEV)
    assert run(panthor, bind(PAGE, PAGE), ACTIVE, VM, queue(0, PAGE))[0] == [gone] * 4
    results, trace = run(panthor, op("destroy_vm", vm=0))
    assert results == [DONE]
    assert not [e for e in trace if e.kind in (t.REG_READ, t.REG_WRITE)]
    assert [e.kind for e in trace].count(t.FREE) == 4


# -- VMs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "user_va", "split"),
    [
        (48, 0, 0x800000000000),
        (48, (1 << 48) - (1 << 28), 0xFFFFF0000000),
        (48, 1 << 32, 0x800000000000),
        (48, 0xFFFF00000000, 0xFFFF00000000),
        (39, 0, 0x4000000000),
        (33, 0, 0x100000000),
        (32, 0, 0xF0000000),
    ],
)
def test_where_addresses_of_the_process_end(
    panthor: LinuxPanthor, bits: int, user_va: int, split: int
) -> None:
    results, _ = run(panthor, op("create", va_bits=bits), op("vm", user_va=user_va), bo())
    assert results[1] == DONE
    last = bind(split - PAGE, PAGE)
    assert run(panthor, last, bind(split, PAGE))[0] == [DONE, REFUSED]


def test_vms_that_cannot_be(panthor: LinuxPanthor) -> None:
    assert run(panthor, op("create", va_bits=27), VM)[0][1] == REFUSED
    panthor.reset()
    assert run(panthor, op("create", pa_bits=41), VM)[0][1] == REFUSED
    panthor.reset()
    too_much = op("vm", user_va=(1 << 48) - (1 << 28) + PAGE)
    assert run(panthor, CREATE, too_much)[0][1] == REFUSED


def test_a_file_has_32_vms(panthor: LinuxPanthor) -> None:
    results, _ = run(panthor, CREATE, *[VM] * 33)
    assert [result.value for result in results[1:33]] == list(range(32))
    assert results[33] == Result(-errno.EBUSY)
    results, _ = run(panthor, op("destroy_vm", vm=7), VM, op("destroy_vm", vm=7))
    assert results == [DONE, Result(0, 32), REFUSED]


def test_a_destroyed_vm_lives_until_its_job_ends(panthor: LinuxPanthor) -> None:
    ready(panthor, bind(0, PAGE), ACTIVE)
    results, trace = run(panthor, op("destroy_vm", vm=0))
    assert results == [DONE]
    assert mappings(trace) == ["-0..fff 0+0"]
    assert counts(trace)[t.REFS_VM, 0] == 1
    assert counts(trace)[t.REFS_PINS, 0] == 0
    results, trace = run(panthor, IDLE)
    assert commands(trace)[-1] == "update"
    assert counts(trace)[t.REFS_VM, 0] == 0
    assert slots(trace) == [(0, -1, 0)]
    assert run(panthor, IDLE, ACTIVE, bind(0, PAGE))[0] == [REFUSED] * 3


def test_closing_the_file_destroys_its_vms(panthor: LinuxPanthor) -> None:
    ready(panthor, VM, bind(0, PAGE), bind(0, PAGE, vm=1))
    results, trace = run(panthor, op("close_file"))
    assert results == [DONE]
    assert [e.a for e in trace if e.kind == mali_events.VM][:2] == [0, 1]
    assert counts(trace)[t.REFS_VM, 0] == counts(trace)[t.REFS_VM, 1] == 0
    assert counts(trace)[t.REFS_BUFFER, 0] == 1
    assert run(panthor, bind(0, PAGE), VM)[0] == [REFUSED, Result(0, 2)]


# -- binds ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "bits"),
    [
        (0, 0xF47),
        (READONLY, 0xFC7),
        (UNCACHED, 0xE43),
        (READONLY | UNCACHED, 0xEC3),
        (NOEXEC, 0x0060000000000F47),
        (READONLY | NOEXEC | UNCACHED, 0x0060000000000EC3),
    ],
)
def test_entries_of_pages_and_of_large_pages(panthor: LinuxPanthor, flags: int, bits: int) -> None:
    ready(panthor)
    _, trace = run(panthor, bind(0x7F0012345000, 2 * PAGE, flags=flags))
    assert leaves(trace) == [0x90000000 | bits, 0x90001000 | bits]
    _, trace = run(panthor, bind(0x40200000, LARGE, flags=flags))
    assert leaves(trace) == [0x90000000 | bits & ~2]


def test_tables_are_made_from_the_top_and_marked_if_the_device_does_not_snoop(
    panthor: LinuxPanthor,
) -> None:
    trace = ready(panthor, bind(0x7F0012345000, PAGE))
    where = [(e.a, to_unsigned(e.c)) for e in trace if e.kind == t.STORE]
    assert where == [
        (0x80000000 + 8 * 0xFE, 0x80001003),
        (0x80001000, 0x80002003),
        (0x80002000 + 8 * 0x91, 0x80003003),
        (0x80003000 + 8 * 0x145, 0x90000F47),
    ]
    panthor.reset()
    _, trace = run(panthor, op("create", coherent=0), VM, bo(), bind(0x7F0012345000, PAGE))
    assert 0x0080000080001003 in [new for _, new in stores(trace)]
    assert t.CLEAN in [e.kind for e in trace]


@pytest.mark.parametrize(
    ("va", "size", "region"),
    [
        (0x4000, 0x1000, 0x400E),
        (0x7000, 0x2000, 0xF),
        (0x8000, 0x8000, 0x800E),
        (0x10000, 0x10000, 0x1000F),
        (0x7F0012345000, 0x1000, 0x7F001234400E),
        (0x7F0012345000, 0x200000, 0x7F0012000016),
        (0xFFFF000, 0x2000, 0x1C),
        (0x1FE000, 0x4000, 0x15),
        (0x40000000, 0x200000, 0x40000014),
    ],
)
def test_stores_come_before_lock_and_flush(
    panthor: LinuxPanthor, va: int, size: int, region: int
) -> None:
    ready(panthor, ACTIVE)
    for operation in (bind(va, size), unbind(va, size)):
        results, trace = run(panthor, operation)
        assert results == [DONE]
        assert commands(trace) == [f"region {region:x}", "lock", "flush-pt"]
        kinds = [e.kind for e in trace]
        last_store = len(kinds) - 1 - kinds[::-1].index(t.STORE)
        assert last_store < index(trace, t.REG_WRITE)
        # FLUSH_PT has completed before anything else happens.
        flush = index(trace, t.REG_WRITE, 0x2440 + COMMAND, 4)
        done = index(trace, t.REG_READ, 0x2440 + STATUS)
        assert done < flush
        after = list(trace)[flush + 1]
        assert (after.kind, after.a, after.b) == (t.REG_READ, 0x2440 + STATUS, 0)


def test_part_of_a_large_page_is_unmapped_by_a_split(panthor: LinuxPanthor) -> None:
    ready(panthor, ACTIVE, bind(0x40200000, LARGE, flags=NOEXEC))
    results, trace = run(panthor, unbind(0x40205000, 2 * PAGE))
    assert results == [DONE]
    assert stores(trace)[-1] == (0x0060000090000F45, 0x80004003)
    made = leaves(trace)
    assert len(made) == 510
    assert made[4:6] == [0x0060000090004F47, 0x0060000090007F47]
    assert mappings(trace) == [
        "-40200000..403fffff 0+0",
        "+40200000..40204fff 0+0",
        "+40207000..403fffff 0+7000",
    ]


def test_a_table_is_freed_before_the_device_is_flushed(panthor: LinuxPanthor) -> None:
    ready(panthor, bo(LARGE, pieces=8), ACTIVE, bind(LARGE, LARGE, 1))
    results, trace = run(panthor, unbind(LARGE, LARGE))
    assert results == [DONE]
    cleared = next(i for i, e in enumerate(trace) if e.kind == t.STORE and e.c == 0 and e.b & 1)
    freed = index(trace, t.FREE)
    lock = index(trace, t.REG_WRITE, 0x2440 + COMMAND, 2)
    flush = index(trace, t.REG_WRITE, 0x2440 + COMMAND, 4)
    assert cleared < freed < lock < flush


def test_a_large_page_takes_the_place_of_an_empty_table_before_the_flush(
    panthor: LinuxPanthor,
) -> None:
    ready(panthor, ACTIVE, bind(LARGE, PAGE), unbind(LARGE, PAGE))
    results, trace = run(panthor, bind(LARGE, LARGE))
    assert results == [DONE]
    freed = index(trace, t.FREE)
    made = next(at for at, e in enumerate(trace) if e.kind == t.STORE and e.c == 0x90000F45)
    lock = index(trace, t.REG_WRITE, 0x2440 + COMMAND, 2)
    assert stores(trace)[0] == (0x80003003, 0)
    assert freed < made < lock


def test_entries_stay_when_the_flush_of_a_map_times_out(panthor: LinuxPanthor) -> None:
    # The driver forgets them: no VMA, no pin of the pages to which they lead.
    ready(panthor, ACTIVE)
    results, trace = run(panthor, op("stick", slot=1, polls=-1), bind(0, PAGE))
    assert results[-1] == Result(-errno.ETIMEDOUT)
    assert mappings(trace) == []
    assert counts(trace)[t.REFS_PINS, 0] == 0
    assert stores(trace)[-1] == (0, 0x90000F47)
    # The next one meets them.
    results, trace = run(panthor, RUN, bind(0, PAGE))
    assert results[-1] == Result(-errno.EEXIST)
    assert complaints(trace) == ["warn"]


def test_pieces_are_apart_and_never_large_pages(panthor: LinuxPanthor) -> None:
    ready(panthor, bo(LARGE, pieces=256))
    _, trace = run(panthor, bind(LARGE, LARGE, 1))
    addresses = [word & ~0xFFF for word in leaves(trace)]
    assert len(addresses) == 512
    steps = {b - a for a, b in itertools.pairwise(addresses)}
    assert steps == {PAGE, 257 * PAGE}


@pytest.mark.parametrize(
    ("va", "size", "map_tables"),
    [
        (0, 0x1000, 3),
        (0x1FF000, 0x2000, 4),
        (0x3FFFF000, 0x2000, 5),
        (0x7FFFFFF000, 0x2000, 6),
    ],
)
def test_how_many_tables_are_reserved_for_a_map(
    panthor: LinuxPanthor, va: int, size: int, map_tables: int
) -> None:
    trace = ready(panthor, bind(va, size))
    assert [e.kind for e in trace].count(t.ALLOC) == map_tables


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
def test_how_many_tables_are_reserved_for_an_unmap(
    panthor: LinuxPanthor, va: int, size: int, tables: int
) -> None:
    trace = ready(panthor, unbind(va, size))
    assert [e.kind for e in trace].count(t.ALLOC) == tables
    assert [e.kind for e in trace].count(t.FREE) == tables


@pytest.mark.parametrize(
    "args",
    [
        {"va": 0x800},
        {"size": 0x800},
        {"offset": 0x800},
        {"va": 0x800000000000},
        {"va": 0x7FFFFFFFF000, "size": 2 * PAGE},
        {"bo": 5},
        {"bo": -1},
        {"flags": 8},
        {"offset": 1 << 22},
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
def test_binds_that_are_refused_change_nothing(panthor: LinuxPanthor, args: dict[str, int]) -> None:
    ready(panthor, VM, bo(vm=1), ACTIVE)
    named = {"va": 0x10000, "size": PAGE, "bo": 0, **args}
    results, trace = run(panthor, bind(**named))
    assert results == [REFUSED]
    assert not [e for e in trace if e.kind not in (mali_events.VM, t.REFS)]
    assert counts(trace).get((t.REFS_VM, 0), 2) == 2
    # Nor is the VM any worse for being asked so later.
    assert run(panthor, queue(**named))[0] == [REFUSED]
    assert run(panthor, bind(0, PAGE))[0] == [DONE]


def test_a_bind_of_no_bytes_is_no_bind(panthor: LinuxPanthor) -> None:
    ready(panthor)
    results, trace = run(panthor, bind(0x800, 0))
    assert results == [DONE]
    assert not [e for e in trace if e.kind not in (mali_events.VM, t.REFS)]


def test_counts_of_a_buffer_that_is_bound(panthor: LinuxPanthor) -> None:
    trace = ready(panthor, bind(0, 4 * PAGE))
    assert counts(trace) == {
        (t.REFS_VM, 0): 3,
        (t.REFS_VM_BO, 0): 1,
        (t.REFS_BUFFER, 0): 2,
        (t.REFS_PINS, 0): 1,
    }
    _, trace = run(panthor, unbind(PAGE, PAGE))
    assert counts(trace) == {(t.REFS_VM, 0): 4, (t.REFS_VM_BO, 0): 2}
    _, trace = run(panthor, op("close", bo=0))
    assert counts(trace) == {(t.REFS_BUFFER, 0): 1, (t.REFS_PINS, 0): 1}
    _, trace = run(panthor, unbind(0, 4 * PAGE))
    assert counts(trace) == {
        (t.REFS_VM, 0): 1,
        (t.REFS_VM_BO, 0): 0,
        (t.REFS_BUFFER, 0): 0,
        (t.REFS_PINS, 0): 0,
    }


def test_a_hundred_thousand_mappings(panthor: LinuxPanthor) -> None:
    count = 100_000
    ready(panthor, ACTIVE)
    for number in range(count):
        assert run(panthor, bind(2 * number * PAGE, PAGE))[0] == [DONE]
    results, trace = run(panthor, op("destroy_vm", vm=0))
    assert results == [DONE]
    assert len(mappings(trace)) == count
    assert counts(trace)[t.REFS_VM, 0] == 1


def test_a_bind_that_gets_no_memory_leaves_nothing(panthor: LinuxPanthor) -> None:
    ready(panthor, ACTIVE)
    fail = 1
    while True:
        results, trace = run(panthor, bind(0, 2 * PAGE, fail_at=fail))
        if results == [DONE]:
            break
        assert results == [NO_MEMORY]
        assert complaints(trace) == []
        assert stores(trace) == []
        kinds = [e.kind for e in trace]
        assert kinds.count(t.ALLOC) == kinds.count(t.FREE)
        assert counts(trace)[t.REFS_PINS, 0] == 0
        assert counts(trace)[t.REFS_VM, 0] == 2
        fail += 1
    # Three VMAs, the link, the list of tables, and three tables.
    assert fail == 9


# -- queued binds ---------------------------------------------------------------------------


def test_a_queued_bind_waits_for_its_fence(panthor: LinuxPanthor) -> None:
    ready(panthor, ACTIVE, FENCE)
    results, trace = run(panthor, queue(0x10000, PAGE, 0))
    assert results == [Result(0, 1)]
    assert stores(trace) == []
    assert list(run(panthor, RUN)[1]) == []
    results, trace = run(panthor, op("signal", fence=0))
    assert (results, fences(trace), stores(trace)) == ([DONE], [(0, 0)], [])
    _, trace = run(panthor, RUN)
    assert mappings(trace) == ["+10000..10fff 0+0"]
    assert fences(trace) == [(1, 0)]
    # It is signalled after the device was flushed.
    flush = index(trace, t.REG_WRITE, 0x2440 + COMMAND, 4)
    assert flush < index(trace, mali_events.FENCE)
    assert run(panthor, op("signal", fence=0), op("signal", fence=1))[0] == [REFUSED] * 2


def test_deferred_work_can_be_done_step_by_step(panthor: LinuxPanthor) -> None:
    ready(panthor, ACTIVE, queue(0x10000, PAGE))
    _, trace = run(panthor, op("run", steps=1))
    assert (mappings(trace), fences(trace)) == (["+10000..10fff 0+0"], [(0, 0)])
    # The job's references and what it did not need go later.
    assert counts(trace) == {(t.REFS_VM, 0): 5}
    _, trace = run(panthor, RUN)
    assert [e.kind for e in trace if e.kind == t.FREE] == []
    assert counts(trace) == {(t.REFS_VM, 0): 4}


def test_binds_of_one_vm_are_done_in_order(panthor: LinuxPanthor) -> None:
    ready(panthor, FENCE, queue(0, PAGE, 0), queue(PAGE, PAGE), queue(0, PAGE, kind=UNMAP, bo=-1))
    assert list(run(panthor, RUN)[1]) == []
    _, trace = run(panthor, op("signal", fence=0), RUN)
    assert mappings(trace) == ["+0..fff 0+0", "+1000..1fff 0+0", "-0..fff 0+0"]
    assert fences(trace) == [(1, 0), (2, 0), (3, 0)]


def test_binds_of_another_vm_do_not_wait(panthor: LinuxPanthor) -> None:
    ready(panthor, VM, FENCE, queue(0, PAGE, 0), queue(0, PAGE, vm=1))
    _, trace = run(panthor, RUN)
    assert fences(trace) == [(2, 0)]
    assert next(e.a for e in trace if e.kind == mali_events.VM) == 1
    _, trace = run(panthor, op("signal", fence=0), RUN)
    assert fences(trace) == [(1, 0)]


def test_a_queued_bind_that_only_signals(panthor: LinuxPanthor) -> None:
    ready(panthor, FENCE)
    results, _ = run(panthor, queue(0, 0, 0, kind=SYNC_ONLY, bo=-1))
    assert results == [Result(0, 1)]
    assert fences(run(panthor, op("signal", fence=0), RUN)[1]) == [(1, 0)]


def test_a_queued_bind_that_fails_makes_the_vm_unusable(panthor: LinuxPanthor) -> None:
    # Buffers lie above what 32 bits of physical address reach.
    results, _ = run(panthor, op("create", pa_bits=32), VM, bo(1 << 40), queue(0, PAGE))
    assert results[-1] == DONE
    assert fences(run(panthor, RUN)[1]) == [(0, 0)]
    late = queue(LARGE, PAGE, offset=(1 << 40) - PAGE)
    _, trace = run(panthor, late, RUN)
    assert fences(trace) == [(1, -errno.ERANGE)]
    assert run(panthor, queue(LARGE, PAGE), bind(LARGE, PAGE))[0] == [REFUSED] * 2
    assert run(panthor, unbind(0, PAGE))[0] == [DONE]


def test_a_bind_that_was_queued_is_done_in_a_destroyed_vm(panthor: LinuxPanthor) -> None:
    ready(panthor, ACTIVE, FENCE, queue(0x10000, PAGE, 0))
    results, trace = run(panthor, op("destroy_vm", vm=0))
    assert results == [DONE]
    assert counts(trace)[t.REFS_VM, 0] == 3
    _, trace = run(panthor, op("signal", fence=0), RUN)
    assert mappings(trace) == ["+10000..10fff 0+0"]
    assert fences(trace) == [(1, 0)]
    # Its own mapping keeps the VM: that is the last anybody hears of it.
    _, trace = run(panthor, IDLE, op("close", bo=0), RUN)
    assert list(trace) == []
    _, trace = run(panthor, op("close_file"))
    assert [e for e in trace if e.kind == t.FREE] == []
    assert slots(trace) == []


def test_queued_binds_of_no_bytes_are_done(panthor: LinuxPanthor) -> None:
    ready(panthor, bind(0x4000, 4 * PAGE))
    _, trace = run(panthor, queue(0x6000, 0, kind=UNMAP, bo=-1), RUN)
    assert mappings(trace) == ["-4000..7fff 0+0", "+4000..5fff 0+0", "+6000..7fff 0+2000"]
    assert stores(trace) == []
    _, trace = run(panthor, queue(0x10000, 0), RUN)
    assert mappings(trace) == ["+10000..ffff 0+0"]


# -- nodes ----------------------------------------------------------------------------------

KERNEL = 0x800000000000
"""Where the kernel's part of a VM's addresses starts by default; it is as long again."""
NO_ROOM = Result(-errno.ENOSPC)


def alloc(size: int = PAGE, **more: int) -> Operation:
    return op("alloc", **{"vm": 0, "size": size, **more})


def free(node: int) -> Operation:
    return op("free", node=node)


def test_nodes_lie_where_there_is_room_large_ones_on_large_pages(panthor: LinuxPanthor) -> None:
    ready(panthor)
    results, _ = run(panthor, alloc(), alloc(), alloc(LARGE), alloc(PAGE), alloc(LARGE + PAGE))
    assert [result.value - KERNEL for result in results] == [
        0,
        PAGE,
        LARGE,
        2 * PAGE,
        2 * LARGE,
    ]
    assert [result.result for result in results] == [0] * 5


def test_a_node_takes_the_smallest_hole(panthor: LinuxPanthor) -> None:
    ready(panthor, *[alloc(size * PAGE) for size in (4, 1, 2, 1, 3, 1)], free(0), free(2), free(4))
    results, _ = run(panthor, alloc(2 * PAGE), alloc(2 * PAGE), alloc(2 * PAGE))
    assert [(result.value - KERNEL) // PAGE for result in results] == [5, 8, 0]


def test_a_node_at_an_address_of_the_callers(panthor: LinuxPanthor) -> None:
    ready(panthor)
    last = 2 * KERNEL - PAGE
    results, _ = run(panthor, alloc(va=last), alloc(va=KERNEL + PAGE), alloc(), alloc())
    assert [result.value for result in results] == [
        last,
        KERNEL + PAGE,
        KERNEL,
        KERNEL + 2 * PAGE,
    ]
    assert run(panthor, alloc(va=last), alloc(2 * PAGE, va=KERNEL + 2 * PAGE))[0] == [NO_ROOM] * 2
    assert run(panthor, free(0), alloc(va=last))[0] == [DONE, Result(0, last)]


@pytest.mark.parametrize("va", [KERNEL - PAGE, 0, 2 * KERNEL, (1 << 64) - 2 * PAGE])
def test_the_kernels_part_is_all_that_there_is_for_nodes(panthor: LinuxPanthor, va: int) -> None:
    ready(panthor)
    assert run(panthor, alloc(va=va))[0] == [NO_ROOM]
    assert run(panthor, alloc(2 * KERNEL))[0] == [NO_ROOM]


def test_the_last_page_is_only_for_those_who_name_it(panthor: LinuxPanthor) -> None:
    # KB-19: the end of the range for automatic addresses is its last byte, but is taken as
    # what comes behind it.
    part = 1 << 28
    run(panthor, op("create", va_bits=32), VM)
    assert run(panthor, alloc(part))[0] == [NO_ROOM]
    results, _ = run(panthor, alloc(part - PAGE), alloc(), alloc(va=0x100000000 - PAGE))
    assert results == [Result(0, 0xF0000000), NO_ROOM, Result(0, 0xFFFFF000)]
    assert run(panthor, free(0), free(1), alloc(part, va=0xF0000000))[0][2].value == 0xF0000000


@pytest.mark.parametrize(
    "args",
    [
        {"vm": 2},
        {"vm": -1},
        {"size": 0},
        {"size": 0x800},
        {"va": KERNEL + 0x800},
        {"bo": 5},
        {"bo": 1},
        {"bo": 2},
        {"bo": 0, "offset": 0x800},
        {"bo": 0, "offset": 1 << 22},
        {"bo": 0, "size": (1 << 22) + PAGE},
    ],
)
def test_nodes_that_are_refused_change_nothing(panthor: LinuxPanthor, args: dict[str, int]) -> None:
    ready(panthor, VM, bo(vm=1), bo(), op("close", bo=2))
    results, trace = run(panthor, alloc(**args))
    assert results == [REFUSED]
    assert not [e for e in trace if e.kind not in (mali_events.VM, t.REFS)]
    assert counts(trace).get((t.REFS_VM, 0), 1) == 1
    assert run(panthor, alloc())[0] == [Result(0, KERNEL)]


def test_a_buffer_in_a_node_is_a_mapping_that_cannot_be_executed(panthor: LinuxPanthor) -> None:
    ready(panthor, ACTIVE)
    results, trace = run(panthor, alloc(2 * PAGE, bo=0, offset=PAGE))
    assert results == [Result(0, KERNEL)]
    assert leaves(trace) == [0x0060000090001F47, 0x0060000090002F47]
    assert mappings(trace) == [f"+{KERNEL:x}..{KERNEL + 0x1FFF:x} 0+1000"]
    assert commands(trace) == ["region 80000000000e", "lock", "flush-pt"]
    # One for the handle, the job, the mapping, the link and the node.
    assert counts(trace)[t.REFS_VM, 0] == 5
    assert counts(trace)[t.REFS_PINS, 0] == 1
    results, trace = run(panthor, op("close", bo=0), free(0))
    assert results == [DONE, DONE]
    assert mappings(trace) == [f"-{KERNEL:x}..{KERNEL + 0x1FFF:x} 0+1000"]
    assert commands(trace) == ["region 80000000000e", "lock", "flush-pt"]
    assert counts(trace) == {
        (t.REFS_VM, 0): 2,
        (t.REFS_VM_BO, 0): 0,
        (t.REFS_BUFFER, 0): 0,
        (t.REFS_PINS, 0): 0,
    }
    assert run(panthor, free(0), free(1))[0] == [REFUSED] * 2


def test_a_node_without_a_buffer_touches_no_table(panthor: LinuxPanthor) -> None:
    ready(panthor, ACTIVE)
    for operation, count in ((alloc(), 3), (free(0), 2)):
        _, trace = run(panthor, operation)
        assert [e.kind for e in trace] == [mali_events.VM, t.REFS]
        assert counts(trace) == {(t.REFS_VM, 0): count}


def test_a_range_is_given_back_if_nothing_can_be_mapped_there(panthor: LinuxPanthor) -> None:
    ready(panthor, ACTIVE, op("stick", slot=1, polls=-1))
    results, trace = run(panthor, alloc(bo=0))
    assert results == [Result(-errno.ETIMEDOUT)]
    assert counts(trace)[t.REFS_VM, 0] == 2
    assert run(panthor, free(0), RUN, alloc())[0] == [REFUSED, DONE, Result(0, KERNEL)]


def test_a_vm_that_is_unusable_has_nodes_without_buffers_only(panthor: LinuxPanthor) -> None:
    run(panthor, op("create", pa_bits=32), VM, bo(1 << 40))
    run(panthor, queue(LARGE, PAGE, offset=(1 << 40) - PAGE), RUN)
    assert run(panthor, alloc(bo=0), alloc())[0] == [REFUSED, Result(0, KERNEL)]


@pytest.mark.parametrize("end", [op("destroy_vm", vm=0), op("close_file")])
def test_nodes_go_before_their_vm(panthor: LinuxPanthor, end: Operation) -> None:
    ready(panthor, VM, alloc(bo=0), alloc(), alloc(vm=1, bo=0), op("alloc", vm=0, size=PAGE, bo=0))
    results, trace = run(panthor, end)
    assert results == [DONE]
    assert complaints(trace) == []
    assert counts(trace)[t.REFS_VM, 0] == 0
    gone = mappings(trace)
    assert gone[0] == f"-{KERNEL:x}..{KERNEL + 0xFFF:x} 0+0"
    assert len(gone) == (2 if end.name == "destroy_vm" else 3)
    assert run(panthor, free(0), free(1), free(3))[0] == [REFUSED] * 3
    assert run(panthor, free(2))[0] == [DONE if end.name == "destroy_vm" else REFUSED]


def test_no_nodes_are_made_after_unplug_but_given_back(panthor: LinuxPanthor) -> None:
    ready(panthor, ACTIVE, alloc(bo=0), op("unplug"))
    assert run(panthor, alloc())[0] == [Result(-errno.ENODEV)]
    results, trace = run(panthor, free(0))
    assert results == [DONE]
    assert mappings(trace) == [f"-{KERNEL:x}..{KERNEL + 0xFFF:x} 0+0"]
    assert not [e for e in trace if e.kind in (t.REG_READ, t.REG_WRITE)]
