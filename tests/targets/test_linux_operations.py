"""One table of operations: what C and Python make of it, and that every argument gets there."""

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conformance.systems.gpuvm.targets import GPUVM
from conformance.systems.mali.targets import PANTHOR
from conformance.systems.nvidia.targets import NVKM
from conformance.systems.pagetable.targets import PAGE_TABLES, LinuxIoPgtable
from conformance.systems.va_alloc.targets import DRM_MM
from conformance.targets.linux import build as build_module
from conformance.targets.linux import kconfig, probes
from conformance.targets.linux import target as target_module
from conformance.targets.linux.errors import HarnessError
from conformance.targets.linux.library import load
from conformance.targets.linux.operations_header import (
    ARGUMENTS,
    choice_numbers,
    first_difference,
    operations_header,
    table_text,
)
from conformance.targets.linux.target import LinuxTarget, Packer
from conformance.targets.linux.tree import KernelTree
from conformance.targets.linux.units import Unit
from reference.operations import ArgSpec, Operation, OperationSpec, Specs, specs_of
from reference.trace import Trace
from reference.words import to_unsigned
from tests.targets.conftest import OLDER

UNITS = [PAGE_TABLES, GPUVM, DRM_MM, PANTHOR, NVKM]

TINY = specs_of(
    OperationSpec("create", "", (ArgSpec("start", "address", default=1 << 63),)),
    OperationSpec(
        "give-out",
        "",
        (
            ArgSpec("size", "size"),
            ArgSpec("mode", "choice", choices=("best", "low.4k"), default="low.4k"),
            ArgSpec("quick", "choice", choices=(1, 0), default=1),
        ),
    ),
    OperationSpec("destroy", ""),
)

TINY_HEADER = """\
/* Made from the system's table of operations by the build. */
#ifndef MMU_OPERATIONS_H
#define MMU_OPERATIONS_H

enum mmu_operation {
\tMMU_OP_CREATE,
\tMMU_OP_GIVE_OUT,
\tMMU_OP_DESTROY,
};

enum {
\tMMU_ARG_CREATE_START,
};

enum {
\tMMU_ARG_GIVE_OUT_SIZE,
\tMMU_ARG_GIVE_OUT_MODE,
\tMMU_ARG_GIVE_OUT_QUICK,
};

enum mmu_give_out_mode {
\tMMU_GIVE_OUT_MODE_BEST,
\tMMU_GIVE_OUT_MODE_LOW_4K,
};

#define MMU_OPERATIONS \\
\t"create start\\n" \\
\t"give-out size mode=best|low.4k quick\\n" \\
\t"destroy\\n"

#endif
"""


def changed(specs: Specs, name: str, *args: ArgSpec) -> Specs:
    """``specs`` with other arguments of one operation."""
    return {**specs, name: OperationSpec(name, "", args)}


def distinct(specs: Specs, name: str) -> dict[str, int | str]:
    """Arguments of an operation, each unlike the others: the last choice, or a number."""
    return {
        arg.name: arg.choices[-1] if arg.choices else 1000 + place
        for place, arg in enumerate(specs[name].args)
    }


def place_in(header: str, member: str) -> int:
    """The value of a member of an enum: they count from 0."""
    found = re.search(rf"enum [a-z_0-9]*\s*{{([^}}]*)\b{member},", header)
    assert found, member
    return found[1].count(",")


# -- the header ---------------------------------------------------------------------------


def test_the_header_of_a_tiny_table() -> None:
    assert operations_header(TINY) == TINY_HEADER
    assert table_text(TINY) == "create start\ngive-out size mode=best|low.4k quick\ndestroy"


def test_what_c_does_not_see_changes_nothing() -> None:
    mode, quick = TINY["give-out"].args[1:]
    other = changed(TINY, "give-out", ArgSpec("size", "count", default=7, high=9), mode, quick)
    assert operations_header(other) == TINY_HEADER


