"""The MMU software of NVIDIA's GPUs from GF100 to GP100, as it should be.

A client has an address space, in which addresses are handed out (*areas*: get, put), memory is
mapped to them (map, unmap), and single pages are (pfn). Tables come when something in them is
referenced, and go with the last reference. The last directory leads to two tables at once: one
of large pages, one of small ones (see ``reference.formats.nvidia``).

One rule makes an entry: it says what its state says. A page, if one is mapped; else, if small
pages below a large entry are referenced, nothing, so that the small table decides; else sparse,
if it is marked so; else that there is nothing here, small pages included.

Read it from the bottom up: table memory (``DriverMemory``), registers (``Bus``), what software
knows of a table (``Node``), the walk that changes tables (``Tables``), addresses (``Vma``,
``Areas``), what is referenced (``References``), what a client manages itself (``RawInterface``), an
address space (``Space``), and what a client asks for (``Device``).

Nothing is freed, and no page given back, before an invalidation has completed that was started
after the last entry that led there was changed. Where the device completes none, it is kept.

Addresses and sizes of a client are unsigned and may be any 64-bit word; what goes beyond the
address space is refused before it is used. Results are the kernel's: 0 or a negative errno.

Source: formats.md D.1 to D.7.
"""

import errno
from typing import Final

from mypy_extensions import i64

from reference.drivers.registers import Registers
from reference.drivers.table_memory import NO_TABLE, TableMemory
from reference.formats.format import Format, Page
from reference.formats.nvidia import (
    HOST as HOST_APERTURE,
)
from reference.formats.nvidia import (
    NCOH as NCOH_APERTURE,
)
from reference.formats.nvidia import (
    NO_ATOMIC,
    PRIVILEGED,
    READ_ONLY,
    VOLATILE,
    aperture_in,
    meaning_of,
    nvidia_format,
)
from reference.formats.nvidia import (
    VRAM as VRAM_APERTURE,
)
from reference.physical_layout import (
    HOST,
    NCOH,
    PAGE,
    PFN_DIGITS,
    VRAM,
    VRAM_END,
    BufferPages,
    MemoryLayout,
    pfn_address,
    pfn_digit,
)
from reference.trace import (
    ATTACH,
    BARRIER,
    BARRIER_FULL,
    DETACH,
    DMA_MAP,
    DMA_UNMAP,
    REFS,
    REFS_BUFFER,
    Trace,
)

# -- registers, D.3 -------------------------------------------------------------------------

STATUS: Final = 0x100C80
SELECT: Final = 0x100CB8
SELECT_HIGH: Final = 0x100CEC
START: Final = 0x100CBC

STATUS_SLOTS: Final = 0xFF0000
STATUS_DONE: Final = 0x8000
STATUS_IDLE: Final = 0xFF8000
"""There is room for invalidations, and none is under way."""
START_NOW: Final = 0x80000000
PAGE_ALL: Final = 1
ALL_PDB: Final = 2
HUB_ONLY: Final = 4
REPLAY_GLOBAL: Final = 0xB
"""Of all address spaces: ALL_PDB is in it."""
POLLS: Final = 2000
"""How often STATUS is looked at before the device counts as stuck: 2 s, 1 ms apart."""
BUS_BUDGET: Final = 1 << 24
"""Accesses to registers in one operation: more than any needs, even if the device is stuck."""

# -- the instance block, D.2 ----------------------------------------------------------------

PDB: Final = 0x200 // 8
PDB_LIMIT: Final = 0x208 // 8
PDB_REPLAY: Final = 3 << 4
PDB_SECOND_VERSION: Final = 1 << 10
PDB_64K: Final = 1 << 11

# -- what a client may ask for --------------------------------------------------------------

CHIPS: Final = ("gf100", "gk104", "gm200", "gp100")
GM200: Final = 2
GP100: Final = 3

LARGE: Final = 0
"""The half of a pair of tables that has the large pages; of any other table, the only one."""
SMALL: Final = 1

TABLE_BYTES: Final = 0x200_0000
"""Memory that there is for tables."""
NO_PAGE: Final = 7
"""In place of the index of a page size."""
AREAS: Final = 1 << 16
PAGES_AT_ONCE: Final = 0x4000
LARGEST_BOOT: Final = 1 << 30
LARGEST_SHIFT: Final = 27
WORD: Final = (1 << 64) - 1
"""Sums of addresses wrap."""
LARGEST_MEMORY: Final = 1 << 30
ANY_ALLOCATION: Final = 1000
"""``fail_at`` beyond this counts every allocation, not just those of tables."""

KINDS: Final = (
    (0x00, 0x00, 0x00, 0),
    (0x01, 0x05, 0x01, 0),
    (0x07, 0x0A, 0x01, 0),
    (0x11, 0x11, 0x11, 0),
    (0x17, 0x1A, 0x11, 0),
    (0x26, 0x29, 0x26, 1),
    (0x3A, 0x3D, 0x26, 1),
    (0x3E, 0x41, 0x26, 1),
    (0x46, 0x46, 0x46, 0),
    (0x51, 0x54, 0x46, 0),
    (0x7B, 0x7B, 0x7B, 0),
    (0x86, 0x89, 0x7B, 0),
    (0x8B, 0x8E, 0x8B, 1),
    (0xA3, 0xA6, 0x8B, 1),
    (0xA7, 0xAA, 0xA7, 1),
    (0xBF, 0xC2, 0xA7, 1),
    (0xC3, 0xC3, 0xC3, 0),
    (0xCC, 0xCD, 0xFE, 0),
    (0xCE, 0xD1, 0xC3, 0),
    (0xD8, 0xD8, 0xFE, 0),
    (0xDB, 0xDB, 0xFE, 0),
    (0xDD, 0xDD, 0xFE, 0),
    (0xDF, 0xE0, 0xFE, 0),
    (0xE2, 0xE6, 0xFE, 0),
    (0xE9, 0xE9, 0xFE, 0),
    (0xEB, 0xEB, 0xFE, 0),
    (0xED, 0xEE, 0xFE, 0),
    (0xF0, 0xFB, 0xFE, 0),
    (0xFD, 0xFD, 0xFD, 0),
    (0xFE, 0xFE, 0xFE, 0),
)
"""Kinds of storage ``first`` to ``last``; the uncompressed kind of the first, and the step to
that of the next. GM200 and later have 0x2a and 0x2b, too."""


def plain_kind(kind: int, chip: int) -> int:
    """The uncompressed kind that goes with ``kind`` (itself, if it is one); -1: there is none."""
    if chip >= GM200 and kind in (0x2A, 0x2B):
        return kind
    for first, last, plain, step in KINDS:
        if first <= kind <= last:
            return plain + (kind - first) * step
    return -1


def single_page(pattern: int, page: int) -> tuple[bool, bool, bool, bool]:
    """Of page ``page`` of a pattern: whether it is valid, in VRAM, writable, for atomics."""
    digit = pfn_digit(pattern, page)
    return PFN_DIGITS[digit if digit < len(PFN_DIGITS) else 0]


def align_up(address: int, unit: int) -> int:
    """The next multiple of ``unit``."""
    return (address + unit - 1) // unit * unit


# -- table memory ---------------------------------------------------------------------------


class DriverMemory(TableMemory):
    """The memory of the driver: for tables, and for what it knows of them.

    ``fail_any``: the number of the next allocation, of a table or of anything, that fails (1: the
    next one; 0: none).
    """

    def __init__(self, trace: Trace) -> None:
        super().__init__(VRAM_END, VRAM_END + TABLE_BYTES, PAGE, trace)
        self.fail_any: i64 = 0

    def take(self) -> bool:
        """Count an allocation that is no table's; False: it fails."""
        self.spend()
        if self.fail_any > 0:
            self.fail_any -= 1
            return self.fail_any != 0
        return True

    def fails(self) -> bool:
        """Count a table among all allocations, and among those of tables."""
        is_had = self.take()
        return super().fails() or not is_had

    def barrier(self) -> None:
        """What was stored is seen by the device from here on."""
        self.trace.emit(BARRIER, BARRIER_FULL)


# -- registers ------------------------------------------------------------------------------


class Bus(Registers):
    """The registers that ask for invalidations.

    ``busy``: for how many looks at STATUS the device gets nothing done; -1: for good.
    """

    def __init__(self, trace: Trace) -> None:
        super().__init__(trace, BUS_BUDGET)
        self.busy: i64 = 0

    def ask(self, register: i64) -> i64:
        """STATUS; no other register is read."""
        if self.busy == 0:
            return STATUS_IDLE
        if self.busy > 0:
            self.busy -= 1
        return 0

    def give(self, register: i64, value: i64) -> None:
        """The device does it at once."""

    def wait(self, bits: i64) -> bool:
        """Until STATUS has one of these bits. False: the device is stuck."""
        return self.wait_for(STATUS, bits, True, POLLS)

    def invalidate(self, root: i64, kind: i64, has_high: bool) -> bool:
        """An invalidation of the address space with this root. False: it was not completed."""
        # 1. There has to be room for one more.
        if not self.wait(STATUS_SLOTS):
            return False
        # 2. Which address space, if not all of them.
        if not kind & ALL_PDB:
            select: i64 = (root >> 12 << 4) | VRAM_APERTURE
            self.write(SELECT, select & 0xFFFFFFFF)
            if has_high:
                self.write(SELECT_HIGH, select >> 32)
        # 3. Start it, and see it end.
        self.write(START, START_NOW | kind)
        return self.wait(STATUS_DONE)


