"""What can go wrong before a Linux target runs, and what each error tells its reader."""

from collections.abc import Sequence

from conformance.targets.protocol import TargetUnavailable

__all__ = [
    "BuildError",
    "HarnessError",
    "KernelTreeError",
    "MissingFunctionError",
    "TargetUnavailable",
    "install_command",
]

PACKAGES = ("make", "gcc", "libc6-dev", "flex", "bison", "bc")
"""Debian packages with everything that the build needs, besides the kernel's sources."""


def install_command(packages: Sequence[str] = PACKAGES) -> str:
    """The command that installs ``packages`` on Debian."""
    return "apt-get install " + " ".join(packages)


class KernelTreeError(ValueError):
    """The tree that was named cannot be used: it is not one, or a file is missing in it."""


class BuildError(RuntimeError):
    """A step of the build failed: which, and the end of what it printed.

    ``command`` is the command line, ``output`` all that it printed.
    """

    def __init__(self, what: str, command: str = "", output: str = "") -> None:
        lines = output.strip().splitlines()[-25:]
        text = what
        if command:
            text += f"\ncommand: {command}"
        if lines:
            text += "\n" + "\n".join(lines)
        super().__init__(text)
        self.command: str = command
        self.output: str = output


class HarnessError(RuntimeError):
    """The harness cannot go on, and the driver is not to blame."""


class MissingFunctionError(HarnessError):
    """The driver called a kernel function that the harness does not have: ``function``.

    ``probe``: what the tree was asked about it, if that was asked; "" if not.
    """

    def __init__(self, function: str, probe: str = "") -> None:
        asked = f"\nthe tree was asked about it: {probe}" if probe else ""
        super().__init__(
            f"the driver called {function}(), which the harness does not have{asked}\n"
            "to do: define it in conformance/targets/linux/native/kernel, or in the native folder "
            "of the system"
        )
        self.function: str = function
