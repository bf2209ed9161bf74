"""How system ``mali``, the MMU code of a Mali (CSF) driver, is tried and told."""

from conformance.mutants.catalogue import catalogue_in
from conformance.system import System
from conformance.systems.mali.machine import machine_class
from conformance.systems.mali.operations import SPECS, possible
from conformance.systems.mali.registers import MaliRegisters
from conformance.systems.mali.rules import MALI
from conformance.systems.mali.rules.step import MaliStep
from conformance.systems.mali.states import STATES
from conformance.systems.mali.targets import PANTHOR, LinuxPanthor, MaliTarget
from conformance.systems.mali.telling import EVENT_WORDS, MaliViews
from conformance.targets.kind import TargetKind
from reference.systems.mali.promise import MaliPromise

SYSTEM = System(
    name="mali",
    title="binds, address spaces, faults and resets of a Mali GPU (CSF)",
    specs=SPECS,
    states=STATES,
    rules=MALI,
    make_promise=MaliPromise,
    make_step=MaliStep,
    make_views=MaliViews,
    make_machine=machine_class,
    moved_together=(("va",), ("va", "address"), ("offset",)),
    valid=possible,
    made_by={"fence": ("fence", "queue"), "node": ("alloc",)},
    create_implied=True,
    registers=MaliRegisters(),
    events=EVENT_WORDS,
    reference=MaliTarget,
    targets=(
        TargetKind(
            "linux:panthor",
            "Linux's panthor_mmu.c with drm_gpuvm.c and drm_mm.c, built from a kernel tree "
            "(--kernel)",
            LinuxPanthor,
            "drivers/gpu/drm/panthor/panthor_mmu.c",
            800,
            PANTHOR,
        ),
    ),
    load_mutants=catalogue_in("conformance.systems.mali.mutants"),
)
"""System ``mali``."""
