"""Replay: FAILED, FIXED or ERROR for a counterexample; all that happened for a file by hand."""

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.discovery import SYSTEMS
from conformance.make_counterexample import counterexample_of
from conformance.minimise import minimise
from conformance.registry import make_target
from conformance.systems.pagetable.targets import PageTableTarget
from reference.formats import format_by_name
from reference.operations import Result, from_json
from reference.trace import HANG
from reports import counterexample

SYSTEM = SYSTEMS["pagetable"]
WRONG = "mutant:unmap-not-flushed"
IDENTITY = ("TL-1", "sync, level 3, stale leaf")


def op(name, **args):
    return from_json({"op": name} | args, SYSTEM.specs)


@pytest.fixture(scope="module")
def stale():
    """A counterexample of the mutant that does not flush."""
    target = make_target(WRONG)
    operations = [op("create"), op("map", iova=0x5000), op("unmap", iova=0x5000), op("sync")]
    found = minimise(SYSTEM, target, operations, IDENTITY)
    return counterexample_of(SYSTEM, target, found, IDENTITY, 7)


@pytest.fixture
def again(command_here, stale):
    """Runs ``replay`` on the counterexample, which lies in the current folder."""
    counterexample.save(stale, "stale.json")

    def run(*arguments):
        done = command_here("replay", "stale.json", *arguments)
        assert os.listdir() == ["stale.json"]
        return done

    return run


# -- counterexamples --------------------------------------------------------------------------


@pytest.mark.parametrize("target", [(), ("--target", WRONG)])
def test_what_is_still_broken_failed(again, target):
    done = again(*target)
    assert (done.code, done.err) == (1, "")
    lines = done.out.splitlines()
    assert lines[0].startswith(f"FAILED on {WRONG} (")
    assert any(line.startswith("TL-1 is broken by") for line in lines)
    assert "mmu-conformance replay stale.json --target reference" in done.out


def test_what_holds_is_fixed(again):
    done = again("--target", "reference")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("FIXED on reference (")
    assert [line.split()[1] for line in lines[1:]] == ["create", "map", "unmap", "sync"]
    assert "  3  unmap iova=0x0  -> 0, 4K unmapped" in lines


def test_another_signature_of_the_same_rule_failed_too(stale, command_here):
    # Another version of the code may do the same in another function.
    other = replace(stale, signature=f"{stale.signature}, in some_function")
    counterexample.save(other, "other.json")
    done = command_here("replay", "other.json")
    assert done.code == 1
    assert done.out.startswith("FAILED ")
    assert command_here("replay", "other.json", "--target", "reference").code == 0


def test_the_answer_as_json(again):
    failed = again("--json")
    data = json.loads(failed.out)
    assert (failed.code, failed.err) == (1, "")
    assert (data["answer"], data["system"]) == ("FAILED", "pagetable")
    assert data["target"].startswith(WRONG)
    assert [one["op"] for one in data["operations"]] == ["create", "map", "unmap", "sync"]
    assert [(one["rule"], one["signature"]) for one in data["violations"]] == [IDENTITY]
    fixed = again("--json", "--target", "reference")
    data = json.loads(fixed.out)
    assert (fixed.code, data["answer"], data["violations"]) == (0, "FIXED", [])
    assert [(one["result"], one["value"]) for one in data["operations"]] == [
        (0, "0x0"), (0, "0x1000"), (0, "0x1000"), (0, "0x0"),
    ]  # fmt: skip


def error_of(done, *words):
    """The one message of a replay that could not be done."""
    assert (done.code, done.out) == (2, "ERROR\n")
    assert done.err.startswith("mmu-conformance: ")
    assert done.err.count("\n") == 1
    for said in words:
        assert said in done.err
    return done.err


@pytest.mark.parametrize("part", [0, 1, 2, 20, 100, 0.2, 0.5, 0.9, 0.999])
def test_a_counterexample_that_was_cut_off_is_an_error(again, command_here, part):
    again()
    whole = Path("stale.json").read_bytes()
    end = part if isinstance(part, int) else int(len(whole) * part)
    Path("cut.json").write_bytes(whole[:end].rstrip(b"\n}") if part == 0.999 else whole[:end])
    error_of(command_here("replay", "cut.json"), "cut.json", "allowed")


