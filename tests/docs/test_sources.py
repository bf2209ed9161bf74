"""Every key by which the code cites a source has an entry on the page of sources."""

import re
from pathlib import Path

import pytest

import conformance
import reference
import reports
import strategies

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"
FACT = re.compile(r"formats\.md,? (?:section )?([A-H](?:\.\d+)?)")
DEFINITION = re.compile(r"semantics\.md,? [\"(]([^\")]+)[\")]")
BUG = re.compile(r"\bKB-\d\d\b")


def cited(package):
    """(key, file) for each citation in the sources of a package."""
    for path in sorted(Path(package.__path__[0]).rglob("*")):
        if path.suffix not in (".py", ".c", ".h", ".toml"):
            continue
        text = path.read_text(encoding="utf-8")
        for key in FACT.findall(text):
            yield f"formats.md {key}", path
        for title in DEFINITION.findall(text):
            yield f"semantics.md ({title})", path
        for key in BUG.findall(text):
            yield key, path


@pytest.mark.parametrize(
    "package", [reference, strategies, reports, conformance], ids=lambda one: one.__name__
)
def test_every_key_has_an_entry(package):
    entries = re.findall(r"^### (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    missing = {f"{key} in {path.name}" for key, path in cited(package) if key not in entries}
    assert not missing


def test_keys_are_found_in_the_rules():
    keys = {key for key, _ in cited(conformance)}
    assert {"formats.md F.2", "semantics.md (calls)", "KB-21"} <= keys


def test_an_entry_stands_once():
    entries = re.findall(r"^### (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(entries) == len(set(entries))
