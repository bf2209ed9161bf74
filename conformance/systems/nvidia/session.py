"""One example of system ``nvidia``: an address space is used, and each operation is judged.

The session carries out one operation after the other on a target, feeds its trace to the
state, moves the promise on, and asks the rules. It draws nothing and knows no rule by name. An
operation that broke a rule, or was misuse, is undone by running the ones before it again.
"""

import errno
from collections.abc import Mapping

from conformance.rules.rule import LEGAL, MISUSE, REFUSED, Rule
from conformance.session import JudgedSession, Outcome
from conformance.systems.nvidia.operations import (
    APERTURES,
    CHIPS,
    GOOD_KINDS,
    LARGEST_BOOT,
    LARGEST_SHIFT,
    MOST_AREAS,
    MOST_PAGES,
    NO_KIND,
    PAGE,
    PATIENT,
    SPECS,
    possible,
)
from conformance.systems.nvidia.rules import NVIDIA
from conformance.systems.nvidia.rules.step import NvidiaStep
from reference.formats.nvidia import (
    HOST as APERTURE_HOST,
)
from reference.formats.nvidia import (
    NO_ATOMIC,
    PRIVILEGED,
    READ_ONLY,
    VOLATILE,
    Page,
    meaning_of,
    nvidia_format,
)
from reference.formats.nvidia import (
    VRAM as APERTURE_VRAM,
)
from reference.operations import Operation, OperationSpec, Result, make
from reference.systems.nvidia.physical_layout import (
    HOST,
    PFN_DIGITS,
    VRAM,
    pfn_address,
    pfn_digit,
)
from reference.systems.nvidia.state import (
    NONE,
    Area,
    Hold,
    NvidiaMemory,
    NvidiaState,
    Part,
    Region,
)
from reference.systems.nvidia.translations import MAPPED
from reference.trace import BEGIN, END
from reference.words import to_signed, to_unsigned

_RULES: dict[str, tuple[Rule, ...]] = {
    name: tuple(rule for rule in NVIDIA if name in rule.operations) for name in SPECS
}
_MISUSE_RULES: dict[str, tuple[Rule, ...]] = {
    name: tuple(rule for rule in rules if rule.misuse) for name, rules in _RULES.items()
}
_ENDING_RULES = tuple(rule for rule in NVIDIA if rule.id in ("PG-1", "PG-2"))

_INVALID = (-errno.EINVAL,)
_NOT_THERE = (-errno.ENOENT,)
_NO_MEMORY = (-errno.ENOMEM,)
_ALWAYS = ("create", "memory", "drop", "stick")
"""Operations that need no address space."""

Refusal = tuple[str, tuple[int, ...]]
FINE: Refusal = ("", ())
_OVER_BOOTED: Refusal = ("misuse: a page of a directory, where all small tables are held", ())
"""A BAR's address space has small pages and large ones. An entry of a directory is a page or leads
to tables, never both, and nobody says what a driver has to do with those that boot made."""


