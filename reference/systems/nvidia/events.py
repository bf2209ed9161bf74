"""What the MMU code of an NVIDIA driver has to tell of its software tables and areas.

* ``pt-refs``: after an operation, what a software page table counts, when that has changed
  or the table is new: ``table`` is the first input address that it covers, with its level
  in bits 3:0 (0: leaves, the root has the highest) and TABLE_SPARSE; ``large`` and
  ``small`` are how many references there are to its entries, where it is a pair of tables
  for two page sizes; one that is not counts in ``large`` alone. None of either: it is gone.
* ``pt-state``: after an operation, what the software has noted of entries ``first`` to
  ``last`` (input addresses, the level in bits 3:0 of ``first``), when that has changed. Of a
  leaf these are the entries for large pages, and ``state`` is what the driver notes: STATE_SPARSE,
  STATE_SMALL, and below them how many small pages in it are referenced (what of that does not
  fit in six bits, where it is not lost, stands from bit 8 on). Of a directory it is
  STATE_SPARSE or 0. All states of a new table are 0, and those of one that is gone too.

Areas of addresses that are handed out, and mapped separately, are told as the VA manager's
mappings are; ``backing`` of ``vma-add`` and ``vma-remove`` is (number of the area << 48 | AREA_*
bits | index of the page size in use, AREA_NO_PAGE if none).
"""

from typing import Final

from reference.trace import DECIMAL, HEX, declare

PT_REFS: Final = 37
PT_STATE: Final = 38

TABLE_SPARSE: Final = 0x10
"""In the ``table`` of a pt-refs event: all that it covers was sparse when it came."""
STATE_SMALL: Final = 0x40
"""In the state of an entry for a large page: the table of small pages decides."""
STATE_SPARSE: Final = 0x80
"""In the state of an entry: its addresses are sparse."""
STATE_MORE_SHIFT: Final = 8
"""Where in the state of an entry the rest of a count stands that has more than six bits."""

AREA_NO_PAGE: Final = 7
"""In the backing of an area, in place of the index of a page size: none is in use."""
AREA_MAPPED: Final = 0x8
"""In the backing of an area: the software has it as mapped."""
AREA_PART: Final = 0x10
"""In the backing of an area: it is a part, and not the first, of what was handed out."""

declare(PT_REFS, "pt-refs", (("table", HEX), ("large", DECIMAL), ("small", DECIMAL)))
declare(PT_STATE, "pt-state", (("first", HEX), ("last", HEX), ("state", HEX)))
