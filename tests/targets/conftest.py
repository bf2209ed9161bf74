"""Linux's page-table code as a target, for tests: built once, reset for each test."""

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from conformance.systems.gpuvm.targets import LinuxGpuvm
from conformance.systems.mali.targets import LinuxPanthor
from conformance.systems.nvidia.targets import LinuxNvkm
from conformance.systems.pagetable.targets import LinuxIoPgtable
from conformance.systems.va_alloc.targets import LinuxDrmMm
from conformance.targets.linux.cache import CACHE_VARIABLE
from conformance.targets.linux.errors import KernelTreeError
from conformance.targets.linux.shadow import make_shadow
from conformance.targets.linux.tree import KernelTree, all_tarballs, find_tree
from conformance.targets.protocol import TargetUnavailable

T = TypeVar("T")

OLDER = "linux-source-6.1"
"""The package of the second tree that the harness is tried on, by name in test ids."""

NEWER = ("linux-source-7.2", "linux-source-7.3")
"""Packages of newer suites: ``.ci/kernel_sources.py`` fetches them."""

ARM_DRIVER = "drivers/iommu/io-pgtable-arm.c"


def make_target(unit: str, kernel: str | Path | None = None) -> LinuxIoPgtable:
    """The page-table target, or a visible skip, as :func:`made`."""
    return made(lambda: LinuxIoPgtable(unit, kernel))


def made(make: Callable[[], T]) -> T:
    """What ``make`` gives, or a visible skip (a failure where CI says that it has to be there)."""
    try:
        return make()
    except TargetUnavailable as error:
        if os.environ.get("MMU_CONFORMANCE_REQUIRE_LINUX"):
            raise
        pytest.skip(str(error))


def kernel_of(package: str) -> Path:
    """The tarball of a package, installed or fetched; or a visible skip that says how to get it."""
    for tarball in all_tarballs():
        if tarball.name == f"{package}.tar.xz":
            return tarball
    version = package.removeprefix("linux-source-")
    get = f".ci/kernel_sources.py {version}" if package in NEWER else f"apt-get install {package}"
    pytest.skip(f"{package} is not there; to get it: {get}")


@pytest.fixture(scope="session", params=["default", OLDER, *NEWER])
def kernel(request: pytest.FixtureRequest) -> Path | None:
    """What ``kernel`` means to a target: the tree that is found by itself, and others."""
    return None if request.param == "default" else kernel_of(request.param)


@pytest.fixture(scope="session")
def built_arm(kernel: Path | None) -> Iterator[LinuxIoPgtable]:
    """The Arm formats' code of each tree."""
    target = make_target("io-pgtable-arm", kernel)
    yield target
    target.close()


@pytest.fixture(scope="session")
def built_dart(kernel: Path | None) -> Iterator[LinuxIoPgtable]:
    """The DART formats' code of each tree."""
    target = make_target("io-pgtable-dart", kernel)
    yield target
    target.close()


@pytest.fixture
def arm(built_arm: LinuxIoPgtable) -> LinuxIoPgtable:
    """The Arm formats' code, with no table."""
    built_arm.reset()
    return built_arm


@pytest.fixture
def dart(built_dart: LinuxIoPgtable) -> LinuxIoPgtable:
    """The DART formats' code, with no table."""
    built_dart.reset()
    return built_dart


