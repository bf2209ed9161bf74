"""What a system costs: its files, their lines, and where else it is named; docs/developing.md."""

import ast
import re
from pathlib import Path

import pytest

PACKAGES = ("reference", "strategies", "reports", "conformance")
SYSTEMS = ("dart", "gpuvm", "mali", "nvidia", "pagetable", "uat", "va_alloc")


def places(system: str) -> tuple[str, str, str]:
    """The three places of a system."""
    return (
        f"reference/systems/{system}/", f"strategies/{system}.py", f"conformance/systems/{system}/",
    )  # fmt: skip


def is_said(path: Path) -> bool:
    """Whether a file says more than what its folder is."""
    return path.name != "__init__.py" or len(ast.parse(path.read_text("utf-8")).body) > 1


def own_files(checkout: Path, system: str) -> list[Path]:
    """Its Python files, but for rules and mutants: those grow with what is known."""
    found = []
    for package in PACKAGES:
        for path in sorted((checkout / package).rglob("*.py")):
            name = path.relative_to(checkout).as_posix()
            inside = name.startswith(places(system))
            if inside and "/rules/" not in name and "/mutants/" not in name and is_said(path):
                found.append(path)
    return found


def named_elsewhere(checkout: Path, system: str) -> list[str]:
    """Files of the packages outside all systems that import something of this one."""
    modules = [place.removesuffix(".py").strip("/").replace("/", ".") for place in places(system)]
    found = []
    for package in PACKAGES:
        for path in sorted((checkout / package).rglob("*.py")):
            name = path.relative_to(checkout).as_posix()
            if any(name.startswith(places(one)) for one in SYSTEMS):
                continue
            text = path.read_text("utf-8")
            if any(re.search(rf"\b{re.escape(one)}\b", text) for one in modules):
                found.append(name)
    return found


def count(checkout: Path, system: str) -> tuple[int, int, str]:
    """Its files, their lines, and where else it is named."""
    files = own_files(checkout, system)
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in files)
    return len(files), lines, ", ".join(named_elsewhere(checkout, system)) or "nowhere"


def row(system: str, files: int, lines: int, others: str) -> str:
    """A row of the table of docs/developing.md; lines to the nearest hundred."""
    return f"| `{system}` | {files} | {round(lines, -2):,} | {others} |"


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_is_named_nowhere_else(checkout, system):
    assert named_elsewhere(checkout, system) == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_page_says_what_it_costs(checkout, system):
    files, lines, others = count(checkout, system)
    page = (checkout / "docs/developing.md").read_text("utf-8")
    written = re.search(rf"^\| `{system}` \| (\d+) \| ([\d,]+) \| (.*) \|$", page, re.MULTILINE)
    wanted = f"docs/developing.md has to have: {row(system, files, lines, others)}"
    assert written, wanted
    assert (int(written[1]), written[3]) == (files, others), wanted
    # What a few lines more or less change is no news.
    assert abs(int(written[2].replace(",", "")) - lines) <= 150, wanted
