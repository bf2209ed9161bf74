"""The benchmarks run, tell what they measured, and what they could not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reference.build_check import is_compiled

RUN = Path(__file__).resolve().parents[2] / "benchmarks" / "run.py"

pytestmark = pytest.mark.xdist_group("benchmarks")


def bench(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-P", str(RUN), "--quick", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr


def test_rows_are_printed_kept_and_written_as_a_page(tmp_path):
    arguments = ("--only", "walker", "--out", "kept.json", "--docs", "page.md")
    code, out, err = bench(tmp_path, *arguments)
    assert code == 0, err
    kept = json.loads((tmp_path / "kept.json").read_text())
    (row,) = kept["rows"]
    assert row["name"] == "translate_many / scalar walker"
    assert row["wanted"] == 20
    assert 0 < row["low"] <= row["got"] <= row["high"] or row["repetitions"] % 2 == 0
    assert row["verdict"] == ("yes" if row["got"] >= 20 else "missed")
    page = (tmp_path / "page.md").read_text()
    for text in (out, page):
        assert "at least 20" in text
        assert row["verdict"] in text
    assert "This is a quick run" in page
    # The machine is told in words: nothing of it says where anything lies.
    assert str(tmp_path) not in page + json.dumps(kept)
    assert str(Path.home()) not in page + json.dumps(kept)
    assert sys.prefix not in page + json.dumps(kept)


def test_a_kernel_that_cannot_be_used_is_a_visible_row(tmp_path):
    kernel = str(tmp_path / "nowhere")
    files = ("--out", "kept.json", "--docs", "page.md")
    code, out, err = bench(tmp_path, "--only", "linux", "--kernel", kernel, "--strict", *files)
    assert code == 0, err
    rows = json.loads((tmp_path / "kept.json").read_text())["rows"]
    assert len(rows) == 2
    for row in rows:
        assert row["got"] is None
        assert row["verdict"] == "not measured"
        assert row["note"].startswith("not measured: ")
        assert "nowhere" in row["note"]
    assert "not measured" in out
    page = (tmp_path / "page.md").read_text()
    assert "not measured" in page
    assert str(tmp_path) not in page


@pytest.mark.skipif(not is_compiled(), reason="the model that is tested is not compiled")
def test_the_interpreted_side_is_a_copy_of_the_compiled_one(tmp_path):
    code, _, err = bench(tmp_path, "--only", "compiled", "--out", "kept.json")
    assert code == 0, err
    (row,) = json.loads((tmp_path / "kept.json").read_text())["rows"]
    assert row["got"] > 1


def test_a_folder_that_is_missing_is_said_before_anything_is_measured(tmp_path):
    code, out, err = bench(tmp_path, "--out", os.path.join("missing", "kept.json"))
    assert (code, out) == (2, "")
    assert err.endswith("missing is no folder\n")