class NvidiaSession(JudgedSession):
    """Runs operations of one example on ``target`` and judges each."""

    system = "nvidia"
    specs: Mapping[str, OperationSpec] = SPECS
    rules: tuple[Rule, ...] = NVIDIA

    def _forget(self) -> None:
        self.state = NvidiaState()

    def _is_lost(self) -> bool:
        return False

    # -- one operation ------------------------------------------------------------------------

    def run(self, operation: Operation) -> Outcome:
        """Carry out one operation and judge it.

        A first operation that needs an address space makes a default one before.
        """
        name = operation.name
        nothing = Outcome(Result(), MISUSE, False, (), ())
        if not self.state.exists and name not in _ALWAYS:
            if self.state.made:
                return nothing
            self.run(self._default())
            if not self.state.exists:
                return nothing
        if name == "create" and (self.state.exists or not possible(operation, {})):
            return nothing
        state = self.state
        begin = len(self.trace)
        self.operations.append(operation)
        step = self._step(state, operation, begin)
        self.trace.emit(BEGIN, len(self.operations) - 1)
        step.result = self.target.perform(operation, self.trace)
        self.trace.emit(END, step.result.result, step.result.value)
        self.results.append(step.result)
        step.end_event = len(self.trace) - 1
        state.feed(self.trace.words, begin)
        if step.result.finished:
            self._keep_promise(state, step)
            state.settle()
            self._judge(step, (_MISUSE_RULES if step.sort == MISUSE else _RULES)[name])
        else:
            self._judge(step, _ENDING_RULES)
        if self._is_frozen(step):
            self.ended = True
            return Outcome(step.result, step.sort, True, step.violations, ())
        changed = step.result.finished and self._changed(step)
        if not self._replaying:
            self.tally.operation(name, step.sort, changed)
        fresh = self._report(step)
        # What came of misuse is nobody's promise: it is undone, too.
        spoilt = step.sort == MISUSE and (step.result.result == 0 or step.seen.has_changes())
        if step.violations or not step.result.finished or spoilt:
            self._undo(step)
        else:
            self._effective.append(operation)
        return Outcome(step.result, step.sort, changed, step.violations, fresh)

    def _default(self) -> Operation:
        """What makes an address space where nobody did: of the last chip that the target has."""
        return make("create", SPECS, chip=str(self.target.traits.get("chip", CHIPS)[-1]))

    def _step(self, state: NvidiaState, operation: Operation, begin: int) -> NvidiaStep:
        """What is known of an operation before it is carried out."""
        state.begin()
        reason, errors = _refusal(state, operation)
        sort = REFUSED if reason else LEGAL
        if reason.startswith("misuse"):
            sort = MISUSE
        step = NvidiaStep(
            operation, Result(), sort, reason, errors, state, state.seen, self.trace, begin,
            begin, self.target.places,
        )  # fmt: skip
        if sort == REFUSED and not errors:
            step.errors = _INVALID
        if operation.args.get("fail_at", 0):
            step.errors = (*step.errors, *_NO_MEMORY)
        if operation.name == "create":
            args = operation.args
            state.prepare(
                nvidia_format(str(args["chip"]), int(args["big"])), str(args["chip"]),
                bool(args["managed"]), bool(args["raw"]), bool(args["replay"]),
            )  # fmt: skip
        elif operation.name == "boot" and sort == LEGAL and state.mmu is not None:
            state.mmu.gpc = False
        if sort != MISUSE:
            step.ranges = _ranges(state, operation)
            if operation.name == "get":
                args = operation.args
                shift = max(int(args["shift"]), 12)
                align = max(int(args["align"]), shift)
                step.place = state.place(_size(args), align) if sort == LEGAL else NONE
        return step

    def _keep_promise(self, state: NvidiaState, step: NvidiaStep) -> None:
        """Move what is promised on by what a finished operation did."""
        if step.result.result or step.sort == MISUSE:
            return
        keep = _KEEP.get(step.kind)
        if keep is not None and step.sort == LEGAL:
            keep(state, step)

    def _changed(self, step: NvidiaStep) -> bool:
        seen = step.seen
        if step.kind in ("memory", "drop", "create", "destroy", "join", "part", "stick"):
            return step.result.result == 0
        return bool(seen.stores or seen.areas or seen.tables or seen.registers)

    def finish(self) -> Outcome | None:
        """The address space goes at the end of an example, and then all memories."""
        outcome: Outcome | None = None
        while not self.ended:
            operation = self._last(self.state)
            if operation is None:
                break
            done = len(self._effective)
            outcome = self.run(operation)
            if outcome.fresh or len(self._effective) == done:
                # One that was undone would be undone again.
                break
        return outcome

    def _last(self, state: NvidiaState) -> Operation | None:
        """The next of the operations that leave nothing; None if nothing is left."""
        if state.stuck:
            return make("stick", SPECS)
        if state.exists:
            operation = giving_back(state)
            return operation if operation is not None else make("destroy", SPECS)
        for number, memory in enumerate(state.memories):
            if memory.owned:
                return make("drop", SPECS, memory=number)
        return None


def giving_back(state: NvidiaState) -> Operation | None:
    """An operation that gives something back that the raw interface took; None: nothing left."""
    pages = state.page_list()
    for part in state.raw_parts:
        inside = any(one.first <= part.first <= one.last for one in state.regions)
        return make(
            "raw_unmap", SPECS, shift=int(pages[part.index].listed), addr=to_signed(part.first),
            size=part.last + 1 - part.first, sparse=int(inside),
        )  # fmt: skip
    for counts in state.raw_holds:
        for run in counts.runs:
            return make(
                "raw_put", SPECS, shift=int(pages[run.index].listed), addr=to_signed(run.first),
                size=run.last + 1 - run.first,
            )  # fmt: skip
    for region in state.regions:
        size = region.last + 1 - region.first
        return make("raw_sparse", SPECS, addr=to_signed(region.first), size=size, ref=0)
    return None


# -- reasons to refuse a call ---------------------------------------------------------------------


def _size(args: Mapping[str, int | str], name: str = "size") -> int:
    return to_unsigned(int(args[name]))


