"""Sizes and errno values in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.numbers import about_size, errno_text, parse_size, size_text


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0"),
        (1, "0x1"),
        (0x1000, "4K"),
        (0x4000, "16K"),
        (0x200000, "2M"),
        (0x2000000, "32M"),
        (0x40000000, "1G"),
        (1 << 48, "256T"),
        (1 << 64, "16E"),
        (0x1FA000, "2024K"),
        (0x1234, "0x1234"),
    ],
)
def test_sizes_in_their_largest_unit(size, shown):
    assert size_text(size) == shown


@given(size=st.integers(0, 1 << 64))
def test_a_size_can_be_read_again(size):
    assert parse_size(size_text(size)) == size


@given(size=st.integers(0, 1 << 64))
def test_a_rounded_size_is_short_and_near(size):
    shown = about_size(size)
    assert len(shown) <= 8
    if shown.startswith("~"):
        number, unit = float(shown[1:].rstrip("KMGTPE")), shown.lstrip("~0123456789.")
        assert abs(number * parse_size("1" + unit) - size) <= 0.06 * parse_size("1" + unit)
    else:
        assert parse_size(shown) == size


@pytest.mark.parametrize("size", ["", "K", "-4K", "4 K", "4KB", "4k", "0x10K", " 4K"])
def test_what_is_no_size(size):
    with pytest.raises(ValueError, match="allowed are numbers, alone or with one of K, M"):
        parse_size(size)


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0xFFFFFFFFF000, "~256T"), (0xFFFFF, "~1M"), (0x1801, "~6K"), (0x18801, "~98K"), (5, "~5")],
)
def test_rounded_sizes(size, shown):
    assert about_size(size) == shown


def test_errno_values_have_names():
    assert errno_text(0) == "0"
    assert errno_text(-17) == "-EEXIST (-17)"
    assert errno_text(-12) == "-ENOMEM (-12)"
    assert errno_text(-1234) == "-1234"
