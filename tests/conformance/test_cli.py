"""The command line: what it prints, writes and exits with, for right and wrong use."""

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import conformance
from conformance import cli
from conformance.discovery import SYSTEMS
from conformance.engine import derived_seed
from conformance.list_and_decode import decoded
from conformance.profiles import PROFILES
from conformance.registry import kinds
from conformance.systems.pagetable.mutants import MUTANTS
from reference.formats import FORMATS
from reference.operations import from_json
from reports import counterexample, result

pytestmark = pytest.mark.xdist_group("cli")

RULES = {rule.id for rule in SYSTEMS["pagetable"].rules}
OPERATIONS = set(SYSTEMS["pagetable"].specs)
WRONG = "mutant:unmap-not-flushed"
FEW = ("--examples", "24", "-n", "0")


# -- run: what it writes ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(shared_place):
    """A run that finds something, with reports in ``found``."""
    done = shared_place.command("run", "--target", WRONG, *FEW, "--report-dir", "found")
    assert done.code == 1, done
    return done


def test_violations_are_told_and_end_with_1(found):
    assert re.search(r"^TL-1 is broken by mutant:unmap-not-flushed", found.out, re.MULTILINE)
    assert re.search(
        r"^\d VIOLATIONS? on mutant:unmap-not-flushed, seed 0$", found.out, re.MULTILINE
    )
    assert found.out.endswith("Reports are in found.\n")
    assert found.err == ""


def test_for_git_bisect_what_is_no_verdict_is_no_bad_commit(place):
    held = ("run", "pagetable", "--examples", "8", "-n", "0")
    empty = place.folder / "tree"
    empty.mkdir()
    lacking = ("run", "--target", "linux:io-pgtable-arm", "--kernel", "tree")
    for arguments, code, bisected in (
        (held, 0, 0),
        ((*held, "--target", WRONG), 1, 1),
        (lacking, 2, 125),
        (("run", "--target", "python:nosuch:thing"), 2, 128),
        ((*held, "--seed", "-1"), 2, 128),
    ):
        assert place.command(*arguments).code == code
        assert place.command(*arguments, "--bisect").code == bisected


def test_of_a_rule_the_shortest_is_told_and_all_findings_are_listed(found, shared_place):
    files = sorted((shared_place.folder / "found/counterexamples").glob("*.json"))
    assert len(files) > 1
    assert found.out.count("TL-1 is broken by") == 1
    listed = found.out.partition("\nFindings\n--------\n")[2]
    for file in files:
        example = counterexample.load(file)
        assert re.search(rf"^TL-1   {re.escape(example.signature)}$", listed, re.MULTILINE)
        assert f": {file}\n" in listed
    assert listed.count(" operations, met ") == len(files)
    assert "The device may still translate" in listed


def test_a_run_writes_its_reports_and_nothing_else(found, shared_place):
    files = shared_place.files()
    counterexamples = [name for name in files if name.startswith("found/counterexamples/")]
    assert counterexamples
    told = [name for name in counterexamples if name.endswith(".json")]
    assert all(re.search(r"/pagetable-TL-1-[0-9a-f]{6}\.json$", name) for name in told)
    # Each has a page, to which the index leads.
    pages = [name.replace(".json", ".html") for name in told]
    assert sorted(counterexamples) == sorted(told + pages)
    index = (shared_place.folder / "found/index.html").read_text()
    assert all(f'href="{name.removeprefix("found/")}"' in index for name in pages)
    assert set(files) - set(counterexamples) == {
        "found", "found/counterexamples", "found/index.html", "found/junit.xml",
        "found/result.json", "found/timing.json",
    }  # fmt: skip
    assert list(shared_place.temporary.iterdir()) == []


def test_the_result_has_every_field(found, shared_place):
    data = json.loads((shared_place.folder / "found/result.json").read_text())
    assert data["schema"] == result.SCHEMA
    assert data["target"]["name"] == WRONG
    assert data["target"]["version"]
    assert (data["seed"], data["profile"], data["complete"]) == (0, "ci", True)
    assert data["examples"] == 24
    assert data["steps"] == sum(one["count"] for one in data["operations"].values())
    assert set(data["rules"]) == RULES
    assert all(
        set(counts) == {"checked", "violated", "silent"} for counts in data["rules"].values()
    )
    assert [rule for rule, counts in data["rules"].items() if counts["violated"]] == ["TL-1"]
    assert set(data["operations"]) <= OPERATIONS
    for shares in data["operations"].values():
        assert shares.keys() == {"count", "legal", "refused", "misuse", "changed"}
        assert shares["legal"] + shares["refused"] + shares["misuse"] == pytest.approx(1, abs=0.001)
    assert data["versions"].keys() == {"hypothesis", "mypyc"}
    named = {f"found/{name}" for name in data["counterexamples"]}
    files = [n for n in shared_place.files() if n.startswith("found/counterexamples/")]
    assert named == {n for n in files if n.endswith(".json")}
    assert [one["counterexample"] for one in data["identities"]] == data["counterexamples"]
    assert all(one["hits"] > 0 for one in data["identities"])


