"""The driver of NVIDIA's page tables: the traces of formats.md D.7, and laws over many calls."""

import errno
import random
from collections.abc import Iterator

import pytest

from conformance.systems.nvidia.operations import CHIPS
from conformance.systems.nvidia.targets import NvidiaTarget
from reference import trace as t
from reference.drivers.table_memory import NO_TABLE
from reference.formats.nvidia import VOLATILE, nvidia_format
from reference.hardware.paired_context import MARKED
from reference.operations import Operation, Result
from reference.physical_layout import HOST, NCOH, PFN_DIGITS, VRAM, pfn_address, pfn_digit
from reference.pieces import Pieces
from reference.systems.gpuvm.events import VMA_ADD, VMA_REMOVE
from reference.systems.nvidia import driver as nvidia
from reference.systems.nvidia.device import NvidiaMmu
from reference.systems.nvidia.events import AREA_MAPPED, AREA_PART, PT_REFS, PT_STATE
from reference.trace import Event, Trace
from reference.words import to_unsigned

SMALL, PAGE_64K, PAGE_128K, LARGE = 0x1000, 0x10000, 0x20000, 0x200000
DONE = Result(0)
REFUSED = Result(-errno.EINVAL)
NO_MEMORY = Result(-errno.ENOMEM)
NOT_THERE = Result(-errno.ENOENT)
BUSY = Result(-errno.EBUSY)

STATE, PDB_LOW, PDB_HIGH, START = 0x100C80, 0x100CB8, 0x100CEC, 0x100CBC
ROOT = 0x8000_0000
TOLD_AS_WRONG = (t.WARN, t.BUG, t.CRASH, t.HANG, t.WILD)


def pde(number: int) -> str:
    """The entry of a GP100 directory for table ``number``, where each of them takes a page."""
    return f"{(ROOT + SMALL * number) >> 4 | 2:x}"


class World:
    """An address space, and what was last done in it, with tables by name: P0, P1, ..."""

    def __init__(self, **create: int | str) -> None:
        self.target = NvidiaTarget()
        self.names: dict[int, tuple[str, int]] = {}
        self.count = 0
        self.trace = Trace()
        self.result = DONE
        self.chip = str(create.get("chip", "gp100"))
        self.ok("create", **create)
        self.root = self.base("P0")

    @property
    def device(self) -> nvidia.Device:
        """The driver itself."""
        return self.target.made

    def do(self, name: str, **args: int | str) -> list[str]:
        """One operation; the lines that ``lines`` makes of its events."""
        self.trace = Trace()
        self.result = self.target.perform(Operation(name, {**args}), self.trace)
        assert not [e for e in self.trace if e.kind in TOLD_AS_WRONG], (name, args)
        return list(self.lines())

    def ok(self, name: str, **args: int | str) -> list[str]:
        """One without an error."""
        said = self.do(name, **args)
        assert self.result.result == 0, (name, args, self.result)
        return said

    def no(self, result: Result, name: str, **args: int | str) -> None:
        """One that is refused, and changes nothing."""
        assert self.do(name, **args) == [], (name, args)
        assert self.result == result, (name, args)
        assert not [e for e in self.trace if e.kind in (VMA_ADD, PT_REFS, t.REFS)]

    def get(self, size: int, shift: int = 12, **more: int) -> list[str]:
        return self.ok("get", size=size, shift=shift, **more)

    def map(self, vma: int, memory: int = 0, **more: int) -> list[str]:
        return self.ok("map", vma=vma, memory=memory, **more)

    def memory(self, target: int, size: int, page: int = 12, **more: int) -> None:
        self.ok("memory", target=target, size=size, page=page, **more)

    # -- the last operation's events ----------------------------------------------------------

    def place(self, pa: int) -> str:
        """Such as "P3+8"."""
        for start, (name, size) in self.names.items():
            if start <= pa < start + size:
                return f"{name}+{pa - start:x}"
        raise AssertionError(f"{pa:x} is in no table")

    def lines(self) -> Iterator[str]:
        """Allocations, stores, invalidations, DMA and frees: "alloc P1", "P0+8=102", "flush".

        Stores of one value in a row are one line: "P5+8=20 x31".
        """
        events = list(self.trace)
        at = 0
        while at < len(events):
            event = events[at]
            at += 1
            if event.kind == t.ALLOC:
                self.names[event.a] = (f"P{self.count}", event.b)
                zero = " zeroed" if events[at].kind == t.FILL else ""
                yield f"alloc P{self.count} {event.b:x}{zero}"
                self.count += 1
            elif event.kind == t.FREE:
                yield f"free {self.names.pop(event.a)[0]}"
            elif event.kind == t.STORE:
                count = 1
                while at < len(events) and self.continues(event, events[at], count):
                    count += 1
                    at += 1
                more = f" x{count}" if count > 1 else ""
                yield f"{self.place(event.a)}={to_unsigned(event.c):x}{more}"
            elif event.kind == t.REG_WRITE and event.a == START:
                yield "flush"
            elif event.kind in (t.DMA_MAP, t.DMA_UNMAP):
                yield f"{event.name} {event.a:x} {event.b:x}"
            elif event.kind == t.ALLOC_FAILED:
                yield event.name

    @staticmethod
    def continues(first: Event, event: Event, count: int) -> bool:
        return event.kind == t.STORE and (event.a, event.c) == (first.a + 8 * count, first.c)

    def base(self, name: str) -> int:
        return next(pa for pa, (known, _) in self.names.items() if known == name)

    def refs(self) -> dict[str, tuple[int, int]]:
        """By level and first address: "0:10000"."""
        return {f"{e.a & 15}:{e.a & ~0xFFF:x}": (e.b, e.c) for e in self.trace if e.kind == PT_REFS}

    def states(self) -> list[str]:
        """Such as "0:0..1ffff 43"."""
        return [
            f"{e.a & 15}:{e.a & ~15:x}..{e.b:x} {e.c:x}" for e in self.trace if e.kind == PT_STATE
        ]

    def vmas(self) -> list[str]:
        """Such as "+0..2fff 0/5 mapped": what came and what went, of which area, at which size."""
        said = []
        for e in self.trace:
            if e.kind in (VMA_ADD, VMA_REMOVE):
                word = to_unsigned(e.c)
                line = f"{'+' if e.kind == VMA_ADD else '-'}{e.a:x}..{e.b:x}"
                line += f" {word >> 48}/{word & 7}"
                line += " mapped" if word & AREA_MAPPED else ""
                said.append(line + (" part" if word & AREA_PART else ""))
        return said

    def counts(self) -> dict[int, int]:
        """References to memories that have changed."""
        return {e.b: e.c for e in self.trace if e.kind == t.REFS}

    def polls(self) -> list[int]:
        return [e.b for e in self.trace if e.kind == t.REG_READ]

    def is_empty(self) -> bool:
        """Whether nothing but the root is left of tables and what software knows of them."""
        root = self.device.is_there().tables.root
        return (
            list(self.names) == [self.root]
            and root.refs == [1, 0]
            and not (root.children or root.pages or root.marked or root.live)
        )


@pytest.fixture
def gp100() -> World:
    return World()


@pytest.fixture
def managed() -> World:
    """Most addresses, from 0 on, are the client's: area 0."""
    return World(managed=1, start=1 << 40, size=1 << 20)


