"""The operations of system ``dart``: names, arguments, limits and defaults, in one table."""

from collections.abc import Mapping, Sequence

from reference.operations import ArgSpec, Operation, OperationSpec, specs_of
from reference.systems.dart.device import PARTS
from reference.systems.dart.promise import DMA, MOST_UNITS, NONE
from reference.words import to_unsigned

_4K = 0x1000
_16K = 0x4000

NUMBERS = 1 << 16
"""Numbers of objects are below this: those that were made, and some that were not."""

_UNIT = ArgSpec("unit", "count", default=0, high=7)
_DEVICE = ArgSpec("device", "count", default=0, high=NUMBERS)
_DOMAIN = ArgSpec("domain", "count", default=0, high=NUMBERS)
_FAIL = ArgSpec("fail_at", "count", default=0, high=64)
_RANGE = (
    ArgSpec("iova", "address", default=0),
    ArgSpec("size", "size", default=_16K, low=1),
)

SPECS: dict[str, OperationSpec] = specs_of(
    OperationSpec(
        "create",
        "There are so many units of a part, of this page size; those in odd are of the other one, "
        "those in bypass have that mode. Software bypass is for so many pages (0: there is none). "
        "A device behind units with and without bypass has none (and), or is refused.",
        (
            ArgSpec("part", "choice", choices=tuple(PARTS), default="t8020"),
            ArgSpec("page", "choice", choices=(_16K, _4K), default=_16K),
            ArgSpec("cpu_page", "choice", choices=(_16K, _4K), default=_16K),
            ArgSpec("ias", "bits", default=32, low=30, high=42),
            ArgSpec("units", "count", default=2, low=1, high=MOST_UNITS),
            ArgSpec("streams", "count", default=16, low=1, high=256),
            ArgSpec("bypass", "flags", default=7, high=7),
            ArgSpec("odd", "flags", default=0, high=7),
            ArgSpec("window", "count", default=0, high=4096),
            ArgSpec("mixes", "choice", choices=("and", "refuse"), default="and"),
        ),
    ),
    OperationSpec("probe", "A unit is found.", (_UNIT, _FAIL)),
    OperationSpec("remove", "A unit goes.", (_UNIT,)),
    OperationSpec(
        "lock",
        "The boot loader has locked a unit's configuration, or not.",
        (_UNIT, ArgSpec("on", "choice", choices=(1, 0), default=1)),
    ),
    OperationSpec(
        "device",
        "A device is found, with so many streams of a unit, and one of a second and a third.",
        (
            _UNIT,
            ArgSpec("stream", "count", default=0, high=255),
            ArgSpec("count", "count", default=1, low=1, high=8),
            ArgSpec("unit2", "count", default=NONE, low=NONE, high=7),
            ArgSpec("stream2", "count", default=0, high=255),
            ArgSpec("unit3", "count", default=NONE, low=NONE, high=7),
            ArgSpec("stream3", "count", default=0, high=255),
            _FAIL,
        ),
        value_kind="count",
        value_text="in group {}",
    ),
    OperationSpec("release", "A device goes.", (_DEVICE,)),
    OperationSpec(
        "domain",
        "Make a domain: blocked (0), identity (1), unmanaged (2), DMA (3).",
        (ArgSpec("kind", "count", default=DMA, high=15), _FAIL),
        value_kind="count",
        value_text="domain {}",
    ),
    OperationSpec("free", "Give a domain back.", (_DOMAIN,)),
    OperationSpec(
        "attach",
        "Attach the group of a device to a domain.",
        (_DEVICE, _DOMAIN, _FAIL),
    ),
    OperationSpec("detach", "Detach the group of a device: it is blocked.", (_DEVICE,)),
    OperationSpec(
        "map",
        "Map pages of a domain, and have its streams flushed.",
        (
            _DOMAIN,
            *_RANGE,
            ArgSpec("pa", "address", default=0x8_0000_0000),
            ArgSpec("prot", "flags", default=3, high=0x3F, letters="rwcxmp"),
            _FAIL,
        ),
    ),
    OperationSpec(
        "unmap",
        "Unmap pages of a domain; its streams are flushed at once, or (queued) by the caller.",
        (_DOMAIN, *_RANGE, ArgSpec("queued", "choice", choices=(0, 1), default=0)),
        value_kind="size",
        value_text="{} unmapped",
    ),
    OperationSpec("flush", "Flush what was unmapped and queued.", (_DOMAIN,)),
    OperationSpec(
        "translate",
        "Ask where an address leads.",
        (_DOMAIN, ArgSpec("iova", "address", default=0)),
        value_kind="address",
        value_text="to {}",
    ),
    OperationSpec(
        "fault",
        "A stream has an error, now or after so many accesses of registers.",
        (
            _UNIT,
            ArgSpec("stream", "count", default=0, high=255),
            ArgSpec("code", "flags", default=4, low=1, high=0x7FFF),
            ArgSpec("address", "address", default=0x4000),
            ArgSpec("after", "count", default=0, high=256),
        ),
    ),
    OperationSpec(
        "stick",
        "A command of a unit is busy for so many looks, or for ever (none); the next one, or a "
        "later one.",
        (
            _UNIT,
            ArgSpec("polls", "count", default=NONE, low=NONE, high=1 << 20),
            ArgSpec("after", "count", default=0, high=64),
        ),
    ),
    OperationSpec("suspend", "All units lose power, and their registers."),
    OperationSpec("resume", "All units have power again."),
    OperationSpec("shutdown", "The machine goes down."),
)
"""The operations of system ``dart``."""


def possible(operation: Operation, traits: Mapping[str, Sequence[str | int]]) -> bool:
    """Whether the arguments of an operation go together."""
    if operation.name == "create":
        return _can_be(operation)
    if operation.name == "device":
        units = [operation.number(name) for name in ("unit", "unit2", "unit3")]
        named = [unit for unit in units if unit != NONE]
        return len(set(named)) == len(named)
    return operation.name != "fault" or 0 <= to_unsigned(operation.number("address")) < 1 << 42


def _can_be(create: Operation) -> bool:
    """Whether there are such units."""
    part = PARTS[create.string("part")]
    page, cpu_page = create.number("page"), create.number("cpu_page")
    bits = page.bit_length() - 1
    if bits not in part.formats:
        return False
    ias = create.number("ias")
    fmt = part.format(bits, ias)
    if ias not in fmt.ias_choices or fmt.geometry(ias).roots > part.ttbrs:
        return False
    if create.number("odd") and (page != _4K or cpu_page != _4K):
        # Tables are of one page size: units of the other one have to be bypassed.
        return False
    if create.number("odd") and create.number("window"):
        # The table of software bypass is of that one size, too.
        return False
    if create.number("window") * page > 1 << ias:
        return False
    streams = create.number("streams")
    return streams <= part.most_streams if part.newer else streams == part.most_streams
