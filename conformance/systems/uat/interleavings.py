"""All interleavings of the handoff: ``python -m conformance.systems.uat.interleavings``.

The driver's and the firmware's own procedures run against each other, for ever, on a memory of each
order; states in which both go on alike are looked at once. Two programs are tried:

* ``lock``: the driver gives the one slot to two address spaces in turn; the firmware comes and
  goes;
* ``flush``: the driver takes the one cached page from the slot and gives it to somebody else; the
  firmware comes, goes, uses the page, and answers requests.

Looked for are two owners of the lock; a slot that is used by its former owner's root; a page that
was given away while the firmware has a translation or a line of it; and an actor that waits for
ever although the other goes on. Then each step that orders something is left out.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reference.systems.uat.device import (
    AP,
    FW,
    PAGE,
    field_name,
    ttb0,
)
from reference.systems.uat.driver import Handoff
from reference.systems.uat.firmware import TTBR, Firmware, Walks
from reference.systems.uat.interleaving import (
    ACQUIRE,
    CACHED,
    CHOICE,
    FENCE,
    GIVE,
    LOAD,
    LOOK,
    ORDER,
    ORDERS,
    PASS,
    PRIVATE,
    RELEASE,
    SC,
    STORE,
    TAKE,
    TOUCH,
    UNCACHED,
    Access,
    Accesses,
    Automaton,
    Done,
    Exploration,
    State,
    at,
    explore,
    fence,
    look,
    point,
    private,
    store,
    stuck,
)
from reference.trace import Trace

CONTEXT = 1
"""The one slot that there is."""
ROOTS = (0x4001, 0x8001)
"""Roots of two address spaces."""
VA = 0x4000
"""The one page."""
ENTRY, COPY, LINE, OWNER, FAILED = range(0x7_0005_0000, 0x7_0005_0028, 8)
"""Its entry, the TLB's copy, whether a line of it is cached, whether it was given away, and whether
a request came back unanswered."""
NAMES = {
    ENTRY: "entry",
    COPY: "tlb",
    LINE: "line",
    OWNER: "given away",
    FAILED: "failed",
    TTBR: "firmware's ttbr",
}
STEPS = 40
"""Interleavings are counted for schedules of so many steps."""

# -- the programs -------------------------------------------------------------------------------


class OnePage(Firmware):
    """The firmware, whose cache is one line and whose TLB has one entry, in memory."""

    def __init__(self, switch_flushes: bool) -> None:
        super().__init__(Walks(), switch_flushes, Trace())

    def entered(self, context: int, root: int) -> Accesses:
        """Nothing that is not in memory."""
        yield point("entered", live=context)
        return 0

    def clean(self, entry: int, va: int, size: int, live: int) -> Accesses:
        """The line goes."""
        yield private("cleaned", LINE, 0, live)
        return 0

    def forget(self, live: int) -> Accesses:
        """The line and the entry go."""
        yield private("forgotten 1", LINE, 0, live)
        yield private("forgotten 2", COPY, 0, live)
        return 0

    def comes_and_goes(self) -> Accesses:
        """Enter and leave the slot, for ever."""
        while True:
            inside = yield look("fw 1", TTBR)
            choice = yield point("fw 2", CHOICE, 2, live=inside)
            if choice and inside == 0:
                yield from self.enter(CONTEXT)
            elif choice:
                yield from self.leave()
            yield point("fw 3", PASS)

    def uses_the_page(self) -> Accesses:
        """Answer, use the page, enter and leave, for ever."""
        while True:
            served = yield from self.serve()
            inside = yield look("fw 1", TTBR, served)
            choice = yield point("fw 2", CHOICE, 1 if served else 3, live=inside)
            if choice == 1 and inside == 0:
                yield from self.enter(CONTEXT)
            elif choice == 1:
                yield from self.leave()
            elif choice == 2 and inside != 0:
                yield Access(TOUCH, "fw 4", ENTRY, COPY, 0)
            yield point("fw 3", PASS)


def gives_the_slot() -> Accesses:
    """Give the slot to the other address space, unless the firmware is in it; now and then."""
    handoff = Handoff(2)
    while True:
        yield from handoff.lock()
        current = yield from handoff.current()
        if current != CONTEXT:
            root = yield look("rebind 1", ttb0(CONTEXT))
            other = ROOTS[1] if root == ROOTS[0] else ROOTS[0]
            yield store("rebind 2", ttb0(CONTEXT), other)
        yield from handoff.unlock()
        yield point("rebind 3", PASS)
        ends = yield point("rebind 4", CHOICE, 2)
        if ends:
            return 0


def takes_the_page(trusts_switch: bool) -> Accesses:
    """Take the page from the slot, give it away, get it back, map it again; for ever.

    The steps are those of ``Uat.take_down``.
    """
    handoff = Handoff(2)
    while True:
        # 1. Break before make: not cached from now on.
        yield store("drop 1", ENTRY, 0)
        yield fence("drop 2")
        yield private("drop 3", COPY, 0)
        yield store("drop 4", ENTRY, UNCACHED)
        yield fence("drop 5")
        # 2. Cleaned, if the firmware may have lines.
        yield from handoff.lock()
        current = yield from handoff.current()
        yield from at(f"{current}", handoff.unlock())
        if current == CONTEXT or not trusts_switch:
            yield from handoff.begin_flush(CONTEXT, VA, PAGE)
            yield from handoff.send(CONTEXT, VA, 1)
            result = yield from handoff.end_flush(CONTEXT)
            if result:
                yield private("drop failed", FAILED, 1)
        # 3. Unmapped.
        yield store("drop 6", ENTRY, 0)
        yield fence("drop 7")
        yield private("drop 8", COPY, 0)
        # 4. Somebody else's.
        yield private("drop 9", OWNER, 1)
        yield point("drop 10", PASS)
        yield private("map 1", OWNER, 0)
        yield store("map 2", ENTRY, CACHED)
        yield fence("map 3")


# -- what is wrong with a state -----------------------------------------------------------------


def lock_check(state: State) -> str:
    """Two owners, or a slot that was given away."""
    words = state.memory.words
    if state.holds[AP] and state.holds[FW]:
        return "both have the lock"
    root = words.get(TTBR, 0)
    if root and not state.holds[AP] and root != words.get(ttb0(CONTEXT), 0):
        return "the firmware uses a slot that was given away"
    return ""


def flush_check(state: State) -> str:
    """Two owners, or a page that was given away."""
    words = state.memory.words
    if state.holds[AP] and state.holds[FW]:
        return "both have the lock"
    if words.get(FAILED, 0):
        return "a request that was read, and not answered"
    if words.get(OWNER, 0) and words.get(LINE, 0):
        return "a line of a page that was given away"
    if words.get(OWNER, 0) and words.get(COPY, 0):
        return "a translation to a page that was given away"
    return ""


@dataclass(frozen=True)
class Program:
    """Two actors, what memory holds at first, and what must not be."""

    name: str
    driver: Callable[[], Accesses]
    firmware: Callable[[], Accesses]
    begin: dict[int, int]
    check: Callable[[State], str]


LOCK = Program(
    "lock",
    gives_the_slot,
    lambda: OnePage(False).comes_and_goes(),
    {ttb0(CONTEXT): ROOTS[0]},
    lock_check,
)
FLUSH = Program(
    "flush",
    lambda: takes_the_page(True),
    lambda: OnePage(True).uses_the_page(),
    {ttb0(CONTEXT): ROOTS[0], ENTRY: CACHED},
    flush_check,
)
ALWAYS = Program(
    "flush, a switch flushes nothing",
    lambda: takes_the_page(False),
    lambda: OnePage(False).uses_the_page(),
    {ttb0(CONTEXT): ROOTS[0], ENTRY: CACHED},
    flush_check,
)
PROGRAMS = (LOCK, FLUSH, ALWAYS)


@dataclass(frozen=True)
class Left:
    """A step that is left out, of a program; ``order``: the first in which that is wrong.

    "" for a step that no order needs.
    """

    what: str
    places: tuple[str, ...]
    program: Program
    order: str


LEFT_OUT = (
    Left("the driver's fence behind its flag", ("lock 2",), LOCK, "tso"),
    Left("the same, raised again", ("lock 8",), LOCK, "tso"),
    Left("the driver's acquiring fence", ("lock 9",), LOCK, "weak"),
    Left("the driver's turn is not given", ("unlock 2",), LOCK, "sc"),
    Left("the driver does not back off", ("lock 5", "lock 6", "lock 7", "lock 8"), LOCK, "sc"),
    Left("the driver's flag is not taken back", ("unlock 3",), LOCK, "sc"),
    Left("the firmware's fence behind its flag", ("fw lock 2",), LOCK, "tso"),
    Left("the same, raised again", ("fw lock 8",), LOCK, "tso"),
    Left("the firmware's acquiring fence", ("fw lock 9",), LOCK, "weak"),
    Left("the firmware's turn is not given", ("fw unlock 2",), LOCK, "sc"),
    Left("the fence before the first invalidation", ("drop 2",), FLUSH, "tso"),
    Left("the first invalidation (KB-09)", ("drop 3",), FLUSH, "sc"),
    Left("the fence behind the new attribute", ("drop 5",), FLUSH, ""),
    Left("the order fence before the message", ("send 5",), FLUSH, "weak"),
    Left("the acquiring fence behind the answer", ("send 8",), FLUSH, "weak"),
    Left("the request", ("begin 3",), FLUSH, "sc"),
    Left("the message", ("send 6", "send 7"), FLUSH, "sc"),
    Left("the wait for the answer", ("send 7",), FLUSH, "sc"),
    Left("the fence before the last invalidation", ("drop 7",), FLUSH, "tso"),
    Left("the last invalidation", ("drop 8",), FLUSH, "sc"),
    Left("the firmware cleans nothing", ("cleaned",), FLUSH, "sc"),
    Left("a switch flushes nothing, and the driver relies on it", ("forgotten 1",), FLUSH, "sc"),
)


def run(
    program: Program, order: int, without: Sequence[str] = (), first: bool = False
) -> Exploration:
    """All states of a program under an order, with some places left out.

    ``first``: up to the first thing that goes wrong.
    """
    left = frozenset(without)
    actors = [Automaton(program.driver, left), Automaton(program.firmware, left)]
    # What each of them uses is the same under every order, and soon known under this one.
    known = explore(actors, SC, lambda state: "", program.begin).traffic(len(actors))
    return explore(actors, order, program.check, program.begin, traffic=known, first=first)


def failure(found: Exploration) -> tuple[str, list[Done]]:
    """What goes wrong, and the shortest schedule that leads to it; "" and [] for nothing."""
    for what, schedule in found.failures.items():
        return what, schedule
    for actor, name in ((AP, "driver"), (FW, "firmware")):
        schedule = stuck(found, actor)
        if schedule:
            return f"the {name} waits for ever", schedule
    return "", []


# -- telling ------------------------------------------------------------------------------------


def _name(address: int) -> str:
    return NAMES.get(address) or field_name(address)


def step_text(done: Done) -> str:
    """One step, for people."""
    access = done.access
    name = _name(access.address)
    if done.drained:
        return (
            "order fence done" if access.address < 0 else f"{name} = {access.value:#x} is visible"
        )
    if access.kind in (STORE, RELEASE, PRIVATE):
        return f"{name} := {access.value:#x}{' (release)' if access.kind == RELEASE else ''}"
    if access.kind in (LOAD, LOOK):
        return f"{name}: {done.value:#x}{' (early)' if done.early else ''}"
    return {
        FENCE: "full fence", ACQUIRE: "acquiring fence", ORDER: "order fence", TAKE: "has the lock",
        GIVE: "gives the lock", PASS: "round over", TOUCH: "uses the page",
        CHOICE: f"choice {done.value}",
    }.get(access.kind, access.place)  # fmt: skip


def columns(schedule: Sequence[Done]) -> list[str]:
    """A schedule as two columns: what the driver does, and what the firmware does."""
    lines = [f"{'driver':<40} firmware"]
    for done in schedule:
        text = step_text(done)
        lines.append(f"{text:<40}".rstrip() if done.actor == AP else f"{'':<40} {text}")
    return lines


def main(arguments: Sequence[str]) -> int:
    """The command; 0: all is as it has to be."""
    parser = argparse.ArgumentParser(
        prog="python -m conformance.systems.uat.interleavings",
        description="Look at all interleavings of driver and firmware; exit 1 if one is wrong.",
    )
    parser.add_argument("--order", choices=ORDERS, help="only under this memory order")
    parser.add_argument("--left-out", action="store_true", help="with each step left out, too")
    parser.add_argument("--show", action="store_true", help="print the failing schedules")
    chosen = parser.parse_args(arguments)
    wrong = 0
    orders = [ORDERS.index(chosen.order)] if chosen.order else range(len(ORDERS))
    for program in PROGRAMS:
        for order in orders:
            started = time.monotonic()
            found = run(program, order)
            what, schedule = failure(found)
            seconds = time.monotonic() - started
            wrong += bool(what) or not found.complete
            print(
                f"{program.name}, {ORDERS[order]}: {found.states} states, {len(found.edges)} "
                f"steps, {found.interleavings(STEPS):.3g} interleavings of {STEPS} steps, "
                f"{seconds:.1f} s: {what or 'holds'}{'' if found.complete else ', NOT COMPLETE'}",
                flush=True,
            )
            if what and chosen.show:
                print(*columns(schedule), sep="\n")
    if chosen.left_out:
        for left in LEFT_OUT:
            wrong += not _leave_out(left, chosen.show)
    return 1 if wrong else 0


def _leave_out(left: Left, show: bool) -> bool:
    """Try a program without a step under each order; whether it fails where it has to."""
    outcomes = []
    shown: list[Done] = []
    for order, name in enumerate(ORDERS):
        what, schedule = failure(run(left.program, order, left.places, first=True))
        outcomes.append(f"{name}: {what or 'holds'}")
        if what and not shown:
            shown = schedule
        needed = left.order and order >= ORDERS.index(left.order)
        if bool(what) != bool(needed):
            outcomes[-1] += " (UNEXPECTED)"
    print(f"without {left.what} ({', '.join(left.places)}): {'; '.join(outcomes)}", flush=True)
    if show and shown:
        print(*columns(shown), sep="\n")
    return not any("UNEXPECTED" in one for one in outcomes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
