"""The promise of an NVIDIA address space: which calls have to succeed, and what they promise.

``NvidiaPromise`` sorts each call, and moves on what callers were told; what that is, beside what
the driver tells and what the device could do, is in ``NvidiaState``.

A call is refused where nouveau gives an errno, and changes nothing. It is a misuse where the
interface leaves to its caller what must not be asked; what came of it is nobody's promise, and
undone.

Source: formats.md D.5, D.6; semantics.md (calls).
"""

import errno
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from reference.calls import LEGAL, MISUSE, Broken, Call, Traits
from reference.formats.format import Page
from reference.formats.nvidia import (
    HOST as APERTURE_HOST,
)
from reference.formats.nvidia import (
    NCOH as APERTURE_NCOH,
)
from reference.formats.nvidia import (
    NO_ATOMIC,
    PRIVILEGED,
    READ_ONLY,
    VOLATILE,
    meaning_of,
    nvidia_format,
)
from reference.formats.nvidia import (
    VRAM as APERTURE_VRAM,
)
from reference.operations import Operation, Result
from reference.physical_layout import HOST, LARGEST, PAGE, PFN_DIGITS, VRAM, pfn_address, pfn_digit
from reference.pieces import MAPPED
from reference.systems.nvidia.state import (
    NONE,
    Area,
    NvidiaMemory,
    NvidiaState,
    Part,
    Region,
)
from reference.words import to_signed, to_unsigned

CHIPS: Final = ("gf100", "gk104", "gm200", "gp100")
"""The generations of devices, the last of which is taken where nobody names one."""
MOST_AREAS: Final = 0x1_0000
"""Areas that can be handed out: their numbers are not used again."""
MOST_PAGES: Final = 0x4000
"""Pages that one ``pfn_map`` can name."""
LARGEST_BOOT: Final = 1 << 30
"""Bytes of an address space all of whose tables can be made."""
LARGEST_SHIFT: Final = 27
"""log2 of the largest page that memory can have."""
PATIENT: Final = 1000
"""A driver looks at the device so often, and more often, before it gives an invalidation up."""
GOOD_KINDS: Final = (0, 0xFE)
"""Kinds of storage that every chip has, and that need no tags."""
NO_KIND: Final = 0xFF
"""The kind of storage that no chip has."""
APERTURES: Final = (APERTURE_VRAM, APERTURE_HOST, APERTURE_NCOH)
"""The aperture through which memory of each target is reached."""
ALWAYS: Final = ("create", "memory", "drop", "stick")
"""Operations that need no address space."""
SUCCEEDING: Final = (*ALWAYS, "destroy", "join", "part")
"""Operations that change something whenever they succeed."""

OVER_BOOTED: Final = "a page of a directory, where all small tables are held"
"""A BAR's address space has small pages and large ones. An entry of a directory is a page or leads
to tables, never both, and nobody says what a driver has to do with those that boot made."""

ANY_SHIFT: Final = 63
"""log2 of the largest size that a word has."""


class NvidiaCall(Call):
    """One call.

    ``ranges``: (first, last) of the addresses that it is about; ``first`` and ``last`` are those
    of the first of them. ``place``: where what is handed out has to be, NONE: nowhere. ``undone``:
    pages of a ``pfn_map`` that cannot be done, -1: not known; ``outside``: those of them that lie
    in no area for pages.
    """

    def __init__(self, operation: Operation) -> None:
        super().__init__(operation)
        self.ranges: list[tuple[int, int]] = []
        self.place: int = NONE
        self.undone: int = -1
        self.outside: int = 0

    def is_about(self, first: int, last: int) -> None:
        """It is about first..last, and nothing else."""
        self.ranges = [(first, last)]
        self.first = first
        self.last = last

    def word(self, name: str) -> int:
        """An argument as an unsigned word."""
        return to_unsigned(self.operation.number(name))

    def number(self, name: str) -> int:
        """An argument that is no word."""
        return self.operation.number(name)

    def has(self, name: str) -> bool:
        """Whether it has an argument of this name, and it is not 0."""
        return bool(self.operation.args.get(name, 0))


