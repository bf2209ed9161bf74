"""How system ``gpuvm``, the VA manager of a GPU driver, is tried and told."""

from conformance.mutants.catalogue import catalogue_in
from conformance.system import System
from conformance.systems.gpuvm.machine import machine_class
from conformance.systems.gpuvm.operations import SPECS, possible
from conformance.systems.gpuvm.rules import GPUVM
from conformance.systems.gpuvm.rules.step import GpuvmStep
from conformance.systems.gpuvm.states import STATES
from conformance.systems.gpuvm.targets import GPUVM as UNIT
from conformance.systems.gpuvm.targets import GpuvmTarget, LinuxGpuvm
from conformance.systems.gpuvm.telling import EVENT_WORDS, GpuvmViews
from conformance.targets.kind import TargetKind
from reference.systems.gpuvm.promise import GpuvmPromise
from reports.vocabulary import HardwareRow

SYSTEM = System(
    name="gpuvm",
    title="mappings of buffers in one address space: split and merge, links, references",
    specs=SPECS,
    states=STATES,
    rules=GPUVM,
    make_promise=GpuvmPromise,
    make_step=GpuvmStep,
    make_views=GpuvmViews,
    make_machine=machine_class,
    moved_together=(("iova",), ("iova", "start"), ("iova", "start", "kernel_start")),
    valid=possible,
    hardware=HardwareRow("page tables", "what the driver was told to put there", False),
    events=EVENT_WORDS,
    reference=GpuvmTarget,
    targets=(
        TargetKind(
            "linux:gpuvm",
            "Linux's drm_gpuvm.c, built from a kernel tree (--kernel)",
            LinuxGpuvm,
            "drivers/gpu/drm/drm_gpuvm.c",
            2000,
            UNIT,
        ),
    ),
    load_mutants=catalogue_in("conformance.systems.gpuvm.mutants"),
)
"""System ``gpuvm``."""
