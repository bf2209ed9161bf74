"""The page of findings: each is found again by its operations, on the tree that is there."""

import json
import os
import re
from pathlib import Path

import pytest

from conformance.discovery import system_by_name
from conformance.known_failures import FOLDER, read_known
from conformance.minimise import reproduces
from conformance.registry import make_target, systems_of
from conformance.targets.linux.errors import KernelTreeError
from conformance.targets.protocol import TargetUnavailable
from reference.operations import from_json
from tests.targets.conftest import kernel_of

PAGE = Path(__file__).parents[2] / "docs" / "findings.md"
ENTRY = re.compile(
    r"^(?P<rule>[A-Z]{2}-\d+), `(?P<signature>[^`]+)`, on `(?P<target>[^`]+)`"
    r"(?: of (?P<tree>[\d.]+))?:\n\n"
    r"```json\n(?P<operations>.*?)\n```$",
    re.DOTALL | re.MULTILINE,
)


def text():
    return PAGE.read_text(encoding="utf-8")


def entries():
    return [
        pytest.param(found, id=f"{found['target']}-{found['rule']}-{number}")
        for number, found in enumerate(ENTRY.finditer(text()))
    ]


def system_of(found):
    return system_by_name(systems_of(found["target"])[0])


def operations(found):
    specs = system_of(found).specs
    return [from_json(json.loads(line), specs) for line in found["operations"].splitlines()]


def target(name, tree):
    try:
        return make_target(name, tree and kernel_of(f"linux-source-{tree}"))
    except (TargetUnavailable, KernelTreeError) as error:
        if os.environ.get("MMU_CONFORMANCE_REQUIRE_LINUX"):
            raise
        pytest.skip(str(error))


@pytest.mark.xdist_group("linux")
@pytest.mark.parametrize("found", entries())
def test_it_is_found_again(found):
    linux = target(found["target"], found["tree"])
    if not found["tree"] and not re.match(r"linux 6\.(1|12)\.", linux.version):
        pytest.skip(f"the page is about 6.1 and 6.12, and this is {linux.version}")
    identity = (found["rule"], found["signature"])
    given = operations(found)
    if "raw" in linux.traits and any(one.args.get("raw") for one in given):
        pytest.skip(f"{linux.version} has no raw interface")
    assert reproduces(system_of(found), linux, given, identity) == len(given)
    linux.close()


@pytest.mark.parametrize("found", entries())
def test_the_reference_does_it_right(found):
    system = system_of(found)
    reference = make_target("reference", system=system.name)
    identity = (found["rule"], found["signature"])
    assert reproduces(system, reference, operations(found), identity) == 0


def test_every_entry_stands_in_the_table():
    table = text().split("| rule | identity |")[1].split("\n\n")[0]
    for found in ENTRY.finditer(text()):
        assert f"| {found['signature']} |" in table


def test_what_the_page_argues_is_what_is_known_to_fail():
    argued = {(one["target"], one["rule"], one["signature"]) for one in ENTRY.finditer(text())}
    known = {
        (one.target, *identity)
        for path in FOLDER.glob("linux-*.toml")
        for one in read_known(path)
        for identity in one.identities
    }
    assert argued >= known
