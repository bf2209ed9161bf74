"""Arm's LPAE tables with a 4 KiB granule: VMSAv8-64 stage 1, and Mali Midgard's variant.

Both have 512 entries of 8 bytes in a table, and levels that translate 512 GiB, 1 GiB,
2 MiB and 4 KiB an entry. They differ in the type bits of a last-level page, in the
permission bits, and in where the walk starts.

``lpae-s1`` is what SMMUs, and Mali GPUs from CSF on, walk. ``lpae-mali`` is the format of
Midgard and Bifrost GPUs in their older table mode, for which Arm has published no
manual; the driver sources named in the table are the evidence.
"""

from typing import Final

from reference.formats.access import (
    CACHE,
    CACHED,
    DEVICE,
    GLOBAL,
    MMIO,
    NOEXEC,
    NON_CACHED,
    OTHER_MEMORY,
    P_EXEC,
    P_READ,
    P_WRITE,
    PRIV,
    READ,
    SHARE_INNER,
    SHARE_OUTER,
    U_EXEC,
    U_READ,
    U_WRITE,
    WRITE,
)
from reference.formats.entry import (
    ADDRESS,
    ATTRIBUTE,
    FIXED,
    HINT,
    IGNORED,
    INVALID,
    LEAF,
    RESERVED,
    TABLE,
    EntryKind,
    Field,
)
from reference.formats.format import Format, Level, Permissions, Sizes, Walks

_ARM: Final = "Arm ARM (DDI 0487), VMSAv8-64 stage 1 block and page descriptors"
_ARM_TABLE: Final = "Arm ARM (DDI 0487), VMSAv8-64 table descriptors"
_ARM_PERMISSIONS: Final = "Arm ARM (DDI 0487), stage 1 data and instruction access permissions"
_ARM_MEMORY: Final = "Arm ARM (DDI 0487), memory region attributes; shareability"
_LINUX: Final = "Linux io-pgtable-arm.c, ARM_64_LPAE_S1"
_LINUX_MALI: Final = "Linux io-pgtable-arm.c, ARM_MALI_LPAE"
_KBASE: Final = "Arm's Midgard kernel driver (kbase), LPAE table mode"

_SHIFTS: Final = (39, 30, 21, 12)
"""log2 of what one entry translates, by level."""

_4K: Final = 1 << 12
_2M: Final = 1 << 21
_1G: Final = 1 << 30

_MEMORY_OF_INDEX: Final = (NON_CACHED, CACHED, DEVICE)
_INDEX_TEXT: Final = {0: "0 non-cached", 1: "1 cached", 2: "2 device"}
_SHARE_TEXT: Final = {0: "none", 1: "1 (reserved)", 2: "outer", 3: "inner"}
_AP_TEXT: Final = {
    0: "rw,privileged",
    1: "rw,unprivileged",
    2: "ro,privileged",
    3: "ro,unprivileged",
}
_HAP_TEXT: Final = {0: "none", 1: "ro", 2: "wo", 3: "rw"}

_SHARE_SHIFT: Final = 12


def _attr_index(prot: int) -> int:
    """AttrIndx for a prot: device before cached before non-cached."""
    if prot & MMIO:
        return 2
    return 1 if prot & CACHE else 0


def _memory(index: int) -> int:
    """The memory type that AttrIndx stands for in the MAIR that the driver programs."""
    return _MEMORY_OF_INDEX[index] if index < 3 else OTHER_MEMORY + 0x100 * index


def _memory_for(prot: int) -> int:
    """The memory type that a prot asks for."""
    if prot & MMIO:
        return DEVICE
    return CACHED if prot & CACHE else NON_CACHED


# -- stage 1: the table -----------------------------------------------------------------

_S1_LIVE: Final[tuple[str, ...]] = ("UXN", "PXN", "DBM", "GP", "AF", "AP")
"""What may change in a valid leaf: permissions, and what is noted about the page; in a block nT,
which is there to announce a change of size.

A change of the output address, the memory type, the shareability, nG or the contiguous bit needs
break-before-make. Source: Arm ARM (DDI 0487), using break-before-make when updating translation
table entries.
"""


