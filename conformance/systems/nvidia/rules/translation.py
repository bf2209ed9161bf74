"""TR, NB, IS, SP: addresses translate as promised; areas and large entries are what they say."""

from conformance.rules.rule import LEGAL, Rule, Violation
from conformance.systems.nvidia.rules.operations import CHANGING, EVERY
from conformance.systems.nvidia.rules.recount import (
    areas_mismatch,
    is_done,
    large_mismatch,
    sparse_mismatch,
)
from conformance.systems.nvidia.rules.step import NEAR, NvidiaStep
from reference.formats.nvidia import meaning_text
from reference.hardware.paired_walker import PairedDifference
from reference.pieces import (
    ARBITRARY,
    MAPPED,
    NOTHING,
    WHAT_NAMES,
    ZEROS,
)


def _what(promised: bool, what: int, pa: int, meaning: int) -> str:
    if what == MAPPED:
        return f"{pa:#x}, {meaning_text(meaning)}"
    return WHAT_NAMES[what]


def _said(seen: PairedDifference) -> tuple[int, int, int, int]:
    """What was promised and what is found, and whether address and meaning differ."""
    promised = seen.promised
    what = NOTHING if promised is None else int(promised.what)
    found = int(seen.found.what)
    pa = promised is not None and seen.found.pa != promised.pa_at(seen.va)
    meaning = promised is not None and seen.found.meaning != promised.meaning
    return what, found, int(pa), int(meaning)


def _report(rule: str, step: NvidiaStep, seen: PairedDifference, where: str) -> None:
    """``where``: for signatures, the operation that the address belongs to, or how far off it is.

    Which of many operations lays open what is wrong beside it is chance, so they have one identity.
    """
    what, found, pa, meaning = _said(seen)
    promised = seen.promised
    how = f"{WHAT_NAMES[found]} for {WHAT_NAMES[what]}"
    if what == found:
        how = "other memory" if pa else "other access" if meaning else "other"
    mmu = step.mmu
    number = int(seen.found.table)
    name = mmu.format.tables[number].name if mmu is not None and number >= 0 else "no table"
    expected = (
        WHAT_NAMES[NOTHING]
        if promised is None
        else _what(True, what, int(promised.pa_at(seen.va)), int(promised.meaning))
    )
    observed = _what(False, found, int(seen.found.pa), int(seen.found.meaning))
    step.violations.append(
        Violation(
            rule,
            f"{where}, {name}, {how}",
            f"{step.kind}: {int(seen.va):#x} has to be {expected}, and a walk finds {observed} "
            f"({name}).",
            step.end_event,
            int(seen.va),
            expected,
            observed,
            corrupts=found == ARBITRARY,
        )
    )


def _is_near(step: NvidiaStep, address: int) -> bool:
    return any(first - NEAR <= address <= last + NEAR for first, last in step.ranges)


def mapped_check(step: NvidiaStep) -> int:
    """TR-1: what the operation is about translates as promised, to the byte."""
    if not step.state.exists or not step.ranges:
        return 0
    seen = step.difference
    if seen is not None and step.is_about(int(seen.va)):
        what, found, pa, _ = _said(seen)
        if what != ZEROS and found != ZEROS and (what != found or pa):
            _report("TR-1", step, seen, step.kind)
    return 1


def sparse_check(step: NvidiaStep) -> int:
    """TR-30: what is sparse reads as zeros, and nothing else does."""
    if not step.state.exists or not step.ranges:
        return 0
    seen = step.difference
    if seen is not None and step.is_about(int(seen.va)):
        what, found, _, _ = _said(seen)
        if ZEROS in (what, found):
            _report("TR-30", step, seen, step.kind)
    sparse = step.state.regions or any(one.sparse for one in step.state.areas.values())
    return 1 if sparse or step.kind in ("put", "raw_sparse") else 0


def access_check(step: NvidiaStep) -> int:
    """TR-2: aperture, access and kind are what was asked for."""
    if not step.state.exists or not step.ranges:
        return 0
    seen = step.difference
    if seen is not None and step.is_about(int(seen.va)):
        what, found, pa, meaning = _said(seen)
        if what == found == MAPPED and not pa and meaning:
            _report("TR-2", step, seen, step.kind)
    return 1 if step.kind in ("map", "map_part", "pfn_map", "raw_map") else 0


def neighbour_check(step: NvidiaStep) -> int:
    """NB-1: what is beside the range of an operation translates as before."""
    if not step.state.exists or not step.ranges:
        return 0
    seen = step.difference
    if seen is not None and not step.is_about(int(seen.va)) and _is_near(step, int(seen.va)):
        _report("NB-1", step, seen, "beside")
    return 1


def elsewhere_check(step: NvidiaStep) -> int:
    """IS-30: an operation changes nothing elsewhere, and nothing outside the address space."""
    if not step.state.exists:
        return 0
    seen = step.difference
    if seen is not None and not step.is_about(int(seen.va)) and not _is_near(step, int(seen.va)):
        _report("IS-30", step, seen, "elsewhere")
    return 1