@pytest.mark.parametrize(
    ("specs", "said"),
    [
        (
            specs_of(
                OperationSpec("map", "", (ArgSpec("part_of", "count"),)),
                OperationSpec("map-part", "", (ArgSpec("of", "count"),)),
            ),
            "two names make MMU_ARG_MAP_PART_OF in C",
        ),
        (specs_of(OperationSpec("Map", "")), "name is 'Map'; allowed are small letters"),
        (
            changed(TINY, "destroy", ArgSpec("how", "choice", choices=('a"b', "c"))),
            "name is 'a\"b'; allowed are small letters",
        ),
        (
            changed(TINY, "destroy", ArgSpec("how", "choice", choices=("all", 1))),
            r"choices of how are \('all', 1\); allowed are names only, or numbers only",
        ),
        (
            changed(TINY, "destroy", *(ArgSpec(f"a{n}", "count") for n in range(ARGUMENTS + 1))),
            f"operation destroy has {ARGUMENTS + 1} arguments; allowed are {ARGUMENTS}",
        ),
    ],
)
def test_a_table_that_c_cannot_have(specs: Specs, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        operations_header(specs)


# -- the packing --------------------------------------------------------------------------


def test_what_is_packed() -> None:
    packer = Packer(TINY)
    assert packer.packed(Operation("create")) == (0, (-(1 << 63),))
    assert packer.packed(Operation("give-out", {"size": 5})) == (1, (5, 1, 1))
    args: dict[str, int | str] = {"quick": 0, "mode": "best", "size": 1 << 63}
    assert packer.packed(Operation("give-out", args)) == (1, (1 << 63, 0, 0))
    assert packer.packed(Operation("give-out", {"size": 5, "mode": 0})) == (1, (5, 0, 1))
    assert packer.packed(Operation("destroy")) == (2, ())


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (Operation("map"), "operation is 'map'; allowed are create, give-out, destroy"),
        (Operation("give-out"), "operation give-out has no argument 'size'"),
        (Operation("give-out", {"size": 1, "mode": "worst"}), "mode is 'worst'; allowed are best,"),
        (Operation("give-out", {"size": 1, "mode": 2}), "mode is 2; allowed are best, low.4k"),
        (Operation("give-out", {"size": 1, "mode": -1}), "mode is -1; allowed are best, low.4k"),
    ],
)
def test_what_is_not_packed(operation: Operation, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Packer(TINY).packed(operation)


# -- every argument of every operation reaches C, by three steps ------------------------------


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_each_argument_is_packed_where_the_header_says(unit: Unit) -> None:
    """Step 1: to its place; and a choice with a name becomes the number that C has for it."""
    header = operations_header(unit.operations)
    packer = Packer(unit.operations)
    for name, spec in unit.operations.items():
        args = distinct(unit.operations, name)
        number, values = packer.packed(Operation(name, args))
        upper = name.upper().replace("-", "_")
        assert number == place_in(header, f"MMU_OP_{upper}")
        assert len(values) == len(spec.args)
        for arg in spec.args:
            value = values[place_in(header, f"MMU_ARG_{upper}_{arg.name.upper()}")]
            wanted = args[arg.name]
            if choice_numbers(arg):
                choice = re.sub(r"[.-]", "_", str(wanted)).upper()
                wanted = place_in(header, f"MMU_{upper}_{arg.name.upper()}_{choice}")
            assert value == wanted


def test_each_word_of_a_call_arrives(arm: LinuxIoPgtable) -> None:
    """Step 2: in the call, at its place."""
    call = arm.library.call("mmu_selftest_call")
    echo = 22
    words = [0, *(-(1 << 63) + 7 * place for place in range(1, ARGUMENTS))]
    for place in range(1, ARGUMENTS):
        result, value, finished = call(Trace(), echo, (place, *words[1:]))
        assert (result, value, finished) == (0, words[place], True)


UNREAD = {
    # What the table may be asked for follows from them; a page table is made without.
    "page-tables": {"MMU_ARG_CREATE_BBM", "MMU_ARG_CREATE_BLOCK_UNMAP"},
}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_c_code_takes_each_argument_by_its_name(unit: Unit) -> None:
    """Step 3: and nothing by a number of its own."""
    code = "\n".join((unit.native / name).read_text(encoding="utf-8") for name in unit.glue)
    code = re.sub(r"(?s)/\*.*?\*/", "", code)
    members = re.findall(r"\t(MMU_(?:OP|ARG)_\w+),", operations_header(unit.operations))
    assert len(members) > len(unit.operations)
    unused = {member for member in members if not re.search(rf"\b{member}\b", code)}
    assert unused == UNREAD.get(unit.name, set())
    assert re.findall(r"argument\[\d+\]|argument \+|case \d+:|enum operation", code) == []


# -- a library and its table --------------------------------------------------------------


def test_a_library_of_another_table_is_refused(
    arm: LinuxIoPgtable, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = dict(PAGE_TABLES.operations)
    arm.library.check_operations(specs, "page-tables")
    iova, *others = specs["map"].args
    with pytest.raises(
        HarnessError,
        match=r"^the library of page-tables was built from another table of operations: "
        r"operation 1 is 'map iova pa .*' in the library and 'map pa .* iova' in the table; ",
    ):
        arm.library.check_operations(changed(specs, "map", *others, iova), "page-tables")
    # The same when a target is made of a library that somehow is there.
    shorter = {name: spec for name, spec in specs.items() if name != "destroy"}
    tree = KernelTree(Path("nowhere"), "6.99", "")
    monkeypatch.setattr(target_module, "find_tree", lambda *_: tree)
    monkeypatch.setattr(KernelTree, "require", lambda *_: None)
    monkeypatch.setattr(target_module, "build", lambda *_: Path("of/that/tree/library"))
    monkeypatch.setattr(probes, "read_features", lambda _: frozenset())
    monkeypatch.setattr(target_module, "load", lambda _: arm.library)
    unit = dataclasses.replace(PAGE_TABLES, operations=shorter)
    with pytest.raises(HarnessError, match=r"operation 7 is 'destroy' in .* and missing in"):
        LinuxTarget("x", "y.c", unit, "mmu_pagetable_call", None, lambda _: None)


def test_where_tables_differ() -> None:
    built = table_text(TINY) + "\n"
    assert first_difference(built, TINY) == ""
    more = {**TINY, "find": OperationSpec("find", "")}
    assert first_difference(built, more) == (
        "operation 3 is missing in the library and 'find' in the table"
    )
    size, mode, quick = TINY["give-out"].args
    turned = ArgSpec("mode", "choice", choices=tuple(reversed(mode.choices)))
    assert first_difference(built, changed(TINY, "give-out", size, turned, quick)) == (
        "operation 1 is 'give-out size mode=best|low.4k quick' in the library and "
        "'give-out size mode=low.4k|best quick' in the table"
    )


def test_a_library_without_a_table_is_refused(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc")
    source, path = tmp_path / "x.c", tmp_path / "x.so"
    source.write_text("int mmu_open(void *layout) { return !layout; }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(path), str(source)], check=True)
    with pytest.raises(HarnessError, match=r"x\.so does not say which operations it has"):
        load(path)


def test_an_edited_table_is_another_build(tmp_path: Path) -> None:
    """In its folder nothing is found that was built from the table before."""
    tree = KernelTree(tmp_path, "6.99.0", "nowhere")
    before = build_module._Work(tree, DRM_MM, lambda _: None)
    same = dataclasses.replace(DRM_MM, operations=dict(DRM_MM.operations))
    assert build_module._Work(tree, same, lambda _: None).own == before.own
    size, *others = DRM_MM.operations["alloc"].args
    edited = dataclasses.replace(
        DRM_MM, operations=changed(DRM_MM.operations, "alloc", *others, size)
    )
    after = build_module._Work(tree, edited, lambda _: None)
    assert after.own != before.own
    assert after.kbuild == before.kbuild


@pytest.mark.parametrize("kernel", ["default", OLDER], indirect=True)
def test_an_edited_table_is_built_and_obeyed(arm: LinuxIoPgtable, kernel: Path | None) -> None:
    """The same C code does the same when operations and arguments are in another order."""
    turned = [
        OperationSpec(spec.name, "", reversed(spec.args))
        for spec in PAGE_TABLES.operations.values()
    ]
    unit = dataclasses.replace(PAGE_TABLES, operations=specs_of(*reversed(turned)))
    source = "drivers/iommu/io-pgtable-arm.c"
    target = LinuxTarget("turned", source, unit, "mmu_pagetable_call", kernel, lambda _: None)
    assert target.library is not arm.library
    operations = [
        Operation("create", {"format": "lpae-s1", "pgsizes": 0x201000, "oas": 40}),
        Operation("map", {"iova": 0x5000, "pa": 0x7000, "pgcount": 2}),
        Operation("translate", {"iova": 0x6123}),
        Operation("unmap", {"iova": 0x6000, "gather": "queued"}),
        Operation("unmap", {"iova": 0x5000}),
        Operation("sync"),
        Operation("destroy"),
    ]
    said = []
    for one in (arm, target):
        one.reset()
        trace = Trace()
        results = [one.perform(operation, trace) for operation in operations]
        assert [result.result for result in results] == [0] * len(operations)
        assert to_unsigned(results[2].value) == 0x8123
        said.append([(event.name, event.a, event.b, event.c) for event in trace])
    target.close()
    assert said[0] == said[1]


# -- a unit of somebody else's ----------------------------------------------------------------


def test_a_unit_can_have_options_and_files_of_its_own(tmp_path: Path) -> None:
    """A system with a driver that no other one needs changes nothing of the harness."""
    own = dataclasses.replace(DRM_MM, native=tmp_path, more_options=("DRM_I915",))
    assert "CONFIG_DRM_I915=y\n" in kconfig.fragment(own)
    assert "DRM_I915" not in kconfig.fragment(DRM_MM)
    tree = KernelTree(tmp_path, "6.99.0", "nowhere")
    first = build_module._Work(tree, own, lambda _: None)
    assert first.folder != build_module._Work(tree, DRM_MM, lambda _: None).folder
    assert first.is_ours(str(tmp_path / "drm_mm.c"))
    (tmp_path / "drm_mm.c").write_text("/* edited */\n")
    assert build_module._Work(tree, own, lambda _: None).own != first.own
