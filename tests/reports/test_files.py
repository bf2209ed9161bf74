"""Files are whole or not there, and say the same in the same bytes."""

import json
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import files

json_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=30,
)


@given(data=json_data)
def test_the_stable_form_is_json_with_the_keys_in_their_order(data):
    written = files.json_text(data)
    assert json.loads(written) == data
    assert written == files.json_text(json.loads(written))
    assert written.endswith("\n")
    assert not written.endswith("\n\n")


def test_what_fits_stands_on_one_line():
    events = [{"event": "store", "pa": "0x1000"}, {"event": "end"}]
    assert files.json_text({"b": 1, "a": events, "none": []}) == (
        '{\n "b": 1,\n "a": [\n  {"event": "store", "pa": "0x1000"},\n  {"event": "end"}\n ],\n'
        ' "none": []\n}\n'
    )
    wide = files.json_text({"words": ["0x1000"] * 30})
    assert max(map(len, wide.splitlines())) <= files.LINE_LENGTH


@pytest.mark.parametrize("data", [float("nan"), {"a": float("inf")}, {1: 2}, {"a": {2, 3}}, b""])
def test_what_json_cannot_say_is_refused_and_nothing_is_written(data, tmp_path):
    with pytest.raises(ValueError, match=r"allowed|not JSON compliant"):
        files.write_json(tmp_path / "x.json", data)
    assert list(tmp_path.iterdir()) == []


def test_writing_makes_folders_and_replaces(tmp_path):
    path = tmp_path / "deep" / "er" / "x.json"
    files.write_json(path, {"a": 1})
    files.write_json(path, {"a": 2})
    assert files.read_json(path, "anything") == {"a": 2}
    assert [entry.name for entry in path.parent.iterdir()] == ["x.json"]


def test_a_written_file_has_the_permissions_of_any_other(tmp_path):
    files.write_text(tmp_path / "ours", "x")
    (tmp_path / "other").write_text("x")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "other")}
    assert len(modes) == 1


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": 1})

    def fail(source, target):
        raise OSError("no")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no"):
        files.write_json(path, {"a": 2})
    assert files.read_json(path, "anything") == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b'{"a": [1, 2', "it ends in the middle, at line 1 column 12"),
        (b'{"a": "half', "it ends in the middle"),
        (b'{"a": 1,,}', "line 1 column 9"),
        (b"\xff\xfe", "byte 0 is not UTF-8 text"),
        (b"[" * 100_000, "recursion"),
        (b"1" * 5000, "integer string"),
    ],
)
def test_what_is_not_json_is_said_in_one_message(tmp_path, content, said):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="allowed are such files") as refused:
        files.read_json(path, "such files")
    assert str(refused.value).startswith(f"{path} is not JSON (")
    assert said in str(refused.value)
