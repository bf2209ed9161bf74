"""Seeded bugs of mappings: where they lie, what they lead to, and how they end."""

from conformance.mutants.mutant import Mutant

LAST = (
    "# 4. No translation.\n"
    'yield from self.barrier("take down 3")\n'
    "yield from self.invalidate_range(context, va, size)"
)
BARRIER = '# 4. No translation.\nyield from self.barrier("take down 3")\n'
UNDO = "yield from self.take_down(Mapping(vm, va, done, prot, pieces))\nvm.room.free_at(va)"
PAGETABLE = "reference.systems.pagetable.driver"

MUTANTS: tuple[Mutant, ...] = (
    # -- where ----------------------------------------------------------------------------------
    Mutant(
        "map-no-guard",
        "SP-61",
        "the guard page is not kept free",
        (
            (
                "result, va = vm.room.alloc(size + PAGE, 0, BEST, vm.first, vm.last)\n"
                "if result:\n    return result\n"
                "return (yield from self.fill(vm, va, size, pieces, FW_SHARED_RW))",
                "result, va = vm.room.alloc(max(size, PAGE), 0, BEST, vm.first, vm.last)\n"
                "if result:\n    return result\n"
                "return (yield from self.fill(vm, va, size, pieces, FW_SHARED_RW))",
            ),
        ),
    ),
    Mutant(
        "map-guard-mapped",
        "SP-60",
        "the guard page leads to the page behind the last one",
        (
            (
                "return (yield from self.fill(vm, va, size, pieces, FW_SHARED_RW))",
                "more = [(pieces[-1][0] + pieces[-1][1], PAGE)] if pieces else []\n"
                "return (yield from self.fill(vm, va, size, [*pieces, *more], FW_SHARED_RW))",
            ),
        ),
    ),
    Mutant(
        "range-short",
        "ER-61",
        "the last byte of a range is not used",
        (
            (
                "result, va = vm.room.alloc(room, align, BEST, first, end - 1)",
                "result, va = vm.room.alloc(room, align, BEST, first, end - 2)",
            ),
        ),
    ),
    Mutant(
        "range-no-multiple",
        "SP-62",
        "it does not matter at which multiple a mapping is to lie",
        (
            (
                "result, va = vm.room.alloc(room, align, BEST, first, end - 1)",
                "result, va = vm.room.alloc(room, 0, BEST, first, end - 1)",
            ),
        ),
    ),
    Mutant(
        "range-no-start",
        "SP-62",
        "a range begins where the window does",
        (
            (
                "result, va = vm.room.alloc(room, align, BEST, first, end - 1)",
                "result, va = vm.room.alloc(room, align, BEST, vm.first, end - 1)",
            ),
        ),
    ),
    # -- what -----------------------------------------------------------------------------------
    Mutant(
        "map-piece-restarts",
        "TR-1",
        "a piece that reaches into the next table begins anew there",
        (
            (
                "at, pa + length - left, PAGE, left // PAGE, prot",
                "at, pa, PAGE, left // PAGE, prot",
            ),
        ),
        known="KB-40",
    ),
    Mutant(
        "map-one-piece",
        "TR-1",
        "all pieces lead to the first",
        (
            (
                "at, pa + length - left, PAGE, left // PAGE, prot",
                "at, (pa if pa + length > 1 << self.oas else pieces[0][0]) + length - left, PAGE, "
                "left // PAGE, prot",
            ),
        ),
        known="KB-33",
    ),
    Mutant(
        "io-always-writable",
        "TR-2",
        "registers that are to be read only can be written",
        (("prot = FW_MMIO_RW if writable else FW_MMIO_RO", "prot = FW_MMIO_RW"),),
    ),
    Mutant(
        "map-cached",
        "TR-2",
        "what is shared with the firmware is cached by it",
        (
            (
                "return (yield from self.fill(vm, va, size, pieces, FW_SHARED_RW))",
                "return (yield from self.fill(vm, va, size, pieces, FW_SHARED_RW & ~CACHE))",
            ),
        ),
    ),
    Mutant(
        "map-beyond-memory",
        "ER-1",
        "the highest physical address is not looked at",
        (
            (
                "table = PageTable(geometry, self.oas, PAGE, True, False, self.trace, self.memory)",
                "table = PageTable(geometry, 44, PAGE, True, False, self.trace, self.memory)",
            ),
        ),
    ),
    # -- maps that fail ---------------------------------------------------------------------------
    Mutant(
        "map-not-undone",
        "ER-2",
        "a map that fails leaves the entries that it has stored",
        ((UNDO, "vm.room.free_at(va)"),),
        known="KB-08",
    ),
    Mutant(
        "map-undo-cached",
        "TL-1",
        "a map that fails takes its entries back and invalidates nothing",
        (
            (
                UNDO,
                "self.unmap(Mapping(vm, va, done, prot, pieces))\n"
                'yield from self.barrier("undo")\n'
                "vm.room.free_at(va)",
            ),
        ),
    ),
    Mutant(
        "map-undo-keeps-addresses",
        "ER-61",
        "the addresses of a map for which there is no memory stay taken",
        (
            (
                UNDO,
                "yield from self.take_down(Mapping(vm, va, done, prot, pieces))\n"
                "if result != -errno.ENOMEM:\n    vm.room.free_at(va)",
            ),
        ),
    ),
    # -- the end of a mapping -----------------------------------------------------------------
    Mutant(
        "drop-no-break",
        "OR-2",
        "nothing is invalidated between the cached entry and the one that is not",
        (
            (
                'yield from self.barrier("take down 1")\n'
                "yield from self.invalidate_range(context, va, size)",
                'yield from self.barrier("take down 1")',
            ),
        ),
        known="KB-09",
    ),
    Mutant(
        "drop-break-unseen",
        "OR-4",
        "the first invalidation begins before the cleared entries are visible",
        (('yield from self.barrier("take down 1")', ""),),
    ),
    Mutant(
        "drop-break-short",
        "OR-2",
        "the first invalidation leaves out the last page",
        (
            (
                'yield from self.barrier("take down 1")\n'
                "yield from self.invalidate_range(context, va, size)",
                'yield from self.barrier("take down 1")\n'
                "yield from self.invalidate_range(context, va, size - PAGE)",
            ),
        ),
    ),
    Mutant(
        "drop-in-place",
        "PG-2",
        "the entry that is not cached is stored over the cached one",
        (
            (
                "# 1. Break before make: not cached by the firmware from now on.\n"
                "self.unmap(mapping)",
                "# 1. Break before make: not cached by the firmware from now on.",
            ),
        ),
    ),
    Mutant(
        "drop-not-cleaned",
        "TL-60",
        "the firmware is not asked to clean anything",
        (("if entry >= 0:", "if entry >= 1 << 10:"),),
    ),
    Mutant(
        "drop-in-spite",
        "ER-1",
        "what the firmware did not clean is an error of another name",
        (
            (
                "return result or (-errno.ETIMEDOUT if ended else 0)",
                "return -errno.EIO if result or ended else 0",
            ),
        ),
    ),
    Mutant(
        "drop-no-barrier",
        "OR-4",
        "the last invalidation begins before the cleared entries are visible",
        (
            (
                LAST,
                LAST.replace(
                    'yield from self.barrier("take down 3")',
                    'if context < 0:\n    yield from self.barrier("take down 3")',
                ),
            ),
        ),
    ),
    Mutant(
        "drop-no-invalidation",
        "TL-1",
        "the entries are cleared, and nothing is invalidated",
        ((LAST, BARRIER),),
        known="KB-30",
    ),
    Mutant(
        "drop-not-completed",
        "TL-1",
        "the invalidation is not waited for",
        (
            (
                LAST,
                BARRIER + "for command, operand in range_operands(max(context, 0), va, size):\n"
                "    self.soc.tlbi(command, operand)",
            ),
        ),
    ),
    Mutant(
        "drop-invalidates-early",
        "TL-1",
        "the range is invalidated before its entries are cleared",
        (
            (
                f"# 3. No entry.\nself.unmap(mapping)\n{LAST}",
                f"# 3. No entry.\n{LAST}\nself.unmap(mapping)\n"
                'yield from self.barrier("take down 4")',
            ),
        ),
    ),
    Mutant(
        "drop-other-asid",
        "TL-1",
        "the number of the slot is invalidated in place of that of its context",
        ((LAST, BARRIER + "yield from self.invalidate_range(vm.hint, va, size)"),),
        known="KB-51",
    ),
    Mutant(
        "drop-shift",
        "TL-1",
        "the operand for one page is shifted by the size of a page",
        (
            (
                LAST,
                BARRIER + "if context >= 0 and size == PAGE:\n"
                "    self.soc.tlbi(TLBI_PAGE, context << 48 | va >> 14 & 0xFFF_FFFF_FFFC)\n"
                "    yield from self.sync()\n"
                "else:\n"
                "    yield from self.invalidate_range(context, va, size)",
            ),
        ),
        known="KB-68",
    ),
    Mutant(
        "drop-short",
        "TL-1",
        "the last page is not invalidated",
        ((LAST, BARRIER + "yield from self.invalidate_range(context, va, size - PAGE)"),),
    ),
    Mutant(
        "drop-quarter",
        "TL-1",
        "the number of pages is taken for one of 4 KiB pages",
        ((LAST, BARRIER + "yield from self.invalidate_range(context, va, (size + 3) // 4)"),),
        known="KB-53",
    ),
    Mutant(
        "drop-leaf-left",
        "TR-1",
        "the last page of a mapping stays mapped",
        (
            (
                "# 3. No entry.\nself.unmap(mapping)",
                "# 3. No entry.\n"
                "left = PAGE if size and mapping in self.mappings else 0\n"
                "self.unmap(Mapping(vm, va, size - left, mapping.prot, mapping.pieces))",
            ),
        ),
    ),
    Mutant(
        "drop-one-more",
        "NB-1",
        "the page behind a mapping goes, too",
        (
            (
                "# 3. No entry.\nself.unmap(mapping)",
                "# 3. No entry.\n"
                "self.unmap(mapping)\n"
                "vm.table.unmap_pages(va + size - vm.base, PAGE, 1, True)",
            ),
        ),
    ),
    Mutant(
        "drop-twice",
        "PG-1",
        "a hole is unmapped until something was unmapped",
        (
            (
                "# 3. No entry.\nself.unmap(mapping)",
                "# 3. No entry.\nself.unmap(mapping)\nself.unmap(mapping)",
            ),
        ),
    ),
    # -- tables ---------------------------------------------------------------------------------
    Mutant(
        "uat-new-table-not-zeroed",
        "OR-1",
        "a table is linked with what lay in its memory before",
        (("self.memory.zero(table)\nself.clean(table, 0, self.table_entries)", ""),),
        module=PAGETABLE,
    ),
    Mutant(
        "uat-table-not-ordered",
        "OR-1",
        "a table may be linked before what is in it is visible",
        (
            (
                "self.trace.emit(BARRIER, BARRIER_ORDER)\n"
                "self.memory.store(table, index, self.format.table(level, child))",
                "self.memory.store(table, index, self.format.table(level, child))",
            ),
        ),
        module=PAGETABLE,
    ),
    Mutant(
        "uat-map-not-visible",
        "OR-4",
        "a map returns before what it has stored is visible",
        (
            (
                "# 5. The device sees the new leaves before the call returns.\nself.barrier()",
                "# 5. The device sees the new leaves before the call returns.",
            ),
        ),
        module=PAGETABLE,
    ),
)
