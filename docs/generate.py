"""Writes the pages that come from the code's own tables: rules and formats.

``python docs/generate.py`` writes them; with ``--check`` it writes nothing, and
exits 1 if a page is not what it would write.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from conformance.discovery import SYSTEMS, system_by_name
from conformance.rules.laws import LAWS
from conformance.rules.rule import Rule
from reference.formats import FORMATS
from reference.formats.entry import (
    ATTRIBUTE,
    FIXED,
    HINT,
    LEAF,
    ROLE_NAMES,
    USE_NAMES,
    EntryKind,
    Field,
)
from reference.formats.format import Format
from reference.words import hex_word
from reports import terminal
from reports.counterexample import load

HERE = Path(__file__).resolve().parent

FAMILIES = {
    "TR": "Translation",
    "NB": "Neighbours",
    "TL": "Stale translations",
    "OR": "Ordering",
    "RC": "References",
    "SP": "Split and merge",
    "IS": "Isolation",
    "ER": "Errors",
    "PG": "Progress",
}
"""Families of rules, by the letters before the number."""

UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def main(arguments: Sequence[str]) -> int:
    """Write or check the pages; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on a change")
    check = parser.parse_args(arguments).check
    stale = []
    for name, text in pages():
        path = HERE / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if check and stale:
        print(f"not what the code says: {', '.join(stale)}; run python docs/generate.py")
        return 1
    print(f"{'written' if stale else 'nothing to write'}: {', '.join(stale) or 'all up to date'}")
    return 0


def pages() -> Iterator[tuple[str, str]]:
    """Every generated page: its path below ``docs`` and its text."""
    yield "rules.md", rules_page()
    yield "formats/index.md", formats_page()
    for one in FORMATS.values():
        yield f"formats/{one.name}.md", format_page(one)
    for name, (title, words) in REPORTS.items():
        yield f"reports/{name}.md", report_page(name, title, words)


# -- reports ----------------------------------------------------------------------------

REPORTS = {
    "kb-01": (
        "A counter that runs into the flags beside it",
        "64K of addresses can be translated in two ways: by one entry in a table of large pages "
        "(LPT), or, if that says so, by 16 entries in a table of small pages (SPT). For each such "
        "64K nouveau keeps a byte. Its lower 6 bits count the references to small pages there; "
        "the two above are flags: VALID, the small pages decide, and SPARSE, reads give zeros."
        "\n\n"
        "There are 16 small pages, but each may be referenced many times: the raw interface takes "
        "a reference for each map to come. Here all 16 are referenced four times, and 64 does not "
        "fit in 6 bits. 0x70 (VALID, 48) and 16 are 0x80: SPARSE, 0. The driver of Linux 6.12 "
        "takes its byte at its word, sets VALID again (0xc0), and makes the 16 pages sparse, while "
        "a caller has memory mapped there and a GPU may be using it. From then on reads give "
        "zeros and writes vanish. No call has failed."
        "\n\n"
        "What to look at: the count and the flags before operation 8 and after it; the entries in "
        "the SPT; and among the events the lines pt-state, in which the count goes 32, 48, 0. "
        "Operation 3 has its part, too: the flags are of account only where there is an LPT.",
    ),
    "kb-03": (
        "A table that is freed before the flush",
        "Two megabytes are mapped in pages, because the buffer's memory is scattered, a job uses "
        "the VM, and all of it is unmapped. Panthor of Linux 6.12 gives the page of the table "
        "back before it flushes. Read the events from 1099 on: store, free, and only then LOCK "
        "and FLUSH_PT.",
    ),
    "kb-14": (
        "A queued bind of no bytes",
        "Four pages are mapped, and a queued bind is to unmap 0 bytes in the middle of them. "
        "Panthor of Linux 6.12 takes it. When it is run, drm_gpuvm splits the mapping in two, "
        "although nothing was to be unmapped.",
    ),
}
"""Counterexamples that are shown as a user gets them: title, and what to look at."""


