"""Linux's own drivers in this process: built by the kernel's build, run on a fake kernel.

``tree`` finds the kernel sources, ``build`` makes a library of the wanted
drivers and our fake kernel (``native/``), ``library`` loads and calls it, and
one module for each unit (``io_pgtable``) makes a target of it.
"""
