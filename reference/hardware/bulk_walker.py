"""The table walk for many addresses at once, in numpy, over a snapshot of table memory.

It says what ``reference.hardware.walker.Walker`` says of each address, level by level
for all of them together. Use it to look at a whole address space; the scalar walker is
for one address between two events.

Words are computed with as signed 64-bit numbers (see ``reference.words``).

Source: as the walker's, the tables of ``reference.formats``.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from mypy_extensions import i64

from reference.formats.format import Format, Geometry, Level
from reference.hardware.memory import POISON, PhysicalMemory
from reference.hardware.walker import NO_ROOT, REGISTERS

FAULT: Final = (1 << 64) - 1
"""The output address where there is no translation."""
NO_ACCESS: Final = -1
"""The access where there is no translation."""

IMAGE_LIMIT: Final = 1 << 30
"""The most bytes that an image may span."""

_SLOTS: Final = 2048

_TOGETHER: Final = 1 << 14
"""How many addresses are walked at a time: few enough that what is known of them stays in a
processor's cache from one level to the next."""


class Found:
    """What is found of many addresses, in their order; at first there are faults."""

    def __init__(self, count: int) -> None:
        self.pa: npt.NDArray[np.uint64] = np.full(count, FAULT, dtype=np.uint64)
        """Output addresses."""
        self.level: npt.NDArray[np.int8] = np.full(count, -1, dtype=np.int8)
        """Levels of the entries at which the walks ended; -1: nothing was walked."""
        self.access: npt.NDArray[np.int32] = np.full(count, NO_ACCESS, dtype=np.int32)
        """The access that leaves grant, less what tables on the way deny."""


def image_of(memory: PhysicalMemory) -> tuple[int, npt.NDArray[np.uint64]]:
    """(base, words): all allocated table pages as one contiguous snapshot.

    ``base`` is the physical address of ``words[0]``, a multiple of the granule; the
    snapshot ends with the last page. What lies between pages is POISON, which no format
    takes for a valid entry. Root registers, which are not in memory, come after the last
    page, where there are any. Without any page: (0, no words).

    Raises:
        ValueError: the pages lie further apart than ``IMAGE_LIMIT`` bytes.
    """
    granule = memory.granule
    places = [pa for pa in memory.pages if pa >= 0]
    base = min(places, default=0)
    end = max(places, default=-granule) + granule
    if end - base > IMAGE_LIMIT:
        raise ValueError(
            f"memory has table pages from {base:#x} to {end - 1:#x}; "
            f"allowed are up to {IMAGE_LIMIT:#x} bytes from the first to the last"
        )
    size = end - base + (granule if REGISTERS in memory.pages else 0)
    words = np.full(size >> 3, POISON, dtype=np.int64)
    for pa, page in memory.pages.items():
        first = ((end if pa == REGISTERS else pa) - base) >> 3
        words[first : first + len(page.words)] = page.words
    return base, words.view(np.uint64)


def translate_many(
    image: npt.NDArray[np.uint64],
    base: int,
    geometry: Geometry,
    root: int,
    vas: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int8], npt.NDArray[np.int32]]:
    """(pa uint64[n], level int8[n], access int32[n]) for each of ``vas`` uint64[n].

    Args:
        image: table memory, as from :func:`image_of`.
        base: physical address of its first word; a multiple of the granule.
        geometry: the layout of the table.
        root: physical address of the root table, NO_ROOT, or REGISTERS for the registers at
            the end of the image: what ``Walker.root`` holds.
        vas: input addresses (any byte), 0 to 2**64-1.

    ``pa`` is the output address of that byte, ``access`` the canonical access of the leaf
    less what table entries on the way deny; FAULT and NO_ACCESS where the walk faults.
    ``level`` is that of the entry at which the walk ended, leaf or not; -1 where no root
    is attached or the address is beyond the input size.

    Raises:
        ValueError: an array of another type or shape, or ``base`` not a multiple of the
            granule.
    """
    _check(image, base, geometry.format, vas)
    count = len(vas)
    whole = Found(count)
    if root == NO_ROOT:
        return whole.pa, whole.level, whole.access
    if root == REGISTERS:
        root = base + (len(image) << 3) - geometry.format.granule
    words = np.ascontiguousarray(image).view(np.int64)
    for start in range(0, count, _TOGETHER):
        some = slice(start, start + _TOGETHER)
        found = Found(0)
        found.pa, found.level, found.access = whole.pa[some], whole.level[some], whole.access[some]
        _walk(words, base, geometry, root, vas[some], found)
    return whole.pa, whole.level, whole.access


def _walk(
    words: npt.NDArray[np.int64],
    base: int,
    geometry: Geometry,
    root: int,
    vas: npt.NDArray[np.uint64],
    found: Found,
) -> None:
    """Walk ``vas``, and write down what is found; before, there are faults."""
    fmt = geometry.format
    inside = vas < np.uint64(geometry.limit)
    if not inside.any():
        return
    # Only those still on their way are carried from level to level: where they are in the
    # result, their addresses, tables (none yet: the root), and what tables denied them.
    at: npt.NDArray[np.int64] | slice = slice(None)
    va = np.ascontiguousarray(vas).view(np.int64)
    if not inside.all():
        at = np.flatnonzero(inside)
        va = va[at]
    tables: npt.NDArray[np.int64] | None = None
    aligned = False
    denied: npt.NDArray[np.int32] | None = None
    level: i64 = geometry.start_level
    while True:
        entry = fmt.tables[level]
        index = va >> entry.shift
        index &= geometry.entries(level) - 1
        word = _fetch(words, base, fmt.granule, root, tables, aligned, index)
        if entry.table is None:
            found.level[at] = level
            _finish(fmt, entry, word, va, at, denied, found)
            return
        goes_on = (word & entry.table_mask) == entry.table_match
        if not goes_on.all():
            ended = np.flatnonzero(~goes_on)
            where = _pick(at, ended)
            found.level[where] = level
            if entry.leaf is not None:
                before = None if denied is None else denied[ended]
                _finish(fmt, entry, word[ended], va[ended], where, before, found)
            kept = np.flatnonzero(goes_on)
            if len(kept) == 0:
                return
            at = _pick(at, kept)
            va = va[kept]
            word = word[kept]
            denied = None if denied is None else denied[kept]
        denied = _denials(fmt, entry, word, denied)
        word &= entry.table_address
        if entry.table_up:
            word <<= entry.table_up
        tables = word
        aligned = not (entry.table_address << entry.table_up) & (fmt.granule - 1)
        level += 1


