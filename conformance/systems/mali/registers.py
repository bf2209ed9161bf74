"""Accesses of the registers of a Mali MMU in words: by name, with what they hold decoded.

The accesses of one command are one line: LOCKADDR, which says what is locked,
the command, and the reads of STATUS that wait for its end. So are those that
program an address space, and those that read what a fault was. Which region a
LOCK or FLUSH is about comes from what was written before it.

Source: the tables of ``reference.systems.mali.device``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from reference import trace as t
from reference.numbers import range_text
from reference.systems.mali import device as mmu
from reference.words import to_unsigned
from reports.registers import Accesses, last_showing

_PROGRAM: Final = (mmu.TRANSTAB, mmu.MEMATTR, mmu.TRANSCFG)
_FAULT: Final = (mmu.FAULTSTATUS, mmu.FAULTADDRESS, mmu.FAULTEXTRA)
_INTERRUPTS: Final = (mmu.INT_RAWSTAT, mmu.INT_CLEAR, mmu.INT_MASK, mmu.INT_STAT)
_FLUSHES: Final = (mmu.FLUSH_PT, mmu.FLUSH_MEM)
_LOST: Final = (t.MESSAGE_WAS_RESET, t.MESSAGE_POWER_OFF)

_MOST_TOLD: Final = 16
"""So many identical answers in a row a trace has at most; there may have been more."""

_MODES: Final = {
    mmu.MODE_UNMAPPED: "unmapped",
    mmu.MODE_IDENTITY: "identity",
    mmu.MODE_4K: "4K tables",
    mmu.MODE_64K: "64K tables",
}
_WALKS: Final = {1: "not cached", 2: "write-back"}
_SHARED: Final = {2: "outer shareable", 3: "inner shareable"}
_ALLOCATES: Final = {1: "read-allocate"}
_FLAGS: Final = ("SL_CONCAT", "DISABLE_HIER_AP", "DISABLE_AF_FAULT", "WXN", "XREADABLE")


# -- values ---------------------------------------------------------------------------------


def _spaces(mask: int) -> str:
    """The address spaces of a mask of 16 bits: "AS 0 to 3, 5"."""
    parts: list[str] = []
    slot = 0
    while slot < mmu.AS_LIMIT:
        first = slot
        while mask >> slot & 1:
            slot += 1
        if slot - first > 2:
            parts.append(f"{first} to {slot - 1}")
        else:
            parts += [str(one) for one in range(first, slot)]
        slot += 1
    return "AS " + ", ".join(parts)


def _interrupts_text(word: int) -> str:
    faults, ended = word & 0xFFFF, word >> mmu.AS_LIMIT & 0xFFFF
    parts = []
    if faults:
        parts.append(f"faults of {_spaces(faults)}")
    if ended:
        parts.append(f"commands ended in {_spaces(ended)}")
    return " and ".join(parts) or "none"


def _transcfg_text(word: int) -> str:
    """How an address space walks, in short; bits without a name in hexadecimal."""
    fields = mmu.transcfg_fields(word)
    mode = fields["mode"]
    parts = [_MODES.get(mode, f"reserved mode {mode}")]
    if mode not in (mmu.MODE_UNMAPPED, mmu.MODE_IDENTITY):
        parts.append(f"{mmu.Latched(0, word, 0).input_bits()} input bits")
    elif fields["INA_BITS"]:
        parts.append(f"INA_BITS {fields['INA_BITS']}")
    if fields["OUTA_BITS"]:
        parts.append(f"OUTA_BITS {fields['OUTA_BITS']}")
    walks = [
        names.get(fields[name], f"{name} {fields[name]}")
        for name, names in (
            ("PTW_MEMATTR", _WALKS),
            ("PTW_SH", _SHARED),
            ("PTW_RA", _ALLOCATES),
        )
        if fields[name]
    ]
    if walks:
        parts.append("walks " + " ".join(walks))
    parts += [name for name in _FLAGS if fields[name]]
    known = 0
    for _, high, low, _ in mmu.TRANSCFG_FIELDS:
        known |= (1 << high - low + 1) - 1 << low
    if word & ~known:
        parts.append(f"and {word & ~known:#x}")
    return ", ".join(parts)


def _lockaddr_text(word: int) -> str:
    region = mmu.locked_range(word)
    if region is None:
        return f"{word:#x}, a region of less than 32K"
    return f"region {range_text(*region)}"


def _status_text(word: int) -> str:
    more = word & ~mmu.ACTIVE
    return ("active" if word & mmu.ACTIVE else "idle") + (f" ({word:#x})" if more else "")


def _value_text(name: str, word: int) -> str:
    if name in _INTERRUPTS:
        return _interrupts_text(word)
    if name == mmu.LOCKADDR:
        return _lockaddr_text(word)
    if name == mmu.TRANSCFG:
        return _transcfg_text(word)
    if name == mmu.STATUS:
        return _status_text(word)
    if name == mmu.FAULTSTATUS:
        return mmu.Fault(word).text()
    if name == mmu.AS_PRESENT and word & 0xFFFF:
        return _spaces(word & 0xFFFF)
    if name == mmu.MMU_FEATURES:
        return f"{word & 0xFF} input bits, {word >> 8 & 0xFF} output bits"
    return f"{word:#x}"


# -- accesses -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Access:
    """One access of a register, or of both halves of one: events ``first``..``last``.

    ``half``: "" for all of the register, or "low half" or "high half". ``value`` is that of the
    register or of its half.
    """

    first: int
    last: int
    slot: int
    name: str
    write: bool
    value: int
    half: str = ""

    def text(self) -> str:
        """Name and value: "LOCKADDR = region 0x0..0x7fff (32K)"."""
        sign = " =" if self.write else ":"
        if self.half:
            return f"{self.name}, {self.half}{sign} {self.value:#x}"
        return f"{self.name}{sign} {_value_text(self.name, self.value)}"

    def command(self) -> bool:
        """Whether a command is written."""
        return self.write and self.name == mmu.COMMAND

    def poll(self) -> bool:
        """Whether it asks whether a command is running, and the answer says no more."""
        return not self.write and self.name == mmu.STATUS and self.value in (0, mmu.ACTIVE)


def _place(event: t.Event) -> mmu.Place | None:
    """The register that an event is an access of, if it is one of a register that is known."""
    if event.kind not in (t.REG_READ, t.REG_WRITE) or not 0 <= event.b <= 0xFFFF_FFFF:
        return None
    return mmu.place_at(event.a)


def _after_barriers(events: Sequence[t.Event], at: int, limit: int) -> int:
    """The first event from ``at`` to ``limit`` that is not a barrier, or ``limit`` + 1."""
    while at <= limit and events[at].kind == t.BARRIER:
        at += 1
    return at


class _Known:
    """What the accesses so far say about the registers."""

    def __init__(self) -> None:
        self.halves: dict[tuple[int, str, bool], int] = {}
        """Halves that were written, by AS, register and whether it is the high one."""
        self.locks: dict[int, tuple[int, int] | None] = {}
        """For each AS with a LOCK that no FLUSH or UNLOCK followed: its region, if known."""
        self.running: dict[int, int] = {}
        """For each AS with a command that was not seen to end: the last one."""
        self.before: t.Event | None = None
        """The access before this one, where no more than barriers followed it."""

    def feed(self, event: t.Event) -> bool:
        """Take one event; whether it shows that a flush has ended."""
        if event.kind == t.BARRIER:
            return False
        place = _place(event)
        self.before = event if place is not None else None
        if event.kind == t.MESSAGE and event.b in _LOST:
            self.halves.clear()
            self.locks.clear()
            self.running.clear()
        if place is None:
            return False
        name, slot, value = place.register.name, place.slot, to_unsigned(event.b)
        if event.kind == t.REG_READ:
            idle = name == mmu.STATUS and not value & mmu.ACTIVE
            return idle and self.running.pop(slot, mmu.NOP) in _FLUSHES
        if name == mmu.COMMAND:
            self._command(slot, value)
        else:
            self.halves[slot, name, place.high] = value
        return False

    def _command(self, slot: int, command: int) -> None:
        if command == mmu.NOP or command not in mmu.COMMANDS:
            return
        self.running[slot] = command
        if command == mmu.LOCK:
            self.locks[slot] = self.region(slot)
        elif command != mmu.UPDATE:
            self.locks.pop(slot, None)

    def region(self, slot: int) -> tuple[int, int] | None:
        """What LOCKADDR names, if both halves of it are known."""
        low = self.halves.get((slot, mmu.LOCKADDR, False))
        high = self.halves.get((slot, mmu.LOCKADDR, True))
        return None if low is None or high is None else mmu.locked_range(high << 32 | low)

    def continues(self, event: t.Event) -> int | None:
        """The low half that was accessed in the same way just before this high half, or None."""
        before = self.before
        if before is None or (before.kind, before.a, before.cpu) != (
            event.kind,
            event.a - 4,
            event.cpu,
        ):
            return None
        return to_unsigned(before.b)


def _access_at(
    events: Sequence[t.Event], at: int, limit: int, known: _Known | None = None
) -> _Access | None:
    """The access at event ``at``, with its second half where that follows at once, or None.

    ``known`` is what came before, for a high half that stands alone.
    """
    if at > limit:
        return None
    event = events[at]
    place = _place(event)
    if place is None:
        return None
    name, value = place.register.name, to_unsigned(event.b)
    write = event.kind == t.REG_WRITE
    if place.register.width == 32:
        return _Access(at, at, place.slot, name, write, value)
    if place.high:
        low = known.continues(event) if known is not None else None
        if low is None:
            return _Access(at, at, place.slot, name, write, value, "high half")
        return _Access(at, at, place.slot, name, write, value << 32 | low)
    other = _after_barriers(events, at + 1, limit)
    if other <= limit:
        second = events[other]
        if (second.kind, second.a, second.cpu) == (event.kind, event.a + 4, event.cpu):
            whole = to_unsigned(second.b) << 32 | value
            return _Access(at, other, place.slot, name, write, whole)
    return _Access(at, at, place.slot, name, write, value, "low half")


def _following(events: Sequence[t.Event], one: _Access, limit: int) -> _Access | None:
    """The access after ``one``, of the same AS and CPU, with nothing but barriers between."""
    at = _after_barriers(events, one.last + 1, limit)
    found = _access_at(events, at, limit)
    if found is None or found.slot != one.slot or events[at].cpu != events[one.first].cpu:
        return None
    return found


# -- what belongs together ------------------------------------------------------------------


def _of_set(
    events: Sequence[t.Event], one: _Access, names: Sequence[str], limit: int
) -> list[_Access]:
    """``one`` and the accesses after it of the same kind and of registers in ``names``."""
    found = [one]
    while True:
        more = _following(events, found[-1], limit)
        if more is None or more.write != one.write or more.name not in names:
            return found
        found.append(more)


def _polls(events: Sequence[t.Event], one: _Access | None, limit: int) -> list[_Access]:
    """The reads of STATUS from ``one`` on, to the first that says idle."""
    found: list[_Access] = []
    while one is not None and one.poll():
        found.append(one)
        if not one.value:
            break
        one = _following(events, one, limit)
    return found


def _of_command(events: Sequence[t.Event], one: _Access, limit: int) -> list[_Access]:
    """The accesses of a command that begin with ``one``; empty if there is no command."""
    found = []
    following: _Access | None = one
    if one.write and one.name == mmu.LOCKADDR:
        found.append(one)
        following = _following(events, one, limit)
    waits = _polls(events, following, limit)
    found += waits
    if waits:
        following = _following(events, waits[-1], limit)
    if following is None or not following.command():
        return []
    if found and found[0].write and following.value != mmu.LOCK:
        return []
    found.append(following)
    return found + _polls(events, _following(events, following, limit), limit)


def _together(events: Sequence[t.Event], one: _Access, limit: int, known: _Known) -> list[_Access]:
    """``one`` and what belongs to it; ``known`` is what came before."""
    if one.slot == mmu.NO_SLOT:
        return [one]
    # A read that shows the end of a command is no part of the next one.
    if not one.poll() or one.slot not in known.running:
        of_command = _of_command(events, one, limit)
        if of_command:
            return of_command
    if one.poll():
        return _polls(events, one, limit)
    if one.write and one.name in _PROGRAM:
        return _of_set(events, one, _PROGRAM, limit)
    if not one.write and one.name in _FAULT:
        return _of_set(events, one, _FAULT, limit)
    return [one]


def _idle_text(one: _Access, known: _Known) -> str:
    """What it means that STATUS says idle; ``known`` is what came before."""
    command = known.running.get(one.slot)
    return "idle" if command is None else f"idle, {mmu.COMMAND_NAMES[command]} seen to end"


def _polls_text(polls: Sequence[_Access], idle: str) -> str:
    """What STATUS said: "STATUS active 3 times, then idle"; ``idle`` says what idle means."""
    active = sum(1 for one in polls if one.value)
    if not active:
        return f"STATUS {idle}"
    more = " or more" if active >= _MOST_TOLD else ""
    told = "once" if active == 1 else f"{active} times{more}"
    return f"STATUS active {told}" + (f", then {idle}" if len(polls) > active else "")


def _command_text(found: Sequence[_Access], known: _Known) -> str:
    """The accesses of one command; ``known`` has those before it."""
    at = next(number for number, one in enumerate(found) if one.command())
    one = found[at]
    command = one.value
    words = mmu.COMMAND_NAMES[command] if command in mmu.COMMANDS else ""
    if not words:
        words = f"{command:#x}, which is no command"
    elif command == mmu.LOCK:
        region = known.region(one.slot)
        if region is not None:
            words += f" {range_text(*region)}"
    elif command in _FLUSHES:
        if one.slot not in known.locks:
            words += " with no LOCK before it"
        else:
            region = known.locks[one.slot]
            if region is not None:
                words += f" of {range_text(*region)}"
    before = [poll for poll in found[:at] if poll.poll()]
    if any(poll.value for poll in before):
        words += f", after {_polls_text(before, 'idle')}"
    after = found[at + 1 :]
    if any(poll.value for poll in after):
        words += f", {_polls_text(after, 'seen to end')}"
    elif after:
        words += ", seen to end"
    return f"command     AS {one.slot}: {words}"


def _text(found: Sequence[_Access]) -> str:
    """Accesses of one AS, all of them reads or all of them writes."""
    one = found[0]
    verb = "reg-write" if one.write else "reg-read"
    where = "" if one.slot == mmu.NO_SLOT else f"AS {one.slot} "
    if len(found) > 1:
        where = f"{where.rstrip()}: "
    return f"{verb:<11} {where}" + "; ".join(access.text() for access in found)


class MaliRegisters:
    """The registers of a Mali MMU, see :class:`reports.registers.Decoder`."""

    def accesses(
        self, events: Sequence[t.Event], first: int, last: int, alone: int | None
    ) -> list[Accesses]:
        """Every access among events ``first``..``last`` of a register of the MMU, in order."""
        return list(self._accesses(events, first, last, alone))

    def _accesses(
        self, events: Sequence[t.Event], first: int, last: int, alone: int | None
    ) -> Iterator[Accesses]:
        known = _Known()
        fed, at = 0, first
        while at <= last:
            limit = last
            if alone is not None and at <= alone <= last:
                limit = alone if at == alone else alone - 1
            while fed < at:
                known.feed(events[fed])
                fed += 1
            one = _access_at(events, at, at if at == alone else limit, known)
            if one is None:
                at += 1
                continue
            found = _together(events, one, limit, known)
            command = next((each for each in found if each.command()), None)
            if command is not None:
                while fed < command.first:
                    known.feed(events[fed])
                    fed += 1
                text = _command_text(found, known)
            elif one.poll():
                text = f"reg-read    AS {one.slot}: {_polls_text(found, _idle_text(one, known))}"
            else:
                text = _text(found)
            end = found[-1].last
            # Barriers belong to the accesses on both sides of them, and to reads before them.
            next_one = _after_barriers(events, end + 1, limit)
            if next_one <= limit and _place(events[next_one]) is not None:
                end = next_one - 1
            while end < limit and _orders_reads(events[end + 1]) and not found[-1].write:
                end += 1
            yield Accesses(at, end, text)
            at = end + 1

    def completion(self, events: Sequence[t.Event], end: int) -> int | None:
        """The last event before ``end`` that showed a FLUSH to have ended."""
        return last_showing(_Known().feed, events, end)


def _orders_reads(event: t.Event) -> bool:
    return event.kind == t.BARRIER and event.a == t.BARRIER_READ
