"""The time to the first violation: measured seed by seed, kept, gone on with, and told."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "time_to_first.py"
MUTANT = "unmap-not-flushed"

pytestmark = pytest.mark.xdist_group("benchmarks")


def measured(folder, *arguments):
    """What it printed, line by line."""
    done = subprocess.run(
        [sys.executable, "-P", str(SCRIPT), *arguments, "--kept", "kept.json", "--docs", "page.md"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_what_was_measured_is_kept_and_the_rest_is_done_later(tmp_path):
    first = measured(tmp_path, MUTANT, "--seeds", "1")
    assert len(first) == 1
    kept = json.loads((tmp_path / "kept.json").read_text())
    examples, operations = kept[MUTANT]["0"]
    assert 0 < examples <= operations
    again = measured(tmp_path, MUTANT, "--seeds", "3")
    assert [re.search(r"seed (\d)", line)[1] for line in again] == ["1", "2"]
    every = json.loads((tmp_path / "kept.json").read_text())[MUTANT]
    assert every["0"] == [examples, operations]
    page = (tmp_path / "page.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {MUTANT} ")]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    counts = sorted(one for one, _ in every.values())
    assert cells[1:6] == ["TL-1", "3", "", f"{counts[1]:,}", f"{counts[2]:,}"]
    assert measured(tmp_path, MUTANT, "--seeds", "3") == []


def test_no_more_is_begun_when_the_time_is_over(tmp_path):
    assert measured(tmp_path, MUTANT, "--minutes", "0") == []
    assert MUTANT not in (tmp_path / "page.md").read_text()


def test_a_run_that_found_nothing_counts_as_the_worst(tmp_path):
    (tmp_path / "kept.json").write_text(
        json.dumps({MUTANT: {"0": [4, 90], "1": [-1, -1], "2": [2, 50]}})
    )
    measured(tmp_path, MUTANT, "--seeds", "3")
    page = (tmp_path / "page.md").read_text()
    assert f"| {MUTANT} | TL-1 | 3 | 1 | 4 | - | 90 | - |" in page
