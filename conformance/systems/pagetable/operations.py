"""The operations of system ``pagetable``: names, arguments, limits and defaults, in one table."""

from collections.abc import Mapping, Sequence

from reference.formats import FORMATS
from reference.operations import ArgSpec, Operation, OperationSpec, specs_of
from reference.systems.pagetable.promise import DEFAULT_BITS, filled, format_of
from strategies.pagetable import FORMATS_TRIED, bbm_levels

_CALL = (
    ArgSpec("iova", "address"),
    ArgSpec("pgsize", "size", default=0x1000),
    ArgSpec("pgcount", "count", default=1, high=1 << 20),
)
_FAIL = ArgSpec("fail_at", "count", default=0, high=64)

_FORMATS = (
    *FORMATS_TRIED,
    *(name for name, fmt in FORMATS.items() if fmt.plain and name not in FORMATS_TRIED),
)
"""Those of which tables can be made: one kind of table below another."""

SPECS: dict[str, OperationSpec] = specs_of(
    OperationSpec(
        "create",
        "Make an empty table and attach its root to the device.",
        (
            ArgSpec("format", "choice", choices=_FORMATS, default="lpae-s1"),
            ArgSpec("ias", "bits", default=DEFAULT_BITS, low=30, high=48),
            ArgSpec("oas", "bits", default=DEFAULT_BITS, low=32, high=48),
            ArgSpec("pgsizes", "sizes", default=0),
            ArgSpec("coherent", "choice", choices=(1, 0), default=1),
            ArgSpec("bbm", "choice", choices=(0, 2), default=0),
            ArgSpec("block_unmap", "choice", choices=("refuse", "split"), default="refuse"),
            _FAIL,
        ),
    ),
    OperationSpec(
        "map",
        "One map_pages call.",
        (
            _CALL[0],
            ArgSpec("pa", "address", default=0),
            *_CALL[1:],
            ArgSpec("prot", "flags", default=3, high=0x3F, letters="rwcNmp"),
            _FAIL,
        ),
        value_kind="size",
        value_text="{} mapped",
    ),
    OperationSpec(
        "unmap",
        "One unmap_pages call; its leaves go to the strict gather, or wait for a queued flush.",
        (
            *_CALL,
            ArgSpec("gather", "choice", choices=("strict", "queued"), default="strict"),
            _FAIL,
        ),
        value_kind="size",
        value_text="{} unmapped",
    ),
    OperationSpec(
        "translate",
        "One iova_to_phys call.",
        (ArgSpec("iova", "address"),),
        value_kind="address",
        value_text="pa {}",
    ),
    OperationSpec("sync", "The caller's iotlb_sync of the strict gather."),
    OperationSpec("flush", "The flush of the flush queue: one for everything."),
    OperationSpec(
        "release", "The caller hands on every address and page whose flush has completed."
    ),
    OperationSpec("destroy", "Detach the root, and free the table."),
)
"""The operations of system ``pagetable``."""


def configurable(operation: Operation, traits: Mapping[str, Sequence[str | int]]) -> bool:
    """Whether a create operation names a table that can be; other operations always are.

    Its format has to have it, and a target with these traits has to work on such a device.
    """
    if operation.name != "create":
        return True
    try:
        format_of(filled(operation))
    except ValueError:
        return False
    args = operation.args
    return args["bbm"] in bbm_levels(str(args["block_unmap"]))