def _refusal(state: NvidiaState, operation: Operation) -> Refusal:
    """Why a call has to be refused, "" if it has not; and the errnos that are allowed."""
    check = _REFUSALS.get(operation.name)
    return check(state, operation.args) if check is not None else FINE


def is_misuse(state: NvidiaState, operation: Operation) -> bool:
    """Whether the interface forbids a call, as things are."""
    return _refusal(state, operation)[0].startswith("misuse")


def _create_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    limit = int(nvidia_format(str(args["chip"]), int(args["big"])).limit)
    start, size = _size(args, "start"), _size(args)
    if args["managed"] or args["raw"]:
        if start + size > limit:
            return "beyond the page tables", _INVALID
        askew = (start | size) & (PAGE - 1)
        return ("misuse: not whole pages", ()) if askew else FINE
    end = start + size if size else limit
    if start + size >= 1 << 64 or start > end or end > limit:
        return "beyond the page tables", _INVALID
    if start == end or (start | end) & (PAGE - 1):
        return "misuse: an address space of no pages", _INVALID
    return FINE


def _memory_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    target, size = int(args["target"]), _size(args)
    page, scattered = int(args["page"]), int(args["scattered"])
    if target > 2 or not 12 <= page <= LARGEST_SHIFT or not size or size & ((1 << page) - 1):
        return "no such memory", _INVALID
    if (target != VRAM and page != 12) or scattered > (1 << 30) >> page:
        return "no such memory", _INVALID
    before = (state.layout.vram, state.layout.system)
    there = state.layout.take(target, size, page, scattered) is not None
    state.layout.vram, state.layout.system = before
    return FINE if there else ("no room", (-errno.ENOSPC,))


def _drop_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    there = _memory(state, int(args["memory"])) is not None
    return FINE if there else ("no such memory", _NOT_THERE)


def _memory(state: NvidiaState, number: int) -> NvidiaMemory | None:
    """The memory that its owner still has under this number."""
    if not 0 <= number < len(state.memories) or not state.memories[number].owned:
        return None
    return state.memories[number]


def _get_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    size, shift, align = _size(args), int(args["shift"]), int(args["align"])
    if shift > 63 or align > 63:
        return "no page size", _INVALID
    if state.area_count >= MOST_AREAS:
        # Numbers of areas are not used again.
        return "too many areas", (-errno.E2BIG,)
    if not size or (args["sparse"] and not (args["getref"] or args["mapref"])):
        return "nothing, or sparse without references", _INVALID
    if args["getref"] and not shift:
        return "references without a page size", _INVALID
    if shift:
        index = state.index_of(shift)
        if index == NONE or size & ((1 << shift) - 1):
            return "no such page size, or not whole pages", _INVALID
        if args["getref"] and args["sparse"] and not state.page_list()[index].sparse:
            # Which of two reasons is looked at first is the driver's affair.
            return "pages that cannot be sparse", (*_INVALID, -errno.ENOSPC)
    elif size & (PAGE - 1):
        # Nobody says what is to come of it.
        return "misuse: not whole pages", _INVALID
    place = state.place(size, max(align, shift, 12))
    if place == NONE:
        return "no room", (-errno.ENOSPC,)
    if args["getref"] and state.booted and _in_directory(state, state.index_of(shift)):
        return _OVER_BOOTED
    if args["sparse"] and not args["getref"]:
        holds = state.sparse_holds(place, size)
        if not holds:
            return "pages that cannot be sparse", _INVALID
        if state.booted and any(_in_directory(state, one.index) for one in holds):
            return _OVER_BOOTED
    return FINE


def _put_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    area = state.areas.get(int(args["vma"]))
    if area is None:
        return "no such area", _NOT_THERE
    if area.client and state.raw:
        return "misuse: the raw client's own addresses", ()
    return FINE


