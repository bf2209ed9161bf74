"""Seeded bugs of the NVIDIA driver: their edits fit, and each shows in a few calls."""

import re

import pytest

from conformance.discovery import system_by_name
from conformance.kill import run_mutant, subset
from conformance.mutants.mutant import driver_source, load
from conformance.registry import (
    all_mutants,
    catalogue_of,
    mutant_by_id,
    mutant_target,
    reference_target,
)
from conformance.systems.nvidia import mutants as nvidia
from conformance.systems.nvidia.rules import NVIDIA
from reference.operations import make
from reference.trace import CRASH, HANG

SYSTEM = system_by_name("nvidia")
PAGE = 0x1000
BIG = 0x1_0000
LARGE = 0x20_0000
RULES = {rule.id for rule in NVIDIA}
KNOWN = (1, 15, 20, 36, 42, 44, 46, 47, 49, 53)

Call = tuple[str, dict[str, int | str]]

MANAGED: Call = ("create", {"managed": 1})
RAW: Call = ("create", {"raw": 1})
MEMORY: Call = ("memory", {"size": LARGE})
HOST: Call = ("memory", {"size": LARGE, "target": 1})
GET: Call = ("get", {})
MAP: Call = ("map", {})
PUT: Call = ("put", {})
UNMAP: Call = ("unmap", {})
GET_SMALL: Call = ("get", {"getref": 1, "shift": 12})
GET_BIG: Call = ("get", {"getref": 1, "shift": 16, "size": BIG})
FIRST_PAGE: Call = ("map_part", {"size": PAGE})
CREATE: Call = ("create", {})

