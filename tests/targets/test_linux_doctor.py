"""What a person is told before and instead of a traceback: doctor, refusals, git worktrees."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from conformance import cli
from conformance.systems.mali.targets import PANTHOR
from conformance.targets.linux import probes, tree
from conformance.targets.linux.errors import MissingFunctionError
from tests.targets.conftest import kernel_of, make_target

# It shares the tree, and what was built from it, with the tests of the build.
pytestmark = pytest.mark.xdist_group("linux-build")


def test_doctor_says_what_each_target_is_built_of(own_tree: Any) -> None:
    make_target("io-pgtable-arm", own_tree.path).close()  # or a skip where nothing can be built
    own_tree.restore()
    done = CliRunner().invoke(cli.main, ["doctor", "--kernel", str(own_tree.path)])
    assert done.exit_code == 0, done.output
    assert "linux:panthor, judged is drivers/gpu/drm/panthor/panthor_mmu.c\n" in done.output
    assert "apt-get install make gcc libc6-dev flex bison bc" in done.output
    for probe in probes.PROBES:
        assert f"{probe.name}: {probe.sentence}" in done.output


def test_doctor_without_a_tree(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.main, ["doctor", "--kernel", str(tmp_path)])
    assert done.exit_code == 1
    assert "kernel tree: none: kernel is " in done.output
    assert "Traceback" not in done.output


def test_a_probe_that_cannot_be_decided_is_no_traceback(own_tree: Any) -> None:
    """A tree in which a function got a third name: which probe, which file, what to do."""
    header = own_tree.path / "include/linux/timer.h"
    text = header.read_text()
    header.unlink()
    header.write_text(text.replace("init_timer_key", "brand_new_key"))
    try:
        command = ["run", "va-alloc", "--target", "linux:drm-mm", "--kernel", str(own_tree.path)]
        done = CliRunner().invoke(cli.main, command)
    finally:
        header.write_text(text)
    assert done.exit_code == 2
    assert "the probe TIMER_INIT_KEY cannot be decided" in done.output
    assert "file: include/linux/timer.h: it has neither" in done.output
    assert len(done.output.splitlines()) < 12


def test_a_missing_function_ends_a_run_with_a_short_message(own_tree: Any) -> None:
    own_tree.edit(r"\bdma_wmb\(\);", "{ extern void brand_new(void); brand_new(); }")
    command = [
        "run",
        "pagetable",
        "--target",
        "linux:io-pgtable-arm",
        "--examples",
        "16",
        "-n",
        "0",
    ]
    done = CliRunner().invoke(cli.main, [*command, "--kernel", str(own_tree.path)])
    own_tree.restore()
    assert done.exit_code == 2
    assert "the run cannot go on: the driver called brand_new(), which" in done.output
    assert "to do: define it in conformance/targets/linux/native/kernel" in done.output
    assert "Traceback" not in done.output
    before = done.output.partition("mmu-conformance:")[0]
    assert len(before.splitlines()) < 40


def test_a_missing_function_names_its_probe() -> None:
    said = str(
        MissingFunctionError("drm_gpuvm_bo_obtain", probes.asked_about("drm_gpuvm_bo_obtain"))
    )
    assert "the tree was asked about it: GPUVM_OBTAIN_LOCKED: A VM's bond" in said
    assert probes.asked_about("brand_new") == ""


def test_a_refused_unit_says_what_is_lacking() -> None:
    path = tree.find_tree(kernel_of("linux-source-7.3")).path
    said = probes.refusal(path, {"PANTHOR_OWN_GEM": "That is not there yet."})
    assert said == (
        "drivers/gpu/drm/panthor/panthor_gem.h: panthor's buffers are its own, and not those of "
        "the shmem helper. That is not there yet."
    )
    assert probes.refusal(path, {"GPUVA_NEIGHBOURS": "x"}) == ""
    assert set(PANTHOR.refuses) <= {probe.name for probe in probes.PROBES}


def test_a_worktree_says_its_commit_and_whether_it_was_changed(tmp_path: Path) -> None:
    main = tmp_path / "main"
    for name in tree.NEEDED:
        path = main / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("VERSION = 6\nPATCHLEVEL = 99\nSUBLEVEL = 1\n")

    def git(*command: str) -> str:
        who = ["-c", "user.name=x", "-c", "user.email=x@x.test", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", "-C", str(main), *who, *command], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "x")
    worktree = tmp_path / "worktree"
    git("worktree", "add", "--quiet", "--detach", str(worktree))
    commit = git("rev-parse", "--short=12", "HEAD")
    for path in (main, worktree):
        said = tree.open_tree(path, str(path)).description
        assert said == f"linux 6.99.1 ({path}, commit {commit}, clean)"
    (worktree / "Kconfig").write_text("changed\n")
    said = tree.open_tree(worktree, str(worktree)).description
    assert said == f"linux 6.99.1 ({worktree}, commit {commit}, changed)"