class NvidiaPromise:
    """What callers of a device were told, with the views that it is held against.

    ``state``: all three views. ``chip``: of an address space that goes without saying.
    """

    def __init__(self, traits: Traits) -> None:
        self.state: NvidiaState = NvidiaState()
        self.chip: str = str(traits.get("chip", CHIPS)[-1])
        # The call that was asked about last, sorted; None once it was made.
        self._asked: NvidiaCall | None = None

    @property
    def warned(self) -> int:
        """The event of a warning in the last call; -1 for none."""
        return self.state.seen.warned

    def implied(self, operation: Operation, first: bool) -> Operation | None:
        """An address space of the last chip that the target has goes without saying, once."""
        if self.state.exists or self.state.made or operation.name in ALWAYS:
            return None
        return Operation("create", {"chip": self.chip})

    def takes(self, operation: Operation) -> bool:
        """One address space at a time: it is made before it is used, and not twice."""
        if operation.name == "create":
            return not self.state.exists
        return self.state.exists or operation.name in ALWAYS

    # -- before a call --------------------------------------------------------------------------

    def is_misuse(self, operation: Operation) -> bool:
        """Whether the interface forbids a call, as things are."""
        return self._sorted(operation).sort == MISUSE

    def _sorted(self, operation: Operation) -> NvidiaCall:
        """A call, sorted once: who has asked whether to make it need not have it sorted again."""
        call = self._asked
        if call is None or call.operation != operation:
            call = NvidiaCall(operation)
            if operation.name in _SORT:
                _SORT[operation.name](self.state, call)
            self._asked = call
        return call

    def before(self, operation: Operation) -> NvidiaCall:
        """Sort a call before it is made."""
        state, args = self.state, operation.args
        state.begin()
        call = self._sorted(operation)
        self._asked = None
        if call.has("fail_at"):
            call.errors = (*call.errors, -errno.ENOMEM)
        if operation.name == "create":
            chip = operation.string("chip")
            state.prepare(
                nvidia_format(chip, call.number("big")),
                chip,
                call.has("managed"),
                call.has("raw"),
                call.has("replay"),
            )
        elif operation.name == "boot" and call.sort == LEGAL and state.mmu is not None:
            state.mmu.gpc = False
        if call.sort != MISUSE:
            if operation.name in ("put", "map", "map_part", "unmap"):
                _about_area(state, call)
            elif "addr" in args:
                _about_addresses(state, call)
            elif operation.name in ("boot", "destroy"):
                call.is_about(0, state.limit() - 1)
        return call

    # -- after it -------------------------------------------------------------------------------

    def feed(self, words: list[int], begin: int) -> None:
        """Take the events of a call."""
        self.state.feed(words, begin)

    def after(self, call: NvidiaCall, result: Result, end: int) -> None:
        """What callers were told by a call that came back."""
        if result.result == 0 and call.sort == LEGAL and call.operation.name in _KEEP:
            _KEEP[call.operation.name](self.state, call, result)
        self.state.settle()

    def changed(self, call: NvidiaCall, result: Result) -> bool:
        """Whether the call changed anything that driver or device keep."""
        seen = self.state.seen
        if call.operation.name in SUCCEEDING:
            return result.result == 0
        return seen.stores + seen.areas + seen.tables + seen.registers > 0

    def take_over(self, call: NvidiaCall, result: Result, broken: Sequence[Broken]) -> bool:
        """What a target does that breaks a rule is undone, and so is what came of a misuse."""
        if call.sort == MISUSE and (result.result == 0 or self.state.seen.has_changes()):
            return False
        return not broken

    def is_lost(self) -> bool:
        """Without an address space there are memories, and another can be made."""
        return False

    # -- the end --------------------------------------------------------------------------------

    def ending(self) -> Iterator[Operation]:
        """The address space goes, with what the raw interface took, and then all memories."""
        last = self._last()
        while last is not None:
            yield last
            last = self._last()

    def _last(self) -> Operation | None:
        """The next of the operations that leave nothing; None if nothing is left."""
        state = self.state
        if state.stuck:
            return Operation("stick")
        if state.exists:
            operation = self.giving_back()
            return operation if operation is not None else Operation("destroy")
        for number, memory in enumerate(state.memories):
            if memory.owned:
                return Operation("drop", {"memory": number})
        return None

    def giving_back(self) -> Operation | None:
        """What gives something back that the raw interface took; None: nothing is left."""
        state = self.state
        pages = state.page_list()
        for part in state.raw_parts:
            inside = any(one.first <= part.first <= one.last for one in state.regions)
            args = _range_of(part.first, part.last, pages[part.index])
            return Operation("raw_unmap", {**args, "sparse": int(inside)})
        for counts in state.raw_holds:
            for run in counts.runs:
                return Operation("raw_put", _range_of(run.first, run.last, pages[run.index]))
        for region in state.regions:
            size = region.last + 1 - region.first
            args = {"addr": to_signed(region.first), "size": to_signed(size), "ref": 0}
            return Operation("raw_sparse", args)
        return None


