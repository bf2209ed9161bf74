"""Seeded bugs of VMs, their references and queues, and of calls that do not come back whole."""

from conformance.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    # -- the end of a VM ----------------------------------------------------------------------
    Mutant(
        "queued-map-after-destroy",
        "RC-10",
        "a queued map is carried out in a VM that was destroyed",
        (("if vm.destroyed:", "if vm.destroyed and bind.kind != MAP:"),),
        known="KB-17",
    ),
    Mutant(
        "destroyed-not-unmapped",
        "RC-10",
        "what is mapped in a VM keeps it when it is destroyed",
        (
            (
                """
                vm.unmap_everything()
                self.leave(vm)
                """,
                """
                self.leave(vm)
                """,
            ),
        ),
    ),
    # -- references ---------------------------------------------------------------------------
    Mutant(
        "reserved-vmas-leaked",
        "RC-4",
        "VMAs that were taken for a bind are not freed if there are no table pages for it",
        (
            (
                """
                if not self.pool.reserve(tables):
                    self.give_back()
                    self.put_bind_link(bind)
                """,
                """
                if not self.pool.reserve(tables):
                    self.spare = []
                    self.put_bind_link(bind)
                """,
            ),
        ),
        known="KB-13",
    ),
    Mutant(
        "vm-not-held-by-link",
        "RC-4",
        "the link of a buffer does not hold its VM",
        (
            (
                """
                self.links[buffer.number] = link
                buffer.count += 1
                self.count += 1
                """,
                """
                self.links[buffer.number] = link
                buffer.count += 1
                """,
            ),
            (
                """
                self.put_buffer(link.buffer)
                self.count -= 1
                """,
                """
                self.put_buffer(link.buffer)
                """,
            ),
        ),
        known="KB-48",
        module="reference.systems.gpuvm.driver",
    ),
    Mutant(
        "pinned-by-every-bind",
        "RC-4",
        "every bind pins the pages of its buffer, and the end of the link unpins them once",
        (("if is_new and link is not None:", "if link is not None:"),),
    ),
    Mutant(
        "bind-keeps-link",
        "RC-4",
        "a bind that is done keeps its reference to the link of its buffer",
        (
            (
                """
                bind.vmas = []
                self.put_bind_link(bind)
                """,
                """
                bind.vmas = []
                """,
            ),
        ),
    ),
    # -- queues -------------------------------------------------------------------------------
    Mutant(
        "queue-out-of-order",
        "OR-14",
        "of a VM's queue the first bind is carried out that waits for nothing",
        (
            (
                """
                if is_ready(vm.queue[0]):
                    self.binds.run_bind(vm.queue[0])
                    return True
                """,
                """
                for bind in vm.queue:
                    if is_ready(bind):
                        self.binds.run_bind(bind)
                        return True
                """,
            ),
            ("vm.queue.pop(0)", "vm.queue.remove(bind)"),
        ),
    ),
    Mutant(
        "queues-wait-for-the-first",
        "PG-10",
        "while the VM that queued first waits for a fence, no other VM's binds are done",
        (
            (
                """
                for vm in self.binds.waiting:
                    if is_ready(vm.queue[0]):
                """,
                """
                for vm in self.binds.waiting[:1]:
                    if is_ready(vm.queue[0]):
                """,
            ),
        ),
    ),
    Mutant(
        "waits-for-binds-for-ever",
        "PG-10",
        "a bind that waits for another bind's fence is never carried out",
        (
            (
                "return bind.wait_for is None or bind.wait_for.signalled",
                """
                fence = bind.wait_for
                return fence is None or (fence.made and fence.signalled)
                """,
            ),
        ),
    ),
    # -- calls that do not come back ----------------------------------------------------------
    Mutant(
        "one-vma-to-unmap",
        "PG-2",
        "an unmap reserves one VMA, although a hole leaves two parts",
        (("vmas: i64 = VMAS_TO_UNMAP", "vmas: i64 = VMAS_TO_UNMAP - 1"),),
        known="KB-02",
    ),
    Mutant(
        "vma-search-never-ends",
        "PG-1",
        "the search for a chunk of VMAs keeps the middle one that it has ruled out",
        (("low = middle + 1", "low = middle"),),
        module="reference.systems.gpuvm.driver",
    ),
    Mutant(
        "split-warned-of",
        "PG-3",
        "an unmap of a part of a large page is warned of as one that came too short",
        (("if done != end - va:", "if done != stop - start:"),),
    ),
)
