"""Two actors on one memory: what each order allows, and that merging states loses nothing."""

import itertools

import pytest

from conformance.systems.uat import interleavings as i
from reference.systems.uat import interleaving as m
from reference.systems.uat.device import AP, FW, LOCK_AP, LOCK_FW
from reference.systems.uat.driver import Handoff
from reference.systems.uat.interleaving import (
    Automaton,
    SharedMemory,
    explore,
    fence,
    load,
    order,
    release,
    store,
)

X, Y = 0x10, 0x20


def outcomes(first, second, memory_order, begin=None):
    """What two actors, which return a number each, can return together."""
    found = set()

    def ended(state):
        return ""

    made = [Automaton(first), Automaton(second)]
    exploration = explore(made, memory_order, ended, begin or {})
    for number in range(exploration.states):
        if exploration.ended[number] == {0, 1}:
            values = {0: (), 1: ()}
            for done in exploration.schedule(number):
                if not done.drained and done.access.kind == m.LOAD:
                    values[done.actor] += (done.value,)
            found.add((values[0], values[1]))
    return found


def stores_then_loads(mine, other, fenced):
    def actor():
        yield store("1", mine, 1)
        if fenced:
            yield fence("2")
        seen = yield load("3", other)
        # What was loaded stays part of where it is.
        yield m.point("4", live=seen)
        return 0

    return actor


@pytest.mark.parametrize("memory_order", [m.SC, m.TSO, m.WEAK])
@pytest.mark.parametrize("fenced", [False, True])
def test_a_store_may_be_behind_a_load_unless_a_fence_is_between(memory_order, fenced):
    seen = outcomes(stores_then_loads(X, Y, fenced), stores_then_loads(Y, X, fenced), memory_order)
    both_old = ((0,), (0,)) in seen
    assert both_old == (memory_order != m.SC and not fenced)


@pytest.mark.parametrize("how", ["plain", "release", "order"])
@pytest.mark.parametrize("memory_order", [m.SC, m.TSO, m.WEAK])
def test_stores_pass_each_other_in_the_weak_order_only(memory_order, how):
    def writer():
        yield store("1", X, 1)
        if how == "order":
            yield order("2")
        yield (release if how == "release" else store)("3", Y, 1)
        return 0

    def reader():
        flag = yield load("4", Y)
        yield m.acquire("5", flag)
        data = yield load("6", X, flag)
        yield m.point("7", live=2 * flag + data)
        return 0

    seen = outcomes(writer, reader, memory_order)
    assert (((), (1, 0)) in seen) == (memory_order == m.WEAK and how == "plain")
    assert ((), (1, 1)) in seen


def test_a_load_may_be_early_in_the_weak_order_until_an_acquiring_fence():
    def writer():
        yield store("1", X, 1)
        yield release("2", Y, 1)
        return 0

    def reader(acquires):
        def actor():
            flag = yield load("3", Y)
            if acquires:
                yield m.acquire("4", flag)
            data = yield load("5", X, flag)
            yield m.point("6", live=2 * flag + data)
            return 0

        return actor

    assert ((), (1, 0)) in outcomes(writer, reader(False), m.WEAK)
    assert ((), (1, 0)) not in outcomes(writer, reader(True), m.WEAK)
    assert ((), (1, 0)) not in outcomes(writer, reader(False), m.TSO)


def test_an_actor_loads_its_own_newest_store():
    memory = SharedMemory(m.TSO)
    memory.perform(AP, store("", X, 5))
    memory.perform(AP, store("", X, 6))
    assert (memory.perform(AP, load("", X)), memory.perform(FW, load("", X))) == (6, 0)
    memory.drain(AP, memory.drainable(AP)[0])
    assert memory.perform(FW, load("", X)) == 5
    assert memory.drainable(AP) == [0]


def test_stores_to_one_address_stay_in_order_and_a_mark_holds_those_behind_it():
    memory = SharedMemory(m.WEAK)
    for address, value in ((X, 1), (X, 2), (Y, 3)):
        memory.perform(AP, store("", address, value))
    assert memory.drainable(AP) == [0, 2]
    memory.perform(AP, order(""))
    memory.perform(AP, store("", Y + 8, 4))
    assert memory.drainable(AP) == [0, 2]
    assert not memory.is_ready(AP, fence(""))


