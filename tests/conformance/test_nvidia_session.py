"""One example of an NVIDIA address space: how calls are sorted, what is judged, how it goes on."""

import ast
import errno
import inspect
import re

import pytest

from conformance.machines import nvidia_session
from conformance.machines.nvidia_session import SPECS, NvidiaSession, possible
from conformance.machines.nvidia_views import NvidiaViews
from conformance.rules.nvidia import NVIDIA
from conformance.rules.rule import LEGAL, MISUSE, REFUSED
from conformance.systems import SYSTEMS
from conformance.targets.protocol import Result
from conformance.targets.reference_nvidia import CHIPS, NvidiaTarget
from conformance.targets.registry import make_target
from conformance.witness import counterexample_of
from reference import trace as t
from reference.hardware.nvidia_mmu import ALL_PDB, HUB_ONLY, SELECT, START, STATUS
from reference.trace import WORDS, Trace
from reference.words import to_signed, to_unsigned
from reports import terminal
from reports.counterexample import Segment
from reports.operations import from_json

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
    session = NvidiaSession(target or NvidiaTarget(), set())
    for operation in operations:
        outcome = session.run(operation)
        assert [one.identity for one in outcome.violations] == [], operation
    return session


def held(session):
    """All that is promised and told, as something that can be compared."""
    state = session.state
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
    pieces = session.state.promise.pieces(0, session.state.limit() - 1)
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
OVER_BOOTED = "misuse: a page of a directory, where all small tables are held"
ASKEW = "misuse: not whole pages"
EMPTY = "misuse: no pages"
A_KIND = "misuse: a kind that not every chip has"

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
    # name: what was done before, the call, sort, reason, allowed errnos
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
        NONE, op("create", start=LIMIT), MISUSE, "misuse: an address space of no pages",
        (INVALID,),
    ),
    "create-askew": (
        NONE, op("create", size=0x1800), MISUSE, "misuse: an address space of no pages",
        (INVALID,),
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
    "put-raw": (RAW_ON, PUT, MISUSE, "misuse: the raw client's own addresses", NONE),
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
        (*SHARED, op("pfn_map", shift=21, size=LARGE)), PFN_UNMAP, MISUSE,
        "misuse: a part of a page", NONE,
    ),
    **RAW_CALLS,
    "raw_get": (RAW_ON, RAW_GET, LEGAL, "", NONE),
    "raw_get-again": (RAW_MAPPED, RAW_GET, LEGAL, "", NONE),
    "raw_get-nothing": (RAW_ON, op("raw_get", size=0), REFUSED, "no pages", (INVALID,)),
    "raw_get-behind-a-page": (
        (*RAW_ON, op("raw_get", shift=21, size=LARGE), op("raw_map", shift=21, size=LARGE)),
        RAW_GET, MISUSE, "misuse: a page of a directory is mapped", NONE,
    ),
    "raw_put": (HELD, RAW_PUT, LEGAL, "", NONE),
    "raw_put-twice": ((*RAW_MAPPED, RAW_GET), RAW_PUT, LEGAL, "", NONE),
    "raw_put-none": (
        RAW_ON, RAW_PUT, MISUSE, "misuse: references that were not taken, or are in use", NONE,
    ),
    "raw_put-used": (
        RAW_MAPPED, RAW_PUT, MISUSE, "misuse: references that were not taken, or are in use",
        NONE,
    ),
    "raw_put-too-much": (
        HELD, op("raw_put", size=5 * PAGE), MISUSE,
        "misuse: references that were not taken, or are in use", NONE,
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
    "raw_map-none": (RAW_ON, RAW_MAP, MISUSE, "misuse: references that were not taken", NONE),
    "raw_map-before-smaller": (
        (*HELD, op("raw_get", shift=21, size=LARGE)), op("raw_map", shift=21, size=LARGE), MISUSE,
        "misuse: smaller pages are referenced", NONE,
    ),
    "raw_map-again": (RAW_MAPPED, RAW_MAP, MISUSE, "misuse: something is mapped", NONE),
    "raw_unmap": (RAW_MAPPED, op("raw_unmap", addr=PAGE), LEGAL, "", NONE),
    "raw_unmap-none": (
        HELD, RAW_UNMAP, MISUSE, "misuse: not mapped with such pages", NONE,
    ),
    "raw_unmap-other-size": (
        (*RAW_ON, op("raw_get", shift=16, size=MIDDLE), op("raw_map", shift=16, size=MIDDLE)),
        RAW_UNMAP, MISUSE, "misuse: not mapped with such pages", NONE,
    ),
    "raw_unmap-not-sparse": (
        RAW_MAPPED, op("raw_unmap", sparse=1), MISUSE, "misuse: sparse is what was made so", NONE,
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
    "raw_sparse-mapped": (RAW_MAPPED, RAW_SPARSE, MISUSE, "misuse: something is mapped", NONE),
    "raw_sparse-held": (HELD, RAW_SPARSE, MISUSE, "misuse: pages in it are referenced", NONE),
    "raw_sparse-never": (
        RAW_ON, op("raw_sparse", ref=0), MISUSE, "misuse: was not made sparse", NONE,
    ),
    "raw_sparse-unlike": (
        (*RAW_ON, RAW_SPARSE), op("raw_sparse", ref=0), MISUSE, "misuse: was not made sparse",
        NONE,
    ),
    "raw_sparse-cannot": (
        (op("create", chip="gf100", raw=1, start=CLIENT, size=CLIENT),), RAW_SPARSE, REFUSED,
        UNSPARSE, (INVALID,),
    ),
    "raw_sparse-again": (
        (*RAW_ON, RAW_SPARSE), RAW_SPARSE, MISUSE, "misuse: is sparse already", NONE,
    ),
    "join": (ON, JOIN, LEGAL, "", NONE),
    "join-again": ((*ON, JOIN), JOIN, REFUSED, "joined already", (BUSY,)),
    "part": ((*ON, JOIN), PART, LEGAL, "", NONE),
    "part-none": (ON, PART, REFUSED, "not joined", (INVALID,)),
    "boot": ((op("create", size=LARGE),), BOOT, LEGAL, "", NONE),
    "boot-again": (BOOTED, BOOT, REFUSED, "too large, or booted already", (INVALID,)),
    "boot-large": (ON, BOOT, REFUSED, "too large, or booted already", (INVALID,)),
    "boot-late": (
        (op("create", size=LARGE), GET), BOOT, MISUSE, "misuse: something is handed out", NONE,
    ),
    "replay": (ON, REPLAY, LEGAL, "", NONE),
    "replay-gm200": (
        (op("create", chip="gm200"),), REPLAY, REFUSED, "faults are not replayed", (INVALID,),
    ),
    "stick": (ON, STUCK, LEGAL, "", NONE),
    "destroy": (MAPPED, DESTROY, LEGAL, "", NONE),
    "destroy-held": (
        HELD, DESTROY, MISUSE, "misuse: references of the raw interface are left", NONE,
    ),
    "destroy-sparse": (
        (*RAW_ON, RAW_SPARSE), DESTROY, MISUSE,
        "misuse: references of the raw interface are left", NONE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_sorted_before_it_is_made_and_the_reference_answers_so(name):
    before, call, sort, reason, errors = CALLS[name]
    session = session_after(*before)
    assert nvidia_session._refusal(session.state, call) == (reason, errors)
    assert sort == (MISUSE if reason.startswith("misuse: ") else REFUSED if reason else LEGAL)
    was = held(session)
    outcome = session.run(call)
    assert outcome.sort == sort
    assert [one.identity for one in outcome.violations] == []
    if sort == LEGAL:
        assert outcome.result.result == 0
    else:
        # What comes of a misuse is the driver's affair, and is undone; nothing is left of it.
        assert outcome.result.result in errors or sort == MISUSE
        assert sort == MISUSE or not outcome.changed
        assert held(session) == was or call.name == "create"
    closing = session.finish()
    assert closing is None or not closing.violations
    assert (session.ended, session.state.exists) == (False, False)
    assert session.tally.violated == {}


def reasons_of(function):
    """The reasons that a function of the session gives."""
    found = set()
    for node in ast.walk(ast.parse(inspect.getsource(function))):
        if not isinstance(node, ast.Return) or node.value is None:
            continue
        branches = [node.value]
        if isinstance(node.value, ast.IfExp):
            branches = [node.value.body, node.value.orelse]
        for one in branches:
            if isinstance(one, ast.Name):
                value = getattr(nvidia_session, one.id, None)
                found |= {value[0]} if isinstance(value, tuple) else set()
            elif isinstance(one, ast.Tuple) and isinstance(one.elts[0], ast.Constant):
                found.add(one.elts[0].value)
    return found - {""}


def test_every_reason_of_every_function_has_an_example():
    given = {}
    for _, call, _, reason, _ in CALLS.values():
        if reason:
            given.setdefault(nvidia_session._REFUSALS[call.name], set()).add(reason)
    given[nvidia_session._get_refusal].add("too many areas")
    wanted = {function: reasons_of(function) for function in nvidia_session._REFUSALS.values()}
    common = reasons_of(nvidia_session._raw_range)
    for name in ("raw_get", "raw_put", "raw_map", "raw_unmap"):
        wanted[nvidia_session._REFUSALS[name]] |= common
    assert sum(map(len, wanted.values())) > 80
    assert given == wanted
    assert {call.name for _, call, sort, _, _ in CALLS.values() if sort == LEGAL} == set(SPECS)


def test_areas_are_numbered_once_and_for_all():
    session = session_after(*ON, GET)
    session.state.area_count = session.target._device.area_count = 1 << 16
    was = held(session)
    assert nvidia_session._refusal(session.state, op("get", size=0)) == ("too many areas", (MANY,))
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
        assert nvidia_session._refusal(session.state, op("map_part", **wrong))[0] == reason


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
        session = NvidiaSession(NvidiaTarget(), set())
        assert (session.run(create).sort == LEGAL) is can_be
        assert len(session.operations) == int(can_be)
    assert possible(GET, {})