@pytest.fixture
def raw() -> World:
    """The same, with the raw interface."""
    return World(raw=1, start=1 << 40, size=1 << 20)


# -- D.7, store by store ----------------------------------------------------------------------


def test_small_pages_of_gp100(gp100: World) -> None:
    gp100.memory(VRAM, 3 * SMALL)
    gp100.get(3 * SMALL)
    assert gp100.map(0) == [
        "alloc P1 1000 zeroed",
        f"P0+0={pde(1)}",
        "alloc P2 1000 zeroed",
        f"P1+0={pde(2)}",
        "alloc P3 1000 zeroed",
        f"P2+0={pde(3)}",
        "alloc P4 1000 zeroed",
        "P3+0=0",
        f"P3+8={pde(4)}",
        "P4+0=4000001",
        "P4+8=4000101",
        "P4+10=4000201",
        "flush",
    ]
    assert gp100.vmas() == ["-0..2fff 0/7", "+0..2fff 0/5 mapped"]
    assert gp100.refs() == {
        "4:0": (2, 0),
        "3:0": (1, 0),
        "2:0": (1, 0),
        "1:0": (1, 0),
        "0:0": (0, 3),
    }
    assert gp100.states() == ["0:0..ffff 3"]
    assert gp100.counts() == {0: 2}
    writes = [(e.a, e.b) for e in gp100.trace if e.kind == t.REG_WRITE]
    assert writes == [(PDB_LOW, ROOT >> 8), (PDB_HIGH, 0), (START, 0x80000001)]


def test_large_pages_beside_small_ones_of_gp100(gp100: World) -> None:
    gp100.memory(VRAM, 3 * SMALL)
    gp100.memory(VRAM, LARGE, 16)
    gp100.get(3 * SMALL)
    gp100.map(0)
    gp100.get(2 * PAGE_64K, 16)
    assert gp100.map(1, 1) == [
        "alloc P5 100",
        "P5+0=0",
        "P5+8=20 x31",
        f"P3+0={pde(5)}",
        f"P3+8={pde(4)}",
        "P5+8=4020001",
        "P5+10=4021001",
        "flush",
    ]
    assert gp100.states() == ["0:0..ffff 43"]
    # The small ones go: the large table decides again, and the small one is freed.
    assert gp100.ok("unmap", vma=0) == [
        "P5+0=20",
        f"P3+0={pde(5)}",
        "P3+8=0",
        "flush",
        "free P4",
    ]
    # A single store takes all that is left.
    assert gp100.ok("unmap", vma=1) == [
        "P0+0=0",
        "flush",
        "free P1",
        "free P2",
        "free P3",
        "free P5",
    ]
    assert gp100.is_empty()


def test_2m_pages_of_gp100(gp100: World) -> None:
    gp100.memory(VRAM, 2 * LARGE, 21)
    gp100.get(2 * LARGE, 21)
    said = gp100.map(0)
    assert said[-5:] == ["P3+0=4000001", "P3+8=0", "P3+10=4020001", "P3+18=0", "flush"]


@pytest.mark.parametrize(
    ("target", "scattered", "leaves"),
    [
        (HOST, 0, ["1000000d", "1000010d"]),
        (HOST, 1, ["1000010d", "1000030d"]),
        (NCOH, 0, ["10000007", "10000107"]),
        (VRAM, 1, ["4000101", "4000301"]),
    ],
)
def test_every_kind_of_memory(gp100: World, target: int, scattered: int, leaves: list[str]) -> None:
    gp100.memory(target, 2 * SMALL, scattered=scattered)
    gp100.get(2 * SMALL)
    assert gp100.map(0)[-3:] == [f"P4+0={leaves[0]}", f"P4+8={leaves[1]}", "flush"]


def test_permissions_and_kinds(gp100: World) -> None:
    gp100.memory(VRAM, SMALL)
    gp100.memory(HOST, SMALL)
    for _ in range(3):
        gp100.get(SMALL)
    assert gp100.map(0, 0, ro=1)[-2] == "P4+0=4000041"
    assert gp100.map(1, 0, priv=1, vol=1)[-2] == "P4+8=4000029"
    # With arguments, memory of the host is volatile only if they say so.
    assert gp100.map(2, 1, kind=1)[-2] == "P4+10=100000010000005"
    # Compressed: not in 4K pages. In larger ones the uncompressed kind is used.
    gp100.no(REFUSED, "map", vma=0, memory=0, kind=2)
    gp100.memory(VRAM, PAGE_64K, 16)
    gp100.get(PAGE_64K, 16)
    assert gp100.map(3, 2, kind=2)[-2] == "P5+8=100000004020001"


def test_pages_mapped_one_by_one(managed: World) -> None:
    said = managed.ok("pfn_map", shift=12, addr=0, size=4 * SMALL, pattern=0x5031)
    assert said[-7:] == [
        "dma-map 200000000 1000",
        "P4+0=2000000d",
        "dma-map 200001000 1000",
        "P4+8=200001cd",
        "flush",
        "P4+18=6000381",
        "flush",
    ]
    assert managed.vmas()[1:] == [
        "+0..1fff 0/5 mapped",
        "+2000..2fff 0/7 part",
        "+3000..3fff 0/5 mapped part",
        "+4000..ffffffffff 0/7 part",
    ]
    assert managed.ok("pfn_unmap", addr=0, size=2 * SMALL) == [
        "P4+0=2000000c",
        "P4+8=200001cc",
        "flush",
        "dma-unmap 200000000 1000",
        "dma-unmap 200001000 1000",
        "P4+0=0 x2",
        "flush",
    ]
    assert managed.vmas()[-1] == "+0..2fff 0/7"
    assert managed.ok("put", vma=0)[0] == "P0+0=0"
    assert managed.is_empty()


def test_a_sparse_area_of_gp100(gp100: World) -> None:
    assert gp100.get(0x421000, 0, sparse=1)[6:] == [
        "P3+0=8",
        "P3+8=0",
        "P3+10=8",
        "P3+18=0",
        "flush",
        "alloc P4 100",
        "P4+0=20 x32",
        f"P3+20={pde(4)}",
        "P3+28=0",
        "P4+0=8 x2",
        "flush",
        "alloc P5 1000 zeroed",
        f"P3+20={pde(4)}",
        f"P3+28={pde(5)}",
        "P4+10=0",
        "P5+100=8",
        "flush",
    ]
    assert gp100.states() == [
        "1:0..3fffff 80",
        "0:400000..41ffff 80",
        "0:420000..42ffff 41",
    ]
    gp100.memory(VRAM, 2 * SMALL)
    assert gp100.ok("map_part", vma=0, first=0x3000, size=2 * SMALL, memory=0) == [
        "alloc P6 1000",
        "P6+0=8 x512",
        "P3+0=0",
        f"P3+8={pde(6)}",
        "P6+18=4000001",
        "P6+20=4000101",
        "flush",
    ]
    assert gp100.ok("unmap", vma=0, first=0x3000) == ["P3+0=8", "P3+8=0", "flush", "free P6"]
    assert gp100.vmas()[-1] == "+0..420fff 0/7"
    gp100.ok("put", vma=0)
    assert gp100.is_empty()


