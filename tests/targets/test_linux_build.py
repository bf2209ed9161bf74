"""The build: nothing twice, edits noticed, the tree untouched, and what it refuses."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.systems.pagetable.targets import PAGE_TABLES, LinuxIoPgtable
from conformance.targets.linux import build as build_module
from conformance.targets.linux import elf, kconfig, tree, units
from conformance.targets.linux.build import build, vocabulary
from conformance.targets.linux.cache import CACHE_VARIABLE
from conformance.targets.linux.errors import BuildError, HarnessError, TargetUnavailable
from conformance.targets.linux.operations_header import HEADER, operations_header
from conformance.targets.linux.toolchain import check_host
from reference import trace as events
from reference.operations import Operation
from reference.systems.gpuvm import events as gpuvm_events
from reference.systems.mali import events as mali_events
from reference.systems.nvidia import events as nvidia_events
from reference.systems.va_alloc import promise as va_alloc_events
from reference.trace import Trace

# One tree is configured, edited and built for all of them: a job for one worker.
pytestmark = pytest.mark.xdist_group("linux-build")

OwnTree = Any
"""The fixture's class, see conftest."""
CREATE = Operation(
    "create", {"format": "lpae-s1", "ias": 48, "oas": 48, "pgsizes": 0x201000, "coherent": 1}
)
MAP = Operation("map", {"iova": 0, "pa": 0, "pgsize": 0x1000, "pgcount": 1, "prot": 3})


@pytest.fixture(scope="module")
def tools() -> None:
    """The tools of the build, or a visible skip."""
    try:
        check_host()
    except TargetUnavailable as error:
        if os.environ.get("MMU_CONFORMANCE_REQUIRE_LINUX"):
            raise
        pytest.skip(str(error))


def build_own(own: OwnTree) -> tuple[Path, list[str]]:
    """The library, and what was said while it was built."""
    said: list[str] = []
    return build(tree.find_tree(own.path), PAGE_TABLES, said.append), said


def first_map(own: OwnTree) -> Trace:
    target = LinuxIoPgtable(kernel=own.path)
    trace = Trace()
    target.perform(CREATE, trace)
    target.perform(MAP, trace)
    target.close()
    return trace


def barriers(trace: Trace) -> list[int]:
    return [event.a for event in trace if event.name == "barrier"]


# The tests of one tree come in this order, so that it is configured only once.


def test_the_second_build_is_no_build(own_tree: OwnTree, monkeypatch: pytest.MonkeyPatch) -> None:
    before = own_tree.listing()
    library, said = build_own(own_tree)
    assert said[0].startswith("configuring linux ")
    assert own_tree.listing() == before

    def run(*_: object) -> str:
        raise AssertionError("a command was run")

    monkeypatch.setattr(build_module, "run", run)
    monkeypatch.setattr(kconfig, "run", run)
    started = time.monotonic()
    assert build_own(own_tree) == (library, [])
    assert time.monotonic() - started < 1


def test_an_edited_driver_is_built_again(own_tree: OwnTree) -> None:
    """The barrier before a table is published is that of the driver: without it there is none."""
    assert barriers(first_map(own_tree)) == [0, 1, 1, 1, 0]
    own_tree.edit(r"\bdma_wmb\(\);", ";")
    before = own_tree.listing()
    started = time.monotonic()
    assert barriers(first_map(own_tree)) == [0, 0]
    assert time.monotonic() - started < 60
    assert own_tree.listing() == before
    own_tree.edit("", "")
    assert barriers(first_map(own_tree)) == [0, 1, 1, 1, 0]


def test_an_endless_loop_and_a_bug_in_the_driver(own_tree: OwnTree) -> None:
    own_tree.edit(r"\bdma_wmb\(\);", "while (READ_ONCE(*ptep) == curr) ;")
    assert [event.name for event in first_map(own_tree)][-1] == "hang"
    own_tree.edit(r"\bdma_wmb\(\);", "BUG();")
    assert [event.name for event in first_map(own_tree)][-1] == "bug"


def test_a_function_that_nobody_has(own_tree: OwnTree) -> None:
    """It does not break the build: it is named when it is called."""
    own_tree.edit(r"\bdma_wmb\(\);", "{ extern void brand_new(void); brand_new(); }")
    with pytest.raises(HarnessError, match=r"called brand_new\(\)"):
        first_map(own_tree)


