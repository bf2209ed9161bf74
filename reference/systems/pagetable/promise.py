"""The promise of a page table: which calls are right, and what each address leads to.

:class:`Table` is one table with its three parts: the translations that callers were promised, what
a device could still use, and the ranges that were unmapped and may not be used again yet.
:class:`PageTablePromise` sorts calls on it, and moves the promise on.

Addresses are held (a word with bit 63 set is negative), ranges are inclusive.

Source: formats.md F.4 (the io_pgtable contract); semantics.md (when a duty falls due);
semantics.md (calls).
"""

import errno
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from reference.calls import LEGAL, MISUSE, Broken, Call, Traits, create_before
from reference.formats import format_by_name
from reference.formats.access import READ, WRITE
from reference.formats.format import Format
from reference.hardware.context import Difference, Space
from reference.hardware.machine import Machine
from reference.hardware.observation import CHANGED_OUTSIDE
from reference.hardware.tlb import TOP_VA
from reference.operations import Operation, Result
from reference.trace import RELEASE
from reference.translations import Translations

DEFAULT_BITS: Final = 48
"""Input and output size where none is given, if the format has it; else its largest."""

IOVA_ASKEW: Final = "iova is not aligned"
PA_ASKEW: Final = "pa is not aligned"
BEYOND_OUTPUT: Final = "beyond the output size"
UNDEFINED: Final = (IOVA_ASKEW, PA_ASKEW, BEYOND_OUTPUT)
"""Misuses whose entries, if the call makes any, mean nothing that a promise can take over."""

ALL_PARTS: Final = 1 << 30
"""No limit to what is looked through."""

_PROTS: Final[dict[str, dict[int, int]]] = {}
"""By format: for each access that a prot promises, the least such prot."""


def prot_for(fmt: Format, meaning: int) -> int:
    """A prot that promises exactly ``meaning``; -1 if none does."""
    table = _PROTS.get(fmt.name)
    if table is None:
        table = {}
        for prot in range(64):
            if prot & (READ | WRITE):
                table.setdefault(fmt.promised(prot), prot)
        _PROTS[fmt.name] = table
    return table.get(meaning, -1)


def filled(create: Operation) -> Operation:
    """A create operation in which page sizes of 0 are all that the format has.

    An output size that the format does not have with its input size becomes the largest
    that it has, so that the defaults do for every format.
    """
    args = dict(create.args)
    fmt = format_by_name(create.string("format"))
    if not args["pgsizes"]:
        args["pgsizes"] = sum(fmt.page_sizes)
    if args["ias"] == DEFAULT_BITS and DEFAULT_BITS not in fmt.ias_choices:
        args["ias"] = fmt.ias_choices[-1]
    outputs = fmt.oas_for(int(args["ias"]))
    if args["oas"] == DEFAULT_BITS and DEFAULT_BITS not in outputs:
        args["oas"] = outputs[-1]
    return Operation(create.name, args)


def format_of(create: Operation) -> Format:
    """The format of the table that a create operation, filled in, names.

    Raises:
        ValueError: it has no such table.
    """
    fmt = format_by_name(create.string("format"))
    fmt.check(create.number("ias"), create.number("oas"), create.number("pgsizes"))
    return fmt


class PageTableCall(Call):
    """One call. ``first``..``last``: the addresses whose translation it may change; 0, -1: none.

    ``due``: the ranges for which nothing stale may be cached once it is done. ``held``: for a
    misuse, what was promised in its range before: (first, last, pa, level in memory).
    ``counts_before``, ``failed_before``: the machine's counts, and failed allocations, before it.
    ``lost``: how many tables it has lost, ``lost_pa`` the first of them.
    """

    def __init__(self, operation: Operation) -> None:
        super().__init__(operation)
        self.first = 0
        self.last = -1
        self.due: list[tuple[int, int]] = []
        self.held: Sequence[tuple[int, int, int, int]] = ()
        self.counts_before: Sequence[int] = ()
        self.failed_before: int = 0
        self.lost: int = 0
        self.lost_pa: int = -1


