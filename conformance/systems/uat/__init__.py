"""How system ``uat``, Apple AGX page tables shared with a firmware, is tried and told."""

from conformance.mutants.catalogue import catalogue_in
from conformance.system import System
from conformance.systems.uat.machine import machine_class
from conformance.systems.uat.operations import SPECS, possible
from conformance.systems.uat.rules import UAT
from conformance.systems.uat.rules.step import UatStep
from conformance.systems.uat.states import STATES
from conformance.systems.uat.targets import UatTarget
from conformance.systems.uat.telling import EVENT_WORDS, UatViews
from reference.systems.uat.promise import UatPromise

SYSTEM = System(
    name="uat",
    title="page tables of an Apple GPU, its contexts, and the firmware that shares both",
    specs=SPECS,
    states=STATES,
    rules=UAT,
    make_promise=UatPromise,
    make_step=UatStep,
    make_views=UatViews,
    make_machine=machine_class,
    moved_together=(("va",), ("pa",)),
    valid=possible,
    made_by={"mapping": ("map", "map_in_range", "map_at", "map_io")},
    events=EVENT_WORDS,
    reference=UatTarget,
    load_mutants=catalogue_in("conformance.systems.uat.mutants"),
)
"""System ``uat``."""
