"""The lines that a telling prints to see something again."""

import shlex
from dataclasses import replace
from pathlib import Path

from conformance.discovery import system_by_name
from reports import counterexample
from reports.reproduce import replay_lines, run_line

DATA = Path(__file__).parent / "data" / "kb-16.json"


def example(target):
    return replace(counterexample.load(DATA, system_by_name), target_name=target)


def test_a_replay_names_tree_and_file_as_a_shell_reads_them():
    lines = replay_lines(example("linux:io-pgtable-arm"), "my files/it's.json", "/src/a tree")
    assert [shlex.split(line) for line in lines] == [
        ["mmu-conformance", "replay", "my files/it's.json", "--target", "linux:io-pgtable-arm",
         "--kernel", "/src/a tree"],
        ["mmu-conformance", "replay", "my files/it's.json", "--target", "reference"],
    ]  # fmt: skip


def test_only_linux_targets_have_a_tree_and_only_others_a_second_line():
    assert replay_lines(example("reference"), "a.json", "/src") == [
        "mmu-conformance replay a.json --target reference"
    ]


def test_a_run_that_wrote_nothing_is_told_with_what_it_was_given():
    settings = (("--profile", "dev"), ("--examples", None), ("--seed", 3))
    assert run_line("mali", "python:my.module:make", None, settings) == (
        "mmu-conformance run mali --target python:my.module:make --profile dev --seed 3 "
        "--report-dir reports"
    )
