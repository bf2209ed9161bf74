"""One example of system ``gpuvm``: operations on a VM, each judged.

The session carries out one operation after the other on a target, feeds its trace to the
state, moves the promise on, and asks the rules. It draws nothing and knows no rule by name.
"""

import errno
from collections.abc import Mapping as MappingOf

from conformance.rules.rule import LEGAL, MISUSE, REFUSED, Rule
from conformance.session import JudgedSession, Outcome
from conformance.systems.gpuvm.operations import ALL, PAGE, SPECS, possible
from conformance.systems.gpuvm.rules import GPUVM
from conformance.systems.gpuvm.rules.step import VaStep
from reference.operations import Operation, OperationSpec, Result, make
from reference.systems.gpuvm.state import BufferState, Seen, VmState
from reference.trace import BEGIN, END
from reference.words import to_signed, to_unsigned

_RULES: dict[str, tuple[Rule, ...]] = {
    name: tuple(rule for rule in GPUVM if name in rule.operations) for name in SPECS
}
_ENDING_RULES = tuple(rule for rule in GPUVM if rule.id in ("PG-1", "PG-2"))


class GpuvmSession(JudgedSession):
    """Runs operations of one example on ``target`` and judges each.

    It goes on after a violation: the operation is undone by running the ones before it again.
    """

    system = "gpuvm"
    specs: MappingOf[str, OperationSpec] = SPECS
    rules: tuple[Rule, ...] = GPUVM

    def _forget(self) -> None:
        self.state = VmState()

    def _is_lost(self) -> bool:
        # Not even the VM could be made without what is wrong, or it is gone.
        return not self.state.exists

    # -- one operation ------------------------------------------------------------------------

    def run(self, operation: Operation) -> Outcome:
        """Carry out one operation and judge it.

        A first operation other than create makes a default VM before. After destroy nothing is
        done any more.
        """
        name = operation.name
        if not self.state.exists and name != "create":
            if self.operations:
                return Outcome(Result(), MISUSE, False, (), ())
            created = self.run(make("create", SPECS))
            if not self.state.exists:
                return created
        if name == "create" and (self.state.exists or (self.operations and not self._replaying)):
            return Outcome(Result(), MISUSE, False, (), ())
        if name == "create" and not possible(operation, {}):
            return Outcome(Result(), MISUSE, False, (), ())
        begin = len(self.trace)
        self.operations.append(operation)
        step = self._step(operation, begin)
        self.trace.emit(BEGIN, len(self.operations) - 1)
        step.result = self.target.perform(operation, self.trace)
        self.trace.emit(END, step.result.result, step.result.value)
        self.results.append(step.result)
        step.end_event = len(self.trace) - 1
        step.seen = self.state.feed(self.trace.words, begin)
        if step.result.finished:
            self._keep_promise(step)
            self._judge(step, _RULES[name])
        else:
            self._judge(step, _ENDING_RULES)
        if self._is_frozen(step):
            self.ended = True
            return Outcome(step.result, step.sort, True, step.violations, ())
        changed = self._changed(step)
        if not self._replaying:
            self.tally.operation(name, step.sort, changed)
        if step.violations:
            fresh = self._report(step)
            self._undo(step)
            return Outcome(step.result, step.sort, changed, step.violations, fresh)
        self.state.settle()
        self._effective.append(operation)
        return Outcome(step.result, step.sort, changed, (), ())

    def _step(self, operation: Operation, begin: int) -> VaStep:
        """What is known of an operation before it is carried out."""
        sort, reason, errors = self._sort(operation)
        step = VaStep(
            operation, Result(), sort, reason, errors, -1, -2, self.state, Seen(), self.trace,
            begin, begin, self.target.places,
        )  # fmt: skip
        args = operation.args
        if operation.name in ("map", "unmap", "find"):
            first, size = to_unsigned(int(args["iova"])), to_unsigned(int(args["size"]))
            step.first, step.last = first, min(first + size, ALL) - 1
            if operation.name == "find":
                step.expected = self._expected(step)
            else:
                step.window = (max(first - PAGE, 0), min(first + size + PAGE, ALL) - 1)
                step.outside = [
                    one
                    for one in self.state.promise.within(*step.window)
                    if one.last < step.first or one.first > step.last
                ]
        elif operation.name == "validate":
            step.due = frozenset(self.state.evicted())
        elif operation.name == "evict":
            number = int(args["bo"])
            buffer = self.state.buffers.get(number)
            changes = buffer is not None and buffer.evicted != bool(args["state"])
            if changes and self.state.link_count(number) > 0:
                step.due = frozenset({number})
        return step

    def _expected(self, step: VaStep) -> int:
        """What find has to give: the first address of the first mapping; held, -1 for none."""
        found = self.state.promise.first_in(step.first, step.last)
        state = self.state
        if state.is_kernels(step.first, step.last) and (
            found is None or state.kernel_first < found.first
        ):
            # What is reserved stands in the tree like a mapping.
            return to_signed(state.kernel_first)
        return -1 if found is None else to_signed(found.first)

    # -- what the promise says of a call --------------------------------------------------------

    def _sort(self, operation: Operation) -> tuple[str, str, tuple[int, ...]]:
        """(legal or refused; why; the errnos that are allowed) for a call."""
        name, args = operation.name, operation.args
        reason = ""
        if name in ("map", "unmap"):
            reason = self._refusal(operation)
        elif name == "close" and not self._is_open(int(args["bo"])):
            reason = "no such buffer"
        elif name == "bo":
            size = to_unsigned(int(args["size"]))
            if not 0 < size < 1 << 48 or size & (PAGE - 1):
                reason = "no size that a buffer can have"
        # Of several reasons to fail, a driver may find any first.
        errors: tuple[int, ...] = (-errno.EINVAL,) if reason else ()
        if args.get("fail_at"):
            errors += (-errno.ENOMEM,)
        return (REFUSED if reason else LEGAL), reason, errors

    def _is_open(self, number: int) -> bool:
        buffer = self.state.buffers.get(number)
        return buffer is not None and buffer.open

    def _refusal(self, operation: Operation) -> str:
        """Why a map or unmap has to be refused; "" if it has not."""
        args = operation.args
        iova, size = to_unsigned(int(args["iova"])), to_unsigned(int(args["size"]))
        offset = to_unsigned(int(args.get("offset", 0)))
        if (iova | size | offset) & (PAGE - 1):
            return "not whole pages"
        if size == 0:
            return "no pages"
        if operation.name == "map":
            number = int(args["bo"])
            if not self._is_open(number):
                return "no such buffer"
            if offset + size > self.state.buffers[number].size:
                return "beyond the buffer"
        last = iova + size - 1
        if last >= ALL:
            return "wraps"
        if iova < self.state.first or last > self.state.last:
            return "outside the window"
        if self.state.is_kernels(iova, last):
            return "in the kernel's part"
        return ""

    # -- moving on --------------------------------------------------------------------------------

    def _keep_promise(self, step: VaStep) -> None:
        """What callers were told by the result of this operation."""
        state, args = self.state, step.operation.args
        if step.result.result != 0 or step.sort != LEGAL:
            return
        if step.kind == "map":
            state.promise.map(
                step.first, step.last, int(args["bo"]), to_unsigned(int(args["offset"]))
            )
        elif step.kind == "unmap":
            state.promise.unmap(step.first, step.last)
        elif step.kind == "create":
            state.create(args)
        elif step.kind == "bo":
            state.buffers[step.result.value] = BufferState(to_unsigned(int(args["size"])))
        elif step.kind == "close":
            state.buffers[int(args["bo"])].open = False
        elif step.kind in ("evict", "validate"):
            for number in step.due:
                state.buffers[number].evicted = step.kind == "evict" and bool(args["state"])
        elif step.kind == "destroy":
            state.promise.clear()
            state.exists = False

    def _changed(self, step: VaStep) -> bool:
        if not step.result.finished:
            return False
        if step.kind in ("create", "bo", "close", "destroy"):
            return step.result.result == 0
        return step.seen.changed or bool(step.due)

    def finish(self) -> Outcome | None:
        """Destroy the VM at the end of an example, if it still exists."""
        if self.state.exists and not self.ended:
            return self.run(make("destroy", SPECS))
        return None
