"""Reading the fields of a JSON object that somebody else may have written.

A :class:`Fields` knows where in the file it stands, so that each refusal names
the field, what was found there, and what is allowed.
"""

from collections.abc import Callable, Collection
from typing import TypeVar

from reference.words import to_unsigned

T = TypeVar("T")


class Fields:
    """The fields of one object; ``where`` is its place in the file, "" for the whole."""

    def __init__(self, obj: object, where: str) -> None:
        if not isinstance(obj, dict):
            raise ValueError(_refusal(where or "the file", obj, "an object"))
        self._obj: dict[str, object] = obj
        self._where = where
        self._read: set[str] = set()

    @property
    def where(self) -> str:
        """The place of the object itself in the file, such as ``views.walk[2]``."""
        return self._where

    def path(self, name: str) -> str:
        """The place of field ``name`` in the file, such as ``views.walk[2].level``."""
        return f"{self._where}.{name}" if self._where else name

    def has(self, name: str) -> bool:
        """Whether the field is there."""
        return name in self._obj

    def raw(self, name: str, allowed: str) -> object:
        """The field as JSON gave it.

        Raises:
            ValueError: it is missing; ``allowed`` goes into the message.
        """
        self._read.add(name)
        if name not in self._obj:
            raise ValueError(f"field {self.path(name)} is missing; allowed is {allowed}")
        return self._obj[name]

    def string(self, name: str) -> str:
        """A string."""
        value = self.raw(name, "a string")
        if not isinstance(value, str):
            raise ValueError(_refusal(self.path(name), value, "a string"))
        return value

    def choice(self, name: str, choices: Collection[str]) -> str:
        """One of the strings ``choices``."""
        allowed = " or ".join(f'"{choice}"' for choice in choices)
        value = self.raw(name, allowed)
        if not isinstance(value, str) or value not in choices:
            raise ValueError(_refusal(self.path(name), value, allowed))
        return value

    def boolean(self, name: str) -> bool:
        """True or false."""
        value = self.raw(name, "true or false")
        if not isinstance(value, bool):
            raise ValueError(_refusal(self.path(name), value, "true or false"))
        return value

    def number(self, name: str, low: int | None = None, high: int | None = None) -> int:
        """A whole number from ``low`` to ``high``, each None for no bound."""
        allowed = "a whole number"
        if low is not None:
            allowed += f" from {low}"
        if high is not None:
            allowed += f" up to {high}"
        value = self.raw(name, allowed)
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or (low is not None and value < low)
            or (high is not None and value > high)
        ):
            raise ValueError(_refusal(self.path(name), value, allowed))
        return value

    def number_or_none(self, name: str, low: int, high: int) -> int | None:
        """A whole number from ``low`` to ``high``, or null."""
        if self.raw(name, f"a whole number from {low} up to {high}, or null") is None:
            return None
        return self.number(name, low, high)

    def word(self, name: str) -> int:
        """A 64-bit word, unsigned: a 0x string or a number."""
        return as_word(self.raw(name, WORD), self.path(name))

    def word_or_none(self, name: str) -> int | None:
        """A 64-bit word, unsigned, or null."""
        value = self.raw(name, f"{WORD}, or null")
        return None if value is None else as_word(value, self.path(name))

    def fields(self, name: str) -> "Fields":
        """An object."""
        return Fields(self.raw(name, "an object"), self.path(name))

    def items(self, name: str) -> list[object]:
        """A list, its elements as JSON gave them."""
        value = self.raw(name, "a list")
        if not isinstance(value, list):
            raise ValueError(_refusal(self.path(name), value, "a list"))
        return value

    def objects(self, name: str, read: Callable[["Fields"], T]) -> tuple[T, ...]:
        """A list of objects, each read by ``read``, which must take every field of it."""
        made = []
        for index, obj in enumerate(self.items(name)):
            fields = Fields(obj, f"{self.path(name)}[{index}]")
            made.append(read(fields))
            fields.finish()
        return tuple(made)

    def finish(self) -> None:
        """Refuse fields that nobody asked for.

        Raises:
            ValueError: there is one.
        """
        for name in self._obj:
            if name not in self._read:
                raise ValueError(
                    f"field {self.path(name)} is not known; allowed are "
                    f"{', '.join(sorted(self._read))}"
                )


WORD = 'a 64-bit word such as "0x5000"'


def as_word(value: object, where: str) -> int:
    """A 64-bit word, unsigned, from a 0x string or a number; ``where`` names the field.

    Raises:
        ValueError: it is neither, or does not fit in 64 bits.
    """
    number: int | None = None
    if isinstance(value, str):
        try:
            number = int(value, 0)
        except ValueError:
            number = None
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    if number is None or not 0 <= number < 1 << 64:
        raise ValueError(_refusal(where, value, WORD))
    return number


def hex_or_none(word: int | None) -> str | None:
    """The JSON form of a word that may be absent."""
    return None if word is None else f"{to_unsigned(word):#x}"


def _refusal(where: str, value: object, allowed: str) -> str:
    shown = repr(value)
    if len(shown) > 60:
        shown = shown[:57] + "..."
    subject = where if where == "the file" else f"field {where}"
    return f"{subject} is {shown}; allowed is {allowed}"
