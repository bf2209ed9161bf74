"""Seeded bugs of splitting: which VMAs are left, what is behind them, what page tables are told."""

from conformance.mutants.mutant import Mutant

_PREV = """
    if vma.first < first:
        before = self.spare.pop()
        before.set(vma.first, first, vma.offset)
    """
_NEXT = """
    if vma.end > end:
        after = self.spare.pop()
        after.set(end, vma.end, vma.offset + (end - vma.first))
    """
_NEXT_SET = "after.set(end, vma.end, vma.offset + (end - vma.first))"
_NEW = """
    vma.set(first, end, offset)
    self.emit_vma(PT_MAP, vma, link.buffer)
    """

MUTANTS: tuple[Mutant, ...] = (
    # -- which VMAs are left ------------------------------------------------------------------
    Mutant(
        "parts-joined",
        "SP-1",
        "a new mapping is joined to what is left before it where both are of one piece",
        (
            (
                """
                self.clear(first, first + pages)
                self.step_map(first, first + pages, link, offset)
                """,
                """
                there = self.tree.first(first, first + pages)
                joined = there is not None and there.first < first and there.link is link
                self.clear(first, first + pages)
                self.step_map(first, first + pages, link, offset)
                if joined and there.offset + (first - there.first) == offset:
                    for part in self.tree.overlapping(there.first, first + 1):
                        self.remove(part)
                        self.unlink(part)
                        self.free(part)
                    self.take(1)
                    whole = self.spare.pop()
                    whole.set(there.first, first + pages, there.offset)
                    self.insert(whole, link)
                """,
            ),
        ),
    ),
    Mutant(
        "same-mapping-kept-whole",
        "SP-1",
        "a map of what is mapped there already does nothing, and splits nothing",
        (
            (
                """
                self.clear(first, first + pages)
                self.step_map(first, first + pages, link, offset)
                """,
                """
                there = self.tree.first(first, first + pages)
                if there is not None and there.link is link:
                    if there.first <= first and there.end >= first + pages:
                        if there.offset + (first - there.first) == offset:
                            return 0
                self.clear(first, first + pages)
                self.step_map(first, first + pages, link, offset)
                """,
            ),
        ),
    ),
    Mutant(
        "part-after-hole-lost",
        "SP-1",
        "where something is left on both sides of the hole, only the part before it is kept",
        (("if vma.end > end:", "if vma.end > end and vma.first >= first:"),),
    ),
    Mutant(
        "part-before-one-page-long",
        "SP-1",
        "the part before the hole keeps the first page of the hole",
        (
            (
                _PREV,
                """
                if vma.first < first:
                    before = self.spare.pop()
                    before.set(vma.first, first + 1, vma.offset)
                """,
            ),
        ),
    ),
    Mutant(
        "head-of-one-page-lost",
        "SP-1",
        "a part before the hole is made only where it has two pages or more",
        ((_PREV, _PREV.replace("vma.first < first", "vma.first + 1 < first")),),
    ),
    Mutant(
        "tail-of-one-page-lost",
        "SP-1",
        "a part after the hole is made only where it has two pages or more",
        ((_NEXT, _NEXT.replace("vma.end > end", "vma.end - 1 > end")),),
    ),
    Mutant(
        "new-vma-one-page-short",
        "SP-1",
        "a new VMA of more than a page ends a page early, though the page tables get all of it",
        (
            (
                _NEW,
                """
                vma.set(first, end, offset)
                self.emit_vma(PT_MAP, vma, link.buffer)
                vma.set(first, max(first + 1, end - 1), offset)
                """,
            ),
        ),
    ),
    # -- what is behind them ------------------------------------------------------------------
    Mutant(
        "offset-without-hole",
        "SP-2",
        "the offset of the part after a hole goes on as if the hole had no pages",
        (
            (
                _NEXT_SET,
                "after.set(end, vma.end, vma.offset + (max(first, vma.first) - vma.first))",
            ),
        ),
        known="KB-45",
    ),
    Mutant(
        "offset-of-the-range",
        "SP-2",
        "the offset of the part after a hole is counted from the range's start, not the VMA's",
        ((_NEXT_SET, "after.set(end, vma.end, vma.offset + (end - first))"),),
        known="KB-45",
    ),
    Mutant(
        "offset-in-both-parts",
        "SP-2",
        "the part before a hole, too, gets the offset at which the hole begins",
        (
            (
                "before.set(vma.first, first, vma.offset)",
                "before.set(vma.first, first, vma.offset + (first - vma.first))",
            ),
        ),
        known="KB-33",
    ),
    Mutant(
        "part-from-buffer-start",
        "SP-2",
        "the part after a hole starts again at the buffer's first page",
        ((_NEXT_SET, "after.set(end, vma.end, end - vma.first)"),),
    ),
    # -- what the page tables are told --------------------------------------------------------
    Mutant(
        "hole-from-vma-start",
        "SP-20",
        "the page tables lose what is kept before the hole, too",
        (("hole_first = max(vma.first, first)", "hole_first = vma.first"),),
        known="KB-35",
    ),
    Mutant(
        "hole-to-vma-end",
        "SP-20",
        "the page tables lose what is kept after the hole, too",
        (("hole_end = min(vma.end, end)", "hole_end = vma.end"),),
        known="KB-35",
    ),
    Mutant(
        "hole-one-page-short",
        "SP-20",
        "the page tables keep the last page of a hole of several pages",
        (
            (
                "hole_end = min(vma.end, end)",
                "hole_end = max(hole_first + 1, min(vma.end, end) - 1)",
            ),
        ),
        known="KB-35",
    ),
    Mutant(
        "whole-vma-not-cleared",
        "SP-20",
        "the page tables are not told of a VMA that goes as a whole",
        (
            (
                """
                self.unmap_pages(vma.first, vma.end)
                self.remove(vma)
                """,
                "self.remove(vma)",
            ),
        ),
    ),
    Mutant(
        "tables-get-buffer-start",
        "SP-20",
        "the page tables get every mapping from its buffer's first page on",
        (
            (
                _NEW,
                """
                vma.set(first, end, 0)
                self.emit_vma(PT_MAP, vma, link.buffer)
                vma.set(first, end, offset)
                """,
            ),
        ),
    ),
    # -- neighbours ---------------------------------------------------------------------------
    Mutant(
        "neighbour-taken-for-part",
        "NB-1",
        "a VMA that starts where an unmapped range ends is taken for a part that is left, and its "
        "offset goes on",
        (
            (
                """
                self.clear(first, first + pages)
                return 0
                """,
                """
                behind = self.tree.first(first + pages, first + pages + 1)
                if behind is not None and behind.first == first + pages:
                    behind.offset += pages
                self.clear(first, first + pages)
                return 0
                """,
            ),
        ),
    ),
    # -- find ---------------------------------------------------------------------------------
    Mutant(
        "find-end-inclusive",
        "TR-20",
        "a VMA that starts right behind the range is found",
        (
            (
                "vma = self.tree.first(first, end)",
                "vma = self.tree.first(first, end + 1)",
            ),
        ),
    ),
    Mutant(
        "find-in-whole-pages",
        "TR-20",
        "a range that starts inside a page is looked for up to its last whole page only",
        (
            (
                "end = first + page_of(size) + ((parts + PAGE_MASK) >> PAGE_SHIFT)",
                "end = first + page_of(size)",
            ),
        ),
    ),
    Mutant(
        "find-clamps-to-range",
        "TR-20",
        "the start of the range is given where the VMA starts before it",
        (
            (
                "return address_of(vma.first)",
                "return address_of(max(vma.first, first))",
            ),
        ),
    ),
)
