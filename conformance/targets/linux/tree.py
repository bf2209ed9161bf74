"""Finds the kernel's sources: named, by environment variable, or Debian's package.

A tree is only ever read. Debian's package is a tarball; the part of it that
builds need is unpacked once into the user's cache. Packages of newer suites,
which are fetched and not installed (``.ci/kernel_sources.py``), lie in the cache.
"""

import hashlib
import lzma
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.targets.linux.cache import cache_folder, locked
from conformance.targets.linux.errors import (
    PACKAGES,
    KernelTreeError,
    TargetUnavailable,
    install_command,
)
from conformance.targets.linux.toolchain import Progress, silent

TREE_VARIABLE = "MMU_CONFORMANCE_KERNEL"
"""Environment variable with the path of a kernel tree, or of a tarball of one."""

DEBIAN_SOURCES = Path("/usr/src")
PACKAGE = "linux-source-6.12"
"""The package that is named when no tree is found."""

NEEDED = (
    "Makefile",
    "Kconfig",
    "scripts/Kbuild.include",
    "arch/um/Makefile",
    "arch/x86/um/Kconfig",
)
"""Files by which a kernel tree is known."""


@dataclass(frozen=True, slots=True)
class KernelTree:
    """A kernel tree to build from.

    ``path``: its top folder. ``version``: from its Makefile, such as "6.12.117".
    ``origin``: where it comes from, for reports, such as "debian linux-source-6.12". ``state``:
    of a git worktree its commit, and whether it has local changes: "commit 6bb8d30cf01b, changed".
    """

    path: Path
    version: str
    origin: str
    state: str = ""

    @property
    def description(self) -> str:
        """One line for reports: "linux 6.12.117 (debian linux-source-6.12)"."""
        return f"linux {self.version} ({self.origin}{self.state and ', '}{self.state})"

    def require(self, files: Sequence[str], target: str) -> None:
        """Make sure that ``files``, paths in the tree, are there; ``target`` needs them.

        Raises:
            KernelTreeError: one is missing.
        """
        for name in files:
            if not (self.path / name).is_file():
                raise KernelTreeError(
                    f"kernel tree {self.path} (linux {self.version}) has no {name}, "
                    f"which {target} needs"
                )


def find_tree(
    kernel: str | os.PathLike[str] | None = None, progress: Progress = silent
) -> KernelTree:
    """The tree to use: ``kernel``, else MMU_CONFORMANCE_KERNEL, else the newest Debian package.

    A package that is installed comes before one that was only fetched, which may be newer.

    ``kernel`` and the variable name an unpacked tree, a git worktree, or a tarball
    ``linux-source-*.tar.xz``. A tarball is unpacked first, once (about 30 seconds).

    Raises:
        KernelTreeError: what was named is no kernel tree.
        TargetUnavailable: nothing was named, and no package is installed.
    """
    found = _search(kernel)
    if found.suffix == ".xz":
        return _unpacked(found, progress)
    return open_tree(found, str(found))


def describe(kernel: str | os.PathLike[str] | None = None) -> str:
    """One line: the tree that :func:`find_tree` would use, without unpacking it; or why none."""
    try:
        found = _search(kernel)
        if found.suffix == ".xz":
            return f"{_package_of(found)} ({found})"
        return open_tree(found, str(found)).description
    except (KernelTreeError, TargetUnavailable) as error:
        return f"none ({error})"


def open_tree(path: Path, origin: str) -> KernelTree:
    """The tree at ``path``.

    Raises:
        KernelTreeError: there is none, or a file by which it is known is missing.
    """
    if not path.is_dir():
        raise KernelTreeError(
            f"kernel is {str(path)!r}, which is no folder; allowed are an unpacked kernel tree, "
            "a git worktree of one, and a tarball linux-source-*.tar.xz"
        )
    for name in NEEDED:
        if not (path / name).is_file():
            raise KernelTreeError(
                f"kernel is {str(path)!r}, which is no kernel tree: it has no {name}"
            )
    return KernelTree(path.resolve(), read_version(path), origin, _git_state(path))


