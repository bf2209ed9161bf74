"""What every target offers: perform an operation, and tell what happened.

A target is the software under test together with the thin layer that calls it.
It holds no judgement: it carries out one operation at a time and appends every
event that it can see to a trace, in order.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from reference.operations import Operation, Result
from reference.trace import Trace


class TargetUnavailable(Exception):
    """A target cannot be had here. ``command`` would make it available ("" if nothing does)."""

    def __init__(self, reason: str, command: str = "") -> None:
        super().__init__(f"{reason}; to install: {command}" if command else reason)
        self.reason: str = reason
        self.command: str = command


class Target(Protocol):
    """An implementation of one system's software.

    ``traits`` says what the implementation declares about itself, for example
    ``{"block_unmap": "split"}``; the keys are those of the system's machine.
    ``places[n]`` is the function name behind place ``n`` of an event ("" for 0). A target may say
    in an attribute ``system`` which system it speaks, for runs that name none.
    """

    @property
    def name(self) -> str:
        """The target's name on the command line."""

    @property
    def version(self) -> str:
        """One line for reports: which driver, of which tree or version."""

    @property
    def traits(self) -> Mapping[str, Sequence[str | int]]:
        """For each configuration argument that is restricted, the values that can be used."""

    @property
    def places(self) -> Sequence[str]:
        """Function names by place number."""

    def reset(self) -> None:
        """Go back to the state before any operation."""

    def perform(self, operation: Operation, trace: Trace) -> Result:
        """Carry out one operation and append its events to ``trace``."""

    def close(self) -> None:
        """Give back what the target holds."""