def _range_of(first: int, last: int, page: Page) -> dict[str, int | str]:
    """The arguments of a call of the raw interface for pages of a range."""
    size = last + 1 - first
    return {"shift": int(page.listed), "addr": to_signed(first), "size": to_signed(size)}


# -- what a call is about -------------------------------------------------------------------------


def _about_area(state: NvidiaState, call: NvidiaCall) -> None:
    """The addresses of an area, or of the part of it, that a call names."""
    area = _subject(state, call)
    if area is None:
        return
    if call.operation.name == "put":
        call.is_about(area.first, area.last)
    elif call.operation.name == "unmap":
        first = state.areas[call.number("vma")].first + call.word("first")
        for part in area.parts:
            if part.first == first:
                call.is_about(first, part.last)
                return
    else:
        first, last = _part_range(state, call)
        if first <= area.last:
            call.is_about(first, min(last, area.last))


def _about_addresses(state: NvidiaState, call: NvidiaCall) -> None:
    """The addresses that a call names, where there are such."""
    first, size = call.word("addr"), call.word("size")
    if size and first + size <= state.limit():
        call.is_about(first, first + size - 1)


def _subject(state: NvidiaState, call: NvidiaCall) -> Area | None:
    """The area that a call is about: an address behind the end of one may lie in another."""
    area = state.areas.get(call.number("vma"))
    if area is None or "first" not in call.operation.args:
        return area
    return state.area_at(area.first + call.word("first"))


def _part_range(state: NvidiaState, call: NvidiaCall) -> tuple[int, int]:
    """(first, last) of the part that a map is about: the whole area, if it says no size."""
    area = state.areas[call.number("vma")]
    size = call.word("size") if "size" in call.operation.args else 0
    first = area.first + (call.word("first") if "first" in call.operation.args else 0)
    return first, first + (size or area.last - area.first + 1) - 1


def _memory(state: NvidiaState, call: NvidiaCall) -> NvidiaMemory | None:
    """The memory that its owner still has under the number that a call names."""
    number = call.number("memory")
    if not 0 <= number < len(state.memories) or not state.memories[number].owned:
        return None
    return state.memories[number]


# -- how a call is sorted: devices, areas ---------------------------------------------------------


def _sort_create(state: NvidiaState, call: NvidiaCall) -> None:
    limit = int(nvidia_format(call.operation.string("chip"), call.number("big")).limit)
    start, size = call.word("start"), call.word("size")
    if call.has("managed") or call.has("raw"):
        if start + size > limit:
            call.refuse("beyond the page tables", -errno.EINVAL)
        elif (start | size) & (PAGE - 1):
            call.misuse("not whole pages")
        return
    end = start + size if size else limit
    if start + size >= 1 << 64 or start > end or end > limit:
        call.refuse("beyond the page tables", -errno.EINVAL)
    elif start == end or (start | end) & (PAGE - 1):
        call.misuse("an address space of no pages")


def _sort_memory(state: NvidiaState, call: NvidiaCall) -> None:
    target, size = call.number("target"), call.word("size")
    page, scattered = call.number("page"), call.number("scattered")
    if (
        target >= len(APERTURES)
        or not 12 <= page <= LARGEST_SHIFT
        or not size
        or size & ((1 << page) - 1)
        or (target != VRAM and page != 12)
        or scattered > (1 << 30) >> page
    ):
        call.refuse("no such memory", -errno.EINVAL)
        return
    before = (state.layout.vram, state.layout.system)
    there = size <= LARGEST and state.layout.take(target, size, page, scattered) is not None
    state.layout.vram, state.layout.system = before
    if not there:
        call.refuse("no room", -errno.ENOSPC)


def _sort_drop(state: NvidiaState, call: NvidiaCall) -> None:
    if _memory(state, call) is None:
        call.refuse("no such memory", -errno.ENOENT)


def _sort_get(state: NvidiaState, call: NvidiaCall) -> None:
    size, shift, align = call.word("size"), call.number("shift"), call.number("align")
    getref, sparse = call.has("getref"), call.has("sparse")
    index = state.index_of(shift) if shift else NONE
    if shift > ANY_SHIFT or align > ANY_SHIFT:
        call.refuse("no page size", -errno.EINVAL)
    elif state.area_count >= MOST_AREAS:
        call.refuse("too many areas", -errno.E2BIG)
    elif not size or (sparse and not (getref or call.has("mapref"))):
        call.refuse("nothing, or sparse without references", -errno.EINVAL)
    elif getref and not shift:
        call.refuse("references without a page size", -errno.EINVAL)
    elif shift and (index == NONE or size & ((1 << shift) - 1)):
        call.refuse("no such page size, or not whole pages", -errno.EINVAL)
    elif shift and getref and sparse and not state.page_list()[index].sparse:
        # Which of two reasons is looked at first is the driver's affair.
        call.refuse("pages that cannot be sparse", -errno.EINVAL, -errno.ENOSPC)
    elif not shift and size & (PAGE - 1):
        # Nobody says what is to come of it.
        call.misuse("not whole pages")
    else:
        _sort_place(state, call, size, max(align, shift, 12))


