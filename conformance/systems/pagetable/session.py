"""One example of system ``pagetable``: three views of one table, kept side by side.

The session carries out one operation after the other on a target, feeds its
trace to the hardware view, moves the promise on, and asks the rules. It draws
nothing and knows no rule by name.
"""

import errno
from collections.abc import Mapping, Sequence
from dataclasses import replace

from conformance.rules.rule import LEGAL, MISUSE, REFUSED, Rule, Step, Violation
from conformance.session import Outcome
from conformance.systems.pagetable.operations import SPECS, filled
from conformance.systems.pagetable.rules import PAGETABLE
from conformance.tally import Tally
from conformance.targets.protocol import Target
from reference.formats import format_by_name
from reference.formats.format import READ, WRITE, Format
from reference.hardware.view import CHANGED_OUTSIDE, TOP_VA, HardwareView
from reference.operations import Operation, OperationSpec, Result, make
from reference.trace import BEGIN, END, RELEASE, Trace
from reference.translations import Translations

_SPENT_BY: dict[str, tuple[Rule, ...]] = {
    name: tuple(rule for rule in PAGETABLE if name in rule.operations) for name in SPECS
}
_MISUSE_RULES: dict[str, tuple[Rule, ...]] = {
    name: tuple(rule for rule in rules if rule.misuse) for name, rules in _SPENT_BY.items()
}
_UNDEFINED = frozenset({"pa is not aligned", "iova is not aligned", "beyond the output size"})
"""Misuses whose entries, if the call makes any, mean nothing that a promise can take over."""

_ENDING_RULES = tuple(rule for rule in PAGETABLE if rule.id in ("PG-1", "PG-2"))

_PROT_OF: dict[str, dict[int, int]] = {}


def prot_for(fmt: Format, meaning: int) -> int:
    """A prot that promises exactly ``meaning``; -1 if none does."""
    table = _PROT_OF.get(fmt.name)
    if table is None:
        table = _PROT_OF[fmt.name] = {}
        for prot in range(64):
            if prot & (READ | WRITE):
                table.setdefault(fmt.promised(prot), prot)
    return table.get(meaning, -1)


