"""Seeded bugs of invalidations: registers, barriers, and what is due before and after."""

from conformance.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    # -- registers -----------------------------------------------------------------------------
    Mutant(
        "slot-not-awaited",
        "OR-30",
        "an invalidation is started without a look at whether there is room for it",
        (
            (
                """
                if not self.wait(STATUS_SLOTS):
                    return False
                """,
                "",
            ),
        ),
    ),
    Mutant(
        "root-in-small-units",
        "OR-30",
        "the root is named in units of 256 bytes, as pages are, and not in units of 4096",
        (
            (
                "select: i64 = (root >> 12 << 4) | VRAM_APERTURE",
                "select: i64 = (root >> 8 << 4) | VRAM_APERTURE",
            ),
        ),
        known="KB-53",
    ),
    Mutant(
        "hub-flushed-only",
        "OR-30",
        "invalidations of the first generation reach the hub's caches only",
        (
            (
                "kind: i64 = PAGE_ALL | (HUB_ONLY if self.hub_only else 0)",
                "kind: i64 = PAGE_ALL | (HUB_ONLY if self.hub_only or not self.chip else 0)",
            ),
        ),
    ),
    Mutant(
        "stuck-device-awaited",
        "PG-1",
        "a device is waited for as long as it takes",
        (
            (
                """
                return self.wait_for(STATUS, bits, True, POLLS)
                """,
                """
                return self.wait_for(STATUS, bits, True, POLLS) or self.wait(bits)
                """,
            ),
        ),
    ),
    # -- barriers ------------------------------------------------------------------------------
    Mutant(
        "unlinking-not-visible",
        "OR-4",
        "that an entry leads to a table no more is not made visible before it is invalidated",
        (
            (
                """
                self.write_directory(parent, child.index, child.index in parent.marked)
                self.memory.barrier()
                self.flush()
                """,
                """
                self.write_directory(parent, child.index, child.index in parent.marked)
                self.flush()
                """,
            ),
        ),
    ),
    Mutant(
        "end-of-pages-not-visible",
        "OR-4",
        "that pages are no longer valid is not made visible before they are invalidated",
        (
            (
                """
                if not words:
                    return
                self.memory.barrier()
                self.flush()
                """,
                """
                if not words:
                    return
                self.flush()
                """,
            ),
        ),
    ),
    # -- pages that the device is let at -------------------------------------------------------
    Mutant(
        "page-gone-before-flush",
        "OR-31",
        "pages are taken away from the device before the invalidation of their entries",
        (
            (
                """
                self.memory.barrier()
                self.flush()
                for word in words:
                    self.unmap_page(table.first.output(word), table.span)
                """,
                """
                self.memory.barrier()
                for word in words:
                    self.unmap_page(table.first.output(word), table.span)
                self.flush()
                """,
            ),
        ),
    ),
    Mutant(
        "memory-gone-before-put",
        "OR-31",
        "an area that is given back lets go of its memory first, and is unmapped then",
        (
            (
                """
                parts = self.areas.parts(vma)
                # 1. What is mapped or referenced, in runs.
                """,
                """
                parts = self.areas.parts(vma)
                for part in parts:
                    if part.memory is not None:
                        self.tables.release(part.memory)
                # 1. What is mapped or referenced, in runs.
                """,
            ),
            (
                """
                self.tables.release(part.memory)
                part.memory = None
                """,
                """
                part.memory = None
                """,
            ),
        ),
        known="KB-30",
    ),
    # -- when ----------------------------------------------------------------------------------
    Mutant(
        "map-not-flushed",
        "TL-1",
        "a map flushes nothing, as if no invalid entry were cached",
        (
            (
                """
                    self.clear_large(node, index, count, change)
                self.memory.barrier()
                self.pending = True
                """,
                """
                    self.clear_large(node, index, count, change)
                self.memory.barrier()
                self.pending = self.pending or change.write != PAGES
                """,
            ),
        ),
        known="KB-52",
    ),
    Mutant(
        "large-range-not-flushed",
        "TL-1",
        "the bytes to invalidate are rounded up to a power of two that is held in 29 bits",
        (
            (
                """
                if self.pending:
                    self.flush()
                return size
                """,
                """
                if self.pending and 1 << (size - 1).bit_length() & 0x1FFF_FFFF:
                    self.flush()
                return size
                """,
            ),
        ),
        known="KB-47",
    ),
)
