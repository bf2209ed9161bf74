"""Apple's DART: the registers of its parts, streams, invalidations and errors.

A DART stands between devices and memory. What a device sends carries the number of a *stream*.
Each stream has a mode (TCR: translate, bypass, or disabled, which blocks it) and root registers
(TTBR). An invalidation is for whole streams: there is no command for a range of addresses. It has
ended when the command register was read with its busy bit clear, not before.

Three register maps are known. ``T8020``: 16 streams with four TTBRs each, invalidated by a bitmap
of streams. ``USB4``: the same for 64 streams, without bypass. ``T8110``: up to 256 streams with one
TTBR each, invalidated one by one or all at once. ``T6000`` is T8020 with other page-table entries.

``DartUnit`` can be used in two ways. As a device: ``write`` and ``read`` are the accesses of a
driver. As an observer of a trace: ``saw_write`` and ``saw_read`` take accesses with their values.
Both leave in ``happened`` what an access came to. It judges nothing.

Registers are 32 bits wide, unsigned numbers here. Numbers of streams count from 0.

Apple has published nothing of these registers. What is known was found by reverse engineering.

Source: formats.md C.3, C.4, C.6; semantics.md "The maximal TLB".
"""

from typing import Final

from reference.formats import format_by_name
from reference.formats.format import Format

_C3: Final = "formats.md C.3"

T8020: Final = "t8020"
T6000: Final = "t6000"
USB4: Final = "usb4"
T8110: Final = "t8110"

UNIT_SHIFT: Final = 14
"""The registers of unit N begin at N << UNIT_SHIFT: a region of 0x4000 bytes each."""
UNIT_MASK: Final = (1 << UNIT_SHIFT) - 1

# -- registers ----------------------------------------------------------------------------

PARAMS1: Final = "PARAMS1"
PARAMS2: Final = "PARAMS2"
PARAMS3: Final = "PARAMS3"
PARAMS4: Final = "PARAMS4"
SELECT: Final = "STREAM_SELECT"
COMMAND: Final = "STREAM_COMMAND"
ERROR: Final = "ERROR"
ERROR_MASK: Final = "ERROR_MASK"
ERROR_LO: Final = "ERROR_ADDR_LO"
ERROR_HI: Final = "ERROR_ADDR_HI"
ERROR_STREAMS: Final = "ERROR_STREAMS"
CONFIG: Final = "CONFIG"
REMAP: Final = "STREAM_REMAP"
FILTER_LOCK: Final = "DAPF_LOCK"
PROTECT: Final = "PROTECT"
UNPROTECT: Final = "UNPROTECT"
PROTECT_LOCK: Final = "PROTECT_LOCK"
ENABLE: Final = "ENABLE_STREAMS"
DISABLE: Final = "DISABLE_STREAMS"
TCR: Final = "TCR"
TTBR: Final = "TTBR"

MEANINGS: Final[dict[str, str]] = {
    PARAMS1: "27:24 log2 of the page size",
    PARAMS2: "0 bypass can be had",
    PARAMS3: "29:24 output bits, 21:16 input bits, 15:8 and 7:0 version",
    PARAMS4: "24:16 clients, 8:0 streams",
    SELECT: "a bit for each stream that the next command is for, 32 a register",
    COMMAND: "starts an invalidation; busy while it runs",
    ERROR: "31 an error is raised; its stream; its code. Ones that are written clear",
    ERROR_MASK: "ones keep the bits of the code from raising the interrupt",
    ERROR_LO: "input address of the error, low half",
    ERROR_HI: "input address of the error, high half",
    ERROR_STREAMS: "a bit for each stream that had an error. Ones that are written clear",
    CONFIG: "15 the configuration is locked until the next boot",
    REMAP: "byte I is the stream that incoming stream I counts as",
    FILTER_LOCK: "0 the filter is locked",
    PROTECT: "0 TTBR and TCR are protected",
    UNPROTECT: "0 TTBR and TCR are protected no more",
    PROTECT_LOCK: "0 the protection is locked",
    ENABLE: "a bit for each stream that is let in, 32 a register",
    DISABLE: "ones shut streams out",
    TCR: "the mode of a stream",
    TTBR: "a root table of a stream",
}
"""Every register in a few words (formats.md C.3)."""


