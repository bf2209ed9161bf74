"""linux:nvkm judged by the rules of system ``nvidia``: what is right, and what is found."""

import pytest

from conformance.discovery import system_by_name
from conformance.rules.rule import MISUSE
from conformance.session import Session
from conformance.systems.nvidia.operations import SPECS
from conformance.systems.nvidia.rules import NVIDIA
from conformance.systems.nvidia.targets import LinuxNvkm
from conformance.systems.nvidia.telling import NvidiaViews
from reference.operations import Operation, make

PAGE, PAGE_64K, LARGE = 0x1000, 0x10000, 0x200000


def op(name: str, **args: int | str) -> Operation:
    return make(name, SPECS, **args)


def judged(target: LinuxNvkm, *operations: Operation) -> list[tuple[str, str]]:
    """The identities that are found, the end of the example included."""
    session = Session(system_by_name("nvidia"), target, set())
    found: list[tuple[str, str]] = []
    for operation in operations:
        found += [one.identity for one in session.run(operation).violations]
    last = session.finish()
    assert not session.ended
    return found + ([] if last is None else [one.identity for one in last.violations])


MEMORY = op("memory", size=2 * LARGE, page=21)
SMALL = op("raw_get", size=PAGE_64K)
ONE_LARGE = op("raw_get", shift=16, size=PAGE_64K)
MAP_LARGE = op("raw_map", shift=16, size=PAGE_64K)
RAW = op("create", raw=1)
MANAGED = op("create", managed=1)

RIGHT: tuple[tuple[Operation, ...], ...] = (
    (MEMORY, op("get", size=3 * PAGE), op("map"), op("unmap"), op("map"), op("put")),
    (MEMORY, op("get", getref=1, shift=16, size=LARGE), op("map"), op("drop"), op("unmap")),
    (MEMORY, op("get", sparse=1, size=LARGE + PAGE_64K), op("map_part", first=PAGE), op("put")),
    (MEMORY, op("get", mapref=0, size=LARGE), op("map"), op("unmap"), op("map_part"), op("put")),
    (op("memory", target=1, scattered=3), op("get", size=LARGE), op("map", ro=1, vol=1)),
    (op("create", size=4 * LARGE), op("boot"), MEMORY, op("get"), op("map"), op("put")),
    (op("create"), op("join"), op("part"), op("join"), op("replay")),
    (MANAGED, op("pfn_map", size=5 * PAGE, pattern=0x5031), op("pfn_unmap", size=2 * PAGE)),
    (MEMORY, op("get"), op("stick", polls=-1), op("map"), op("stick"), op("unmap")),
    (op("create", chip="gm200"), op("get", sparse=1, size=LARGE), MEMORY, op("map_part")),
    (op("create", chip="gf100", big=17), MEMORY, op("get", size=LARGE), op("map"), op("put")),
)
"""Nothing is wrong with any of it."""

RIGHT_RAW: tuple[tuple[Operation, ...], ...] = (
    (RAW, MEMORY, SMALL, ONE_LARGE, op("raw_map"), op("raw_unmap"), op("raw_put", size=PAGE_64K)),
    (RAW, op("raw_sparse", size=LARGE), SMALL, MEMORY, op("raw_map", size=PAGE_64K)),
    (RAW, MEMORY, ONE_LARGE, MAP_LARGE, ONE_LARGE, op("raw_put", shift=16, size=PAGE_64K)),
)

