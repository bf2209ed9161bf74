"""The suite as pytest sees it: one test for each system and shard.

Run it as ``pytest --pyargs conformance --mmu-target TARGET``, or by the command
``mmu-conformance run``, which is the same with a summary of its own.
"""

import time

import pytest

from conformance.plugin import VIOLATED, Shards
from conformance.targets.linux.errors import HarnessError


def test_rules_hold(mmu_shard: tuple[str, int], mmu_shards: Shards) -> None:
    """Every rule of the system holds over the shard's examples."""
    system, shard = mmu_shard
    began = time.monotonic()
    try:
        found = mmu_shards.run(system, shard, began)
    except HarnessError as error:
        # What it says is enough: where in the suite it happened is nobody's business.
        pytest.fail(f"the run cannot go on: {error}", pytrace=False)
    if found:
        pytest.fail("\n".join([VIOLATED, *found]), pytrace=False)
