"""A counterexample is the same after it was saved; anything else is refused in one message."""

import copy
import dataclasses
import json
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference import trace as t
from reports.counterexample import (
    SCHEMA,
    Compared,
    Comparison,
    Counterexample,
    Note,
    OperationResult,
    RuleText,
    Segment,
    Stale,
    Step,
    Views,
    file_name,
    from_json,
    is_counterexample,
    load,
    save,
    to_json,
)
from reports.files import json_text

words = st.integers(0, 2**64 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
pairs = st.tuples(words, words).map(sorted)


@st.composite
def segments(draw):
    first, last = draw(pairs)
    return Segment(first, last, draw(st.none() | words), draw(texts), draw(words.filter(bool)))


@st.composite
def events(draw):
    kind = draw(st.sampled_from(sorted(t.KINDS)))
    used = [draw(words) for _ in t.KINDS[kind][1]]
    return t.Event(kind, *used, cpu=draw(st.integers(0, 3)), place=draw(st.integers(0, 3)))


@st.composite
def counterexamples(draw):
    trace = t.Trace()
    for event in draw(st.lists(events(), max_size=6)):
        trace.append(event)
    operations = draw(
        st.lists(
            st.fixed_dictionaries({"op": texts}, optional={"iova": texts, "count": words}),
            min_size=1,
            max_size=3,
        )
    )
    some_event = st.integers(0, len(trace) - 1) if len(trace) else st.nothing()
    levels = st.integers(0, 4)
    some_segments = st.lists(segments(), max_size=2).map(tuple)
    driver = draw(st.none() | st.tuples(some_segments, some_segments)) or (None, None)
    views = Views(
        draw(texts),
        draw(st.none() | some_event),
        draw(st.integers(0, len(operations) - 1)),
        draw(st.none() | words),
        *(draw(some_segments) for _ in range(4)),
        draw(st.lists(st.builds(Step, levels, words, levels, words, texts, texts), max_size=2)),
        [
            Stale(draw(levels), *pair, draw(words), draw(texts))
            for pair in draw(st.lists(pairs, max_size=2))
        ],
        draw(st.none() | pairs.map(tuple)),
        draw(texts),
        draw(texts),
        draw(st.lists(st.builds(Note, some_event, texts), max_size=2)) if len(trace) else (),
        *driver,
        draw(texts),
    )
    return Counterexample(
        *(draw(texts) for _ in range(4)),
        RuleText(*(draw(texts) for _ in range(3))),
        draw(st.sampled_from(["", "misuse"])),
        draw(texts),
        draw(st.integers(0, 2**70)),
        operations,
        draw(
            st.lists(
                st.builds(OperationResult, st.integers(-200, 0), words, st.booleans()),
                max_size=len(operations),
            )
        ),
        trace.to_json(["", "f", "g"]),
        views,
    )


@given(counterexample=counterexamples())
def test_json_and_back_is_the_same_counterexample(counterexample):
    written = json_text(to_json(counterexample))
    again = from_json(json.loads(written))
    assert again == counterexample
    assert again.events == counterexample.events
    assert json_text(to_json(again)) == written


def test_saved_and_loaded_is_the_same_to_the_byte(kb16, kb16_file, tmp_path):
    copied = tmp_path / kb16.file_name
    save(kb16, copied)
    assert copied.read_bytes() == kb16_file.read_bytes()
    assert load(copied) == kb16


@pytest.mark.parametrize("sample", ["kb16_file", "kb21_file"])
def test_the_samples_are_counterexamples_of_known_operations(sample, request, specs):
    counterexample = load(request.getfixturevalue(sample))
    operations = counterexample.typed_operations(specs)
    assert [operation.name for operation in operations][:2] == ["create", "map"]
    assert len(operations) == 3
    assert counterexample.events[counterexample.views.event].place < len(counterexample.places)


def test_a_file_cut_off_anywhere_is_refused(kb21_file, tmp_path):
    whole = kb21_file.read_bytes()
    path = tmp_path / "cut.json"
    # The last byte is the newline at the end, without which nothing is missing.
    assert whole.endswith(b"}\n")
    path.write_bytes(whole)
    for length in reversed(range(len(whole) - 1)):
        os.truncate(path, length)
        with pytest.raises(ValueError, match="is not JSON") as refused:
            load(path)
        assert str(refused.value).startswith(str(path))
        assert SCHEMA in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "is not a JSON object"),
        ("{}", "has no schema"),
        ('{"schema": "mmu-conformance/result/1"}', "has schema 'mmu-conformance/result/1'"),
        ('{"schema": "mmu-conformance/counterexample/2"}', "counterexample/2'"),
        ('{"schema": 1}', "has schema 1"),
        ('{"op": "sync"}\n{"op": "sync"}\n', "is not JSON (line 2"),
    ],
)
def test_a_foreign_file_is_refused(tmp_path, content, said):
    path = tmp_path / "foreign.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        load(path)
    assert f'allowed are counterexample files, JSON objects with "schema": "{SCHEMA}"' in str(
        refused.value
    )


