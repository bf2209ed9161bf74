"""Two actors on one memory, one access at a time.

An *actor* is a generator of single accesses (:class:`Access`): it says what it does next, and is
told what it loaded. Between two accesses anybody else may run. Stores go through the actor's store
buffer, and when they leave it depends on the order of the machine:

========  ==========================================  ================================
order     a store is visible                          a load gives
========  ==========================================  ================================
``SC``    at once                                     what was stored last
``TSO``   after those before it                       the same, or its own newest store
``WEAK``  after those before it to the same address   the same, or once more what stood
          or before an order fence; a releasing       there before another's last store,
          store after all before it                   until an acquiring fence
========  ==========================================  ================================

A full fence waits until the buffer is empty. ``WEAK`` lets plain stores pass each other, and loads
be satisfied early, by one overwritten value.

Every access has a *place*: procedure and number of the step. What an actor does next may depend on
its place and on ``live``, which holds what else it remembers, and on nothing else. So two histories
that end in the same place, with the same memory, go on alike, and :func:`explore` looks at them
once: that is how all interleavings of actors that run for ever are looked at.

Source: the issue's orders; formats.md A.4 (the lock), H.1.
"""

from collections.abc import Callable, Generator
from typing import Final

SC: Final = 0
TSO: Final = 1
WEAK: Final = 2
ORDERS: Final = ("sc", "tso", "weak")
"""Their names."""

LOAD: Final = 0
STORE: Final = 1
RELEASE: Final = 2
"""A store that becomes visible after all before it."""
FENCE: Final = 3
"""A full fence."""
ACQUIRE: Final = 4
"""Later loads are not satisfied early any more."""
ORDER: Final = 5
"""Earlier stores become visible before later ones."""
CHOICE: Final = 6
"""The actor does one of ``value`` things, whichever."""
PRIVATE: Final = 7
"""A store that nobody's buffer delays: a device's own state."""
LOOK: Final = 8
"""A load of what is visible, never satisfied early: a device's own state, or a table walk."""
POINT: Final = 9
"""Nothing, but others may run."""
TAKE: Final = 10
"""From here on the actor has the lock."""
GIVE: Final = 11
"""From here on it has not."""
PASS: Final = 12
"""One round of what the actor does is over."""
TOUCH: Final = 13
"""A device uses the entry at ``address``. Its TLB's copy stands at ``value``, and is loaded if
there is none; a cached page (``CACHED``) leaves a line, which stands behind it. All at once:
whoever waits for an invalidation waits for accesses under way, too."""
NAP: Final = 14
"""Time passes, in which others run."""

UNCACHED: Final = 1
CACHED: Final = 3
"""Entries of the one page that TOUCH knows."""

HELD: Final = 6
"""Stores that a buffer holds at most."""


class Access:
    """One access: ``kind`` to ``address`` at ``place``; ``value``: of a store, or of a choice.

    ``live``: what the actor remembers at this place, besides where it is; ``where``: which of
    several callers of a procedure it is done for.
    """

    def __init__(self, kind: int, place: str, address: int, value: int, live: int) -> None:
        self.kind: int = kind
        self.place: str = place
        self.address: int = address
        self.value: int = value
        self.live: int = live
        self.where: str = ""

    def key(self) -> str:
        """What two accesses have in common after which an actor goes on alike."""
        return f"{self.place} {self.where} {self.address:x} {self.value:x} {self.live:x}"


Accesses = Generator[Access, int, int]
"""What an actor is. It returns a number."""


def load(place: str, address: int, live: int = 0) -> Access:
    """The value at ``address``."""
    return Access(LOAD, place, address, 0, live)


def store(place: str, address: int, value: int, live: int = 0) -> Access:
    """A plain store."""
    return Access(STORE, place, address, value, live)


def release(place: str, address: int, value: int, live: int = 0) -> Access:
    """A store after all before it."""
    return Access(RELEASE, place, address, value, live)


def fence(place: str, live: int = 0) -> Access:
    """A full fence."""
    return Access(FENCE, place, -1, 0, live)


def acquire(place: str, live: int = 0) -> Access:
    """An acquiring fence."""
    return Access(ACQUIRE, place, -1, 0, live)


def order(place: str, live: int = 0) -> Access:
    """A fence that orders stores."""
    return Access(ORDER, place, -1, 0, live)


def look(place: str, address: int, live: int = 0) -> Access:
    """What is visible at ``address``."""
    return Access(LOOK, place, address, 0, live)


