"""A page-table driver of one's own as a target, complete: judge it with

    PYTHONPATH=examples mmu-conformance run pagetable --target python:own_target:make_target

Three parts, and only the first and the last know of the suite:

* ``Platform`` is what the driver stands on: memory for tables, barriers, the device's flushes.
  It tells the suite of each thing that the driver does. In a real project this is the layer that
  tests replace anyway: the allocator, the store accessor, the flush callbacks.
* ``Driver`` is the code under test.
* ``OwnTarget`` turns the suite's operations into calls of the driver.

The driver is simple on purpose. It knows one format (``lpae-s1``: Arm stage 1, 4K granule). Each
call maps or unmaps one page or block and says so, which the interface allows: callers go on from
there. It does not split blocks. A table that has become empty stays until a block takes its place,
its whole range is unmapped, or everything is destroyed.
"""

import errno
from collections.abc import Mapping, Sequence

from reference.formats.access import CACHE, MMIO, NOEXEC, PRIV, READ, WRITE
from reference.operations import Operation, Result
from reference.trace import (
    ALLOC,
    ALLOC_FAILED,
    ATTACH,
    BARRIER,
    BARRIER_FULL,
    BARRIER_ORDER,
    CAUSE_ALL,
    CAUSE_QUEUE,
    CAUSE_SYNC,
    CAUSE_WALK,
    CLEAN,
    COMPLETE,
    CRASH,
    DETACH,
    FILL,
    FREE,
    GATHER,
    INVALIDATE,
    SCOPE_LEAF,
    SCOPE_WALK,
    STORE,
    Trace,
    invalidate_command,
)

SHIFTS = (39, 30, 21, 12)
"""log2 of what one entry translates, by level."""

BLOCK, TABLE, PAGE = 1, 3, 3
ADDRESS = 0xFFFF_FFFF_F000
PXN, UXN = 1 << 53, 1 << 54


class Platform:
    """Memory, barriers and flushes; each call is an event of ``trace``."""

    def __init__(self, trace: Trace, coherent: bool) -> None:
        self.trace = trace
        self.coherent = coherent
        self.words: dict[int, int] = {}
        self.next_page = 0x8000_0000
        self.fail_at = 0
        self.ticket = 0
        self.gathered: list[tuple[int, int]] = []

    def allocate(self) -> int:
        """A table page of zeros; 0 where there is none (or the suite wants this one to fail)."""
        self.fail_at -= 1
        if self.fail_at == 0:
            self.trace.emit(ALLOC_FAILED, 4096)
            return 0
        pa = self.next_page
        self.next_page += 4096
        self.words.update(dict.fromkeys(range(pa, pa + 4096, 8), 0))
        self.trace.emit(ALLOC, pa, 4096)
        self.trace.emit(FILL, pa, 4096, 0)
        self.clean(pa, 4096)
        return pa

    def free(self, pa: int) -> None:
        """Give a table page back; whoever reads it afterwards gets a KeyError: a crash."""
        self.trace.emit(FREE, pa, 4096)
        for word in range(pa, pa + 4096, 8):
            del self.words[word]

    def store(self, pa: int, word: int) -> None:
        """Store one entry."""
        self.trace.emit(STORE, pa, self.words[pa], word)
        self.words[pa] = word
        self.clean(pa, 8)

    def clean(self, pa: int, size: int) -> None:
        """Write cache lines back, if the device's walker does not snoop."""
        if not self.coherent:
            self.trace.emit(CLEAN, pa, size)

    def barrier(self, kind: int = BARRIER_FULL) -> None:
        """Earlier stores are visible (full), or stay before later ones (order)."""
        self.trace.emit(BARRIER, kind)

    def invalidate(self, first: int, last: int, scope: int, cause: int) -> None:
        """Invalidate first..last, and wait until that has completed."""
        self.barrier()
        self.ticket += 1
        self.trace.emit(INVALIDATE, first, last, invalidate_command(scope, cause, self.ticket))
        self.trace.emit(COMPLETE, self.ticket)

    def gather(self, iova: int, size: int) -> None:
        """Remember an unmapped page for the caller's next sync."""
        self.trace.emit(GATHER, iova, size)
        self.gathered.append((iova, size))

    def sync(self) -> None:
        """Invalidate what was gathered."""
        for iova, size in self.gathered:
            self.invalidate(iova, iova + size - 1, SCOPE_LEAF, CAUSE_SYNC)
        self.gathered.clear()


