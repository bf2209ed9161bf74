"""What a tree has: features that are asked for, one probe each, and the header that says them.

Our C files are written for several forms of the kernel's interfaces. Which form a
tree has is found out by looking, never by its version: trees get changes ported
back. A probe looks for a file, for a word in a file, or lets the compiler try a
few lines against the tree's own headers. The answers become one header,
``tree_features.h``, with a ``HAS_`` macro for each probe.

A probe that finds neither of the forms that it knows does not guess: the build ends
with a message that says which probe, which file of the tree, and what to do.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.targets.linux.errors import BuildError

HEADER = "tree_features.h"
"""The name under which C files include the answers."""

PANTHOR = "drivers/gpu/drm/panthor/"
NVKM = "drivers/gpu/drm/nouveau/nvkm/subdev/mmu/"


@dataclass(frozen=True, slots=True)
class Probe:
    """One question to a tree.

    ``name``: of the macro, behind ``HAS_``. ``sentence``: what is so if the answer is yes.
    ``file``: where to look, from the tree's top; for ``code`` the header to include. ``word``: a
    regular expression for what is there if the answer is yes; where it is empty, the file itself
    is. ``before``: one for what is there if the answer is no; with it, a file that has neither
    cannot be decided. ``macro``: the answer is yes if the header defines it. ``code``: the answer
    is yes if these statements compile behind the header. ``optional``: there are trees without
    the file, which have not what it is about.
    """

    name: str
    sentence: str
    file: str
    word: str = ""
    before: str = ""
    macro: str = ""
    code: str = ""
    optional: bool = False

    @property
    def compiled(self) -> bool:
        """Whether the compiler decides."""
        return bool(self.macro or self.code)


PROBES: tuple[Probe, ...] = (
    # -- memory ---------------------------------------------------------------------------------
    Probe(
        "PROFILED_ALLOCATORS",
        "Allocators are macros over functions whose names end in _noprof.",
        "linux/slab.h",
        macro="alloc_hooks",
    ),
    Probe(
        "KMALLOC_PARAMS",
        "__kmalloc and its kin take their size through macros, which may add a token.",
        "linux/slab.h",
        macro="DECL_KMALLOC_PARAMS",
    ),
    Probe(
        "BUCKET_PARAMS",
        "__kvmalloc_node takes its size through a macro, which may add a set of buckets.",
        "linux/slab.h",
        macro="DECL_BUCKET_PARAMS",
    ),
    Probe(
        "PAGES_BY_NODE",
        "The page allocator's entry is alloc_pages_node, which is no inline function.",
        "include/linux/gfp.h",
        word=r"\balloc_pages_node_noprof\([^)]*\);",
        before=r"\b__alloc_pages(_noprof)?\(",
    ),
    Probe(
        "KVFREE_FUNCTION",
        "kvfree_call_rcu is a function; before it was inline where grace periods are short.",
        "include/linux/rcupdate.h",
        word=r"\bvoid kvfree_call_rcu\(",
        before=r"\bkvfree_call_rcu\(",
    ),
    Probe(
        "KVFREE_HEAD",
        "kvfree_call_rcu is given a head of a type of its own.",
        "include/linux/rcupdate.h",
        word=r"\bstruct kvfree_rcu_head\b",
    ),
    # -- work, timers, the machine --------------------------------------------------------------
    Probe(
        "WORKQUEUES_PROFILED",
        "alloc_workqueue is a macro over a function whose name ends in _noprof.",
        "linux/workqueue.h",
        macro="alloc_workqueue",
    ),
    Probe(
        "TIMER_INIT_KEY",
        "A timer is initialised by timer_init_key; before by init_timer_key.",
        "include/linux/timer.h",
        word=r"\btimer_init_key\(",
        before=r"\binit_timer_key\(",
    ),
    Probe(
        "UM_GET_SIGNALS",
        "Whether signals are on is told by a function; before by a variable.",
        "arch/um/include/asm/irqflags.h",
        word=r"\bum_get_signals\b",
        before=r"\bsignals_enabled\b",
    ),
    Probe(
        "FENCE_SIGNAL_IS_SILENT",
        "dma_fence_signal does not say whether the fence was signalled before.",
        "include/linux/dma-fence.h",
        word=r"\bvoid dma_fence_signal\(",
        before=r"\bint dma_fence_signal\(",
    ),
    # -- registers ------------------------------------------------------------------------------
    Probe(
        "GENERIC_IOMAP",
        "ioread32 and its kin are functions of a library.",
        "linux/kconfig.h",
        macro="CONFIG_GENERIC_IOMAP",
    ),
    Probe(
        "RAW_ACCESSORS",
        "ioread32 and its kin are inline functions over __raw_readl and its kin.",
        "linux/io.h",
        macro="ioread32",
    ),
    # -- page tables of the IOMMU layer ---------------------------------------------------------
    Probe(
        "DART_LEVELS",
        "A DART table says how many levels it has.",
        "include/linux/io-pgtable.h",
        word=r"\bn_levels\b",
        before=r"\bn_ttbrs\b",
    ),
    Probe(
        "QUIRK_NO_WARN",
        "A page table can be asked to fail without a warning.",
        "linux/io-pgtable.h",
        macro="IO_PGTABLE_QUIRK_NO_WARN",
    ),
    Probe(
        "PAGES_LIST",
        "Table pages are gathered in a list that the caller frees after its sync.",
        "../drivers/iommu/iommu-pages.h",
        macro="IOMMU_PAGES_LIST_INIT",
        optional=True,
    ),
    Probe(
        "INCOHERENT_PAGES",
        "Table pages know whether the device's walker snoops.",
        "drivers/iommu/iommu-pages.h",
        word=r"\biommu_pages_start_incoherent\b",
        optional=True,
    ),
    Probe(
        "GENERIC_PT",
        "There are page tables of several formats behind one generic walker.",
        "include/linux/generic_pt/iommu.h",
        optional=True,
    ),
    Probe(
        "ATTACH_OLD_DOMAIN",
        "An IOMMU driver that attaches a device is told the domain that it had.",
        "linux/iommu.h",
        code="extern int (*attach)(struct iommu_domain *, struct device *, struct iommu_domain *);"
        "_Static_assert(__builtin_types_compatible_p(__typeof__(attach),"
        ' __typeof__(((struct iommu_domain_ops *)0)->attach_dev)), "");',
    ),
    Probe(
        "DART_FOUR_LEVELS",
        "apple-dart has devices whose control register says that tables have four levels.",
        "drivers/iommu/apple-dart.c",
        word=r"\btcr_4level\b",
    ),
    # -- drm ------------------------------------------------------------------------------------
    Probe(
        "GPUVA_SET_LOCK",
        "A driver says which lock protects the list of a buffer's mappings.",
        "drm/drm_gem.h",
        macro="drm_gem_gpuva_set_lock",
    ),
    Probe(
        "GPUVM_MAP_REQUEST",
        "drm_gpuvm_sm_map is given a request.",
        "include/drm/drm_gpuvm.h",
        word=r"\bstruct drm_gpuvm_map_req\b",
        before=r"\bdrm_gpuvm_sm_map\(",
        optional=True,
    ),
    Probe(
        "GPUVM_IMMEDIATE_MODE",
        "A VM may be changed in the path of a fence, and cleans up later.",
        "include/drm/drm_gpuvm.h",
        word=r"\bDRM_GPUVM_IMMEDIATE_MODE\b",
        optional=True,
    ),
    Probe(
        "GPUVM_OBTAIN_LOCKED",
        "A VM's bond with a buffer is obtained under the lock of the buffer's list.",
        "include/drm/drm_gpuvm.h",
        word=r"\bdrm_gpuvm_bo_obtain_locked\(",
        before=r"\bdrm_gpuvm_bo_obtain\(",
        optional=True,
    ),
    Probe(
        "GPUVA_NEIGHBOURS",
        "A mapping's neighbours can be asked for.",
        "include/drm/drm_gpuvm.h",
        word=r"\bdrm_gpuva_find_prev\b",
        optional=True,
    ),
    Probe(
        "DRIVER_GEM_GPUVA",
        "A driver says by a flag that its buffers have lists of mappings.",
        "include/drm/drm_drv.h",
        word=r"\bDRIVER_GEM_GPUVA\b",
    ),
    Probe(
        "GEM_LRU_MUTEX",
        "The lists of buffers by last use have one lock for the device.",
        "include/drm/drm_device.h",
        word=r"\bgem_lru_mutex\b",
    ),
    Probe(
        "SCHED_RQ",
        "The scheduler's run queues have a file of their own.",
        "drivers/gpu/drm/scheduler/sched_rq.c",
        optional=True,
    ),
    # -- panthor --------------------------------------------------------------------------------
    Probe(
        "PANTHOR_MMU_REGS",
        "panthor's registers of the MMU have a header of their own, as offsets in its block.",
        PANTHOR + "panthor_mmu_regs.h",
        optional=True,
    ),
    Probe(
        "PANTHOR_OWN_GEM",
        "panthor's buffers are its own, and not those of the shmem helper.",
        PANTHOR + "panthor_gem.h",
        word=r"\bpanthor_gem_get_dev_sgt\b",
        before=r"\bdrm_gem_shmem_object\b",
        optional=True,
    ),
    Probe(
        "PANTHOR_SPARSE",
        "panthor has sparse mappings.",
        "include/uapi/drm/panthor_drm.h",
        word=r"\bDRM_PANTHOR_VM_BIND_OP_MAP_SPARSE\b",
        optional=True,
    ),
    Probe(
        "PANTHOR_IRQ_EVENTS",
        "panthor's interrupts are switched on event by event.",
        PANTHOR + "panthor_device.h",
        word=r"irq_enable_events\b",
        optional=True,
    ),
    Probe(
        "PANTHOR_LOCKED_UPDATES",
        "panthor changes tables while their region is locked, and unlocks it to invalidate.",
        PANTHOR + "panthor_mmu.c",
        word=r"\bpanthor_vm_unlock_region\(",
        before=r"\bAS_COMMAND_FLUSH_(PT|MEM)\b",
        optional=True,
    ),
    Probe(
        "PANTHOR_MMU_INFO",
        "panthor's device says what page sizes its MMU has.",
        PANTHOR + "panthor_device.h",
        word=r"\bmmu_info\b",
        optional=True,
    ),
    # -- nvkm -----------------------------------------------------------------------------------
    Probe(
        "NVKM_PTE_TRACKER",
        "nvkm counts the small pages of a large entry in a word of 32 bits; before in a byte.",
        NVKM + "vmm.h",
        word=r"\bunion nvkm_pte_tracker\b",
        before=r"\bu8 pte\[\]",
    ),
    Probe(
        "NVKM_GH100",
        "nvkm has the tables of GH100.",
        NVKM + "vmm.h",
        word=r"\bgh100_vmm_new\b",
    ),
)  # fmt: skip
"""All of them; nothing of ours asks a tree anything in another way."""

Answers = Mapping[str, bool | None]
"""By a probe's name: yes, no, or None where the tree has not the file that it is about."""


