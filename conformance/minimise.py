"""Our own last pass over recorded operations: fewer, and with smaller numbers.

It works on the operations as data and runs each candidate on the target; nothing
is drawn. It stops when no operation can be left out and no number lowered, or when
its budget of executions is spent.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from conformance.system import System
from conformance.targets.protocol import Target
from reference.operations import WORD_KINDS, ArgSpec, Operation, make
from reference.words import to_signed, to_unsigned


def reproduces(
    system: System, target: Target, operations: Sequence[Operation], identity: tuple[str, str]
) -> int:
    """How many of the operations it takes to meet ``identity``; 0 if they do not.

    One more than there are: only the destroy at the end of the example meets it.
    """
    session = system.session(target, None, None)
    for number, outcome in enumerate(session.run_all(operations), start=1):
        if any(violation.identity == identity for violation in outcome.violations):
            return number
    return 0


class _Minimiser:
    """The search's state: the best operations so far, and what may still be spent."""

    def __init__(
        self,
        system: System,
        target: Target,
        operations: list[Operation],
        identity: tuple[str, str],
        budget: int,
    ) -> None:
        self.system = system
        self.target = target
        self.best = operations
        self.identity = identity
        self.budget = budget
        self.tried: set[tuple[Operation, ...]] = set()

    def accept(self, candidate: list[Operation]) -> bool:
        """Whether the candidate still shows the violation; if so it is the new best."""
        key = tuple(candidate)
        if key in self.tried or self.budget <= 0:
            return False
        self.tried.add(key)
        self.budget -= 1
        if not self.system.allows(self.target, candidate):
            return False
        needed = reproduces(self.system, self.target, candidate, self.identity)
        if needed == 0:
            return False
        self.best = candidate[:needed]
        return True

    def drop_operations(self) -> bool:
        """Leave out runs of operations, long ones first; True if anything went."""
        dropped = False
        size = max(len(self.best) // 2, 1)
        while size >= 1:
            start = len(self.best) - size
            while start >= 1:
                end = start + size
                rest = _renumbered(self.best, start, end, self.system.made_by)
                renumbered = self.best[:start] + rest
                candidate = self.best[:start] + self.best[end:]
                if self.accept(renumbered) or self.accept(candidate):
                    dropped = True
                start = min(start, len(self.best)) - 1
            size //= 2
        return dropped

    def drop_create(self) -> None:
        """Leave out a create that says nothing, where that goes without saying."""
        implied = self.system.create_implied and make("create", self.system.specs)
        if len(self.best) > 1 and self.best[0] == implied:
            self.accept(self.best[1:])

    def drop_and_lower(self) -> bool:
        """Leave out one operation and at the same time simplify one argument of another."""
        for gone in range(len(self.best) - 1, 0, -1):
            for number, operation in enumerate(self.best):
                if number == gone:
                    continue
                for spec in self.system.specs[operation.name].args:
                    value = operation.args[spec.name]
                    simple = next(lower_values(spec, value), value)
                    if simple == value:
                        continue
                    candidate = list(self.best)
                    candidate[number] = _replaced(operation, spec.name, simple)
                    del candidate[gone]
                    if self.accept(candidate):
                        return True
        return False

    def part_and_drop(self) -> bool:
        """Give an address that is used again a place of its own, without what made room for it."""
        if not self.system.moved_together:
            return False
        name = self.system.moved_together[0][0]
        used = [to_unsigned(int(one.args[name])) for one in self.best if name in one.args]
        if not used:
            return False
        apart = to_signed((max(used) | ((1 << 30) - 1)) + 1 & ((1 << 64) - 1))
        for number in range(len(self.best) - 1, 1, -1):
            again = self.best[number].args.get(name)
            if again is None or all(one.args.get(name) != again for one in self.best[:number]):
                continue
            moved = [_with(one, name, again, apart) for one in self.best[number:]]
            for start in range(1, number):
                if self.accept(self.best[:start] + moved):
                    return True
        return False

    def lower_pair(self) -> bool:
        """Simplify two arguments of one operation that only go together."""
        for number, operation in enumerate(self.best):
            simple = {
                spec.name: next(lower_values(spec, operation.args[spec.name]), None)
                for spec in self.system.specs[operation.name].args
            }
            pairs = combinations([(k, v) for k, v in simple.items() if v is not None], 2)
            for (one, lower_one), (two, lower_two) in pairs:
                candidate = list(self.best)
                candidate[number] = _replaced(_replaced(operation, one, lower_one), two, lower_two)
                if self.accept(candidate):
                    return True
        return False

    def lower_together(self) -> bool:
        """Lower one value wherever it stands, or move all addresses down together."""
        lowered = False
        for name, value, spec in list(self._values()):
            for smaller in lower_values(spec, value):
                candidate = [_with(one, name, value, smaller) for one in self.best]
                if self.accept(candidate):
                    lowered = True
                    break
        for names in self.system.moved_together:
            for shift in (39, 30, 21, 12):
                addresses = [
                    to_unsigned(int(one.args[name]))
                    for one in self.best
                    for name in names
                    if name in one.args
                ]
                if not addresses or min(addresses) < 1 << shift:
                    continue
                base = min(addresses) >> shift << shift
                candidate = [_moved(one, names, base) for one in self.best]
                lowered = self.accept(candidate) or lowered
        return lowered

    def _values(self) -> Iterator[tuple[str, int | str, ArgSpec]]:
        seen: set[tuple[str, int | str]] = set()
        for one in self.best:
            for spec in self.system.specs[one.name].args:
                value = one.args[spec.name]
                if (spec.name, value) not in seen:
                    seen.add((spec.name, value))
                    yield spec.name, value, spec

    def lower_one(self) -> bool:
        """Lower single arguments of single operations; True if anything was lowered."""
        lowered = False
        for number in range(len(self.best)):
            if number >= len(self.best):
                break
            for spec in self.system.specs[self.best[number].name].args:
                again = True
                while again and number < len(self.best):
                    again = False
                    operation = self.best[number]
                    for smaller in lower_values(spec, operation.args[spec.name]):
                        candidate = list(self.best)
                        candidate[number] = _replaced(operation, spec.name, smaller)
                        if self.accept(candidate):
                            lowered = again = True
                            break
        return lowered


def _renumbered(
    operations: Sequence[Operation],
    start: int,
    end: int,
    made_by: Mapping[str, Sequence[str]],
) -> list[Operation]:
    """The operations from ``end`` on, once those from ``start`` on are left out.

    Objects are named by their number, in an argument that has the name of the operation that
    makes them (or of which ``made_by`` says which do): those that were made after what is left
    out have lower numbers without it.
    """
    before = Counter(one.name for one in operations[:start])
    gone = Counter(one.name for one in operations[start:end])
    for argument, makers in made_by.items():
        before[argument] = sum(before[name] for name in makers)
        gone[argument] = sum(gone[name] for name in makers)
    rest = list(operations[end:])
    for at, one in enumerate(rest):
        for name in gone.keys() & one.args.keys():
            number = one.args[name]
            if isinstance(number, int) and number >= before[name] + gone[name]:
                rest[at] = one = _replaced(one, name, number - gone[name])
    return rest


def _replaced(operation: Operation, name: str, value: int | str) -> Operation:
    return Operation(operation.name, {**operation.args, name: value})


def _moved(operation: Operation, names: Sequence[str], down: int) -> Operation:
    """The operation with its addresses of these names lowered by as many bytes."""
    for name in names:
        if name in operation.args:
            lower = to_unsigned(int(operation.args[name])) - down
            operation = _replaced(operation, name, to_signed(lower))
    return operation


def _with(operation: Operation, name: str, old: int | str, new: int | str) -> Operation:
    if operation.args.get(name) == old:
        return _replaced(operation, name, new)
    return operation


def lower_values(spec: ArgSpec, value: int | str) -> Iterator[int | str]:
    """Simpler values for an argument, the simplest first: its default, then smaller numbers."""
    if spec.default is not None and value != spec.default:
        yield spec.default
    if spec.kind in ("choice", "bits", "sizes") or isinstance(value, str):
        # Not a quantity: only the default is simpler.
        return
    if spec.default is not None and value == spec.default:
        return
    seen = {value, spec.default}
    candidates = [0, 1]
    unsigned = to_unsigned(value) if spec.kind in WORD_KINDS else value
    if spec.kind in WORD_KINDS:
        # Clear one bit, from the top; halve; one page less.
        candidates += [unsigned & ~(1 << bit) for bit in range(63, -1, -1) if unsigned >> bit & 1]
        candidates += [unsigned >> 1, unsigned - 0x1000]
    else:
        candidates += [value // 2, value - 1]
    for candidate in candidates:
        if not spec.low <= candidate < unsigned:
            continue
        held = to_signed(candidate)
        if held not in seen:
            seen.add(held)
            yield held


def minimise(
    system: System,
    target: Target,
    operations: Sequence[Operation],
    identity: tuple[str, str],
    budget: int = 2000,
) -> list[Operation] | None:
    """The operations, minimised; None if they do not show the violation when run again.

    ``budget``: how many candidates to run at most.
    """
    needed = reproduces(system, target, operations, identity)
    if needed == 0:
        return None
    search = _Minimiser(system, target, list(operations[:needed]), identity, budget)
    going = True
    while going and search.budget > 0:
        going = search.drop_operations()
        going = search.lower_together() or going
        going = search.lower_one() or going
        going = going or search.lower_pair()
        going = going or search.drop_and_lower()
        going = going or search.part_and_drop()
    search.drop_create()
    return search.best
