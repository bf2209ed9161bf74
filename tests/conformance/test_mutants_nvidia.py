"""Seeded bugs of the NVIDIA driver: their edits fit, and each shows in a run."""

import re

import pytest

from conformance.mutants import nvidia
from conformance.mutants.catalogue import MUTANTS, catalogue_of
from conformance.mutants.kill import subset
from conformance.mutants.mutant import driver_source, load
from conformance.rules.nvidia import NVIDIA
from conformance.systems import system_by_name
from reports.operations import make

SYSTEM = system_by_name("nvidia")
PAGE = 0x1000
LARGE = 0x20_0000
RULES = {rule.id for rule in NVIDIA}
KNOWN = (1, 15, 20, 36, 42, 44, 46, 47, 49, 53)


def operations(*calls):
    """Operations from (name, arguments)."""
    return [make(name, SYSTEM.specs, **args) for name, args in calls]


def rules_broken(target, *calls):
    """The rules that calls on a target break, the end included."""
    session = SYSTEM.session(target, None, None)
    found = set()
    for operation in operations(*calls):
        found |= {one.rule for one in session.run(operation).violations}
    outcome = session.finish()
    return found | {one.rule for one in (outcome.violations if outcome else ())}


# -- the catalogue ----------------------------------------------------------------------------


def test_ids_are_unique_over_all_systems_and_stories_are_told():
    ids = [one.id for one in MUTANTS]
    assert len(ids) == len(set(ids))
    assert len(nvidia.MUTANTS) >= 52
    for one in nvidia.MUTANTS:
        assert catalogue_of(one).system == "nvidia"
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.id)
        assert one.story[0].islower()
        assert not one.story.endswith(".")
        assert one.known == "" or re.fullmatch(r"KB-\d\d", one.known)
        assert one.file == ""


def test_every_rule_has_a_mutant():
    assert {one.rule for one in nvidia.MUTANTS} == RULES
    few = subset(nvidia.MUTANTS)
    assert {one.rule for one in few} == RULES
    assert {one.known for one in few} == {one.known for one in nvidia.MUTANTS}
    assert len(few) < len(nvidia.MUTANTS)


def test_known_bugs_are_here():
    assert {f"KB-{number:02}" for number in KNOWN} <= {one.known for one in nvidia.MUTANTS}


@pytest.mark.parametrize("one", nvidia.MUTANTS, ids=lambda one: one.id)
def test_each_fits_the_driver(one):
    driver = load(nvidia.PACKAGE, nvidia.FILE, [one])
    assert set(driver.places) == {one.id}
    assert driver.source != driver_source(nvidia.PACKAGE, nvidia.FILE)
