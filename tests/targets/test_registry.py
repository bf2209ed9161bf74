"""Targets by name: which systems each speaks, and what is said of a name that is none."""

import re
import sys
import types
from collections import Counter

import pytest

from conformance.discovery import SYSTEMS
from conformance.registry import (
    all_mutants,
    catalogue_of,
    catalogues,
    default_systems,
    kinds,
    make_target,
    systems_of,
)
from conformance.systems.dart.targets import DartTarget
from conformance.systems.gpuvm.targets import GpuvmTarget
from conformance.systems.mali.targets import MaliTarget
from conformance.systems.pagetable.targets import PageTableTarget
from conformance.systems.va_alloc.targets import VaAllocTarget
from reference.operations import make
from reference.trace import Trace

OF_TWO = "mutant:map-of-nothing+unmap-not-flushed"


@pytest.fixture
def own(monkeypatch):
    """A module of the user's own."""
    module = types.ModuleType("own_target")
    module.make = GpuvmTarget
    module.number = 7
    module.nothing = object
    monkeypatch.setitem(sys.modules, "own_target", module)
    return module


# -- the systems of a name ----------------------------------------------------------------------

SPEAKS = {
    "reference": ("dart", "gpuvm", "mali", "nvidia", "pagetable", "uat", "va-alloc"),
    "mutant:unmap-not-flushed": ("pagetable",),
    "mutant:unmap-not-flushed+wrong-attribute": ("pagetable",),
    "mutant:map-of-nothing": ("gpuvm",),
    "mutant:map-of-nothing+evicted-twice+link-put-twice": ("gpuvm",),
    "linux:io-pgtable-arm": ("pagetable",),
    "linux:io-pgtable-dart": ("pagetable",),
    "linux:gpuvm": ("gpuvm",),
    "mutant:page-behind-lost": ("va-alloc",),
    "linux:drm-mm": ("va-alloc",),
    "linux:panthor": ("mali",),
    "linux:nvkm": ("nvidia",),
    "python:some.module:maker": ("dart", "gpuvm", "mali", "nvidia", "pagetable", "uat", "va-alloc"),
}


@pytest.mark.parametrize("name", SPEAKS)
def test_a_name_says_which_systems_it_speaks(name):
    assert systems_of(name) == SPEAKS[name]


@pytest.mark.parametrize("name", SPEAKS)
def test_a_run_that_names_no_system_is_of_all_that_are_known_to_be_spoken(name):
    if not name.startswith("python:"):
        assert default_systems(name) == SPEAKS[name]


def test_a_target_of_ones_own_says_which_system_it_speaks(own, monkeypatch):
    monkeypatch.setattr(GpuvmTarget, "system", "")
    with pytest.raises(
        ValueError, match=r"does not say which it speaks .* allowed are dart, gpuvm, mali"
    ):
        default_systems("python:own_target:make")
    monkeypatch.setattr(GpuvmTarget, "system", "gpuvm")
    assert default_systems("python:own_target:make") == ("gpuvm",)


def test_every_kind_speaks_systems_that_there_are_and_every_system_is_spoken():
    for kind in kinds():
        assert kind.systems
        assert set(kind.systems) <= set(SYSTEMS)
    assert set(catalogues()) == set(SYSTEMS)
    assert all(SYSTEMS[name].reference().name == "reference" for name in SYSTEMS)


# -- making them --------------------------------------------------------------------------------


def is_of(target, system):
    """Whether a target says that it is of a system, and does that one's first operation."""
    if target.system != system:
        return False
    return target.perform(make("create", SYSTEMS[system].specs), Trace()).finished


def test_the_reference_speaks_the_first_or_the_system_asked_for():
    assert isinstance(make_target("reference"), DartTarget)
    assert isinstance(make_target("reference", system="pagetable"), PageTableTarget)
    assert isinstance(make_target("reference", system="gpuvm"), GpuvmTarget)
    assert isinstance(make_target("reference", system="mali"), MaliTarget)
    assert isinstance(make_target("reference", system="va-alloc"), VaAllocTarget)


