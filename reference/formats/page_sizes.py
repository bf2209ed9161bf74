"""The choice among page sizes."""

from collections.abc import Sequence


def page_sizes_of(bitmap: int) -> tuple[int, ...]:
    """The page sizes, in bytes and ascending, of a bitmap in which each is one bit.

    Raises:
        ValueError: ``bitmap`` is negative.
    """
    if bitmap < 0:
        raise ValueError(f"bitmap is {bitmap}; allowed are 0 and above")
    return tuple(1 << bit for bit in range(bitmap.bit_length()) if bitmap >> bit & 1)


def best_page_size(
    page_sizes: Sequence[int] | int, iova: int, pa: int, size: int
) -> tuple[int, int]:
    """One step of mapping (or, with ``pa = iova``, unmapping) ``size`` bytes at ``iova``.

    The page size is the largest that divides both addresses and fits. The count is how many
    pages of it come before the first place where a larger size could be used, or else before
    the end.

    Args:
        page_sizes: powers of two, ascending, or a bitmap of them.
        iova, pa: bytes, 0 or above.
        size: bytes, 1 or more.

    Returns:
        (page size in bytes, count, 1 or more).

    Raises:
        ValueError: no page size divides the addresses and fits, or an argument is negative.
    """
    sizes = page_sizes_of(page_sizes) if isinstance(page_sizes, int) else tuple(page_sizes)
    if iova < 0 or pa < 0:
        raise ValueError(f"iova, pa are {iova:#x}, {pa:#x}; allowed are 0 and above")
    best = 0
    larger = 0
    for candidate in sizes:
        if candidate <= size and not (iova | pa) & (candidate - 1):
            best = candidate
            larger = 0
        elif not larger:
            larger = candidate
    if not best:
        raise ValueError(
            f"iova, pa, size are {iova:#x}, {pa:#x}, {size:#x}; allowed are multiples of the "
            f"smallest of {', '.join(f'{one:#x}' for one in sizes)}, and a size of at least that"
        )
    if larger and not (iova ^ pa) & (larger - 1):
        before = -iova & (larger - 1)
        if before + larger <= size:
            size = before
    return best, size // best
