"""How system ``pagetable``, one page table on its own, is tried and told."""

from conformance.mutants.catalogue import Catalogue
from conformance.system import System
from conformance.systems.pagetable.machine import machine_class
from conformance.systems.pagetable.operations import SPECS, configurable
from conformance.systems.pagetable.rules import PAGETABLE
from conformance.systems.pagetable.rules.step import PageTableStep
from conformance.systems.pagetable.targets import PageTableTarget
from conformance.systems.pagetable.telling import PageTableViews, look
from conformance.targets.kind import Progress, TargetKind
from conformance.targets.protocol import Target
from reference.systems.pagetable.promise import PageTablePromise


def _io_pgtable_arm(kernel: str | None, progress: Progress) -> Target:
    from conformance.systems.pagetable.targets import LinuxIoPgtable

    return LinuxIoPgtable("io-pgtable-arm", kernel, progress)


def _io_pgtable_dart(kernel: str | None, progress: Progress) -> Target:
    from conformance.systems.pagetable.targets import LinuxIoPgtable

    return LinuxIoPgtable("io-pgtable-dart", kernel, progress)


def _mutants() -> Catalogue:
    from conformance.systems.pagetable.mutants import CATALOGUE

    return CATALOGUE


SYSTEM = System(
    name="pagetable",
    title="map, unmap and translate on one page table",
    specs=SPECS,
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
            _io_pgtable_arm,
            "drivers/iommu/io-pgtable-arm.c",
            2000,
        ),
        TargetKind(
            "linux:io-pgtable-dart",
            "Linux's io-pgtable-dart.c, built from a kernel tree (--kernel)",
            _io_pgtable_dart,
            "drivers/iommu/io-pgtable-dart.c",
            2000,
        ),
    ),
    load_mutants=_mutants,
)
"""System ``pagetable``."""
