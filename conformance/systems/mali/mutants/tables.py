"""Seeded bugs of table pages: when they are linked, flushed, freed and stored to."""

from conformance.mutants.mutant import Mutant

_END_OF_CHANGE = """
    self.tables.barrier()
    if self.is_walked():
        self.note(self.hardware.carry_out(self.slot, FLUSH_PT))
    self.pool.settle(self.number, self.is_flushed())
    """

MUTANTS: tuple[Mutant, ...] = (
    # -- what can be reached ------------------------------------------------------------------
    Mutant(
        "linked-before-visible",
        "OR-1",
        "a table is linked, and that it is empty may become visible later",
        (
            (
                """
                self.trace.emit(BARRIER, BARRIER_ORDER)
                self.memory.store(table, index, self.format.table(level, child))
                """,
                """
                self.memory.store(table, index, self.format.table(level, child))
                """,
            ),
        ),
        module="reference.systems.pagetable.driver",
    ),
    Mutant(
        "root-not-visible",
        "OR-1",
        "a VM's root is given to an AS, and that it is empty may become visible later",
        (
            (
                """
                self.barrier()
                self.roots.append(root)
                return True
                """,
                """
                self.roots.append(root)
                return True
                """,
            ),
        ),
    ),
    # -- locked regions and flushes -----------------------------------------------------------
    Mutant(
        "hole-locked-alone",
        "OR-2",
        "when a part of a large page goes, only that part is locked",
        (("self.begin_change(start, stop - start)", "self.begin_change(va, end - va)"),),
        known="KB-16",
    ),
    Mutant(
        "barrier-after-flush",
        "OR-4",
        "stores are made visible after the flush that is meant for them",
        (
            (
                _END_OF_CHANGE,
                """
                if self.is_walked():
                    self.note(self.hardware.carry_out(self.slot, FLUSH_PT))
                self.tables.barrier()
                self.pool.settle(self.number, self.is_flushed())
                """,
            ),
        ),
    ),
    Mutant(
        "unlocked-without-flush",
        "TL-1",
        "where no table came off, a region is unlocked and not flushed",
        (
            (
                _END_OF_CHANGE,
                """
                self.tables.barrier()
                if self.is_walked():
                    command = FLUSH_PT if self.pool.removed else 3
                    self.note(self.hardware.carry_out(self.slot, command))
                self.pool.settle(self.number, self.is_flushed())
                """,
            ),
        ),
    ),
    Mutant(
        "flush-lost-in-reset",
        "TL-1",
        "once a reset has begun nothing is flushed until work was deferred: the reset will do it",
        (
            (
                _END_OF_CHANGE,
                """
                self.tables.barrier()
                if self.is_walked():
                    left_to_reset = getattr(self.hardware, "left_to_reset", False)
                    command = 3 if left_to_reset and not self.pool.removed else FLUSH_PT
                    self.note(self.hardware.carry_out(self.slot, command))
                self.pool.settle(self.number, self.is_flushed())
                """,
            ),
            (
                "self.hardware.in_reset = True",
                """
                self.hardware.in_reset = True
                self.hardware.left_to_reset = True
                """,
            ),
            (
                """
                vm = bind.vm
                self.device.enter(vm)
                # 1. It is the first of its queue; other VMs come before its next one.
                """,
                """
                vm = bind.vm
                self.device.hardware.left_to_reset = False
                self.device.enter(vm)
                # 1. It is the first of its queue; other VMs come before its next one.
                """,
            ),
        ),
        known="KB-31",
    ),
    # -- what is freed ------------------------------------------------------------------------
    Mutant(
        "table-freed-at-once",
        "TL-2",
        "a table that comes off is freed before the flush",
        (
            (
                """
                self.removed.append(pa)
                """,
                """
                super().free(pa)
                """,
            ),
        ),
        known="KB-03",
    ),
    Mutant(
        "tables-freed-before-disable",
        "TL-2",
        "the tables of a VM are freed, and only then the AS that walks them is disabled",
        (
            (
                """
                # 1. Its AS.
                if vm.slot != NO_SLOT:
                """,
                """
                # 1. Its AS.
                vm.tables.remove_all()
                self.pool.settle(vm.number, vm.is_flushed())
                if vm.slot != NO_SLOT:
                """,
            ),
            (
                """
                # 2. Its tables.
                vm.tables.remove_all()
                self.pool.settle(vm.number, vm.is_flushed())
                """,
                """
                # 2. Its tables.
                """,
            ),
        ),
        known="KB-54",
    ),
    Mutant(
        "root-freed-again",
        "RC-2",
        "the root of a VM is freed with the other tables, and once more by itself",
        (
            (
                """
                for root in self.roots:
                    self.free_tables(root, self.top)
                self.roots.clear()
                """,
                """
                for root in self.roots:
                    self.free_tables(root, self.top)
                    self.memory.free(root)
                self.roots.clear()
                """,
            ),
        ),
    ),
    Mutant(
        "cleared-after-free",
        "RC-3",
        "a table that was freed is cleared afterwards",
        (
            (
                """
                while self.removed:
                    super().free(self.removed.pop(0))
                """,
                """
                while self.removed:
                    page = self.removed.pop(0)
                    super().free(page)
                    self.store(page, 0, 0)
                """,
            ),
        ),
    ),
    Mutant(
        "tables-below-root-lost",
        "RC-1",
        "of a VM that goes, only the root is freed",
        (
            (
                """
                for root in self.roots:
                    self.free_tables(root, self.top)
                self.roots.clear()
                """,
                """
                for root in self.roots:
                    self.memory.free(root)
                self.roots.clear()
                """,
            ),
        ),
    ),
    Mutant(
        "reserved-pages-lost",
        "RC-1",
        "table pages that were reserved for a bind and not needed are not given back",
        (
            (
                """
                self.pool.spare = bind.pages
                self.pool.free_spare(0)
                bind.pages = []
                """,
                """
                bind.pages = []
                """,
            ),
        ),
    ),
)
