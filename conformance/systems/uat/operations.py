"""The operations of system ``uat``: names, arguments, limits and defaults, in one table.

What hardware leaves open is an argument of ``create`` without a default, so that every report names
it: the order of memory, and whether the firmware flushes when it changes context.
"""

from collections.abc import Mapping, Sequence

from reference.operations import ArgSpec, Operation, OperationSpec, specs_of
from reference.systems.uat.device import CONTEXTS, DATA, PAGE, PROTECTIONS
from reference.systems.uat.interleaving import ORDERS
from reference.systems.uat.promise import KERNEL, LIMIT_MAPPINGS, LIMIT_VMS
from reference.words import to_unsigned

REGIONS = (
    "all", "no-handoff", "no-ttbs", "no-pagetables", "small-handoff", "small-ttbs",
    "small-pagetables", "unmappable-handoff", "unmappable-ttbs", "unmappable-pagetables",
)  # fmt: skip
"""What the boot loader has left: all three regions, or one of them is missing, too small, or
cannot be mapped."""
BOOTS = ("ready", "late", "dead")
"""How the firmware is when the driver comes."""

LAST = (1 << 64) - 1
"""The last address that there is."""

_VM = ArgSpec("vm", "count", low=KERNEL, high=LIMIT_VMS - 1, default=0)
_USER_VM = ArgSpec("vm", "count", high=LIMIT_VMS - 1, default=0)
_MAPPING = ArgSpec("mapping", "count", high=LIMIT_MAPPINGS - 1, default=0)
_FAIL = ArgSpec("fail_at", "count", high=64, default=0)
_MUTE = ArgSpec("mute", "count", high=1, default=0)
_SIZE = ArgSpec("size", "size", default=PAGE, high=1 << 30)
_PA = ArgSpec("pa", "address", default=DATA)
_PIECES = (
    ArgSpec("piece", "count", high=64, default=0),
    ArgSpec("bad", "count", high=64, default=0),
)
_PROT = (
    ArgSpec("prot", "choice", choices=tuple(PROTECTIONS), default="gpu-shared-rw"),
    ArgSpec("guard", "count", high=1, default=0),
)

SPECS: dict[str, OperationSpec] = specs_of(
    OperationSpec(
        "create",
        "Start the driver of a GPU, whose firmware runs, on a machine of a memory order.",
        (
            ArgSpec("order", "choice", choices=ORDERS),
            ArgSpec("switch_flushes", "count", high=1),
            ArgSpec("contexts", "count", low=2, high=CONTEXTS, default=4),
            ArgSpec("oas", "choice", choices=(40, 42), default=40),
            ArgSpec("boot", "choice", choices=BOOTS, default="ready"),
            ArgSpec("regions", "choice", choices=REGIONS, default="all"),
            _FAIL,
        ),
    ),
    OperationSpec("vm", "Make an address space for a user; it gets the next number.", (_FAIL,)),
    OperationSpec(
        "destroy_vm", "Destroy one; with mute, the firmware stays where it is.", (_USER_VM, _MUTE)
    ),
    OperationSpec(
        "bind",
        "Have a context for a user's VM; with mute, the firmware stays where it is.",
        (_USER_VM, _MUTE),
        value_kind="count",
        value_text="context {}",
    ),
    OperationSpec("clone", "One more holds a VM bound.", (_USER_VM,)),
    OperationSpec("unbind", "One less holds a VM bound.", (_USER_VM,)),
    OperationSpec(
        "map",
        "Map memory somewhere, shared with the firmware, with a guard page.",
        (_VM, _SIZE, _PA, *_PIECES, _FAIL),
        value_kind="address",
        value_text="{}",
    ),
    OperationSpec(
        "map_in_range",
        "Map memory somewhere in a range (end exclusive), at a multiple.",
        (
            _VM,
            _SIZE,
            _PA,
            *_PIECES,
            ArgSpec("align", "size", default=0),
            ArgSpec("start", "address", default=0),
            ArgSpec("end", "address", default=(1 << 64) - 1),
            *_PROT,
            _FAIL,
        ),
        value_kind="address",
        value_text="{}",
    ),
    OperationSpec(
        "map_at",
        "Map memory at an address.",
        (_VM, ArgSpec("va", "address"), _SIZE, _PA, *_PIECES, *_PROT, _FAIL),
        value_kind="address",
        value_text="{}",
    ),
    OperationSpec(
        "map_io",
        "Map registers somewhere, with a guard page.",
        (_VM, _SIZE, _PA, ArgSpec("writable", "count", high=1, default=1), _FAIL),
        value_kind="address",
        value_text="{}",
    ),
    OperationSpec(
        "drop", "Drop a mapping; with mute, the firmware does not answer.", (_MAPPING, _MUTE)
    ),
    OperationSpec(
        "switch",
        "In the next call of the driver: after so many of its steps, so many of the firmware.",
        (
            ArgSpec("at", "count", low=1, high=4000, default=1),
            ArgSpec("steps", "count", high=200, default=1),
        ),
    ),
    OperationSpec("fw_enter", "The firmware is to enter the context of a VM.", (_USER_VM,)),
    OperationSpec("fw_leave", "The firmware is to leave the context that it is in."),
    OperationSpec(
        "fw_touch",
        "The firmware is to read or write a page of a mapping.",
        (
            _MAPPING,
            ArgSpec("page", "count", high=4095, default=0),
            ArgSpec("write", "count", high=1, default=1),
        ),
    ),
    OperationSpec(
        "fw_run",
        "The firmware makes so many accesses.",
        (ArgSpec("steps", "count", high=400, default=40),),
    ),
    OperationSpec("destroy", "Stop the driver."),
)
"""The operations of system ``uat``."""

MAPS = frozenset({"map", "map_in_range", "map_at", "map_io"})
"""Those that make a mapping."""
CALLS = frozenset(
    {"create", "vm", "destroy_vm", "bind", "clone", "unbind", "drop", "destroy"} | MAPS
)
"""Those that are calls of the driver."""
ALL = frozenset(SPECS)
"""All operations."""


def possible(operation: Operation, traits: Mapping[str, Sequence[str | int]]) -> bool:
    """Whether an operation's arguments go together: ranges begin with whole pages."""
    args = operation.args
    begins = to_unsigned(int(args.get("align", 0))) | to_unsigned(int(args.get("start", 0)))
    return begins % PAGE == 0
