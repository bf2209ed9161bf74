"""Where unpacked trees and built libraries are kept, and how two processes share that."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from conformance.targets.linux.errors import TargetUnavailable

CACHE_VARIABLE = "MMU_CONFORMANCE_CACHE"
"""Environment variable with another folder for the cache, for example of a CI service."""


def cache_folder() -> Path:
    """The folder for everything that is kept between runs; it may not exist yet."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).absolute() / "linux"
    return Path(platformdirs.user_cache_dir("mmu-conformance", appauthor=False)) / "linux"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``; another process that wants it waits.

    Raises:
        TargetUnavailable: the cache cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w", encoding="ascii")  # noqa: SIM115 (closed below, also after errors)
    except OSError as error:
        raise TargetUnavailable(
            f"the cache for kernel builds cannot be written ({error}); "
            f"{CACHE_VARIABLE} names another folder"
        ) from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def keep_newest(folder: Path, count: int) -> None:
    """Remove all but the ``count`` folders in ``folder`` that were used (touched) last.

    A folder whose lock file (its name and ``.lock``) is held is left alone.
    """
    found = sorted(
        (path for path in folder.iterdir() if path.is_dir()),
        key=lambda path: path.stat().st_mtime_ns,
        reverse=True,
    )
    for path in found[count:]:
        with open(path.with_name(f"{path.name}.lock"), "w", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(path, ignore_errors=True)
