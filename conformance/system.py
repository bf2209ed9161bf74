"""What a system is: all that engine, minimiser and replay need to know of one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from conformance.mutants.catalogue import Catalogue
from conformance.rules.progress import ENDING
from conformance.rules.rule import NOT_BACK, OUTSIDE, Rule, Violation
from conformance.rules.step import AnyStep, CallStep
from conformance.session import Session
from conformance.states import NO_STATES, States
from conformance.table_segments import Page
from conformance.tally import Tally
from conformance.targets.kind import TargetKind
from conformance.targets.protocol import Target
from reference.calls import MISUSE, Promise, Traits
from reference.operations import Operation, Result, Specs
from reference.trace import Trace
from reports.counterexample import Views
from reports.events import NO_WORDS, EventWords
from reports.registers import Decoder
from reports.vocabulary import WALKED, HardwareRow, Vocabulary


class ViewsMaker(Protocol):
    """What has looked at a session before an operation, and will look after it."""

    def after(self, violation: Violation) -> Views:
        """What the three views said before and after the operation that broke a rule."""


@dataclass(frozen=True, kw_only=True)
class System:
    """One system: how it is tried, judged and told. What is right for it is in its promise."""

    name: str
    """As on the command line and in files."""
    title: str
    """What it is about, for lists."""
    specs: Specs
    """The table of its operations."""
    rules: Sequence[Rule]
    """Its laws, in the order in which they are asked."""
    make_promise: Callable[[Traits], Promise[Any]]
    """A promise, before any operation, for a target of these traits."""
    make_machine: Callable[[dict[str, tuple[str, ...]]], type]
    """The class of the machine that draws operations, for a target of these traits."""
    make_views: Callable[[Any, Sequence[Operation]], ViewsMaker]
    """Looks before an operation that breaks a rule, at a session and the operations up to it."""
    reference: Callable[..., Target]
    """Makes the target of our own driver, or of a changed copy of it if one is given."""
    valid: Callable[[Operation, Traits], bool]
    """Whether the arguments of an operation go together, for a target of these traits."""
    moved_together: Sequence[Sequence[str]] = ()
    """Groups of names of address arguments that the minimiser may move as one; the first name is
    that of the addresses that operations are about."""
    made_by: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """For each argument that numbers objects in the order in which they were made, the operations
    that make them, where that is not one of the argument's name."""
    create_implied: bool = False
    """A first operation other than create has a default one before it, which counts as none."""
    targets: Sequence[TargetKind] = ()
    """What else can be judged by name, beside the reference."""
    load_mutants: Callable[[], Catalogue] | None = None
    """Gives its seeded bugs; None for none."""
    registers: Decoder | None = None
    """What knows the registers of its device, for tellings."""
    hardware: HardwareRow = WALKED
    """The row of the hardware in drawings."""
    events: EventWords = NO_WORDS
    """How its own kinds of events are told."""
    make_step: Callable[[Any, Result, Any, Trace, int, Sequence[str]], AnyStep] = CallStep
    """What its rules are shown of a call."""
    states: States = NO_STATES
    """The kinds of state that its operations can meet."""
    look: Callable[[Any, Operation], Iterator[Page]] | None = None
    """What the pages that an operation touched translate to, for a replay; None where there are no
    page tables to walk."""
    _asked: dict[tuple[str, bool, bool], Sequence[Rule]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _unasked: dict[tuple[str, bool, bool], Sequence[tuple[str, str]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def vocabulary(self) -> Vocabulary:
        """Its words, for tellings."""
        return Vocabulary(self.specs, self.registers, self.hardware, self.events)

    def session(
        self,
        target: Target,
        muted: set[tuple[str, str]] | None = None,
        tally: Tally | None = None,
    ) -> Session:
        """A session on ``target``; ``muted`` None mutes every identity."""
        return Session(self, target, muted, tally)

    def asked(self, kind: str, sort: str, finished: bool) -> Sequence[Rule]:
        """The rules that are asked after a call: of one that did not come back, those about it."""
        key = (kind, sort == MISUSE, finished)
        if key not in self._asked:
            self._asked[key] = tuple(
                rule
                for rule in self.rules
                if (rule.misuse or sort != MISUSE) and kind in rule.operations
            )
            if not finished:
                self._asked[key] = tuple(rule for rule in self.rules if rule.id in ENDING)
        return self._asked[key]

    def unasked(self, kind: str, sort: str, finished: bool) -> Sequence[tuple[str, str]]:
        """(rule, why) of those that are for such a call and cannot be asked after this one."""
        key = (kind, sort == MISUSE, finished)
        if key not in self._unasked:
            asked = self.asked(kind, sort, finished)
            self._unasked[key] = tuple(
                (rule.id, OUTSIDE if finished else NOT_BACK)
                for rule in self.rules
                if kind in rule.operations and rule not in asked
            )
        return self._unasked[key]

    def rule(self, rule_id: str) -> Rule:
        """The rule called ``rule_id``.

        Raises:
            ValueError: there is none.
        """
        for rule in self.rules:
            if rule.id == rule_id:
                return rule
        allowed = ", ".join(rule.id for rule in self.rules)
        raise ValueError(f"rule is {rule_id!r}; allowed for {self.name} are {allowed}")

    def machine(self, target: Target) -> Any:
        """The machine class for a target."""
        traits = tuple((name, tuple(values)) for name, values in sorted(target.traits.items()))
        return _machine(self.make_machine, traits)

    def allows(self, target: Target, operations: Sequence[Operation]) -> bool:
        """Whether the arguments go together, and the target declares that it can take them."""
        for operation in operations:
            if not self.valid(operation, target.traits):
                return False
            for name, values in target.traits.items():
                if name in operation.args and operation.args[name] not in values:
                    return False
        return True


@lru_cache(maxsize=32)
def _machine(
    make: Callable[[dict[str, tuple[str, ...]]], type], traits: tuple[tuple[str, Any], ...]
) -> type:
    return make(dict(traits))
