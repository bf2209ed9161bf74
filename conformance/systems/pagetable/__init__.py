"""How system ``pagetable``, one page table on its own, is tried and told."""

from functools import partial

from conformance.mutants.catalogue import catalogue_in
from conformance.system import System
from conformance.systems.pagetable.machine import machine_class
from conformance.systems.pagetable.operations import SPECS, configurable
from conformance.systems.pagetable.rules import PAGETABLE
from conformance.systems.pagetable.rules.step import PageTableStep
from conformance.systems.pagetable.states import STATES
from conformance.systems.pagetable.targets import PAGE_TABLES, LinuxIoPgtable, PageTableTarget
from conformance.systems.pagetable.telling import PageTableViews, look
from conformance.targets.kind import TargetKind
from reference.systems.pagetable.promise import PageTablePromise

SYSTEM = System(
    name="pagetable",
    title="map, unmap and translate on one page table",
    specs=SPECS,
    states=STATES,
    rules=PAGETABLE,
    make_promise=PageTablePromise,
    make_step=PageTableStep,
    look=look,
    make_views=PageTableViews,
    make_machine=machine_class,
    moved_together=(("iova",), ("pa",)),
    valid=configurable,
    reference=PageTableTarget,
    targets=(
        TargetKind(
            "linux:io-pgtable-arm",
            "Linux's io-pgtable-arm.c, built from a kernel tree (--kernel)",
            partial(LinuxIoPgtable, "io-pgtable-arm"),
            "drivers/iommu/io-pgtable-arm.c",
            2000,
            PAGE_TABLES,
        ),
        TargetKind(
            "linux:io-pgtable-dart",
            "Linux's io-pgtable-dart.c, built from a kernel tree (--kernel)",
            partial(LinuxIoPgtable, "io-pgtable-dart"),
            "drivers/iommu/io-pgtable-dart.c",
            2000,
            PAGE_TABLES,
        ),
    ),
    load_mutants=catalogue_in("conformance.systems.pagetable.mutants"),
)
"""System ``pagetable``."""
