"""What the machines of all systems have in common: they do operations, and judge nothing."""

from collections.abc import Mapping

from hypothesis.stateful import RuleBasedStateMachine

from conformance.session import Outcome, Session
from reference.operations import Operation
from reference.words import to_signed


class Machine(RuleBasedStateMachine):
    """Generates operations for one session. The engine makes subclasses that give ``start``.

    ``session``: the example. ``changed``: whether an operation of this step changed anything.
    """

    def __init__(self) -> None:
        super().__init__()
        self.session: Session = self.start()
        self.changed = False

    def start(self) -> Session:
        """A fresh session; given by the engine's subclass."""
        raise TypeError("start is missing; make subclasses with conformance.engine")

    def fail(self, violation: object) -> None:
        """Raise for a new violation; given by the engine's subclass."""

    def do(self, name: str, **args: int | str) -> Outcome | None:
        """Do one operation; addresses and sizes are unsigned. None: the example has ended.

        Arguments that are missing have their defaults.
        """
        if self.session.ended:
            return None
        defaults = self.session.system.specs[name].defaults
        outcome = self.session.run(Operation(name, {**defaults, **held(args)}))
        self.changed = self.changed or outcome.changed
        if outcome.fresh:
            self.fail(outcome.fresh[0])
        return outcome

    def teardown(self) -> None:
        """End the example: whatever exists is destroyed, and nothing may be left."""
        outcome = self.session.finish()
        if outcome is not None and outcome.fresh:
            self.fail(outcome.fresh[0])


def held(args: Mapping[str, int | str]) -> dict[str, int | str]:
    """Arguments as operations hold them: words as two's complement."""
    return {
        name: value if isinstance(value, str) else to_signed(value) for name, value in args.items()
    }