class Place:
    """What stands at an offset: register ``name``.

    ``stream``: whose it is, -1 for none; ``index``: which of several it is, 0 where there is one.
    """

    def __init__(self, name: str, stream: int, index: int) -> None:
        self.name: str = name
        self.stream: int = stream
        self.index: int = index


DISABLED: Final = 0
TRANSLATE: Final = 1
BYPASS: Final = 2
UNDEFINED: Final = 3
"""Modes of a stream; the last is what no document defines."""

MODE_NAMES: Final = ("disabled", "translate", "bypass", "undefined")

FOUR_LEVELS: Final = 1 << 3
"""TCR of T8110: a level of tables more, root registers counted (formats.md C.3)."""
ONE_ROOT_BITS: Final = 36
"""Input bits that one root reaches with two levels of 16 KiB tables (formats.md C.1)."""
DEEP_FORMAT: Final = "dart2-16k-deep"
"""What is walked with FOUR_LEVELS."""

FLAG: Final = 1 << 31
"""ERROR: an error is raised (formats.md C.6)."""

ERROR_BITS: Final[dict[bool, dict[int, str]]] = {
    False: {
        0: "no TTBR", 1: "no level-1 entry", 2: "no page entry", 3: "write", 4: "read",
        6: "read of an entry", 7: "part of a page", 10: "write fault", 11: "no filter matches",
    },
    True: {
        0: "no TTBR", 1: "no root entry", 2: "no level-1 entry", 3: "no page entry", 4: "write",
        5: "read", 6: "bus read", 7: "bus write",
    },
}  # fmt: skip
"""Bits of the code with their names, of the older parts and (True) of T8110 (formats.md C.6)."""


