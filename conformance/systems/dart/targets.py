"""The targets of system ``dart``: our own driver.

``reference`` is a driver of Apple's DARTs written in Python, which does what is right.
"""

import errno
from typing import Any

from conformance.systems.dart.operations import SPECS
from conformance.targets.reference import ReferenceTarget
from reference.operations import Operation, Result
from reference.systems.dart import driver as dart
from reference.systems.dart.device import PARTS, DartUnit
from reference.systems.dart.events import UNITS
from reference.systems.dart.promise import WINDOW_IOVA, WINDOW_PA, streams_of
from reference.words import to_signed, to_unsigned

ACCESS_BUDGET = 1 << 16
"""Accesses to entries that one call may make, besides ``TABLE_BUDGET`` for each table there is."""

TABLE_BUDGET = 1 << 13
"""A call reads each entry of a table a few times at most."""

INTERRUPTS = 8
"""How often units can raise their interrupts in an operation, at most."""


class DartTarget(ReferenceTarget):
    """A driver of DARTs written in Python, by default the reference driver.

    ``made`` is its ``Driver``.
    """

    system = "dart"
    specs = SPECS

    def __init__(self, driver: Any = dart, name: str = "reference", version: str = "") -> None:
        super().__init__(driver, name, version)
        self._hardware: list[DartUnit] = []

    def admit(self, operation: Operation) -> None:
        """Refuse what cannot be asked of the driver.

        Raises:
            ValueError: an unknown operation, one before ``create``, or a second ``create``.
        """
        super().admit(operation)
        if (self.made is None) != (operation.name == "create"):
            allowed = "allowed is create" if self.made is None else "there is only one"
            raise ValueError(f"operation is {operation.name!r}; {allowed}")

    def prepare(self, operation: Operation) -> None:
        """Give a call its budgets, and say which allocation of it fails."""
        if operation.name != "create":
            budget = ACCESS_BUDGET + TABLE_BUDGET * len(self.made.memory.pages)
            self.made.begin(self.trace, int(operation.args.get("fail_at", 0)), budget)

    def tell(self, operation: Operation, result: Result, begin: int) -> None:
        """Deliver the interrupts of units that have raised one."""
        if operation.name == "create":
            return
        for _ in range(INTERRUPTS):
            raised = [number for number, one in enumerate(self._hardware) if one.interrupt()]
            handled = [self.made.interrupt(number) for number in raised]
            if not any(handled):
                return

    # -- units --------------------------------------------------------------------------------

    def do_create(
        self, part: str, page: int, cpu_page: int, ias: int, units: int, streams: int,
        bypass: int, odd: int, window: int, mixes: str,
    ) -> Result:  # fmt: skip
        """There are units."""
        kind = PARTS[part]
        bits = page.bit_length() - 1
        self._hardware = [
            DartUnit(
                kind, 26 - bits if odd >> number & 1 else bits, streams, ias,
                bool(bypass >> number & 1),
            )
            for number in range(units)
        ]  # fmt: skip
        self.made = self.driver.Driver(
            kind, self._hardware, kind.format(bits, ias).geometry(ias), cpu_page.bit_length() - 1,
            (WINDOW_IOVA, WINDOW_PA, window * page), mixes == "and", self.trace,
        )  # fmt: skip
        self.trace.emit(UNITS, list(PARTS).index(part))
        return Result()

    def do_probe(self, unit: int, fail_at: int) -> Result:
        """A unit is found; which allocation fails was said before."""
        return Result(self.made.probe(unit))

    def do_remove(self, unit: int) -> Result:
        """A unit goes."""
        return Result(self.made.remove(unit))

    def do_lock(self, unit: int, on: int) -> Result:
        """A boot loader has locked a unit, or not: one that works cannot be locked any more."""
        if unit >= len(self._hardware):
            return Result(-errno.ENODEV)
        if self.made.units[unit].probed and self._hardware[unit].powered:
            return Result(-errno.EBUSY)
        self._hardware[unit].locked = bool(on)
        return Result()

    def do_suspend(self) -> Result:
        """Power goes."""
        return Result(self.made.suspend())

    def do_resume(self) -> Result:
        """Power comes back."""
        return Result(self.made.resume())

    def do_shutdown(self) -> Result:
        """The machine goes down."""
        return Result(self.made.shutdown())

    # -- devices and domains ------------------------------------------------------------------

    def do_device(self, **args: int) -> Result:
        """A device is found."""
        return Result(*self.made.add_device(*streams_of(Operation("device", args))))

    def do_release(self, device: int) -> Result:
        """A device goes."""
        return Result(self.made.release_device(device))

    def do_domain(self, kind: int, fail_at: int) -> Result:
        """Make a domain."""
        return Result(*self.made.make_domain(kind))

    def do_free(self, domain: int) -> Result:
        """Give a domain back."""
        return Result(self.made.free_domain(domain))

    def do_attach(self, device: int, domain: int, fail_at: int) -> Result:
        """Attach a group."""
        return Result(self.made.attach(device, domain))

    def do_detach(self, device: int) -> Result:
        """Detach a group."""
        return Result(self.made.detach(device))

    # -- mappings -----------------------------------------------------------------------------

    def do_map(self, domain: int, iova: int, size: int, pa: int, prot: int, fail_at: int) -> Result:
        """Map pages."""
        return Result(self.made.map(domain, iova, pa, size, prot))

    def do_unmap(self, domain: int, iova: int, size: int, queued: int) -> Result:
        """Unmap pages."""
        return Result(0, self.made.unmap(domain, iova, size, bool(queued)))

    def do_flush(self, domain: int) -> Result:
        """Flush what was queued."""
        return Result(self.made.flush_domain(domain))

    def do_translate(self, domain: int, iova: int) -> Result:
        """Ask where an address leads."""
        return Result(0, to_signed(self.made.translate(domain, iova)))

    # -- what units do of their own -----------------------------------------------------------

    def do_fault(self, unit: int, stream: int, code: int, address: int, after: int) -> Result:
        """A stream has an error, or will have."""
        if unit >= len(self._hardware) or not self._works(unit):
            return Result(-errno.ENODEV)
        if stream >= self._hardware[unit].streams:
            return Result(-errno.EINVAL)
        bus = self.made.bus
        bus.raises.append(self.driver.Raise(unit, stream, code, to_unsigned(address), after))
        if after == 0:
            bus.raise_errors()
        return Result()

    def _works(self, unit: int) -> bool:
        return self.made.units[unit].probed and self._hardware[unit].powered

    def do_stick(self, unit: int, polls: int, after: int) -> Result:
        """A command that sticks, after others."""
        if unit >= len(self._hardware):
            return Result(-errno.ENODEV)
        self._hardware[unit].stick(polls, after)
        return Result()
