"""From operations that break a rule to a counterexample with what the three views said."""

from collections.abc import Sequence
from dataclasses import replace

from conformance.minimise import reproduces
from conformance.repair import repair, story_of
from conformance.system import System
from conformance.targets.protocol import Target
from reference.operations import Operation, to_json
from reference.trace import event_to_json
from reports.counterexample import Counterexample, OperationResult, RuleText


def counterexample_of(
    system: System,
    target: Target,
    operations: Sequence[Operation],
    identity: tuple[str, str],
    seed: int,
    *,
    repaired: bool = True,
) -> Counterexample | None:
    """The counterexample that these operations give on ``target``; None if they do not any more.

    The operations after the one that breaks the rule are left out. ``repaired``: whether a change
    is looked for with which it would not be broken; that takes as long as some dozens of replays.
    """
    needed = reproduces(system, target, operations, identity)
    if needed == 0:
        return None
    session = system.session(target, None, None)
    session.frozen_on = identity
    performed = list(operations[:needed])
    for operation in performed[:-1] if needed <= len(operations) else performed:
        session.run(operation)
    views = system.make_views(session, performed)
    outcome = session.run(performed[-1]) if needed <= len(operations) else session.finish()
    assert outcome is not None
    violation = next(one for one in outcome.violations if one.identity == identity)
    rule = system.rule(violation.rule)
    told = views.after(violation)
    change = ""
    if repaired:
        story = story_of(session.operations, session.results, session.trace)
        change = repair(system, target, story, identity, violation.event, violation.iova)
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
        trace=tuple(event_to_json(event, target.places) for event in session.trace),
        views=replace(told, repair=change),
    )
