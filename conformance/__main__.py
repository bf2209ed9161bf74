"""``python -m conformance`` is the command ``mmu-conformance``."""

from conformance.cli import main

main(prog_name="mmu-conformance")
