"""Laws that hold for every format, whatever its tables say."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.formats import FORMATS, format_by_name
from reference.formats.access import PROT_COUNT, access_text, prot_text
from reference.formats.entry import (
    ADDRESS,
    ATTRIBUTE,
    FIXED,
    HINT,
    IGNORED,
    INVALID,
    LEAF,
    RESERVED,
    ROLE_NAMES,
    TABLE,
    USE_NAMES,
    EntryKind,
    Field,
)
from reference.formats.format import Format, Level
from reference.words import to_signed, to_unsigned
from strategies.formats import (
    aligned_addresses,
    entry_words,
    formats,
    geometries,
    input_addresses,
    permissions,
    words,
)

EVERY_FORMAT = pytest.mark.parametrize("fmt", FORMATS.values(), ids=list(FORMATS))
ALL_ONES = 2**64 - 1


def kinds_of(fmt: Format) -> list[EntryKind]:
    """Every kind of entry of the format, once."""
    return list(dict.fromkeys(kind for level in fmt.structure for kind in level.kinds))


def leaf_levels(fmt: Format) -> list[int]:
    return [number for number in range(fmt.levels) if fmt.structure[number].leaf is not None]


def table_levels(fmt: Format) -> list[int]:
    return [number for number in range(fmt.levels) if fmt.structure[number].table is not None]


def field_bits(field: Field) -> int:
    """The field's bits as an unsigned mask, worked out bit by bit."""
    return sum(1 << bit for bit in range(field.low, field.high + 1))


# -- the tables themselves ----------------------------------------------------------------


@EVERY_FORMAT
def test_fields_of_a_kind_cover_every_bit_once(fmt: Format) -> None:
    for kind in kinds_of(fmt):
        seen = Counter(bit for f in kind.fields for bit in range(f.low, f.high + 1))
        assert seen == Counter(range(64)), kind


@EVERY_FORMAT
def test_every_field_has_a_name_a_meaning_and_a_source(fmt: Format) -> None:
    assert fmt.title
    assert fmt.source
    for kind in kinds_of(fmt):
        for field in kind.fields:
            assert all([field.name, field.meaning, field.source]), (kind, field)
            assert all(0 <= value < 1 << field.width for value in field.values), (kind, field)


@EVERY_FORMAT
def test_masks_of_a_kind_are_those_of_its_fields(fmt: Format) -> None:
    for kind in kinds_of(fmt):
        by_use = dict.fromkeys(range(RESERVED + 1), 0)
        for field in kind.fields:
            by_use[field.use] |= field_bits(field)
        assert to_unsigned(kind.mask) == by_use[FIXED]
        assert to_unsigned(kind.attributes) == by_use[ATTRIBUTE]
        assert to_unsigned(kind.ignored) == by_use[IGNORED]
        assert to_unsigned(kind.address) == by_use[ADDRESS]


@given(st.data())
def test_a_word_is_of_exactly_one_kind_at_each_level(data: st.DataObject) -> None:
    fmt = data.draw(formats())
    level = data.draw(st.integers(0, fmt.levels - 1))
    word = data.draw(st.one_of(words(), entry_words(fmt, level)))
    matching = [kind for kind in fmt.structure[level].kinds if kind.holds(word)]
    assert len(matching) == 1
    assert fmt.kind_of(level, word) is matching[0]
    assert fmt.kind(level, word) == matching[0].role


@EVERY_FORMAT
def test_roles_appear_where_they_can(fmt: Format) -> None:
    last = fmt.levels - 1
    assert table_levels(fmt) == list(range(last))
    assert last in leaf_levels(fmt)
    assert sorted(fmt.page_sizes) == list(fmt.page_sizes)
    assert fmt.page_sizes[0] == fmt.granule == fmt.span(last)
    for level in range(fmt.levels):
        assert fmt.kind(level, 0) == INVALID


# -- input addresses ----------------------------------------------------------------------


@EVERY_FORMAT
def test_every_input_bit_is_decoded_by_exactly_one_level(fmt: Format) -> None:
    for ias in fmt.ias_choices:
        geometry = fmt.geometry(ias)
        levels = range(geometry.start_level, fmt.levels)
        for bit in range(ias):
            deciding = [level for level in levels if geometry.index(level, 1 << bit)]
            if 1 << bit < fmt.granule:
                assert deciding == [], (ias, bit)
            else:
                assert len(deciding) == 1, (ias, bit, deciding)
                assert geometry.index(deciding[0], 1 << bit) == 1 << (bit - fmt.shift(deciding[0]))


