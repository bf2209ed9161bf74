"""What a VA manager has to tell: mappings in its tree, and what page tables are told.

* ``vma-add``/``vma-remove``: a mapping came into the VM's tree, or went; ``last``
  is inclusive, ``backing`` is (buffer number << 48 | byte in it). ``vma``: after an
  operation, a mapping that is in the tree in or near the range that it named.
* ``pt-map``/``pt-unmap``: what the driver is told to put in its page tables,
  and to clear there.
* ``validated``: the driver was told to bring an evicted buffer back.
"""

from typing import Final

from reference.trace import DECIMAL, HEX, declare
from reference.words import to_signed

VMA_ADD: Final = 26
VMA_REMOVE: Final = 27
VMA: Final = 28
PT_MAP: Final = 29
PT_UNMAP: Final = 30
VALIDATED: Final = 32

BACKING_SHIFT: Final = 48
"""In a backing, the number of the buffer stands above so many bits of offset in bytes."""

_MAPPING: Final = (("first", HEX), ("last", HEX), ("backing", HEX))

declare(VMA_ADD, "vma-add", _MAPPING)
declare(VMA_REMOVE, "vma-remove", _MAPPING)
declare(VMA, "vma", _MAPPING)
declare(PT_MAP, "pt-map", _MAPPING)
declare(PT_UNMAP, "pt-unmap", (("first", HEX), ("last", HEX)))
declare(VALIDATED, "validated", (("number", DECIMAL),))


def backing_of(number: int, offset: int) -> int:
    """The ``backing`` word of a mapping, held.

    ``number``: the buffer's, 0..2**16-1. ``offset``: bytes into it, 0..2**48-1.
    """
    return to_signed(number << BACKING_SHIFT | offset)