def test_dual_tables_of_gf100() -> None:
    world = World(chip="gf100", big=17)
    world.memory(VRAM, 2 * SMALL)
    world.memory(VRAM, 2 * PAGE_128K, 17)
    world.get(2 * SMALL)
    said = world.map(0)
    small = world.base("P1") << 24 | 1 << 32
    assert said == [
        "alloc P1 40000 zeroed",
        f"P0+0={small:x}",
        "P1+0=400001",
        "P1+8=400011",
        "flush",
    ]
    assert [e.a for e in world.trace if e.kind == t.REG_WRITE] == [PDB_LOW, START]
    world.get(2 * PAGE_128K, 17)
    said = world.map(1, 1)
    large = world.base("P2") >> 8 | 1
    assert said == [
        "alloc P2 2000 zeroed",
        f"P0+0={small | large:x}",
        "P2+8=402001",
        "P2+10=402201",
        "flush",
    ]
    assert world.ok("put", vma=0) == [f"P0+0={large:x}", "flush", "free P1"]
    world.no(REFUSED, "get", size=PAGE_128K, shift=17, sparse=1)


def test_entries_that_are_invalid_on_gk104() -> None:
    world = World(chip="gk104", big=17)
    world.memory(VRAM, 2 * PAGE_128K, 17)
    world.get(PAGE_128K, 17)
    said = world.map(0)
    large = world.base("P1") >> 8 | 1
    assert said == ["alloc P1 2000", "P1+0=2 x1024", f"P0+0={large:x}", "P1+0=400001", "flush"]
    world.get(SMALL)
    said = world.map(1)
    small = world.base("P2") << 24 | 1 << 32
    assert said[1:3] == [f"P0+0={small | large:x}", "P1+8=0"]
    assert world.ok("unmap", vma=1) == ["P1+8=2", f"P0+0={large:x}", "flush", "free P2"]
    # The other way round: what the small table has is left to it.
    world = World(chip="gk104", big=17)
    world.memory(VRAM, 2 * PAGE_128K, 17)
    world.get(PAGE_128K + SMALL)
    world.map(0)
    world.get(PAGE_128K, 17)
    assert world.map(1)[:3] == ["alloc P2 2000", "P2+0=0 x2", "P2+10=2 x1022"]


@pytest.mark.parametrize("big", [16, 17])
def test_sparse_entries_of_gm200(big: int) -> None:
    world = World(chip="gm200", big=big)
    said = world.get(1 << big, big, getref=1, sparse=1)
    assert said[:2] == ["alloc P1 2000", "P1+0=2 x1024"]
    assert said[-2:] == ["P1+0=100000000", "flush"]
    assert world.ok("put", vma=0) == ["P0+0=0", "flush", "free P1"]
    # A page of 128 MiB: one entry of the directory, or two.
    entries = 2 if big == 16 else 1
    more = " x2" if entries == 2 else ""
    for args in ({"shift": 0, "align": 27}, {"shift": 27, "getref": 1}):
        assert world.get(1 << 27, sparse=1, **args) == [f"P0+0=800000000{more}", "flush"]
        assert world.states() == ["1:0..7ffffff 80"]
        world.ok("put", vma=1 if "align" in args else 2)
        assert world.is_empty()


# -- get and put ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "result"),
    [
        ({"size": 0}, REFUSED),
        ({"size": SMALL, "mapref": 0, "sparse": 1}, REFUSED),
        ({"size": SMALL, "shift": 0, "getref": 1}, REFUSED),
        ({"size": SMALL, "shift": 13}, REFUSED),
        ({"size": SMALL, "shift": 16}, REFUSED),
        ({"size": SMALL, "shift": 64}, REFUSED),
        ({"size": SMALL, "align": 99}, REFUSED),
        ({"size": 0x800, "shift": 0}, REFUSED),
        ({"size": (1 << 49) + SMALL}, Result(-errno.ENOSPC)),
        ({"size": -SMALL}, Result(-errno.ENOSPC)),
    ],
)
def test_what_get_refuses(args: dict[str, int], result: Result) -> None:
    for name in CHIPS:
        World(chip=name).no(result, "get", **{"shift": 12, **args})


def test_the_smallest_hole_is_taken(gp100: World) -> None:
    for pages in (8, 1, 4, 1, 2, 1):
        gp100.get(pages * SMALL)
    for vma in (0, 2, 4):
        gp100.ok("put", vma=vma)
    gp100.get(2 * SMALL)
    assert gp100.result.value == 14 * SMALL
    gp100.get(3 * SMALL)
    assert gp100.result.value == 9 * SMALL
    gp100.get(SMALL)
    assert gp100.result.value == 12 * SMALL
    # Aligned, in the next larger one in which it fits; holes beside each other are one.
    gp100.get(SMALL, align=15)
    assert gp100.result.value == 0
    gp100.ok("put", vma=1)
    gp100.ok("put", vma=7)
    gp100.get(11 * SMALL, 0)
    assert gp100.result.value == SMALL
    gp100.no(Result(-errno.ENOSPC), "get", size=SMALL, align=63)
    assert World().get(SMALL, align=63) == []


def test_blocks_of_one_page_size() -> None:
    device = nvidia.Device(Trace())
    space = nvidia.Space(device.memory, device.bus, nvidia.GP100, 16, False, page_block=1 << 29)
    assert space.make(False, 0, 1 << 32) == 0

    def get(shift: int, size: int) -> int:
        result, vma = space.get(False, True, False, shift, 0, size)
        return result if vma is None else vma.address

    assert get(0, SMALL) == -errno.EINVAL
    assert get(12, SMALL) == 0
    assert get(12, SMALL) == SMALL
    # Another page size: not in the same block.
    assert get(16, PAGE_64K) == 1 << 29
    assert get(12, SMALL) == 2 * SMALL
    assert get(16, PAGE_64K) == (1 << 29) + PAGE_64K
    assert get(12, 1 << 30) == 1 << 30


def test_flavours_of_get(gp100: World) -> None:
    gp100.memory(VRAM, SMALL)
    assert gp100.get(SMALL, getref=1)[-3:] == ["P3+0=0", f"P3+8={pde(4)}", "flush"]
    assert gp100.vmas() == ["+0..fff 0/5"]
    assert gp100.map(0) == ["P4+0=4000001", "flush"]
    assert gp100.ok("unmap", vma=0) == ["P4+0=0", "flush"]
    assert gp100.ok("put", vma=0)[0] == "P0+0=0"
    assert gp100.get(SMALL, mapref=0) == []
    gp100.map(1)
    gp100.ok("unmap", vma=1)
    assert gp100.vmas()[-1] == "+0..fff 1/5"
    gp100.ok("put", vma=1)
    assert gp100.is_empty()
    # Sparse at one page size: unmapped entries are sparse again, and one walk ends it.
    gp100.get(SMALL, getref=1, sparse=1)
    gp100.map(2)
    assert gp100.ok("unmap", vma=2) == ["P12+0=8", "flush"]
    gp100.map(2)
    assert gp100.ok("put", vma=2)[:2] == ["P0+0=0", "flush"]
    assert gp100.is_empty()
    assert gp100.counts() == {0: 1}