def _sort_place(state: NvidiaState, call: NvidiaCall, size: int, align: int) -> None:
    """Whether an area can lie where it has to; ``align``: log2."""
    call.place = state.place(size, align)
    indices: list[int] = []
    if call.place == NONE:
        call.refuse("no room", -errno.ENOSPC)
        return
    if call.has("getref"):
        indices = [state.index_of(call.number("shift"))]
    elif call.has("sparse"):
        indices = [one.index for one in state.sparse_holds(call.place, size)]
        if not indices:
            call.refuse("pages that cannot be sparse", -errno.EINVAL)
    if state.booted and any(_in_directory(state, one) for one in indices):
        call.misuse(OVER_BOOTED)


def _in_directory(state: NvidiaState, index: int) -> bool:
    """Whether a page of this size is an entry of a directory."""
    fmt = state.format
    return fmt is not None and fmt.pages[index].table <= fmt.last_directory


def _sort_put(state: NvidiaState, call: NvidiaCall) -> None:
    area = state.areas.get(call.number("vma"))
    if area is None:
        call.refuse("no such area", -errno.ENOENT)
    elif area.client and state.raw:
        call.misuse("the raw client's own addresses")


def _sort_map(state: NvidiaState, call: NvidiaCall) -> None:
    area, memory = _subject(state, call), _memory(state, call)
    if area is None:
        call.refuse("no such area", -errno.ENOENT)
    elif area.client and state.raw:
        # Which of two things is looked at first is the driver's affair.
        call.refuse("addresses of the raw interface", -errno.EINVAL, -errno.ENOENT)
    elif memory is None:
        call.refuse("no such memory", -errno.ENOENT)
    else:
        _sort_map_in(state, call, area, memory)


def _sort_map_in(state: NvidiaState, call: NvidiaCall, area: Area, memory: NvidiaMemory) -> None:
    """Whether a memory can be mapped in an area that can be used."""
    offset = call.word("offset")
    first, last = _part_range(state, call)
    size = last - first + 1
    there = area.within(first, last)
    same = len(there) == 1 and (there[0].first, there[0].last) == (first, last)
    whole = (first, last) == (area.first, area.last)
    if last > area.last:
        call.refuse("beyond the area", -errno.EINVAL, -errno.ENOENT)
    elif there and not (same and there[0].memory != NONE):
        call.refuse("something is mapped there", -errno.EINVAL)
    elif not area.mapref and area.refd == NONE and not whole:
        call.refuse("a part of what has no references", -errno.EINVAL)
    elif offset + size > memory.size:
        call.refuse("beyond the memory", -errno.EINVAL)
    elif call.number("kind") == NO_KIND:
        call.refuse("no such kind", -errno.EINVAL)
    elif call.number("kind") not in GOOD_KINDS:
        call.misuse("a kind that not every chip has")
    else:
        fixed = there[0].index if there else area.refd if area.refd != NONE else area.index
        pages = state.page_list()
        choice = list(range(len(pages))) if fixed == NONE else [fixed]
        fitting = [one for one in choice if _fits(pages[one], memory, first, size, offset)]
        if not fitting:
            call.refuse("no page size fits", -errno.EINVAL)
        elif state.booted and any(_in_directory(state, one) for one in fitting):
            call.misuse(OVER_BOOTED)


def _fits(page: Page, memory: NvidiaMemory, first: int, size: int, offset: int) -> bool:
    """Whether a memory can be mapped with pages of a size."""
    if not (page.vram if memory.target == VRAM else page.host):
        return False
    unit = 1 << int(page.shift)
    return memory.page >= page.shift and not (first | size | offset) & (unit - 1)


def _sort_unmap(state: NvidiaState, call: NvidiaCall) -> None:
    area = _subject(state, call)
    if area is None:
        call.refuse("no such area", -errno.ENOENT)
        return
    if area.client and state.raw:
        call.refuse("addresses of the raw interface", -errno.EINVAL, -errno.ENOENT)
        return
    first = state.areas[call.number("vma")].first + call.word("first")
    if not any(part.first == first and part.memory != NONE for part in area.parts):
        call.refuse("no memory is mapped from there on", -errno.EINVAL, -errno.ENOENT)


