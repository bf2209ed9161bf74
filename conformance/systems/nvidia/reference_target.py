"""The target ``reference`` of system ``nvidia``: our own driver of NVIDIA's tables, done right."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from conformance import __version__
from reference.operations import Operation, Result
from reference.systems.nvidia import driver as nvidia
from reference.trace import (
    AREA_MAPPED,
    AREA_NO_PAGE,
    AREA_PART,
    BACKING_SHIFT,
    CRASH,
    HANG,
    PT_REFS,
    PT_STATE,
    REFS,
    REFS_BUFFER,
    STATE_SMALL,
    STATE_SPARSE,
    TABLE_SPARSE,
    VMA_ADD,
    VMA_REMOVE,
    Trace,
)
from reference.words import to_signed, to_unsigned

CHIPS = ("gf100", "gk104", "gm200", "gp100")
"""The generations, each with its place as its number."""

ACCESS_BUDGET = 1 << 25
"""Accesses to entries that one call may make: more than any needs."""

COUNT_BITS = 6
"""Bits of a state that count small pages; what does not fit stands above the byte."""

_KINDS: Mapping[str, int | None] = {"kind": 0, "ro": 0, "priv": 0, "vol": 0}
_PAGES: Mapping[str, int | None] = {"shift": None, "addr": None, "size": None}
_FAIL: Mapping[str, int | None] = {"fail_at": 0}

OPERATIONS: Mapping[str, Mapping[str, int | None]] = {
    "create": {
        "chip": CHIPS.index("gp100"),
        "big": 16,
        "managed": 0,
        "start": 0,
        "size": 0,
        "raw": 0,
        "replay": 0,
        **_FAIL,
    },
    "memory": {"target": None, "size": None, "page": 12, "scattered": 0},
    "drop": {"memory": None},
    "get": {
        "getref": 0,
        "mapref": 1,
        "sparse": 0,
        "shift": 0,
        "align": 0,
        "size": None,
        **_FAIL,
    },
    "put": {"vma": None},
    "map": {"vma": None, "memory": None, "offset": 0, **_KINDS, **_FAIL},
    "map_part": {
        "vma": None,
        "first": None,
        "size": None,
        "memory": None,
        "offset": 0,
        **_KINDS,
        **_FAIL,
    },
    "unmap": {"vma": None, "first": 0},
    "pfn_map": {**_PAGES, "pattern": None, **_FAIL},
    "pfn_unmap": {"addr": None, "size": None},
    "raw_get": {**_PAGES, **_FAIL},
    "raw_put": {**_PAGES},
    "raw_map": {**_PAGES, "memory": None, "offset": 0, **_KINDS, **_FAIL},
    "raw_unmap": {**_PAGES, "sparse": 0},
    "raw_sparse": {"addr": None, "size": None, "ref": None, **_FAIL},
    "join": {},
    "part": {},
    "boot": {**_FAIL},
    "replay": {},
    "stick": {"polls": None},
    "destroy": {},
}
"""Each operation's arguments, with the values that they have if they are left out."""

ALWAYS = ("memory", "drop", "stick")
"""Operations that need no address space."""


class _Told:
    """What was told last of a table of the driver."""

    def __init__(self) -> None:
        self.counts: tuple[int, int, bool] | None = None
        self.states: dict[int, int] = {}
        self.below: dict[int, _Told] = {}


