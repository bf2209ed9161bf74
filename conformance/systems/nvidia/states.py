"""The kinds of state that operations of system ``nvidia`` can meet."""

from collections.abc import Callable, Mapping

from conformance.states import States
from reference.physical_layout import VRAM
from reference.systems.nvidia.promise import NvidiaCall, NvidiaPromise
from reference.systems.nvidia.state import NONE, Area, NvidiaState, Part

WORDS = {
    "own": "an address space that the driver manages alone",
    "managed": "one of which a client has a part",
    "raw": "one whose client uses the raw interface",
    "replays": "one whose faults are replayed",
    "second": "another address space, of the same device, that was there before",
    "device": "memory of the device, in whole",
    "system": "memory of the system",
    "scattered": "memory in pieces",
    "unmapped": "memory that is mapped nowhere",
    "mapped": "something that is mapped",
    "empty": "nothing that is mapped",
    "any-size": "an area whose page size its maps decide",
    "small": "pages of 4K",
    "large": "pages of 64K or 128K",
    "huge": "pages that are entries of a directory",
    "held": "an area whose pages were referenced when it was handed out",
    "counted": "an area whose pages are referenced as they are mapped",
    "lazy": "an area whose pages its first map references",
    "sparse": "addresses that are sparse where nothing is mapped",
    "mixed": "pages of another size that are referenced in the same entry of the last directory",
    "shared": "pages of the same size that others have referenced in the same table",
    "replaces": "memory that is mapped there",
    "pages": "pages that were mapped one by one",
    "part": "less than all that was mapped there at once",
    "both": "pages of two sizes that were mapped one by one",
    "beside-memory": "memory in the range that is not mapped page by page",
    "across": "more than one area",
    "less": "pages that are to be mapped no more, among others",
    "again": "pages that are referenced already",
    "last": "the last reference of a page",
    "not-last": "pages that stay referenced",
    "off": "addresses that are to be sparse no more",
    "joined": "an address space that the device walks",
    "booted": "an address space all of whose small tables are held",
    "stuck": "a device that does not answer",
    "lack": "memory that runs short",
    "aligned": "an area at a multiple of more than its page size",
    "for-ever": "a device that is not to answer any more",
    "slow": "a device that is to answer late",
    "answers": "a device that is to answer again",
}

_USED = ("small", "large", "huge", "mixed", "shared", "sparse")

PAIRS = {
    "create": ("own", "managed", "raw", "replays", "second"),
    "memory": ("device", "system", "scattered"),
    "drop": ("mapped", "unmapped"),
    "get": (
        "any-size", "small", "large", "huge", "held", "counted", "lazy", "sparse", "mixed",
        "aligned", "booted", "joined", "lack",
    ),
    "put": (
        "empty", "mapped", "pages", *_USED, "held", "counted", "lazy", "joined", "booted", "stuck",
    ),
    "map": (
        *_USED, "held", "counted", "lazy", "replaces", "system", "scattered", "joined", "booted",
        "lack",
    ),
    "map_part": (
        *_USED, "held", "counted", "replaces", "system", "scattered", "joined", "booted", "lack",
    ),
    "unmap": (*_USED, "held", "counted", "lazy", "joined", "booted", "stuck"),
    "pfn_map": ("small", "huge", "mixed", "shared", "sparse", "pages", "less", "across", "joined",
                "lack"),
    "pfn_unmap": ("small", "huge", "both", "mixed", "shared", "sparse", "part", "beside-memory",
                  "across", "joined"),
    "raw_get": ("small", "large", "huge", "mixed", "shared", "sparse", "again", "mapped", "joined",
                "lack"),
    "raw_put": ("small", "large", "huge", "mixed", "shared", "sparse", "last", "not-last", "mapped",
                "joined", "stuck"),
    "raw_map": ("small", "large", "huge", "mixed", "shared", "sparse", "system", "scattered",
                "again", "joined", "lack"),
    "raw_unmap": ("small", "large", "huge", "mixed", "shared", "sparse", "part", "again", "joined",
                  "stuck"),
    "raw_sparse": ("sparse", "off", "mixed", "shared", "joined", "lack"),
    "join": ("empty", "mapped"),
    "part": ("empty", "mapped"),
    "boot": ("own", "lack"),
    "stick": ("for-ever", "slow", "answers"),
    "replay": ("empty", "mapped"),
    "destroy": ("empty", "mapped", "pages", "sparse", "joined", "booted"),
}  # fmt: skip


def met(promise: NvidiaPromise, call: NvidiaCall) -> list[str]:
    """What a legal call meets."""
    state = promise.state
    words: list[str] = []
    _MET[call.operation.name](state, call, words)
    if call.has("fail_at"):
        words.append("lack")
    if state.exists and call.operation.name != "create":
        words += ["joined"] * (state.instance != NONE) + ["booted"] * state.booted
        words += ["stuck"] * state.stuck
    return words


