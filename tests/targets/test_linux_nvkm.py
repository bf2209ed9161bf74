"""linux:nvkm: page tables of NVIDIA devices, store by store, as the driver makes them."""

import errno
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conformance.systems.nvidia.operations import CHIPS
from conformance.systems.nvidia.targets import NVKM, SOURCE, LinuxNvkm
from conformance.targets.linux.errors import HarnessError, KernelTreeError
from conformance.targets.linux.tree import KernelTree
from reference import trace as t
from reference.operations import Operation, Result
from reference.physical_layout import (
    HOST,
    NCOH,
    PFN_DIGITS,
    VRAM,
    MemoryLayout,
    pfn_address,
    pfn_digit,
)
from reference.systems.gpuvm.events import VMA_ADD, VMA_REMOVE
from reference.systems.nvidia.events import AREA_MAPPED, AREA_PART, PT_REFS, PT_STATE
from reference.trace import Event, Trace
from reference.words import to_unsigned

SMALL, PAGE_64K, PAGE_128K, LARGE = 0x1000, 0x10000, 0x20000, 0x200000
DONE = Result(0)
REFUSED = Result(-errno.EINVAL)
NO_MEMORY = Result(-errno.ENOMEM)
NOT_THERE = Result(-errno.ENOENT)

STATE, PDB_LOW, PDB_HIGH, START = 0x100C80, 0x100CB8, 0x100CEC, 0x100CBC
EVERYTHING, ONLY_HUB = 0x80000001, 0x80000005
DEPTH = 7 << 24
"""Bits in which trees before 6.10 say how deep the invalidation has to go."""

FIRST_VRAM, FIRST_SYSTEM = 0x4000_0000, 0x1_0000_0000
ROOT = 0x8000_0000


def op(name: str, **args: int | str) -> Operation:
    return Operation(name, {**args})


def get(size: int, shift: int = 12, **more: int) -> Operation:
    return op("get", **{"size": size, "shift": shift, **more})


def map_(vma: int, memory: int = 0, **more: int) -> Operation:
    return op("map", **{"vma": vma, "memory": memory, **more})


def memory(target: int, size: int, page: int = 12, **more: int) -> Operation:
    return op("memory", **{"target": target, "size": size, "page": page, **more})


def put(vma: int) -> Operation:
    return op("put", vma=vma)


def unmap(vma: int, **more: int) -> Operation:
    return op("unmap", **{"vma": vma, **more})


DESTROY = op("destroy")


class Space:
    """An address space, and what was last done in it, with tables by name: P0, P1, ..."""

    def __init__(self, target: LinuxNvkm, **create: int | str) -> None:
        self.target = target
        self.names: dict[int, tuple[str, int]] = {}
        self.count = 0
        self.trace = Trace()
        self.result = DONE
        self.ok(op("create", **create))
        self.root = self.base("P0")

    def do(self, operation: Operation) -> list[str]:
        """Carry it out; the lines that :meth:`lines` makes of its events."""
        self.trace = Trace()
        self.result = self.target.perform(operation, self.trace)
        return list(self.lines())

    def ok(self, *operations: Operation) -> list[str]:
        """Carry them out without an error; the lines of the last one."""
        said: list[str] = []
        for operation in operations:
            said = self.do(operation)
            assert self.result.finished, (operation, said)
            assert self.result.result == 0, operation
        return said

    def place(self, pa: int) -> str:
        """Such as "P3+8"."""
        for start, (name, size) in self.names.items():
            if start <= pa < start + size:
                return f"{name}+{pa - start:x}"
        return f"?{pa:x}"

    def lines(self) -> Iterator[str]:
        """Allocations, stores, invalidations, DMA and frees: "alloc P1", "P0+8=102", "flush".

        Stores of one value in a row are one line: "P5+8=20 x31".
        """
        events = list(self.trace)
        if "RAW_ACCESSORS" in self.target.features:  # each has a barrier of its own
            events = [event for event in events if event.kind != t.BARRIER]
        at = 0
        while at < len(events):
            event = events[at]
            at += 1
            if event.kind == t.ALLOC:
                name = f"P{self.count}"
                self.count += 1
                self.names[event.a] = (name, event.b)
                zero = at < len(events) and events[at].kind == t.FILL
                yield f"alloc {name} {event.b:x}{' zeroed' if zero else ''}"
            elif event.kind == t.FREE:
                yield f"free {self.names.pop(event.a)[0]}"
            elif event.kind == t.STORE:
                count = 1
                while at < len(events) and self.continues(event, events[at], count):
                    count += 1
                    at += 1
                more = f" x{count}" if count > 1 else ""
                yield f"{self.place(event.a)}={to_unsigned(event.c):x}{more}"
            elif event.kind == t.REG_READ:
                at += self.flush(events[at - 1 :])
                yield "flush"
            elif event.kind in (t.DMA_MAP, t.DMA_UNMAP):
                yield f"{event.name} {event.a:x} {event.b:x}"
            elif event.kind in (t.ALLOC_FAILED, t.WARN, t.BUG, t.CRASH, t.HANG, t.WILD):
                yield event.name

    @staticmethod
    def continues(first: Event, event: Event, count: int) -> bool:
        return event.kind == t.STORE and (event.a, event.c) == (first.a + 8 * count, first.c)

    def flush(self, events: list[Event]) -> int:
        """Check that a whole invalidation begins here, and how many events follow the first."""
        high = [(t.REG_WRITE, PDB_HIGH)] if self.is_pascal else []
        wanted = [(t.REG_READ, STATE), (t.REG_WRITE, PDB_LOW), *high, (t.REG_WRITE, START)]
        wanted.append((t.REG_READ, STATE))
        found = events[: len(wanted)]
        assert [(e.kind, e.a) for e in found] == wanted
        assert found[1].b == self.root >> 12 << 4
        assert found[-2].b & ~DEPTH in (EVERYTHING, ONLY_HUB)
        return len(wanted) - 1

    @property
    def is_pascal(self) -> bool:
        return next(iter(self.names.values()))[1] == 0x20

    def base(self, name: str) -> int:
        return next(pa for pa, (known, _) in self.names.items() if known == name)

    def deep(self) -> list[int]:
        """What was written to start each invalidation."""
        return [e.b for e in self.trace if e.kind == t.REG_WRITE and e.a == START]


def refs(trace: Trace) -> dict[str, tuple[int, int]]:
    """By level and first address: "0:10000"."""
    return {
        f"{to_unsigned(e.a) & 15}:{to_unsigned(e.a) & ~0xFFF:x}": (e.b, e.c)
        for e in trace
        if e.kind == PT_REFS
    }


def states(trace: Trace) -> list[str]:
    """Such as "0:0..1ffff 43"."""
    return [
        f"{to_unsigned(e.a) & 15}:{to_unsigned(e.a) & ~15:x}..{to_unsigned(e.b):x} {e.c:x}"
        for e in trace
        if e.kind == PT_STATE
    ]


