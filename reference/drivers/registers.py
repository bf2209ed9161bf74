"""The registers of a device as its driver uses them: accesses that are told, and waiting."""

from typing import Final

from mypy_extensions import i64, mypyc_attr

from reference.drivers.budget import Steps
from reference.trace import REG_READ, REG_WRITE, Trace

POLLS_TOLD: Final = 16
"""Of a register that says the same again and again, so many answers are events."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Registers(Steps):
    """The way to a device's registers, of 32 bits each. A step is an access.

    ``trace``: where events go. ``polled``: the register that was read last, -1 for none;
    ``answer``: what it said; ``polls``: how often in a row. A subclass is the way to one device,
    and gives ``ask`` and ``give``.
    """

    def __init__(self, trace: Trace, budget: i64) -> None:
        super().__init__(budget)
        self.trace: Trace = trace
        self.polled: i64 = -1
        self.answer: i64 = 0
        self.polls: i64 = 0

    def begin(self, trace: Trace, budget: i64) -> None:
        """A new operation: its events, and its budget. What was read before is forgotten."""
        self.trace = trace
        self.budget = budget
        self.polled = -1

    def ask(self, register: i64) -> i64:
        """What the device answers to a read."""
        raise NotImplementedError

    def give(self, register: i64, value: i64) -> None:
        """What the device does on a write."""
        raise NotImplementedError

    def read(self, register: i64) -> i64:
        """32 bits."""
        self.spend()
        value: i64 = self.ask(register)
        if register != self.polled or value != self.answer:
            self.polled = register
            self.answer = value
            self.polls = 0
        self.polls += 1
        if self.polls <= POLLS_TOLD:
            self.trace.emit(REG_READ, register, value)
        return value

    def write(self, register: i64, value: i64) -> None:
        """32 bits."""
        self.spend()
        self.polled = -1
        self.trace.emit(REG_WRITE, register, value)
        self.give(register, value)

    def wait_for(self, register: i64, bits: i64, are_set: bool, polls: i64) -> bool:
        """Until a register has one of these bits, or none of them. False: not in so many looks."""
        for _ in range(polls):
            if (self.read(register) & bits != 0) == are_set:
                return True
        return False
