"""What a kernel was told by the driver of its DARTs, and what the units can still reach.

Three views, side by side. *Promise*: which groups are attached to which domain, and what is mapped
in each. *Hardware*: the registers of all units (``DartUnit``), and the tables of all domains with
what each stream may have cached of them (``Machine``: a space for each table, a context for each
stream that ever had a root). The driver keeps nothing else that could be compared.

What a stream may have loaded is kept twice. The leaves and tables that are gone are in the
machine. Invalid entries may be cached as well, of which a machine knows nothing: for them a stream
remembers which spaces it walked since it was last flushed.

What a call has to be refused for is reckoned here from what callers know, and by the driver from
what it holds: that both reckon it is meant, for a mistake that they shared would not be seen.

Source: formats.md C.1 to C.6, F.4; semantics.md (calls); semantics.md (when a duty falls due).
"""

import errno
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from mypy_extensions import i64

from reference.calls import LEGAL, MISUSE, REFUSED, Broken, Call, Traits, create_before
from reference.formats.access import READ, WRITE
from reference.formats.format import Format, Geometry
from reference.hardware.context import Context, Space
from reference.hardware.machine import Machine
from reference.hardware.observation import Observation
from reference.hardware.tlb import TOP_VA, Fact
from reference.operations import Operation, Result
from reference.systems.dart import device as unit_of
from reference.systems.dart.device import (
    BYPASS,
    DISABLED,
    PARTS,
    TRANSLATE,
    UNIT_MASK,
    UNIT_SHIFT,
    DartUnit,
    Happened,
    Part,
)
from reference.systems.dart.events import DOMAIN, ERROR, TOLD
from reference.trace import (
    ALLOC,
    ALLOC_FAILED,
    BARRIER,
    FILL,
    FREE,
    MESSAGE,
    MESSAGE_POWER_OFF,
    MESSAGE_POWER_ON,
    REG_READ,
    REG_WRITE,
    SCOPE_LEAF,
    SCOPE_WALK,
    STORE,
    WARN,
    WORDS,
)
from reference.translations import Translations
from reference.words import to_unsigned

NONE: Final = -1
NOWHERE: Final = -1
"""In place of the number of a space: nothing is walked."""

BLOCKED: Final = 0
IDENTITY: Final = 1
UNMANAGED: Final = 2
DMA: Final = 3
KINDS: Final = ("blocked", "identity", "unmanaged", "dma")
"""Kinds of domains (formats.md C.5)."""

MOST_UNITS: Final = 3
LIMIT_DEVICES: Final = 32
LIMIT_DOMAINS: Final = 64
"""How many of each can ever be made; numbers are not used again."""

PATIENT: Final = 100
"""A driver waits for a command for so many looks, and more (formats.md C.4)."""

TIMED_OUT: Final = -errno.ETIMEDOUT

WINDOW_IOVA: Final = 0
WINDOW_PA: Final = 0x8_0000_0000
"""Where software bypass begins, in and out (formats.md C.5)."""

_RESETS: Final = frozenset({"probe", "remove", "resume", "shutdown"})
"""Operations in which units are reset."""
_ASLEEP: Final = frozenset({"resume", "lock", "translate", "domain"})
"""Operations that a kernel may ask for while units are asleep; the others it leaves alone."""


# -- what callers know ----------------------------------------------------------------------


class KnownDomain:
    """A domain. ``units``: those that it was made for, once it was attached (``made``).

    ``pages``: what is mapped; ``queued``: ranges that were unmapped and wait for a flush;
    ``space``: its tables; ``anchor``: a context that never walks, which has its roots.
    """

    def __init__(self, number: int, kind: int, machine: Machine) -> None:
        self.number: int = number
        self.kind: int = kind
        self.exists: bool = False
        self.made: bool = False
        self.units: list[int] = []
        self.pages: Translations = Translations(machine.geometry.format)
        self.queued: list[tuple[int, int]] = []
        self.space: Space = machine.add_space()
        self.anchor: Context = machine.add_context(self.space, enabled=False)

    def is_paging(self) -> bool:
        """Whether it has a page table of its own."""
        return self.kind in (UNMANAGED, DMA)


class KnownGroup:
    """Devices that share streams. ``domain``: NONE means that all is blocked."""

    def __init__(self, number: int) -> None:
        self.number: int = number
        self.domain: int = NONE
        self.devices: list[KnownDevice] = []

    def streams(self) -> dict[int, int]:
        """Its streams by unit, a bit for each."""
        found: dict[int, int] = {}
        for device in self.devices:
            for unit, streams in device.streams.items():
                found[unit] = found.get(unit, 0) | streams
        return found


class KnownDevice:
    """A device behind ``units``, with ``streams`` by unit; ``group``: None once it is gone."""

    def __init__(self, units: list[int], streams: dict[int, int]) -> None:
        self.units: list[int] = units
        self.streams: dict[int, int] = streams
        self.group: KnownGroup | None = None


# -- what the hardware does ------------------------------------------------------------------


class Stream:
    """One stream of a unit: ``mode`` and ``roots`` as its registers have them (-1: not valid).

    ``context``: what it walks and has cached, None before it has a root. ``loaded``: for each
    space that it may have entries of, invalid ones included, the event at which it could load
    from there last. ``clean``: the event at which the last completed invalidation was issued.
    ``left``: the event at the end of the last call that left it walking nothing; -1 once it was
    seen to be flushed.
    """

    def __init__(self, unit: int, number: int, ttbrs: int) -> None:
        self.unit: int = unit
        self.number: int = number
        self.context: Context | None = None
        self.mode: int = DISABLED
        self.roots: list[i64] = [-1] * ttbrs
        self.loaded: dict[int, int] = {}
        self.clean: int = -1
        self.left: int = -1

    def incomplete(self, roots: int) -> str:
        """Why it cannot be enabled now, where it needs so many roots; "" if it can."""
        spaces: set[int] = set()
        for index in range(roots):
            root = None if self.context is None else self.context.roots.get(index)
            if root is None:
                return "a root is missing"
            spaces.add(int(root.space.number))
        return "roots of two domains" if len(spaces) > 1 else ""


