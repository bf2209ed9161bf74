"""What is tested is what is installed; and the installed plugin keeps out of the way."""

import importlib
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.origin import PACKAGES

BY_NOX = "MMU_CONFORMANCE_WHEEL" in os.environ
REASON = "only 'nox -s tests' promises to test the installed distribution"


@pytest.mark.skipif(not BY_NOX, reason=REASON)
@pytest.mark.parametrize("name", PACKAGES)
def test_packages_come_from_the_installed_distribution(name, checkout):
    found = Path(str(importlib.import_module(name).__file__)).resolve()
    installed = importlib.metadata.distribution("mmu-conformance").locate_file(name)
    assert found.parent == Path(str(installed)).resolve()
    assert found.parent.parent.name == "site-packages"
    assert found != checkout / name / "__init__.py"


@pytest.mark.skipif(not BY_NOX, reason=REASON)
def test_tests_run_in_an_empty_directory(checkout):
    assert not Path.cwd().is_relative_to(checkout)
    assert [name for name in os.listdir() if not name.startswith(".")] == []
    assert not [p for p in sys.path if Path(p or ".").resolve() == checkout]


HOOK = """
import sys

def refuse(event, arguments):
    if event == "import" and arguments[0].partition(".")[0] in {"numpy", "hypothesis"}:
        raise AssertionError(f"{arguments[0]} is imported")

sys.addaudithook(refuse)
import pytest
# The plugin that Hypothesis brings itself is not ours to judge.
sys.exit(pytest.main(["-q", "-p", "no:hypothesispytest", "test_quiet.py"]))
"""

QUIET = """
import sys

def test_quiet(pytestconfig):
    assert pytestconfig.pluginmanager.has_plugin("mmu-conformance")
    assert "conformance.plugin" in sys.modules
    assert not {"numpy", "hypothesis"} & set(sys.modules)
"""


@pytest.mark.skipif(not BY_NOX, reason=REASON)
def test_the_plugin_imports_neither_numpy_nor_hypothesis_without_its_option(tmp_path):
    (tmp_path / "test_quiet.py").write_text(QUIET)
    done = subprocess.run(
        [sys.executable, "-c", HOOK], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
