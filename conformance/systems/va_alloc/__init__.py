"""How system ``va-alloc``, an allocator of addresses, is tried and told."""

from conformance.mutants.catalogue import catalogue_in
from conformance.system import System
from conformance.systems.va_alloc.machine import machine_class
from conformance.systems.va_alloc.operations import SPECS, possible
from conformance.systems.va_alloc.rules import VA_ALLOC
from conformance.systems.va_alloc.rules.step import AllocStep
from conformance.systems.va_alloc.states import STATES
from conformance.systems.va_alloc.targets import DRM_MM, LinuxDrmMm, VaAllocTarget
from conformance.systems.va_alloc.telling import EVENT_WORDS, VaAllocViews
from conformance.targets.kind import TargetKind
from reference.systems.va_alloc.promise import VaAllocPromise
from reports.vocabulary import HardwareRow

SYSTEM = System(
    name="va-alloc",
    title="ranges of addresses handed out by an allocator: best fit, alignment, fixed ranges",
    specs=SPECS,
    states=STATES,
    rules=VA_ALLOC,
    make_views=VaAllocViews,
    make_machine=machine_class,
    moved_together=(("va",), ("va", "start"), ("va", "start", "first", "last")),
    valid=possible,
    made_by={"node": ("alloc", "reserve")},
    hardware=HardwareRow("allocator", "what the allocator says that it has there", False),
    make_promise=VaAllocPromise,
    make_step=AllocStep,
    events=EVENT_WORDS,
    reference=VaAllocTarget,
    targets=(
        TargetKind(
            "linux:drm-mm",
            "Linux's drm_mm.c, built from a kernel tree (--kernel)",
            LinuxDrmMm,
            "drivers/gpu/drm/drm_mm.c",
            2000,
            DRM_MM,
        ),
    ),
    load_mutants=catalogue_in("conformance.systems.va_alloc.mutants"),
)
"""System ``va-alloc``."""
