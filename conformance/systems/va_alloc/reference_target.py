"""The target ``reference`` of system ``va-alloc``: our own allocator, which does what is right."""

from collections.abc import Mapping, Sequence
from typing import Any

from conformance import __version__
from reference.operations import Operation, Result
from reference.systems.va_alloc import driver as va_alloc
from reference.systems.va_alloc.promise import HOLE, LISTED
from reference.trace import CRASH, HANG, RANGE, Trace
from reference.words import to_signed, to_unsigned

STEP_BUDGET = 1 << 14
"""Looks at a hole that one call may take, besides ``HOLE_BUDGET`` for each node that exists."""

HOLE_BUDGET = 256
"""A call looks at each hole once, after a search of some 20 looks. Destroying frees each node."""


class VaAllocTarget:
    """An allocator written in Python, by default the reference driver.

    ``driver`` is a module with the classes of ``reference.systems.va_alloc.driver``; a changed copy
    of it is how wrong drivers are tried.
    """

    def __init__(self, driver: Any = va_alloc, name: str = "reference", version: str = "") -> None:
        self.name: str = name
        self.version: str = version or f"mmu-conformance {__version__}, reference driver"
        self.traits: Mapping[str, Sequence[str | int]] = {}
        self.places: Sequence[str] = ("",)
        self._driver = driver
        self._modes: dict[Any, int] = {"best": driver.BEST, "low": driver.LOW, "high": driver.HIGH}
        self._allocator: Any = None

    def reset(self) -> None:
        """Forget the allocator, whatever state it is in."""
        self._allocator = None

    def close(self) -> None:
        """Nothing is held."""
        self._allocator = None

    def perform(self, operation: Operation, trace: Trace) -> Result:
        """Carry out one operation of system ``va-alloc``, and tell what it has left."""
        name = operation.name
        args: dict[str, Any] = {
            key: value if isinstance(value, str) else to_unsigned(value)
            for key, value in operation.args.items()
        }
        try:
            if name == "create":
                self._allocator = self._driver.VaAllocator(args["start"], args["size"])
            allocator = self._allocator
            allocator.holes.budget = STEP_BUDGET + HOLE_BUDGET * len(allocator.nodes)
            about = self._about(name, args)
            result = self._call(name, args)
            if name == "alloc" and result.result == 0:
                address = to_unsigned(result.value)
                about = (address, address + args["size"] - 1)
            if name != "find":
                self._tell(*about, trace)
        except (RecursionError, self._driver.StepsExceeded):
            trace.emit(HANG)
        except Exception:
            # A driver that raises has crashed, whatever it raised.
            trace.emit(CRASH)
        else:
            return result
        return Result(0, 0, False)

    def _call(self, name: str, args: dict[str, Any]) -> Result:
        allocator = self._allocator
        if name == "alloc":
            result, address = allocator.alloc(
                args["size"], args["align"], self._modes[args["mode"]], args["first"], args["last"]
            )
            return Result(result, to_signed(address))
        if name == "reserve":
            return Result(allocator.reserve(args["va"], args["size"]))
        if name == "free":
            return Result(allocator.free(args["node"]))
        if name == "find":
            first, last = max(args["first"], allocator.first), min(args["last"], allocator.end - 1)
            node = allocator.find(first, last) if first <= last else None
            return Result(0, -1 if node is None else to_signed(node.first))
        if name == "destroy":
            allocator.destroy()
        elif name != "create":
            raise ValueError(
                f"operation is {name!r}; allowed are create, alloc, reserve, free, find and destroy"
            )
        return Result()

    # -- what is left -------------------------------------------------------------------------

    def _about(self, name: str, args: dict[str, Any]) -> tuple[int, int]:
        """The addresses that an operation is about, as far as that is known before it."""
        allocator = self._allocator
        if name == "alloc":
            return args["first"], args["last"]
        if name == "reserve":
            return args["va"], args["va"] + max(args["size"], 1) - 1
        if name == "free":
            node = allocator.nodes.get(args["node"])
            return (allocator.first,) * 2 if node is None else (node.first, node.end - 1)
        return allocator.first, allocator.end - 1

    def _tell(self, first: int, last: int, trace: Trace) -> None:
        """Nodes and holes in and around ``first``..``last``: see ``VaSpace.around``."""
        allocator = self._allocator
        low = min(max(first, allocator.first), allocator.end - 1)
        high = min(max(last, low), allocator.end - 1)
        start, stop = allocator.first, allocator.end
        listed: list[tuple[int, int, int]] = []
        # 1. Nodes: the one below the range, those in it, the one above it.
        at = allocator.starts.at_or_before(low)
        if at >= 0 and allocator.starting[at].end > low:
            at = allocator.starts.at_or_before(at - 1)
        if at >= 0:
            start = at
            listed.append((at, allocator.starting[at].end, allocator.starting[at].number))
        for number in range(LISTED):
            at = allocator.starts.at_or_after(at + 1 if listed else start)
            if at < 0:
                break
            listed.append((at, allocator.starting[at].end, allocator.starting[at].number))
            if at > high or number == LISTED - 1:
                stop = allocator.starting[at].end
                break
        # 2. Holes between them, and up to the window's ends where there is no such node.
        hole = allocator.holes.upwards(start, 0)
        while hole is not None and hole.first < stop:
            listed.append((hole.first, hole.end, HOLE))
            hole = allocator.holes.upwards(hole.end, 0)
        for first, end, number in sorted(listed):
            trace.emit(RANGE, to_signed(first), to_signed(end - 1), number)
