"""Runs of one shard: rounds of examples until nothing new is found or the budget is spent.

Hypothesis generates. The first violation of an identity that is not known yet ends
a round; the identity is then muted, its operations are minimised by our own pass,
and the next round goes on with what is left of the budget.
"""

import gc
import hashlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.control import current_build_context
from hypothesis.database import ExampleDatabase
from hypothesis.errors import Flaky, StopTest
from hypothesis.internal.conjecture import providers as _providers
from hypothesis.stateful import run_state_machine_as_test

from conformance.minimise import minimise
from conformance.rules.rule import Violation
from conformance.system import System
from conformance.tally import Tally
from conformance.targets.protocol import Target
from reference.operations import Operation
from reports.counterexample import Counterexample

MAX_ROUNDS = 64
"""Rounds of one shard at most: a target in which everything is wrong ends here."""


class Unstable(Exception):
    """The target did something else when Hypothesis repeated the same operations."""


class Found(Exception):
    """A violation of a new identity; each identity has a subclass of its own."""

    def __init__(self, violation: Violation, operations: list[Operation]) -> None:
        super().__init__(f"{violation.rule}: {violation.message}")
        self.violation = violation
        self.operations = operations


@dataclass(slots=True)
class Finding:
    """One identity that a shard found: the violation and the operations that lead to it.

    ``minimal`` says whether the operations were minimised; ``found`` are the operations
    as they were drawn.
    """

    violation: Violation
    operations: list[Operation]
    found: list[Operation]
    minimal: bool = False
    reproduced: bool = True
    counterexample: Counterexample | None = None


@dataclass(slots=True)
class ShardResult:
    """What one shard did and found. ``complete`` is False when it was interrupted.

    ``unstable``: how many rounds ended because the target was not deterministic, without a
    violation.
    """

    shard: int
    tally: Tally = field(default_factory=Tally)
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)
    rounds: int = 0
    unstable: int = 0
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: the whole run's numbers; a shard takes its part of the examples."""

    seed: int = 0
    examples: int = 800
    steps: int = 30
    shards: int = 8
    minimise_executions: int = 2000
    database: ExampleDatabase | None = None

    def examples_of(self, shard: int) -> int:
        """How many of the examples shard number ``shard`` takes."""
        return self.examples // self.shards + (shard < self.examples % self.shards)


def derived_seed(*parts: object) -> int:
    """A seed of 64 bits from the parts' text."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@contextmanager
def no_local_constants() -> Iterator[None]:
    """Keep Hypothesis from drawing constants that it reads in local source files.

    A compiled module has none to read and an interpreted one has, so with them the same
    seed would not give the same run.
    """
    providers: Any = _providers
    kept = providers._get_local_constants
    nothing = providers.Constants()
    providers._get_local_constants = lambda: nothing
    try:
        yield
    finally:
        providers._get_local_constants = kept


INTERRUPTS: list[int] = []
"""Interrupts that arrived while a shard ran."""


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Note an interrupt besides raising it.

    Python drops an exception that is raised inside a callback of the garbage collector, and
    Hypothesis has one. What was dropped there, while an example ran or while one was minimised, is
    raised again at the next example, or at the end.
    """
    before = signal.getsignal(signal.SIGINT)
    INTERRUPTS.clear()
    here = threading.current_thread() is threading.main_thread()
    if before is not signal.default_int_handler or not here:
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        INTERRUPTS.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


COLLECT_AFTER = 5_000
"""Objects that may come, less those that went, before garbage is looked for."""


