"""SP, ER, RC: what the allocator has is what callers were told, and what lies between."""

from collections.abc import Sequence

from conformance.rules.errnos import errno_kind
from conformance.rules.rule import Rule
from conformance.systems.va_alloc.rules.step import AllocStep, shown
from reference.systems.va_alloc.promise import HOLE, Range


def _difference(step: AllocStep) -> tuple[str, Range | None, Range | None] | None:
    """How what the allocator has differs from what it has to have: what, wanted, there."""
    wanted: Sequence[Range] = step.space.around(step.first, step.last)
    there: Sequence[Range] = step.seen.listed
    for number in range(max(len(wanted), len(there))):
        one = wanted[number] if number < len(wanted) else None
        other = there[number] if number < len(there) else None
        if one is not None and other is not None and one.same(other):
            continue
        return _how(one, other), one, other
    return None


def _how(one: Range | None, other: Range | None) -> str:
    if one is None or other is None:
        return "something missing" if other is None else "something too many"
    if one.number != other.number:
        missing, instead = ("hole" if each.number == HOLE else "range" for each in (one, other))
        return f"{instead} in the place of a {missing}"
    kind = "hole" if one.number == HOLE else "range"
    return f"{kind} too {'long' if other.last > one.last else 'short'}"


def tile_check(step: AllocStep) -> int:
    """SP-41: ranges and holes tile the window."""
    if step.result.result != 0 or (step.kind == "destroy" and not _all_free(step)):
        return 0
    found = _difference(step)
    if found is not None:
        how, one, other = found
        step.violate(
            "SP-41",
            how,
            f"After {step.kind}, what the allocator has is not what was given out and the holes "
            "between.",
            shown(one),
            shown(other),
        )
    return 1


def unchanged_check(step: AllocStep) -> int:
    """ER-2: a call that fails changes nothing."""
    if step.result.result == 0:
        return 0
    found = _difference(step)
    if found is not None:
        how, one, other = found
        failed = errno_kind(step.result.result)
        step.violate(
            "ER-2",
            f"{failed}, {how}",
            f"{step.kind} failed with {failed}, but what the allocator has is not what it had.",
            shown(one),
            shown(other),
        )
    return 1


def _all_free(step: AllocStep) -> bool:
    """Whether all addresses of the window are holes', be it one or several."""
    at = step.first
    for one in step.seen.listed:
        if one.number != HOLE or one.first != at:
            return False
        at = one.last + 1
    return at == step.last + 1


def left_check(step: AllocStep) -> int:
    """RC-40: when all has come back, all is free."""
    if not _all_free(step):
        left = [one for one in step.seen.listed if one.number != HOLE]
        what = shown(left[0]) if left else "addresses that are in no hole"
        step.violate(
            "RC-40",
            "range left" if left else "addresses lost",
            f"All ranges were given back; what is left is {what}.",
            "all addresses of the window free",
            what,
        )
    return 1


RULES = (
    Rule(
        "SP-41",
        "Ranges and holes tile the window: each range is as it was given out until it comes back, "
        "all that lies between two of them is one hole.",
        "Addresses are lost until the window ends, or are given out twice.",
        "Linux drivers/gpu/drm/drm_mm.c (overview); include/drm/drm_mm.h (drm_mm_hole_follows)",
        tile_check,
        frozenset({"create", "alloc", "reserve", "free", "destroy"}),
    ),
    Rule(
        "ER-2",
        "A call that fails changes nothing.",
        "Each failure leaves the address space a little smaller.",
        "semantics.md (calls)",
        unchanged_check,
        frozenset({"alloc", "reserve", "free"}),
    ),
    Rule(
        "RC-40",
        "When all ranges have come back, all addresses of the window are free again.",
        "What lives as long as the window, and is used again and again, fills up.",
        "include/drm/drm_mm.h (drm_mm_clean); drm_mm_takedown",
        left_check,
        frozenset({"destroy"}),
    ),
)
