"""TR, ER: addresses lead where callers were told, and nothing is lost by a wrong call."""

from conformance.rules.rule import MISUSE, Rule
from conformance.systems.dart.rules.step import DartStep
from reference.formats.access import access_text
from reference.hardware.context import Difference, Space
from reference.systems.dart.promise import expected_translation
from reference.translations import Translations


def _compared(step: DartStep) -> tuple[int, Space, Translations, Difference | None] | None:
    """How much was compared, and what differs: of a mapped range, or of software bypass."""
    state, domain = step.state, step.call.domain
    if not step.succeeded:
        return None
    if step.kind in ("map", "unmap") and domain is not None and domain.made:
        first = max(step.first - state.page, 0)
        last = min(step.last + state.page, state.limit - 1)
        return 1, domain.space, domain.pages, domain.space.difference(domain.pages, first, last)
    if step.kind == "attach":
        for stream in step.events.touched:
            unit = state.units[stream.unit]
            if int(unit.space.number) in state.walks(stream):
                last = state.limit - 1
                return 1, unit.space, unit.pages, unit.space.difference(unit.pages, 0, last)
    return None


def address_check(step: DartStep) -> int:
    """TR-1: each page that was touched, and one on each side, leads where it should."""
    compared = _compared(step)
    if compared is None:
        return 0
    count, _, pages, found = compared
    if found is not None and found.address:
        pa, _prot = pages.lookup(found.va)
        wanted = "mapped" if pa >= 0 else "unmapped"
        step.violate(
            "TR-1", f"{wanted} wanted, {'nothing' if found.pa < 0 else 'another address'} found",
            f"After {step.kind}, the walk of {found.va:#x} does not give what was promised.",
            f"{pa:#x}" if pa >= 0 else "nothing", f"{found.pa:#x}" if found.pa >= 0 else "nothing",
            corrupts=True,
        )  # fmt: skip
    return count


def access_check(step: DartStep) -> int:
    """TR-2: what a page grants is what was asked for."""
    compared = _compared(step)
    if compared is None:
        return 0
    count, _, pages, found = compared
    if found is not None and not found.address:
        fmt = step.state.format
        promised = fmt.promised(pages.lookup(found.va)[1])
        granted = fmt.meaning(found.level, found.word)
        step.violate(
            "TR-2", f"{access_text(granted)} for {access_text(promised)}",
            f"After {step.kind}, the entry for {found.va:#x} grants {access_text(granted)}.",
            access_text(promised), access_text(granted), corrupts=True,
        )  # fmt: skip
    return count


def translate_check(step: DartStep) -> int:
    """TR-51: the driver's own translation says what was promised."""
    expected = expected_translation(step.state, step.call)
    found = step.result.value & 0xFFFF_FFFF_FFFF_FFFF
    if found != expected:
        step.violate(
            "TR-51", f"{'mapped' if expected else 'unmapped'} wanted",
            f"The driver translates {step.address('iova'):#x} to {found:#x}.",
            f"{expected:#x}", f"{found:#x}",
        )  # fmt: skip
    return 1


def lost_check(step: DartStep) -> int:
    """ER-52: a wrong call loses nothing that was mapped."""
    domain = step.call.domain
    if step.sort != MISUSE or domain is None or not domain.made or step.last < step.first:
        return 0
    parts = domain.pages.parts(step.first, step.last)
    for part in parts:
        first = max(part.first, 0)
        if domain.space.difference(domain.pages, first, part.last) is not None:
            step.violate(
                "ER-52", f"{step.reason}, mapping lost",
                f"{step.kind} ({step.reason}) changed what {first:#x} leads to.",
                "what was mapped stays, or an error and nothing changed", "another entry",
                corrupts=True,
            )  # fmt: skip
            break
    return len(parts)


RULES = (
    Rule(
        "ER-52",
        "A call outside the contract may do what it likes to addresses where nothing is mapped, "
        "but nothing that was mapped is lost.",
        "A mistake of one caller makes another caller's buffer vanish.",
        "formats.md F.4 (never overwrites a valid leaf); KB-21",
        lost_check,
        frozenset({"map", "unmap"}),
        misuse=True,
    ),
    Rule(
        "TR-1",
        "After a map or unmap every page that it touched, and one on each side, leads where "
        "callers were told, or nowhere; software bypass leads each page of its window on.",
        "The device reads and writes memory that belongs to somebody else.",
        "formats.md F.4, C.2, C.5 (software bypass)",
        address_check,
        frozenset({"map", "unmap", "attach"}),
    ),
    Rule(
        "TR-2",
        "A mapped page has the permission and the memory type that were asked for; flags that the "
        "unit cannot enforce change nothing.",
        "The device writes what it may only read, or goes past the CPU's caches.",
        "formats.md C.2; KB-05",
        access_check,
        frozenset({"map", "unmap", "attach"}),
    ),
    Rule(
        "TR-51",
        "iova_to_phys gives the address that was mapped, with the offset in the page; 0 where "
        "nothing is; in an identity domain the address itself.",
        "The caller syncs, dumps or frees the wrong memory.",
        "formats.md C.5 (iova_to_phys), F.4; KB-18, KB-41",
        translate_check,
        frozenset({"translate"}),
    ),
)
