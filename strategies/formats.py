"""Strategies for what page-table formats are made of: words, permissions, addresses.

Words come held (see ``reference.words``), because that is how the model takes them.
"""

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from reference.formats import FORMATS
from reference.formats.access import PROT_COUNT, READ, WRITE
from reference.formats.format import Format, Geometry
from reference.words import to_signed


def formats() -> SearchStrategy[Format]:
    """Any of the formats."""
    return st.sampled_from(list(FORMATS.values()))


def geometries(fmt: Format) -> SearchStrategy[Geometry]:
    """Any layout that the format can be configured with."""
    return st.sampled_from(fmt.ias_choices).map(fmt.geometry)


def permissions(useful: bool = False) -> SearchStrategy[int]:
    """A prot, 0 to 63; if ``useful``, one that lets somebody read or write."""
    every = range(PROT_COUNT)
    return st.sampled_from([p for p in every if p & (READ | WRITE)] if useful else every)


def words() -> SearchStrategy[int]:
    """Any held 64-bit word, with a lean towards few bits set, few clear, and the ends."""
    few = st.sets(st.integers(0, 63), max_size=4).map(lambda bits: sum(1 << bit for bit in bits))
    return st.one_of(
        few,
        few.map(lambda word: word ^ (2**64 - 1)),
        st.integers(0, 2**64 - 1),
    ).map(to_signed)


@st.composite
def entry_words(draw: st.DrawFn, fmt: Format, level: int) -> int:
    """A held word that is an entry of some kind of ``level``: kinds evenly, other bits any."""
    kind = draw(st.sampled_from(fmt.tables[level].kinds))
    return (draw(words()) & ~kind.mask) | kind.match


def aligned_addresses(bits: int, alignment: int) -> SearchStrategy[int]:
    """Multiples of ``alignment``, a power of two, below 2**bits; 0 and the last one often."""
    last = max(0, (1 << bits) // alignment - 1)
    edges = {0, 1, last >> 1, last - 1, last}
    steps = st.one_of(
        st.sampled_from(sorted(edge for edge in edges if 0 <= edge <= last)),
        st.integers(0, max(0, last.bit_length() - 1)).map(lambda bit: min(1 << bit, last)),
        st.integers(0, last),
    )
    return steps.map(lambda step: step * alignment)


def input_addresses(geometry: Geometry) -> SearchStrategy[int]:
    """Input addresses within reach, of any alignment; ends of tables and of all often."""
    spans = [geometry.format.span(level) for level in range(geometry.format.levels)]
    near = st.tuples(
        st.sampled_from([span for span in spans if span <= geometry.limit]),
        st.integers(0, 4),
        st.sampled_from([-1, 0, 1]),
    ).map(lambda drawn: (drawn[0] * drawn[1] + drawn[2]) % geometry.limit)
    return st.one_of(
        st.sampled_from([0, geometry.limit - 1]), near, st.integers(0, geometry.limit - 1)
    )
