"""What the MMU code of a Mali driver has to tell, beside what its VA manager does.

* ``vm``: from here on events are about that VM, until the next one or the end of the
  operation.
* ``fence``: a fence was signalled, with 0 or a negative errno.
* ``slot``: after an operation, the address space (-1: none) of a VM and how many jobs keep it
  active, when one of them has changed.
"""

from typing import Final

from reference.trace import DECIMAL, declare

VM: Final = 33
FENCE: Final = 34
SLOT: Final = 35

declare(VM, "vm", (("number", DECIMAL),))
declare(FENCE, "fence", (("number", DECIMAL), ("result", DECIMAL)))
declare(SLOT, "slot", (("vm", DECIMAL), ("slot", DECIMAL), ("active", DECIMAL)))
