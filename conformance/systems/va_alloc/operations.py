"""The operations of system ``va-alloc``: names, arguments, limits and defaults, in one table."""

from collections.abc import Mapping, Sequence

from reference.operations import ArgSpec, Operation, OperationSpec, specs_of
from reference.systems.va_alloc.promise import ALL
from reference.words import to_unsigned

PAGE = 0x1000
_BOUNDS = (
    ArgSpec("first", "address", default=0),
    ArgSpec("last", "address", default=ALL - 1),
)

SPECS: dict[str, OperationSpec] = specs_of(
    OperationSpec(
        "create",
        "Make an allocator of the addresses of a window.",
        (
            ArgSpec("start", "address", default=0),
            ArgSpec("size", "size", default=64 * PAGE),
        ),
    ),
    OperationSpec(
        "alloc",
        "Give out addresses, wherever the mode says; they get the next number.",
        (
            ArgSpec("size", "size", default=PAGE),
            ArgSpec("align", "size", default=0),
            ArgSpec("mode", "choice", choices=("best", "low", "high"), default="best"),
            *_BOUNDS,
        ),
        value_kind="address",
        value_text="{}",
    ),
    OperationSpec(
        "reserve",
        "Give out these addresses; they get the next number.",
        (ArgSpec("va", "address"), ArgSpec("size", "size", default=PAGE)),
    ),
    OperationSpec(
        "free", "Give a range back.", (ArgSpec("node", "count", default=0, high=(1 << 20) - 1),)
    ),
    OperationSpec(
        "find",
        "The first range that has an address in what is asked for.",
        _BOUNDS,
        value_kind="address",
        value_text="{}",
    ),
    OperationSpec("destroy", "Give everything back, and drop the allocator."),
)
"""The operations of system ``va-alloc``."""


def possible(operation: Operation, traits: Mapping[str, Sequence[str | int]]) -> bool:
    """Whether an operation's arguments go together.

    A window holds something and ends before 2**64; bounds are not backwards.
    """
    if operation.name == "create":
        size = to_unsigned(operation.number("size"))
        return size > 0 and to_unsigned(operation.number("start")) + size < ALL
    if operation.name in ("alloc", "find"):
        first, last = operation.number("first"), operation.number("last")
        return to_unsigned(first) <= to_unsigned(last)
    return True
