"""The firmware of the GPU as a driver of its own, and the machine that it shares with the driver.

It has a context of a user in its lower half, or none; it takes and gives its half of the lock; it
answers requests to clean a range; and it reads and writes mapped memory, whose lines it caches
where the mapping says so. It does one thing after the other, and stops between any two accesses
for as long as it likes.

What it is known to do, and what is assumed of it, is said at each procedure. It works on no table:
it only walks.

:class:`Soc` runs both: the driver's call, and the firmware where a switch was asked for, and while
the driver waits. A store leaves its buffer as late as its order allows, and a load is satisfied
early once where that is allowed, so that a schedule is a list of switches and nothing else.

Source: formats.md A.3, A.4, A.9, H.1 (what drivers assume of it).
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

from reference.drivers.budget import Steps
from reference.systems.uat.device import (
    AP,
    AP_TURN,
    CLEAN,
    CLEANED,
    CUR_SLOT,
    DIRTY,
    DONE,
    DROPPED,
    DSB,
    ENTERED,
    FENCED,
    FW,
    GIVEN,
    KERNEL_ENTRY,
    LINE,
    LOADED,
    LOCK_AP,
    LOCK_FW,
    LOWER,
    MAGIC,
    MAGIC_FW,
    MESSAGE_SLOT,
    NO_CONTEXT,
    PAGE,
    PAGETABLES,
    REQUESTED,
    RING_READ,
    RING_WRITE,
    SEEN,
    STORED,
    SWITCHED,
    TAKEN,
    TLBI,
    TURN,
    UPPER,
    WRITTEN_BACK,
    Scope,
    decode_tlbi,
    flush_address,
    flush_size,
    flush_state,
    split,
    ttb0,
    whole,
)
from reference.systems.uat.interleaving import (
    ACQUIRE,
    FENCE,
    GIVE,
    LOAD,
    MARK,
    NAP,
    ORDER,
    RELEASE,
    SC,
    STORE,
    TAKE,
    Access,
    Accesses,
    SharedMemory,
    acquire,
    fence,
    load,
    look,
    point,
    private,
    release,
    store,
)
from reference.trace import Trace
from reference.words import to_signed

TTBR: Final = 0x7_0004_0000
"""The firmware's own root register of the lower half: the word that it loaded, 0 for none."""

PATIENCE: Final = 10
"""Rounds without anything to do after which the firmware leaves a user's context."""


class Line:
    """A line of a page at ``pa`` that is cached, in ``half`` of a context, for ``va`` there."""

    def __init__(self, context: int, half: int, va: int, pa: int, dirty: bool) -> None:
        self.context: int = context
        self.half: int = half
        self.va: int = va
        self.pa: int = pa
        self.dirty: bool = dirty


class Task:
    """What the firmware is to do: "enter" a context, "leave", or "touch" an address."""

    def __init__(self, what: str, context: int, va: int, write: bool) -> None:
        self.what: str = what
        self.context: int = context
        self.va: int = va
        self.write: bool = write


