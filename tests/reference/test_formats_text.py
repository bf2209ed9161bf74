"""Canonical accesses and prots in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.formats.access import (
    CACHE,
    CACHED,
    DEVICE,
    GLOBAL,
    NOEXEC,
    NON_CACHED,
    OTHER_MEMORY,
    P_EXEC,
    P_READ,
    P_WRITE,
    PARTIAL,
    PRIV,
    PROT_COUNT,
    READ,
    SHARE_INNER,
    SHARE_OUTER,
    U_EXEC,
    U_READ,
    U_WRITE,
    UNKNOWN,
    UNSTATED,
    WRITE,
    access_letters,
    access_text,
    prot_text,
)
from reference.formats.lpae import LPAE_S1

U_RW = U_READ | U_WRITE
P_RW = P_READ | P_WRITE


@pytest.mark.parametrize(
    ("meaning", "text", "letters"),
    [
        (U_RW | U_EXEC | P_RW | CACHED | SHARE_INNER, "rwx cached inner", "rwxc"),
        (U_RW | P_RW | CACHED | SHARE_INNER, "rw- cached inner", "rw-c"),
        (U_READ | U_EXEC | P_READ | P_EXEC | DEVICE | SHARE_OUTER, "r-x device outer", "r-xd"),
        (0 | NON_CACHED | SHARE_OUTER, "--- non-cached outer", "---n"),
        (P_RW | P_EXEC | CACHED | SHARE_INNER, "---/rwx cached inner", "rwxcp"),
        (U_EXEC | P_RW | P_EXEC | CACHED, "--x/rwx cached", "rwxcp"),
        (U_RW | UNSTATED, "rw-/---", "rw-.u"),
        (U_READ | P_WRITE | NON_CACHED, "r--/-w- non-cached", "rw-nm"),
        (U_RW | U_EXEC | P_RW | P_EXEC | UNSTATED, "rwx", "rwx."),
        (U_RW | U_EXEC | P_READ | NON_CACHED, "rwx/r-- non-cached", "rwxnu"),
        (U_READ | P_READ | OTHER_MEMORY | 0x500, "r-- attribute-5", "r--?"),
        (U_READ | P_READ | CACHED | GLOBAL, "r-- cached global", "r--c"),
        (U_READ | P_READ | CACHED | PARTIAL | UNKNOWN, "r-- cached partial unknown", "r--c"),
    ],
)
def test_access_in_words_and_letters(meaning: int, text: str, letters: str) -> None:
    assert access_text(meaning) == text
    assert access_letters(meaning) == letters


@given(st.integers(0, PROT_COUNT - 1))
def test_letters_are_four_or_five(prot: int) -> None:
    letters = access_letters(LPAE_S1.promised(prot))
    assert len(letters) == (5 if "/" in access_text(LPAE_S1.promised(prot)) else 4)


@pytest.mark.parametrize(
    ("prot", "text"),
    [
        (0, "0"),
        (READ | WRITE | CACHE, "READ|WRITE|CACHE"),
        (NOEXEC | PRIV, "NOEXEC|PRIV"),
        (0x141, "READ|0x140"),
    ],
)
def test_prot_in_words(prot: int, text: str) -> None:
    assert prot_text(prot) == text
