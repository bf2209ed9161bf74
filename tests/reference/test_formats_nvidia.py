"""NVIDIA's formats: words known from running nouveau's encoders, and laws of the tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.formats.entry import (
    ADDRESS,
    ATTRIBUTE,
    ELSEWHERE,
    HINT,
    HOLE,
    IGNORED,
    INVALID,
    LEAF,
    ROLE_NAMES,
    SPARSE,
    TABLE,
    EntryKind,
    Field,
    Half,
)
from reference.formats.format import Format
from reference.formats.nvidia import (
    ENCRYPTED,
    GF100_64K,
    GF100_128K,
    GH100,
    GK104_64K,
    GK104_128K,
    GM200_64K,
    GM200_128K,
    GP100,
    HOST,
    LOCKED,
    NCOH,
    NO_ATOMIC,
    NO_READ,
    NO_WRITE,
    NVIDIA,
    PEER,
    PRIVILEGED,
    READ_ONLY,
    VOLATILE,
    VRAM,
    access_in,
    aperture_in,
    meaning_of,
    meaning_text,
    nvidia_format,
    peer_in,
    storage_in,
    table_aperture,
)
from reference.words import hex_word, to_signed, to_unsigned

FORMATS = list(NVIDIA)
EVERY = pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
FERMI = [GF100_128K, GF100_64K, GK104_128K, GK104_64K, GM200_128K, GM200_64K]
OLD = pytest.mark.parametrize("fmt", FERMI, ids=lambda fmt: fmt.name)

PGD, LPT, SPT = 0, 1, 2
"""Tables up to GM200."""
PD3, PD2, PD1, PD0, GP_LPT, GP_SPT = range(6)
"""Tables of GP100."""

words = st.integers(0, 2**64 - 1).map(to_signed) | st.integers(0, 63).map(
    lambda bit: to_signed(1 << bit)
)


def halves(fmt: Format) -> list[tuple[int, Half]]:
    """(number of the table, half) for each half of each table."""
    return [(n, half) for n, table in enumerate(fmt.tables) for half in table.halves]


def page_tables(fmt: Format) -> list[int]:
    """The tables that have pages."""
    return [n for n, table in enumerate(fmt.tables) if table.first.kind_with(LEAF)]


def kind_names(fmt: Format, table: int, *entry: int) -> list[str]:
    return [kind.name for kind in fmt.kinds_of(table, *entry)]


def bits_of(field: Field) -> set[int]:
    return set(range(field.low, field.high + 1))


@st.composite
def meanings(draw, fmt: Format) -> int:
    """What a page of the format can express."""
    access = draw(st.integers(0, 255)) & access_in(fmt.permissions.asks)
    aperture = draw(st.sampled_from([VRAM, PEER, HOST, NCOH]))
    storage = draw(st.integers(0, storage_in(fmt.permissions.asks)))
    peer = draw(st.integers(0, 7)) if aperture == PEER and fmt not in FERMI else 0
    return meaning_of(aperture, access, storage, peer)


# -- words that are known -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pa", "meaning", "word"),
    [
        (0x12340000, meaning_of(VRAM), 0x1234001),
        (0x12341000, meaning_of(VRAM), 0x1234101),
        (0x1ABCDE000, meaning_of(HOST, VOLATILE), 0x1ABCDE0D),
        (0x2345000, meaning_of(HOST, VOLATILE), 0x23450D),
        (0x55000, meaning_of(HOST, VOLATILE), 0x550D),
        (0x56000, meaning_of(HOST, VOLATILE | READ_ONLY | NO_ATOMIC), 0x56CD),
        (0x99000, meaning_of(VRAM, NO_ATOMIC), 0x9981),
        (0x1000, meaning_of(VRAM, PRIVILEGED), 0x121),
        (0x1000, meaning_of(NCOH, ENCRYPTED), 0x117),
        (0x1000, meaning_of(VRAM, 0, 0xFE), 0xFE00000000000101),
        (0x1000, meaning_of(PEER, 0, 0, 5), 0xA00000103),
    ],
)
def test_pages_of_gp100(pa: int, meaning: int, word: int) -> None:
    assert to_unsigned(GP100.leaf(GP_SPT, pa, meaning)) == word
    half = GP100.tables[GP_SPT].first
    assert half.output(to_signed(word)) == pa
    assert GP100.meaning(GP_SPT, to_signed(word)) == meaning


def test_large_pages_of_gp100() -> None:
    assert GP100.leaf(GP_LPT, 0x12350000, VRAM) == 0x1235001
    assert GP100.leaf(GP_LPT, 0x12360000, VRAM) == 0x1236001
    assert GP100.leaf(PD0, 0x40000000, VRAM) == 0x4000001
    assert GP100.leaf(PD0, 0x40200000, VRAM) == 0x4020001
    assert kind_names(GP100, PD0, 0x4000001, 0) == ["page", "no table"]


def test_directories_of_gp100() -> None:
    assert GP100.directory(PD3, 0x101000) == [0x10102]
    assert GP100.directory(PD2, 0x102000) == [0x10202]
    assert GP100.directory(PD1, 0x103000) == [0x10302]
    assert GP100.directory(PD0, -1, 0x104000) == [0, 0x10402]
    assert GP100.directory(PD0, 0x105000, 0x104000) == [0x10502, 0x10402]
    assert GP100.directory(PD0, 0x105000) == [0x10502, 0]
    assert GP100.directory(PD0, 0x105100) == [0x10512, 0]
    assert GP100.directory(PD2, 0x102000, memory=HOST) == [0x1020C]
    assert GP100.directory(PD2, 0x102000, memory=NCOH) == [0x10206]


def test_markers_of_gp100() -> None:
    for table in range(6):
        assert GP100.sparse(table) == 8
        assert GP100.tables[table].first.role(8) == SPARSE
        assert GP100.tables[table].first.role(0) == INVALID
    assert GP100.hole(GP_LPT) == 0x20
    assert GP100.has_hole()
    with pytest.raises(ValueError, match="table is SPT; gp100 has no holes there"):
        GP100.hole(GP_SPT)


def test_a_page_whose_valid_bit_was_cleared_is_not_sparse() -> None:
    """The first phase of clearing pages of system memory leaves all but bit 0."""
    assert kind_names(GP100, GP_SPT, 0x56CC) == ["not valid"]
    assert GP100.tables[GP_SPT].first.role(0x56CC) == INVALID
    # A page of 2 MiB so cleared reads as a directory entry: the memory as a large table.
    assert kind_names(GP100, PD0, 0x200000CC, 0) == ["table", "no table"]


@OLD
def test_pages_up_to_gm200(fmt: Format) -> None:
    assert fmt.leaf(SPT, 0x12341000, VRAM) == 0x123411
    assert fmt.leaf(SPT, 0x12342000, VRAM) == 0x123421
    assert fmt.leaf(LPT, 0x12360000, VRAM) == 0x123601
    assert fmt.leaf(LPT, 0x12380000, VRAM) == 0x123801
    everything = READ_ONLY | PRIVILEGED | VOLATILE | ENCRYPTED | NO_READ | NO_WRITE | LOCKED
    word = fmt.leaf(SPT, 0x1000, meaning_of(NCOH, everything, 0xFE))
    assert to_unsigned(word) == 0xC0000FEF0000001F
    assert fmt.leaf(SPT, 0x1ABCDE000, meaning_of(HOST, VOLATILE)) == 0x501ABCDE1


def test_directories_up_to_gm200() -> None:
    assert GF100_128K.directory(PGD, -1, 0x110000) == [0x0000110100000000]
    assert GF100_128K.directory(PGD, 0x150000, 0x110000) == [0x0000110100001501]
    assert GF100_128K.directory(PGD, 0x150000) == [0x1501]
    assert GF100_128K.directory(PGD, 0x150000, memory=HOST) == [0x800001502]
    assert GF100_128K.directory(PGD, -1, 0x110000, HOST) == [0x110600000000]
    assert GF100_128K.directory(PGD, -1, 0x110000, NCOH) == [0x110300000000]
    top = GF100_128K.directory(PGD, 0xFF_FFFF_F000, 0xFF_FFFF_F000)
    assert [to_unsigned(word) for word in top] == [0xFFFFFFF1FFFFFFF1]


def test_markers_up_to_gm200() -> None:
    for fmt in (GF100_64K, GF100_128K):
        assert not fmt.has_hole()
        # No marker yet: what is not valid is unmapped.
        assert fmt.tables[LPT].first.role(2) == INVALID
    for fmt in (GK104_64K, GK104_128K, GM200_64K, GM200_128K):
        assert fmt.hole(LPT) == 2
        assert fmt.tables[LPT].first.role(2) == HOLE
        assert fmt.tables[SPT].first.role(2) == INVALID
    for fmt in (GF100_64K, GK104_128K):
        for table in range(3):
            assert not fmt.can_be_sparse(table)
            with pytest.raises(ValueError, match="no sparse entries"):
                fmt.sparse(table)
        assert fmt.tables[SPT].first.role(1 << 32) == INVALID
        assert fmt.tables[PGD].first.role(1 << 35) == INVALID
    for fmt in (GM200_64K, GM200_128K):
        assert fmt.sparse(PGD) == 0x0000000800000000
        assert fmt.sparse(LPT) == fmt.sparse(SPT) == 0x0000000100000000
        assert kind_names(fmt, PGD, 0x0000000800000000) == ["sparse", "no table"]


@pytest.mark.parametrize(
    ("meaning", "word"),
    [
        (meaning_of(VRAM), 0x12340081),
        (meaning_of(HOST, VOLATILE), 0x1234008D),
        (meaning_of(VRAM, PRIVILEGED), 0x12340091),
        (meaning_of(VRAM, READ_ONLY), 0x123400A1),
        (meaning_of(VRAM, NO_ATOMIC), 0x123400C1),
        (meaning_of(NCOH, 0, 6), 0x12340687),
        (meaning_of(PEER, 0, 0, 7), 0xE000000012340083),
    ],
)
def test_pages_of_gh100(meaning: int, word: int) -> None:
    assert to_unsigned(GH100.leaf(6, 0x12340000, meaning)) == word


def test_directories_and_markers_of_gh100() -> None:
    assert GH100.directory(0, 0x101000) == [0x101012]
    assert GH100.directory(0, 0x101000, memory=HOST) == [0x10100C]
    assert GH100.directory(0, 0x101000, memory=NCOH) == [0x101006]
    assert GH100.directory(4, 0x105100, 0x104000) == [0x105112, 0x104012]
    assert [GH100.sparse(table) for table in range(7)] == [8] * 7
    assert GH100.hole(5) == 0x18
    assert kind_names(GH100, 5, 0x10) == ["not valid"]
    # Pages of 512 MiB and 2 MiB are directory entries.
    assert GH100.leaf(3, 0x20000000, VRAM) == 0x20000081
    assert GH100.leaf(4, 0x40200000, VRAM) == 0x40200081
    assert kind_names(GH100, 2, 0x40000081) == ["reserved"]


def test_words_that_were_never_written_are_no_pages() -> None:
    for fmt in FORMATS:
        for number in page_tables(fmt):
            assert fmt.tables[number].first.role(0x5A5A5A5A5A5A5A5A) != LEAF


# -- geometry -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fmt", "bits", "shifts", "entry_bits", "table_bytes"),
    [
        (GF100_128K, 40, [27, 17, 12], [13, 10, 15], [1 << 16, 1 << 13, 1 << 18]),
        (GF100_64K, 40, [26, 16, 12], [14, 10, 14], [1 << 17, 1 << 13, 1 << 17]),
        (GK104_128K, 40, [27, 17, 12], [13, 10, 15], [1 << 16, 1 << 13, 1 << 18]),
        (GM200_64K, 40, [26, 16, 12], [14, 10, 14], [1 << 17, 1 << 13, 1 << 17]),
        (
            GP100,
            49,
            [47, 38, 29, 21, 16, 12],
            [2, 9, 9, 8, 5, 9],
            [32, 4096, 4096, 4096, 256, 4096],
        ),
        (
            GH100,
            57,
            [56, 47, 38, 29, 21, 16, 12],
            [1, 9, 9, 9, 8, 5, 9],
            [16, 4096, 4096, 4096, 4096, 256, 4096],
        ),
    ],
    ids=lambda one: one.name if hasattr(one, "tables") else "",
)
def test_geometry(fmt, bits, shifts, entry_bits, table_bytes) -> None:
    assert fmt.ias_choices[-1] == bits
    assert fmt.limit == 1 << bits
    assert [table.shift for table in fmt.tables] == shifts
    assert [table.bits for table in fmt.tables] == entry_bits
    assert [table.bytes for table in fmt.tables] == table_bytes


@pytest.mark.parametrize(
    ("fmt", "pages"),
    [
        (GF100_128K, {17: "VC", 12: "VH"}),
        (GF100_64K, {16: "VC", 12: "VH"}),
        (GK104_64K, {16: "VC", 12: "VH"}),
        (GM200_128K, {27: "S", 17: "SVC", 12: "SVH"}),
        (GM200_64K, {26: "S", 16: "SVC", 12: "SVH"}),
        (GP100, {47: "S", 38: "S", 29: "S", 21: "SVC", 16: "SVC", 12: "SVH"}),
        (GH100, {56: "S", 47: "S", 38: "S", 29: "SVC", 21: "SVC", 16: "SVC", 12: "SVH"}),
    ],
    ids=lambda one: one.name if hasattr(one, "tables") else "",
)
def test_page_sizes(fmt: Format, pages: dict[int, str]) -> None:
    found = {}
    for page in fmt.pages:
        flags = (page.sparse, page.vram, page.host, page.compressed)
        found[page.shift] = "".join(name for name, on in zip("SVHC", flags, strict=True) if on)
    assert found == pages
    assert list(found) == sorted(found, reverse=True)


def test_nouveau_lists_the_directory_of_gm200_as_128_mib() -> None:
    assert [page.listed for page in GM200_64K.pages] == [27, 16, 12]
    assert [page.listed for page in GM200_128K.pages] == [27, 17, 12]
    assert all(page.listed == page.shift for page in GP100.pages)


@EVERY
def test_children_tile_their_parent(fmt: Format) -> None:
    for number, half in halves(fmt):
        if half.child >= 0:
            child = fmt.tables[half.child]
            assert child.span * child.entries == fmt.tables[number].span
    assert [half.child for half in fmt.tables[fmt.last_directory].halves] == [fmt.large, fmt.small]
    assert fmt.tables[0].span * fmt.tables[0].entries == fmt.limit


# -- the tables themselves ------------------------------------------------------------------


def example_of(half: Half, kind: EntryKind) -> int:
    """A word that is of this kind, by setting what is not fixed in it until it is."""
    for value in (0, 1, 2, 3):
        fields = {f.name: value & ((1 << f.width) - 1) for f in kind.fields if f.use == ATTRIBUTE}
        word = kind.encode(fields)
        if half.candidate(word).kind is kind:
            return word
    for word in (kind.match, kind.match | 2, kind.match | 1 << 40):
        if half.candidate(word).kind is kind:
            return word
    raise AssertionError(f"nothing is {kind}")


@EVERY
def test_there_are_words_of_every_kind(fmt: Format) -> None:
    for number, half in halves(fmt):
        for kind in half.kinds:
            word = example_of(half, kind)
            assert half.role(word) == kind.role
            assert kind.holds(word)
            assert number in kind.levels


@EVERY
def test_halves_in_one_word_share_no_bit(fmt: Format) -> None:
    """A bit counts in one half of the last directory's entries, and is elsewhere in the other."""
    large, small = fmt.tables[fmt.last_directory].halves
    mine = [
        {
            bit
            for kind in half.kinds
            for field in kind.fields
            if field.use not in (ELSEWHERE, IGNORED)
            for bit in bits_of(field)
        }
        for half in (large, small)
    ]
    if large.word == small.word:
        assert not mine[0] & mine[1]
        assert mine[0] | mine[1] == set(range(64))
    else:
        assert all(f.use != ELSEWHERE for h in (large, small) for k in h.kinds for f in k.fields)


