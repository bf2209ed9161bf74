"""Operations as plain data: what was asked of a target, in a form that a file can hold.

An operation is a name and its arguments. Each system declares its operations
once, as a mapping from name to :class:`OperationSpec`; everything here (JSON,
text, checks) follows that declaration, so that a counterexample, a file
written by hand and a line on the screen all say the same.

Kinds of argument, and how each is held, written to JSON and shown:

========  ====================================  ===========  =====================
kind      held                                  JSON         text
========  ====================================  ===========  =====================
address   two's-complement word                 "0x5000"     0x5000
size      two's-complement word, bytes          "0x1000"     4K
sizes     two's-complement word, a bit a size   "0x201000"   4K|2M
flags     two's-complement word                 "0x3"        rw (letters) or 0x3
count     number                                3            3
bits      number of bits                        48           48
choice    one of the listed strings or numbers  "strict"     strict
========  ====================================  ===========  =====================

Reading is generous where nothing can be mistaken: numbers may be JSON
integers, decimal strings or 0x strings, sizes may carry a unit, flags may be
letters. Writing always gives the form of the table.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from reference.numbers import parse_size, size_text
from reference.words import to_signed, to_unsigned

KINDS: Final = ("address", "size", "sizes", "flags", "count", "bits", "choice")
"""The kinds of argument, see the module's table."""

WORD_KINDS: Final = frozenset({"address", "size", "sizes", "flags"})
"""The kinds that are 64-bit words: held as two's complement, hexadecimal in JSON."""

NONE: Final = -1
"""The number of nothing, for counts that may be it (whose least value it is)."""
NONE_TEXT: Final = "none"
"""How it is written for people."""

_WORD_LAST: Final = (1 << 64) - 1
_NUMBER_LAST: Final = (1 << 31) - 1


class Operation:
    """One operation: its name and its arguments.

    Words (see ``WORD_KINDS``) are held as two's complement. An operation is a
    value: equal when name and arguments are, hashable, and not to be changed
    once made.
    """

    __slots__ = ("args", "name")

    def __init__(self, name: str, args: Mapping[str, int | str] | None = None) -> None:
        self.name: str = name
        self.args: dict[str, int | str] = dict(args) if args is not None else {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Operation):
            return NotImplemented
        return self.name == other.name and self.args == other.args

    def __hash__(self) -> int:
        return hash((self.name, frozenset(self.args.items())))

    def __repr__(self) -> str:
        return f"Operation({self.name!r}, {self.args!r})"

    def number(self, name: str) -> int:
        """The argument ``name`` as the number that is held.

        Raises:
            ValueError: there is no such argument, or it is a string.
        """
        value = self.args.get(name)
        if not isinstance(value, int):
            raise ValueError(
                f"argument {name} of operation {self.name} is {value!r}; allowed are numbers"
            )
        return value

    def string(self, name: str) -> str:
        """The argument ``name`` as a string.

        Raises:
            ValueError: there is no such argument, or it is a number.
        """
        value = self.args.get(name)
        if not isinstance(value, str):
            raise ValueError(
                f"argument {name} of operation {self.name} is {value!r}; allowed are strings"
            )
        return value


class Result:
    """What one operation gave back; a value, as an operation is.

    ``result``: 0 or a negative errno value. ``value``: bytes mapped or unmapped, or
    the address that was asked for. ``finished``: False when the call crashed, hung or
    was stopped; the trace then says which.
    """

    __slots__ = ("finished", "result", "value")

    def __init__(self, result: int = 0, value: int = 0, finished: bool = True) -> None:
        self.result: int = result
        self.value: int = value
        self.finished: bool = finished

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Result):
            return NotImplemented
        return (
            self.result == other.result
            and self.value == other.value
            and self.finished == other.finished
        )

    def __hash__(self) -> int:
        return hash((self.result, self.value, self.finished))

    def __repr__(self) -> str:
        return f"Result(result={self.result}, value={self.value}, finished={self.finished})"


