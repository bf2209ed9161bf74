"""The event vocabulary: what targets of all systems can be seen to do, in order.

An event is one small record: what happened (``kind``), three words whose
meaning depends on the kind (table ``KINDS``), the calling thread (``cpu``) and
the code that did it (``place``, a number that the target can turn into a
function name; 0 when unknown).

A trace is a list of events. It exists in three forms that say the same thing:

* in memory, a flat list of held words, four for each event: compact, and read
  by compiled code without making an object for each event;
* binary, ``RECORD_BYTES`` little-endian bytes for each event: what C code
  fills in (``struct mmu_event`` of the harness);
* JSON, one object for each event with named fields: what is kept and shown.

Words are held as two's-complement numbers (see ``reference.words``).

What only some systems have to tell (mappings in a tree, counts of software tables) they declare
themselves (:func:`declare`), in ``events`` of the system.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from mypy_extensions import i64

from reference.words import hex_word, to_signed

# -- kinds ------------------------------------------------------------------------------

BEGIN: Final = 1
END: Final = 2
ALLOC: Final = 3
ALLOC_FAILED: Final = 4
FREE: Final = 5
STORE: Final = 6
FILL: Final = 7
BARRIER: Final = 8
CLEAN: Final = 9
GATHER: Final = 10
INVALIDATE: Final = 11
COMPLETE: Final = 12
ATTACH: Final = 13
DETACH: Final = 14
RELEASE: Final = 15
REG_READ: Final = 16
REG_WRITE: Final = 17
MESSAGE: Final = 18
LOCK: Final = 19
UNLOCK: Final = 20
WARN: Final = 21
BUG: Final = 22
CRASH: Final = 23
HANG: Final = 24
WILD: Final = 25
REFS: Final = 31
DMA_MAP: Final = 39
DMA_UNMAP: Final = 40

# -- numbers inside events --------------------------------------------------------------

BARRIER_FULL: Final = 0
"""Every earlier store is visible to every walker once it is done (dsb, wmb, mb)."""
BARRIER_ORDER: Final = 1
"""Earlier stores become visible before later ones, at no particular time (dma_wmb)."""
BARRIER_READ: Final = 2
"""Orders loads only (rmb, dma_rmb)."""

SCOPE_LEAF: Final = 1
"""The invalidation removes leaf facts in its range."""
SCOPE_WALK: Final = 2
"""The invalidation removes walk-cache facts used for addresses in its range."""
SCOPE_ENTRY: Final = 4
"""It is for addresses: an entry that holds one of its range goes as a whole."""
SCOPE_TAG: Final = 8
"""It is for a tag: global entries stay."""

CAUSE_ALL: Final = 1
"""Asked for by the table code: flush everything."""
CAUSE_WALK: Final = 2
"""Asked for by the table code: flush walk caches and leaves of a range."""
CAUSE_GATHER: Final = 3
"""A gathered range became disjoint, or changed page size, and was flushed early."""
CAUSE_SYNC: Final = 4
"""Asked for by the caller: sync of a strict gather."""
CAUSE_QUEUE: Final = 5
"""Asked for by the caller: the flush of a flush queue."""

REFS_VM: Final = 0
"""The count is that of a VM; its number is 0 where there is only one."""
REFS_BUFFER: Final = 1
"""The count is that of a buffer."""
REFS_VM_BO: Final = 2
"""The count is that of the bond between the VM and a buffer (drm_gpuvm_bo)."""
REFS_PINS: Final = 3
"""The count says how often a buffer's pages are pinned."""

MESSAGE_RESET: Final = 1
"""The driver wants the device to be reset, which it leaves to later."""
MESSAGE_WAS_RESET: Final = 2
"""The device is reset at this instant: its registers are lost."""
MESSAGE_POWER_OFF: Final = 3
"""The device loses power at this instant, and its registers."""
MESSAGE_POWER_ON: Final = 4
"""The device has power again."""

