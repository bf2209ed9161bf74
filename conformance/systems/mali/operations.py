"""The operations of system ``mali``: names, arguments, limits and defaults, in one table."""

from collections.abc import Mapping, Sequence

from reference.formats import format_by_name
from reference.operations import ArgSpec, Operation, OperationSpec, specs_of
from reference.systems.mali.promise import ALL, PAGE
from reference.systems.mali.state import FORMAT, MAP, NONE

NUMBERS = 1 << 16
"""Numbers of objects are below this: those that were made, and some that were not."""

_VM = ArgSpec("vm", "count", default=0, high=NUMBERS)
_BIND = (
    _VM,
    ArgSpec("kind", "count", default=MAP, high=15),
    ArgSpec("va", "address", default=0),
    ArgSpec("size", "size", default=PAGE),
    ArgSpec("bo", "count", default=NONE, low=NONE, high=NUMBERS),
    ArgSpec("offset", "size", default=0),
    ArgSpec("flags", "flags", default=0, high=0xFFF, letters="rnu"),
)
_SLOT = ArgSpec("slot", "count", default=1, high=31)

SPECS: dict[str, OperationSpec] = specs_of(
    OperationSpec(
        "create",
        "Probe a device with so many address spaces, and open it.",
        (
            ArgSpec("va_bits", "bits", default=48, low=32, high=48),
            ArgSpec("pa_bits", "bits", default=40, low=32, high=48),
            ArgSpec("slots", "count", default=4, low=1, high=16),
            ArgSpec("coherent", "choice", choices=(1, 0), default=1),
        ),
    ),
    OperationSpec(
        "vm",
        "Make a VM; user_va bytes are to be the process's own (0: as the driver likes).",
        (ArgSpec("user_va", "size", default=0),),
        value_kind="count",
        value_text="VM {}",
    ),
    OperationSpec("destroy_vm", "Give the handle of a VM back.", (_VM,)),
    OperationSpec(
        "bo",
        "Make a buffer, for one VM only or for all (vm none); in pieces of so many pages, or "
        "in whole (0); of this driver, or imported from another.",
        (
            ArgSpec("size", "size", default=0x40_0000),
            ArgSpec("vm", "count", default=NONE, low=NONE, high=NUMBERS),
            ArgSpec("pieces", "count", default=0, high=1 << 18),
            ArgSpec("imported", "choice", choices=(0, 1), default=0),
        ),
        value_kind="count",
        value_text="buffer {}",
    ),
    OperationSpec(
        "close",
        "Give a buffer's handle back.",
        (ArgSpec("bo", "count", default=0, high=NUMBERS),),
    ),
    OperationSpec(
        "bind",
        "VM_BIND, at once: map (kind 0) a part of a buffer, or unmap (1).",
        (*_BIND, ArgSpec("fail_at", "count", default=0, high=64)),
    ),
    OperationSpec(
        "queue",
        "VM_BIND, queued: as bind, or wait only (kind 2); when a fence has been signalled.",
        (*_BIND, ArgSpec("fence", "count", default=NONE, low=NONE, high=NUMBERS)),
        value_kind="count",
        value_text="signals fence {}",
    ),
    OperationSpec(
        "fence", "Make a fence that the process signals.", value_kind="count", value_text="fence {}"
    ),
    OperationSpec(
        "signal",
        "Signal a fence of the process.",
        (ArgSpec("fence", "count", default=0, high=NUMBERS),),
    ),
    OperationSpec(
        "run",
        "Deferred work: queued binds, what comes after them, resets; all (0) or so much.",
        (ArgSpec("steps", "count", default=0, high=64),),
    ),
    OperationSpec("active", "A job of the device starts to use a VM.", (_VM,)),
    OperationSpec("idle", "A job of the device has ended.", (_VM,)),
    OperationSpec(
        "fault",
        "An address space faults: exception code and address.",
        (
            _SLOT,
            ArgSpec("address", "address", default=0),
            ArgSpec("code", "flags", default=0x2C3, high=0xFFFF_FFFF),
        ),
    ),
    OperationSpec(
        "stick",
        "A command of an address space takes so many looks at STATUS, or for ever (none); the "
        "next one, or a later one.",
        (
            _SLOT,
            ArgSpec("polls", "count", default=NONE, low=NONE, high=1 << 20),
            ArgSpec("after", "count", default=0, high=64),
        ),
    ),
    OperationSpec("pre_reset", "A reset of the device begins."),
    OperationSpec("post_reset", "The device was reset, and the driver goes on."),
    OperationSpec("suspend", "The device goes to sleep, and loses its registers."),
    OperationSpec("resume", "The device wakes up."),
    OperationSpec("unplug", "The device goes for good."),
    OperationSpec("close_file", "The process ends: all its VMs are destroyed."),
    OperationSpec(
        "alloc",
        "The kernel takes addresses of its part of a VM (va all ones: any), and maps a buffer "
        "there (bo none: nothing).",
        (
            _VM,
            ArgSpec("size", "size", default=PAGE),
            ArgSpec("va", "address", default=ALL - 1),
            ArgSpec("bo", "count", default=NONE, low=NONE, high=NUMBERS),
            ArgSpec("offset", "size", default=0),
        ),
        value_kind="address",
        value_text="at {}",
    ),
    OperationSpec(
        "free",
        "The kernel gives addresses back that alloc took; they are counted from 0.",
        (ArgSpec("node", "count", default=0, high=NUMBERS),),
    ),
)
"""The operations of system ``mali``."""


def possible(operation: Operation, traits: Mapping[str, Sequence[str | int]]) -> bool:
    """Whether a create operation names a device that can be; other operations always are."""
    if operation.name != "create":
        return True
    va_bits = operation.number("va_bits")
    fmt = format_by_name(FORMAT)
    return va_bits in fmt.ias_choices and operation.number("pa_bits") in fmt.oas_for(va_bits)
