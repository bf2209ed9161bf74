"""Seeded bugs of the DART driver: their edits fit, each rule has one, and finds it alone."""

import re

import pytest

from conformance.discovery import SYSTEMS
from conformance.mutants.mutant import driver_source, load
from conformance.registry import all_mutants
from conformance.systems.dart import mutants as dart
from conformance.systems.dart.rules import DART

pytestmark = pytest.mark.xdist_group("engine")

SYSTEM = SYSTEMS["dart"]
KNOWN = {
    "", "KB-05", "KB-08", "KB-10", "KB-18", "KB-30", "KB-40", "KB-41", "KB-44", "KB-46", "KB-50",
    "KB-52", "KB-70", "KB-71", "KB-73",
}  # fmt: skip


def test_ids_are_unique_and_stories_are_told():
    ids = [one.id for one in dart.MUTANTS]
    assert len(ids) >= 40
    everywhere = [one.id for one in all_mutants()]
    assert len(set(everywhere)) == len(everywhere)
    for one in dart.MUTANTS:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.id)
        assert one.story[0].islower()
        assert not one.story.endswith(".")
    assert {one.known for one in dart.MUTANTS} == KNOWN


def test_every_rule_has_a_mutant():
    assert {one.rule for one in dart.MUTANTS} == {rule.id for rule in DART}


@pytest.mark.parametrize("one", dart.MUTANTS, ids=lambda one: one.id)
def test_each_fits_the_driver(one):
    driver = load(dart.DRIVER, [one])
    assert set(driver.places) == {one.id}
    assert driver.source != driver_source(dart.DRIVER)
