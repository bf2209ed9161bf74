"""What the packages import: only what is declared, and only downwards."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

MAY_IMPORT = {
    "reference": {"reference"},
    "strategies": {"strategies", "reference"},
    "reports": {"reports", "reference"},
    "conformance": {"conformance", "reports", "strategies", "reference"},
}
"""The packages of ours that each one may import."""

MODEL_NEEDS = {"numpy", "mypy_extensions"}
"""What the reference model may import of others."""


def imports(folder: Path) -> set[str]:
    """Top-level names that the modules below ``folder`` import, wherever they do."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path} imports from its neighbours by dots"
                names.add(str(node.module).partition(".")[0])
    return names - set(sys.stdlib_module_names)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_only_what_stands_above_them(package, checkout):
    assert imports(checkout / package) & set(MAY_IMPORT) <= MAY_IMPORT[package]


def order(checkout: Path) -> dict[str, list[set[str]]]:
    """For each package its modules and folders, line by line of the list in docs/developing.md."""
    page = (checkout / "docs/developing.md").read_text(encoding="utf-8")
    lines = page.split("## What may import what")[1].split("```")[1].splitlines()[1:]
    found: dict[str, list[set[str]]] = {}
    for line in lines:
        package, *names = line.split()
        found.setdefault(package, []).append(set(names))
    return found


def room(module: str, rooms: set[str]) -> str:
    """The room of a package's list that a module is in: the longest name that fits."""
    path = module.partition(".")[2].replace(".", "/")
    fitting = [one for one in rooms if path == one or path.startswith(f"{one}/")]
    return max(fitting, key=len, default="")


def inner_imports(path: Path, package: str) -> set[str]:
    """The modules of ``package`` that a file imports, wherever it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == package:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_folders_and_modules_import_only_what_stands_above_them(package, checkout):
    lines = order(checkout)[package]
    rooms = set().union(*lines)
    level = {one: number for number, line in enumerate(lines) for one in line}
    seen = set()
    for path in (checkout / package).rglob("*.py"):
        name = path.relative_to(checkout).with_suffix("").as_posix().removesuffix("/__init__")
        here = room(name.replace("/", "."), rooms)
        if not here and name == package:
            continue
        assert here, f"{name} stands in no line of docs/developing.md"
        seen.add(here)
        for module in inner_imports(path, package):
            there = room(module, rooms)
            if there and there != here:
                assert level[there] < level[here], f"{name} imports {module}"
    assert seen == rooms


GUESSES = {
    "va_state", "va_space", "buffer_pages", "judged", "finished", "witness", "closing", "lists",
    "contents", "places", "view", "utils", "helpers", "misc",
}  # fmt: skip
"""Names of files that say nothing of what is in them."""


def test_no_file_has_a_name_that_needs_a_guess(checkout):
    for package in MAY_IMPORT:
        assert {path.stem for path in (checkout / package).rglob("*.py")} & GUESSES == set()


def test_the_model_needs_little(checkout):
    assert imports(checkout / "reference") - {"reference"} <= MODEL_NEEDS


def test_what_is_imported_is_declared_and_what_is_declared_is_used(checkout):
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[<>=~!]", line)[0].strip() for line in project["dependencies"]}
    imported = set().union(*(imports(checkout / package) for package in MAY_IMPORT))
    used_without_import = {"pytest-xdist"}
    assert imported - set(MAY_IMPORT) == declared - used_without_import


def test_a_driver_and_what_judges_it_share_no_reckoning(checkout):
    drivers = {path.parent.name for path in (checkout / "reference/systems").glob("*/driver.py")}
    assert len(drivers) >= 5
    for path in (checkout / "reference").rglob("*.py"):
        judged_by = path.name in ("promise.py", "state.py", "calls.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = str(node.module) if isinstance(node, ast.ImportFrom) else ""
            if judged_by:
                assert not module.endswith(".driver"), path
                assert not module.startswith("reference.drivers"), path
            if path.name == "driver.py" or path.parent.name == "drivers":
                assert not module.endswith((".promise", ".state", ".calls")), path