@given(st.sampled_from(FORMATS), words, st.data())
def test_a_word_is_of_the_first_kind_that_holds_it(
    fmt: Format, word: int, data: st.DataObject
) -> None:
    number, half = data.draw(st.sampled_from(halves(fmt)))
    holding = [kind for kind in half.kinds if kind.holds(word)]
    assert holding
    assert half.candidate(word).kind is holding[0]
    assert half.role(word) == holding[0].role
    entry = [word] * fmt.tables[number].words
    assert holding[0] in fmt.kinds_of(number, *entry)
    assert fmt.describe(number, *entry)


# -- encoding and decoding ------------------------------------------------------------------


@given(st.sampled_from(FORMATS), st.data())
def test_decoding_a_page_gives_what_was_encoded(fmt: Format, data: st.DataObject) -> None:
    number = data.draw(st.sampled_from(page_tables(fmt)))
    half = fmt.tables[number].first
    meaning = data.draw(meanings(fmt))
    kind = half.candidate(fmt.leaf(number, 0, meaning)).kind
    pa = data.draw(st.integers(0, kind.address_bits)) & kind.address_bits
    pa &= -fmt.tables[number].span
    word = fmt.leaf(number, pa, meaning)
    assert half.role(word) == LEAF
    assert half.output(word) == pa
    assert fmt.meaning(number, word) == meaning
    assert to_signed(to_unsigned(word)) == word


