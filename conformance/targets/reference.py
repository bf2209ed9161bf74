"""What the reference targets of all systems have in common: a driver in Python, and its guard."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from conformance import __version__
from reference.drivers.budget import StepsExceeded
from reference.operations import Operation, Result, Specs
from reference.trace import CRASH, HANG, Trace


class ReferenceTarget:
    """A driver written in Python, by default our own.

    A subclass names its ``system`` and that one's table of operations, ``specs``, and has a method
    ``do_NAME`` for each of them, which is called with the arguments of the table. ``driver`` is the
    module with the driver's classes; a changed copy of our own is how wrong drivers are tried.
    ``made``: what the first operation has made, None before; ``trace``: where a call's events go.
    """

    system: ClassVar[str]
    specs: ClassVar[Specs]
    name: str
    version: str
    traits: Mapping[str, Sequence[str | int]]
    places: Sequence[str]

    def __init_subclass__(cls) -> None:
        """Hold the methods against the table.

        Raises:
            TypeError: an operation has no method, or a method no operation.
        """
        super().__init_subclass__()
        if "specs" not in cls.__dict__:
            return
        there = {name.removeprefix("do_") for name in dir(cls) if name.startswith("do_")}
        if there != set(cls.specs):
            odd = ", ".join(sorted(there ^ set(cls.specs)))
            raise TypeError(
                f"methods of {cls.__name__} and operations of its system differ in {odd}; allowed "
                "is one do_NAME for each operation"
            )

    def __init__(self, driver: Any, name: str = "reference", version: str = "") -> None:
        self.name = name
        self.version = version or f"mmu-conformance {__version__}, reference driver"
        self.traits = {}
        self.places = ("",)
        self.driver: Any = driver
        self.trace: Trace = Trace()
        self.made: Any = None
        self._calls: dict[str, Callable[..., Result]] = {
            operation: getattr(self, f"do_{operation}") for operation in self.specs
        }

    def reset(self) -> None:
        """Forget what was made, whatever state it is in."""
        self.made = None

    def close(self) -> None:
        """Nothing is held but what was made."""
        self.made = None

    def admit(self, operation: Operation) -> None:
        """Refuse what cannot be asked of the driver.

        Raises:
            ValueError: the system has no such operation.
        """
        if operation.name not in self.specs:
            allowed = ", ".join(self.specs)
            raise ValueError(f"operation is {operation.name!r}; allowed are {allowed}")

    def perform(self, operation: Operation, trace: Trace) -> Result:
        """Carry out one operation, and tell what it has left.

        Arguments that are missing have their defaults.

        Raises:
            ValueError: the operation cannot be asked of the driver.
        """
        self.admit(operation)
        defaults = self.specs[operation.name].defaults
        self.trace = trace
        begin = len(trace)
        try:
            self.prepare(operation)
            result = self._calls[operation.name](**{**defaults, **operation.args})
            self.tell(operation, result, begin)
        except (RecursionError, StepsExceeded):
            trace.emit(HANG)
        except Exception:
            # A driver that raises has crashed, whatever it raised.
            trace.emit(CRASH)
        else:
            return result
        return Result(0, 0, False)

    def prepare(self, operation: Operation) -> None:
        """What is set before a call, such as the budget of steps that it has."""

    def tell(self, operation: Operation, result: Result, begin: int) -> None:
        """Tell what a call that began at event ``begin`` has left, where its events do not."""
