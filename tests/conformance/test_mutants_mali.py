"""Seeded bugs of the Mali driver: their edits fit, in whatever module, and each shows in a run."""

import re

import pytest

from conformance.discovery import system_by_name
from conformance.kill import run_mutant, subset
from conformance.mutants.mutant import Mutant, driver_source, load
from conformance.registry import all_mutants, mutant_by_id, mutant_target
from conformance.systems.gpuvm import mutants as gpuvm
from conformance.systems.mali import mutants as mali
from conformance.systems.mali.rules import MALI
from reference.operations import make
from reference.trace import CRASH, HANG

SYSTEM = system_by_name("mali")
PAGE = 0x1000
RULES = {rule.id for rule in MALI}
MODULES = {
    "",
    "reference.systems.gpuvm.driver",
    "reference.systems.pagetable.driver",
    "reference.systems.va_alloc.driver",
}
KNOWN = (2, 3, 4, 10, 11, 12, 13, 14, 17, 19, 31, 33, 34, 35, 38, 45, 48, 50, 54, 55)


def run_on(target, *calls):
    """Carry out calls on a target, and say which events came of them."""
    session = SYSTEM.session(target, None, None)
    for name, args in calls:
        session.run(make(name, SYSTEM.specs, **args))
    session.finish()
    return [event.kind for event in session.trace]


# -- the catalogue ----------------------------------------------------------------------------


def test_ids_are_unique_over_all_systems_and_stories_are_told():
    ids = [one.id for one in all_mutants()]
    assert len(ids) == len(set(ids))
    assert len(mali.MUTANTS) >= 48
    for one in mali.MUTANTS:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.id)
        assert one.story[0].islower() or one.story.startswith(("AS ", "VMAs "))
        assert not one.story.endswith(".")
        assert one.known == "" or re.fullmatch(r"KB-\d\d", one.known)
        assert one.module in MODULES


def test_every_rule_has_a_mutant():
    assert {one.rule for one in mali.MUTANTS} == RULES
    few = subset(mali.MUTANTS)
    assert {one.rule for one in few} == RULES
    assert {one.known for one in few} == {one.known for one in mali.MUTANTS}
    assert len(few) < len(mali.MUTANTS)


def test_known_bugs_are_here():
    known = [one.known for one in mali.MUTANTS]
    assert {f"KB-{number:02}" for number in KNOWN} <= set(known)
    assert known.count("KB-38") == 3


def test_every_module_of_the_driver_has_mutants():
    assert {one.module for one in mali.MUTANTS} == MODULES


@pytest.mark.parametrize("one", mali.MUTANTS, ids=lambda one: one.id)
def test_each_fits_the_driver(one):
    driver = load(mali.DRIVER, [one])
    assert set(driver.places) == {one.id}
    assert driver.source != driver_source(mali.DRIVER)


# -- edits of other modules -------------------------------------------------------------------


def test_the_driver_imports_from_the_edited_module():
    driver = load(mali.DRIVER, [mutant_by_id("rest-with-old-offset")])
    assert driver.module.Gpuvm.__module__.startswith("_mmu_mutant_")
    assert driver.module.PageTable.__module__ == "reference.systems.pagetable.driver"
    assert driver.source.endswith(driver_source(mali.DRIVER))


def test_edits_of_several_modules_are_counted_in_each():
    names = ("rest-with-old-offset", "linked-before-visible", "noexec-ignored")
    target = mutant_target([mutant_by_id(name) for name in names])
    map_four = {"bo": 0, "size": 4 * PAGE}
    run_on(target, ("create", {}), ("vm", {}), ("bo", {}), ("bind", map_four))
    # Three tables below the root are linked, and no hole is made.
    assert [target.executed(name) for name in names] == [(0, 0), (3, 3), (1, 1)]
    hole = {"kind": 1, "va": PAGE}
    run_on(target, ("create", {}), ("vm", {}), ("bo", {}), ("bind", map_four), ("bind", hole))
    assert target.executed("rest-with-old-offset") == (1, 1)


def test_a_module_from_which_the_driver_does_not_import_is_refused():
    edit = ("self.ticket += 1", "self.ticket += 2")
    one = Mutant("tried", "TR-1", "tried", (edit,), module="reference.systems.pagetable.driver")
    assert set(load(mali.DRIVER, [one]).places) == {"tried"}
    with pytest.raises(
        ValueError, match=r"from which reference\.systems\.gpuvm\.driver does not import"
    ):
        load(gpuvm.DRIVER, [one])


@pytest.mark.parametrize(
    ("name", "kind"), [("vma-search-never-ends", HANG), ("one-vma-to-unmap", CRASH)]
)
def test_a_call_that_does_not_come_back_is_told(name, kind):
    events = run_on(
        mutant_target([mutant_by_id(name)]),
        ("create", {}),
        ("vm", {}),
        ("bo", {}),
        *(("bind", {"bo": 0, "va": number * PAGE}) for number in range(12)),
        ("bind", {"bo": 0, "size": 3 * PAGE, "va": 20 * PAGE}),
        ("bind", {"kind": 1, "va": 21 * PAGE}),
    )
    assert {HANG, CRASH} & set(events) == {kind}


# -- killed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["update-not-awaited", "rest-with-old-offset"])
def test_a_mutant_is_killed_by_its_rule_alone(name):
    verdict = run_mutant(mutant_by_id(name), 6, 2)
    assert verdict.killed, verdict.reason
    assert len(verdict.witness) <= 7