# -- how a call is sorted: pages one by one -------------------------------------------------------


def _sort_pfn_map(state: NvidiaState, call: NvidiaCall) -> None:
    shift, first, size = call.number("shift"), call.word("addr"), call.word("size")
    # Only the latest chip maps pages one by one, and not those of all sizes.
    index = state.index_of(shift) if state.chip == "gp100" and shift in (12, 21) else NONE
    if shift > ANY_SHIFT:
        call.refuse("no page size", -errno.EINVAL)
    elif size >> shift > MOST_PAGES:
        call.refuse("too many pages", -errno.E2BIG)
    elif not size:
        call.misuse("no pages")
    elif state.raw and _is_client(state, first, size):
        call.refuse("addresses of the raw interface", -errno.EINVAL)
    elif index == NONE or (first | size) & ((1 << shift) - 1):
        call.refuse("no such page size, or not whole pages", -errno.EINVAL)
    elif first + size > state.end:
        call.refuse("beyond the address space", -errno.EINVAL)
    elif state.booted and _in_directory(state, index):
        call.misuse(OVER_BOOTED)
    elif state.area_at(first) is None:
        call.refuse("no area", -errno.ENOENT)


def _sort_pfn_unmap(state: NvidiaState, call: NvidiaCall) -> None:
    first, size = call.word("addr"), call.word("size")
    if not size:
        call.misuse("no pages")
    elif state.raw and _is_client(state, first, size):
        call.refuse("addresses of the raw interface", -errno.EINVAL)
    elif (first | size) & (PAGE - 1) or first + size > state.limit():
        call.misuse("not whole pages")
    elif state.area_at(first) is None:
        call.refuse("no area", -errno.EINVAL)


def _is_client(state: NvidiaState, first: int, size: int) -> bool:
    """Whether a range lies in the addresses that the client has to itself."""
    return any(
        one.client and one.first <= first and first + size - 1 <= one.last
        for one in state.areas.values()
    )


# -- how a call is sorted: the raw interface ------------------------------------------------------


def _sort_raw_range(state: NvidiaState, call: NvidiaCall) -> bool:
    """What is the same for all calls of the raw interface that name a page size.

    False: there is no more to it.
    """
    shift, first, size = call.number("shift"), call.word("addr"), call.word("size")
    if not state.raw:
        call.refuse("no raw address space", -errno.EINVAL, -errno.EOPNOTSUPP)
    elif shift > ANY_SHIFT:
        call.refuse("no page size", -errno.EINVAL)
    elif first + size >= 1 << 64 or not _is_client(state, first, size):
        call.refuse("not the client's addresses", -errno.EINVAL)
    elif state.index_of(shift) == NONE or size & ((1 << shift) - 1):
        call.refuse("no such page size, or not whole pages", -errno.EINVAL)
    elif first & ((1 << shift) - 1):
        call.misuse("not whole pages")
    return call.sort == LEGAL


def _raw_index(state: NvidiaState, call: NvidiaCall) -> tuple[int, int, int]:
    """(index of the page size, first, last) of a call of the raw interface."""
    first = call.word("addr")
    return state.index_of(call.number("shift")), first, first + call.word("size") - 1


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


def _sort_raw_get(state: NvidiaState, call: NvidiaCall) -> None:
    if not _sort_raw_range(state, call):
        return
    if not call.word("size"):
        call.refuse("no pages", -errno.EINVAL)
        return
    index, first, last = _raw_index(state, call)
    for part in _raw_over(state, first, last):
        if part.index < index and _in_directory(state, part.index):
            call.misuse("a page of a directory is mapped")


def _sort_raw_put(state: NvidiaState, call: NvidiaCall) -> None:
    if not _sort_raw_range(state, call) or not call.word("size"):
        return
    index, first, last = _raw_index(state, call)
    mapped = any(one.index == index for one in _raw_over(state, first, last))
    if state.raw_holds[index].least(first, last) < (2 if mapped else 1):
        call.misuse("references that were not taken, or are in use")


def _sort_raw_map(state: NvidiaState, call: NvidiaCall) -> None:
    if not _sort_raw_range(state, call):
        return
    memory = _memory(state, call)
    index, first, last = _raw_index(state, call)
    size, offset = last - first + 1, call.word("offset")
    if memory is None:
        call.refuse("no such memory", -errno.ENOENT)
    elif not size:
        call.misuse("no pages")
    elif offset + size > memory.size:
        call.refuse("beyond the memory", -errno.EINVAL)
    elif call.number("kind") == NO_KIND:
        call.refuse("no such kind", -errno.EINVAL)
    elif call.number("kind") not in GOOD_KINDS:
        call.misuse("a kind that not every chip has")
    elif not _fits(state.page_list()[index], memory, first, size, offset):
        call.refuse("the page size does not fit", -errno.EINVAL)
    elif state.raw_holds[index].least(first, last) < 1:
        call.misuse("references that were not taken")
    elif _smaller_held(state, index, first, last):
        call.misuse("smaller pages are referenced")
    elif _sparse_in_part(state, first, last):
        call.misuse("sparse in part")
    elif _raw_over(state, first, last):
        call.misuse("something is mapped")


