"""All four packages come from one place, and what hides one of them is named."""

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import conformance
from conformance.origin import PACKAGES, check_origin

HOME = Path(conformance.__path__[0]).parent
CHECK = "from conformance.origin import check_origin; check_origin()"
PLUGIN_IS_INSTALLED = bool(entry_points(group="pytest11", name="mmu-conformance"))


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in ``tmp_path``, which ``-c`` and ``-m`` put first on the path."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment | {"PYTHONPATH": str(HOME)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )


def test_the_four_packages_here_come_from_one_place():
    check_origin()


def test_the_check_imports_no_other_package(tmp_path):
    code = f"{CHECK}; import sys; print([p for p in {PACKAGES} if p in sys.modules])"
    done = run(tmp_path, "-c", code)
    assert done.stdout.strip() == "['conformance']", done.stderr


@pytest.mark.parametrize("name", [name for name in PACKAGES if name != "conformance"])
@pytest.mark.parametrize("file", ["{}/__init__.py", "{}.py"])
@pytest.mark.parametrize("before", ["", "import {}; "])
def test_what_hides_a_package_is_named(tmp_path, name, file, before):
    hiding = tmp_path / file.format(name)
    hiding.parent.mkdir(exist_ok=True)
    hiding.touch()
    done = run(tmp_path, "-c", before.format(name) + CHECK)
    place = hiding.parent if hiding.name == "__init__.py" else hiding
    message = done.stderr.splitlines()[-1]
    assert f"package {name} of mmu-conformance is hidden by {place}:" in message
    assert f"take {tmp_path} out of PYTHONPATH" in message


@pytest.mark.parametrize("argument", ["run", "list", "--version"])
def test_the_command_line_says_so_in_one_line(tmp_path, argument):
    (tmp_path / "reports.py").touch()
    done = run(tmp_path, "-m", "conformance", argument)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(
        r"mmu-conformance: package reports of .* is hidden by .*reports\.py: .*\n", done.stderr
    )


def test_the_plugin_says_so_in_one_line(tmp_path):
    (tmp_path / "strategies.py").touch()
    plugin = [] if PLUGIN_IS_INSTALLED else ["-p", "conformance.plugin"]
    done = run(tmp_path, "-m", "pytest", *plugin, "--mmu-target", "reference")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert done.stdout == ""
    assert re.fullmatch(
        r"ERROR: package strategies of .* is hidden by .*strategies\.py: .*\n+", done.stderr
    )


def test_a_folder_that_is_no_package_hides_nothing(tmp_path):
    (tmp_path / "reports").mkdir()
    assert run(tmp_path, "-c", CHECK).returncode == 0


def test_a_missing_package_is_named(tmp_path):
    for path in ("conformance/__init__.py", "conformance/origin.py"):
        copy = tmp_path / "site" / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((HOME / path).read_bytes())
    code = (
        "import sys; sys.meta_path[:] = [f for f in sys.meta_path if not hasattr(f, 'MAPPING')]; "
        f"sys.path[:] = [p for p in sys.path if 'site-packages' not in p and p != {str(HOME)!r}]; "
        f"sys.path.insert(0, {str(tmp_path / 'site')!r}); {CHECK}"
    )
    done = run(tmp_path, "-c", code)
    assert "package reference of mmu-conformance is missing" in done.stderr.splitlines()[-1]
