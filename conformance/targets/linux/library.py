"""A built library, loaded: guarded calls, and the events that they leave behind.

The library has one state (a kernel has one memory), so in one process one
target at a time uses it: whoever called :meth:`Library.reset` last.
"""

import ctypes
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from conformance.targets.linux import probes
from conformance.targets.linux.elf import ElfFile
from conformance.targets.linux.errors import HarnessError, MissingFunctionError
from conformance.targets.linux.operations_header import ARGUMENTS, first_difference
from reference.operations import Specs
from reference.trace import WORDS, Trace

_LAYOUT = struct.Struct("<7Q")
_RESULT = struct.Struct("<qqQQQ")
_SUFFIX = re.compile(r"\.(constprop|isra|part|cold|llvm|localalias)\b.*$")

Outcome = tuple[int, int, bool]
"""What a guarded call gave back: result, value (held), finished."""

_loaded: dict[Path, "Library"] = {}


def load(path: Path) -> "Library":
    """The library at ``path``, loaded once in each process.

    Raises:
        HarnessError: it cannot be loaded.
    """
    if path not in _loaded:
        _loaded[path] = Library(path)
    return _loaded[path]


class Library:
    """One loaded library. Use :func:`load`.

    ``places``: function names by place number; 0 is "", the others are in
    alphabetical order. ``owner``: the target whose calls the state belongs to.
    """

    def __init__(self, path: Path) -> None:
        try:
            # The calls are short and touch nothing of Python: they keep the interpreter's lock.
            self._library = ctypes.PyDLL(str(path))
        except OSError as error:
            raise HarnessError(f"{path} cannot be loaded: {error}") from None
        self._operations = self._table(path)
        layout = ctypes.create_string_buffer(_LAYOUT.size)
        if self._library.mmu_open(layout):
            raise HarnessError(
                f"{path} cannot be set up: it needs 9 GB of address space (of which a few MB "
                "become memory), a timer, and a free real-time signal"
            )
        _, events, capacity, arena, arena_pa, arena_size, poison = _LAYOUT.unpack(layout)
        self.arena_pa: int = arena_pa
        """The first physical address of table pages."""
        self.arena_size: int = arena_size
        """Bytes of table pages."""
        self.poison: int = poison
        """The word in pages that nobody owns, unsigned."""
        self._events = _words_at(events, capacity * WORDS)
        self._arena = _words_at(arena, arena_size // 8)
        self.places: tuple[str, ...] = self._make_places(path)
        self.owner: object = None

    def _table(self, path: Path) -> str:
        """The text of the table of operations that it was built with."""
        try:
            text = ctypes.c_char.in_dll(self._library, "mmu_operations")
        except ValueError:
            raise HarnessError(f"{path} does not say which operations it has") from None
        return _text_at(ctypes.addressof(text))

    def check_operations(self, specs: Specs, name: str) -> None:
        """Make sure that it was built with the table ``specs``, for the unit ``name``.

        Raises:
            HarnessError: it has other operations, or their arguments in another order, so that
                calls would mean something else to it.
        """
        difference = first_difference(self._operations, specs)
        if difference:
            raise HarnessError(
                f"the library of {name} was built from another table of operations: {difference}; "
                "build it again"
            )

    def _make_places(self, path: Path) -> tuple[str, ...]:
        """Name the functions, and tell the library which bytes belong to which."""
        functions = [
            (_SUFFIX.sub("", symbol.name), symbol.value, symbol.size)
            for symbol in ElfFile(path).symbols
            if symbol.is_function and symbol.defined and symbol.size
        ]
        names = ("", *sorted({name for name, _, _ in functions}))
        number = {name: index for index, name in enumerate(names)}
        end = max(start + size for _, start, size in functions)
        # The library keeps the address: the table lives as long as this object.
        self._place_table = np.zeros(end, dtype=np.uint32)
        for name, start, size in functions:
            self._place_table[start : start + size] = number[name]
        self._library.mmu_places(
            ctypes.c_void_p(self._place_table.ctypes.data), ctypes.c_uint64(end)
        )
        return names

    def reset(self, owner: object) -> None:
        """Go back to the state before any call; from now on the state is ``owner``'s."""
        self._library.mmu_reset()
        self.owner = owner

    def check_owner(self, target: object, name: str) -> None:
        """Make sure that the state is ``target``'s, which is called ``name``.

        Raises:
            HarnessError: another target has taken the library over since its last ``reset``.
        """
        if self.owner is not target:
            raise HarnessError(
                f"{name} is used after another target of the same library; call reset() first"
            )

    def close(self) -> None:
        """Give back signal handlers and timer; :meth:`reset` takes them again."""
        self._library.mmu_close()
        self.owner = None

    def call(self, name: str) -> Callable[[Trace, int, tuple[int | str, ...]], Outcome]:
        """The guarded call ``name`` of the library as a function.

        It takes a trace to append events to, the operation's number, and at most
        ``ARGUMENTS`` arguments, held words. It comes back whatever the driver does.

        Raises (the function):
            struct.error: an argument is no held word.
            MissingFunctionError: the driver called something that the harness does not have.
        """
        packers = [struct.Struct(f"<{count + 1}q") for count in range(ARGUMENTS + 1)]
        call_buffer = bytearray(8 * (ARGUMENTS + 1))
        result_buffer = bytearray(_RESULT.size)
        call_pointer = ctypes.c_void_p(_address(call_buffer))
        result_pointer = ctypes.c_void_p(_address(result_buffer))
        function = getattr(self._library, name)
        function.restype = None
        unpack = _RESULT.unpack_from
        events = self._events

        def guarded(trace: Trace, operation: int, arguments: tuple[int | str, ...]) -> Outcome:
            packers[len(arguments)].pack_into(call_buffer, 0, operation, *arguments)
            function(call_pointer, result_pointer)
            result, value, finished, count, missing = unpack(result_buffer)
            if count:
                trace.words.extend(events[: count * WORDS].tolist())
            if missing:
                named = _text_at(missing)
                raise MissingFunctionError(named, probes.asked_about(named))
            return result, value, finished != 0

        return guarded

    def word(self, pa: int) -> int:
        """The word at ``pa``, a multiple of 8 in the arena, as it is now; held (signed)."""
        index, rest = divmod(pa - self.arena_pa, 8)
        if rest or not 0 <= index < self.arena_size // 8:
            last = self.arena_pa + self.arena_size - 8
            raise ValueError(
                f"pa is {pa:#x}; allowed are multiples of 8, {self.arena_pa:#x} to {last:#x}"
            )
        return self._arena[index]


def _words_at(address: int, count: int) -> "memoryview[int]":
    raw = (ctypes.c_char * (count * 8)).from_address(address)
    return memoryview(raw).cast("B").cast("q")


def _address(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def _text_at(address: int) -> str:
    return ctypes.string_at(address).decode()
