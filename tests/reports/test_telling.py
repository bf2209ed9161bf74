"""Tellings: everything that the file knows, within the width, in the order of its use."""

import dataclasses
import io
import re

import pytest
from rich.console import Console

from reference import trace as t
from reports import markdown, terminal
from reports.counterexample import (
    Compared,
    Comparison,
    Note,
    OperationResult,
    Segment,
    Stale,
    Views,
)
from reports.telling import FAULT, PLAIN, QUIET, WIDTH, Block, Paragraph, sections
from reports.vocabulary import NO_VOCABULARY, HardwareRow, Vocabulary

HEADINGS = [
    "What was done",
    "What was seen",
    "The addresses before and after operation 3",
    "The walk of ",
    "What the device may still have cached",
    "What happened, event by event",
    "Reproduce",
]


@pytest.mark.parametrize("sample", ["kb16", "kb21"])
@pytest.mark.parametrize("with_specs", [True, False])
def test_no_line_is_wider_than_a_terminal(sample, with_specs, request, vocabulary):
    told = terminal.tell(
        request.getfixturevalue(sample), vocabulary=vocabulary if with_specs else NO_VOCABULARY
    )
    assert max(map(len, told.splitlines())) <= WIDTH
    assert told.endswith("\n")
    assert not [line for line in told.splitlines() if line != line.rstrip()]


def test_the_sections_stand_in_the_order_of_their_use(kb16, vocabulary):
    told = terminal.tell(kb16, vocabulary=vocabulary)
    places = [told.index(heading) for heading in HEADINGS]
    assert places == sorted(places)
    assert told.startswith("OR-2 is broken by linux:io-pgtable-arm (pagetable)\n===")


def test_kb_16_can_be_understood_without_the_code(kb16, vocabulary):
    told = terminal.tell(kb16, vocabulary=vocabulary)
    for words in (
        # The operations and what they returned.
        "  2  map iova=0x40200000 pa=0x140200000 pgsize=2M pgcount=1 prot=rwc  -> 0, 2M mapped\n",
        "> 3  unmap iova=0x40205000 pgsize=4K pgcount=1 gather=strict  -> 0, 4K unmapped\n",
        # The block that is still cached, over the pages that replaced it.
        "~ 2M block, level 2 ~",
        "= 2M rwxc -> 0x140200000 =",
        "= 506 x 4K rwxc -> 0x140206000 =",
        "|--------------------2024K---------------------|",
        # The store that did it, with both entries decoded, and who made it.
        "> 533  store       at 0x80002008: 0x140200f45 -> 0x80003003",
        "level 2 entry of 0x40200000 (2M), from valid to valid: block pa=0x140200000",
        # The stores of the split in two lines, and no invalidation anywhere.
        "store       5 words in one table, 0x80003000..0x80003020: 0x0 -> 0x140200f47 up to",
        "store       506 words in one table",
        "No invalidation was completed before it",
        # How to see it again.
        f"mmu-conformance replay {kb16.file_name} --target linux:io-pgtable-arm\n",
        f"mmu-conformance replay {kb16.file_name} --target reference\n",
    ):
        assert words in told, words
    assert "invalidate  " not in told
    assert re.search(r"^> 533 .* arm_lpae_install_table$", told, re.MULTILINE)
    assert len(told.splitlines()) < 110


def test_kb_21_can_be_understood_without_the_code(kb21, vocabulary):
    told = terminal.tell(kb21, vocabulary=vocabulary)
    for words in (
        "(pagetable, misuse)",
        "Misuse:     the interface forbids what the caller does here.",
        "[= 4K rwxc -> 0x1000 ==]",
        "= 2M rwxc -> 0x200000 =",
        "^ 0x5000",
        "2      0x80002000  0      0x200f45    block pa=0x200000",
        # The invalidation is inside the operation, and what came before it is told all the same.
        "told\nfrom where its operation begins",
        "level 2 entry of 0x0 (2M): table pa=0x80003000 -> invalid",
        "level 3 table of 0x0 (2M), with 1 valid entry still in it",
        "> 30  return      0, 2M mapped",
    ):
        assert words in told, words
    assert "operation 2 begins" not in told


def test_without_a_declaration_the_operations_stand_as_in_the_file(kb16):
    told = terminal.tell(kb16, file="found/a.json")
    assert "pgsize=0x200000 pgcount=1 prot=0x7 fail_at=0\n         -> 0, value 0x200000\n" in told
    assert "mmu-conformance replay found/a.json --target reference" in told


