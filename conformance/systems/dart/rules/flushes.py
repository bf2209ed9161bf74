"""OR, TL: commands are waited for, and reach every stream of a domain on every unit."""

from conformance.rules.rule import Rule, Violation
from conformance.systems.dart.rules.operations import ACCESSING
from conformance.systems.dart.rules.step import DartStep, name_of
from reference.formats.access import access_text


def wait_check(step: DartStep) -> int:
    """OR-52: a call does not return before its commands were seen to end."""
    for event, unit in step.events.unended[:1]:
        step.violations.append(
            Violation(
                "OR-52",
                f"{step.kind}, returned while a command may be running",
                f"{step.kind} returned, and nobody saw the last command of unit {unit} end.",
                event,
                -1,
                "the busy bit is read until it is clear, as long as a command may take",
                "nobody looked, or not for long enough",
            )
        )
    return step.events.commands


def over_check(step: DartStep) -> int:
    """OR-54: a command is written when none may be running."""
    for one in step.events.busy[:1]:
        step.violations.append(
            Violation(
                "OR-54",
                f"{step.kind}, command over another{step.function(one.event)}",
                f"A command was written to unit {one.unit} while another may be running.",
                one.event,
                -1,
                "the busy bit was read clear before",
                "a command that was not seen to end",
                corrupts=True,
            )
        )
    return step.events.commands


def leaf_check(step: DartStep) -> int:
    """TL-1: what was unmapped is cached by no stream of the domain, on no unit."""
    domain = step.call.domain
    if domain is None:
        return 0
    fmt = step.state.format
    for first, last in step.call.due:
        found = step.state.stale(domain, first, last)
        if found is None:
            continue
        stream, fact = found
        pa = fmt.output(fact.level, fact.word)
        step.violations.append(
            Violation(
                "TL-1",
                f"{step.kind}, stale leaf",
                f"{name_of(stream)} may still translate {fact.first:#x} by an entry that is gone.",
                step.end_event,
                fact.first,
                "nothing",
                f"{pa:#x} {access_text(fmt.meaning(fact.level, fact.word))}, cached",
                stale=(fact.level, fact.first, fact.last, fact.word),
            )
        )
        break
    return len(step.call.due) if domain.space.walked else 0


def fresh_check(step: DartStep) -> int:
    """TL-50: after a map no stream of the domain may have invalid entries cached."""
    domain = step.call.domain
    if domain is None or not step.call.flushes:
        return 0
    filled = step.events.filled.get(int(domain.space.number), -1)
    streams = step.state.streams_of(domain)
    for stream in streams:
        if stream.clean < filled:
            step.violate(
                "TL-50", "stream not flushed",
                f"{name_of(stream)} may still have it cached that nothing is mapped at "
                f"{step.first:#x}: it was not invalidated since.",
                "an invalidation of every stream of the domain, on every unit, after the stores",
                "no invalidation of this stream since the entries became valid",
            )  # fmt: skip
            break
    return len(streams)


RULES = (
    Rule(
        "OR-54",
        "A command is written only after the one before was seen to end.",
        "What comes of either is not known.",
        "formats.md C.4 (stream command)",
        over_check,
        ACCESSING,
        misuse=True,
    ),
    Rule(
        "OR-52",
        "A call returns only when its commands were seen to end, or did not end for as long as one "
        "waits.",
        "Memory is given away while the device may still use it.",
        "formats.md C.4 (stream command)",
        wait_check,
        ACCESSING,
        misuse=True,
    ),
    Rule(
        "TL-1",
        "When an unmap returns, or the flush of what was queued, no stream of the domain has a "
        "leaf of it cached, on any unit that answers.",
        "The device keeps reading and writing pages that have a new owner.",
        "semantics.md (when a duty falls due); formats.md C.4 (TLB rules); KB-30",
        leaf_check,
        frozenset({"map", "unmap", "flush"}),
    ),
    Rule(
        "TL-50",
        "When a map returns, every stream of the domain, on every unit that answers, was "
        "invalidated since the entries became valid.",
        "The unit has it cached that nothing is mapped there, and the device faults.",
        "formats.md C.4 (sync_map), F.1 (invalid entries may be cached); KB-52",
        fresh_check,
        frozenset({"map"}),
    ),
)