class Part:
    """One kind of DART: its register map and how values are laid out.

    ``newer``: it is a T8110. ``most_streams``, ``ttbrs``: how many streams there can be, and root
    registers for each. ``can_bypass``: whether the mode exists. ``format_name`` by page size;
    ``output_bits``: of addresses.
    """

    def __init__(
        self,
        name: str,
        most_streams: int,
        ttbrs: int,
        can_bypass: bool,
        formats: dict[int, str],
        output_bits: int,
    ) -> None:
        self.name: str = name
        self.newer: bool = name == T8110
        self.most_streams: int = most_streams
        self.ttbrs: int = ttbrs
        self.can_bypass: bool = can_bypass
        self.formats: dict[int, str] = formats
        self.output_bits: int = output_bits
        self.words: int = (most_streams + 31) // 32
        self.ttbr_base: int = 0x1400 if self.newer else 0x400 if name == USB4 else 0x200
        self.tcr_base: int = 0x1000 if self.newer else 0x100
        self.error: int = 0x100 if self.newer else 0x40
        self.error_lo: int = 0x170 if self.newer else 0x50
        self.error_hi: int = 0x174 if self.newer else 0x54
        self.command: int = 0x80 if self.newer else 0x20
        self.busy: int = 1 << 31 if self.newer else 1 << 2
        self.lock: int = 0x200 if self.newer else 0x60
        self.lock_bit: int = 1 if self.newer else 1 << 15
        self.enable: int = 0xC00 if self.newer else 0xFC
        # A second one of USB4 would be where its first TCR is: only one is known.
        self.enable_words: int = self.words if self.newer else 1
        self.modes: tuple[int, int, int] = (0, 1, 6) if self.newer else (0, 0x80, 0x1100)
        self.places: dict[int, Place] = _places(self)

    def format(self, page_bits: int, input_bits: int) -> Format:
        """What its tables are for pages of ``1 << page_bits`` bytes (12 or 14), and input bits."""
        if self.newer and input_bits > ONE_ROOT_BITS:
            return format_by_name(DEEP_FORMAT)
        return format_by_name(self.formats[page_bits])

    def tcr(self, stream: int) -> int:
        """Offset of the mode register of a stream (formats.md C.3)."""
        return self.tcr_base + 4 * stream

    def ttbr(self, stream: int, index: int) -> int:
        """Offset of root register ``index`` of a stream (formats.md C.3)."""
        return self.ttbr_base + 4 * self.ttbrs * stream + 4 * index

    def ttbr_word(self, pa: int) -> int:
        """The value of a TTBR that leads to the table at ``pa`` (formats.md C.3)."""
        return pa >> 14 << 2 | 1 if self.newer else FLAG | pa >> 12

    def root_of(self, word: int) -> int:
        """The table that a TTBR leads to; -1: it is not valid. The way back of ``ttbr_word``."""
        if self.newer:
            return (word >> 2 & 0xFFF_FFFF) << 14 if word & 1 else -1
        return (word & 0x7FFF_FFFF) << 12 if word & FLAG else -1

    def mode_of(self, word: int) -> int:
        """What a TCR stands for (formats.md C.3): DISABLED, ..., UNDEFINED."""
        if self.newer and word == self.modes[TRANSLATE] | FOUR_LEVELS:
            return TRANSLATE
        for mode in (DISABLED, TRANSLATE, BYPASS):
            if word == self.modes[mode] and (mode != BYPASS or self.can_bypass):
                return mode
        return UNDEFINED

    def error_stream(self, word: int) -> int:
        """The stream of an ERROR (formats.md C.3). In that of USB4 there is room for 16 only."""
        return word >> 20 & 0xFF if self.newer else word >> 24 & 0xF

    def error_code(self, word: int) -> int:
        """The code bits of an ERROR (formats.md C.3)."""
        return word & (0x7FFF if self.newer else 0xFF_FFFF)

    def error_word(self, stream: int, code: int) -> int:
        """An ERROR that is raised."""
        return FLAG | stream << (20 if self.newer else 24) | code


def _places(part: Part) -> dict[int, Place]:
    """Every register of a part, by its offset (formats.md C.3)."""
    found: dict[int, Place] = {0x00: Place(PARAMS1, -1, 0), 0x04: Place(PARAMS2, -1, 0)}
    single: dict[int, str] = {
        part.command: COMMAND,
        part.error: ERROR,
        part.error_lo: ERROR_LO,
        part.error_hi: ERROR_HI,
    }
    if part.newer:
        single.update({0x08: PARAMS3, 0x0C: PARAMS4, 0x104: ERROR_MASK})
        single.update({0x200: PROTECT, 0x204: UNPROTECT, 0x208: PROTECT_LOCK})
    else:
        single.update({0x60: CONFIG, 0xF0: FILTER_LOCK})
    for offset, name in single.items():
        found[offset] = Place(name, -1, 0)
    for word in range(part.enable_words):
        found[part.enable + 4 * word] = Place(ENABLE, -1, word)
    for word in range(part.words):
        if part.newer:
            found[0xC20 + 4 * word] = Place(DISABLE, -1, word)
            found[0x1C0 + 4 * word] = Place(ERROR_STREAMS, -1, word)
        else:
            found[0x34 + 4 * word] = Place(SELECT, -1, word)
    if not part.newer:
        for word in range(4):
            found[0x80 + 4 * word] = Place(REMAP, -1, word)
    for stream in range(part.most_streams):
        found[part.tcr(stream)] = Place(TCR, stream, 0)
        for index in range(part.ttbrs):
            found[part.ttbr(stream, index)] = Place(TTBR, stream, index)
    return found


PARTS: Final[dict[str, Part]] = {
    T8020: Part(T8020, 16, 4, True, {12: "dart1-4k", 14: "dart1-16k"}, 36),
    T6000: Part(T6000, 16, 4, True, {14: "dart2-16k"}, 42),
    USB4: Part(USB4, 64, 4, False, {12: "dart1-4k", 14: "dart1-16k"}, 36),
    T8110: Part(T8110, 256, 1, True, {14: "dart2-16k"}, 42),
}
"""The parts by name (formats.md C.1, C.3)."""

