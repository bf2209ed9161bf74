"""The suite as a pytest suite: ``pytest --pyargs conformance --mmu-target T``."""

import json
import os
import re
import tempfile
import xml.etree.ElementTree as ElementTree

import pytest

pytestmark = pytest.mark.xdist_group("plugin")

WRONG = "mutant:unmap-not-flushed"
FEW = ("--mmu-target", WRONG, "--mmu-examples", "24")


@pytest.fixture(scope="module")
def whole(shared_place):
    """A whole run by two workers, with all reports."""
    done = shared_place.pytest(
        *FEW, "-n", "2", "--junitxml", "junit.xml", "--mmu-report-dir", "mmu",
        "-p", "no:cacheprovider",
    )  # fmt: skip
    assert done.code == 1, done
    return done


def cases(path):
    """The test cases of a JUnit file: failed or not, by name."""
    root = ElementTree.parse(path).getroot()
    return {case.get("name"): case.find("failure") is not None for case in root.iter("testcase")}


def test_the_run_has_a_test_for_each_shard_and_a_section_of_its_own(whole):
    assert re.search(r"2 workers \[8 items\]", whole.out)
    assert re.search(r"=+ mmu-conformance =+", whole.out)
    assert re.search(r"^TL-1 is broken by mutant:unmap-not-flushed", whole.out, re.MULTILINE)
    assert re.search(r"^\d VIOLATIONS? on mutant:unmap-not-flushed", whole.out, re.MULTILINE)
    assert re.search(r"=+ \d failed(, \d passed)? in ", whole.out)


def test_junit_is_pytests_own(whole, shared_place):
    found = cases(shared_place.folder / "junit.xml")
    assert set(found) == {f"test_rules_hold[pagetable-{shard}]" for shard in range(8)}
    assert any(found.values())


def test_a_failure_names_rule_and_signature(whole):
    assert "Rules were broken:\nTL-1 sync, level 3, stale leaf: The device may" in whole.out


def test_nothing_else_is_written(whole, shared_place):
    assert {name.partition("/")[0] for name in shared_place.files()} == {"junit.xml", "mmu"}
    assert [path.name for path in shared_place.temporary.glob("mmu-*")] == []


def test_it_is_the_same_run_as_that_of_the_command(whole, shared_place):
    shared_place.command(
        "run", "--target", WRONG, "--examples", "24", "-n", "0", "--report-dir", "command"
    )
    reports, others = (shared_place.folder / name for name in ("mmu", "command"))
    names = sorted(path.relative_to(reports) for path in reports.rglob("*") if path.is_file())
    assert names == sorted(p.relative_to(others) for p in others.rglob("*") if p.is_file())
    for name in names:
        if name.name != "timing.json":
            assert (reports / name).read_bytes() == (others / name).read_bytes(), name


def test_one_shard_can_be_chosen_and_the_result_says_that_it_is_not_all(whole, place):
    done = place.pytest(*FEW, "-k", "pagetable-1", "--mmu-report-dir", "mmu", "-q")
    assert done.out.count("INCOMPLETE, so far: ") == 1
    data = json.loads((place.folder / "mmu/result.json").read_text())
    assert (data["complete"], data["examples"]) == (False, 3)


def test_x_stops_at_the_first_shard_that_fails(whole, place):
    done = place.pytest(*FEW, "-x", "--junitxml", "junit.xml", "--mmu-report-dir", "mmu")
    assert done.code == 1
    found = cases(place.folder / "junit.xml")
    assert list(found.values()).count(True) == 1
    assert list(found.values())[-1]
    assert len(found) < 8
    assert json.loads((place.folder / "mmu/result.json").read_text())["counterexamples"]


def test_without_a_target_the_suite_is_skipped_with_the_reason(place):
    done = place.pytest("-rs")
    assert done.code == 0
    assert "1 skipped" in done.out
    assert re.search(
        r"^SKIPPED .*no target was given: pytest --pyargs conformance --mmu-target", done.out,
        re.MULTILINE,
    )  # fmt: skip


def test_a_target_that_is_not_to_be_had_is_skipped_with_the_command_that_installs_it(place):
    (place.folder / "adapter.py").write_text(
        "from conformance.targets.protocol import TargetUnavailable\n"
        "def make():\n"
        "    raise TargetUnavailable('there is no such board', 'apt-get install board')\n"
    )
    target = "python:adapter:make"
    done = place.pytest("--mmu-target", target, "-rs", "-n", "2", **place.importable())
    assert done.code == 0
    assert "8 skipped" in done.out
    said = "there is no such board; to install: apt-get install board"
    assert re.search(rf"^SKIPPED .*{said}", done.out, re.MULTILINE)
    assert f"Nothing was judged. {said}" in done.out
    # Whoever asks for this run alone wants it.
    command = place.command("run", "--target", target, **place.importable())
    assert (command.code, command.out) == (2, "")
    assert command.err == f"mmu-conformance: {said}\n"


def test_collecting_runs_nothing_and_leaves_nothing(place):
    done = place.pytest(*FEW, "--collect-only", "-q", "-p", "no:cacheprovider")
    assert done.code == 0
    assert done.out.count("test_rules_hold[pagetable-") == 8
    assert "mmu-conformance ==" not in done.out
    assert place.files() == []
    assert [path.name for path in place.temporary.glob("mmu-*")] == []


WRONG_USES = {
    "target": (["--mmu-target", "nosuch"], ["target is 'nosuch'", "reference, mutant:ID"]),
    "system": (["--mmu-system", "nosuch"], ["system is 'nosuch'", "pagetable"]),
    "profile": (["--mmu-profile", "fast"], ["profile is 'fast'", "ci, dev, nightly"]),
    "examples": (["--mmu-examples", "-1"], ["examples is -1", "from 1"]),
    "steps": (["--mmu-steps", "0"], ["steps is 0", "from 1"]),
    "seed": (["--mmu-seed", "-1"], ["seed is -1", "from 0"]),
    "known": (["--mmu-known", "nosuch"], ["known is 'nosuch'", "allowed"]),
    "report-dir": (["--mmu-report-dir", "a-file"], ["report-dir is 'a-file'", "folders"]),
}


@pytest.mark.parametrize("name", WRONG_USES)
def test_wrong_use_is_one_message(place, monkeypatch, capsys, name):
    arguments, said = WRONG_USES[name]
    (place.folder / "a-file").touch()
    monkeypatch.chdir(place.folder)
    monkeypatch.setattr(tempfile, "tempdir", str(place.temporary))
    capsys.readouterr()
    code = pytest.main(
        [
            "--pyargs", "conformance", "-p", "no:cacheprovider", "-c", os.devnull,
            "--rootdir", ".", "--mmu-target", "reference", *arguments,
        ]
    )  # fmt: skip
    done = capsys.readouterr()
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "test session starts" not in done.out
    (message,) = done.err.strip().splitlines()
    assert message.startswith("ERROR: ")
    for words in said:
        assert words in message
    assert place.files() == ["a-file"]
    assert list(place.temporary.iterdir()) == []


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_hidden_package_is_one_message(place, workers):
    (place.folder / "strategies.py").touch()
    done = place.python(
        "-m", "pytest", "--pyargs", "conformance", "--mmu-target", "reference", "-n", workers
    )
    assert done.code == 4
    (message,) = done.err.strip().splitlines()
    assert "package strategies of mmu-conformance is hidden by" in message
