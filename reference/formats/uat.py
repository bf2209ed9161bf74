"""UAT: the page tables that Apple's AGX GPU shares with its firmware. 16 KiB pages.

Entries look like Arm's, and the firmware's CPU reads them with Arm's fields; but the
permission bits (AP, UXN, PXN) are together one number, which a table of its own turns
into what the GPU and what the firmware may do. In the canonical access the GPU is the
unprivileged observer and the firmware the privileged one.

Level 0 is no table in memory but a context's pair of root registers. Walks of a page
table as a driver sees it start below: at level 1 for 39 input bits (a user's half of
the address space), at level 2 for 36 (one entry of the kernel's half). With 40 input bits,
of which the highest is the half, a walk begins at the registers.

There is no vendor manual; everything here was found by reverse engineering.
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
    P_READ,
    P_WRITE,
    PRIV,
    READ,
    U_READ,
    U_WRITE,
    UNKNOWN,
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

_M1N1: Final = "m1n1, proxyclient/m1n1/hw/uat.py"
_PATCH: Final = "Linux patch 'Add Apple UAT variant format' (2023-01-21) and its thread"
_DRIVER: Final = "Asahi Linux, drivers/gpu/drm/asahi/mmu.rs"

_16K: Final = 1 << 14

_G: Final = U_READ | U_WRITE
_F: Final = P_READ | P_WRITE

_ACCESS_BY_PERMISSION: Final = (
    # AP 0
    0,
    U_READ | P_READ,
    U_WRITE | P_WRITE | UNKNOWN,  # whether the firmware may write was never tried
    _G | _F,
    # AP 1
    P_READ,
    0,
    _F,
    U_READ | _F,
    # AP 2
    U_READ,
    U_WRITE,
    _G,
    0,
    # AP 3
    0,
    0,
    0,
    0,
)
"""What GPU and firmware may do, by AP * 4 + UXN * 2 + PXN. Nobody executes. Source: m1n1."""

_MEMORY_OF_INDEX: Final = (CACHED, DEVICE, NON_CACHED)
_INDEX_TEXT: Final = {0: "0 cached", 1: "1 device", 2: "2 shared"}
_AP_TEXT: Final = {0: "both", 1: "firmware", 2: "gpu", 3: "nobody"}
_SHARE_TEXT: Final = {0: "", 1: "1 (reserved)", 2: "outer", 3: "inner"}

_LIVE: Final = ("UXN", "PXN", "AF", "AP")
"""What may change in a valid page: permissions, as at Arm's stage 1 (the firmware's CPU is one)."""

_INVALID: Final = EntryKind(
    "invalid",
    INVALID,
    (0, 1, 2, 3),
    [
        Field("ignored", 63, 1, IGNORED, "not looked at", _PATCH),
        Field("VALID", 0, 0, FIXED, "no entry", _PATCH, match=0),
    ],
)

_ROOT: Final = EntryKind(
    "ttb",
    TABLE,
    (0,),
    [
        Field("ASID", 63, 48, HINT, "tag of the context's TLB entries", _DRIVER),
        Field("address", 47, 1, ADDRESS, "root table", _DRIVER),
        Field("VALID", 0, 0, FIXED, "the register is in use", _DRIVER, match=1),
    ],
)

_TABLE: Final = EntryKind(
    "table",
    TABLE,
    (1, 2),
    [
        Field("reserved", 63, 48, RESERVED, "no use known", _PATCH),
        Field("address", 47, 14, ADDRESS, "next table", _PATCH),
        Field("reserved", 13, 2, RESERVED, "no use known", _PATCH),
        Field("TYPE", 1, 0, FIXED, "table", _PATCH, match=3),
    ],
)

_BLOCK: Final = EntryKind(
    "block",
    INVALID,
    (1, 2),
    [
        Field("ignored", 63, 2, IGNORED, "the GPU has no blocks, and nobody makes them", _M1N1),
        Field("TYPE", 1, 0, FIXED, "block", _M1N1, match=1),
    ],
)

_PAGE: Final = EntryKind(
    "page",
    LEAF,
    (3,),
    [
        Field("reserved", 63, 56, RESERVED, "no use known", _M1N1),
        Field("OS", 55, 55, ATTRIBUTE, "permissions by the table; 0: firmware's own", _M1N1),
        Field("UXN", 54, 54, ATTRIBUTE, "permission number, bit 1", _M1N1),
        Field("PXN", 53, 53, ATTRIBUTE, "permission number, bit 0", _M1N1),
        Field("reserved", 52, 48, RESERVED, "no use known", _M1N1),
        Field("address", 47, 14, ADDRESS, "output address", _PATCH),
        Field("reserved", 13, 12, RESERVED, "below the page's address", _PATCH),
        Field("nG", 11, 11, ATTRIBUTE, "tagged with the ASID; 0 is global", _PATCH),
        Field("AF", 10, 10, ATTRIBUTE, "access flag; at 0 every access faults", _PATCH, {0: "0"}),
        Field("SH", 9, 8, ATTRIBUTE, "shareability; always 0", _PATCH, _SHARE_TEXT),
        Field("AP", 7, 6, ATTRIBUTE, "permission number, bits 3 and 2", _M1N1, _AP_TEXT),
        Field("reserved", 5, 5, RESERVED, "no use known", _M1N1),
        Field("AttrIndx", 4, 2, ATTRIBUTE, "memory type for the firmware", _M1N1, _INDEX_TEXT),
        Field("TYPE", 1, 0, FIXED, "page", _PATCH, match=3),
    ],
    may_set=_LIVE,
    may_clear=_LIVE,
)

_RESERVED: Final = EntryKind(
    "reserved",
    INVALID,
    (3,),
    [
        Field("ignored", 63, 2, IGNORED, "not looked at", _PATCH),
        Field("TYPE", 1, 0, FIXED, "no block at level 3", _PATCH, match=1),
    ],
)


def _fields_of(prot: int) -> dict[str, int]:
    """The leaf's fields for a prot, case by case as the driver's format does.

    PRIV is for the firmware alone; else NOEXEC is for the GPU alone; else for both. CACHE
    asks for coherence with the CPU, which the firmware gets by not caching.
    """
    readable = bool(prot & READ)
    writable = bool(prot & WRITE)
    if prot & PRIV:
        # Write implies read; PXN alone is no access.
        permission = 0b0110 if writable else 0b0100 if readable else 0b0101
    elif prot & NOEXEC:
        permission = (0b1011, 0b1000, 0b1001, 0b1010)[readable + 2 * writable]
    else:
        permission = 2 * writable + readable
    return {
        "OS": 1,
        "UXN": permission >> 1 & 1,
        "PXN": permission & 1,
        "AP": permission >> 2,
        "nG": 0 if prot & PRIV else 1,
        "AF": 1,
        "AttrIndx": 1 if prot & MMIO else 2 if prot & CACHE else 0,
    }


def _access_of(values: dict[str, int]) -> int:
    """What GPU and firmware may do with a page of these fields."""
    if not values["AF"]:
        access = 0
    elif values["OS"]:
        access = _ACCESS_BY_PERMISSION[values["AP"] * 4 + values["UXN"] * 2 + values["PXN"]]
    else:
        # The firmware's own permissions (SPRR), which no driver uses; the GPU has none.
        access = UNKNOWN
    index = values["AttrIndx"]
    memory = _MEMORY_OF_INDEX[index] if index < 3 else OTHER_MEMORY + 0x100 * index
    return access | memory | values["SH"] << 12 | (0 if values["nG"] else GLOBAL)


def _access_for(prot: int) -> int:
    """What a prot asks for: who (PRIV, NOEXEC), what (READ, WRITE), which memory."""
    promise = DEVICE if prot & MMIO else NON_CACHED if prot & CACHE else CACHED
    gpu = not prot & PRIV
    firmware = bool(prot & PRIV) or not prot & NOEXEC
    if not gpu:
        promise |= GLOBAL
    if gpu and prot & READ:
        promise |= U_READ
    if gpu and prot & WRITE:
        promise |= U_WRITE
    if firmware and prot & READ:
        promise |= P_READ
    if firmware and prot & WRITE:
        promise |= P_WRITE
        if not gpu:
            promise |= P_READ
        elif not prot & READ:
            promise |= UNKNOWN
    return promise


UAT: Final = Format(
    name="uat",
    title="Apple AGX unified address translation, GPU and firmware, 16 KiB pages",
    source=f"{_M1N1}; {_PATCH}; {_DRIVER}",
    tables=[
        Level(0, 39, 1, [_ROOT, _INVALID]),
        Level(1, 36, 3, [_TABLE, _BLOCK, _INVALID]),
        Level(2, 25, 11, [_TABLE, _BLOCK, _INVALID]),
        Level(3, 14, 11, [_PAGE, _RESERVED, _INVALID]),
    ],
    sizes=Sizes(
        granule=_16K,
        ias_choices=(36, 39),
        oas_choices=(40, 42),
        page_sizes=(_16K,),
        whole_ias=40,
    ),
    permissions=Permissions(
        fields_of=_fields_of,
        access_of=_access_of,
        access_for=_access_for,
    ),
    walks=Walks(fixed_start=False, caches_invalid=False, roots=2),
)
"""A user's table has three levels (39 bits), the kernel's two (36 bits)."""
