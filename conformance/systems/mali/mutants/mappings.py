"""Seeded bugs of what is mapped: VMAs, nodes, pages and permissions."""

from conformance.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    # -- splitting ----------------------------------------------------------------------------
    Mutant(
        "one-page-more-unmapped",
        "NB-1",
        "an unmap takes the page behind its range, too",
        (
            (
                """
                bind.vm.fail_at = self.device.fail_at
                result = bind.vm.prepare(bind, buffer)
                """,
                """
                bind.vm.fail_at = self.device.fail_at
                if bind.kind == UNMAP and bind.va + bind.size < bind.vm.user_end:
                    bind.size += PAGE
                result = bind.vm.prepare(bind, buffer)
                """,
            ),
        ),
        known="KB-35",
    ),
    Mutant(
        "split-forgets-flags",
        "NB-1",
        "what is left of a large page gets the permissions that a map without flags gives",
        (
            (
                "self.memory.store(child, part, self.format.part(level, block, part * step))",
                """
                pa = self.format.output(level, block) + part * step
                self.memory.store(child, part, self.format.leaf(level + 1, pa, 11))
                """,
            ),
        ),
        module="reference.systems.pagetable.driver",
    ),
    Mutant(
        "rest-in-two",
        "SP-1",
        "what is behind a hole gets a VMA for its first page, and one for what follows",
        (
            (
                """
                after.set(end, vma.end, vma.offset + (end - vma.first))
                self.insert(after, link)
                """,
                """
                after.set(end, vma.end, vma.offset + (end - vma.first))
                if vma.end > end + 1:
                    after.set(end, end + 1, vma.offset + (end - vma.first))
                    rest = Vma()
                    rest.set(end + 1, vma.end, vma.offset + (end + 1 - vma.first))
                    self.count += 1
                    self.insert(rest, link)
                self.insert(after, link)
                """,
            ),
        ),
        module="reference.systems.gpuvm.driver",
    ),
    Mutant(
        "rest-with-old-offset",
        "SP-2",
        "what is behind a hole says that it is the start of the buffer's part",
        (
            (
                "after.set(end, vma.end, vma.offset + (end - vma.first))",
                "after.set(end, vma.end, vma.offset)",
            ),
        ),
        known="KB-45",
        module="reference.systems.gpuvm.driver",
    ),
    Mutant(
        "parts-before-removal",
        "SP-10",
        "the parts of a mapping are added while the whole of it is still there",
        (
            (
                """
                # 2. The parts take the old one's place, and its offsets go on in them.
                self.remove(vma)
                """,
                """
                # 2. The parts take the old one's place, and its offsets go on in them.
                """,
            ),
            (
                """
                # 3. Only then does the old one let go of the link: it may be the last to hold it.
                self.unlink(vma)
                """,
                """
                # 3. Only then does the old one let go of the link: it may be the last to hold it.
                self.remove(vma)
                self.unlink(vma)
                """,
            ),
        ),
        module="reference.systems.gpuvm.driver",
    ),
    # -- nodes --------------------------------------------------------------------------------
    Mutant(
        "large-node-not-aligned",
        "SP-11",
        "a node of 2 MiB or more may start at any page",
        (
            (
                "align = LARGE_PAGE if size >= LARGE_PAGE else PAGE",
                "align = PAGE",
            ),
        ),
    ),
    Mutant(
        "page-of-node-free",
        "SP-11",
        "the last page of a node is handed out again",
        (
            (
                "self.add_hole(end, hole.end)",
                "self.add_hole(end - 0x1000, hole.end)",
            ),
        ),
        module="reference.systems.va_alloc.driver",
    ),
    # -- pages --------------------------------------------------------------------------------
    Mutant(
        "offset-in-every-piece",
        "TR-1",
        "every piece of a buffer is entered at the offset of the first one",
        (
            (
                """
                piece += 1
                skipped = 0
                """,
                """
                piece += 1
                """,
            ),
        ),
        known="KB-33",
    ),
    Mutant(
        "pieces-side-by-side",
        "TR-1",
        "the pieces of a buffer are taken to follow each other in memory",
        (
            (
                "pa: i64 = pages.pa + piece * pages.apart + skipped",
                "pa: i64 = pages.pa + piece * pages.piece + skipped",
            ),
        ),
    ),
    Mutant(
        "noexec-ignored",
        "TR-2",
        "pages that are not to be executed can be",
        (("if flags & BIND_NOEXEC:", "if flags & ~BIND_FLAGS:"),),
    ),
    Mutant(
        "readonly-writable",
        "TR-2",
        "pages that are not to be written, and are cached, can be",
        (
            (
                "if not flags & BIND_READONLY:",
                "if not flags & BIND_READONLY or not flags & BIND_UNCACHED:",
            ),
        ),
    ),
    Mutant(
        "node-executable",
        "TR-2",
        "what the kernel maps for itself can be executed",
        (
            (
                "bind = Bind(vm, MAP, va, size, offset, BIND_NOEXEC)",
                "bind = Bind(vm, MAP, va, size, offset, 0)",
            ),
        ),
    ),
)