class OwnTree:
    """A tree of links to the real sources, in which drivers are copies that can be edited."""

    def __init__(self, real: KernelTree, folder: Path) -> None:
        self.path = folder / "linux"
        make_shadow(real.path, self.path)
        self.driver = self.path / ARM_DRIVER
        self.originals: dict[str, str] = {}
        self.edit("", "")

    def edit(self, pattern: str, replacement: str, driver: str = ARM_DRIVER) -> None:
        """Make the first match of ``pattern`` in the original driver ``replacement``."""
        file = self.path / driver
        original = self.originals.setdefault(driver, file.read_text(encoding="utf-8"))
        text, count = re.subn(pattern, lambda _: replacement, original, count=1)
        assert count == 1
        self._write(file, text)

    def restore(self) -> None:
        """Take back what was edited."""
        for driver, original in self.originals.items():
            file = self.path / driver
            if file.read_text(encoding="utf-8") != original:
                self._write(file, original)

    def _write(self, file: Path, text: str) -> None:
        # Never the mtime of a version before: some file systems count in coarse steps.
        before = file.lstat().st_mtime_ns
        file.unlink()
        file.write_text(text, encoding="utf-8")
        os.utime(file, ns=(before + 10**7, max(before + 10**7, time.time_ns())))

    def listing(self) -> dict[str, tuple[int, int, str]]:
        """Everything in the tree: sizes, times and targets of links."""
        found = {}
        for folder, folders, files in os.walk(self.path):
            for name in [*folders, *files]:
                path = Path(folder, name)
                state = path.lstat()
                link = os.readlink(path) if path.is_symlink() else ""
                size = 0 if path.is_dir() and not link else state.st_size
                found[str(path)] = (size, state.st_mtime_ns, link)
        return found


@pytest.fixture(scope="session")
def made_tree(tmp_path_factory: pytest.TempPathFactory) -> OwnTree:
    """A tree of one's own, as it is before anything is built from it."""
    try:
        real = find_tree()
    except TargetUnavailable as error:
        if os.environ.get("MMU_CONFORMANCE_REQUIRE_LINUX"):
            raise
        pytest.skip(str(error))
    return OwnTree(real, tmp_path_factory.mktemp("kernel"))


@pytest.fixture
def own_tree(made_tree: OwnTree, monkeypatch: pytest.MonkeyPatch) -> OwnTree:
    """A tree of one's own; what is built from it goes to a folder beside it."""
    monkeypatch.setenv(CACHE_VARIABLE, str(made_tree.path.parent / "cache"))
    made_tree.restore()
    return made_tree


@pytest.fixture(scope="session")
def built_gpuvm(kernel: Path | None) -> Iterator[LinuxGpuvm]:
    """drm_gpuvm of each tree; skipped if that is too old to have it."""
    try:
        target = made(lambda: LinuxGpuvm(kernel))
    except KernelTreeError as error:
        pytest.skip(str(error))
    yield target
    target.close()


@pytest.fixture
def gpuvm(built_gpuvm: LinuxGpuvm) -> LinuxGpuvm:
    """drm_gpuvm, with no VM and no buffer."""
    built_gpuvm.reset()
    return built_gpuvm


@pytest.fixture(scope="session")
def built_drm_mm(kernel: Path | None) -> Iterator[LinuxDrmMm]:
    """drm_mm of each tree."""
    target = made(lambda: LinuxDrmMm(kernel))
    yield target
    target.close()


@pytest.fixture
def drm_mm(built_drm_mm: LinuxDrmMm) -> LinuxDrmMm:
    """drm_mm, with no allocator."""
    built_drm_mm.reset()
    return built_drm_mm


@pytest.fixture(scope="session")
def built_panthor() -> Iterator[LinuxPanthor]:
    """panthor of the tree that is found by itself; skipped if that is too old to have it."""
    try:
        target = made(LinuxPanthor)
    except KernelTreeError as error:
        pytest.skip(str(error))
    yield target
    target.close()


@pytest.fixture
def panthor(built_panthor: LinuxPanthor) -> LinuxPanthor:
    """panthor, with no device yet."""
    built_panthor.reset()
    return built_panthor


@pytest.fixture(scope="session")
def built_nvkm(kernel: Path | None) -> Iterator[LinuxNvkm]:
    """nvkm of each tree."""
    target = made(lambda: LinuxNvkm(kernel))
    yield target
    target.close()


@pytest.fixture
def nvkm(built_nvkm: LinuxNvkm) -> LinuxNvkm:
    """nvkm, with no address space."""
    built_nvkm.reset()
    return built_nvkm
