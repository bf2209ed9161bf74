"""The promise of a VA manager: which calls it has to refuse, and what callers were told by others.

A call is legal or refused; the interface forbids none. What is mapped, what page tables were
told and what a recount of references gives is kept in :class:`VmState`.

Which ranges may be mapped is reckoned here in bytes, and by the driver in pages: that both reckon
it is meant, for a mistake that they shared would not be seen.

Source: formats.md B.6 (what a driver checks), B.7 (validity, before any step).
"""

import errno
from collections.abc import Iterator, Sequence
from typing import Final

from reference.calls import LEGAL, Broken, Call, OfOne, Traits
from reference.operations import Operation, Result
from reference.systems.gpuvm.mappings import Mapping
from reference.systems.gpuvm.state import BufferState, Seen, VmState
from reference.words import to_signed, to_unsigned

PAGE: Final = 0x1000
"""Bytes in a page: all that is mapped is whole ones."""

ALL: Final = 1 << 64
"""Bytes that 64-bit addresses reach."""

BUFFER_BYTES: Final = 1 << 48
"""A buffer has fewer."""


class GpuvmCall(Call):
    """One call. ``first``..``last``: the addresses of its range; ``first`` is -1 where it has none.

    ``errors``: of several reasons to fail, a driver may find any first. ``window``: of ``map`` and
    ``unmap``, the range with a page on each side. ``outside``: the mappings in the window, as they
    were before, that have no address in the range. ``due``: buffers that ``validate`` has to name,
    or that ``evict`` makes evicted or valid. ``expected``: what ``find`` has to give, held; None
    for other calls.
    """

    def __init__(self, operation: Operation) -> None:
        super().__init__(operation)
        self.window: tuple[int, int] = (0, -1)
        self.outside: list[Mapping] = []
        self.due: frozenset[int] = frozenset()
        self.expected: int | None = None