def _s1_leaf(name: str, level: int, type_bits: int) -> EntryKind:
    """A block or page. A block's address ends at its size; below it are bits of its own."""
    shift = _SHIFTS[level]
    below: list[Field] = []
    live = _S1_LIVE
    if shift > 12:
        live = (*_S1_LIVE, "nT")
        below = [
            Field("reserved", shift - 1, 17, RESERVED, "below the block's address", _ARM),
            Field("nT", 16, 16, HINT, "block or contiguous entry about to change size", _ARM),
            Field("reserved", 15, 12, RESERVED, "below the block's address", _ARM),
        ]
    return EntryKind(
        name,
        LEAF,
        (level,),
        [
            Field("ignored", 63, 63, IGNORED, "not looked at", _ARM),
            Field("ignored", 62, 59, IGNORED, "for hardware outside the MMU (PBHA)", _ARM),
            Field("software", 58, 55, IGNORED, "for software", _ARM),
            Field("UXN", 54, 54, ATTRIBUTE, "unprivileged execute never", _ARM_PERMISSIONS),
            Field("PXN", 53, 53, ATTRIBUTE, "privileged execute never", _ARM_PERMISSIONS),
            Field("contiguous", 52, 52, HINT, "one of a run that may share a TLB entry", _ARM),
            Field("DBM", 51, 51, HINT, "dirty state kept by hardware, where enabled", _ARM),
            Field("GP", 50, 50, HINT, "guarded page", _ARM),
            Field("reserved", 49, 48, RESERVED, "address bits of larger output sizes", _ARM),
            Field("address", 47, shift, ADDRESS, "output address", _ARM),
            *below,
            Field("nG", 11, 11, ATTRIBUTE, "tagged with the address space; 0 is global", _ARM),
            Field("AF", 10, 10, ATTRIBUTE, "access flag; at 0 every access faults", _ARM, {0: "0"}),
            Field("SH", 9, 8, ATTRIBUTE, "shareability", _ARM_MEMORY, _SHARE_TEXT),
            Field("AP", 7, 6, ATTRIBUTE, "read-only, unprivileged", _ARM_PERMISSIONS, _AP_TEXT),
            Field("NS", 5, 5, IGNORED, "non-secure output, from secure tables only", _ARM),
            Field("AttrIndx", 4, 2, ATTRIBUTE, "which memory type of MAIR", _LINUX, _INDEX_TEXT),
            Field("type", 1, 0, FIXED, name, _ARM, match=type_bits),
        ],
        may_set=live,
        may_clear=live,
    )


_S1_TABLE: Final = EntryKind(
    "table",
    TABLE,
    (0, 1, 2),
    [
        Field("NSTable", 63, 63, IGNORED, "secure tables only", _ARM_TABLE),
        Field(
            "APTable",
            62,
            61,
            ATTRIBUTE,
            "limits data accesses below",
            _ARM_TABLE,
            {0: "", 1: "no-unprivileged", 2: "no-write", 3: "no-write,no-unprivileged"},
        ),
        Field("UXNTable", 60, 60, ATTRIBUTE, "UXN for all below", _ARM_TABLE),
        Field("PXNTable", 59, 59, ATTRIBUTE, "PXN for all below", _ARM_TABLE),
        Field("ignored", 58, 56, IGNORED, "not looked at", _ARM_TABLE),
        Field("synced", 55, 55, IGNORED, "software: cleaned to memory for the walker", _LINUX),
        Field("ignored", 54, 51, IGNORED, "not looked at", _ARM_TABLE),
        Field("reserved", 50, 48, RESERVED, "address bits of larger output sizes", _ARM_TABLE),
        Field("address", 47, 12, ADDRESS, "next table", _ARM_TABLE),
        Field("ignored", 11, 2, IGNORED, "not looked at", _ARM_TABLE),
        Field("type", 1, 0, FIXED, "table", _ARM_TABLE, match=3),
    ],
)

_S1_RESERVED: Final = EntryKind(
    "reserved",
    INVALID,
    (0, 3),
    [
        Field("ignored", 63, 2, IGNORED, "not looked at", _ARM),
        Field("type", 1, 0, FIXED, "no block at level 0, no block at level 3", _ARM, match=1),
    ],
)

_S1_INVALID: Final = EntryKind(
    "invalid",
    INVALID,
    (0, 1, 2, 3),
    [
        Field("ignored", 63, 1, IGNORED, "not looked at", _ARM),
        Field("valid", 0, 0, FIXED, "no entry", _ARM, match=0),
    ],
)


def _s1_fields_of(prot: int) -> dict[str, int]:
    """The leaf's fields for a prot.

    Write-only cannot be expressed: whoever may write may read. No permission at all is a
    leaf that faults (AF 0). A privileged mapping is closed to unprivileged execution too,
    since AP alone leaves that open.
    """
    unprivileged = not prot & PRIV
    read_only = not prot & WRITE
    never = bool(prot & NOEXEC)
    return {
        "AttrIndx": _attr_index(prot),
        "AP": unprivileged + 2 * read_only,
        "SH": 3 if prot & CACHE else 2,
        "AF": 1 if prot & (READ | WRITE) else 0,
        "nG": 1,
        "PXN": int(never),
        "UXN": int(never or not unprivileged),
    }


