"""The smallest change to what a target did with which the broken rule would have held.

What was done is played back: the same operations with the same results, and the same events but for
one, which is put in, moved or left out. The first change, nearest to the violation, with which that
is not broken any more, and nothing else that was not broken before, names what the target most
likely forgot. It is found by trying, and no more is claimed: where two things went wrong, no one
change is enough, and there is none.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Final

from conformance.system import System
from conformance.targets.protocol import Target
from reference import trace as t
from reference.operations import Operation, Result
from reference.trace import Event, Trace
from reports.events import lane_of, range_words, tell_events

MOST_EVENTS: Final = 40_000
"""Events that are played back in all, before no more is tried."""
REACH: Final = 40
"""Something is put in, moved or left out at so many places, nearest to the violation first."""
NEAR: Final = 12
"""Of these places, so many are the first at which each change is tried."""
_LONGEST_COMMAND: Final = 40
"""So many events of the device in a row, at most, are taken for one command to it."""
MOST_COMMANDS: Final = 16
"""So many commands of the story are tried again, the latest first."""
MOST_CLEANED: Final = 8
"""Of so many tables, and so many stores, it is tried whether they should have been cleaned."""
_PAGE: Final = 0x1000
_TICKET: Final = (1 << 38) + 1
"""Of an invalidation that is put in: one that no target uses."""
_MOVABLE: Final = frozenset(
    {t.STORE, t.FILL, t.BARRIER, t.CLEAN, t.FREE, t.ATTACH, t.DETACH, t.COMPLETE}
)
"""Events that are tried at another place; a FREE only later: to give memory back sooner mends
nothing, it may only hide what becomes of it."""
BOTH: Final = t.SCOPE_LEAF | t.SCOPE_WALK


@dataclass(frozen=True)
class Story:
    """What a target did: the operations, what each returned, and the events of each.

    ``events`` are without the BEGIN and END of an operation.
    """

    operations: Sequence[Operation]
    results: Sequence[Result]
    events: Sequence[Sequence[Event]]

    def changed(self, operation: int, events: Sequence[Event]) -> "Story":
        """The same story, in which one operation has other events."""
        before, after = self.events[:operation], self.events[operation + 1 :]
        return Story(self.operations, self.results, [*before, events, *after])

    def flat(self) -> list[Event]:
        """All events in a row, BEGIN and END included."""
        flat: list[Event] = []
        for number, events in enumerate(self.events):
            result = self.results[number]
            end = Event(t.END, result.result, result.value)
            flat += [Event(t.BEGIN, number), *events, end]
        return flat

    def number(self, operation: int, at: int) -> int:
        """The number in the trace of the event that ``at`` others of its operation precede."""
        return sum(len(events) + 2 for events in self.events[:operation]) + 1 + at


DONE: Final = "done"
MOVED: Final = "moved"
LEFT_OUT: Final = "left out"


@dataclass(frozen=True)
class Change:
    """A changed story, and what was changed in it.

    ``way``: DONE, MOVED or LEFT_OUT. It is about ``count`` events of an operation, which ``number``
    others of it precede: in the changed story if they are done, else in the one that was. ``to``:
    for MOVED, the number of the event before which it comes now.
    """

    story: Story
    way: str
    operation: int
    number: int
    count: int = 1
    to: int = 0


def story_of(operations: Sequence[Operation], results: Sequence[Result], trace: Trace) -> Story:
    """The story that a session kept."""
    events: list[list[Event]] = []
    for event in trace:
        if event.kind == t.BEGIN:
            events.append([])
        elif event.kind != t.END:
            events[-1].append(event)
    return Story(list(operations), list(results), events)


class Player:
    """A target that does what a story says, and what it does not say as the true target does."""

    def __init__(self, target: Target, story: Story) -> None:
        self._target = target
        self._story = story
        self.name: str = target.name
        self.version: str = target.version
        self.traits: Mapping[str, Sequence[str | int]] = target.traits
        self.places: Sequence[str] = target.places

    def reset(self) -> None:
        """Go back to before the story."""
        self._target.reset()

    def perform(self, operation: Operation, trace: Trace) -> Result:
        """Do what the story says of the operation that has begun."""
        number = trace.event(len(trace) - 1).a
        told = self._story.operations
        if number >= len(told) or told[number].name != operation.name:
            # A create that goes without saying.
            return self._target.perform(operation, trace)
        for event in self._story.events[number]:
            trace.append(event)
        return self._story.results[number]

    def close(self) -> None:
        """Nothing is held."""


def broken(system: System, target: Target, story: Story) -> set[tuple[str, str]]:
    """The identities that a story violates, up to the first operation that violates any."""
    session = system.session(Player(target, story), None, None)
    for operation in story.operations:
        violations = session.run(operation).violations
        if violations:
            return {one.identity for one in violations}
    return set()


def repair(
    system: System, target: Target, story: Story, identity: tuple[str, str], event: int, iova: int
) -> str:
    """The first change with which a story does not violate ``identity``, nor what it did not.

    In words, to follow "it would have held"; "" if none of those tried is one.

    Args:
        system: the system.
        target: the one that it is the story of.
        story: up to the operation that violates it, and no further.
        identity: the rule and the signature.
        event: the event of the violation, by its number in the trace.
        iova: the address that is violated, held; -1 for none.
    """
    last = len(story.events) - 1
    at = min(max(event - story.number(last, 0), 0), len(story.events[last]))
    others = broken(system, target, story) - {identity}
    left = MOST_EVENTS // (sum(len(events) + 2 for events in story.events))
    for change in islice(_changes(system, story, at, iova), left):
        if broken(system, target, change.story) <= others:
            return _sentence(system, target, story, change)
    return ""


def _sentence(system: System, target: Target, story: Story, change: Change) -> str:
    event = story.number(change.operation, change.number)
    name = story.operations[change.operation].name
    told = change.story if change.way == DONE else story
    what = _words(system, target, told.flat(), event, change.count)
    inside = f"in operation {change.operation + 1} ({name})"
    if change.way == DONE:
        return f"if this had been done before event {event}, {inside}: {what}"
    if change.way == MOVED:
        return f"if event {event} had come before event {change.to}, {inside}: {what}"
    return f"without event {event}, {inside}: {what}"


def _words(system: System, target: Target, events: Sequence[Event], first: int, count: int) -> str:
    """Some events in the words of the tellings; an invalidation of ours has no ticket to name."""
    last = first + count - 1
    told = tell_events(events, first, last, target.places, None, system.registers, system.events)
    texts = [" ".join(one.text.split()) for one in told if f"ticket {_TICKET}" not in one.text]
    for event in events[first : last + 1]:
        if event.kind == t.INVALIDATE and event.c >> 16 == _TICKET:
            where = range_words(event.a, event.b)
            texts.append(f"an invalidation of {where}, leaf and walk entries, and its end")
    return ", then ".join(texts)


# -- what is tried ----------------------------------------------------------------------------


def _changes(system: System, story: Story, at: int, iova: int) -> Iterator[Change]:
    """What is tried, the likeliest first; ``at`` events of the last operation come before."""
    last = len(story.events) - 1
    places = [(last, number) for number in range(at, -1, -1)]
    for operation in range(last - 1, -1, -1):
        events = story.events[operation]
        places += [(operation, number) for number in range(len(events), -1, -1)]
    places = places[:REACH]
    taken = [(one, number) for one, number in places if number < len(story.events[one])]
    if at < len(story.events[last]):
        yield from _elsewhere(story, last, at)
    more = list(_added(system, story, iova))
    for some in (places[:NEAR], places[NEAR:]):
        for added in more:
            for operation, number in some:
                there = story.events[operation]
                changed = [*there[:number], *added, *there[number:]]
                yield Change(story.changed(operation, changed), DONE, operation, number, len(added))
    for operation, number in taken:
        if story.events[operation][number].kind in _MOVABLE:
            yield from _elsewhere(story, operation, number)
    for operation, number in taken:
        there = story.events[operation]
        less = [*there[:number], *there[number + 1 :]]
        yield Change(story.changed(operation, less), LEFT_OUT, operation, number)


def _elsewhere(story: Story, operation: int, number: int) -> Iterator[Change]:
    """An event at other places of its operation, the nearest first."""
    events = story.events[operation]
    rest = [*events[:number], *events[number + 1 :]]
    others = sorted(range(len(rest) + 1), key=lambda place: (abs(place - number), place))
    for place in others[1:NEAR]:
        if events[number].kind == t.FREE and place < number:
            continue
        changed = [*rest[:place], events[number], *rest[place:]]
        to = story.number(operation, place + 1 if place > number else place)
        yield Change(story.changed(operation, changed), MOVED, operation, number, 1, to)


def _added(system: System, story: Story, iova: int) -> Iterator[list[Event]]:
    """What may have been forgotten: a barrier, zeros, a clean, an invalidation, a command."""
    barrier = Event(t.BARRIER, t.BARRIER_FULL)
    yield [barrier]
    every = [event for events in story.events for event in events]
    filled = [(event.a, event.b) for event in every if event.kind == t.FILL]
    tables = [(event.a, event.b) for event in every if event.kind == t.ALLOC]
    for pa, size in tables[::-1]:
        if (pa, size) not in filled:
            yield [Event(t.FILL, pa, size, 0)]
    if any(event.kind == t.CLEAN for event in every):
        for pa, size in tables[: -MOST_CLEANED - 1 : -1]:
            yield [Event(t.CLEAN, pa, size)]
        stores = [event for event in every if event.kind == t.STORE]
        for store in stores[: -MOST_CLEANED - 1 : -1]:
            yield [Event(t.CLEAN, store.a, 8)]
    ended = [event.a for event in every if event.kind == t.COMPLETE]
    for event in every:
        if event.kind == t.INVALIDATE and event.c >> 16 not in ended:
            yield [Event(t.COMPLETE, event.c >> 16)]
    commands = _commands(system, story)
    yield from commands
    if not commands:
        command = t.invalidate_command(BOTH, t.CAUSE_ALL, _TICKET)
        complete = Event(t.COMPLETE, _TICKET)
        page = iova & ~(_PAGE - 1)
        for first, last in [(page, page + _PAGE - 1)] * (iova >= 0) + [(0, -1)]:
            invalidate = Event(t.INVALIDATE, first, last, command)
            yield [invalidate, complete]
            yield [barrier, invalidate, complete]


def _commands(system: System, story: Story) -> list[list[Event]]:
    """What the device was told in the story, command by command, the latest first.

    Commands that follow each other are one more, together.
    """
    found: list[list[Event]] = []

    def add(events: Sequence[Event]) -> None:
        if 0 < len(events) <= _LONGEST_COMMAND and list(events) not in found:
            found.append(list(events))

    for events in reversed(story.events):
        pieces: list[tuple[int, int]] = []
        if system.registers is not None:
            accesses = system.registers.accesses(events, 0, len(events) - 1, None)
            pieces += [(one.first, one.last) for one in accesses]
        pieces += [
            (number, number)
            for number, event in enumerate(events)
            if event.kind in system.events.lanes and lane_of(event, system.events) == "device"
        ]
        pieces.sort()
        for first, last in reversed(pieces):
            add(events[first : last + 1])
        for (first, end), (begin, last) in reversed(list(pairwise(pieces))):
            if begin == end + 1:
                add(events[first : last + 1])
    return found[:MOST_COMMANDS]
