"""What a system is: all that engine, minimiser and replay need to know of one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from conformance.mutants.catalogue import Catalogue
from conformance.rules.progress import ENDING
from conformance.rules.rule import Rule, Violation
from conformance.rules.step import CallStep
from conformance.session import AnySession, Session
from conformance.table_segments import Page
from conformance.tally import Tally
from conformance.targets.kind import TargetKind
from conformance.targets.protocol import Target
from reference.calls import MISUSE, Promise, Traits
from reference.operations import Operation, OperationSpec, Result
from reference.trace import Trace
from reports.counterexample import Views
from reports.registers import Decoder
from reports.vocabulary import WALKED, HardwareRow, Vocabulary


class ViewsMaker(Protocol):
    """What has looked at a session before an operation, and will look after it."""

    def after(self, violation: Violation) -> Views:
        """What the three views said before and after the operation that broke a rule."""


@dataclass(frozen=True, kw_only=True)
class System:
    """One system: its operations, its rules, how to make a session and a machine for it.

    ``make_views`` is called before the operation that breaks a rule, with a session and the
    operations up to it. ``moved_together``: groups of names of address arguments that the
    minimiser may move as one; the first name is that of the addresses that operations are about.
    ``title``: for lists. ``valid``: whether an operation's arguments go together, for a target of
    these traits. ``made_by``: for each argument that numbers objects in the order in which they
    were made, the operations that make them, where that is not one of the argument's name.
    ``create_implied``: a first operation other than create has a default one before it, which
    counts as none. ``registers``, ``hardware``: see ``reports.vocabulary``.
    ``reference``: makes the target of our own driver, of a changed copy of it if one is given;
    ``targets``: others that can be had by name; ``load_mutants``: its seeded bugs, None for none.
    ``make_promise``: a promise, for a target of these traits; ``make_step``: what rules are
    shown of a call. ``look``: what the pages that an operation touched translate to, for a replay;
    None where there are no page tables to walk.
    """

    name: str
    title: str
    specs: Mapping[str, OperationSpec]
    rules: Sequence[Rule]
    make_views: Callable[[Any, Sequence[Operation]], ViewsMaker]
    make_machine: Callable[[dict[str, tuple[str, ...]]], type]
    moved_together: Sequence[Sequence[str]]
    valid: Callable[[Operation, Mapping[str, Sequence[str | int]]], bool]
    reference: Callable[..., Target]
    targets: Sequence[TargetKind] = ()
    load_mutants: Callable[[], Catalogue] | None = None
    make_session: (
        Callable[[Target, set[tuple[str, str]] | None, Tally | None], AnySession] | None
    ) = None
    made_by: Mapping[str, Sequence[str]] = field(default_factory=dict)
    create_implied: bool = False
    registers: Decoder | None = None
    hardware: HardwareRow = WALKED
    make_promise: Callable[[Traits], Promise[Any]] | None = None
    make_step: Callable[[Any, Result, Any, Trace, int, Sequence[str]], CallStep[Any, Any]] = (
        CallStep
    )
    look: Callable[[Any, Operation], Iterator[Page]] | None = None
    _asked: dict[tuple[str, bool, bool], Sequence[Rule]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def vocabulary(self) -> Vocabulary:
        """Its words, for tellings."""
        return Vocabulary(self.specs, self.registers, self.hardware)

    def session(
        self,
        target: Target,
        muted: set[tuple[str, str]] | None = None,
        tally: Tally | None = None,
    ) -> AnySession:
        """A session on ``target``; ``muted`` None mutes every identity."""
        if self.make_session is not None:
            return self.make_session(target, muted, tally)
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