def vmas(trace: Trace) -> list[str]:
    """Such as "+0..2fff 0/5 mapped": what came and what went, of which area, at which page size."""
    said = []
    for e in trace:
        if e.kind not in (VMA_ADD, VMA_REMOVE):
            continue
        first, last, word = (to_unsigned(x) for x in (e.a, e.b, e.c))
        line = f"{'+' if e.kind == VMA_ADD else '-'}{first:x}..{last:x} {word >> 48}/{word & 7}"
        line += " mapped" if word & AREA_MAPPED else ""
        line += " part" if word & AREA_PART else ""
        said.append(line)
    return said


def counts(trace: Trace) -> dict[int, int]:
    """References to memories that have changed."""
    return {e.b: e.c for e in trace if e.kind == t.REFS and e.a == t.REFS_BUFFER}


def pde(pa: int) -> str:
    """The entry of a GP100 directory for a table in VRAM, as text."""
    return f"{pa >> 4 | 2:x}"


def table(number: int) -> int:
    """The physical address of a table of GP100, where each of them takes a page."""
    return ROOT + SMALL * number


def has_raw(target: LinuxNvkm) -> bool:
    return "raw" not in target.traits


@pytest.fixture
def gp100(nvkm: LinuxNvkm) -> Space:
    return Space(nvkm)


@pytest.fixture
def chip(nvkm: LinuxNvkm) -> Callable[..., Space]:
    """Makes an address space of a chip."""
    return lambda name, big: Space(nvkm, chip=name, big=big)


@pytest.fixture
def raw(nvkm: LinuxNvkm) -> Space:
    """An address space of the raw interface, where there is one."""
    if not has_raw(nvkm):
        pytest.skip(f"{nvkm.version} has no raw interface")
    return Space(nvkm, raw=1, start=1 << 40, size=1 << 20)


@pytest.fixture
def managed(nvkm: LinuxNvkm) -> Space:
    """An address space most of which, from 0 on, the client manages itself: area 0."""
    return Space(nvkm, managed=1, start=1 << 40, size=1 << 20)


# -- the target itself ----------------------------------------------------------------------


def test_name_version_and_traits(nvkm: LinuxNvkm) -> None:
    assert nvkm.name == "linux:nvkm"
    assert nvkm.version.endswith(f", {SOURCE}")
    assert nvkm.traits in ({}, {"raw": (0,)})
    assert has_raw(nvkm) == ("linux 6.1." not in nvkm.version)


def test_a_tree_that_lacks_a_source_says_which(tmp_path: Path) -> None:
    with pytest.raises(KernelTreeError, match=r"has no drivers/gpu/drm/nouveau/nvkm/.*/base\.c"):
        KernelTree(tmp_path, "6.12.0", "").require(NVKM.sources, "linux:nvkm")


def test_what_is_left_out_is_as_the_table_has_it(nvkm: LinuxNvkm) -> None:
    whole = {"getref": 0, "mapref": 1, "sparse": 0, "shift": 0, "align": 0, "size": SMALL}
    done = []
    for args in ({}, whole):
        nvkm.reset()
        space = Space(nvkm)
        space.ok(op("get", **args))
        done.append((space.result.value, vmas(space.trace), space.trace.words))
    assert done[0] == done[1]
    assert done[0][1] != []


def test_what_cannot_be_asked(nvkm: LinuxNvkm, kernel: Path | None) -> None:
    trace = Trace()
    with pytest.raises(
        ValueError, match="'get' without an address space; allowed are create, memory"
    ):
        nvkm.perform(get(SMALL), trace)
    with pytest.raises(ValueError, match="chip is 'gh100'; allowed are gf100, gk104"):
        nvkm.perform(op("create", chip="gh100"), trace)
    Space(nvkm)
    with pytest.raises(ValueError, match="'create' with an address space"):
        nvkm.perform(op("create"), trace)
    with pytest.raises(ValueError, match="operation is 'bind'; allowed are create, memory"):
        nvkm.perform(op("bind"), trace)
    other = LinuxNvkm(kernel)
    with pytest.raises(HarnessError, match="after another target"):
        nvkm.perform(get(SMALL), trace)
    other.close()


@pytest.mark.parametrize("chip", CHIPS)
def test_an_address_space_comes_and_goes(nvkm: LinuxNvkm, chip: str) -> None:
    for big in (16, 17):
        if (chip, big) == ("gp100", 17):
            assert nvkm.perform(op("create", chip=chip, big=big), Trace()) == REFUSED
            continue
        space = Space(nvkm, chip=chip, big=big)
        size = 0x20 if chip == "gp100" else 8 << (14 if big == 16 else 13)
        assert space.names == {space.base("P0"): ("P0", size)}
        level = 4 if chip == "gp100" else 1
        assert refs(space.trace) == {f"{level}:0": (1, 0)}
        assert space.ok(DESTROY) == ["free P0"]
        assert refs(space.trace) == {f"{level}:0": (0, 0)}


def test_the_same_operations_leave_the_same_events(nvkm: LinuxNvkm) -> None:
    seen = []
    for _ in range(2):
        nvkm.reset()
        words: list[int] = []
        for operation in (
            op("create"),
            memory(VRAM, LARGE, 16),
            memory(NCOH, LARGE, scattered=3),
            get(PAGE_64K, sparse=1),
            get(LARGE, 16),
            map_(1),
            op("map_part", vma=0, first=0, size=SMALL, memory=1),
            DESTROY,
        ):
            trace = Trace()
            assert nvkm.perform(operation, trace).result == 0
            words += trace.words
        seen.append(words)
    assert seen[0] == seen[1]


# -- maps and unmaps, store by store ----------------------------------------------------------


def test_small_pages_of_gp100(gp100: Space) -> None:
    said = gp100.ok(memory(VRAM, 3 * SMALL), get(3 * SMALL), map_(0))
    assert said == [
        "alloc P1 1000 zeroed",
        f"P0+0={pde(table(1))}",
        "alloc P2 1000 zeroed",
        f"P1+0={pde(table(2))}",
        "alloc P3 1000 zeroed",
        f"P2+0={pde(table(3))}",
        "alloc P4 1000 zeroed",
        "P3+0=0",
        f"P3+8={pde(table(4))}",
        "P4+0=4000001",
        "P4+8=4000101",
        "P4+10=4000201",
        "flush",
    ]
    assert vmas(gp100.trace) == ["-0..2fff 0/7", "+0..2fff 0/5 mapped"]
    assert refs(gp100.trace) == {
        "4:0": (2, 0),
        "3:0": (1, 0),
        "2:0": (1, 0),
        "1:0": (1, 0),
        "0:0": (0, 3),
    }
    assert states(gp100.trace) == ["0:0..ffff 3"]
    assert counts(gp100.trace) == {0: 2}


