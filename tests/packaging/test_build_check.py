"""A compiled module that does not belong to the source beside it is refused."""

import os
import subprocess
import sys
import time
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from reference import build_check

pytestmark = pytest.mark.xdist_group("packaging")

SUFFIX = EXTENSION_SUFFIXES[0]


def python(site: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` with the packages in ``site`` before all others."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(site)},
        cwd=site.parent,
        capture_output=True,
        text=True,
    )


def test_a_fresh_wheel_is_compiled_and_accepted(wheel, unpack):
    site = unpack(wheel)
    done = python(
        site,
        "import reference.words\n"
        "from reference.build_check import build_info, is_compiled\n"
        "print(reference.words.__file__, is_compiled(), build_info().mypyc)",
    )
    assert done.returncode == 0, done.stderr
    file, compiled, mypyc = done.stdout.split()
    assert Path(file) == site / "reference" / f"words{SUFFIX}"
    assert compiled == "True"
    assert mypyc.startswith("2.")


def test_every_compiled_module_can_be_imported(wheel, unpack):
    site = unpack(wheel)
    done = python(
        site,
        "import importlib\n"
        "from reference.build_check import build_info\n"
        "for path in build_info().modules:\n"
        "    module = 'reference.' + path.removesuffix('.py').replace('/', '.')\n"
        f"    assert importlib.import_module(module).__file__.endswith({SUFFIX!r}), module\n",
    )
    assert done.returncode == 0, done.stderr


def test_an_edited_source_is_refused_with_the_command_that_rebuilds(wheel, unpack):
    site = unpack(wheel)
    source = site / "reference" / "words.py"
    source.write_text(source.read_text() + "# edited\n")
    done = python(site, "import reference.trace")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"ImportError: {source} has a compiled module")
    assert "pip install --force-reinstall --no-deps ." in done.stderr


def test_an_edited_source_is_an_error_of_the_installation(wheel, unpack):
    site = unpack(wheel)
    source = site / "reference" / "words.py"
    source.write_text(source.read_text() + "# edited\n")
    done = python(
        site,
        "from conformance.origin import InstallationError, check_installation, check_origin\n"
        "check_origin()\n"
        "try:\n"
        "    check_installation()\n"
        "except InstallationError as error:\n"
        "    print(error)\n",
    )
    assert done.stdout.startswith(f"{source} has a compiled module beside it"), done.stderr


def test_an_edited_source_of_an_interpreted_build_is_just_run(interpreted_wheel, unpack):
    site = unpack(interpreted_wheel)
    source = site / "reference" / "words.py"
    source.write_text(source.read_text() + "EDITED = 1\n")
    done = python(
        site,
        "import reference.words\n"
        "from reference.build_check import build_info\n"
        "built = build_info()\n"
        "print(reference.words.EDITED, built.compiled, built.modules, built.mypyc)",
    )
    edited, compiled, modules, mypyc = done.stdout.split()
    assert (edited, compiled, modules) == ("1", "False", "()"), done.stderr
    # An interpreted build says by which version it would have been compiled.
    assert mypyc.startswith("2.")


def test_a_compiled_module_without_source_is_refused(tmp_path):
    (tmp_path / f"gone{SUFFIX}").touch()
    with pytest.raises(ImportError, match=r"gone\.py has a compiled.*source is missing"):
        build_check.verify(tmp_path)


@pytest.mark.parametrize("record", [None, "", "[]", '{"sources": []}'])
def test_a_compiled_module_without_a_record_is_refused(tmp_path, record):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / f"module{SUFFIX}").touch()
    (tmp_path / "below" / "module.py").touch()
    if record is not None:
        (tmp_path / "_build.json").write_text(record)
    with pytest.raises(ImportError, match=r"below/module\.py has a compiled.*no record of it"):
        build_check.verify(tmp_path)


def test_modules_compiled_for_another_python_are_not_looked_at(tmp_path):
    (tmp_path / "module.cpython-27-pdp11-unix.so").touch()
    (tmp_path / "module.py").touch()
    build_check.verify(tmp_path)
    assert not build_check.build_info(tmp_path).compiled


def seconds(what) -> float:
    """The least time that something takes."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        what()
        times.append(time.perf_counter() - start)
    return min(times)


def test_the_check_costs_little_more_than_reading_what_it_checks():
    home = Path(build_check.__file__).parent
    sources = [path for path in home.rglob("*.py") if path.name not in ("__init__.py",)]

    def read() -> None:
        for path in sources:
            sha256(path.read_bytes()).hexdigest()

    assert seconds(build_check.verify) < 10 * seconds(read)
