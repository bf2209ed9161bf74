"""What would have been enough: of each mutant of order and flush, the event that it lost."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.discovery import SYSTEMS
from conformance.make_counterexample import counterexample_of
from conformance.registry import make_target
from conformance.repair import Player, broken, repair, story_of
from reference import trace as t
from reference.operations import Operation, Result, from_json, make
from reference.trace import Trace
from reports import html, markdown, terminal

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parent / "repairs.jsonl").read_text("utf-8").splitlines()
]
SYSTEM = SYSTEMS["pagetable"]


def target_of(system, name):
    return make_target(name, None, lambda text: None, system)


def example_of(row, **how):
    """The counterexample of a row of the file."""
    system = SYSTEMS[row["system"]]
    target = target_of(row["system"], f"mutant:{row['mutant']}")
    operations = [from_json(one, system.specs) for one in row["operations"]]
    return counterexample_of(system, target, operations, (row["rule"], row["signature"]), 0, **how)


def test_there_are_enough():
    assert len(ROWS) >= 40
    assert len({row["mutant"] for row in ROWS}) == len(ROWS)
    assert {row["system"] for row in ROWS} == {"pagetable", "dart", "mali", "nvidia", "uat"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['system']}-{row['mutant']}")
def test_the_lost_event_is_named(row):
    example = example_of(row)
    assert example is not None
    assert example.views.repair.partition(": ")[2] == row["enough"]
    # It is told in each form, and left out where it was not looked for.
    sentence = f"It would have held {example.views.repair}."
    assert " ".join(sentence.split()) in " ".join(terminal.tell(example).split())
    bare = replace(example, views=replace(example.views, repair=""))
    for form in (terminal, markdown, html):
        assert "What would have been enough" in form.tell(example)
        assert "What would have been enough" not in form.tell(bare)


def test_it_is_looked_for_only_where_that_is_wanted():
    assert example_of(ROWS[0], repaired=False).views.repair == ""


# -- stories ------------------------------------------------------------------------------------


def session_after(*operations, target="reference"):
    session = SYSTEM.session(target_of("pagetable", target), None)
    for name, args in operations:
        session.run(make(name, SYSTEM.specs, **args))
    return session


MAPPED: tuple[tuple[str, dict[str, int]], ...] = (
    ("create", {}), ("map", {"iova": 0, "pgsize": 4096}),
    ("unmap", {"iova": 0, "pgsize": 4096}), ("sync", {}),
)  # fmt: skip


def test_a_story_played_back_is_the_story():
    session = session_after(*MAPPED)
    story = story_of(session.operations, session.results, session.trace)
    assert story.flat() == list(session.trace)
    again = SYSTEM.session(Player(session.target, story), None)
    for operation in story.operations:
        assert again.run(operation).violations == []
    assert list(again.trace) == list(session.trace)
    assert broken(SYSTEM, session.target, story) == set()
    for operation, events in enumerate(story.events):
        for at, event in enumerate(events):
            assert list(session.trace)[story.number(operation, at)] == event


def test_a_player_does_what_is_not_told_as_the_target_does():
    story = story_of([], [], Trace())
    trace = Trace()
    trace.emit(t.BEGIN, 0)
    player = Player(target_of("pagetable", "reference"), story)
    player.reset()
    assert player.perform(make("create", SYSTEM.specs), trace) == Result(0, 0)
    assert len(trace) > 1


def test_the_change_is_told_with_its_place():
    session = session_after(*MAPPED, target="mutant:unmap-not-flushed")
    story = story_of(session.operations, session.results, session.trace)
    (identity,) = broken(SYSTEM, session.target, story)
    event = len(session.trace) - 1
    told = repair(SYSTEM, session.target, story, identity, event, 0)
    assert told.startswith(f"if this had been done before event {event}, in operation 4 (sync): ")


def test_a_wrong_result_is_repaired_by_no_event():
    session = session_after(*MAPPED[:2])
    results = [session.results[0], Result(-errno.EINVAL, 0)]
    story = story_of(session.operations, results, session.trace)
    identity = min(broken(SYSTEM, session.target, story))
    assert identity[0] == "ER-1"
    event = len(session.trace) - 1
    assert repair(SYSTEM, session.target, story, identity, event, -1) == ""


def test_operations_are_those_of_the_story():
    session = session_after(*MAPPED)
    story = story_of(session.operations, session.results, session.trace)
    assert [one.name for one in story.operations] == ["create", "map", "unmap", "sync"]
    assert all(isinstance(one, Operation) for one in story.operations)
    assert story.changed(1, []).events[1] == []
    assert story.changed(1, []).events[2] == story.events[2]
