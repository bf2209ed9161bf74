"""The target ``reference`` of system ``mali``: our own driver of a Mali MMU, which does right."""

import errno
from collections.abc import Mapping, Sequence
from typing import Any

from conformance import __version__
from reference.operations import Operation, Result
from reference.systems.mali import driver as mali
from reference.trace import (
    CRASH,
    HANG,
    REFS,
    REFS_BUFFER,
    REFS_PINS,
    REFS_VM,
    REFS_VM_BO,
    SLOT,
    VM,
    Trace,
)
from reference.words import to_signed

NONE = -1
"""No buffer, no fence, no VM to which a buffer belongs, or any address."""

ACCESS_BUDGET = 1 << 18
"""Accesses to entries that one call may make, besides ``PAGE_BUDGET`` for each table page."""

PAGE_BUDGET = 4096
"""A call reads each entry of a table a few times at most."""

LOOK_BUDGET = 1 << 14
"""Looks at a VMA that one call may take, besides those for each VMA that exists."""

INTERRUPTS = 32
"""How often an operation can raise the interrupt, at most."""

SLOTS = 16
"""The interrupt has bits for so many address spaces."""

_BIND: Mapping[str, int | None] = {
    "vm": None,
    "kind": None,
    "va": None,
    "size": None,
    "bo": NONE,
    "offset": 0,
    "flags": 0,
}

OPERATIONS: Mapping[str, Mapping[str, int | None]] = {
    "create": {"va_bits": 48, "pa_bits": 40, "slots": 4, "coherent": 1},
    "vm": {"user_va": 0},
    "destroy_vm": {"vm": None},
    "bo": {"size": None, "vm": NONE, "pieces": 0, "imported": 0},
    "close": {"bo": None},
    "bind": {**_BIND, "fail_at": 0},
    "queue": {**_BIND, "fence": NONE},
    "fence": {},
    "signal": {"fence": None},
    "run": {"steps": 0},
    "active": {"vm": None},
    "idle": {"vm": None},
    "alloc": {"vm": None, "size": None, "va": NONE, "bo": NONE, "offset": 0},
    "free": {"node": None},
    "fault": {"slot": None, "address": None, "code": None},
    "stick": {"slot": None, "polls": None, "after": 0},
    "pre_reset": {},
    "post_reset": {},
    "suspend": {},
    "resume": {},
    "unplug": {},
    "close_file": {},
}
"""Each operation's arguments, with the values that they have if they are left out."""