@given(st.sampled_from(FORMATS), words, st.data())
def test_encoding_what_a_page_says_gives_it_back(
    fmt: Format, word: int, data: st.DataObject
) -> None:
    """But for what the encoder always sets or leaves zero: hints, reserved and low bits."""
    number = data.draw(st.sampled_from(page_tables(fmt)))
    half = fmt.tables[number].first
    word |= 1
    kind = half.candidate(word).kind
    assert kind.role == LEAF
    pa = half.output(word) & -fmt.tables[number].span
    again = fmt.leaf(number, pa, fmt.meaning(number, word))
    attributes = sum(
        to_unsigned(field.mask) for field in kind.fields if field.use in (ATTRIBUTE, ADDRESS)
    )
    low_bits = (fmt.tables[number].span - 1) & kind.address_bits
    differ = to_unsigned(word ^ again) & attributes
    assert differ & ~to_unsigned(kind.place(low_bits)) == 0


@given(st.sampled_from(FORMATS), st.data())
def test_decoding_a_directory_entry_gives_what_was_encoded(
    fmt: Format, data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, fmt.last_directory))
    aperture = data.draw(st.sampled_from([VRAM, HOST, NCOH]))
    one = fmt.tables[number]
    targets = []
    for half in one.halves:
        kind = half.kind_with(TABLE)
        assert kind
        pa = data.draw(st.integers(0, kind.address_bits)) & kind.address_bits
        targets.append(data.draw(st.sampled_from([pa, -1])))
    small = targets[1] if len(targets) > 1 else -1
    entry = fmt.directory(number, targets[0], small, aperture)
    assert len(entry) == one.words
    for half, pa in zip(one.halves, targets, strict=True):
        word = entry[half.word]
        assert half.role(word) == (INVALID if pa < 0 else TABLE)
        if pa >= 0:
            assert half.output(word) == pa
            assert table_aperture(half, word) == aperture