# -- memory that is mapped ------------------------------------------------------------------


class Memory:
    """Memory ``number`` of a client, with how many references there are to it."""

    def __init__(self, number: i64, target: i64, size: int, page: i64, pages: BufferPages) -> None:
        self.number: i64 = number
        self.target: i64 = target
        self.size: int = size
        self.page: i64 = page
        self.pages: BufferPages = pages
        self.references: i64 = 1
        self.dropped: bool = False


# -- what software knows of tables ------------------------------------------------------------


class Node:
    """A directory, or a pair of tables of large and small pages, as software knows it.

    ``number``: of the directory in the format; that of the large table for a pair. ``level``: 0
    for a pair, then up. ``first``: the first address that it translates. ``sparse``: all of that
    was sparse when it came.

    ``pa``: where its tables are, by half. ``refs``: how often entries of each half are
    referenced: as pages, or by the tables that they lead to. By entry (of a pair: that of the
    large table): ``children``; ``pages``, the references as pages; ``small``, those to small
    pages below; ``marked``, those that are sparse; ``below``, those whose small entries are
    sparse for that reason; ``live``, those that hold a page.
    """

    def __init__(
        self, number: i64, level: i64, first: i64, parent: "Node | None", index: i64, sparse: bool
    ) -> None:
        self.number: i64 = number
        self.level: i64 = level
        self.first: i64 = first
        self.parent: Node | None = parent
        self.index: i64 = index
        self.sparse: bool = sparse
        self.pa: list[i64] = [NO_TABLE, NO_TABLE]
        self.refs: list[i64] = [0, 0]
        self.children: dict[i64, Node] = {}
        self.pages: dict[i64, i64] = {}
        self.small: dict[i64, i64] = {}
        self.marked: set[i64] = set()
        self.below: set[i64] = set()
        self.live: set[i64] = set()

    def reference(self, index: i64, count: i64) -> None:
        """Entries from ``index`` on are referenced as pages once more."""
        for at in range(index, index + count):
            self.pages[at] = self.pages.get(at, 0) + 1

    def unreference(self, index: i64, count: i64) -> None:
        """And once less."""
        for at in range(index, index + count):
            left: i64 = self.pages[at] - 1
            if left:
                self.pages[at] = left
            else:
                del self.pages[at]


# -- changes --------------------------------------------------------------------------------

KEEP: Final = 0
TAKE: Final = 1
DROP: Final = 2

LEAVE: Final = 0
PAGES: Final = 1
CLEAR: Final = 2
SPARSE: Final = 3


class Change:
    """What a walk does with every entry in its range.

    ``refs``: KEEP, TAKE or DROP references. ``write``: LEAVE entries, make them PAGES, CLEAR
    them, or make them SPARSE. ``mark``: whether they are marked as sparse (TAKE) or no longer
    (DROP). ``single``: pages were mapped one by one, and the device was let at each.
    """

    def __init__(self, refs: i64, write: i64, mark: i64 = KEEP, single: bool = False) -> None:
        self.refs: i64 = refs
        self.write: i64 = write
        self.mark: i64 = mark
        self.single: bool = single
        self.start: i64 = 0
        self.memory: Memory | None = None
        self.offset: i64 = 0
        self.meaning: int = 0
        self.pattern: int = 0
        self.first_page: i64 = 0

    def leads_to(self, memory: Memory, start: i64, offset: i64, meaning: int) -> "Change":
        """From address ``start`` on, pages lead to memory from ``offset`` on."""
        self.memory = memory
        self.start = start
        self.offset = offset
        self.meaning = meaning
        return self

    def follows(self, pattern: int, start: i64, first_page: i64) -> "Change":
        """Pages are those that a pattern says, the first of which is its ``first_page``."""
        self.pattern = pattern
        self.start = start
        self.first_page = first_page
        return self


# -- tables ---------------------------------------------------------------------------------


