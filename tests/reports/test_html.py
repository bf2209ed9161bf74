"""Pages: everything that the file knows, in one file, for eyes, keyboards and screen readers."""

import dataclasses
import html as escapes
import os
import re
import shutil
import struct
import subprocess
import zlib
from html.parser import HTMLParser

import pytest

from reference.operations import json_text
from reports import html
from reports.counterexample import Compared, Comparison, Note, Views
from reports.result import Identity, Result, RuleCount, SystemResult
from reports.vocabulary import NO_VOCABULARY

VOID = {"meta", "link", "br", "img", "line", "rect"}
INSTALL = "apt install chromium"


class Reader(HTMLParser):
    """Reads a page: its tags balanced, its text, and what it asks the network for."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all_of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(params=["kb16", "kb21"])
def example(request):
    return request.getfixturevalue(request.param)


def test_a_page_is_one_file_that_asks_for_nothing(example, vocabulary):
    page = html.tell(example, vocabulary=vocabulary)
    reader = Reader(page)
    assert reader.open == []
    assert not re.search(r"https?:|url\(|@import|<script|src=", page)
    assert reader.all_of("a") == [{"class": "skip", "href": "#content"}]
    assert page == html.tell(example, vocabulary=vocabulary)


def test_a_page_says_what_the_file_says(kb16, vocabulary):
    text = Reader(html.tell(kb16, vocabulary=vocabulary)).text
    for words in (
        "OR-2 is broken by linux:io-pgtable-arm (pagetable)",
        kb16.rule_text.sentence,
        kb16.rule_text.consequence,
        kb16.views.message,
        "3 unmap iova=0x40205000 pgsize=4K pgcount=1 gather=strict 0, 4K unmapped (here)",
        "2M block, level 2",
        "506 x 4K rwxc -> 0x140206000",
        "store at 0x80002008: 0x140200f45 -> 0x80003003",
        "level 2 entry of 0x40200000 (2M), from valid to valid: block pa=0x140200000",
        "No invalidation was completed before it",
        f"mmu-conformance replay {kb16.file_name} --target linux:io-pgtable-arm",
        f"Found with --seed {kb16.seed} , as: {kb16.signature}.",
    ):
        assert " ".join(words.split()) in text, words
    # Each entry of the walk and of the cache.
    for one in (*kb16.views.walk, *kb16.views.stale):
        assert f"{one.word:#x} {one.text}" in text


def test_the_offending_operation_and_event_are_marked_once(example, vocabulary):
    rows = [
        attributes
        for attributes in Reader(html.tell(example, vocabulary=vocabulary)).all_of("tr")
        if attributes.get("class") == "here"
    ]
    assert len(rows) == 2


def test_without_the_words_of_a_system_it_is_told_all_the_same(kb21):
    text = Reader(html.tell(kb21, vocabulary=NO_VOCABULARY)).text
    assert f"{kb21.rule} is broken by {kb21.target_name}" in text
    for operation in kb21.operations:
        assert json_text(operation) in text


def test_what_a_target_says_is_text_and_nothing_else(kb16, vocabulary):
    nasty = "<b onclick='x()'>&amp;</b>"
    views = dataclasses.replace(kb16.views, message=nasty, expected=nasty, observed=nasty)
    example = dataclasses.replace(
        kb16, target_name=nasty, target_version=nasty, signature=nasty, views=views
    )
    page = html.tell(example, vocabulary=vocabulary)
    assert nasty not in page
    assert page.count("onclick") >= 5
    assert Reader(page).all_of("b") == []
    assert nasty in Reader(page).text


def test_notes_comparisons_and_misuse_are_told(kb16, vocabulary):
    rows = (Compared("bit 7", "clear", "set"), Compared("count", "1", "1"))
    views = dataclasses.replace(
        kb16.views,
        comparison=Comparison("entry of the page", rows, "One byte for each."),
        notes=(Note(kb16.views.event, "a note of its own"),),
        subject="VM 3",
    )
    example = dataclasses.replace(kb16, label="misuse", views=views)
    reader = Reader(html.tell(example, vocabulary=vocabulary))
    for words in (
        "The entry of the page, before and after operation 3",
        "bit 7 clear set",
        "One byte for each.",
        "a note of its own",
        "The addresses of VM 3",
        "Misuse the interface forbids what the caller does here.",
    ):
        assert words in reader.text, words


def test_a_rule_about_no_address_has_no_picture(kb16, vocabulary):
    views = Views(message="It leaks.", event=None, operation=0, iova=None)
    reader = Reader(html.tell(dataclasses.replace(kb16, views=views), vocabulary=vocabulary))
    assert reader.all_of("svg") == []
    assert "No single event is at fault" in reader.text
    assert "The walk" not in reader.text


def test_long_traces_are_told_from_near_the_fault(kb16, vocabulary):
    # Each event stands alone: no store is of the word behind the last one's.
    store = {"event": "store", "pa": "0x80000000", "old": "0x0", "new": "0x1"}
    trace = [dict(kb16.trace[0])]
    assert kb16.events[0].kind == 1
    for number in range(900):
        trace.append({**store, "pa": f"{0x80000000 + 16 * (number % 7):#x}"})
    views = dataclasses.replace(kb16.views, event=900, notes=())
    example = dataclasses.replace(kb16, trace=tuple(trace), views=views)
    reader = Reader(html.tell(example, vocabulary=vocabulary))
    assert "What happened before: 400 lines; 421 lines before these are left out" in reader.text
    assert len(reader.all_of("details")) == 1


def test_tables_and_pictures_have_names_for_who_does_not_see_them(example, vocabulary):
    reader = Reader(html.tell(example, vocabulary=vocabulary))
    assert all(attributes.get("scope") == "col" for attributes in reader.all_of("th"))
    assert all(
        attributes["role"] == "img" and attributes["aria-label"]
        for attributes in reader.all_of("svg")
    )
    headings = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert set(headings[1:]) == {2}
    # What scrolls can be reached with the keyboard.
    assert all(
        attributes.get("tabindex") == "0"
        for tag, attributes in reader.tags
        if "scroll" in (attributes.get("class") or "") or tag == "pre"
    )
    assert ("html", {"lang": "en"}) in reader.tags


# -- a run ------------------------------------------------------------------------------------


def run_of(*identities, complete=True):
    rules = {"TL-1": RuleCount(5, 1), "TR-1": RuleCount(7, 0), "OR-9": RuleCount(0, 0)}
    system = SystemResult("pagetable", 40, 900, rules, {}, ("OR-9",), identities)
    return Result(
        "linux:x", "6.12, x.c", 3, "ci", complete, {"hypothesis": "6", "mypyc": "1"}, (system,)
    )


NEW = Identity("pagetable", "TL-1", "sync, stale <leaf>", "misuse", 9, 0, "counterexamples/a.json")
KNOWN = dataclasses.replace(NEW, signature="another", known="linux-6.12: an old one")


def test_the_index_leads_to_each_finding():
    pages = {("pagetable", "TL-1", NEW.signature): html.Page("counterexamples/a.html", "It <is>.")}
    page = html.index(run_of(NEW, KNOWN), pages)
    reader = Reader(page)
    assert reader.open == []
    assert "1 finding on linux:x" in reader.text
    assert "sync, stale <leaf> (misuse) It <is>. 9 TL-1 told" in reader.text
    assert "another (misuse) known: linux-6.12: an old one 9 no counterexample" in reader.text
    assert {"href": "counterexamples/a.html"} in reader.all_of("a")
    assert "OR-9 0 0 not applicable" in reader.text
    assert not re.search(r"https?:|<script|src=", page)


def test_the_index_never_calls_an_incomplete_run_clean():
    assert "No new finding on linux:x" in Reader(html.index(run_of(), {})).text
    text = Reader(html.index(run_of(complete=False), {})).text
    assert "Incomplete: nothing found so far on linux:x" in text
    assert "it was not run to its end" in text


# -- in a browser -------------------------------------------------------------------------------


def browser():
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        message = f"no Chromium; {INSTALL}"
        if os.environ.get("MMU_CONFORMANCE_REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def shown(path, folder, *options):
    """What a browser that can reach nothing prints of a page."""
    done = subprocess.run(
        [
            browser(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--hide-scrollbars", f"--user-data-dir={folder / 'profile'}", *options,
            path.as_uri(),
        ],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return done.stdout


def pixels(path):
    """Width, height, and how often each of the bytes of an image's rows occurs."""
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    body, at = b"", 8
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"IDAT":
            body += data[at + 8 : at + 8 + size]
        at += 12 + size
    return width, height, zlib.decompress(body)


def test_a_browser_shows_it_light_and_dark(kb16, vocabulary, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(html.tell(kb16, vocabulary=vocabulary), encoding="utf-8")
    dom = shown(page, tmp_path, "--dump-dom")
    assert escapes.escape(kb16.views.message, quote=False) in escapes.unescape(dom) or (
        kb16.views.message in escapes.unescape(dom)
    )
    images = []
    for name, scheme in (("light", 1), ("dark", 0)):
        image = tmp_path / f"{name}.png"
        shown(
            page, tmp_path, f"--screenshot={image}", "--window-size=1280,1800",
            f"--blink-settings=preferredColorScheme={scheme}",
        )  # fmt: skip
        width, height, body = pixels(image)
        assert (width, height) == (1280, 1800)
        assert len(set(body)) > 40
        images.append(body)
    assert images[0] != images[1]
