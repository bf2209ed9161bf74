"""What an allocator of addresses has to tell.

* ``range``: after an operation, what the allocator has in and around the range that it was about: a
  range that was given out, by its number, or a hole, -1.
"""

from typing import Final

from reference.trace import DECIMAL, HEX, declare

RANGE: Final = 36

declare(RANGE, "range", (("first", HEX), ("last", HEX), ("number", DECIMAL)))
