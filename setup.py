"""Builds the distribution; metadata is in ``pyproject.toml``.

What is special here: ``reference`` is compiled by mypyc, and each compiled
module's source is recorded by hash, so that ``reference.build_check`` can
refuse a compiled module that lies beside an edited source.

``MMU_CONFORMANCE_INTERPRETED=1`` in the environment leaves the model
interpreted: slower runs, no C compiler needed, tracebacks through every line.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import cast

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

MODEL = Path("reference")
NOT_COMPILED = {"__init__.py", "build_check.py"}
GROUP = "mmu_conformance"
"""mypyc puts the code of all modules in one library, ``<GROUP>__mypyc``."""

INTERPRETED = os.environ.get("MMU_CONFORMANCE_INTERPRETED", "0") not in ("", "0")


def model_sources() -> list[Path]:
    """The modules that are compiled, as paths from here, in a fixed order."""
    return sorted(path for path in MODEL.rglob("*.py") if path.name not in NOT_COMPILED)


def compiled_modules() -> list[Extension]:
    """The extension modules to build; none for an interpreted build.

    Setuptools runs this file several times for one installation. Only the
    commands that compile something are worth translating the model for.
    """
    if INTERPRETED or {"egg_info", "dist_info", "sdist"} & set(sys.argv):
        return []
    from mypyc.build import mypycify

    options = [
        # The strict checks are for those who change the code (nox -s lint). A
        # build must not fail because another version of numpy has other types.
        "--config-file=",
        "--ignore-missing-imports",
    ]
    modules = mypycify(
        options + [str(path) for path in model_sources()],
        opt_level="3",
        debug_level="0",
        group_name=GROUP,
        # One file for all of it takes the C compiler three times as long, and 2 GB.
        multi_file=True,
    )
    return cast("list[Extension]", modules)  # mypyc types them for old and new setuptools


class BuildModel(build_py):
    """Copies the sources, and leaves a record of what was compiled from them."""

    def run(self) -> None:
        """Run the command: see the class."""
        if self.editable_mode:
            self._remove_compiled(Path())
        else:
            # A module that no longer exists must not come back from an older build.
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        root = Path() if self.editable_mode else Path(self.build_lib)
        record = {
            "compiled": not INTERPRETED,
            # An interpreted build says which one it would have been compiled by: the same
            # distribution gives the same results either way, and says so in the same words.
            "mypyc": importlib.metadata.version("mypy"),
            "python": platform.python_version(),
            "rebuild": (
                "pip install --no-deps -e ."
                if self.editable_mode
                else "pip install --force-reinstall --no-deps ."
            ),
            "sources": {
                path.relative_to(MODEL).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in ([] if INTERPRETED else model_sources())
            },
        }
        target = root / MODEL / "_build.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def _remove_compiled(root: Path) -> None:
        """Remove what an earlier editable build compiled for this Python."""
        for path in [*(root / MODEL).rglob("*"), *root.glob(f"{GROUP}__*")]:
            if any(path.name == path.name.split(".")[0] + suffix for suffix in EXTENSION_SUFFIXES):
                path.unlink()


setup(cmdclass={"build_py": BuildModel}, ext_modules=compiled_modules())