def edited(data, path, value):
    """A copy of ``data`` with one field set, or removed if value is ``...``."""
    copied = copy.deepcopy(data)
    inner = copied
    for name in path[:-1]:
        inner = inner[name]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return copied


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("system",), ..., "field system is missing; allowed is a string"),
        (("system",), 3, "field system is 3; allowed is a string"),
        (("colour",), "red", "field colour is not known; allowed are label, operations"),
        (("target", "version"), ..., "field target.version is missing"),
        (("target", "colour"), "red", "field target.colour is not known"),
        (("target",), [], "field target is []; allowed is an object"),
        (("rule_text", "source"), None, "field rule_text.source is None"),
        (("label",), "odd", "field label is 'odd'; allowed are"),
        (("seed",), "1", "field seed is '1'; allowed is a whole number"),
        (("seed",), True, "field seed is True; allowed is a whole number"),
        (("operations",), [], "field operations is empty"),
        (("operations", 1), {}, 'field operations[1] is {}; allowed are objects with a field "op"'),
        (("operations", 1, "iova"), None, "field operations[1].iova is None"),
        (("results", 0, "value"), "x", "field results[0].value is 'x'; allowed is a 64-bit word"),
        (("results", 0, "finished"), 1, "field results[0].finished is 1; allowed is true or false"),
        (("results",), [{"result": 0, "value": 0, "finished": True}] * 4, "has 4 entries"),
        (("trace", 2), 7, "field trace[2] is 7; allowed is an object"),
        (("trace", 2, "event"), "boom", "field trace[2]: event is 'boom'; allowed are alloc"),
        (("trace", 2, "pa"), ..., "field trace[2]: event fill has fields"),
        (("trace", 2, "cpu"), "a", "field trace[2].cpu is 'a'; allowed are numbers"),
        (("trace", 2, "place"), [], "field trace[2].place is []; allowed are function names"),
        (("views", "message"), ..., "field views.message is missing"),
        (("views", "colour"), "red", "field views.colour is not known; allowed are event"),
        (("views", "event"), 999, "field views.event is 999; allowed are null and 0 to 30"),
        (("views", "event"), -1, "field views.event is -1; allowed is a whole number from 0"),
        (("views", "operation"), 3, "field views.operation is 3; allowed are 0 to 2"),
        (("views", "iova"), 2**64, "field views.iova is 18446744073709551616; allowed is a 64-bit"),
        (("views", "window"), ["0x0"], "field views.window has 1 addresses"),
        (("views", "window"), ["0x2", "0x1"], "field views.window is 0x2 to 0x1"),
        (("views", "promise_after", 0, "last"), "0x0", "field views.promise_after[0]: last is 0x0"),
        (("views", "promise_after", 0, "size"), 0, "views.promise_after[0]: size is 0; allowed"),
        (("views", "walk", 2, "level"), "x", "field views.walk[2].level is 'x'"),
        (("views", "walk", 2, "colour"), "x", "field views.walk[2].colour is not known"),
        (("views", "driver_before"), [], "field views.driver_after is missing; allowed is a list"),
        (("views", "driver_after"), [], "field views.driver_before is missing; allowed is a list"),
        (("views", "subject"), 1, "field views.subject is 1; allowed is a string"),
        (("views", "comparison"), 1, "field views.comparison is 1; allowed is an object"),
        (
            ("views", "comparison"),
            {"subject": "x", "rows": [], "meaning": ""},
            "field views.comparison: rows are empty; allowed is one row or more",
        ),
        (
            ("views", "comparison"),
            {"subject": "x", "rows": [{"what": "x", "before": 1, "after": ""}], "meaning": ""},
            "field views.comparison.rows[0].before is 1; allowed is a string",
        ),
        (("views", "notes", 0, "event"), 99, "field views.notes names event 99"),
    ],
)
def test_a_damaged_file_is_refused_by_field_value_and_what_is_allowed(
    kb21_file, tmp_path, path, value, said
):
    damaged = tmp_path / "damaged.json"
    damaged.write_text(json.dumps(edited(json.loads(kb21_file.read_text()), path, value)))
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        load(damaged)
    assert str(refused.value).startswith(f"{damaged}: ")
    assert "allowed" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_comparison_is_kept(kb21):
    rows = [Compared("count", "48", "0"), Compared("flag", "", "set")]
    made = Comparison("entry", rows, "What it is.")
    shown = dataclasses.replace(kb21, views=dataclasses.replace(kb21.views, comparison=made))
    assert from_json(to_json(shown)).views.comparison == made
    assert to_json(shown)["views"]["comparison"]["rows"][1] == {
        "what": "flag", "before": "", "after": "set"
    }  # fmt: skip