@pytest.mark.parametrize("name", ["unmap-not-flushed", "map-of-nothing"])
def test_a_mutant_speaks_the_system_of_its_catalogue(name):
    system = systems_of(f"mutant:{name}")[0]
    for target in (make_target(f"mutant:{name}"), make_target(f"mutant:{name}", system=system)):
        assert target.name == f"mutant:{name}"
        assert [one for one in SYSTEMS if is_of(target, one)] == [system]
    for other in set(SYSTEMS) - {system}:
        said = f"'mutant:{name}', which does not speak {other}; allowed"
        with pytest.raises(ValueError, match=said):
            make_target(f"mutant:{name}", system=other)


def test_every_mutant_can_be_named():
    counts = Counter(one.id for one in all_mutants())
    assert [name for name, count in counts.items() if count > 1] == []
    for one in all_mutants():
        assert systems_of(f"mutant:{one.id}") == (catalogue_of(one).system,)


@pytest.mark.parametrize("function", [systems_of, default_systems, make_target])
def test_mutants_of_two_systems_do_not_fit_into_one_driver(function):
    said = f"target is '{OF_TWO}', mutants of gpuvm, pagetable; allowed are mutants of one system"
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        function(OF_TWO)


def test_a_target_of_ones_own_is_made_for_any_system(own):
    for system in ("", *SYSTEMS):
        assert isinstance(make_target("python:own_target:make", system=system), GpuvmTarget)


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("function", [systems_of, default_systems, make_target])
@pytest.mark.parametrize(
    "name",
    ["", "references", "reference:", "mutant", "mutant:", "linux:", "linux:gpu", "exec:true"],
)
def test_what_is_no_target_is_named_with_all_that_are(function, name):
    with pytest.raises(ValueError, match=f"^target is '{name}'; allowed are ") as refused:
        function(name)
    assert all(kind.pattern in str(refused.value) for kind in kinds())


@pytest.mark.parametrize("name", ["mutant:nosuch", "mutant:map-of-nothing+nosuch"])
@pytest.mark.parametrize("function", [systems_of, default_systems, make_target])
def test_a_mutant_that_there_is_not_is_named(function, name):
    with pytest.raises(ValueError, match=r"mutant is 'nosuch'; allowed are .*map-of-nothing"):
        function(name)


@pytest.mark.parametrize(
    ("name", "system", "allowed"),
    [
        ("linux:gpuvm", "pagetable", "linux:io-pgtable-arm"),
        ("linux:io-pgtable-arm", "gpuvm", "linux:gpuvm"),
        ("reference", "nosuch", ""),
    ],
)
def test_a_system_that_a_target_does_not_speak_is_refused_before_it_is_built(name, system, allowed):
    with pytest.raises(ValueError, match=f"which does not speak {system}; allowed") as refused:
        make_target(name, kernel="/nowhere", system=system)
    assert allowed in str(refused.value)
    assert name not in str(refused.value).partition("allowed")[2].split(", ") or not allowed


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("nosuch_module:make", "cannot be imported"),
        ("own_target:nosuch", "cannot be imported"),
        ("own_target:number", "which is an? int; allowed are callables"),
        ("own_target:nothing", "which has no name, version, traits, places, reset, perform, close"),
    ],
)
def test_a_target_of_ones_own_that_is_none_is_told(own, rest, said):
    with pytest.raises(ValueError, match=said):
        make_target(f"python:{rest}")


@pytest.mark.parametrize("rest", ["own_target", "own_target:make:more", ""])
def test_a_target_of_ones_own_has_a_module_and_an_attribute(own, rest):
    with pytest.raises(ValueError, match=f"target is 'python:{rest}'; allowed are reference"):
        make_target(f"python:{rest}")
