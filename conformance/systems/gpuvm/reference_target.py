"""The target ``reference`` of system ``gpuvm``: our own VA manager, which does what is right."""

from typing import Any

from conformance.systems.gpuvm.operations import SPECS
from conformance.targets.reference import ReferenceTarget
from reference.operations import Operation, Result
from reference.systems.gpuvm import driver as gpuvm
from reference.systems.gpuvm.events import BACKING_SHIFT, VMA, VMA_ADD, VMA_REMOVE
from reference.trace import REFS, REFS_BUFFER, REFS_VM, REFS_VM_BO, WORDS, Trace
from reference.words import to_unsigned

STEP_BUDGET = 1 << 14
"""Looks at a VMA that one call may take, besides ``VMA_BUDGET`` for each VMA that exists."""

VMA_BUDGET = 64
"""A call finds, removes and inserts each VMA once, and looks at about 20 each time."""

LISTED_AROUND = 4096
"""After a map or unmap, VMAs so many bytes around its range are listed too."""


class GpuvmTarget(ReferenceTarget):
    """A VA manager written in Python, by default the reference driver."""

    system = "gpuvm"
    specs = SPECS

    def __init__(self, driver: Any = gpuvm, name: str = "reference", version: str = "") -> None:
        super().__init__(driver, name, version)

    def prepare(self, operation: Operation) -> None:
        """Give a call its budget of looks at VMAs."""
        if operation.name != "create":
            self.made.trace = self.trace
            self.made.tree.budget = STEP_BUDGET + VMA_BUDGET * self.made.count
            self.made.fail_at = 0

    # -- the operations -----------------------------------------------------------------------

    def do_create(self, start: int, size: int, kernel_start: int, kernel_size: int) -> Result:
        """Make a VM."""
        self.made = self.driver.Gpuvm(start, size, kernel_start, kernel_size, self.trace)
        self.made.tree.budget = STEP_BUDGET + VMA_BUDGET * self.made.count
        return Result()

    def do_bo(self, size: int, private: int) -> Result:
        """Make a buffer."""
        return Result(*self.made.make_buffer(size, bool(private)))

    def do_close(self, bo: int) -> Result:
        """Give a handle back."""
        return Result(self.made.close_buffer(bo))

    def do_map(self, iova: int, size: int, bo: int, offset: int, fail_at: int) -> Result:
        """Map a part of a buffer."""
        self.made.fail_at = fail_at
        return Result(self.made.map(iova, size, bo, offset))

    def do_unmap(self, iova: int, size: int, fail_at: int) -> Result:
        """Unmap a range."""
        self.made.fail_at = fail_at
        return Result(self.made.unmap(iova, size))

    def do_evict(self, bo: int, state: int) -> Result:
        """Say that a buffer has lost its pages, or has them again."""
        self.made.evict(bo, bool(state))
        return Result()

    def do_validate(self) -> Result:
        """Have evicted buffers made valid."""
        self.made.validate()
        return Result()

    def do_find(self, iova: int, size: int) -> Result:
        """Look for a mapping."""
        return Result(0, self.made.find(iova, size))

    def do_destroy(self) -> Result:
        """Drop the VM."""
        self.made.destroy()
        return Result()

    # -- what is left -------------------------------------------------------------------------

    def tell(self, operation: Operation, result: Result, begin: int) -> None:
        """The VMAs in and around the operation's range, then the counts of what it touched."""
        vm, trace = self.made, self.trace
        if operation.name in ("map", "unmap"):
            iova = to_unsigned(operation.number("iova"))
            end = iova + to_unsigned(operation.number("size")) + LISTED_AROUND
            page = self.driver.PAGE
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