def test_an_operation_of_another_version_is_told_as_it_stands(kb16, vocabulary):
    fewer = {name: spec for name, spec in vocabulary.specs.items() if name != "create"}
    assert "create format=lpae-s1 ias=48" in terminal.tell(kb16, vocabulary=Vocabulary(fewer))


def test_the_reference_is_not_compared_with_itself(kb16):
    told = terminal.tell(dataclasses.replace(kb16, target_name="reference"))
    assert told.count("mmu-conformance replay") == 1


def test_a_run_that_ended_early_says_so(kb16, vocabulary):
    crashed = dataclasses.replace(
        kb16,
        results=(kb16.results[0], OperationResult(0, 0, finished=False)),
        trace=(
            {"event": "begin", "operation": 0},
            {"event": "crash", "signal": 11, "address": "0x0"},
        ),
        views=Views("It died.", 1, 1, None),
    )
    told = terminal.tell(crashed, vocabulary=vocabulary)
    assert "-> did not come back" in told
    assert "-> was not reached" in told
    assert "> 1  CRASH       signal 11 at address 0x0" in told
    # There is nothing to draw or to walk.
    assert "The addresses" not in told
    assert "The walk" not in told


def test_without_an_offending_event_all_is_told_to_the_end(kb21, vocabulary):
    told = terminal.tell(
        dataclasses.replace(kb21, views=dataclasses.replace(kb21.views, event=None)),
        vocabulary=vocabulary,
    )
    assert "No single event is at fault; the violation shows at event 30." in told
    assert "  30  return      0, 2M mapped" in told
    empty = dataclasses.replace(
        kb21, trace=(), views=dataclasses.replace(kb21.views, event=None, notes=())
    )
    assert "event by event" not in terminal.tell(empty, vocabulary=vocabulary)


def test_what_came_after_the_last_invalidation_is_told_from_there(kb21, vocabulary):
    trace = t.Trace()
    for event in (
        t.Event(t.BEGIN, 0),
        t.Event(t.INVALIDATE, 0, -1, t.invalidate_command(3, t.CAUSE_ALL, 1)),
        t.Event(t.COMPLETE, 1),
        t.Event(t.END, 0, 0),
        t.Event(t.BEGIN, 1),
        t.Event(t.STORE, 0x1000, 5, 0),
        t.Event(t.END, 0, 0x1000),
    ):
        trace.append(event)
    told = terminal.tell(
        dataclasses.replace(kb21, trace=tuple(trace.to_json()), views=Views("x", 5, 1, None)),
        vocabulary=vocabulary,
    )
    assert "was completed at event 2: told from there" in " ".join(told.split())
    assert "operation 1" not in told.split("event by event")[1].replace("operation 1 goes on", "")
    assert "operation 2 begins: map" in told
    assert "> 5  store" in told


def test_a_long_history_is_cut_and_counted(kb21, vocabulary):
    trace = t.Trace()
    trace.append(t.Event(t.BEGIN, 1))
    for number in range(100):
        trace.append(t.Event(t.STORE, 0x1000 * number, 0, number))
    told = terminal.tell(
        dataclasses.replace(kb21, trace=tuple(trace.to_json()), views=Views("x", 100, 1, None)),
        vocabulary=vocabulary,
    )
    assert "earlier events left out: 73" in told
    assert "operation 2 goes on: map" in told
    assert "> 100  store" in told
    assert len(told.splitlines()) < 80


def test_many_stale_facts_are_cut_and_counted(kb16, vocabulary):
    stale = tuple(Stale(3, 0x1000 * i, 0x1000 * i + 0xFFF, 3, "page pa=0x0") for i in range(20))
    views = dataclasses.replace(kb16.views, stale=stale, window=None)
    told = terminal.tell(dataclasses.replace(kb16, views=views), vocabulary=vocabulary)
    assert "and 12 more" in told


def test_words_that_are_longer_than_a_line_are_broken(kb16):
    views = dataclasses.replace(
        kb16.views, observed="x" * 300, notes=(Note(533, "y" * 250),), iova=2**64 - 1, window=None
    )
    told = terminal.tell(dataclasses.replace(kb16, views=views, target_version="z" * 300))
    assert max(map(len, told.splitlines())) <= WIDTH
    assert told.count("y") >= 250


