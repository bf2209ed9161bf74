"""What the ``pagetable`` machine draws: tables, runs of pages, attributes, parts, mistakes.

Everything here comes from written-out lists. They say how often a case comes up (by
standing in them more than once), so that what is tried can be read. What belongs
together is one draw, the number of a pair, for the draws of a step cost more than the
operation that they end in: see ``Pairs``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from reference.formats import FORMATS
from reference.formats.access import CACHE, MMIO, NOEXEC, PRIV, READ, WRITE
from reference.formats.format import Format
from strategies.pairs import Pairs

_4K, _2M, _1G = 0x1000, 0x20_0000, 0x4000_0000


@dataclass(frozen=True, slots=True)
class Run:
    """How much to map at once: the index of the page size (0 smallest), and how many."""

    size: int
    count: int


TABLE_ENTRIES = 512
"""A run of so many pages starts where a table starts."""

RUNS: tuple[Run, ...] = (
    *(Run(0, 1),) * 24, *(Run(0, 2),) * 12,
    *(Run(0, count) for count in (3, 3, 3, 3, 5, 5, 5, 8, 8, 17, 64, 511, 512, 512, 513)),
    *(Run(1, 1),) * 20, *(Run(1, 2),) * 6,
    *(Run(1, count) for count in (3, 3, 3, 512)),
    *(Run(2, count) for count in (1, 1, 1, 1, 1, 1, 2, 2, 2, 5, 5, 5)),
)  # fmt: skip
"""Runs of pages. 512 start where a table starts (and fill it, if it has as many entries);
511 and 513 do not end where one does. Five of the largest blocks are more than 4 GiB."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """How to map: permissions; where the physical run lies; which allocation fails.

    ``memory``: "beside" (like the input address, so that alignments agree), "low" (from
    0), "high" (up to the last output address), "far" (some other place), "askew" (one page
    on from a place where all sizes begin, so that only this page size fits).
    ``insist``: map even if something is mapped there, which is a misuse.
    ``look``: ask for a translation afterwards.
    """

    prot: int
    memory: str
    fail_at: int
    insist: bool
    look: bool


_PROTS = (
    READ | WRITE,
    READ | WRITE,
    READ,
    WRITE,
    READ | WRITE | CACHE,
    READ | CACHE,
    READ | WRITE | CACHE | NOEXEC,
    READ | NOEXEC,
    READ | WRITE | MMIO,
    READ | WRITE | MMIO | CACHE | NOEXEC,
    READ | WRITE | PRIV,
    READ | PRIV | CACHE | NOEXEC,
    0,
)
_MEMORY = ("beside", "beside", "beside", "low", "high", "far", "askew")
_FAILURES = (0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3)
_INSIST = (False, False, False, False, False, True)
_LOOK = (False, False, False, False, True)

ATTRIBUTES: tuple[Attribute, ...] = tuple(
    Attribute(*chosen) for chosen in product(_PROTS, _MEMORY, _FAILURES, _INSIST, _LOOK)
)
"""Every combination of the lists above."""

PLAIN = Attribute(READ | WRITE, "beside", 0, False, False)
"""Nothing special."""

PARTS: tuple[str, ...] = (
    "whole", "whole", "whole", "whole", "first", "last", "middle", "inside", "inside",
    "larger", "larger", "around", "beyond",
)  # fmt: skip
"""Which part of something mapped to unmap.

"first", "last", "middle": pages at that place of the run, or one smallest page at that
place of a single block; "inside": two smallest pages inside it, wherever they fall;
"larger": the aligned larger sizes in it, if there are any; "around": the next larger size
around its start, whatever else is in there; "beyond": the run and the page after it.
"""

MISTAKES: tuple[str, ...] = (
    *("hole",) * 6, *("covered",) * 6,
    "size", "size", "none", "none", "outside", "outside", "past", "past", "outside-pa",
    "askew", "askew-pa",
)  # fmt: skip
"""Calls outside the contract: see ``conformance.systems.pagetable.machine``."""

_ADDRESS_BITS = (48, 48, 48, 39, 40, 32, 32, 42, 47, 33)
_OUTPUT_BITS = (48, 48, 40, 36, 32, 44, 42)
FEW = 4
"""A format with no more input sizes than this has all of them tried."""


FORMATS_TRIED: tuple[str, ...] = (
    "lpae-s1", "lpae-mali", "uat", "dart1-16k", "dart1-4k", "dart2-16k", "dart2-16k-deep",
)  # fmt: skip
"""The formats that are tried on a target that does not say which it has: ours that are plain.

