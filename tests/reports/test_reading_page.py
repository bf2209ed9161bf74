"""The page about reading a counterexample shows what is really told."""

import json
import re
from pathlib import Path

import pytest

from conformance.systems.pagetable.operations import SPECS
from reference.operations import from_json
from reports import terminal
from reports.counterexample import to_json

PAGE = Path(__file__).parents[2] / "docs" / "reading-a-counterexample.md"


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text(encoding="utf-8")


def fenced(page, language):
    return re.findall(rf"^```{language}\n(.*?)\n```$", page, re.DOTALL | re.MULTILINE)


def test_every_excerpt_is_part_of_the_telling(page, kb16, vocabulary):
    told = terminal.tell(kb16, vocabulary=vocabulary)
    excerpts = fenced(page, "text")
    assert len(excerpts) == 6
    places = [told.find(excerpt + "\n") for excerpt in excerpts]
    assert -1 not in places, excerpts[places.index(-1)]
    assert places == sorted(places)


def test_the_table_of_fields_names_every_field(page, kb16):
    table = page.split("| field | holds |")[1]
    data = to_json(kb16)
    for name in [*data, *data["views"], *data["target"], *data["rule_text"]]:
        assert f"`{name}`" in table, name


def test_the_operations_written_by_hand_are_operations(page):
    (example,) = fenced(page, "json")
    lines = [line for line in example.splitlines() if not line.startswith("#")]
    assert [from_json(json.loads(line), SPECS).name for line in lines] == ["create", "map", "unmap"]


def test_every_letter_of_prot_is_explained(page):
    for letter in SPECS["map"].arg("prot").letters:
        assert f"`{letter}` " in page