def _s1_access_of(values: dict[str, int]) -> int:
    """The access that a leaf grants, by the Arm ARM's permission tables.

    Instruction fetches are governed by UXN and PXN alone, whatever AP says, with one
    exception: the privileged never execute what the unprivileged may write. Memory that is
    not cached is outer shareable, whatever SH says.
    """
    read_only = values["AP"] >> 1
    unprivileged = values["AP"] & 1
    access = 0
    if values["AF"]:
        access = P_READ if read_only else P_READ | P_WRITE
        if unprivileged:
            access |= U_READ if read_only else U_READ | U_WRITE
        if not values["UXN"]:
            access |= U_EXEC
        if not values["PXN"] and not access & U_WRITE:
            access |= P_EXEC
    memory = _memory(values["AttrIndx"])
    fixed_outer = memory in (NON_CACHED, DEVICE)
    share = SHARE_OUTER if fixed_outer else values["SH"] << _SHARE_SHIFT
    return access | memory | share | (0 if values["nG"] else GLOBAL)


def _s1_access_for(prot: int) -> int:
    """What a prot asks for: the IOMMU API's flags, within what stage 1 can express."""
    memory = _memory_for(prot)
    promise = memory | (SHARE_INNER if memory == CACHED else SHARE_OUTER)
    if not prot & (READ | WRITE):
        return promise
    if prot & WRITE:
        promise |= P_READ | P_WRITE
        if not prot & PRIV:
            promise |= U_READ | U_WRITE
    else:
        promise |= P_READ
        if not prot & PRIV:
            promise |= U_READ
    if not prot & NOEXEC:
        if prot & PRIV:
            promise |= P_EXEC
        elif prot & WRITE:
            promise |= U_EXEC
        else:
            promise |= U_EXEC | P_EXEC
    return promise


def _s1_denied_by(values: dict[str, int]) -> int:
    """What the hierarchical bits of a table entry forbid below it."""
    denied = 0
    if values["APTable"] & 1:
        denied |= U_READ | U_WRITE
    if values["APTable"] & 2:
        denied |= U_WRITE | P_WRITE
    if values["UXNTable"]:
        denied |= U_EXEC
    if values["PXNTable"]:
        denied |= P_EXEC
    return denied


LPAE_S1: Final = Format(
    name="lpae-s1",
    title="Arm VMSAv8-64 stage 1, 4 KiB granule (SMMU, Mali CSF)",
    source=f"{_ARM}; {_LINUX}",
    tables=[
        Level(0, _SHIFTS[0], 9, [_S1_TABLE, _S1_RESERVED, _S1_INVALID]),
        Level(1, _SHIFTS[1], 9, [_S1_TABLE, _s1_leaf("block", 1, 1), _S1_INVALID]),
        Level(2, _SHIFTS[2], 9, [_S1_TABLE, _s1_leaf("block", 2, 1), _S1_INVALID]),
        Level(3, _SHIFTS[3], 9, [_s1_leaf("page", 3, 3), _S1_RESERVED, _S1_INVALID]),
    ],
    sizes=Sizes(
        granule=_4K,
        ias_choices=range(32, 49),
        oas_choices=(32, 36, 40, 42, 44, 48),
        page_sizes=(_4K, _2M, _1G),
    ),
    permissions=Permissions(
        fields_of=_s1_fields_of,
        access_of=_s1_access_of,
        access_for=_s1_access_for,
        denied_by=_s1_denied_by,
    ),
    walks=Walks(fixed_start=False, caches_invalid=False),
)
"""Stage 1: walks start at level 1 for inputs of up to 39 bits, at level 0 above."""


# -- Mali Midgard: the table ------------------------------------------------------------

_MALI_LIVE: Final = ("NX", "PXN", "access rights")
"""What may change in a valid leaf: permissions, as at stage 1; no manual says more."""


def _mali_leaf(name: str, level: int) -> EntryKind:
    """A leaf: type 1 at every level, the last one included."""
    shift = _SHIFTS[level]
    below: list[Field] = []
    if shift > 12:
        below = [Field("reserved", shift - 1, 12, RESERVED, "below the block's address", _KBASE)]
    return EntryKind(
        name,
        LEAF,
        (level,),
        [
            Field("reserved", 63, 56, RESERVED, "no use known", _KBASE),
            Field("software", 55, 55, IGNORED, "for software", _LINUX_MALI),
            Field("NX", 54, 54, ATTRIBUTE, "execute never", _KBASE),
            Field("PXN", 53, 53, HINT, "set with NX by Linux; not used by kbase", _LINUX_MALI),
            Field("reserved", 52, 48, RESERVED, "no use known", _KBASE),
            Field("address", 47, shift, ADDRESS, "output address", _KBASE),
            *below,
            Field("reserved", 11, 11, RESERVED, "no use known", _KBASE),
            Field("access", 10, 10, HINT, "named by kbase, set by neither driver", _KBASE),
            Field("SH", 9, 8, ATTRIBUTE, "shareability, in the GPU's terms", _KBASE, _SHARE_TEXT),
            Field("access rights", 7, 6, ATTRIBUTE, "write, read", _KBASE, _HAP_TEXT),
            Field("reserved", 5, 5, RESERVED, "no use known", _KBASE),
            Field("AttrIndx", 4, 2, ATTRIBUTE, "which of MEMATTR", _LINUX_MALI, _INDEX_TEXT),
            Field("type", 1, 0, FIXED, name, _KBASE, match=1),
        ],
        may_set=_MALI_LIVE,
        may_clear=_MALI_LIVE,
    )


