"""Seeded bugs of a UAT driver and its firmware: their edits fit, and each rule has one."""

import re

import pytest

from conformance.mutants.mutant import driver_source, load
from conformance.systems.uat import mutants as uat
from conformance.systems.uat.rules import UAT


def test_ids_are_unique_and_stories_are_told():
    ids = [one.id for one in uat.MUTANTS]
    assert len(ids) == len(set(ids)) >= 50
    for one in uat.MUTANTS:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.id)
        assert one.story[0].islower()
        assert not one.story.endswith(".")
    known = {one.known for one in uat.MUTANTS} | set(uat.CATALOGUE.not_here)
    assert {"KB-08", "KB-09", "KB-30", "KB-50", "KB-51", "KB-52"} <= known


def test_every_rule_but_that_of_warnings_has_a_mutant():
    # Our own driver has no place for a warning.
    assert {one.rule for one in uat.MUTANTS} == {rule.id for rule in UAT} - {"PG-3"}


@pytest.mark.parametrize("one", uat.MUTANTS, ids=lambda one: one.id)
def test_each_fits_the_driver(one):
    driver = load(uat.DRIVER, [one])
    assert set(driver.places) == {one.id}
    assert one.module or driver.source != driver_source(uat.DRIVER)
