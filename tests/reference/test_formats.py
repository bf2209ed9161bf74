"""Laws that hold for every format, whatever its tables say."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.formats import FORMATS, format_by_name
from reference.formats.access import ACCESS_MASK, PROT_COUNT, UNKNOWN
from reference.formats.entry import (
    ADDRESS,
    ATTRIBUTE,
    ELSEWHERE,
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
    Half,
)
from reference.formats.format import Format, Level
from reference.formats.page_sizes import best_page_size
from reference.words import to_signed, to_unsigned
from strategies.formats import (
    aligned_addresses,
    entry_words,
    formats,
    geometries,
    input_addresses,
    words,
)

EVERY_FORMAT = pytest.mark.parametrize("fmt", FORMATS.values(), ids=list(FORMATS))
ALL_ONES = 2**64 - 1


def kinds_of(fmt: Format) -> list[EntryKind]:
    """Every kind of entry of the format, once."""
    return list(dict.fromkeys(kind for level in fmt.tables for kind in level.kinds))


def halves_of(fmt: Format) -> list[tuple[int, Half]]:
    """(number of the level, half) for each half of each level."""
    return [(n, half) for n, level in enumerate(fmt.tables) for half in level.halves]


def leaf_levels(fmt: Format) -> list[int]:
    return [n for n, level in enumerate(fmt.tables) if level.first.kind_with(LEAF) is not None]


def table_levels(fmt: Format) -> list[int]:
    return [n for n, level in enumerate(fmt.tables) if level.has_children]


def ways_down(fmt: Format, start: int) -> list[list[int]]:
    """The levels of each way from a table at ``start`` down to a last one."""
    children = [half.child for half in fmt.tables[start].halves if half.child >= 0]
    below = [way for child in children for way in ways_down(fmt, int(child))]
    return [[start, *way] for way in below] or [[start]]


def leaves_of(fmt: Format, level: int) -> list[int]:
    """A leaf at address 0 for each example of what can be asked for and is expressed there."""
    return [fmt.leaf(level, 0, asked) for asked in fmt.permissions.examples]


@st.composite
def asked_for(draw: st.DrawFn, fmt: Format) -> int:
    """Something that the format can express, with a lean towards its examples."""
    any_bits = st.integers(0, fmt.permissions.asks).map(lambda bits: bits & fmt.permissions.asks)
    asked = draw(st.one_of(st.sampled_from(fmt.permissions.examples), any_bits))
    try:
        fmt.leaf(fmt.small, 0, asked)
    except ValueError:
        # Only where not all combinations of what it has bits for can be.
        assert not fmt.plain
        return int(fmt.permissions.examples[0])
    return asked


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
        by_use = dict.fromkeys(range(ELSEWHERE + 1), 0)
        for field in kind.fields:
            by_use[field.use] |= field_bits(field)
        assert to_unsigned(kind.mask) == by_use[FIXED]
        assert to_unsigned(kind.attributes) == by_use[ATTRIBUTE]
        assert to_unsigned(kind.ignored) == by_use[IGNORED] | by_use[ELSEWHERE]
        assert to_unsigned(kind.address) == by_use[ADDRESS]


@given(st.data())
def test_a_word_is_of_exactly_one_kind_at_each_level(data: st.DataObject) -> None:
    """By each half: of the one kind that holds it, or of the first where several do."""
    fmt = data.draw(formats())
    level = data.draw(st.integers(0, fmt.levels - 1))
    word = data.draw(st.one_of(words(), entry_words(fmt, level)))
    one = fmt.tables[level]
    for half in one.halves:
        matching = [kind for kind in half.kinds if kind.holds(word)]
        assert len(matching) == 1 if one.plain else matching
        assert half.candidate(word).kind is matching[0]
        assert half.role(word) == matching[0].role
    first = next(kind for kind in one.first.kinds if kind.holds(word))
    assert fmt.kind_of(level, word) is first
    assert fmt.kind(level, word) == first.role
    assert fmt.kinds_of(level, *[word] * one.words) == [
        half.candidate(word).kind for half in one.halves
    ]


@EVERY_FORMAT
def test_kinds_are_for_the_levels_that_have_them(fmt: Format) -> None:
    for number, half in halves_of(fmt):
        assert all(number in kind.levels for kind in half.kinds)
        assert (half.child >= 0) == any(kind.role == TABLE for kind in half.kinds)
        assert half.child < fmt.levels


@EVERY_FORMAT
def test_roles_appear_where_they_can(fmt: Format) -> None:
    last = fmt.levels - 1
    assert fmt.small == last
    if fmt.plain:
        assert table_levels(fmt) == list(range(last))
        assert (fmt.large, fmt.last_directory) == (-1, -1)
    else:
        assert table_levels(fmt) == list(range(last - 1))
        assert (fmt.large, fmt.last_directory) == (last - 1, last - 2)
    assert last in leaf_levels(fmt)
    assert sorted(fmt.page_sizes) == list(fmt.page_sizes)
    assert fmt.page_sizes[0] == fmt.granule == fmt.span(last)
    for number, half in halves_of(fmt):
        assert half.role(0) == fmt.kind(number, 0) == INVALID
        assert half is fmt.tables[number].first or half.kind_with(LEAF) is None


@EVERY_FORMAT
def test_every_level_is_reached_by_one_way(fmt: Format) -> None:
    ways = ways_down(fmt, 0)
    assert sorted({level for way in ways for level in way}) == list(range(fmt.levels))
    for number in range(1, fmt.levels):
        above = [level for level, half in halves_of(fmt) if half.child == number]
        assert len(above) == 1
        assert above[0] < number


# -- input addresses ----------------------------------------------------------------------


@EVERY_FORMAT
def test_every_input_bit_is_decoded_by_exactly_one_level(fmt: Format) -> None:
    for ias in fmt.ias_choices:
        geometry = fmt.geometry(ias)
        for way in ways_down(fmt, geometry.start_level):
            for bit in range(ias):
                deciding = [level for level in way if geometry.index(level, 1 << bit)]
                if 1 << bit < fmt.span(way[-1]):
                    assert deciding == [], (ias, bit)
                    continue
                assert len(deciding) == 1, (ias, bit, deciding)
                index = geometry.index(deciding[0], 1 << bit)
                assert index == 1 << (bit - fmt.shift(deciding[0]))
                assert index == fmt.index(deciding[0], 1 << bit)


@given(st.data())
def test_indices_and_offset_give_the_input_address_back(data: st.DataObject) -> None:
    fmt = data.draw(formats())
    geometry = data.draw(geometries(fmt))
    va = data.draw(input_addresses(geometry))
    assert geometry.contains(va)
    for way in ways_down(fmt, geometry.start_level):
        total = va % fmt.span(way[-1])
        for level in way:
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
        assert geometry.root_entries <= 1 << fmt.tables[start].bits
        assert geometry.root_bytes == (
            fmt.word_bytes * fmt.tables[start].words * geometry.root_entries
        )
        assert geometry.roots == (geometry.root_entries if fmt.registers else 1)
        assert geometry.table_bytes(start) == geometry.root_bytes
        for way in ways_down(fmt, start):
            for above, level in itertools.pairwise(way):
                assert fmt.span(above) == geometry.entries(level) * fmt.span(level)
                assert geometry.table_bytes(level) == fmt.tables[level].bytes
                if fmt.plain:
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
    assert [1 << page.shift for page in reversed(fmt.pages) if page.vram] == list(fmt.page_sizes)


@EVERY_FORMAT
def test_chains_of_page_sizes_lead_to_the_root(fmt: Format) -> None:
    for page in fmt.pages:
        assert page.table == page.chain[0]
        assert page.chain[-1] == 0
        assert fmt.shift(page.table) == page.shift
        for below, above in itertools.pairwise(page.chain):
            assert below in [half.child for half in fmt.tables[above].halves]
        assert page.sparse == fmt.can_be_sparse(page.table)
        assert page.vram == (page.table in leaf_levels(fmt))
        assert fmt.page_of_shift(page.shift) is page
    assert fmt.page_of_shift(13) is None
    assert [page.shift for page in fmt.pages] == sorted(
        (page.shift for page in fmt.pages), reverse=True
    )


@given(st.data())
def test_the_best_page_size_is_a_level_s(data: st.DataObject) -> None:
    """The largest page that divides both addresses and fits is one that the format has."""
    fmt = data.draw(formats())
    pages = data.draw(st.integers(1, 1 << 20))
    iova, pa = (data.draw(st.integers(0, 1 << 20)) * fmt.granule for _ in range(2))
    size, count = best_page_size(fmt.page_sizes, iova, pa, pages * fmt.granule)
    level = fmt.level_of(size)
    assert fmt.span(level) == size
    assert size * count <= pages * fmt.granule
    assert not (iova | pa) & (size - 1)
    assert fmt.kind(level, fmt.leaf(level, 0, fmt.permissions.examples[0])) == LEAF


# -- entries ------------------------------------------------------------------------------


@given(st.data())
def test_a_leaf_keeps_its_address_and_permissions(data: st.DataObject) -> None:
    """Round trip: what was encoded is decoded, and nothing else is set."""
    fmt = data.draw(formats())
    level = data.draw(st.sampled_from(leaf_levels(fmt)))
    asked = data.draw(asked_for(fmt))
    kind = fmt.kind_of(level, fmt.leaf(level, 0, asked))
    oas = data.draw(st.sampled_from(fmt.oas_choices or (kind.address_bits.bit_length(),)))
    pa = data.draw(aligned_addresses(oas, fmt.span(level)))
    word = fmt.leaf(level, pa, asked)
    assert fmt.kind(level, word) == LEAF
    assert fmt.output(level, word) == pa
    assert fmt.tables[level].first.output(word) == pa
    assert fmt.meaning(level, word) == fmt.promised(asked)
    assert to_signed(to_unsigned(word)) == word
    reading = fmt.decode(word, level)[0]
    assert reading.kind is kind
    assert reading.address == pa
    chosen = fmt.permissions.fields_of(asked)
    for field, value in reading.fields():
        if field.use in (IGNORED, RESERVED):
            assert value == 0, field
        elif field.use in (ATTRIBUTE, HINT):
            assert value == chosen.get(field.name, 0), field
    if fmt.plain:
        assert set(chosen) <= {field.name for field, _ in reading.fields()}


@EVERY_FORMAT
def test_every_permission_round_trips_at_every_level(fmt: Format) -> None:
    for level in leaf_levels(fmt):
        for asked in fmt.permissions.examples:
            word = fmt.leaf(level, 0, asked)
            assert fmt.kind(level, word) == LEAF
            assert fmt.output(level, word) == 0
            told = fmt.permissions.asked_text(asked)
            assert fmt.meaning(level, word) == fmt.promised(asked), told
    if fmt.plain:
        assert list(fmt.permissions.examples) == list(range(PROT_COUNT))


@given(st.data())
def test_a_table_entry_keeps_its_address(data: st.DataObject) -> None:
    fmt = data.draw(formats())
    level = data.draw(st.sampled_from(table_levels(fmt)))
    kind = fmt.tables[level].first.kind_with(TABLE)
    assert kind is not None
    oas = max(fmt.oas_choices, default=kind.address_bits.bit_length())
    pa = data.draw(aligned_addresses(oas, fmt.granule))
    word = fmt.table(level, pa)
    assert fmt.directory(level, pa) == [word] + [0] * (fmt.tables[level].words - 1)
    assert fmt.kind(level, word) == TABLE
    assert fmt.next_table(level, word) == pa
    assert fmt.denied(level, word) == 0
    reading = fmt.decode(word, level)[0]
    assert reading.address == pa
    fields = fmt.permissions.table_fields
    chosen = fields(fmt.permissions.memories[0]) if fields is not None else {}
    for field, value in reading.fields():
        if field.use not in (FIXED, ADDRESS):
            assert value == chosen.get(field.name, 0), field


@given(st.data())
def test_an_entry_keeps_the_addresses_of_all_its_tables(data: st.DataObject) -> None:
    fmt = data.draw(formats())
    level = data.draw(st.sampled_from(table_levels(fmt)))
    memory = data.draw(st.sampled_from(fmt.permissions.memories))
    one = fmt.tables[level]
    given_pas = []
    for half in one.halves:
        kind = half.kind_with(TABLE)
        assert kind is not None
        pa = data.draw(st.integers(0, kind.address_bits)) & kind.address_bits
        given_pas.append(data.draw(st.sampled_from([pa, -1])))
    first, second = (*given_pas, -1)[:2]
    entry = fmt.directory(level, first, second, memory)
    assert len(entry) == one.words
    for half, pa in zip(one.halves, given_pas, strict=True):
        assert half.role(entry[half.word]) == (INVALID if pa < 0 else TABLE)
        if pa >= 0:
            assert half.output(entry[half.word]) == pa


@EVERY_FORMAT
def test_addresses_that_do_not_fit_are_refused(fmt: Format) -> None:
    for level in leaf_levels(fmt):
        for pa in (1, fmt.span(level) // 2, 1 << 52, -4096, fmt.span(level) | 8):
            with pytest.raises(ValueError, match=r"pa is -?0x"):
                fmt.leaf(level, pa, fmt.permissions.examples[-1])
        for asked in (-1, 1 << fmt.permissions.asks.bit_length()):
            with pytest.raises(ValueError, match=f"{fmt.permissions.asked} is"):
                fmt.leaf(level, 0, asked)
    for level in table_levels(fmt):
        for pa in (1, 1 << (52 if fmt.plain else 58), -fmt.granule):
            with pytest.raises(ValueError, match=r"pa is -?0x"):
                fmt.table(level, pa)
    with pytest.raises(ValueError, match=f"level is {fmt.levels - 1}"):
        fmt.table(fmt.levels - 1, 0)


@EVERY_FORMAT
def test_levels_without_leaves_refuse_one(fmt: Format) -> None:
    for level in set(range(fmt.levels)) - set(leaf_levels(fmt)):
        with pytest.raises(ValueError, match=f"level is {level}"):
            fmt.leaf(level, 0, fmt.permissions.examples[-1])


@EVERY_FORMAT
def test_different_permissions_that_promise_differently_have_different_words(fmt: Format) -> None:
    level = leaf_levels(fmt)[-1]
    promises: dict[int, int] = {}
    for asked in fmt.permissions.examples:
        word = fmt.leaf(level, 0, asked)
        assert promises.setdefault(word, fmt.promised(asked)) == fmt.promised(asked)


def said(kind: EntryKind, word: int) -> dict[str, int]:
    """The values of all fields, by name."""
    return {field.name: field.get(word) for field in kind.fields}


@given(st.data())
def test_meaning_depends_on_attributes_alone(data: st.DataObject) -> None:
    fmt = data.draw(formats())
    level = data.draw(st.sampled_from(leaf_levels(fmt)))
    first = fmt.tables[level].first
    drawn = data.draw(st.sampled_from([kind for kind in first.kinds if kind.role == LEAF]))
    word = (data.draw(words()) & ~drawn.mask) | drawn.match
    other = (data.draw(words()) & ~drawn.mask) | drawn.match
    kind = first.candidate(word).kind
    kept = kind.attributes | kind.mask
    moved = (word & kept) | (other & ~kept)
    assert fmt.kind(level, moved) == LEAF
    expected = fmt.permissions.access_of(said(kind, word))
    # Twice: found, then remembered; with another meaning asked for in between.
    assert fmt.meaning(level, word) == expected
    another = first.candidate(other).kind
    assert fmt.meaning(level, other) == fmt.permissions.access_of(said(another, other))
    assert fmt.meaning(level, moved) == expected


@EVERY_FORMAT
def test_every_single_attribute_bit_is_in_the_meaning_of_some_leaf(fmt: Format) -> None:
    """An attribute that never changes the access would not be one."""
    for level in leaf_levels(fmt):
        for kind in fmt.tables[level].first.kinds:
            for field in kind.fields:
                if field.use != ATTRIBUTE or kind.role != LEAF:
                    continue
                leaves = [(leaf & ~kind.mask) | kind.match for leaf in leaves_of(fmt, level)]
                count = len(leaves)
                for other in kind.fields:
                    if other.use == ATTRIBUTE and other is not field:
                        leaves += [leaf ^ other.put(1) for leaf in leaves[:count]]
                clear = ~to_signed(field_bits(field))
                values = range(1 << field.width) if field.width < 8 else (0, 2**field.width - 1)
                meanings = [
                    {fmt.meaning(level, (leaf & clear) | field.put(value)) for value in values}
                    for leaf in leaves
                ]
                assert any(len(found) > 1 for found in meanings), field


# -- changing an entry that is in use -----------------------------------------------------


@EVERY_FORMAT
def test_only_attributes_hints_and_ignored_bits_may_change_in_use(fmt: Format) -> None:
    for kind in kinds_of(fmt):
        for field in kind.fields:
            for mask in (kind.live_set, kind.live_clear):
                if field.use in (IGNORED, ELSEWHERE):
                    assert mask & field.mask == field.mask, (kind, field)
                elif field.use not in (ATTRIBUTE, HINT) or kind.role != LEAF:
                    assert not mask & field.mask, (kind, field)


@given(st.data())
def test_what_may_change_in_use_changes_who_may_do_what_and_nothing_else(
    data: st.DataObject,
) -> None:
    fmt = data.draw(formats())
    level = data.draw(st.sampled_from(leaf_levels(fmt)))
    kinds = [kind for kind in fmt.tables[level].first.kinds if kind.role == LEAF]
    drawn = data.draw(st.sampled_from(kinds))
    old = (data.draw(words()) & ~drawn.mask) | drawn.match
    kind = fmt.kind_of(level, old)
    noise = data.draw(words())
    new = old ^ (noise & ((~old & kind.live_set) | (old & kind.live_clear)))
    assert fmt.may_change(level, old, new)
    assert fmt.kind_of(level, new) is kind
    assert fmt.output(level, new) == fmt.output(level, old)
    # Whether it is known what an access may do is a matter of permissions, too.
    changed = fmt.meaning(level, new) ^ fmt.meaning(level, old)
    assert not changed & ~(ACCESS_MASK | UNKNOWN)
    bit = to_signed(1 << data.draw(st.integers(0, 63)))
    way = kind.live_clear if old & bit else kind.live_set
    assert fmt.may_change(level, old, old ^ bit) == bool(way & bit)


@EVERY_FORMAT
def test_permissions_may_change_in_use_where_no_more_is_asked_for(fmt: Format) -> None:
    """What is encoded needs break-before-make if more differs than who may do what."""
    if not fmt.plain:
        return
    for level in leaf_levels(fmt):
        kind = fmt.tables[level].leaf
        assert kind is not None
        shares = "SH" in [field.name for field in kind.fields]
        leaves = [fmt.leaf(level, 0, prot) for prot in range(PROT_COUNT)]
        for old, new in itertools.product(leaves, leaves):
            changed = fmt.meaning(level, old) ^ fmt.meaning(level, new)
            if fmt.may_change(level, old, new):
                assert not changed & ~(ACCESS_MASK | UNKNOWN)
            elif not changed & ~ACCESS_MASK:
                # The shareability is written differently, and the memory type has it ignored.
                assert shares
                assert kind.value(old, "SH") != kind.value(new, "SH")
            assert not fmt.may_change(level, old, fmt.leaf(level, fmt.span(level), 3))


@EVERY_FORMAT
def test_no_entry_becomes_one_of_another_kind_in_use(fmt: Format) -> None:
    for level in set(leaf_levels(fmt)) & set(table_levels(fmt)):
        leaf, table = fmt.leaf(level, 0, fmt.permissions.examples[0]), fmt.table(level, 0x40000)
        assert not fmt.may_change(level, leaf, table)
        assert not fmt.may_change(level, table, leaf)
    for level in table_levels(fmt):
        assert not fmt.may_change(level, fmt.table(level, 0x40000), fmt.table(level, 0x80000))


# -- any word -----------------------------------------------------------------------------


@given(st.data())
def test_any_word_decodes_and_describes(data: st.DataObject) -> None:
    fmt = data.draw(formats())
    word = data.draw(words())
    readings = fmt.decode(word)
    told = [(level, reading.kind) for reading in readings for level in reading.levels]
    assert len(set(told)) == len(told)
    assert set(told) == {(n, half.candidate(word).kind) for n, half in halves_of(fmt)}
    if fmt.plain:
        assert sorted(level for level, _ in told) == list(range(fmt.levels))
    assert len({id(reading.kind) for reading in readings}) == len(readings)
    for reading in readings:
        assert reading.kind.holds(word)
        assert reading.word == word
        rebuilt = sum(value << field.low for field, value in reading.fields())
        assert rebuilt == to_unsigned(word)
        assert "\n" not in reading.text
        assert reading.text.startswith(reading.kind.name)
        where = fmt.title_of(reading.levels)
        assert all((fmt.tables[level].name or str(level)) in where for level in reading.levels)
        for level in reading.levels:
            one = fmt.tables[level]
            entry = [word] * one.words
            if len(one.halves) == 1:
                assert fmt.describe(level, *entry) == reading.text
                assert fmt.describe(level, *map(to_unsigned, entry)) == reading.text
            else:
                assert reading.text in fmt.describe(level, *entry)
            assert reading.kind in [at.kind for at in fmt.decode(to_unsigned(word), level)]
        if reading.kind.role not in (TABLE, LEAF):
            assert reading.address is None
            assert "pa=" not in reading.text
        else:
            assert f"pa={reading.address:#x}" in reading.text


@given(st.data())
def test_a_description_says_everything(data: st.DataObject) -> None:
    """Words that are described alike are alike."""
    fmt = data.draw(formats())
    level = data.draw(st.integers(0, fmt.levels - 1))
    word = data.draw(entry_words(fmt, level))
    bit = data.draw(st.integers(0, 63))
    other = to_signed(to_unsigned(word) ^ (1 << bit))
    count = fmt.tables[level].words
    assert fmt.describe(level, *[word] * count) != fmt.describe(level, *[other] * count)


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
        allowed = "0 to" if fmt.plain else "the tables 0 "
        told = f"level is {level}; allowed for {fmt.name} are {allowed}"
        for ask in (fmt.decode, fmt.describe):
            with pytest.raises(ValueError, match=told):
                ask(*((0, level) if ask == fmt.decode else (level, 0)))


@EVERY_FORMAT
def test_an_entry_has_as_many_words_as_it_has(fmt: Format) -> None:
    for level, one in enumerate(fmt.tables):
        with pytest.raises(ValueError, match=f"words are .*; entries of {one.title} of {fmt.name}"):
            fmt.describe(level, *[0] * (one.words + 1))


# -- same ---------------------------------------------------------------------------------


def ignored_in(fmt: Format, level: int, word: int) -> int:
    """The bits of a word, the first of an entry, at which no half looks."""
    ignored = -1
    for half in fmt.tables[level].halves:
        if half.word == 0:
            ignored &= half.candidate(word).kind.ignored
    return ignored


@given(st.data())
def test_same_is_an_equivalence(data: st.DataObject) -> None:
    fmt = data.draw(formats())
    level = data.draw(st.integers(0, fmt.levels - 1))
    a, b, c = (data.draw(entry_words(fmt, level)) for _ in range(3))
    noise = data.draw(words()) & ignored_in(fmt, level, a)
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
    if not fmt.plain:
        mine = [half for half in fmt.tables[level].halves if half.word == 0]
        alike = all(half.candidate(word) is half.candidate(other) for half in mine)
        expected = alike and bool(ignored_in(fmt, level, word) & to_signed(1 << bit))
    elif kind.role == INVALID:
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
    b = data.draw(st.one_of(entry_words(fmt, level), st.just(a ^ ignored_in(fmt, level, a))))
    if fmt.same(level, a, b):
        assert fmt.kind(level, a) == fmt.kind(level, b)
        for half in fmt.tables[level].halves:
            if half.word == 0 and not fmt.plain:
                assert half.role(a) == half.role(b)
                assert half.output(a) == half.output(b)
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
    meanings = set()
    for kind in fmt.tables[fmt.small].first.kinds:
        if kind.role != LEAF:
            continue
        narrow = [f for f in kind.fields if f.use == ATTRIBUTE and f.width < 8]
        for number in range(1 << sum(f.width for f in narrow)):
            values = said(kind, kind.match)
            left = number
            for field in narrow:
                values[field.name] = left & ((1 << field.width) - 1)
                left >>= field.width
            meanings.add(fmt.permissions.access_of(values))
    assert len({fmt.permissions.granted_text(meaning) for meaning in meanings}) == len(meanings)


def test_formats_are_found_by_name() -> None:
    assert list(FORMATS) == sorted(FORMATS)
    assert len(FORMATS) == len(list(FORMATS))
    for name, fmt in FORMATS.items():
        assert fmt.name == name
        assert format_by_name(name) is fmt
    with pytest.raises(ValueError, match=r"format is 'arm'; allowed are dart1-16k, .*, uat"):
        format_by_name("arm")
    assert "arm" not in FORMATS
    with pytest.raises(KeyError):
        FORMATS["arm"]


@EVERY_FORMAT
def test_configurations_are_checked(fmt: Format) -> None:
    ias, oas, sizes = fmt.ias_choices[0], max(fmt.oas_choices, default=0), sum(fmt.page_sizes)
    fmt.check(ias, oas, sizes)
    fmt.check(ias, oas, fmt.page_sizes[0])
    with pytest.raises(ValueError, match="ias is 7"):
        fmt.check(7, oas, sizes)
    if fmt.oas_choices:
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


def test_what_may_change_names_attributes_and_hints() -> None:
    fields = [field("a", 63, 2, ATTRIBUTE), field("b", 1, 1, HINT), field("c", 0, 0)]
    some = EntryKind("some", INVALID, (0,), fields, may_set=("a", "b"), may_clear=("b",))
    assert to_unsigned(some.live_set) == ALL_ONES
    assert some.live_clear == 3
    assert some.may_change(0, 4)
    assert not some.may_change(4, 0)
    for name in ("c", "d"):
        with pytest.raises(ValueError, match=f"that may change have {name}; allowed are a, b"):
            EntryKind("some", INVALID, (0,), fields, may_set=(name,))


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
            noise = word & ignored_in(fmt, level, 0)
            assert noise & ALL_ONES == to_unsigned(noise)
            mine = [half for half in fmt.tables[level].halves if half.word == 0]
            if any(half.candidate(noise) is not half.candidate(0) for half in mine):
                # The noise made one of the markers.
                assert not fmt.plain
                continue
            assert fmt.kind(level, noise) == INVALID
            assert fmt.same(level, 0, noise)
