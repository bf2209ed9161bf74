"""Somebody else's distribution, with a system and a format of its own: nothing here is edited."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("packaging")

BROKEN = """\
from flat_mmu import driver
from flat_mmu.system import FlatTarget


class Silent(driver.FlatDriver):
    \"\"\"Rings no bell when an entry goes.\"\"\"

    def _write(self, slot, word):
        if word:
            super()._write(slot, word)
        else:
            self.trace.emit(driver.STORE, driver.TABLE + 8 * slot, self.words[slot], 0)
            self.words[slot] = 0


class Broken:
    FlatDriver = Silent


def make():
    return FlatTarget(Broken, "python:broken:make")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory, checkout) -> Path:
    """A folder with what pip makes of the distribution, and a broken driver beside it."""
    place = tmp_path_factory.mktemp("third-party")
    source = place / "source"
    for path in (checkout / "examples/third_party").rglob("*"):
        if path.suffix in (".py", ".toml"):
            target = source / path.relative_to(checkout / "examples/third_party")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--target", str(place / "site"), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (place / "site/broken.py").write_text(BROKEN)
    return place


def command(place: Path, *arguments: str, code: int = 0) -> str:
    """What the command line says, with the distribution installed."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "conformance", *arguments],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(place / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_its_system_is_run_on_its_reference(place):
    said = command(place, "run", "flat", "--examples", "40", "-n", "0")
    assert "EVERY RULE HELD (4 rules) on reference" in said
    assert "never exercised" not in said


def test_its_system_and_format_are_listed(place):
    assert "flat  sixteen entries and a bell\n    create" in command(place, "list", "systems")
    assert "FLAT-1  The device has read each entry" in command(place, "list", "rules")
    assert "flat-16  the flat MMU, sixteen pages of 4 KiB" in command(place, "list", "formats")


def test_its_format_decodes_and_walks(place):
    assert "level 0: page pa=0x5000" in command(place, "decode", "flat-16", "0x5001")
    image = place / "image"
    image.write_bytes(b"".join(word.to_bytes(8, "little") for word in (0x5001, 0, 0x7003)))
    given = ("walk", "flat-16", "--root", "0x80000000", "--image", str(image), "0x2010")
    assert "0x7010" in command(place, *given)


def test_what_its_rule_finds_is_told_in_its_words_and_replayed(place):
    reports = place / "reports"
    given = ("--examples", "40", "-n", "0", "--report-dir", str(reports))
    said = command(place, "run", "--target", "python:broken:make", *given, code=1)
    assert "FLAT-1 is broken by python:broken:make (flat)" in said
    assert "bell        for slot 0" in said
    (found,) = (reports / "counterexamples").glob("*.json")
    operations = json.loads(found.read_text())["operations"]
    assert [one["op"] for one in operations] == ["create", "map", "unmap"]
    assert "FAILED" in command(place, "replay", str(found), code=1)
    assert "FIXED" in command(place, "replay", str(found), "--target", "reference")