class MaliTarget:
    """A driver of a Mali MMU written in Python, by default the reference driver.

    ``driver`` is a module with the class ``Device`` of ``reference.systems.mali.driver``; a changed
    copy of it is how wrong drivers are tried.
    """

    system = "mali"

    def __init__(self, driver: Any = mali, name: str = "reference", version: str = "") -> None:
        self.name: str = name
        self.version: str = version or f"mmu-conformance {__version__}, reference driver"
        self.traits: Mapping[str, Sequence[str | int]] = {}
        self.places: Sequence[str] = ("",)
        self._driver = driver
        self._device: Any = None
        self._told: dict[tuple[int, int, int], int] = {}
        self._slots: dict[int, tuple[int, int]] = {}

    def reset(self) -> None:
        """Forget the device, whatever state it is in."""
        self._device = None
        self._told.clear()
        self._slots.clear()

    def close(self) -> None:
        """Nothing is held."""
        self.reset()

    def perform(self, operation: Operation, trace: Trace) -> Result:
        """Carry out one operation of system ``mali``, and tell what it has left.

        Raises:
            ValueError: an unknown operation, a missing argument, an operation before
                ``create``, or a second ``create``.
        """
        args = _arguments(operation)
        if (self._device is None) != (operation.name == "create"):
            allowed = "allowed is create" if self._device is None else "there is only one"
            raise ValueError(f"operation is {operation.name!r}; {allowed}")
        try:
            result = self._perform(operation.name, args, trace)
        except Exception as error:
            # A driver that raises has crashed, whatever it raised.
            trace.emit(HANG if _is_endless(error) else CRASH)
        else:
            return result
        return Result(0, 0, False)

    def _perform(self, name: str, args: list[int], trace: Trace) -> Result:
        if name == "create":
            return self._create(trace, *args)
        fail_at = args.pop() if name == "bind" else 0
        self._begin(trace, fail_at)
        result = self._call(name, args, trace)
        self._deliver()
        self._tell(trace)
        return result

    def _create(
        self, trace: Trace, va_bits: int, pa_bits: int, slots: int, coherent: int
    ) -> Result:
        if not 1 <= slots <= SLOTS:
            return Result(-errno.EINVAL)
        self._device = self._driver.Device(va_bits, pa_bits, slots, bool(coherent), trace)
        return Result()

    def _begin(self, trace: Trace, fail_at: int) -> None:
        accesses = ACCESS_BUDGET + PAGE_BUDGET * len(self._device.pool.pages)
        self._device.begin(trace, fail_at, accesses, LOOK_BUDGET)

    def _call(self, name: str, args: list[int], trace: Trace) -> Result:
        device = self._device
        if name in ("vm", "bo", "queue", "fence", "alloc"):
            method = {"vm": "make_vm", "bo": "make_buffer", "fence": "make_fence"}.get(name, name)
            return Result(*getattr(device, method)(*args))
        if name == "run":
            self._run(*args)
        elif name == "close_file":
            device.close_file()
        elif name in ("fault", "stick"):
            return Result(self._disturb(name, *args))
        else:
            methods = {"close": "close_buffer", "signal": "signal_fence", "active": "activate"}
            return Result(getattr(device, methods.get(name, name))(*args))
        return Result()

    def _run(self, steps: int) -> None:
        """So many items of deferred work, or all of them; each has its own budget."""
        device = self._device
        done = 0
        while (steps == 0 or done < steps) and device.step():
            done += 1
            device.bus.budget = self._driver.BUS_BUDGET
            device.pool.budget = ACCESS_BUDGET + PAGE_BUDGET * len(device.pool.pages)

    # -- what the device does of its own ------------------------------------------------------

    def _disturb(self, name: str, slot: int, first: int, second: int) -> int:
        """A fault at an address, with a status; or a command that sticks, after others."""
        mmu = self._device.bus.mmu
        exists = 0 <= slot < len(mmu.spaces)
        if name == "fault":
            if not exists or not mmu.powered:
                return -errno.EINVAL
            mmu.fault(slot, second & 0xFFFF_FFFF, first & 0xFFFF_FFFF_FFFF_FFFF)
            return 0
        if not 0 <= slot < SLOTS or first < -1:
            return -errno.EINVAL
        if exists:
            mmu.stick(slot, first, second & 0xFFFF_FFFF_FFFF_FFFF)
        return 0

    def _deliver(self) -> None:
        """The interrupt's line stays up as long as a fault is neither cleared nor masked."""
        mmu = self._device.bus.mmu
        for _ in range(INTERRUPTS):
            if not mmu.interrupt() or not self._device.interrupt():
                return

    # -- what is left -------------------------------------------------------------------------

    def _tell(self, trace: Trace) -> None:
        """Counts and slots of what the operation touched, as far as they changed or it named them.

        What it named is told in any case.
        """
        device = self._device
        touched = device.touched
        links: dict[int, list[int]] = {}
        for vm, buffer in touched.links:
            links.setdefault(vm, []).append(buffer)
        for vm in touched.named_vms:
            links.setdefault(vm, []).extend(touched.named_buffers)
        for number in sorted(touched.vms.keys() | touched.named_vms):
            self._tell_vm(number, sorted(set(links.get(number, ()))), trace)
        for number in sorted(touched.buffers | touched.named_buffers):
            buffer = device.buffers.get(number)
            named = number in touched.named_buffers
            count, pins = (0, 0) if buffer is None else (buffer.count, buffer.pins)
            self._tell_count(REFS_BUFFER, number, count, named, trace)
            self._tell_count(REFS_PINS, number, pins, named, trace)

    def _tell_vm(self, number: int, buffers: list[int], trace: Trace) -> None:
        device = self._device
        vm = device.touched.vms.get(number)
        if vm is None:
            return
        named = number in device.touched.named_vms
        self._tell_count(REFS_VM, number, vm.count, named, trace)
        for buffer in buffers:
            link = vm.links.get(buffer)
            count = 0 if link is None else link.count
            wanted = named and buffer in device.touched.named_buffers
            if wanted or self._told.get((REFS_VM_BO, buffer, number), 0) != count:
                if device.told != number:
                    device.told = number
                    trace.emit(VM, number)
                self._tell_count(REFS_VM_BO, buffer, count, wanted, trace, number)
        place = (vm.slot, vm.active)
        if self._slots.get(number, (NONE, 0)) != place:
            self._slots[number] = place
            trace.emit(SLOT, number, *place)

    def _tell_count(
        self, what: int, number: int, count: int, named: bool, trace: Trace, vm: int = 0
    ) -> None:
        key = (what, number, vm)
        if named or self._told.get(key, 0) != count:
            self._told[key] = count
            trace.emit(REFS, what, number, count)


def _is_endless(error: Exception) -> bool:
    """Whether a driver, or a module that it is made of, did more than any call needs."""
    return isinstance(error, RecursionError) or type(error).__name__ == "StepsExceeded"


def _arguments(operation: Operation) -> list[int]:
    """The arguments in the order of ``OPERATIONS``, words held."""
    if operation.name not in OPERATIONS:
        raise ValueError(f"operation is {operation.name!r}; allowed are {', '.join(OPERATIONS)}")
    values: list[int] = []
    for name, default in OPERATIONS[operation.name].items():
        value = operation.args.get(name, default)
        if not isinstance(value, int):
            raise ValueError(f"operation {operation.name} has no number {name!r}")
        values.append(to_signed(value))
    return values
