"""OR, IS, TR, NB: what streams are pointed at, in which order, and what they still reach."""

from conformance.rules.errnos import errno_kind
from conformance.rules.rule import Rule, Violation
from conformance.systems.dart.rules.operations import ACCESSING, EVERY, SWITCHING, TABLES
from conformance.systems.dart.rules.step import DartStep, name_of
from reference.hardware.observation import CHANGED_OUTSIDE
from reference.systems.dart.device import MODE_NAMES, TRANSLATE
from reference.systems.dart.promise import Stream


def enable_check(step: DartStep) -> int:
    """OR-50: a stream is enabled when its roots are complete."""
    for one in step.events.enabled:
        if one.wrong:
            step.violations.append(
                Violation(
                    "OR-50",
                    f"{step.kind}, enabled, {one.wrong}{step.function(one.event)}",
                    f"{name_of(one.stream)} was enabled while {one.wrong}.",
                    one.event,
                    -1,
                    "all root registers of one domain, then the mode",
                    one.wrong,
                    corrupts=True,
                )
            )
            break
    return len(step.events.enabled)


def register_check(step: DartStep) -> int:
    """OR-51: only registers that the call is about are written."""
    for event, unit, name in step.events.foreign[:1]:
        step.violations.append(
            Violation(
                "OR-51",
                f"{step.kind}, {step.sort}, writes {name}{step.function(event)}",
                f"{step.kind} wrote {name} of unit {unit}, which is not its own to write.",
                event,
                -1,
                "registers of the streams that the call names, and those of commands",
                f"a write of {name}",
                corrupts=True,
            )
        )
    return step.events.writes


def odd_check(step: DartStep) -> int:
    """OR-53: registers are accessed that are there, have power, and are not locked."""
    for one in step.events.odd[:1]:
        name = one.happened.register
        step.violations.append(
            Violation(
                "OR-53",
                f"{step.kind}, odd access of {name}{step.function(one.event)}",
                f"{step.kind} accessed {name} of unit {one.unit} with {one.happened.value:#x}, "
                "which is not there, has no power, is locked, or has no such value.",
                one.event,
                -1,
                "accesses of registers that answer",
                f"an access of {name}",
                corrupts=True,
            )
        )
    return step.events.writes


def _looked_at(step: DartStep, named: bool) -> list[Stream]:
    """The streams of units at work that a call is about, or (not ``named``) all others."""
    found: list[Stream] = []
    for unit in step.state.units:
        at_work = (unit.probed or step.kind == "remove") and unit.powered
        if not at_work:
            continue
        for stream in unit.streams:
            if step.is_named(stream) == named:
                found.append(stream)
    return found


def _differs(rule: str, step: DartStep, stream: Stream, how: str, who: str) -> None:
    mode, _ = step.state.wanted(stream)
    step.violate(
        rule, how, f"After {step.kind}, {name_of(stream)}, {who}, has {how}.",
        f"{MODE_NAMES[mode]}, with the roots of its domain and no others", how, corrupts=True,
    )  # fmt: skip


def state_check(step: DartStep) -> int:
    """TR-50: the streams that a call was about are in the state that it said."""
    if not step.succeeded:
        return 0
    count = 0
    for stream in _looked_at(step, True):
        count += 1
        how = step.state.difference(stream)
        if how:
            _differs("TR-50", step, stream, how, "which the call was about")
            break
    return count


def failed_check(step: DartStep) -> int:
    """ER-2: a call that fails leaves streams and mappings as they were."""
    if step.result.result == 0:
        return 0
    state, count = step.state, 0
    if step.kind not in ("probe", "remove", "resume"):
        for stream in _looked_at(step, True):
            count += 1
            how = state.difference(stream)
            if how:
                code = errno_kind(step.result.result)
                _differs("ER-2", step, stream, f"{code}, {how}", "as the call failed")
                return count
    domain = step.call.domain
    if step.kind == "map" and domain is not None and domain.made and step.last >= step.first:
        count += 1
        found = domain.space.difference(domain.pages, step.first, step.last)
        if found is not None:
            step.violate(
                "ER-2", f"{errno_kind(step.result.result)}, entries left",
                f"map failed, but {found.va:#x} is not as it was.",
                "as before the call", "an entry that was changed", corrupts=True,
            )  # fmt: skip
    return count


