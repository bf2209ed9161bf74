"""What is right: formats, hardware and drivers as an executable model.

Compiled by mypyc in an ordinary installation. A compiled module that does not
belong to the source beside it is refused here, before it can be imported.
"""

from reference.build_check import verify

verify()