SHOWN: dict[str, tuple[Call, ...]] = {
    "linked-before-filled": (
        RAW,
        ("raw_sparse", {"size": BIG}),
        ("raw_get", {}),
    ),
    "spare-table-not-cleared": (
        RAW,
        ("raw_get", {}),
    ),
    "page-of-directory-in-two-steps": (
        MANAGED,
        ("pfn_map", {"shift": 21, "size": LARGE}),
        ("pfn_unmap", {"size": LARGE}),
    ),
    "pair-freed-before-flush": (
        CREATE,
        GET_SMALL,
        PUT,
    ),
    "directories-not-flushed": (
        CREATE,
        MEMORY,
        GET,
        MAP,
        PUT,
    ),
    "pair-freed-before-unlinked": (
        CREATE,
        ("memory", {"size": LARGE, "page": 16}),
        GET_BIG,
        ("get", {"size": PAGE}),
        ("map", {"vma": 1}),
        ("put", {"vma": 1}),
    ),
    "root-lost": (CREATE,),
    "root-of-failed-space-lost": (("create", {"fail_at": 1003}),),
    "instance-block-lost": (
        CREATE,
        ("join", {}),
        ("part", {}),
    ),
    "table-beside-lost": (
        CREATE,
        GET_BIG,
        GET_SMALL,
        PUT,
    ),
    "page-of-small-tables-freed": (
        CREATE,
        GET_BIG,
        PUT,
    ),
    "kept-tables-freed-again": (
        CREATE,
        GET_SMALL,
        ("stick", {"polls": -1}),
        PUT,
        ("stick", {"polls": 0}),
        GET_SMALL,
    ),
    "cleared-after-freed": (CREATE, GET_BIG, PUT),
    "slot-not-awaited": (
        CREATE,
        ("get", {"sparse": 1}),
    ),
    "root-in-small-units": (
        CREATE,
        GET_SMALL,
    ),
    "hub-flushed-only": (
        ("create", {"chip": "gf100"}),
        GET_SMALL,
    ),
    "stuck-device-awaited": (
        CREATE,
        MEMORY,
        GET,
        ("stick", {"polls": -1}),
        MAP,
    ),
    "unlinking-not-visible": (
        CREATE,
        GET_SMALL,
        PUT,
    ),
    "end-of-pages-not-visible": (
        MANAGED,
        ("pfn_map", {"size": 2 * PAGE}),
        ("pfn_unmap", {"size": PAGE}),
    ),
    "page-gone-before-flush": (
        MANAGED,
        ("pfn_map", {}),
        ("pfn_unmap", {}),
    ),
    "memory-gone-before-put": (
        CREATE,
        MEMORY,
        GET,
        MAP,
        ("drop", {}),
        PUT,
    ),
    "map-not-flushed": (
        CREATE,
        MEMORY,
        GET_SMALL,
        MAP,
    ),
    "large-range-not-flushed": (
        CREATE,
        ("get", {"sparse": 1, "size": 256 * LARGE}),
    ),
    "address-in-32-bits": (
        CREATE,
        HOST,
        GET,
        MAP,
    ),
    "pieces-taken-as-one": (
        CREATE,
        ("memory", {"size": LARGE, "scattered": 1}),
        ("get", {"size": 2 * PAGE}),
        MAP,
    ),
    "next-table-from-the-start": (
        CREATE,
        ("memory", {"size": 2 * LARGE}),
        ("get", {"size": LARGE + PAGE}),
        MAP,
    ),
    "unmapped-by-word-only": (
        CREATE,
        MEMORY,
        GET_SMALL,
        MAP,
        UNMAP,
    ),
    "kind-in-seven-bits": (
        CREATE,
        MEMORY,
        GET,
        ("map", {"kind": 0xFE}),
    ),
    "host-not-volatile": (
        CREATE,
        HOST,
        GET,
        MAP,
    ),
    "wrong-aperture": (
        CREATE,
        ("memory", {"size": LARGE, "target": 2}),
        GET,
        MAP,
    ),
    "limit-one-too-high": (
        CREATE,
        ("join", {}),
    ),
    "one-unit-replays": (
        ("create", {"replay": 1}),
        ("join", {}),
    ),
    "large-size-not-said": (
        ("create", {"chip": "gm200"}),
        ("join", {}),
    ),
    "one-entry-more-cleared": (
        CREATE,
        MEMORY,
        ("get", {"size": 3 * PAGE}),
        MAP,
        ("get", {"size": 3 * PAGE}),
        ("map", {"vma": 1}),
        ("put", {"vma": 0}),
    ),
    "half-of-directory-sparse": (
        CREATE,
        MEMORY,
        ("get", {"sparse": 1, "size": 256 * LARGE}),
        FIRST_PAGE,
    ),
    "unmap-ends-sparse": (
        CREATE,
        MEMORY,
        ("get", {"sparse": 1, "size": BIG}),
        FIRST_PAGE,
        ("map_part", {"first": PAGE, "size": PAGE}),
        UNMAP,
    ),
    "sparse-ended-first": (
        CREATE,
        MEMORY,
        ("get", {"sparse": 1, "size": BIG}),
        GET_SMALL,
        FIRST_PAGE,
        PUT,
    ),
    "sparse-mark-of-table-lost": (
        CREATE,
        MEMORY,
        ("get", {"sparse": 1, "size": LARGE}),
        FIRST_PAGE,
        UNMAP,
    ),
    "small-pages-stay-sparse": (
        CREATE,
        MEMORY,
        ("get", {"sparse": 1, "size": BIG}),
        GET_SMALL,
        FIRST_PAGE,
        PUT,
        ("get", {"getref": 1, "shift": 12, "size": 2 * PAGE}),
    ),
    "new-table-without-marks": (
        CREATE,
        ("memory", {"size": LARGE, "page": 16}),
        ("get", {"sparse": 1, "size": LARGE}),
        ("map_part", {"size": BIG}),
        ("map_part", {"first": BIG, "size": PAGE}),
        ("unmap", {"first": BIG}),
    ),
    "count-of-six-bits": (
        RAW,
        ("raw_get", {"size": BIG}),
        ("raw_get", {"size": BIG}),
        ("raw_get", {"size": BIG}),
        ("raw_get", {"size": BIG}),
        ("raw_get", {"size": BIG}),
    ),
    "small-pages-counted-once": (
        CREATE,
        ("get", {"getref": 1, "shift": 12, "size": 2 * PAGE}),
    ),
    "mark-stays": (
        CREATE,
        ("get", {"sparse": 1, "size": BIG}),
        GET_BIG,
        PUT,
    ),
    "lazy-references-kept": (
        CREATE,
        MEMORY,
        ("get", {"mapref": 0}),
        MAP,
        UNMAP,
        PUT,
    ),
    "referenced-by-every-map": (
        CREATE,
        MEMORY,
        GET_SMALL,
        MAP,
    ),
    "old-memory-kept": (
        CREATE,
        MEMORY,
        MEMORY,
        GET,
        MAP,
        ("map", {"memory": 1}),
    ),
    "memory-of-parts-kept": (
        CREATE,
        MEMORY,
        ("get", {"size": 3 * PAGE}),
        FIRST_PAGE,
        ("map_part", {"first": PAGE, "size": PAGE}),
        PUT,
    ),
    "memory-gone-while-mapped": (
        CREATE,
        MEMORY,
        GET,
        MAP,
        ("drop", {}),
    ),
    "page-never-taken-away": (
        MANAGED,
        ("pfn_map", {}),
        ("pfn_unmap", {}),
    ),
    "replaced-page-kept": (
        MANAGED,
        ("pfn_map", {}),
        ("pfn_map", {"pattern": 4}),
    ),
    "first-fit": (
        CREATE,
        ("get", {"size": 2 * PAGE}),
        GET,
        GET,
        GET,
        ("put", {"vma": 0}),
        ("put", {"vma": 2}),
        GET,
    ),
    "page-size-not-aligned-to": (
        CREATE,
        GET,
        ("get", {"shift": 21, "size": LARGE, "align": 12}),
    ),
    "hole-not-merged": (
        CREATE,
        GET,
        GET,
        GET,
        ("put", {"vma": 1}),
        ("put", {"vma": 0}),
        ("get", {"size": 2 * PAGE}),
    ),
    "mapped-before-referenced": (
        MANAGED,
        ("pfn_map", {"fail_at": 1}),
    ),
    "unmapped-with-page-size": (
        CREATE,
        MEMORY,
        GET,
        MAP,
        UNMAP,
    ),
    "parts-not-alike-merged": (
        MANAGED,
        ("pfn_map", {"size": 2 * PAGE}),
        ("pfn_unmap", {"size": PAGE}),
    ),
    "last-byte-of-area-refused": (
        CREATE,
        MEMORY,
        ("get", {"size": 3 * PAGE}),
        ("map_part", {"first": PAGE, "size": 2 * PAGE}),
    ),
    "beyond-memory-accepted": (
        CREATE,
        MEMORY,
        ("get", {"size": 2 * PAGE}),
        ("map", {"offset": LARGE - PAGE}),
    ),
    "raw-calls-anywhere": (
        ("create", {"raw": 1, "start": 1 << 32, "size": 1 << 32}),
        ("raw_get", {"addr": 1 << 32}),
    ),
    "no-pages-referenced": (
        RAW,
        ("raw_get", {"size": 0}),
    ),
    "unmapped-from-inside": (
        CREATE,
        MEMORY,
        ("get", {"size": 2 * PAGE}),
        MAP,
        ("unmap", {"first": PAGE}),
    ),
    "dropped-again": (
        MEMORY,
        CREATE,
        GET,
        MAP,
        ("drop", {}),
        ("drop", {}),
    ),
    "failed-map-left": (
        CREATE,
        ("memory", {"size": 2 * LARGE, "target": 1}),
        ("get", {"size": 2 * LARGE}),
        ("map", {"fail_at": 5}),
    ),
    "failed-references-left": (
        CREATE,
        GET,
        ("get", {"getref": 1, "shift": 12, "size": 2 * LARGE, "fail_at": 5}),
    ),
    "refused-map-lets-go": (
        CREATE,
        MEMORY,
        GET,
        MAP,
        ("map", {"kind": 255}),
    ),
    "half-sparse-left": (
        CREATE,
        ("get", {"sparse": 1, "size": LARGE + BIG, "fail_at": 4}),
    ),
    "runs-counted": (
        CREATE,
        ("get", {"mapref": 0, "size": 2 * PAGE}),
        ("pfn_map", {"size": 2 * PAGE}),
    ),
    "unmapped-counted": (
        CREATE,
        ("get", {"mapref": 0, "size": 2 * PAGE}),
        ("pfn_map", {"size": 2 * PAGE, "pattern": 0}),
    ),
    "refused-space-destroyed": (
        ("create", {"managed": 1, "start": (1 << 64) - PAGE, "size": 2 * PAGE}),
    ),
    "put-of-mapped-warned-of": (
        CREATE,
        MEMORY,
        ("get", {"size": 2 * PAGE}),
        FIRST_PAGE,
        ("map_part", {"first": PAGE, "size": PAGE}),
        PUT,
    ),
}
"""For each mutant, calls that show it."""


