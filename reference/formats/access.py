"""What callers ask of a mapping, what an entry grants, and both in words."""

from typing import Final

# -- prot: what a caller asks for, with the values of the kernel's IOMMU_* flags --------

READ: Final = 1
WRITE: Final = 2
CACHE: Final = 4
"""Coherent with the CPU's caches."""
NOEXEC: Final = 8
MMIO: Final = 0x10
"""Device registers rather than memory."""
PRIV: Final = 0x20
"""The permissions are for privileged accesses; others get as little as possible."""

PROT_COUNT: Final = 0x40
"""``prot`` is 0 to 63: any combination of the six flags."""
PROT_NAMES: Final = ("READ", "WRITE", "CACHE", "NOEXEC", "MMIO", "PRIV")
"""Name of each prot bit, from bit 0."""
# -- canonical access: what an entry grants, the same numbers for every format ----------
#
# U is the unprivileged observer, P the privileged one. Formats whose hardware does not
# tell privileges apart give both the same; for UAT, U is the GPU and P the firmware.

U_READ: Final = 1
U_WRITE: Final = 2
U_EXEC: Final = 4
P_READ: Final = 8
P_WRITE: Final = 0x10
P_EXEC: Final = 0x20
ACCESS_MASK: Final = 0x3F

MEMORY_MASK: Final = 0xF00
NON_CACHED: Final = 0x000
CACHED: Final = 0x100
DEVICE: Final = 0x200
UNSTATED: Final = 0x300
"""The entry has no say in the memory type."""
OTHER_MEMORY: Final = 0x800
"""0x800 + 0x100 * n: attribute number n, 0 to 7, to which no use is given."""

SHARE_MASK: Final = 0x3000
SHARE_NONE: Final = 0x0000
"""Not shareable, or not stated by the format."""
SHARE_OUTER: Final = 0x2000
SHARE_INNER: Final = 0x3000

GLOBAL: Final = 0x10000
"""Not tagged with an address space: an invalidation by tag does not remove it."""
PARTIAL: Final = 0x20000
"""Only a part of the page can be accessed."""
UNKNOWN: Final = 0x40000
"""What the hardware grants is not known; the access bits are a guess."""


def _rwx(access: int) -> str:
    """Three letters for the low three bits of ``access``."""
    return (
        ("r" if access & U_READ else "-")
        + ("w" if access & U_WRITE else "-")
        + ("x" if access & U_EXEC else "-")
    )


def _follows(user: int, privileged: int) -> bool:
    """Whether the privileged access is what one expects from the unprivileged one.

    That is: the same, or the same without execution of what the unprivileged may write.
    """
    if user == privileged:
        return True
    return bool(user & U_WRITE) and privileged == user & ~U_EXEC


def access_text(meaning: int) -> str:
    """A canonical access in words: "rwx cached inner", "r-- device outer", "--x/rwx cached".

    First who may read, write, execute; with a slash, unprivileged/privileged (GPU/firmware)
    where the privileged access is not what follows from the unprivileged one: the same, or
    the same less execution of what the unprivileged may write. Then the memory type, the
    shareability, and "global", "partial" or "unknown" where they apply. Within one format,
    two accesses with the same text are the same.
    """
    user = meaning & 7
    privileged = meaning >> 3 & 7
    parts = [_rwx(user) if _follows(user, privileged) else f"{_rwx(user)}/{_rwx(privileged)}"]
    memory = meaning & MEMORY_MASK
    if memory >= OTHER_MEMORY:
        parts.append(f"attribute-{(memory - OTHER_MEMORY) >> 8}")
    elif memory != UNSTATED:
        parts.append(("non-cached", "cached", "device")[memory >> 8])
    share = (meaning & SHARE_MASK) >> 12
    if share:
        parts.append(("", "share-1", "outer", "inner")[share])
    if meaning & GLOBAL:
        parts.append("global")
    if meaning & PARTIAL:
        parts.append("partial")
    if meaning & UNKNOWN:
        parts.append("unknown")
    return " ".join(parts)


def access_letters(meaning: int) -> str:
    """A canonical access in 4 or 5 letters, for strips: "rw-c", "rwxcp", "r--d".

    * r, w, x or - each: read, write, execute;
    * memory type: c cached, n non-cached, d device, . not stated by the entry, ? another;
    * p: the letters are those of the privileged (firmware) observer, the other has less;
      u: those of the unprivileged (GPU) one, the privileged has less than that;
      m: mixed, the letters are what either has. Absent where :func:`access_text` has no slash.

    Shorter than :func:`access_text`, and so not different for all that differs.
    """
    user = meaning & 7
    privileged = meaning >> 3 & 7
    memory = meaning & MEMORY_MASK
    letter = "?" if memory >= OTHER_MEMORY else "ncd."[memory >> 8]
    shown = _rwx(user | privileged) + letter
    if _follows(user, privileged):
        return _rwx(user) + letter
    if user & ~privileged == 0:
        return shown + "p"
    if privileged & ~user == 0:
        return shown + "u"
    return shown + "m"


def prot_text(prot: int) -> str:
    """A prot as its flags' names: "READ|WRITE|CACHE"; "0" for none."""
    named = [name for i, name in enumerate(PROT_NAMES) if prot >> i & 1]
    rest = prot & ~(PROT_COUNT - 1)
    if rest:
        named.append(f"{rest:#x}")
    return "|".join(named) or "0"