@given(st.sampled_from(FORMATS), words, words, st.data())
def test_words_that_differ_in_ignored_bits_are_the_same(
    fmt: Format, word: int, noise: int, data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, len(fmt.tables) - 1))
    one = fmt.tables[number]
    for part in range(one.words):
        ignored = -1
        for half in one.halves:
            if half.word == part:
                ignored &= half.candidate(word).kind.ignored
        changed = word ^ (noise & ignored)
        if any(h.candidate(word) is not h.candidate(changed) for h in one.halves):
            # The noise made one of the markers, or unmade it.
            continue
        assert fmt.same(number, word, changed, part)
        assert fmt.same(number, changed, word, part)


def test_words_that_say_other_things_are_not_the_same() -> None:
    assert not GP100.same(GP_LPT, 0, 0x20, 0)
    assert not GP100.same(GP_SPT, 0, 8, 0)
    assert GP100.same(GP_SPT, 0x56CC, 0x55CC, 0)
    assert not GP100.same(PD0, 0x10502, 0, 0)
    assert not GP100.same(PD0, 0x10402, 0, 1)
    assert not GF100_64K.same(PGD, 0x110100001501, 0x110100000000, 0)
    assert not GF100_64K.same(PGD, 0x110100001501, 0x1501, 0)


# -- refusals, texts, names -----------------------------------------------------------------


