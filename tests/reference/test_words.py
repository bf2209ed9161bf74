"""Words keep their 64 bits on the way from unsigned to held and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.words import bits, hex_word, parse_word, to_signed, to_unsigned

UNSIGNED = st.integers(0, 2**64 - 1)
HELD = st.integers(-(2**63), 2**63 - 1)


@given(UNSIGNED)
def test_every_word_comes_back(word: int) -> None:
    held = to_signed(word)
    assert -(2**63) <= held < 2**63
    assert (held - word) % 2**64 == 0
    assert to_unsigned(held) == word


@pytest.mark.parametrize("bit", range(64))
def test_every_bit_comes_back(bit: int) -> None:
    for word in (1 << bit, (2**64 - 1) ^ (1 << bit)):
        assert to_unsigned(to_signed(word)) == word
        assert bits(to_signed(word), bit, bit) % 2 == (word >> bit) & 1


@given(HELD)
def test_what_is_held_stays(held: int) -> None:
    assert to_signed(held) == held
    assert to_signed(to_unsigned(held)) == held


@given(UNSIGNED, st.integers(0, 63), st.integers(0, 63))
def test_bits_are_those_of_the_unsigned_word(word: int, one: int, other: int) -> None:
    high, low = max(one, other), min(one, other)
    expected = (word >> low) % (1 << (high - low + 1))
    assert to_unsigned(bits(to_signed(word), high, low)) == expected


@given(UNSIGNED)
def test_written_words_are_read_back(word: int) -> None:
    held = to_signed(word)
    assert hex_word(held) == f"{word:#x}"
    assert parse_word(hex_word(held)) == held
    assert parse_word(str(word)) == held


@pytest.mark.parametrize("word", [2**64, -(2**63) - 1, 10**30])
def test_more_than_64_bits_are_refused(word: int) -> None:
    with pytest.raises(ValueError, match="allowed are 64-bit words"):
        to_signed(word)
    with pytest.raises(ValueError, match="allowed are 64-bit words"):
        to_unsigned(word)


@pytest.mark.parametrize("text", ["", "0x", "12g", "0x1_0000_0000_0000_0000", "f00"])
def test_text_that_is_no_word_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="allowed are"):
        parse_word(text)
