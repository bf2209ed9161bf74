"""The limits of the hardware model, each pinned from both sides by an example."""

import pytest

from reference.formats.access import READ, WRITE
from reference.formats.lpae import LPAE_S1
from reference.hardware.context import Context
from reference.hardware.machine import Machine
from reference.hardware.observation import ISSUED_UNSEEN
from reference.hardware.tlb import TOP_VA
from reference.trace import (
    ALLOC,
    ATTACH,
    BARRIER,
    BARRIER_FULL,
    COMPLETE,
    FILL,
    INVALIDATE,
    SCOPE_LEAF,
    SCOPE_WALK,
    STORE,
    invalidate_command,
)

PAGE, BLOCK = 0x1000, 0x20_0000
ROOT = 0x8000_0000
ALL_OF_IT = SCOPE_LEAF | SCOPE_WALK


class World:
    """A coherent machine of 32 input bits; ``middle`` is the table that leads to all below 1 GiB,
    and ``pages`` that of the first 2 MiB."""

    def __init__(self, middle: int = ROOT + PAGE, pages: int = ROOT + 2 * PAGE) -> None:
        self.machine = Machine(LPAE_S1.geometry(32), True)
        space = self.machine.add_space()
        space.touched_last = TOP_VA
        self.context: Context = self.machine.add_context(space)
        self.middle, self.pages = middle, pages
        for table in (ROOT, middle, pages):
            self.happens(ALLOC, table, PAGE)
            self.happens(FILL, table, PAGE, 0)
        self.store(ROOT, LPAE_S1.table(1, middle))
        self.store(middle, LPAE_S1.table(2, pages))
        self.happens(BARRIER, BARRIER_FULL)
        self.happens(ATTACH, ROOT)

    def happens(self, kind: int, a: int, b: int = 0, c: int = 0) -> None:
        self.machine.take(kind, a, b, c)
        self.machine.now += 1

    def store(self, pa: int, word: int) -> None:
        self.happens(STORE, pa, 0, word)

    def unmapped(self, level: int, *numbers: int) -> None:
        """Leaves of a level were mapped, and are no more; all of that is visible."""
        table = self.pages if level == 3 else self.middle
        for number in numbers:
            self.store(
                table + 8 * number, LPAE_S1.leaf(level, number << LPAE_S1.shift(level), READ)
            )
            self.store(table + 8 * number, 0)
        self.happens(BARRIER, BARRIER_FULL)

    def flush(self, first: int, last: int, scope: int = ALL_OF_IT) -> None:
        self.happens(INVALIDATE, first, last, invalidate_command(scope, 0, 1))
        self.happens(COMPLETE, 1)

    def cached(self, *pages: int) -> list[int]:
        """Those of these page addresses for which something stale may be cached."""
        return [one for one in pages if self.context.tlb.leaves_in(one, one + PAGE - 1)]


def test_a_flush_of_the_first_byte_is_not_one_of_everything() -> None:
    world = World()
    world.unmapped(3, 0, 1)
    world.flush(0, 0)
    assert world.cached(0, PAGE) == [PAGE]


@pytest.mark.parametrize("first", [0, -1])
def test_a_flush_up_to_the_last_address_is_one_of_everything_behind(first: int) -> None:
    world = World()
    world.unmapped(3, 0, 1)
    world.flush(first, -1)
    assert world.cached(0, PAGE) == ([] if first == 0 else [0, PAGE])


@pytest.mark.parametrize(("more", "left"), [(-1, False), (0, True)])
def test_a_flush_of_one_page_takes_the_block_and_one_byte_more_does_not(
    more: int, left: bool
) -> None:
    world = World()
    world.unmapped(2, 1)
    world.flush(BLOCK + PAGE, BLOCK + 2 * PAGE + more)
    assert world.cached(BLOCK + 8 * PAGE) == ([BLOCK + 8 * PAGE] if left else [])


@pytest.mark.parametrize(
    ("first", "last", "left"),
    [
        (PAGE, 2 * PAGE, [0, 3 * PAGE]),
        (PAGE, 2 * PAGE - 1, [0, 2 * PAGE, 3 * PAGE]),
        (PAGE - 1, PAGE, [2 * PAGE, 3 * PAGE]),
        (PAGE + 1, PAGE + 1, [0, 2 * PAGE, 3 * PAGE]),
        (0, 3 * PAGE - 1, [3 * PAGE]),
    ],
)
def test_the_ends_of_a_range_are_rounded_to_the_pages_that_hold_them(
    first: int, last: int, left: list[int]
) -> None:
    world = World()
    world.unmapped(3, 0, 1, 2, 3)
    world.flush(first, last)
    assert world.cached(0, PAGE, 2 * PAGE, 3 * PAGE) == left


@pytest.mark.parametrize("table", [0, ROOT + PAGE])
def test_an_unlinked_table_is_unseen_wherever_it_lies(table: int) -> None:
    world = World(middle=table)
    world.store(ROOT, 0)
    world.machine.observations = []
    world.flush(0, TOP_VA, SCOPE_WALK)
    seen = [(one.kind, one.level) for one in world.machine.observations]
    assert seen == [(ISSUED_UNSEEN, 1), (ISSUED_UNSEEN, 2)]


@pytest.mark.parametrize("table", [0, ROOT + PAGE])
def test_a_table_that_is_linked_again_is_nothing_to_wait_for(table: int) -> None:
    world = World(middle=table)
    world.store(ROOT, 0)
    world.store(ROOT, LPAE_S1.table(1, table))
    world.machine.observations = []
    world.flush(0, TOP_VA, SCOPE_WALK)
    assert world.machine.observations == []


def test_what_was_loaded_after_the_issue_survives_the_completion() -> None:
    for late in (False, True):
        world = World()
        leaf = LPAE_S1.leaf(3, 0, READ | WRITE)
        world.store(world.pages, leaf)
        world.happens(BARRIER, BARRIER_FULL)
        steps = [(STORE, world.pages, leaf, 0), (BARRIER, BARRIER_FULL, 0, 0)]
        issue = (INVALIDATE, 0, -1, invalidate_command(ALL_OF_IT, 0, 1))
        for event in [issue, *steps] if late else [*steps, issue]:
            world.happens(*event)
        world.happens(COMPLETE, 1)
        assert world.cached(0) == ([0] if late else [])


@pytest.mark.parametrize(
    ("first", "last", "unseen"),
    [
        (2 * PAGE, 3 * PAGE - 1, True),
        (3 * PAGE - 1, 4 * PAGE, True),
        (PAGE, 2 * PAGE, True),
        (PAGE, 2 * PAGE - 1, False),
        (3 * PAGE, 4 * PAGE, False),
    ],
)
def test_an_unseen_store_matters_to_who_invalidates_an_address_of_its_entry(
    first: int, last: int, unseen: bool
) -> None:
    world = World()
    leaf = LPAE_S1.leaf(3, 2 * PAGE, READ)
    world.store(world.pages + 16, leaf)
    world.happens(BARRIER, BARRIER_FULL)
    world.store(world.pages + 16, 0)
    world.machine.observations = []
    world.flush(first, last, SCOPE_LEAF)
    assert [one.kind for one in world.machine.observations] == [ISSUED_UNSEEN] * unseen