def _sort_raw_unmap(state: NvidiaState, call: NvidiaCall) -> None:
    if not _sort_raw_range(state, call) or not call.word("size"):
        return
    index, first, last = _raw_index(state, call)
    there = _raw_over(state, first, last)
    covered = sum([min(one.last, last) - max(one.first, first) + 1 for one in there])
    if covered != last - first + 1 or any(one.index != index for one in there):
        call.misuse("not mapped with such pages")
        return
    sparse = bool(_regions_over(state, first, last))
    if call.has("sparse") != sparse or _sparse_in_part(state, first, last):
        call.misuse("sparse is what was made so")


def _sort_raw_sparse(state: NvidiaState, call: NvidiaCall) -> None:
    first, size = call.word("addr"), call.word("size")
    if not state.raw:
        call.refuse("no raw address space", -errno.EINVAL, -errno.EOPNOTSUPP)
    elif first + size >= 1 << 64 or not _is_client(state, first, size):
        call.refuse("not the client's addresses", -errno.EINVAL)
    elif (first | size) & (PAGE - 1) and size:
        call.misuse("not whole pages")
    elif size:
        _sort_raw_region(state, call, first, first + size - 1)


def _sort_raw_region(state: NvidiaState, call: NvidiaCall, first: int, last: int) -> None:
    """Whether whole pages of the client can be made sparse, or no longer."""
    inside = _regions_over(state, first, last)
    if _raw_over(state, first, last):
        call.misuse("something is mapped")
    elif any(one.first <= last and one.last >= first for c in state.raw_holds for one in c.runs):
        # What becomes of them is not said: formats.md D.5 has their counts overwritten.
        call.misuse("pages in it are referenced")
    elif not call.has("ref"):
        if len(inside) != 1 or (inside[0].first, inside[0].last) != (first, last):
            call.misuse("was not made sparse")
    elif not state.sparse_holds(first, last + 1 - first):
        call.refuse("pages that cannot be sparse", -errno.EINVAL)
    elif inside:
        call.misuse("is sparse already")


# -- how a call is sorted: the address space ------------------------------------------------------


def _sort_join(state: NvidiaState, call: NvidiaCall) -> None:
    if state.instance != NONE:
        call.refuse("joined already", -errno.EBUSY)


def _sort_part(state: NvidiaState, call: NvidiaCall) -> None:
    if state.instance == NONE:
        call.refuse("not joined", -errno.EINVAL)


def _sort_boot(state: NvidiaState, call: NvidiaCall) -> None:
    if state.booted or state.end - state.start > LARGEST_BOOT:
        call.refuse("too large, or booted already", -errno.EINVAL)
    elif state.areas:
        # A BAR's address space is booted before it is used.
        call.misuse("something is handed out")


def _sort_replay(state: NvidiaState, call: NvidiaCall) -> None:
    if state.chip != "gp100":
        call.refuse("faults are not replayed", -errno.EINVAL)


def _sort_destroy(state: NvidiaState, call: NvidiaCall) -> None:
    # What was taken by the raw interface is the client's to give back.
    if state.raw_parts or state.regions or any(one.runs for one in state.raw_holds):
        call.misuse("references of the raw interface are left")


_SORT: dict[str, Callable[[NvidiaState, NvidiaCall], None]] = {
    "create": _sort_create,
    "memory": _sort_memory,
    "drop": _sort_drop,
    "get": _sort_get,
    "put": _sort_put,
    "map": _sort_map,
    "map_part": _sort_map,
    "unmap": _sort_unmap,
    "pfn_map": _sort_pfn_map,
    "pfn_unmap": _sort_pfn_unmap,
    "raw_get": _sort_raw_get,
    "raw_put": _sort_raw_put,
    "raw_map": _sort_raw_map,
    "raw_unmap": _sort_raw_unmap,
    "raw_sparse": _sort_raw_sparse,
    "join": _sort_join,
    "part": _sort_part,
    "boot": _sort_boot,
    "replay": _sort_replay,
    "destroy": _sort_destroy,
}
"""How each operation is sorted that something can be wrong with."""


