"""Linux's page-table code as a target, for tests: built once, reset for each test."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from conformance.targets.linux.errors import KernelTreeError
from conformance.targets.linux.gpuvm import LinuxGpuvm
from conformance.targets.linux.io_pgtable import LinuxIoPgtable
from conformance.targets.linux.tree import DEBIAN_SOURCES
from conformance.targets.protocol import TargetUnavailable

T = TypeVar("T")

OLDER = "linux-source-6.1"
"""The package of the second tree that the harness is tried on, by name in test ids."""


def make_target(unit: str, kernel: str | Path | None = None) -> LinuxIoPgtable:
    """The page-table target, or a visible skip, as :func:`_made`."""
    return _made(lambda: LinuxIoPgtable(unit, kernel))


def _made(make: Callable[[], T]) -> T:
    """What ``make`` gives, or a visible skip (a failure where CI says that it has to be there)."""
    try:
        return make()
    except TargetUnavailable as error:
        if os.environ.get("MMU_CONFORMANCE_REQUIRE_LINUX"):
            raise
        pytest.skip(str(error))


def _kernel(which: str) -> Path | None:
    if which == "default":
        return None
    tarball = DEBIAN_SOURCES / f"{which}.tar.xz"
    if not tarball.exists():
        pytest.skip(f"{tarball} is not there; to install: apt-get install {which}")
    return tarball


@pytest.fixture(scope="session", params=["default", OLDER])
def kernel(request: pytest.FixtureRequest) -> Path | None:
    """What ``kernel`` means to a target: the tree that is found by itself, and an older one."""
    return _kernel(request.param)


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


@pytest.fixture(scope="session")
def built_gpuvm() -> Iterator[LinuxGpuvm]:
    """drm_gpuvm of the tree that is found by itself; skipped if that is too old to have it."""
    try:
        target = _made(LinuxGpuvm)
    except KernelTreeError as error:
        pytest.skip(str(error))
    yield target
    target.close()


@pytest.fixture
def gpuvm(built_gpuvm: LinuxGpuvm) -> LinuxGpuvm:
    """drm_gpuvm, with no VM and no buffer."""
    built_gpuvm.reset()
    return built_gpuvm
