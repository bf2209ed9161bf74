"""A bug planted beside those that Linux's code has: all are found, in one run."""

from typing import Any

import pytest

from conformance.discovery import system_by_name
from conformance.engine import Plan, run_shard
from conformance.systems.pagetable.targets import LinuxIoPgtable

# It shares the tree, and what was built from it, with the tests of the build.
pytestmark = pytest.mark.xdist_group("linux-build")

DART_DRIVER = "drivers/iommu/io-pgtable-dart.c"
CACHED = ("TR-2", "map, level 2, non-cached for cached")
ALIASED = ("NB-1", "map, level 2, invalid -> leaf, in dart_init_pte")
PLANTED = {("TR-2", "map, level 2, read granted"), ("TR-2", "map, level 2, write denied")}


def found_on(kernel: Any) -> set[tuple[str, str]]:
    target = LinuxIoPgtable("io-pgtable-dart", kernel)
    try:
        plan = Plan(examples=160, shards=1)
        return set(run_shard(system_by_name("pagetable"), target, plan, 0).findings)
    finally:
        target.close()


def test_another_wrong_version_of_the_v2_encoder_is_found_beside_the_one_that_is_there(
    own_tree: Any,
) -> None:
    # A page that may only be written says to the device that it may only be read.
    own_tree.edit("pte \\|= APPLE_DART2_PTE_PROT_NO_READ", "pte |= APPLE_DART2_PTE_PROT_NO_WRITE",
                  DART_DRIVER)  # fmt: skip
    found = found_on(own_tree.path)
    assert {CACHED, ALIASED} <= found
    assert found >= PLANTED
    own_tree.edit("", "", DART_DRIVER)
    found = found_on(own_tree.path)
    assert {CACHED, ALIASED} <= found
    assert not found & PLANTED