@mypyc_attr(allow_interpreted_subclasses=True)
class Walks:
    """How the firmware reads page tables."""

    def leaf(self, root: i64, half: int, va: int) -> int:
        """The leaf entry for an address of a half, held; 0 if there is none."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class Firmware:
    """The firmware.

    ``walks``: how it reads page tables; ``switch_flushes``: whether it cleans its cache and drops
    its TLB whenever it changes context, as drivers assume. ``tasks``: what it is to do. ``tlb``:
    entries by half and page. ``lines``: what it has cached. ``mute``: it answers no request, and
    leaves no context. ``context``: the one that it is in.
    """

    def __init__(self, walks: Walks, switch_flushes: bool, trace: Trace) -> None:
        self.walks: Walks = walks
        self.switch_flushes: bool = switch_flushes
        self.trace: Trace = trace
        self.tasks: list[Task] = []
        self.tlb: dict[tuple[int, int, int], int] = {}
        self.lines: list[Line] = []
        self.mute: bool = False
        self.context: int = NO_CONTEXT
        self.quiet: int = 0
        self.busy: bool = False

    # -- the lock: the driver's, with the turns the other way round ---------------------------

    def acquire(self) -> Accesses:
        """Take the handoff lock."""
        # 1. The own flag is up, for the driver to see, before its flag is looked at.
        yield store("fw lock 1", LOCK_FW, 1)
        yield fence("fw lock 2")
        while True:
            # 2. Is the driver's down?
            other = yield load("fw lock 3", LOCK_AP)
            if other == 0:
                break
            # 3. If it is not, and it is the driver's turn: back off until it is not.
            turn = yield load("fw lock 4", TURN)
            if turn != AP_TURN:
                continue
            yield store("fw lock 5", LOCK_FW, 0)
            while turn == AP_TURN:
                turn = yield load("fw lock 6", TURN)
            yield store("fw lock 7", LOCK_FW, 1)
            yield fence("fw lock 8")
        # 4. Nothing of what follows is read before.
        yield acquire("fw lock 9")
        yield point("fw lock 10", TAKE)
        return 0

    def release(self) -> Accesses:
        """Give it back, and the turn to the driver."""
        yield point("fw unlock 1", GIVE)
        yield store("fw unlock 2", TURN, AP_TURN)
        yield release("fw unlock 3", LOCK_FW, 0)
        return 0

    # -- contexts -----------------------------------------------------------------------------

    def boot(self) -> Accesses:
        """Say that it is ready."""
        yield release("boot 1", MAGIC_FW, MAGIC)
        return 0

    def enter(self, context: int) -> Accesses:
        """Have a user's context in the lower half, if it has a root. 1: it has."""
        yield from self.acquire()
        root = yield load("enter 1", ttb0(context), context)
        if root & 1 == 0:
            yield from self.release()
            return 0
        # What was cached of the former one goes before the next is used.
        if self.switch_flushes:
            yield from self.forget(0)
        yield private("enter 2", TTBR, root, context)
        yield store("enter 3", CUR_SLOT, context)
        yield from self.entered(context, root)
        yield from self.release()
        return 1

    def leave(self) -> Accesses:
        """Have none there."""
        yield from self.acquire()
        if self.switch_flushes:
            yield from self.forget(1)
        yield private("leave 1", TTBR, 0)
        yield store("leave 2", CUR_SLOT, NO_CONTEXT)
        yield from self.entered(NO_CONTEXT, 0)
        yield from self.release()
        return 0

    def entered(self, context: int, root: int) -> Accesses:
        """It has another context now."""
        self.context = context
        self.trace.emit(ENTERED, context, to_signed(root))
        yield point("entered", live=context)
        return 0

    # -- requests -----------------------------------------------------------------------------

    def serve(self) -> Accesses:
        """Answer a message, if there is one. 1: there was."""
        # 1. Is there one?
        written = yield load("serve 1", RING_WRITE)
        read = yield load("serve 2", RING_READ, written)
        if read == written or self.mute:
            return 0
        # 2. What it says was stored before it.
        yield acquire("serve 3", written)
        entry = yield load("serve 4", MESSAGE_SLOT, written)
        live = written << 8 | entry
        state = yield load("serve 5", flush_state(entry), live)
        # 3. What is asked for is cleaned, and said to be.
        if state == REQUESTED:
            address = yield load("serve 6", flush_address(entry), live)
            size = yield load("serve 7", flush_size(entry), live)
            yield from self.clean(entry, address, size, live)
            yield release("serve 8", flush_state(entry), DONE, live)
        # 4. The message is read.
        yield release("serve 9", RING_READ, written, live)
        return 1

    def clean(self, entry: int, va: int, size: int, live: int) -> Accesses:
        """Write dirty lines of a range back, and drop all lines of it."""
        half, first = split(va)
        context = NO_CONTEXT if entry == KERNEL_ENTRY else entry
        for line in list(self.lines):
            of_it = line.half == half and (half == UPPER or line.context == context)
            if of_it and first <= line.va < first + size:
                self.drop(line)
        self.trace.emit(CLEANED, entry, to_signed(va), size)
        yield point("cleaned", live=live)
        return 0

    def forget(self, live: int) -> Accesses:
        """Drop all that is cached of the lower half: lines, and the TLB's entries."""
        for line in list(self.lines):
            if line.half == LOWER:
                self.drop(line)
        self.tlb = {key: word for key, word in self.tlb.items() if key[1] == UPPER}
        yield point("forgotten", live=live)
        return 0

    def drop(self, line: Line) -> None:
        """A line goes, to memory if it is dirty."""
        self.lines.remove(line)
        va = to_signed(whole(line.half, line.va))
        if line.dirty:
            self.trace.emit(WRITTEN_BACK, va, line.pa)
        self.trace.emit(LINE, va, line.pa, DROPPED)

    # -- memory -------------------------------------------------------------------------------

    def touch(self, context: int, va: int, write: bool) -> Accesses:
        """Read or write an address (64 bits, unsigned). 1: it was translated."""
        half, at = split(va)
        if half == LOWER and self.context != context:
            there = yield from self.enter(context)
            if not there:
                return 0
        root = PAGETABLES
        if half == LOWER:
            root = yield look("touch 1", TTBR)
        # 1. The TLB's entry, or that of the tables.
        page = at & ~(PAGE - 1)
        key = (self.context if half == LOWER else NO_CONTEXT, half, page)
        word = self.tlb.get(key, 0)
        if word == 0:
            word = self.walks.leaf(root & ((1 << 48) - 2), half, page)
            if word == 0:
                return 0
            self.tlb[key] = word
        yield point("touch 2")
        # 2. A line, if the page is cached: AttrIndx 0.
        if word >> 2 & 7 == 0:
            pa = word & ((1 << 48) - PAGE)
            found: Line | None = None
            for line in self.lines:
                if line.half == half and line.va == page and line.pa == pa:
                    found = line
            if found is None:
                found = Line(key[0], half, page, pa, False)
                self.lines.append(found)
            found.dirty = found.dirty or write
            self.trace.emit(LINE, to_signed(whole(half, page)), pa, DIRTY if write else CLEAN)
        return 1

    def invalidate(self, scope: Scope) -> None:
        """A broadcast invalidation has completed: what it is for is in the TLB no more."""
        kept: dict[tuple[int, int, int], int] = {}
        for key, word in self.tlb.items():
            context, half, va = key
            mine = scope.asid in (-1, context)
            is_global = word >> 11 & 1 == 0
            goes = scope.covers(half, va, va) and (
                (mine and (scope.by_address or not is_global)) or (scope.by_address and is_global)
            )
            if not goes:
                kept[key] = word
        self.tlb = kept

    # -- all of it ----------------------------------------------------------------------------

    def run(self) -> Accesses:
        """For ever: answer, do what is to be done, leave when there is nothing."""
        while True:
            self.busy = False
            yield point("fw round")
            self.busy = True
            if not self.mute:
                served = yield from self.serve()
                if served:
                    continue
            if self.tasks:
                self.quiet = 0
                yield from self.carry_out(self.tasks.pop(0))
                continue
            self.quiet += 1
            if self.quiet >= PATIENCE and self.context != NO_CONTEXT and not self.mute:
                self.quiet = 0
                yield from self.leave()

    def carry_out(self, task: Task) -> Accesses:
        """One of its tasks."""
        if task.what == "boot":
            yield from self.boot()
        elif task.what == "enter":
            if self.context != task.context:
                yield from self.enter(task.context)
        elif task.what == "leave":
            if self.context != NO_CONTEXT:
                yield from self.leave()
        else:
            yield from self.touch(task.context, task.va, task.write)
        return 0


