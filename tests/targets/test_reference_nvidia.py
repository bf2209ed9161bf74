"""The reference driver of system ``nvidia`` does what Linux does, where Linux does right."""

import errno
import random
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from conformance.systems.nvidia.operations import CHIPS, SPECS
from conformance.systems.nvidia.targets import LinuxNvkm, NvidiaTarget
from conformance.targets.protocol import Target
from reference import trace as t
from reference.operations import Operation, Result
from reference.physical_layout import HOST, NCOH, VRAM, pfn_digit
from reference.systems.nvidia.driver import GP100, plain_kind
from reference.systems.nvidia.events import PT_STATE
from reference.trace import Event, Trace
from reference.words import to_unsigned

SMALL, PAGE_64K, LARGE = 0x1000, 0x10000, 0x200000
START = 0x100CBC
DEPTH = 7 << 24
"""Bits in which trees before 6.10 say how deep the invalidation has to go."""
TABLES, TABLES_END = 0x8000_0000, 0x9000_0000
Args = dict[str, int | str]


class Names:
    """Tables of one target by name, in the order in which they came: P0, P1, ..."""

    def __init__(self, chip: str) -> None:
        self.chip = chip
        self.tables: dict[int, tuple[str, int]] = {}
        self.count = 0

    def place(self, pa: int) -> str:
        """Such as "P3+8"."""
        for start, (name, size) in self.tables.items():
            if start <= pa < start + size:
                return f"{name}+{pa - start:x}"
        return f"?{pa:x}"

    def word(self, held: int) -> str:
        """An entry, in which tables have their names."""
        word = to_unsigned(held)
        if self.chip == "gp100":
            # A directory's entry, or the root in an instance block.
            for low, shift in ((0xF, 4), (0xFFF, 0)):
                pa = (word & ~low) << shift
                if not word & 1 and TABLES <= pa < TABLES_END:
                    return f"{self.place(pa)}|{word & low:x}"
            return f"{word:x}"
        if TABLES <= word & ~0xFFF < TABLES_END:
            return f"{self.place(word & ~0xFFF)}|{word & 0xFFF:x}"
        large, small = (word & 0xFFFF_FFF0) << 8, word >> 36 << 12
        if TABLES <= large < TABLES_END or TABLES <= small < TABLES_END:
            named = [self.place(pa) if pa else "" for pa in (large, small)]
            return f"{named}|{word & 0xF:x}|{word >> 32 & 0xF:x}"
        return f"{word:x}"

    def lines(self, trace: Trace) -> Iterator[str]:
        """What happened to tables and areas, but for barriers and states of entries."""
        for event in trace:
            if event.kind in (t.BARRIER, PT_STATE):
                continue
            if event.kind == t.ALLOC:
                self.tables[event.a] = (f"P{self.count}", event.b)
                self.count += 1
                yield f"alloc {event.b:x}"
            elif event.kind == t.FREE:
                yield f"free {self.tables.pop(event.a)[0]}"
            elif event.kind == t.STORE:
                yield f"{self.place(event.a)}={self.word(event.c)}"
            elif event.kind == t.FILL:
                yield f"fill {self.place(event.a)}"
            elif event.kind in (t.ATTACH, t.DETACH):
                yield f"{event.name} {self.place(event.a)}"
            elif event.kind == t.REG_WRITE:
                value = event.b & ~DEPTH if event.a == START else event.b
                where = event.a == 0x100CB8
                yield f"{event.a:x}:={self.place(value >> 4 << 12) if where else hex(value)}"
            else:
                yield self.plain(event)

    @staticmethod
    def plain(event: Event) -> str:
        """An event, without the function that it is from."""
        return repr(Event(event.kind, event.a, event.b, event.c))


def one_step(linux: str, driver: str) -> str:
    """What Linux did, where it cleared a page of 2M in two steps as if it did in one.

    It takes the valid bit first. What is left leads to a table; docs/findings.md has that.
    """
    place, _, word = linux.partition("=")
    left = re.fullmatch(r"20[0-9a-f]{5}c", word) is not None
    return driver if left and driver == f"{place}=0" else linux


