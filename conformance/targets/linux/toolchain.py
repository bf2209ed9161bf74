"""The host and its tools: what the build needs, and how it runs a command."""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from conformance.targets.linux.errors import BuildError, TargetUnavailable, install_command

Progress = Callable[[str], None]
"""Is told, in a few words, what is being done when something takes long."""

TOOLS: Mapping[str, str] = {
    "make": "make",
    "gcc": "gcc",
    "ld": "binutils",
    "objcopy": "binutils",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
}
"""Commands that the build calls, and the Debian package of each."""


def silent(_message: str) -> None:
    """A progress callback that drops what it is told."""


def check_host() -> None:
    """Make sure that a Linux target can be built and run on this host.

    Raises:
        TargetUnavailable: another processor or system, or a missing tool.
    """
    machine, system = platform.machine(), platform.system()
    if system != "Linux" or machine not in ("x86_64", "AMD64"):
        raise TargetUnavailable(
            f"Linux targets need an x86-64 host that runs Linux (user-mode Linux is built); "
            f"this is {system} on {machine}"
        )
    missing = sorted({tool for tool in TOOLS if shutil.which(tool) is None})
    if missing:
        packages = sorted({TOOLS[tool] for tool in missing})
        raise TargetUnavailable(
            f"the build of Linux targets needs {', '.join(missing)}", install_command(packages)
        )
    if not Path("/usr/include/setjmp.h").exists():
        raise TargetUnavailable(
            "the build of Linux targets needs the headers of the C library",
            install_command(["libc6-dev"]),
        )


def compiler_identity() -> str:
    """A text that changes when another gcc is installed; cheap (no process is started)."""
    path = shutil.which("gcc")
    if path is None:
        return "none"
    found = os.stat(path)
    return f"{os.path.realpath(path)} {found.st_size} {found.st_mtime_ns}"


def clean_environment() -> dict[str, str]:
    """The environment for make and gcc: the user's, without what would change their work."""
    unwanted = (
        "ARCH", "SUBARCH", "CROSS_COMPILE", "CC", "LD", "LLVM", "O", "V", "W", "C", "M",
        "MAKEFLAGS", "MFLAGS", "GNUMAKEFLAGS", "MAKELEVEL", "MAKEFILES",
        "CFLAGS", "CPPFLAGS", "LDFLAGS", "CPATH", "C_INCLUDE_PATH", "LIBRARY_PATH",
        "INSTALL_PATH", "LOCALVERSION", "GCC_COMPARE_DEBUG", "DEPENDENCIES_OUTPUT",
    )  # fmt: skip
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in unwanted and not name.startswith(("KBUILD_", "KCONFIG_", "KCFLAGS"))
    }
    kept["LC_ALL"] = "C"
    return kept


def run(what: str, command: Sequence[str], directory: Path) -> str:
    """Run ``command`` in ``directory``; its output, both streams together.

    Raises:
        BuildError: it could not be started, or did not succeed.
    """
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise BuildError(f"{what} failed: {error}", " ".join(command)) from None
    if done.returncode:
        raise BuildError(f"{what} failed", " ".join(command), done.stdout)
    return done.stdout
