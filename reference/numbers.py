"""How numbers are written for people: sizes with their unit, errno values by name."""

from typing import Final

_UNITS: Final = ("", "K", "M", "G", "T", "P", "E")
_LARGEST_SHOWN: Final = 9999
"""A count of units with more digits than this says less than the hexadecimal number."""

ERRNO_NAMES: Final[dict[int, str]] = {
    1: "EPERM",
    2: "ENOENT",
    3: "ESRCH",
    4: "EINTR",
    5: "EIO",
    6: "ENXIO",
    7: "E2BIG",
    8: "ENOEXEC",
    9: "EBADF",
    10: "ECHILD",
    11: "EAGAIN",
    12: "ENOMEM",
    13: "EACCES",
    14: "EFAULT",
    15: "ENOTBLK",
    16: "EBUSY",
    17: "EEXIST",
    18: "EXDEV",
    19: "ENODEV",
    20: "ENOTDIR",
    21: "EISDIR",
    22: "EINVAL",
    25: "ENOTTY",
    27: "EFBIG",
    28: "ENOSPC",
    33: "EDOM",
    34: "ERANGE",
    61: "ENODATA",
    75: "EOVERFLOW",
    95: "EOPNOTSUPP",
    110: "ETIMEDOUT",
}
"""The kernel's numbers (generic errno table), which are the same on every host for our use."""


def size_text(size: int) -> str:
    """``size`` in bytes, 0 or more, in the largest unit that divides it: "4K", "2M", "0x123"."""
    if size == 0:
        return "0"
    for power in range(len(_UNITS) - 1, 0, -1):
        if size % (1 << 10 * power) == 0 and size >> 10 * power <= _LARGEST_SHOWN:
            return f"{size >> 10 * power}{_UNITS[power]}"
    return f"{size:#x}"


def about_size(size: int) -> str:
    """``size`` in bytes, 0 or more, for drawings: as :func:`size_text`, rounded if that is long.

    A rounded size starts with "~": 0xfffffffff000 is "~256T".
    """
    exact = size_text(size)
    if not exact.startswith("0x"):
        return exact
    power = min((size.bit_length() - 1) // 10, len(_UNITS) - 1)
    if (size + (1 << 10 * power) // 2) >> 10 * power >= 1024 and power < len(_UNITS) - 1:
        power += 1
    number = size / (1 << 10 * power)
    return f"~{number:.1f}".removesuffix(".0") + _UNITS[power]


def range_text(first: int, last: int) -> str:
    """Addresses ``first``..``last``, inclusive and unsigned, with their size."""
    if first == 0 and last == (1 << 64) - 1:
        return "all addresses"
    if last < first:
        return f"{first:#x} to {last:#x}, which is backwards"
    return f"{first:#x}..{last:#x} ({about_size(last - first + 1)})"


def parse_size(text: str) -> int:
    """The bytes that a size such as "4K", "0x1000" or "4096" names.

    Raises:
        ValueError: not a number with or without one of the units K, M, G, T, P, E.
    """
    digits, power = text, 0
    if text and text[-1] in _UNITS[1:] and not text.startswith(("0x", "0X")):
        digits, power = text[:-1], _UNITS.index(text[-1])
    try:
        number = int(digits, 0)
    except ValueError:
        number = -1
    if number < 0 or digits.strip() != digits:
        raise ValueError(
            f"size is {text!r}; allowed are numbers, alone or with one of K, M, G, T, P, E"
        )
    return number << 10 * power


def errno_text(result: int) -> str:
    """What a call returned: "0", "-EEXIST (-17)", or the number where it has no name."""
    name = ERRNO_NAMES.get(-result)
    return f"-{name} ({result})" if name is not None else str(result)