def _map_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    area = _subject(state, args)
    memory = _memory(state, int(args["memory"]))
    if area is None:
        return "no such area", _NOT_THERE
    if area.client and state.raw:
        # Which of two things is looked at first is the driver's affair.
        return "addresses of the raw interface", (*_INVALID, *_NOT_THERE)
    if memory is None:
        return "no such memory", _NOT_THERE
    offset = _size(args, "offset")
    first, last = _part_range(state, args)
    if last > area.last:
        return "beyond the area", (*_INVALID, *_NOT_THERE)
    there = area.within(first, last)
    same = len(there) == 1 and (there[0].first, there[0].last) == (first, last)
    if there and not (same and there[0].memory != NONE):
        return "something is mapped there", _INVALID
    whole = (first, last) == (area.first, area.last)
    if not area.mapref and area.refd == NONE and not whole:
        return "a part of what has no references", _INVALID
    size = last - first + 1
    if offset + size > memory.size:
        return "beyond the memory", _INVALID
    if int(args["kind"]) not in GOOD_KINDS:
        if int(args["kind"]) == NO_KIND:
            return "no such kind", _INVALID
        return "misuse: a kind that not every chip has", ()
    fixed = there[0].index if there else area.refd if area.refd != NONE else area.index
    pages = state.page_list()
    choice = range(len(pages)) if fixed == NONE else (fixed,)
    fitting = [one for one in choice if _fits(pages[one], memory, first, size, offset)]
    if not fitting:
        return "no page size fits", _INVALID
    if state.booted and any(_in_directory(state, one) for one in fitting):
        return _OVER_BOOTED
    return FINE


def _subject(state: NvidiaState, args: Mapping[str, int | str]) -> Area | None:
    """The area that a call is about: an address behind the end of one may lie in another."""
    area = state.areas.get(int(args["vma"]))
    if area is None or "first" not in args:
        return area
    return state.area_at(area.first + _size(args, "first"))


def _part_range(state: NvidiaState, args: Mapping[str, int | str]) -> tuple[int, int]:
    """(first, last) of the part that a map is about: the whole area, if it says no size."""
    area = state.areas[int(args["vma"])]
    size = _size(args) if "size" in args else 0
    first = area.first + (_size(args, "first") if "first" in args else 0)
    return first, first + (size or area.last - area.first + 1) - 1


def _fits(page: Page, memory: NvidiaMemory, first: int, size: int, offset: int) -> bool:
    """Whether a memory can be mapped with pages of a size."""
    if not (page.vram if memory.target == VRAM else page.host):
        return False
    return memory.page >= page.shift and not (first | size | offset) & ((1 << page.shift) - 1)


def _unmap_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    area = _subject(state, args)
    if area is None:
        return "no such area", _NOT_THERE
    if area.client and state.raw:
        return "addresses of the raw interface", (*_INVALID, *_NOT_THERE)
    first = state.areas[int(args["vma"])].first + _size(args, "first")
    for part in area.parts:
        if part.first == first and part.memory != NONE:
            return FINE
    return "no memory is mapped from there on", (*_INVALID, *_NOT_THERE)


def _pfn_page(state: NvidiaState, shift: int) -> int:
    """The index of a page size that can be mapped page by page; NONE: there is no such."""
    return state.index_of(shift) if state.chip == "gp100" and shift in (12, 21) else NONE


def _pfn_map_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    shift, first, size = int(args["shift"]), to_unsigned(int(args["addr"])), _size(args)
    if shift > 63:
        return "no page size", _INVALID
    if size >> shift > MOST_PAGES:
        return "too many pages", (-errno.E2BIG,)
    if not size:
        return "misuse: no pages", ()
    if state.raw and _is_client(state, first, size):
        return "addresses of the raw interface", _INVALID
    if _pfn_page(state, shift) == NONE or (first | size) & ((1 << shift) - 1):
        return "no such page size, or not whole pages", _INVALID
    if first + size > state.end:
        return "beyond the address space", _INVALID
    if state.booted and _in_directory(state, _pfn_page(state, shift)):
        return _OVER_BOOTED
    return FINE if state.area_at(first) is not None else ("no area", _NOT_THERE)


def _pfn_unmap_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    first, size = to_unsigned(int(args["addr"])), _size(args)
    if not size:
        return "misuse: no pages", ()
    if state.raw and _is_client(state, first, size):
        return "addresses of the raw interface", _INVALID
    if (first | size) & (PAGE - 1) or first + size > state.limit():
        return "misuse: not whole pages", _INVALID
    return FINE if state.area_at(first) is not None else ("no area", _INVALID)


def _is_client(state: NvidiaState, first: int, size: int) -> bool:
    """Whether a range lies in the addresses that the client has to itself."""
    return any(
        one.client and one.first <= first and first + size - 1 <= one.last
        for one in state.areas.values()
    )


