"""One example of system ``va-alloc``: operations on an allocator of addresses, each judged.

The session carries out one operation after the other on a target, moves the promise on, and
asks the rules. It draws nothing and knows no rule by name.
"""

import errno
from collections.abc import Mapping

from conformance.rules.rule import LEGAL, MISUSE, REFUSED, Rule
from conformance.session import JudgedSession, Outcome
from conformance.systems.va_alloc.operations import ALL, SPECS, possible
from conformance.systems.va_alloc.rules import VA_ALLOC
from conformance.systems.va_alloc.rules.step import NO_ROOM, AllocStep
from reference.operations import Operation, OperationSpec, Result, make
from reference.systems.va_alloc.promise import Seen, VaSpace
from reference.trace import BEGIN, END
from reference.words import to_signed, to_unsigned

_RULES: dict[str, tuple[Rule, ...]] = {
    name: tuple(rule for rule in VA_ALLOC if name in rule.operations) for name in SPECS
}
_ENDING_RULES = tuple(rule for rule in VA_ALLOC if rule.id in ("PG-1", "PG-2"))


class VaAllocSession(JudgedSession):
    """Runs operations of one example on ``target`` and judges each.

    It goes on after a violation: the operation is undone by running the ones before it again.
    """

    system = "va-alloc"
    specs: Mapping[str, OperationSpec] = SPECS
    rules: tuple[Rule, ...] = VA_ALLOC

    def _forget(self) -> None:
        self.state = VaSpace()

    def _is_lost(self) -> bool:
        return not self.state.exists

    # -- one operation ------------------------------------------------------------------------

    def run(self, operation: Operation) -> Outcome:
        """Carry out one operation and judge it.

        A first operation other than create makes a default allocator before. After destroy
        nothing is done any more.
        """
        name = operation.name
        nothing = Outcome(Result(), MISUSE, False, (), ())
        if not self.state.exists and name != "create":
            if self.operations:
                return nothing
            created = self.run(make("create", SPECS))
            if not self.state.exists:
                return created
        if name == "create" and (self.state.exists or (self.operations and not self._replaying)):
            return nothing
        if not possible(operation, {}):
            return nothing
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
        self._judge(step, _RULES[name] if step.result.finished else _ENDING_RULES)
        if self._is_frozen(step):
            self.ended = True
            return Outcome(step.result, step.sort, True, step.violations, ())
        changed = step.result.finished and step.result.result == 0 and name != "find"
        if not self._replaying:
            self.tally.operation(name, step.sort, changed)
        if step.violations:
            fresh = self._report(step)
            self._undo(step)
            return Outcome(step.result, step.sort, changed, step.violations, fresh)
        self._effective.append(operation)
        return Outcome(step.result, step.sort, changed, (), ())

    def _step(self, operation: Operation, begin: int) -> AllocStep:
        """What is known of an operation before it is carried out."""
        step = AllocStep(
            operation, Result(), LEGAL, "", (), self.state.first, self.state.last, self.state,
            Seen(), self.trace, begin, begin, self.target.places,
        )  # fmt: skip
        name, args, state = operation.name, operation.args, self.state
        error = -errno.ENOSPC
        if name in ("alloc", "find"):
            step.first, step.last = to_unsigned(int(args["first"])), to_unsigned(int(args["last"]))
        if name == "alloc":
            size, align = to_unsigned(int(args["size"])), to_unsigned(int(args["align"]))
            step.rooms = state.rooms(size, align, step.first, step.last)
            step.reason = "no bytes" if size == 0 else "" if step.rooms else NO_ROOM
        elif name == "reserve":
            step.first, size = to_unsigned(int(args["va"])), to_unsigned(int(args["size"]))
            step.last = step.first + max(size, 1) - 1
            step.reason = self._refusal(step.first, size)
        elif name == "free":
            one = state.ranges.get(int(args["node"]))
            step.first, step.last = (state.first,) * 2 if one is None else (one.first, one.last)
            step.reason = "no such range" if one is None else ""
            error = -errno.EINVAL
        elif name == "find":
            first, last = max(step.first, state.first), min(step.last, state.last)
            found = state.first_in(first, last) if first <= last else None
            step.expected = -1 if found is None else to_signed(found.first)
        elif name == "create":
            step.first = to_unsigned(int(args["start"]))
            step.last = step.first + to_unsigned(int(args["size"])) - 1
        if step.reason:
            step.sort, step.errors = REFUSED, (error,)
        return step

    def _refusal(self, first: int, size: int) -> str:
        """Why addresses cannot be reserved; "" if they can."""
        if size == 0:
            return "no bytes"
        last = first + size - 1
        if last >= ALL:
            return "wraps"
        if not self.state.inside(first, last):
            return "outside the window"
        if self.state.first_in(first, last) is not None:
            return "taken"
        return ""

    # -- moving on --------------------------------------------------------------------------------

    def _keep_promise(self, step: AllocStep) -> None:
        """What callers were told by the result of this operation."""
        state, args = self.state, step.operation.args
        if step.result.result != 0 or step.reason not in ("", NO_ROOM):
            return
        if step.kind == "create":
            state.create(step.first, to_unsigned(int(args["size"])))
        elif step.kind == "alloc":
            step.first = to_unsigned(step.result.value)
            step.last = step.first + to_unsigned(int(args["size"])) - 1
            step.taken = state.first_in(step.first, step.last)
            if step.taken is None and state.inside(step.first, step.last):
                state.add(step.first, step.last)
        elif step.kind == "reserve":
            state.add(step.first, step.last)
        elif step.kind == "free":
            state.remove(int(args["node"]))
        elif step.kind == "destroy":
            state.clear()

    def finish(self) -> Outcome | None:
        """Destroy the allocator at the end of an example, if it still exists."""
        if self.state.exists and not self.ended:
            return self.run(make("destroy", SPECS))
        return None
