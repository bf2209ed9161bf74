"""Seeded bugs of a UAT driver, and of the firmware beside it."""

from conformance.mutants.catalogue import Catalogue
from conformance.mutants.mutant import Mutant
from conformance.systems.uat.mutants import contexts, firmware, handoff, mappings

DRIVER = "reference.systems.uat.driver"

MUTANTS: tuple[Mutant, ...] = (
    *handoff.MUTANTS,
    *contexts.MUTANTS,
    *mappings.MUTANTS,
    *firmware.MUTANTS,
)
"""All of them."""

CATALOGUE = Catalogue(
    "uat",
    MUTANTS,
    DRIVER,
    not_here={
        "KB-52": "neither GPU nor firmware caches invalid entries, as Arm's do not",
    },
    examples=60,
)
"""The catalogue, with what it is of."""
