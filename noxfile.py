"""The project's sessions: ``nox -l`` lists them, ``nox -s NAME`` runs one.

Every session that runs the suite or its tests installs the distribution, as a
wheel, and works from an empty directory, so that what is tried is what is
shipped, and nothing is imported from the checkout by accident. The wheel is
built once for each state of the sources and kept in ``.nox/wheels``.

Sessions run on the Python that runs nox; ``--force-python 3.12`` takes another.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.sessions = ["lint", "tests", "conformance", "docs"]
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = False

ROOT = Path(__file__).resolve().parent
PACKAGES = ("reference", "strategies", "reports", "conformance")
PYTHONS = ("3.11", "3.12", "3.13")
KEPT_WHEELS = 3
DEBIAN_SOURCES = Path("/usr/src")
"""Where Debian's packages put the kernel's sources."""


@nox.session
def conformance(session: nox.Session) -> None:
    """Judge the embedded reference target: ``mmu-conformance run``, or what follows ``--``."""
    install(session)
    with empty_directory(session):
        session.run("mmu-conformance", *(session.posargs or ["run"]))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the project's own tests against the installed distribution (``--``: pytest arguments)."""
    run_tests(session)


@nox.session(python=PYTHONS)
def matrix(session: nox.Session) -> None:
    """Run the tests on each supported Python that is present."""
    run_tests(session)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and types."""
    session.install(*project_requirements("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def linux(session: nox.Session) -> None:
    """Judge Linux's own page-table code (what follows ``--`` replaces the arguments of ``run``).

    Each tree that Debian's packages have put here is judged, and each that was fetched
    (``.ci/kernel_sources.py``). The failures that come with the suite are taken as known: what is
    new fails the session, and so does a known one whose witness holds. In CI it is a quarter of the
    examples, and of those that were fetched only the newest is judged, with a tenth of them.
    """
    install(session)
    known = [f"--known={path.stem}" for path in sorted((ROOT / "conformance/known").glob("*.toml"))]
    with empty_directory(session):
        if session.posargs:
            session.run("mmu-conformance", "run", *session.posargs)
            return
        # Without any, the command says what to install.
        for tree, part in kernel_trees(session) or [("", 1)]:
            given = [f"--kernel={tree}"] if tree else []
            listed = session.run(
                "mmu-conformance", "list", "targets", "--json", *given, silent=True
            )
            for one in json.loads(str(listed)):
                if one["missing"]:
                    session.log(f"{one['name']} is skipped on {tree}: missing is {one['missing']}")
                    continue
                session.run(
                    "mmu-conformance", "run", one["system"], f"--target={one['name']}", *known,
                    f"--examples={one['examples'] // part}", *given,
                )  # fmt: skip


@nox.session
def newest(session: nox.Session) -> None:
    """Say what has drifted in the newest kernel that the machine's archive has.

    It is fetched once and kept. What its tree answers to each probe, what each target lacks, and
    what does not build is told; the session fails if something is missing, and nothing else does.
    """
    install(session)
    session.run("python", str(ROOT / ".ci" / "kernel_sources.py"), "--newest")
    with empty_directory(session):
        trees = kernel_trees(session)
        if not trees:
            session.skip("no kernel sources are here, and none could be fetched")
        tree = trees[-1][0]
        session.run("mmu-conformance", "doctor", f"--kernel={tree}")
        listed = session.run("mmu-conformance", "list", "targets", "--json", silent=True)
        for one in json.loads(str(listed)):
            if one["name"].startswith("linux:"):
                session.run(
                    "mmu-conformance", "run", one["system"], f"--target={one['name']}",
                    "--examples=8", f"--kernel={tree}", success_codes=[0, 1],
                )  # fmt: skip


def kernel_trees(session: nox.Session) -> list[tuple[str, int]]:
    """Tarballs of kernels that are installed or were fetched, oldest first, each with a number.

    One in so many of the usual examples is enough on it.
    """
    code = "from conformance.targets.linux.tree import all_tarballs; print(*all_tarballs())"
    found = [Path(name) for name in str(session.run("python", "-c", code, silent=True)).split()]
    fetched = [path for path in found if path.parent != DEBIAN_SOURCES]
    if os.environ.get("CI"):
        found = [path for path in found if path not in fetched[:-1]]
        return [(str(path), 10 if path in fetched else 4) for path in found]
    return [(str(path), 1) for path in found]


@nox.session
def bench(session: nox.Session) -> None:
    """Measure how fast the suite is, as ratios (what follows ``--``: see ``--help`` there)."""
    install(session)
    arguments = outside_paths(session, "--out", "--docs")
    with empty_directory(session):
        session.run("python", str(ROOT / "benchmarks" / "run.py"), *arguments)


@nox.session
def mutants(session: nox.Session) -> None:
    """Run seeded bugs: each has to be found by the rule that it names (``--``: see ``--help``).

    All of them take a quarter of an hour on two cores; ``--subset`` is what CI runs.
    """
    install(session)
    arguments = outside_paths(session, "--out")
    with empty_directory(session):
        session.run("python", "-m", "conformance.kill", *arguments)


@nox.session(name="time-to-first")
def time_to_first(session: nox.Session) -> None:
    """Measure how long it takes to find each seeded bug (``--``: see ``--help``); takes hours."""
    install(session)
    kept = ROOT / ".nox" / "time-to-first.json"
    arguments = ["--kept", str(kept), "--docs", str(ROOT / "docs" / "time-to-first.md")]
    with empty_directory(session):
        session.run(
            "python", str(ROOT / "benchmarks" / "time_to_first.py"), *arguments, *session.posargs
        )


@nox.session
def boundaries(session: nox.Session) -> None:
    """Move each comparison of the hardware model: a quick test has to notice (``--``: files)."""
    session.env["MMU_CONFORMANCE_INTERPRETED"] = "1"
    session.install("-e", f"{ROOT}[test]")
    session.run("python", str(ROOT / "tests" / "boundaries.py"), *session.posargs)


@nox.session
def states(session: nox.Session) -> None:
    """Count in which states operations change anything, in an ordinary run; write the page."""
    install(session)
    with empty_directory(session):
        session.run("mmu-conformance", "run", *session.posargs, "--report-dir", "found")
        session.run(
            "python", str(ROOT / "benchmarks" / "states.py"), "found/result.json",
            "--docs", str(ROOT / "docs" / "states.md"),
        )  # fmt: skip


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a broken link fails, and so does a page the code has outrun."""
    install(session, "docs")
    with empty_directory(session):
        session.run("python", str(ROOT / "docs" / "generate.py"), "--check")
    session.run(
        "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(ROOT / "site"),
        "--config-file", str(ROOT / "mkdocs.yml"),
    )  # fmt: skip