class ArgSpec:
    """One argument of an operation, as its system declares it."""

    __slots__ = ("choices", "default", "high", "kind", "letters", "low", "name")

    def __init__(
        self,
        name: str,
        kind: str,
        *,
        default: int | str | None = None,
        low: int = 0,
        high: int | None = None,
        choices: Iterable[int | str] = (),
        letters: str = "",
    ) -> None:
        """Declare one argument.

        Args:
            name: the argument's name.
            kind: one of ``KINDS``.
            default: what a missing argument means; None where it must be given. For words
                the unsigned value.
            low, high: the least and the greatest value, unsigned, both allowed; of a number
                that may name nothing, the least is ``NONE``; ``high`` None for 2**64-1 (words)
                or 2**31-1 (others). Not for choices.
            choices: for kind "choice", the allowed strings or numbers.
            letters: for kind "flags", the letter of bit 0, of bit 1, and so on.

        Raises:
            ValueError: an argument that does not fit the others.
        """
        if kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; allowed are {', '.join(KINDS)}")
        self.name: str = name
        self.kind: str = kind
        self.low: int = low
        self.high: int = (
            high if high is not None else _WORD_LAST if kind in WORD_KINDS else _NUMBER_LAST
        )
        self.choices: tuple[int | str, ...] = tuple(choices)
        self.letters: str = letters
        if (kind == "choice") != bool(self.choices):
            raise ValueError(
                f"choices of {name} is {self.choices!r}; "
                "allowed are one or more for kind choice, and none for any other kind"
            )
        if letters and (kind != "flags" or len(set(letters)) != len(letters) or len(letters) > 64):
            raise ValueError(
                f"letters of {name} is {letters!r}; allowed are up to 64 different letters, "
                "for kind flags only"
            )
        least = 0 if kind in WORD_KINDS else NONE
        if not least <= self.low <= self.high <= _WORD_LAST:
            raise ValueError(
                f"low and high of {name} are {self.low:#x} and {self.high:#x}; "
                f"allowed are {least} <= low <= high <= {_WORD_LAST:#x}"
            )
        self.default: int | str | None = None if default is None else self.read(default, "default")

    @property
    def is_word(self) -> bool:
        """Whether the argument is a 64-bit word (held signed, hexadecimal in JSON)."""
        return self.kind in WORD_KINDS

    def allowed(self) -> str:
        """What the argument may be, for messages."""
        if self.kind == "choice":
            return ", ".join(str(choice) for choice in self.choices)
        if self.is_word:
            form = {
                "address": "addresses",
                "size": "sizes, as a number or such as 4K,",
                "sizes": "page sizes, as a number or such as 4K|2M,",
                "flags": "flags, as a number"
                + (f" or letters of {self.letters}," if self.letters else ","),
            }[self.kind]
            return f"{form} from {self.low:#x} to {self.high:#x}"
        return f"numbers from {self.low} to {self.high}"

    def check(self, value: int | str, operation: str) -> None:
        """Check a held value; ``operation`` is named in the message.

        Raises:
            ValueError: the value is not allowed here.
        """
        if self.kind == "choice":
            if value in self.choices and not isinstance(value, bool):
                return
        elif isinstance(value, int) and not isinstance(value, bool):
            if not self.is_word:
                if self.low <= value <= self.high:
                    return
            elif -(1 << 63) <= value < 1 << 63 and self.low <= to_unsigned(value) <= self.high:
                return
        if isinstance(value, int) and self.is_word and -(1 << 63) <= value < 0:
            value = to_unsigned(value)
        raise ValueError(self._refusal(value, operation))

    def read(self, value: object, operation: str) -> int | str:
        """The held value of ``value`` as it stands in JSON; ``operation`` is for the message.

        Raises:
            ValueError: the value is not allowed here.
        """
        if self.kind == "choice":
            for choice in self.choices:
                if type(value) is type(choice) and value == choice:
                    return choice
                if isinstance(choice, int) and isinstance(value, str) and value == str(choice):
                    return choice
            raise ValueError(self._refusal(value, operation))
        number: int | None = None
        if isinstance(value, int) and not isinstance(value, bool):
            number = value
        elif isinstance(value, str):
            try:
                number = self._parse(value)
            except ValueError:
                number = None
        if number is None or not self.low <= number <= self.high:
            raise ValueError(self._refusal(value, operation))
        return to_signed(number) if self.is_word else number

    def _parse(self, text: str) -> int:
        if self.letters and text and set(text) <= set(self.letters):
            if len(set(text)) != len(text):
                raise ValueError
            return sum(1 << self.letters.index(letter) for letter in text)
        if text == NONE_TEXT and self.low == NONE:
            return NONE
        if self.kind == "size":
            return parse_size(text)
        if self.kind == "sizes":
            sizes = [parse_size(part) for part in text.split("|")]
            together = 0
            for size in sizes:
                together |= size
            return together
        return int(text, 0)

    def _refusal(self, value: object, operation: str) -> str:
        shown = repr(value)
        if self.is_word and isinstance(value, int) and not isinstance(value, bool):
            shown = f"{value:#x}"
        return (
            f"argument {self.name} of operation {operation} is {shown}; "
            f"allowed are {self.allowed()}"
        )

    def written(self, value: int | str) -> int | str:
        """The JSON form of a held value."""
        if self.is_word and isinstance(value, int):
            return f"{to_unsigned(value):#x}"
        return value

    def shown(self, value: int | str) -> str:
        """The form of a held value for people."""
        if value == NONE and self.low == NONE:
            return NONE_TEXT
        if isinstance(value, str) or not self.is_word:
            return str(value)
        word = to_unsigned(value)
        if self.kind == "size":
            return size_text(word)
        if self.kind == "sizes" and word:
            return "|".join(size_text(1 << bit) for bit in range(64) if word >> bit & 1)
        if self.kind == "flags" and self.letters:
            return flags_text(word, self.letters)
        return f"{word:#x}"


