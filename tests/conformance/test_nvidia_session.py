"""One example of an NVIDIA address space: how calls are sorted, what is judged, how it goes on."""

import ast
import errno
import re
from pathlib import Path

import pytest

from conformance.discovery import SYSTEMS
from conformance.make_counterexample import counterexample_of
from conformance.registry import make_target
from conformance.rules.rule import LEGAL, MISUSE, REFUSED
from conformance.systems.nvidia.operations import CHIPS, SPECS, possible
from conformance.systems.nvidia.rules import NVIDIA
from conformance.systems.nvidia.targets import NvidiaTarget
from conformance.systems.nvidia.telling import NvidiaViews
from reference import trace as t
from reference.operations import Result, from_json
from reference.systems.gpuvm.events import VMA_ADD, VMA_REMOVE
from reference.systems.nvidia import promise as nvidia_promise
from reference.systems.nvidia.device import HUB_ONLY, SELECT, START, STATUS
from reference.systems.nvidia.events import PT_REFS, PT_STATE, STATE_SMALL, STATE_SPARSE
from reference.trace import WORDS, Trace
from reference.words import to_signed
from reports import terminal
from reports.counterexample import Segment

PAGE, MIDDLE, LARGE = 0x1000, 0x1_0000, 0x20_0000
SYSTEM = SYSTEMS["nvidia"]
LIMIT = 1 << 49
"""What the tables of GP100 translate."""
CLIENT = 64 * LARGE
"""Where what is not the client's begins, in the address spaces that are shared here."""
BEYOND = 1 << 50

NONE = ()
INVALID, GONE, FULL, BUSY = -errno.EINVAL, -errno.ENOENT, -errno.ENOSPC, -errno.EBUSY
NO_MEMORY, MANY, NO_RAW = -errno.ENOMEM, -errno.E2BIG, -errno.EOPNOTSUPP


def op(name, **args):
    """An operation, as a file of operations would give it."""
    return from_json({"op": name} | args, SPECS)


CREATE = op("create")
MEMORY = op("memory", size=2 * LARGE, page=21)
HOST = op("memory", target=1)
GET, MAP, UNMAP, PUT, DROP = op("get"), op("map"), op("unmap"), op("put"), op("drop")
MANAGED = op("create", managed=1, start=CLIENT, size=CLIENT)
RAW = op("create", raw=1, start=CLIENT, size=CLIENT)
"""Areas 0 and 1 are the client's: all but CLIENT to 2 * CLIENT."""
RAW_GET, RAW_MAP, RAW_UNMAP, RAW_PUT = op("raw_get"), op("raw_map"), op("raw_unmap"), op("raw_put")
SPARSE = op("get", sparse=1, size=LARGE)
RAW_SPARSE = op("raw_sparse", size=LARGE)
PFN_MAP, PFN_UNMAP = op("pfn_map"), op("pfn_unmap")
JOIN, PART, BOOT, REPLAY, DESTROY = op("join"), op("part"), op("boot"), op("replay"), op("destroy")
STUCK, WORKING, SLOW = op("stick", polls=-1), op("stick"), op("stick", polls=7)


def session_after(*operations, target=None):
    """A session in which these operations were done without a violation."""
    session = SYSTEM.session(target or NvidiaTarget(), set())
    for operation in operations:
        outcome = session.run(operation)
        assert [one.identity for one in outcome.violations] == [], operation
    return session


def held(session):
    """All that is promised and told, as something that can be compared."""
    state = session.promise.state
    last = max(state.limit() - 1, 0)
    return (
        [(one.first, one.last, one.what, one.pa) for one in state.promise.pieces(0, last)],
        [
            (area.number, area.first, area.last, area.refd, [
                (part.first, part.last, part.index, part.memory) for part in area.parts
            ])
            for area in state.areas.values()
        ],
        [(one.first, one.last, one.index) for one in state.raw_parts],
        [[(run.first, run.last, run.count) for run in one.runs] for one in state.raw_holds],
        [(one.first, one.last) for one in state.regions],
        [(one.owned, one.told) for one in state.memories],
        sorted(state.pages.items()),
        (state.instance, state.booted, state.exists),
        sorted(state.states.items()),
        sorted((key, one.large, one.small) for key, one in state.told_tables.items()),
        sorted((one.first, one.last, one.mapped) for one in state.told_areas.values()),
    )  # fmt: skip