def test_large_pages_beside_small_ones_of_gp100(gp100: Space) -> None:
    gp100.ok(memory(VRAM, 3 * SMALL), get(3 * SMALL), map_(0))
    gp100.ok(memory(VRAM, LARGE, 16), get(2 * PAGE_64K, 16))
    assert gp100.ok(map_(1, 1)) == [
        "alloc P5 100",
        "P5+0=0",
        "P5+8=20 x31",
        f"P3+0={pde(table(5))}",
        f"P3+8={pde(table(4))}",
        "P5+8=4020001",
        "P5+10=4021001",
        "flush",
    ]
    assert refs(gp100.trace) == {"1:0": (2, 0), "0:0": (2, 3)}
    assert states(gp100.trace) == ["0:0..ffff 43"]
    # The small ones go: the large table decides again, and the small one is freed.
    assert gp100.ok(unmap(0)) == [
        "P5+0=20",
        f"P3+0={pde(table(5))}",
        "P3+8=0",
        "flush",
        "free P4",
    ]
    # A single store takes all that is left.
    assert gp100.ok(unmap(1)) == ["P0+0=0", "flush", "free P1", "free P2", "free P3", "free P5"]
    assert counts(gp100.trace) == {1: 1}


def test_2m_pages_of_gp100(gp100: Space) -> None:
    said = gp100.ok(memory(VRAM, 2 * LARGE, 21), get(2 * LARGE, 21), map_(0))
    assert said[-5:] == ["P3+0=4000001", "P3+8=0", "P3+10=4020001", "P3+18=0", "flush"]
    assert vmas(gp100.trace)[-1] == "+0..3fffff 0/3 mapped"


def test_the_largest_page_that_fits_is_chosen(gp100: Space) -> None:
    gp100.ok(memory(VRAM, 2 * LARGE, 21), get(PAGE_64K, 0, align=16), get(LARGE, 0, align=21))
    gp100.ok(get(SMALL, 0), map_(0))
    assert vmas(gp100.trace)[-1] == "+0..ffff 0/4 mapped"
    gp100.ok(map_(1))
    assert vmas(gp100.trace)[-1] == "+200000..3fffff 1/3 mapped"
    gp100.ok(map_(2))
    assert vmas(gp100.trace)[-1].endswith(" 2/5 mapped")


@pytest.mark.parametrize(
    ("target", "scattered", "leaves"),
    [
        (HOST, 0, ["1000000d", "1000010d"]),
        (HOST, 1, ["1000010d", "1000030d"]),
        (NCOH, 0, ["10000007", "10000107"]),
        (NCOH, 1, ["10000107", "10000307"]),
        (VRAM, 1, ["4000101", "4000301"]),
    ],
)
def test_every_kind_of_memory(gp100: Space, target: int, scattered: int, leaves: list[str]) -> None:
    said = gp100.ok(memory(target, 2 * SMALL, scattered=scattered), get(2 * SMALL), map_(0))
    assert said[-3:] == [f"P4+0={leaves[0]}", f"P4+8={leaves[1]}", "flush"]


def test_permissions_and_kinds(gp100: Space) -> None:
    gp100.ok(memory(VRAM, SMALL), memory(HOST, SMALL), get(SMALL), get(SMALL), get(SMALL))
    assert gp100.ok(map_(0, 0, ro=1))[-2] == "P4+0=4000041"
    assert gp100.ok(map_(1, 0, priv=1, vol=1))[-2] == "P4+8=4000029"
    # With arguments, memory of the host is volatile only if they say so.
    assert gp100.ok(map_(2, 1, kind=1))[-2] == "P4+10=100000010000005"
    assert gp100.do(map_(2, 1, kind=0xFF)) == []
    assert gp100.result == REFUSED


def test_where_in_the_memory(gp100: Space) -> None:
    gp100.ok(memory(HOST, 16 * SMALL, scattered=3), get(2 * SMALL), get(4 * SMALL))
    layout = MemoryLayout().take(HOST, 16 * SMALL, 12, 3)
    assert layout is not None
    pages = [layout.address(at * SMALL) >> 4 | 0xD for at in range(16)]
    assert gp100.ok(map_(0, offset=2 * SMALL))[-3:-1] == [
        f"P4+0={pages[2]:x}",
        f"P4+8={pages[3]:x}",
    ]
    assert [line.partition("=")[2] for line in gp100.ok(map_(1, offset=5 * SMALL))[:4]] == [
        f"{page:x}" for page in pages[5:9]
    ]


def test_dual_tables_of_gf100(chip: Callable[..., Space]) -> None:
    space = chip("gf100", 17)
    said = space.ok(memory(VRAM, 2 * SMALL), get(2 * SMALL), map_(0))
    small = space.base("P1") << 24 | 1 << 32
    assert said == [
        "alloc P1 40000 zeroed",
        f"P0+0={small:x}",
        "P1+0=400001",
        "P1+8=400011",
        "flush",
    ]
    said = space.ok(memory(VRAM, 2 * PAGE_128K, 17), get(2 * PAGE_128K, 17), map_(1, 1))
    large = space.base("P2") >> 8 | 1
    assert said == [
        "alloc P2 2000 zeroed",
        f"P0+0={small | large:x}",
        "P2+8=402001",
        "P2+10=402201",
        "flush",
    ]
    assert space.ok(put(0)) == [f"P0+0={large:x}", "flush", "free P1"]
    assert space.do(get(PAGE_128K, sparse=1)) == []
    assert space.result == REFUSED


def test_entries_that_are_invalid_on_gk104(chip: Callable[..., Space]) -> None:
    # The large table first: its entries say that there is no small table to look at.
    space = chip("gk104", 17)
    said = space.ok(memory(VRAM, PAGE_128K, 17), get(PAGE_128K, 17), map_(0))
    large = space.base("P1") >> 8 | 1
    assert said == ["alloc P1 2000", "P1+0=2 x1024", f"P0+0={large:x}", "P1+0=400001", "flush"]
    said = space.ok(get(SMALL), map_(1))
    small = space.base("P2") << 24 | 1 << 32
    assert said == [
        "alloc P2 40000 zeroed",
        f"P0+0={small | large:x}",
        "P1+8=0",
        "P2+100=400001",
        "flush",
    ]
    assert space.ok(unmap(1)) == ["P1+8=2", f"P0+0={large:x}", "flush", "free P2"]


def test_a_large_table_that_comes_second_on_gk104(chip: Callable[..., Space]) -> None:
    space = chip("gk104", 17)
    space.ok(memory(VRAM, 2 * PAGE_128K, 17), get(PAGE_128K + SMALL), map_(0))
    said = space.ok(get(PAGE_128K, 17), map_(1))
    assert said[:3] == ["alloc P2 2000", "P2+0=0 x2", "P2+10=2 x1022"]


def test_gm200_with_either_size_of_large_pages(chip: Callable[..., Space]) -> None:
    for big, entries in ((16, 1024), (17, 1024)):
        space = chip("gm200", big)
        said = space.ok(get(1 << big, big, getref=1, sparse=1))
        # What is not asked for is invalid, what is asked for is sparse.
        assert said[:2] == ["alloc P1 2000", f"P1+0=2 x{entries}"]
        assert said[-2:] == ["P1+0=100000000", "flush"]
        assert states(space.trace) == [f"0:0..{(1 << big) - 1:x} 80"]
        space.ok(DESTROY)


