"""The limits of the hardware model, each pinned from both sides by an example."""

import pytest

from reference.formats.access import READ, WRITE
from reference.formats.lpae import LPAE_S1
from reference.hardware.changes import add_piece, first_difference
from reference.hardware.context import Context
from reference.hardware.machine import Machine
from reference.hardware.memory import POISON, Path, PhysicalMemory, TablePage, Visibility
from reference.hardware.observation import CHANGED_OUTSIDE, ISSUED_UNSEEN, REPLACED_VALUE
from reference.hardware.tlb import FOREVER, TOP_VA, Fact, MaximalTlb, Waiting
from reference.trace import (
    ALLOC,
    ATTACH,
    BARRIER,
    BARRIER_FULL,
    COMPLETE,
    FILL,
    INVALIDATE,
    SCOPE_ENTRY,
    SCOPE_LEAF,
    SCOPE_WALK,
    STORE,
    invalidate_command,
)
from reference.translations import Translations

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


# -- words and what walkers see of them ---------------------------------------------------------


def a_page(words: int = 4) -> tuple[Visibility, TablePage]:
    """A page of a few words, for a walker that does not snoop."""
    return Visibility(False), TablePage(ROOT, words)


def test_a_page_of_memory_has_at_least_a_word() -> None:
    assert PhysicalMemory(8).granule == 8
    with pytest.raises(ValueError, match="granule is 4"):
        PhysicalMemory(4)


def test_words_that_are_cleaned_are_those_of_the_range() -> None:
    visibility, page = a_page()
    for index in range(4):
        visibility.soil(page, index)
    assert visibility.clean(page, ROOT + 8, 8) == [ROOT + 8]
    assert page.unclean == {0, 2, 3}
    assert visibility.clean(page, ROOT + 16, 9) == [ROOT + 16, ROOT + 24]
    assert visibility.clean(page, ROOT, 1) == [ROOT]
    assert not visibility.unclean_pages


@pytest.mark.parametrize(
    ("first", "words", "seen", "left"),
    [(0, 4, [], set()), (0, 3, [0, 1, 2], {3}), (1, 3, [1, 2, 3], {0})],
)
def test_a_page_that_was_filled_is_cleaned_as_a_whole_or_by_words(
    first: int, words: int, seen: list[int], left: set[int]
) -> None:
    visibility, page = a_page()
    visibility.soil_all(page)
    found = visibility.clean(page, ROOT + 8 * first, 8 * words)
    assert found == [ROOT + 8 * index for index in seen]
    assert (page.unclean, page.all_unclean) == (left, False)
    assert bool(visibility.unclean_pages) == bool(left)


def test_behind_the_entries_of_a_small_root_nothing_is_unclean() -> None:
    for filled in (True, False):
        visibility, page = a_page()
        if filled:
            visibility.soil_all(page)
        else:
            for index in range(4):
                visibility.soil(page, index)
        visibility.forget_behind(page, 2)
        assert page.unclean == {0, 1}
        visibility.forget_behind(page, 0)
        assert not visibility.unclean_pages


def test_what_is_stored_with_the_barrier_is_not_before_it() -> None:
    visibility, page = Visibility(True), TablePage(ROOT, 4)
    visibility.order_barrier = 5
    for event, ordered in ((4, True), (5, False), (6, False)):
        page.stored_at = event
        assert visibility.is_ordered(page) is ordered


def test_behind_the_words_of_a_small_table_nothing_can_be_read() -> None:
    memory = PhysicalMemory(PAGE)
    memory.allocate(ROOT, 16).fill(7)
    assert [memory.read(ROOT + at) for at in (0, 8, 16)] == [7, 7, POISON]


# -- what is cached -----------------------------------------------------------------------------


def a_tlb() -> MaximalTlb:
    """What a context has cached, with memory for tables."""
    return MaximalTlb(PhysicalMemory(PAGE), LPAE_S1.geometry(32))


def leaf_at(level: int, va: int) -> int:
    return LPAE_S1.leaf(level, va, READ)


