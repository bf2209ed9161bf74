"""SP, NB: mappings are split as they have to be, and those beside the range stay as they are."""

from conformance.rules.rule import Rule, Violation
from conformance.systems.gpuvm.rules.step import GpuvmStep, first_unlike, shown
from reference.systems.gpuvm.mappings import Mapping, cut, first_difference


def _listed(step: GpuvmStep) -> list[Mapping]:
    """The VMAs that the tree holds in and around the range."""
    return step.seen.listed


def _promised(step: GpuvmStep) -> list[Mapping]:
    """What there has to be in and around the range, less what was beside it before."""
    first, last = step.call.window
    beside = {one.first for one in step.call.outside}
    return [one for one in step.state.promise.within(first, last) if one.first not in beside]


def _remaining(step: GpuvmStep) -> list[Mapping]:
    """What the tree holds in and around the range, less what was beside it before."""
    beside = {one.first for one in step.call.outside}
    return [one for one in _listed(step) if one.first not in beside]


def neighbours_check(step: GpuvmStep) -> int:
    """NB-1: a mapping that lies beside the range is as it was."""
    there = {one.first: one for one in _listed(step)}
    for one in step.call.outside:
        found = there.get(one.first)
        if found is None or not found.same(one):
            step.violations.append(
                Violation(
                    "NB-1",
                    f"{step.kind}, neighbour {'gone' if found is None else 'changed'}",
                    f"The mapping at {one.first:#x} has no address in the range of {step.kind}, "
                    "and is not what it was.",
                    step.end_event,
                    one.first,
                    shown(one),
                    shown(found),
                )
            )
            return 1
    return int(len(step.call.outside) > 0)


def ranges_check(step: GpuvmStep) -> int:
    """SP-1: VMAs cover exactly what is mapped, each as long as it has to be."""
    if step.result.result != 0:
        return 0
    found = first_unlike(_promised(step), _remaining(step))
    if found is not None:
        how, at, one, other = found
        step.violations.append(
            Violation(
                "SP-1",
                f"{step.kind}, {how}",
                f"After {step.kind}, the VMAs at and after {at:#x} are not those that there have "
                "to be.",
                step.end_event,
                at,
                shown(one),
                shown(other),
            )
        )
    return 1


def backing_check(step: GpuvmStep) -> int:
    """SP-2: every part keeps its buffer and its place in it."""
    if step.result.result != 0:
        return 0
    there = {(one.first, one.last): one for one in _remaining(step)}
    checked = 0
    for one in _promised(step):
        found = there.get((one.first, one.last))
        if found is None:
            continue
        checked = 1
        if not found.same(one):
            what = "buffer" if found.buffer != one.buffer else "offset"
            part = "new mapping" if step.first <= one.first <= step.last else "part that is left"
            step.violations.append(
                Violation(
                    "SP-2",
                    f"{step.kind}, {part} with another {what}",
                    f"After {step.kind}, the VMA at {one.first:#x} says that another part of a "
                    "buffer is there than the one that was mapped.",
                    step.end_event,
                    one.first,
                    shown(one),
                    shown(found),
                )
            )
            return 1
    return checked


def tables_check(step: GpuvmStep) -> int:
    """SP-20: page tables are told exactly what changed."""
    for event, first, last in step.seen.told:
        if first > last or first < step.first or last > step.last:
            step.violations.append(
                Violation(
                    "SP-20",
                    f"{step.kind}, page tables told outside the range{step.function(event)}",
                    f"Page tables were told to change {first:#x}..{last:#x}; {step.kind} was about "
                    f"{step.first:#x}..{step.last:#x}.",
                    event,
                    first,
                    "only what the call names is changed",
                    f"{first:#x}..{last:#x}",
                )
            )
            return 1
    if step.result.result != 0:
        return 0
    state = step.state
    wrong = first_difference(
        cut(state.promise.within(step.first, step.last), step.first, step.last),
        cut(state.tables.within(step.first, step.last), step.first, step.last),
    )
    if wrong >= 0:
        wanted, there = state.promise.first_in(wrong, wrong), state.tables.first_in(wrong, wrong)
        if there is None:
            how = "lack what is mapped"
        else:
            how = "keep what is not mapped" if wanted is None else "get another part of a buffer"
        step.violations.append(
            Violation(
                "SP-20",
                f"{step.kind}, page tables {how}",
                f"After {step.kind}, what page tables were told about {wrong:#x} is not what was "
                "promised there.",
                step.end_event,
                wrong,
                shown(wanted),
                shown(there),
            )
        )
    return 1


RULES = (
    Rule(
        "NB-1",
        "A mapping that has no address in the range of a call is the same after it.",
        "Another allocation of the same process silently moves, or is gone.",
        "formats.md B.7",
        neighbours_check,
        frozenset({"map", "unmap"}),
    ),
    Rule(
        "SP-1",
        "After a call the VMAs are exactly the new mapping and, of each old one, the parts before "
        "and after the range; neighbours are never joined.",
        "A part of a buffer has no VMA and is never unmapped, or two VMAs claim one address.",
        "formats.md B.7 (the table of shapes); KB-45",
        ranges_check,
        frozenset({"map", "unmap"}),
    ),
    Rule(
        "SP-2",
        "Every VMA that is left keeps its buffer, and each part its place in the buffer.",
        "After a later validate or remap the device reads another part of the buffer.",
        "formats.md B.7 (offsets); KB-45",
        backing_check,
        frozenset({"map", "unmap"}),
    ),
    Rule(
        "SP-20",
        "Page tables are told to drop exactly what is taken out, and to take exactly what is put "
        "in, all of it inside the range of the call.",
        "Live pages of a neighbour are cleared, or pages that were given back stay mapped.",
        "formats.md B.7 (remap hole); KB-35",
        tables_check,
        frozenset({"map", "unmap"}),
    ),
)
