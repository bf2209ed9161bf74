"""Whether the four packages of the suite are the ones that were installed together.

They have common names. A folder ``reports`` with an ``__init__.py``, or a file
``strategies.py``, in a directory that Python searches first takes the place of
ours, and what then fails has nothing to do with the cause. And a compiled model
can be older than the sources beside it. Command line and plugin look for both
before they import anything else of the suite; so this module imports none of it.
"""

import importlib
import importlib.util
import sys
from pathlib import Path

PACKAGES = ("reference", "strategies", "reports", "conformance")
"""The packages of the distribution."""


class InstallationError(ImportError):
    """The suite cannot be used as it is installed here; the message says what to do."""


class ShadowedError(InstallationError):
    """A package of the suite is hidden by something else of the same name, or missing."""


def check_installation() -> None:
    """Make sure of what :func:`check_origin` does, and that the model can be imported.

    Imports ``reference`` alone, which looks after its compiled modules.

    Raises:
        InstallationError: a package is hidden or missing, or a compiled module of the
            model does not belong to the source beside it.
    """
    check_origin()
    try:
        importlib.import_module("reference")
    except ImportError as error:
        raise InstallationError(str(error), name=error.name, path=error.path) from error


def check_origin() -> None:
    """Make sure that all four packages come from the distribution that this file is in.

    Imports nothing.

    Raises:
        ShadowedError: one does not. The message says which, what Python would use
            instead, and what to do.
    """
    home = Path(__file__).resolve().parent.parent
    for name in PACKAGES:
        places = [Path(place).resolve() for place in _places(name)]
        if home / name in places[:1]:
            continue
        if not places:
            raise ShadowedError(
                f"package {name} of mmu-conformance is missing: it should be in {home / name}. "
                "Install mmu-conformance again",
                name=name,
            )
        raise ShadowedError(
            f"package {name} of mmu-conformance is hidden by {places[0]}: Python finds that before "
            f"{home / name}. Run from another directory, rename {places[0].name}, or take "
            f"{places[0].parent} out of PYTHONPATH",
            name=name,
            path=str(places[0]),
        )


def _places(name: str) -> list[str]:
    """Where top-level package ``name`` was imported from, or would be: folders, or one file."""
    module = sys.modules.get(name)
    spec = importlib.util.find_spec(name) if module is None else module.__spec__
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return list(spec.submodule_search_locations)
    return [spec.origin] if spec.origin else []