def ask(tree: Path, compile_lines: Callable[[str], str]) -> dict[str, bool | None]:
    """What the tree answers to each probe.

    ``compile_lines`` is given C code, tries it against the tree's headers, and returns what the
    compiler said.

    Raises:
        BuildError: a probe cannot be decided.
    """
    answers = {probe.name: None if probe.compiled else _look(tree, probe) for probe in PROBES}
    compiled = [probe for probe in PROBES if probe.compiled and _is_there(tree, probe)]
    said = compile_lines(_source(compiled))
    strange = [line for line in said.splitlines() if "error:" in line and "mmu-probe-" not in line]
    if strange:
        raise BuildError(
            f"the probes {', '.join(probe.name for probe in compiled)} cannot be decided for "
            f"{tree}: headers of the tree do not compile by themselves any more\n{strange[0]}\n"
            "see the tree's header, and conformance/targets/linux/probes.py"
        )
    failed = set(re.findall(r"mmu-probe-(\w+):\d+:(?:\d+:)? (?:fatal )?error:", said))
    for probe in compiled:
        answers[probe.name] = probe.name not in failed
    return answers


def refusal(tree: Path, refuses: Mapping[str, str]) -> str:
    """Why a unit that ``refuses`` trees with some features is not built from this one; or ""."""
    for probe in PROBES:
        if probe.name in refuses and _look(tree, probe):
            return f"{probe.file}: {probe.sentence} {refuses[probe.name]}"
    return ""