class Pair:
    """Linux and the reference driver, to which the same is done."""

    def __init__(self, nvkm: LinuxNvkm, **create: int | str) -> None:
        self.driver = NvidiaTarget()
        self.targets: tuple[Target, Target] = (nvkm, self.driver)
        self.names = [Names(str(create.get("chip", "gp100"))) for _ in range(2)]
        self.done: list[tuple[str, Args]] = []
        self.results = [Result(0), Result(0)]
        self.said: list[list[str]] = [[], []]
        self.do("create", **create)

    def do(self, name: str, **args: int | str) -> Result:
        """One operation in both; what the reference driver gives back."""
        self.done.append((name, args))
        for number, target in enumerate(self.targets):
            trace = Trace()
            self.results[number] = target.perform(Operation(name, {**args}), trace)
            self.said[number] = list(self.names[number].lines(trace))
        if len(self.said[0]) == len(self.said[1]):
            self.said[0] = [one_step(*lines) for lines in zip(*self.said, strict=True)]
        return self.results[1]

    def agree(self) -> bool:
        """Whether both did the same in the last operation."""
        left, right = self.results
        if self.done[-1][0] == "join":
            # The value is an address.
            left, right = Result(left.result), Result(right.result)
        return left == right and self.said[0] == self.said[1]

    def same(self, name: str, **args: int | str) -> Result:
        """One operation in which both have to do the same."""
        result = self.do(name, **args)
        assert self.results[0].result == result.result, self.done
        assert self.said[0] == self.said[1], self.done
        assert self.agree(), self.done
        return result

    # -- what Linux does wrong --------------------------------------------------------------------

    def linux_is_wrong(self) -> bool:
        """Whether the last operation is one of those below."""
        return self.linux_lets_go() or self.linux_forgets_sparse() or self.linux_overflows()

    def linux_lets_go(self) -> bool:
        """A map that is refused or fails lets go of what was mapped before."""
        name = self.done[-1][0]
        refused = self.results[0] == self.results[1] and self.results[0].result < 0
        return name in ("map", "map_part") and refused and not self.said[1]

    def linux_forgets_sparse(self) -> bool:
        """Entries stay sparse, or are no longer, that should not be or should be."""
        if self.results[0] != self.results[1] or not any(a.get("sparse") for _, a in self.done):
            return False
        more, less = Counter(self.said[1]), Counter(self.said[0])
        extra = [*(more - less).elements(), *(less - more).elements()]
        return bool(extra) and all(
            line.rpartition("=")[2] in ("0", "2", "20", "8", "100000000", "800000000")
            for line in extra
        )

    def linux_overflows(self) -> bool:
        """KB-01: more references to the small pages in a large one than fit in six bits."""
        space = self.driver.made.space
        nodes = [space.tables.root]
        while nodes:
            node = nodes.pop()
            nodes += node.children.values()
            if any(count > 63 for count in node.small.values()):
                return True
        return False


def test_operations_are_the_same(nvkm: LinuxNvkm) -> None:
    targets: tuple[Target, Target] = (nvkm, NvidiaTarget())
    for target in targets:
        with pytest.raises(ValueError, match=f"allowed are {', '.join(SPECS)}"):
            target.perform(Operation("bind", {}), Trace())


