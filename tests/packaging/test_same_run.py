"""Same seed, same target: the same bytes, on any number of processes, compiled or interpreted."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.xdist_group("packaging")

WRONG = "mutant:unmap-not-flushed+wrong-attribute"
RUN = (
    "run", "pagetable", "--target", WRONG, "--examples", "80", "--seed", "7",
    "--report-dir", "found",
)  # fmt: skip


def reports(site, folder, workers):
    """What a run with the packages in ``site`` writes, by file name; without its times."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "conformance", *RUN, "-n", str(workers)],
        env=os.environ | {"PYTHONPATH": str(site)},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    found = folder / "found"
    written = {path.relative_to(found).as_posix(): path for path in found.rglob("*.*")}
    model = written.pop("timing.json").read_text()
    return {name: path.read_bytes() for name, path in written.items()}, model


def test_compiled_or_interpreted_on_one_process_or_two(wheel, interpreted_wheel, unpack, tmp_path):
    compiled = unpack(wheel).rename(tmp_path / "compiled")
    interpreted = unpack(interpreted_wheel).rename(tmp_path / "interpreted")
    first, model = reports(compiled, tmp_path / "c0", 0)
    assert '"model": "compiled"' in model
    assert "result.json" in first
    assert len([name for name in first if name.startswith("counterexamples/")]) >= 2
    assert reports(compiled, tmp_path / "c2", 2)[0] == first
    again, model = reports(interpreted, tmp_path / "i0", 0)
    assert '"model": "interpreted"' in model
    assert again == first
    assert reports(interpreted, tmp_path / "i2", 2)[0] == first
