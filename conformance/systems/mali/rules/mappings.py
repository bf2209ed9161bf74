"""SP, TR: VMAs and page tables are exactly what binds asked for."""

from conformance.rules.rule import Rule, Violation
from conformance.systems.gpuvm.rules.step import first_unlike, shown
from conformance.systems.mali.rules.operations import MAPPING
from conformance.systems.mali.rules.step import MaliStep
from reference.formats.access import access_text
from reference.systems.gpuvm.mappings import Mapping as Vma
from reference.systems.mali.promise import LARGE_PAGE, PAGE, TIMED_OUT, Span


def _wanted(span: Span) -> list[Vma]:
    beside = {one.first for one in span.outside}
    return [one for one in span.vm.promise.within(*span.window()) if one.first not in beside]


def _there(span: Span) -> list[Vma]:
    beside = {one.first for one in span.outside}
    return [one for one in span.vm.held.within(*span.window()) if one.first not in beside]


def tree_check(step: MaliStep) -> int:
    """SP-10: VMAs are added where none is, removed as they are, and neighbours stay."""
    for span in step.spans:
        vm = span.vm
        wrong, at = "", span.first
        if vm.muddled >= 0:
            wrong = "VMA added over another, or removed that is not there"
        else:
            there = {one.first: one for one in vm.held.within(*span.window())}
            for one in span.outside:
                found = there.get(one.first)
                if found is None or not found.same(one):
                    wrong, at = "neighbour changed", one.first
                    break
        if wrong:
            step.violations.append(
                Violation(
                    "SP-10",
                    f"{step.kind}, {wrong}",
                    f"VM {vm.number}: {wrong}, at {at:#x}.",
                    vm.muddled if vm.muddled >= 0 else step.end_event,
                    at,
                    corrupts=True,
                )
            )
            return 1
    return int(len(step.spans) > 0)


def ranges_check(step: MaliStep) -> int:
    """SP-1: VMAs cover exactly what is mapped."""
    count = 0
    for span in step.spans:
        if not span.is_judged(step.result):
            continue
        count += 1
        found = first_unlike(_wanted(span), _there(span))
        if found is None:
            continue
        how, at, one, other = found
        step.violations.append(
            Violation(
                "SP-1",
                f"{step.kind}, {how}",
                f"VM {span.vm.number}: the VMAs at and after {at:#x} are not those that there "
                "have to be.",
                step.end_event,
                at,
                shown(one),
                shown(other),
                corrupts=True,
            )
        )
        return count
    return count


def backing_check(step: MaliStep) -> int:
    """SP-2: every part keeps its buffer and its place in it."""
    count = 0
    for span in step.spans:
        if not span.is_judged(step.result):
            continue
        there = {(one.first, one.last): one for one in _there(span)}
        for one in _wanted(span):
            found = there.get((one.first, one.last))
            if found is None:
                continue
            count += 1
            if not found.same(one):
                what = "buffer" if found.buffer != one.buffer else "offset"
                step.violations.append(
                    Violation(
                        "SP-2",
                        f"{step.kind}, VMA with another {what}",
                        f"VM {span.vm.number}: the VMA at {one.first:#x} says that another part "
                        "of a buffer is there than the one that was mapped.",
                        step.end_event,
                        one.first,
                        shown(one),
                        shown(found),
                        corrupts=True,
                    )
                )
                return count
    return count


def translation_check(step: MaliStep) -> int:
    """TR-1: what a call was about translates as promised."""
    return _translation(step, "TR-1", True)


def access_check(step: MaliStep) -> int:
    """TR-2: with the permissions and the memory type that were asked for."""
    return _translation(step, "TR-2", False)