@EVERY
def test_what_cannot_be_encoded_is_refused(fmt: Format) -> None:
    small = fmt.small
    for pa in (0x800, 1 << 60, -0x1000):
        with pytest.raises(ValueError, match="pa is"):
            fmt.leaf(small, pa, VRAM)
    with pytest.raises(ValueError, match="pa is 0x1000; allowed are multiples of"):
        fmt.leaf(fmt.large, 0x1000, VRAM)
    with pytest.raises(ValueError, match="has no such pages"):
        fmt.leaf(0, 0, VRAM)
    forbidden = NO_ATOMIC if fmt in FERMI else LOCKED
    with pytest.raises(ValueError, match="meaning is vram"):
        fmt.leaf(small, 0, meaning_of(VRAM, forbidden))
    with pytest.raises(ValueError, match="level, memory are"):
        fmt.directory(small, 0x1000)
    with pytest.raises(ValueError, match="level, memory are 0, 1"):
        fmt.directory(0, 0x1000, memory=PEER)
    with pytest.raises(ValueError, match="pa is 0x10"):
        fmt.directory(fmt.last_directory, -1, 0x10)
    with pytest.raises(ValueError, match="level is 9"):
        fmt.describe(9, 0)
    with pytest.raises(ValueError, match="words are"):
        fmt.describe(small, 0, 0)