def private(place: str, address: int, value: int, live: int = 0) -> Access:
    """A device changes its own state."""
    return Access(PRIVATE, place, address, value, live)


def point(place: str, kind: int = POINT, value: int = 0, live: int = 0) -> Access:
    """No access: others may run, or what ``kind`` says happens."""
    return Access(kind, place, -1, value, live)


def at(where: str, actor: Accesses) -> Accesses:
    """An actor that is called for ``where``."""
    value = 0
    try:
        access = next(actor)
        while True:
            access.where = f"{where} {access.where}"
            value = yield access
            access = actor.send(value)
    except StopIteration as stop:
        return int(stop.value)


MARK: Final = -1
"""In a buffer, in place of an address: an order fence."""


class Pending:
    """A store that is not visible to others yet."""

    def __init__(self, address: int, value: int, releases: bool) -> None:
        self.address: int = address
        self.value: int = value
        self.releases: bool = releases


class Traffic:
    """Which addresses actors use, where that is known: what nobody looks at need not be delayed.

    ``loaded``: by actor, the addresses that it loads; ``watched``: those that anybody looks at;
    ``contested``: those that several actors store to.
    """

    def __init__(self, actors: int) -> None:
        self.loaded: list[set[int]] = [set() for _ in range(actors)]
        self.stored: list[set[int]] = [set() for _ in range(actors)]
        self.watched: set[int] = set()
        self.contested: set[int] = set()

    def add(self, actor: int, access: Access) -> None:
        """An actor makes this access."""
        if access.kind == LOAD:
            self.loaded[actor].add(access.address)
        if access.kind in (LOAD, LOOK, TOUCH):
            self.watched.add(access.address)
        if access.kind in (STORE, RELEASE):
            for other in range(len(self.stored)):
                if other != actor and access.address in self.stored[other]:
                    self.contested.add(access.address)
            self.stored[actor].add(access.address)

    def check(self, actor: int, access: Access) -> None:
        """Refuse an access that is not known.

        Raises:
            ValueError: the actor does not make it, as far as is known.
        """
        known = True
        if access.kind in (STORE, RELEASE):
            known = access.address in self.stored[actor]
        elif access.kind in (LOAD, LOOK, TOUCH):
            # What nobody stores to is always the same.
            looked = self.loaded[actor] if access.kind == LOAD else self.watched
            known = access.address in looked or not any(
                access.address in stored for stored in self.stored
            )
        if not known:
            raise ValueError(
                f"actor {actor} uses {access.address:#x} at {access.place}; allowed are the "
                "addresses that are known"
            )