Written out, so that what is drawn does not depend on what else is installed.
"""


def tables(traits: Mapping[str, Sequence[str | int]]) -> SearchStrategy[dict[str, int | str]]:
    """Arguments of ``create`` for a target with these traits (see the target protocol).

    One draw: the list holds every sensible combination, as many for each format, and twice as
    many for a format with blocks, in which there is more to go wrong.
    """
    declared = traits.get("format", FORMATS_TRIED)
    names = [name for name in FORMATS_TRIED if name in declared]
    names += [str(name) for name in declared if name not in FORMATS_TRIED]
    by_format = [
        choices
        for name in names
        for choices in [_tables_of(FORMATS[name], traits)] * min(len(FORMATS[name].page_sizes), 2)
    ]
    most = max(len(choices) for choices in by_format)
    return st.sampled_from(
        [choices[number % len(choices)] for number in range(most) for choices in by_format]
    )


def _tables_of(
    fmt: Format, traits: Mapping[str, Sequence[str | int]]
) -> list[dict[str, int | str]]:
    declared = [str(one) for one in traits.get("block_unmap", ("refuse",))]
    # Without blocks there is nothing to split or to refuse.
    block_unmaps = declared if len(fmt.page_sizes) > 1 else declared[:1]
    coherents = [int(one) for one in traits.get("coherent", (1, 0))]
    inputs = [bits for bits in _ADDRESS_BITS if bits in fmt.ias_choices]
    if len(fmt.ias_choices) <= FEW:
        inputs = list(fmt.ias_choices)
    inputs = [bits for bits in inputs if bits in traits.get("ias", inputs)]
    choices: list[dict[str, int | str]] = []
    for ias, coherent, block_unmap in product(inputs, coherents, block_unmaps):
        for bbm in bbm_levels(block_unmap):
            for pgsizes in page_size_sets(fmt):
                possible = fmt.oas_for(ias)
                outputs = [bits for bits in _OUTPUT_BITS if bits in possible] or list(possible)
                choices.append(
                    {
                        "format": fmt.name,
                        "ias": ias,
                        "oas": outputs[len(choices) % len(outputs)],
                        "pgsizes": pgsizes,
                        "coherent": coherent,
                        "bbm": bbm,
                        "block_unmap": block_unmap,
                    }
                )
    return choices


def bbm_levels(block_unmap: str) -> tuple[int, ...]:
    """Break-before-make levels of devices to try a way of unmapping part of a block on."""
    return (0, 2) if block_unmap == "split" else (0,)


def page_size_sets(fmt: Format) -> tuple[int, ...]:
    """Bitmaps of page sizes to configure: all of them, and all but the largest."""
    everything = sum(fmt.page_sizes)
    if len(fmt.page_sizes) < 3:
        return (everything,)
    return (everything, everything, everything - fmt.page_sizes[-1])


creations: SearchStrategy[int] = st.sampled_from((0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4))
"""Which allocation of a create fails; tables with four roots make four."""

spots: SearchStrategy[int] = st.integers(0, 63)
"""Which of the interesting addresses, modulo how many there are."""

picks: SearchStrategy[int] = st.integers(0, 63)
"""Which of the things that are mapped, modulo how many there are."""

GATHERS: tuple[str, ...] = ("strict", "strict", "queued")
"""Whether the caller syncs an unmap itself, or leaves that to a queue."""

SCATTERS: tuple[tuple[int, ...], ...] = (
    (3, 1), (3, 1), (2, 9), (0, 5), (1, 3, 2), (7, 0, 5), (2, 4, 9, 1), (0, 1, 7, 3, 11),
)  # fmt: skip
"""Where the pieces of a scatter list lie, in pages from each other, not ascending."""

shapes: Pairs[Run, Attribute] = Pairs(RUNS, ATTRIBUTES)
"""What to map, and how."""
scatters: Pairs[tuple[int, ...], Attribute] = Pairs(SCATTERS, ATTRIBUTES)
"""The same for scatter lists."""
unmaps: Pairs[str, str] = Pairs(PARTS, GATHERS)
"""What to unmap, and how."""
errors: Pairs[str, Run] = Pairs(MISTAKES, RUNS)
"""What to do wrong, and with how much."""