class PageTableSession:
    """Runs operations of one example on ``target`` and judges each.

    ``muted``: identities (rule, signature) that are known; ``None`` mutes all. The
    session goes on after a violation: the promise takes over what the target did, or,
    after a crash or hang, the operation is undone by running the ones before it again.
    """

    system = "pagetable"
    specs: Mapping[str, OperationSpec] = SPECS
    rules: tuple[Rule, ...] = PAGETABLE

    def __init__(
        self, target: Target, muted: set[tuple[str, str]] | None = None, tally: Tally | None = None
    ) -> None:
        self.target = target
        self.muted = muted
        self.tally = tally if tally is not None else Tally()
        self.operations: list[Operation] = []
        self.results: list[Result] = []
        self.trace = Trace()
        self._effective: list[Operation] = []
        self._replaying = False
        self.ended = False
        # Stop moving on when this identity is met, so that the views can be looked at.
        self.frozen_on: tuple[str, str] | None = None
        self._forget_table()
        target.reset()

    def _forget_table(self) -> None:
        self.exists = False
        self.config: Mapping[str, int | str] = {}
        self.view: HardwareView | None = None
        self.promise: Translations | None = None
        self.strict: list[tuple[int, int]] = []
        self.queued: list[tuple[int, int]] = []
        self.flushed: list[tuple[int, int]] = []

    # -- one operation ------------------------------------------------------------------------

    def run(self, operation: Operation) -> Outcome:
        """Carry out one operation and judge it.

        A first operation other than create makes a default table before. After destroy,
        only create does anything.
        """
        name = operation.name
        if not self.exists and name != "create":
            if self.operations:
                return Outcome(Result(), MISUSE, False, (), ())
            self.run(make("create", SPECS))
        if name == "create" and self.exists:
            return Outcome(Result(), MISUSE, False, (), ())
        begin = len(self.trace)
        self.operations.append(operation)
        if name == "create":
            operation = filled(operation)
        if name == "create":
            self._make_views(operation, begin)
        view, promise = self.view, self.promise
        assert view is not None and promise is not None
        sort, reason, errors = self._sort(operation)
        first, last = self._touched(operation)
        view.touched_first, view.touched_last = first, last
        due = self._due(name)
        held = self._held(first, last) if sort == MISUSE and last >= first else ()
        counts_before = view.counts.copy()
        failed_before = view.failed_allocations
        view.warned = -1

        self.trace.emit(BEGIN, len(self.operations) - 1)
        if name == "release":
            for one in due:
                self.trace.emit(RELEASE, one[0], one[1])
            result = Result()
        else:
            result = self.target.perform(operation, self.trace)
        self.trace.emit(END, result.result, result.value)
        self.results.append(result)
        view.feed(self.trace.words, begin)
        step = Step(
            operation,
            result,
            sort,
            reason,
            first,
            last,
            promise,
            view,
            self.trace,
            begin,
            len(self.trace) - 1,
            self.target.places,
            int(self.config["bbm"]),
            errors,
            due,
            held,
            view.failed_allocations - failed_before,
            view.warned,
            view.counts,
            counts_before,
            view.observations,
        )
        if result.finished:
            self._keep_promise(step)
            self._judge(step, _SPENT_BY[name] if sort != MISUSE else _MISUSE_RULES[name])
            undefined = reason in _UNDEFINED and name == "map" and result.value > 0
            undefined = undefined or any(one.corrupts for one in step.violations)
            frozen = any(one.identity == self.frozen_on for one in step.violations)
            if not undefined and not frozen:
                self._take_over(step)
                self._effective.append(operation)
        else:
            undefined = True
            self._judge(step, _ENDING_RULES)
        if any(violation.identity == self.frozen_on for violation in step.violations):
            self.ended = True
            return Outcome(result, sort, True, step.violations, ())
        view.observations = []
        changed = self._changed(step)
        if not self._replaying:
            self.tally.operation(name, sort, changed)
        fresh = self._report(step)
        if undefined:
            self._undo(step)
        return Outcome(result, sort, changed, step.violations, fresh)

    def _make_views(self, operation: Operation, begin: int) -> None:
        self.config = operation.args
        fmt = format_by_name(operation.string("format"))
        fmt.check(operation.number("ias"), operation.number("oas"), operation.number("pgsizes"))
        geometry = fmt.geometry(operation.number("ias"))
        self.view = HardwareView(geometry, bool(operation.args["coherent"]))
        self.view.now = begin
        self.promise = Translations(fmt)
        self.exists = True

    # -- what the promise says of a call ---------------------------------------------------------

    def _sort(self, operation: Operation) -> tuple[str, str, tuple[int, ...]]:
        """(legal, refused or misuse; why; the errnos that are allowed) for a call."""
        name = operation.name
        args = operation.args
        if name in ("map", "unmap"):
            misuse = self._misuse(operation)
            if misuse:
                return MISUSE, misuse, ()
            if name == "map" and not int(args["prot"]) & (READ | WRITE):
                return REFUSED, "no permission asked for", (-errno.EINVAL,)
        elif name == "translate" and not 0 <= int(args["iova"]) < 1 << int(self.config["ias"]):
            return MISUSE, "beyond the input size", ()
        return LEGAL, "", ()

    def _misuse(self, operation: Operation) -> str:
        """Why a map or unmap is outside the contract; "" if it is not."""
        args = operation.args
        iova, pgsize = int(args["iova"]), int(args["pgsize"])
        size = pgsize * int(args["pgcount"])
        promise = self.promise
        assert promise is not None
        if pgsize <= 0 or pgsize & (pgsize - 1) or not pgsize & int(self.config["pgsizes"]):
            return "page size is not one of the table's"
        if size <= 0:
            return "no pages"
        if iova & (pgsize - 1):
            return "iova is not aligned"
        limit = 1 << int(self.config["ias"])
        if not 0 <= iova < limit:
            return "beyond the input size"
        if iova + size > limit:
            return "runs past the input size"
        first, last = iova, iova + size - 1
        if operation.name == "map":
            pa = int(args["pa"])
            if pa & (pgsize - 1):
                return "pa is not aligned"
            if pa < 0 or pa + size > 1 << int(self.config["oas"]):
                return "beyond the output size"
            if promise.any_in(first, last):
                return "something is mapped there"
            if self.is_waiting(first, last):
                return "address reused before it was released"
            return ""
        if not promise.all_in(first, last):
            return "nothing is mapped in a part of the range"
        if self.config["block_unmap"] == "refuse":
            level = promise.format.level_of(pgsize)
            if promise.largest_level_in(first, last) < level:
                return "part of a block"
        return ""

    def is_waiting(self, first: int, last: int) -> bool:
        """Whether a part of first..last was unmapped and not released yet."""
        for waiting in (self.strict, self.queued, self.flushed):
            for one_first, one_last in waiting:
                if one_first <= last and one_last >= first:
                    return True
        return False

    def _touched(self, operation: Operation) -> tuple[int, int]:
        """The addresses whose translation the operation may change; (0, -1) for none."""
        if operation.name not in ("map", "unmap"):
            return 0, -1
        args = operation.args
        iova, pgsize = int(args["iova"]), int(args["pgsize"])
        last = iova + pgsize * int(args["pgcount"]) - 1
        first = iova
        if pgsize > 0:
            # A misaligned call may act on every page that it reaches into.
            first = iova // pgsize * pgsize
            last = last // pgsize * pgsize + pgsize - 1
        # What lies beyond the input size is the call's own range too; the device ignores it.
        last = min(last, TOP_VA)
        return (first, last) if 0 <= first <= last else (0, -1)

    def _due(self, name: str) -> list[tuple[int, int]]:
        """The ranges for which nothing stale may be cached once the operation is done."""
        if name == "sync":
            return list(self.strict)
        if name == "flush":
            return list(self.queued)
        if name == "release":
            return list(self.flushed)
        return []

    def _held(self, first: int, last: int) -> list[tuple[int, int, int, int]]:
        """(first, last, pa, level in memory) of what is promised in a range."""
        view, promise = self.view, self.promise
        assert view is not None and promise is not None
        return view.held(promise, first, last)

    # -- moving the promise on ---------------------------------------------------------------------

    def _keep_promise(self, step: Step) -> None:
        """What callers were told by the result of this operation."""
        name = step.kind
        promise = self.promise
        assert promise is not None
        if name == "map" and step.sort == MISUSE and step.result.value > 0:
            # Used again before it was released: nobody waits for its flush any more.
            last = step.first + step.result.value - 1
            for waiting in (self.strict, self.queued, self.flushed):
                waiting[:] = [one for one in waiting if one[0] > last or one[1] < step.first]
        if name == "map" and step.sort == LEGAL:
            pgsize = step.operation.number("pgsize")
            count = min(max(step.result.value, 0) // pgsize, step.operation.number("pgcount"))
            if count:
                promise.add_run(
                    step.first, step.operation.number("pa"), pgsize, count,
                    step.operation.number("prot"),
                )  # fmt: skip
        elif name == "unmap" and step.result.value > 0:
            iova = step.operation.number("iova")
            first = max(iova, step.first)
            limit = 1 << int(self.config["ias"])
            last = min(iova + step.result.value - 1, step.last, limit - 1)
            page = promise.format.page_sizes[0]
            first = (first + page - 1) & ~(page - 1)
            last = ((last + 1) & ~(page - 1)) - 1
            if first <= last:
                promise.remove(first, last)
                waiting = self.queued if step.operation.args["gather"] == "queued" else self.strict
                waiting.append((first, last))
        elif name == "sync":
            self.flushed += self.strict
            self.strict = []
        elif name == "flush":
            self.flushed += self.queued
            self.queued = []
        elif name == "release":
            self.flushed = []

    def _judge(self, step: Step, rules: Sequence[Rule]) -> None:
        checked = {} if self._replaying else self.tally.checked
        for rule in rules:
            count = rule.judge(step)
            if count:
                checked[rule.id] = checked.get(rule.id, 0) + count
            if step.violations and any(violation.corrupts for violation in step.violations):
                # Whatever else is wrong with this step may follow from it.
                break
        if step.sort == MISUSE and step.violations:
            step.violations = [replace(one, label="misuse") for one in step.violations]

    def _take_over(self, step: Step) -> None:
        """Make the promise what the target did, after a violation or a misuse."""
        view = self.view
        assert view is not None
        families = {violation.rule[:2] for violation in step.violations}
        adopted = True
        if families & {"NB", "RC"}:
            adopted = self._adopt(0, (1 << int(self.config["ias"])) - 1)
            for seen in step.observed(CHANGED_OUTSIDE):
                span = view.geometry.format.span(seen.level)
                base = seen.va & ~(span - 1)
                view.forget(base, base + span - 1)
        elif step.last < step.first:
            pass
        elif families & {"TR", "ER", "PG"} or (step.sort == MISUSE and self._changed(step)):
            page = view.geometry.format.page_sizes[0]
            adopted = self._adopt(step.first - page, step.last + page)
            if step.sort == MISUSE:
                view.forget(step.first, step.last)
        if not adopted:
            self.ended = True
        if step.kind == "destroy" or (step.kind == "create" and step.result.result != 0):
            self._forget_table()

    def _adopt(self, first: int, last: int) -> bool:
        """Promise what memory says for first..last; False if no promise can say it.

        Where memory grants what no prot asks for, the prot that was promised stays.
        """
        view, promise = self.view, self.promise
        assert view is not None and promise is not None
        fmt = view.geometry.format
        page = fmt.page_sizes[0]
        last = min(last | (page - 1), (1 << int(self.config["ias"])) - 1)
        first = max(first & ~(page - 1), 0)
        before = {part.first: part.prot for part in promise.parts(first, last, 1 << 30)}
        promise.remove(first, last)
        for va, level, word in view.leaves(first, last, 1 << 30):
            prot = prot_for(fmt, fmt.meaning(level, word))
            if prot < 0:
                prot = before.get(va, -1)
            if prot < 0:
                return False
            end = va + fmt.span(level) - 1
            promise.remove(va, end)
            promise.add(va, fmt.output(level, word), prot, level)
        return True

    def _changed(self, step: Step) -> bool:
        if step.kind in ("create", "destroy"):
            return True
        if step.kind in ("map", "unmap"):
            return step.result.value > 0 or step.seen(CHANGED_OUTSIDE) > 0
        return bool(step.due)

    # -- violations ---------------------------------------------------------------------------

    def _report(self, step: Step) -> list[Violation]:
        if not step.violations:
            return []
        fresh: list[Violation] = []
        for violation in step.violations:
            if self._replaying:
                continue
            self.tally.violated[violation.rule] = self.tally.violated.get(violation.rule, 0) + 1
            identity = " ".join(violation.identity)
            self.tally.hits[identity] = self.tally.hits.get(identity, 0) + 1
            if self.muted is not None and violation.identity not in self.muted:
                fresh.append(violation)
        if self.ended and not self._replaying:
            identity = " ".join(step.violations[0].identity)
            self.tally.cut[identity] = self.tally.cut.get(identity, 0) + 1
        return fresh

    def _undo(self, step: Step) -> None:
        """After a call that did not come back, or left entries that mean nothing.

        Starts again, and does everything before it.
        """
        if self._replaying:
            self.ended = True
            return
        kept, results, trace = self.operations, self.results, self.trace
        again = self._effective
        self._effective = []
        self._replaying = True
        self.operations, self.results, self.trace = [], [], Trace()
        self._forget_table()
        self.target.reset()
        for operation in again:
            self.run(operation)
            if self.ended:
                break
        self._replaying = False
        self.operations, self.results = kept, results
        # The events of the rerun are those of the original up to here; keep the longer story,
        # and let event numbers go on from its end.
        self.trace = trace
        if self.view is not None:
            self.view.now = len(trace)
        if self.ended:
            identity = " ".join(step.violations[0].identity) if step.violations else "unknown"
            self.tally.cut[identity] = self.tally.cut.get(identity, 0) + 1

    def finish(self) -> Outcome | None:
        """Destroy the table at the end of an example, if it still exists."""
        if self.exists and not self.ended:
            return self.run(make("destroy", SPECS))
        return None
