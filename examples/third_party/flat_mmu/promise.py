"""What callers of the flat MMU were told, and what its device has read."""

import errno
from collections.abc import Iterator, Sequence

from reference.calls import LEGAL, Broken, Call, Traits
from reference.operations import Operation, Result
from reference.trace import DECIMAL, STORE, WARN, WORDS, declare

ENTRIES = 16
VALID = 1

BELL = 0x100
"""The device reads an entry again. Numbers below 0x100 are those of mmu-conformance."""
declare(BELL, "bell", (("slot", DECIMAL),))


class FlatPromise:
    """``pages``: what callers mapped, by slot. ``memory``: the table; ``read``: what the device has
    of it, which changes only when the bell rings.
    """

    def __init__(self, traits: Traits) -> None:
        self.exists = False
        self.made = False
        self.warned = -1
        self.pages: dict[int, int] = {}
        self.memory = [0] * ENTRIES
        self.read = [0] * ENTRIES

    def implied(self, operation: Operation, first: bool) -> Operation | None:
        """A table goes without saying."""
        return Operation("create") if first and operation.name != "create" else None

    def takes(self, operation: Operation) -> bool:
        """One table an example."""
        return self.exists if operation.name != "create" else not self.made

    def before(self, operation: Operation) -> Call:
        """Map where nothing is, and unmap where something is."""
        call = Call(operation)
        if operation.name in ("map", "unmap"):
            slot = operation.number("slot")
            call.first = slot << 12
            call.last = call.first + 0xFFF
            if operation.name == "map" and slot in self.pages:
                call.refuse("something is mapped there", -errno.EEXIST)
            elif operation.name == "unmap" and slot not in self.pages:
                call.refuse("nothing is mapped there", -errno.ENOENT)
        return call

    def feed(self, words: list[int], begin: int) -> None:
        """Let memory and device follow the events."""
        self.warned = -1
        for event in range(begin, len(words) // WORDS):
            head, a, _, c = words[event * WORDS : event * WORDS + WORDS]
            kind = head & 0xFFFF
            if kind == STORE:
                self.memory[a % (8 * ENTRIES) // 8] = c
            elif kind == BELL:
                self.read[a] = self.memory[a]
            elif kind == WARN:
                self.warned = event

    def after(self, call: Call, result: Result, end: int) -> None:
        """What callers were told."""
        name = call.operation.name
        if name == "create":
            self.made = True
        if result.result or call.sort != LEGAL:
            return
        if name == "map":
            self.pages[call.operation.number("slot")] = call.operation.number("page")
        elif name == "unmap":
            del self.pages[call.operation.number("slot")]
        else:
            self.exists = name == "create"

    def changed(self, call: Call, result: Result) -> bool:
        """Whether anything changed."""
        return result.result == 0

    def take_over(self, call: Call, result: Result, broken: Sequence[Broken]) -> bool:
        """What breaks a rule is undone."""
        return not broken

    def is_lost(self) -> bool:
        """Whether there is no table any more."""
        return not self.exists

    def ending(self) -> Iterator[Operation]:
        """The table goes."""
        if self.exists:
            yield Operation("destroy")
