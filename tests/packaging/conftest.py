"""The distribution, built the ways in which it is shipped, for tests of what is in it."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".nox", ".venv", "build", "dist", "site", "*.egg-info", "__pycache__", ".*_cache",
    ".hypothesis", "*.so", "_build.json",
)  # fmt: skip


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder of the project's sources."""
    return CHECKOUT


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, built from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("sdist")
    shutil.copytree(CHECKOUT, folder / "checkout", ignore=NOT_SOURCE)
    _build("--sdist", folder / "checkout", folder)
    return next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="session")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel with a compiled model, built from the source distribution."""
    return _wheel_from(sdist, tmp_path_factory.mktemp("wheel"), {})


@pytest.fixture(scope="session")
def interpreted_wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel with an interpreted model, built from the source distribution."""
    folder = tmp_path_factory.mktemp("interpreted")
    return _wheel_from(sdist, folder, {"MMU_CONFORMANCE_INTERPRETED": "1"})


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[[Path], Path]:
    """Lays out a wheel's files as an installation would, for this test to spoil."""

    def unpacked(wheel: Path) -> Path:
        folder = tmp_path / "site"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        return folder

    return unpacked


def _wheel_from(sdist: Path, folder: Path, env: dict[str, str]) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    source = folder / sdist.name.removesuffix(".tar.gz")
    _build("--wheel", source, folder, env)
    return next(folder.glob("*.whl"))


def _build(what: str, source: Path, out: Path, env: dict[str, str] | None = None) -> None:
    """Build with what is installed here: tests need no network."""
    clean = {k: v for k, v in os.environ.items() if k != "MMU_CONFORMANCE_INTERPRETED"}
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", what, "--outdir", out, source],
        env=clean | (env or {}),
        cwd=out,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