INVALIDATE: Final = 1 << 20
"""STREAM_COMMAND of the older parts: invalidate the selected streams (formats.md C.3)."""
TLB_ALL: Final = 0
TLB_STREAM: Final = 1
"""TLB_CMD of T8110, bits 10:8: all streams, or the one in bits 7:0 (formats.md C.3)."""

IDENTITY: Final = (0x03020100, 0x07060504, 0x0B0A0908, 0x0F0E0D0C)
"""STREAM_REMAP when each stream counts as itself (formats.md C.3)."""


# -- what an access came to ---------------------------------------------------------------

MODE: Final = 0
"""The mode of ``stream`` was written; ``value``: the mode."""
ROOT: Final = 1
"""Root register ``index`` of ``stream`` was written; ``value``: the table, -1: not valid."""
ISSUED: Final = 2
"""An invalidation began for ``streams``; ``value``: its number."""
COMPLETED: Final = 3
"""It was seen to have ended."""
LET_IN: Final = 4
"""Which streams are let in has changed."""
BUSY: Final = 5
"""A command was written while another may be running."""
UNKNOWN: Final = 6
"""A command, register or value that no document knows."""
POWERLESS: Final = 7
"""An access without power."""
PROTECTED: Final = 8
"""A write to what is locked, which does nothing."""
CLEARED: Final = 9
"""An error was cleared."""


class Happened:
    """What an access came to: ``kind`` as above, and what it is about.

    ``register``: the name of the register.
    """

    def __init__(
        self, kind: int, register: str, stream: int, index: int, value: int, streams: list[int]
    ) -> None:
        self.kind: int = kind
        self.register: str = register
        self.stream: int = stream
        self.index: int = index
        self.value: int = value
        self.streams: list[int] = streams


