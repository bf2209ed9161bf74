"""The targets of system ``pagetable``: our own driver, and Linux's code.

``reference`` is one page table written in Python, which does what is right.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from conformance.systems.pagetable.operations import SPECS
from conformance.targets.linux.errors import HarnessError, MissingFunctionError
from conformance.targets.linux.target import LinuxTarget
from conformance.targets.linux.toolchain import Progress, silent
from conformance.targets.linux.units import SELFTEST, Unit
from conformance.targets.reference import ReferenceTarget
from reference.formats import format_by_name
from reference.operations import Operation, Result
from reference.systems.pagetable import driver as pagetable
from reference.trace import ALLOC, ATTACH, FILL, STORE, Trace

# -- our own driver -----------------------------------------------------------------------------

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
            break_first=args["bbm"] < 2,
        )
        self._give_budget()
        self.made.memory.fail_at = args["fail_at"]
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


# -- Linux's code -------------------------------------------------------------------------------
#
# The targets ``linux:io-pgtable-arm`` and ``linux:io-pgtable-dart``.
#
# The real map_pages, unmap_pages and iova_to_phys of the kernel's page-table
# code. Around it the harness plays the device, which flushes when it is told to,
# and the caller, who gathers unmapped pages and syncs (see
# ``native/io_pgtable.c``).

NATIVE = Path(__file__).parent / "native"
"""Our C files, which call it."""

PAGE_TABLES = Unit(
    name="page-tables",
    operations=SPECS,
    native=NATIVE,
    events=(),
    objects=(
        "drivers/iommu/io-pgtable.o",
        "drivers/iommu/io-pgtable-arm.o",
        "drivers/iommu/io-pgtable-dart.o",
    ),
    newer=("drivers/iommu/iommu-pages.o",),
    glue=("io_pgtable.c",),
    watched=(SELFTEST,),
    calls=("mmu_pagetable_call", "mmu_selftest_call"),
    options=("64BIT", "BUG", "DMA_API_DEBUG", "IOMMU_IO_PGTABLE_LPAE", "IOMMU_IO_PGTABLE_DART"),
    seen={
        "drivers/iommu/io-pgtable-arm.o": ("mmu_access", "mmu_barrier", "warn_slowpath_fmt"),
        "drivers/iommu/io-pgtable-dart.o": ("mmu_access", "mmu_barrier", "warn_slowpath_fmt"),
    },
)
"""io-pgtable with the formats of Arm and of Apple's DART."""


@dataclass(frozen=True, slots=True)
class _Driver:
    """One driver of the library: its source, and our names of its formats."""

    source: str
    formats: tuple[str, ...]


_ONE_ROOT: tuple[int, ...] = (30, 32, 34, 36)
"""Input sizes of DART tables that one root table reaches."""

DRIVERS: Mapping[str, _Driver] = {
    "io-pgtable-arm": _Driver("drivers/iommu/io-pgtable-arm.c", ("lpae-s1", "lpae-mali")),
    "io-pgtable-dart": _Driver(
        "drivers/iommu/io-pgtable-dart.c", ("dart1-16k", "dart1-4k", "dart2-16k")
    ),
}
"""The units that are targets of system ``pagetable``, by the name behind ``linux:``."""


