"""Seeded bugs of the page-table driver."""

from conformance.mutants.catalogue import Catalogue
from conformance.mutants.mutant import Mutant
from conformance.systems.pagetable.mutants import entries, flushes, runs, tables

DRIVER = "reference.systems.pagetable.driver"

MUTANTS: tuple[Mutant, ...] = (
    *flushes.MUTANTS,
    *tables.MUTANTS,
    *entries.MUTANTS,
    *runs.MUTANTS,
)
"""All of them."""

NOT_HERE: dict[str, str] = {
    "KB-38 (in part)": "how a flush is encoded in a Mali GPU's region register belongs to "
    "system mali; its arithmetic is here, on the driver's own flush.",
    "KB-52": "the flush after a map belongs to the DART driver's iotlb_sync_map, for which the "
    "bare page table is not judged.",
}
"""Known bugs of page tables and flushes that have no mutant at this layer, and why."""

CATALOGUE = Catalogue("pagetable", MUTANTS, DRIVER, NOT_HERE)
"""The catalogue, with what it is of."""