class SharedMemory:
    """Words by address, with a store buffer for each actor.

    ``words``: what is visible, 0 where nothing was stored. ``buffers``: by actor, oldest first.
    ``before``: what stood at an address before the last store; ``early``: by actor, the addresses
    of which that may still be loaded. ``traffic``: what is known of who uses what.
    """

    def __init__(self, order: int, actors: int = 2, traffic: Traffic | None = None) -> None:
        if not SC <= order <= WEAK:
            raise ValueError(f"order is {order}; allowed are {SC} to {WEAK}")
        self.order: int = order
        self.words: dict[int, int] = {}
        self.buffers: list[list[Pending]] = [[] for _ in range(actors)]
        self.before: dict[int, int] = {}
        self.early: list[set[int]] = [set() for _ in range(actors)]
        self.traffic: Traffic | None = traffic

    def copy(self) -> "SharedMemory":
        """One like it."""
        other = SharedMemory(self.order, len(self.buffers), self.traffic)
        other.words = dict(self.words)
        other.buffers = [list(buffer) for buffer in self.buffers]
        other.before = dict(self.before)
        other.early = [set(addresses) for addresses in self.early]
        return other

    def key(self) -> str:
        """A text that two memories have in common if they go on alike."""
        words = [f"{a:x}={self.words[a]:x}" for a in sorted(self.words) if self.words[a]]
        for number, buffer in enumerate(self.buffers):
            words.append(f"|{number}")
            words += [f"{one.address:x}:{one.value:x}{one.releases}" for one in buffer]
            words += [f"<{a:x}:{self.before[a]:x}" for a in sorted(self.early[number])]
        return " ".join(words)

    # -- what an access does ----------------------------------------------------------------

    def is_ready(self, actor: int, access: Access) -> bool:
        """Whether an access can be done now: a fence waits for the actor's stores."""
        if access.kind == FENCE:
            return not self.buffers[actor]
        if access.kind in (STORE, RELEASE, ORDER):
            return len(self.buffers[actor]) < HELD
        return True

    def may_be_early(self, actor: int, access: Access) -> bool:
        """Whether a load may give the overwritten value."""
        if access.kind != LOAD or access.address not in self.early[actor]:
            return False
        for one in self.buffers[actor]:
            if one.address == access.address:
                return False
        return True

    def perform(self, actor: int, access: Access, early: bool = False) -> int:
        """Do an access that is ready; what it loads. ``early``: the overwritten value."""
        kind = access.kind
        if kind == LOAD:
            return self.load(actor, access.address, early)
        if kind == LOOK:
            return self.words.get(access.address, 0)
        if kind in (STORE, RELEASE):
            if self.order == SC or self.is_idle(access):
                self.make_visible(actor, access.address, access.value)
            else:
                self.buffers[actor].append(Pending(access.address, access.value, kind == RELEASE))
        elif kind == PRIVATE:
            self.words[access.address] = access.value
        elif kind == ORDER:
            if self.order == WEAK and self.buffers[actor]:
                self.buffers[actor].append(Pending(MARK, 0, False))
        elif kind in (FENCE, ACQUIRE):
            self.early[actor].clear()
        elif kind == TOUCH:
            self.touch(access.address, access.value)
        return 0

    def is_idle(self, access: Access) -> bool:
        """Whether it makes no difference when a store is visible: nobody looks, or it is there.

        A store of what is there already is none, if nobody else stores to that address.
        """
        traffic = self.traffic
        if traffic is None:
            return False
        address = access.address
        if address not in traffic.watched:
            return True
        if address in traffic.contested or self.words.get(address, 0) != access.value:
            return False
        for buffer in self.buffers:
            for one in buffer:
                if one.address == address:
                    return False
        return True

    def touch(self, entry: int, copy: int) -> None:
        """See TOUCH."""
        word = self.words.get(copy, 0)
        if word == 0:
            word = self.words.get(entry, 0)
            self.words[copy] = word
        if word == CACHED:
            self.words[copy + 8] = 1

    def load(self, actor: int, address: int, early: bool) -> int:
        """The actor's own newest store, or what is visible, or what stood there before."""
        buffer = self.buffers[actor]
        for number in range(len(buffer) - 1, -1, -1):
            if buffer[number].address == address:
                return buffer[number].value
        if early:
            return self.before[address]
        self.early[actor].discard(address)
        return self.words.get(address, 0)

    def make_visible(self, actor: int, address: int, value: int) -> None:
        """Others see a store from now on."""
        if self.order == WEAK:
            stood = self.words.get(address, 0)
            if stood != value:
                self.before[address] = stood
            for other in range(len(self.early)):
                loads = self.traffic is None or address in self.traffic.loaded[other]
                if other == actor or not loads:
                    self.early[other].discard(address)
                elif stood != value:
                    self.early[other].add(address)
        self.words[address] = value

    # -- what leaves the buffers ------------------------------------------------------------

    def drainable(self, actor: int) -> list[int]:
        """Which of an actor's stores may become visible next."""
        buffer = self.buffers[actor]
        if not buffer:
            return []
        if self.order != WEAK or buffer[0].address == MARK:
            return [0]
        found: list[int] = []
        passed: set[int] = set()
        for number, one in enumerate(buffer):
            if one.address == MARK:
                break
            if one.address not in passed and (number == 0 or not one.releases):
                found.append(number)
            passed.add(one.address)
        return found

    def drain(self, actor: int, number: int) -> Pending:
        """One of them becomes visible."""
        one = self.buffers[actor].pop(number)
        if one.address != MARK:
            self.make_visible(actor, one.address, one.value)
        return one


# -- actors whose histories are merged ------------------------------------------------------

END: Final = "end"
"""The place of an actor that has returned."""


class Automaton:
    """An actor as what it is at each place: made anew and led there when it is asked.

    ``make`` makes the generator. ``without``: places whose access is left out.
    """

    def __init__(self, make: Callable[[], Accesses], without: frozenset[str] = frozenset()) -> None:
        self.make: Callable[[], Accesses] = make
        self.without: frozenset[str] = without
        self.histories: dict[str, list[int]] = {}
        self.accesses: dict[str, Access] = {}
        self.nexts: dict[tuple[str, int], str] = {}

    def start(self) -> str:
        """The key of the first access."""
        return self._led([])

    def after(self, key: str, value: int) -> str:
        """The key of the access after that of ``key``, which has loaded ``value``."""
        step = (key, value)
        found = self.nexts.get(step)
        if found is None:
            found = self._led([*self.histories[key], value])
            self.nexts[step] = found
        return found

    def _led(self, history: list[int]) -> str:
        access = lead(self.make(), history, self.without)
        if access is None:
            return END
        key = access.key()
        if key not in self.accesses:
            self.accesses[key] = access
            self.histories[key] = history
        return key


