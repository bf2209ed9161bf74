"""What a promise says of a call, and what it offers to whoever judges: the interface of a promise.

A *promise* is what callers of a system were told, with the views of driver and device that it is
held against. It is asked before each call, follows what the call did, and moves on by what the
call gave back. It judges nothing: rules compare, and tell it which violations they found.

Source: semantics.md (calls); semantics.md (identity and going on).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from mypy_extensions import mypyc_attr

from reference.operations import Operation, Result

LEGAL: Final = "legal"
"""The interface allows the call, and it has to do what it is for."""
REFUSED: Final = "refused"
"""It has to fail with a documented errno, and changes nothing."""
MISUSE: Final = "misuse"
"""The interface forbids it: what is judged is that memory is safe, and that nothing is lost."""

Traits = Mapping[str, Sequence[str | int]]
"""For each configuration argument that a target restricts, the values that can be used."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Call:
    """One call, as it is sorted before it is made. A system adds what its rules look at.

    ``operation``: the call, with what goes without saying filled in. ``sort``: LEGAL, REFUSED or
    MISUSE; ``reason``: why, for people; ``errors``: the results, besides success, that are allowed
    (negative errnos). ``first``..``last``: the addresses that it is about, inclusive (``last`` <
    ``first``: none). ``events``: (kind, a, b) that the caller makes itself, with no call of the
    target; None for a call. ``met``: words for what it meets, which a run counts.
    """

    def __init__(self, operation: Operation) -> None:
        self.operation: Operation = operation
        self.sort: str = LEGAL
        self.reason: str = ""
        self.errors: tuple[int, ...] = ()
        self.first: int = -1
        self.last: int = -2
        self.events: list[tuple[int, int, int]] | None = None
        self.met: Sequence[str] = ()

    def refuse(self, reason: str, *errors: int) -> None:
        """It has to fail with one of ``errors``."""
        self.sort = REFUSED
        self.reason = reason
        self.errors = errors

    def misuse(self, reason: str) -> None:
        """The interface forbids it."""
        self.sort = MISUSE
        self.reason = reason


def create_before(operation: Operation, first: bool, exists: bool) -> Operation | None:
    """The create, with its defaults, that goes without saying before what is done first.

    None: ``operation`` is not the ``first`` of an example, is a create, or what there is one of
    ``exists``.
    """
    return Operation("create") if first and not exists and operation.name != "create" else None


@mypyc_attr(allow_interpreted_subclasses=True)
class OfOne:
    """A promise of one object an example: ``create`` makes it, and goes without saying."""

    def __init__(self) -> None:
        self.made: bool = False
        """Whether there was one."""

    def exists(self) -> bool:
        """Whether it is there."""
        raise NotImplementedError

    def implied(self, operation: Operation, first: bool) -> Operation | None:
        """A default one goes without saying."""
        return create_before(operation, first, self.exists())

    def takes(self, operation: Operation) -> bool:
        """It is made first, and nothing is done once it is gone."""
        return self.exists() if operation.name != "create" else not self.made


class Broken(Protocol):
    """What a promise has to know of a violation: which rule, and where."""

    @property
    def rule(self) -> str:
        """The rule's id."""

    @property
    def iova(self) -> int:
        """The address to look at; -1 for none."""

    @property
    def corrupts(self) -> bool:
        """Driver or device works on memory that is no table: nothing can be taken over."""


C = TypeVar("C", bound=Call)


class Promise(Protocol[C]):
    """What a system's promise offers. One is made for each example; ``undo`` makes another."""

    @property
    def warned(self) -> int:
        """The event of a warning in the last call; -1 for none."""

    def implied(self, operation: Operation, first: bool) -> Operation | None:
        """What has to be done before ``operation`` and goes without saying; None for nothing.

        ``first``: nothing was done yet in this example. Arguments that are missing have their
        defaults.
        """

    def takes(self, operation: Operation) -> bool:
        """Whether the operation can be made now; what cannot is passed over."""

    def before(self, operation: Operation) -> C:
        """Sort a call before it is made."""

    def feed(self, words: list[int], begin: int) -> None:
        """Let the views follow the events of a flat trace from number ``begin`` to its end."""

    def after(self, call: C, result: Result, end: int) -> None:
        """What callers were told by a call that came back; ``end``: its last event."""

    def changed(self, call: C, result: Result) -> bool:
        """Whether the call changed anything that the system keeps."""

    def take_over(self, call: C, result: Result, broken: Sequence[Broken]) -> bool:
        """Go on with what the target did, in spite of what was ``broken`` (mostly nothing).

        False: that cannot be; the call has to be undone.
        """

    def is_lost(self) -> bool:
        """After a call was undone: whether nothing is left that could go on."""

    def ending(self) -> Iterator[Operation]:
        """What destroys everything, one after the other; each is asked for after the one before."""