_MALI_TABLE: Final = EntryKind(
    "table",
    TABLE,
    (0, 1, 2),
    [
        Field("reserved", 63, 56, RESERVED, "no use known", _KBASE),
        Field("synced", 55, 55, IGNORED, "software: cleaned to memory for the walker", _LINUX_MALI),
        Field("reserved", 54, 48, RESERVED, "no use known", _KBASE),
        Field("address", 47, 12, ADDRESS, "next table", _KBASE),
        Field("reserved", 11, 2, RESERVED, "no use known", _KBASE),
        Field("type", 1, 0, FIXED, "table", _KBASE, match=3),
    ],
)

_MALI_RESERVED: Final = EntryKind(
    "reserved",
    INVALID,
    (3,),
    [
        Field("ignored", 63, 2, IGNORED, "not looked at", _KBASE),
        Field("type", 1, 0, FIXED, "no tables below level 3", _KBASE, match=3),
    ],
)

_MALI_INVALID: Final = EntryKind(
    "invalid",
    INVALID,
    (0, 1, 2, 3),
    [
        Field("ignored", 63, 1, IGNORED, "not looked at", _KBASE),
        Field("valid", 0, 0, FIXED, "no entry: type 0 or 2", _KBASE, match=0),
    ],
)


def _mali_fields_of(prot: int) -> dict[str, int]:
    """The leaf's fields for a prot. PRIV has no place; no permission closes execution too."""
    never = bool(prot & NOEXEC) or not prot & (READ | WRITE)
    return {
        "AttrIndx": _attr_index(prot),
        "access rights": (1 if prot & READ else 0) + (2 if prot & WRITE else 0),
        "SH": 2,
        "PXN": int(never),
        "NX": int(never),
    }


def _mali_access_of(values: dict[str, int]) -> int:
    """The access that a leaf grants; the GPU has one observer, which counts as both."""
    access = 0
    if values["access rights"] & 1:
        access |= U_READ | P_READ
    if values["access rights"] & 2:
        access |= U_WRITE | P_WRITE
    if not values["NX"]:
        access |= U_EXEC | P_EXEC
    return access | _memory(values["AttrIndx"]) | values["SH"] << _SHARE_SHIFT


def _mali_access_for(prot: int) -> int:
    """What a prot asks for. The outer domain is what is shared outside the GPU."""
    promise = _memory_for(prot) | SHARE_OUTER
    if prot & READ:
        promise |= U_READ | P_READ
    if prot & WRITE:
        promise |= U_WRITE | P_WRITE
    if prot & (READ | WRITE) and not prot & NOEXEC:
        promise |= U_EXEC | P_EXEC
    return promise


LPAE_MALI: Final = Format(
    name="lpae-mali",
    title="Mali Midgard tables in LPAE mode, 4 KiB granule",
    source=f"{_KBASE}; {_LINUX_MALI}",
    tables=[
        Level(0, _SHIFTS[0], 9, [_MALI_TABLE, _mali_leaf("block", 0), _MALI_INVALID]),
        Level(1, _SHIFTS[1], 9, [_MALI_TABLE, _mali_leaf("block", 1), _MALI_INVALID]),
        Level(2, _SHIFTS[2], 9, [_MALI_TABLE, _mali_leaf("block", 2), _MALI_INVALID]),
        Level(3, _SHIFTS[3], 9, [_mali_leaf("page", 3), _MALI_RESERVED, _MALI_INVALID]),
    ],
    sizes=Sizes(
        granule=_4K,
        ias_choices=range(32, 49),
        oas_choices=(32, 36, 40),
        page_sizes=(_4K, _2M, _1G),
    ),
    permissions=Permissions(
        fields_of=_mali_fields_of,
        access_of=_mali_access_of,
        access_for=_mali_access_for,
    ),
    walks=Walks(fixed_start=True, caches_invalid=False),
)
"""Midgard: always four levels, whatever the input size."""
