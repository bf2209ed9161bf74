"""What a recount of references, areas and large entries gives, against what was told.

Where an invalidation was not completed, the device may still use what nothing leads to any more.
A driver that keeps it does right: of what is kept nothing is said until one is completed.
"""

from dataclasses import dataclass

from conformance.systems.nvidia.rules.step import NvidiaStep
from reference.systems.nvidia.events import AREA_NO_PAGE, STATE_SMALL, STATE_SPARSE
from reference.systems.nvidia.state import (
    NONE,
    Area,
    NvidiaState,
    Part,
    ToldArea,
    ToldTable,
    small_count,
)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Something that was told is not what a recount gives; ``what``: for signatures."""

    what: str
    message: str
    address: int
    expected: str
    observed: str


def is_done(step: NvidiaStep) -> bool:
    """Whether the operation came back and did what was asked."""
    return step.result.finished and step.result.result == 0


# -- tables -----------------------------------------------------------------------------------


def tables_mismatch(state: NvidiaState) -> Mismatch | None:
    """The first software page table that does not count what it has to."""
    wanted = state.recount()
    told = state.told_tables
    for key in sorted(set(wanted) | set(told)):
        mine, theirs = wanted.get(key), told.get(key)
        found = _table_mismatch(state, key, mine, theirs)
        if found is not None:
            return found
    return None


def _table_mismatch(
    state: NvidiaState, key: tuple[int, int], mine: ToldTable | None, theirs: ToldTable | None
) -> Mismatch | None:
    level, first = key
    expected = (0, 0) if mine is None else (mine.large, mine.small)
    observed = (0, 0) if theirs is None else (theirs.large, theirs.small)
    if expected == observed:
        return None
    name = "table of pages" if level == 0 else "directory"
    more = observed > expected
    return Mismatch(
        f"{name}, too {'many' if more else 'few'} references",
        f"the {name} of level {level} for {first:#x} counts {observed[0]} and {observed[1]} "
        f"references (large, small); a recount gives {expected[0]} and {expected[1]}.",
        first,
        f"{expected[0]} and {expected[1]}",
        f"{observed[0]} and {observed[1]}",
    )


# -- large entries ----------------------------------------------------------------------------


def large_mismatch(state: NvidiaState) -> Mismatch | None:
    """The first large entry whose state does not fit the small pages that are referenced in it.

    Whether it is left to them is of account only while there is a table of large entries, and
    where such an entry can say something else: that it is sparse, or invalid. Where the table
    of small entries as a whole counts otherwise than a recount, that is told of the table.
    """
    fmt = state.format
    if fmt is None:
        return None
    deciding = fmt.has_hole() or fmt.can_be_sparse(fmt.large)
    wanted = state.small_counts()
    span = state.covers(0)
    wrong: set[int] | None = None
    for address in sorted(set(wanted) | set(state.states)):
        told = state.states.get(address, 0)
        count = wanted.get(address, 0)
        observed = small_count(told)
        if observed != count:
            if wrong is None:
                wrong = _wrong_tables(state)
            if address // span * span in wrong:
                continue
            overflow = observed < count and count > 63
            return Mismatch(
                "count of small pages in a large entry "
                + ("overflows" if overflow else "too high" if observed > count else "too low"),
                f"the entry for the large page at {address:#x} counts {observed} references to its "
                f"small pages; a recount gives {count}.",
                address,
                str(count),
                f"{observed}, state {told:#x}",
            )
        table = state.told_tables.get((0, address // span * span))
        if table is None or not table.large or not deciding:
            continue
        if bool(told & STATE_SMALL) != (count > 0):
            what = "not left to its small pages" if count else "left to small pages there are not"
            return Mismatch(
                f"large entry {what}",
                f"the entry for the large page at {address:#x} is {what}: {count} are referenced.",
                address,
                f"{count} small pages",
                f"state {told:#x}",
            )
    return None


def _wrong_tables(state: NvidiaState) -> set[int]:
    """The first addresses of small tables that do not count the references that they have to."""
    wanted, told = state.recount(), state.told_tables
    none = ToldTable(0, 0)
    return {
        first
        for level, first in set(wanted) | set(told)
        if level == 0 and wanted.get((0, first), none).small != told.get((0, first), none).small
    }


def sparse_mismatch(state: NvidiaState) -> Mismatch | None:
    """The first large entry that is noted as sparse where nobody asked for that."""
    fmt = state.format
    if fmt is None:
        return None
    span = int(fmt.tables[fmt.large].span)
    for address in sorted(state.states):
        told = state.states[address]
        if told & STATE_SPARSE and not state.is_sparse(address, address + span - 1):
            return Mismatch(
                "large entry noted as sparse",
                f"the entry for the large page at {address:#x} is noted as sparse, and nobody "
                "asked for that.",
                address,
                "not sparse",
                f"state {told:#x}",
            )
    return None


# -- areas ------------------------------------------------------------------------------------


def areas_mismatch(state: NvidiaState) -> Mismatch | None:
    """The first area whose parts, as told, do not tile it or are not mapped as promised."""
    told = sorted(state.told_areas.values(), key=lambda one: one.first)
    position = 0
    for area in sorted(state.areas.values(), key=lambda one: one.first):
        if position < len(told) and told[position].first < area.first:
            return _free(told[position])
        mine: list[ToldArea] = []
        while position < len(told) and told[position].first <= area.last:
            mine.append(told[position])
            position += 1
        found = _tiling(area, mine) or _mapping(area, mine)
        if found is not None:
            return found
    return _free(told[position]) if position < len(told) else None


def _free(one: ToldArea) -> Mismatch:
    return Mismatch(
        "area in use that was not handed out",
        f"{one.first:#x}..{one.last:#x} is in use, and was not handed out.",
        one.first,
        "free",
        "in use",
    )


def _tiling(area: Area, told: list[ToldArea]) -> Mismatch | None:
    at = area.first
    wrong = ""
    for one in told:
        if one.first != at or one.last > area.last or one.number != area.number:
            wrong = "parts do not tile the area"
            break
        if one.part == (at == area.first):
            wrong = "first part is no area" if one.part else "part that is an area of its own"
            break
        at = one.last + 1
    if not wrong and at != area.last + 1:
        wrong = "parts do not tile the area"
    if not wrong:
        return None
    return Mismatch(
        wrong,
        f"{wrong}: area {area.number}, {area.first:#x}..{area.last:#x}.",
        at,
        f"{area.first:#x}..{area.last:#x}, area {area.number}",
        ", ".join(f"{one.first:#x}..{one.last:#x}" for one in told) or "nothing",
    )


def _mapping(area: Area, told: list[ToldArea]) -> Mismatch | None:
    expected = _runs([(one.first, one.last, one.index) for one in _mapped(area)])
    observed = _runs([(one.first, one.last, one.index) for one in told if one.mapped])
    if expected != observed:
        places = _places(expected) == _places(observed)
        less = _bytes(observed) < _bytes(expected)
        what = "another page size" if places else "less mapped" if less else "more mapped"
        first = min(set(expected) ^ set(observed))[0]
        return Mismatch(
            f"parts say {what} than promised",
            f"area {area.number} says that other addresses are mapped, or with other pages, than "
            f"promised, from {first:#x} on.",
            first,
            _shown(expected),
            _shown(observed),
        )
    for one in told:
        if one.mapped:
            continue
        index = AREA_NO_PAGE if area.mapref or area.refd == NONE else area.refd
        if one.index != index:
            return Mismatch(
                "part that is not mapped has the wrong references",
                f"{one.first:#x}..{one.last:#x} of area {area.number} says that pages of size "
                f"{one.index} are referenced; it has to be {index} ({AREA_NO_PAGE}: none).",
                one.first,
                str(index),
                str(one.index),
            )
    return None


def _mapped(area: Area) -> list[Part]:
    return sorted(area.parts, key=lambda one: one.first)


def _runs(parts: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Parts that lie side by side with the same page size, as one."""
    found: list[tuple[int, int, int]] = []
    for first, last, index in parts:
        if found and found[-1][1] + 1 == first and found[-1][2] == index:
            found[-1] = (found[-1][0], last, index)
        else:
            found.append((first, last, index))
    return found