def test_parts_of_an_area(gp100: World) -> None:
    gp100.memory(VRAM, 8 * SMALL)
    gp100.get(8 * SMALL)
    gp100.ok("map_part", vma=0, first=2 * SMALL, size=SMALL, memory=0)
    gp100.ok("map_part", vma=0, first=5 * SMALL, size=SMALL, memory=0)
    # Over a part that is mapped, or beyond the area.
    for first, size in ((2, 2), (7, 2)):
        args = {"vma": 0, "first": first * SMALL, "size": size * SMALL, "memory": 0}
        gp100.no(REFUSED, "map_part", **args)
    gp100.no(NOT_THERE, "unmap", vma=0, first=SMALL)
    gp100.ok("unmap", vma=0, first=2 * SMALL)
    assert gp100.vmas() == [
        "-0..1fff 0/7",
        "-2000..2fff 0/5 mapped part",
        "-3000..4fff 0/7 part",
        "+0..4fff 0/7",
    ]
    gp100.ok("put", vma=0)
    assert gp100.is_empty()
    gp100.ok("drop", memory=0)
    assert gp100.counts() == {0: 0}
    for name in ("put", "unmap"):
        gp100.no(NOT_THERE, name, vma=0)


def test_memory_lives_as_long_as_it_is_mapped(gp100: World) -> None:
    gp100.memory(VRAM, SMALL)
    gp100.get(SMALL)
    gp100.map(0)
    gp100.ok("drop", memory=0)
    gp100.no(NOT_THERE, "map", vma=0, memory=0)
    assert gp100.ok("unmap", vma=0)[1] == "flush"
    assert gp100.counts() == {0: 0}
    kinds = [e.kind for e in gp100.trace]
    assert kinds.index(t.REG_WRITE) < kinds.index(t.REFS)


# -- what is refused changes nothing ----------------------------------------------------------


def test_a_map_that_is_refused_changes_nothing(gp100: World) -> None:
    gp100.memory(VRAM, SMALL)
    gp100.memory(HOST, 4 * SMALL)
    gp100.get(SMALL)
    gp100.map(0)
    gp100.no(REFUSED, "map", vma=0, memory=1, kind=0xFF)
    gp100.no(REFUSED, "map", vma=0, memory=1, offset=4 * SMALL)
    gp100.get(4 * SMALL)
    gp100.no(REFUSED, "map_part", vma=1, first=SMALL, size=SMALL, memory=1, offset=0x800)
    gp100.no(REFUSED, "map_part", vma=1, first=0x800, size=SMALL, memory=1)
    gp100.no(REFUSED, "map_part", vma=1, first=SMALL, size=-SMALL, memory=1)
    gp100.no(NOT_THERE, "map_part", vma=1, first=1 << 49, size=SMALL, memory=1)
    assert gp100.ok("unmap", vma=0)[0] == "P0+0=0"


@pytest.mark.parametrize(
    ("args", "result"),
    [
        ({"managed": 1, "start": -SMALL, "size": 2 * SMALL}, REFUSED),
        ({"managed": 1, "start": 0, "size": 1 << 50}, REFUSED),
        ({"start": 1 << 50}, REFUSED),
        ({"start": SMALL, "size": -1}, REFUSED),
        ({"chip": "gp100", "big": 17}, REFUSED),
        ({"chip": "gm200", "replay": 1}, REFUSED),
        ({"fail_at": 1}, NO_MEMORY),
        ({"fail_at": 1001}, NO_MEMORY),
        ({"fail_at": 1003}, NO_MEMORY),
        ({"managed": 1, "start": SMALL, "size": SMALL, "fail_at": 1005}, NO_MEMORY),
    ],
)
def test_an_address_space_that_cannot_be_made_leaves_nothing(
    args: dict[str, int], result: Result
) -> None:
    target = NvidiaTarget()
    trace = Trace()
    assert target.perform(Operation("create", {**args}), trace) == result
    kinds = [e.kind for e in trace]
    assert kinds.count(t.ALLOC) == kinds.count(t.FREE)
    assert target.perform(Operation("create", {}), trace) == DONE


def test_what_cannot_be_asked() -> None:
    target = NvidiaTarget()
    for name, args, match in (
        ("get", {"size": 1}, "'get' without an address space; allowed are create, memory"),
        ("create", {"chip": "gh100"}, "chip is 'gh100'; allowed are gf100, gk104"),
        ("bind", {}, "operation is 'bind'; allowed are create, memory"),
    ):
        with pytest.raises(ValueError, match=match):
            target.perform(Operation(name, {**args}), Trace())
    target.perform(Operation("create", {}), Trace())
    with pytest.raises(ValueError, match="'create' with an address space"):
        target.perform(Operation("create", {}), Trace())


def test_memory_that_cannot_be_had() -> None:
    world = World()
    for target, size, page, result in (
        (3, SMALL, 12, -errno.EINVAL),
        (VRAM, 0, 12, -errno.EINVAL),
        (VRAM, SMALL, 16, -errno.EINVAL),
        (HOST, PAGE_64K, 16, -errno.EINVAL),
        (HOST, 1 << 31, 12, -errno.ENOSPC),
    ):
        world.no(Result(result), "memory", target=target, size=size, page=page)
    world.no(NOT_THERE, "drop", memory=0)


# -- pages one by one -------------------------------------------------------------------------


def test_what_pfn_map_refuses(managed: World) -> None:
    for shift, addr, size, result in (
        (16, 0, PAGE_64K, REFUSED),
        (64, 0, SMALL, REFUSED),
        (12, 0x800, SMALL, REFUSED),
        (21, SMALL, LARGE, REFUSED),
        (12, 1 << 49, SMALL, REFUSED),
        (12, -SMALL, 2 * SMALL, REFUSED),
        (12, 1 << 40, SMALL, NOT_THERE),
        (12, 0, 0x4001 * SMALL, Result(-errno.E2BIG)),
        (12, 0, 0, DONE),
    ):
        managed.no(result, "pfn_map", shift=shift, addr=addr, size=size, pattern=1)
    managed.no(REFUSED, "pfn_unmap", addr=1 << 40, size=SMALL)
    for chip in ("gf100", "gm200"):
        world = World(chip=chip, managed=1, start=1 << 30, size=1 << 20)
        world.no(REFUSED, "pfn_map", shift=12, addr=0, size=SMALL, pattern=1)


@pytest.mark.parametrize("fail_at", [1, 1001, 1002, 1003])
def test_a_pfn_map_that_fails_changes_nothing(managed: World, fail_at: int) -> None:
    """KB-15: references are there before anything is marked."""
    managed.ok("pfn_map", shift=12, addr=0, size=510 * SMALL, pattern=1)
    edge = {"shift": 12, "addr": LARGE - 2 * SMALL, "size": 4 * SMALL, "pattern": 1}
    said = managed.do("pfn_map", **edge, fail_at=fail_at)
    assert managed.result == Result(0, 4)
    assert managed.vmas() == []
    assert managed.refs() == {}
    mapped = [line[8:] for line in said if line.startswith("dma-map")]
    assert mapped == [line[10:] for line in said if line.startswith("dma-unmap")]
    managed.ok("pfn_map", **edge)
    assert managed.result == DONE
    assert managed.refs()["0:0"] == (0, 512)
    managed.ok("pfn_unmap", addr=0, size=2 * LARGE)
    assert managed.is_empty()


