"""A stand-in for a tree that was built in place: links to its sources, without what is built.

kbuild refuses to build elsewhere from such a tree, and the tree is not ours to
clean. What kbuild made is known by the ``.NAME.cmd`` file that it leaves beside
each file ``NAME``, and by the few folders and names that it always makes.
"""

import os
import re
from pathlib import Path

from conformance.targets.linux.tree import is_wanted

_MADE_FILES = re.compile(
    r"\.(o|a|so|ko|mod|mod\.c|cmd|order|symtypes|tmp|gcno|dtb|dtbo)$"
    r"|^\.(config(\.old)?|version|missing-syscalls\.d|tmp_.*)$"
    r"|^(Module\.symvers|modules\..*|System\.map|vmlinux(\.o|\.a|\.map|\.unstripped)?|linux)$"
    r"|\.(tab|lex)\.[ch]$"
)
_MADE_FOLDERS = re.compile(r"^include/(config|generated)$|^arch/[^/]+/include/generated$")
_NEVER = frozenset({".git"})


def is_built_in_place(tree: Path) -> bool:
    """Whether kbuild would refuse to build elsewhere from ``tree``."""
    return (tree / ".config").exists() or any(
        (tree / name).is_dir()
        for name in ("include/config", "include/generated", "arch/x86/include/generated",
                     "arch/um/include/generated")
    )  # fmt: skip


def make_shadow(tree: Path, shadow: Path) -> None:
    """Bring the folder ``shadow`` in line with the sources of ``tree``.

    Links that are right stay as they are, so that nothing looks changed to make.
    """
    wanted = set(_sources(tree))
    for folder, _, files in os.walk(shadow):
        for file in files:
            path = Path(folder, file)
            if path.relative_to(shadow).as_posix() not in wanted:
                path.unlink()
    for name in wanted:
        link = shadow / name
        target = str(tree / name)
        if link.is_symlink():
            if os.readlink(link) == target:
                continue
            link.unlink()
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


def _sources(tree: Path, folder: str = "") -> list[str]:
    """Paths in ``tree`` of every file that is a source and that a build may need."""
    with os.scandir(tree / folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    names = {entry.name for entry in found}
    sources: list[str] = []
    for entry in found:
        path = f"{folder}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _NEVER and not _MADE_FOLDERS.match(path):
                sources.extend(_sources(tree, f"{path}/"))
        elif (
            f".{entry.name}.cmd" not in names
            and not _MADE_FILES.search(entry.name)
            and is_wanted(path)
        ):
            sources.append(path)
    return sources