class KnownUnit:
    """One DART: ``device``, its registers; ``streams``; ``probed``, ``powered``.

    ``forced``: its pages are larger than the CPU's. ``space``, ``anchor``, ``pages``: of software
    bypass. ``stick``: how often busy reads as set after which command to come, None: nothing is
    drawn. ``stuck``: the command that runs takes longer than a driver waits. ``commands``: by
    number, when each was issued and for whom.
    """

    def __init__(self, number: int, device: DartUnit, forced: bool, machine: Machine) -> None:
        self.number: int = number
        self.device: DartUnit = device
        self.forced: bool = forced
        self.probed: bool = False
        self.powered: bool = True
        self.streams: list[Stream] = [
            Stream(number, one, device.part.ttbrs) for one in range(device.streams)
        ]
        self.space: Space = machine.add_space()
        self.anchor: Context = machine.add_context(self.space, enabled=False)
        self.pages: Translations = Translations(machine.geometry.format)
        self.stick: tuple[int, int] | None = None
        self.stuck: bool = False
        self.commands: dict[int, tuple[int, list[int]]] = {}


class Enabled:
    """A stream was enabled at an event; ``wrong``: in what its roots are not complete, or ""."""

    def __init__(self, event: int, stream: Stream, wrong: str) -> None:
        self.event: int = event
        self.stream: Stream = stream
        self.wrong: str = wrong


class Access:
    """An access of a register: at ``event``, of ``unit``, what it came to."""

    def __init__(self, event: int, unit: int, happened: Happened) -> None:
        self.event: int = event
        self.unit: int = unit
        self.happened: Happened = happened


class DartSeen:
    """What the events of one call said.

    ``observations``: of tables and caches. ``enabled``: see there. ``foreign``: (event, unit,
    register) of writes to what the call is not about; ``odd``: accesses of what is not there, has
    no power, or is locked; ``busy``: commands written over others; ``unended``: (event, unit) of
    commands that nobody saw end. ``timed_out``: units that did not answer. ``errors`` that were
    raised, ``told``: (event, source, code, address). ``touched``: streams whose registers were
    written; ``filled``: for each space, the event at which an entry became valid last. ``writes``,
    ``commands``: how many there were. ``warned``: event of a warning, -1 for none.
    """

    def __init__(self) -> None:
        self.observations: list[Observation] = []
        self.enabled: list[Enabled] = []
        self.foreign: list[tuple[int, int, str]] = []
        self.odd: list[Access] = []
        self.busy: list[Access] = []
        self.unended: list[tuple[int, int]] = []
        self.timed_out: set[int] = set()
        self.errors: list[tuple[int, int, int, int]] = []
        self.told: list[tuple[int, int, int, int]] = []
        self.touched: list[Stream] = []
        self.filled: dict[int, int] = {}
        self.spaces: set[int] = set()
        self.writes: int = 0
        self.commands: int = 0
        self.warned: int = -1
        self.failed_allocations: int = 0

    def touch(self, stream: Stream) -> None:
        """A register of a stream was written."""
        if stream not in self.touched:
            self.touched.append(stream)