def test_every_kind_of_storage(nvkm: LinuxNvkm) -> None:
    for chip in CHIPS:
        nvkm.reset()
        pair = Pair(nvkm, chip=chip)
        pair.same("memory", target=VRAM, size=PAGE_64K, page=16)
        pair.same("memory", target=HOST, size=PAGE_64K)
        for vma, shift in enumerate((16, 12)):
            pair.same("get", size=PAGE_64K, shift=shift)
            refused, plain = [], []
            for kind in range(0x101):
                pair.do("map", vma=vma, memory=vma, kind=kind)
                if chip == "gp100" and plain_kind(kind, GP100) not in (kind, -1):
                    # Newer trees compress nothing on it: what older ones refuse is mapped plain.
                    refused += [kind] * (pair.results[1] == Result(-errno.EINVAL, 0))
                    plain += [kind] * (pair.results[0] != pair.results[1])
                    assert pair.results[0].result in (0, pair.results[1].result), (chip, kind)
                else:
                    assert pair.results[0] == pair.results[1], (chip, kind)
            assert plain in ([], refused)


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("big", [16, 17])
def test_joined_and_booted(nvkm: LinuxNvkm, chip: str, big: int) -> None:
    pair = Pair(nvkm, chip=chip, big=big, size=5 * LARGE)
    if pair.results[1].result:
        assert pair.agree()
        return
    pair.same("join")
    pair.same("join")
    pair.same("boot")
    pair.same("boot")
    pair.same("memory", target=NCOH, size=LARGE)
    pair.same("get", size=3 * SMALL, mapref=0)
    pair.same("map", vma=0, memory=0)
    pair.same("stick", polls=5)
    pair.same("unmap", vma=0)
    pair.same("part")
    pair.same("join")
    pair.same("replay")
    pair.same("destroy")


@pytest.mark.parametrize(
    "create",
    [
        {"managed": 1, "start": 1 << 30, "size": 1 << 20},
        {"managed": 1, "start": 0, "size": 1 << 20},
        {"managed": 1, "start": 1 << 30},
        {"start": 1 << 30},
        {"start": 1 << 30, "size": 1 << 20},
        {"start": 1 << 40, "chip": "gk104"},
        {"start": 0x1800, "size": 1 << 20},
    ],
)
def test_address_spaces(nvkm: LinuxNvkm, create: Args) -> None:
    pair = Pair(nvkm, **create)
    assert pair.agree(), pair.said
    pair.same("get", size=SMALL, shift=12)
    pair.same("get", size=LARGE, shift=0, align=21)
    pair.same("put", vma=0)
    pair.same("get", size=SMALL)
    pair.same("destroy")
    pair.same("create")


def of_areas(
    draw: random.Random, areas: int, big: int, may_be_sparse: bool, fails: bool
) -> tuple[str, Args]:
    """Something to do with one of ``areas`` areas and memories 0 (large pages) and 1 (small)."""
    area = draw.randrange(areas + 1)
    pages = draw.choice((1, 2, 15, 16, 17, 33, 512, 513))
    shift = draw.choice((0, 12, big))
    unit = max(shift, 12)
    first = draw.choice((0, 1, 3, 16)) * SMALL
    fail = {"fail_at": draw.choice((0, 0, 0, 1, 2, 3)) if fails else 0}
    some = max(1 << shift, pages * SMALL >> shift << shift)
    sparse = draw.randrange(2) if may_be_sparse else 0
    align = draw.choice((0, 0, 14, 16, 21))
    choices: tuple[tuple[str, Args], ...] = (
        ("get", {"size": some, "shift": shift, "sparse": sparse, "align": align, **fail}),
        ("get", {"size": pages << unit, "shift": unit, "getref": 1, "sparse": sparse, **fail}),
        ("get", {"size": pages << unit, "shift": shift, "mapref": 0, **fail}),
        ("put", {"vma": area}),
        ("map", {"vma": area, "memory": draw.randrange(2), **fail}),
        (
            "map_part",
            {
                "vma": area,
                "first": first,
                "size": draw.choice((1, 16)) * SMALL,
                "memory": 1,
                **fail,
            },
        ),
        ("unmap", {"vma": area, "first": draw.choice((0, first))}),
        ("unmap", {"vma": area}),
    )
    return draw.choice(choices)


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("fails", [False, True])
def test_areas(nvkm: LinuxNvkm, chip: str, fails: bool) -> None:
    """An example ends where Linux goes wrong, which is told by what only one of them does."""
    draw = random.Random(f"{chip} {fails}")
    agreed: Counter[str] = Counter()
    ended = 0
    examples = 60
    for example in range(examples):
        nvkm.reset()
        big = draw.choice((16, 17)) if chip != "gp100" else 16
        pair = Pair(nvkm, chip=chip, big=big)
        pair.same("memory", target=VRAM, size=4 * LARGE, page=big)
        pair.same("memory", target=NCOH, size=4 * LARGE)
        areas = 0
        for _ in range(25):
            name, args = of_areas(draw, areas, big, example % 2 == 0, fails)
            result = pair.do(name, **args)
            if not pair.agree():
                break
            agreed[name] += result.result == 0
            areas += name == "get" and result.result == 0
        else:
            pair.do("destroy")
        if not pair.agree():
            assert pair.linux_is_wrong(), (pair.done, pair.results, pair.said)
            ended += 1
    assert ended < examples // 2
    assert min(agreed[name] for name in ("get", "put", "map", "map_part", "unmap")) >= 5