def test_sparse_directory_entries_of_gm200(chip: Callable[..., Space]) -> None:
    space = chip("gm200", 17)
    assert space.ok(get(1 << 27, 0, sparse=1, align=27)) == ["P0+0=800000000", "flush"]
    assert states(space.trace) == ["1:0..7ffffff 80"]
    assert space.ok(put(0)) == ["P0+0=0", "flush"]


def test_the_2_27_page_of_gm200_with_64k_pages_covers_half_of_what_it_says(
    chip: Callable[..., Space],
) -> None:
    # One entry covers 64 MiB, so 64 MiB of those that are to be sparse are not.
    space = chip("gm200", 16)
    assert space.ok(get(1 << 27, 0, sparse=1, align=27)) == ["P0+0=800000000", "flush"]
    assert states(space.trace) == ["1:0..3ffffff 80"]


def test_what_is_stored_is_visible_before_the_invalidation(gp100: Space) -> None:
    gp100.ok(memory(VRAM, 2 * SMALL), get(2 * SMALL), map_(0))
    wanted = {t.ALLOC, t.FILL, t.STORE, t.BARRIER, t.REG_WRITE}
    kinds = [e.name for e in gp100.trace if e.kind in wanted]
    table = ["alloc", "fill", "barrier", "store", "barrier"]
    last = ["alloc", "fill", "barrier", "store", "store", "barrier"]
    leaves = ["store", "store", "barrier"]
    # Where accesses to registers have barriers of their own, these come besides.
    own = ["barrier"] if "RAW_ACCESSORS" in gp100.target.features else []
    flush = [*own, *[*own, "reg-write"] * 3, *own]
    assert kinds == [*table * 3, *last, *leaves, *flush]


# -- sparse areas -----------------------------------------------------------------------------


def test_a_sparse_area_of_gp100(gp100: Space) -> None:
    said = gp100.ok(get(0x421000, 0, sparse=1))
    assert said == [
        "alloc P1 1000 zeroed",
        f"P0+0={pde(table(1))}",
        "alloc P2 1000 zeroed",
        f"P1+0={pde(table(2))}",
        "alloc P3 1000 zeroed",
        f"P2+0={pde(table(3))}",
        "P3+0=8",
        "P3+8=0",
        "P3+10=8",
        "P3+18=0",
        "flush",
        "alloc P4 100",
        "P4+0=20 x32",
        f"P3+20={pde(table(4))}",
        "P3+28=0",
        "P4+0=8 x2",
        "flush",
        "alloc P5 1000 zeroed",
        f"P3+20={pde(table(4))}",
        f"P3+28={pde(table(5))}",
        "P4+10=0",
        "P5+100=8",
        "flush",
    ]
    assert states(gp100.trace) == [
        "1:0..3fffff 80",
        "0:400000..41ffff 80",
        "0:420000..42ffff 41",
    ]
    # Pages mapped inside, and unmapped again: what is around them stays sparse.
    gp100.ok(memory(VRAM, 2 * SMALL))
    inside = op("map_part", vma=0, first=0x3000, size=2 * SMALL, memory=0)
    assert gp100.ok(inside) == [
        "alloc P6 1000",
        "P6+0=8 x512",
        "P3+0=0",
        f"P3+8={pde(table(6))}",
        "P6+18=4000001",
        "P6+20=4000101",
        "flush",
    ]
    assert vmas(gp100.trace) == [
        "-0..420fff 0/7",
        "+0..2fff 0/7",
        "+3000..4fff 0/5 mapped part",
        "+5000..420fff 0/7 part",
    ]
    assert gp100.ok(unmap(0, first=0x3000)) == ["P3+0=8", "P3+8=0", "flush", "free P6"]
    assert vmas(gp100.trace)[-1] == "+0..420fff 0/7"
    gp100.ok(put(0))
    assert list(gp100.names) == [ROOT]


def test_small_pages_in_a_sparse_large_one(gp100: Space) -> None:
    gp100.ok(memory(VRAM, SMALL), get(PAGE_64K, 0, sparse=1))
    part = op("map_part", vma=0, first=SMALL, size=SMALL, memory=0)
    assert gp100.ok(part)[-5:] == [
        f"P3+8={pde(table(5))}",
        "P5+0=8 x16",
        "P4+0=0",
        "P5+8=4000001",
        "flush",
    ]
    assert states(gp100.trace) == ["0:0..ffff c1"]
    assert gp100.ok(unmap(0, first=SMALL)) == [
        "P4+0=8",
        f"P3+0={pde(table(4))}",
        "P3+8=0",
        "flush",
        "free P5",
    ]
    assert states(gp100.trace) == ["0:0..ffff 80"]


# -- get and put ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        (get(0), -errno.EINVAL),
        (get(SMALL, mapref=0, sparse=1), -errno.EINVAL),
        (get(SMALL, 0, getref=1), -errno.EINVAL),
        (get(SMALL, 13), -errno.EINVAL),
        (get(SMALL, 16), -errno.EINVAL),
        (get(SMALL, 64), -errno.EINVAL),
        (get(SMALL, align=99), -errno.EINVAL),
        (get((1 << 49) + SMALL, 12), -errno.ENOSPC),
    ],
)
def test_what_get_refuses(chip: Callable[..., Space], operation: Operation, result: int) -> None:
    for name in CHIPS:
        space = chip(name, 16)
        assert space.do(operation) == []
        assert space.result == Result(result)
        assert vmas(space.trace) == []
        space.ok(DESTROY)


def test_flavours_of_get(gp100: Space) -> None:
    gp100.ok(memory(VRAM, SMALL))
    # With references from the start: tables come with get and go with put.
    assert gp100.ok(get(SMALL, getref=1))[-3:] == ["P3+0=0", f"P3+8={pde(table(4))}", "flush"]
    assert vmas(gp100.trace) == ["+0..fff 0/5"]
    assert gp100.ok(map_(0)) == ["P4+0=4000001", "flush"]
    assert gp100.ok(unmap(0)) == ["P4+0=0", "flush"]
    assert gp100.ok(put(0))[0] == "P0+0=0"
    # With references from the first map on, which are kept.
    assert gp100.ok(get(SMALL, mapref=0)) == []
    assert vmas(gp100.trace) == ["+0..fff 1/7"]
    assert "flush" in gp100.ok(map_(1))
    assert len(gp100.ok(unmap(1))) == 2
    assert vmas(gp100.trace)[-1] == "+0..fff 1/5"
    assert gp100.ok(put(1))[0] == "P0+0=0"
    assert list(gp100.names) == [ROOT]


def test_areas_that_are_gone(gp100: Space) -> None:
    gp100.ok(memory(VRAM, SMALL), get(SMALL), put(0), get(SMALL))
    assert gp100.result.value == 0
    for operation in (put(0), unmap(0), map_(0), put(2), map_(1, 1)):
        assert gp100.do(operation) == []
        assert gp100.result == NOT_THERE
    assert gp100.do(unmap(1)) == []
    assert gp100.result == REFUSED