class DartState:
    """All units of a system with the devices and domains that its kernel has."""

    def __init__(self, create: Operation) -> None:
        part = PARTS[create.string("part")]
        page_bits = create.number("page").bit_length() - 1
        self.part: Part = part
        self.page: int = 1 << page_bits
        self.format: Format = part.format(page_bits, create.number("ias"))
        self.geometry: Geometry = self.format.geometry(create.number("ias"))
        self.limit: int = self.geometry.limit
        self.pa_limit: int = 1 << part.output_bits
        self.mixes: bool = create.string("mixes") == "and"
        self.window: int = create.number("window") * self.page
        self.machine: Machine = Machine(self.geometry, True)
        self.units: list[KnownUnit] = []
        cpu_page = create.number("cpu_page")
        for number in range(create.number("units")):
            bits = page_bits
            if create.number("odd") >> number & 1:
                bits = 26 - page_bits
            unit = DartUnit(
                part, bits, create.number("streams"), create.number("ias"),
                create.number("bypass") >> number & 1 != 0,
            )  # fmt: skip
            self.units.append(KnownUnit(number, unit, 1 << bits > cpu_page, self.machine))
        self.devices: list[KnownDevice] = []
        self.domains: list[KnownDomain] = []
        self.groups: int = 0
        self.down: bool = False
        self.current: int = NOWHERE
        self.named: dict[int, int] = {}
        self.resets: bool = False
        self.seen: DartSeen = DartSeen()
        self.counts_before: list[i64] = self.machine.counts.copy()

    # -- asking -----------------------------------------------------------------------------

    def domain(self, number: int) -> KnownDomain | None:
        """The domain that callers have under a number; None: there is none."""
        if not 0 <= number < len(self.domains) or not self.domains[number].exists:
            return None
        return self.domains[number]

    def device(self, number: int) -> KnownDevice | None:
        """The device that is there under a number; None: there is none."""
        if not 0 <= number < len(self.devices) or self.devices[number].group is None:
            return None
        return self.devices[number]

    def group_of(self, unit: int, stream: int) -> KnownGroup | None:
        """The group that has a stream; None: no device uses it."""
        for device in self.devices:
            if device.group is not None and device.streams.get(unit, 0) >> stream & 1:
                return device.group
        return None

    def groups_there(self) -> list[KnownGroup]:
        """The groups that have devices, in order."""
        found: list[KnownGroup] = []
        for device in self.devices:
            if device.group is not None and device.group not in found:
                found.append(device.group)
        return found

    def in_use(self, domain: int) -> bool:
        """Whether a group is attached to a domain."""
        return any(group.domain == domain for group in self.groups_there())

    def has_devices(self, unit: int) -> bool:
        """Whether devices are behind a unit."""
        return any(unit in one.units for one in self.devices if one.group is not None)

    def has_window(self, unit: KnownUnit) -> bool:
        """Whether bypass of a unit is made of a page table."""
        return self.window > 0 and not unit.device.bypass

    def is_awake(self) -> bool:
        """Whether every unit that is there has power."""
        return all(unit.powered for unit in self.units if unit.probed)

    def wanted(self, stream: Stream) -> tuple[int, int]:
        """(mode, number of the space that it walks) that callers were told of a stream."""
        group = self.group_of(stream.unit, stream.number)
        if self.down or group is None or group.domain == NONE:
            return DISABLED, NOWHERE
        domain, unit = self.domains[group.domain], self.units[stream.unit]
        if domain.is_paging():
            return TRANSLATE, int(domain.space.number)
        if domain.kind == BLOCKED:
            return DISABLED, NOWHERE
        if unit.device.bypass:
            return BYPASS, NOWHERE
        return TRANSLATE, int(unit.space.number)

    def difference(self, stream: Stream) -> str:
        """In what a stream's registers are not what callers were told; "" if in nothing."""
        mode, space = self.wanted(stream)
        if stream.mode != mode:
            return f"{unit_of.MODE_NAMES[stream.mode]} instead of {unit_of.MODE_NAMES[mode]}"
        device = self.units[stream.unit].device
        if mode == TRANSLATE and not device.is_let_in(stream.number):
            return "not let in"
        deep = self.part.newer and device.tcr[stream.number] & unit_of.FOUR_LEVELS != 0
        if mode == TRANSLATE and deep != (self.format.levels > 3):
            return "another number of levels"
        roots = 0
        if mode == TRANSLATE:
            roots = self.geometry.roots
            anchor = self.anchor(space)
            if len(set(stream.roots[:roots])) < roots:
                return "one root twice"
            for index in range(roots):
                root = anchor.roots.get(index)
                if root is None or stream.roots[index] != root.pa:
                    return "another root than its domain's"
        for index in range(roots, self.part.ttbrs):
            if stream.roots[index] >= 0:
                return "a root that is left over"
        return ""

    def anchor(self, space: int) -> Context:
        """The context that has the roots of a space and never walks."""
        for unit in self.units:
            if unit.space.number == space:
                return unit.anchor
        for domain in self.domains:
            if domain.space.number == space:
                return domain.anchor
        raise ValueError(f"space is {space}; allowed are those of units and domains")

    def walks(self, stream: Stream) -> list[int]:
        """The spaces that a stream may load from now."""
        if stream.mode != TRANSLATE or stream.context is None:
            return []
        found: list[int] = []
        for root in stream.context.roots.values():
            if int(root.space.number) not in found:
                found.append(int(root.space.number))
        return found

    def foreign_entries(self, stream: Stream) -> bool:
        """Whether a stream may have anything cached that is not of what it walks by right."""
        _, space = self.wanted(stream)
        return any(one != space for one in stream.loaded)

    def stale(self, domain: KnownDomain, first: int, last: int) -> tuple[Stream, Fact] | None:
        """A leaf that a stream may use for first..last, and that the promise does not hold with.

        Streams of units that did not answer are left out: nothing can be done about them.
        """
        fmt = self.format
        for stream in self.streams_of(domain):
            context = stream.context
            if context is None or context.tlb.is_empty():
                continue
            for fact in context.tlb.leaves_in(max(first, 0), min(last, TOP_VA)):
                pa, prot = domain.pages.lookup(fact.first)
                if pa != fmt.output(fact.level, fact.word) or fmt.promised(prot) != fmt.meaning(
                    fact.level, fact.word
                ):
                    return stream, fact
        return None

    def streams_of(self, domain: KnownDomain) -> list[Stream]:
        """The streams that walk a domain's tables, of units that answered."""
        found: list[Stream] = []
        for context in domain.space.contexts:
            if context.enabled and context.device not in self.seen.timed_out:
                found.append(self.units[int(context.device)].streams[int(context.tag)])
        return found

    # -- events -----------------------------------------------------------------------------

    def begin(self) -> None:
        """A call begins."""
        self.seen = DartSeen()
        self.counts_before = self.machine.counts.copy()
        self.machine.observations = []
        self.current = NOWHERE
        self.named = {}

    def feed(self, words: list[int], start: i64) -> None:
        """Take the events of a flat trace from event number ``start`` to its end."""
        event: i64 = start
        position: i64 = start * WORDS
        end: i64 = len(words)
        while position < end:
            self.machine.now = event
            kind: i64 = words[position] & 0xFFFF
            a: i64 = words[position + 1]
            b: i64 = words[position + 2]
            c: i64 = words[position + 3]
            if kind in (REG_READ, REG_WRITE):
                self._register(int(event), kind == REG_WRITE, int(a), int(b))
            elif kind in (STORE, FILL, ALLOC, FREE):
                self._table(int(event), kind, a, b, c)
            elif kind == BARRIER:
                self.machine.take(kind, a, b, c)
            else:
                self._tell(int(event), kind, a, b, c)
            event += 1
            position += WORDS

    def _space_of(self, number: int) -> int:
        """The space that a domain event names; NOWHERE: there is none."""
        if number < 0:
            unit = -1 - number
            return int(self.units[unit].space.number) if unit < len(self.units) else NOWHERE
        return int(self.domains[number].space.number) if number < len(self.domains) else NOWHERE

    def _table(self, event: int, kind: i64, a: i64, b: i64, c: i64) -> None:
        page = self.machine.memory.page_of(a)
        space: int = self.current
        if kind != ALLOC and page is not None:
            space = int(page.space)
        if space < 0:
            space = 0
        self.seen.spaces.add(space)
        self.machine.current = space
        if kind == FREE:
            # Who keeps the roots for us lets go of them: only streams can be wrong.
            self._drop_anchor(space)
        elif kind == STORE and c & 1:
            # In both formats bit 0 says that an entry is valid.
            self.seen.filled[space] = event
        self.machine.take(kind, a, b, c)

    def _drop_anchor(self, space: int) -> None:
        anchor = self.anchor(space)
        for number in list(anchor.roots):
            self.machine.detach(anchor, number)

    def _tell(self, event: int, kind: i64, a: i64, b: i64, c: i64) -> None:
        seen = self.seen
        if kind == DOMAIN:
            self.current = self._space_of(int(a))
        elif kind == MESSAGE and 0 <= a < len(self.units):
            self._power(event, self.units[int(a)], int(b))
        elif kind == ERROR:
            seen.errors.append((event, int(a), int(b), int(c)))
            self.units[int(a) >> 16].device.fault(int(a) & 0xFFFF, int(b), int(c))
        elif kind == TOLD:
            seen.told.append((event, int(a), int(b), int(c)))
        elif kind == WARN:
            seen.warned = event
        elif kind == ALLOC_FAILED:
            seen.failed_allocations += 1

    def _power(self, event: int, unit: KnownUnit, what: int) -> None:
        if what == MESSAGE_POWER_ON:
            unit.device.power_on()
        elif what == MESSAGE_POWER_OFF:
            if unit.stuck and unit.device.running >= 0:
                self.seen.timed_out.add(unit.number)
            unit.device.power_off()
            unit.stuck = False
            unit.commands.clear()
            for stream in unit.streams:
                self._forget(event, stream)

    def _forget(self, event: int, stream: Stream) -> None:
        """A stream has lost its registers, and all that it had cached."""
        stream.mode = DISABLED
        stream.loaded.clear()
        stream.clean = event
        stream.left = -1
        context = stream.context
        if context is None:
            return
        self.machine.disable(context)
        for index in list(context.roots):
            self.machine.detach(context, index)
        for index in range(len(stream.roots)):
            stream.roots[index] = -1
        ticket: i64 = -1 - event
        self.machine.invalidations.issue(ticket, 0, TOP_VA, SCOPE_LEAF | SCOPE_WALK, [context])
        self.machine.invalidations.tickets[ticket].event = event + 1
        self.machine.invalidations.complete(ticket)

    # -- registers --------------------------------------------------------------------------

    def _register(self, event: int, is_write: bool, register: int, value: int) -> None:
        number = register >> UNIT_SHIFT
        if not 0 <= number < len(self.units):
            return
        unit = self.units[number]
        offset = register & UNIT_MASK
        if is_write:
            self._look_at_write(event, unit, offset, value)
            unit.device.saw_write(offset, value)
        else:
            unit.device.saw_read(offset, value)
        self._happen(event, unit)

    def _look_at_write(self, event: int, unit: KnownUnit, offset: int, value: int) -> None:
        """Is the register one of those that the call is about?"""
        self.seen.writes += 1
        place = unit.device.part.places.get(offset)
        if place is None:
            return
        if place.stream >= 0:
            own = self.resets or self.named.get(unit.number, 0) >> place.stream & 1 != 0
            # To write what is there already changes nothing for anybody.
            own = own or unit.device.value_at(offset) == value
        elif place.name in (unit_of.SELECT, unit_of.COMMAND):
            own = True
        elif place.name in (unit_of.ERROR, unit_of.ERROR_STREAMS):
            own = self.resets or len(self.seen.errors) > 0
        else:
            own = self.resets and place.name in (unit_of.ENABLE, unit_of.ERROR_MASK)
        if not own:
            self.seen.foreign.append((event, unit.number, place.name))

    def _happen(self, event: int, unit: KnownUnit) -> None:
        """What came of an access, for caches and streams."""
        found, unit.device.happened = unit.device.happened, []
        for one in found:
            if one.kind == unit_of.MODE:
                self._mode(event, unit.streams[one.stream], one.value)
            elif one.kind == unit_of.ROOT:
                self._root(event, unit.streams[one.stream], one.index, one.value)
            elif one.kind == unit_of.ISSUED:
                self._issue(event, unit, one)
            elif one.kind == unit_of.COMPLETED:
                self._complete(unit, one.value)
            elif one.kind == unit_of.BUSY:
                self.seen.busy.append(Access(event, unit.number, one))
            elif one.kind in (unit_of.UNKNOWN, unit_of.POWERLESS, unit_of.PROTECTED):
                self.seen.odd.append(Access(event, unit.number, one))

    def _context(self, stream: Stream, space: Space) -> Context:
        if stream.context is None:
            stream.context = self.machine.add_context(
                space, device=stream.unit, tag=stream.number, enabled=stream.mode == TRANSLATE
            )
        return stream.context

    def _load(self, event: int, stream: Stream) -> None:
        """A stream may load from what it walks, up to this event."""
        for space in self.walks(stream):
            stream.loaded[space] = event

    def _mode(self, event: int, stream: Stream, mode: int) -> None:
        self.seen.touch(stream)
        self._load(event, stream)
        before, stream.mode = stream.mode, mode
        if mode == TRANSLATE:
            self.seen.enabled.append(Enabled(event, stream, stream.incomplete(self.geometry.roots)))
            if stream.context is not None:
                self.machine.enable(stream.context)
            self._load(event, stream)
        elif before == TRANSLATE and stream.context is not None:
            self.machine.disable(stream.context)

    def _root(self, event: int, stream: Stream, index: int, pa: int) -> None:
        self.seen.touch(stream)
        self._load(event, stream)
        stream.roots[index] = pa
        if pa < 0:
            if stream.context is not None:
                self.machine.detach(stream.context, index)
            return
        page = self.machine.memory.pages.get(pa)
        number = 0 if page is None else int(page.space)
        space = self.machine.spaces[number]
        self.machine.attach(self._context(stream, space), space, pa, index)
        anchor = self.anchor(number)
        if index not in anchor.roots:
            self.machine.attach(anchor, space, pa, index)
        self._load(event, stream)

    def _issue(self, event: int, unit: KnownUnit, one: Happened) -> None:
        self.seen.commands += 1
        unit.stuck = False
        if unit.stick is not None:
            polls, after = unit.stick
            if after > 0:
                unit.stick = (polls, after - 1)
            else:
                unit.stuck = polls < 0 or polls >= PATIENT
                unit.stick = None
        unit.commands[one.value] = (event, one.streams)
        contexts: list[Context] = []
        for number in one.streams:
            context = unit.streams[number].context
            if context is not None:
                contexts.append(context)
        self.machine.invalidations.issue(
            unit.number << 32 | one.value, 0, TOP_VA, SCOPE_LEAF | SCOPE_WALK, contexts
        )

    def _complete(self, unit: KnownUnit, number: int) -> None:
        unit.stuck = False
        issued, streams = unit.commands.pop(number, (-1, []))
        self.machine.invalidations.complete(unit.number << 32 | number)
        for one in streams:
            stream = unit.streams[one]
            stream.clean = max(stream.clean, issued)
            walked = self.walks(stream)
            stream.loaded = {
                space: last
                for space, last in stream.loaded.items()
                if space in walked or last >= issued
            }

    def settle(self, event: int) -> None:
        """A call has ended at ``event``."""
        for unit in self.units:
            if unit.device.running < 0:
                continue
            if unit.stuck:
                self.seen.timed_out.add(unit.number)
                continue
            self.seen.unended.append((event, unit.number))
            unit.device.end_command()
            self._happen(event, unit)
        self.seen.observations = self.machine.observations

    def leave(self, event: int) -> None:
        """After a call was judged: streams that walk nothing have left what they walked."""
        for stream in self.seen.touched:
            if stream.mode == TRANSLATE:
                stream.left = -1
            elif stream.left < 0 and stream.clean < event and stream.context is not None:
                stream.left = event