FOREIGN = {
    "result": ('{"schema": "mmu-conformance/result/1"}', ["schema", "counterexample/1"]),
    "next": ('{"schema": "mmu-conformance/counterexample/2"}', ["counterexample/2", "allowed"]),
    "object": ('{\n "name": "something",\n "value": 5\n}', ["schema", "allowed"]),
    "list": ("[1, 2, 3]", ["allowed"]),
    "number": ("17", ["allowed"]),
    "text": ("something else\n", ["allowed"]),
    "bytes": (b"\xff\xfe\x00", ["allowed"]),
    "other-line": ('{"name": "create"}\n', ["op", "allowed"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_file_is_an_error(command_here, name):
    content, words = FOREIGN[name]
    Path("foreign").write_bytes(content.encode() if isinstance(content, str) else content)
    error_of(command_here("replay", "foreign"), "foreign", *words)
    assert os.listdir() == ["foreign"]


SPOILT = {
    "system": ({"system": "nosuch"}, ["system is 'nosuch'", "pagetable"]),
    "rule": ({"rule": "XX-9"}, ["rule is 'XX-9'", "TL-1"]),
    "target": ({"target": {"name": "nosuch", "version": ""}}, ["target is 'nosuch'", "reference"]),
    "field": ({"seed": "many"}, ["field seed is 'many'", "allowed"]),
    "operation": (
        {"operations": [{"op": "create"}, {"op": "drop"}, {"op": "sync"}, {"op": "sync"}]},
        ["operation 2", "'drop'", "unmap"],
    ),
    "count": (
        {"operations": [{"op": "create"}, {"op": "map", "iova": 0, "pgcount": -1}] * 2},
        ["pgcount", "-1", "allowed"],
    ),
    "table": ({"operations": [{"op": "create", "oas": 33}] * 4}, ["oas is 33", "allowed"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_counterexample_is_an_error(again, command_here, name):
    change, words = SPOILT[name]
    again()
    data = json.loads(Path("stale.json").read_text()) | change
    Path("spoilt.json").write_text(json.dumps(data))
    error_of(command_here("replay", "spoilt.json"), *words)


@pytest.mark.parametrize("file", ["nosuch", "."])
def test_what_cannot_be_read_is_an_error(command_here, file):
    error_of(command_here("replay", file), repr(file), "allowed are")


def test_an_error_as_json(command_here):
    done = command_here("replay", "nosuch", "--json")
    data = json.loads(done.out)
    assert (done.code, done.err) == (2, "")
    assert data["answer"] == "ERROR"
    assert "'nosuch'" in data["message"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "nosuch"], ["target is 'nosuch'", "mutant:ID"]),
        (["--target", "mutant:nosuch"], ["'nosuch'", "wrong-attribute"]),
    ],
)
def test_wrong_use_is_an_error(again, command_here, arguments, words):
    again()
    error_of(command_here("replay", "stale.json", *arguments), *words)


# -- operations by hand -----------------------------------------------------------------------


BY_HAND = """\
# A page and a block, and what lies between.
{"op": "map", "iova": "0x5000", "pa": "0x123000", "prot": "rc"}

{"op": "map", "iova": "0x40000000", "pa": 0, "pgsize": "2M"}
{"op": "map", "iova": "0x5000", "pa": "0x7000"}
{"op": "translate", "iova": "0x5678"}
{"op": "unmap", "iova": "0x9000"}
"""


def test_what_each_operation_returned_and_each_page_translates_to_is_told(command_here):
    Path("hand.jsonl").write_text(BY_HAND)
    done = command_here("replay", "hand.jsonl")
    assert (done.code, done.err) == (0, "")
    operations, pages = done.out.split("\n\n")
    assert operations.splitlines() == [
        "  1  create  -> 0",
        "  2  map iova=0x5000 pa=0x123000 prot=rc  -> 0, 4K mapped",
        "  3  map iova=0x40000000 pgsize=2M  -> 0, 2M mapped",
        "  4  map iova=0x5000 pa=0x7000  -> -EEXIST (-17), 0 mapped  [misuse]",
        "  5  translate iova=0x5678  -> 0, pa 0x123678",
        "  6  unmap iova=0x9000  -> 0, 0 unmapped  [misuse]",
    ]
    fmt = format_by_name("lpae-s1")
    page, block = fmt.leaf(3, 0x123000, 0x5), fmt.leaf(2, 0, 0x3)
    lines = pages.splitlines()
    firsts = [line for line in lines if not line.startswith(" ")]
    assert [line.partition(" -> ")[0] for line in firsts] == [
        "0x5000..0x5fff", "0x9000..0x9fff", "0x40000000..0x401fffff",
    ]  # fmt: skip
    assert firsts[0].startswith("0x5000..0x5fff -> 0x123000 r")
    assert firsts[1] == "0x9000..0x9fff -> nothing"
    assert f"    level 3 [5] of 0x80003000: {page:#x}  leaf: {fmt.describe(3, page)}" in lines
    assert any(f": {block:#x}  leaf: " in line for line in lines)
    # Every word of every walk: four levels for a page, three for a block.
    assert sum(line.startswith("    level ") for line in lines) == 4 + 4 + 3


def test_operations_by_hand_as_json(command_here):
    Path("hand.jsonl").write_text(BY_HAND)
    done = command_here("replay", "hand.jsonl", "--json")
    data = json.loads(done.out)
    assert (done.code, data["answer"], data["violations"]) == (0, "HELD", [])
    assert data["target"].startswith("reference")
    assert [one["sort"] for one in data["operations"]] == [
        "legal", "legal", "legal", "misuse", "legal", "misuse",
    ]  # fmt: skip
    assert data["operations"][3]["result"] == -17
    assert data["operations"][4]["value"] == "0x123678"
    (page, hole, block) = data["pages"]
    assert (page["first"], page["size"], page["pa"]) == ("0x5000", "0x1000", "0x123000")
    assert (hole["pa"], hole["access"]) == (None, "")
    assert block["size"] == "0x200000"
    assert len(page["entries"]) == 4


def test_a_broken_rule_ends_with_1(command_here):
    Path("hand.jsonl").write_text(
        '{"op": "map", "iova": 0}\n{"op": "unmap", "iova": 0}\n{"op": "sync"}\n'
    )
    assert command_here("replay", "hand.jsonl").code == 0
    done = command_here("replay", "hand.jsonl", "--target", WRONG)
    assert (done.code, done.err) == (1, "")
    assert "\nTL-1: The device may still translate 0x0" in done.out
    data = json.loads(command_here("replay", "hand.jsonl", "--target", WRONG, "--json").out)
    assert data["answer"] == "FAILED"
    assert [one["rule"] for one in data["violations"]] == ["TL-1"]


class Hanging(PageTableTarget):
    """Does not come back from a translate."""

    def perform(self, operation, trace):
        if operation.name != "translate":
            return super().perform(operation, trace)
        trace.emit(HANG)
        return Result(0, 0, False)


def test_what_did_not_come_back_is_told(command_here, monkeypatch):
    monkeypatch.setattr("conformance.replay.make_target", lambda name, kernel, system: Hanging())
    Path("hand.jsonl").write_text('{"op": "translate", "iova": 0}\n{"op": "map", "iova": 0}\n')
    done = command_here("replay", "hand.jsonl")
    assert done.code == 1
    assert "  2  translate iova=0x0  -> did not come back\n" in done.out
    assert "  3  map iova=0x0  -> 0, 4K mapped\n" in done.out
    assert "PG-1" in done.out


def test_only_so_many_pages_are_listed(command_here):
    Path("hand.jsonl").write_text('{"op": "map", "iova": 0, "pgcount": 300}\n')
    done = command_here("replay", "hand.jsonl")
    assert "0x3f000..0x3ffff -> 0x3f000" in done.out
    assert "and more touched entries, from 0x40000 on" in done.out
    assert "0x40000.." not in done.out


LINES = {
    "operation": ('{"op": "nosuch"}', ["operation is 'nosuch'", "map, unmap"]),
    "argument": ('{"op": "sync", "iova": 0}', ["iova", "sync"]),
    "missing": ('{"op": "map"}', ["iova", "missing", "allowed"]),
    "negative": ('{"op": "map", "iova": 0, "pgcount": -1}', ["pgcount", "-1", "from 0 to"]),
    "large": ('{"op": "map", "iova": "0x10000000000000000"}', ["iova", "0xffffffffffffffff"]),
    "choice": ('{"op": "unmap", "iova": 0, "gather": "lazy"}', ["'lazy'", "strict, queued"]),
    "twice": ('{"op": "sync", "op": "flush"}', ["'op'", "twice"]),
    "cut": ('{"op": "map", "iova": ', ["not JSON", "allowed"]),
    "format": ('{"op": "create", "format": "nosuch"}', ["'nosuch'", "lpae-mali"]),
}


@pytest.mark.parametrize("name", LINES)
def test_a_line_that_is_no_operation_is_an_error(command_here, name):
    line, words = LINES[name]
    Path("hand.jsonl").write_text(f'{{"op": "create"}}\n\n{line}\n')
    error_of(command_here("replay", "hand.jsonl"), "hand.jsonl:3: ", *words)


def test_a_table_that_cannot_be_is_an_error(command_here):
    Path("hand.jsonl").write_text('{"op": "create", "ias": 39, "oas": 33}\n')
    error_of(command_here("replay", "hand.jsonl"), "oas is 33", "allowed")


def test_a_system_that_is_not_there_is_an_error(command_here):
    Path("hand.jsonl").write_text('{"op": "create"}\n')
    error_of(command_here("replay", "hand.jsonl", "--system", "nosuch"), "'nosuch'", "pagetable")


# -- what the printed lines name -----------------------------------------------------------------


def test_the_system_is_the_one_that_knows_the_operations(command_here):
    Path("hand.jsonl").write_text('{"op": "vm"}\n{"op": "active"}\n')
    done = command_here("replay", "hand.jsonl")
    assert done.code == 0
    assert "VM 0" in done.out


def test_a_replay_reads_a_pipe(command_here):
    os.mkfifo("pipe")
    writer = threading.Thread(target=Path("pipe").write_text, args=('{"op": "map", "iova": 0}\n',))
    writer.start()
    done = command_here("replay", "pipe")
    writer.join()
    assert done.code == 0
    assert "0x0..0xfff -> 0x0" in done.out


def test_a_tree_without_a_linux_target_is_an_error(command_here):
    done = command_here("run", "pagetable", "--kernel", "/nowhere")
    assert (done.code, done.out) == (2, "")
    assert "--kernel" in done.err
    assert "linux:" in done.err