def test_parts_of_an_area(gp100: Space) -> None:
    gp100.ok(memory(VRAM, 8 * SMALL), get(8 * SMALL))
    gp100.ok(op("map_part", vma=0, first=2 * SMALL, size=SMALL, memory=0))
    gp100.ok(op("map_part", vma=0, first=5 * SMALL, size=SMALL, memory=0))
    # Over a part that is mapped, or beyond the area.
    for first, size in ((2, 2), (7, 2)):
        gp100.do(op("map_part", vma=0, first=first * SMALL, size=size * SMALL, memory=0))
        assert gp100.result == REFUSED
    # No part begins there.
    gp100.do(unmap(0, first=SMALL))
    assert gp100.result == NOT_THERE
    assert counts(gp100.trace) == {}
    said = gp100.ok(put(0))
    assert said[0] == "P4+10=0"
    assert list(gp100.names) == [ROOT]
    assert counts(gp100.trace) == {0: 1}
    assert gp100.ok(op("drop", memory=0)) == []
    assert counts(gp100.trace) == {0: 0}


def test_memory_lives_as_long_as_it_is_mapped(gp100: Space) -> None:
    gp100.ok(memory(VRAM, SMALL), get(SMALL), map_(0), op("drop", memory=0))
    assert counts(gp100.trace) == {0: 1}
    gp100.do(map_(0))
    assert gp100.result == NOT_THERE
    assert gp100.ok(unmap(0))[1] == "flush"
    assert counts(gp100.trace) == {0: 0}
    # It goes when nothing leads to it any more.
    kinds = [e.kind for e in gp100.trace]
    assert kinds.index(t.REG_WRITE) < kinds.index(t.REFS)


def test_memory_that_cannot_be_had(nvkm: LinuxNvkm) -> None:
    for operation, result in (
        (memory(3, SMALL), -errno.EINVAL),
        (memory(VRAM, 0), -errno.EINVAL),
        (memory(VRAM, SMALL, 16), -errno.EINVAL),
        (memory(VRAM, SMALL, 11), -errno.EINVAL),
        (memory(HOST, PAGE_64K, 16), -errno.EINVAL),
        (memory(HOST, 1 << 31), -errno.ENOSPC),
        (memory(VRAM, 1 << 30, scattered=1), -errno.ENOSPC),
        (op("drop", memory=0), -errno.ENOENT),
    ):
        assert nvkm.perform(operation, Trace()) == Result(result)
    assert nvkm.perform(memory(VRAM, 1 << 30), Trace()) == DONE
    assert nvkm.perform(memory(VRAM, SMALL), Trace()) == Result(-errno.ENOSPC)


def test_where_memories_lie(gp100: Space) -> None:
    layout = MemoryLayout()
    gp100.ok(get(SMALL), get(SMALL))
    for number, (target, size, page, scattered) in enumerate(
        (
            (VRAM, 3 * SMALL, 12, 0),
            (HOST, SMALL, 12, 0),
            (VRAM, 3 * PAGE_64K, 16, 2),
            (HOST, 5 * SMALL, 12, 2),
            (NCOH, 5 * SMALL, 12, 0),
            (VRAM, 1 << 24, 24, 1),
            (VRAM, SMALL, 12, 0),
            (HOST, SMALL, 12, 7),
        )
    ):
        pages = layout.take(target, size, page, scattered)
        assert pages is not None
        gp100.ok(memory(target, size, page, scattered=scattered))
        for offset in range(0, min(size, 8 * SMALL), SMALL):
            gp100.ok(map_(0, number, offset=offset))
            stored = [to_unsigned(e.c) for e in gp100.trace if e.kind == t.STORE][-1]
            assert (stored & (1 << 53) - 1) >> 8 == pages.address(offset) >> 12


def random_operation(draw: random.Random, areas: int) -> Operation:
    """Something to do with one of ``areas`` areas and memories 0 (64K pages) and 1 (4K pages)."""
    area = draw.randrange(areas + 1)
    pages = draw.choice((1, 2, 15, 16, 17, 33, 512, 513))
    shift = draw.choice((0, 12, 16))
    first = draw.choice((0, 1, 3, 16)) * SMALL
    return draw.choice(
        (
            get(max(1 << shift, pages * SMALL >> shift << shift), shift, sparse=draw.randrange(2)),
            get(pages << max(shift, 12), max(shift, 12), getref=1, sparse=draw.randrange(2)),
            put(area),
            map_(area, draw.randrange(2), fail_at=draw.choice((0, 0, 0, 1, 2))),
            op("map_part", vma=area, first=first, size=draw.choice((1, 16)) * SMALL, memory=1),
            unmap(area, first=draw.choice((0, first))),
        )
    )


@pytest.mark.parametrize("name", CHIPS)
def test_no_store_is_missed_and_no_table_is_forgotten(nvkm: LinuxNvkm, name: str) -> None:
    """What the events say about tables is what there is, whatever is done."""
    draw = random.Random(name)
    changed = 0
    for _ in range(20):
        nvkm.reset()
        space = Space(nvkm, chip=name)
        space.ok(memory(VRAM, 4 * LARGE, 16), memory(NCOH, 4 * LARGE))
        words: dict[int, int] = {}
        areas = 0
        for _ in range(30):
            operation = random_operation(draw, areas)
            space.do(operation)
            assert space.result.finished, operation
            areas += operation.name == "get" and space.result.result == 0
            for event in space.trace:
                if event.kind == t.FILL:
                    words.update({event.a + at: 0 for at in range(0, event.b, 8)})
                elif event.kind == t.STORE:
                    assert words.get(event.a, event.b) == event.b
                    words[event.a] = event.c
                    changed += event.b != event.c
        for start, (_, size) in space.names.items():
            for pa in range(start, start + size, 8):
                if pa in words:
                    assert nvkm.library.word(pa) == words[pa]
        space.ok(DESTROY)
        assert space.names == {}
    assert changed > 300


# -- join, part, boot -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "big", "flags"),
    [
        ("gf100", 16, 0),
        ("gf100", 17, 0),
        ("gk104", 17, 0),
        ("gm200", 16, 1 << 11),
        ("gm200", 17, 0),
        ("gp100", 16, 3 << 10),
    ],
)
def test_the_instance_block(chip: Callable[..., Space], name: str, big: int, flags: int) -> None:
    space = chip(name, big)
    bits = 49 if name == "gp100" else 40
    said = space.ok(op("join"))
    assert said == [
        "alloc P1 1000 zeroed",
        f"P1+200={ROOT | flags:x}",
        f"P1+208={(1 << bits) - 1:x}",
    ]
    assert space.result.value == space.base("P1")
    assert [(e.a, e.b) for e in space.trace if e.kind == t.ATTACH] == [(ROOT, 0)]
    space.do(op("join"))
    assert space.result == Result(-errno.EBUSY)
    assert space.ok(op("part")) == ["P1+200=0 x2", "free P1"]
    assert [e.kind for e in space.trace][-2:] == [t.DETACH, t.FREE]
    space.do(op("part"))
    assert space.result == REFUSED
    space.ok(op("join"))
    assert space.ok(DESTROY) == ["P2+200=0 x2", "free P2", "free P0"]