class Duties:
    """What was unmapped, and may not be used again before it was flushed and released.

    ``strict``: ranges that wait for the caller's sync; ``queued``: for the flush of the queue;
    ``flushed``: for their release.
    """

    def __init__(self) -> None:
        self.strict: list[tuple[int, int]] = []
        self.queued: list[tuple[int, int]] = []
        self.flushed: list[tuple[int, int]] = []

    def any(self) -> bool:
        """Whether anything waits."""
        return bool(self.strict or self.queued or self.flushed)

    def is_waiting(self, first: int, last: int) -> bool:
        """Whether a part of first..last was unmapped and not released yet."""
        for waiting in (self.strict, self.queued, self.flushed):
            for one_first, one_last in waiting:
                if one_first <= last and one_last >= first:
                    return True
        return False

    def due(self, name: str) -> list[tuple[int, int]]:
        """The ranges for which nothing stale may be cached once the operation is done."""
        if name == "sync":
            return self.strict
        if name == "flush":
            return self.queued
        if name == "release":
            return self.flushed
        return []

    def add(self, first: int, last: int, gather: str) -> None:
        """A range was unmapped."""
        waiting = self.queued if gather == "queued" else self.strict
        waiting.append((first, last))

    def done(self, name: str) -> None:
        """The operation did what was due."""
        if name == "sync":
            self.flushed = self.flushed + self.strict
            self.strict = []
        elif name == "flush":
            self.flushed = self.flushed + self.queued
            self.queued = []
        elif name == "release":
            self.flushed = []

    def reused(self, first: int, last: int) -> None:
        """Addresses were used again before they were released: nobody waits for their flush now."""
        self.strict = _outside(self.strict, first, last)
        self.queued = _outside(self.queued, first, last)
        self.flushed = _outside(self.flushed, first, last)


def _outside(ranges: list[tuple[int, int]], first: int, last: int) -> list[tuple[int, int]]:
    """What is left of the ranges without first..last."""
    left: list[tuple[int, int]] = []
    for one_first, one_last in ranges:
        if one_first > last or one_last < first:
            left.append((one_first, one_last))
            continue
        if one_first < first:
            left.append((one_first, first - 1))
        if one_last > last:
            left.append((last + 1, one_last))
    return left


class Table:
    """One page table.

    ``config``: the arguments of its create, filled in; of them ``pgsizes`` (a bit for each page
    size), ``bbm`` (the device's break-before-make level), and ``limit`` and ``pa_limit``, where
    input and output addresses end.
    ``translations``: what callers were promised; ``machine``: what a device could use, ``view``
    the one address space in it; ``duties``: what was unmapped and not released.
    """

    def __init__(self, create: Operation) -> None:
        """The table that ``create``, filled in, makes.

        Raises:
            ValueError: its format has no such table.
        """
        fmt = format_of(create)
        ias = create.number("ias")
        self.config: Mapping[str, int | str] = create.args
        self.pgsizes: int = create.number("pgsizes")
        self.bbm: int = create.number("bbm")
        self.limit: int = 1 << ias
        self.pa_limit: int = 1 << create.number("oas")
        self.format: Format = fmt
        self.translations: Translations = Translations(fmt)
        self.machine: Machine = Machine(fmt.geometry(ias), bool(create.number("coherent")))
        self.view: Space = self.machine.add_space()
        self.machine.add_context(self.view)
        self.duties: Duties = Duties()

    def access_differences(self, first: int, last: int) -> list[Difference]:
        """Where memory grants another access than was promised; one place for each such pair.

        Up to the first address that leads elsewhere than was promised.
        """
        view, translations, fmt = self.view, self.translations, self.format
        found: list[Difference] = []
        pairs: set[tuple[int, int]] = set()
        one = view.difference(translations, first, last)
        while one is not None and not one.address:
            prot = translations.lookup(one.va)[1]
            pair = fmt.promised(prot), fmt.meaning(one.level, one.word)
            if pair not in pairs:
                pairs.add(pair)
                found.append(one)
            end = min(translations.extent(one.va), one.va | (fmt.span(one.level) - 1))
            one = view.difference(translations, end + 1, last)
        return found

    # -- going on with what is wrong ------------------------------------------------------------

    def accept_access(self, first: int, last: int) -> None:
        """Take the access that memory grants in first..last as good for what was promised."""
        for one in self.access_differences(first, last):
            self.view.accept(self.translations, one)

    def adopt(self, first: int, last: int) -> bool:
        """Promise what memory says for first..last; False if no promise can say it.

        Where memory grants what no prot asks for, the prot that was promised stays.
        """
        translations, fmt = self.translations, self.format
        page = fmt.page_sizes[0]
        last = min(last | (page - 1), self.limit - 1)
        first = max(first & ~(page - 1), 0)
        parts = translations.parts(first, last, ALL_PARTS)
        before: dict[int, int] = {part.first: part.prot for part in parts}
        translations.remove(first, last)
        for va, level, word in self.view.leaves(first, last, ALL_PARTS):
            prot = prot_for(fmt, fmt.meaning(level, word))
            if prot < 0:
                prot = before.get(va, -1)
            if prot < 0:
                return False
            end = va + fmt.span(level) - 1
            translations.remove(va, end)
            translations.add(va, fmt.output(level, word), prot, level)
        return True

    def forget_changed_outside(self) -> None:
        """What was cached of entries that a call was not to touch is nobody's duty."""
        for seen in self.machine.observations:
            if seen.kind == CHANGED_OUTSIDE:
                span = self.format.span(seen.level)
                base = seen.va & ~(span - 1)
                self.view.forget(base, base + span - 1)