def lead(actor: Accesses, history: list[int], without: frozenset[str]) -> Access | None:
    """The access that an actor makes after it has been told ``history``; None at its end."""
    left = list(history)
    try:
        access = next(actor)
        while True:
            if access.place in without:
                access = actor.send(0)
            elif left:
                access = actor.send(left.pop(0))
            else:
                return access
    except StopIteration:
        return None


# -- all interleavings ----------------------------------------------------------------------


class Done:
    """One thing that was done: by which actor, what; ``drained``: a store became visible."""

    def __init__(self, actor: int, access: Access, value: int, drained: bool, early: bool) -> None:
        self.actor: int = actor
        self.access: Access = access
        self.value: int = value
        self.drained: bool = drained
        self.early: bool = early


class State:
    """A memory, where each actor is, and who has the lock."""

    def __init__(self, memory: SharedMemory, places: list[str], holds: list[bool]) -> None:
        self.memory: SharedMemory = memory
        self.places: list[str] = places
        self.holds: list[bool] = holds

    def key(self) -> str:
        """A text that two states have in common if they go on alike."""
        return f"{self.places} {self.holds} {self.memory.key()}"


class Edge:
    """From state ``source`` to state ``target``."""

    def __init__(self, source: int, target: int, done: Done) -> None:
        self.source: int = source
        self.target: int = target
        self.done: Done = done


class Exploration:
    """All states that actors can get into, and what is wrong with some.

    ``states``: how many; ``edges``: every step between them. ``failures``: for each thing that goes
    wrong the shortest schedule that leads to it. ``complete``: all states were looked at.
    """

    def __init__(self) -> None:
        self.states: int = 0
        self.edges: list[Edge] = []
        self.parents: list[Edge | None] = []
        self.failures: dict[str, list[Done]] = {}
        self.buffered: list[list[bool]] = []
        self.ended: list[set[int]] = []
        self.complete: bool = True

    def schedule(self, state: int) -> list[Done]:
        """The shortest schedule that leads to a state."""
        found: list[Done] = []
        edge = self.parents[state]
        while edge is not None:
            found.append(edge.done)
            edge = self.parents[edge.source]
        found.reverse()
        return found

    def interleavings(self, steps: int) -> int:
        """How many different schedules of so many steps there are."""
        ways: dict[int, int] = {0: 1}
        outgoing = self.outgoing()
        for _ in range(steps):
            after: dict[int, int] = {}
            for state, count in ways.items():
                for edge in outgoing[state]:
                    after[edge.target] = after.get(edge.target, 0) + count
            ways = after
        return sum(ways.values())

    def traffic(self, actors: int) -> Traffic:
        """Who uses which addresses."""
        found = Traffic(actors)
        for edge in self.edges:
            if not edge.done.drained:
                found.add(edge.done.actor, edge.done.access)
        return found

    def outgoing(self) -> list[list[Edge]]:
        """The edges that begin at each state."""
        found: list[list[Edge]] = [[] for _ in range(self.states)]
        for edge in self.edges:
            found[edge.source].append(edge)
        return found


Check = Callable[[State], str]
"""Says what is wrong with a state; "" for nothing."""


def explore(
    actors: list[Automaton],
    order: int,
    check: Check,
    begin: dict[int, int],
    limit: int = 2_000_000,
    traffic: Traffic | None = None,
    first: bool = False,
) -> Exploration:
    """Every state that ``actors`` can get into from a memory that holds ``begin``.

    ``check`` is asked of each. After ``limit`` states it is given up, and not complete.
    ``traffic``: who uses which addresses, if that is known. ``first``: what goes wrong first is
    enough.
    """
    found = Exploration()
    memory = SharedMemory(order, len(actors), traffic)
    memory.words = dict(begin)
    begins = State(memory, [actor.start() for actor in actors], [False] * len(actors))
    numbers: dict[str, int] = {begins.key(): 0}
    waiting: list[State] = [begins]
    found.parents.append(None)
    found.buffered.append([False] * len(actors))
    found.ended.append(set())
    at = 0
    while at < len(waiting):
        state = waiting[at]
        wrong = check(state)
        if wrong and wrong not in found.failures:
            found.failures[wrong] = found.schedule(at)
        for done, after in _steps(actors, state) if not wrong else []:
            key = after.key()
            number = numbers.get(key, -1)
            edge = Edge(at, number if number >= 0 else len(waiting), done)
            if number < 0:
                numbers[key] = len(waiting)
                waiting.append(after)
                found.parents.append(edge)
                found.buffered.append([len(buffer) > 0 for buffer in after.memory.buffers])
                found.ended.append({who for who, place in enumerate(after.places) if place == END})
            found.edges.append(edge)
        if len(waiting) > limit or (wrong and first):
            found.complete = False
            break
        # Its memory is not needed any more.
        waiting[at] = begins
        at += 1
    found.states = len(waiting)
    return found


