"""How system ``dart``, the driver of Apple's IOMMU, is tried and told."""

from conformance.mutants.catalogue import catalogue_in
from conformance.system import System
from conformance.systems.dart.machine import machine_class
from conformance.systems.dart.operations import SPECS, possible
from conformance.systems.dart.rules import DART
from conformance.systems.dart.rules.step import DartStep
from conformance.systems.dart.states import STATES
from conformance.systems.dart.targets import DartTarget
from conformance.systems.dart.telling import EVENT_WORDS, DartRegisters, DartViews
from reference.systems.dart.promise import DartPromise

SYSTEM = System(
    name="dart",
    title="streams, domains and several units of Apple's IOMMU",
    specs=SPECS,
    states=STATES,
    rules=DART,
    make_promise=DartPromise,
    make_step=DartStep,
    make_views=DartViews,
    make_machine=machine_class,
    moved_together=(("iova",), ("iova", "address")),
    valid=possible,
    create_implied=True,
    registers=DartRegisters(),
    events=EVENT_WORDS,
    reference=DartTarget,
    load_mutants=catalogue_in("conformance.systems.dart.mutants"),
)
"""System ``dart``."""