WORDS: Final = 4
"""Held words for each event in a flat trace: head, a, b, c."""
RECORD_BYTES: Final = 32
"""Bytes for each event in a binary trace."""

HEX: Final = "hex"
"""A field that is a word, an address or a size."""
DECIMAL: Final = "decimal"
"""A field that is a number."""

KINDS: Final[dict[int, tuple[str, tuple[tuple[str, str], ...]]]] = {
    BEGIN: ("begin", (("operation", DECIMAL),)),
    END: ("end", (("result", DECIMAL), ("value", HEX))),
    ALLOC: ("alloc", (("pa", HEX), ("size", HEX))),
    ALLOC_FAILED: ("alloc-failed", (("size", HEX),)),
    FREE: ("free", (("pa", HEX), ("size", HEX))),
    STORE: ("store", (("pa", HEX), ("old", HEX), ("new", HEX))),
    FILL: ("fill", (("pa", HEX), ("size", HEX), ("word", HEX))),
    BARRIER: ("barrier", (("type", DECIMAL),)),
    CLEAN: ("clean", (("pa", HEX), ("size", HEX))),
    GATHER: ("gather", (("iova", HEX), ("size", HEX))),
    INVALIDATE: ("invalidate", (("first", HEX), ("last", HEX), ("command", HEX))),
    COMPLETE: ("complete", (("ticket", DECIMAL),)),
    ATTACH: ("attach", (("root", HEX), ("context", DECIMAL))),
    DETACH: ("detach", (("root", HEX), ("context", DECIMAL))),
    RELEASE: ("release", (("first", HEX), ("last", HEX))),
    REG_READ: ("reg-read", (("register", HEX), ("value", HEX))),
    REG_WRITE: ("reg-write", (("register", HEX), ("value", HEX))),
    MESSAGE: ("message", (("to", DECIMAL), ("type", DECIMAL), ("value", HEX))),
    LOCK: ("lock", (("lock", DECIMAL),)),
    UNLOCK: ("unlock", (("lock", DECIMAL),)),
    WARN: ("warn", ()),
    BUG: ("bug", ()),
    CRASH: ("crash", (("signal", DECIMAL), ("address", HEX))),
    HANG: ("hang", ()),
    WILD: ("wild", (("address", HEX), ("size", DECIMAL), ("write", DECIMAL))),
    REFS: ("refs", (("what", DECIMAL), ("number", DECIMAL), ("count", DECIMAL))),
    DMA_MAP: ("dma-map", (("pa", HEX), ("size", HEX))),
    DMA_UNMAP: ("dma-unmap", (("pa", HEX), ("size", HEX))),
}
"""For each kind its name and the meaning of a, b and c, in that order.

* ``begin``/``end`` bracket one operation: its index; what it returned.
* ``alloc`` hands out memory for tables, content arbitrary until filled or
  stored; ``alloc-failed`` is a request that got none; ``free`` gives it back.
* ``store`` is one aligned 64-bit word, ``fill`` many words with one value.
* ``barrier``: type 0 full, 1 order only, 2 reads only. ``clean`` writes cache
  lines back, so that a walker that does not snoop sees them.
* ``gather``: a leaf was queued for a later invalidation.
* ``invalidate`` is *issued* for the inclusive range of input addresses;
  ``command`` holds scope in bits 7:0, cause in 15:8, ticket above (see
  :func:`invalidate_command`). ``complete`` says that a ticket has completed.
* ``attach``/``detach``: a device starts or stops walking from a root.
* ``release``: the caller gives a range of input addresses, and the pages
  behind it, to a new owner.
* ``warn``, ``bug``, ``crash``, ``hang``: the code said that something is
  wrong, stopped itself, died, or did not come back. ``wild`` is an access
  outside all memory that the code owns; it is reported, and not carried out.
* ``refs``: after an operation, a reference count; ``what`` is REFS_VM,
  REFS_BUFFER, REFS_VM_BO or REFS_PINS, ``number`` the VM's or the buffer's. 0 when it
  does not exist.
* ``dma-map``/``dma-unmap``: the device is let at memory that is not for tables, and is no
  longer let at it. ``pa`` is the address that the device uses.
"""