@given(st.data())
def test_indices_and_offset_give_the_input_address_back(data: st.DataObject) -> None:
    fmt = data.draw(formats())
    geometry = data.draw(geometries(fmt))
    va = data.draw(input_addresses(geometry))
    assert geometry.contains(va)
    total = va % fmt.granule
    for level in range(geometry.start_level, fmt.levels):
        index = geometry.index(level, va)
        assert 0 <= index < geometry.entries(level)
        total += index * fmt.span(level)
    assert total == va


@given(st.data())
def test_bits_beyond_the_input_size_do_not_leave_the_root(data: st.DataObject) -> None:
    fmt = data.draw(formats())
    geometry = data.draw(geometries(fmt))
    va = data.draw(words())
    start = geometry.start_level
    assert geometry.index(start, va) == geometry.index(start, to_unsigned(va) % geometry.limit)
    assert geometry.index(start, va) < geometry.root_entries


@EVERY_FORMAT
def test_tables_tile_the_input_addresses(fmt: Format) -> None:
    for ias in fmt.ias_choices:
        geometry = fmt.geometry(ias)
        start = geometry.start_level
        assert geometry.ias == ias
        assert geometry.limit == 1 << ias
        assert geometry.levels == fmt.levels - start
        assert geometry.root_entries * fmt.span(start) >= geometry.limit
        assert (geometry.root_entries - 1) * fmt.span(start) < geometry.limit
        assert geometry.root_entries <= 1 << fmt.structure[start].bits
        assert geometry.root_bytes == fmt.word_bytes * geometry.root_entries
        assert geometry.table_bytes(start) == geometry.root_bytes
        for level in range(start + 1, fmt.levels):
            assert fmt.span(level - 1) == geometry.entries(level) * fmt.span(level)
            assert geometry.table_bytes(level) == fmt.granule
        assert geometry.contains(0)
        assert geometry.contains(geometry.limit - 1)
        assert not geometry.contains(geometry.limit)
        assert not geometry.contains(-1)


@EVERY_FORMAT
@pytest.mark.parametrize("ias", [0, 31, 49, 64])
def test_other_input_sizes_are_refused(fmt: Format, ias: int) -> None:
    if ias in fmt.ias_choices:
        return
    with pytest.raises(ValueError, match=f"ias is {ias}; allowed for {fmt.name} are"):
        fmt.geometry(ias)


@EVERY_FORMAT
def test_levels_of_page_sizes(fmt: Format) -> None:
    for size in fmt.page_sizes:
        level = fmt.level_of(size)
        assert fmt.span(level) == size == 1 << fmt.shift(level)
        assert level in leaf_levels(fmt)
    for size in [0, 1, 3, fmt.granule - 1, fmt.granule + 1, fmt.granule * 2, 1 << 62, -4096]:
        assert fmt.level_of(size) == -1


# -- entries ------------------------------------------------------------------------------


@given(st.data())
def test_a_leaf_keeps_its_address_and_permissions(data: st.DataObject) -> None:
    """Round trip: what was encoded is decoded, and nothing else is set."""
    fmt = data.draw(formats())
    level = data.draw(st.sampled_from(leaf_levels(fmt)))
    oas = data.draw(st.sampled_from(fmt.oas_choices))
    pa = data.draw(aligned_addresses(oas, fmt.span(level)))
    prot = data.draw(permissions())
    word = fmt.leaf(level, pa, prot)
    assert fmt.kind(level, word) == LEAF
    assert fmt.output(level, word) == pa
    assert fmt.meaning(level, word) == fmt.promised(prot)
    (reading,) = fmt.decode(word, level)
    assert reading.address == pa
    chosen = fmt.fields_of(prot)
    for field, value in reading.fields():
        if field.use in (IGNORED, RESERVED):
            assert value == 0, field
        elif field.use in (ATTRIBUTE, HINT):
            assert value == chosen.get(field.name, 0), field
    assert set(chosen) <= {field.name for field, _ in reading.fields()}