def firsts(tlb: MaximalTlb, first: int, last: int) -> list[int]:
    """Where the leaves begin that may serve an address of a range."""
    return sorted(fact.first for fact in tlb.leaves_in(first, last))


@pytest.mark.parametrize("others", [0, 6])
@pytest.mark.parametrize(("level", "span"), [(3, PAGE), (2, BLOCK)])
def test_a_leaf_serves_its_first_and_last_address_and_none_beside(
    level: int, span: int, others: int
) -> None:
    tlb = a_tlb()
    tlb.remember_leaf(level, span, 2 * span - 1, leaf_at(level, span), 0)
    # With more of them than the range has pages, they are looked up in another way.
    for number in range(others):
        at = (100 + number) * BLOCK
        tlb.remember_leaf(3, at, at + PAGE - 1, leaf_at(3, at), 0)
    for first, last, found in (
        (0, span - 1, False), (0, span, True), (span, span, True), (2 * span - 1, 2 * span, True),
        (2 * span, 3 * span, False),
    ):  # fmt: skip
        assert firsts(tlb, first, last) == [span] * found


@pytest.mark.parametrize("others", [0, 6])
def test_an_invalidation_takes_what_was_gone_before_it_was_issued(others: int) -> None:
    for level, span in ((3, PAGE), (2, BLOCK)):
        for issued, left in ((7, True), (8, False)):
            tlb = a_tlb()
            tlb.remember_leaf(level, 0, span - 1, leaf_at(level, 0), 7)
            for number in range(others):
                at = (100 + number) * BLOCK
                tlb.remember_leaf(3, at, at + PAGE - 1, leaf_at(3, at), 9)
            tlb.invalidate(0, span - 1, SCOPE_LEAF, issued)
            assert firsts(tlb, 0, 0) == [0] * left


def test_an_invalidation_of_much_leaves_the_pages_beside_it() -> None:
    tlb = a_tlb()
    for page in (0, 1, 9, 10):
        tlb.remember_leaf(3, page * PAGE, (page + 1) * PAGE - 1, leaf_at(3, page * PAGE), 0)
    tlb.invalidate(PAGE, 10 * PAGE - 1, SCOPE_LEAF, 1)
    assert firsts(tlb, 0, TOP_VA) == [0, 10 * PAGE]


def test_what_is_left_of_a_block_begins_and_ends_beside_the_range() -> None:
    tlb = a_tlb()
    tlb.remember_leaf(2, BLOCK, 2 * BLOCK - 1, leaf_at(2, BLOCK), 0)
    tlb.invalidate(BLOCK + PAGE, BLOCK + 3 * PAGE - 1, SCOPE_LEAF, 1)
    assert [(one.first, one.last) for one in tlb.blocks] == [
        (BLOCK, BLOCK + PAGE - 1), (BLOCK + 3 * PAGE, 2 * BLOCK - 1),
    ]  # fmt: skip
    tlb.invalidate(0, BLOCK - 1, SCOPE_LEAF, 1)
    tlb.invalidate(2 * BLOCK, 3 * BLOCK, SCOPE_LEAF, 1)
    assert len(tlb.blocks) == 2
    tlb.invalidate(BLOCK, BLOCK + PAGE - 1, SCOPE_LEAF, 1)
    assert len(tlb.blocks) == 1
    tlb.invalidate(BLOCK + 3 * PAGE, 2 * BLOCK - 1, SCOPE_LEAF, 1)
    assert tlb.is_empty()


def walked_behind(*leaves: int) -> tuple[MaximalTlb, Fact]:
    """A cached walk entry for BLOCK, and behind it a table with these leaves."""
    tlb = a_tlb()
    page = tlb.memory.allocate(ROOT, PAGE)
    page.fill(0)
    for index in leaves:
        page.set(index, leaf_at(3, BLOCK + index * PAGE))
    fact = tlb.remember_walk(2, BLOCK, LPAE_S1.table(2, ROOT), ROOT, 5)
    page.paths.append(Path(3, BLOCK, fact.number))
    return tlb, fact