class GpuvmPromise(OfOne):
    """What callers of a VA manager were told, and what its events said.

    ``state``: the VM as it has to be, and as events say that it is; ``seen``: what those of the
    last call said.
    """

    def __init__(self, traits: Traits) -> None:
        super().__init__()
        self.state: VmState = VmState()
        self.seen: Seen = Seen()

    @property
    def warned(self) -> int:
        """The event of a warning in the last call; -1 for none."""
        return self.seen.warned

    def exists(self) -> bool:
        """Whether there is a VM."""
        return self.state.exists

    # -- before a call --------------------------------------------------------------------------

    def before(self, operation: Operation) -> GpuvmCall:
        """Sort a call before it is made."""
        call = GpuvmCall(operation)
        name = operation.name
        reason = ""
        if name in ("map", "unmap"):
            self._name_range(call)
            self._look_beside(call)
            reason = self._refusal(call)
        elif name == "find":
            self._name_range(call)
            call.expected = self._expected(call.first, call.last)
        elif name == "bo":
            size = to_unsigned(operation.number("size"))
            if not 0 < size < BUFFER_BYTES or size & (PAGE - 1):
                reason = "no size that a buffer can have"
        elif name == "close" and not self._is_open(operation.number("bo")):
            reason = "no such buffer"
        elif name == "validate":
            call.due = frozenset(self.state.evicted())
        elif name == "evict":
            call.due = self._moved_by_eviction(operation)
        if reason:
            call.refuse(reason, -errno.EINVAL)
        if operation.args.get("fail_at"):
            call.errors += (-errno.ENOMEM,)
        return call

    def _name_range(self, call: GpuvmCall) -> None:
        """The addresses of its range, up to the last that there is."""
        call.first = to_unsigned(call.operation.number("iova"))
        end = call.first + to_unsigned(call.operation.number("size"))
        call.last = min(end, ALL) - 1

    def _look_beside(self, call: GpuvmCall) -> None:
        """What is mapped right beside the range, and has to stay as it is."""
        end = call.first + to_unsigned(call.operation.number("size"))
        call.window = (max(call.first - PAGE, 0), min(end + PAGE, ALL) - 1)
        call.outside = [
            one
            for one in self.state.promise.within(call.window[0], call.window[1])
            if one.last < call.first or one.first > call.last
        ]

    def _refusal(self, call: GpuvmCall) -> str:
        """Why a map or unmap has to be refused; "" if it has not."""
        operation, state = call.operation, self.state
        maps = operation.name == "map"
        iova, size = call.first, to_unsigned(operation.number("size"))
        offset = to_unsigned(operation.number("offset")) if maps else 0
        if (iova | size | offset) & (PAGE - 1):
            return "not whole pages"
        if size == 0:
            return "no pages"
        if maps:
            number = operation.number("bo")
            if not self._is_open(number):
                return "no such buffer"
            if offset + size > state.buffers[number].size:
                return "beyond the buffer"
        last = iova + size - 1
        if last >= ALL:
            return "wraps"
        if iova < state.first or last > state.last:
            return "outside the window"
        if state.is_kernels(iova, last):
            return "in the kernel's part"
        return ""

    def _is_open(self, number: int) -> bool:
        """Whether a caller has the handle of a buffer."""
        buffer = self.state.buffers.get(number)
        return buffer is not None and buffer.open

    def _expected(self, first: int, last: int) -> int:
        """What find has to give: the first address of the first mapping; held, -1 for none."""
        state = self.state
        found = state.promise.first_in(first, last)
        if state.is_kernels(first, last) and (found is None or state.kernel_first < found.first):
            # What is reserved stands in the tree like a mapping.
            return to_signed(state.kernel_first)
        return -1 if found is None else to_signed(found.first)

    def _moved_by_eviction(self, operation: Operation) -> frozenset[int]:
        """The buffer that an ``evict`` makes evicted or valid, if it was not so before."""
        number = operation.number("bo")
        buffer = self.state.buffers.get(number)
        if buffer is None or buffer.evicted == bool(operation.number("state")):
            return frozenset()
        return frozenset({number}) if self.state.link_count(number) > 0 else frozenset()

    # -- after it -------------------------------------------------------------------------------

    def feed(self, words: list[int], begin: int) -> None:
        """Take the events of a call."""
        self.seen = self.state.feed(words, begin)

    def after(self, call: GpuvmCall, result: Result, end: int) -> None:
        """What callers were told by a call that came back."""
        state, operation = self.state, call.operation
        name = operation.name
        if name == "create":
            self.made = True
        if result.result != 0 or call.sort != LEGAL:
            return
        if name == "map":
            number, offset = operation.number("bo"), to_unsigned(operation.number("offset"))
            state.promise.map(call.first, call.last, number, offset)
        elif name == "unmap":
            state.promise.unmap(call.first, call.last)
        elif name == "create":
            state.create(operation.args)
        elif name == "bo":
            state.buffers[result.value] = BufferState(to_unsigned(operation.number("size")))
        elif name == "close":
            state.buffers[operation.number("bo")].open = False
        elif name in ("evict", "validate"):
            for number in call.due:
                state.buffers[number].evicted = name == "evict" and bool(operation.number("state"))
        elif name == "destroy":
            state.promise.clear()
            state.exists = False

    def changed(self, call: GpuvmCall, result: Result) -> bool:
        """Whether a VMA or a buffer came or went, or a buffer became evicted or valid."""
        if call.operation.name in ("create", "bo", "close", "destroy"):
            return result.result == 0
        return self.seen.changed or len(call.due) > 0

    def take_over(self, call: GpuvmCall, result: Result, broken: Sequence[Broken]) -> bool:
        """What breaks a rule is undone; after other calls, what has no owner any more goes."""
        if broken:
            return False
        self.state.settle()
        return True

    def is_lost(self) -> bool:
        """Not even the VM could be made without what is wrong, or it is gone."""
        return not self.state.exists

    def ending(self) -> Iterator[Operation]:
        """The VM is destroyed."""
        if self.state.exists:
            yield Operation("destroy")