# -- both of them -----------------------------------------------------------------------------

CALL_BUDGET: Final = 1 << 15
"""Accesses to shared memory that a call may make."""
NAP_STEPS: Final = 24
"""Accesses of the firmware while the driver sleeps."""
WAIT_STEPS: Final = 3
"""Accesses of the firmware after each look of a driver that waits."""
LOOKS: Final = 2
"""So many looks at one place are no waiting yet."""


class Soc(Steps):
    """The driver and the firmware on one memory. A step is an access of the driver.

    ``memory``: what they share; ``trace``: where events go; ``firmware``. ``alive``: whether it
    runs at all. ``issued``: invalidations that have not completed. ``switches``: for the next call,
    after how many of its accesses, and stores that become visible, the firmware makes how many
    accesses; ``due``: those of the call at hand, ``count``: how many it has made.
    """

    def __init__(self, order: int, firmware: Firmware) -> None:
        super().__init__(CALL_BUDGET)
        self.memory: SharedMemory = SharedMemory(order)
        self.firmware: Firmware = firmware
        self.trace: Trace = firmware.trace
        self.alive: bool = True
        self.issued: list[Scope] = []
        self.switches: list[tuple[int, int]] = []
        self.due: list[tuple[int, int]] = []
        self.count: int = 0
        self.actor: Accesses = firmware.run()
        self.next: Access = next(self.actor)

    def begin(self, trace: Trace) -> None:
        """A new operation, and where its events go."""
        self.trace = trace
        self.firmware.trace = trace
        self.budget = CALL_BUDGET

    # -- invalidations ------------------------------------------------------------------------

    def tlbi(self, command: int, operand: int) -> None:
        """The driver broadcasts an invalidation."""
        self.trace.emit(TLBI, command, to_signed(operand))
        self.issued.append(decode_tlbi(command, operand))

    def dsb(self) -> None:
        """Those before have completed."""
        self.trace.emit(DSB)
        for scope in self.issued:
            self.firmware.invalidate(scope)
        self.issued.clear()

    # -- running ------------------------------------------------------------------------------

    def run(self, call: Accesses) -> int:
        """A call of the driver, to its end; what it returns.

        Raises:
            StepsExceeded: it does not end.
        """
        self.due, self.switches = self.switches, []
        self.count = 0
        looks: dict[str, int] = {}
        try:
            access = next(call)
            while True:
                self.spend()
                seen = looks.get(access.place, 0) + 1 if access.kind == LOAD else 0
                value = self.do(AP, access, seen <= LOOKS)
                self.tick()
                if access.kind == NAP:
                    self.drain(AP)
                    self.steps(NAP_STEPS)
                    self.drain(FW)
                elif access.kind == LOAD:
                    looks[access.place] = seen
                    if seen > LOOKS:
                        # Whoever waits gives every store the time to become visible.
                        self.drain(AP)
                        self.drain(FW)
                        self.steps(WAIT_STEPS)
                access = call.send(value)
        except StopIteration as stop:
            self.drain(AP)
            self.drain(FW)
            self.due.clear()
            return int(stop.value)

    def tick(self) -> None:
        """The driver has gone one step on; the firmware goes on if a switch is due."""
        self.count += 1
        for place, steps in self.due:
            if place == self.count:
                self.trace.emit(SWITCHED, FW)
                self.steps(steps)
                self.trace.emit(SWITCHED, AP)

    def steps(self, count: int) -> None:
        """So many accesses of the firmware."""
        for _ in range(count if self.alive else 0):
            # That it looks for messages, again and again, is no news.
            told = self.next.address not in (RING_WRITE, RING_READ)
            value = self.do(FW, self.next, told)
            self.next = self.actor.send(value)

    def do(self, actor: int, access: Access, told: bool) -> int:
        """One access, with what leaves a buffer by it. ``told``: it is an event."""
        kind = access.kind
        memory = self.memory
        if kind == FENCE:
            self.drain(actor)
        while not memory.is_ready(actor, access):
            self.leave(actor)
        early = memory.may_be_early(actor, access)
        value = memory.perform(actor, access, early)
        if early:
            memory.early[actor].discard(access.address)
        if kind == LOAD and told:
            self.trace.emit(LOADED, access.address, to_signed(value), actor)
        elif kind in (STORE, RELEASE):
            self.trace.emit(STORED, access.address, to_signed(access.value), actor)
            if memory.order == SC:
                self.trace.emit(SEEN, access.address, to_signed(access.value), actor)
        elif kind in (FENCE, ACQUIRE, ORDER):
            self.trace.emit(FENCED, kind, actor)
        elif kind in (TAKE, GIVE):
            self.trace.emit(TAKEN if kind == TAKE else GIVEN, actor)
        return value

    def leave(self, actor: int) -> None:
        """One store becomes visible: the newest that may."""
        one = self.memory.drain(actor, self.memory.drainable(actor)[-1])
        if one.address != MARK:
            self.trace.emit(SEEN, one.address, to_signed(one.value), actor)
            if actor == AP:
                self.tick()

    def drain(self, actor: int) -> None:
        """All of an actor's stores become visible."""
        while self.memory.buffers[actor]:
            self.leave(actor)
