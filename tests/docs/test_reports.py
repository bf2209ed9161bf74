"""The counterexamples that the pages show: still found, and told as the pages say."""

import json
import os
from pathlib import Path

import pytest

from conformance.discovery import system_by_name
from conformance.minimise import reproduces
from conformance.registry import make_target
from conformance.targets.linux.errors import KernelTreeError
from conformance.targets.protocol import TargetUnavailable
from reference.operations import from_json
from reports import terminal
from reports.counterexample import load

FOLDER = Path(__file__).parents[2] / "docs" / "reports"
FILES = sorted(FOLDER.glob("*.json"))


def operations_of(shown):
    specs = system_by_name(shown.system).specs
    return [from_json(one, specs) for one in shown.operations]


def test_each_page_has_its_file():
    assert [one.stem for one in FILES] == sorted(one.stem for one in FOLDER.glob("*.md"))
    assert {"kb-01", "kb-03", "kb-14"} <= {one.stem for one in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda one: one.stem)
def test_the_page_is_what_is_told(file):
    shown = load(file, system_by_name)
    told = terminal.tell(shown, vocabulary=system_by_name(shown.system).vocabulary)
    assert told.rstrip("\n") in file.with_suffix(".md").read_text(encoding="utf-8")
    # All three views are there, before and after.
    for row in ("promise", "driver", "hardware"):
        assert told.count(f" {row} ") >= 2


@pytest.mark.xdist_group("linux")
@pytest.mark.parametrize("file", FILES, ids=lambda one: one.stem)
def test_it_is_found_again_and_the_reference_does_it_right(file):
    shown = load(file, system_by_name)
    system = system_by_name(shown.system)
    identity = (shown.rule, shown.signature)
    given = operations_of(shown)
    reference = make_target("reference", system=system.name)
    assert reproduces(system, reference, given, identity) == 0
    try:
        linux = make_target(shown.target_name)
    except (TargetUnavailable, KernelTreeError) as error:
        if os.environ.get("MMU_CONFORMANCE_REQUIRE_LINUX"):
            raise
        pytest.skip(str(error))
    if "linux 6.12." not in linux.version:
        pytest.skip(f"the pages are about 6.12, and this is {linux.version}")
    assert reproduces(system, linux, given, identity) == len(given)
    linux.close()


def test_the_files_hold_no_path():
    for file in FILES:
        assert "/home/" not in json.dumps(json.loads(file.read_text(encoding="utf-8")))
