"""Seeded bugs of what a call refuses, what it takes beforehand, and whether it comes back."""

from conformance.mutants.mutant import Mutant

_OF_BUFFER = "if pages > buffer.pages or skipped > buffer.pages - pages:"
_UNMAPPED = """
    if not self.allows(first, pages):
        return -errno.EINVAL
    self.clear(first, first + pages)
    return 0
    """

MUTANTS: tuple[Mutant, ...] = (
    # -- what is refused ----------------------------------------------------------------------
    Mutant(
        "map-of-nothing",
        "ER-1",
        "a map of no bytes is accepted, and splits what is there",
        (
            (
                """
                if not self.allows(first, pages):
                    return -errno.EINVAL
                self.clear(first, first + pages)
                self.step_map(first, first + pages, link, offset)
                """,
                """
                if not self.allows(first, max(1, pages)):
                    return -errno.EINVAL
                self.clear(first, first + pages)
                self.step_map(first, first + pages, link, offset)
                """,
            ),
        ),
        known="KB-14",
    ),
    Mutant(
        "unmap-of-nothing",
        "ER-1",
        "an unmap of no bytes is accepted, and splits what is there",
        ((_UNMAPPED, _UNMAPPED.replace("(first, pages)", "(first, max(1, pages))")),),
        known="KB-14",
    ),
    Mutant(
        "kernel-range-not-checked",
        "ER-1",
        "mappings in the range that is reserved for the kernel are accepted",
        (
            (
                "return not self.is_kernels(first, end)",
                "return True",
            ),
        ),
        known="KB-12",
    ),
    Mutant(
        "kernel-end-not-checked",
        "ER-1",
        "a range is held against the reserved one by its first page only",
        (
            (
                "return not self.is_kernels(first, end)",
                "return not self.is_kernels(first, first + 1)",
            ),
        ),
        known="KB-12",
    ),
    Mutant(
        "wrap-not-checked",
        "ER-1",
        "the end of a range is held against the window after it has wrapped",
        (("end = first + pages", "end = (first + pages) & PAGE_NUMBERS"),),
    ),
    Mutant(
        "window-end-inclusive",
        "ER-1",
        "the first page behind the window can be mapped",
        (
            (
                "if first < self.first or end > self.end:",
                "if first < self.first or end > self.end + 1:",
            ),
        ),
    ),
    Mutant(
        "last-page-of-window-refused",
        "ER-1",
        "the last page of the window cannot be mapped",
        (
            (
                "if first < self.first or end > self.end:",
                "if first < self.first or end >= self.end:",
            ),
        ),
        known="KB-19",
    ),
    Mutant(
        "window-start-not-checked",
        "ER-1",
        "what lies before the window can be mapped",
        (
            (
                "if first < self.first or end > self.end:",
                "if end > self.end:",
            ),
        ),
    ),
    Mutant(
        "beyond-the-buffer",
        "ER-1",
        "offset and size are held against the buffer's size each by itself",
        ((_OF_BUFFER, "if pages > buffer.pages or skipped >= buffer.pages:"),),
    ),
    Mutant(
        "offset-not-aligned",
        "ER-1",
        "an offset inside a page is accepted, and rounded down",
        (
            (
                "if (iova | size | offset) & PAGE_MASK:",
                "if (iova | size) & PAGE_MASK:",
            ),
        ),
        known="KB-11",
    ),
    Mutant(
        "closed-buffer-mapped",
        "ER-1",
        "a buffer whose handle was closed can be mapped while a link holds it",
        (
            (
                """
                buffer = self.open_buffer(number)
                if buffer is None:
                    return -errno.EINVAL
                pages = page_of(size)
                """,
                """
                buffer = self.buffers.get(number)
                if buffer is None:
                    return -errno.EINVAL
                pages = page_of(size)
                """,
            ),
        ),
    ),
    Mutant(
        "no-memory-is-invalid",
        "ER-1",
        "an unmap for which there is no memory says EINVAL",
        (
            (
                """
                if not self.take(VMAS_TO_UNMAP):
                    return -errno.ENOMEM
                """,
                """
                if not self.take(VMAS_TO_UNMAP):
                    return -errno.EINVAL
                """,
            ),
        ),
    ),
    # -- errors that leave something ----------------------------------------------------------
    Mutant(
        "cleared-before-memory",
        "ER-2",
        "the range of a map is cleared before the new VMA has been taken",
        (
            (
                "if not self.take(VMAS_TO_MAP):",
                """
                cleared = self.take(VMAS_TO_UNMAP)
                if cleared and self.allows(page_of(iova), pages):
                    self.clear(page_of(iova), page_of(iova) + pages)
                if not cleared or not self.take(1):
                """,
            ),
        ),
    ),
    Mutant(
        "unmapped-before-checked",
        "ER-2",
        "an unmap that runs into the kernel's range or out of the window has unmapped before it "
        "says so",
        (
            (
                _UNMAPPED,
                """
                if pages <= 0:
                    return -errno.EINVAL
                self.clear(first, first + pages)
                if not self.allows(first, pages):
                    return -errno.EINVAL
                return 0
                """,
            ),
        ),
    ),
    # -- calls that do not come back ----------------------------------------------------------
    Mutant(
        "one-vma-for-unmap",
        "PG-2",
        "an unmap takes one VMA, though a hole leaves two parts",
        (("if not self.take(VMAS_TO_UNMAP):", "if not self.take(1):"),),
        known="KB-02",
    ),
    Mutant(
        "two-vmas-for-map",
        "PG-2",
        "a map takes two VMAs, though it may leave two parts besides the new one",
        (("if not self.take(VMAS_TO_MAP):", "if not self.take(2):"),),
        known="KB-02",
    ),
    Mutant(
        "search-stands-still",
        "PG-1",
        "the search in a chunk keeps the middle VMA that it has ruled out",
        (("index = middle + 1", "index = middle"),),
    ),
    Mutant(
        "chunk-search-stands-still",
        "PG-1",
        "the search for a chunk keeps the middle chunk that it has ruled out",
        (("low = middle + 1", "low = middle"),),
    ),
)