def test_a_huge_window_with_many_segments_stays_readable(kb16, vocabulary):
    many = tuple(Segment(i << 32, (i << 32) + 0xFFF, i << 12, "rw", 4096) for i in range(200))
    views = dataclasses.replace(
        kb16.views, hardware_after=many, window=(0, 2**48 - 1), iova=100 << 32
    )
    told = terminal.tell(dataclasses.replace(kb16, views=views), vocabulary=vocabulary)
    assert "stretches further away are not drawn" in told
    assert "^ 0x6400000000" in told
    assert max(map(len, told.splitlines())) <= WIDTH
    assert len(told.splitlines()) < 140


def test_what_nobody_maps_around_it_is_not_drawn(kb16, kb21, vocabulary):
    base = 0x40200000
    around = dataclasses.replace(kb16.views, window=(base - 0x1000, base + 0x200FFF))
    told = terminal.tell(dataclasses.replace(kb16, views=around), vocabulary=vocabulary)
    assert told == terminal.tell(kb16, vocabulary=vocabulary)
    # Unless it is all there is.
    nothing = Views("x", 30, 2, 0x5000, window=(0, 0x1FFFFF))
    told = terminal.tell(dataclasses.replace(kb21, views=nothing), vocabulary=vocabulary)
    assert "^ 0x5000" in told
    assert "2024K" in told


def vma(first, last, buffer, offset):
    return Segment(first, last, offset, f"buffer {buffer}", last - first + 1)


@pytest.fixture
def three(kb21):
    """A VM of several whose driver has lost the offset of what a hole left behind it."""
    views = Views(
        "The offset is wrong.",
        None,
        2,
        0x7000,
        promise_before=(vma(0x5000, 0x8FFF, 0, 0),),
        promise_after=(vma(0x5000, 0x5FFF, 0, 0), vma(0x7000, 0x8FFF, 0, 0x2000)),
        hardware_before=(Segment(0x5000, 0x8FFF, 0x90000000, "rwxc", 4096),),
        hardware_after=(Segment(0x7000, 0x8FFF, 0x90001000, "rwxc", 4096),),
        window=(0x4000, 0x9FFF),
        driver_before=(),
        driver_after=(vma(0x7000, 0x8FFF, 0, 0x1000),),
        subject="VM 1",
    )
    return dataclasses.replace(kb21, views=views)


def strip_of(counterexample, vocabulary=NO_VOCABULARY):
    """The lines of the strip, and the words below it, from the section that has it."""
    (section,) = [
        one
        for one in sections(counterexample, vocabulary=vocabulary)
        if "before and after" in one.title
    ]
    block, words = section.parts
    return section.title, [line.text for line in block.lines], words.text


def test_what_the_driver_has_in_its_books_is_a_third_row(three):
    title, lines, words = strip_of(three)
    assert title == "The addresses of VM 1 before and after operation 3"
    assert [line[:16] for line in lines[:7]] == [
        "before  promise ",
        "        driver  ",
        "        hardware",
        "",
        "after   promise ",
        "        driver  ",
        "        hardware",
    ]
    # Nothing was mapped in its books before, which is no reason to leave them out.
    assert set(lines[1][16:]) <= set(" .…")
    assert "[" in lines[0]
    assert " 8K buffer 0 + 0x2000 " in lines[4]
    assert " 8K buffer 0 + 0x1000 " in lines[5]
    assert " 2 x 4K rwxc -> 0x90001000 " in lines[6]
    assert words.startswith(
        "Promise is what callers were told, driver the mappings in its own books, hardware what a "
        "walk of the tables finds. "
    )
    for told in (terminal.tell(three), markdown.tell(three)):
        assert "\n".join(lines) in told
        assert title in told


def test_what_only_the_driver_has_is_drawn_too(three):
    views = Views("x", None, 2, None, driver_before=(), driver_after=(vma(0, 0xFFF, 0, 0),))
    assert "4K buffer 0 + 0x0" in strip_of(dataclasses.replace(three, views=views))[1][5]
    nothing = dataclasses.replace(views, driver_after=())
    assert "before and after" not in terminal.tell(dataclasses.replace(three, views=nothing))


