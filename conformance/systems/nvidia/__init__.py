"""How system ``nvidia``, the MMU code of an NVIDIA driver, is tried and told."""

from conformance.mutants.catalogue import catalogue_in
from conformance.system import System
from conformance.systems.nvidia.machine import machine_class
from conformance.systems.nvidia.operations import SPECS, possible
from conformance.systems.nvidia.rules import NVIDIA
from conformance.systems.nvidia.rules.step import NvidiaStep
from conformance.systems.nvidia.states import STATES
from conformance.systems.nvidia.targets import NVKM, LinuxNvkm, NvidiaTarget
from conformance.systems.nvidia.telling import EVENT_WORDS, NvidiaViews
from conformance.systems.nvidia.trace_words import NvidiaRegisters
from conformance.targets.kind import TargetKind
from reference.systems.nvidia.promise import NvidiaPromise

SYSTEM = System(
    name="nvidia",
    title="areas, sparse ranges and page tables of an NVIDIA GPU (GF100 to GP100)",
    specs=SPECS,
    states=STATES,
    rules=NVIDIA,
    make_views=NvidiaViews,
    make_machine=machine_class,
    moved_together=(("addr",), ("addr", "start"), ("offset",)),
    valid=possible,
    made_by={"vma": ("get",)},
    registers=NvidiaRegisters(),
    make_promise=NvidiaPromise,
    make_step=NvidiaStep,
    events=EVENT_WORDS,
    reference=NvidiaTarget,
    targets=(
        TargetKind(
            "linux:nvkm",
            "Linux's nvkm vmm.c and uvmm.c with the back ends of four chips, built from a kernel "
            "tree (--kernel)",
            LinuxNvkm,
            "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmm.c",
            400,
            NVKM,
        ),
    ),
    load_mutants=catalogue_in("conformance.systems.nvidia.mutants"),
)
"""System ``nvidia``."""
