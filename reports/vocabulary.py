"""What a system lends to the tellings, which know no system by name."""

from dataclasses import dataclass
from typing import Final

from reference.operations import Specs
from reports.events import NO_WORDS, EventWords
from reports.registers import Decoder


@dataclass(frozen=True)
class HardwareRow:
    """What stands in for the hardware in a drawing: its row's name, and what that is.

    ``invalidates``: whether the trace has invalidations; without any, events are told from the
    first.
    """

    name: str
    meaning: str
    invalidates: bool


WALKED: Final = HardwareRow("hardware", "what a walk of the tables finds", True)
"""For systems whose tables a device walks."""


@dataclass(frozen=True)
class Vocabulary:
    """The words of one system.

    ``specs``: the declaration of its operations, for lines with units and letters; without it
    operations are shown as JSON has them. ``registers``: what knows those of its device.
    ``hardware``: the row of the hardware in drawings. ``events``: how its own kinds are told.
    """

    specs: Specs | None = None
    registers: Decoder | None = None
    hardware: HardwareRow = WALKED
    events: EventWords = NO_WORDS


NO_VOCABULARY: Final = Vocabulary()
"""For files of systems that are not installed here."""
