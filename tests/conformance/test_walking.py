"""``mmu-conformance walk``: tables saved to a file are walked as the device would."""

import re

import numpy as np
import pytest

from conformance import cli
from conformance.discovery import system_by_name
from conformance.registry import make_target
from conformance.systems.nvidia.operations import SPECS
from conformance.walking import walked
from reference.formats import FORMATS, format_by_name
from reference.formats.access import CACHE, NOEXEC, READ, WRITE
from reference.formats.nvidia import meaning_text
from reference.hardware.bulk_walker import image_of
from reference.hardware.machine import Machine
from reference.operations import make
from reference.pieces import MAPPED, NOTHING, ZEROS
from reference.systems.pagetable.driver import TABLE_BASE, PageTable
from reference.trace import Trace
from strategies.pagetable import FORMATS_TRIED


def saved(folder, name, ias, pages):
    """A file with a table of format ``name`` in which ``pages`` (iova -> pa, prot) are mapped.

    Returns the file, and the roots as the command line takes them.
    """
    fmt = format_by_name(name)
    geometry = fmt.geometry(ias)
    trace = Trace()
    table = PageTable(geometry, fmt.oas_for(ias)[-1], sum(fmt.page_sizes), True, False, trace)
    assert table.create() == 0
    for iova, (pa, prot) in pages.items():
        assert table.map_pages(iova, pa, fmt.page_sizes[0], 1, prot) == (0, fmt.page_sizes[0])
    words = np.concatenate(
        [np.array(table.memory.pages[pa], dtype=np.int64) for pa in sorted(table.memory.pages)]
    )
    file = folder / "image"
    file.write_bytes(words.astype("<i8").tobytes())
    return file, [f"{root:#x}" for root in table.roots]


@pytest.mark.parametrize("name", FORMATS_TRIED)
def test_every_format_finds_what_was_mapped(name, tmp_path):
    fmt = FORMATS[name]
    ias = fmt.ias_choices[-1]
    page = fmt.page_sizes[0]
    high = (1 << ias) - page
    file, roots = saved(
        tmp_path, name, ias, {3 * page: (7 * page, READ | WRITE), high: (9 * page, READ)}
    )
    told = walked(
        name, roots, str(file), hex(TABLE_BASE), None, ["0x0", hex(3 * page + 0x123), str(high)]
    )
    head, hole, first, last = told.split("\n\n")
    assert head.startswith(
        f"{name} ({fmt.title}), {ias} input bits, root {' '.join(roots)}, image 0x8000"
    )
    assert re.search(r"-> nothing: translation fault, level \d$", hole)
    assert re.search(rf"-> {7 * page + 0x123:#x} rw", first)
    assert re.search(rf"-> {9 * page:#x} r-", last)
    depth = fmt.levels - fmt.geometry(ias).start_level
    for one in (first, last):
        entries = re.findall(r"^    level (\d)", one, re.MULTILINE)
        assert [int(level) for level in entries] == list(range(fmt.levels - depth, fmt.levels))
        assert one.count("leaf: ") == 1