def test_a_directory_with_one_half_leads_to_one_table() -> None:
    with pytest.raises(ValueError, match="entries of PD1 lead to one table"):
        GP100.directory(PD1, 0x1000, 0x2000)


def test_a_peer_that_fermi_cannot_express_is_refused() -> None:
    with pytest.raises(ValueError, match="no such pages"):
        GF100_64K.leaf(SPT, 0, meaning_of(PEER, peer=1))


def test_kinds_of_a_half_cover_every_word() -> None:
    with pytest.raises(ValueError, match="do not cover every word"):
        Half("some", 0, -1, [kind for kind in GP100.tables[GP_SPT].first.kinds if kind.mask != 1])


@given(
    st.sampled_from([VRAM, PEER, HOST, NCOH]),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 7),
)
def test_parts_of_a_meaning(aperture: int, access: int, storage: int, peer: int) -> None:
    meaning = meaning_of(aperture, access, storage, peer)
    assert aperture_in(meaning) == aperture
    assert access_in(meaning) == access
    assert storage_in(meaning) == storage
    assert peer_in(meaning) == peer


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("aperture", (4, 0, 0, 0)),
        ("access", (0, 256, 0, 0)),
        ("storage", (0, 0, -1, 0)),
        ("peer", (0, 0, 0, 8)),
    ],
)
def test_what_no_meaning_holds_is_refused(name: str, values: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match=f"{name} is"):
        meaning_of(*values)