def test_notes_may_be_absent(kb21, kb21_file):
    data = json.loads(kb21_file.read_text())
    del data["views"]["notes"]
    assert from_json(data).views.notes == ()
    assert from_json(data).trace == kb21.trace


def test_what_nobody_said_is_not_in_the_file(kb21):
    views = to_json(kb21)["views"]
    assert not {"driver_before", "driver_after", "subject", "comparison"} & set(views)
    assert from_json(to_json(kb21)).views.comparison is None
    assert from_json(to_json(kb21)).views.driver_before is None
    # No mappings at all is something else than that nobody looked.
    empty = dataclasses.replace(kb21.views, driver_before=(), driver_after=[], subject="VM 0")
    written = to_json(dataclasses.replace(kb21, views=empty))
    assert written["views"]["driver_before"] == []
    assert written["views"]["subject"] == "VM 0"
    again = from_json(written).views
    assert (again.driver_before, again.driver_after, again.subject) == ((), (), "VM 0")
    with pytest.raises(ValueError, match="driver_after is missing; allowed are driver_before and"):
        Views("", None, 0, None, driver_before=())
    with pytest.raises(ValueError, match="driver_before is missing"):
        Views("", None, 0, None, driver_after=())


def test_held_words_are_kept_unsigned():
    assert Segment(-4096, -1, -4096, "rw", 4096).first == 2**64 - 4096
    assert Views("", None, 0, -1, window=(0, -1)).window == (0, 2**64 - 1)
    assert Views("", None, 0, -1).iova == 2**64 - 1
    with pytest.raises(ValueError, match="window is 0x2 to 0x1"):
        Views("", None, 0, None, window=(2, 1))


def test_the_file_name_is_stable_and_plain():
    # Written out: a name that changes would lose every known failure's file.
    assert file_name("pagetable", "OR-2", "unmap, level 2, leaf -> table") == (
        "pagetable-OR-2-a19cbf.json"
    )
    assert file_name("a b/c", "OR-2", "x").startswith("a_b_c-OR-2-")
    assert file_name("s", "R", "one") != file_name("s", "R", "two")


def test_an_operation_that_the_system_does_not_know_is_named_by_its_number(kb21, specs):
    fewer = {name: spec for name, spec in specs.items() if name != "map"}
    with pytest.raises(ValueError, match="operation 2: operation is 'map'; allowed are create"):
        kb21.typed_operations(fewer)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"op": "sync"}\n', True),
        ('# why\n\n{ "op": "sync"}\n', True),
        ('{"iova": "0x0", "op": "translate"}\n', True),
        ('{"op": "sync"', True),
        ("", True),
        ("hello", True),
        ('{"schema": "x"}', False),
        ('{\n "schema": "x"\n}', False),
        ("{", False),
        ('{"schema"', False),
    ],
)
def test_files_of_operations_are_told_from_counterexamples(tmp_path, content, expected):
    path = tmp_path / "file"
    path.write_text(content)
    assert is_counterexample(path) is not expected


def test_samples_are_taken_for_counterexamples(kb16_file):
    assert is_counterexample(kb16_file)