@EVERY_FORMAT
def test_every_permission_round_trips_at_every_level(fmt: Format) -> None:
    for level in leaf_levels(fmt):
        for prot in range(PROT_COUNT):
            word = fmt.leaf(level, 0, prot)
            assert fmt.kind(level, word) == LEAF
            assert fmt.output(level, word) == 0
            assert fmt.meaning(level, word) == fmt.promised(prot), prot_text(prot)


@given(st.data())
def test_a_table_entry_keeps_its_address(data: st.DataObject) -> None:
    fmt = data.draw(formats())
    level = data.draw(st.sampled_from(table_levels(fmt)))
    pa = data.draw(aligned_addresses(max(fmt.oas_choices), fmt.granule))
    word = fmt.table(level, pa)
    assert fmt.kind(level, word) == TABLE
    assert fmt.next_table(level, word) == pa
    assert fmt.denied(level, word) == 0
    (reading,) = fmt.decode(word, level)
    assert reading.address == pa
    assert all(v == 0 for f, v in reading.fields() if f.use not in (FIXED, ADDRESS))


@EVERY_FORMAT
def test_addresses_that_do_not_fit_are_refused(fmt: Format) -> None:
    for level in leaf_levels(fmt):
        for pa in (1, fmt.span(level) // 2, 1 << 52, -4096, fmt.span(level) | 8):
            with pytest.raises(ValueError, match="pa is 0x"):
                fmt.leaf(level, pa, 3)
        for prot in (-1, PROT_COUNT):
            with pytest.raises(ValueError, match="prot is"):
                fmt.leaf(level, 0, prot)
    for level in table_levels(fmt):
        for pa in (1, 1 << 52, -fmt.granule):
            with pytest.raises(ValueError, match="pa is 0x"):
                fmt.table(level, pa)
    with pytest.raises(ValueError, match=f"level is {fmt.levels - 1}"):
        fmt.table(fmt.levels - 1, 0)


@EVERY_FORMAT
def test_levels_without_leaves_refuse_one(fmt: Format) -> None:
    for level in set(range(fmt.levels)) - set(leaf_levels(fmt)):
        with pytest.raises(ValueError, match=f"level is {level}"):
            fmt.leaf(level, 0, 3)


@EVERY_FORMAT
def test_different_permissions_that_promise_differently_have_different_words(fmt: Format) -> None:
    level = leaf_levels(fmt)[-1]
    promises: dict[int, int] = {}
    for prot in range(PROT_COUNT):
        word = fmt.leaf(level, 0, prot)
        assert promises.setdefault(word, fmt.promised(prot)) == fmt.promised(prot)


@given(st.data())
def test_meaning_depends_on_attributes_alone(data: st.DataObject) -> None:
    fmt = data.draw(formats())
    level = data.draw(st.sampled_from(leaf_levels(fmt)))
    kind = fmt.structure[level].leaf
    assert kind is not None
    word = (data.draw(words()) & ~kind.mask) | kind.match
    other = (data.draw(words()) & ~kind.mask) | kind.match
    moved = (word & kind.attributes) | (other & ~kind.attributes)
    assert fmt.kind(level, moved) == LEAF
    expected = fmt.access_of(kind.values(word))
    # Twice: found, then remembered; with another meaning asked for in between.
    assert fmt.meaning(level, word) == expected
    assert fmt.meaning(level, other) == fmt.access_of(kind.values(other))
    assert fmt.meaning(level, moved) == expected


@EVERY_FORMAT
def test_every_single_attribute_bit_is_in_the_meaning_of_some_leaf(fmt: Format) -> None:
    """An attribute that never changes the access would not be one."""
    for level in leaf_levels(fmt):
        kind = fmt.structure[level].leaf
        assert kind is not None
        for field in kind.fields:
            if field.use != ATTRIBUTE:
                continue
            leaves = [fmt.leaf(level, 0, prot) for prot in range(PROT_COUNT)]
            for other in kind.fields:
                if other.use == ATTRIBUTE and other is not field:
                    leaves += [leaf ^ other.put(1) for leaf in leaves[:PROT_COUNT]]
            clear = ~to_signed(field_bits(field))
            values = range(1 << field.width) if field.width < 8 else (0, (1 << field.width) - 1)
            meanings = [
                {fmt.meaning(level, (leaf & clear) | field.put(value)) for value in values}
                for leaf in leaves
            ]
            assert any(len(found) > 1 for found in meanings), field


# -- any word -----------------------------------------------------------------------------


@given(st.data())
def test_any_word_decodes_and_describes(data: st.DataObject) -> None:
    fmt = data.draw(formats())
    word = data.draw(words())
    readings = fmt.decode(word)
    assert sorted(level for reading in readings for level in reading.levels) == list(
        range(fmt.levels)
    )
    assert len({id(reading.kind) for reading in readings}) == len(readings)
    for reading in readings:
        assert reading.kind.holds(word)
        assert reading.word == word
        rebuilt = sum(value << field.low for field, value in reading.fields())
        assert rebuilt == to_unsigned(word)
        assert "\n" not in reading.text
        assert reading.text.startswith(reading.kind.name)
        for level in reading.levels:
            assert fmt.describe(level, word) == reading.text
            assert fmt.describe(level, to_unsigned(word)) == reading.text
        if reading.kind.role == INVALID:
            assert reading.address is None
            assert "pa=" not in reading.text
        else:
            assert f"pa={reading.address:#x}" in reading.text


@given(st.data())
def test_a_description_says_everything(data: st.DataObject) -> None:
    """Words of one kind that are described alike are alike."""
    fmt = data.draw(formats())
    level = data.draw(st.integers(0, fmt.levels - 1))
    word = data.draw(entry_words(fmt, level))
    bit = data.draw(st.integers(0, 63))
    other = to_signed(to_unsigned(word) ^ (1 << bit))
    assert fmt.describe(level, word) != fmt.describe(level, other)


@EVERY_FORMAT
@pytest.mark.parametrize("word", [2**64, -(2**63) - 1])
def test_more_than_64_bits_do_not_decode(fmt: Format, word: int) -> None:
    with pytest.raises(ValueError, match="allowed are 64-bit words"):
        fmt.decode(word)
    with pytest.raises(ValueError, match="allowed are 64-bit words"):
        fmt.describe(0, word)


@EVERY_FORMAT
def test_levels_outside_the_format_do_not_decode(fmt: Format) -> None:
    for level in (-1, fmt.levels):
        with pytest.raises(ValueError, match=f"level is {level}; allowed for {fmt.name} are 0 to"):
            fmt.decode(0, level)


# -- same ---------------------------------------------------------------------------------


@given(st.data())
def test_same_is_an_equivalence(data: st.DataObject) -> None:
    fmt = data.draw(formats())
    level = data.draw(st.integers(0, fmt.levels - 1))
    a, b, c = (data.draw(entry_words(fmt, level)) for _ in range(3))
    noise = data.draw(words()) & fmt.kind_of(level, a).ignored
    d = a ^ noise
    for one in (a, b, c, d):
        assert fmt.same(level, one, one)
        for two in (a, b, c, d):
            assert fmt.same(level, one, two) == fmt.same(level, two, one)
            for three in (a, b, c, d):
                if fmt.same(level, one, two) and fmt.same(level, two, three):
                    assert fmt.same(level, one, three)


@given(st.data())
def test_same_looks_at_each_bit_that_the_hardware_looks_at(data: st.DataObject) -> None:
    fmt = data.draw(formats())
    level = data.draw(st.integers(0, fmt.levels - 1))
    word = data.draw(entry_words(fmt, level))
    bit = data.draw(st.integers(0, 63))
    other = to_signed(to_unsigned(word) ^ (1 << bit))
    kind = fmt.kind_of(level, word)
    if kind.role == INVALID:
        expected = fmt.kind_of(level, other).role == INVALID
    else:
        (field,) = [one for one in kind.fields if one.low <= bit <= one.high]
        expected = field.use == IGNORED
    assert fmt.same(level, word, other) == expected


@given(st.data())
def test_same_words_act_the_same(data: st.DataObject) -> None:
    fmt = data.draw(formats())
    level = data.draw(st.integers(0, fmt.levels - 1))
    a = data.draw(entry_words(fmt, level))
    b = data.draw(st.one_of(entry_words(fmt, level), st.just(a ^ fmt.kind_of(level, a).ignored)))
    if fmt.same(level, a, b):
        assert fmt.kind(level, a) == fmt.kind(level, b)
        if fmt.kind(level, a) == LEAF:
            assert fmt.output(level, a) == fmt.output(level, b)
            assert fmt.meaning(level, a) == fmt.meaning(level, b)
        if fmt.kind(level, a) == TABLE:
            assert fmt.next_table(level, a) == fmt.next_table(level, b)
            assert fmt.denied(level, a) == fmt.denied(level, b)


# -- names --------------------------------------------------------------------------------


@EVERY_FORMAT
def test_texts_tell_accesses_apart(fmt: Format) -> None:
    """Within a format, what differs reads differently, for every combination of attributes."""
    kind = fmt.structure[fmt.levels - 1].leaf
    assert kind is not None
    narrow = [f for f in kind.fields if f.use == ATTRIBUTE and f.width < 8]
    meanings = set()
    for number in range(1 << sum(f.width for f in narrow)):
        values = kind.values(0)
        left = number
        for field in narrow:
            values[field.name] = left & ((1 << field.width) - 1)
            left >>= field.width
        meanings.add(fmt.access_of(values))
    assert len({access_text(meaning) for meaning in meanings}) == len(meanings)


def test_formats_are_found_by_name() -> None:
    for name, fmt in FORMATS.items():
        assert fmt.name == name
        assert format_by_name(name) is fmt
    with pytest.raises(ValueError, match=r"format is 'arm'; allowed are lpae-s1, .*, dart2-16k"):
        format_by_name("arm")


@EVERY_FORMAT
def test_configurations_are_checked(fmt: Format) -> None:
    ias, oas, sizes = fmt.ias_choices[0], fmt.oas_choices[-1], sum(fmt.page_sizes)
    fmt.check(ias, oas, sizes)
    fmt.check(ias, oas, fmt.page_sizes[0])
    with pytest.raises(ValueError, match="ias is 7"):
        fmt.check(7, oas, sizes)
    with pytest.raises(ValueError, match="oas is 53"):
        fmt.check(ias, 53, sizes)
    for ias in fmt.ias_choices:
        for oas in fmt.oas_choices:
            if oas < ias and fmt.ias_within_oas:
                assert oas not in fmt.oas_for(ias)
                with pytest.raises(ValueError, match=f"oas is {oas}; allowed .* with ias {ias}"):
                    fmt.check(ias, oas, sizes)
            else:
                assert oas in fmt.oas_for(ias)
                fmt.check(ias, oas, sizes)
    for bitmap in (0, sizes | 1, sizes & ~fmt.page_sizes[0]):
        with pytest.raises(ValueError, match=f"page sizes are {bitmap:#x}"):
            fmt.check(ias, oas, bitmap)


# -- a table that is wrong is refused when it is made ---------------------------------------


def field(name: str, high: int, low: int, use: int = IGNORED, match: int = 0) -> Field:
    return Field(name, high, low, use, "for this test", "this test", match=match)


def test_a_kind_with_a_gap_or_an_overlap_is_refused() -> None:
    for fields in (
        [field("upper", 63, 3), field("lower", 1, 0)],
        [field("upper", 63, 2), field("lower", 2, 0)],
        [field("upper", 62, 0)],
        [field("upper", 63, 1)],
        [field("lower", 1, 0), field("upper", 63, 2)],
    ):
        with pytest.raises(ValueError, match="fields of kind some"):
            EntryKind("some", INVALID, (0,), fields)


def test_a_kind_needs_as_many_addresses_as_its_role_has() -> None:
    plain = [field("all", 63, 0)]
    addressed = [field("upper", 63, 48), field("pa", 47, 12, ADDRESS), field("lower", 11, 0)]
    for role in (TABLE, LEAF):
        EntryKind("some", role, (0,), addressed)
        with pytest.raises(ValueError, match="0 addresses"):
            EntryKind("some", role, (0,), plain)
    EntryKind("some", INVALID, (0,), plain)
    with pytest.raises(ValueError, match="1 addresses"):
        EntryKind("some", INVALID, (0,), addressed)
    with pytest.raises(ValueError, match=f"role of kind some is {len(ROLE_NAMES)}"):
        EntryKind("some", len(ROLE_NAMES), (0,), plain)


def test_a_kind_with_two_attributes_of_one_name_is_refused() -> None:
    with pytest.raises(ValueError, match="have a twice"):
        EntryKind(
            "some", INVALID, (0,), [field("a", 63, 1, ATTRIBUTE), field("a", 0, 0, ATTRIBUTE)]
        )


def test_a_field_out_of_bounds_is_refused() -> None:
    for high, low in ((64, 0), (3, 4), (0, -1)):
        with pytest.raises(ValueError, match="high, low of field some"):
            field("some", high, low)
    with pytest.raises(ValueError, match="match of field some is 2"):
        field("some", 0, 0, FIXED, match=2)
    with pytest.raises(ValueError, match="match of field some is 1"):
        field("some", 0, 0, RESERVED, match=1)
    with pytest.raises(ValueError, match=f"use of field some is {len(USE_NAMES)}"):
        field("some", 0, 0, len(USE_NAMES))
    with pytest.raises(ValueError, match="address_low of field some is -2"):
        Field("some", 11, 4, ADDRESS, "for this test", "this test", address_low=-2)


def test_addresses_above_their_place() -> None:
    """The highest address bit is the word's sign; levels do not take such entries."""
    upper = Field("pa", 63, 36, ADDRESS, "for this test", "this test", address_low=12)
    some = EntryKind("some", TABLE, (0,), [upper, field("rest", 35, 0)])
    for pa in (0, 0x1000, 0x80_0000_0000, 0xFF_FFFF_F000):
        assert to_unsigned(some.place(pa)) == pa << 24
        assert some.output(some.place(pa)) == pa
    for pa in (0x800, 1 << 40, -0x1000):
        with pytest.raises(ValueError, match="pa is"):
            some.place(pa)
    with pytest.raises(ValueError, match="address of some is 24 bits above its place"):
        Level(0, 12, 9, [some])


def test_a_value_that_does_not_fit_its_field_is_refused() -> None:
    some = EntryKind("some", INVALID, (0,), [field("upper", 63, 2), field("a", 1, 0, ATTRIBUTE)])
    assert some.encode({"a": 3}) == 3
    with pytest.raises(ValueError, match="a is 0x4; allowed are 0 to 0x3"):
        some.encode({"a": 4})
    with pytest.raises(ValueError, match="values has b; some has a"):
        some.encode({"b": 0})
    with pytest.raises(ValueError, match="name is 'b'; fields of some are upper, a"):
        some.value(0, "b")


def test_a_level_whose_kinds_are_not_a_partition_is_refused() -> None:
    def kind(match: int, role: int = INVALID, levels: tuple[int, ...] = (0,)) -> EntryKind:
        address = [field("upper", 63, 2)]
        if role != INVALID:
            address = [field("upper", 63, 48), field("pa", 47, 12, ADDRESS), field("low", 11, 2)]
        return EntryKind("some", role, levels, [*address, field("type", 1, 0, FIXED, match)])

    low_zero = EntryKind("zero", INVALID, (0,), [field("up", 63, 1), field("v", 0, 0, FIXED)])
    Level(0, 12, 9, [low_zero, kind(1, LEAF), kind(3, TABLE)])
    with pytest.raises(ValueError, match="do not cover"):
        Level(0, 12, 9, [low_zero, kind(1, LEAF)])
    with pytest.raises(ValueError, match="not disjoint"):
        Level(0, 12, 9, [low_zero, kind(2), kind(3, TABLE)])
    with pytest.raises(ValueError, match="more than one table or leaf"):
        Level(0, 12, 9, [low_zero, kind(1, LEAF), kind(3, LEAF)])
    with pytest.raises(ValueError, match="which is for"):
        Level(0, 12, 9, [low_zero, kind(1, LEAF, (1,)), kind(3, TABLE)])


@given(words())
def test_an_all_zero_word_is_no_leaf_and_no_table(word: int) -> None:
    """Zeroed tables translate nothing; and the same holds with only ignored bits set."""
    for fmt in FORMATS.values():
        for level in range(fmt.levels):
            noise = word & fmt.kind_of(level, 0).ignored
            assert fmt.kind(level, noise) == INVALID
            assert fmt.same(level, 0, noise)
            assert noise & ALL_ONES == to_unsigned(noise)