def area_check(step: NvidiaStep) -> int:
    """SP-30: areas and their parts tile what was handed out, mapped as promised."""
    found = areas_mismatch(step.state)
    if found is not None:
        step.violations.append(
            Violation(
                "SP-30",
                f"{step.kind}, {found.what}",
                f"{step.kind}: {found.message}",
                step.end_event,
                found.address,
                found.expected,
                found.observed,
            )
        )
    return 1 if step.seen.areas else 0


def large_check(step: NvidiaStep) -> int:
    """SP-31: the state of a large entry is what its small pages and its sparseness require."""
    found = large_mismatch(step.state) or sparse_mismatch(step.state)
    if found is not None:
        step.violations.append(
            Violation(
                "SP-31",
                f"{step.kind}, {found.what}",
                f"{step.kind}: {found.message}",
                step.end_event,
                found.address,
                found.expected,
                found.observed,
            )
        )
    return 1 if step.state.states else 0


def place_check(step: NvidiaStep) -> int:
    """SP-32: what is handed out is free, aligned, and the best fit."""
    if step.kind != "get" or step.sort != LEGAL or not is_done(step):
        return 0
    value, place = step.result.value & ((1 << 64) - 1), step.call.place
    if value != place:
        step.violations.append(
            Violation(
                "SP-32",
                "get, not the best fit",
                f"get handed {value:#x} out; the smallest hole that fits is at {place:#x}.",
                step.end_event,
                value,
                hex(place),
                hex(value),
                corrupts=True,
            )
        )
    return 1


def instance_check(step: NvidiaStep) -> int:
    """TR-31: the instance block leads the device to the root, and to no more than there is."""
    state = step.state
    mmu = step.mmu
    if step.kind != "join" or mmu is None or not is_done(step):
        return 0
    table = mmu.memory.tables.get(state.instance)
    flags = 0
    if state.chip == "gp100":
        flags = 3 << 10 | (3 << 4 if state.replay else 0)
    elif state.chip == "gm200" and mmu.format.tables[mmu.format.large].shift == 16:
        flags = 1 << 11
    expected = (int(mmu.current.root) | flags, state.end - 1)
    observed = (-1, -1) if table is None else (int(table.words[64]), int(table.words[65]))
    if observed != expected:
        step.violations.append(
            Violation(
                "TR-31",
                "join, instance block does not lead to the root",
                "The instance block does not say where the tables are, in which form, and how "
                "much they translate.",
                step.end_event,
                -1,
                f"{expected[0]:#x}, {expected[1]:#x}",
                f"{observed[0]:#x}, {observed[1]:#x}",
            )
        )
    return 1


RULES = (
    Rule(
        "SP-32",
        "What is handed out is free and aligned, and lies in the smallest hole that it fits in.",
        "Two owners have the same addresses.",
        "formats.md D.6 (get)",
        place_check,
        frozenset({"get"}),
    ),
    Rule(
        "TR-1",
        "Each address of an operation's range leads to the memory that was asked for, and to none "
        "where nothing was.",
        "The device reads and writes memory that belongs to somebody else.",
        "formats.md D.2, D.6; KB-01, KB-15",
        mapped_check,
        CHANGING,
    ),
    Rule(
        "TR-30",
        "Sparse addresses read as zeros until they are mapped or given back, and no others do.",
        "Accesses fault that are allowed, or the others vanish without a trace.",
        "formats.md D.4, D.5 (sparse); KB-01",
        sparse_check,
        CHANGING,
    ),
    Rule(
        "TR-2",
        "A page has the aperture, the access and the kind that were asked for.",
        "Memory is read past its caches, written although it must not be, or laid out wrongly.",
        "formats.md D.2 (map arguments)",
        access_check,
        CHANGING,
    ),
    Rule(
        "TR-31",
        "The instance block names the root, its form and the last address.",
        "The device walks something else.",
        "formats.md D.2 (root)",
        instance_check,
        frozenset({"join"}),
    ),
    Rule(
        "NB-1",
        "The addresses beside an operation's range translate as before.",
        "A neighbour loses its memory, or gets another's.",
        "formats.md D.5 (ref_ptes, unref_ptes)",
        neighbour_check,
        CHANGING,
    ),
    Rule(
        "IS-30",
        "No other address changes, and none outside the address space is translated.",
        "Somebody who did nothing loses memory, or gets another's.",
        "semantics.md (neighbours)",
        elsewhere_check,
        CHANGING,
    ),
    Rule(
        "SP-30",
        "Areas and parts of them lie side by side in what was handed out, and say what is mapped "
        "there with which page size.",
        "Later calls work on entries that are somebody else's, or on none.",
        "formats.md D.4 (vma), D.6 (split, merge); KB-15",
        area_check,
        EVERY,
    ),
    Rule(
        "SP-31",
        "The state of an entry for a large page counts the references to small pages in it, "
        "leaves it to them while there are any, and is sparse only where that was asked for.",
        "Live small pages become sparse or invalid.",
        "formats.md D.4, D.5 (ref_ptes); KB-01",
        large_check,
        CHANGING,
    ),
)
