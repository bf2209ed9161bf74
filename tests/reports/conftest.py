"""The operations of system ``pagetable`` as a system would declare them, and two samples."""

from pathlib import Path

import pytest

from reference.operations import ArgSpec, OperationSpec, Specs, specs_of
from reports.counterexample import Counterexample, load
from reports.vocabulary import Vocabulary

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def specs() -> Specs:
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


@pytest.fixture(scope="session")
def vocabulary(specs: Specs) -> Vocabulary:
    return Vocabulary(specs)


@pytest.fixture(scope="session")
def kb16_file() -> Path:
    return DATA / "kb-16.json"


@pytest.fixture(scope="session")
def kb21_file() -> Path:
    return DATA / "kb-21.json"


@pytest.fixture(scope="session")
def kb16(kb16_file: Path) -> Counterexample:
    return load(kb16_file)


@pytest.fixture(scope="session")
def kb21(kb21_file: Path) -> Counterexample:
    return load(kb21_file)