def flags_text(word: int, letters: str) -> str:
    """``word`` in letters, ``letters[i]`` for bit i; "0" for none, bits without letter in hex."""
    shown = "".join(letter for bit, letter in enumerate(letters) if word >> bit & 1)
    rest = word >> len(letters) << len(letters)
    if rest:
        return f"{shown}+{rest:#x}" if shown else f"{rest:#x}"
    return shown or "0"


class OperationSpec:
    """One operation of a system: its name, what it does, and its arguments in order.

    ``defaults``: of those that may be left out, what they are then.
    """

    __slots__ = ("args", "defaults", "name", "purpose", "value_kind", "value_text")

    def __init__(
        self,
        name: str,
        purpose: str,
        args: Iterable[ArgSpec] = (),
        *,
        value_kind: str = "",
        value_text: str = "",
    ) -> None:
        """Declare one operation.

        Args:
            name: as in the "op" field of JSON.
            purpose: one sentence for documentation and for people.
            args: in the order in which they are written and shown.
            value_kind: the kind (of ``KINDS``) of the value that it returns beside its result;
                "" if it returns none.
            value_text: what the value is, for people, with {} for the value: "{} mapped".

        Raises:
            ValueError: two arguments with one name, or one called "op"; a value's kind or text
                that is not allowed.
        """
        if value_kind and (value_kind not in KINDS or value_text.count("{}") != 1):
            raise ValueError(
                f"value_kind and value_text of {name} are {value_kind!r} and {value_text!r}; "
                f"allowed are one of {', '.join(KINDS)}, and a text with one {{}}"
            )
        self.value_kind: str = value_kind
        self.value_text: str = value_text
        self.name: str = name
        self.purpose: str = purpose
        self.args: tuple[ArgSpec, ...] = tuple(args)
        self.defaults: dict[str, int | str] = {
            arg.name: arg.default for arg in self.args if arg.default is not None
        }
        names = [arg.name for arg in self.args]
        if len(set(names)) != len(names) or "op" in names:
            raise ValueError(
                f"arguments of operation {name} are {names}; "
                'allowed are different names, none of them "op"'
            )

    def arg(self, name: str) -> ArgSpec:
        """The argument called ``name``.

        Raises:
            ValueError: there is none.
        """
        for arg in self.args:
            if arg.name == name:
                return arg
        raise ValueError(
            f"argument {name!r} is not one of operation {self.name}; "
            f"allowed are {self._names() or 'none'}"
        )

    def _names(self) -> str:
        return ", ".join(arg.name for arg in self.args)

    def returned(self, value: int) -> str:
        """The value of a result, held or unsigned, for people; "" if there is none to tell."""
        if not self.value_kind:
            return f"value {to_unsigned(value):#x}" if value else ""
        word = to_unsigned(value)
        if self.value_kind == "size":
            shown = size_text(word)
        elif self.value_kind in WORD_KINDS:
            shown = f"{word:#x}"
        else:
            shown = str(word)
        return self.value_text.format(shown)


Specs = Mapping[str, OperationSpec]
"""The operations of one system, by name."""


def specs_of(*operations: OperationSpec) -> dict[str, OperationSpec]:
    """The operations of a system as a mapping, in the order given.

    Raises:
        ValueError: two operations have one name.
    """
    specs = {operation.name: operation for operation in operations}
    if len(specs) != len(operations):
        raise ValueError(
            f"operations are {[operation.name for operation in operations]}; "
            "allowed are different names"
        )
    return specs


def _spec(name: object, specs: Specs) -> OperationSpec:
    if not isinstance(name, str) or name not in specs:
        raise ValueError(f"operation is {name!r}; allowed are {', '.join(specs)}")
    return specs[name]


def make(name: str, specs: Specs, **args: int | str) -> Operation:
    """The operation ``name`` with ``args`` as in JSON (unsigned words), defaults filled in.

    Raises:
        ValueError: as :func:`from_json`.
    """
    return from_json({"op": name, **args}, specs)


