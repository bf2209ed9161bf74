"""RC: references to the VM, to buffers and to the links between them are what a recount gives."""

from conformance.rules.rule import Rule, Violation
from conformance.systems.gpuvm.rules.step import GpuvmStep
from reference.trace import REFS_BUFFER, REFS_VM, REFS_VM_BO

NAMES = {REFS_VM: "VM", REFS_BUFFER: "buffer", REFS_VM_BO: "link"}


def expected_count(step: GpuvmStep, what: int, number: int) -> int:
    """What a recount gives."""
    state = step.state
    if what == REFS_VM:
        return state.vm_count()
    if what == REFS_BUFFER:
        return state.buffer_count(number)
    return state.link_count(number)


def _compared(step: GpuvmStep, rule: str) -> int:
    for event, what, number, count in step.seen.counts:
        expected = expected_count(step, what, number)
        if count == expected:
            continue
        name = NAMES.get(what, "object")
        whose = name if what == REFS_VM else f"{name} of buffer {number}"
        step.violations.append(
            Violation(
                rule,
                f"{step.kind}, {name} has too {'many' if count > expected else 'few'} references",
                f"After {step.kind}, the {whose} has {count} references; a recount gives "
                f"{expected}.",
                event,
                -1,
                str(expected),
                str(count),
            )
        )
        return 1
    return int(len(step.seen.counts) > 0)


def count_check(step: GpuvmStep) -> int:
    """RC-4: counts equal a recount."""
    return _compared(step, "RC-4")


def left_check(step: GpuvmStep) -> int:
    """RC-20: nothing is left after destroy."""
    return _compared(step, "RC-20")


RULES = (
    Rule(
        "RC-4",
        "After each call the references to the VM (its owner, each VMA, each link), to each buffer "
        "(its open handle, its link) and to each link (each VMA of the buffer) are what a recount "
        "gives.",
        "A buffer is freed while it is mapped, or never.",
        "formats.md B.6 (refcounts); KB-13",
        count_check,
        frozenset({"create", "bo", "close", "map", "unmap", "evict", "validate"}),
    ),
    Rule(
        "RC-20",
        "After destroy no reference to the VM is left, none to a link, and to buffers only those "
        "of open handles.",
        "Every process that ends leaves its address space behind.",
        "formats.md B.6 (refcounts); KB-48",
        left_check,
        frozenset({"destroy"}),
    ),
)