def report_page(name: str, title: str, words: str) -> str:
    """A counterexample as the terminal tells it."""
    counterexample = load(HERE / "reports" / f"{name}.json", system_by_name)
    told = terminal.tell(
        counterexample, vocabulary=system_by_name(counterexample.system).vocabulary
    )
    lines = [
        f"# {title}",
        "",
        words,
        "",
        f"This is what a run tells, made from its file ([{name}.json]({name}.json)); why it is "
        "believed stands on the page of [findings](../findings.md), how to read it on the page "
        "about [reading a counterexample](../reading-a-counterexample.md).",
        "",
        "```text",
        told.rstrip("\n"),
        "```",
    ]
    return finished(lines)


# -- rules ------------------------------------------------------------------------------


def rules_page() -> str:
    """All rules, by system and family."""
    lines = [
        "# Rules",
        "",
        "Each rule has an identifier that stays, one sentence that states it, one that says what "
        "goes wrong without it, and a source. A run counts for each rule how often a wrong target "
        "could have failed it; a rule that never got there is reported as vacuous.",
        "",
        "## Laws",
        "",
        "An identifier never names two laws. These hold in several systems; what each means there "
        "stands with the system's rules. All others are one system's own.",
        "",
        "| law | says | systems |",
        "|---|---|---|",
    ]
    for law, sentence in sorted(LAWS.items()):
        keep = [f"`{one.name}`" for one in SYSTEMS.values() if law in {r.id for r in one.rules}]
        lines.append(f"| {law} | {sentence} | {', '.join(keep)} |")
    for system, rules in ((one.name, one.rules) for one in SYSTEMS.values()):
        lines += ["", f"## System `{system}`"]
        families = sorted({rule.family for rule in rules}, key=list(FAMILIES).index)
        for family in families:
            lines += ["", f"### {FAMILIES[family]}"]
            for rule in sorted(rules, key=lambda rule: (len(rule.id), rule.id)):
                if rule.family == family:
                    lines += rule_text(rule)
    return finished(lines)


def rule_text(rule: Rule) -> list[str]:
    """One rule as a section."""
    judged = ", ".join(f"`{name}`" for name in sorted(rule.operations))
    return [
        "",
        f"#### {rule.id}",
        "",
        f"**{rule.sentence}**",
        "",
        f"Without it: {rule.consequence}",
        "",
        f"- Source: {rule.source}",
        f"- Judged after: {judged}" + (", calls outside the contract included" * rule.misuse),
        *([f"- Silent where {', or where '.join(rule.silences)}"] * bool(rule.silences)),
    ]


# -- formats ----------------------------------------------------------------------------


def formats_page() -> str:
    """The list of formats."""
    lines = [
        "# Formats",
        "",
        "Each format is one declarative table in `reference/formats`; encoder, decoder, walker and "
        "these pages come from it. `mmu-conformance decode FORMAT WORD` reads one entry.",
        "",
        "| format | is | levels | page sizes | input bits | output bits |",
        "|---|---|---|---|---|---|",
    ]
    for one in [fmt for fmt in FORMATS.values() if fmt.plain]:
        sizes = ", ".join(size(value) for value in one.page_sizes)
        lines.append(
            f"| [`{one.name}`]({one.name}.md) | {cell(one.title)} | {one.levels} | {sizes} "
            f"| {spread(one.ias_choices)} | {spread(one.oas_choices)} |"
        )
    lines += [
        "",
        "NVIDIA's have tables of two sizes of page side by side, and entries that lead to both:",
        "",
        "| format | is | tables | page sizes | sparse sizes | input bits |",
        "|---|---|---|---|---|---|",
    ]
    for one in [fmt for fmt in FORMATS.values() if not fmt.plain]:
        sizes = ", ".join(size(value) for value in one.page_sizes)
        sparse = [size(1 << page.shift) for page in reversed(one.pages) if page.sparse]
        lines.append(
            f"| [`{one.name}`]({one.name}.md) | {cell(one.title)} "
            f"| {', '.join(table.name for table in one.tables)} | {sizes} "
            f"| {', '.join(sparse) or 'none'} | {spread(one.ias_choices)} |"
        )
    return finished(lines)


