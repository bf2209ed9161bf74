"""The result of a run: the same bytes for the same run, no times, and JUnit that others read."""

import dataclasses
import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from reports.result import (
    Identity,
    OperationCount,
    Result,
    RuleCount,
    StateCount,
    SystemResult,
    junit_xml,
    to_json,
    write_junit,
    write_result,
    write_timing,
)

BROKEN = Identity("pagetable", "OR-2", "unmap, level 2", "", 12, 0, "pagetable-OR-2-1f3a9c.json")
KNOWN = Identity("pagetable", "TL-1", "unmap, sync", "", 3, 1, "", known="KB-99")
MISUSED = Identity("pagetable", "OR-2", "map (overlap)", "misuse", 1, 30, "b.json")


def system(name="pagetable", identities=(BROKEN, KNOWN, MISUSED)):
    return SystemResult(
        name,
        examples=300,
        steps=1000,
        rules={
            "TR-1": RuleCount(900, 0),
            "OR-2": RuleCount(50, 13, {"it is dark": 2}),
            "TL-1": RuleCount(40, 3),
            "PG-1": RuleCount(0, 0),
            "RC-9": RuleCount(0, 0),
        },
        operations={
            "unmap": OperationCount(300, 200, 60, 40, 180),
            "map": OperationCount(700, 700, 0, 0, 600),
        },
        not_applicable=("RC-9",),
        states={"map": {"large": StateCount(9, 4), "sparse": StateCount(3, 0)}, "unmap": {}},
        identities=tuple(dataclasses.replace(identity, system=name) for identity in identities),
    )


def result(*systems, complete=True):
    return Result(
        "linux:io-pgtable-arm",
        "Linux 6.12.117",
        7,
        "ci",
        complete,
        {"mypyc": "2.4.1", "hypothesis": "6.170.15"},
        systems or (system(),),
    )


def test_result_json_says_what_was_run_and_what_was_found(tmp_path):
    path = tmp_path / "result.json"
    write_result(result(), path)
    data = json.loads(path.read_text())
    assert data["schema"] == "mmu-conformance/result/1"
    assert data["target"] == {"name": "linux:io-pgtable-arm", "version": "Linux 6.12.117"}
    assert (data["seed"], data["profile"], data["examples"], data["steps"], data["complete"]) == (
        7,
        "ci",
        300,
        1000,
        True,
    )
    assert data["rules"]["OR-2"] == {"checked": 50, "violated": 13, "silent": {"it is dark": 2}}
    assert list(data["rules"]) == sorted(data["rules"])
    assert data["vacuous"] == ["PG-1"]
    assert data["not_applicable"] == ["RC-9"]
    assert data["operations"]["unmap"] == {
        "count": 300,
        "legal": 0.6667,
        "refused": 0.2,
        "misuse": 0.1333,
        "changed": 0.6,
    }
    assert data["counterexamples"] == ["b.json", "pagetable-OR-2-1f3a9c.json"]
    assert [identity["signature"] for identity in data["identities"]] == [
        "map (overlap)",
        "unmap, level 2",
        "unmap, sync",
    ]
    assert data["identities"][0]["examples_cut_short"] == 0.1
    assert data["identities"][2]["known"] == "KB-99"
    assert data["systems"]["pagetable"]["changed"] == 0.78
    states = data["systems"]["pagetable"]["states"]
    assert states["map"] == {
        "large": {"count": 9, "changed": 4},
        "sparse": {"count": 3, "changed": 0},
    }
    assert data["systems"]["pagetable"]["unreached"] == ["map sparse"]
    assert data["versions"] == {"hypothesis": "6.170.15", "mypyc": "2.4.1"}


def test_the_same_result_gives_the_same_bytes_whatever_the_order(tmp_path):
    one = system()
    other = dataclasses.replace(
        one,
        rules=dict(reversed(one.rules.items())),
        operations=dict(reversed(one.operations.items())),
        identities=tuple(reversed(one.identities)),
    )
    second = system("mali", ())
    write_result(result(one, second), tmp_path / "one")
    write_result(result(second, other), tmp_path / "other")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    assert junit_xml(result(one, second), {}) == junit_xml(result(second, other), {})


def test_several_systems_are_summed_and_kept_apart():
    data = to_json(result(system(), system("mali", ())))
    assert data["examples"] == 600
    assert data["rules"]["TR-1"] == {"checked": 1800, "violated": 0, "silent": {}}
    assert data["operations"]["map"]["count"] == 1400
    assert data["systems"]["mali"]["rules"]["TR-1"] == {"checked": 900, "violated": 0, "silent": {}}
    assert list(data["systems"]) == ["mali", "pagetable"]


def test_there_is_no_time_in_the_result():
    def keys(data):
        if isinstance(data, dict):
            for name, value in data.items():
                yield name
                yield from keys(value)
        elif isinstance(data, list):
            for value in data:
                yield from keys(value)

    names = set(keys(to_json(result())))
    assert not [name for name in names if re.search("time|second|date|duration|host", name)]
    assert " time=" not in junit_xml(result(), {})


