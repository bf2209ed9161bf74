"""Defects planted in Linux 7.3, one of each kind: each is found by the rule that it breaks."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from conformance.discovery import system_by_name
from conformance.registry import make_target
from conformance.session import Session
from conformance.targets.linux.cache import CACHE_VARIABLE
from conformance.targets.linux.tree import find_tree
from reference.operations import Operation, completed
from tests.targets.conftest import OwnTree, kernel_of
from tests.targets.conftest import make_target as make_page_tables

# One tree is edited and built again for all of them: a job for one worker.
pytestmark = pytest.mark.xdist_group("linux-newest")

PANTHOR = "drivers/gpu/drm/panthor/panthor_mmu.c"
DART = "drivers/iommu/io-pgtable-dart.c"
LARGE = 0x20_0000


def op(name: str, **args: int | str) -> Operation:
    return Operation(name, args)


VM, BO, ACTIVE = op("vm"), op("bo"), op("active")
MAP, UNMAP = op("bind", bo=0), op("bind", kind=1)


@dataclass(frozen=True)
class Planted:
    """An edit: what is replaced in which file, and operations that show that it is wrong."""

    file: str
    pattern: str
    replacement: str
    target: str
    system: str
    operations: tuple[Operation, ...]
    rule: str


EDITS: Mapping[str, Planted] = {
    "a lost lock": Planted(
        PANTHOR,
        r"ret = as_send_cmd_and_wait\(ptdev, vm->as.id, AS_COMMAND_LOCK\);",
        "ret = 0;",
        "linux:panthor",
        "mali",
        (VM, BO, ACTIVE, MAP, UNMAP),
        "TL-1",
    ),
    "a lost unlock": Planted(
        PANTHOR,
        r"if \(!ret\)\s+ret = as_send_cmd_and_wait\(ptdev, vm->as.id, AS_COMMAND_UNLOCK\);",
        ";",
        "linux:panthor",
        "mali",
        (VM, BO, ACTIVE, MAP, UNMAP),
        "OR-12",
    ),
    "a flush before the store": Planted(
        PANTHOR,
        r"if \(!unmap_vma->evicted\) \{\s+panthor_vm_unmap_pages\(vm, unmap_vma->base.va.addr,",
        "panthor_vm_unlock_region(vm); if (!unmap_vma->evicted) {"
        "panthor_vm_unmap_pages(vm, unmap_vma->base.va.addr,",
        "linux:panthor",
        "mali",
        (VM, BO, ACTIVE, MAP, UNMAP),
        "TL-1",
    ),
    "a leak on an error path": Planted(
        PANTHOR,
        r"ret = panthor_vm_op_ctx_prealloc_pts\(op_ctx\);\s+if \(ret\)\s+goto err_cleanup;",
        "ret = panthor_vm_op_ctx_prealloc_pts(op_ctx); if (ret) return ret;",
        "linux:panthor",
        "mali",
        (VM, BO, op("bind", bo=0, fail_at=5)),
        "RC-4",
    ),
    "a level too few": Planted(
        DART,
        r"data->levels = levels \+ 1;",
        "data->levels = levels;",
        "linux:io-pgtable-dart",
        "pagetable",
        (
            op("create", format="dart2-16k", ias=32, oas=42, block_unmap="refuse"),
            op("map", iova=0, pgsize=0x4000, pa=0x4000),
        ),
        # What would be a table is the page that was mapped.
        "OR-1",
    ),
    "a reference too many": Planted(
        PANTHOR,
        r"drm_gpuvm_bo_put_deferred\(op_ctx->map.vm_bo\);\s+op_ctx->map.vm_bo = NULL;",
        "op_ctx->map.vm_bo = NULL;",
        "linux:panthor",
        "mali",
        (VM, BO, MAP),
        "RC-4",
    ),
}


@pytest.fixture(scope="module")
def newest_tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnTree]:
    """A tree of 7.3 whose drivers can be edited; what is built from it goes beside it."""
    kernel = kernel_of("linux-source-7.3")
    make_page_tables("io-pgtable-arm", kernel).close()  # or a skip where nothing can be built
    own = OwnTree(find_tree(kernel), tmp_path_factory.mktemp("newest"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(own.path.parent / "cache"))
        yield own


def broken(own: OwnTree, planted: Planted) -> set[str]:
    """The rules that the operations break."""
    target: Any = make_target(planted.target, str(own.path), system=planted.system)
    system = system_by_name(planted.system)
    session = Session(system, target, set())
    found = {
        one.rule
        for operation in planted.operations
        for one in session.run(completed(operation, system.specs)).violations
    }
    target.close()
    return found


@pytest.mark.parametrize("kind", EDITS)
def test_what_is_planted_is_found(newest_tree: OwnTree, kind: str) -> None:
    planted = EDITS[kind]
    newest_tree.restore()
    newest_tree.edit(planted.pattern, planted.replacement, planted.file)
    found = broken(newest_tree, planted)
    newest_tree.restore()
    assert planted.rule in found, found


def test_nothing_is_found_where_nothing_is_planted(newest_tree: OwnTree) -> None:
    newest_tree.restore()
    for planted in EDITS.values():
        assert re.search(planted.pattern, (newest_tree.path / planted.file).read_text())
        assert broken(newest_tree, planted) == set()