def test_texts() -> None:
    assert meaning_text(meaning_of(HOST, READ_ONLY | VOLATILE)) == "host read-only volatile"
    assert meaning_text(meaning_of(PEER, 0, 0xFE, 3)) == "peer 3 kind 0xfe"
    assert GP100.describe(GP_SPT, 0x56CD) == (
        "system page pa=0x56000 aperture=host VOL read-only atomic-disable"
    )
    assert GP100.describe(GP_LPT, 0x20) == "hole"
    assert GP100.describe(PD0, 0x10502, 0x10402) == (
        "large: table pa=0x105000 aperture=vram; small: table pa=0x104000 aperture=vram"
    )
    assert GP100.describe(PD0, 8, 0) == "large: sparse; small: no table"
    assert GF100_128K.describe(PGD, 0x0000110100001501) == (
        "large: table pa=0x150000 aperture=vram; small: table pa=0x110000 aperture=vram"
    )
    assert GF100_128K.describe(SPT, 0x123411) == "page pa=0x12341000 aperture=vram"
    assert GM200_64K.describe(SPT, 0x100000000) == "sparse"
    assert GH100.describe(6, 0x123400A1) == "page pa=0x12340000 read-only ACD"
    assert ROLE_NAMES[SPARSE] == "sparse"
    assert repr(GP100.tables[GP_LPT]) == "Level(4 LPT, shift 16, 32 entries)"
    assert hex_word(GP100.sparse(PD3)) == "0x8"


@given(st.sampled_from(FORMATS), words)
def test_readings_are_those_of_the_halves(fmt: Format, word: int) -> None:
    told = {(n, reading.kind) for reading in fmt.decode(word) for n in reading.levels}
    assert told == {(n, half.candidate(word).kind) for n, half in halves(fmt)}
    for number in range(len(fmt.tables)):
        at = [reading.kind for reading in fmt.decode(to_unsigned(word), number)]
        assert at == list(
            dict.fromkeys(half.candidate(word).kind for half in fmt.tables[number].halves)
        )


def test_readings_of_a_word() -> None:
    told = [(one.levels, one.text, one.address) for one in GP100.decode(0x10402)]
    assert told == [
        ((0, 1, 2), "table pa=0x104000 aperture=vram", 0x104000),
        ((3,), "table pa=0x104000 aperture=vram", 0x104000),
        ((3,), "table pa=0x104000 aperture=vram", 0x104000),
        ((4,), "not valid (rest[63:1]=0x8201)", None),
        ((5,), "not valid (rest[63:1]=0x8201)", None),
    ]
    with pytest.raises(ValueError, match="level is 6"):
        GP100.decode(0, 6)


def test_formats_by_chip() -> None:
    assert nvidia_format("gp100") is GP100
    assert nvidia_format("gf100", 17) is GF100_128K
    assert nvidia_format("gm200", 16) is GM200_64K
    for chip, large in (("gp100", 17), ("gf100", 12), ("nv50", 16), ("gf100-64k", 17)):
        with pytest.raises(ValueError, match="chip, large are"):
            nvidia_format(chip, large)


def test_hints_do_not_change_what_a_page_means() -> None:
    """Compression tags, and whether accesses are counted, are no part of a promise."""
    for fmt in FORMATS:
        half = fmt.tables[fmt.small].first
        word = fmt.leaf(fmt.small, 0x1000, VRAM)
        for field in half.candidate(word).kind.fields:
            if field.use == HINT:
                assert fmt.meaning(fmt.small, word ^ field.mask) == fmt.meaning(fmt.small, word)