class NvidiaTarget:
    """A driver of NVIDIA's page tables written in Python, by default the reference driver.

    ``driver`` is a module with the class ``Device`` of ``reference.systems.nvidia.driver``; a
    changed copy of it is how wrong drivers are tried.

    Operations, values and events are those of ``linux:nvkm``. States of entries with more than
    63 references to small pages have the rest of the number from bit 8 on. ``chips``: which to be
    judged on.
    """

    system = "nvidia"

    def __init__(
        self,
        driver: Any = nvidia,
        name: str = "reference",
        version: str = "",
        chips: Sequence[str] = CHIPS,
    ) -> None:
        self.name: str = name
        self.version: str = version or f"mmu-conformance {__version__}, reference driver"
        self.traits: Mapping[str, Sequence[str | int]] = {"chip": tuple(chips)}
        self.places: Sequence[str] = ("",)
        self._driver = driver
        self._device: Any = None
        self._vmas: list[tuple[int, int, int]] = []
        self._root: _Told | None = None
        self._levels: list[int] = []
        self._references: dict[int, int] = {}
        self.reset()

    def reset(self) -> None:
        """Go back to the state before any operation, whatever the driver's state is."""
        self._device = self._driver.Device(Trace())
        self._vmas = []
        self._root = None
        self._references = {}

    def close(self) -> None:
        """Nothing is held."""
        self.reset()

    def perform(self, operation: Operation, trace: Trace) -> Result:
        """Carry out one operation of system ``nvidia``, and tell what has changed.

        Raises:
            ValueError: an unknown operation, a missing argument, an operation on an address
                space that does not exist, or a second ``create``.
        """
        name = operation.name
        args = _arguments(operation)
        exists = self._device.space is not None
        if exists == (name == "create") and name not in ALWAYS:
            allowed = "what is allowed is destroy" if exists else "allowed is create"
            raise ValueError(
                f"operation is {name!r} {'with' if exists else 'without'} an address space; "
                f"{allowed}"
            )
        fail_at = args.pop() if "fail_at" in OPERATIONS[name] else 0
        self._device.begin(trace, fail_at, ACCESS_BUDGET)
        try:
            result = self._call(name, args)
        except Exception as error:
            # A driver that raises has crashed, whatever it raised.
            trace.emit(HANG if _is_endless(error) else CRASH)
            return Result(0, 0, False)
        self._tell(trace)
        return result

    def _call(self, name: str, args: list[int]) -> Result:
        device = self._device
        if name == "memory":
            return Result(*device.make_memory(*args))
        if name == "stick":
            device.stick(to_signed(args[0]))
            return Result()
        returned = getattr(device, name)(*args)
        if returned is None:
            return Result()
        return Result(*returned) if isinstance(returned, tuple) else Result(returned)

    # -- what has changed -----------------------------------------------------------------------

    def _tell(self, trace: Trace) -> None:
        self._tell_vmas(trace)
        space = self._device.space
        if space is not None:
            root = space.tables.root
            if self._root is None:
                self._root = _Told()
                self._levels = _shifts(space.format)
            self._compare(root, self._root, trace)
        elif self._root is not None:
            self._end(len(self._levels) - 1, 0, self._root, trace)
            self._root = None
        for memory in self._device.memories:
            if self._references.get(memory.number, 0) != memory.references:
                self._references[memory.number] = memory.references
                if memory.references:
                    trace.emit(REFS, REFS_BUFFER, memory.number, memory.references)

    def _tell_vmas(self, trace: Trace) -> None:
        space = self._device.space
        now = [] if space is None else [_vma(vma) for vma in space.vmas if vma.used]
        known = set(self._vmas)
        for vma in self._vmas:
            if vma not in now:
                trace.emit(VMA_REMOVE, *vma)
        for vma in now:
            if vma not in known:
                trace.emit(VMA_ADD, *vma)
        self._vmas = now

    def _compare(self, node: Any, told: _Told, trace: Trace) -> None:
        """Tell how a table and those below it differ from what was told of them."""
        level = node.level
        counts = (node.refs[0], node.refs[1], node.sparse)
        if counts != told.counts:
            told.counts = counts
            table = node.first | level | (TABLE_SPARSE if node.sparse else 0)
            trace.emit(PT_REFS, table, counts[0], counts[1])
        states = _states(node)
        shift = self._levels[level]
        for first, last, state in _runs(told.states, states):
            start = node.first + (first << shift)
            trace.emit(PT_STATE, start | level, node.first + ((last + 1) << shift) - 1, state)
        told.states = states
        for index in sorted(told.below):
            if index not in node.children:
                self._end(level - 1, node.first + (index << shift), told.below.pop(index), trace)
        for index in sorted(node.children):
            self._compare(node.children[index], told.below.setdefault(index, _Told()), trace)

    def _end(self, level: int, first: int, told: _Told, trace: Trace) -> None:
        """A table has gone, with all below it."""
        for index in sorted(told.below):
            below = first + (index << self._levels[level])
            self._end(level - 1, below, told.below[index], trace)
        trace.emit(PT_REFS, first | level, 0, 0)