class PageTablePromise:
    """What callers of a page table were told, and what a device could use.

    ``table``: the one table of the example; None where there is none.
    """

    def __init__(self, traits: Traits) -> None:
        self.table: Table | None = None

    @property
    def warned(self) -> int:
        """The event of a warning in the last call; -1 for none."""
        return -1 if self.table is None else self.table.machine.warned

    def implied(self, operation: Operation, first: bool) -> Operation | None:
        """A first operation other than create has a default table made before it."""
        return create_before(operation, first, self.table is not None)

    def takes(self, operation: Operation) -> bool:
        """One table at a time: where there is none, only create does anything.

        Raises:
            ValueError: a create names a table that its format does not have.
        """
        if operation.name != "create":
            return self.table is not None
        format_of(filled(operation))
        return self.table is None

    def _existing(self) -> Table:
        assert self.table is not None
        return self.table

    # -- before a call --------------------------------------------------------------------------

    def before(self, operation: Operation) -> PageTableCall:
        """Sort a call before it is made."""
        name = operation.name
        if name == "create":
            operation = filled(operation)
            self.table = Table(operation)
        table = self._existing()
        machine, view = table.machine, table.view
        call = PageTableCall(operation)
        if name in ("map", "unmap"):
            call.first, call.last = touched(operation)
        self._sort(call, table)
        view.touched_first, view.touched_last = call.first, call.last
        call.due = table.duties.due(name)
        if call.sort == MISUSE and call.last >= call.first:
            call.held = view.held(table.translations, call.first, call.last)
        if name == "release":
            call.events = [(RELEASE, first, last) for first, last in call.due]
        call.counts_before = machine.counts.copy()
        call.failed_before = machine.failed_allocations
        machine.warned = -1
        machine.observations = []
        return call

    def _sort(self, call: PageTableCall, table: Table) -> None:
        operation, name = call.operation, call.operation.name
        if name in ("map", "unmap"):
            reason = misuse_of_range(operation, table)
            if not reason and name == "map":
                reason = misuse_of_map(operation, table)
            elif not reason:
                reason = misuse_of_unmap(operation, table)
            if reason:
                call.misuse(reason)
            elif name == "map" and not operation.number("prot") & (READ | WRITE):
                call.refuse("no permission asked for", -errno.EINVAL)
        elif name == "translate" and not 0 <= operation.number("iova") < table.limit:
            call.misuse("beyond the input size")

    # -- after it -------------------------------------------------------------------------------

    def feed(self, words: list[int], begin: int) -> None:
        """Let the machine follow the events of a call."""
        machine = self._existing().machine
        machine.now = begin
        machine.feed(words, begin)

    def after(self, call: PageTableCall, result: Result, end: int) -> None:
        """What callers were told by a call that came back."""
        table, name = self._existing(), call.operation.name
        if name == "map":
            self._mapped(call, result, table)
        elif name == "unmap":
            self._unmapped(call, result, table)
        else:
            table.duties.done(name)
        if name in ("create", "map", "unmap", "destroy"):
            call.lost = table.view.lost_tables()
            if call.lost > 0:
                call.lost_pa = table.view.mark_leaked()

    def _mapped(self, call: PageTableCall, result: Result, table: Table) -> None:
        operation = call.operation
        if call.sort == MISUSE and result.value > 0:
            table.duties.reused(call.first, call.first + result.value - 1)
        if call.sort != LEGAL:
            return
        pgsize = operation.number("pgsize")
        count = min(max(result.value, 0) // pgsize, operation.number("pgcount"))
        if count:
            table.translations.add_run(
                call.first, operation.number("pa"), pgsize, count, operation.number("prot")
            )

    def _unmapped(self, call: PageTableCall, result: Result, table: Table) -> None:
        if result.value <= 0:
            return
        iova = call.operation.number("iova")
        first = max(iova, call.first)
        last = min(iova + result.value - 1, call.last, table.limit - 1)
        page = table.format.page_sizes[0]
        first = (first + page - 1) & ~(page - 1)
        last = ((last + 1) & ~(page - 1)) - 1
        if first <= last:
            table.translations.remove(first, last)
            table.duties.add(first, last, call.operation.string("gather"))

    def changed(self, call: PageTableCall, result: Result) -> bool:
        """Whether a table came or went, something was mapped or unmapped, or a duty done."""
        name = call.operation.name
        if name in ("create", "destroy"):
            return True
        if name in ("map", "unmap"):
            counts = self._existing().machine.counts
            return result.value > 0 or counts[CHANGED_OUTSIDE] > call.counts_before[CHANGED_OUTSIDE]
        return bool(call.due)

    # -- going on -------------------------------------------------------------------------------

    def take_over(self, call: PageTableCall, result: Result, broken: Sequence[Broken]) -> bool:
        """Make the promise what the target did, after a violation or a misuse."""
        table, name = self._existing(), call.operation.name
        if name == "map" and result.value > 0 and call.reason in UNDEFINED:
            return False
        if broken or call.sort == MISUSE:
            if any(one.corrupts for one in broken):
                return False
            self._take_as_reported(call, result, broken, table)
            if not self._adopt(call, result, broken, table):
                return False
        if name == "destroy" or (name == "create" and result.result != 0):
            self.table = None
        return True

    def _take_as_reported(
        self, call: PageTableCall, result: Result, broken: Sequence[Broken], table: Table
    ) -> None:
        """What is wrong with visibility, cache and access is not wrong a second time."""
        view = table.view
        rules = {one.rule for one in broken}
        is_map = call.operation.name == "map" and result.result == 0
        if "OR-4" in rules and is_map and view.unseen_store() >= 0:
            view.make_all_seen()
        for one in broken:
            if one.rule == "TL-1":
                for first, last in call.due:
                    if first <= one.iova <= last:
                        view.forget(first, last)
        if "TR-2" in rules:
            table.accept_access(call.first, call.last)

    def _adopt(
        self, call: PageTableCall, result: Result, broken: Sequence[Broken], table: Table
    ) -> bool:
        """Promise what memory says, wherever it may differ by now; False if nothing can say it."""
        families = {one.rule[:2] for one in broken}
        misuse = call.sort == MISUSE
        if "NB" in families or "RC" in families:
            adopted = table.adopt(0, table.limit - 1)
            table.forget_changed_outside()
            return adopted
        if call.last < call.first:
            return True
        if families & {"TR", "ER", "PG"} or (misuse and self.changed(call, result)):
            page = table.format.page_sizes[0]
            adopted = table.adopt(call.first - page, call.last + page)
            if misuse:
                table.view.forget(call.first, call.last)
            return adopted
        return True

    def is_lost(self) -> bool:
        """Where there is no table, another can be made."""
        return False

    def ending(self) -> Iterator[Operation]:
        """The table goes."""
        if self.table is not None:
            yield Operation("destroy")


# -- misuse ---------------------------------------------------------------------------------------


def misuse_of_range(operation: Operation, table: Table) -> str:
    """Why the range of a map or unmap is outside the contract; "" if it is not."""
    iova, pgsize = operation.number("iova"), operation.number("pgsize")
    size = pgsize * operation.number("pgcount")
    if pgsize <= 0 or pgsize & (pgsize - 1) or not pgsize & table.pgsizes:
        return "page size is not one of the table's"
    if size <= 0:
        return "no pages"
    if iova & (pgsize - 1):
        return IOVA_ASKEW
    if not 0 <= iova < table.limit:
        return "beyond the input size"
    if iova + size > table.limit:
        return "runs past the input size"
    return ""


def misuse_of_map(operation: Operation, table: Table) -> str:
    """Why a map of a good range is outside the contract; "" if it is not."""
    pa, pgsize = operation.number("pa"), operation.number("pgsize")
    size = pgsize * operation.number("pgcount")
    first = operation.number("iova")
    last = first + size - 1
    if pa & (pgsize - 1):
        return PA_ASKEW
    if pa < 0 or pa + size > table.pa_limit:
        return BEYOND_OUTPUT
    if table.translations.any_in(first, last):
        return "something is mapped there"
    if table.duties.is_waiting(first, last):
        return "address reused before it was released"
    return ""


def misuse_of_unmap(operation: Operation, table: Table) -> str:
    """Why an unmap of a good range is outside the contract; "" if it is not."""
    first, pgsize = operation.number("iova"), operation.number("pgsize")
    last = first + pgsize * operation.number("pgcount") - 1
    translations = table.translations
    if not translations.all_in(first, last):
        return "nothing is mapped in a part of the range"
    if table.config["block_unmap"] == "refuse":
        level = table.format.level_of(pgsize)
        if translations.largest_level_in(first, last) < level:
            return "part of a block"
    return ""


def touched(operation: Operation) -> tuple[int, int]:
    """The addresses whose translation a map or unmap may change; 0, -1 for none."""
    iova, pgsize = operation.number("iova"), operation.number("pgsize")
    first, last = iova, iova + pgsize * operation.number("pgcount") - 1
    if pgsize > 0:
        # A misaligned call may act on every page that it reaches into.
        first = iova // pgsize * pgsize
        last = last // pgsize * pgsize + pgsize - 1
    # What lies beyond the input size is the call's own range too; the device ignores it.
    last = min(last, TOP_VA)
    return (first, last) if 0 <= first <= last else (0, -1)
