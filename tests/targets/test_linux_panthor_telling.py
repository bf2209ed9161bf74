"""What linux:panthor does is told so that a person can read it."""

import re

import pytest

from conformance.systems.mali.registers import MaliRegisters
from conformance.systems.mali.targets import LinuxPanthor
from conformance.systems.mali.telling import EVENT_WORDS
from reference import trace as t
from reference.operations import Operation
from reports.events import tell_events

PAGE = 0x1000


def op(name: str, **args: int) -> Operation:
    return Operation(name, {**args})


@pytest.fixture
def told(panthor: LinuxPanthor) -> list[list[str]]:
    """The lines of each operation of a VM that is used and comes to an end."""
    trace = t.Trace()
    tellings = []
    bind = {"vm": 0, "va": 0x200000}
    for operation in (
        op("create"),
        op("vm"),
        op("bo", size=4 * PAGE),
        op("active", vm=0),
        op("bind", **bind, kind=0, size=4 * PAGE, bo=0),
        op("fault", slot=1, address=0x5000, code=0x2C3),
        op("active", vm=0),
        op("stick", slot=1, polls=-1),
        op("bind", **bind, kind=1, size=PAGE),
        op("run"),
        op("suspend"),
        op("resume"),
    ):
        first = len(trace)
        panthor.perform(operation, trace)
        lines = tell_events(
            list(trace), first, len(trace) - 1, panthor.places, None, MaliRegisters(), EVENT_WORDS
        )
        tellings.append([line.text for line in lines])
    return tellings


def test_every_register_is_told_by_name(told: list[list[str]]) -> None:
    lines = [line for lines in told for line in lines]
    assert not [line for line in lines if re.search(r"\bregister 0x", line)]
    assert not [line for line in lines if "half" in line]


def test_what_belongs_together_is_one_line(told: list[list[str]]) -> None:
    active, bind, fault, stuck = told[3], told[4], told[5], told[8]
    assert [line for line in active if line.startswith(("reg", "command"))] == [
        "command     AS 1: LOCK all addresses, seen to end",
        "command     AS 1: FLUSH_MEM of all addresses, seen to end",
        "reg-write   AS 1: TRANSTAB = 0x80000000; MEMATTR = 0x9f9f9f9f9c4c9f4c; TRANSCFG = "
        "4K tables, 48 input bits, walks write-back outer shareable read-allocate",
        "command     AS 1: UPDATE",
    ]
    assert [line for line in bind if line.startswith(("reg", "command"))] == [
        "command     AS 1: LOCK 0x200000..0x207fff (32K), seen to end",
        "command     AS 1: FLUSH_PT of 0x200000..0x207fff (32K), seen to end",
    ]
    assert (
        "refs        VM 0: 4, link of buffer 0 in VM 0: 1, buffer 0: 2, pages of buffer 0: 1"
        in bind
    )
    assert (
        "reg-read    AS 1: FAULTSTATUS: translation fault at level 3, read, source 0x0; "
        "FAULTADDRESS: 0x5000"
    ) in fault
    assert (
        "command     AS 1: LOCK 0x200000..0x207fff (32K), STATUS active 16 times or more" in stuck
    )