def format_page(one: Format) -> str:
    """One format: levels, page sizes, entries with every bit and its source, and examples."""
    lines = [
        f"# {one.name}",
        "",
        f"{one.title}. Source: {one.source}.",
        "",
        walk_text(one),
        "",
        *(level_table(one) if one.plain else table_table(one)),
        *([] if one.plain else page_size_table(one)),
        "",
        "## Entries",
        *(plain_entries(one) if one.plain else half_entries(one)),
        *examples(one),
    ]
    return finished(lines)


def walk_text(one: Format) -> str:
    """How a walk goes, and what of it is cached."""
    if one.large >= 0:
        hole = "Where it holds a hole, the small table is not looked at. " if one.has_hole() else ""
        return (
            "A walk goes from the first directory down to the last, whose entries lead to a large "
            "and a small table. The large table is looked at first; where its entry is unmapped, "
            f"the small one decides. {hole}The model takes all entries, those that are not valid "
            "included, as cached until an invalidation: that is not written anywhere."
        )
    start = (
        "Every walk starts at level 0."
        if one.fixed_start
        else "A walk starts at the deepest level whose table covers all input addresses."
    )
    invalid = (
        "The device's caches hold invalid entries, too: a map needs an invalidation."
        if one.caches_invalid
        else "The device's caches hold no invalid entries."
    )
    return f"{start} {invalid}"


def level_table(one: Format) -> list[str]:
    """The levels of a format in which one hangs below the other."""
    lines = [
        "## Levels",
        "",
        "| level | address bits | an entry translates | entries | kinds of entry |",
        "|---|---|---|---|---|",
    ]
    for level in one.tables:
        kinds = ", ".join(kind.name for kind in level.kinds)
        lines.append(
            f"| {level.number} | {level.shift + level.bits - 1}:{level.shift} "
            f"| {size(level.span)} | {level.entries} | {kinds} |"
        )
    return lines


def table_table(one: Format) -> list[str]:
    """The levels of a format whose tables have names, and sizes of their own."""
    lines = [
        "## Tables",
        "",
        "| number | name | address bits | an entry translates | entries | words in each | bytes |",
        "|---|---|---|---|---|---|---|",
    ]
    for table in one.tables:
        lines.append(
            f"| {table.number} | {table.name} | {table.shift + table.bits - 1}:{table.shift} "
            f"| {size(table.span)} | {table.entries} | {table.words} | {size(table.bytes)} |"
        )
    return lines


def page_size_table(one: Format) -> list[str]:
    """The page sizes, and what each may hold."""
    lines = [
        "",
        "## Page sizes",
        "",
        "| size | tables, from the entry's own to the root | can be sparse | in vram "
        "| in system memory | compressed |",
        "|---|---|---|---|---|---|",
    ]
    for page in one.pages:
        chain = ", ".join(one.tables[number].name for number in page.chain)
        told = size(1 << page.shift)
        if page.listed != page.shift:
            told += f" (nouveau lists {size(1 << page.listed)})"
        marks = (page.sparse, page.vram, page.host, page.compressed)
        lines.append(
            f"| {told} | {chain} | " + " | ".join("yes" if mark else "no" for mark in marks) + " |"
        )
    return lines


def plain_entries(one: Format) -> list[str]:
    """Every kind of entry of a format in which a word is of exactly one."""
    lines = ["", "A word is of the one kind whose fixed fields it has."]
    for kind in dict.fromkeys(kind for level in one.tables for kind in level.kinds):
        lines += kind_text(kind)
    return lines


def half_entries(one: Format) -> list[str]:
    """Every kind that a half of an entry can be, once for halves that are alike."""
    lines: list[str] = []
    seen: list[tuple[EntryKind, ...]] = []
    for table in one.tables:
        for half in table.halves:
            if half.kinds in seen:
                continue
            seen.append(half.kinds)
            names = [t.name for t in one.tables if half.kinds in [h.kinds for h in t.halves]]
            word = f", word {half.word} of the entry" if table.words > 1 else ""
            which = f", the {half.name} table's half{word}" if half.name else ""
            lines += [
                "",
                f"### {', '.join(names) if not half.name else table.name}{which}",
                "",
                "A word is of the first of these kinds whose fixed fields it has.",
            ]
            for kind in half.kinds:
                lines += kind_text(kind, "####", "")
    return lines


