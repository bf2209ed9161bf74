#!/usr/bin/env python3
"""Fetches packages of kernel sources that only newer suites of the machine's archive have.

    .ci/kernel_sources.py 7.2 7.3      these versions, unless they are here already
    .ci/kernel_sources.py --newest     the newest that the archive has

The archive is the one that the machine is configured for. Nothing of the machine is
changed: the list of sources, apt's state and what is fetched stand in folders of their
own. What was fetched is kept where the harness looks, beside its unpacked trees. A
package that is not to be had is a line that says so, and no failure.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SUITES = ("sid", "forky-backports", "forky", "trixie-backports", "trixie")
"""Where newer kernels are looked for; a suite that the archive has not is passed over."""

INSTALLED = Path("/usr/src")
"""Where the packages put their tarball when they are installed."""

PACKAGE = re.compile(r"^linux-source-(\d+(?:\.\d+)+)\b", re.M)


def main() -> int:
    """Fetch what is asked for; 0, also where something is not to be had."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("versions", nargs="*", help="versions of linux-source, as 7.3")
    parser.add_argument("--newest", action="store_true", help="the newest that the archive has")
    given = parser.parse_args()
    folder = kept()
    missing = [version for version in given.versions if not is_here(version, folder)]
    if not missing and not given.newest:
        return 0
    if not all(map(shutil.which, ("apt-get", "apt-cache", "dpkg-deb"))):
        return skipped(missing or ["newest"], "there is no apt on this machine")
    found = archives()
    if not found:
        return skipped(
            missing or ["newest"], "no archive with packages of this system is configured"
        )
    with tempfile.TemporaryDirectory(prefix="kernel-sources-") as name:
        apt = Apt(Path(name), found)
        problem = apt.update()
        known = apt.versions()
        if given.newest and known:
            missing = [one for one in known[-1:] if not is_here(one, folder)]
        elif given.newest:
            return skipped(["newest"], problem or "no suite has any")
        for version in missing:
            if version not in known:
                skipped([version], problem or f"none of {', '.join(SUITES)} has it")
                continue
            apt.fetch(version, folder)
            print(f"fetched: linux-source-{version}", flush=True)
    return 0


def kept() -> Path:
    """The folder in which the harness looks for what was fetched."""
    named = os.environ.get("MMU_CONFORMANCE_CACHE")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(named).absolute() if named else user / "mmu-conformance") / "linux" / "sources"


def is_here(version: str, folder: Path) -> bool:
    """Whether the tarball is installed or was fetched before; says so."""
    for path in (INSTALLED, folder):
        if (path / f"linux-source-{version}.tar.xz").is_file():
            print(f"present: linux-source-{version}", flush=True)
            return True
    return False


def skipped(versions: list[str], why: str) -> int:
    """Say which are not to be had, and why."""
    for version in versions:
        print(f"SKIPPED: linux-source-{version}: {why}", flush=True)
    return 0


# -- what the machine is configured for ------------------------------------------------------


def archives() -> list[tuple[str, str]]:
    """(address, keyring) of each archive that has the packages of this system itself."""
    release = Path("/etc/os-release").read_text(encoding="utf-8")
    name = re.search(r"^VERSION_CODENAME=\"?(\w+)", release, re.M)
    wanted = {name[1], "stable", "testing", "unstable", "sid"} if name else {"sid"}
    found: list[tuple[str, str]] = []
    folder = Path("/etc/apt/sources.list.d")
    for path in sorted(folder.glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
            fields = {
                key.lower(): value
                for key, value in re.findall(r"^(\S+?):[ \t]*(.*)$", stanza, re.M)
            }
            if wanted & set(fields.get("suites", "").split()) and fields.get("enabled") != "no":
                found += [(one, fields.get("signed-by", "")) for one in fields["uris"].split()]
    for path in (Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list"))):
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        for options, address, suite in re.findall(
            r"^deb\s+(?:\[(.*?)\]\s+)?(\S+)\s+(\S+)", text, re.M
        ):
            if suite in wanted:
                keyring = re.search(r"signed-by=(\S+)", options)
                found.append((address, keyring[1] if keyring else ""))
    return list(dict.fromkeys(found))


class Apt:
    """apt, with a list of sources and a state of its own in ``folder``."""

    def __init__(self, folder: Path, found: list[tuple[str, str]]) -> None:
        """Write the list: each suite of each of the archives that were found."""
        self.folder: Path = folder
        sources = folder / "sources.list"
        lines = [
            f"deb {f'[signed-by={keyring}] ' if keyring else ''}{address} {suite} main\n"
            for address, keyring in found
            for suite in SUITES
        ]
        sources.write_text("".join(lines), encoding="utf-8")
        for name in ("state/lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        self.options: list[str] = [
            f"-oDir::State={folder}/state",
            f"-oDir::Cache={folder}/cache",
            f"-oDir::Etc::SourceList={sources}",
            "-oDir::Etc::SourceParts=/dev/null",
            "-oAcquire::Languages=none",
            "-oAcquire::Retries=3",
        ]
        if os.geteuid() == 0:  # apt's own user cannot write here
            self.options.append("-oAPT::Sandbox::User=root")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run one of apt's commands with these options."""
        name, *rest = command
        return subprocess.run(
            [name, *self.options, *rest],
            cwd=self.folder, text=True, capture_output=True, check=False,
        )  # fmt: skip

    def update(self) -> str:
        """Read the lists of all suites; what apt says if it could read none, else nothing."""
        done = self.run("apt-get", "update")
        if any((self.folder / "state/lists").glob("*Packages*")):
            return ""
        said = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:"))]
        return said[0] if said else "no list of packages could be read"

    def versions(self) -> list[str]:
        """The versions that there are packages of, oldest first."""
        listed = self.run("apt-cache", "search", "--names-only", "^linux-source-[0-9.]+$").stdout
        return sorted(
            PACKAGE.findall(listed), key=lambda one: [int(part) for part in one.split(".")]
        )

    def fetch(self, version: str, folder: Path) -> None:
        """Put the tarball of ``version`` into ``folder``."""
        name = f"linux-source-{version}"
        done = self.run("apt-get", "download", name)
        packages = sorted(self.folder.glob(f"{name}_*.deb"))
        if done.returncode or not packages:
            sys.exit(f"{name} could not be fetched: {done.stderr.strip()}")
        unpacked = self.folder / "unpacked"
        subprocess.run(["dpkg-deb", "--extract", str(packages[0]), str(unpacked)], check=True)
        packages[0].unlink()
        folder.mkdir(parents=True, exist_ok=True)
        tarball = f"{name}.tar.xz"
        unfinished = folder / f"{tarball}.unfinished"
        shutil.move(unpacked / "usr/src" / tarball, unfinished)
        unfinished.replace(folder / tarball)
        shutil.rmtree(unpacked)


if __name__ == "__main__":
    sys.exit(main())
