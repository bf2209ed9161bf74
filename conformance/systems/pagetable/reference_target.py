"""The target ``reference`` of system ``pagetable``: our own driver, which does what is right."""

from typing import Any

from conformance.systems.pagetable.operations import SPECS
from conformance.targets.reference import ReferenceTarget
from reference.formats import format_by_name
from reference.operations import Operation, Result
from reference.systems.pagetable import driver as pagetable

STEP_BUDGET = 1 << 14
"""Accesses that one call may make, besides ``PAGE_BUDGET`` for each table page that exists."""

PAGE_BUDGET = 4096
"""A call reads each entry of a table a few times at most."""


class PageTableTarget(ReferenceTarget):
    """A page-table driver written in Python, by default the reference driver."""

    system = "pagetable"
    specs = SPECS

    def __init__(self, driver: Any = pagetable, name: str = "reference", version: str = "") -> None:
        super().__init__(driver, name, version)
        self.traits = {"block_unmap": ("refuse", "split")}

    def prepare(self, operation: Operation) -> None:
        """Give a call its budget of accesses, and say which of its allocations fails."""
        if operation.name != "create":
            self._give_budget()
            memory = self.made.memory
            memory.trace = self.made.trace = self.trace
            memory.fail_at = operation.args.get("fail_at", 0)

    def _give_budget(self) -> None:
        memory = self.made.memory
        memory.budget = STEP_BUDGET + PAGE_BUDGET * len(memory.pages)

    # -- the operations -----------------------------------------------------------------------

    def do_create(self, **args: Any) -> Result:
        """Make a table."""
        self.made = self.driver.PageTable(
            format_by_name(args["format"]).geometry(args["ias"]),
            args["oas"],
            args["pgsizes"],
            bool(args["coherent"]),
            args["block_unmap"] == "split",
            self.trace,
        )
        self._give_budget()
        return Result(self.made.create())

    def do_map(self, **args: Any) -> Result:
        """Map pages."""
        return Result(
            *self.made.map_pages(
                args["iova"], args["pa"], args["pgsize"], args["pgcount"], args["prot"]
            )
        )

    def do_unmap(self, **args: Any) -> Result:
        """Unmap pages."""
        queued = args["gather"] == "queued"
        unmapped = self.made.unmap_pages(args["iova"], args["pgsize"], args["pgcount"], queued)
        return Result(0, unmapped)

    def do_translate(self, iova: int) -> Result:
        """Ask the driver where an address leads."""
        return Result(0, self.made.iova_to_phys(iova))

    def do_sync(self) -> Result:
        """Flush the strict gather."""
        self.made.sync()
        return Result()

    def do_flush(self) -> Result:
        """Flush for the queue."""
        self.made.flush()
        return Result()

    def do_release(self) -> Result:
        """Nothing: the caller does it itself."""
        return Result()

    def do_destroy(self) -> Result:
        """Free the table."""
        self.made.destroy()
        return Result()