def _steps(actors: list[Automaton], state: State) -> list[tuple[Done, State]]:
    """Everything that can happen next."""
    found: list[tuple[Done, State]] = []
    for number, actor in enumerate(actors):
        for index in state.memory.drainable(number):
            memory = state.memory.copy()
            one = memory.drain(number, index)
            done = Done(number, store("", one.address, one.value), 0, True, False)
            found.append((done, State(memory, state.places, state.holds)))
        key = state.places[number]
        if key == END:
            continue
        access = actor.accesses[key]
        if not state.memory.is_ready(number, access):
            continue
        if state.memory.traffic is not None:
            state.memory.traffic.check(number, access)
        choices = list(range(access.value)) if access.kind == CHOICE else [0]
        for early in [False, True]:
            if early and not state.memory.may_be_early(number, access):
                continue
            for choice in choices:
                memory = state.memory.copy()
                value = memory.perform(number, access, early) + choice
                places = list(state.places)
                places[number] = actor.after(key, value)
                holds = list(state.holds)
                if access.kind in (TAKE, GIVE):
                    holds[number] = access.kind == TAKE
                done = Done(number, access, value, False, early)
                found.append((done, State(memory, places, holds)))
    return found


# -- waiting for ever -----------------------------------------------------------------------


def stuck(found: Exploration, actor: int) -> list[Done]:
    """The shortest schedule to a state from which an actor may wait for ever; [] if there is none.

    It waits for ever if there is a cycle in which its round never ends, although every actor goes
    on, every store becomes visible, and no load is satisfied early for ever.
    """
    kept = [
        edge
        for edge in found.edges
        if not (edge.done.actor == actor and edge.done.access.kind == PASS) and not edge.done.early
    ]
    component = _components(found.states, kept)
    stepping: dict[int, set[int]] = {}
    draining: dict[int, set[int]] = {}
    for edge in kept:
        here = component[edge.source]
        if here == component[edge.target]:
            told = draining if edge.done.drained else stepping
            told.setdefault(here, set()).add(edge.done.actor)
    resting: dict[int, set[int]] = {}
    for state in range(found.states):
        empty = {who for who, waits in enumerate(found.buffered[state]) if not waits}
        here = component[state]
        resting[here] = resting[here] | empty if here in resting else empty
    actors = set(range(len(found.buffered[0])))
    for state in range(found.states):
        here = component[state]
        # Who has ended takes no step any more.
        if actor in found.ended[state]:
            continue
        if stepping.get(here, set()) | found.ended[state] != actors:
            continue
        if actors <= draining.get(here, set()) | resting[here]:
            return found.schedule(state)
    return []


def _components(states: int, edges: list[Edge]) -> list[int]:
    """For each state the number of its strongly connected component (Tarjan's algorithm)."""
    outgoing: list[list[int]] = [[] for _ in range(states)]
    for edge in edges:
        outgoing[edge.source].append(edge.target)
    index: list[int] = [-1] * states
    low: list[int] = [0] * states
    component: list[int] = [-1] * states
    stack: list[int] = []
    count = 0
    number = 0
    for root in range(states):
        if index[root] >= 0:
            continue
        work: list[tuple[int, int]] = [(root, 0)]
        while work:
            at, child = work.pop()
            if child == 0:
                index[at] = low[at] = count
                count += 1
                stack.append(at)
            if child < len(outgoing[at]):
                work.append((at, child + 1))
                there = outgoing[at][child]
                if index[there] < 0:
                    work.append((there, 0))
                elif component[there] < 0:
                    low[at] = min(low[at], index[there])
                continue
            if low[at] == index[at]:
                while True:
                    top = stack.pop()
                    component[top] = number
                    if top == at:
                        break
                number += 1
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[at])
    return component