_KIND_BY_NAME: Final[dict[str, int]] = {name: kind for kind, (name, _) in KINDS.items()}


def invalidate_command(scope: int, cause: int, ticket: int) -> int:
    """The ``command`` word of an invalidate event.

    ``scope``: SCOPE_* bits, 1..255. ``cause``: CAUSE_*, 0..255. ``ticket``: 0..2**40-1.
    """
    return scope | cause << 8 | ticket << 16


def declare(kind: int, name: str, fields: Sequence[tuple[str, str]]) -> None:
    """Make a kind of event known, which a system has beside those that all share.

    ``kind``: its number; those below 0x100 are for systems of this distribution. ``name``: in
    JSON. ``fields``: of a, b and c, in that order, each with its name and HEX or DECIMAL.

    Raises:
        ValueError: a number, name or field that is not allowed, or one that another kind has.
    """
    if not 0 < kind < 1 << 16:
        raise ValueError(f"kind is {kind}; allowed are 1 to {(1 << 16) - 1}")
    wanted = (name, tuple(fields))
    known = KINDS.get(kind)
    number = _KIND_BY_NAME.get(name)
    if (known is not None and known != wanted) or (number is not None and number != kind):
        other = known[0] if known is not None and known != wanted else name
        raise ValueError(
            f"kind {kind} is declared as {name!r} with {list(fields)}; {other!r} is declared "
            "already; allowed are a number and a name of its own"
        )
    if len(fields) > 3 or any(form not in (HEX, DECIMAL) for _, form in fields):
        raise ValueError(
            f"fields of kind {name!r} are {list(fields)}; allowed are up to three, {HEX} or "
            f"{DECIMAL}"
        )
    KINDS[kind] = wanted
    _KIND_BY_NAME[name] = kind


class Event:
    """One event of a trace, with its fields by name. See ``KINDS``."""

    def __init__(
        self, kind: int, a: int = 0, b: int = 0, c: int = 0, cpu: int = 0, place: int = 0
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind is {kind}; allowed are {sorted(KINDS)}")
        self.kind: int = kind
        self.a: int = to_signed(a)
        self.b: int = to_signed(b)
        self.c: int = to_signed(c)
        self.cpu: int = cpu
        self.place: int = place

    @property
    def name(self) -> str:
        """The kind's name, as in JSON: "store", "invalidate", ..."""
        return KINDS[self.kind][0]

    def fields(self) -> list[tuple[str, int, str]]:
        """(field name, held value, "hex" or "decimal") for each field of this kind."""
        values = (self.a, self.b, self.c)
        return [(name, values[i], form) for i, (name, form) in enumerate(KINDS[self.kind][1])]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event):
            return NotImplemented
        return (
            self.kind == other.kind
            and self.a == other.a
            and self.b == other.b
            and self.c == other.c
            and self.cpu == other.cpu
            and self.place == other.place
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.a, self.b, self.c, self.cpu, self.place))

    def __repr__(self) -> str:
        shown = "".join(
            f", {name}={hex_word(value) if form == HEX else value}"
            for name, value, form in self.fields()
        )
        return f"Event({self.name}{shown})"