def _size(state: NvidiaState, index: int) -> str:
    """The word for a page size."""
    if index == NONE:
        return "any-size"
    return ("small", "large", "huge")[min(state.small_index() - index, 2)]


def _around(state: NvidiaState, index: int, first: int, last: int, own: Area | None) -> list[str]:
    """Which pages of one size, or of another, others than ``own`` have in the same tables."""
    cell = state.covers(0)
    low, high = first // cell * cell, (last // cell + 1) * cell - 1
    sizes: set[int] = set()
    for area in state.areas.values():
        if area is not own and area.first <= high and area.last >= low:
            sizes |= {one.index for one in area.holds() if one.first <= high and one.last >= low}
        elif area is own:
            sizes |= {
                one.index
                for one in area.parts
                if one.first <= high and one.last >= low
                and not (one.first <= last and one.last >= first)
            }  # fmt: skip
    for counts in state.raw_holds:
        for run in counts.runs:
            if run.first <= high and run.last >= low:
                outside = run.first < first or run.last > last
                if run.index != index or outside:
                    sizes.add(run.index)
    for region in state.regions:
        sizes |= {one.index for one in region.holds if one.first <= high and one.last >= low}
    words = ["mixed"] if sizes - {index} else []
    return [*words, "shared"] if index in sizes else words


def _kind(area: Area) -> str:
    if area.mapref:
        return "counted"
    return "held" if area.getref else "lazy"


def _create(state: NvidiaState, call: NvidiaCall, words: list[str]) -> None:
    words.append("raw" if call.has("raw") else "managed" if call.has("managed") else "own")
    words += ["replays"] * call.has("replay") + ["second"] * state.made


def _memory(state: NvidiaState, call: NvidiaCall, words: list[str]) -> None:
    words.append("device" if call.number("target") == VRAM else "system")
    words += ["scattered"] * call.has("scattered")


def _drop(state: NvidiaState, call: NvidiaCall, words: list[str]) -> None:
    number = call.number("memory")
    used = any(one.memory == number for area in state.areas.values() for one in area.parts)
    words.append("mapped" if used else "unmapped")


def _get(state: NvidiaState, call: NvidiaCall, words: list[str]) -> None:
    shift = call.number("shift")
    index = state.index_of(shift) if shift else NONE
    words.append(_size(state, index))
    words.append("held" if call.has("getref") else "counted" if call.has("mapref") else "lazy")
    words += ["sparse"] * call.has("sparse") + ["aligned"] * (call.number("align") > max(shift, 12))
    first = call.place
    if "mixed" in _around(state, index, first, first + call.word("size") - 1, None):
        words.append("mixed")


def _put(state: NvidiaState, call: NvidiaCall, words: list[str]) -> None:
    area = state.areas[call.number("vma")]
    words.append(_kind(area))
    words += ["sparse"] * area.sparse + ["empty"] * (not area.parts)
    words += ["mapped"] * any(one.memory != NONE for one in area.parts)
    words += ["pages"] * any(one.memory == NONE for one in area.parts)
    indices = {one.index for one in area.holds()}
    words += [_size(state, index) for index in sorted(indices)]
    around: set[str] = set()
    for index in indices:
        around.update(_around(state, index, area.first, area.last, area))
    words += sorted(around)


def _map(state: NvidiaState, call: NvidiaCall, words: list[str]) -> None:
    area = state.area_at(call.first)
    memory = state.memories[call.number("memory")]
    if area is None:
        return
    there = area.within(call.first, call.last)
    index = there[0].index if there else area.refd if area.refd != NONE else area.index
    if index == NONE:
        index = _best(state, call, memory.page)
    words += [_kind(area), _size(state, index), *["sparse"] * area.sparse]
    words += ["replaces"] * bool(there) + ["system"] * (memory.target != VRAM)
    words += ["scattered"] * (memory.pages.contiguous(0) < memory.size)
    words += _around(state, index, call.first, call.last, area)


def _best(state: NvidiaState, call: NvidiaCall, page: int) -> int:
    """The index of the largest pages that fit."""
    where = call.first | call.last + 1 | call.word("offset")
    pages = state.page_list()
    for index, one in enumerate(pages):
        if one.shift <= page and not where & ((1 << int(one.shift)) - 1):
            return index
    return len(pages) - 1


def _unmap(state: NvidiaState, call: NvidiaCall, words: list[str]) -> None:
    area = state.area_at(call.first)
    there = [] if area is None else area.within(call.first, call.last)
    if area is not None and there:
        words += [_kind(area), _size(state, there[0].index), *["sparse"] * area.sparse]
        words += _around(state, there[0].index, call.first, call.last, area)


