"""Operations go to JSON and back unchanged, and what is wrong with one is said in one message."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.operations import (
    ArgSpec,
    Operation,
    OperationSpec,
    check,
    flags_text,
    from_json,
    json_text,
    make,
    read_operations,
    specs_of,
    text,
    to_json,
)
from reference.words import to_signed

MAP = {
    "op": "map",
    "iova": "0x5000",
    "pa": "0x1000",
    "pgsize": "0x1000",
    "pgcount": 1,
    "prot": "0x3",
    "fail_at": 0,
}


def held_values(arg):
    """Every value that an argument may be held with."""
    if arg.kind == "choice":
        return st.sampled_from(arg.choices)
    numbers = st.integers(arg.low, arg.high) | st.sampled_from([arg.low, arg.high])
    return numbers.map(to_signed) if arg.is_word else numbers


@st.composite
def operations(draw, specs):
    spec = specs[draw(st.sampled_from(list(specs)))]
    return Operation(spec.name, {arg.name: draw(held_values(arg)) for arg in spec.args})


@given(data=st.data())
def test_json_and_back_is_the_same_operation(specs, data):
    operation = data.draw(operations(specs))
    written = to_json(operation, specs)
    again = from_json(json.loads(json.dumps(written)), specs)
    assert again == operation
    assert hash(again) == hash(operation)
    assert to_json(again, specs) == written
    assert list(written) == ["op", *[arg.name for arg in specs[operation.name].args]]


@given(data=st.data())
def test_words_are_written_as_unsigned_hexadecimal(specs, data):
    operation = data.draw(operations(specs))
    written = to_json(operation, specs)
    for arg in specs[operation.name].args:
        if arg.is_word:
            assert re.fullmatch("0x[0-9a-f]{1,16}", written[arg.name])
            assert int(written[arg.name], 16) % 2**64 == operation.args[arg.name] % 2**64


@given(word=st.integers(0, 2**64 - 1))
def test_an_address_may_be_any_word_in_any_notation(specs, word):
    for notation in (word, str(word), hex(word), hex(word).upper().replace("X", "x")):
        assert from_json({"op": "translate", "iova": notation}, specs).args["iova"] == to_signed(
            word
        )


@given(data=st.data())
def test_text_says_every_argument_that_has_not_its_default(specs, data):
    operation = data.draw(operations(specs))
    line = text(operation, specs)
    assert "\n" not in line
    said = dict(word.split("=", 1) for word in line.split()[1:])
    for arg in specs[operation.name].args:
        value = operation.args[arg.name]
        assert (arg.name in said) == (arg.default is None or value != arg.default)
        # What is shown can be read again.
        if arg.name in said and "+" not in said[arg.name]:
            assert arg.read(said[arg.name], operation.name) == value


def test_the_line_for_people(specs):
    assert text(from_json(MAP, specs), specs) == (
        "map iova=0x5000 pa=0x1000 pgsize=4K pgcount=1 prot=rw"
    )
    failing = from_json({**MAP, "pgsize": "0x40000000", "fail_at": 2}, specs)
    assert text(failing, specs).endswith("pgsize=1G pgcount=1 prot=rw fail_at=2")
    assert text(Operation("sync"), specs) == "sync"
    assert json_text(MAP).startswith("map iova=0x5000 pa=0x1000")


def test_sizes_and_flags_may_be_written_as_people_do(specs):
    written = {**MAP, "pgsize": "2M", "prot": "rwn"}
    assert from_json(written, specs).args["pgsize"] == 0x200000
    assert from_json(written, specs).args["prot"] == 0b1011
    created = make(
        "create",
        specs,
        format="lpae-s1",
        ias=48,
        oas="40",
        pgsizes="4K|2M",
        coherent=1,
        bbm="2",
        block_unmap="refuse",
    )
    assert created.args["pgsizes"] == 0x201000
    assert created.args["bbm"] == 2
    assert "pgsizes=4K|2M" in text(created, specs)


@pytest.mark.parametrize(
    ("word", "shown"), [(0, "0"), (3, "rw"), (0x40, "0x40"), (0x41, "r+0x40"), (0x3F, "rwcnmp")]
)
def test_flags_in_letters(word, shown):
    assert flags_text(word, "rwcnmp") == shown


def test_a_missing_argument_means_its_default(specs):
    without = {name: value for name, value in MAP.items() if name != "fail_at"}
    assert from_json(without, specs) == from_json(MAP, specs)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"op": "remap"}, ["operation is 'remap'", "allowed are create, map, unmap"]),
        ({"op": 3}, ["operation is 3", "allowed are create"]),
        ({"iova": "0x1" + 16 * "0"}, ["argument iova of operation map", "from 0x0 to 0xf"]),
        ({"iova": -1}, ["iova", "-0x1", "allowed are addresses"]),
        ({"iova": "here"}, ["argument iova of operation map is 'here'", "allowed are addresses"]),
        ({"iova": 1.5}, ["argument iova of operation map is 1.5"]),
        ({"iova": True}, ["argument iova of operation map is True"]),
        ({"iova": None}, ["argument iova of operation map is None"]),
        ({"pgsize": "4X"}, ["pgsize", "'4X'", "such as 4K"]),
        ({"pgcount": -1}, ["argument pgcount of operation map is -1", "numbers from 0"]),
        ({"fail_at": 65}, ["argument fail_at of operation map is 65", "from 0 to 64"]),
        ({"prot": "rwz"}, ["prot", "'rwz'", "letters of rwcnmp"]),
        ({"prot": "rr"}, ["prot", "'rr'"]),
        ({"colour": "red"}, ["argument 'colour'", "operation map", "allowed are iova, pa, pgsize"]),
    ],
)
def test_a_bad_operation_is_refused_with_name_value_and_what_is_allowed(specs, changed, said):
    with pytest.raises(ValueError, match="allowed") as refused:
        from_json({**MAP, **changed}, specs)
    for words in said:
        assert words in str(refused.value)


def test_a_missing_argument_without_default_is_refused(specs):
    without = {name: value for name, value in MAP.items() if name != "pa"}
    with pytest.raises(ValueError, match="argument pa of operation map is missing; allowed are"):
        from_json(without, specs)
    with pytest.raises(ValueError, match='operation has no "op"'):
        from_json({"iova": 0}, specs)
    with pytest.raises(ValueError, match="allowed are JSON objects"):
        from_json([1], specs)


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (Operation("remap"), "operation is 'remap'"),
        (Operation("translate"), "argument iova of operation translate is missing"),
        (Operation("translate", {"iova": "x"}), "argument iova of operation translate is 'x'"),
        (Operation("translate", {"iova": 1 << 63}), "iova of operation translate is 0x8000"),
        (Operation("translate", {"iova": 0, "pa": 0}), "argument 'pa'"),
        (Operation("release", {"iova": -1, "size": 0}), "size of operation release is 0x0"),
    ],
)
def test_check_refuses_what_is_held_wrongly(specs, operation, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        check(operation, specs)
    with pytest.raises(ValueError, match=re.escape(said)):
        to_json(operation, specs)


def test_operations_are_values():
    one = Operation("map", {"iova": 1, "pa": 2})
    assert one == Operation("map", {"pa": 2, "iova": 1})
    assert len({one, Operation("map", {"pa": 2, "iova": 1})}) == 1
    assert one != Operation("map", {"iova": 1, "pa": 3})
    assert one != Operation("unmap", {"iova": 1, "pa": 2})
    assert one.number("pa") == 2
    with pytest.raises(ValueError, match="argument pb of operation map is None"):
        one.number("pb")
    with pytest.raises(ValueError, match="argument pa of operation map is 2; allowed are strings"):
        one.string("pa")
    assert not hasattr(one, "__dict__")


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: ArgSpec("a", "colour"), "kind is 'colour'; allowed are address"),
        (lambda: ArgSpec("a", "choice"), "choices of a"),
        (lambda: ArgSpec("a", "count", choices=(1,)), "choices of a"),
        (lambda: ArgSpec("a", "size", letters="rw"), "letters of a"),
        (lambda: ArgSpec("a", "flags", letters="rr"), "letters of a"),
        (lambda: ArgSpec("a", "count", low=3, high=2), "low and high of a"),
        (lambda: ArgSpec("a", "count", default=9, high=2), "argument a of operation default is 9"),
        (lambda: OperationSpec("o", "", [ArgSpec("op", "count")]), "arguments of operation o"),
        (lambda: OperationSpec("o", "", value_kind="size"), "value_kind and value_text of o"),
        (lambda: specs_of(OperationSpec("o", ""), OperationSpec("o", "")), "different names"),
    ],
)
def test_a_bad_declaration_fails_at_once(declare, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        declare()


# -- files written by hand -----------------------------------------------------------------


def test_a_file_of_operations(specs, tmp_path):
    path = tmp_path / "ops.jsonl"
    path.write_text('# two calls\n\n  {"op": "translate", "iova": "0x5000"}  \n{"op": "sync"}')
    assert read_operations(path, specs) == [
        Operation("translate", {"iova": 0x5000}),
        Operation("sync"),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"op": "sync"}\n\n{"op": "synk"}\n', ":3: operation is 'synk'"),
        ('# x\n{"op": "sync"\n', ":2: column 14 is not JSON"),
        ('{"op": "sync", "op": "flush"}\n', ":1: field 'op' stands twice"),
        ('["sync"]\n', ":1: operation is ['sync']"),
        ("# nothing\n\n", ": no operation in it"),
        ("", ": no operation in it"),
        ("[" * 100_000, ":1: "),
        ('{"op": "translate", "iova": ' + "1" * 5000 + "}", ":1: "),
    ],
)
def test_a_bad_file_of_operations_names_file_and_line(specs, tmp_path, content, said):
    path = tmp_path / "ops.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=re.escape(f"{path}{said}")):
        read_operations(path, specs)


def test_a_file_that_is_no_text(specs, tmp_path):
    path = tmp_path / "ops.jsonl"
    path.write_bytes(b'{"op": "sync"}\n\xff')
    with pytest.raises(ValueError, match="byte 15 is not text; allowed are files of UTF-8 text"):
        read_operations(path, specs)
    with pytest.raises(FileNotFoundError):
        read_operations(tmp_path / "none", specs)
