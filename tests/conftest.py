"""What all of the project's own tests share: how Hypothesis runs, and what the header says."""

import os

import pytest
from hypothesis import settings

import reference
from reference.build_check import build_info
from reference.operations import ArgSpec, OperationSpec, Specs, specs_of

# The same examples on every run of CI; new ones on every run by hand.
settings.register_profile("tests", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("tests")


def pytest_report_header() -> str:
    """Which model is tested: a stale or shadowing one is seen at once."""
    info = build_info()
    how = f"compiled by mypyc {info.mypyc}" if info.compiled else "interpreted"
    return f"model: {how}, {reference.__path__[0]}"


@pytest.fixture(scope="session")
def specs() -> Specs:
    """The table of a small system, much like that of a page table."""
    fail_at = ArgSpec("fail_at", "count", default=0, high=64)
    iova = ArgSpec("iova", "address")
    pgsize = ArgSpec("pgsize", "size")
    pgcount = ArgSpec("pgcount", "count")
    return specs_of(
        OperationSpec(
            "create",
            "Make a table.",
            [
                ArgSpec("format", "choice", choices=("lpae-s1", "lpae-mali")),
                ArgSpec("ias", "bits", low=32, high=48),
                ArgSpec("oas", "bits", low=32, high=48),
                ArgSpec("pgsizes", "sizes", high=0x40201000),
                ArgSpec("coherent", "choice", choices=(0, 1)),
                ArgSpec("bbm", "choice", choices=(0, 2)),
                ArgSpec("block_unmap", "choice", choices=("split", "refuse")),
            ],
        ),
        OperationSpec(
            "map",
            "One map_pages call.",
            [
                iova,
                ArgSpec("pa", "address"),
                pgsize,
                pgcount,
                ArgSpec("prot", "flags", letters="rwcnmp"),
                fail_at,
            ],
            value_kind="size",
            value_text="{} mapped",
        ),
        OperationSpec(
            "unmap",
            "One unmap_pages call.",
            [
                iova,
                pgsize,
                pgcount,
                ArgSpec("gather", "choice", choices=("strict", "queued")),
                fail_at,
            ],
            value_kind="size",
            value_text="{} unmapped",
        ),
        OperationSpec("translate", "One lookup.", [iova], value_kind="address", value_text="pa {}"),
        OperationSpec("sync", "The caller's sync."),
        OperationSpec("flush", "The flush of the queue."),
        OperationSpec("release", "Hand a range on.", [iova, ArgSpec("size", "size", low=1)]),
        OperationSpec("destroy", "Free the table."),
    )
