"""Wheel and source distribution hold everything that a run, a build or a reader needs."""

import os
import tarfile
import zipfile
from email import message_from_string
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("packaging")

PACKAGES = ("reference", "strategies", "reports", "conformance")
TYPED = (*PACKAGES, "reference/formats", "reference/hardware")


def shipped(checkout: Path) -> set[str]:
    """Every file of the packages in the checkout, less what tools leave behind."""
    return {
        path.relative_to(checkout).as_posix()
        for package in PACKAGES
        for path in (checkout / package).rglob("*")
        if path.is_file()
        and not {"__pycache__"} & set(path.parts)
        and path.suffix not in {".pyc", ".so", ".pyd", ".o"}
        and path.name != "_build.json"
    }


def model_sources(names: set[str]) -> set[str]:
    """The sources that are compiled."""
    return {
        name
        for name in names
        if name.startswith("reference/")
        and name.endswith(".py")
        and not name.endswith(("/__init__.py", "/build_check.py"))
    }


def wheel_names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def sdist_names(sdist: Path) -> set[str]:
    with tarfile.open(sdist) as archive:
        return {member.name.partition("/")[2] for member in archive if member.isfile()}


def test_every_folder_with_modules_is_a_package(checkout):
    folders = {Path(name).parent for name in shipped(checkout) if name.endswith(".py")}
    assert [str(f) for f in sorted(folders) if not (checkout / f / "__init__.py").exists()] == []


def test_the_packages_say_that_they_are_typed(wheel):
    assert {f"{package}/py.typed" for package in TYPED} <= wheel_names(wheel)


def test_the_wheel_holds_every_file_of_the_packages(wheel, checkout):
    assert shipped(checkout) - wheel_names(wheel) == set()


def test_the_wheel_holds_nothing_else(wheel, checkout):
    suffix = EXTENSION_SUFFIXES[0]
    compiled = {n.removesuffix(".py") + suffix for n in model_sources(shipped(checkout))}
    rest = wheel_names(wheel) - shipped(checkout) - compiled
    assert {name for name in rest if ".dist-info/" not in name} == {
        "reference/_build.json",
        f"mmu_conformance__mypyc{suffix}",
    }


def test_the_compiled_modules_lie_beside_their_sources(wheel, checkout):
    names = wheel_names(wheel)
    sources = model_sources(shipped(checkout))
    assert sources
    assert {n.removesuffix(".py") + EXTENSION_SUFFIXES[0] for n in sources} <= names
    assert sources <= names


def test_compiled_code_does_not_name_the_folder_it_was_built_in(wheel):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith(EXTENSION_SUFFIXES[0]):
                assert os.fsencode(wheel.parent) not in archive.read(name), name


def test_the_wheel_of_the_checkout_holds_the_same_files(wheel):
    given = os.environ.get("MMU_CONFORMANCE_WHEEL")
    if given is None:
        pytest.skip("no wheel to compare with: only 'nox -s tests' builds one from the checkout")
    assert wheel_names(Path(given)) == wheel_names(wheel)


def test_an_interpreted_wheel_is_for_any_platform_and_has_the_same_sources(
    interpreted_wheel, checkout
):
    assert interpreted_wheel.name.endswith("-py3-none-any.whl")
    names = {name for name in wheel_names(interpreted_wheel) if ".dist-info/" not in name}
    assert names == shipped(checkout) | {"reference/_build.json"}


def test_the_source_distribution_holds_what_is_needed_to_build_test_and_read(sdist, checkout):
    names = sdist_names(sdist)
    assert shipped(checkout) - names == set()
    outside = {
        path.relative_to(checkout).as_posix()
        for folder in ("tests", "docs", "examples", "benchmarks")
        for path in (checkout / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert outside - names == set()
    assert {
        "pyproject.toml", "setup.py", "noxfile.py", "mkdocs.yml", ".ci/run",
        "README.md", "CHANGELOG.md", "LICENSE",
    } <= names  # fmt: skip
    assert [n for n in names if n.endswith((".so", ".pyc", "_build.json"))] == []


def test_the_metadata_says_what_the_user_sees(wheel):
    with zipfile.ZipFile(wheel) as archive:
        folder = next(n for n in archive.namelist() if n.endswith("/METADATA")).rpartition("/")[0]
        metadata = message_from_string(archive.read(f"{folder}/METADATA").decode())
        entry_points = archive.read(f"{folder}/entry_points.txt").decode()
        assert f"{folder}/licenses/LICENSE" in archive.namelist()
    assert metadata["Name"] == "mmu-conformance"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "mmu-conformance = conformance.cli:main" in entry_points
    assert "[pytest11]\nmmu-conformance = conformance.plugin" in entry_points


def test_the_version_is_the_one_that_the_package_states(wheel):
    import conformance

    assert wheel.name.split("-")[1] == conformance.__version__
