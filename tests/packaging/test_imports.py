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