def test_pages_of_another_size_are_let_alone(managed: World) -> None:
    managed.ok("pfn_map", shift=21, addr=0, size=LARGE, pattern=1)
    managed.ok("pfn_map", shift=12, addr=LARGE, size=SMALL, pattern=1)
    assert managed.vmas()[-2] == f"+{LARGE:x}..{LARGE + SMALL - 1:x} 0/5 mapped part"
    for shift, addr, size, refused in (
        (12, 0, SMALL, 1),
        (21, LARGE, LARGE, 1),
        (21, 0, 2 * LARGE, 1),
    ):
        managed.do("pfn_map", shift=shift, addr=addr, size=size, pattern=4)
        assert managed.result == Result(0, refused)
        assert managed.vmas() == []
    managed.no(REFUSED, "pfn_unmap", addr=LARGE, size=0x800)
    # A large page of which a small part is unmapped goes as a whole.
    assert managed.ok("pfn_unmap", addr=5 * SMALL, size=SMALL) == ["P3+0=0 x2", "flush"]
    assert managed.vmas() == [f"-0..{LARGE - 1:x} 0/3 mapped", f"+0..{LARGE - 1:x} 0/7"]
    said = managed.ok("pfn_unmap", addr=0, size=LARGE + SMALL)
    assert [line for line in said if line.startswith("dma-unmap")]
    assert managed.is_empty()


def test_a_page_that_moves_is_let_go_of(managed: World) -> None:
    page = {"shift": 12, "addr": 0, "size": SMALL}
    managed.ok("pfn_map", **page, pattern=1)
    assert managed.ok("pfn_map", **page, pattern=4) == [
        "P4+0=6000001",
        "flush",
        "dma-unmap 200000000 1000",
    ]
    assert managed.ok("pfn_map", **page, pattern=0)[0] == "P0+0=0"
    assert managed.is_empty()


def test_pages_one_by_one_where_they_do_not_belong(managed: World) -> None:
    managed.memory(VRAM, SMALL)
    managed.ok("map_part", vma=0, first=SMALL, size=SMALL, memory=0)
    managed.ok("pfn_map", shift=12, addr=0, size=3 * SMALL, pattern=1)
    assert managed.result == Result(0, 1)
    managed.no(REFUSED, "map_part", vma=0, first=0, size=SMALL, memory=0)
    managed.ok("pfn_unmap", addr=0, size=3 * SMALL)
    assert managed.vmas()[-1].startswith("+2000..")
    # Not in what is free, and no page that is larger than its area.
    world = World()
    world.get(4 * SMALL)
    world.get(SMALL)
    world.ok("put", vma=1)
    world.ok("pfn_map", shift=12, addr=0, size=6 * SMALL, pattern=1)
    assert world.result == Result(0, 2)
    world.ok("pfn_map", shift=21, addr=0, size=LARGE, pattern=1)
    assert world.result == Result(0, 1)
    world.get(SMALL, getref=1)
    world.do("pfn_map", shift=12, addr=4 * SMALL, size=SMALL, pattern=1)
    assert world.result == Result(0, 1)