@contextmanager
def what_stays_is_not_searched() -> Iterator[None]:
    """Let the garbage collector pass over all that exists by now, and look less often for more.

    Modules and lists of choices stay, and so does most of what Hypothesis keeps of an example;
    to look at it again and again takes longer than all that is done with it.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def run_shard(
    system: System,
    target: Target,
    plan: Plan,
    shard: int,
    known: set[tuple[str, str]] | None = None,
    progress: Callable[[ShardResult], None] = lambda result: None,
) -> ShardResult:
    """Run one shard.

    ``known``: identities that are muted from the start. ``progress`` is called now and then,
    and after each finding. An interrupt (KeyboardInterrupt) leaves ``complete`` False in what
    ``progress`` saw last, and goes on.
    """
    with what_stays_is_not_searched(), interrupts_kept():
        return _rounds(system, target, plan, shard, set(known or ()), progress)


def _rounds(
    system: System,
    target: Target,
    plan: Plan,
    shard: int,
    muted: set[tuple[str, str]],
    progress: Callable[[ShardResult], None],
) -> ShardResult:
    """Rounds until nothing new is found, or the shard's examples are used up."""
    result = ShardResult(shard)
    budget = plan.examples_of(shard)
    while result.tally.examples < budget and result.rounds < MAX_ROUNDS:
        try:
            found = _round(system, target, plan, shard, budget, muted, result, progress)
        except Unstable:
            result.rounds += 1
            result.unstable += 1
            continue
        result.rounds += 1
        if found is None:
            break
        violation = found.violation
        muted.add(violation.identity)
        finding = Finding(violation, found.operations, found.operations)
        result.findings[violation.identity] = finding
        progress(result)
        operations = minimise(
            system, target, found.operations, violation.identity, plan.minimise_executions
        )
        if operations is None:
            finding.reproduced = False
        else:
            finding.operations = operations
            finding.minimal = True
        progress(result)
    if INTERRUPTS:
        raise KeyboardInterrupt
    result.complete = True
    progress(result)
    return result


def _round(
    system: System,
    target: Target,
    plan: Plan,
    shard: int,
    budget: int,
    muted: set[tuple[str, str]],
    result: ShardResult,
    progress: Callable[[ShardResult], None],
) -> Found | None:
    """One round: None when its examples are used up without a new identity.

    Raises:
        Unstable: the target is not deterministic, and Hypothesis cannot go on.
    """
    tally = result.tally
    scratch = Tally()
    base: Any = system.machine(target)
    last_found: list[Found] = []

    class Machine(base):  # type: ignore[misc]
        def start(self) -> Any:
            if INTERRUPTS:
                raise KeyboardInterrupt
            # Hypothesis repeats a failing example to tell it; that is not generation.
            self.counted = not current_build_context().is_final
            self.tally = tally if self.counted else scratch
            return system.session(target, muted, self.tally)

        def teardown(self) -> None:
            # An example that Hypothesis breaks off half-way does not count as one.
            broken_off = isinstance(sys.exc_info()[1], StopTest)
            if self.counted and not broken_off:
                tally.example(len(self.session.operations))
                if tally.examples % 16 == 0:
                    progress(result)
            super().teardown()

        def fail(self, violation: Violation) -> None:
            name = f"Found_{violation.rule}_{derived_seed(*violation.identity):x}"
            kind = type(name.replace("-", "_"), (Found,), {})
            error = kind(violation, list(self.session.operations))
            last_found.append(error)
            raise error

    # Names the machine in the example database: one key for each system and shard.
    Machine.__name__ = Machine.__qualname__ = f"{system.name}_{shard}"
    Machine._hypothesis_internal_use_seed = derived_seed(
        plan.seed, system.name, shard, result.rounds
    )
    how = settings(
        max_examples=budget - tally.examples,
        stateful_step_count=plan.steps,
        deadline=None,
        database=plan.database,
        phases=(Phase.reuse, Phase.generate),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        print_blob=False,
        # Whatever profile the user has loaded.
        derandomize=False,
        backend="hypothesis",
    )
    try:
        with no_local_constants():
            run_state_machine_as_test(Machine, settings=how)
    except Found as error:
        return error
    except Flaky:
        # The example did not go the same way when Hypothesis repeated it: not deterministic.
        if not last_found:
            raise Unstable from None
        return last_found[0]
    return None