class Driver:
    """The code under test: one table."""

    def __init__(self, platform: Platform, ias: int, oas: int, sizes: int) -> None:
        self.platform = platform
        self.input_limit, self.output_limit, self.sizes = 1 << ias, 1 << oas, sizes
        self.start = 0 if ias > 39 else 1
        self.root = platform.allocate()
        platform.barrier()

    def refuses(self, iova: int, size: int) -> bool:
        """Whether no entry can have this place and size."""
        return not size & self.sizes or iova % size != 0 or not 0 <= iova < self.input_limit

    def entry_at(self, table: int, level: int, iova: int) -> int:
        """The physical address of the entry for ``iova``."""
        return table + 8 * (iova >> SHIFTS[level] & 511)

    def map(self, iova: int, pa: int, size: int, prot: int) -> int:
        """Map one page or block: 0 or a negative errno."""
        platform, level, table = self.platform, self.start, self.root
        if self.refuses(iova, size) or pa % size or not prot & (READ | WRITE):
            return -errno.EINVAL
        if not 0 <= pa < self.output_limit:
            return -errno.ERANGE
        while 1 << SHIFTS[level] != size:
            at = self.entry_at(table, level, iova)
            entry = platform.words[at]
            if entry & 3 == BLOCK:
                return -errno.EEXIST
            if not entry:
                child = platform.allocate()
                if not child:
                    return -errno.ENOMEM
                entry = child | TABLE
                platform.barrier(BARRIER_ORDER)
                platform.store(at, entry)
            table, level = entry & ADDRESS, level + 1
        at = self.entry_at(table, level, iova)
        entry = platform.words[at]
        if entry and (level == 3 or entry & 3 == BLOCK or self.is_used(entry, level + 1)):
            return -errno.EEXIST
        if entry:
            self.remove_table(at, entry, level, iova)
        platform.store(at, leaf(level, pa, prot))
        platform.barrier()
        return 0

    def unmap(self, iova: int, size: int, queued: bool) -> int:
        """Unmap one page or block: how many bytes."""
        platform, level, table = self.platform, self.start, self.root
        if self.refuses(iova, size):
            return 0
        while 1 << SHIFTS[level] != size:
            entry = platform.words[self.entry_at(table, level, iova)]
            if entry & 3 != TABLE:
                return 0
            table, level = entry & ADDRESS, level + 1
        at = self.entry_at(table, level, iova)
        entry = platform.words[at]
        if level < 3 and entry & 3 == TABLE:
            self.remove_table(at, entry, level, iova)
        elif entry:
            platform.store(at, 0)
            if not queued:
                platform.gather(iova, size)
        return size if entry else 0

    def translate(self, iova: int) -> int:
        """The physical address of ``iova``, 0 if it is not mapped."""
        if not 0 <= iova < self.input_limit:
            return 0
        level, table = self.start, self.root
        while True:
            entry = self.platform.words[self.entry_at(table, level, iova)]
            if level < 3 and entry & 3 == TABLE:
                table, level = entry & ADDRESS, level + 1
                continue
            offset = (1 << SHIFTS[level]) - 1
            return (entry & ADDRESS & ~offset) + (iova & offset) if entry else 0

    def is_used(self, entry: int, level: int) -> bool:
        """Whether a leaf is behind a table entry; ``level`` is that of its table."""
        table = entry & ADDRESS
        return any(
            word and (level == 3 or word & 3 == BLOCK or self.is_used(word, level + 1))
            for word in (self.platform.words[table + 8 * index] for index in range(512))
        )

    def remove_table(self, at: int, entry: int, level: int, iova: int) -> None:
        """Unlink, flush, and only then free."""
        last = iova + (1 << SHIFTS[level]) - 1
        self.platform.store(at, 0)
        self.platform.invalidate(iova, last, SCOPE_LEAF | SCOPE_WALK, CAUSE_WALK)
        self.free_tables(entry & ADDRESS, level + 1)

    def free_tables(self, table: int, level: int) -> None:
        """Free a table and all that it leads to."""
        for index in range(512):
            entry = self.platform.words[table + 8 * index]
            if level < 3 and entry & 3 == TABLE:
                self.free_tables(entry & ADDRESS, level + 1)
        self.platform.free(table)

    def destroy(self) -> None:
        """Free everything; the device does not walk this table any more."""
        self.platform.invalidate(0, -1, SCOPE_LEAF | SCOPE_WALK, CAUSE_ALL)
        self.free_tables(self.root, self.start)


