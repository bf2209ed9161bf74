"""Format ``flat-16``: one table of sixteen entries, each a page of 4K."""

from reference.formats.access import P_READ, P_WRITE, READ, U_READ, U_WRITE, UNSTATED, WRITE
from reference.formats.entry import (
    ADDRESS,
    ATTRIBUTE,
    FIXED,
    IGNORED,
    INVALID,
    LEAF,
    RESERVED,
    EntryKind,
    Field,
)  # fmt: skip
from reference.formats.format import Format, Level, Permissions, Sizes, Walks

_MANUAL = "the flat MMU's manual"

_PAGE = EntryKind(
    "page",
    LEAF,
    (0,),
    [
        Field("reserved", 63, 28, RESERVED, "no use known", _MANUAL),
        Field("address", 27, 12, ADDRESS, "output address", _MANUAL),
        Field("reserved", 11, 2, RESERVED, "no use known", _MANUAL),
        Field("read-only", 1, 1, ATTRIBUTE, "writing faults", _MANUAL),
        Field("valid", 0, 0, FIXED, "page", _MANUAL, match=1),
    ],
)
_NOTHING = EntryKind(
    "invalid",
    INVALID,
    (0,),
    [
        Field("ignored", 63, 1, IGNORED, "free for software", _MANUAL),
        Field("valid", 0, 0, FIXED, "not valid", _MANUAL, match=0),
    ],
)


def _fields_of(prot: int) -> dict[str, int]:
    """The leaf's fields for a prot."""
    return {"read-only": 0 if prot & WRITE else 1}


def _access_of(values: dict[str, int]) -> int:
    """What a leaf grants."""
    written = 0 if values["read-only"] else U_WRITE | P_WRITE
    return U_READ | P_READ | written | UNSTATED


def _access_for(prot: int) -> int:
    """What a prot asks for: whoever may write may read."""
    granted = U_READ | P_READ | UNSTATED if prot & (READ | WRITE) else UNSTATED
    return granted | (U_WRITE | P_WRITE if prot & WRITE else 0)


FLAT = Format(
    name="flat-16",
    title="the flat MMU, sixteen pages of 4 KiB",
    source=_MANUAL,
    tables=[Level(0, 12, 4, [_PAGE, _NOTHING])],
    sizes=Sizes(granule=0x1000, ias_choices=(16,), oas_choices=(28,), page_sizes=(0x1000,)),
    permissions=Permissions(fields_of=_fields_of, access_of=_access_of, access_for=_access_for),
    walks=Walks(fixed_start=True, caches_invalid=True),
)
"""Nothing may change in a valid entry while the device uses it."""
