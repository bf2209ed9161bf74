"""What the ``dart`` machine draws: units, devices, domains, mappings by what is there, mishaps.

Written-out lists, as in ``strategies.pagetable``: they say how often a case comes up.
"""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from reference.formats.access import CACHE, MMIO, NOEXEC, PRIV, READ, WRITE
from reference.systems.dart.device import T6000, T8020, T8110, USB4
from strategies.pairs import Pairs
from strategies.parts import Part

_4K = 0x1000
_16K = 0x4000


@dataclass(frozen=True, slots=True)
class Units:
    """So many units of a part; the rest as the operation ``create`` has it."""

    part: str
    page: int
    ias: int
    units: int
    streams: int = 16
    cpu_page: int = _16K
    bypass: int = 7
    odd: int = 0
    window: int = 0
    mixes: str = "and"


UNITS: tuple[Units, ...] = (
    Units(T8020, _16K, 32, 2),
    Units(T8110, _16K, 36, 2, streams=24),
    Units(T8020, _4K, 32, 3),
    Units(T8020, _4K, 32, 2, cpu_page=_4K, odd=2),
    Units(T6000, _16K, 38, 2, bypass=1),
    Units(USB4, _16K, 32, 2, streams=64),
    Units(USB4, _4K, 31, 2, streams=64, window=40),
    Units(T8020, _16K, 36, 3, bypass=5, window=2060),
    Units(T8110, _16K, 32, 3, streams=40, bypass=1, mixes="refuse"),
    Units(T6000, _16K, 37, 1),
    Units(T8020, _4K, 30, 2, bypass=0, window=5, cpu_page=_4K, mixes="refuse"),
    Units(T8020, _16K, 32, 2, cpu_page=_4K, bypass=1, window=3),
    Units(T6000, _16K, 36, 2, bypass=0, window=2050),
    Units(T8110, _16K, 42, 2, streams=16, bypass=1),
    Units(T8110, _16K, 36, 2, streams=256),
    Units(T8110, _16K, 38, 2, streams=33),
)
"""The units that there are: every part; one, two and four roots; mixes of bypass."""

units: SearchStrategy[int] = st.integers(0, len(UNITS) - 1)

PLACES: tuple[int, ...] = (
    0, 1, 2, 3, 5, 8, 13, 2046, 2047, 2048, 509, 510, 511, 512, 513, 1 << 18, (1 << 18) - 1,
    -1, -2, -3, -2048, -512, (1 << 17) - 1, 1 << 17,
    1 << 22, (1 << 22) - 1, (1 << 22) - 2049,
)  # fmt: skip
"""Pages at which something is mapped; negative ones are counted from the end of the input size."""

COUNTS: tuple[int, ...] = (1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 9, 17)
"""Pages of a mapping."""

RUNS: tuple[int, ...] = (2, 3, 513, 600, 1030, 2049)
"""Pages of a mapping that crosses the end of a table, or several."""

PROTS: tuple[int, ...] = (
    READ | WRITE, READ | WRITE, READ, WRITE, READ | WRITE | CACHE, READ | CACHE,
    READ | WRITE | MMIO, READ | NOEXEC, READ | WRITE | NOEXEC | MMIO, READ | WRITE | PRIV | CACHE,
)  # fmt: skip
"""What is asked for; MMIO and NOEXEC are what a DART cannot enforce."""

FAILURES: tuple[int, ...] = (0,) * 9 + (1, 2, 3)
"""Which allocation of a call fails."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What to map: pages, what is asked for, and which allocation fails."""

    pages: int
    prot: int
    fail_at: int


SHAPES: tuple[Shape, ...] = tuple(
    Shape(
        COUNTS[number % len(COUNTS)],
        PROTS[number * 3 % len(PROTS)],
        FAILURES[number * 5 % len(FAILURES)] if number % 4 == 3 else 0,
    )
    for number in range(64)
)
"""Elements of the lists in turn, with others beside them each time."""