# -- calls -----------------------------------------------------------------------------------


class DartCall(Call):
    """One call. ``domain``: the one that it is about, None for none.

    ``due``: ranges for which nothing stale may be cached once it is done; ``flushes``: whether
    streams have to be flushed since an entry of the domain became valid. ``group``: the number
    that a new device's group has to have. ``lost``: how many tables of a space cannot be reached;
    ``kept``: how many are left of one that is gone. ``changed_stalled``: addresses that it was not
    about, and that changed while nobody walked there; ``freed_linked``: tables that were freed
    while a register led to them.
    """

    def __init__(self, operation: Operation) -> None:
        super().__init__(operation)
        self.domain: KnownDomain | None = None
        self.due: list[tuple[int, int]] = []
        self.flushes: bool = False
        self.group: int = NONE
        self.lost: int = 0
        self.kept: int = 0
        self.changed_stalled: list[int] = []
        self.freed_linked: list[Observation] = []


class DartPromise:
    """What a kernel was told by the driver of its DARTs. ``made``: None before there is one."""

    def __init__(self, traits: Traits) -> None:
        self.made: DartState | None = None

    @property
    def state(self) -> DartState:
        """The units and what the kernel has; there has to be one."""
        assert self.made is not None
        return self.made

    @property
    def warned(self) -> int:
        """The event of a warning in the last call; -1 for none."""
        return self.state.seen.warned

    def implied(self, operation: Operation, first: bool) -> Operation | None:
        """Default units go without saying."""
        return create_before(operation, first, self.made is not None)

    def takes(self, operation: Operation) -> bool:
        """Units are made first, and once; after the machine went down there is nothing."""
        if self.made is None:
            return operation.name == "create"
        if operation.name == "create" or self.made.down:
            return False
        return operation.name in _ASLEEP or self.made.is_awake()

    # -- before a call ----------------------------------------------------------------------

    def before(self, operation: Operation) -> DartCall:
        """Sort a call before it is made, and say what it may touch."""
        if operation.name == "create":
            self.made = DartState(operation)
        state = self.state
        state.begin()
        call = DartCall(operation)
        sort = _SORTS.get(operation.name)
        if sort is not None:
            sort(state, call)
        if operation.args.get("fail_at") and call.sort == LEGAL:
            call.errors += (-errno.ENOMEM,)
        state.resets = operation.name in _RESETS
        _name_streams(state, call)
        for domain in state.domains:
            domain.space.touched_first, domain.space.touched_last = 0, -1
        for unit in state.units:
            unit.space.touched_first, unit.space.touched_last = 0, TOP_VA
        if call.domain is not None and call.last >= call.first:
            call.domain.space.touched_first = call.first
            call.domain.space.touched_last = call.last
        elif call.domain is not None and operation.name in ("attach", "free"):
            call.domain.space.touched_last = TOP_VA
        if operation.name == "domain":
            state.domains.append(
                KnownDomain(len(state.domains), operation.number("kind"), state.machine)
            )
        return call

    # -- after it ---------------------------------------------------------------------------

    def feed(self, words: list[int], begin: int) -> None:
        """Let the views follow the events of a call."""
        self.state.feed(words, begin)

    def after(self, call: DartCall, result: Result, end: int) -> None:
        """What the kernel was told by a call that came back."""
        state, name = self.state, call.operation.name
        state.settle(end)
        if name == "attach" and call.domain is not None:
            _after_any_attach(state, call)
        done = result.result == 0 and call.sort == LEGAL
        if name in _AFTER and (done or name in ("map", "unmap")):
            _AFTER[name](state, call, result)
        if name == "domain" and not state.domains[-1].exists:
            state.domains.pop()
        _look_at_tables(state, call)

    def changed(self, call: DartCall, result: Result) -> bool:
        """Whether the call changed what is there, attached or mapped."""
        name = call.operation.name
        if name == "unmap":
            return result.value > 0
        if name == "translate":
            return False
        if name == "flush":
            return result.result == 0 and len(call.due) > 0
        return result.result == 0 and call.sort == LEGAL

    # -- going on ---------------------------------------------------------------------------

    def take_over(self, call: DartCall, result: Result, broken: Sequence[Broken]) -> bool:
        """Go on; what broke a rule is undone, and so is a misuse that changed what it touched."""
        state = self.state
        if broken:
            return False
        domain = call.domain
        if call.sort == MISUSE and domain is not None and domain.exists and call.first >= 0:
            page = state.page
            domain.space.make_all_seen()
            first, last = max(call.first - page, 0), min(call.last + page, state.limit - 1)
            if domain.made and domain.space.difference(domain.pages, first, last) is not None:
                return False
        state.leave(state.machine.now)
        return True

    def is_lost(self) -> bool:
        """Not even the units could be made without what is wrong."""
        return self.made is None

    def ending(self) -> Iterator[Operation]:
        """What brings everything to its end: the machine goes down, or all is given back."""
        state = self.made
        return iter([]) if state is None or state.down else _ending(state)


