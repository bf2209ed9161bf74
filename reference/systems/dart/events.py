"""What the driver of a DART, and the unit itself, have to tell beside what all systems tell.

* ``domain``: from here on tables are that domain's, until the next one or the end of the
  operation. -1 - N is the table of software bypass of unit N.
* ``error``: a unit raised an error, of a stream (``source``: unit << 16 | stream) with these code
  bits and at this address.
* ``told``: the driver told an error, with what it took it for.
* ``units``: all units are of this part, by its number in ``device.PARTS``; without it they are of
  the first. It says what registers there are.
"""

from typing import Final

from reference.trace import DECIMAL, HEX, declare

DOMAIN: Final = 41
ERROR: Final = 42
TOLD: Final = 43
UNITS: Final = 44

declare(DOMAIN, "domain", (("number", DECIMAL),))
declare(ERROR, "error", (("source", HEX), ("code", HEX), ("address", HEX)))
declare(TOLD, "told", (("source", HEX), ("code", HEX), ("address", HEX)))
declare(UNITS, "units", (("part", DECIMAL),))
