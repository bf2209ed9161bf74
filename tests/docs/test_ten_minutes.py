"""The page of ten minutes: what it shows is what comes."""

import json
import re
from pathlib import Path

import pytest

from conformance.discovery import system_by_name
from conformance.make_counterexample import counterexample_of
from conformance.registry import make_target
from conformance.replay import replay
from reference.operations import from_json, make
from reports import counterexample, terminal

PAGE = Path(__file__).parents[2] / "docs" / "ten-minutes.md"
SYSTEM = system_by_name("pagetable")
IDENTITY = ("TL-1", "sync, level 1, stale leaf")


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def found():
    operations = [
        make("create", SYSTEM.specs),
        make("map", SYSTEM.specs, iova=0, pgsize=1 << 30),
        make("unmap", SYSTEM.specs, iova=0, pgsize=1 << 30),
        make("sync", SYSTEM.specs),
    ]
    return counterexample_of(
        SYSTEM, make_target("mutant:unmap-not-flushed"), operations, IDENTITY, 0
    )


def fenced(text, language):
    return re.findall(rf"^```{language}\n(.*?)\n```$", text, re.DOTALL | re.MULTILINE)


def test_every_excerpt_is_part_of_the_telling(page, found):
    told = terminal.tell(found, vocabulary=SYSTEM.vocabulary)
    excerpts = fenced(page.split("## Minutes 4 to 9")[1].split("## Minute 10")[0], "text")
    assert len(excerpts) == 7
    places = [told.find(excerpt + "\n") for excerpt in excerpts]
    assert -1 not in places, excerpts[places.index(-1)]
    assert places == sorted(places)


def test_the_file_has_the_name_that_is_typed(page, found):
    assert page.count(f"replay first/counterexamples/{found.file_name}") == 2


def test_the_replays_answer_what_the_page_says(page, found, tmp_path):
    file = tmp_path / found.file_name
    counterexample.save(found, file)
    assert replay(str(file), None, "pagetable", None).answer == "FAILED"
    answer = replay(str(file), "reference", "pagetable", None).text()
    shown = fenced(page.split("## Minute 10")[1], "text")[0]
    # Whether the model is compiled is a matter of the installation.
    assert answer.startswith(shown.split(" (")[0])


def test_the_operations_written_by_hand_break_the_rule(page, tmp_path):
    (example,) = fenced(page, "json")
    assert [from_json(json.loads(line), SYSTEM.specs).name for line in example.splitlines()] == [
        "map",
        "unmap",
        "sync",
    ]
    file = tmp_path / "operations"
    file.write_text(example, encoding="utf-8")
    done = replay(str(file), "mutant:unmap-not-flushed", "pagetable", None)
    assert [one.rule for one in done.violations] == ["TL-1"]
    assert not replay(str(file), None, "pagetable", None).failed