def neighbour_check(step: DartStep) -> int:
    """NB-1: what a call does not name is the same after it, and at every instant."""
    count = step.seen(CHANGED_OUTSIDE)
    outside = [one.va for one in step.observed(CHANGED_OUTSIDE)] + step.call.changed_stalled
    if outside:
        step.violate(
            "NB-1", "another page changed",
            f"{step.kind} changed what {outside[0]:#x} leads to, which it does not name.",
            "unchanged", "an entry of another page was changed", corrupts=True,
        )  # fmt: skip
        return count
    if step.events.touched or step.kind in SWITCHING:
        for stream in _looked_at(step, False):
            count += 1
            how = step.state.difference(stream)
            if how:
                _differs("NB-1", step, stream, how, "which the call does not name")
                break
    return count


def left_check(step: DartStep) -> int:
    """IS-50: a stream has nothing cached of what it walked before."""
    state, count = step.state, 0
    for stream in step.events.touched:
        if stream.unit in step.events.timed_out:
            continue
        count += 1
        again = stream.mode == TRANSLATE and stream.left >= 0 and stream.clean < stream.left
        if state.foreign_entries(stream) or again:
            what = MODE_NAMES[stream.mode]
            step.violate(
                "IS-50", f"{what} with entries from before",
                f"After {step.kind}, {name_of(stream)} may have entries cached of what it walked "
                "before: no completed invalidation came since.",
                "the stream is invalidated, and that was seen to end, before the call returns",
                "entries from before",
            )  # fmt: skip
            break
    return count


ACCESSES = (
    Rule(
        "OR-53",
        "Registers are accessed that are there, on units that have power and are not locked, with "
        "values that are defined.",
        "The machine stops at the access, or a write is lost in silence.",
        "formats.md C.3, C.4 (reset)",
        odd_check,
        ACCESSING,
    ),
)
"""The rule about accesses that nothing answers: what comes of them is no result."""

RULES = (
    Rule(
        "OR-51",
        "A call writes the mode and roots of the streams that it names, and the registers of "
        "commands; configuration, remap and filters are the boot loader's.",
        "Devices that nobody named lose their memory, or get somebody else's.",
        "formats.md C.3, C.5 (outcome of the review: the remap is left alone)",
        register_check,
        ACCESSING,
        misuse=True,
    ),
    Rule(
        "OR-50",
        "A stream is enabled only when its root registers lead to the roots of one domain, all of "
        "them.",
        "The device walks the tables of two domains, or none, for a moment.",
        "formats.md C.4 (set up translation), F.3 (change root)",
        enable_check,
        SWITCHING,
        misuse=True,
    ),
    Rule(
        "IS-50",
        "When a call returns, a stream that was attached, moved or detached has nothing cached "
        "of what it walked before, invalid entries included.",
        "The device reads and writes memory of a domain that it has left.",
        "semantics.md (when a duty falls due); formats.md C.4",
        left_check,
        SWITCHING,
        misuse=True,
    ),
    Rule(
        "TR-50",
        "After a call each stream that it is about translates by the roots of its domain and no "
        "others, is bypassed, or is blocked, as callers were told.",
        "The device reaches memory that it should not, or nothing at all.",
        "formats.md C.4, C.5 (invariants)",
        state_check,
        SWITCHING,
    ),
    Rule(
        "ER-2",
        "A call that fails leaves every stream as it was, and every page.",
        "Half of a device is in one domain and half in another, and nobody knows.",
        "formats.md C.5 (attach); F.4; KB-70",
        failed_check,
        EVERY,
        misuse=True,
    ),
    Rule(
        "NB-1",
        "Streams and pages that a call does not name are the same after it, pages at every instant "
        "of it.",
        "A device loses its memory because of another one.",
        "semantics.md (calls); KB-18, KB-40",
        neighbour_check,
        SWITCHING | TABLES,
        misuse=True,
    ),
)
