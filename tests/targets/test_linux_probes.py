"""What is asked of a tree: each probe is decided on each tree, and says so where it cannot be."""

import re
from pathlib import Path

import pytest

from conformance.systems.pagetable.targets import PAGE_TABLES
from conformance.targets.linux import probes
from conformance.targets.linux.build import build
from conformance.targets.linux.errors import BuildError
from conformance.targets.linux.tree import find_tree
from tests.targets.conftest import NEWER, OLDER, kernel_of, make_target

TREES = (OLDER, "linux-source-6.12", *NEWER)

EXPECTED = {
    # In the order of TREES; "-": the tree has not what it is about.
    "PROFILED_ALLOCATORS": "nyyy",
    "KMALLOC_PARAMS": "nnyy",
    "BUCKET_PARAMS": "nyyy",
    "PAGES_BY_NODE": "nnny",
    "KVFREE_FUNCTION": "nnyy",
    "KVFREE_HEAD": "nnny",
    "WORKQUEUES_PROFILED": "nnyy",
    "TIMER_INIT_KEY": "nnyy",
    "UM_GET_SIGNALS": "nnyy",
    "FENCE_SIGNAL_IS_SILENT": "nnyy",
    "GENERIC_IOMAP": "yynn",
    "RAW_ACCESSORS": "nnyy",
    "DART_LEVELS": "nnyy",
    "QUIRK_NO_WARN": "nnyy",
    "PAGES_LIST": "-nyy",
    "INCOHERENT_PAGES": "-nyy",
    "GENERIC_PT": "--yy",
    "ATTACH_OLD_DOMAIN": "nnyy",
    "DART_FOUR_LEVELS": "nnyy",
    "GPUVA_SET_LOCK": "nynn",
    "GPUVM_MAP_REQUEST": "-nyy",
    "GPUVM_IMMEDIATE_MODE": "-nyy",
    "GPUVM_OBTAIN_LOCKED": "-nyy",
    "GPUVA_NEIGHBOURS": "-yyn",
    "DRIVER_GEM_GPUVA": "nyyn",
    "GEM_LRU_MUTEX": "nnyy",
    "SCHED_RQ": "--yy",
    "PANTHOR_MMU_REGS": "--yy",
    "PANTHOR_OWN_GEM": "-nyy",
    "PANTHOR_SPARSE": "-nyy",
    "PANTHOR_IRQ_EVENTS": "-nyy",
    "PANTHOR_LOCKED_UPDATES": "-nyy",
    "PANTHOR_MMU_INFO": "-nny",
    "NVKM_PTE_TRACKER": "nnyy",
    "NVKM_GH100": "nnyy",
}
"""What was found by compiling against each tree."""


def test_every_probe_is_expected() -> None:
    assert [probe.name for probe in probes.PROBES] == list(EXPECTED)
    for probe in probes.PROBES:
        assert re.fullmatch(r"[\w].*\.", probe.sentence), probe.name


@pytest.mark.parametrize("package", TREES)
def test_every_probe_is_decided(package: str) -> None:
    kernel = kernel_of(package)
    make_target("io-pgtable-arm", kernel).close()  # or a skip where nothing can be built
    library = build(find_tree(kernel), PAGE_TABLES)
    header = (library.parents[2] / probes.HEADER).read_text()
    answers = dict(re.findall(r"#define HAS_(\w+) ([01])", header))
    column = TREES.index(package)
    expected = {name: str(int(told[column] == "y")) for name, told in EXPECTED.items()}
    assert answers == expected
    told = probes.ask(find_tree(kernel).path, lambda _: "")
    absent = {name for name, answer in told.items() if answer is None}
    assert absent == {name for name, told in EXPECTED.items() if told[column] == "-"}


# -- what cannot be decided --------------------------------------------------------------------


OLD_FORMS = (
    ("include/linux/gfp.h", "__alloc_pages("),
    ("include/linux/timer.h", "init_timer_key("),
    ("include/linux/dma-fence.h", "int dma_fence_signal("),
    ("include/linux/rcupdate.h", "kvfree_call_rcu("),
    ("include/linux/io-pgtable.h", "n_ttbrs"),
    ("include/drm/drm_gpuvm.h", "drm_gpuvm_sm_map( drm_gpuvm_bo_obtain("),
    ("arch/um/include/asm/irqflags.h", "signals_enabled"),
    (probes.PANTHOR + "panthor_gem.h", "drm_gem_shmem_object"),
    (probes.PANTHOR + "panthor_mmu.c", "AS_COMMAND_FLUSH_PT"),
    (probes.NVKM + "vmm.h", "u8 pte[];"),
)


def tree_with(folder: Path, name: str, text: str) -> Path:
    """A tree that has every file that is looked at, in its old form, and ``text`` in one."""
    for probe in probes.PROBES:
        path = folder / (probe.file if not probe.compiled else f"include/{probe.file}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for place, before in (*OLD_FORMS, (name, text)):
        (folder / place).write_text(before)
    return folder


def test_neither_form_is_a_short_message(tmp_path: Path) -> None:
    """It says which probe, which file, and what to do; it does not guess."""
    tree = tree_with(tmp_path, "include/linux/timer.h", "brand_new_timer_key(")
    with pytest.raises(BuildError) as found:
        probes.ask(tree, lambda _: "")
    told = str(found.value).splitlines()
    assert len(told) == 4
    assert "the probe TIMER_INIT_KEY cannot be decided" in told[0]
    assert "timer_init_key" in told[1]
    assert told[2].startswith("file: include/linux/timer.h: it has neither")
    assert told[3].startswith("to do: ")


def test_a_comment_decides_nothing(tmp_path: Path) -> None:
    tree = tree_with(tmp_path, "include/drm/drm_drv.h", "/* @DRIVER_GEM_GPUVA: was once */")
    assert probes.ask(tree, lambda _: "")["DRIVER_GEM_GPUVA"] is False


def test_a_header_that_is_gone(tmp_path: Path) -> None:
    tree = tree_with(tmp_path, "include/linux/slab.h", "")
    (tree / "include/linux/workqueue.h").unlink()
    with pytest.raises(BuildError, match=r"(?s)WORKQUEUES_PROFILED .*file: linux/workqueue.h"):
        probes.ask(tree, lambda _: "")


def test_what_the_compiler_says_decides(tmp_path: Path) -> None:
    tree = tree_with(tmp_path, "include/linux/slab.h", "")
    said = "mmu-probe-KMALLOC_PARAMS:2:2: error: #error absent\nmmu-probe-X:1: note: no\n"
    answers = probes.ask(tree, lambda _: said)
    assert answers["KMALLOC_PARAMS"] is False
    assert answers["PROFILED_ALLOCATORS"] is True
    with pytest.raises(BuildError, match="headers of the tree do not compile by themselves"):
        probes.ask(tree, lambda _: "include/linux/mm.h:1:1: error: this is no C")