class Trace:
    """Events in order, kept flat: ``words[4*i : 4*i+4]`` is event ``i``."""

    def __init__(self) -> None:
        self.words: list[int] = []

    def __len__(self) -> int:
        return len(self.words) // WORDS

    def clear(self) -> None:
        """Forget every event."""
        self.words.clear()

    def emit(self, kind: i64, a: i64 = 0, b: i64 = 0, c: i64 = 0, place: i64 = 0) -> None:
        """Append one event of cpu 0. Words are held (signed)."""
        words = self.words
        words.append(kind | (place << 32))
        words.append(a)
        words.append(b)
        words.append(c)

    def append(self, event: Event) -> None:
        """Append one event given as an object."""
        self.words.extend(
            (event.kind | event.cpu << 16 | event.place << 32, event.a, event.b, event.c)
        )

    def event(self, index: int) -> Event:
        """Event ``index``, 0..len-1, as an object."""
        if not 0 <= index < len(self):
            raise IndexError(f"index is {index}; allowed are 0 to {len(self) - 1}")
        head, a, b, c = self.words[WORDS * index : WORDS * index + WORDS]
        return Event(head & 0xFFFF, a, b, c, (head >> 16) & 0xFFFF, head >> 32)

    def __iter__(self) -> Iterator[Event]:
        for index in range(len(self)):
            yield self.event(index)

    # -- binary ---------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The binary form, ``RECORD_BYTES`` for each event."""
        return np.array(self.words, dtype="<i8").tobytes()

    def extend_bytes(self, data: bytes) -> None:
        """Append the events of a binary trace.

        Raises:
            ValueError: the length is not a multiple of ``RECORD_BYTES``.
        """
        if len(data) % RECORD_BYTES:
            raise ValueError(f"data has {len(data)} bytes; allowed are multiples of {RECORD_BYTES}")
        self.words.extend(np.frombuffer(data, dtype="<i8").tolist())

    # -- JSON -----------------------------------------------------------------------------

    def to_json(self, places: Sequence[str] = ()) -> list[dict[str, Any]]:
        """One object for each event; ``places[n]`` names place ``n``, where known."""
        return [event_to_json(event, places) for event in self]


def event_to_json(event: Event, places: Sequence[str] = ()) -> dict[str, Any]:
    """One event as a JSON object: event, its fields, and cpu and place unless 0."""
    shown: dict[str, Any] = {"event": event.name}
    for name, value, form in event.fields():
        shown[name] = hex_word(value) if form == HEX else value
    if event.cpu:
        shown["cpu"] = event.cpu
    if event.place:
        shown["place"] = places[event.place] if event.place < len(places) else event.place
    return shown


def event_from_json(shown: dict[str, Any], places: Sequence[str] = ()) -> Event:
    """The event that :func:`event_to_json` described, with the same ``places``.

    Raises:
        ValueError: an unknown event, a field that is missing or unknown, or a bad number.
    """
    name = shown.get("event")
    if not isinstance(name, str) or name not in _KIND_BY_NAME:
        raise ValueError(f"event is {name!r}; allowed are {', '.join(sorted(_KIND_BY_NAME))}")
    kind = _KIND_BY_NAME[name]
    wanted = [field for field, _ in KINDS[kind][1]]
    unknown = sorted(set(shown) - set(wanted) - {"event", "cpu", "place"})
    missing = [field for field in wanted if field not in shown]
    if unknown or missing:
        raise ValueError(
            f"event {name} has fields {sorted(set(shown) - {'event'})}; "
            f"allowed are {[*wanted, 'cpu', 'place']}, and all of {wanted} are needed"
        )
    values = [_json_word(name, field, shown[field]) for field in wanted]
    values += [0] * (3 - len(values))
    place = shown.get("place", 0)
    if isinstance(place, str):
        if place not in places:
            raise ValueError(f"place is {place!r}; allowed are numbers and {list(places)}")
        place = list(places).index(place)
    return Event(kind, values[0], values[1], values[2], shown.get("cpu", 0), place)


def _json_word(name: str, field: str, value: object) -> int:
    if isinstance(value, str):
        try:
            return to_signed(int(value, 16))
        except ValueError:
            pass
    elif isinstance(value, int) and not isinstance(value, bool):
        return to_signed(value)
    raise ValueError(
        f"{field} of event {name} is {value!r}; allowed are 64-bit integers and 0x strings"
    )