PARTS: tuple[Part, ...] = (
    Part(0, False, 0, True),  # exactly it
    Part(0, False, 0, True),
    Part(0, False, 1, False),  # its head
    Part(-1, True, 1, False),  # its tail
    Part(1, False, 1, False),  # inside
    Part(0, False, -1, True),  # all but the tail
)
"""Ranges inside what is mapped."""

CODES: tuple[int, ...] = (4, 2, 1, 8, 0x10, 0x18, 0x14, 0x1C, 0x80, 0x402, 0x20, 0x30, 0x1)
"""Codes of errors: one bit, several at once, and bits that have no name."""

LENGTHS: tuple[int, ...] = (-1, -1, 150, 150, 130, 260, 7, 40, 98)
"""How many looks a command takes; -1: all there are."""

DEVICES: tuple[str, ...] = (
    "one", "one", "several", "shared", "shared-two", "two-units", "two-units", "three-units",
    "shared-other", "bridge", "two-units-back",
)  # fmt: skip
"""How a device lies to those that are there: see ``conformance.systems.dart.machine``."""

MISTAKES: tuple[str, ...] = (
    "no-domain", "no-device", "kind", "in-use", "in-use", "in-use", "no-unit", "twice", "stream",
    "busy-unit",
    "never-attached", "identity-map", "askew", "no-permission", "beyond-input", "beyond-input",
    "beyond-output", "over", "over", "hole", "unmap-askew", "unmap-beyond", "translate-beyond",
    "translate-never", "resume", "lock", "across-input", "translate-identity", "reuse",
    "unmap-never", "fault-stream",
)  # fmt: skip
"""Calls that are refused, or that a caller must not make."""

MISHAPS: tuple[str, ...] = (
    "fault", "fault", "fault-later", "fault-again", "stuck-map", "stuck-unmap", "stuck-attach",
    "stuck-detach", "stuck-second", "slow", "slow-attach", "sleep", "sleep", "sleep-locked",
    "sleep-stuck", "no-memory-attach", "no-memory-attach", "no-memory-device", "no-memory-probe",
    "stuck-free", "locked-probe", "stuck-probe", "stuck-device", "no-memory-domain", "stuck-flush",
    "sleep-fault", "stuck-flush",
)  # fmt: skip
"""What happens to units: see ``conformance.systems.dart.machine``."""

DOMAINS: tuple[int, ...] = (3, 2, 3, 2, 1, 0, 3)
"""Kinds of domains."""

picks: SearchStrategy[int] = st.integers(0, 63)
"""Which of the things that are there, modulo how many there are."""

maps: Pairs[int, Shape] = Pairs(PLACES, SHAPES)
"""Where to map what."""

runs: Pairs[int, int] = Pairs(PLACES, RUNS)
"""Where to map how many pages."""

unmaps: Pairs[Part, int] = Pairs(PARTS, range(4))
"""Which part of a mapping is unmapped, and how it is flushed."""

moves: Pairs[int, int] = Pairs(range(8), range(8))
"""Which device, and which domain it goes to."""

devices: Pairs[str, int] = Pairs(DEVICES, range(8))
"""How a device lies to others, and to which."""

mistakes: Pairs[str, int] = Pairs(MISTAKES, range(4))
"""What is wrong, and with which of the things that are there."""

mishaps: Pairs[str, int] = Pairs(MISHAPS, range(len(LENGTHS) * 3))
"""What happens, and to which unit for how long."""

SIZES: dict[str, int] = {
    "map": maps.size,
    "run": runs.size,
    "unmap": unmaps.size,
    "attach": moves.size,
    "move-mapped": moves.size,
    "detach": 8,
    "device": devices.size,
    "domain": len(DOMAINS) * 2,
    "unit": 8,
    "translate": len(PLACES),
    "mishap": mishaps.size,
    "mistake": mistakes.size,
}
"""How many ways there are to carry out each action."""

ACTIONS: tuple[str, ...] = (
    *SIZES, "map", "map", "unmap", "attach", "attach", "move-mapped", "mishap", "mishap",
    "device", "map", "unmap",
)  # fmt: skip
"""What a step does, as often as it comes up."""

actions: Pairs[str, int] = Pairs(ACTIONS, range(max(SIZES.values())))
"""What to do, and in which way, modulo how many there are."""
