"""Configures the kernel's build: few options, and a check that they are what was asked for."""

from collections.abc import Sequence
from pathlib import Path

from conformance.targets.linux.errors import BuildError
from conformance.targets.linux.toolchain import run
from conformance.targets.linux.units import OPTIONS, VALUES, Unit


def fragment(unit: Unit) -> str:
    """The options that are given to the kernel's configuration, as it wants to read them."""
    lines = [f"CONFIG_{name}=y" for name in (*OPTIONS, *unit.more_options)]
    lines += [f"CONFIG_{name}={value}" for name, value in sorted(VALUES.items())]
    lines.append("# CONFIG_MODULES is not set")
    return "\n".join(lines) + "\n"


def configure(tree: Path, folder: Path, unit: Unit) -> None:
    """Make ``folder``/.config: everything off but the options of ``unit`` and what they need.

    Raises:
        BuildError: the kernel's configuration failed.
    """
    path = folder / "mmu-options"
    path.write_text(fragment(unit), encoding="ascii")
    run(
        "configuring the kernel",
        [
            "make", "-C", str(tree), f"O={folder}", "ARCH=um", f"KCONFIG_ALLCONFIG={path}",
            "allnoconfig",
        ],
        folder,
    )  # fmt: skip


def check_options(folder: Path, unit: Unit, version: str) -> None:
    """Make sure that the options of ``unit`` are on.

    Raises:
        BuildError: the tree has no such option, or it depends on another one.
    """
    missing = absent_options(folder, unit.options)
    if missing:
        raise BuildError(
            f"linux {version} cannot be configured for {unit.name}: "
            + ", ".join(f"CONFIG_{name}" for name in missing)
            + " stayed off, although asked for"
        )


def absent_options(folder: Path, options: Sequence[str]) -> list[str]:
    """Those of ``options`` that are not built in by the configuration in ``folder``."""
    lines = set((folder / ".config").read_text(encoding="utf-8").splitlines())
    return [name for name in options if f"CONFIG_{name}=y" not in lines]