def _pages(state: NvidiaState, call: NvidiaCall) -> list[tuple[Area, Part]]:
    """What was mapped page by page in the range of a call."""
    return [
        (area, one)
        for area in state.areas.values()
        if area.first <= call.last and area.last >= call.first
        for one in area.within(call.first, call.last)
        if one.memory == NONE
    ]


def _areas_in(state: NvidiaState, call: NvidiaCall) -> list[Area]:
    areas = state.areas.values()
    return [one for one in areas if one.first <= call.last and one.last >= call.first]


def _pfn_map(state: NvidiaState, call: NvidiaCall, words: list[str]) -> None:
    index = state.index_of(call.number("shift"))
    areas, pages = _areas_in(state, call), _pages(state, call)
    words += [_size(state, index), *["sparse"] * any(one.sparse for one in areas)]
    words += ["pages"] * bool(pages) + ["across"] * (len(areas) > 1)
    unit = 1 << call.number("shift")
    pattern = call.word("pattern")
    bare = [
        number for number in range(min(call.word("size") // unit, 16))
        if not pattern >> 4 * number & 1
    ]  # fmt: skip
    there = state.pages
    words += ["less"] * any(call.first + number * unit in there for number in bare)
    words += _around(state, index, call.first, call.last, areas[0] if areas else None)


def _pfn_unmap(state: NvidiaState, call: NvidiaCall, words: list[str]) -> None:
    areas, pages = _areas_in(state, call), _pages(state, call)
    sizes = {one.index for _, one in pages}
    words += [_size(state, index) for index in sorted(sizes)] + ["both"] * (len(sizes) > 1)
    words += ["sparse"] * any(area.sparse for area, _ in pages)
    words += ["part"] * any(one.first < call.first or one.last > call.last for _, one in pages)
    words += ["across"] * (len({area.number for area, _ in pages}) > 1)
    words += ["beside-memory"] * any(
        one.memory != NONE for area in areas for one in area.within(call.first, call.last)
    )
    around: set[str] = set()
    for index in sizes:
        around.update(_around(state, index, call.first, call.last, areas[0] if areas else None))
    words += sorted(around)


def _raw(state: NvidiaState, call: NvidiaCall, words: list[str]) -> None:
    index = state.index_of(call.number("shift"))
    first, last = call.first, call.last
    if last < first:
        return
    words += [_size(state, index), *["sparse"] * state.is_sparse(first, last)]
    words += _around(state, index, first, last, None)
    there = [one for one in state.raw_parts if one.first <= last and one.last >= first]
    least = state.raw_holds[index].least(first, last)
    name = call.operation.name
    words += ["mapped"] * bool(there)
    words += ["again"] * (least > (1 if name in ("raw_map", "raw_unmap") else 0))
    words.append("last" if least == 1 else "not-last")
    words += ["part"] * any(one.first < first or one.last > last for one in there)
    if name == "raw_map":
        memory = state.memories[call.number("memory")]
        words += ["system"] * (memory.target != VRAM)
        words += ["scattered"] * (memory.pages.contiguous(0) < memory.size)


def _raw_sparse(state: NvidiaState, call: NvidiaCall, words: list[str]) -> None:
    words.append("sparse" if call.has("ref") else "off")
    if call.last >= call.first:
        words += _around(state, state.small_index(), call.first, call.last, None)


def _whole(state: NvidiaState, call: NvidiaCall, words: list[str]) -> None:
    """Calls about an address space: what is in it."""
    areas = [one for one in state.areas.values() if not one.client or one.parts]
    mapped = any(one.parts for one in areas) or bool(state.raw_parts)
    words += ["mapped"] if mapped else ["empty"] * (not areas)
    words += ["pages"] * bool(state.pages) + ["sparse"] * any(one.sparse for one in areas)
    words += ["own"] * (not state.managed)


def _stick(state: NvidiaState, call: NvidiaCall, words: list[str]) -> None:
    polls = call.number("polls")
    words.append("answers" if polls == 0 else "for-ever" if polls < 0 else "slow")


_MET: Mapping[str, Callable[[NvidiaState, NvidiaCall, list[str]], None]] = {
    "create": _create,
    "memory": _memory,
    "drop": _drop,
    "get": _get,
    "put": _put,
    "map": _map,
    "map_part": _map,
    "unmap": _unmap,
    "pfn_map": _pfn_map,
    "pfn_unmap": _pfn_unmap,
    "raw_get": _raw,
    "raw_put": _raw,
    "raw_map": _raw,
    "raw_unmap": _raw,
    "raw_sparse": _raw_sparse,
    "join": _whole,
    "part": _whole,
    "boot": _whole,
    "replay": _whole,
    "stick": _stick,
    "destroy": _whole,
}
"""Which words to look at for an operation."""

STATES = States(words=WORDS, pairs=PAIRS, met=met)
"""What operations of system ``nvidia`` can meet."""