class Tables:
    """The tables of one address space, and the walk that changes them.

    ``pending``: entries were changed since the last invalidation. ``stuck``: the last one was
    not completed; until one is, tables, pages and memories that are no longer used are kept.
    """

    def __init__(self, memory: DriverMemory, bus: Bus, format_: Format, chip: i64) -> None:
        self.memory: DriverMemory = memory
        self.bus: Bus = bus
        self.format: Format = format_
        self.chip: i64 = chip
        self.root: Node = Node(0, format_.last_directory + 1, 0, None, 0, False)
        self.root.refs[LARGE] = 1
        self.hole: i64 = format_.hole(format_.large) if format_.has_hole() else 0
        self.large_span: i64 = format_.tables[format_.large].span
        self.small_shift: i64 = (
            format_.tables[format_.large].shift - format_.tables[format_.small].shift
        )
        self.small_each: i64 = self.large_span >> format_.tables[format_.small].shift
        self.hub_only: bool = False
        self.pending: bool = False
        self.stuck: bool = False
        self.kept_tables: list[i64] = []
        self.kept_pages: list[tuple[i64, i64]] = []
        self.kept_memories: list[Memory] = []

    def make_root(self) -> bool:
        """Get the root; False: no memory."""
        pa = self.memory.allocate(self.format.tables[0].bytes, PAGE)
        if pa == NO_TABLE:
            return False
        self.root.pa[LARGE] = pa
        self.memory.zero(pa)
        self.memory.barrier()
        return True

    # -- invalidations, and what waits for them ----------------------------------------------

    def flush(self) -> None:
        """An invalidation. What waited for one to be completed goes."""
        self.pending = False
        kind: i64 = PAGE_ALL | (HUB_ONLY if self.hub_only else 0)
        self.stuck = not self.bus.invalidate(self.root.pa[LARGE], kind, self.chip >= GP100)
        if self.stuck:
            return
        while self.kept_tables:
            self.memory.free(self.kept_tables.pop(0))
        while self.kept_pages:
            pa, size = self.kept_pages.pop(0)
            self.memory.trace.emit(DMA_UNMAP, pa, size)
        while self.kept_memories:
            self.release(self.kept_memories.pop(0))

    def free_table(self, pa: i64) -> None:
        """A table that nothing leads to any more."""
        if self.stuck:
            self.kept_tables.append(pa)
        else:
            self.memory.free(pa)

    def unmap_page(self, pa: i64, size: i64) -> None:
        """A page that nothing leads to any more: the device is no longer let at it."""
        if self.stuck:
            self.kept_pages.append((pa, size))
        else:
            self.memory.trace.emit(DMA_UNMAP, pa, size)

    def release(self, memory: Memory) -> None:
        """A reference to memory that nothing leads to any more."""
        if self.stuck:
            self.kept_memories.append(memory)
            return
        memory.references -= 1
        if memory.references == 0:
            self.memory.trace.emit(REFS, REFS_BUFFER, memory.number, 0)

    # -- entries ------------------------------------------------------------------------------

    def align_of(self, number: i64) -> i64:
        """What tables of this number are aligned to."""
        if self.chip >= GP100 and number == self.format.large:
            return self.format.tables[number].bytes
        return PAGE

    def put_word(self, number: i64, pa: i64, index: i64, word: i64) -> None:
        """Store a whole entry: its second word, if it has one, is 0."""
        if self.format.tables[number].words == 2:
            self.memory.store(pa, 2 * index, word)
            self.memory.store(pa, 2 * index + 1, 0)
        else:
            self.memory.store(pa, index, word)

    def write_directory(self, node: Node, index: i64, sparse: bool) -> None:
        """Make an entry of a directory what its state says; ``sparse``: if there is nothing."""
        if index in node.live:
            return
        child = node.children.get(index)
        pa: i64 = node.pa[LARGE]
        if child is None:
            word: i64 = self.format.sparse(node.number) if sparse else 0
            self.put_word(node.number, pa, index, word)
            return
        words = self.format.directory(node.number, child.pa[LARGE], child.pa[SMALL])
        count: i64 = len(words)
        for at in range(count):
            self.memory.store(pa, count * index + at, words[at])

    def write_large(self, node: Node, index: i64, sparse: bool) -> None:
        """Make an entry of a large table what its state says; ``sparse``: if there is nothing."""
        if index in node.live:
            return
        word: i64 = self.hole
        if node.small.get(index, 0):
            word = 0
        elif sparse:
            word = self.format.sparse(self.format.large)
        self.memory.store(node.pa[LARGE], index, word)

    def write_small(self, node: Node, index: i64, count: i64, sparse: bool) -> None:
        """Make entries of a small table sparse, or clear them."""
        word: i64 = self.format.sparse(self.format.small) if sparse else 0
        for at in range(index, index + count):
            self.memory.store(node.pa[SMALL], at, word)

    # -- tables come and go ---------------------------------------------------------------------

    def child_of(self, parent: Node, index: i64, number: i64) -> Node | None:
        """The node below an entry, which is made if there is none; None: no memory."""
        child = parent.children.get(index)
        if child is not None:
            return child
        if not self.memory.take():
            if parent.refs[LARGE] == 0:
                self.unlink(parent, LARGE)
            return None
        first: i64 = parent.first + index * self.format.tables[parent.number].span
        level: i64 = parent.level - 1
        if level == 0:
            number = self.format.large
        child = Node(number, level, first, parent, index, index in parent.marked)
        parent.children[index] = child
        parent.marked.discard(index)
        return child

    def add_table(self, child: Node, half: i64, number: i64) -> bool:
        """Get the table of a half and link it; False: no memory, and nothing is left of it."""
        parent = child.parent
        assert parent is not None
        table = self.format.tables[number]
        # 1. The table.
        parent.refs[LARGE] += 1
        pa = self.memory.allocate(table.bytes, self.align_of(number))
        if pa == NO_TABLE:
            self.unlink(child, half)
            return False
        child.pa[half] = pa
        # 2. What is in it.
        if child.sparse and number != self.format.small:
            child.marked.update(range(table.entries))
        if number == self.format.large and (child.sparse or self.hole):
            for index in range(table.entries):
                self.write_large(child, index, child.sparse)
        elif child.sparse and number == self.format.small:
            self.write_small(child, 0, table.entries, True)
        elif child.sparse:
            for index in range(table.entries):
                self.write_directory(child, index, True)
        else:
            self.memory.zero(pa)
        self.memory.barrier()
        # 3. Only now can the device see it.
        self.write_directory(parent, child.index, False)
        self.memory.barrier()
        self.pending = True
        return True

    def unlink(self, child: Node, half: i64) -> None:
        """Take off the table of a half, which nothing references, and free it."""
        parent = child.parent
        assert parent is not None
        pa: i64 = child.pa[half]
        child.pa[half] = NO_TABLE
        parent.refs[LARGE] -= 1
        if parent.refs[LARGE] == 0:
            # 1. The directory goes as a whole.
            self.unlink(parent, LARGE)
        else:
            # 1. The entry leads there no more, and nobody has it cached.
            if child.refs[1 - half] == 0:
                del parent.children[child.index]
                if child.sparse:
                    parent.marked.add(child.index)
            self.write_directory(parent, child.index, child.index in parent.marked)
            self.memory.barrier()
            self.flush()
        # 2. Only now it is freed.
        if pa != NO_TABLE:
            self.free_table(pa)
        if half == LARGE:
            child.marked.clear()
        else:
            child.below.clear()

    # -- references -----------------------------------------------------------------------------

    def take_small(self, node: Node, index: i64, count: i64) -> None:
        """Reference small pages: where they are the first ones, the small table takes over."""
        taken: list[i64] = []
        end: i64 = index + count
        at: i64 = index
        while at < end:
            large: i64 = at >> self.small_shift
            stop: i64 = min(end, (large + 1) << self.small_shift)
            if node.small.get(large, 0) == 0:
                taken.append(large)
            node.small[large] = node.small.get(large, 0) + (stop - at)
            at = stop
        if node.pa[LARGE] == NO_TABLE:
            return
        self.change_large(node, taken)

    def drop_small(self, node: Node, index: i64, count: i64) -> None:
        """Drop references to small pages: with the last ones, the large entry decides again."""
        dropped: list[i64] = []
        end: i64 = index + count
        at: i64 = index
        while at < end:
            large: i64 = at >> self.small_shift
            stop: i64 = min(end, (large + 1) << self.small_shift)
            left: i64 = node.small[large] - (stop - at)
            if left:
                node.small[large] = left
            else:
                del node.small[large]
                dropped.append(large)
            at = stop
        if node.pa[LARGE] == NO_TABLE or node.refs[LARGE] == 0:
            return
        self.change_large(node, dropped)

    def change_large(self, node: Node, entries: list[i64]) -> None:
        """The small table takes over entries of the large one, or gives them back.

        Runs of them that are all sparse, or none, are changed together: first small entries
        become sparse, then the large ones let the device see them.
        """
        at: i64 = 0
        count: i64 = len(entries)
        while at < count:
            stop: i64 = at + 1
            sparse = entries[at] in node.marked
            while (
                stop < count
                and entries[stop] == entries[stop - 1] + 1
                and (entries[stop] in node.marked) == sparse
            ):
                stop += 1
            if sparse and node.small.get(entries[at], 0):
                node.below.update(entries[at:stop])
                self.write_small(
                    node, entries[at] << self.small_shift, (stop - at) << self.small_shift, True
                )
                self.memory.barrier()
            if sparse or self.hole:
                for one in range(at, stop):
                    self.write_large(node, entries[one], sparse)
                self.memory.barrier()
            at = stop

    def drop(self, node: Node, half: i64, index: i64, count: i64) -> bool:
        """Drop references to entries; False: with the last one the table went."""
        node.refs[half] -= count
        if half == SMALL:
            self.drop_small(node, index, count)
        else:
            node.unreference(index, count)
        if node.refs[half]:
            return True
        if node.parent is not None:
            self.unlink(node, half)
        return False

    # -- the walk -----------------------------------------------------------------------------

    def node_at(self, page: Page, va: i64, take: bool) -> Node | None:
        """The node that has the entry of ``va`` for this page size.

        ``take``: make what is not there; None: no memory. Without: None: there is none.
        """
        node = self.root
        depth: i64 = len(page.chain) - 1
        while depth > 0:
            number: i64 = page.chain[depth]
            below: i64 = page.chain[depth - 1]
            half: i64 = SMALL if below == self.format.small else LARGE
            index: i64 = self.format.index(number, va)
            child = node.children.get(index)
            if take:
                child = self.child_of(node, index, below)
                if child is None:
                    return None
                if child.refs[half] == 0 and not self.add_table(child, half, below):
                    return None
            if child is None or child.pa[half] == NO_TABLE:
                return None
            node = child
            depth -= 1
        return node

    def walk(self, page: Page, address: i64, size: i64, change: Change) -> i64:
        """Change all entries of a range, and flush once.

        Returns how many bytes were done; less than ``size``: there is no memory for a table.
        """
        table = self.format.tables[page.table]
        half: i64 = SMALL if page.table == self.format.small else LARGE
        va: i64 = address
        end: i64 = address + size
        while va < end:
            index: i64 = self.format.index(page.table, va)
            count: i64 = min((end - va) >> page.shift, table.entries - index)
            node = self.node_at(page, va, change.refs == TAKE)
            if node is None:
                if change.refs != TAKE:
                    raise LookupError(f"there is no table for {va:#x}")
                if va == address and self.pending:
                    self.flush()
                return va - address
            self.change(node, half, page.table, index, count, va, change)
            va += count << page.shift
        if self.pending:
            self.flush()
        return size

    def change(
        self, node: Node, half: i64, number: i64, index: i64, count: i64, va: i64, change: Change
    ) -> None:
        """Change entries of one table."""
        # 1. Marks and references.
        if change.refs == DROP and change.single:
            self.end_pages(node.pa[half], number, index, count)
        if half == LARGE and change.mark == TAKE:
            node.marked.update(range(index, index + count))
        elif half == LARGE and change.mark == DROP:
            self.unmark(node, index, count)
        if change.write in (CLEAR, SPARSE) and half == LARGE:
            node.live.difference_update(range(index, index + count))
        if change.refs == TAKE:
            node.refs[half] += count
            if half == SMALL:
                self.take_small(node, index, count)
            else:
                node.reference(index, count)
        elif change.refs == DROP and not self.drop(node, half, index, count):
            # 2. The table went, and its entries with it.
            return
        # 2. Entries.
        if change.write == LEAVE:
            return
        if change.write == PAGES:
            if change.memory is None:
                self.write_single(node, half, number, index, count, va, change)
            else:
                self.write_pages(node, half, number, index, count, va, change)
        elif half == SMALL:
            self.write_small(node, index, count, change.write == SPARSE)
        else:
            self.clear_large(node, index, count, change)
        self.memory.barrier()
        self.pending = True

    def unmark(self, node: Node, index: i64, count: i64) -> None:
        """Entries are no longer sparse; nor are small ones below, which may be seen some day."""
        for at in range(index, index + count):
            node.marked.discard(at)
            if at in node.below:
                node.below.remove(at)
                self.write_small(node, at << self.small_shift, self.small_each, False)
                self.pending = True

    def clear_large(self, node: Node, index: i64, count: i64, change: Change) -> None:
        """No pages are there any more, in a large table or a directory."""
        sparse = change.write == SPARSE
        for at in range(index, index + count):
            if node.level > 0:
                self.write_directory(node, at, sparse)
                continue
            if change.mark == TAKE and node.small.get(at, 0):
                # Small pages that are not mapped decide: they are to be sparse.
                node.below.add(at)
                self.write_small(node, at << self.small_shift, self.small_each, True)
            self.write_large(node, at, sparse)

    def write_pages(
        self, node: Node, half: i64, number: i64, index: i64, count: i64, va: i64, change: Change
    ) -> None:
        """Entries become pages of memory."""
        memory = change.memory
        assert memory is not None
        span: i64 = self.format.tables[number].span
        offset: i64 = change.offset + (va - change.start)
        for at in range(index, index + count):
            pa: i64 = memory.pages.address(offset)
            word: i64 = self.format.leaf(number, pa, change.meaning)
            self.put_word(number, node.pa[half], at, word)
            if half == LARGE:
                node.live.add(at)
            offset += span

    # -- pages one by one -----------------------------------------------------------------------

    def write_single(
        self, node: Node, half: i64, number: i64, index: i64, count: i64, va: i64, change: Change
    ) -> None:
        """Entries become the pages that a pattern says; the device is let at each."""
        table = self.format.tables[number]
        page: i64 = change.first_page + ((va - change.start) >> table.shift)
        for at in range(index, index + count):
            _, vram, writable, atomic = single_page(change.pattern, page)
            pa: i64 = pfn_address(vram, va)
            if not vram:
                self.memory.trace.emit(DMA_MAP, pa, table.span)
            access = (0 if writable else READ_ONLY) | (0 if atomic else NO_ATOMIC)
            access |= 0 if vram else VOLATILE
            meaning = meaning_of(VRAM_APERTURE if vram else HOST_APERTURE, access)
            old: i64 = self.memory.read(node.pa[half], at * table.words)
            self.memory.store(
                node.pa[half], at * table.words, self.format.leaf(number, pa, meaning)
            )
            if change.refs == KEEP and self.is_let_at(number, old):
                # The invalidation at the end of the walk lets go of what was there before.
                self.kept_pages.append((table.first.output(old), table.span))
            if half == LARGE:
                node.live.add(at)
            va += table.span
            page += 1

    def is_let_at(self, number: i64, word: i64) -> bool:
        """Whether an entry is a page of the system."""
        meaning = self.format.meaning(number, word)
        return bool(word & 1) and aperture_in(meaning) == HOST_APERTURE

    def end_pages(self, pa: i64, number: i64, index: i64, count: i64) -> None:
        """Have pages of the system be no longer valid, and only then no longer let at.

        An entry of a directory that is not valid would lead to a table, so it is cleared at once.
        """
        table = self.format.tables[number]
        keep: i64 = 0 if number <= self.format.last_directory else ~1
        words: list[i64] = []
        for at in range(index, index + count):
            word: i64 = self.memory.read(pa, at * table.words)
            if self.is_let_at(number, word):
                self.memory.store(pa, at * table.words, word & keep)
                words.append(word)
        if not words:
            return
        self.memory.barrier()
        self.flush()
        for word in words:
            self.unmap_page(table.first.output(word), table.span)

    # -- the end --------------------------------------------------------------------------------

    def remove_all(self) -> None:
        """Take off every table that is left, and free them, the root last."""
        tables: list[i64] = []
        self.collect(self.root, tables)
        root = self.root
        used = sorted(set(root.children) | set(root.pages))
        if used or self.stuck:
            root.children.clear()
            root.live.clear()
            for index in used:
                self.write_directory(root, index, False)
            self.memory.barrier()
            self.flush()
        for pa in tables:
            self.free_table(pa)
        self.free_table(root.pa[LARGE])

    def collect(self, node: Node, tables: list[i64]) -> None:
        """The tables below a node."""
        for index in sorted(node.children):
            child = node.children[index]
            for half in (LARGE, SMALL):
                if child.pa[half] != NO_TABLE:
                    tables.append(child.pa[half])
            self.collect(child, tables)