def _pick(
    at: npt.NDArray[np.int64] | slice, chosen: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The places of those of ``at`` that are ``chosen``; a slice stands for all places."""
    return chosen if isinstance(at, slice) else at[chosen]


def _check(
    image: npt.NDArray[np.uint64], base: int, fmt: Format, vas: npt.NDArray[np.uint64]
) -> None:
    for name, array in (("image", image), ("vas", vas)):
        if array.dtype != np.uint64 or array.ndim != 1:
            raise ValueError(
                f"{name} has type {array.dtype} and shape {array.shape}; "
                "allowed are one-dimensional uint64 arrays"
            )
    if base < 0 or base & (fmt.granule - 1):
        raise ValueError(f"base is {base:#x}; allowed are multiples of {fmt.granule:#x}")


def _fetch(
    words: npt.NDArray[np.int64],
    base: int,
    granule: int,
    root: int,
    tables: npt.NDArray[np.int64] | None,
    aligned: bool,
    index: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """The entries at ``index`` of ``tables`` (None: of the root); POISON outside the image.

    ``aligned``: the tables' addresses are known to be multiples of the granule.
    """
    size = len(words)
    if tables is None:
        first = (root - base) >> 3
        if root & (granule - 1) or first < 0 or first >= size:
            return np.full(len(index), POISON, dtype=np.int64)
        index += first
        return words.take(index)
    offset = tables - base
    # Seen as unsigned, what lies before the image is beyond its end, too. A table that is
    # not aligned is no table; in most formats an entry cannot say one.
    outside = offset.view(np.uint64) >= np.uint64(size << 3)
    if not aligned:
        outside |= (offset & (granule - 1)) != 0
    offset >>= 3
    offset += index
    if not outside.any():
        return words.take(offset)
    offset[outside] = 0
    found = words.take(offset) if size else offset
    found[outside] = POISON
    return found


def _finish(
    fmt: Format,
    entry: Level,
    word: npt.NDArray[np.int64],
    va: npt.NDArray[np.int64],
    at: npt.NDArray[np.int64] | slice,
    denied: npt.NDArray[np.int32] | None,
    found: Found,
) -> None:
    """Write down the leaves among ``word``, whose places in the result are ``at``."""
    leaf = (word & entry.leaf_mask) == entry.leaf_match
    if not leaf.all():
        chosen = np.flatnonzero(leaf)
        if len(chosen) == 0:
            return
        word, va, at = word[chosen], va[chosen], _pick(at, chosen)
        denied = None if denied is None else denied[chosen]
    granted = _meanings(fmt, entry, word)
    if denied is not None:
        granted &= ~denied
    found.access[at] = granted
    output = word & entry.leaf_address
    if entry.leaf_up:
        output <<= entry.leaf_up
    output += va & (entry.span - 1)
    found.pa[at] = output.view(np.uint64)


def _meanings(fmt: Format, entry: Level, word: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """The canonical access of each of ``word``, leaves at ``entry``'s level.

    The format is asked once for each combination of attributes, not for each word.
    """
    chosen = word & entry.leaf_attributes
    first = int(chosen[0])
    if (chosen == first).all():
        # As in most tables: pages with the same attributes lie side by side.
        alike = fmt.meaning(entry.number, entry.leaf_match | first)
        return np.full(len(word), alike, dtype=np.int32)
    # A small number for each combination, as in ``Format.meaning``; two can share one.
    slot = chosen >> 43
    slot ^= chosen
    slot ^= chosen >> 2
    slot &= _SLOTS - 1
    bits = np.zeros(_SLOTS, dtype=np.int64)
    bits[slot] = chosen
    meaning = np.zeros(_SLOTS, dtype=np.int32)
    for number in np.flatnonzero(np.bincount(slot, minlength=_SLOTS)).tolist():
        meaning[number] = fmt.meaning(entry.number, entry.leaf_match | int(bits[number]))
    found: npt.NDArray[np.int32] = meaning[slot]
    other = bits[slot] != chosen
    if other.any():
        # Of those that share a number, one was asked for. The others have their turn now.
        left = np.flatnonzero(other)
        found[left] = _meanings(fmt, entry, word[left])
    return found


def _denials(
    fmt: Format,
    entry: Level,
    word: npt.NDArray[np.int64],
    denied: npt.NDArray[np.int32] | None,
) -> npt.NDArray[np.int32] | None:
    """What is denied below each of ``word``, table entries, besides what was before."""
    if entry.table_attributes == 0:
        return denied
    chosen = word & entry.table_attributes
    if not chosen.any():
        return denied
    found = np.zeros(len(word), dtype=np.int32) if denied is None else denied.copy()
    for value in np.unique(chosen).tolist():
        found[chosen == value] |= fmt.denied(entry.number, entry.table_match | value)
    return found
