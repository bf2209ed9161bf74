"""The example of an own target: it runs green, and a line broken in its driver is found."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from conformance.discovery import system_by_name
from conformance.engine import Plan, run_shard

EXAMPLES = Path(__file__).parents[2] / "examples"
TARGET = "python:own_target:make_target"

BROKEN = {
    "an unmapped page is not gathered": (
        "                platform.gather(iova, size)\n",
        "                pass\n",
        {"TL-1"},
    ),
    "map returns before its store is visible": (
        "        platform.store(at, leaf(level, pa, prot))\n        platform.barrier()\n",
        "        platform.store(at, leaf(level, pa, prot))\n",
        {"OR-4"},
    ),
    "a new table is linked without a barrier": (
        "                platform.barrier(BARRIER_ORDER)\n",
        "",
        {"OR-1"},
    ),
    "a table is freed without a flush": (
        "        self.platform.invalidate(iova, last, SCOPE_LEAF | SCOPE_WALK, CAUSE_WALK)\n",
        "",
        {"TL-2"},
    ),
    "a table is freed while it is linked": (
        "        self.platform.store(at, 0)\n        self.platform.invalidate(iova",
        "        self.platform.invalidate(iova",
        {"OR-3"},
    ),
    "a block takes the place of a table in use": (
        "entry & 3 == BLOCK or self.is_used(entry, level + 1)):\n            return",
        "entry & 3 == BLOCK):\n            return",
        {"ER-3"},
    ),
    "privileged mappings are open to unprivileged execution": (
        "PXN | UXN if prot & NOEXEC else UXN if prot & PRIV else 0",
        "PXN | UXN if prot & NOEXEC else 0",
        {"TR-2"},
    ),
}


def source():
    return (EXAMPLES / "own_target.py").read_text(encoding="utf-8")


def module(text):
    made = ModuleType("own_target_under_test")
    exec(compile(text, "own_target.py", "exec"), made.__dict__)
    return made


def rules_broken(text, wanted):
    """The rules that runs find broken; what is rare comes up in one of a few."""
    found = set()
    for seed in range(6):
        plan = Plan(examples=120, seed=seed, shards=1, minimise_executions=0)
        done = run_shard(system_by_name("pagetable"), module(text).make_target(), plan, 0)
        found |= {rule for rule, _ in done.findings}
        if wanted <= found:
            break
    return found


def test_the_command_of_the_page_ends_with_every_rule_held(tmp_path):
    done = subprocess.run(
        [
            sys.executable, "-m", "conformance", "run", "pagetable", "--target", TARGET,
            "--examples", "60", "-n", "0", "--strict",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(
        rf"EVERY RULE HELD \(\d+ rules\) on {TARGET}, seed 0$", done.stdout, re.MULTILINE
    )


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_line_is_found(what):
    line, instead, rules = BROKEN[what]
    assert source().count(line) == 1
    assert rules <= rules_broken(source().replace(line, instead), rules)


def test_only_the_gather_is_missed_when_it_is_left_out():
    line, instead, rules = BROKEN["an unmapped page is not gathered"]
    assert rules_broken(source().replace(line, instead), rules) == rules
