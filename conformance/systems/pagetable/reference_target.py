"""The target ``reference`` of system ``pagetable``: our own driver, which does what is right."""

from collections.abc import Mapping, Sequence
from typing import Any

from conformance import __version__
from reference.formats import format_by_name
from reference.operations import Operation, Result
from reference.systems.pagetable import driver as pagetable
from reference.trace import CRASH, HANG, Trace

STEP_BUDGET = 1 << 14
"""Accesses that one call may make, besides ``PAGE_BUDGET`` for each table page that exists."""

PAGE_BUDGET = 4096
"""A call reads each entry of a table a few times at most."""


class PageTableTarget:
    """A page-table driver written in Python, by default the reference driver.

    ``driver`` is a module with the classes of ``reference.systems.pagetable.driver``; a
    changed copy of it is how wrong drivers are tried.
    """

    system = "pagetable"

    def __init__(self, driver: Any = pagetable, name: str = "reference", version: str = "") -> None:
        self.name: str = name
        self.version: str = version or f"mmu-conformance {__version__}, reference driver"
        self.traits: Mapping[str, Sequence[str | int]] = {
            "block_unmap": ("refuse", "split"),
        }
        self.places: Sequence[str] = ("",)
        self._driver = driver
        self._table: Any = None

    def reset(self) -> None:
        """Forget the table, whatever state it is in."""
        self._table = None

    def close(self) -> None:
        """Nothing is held."""
        self._table = None

    def perform(self, operation: Operation, trace: Trace) -> Result:
        """Carry out one operation of system ``pagetable``."""
        name = operation.name
        args = operation.args
        if name == "create":
            geometry = format_by_name(operation.string("format")).geometry(operation.number("ias"))
            self._table = self._driver.PageTable(
                geometry,
                args["oas"],
                args["pgsizes"],
                bool(args["coherent"]),
                args["block_unmap"] == "split",
                trace,
            )
        table = self._table
        memory = table.memory
        memory.trace = trace
        table.trace = trace
        memory.budget = STEP_BUDGET + PAGE_BUDGET * len(memory.pages)
        memory.fail_at = args.get("fail_at", 0)
        try:
            return self._call(name, args)
        except (RecursionError, self._driver.StepsExceeded):
            trace.emit(HANG)
        except Exception:
            # A driver that raises has crashed, whatever it raised.
            trace.emit(CRASH)
        return Result(0, 0, False)

    def _call(self, name: str, args: dict[str, Any]) -> Result:
        table = self._table
        if name == "map":
            result, mapped = table.map_pages(
                args["iova"], args["pa"], args["pgsize"], args["pgcount"], args["prot"]
            )
            return Result(result, mapped)
        if name == "unmap":
            queued = args["gather"] == "queued"
            return Result(
                0, table.unmap_pages(args["iova"], args["pgsize"], args["pgcount"], queued)
            )
        if name == "translate":
            return Result(0, table.iova_to_phys(args["iova"]))
        if name == "sync":
            table.sync()
        elif name == "flush":
            table.flush()
        elif name == "create":
            return Result(table.create())
        elif name == "destroy":
            table.destroy()
        else:
            raise ValueError(
                f"operation is {name!r}; allowed are create, map, unmap, translate, sync, "
                "flush and destroy"
            )
        return Result()