def test_what_is_compared_stands_side_by_side_and_fits(three):
    rows = [
        Compared("count", "48", "0, and 64 are due"),
        Compared("entry", "as it was", "as it was"),
        Compared("a longer name", "many " * 30, "words " * 20),
    ]
    views = dataclasses.replace(
        three.views, comparison=Comparison("large entry of 0x0", rows, "Count and flags.")
    )
    (section,) = [
        one
        for one in sections(dataclasses.replace(three, views=views))
        if one.title == "The large entry of 0x0, before and after operation 3"
    ]
    block, words = section.parts
    lines = block.lines
    assert words.text == "Count and flags."
    column = lines[0].text.index("after")
    assert lines[0].text.split() == ["before", "after"]
    assert lines[1].text[column:] == "0, and 64 are due"
    assert lines[1].text.split()[:2] == ["count", "48"]
    # What changed is what is looked for.
    assert (lines[0].style, lines[1].style, lines[2].style) == (QUIET, FAULT, PLAIN)
    assert all(len(line.text) <= 100 for line in lines)
    told = "".join(line.text for line in lines[3:])
    assert (told.count("many"), told.count("words")) == (30, 20)
    assert len(lines) > 4


def test_without_the_driver_there_are_two_rows(three):
    views = dataclasses.replace(three.views, driver_before=None, driver_after=None, subject="")
    title, lines, words = strip_of(dataclasses.replace(three, views=views))
    assert title == "The addresses before and after operation 3"
    assert [line[:16] for line in lines[:5]] == [
        "before  promise ",
        "        hardware",
        "",
        "after   promise ",
        "        hardware",
    ]
    assert "driver" not in words


def test_where_nobody_walks_the_tables_the_row_says_so(three):
    views = dataclasses.replace(three.views, driver_before=None, driver_after=None)
    row = HardwareRow("page tables", "what the driver was told to put there", False)
    told_only = Vocabulary(hardware=row)
    _, lines, words = strip_of(dataclasses.replace(three, views=views), told_only)
    assert lines[1].startswith("        page tables |4K|")
    assert lines[4].startswith("        page tables ")
    assert not any("hardware" in line for line in lines)
    assert "page tables what the driver was told to put there. " in words
    told = terminal.tell(dataclasses.replace(three, views=views), vocabulary=told_only)
    assert re.search(r"Told\sfrom\sevent\s\d+\.", told)
    assert "No invalidation was completed" not in told


# -- forms -----------------------------------------------------------------------------------


def test_colour_only_where_the_terminal_has_it(kb16, vocabulary):
    plain, coloured = io.StringIO(), io.StringIO()
    terminal.show(kb16, vocabulary=vocabulary, console=Console(file=plain, width=40))
    assert plain.getvalue() == terminal.tell(kb16, vocabulary=vocabulary)
    terminal.show(
        kb16,
        vocabulary=vocabulary,
        console=Console(file=coloured, force_terminal=True, color_system="standard", width=200),
    )
    assert "\x1b[1;31m> 533  store" in coloured.getvalue()
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured.getvalue()) == plain.getvalue()


def test_the_offending_lines_are_marked_as_faults(kb16, vocabulary):
    faults = [
        line.text
        for section in sections(kb16, vocabulary=vocabulary)
        for part in section.parts
        if isinstance(part, Block)
        for line in part.lines
        if line.style == FAULT
    ]
    assert any(line.startswith("> 533  store") for line in faults)
    assert any("from valid to valid" in line for line in faults)
    assert any(line.startswith("> 3  unmap") for line in faults)
    assert any(line.strip() == "^ 0x40200000" for line in faults)
    assert not any("alloc" in line for line in faults)


def test_markdown_says_the_same(kb16, vocabulary):
    told = markdown.tell(kb16, vocabulary=vocabulary)
    assert told.startswith("## OR-2 is broken by linux:io-pgtable-arm (pagetable)\n")
    for section in sections(kb16, vocabulary=vocabulary):
        for part in section.parts:
            if isinstance(part, Paragraph):
                assert markdown.escaped(part.text) in told
            else:
                block = "\n".join(line.text for line in part.lines)
                assert f"```text\n{block}\n```\n" in told
    assert told.count("\n### ") == len(sections(kb16, vocabulary=vocabulary)) - 1
    assert markdown.tell(kb16, level=1).startswith("# OR-2")
    with pytest.raises(ValueError, match="level is 6; allowed are 1 to 5"):
        markdown.tell(kb16, level=6)


def test_markdown_escapes_what_would_be_markup():
    assert markdown.escaped("__init__ *x* <b> a|b [c] `d`\n e") == (
        r"\_\_init\_\_ \*x\* \<b\> a\|b \[c\] \`d\` e"
    )


def test_a_fence_is_longer_than_any_inside(kb16):
    views = dataclasses.replace(kb16.views, observed="a ```` b")
    told = markdown.tell(dataclasses.replace(kb16, views=views))
    assert "`````text\naddress   0x40200000" in told