def test_the_result_has_no_times(found, shared_place):
    text = (shared_place.folder / "found/result.json").read_text()
    assert "second" not in text
    timing = json.loads((shared_place.folder / "found/timing.json").read_text())
    assert timing["schema"] == result.TIMING_SCHEMA
    assert timing["seconds"].keys() == {f"pagetable-{shard}" for shard in range(8)}


def test_each_counterexample_is_whole_and_small(found, shared_place):
    specs = SYSTEMS["pagetable"].specs
    for path in (shared_place.folder / "found/counterexamples").glob("*.json"):
        data = json.loads(path.read_text())
        assert {
            "schema", "system", "target", "rule", "signature", "seed", "operations", "trace",
            "views",
        } <= data.keys()  # fmt: skip
        example = counterexample.load(path)
        assert (example.system, example.target_name, example.rule) == ("pagetable", WRONG, "TL-1")
        assert example.file_name == path.name
        names = [from_json(one, specs).name for one in example.operations]
        assert names == ["create", "map", "unmap", "sync"]
        assert len(example.results) == len(example.operations)
        assert example.views.operation == 3


def told_by_run(out: str, telling: str) -> str:
    """The part of what a run printed that begins and ends as a telling does."""
    begin = out.index(telling[: telling.index("What was done")])
    end = out.index(telling[telling.index("\nFAILED means") :], begin)
    return out[begin:end] + telling[telling.index("\nFAILED means") :]


def test_a_counterexample_is_told_in_each_form(found, shared_place):
    (file, *_) = sorted((shared_place.folder / "found/counterexamples").glob("*.json"))
    name = f"found/counterexamples/{file.name}"
    told = shared_place.command("tell", name)
    assert (told.code, told.err) == (0, "")
    assert told.out.replace(name, str(file)) == told_by_run(found.out, told.out)
    narrow = shared_place.command("tell", name, "--width", "72").out
    assert narrow.startswith("TL-1 is broken by mutant:unmap-not-flushed")
    assert all(
        len(line) <= 72 or line.startswith("mmu-conformance ") for line in narrow.splitlines()
    )
    assert "\n### What was done\n" in shared_place.command("tell", name, "--as", "markdown").out
    written = shared_place.command("tell", name, "--as", "html", "--out", "page.html")
    assert (written.code, written.out) == (0, "")
    page = (shared_place.folder / "page.html").read_text()
    assert page.startswith("<!doctype html>")
    assert f"mmu-conformance replay {name} --target mutant:unmap-not-flushed" in page
    (shared_place.folder / "page.html").unlink()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--width", "60"), "--width is 60 with --as text; allowed are 72 to 200, with --as text"),
        (("--as", "html", "--width", "80"), "--width is 80 with --as html; allowed are 72 to 200"),
    ],
)
def test_widths_that_cannot_be_are_refused(arguments, message, found, shared_place):
    (file, *_) = sorted((shared_place.folder / "found/counterexamples").glob("*.json"))
    done = shared_place.command("tell", f"found/counterexamples/{file.name}", *arguments)
    assert done.code == 2
    assert message in done.err


def test_a_counterexample_is_exported_as_a_test(found, shared_place):
    (file, *_) = sorted((shared_place.folder / "found/counterexamples").glob("*.json"))
    test = shared_place.folder / "test_of_it.py"
    done = shared_place.command("export", f"found/counterexamples/{file.name}", "--out", test.name)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert shared_place.command("export", f"found/counterexamples/{file.name}").out == (
        test.read_text()
    )
    for target, code in (("", 1), ("reference", 0)):
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)],
            env=os.environ | ({"MMU_TARGET": target} if target else {}),
            cwd=shared_place.folder, capture_output=True, text=True,
        )  # fmt: skip
        assert run.returncode == code, run.stdout
    assert "identity not in violated('pagetable', TARGET, OPERATIONS, KERNEL)" in test.read_text()
    test.unlink()
    shutil.rmtree(shared_place.folder / "__pycache__", ignore_errors=True)