# -- what the sessions share ------------------------------------------------------------


def outside_paths(session: nox.Session, *options: str) -> list[str]:
    """What follows ``--``; the files that ``options`` name are meant from where nox was started."""
    arguments = list(session.posargs)
    for name in options:
        if name in arguments[:-1]:
            place = arguments.index(name) + 1
            arguments[place] = str(Path(session.invoked_from, arguments[place]))
    return arguments


def run_tests(session: nox.Session) -> None:
    """Install the distribution with what its tests need, and run them from an empty directory."""
    wheel = install(session, "test")
    with empty_directory(session):
        session.run(
            "pytest",
            f"--config-file={ROOT / 'pyproject.toml'}",
            f"--rootdir={ROOT}",
            "--numprocesses=2",
            "--dist=loadgroup",
            *(session.posargs or [str(ROOT / "tests")]),
            env={"MMU_CONFORMANCE_WHEEL": str(wheel)},
        )


def install(session: nox.Session, *extras: str) -> Path:
    """Install the distribution, compiled from the sources as they are; returns its wheel."""
    wheel = built_wheel(session)
    session.install(f"mmu-conformance[{','.join(extras)}] @ {wheel.as_uri()}")
    # A venv that is used again may hold an earlier build of the same version.
    session.install("--force-reinstall", "--no-deps", str(wheel), silent=True)
    return wheel


def built_wheel(session: nox.Session) -> Path:
    """The wheel of the sources as they are, for the session's Python; built if need be."""
    tag = session.run(
        "python", "-c", "import sys; print(sys.implementation.cache_tag)", silent=True, log=False
    )
    wheels = ROOT / ".nox" / "wheels"
    folder = wheels / f"{str(tag).strip()}-{source_hash()[:16]}"
    found = sorted(folder.glob("*.whl"))
    if found:
        return found[0]
    older = sorted(wheels.glob("*"), key=lambda path: path.stat().st_mtime)
    for path in older[: 1 - KEPT_WHEELS]:
        shutil.rmtree(path)
    session.run(
        "python",
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    )
    return next(folder.glob("*.whl"))


def source_hash() -> str:
    """A hash of everything that goes into the wheel, and of how it is built."""
    paths = [ROOT / name for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md")]
    for package in PACKAGES:
        paths += sorted(
            path
            for path in (ROOT / package).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        )
    total = hashlib.sha256(os.environ.get("MMU_CONFORMANCE_INTERPRETED", "").encode())
    for path in paths:
        total.update(f"\0{path.relative_to(ROOT).as_posix()}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def project_requirements(*extras: str) -> list[str]:
    """What the distribution and its ``extras`` need, without the distribution itself."""
    project = nox.project.load_toml(ROOT / "pyproject.toml")["project"]
    wanted: list[str] = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    return wanted


@contextmanager
def empty_directory(session: nox.Session) -> Iterator[None]:
    """Run what follows in a new empty directory, with nothing of the checkout on the path."""
    session.env["PYTHONPATH"] = None
    with tempfile.TemporaryDirectory(prefix="mmu-conformance-") as name, session.chdir(name):
        yield