def of_pages(draw: random.Random, mapped: dict[int, int]) -> tuple[str, Args] | None:
    """Pages one by one: 4K in every other 4 MiB, 2M in those between; and memory, and an unmap.

    None: a page of the system would be replaced, which Linux does not let go of. ``mapped``:
    the digits of pages, if it succeeds.
    """
    cell = draw.randrange(6)
    start = cell * 2 * LARGE
    shift = 12 if cell % 2 == 0 else 21
    if shift == 12:
        addr = start + draw.choice((1, 2, 3, 508)) * SMALL
        size = draw.choice((1, 2, 3, 5)) * SMALL
    else:
        half = draw.randrange(2)
        addr = start + half * LARGE
        size = LARGE if half else draw.choice((1, 2)) * LARGE
    choice = draw.randrange(7)
    if choice < 4:
        pattern = draw.choice((1, 2, 3, 4, 5, 6, 0x10, 0x101, 0x41, 0x4014, 0, 7))
        digits = {addr + (at << shift): pfn_digit(pattern, at) for at in range(size >> shift)}
        if any(0 < mapped.get(at, 0) < 4 and 0 < digit < 7 for at, digit in digits.items()):
            return None
        mapped.update(digits)
        return "pfn_map", {"shift": shift, "addr": addr, "size": size, "pattern": pattern}
    if choice == 4:
        for at in [at for at in mapped if addr <= at < addr + size]:
            del mapped[at]
        return "pfn_unmap", {"addr": addr, "size": size}
    first = cell // 2 * 4 * LARGE + draw.choice((4, 5, 7, 8, 9)) * SMALL
    if choice == 5:
        length = draw.choice((1, 2)) * SMALL
        return "map_part", {"vma": 0, "first": first, "size": length, "memory": 0}
    return "unmap", {"vma": 0, "first": first}


def test_pages_one_by_one(nvkm: LinuxNvkm) -> None:
    draw = random.Random(1)
    agreed: Counter[str] = Counter()
    for _ in range(40):
        nvkm.reset()
        pair = Pair(nvkm, managed=1, start=1 << 40, size=1 << 20)
        pair.same("memory", target=NCOH, size=LARGE)
        mapped: dict[int, int] = {}
        for _ in range(30):
            found = of_pages(draw, mapped)
            if found is not None:
                agreed[found[0]] += pair.same(found[0], **found[1]).result == 0
    assert min(agreed[name] for name in ("pfn_map", "pfn_unmap", "map_part", "unmap")) >= 10


