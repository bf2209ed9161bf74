"""Seeded bugs of calls: what they refuse, what a failed one leaves, what a fence says."""

from conformance.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    # -- what is refused ----------------------------------------------------------------------
    Mutant(
        "offset-not-whole-pages",
        "ER-1",
        "a part of a buffer that starts inside a page is mapped from the start of the page",
        (("if offset < 0 or offset & PAGE_MASK:", "if offset < 0:"),),
        known="KB-11",
    ),
    Mutant(
        "queued-bind-of-nothing",
        "ER-1",
        "a queued bind of no bytes is accepted",
        (
            (
                "if va < 0 or size <= 0 or size > limit or va > limit - size:",
                "if va < 0 or size < 0 or size > limit or va > limit - size:",
            ),
        ),
        known="KB-14",
    ),
    Mutant(
        "kernel-part-open",
        "IS-12",
        "a process can bind anywhere in a VM",
        (("limit = vm.user_end", "limit = 1 << self.device.va_bits"),),
        known="KB-12",
    ),
    Mutant(
        "kernel-part-reached-into",
        "IS-12",
        "a bind is held against the kernel's part by its first address only",
        (
            (
                "if va < 0 or size <= 0 or size > limit or va > limit - size:",
                "if va < 0 or size <= 0 or size > limit or va >= limit:",
            ),
        ),
        known="KB-12",
    ),
    Mutant(
        "last-kernel-page-lost",
        "ER-1",
        "the end of what the kernel has is taken for its last byte: nobody gets the last page",
        (
            (
                "self.kernel: VaAllocator = VaAllocator(user_end, geometry.limit - user_end)",
                "self.kernel: VaAllocator = VaAllocator(user_end, geometry.limit - user_end - 1)",
            ),
        ),
        known="KB-19",
    ),
    Mutant(
        "tables-counted-from-zero",
        "ER-1",
        "table pages for a map are reserved as if it began at address 0",
        (
            (
                """
                bind.vm.fail_at = self.device.fail_at
                result = bind.vm.prepare(bind, buffer)
                """,
                """
                bind.vm.fail_at = self.device.fail_at
                va = bind.va
                bind.va = 0 if bind.kind == MAP else va
                result = bind.vm.prepare(bind, buffer)
                bind.va = va
                """,
            ),
        ),
        known="KB-55",
    ),
    # -- what fails ---------------------------------------------------------------------------
    Mutant(
        "unmapped-by-failed-map",
        "ER-2",
        "a map for which there is no memory unmaps what was there",
        (
            (
                """
                result = bind.vm.prepare(bind, buffer)
                if result != 0:
                    return result
                result = bind.vm.carry_out(bind)
                """,
                """
                result = bind.vm.prepare(bind, buffer)
                if result != 0:
                    self.device.fail_at = 0
                    if bind.kind == MAP:
                        self.device.ranges.unmap_node(bind.vm, bind.va, bind.size)
                    return result
                result = bind.vm.carry_out(bind)
                """,
            ),
        ),
    ),
    Mutant(
        "queued-tables-counted-from-zero",
        "ER-10",
        "table pages for a queued map are reserved as if it began at address 0",
        (
            (
                """
                if result == 0 and kind != SYNC_ONLY:
                    result = vm.prepare(bind, buffer)
                """,
                """
                if result == 0 and kind != SYNC_ONLY:
                    bind.va = 0 if kind == MAP else va
                    result = vm.prepare(bind, buffer)
                    bind.va = va
                """,
            ),
        ),
        known="KB-55",
    ),
    Mutant(
        "wait-carried-out",
        "ER-10",
        "a queued bind that only waits is carried out as an unmap of nothing, which fails",
        (("elif bind.kind != SYNC_ONLY:", "elif bind.kind <= SYNC_ONLY:"),),
    ),
    Mutant(
        "stuck-map-without-vma",
        "ER-12",
        "a map during which the device got stuck leaves entries, and no VMA",
        (
            (
                """
                self.end_change()
                return result == 0
                """,
                """
                self.end_change()
                return result == 0 and self.result == 0
                """,
            ),
        ),
    ),
)