# -- areas ----------------------------------------------------------------------------------


class Block:
    """Part of a sparse range that is referenced at one page size."""

    def __init__(self, page: Page, address: i64, size: i64) -> None:
        self.page: Page = page
        self.address: i64 = address
        self.size: i64 = size


class Vma:
    """Addresses that are free, or an area that was handed out, or a part of one.

    ``number``: of the area. ``mapref``: references are taken by a map and dropped by an unmap.
    ``page``: index of the page size that was asked for; ``refd``: of the one at which entries
    are referenced now. ``part``: it is not the first of its area. ``memory``: what is mapped
    (None where ``mapped``: pages one by one). ``blocks``: how a sparse area is referenced.
    """

    def __init__(self, address: int, size: int) -> None:
        self.address: int = address
        self.size: int = size
        self.number: i64 = 0
        self.mapref: bool = False
        self.sparse: bool = False
        self.page: i64 = NO_PAGE
        self.refd: i64 = NO_PAGE
        self.used: bool = False
        self.part: bool = False
        self.mapped: bool = False
        self.memory: Memory | None = None
        self.blocks: list[Block] = []

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + self.size

    def is_like(self, other: "Vma") -> bool:
        """Whether both could be one, as far as what is mapped goes."""
        return (
            self.mapped == other.mapped
            and self.memory is None
            and other.memory is None
            and self.refd == other.refd
        )


class Kind:
    """How a client wants memory to be mapped; ``given``: whether it says anything at all."""

    def __init__(self, kind: int, ro: int, priv: int, vol: int) -> None:
        self.given: bool = (kind | ro | priv | vol) != 0
        self.kind: int = kind & 0xFF
        self.access: int = 0
        if ro & 0xFF:
            self.access |= READ_ONLY
        if priv & 0xFF:
            self.access |= PRIVILEGED
        self.vol: bool = (vol & 0xFF) != 0


class Areas:
    """The addresses of an address space: what of them is free, and what was handed out."""

    def __init__(self, memory: DriverMemory, page_block: int) -> None:
        self.memory: DriverMemory = memory
        """Where the memory of VMAs comes from."""
        self.page_block: int = page_block
        """Addresses in one such block all have the same page size; 0: they need not."""
        self.vmas: list[Vma] = []
        """All of it, by address."""

    def add_vma(self, address: int, size: int, used: bool) -> bool:
        """Add what is behind all others; ``used``: the client's own. False: no memory."""
        if size == 0:
            return True
        vma = self.new_vma(address, size)
        if vma is None:
            return False
        vma.used = vma.mapref = used
        self.vmas.append(vma)
        return True

    def new_vma(self, address: int, size: int) -> Vma | None:
        """A VMA; None: no memory."""
        return Vma(address, size) if self.memory.take() else None

    def at(self, address: int) -> i64:
        """The place in ``vmas`` of the one that has an address; -1: none."""
        low = 0
        high = len(self.vmas)
        while low < high:
            middle = (low + high) // 2
            if self.vmas[middle].address <= address:
                low = middle + 1
            else:
                high = middle
        return low - 1 if low and address < self.vmas[low - 1].end else -1

    def used_at(self, address: int) -> Vma | None:
        """The area, or part of one, that has an address; None: it is free, or beyond."""
        place = self.at(address)
        if place < 0 or not self.vmas[place].used:
            return None
        return self.vmas[place]

    def next_part(self, vma: Vma) -> Vma | None:
        """The part that follows it; None: there is none."""
        place = self.at(vma.address) + 1
        if place < len(self.vmas) and self.vmas[place].part:
            return self.vmas[place]
        return None

    def parts(self, vma: Vma) -> list[Vma]:
        """All of an area, from its first part on."""
        found = [vma]
        following = self.next_part(vma)
        while following is not None:
            found.append(following)
            following = self.next_part(following)
        return found

    def tail(self, vma: Vma, size: int) -> Vma | None:
        """Split the last ``size`` bytes off; None: no memory."""
        new = self.new_vma(vma.end - size, size)
        if new is None:
            return None
        vma.size -= size
        new.number = vma.number
        new.mapref = vma.mapref
        new.sparse = vma.sparse
        new.page = vma.page
        new.refd = vma.refd
        new.used = vma.used
        new.part = vma.part
        new.mapped = vma.mapped
        self.vmas.insert(self.at(vma.address) + 1, new)
        return new

    def split(self, vma: Vma, address: int, size: int) -> Vma | None:
        """The part of an area that is just these addresses; None: no memory."""
        whole = vma
        if vma.address != address:
            new = self.tail(vma, vma.end - address)
            if new is None:
                return None
            new.part = True
            vma = new
        if vma.size != size:
            new = self.tail(vma, vma.size - size)
            if new is None:
                if vma is not whole:
                    self.merge(vma)
                return None
            new.part = True
        return vma

    def merge(self, vma: Vma) -> Vma:
        """Make it one with parts beside it in which just as little is mapped."""
        place = self.at(vma.address)
        following = self.next_part(vma)
        if following is not None and vma.is_like(following):
            vma.size += following.size
            self.vmas.pop(place + 1)
        if vma.part and vma.is_like(self.vmas[place - 1]):
            before = self.vmas[place - 1]
            before.size += vma.size
            self.vmas.pop(place)
            return before
        return vma

    def best_fit(self, size: int, align: int, index: i64) -> tuple[Vma | None, int]:
        """The smallest free VMA with room for it, and where in it; the lowest of those as small."""
        best: Vma | None = None
        best_address = 0
        for place in range(len(self.vmas)):
            vma = self.vmas[place]
            if vma.used or vma.size < size or (best is not None and vma.size >= best.size):
                continue
            first = vma.address
            end = vma.end
            if self.page_block and place > 0 and self.vmas[place - 1].page != index:
                first = align_up(first, self.page_block)
            after = place + 1
            if self.page_block and after < len(self.vmas) and self.vmas[after].page != index:
                end = end // self.page_block * self.page_block
            first = align_up(first, align)
            if first + size <= end:
                best = vma
                best_address = first
        return best, best_address

    def free(self, vma: Vma) -> None:
        """It is handed out no more; what is free beside it becomes one with it."""
        vma.used = vma.part = vma.mapped = vma.sparse = vma.mapref = False
        vma.page = NO_PAGE
        vma.refd = NO_PAGE
        vma.blocks = []
        place = self.at(vma.address)
        if place + 1 < len(self.vmas) and not self.vmas[place + 1].used:
            vma.size += self.vmas[place + 1].size
            self.vmas.pop(place + 1)
        if place > 0 and not self.vmas[place - 1].used:
            before = self.vmas[place - 1]
            before.size += vma.size
            self.vmas.pop(place)