def _ending(state: DartState) -> Iterator[Operation]:
    """Units work again; then everything goes, or the machine goes down as it is."""
    for unit in state.units:
        if unit.device.locked:
            yield Operation("lock", {"unit": unit.number, "on": 0})
    if state.is_awake():
        for unit in state.units:
            if unit.stick is not None:
                yield Operation("stick", {"unit": unit.number, "polls": 0})
        if any(unit.stuck for unit in state.units):
            yield Operation("suspend")
    if not state.is_awake():
        yield Operation("resume")
    if len(state.devices) % 3 == 2:
        yield Operation("shutdown")
        return
    for number in range(len(state.devices)):
        if state.devices[number].group is not None:
            yield Operation("release", {"device": number})
    for domain in state.domains:
        if domain.exists:
            yield Operation("free", {"domain": domain.number})
    for unit in state.units:
        if unit.probed:
            yield Operation("remove", {"unit": unit.number})


def _refuse(call: DartCall, reason: str, error: int) -> None:
    call.refuse(reason, -error)


# -- units ------------------------------------------------------------------------------------


def _unit(state: DartState, call: DartCall) -> KnownUnit | None:
    number = call.operation.number("unit")
    if 0 <= number < len(state.units):
        return state.units[number]
    _refuse(call, "no such unit", errno.ENODEV)
    return None