def test_what_is_no_counterexample_is_not_told(shared_place):
    (shared_place.folder / "other.json").write_text("{}")
    done = shared_place.command("tell", "other.json")
    assert done.code == 2
    assert "other.json has no schema; allowed are counterexample files" in done.err
    (shared_place.folder / "other.json").unlink()


def test_junit_has_a_case_for_each_rule(found, shared_place):
    root = ElementTree.parse(shared_place.folder / "found/junit.xml").getroot()
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert set(cases) == RULES
    assert [name for name, case in cases.items() if case.find("failure") is not None] == ["TL-1"]
    assert root.get("failures") == "1"
    text = cases["TL-1"].find("failure").text
    assert "mmu-conformance replay" in text
    assert "unmap iova=0x0" in text


def test_the_same_seed_gives_the_same_bytes_however_many_work_on_it(found, shared_place):
    done = shared_place.command(
        "run", "pagetable", "--target", WRONG, "--examples", "24", "-n", "2", "--seed", "0",
        "--report-dir", "again",
    )  # fmt: skip
    assert done.code == 1
    one, two = shared_place.folder / "found", shared_place.folder / "again"
    names = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    same = [
        name.as_posix() for name in names if (one / name).read_bytes() == (two / name).read_bytes()
    ]
    assert {name.as_posix() for name in names} - set(same) <= {"timing.json"}
    assert done.out.replace("again", "found") == found.out


def test_another_seed_is_another_run(found, shared_place):
    done = shared_place.command(
        "run", "--target", WRONG, *FEW, "--seed", "1", "--report-dir", "other"
    )
    assert "seed 1" in done.out
    one, two = (
        json.loads((shared_place.folder / name / "result.json").read_text())
        for name in ("found", "other")
    )
    assert (one.pop("seed"), two.pop("seed")) == (0, 1)
    assert one["operations"] != two["operations"]


def test_reports_of_an_earlier_run_are_replaced(place):
    reports = place.folder / "reports-of-mine"
    (reports / "counterexamples").mkdir(parents=True)
    (reports / "counterexamples/mine.json").write_text("{}")
    (reports / "result.json").write_text("old")
    done = place.command("run", *FEW, "--examples", "8", "--report-dir", reports)
    assert done.code == 0
    assert json.loads((reports / "result.json").read_text())["complete"] is True
    assert (reports / "counterexamples/mine.json").exists()


# -- run: exit codes --------------------------------------------------------------------------


def test_a_run_that_holds_ends_with_0_and_names_what_it_never_exercised(place):
    done = place.command("run", "pagetable", "--examples", "2", "-n", "0")
    assert (done.code, done.err) == (0, "")
    assert "EVERY RULE HELD" in done.out
    vacuous = re.search(r"^vacuous +(.*): never exercised", done.out, re.MULTILINE)[1].split(", ")
    assert "ER-3" in vacuous
    assert set(vacuous) < RULES
    unreached = re.search(
        r"^unreached (.*) and (\d+) more: nothing changed", done.out, re.MULTILINE
    )
    assert len(unreached[1].split(", ")) == 8
    assert {one.split()[0] for one in unreached[1].split(", ")} <= OPERATIONS
    assert place.files() == []
    assert list(place.temporary.iterdir()) == []


def test_strict_does_not_take_a_run_that_never_exercised_a_rule(place):
    done = place.command("run", "--examples", "2", "-n", "0", "--strict")
    assert done.code == 1
    assert re.fullmatch(r"mmu-conformance: --strict: never exercised: .*ER-3.*\n", done.err)