def nvidia_image(folder, *given):
    """The tables that the reference driver of NVIDIA's makes, in a file; and the model of them."""
    session = system_by_name("nvidia").session(make_target("reference", system="nvidia"), None)
    for one in given:
        args = {name: value for name, value in one.items() if name != "op"}
        assert session.run(make(one["op"], SPECS, **args)).result.result == 0
    mmu = session.promise.state.mmu
    words = {int(pa): [int(word) for word in one.words] for pa, one in mmu.memory.tables.items()}
    base, end = min(words), max(pa + 8 * len(one) for pa, one in words.items())
    image = np.zeros((end - base) // 8, dtype=np.int64)
    for pa, one in words.items():
        image[(pa - base) // 8 : (pa - base) // 8 + len(one)] = one
    file = folder / "image"
    file.write_bytes(image.astype("<i8").tobytes())
    return file, hex(base), mmu


SPACE = (
    {"op": "raw_sparse", "addr": 0x20_0000, "size": 0x1_1000},
    {"op": "memory", "page": 16},
    {"op": "memory", "target": 1},
    {"op": "raw_get", "shift": 16, "addr": 0, "size": 0x1_0000},
    {"op": "raw_map", "shift": 16, "addr": 0, "size": 0x1_0000, "kind": 0xFE},
    {"op": "raw_get", "addr": 0x1_0000, "size": 0x2000},
    {"op": "raw_map", "addr": 0x1_0000, "size": 0x1000, "memory": 1, "ro": 1},
)
"""A large page, a small one, and something sparse."""


@pytest.mark.parametrize("chip", ["gp100", "gm200"])
def test_large_and_small_tables_are_walked_as_the_model_walks_them(chip, tmp_path):
    create = {"op": "create", "raw": 1, "chip": chip}
    file, base, mmu = nvidia_image(tmp_path, create, *SPACE)
    places = [0x123, 0x1_0123, 0x1_1000, 0x2_0000, 0x20_0000, 0x21_0000, 0x21_1000, 1 << 39]
    told = walked(
        mmu.format.name, [hex(mmu.current.root)], str(file), base, None, [hex(va) for va in places]
    ).split("\n\n")
    for va, text in zip(places, told[1:], strict=True):
        found = mmu.walker.translate(va)
        ends = {
            MAPPED: f"{found.pa:#x} {meaning_text(int(found.meaning))}",
            ZEROS: "sparse: reads give zeros, writes are dropped",
            NOTHING: "nothing: translation fault, " + mmu.format.tables[found.table].name,
        }
        assert text.startswith(f"{va:#x}\n")
        assert text.rstrip().endswith(f"    -> {ends[found.what]}"), va
    # The large entry is looked at first, and what it leaves is in the small table.
    assert re.search(r"LPT \[1\].*small pages decide.*\n    .*SPT \[", told[2], re.DOTALL)
    assert "SPT" not in told[1]


def test_a_walk_of_nvidia_tables_says_what_it_cannot_do(tmp_path):
    file, base, mmu = nvidia_image(tmp_path, {"op": "create", "raw": 1}, *SPACE)
    root, image = hex(mmu.current.root), str(file)

    def told(va, *, root=root, ias=None, fields=False):
        return walked("gp100", [root], image, base, ias, [va], fields)

    assert told(hex(1 << 49)).endswith("-> nothing: the address is beyond the 49 input bits\n")
    assert "[53:8]   address = 0x80" in told("0x0", fields=True)
    assert told("0x0", ias=49) == told("0x0")
    with pytest.raises(ValueError, match="ias is 48; allowed for gp100 are 49"):
        told("0x0", ias=48)
    with pytest.raises(ValueError, match="2 roots are given; allowed for gp100 with ias 49: 1"):
        walked("gp100", [root, root], image, base, None, ["0x0"])
    with pytest.raises(ValueError, match=r"root is .* allowed are multiples of 0x20"):
        told("0x0", root=hex(mmu.current.root + 8))
    with pytest.raises(ValueError, match=r"format is 'nosuch'; allowed are .*dart2-16k.*gp100"):
        walked("nosuch", [root], image, base, None, ["0x0"])
    short = tmp_path / "short"
    short.write_bytes(file.read_bytes()[:0x1000])
    said = walked("gp100", [root], str(short), base, None, ["0x0"])
    assert "not in the image\n    -> unknown: the image does not have the entry at 0x8" in said


def test_the_hardware_view_says_the_same(tmp_path):
    fmt = format_by_name("lpae-s1")
    trace = Trace()
    table = PageTable(fmt.geometry(39), 48, sum(fmt.page_sizes), True, False, trace)
    table.create()
    table.map_pages(0x20_0000, 0x4000_0000, 0x20_0000, 1, READ | CACHE | NOEXEC)
    machine = Machine(fmt.geometry(39), True)
    view = machine.add_space()
    machine.add_context(view)
    machine.feed(trace.words, 0)
    base, image = image_of(view.memory)
    file = tmp_path / "image"
    file.write_bytes(image.astype("<u8").tobytes())
    told = walked("lpae-s1", [hex(view.walker.root)], str(file), hex(base), 39, ["0x234567"])
    walk = view.walker.walk(0x23_4567)
    assert f"-> {walk.pa:#x} r--" in told
    for step in walk.steps:
        assert f"level {step.level} [{step.index}] of {step.table:#x}: {step.word:#x}  " in told
        assert fmt.describe(step.level, step.word) in told


def test_fields_are_told_when_asked_for(tmp_path):
    file, roots = saved(tmp_path, "lpae-s1", 39, {0: (0x1000, READ)})
    plain = walked("lpae-s1", roots, str(file), hex(TABLE_BASE), 39, ["0"])
    full = walked("lpae-s1", roots, str(file), hex(TABLE_BASE), 39, ["0"], fields=True)
    extra = [line for line in full.splitlines() if line not in plain.splitlines()]
    assert set(plain.splitlines()) <= set(full.splitlines())
    assert all(re.match(r"        \[\d+(:\d+)?\] +\S.* = 0x", line) for line in extra)
    assert any(re.match(r"        \[7:6\] ", line) for line in extra)


def test_what_the_image_does_not_have_is_not_made_up(tmp_path):
    file, roots = saved(tmp_path, "lpae-s1", 39, {0: (0x1000, READ)})
    file.write_bytes(file.read_bytes()[:0x1000])
    told = walked("lpae-s1", roots, str(file), hex(TABLE_BASE), 39, ["0"])
    assert "level 2 [0] of 0x80001000: not in the image\n" in told
    assert told.endswith("-> unknown: the image does not have the entry at 0x80001000\n")
    file.write_bytes(file.read_bytes()[:16])
    told = walked("lpae-s1", roots, str(file), hex(TABLE_BASE), 39, [hex(2 << 30), hex(1 << 30)])
    assert "unknown: the image does not have the entry at 0x80000010\n" in told
    assert "nothing: translation fault, level 1\n" in told


def test_addresses_beyond_the_input_bits_are_not_translated(tmp_path):
    file, roots = saved(tmp_path, "lpae-s1", 39, {0: (0x1000, READ)})
    told = walked("lpae-s1", roots, str(file), hex(TABLE_BASE), 39, [hex(1 << 39), hex(2**64 - 1)])
    assert told.count("-> nothing: the address is beyond the 39 input bits") == 2


def test_a_register_without_root_is_told(tmp_path):
    file, roots = saved(tmp_path, "dart1-4k", 32, {0: (0x1000, READ)})
    assert len(roots) == 4
    told = walked("dart1-4k", roots[:1], str(file), hex(TABLE_BASE), 32, ["0", hex(3 << 30)])
    assert "level 0 register 0: table at 0x80000000\n" in told
    assert "-> 0x1000 " in told
    assert told.endswith("-> nothing: no root is given for register 3\n")


def test_both_roots_of_a_context_can_be_given(tmp_path):
    file, (root,) = saved(tmp_path, "uat", 39, {0x4000: (0x8000, READ)})
    kernel = (1 << 39) | 0x4000
    both = walked("uat", [root, root], str(file), hex(TABLE_BASE), 40, ["0x4004", hex(kernel)])
    assert both.startswith(
        f"uat ({format_by_name('uat').title}), 40 input bits, root {root} {root}"
    )
    assert "level 0 register 0: table at" in both
    assert "level 0 register 1: table at" in both
    assert both.count("-> 0x8004 ") == both.count("-> 0x8000 ") == 1
    user = walked("uat", [root], str(file), hex(TABLE_BASE), 40, ["0x4004", hex(kernel)])
    assert user.endswith("-> nothing: no root is given for register 1\n")
    with pytest.raises(ValueError, match="2 roots are given; allowed for uat with ias 39: 1"):
        walked("uat", [root, root], str(file), hex(TABLE_BASE), None, ["0x4004"])


# -- the command ------------------------------------------------------------------------------


@pytest.fixture
def walk(tmp_path, capsys):
    """Runs the command on a small table: (exit code, stdout, stderr)."""
    file, roots = saved(tmp_path, "lpae-s1", 48, {0x1000: (0x7000, READ | WRITE)})

    def run(*arguments, format_name="lpae-s1", root=roots[0], image=file):
        with pytest.raises(SystemExit) as ended:
            cli.main.main(
                ["walk", format_name, "--root", root, "--image", str(image), *arguments],
                prog_name="mmu-conformance",
            )
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return run


def test_the_command_walks_from_the_default_base(walk):
    code, out, err = walk("0x1008", "0x2000")
    assert (code, err) == (0, "")
    assert "    -> 0x7008 rwx non-cached" in out
    assert "    -> nothing: translation fault, level 3\n" in out


def test_the_base_can_be_given(walk):
    code, out, _ = walk("--base", "0x1000", "0x1008", root="0x1000")
    assert code == 0
    assert "image 0x1000..0x4fff\n" in out
    # The entries lead to where the tables were, which is elsewhere now.
    assert "unknown: the image does not have the entry at 0x80001000\n" in out


@pytest.mark.parametrize(
    ("arguments", "named", "said"),
    [
        (["0"], {"format_name": "lpae"}, "format is 'lpae'; allowed are"),
        (["0"], {"root": "0x80004000"}, "root is 0x80004000; allowed are addresses in the image, "
         "0x80000000 to 0x80003fff"),
        (["0"], {"root": "0x7ffff000"}, "root is 0x7ffff000; allowed are addresses in the image"),
        (["0"], {"root": "0x80000008"}, "root is 0x80000008; allowed are multiples of 0x1000"),
        (["0"], {"root": "top"}, "root is 'top'; allowed are decimal or 0x hexadecimal numbers"),
        (["0", "--root", "0x80000000"], {}, "2 roots are given; allowed for lpae-s1"),
        (["12x"], {}, "VA is '12x'; allowed are decimal or 0x hexadecimal numbers"),
        (["0x10000000000000000"], {}, "VA is '0x10000000000000000'; allowed are"),
        (["0", "--base", "-"], {}, "base is '-'; allowed are"),
        (["0", "--base", "0x80000004"], {}, "base is 0x80000004; allowed are multiples of 8"),
        (["0", "--base", "0xfffffffffffff000"], {}, "base is 0xfffffffffffff000; allowed for an "
         "image of 16384 bytes are addresses up to 0xffffffffffffc000"),
        (["0", "--ias", "20"], {}, "ias is 20; allowed for lpae-s1 are"),
        ([], {}, "Missing argument"),
        (["0"], {"image": "/nowhere/image"}, "image is '/nowhere/image', which cannot be read"),
        (["0"], {"image": "."}, "image is '.', which cannot be read"),
    ],
)  # fmt: skip
def test_bad_arguments_are_one_message_and_exit_code_2(walk, arguments, named, said):
    code, out, err = walk(*arguments, **named)
    assert (code, out) == (2, "")
    assert err.startswith("mmu-conformance: ")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("length", [1, 7, 8193, 16380])
def test_an_image_of_odd_length_is_refused(walk, length, tmp_path):
    odd = tmp_path / "odd"
    odd.write_bytes(bytes(length))
    code, out, err = walk("0", image=odd)
    assert (code, out) == (2, "")
    assert err == (
        f"mmu-conformance: image is '{odd}' of {length} bytes; allowed are files of 64-bit words, "
        "whose length is a multiple of 8\n"
    )


def test_an_empty_image_has_no_root(walk, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    code, out, err = walk("0", image=tmp_path / "empty")
    assert (code, out) == (2, "")
    assert err.endswith(
        "root is 0x80000000; allowed are addresses in the image, none: it is empty\n"
    )