def _sort_probe(state: DartState, call: DartCall) -> None:
    unit = _unit(state, call)
    if unit is None:
        return
    if unit.probed:
        _refuse(call, "it is there already", errno.EBUSY)
    elif unit.device.locked:
        _refuse(call, "it is locked", errno.EINVAL)


def _sort_remove(state: DartState, call: DartCall) -> None:
    unit = _unit(state, call)
    if unit is None:
        return
    if not unit.probed:
        _refuse(call, "it is not there", errno.ENODEV)
    elif state.has_devices(unit.number):
        _refuse(call, "devices are behind it", errno.EBUSY)


def _sort_lock(state: DartState, call: DartCall) -> None:
    unit = _unit(state, call)
    if unit is not None and unit.probed and unit.powered:
        _refuse(call, "only a boot loader does that", errno.EBUSY)


def _sort_stick(state: DartState, call: DartCall) -> None:
    _unit(state, call)


def _sort_fault(state: DartState, call: DartCall) -> None:
    unit = _unit(state, call)
    if unit is not None and not (unit.probed and unit.powered):
        _refuse(call, "the unit does not work", errno.ENODEV)
    elif unit is not None and call.operation.number("stream") >= unit.device.streams:
        _refuse(call, "no such stream", errno.EINVAL)


def _after_probe(state: DartState, call: DartCall, result: Result) -> None:
    unit = state.units[call.operation.number("unit")]
    unit.probed = True
    if state.has_window(unit):
        unit.pages.add_run(
            WINDOW_IOVA, WINDOW_PA, state.page, state.window // state.page, READ | WRITE
        )


def _after_remove(state: DartState, call: DartCall, result: Result) -> None:
    unit = state.units[call.operation.number("unit")]
    unit.probed = False
    unit.powered = True
    unit.pages = Translations(state.format)


def _after_lock(state: DartState, call: DartCall, result: Result) -> None:
    unit = state.units[call.operation.number("unit")]
    unit.device.locked = call.operation.number("on") != 0


def _after_stick(state: DartState, call: DartCall, result: Result) -> None:
    unit = state.units[call.operation.number("unit")]
    unit.stick = (call.operation.number("polls"), call.operation.number("after"))


# -- power ------------------------------------------------------------------------------------


def _sort_suspend(state: DartState, call: DartCall) -> None:
    if not state.is_awake():
        _refuse(call, "asleep already", errno.EBUSY)


def _sort_resume(state: DartState, call: DartCall) -> None:
    if state.is_awake():
        _refuse(call, "nothing sleeps", errno.EBUSY)
    elif any(one.probed and not one.powered and one.device.locked for one in state.units):
        # Those that are not locked wake up all the same.
        call.errors = (-errno.EINVAL,)
        call.reason = "a unit is locked"


def _after_suspend(state: DartState, call: DartCall, result: Result) -> None:
    for unit in state.units:
        if unit.probed:
            unit.powered = False


def _after_resume(state: DartState, call: DartCall) -> None:
    """A unit is awake if it has power in the end."""
    for unit in state.units:
        if unit.probed:
            unit.powered = unit.device.powered


def _after_shutdown(state: DartState, call: DartCall, result: Result) -> None:
    state.down = True


# -- devices ----------------------------------------------------------------------------------


def streams_of(operation: Operation) -> tuple[list[int], dict[int, int]]:
    """The units of a device operation in their order, and its streams by unit."""
    units: list[int] = []
    streams: dict[int, int] = {}
    for unit_name, stream_name, count_name in (
        ("unit", "stream", "count"), ("unit2", "stream2", ""), ("unit3", "stream3", ""),
    ):  # fmt: skip
        unit = operation.number(unit_name)
        if unit == NONE:
            continue
        count = operation.number(count_name) if count_name else 1
        if unit not in units:
            units.append(unit)
        mask = (1 << count) - 1 << operation.number(stream_name)
        streams[unit] = streams.get(unit, 0) | mask
    return units, streams