def _raw_range(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    """What is the same for all calls of the raw interface that name a page size."""
    if not state.raw:
        return "no raw address space", (*_INVALID, -errno.EOPNOTSUPP)
    first, size, shift = to_unsigned(int(args["addr"])), _size(args), int(args["shift"])
    if shift > 63:
        return "no page size", _INVALID
    if first + size >= 1 << 64 or not _is_client(state, first, size):
        return "not the client's addresses", _INVALID
    if state.index_of(shift) == NONE or size & ((1 << shift) - 1):
        return "no such page size, or not whole pages", _INVALID
    if first & ((1 << shift) - 1):
        return "misuse: not whole pages", _INVALID
    return FINE


def _raw_index(state: NvidiaState, args: Mapping[str, int | str]) -> tuple[int, int, int]:
    """(index of the page size, first, last) of a call of the raw interface."""
    first = to_unsigned(int(args["addr"]))
    return state.index_of(int(args["shift"])), first, first + _size(args) - 1


def _raw_over(state: NvidiaState, first: int, last: int) -> list[Part]:
    return [one for one in state.raw_parts if one.first <= last and one.last >= first]


def _regions_over(state: NvidiaState, first: int, last: int) -> list[Region]:
    return [one for one in state.regions if one.first <= last and one.last >= first]


def _sparse_in_part(state: NvidiaState, first: int, last: int) -> bool:
    """Whether some of a range was made sparse, and not all of it at once.

    What is mapped there could not be unmapped by one call: it is to be sparse then, or not.
    """
    over = _regions_over(state, first, last)
    return bool(over) and not (over[0].first <= first and last <= over[0].last)


def _smaller_held(state: NvidiaState, index: int, first: int, last: int) -> bool:
    """Whether a page of this size is an entry of a directory, and tables behind it are held.

    Such an entry is a page or leads to tables, never both. Nobody says what a driver has to do
    with references behind a page, whether they were taken as such or because it is sparse.
    """
    if not _in_directory(state, index):
        return False
    holds = [run for counts in state.raw_holds for run in counts.runs]
    holds += [one for region in state.regions for one in region.holds]
    return any(one.index > index and one.first <= last and one.last >= first for one in holds)


def _raw_get_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    reason = _raw_range(state, args)
    if reason[0]:
        return reason
    if not _size(args):
        return "no pages", _INVALID
    index, first, last = _raw_index(state, args)
    for part in _raw_over(state, first, last):
        if part.index < index and _in_directory(state, part.index):
            return "misuse: a page of a directory is mapped", ()
    return FINE


def _in_directory(state: NvidiaState, index: int) -> bool:
    """Whether a page of this size is an entry of a directory."""
    fmt = state.format
    return fmt is not None and fmt.pages[index].table <= fmt.last_directory


def _raw_put_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    reason = _raw_range(state, args)
    if reason[0] or not _size(args):
        return reason
    index, first, last = _raw_index(state, args)
    mapped = any(one.index == index for one in _raw_over(state, first, last))
    if state.raw_holds[index].least(first, last) < (2 if mapped else 1):
        return "misuse: references that were not taken, or are in use", ()
    return FINE


def _raw_map_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    reason = _raw_range(state, args)
    if reason[0]:
        return reason
    memory = _memory(state, int(args["memory"]))
    if memory is None:
        return "no such memory", _NOT_THERE
    index, first, last = _raw_index(state, args)
    size, offset = last - first + 1, _size(args, "offset")
    if not size:
        return "misuse: no pages", ()
    if offset + size > memory.size:
        return "beyond the memory", _INVALID
    if int(args["kind"]) == NO_KIND:
        return "no such kind", _INVALID
    if int(args["kind"]) not in GOOD_KINDS:
        return "misuse: a kind that not every chip has", ()
    if not _fits(state.page_list()[index], memory, first, size, offset):
        return "the page size does not fit", _INVALID
    if state.raw_holds[index].least(first, last) < 1:
        return "misuse: references that were not taken", ()
    if _smaller_held(state, index, first, last):
        return "misuse: smaller pages are referenced", ()
    if _sparse_in_part(state, first, last):
        return "misuse: sparse in part", ()
    return FINE if not _raw_over(state, first, last) else ("misuse: something is mapped", ())


def _raw_unmap_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    reason = _raw_range(state, args)
    if reason[0] or not _size(args):
        return reason
    index, first, last = _raw_index(state, args)
    there = _raw_over(state, first, last)
    covered = sum(min(one.last, last) - max(one.first, first) + 1 for one in there)
    if covered != last - first + 1 or any(one.index != index for one in there):
        return "misuse: not mapped with such pages", ()
    sparse = bool(_regions_over(state, first, last))
    if bool(args["sparse"]) != sparse or _sparse_in_part(state, first, last):
        return "misuse: sparse is what was made so", ()
    return FINE


def _raw_sparse_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    if not state.raw:
        return "no raw address space", (*_INVALID, -errno.EOPNOTSUPP)
    first, size = to_unsigned(int(args["addr"])), _size(args)
    if first + size >= 1 << 64 or not _is_client(state, first, size):
        return "not the client's addresses", _INVALID
    if not size:
        return FINE
    if (first | size) & (PAGE - 1):
        return "misuse: not whole pages", _INVALID
    last = first + size - 1
    if _raw_over(state, first, last):
        return "misuse: something is mapped", ()
    inside = _regions_over(state, first, last)
    if any(one.first <= last and one.last >= first for c in state.raw_holds for one in c.runs):
        # What becomes of them is not said: formats.md D.5 has their counts overwritten.
        return "misuse: pages in it are referenced", ()
    if not args["ref"]:
        same = len(inside) == 1 and (inside[0].first, inside[0].last) == (first, last)
        return FINE if same else ("misuse: was not made sparse", ())
    if not state.sparse_holds(first, size):
        return "pages that cannot be sparse", _INVALID
    return FINE if not inside else ("misuse: is sparse already", ())


def _join_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    return FINE if state.instance == NONE else ("joined already", (-errno.EBUSY,))


def _part_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    return FINE if state.instance != NONE else ("not joined", _INVALID)


def _boot_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    if state.booted or state.end - state.start > LARGEST_BOOT:
        return "too large, or booted already", _INVALID
    # A BAR's address space is booted before it is used.
    return ("misuse: something is handed out", ()) if state.areas else FINE


def _replay_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    return FINE if state.chip == "gp100" else ("faults are not replayed", _INVALID)


def _destroy_refusal(state: NvidiaState, args: Mapping[str, int | str]) -> Refusal:
    # What was taken by the raw interface is the client's to give back.
    left = state.raw_parts or state.regions or any(one.runs for one in state.raw_holds)
    return ("misuse: references of the raw interface are left", ()) if left else FINE


_REFUSALS = {
    "destroy": _destroy_refusal,
    "create": _create_refusal,
    "memory": _memory_refusal,
    "drop": _drop_refusal,
    "get": _get_refusal,
    "put": _put_refusal,
    "map": _map_refusal,
    "map_part": _map_refusal,
    "unmap": _unmap_refusal,
    "pfn_map": _pfn_map_refusal,
    "pfn_unmap": _pfn_unmap_refusal,
    "raw_get": _raw_get_refusal,
    "raw_put": _raw_put_refusal,
    "raw_map": _raw_map_refusal,
    "raw_unmap": _raw_unmap_refusal,
    "raw_sparse": _raw_sparse_refusal,
    "join": _join_refusal,
    "part": _part_refusal,
    "boot": _boot_refusal,
    "replay": _replay_refusal,
}


# -- what is promised -----------------------------------------------------------------------------


def _ranges(state: NvidiaState, operation: Operation) -> list[tuple[int, int]]:
    """(first, last) of the addresses that an operation is about."""
    name, args = operation.name, operation.args
    if name in ("put", "map", "map_part", "unmap"):
        area = _subject(state, args)
        if area is None:
            return []
        if name == "put":
            return [(area.first, area.last)]
        if name == "unmap":
            first = state.areas[int(args["vma"])].first + _size(args, "first")
            parts = [one for one in area.parts if one.first == first]
            return [(first, parts[0].last)] if parts else []
        first, last = _part_range(state, args)
        return [(first, min(last, area.last))] if first <= area.last else []
    if "addr" in args:
        first, size = to_unsigned(int(args["addr"])), _size(args)
        if not size or first + size > state.limit():
            return []
        return [(first, first + size - 1)]
    if name in ("boot", "destroy"):
        return [(0, state.limit() - 1)]
    return []


def _kept_create(state: NvidiaState, step: NvidiaStep) -> None:
    args = step.operation.args
    state.made_space(_size(args, "start"), _size(args))


def _kept_memory(state: NvidiaState, step: NvidiaStep) -> None:
    args = step.operation.args
    target, size, page = int(args["target"]), _size(args), int(args["page"])
    pages = state.layout.take(target, size, page, int(args["scattered"]))
    if pages is not None:
        state.memories.append(NvidiaMemory(target, size, page, pages))
    for _, number, count in step.seen.refs:
        if number == len(state.memories) - 1:
            state.memories[number].told = count


def _kept_drop(state: NvidiaState, step: NvidiaStep) -> None:
    state.memories[step.operation.number("memory")].owned = False


def _kept_get(state: NvidiaState, step: NvidiaStep) -> None:
    args = step.operation.args
    first = to_unsigned(step.result.value)
    last = first + _size(args) - 1
    getref, sparse = bool(args["getref"]), bool(args["sparse"])
    mapref = bool(args["mapref"]) and not getref
    area = Area(state.area_count, first, last, getref, mapref, sparse)
    state.area_count += 1
    area.index = state.index_of(int(args["shift"])) if args["shift"] else NONE
    area.refd = area.index if getref else NONE
    if sparse and not getref:
        area.sparse_holds = state.sparse_holds(first, last - first + 1)
    state.areas[area.number] = area
    step.ranges = [(first, last)]
    if sparse:
        state.promise.sparse(first, last)


def _kept_put(state: NvidiaState, step: NvidiaStep) -> None:
    area = state.areas.pop(step.operation.number("vma"))
    _forget_pages(state, area.first, area.last)
    state.promise.clear(area.first, area.last)


def _forget_pages(state: NvidiaState, first: int, last: int) -> None:
    """Nothing is mapped page by page in a range any more."""
    for va in [one for one in state.pages if first <= one <= last]:
        del state.pages[va]


def _meaning(memory: NvidiaMemory, args: Mapping[str, int | str]) -> int:
    """What a map promises beside addresses."""
    kind, access = int(args["kind"]), 0
    if kind or args["ro"] or args["priv"] or args["vol"]:
        access |= READ_ONLY if args["ro"] else 0
        access |= PRIVILEGED if args["priv"] else 0
        access |= VOLATILE if args["vol"] else 0
    elif memory.target == HOST:
        access = VOLATILE
    return meaning_of(APERTURES[memory.target], access, kind)


def _promise_memory(
    state: NvidiaState, first: int, last: int, args: Mapping[str, int | str]
) -> None:
    memory = state.memories[int(args["memory"])]
    meaning = _meaning(memory, args)
    va, offset = first, _size(args, "offset")
    while va <= last:
        size = min(int(memory.pages.contiguous(offset)), last + 1 - va)
        state.promise.map(va, va + size - 1, memory.pages.address(offset), meaning)
        va += size
        offset += size


def _kept_map(state: NvidiaState, step: NvidiaStep) -> None:
    args = step.operation.args
    first, last = _part_range(state, args)
    area = _subject(state, args)
    if area is None:
        return
    told = state.told_areas.get(first)
    index = state.small_index() if told is None else min(told.index, state.small_index())
    if not area.mapref and area.refd == NONE:
        area.refd = index
    area.cut(first, last)
    area.parts.append(Part(first, last, index, int(args["memory"]), _size(args, "offset")))
    _promise_memory(state, first, last, args)


def _empty(state: NvidiaState, sparse: bool, first: int, last: int) -> None:
    """Nothing is mapped in a range any more."""
    if sparse:
        state.promise.sparse(first, last)
    else:
        state.promise.clear(first, last)


def _kept_unmap(state: NvidiaState, step: NvidiaStep) -> None:
    args = step.operation.args
    first = state.areas[int(args["vma"])].first + _size(args, "first")
    area = _subject(state, args)
    if area is None:
        return
    part = next(one for one in area.parts if one.first == first)
    area.cut(part.first, part.last)
    _empty(state, area.sparse, part.first, part.last)


def _pfn_meaning(digit: int) -> int:
    _, vram, writable, atomic = PFN_DIGITS[digit]
    access = 0 if vram else VOLATILE
    access |= 0 if writable else READ_ONLY
    access |= 0 if atomic else NO_ATOMIC
    return meaning_of(APERTURE_VRAM if vram else APERTURE_HOST, access)


def _kept_pfn_map(state: NvidiaState, step: NvidiaStep) -> None:
    args = step.operation.args
    shift, first, size = int(args["shift"]), to_unsigned(int(args["addr"])), _size(args)
    pattern, index = to_unsigned(int(args["pattern"])), state.index_of(shift)
    span = 1 << shift
    undone = failed = 0
    for page in range(size >> shift):
        va = first + page * span
        digit = pfn_digit(pattern, page)
        digit = digit if digit < len(PFN_DIGITS) else 0
        valid, vram, _, _ = PFN_DIGITS[digit]
        area = state.area_at(va)
        there = [] if area is None else area.within(va, va + span - 1)
        if (
            area is None
            or not area.mapref
            or va + span - 1 > area.last
            or any(one.memory != NONE or one.index != index for one in there)
        ):
            # Memory, or pages of another size: they stay. How many were not mapped is said, of
            # pages that were not to be mapped nothing.
            undone += int(valid)
            continue
        pa, meaning = pfn_address(vram, va), _pfn_meaning(digit)
        if args["fail_at"] and not _is_done(state, va, valid, int(pa), meaning):
            failed += int(valid)
            continue
        if valid or there:
            area.cut(va, va + span - 1)
            _forget_pages(state, va, va + span - 1)
            if valid:
                area.parts.append(Part(va, va + span - 1, index, NONE, 0))
                state.pages[va] = (shift, vram)
                state.promise.map(va, va + span - 1, pa, meaning)
            else:
                _empty(state, area.sparse, va, va + span - 1)
    step.undone = undone + failed


def _is_done(state: NvidiaState, va: int, valid: bool, pa: int, meaning: int) -> bool:
    """Whether a page is as it was asked for, where memory may have lacked for that.

    What memory says then stands: there was none for the tables of a page that was to be mapped,
    or to keep book of one less that is.
    """
    mmu = state.mmu
    if mmu is None:
        return False
    found = mmu.translate(va)
    if not valid:
        return found.what != MAPPED
    return found.what == MAPPED and found.pa == pa and found.meaning == meaning


def _kept_pfn_unmap(state: NvidiaState, step: NvidiaStep) -> None:
    args = step.operation.args
    first = to_unsigned(int(args["addr"]))
    last = first + _size(args) - 1
    pages = state.page_list()
    for area in state.areas.values():
        for part in area.within(first, last):
            if part.memory != NONE:
                continue
            # A page that is to go in part goes as a whole: the rest faults, and may come back.
            span = 1 << pages[part.index].shift
            start = max(part.first, first) // span * span
            end = (min(part.last, last) // span + 1) * span - 1
            area.cut(start, end)
            _empty(state, area.sparse, start, end)
            _forget_pages(state, start, end)


def _kept_raw_get(state: NvidiaState, step: NvidiaStep) -> None:
    index, first, last = _raw_index(state, step.operation.args)
    state.raw_holds[index].add(first, last, 1)


def _kept_raw_put(state: NvidiaState, step: NvidiaStep) -> None:
    index, first, last = _raw_index(state, step.operation.args)
    if last >= first:
        state.raw_holds[index].add(first, last, -1)


def _kept_raw_map(state: NvidiaState, step: NvidiaStep) -> None:
    args = step.operation.args
    index, first, last = _raw_index(state, args)
    state.raw_parts.append(Part(first, last, index, NONE, 0))
    _promise_memory(state, first, last, args)


def _kept_raw_unmap(state: NvidiaState, step: NvidiaStep) -> None:
    args = step.operation.args
    _, first, last = _raw_index(state, args)
    if last < first:
        return
    holder = Area(NONE, first, last, False, False, False)
    holder.parts = state.raw_parts
    holder.cut(first, last)
    state.raw_parts = holder.parts
    _empty(state, bool(args["sparse"]), first, last)


def _kept_raw_sparse(state: NvidiaState, step: NvidiaStep) -> None:
    args = step.operation.args
    first, size = to_unsigned(int(args["addr"])), _size(args)
    if not size:
        return
    if args["ref"]:
        holds: list[Hold] = state.sparse_holds(first, size)
        state.regions.append(Region(first, first + size - 1, holds))
        state.promise.sparse(first, first + size - 1)
    else:
        state.regions = [one for one in state.regions if one.first != first]
        state.promise.clear(first, first + size - 1)


def _kept_join(state: NvidiaState, step: NvidiaStep) -> None:
    state.instance = step.result.value


def _kept_part(state: NvidiaState, step: NvidiaStep) -> None:
    state.instance = NONE


def _kept_boot(state: NvidiaState, step: NvidiaStep) -> None:
    state.booted = True


def _kept_stick(state: NvidiaState, step: NvidiaStep) -> None:
    polls = step.operation.number("polls")
    state.stuck = polls < 0 or polls > PATIENT


def _kept_destroy(state: NvidiaState, step: NvidiaStep) -> None:
    state.destroyed()


_KEEP = {
    "create": _kept_create,
    "memory": _kept_memory,
    "drop": _kept_drop,
    "get": _kept_get,
    "put": _kept_put,
    "map": _kept_map,
    "map_part": _kept_map,
    "unmap": _kept_unmap,
    "pfn_map": _kept_pfn_map,
    "pfn_unmap": _kept_pfn_unmap,
    "raw_get": _kept_raw_get,
    "raw_put": _kept_raw_put,
    "raw_map": _kept_raw_map,
    "raw_unmap": _kept_raw_unmap,
    "raw_sparse": _kept_raw_sparse,
    "join": _kept_join,
    "part": _kept_part,
    "boot": _kept_boot,
    "stick": _kept_stick,
    "destroy": _kept_destroy,
}