def mappings(session):
    """What is promised to be mapped: (first page, last page, page it leads to)."""
    pieces = session.promise.state.promise.pieces(0, session.promise.state.limit() - 1)
    return [(one.first // PAGE, one.last // PAGE, one.pa // PAGE) for one in pieces if one.pa >= 0]


# -- how calls are sorted -----------------------------------------------------------------------

ON = (CREATE, MEMORY)
MAPPED = (*ON, op("get", size=4 * PAGE), MAP)
LAZY = (*ON, op("get", mapref=0, size=4 * PAGE))
BOOTED = (op("create", size=4 * LARGE), MEMORY, BOOT)
SHARED = (MANAGED, MEMORY)
PAGES = (*SHARED, op("pfn_map", size=4 * PAGE))
RAW_ON = (RAW, MEMORY)
HELD = (*RAW_ON, op("raw_get", size=4 * PAGE))
RAW_MAPPED = (*HELD, op("raw_map", size=4 * PAGE))
GF100 = op("create", chip="gf100", big=17)
NOT_RAW = "no raw address space"
PAGE_SIZE = "no such page size, or not whole pages"
UNSPARSE = "pages that cannot be sparse"
NO_AREA, NO_STORE = "no such area", "no such memory"
RAW_ONES = "addresses of the raw interface"
OUTSIDE = "not the client's addresses"
OVER_BOOTED = "a page of a directory, where all small tables are held"
ASKEW = "not whole pages"
EMPTY = "no pages"
A_KIND = "a kind that not every chip has"

RAW_CALLS = {
    # What is the same for all calls of the raw interface that name a page size.
    f"{name}-{what}": (before, op(name, **args), sort, reason, errors)
    for name in ("raw_get", "raw_put", "raw_map", "raw_unmap")
    for what, before, args, sort, reason, errors in (
        ("elsewhere", SHARED, {}, REFUSED, NOT_RAW, (INVALID, NO_RAW)),
        ("no-shift", RAW_ON, {"shift": 64}, REFUSED, "no page size", (INVALID,)),
        ("of-the-driver", RAW_ON, {"addr": CLIENT}, REFUSED, OUTSIDE, (INVALID,)),
        ("into-the-driver", RAW_ON, {"addr": CLIENT - PAGE, "size": 2 * PAGE}, REFUSED, OUTSIDE,
         (INVALID,)),
        ("beyond", RAW_ON, {"addr": LIMIT}, REFUSED, OUTSIDE, (INVALID,)),
        ("wraps", RAW_ON, {"addr": 2**64 - PAGE, "size": 2 * PAGE}, REFUSED, OUTSIDE, (INVALID,)),
        ("shift", RAW_ON, {"shift": 13, "size": 2 * PAGE}, REFUSED, PAGE_SIZE, (INVALID,)),
        ("askew-size", RAW_ON, {"shift": 16, "size": PAGE}, REFUSED, PAGE_SIZE, (INVALID,)),
        ("askew", RAW_ON, {"addr": 0x800}, MISUSE, ASKEW, (INVALID,)),
    )
}  # fmt: skip

CALLS = {
    # name: what was done before, the call, sort, reason, allowed errnos (of a misuse, the
    # answer of the reference where it is sure)
    "create": (NONE, CREATE, LEGAL, "", NONE),
    "create-part": (NONE, op("create", start=LARGE, size=LARGE), LEGAL, "", NONE),
    "create-managed": (NONE, MANAGED, LEGAL, "", NONE),
    "create-managed-all": (NONE, op("create", managed=1, size=LIMIT), LEGAL, "", NONE),
    "create-managed-beyond": (
        NONE, op("create", managed=1, start=PAGE, size=LIMIT), REFUSED, "beyond the page tables",
        (INVALID,),
    ),
    "create-managed-wraps": (
        NONE, op("create", raw=1, start=2**64 - PAGE, size=2 * PAGE), REFUSED,
        "beyond the page tables", (INVALID,),
    ),
    "create-managed-askew": (NONE, op("create", managed=1, start=0x800), MISUSE, ASKEW, NONE),
    "create-beyond": (
        NONE, op("create", start=PAGE, size=LIMIT), REFUSED, "beyond the page tables", (INVALID,),
    ),
    "create-starts-beyond": (
        NONE, op("create", start=BEYOND), REFUSED, "beyond the page tables", (INVALID,),
    ),
    "create-wraps": (
        NONE, op("create", start=2 * PAGE, size=2**64 - PAGE), REFUSED, "beyond the page tables",
        (INVALID,),
    ),
    "create-nothing": (
        NONE, op("create", start=LIMIT), MISUSE, "an address space of no pages",
        NONE,
    ),
    "create-askew": (
        NONE, op("create", size=0x1800), MISUSE, "an address space of no pages",
        NONE,
    ),
    "memory": (NONE, MEMORY, LEGAL, "", NONE),
    "memory-host": (NONE, op("memory", target=2, scattered=3), LEGAL, "", NONE),
    "memory-target": (NONE, op("memory", target=3), REFUSED, NO_STORE, (INVALID,)),
    "memory-nothing": (NONE, op("memory", size=0), REFUSED, NO_STORE, (INVALID,)),
    "memory-askew": (NONE, op("memory", size=0x1800), REFUSED, NO_STORE, (INVALID,)),
    "memory-page": (NONE, op("memory", page=11), REFUSED, NO_STORE, (INVALID,)),
    "memory-host-large": (NONE, op("memory", target=1, page=21), REFUSED, NO_STORE, (INVALID,)),
    "memory-pieces": (NONE, op("memory", scattered=0x4_0001), REFUSED, NO_STORE, (INVALID,)),
    "memory-too-much": (NONE, op("memory", size=1 << 31), REFUSED, "no room", (FULL,)),
    "memory-full": (
        (op("memory", size=1 << 30),), op("memory"), REFUSED, "no room", (FULL,),
    ),
    "drop": (ON, DROP, LEGAL, "", NONE),
    "drop-mapped": (MAPPED, DROP, LEGAL, "", NONE),
    "drop-again": ((*ON, DROP), DROP, REFUSED, NO_STORE, (GONE,)),
    "drop-none": (ON, op("drop", memory=1), REFUSED, NO_STORE, (GONE,)),
    "get": (ON, GET, LEGAL, "", NONE),
    "get-all": (ON, op("get", size=LIMIT), LEGAL, "", NONE),
    "get-sparse": (ON, SPARSE, LEGAL, "", NONE),
    "get-no-shift": (ON, op("get", shift=64), REFUSED, "no page size", (INVALID,)),
    "get-no-align": (ON, op("get", align=64), REFUSED, "no page size", (INVALID,)),
    "get-nothing": (
        ON, op("get", size=0), REFUSED, "nothing, or sparse without references", (INVALID,),
    ),
    "get-lazy-sparse": (
        ON, op("get", mapref=0, sparse=1), REFUSED, "nothing, or sparse without references",
        (INVALID,),
    ),
    "get-without": (
        ON, op("get", getref=1), REFUSED, "references without a page size", (INVALID,),
    ),
    "get-shift": (ON, op("get", shift=13, size=2 * PAGE), REFUSED, PAGE_SIZE, (INVALID,)),
    "get-askew": (ON, op("get", shift=16), REFUSED, PAGE_SIZE, (INVALID,)),
    "get-half-a-page": (ON, op("get", size=0x1800), MISUSE, ASKEW, (INVALID,)),
    "get-pages-not-sparse": (
        (GF100,), op("get", getref=1, sparse=1, shift=12), REFUSED, UNSPARSE, (INVALID, FULL),
    ),
    "get-not-sparse": ((GF100,), op("get", sparse=1), REFUSED, UNSPARSE, (INVALID,)),
    "get-full": (
        (op("create", size=PAGE), GET), GET, REFUSED, "no room", (FULL,),
    ),
    "get-too-much": (ON, op("get", size=BEYOND), REFUSED, "no room", (FULL,)),
    "get-listed": (
        # GM200 lists a page of 2**27 bytes; an entry of its directory has 2**26.
        (op("create", chip="gm200", size=2 * LARGE),),
        op("get", getref=1, shift=27, size=1 << 27), REFUSED, "no room", (FULL,),
    ),
    "get-booted": (BOOTED, op("get", shift=16, getref=1, size=MIDDLE), LEGAL, "", NONE),
    "get-pages-over-booted": (
        BOOTED, op("get", shift=21, getref=1, size=LARGE), MISUSE, OVER_BOOTED, NONE,
    ),
    "get-sparse-over-booted": (BOOTED, SPARSE, MISUSE, OVER_BOOTED, NONE),
    "put": (MAPPED, PUT, LEGAL, "", NONE),
    "put-client": (SHARED, PUT, LEGAL, "", NONE),
    "put-again": ((*MAPPED, PUT), PUT, REFUSED, NO_AREA, (GONE,)),
    "put-none": (ON, PUT, REFUSED, NO_AREA, (GONE,)),
    "put-raw": (RAW_ON, PUT, MISUSE, "the raw client's own addresses", NONE),
    "map": ((*ON, GET), MAP, LEGAL, "", NONE),
    "map-again": (MAPPED, MAP, LEGAL, "", NONE),
    "map-none": (ON, MAP, REFUSED, NO_AREA, (GONE,)),
    "map-raw": (RAW_ON, MAP, REFUSED, RAW_ONES, (INVALID, GONE)),
    "map-no-memory": ((*ON, GET), op("map", memory=1), REFUSED, NO_STORE, (GONE,)),
    "map-dropped": ((*ON, GET, DROP), MAP, REFUSED, NO_STORE, (GONE,)),
    "map-beyond": ((*ON, GET), op("map", offset=2 * LARGE), REFUSED, "beyond the memory",
                   (INVALID,)),
    "map-no-kind": ((*ON, GET), op("map", kind=0xFF), REFUSED, "no such kind", (INVALID,)),
    "map-a-kind": ((*ON, GET), op("map", kind=2), MISUSE, A_KIND, NONE),
    "map-no-size": (
        (*ON, HOST, op("get", shift=16, size=MIDDLE)), op("map", memory=1), REFUSED,
        "no page size fits", (INVALID,),
    ),
    "map-pages": (PAGES, MAP, REFUSED, "something is mapped there", (INVALID,)),
    "map-over-booted": (
        (*BOOTED, op("get", shift=21, size=LARGE)), MAP, MISUSE, OVER_BOOTED, NONE,
    ),
    "map_part": ((*ON, op("get", size=4 * PAGE)), op("map_part", first=PAGE), LEGAL, "", NONE),
    "map_part-none": (ON, op("map_part"), REFUSED, NO_AREA, (GONE,)),
    "map_part-of-all": (LAZY, op("map_part", size=4 * PAGE), LEGAL, "", NONE),
    "map_part-of-lazy": (
        LAZY, op("map_part"), REFUSED, "a part of what has no references", (INVALID,),
    ),
    "map_part-beyond-area": (
        LAZY, op("map_part", first=3 * PAGE, size=2 * PAGE), REFUSED, "beyond the area",
        (INVALID, GONE),
    ),
    "map_part-behind": (
        LAZY, op("map_part", first=4 * PAGE), REFUSED, NO_AREA, (GONE,),
    ),
    "map_part-over": (
        MAPPED, op("map_part", first=PAGE), REFUSED, "something is mapped there", (INVALID,),
    ),
    "unmap": (MAPPED, UNMAP, LEGAL, "", NONE),
    "unmap-none": (ON, UNMAP, REFUSED, NO_AREA, (GONE,)),
    "unmap-raw": (RAW_ON, UNMAP, REFUSED, RAW_ONES, (INVALID, GONE)),
    "unmap-again": (
        (*MAPPED, UNMAP), UNMAP, REFUSED, "no memory is mapped from there on", (INVALID, GONE),
    ),
    "unmap-inside": (
        MAPPED, op("unmap", first=PAGE), REFUSED, "no memory is mapped from there on",
        (INVALID, GONE),
    ),
    "unmap-pages": (PAGES, UNMAP, REFUSED, "no memory is mapped from there on", (INVALID, GONE)),
    "pfn_map": (SHARED, PFN_MAP, LEGAL, "", NONE),
    "pfn_map-large": (SHARED, op("pfn_map", shift=21, size=LARGE), LEGAL, "", NONE),
    "pfn_map-no-shift": (SHARED, op("pfn_map", shift=64), REFUSED, "no page size", (INVALID,)),
    "pfn_map-many": (
        SHARED, op("pfn_map", size=0x4001 * PAGE), REFUSED, "too many pages", (MANY,),
    ),
    "pfn_map-nothing": (SHARED, op("pfn_map", size=0), MISUSE, EMPTY, NONE),
    "pfn_map-raw": (RAW_ON, PFN_MAP, REFUSED, RAW_ONES, (INVALID,)),
    "pfn_map-middle": (
        SHARED, op("pfn_map", shift=16, size=MIDDLE), REFUSED, PAGE_SIZE, (INVALID,),
    ),
    "pfn_map-askew": (SHARED, op("pfn_map", addr=0x800), REFUSED, PAGE_SIZE, (INVALID,)),
    "pfn_map-gm200": (
        (op("create", chip="gm200", managed=1, start=CLIENT, size=CLIENT),), PFN_MAP, REFUSED,
        PAGE_SIZE, (INVALID,),
    ),
    "pfn_map-beyond": (
        SHARED, op("pfn_map", addr=LIMIT), REFUSED, "beyond the address space", (INVALID,),
    ),
    "pfn_map-nowhere": (ON, PFN_MAP, REFUSED, "no area", (GONE,)),
    "pfn_map-over-booted": (
        (*BOOTED, op("get", shift=21, size=LARGE)), op("pfn_map", shift=21, size=LARGE), MISUSE,
        OVER_BOOTED, NONE,
    ),
    "pfn_unmap": (PAGES, PFN_UNMAP, LEGAL, "", NONE),
    "pfn_unmap-memory": (MAPPED, op("pfn_unmap", size=4 * PAGE), LEGAL, "", NONE),
    "pfn_unmap-nothing": (PAGES, op("pfn_unmap", size=0), MISUSE, EMPTY, NONE),
    "pfn_unmap-raw": (RAW_ON, PFN_UNMAP, REFUSED, RAW_ONES, (INVALID,)),
    "pfn_unmap-askew": (PAGES, op("pfn_unmap", addr=0x800), MISUSE, ASKEW, (INVALID,)),
    "pfn_unmap-beyond": (PAGES, op("pfn_unmap", addr=LIMIT), MISUSE, ASKEW, (INVALID,)),
    "pfn_unmap-nowhere": (ON, PFN_UNMAP, REFUSED, "no area", (INVALID,)),
    "pfn_unmap-part": (
        # A page of which a part is unmapped goes as a whole.
        (*SHARED, op("pfn_map", shift=21, size=LARGE)), PFN_UNMAP, LEGAL, "", NONE,
    ),
    **RAW_CALLS,
    "raw_get": (RAW_ON, RAW_GET, LEGAL, "", NONE),
    "raw_get-again": (RAW_MAPPED, RAW_GET, LEGAL, "", NONE),
    "raw_get-nothing": (RAW_ON, op("raw_get", size=0), REFUSED, "no pages", (INVALID,)),
    "raw_get-behind-a-page": (
        (*RAW_ON, op("raw_get", shift=21, size=LARGE), op("raw_map", shift=21, size=LARGE)),
        RAW_GET, MISUSE, "a page of a directory is mapped", NONE,
    ),
    "raw_put": (HELD, RAW_PUT, LEGAL, "", NONE),
    "raw_put-twice": ((*RAW_MAPPED, RAW_GET), RAW_PUT, LEGAL, "", NONE),
    "raw_put-none": (
        RAW_ON, RAW_PUT, MISUSE, "references that were not taken, or are in use", NONE,
    ),
    "raw_put-used": (
        RAW_MAPPED, RAW_PUT, MISUSE, "references that were not taken, or are in use",
        NONE,
    ),
    "raw_put-too-much": (
        HELD, op("raw_put", size=5 * PAGE), MISUSE,
        "references that were not taken, or are in use", NONE,
    ),
    "raw_map": (HELD, RAW_MAP, LEGAL, "", NONE),
    "raw_map-no-memory": (HELD, op("raw_map", memory=1), REFUSED, NO_STORE, (GONE,)),
    "raw_map-nothing": (HELD, op("raw_map", size=0), MISUSE, EMPTY, NONE),
    "raw_map-beyond": (
        HELD, op("raw_map", offset=2 * LARGE), REFUSED, "beyond the memory", (INVALID,),
    ),
    "raw_map-no-kind": (HELD, op("raw_map", kind=0xFF), REFUSED, "no such kind", (INVALID,)),
    "raw_map-a-kind": (HELD, op("raw_map", kind=2), MISUSE, A_KIND, NONE),
    "raw_map-does-not-fit": (
        (*RAW_ON, HOST, op("raw_get", shift=16, size=MIDDLE)),
        op("raw_map", shift=16, size=MIDDLE, memory=1), REFUSED, "the page size does not fit",
        (INVALID,),
    ),
    "raw_map-none": (RAW_ON, RAW_MAP, MISUSE, "references that were not taken", NONE),
    "raw_map-before-smaller": (
        (*HELD, op("raw_get", shift=21, size=LARGE)), op("raw_map", shift=21, size=LARGE), MISUSE,
        "smaller pages are referenced", NONE,
    ),
    "raw_map-again": (RAW_MAPPED, RAW_MAP, MISUSE, "something is mapped", NONE),
    "raw_map-sparse-in-part": (
        (*RAW_ON, op("raw_sparse", addr=PAGE), op("raw_get", size=2 * PAGE)),
        op("raw_map", size=2 * PAGE), MISUSE, "sparse in part", NONE,
    ),
    "raw_unmap": (RAW_MAPPED, op("raw_unmap", addr=PAGE), LEGAL, "", NONE),
    "raw_unmap-none": (
        HELD, RAW_UNMAP, MISUSE, "not mapped with such pages", NONE,
    ),
    "raw_unmap-other-size": (
        (*RAW_ON, op("raw_get", shift=16, size=MIDDLE), op("raw_map", shift=16, size=MIDDLE)),
        RAW_UNMAP, MISUSE, "not mapped with such pages", NONE,
    ),
    "raw_unmap-not-sparse": (
        RAW_MAPPED, op("raw_unmap", sparse=1), MISUSE, "sparse is what was made so", NONE,
    ),
    "raw_unmap-in-part": (
        (
            *RAW_ON, op("raw_sparse", addr=PAGE), op("raw_get", size=2 * PAGE), RAW_MAP,
            op("raw_map", addr=PAGE),
        ),
        op("raw_unmap", size=2 * PAGE, sparse=1), MISUSE, "sparse is what was made so",
        NONE,
    ),
    "raw_sparse": (RAW_ON, RAW_SPARSE, LEGAL, "", NONE),
    "raw_sparse-end": ((*RAW_ON, RAW_SPARSE), op("raw_sparse", size=LARGE, ref=0), LEGAL, "", NONE),
    "raw_sparse-nothing": (RAW_ON, op("raw_sparse", size=0), LEGAL, "", NONE),
    "raw_sparse-elsewhere": (SHARED, RAW_SPARSE, REFUSED, NOT_RAW, (INVALID, NO_RAW)),
    "raw_sparse-driver": (
        RAW_ON, op("raw_sparse", addr=CLIENT), REFUSED, OUTSIDE, (INVALID,),
    ),
    "raw_sparse-wraps": (
        RAW_ON, op("raw_sparse", addr=2**64 - PAGE, size=2 * PAGE), REFUSED, OUTSIDE, (INVALID,),
    ),
    "raw_sparse-askew": (RAW_ON, op("raw_sparse", size=0x1800), MISUSE, ASKEW, (INVALID,)),
    "raw_sparse-mapped": (RAW_MAPPED, RAW_SPARSE, MISUSE, "something is mapped", NONE),
    "raw_sparse-held": (HELD, RAW_SPARSE, MISUSE, "pages in it are referenced", NONE),
    "raw_sparse-never": (
        RAW_ON, op("raw_sparse", ref=0), MISUSE, "was not made sparse", NONE,
    ),
    "raw_sparse-unlike": (
        (*RAW_ON, RAW_SPARSE), op("raw_sparse", ref=0), MISUSE, "was not made sparse",
        NONE,
    ),
    "raw_sparse-cannot": (
        (op("create", chip="gf100", raw=1, start=CLIENT, size=CLIENT),), RAW_SPARSE, REFUSED,
        UNSPARSE, (INVALID,),
    ),
    "raw_sparse-again": (
        (*RAW_ON, RAW_SPARSE), RAW_SPARSE, MISUSE, "is sparse already", NONE,
    ),
    "join": (ON, JOIN, LEGAL, "", NONE),
    "join-again": ((*ON, JOIN), JOIN, REFUSED, "joined already", (BUSY,)),
    "part": ((*ON, JOIN), PART, LEGAL, "", NONE),
    "part-none": (ON, PART, REFUSED, "not joined", (INVALID,)),
    "boot": ((op("create", size=LARGE),), BOOT, LEGAL, "", NONE),
    "boot-again": (BOOTED, BOOT, REFUSED, "too large, or booted already", (INVALID,)),
    "boot-large": (ON, BOOT, REFUSED, "too large, or booted already", (INVALID,)),
    "boot-late": (
        (op("create", size=LARGE), GET), BOOT, MISUSE, "something is handed out", NONE,
    ),
    "replay": (ON, REPLAY, LEGAL, "", NONE),
    "replay-gm200": (
        (op("create", chip="gm200"),), REPLAY, REFUSED, "faults are not replayed", (INVALID,),
    ),
    "stick": (ON, STUCK, LEGAL, "", NONE),
    "destroy": (MAPPED, DESTROY, LEGAL, "", NONE),
    "destroy-held": (
        HELD, DESTROY, MISUSE, "references of the raw interface are left", NONE,
    ),
    "destroy-sparse": (
        (*RAW_ON, RAW_SPARSE), DESTROY, MISUSE,
        "references of the raw interface are left", NONE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_sorted_before_it_is_made_and_the_reference_answers_so(name):
    before, call, sort, reason, errors = CALLS[name]
    session = session_after(*before)
    sorted_call = session.promise.before(call)
    assert (sorted_call.sort, sorted_call.reason) == (sort, reason)
    assert sorted_call.errors == (errors if sort == REFUSED else ())
    assert session.promise.is_misuse(call) is (sort == MISUSE)
    was = held(session)
    outcome = session.run(call)
    assert outcome.sort == sort
    assert [one.identity for one in outcome.violations] == []
    if sort == LEGAL:
        assert outcome.result.result == 0
    else:
        # What comes of a misuse is the driver's affair, and is undone; nothing is left of it.
        assert outcome.result.result in errors or (sort == MISUSE and not errors)
        assert sort == MISUSE or not outcome.changed
        assert held(session) == was or call.name == "create"
    closing = session.finish()
    assert closing is None or not closing.violations
    assert (session.ended, session.promise.state.exists) == (False, False)
    assert session.tally.violated == {}


def reasons_given():
    """For each function of the promise, the reasons that it gives; and the functions it calls."""
    source = Path(nvidia_promise.__file__).with_name("promise.py").read_text(encoding="utf-8")
    reasons, calls = {}, {}
    for function in ast.parse(source).body:
        if not isinstance(function, ast.FunctionDef):
            continue
        reasons[function.name], calls[function.name] = set(), set()
        for node in ast.walk(function):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name):
                calls[function.name].add(node.func.id)
            elif node.func.attr in ("refuse", "misuse"):
                reason = node.args[0]
                reasons[function.name].add(
                    getattr(nvidia_promise, reason.id)
                    if isinstance(reason, ast.Name)
                    else reason.value
                )
    return reasons, calls


def test_every_reason_of_every_function_has_an_example():
    reasons, calls = reasons_given()
    assert sum(map(len, reasons.values())) > 65
    given = {}
    for _, call, _, reason, _ in CALLS.values():
        if reason:
            name = "map" if call.name == "map_part" else call.name
            given.setdefault(f"_sort_{name}", set()).add(reason)
    given["_sort_get"].add("too many areas")
    wanted = {}
    for name in {f"_sort_{name}" for name in SPECS} & set(reasons):
        below, found = [name], set()
        while below:
            one = below.pop()
            found |= reasons.get(one, set())
            below += calls.get(one, ())
        wanted[name] = found
    assert sum(map(len, wanted.values())) > 80
    assert given == wanted
    assert {call.name for _, call, sort, _, _ in CALLS.values() if sort == LEGAL} == set(SPECS)


def test_areas_are_numbered_once_and_for_all():
    session = session_after(*ON, GET)
    session.promise.state.area_count = session.target.made.area_count = 1 << 16
    was = held(session)
    sorted_call = session.promise.before(op("get", size=0))
    assert (sorted_call.reason, sorted_call.errors) == ("too many areas", (MANY,))
    outcome = session.run(GET)
    assert (outcome.sort, outcome.result.result, list(outcome.violations)) == (REFUSED, MANY, [])
    assert held(session) == was


def test_reasons_have_an_order():
    session = session_after(*MAPPED)
    wrong = {"vma": 9, "memory": 9, "first": PAGE, "size": 9 * PAGE, "kind": 0xFF, "offset": 1}
    for right, reason in (
        ({}, NO_AREA), ({"vma": 0}, NO_STORE), ({"memory": 0}, "beyond the area"),
        ({"size": PAGE}, "something is mapped there"), ({"first": 0}, "something is mapped there"),
        ({"size": 4 * PAGE, "offset": 2 * LARGE}, "beyond the memory"), ({"offset": 1},
        "no such kind"), ({"kind": 0}, "no page size fits"), ({"offset": 0}, ""),
    ):  # fmt: skip
        wrong |= right
        assert session.promise.before(op("map_part", **wrong)).reason == reason


def test_an_allocation_that_is_made_to_fail_may_be_the_answer():
    session = session_after(*ON, GET)
    for call, sort, result in (
        (op("map", fail_at=1), LEGAL, NO_MEMORY), (op("map", fail_at=4), LEGAL, NO_MEMORY),
        (op("map", fail_at=1001), LEGAL, NO_MEMORY), (op("map", fail_at=1000), LEGAL, 0),
        (op("map", fail_at=1, memory=9), REFUSED, GONE),
    ):  # fmt: skip
        was = held(session)
        outcome = session.run(call)
        assert (outcome.sort, outcome.result.result) == (sort, result)
        assert list(outcome.violations) == []
        assert (held(session) == was) is (result != 0)


def test_what_no_chip_has_is_not_made():
    for args, can_be in (
        ({}, True), ({"chip": "gm200", "big": 17}, True), ({"replay": 1}, True),
        ({"big": 17}, False), ({"chip": "gk104", "replay": 1}, False),
    ):  # fmt: skip
        create = op("create", **args)
        assert possible(create, {}) is can_be
        session = SYSTEM.session(NvidiaTarget(), set())
        assert (session.run(create).sort == LEGAL) is can_be
        assert len(session.operations) == int(can_be)
    assert possible(GET, {})


# -- right sequences ----------------------------------------------------------------------------

PART_OF = op("map_part", first=PAGE, size=2 * PAGE)
RIGHT = {
    "areas": (
        *MAPPED, op("get", getref=1, shift=16, size=LARGE), op("map", vma=1), op("unmap", vma=1),
        HOST, op("map", vma=0, memory=1), PUT, op("drop", memory=1), op("put", vma=1), DROP,
    ),
    "small pages beside large ones": (
        *ON, op("get", getref=1, shift=16, size=MIDDLE), op("get", size=2 * PAGE),
        op("map", vma=1), op("map"), UNMAP, op("unmap", vma=1), op("put", vma=1), PUT,
    ),
    "sparse": (
        *ON, SPARSE, op("map_part", first=PAGE), op("map_part", first=2 * MIDDLE, size=MIDDLE),
        op("unmap", first=PAGE), op("unmap", first=2 * MIDDLE), PUT,
        op("get", sparse=1, getref=1, shift=12, size=3 * PAGE), op("map", vma=1),
        op("unmap", vma=1), op("put", vma=1),
    ),
    "lazy": (*LAZY, MAP, UNMAP, PART_OF, op("unmap", first=PAGE), PUT),
    "parts": (
        *ON, op("get", size=4 * PAGE), PART_OF, op("map_part"), op("unmap", first=PAGE),
        op("map_part", first=3 * PAGE), op("map_part", first=PAGE), PUT,
    ),
    "page by page": (
        *SHARED, op("pfn_map", size=8 * PAGE, pattern=0x5031), op("pfn_map", size=4 * PAGE),
        op("pfn_map", pattern=0), op("pfn_map", addr=PAGE), op("pfn_unmap", size=3 * PAGE),
        op("pfn_map", shift=21, addr=LARGE, size=LARGE), op("pfn_unmap", addr=LARGE, size=LARGE),
        op("pfn_map", addr=CLIENT - PAGE, size=2 * PAGE), op("get"), op("map", vma=2),
    ),
    "raw": (
        *RAW_MAPPED, op("raw_get", shift=16, size=2 * MIDDLE), op("raw_unmap", size=4 * PAGE),
        op("raw_map", shift=16, size=2 * MIDDLE), op("raw_put", size=4 * PAGE),
        op("raw_unmap", shift=16, addr=MIDDLE, size=MIDDLE), op("raw_get", addr=MIDDLE),
        op("raw_map", addr=MIDDLE), op("raw_sparse", addr=LARGE, size=LARGE),
        op("raw_get", addr=LARGE), op("raw_map", addr=LARGE),
        op("raw_unmap", addr=LARGE, sparse=1), op("raw_put", addr=LARGE),
        op("raw_sparse", addr=LARGE, size=LARGE, ref=0),
    ),
    "a BAR": (*BOOTED, GET, MAP, op("get", shift=16, size=MIDDLE), op("map", vma=1), UNMAP),
    "joined": (*MAPPED, JOIN, PUT, PART, JOIN, REPLAY),
    "joined gm200": (op("create", chip="gm200"), JOIN, MEMORY, SPARSE, op("map_part"), PUT),
    "out of memory": (
        *ON, SPARSE, *[op("map_part", size=MIDDLE, fail_at=1 + number) for number in range(4)],
        op("get", sparse=1, size=LARGE + PAGE, fail_at=2), UNMAP,
        *[op("map_part", first=MIDDLE, fail_at=1001 + number) for number in range(3)],
    ),
    "slow": (*MAPPED, SLOW, UNMAP, SLOW, MAP, PUT),
    "gf100": (GF100, MEMORY, GET, MAP, op("get", shift=17, size=LARGE), op("map", vma=1), UNMAP),
    "gk104": (
        op("create", chip="gk104"), MEMORY, op("get", getref=1, shift=16, size=MIDDLE), GET, MAP,
        op("map", vma=1), op("unmap", vma=1), op("put", vma=1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_sequence_breaks_no_rule(name):
    session = session_after(*RIGHT[name])
    assert not session.finish().violations
    assert session.tally.violated == session.tally.hits == session.tally.cut == {}
    assert all(one.misuse == 0 for one in session.tally.operations.values())


def test_the_right_sequences_give_every_rule_something_to_judge():
    checked = set()
    for operations in RIGHT.values():
        session = session_after(*operations)
        session.finish()
        checked |= {rule for rule, count in session.tally.checked.items() if count}
    assert checked == {rule.id for rule in NVIDIA}


# -- wrong targets ------------------------------------------------------------------------------


class Wrong(NvidiaTarget):
    """The reference driver, with the events or the result of one kind of operation spoiled.

    ``spoil`` is given events as lists (kind, words, place) to change, and the result; it gives
    the result. ``done``: what was performed since the last reset; ``resets``: how often that was.
    ``armed``: how many operations of that kind are still to be spoiled.
    """

    def __init__(self, kind, spoil, armed=1):
        self.kind, self.spoil, self.armed = kind, spoil, armed
        super().__init__(name="wrong")
        self.done, self.resets = [], 0
        self.places = ("", "spoil_it")

    def reset(self):
        super().reset()
        self.done, self.resets = [], getattr(self, "resets", 0) + 1

    def perform(self, operation, trace):
        self.done.append(operation)
        if operation.name != self.kind or not self.armed:
            return super().perform(operation, trace)
        self.armed -= 1
        seen = Trace()
        result = super().perform(operation, seen)
        events = [[e.kind, e.a, e.b, e.c, e.place] for e in seen]
        result = self.spoil(events, result)
        for kind, a, b, c, place in events:
            trace.emit(kind, to_signed(a), to_signed(b), to_signed(c), place=place)
        return result


def kind(*kinds):
    return lambda event: event[0] in kinds


def writes(register):
    return lambda event: event[:2] == [t.REG_WRITE, register]


REGISTERS = kind(t.REG_READ, t.REG_WRITE)
LOOKS = lambda event: event[:2] == [t.REG_READ, STATUS]  # noqa: E731
LINKS = lambda event: event[0] == t.STORE and event[3] & 0xFF == 2  # noqa: E731
LEAVES = lambda event: event[0] == t.STORE and event[3] & 1  # noqa: E731
CLEARS = lambda event: event[0] == t.STORE and event[3] == 0  # noqa: E731
ZEROS = lambda event: event[0] == t.STORE and event[3] == 8  # noqa: E731


def all_of(*spoils):
    def spoil(events, result):
        for one in spoils:
            result = one(events, result)
        return result

    return spoil


def _where(events, is_it, which=0):
    found = [number for number, event in enumerate(events) if is_it(event)]
    assert found, events
    return found[which]


def without(is_it, which=None):
    """Leave out an event, or all such."""

    def spoil(events, result):
        if which is None:
            assert any(map(is_it, events))
            events[:] = [event for event in events if not is_it(event)]
        else:
            del events[_where(events, is_it, which)]
        return result

    return spoil


def changed(is_it, word, change, which=0):
    """Change a word (1 to 3) of an event."""

    def spoil(events, result):
        event = events[_where(events, is_it, which)]
        event[word] = change(event[word])
        return result

    return spoil


def added(by):
    return lambda value: value + by


def becomes(value):
    return lambda _: value


def moved(is_it, is_there, which=0, there=0, behind=False):
    """An event comes right before (or behind) another."""

    def spoil(events, result):
        event = events.pop(_where(events, is_it, which))
        events.insert(_where(events, is_there, there) + behind, event)
        return result

    return spoil


def more(*added_events, before=None, place=0):
    """More events: before the first such, or at the end."""

    def spoil(events, result):
        where = len(events) if before is None else _where(events, before)
        events[where:where] = [[one[0], *(*one[1:], 0, 0, 0)[:3], place] for one in added_events]
        return result

    return spoil


def first(*added_events):
    """More events, before all others."""
    return more(*added_events, before=lambda event: True)


def gives(result):
    """Another result."""

    def spoil(events, given):
        return Result(result) if isinstance(result, int) else result

    return spoil


def stops(what, place=0):
    """Stop with an event of this kind."""

    def spoil(events, result):
        events[:] = [[what, 0, 0, 0, place]]
        return Result(0, 0, False)

    return spoil


ROOT = 0x8000_0000
"""The directories and tables for the first addresses lie in the pages behind it."""
BELOW = ROOT + PAGE
SPT = ROOT + 4 * PAGE
LPT = ROOT + 5 * PAGE
NOWHERE = 0x7000_0000

THREE = (*ON, op("get", size=3 * PAGE), MAP, op("get", size=2 * PAGE))
"""Area 1 is not mapped, and there are tables for it."""
NEW = op("map", vma=1)
ALONE = (*ON, GET)
"""There are no tables yet."""
FAR = (*ON, op("get", size=8 * LARGE), op("map_part"), op("map_part", first=6 * LARGE))
STALE = "unmap, SPT entry that shrank not invalidated: mapped for nothing"
MARKED = "map, LPT entry that marked not invalidated: nothing for mapped"
ZEROED = (*ON, SPARSE, op("map_part", first=PAGE))
BESIDE = (
    *ON, op("get", getref=1, shift=16, size=MIDDLE), GET, op("map", vma=1), op("get", align=16),
)  # fmt: skip
"""There are both tables for areas 1 and 2, and nothing is mapped in the large entry for area 2."""
INSIDE = (RAW, MEMORY, op("raw_get", shift=16, size=MIDDLE), RAW_GET)
"""Small pages are referenced in a large one that is referenced, too."""
CROWDED = (RAW, *[op("raw_get", size=16 * PAGE)] * 3)
FAILING = op("map", vma=1, fail_at=1)
APART = (*THREE[:-1], op("get", size=2 * PAGE, align=21))
"""There is no table of pages for area 1."""

WRONG = {
    # rule, signature: before, operation, how it is spoiled
    ("OR-1", "map, SPT, a table with entries that nobody wrote"): (
        ALONE, MAP, without(kind(t.FILL), -1),
    ),
    ("OR-1", "map, PD2, a table with entries that nobody wrote"): (
        ALONE, MAP, without(kind(t.FILL), 0),
    ),
    ("OR-1", "map, SPT, memory that is no table"): (
        ALONE, MAP, changed(LINKS, 3, added(0x10_0000), -1),
    ),
    ("OR-1", "map, SPT, a table that is too short"): (
        ALONE, MAP, all_of(
            changed(kind(t.ALLOC), 2, becomes(0x800), -1),
            changed(kind(t.FILL), 2, becomes(0x800), -1),
        ),
    ),
    ("OR-1", "map, PD1, a table that is linked already"): (
        THREE, NEW, more((t.STORE, BELOW + 8, 0, 0x800_0202)),
    ),
    ("OR-1", "map, SPT, memory that is a table already"): (
        THREE, NEW, more((t.ALLOC, SPT, PAGE)),
    ),
    ("TL-2", "map, SPT freed, memory still leads to it"): (
        THREE, NEW, more((t.FREE, SPT, PAGE)),
    ),
    ("TL-2", "put, PD2 freed, an entry that leads to it may be cached"): (
        THREE, PUT, moved(kind(t.FREE), writes(START)),
    ),
    ("TL-2", "map, PD3 freed, something is linked in it, or not invalidated"): (
        THREE, NEW, more((t.FREE, ROOT, 0x20)),
    ),
    ("OR-30", "pfn_unmap, invalidation started while another one is under way"): (
        PAGES, op("pfn_unmap", size=PAGE), all_of(
            without(LOOKS, 1), changed(LOOKS, 2, becomes(0xFF_0000), 1),
            without(writes(SELECT), 1), without(writes(SELECT + 0x34), 1),
        ),
    ),
    ("OR-30", "map, invalidation started and its address space replaced while it is under way"): (
        THREE, NEW, all_of(without(LOOKS, -1), more(
            (t.REG_WRITE, SELECT, ROOT >> 8), (t.REG_READ, STATUS, 0xFF_8000),
        )),
    ),
    ("OR-30", "map, invalidation started without a free slot"): (ALONE, MAP, without(LOOKS, 0)),
    ("OR-30", "map, invalidation started for another address space"): (
        THREE, NEW, changed(writes(SELECT), 2, added(0x10)),
    ),
    ("OR-30", "map, invalidation started for no address space"): (
        ALONE, MAP, without(writes(SELECT)),
    ),
    ("OR-30", "map, invalidation started that does not cover everything"): (
        THREE, NEW, changed(writes(START), 2, added(HUB_ONLY)),
    ),
    ("OR-4", "map, invalidation before stores are visible"): (
        THREE, NEW, moved(kind(t.BARRIER), writes(START), behind=True),
    ),
    ("OR-31", "pfn_unmap, page taken away too early"): (
        PAGES, PFN_UNMAP, moved(kind(t.DMA_UNMAP), kind(t.STORE)),
    ),
    ("OR-31", "put, page taken away too early"): (
        (*THREE, DROP), PUT, moved(kind(t.REFS), kind(t.STORE)),
    ),
    ("RC-3", "map, store to memory that is no table"): (
        THREE, NEW, more((t.STORE, NOWHERE, 0, 5)),
    ),
    ("RC-3", "put, store to a table that was freed, in spoil_it"): (
        THREE, PUT, more((t.STORE, SPT, 0, 5), place=1),
    ),
    ("RC-2", "map, freed what is no table"): (THREE, NEW, more((t.FREE, NOWHERE, PAGE))),
    ("TL-1", STALE): (
        (*THREE, NEW), UNMAP, without(REGISTERS),
    ),
    ("TL-1", "map, SPT entry that grew not invalidated: nothing for mapped"): (
        THREE, NEW, without(REGISTERS),
    ),
    ("TL-1", "map, SPT entry that replaced not invalidated: mapped for mapped"): (
        THREE, op("map", offset=LARGE), without(REGISTERS),
    ),
    ("TL-1", MARKED): (
        BESIDE, op("map", vma=2), without(REGISTERS),
    ),
    ("TL-1", "get, PD0 entry that grew not invalidated: nothing for sparse"): (
        (*ALONE, MAP), op("get", sparse=1, size=LARGE, align=21), without(REGISTERS),
    ),
    ("ER-1", "map, legal, returned EINVAL"): (THREE, NEW, gives(INVALID)),
    ("ER-1", "map, legal, returned ENOMEM"): (THREE, NEW, gives(NO_MEMORY)),
    ("ER-1", "put, refused (no such area), returned success"): (
        THREE, op("put", vma=7), gives(0),
    ),
    ("ER-1", "get, refused (no room), returned EINVAL"): (
        THREE, op("get", size=BEYOND), gives(INVALID),
    ),
    ("ER-1", "raw_get, refused (no pages), returned success"): (
        RAW_ON, op("raw_get", size=0), gives(0),
    ),
    ("ER-2", "map, ENOMEM, translations changed"): (
        APART, FAILING, more((t.STORE, SPT, 0, 0)),
    ),
    ("ER-2", "map, ENOMEM, areas changed"): (
        APART, FAILING, more((VMA_REMOVE, 0, 3 * PAGE - 1, 0)),
    ),
    ("ER-2", "map, ENOENT, references of memory changed"): (
        THREE, op("map", vma=9), more((t.REFS, t.REFS_BUFFER, 0, 7)),
    ),
    ("ER-2", "map, ENOMEM, references of tables changed"): (
        APART, FAILING, more((PT_REFS, 1, 7, 0)),
    ),
    ("ER-30", "pfn_map, fewer pages refused than have to be"): (
        PAGES, op("pfn_map", shift=21, size=1 << 21), gives(Result(0, 0)),
    ),
    ("ER-30", "pfn_map, pages done outside of an area for pages"): (
        SHARED, op("pfn_map", addr=CLIENT - PAGE, size=3 * PAGE), gives(Result(0, 0)),
    ),
    ("ER-30", "pfn_map, more pages refused than have to be"): (
        SHARED, PFN_MAP, gives(Result(0, 1)),
    ),
    ("SP-32", "get, not the best fit"): (THREE, GET, gives(Result(0, 9 * PAGE))),
    ("TR-1", "map, SPT, other memory"): (THREE, NEW, changed(LEAVES, 3, added(0x100))),
    ("TR-1", "map, SPT, nothing for mapped"): (THREE, NEW, without(LEAVES)),
    ("TR-1", "unmap, SPT, mapped for nothing"): (
        (*THREE, NEW), UNMAP, without(CLEARS, 1),
    ),
    ("TR-30", "get, PD0, nothing for sparse"): (ON, SPARSE, without(ZEROS)),
    ("TR-30", "unmap, SPT, nothing for sparse"): (
        (*ZEROED, op("map_part", first=3 * PAGE)), op("unmap", first=PAGE),
        changed(ZEROS, 3, becomes(0)),
    ),
    ("TR-30", "put, PD0, sparse for nothing"): (
        (*ON, SPARSE, op("get", size=LARGE), op("map", vma=1)), PUT, without(CLEARS),
    ),
    ("TR-30", "map, SPT, sparse for mapped"): (THREE, NEW, changed(LEAVES, 3, becomes(8))),
    ("TR-2", "map, SPT, other access"): (THREE, NEW, changed(LEAVES, 3, added(0x40))),
    ("TR-2", "pfn_map, SPT, other access"): (SHARED, PFN_MAP, changed(LEAVES, 3, added(0x80))),
    ("TR-31", "join, instance block does not lead to the root"): (
        ON, JOIN, changed(kind(t.STORE), 3, added(PAGE)),
    ),
    ("NB-1", "beside, SPT, nothing for mapped"): (
        THREE, NEW, first((t.STORE, SPT, 0, 0)),
    ),
    ("NB-1", "beside, SPT, mapped for nothing"): (
        (*THREE, NEW), PUT, first((t.STORE, SPT + 9 * 8, 0, 0x400_0001)),
    ),
    ("IS-30", "elsewhere, SPT, nothing for mapped"): (
        FAR, op("map_part", first=PAGE), first((t.STORE, ROOT + 5 * PAGE, 0, 0)),
    ),
    ("SP-30", "map, parts do not tile the area"): (THREE, NEW, without(kind(VMA_ADD))),
    ("SP-30", "map, area in use that was not handed out"): (
        THREE, NEW, more((VMA_ADD, LARGE, LARGE + PAGE - 1, 7)),
    ),
    ("SP-30", "map_part, part that is an area of its own"): (
        FAR, op("map_part", first=LARGE), changed(kind(VMA_ADD), 3, added(-16), 1),
    ),
    ("SP-30", "map, first part is no area"): (
        THREE, NEW, changed(kind(VMA_ADD), 3, added(16)),
    ),
    ("SP-30", "map, parts say less mapped than promised"): (
        THREE, NEW, changed(kind(VMA_ADD), 3, added(-8)),
    ),
    ("SP-30", "unmap, parts say more mapped than promised"): (
        (*THREE, NEW), UNMAP, changed(kind(VMA_ADD), 3, added(8)),
    ),
    ("SP-30", "map, parts say another page size than promised"): (
        THREE, NEW, changed(kind(VMA_ADD), 3, added(1)),
    ),
    ("SP-30", "unmap, part that is not mapped has the wrong references"): (
        (*THREE, NEW), UNMAP, changed(kind(VMA_ADD), 3, added(-2)),
    ),
    ("SP-31", "map, count of small pages in a large entry too high"): (
        THREE, NEW, changed(kind(PT_STATE), 3, added(1)),
    ),
    ("SP-31", "map, count of small pages in a large entry too low"): (
        THREE, NEW, changed(kind(PT_STATE), 3, added(-1)),
    ),
    ("SP-31", "raw_get, count of small pages in a large entry overflows"): (
        CROWDED, op("raw_get", size=16 * PAGE), changed(kind(PT_STATE), 3, becomes(0)),
    ),
    ("SP-31", "raw_get, large entry not left to its small pages"): (
        INSIDE[:-1], RAW_GET, changed(kind(PT_STATE), 3, added(-STATE_SMALL)),
    ),
    ("SP-31", "raw_put, large entry left to small pages there are not"): (
        INSIDE, RAW_PUT, changed(kind(PT_STATE), 3, added(STATE_SMALL)),
    ),
    ("SP-31", "map, large entry noted as sparse"): (
        THREE, NEW, changed(kind(PT_STATE), 3, added(STATE_SPARSE)),
    ),
    ("RC-4", "map, table of pages, too many references"): (
        THREE, NEW, changed(kind(PT_REFS), 3, added(1)),
    ),
    ("RC-4", "map, table of pages, too few references"): (
        THREE, NEW, changed(kind(PT_REFS), 3, added(-1)),
    ),
    ("RC-4", "map, directory, too few references"): (
        ALONE, MAP, changed(kind(PT_REFS), 2, added(-1), 0),
    ),
    ("RC-1", "put, tables lost"): (THREE, PUT, without(kind(t.FREE), -1)),
    ("RC-1", "create, tables lost"): (
        NONE, op("create", fail_at=1003), without(kind(t.FREE)),
    ),
    ("RC-1", "destroy, tables lost"): (ON, DESTROY, without(kind(t.FREE))),
    ("RC-30", "map, memory, too many references"): (
        THREE, NEW, changed(kind(t.REFS), 3, added(1)),
    ),
    ("RC-30", "unmap, memory, too few references"): (
        (*THREE, NEW), UNMAP, changed(kind(t.REFS), 3, added(-1)),
    ),
    ("RC-31", "pfn_unmap, page is never taken away"): (
        PAGES, PFN_UNMAP, without(kind(t.DMA_UNMAP)),
    ),
    ("RC-31", "pfn_map, page is mapped, and not let at"): (
        SHARED, PFN_MAP, without(kind(t.DMA_MAP)),
    ),
    ("PG-1", "map, legal, did not return"): (THREE, NEW, stops(t.HANG)),
    ("PG-1", "put, refused, did not return, in spoil_it"): (
        THREE, op("put", vma=7), stops(t.HANG, 1),
    ),
    ("PG-2", "map, legal, crashed"): (THREE, NEW, stops(t.CRASH)),
    ("PG-2", "raw_get, refused, stopped at a BUG"): (
        RAW_ON, op("raw_get", size=0), stops(t.BUG),
    ),
    ("PG-3", "map, legal, warning"): (THREE, NEW, more((t.WARN,))),
    ("PG-3", "put, refused, warning, in spoil_it"): (
        THREE, op("put", vma=7), more((t.WARN,), place=1),
    ),
}  # fmt: skip


def wrong_session(identity, muted=frozenset()):
    """A session before the operation that breaks a rule, and that operation."""
    before, operation, spoil = WRONG[identity]
    target = Wrong(operation.name, spoil, armed=0)
    session = session_after(*before, target=target)
    session.muted = None if muted is None else set(muted)
    target.armed = 1
    return session, operation


@pytest.mark.parametrize("identity", WRONG, ids=" ".join)
def test_a_wrong_target_is_found_by_its_rule_alone_and_named(identity):
    session, operation = wrong_session(identity)
    outcome = session.run(operation)
    assert [one.identity for one in outcome.violations] == [identity]
    assert outcome.fresh == outcome.violations
    assert session.tally.hits == {" ".join(identity): 1}
    (violation,) = outcome.violations
    assert violation.message.endswith(".")
    assert violation.label == ""
    assert 0 <= violation.event < len(session.trace)
    # Nothing that is different every time: no address, no number but that of a directory.
    assert not re.search(r"\d", re.sub(r"PD\d ?", "", identity[1]))


def test_every_rule_has_a_wrong_target():
    assert {rule for rule, _ in WRONG} == {rule.id for rule in NVIDIA}


def test_causes_are_told_before_what_follows_from_them():
    spoil = all_of(
        changed(kind(PT_REFS), 3, added(1)), without(REGISTERS), more((t.WARN,)),
        changed(kind(t.REFS), 3, added(1)), changed(kind(VMA_ADD), 3, added(16)),
    )  # fmt: skip
    session = session_after(*THREE, NEW, target=Wrong("unmap", spoil))
    found = [one.rule for one in session.run(UNMAP).violations]
    assert found == ["TL-1", "SP-30", "RC-4", "RC-30", "PG-3"]
    order = [rule.id for rule in NVIDIA]
    assert found == sorted(found, key=order.index)


def test_after_what_corrupts_nothing_else_is_judged():
    spoil = all_of(changed(LINKS, 3, added(0x10_0000), -1), changed(kind(t.REFS), 3, added(1)))
    session = session_after(*ALONE, target=Wrong("map", spoil))
    assert [one.rule for one in session.run(MAP).violations] == ["OR-1"]


def test_after_a_crash_only_that_is_judged():
    spoil = all_of(changed(kind(t.REFS), 3, added(1)), more((t.CRASH,)), gives(Result(0, 0, False)))
    session = session_after(*ALONE, target=Wrong("map", spoil))
    assert [one.rule for one in session.run(MAP).violations] == ["PG-2"]


def test_a_call_without_an_end_that_says_nothing_did_not_return():
    session = session_after(*ALONE, target=Wrong("map", gives(Result(0, 0, False))))
    assert [one.rule for one in session.run(MAP).violations] == ["PG-1"]


@pytest.mark.parametrize("number", [4096, -4096, 7, -(1 << 40)])
def test_a_result_that_is_no_errno_does_not_get_into_the_signature(number):
    session = session_after(*ALONE, target=Wrong("map", gives(number)))
    (violation,) = session.run(MAP).violations
    assert violation.identity == ("ER-1", "map, legal, returned no errno")
    assert str(number) in violation.message + violation.observed


ELSEWHERE = (
    # What holds of the events of any map of small pages, whichever and wherever.
    "map, SPT entry that grew not invalidated: nothing for mapped",
    "map, invalidation before stores are visible",
    "map, invalidation started that does not cover everything",
    "map, SPT, other memory", "map, SPT, nothing for mapped", "map, legal, returned EINVAL",
    "map, parts do not tile the area", "map, parts say less mapped than promised",
    "map, count of small pages in a large entry too high",
    "map, table of pages, too few references", "map, memory, too many references",
    "map, legal, crashed",
)  # fmt: skip
OTHERS = {
    "in another directory": (
        CREATE, op("memory"), op("get", size=1 << 39, align=39), MEMORY,
        op("get", size=3 * PAGE, align=38), op("map", vma=1, memory=1), op("get", size=9 * PAGE),
    ),
    "in the driver's part": (
        MANAGED, HOST, MEMORY, op("get", size=7 * PAGE), op("map", vma=2, memory=1),
        op("get", size=PAGE),
    ),
    "in another form": (
        op("create", chip="gk104"), MEMORY, op("get", size=3 * PAGE), MAP, JOIN,
        op("get", size=2 * PAGE),
    ),
}  # fmt: skip


@pytest.mark.parametrize("where", OTHERS)
@pytest.mark.parametrize("identity", [one for one in WRONG if one[1] in ELSEWHERE], ids=" ".join)
def test_the_signature_is_the_same_wherever_it_happens(identity, where):
    _, operation, spoil = WRONG[identity]
    target = Wrong("map", spoil, armed=0)
    session = session_after(*OTHERS[where], target=target)
    target.armed = 1
    again = op(
        "map",
        vma=session.promise.state.area_count - 1,
        memory=len(session.promise.state.memories) - 1,
    )
    assert operation.name == again.name
    assert [one.identity for one in session.run(again).violations] == [identity]


# -- after a violation --------------------------------------------------------------------------

AFTER = (
    GET, op("get", size=LARGE), MEMORY, JOIN, op("get", sparse=1, shift=21, size=LARGE), PART,
    op("memory", target=1),
)  # fmt: skip


@pytest.mark.parametrize("identity", WRONG, ids=" ".join)
def test_after_a_violation_the_example_goes_on_and_is_judged_rightly(identity):
    session, operation = wrong_session(identity)
    was = held(session)
    before, target, results = list(session.operations), session.target, list(session.results)
    steps = session.tally.steps
    assert session.run(operation).violations
    # What was before is done again, on a target that knows nothing, and is told once.
    assert target.resets == 2
    assert target.done == before
    assert session.operations == [*before, operation]
    assert session.results[:-1] == results
    assert session.tally.steps == steps + 1
    assert held(session) == was
    violated = dict(session.tally.violated)
    for one in (operation, *AFTER):
        outcome = session.run(one)
        assert [found.identity for found in outcome.violations] == [], one
    assert not session.finish().violations
    assert not session.ended
    assert session.tally.violated == violated
    assert session.tally.cut == {}


def test_what_was_undone_is_not_done_again():
    session = session_after(*ALONE, target=Wrong("map", gives(INVALID), 2))
    assert session.run(MAP).violations
    assert session.run(MAP).violations
    assert not session.run(MAP).violations
    assert session.target.done == [*ALONE, MAP]
    assert session.operations == [*ALONE, MAP, MAP, MAP]
    assert session.tally.operations["map"].count == 3
    assert mappings(session) == [(0, 0, 0x4_0000)]


def test_the_trace_is_of_what_was_done_and_not_of_what_was_done_again():
    session = session_after(*ALONE, target=Wrong("map", gives(INVALID)))
    before = len(session.trace)
    session.run(MAP)
    kinds = [word & 0xFFFF for word in session.trace.words[before * WORDS :: WORDS]]
    assert (kinds.count(t.BEGIN), kinds.count(t.REG_WRITE)) == (1, 3)


def test_where_doing_it_again_fails_too_the_example_ends_and_is_counted():
    session = session_after(*THREE, target=Wrong("map", stops(t.CRASH), 0))
    session.target.armed = 99
    outcome = session.run(NEW)
    assert [one.rule for one in outcome.fresh] == ["PG-2"]
    assert session.ended
    assert session.tally.cut == {"PG-2 map, legal, crashed": 1}
    assert session.finish() is None


@pytest.mark.parametrize("spoil", [stops(t.CRASH), stops(t.HANG), gives(INVALID)])
def test_without_an_address_space_memories_are_what_is_left(spoil):
    session = SYSTEM.session(Wrong("create", spoil, 2), set())
    assert session.run(CREATE).fresh
    assert not session.run(MEMORY).violations
    # What needs one has a default made, which is wrong in the same way, and is not done.
    assert session.run(GET).fresh
    assert session.operations == [CREATE, MEMORY, op("create")]
    assert not session.finish().violations
    assert not any(one.owned for one in session.promise.state.memories)


def test_what_is_muted_is_counted_and_not_fresh():
    identity = ("TL-1", "map, SPT entry that grew not invalidated: nothing for mapped")
    session, operation = wrong_session(identity, {identity})
    outcome = session.run(operation)
    assert [one.identity for one in outcome.violations] == [identity]
    assert not outcome.fresh
    assert session.tally.hits == {" ".join(identity): 1}
    everything, operation = wrong_session(identity, None)
    assert not everything.run(operation).fresh


def test_frozen_it_stays_as_it_is_when_the_rule_is_broken():
    identity = ("TR-1", "map, SPT, other memory")
    session, operation = wrong_session(identity)
    session.frozen_on = identity
    outcome = session.run(operation)
    assert [one.identity for one in outcome.violations] == [identity]
    assert session.ended
    assert session.target.resets == 1
    assert mappings(session) == [(0, 2, 0x4_0000), (3, 4, 0x4_0000)]
    assert session.finish() is None
    other, operation = wrong_session(identity)
    other.frozen_on = ("TR-1", "map, SPT, nothing for mapped")
    other.run(operation)
    assert not other.ended


# -- misuse -------------------------------------------------------------------------------------

HALF = op("get", size=0x1800)


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (more((t.STORE, NOWHERE, 0, 5)), "RC-3"), (more((t.FREE, NOWHERE, PAGE)), "RC-2"),
        (more((t.STORE, BELOW + 8, 0, 0x4444_0002)), "OR-1"), (stops(t.HANG), "PG-1"),
        (stops(t.CRASH), "PG-2"),
    ],
)  # fmt: skip
def test_of_a_misuse_memory_safety_and_progress_are_judged_and_labelled(spoil, rule):
    session = session_after(*THREE, target=Wrong("get", spoil, 0))
    session.target.armed = 1
    was = held(session)
    outcome = session.run(HALF)
    assert [(one.rule, one.label) for one in outcome.fresh] == [(rule, "misuse")]
    assert held(session) == was
    assert not session.run(NEW).violations


@pytest.mark.parametrize(
    "spoil", [more((t.WARN,)), gives(NO_MEMORY), without(kind(VMA_ADD)), gives(Result(0, LARGE))]
)
def test_what_else_comes_of_a_misuse_is_not_judged_and_leaves_nothing(spoil):
    # The reference refuses it: so what a driver may do is done in its place.
    class Lenient(Wrong):
        def perform(self, operation, trace):
            return super().perform(GET if operation == HALF else operation, trace)

    session = session_after(*THREE, target=Lenient("get", spoil, 0))
    session.target.armed = 1
    was = held(session)
    outcome = session.run(HALF)
    assert (outcome.sort, list(outcome.violations)) == (MISUSE, [])
    assert held(session) == was
    assert not session.run(NEW).violations
    assert not session.finish().violations


# -- a device that does not do its part ---------------------------------------------------------

KEPT = {
    # What the device may still use is not given back, or it is: both are let pass.
    "tables": (THREE, PUT, kind(t.FREE)),
    "memory": ((*THREE, NEW), UNMAP, kind(t.REFS)),
    "pages": (PAGES, PFN_UNMAP, kind(t.DMA_UNMAP)),
}
NEW_TABLE = op("get", getref=1, shift=12, align=21)
"""Something for which there has to be an invalidation."""


def kept(name, target=None):
    """A session in which something was given back while the device was stuck."""
    before, operation, _ = KEPT[name]
    session = session_after(*before, STUCK, operation, target=target)
    assert session.promise.state.kept
    return session


@pytest.mark.parametrize("name", KEPT)
def test_what_a_stuck_device_keeps_is_not_held_against_the_driver(name):
    session = kept(name)
    begin = len(session.trace)
    assert not session.run(WORKING).violations
    assert session.promise.state.kept
    # The next invalidation is completed, and the driver lets go of what it kept.
    assert not session.run(NEW_TABLE).violations
    assert not session.promise.state.kept
    let_go = [event for event in list(session.trace)[begin:] if KEPT[name][2]([event.kind])]
    assert let_go
    assert not session.finish().violations


@pytest.mark.parametrize("name", KEPT)
def test_faults_that_are_replayed_are_no_occasion_to_let_go(name):
    session = kept(name)
    assert not session.run(WORKING).violations
    # It invalidates all address spaces, but for another reason.
    assert not session.run(op("replay")).violations
    assert session.promise.state.kept
    assert not session.finish().violations


@pytest.mark.parametrize("name", KEPT)
def test_a_driver_may_let_go_of_it_at_once(name):
    _, operation, is_let_go = KEPT[name]
    working = session_after(*KEPT[name][0])
    begin = len(working.trace)
    working.run(operation)
    events = [
        (event.kind, event.a, event.b, event.c)
        for event in list(working.trace)[begin:]
        if is_let_go([event.kind])
    ]
    assert events
    target = Wrong(operation.name, more(*events), armed=1)
    session = session_after(*KEPT[name][0], STUCK, target=target)
    assert [one.identity for one in session.run(operation).violations] == []


@pytest.mark.parametrize(
    ("name", "rule"), [("tables", "RC-1"), ("memory", "RC-30"), ("pages", "RC-31")]
)
def test_once_an_invalidation_was_completed_it_has_to_be_let_go(name, rule):
    # Nobody is told that what was kept goes.
    session = kept(name, Wrong("get", without(KEPT[name][2]), 0))
    session.run(WORKING)
    session.target.armed = 1
    found = session.run(NEW_TABLE).violations
    assert [one.rule for one in found] == [rule]


def test_while_the_device_is_stuck_only_what_it_prevents_is_let_pass():
    spoil = all_of(more((t.WARN,)), changed(LEAVES, 3, added(0x100)))
    session = session_after(*THREE, STUCK, target=Wrong("map", spoil, 0))
    session.target.armed = 1
    assert [one.rule for one in session.run(NEW).violations] == ["TR-1"]
    quiet = session_after(*THREE, STUCK, target=Wrong("map", more((t.WARN,)), 0))
    quiet.target.armed = 1
    assert not quiet.run(NEW).violations
    patient = session_after(*THREE, SLOW, target=Wrong("map", more((t.WARN,)), 0))
    patient.target.armed = 1
    assert [one.rule for one in patient.run(NEW).violations] == ["PG-3"]


def test_what_was_kept_when_its_address_space_went_is_kept_for_good():
    session = session_after(*THREE, STUCK, PUT, DESTROY, WORKING)
    assert (session.promise.state.kept, session.promise.state.abandoned) == (True, True)
    for operation in (CREATE, op("get"), op("map", vma=2), op("unmap", vma=2)):
        assert not session.run(operation).violations
    assert session.promise.state.kept
    assert not session.finish().violations


# -- what changed -------------------------------------------------------------------------------


def test_what_a_step_changed_is_told():
    session = SYSTEM.session(NvidiaTarget(), set())
    for operation, changes in (
        (CREATE, True), (MEMORY, True), (op("memory", size=1), False), (GET, True),
        (op("get", size=0), False), (MAP, True), (MAP, True), (op("map", vma=3), False),
        (UNMAP, True), (UNMAP, False), (op("map", fail_at=1001), False), (PFN_UNMAP, False),
        (JOIN, True), (JOIN, False), (PART, True), (REPLAY, True), (BOOT, False), (STUCK, True),
        (WORKING, True), (PUT, True), (DROP, True), (DROP, False), (DESTROY, True),
    ):  # fmt: skip
        outcome = session.run(operation)
        assert not outcome.violations
        assert outcome.changed is changes, operation


# -- the life of an address space ---------------------------------------------------------------


@pytest.mark.parametrize("chip", CHIPS)
def test_a_first_operation_without_create_makes_the_last_chip_of_the_target(chip):
    target = make_target(f"python:conformance.systems.nvidia.targets:{chip}", system="nvidia")
    session = session_after(GET, target=target)
    assert session.promise.state.chip == chip
    assert session.operations == [op("create", chip=chip), GET]
    two = session_after(GET, target=NvidiaTarget(chips=(chip, "gk104")))
    assert two.promise.state.chip == "gk104"


def test_a_second_create_is_not_done():
    session = session_after(*ON)
    outcome = session.run(RAW)
    assert (outcome.sort, outcome.changed, len(session.operations)) == (MISUSE, False, 2)
    assert not session.promise.state.raw


def test_after_its_end_an_address_space_has_to_be_made_again():
    session = session_after(*MAPPED, DESTROY)
    assert session.run(GET).sort == MISUSE
    assert session.operations == [*MAPPED, DESTROY]
    assert not session.run(RAW).violations
    # Numbers of areas go on.
    assert (session.promise.state.raw, list(session.promise.state.areas)) == (True, [1, 2])


ENDS = {
    "nothing": ((), []),
    "memories": ((MEMORY, HOST), ["drop", "drop"]),
    "areas": ((*MAPPED, JOIN), ["destroy", "drop"]),
    "pages": (PAGES, ["destroy", "drop"]),
    "booted": ((*BOOTED, GET), ["destroy", "drop"]),
    "raw": (
        (*RAW_MAPPED, RAW_GET, op("raw_sparse", addr=LARGE, size=LARGE)),
        ["raw_unmap", "raw_put", "raw_put", "raw_put", "raw_sparse", "destroy", "drop"],
    ),
    "mapped in what is sparse": (
        (*RAW_ON, RAW_SPARSE, RAW_GET, RAW_MAP),
        ["raw_unmap", "raw_put", "raw_sparse", "destroy", "drop"],
    ),
    "stuck": ((*MAPPED, STUCK), ["stick", "destroy", "drop"]),
    "gone": ((*MAPPED, DESTROY), ["drop"]),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_the_end_of_an_example_gives_everything_back(name):
    before, names = ENDS[name]
    session = session_after(*before)
    outcome = session.finish()
    assert outcome is None or not outcome.violations
    assert [one.name for one in session.operations[len(before) :]] == names
    state = session.promise.state
    assert (state.exists, state.areas, state.regions, state.raw_parts) == (False, {}, [], [])
    assert all(one.runs == [] for one in state.raw_holds)
    assert [(one.owned, one.told) for one in state.memories] == [(False, 0)] * len(state.memories)
    assert state.mmu is None or not state.mmu.memory.tables
    assert (state.told_areas, state.told_tables, state.dma) == ({}, {}, {})


@pytest.mark.parametrize(
    ("name", "spoil", "identity"),
    [
        ("destroy", without(kind(t.FREE), -1), ("RC-1", "destroy, tables lost")),
        (
            "drop",
            changed(kind(t.REFS), 3, added(1)),
            ("RC-30", "drop, memory, too many references"),
        ),
        ("raw_put", without(kind(t.FREE), -1), ("RC-1", "raw_put, tables lost")),
    ],
)
def test_what_is_wrong_at_the_end_is_told_and_ends_it(name, spoil, identity):
    session = session_after(*HELD, target=Wrong(name, spoil))
    assert [one.identity for one in session.finish().fresh] == [identity]
    muted = session_after(*HELD, target=Wrong(name, spoil))
    muted.muted = {identity}
    assert [one.identity for one in muted.finish().violations] == [identity]


# -- what is told of it -------------------------------------------------------------------------


def told_of(identity):
    """The counterexample of a wrong target."""
    return told(*WRONG[identity], identity)


def told(before, operation, spoil, identity):
    """The counterexample of a target that is wrong in the last of these operations."""
    operations = [*before, operation]

    class Again(Wrong):
        """Spoils the last of its kind, in every example."""

        def reset(self):
            super().reset()
            self.left = [one.name for one in operations].count(operation.name)

        def perform(self, one, trace):
            if one.name == operation.name:
                self.left -= 1
                self.armed = int(self.left == 0)
            return super().perform(one, trace)

    target = Again(operation.name, spoil)
    return counterexample_of(SYSTEM, target, operations, identity, 5)


@pytest.mark.parametrize("identity", WRONG, ids=" ".join)
def test_every_violation_can_be_told(identity):
    told = told_of(identity)
    assert (told.rule, told.signature) == identity
    text = terminal.tell(told, vocabulary=SYSTEM.vocabulary)
    assert identity[0] in text
    assert told.views.message.split()[0] in text


def test_the_views_of_a_counterexample():
    views = told_of(("TR-1", "map, SPT, other memory")).views
    pa = 0x4000_0000
    assert views.iova == 3 * PAGE
    assert views.window[0] == 0
    assert views.window[1] >= 5 * PAGE - 1
    # A promise says nothing of page sizes.
    assert list(views.promise_before) == [Segment(0, 3 * PAGE - 1, pa, "vram", 3 * PAGE)]
    assert list(views.hardware_before) == [Segment(0, 3 * PAGE - 1, pa, "vram", PAGE)]
    assert [(one.first // PAGE, one.pa) for one in views.promise_after] == [(0, pa), (3, pa)]
    assert [(one.first // PAGE, one.pa) for one in views.hardware_after] == [
        (0, pa), (3, pa + PAGE), (4, pa + PAGE),
    ]  # fmt: skip
    assert [one.access for one in views.driver_before] == ["area 0 mapped", "area 1"]
    assert [one.access for one in views.driver_after] == ["area 0 mapped", "area 1 mapped"]
    assert (views.walk[-1].word, views.walk[-1].kind) == (0x400_0101, "leaf")


def test_what_is_about_no_address_has_no_window():
    spoil = changed(kind(t.REFS), 3, added(1))
    found = told(
        (op("create"), MEMORY), DROP, spoil, ("RC-30", "drop, memory, too many references")
    )
    assert (found.views.iova, found.views.window) == (None, None)
    assert "The addresses before" not in terminal.tell(found, vocabulary=SYSTEM.vocabulary)


def test_what_is_stale_is_shown():
    views = told_of(("TL-1", STALE)).views
    (stale,) = views.stale
    assert (stale.first, stale.last, stale.word) == (0, PAGE - 1, 0x400_0001)
    assert "SPT" in stale.text
    assert [one.first // PAGE for one in views.hardware_after] == [3]


def test_a_large_entry_is_shown_before_the_small_one():
    views = told_of(("TL-1", MARKED)).views
    assert [(one.level, one.kind) for one in views.walk[-2:]] == [(4, "invalid"), (5, "leaf")]


def test_what_was_never_made_can_be_told_of():
    views = NvidiaViews(SYSTEM.session(NvidiaTarget(), set()), [CREATE])
    assert views._look() == ((), (), ())