def run_on(target, calls):
    """Carry out calls on a target: the rules that they broke, and the events."""
    session = SYSTEM.session(target, None, None)
    broken = set()
    for name, args in calls:
        outcome = session.run(make(name, SYSTEM.specs, **args))
        broken |= {one.rule for one in outcome.violations}
    last = session.finish()
    if last is not None:
        broken |= {one.rule for one in last.violations}
    return broken, [event.kind for event in session.trace]


# -- the catalogue ----------------------------------------------------------------------------


def test_ids_are_unique_over_all_systems_and_stories_are_told():
    ids = [one.id for one in all_mutants()]
    assert len(ids) == len(set(ids))
    assert len(nvidia.MUTANTS) >= 52
    for one in nvidia.MUTANTS:
        assert catalogue_of(one).system == "nvidia"
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.id)
        assert one.story[0].islower()
        assert not one.story.endswith(".")
        assert one.known == "" or re.fullmatch(r"KB-\d\d", one.known)
        assert one.module in ("", "reference.drivers.table_memory")


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
    driver = load(nvidia.DRIVER, [one])
    assert set(driver.places) == {one.id}
    assert driver.source != driver_source(nvidia.DRIVER)


# -- shown ------------------------------------------------------------------------------------


def test_there_are_calls_for_each():
    assert list(SHOWN) == [one.id for one in nvidia.MUTANTS]


@pytest.mark.parametrize("one", nvidia.MUTANTS, ids=lambda one: one.id)
def test_calls_show_it_by_its_rule_alone(one):
    target = mutant_target([one])
    broken, _ = run_on(target, SHOWN[one.id])
    assert broken == {one.rule}
    assert target.executed(one.id)[1] > 0
    broken, _ = run_on(reference_target("nvidia"), SHOWN[one.id])
    assert broken == set()


@pytest.mark.parametrize(
    ("name", "kind"), [("stuck-device-awaited", HANG), ("refused-space-destroyed", CRASH)]
)
def test_a_call_that_does_not_come_back_is_told(name, kind):
    _, events = run_on(mutant_target([mutant_by_id(name)]), SHOWN[name])
    assert {HANG, CRASH} & set(events) == {kind}


# -- killed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["first-fit", "limit-one-too-high"])
def test_a_mutant_is_killed_by_its_rule_alone(name):
    verdict = run_mutant(mutant_by_id(name), 6, 8)
    assert verdict.killed, verdict.reason
    assert len(verdict.witness) <= 7