def test_digits_of_a_pattern(managed: World) -> None:
    pattern = 0x76543210
    managed.ok("pfn_map", shift=12, addr=LARGE, size=9 * SMALL, pattern=pattern)
    stored = {e.a % SMALL // 8: e.c for e in managed.trace if e.kind == t.STORE and e.c & 1}
    for page in range(9):
        digit = pfn_digit(pattern, page)
        valid, vram, writable, atomic = PFN_DIGITS[digit if digit < 7 else 0]
        assert (page in stored) == valid
        if valid:
            entry = stored[page]
            assert entry >> 8 == pfn_address(vram, LARGE + page * SMALL) >> 12
            assert (entry & 0xF) == (1 if vram else 0xD)
            assert (not entry & 0x40, not entry & 0x80) == (writable, atomic)


# -- one cell of 2 MiB ------------------------------------------------------------------------


def of_raw(world: World, name: str, addr: int, pages: int, shift: int, **more: int) -> list[str]:
    args = {"shift": shift, "addr": addr, "size": pages << shift, **more}
    return world.ok(f"raw_{name}", **args)


def test_more_references_than_fit_in_six_bits(raw: World) -> None:
    """KB-01."""
    raw.memory(VRAM, PAGE_64K)
    of_raw(raw, "get", PAGE_64K, 1, 16)
    of_raw(raw, "get", 0, 16, 12)
    of_raw(raw, "map", 0, 16, 12, memory=0)
    for _ in range(5):
        assert of_raw(raw, "get", 0, 16, 12) == []
    assert raw.states() == ["0:0..ffff 160"]
    assert raw.refs() == {"0:0": (1, 96)}
    for _ in range(5):
        assert of_raw(raw, "put", 0, 16, 12) == []
    assert raw.states() == ["0:0..ffff 50"]
    of_raw(raw, "unmap", 0, 16, 12)
    assert of_raw(raw, "put", 0, 16, 12)[0] == "P4+0=20"
    of_raw(raw, "put", PAGE_64K, 1, 16)
    assert raw.is_empty()


def test_pages_of_64k_take_the_place_of_small_ones(raw: World) -> None:
    """As a client does: it references the new ones, unmaps the old, maps, lets the old go."""
    raw.memory(VRAM, LARGE, 21)
    of_raw(raw, "get", 0, 16, 12)
    of_raw(raw, "map", 0, 16, 12, memory=0)
    assert of_raw(raw, "get", 0, 1, 16)[:3] == ["alloc P5 100", "P5+0=0", "P5+8=20 x31"]
    of_raw(raw, "unmap", 0, 16, 12)
    assert of_raw(raw, "map", 0, 1, 16, memory=0) == ["P5+0=4000001", "flush"]
    # The last small reference goes: the large page stays.
    assert of_raw(raw, "put", 0, 16, 12) == [f"P3+0={pde(5)}", "P3+8=0", "flush", "free P4"]
    # And back.
    of_raw(raw, "get", 0, 16, 12)
    assert of_raw(raw, "unmap", 0, 1, 16) == ["P5+0=0", "flush"]
    of_raw(raw, "map", 0, 16, 12, memory=0)
    of_raw(raw, "put", 0, 1, 16)
    of_raw(raw, "unmap", 0, 16, 12)
    of_raw(raw, "put", 0, 16, 12)
    assert raw.is_empty()


def test_pages_of_2m_take_the_place_of_small_ones(raw: World) -> None:
    raw.memory(VRAM, LARGE, 21)
    of_raw(raw, "get", 0, 16, 12)
    of_raw(raw, "map", 0, 16, 12, memory=0)
    assert of_raw(raw, "get", 0, 1, 21) == []
    of_raw(raw, "unmap", 0, 16, 12)
    assert of_raw(raw, "map", 0, 1, 21, memory=0) == ["P3+0=4000001", "P3+8=0", "flush"]
    assert of_raw(raw, "put", 0, 16, 12) == ["flush", "free P4"]
    assert of_raw(raw, "get", 0, 16, 12)[-1] == "flush"
    assert of_raw(raw, "unmap", 0, 1, 21)[:2] == ["P3+0=0", f"P3+8={pde(4)}"]
    of_raw(raw, "put", 0, 1, 21)
    of_raw(raw, "put", 0, 16, 12)
    assert raw.is_empty()


def test_small_pages_in_a_sparse_large_one(gp100: World) -> None:
    gp100.memory(VRAM, SMALL)
    gp100.get(PAGE_64K, 0, sparse=1)
    said = gp100.ok("map_part", vma=0, first=SMALL, size=SMALL, memory=0)
    assert said[-5:] == [f"P3+8={pde(5)}", "P5+0=8 x16", "P4+0=0", "P5+8=4000001", "flush"]
    assert gp100.states() == ["0:0..ffff c1"]
    said = gp100.ok("unmap", vma=0, first=SMALL)
    assert said == ["P4+0=8", f"P3+0={pde(4)}", "P3+8=0", "flush", "free P5"]
    assert gp100.states() == ["0:0..ffff 80"]


def test_small_pages_below_a_sparse_large_one_end_with_it(gp100: World) -> None:
    """Where the small table lives on, nobody finds a sparse entry in it that is nobody's."""
    gp100.memory(VRAM, SMALL)
    gp100.get(PAGE_64K, 0, sparse=1)
    gp100.get(SMALL, getref=1)
    gp100.ok("map_part", vma=0, first=SMALL, size=SMALL, memory=0)
    # The small entries become sparse, but for the one that is mapped, and are hidden again.
    assert gp100.ok("unmap", vma=0, first=SMALL) == ["P4+0=8", "P5+8=8", "flush"]
    assert gp100.ok("put", vma=0)[0] == "P5+0=0 x16"
    gp100.ok("put", vma=1)
    assert gp100.is_empty()


def test_a_large_table_in_a_sparse_cell_that_has_a_small_one(gp100: World) -> None:
    """Every large entry is sparse, also those that small pages decide, when these are gone."""
    gp100.memory(VRAM, LARGE, 16)
    gp100.memory(VRAM, SMALL)
    gp100.get(LARGE, 0, sparse=1, align=21)
    gp100.ok("map_part", vma=0, first=0, size=SMALL, memory=1)
    said = gp100.ok("map_part", vma=0, first=PAGE_64K, size=PAGE_64K, memory=0)
    assert said[:3] == ["alloc P5 100", "P5+0=0", "P5+8=8 x31"]
    assert gp100.ok("unmap", vma=0, first=0)[0] == "P5+0=8"
    gp100.ok("map_part", vma=0, first=2 * PAGE_64K, size=SMALL, memory=1)
    assert gp100.ok("unmap", vma=0, first=2 * PAGE_64K)[0] == "P5+10=8"
    gp100.ok("put", vma=0)
    assert gp100.is_empty()


def test_a_map_that_fails_in_a_sparse_area_leaves_it_sparse(gp100: World) -> None:
    gp100.memory(HOST, 2 * LARGE)
    gp100.get(LARGE + PAGE_64K, 0, sparse=1, align=21)
    gp100.ok("map_part", vma=0, first=LARGE + SMALL, size=SMALL, memory=0)
    args = {"vma": 0, "first": LARGE - SMALL, "size": 2 * SMALL, "memory": 0}
    assert "alloc-failed" in gp100.do("map_part", **args, fail_at=1)
    assert gp100.result == NO_MEMORY
    gp100.ok("map_part", **args)
    gp100.ok("put", vma=0)
    assert gp100.is_empty()


def test_sparse_areas_of_a_bar_keep_its_tables() -> None:
    world = World(size=4 * LARGE)
    world.ok("boot")
    tables = dict(world.names)
    world.memory(VRAM, SMALL)
    world.memory(VRAM, LARGE, 16)
    assert world.get(LARGE + SMALL, 0, sparse=1, align=21)
    world.ok("map_part", vma=0, first=SMALL, size=SMALL, memory=0)
    world.ok("unmap", vma=0, first=SMALL)
    world.ok("map_part", vma=0, first=PAGE_64K, size=PAGE_64K, memory=1)
    world.ok("put", vma=0)
    assert world.names == tables
    world.get(SMALL)
    world.map(0 + 1, 0)
    world.ok("destroy")
    assert world.names == {}


# -- the raw interface ------------------------------------------------------------------------


def test_raw_references_and_maps_are_apart(raw: World) -> None:
    raw.memory(VRAM, 2 * SMALL)
    assert of_raw(raw, "get", 0, 2, 12)[-2:] == [f"P3+8={pde(4)}", "flush"]
    assert of_raw(raw, "map", 0, 2, 12, memory=0) == ["P4+0=4000001", "P4+8=4000101", "flush"]
    assert of_raw(raw, "get", 0, 2, 12) == []
    assert of_raw(raw, "unmap", 0, 2, 12) == ["P4+0=0 x2", "flush"]
    assert of_raw(raw, "unmap", 0, 1, 12, sparse=1) == ["P4+0=8", "flush"]
    assert of_raw(raw, "put", 0, 2, 12) == []
    assert of_raw(raw, "put", 0, 2, 12)[0] == "P0+0=0"
    assert raw.is_empty()


def test_raw_sparse(raw: World) -> None:
    place = {"addr": 0, "size": 2 * LARGE + PAGE_64K + SMALL}
    raw.ok("raw_sparse", **place, ref=1)
    raw.no(BUSY, "raw_sparse", **place, ref=1)
    raw.no(REFUSED, "raw_sparse", addr=0, size=LARGE, ref=0)
    raw.ok("raw_sparse", **place, ref=0)
    raw.no(REFUSED, "raw_sparse", **place, ref=0)
    assert raw.is_empty()
    of_raw(raw, "get", LARGE, 1, 12)
    raw.no(BUSY, "raw_sparse", **place, ref=1)
    of_raw(raw, "put", LARGE, 1, 12)


def test_what_the_raw_interface_refuses(raw: World) -> None:
    raw.memory(VRAM, SMALL)
    page = {"shift": 12, "addr": 0, "size": SMALL}
    for name, args in (
        ("raw_get", {**page, "addr": 1 << 40}),
        ("raw_get", {**page, "shift": 13}),
        ("raw_get", {**page, "size": 0}),
        ("raw_get", {**page, "addr": 0x800}),
        ("raw_put", page),
        ("raw_unmap", page),
        ("raw_map", {**page, "memory": 0}),
        ("raw_map", {**page, "addr": 1 << 40, "memory": 0}),
        ("map_part", {"vma": 0, "first": 0, "size": SMALL, "memory": 0}),
        ("pfn_map", {**page, "pattern": 1}),
        ("pfn_unmap", {"addr": 0, "size": SMALL}),
        ("put", {"vma": 0}),
        ("raw_sparse", {"addr": 0, "size": 0x800, "ref": 1}),
    ):
        raw.no(REFUSED, name, **args)
    raw.no(NOT_THERE, "raw_map", **page, memory=7)
    raw.get(SMALL)
    raw.map(2)
    of_raw(raw, "get", 0, 1, 12)
    raw.ok("destroy")
    assert raw.names == {}
    World().no(REFUSED, "raw_get", **page)


# -- join, part, boot, destroy ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "big", "flags"),
    [
        ("gf100", 16, 0),
        ("gk104", 17, 0),
        ("gm200", 16, 1 << 11),
        ("gm200", 17, 0),
        ("gp100", 16, 3 << 10),
    ],
)
def test_the_instance_block(name: str, big: int, flags: int) -> None:
    world = World(chip=name, big=big)
    bits = 49 if name == "gp100" else 40
    assert world.ok("join") == [
        "alloc P1 1000 zeroed",
        f"P1+200={ROOT | flags:x}",
        f"P1+208={(1 << bits) - 1:x}",
    ]
    assert world.result.value == world.base("P1")
    assert [(e.a, e.b) for e in world.trace if e.kind == t.ATTACH] == [(ROOT, 0)]
    world.no(BUSY, "join")
    assert world.ok("part") == ["P1+200=0 x2", "free P1"]
    world.no(REFUSED, "part")
    world.ok("join")
    assert world.ok("destroy") == ["P2+200=0 x2", "free P2", "free P0"]