def test_the_raw_interface(nvkm: LinuxNvkm) -> None:
    """One page size in each 4 MiB; what is referenced can be mapped, unmapped, and put."""
    if "raw" in nvkm.traits:
        pytest.skip(f"{nvkm.version} has no raw interface")
    draw = random.Random(2)
    agreed: Counter[str] = Counter()
    for _ in range(40):
        nvkm.reset()
        pair = Pair(nvkm, raw=1, start=1 << 40, size=1 << 20)
        pair.same("memory", target=VRAM, size=32 * LARGE, page=21)
        held: Counter[tuple[int, int]] = Counter()
        sparse = draw.randrange(2)
        if sparse:
            pair.same("raw_sparse", addr=6 * LARGE, size=2 * LARGE, ref=1)
        for _ in range(40):
            cell = draw.randrange(4)
            shift = (12, 16, 21, 12)[cell]
            most = min(2 * LARGE >> shift, 40)
            first = draw.randrange(most)
            count = draw.randrange(1, min(most - first, 20) + 1)
            addr = cell * 2 * LARGE + (first << shift)
            place: Args = {"shift": shift, "addr": addr, "size": count << shift}
            pages = [(shift, addr + (at << shift)) for at in range(count)]
            name = draw.choice(("raw_get", "raw_get", "raw_put", "raw_map", "raw_unmap"))
            least = min(held[page] for page in pages)
            if name == "raw_get" and max(held[page] for page in pages) < 2:
                pair.same(name, **place)
                held.update(pages)
            elif name == "raw_put" and least:
                if least == 1:
                    pair.same("raw_unmap", **place, sparse=int(sparse and cell == 3))
                pair.same(name, **place)
                held.subtract(pages)
            elif name == "raw_map" and least:
                pair.same(name, **place, memory=0)
            elif name == "raw_unmap" and least:
                pair.same(name, **place, sparse=int(sparse and cell == 3))
            else:
                continue
            agreed[name] += 1
    assert min(agreed[name] for name in ("raw_get", "raw_put", "raw_map", "raw_unmap")) >= 10


def test_what_is_refused(nvkm: LinuxNvkm) -> None:
    pair = Pair(nvkm)
    pair.same("memory", target=VRAM, size=SMALL)
    pair.same("memory", target=VRAM, size=LARGE, page=16, scattered=2)
    for name, args in (
        ("memory", {"target": 3, "size": SMALL}),
        ("memory", {"target": HOST, "size": PAGE_64K, "page": 16}),
        ("memory", {"target": HOST, "size": 1 << 31}),
        ("drop", {"memory": 2}),
        ("get", {"size": SMALL, "shift": 13}),
        ("get", {"size": 1 << 50}),
        ("get", {"size": -SMALL}),
        ("get", {"size": SMALL, "shift": 47}),
        ("get", {"size": 2 * SMALL}),
        ("map", {"vma": 0, "memory": 0}),
        ("map", {"vma": 0, "memory": 9}),
        ("map", {"vma": 9, "memory": 0}),
        ("map_part", {"vma": 0, "first": SMALL, "size": SMALL, "memory": 0}),
        ("map_part", {"vma": 0, "first": 0, "size": 2 * SMALL, "memory": 1}),
        ("map_part", {"vma": 0, "first": 0, "size": SMALL, "memory": 1, "offset": 3 * SMALL}),
        ("map_part", {"vma": 0, "first": -SMALL, "size": SMALL, "memory": 0}),
        ("unmap", {"vma": 0, "first": SMALL}),
        ("unmap", {"vma": 0, "first": 2 * SMALL}),
        ("pfn_map", {"shift": 16, "addr": 0, "size": PAGE_64K, "pattern": 1}),
        ("pfn_map", {"shift": 12, "addr": LARGE, "size": SMALL, "pattern": 1}),
        ("pfn_map", {"shift": 12, "addr": 0, "size": 1 << 40, "pattern": 1}),
        ("pfn_unmap", {"addr": LARGE, "size": SMALL}),
        ("part", {}),
        ("boot", {}),
        ("put", {"vma": 0}),
        ("put", {"vma": 0}),
    ):
        pair.same(name, **args)
    assert pair.results[0] == Result(-errno.ENOENT)