def _sort_device(state: DartState, call: DartCall) -> None:
    units, streams = streams_of(call.operation)
    if len(state.devices) >= LIMIT_DEVICES:
        _refuse(call, "too many devices", errno.ENOSPC)
        return
    for number in units:
        if not 0 <= number < len(state.units) or not state.units[number].probed:
            _refuse(call, "a unit is not there", errno.ENODEV)
            return
    first = state.units[units[0]].device
    for number in units:
        unit = state.units[number].device
        if streams[number] >> unit.streams:
            _refuse(call, "no such stream", errno.EINVAL)
            return
        if unit.page_bits != first.page_bits:
            _refuse(call, "units of different page sizes", errno.EINVAL)
            return
        if unit.bypass != first.bypass and not state.mixes:
            _refuse(call, "units with and without bypass", errno.EINVAL)
            return
    groups: list[KnownGroup] = []
    for group in state.groups_there():
        shared = group.streams()
        if any(streams[number] & shared.get(number, 0) for number in units):
            groups.append(group)
    if len(groups) > 1:
        _refuse(call, "streams of several groups", errno.EINVAL)
        return
    call.group = groups[0].number if groups else state.groups
    if groups and groups[0].domain != NONE:
        reason = _mismatch(state, state.domains[groups[0].domain], units)
        if reason:
            _refuse(call, reason, errno.EINVAL)


def _after_device(state: DartState, call: DartCall, result: Result) -> None:
    device = KnownDevice(*streams_of(call.operation))
    found = [group for group in state.groups_there() if group.number == call.group]
    group = found[0] if found else KnownGroup(call.group)
    if not found:
        state.groups += 1
    device.group = group
    group.devices.append(device)
    state.devices.append(device)


def _sort_of_device(state: DartState, call: DartCall) -> KnownGroup | None:
    device = state.device(call.operation.number("device"))
    if device is None:
        _refuse(call, "no such device", errno.ENODEV)
        return None
    return device.group


def _sort_release(state: DartState, call: DartCall) -> None:
    _sort_of_device(state, call)


def _after_release(state: DartState, call: DartCall, result: Result) -> None:
    device = state.devices[call.operation.number("device")]
    assert device.group is not None
    device.group.devices.remove(device)
    device.group = None


# -- domains ----------------------------------------------------------------------------------


def _sort_domain(state: DartState, call: DartCall) -> None:
    if call.operation.number("kind") >= len(KINDS):
        _refuse(call, "no such kind of domain", errno.EINVAL)
    elif len(state.domains) >= LIMIT_DOMAINS:
        _refuse(call, "too many domains", errno.ENOSPC)


def _after_domain(state: DartState, call: DartCall, result: Result) -> None:
    state.domains[-1].exists = True


def _sort_of_domain(state: DartState, call: DartCall) -> KnownDomain | None:
    call.domain = state.domain(call.operation.number("domain"))
    if call.domain is None:
        _refuse(call, "no such domain", errno.ENODEV)
    return call.domain


def _sort_free(state: DartState, call: DartCall) -> None:
    domain = _sort_of_domain(state, call)
    if domain is not None and state.in_use(domain.number):
        _refuse(call, "something is attached to it", errno.EBUSY)


def _after_free(state: DartState, call: DartCall, result: Result) -> None:
    assert call.domain is not None
    call.domain.exists = False
    call.kept = int(call.domain.space.allocated)


def _mismatch(state: DartState, domain: KnownDomain, units: list[int]) -> str:
    """Why a device behind ``units`` cannot be attached to a domain; "" if it can."""
    for number in units:
        unit = state.units[number]
        if domain.is_paging() and unit.forced:
            return "its unit has to be bypassed"
        if domain.kind == IDENTITY and not unit.device.bypass and not state.has_window(unit):
            return "its unit has no bypass"
    if domain.is_paging() and domain.made and domain.units != units:
        return "the domain is for other units"
    return ""


def _sort_attach(state: DartState, call: DartCall) -> None:
    group = _sort_of_device(state, call)
    domain = _sort_of_domain(state, call) if group is not None else None
    if group is None or domain is None:
        return
    for device in group.devices:
        reason = _mismatch(state, domain, device.units)
        if not reason and domain.is_paging() and device.units != group.devices[0].units:
            reason = "its group is behind several sets of units"
        if reason:
            _refuse(call, reason, errno.EINVAL)
            return


def _after_attach(state: DartState, call: DartCall, result: Result) -> None:
    group = state.devices[call.operation.number("device")].group
    assert group is not None and call.domain is not None
    group.domain = call.domain.number


def _after_any_attach(state: DartState, call: DartCall) -> None:
    """From the first attach on a domain is for the units of whoever was attached."""
    domain = call.domain
    device = state.device(call.operation.number("device"))
    if domain is None or device is None or domain.made or not domain.is_paging():
        return
    if domain.space.allocated and not state.seen.failed_allocations:
        domain.made = True
        domain.units = device.group.devices[0].units if device.group is not None else []


def _sort_detach(state: DartState, call: DartCall) -> None:
    _sort_of_device(state, call)


def _after_detach(state: DartState, call: DartCall, result: Result) -> None:
    group = state.devices[call.operation.number("device")].group
    assert group is not None
    group.domain = NONE


# -- map, unmap, flush, translate --------------------------------------------------------------


def _range(state: DartState, call: DartCall) -> tuple[int, int]:
    """First address and bytes, unsigned; what a call may touch of them is noted."""
    iova = to_unsigned(call.operation.number("iova"))
    size = to_unsigned(call.operation.number("size"))
    if iova < state.limit and size:
        page = state.page
        call.first = iova & ~(page - 1)
        call.last = min((iova + size - 1) | (page - 1), state.limit - 1)
    return iova, size


def _sort_map(state: DartState, call: DartCall) -> None:
    domain = _sort_of_domain(state, call)
    if domain is None:
        return
    iova, size = _range(state, call)
    pa = to_unsigned(call.operation.number("pa"))
    if not domain.is_paging():
        _refuse(call, "the domain has no table", errno.EINVAL)
    elif not domain.made:
        _refuse(call, "the domain was never attached", errno.ENODEV)
    elif (iova | pa | size) & (state.page - 1):
        _refuse(call, "not whole pages", errno.EINVAL)
    elif not call.operation.number("prot") & (READ | WRITE):
        _refuse(call, "no permission asked for", errno.EINVAL)
    elif iova + size > state.limit:
        call.misuse("beyond the input size")
    elif pa + size > state.pa_limit:
        _refuse(call, "beyond the output size", errno.ERANGE)
    elif domain.pages.any_in(call.first, call.last):
        call.misuse("something is mapped there")
    elif _is_waiting(domain, call.first, call.last):
        call.misuse("addresses used again before they were flushed")
    if call.sort == REFUSED:
        call.first, call.last = -1, -2


