"""Whether the model runs compiled, and whether what was compiled is what is here.

Python prefers a compiled module over the source beside it, so an edited source
would go on running its old code without a word. The build therefore records
the SHA-256 of each source that it compiles (``_build.json``), and importing
``reference`` compares. This module is the one that is never compiled.
"""

import os
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import NamedTuple

_HERE = Path(__file__).parent
_RECORD = "_build.json"
_REBUILD = "pip install --force-reinstall --no-deps ."


class BuildInfo(NamedTuple):
    """How the model that is imported here was built."""

    compiled: bool
    """Some modules are compiled; False: all of them run interpreted."""
    modules: tuple[str, ...]
    """The compiled modules, as paths of their sources below ``reference``."""
    mypyc: str | None
    """The version of mypyc that the build had, whether it compiled or not; None if unknown."""


def verify(folder: Path = _HERE) -> None:
    """Refuse compiled modules in ``folder`` that were not compiled from the source beside them.

    Raises:
        ImportError: a compiled module has no source, no record, or a source that was
            edited since. The message names the file and the command that rebuilds.
    """
    modules = _compiled_modules(folder)
    if not modules:
        return
    from hashlib import sha256  # imported here, as an interpreted model needs none

    record = _record(folder)
    sources = record.get("sources")
    recorded: dict[object, object] = sources if isinstance(sources, dict) else {}
    for module in modules:
        source = folder / module
        try:
            found = sha256(source.read_bytes()).hexdigest()
        except FileNotFoundError:
            reason = "its source is missing"
        else:
            if recorded.get(module) == found:
                continue
            reason = (
                "its source was edited after it was compiled"
                if module in recorded
                else f"the build left no record of it in {folder / _RECORD}"
            )
        rebuild = record.get("rebuild", _REBUILD)
        raise ImportError(
            f"{source} has a compiled module beside it that would run in its place, but "
            f"{reason}. Rebuild, in the folder of the project's sources: {rebuild} "
            "(MMU_CONFORMANCE_INTERPRETED=1 before it builds an interpreted model)",
            name="reference",
            path=str(source),
        )


def is_compiled() -> bool:
    """Whether the model that is imported here is compiled."""
    return bool(_compiled_modules(_HERE))


def build_info(folder: Path = _HERE) -> BuildInfo:
    """How the model in ``folder`` was built."""
    modules = tuple(_compiled_modules(folder))
    mypyc = _record(folder).get("mypyc")
    return BuildInfo(bool(modules), modules, mypyc if isinstance(mypyc, str) else None)


def _compiled_modules(folder: Path) -> list[str]:
    """Sources below ``folder`` that have a compiled module for this Python, in order.

    Each is a path from ``folder`` with forward slashes, whether the source exists or not.
    """
    found = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            for suffix in EXTENSION_SUFFIXES:
                stem = name.removesuffix(suffix)
                if stem != name and "." not in stem:
                    path = Path(where, stem + ".py")
                    found.append(path.relative_to(folder).as_posix())
    return sorted(found)


def _record(folder: Path) -> dict[str, object]:
    """What the build wrote down; empty when there is none that can be read."""
    import json

    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