class DartUnit:
    """One DART.

    ``page_bits``: log2 of its page size; ``streams``: how many it has; ``input_bits``: of
    addresses; ``bypass``: whether it has that mode. ``locked``: its configuration cannot be
    changed. ``happened``: what accesses came to, in order; whoever has looked empties it.
    """

    def __init__(
        self, part: Part, page_bits: int, streams: int, input_bits: int, bypass: bool
    ) -> None:
        self.part: Part = part
        self.page_bits: int = page_bits
        self.streams: int = streams
        self.input_bits: int = input_bits
        self.bypass: bool = bypass and part.can_bypass
        self.locked: bool = False
        self.powered: bool = True
        self.happened: list[Happened] = []
        self.issued: int = 0
        # The number of the invalidation that may be running, -1 for none.
        self.running: int = -1
        # How often busy will be read: of the command that runs, and of one to come.
        self.polls: int = 0
        self.stuck: int = 0
        self.passing: int = 0
        self.tcr: list[int] = []
        self.ttbr: list[list[int]] = []
        self.select: list[int] = []
        self.enabled: list[int] = []
        self.remap: list[int] = []
        self.error: int = 0
        self.error_mask: int = 0
        self.error_address: int = 0
        self.error_streams: list[int] = []
        self.reset_registers()

    def reset_registers(self) -> None:
        """Registers as they are when power comes: all streams disabled, and none let in.

        The remap of streams is the identity: the boot loader hands units over so. What else
        registers hold then is not documented. Nothing is cached.
        """
        words = self.part.words
        self.tcr = [0] * self.streams
        self.ttbr = [[0] * self.part.ttbrs for _ in range(self.streams)]
        self.select = [0] * words
        self.enabled = [0] * self.part.enable_words
        self.remap = list(IDENTITY)
        self.error = 0
        self.error_mask = 0x7FFF if self.part.newer else 0
        self.error_address = 0
        self.error_streams = [0] * words
        self.running = -1
        self.polls = 0

    # -- accesses ---------------------------------------------------------------------------

    def read(self, offset: int) -> int:
        """A driver reads the register at ``offset``; 0 where there is none, or no power."""
        place = self._find(offset)
        if place is not None and place.name == COMMAND and self.running >= 0 and self.polls > 0:
            self.polls -= 1
            self.saw_read(offset, self.part.busy)
            return self.part.busy
        value = self.value_at(offset)
        self.saw_read(offset, value)
        return value

    def write(self, offset: int, value: int) -> None:
        """A driver writes the register at ``offset``."""
        self.saw_write(offset, value & 0xFFFF_FFFF)

    def value_at(self, offset: int) -> int:
        """What the register at ``offset`` holds now. Changes nothing."""
        place = self._find(offset)
        if place is None or not self.powered:
            return 0
        name, index = place.name, place.index
        if name == TCR:
            return self.tcr[place.stream]
        if name == TTBR:
            return self.ttbr[place.stream][index]
        lists = {
            SELECT: self.select,
            ENABLE: self.enabled,
            REMAP: self.remap,
            ERROR_STREAMS: self.error_streams,
        }
        if name in lists:
            return lists[name][index]
        return self._single(name)

    def _single(self, name: str) -> int:
        """What a register that exists once holds (formats.md C.3)."""
        if name == PARAMS1:
            return self.page_bits << 24
        if name == PARAMS2:
            return int(self.bypass)
        if name == PARAMS3:
            return self.part.output_bits << 24 | self.input_bits << 16
        if name == PARAMS4:
            return self.streams << 16 | self.streams & 0x1FF
        if name in (CONFIG, PROTECT):
            return self.part.lock_bit if self.locked else 0
        values = {
            ERROR: self.error,
            ERROR_MASK: self.error_mask,
            ERROR_LO: self.error_address & 0xFFFF_FFFF,
            ERROR_HI: self.error_address >> 32,
        }
        return values.get(name, 0)

    def _find(self, offset: int) -> Place | None:
        """The register at ``offset``, if the stream that it belongs to exists."""
        place = self.part.places.get(offset)
        return None if place is None or place.stream >= self.streams else place

    def _say(
        self, kind: int, place: Place, value: int = 0, streams: list[int] | None = None
    ) -> None:
        about = [] if streams is None else streams
        self.happened.append(Happened(kind, place.name, place.stream, place.index, value, about))

    def saw_read(self, offset: int, value: int) -> None:
        """A read gave ``value``. Only that of the command register tells something new."""
        place = self._find(offset)
        if place is None:
            self._say(UNKNOWN, Place("no register", -1, 0), value)
        elif not self.powered:
            self._say(POWERLESS, place, value)
        elif place.name == COMMAND and not value & self.part.busy and self.running >= 0:
            self._say(COMPLETED, place, self.running)
            self.running = -1

    def saw_write(self, offset: int, value: int) -> None:
        """``value`` was written."""
        place = self._find(offset)
        if place is None:
            self._say(UNKNOWN, Place("no register", -1, 0), value)
            return
        if not self.powered:
            self._say(POWERLESS, place, value)
            return
        name = place.name
        if name == TCR:
            self._write_mode(place, value)
        elif name == TTBR:
            self._write_root(place, value)
        elif name == COMMAND:
            self._write_command(place, value)
        elif name in (ERROR, ERROR_STREAMS):
            self._clear(place, value)
        elif name in (ENABLE, DISABLE):
            self._let_in(place, value)
        else:
            self._write_other(place, value)

    def _write_mode(self, place: Place, value: int) -> None:
        if self.locked:
            self._say(PROTECTED, place, value)
            return
        self.tcr[place.stream] = value
        self._say(MODE, place, self.part.mode_of(value))

    def _write_root(self, place: Place, value: int) -> None:
        if self.locked:
            self._say(PROTECTED, place, value)
            return
        self.ttbr[place.stream][place.index] = value
        self._say(ROOT, place, self.part.root_of(value))

    def _write_command(self, place: Place, value: int) -> None:
        if self.running >= 0:
            # What comes of either is not known: the former counts as never ended.
            self._say(BUSY, place, value)
        streams = self._named(value)
        if streams is None:
            self._say(UNKNOWN, place, value)
            return
        self.running = self.issued
        self.issued += 1
        if self.passing > 0:
            self.passing -= 1
            self.polls = 0
        else:
            self.polls = 1 << 62 if self.stuck < 0 else self.stuck
            self.stuck = 0
        self._say(ISSUED, place, self.running, streams)

    def _named(self, command: int) -> list[int] | None:
        """The streams that a command invalidates; None: there is no such command."""
        everything = list(range(self.streams))
        if self.part.newer:
            what = command >> 8 & 7
            if what == TLB_ALL:
                return everything
            stream = command & 0xFF
            return [stream] if what == TLB_STREAM and stream < self.streams else None
        if command != INVALIDATE:
            return None
        return [one for one in everything if self.select[one >> 5] >> (one & 31) & 1]

    def _clear(self, place: Place, value: int) -> None:
        if place.name == ERROR_STREAMS:
            self.error_streams[place.index] &= ~value
            return
        self.error &= ~value
        self._say(CLEARED, place, self.error)

    def _let_in(self, place: Place, value: int) -> None:
        """Streams are let in. The older parts hold what was written, the newer one adds to it."""
        before = self.enabled[place.index]
        if place.name == DISABLE:
            value = before & ~value
        elif self.part.newer:
            value |= before
        self.enabled[place.index] = value
        self._say(LET_IN, place, value)

    def _write_other(self, place: Place, value: int) -> None:
        name = place.name
        if name == SELECT:
            self.select[place.index] = value
        elif name == REMAP and not self.locked:
            self.remap[place.index] = value
        elif name == ERROR_MASK:
            self.error_mask = value
        elif name in (CONFIG, PROTECT) and value & self.part.lock_bit:
            self.locked = True

    # -- asking -----------------------------------------------------------------------------

    def counts_as(self, incoming: int) -> int:
        """The stream that incoming stream ``incoming``, 0 to 15, counts as (formats.md C.3)."""
        return self.remap[incoming >> 2] >> 8 * (incoming & 3) & 0xFF

    def is_let_in(self, stream: int) -> bool:
        """Whether what comes with a stream's number is let in; without a register for it, it is."""
        if stream >> 5 >= self.part.enable_words:
            return True
        return self.enabled[stream >> 5] >> (stream & 31) & 1 != 0

    def interrupt(self) -> bool:
        """Whether the interrupt is raised: there is an error that is not masked."""
        if not self.powered or not self.error & FLAG:
            return False
        return self.part.error_code(self.error) & ~self.error_mask != 0

    # -- what happens to it -----------------------------------------------------------------

    def fault(self, stream: int, code: int, address: int) -> bool:
        """A stream has an error. False: one is raised already, or there is no power.

        (What comes of the second is not documented.) Source: formats.md C.6.
        """
        if not self.powered or self.error & FLAG:
            return False
        self.error = self.part.error_word(stream, code)
        self.error_address = address
        if self.part.newer:
            self.error_streams[stream >> 5] |= 1 << (stream & 31)
        return True

    def stick(self, polls: int, after: int = 0) -> None:
        """Busy reads as set ``polls`` times after the next command; -1: always.

        ``after``: how many commands pass before that one.
        """
        self.stuck = polls
        self.passing = after

    def end_command(self) -> None:
        """Take a command as ended, after it was reported that nobody waited for it."""
        if self.running >= 0:
            self._say(COMPLETED, Place(COMMAND, -1, 0), self.running)
            self.running = -1
            self.polls = 0

    def power_off(self) -> None:
        """Power goes, and with it what registers held and what was cached."""
        self.powered = False
        self.reset_registers()

    def power_on(self) -> None:
        """Power comes back."""
        self.powered = True
