"""The targets ``linux:io-pgtable-arm`` and ``linux:io-pgtable-dart``.

The real map_pages, unmap_pages and iova_to_phys of the kernel's page-table
code. Around it the harness plays the device, which flushes when it is told to,
and the caller, who gathers unmapped pages and syncs (see
``native/units/io_pgtable.c``).
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from conformance.targets.linux.errors import HarnessError, MissingFunctionError
from conformance.targets.linux.target import LinuxTarget
from conformance.targets.linux.toolchain import Progress, silent
from conformance.targets.linux.units import PAGE_TABLES
from reference.operations import Operation, Result
from reference.trace import ALLOC, ATTACH, FILL, STORE, Trace

_CREATE, _MAP, _UNMAP, _TRANSLATE = range(4)
_SIMPLE: Mapping[str, int] = {"sync": 4, "flush": 5, "destroy": 6}


@dataclass(frozen=True, slots=True)
class _Driver:
    """One driver of the library: its source, and our names of formats for its numbers."""

    source: str
    formats: Mapping[str, int]


_ONE_ROOT: tuple[int, ...] = (30, 32, 34, 36)
"""Input sizes of DART tables that one root table reaches."""

DRIVERS: Mapping[str, _Driver] = {
    "io-pgtable-arm": _Driver("drivers/iommu/io-pgtable-arm.c", {"lpae-s1": 0, "lpae-mali": 1}),
    "io-pgtable-dart": _Driver(
        "drivers/iommu/io-pgtable-dart.c", {"dart1-16k": 2, "dart1-4k": 2, "dart2-16k": 3}
    ),
}
"""The units that are targets of system ``pagetable``, by the name behind ``linux:``."""


class LinuxIoPgtable(LinuxTarget):
    """Linux's page-table code as a target of system ``pagetable``.

    One target at a time can be used in a process: each ``reset`` takes the library over.

    ``name``, ``version``, ``traits``, ``places``: see the target protocol. The traits say
    what an unmap of part of a block does in this tree, which was tried out.
    """

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
        """Carry out one operation and append its events to ``trace``.

        Operations, arguments and the order of events are those of system ``pagetable``.
        ``release`` is no business of a target. Addresses may be signed or unsigned.

        Raises:
            ValueError: an unknown operation, a missing argument, an unknown format, or an
                operation on a table that does not exist.
            HarnessError: another target has taken the library over since the last ``reset``.
            MissingFunctionError: the driver called something that the harness does not have.
        """
        self.library.check_owner(self, self.name)
        name = operation.name
        args = operation.args
        values: tuple[int | str, ...] = ()
        try:
            if name == "map":
                number = _MAP
                values = (
                    args["iova"],
                    args["pa"],
                    args["pgsize"],
                    args["pgcount"],
                    args["prot"],
                    args.get("fail_at", 0),
                )
            elif name == "unmap":
                number = _UNMAP
                values = (
                    args["iova"],
                    args["pgsize"],
                    args["pgcount"],
                    args["gather"] == "queued",
                    args.get("fail_at", 0),
                )
            elif name == "translate":
                number = _TRANSLATE
                values = (args["iova"],)
            elif name == "create":
                number = _CREATE
                values = self._creation(operation)
            else:
                number = self._simple(name)
        except KeyError as error:
            raise ValueError(f"operation {name} has no argument {error}") from None
        if not self._exists and name != "create":
            raise ValueError(f"operation is {name!r} without a table; allowed is create")
        return self._carry_out(operation, number, values, trace)

    def _creation(self, operation: Operation) -> tuple[int | str, ...]:
        """The arguments of ``create``."""
        args = operation.args
        name = operation.string("format")
        if name not in self._formats:
            raise ValueError(f"format is {name!r}; {self.name} has {', '.join(self._formats)}")
        if self._exists:
            raise ValueError("operation is 'create' with a table that exists; destroy it first")
        return (
            self._formats[name],
            args["ias"],
            args["oas"],
            args["pgsizes"],
            args["coherent"],
            args.get("fail_at", 0),
        )

    @staticmethod
    def _simple(name: str) -> int:
        """The number of an operation without arguments."""
        try:
            return _SIMPLE[name]
        except KeyError:
            raise ValueError(
                f"operation is {name!r}; allowed are create, map, unmap, translate, "
                f"{', '.join(_SIMPLE)}"
            ) from None

    def _try_out(self) -> dict[str, Sequence[str | int]]:
        """A few operations on a table of this tree: is all of it seen, and what are its traits?

        A driver that fails here is judged later; its traits are then those that its
        functions suggest.

        Raises:
            HarnessError: the driver changes tables in a way that the harness does not see.
        """
        traits: dict[str, Sequence[str | int]] = {"format": tuple(self._formats)}
        name = next(iter(self._formats))
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