def test_an_empty_run_has_shares_of_zero_and_no_violation():
    nothing = SystemResult("pagetable", 0, 0, {}, {"map": OperationCount(0, 0, 0, 0, 0)})
    data = to_json(result(nothing, complete=False))
    assert data["operations"]["map"]["legal"] == 0.0
    assert data["systems"]["pagetable"]["changed"] == 0.0
    assert data["complete"] is False


def test_violations_are_those_that_are_not_known():
    assert [identity.signature for identity in result().violations] == [
        "map (overlap)",
        "unmap, level 2",
    ]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: RuleCount(-1, 0), "checked is -1; allowed are counts from 0"),
        (lambda: OperationCount(3, 1, 1, 0, 0), "make up count, 3"),
        (lambda: OperationCount(3, 3, 0, 0, 4), "the last is not above it"),
        (
            lambda: Identity("s", "R", "x", "", 1, 0, "/tmp/x.json"),
            "counterexample is '/tmp/x.json'; allowed are paths relative",
        ),
        (
            lambda: SystemResult("s", 1, 1, {}, {}, ("R-1",)),
            "not_applicable names 'R-1'",
        ),
        (
            lambda: SystemResult("s", 1, 1, {"R-1": RuleCount(1, 1)}, {}, (), (BROKEN,)),
            "one of system 'pagetable' and rule 'OR-2'; allowed are system 's' and rules R-1",
        ),
        (lambda: result(system(), system()), "allowed is each once"),
        (
            lambda: Result("t", "v", 1, "ci", True, {"python": "3.11"}),
            "versions are of ['python']; allowed are hypothesis and mypyc",
        ),
    ],
)
def test_counts_that_do_not_add_up_are_refused(make, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        make()


def test_timing_is_a_file_of_its_own(tmp_path):
    path = tmp_path / "timing.json"
    write_timing({"pagetable": 12.34567, "whole": 13.0}, "compiled", path)
    assert json.loads(path.read_text()) == {
        "schema": "mmu-conformance/timing/1",
        "model": "compiled",
        "seconds": {"pagetable": 12.346, "whole": 13.0},
    }
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="seconds of run is"):
            write_timing({"run": wrong}, "compiled", path)


# -- JUnit -----------------------------------------------------------------------------------


def test_junit_has_one_case_for_each_rule_of_each_system(tmp_path):
    path = tmp_path / "junit.xml"
    telling = "strip [==] & <walk> \x1b[31mred\x1b[0m \x00"
    write_junit(
        result(system(), system("mali", ())),
        {("pagetable", "OR-2", "unmap, level 2"): telling},
        path,
    )
    root = ElementTree.parse(path).getroot()
    assert root.attrib == {
        "name": "mmu-conformance",
        "tests": "10",
        "failures": "1",
        "errors": "0",
        "skipped": "4",
    }
    assert [suite.get("name") for suite in root] == [
        "mmu-conformance.mali",
        "mmu-conformance.pagetable",
    ]
    cases = {case.get("name"): case for case in root[1].iter("testcase")}
    assert sorted(cases) == ["OR-2", "PG-1", "RC-9", "TL-1", "TR-1"]
    failure = cases["OR-2"].find("failure")
    assert failure.get("message") == "map (overlap); unmap, level 2"
    # The telling is whole, less the characters that XML cannot hold; without one, the signature.
    assert "strip [==] & <walk> ?[31mred?[0m ?" in failure.text
    assert "map (overlap)" in failure.text
    assert cases["PG-1"].find("skipped").get("message").startswith("vacuous")
    assert cases["RC-9"].find("skipped").get("message").startswith("not applicable")
    assert cases["TL-1"].find("failure") is None
    assert "known failure KB-99, met 3 times" in cases["TL-1"].find("system-out").text
    assert cases["TR-1"].find("system-out").text == "checked 900 times"
    properties = {entry.get("name"): entry.get("value") for entry in root[1].iter("property")}
    assert properties["target"] == "linux:io-pgtable-arm"
    assert properties["seed"] == "7"


def test_an_interrupted_run_is_an_error_in_junit():
    root = ElementTree.fromstring(junit_xml(result(complete=False), {}))
    assert root.get("errors") == "1"
    assert root.find(".//error").get("message") == "the run was interrupted"


def test_what_is_wrong_with_known_failures_is_a_failure_in_junit():
    text = junit_xml(result(), {}, ["stale: TL-1 'x' does not fail <any> more", "too wide: y"])
    root = ElementTree.fromstring(text)
    (case,) = (one for one in root.iter("testcase") if one.get("name") == "known failures")
    assert case.find("failure").get("message") == "stale: TL-1 'x' does not fail <any> more"
    assert case.find("failure").text.splitlines()[1:] == [
        "stale: TL-1 'x' does not fail <any> more", "too wide: y",
    ]  # fmt: skip
    without = ElementTree.fromstring(junit_xml(result(), {}))
    for name in ("tests", "failures"):
        assert int(root.get(name)) == int(without.get(name)) + 1
    assert "known failures" not in junit_xml(result(), {})
