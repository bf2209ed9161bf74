"""Linux's own drivers in this process: built by the kernel's build, run on a fake kernel.

``tree`` finds the kernel sources, ``build`` makes a library of the wanted
drivers and our fake kernel (``native/``), ``library`` loads and calls it, and
``target`` makes a target of it. What belongs to one system, its units and the
C files that call its drivers, is with the system: ``linux_target`` and
``native/`` there.
"""