def test_what_is_no_order_is_refused():
    with pytest.raises(ValueError, match="allowed are 0 to 2"):
        SharedMemory(3)


# -- merging ------------------------------------------------------------------------------------


def all_histories(make, depth, values):
    """For each history of loads up to a depth, the key that an actor has come to."""
    keys = {}
    for length in range(depth):
        for history in itertools.product(values, repeat=length):
            access = m.lead(make(), list(history), frozenset())
            keys[history] = m.END if access is None else access.key()
    return keys


@pytest.mark.parametrize(
    "make",
    [
        lambda: Handoff(2).lock(),
        lambda: Handoff(2).unlock(),
        lambda: Handoff(2).send(1, 0x4000, 1),
        lambda: Handoff(2).end_flush(1),
        lambda: i.OnePage(True).acquire(),
        lambda: i.OnePage(True).enter(1),
        lambda: i.OnePage(True).serve(),
    ],
)
def test_what_an_actor_does_next_depends_on_its_key_alone(make):
    keys = all_histories(make, 11, (0, 1))
    nexts = {}
    for history, key in keys.items():
        if history and keys[history[:-1]] != m.END:
            before = (keys[history[:-1]], history[-1])
            assert nexts.setdefault(before, key) == key


# -- the handoff --------------------------------------------------------------------------------


@pytest.mark.parametrize("memory_order", [m.SC, m.TSO, m.WEAK])
def test_the_lock_excludes_and_nobody_waits_for_ever(memory_order):
    found = i.run(i.LOCK, memory_order)
    assert found.complete
    assert i.failure(found) == ("", [])
    assert found.states > 1000
    assert found.interleavings(10) > 1000


def test_the_flush_leaves_no_line():
    found = i.run(i.FLUSH, m.SC)
    assert found.complete
    assert i.failure(found) == ("", [])


LOCK_ONLY = [one for one in i.LEFT_OUT if one.program is i.LOCK]


@pytest.mark.parametrize("left", LOCK_ONLY, ids=lambda one: one.what)
def test_a_step_of_the_lock_that_is_left_out_is_found_where_it_is_needed(left):
    first = m.ORDERS.index(left.order)
    for number, name in enumerate(m.ORDERS[: first + 1]):
        what, schedule = i.failure(i.run(left.program, number, left.places))
        needed = number == first
        assert bool(what) == needed, f"{left.what}, {name}: {what}"
        assert bool(schedule) == needed


def test_the_shortest_schedule_is_told_in_two_columns():
    _, schedule = i.failure(i.run(i.LOCK, m.TSO, ("lock 2",)))
    lines = i.columns(schedule)
    assert lines[0].split() == ["driver", "firmware"]
    assert lines[1] == "lock_ap := 0x1"
    assert any(line.startswith(" " * 40) and "has the lock" in line for line in lines)
    assert any(line.startswith("has the lock") for line in lines)
    assert len(schedule) < 20


def test_without_the_first_invalidation_a_line_comes_back():
    """KB-09."""
    what, schedule = i.failure(i.run(i.FLUSH, m.SC, ("drop 3",)))
    assert what == "a line of a page that was given away"
    texts = [i.step_text(done) for done in schedule]
    cleaned = texts.index("line := 0x0")
    assert "uses the page" in texts[cleaned:]


def test_an_actor_that_keeps_its_flag_up_is_waited_for_for_ever():
    found = i.run(i.LOCK, m.SC, ("unlock 3",))
    what, schedule = i.failure(found)
    assert what == "the firmware waits for ever"
    assert schedule


def test_actors_that_are_not_known_are_refused():
    def uses(access):
        def actor():
            yield access
            return 0

        return actor

    def tried(*accesses, traffic=None):
        actors = [Automaton(uses(access)) for access in accesses]
        return explore(actors, m.SC, lambda state: "", {}, traffic=traffic)

    known = tried(load("1", LOCK_AP), store("2", LOCK_FW, 1)).traffic(2)
    for odd in (load("1", LOCK_FW), store("1", LOCK_AP, 1)):
        with pytest.raises(ValueError, match="allowed are the addresses that are known"):
            tried(odd, store("2", LOCK_FW, 1), traffic=known)
    # What nobody stores to is always the same.
    assert tried(load("1", X), store("2", LOCK_FW, 1), traffic=known).complete