class References:
    """What is referenced in the tables of an address space: entries at a page size, sparse ranges.

    Something that is referenced has tables down to its entries.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables: Tables = tables
        """The tables."""
        self.format: Format = tables.format
        """How they are laid out, and its page sizes."""

    # -- page sizes -----------------------------------------------------------------------------

    def smallest(self) -> Page:
        """The smallest page size."""
        return self.format.pages[len(self.format.pages) - 1]

    def page_of_shift(self, shift: int) -> i64:
        """The index of a page size; NO_PAGE: there is none."""
        for index in range(len(self.format.pages)):
            if self.format.pages[index].listed == shift:
                return index
        return NO_PAGE

    def unit(self, index: i64) -> int:
        """The bytes that addresses and sizes are multiples of at a page size."""
        return 1 << int(self.format.pages[index].listed)

    def is_aligned(self, index: i64, address: int) -> bool:
        """Whether it is a multiple of that."""
        return address % self.unit(index) == 0

    # -- entries, and sparse ranges -------------------------------------------------------------

    def take(self, page: Page, address: int, size: int) -> i64:
        """Reference entries. ENOMEM: none of them."""
        done = self.tables.walk(page, address, size, Change(TAKE, LEAVE))
        if done == size:
            return 0
        if done:
            self.drop(page, address, done)
        return -errno.ENOMEM

    def drop(self, page: Page, address: int, size: int) -> None:
        """Drop references."""
        self.tables.walk(page, address, size, Change(DROP, LEAVE))

    def sparse_ref(self, index: i64, vma: Vma) -> i64:
        """Make a whole area sparse at one page size. EINVAL, ENOMEM."""
        page = self.format.pages[index]
        if not page.sparse:
            return -errno.EINVAL
        vma.blocks = [Block(page, vma.address, vma.size)]
        return self.take_block(vma.blocks[0])

    def take_block(self, block: Block) -> i64:
        """Reference entries and make them sparse. ENOMEM: none of them."""
        change = Change(TAKE, SPARSE, TAKE)
        done = self.tables.walk(block.page, block.address, block.size, change)
        if done == block.size:
            return 0
        if done:
            self.drop_block(Block(block.page, block.address, done))
        return -errno.ENOMEM

    def drop_block(self, block: Block) -> None:
        """The opposite."""
        self.tables.walk(block.page, block.address, block.size, Change(DROP, CLEAR, DROP))

    def take_sparse(self, address: int, size: int, blocks: list[Block]) -> i64:
        """Make a range sparse, at as large page sizes as there are. EINVAL, ENOMEM: nothing.

        ``blocks`` is told how.
        """
        end = address + size
        while address < end:
            index, part = self.sparse_block(address, end - address)
            page = self.format.pages[index]
            while self.leads_on(page, address, part):
                # Small pages below are in use: an entry this high cannot be sparse.
                index += 1
                page = self.format.pages[index]
            block = Block(page, address, part)
            result: i64 = self.take_block(block) if page.sparse else -errno.EINVAL
            if result != 0:
                self.drop_sparse(blocks)
                return result
            blocks.append(block)
            address += part
        return 0

    def drop_sparse(self, blocks: list[Block]) -> None:
        """The opposite."""
        for block in blocks:
            self.drop_block(block)
        blocks.clear()

    def sparse_block(self, address: int, size: int) -> tuple[i64, int]:
        """The page size to begin with in a range, and for how many bytes. Source: D.5."""
        largest: i64 = 0
        while size < self.unit(largest):
            largest += 1
        index = largest
        while not self.is_aligned(index, address):
            index += 1
        part = size
        if index != largest:
            above = self.unit(index - 1)
            to_above = align_up(address, above) - address
            if size - to_above >= above:
                part = to_above
        return index, part // self.unit(index) * self.unit(index)

    def leads_on(self, page: Page, address: i64, size: i64) -> bool:
        """Whether an entry of a directory in a range leads to a table."""
        if page.table > self.format.last_directory:
            return False
        va: i64 = address
        end: i64 = address + size
        while va < end:
            node = self.tables.node_at(page, va, False)
            if node is not None and self.format.index(page.table, va) in node.children:
                return True
            va += self.format.tables[page.table].span
        return False

    # -- asking ---------------------------------------------------------------------------------

    def is_referenced(self, index: i64, address: i64, size: i64) -> bool:
        """Whether all entries of a range are referenced at a page size."""
        page = self.format.pages[index]
        span: i64 = self.format.tables[page.table].span
        is_small = page.table == self.format.small
        va: i64 = address
        end: i64 = address + size
        while va < end:
            node = self.tables.node_at(page, va, False)
            if node is None:
                return False
            if is_small:
                stop: i64 = min(end, (va // self.tables.large_span + 1) * self.tables.large_span)
                large = self.format.index(self.format.large, va)
                if node.small.get(large, 0) < (stop - va) // span:
                    return False
                va = stop
            else:
                if node.pages.get(self.format.index(page.table, va), 0) == 0:
                    return False
                va += span
        return True

    def is_in_use(self, address: int, size: int) -> bool:
        """Whether entries that would be made sparse are referenced, or tables are below them."""
        end = address + size
        while address < end:
            index, part = self.sparse_block(address, end - address)
            page = self.format.pages[index]
            va: i64 = address
            stop: i64 = address + part
            while va < stop:
                if self.is_entry_in_use(page, va):
                    return True
                va += self.format.tables[page.table].span
            address += part
        return False

    def is_entry_in_use(self, page: Page, va: i64) -> bool:
        """Whether the entry of ``va`` at a page size, or one above it, is a page or leads on."""
        node: Node | None = self.tables.root
        depth: i64 = len(page.chain) - 1
        while node is not None:
            is_last = depth == 0
            number: i64 = page.chain[depth]
            if number == self.format.small:
                number = self.format.large
            at: i64 = self.format.index(number, va)
            if node.pages.get(at, 0) or (is_last and at in node.children):
                return True
            if is_last:
                return page.table == self.format.large and node.small.get(at, 0) != 0
            node = node.children.get(at)
            depth -= 1
        return False


class RawInterface:
    """What a client does by itself to the entries of addresses that it manages."""

    def __init__(self, space: "Space") -> None:
        self.space: Space = space
        """The address space."""
        self.references: References = space.references
        """What is referenced there."""
        self.managed: list[tuple[int, int]] = []
        """(first, end) of the addresses that the client manages."""
        self.sparse: dict[tuple[int, int], list[Block]] = {}
        """How the ranges are referenced that it made sparse, by address and size."""

    def is_managed(self, address: int, size: int) -> bool:
        """Whether addresses are all in one part that the client manages itself."""
        end = address + size
        for first, last in self.managed:
            if address >= first and end <= last:
                return True
        return False

    def keeps_out(self, address: int, size: int) -> bool:
        """Whether addresses are for the raw interface alone."""
        return self.space.raw and self.is_managed(address, size)

    def page(self, shift: int, address: int, size: int) -> i64:
        """The index of the page size of a raw call; NO_PAGE: it cannot be done."""
        index = self.references.page_of_shift(shift)
        if not self.keeps_out(address, size) or index == NO_PAGE:
            return NO_PAGE
        return index if self.references.is_aligned(index, address | size) else NO_PAGE

    def get(self, shift: int, address: int, size: int) -> i64:
        """Reference entries. EINVAL, ENOMEM."""
        index = self.page(shift, address, size)
        if index == NO_PAGE or size == 0:
            return -errno.EINVAL
        return self.references.take(self.space.format.pages[index], address, size)

    def put(self, shift: int, address: int, size: int) -> i64:
        """Drop references. EINVAL: there are none."""
        index = self.page(shift, address, size)
        if index == NO_PAGE or not self.references.is_referenced(index, address, size):
            return -errno.EINVAL
        self.references.drop(self.space.format.pages[index], address, size)
        return 0

    def map(
        self, shift: int, address: int, size: int, memory: Memory, offset: int, kind: Kind
    ) -> i64:
        """Have referenced entries lead to memory. EINVAL."""
        index = self.page(shift, address, size)
        if (
            index == NO_PAGE
            or offset + size > memory.size
            or not self.space.fits(index, address, size, memory, offset, kind)
            or not self.references.is_referenced(index, address, size)
        ):
            return -errno.EINVAL
        change = Change(KEEP, PAGES)
        change.leads_to(memory, address, offset, self.space.meaning_of(memory, kind))
        self.space.tables.walk(self.space.format.pages[index], address, size, change)
        return 0

    def unmap(self, shift: int, address: int, size: int, sparse: bool) -> i64:
        """Clear referenced entries, or make them sparse. EINVAL."""
        index = self.page(shift, address, size)
        if index == NO_PAGE or not self.references.is_referenced(index, address, size):
            return -errno.EINVAL
        page = self.space.format.pages[index]
        if sparse and not page.sparse:
            return -errno.EINVAL
        self.space.tables.walk(page, address, size, Change(KEEP, SPARSE if sparse else CLEAR))
        return 0

    def make_sparse(self, address: int, size: int) -> i64:
        """Make a range sparse. EINVAL; EBUSY: something in it is referenced; ENOMEM."""
        if not self.keeps_out(address, size) or (address | size) % PAGE:
            return -errno.EINVAL
        if size == 0:
            return 0
        if (address, size) in self.sparse or self.references.is_in_use(address, size):
            return -errno.EBUSY
        blocks: list[Block] = []
        result = self.references.take_sparse(address, size, blocks)
        if result == 0:
            self.sparse[(address, size)] = blocks
        return result

    def end_sparse(self, address: int, size: int) -> i64:
        """The opposite. EINVAL: it was never done."""
        if not self.keeps_out(address, size):
            return -errno.EINVAL
        if size == 0:
            return 0
        if (address, size) not in self.sparse:
            return -errno.EINVAL
        self.references.drop_sparse(self.sparse.pop((address, size)))
        return 0


class Space:
    """An address space.

    ``start``, ``limit``: the first address, and the one behind the last. ``raw``: the client uses
    what it manages itself by the raw interface, ``raw_calls``. ``replays``: faults are replayed.
    ``instance``: address of the instance block; NO_TABLE: none.
    """

    def __init__(
        self, memory: DriverMemory, bus: Bus, chip: i64, big: i64, raw: bool, page_block: int = 0
    ) -> None:
        self.memory: DriverMemory = memory
        self.format: Format = nvidia_format(CHIPS[chip], 16 if chip == GP100 else big)
        self.chip: i64 = chip
        self.tables: Tables = Tables(memory, bus, self.format, chip)
        self.references: References = References(self.tables)
        self.areas: Areas = Areas(memory, page_block)
        self.raw: bool = raw
        self.raw_calls: RawInterface = RawInterface(self)
        self.start: int = 0
        self.limit: int = int(self.format.limit)
        self.booted: bool = False
        self.replays: bool = False
        self.instance: i64 = NO_TABLE

    # -- creation -----------------------------------------------------------------------------

    def make(self, managed: bool, start: int, size: int) -> i64:
        """Make it: its root, and what of it is free. EINVAL, ENOMEM: nothing is left."""
        end = start + size
        if not managed and size == 0:
            end = self.limit
        if end > self.limit or start > end:
            return -errno.EINVAL
        if not self.memory.take() or not self.tables.make_root():
            return -errno.ENOMEM
        if managed:
            self.raw_calls.managed = [(0, start), (end, self.limit)]
            done = (
                self.areas.add_vma(0, start, True)
                and self.areas.add_vma(start, size, False)
                and self.areas.add_vma(end, self.limit - end, True)
            )
        else:
            self.start = start
            self.limit = end
            done = self.areas.add_vma(start, end - start, False)
        if not done:
            self.tables.remove_all()
            return -errno.ENOMEM
        return 0

    def destroy(self) -> None:
        """End it, with everything that is still in it."""
        for vma in list(self.areas.vmas):
            if vma.used and not vma.part:
                self.put(vma)
        if self.booted:
            size = self.limit - self.start
            self.tables.walk(self.references.smallest(), self.start, size, Change(DROP, LEAVE))
        self.tables.remove_all()

    # -- get ----------------------------------------------------------------------------------

    def get(
        self, getref: bool, mapref: bool, sparse: bool, shift: int, align: int, size: int
    ) -> tuple[i64, Vma | None]:
        """Hand out ``size`` bytes; the area, or why not. Source: D.6."""
        # 1. What makes no sense.
        if size == 0 or (sparse and not getref and not mapref):
            return -errno.EINVAL, None
        if (getref or self.areas.page_block) and shift == 0:
            return -errno.EINVAL, None
        index: i64 = NO_PAGE
        unit = PAGE
        if shift:
            index = self.references.page_of_shift(shift)
            if index == NO_PAGE:
                return -errno.EINVAL, None
            unit = self.references.unit(index)
        if size % unit:
            return -errno.EINVAL, None
        # 2. Addresses.
        vma, address = self.areas.best_fit(size, max(unit, 1 << int(align)), index)
        if vma is None:
            return -errno.ENOSPC, None
        if vma.address != address:
            vma = self.areas.tail(vma, vma.end - address)
            if vma is None:
                return -errno.ENOMEM, None
        if vma.size != size and self.areas.tail(vma, vma.size - size) is None:
            self.areas.free(vma)
            return -errno.ENOMEM, None
        # 3. References.
        result: i64 = 0
        if sparse and getref:
            result = self.references.sparse_ref(index, vma)
        elif sparse:
            result = self.references.take_sparse(vma.address, vma.size, vma.blocks)
        elif getref:
            result = self.references.take(self.format.pages[index], vma.address, vma.size)
        if result != 0:
            self.areas.free(vma)
            return result, None
        vma.mapref = mapref and not getref
        vma.sparse = sparse
        vma.page = index
        vma.refd = index if getref else NO_PAGE
        vma.used = True
        return 0, vma

    # -- put ----------------------------------------------------------------------------------

    def put(self, vma: Vma) -> None:
        """Take an area back, with all that is mapped in it."""
        parts = self.areas.parts(vma)
        # 1. What is mapped or referenced, in runs.
        if vma.mapref or not vma.sparse:
            self.drop_runs(vma, parts)
        # 2. What makes it sparse.
        self.references.drop_sparse(vma.blocks)
        # 3. Memory: nothing leads to it any more.
        for part in parts:
            if part.memory is not None:
                self.tables.release(part.memory)
                part.memory = None
            if part is not vma:
                vma.size += part.size
        place = self.areas.at(vma.address)
        for _ in range(len(parts) - 1):
            self.areas.vmas.pop(place + 1)
        self.areas.free(vma)

    def drop_runs(self, vma: Vma, parts: list[Vma]) -> None:
        """Unmap, and drop references, of parts in the same state together."""
        at = 0
        while at < len(parts):
            first = parts[at]
            size = 0
            while at < len(parts) and (
                parts[at].mapped == first.mapped
                and (parts[at].memory is None) == (first.memory is None)
                and parts[at].refd == first.refd
            ):
                size += parts[at].size
                at += 1
            if first.mapped:
                single = first.memory is None
                self.end_map(first.refd, first.address, size, vma.sparse, single)
            elif first.refd != NO_PAGE:
                self.references.drop(self.format.pages[first.refd], first.address, size)

    # -- map ----------------------------------------------------------------------------------

    def map(self, address: int, size: int, memory: Memory, offset: int, kind: Kind) -> i64:
        """Map memory to an area, or to a part of it. Whatever is refused changes nothing.

        ENOENT: no area there. EINVAL: pages one by one are mapped there; no part that can be
        split off; or no page size at which it can be mapped. ENOMEM.
        """
        vma = self.areas.used_at(address)
        if vma is None:
            return -errno.ENOENT
        if vma.mapped and vma.memory is None:
            return -errno.EINVAL
        is_whole = vma.address == address and vma.size == size
        if not is_whole and (
            size == 0
            or address + size > vma.end
            or vma.memory is not None
            or (vma.refd == NO_PAGE and not vma.mapref)
        ):
            return -errno.EINVAL
        index = self.choose(vma, address, size, memory, offset, kind)
        if index == NO_PAGE:
            return -errno.EINVAL
        if not is_whole:
            vma = self.areas.split(vma, address, size)
            if vma is None:
                return -errno.ENOMEM
        change = Change(KEEP, PAGES).leads_to(
            memory, address, offset, self.meaning_of(memory, kind)
        )
        if vma.refd == NO_PAGE:
            result = self.begin_map(index, address, size, change, vma.sparse)
            if result != 0:
                self.areas.merge(vma)
                return result
        else:
            self.tables.walk(self.format.pages[index], address, size, change)
        old = vma.memory
        memory.references += 1
        vma.memory = memory
        vma.mapped = True
        vma.refd = index
        if old is not None:
            self.tables.release(old)
        return 0

    def begin_map(self, index: i64, address: int, size: int, change: Change, sparse: bool) -> i64:
        """Reference entries and make them pages. ENOMEM: none of them."""
        page = self.format.pages[index]
        if self.raw:
            # The raw interface keeps both apart, so that each can be done at its own time.
            result = self.references.take(page, address, size)
            if result == 0:
                self.tables.walk(page, address, size, change)
            return result
        change.refs = TAKE
        done = self.tables.walk(page, address, size, change)
        if done == size:
            return 0
        if done:
            self.end_map(index, address, done, sparse, change.memory is None)
        return -errno.ENOMEM

    def end_map(self, index: i64, address: int, size: int, sparse: bool, single: bool) -> None:
        """Clear entries, or make them sparse, and drop the references to them."""
        page = self.format.pages[index]
        write = SPARSE if sparse else CLEAR
        if self.raw and not single:
            self.tables.walk(page, address, size, Change(KEEP, write))
            self.references.drop(page, address, size)
        else:
            self.tables.walk(page, address, size, Change(DROP, write, KEEP, single))

    def choose(
        self, vma: Vma, address: int, size: int, memory: Memory, offset: int, kind: Kind
    ) -> i64:
        """The page size for a map; NO_PAGE: there is none. Source: D.6."""
        if offset + size > memory.size:
            return NO_PAGE
        fixed: i64 = vma.refd if vma.refd != NO_PAGE else vma.page
        for index in range(len(self.format.pages)):
            if fixed in (NO_PAGE, index) and self.fits(index, address, size, memory, offset, kind):
                return index
        return NO_PAGE

    def fits(
        self, index: i64, address: int, size: int, memory: Memory, offset: int, kind: Kind
    ) -> bool:
        """Whether memory can be mapped at a page size."""
        page = self.format.pages[index]
        if not (page.vram if memory.target == VRAM else page.host):
            return False
        if (
            not self.references.is_aligned(index, address | size | offset)
            or memory.page < page.listed
        ):
            return False
        plain = plain_kind(kind.kind, self.chip)
        if plain < 0:
            return False
        return plain == kind.kind or (memory.target == VRAM and page.compressed)

    def meaning_of(self, memory: Memory, kind: Kind) -> int:
        """What pages of memory say beside their address. There are no tags to compress with."""
        aperture = VRAM_APERTURE
        if memory.target == HOST:
            aperture = HOST_APERTURE
        elif memory.target == NCOH:
            aperture = NCOH_APERTURE
        volatile = kind.vol if kind.given else memory.target == HOST
        access = kind.access | (VOLATILE if volatile else 0)
        return meaning_of(aperture, access, plain_kind(kind.kind, self.chip))

    def unmap(self, address: int) -> i64:
        """Unmap the memory of an area or part that begins there. ENOENT, EINVAL."""
        vma = self.areas.used_at(address)
        if vma is None or vma.address != address:
            return -errno.ENOENT
        memory = vma.memory
        if memory is None:
            return -errno.EINVAL
        if vma.mapref:
            self.end_map(vma.refd, vma.address, vma.size, vma.sparse, False)
            vma.refd = NO_PAGE
        else:
            write = SPARSE if vma.sparse else CLEAR
            page = self.format.pages[vma.refd]
            self.tables.walk(page, vma.address, vma.size, Change(KEEP, write))
        vma.memory = None
        vma.mapped = False
        self.areas.merge(vma)
        self.tables.release(memory)
        return 0

    # -- pages one by one ---------------------------------------------------------------------

    def pfn_map(self, shift: int, address: int, size: int, pattern: int) -> tuple[i64, int]:
        """Map pages one by one, or unmap them, as a pattern says; how many were not mapped.

        EINVAL: no such pages, or not there; ENOENT: no area. What cannot be mapped (where memory
        is mapped, or pages of another size, or nothing is handed out) is left as it is.
        """
        index = self.references.page_of_shift(shift)
        if (
            self.chip < GP100
            or shift not in (12, 21)
            or (address | size) % self.references.unit(index)
        ):
            return -errno.EINVAL, 0
        if address + size > self.limit:
            return -errno.EINVAL, 0
        if self.areas.used_at(address) is None:
            return -errno.ENOENT, 0
        unit = self.references.unit(index)
        count = size // unit
        page = 0
        refused = 0
        while page < count:
            wanted = single_page(pattern, page)[0]
            first = address + page * unit
            vma = self.areas.used_at(first)
            # 1. A run of pages in one part that are all to be mapped, or all not.
            run = 1
            while (
                page + run < count
                and vma is not None
                and (
                    single_page(pattern, page + run)[0] == wanted
                    and first + (run + 1) * unit <= vma.end
                )
            ):
                run += 1
            # 2. Have it so.
            done = False
            if vma is not None and first + run * unit <= vma.end:
                change = Change(KEEP, PAGES).follows(pattern, first, page)
                done = self.change_pages(vma, index, first, run * unit, wanted, change)
            if wanted and not done:
                refused += run
            page += run
        return 0, refused

    def change_pages(
        self, vma: Vma, index: i64, address: int, size: int, wanted: bool, change: Change
    ) -> bool:
        """Map or unmap pages in one part. False: they cannot be; nothing has changed."""
        if not vma.mapref or vma.memory is not None or (vma.mapped and vma.refd != index):
            return False
        if not vma.mapped and not wanted:
            return True
        if vma.mapped and wanted:
            self.tables.walk(self.format.pages[index], address, size, change)
            return True
        part = self.areas.split(vma, address, size)
        if part is None:
            return False
        if wanted:
            if self.begin_pages(index, address, size, change, part.sparse) != 0:
                self.areas.merge(part)
                return False
            part.mapped = True
            part.refd = index
        else:
            self.end_pages(part)
        self.areas.merge(part)
        return True

    def begin_pages(self, index: i64, address: int, size: int, change: Change, sparse: bool) -> i64:
        """Reference entries and make them pages, in one walk. ENOMEM: none of them."""
        change.refs = TAKE
        done = self.tables.walk(self.format.pages[index], address, size, change)
        if done == size:
            return 0
        if done:
            self.end_map(index, address, done, sparse, True)
        return -errno.ENOMEM

    def end_pages(self, part: Vma) -> None:
        """Unmap all pages of a part."""
        self.end_map(part.refd, part.address, part.size, part.sparse, True)
        part.mapped = False
        part.refd = NO_PAGE

    def pfn_unmap(self, address: int, size: int) -> i64:
        """Unmap pages that were mapped one by one; memory that is mapped there stays.

        A page that the range begins or ends in goes as a whole. EINVAL: no area, or no whole
        pages of the smallest size. ENOMEM: what comes first may be unmapped already.
        """
        if self.areas.used_at(address) is None or (address | size) & (PAGE - 1):
            return -errno.EINVAL
        end = address + size
        # 1. All pieces that are mapped so, in whole pages.
        pieces: list[tuple[int, int]] = []
        for vma in self.areas.vmas:
            first = max(vma.address, address)
            last = min(vma.end, end)
            if first >= last or not vma.mapped or vma.memory is not None:
                continue
            unit = self.references.unit(vma.refd)
            pieces.append((first // unit * unit, align_up(last, unit)))
        # 2. Have them unmapped.
        for first, last in pieces:
            vma = self.areas.vmas[self.areas.at(first)]
            part = self.areas.split(vma, first, last - first)
            if part is None:
                return -errno.ENOMEM
            self.end_pages(part)
            self.areas.merge(part)
        return 0

    # -- the instance block, and BARs ---------------------------------------------------------

    def join(self) -> tuple[i64, i64]:
        """Have an instance block lead to the root. EBUSY, ENOMEM."""
        if self.instance != NO_TABLE:
            return -errno.EBUSY, 0
        pa = self.memory.allocate(PAGE, PAGE)
        if pa == NO_TABLE:
            return -errno.ENOMEM, 0
        self.memory.zero(pa)
        self.memory.barrier()
        base: i64 = self.tables.root.pa[LARGE]
        if self.chip >= GP100:
            base |= PDB_SECOND_VERSION | PDB_64K
        elif self.chip == GM200 and self.format.tables[self.format.large].shift == 16:
            base |= PDB_64K
        if self.replays:
            base |= PDB_REPLAY
        self.memory.store(pa, PDB, base)
        self.memory.store(pa, PDB_LIMIT, self.limit - 1)
        self.memory.barrier()
        self.memory.trace.emit(ATTACH, self.tables.root.pa[LARGE], 0)
        self.instance = pa
        return 0, pa

    def part(self) -> i64:
        """Have it lead nowhere, and free it. EINVAL."""
        pa = self.instance
        if pa == NO_TABLE:
            return -errno.EINVAL
        self.memory.store(pa, PDB, 0)
        self.memory.store(pa, PDB_LIMIT, 0)
        self.memory.barrier()
        self.memory.trace.emit(DETACH, self.tables.root.pa[LARGE], 0)
        self.memory.free(pa)
        self.instance = NO_TABLE
        return 0

    def boot(self) -> i64:
        """Make all tables at once, and keep them: it is for a BAR. EINVAL, ENOMEM."""
        size = self.limit - self.start
        if size > LARGEST_BOOT or self.booted:
            return -errno.EINVAL
        self.tables.hub_only = True
        result = self.references.take(self.references.smallest(), self.start, size)
        if result == 0:
            self.booted = True
        else:
            self.tables.hub_only = False
        return result

    def replay(self) -> i64:
        """Have faults replayed. EINVAL: the chip cannot."""
        if self.chip < GP100:
            return -errno.EINVAL
        self.tables.bus.invalidate(self.tables.root.pa[LARGE], REPLAY_GLOBAL, True)
        return 0


# -- what a client asks for -----------------------------------------------------------------


class Device:
    """A device with the memories of a client and, after ``create``, an address space.

    Methods are the operations of system ``nvidia``; those that are not "0 or errno" say what
    they return. Areas and memories are numbered as they are made.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace: Trace = trace
        self.memory: DriverMemory = DriverMemory(trace)
        self.bus: Bus = Bus(trace)
        self.layout: MemoryLayout = MemoryLayout()
        self.memories: list[Memory] = []
        self.space: Space | None = None
        self.areas: dict[int, Vma] = {}
        self.area_count: int = 0

    def begin(self, trace: Trace, fail_at: int, budget: int) -> None:
        """Before each operation: where its events go, what fails, how many accesses it has."""
        self.trace = self.memory.trace = trace
        self.bus.begin(trace, BUS_BUDGET)
        self.memory.fail_at = fail_at if fail_at < ANY_ALLOCATION else 0
        self.memory.fail_any = max(0, min(fail_at - ANY_ALLOCATION, 1 << 62))
        self.memory.budget = budget

    def is_there(self) -> Space:
        """The address space, which exists."""
        assert self.space is not None
        return self.space

    # -- memories -------------------------------------------------------------------------------

    def make_memory(self, target: int, size: int, page: int, piece: int) -> tuple[i64, int]:
        """Memory of ``size`` bytes, its number; ``piece``: pages in each piece, 0 for in whole."""
        if (
            target not in (VRAM, HOST, NCOH)
            or not 12 <= page <= LARGEST_SHIFT
            or size == 0
            or size % (1 << int(page))
            or (target != VRAM and page != 12)
            or piece > LARGEST_MEMORY >> page
        ):
            return -errno.EINVAL, 0
        pages = None
        if size <= LARGEST_MEMORY:
            pages = self.layout.take(target, size, page, piece)
        if pages is None:
            return -errno.ENOSPC, 0
        number = len(self.memories)
        self.memories.append(Memory(number, target, size, page, pages))
        return 0, number

    def memory_of(self, number: int) -> Memory | None:
        """A memory that its owner has not given up."""
        if number >= len(self.memories) or self.memories[number].dropped:
            return None
        return self.memories[number]

    def drop(self, number: int) -> i64:
        """The owner gives memory up; it lives as long as something is mapped to it. ENOENT."""
        memory = self.memory_of(number)
        if memory is None:
            return -errno.ENOENT
        memory.dropped = True
        memory.references -= 1
        if memory.references == 0:
            self.trace.emit(REFS, REFS_BUFFER, memory.number, 0)
        return 0

    # -- the address space ------------------------------------------------------------------------

    def create(
        self, chip: int, big: int, managed: int, start: int, size: int, raw: int, replay: int
    ) -> i64:
        """An address space. EINVAL, ENOMEM."""
        if chip > GP100 or big not in (16, 17) or (chip == GP100 and big != 16):
            return -errno.EINVAL
        if replay and chip != GP100:
            return -errno.EINVAL
        space = Space(self.memory, self.bus, chip, big, raw != 0)
        result = space.make(managed != 0 or raw != 0, start, size)
        if result != 0:
            return result
        space.replays = replay != 0
        self.space = space
        for vma in space.areas.vmas:
            if vma.used:
                self.number(vma)
        return 0

    def number(self, vma: Vma) -> None:
        """An area gets its number."""
        vma.number = self.area_count
        self.areas[self.area_count] = vma
        self.area_count += 1

    def destroy(self) -> None:
        """The end of the address space, with areas left."""
        space = self.is_there()
        if space.instance != NO_TABLE:
            space.part()
        space.destroy()
        self.space = None
        self.areas.clear()

    def join(self) -> tuple[i64, i64]:
        """The address of the instance block."""
        return self.is_there().join()

    def part(self) -> i64:
        """See ``Space``."""
        return self.is_there().part()

    def boot(self) -> i64:
        """See ``Space``."""
        return self.is_there().boot()

    def replay(self) -> i64:
        """See ``Space``."""
        return self.is_there().replay()

    def stick(self, polls: int) -> None:
        """So many times (-1: from then on) the device says that nothing is done."""
        self.bus.busy = polls

    # -- areas ------------------------------------------------------------------------------------

    def get(
        self, getref: int, mapref: int, sparse: int, shift: int, align: int, size: int
    ) -> tuple[i64, int]:
        """The address of the area."""
        if shift > 63 or align > 63:
            return -errno.EINVAL, 0
        if self.area_count >= AREAS:
            return -errno.E2BIG, 0
        has_ref = getref != 0
        result, vma = self.is_there().get(
            has_ref, mapref != 0 and not has_ref, sparse != 0, shift, align, size
        )
        if vma is None:
            return result, 0
        self.number(vma)
        return 0, vma.address

    def put(self, area: int) -> i64:
        """ENOENT; EINVAL: it is what the raw interface is for."""
        space = self.is_there()
        vma = self.areas.get(area)
        if vma is None:
            return -errno.ENOENT
        if space.raw_calls.keeps_out(vma.address, vma.size):
            return -errno.EINVAL
        del self.areas[area]
        space.put(vma)
        return 0

    def map(
        self, area: int, memory: int, offset: int, kind: int, ro: int, priv: int, vol: int
    ) -> i64:
        """A whole area."""
        return self.map_part(area, 0, 0, memory, offset, kind, ro, priv, vol)

    def map_part(
        self,
        area: int,
        first: int,
        size: int,
        memory: int,
        offset: int,
        kind: int,
        ro: int,
        priv: int,
        vol: int,
    ) -> i64:
        """A part of an area, from byte ``first`` on; ``size`` 0: as many as the area has."""
        space = self.is_there()
        vma = self.areas.get(area)
        if vma is None:
            return -errno.ENOENT
        address = (vma.address + first) & WORD
        if size == 0:
            size = sum([part.size for part in space.areas.parts(vma)])
        if space.raw_calls.keeps_out(address, size):
            return -errno.EINVAL
        found = self.memory_of(memory)
        if found is None:
            return -errno.ENOENT
        return space.map(address, size, found, offset, Kind(kind, ro, priv, vol))

    def unmap(self, area: int, first: int) -> i64:
        """The part of an area that begins at byte ``first``."""
        space = self.is_there()
        vma = self.areas.get(area)
        if vma is None:
            return -errno.ENOENT
        address = (vma.address + first) & WORD
        if space.raw_calls.keeps_out(address, 1):
            return -errno.EINVAL
        return space.unmap(address)

    # -- pages one by one -------------------------------------------------------------------------

    def pfn_map(self, shift: int, address: int, size: int, pattern: int) -> tuple[i64, int]:
        """How many pages were not mapped as asked for."""
        space = self.is_there()
        if shift > 63:
            return -errno.EINVAL, 0
        if size >> shift > PAGES_AT_ONCE:
            return -errno.E2BIG, 0
        if space.raw_calls.keeps_out(address, size):
            return -errno.EINVAL, 0
        if size == 0:
            return 0, 0
        return space.pfn_map(shift, address, size, pattern)

    def pfn_unmap(self, address: int, size: int) -> i64:
        """See ``Space``."""
        space = self.is_there()
        if space.raw_calls.keeps_out(address, size):
            return -errno.EINVAL
        if size == 0:
            return 0
        return space.pfn_unmap(address, size)

    # -- the raw interface ------------------------------------------------------------------------

    def raw_get(self, shift: int, address: int, size: int) -> i64:
        """See ``Space``."""
        return self.is_there().raw_calls.get(shift, address, size)

    def raw_put(self, shift: int, address: int, size: int) -> i64:
        """See ``Space``."""
        return self.is_there().raw_calls.put(shift, address, size)

    def raw_map(
        self,
        shift: int,
        address: int,
        size: int,
        memory: int,
        offset: int,
        kind: int,
        ro: int,
        priv: int,
        vol: int,
    ) -> i64:
        """EINVAL; ENOENT: no such memory."""
        space = self.is_there()
        if space.raw_calls.page(shift, address, size) == NO_PAGE:
            return -errno.EINVAL
        found = self.memory_of(memory)
        if found is None:
            return -errno.ENOENT
        return space.raw_calls.map(shift, address, size, found, offset, Kind(kind, ro, priv, vol))

    def raw_unmap(self, shift: int, address: int, size: int, sparse: int) -> i64:
        """See ``Space``."""
        return self.is_there().raw_calls.unmap(shift, address, size, sparse != 0)

    def raw_sparse(self, address: int, size: int, ref: int) -> i64:
        """``ref``: make a range sparse, or no longer."""
        space = self.is_there()
        if ref:
            return space.raw_calls.make_sparse(address, size)
        return space.raw_calls.end_sparse(address, size)