def _places(runs: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """The same addresses, whatever their page size."""
    return _runs([(first, last, 0) for first, last, _ in runs])


def _bytes(runs: list[tuple[int, int, int]]) -> int:
    return sum(last + 1 - first for first, last, _ in runs)


def _shown(runs: list[tuple[int, int, int]]) -> str:
    return ", ".join(f"{a:#x}..{b:#x} size {c}" for a, b, c in runs) or "nothing mapped"


# -- memory -----------------------------------------------------------------------------------


def memory_mismatch(state: NvidiaState) -> Mismatch | None:
    """The first memory that has not the references that a recount gives."""
    if state.kept:
        return None
    for number, memory in enumerate(state.memories):
        expected = state.memory_references(number)
        if memory.told != expected:
            how = "many" if memory.told > expected else "few"
            return Mismatch(
                f"memory, too {how} references",
                f"memory {number} has {memory.told} references; a recount gives {expected}.",
                -1,
                str(expected),
                str(memory.told),
            )
    return None


def pages_mismatch(state: NvidiaState) -> Mismatch | None:
    """The first page that the device is let at too often, or not."""
    if state.kept:
        return None
    expected = state.dma_pages()
    for pa in sorted(set(expected) | set(state.dma)):
        mine, theirs = expected.get(pa, 0), state.dma.get(pa, 0)
        if mine != theirs:
            how = "is never taken away" if theirs > mine else "is mapped, and not let at"
            return Mismatch(
                f"page {how}",
                f"the device is let {theirs} times at the page at {pa:#x}, which is mapped {mine} "
                "times.",
                -1,
                str(mine),
                str(theirs),
            )
    return None