def _is_waiting(domain: KnownDomain, first: int, last: int) -> bool:
    for one_first, one_last in domain.queued:
        if one_first <= last and one_last >= first:
            return True
    return False


def _after_map(state: DartState, call: DartCall, result: Result) -> None:
    domain = call.domain
    if domain is None or call.sort != LEGAL:
        return
    if result.result == 0:
        operation = call.operation
        size = to_unsigned(operation.number("size"))
        domain.pages.add_run(
            call.first, operation.number("pa"), state.page, size // state.page,
            operation.number("prot") & 0xFFF,
        )  # fmt: skip
        call.flushes = True
    else:
        call.due = [(call.first, call.last)]


def _sort_unmap(state: DartState, call: DartCall) -> None:
    domain = state.domain(call.operation.number("domain"))
    call.domain = domain
    if domain is None:
        _refuse(call, "no such domain", 0)
        return
    iova, size = _range(state, call)
    if not domain.is_paging() or not domain.made:
        _refuse(call, "nothing can be mapped there", 0)
    elif (iova | size) & (state.page - 1):
        _refuse(call, "not whole pages", 0)
    elif iova + size > state.limit:
        call.misuse("beyond the input size")
    elif not domain.pages.all_in(call.first, call.last):
        call.misuse("nothing is mapped in a part of the range")


def _after_unmap(state: DartState, call: DartCall, result: Result) -> None:
    domain = call.domain
    if domain is None or not domain.made or result.value <= 0 or call.last < call.first:
        return
    last = min(call.first + result.value - 1, call.last)
    domain.pages.remove(call.first, last)
    if call.operation.number("queued"):
        domain.queued.append((call.first, last))
    else:
        call.due = [(call.first, last)]


def _sort_flush(state: DartState, call: DartCall) -> None:
    domain = _sort_of_domain(state, call)
    if domain is not None:
        call.due = domain.queued


def _after_flush(state: DartState, call: DartCall, result: Result) -> None:
    assert call.domain is not None
    call.domain.queued = []


def _sort_translate(state: DartState, call: DartCall) -> None:
    call.domain = state.domain(call.operation.number("domain"))


def expected_translation(state: DartState, call: DartCall) -> int:
    """What a translate has to give."""
    iova = to_unsigned(call.operation.number("iova"))
    if call.domain is None:
        return 0
    if call.domain.kind == IDENTITY:
        return iova
    if iova >= state.limit:
        return 0
    return max(int(call.domain.pages.lookup(iova)[0]), 0)


# -- what a call is about, and what it left ----------------------------------------------------


def _name_streams(state: DartState, call: DartCall) -> None:
    """The streams whose registers a call may write."""
    name = call.operation.name
    if name == "device":
        _, streams = streams_of(call.operation)
        for group in state.groups_there():
            if group.number == call.group:
                shared = group.streams()
                streams = {unit: some & ~shared.get(unit, 0) for unit, some in streams.items()}
        state.named = streams
    elif name in ("attach", "detach", "release"):
        device = state.device(call.operation.number("device"))
        if device is None or device.group is None:
            return
        streams = device.group.streams()
        if name == "release":
            others: dict[int, int] = {}
            for one in device.group.devices:
                for unit, some in one.streams.items():
                    if one is not device:
                        others[unit] = others.get(unit, 0) | some
            streams = {u: some & ~others.get(u, 0) for u, some in device.streams.items()}
        if name == "attach" and call.domain is not None:
            there = device.group.domain == call.domain.number
            streams = {} if there else streams
        state.named = streams


def _look_at_tables(state: DartState, call: DartCall) -> None:
    """Are all tables that were touched linked, or gone?"""
    if call.operation.name == "resume":
        _after_resume(state, call)
    for number in sorted(state.seen.spaces):
        space = state.machine.spaces[number]
        call.freed_linked += space.freed_linked
        space.freed_linked = []
        call.changed_stalled += [int(va) for va in space.changed_stalled]
        space.changed_stalled = []
        roots = {int(root.pa) for root in state.anchor(number).roots.values()}
        if roots:
            # Of one that has not all its roots it is not known which tables are its own.
            whole = len(roots) == state.geometry.roots
            call.lost += int(space.lost_tables()) if whole else 0
        elif not any(one.made and one.space is space for one in state.domains if one.exists):
            call.kept += int(space.allocated) if space is not _fresh_window(state, call) else 0


def _fresh_window(state: DartState, call: DartCall) -> Space | None:
    """The tables of software bypass of a unit that was probed: nobody walks them yet."""
    if call.operation.name != "probe":
        return None
    unit = state.units[call.operation.number("unit")]
    return unit.space if unit.probed else None


_SORTS: Final[dict[str, Callable[[DartState, DartCall], None]]] = {
    "probe": _sort_probe,
    "remove": _sort_remove,
    "lock": _sort_lock,
    "fault": _sort_fault,
    "stick": _sort_stick,
    "suspend": _sort_suspend,
    "resume": _sort_resume,
    "device": _sort_device,
    "release": _sort_release,
    "domain": _sort_domain,
    "free": _sort_free,
    "attach": _sort_attach,
    "detach": _sort_detach,
    "map": _sort_map,
    "unmap": _sort_unmap,
    "flush": _sort_flush,
    "translate": _sort_translate,
}

_AFTER: Final[dict[str, Callable[[DartState, DartCall, Result], None]]] = {
    "probe": _after_probe,
    "remove": _after_remove,
    "lock": _after_lock,
    "stick": _after_stick,
    "suspend": _after_suspend,
    "shutdown": _after_shutdown,
    "device": _after_device,
    "release": _after_release,
    "domain": _after_domain,
    "free": _after_free,
    "attach": _after_attach,
    "detach": _after_detach,
    "map": _after_map,
    "unmap": _after_unmap,
    "flush": _after_flush,
}