def completed(operation: Operation, specs: Specs) -> Operation:
    """``operation`` with the default of each argument that it leaves out.

    Raises:
        ValueError: as :func:`check`.
    """
    spec = _spec(operation.name, specs)
    whole = Operation(operation.name, {**spec.defaults, **operation.args})
    check(whole, specs)
    return whole


def check(operation: Operation, specs: Specs) -> None:
    """Check that ``operation`` is one of ``specs`` with every argument present and allowed.

    Raises:
        ValueError: naming the operation, the argument, its value and what is allowed.
    """
    spec = _spec(operation.name, specs)
    _check_names(operation.args, spec)
    for arg in spec.args:
        if arg.name not in operation.args:
            raise ValueError(
                f"argument {arg.name} of operation {spec.name} is missing; "
                f"allowed are {arg.allowed()}"
            )
        arg.check(operation.args[arg.name], spec.name)


def _check_names(names: Iterable[str], spec: OperationSpec) -> None:
    for name in names:
        spec.arg(name)


def to_json(operation: Operation, specs: Specs) -> dict[str, int | str]:
    """The JSON object of ``operation``: "op", then every argument in the order declared.

    Raises:
        ValueError: as :func:`check`.
    """
    check(operation, specs)
    written: dict[str, int | str] = {"op": operation.name}
    for arg in specs[operation.name].args:
        written[arg.name] = arg.written(operation.args[arg.name])
    return written


def from_json(obj: object, specs: Specs) -> Operation:
    """The operation that a JSON object describes; arguments with a default may be missing.

    Raises:
        ValueError: not an object, an unknown operation or argument, a missing argument, or a
            value that is not allowed; the message names each, and what is allowed.
    """
    if not isinstance(obj, Mapping):
        raise ValueError(
            f"operation is {obj!r}; allowed are JSON objects such as "
            f'{{"op": "{next(iter(specs))}"}}'
        )
    if "op" not in obj:
        raise ValueError(f'operation has no "op"; allowed are {", ".join(specs)}')
    spec = _spec(obj["op"], specs)
    _check_names((str(name) for name in obj if name != "op"), spec)
    args: dict[str, int | str] = {}
    for arg in spec.args:
        if arg.name in obj:
            args[arg.name] = arg.read(obj[arg.name], spec.name)
        elif arg.default is not None:
            args[arg.name] = arg.default
        else:
            raise ValueError(
                f"argument {arg.name} of operation {spec.name} is missing; "
                f"allowed are {arg.allowed()}"
            )
    return Operation(spec.name, args)


def text(operation: Operation, specs: Specs) -> str:
    """One line for people, arguments that have their default left out.

    For example ``map iova=0x5000 pa=0x1000 pgsize=4K pgcount=1 prot=rw``.

    Raises:
        ValueError: as :func:`check`.
    """
    check(operation, specs)
    words = [operation.name]
    for arg in specs[operation.name].args:
        value = operation.args[arg.name]
        if arg.default is None or value != arg.default:
            words.append(f"{arg.name}={arg.shown(value)}")
    return " ".join(words)


def json_text(obj: Mapping[str, object]) -> str:
    """One line for people from a JSON operation whose system's declaration is not at hand."""
    words = [str(obj.get("op", "?"))]
    words += [f"{name}={value}" for name, value in obj.items() if name != "op"]
    return " ".join(words)


def _object_without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"field {double!r} stands twice; allowed is once")
    return made


def read_operations(path: str | Path, specs: Specs) -> list[Operation]:
    """The operations of a file written by hand: one JSON object a line.

    Blank lines, and lines that start with ``#``, are left out.

    Raises:
        ValueError: a line that is not an operation, with file and line in front; a file that
            is not text, or holds no operation.
        OSError: the file cannot be read.
    """
    path = Path(path)
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: byte {error.start} is not text; allowed are files of UTF-8 text, "
            "one JSON object a line"
        ) from None
    operations: list[Operation] = []
    for number, line in enumerate(content.split("\n"), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            obj = json.loads(line, object_pairs_hook=_object_without_doubles)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path}:{number}: column {error.colno} is not JSON ({error.msg}); "
                f'allowed are objects such as {{"op": "{next(iter(specs))}"}}, one a line'
            ) from None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        try:
            operations.append(from_json(obj, specs))
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
    if not operations:
        raise ValueError(
            f"{path}: no operation in it; allowed are files with one JSON object a line, "
            f'such as {{"op": "{next(iter(specs))}"}}'
        )
    return operations