def test_data_that_nobody_has(own_tree: OwnTree) -> None:
    own_tree.edit(r"\bdma_wmb\(\);", "{ extern int brand_new; brand_new++; }")
    with pytest.raises(BuildError, match="kernel code uses brand_new, which the harness does not"):
        build_own(own_tree)


def test_a_driver_that_does_not_compile(own_tree: OwnTree) -> None:
    own_tree.edit(r"\bdma_wmb\(\);", "this is no C;")
    with pytest.raises(BuildError, match=r"(?s)building kernel objects failed.*io-pgtable-arm.c"):
        build_own(own_tree)


def test_a_driver_whose_exchanges_cannot_be_seen(own_tree: OwnTree) -> None:
    """It is refused: a run would judge tables that are not those in memory."""
    own_tree.edit(r"\bcmpxchg64_relaxed\(", "raw_cmpxchg64_relaxed(")
    with pytest.raises(HarnessError, match=r"was changed in a way that the harness does not see"):
        first_map(own_tree)
    own_tree.edit(r"\bcmpxchg64_relaxed\(", "__sync_val_compare_and_swap(")
    with pytest.raises(HarnessError, match=r"called __tsan_atomic64_compare_exchange_strong\(\)"):
        first_map(own_tree)


def test_a_driver_without_barriers(own_tree: OwnTree) -> None:
    own_tree.edit(
        r"(?s)\A.*\Z",
        re.sub(r"\b(dma_)?wmb\(\);", ";", own_tree.originals["drivers/iommu/io-pgtable-arm.c"]),
    )
    with pytest.raises(BuildError, match=r"built without mmu_barrier: .* would not be seen"):
        build_own(own_tree)


def test_two_processes_build_once(own_tree: OwnTree) -> None:
    own_tree.edit(r"\bdma_wmb\(\);", "mb();")
    script = (
        "import sys; from conformance.systems.pagetable.targets import PAGE_TABLES;"
        "from conformance.targets.linux import build, tree;"
        "print(build.build(tree.find_tree(sys.argv[1]), PAGE_TABLES, print))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", script, str(own_tree.path)]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=300)[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(output.count("linking") for output in outputs) == [0, 1]
    assert outputs[0][-1] == outputs[1][-1]


def test_a_tree_that_was_built_in_place(own_tree: OwnTree) -> None:
    """It is built from links to its sources; its own objects are neither used nor touched."""
    own_tree.edit(r"\bdma_wmb\(\);", "rmb();")
    for name in (
        ".config",
        "drivers/iommu/io-pgtable-arm.o",
        "drivers/iommu/.io-pgtable-arm.o.cmd",
    ):
        (own_tree.path / name).write_text("made by somebody else\n")
    before = own_tree.listing()
    _, said = build_own(own_tree)
    assert "was built in place" in said[0]
    assert barriers(first_map(own_tree)) == [0, 2, 2, 2, 0]
    assert own_tree.listing() == before
    own_tree.edit("", "")
    assert barriers(first_map(own_tree)) == [0, 1, 1, 1, 0]


# -- pieces -------------------------------------------------------------------------------


def test_the_vocabulary_is_that_of_the_model() -> None:
    systems = (gpuvm_events, mali_events, nvidia_events, va_alloc_events)
    text = vocabulary(systems)
    told = 0
    for kind, (name, _) in events.KINDS.items():
        name = name.upper().replace("-", "_")
        if any(vars(module).get(name) == kind for module in (events, *systems)):
            told += 1
            assert f"#define MMU_{name} {kind}\n" in text
    assert told > 30
    assert f"#define MMU_AREA_PART {nvidia_events.AREA_PART}\n" in text
    assert f"#define MMU_SCOPE_WALK {events.SCOPE_WALK}\n" in text
    assert f"#define MMU_CAUSE_QUEUE {events.CAUSE_QUEUE}\n" in text
    assert f"#define MMU_REFS_VM_BO {events.REFS_VM_BO}\n" in text


@pytest.mark.parametrize("prefix", ["", "saved"])
def test_recorded_commands(tmp_path: Path, prefix: str) -> None:
    """Newer trees record commands under another name."""
    (tmp_path / ".x.o.cmd").write_text(
        f"{prefix}cmd_drivers/x.o := gcc -Wp,-MMD,drivers/.x.o.d -I./include "
        "-fsanitize=thread -include /c/forced.h -include /k/kconfig.h "
        "-DNAME='\"x\"' -c -o drivers/x.o /k/drivers/x.c\n\nsource_x := y\n"
    )
    words = build_module._command_of(tmp_path / "x.o")
    assert words == [
        "gcc", "-I./include", "-fsanitize=thread", "-include", "/c/forced.h",
        "-include", "/k/kconfig.h", '-DNAME="x"', "/k/drivers/x.c",
    ]  # fmt: skip
    assert build_module._without_watching(words) == [
        "gcc", "-I./include", "-include", "/k/kconfig.h", '-DNAME="x"', "/k/drivers/x.c",
    ]  # fmt: skip
    (tmp_path / ".x.o.cmd").write_text("deps := nothing\n")
    with pytest.raises(BuildError, match="is not understood"):
        build_module._command_of(tmp_path / "x.o")
    with pytest.raises(BuildError, match="left no command"):
        build_module._command_of(tmp_path / "y.o")


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("name", units.NATIVE_HOST)
def test_the_host_half_compiles_without_warnings(tmp_path: Path, name: str) -> None:
    (tmp_path / "vocabulary.h").write_text(vocabulary())
    (tmp_path / HEADER).write_text(operations_header(PAGE_TABLES.operations))
    source = str(build_module.NATIVE / name)
    flags = [*build_module._HOST_FLAGS, "-Werror", f"-I{tmp_path}"]
    subprocess.run(["gcc", *flags, "-c", "-o", str(tmp_path / "x.o"), source], check=True)


def test_options_that_stay_off(tmp_path: Path) -> None:
    options = "".join(f"CONFIG_{name}=y\n" for name in PAGE_TABLES.options[1:])
    (tmp_path / ".config").write_text(options)
    with pytest.raises(BuildError, match=r"linux 6.99 cannot be configured .* CONFIG_64BIT stayed"):
        kconfig.check_options(tmp_path, PAGE_TABLES, "6.99")


def test_a_cache_folder_that_make_cannot_handle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "with blank"))
    work = build_module._Work(
        tree.KernelTree(tmp_path, "6.99.0", "nowhere"), PAGE_TABLES, lambda _: None
    )
    with pytest.raises(BuildError, match="has a character that make cannot"):
        work.make()