def _git_state(path: Path) -> str:
    """What git says of the tree at ``path``; "" if it is no worktree, or there is no git."""
    if not (path / ".git").exists() or shutil.which("git") is None:
        return ""

    def git(*command: str) -> str | None:
        done = subprocess.run(
            ["git", "-C", str(path), *command], capture_output=True, text=True, check=False
        )
        return None if done.returncode else done.stdout.strip()

    commit = git("rev-parse", "--short=12", "HEAD")
    changes = git("status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return "git cannot read it"
    return f"commit {commit}, {'changed' if changes else 'clean'}"


def read_version(path: Path) -> str:
    """The version in the Makefile of the tree at ``path``, such as "6.12.117" or "6.17.0-rc3".

    Raises:
        KernelTreeError: it has none.
    """
    text = (path / "Makefile").read_text(encoding="utf-8", errors="replace")
    lines = re.finditer(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)\s*=[ \t]*(.*)$", text, re.M)
    parts: dict[str, str] = {line[1]: line[2].strip() for line in lines}
    if not {"VERSION", "PATCHLEVEL", "SUBLEVEL"} <= parts.keys():
        raise KernelTreeError(f"kernel is {str(path)!r}, whose Makefile states no version")
    numbers = ".".join(parts[name] for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL"))
    return numbers + parts.get("EXTRAVERSION", "")


def _search(kernel: str | os.PathLike[str] | None) -> Path:
    """The folder or tarball to use."""
    named = os.fspath(kernel) if kernel is not None else os.environ.get(TREE_VARIABLE, "")
    if named:
        path = Path(named).absolute()
        if not path.exists():
            raise KernelTreeError(
                f"kernel is {named!r}, which does not exist; allowed are an unpacked kernel tree, "
                "a git worktree of one, and a tarball linux-source-*.tar.xz"
            )
        if path.is_file() and not path.name.endswith(".tar.xz"):
            raise KernelTreeError(
                f"kernel is {named!r}, a file; allowed are an unpacked kernel tree, "
                "a git worktree of one, and a tarball linux-source-*.tar.xz"
            )
        return path
    tarballs = debian_tarballs() or fetched_tarballs()
    if not tarballs:
        raise TargetUnavailable(
            f"no kernel sources: --kernel and {TREE_VARIABLE} are not given, and "
            f"{DEBIAN_SOURCES} holds no linux-source-*.tar.xz",
            install_command([PACKAGE, *PACKAGES]),
        )
    return tarballs[-1]


def debian_tarballs() -> list[Path]:
    """The tarballs of Debian's linux-source packages that are installed, oldest version first."""
    return _tarballs(DEBIAN_SOURCES)


def fetched_tarballs() -> list[Path]:
    """Those that were fetched without installing them, oldest version first."""
    return _tarballs(cache_folder() / "sources")


def all_tarballs() -> list[Path]:
    """Both, each version once, oldest first."""
    found = {path.name: path for path in (*fetched_tarballs(), *debian_tarballs())}
    return sorted(found.values(), key=_version_in_name)


def _tarballs(folder: Path) -> list[Path]:
    return sorted(folder.glob("linux-source-*.tar.xz"), key=_version_in_name)


def _version_in_name(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path.name)]


# -- unpacking --------------------------------------------------------------------------

SELECTION = 1
"""Changes with what :func:`is_wanted` selects, so that an older selection is not used."""

_WHOLE = frozenset(
    {
        "block", "certs", "crypto", "include", "init", "io_uring", "ipc", "kernel", "lib", "mm",
        "scripts", "security", "usr", "virt",
    }
)  # fmt: skip
_FOLDERS = (
    "arch/um/", "arch/x86/", "tools/include/", "tools/build/", "tools/scripts/",
    "drivers/base/", "drivers/clk/", "drivers/dma-buf/", "drivers/iommu/", "drivers/of/",
    "drivers/gpu/drm/display/", "drivers/gpu/drm/lib/", "drivers/gpu/drm/nouveau/",
    "drivers/gpu/drm/panfrost/", "drivers/gpu/drm/panthor/", "drivers/gpu/drm/scheduler/",
)  # fmt: skip
_DRM = re.compile(r"drivers/gpu/drm/[^/]+\.[ch]$")
_BUILD_FILE = re.compile(r"(^|/)(Kconfig[^/]*|Makefile[^/]*|Kbuild[^/]*)$")


def is_wanted(name: str) -> bool:
    """Whether the build may need the file ``name``, a path in the tree.

    Everything that configuration reads, all common code and headers, and the
    drivers that are targets: a tenth of a tree.
    """
    if _BUILD_FILE.search(name) or "/" not in name:
        return True
    return (
        name.split("/", 1)[0] in _WHOLE or name.startswith(_FOLDERS) or _DRM.match(name) is not None
    )


def _package_of(tarball: Path) -> str:
    return "debian " + tarball.name.removesuffix(".tar.xz")


def _unpacked(tarball: Path, progress: Progress) -> KernelTree:
    """The tree of a tarball, from the cache or unpacked into it."""
    found = tarball.stat()
    identity = f"{tarball.resolve()} {found.st_size} {found.st_mtime_ns} {SELECTION}"
    key = hashlib.sha256(identity.encode()).hexdigest()[:12]
    name = f"{tarball.name.removesuffix('.tar.xz')}-{key}"
    trees = cache_folder() / "trees"
    path = trees / name
    if not path.is_dir():
        with locked(trees / f"{name}.lock"):
            if not path.is_dir():
                _unpack(tarball, path, progress)
    return open_tree(path, _package_of(tarball))


def _unpack(tarball: Path, path: Path, progress: Progress) -> None:
    """Unpack into a folder beside ``path``, then give it that name."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    progress(f"unpacking {tarball.name} (once)")
    try:
        # Decompressed apart: a compressed stream read by tarfile itself takes four times as long.
        with lzma.open(tarball) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            archive.extractall(unfinished, _selected(archive, progress), filter="data")
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise KernelTreeError(f"{tarball} cannot be unpacked into {path.parent}: {error}") from None
    unfinished.rename(path)


def _selected(archive: tarfile.TarFile, progress: Progress) -> Iterator[tarfile.TarInfo]:
    """The wanted members, without the archive's own top folder in their names."""
    seen = 0
    for member in archive:
        seen += 1
        if seen % 10000 == 0:
            progress(f"unpacking: {seen} files read")
        parts = member.name.removeprefix("./").split("/", 1)
        if len(parts) < 2 or not (member.isfile() or member.issym()) or not is_wanted(parts[1]):
            continue
        member.name = parts[1]
        yield member