def test_faults_that_are_replayed(nvkm: LinuxNvkm) -> None:
    space = Space(nvkm, replay=1)
    assert space.ok(op("join"))[1] == f"P1+200={ROOT | 3 << 10 | 3 << 4:x}"
    assert nvkm.perform(op("replay"), space.trace) == DONE
    assert space.deep() == [0x8000000B]
    nvkm.reset()
    assert nvkm.perform(op("create", chip="gm200", replay=1), Trace()) == REFUSED
    space = Space(nvkm, chip="gm200")
    assert space.do(op("replay")) == []
    assert space.result == REFUSED


def test_boot_makes_all_tables_and_keeps_them(nvkm: LinuxNvkm) -> None:
    space = Space(nvkm, size=4 * LARGE)
    said = space.ok(op("boot"))
    assert [line for line in said if line.startswith("alloc")] == [
        f"alloc P{number} 1000 zeroed" for number in range(1, 8)
    ]
    assert said[-1] == "flush"
    # It is a BAR's: only the hub has anything cached.
    assert {start & ~DEPTH for start in space.deep()} == {ONLY_HUB}
    space.ok(memory(VRAM, SMALL), get(SMALL))
    assert space.ok(map_(0)) == ["P4+0=4000001", "flush"]
    assert space.ok(unmap(0)) == ["P4+0=0", "flush"]
    space.do(op("boot"))
    assert space.result == REFUSED
    space.ok(DESTROY)
    assert space.names == {}
    nvkm.reset()
    space = Space(nvkm)
    space.do(op("boot"))
    assert space.result == REFUSED


# -- invalidations that do not get done -----------------------------------------------------


def polls(trace: Trace) -> list[int]:
    return [e.b for e in trace if e.kind == t.REG_READ]


def test_an_invalidation_is_waited_for(gp100: Space) -> None:
    idle = 0x00FF8000
    gp100.ok(memory(VRAM, SMALL), get(SMALL))
    assert gp100.target.perform(op("stick", polls=3), Trace()) == DONE
    assert gp100.target.perform(map_(0), gp100.trace) == DONE
    # There has to be room for it, and then it has to be done.
    assert polls(gp100.trace) == [0, 0, 0, idle, idle]


def test_an_invalidation_that_is_never_done_is_given_up(gp100: Space) -> None:
    gp100.ok(memory(VRAM, SMALL), get(SMALL), map_(0))
    gp100.target.perform(op("stick", polls=-1), Trace())
    trace = Trace()
    # Nobody is told, and the tables go all the same.
    assert gp100.target.perform(unmap(0), trace) == DONE
    assert polls(trace) == [0] * 32
    kinds = [e.kind for e in trace if e.kind not in (t.REG_READ, t.REG_WRITE)]
    if "RAW_ACCESSORS" in gp100.target.features:
        kinds = kinds[:2] + [kind for kind in kinds[2:] if kind != t.BARRIER]
    assert kinds[:5] == [t.STORE, t.BARRIER, t.WARN, t.WARN, t.FREE]


# -- allocations that fail ----------------------------------------------------------------------


@pytest.mark.parametrize("fail_at", range(1, 8))
def test_a_map_that_gets_no_table_leaves_nothing(gp100: Space, fail_at: int) -> None:
    size = 2 * LARGE
    gp100.ok(memory(HOST, size), get(size))
    before = dict(gp100.names)
    said = gp100.do(map_(0, fail_at=fail_at))
    if fail_at > 5:
        assert gp100.result == DONE
        return
    assert gp100.result == NO_MEMORY
    assert "alloc-failed" in said
    assert said[-1] == "flush" or said[-1].startswith("free")
    assert gp100.names == before
    assert vmas(gp100.trace) == []
    assert [pair for pair in refs(gp100.trace).values() if pair != (0, 0)] == []
    assert counts(gp100.trace) == {}
    gp100.ok(map_(0))
    gp100.ok(put(0))
    assert gp100.names == before


@pytest.mark.parametrize("name", CHIPS)
def test_any_allocation_may_fail(chip: Callable[..., Space], name: str) -> None:
    """get with references, and map: the k-th allocation of any kind."""
    failed = 0
    for k in range(1001, 1030):
        space = chip(name, 16)
        space.ok(memory(VRAM, LARGE, 16))
        before = dict(space.names)
        space.do(get(LARGE, 16, getref=1, fail_at=k))
        assert space.result in (DONE, NO_MEMORY), k
        failed += space.result == NO_MEMORY
        if space.result == NO_MEMORY:
            assert space.names == before
            space.ok(get(LARGE, 16))
        space.do(map_(0, fail_at=k))
        assert space.result in (DONE, NO_MEMORY), k
        space.ok(DESTROY)
        assert space.names == {}
        space.target.reset()
    assert failed >= 3


# -- pages one by one ---------------------------------------------------------------------------


def pfn_map(addr: int, pages: int, pattern: int, shift: int = 12, **more: int) -> Operation:
    args = {"shift": shift, "addr": addr, "size": pages << shift, "pattern": pattern, **more}
    return op("pfn_map", **args)


def test_pages_mapped_one_by_one(managed: Space) -> None:
    assert vmas(managed.trace) == ["+0..ffffffffff 0/7", "+10000100000..1ffffffffffff 1/7"]
    said = managed.ok(pfn_map(0, 4, 0x5031))
    # Before the entry of each page of the host, the device is let at the page.
    assert said[-7:] == [
        "dma-map 200000000 1000",
        "P4+0=2000000d",
        "dma-map 200001000 1000",
        "P4+8=200001cd",
        "flush",
        "P4+18=6000381",
        "flush",
    ]
    assert vmas(managed.trace)[1:] == [
        "+0..1fff 0/5 mapped",
        "+2000..2fff 0/7 part",
        "+3000..3fff 0/5 mapped part",
        "+4000..ffffffffff 0/7 part",
    ]
    # Entries go in two steps, so that nothing is in use when a page goes.
    assert managed.ok(op("pfn_unmap", addr=0, size=2 * SMALL)) == [
        "P4+0=2000000c",
        "P4+8=200001cc",
        "flush",
        "dma-unmap 200000000 1000",
        "dma-unmap 200001000 1000",
        "P4+0=0 x2",
        "flush",
    ]
    assert vmas(managed.trace)[-1] == "+0..2fff 0/7"
    assert managed.ok(put(0))[0] == "P0+0=0"
    assert list(managed.names) == [ROOT]