def test_faults_that_are_replayed() -> None:
    world = World(replay=1)
    assert world.ok("join")[1] == f"P1+200={ROOT | 3 << 10 | 3 << 4:x}"
    world.ok("replay")
    assert [e.b for e in world.trace if e.kind == t.REG_WRITE][-1] == 0x8000000B
    World(chip="gm200").no(REFUSED, "replay")


def test_boot_makes_all_tables_and_keeps_them() -> None:
    world = World(size=4 * LARGE)
    said = world.ok("boot")
    assert [line for line in said if line.startswith("alloc")] == [
        f"alloc P{number} 1000 zeroed" for number in range(1, 8)
    ]
    assert [e.b for e in world.trace if e.kind == t.REG_WRITE][-1] == 0x80000005
    world.memory(VRAM, SMALL)
    world.memory(VRAM, PAGE_64K, 16)
    world.get(SMALL)
    assert world.map(0) == ["P4+0=4000001", "flush"]
    assert world.ok("unmap", vma=0) == ["P4+0=0", "flush"]
    # A large page takes the small ones' place, and leaves it to them again.
    world.get(PAGE_64K, 16)
    assert world.map(1, 1)[1] == "P8+0=0 x32"
    world.ok("unmap", vma=1)
    world.no(REFUSED, "boot")
    world.ok("destroy")
    assert world.names == {}
    World().no(REFUSED, "boot")
    world = World(size=4 * LARGE)
    assert "alloc-failed" in world.do("boot", fail_at=6)
    assert world.result == NO_MEMORY
    assert world.is_empty()


def test_the_end_takes_everything() -> None:
    managed = World(managed=1, start=1 << 40, size=1 << 30)
    managed.memory(VRAM, LARGE, 16)
    managed.memory(HOST, LARGE)
    managed.get(LARGE, 0, sparse=1)
    managed.get(PAGE_64K, 16, getref=1)
    managed.ok("map_part", vma=2, first=SMALL, size=SMALL, memory=1)
    managed.map(3, 0)
    managed.ok("pfn_map", shift=12, addr=0, size=8 * SMALL, pattern=0x401)
    managed.ok("map_part", vma=0, first=PAGE_64K, size=PAGE_64K, memory=0)
    managed.ok("join")
    let_at = [e for e in managed.trace if e.kind == t.DMA_MAP]
    assert not let_at
    managed.ok("destroy")
    assert managed.names == {}
    assert managed.counts() == {0: 1, 1: 1}
    assert managed.vmas() == [line for line in managed.vmas() if line.startswith("-")]
    gone = [e.a for e in managed.trace if e.kind == t.DMA_UNMAP]
    assert len(gone) == 3
    assert not [pair for pair in managed.refs().values() if pair != (0, 0)]


# -- invalidations that do not get done -------------------------------------------------------


def test_an_invalidation_is_waited_for(gp100: World) -> None:
    idle = 0x00FF8000
    gp100.memory(VRAM, SMALL)
    gp100.get(SMALL)
    gp100.ok("stick", polls=3)
    gp100.map(0)
    assert gp100.polls() == [0, 0, 0, idle, idle]


def test_nothing_is_freed_that_may_still_be_cached(managed: World) -> None:
    managed.memory(VRAM, SMALL)
    managed.ok("map_part", vma=0, first=LARGE, size=SMALL, memory=0)
    managed.ok("pfn_map", shift=12, addr=0, size=SMALL, pattern=1)
    managed.ok("drop", memory=0)
    managed.ok("stick", polls=-1)
    assert managed.ok("unmap", vma=0, first=LARGE) == ["P3+10=0 x2"]
    assert managed.counts() == {}
    assert len(managed.polls()) == t.WORDS * 4
    assert managed.ok("pfn_unmap", addr=0, size=SMALL) == ["P5+0=2000000c", "P0+0=0"]
    # When the device is well again, all of it goes with the next invalidation.
    managed.ok("stick", polls=0)
    said = managed.get(SMALL, getref=1)
    gone = [line for line in said if line.startswith(("flush", "free", "dma-unmap"))]
    assert gone == [
        "flush",
        "free P4",
        "free P1",
        "free P2",
        "free P3",
        "free P5",
        "dma-unmap 200000000 1000",
    ]
    assert managed.counts() == {0: 0}
    managed.ok("put", vma=2)
    assert managed.is_empty()


# -- allocations that fail --------------------------------------------------------------------


@pytest.mark.parametrize("fail_at", range(1, 8))
def test_a_map_that_gets_no_table_leaves_nothing(gp100: World, fail_at: int) -> None:
    gp100.memory(HOST, 2 * LARGE)
    gp100.get(2 * LARGE)
    said = gp100.do("map", vma=0, memory=0, fail_at=fail_at)
    if fail_at > 5:
        assert gp100.result == DONE
        return
    assert gp100.result == NO_MEMORY
    assert "alloc-failed" in said
    assert gp100.is_empty()
    assert gp100.vmas() == []
    assert gp100.counts() == {}
    gp100.map(0)
    gp100.ok("put", vma=0)
    assert gp100.is_empty()


def test_there_is_an_end_to_table_memory(gp100: World) -> None:
    trace = Trace()
    args = {"size": 1 << 36, "shift": 12, "getref": 1}
    assert gp100.target.perform(Operation("get", {**args}), trace) == NO_MEMORY
    kinds = [words & 0xFFFF for words in trace.words[:: t.WORDS]]
    assert kinds.count(t.ALLOC) == kinds.count(t.FREE) > 1000
    gp100.get(SMALL, getref=1)
    gp100.ok("put", vma=0)
    assert gp100.is_empty()


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("sparse", [0, 1])
def test_any_allocation_may_fail(name: str, sparse: int) -> None:
    failed = 0
    if sparse and name in ("gf100", "gk104"):
        return
    for k in [*range(1, 14), *range(1001, 1024)]:
        world = World(chip=name)
        world.memory(VRAM, 4 * LARGE, 16)
        space = world.device.is_there()
        whole = [(vma.address, vma.size) for vma in space.areas.vmas]
        world.do("get", size=2 * LARGE + PAGE_64K, shift=16, getref=1, sparse=sparse, fail_at=k)
        if world.result == NO_MEMORY:
            failed += 1
            assert world.is_empty()
            assert [(vma.address, vma.size) for vma in space.areas.vmas] == whole
            world.get(2 * LARGE + PAGE_64K, 0, sparse=sparse)
        args = {"vma": 0, "first": PAGE_64K, "size": 2 * LARGE, "memory": 0}
        before = [(vma.address, vma.size, vma.mapped) for vma in space.areas.vmas]
        world.do("map_part", **args, fail_at=k)
        if world.result == NO_MEMORY:
            failed += 1
            assert world.vmas() == []
            assert [(vma.address, vma.size, vma.mapped) for vma in space.areas.vmas] == before
        assert world.result in (DONE, NO_MEMORY)
        world.ok("put", vma=0)
        assert world.is_empty()
        world.ok("destroy")
        assert world.names == {}
    assert failed > 3