def _vma(vma: Any) -> tuple[int, int, int]:
    """The words of a vma event."""
    page = AREA_NO_PAGE if vma.refd == nvidia.NO_PAGE else vma.refd
    backing = vma.number << BACKING_SHIFT | page
    backing |= (AREA_MAPPED if vma.mapped else 0) | (AREA_PART if vma.part else 0)
    return vma.address, vma.end - 1, to_signed(backing)


def _shifts(fmt: Any) -> list[int]:
    """By level from the leaves up: log2 of the bytes that an entry covers."""
    return [int(fmt.tables[number].shift) for number in range(fmt.large, -1, -1)]


def _states(node: Any) -> dict[int, int]:
    """The states of a table's entries, those that are 0 left out."""
    states = dict.fromkeys(node.marked, STATE_SPARSE)
    small_decides = STATE_SMALL if node.pa[0] >= 0 else 0
    for index, count in node.small.items():
        low = count & ((1 << COUNT_BITS) - 1)
        state = low | (count >> COUNT_BITS) << 8 | small_decides
        states[index] = states.get(index, 0) | state
    return states


def _runs(old: dict[int, int], new: dict[int, int]) -> Iterable[tuple[int, int, int]]:
    """(first, last, state) of entries beside each other that have changed to the same state."""
    changed = sorted(at for at in old.keys() | new.keys() if old.get(at, 0) != new.get(at, 0))
    at = 0
    while at < len(changed):
        first = last = changed[at]
        state = new.get(first, 0)
        at += 1
        while at < len(changed) and changed[at] == last + 1 and new.get(last + 1, 0) == state:
            last += 1
            at += 1
        yield first, last, state


def gf100() -> NvidiaTarget:
    """The target, for GF100 alone: ``python:conformance.systems.nvidia.reference_target:gf100``."""
    return NvidiaTarget(chips=("gf100",))


def gk104() -> NvidiaTarget:
    """The target, for GK104 alone."""
    return NvidiaTarget(chips=("gk104",))


def gm200() -> NvidiaTarget:
    """The target, for GM200 alone."""
    return NvidiaTarget(chips=("gm200",))


def gp100() -> NvidiaTarget:
    """The target, for GP100 alone."""
    return NvidiaTarget(chips=("gp100",))


def _is_endless(error: Exception) -> bool:
    """Whether a driver did more than any call needs."""
    return isinstance(error, RecursionError) or type(error).__name__ == "StepsExceeded"


def _arguments(operation: Operation) -> list[int]:
    """The arguments in the order of ``OPERATIONS``, unsigned."""
    if operation.name not in OPERATIONS:
        raise ValueError(f"operation is {operation.name!r}; allowed are {', '.join(OPERATIONS)}")
    values: list[int] = []
    for name, default in OPERATIONS[operation.name].items():
        value = operation.args.get(name, default)
        if name == "chip" and isinstance(value, str):
            if value not in CHIPS:
                raise ValueError(f"chip is {value!r}; allowed are {', '.join(CHIPS)}")
            value = CHIPS.index(value)
        if not isinstance(value, int):
            raise ValueError(f"operation {operation.name} has no argument {name!r}")
        values.append(to_unsigned(to_signed(value)))
    return values
