"""A device starts to walk a root: it has to be written, and to be visible."""

import pytest

from reference.formats import format_by_name
from reference.hardware.machine import Machine
from reference.hardware.observation import PUBLISHED_UNORDERED, PUBLISHED_UNWRITTEN
from reference.trace import ALLOC, BARRIER, BARRIER_FULL, CLEAN, FILL, STORE

ROOT = 0x8000_0000
PAGE = 0x1000
TABLE = 0x8000_1003


def started(coherent, *events):
    """What is observed when the root is walked after these events."""
    machine = Machine(format_by_name("lpae-s1").geometry(48), coherent)
    space = machine.add_space()
    context = machine.add_context(space, enabled=False)
    machine.take(ALLOC, ROOT, PAGE, 0)
    machine.attach(context, space, ROOT)
    for event in events:
        machine.now += 1
        machine.take(*event)
    machine.now += 1
    machine.enable(context)
    return [one.kind for one in machine.observations]


FILLED = (FILL, ROOT, PAGE, 0)
ORDERED = (BARRIER, BARRIER_FULL, 0, 0)
CLEANED = (CLEAN, ROOT, PAGE, 0)


@pytest.mark.parametrize("coherent", [True, False])
def test_a_root_that_is_written_and_visible_is_good(coherent):
    assert started(coherent, FILLED, CLEANED, ORDERED) == []


@pytest.mark.parametrize(("coherent", "events"), [(True, ()), (False, (ORDERED,))])
def test_a_root_that_may_not_be_visible_is_observed(coherent, events):
    assert started(coherent, FILLED, *events) == [PUBLISHED_UNORDERED]


@pytest.mark.parametrize("coherent", [True, False])
def test_a_root_that_was_never_written_is_observed(coherent):
    assert started(coherent, CLEANED, ORDERED) == [PUBLISHED_UNWRITTEN]


def test_a_root_that_is_filled_again_is_a_table_in_use():
    linked = (STORE, ROOT, 0, TABLE)
    child = (ALLOC, 0x8000_1000, PAGE, 0)
    filled = (FILL, 0x8000_1000, PAGE, 0)
    assert started(True, FILLED, child, filled, ORDERED, linked, FILLED, ORDERED) == []