def features_header(answers: Answers) -> str:
    """The text of the header: a macro for each probe, 1 or 0."""
    lines = [
        "/* What this tree has: made by the build, see conformance/targets/linux/probes.py. */"
    ]
    lines += ["#ifndef MMU_TREE_FEATURES_H", "#define MMU_FEATURES_H"]
    for probe in PROBES:
        lines.append(f"/* {probe.sentence} */")
        lines.append(f"#define HAS_{probe.name} {int(bool(answers[probe.name]))}")
    return "\n".join([*lines, "#endif", ""])


def read_features(header: Path) -> frozenset[str]:
    """The names of the probes that were answered with yes, from the header of a build."""
    text = header.read_text(encoding="ascii")
    return frozenset(re.findall(r"^#define HAS_(\w+) 1$", text, re.M))


def asked_about(function: str) -> str:
    """The name and the sentence of the probe that looks for a function; "" if none does."""
    for probe in PROBES:
        looked_for = f"{probe.word} {probe.before}".replace(r"\b", " ")
        if function in re.findall(r"\w+", looked_for):
            return f"{probe.name}: {probe.sentence}"
    return ""


def looked_at() -> Sequence[str]:
    """The files that are searched for words: who edits one may change an answer."""
    return sorted({probe.file for probe in PROBES if not probe.compiled})