def leaf(level: int, pa: int, prot: int) -> int:
    """The entry that maps ``pa`` with these permissions."""
    word = pa | (PAGE if level == 3 else BLOCK)
    word |= (2 if prot & MMIO else 1 if prot & CACHE else 0) << 2  # AttrIndx
    word |= (3 if prot & CACHE else 2) << 8  # shareability
    word |= 1 << 10 | 1 << 11  # accessed, not global
    word |= 0 if prot & PRIV else 1 << 6
    word |= 0 if prot & WRITE else 1 << 7
    word |= PXN | UXN if prot & NOEXEC else UXN if prot & PRIV else 0
    return word


class OwnTarget:
    """The driver as a target of system ``pagetable``."""

    name = "python:own_target:make_target"
    system = "pagetable"
    version = "own_target.py, the example that comes with mmu-conformance"
    traits: Mapping[str, Sequence[str]] = {"format": ("lpae-s1",), "block_unmap": ("refuse",)}
    places: Sequence[str] = ("",)

    def __init__(self) -> None:
        self.driver: Driver | None = None

    def reset(self) -> None:
        """Forget the table, in whatever state it is."""
        self.driver = None

    def close(self) -> None:
        """Nothing is held."""

    def perform(self, operation: Operation, trace: Trace) -> Result:
        """Carry out one operation. What the driver raises is a crash of the driver."""
        if operation.name == "create":
            self.create(operation, trace)
            return Result()
        assert self.driver is not None, "the suite begins with create"
        self.driver.platform.trace = trace
        self.driver.platform.fail_at = int(operation.args.get("fail_at", 0))
        try:
            return self.call(self.driver, operation.name, operation.args)
        except Exception:
            trace.emit(CRASH)
            return Result(finished=False)

    def create(self, operation: Operation, trace: Trace) -> None:
        """Make the table, and let the device walk it."""
        number = operation.number
        platform = Platform(trace, bool(number("coherent")))
        self.driver = Driver(platform, number("ias"), number("oas"), number("pgsizes"))
        trace.emit(ATTACH, self.driver.root, 0)

    def call(self, driver: Driver, name: str, args: Mapping[str, int | str]) -> Result:
        """One call of the driver."""
        if name in ("map", "unmap", "translate"):
            iova = int(args["iova"])
        if name == "translate":
            return Result(0, driver.translate(iova))
        if name in ("map", "unmap"):
            size, count = int(args["pgsize"]), int(args["pgcount"])
            if size <= 0 or size & (size - 1) or count <= 0:
                return Result(-errno.EINVAL if name == "map" else 0)
            if name == "unmap":
                return Result(0, driver.unmap(iova, size, args["gather"] == "queued"))
            result = driver.map(iova, int(args["pa"]), size, int(args["prot"]))
            return Result(result, 0 if result else size)
        if name == "sync":
            driver.platform.sync()
        elif name == "flush":
            driver.platform.invalidate(0, -1, SCOPE_LEAF | SCOPE_WALK, CAUSE_QUEUE)
        elif name == "destroy":
            driver.platform.trace.emit(DETACH, driver.root, 0)
            driver.destroy()
        return Result()


def make_target() -> OwnTarget:
    """What stands behind ``python:own_target:make_target``."""
    return OwnTarget()