def test_the_users_pytest_has_no_say_in_a_run(place):
    (place.folder / "pytest.ini").write_text("[pytest]\naddopts = --nosuch\n")
    (place.folder / "conftest.py").write_text("raise RuntimeError('the conftest of the user')\n")
    (place.folder / "strategies.py").write_text("raise RuntimeError('a module of the user')\n")
    (place.folder / "reports").mkdir()
    (place.folder / "reports/__init__.py").touch()
    before = place.files()
    others = place.temporary / "pytest-of-somebody"
    others.mkdir()
    done = place.command(
        "run", "pagetable", "--examples", "8", "-n", "2", PYTEST_ADDOPTS="-k nothing --nosuch",
        PYTEST_PLUGINS="nosuch", PYTEST_DEBUG_TEMPROOT=str(others), CI="1",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert "8 examples" in done.out
    assert place.files() == before
    assert list(others.iterdir()) == []


def test_a_target_that_raises_is_told_with_its_traceback_and_ends_with_2(place):
    (place.folder / "adapter.py").write_text(
        "from conformance.systems.pagetable.targets import PageTableTarget\n"
        "class Broken(PageTableTarget):\n"
        "    def perform(self, operation, trace):\n"
        "        if operation.name == 'sync':\n"
        "            raise LookupError('the adapter is broken')\n"
        "        return super().perform(operation, trace)\n"
    )
    done = place.command("run", "--target", "python:adapter:Broken", *FEW, **place.importable())
    assert done.code == 2
    assert "LookupError: the adapter is broken" in done.err
    assert done.err.endswith(
        "mmu-conformance: the suite itself failed in a part of the run; see above\n"
    )
    assert done.out.splitlines()[-1].startswith("INCOMPLETE, so far: ")


def test_an_error_in_a_targets_factory_does_not_end_as_violations_do(place):
    (place.folder / "adapter.py").write_text("def make():\n    return 1 // 0\n")
    done = place.command("run", "--target", "python:adapter:make", **place.importable())
    assert (done.code, done.out) == (2, "")
    assert "ZeroDivisionError" in done.err


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_interrupted_run_keeps_what_it_found_and_ends_with_130(place, workers):
    process = subprocess.Popen(
        [
            sys.executable, "-P", "-m", "conformance", "run", "--target", WRONG,
            "--examples", "1000000", "-n", workers, "--report-dir", "rep",
        ],
        cwd=place.folder, env=place.environment(), start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # What a shell starts in the background ignores the signal, and so do its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not counterexamples_in(place.temporary):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 130, err
    assert re.search(r"^INTERRUPTED, so far: \d VIOLATIONS?", out, re.MULTILINE)
    data = json.loads((place.folder / "rep/result.json").read_text())
    assert data["complete"] is False
    assert data["counterexamples"]
    for name in data["counterexamples"]:
        assert counterexample.load(place.folder / "rep" / name).rule == "TL-1"
    assert list(place.temporary.iterdir()) == []


def counterexamples_in(temporary: Path) -> int:
    """How many counterexamples the shards of a run have left so far."""
    found = 0
    for path in temporary.glob("mmu-conformance-*/pagetable-*.json"):
        data = json.loads(path.read_text())
        found += sum(one["counterexample"] is not None for one in data["findings"])
    return found


def test_an_interrupt_before_the_run_ends_with_130(command_here, monkeypatch):
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_prepare", interrupt)
    done = command_here("run")
    assert (done.code, done.err) == (130, "mmu-conformance: interrupted\n")


# -- wrong use --------------------------------------------------------------------------------

TARGETS = ", ".join(kind.pattern for kind in kinds())

WRONG_USES = {
    "target": (["run", "--target", "nosuch"], ["target is 'nosuch'", TARGETS]),
    "no-target": (["run", "--target", ""], ["target is ''", TARGETS]),
    "mutant": (["run", "--target", "mutant:nosuch"], ["'nosuch'", "unmap-not-flushed"]),
    "mutants": (
        ["run", "--target", "mutant:unmap-not-flushed+nosuch"], ["'nosuch'", "wrong-attribute"],
    ),
    "linux": (["run", "--target", "linux:nosuch"], ["target is 'linux:nosuch'", TARGETS]),
    "module": (
        ["run", "--target", "python:no_such_module:make"],
        ["'python:no_such_module:make'", "allowed are a module"],
    ),
    "attribute": (
        ["run", "--target", "python:json:nosuch"], ["'python:json:nosuch'", "allowed are a module"],
    ),
    "no-callable": (["run", "--target", "python:os:path"], ["'python:os:path'", "callable"]),
    "no-object": (["run", "--target", "python:os:getcwd"], ["'python:os:getcwd'", "perform"]),
    "system": (["run", "nosuch"], ["system is 'nosuch'", "allowed are dart, gpuvm"]),
    "second-system": (["run", "pagetable", "nosuch"], ["system is 'nosuch'", "allowed"]),
    "profile": (["run", "--profile", "fast"], ["profile is 'fast'", ", ".join(PROFILES)]),
    "examples": (["run", "--examples", "-1"], ["examples is -1", "numbers from 1"]),
    "no-examples": (["run", "--examples", "0"], ["examples is 0", "numbers from 1"]),
    "steps": (["run", "--steps", "-7"], ["steps is -7", "numbers from 1"]),
    "no-steps": (["run", "--steps", "0"], ["steps is 0", "numbers from 1"]),
    "words": (["run", "--steps", "many"], ["--steps", "'many'", "integer"]),
    "seed": (["run", "--seed", "-1"], ["seed is -1", "numbers from 0 to 18446744073709551615"]),
    "large-seed": (["run", "--seed", str(2**64)], [f"seed is {2**64}", "allowed"]),
    "workers": (["run", "-n", "-1"], ["-n is '-1'", "numbers from 0, and auto"]),
    "no-workers": (["run", "-n", "some"], ["-n is 'some'", "numbers from 0, and auto"]),
    "known": (["run", "--known", "nosuch"], ["known is 'nosuch'", "allowed are"]),
    "known-format": (["run", "--known", "a-file"], ["a-file", "TOML"]),
    "report-dir": (["run", "--report-dir", "a-file"], ["report-dir is 'a-file'", "allowed"]),
    "report-below": (["run", "--report-dir", "a-file/b"], ["'a-file/b'", "is a file", "allowed"]),
    "no-report-dir": (["run", "--report-dir", ""], ["report-dir is ''", "allowed are folders"]),
    "database": (["run", "--database", "a-file"], ["database is 'a-file'", "allowed"]),
    "option": (["run", "--example", "5"], ["'--example'", "--examples", "--report-dir"]),
    "no-value": (["run", "--target"], ["--target", "requires an argument"]),
    "command": (["judge"], ["command is 'judge'", "doctor, export, list, replay, run, tell"]),
    "no-option": (["--nosuch"], ["'--nosuch'", "--version"]),
    "list": (["list", "nosuch"], ["list is 'nosuch'", "systems, targets, rules, formats, mutants"]),
    "no-list": (["list"], ["Missing argument", "systems|targets|rules|formats|mutants"]),
    "format": (["decode", "nosuch", "0x1"], ["format is 'nosuch'", ", ".join(FORMATS)]),
    "word": (["decode", "lpae-s1", "0xg"], ["word is '0xg'", "0xffffffffffffffff"]),
    "large-word": (["decode", "lpae-s1", hex(1 << 64)], [hex(1 << 64), "64-bit words"]),
    "small-word": (["decode", "lpae-s1", str(-(1 << 63) - 1)], ["word is", "64-bit words"]),
    "level": (["decode", "lpae-s1", "0x1", "--level", "4"], ["level is 4", "0 to 3"]),
    "low-level": (["decode", "lpae-s1", "0x1", "--level", "-1"], ["level is -1", "0 to 3"]),
    "no-word": (["decode", "lpae-s1"], ["Missing argument", "WORD"]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_USES)
def test_wrong_use_is_one_message_and_writes_nothing(command_here, name):
    arguments, said = WRONG_USES[name]
    Path("a-file").write_text("not = [what it should be\n")
    done = command_here(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("mmu-conformance: ")
    assert done.err.count("\n") == 1
    for words in said:
        assert words in done.err
    assert os.listdir() == ["a-file"]
    assert Path("a-file").read_text() == "not = [what it should be\n"


@pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="targets of Linux's code are for x86-64 hosts",
)
@pytest.mark.parametrize("kernel", ["nosuch", "empty", "half"])
def test_a_tree_without_the_files_is_one_message(command_here, kernel):
    Path("empty").mkdir()
    Path("half").mkdir()
    Path("half/Makefile").write_text("VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\n")
    done = command_here("run", "--target", "linux:io-pgtable-arm", "--kernel", kernel)
    assert done.code == 2
    assert (done.out, done.err.count("\n")) == ("", 1)
    assert kernel in done.err
    assert sorted(os.listdir()) == ["empty", "half"]
    assert os.listdir("empty") == []
    assert os.listdir("half") == ["Makefile"]


def test_no_command_at_all_says_what_there_is(command_here):
    done = command_here()
    for name in ("decode", "list", "replay", "run"):
        assert re.search(rf"^  {name} ", done.out + done.err, re.MULTILINE)


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_a_hidden_package_is_one_message_for_eager_options_too(place, option):
    (place.folder / "strategies").mkdir()
    (place.folder / "strategies/__init__.py").touch()
    done = place.python("-m", "conformance", option)
    assert (done.code, done.out) == (2, "")
    assert re.fullmatch(r"mmu-conformance: package strategies of .* is hidden by .*\n", done.err)


# -- what there is ----------------------------------------------------------------------------


def test_version_says_how_the_model_was_built_and_which_tree_would_be_used(command_here):
    done = command_here("--version")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == f"mmu-conformance {conformance.__version__}"
    assert re.fullmatch(r"model: (interpreted|compiled by mypyc \S+)", lines[1])
    assert re.fullmatch(r"kernel tree of linux: targets: .+", lines[2])


LISTS = {
    "systems": [*SYSTEMS, *OPERATIONS],
    "targets": [kind.pattern for kind in kinds()],
    "rules": sorted(RULES),
    "formats": list(FORMATS),
    "mutants": [one.id for one in MUTANTS],
}


@pytest.mark.parametrize("what", LISTS)
def test_a_list_names_everything(command_here, what):
    done = command_here("list", what)
    assert (done.code, done.err) == (0, "")
    firsts = {line.split()[0] for line in done.out.splitlines()}
    assert set(LISTS[what]) <= firsts


def test_the_list_of_rules_gives_sentence_consequence_and_source(command_here):
    text = " ".join(command_here("list", "rules").out.split())
    for rule in SYSTEMS["pagetable"].rules:
        for said in (rule.sentence, rule.consequence, rule.source):
            assert " ".join(said.split()) in text


def test_decode_says_what_a_word_means(command_here):
    done = command_here("decode", "lpae-s1", "0x1e43", "--level", "3")
    assert (done.code, done.err) == (0, "")
    assert re.search(r"^level 3: page pa=0x1000", done.out, re.MULTILINE)
    other = command_here("decode", "lpae-s1", str(0x1E43), "--level", "3")
    assert other.out == done.out
    ones = command_here("decode", "lpae-s1", "0xffffffffffffffff")
    assert command_here("decode", "lpae-s1", "-1").out == ones.out


def test_decode_reads_entries_of_large_and_small_tables(command_here):
    done = command_here("decode", "gp100", "0x4000041", "--level", "5")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[1].startswith("SPT: page pa=0x40000000")
    assert any(line.split()[:4] == ["[6]", "read-only", "=", "0x1"] for line in lines)
    # A word without a table is read as an entry of each.
    said = command_here("decode", "gp100", "0x20").out
    assert re.search(r"^LPT: hole$", said, re.MULTILINE)
    assert re.search(r"^PD0, large half: no table", said, re.MULTILINE)
    assert re.search(r"^PD0, small half: no table", said, re.MULTILINE)
    said = command_here("decode", "gm200-64k", "0x110100001501", "--level", "0").out
    assert re.search(r"^PGD, large half: table pa=0x150000", said, re.MULTILINE)
    assert re.search(r"^PGD, small half: table pa=0x110000", said, re.MULTILINE)
    wrong = command_here("decode", "gp100", "0x20", "--level", "6")
    assert wrong.code == 2
    assert "level is 6; allowed for gp100 are the tables 0 PD3, 1 PD2" in wrong.err


@pytest.mark.parametrize("name", FORMATS)
def test_any_word_can_be_decoded_in_any_table(name):
    fmt = FORMATS[name]
    words = [0, 1, 8, 0x20, (1 << 64) - 1, 1 << 63]
    words += [derived_seed(name, number) for number in range(20)]
    for word in words:
        for number, table in enumerate(fmt.tables):
            first, *lines = decoded(name, hex(word), number).splitlines()
            assert first.startswith(f"{word:#x} in {name} ")
            readings = [line for line in lines if not line.startswith(" ")]
            assert 1 <= len(readings) <= len(table.halves)
            assert all(
                line.startswith((f"{table.title}:", f"{table.title}, ")) for line in readings
            )
        assert len(decoded(name, hex(word), None)) > len(decoded(name, hex(word), 0))


@pytest.mark.parametrize("name", FORMATS)
def test_any_word_can_be_decoded_at_any_level(name):
    fmt = FORMATS[name]
    words = [0, 1, 3, (1 << 64) - 1, 1 << 63]
    words += [derived_seed(name, number) for number in range(60)]
    for word in words:
        for level in (None, *range(fmt.levels)):
            lines = decoded(name, hex(word), level).splitlines()
            assert lines[0].startswith(f"{word:#x} in {name} ")
            assert all(line.isprintable() for line in lines)
            readings = [line for line in lines[1:] if not line.startswith(" ")]
            assert readings
            starts = tuple(one.name for one in fmt.tables if one.name) or "level "
            assert all(line.startswith(starts) for line in readings)
            shown = "" if level is None else fmt.tables[level].title.removeprefix("level")
            assert all(shown in line for line in readings)