def _translation(step: MaliStep, rule: str, address: bool) -> int:
    count = 0
    for span in step.spans:
        # Where a command did not end, the promise has followed the VMAs.
        done = step.result.result in (0, TIMED_OUT)
        if not done or not span.vm.exists or not span.vm.handle:
            continue
        count += 1
        seen = step.difference(span)
        if seen is None or seen.address != address:
            continue
        expected, prot = span.vm.pages.lookup(seen.va)
        if not address:
            how = "other access"
        elif expected == -1:
            how = "still mapped"
        else:
            how = "not mapped" if seen.pa == -1 else "other page"
        fmt = span.vm.view.geometry.format
        wanted = "nothing"
        if expected != -1:
            wanted = f"{expected:#x} {access_text(fmt.promised(prot))}"
        found = "nothing"
        if seen.pa != -1:
            found = f"{seen.pa:#x} {access_text(fmt.meaning(seen.level, seen.word))}"
        step.violations.append(
            Violation(
                rule,
                f"{step.kind}, level {seen.level}, {how}",
                f"VM {span.vm.number}: after {step.kind}, {seen.va:#x} does not translate as "
                f"promised: {how}.",
                step.end_event,
                seen.va,
                wanted,
                found,
                corrupts=True,
            )
        )
        return count
    return count


def node_check(step: MaliStep) -> int:
    """SP-11: what the kernel's allocator hands out is free, aligned, and the kernel's."""
    if step.result.result != 0:
        return 0
    size = step.operation.number("size")
    first = step.result.value
    last = first + size - 1
    asked = step.operation.number("va")
    wrong = ""
    if asked != -1 and first != asked:
        wrong = "another address than was asked for"
    elif first % (LARGE_PAGE if asked == -1 and size >= LARGE_PAGE else PAGE):
        wrong = "an address that is not aligned"
    elif not any(hole[0] <= first and last <= hole[1] for hole in step.call.holes):
        wrong = "addresses that are not free, or not the kernel's"
    if wrong:
        step.violations.append(
            Violation(
                "SP-11",
                f"alloc, {wrong}",
                f"alloc gave {wrong}: {first:#x}..{last:#x}.",
                step.end_event,
                first,
                "a free range of the kernel's part, aligned to 2 MiB from that size on",
                wrong,
                corrupts=True,
            )
        )
    return 1


RULES = (
    Rule(
        "SP-10",
        "A VMA is added only where none is, removed only as it is, and one beside the range of a "
        "call stays as it is.",
        "Two VMAs claim one address, or a neighbour is lost.",
        "formats.md B.7",
        tree_check,
        MAPPING,
        misuse=True,
    ),
    Rule(
        "SP-11",
        "What the kernel's allocator of addresses hands out is free, in the kernel's part of the "
        "VM, and aligned.",
        "A heap lies over another, or where the process can reach it.",
        "formats.md B.5",
        node_check,
        frozenset({"alloc"}),
        misuse=True,
    ),
    Rule(
        "SP-1",
        "After a bind the VMAs are exactly the new mapping and, of each old one, the parts before "
        "and after the range.",
        "A part of a buffer has no VMA and is never unmapped.",
        "formats.md B.7; KB-35",
        ranges_check,
        MAPPING,
        misuse=True,
    ),
    Rule(
        "SP-2",
        "Every VMA that is left keeps its buffer, and each part its place in it.",
        "After a later bind the device reads another part of the buffer.",
        "formats.md B.7 (offsets); KB-45",
        backing_check,
        MAPPING,
        misuse=True,
    ),
    Rule(
        "TR-1",
        "After a bind the addresses that it was about translate to the pages that are mapped "
        "there.",
        "The device reads and writes other pages.",
        "formats.md B.2, B.6; KB-33",
        translation_check,
        MAPPING,
        misuse=True,
    ),
    Rule(
        "TR-2",
        "After a bind every page has the permissions and the memory type that were asked for.",
        "The device can write what is read-only, or does not see what the CPU wrote.",
        "formats.md B.2 (bind flags)",
        access_check,
        MAPPING,
        misuse=True,
    ),
)
