"""From operations that break a rule to a counterexample with what the three views said."""

from collections.abc import Sequence

from conformance.machines.pagetable_session import PageTableSession
from conformance.minimise import reproduces
from conformance.rules.catalogue import rule_by_id
from conformance.rules.rule import Violation
from conformance.systems import System
from conformance.targets.protocol import Target
from reference.formats.format import ROLE_NAMES, Format, access_letters
from reference.trace import event_to_json
from reports.counterexample import (
    Counterexample,
    OperationResult,
    RuleText,
    Segment,
    Stale,
    Step,
    Views,
)
from reports.operations import Operation, to_json
from reports.stores import annotate

PARTS_SHOWN = 2048
"""Pages or blocks of a window that are looked at, at most."""


def counterexample_of(
    system: System,
    target: Target,
    operations: Sequence[Operation],
    identity: tuple[str, str],
    seed: int,
) -> Counterexample | None:
    """The counterexample that these operations give on ``target``; None if they do not any more.

    The operations after the one that breaks the rule are left out.
    """
    needed = reproduces(system, target, operations, identity)
    if needed == 0:
        return None
    session = system.session(target, None, None)
    session.frozen_on = identity
    performed = list(operations[:needed])
    for operation in performed[:-1] if needed <= len(operations) else performed:
        session.run(operation)
    window = _window(session, performed)
    before_promise = _promised(session, window)
    before_hardware = _mapped(session, window)
    outcome = session.run(performed[-1]) if needed <= len(operations) else session.finish()
    assert outcome is not None
    violation = next(one for one in outcome.violations if one.identity == identity)
    after_promise = _promised(session, window)
    after_hardware = _mapped(session, window)
    view = session.view
    rule = rule_by_id(system.name, violation.rule)
    events = list(session.trace)
    return Counterexample(
        system=system.name,
        target_name=target.name,
        target_version=target.version,
        rule=violation.rule,
        rule_text=RuleText(rule.sentence, rule.consequence, rule.source),
        label=violation.label,
        signature=violation.signature,
        seed=seed,
        operations=tuple(to_json(one, system.specs) for one in session.operations),
        results=tuple(
            OperationResult(one.result, one.value, one.finished) for one in session.results
        ),
        trace=tuple(event_to_json(event, target.places) for event in events),
        views=Views(
            message=violation.message,
            event=violation.event if 0 <= violation.event < len(events) else None,
            operation=len(session.operations) - 1,
            iova=violation.iova if violation.iova >= 0 else None,
            promise_before=before_promise,
            promise_after=after_promise,
            hardware_before=before_hardware,
            hardware_after=after_hardware,
            walk=_walk(session, violation),
            stale=_stale(session, violation),
            window=window,
            expected=violation.expected,
            observed=violation.observed,
            notes=() if view is None else annotate(events, view.geometry, violation.event),
        ),
    )


def _window(session: PageTableSession, operations: Sequence[Operation]) -> tuple[int, int] | None:
    """The addresses that the operations speak of, with a page on each side; None: none."""
    if session.view is None:
        return None
    limit = session.view.geometry.limit
    page = session.view.geometry.format.page_sizes[0]
    firsts: list[int] = []
    lasts: list[int] = []
    for operation in operations:
        iova = operation.args.get("iova")
        if isinstance(iova, int) and 0 <= iova < limit:
            size = int(operation.args.get("pgsize", page)) * int(operation.args.get("pgcount", 1))
            firsts.append(iova & ~(page - 1))
            lasts.append(min(max(iova + max(size, page) - 1, iova), limit - 1))
    if not firsts:
        return None
    return max(min(firsts) - page, 0), min(max(lasts) + page, limit - 1)


def _promised(session: PageTableSession, window: tuple[int, int] | None) -> tuple[Segment, ...]:
    promise = session.promise
    if promise is None or window is None:
        return ()
    fmt = promise.format
    pieces = [
        (one.first, one.last, one.pa, access_letters(fmt.promised(one.prot)), fmt.span(one.level))
        for one in promise.parts(window[0], window[1], PARTS_SHOWN)
    ]
    return _joined(pieces)


def _mapped(session: PageTableSession, window: tuple[int, int] | None) -> tuple[Segment, ...]:
    view = session.view
    if view is None or window is None:
        return ()
    fmt = view.geometry.format
    pieces = []
    for va, level, word in view.leaves(window[0], window[1], PARTS_SHOWN):
        span = fmt.span(level)
        access = access_letters(fmt.meaning(level, word))
        pieces.append((va, va + span - 1, fmt.output(level, word), access, span))
    return _joined(pieces)


def _joined(pieces: Sequence[tuple[int, int, int, str, int]]) -> tuple[Segment, ...]:
    """Pieces that continue each other, as one segment."""
    joined: list[Segment] = []
    for first, last, pa, access, size in pieces:
        if joined:
            before = joined[-1]
            if (
                before.last + 1 == first
                and before.pa is not None
                and before.pa + (first - before.first) == pa
                and before.access == access
                and before.size == size
            ):
                joined[-1] = Segment(before.first, last, before.pa, access, size)
                continue
        joined.append(Segment(first, last, pa, access, size))
    return tuple(joined)


def _walk(session: PageTableSession, violation: Violation) -> tuple[Step, ...]:
    view = session.view
    if view is None or violation.iova < 0:
        return ()
    fmt = view.geometry.format
    return tuple(
        Step(
            step.level,
            step.table,
            step.index,
            step.word,
            ROLE_NAMES[step.kind],
            fmt.describe(step.level, step.word),
        )
        for step in view.walker.walk(violation.iova).steps
    )


def _stale(session: PageTableSession, violation: Violation) -> tuple[Stale, ...]:
    """The stale fact that the rule named, or what else is cached for the address."""
    view = session.view
    if view is None:
        return ()
    fmt: Format = view.geometry.format
    if violation.stale is not None:
        level, first, last, word = violation.stale
        return (Stale(level, first, last, word, fmt.describe(level, word)),)
    if violation.iova < 0:
        return ()
    return tuple(
        Stale(fact.level, fact.first, fact.last, fact.word, fmt.describe(fact.level, fact.word))
        for fact in view.tlb.leaves_in(violation.iova, violation.iova)[:8]
    )
