"""The one place where 64-bit words change between signed and unsigned.

Hardware words (page-table entries, addresses, register values) are unsigned.
The compiled model computes with native 64-bit integers, which are signed, so a
word is *held* as the two's-complement number with the same bits and converted
here at the edge: when it comes from JSON or a person, and when it is printed.
"""

from typing import Final

from mypy_extensions import i64

WORD_BITS: Final = 64
"""Bits in a word."""


def to_signed(word: int) -> int:
    """The two's-complement value that holds the bits of ``word``.

    Accepts 0..2**64-1 (the word itself) and -2**63..-1 (already held).

    Raises:
        ValueError: ``word`` does not fit in 64 bits.
    """
    if word < -(1 << 63) or word >= 1 << 64:
        raise ValueError(f"word is {word:#x}; allowed are 64-bit words, 0 to {2**64 - 1:#x}")
    if word >= 1 << 63:
        return word - (1 << 64)
    return word


def to_unsigned(held: int) -> int:
    """The word, 0..2**64-1, whose bits ``held`` holds.

    Raises:
        ValueError: ``held`` does not fit in 64 bits.
    """
    if held < -(1 << 63) or held >= 1 << 64:
        raise ValueError(f"held is {held:#x}; allowed are 64-bit words, 0 to {2**64 - 1:#x}")
    if held < 0:
        return held + (1 << 64)
    return held


def bits(word: i64, high: i64, low: i64) -> i64:
    """Bits ``[high:low]`` of a held word as a number; 63 >= high >= low >= 0.

    A field of all 64 bits comes back held (that is, signed).
    """
    width: i64 = high - low + 1
    if width >= 64:
        return word
    # The shift of the word is arithmetic; the mask removes the copies of the sign. It is
    # made by shifting down, for mypyc compiles ``1 << width`` as a 32-bit C expression.
    mask: i64 = 0x7FFFFFFFFFFFFFFF >> (63 - width)
    return (word >> low) & mask


def parse_word(text: str) -> int:
    """The held value of a word written by a person: ``0x...`` or decimal.

    Raises:
        ValueError: not a number, or not a 64-bit one.
    """
    try:
        word = int(text, 0)
    except ValueError:
        raise ValueError(
            f"word is {text!r}; allowed are decimal or 0x hexadecimal numbers, 0 to {2**64 - 1:#x}"
        ) from None
    return to_signed(word)


def hex_word(held: int) -> str:
    """A held word as ``0x`` and its hexadecimal digits, for JSON and people."""
    return f"{to_unsigned(held):#x}"