class LinuxIoPgtable(LinuxTarget):
    """Linux's page-table code as a target of system ``pagetable``: see ``LinuxTarget``.

    The order of events is that of the system, too. ``release`` is no business of a target. The
    traits say what an unmap of part of a block does in this tree, which was tried out.
    """

    thing: ClassVar[str] = "a table"

    def __init__(
        self,
        unit: str = "io-pgtable-arm",
        kernel: str | os.PathLike[str] | None = None,
        progress: Progress = silent,
    ) -> None:
        """Find the tree, build what is not built yet, and load it.

        Args:
            unit: a key of ``DRIVERS``.
            kernel: a kernel tree or tarball; None for the one that ``find_tree`` finds.
            progress: is told what is done when it takes long.

        Raises:
            ValueError: there is no such unit.
            TargetUnavailable: no tree, no tools, or another kind of host.
            KernelTreeError: the tree that was named cannot be used.
            BuildError: the build failed.
            HarnessError: the driver changes tables in a way that the harness does not see.
        """
        if unit not in DRIVERS:
            raise ValueError(f"unit is {unit!r}; allowed are {', '.join(DRIVERS)}")
        driver = DRIVERS[unit]
        source = driver.source
        super().__init__(
            f"linux:{unit}", source, PAGE_TABLES, "mmu_pagetable_call", kernel, progress
        )
        self._formats = driver.formats
        self.traits = self._try_out()
        self.reset()

    def perform(self, operation: Operation, trace: Trace) -> Result:
        """As every target; and the format has to be one of this driver (ValueError)."""
        if operation.name == "create":
            name = operation.args.get("format", SPECS["create"].arg("format").default)
            if name not in self._formats:
                raise ValueError(f"format is {name!r}; {self.name} has {', '.join(self._formats)}")
        elif operation.name == "release":
            raise ValueError("operation is 'release'; allowed is what a table is asked for")
        return super().perform(operation, trace)

    def _try_out(self) -> dict[str, Sequence[str | int]]:
        """A few operations on a table of this tree: is all of it seen, and what are its traits?

        A driver that fails here is judged later; its traits are then those that its
        functions suggest.

        Raises:
            HarnessError: the driver changes tables in a way that the harness does not see.
        """
        traits: dict[str, Sequence[str | int]] = {"format": self._formats}
        name = self._formats[0]
        page, size = (1 << 12, 1 << 21) if name == "lpae-s1" else (1 << 14, 1 << 14)
        sizes = page | size
        trace = Trace()
        self.reset()
        values: list[int] = []
        try:
            for operation in (
                _operation("create", format=name, ias=36, oas=36, pgsizes=sizes, coherent=1),
                _operation("map", iova=0, pa=0, pgsize=size, pgcount=1, prot=3),
                _operation("map", iova=1 << 30, pa=0, pgsize=page, pgcount=3, prot=3),
                _operation("unmap", iova=(1 << 30) + page, pgsize=page, pgcount=1, gather="strict"),
                _operation("unmap", iova=5 * page, pgsize=page, pgcount=1, gather="strict"),
            ):
                done = self.perform(operation, trace)
                values.append(done.value)
                if not done.finished or done.result:
                    break
            else:
                self._check_seen(trace)
        except MissingFunctionError:
            pass  # it is named again when an operation of a run needs it
        if name == "lpae-s1":
            splits = "arm_lpae_split_blk_unmap" in self.places
            if len(values) == 5:
                splits = values[4] == page
            traits["block_unmap"] = ("split" if splits else "refuse",)
        else:
            traits["coherent"] = (1,)
            if not self._has_root_registers():
                traits["ias"] = _ONE_ROOT
        return traits

    def _has_root_registers(self) -> bool:
        """Whether DART input sizes above one root's take more roots, as our formats have it.

        Newer trees add a table level instead, which no format of ours describes.
        """
        self.reset()
        trace = Trace()
        self.perform(
            _operation("create", format="dart2-16k", ias=38, oas=42, pgsizes=1 << 14, coherent=1),
            trace,
        )
        return sum(event.kind == ATTACH for event in trace) == 4

    def _check_seen(self, trace: Trace) -> None:
        """Compare the tables in memory with what the trace says about them."""
        pages: dict[int, dict[int, int]] = {}
        for event in trace:
            if event.kind == ALLOC:
                pages[event.a] = {}
            elif event.kind == FILL:
                pages[event.a] = dict.fromkeys(range(event.a, event.a + event.b, 8), event.c)
            elif event.kind == STORE:
                page = next((start for start in pages if event.a in pages[start]), 0)
                if page:
                    pages[page][event.a] = event.c
        for words in pages.values():
            for pa, word in words.items():
                if self.library.word(pa) != word:
                    raise HarnessError(
                        f"{self.version}: the entry at {pa:#x} was changed in a way that the "
                        "harness does not see (an atomic that does not announce itself?), so "
                        "that nothing could be said about this driver"
                    )


def _operation(name: str, **args: int | str) -> Operation:
    return Operation(name, args)