# -- how each is decided ---------------------------------------------------------------------


def _look(tree: Path, probe: Probe) -> bool | None:
    """The answer to a probe for a file or a word."""
    path = tree / probe.file
    if not probe.word:
        return path.is_file() or None
    if not path.is_file():
        if probe.optional:
            return None
        raise _undecided(tree, probe, "there is no such file")
    text = _without_comments(path.read_text(encoding="utf-8", errors="replace"))
    if re.search(probe.word, text):
        return True
    if probe.before and not re.search(probe.before, text):
        raise _undecided(tree, probe, f"it has neither {probe.word!r} nor {probe.before!r}")
    return False


def _without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.S)


def _undecided(tree: Path, probe: Probe, why: str) -> BuildError:
    return BuildError(
        f"the probe {probe.name} cannot be decided for {tree}\n"
        f"it asks: {probe.sentence}\n"
        f"file: {probe.file}: {why}\n"
        "to do: see what stands there now, and teach it the probe (probes.py) and the C files "
        f"that use HAS_{probe.name}"
    )


def _is_there(tree: Path, probe: Probe) -> bool:
    """Whether the tree has the header of a probe that is compiled."""
    name = probe.file.removeprefix("../")
    found = any((tree / folder / name).is_file() for folder in ("", "include", "include/uapi"))
    if not found and not probe.optional:
        raise _undecided(tree, probe, "there is no such header")
    return found


def _source(probes: Sequence[Probe]) -> str:
    """C code in which each probe that fails is an error in a file named after it."""
    # Headers of the kernel's core first: others take them for granted.
    headers = sorted({probe.file for probe in probes}, key=lambda name: (name[0] != "l", name))
    lines = [f"#include <{name}>" for name in headers]
    for probe in probes:
        lines.append(f'#line 1 "mmu-probe-{probe.name}"')
        if probe.macro:
            lines += [f"#ifndef {probe.macro}", "#error absent", "#endif"]
        else:
            lines.append(
                f"static void __maybe_unused mmu_probe_{probe.name}(void) {{ {probe.code} }}"
            )
    return "\n".join([*lines, ""])