def test_no_elf_file(tmp_path: Path) -> None:
    path = tmp_path / "x.o"
    path.write_bytes(b"MZ")
    with pytest.raises(ValueError, match="is no 64-bit little-endian ELF file"):
        elf.ElfFile(path)


@pytest.mark.usefixtures("tools")
def test_elf_symbols_and_calls(tmp_path: Path) -> None:
    source = tmp_path / "x.c"
    source.write_text(
        "extern int number; void other(void); static int kept;\n"
        "int seen(void) { other(); return number + ++kept; }\n"
    )
    subprocess.run(["gcc", "-fPIC", "-O1", "-c", "x.c"], cwd=tmp_path, check=True)
    found = elf.ElfFile(tmp_path / "x.o")
    assert found.defined() == {"seen"}
    assert {"number", "other"} <= found.undefined()
    assert found.called() == {"other"}
    kinds: Callable[[str], list[bool]] = lambda name: [  # noqa: E731 (short, and used below only)
        symbol.is_function for symbol in found.symbols if symbol.name == name
    ]
    assert kinds("seen") == [True]
    assert kinds("kept") == [False]


@pytest.mark.usefixtures("tools")
def test_what_only_dropped_code_used_is_not_needed(tmp_path: Path) -> None:
    """The linker drops the function, and leaves the names that it used."""
    source = tmp_path / "x.c"
    source.write_text(
        "extern void needed(void), unneeded(void);\n"
        "void kept(void) { needed(); }\nvoid dropped(void) { unneeded(); }\n"
    )
    compiler = ["gcc", "-fPIC", "-O0", "-ffunction-sections", "-c", "x.c"]
    linker = ["ld", "-r", "--gc-sections", "--undefined=kept", "-o", "y.o", "x.o"]
    for command in (compiler, linker):
        subprocess.run(command, cwd=tmp_path, check=True)
    found = elf.ElfFile(tmp_path / "y.o")
    assert "unneeded" in {symbol.name for symbol in found.symbols}
    assert found.undefined() == {"needed"}