def test_leaves_behind_a_walk_entry_serve_their_own_addresses() -> None:
    tlb, fact = walked_behind(0, 1, 511)
    last = BLOCK + 511 * PAGE
    for first, end, found in (
        (0, BLOCK - 1, []), (0, BLOCK, [BLOCK]),
        (BLOCK + PAGE - 1, BLOCK + PAGE, [BLOCK, BLOCK + PAGE]),
        (BLOCK + PAGE, BLOCK + 2 * PAGE - 1, [BLOCK + PAGE]), (BLOCK + 2 * PAGE, last - 1, []),
        (last, 2 * BLOCK, [last]), (2 * BLOCK - 1, 2 * BLOCK, [last]), (2 * BLOCK, 3 * BLOCK, []),
    ):  # fmt: skip
        assert firsts(tlb, first, end) == found
    assert tlb.leads_to_leaves(fact, BLOCK, BLOCK)
    assert not tlb.leads_to_leaves(fact, BLOCK + 2 * PAGE, last - 1)


@pytest.mark.parametrize(
    ("first", "last", "left"),
    [
        (0, BLOCK - 1, [0, 1, 2, 3]), (0, BLOCK, [1, 2, 3]), (2 * BLOCK, TOP_VA, [0, 1, 2, 3]),
        (BLOCK + PAGE, BLOCK + 2 * PAGE - 1, [0, 2, 3]), (BLOCK, TOP_VA, []), (0, TOP_VA, []),
        (BLOCK + PAGE, TOP_VA, [0]), (0, BLOCK + 2 * PAGE - 1, [2, 3]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("scope", [ALL_OF_IT, SCOPE_WALK, ALL_OF_IT | SCOPE_ENTRY])
def test_leaves_behind_a_walk_entry_that_goes_stay_outside_the_range(
    first: int, last: int, left: list[int], scope: int
) -> None:
    tlb, fact = walked_behind(0, 1, 2, 3)
    tlb.invalidate(first, last, scope, 6)
    expected = [BLOCK + index * PAGE for index in left]
    if scope == SCOPE_WALK:
        expected = [BLOCK + index * PAGE for index in range(4)]
    reached = first <= 2 * BLOCK - 1 and last >= BLOCK
    assert (fact.number in tlb.walks) is not reached
    assert firsts(tlb, 0, TOP_VA) == expected


@pytest.mark.parametrize(("issued", "left"), [(5, True), (6, False)])
def test_a_walk_entry_that_was_still_there_when_it_was_issued_stays(
    issued: int, left: bool
) -> None:
    tlb, fact = walked_behind(0)
    tlb.invalidate(0, TOP_VA, SCOPE_WALK, issued)
    assert (fact.number in tlb.walks) is left


# -- what waits for a store ---------------------------------------------------------------------


def waiting_for(*facts: tuple[int, int], pa: int = ROOT) -> tuple[Waiting, list[Fact]]:
    """Facts of context 1 for these addresses, that wait for a store."""
    waiting = Waiting()
    made = [Fact(number, 1, 3, *ends, 0, FOREVER, -1) for number, ends in enumerate(facts)]
    for fact in made:
        waiting.wait(pa, fact)
    return waiting, made


RANGES = (
    (0, PAGE - 1), (0, PAGE), (PAGE, 2 * PAGE - 1), (2 * PAGE - 1, 2 * PAGE), (2 * PAGE, 3 * PAGE),
)  # fmt: skip


def test_who_gives_a_range_up_gives_up_all_that_reach_into_it() -> None:
    waiting, facts = waiting_for(*RANGES)
    waiting.give_up(0, PAGE, 2 * PAGE - 1, 4)
    assert [one.until for one in facts] == [FOREVER] * 5
    waiting.give_up(1, PAGE, 2 * PAGE - 1, 4)
    assert [one.until == 4 for one in facts] == [False, True, True, True, False]


def test_who_shuts_a_range_shuts_what_lies_in_it() -> None:
    waiting, facts = waiting_for(*RANGES)
    waiting.shut(1, PAGE, 2 * PAGE - 1, 4)
    assert [one.until == 4 for one in facts] == [False, False, True, False, False]


@pytest.mark.parametrize(("at", "follows"), [(-8, False), (0, True), (24, True), (32, False)])
def test_what_waits_for_a_word_of_a_table_follows_its_walk_entry(at: int, follows: bool) -> None:
    waiting, facts = waiting_for(*RANGES, pa=ROOT + at)
    walk = Fact(9, 1, 2, PAGE, 2 * PAGE - 1, 0, 3, ROOT)
    waiting.follow(TablePage(ROOT, 4), walk)
    inside = [False, False, follows, False, False]
    assert [one.behind is walk for one in facts] == inside


# -- what a change means ------------------------------------------------------------------------


def test_pieces_are_joined_only_where_they_continue_each_other() -> None:
    for first, pa, meaning, joined in (
        (4, 104, 1, True), (5, 104, 1, False), (4, 105, 1, False), (4, 104, 2, False),
    ):  # fmt: skip
        found = [(0, 3, 100, 1)]
        add_piece(found, first, 7, pa, meaning)
        assert len(found) == (1 if joined else 2)
        assert found[-1][1] == 7


@pytest.mark.parametrize(
    ("before", "after", "at"),
    [
        ([], [], -1), ([(0, 3, 9, 1)], [(0, 3, 9, 1)], -1), ([(0, 3, 9, 1)], [], 0),
        ([], [(5, 6, 9, 1)], 5), ([(0, 3, 9, 1)], [(1, 3, 10, 1)], 0),
        ([(2, 3, 9, 1)], [(1, 3, 8, 1)], 1), ([(0, 3, 9, 1)], [(0, 3, 8, 1)], 0),
        ([(0, 3, 9, 1)], [(0, 3, 9, 2)], 0), ([(0, 3, 9, 1)], [(0, 4, 9, 1)], 4),
        ([(0, 4, 9, 1)], [(0, 3, 9, 1)], 4), ([(0, 3, 9, 1), (8, 9, 0, 1)], [(0, 3, 9, 1)], 8),
        ([(0, 3, 9, 1)], [(0, 3, 9, 1), (7, 9, 0, 1)], 7),
    ],
)  # fmt: skip
def test_the_first_difference_of_two_lists_of_pieces(
    before: list[tuple[int, int, int, int]], after: list[tuple[int, int, int, int]], at: int
) -> None:
    assert first_difference(before, after) == at


@pytest.mark.parametrize(
    ("first", "last", "outside"),
    [
        (BLOCK, 2 * BLOCK - 1, -1), (BLOCK + 1, 2 * BLOCK - 1, BLOCK),
        (BLOCK, 2 * BLOCK - 2, 2 * BLOCK - 1), (0, TOP_VA, -1), (0, BLOCK - 1, BLOCK),
        (2 * BLOCK, TOP_VA, BLOCK), (BLOCK + PAGE, TOP_VA, BLOCK),
    ],
)  # fmt: skip
def test_a_block_changes_what_the_call_is_not_about(first: int, last: int, outside: int) -> None:
    world = World()
    space = world.machine.spaces[0]
    space.touched_first, space.touched_last = first, last
    world.machine.observations = []
    world.store(world.middle + 8, LPAE_S1.leaf(2, BLOCK, READ))
    seen = [one.va for one in world.machine.observations if one.kind == CHANGED_OUTSIDE]
    assert seen == ([] if outside < 0 else [outside])


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        (BLOCK, 2 * BLOCK - 1, True), (BLOCK + 1, 2 * BLOCK - 1, False),
        (BLOCK, 2 * BLOCK - 2, False), (0, TOP_VA, True),
    ],
)  # fmt: skip
def test_accesses_wait_only_where_all_of_an_entry_is_stalled(
    first: int, last: int, told: bool
) -> None:
    world = World()
    world.store(world.middle + 8, LPAE_S1.leaf(2, BLOCK, READ))
    space = world.machine.spaces[0]
    space.stalled_first, space.stalled_last = first, last
    space.touched_last = -1
    world.machine.observations = []
    world.store(world.middle + 8, LPAE_S1.leaf(2, 0, READ))
    kinds = {one.kind for one in world.machine.observations}
    assert kinds == (set() if told else {CHANGED_OUTSIDE, REPLACED_VALUE})
    assert space.changed_stalled == ([BLOCK] if told else [])


# -- memory beside a promise --------------------------------------------------------------------


def promised(*pages: int) -> Translations:
    """Promised pages that lead to their own addresses."""
    translations = Translations(LPAE_S1)
    for page in pages:
        translations.add(page * PAGE, page * PAGE, READ, 3)
    return translations


def test_memory_is_compared_at_the_first_and_the_last_address_of_a_range() -> None:
    world = World()
    space = world.machine.spaces[0]
    for page in (1, 2, 3):
        world.store(world.pages + 8 * page, LPAE_S1.leaf(3, page * PAGE, READ))
    assert space.difference(promised(1, 2, 3), 0, TOP_VA) is None
    for first, last, at in (
        (0, PAGE - 1, -1), (0, PAGE, PAGE), (2 * PAGE, 3 * PAGE - 1, -1),
        (3 * PAGE, 3 * PAGE, 3 * PAGE), (4 * PAGE, TOP_VA, -1), (-5, PAGE, PAGE),
    ):  # fmt: skip
        found = space.difference(promised(2), first, last)
        assert (-1 if found is None else found.va) == at
    assert space.difference(promised(1, 2, 3, 4), 4 * PAGE, 4 * PAGE).pa == -1  # type: ignore[union-attr]


def test_leaves_are_found_at_the_ends_of_a_range_and_up_to_a_limit() -> None:
    world = World()
    space = world.machine.spaces[0]
    for page in (1, 2, 3):
        world.store(world.pages + 8 * page, LPAE_S1.leaf(3, page * PAGE, READ))
    for first, last, limit, found in (
        (0, PAGE - 1, 9, []), (0, PAGE, 9, [1]), (2 * PAGE - 1, 2 * PAGE, 9, [1, 2]),
        (3 * PAGE, TOP_VA, 9, [3]), (0, TOP_VA, 2, [1, 2]), (-PAGE, TOP_VA, 9, [1, 2, 3]),
    ):  # fmt: skip
        leaves = space.leaves(first, last, limit)
        assert [one[0] // PAGE for one in leaves] == found


@pytest.mark.parametrize(
    ("first", "last", "stale"),
    [
        (0, PAGE - 1, False), (PAGE, PAGE, True), (2 * PAGE - 1, TOP_VA, True),
        (2 * PAGE, TOP_VA, False),
    ],
)  # fmt: skip
def test_a_cached_leaf_is_stale_where_it_serves_an_address(
    first: int, last: int, stale: bool
) -> None:
    world = World()
    world.unmapped(3, 1)
    space = world.machine.spaces[0]
    assert (space.stale(promised(), first, last) is not None) is stale
    assert space.stale(promised(1), first, last) is None


def test_a_leaf_that_is_promised_in_part_is_stale_elsewhere() -> None:
    world = World()
    world.unmapped(2, 1)
    space = world.machine.spaces[0]
    pages = [BLOCK // PAGE + number for number in range(512)]
    assert space.stale(promised(*pages), 0, TOP_VA) is None
    for missing in (0, 511):
        at = BLOCK + missing * PAGE
        rest = promised(*[page for page in pages if page != at // PAGE])
        assert space.stale(rest, 0, TOP_VA) is not None
        assert space.stale(rest, at, at) is not None
        assert space.stale(rest, BLOCK + PAGE, BLOCK + 511 * PAGE - 1) is None


def test_a_store_is_unseen_until_a_barrier_that_comes_later() -> None:
    world = World()
    space = world.machine.spaces[0]
    assert space.unseen_store() == -1
    world.store(world.pages + 8, LPAE_S1.leaf(3, PAGE, READ))
    event = world.machine.now - 1
    assert space.unseen_store() == world.pages + 8
    assert space.unseen_store(event) == -1
    assert space.unseen_store(event - 1) == world.pages + 8
    world.happens(BARRIER, BARRIER_FULL)
    assert space.unseen_store() == -1
