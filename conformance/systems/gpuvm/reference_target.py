"""The target ``reference`` of system ``gpuvm``: our own VA manager, which does what is right."""

from collections.abc import Mapping, Sequence
from typing import Any

from conformance import __version__
from reference.operations import Operation, Result
from reference.systems.gpuvm import driver as gpuvm
from reference.trace import (
    BACKING_SHIFT,
    CRASH,
    HANG,
    REFS,
    REFS_BUFFER,
    REFS_VM,
    REFS_VM_BO,
    VMA,
    VMA_ADD,
    VMA_REMOVE,
    WORDS,
    Trace,
)
from reference.words import to_unsigned

STEP_BUDGET = 1 << 14
"""Looks at a VMA that one call may take, besides ``VMA_BUDGET`` for each VMA that exists."""

VMA_BUDGET = 64
"""A call finds, removes and inserts each VMA once, and looks at about 20 each time."""

LISTED_AROUND = 4096
"""After a map or unmap, VMAs so many bytes around its range are listed too."""


class GpuvmTarget:
    """A VA manager written in Python, by default the reference driver.

    ``driver`` is a module with the classes of ``reference.systems.gpuvm.driver``; a changed copy
    of it is how wrong drivers are tried.
    """

    system = "gpuvm"

    def __init__(self, driver: Any = gpuvm, name: str = "reference", version: str = "") -> None:
        self.name: str = name
        self.version: str = version or f"mmu-conformance {__version__}, reference driver"
        self.traits: Mapping[str, Sequence[str | int]] = {}
        self.places: Sequence[str] = ("",)
        self._driver = driver
        self._vm: Any = None

    def reset(self) -> None:
        """Forget the VM, whatever state it is in."""
        self._vm = None

    def close(self) -> None:
        """Nothing is held."""
        self._vm = None

    def perform(self, operation: Operation, trace: Trace) -> Result:
        """Carry out one operation of system ``gpuvm``, and tell what it has left."""
        args: dict[str, Any] = operation.args
        begin = len(trace)
        try:
            if operation.name == "create":
                self._vm = self._driver.Gpuvm(
                    args["start"], args["size"], args["kernel_start"], args["kernel_size"], trace
                )
            vm = self._vm
            vm.trace = trace
            vm.tree.budget = STEP_BUDGET + VMA_BUDGET * vm.count
            vm.fail_at = args.get("fail_at", 0)
            result = self._call(operation.name, args)
            self._tell(operation, result, trace, begin)
        except (RecursionError, self._driver.StepsExceeded):
            trace.emit(HANG)
        except Exception:
            # A driver that raises has crashed, whatever it raised.
            trace.emit(CRASH)
        else:
            return result
        return Result(0, 0, False)

    def _call(self, name: str, args: dict[str, Any]) -> Result:
        vm = self._vm
        if name == "map":
            return Result(vm.map(args["iova"], args["size"], args["bo"], args["offset"]))
        if name == "unmap":
            return Result(vm.unmap(args["iova"], args["size"]))
        if name == "bo":
            return Result(*vm.make_buffer(args["size"], bool(args["private"])))
        if name == "close":
            return Result(vm.close_buffer(args["bo"]))
        if name == "find":
            return Result(0, vm.find(args["iova"], args["size"]))
        if name == "evict":
            vm.evict(args["bo"], bool(args["state"]))
        elif name == "validate":
            vm.validate()
        elif name == "destroy":
            vm.destroy()
        elif name != "create":
            raise ValueError(
                f"operation is {name!r}; allowed are create, bo, close, map, unmap, evict, "
                "validate, find and destroy"
            )
        return Result()

    # -- what is left -------------------------------------------------------------------------

    def _tell(self, operation: Operation, result: Result, trace: Trace, begin: int) -> None:
        """The VMAs in and around the operation's range, then the counts of what it touched."""
        vm = self._vm
        if operation.name in ("map", "unmap"):
            iova = to_unsigned(operation.number("iova"))
            end = iova + to_unsigned(operation.number("size")) + LISTED_AROUND
            page = self._driver.PAGE
            for vma in vm.tree.overlapping(max(0, iova - LISTED_AROUND) // page, -(-end // page)):
                vm.emit_vma(VMA, vma, vma.link.buffer)
        buffers = _buffers_moved(trace, begin)
        if "bo" in operation.args:
            buffers.add(operation.number("bo"))
        elif operation.name == "bo" and result.result == 0:
            buffers.add(result.value)
        elif operation.name == "destroy":
            buffers |= set(vm.buffers)
        for number in sorted(buffers):
            buffer, link = vm.buffers.get(number), vm.links.get(number)
            trace.emit(REFS, REFS_BUFFER, number, 0 if buffer is None else buffer.count)
            trace.emit(REFS, REFS_VM_BO, number, 0 if link is None else link.count)
        trace.emit(REFS, REFS_VM, 0, vm.count)


def _buffers_moved(trace: Trace, begin: int) -> set[int]:
    """The buffers of the VMAs that were added or removed since event ``begin``."""
    words = trace.words
    return {
        to_unsigned(words[at + 3]) >> BACKING_SHIFT
        for at in range(WORDS * begin, len(words), WORDS)
        if words[at] & 0xFFFF in (VMA_ADD, VMA_REMOVE)
    }