# -- what is promised: devices, areas -------------------------------------------------------------


def _keep_create(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    state.made_space(call.word("start"), call.word("size"))


def _keep_memory(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    target, size, page = call.number("target"), call.word("size"), call.number("page")
    pages = state.layout.take(target, size, page, call.number("scattered"))
    if pages is not None:
        state.memories.append(NvidiaMemory(target, size, page, pages))
    for _, number, count in state.seen.refs:
        if number == len(state.memories) - 1:
            state.memories[number].told = count


def _keep_drop(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    state.memories[call.number("memory")].owned = False


def _keep_get(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    shift = call.number("shift")
    first = to_unsigned(result.value)
    last = first + call.word("size") - 1
    getref, sparse = call.has("getref"), call.has("sparse")
    area = Area(state.area_count, first, last, getref, call.has("mapref") and not getref, sparse)
    state.area_count += 1
    area.index = state.index_of(shift) if shift else NONE
    area.refd = area.index if getref else NONE
    if sparse and not getref:
        area.sparse_holds = state.sparse_holds(first, last - first + 1)
    state.areas[area.number] = area
    call.is_about(first, last)
    if sparse:
        state.promise.sparse(first, last)


def _keep_put(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    area = state.areas.pop(call.number("vma"))
    _forget_pages(state, area.first, area.last)
    state.promise.clear(area.first, area.last)


def _forget_pages(state: NvidiaState, first: int, last: int) -> None:
    """Nothing is mapped page by page in a range any more."""
    for va in [one for one in state.pages if first <= one <= last]:
        del state.pages[va]


def _keep_map(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    first, last = _part_range(state, call)
    area = _subject(state, call)
    if area is None:
        return
    told = state.told_areas.get(first)
    index = state.small_index() if told is None else min(told.index, state.small_index())
    if not area.mapref and area.refd == NONE:
        area.refd = index
    area.cut(first, last)
    area.parts.append(Part(first, last, index, call.number("memory"), call.word("offset")))
    _promise_memory(state, first, last, call)


def _promise_memory(state: NvidiaState, first: int, last: int, call: NvidiaCall) -> None:
    """first..last lead to the memory that a call names, from its offset on."""
    memory = state.memories[call.number("memory")]
    meaning = _meaning(memory, call)
    va, offset = first, call.word("offset")
    while va <= last:
        size = min(int(memory.pages.contiguous(offset)), last + 1 - va)
        state.promise.map(va, va + size - 1, memory.pages.address(offset), meaning)
        va += size
        offset += size


def _meaning(memory: NvidiaMemory, call: NvidiaCall) -> int:
    """What a map promises beside addresses."""
    kind, access = call.number("kind"), 0
    if kind or call.has("ro") or call.has("priv") or call.has("vol"):
        access |= READ_ONLY if call.has("ro") else 0
        access |= PRIVILEGED if call.has("priv") else 0
        access |= VOLATILE if call.has("vol") else 0
    elif memory.target == HOST:
        access = VOLATILE
    return meaning_of(APERTURES[memory.target], access, kind)


def _keep_unmap(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    area = _subject(state, call)
    if area is None:
        return
    area.cut(call.first, call.last)
    _empty(state, area.sparse, call.first, call.last)


def _empty(state: NvidiaState, sparse: bool, first: int, last: int) -> None:
    """Nothing is mapped in a range any more."""
    if sparse:
        state.promise.sparse(first, last)
    else:
        state.promise.clear(first, last)


# -- what is promised: pages one by one -----------------------------------------------------------


def _keep_pfn_map(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    shift, first, pattern = call.number("shift"), call.word("addr"), call.word("pattern")
    call.undone = 0
    for page in range(call.word("size") >> shift):
        digit = pfn_digit(pattern, page)
        digit = digit if digit < len(PFN_DIGITS) else 0
        done = _keep_page(state, shift, first + (page << shift), digit, call.has("fail_at"))
        # Of pages that were not to be mapped nothing is said.
        if not done and PFN_DIGITS[digit][0]:
            call.undone += 1
            area = state.area_at(first + (page << shift))
            call.outside += int(area is None or not area.mapref)


def _keep_page(state: NvidiaState, shift: int, va: int, digit: int, may_lack: bool) -> bool:
    """A page is mapped by itself, or no longer; False: it stays as it was.

    What stays is memory, pages of another size, and what lies outside of areas for pages; and,
    where memory ``may_lack``, what that was not done for.
    """
    valid, vram, _, _ = PFN_DIGITS[digit]
    last, index = va + (1 << shift) - 1, state.index_of(shift)
    area = state.area_at(va)
    if area is None or not area.mapref or last > area.last:
        return False
    there = area.within(va, last)
    if any(one.memory != NONE or one.index != index for one in there):
        return False
    pa, meaning = int(pfn_address(vram, va)), _pfn_meaning(digit)
    if may_lack and not _is_done(state, va, valid, pa, meaning):
        return False
    if valid or there:
        area.cut(va, last)
        _forget_pages(state, va, last)
    if valid:
        area.parts.append(Part(va, last, index, NONE, 0))
        state.pages[va] = (shift, vram)
        state.promise.map(va, last, pa, meaning)
    elif there:
        _empty(state, area.sparse, va, last)
    return True


def _pfn_meaning(digit: int) -> int:
    """What a page that is mapped by itself promises beside its address."""
    _, vram, writable, atomic = PFN_DIGITS[digit]
    access = 0 if vram else VOLATILE
    access |= 0 if writable else READ_ONLY
    access |= 0 if atomic else NO_ATOMIC
    return meaning_of(APERTURE_VRAM if vram else APERTURE_HOST, access)


def _is_done(state: NvidiaState, va: int, valid: bool, pa: int, meaning: int) -> bool:
    """Whether a page is as it was asked for, where memory may have lacked for that.

    What memory says then stands: there was none for the tables of a page that was to be mapped,
    or to keep book of one less that is.
    """
    mmu = state.mmu
    if mmu is None:
        return False
    found = mmu.walker.translate(va)
    if not valid:
        return found.what != MAPPED
    return found.what == MAPPED and found.pa == pa and found.meaning == meaning


def _keep_pfn_unmap(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    pages = state.page_list()
    for area in state.areas.values():
        for part in area.within(call.first, call.last):
            if part.memory != NONE:
                continue
            # A page that is to go in part goes as a whole: the rest faults, and may come back.
            span = 1 << int(pages[part.index].shift)
            start = max(part.first, call.first) // span * span
            end = (min(part.last, call.last) // span + 1) * span - 1
            area.cut(start, end)
            _empty(state, area.sparse, start, end)
            _forget_pages(state, start, end)


# -- what is promised: the raw interface ----------------------------------------------------------


def _keep_raw_get(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    index, first, last = _raw_index(state, call)
    state.raw_holds[index].add(first, last, 1)


def _keep_raw_put(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    index, first, last = _raw_index(state, call)
    if last >= first:
        state.raw_holds[index].add(first, last, -1)


def _keep_raw_map(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    index, first, last = _raw_index(state, call)
    state.raw_parts.append(Part(first, last, index, NONE, 0))
    _promise_memory(state, first, last, call)


def _keep_raw_unmap(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    _, first, last = _raw_index(state, call)
    if last < first:
        return
    holder = Area(NONE, first, last, False, False, False)
    holder.parts = state.raw_parts
    holder.cut(first, last)
    state.raw_parts = holder.parts
    _empty(state, call.has("sparse"), first, last)


def _keep_raw_sparse(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    first, size = call.word("addr"), call.word("size")
    if not size:
        return
    last = first + size - 1
    if call.has("ref"):
        state.regions.append(Region(first, last, state.sparse_holds(first, size)))
        state.promise.sparse(first, last)
    else:
        state.regions = [one for one in state.regions if one.first != first]
        state.promise.clear(first, last)


# -- what is promised: the address space ----------------------------------------------------------


def _keep_join(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    state.instance = result.value


def _keep_part(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    state.instance = NONE


def _keep_boot(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    state.booted = True


def _keep_stick(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    polls = call.number("polls")
    state.stuck = polls < 0 or polls > PATIENT


def _keep_destroy(state: NvidiaState, call: NvidiaCall, result: Result) -> None:
    state.destroyed()


_KEEP: dict[str, Callable[[NvidiaState, NvidiaCall, Result], None]] = {
    "create": _keep_create,
    "memory": _keep_memory,
    "drop": _keep_drop,
    "get": _keep_get,
    "put": _keep_put,
    "map": _keep_map,
    "map_part": _keep_map,
    "unmap": _keep_unmap,
    "pfn_map": _keep_pfn_map,
    "pfn_unmap": _keep_pfn_unmap,
    "raw_get": _keep_raw_get,
    "raw_put": _keep_raw_put,
    "raw_map": _keep_raw_map,
    "raw_unmap": _keep_raw_unmap,
    "raw_sparse": _keep_raw_sparse,
    "join": _keep_join,
    "part": _keep_part,
    "boot": _keep_boot,
    "stick": _keep_stick,
    "destroy": _keep_destroy,
}
"""What each operation promises that changes something, once it has succeeded."""