def test_digits_of_a_pattern(managed: Space) -> None:
    pattern = 0x6543210
    managed.ok(pfn_map(LARGE, 9, pattern))
    stored = {e.a % SMALL // 8: e.c for e in managed.trace if e.kind == t.STORE and e.c & 1}
    for page in range(9):
        valid, vram, writable, atomic = PFN_DIGITS[pfn_digit(pattern, page)]
        if not valid:
            assert page not in stored
            continue
        entry = stored[page]
        assert entry >> 8 == pfn_address(vram, LARGE + page * SMALL) >> 12
        assert (entry & 0xF, not entry & 0x40, not entry & 0x80) == (
            1 if vram else 0xD,
            writable,
            atomic,
        )


def test_large_pages_mapped_one_by_one(managed: Space) -> None:
    said = managed.ok(pfn_map(LARGE, 2, 3, 21))
    assert said[-5:] == [
        "dma-map 200200000 200000",
        "P3+10=200200cd",
        "dma-map 200400000 200000",
        "P3+20=200400cd",
        "flush",
    ]


def test_what_pfn_map_refuses(managed: Space) -> None:
    for operation, result in (
        (pfn_map(0, 1, 1, 16), -errno.EINVAL),
        (op("pfn_map", shift=64, addr=0, size=SMALL, pattern=1), -errno.EINVAL),
        (pfn_map(0x800, 1, 1), -errno.EINVAL),
        (pfn_map(SMALL, 1, 1, 21), -errno.EINVAL),
        (pfn_map(1 << 49, 1, 1), -errno.EINVAL),
        (pfn_map(1 << 40, 1, 1), -errno.ENOENT),
        (pfn_map(0, 0x4001, 1), -errno.E2BIG),
        (op("pfn_unmap", addr=1 << 40, size=SMALL), -errno.EINVAL),
    ):
        assert managed.do(operation) == []
        assert managed.result == Result(result)
    # Nothing to do.
    assert managed.ok(pfn_map(0, 0, 1)) == []


def test_pages_one_by_one_where_memory_is_mapped(managed: Space) -> None:
    managed.ok(memory(VRAM, SMALL), op("map_part", vma=0, first=SMALL, size=SMALL, memory=0))
    managed.ok(pfn_map(0, 3, 1))
    # The value says how many pages were not done.
    assert managed.result == Result(0, 1)
    managed.do(op("map_part", vma=0, first=0, size=SMALL, memory=0))
    assert managed.result == REFUSED


# -- the raw interface --------------------------------------------------------------------------


def of_raw(name: str, addr: int, pages: int = 1, shift: int = 12, **more: int) -> Operation:
    args = {"shift": shift, "addr": addr, "size": pages << shift, **more}
    return op(f"raw_{name}", **args)


def test_raw_references_and_maps_are_apart(raw: Space) -> None:
    raw.ok(memory(VRAM, 2 * SMALL))
    assert raw.ok(of_raw("get", 0, 2))[-2:] == [f"P3+8={pde(table(4))}", "flush"]
    assert raw.ok(of_raw("map", 0, 2, memory=0)) == ["P4+0=4000001", "P4+8=4000101", "flush"]
    assert raw.ok(of_raw("get", 0, 2)) == []
    assert raw.ok(of_raw("unmap", 0, 2)) == ["P4+0=0 x2", "flush"]
    assert raw.ok(of_raw("unmap", 0, 1, sparse=1)) == ["P4+0=8", "flush"]
    assert raw.ok(of_raw("put", 0, 2)) == []
    assert raw.ok(of_raw("put", 0, 2))[0] == "P0+0=0"
    assert list(raw.names) == [ROOT]
    assert counts(raw.trace) == {}


def test_raw_sparse(raw: Space) -> None:
    sparse = {"addr": 0, "size": PAGE_64K}
    assert raw.ok(op("raw_sparse", **sparse, ref=1))[-2:] == ["P4+0=8", "flush"]
    assert raw.ok(op("raw_sparse", **sparse, ref=0))[0] == "P0+0=0"
    assert list(raw.names) == [ROOT]


def test_raw_and_the_rest_keep_out_of_each_other(raw: Space, nvkm: LinuxNvkm) -> None:
    raw.ok(memory(VRAM, SMALL))
    for operation in (
        of_raw("get", 1 << 40),
        of_raw("get", 0, 1, 13),
        of_raw("get", 0, 0),
        of_raw("map", 1 << 40, memory=0),
        op("map_part", vma=0, first=0, size=SMALL, memory=0),
        pfn_map(0, 1, 1),
        op("pfn_unmap", addr=0, size=SMALL),
    ):
        assert raw.do(operation) == []
        assert raw.result == REFUSED
    raw.ok(get(SMALL), map_(2))
    raw.ok(DESTROY)
    nvkm.reset()
    space = Space(nvkm)
    space.do(of_raw("get", 0))
    assert space.result == REFUSED


def test_a_tree_without_the_raw_interface_says_so(nvkm: LinuxNvkm) -> None:
    if has_raw(nvkm):
        pytest.skip(f"{nvkm.version} has the raw interface")
    assert nvkm.perform(op("create", raw=1), Trace()) == Result(-errno.EOPNOTSUPP)
    space = Space(nvkm)
    space.do(of_raw("get", 0))
    assert space.result == Result(-errno.EOPNOTSUPP)


# -- what real code gets wrong --------------------------------------------------------------------


def test_too_many_references_to_small_pages_make_live_ones_sparse(raw: Space) -> None:
    """KB-01: six bits count up to 16 times 4 references to the small pages in a large one."""
    raw.ok(memory(VRAM, PAGE_64K), of_raw("get", PAGE_64K, 1, 16), of_raw("get", 0, 16))
    assert raw.ok(of_raw("map", 0, 16, memory=0))[-1] == "flush"
    raw.ok(of_raw("get", 0, 16))
    assert raw.ok(of_raw("get", 0, 16)) == []
    assert states(raw.trace) == ["0:0..ffff 70"]
    if "NVKM_PTE_TRACKER" in raw.target.features:
        assert raw.ok(of_raw("get", 0, 16)) == []
        assert states(raw.trace) == ["0:0..ffff 140"]
        return
    # A fourth reference to pages that are mapped rewrites all of them.
    assert raw.ok(of_raw("get", 0, 16)) == ["P5+0=8 x16", "P4+0=0"]
    assert states(raw.trace) == ["0:0..ffff c0"]
    assert refs(raw.trace) == {"0:0": (1, 64)}
    raw.ok(of_raw("put", 0, 1))
    # When the count comes back, sparse is what the driver remembers.
    assert states(raw.trace) == ["0:0..ffff bf"]


def test_too_many_references_to_small_pages_without_the_raw_interface(
    chip: Callable[..., Space],
) -> None:
    """KB-01 at 128K/4K: 32 sparse pages, all of them mapped."""
    space = chip("gm200", 17)
    space.ok(memory(VRAM, PAGE_128K), get(PAGE_128K, 17, getref=1))
    space.ok(get(31 * SMALL, 0, sparse=1), get(SMALL, 0, sparse=1), map_(1))
    assert states(space.trace) == ["0:20000..3ffff 7f"]
    if "NVKM_PTE_TRACKER" in space.target.features:
        assert space.ok(map_(2)) == ["P2+1f8=400001", "flush"]
        return
    assert space.ok(map_(2)) == ["P2+100=100000000 x32", "P1+8=0", "P2+1f8=400001", "flush"]
    assert states(space.trace) == ["0:20000..3ffff c0"]
    # All are unmapped and given back, and a large page stays sparse that nobody asked for.
    space.ok(unmap(2), unmap(1), put(2))
    said = space.ok(put(1))
    assert said[0] == "P1+8=100000000"
    assert states(space.trace) == ["0:20000..3ffff 80"]


def test_a_pfn_map_that_fails_counts_as_mapped(managed: Space) -> None:
    """KB-15: the area is marked as mapped, and its references are never taken."""
    managed.ok(pfn_map(0, 1, 1))
    said = managed.ok(pfn_map(LARGE, 2, 1, fail_at=1))
    assert said[0] == "alloc-failed"
    assert managed.result == Result(0, 2)
    assert f"+{LARGE:x}..{LARGE + 2 * SMALL - 1:x} 0/5 mapped part" in vmas(managed.trace)
    assert refs(managed.trace) == {}
    # There is no table to unmap it in.
    assert managed.do(op("pfn_unmap", addr=LARGE, size=2 * SMALL)) == ["wild"]
    assert not managed.result.finished
    assert managed.target.places[list(managed.trace)[-1].place] in (
        "nvkm_vmm_iter",
        "nvkm_vmm_unref_ptes",
    )


def test_a_pfn_map_that_fails_half_way_takes_others_references(managed: Space) -> None:
    """KB-15 where there is a table: what is unmapped was never referenced."""
    managed.ok(pfn_map(0, 512, 1))
    managed.ok(pfn_map(LARGE - SMALL, 1, 0))
    edge = LARGE - SMALL
    said = managed.ok(pfn_map(edge, 2, 1, fail_at=1))
    assert "alloc-failed" in said
    assert refs(managed.trace) == {}
    # The page that had been mapped was let at, and that is never taken back.
    assert f"dma-map {0x2_0000_0000 + edge:x} 1000" in said
    assert not [line for line in said if line.startswith("dma-unmap")]


def test_a_part_of_a_pfn_page_leaves_it_mapped_for_good(managed: Space) -> None:
    """Neither the unmap of a part nor one of the whole page comes to its entry any more."""
    managed.ok(pfn_map(0, 1, 1, 21))
    part = managed.ok(op("pfn_unmap", addr=0, size=SMALL))
    assert vmas(managed.trace)[-1] == f"+{SMALL:x}..{LARGE - 1:x} 0/3 mapped part"
    whole = managed.ok(op("pfn_unmap", addr=0, size=LARGE))
    assert "mapped" not in vmas(managed.trace)[-1]
    assert not [line for line in part + whole if "=" in line or line.startswith("dma-unmap")]


def test_pfn_pages_of_another_size_are_merged(managed: Space) -> None:
    """4K pages right behind 2M pages become one part with them, at one page size."""
    managed.ok(pfn_map(0, 1, 1, 21))
    managed.ok(pfn_map(LARGE, 1, 1))
    assert vmas(managed.trace)[-2] == f"+0..{LARGE + SMALL - 1:x} 0/5 mapped"
    assert "wild" in managed.do(op("pfn_unmap", addr=0, size=LARGE + SMALL))
    assert not managed.result.finished


def test_pfn_pages_of_another_size_replace_what_is_mapped(managed: Space) -> None:
    """Whether what is mapped has that page size is not looked at."""
    managed.ok(pfn_map(0, 512, 1))
    # The entry has a 2M page in its lower half, and the small table in its upper one still.
    assert managed.ok(pfn_map(0, 1, 1, 21)) == [
        "dma-map 200000000 200000",
        "P3+0=2000000d",
        "flush",
    ]
    managed.ok(pfn_map(LARGE, 1, 1, 21))
    # In the other direction there is no table to write to.
    assert managed.do(pfn_map(LARGE, 1, 1)) == ["wild"]
    assert not managed.result.finished


def test_a_pfn_map_goes_on_into_what_is_free(gp100: Space) -> None:
    """What was once handed out is mapped, and handed out again as it is."""
    gp100.ok(get(4 * SMALL), get(SMALL), put(1))
    gp100.ok(pfn_map(0, 5, 1))
    assert gp100.result == DONE
    assert refs(gp100.trace)["0:0"] == (0, 5)
    gp100.ok(get(SMALL))
    assert vmas(gp100.trace) == ["+4000..4fff 2/7 mapped"]
    # The rest of the address space is lost.
    gp100.do(get(SMALL))
    assert gp100.result == Result(-errno.ENOSPC)


def test_a_large_pfn_map_of_a_small_area_writes_behind_the_list(gp100: Space) -> None:
    """An area smaller than the page: clearing its entries never ends."""
    gp100.ok(get(SMALL))
    assert gp100.do(pfn_map(0, 1, 1, 21)) == ["wild"]
    last = list(gp100.trace)[-1]
    assert (last.c, gp100.target.places[last.place]) == (1, "nvkm_vmm_pfn_map")


def test_a_pfn_page_that_moves_stays_let_at(managed: Space) -> None:
    managed.ok(pfn_map(0, 1, 1))
    assert managed.ok(pfn_map(0, 1, 4)) == ["P4+0=6000001", "flush"]
    assert managed.ok(op("pfn_unmap", addr=0, size=SMALL))[0] == "P0+0=0"


def test_a_map_that_is_refused_lets_go_of_the_old_one(gp100: Space) -> None:
    """The entries stay, and the driver has given up the memory that they lead to."""
    gp100.ok(memory(VRAM, SMALL), memory(HOST, SMALL), get(SMALL), map_(0))
    assert gp100.do(map_(0, 1, kind=0xFF)) == []
    assert gp100.result == REFUSED
    assert vmas(gp100.trace) == ["-0..fff 0/5 mapped", "+0..fff 0/5"]
    assert counts(gp100.trace) == {0: 1}
    gp100.ok(op("drop", memory=0))
    assert counts(gp100.trace) == {0: 0}
    # It cannot even be unmapped any more.
    assert gp100.do(unmap(0)) == []
    assert gp100.result == REFUSED
    assert gp100.ok(put(0))[0] == "P0+0=0"


@pytest.mark.parametrize(
    "args",
    [
        {"managed": 1, "start": -SMALL, "size": 2 * SMALL},
        {"managed": 1, "start": 0, "size": 1 << 50},
        {"start": 1 << 50},
        {"fail_at": 1},
        {"fail_at": 1003},
        {"fail_at": 1005},
    ],
)
def test_an_address_space_that_cannot_be_made_crashes(
    nvkm: LinuxNvkm, args: dict[str, int]
) -> None:
    """KB-20: what is taken down was never set up."""
    trace = Trace()
    result = nvkm.perform(op("create", **args), trace)
    assert not result.finished
    last = list(trace)[-1]
    assert (last.kind, nvkm.places[last.place]) == (t.WILD, "nvkm_vmm_dtor")


def test_a_lock_that_a_crash_left_held_ends_the_next_call(managed: Space) -> None:
    managed.ok(pfn_map(0, 1, 1, fail_at=1))
    managed.do(op("pfn_unmap", addr=0, size=SMALL))
    assert not managed.result.finished
    assert managed.do(get(SMALL)) == ["hang"]
