"""Seeded bugs of references, and of the evicted state that a link keeps."""

from conformance.mutants.mutant import Mutant

_END_OF_MAP = """
    self.give_back()
    self.put_link(link)
    return result
    """
_MADE = """
    self.links[buffer.number] = link
    buffer.count += 1
    self.count += 1
    """
_DROPPED = """
    self.put_buffer(link.buffer)
    self.count -= 1
    """

MUTANTS: tuple[Mutant, ...] = (
    # -- links --------------------------------------------------------------------------------
    Mutant(
        "link-leaked-by-map",
        "RC-4",
        "a call that has mapped keeps its own reference to the link",
        (
            (
                _END_OF_MAP,
                """
                self.give_back()
                if result != 0:
                    self.put_link(link)
                return result
                """,
            ),
        ),
    ),
    Mutant(
        "link-leaked-without-memory",
        "RC-4",
        "a map for which there are too few VMAs keeps its reference to the link",
        (
            (
                """
                if not self.take(VMAS_TO_MAP):
                    self.put_link(link)
                    return -errno.ENOMEM
                """,
                """
                if not self.take(VMAS_TO_MAP):
                    return -errno.ENOMEM
                """,
            ),
        ),
    ),
    Mutant(
        "link-put-twice",
        "RC-4",
        "a VMA that is split drops two references to its link",
        (
            (
                """
                # 3. Only then does the old one let go of the link: it may be the last to hold it.
                self.unlink(vma)
                """,
                """
                # 3. Only then does the old one let go of the link: it may be the last to hold it.
                self.unlink(vma)
                self.put_link(link)
                """,
            ),
        ),
    ),
    Mutant(
        "part-not-linked",
        "RC-4",
        "the part after a hole takes no reference to the link",
        (
            (
                "self.insert(after, link)",
                """
                self.insert(after, link)
                link.count -= 1
                """,
            ),
        ),
    ),
    Mutant(
        "unlinked-before-parts",
        "RC-4",
        "a VMA that is split lets go of the link, perhaps as the last, before its parts hold it",
        (
            (
                """
                if vma.first < first:
                    before = self.spare.pop()
                """,
                """
                self.unlink(vma)
                if vma.first < first:
                    before = self.spare.pop()
                """,
            ),
            (
                """
                    self.insert(after, link)
                # 3. Only then does the old one let go of the link: it may be the last to hold it.
                self.unlink(vma)
                """,
                """
                    self.insert(after, link)
                # 3. Only then does the old one let go of the link: it may be the last to hold it.
                """,
            ),
        ),
    ),
    # -- the VM -------------------------------------------------------------------------------
    Mutant(
        "link-without-vm",
        "RC-4",
        "a link does not hold the VM",
        (
            (_MADE, _MADE.replace("self.count += 1", "self.count += 0")),
            (_DROPPED, _DROPPED.replace("self.count -= 1", "self.count -= 0")),
        ),
        known="KB-48",
    ),
    Mutant(
        "vma-leaked-by-failed-map",
        "RC-4",
        "the VMAs that were taken for a map that is refused are never freed",
        (
            (
                _END_OF_MAP,
                """
                if result != 0:
                    self.spare.clear()
                self.give_back()
                self.put_link(link)
                return result
                """,
            ),
        ),
        known="KB-13",
    ),
    Mutant(
        "split-vma-leaked",
        "RC-4",
        "a VMA of which parts are left is never freed",
        (
            (
                """
                # 3. Only then does the old one let go of the link: it may be the last to hold it.
                self.unlink(vma)
                self.free(vma)
                """,
                """
                # 3. Only then does the old one let go of the link: it may be the last to hold it.
                self.unlink(vma)
                """,
            ),
        ),
    ),
    # -- buffers ------------------------------------------------------------------------------
    Mutant(
        "buffer-freed-by-close",
        "RC-4",
        "closing the handle frees the buffer, though a link holds it",
        (
            (
                """
                buffer.open = False
                self.put_buffer(buffer)
                """,
                """
                buffer.open = False
                del self.buffers[number]
                """,
            ),
        ),
    ),
    Mutant(
        "link-without-buffer",
        "RC-4",
        "a link does not hold its buffer",
        (
            (_MADE, _MADE.replace("buffer.count += 1", "buffer.count += 0")),
            (_DROPPED, _DROPPED.replace("self.put_buffer(link.buffer)", "pass")),
        ),
    ),
    # -- the end ------------------------------------------------------------------------------
    Mutant(
        "owner-not-dropped",
        "RC-20",
        "destroying does not drop the owner's reference where something was left to unmap",
        (
            (
                """
                    self.step_unmap(vma)
                self.count -= 1
                """,
                """
                    self.step_unmap(vma)
                    self.count += 1
                self.count -= 1
                """,
            ),
        ),
    ),
    Mutant(
        "destroyed-without-unlink",
        "RC-20",
        "what is left in the window at the end is unmapped, and stays linked",
        (
            (
                """
                    self.step_unmap(vma)
                self.count -= 1
                """,
                """
                    self.unmap_pages(vma.first, vma.end)
                    self.remove(vma)
                    self.free(vma)
                self.count -= 1
                """,
            ),
        ),
    ),
    # -- the evicted state --------------------------------------------------------------------
    Mutant(
        "external-not-evicted",
        "IS-20",
        "only buffers that share the VM's reservation are noted as evicted",
        (
            (
                "if link is None or link.evicted == state:",
                "if link is None or link.evicted == state or not link.buffer.private:",
            ),
        ),
    ),
    Mutant(
        "evicted-twice",
        "IS-20",
        "a buffer that is evicted again is noted again",
        (
            (
                "if link is None or link.evicted == state:",
                "if link is None or (not state and not link.evicted):",
            ),
        ),
    ),
    Mutant(
        "still-evicted",
        "IS-20",
        "a buffer that was made valid stays on the list of evicted ones",
        (("self.evicted.clear()", ""),),
    ),
    Mutant(
        "validate-stops-early",
        "IS-20",
        "of several evicted buffers only the first is made valid",
        (
            (
                """
                    self.trace.emit(VALIDATED, link.buffer.number)
                    link.evicted = False
                """,
                """
                    if link is self.evicted[0]:
                        self.trace.emit(VALIDATED, link.buffer.number)
                    link.evicted = False
                """,
            ),
        ),
    ),
    Mutant(
        "dead-link-still-evicted",
        "IS-20",
        "a link that is destroyed stays on the list of evicted ones",
        (
            (
                """
                if link.evicted:
                    self.evicted.remove(link)
                """,
                "",
            ),
        ),
    ),
    Mutant(
        "map-forgets-eviction",
        "IS-20",
        "another mapping of an evicted buffer makes it pass for valid",
        (
            (
                """
                if link is not None:
                    link.count += 1
                    return link
                """,
                """
                if link is not None:
                    link.count += 1
                    if link.evicted:
                        link.evicted = False
                        self.evicted.remove(link)
                    return link
                """,
            ),
        ),
    ),
)
