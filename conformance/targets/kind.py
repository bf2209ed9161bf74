"""What a system says of a target that it can be run on, besides its reference driver."""

from collections.abc import Callable
from dataclasses import dataclass

from conformance.targets.linux.units import Unit
from conformance.targets.protocol import Target

Progress = Callable[[str], None]
"""Is told what is done where making a target takes long."""


@dataclass(frozen=True, slots=True)
class TargetKind:
    """One target, by name.

    ``name``: as on the command line; ``title``: what it is, for lists; ``make``: makes it, from the
    kernel tree that the user named, if any. ``source``: for Linux's code, the file that is judged,
    from the tree's top; a tree without it has no such target; ``unit``: what it is built as.
    ``examples``: how many of the whole
    suite's run on every tree are enough, for the time that one takes.
    """

    name: str
    title: str
    make: Callable[[str | None, Progress], Target]
    source: str = ""
    examples: int = 2000
    unit: Unit | None = None
