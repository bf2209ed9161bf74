"""The operations of system ``nvidia``: names, arguments, limits and defaults, in one table."""

from collections.abc import Mapping, Sequence

from reference.operations import ArgSpec, Operation, OperationSpec, specs_of
from reference.physical_layout import LARGE_PAGE, PAGE
from reference.systems.nvidia.promise import CHIPS, MOST_AREAS
from reference.systems.nvidia.state import NONE

LARGE_SIZES = (16, 17)
MOST_MEMORIES = 4096
ANY_ALLOCATION = 1000
"""``fail_at`` above it counts all allocations, not only those of tables."""

_VMA = ArgSpec("vma", "count", default=0, high=MOST_AREAS)
_MEMORY = ArgSpec("memory", "count", default=0, high=MOST_MEMORIES)
_OFFSET = ArgSpec("offset", "size", default=0)
_FAIL = ArgSpec("fail_at", "count", default=0, high=2000)
_KINDS = (
    ArgSpec("kind", "flags", default=0, high=0xFF),
    ArgSpec("ro", "choice", choices=(0, 1), default=0),
    ArgSpec("priv", "choice", choices=(0, 1), default=0),
    ArgSpec("vol", "choice", choices=(0, 1), default=0),
)
_RANGE = (ArgSpec("addr", "address", default=0), ArgSpec("size", "size", default=PAGE))
_PAGES = (ArgSpec("shift", "bits", default=12, high=64), *_RANGE)

SPECS: dict[str, OperationSpec] = specs_of(
    OperationSpec(
        "create",
        "Make an address space: the driver's own, or one in which the client has all but start "
        "to start + size (managed), used by the raw interface there (raw).",
        (
            ArgSpec("chip", "choice", choices=CHIPS, default="gp100"),
            ArgSpec("big", "choice", choices=LARGE_SIZES, default=16),
            ArgSpec("managed", "choice", choices=(0, 1), default=0),
            ArgSpec("start", "address", default=0),
            ArgSpec("size", "size", default=0),
            ArgSpec("raw", "choice", choices=(0, 1), default=0),
            ArgSpec("replay", "choice", choices=(0, 1), default=0),
            _FAIL,
        ),
    ),
    OperationSpec(
        "memory",
        "Make memory: of the device (0), of the system, coherent (1) or not (2); with pages of "
        "2**page bytes, in pieces of so many of them, or in whole (0).",
        (
            ArgSpec("target", "count", default=0, high=7),
            ArgSpec("size", "size", default=LARGE_PAGE),
            ArgSpec("page", "bits", default=12, high=63),
            ArgSpec("scattered", "count", default=0, high=1 << 20),
        ),
        value_kind="count",
        value_text="memory {}",
    ),
    OperationSpec("drop", "Give a memory up; it lives on while it is mapped.", (_MEMORY,)),
    OperationSpec(
        "get",
        "Hand an area out; with references (getref), with references as it is mapped (mapref), or "
        "with those of its first map (neither).",
        (
            ArgSpec("getref", "choice", choices=(0, 1), default=0),
            ArgSpec("mapref", "choice", choices=(0, 1), default=1),
            ArgSpec("sparse", "choice", choices=(0, 1), default=0),
            ArgSpec("shift", "bits", default=0, high=255),
            ArgSpec("align", "bits", default=0, high=255),
            ArgSpec("size", "size", default=PAGE),
            _FAIL,
        ),
        value_kind="address",
        value_text="at {}",
    ),
    OperationSpec("put", "Give an area back, with all that is mapped in it.", (_VMA,)),
    OperationSpec("map", "Map a memory in a whole area.", (_VMA, _MEMORY, _OFFSET, *_KINDS, _FAIL)),
    OperationSpec(
        "map_part",
        "Map a memory in a part of an area.",
        (
            _VMA,
            ArgSpec("first", "size", default=0),
            ArgSpec("size", "size", default=PAGE),
            _MEMORY,
            _OFFSET,
            *_KINDS,
            _FAIL,
        ),
    ),
    OperationSpec(
        "unmap",
        "Unmap the part of an area that begins at a byte of it.",
        (_VMA, ArgSpec("first", "size", default=0)),
    ),
    OperationSpec(
        "pfn_map",
        "Map pages one by one, as the digits of the pattern say.",
        (*_PAGES, ArgSpec("pattern", "flags", default=1), _FAIL),
        value_kind="count",
        value_text="{} pages not done",
    ),
    OperationSpec(
        "pfn_unmap",
        "Unmap pages that were mapped one by one; those that lie in the range in part go, too.",
        _RANGE,
    ),
    OperationSpec("raw_get", "Take references to the pages of a range.", (*_PAGES, _FAIL)),
    OperationSpec("raw_put", "Give references to the pages of a range back.", _PAGES),
    OperationSpec(
        "raw_map",
        "Map a memory where references were taken.",
        (*_PAGES, _MEMORY, _OFFSET, *_KINDS, _FAIL),
    ),
    OperationSpec(
        "raw_unmap",
        "Unmap, and leave it sparse or not.",
        (*_PAGES, ArgSpec("sparse", "choice", choices=(0, 1), default=0)),
    ),
    OperationSpec(
        "raw_sparse",
        "Make a range sparse, or no longer.",
        (*_RANGE, ArgSpec("ref", "choice", choices=(1, 0), default=1), _FAIL),
    ),
    OperationSpec(
        "join",
        "Write the root to an instance block.",
        value_kind="address",
        value_text="block at {}",
    ),
    OperationSpec("part", "Take it out of the instance block."),
    OperationSpec("boot", "Make all tables, as for a BAR.", (_FAIL,)),
    OperationSpec("replay", "Have faults replayed."),
    OperationSpec(
        "stick",
        "For so many looks at the device no invalidation is done; none: from now on.",
        (ArgSpec("polls", "count", default=0, low=NONE, high=1 << 20),),
    ),
    OperationSpec("destroy", "The address space goes, with all that is left in it."),
)
"""The operations of system ``nvidia``."""


def possible(operation: Operation, traits: Mapping[str, Sequence[str | int]]) -> bool:
    """Whether a create operation names what a chip has; other operations always do."""
    if operation.name != "create":
        return True
    args = operation.args
    latest = args["chip"] == "gp100"
    return not (latest and args["big"] != 16) and (latest or not args["replay"])


__all__ = ["ANY_ALLOCATION", "CHIPS", "SPECS", "possible"]