FOUND = (
    # A map that is refused lets go of what was mapped.
    ("ER-2 map, EINVAL, areas changed", MEMORY, op("get"), op("map"), op("map", kind=0xFF)),
    # Small pages that were sparse in a large entry are not made invalid.
    (
        "TR-30 put, SPT, sparse for nothing",
        op("memory"),
        op("get"),
        op("map"),
        op("get", sparse=1, size=31 * PAGE),
        op("map", vma=1),
        op("put", vma=1),
    ),
    # A table of large entries that comes second does not note that they are sparse.
    (
        "TR-30 unmap, LPT, nothing for sparse",
        MEMORY,
        op("get", sparse=1, size=LARGE),
        op("map_part"),
        op("map_part", first=PAGE_64K, size=PAGE_64K),
        op("unmap"),
    ),
    # KB-15: mapped before the references were taken.
    (
        "SP-30 pfn_map, parts say more mapped than promised",
        MANAGED,
        op("pfn_map", fail_at=1),
    ),
    (
        "PG-2 create, refused, accessed memory outside everything that it owns, in nvkm_vmm_dtor",
        op("create", start=1 << 50),
    ),
    ("RC-31 pfn_map, page is never taken away", MANAGED, op("pfn_map"), op("pfn_map")),
    # A page of 2M of which a part is unmapped stays mapped.
    (
        "TR-1 pfn_unmap, PD0, mapped for nothing",
        MANAGED,
        op("pfn_map", shift=21, size=LARGE),
        op("pfn_unmap", addr=5 * PAGE),
    ),
    # Two page sizes side by side are one area with the second size.
    (
        "SP-30 pfn_map, parts say another page size than promised",
        MANAGED,
        op("pfn_map", shift=21, size=LARGE),
        op("pfn_map", addr=LARGE),
    ),
    # What does not fit into an area is a length that never becomes zero.
    (
        "PG-2 pfn_map, legal, accessed memory outside everything that it owns, in nvkm_vmm_pfn_map",
        op("create", managed=1, start=LARGE - PAGE, size=PAGE),
        op("pfn_map", shift=21, size=LARGE),
    ),
    # A page that is cleared in two steps looks like an entry that leads to a table.
    (
        "OR-1 destroy, LPT, memory that is no table, in gp100_vmm_pd0_pfn_clear",
        MANAGED,
        op("pfn_map", shift=21, size=LARGE),
    ),
    # What is sparse is no longer, once a page was mapped there by itself.
    (
        "TR-30 pfn_unmap, SPT, nothing for sparse",
        op("get", sparse=1),
        op("pfn_map"),
        op("pfn_unmap"),
    ),
    # The page of 2**27 bytes is an entry of 2**26.
    (
        "TR-30 get, PGD, nothing for sparse",
        op("create", chip="gm200"),
        op("get", sparse=1, size=1 << 27),
    ),
)

FOUND_RAW = (
    # KB-01, where the count begins anew, and where live pages become sparse.
    (
        "SP-31 raw_get, count of small pages in a large entry overflows",
        RAW,
        SMALL,
        SMALL,
        SMALL,
        SMALL,
    ),
    (
        "TR-30 raw_get, SPT, sparse for mapped",
        op("create", raw=1, chip="gm200", big=17),
        MEMORY,
        op("raw_get", shift=17, size=2 * PAGE_64K),
        op("raw_get", size=2 * PAGE_64K),
        op("raw_map", size=2 * PAGE_64K),
        op("raw_get", size=2 * PAGE_64K),
    ),
    # The same with nothing but what VM_BIND does: pages of 4K, and a sparse range beside.
    (
        "TR-30 raw_get, SPT, sparse for mapped",
        RAW,
        op("memory"),
        op("raw_sparse", addr=PAGE_64K, size=PAGE_64K),
        SMALL,
        op("raw_map", size=PAGE_64K),
        SMALL,
        SMALL,
        SMALL,
    ),
    # Small pages take a large entry over that is mapped, and give it back as invalid.
    ("TR-1 raw_get, SPT, nothing for mapped", RAW, MEMORY, ONE_LARGE, MAP_LARGE, op("raw_get")),
    (
        "TR-1 raw_put, LPT, nothing for mapped",
        RAW,
        MEMORY,
        op("raw_get"),
        ONE_LARGE,
        MAP_LARGE,
        op("raw_put"),
    ),
    # Large entries that change in one go are taken for sparse, or not, as the first of them.
    (
        "TR-30 raw_get, SPT, nothing for sparse",
        RAW,
        op("raw_sparse", addr=PAGE_64K, size=PAGE_64K),
        op("raw_get", addr=PAGE_64K - PAGE, size=2 * PAGE),
    ),
    # A large page that is unmapped hides the small ones.
    (
        "TR-1 raw_map, LPT, nothing for mapped",
        RAW,
        MEMORY,
        op("raw_get"),
        ONE_LARGE,
        MAP_LARGE,
        op("raw_unmap", shift=16, size=PAGE_64K),
        op("raw_map"),
    ),
    # The first area that the driver hands out is not the client's.
    (
        "ER-1 unmap, legal, returned EINVAL",
        op("create", raw=1, start=PAGE, size=PAGE),
        op("memory"),
        op("get"),
        op("map", vma=2),
        op("unmap", vma=2),
    ),
)

