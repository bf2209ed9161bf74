"""The operations of system ``gpuvm``: names, arguments, limits and defaults, in one table."""

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence

from reference.operations import ArgSpec, Operation, OperationSpec, specs_of
from reference.systems.gpuvm.promise import ALL, PAGE
from reference.words import to_unsigned

_BUFFER = ArgSpec("bo", "count", default=0, high=(1 << 16) - 1)
_RANGE = (ArgSpec("iova", "address"), ArgSpec("size", "size", default=PAGE))
_FAIL = ArgSpec("fail_at", "count", default=0, high=64)

SPECS: dict[str, OperationSpec] = specs_of(
    OperationSpec(
        "create",
        "Make a VM with a window of addresses, a part of which may be reserved for the kernel.",
        (
            ArgSpec("start", "address", default=0),
            ArgSpec("size", "size", default=1 << 48),
            ArgSpec("kernel_start", "address", default=0),
            ArgSpec("kernel_size", "size", default=0),
        ),
    ),
    OperationSpec(
        "bo",
        "Make a buffer; it gets the next number. A private one shares the VM's reservation.",
        (
            ArgSpec("size", "size", default=0x10_0000),
            ArgSpec("private", "choice", choices=(0, 1), default=0),
        ),
        value_kind="count",
        value_text="buffer {}",
    ),
    OperationSpec("close", "Give a buffer's handle back.", (_BUFFER,)),
    OperationSpec(
        "map",
        "Map a part of a buffer, in the place of whatever is there (sm_map).",
        (*_RANGE, _BUFFER, ArgSpec("offset", "size", default=0), _FAIL),
    ),
    OperationSpec("unmap", "Unmap whatever is in a range (sm_unmap).", (*_RANGE, _FAIL)),
    OperationSpec(
        "evict",
        "A buffer has lost its pages, or (state=0) has them again.",
        (_BUFFER, ArgSpec("state", "choice", choices=(1, 0), default=1)),
    ),
    OperationSpec("validate", "Have the buffers made valid that were evicted."),
    OperationSpec(
        "find",
        "The first mapping in a range.",
        (ArgSpec("iova", "address"), ArgSpec("size", "size", default=PAGE, low=1)),
        value_kind="address",
        value_text="{}",
    ),
    OperationSpec("destroy", "Unmap everything, and drop the VM."),
)
"""The operations of system ``gpuvm``."""


def possible(operation: Operation, traits: MappingOf[str, Sequence[str | int]]) -> bool:
    """Whether a create operation names a VM that can be; other operations always are."""
    if operation.name != "create":
        return True
    start, size, kernel_start, kernel_size = (
        to_unsigned(operation.number(name))
        for name in ("start", "size", "kernel_start", "kernel_size")
    )
    aligned = not (start | size | kernel_start | kernel_size) & (PAGE - 1)
    inside = not kernel_size or (
        start <= kernel_start and kernel_start + kernel_size <= start + size
    )
    return aligned and size > 0 and start + size <= ALL and inside