# -- laws over many calls ---------------------------------------------------------------------


class Judge:
    """What was promised, and what the device makes of the tables, after each operation."""

    def __init__(self, world: World, fmt: str, big: int) -> None:
        self.world = world
        self.format = nvidia_format(fmt, big)
        self.mmu = NvidiaMmu(self.format)
        self.promise = Pieces(int(self.format.limit))

    def look(self, end: int = 1 << 26) -> None:
        """Judge the last operation; ``end``: nothing is mapped from there on."""
        self.mmu.feed(self.world.trace.words, 0)
        assert [repr(one) for one in self.mmu.observations] == []
        if self.world.device.space is None:
            return
        difference = self.mmu.walker.difference(self.promise, 0, end - 1)
        assert difference is None, (hex(difference.va), difference.found, difference.promised)
        due = [one for one in self.mmu.current.unflushed(0, end - 1) if one.how != MARKED]
        assert due == []

    def leads(self, first: int, size: int, target: int, pa: int) -> None:
        """Memory in whole is mapped."""
        meaning = {VRAM: 0, HOST: VOLATILE | 2 << 8, NCOH: 3 << 8}[target]
        self.promise.map(first, first + size - 1, pa, meaning)


@pytest.mark.parametrize("name", CHIPS)
def test_areas_are_as_promised(name: str) -> None:
    """Whatever is done with areas, the tables say what was promised."""
    draw = random.Random(name)
    changed = 0
    for _ in range(20):
        world = World(chip=name)
        judge = Judge(world, name, 16)
        judge.mmu.feed(world.trace.words, 0)
        judge.mmu.links.attach(judge.mmu.current, world.root)
        world.memory(VRAM, 4 * LARGE, 16)
        world.memory(NCOH, 4 * LARGE)
        areas: dict[int, tuple[int, int, int]] = {}
        parts: dict[int, int] = {}
        count = 0
        for _ in range(40):
            shift = draw.choice((0, 12, 16))
            sparse = draw.randrange(2) if name in ("gm200", "gp100") else 0
            size = draw.choice((1, 2, 16, 17, 33, 512, 545)) * SMALL
            memory = draw.randrange(2)
            choice = draw.randrange(6)
            area = draw.choice([*areas, 0])
            address, length, _ = areas.get(area, (0, 0, 0))
            fail_at = draw.choice((0, 0, 0, 0, 1, 2, 1001, 1004))
            if choice < 2:
                size = max(1 << max(shift, 12), size >> max(shift, 12) << max(shift, 12))
                getref = draw.randrange(2) if shift else 0
                args = {"size": size, "shift": shift, "sparse": sparse, "getref": getref}
                world.do("get", **args, fail_at=fail_at)
                if world.result.result == 0:
                    areas[count] = (world.result.value, size, sparse)
                    count += 1
                    if sparse:
                        first = world.result.value
                        judge.promise.sparse(first, first + size - 1)
            elif choice == 2:
                world.do("put", vma=area)
                if world.result.result == 0:
                    judge.promise.clear(address, address + length - 1)
                    areas.pop(area)
                    for first in [p for p in parts if address <= p < address + length]:
                        del parts[first]
            elif choice == 3 or (choice == 4 and not parts):
                first = draw.choice((0, 0, SMALL, PAGE_64K, 3 * SMALL))
                size = length if first == 0 else draw.choice((SMALL, PAGE_64K))
                args = {"vma": area, "first": first, "size": size, "memory": memory}
                world.do("map_part", **args, fail_at=fail_at)
                if world.result.result == 0:
                    target, pa = (VRAM, 0x4000_0000) if memory == 0 else (NCOH, 0x1_0000_0000)
                    judge.leads(address + first, size, target, pa)
                    parts[address + first] = size
                    changed += 1
            else:
                first = draw.choice([*parts, address])
                world.do("unmap", vma=area, first=first - address)
                if world.result.result == 0:
                    last = first + parts.pop(first) - 1
                    owner = next(a for a in areas.values() if a[0] <= first < a[0] + a[1])
                    if owner[2]:
                        judge.promise.sparse(first, last)
                    else:
                        judge.promise.clear(first, last)
                    changed += 1
            judge.look()
        world.ok("destroy")
        judge.look()
        assert world.names == {}
    assert changed > 50


def test_raw_calls_are_as_promised() -> None:
    """References of several page sizes to the same addresses: what is mapped stays mapped."""
    draw = random.Random(7)
    changed = 0
    for _ in range(25):
        world = World(raw=1, start=1 << 40, size=1 << 20)
        judge = Judge(world, "gp100", 16)
        judge.mmu.feed(world.trace.words, 0)
        judge.mmu.links.attach(judge.mmu.current, world.root)
        world.memory(VRAM, 4 * LARGE, 21)
        # Cells of 64 KiB in 4 MiB, mapped as a whole: by which page size, and referenced how.
        cells = 64
        mapped: dict[int, int] = {}
        held: dict[tuple[int, int], int] = {}
        for _ in range(60):
            shift = draw.choice((12, 16, 21))
            unit = max(PAGE_64K, 1 << shift)
            first = draw.randrange(0, cells * PAGE_64K // unit) * unit
            place = {"shift": shift, "addr": first, "size": unit}
            covered = range(first // PAGE_64K, (first + unit) // PAGE_64K)
            key = (shift, first)
            choice = draw.randrange(5)
            if choice < 2:
                world.do("raw_get", **place, fail_at=draw.choice((0, 0, 0, 1)))
                if world.result.result == 0:
                    held[key] = held.get(key, 0) + 1
            elif choice == 2 and held.get(key, 0):
                # Whatever is mapped there goes first, as a client has it.
                for cell in covered:
                    at = mapped.get(cell, -1)
                    if at >= 0:
                        size = max(PAGE_64K, 1 << at)
                        start = cell * PAGE_64K // size * size
                        world.ok("raw_unmap", shift=at, addr=start, size=size)
                        judge.promise.clear(start, start + size - 1)
                        for one in range(start // PAGE_64K, (start + size) // PAGE_64K):
                            mapped.pop(one, None)
                        judge.look()
                world.ok("raw_map", **place, memory=0)
                judge.leads(first, unit, VRAM, 0x4000_0000)
                mapped.update(dict.fromkeys(covered, shift))
                changed += 1
            elif choice == 3 and held.get(key, 0):
                if held[key] == 1 and shift in [mapped.get(cell) for cell in covered]:
                    world.ok("raw_unmap", **place)
                    judge.promise.clear(first, first + unit - 1)
                    for cell in covered:
                        del mapped[cell]
                    judge.look()
                world.ok("raw_put", **place)
                held[key] -= 1
                changed += 1
            else:
                continue
            judge.look()
        world.ok("destroy")
        judge.look()
        assert world.names == {}
    assert changed > 100


def test_no_table_cannot_be_freed() -> None:
    """What was never had is nowhere; a table that is gone is told of as it is."""
    trace = Trace()
    memory = nvidia.DriverMemory(trace)
    pa = memory.allocate(0x1000, 0x1000)
    memory.free(pa)
    memory.free(pa)
    assert [event.name for event in trace] == ["alloc", "free", "free"]
    with pytest.raises(ValueError, match=r"^pa is -1; allowed are addresses"):
        memory.free(NO_TABLE)