FIXED_BY_TRACKER = (
    "SP-31 raw_get, count of small pages in a large entry overflows",
    "TR-30 raw_get, SPT, sparse for mapped",
    "TR-1 raw_put, LPT, nothing for mapped",
)
"""What trees do right that note the small and the large pages of an entry in a word."""


@pytest.fixture
def raw(nvkm: LinuxNvkm) -> LinuxNvkm:
    if "raw" in nvkm.traits:
        pytest.skip(f"{nvkm.version} has no raw interface")
    return nvkm


@pytest.mark.parametrize("operations", RIGHT)
def test_nothing_is_found_where_nothing_is_wrong(
    nvkm: LinuxNvkm, operations: tuple[Operation, ...]
) -> None:
    assert judged(nvkm, *operations) == []


@pytest.mark.parametrize("operations", RIGHT_RAW)
def test_nothing_is_found_in_the_raw_interface(
    raw: LinuxNvkm, operations: tuple[Operation, ...]
) -> None:
    assert judged(raw, *operations) == []


@pytest.mark.parametrize("found", FOUND, ids=lambda found: found[0][:24])
def test_what_is_wrong_is_found(nvkm: LinuxNvkm, found: tuple[str | Operation, ...]) -> None:
    identity, *operations = found
    said = judged(nvkm, *(one for one in operations if isinstance(one, Operation)))
    assert identity in [" ".join(one) for one in said]


@pytest.mark.parametrize("found", FOUND_RAW, ids=lambda found: found[0][:24])
def test_what_is_wrong_with_the_raw_interface(
    raw: LinuxNvkm, found: tuple[str | Operation, ...]
) -> None:
    identity, *operations = found
    said = judged(raw, *(one for one in operations if isinstance(one, Operation)))
    if identity in FIXED_BY_TRACKER and "NVKM_PTE_TRACKER" in raw.features:
        assert said == []
    else:
        assert identity in [" ".join(one) for one in said]


def test_what_broke_a_rule_is_undone(nvkm: LinuxNvkm) -> None:
    session = Session(system_by_name("nvidia"), nvkm, set())
    for operation in (MEMORY, op("get"), op("map")):
        assert not session.run(operation).violations
    outcome = session.run(op("map", kind=0xFF))
    assert [one.rule for one in outcome.violations] == ["ER-2"]
    assert not session.run(op("unmap")).violations
    assert session.finish() is not None
    assert not session.promise.state.exists


def test_misuse_is_not_judged_and_leaves_nothing(nvkm: LinuxNvkm) -> None:
    session = Session(system_by_name("nvidia"), nvkm, set())
    session.run(op("get"))
    outcome = session.run(op("boot"))
    assert (outcome.sort, list(outcome.violations)) in ((MISUSE, []), ("refused", []))
    outcome = session.run(op("get", size=0x1800))
    assert (outcome.sort, list(outcome.violations)) == (MISUSE, [])
    assert len(session.promise.state.areas) == 1


def test_views_show_what_was_promised_and_what_is(nvkm: LinuxNvkm) -> None:
    session = Session(system_by_name("nvidia"), nvkm, set())
    operations = [MEMORY, op("get"), op("map"), op("map", kind=0xFF)]
    for operation in operations[:-1]:
        session.run(operation)
    session.frozen_on = ("ER-2", "map, EINVAL, areas changed")
    views = NvidiaViews(session, operations)
    (violation,) = session.run(operations[-1]).violations
    shown = views.after(violation)
    assert shown.driver_before is not None
    assert [one.access for one in shown.driver_before] == ["area 0 mapped"]
    assert [one.access for one in shown.driver_after or ()] == ["area 0"]
    assert [one.pa for one in shown.promise_after] == [0x4000_0000]
    assert [one.kind for one in shown.walk][-1:] == ["leaf"]


def test_every_rule_has_an_identity_of_its_own() -> None:
    assert len({one.id for one in NVIDIA}) == len(NVIDIA)