def kind_text(kind: EntryKind, heading: str = "###", at: str = "level") -> list[str]:
    """One kind of entry, every bit of it; ``at``: what its levels are called, "" for nothing."""
    levels = f", {at}{'s' * (len(kind.levels) > 1)} {', '.join(map(str, kind.levels))}"
    lines = [
        "",
        f"{heading} {kind.name}{levels if at else ''}",
        "",
        f"To the walker: {ROLE_NAMES[kind.role]}.",
        "",
        *live_text(kind),
        "| bits | field | use | meaning | values | source |",
        "|---|---|---|---|---|---|",
    ]
    for field in kind.fields:
        lines.append(
            f"| {bit_range(field)} | {cell(field.name)} | {USE_NAMES[field.use]} "
            f"| {cell(field.meaning)} | {cell(values_text(field))} | {cell(field.source)} |"
        )
    return lines


def live_text(kind: EntryKind) -> list[str]:
    """Which fields of a leaf may change while it is valid, with a blank line after it."""
    if kind.role != LEAF:
        return []
    encoded = [field for field in kind.fields if field.use in (ATTRIBUTE, HINT)]
    ways = []
    for way, mask in (("be set", kind.live_set), ("be cleared", kind.live_clear)):
        names = [field.name for field in encoded if field.mask & mask]
        ways.append((way, ", ".join(names)))
    if ways[0][1] == ways[1][1]:
        ways = [("change", ways[0][1])]
    told = [f"{names} may {way}" for way, names in ways if names]
    if not told:
        return []
    return [
        f"In a valid entry {'; '.join(told)}; any other change needs break-before-make, but for "
        "ignored bits.",
        "",
    ]


def examples(one: Format) -> list[str]:
    """What the encoder makes of what can be asked for, at the smallest page size."""
    level = one.level_of(one.page_sizes[0])
    permissions = one.permissions
    pages = size(one.page_sizes[0])
    if permissions.asked == "prot":
        lines = [
            "",
            "## Permissions",
            "",
            f"What each `prot` becomes in a leaf of {pages} at address 0, and what that grants: "
            "read, write, execute, unprivileged/privileged where they differ beyond the format's "
            "rule; memory type; shareability.",
            "",
            "| prot | entry | grants |",
            "|---|---|---|",
        ]
    else:
        lines = [
            "",
            "## Pages",
            "",
            f"What a page of {pages} at address 0 becomes.",
            "",
            "| page | entry |",
            "|---|---|",
        ]
    for asked in permissions.examples:
        word = one.leaf(level, 0, asked)
        told = permissions.asked_text(asked)
        granted = permissions.granted_text(one.meaning(level, word))
        last = f" {cell(granted)} |" if permissions.asked == "prot" else ""
        lines.append(f"| {cell(told)} | `{hex_word(word)}` |{last}")
    return lines


# -- words and numbers ------------------------------------------------------------------


def bit_range(field: Field) -> str:
    """The bits of a field as a manual writes them in a table: 47:12."""
    return f"{field.high}:{field.low}" if field.high != field.low else f"{field.low}"


def values_text(field: Field) -> str:
    """The values of a field that have a name, or the one that a fixed field has."""
    if field.use == FIXED:
        return f"{field.match:#x}"
    return "; ".join(f"{value:#x} {text}" for value, text in field.values.items() if text)


def size(value: int) -> str:
    """Bytes with their unit."""
    for unit, name in UNITS:
        if value >= unit:
            return f"{value // unit} {name}"
    return f"{value} B"


def spread(choices: Sequence[int]) -> str:
    """Numbers of bits: "32 to 48" where there is no gap, else each."""
    if len(choices) > 2 and list(choices) == list(range(choices[0], choices[-1] + 1)):
        return f"{choices[0]} to {choices[-1]}"
    return ", ".join(map(str, choices))


def cell(text: str) -> str:
    """Text that does not end a table's cell or start markup."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


def finished(lines: list[str]) -> str:
    """A page of these lines, with a note for whoever wants to edit it."""
    note = "<!-- Written by docs/generate.py from the code's tables: change those. -->"
    return "\n".join([note, "", *lines]) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
