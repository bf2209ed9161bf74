"""What the rules of system ``gpuvm`` are shown of one operation."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from conformance.rules.rule import Violation
from conformance.rules.step import Finished
from reference.operations import Operation, Result
from reference.systems.gpuvm.mappings import Mapping
from reference.systems.gpuvm.state import Seen, VmState
from reference.trace import Trace


@dataclass(slots=True)
class VaStep(Finished):
    """One finished operation.

    ``sort``: legal, refused or misuse; ``reason``: why; ``errors``: the errnos that are allowed.
    ``first``..``last``: the addresses of its range (``last`` < ``first``: none, and ``first`` is
    -1 where it names no address); ``window``: the range with a page on each side. ``outside``:
    the mappings in the window, as they were before, that have no address in the range. ``due``:
    buffers that ``validate`` has to name, or that ``evict`` makes evicted or valid.
    ``expected``: what ``find`` has to give, or None.
    """

    operation: Operation
    result: Result
    sort: str
    reason: str
    errors: tuple[int, ...]
    first: int
    last: int
    state: VmState
    seen: Seen
    trace: Trace
    begin_event: int
    end_event: int
    places: Sequence[str]
    window: tuple[int, int] = (0, -1)
    outside: Sequence[Mapping] = ()
    due: frozenset[int] = frozenset()
    expected: int | None = None
    violations: list[Violation] = field(default_factory=list)

    @property
    def warned(self) -> int:
        """The event of a warning; -1 for none."""
        return self.seen.warned


def shown(one: Mapping | None) -> str:
    """A mapping in words."""
    if one is None:
        return "nothing"
    return f"{one.first:#x}..{one.last:#x} -> buffer {one.buffer} from {one.offset:#x}"
