"""The pytest plugin: does nothing, and imports nothing heavy, without ``--mmu-target``."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from conformance.profiles import SHARDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from conformance.end_of_run import Closing
    from conformance.engine import Plan, ShardResult
    from conformance.system import System
    from conformance.targets.protocol import Target

SETTLED = frozenset(
    f"mmu_{name}"
    for name in (
        "target", "system", "profile", "examples", "steps", "seed", "kernel", "known",
        "report_dir", "database", "spool",
    )
)  # fmt: skip
"""The options that the controlling process settles for its workers."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("mmu-conformance", "conformance of MMU page-table code")
    group.addoption("--mmu-target", metavar="T", help="what to judge; turns the plugin on")
    group.addoption(
        "--mmu-system",
        action="append",
        metavar="SYSTEM",
        help="a system to run (default: all that the target speaks)",
    )
    group.addoption("--mmu-profile", default="ci", metavar="P", help="ci, dev or nightly")
    group.addoption("--mmu-examples", type=int, metavar="N", help="examples of each system")
    group.addoption("--mmu-steps", type=int, metavar="N", help="steps of each example")
    group.addoption("--mmu-seed", type=int, metavar="S", help="seed of the run")
    group.addoption("--mmu-kernel", metavar="PATH", help="kernel tree for linux: targets")
    group.addoption(
        "--mmu-known", action="append", metavar="FILE", help="known-failure file (repeatable)"
    )
    group.addoption("--mmu-report-dir", metavar="DIR", help="where to write the reports")
    group.addoption(
        "--mmu-database", metavar="DIR", help="Hypothesis example database (profile nightly)"
    )
    group.addoption(
        "--mmu-spool", metavar="DIR", help="where shards leave what they found (set by the suite)"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Turn on, if a target is given: check the options once, and make the spool."""
    if not config.getoption("--mmu-target"):
        return
    from conformance.origin import InstallationError, check_installation

    try:
        check_installation()
    except InstallationError as error:
        raise pytest.UsageError(str(error)) from None
    config.addinivalue_line("markers", "mmu: a shard of the conformance suite")
    worker_input = getattr(config, "workerinput", None)
    if worker_input is None:
        _check_options(config)
    else:
        vars(config.option).update(worker_input["mmu"])
    if config.pluginmanager.has_plugin("mmu-conformance-suite"):
        return
    config.pluginmanager.register(Suite(config), "mmu-conformance-suite")


def _check_options(config: pytest.Config) -> None:
    """Refuse bad options before anything runs, and settle what they leave open."""
    from conformance.discovery import system_by_name
    from conformance.profiles import profile_by_name
    from conformance.registry import default_systems

    option = config.option
    try:
        profile = profile_by_name(option.mmu_profile)
        option.mmu_system = list(
            dict.fromkeys(option.mmu_system or default_systems(option.mmu_target))
        )
        for name in option.mmu_system:
            system_by_name(name)
        for name in ("examples", "steps"):
            value = getattr(option, f"mmu_{name}")
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; allowed are numbers from 1")
        if option.mmu_seed is not None and not 0 <= option.mmu_seed < 1 << 64:
            raise ValueError(
                f"seed is {option.mmu_seed}; allowed are numbers from 0 to {2**64 - 1}"
            )
        for name in ("report_dir", "database"):
            path = getattr(option, f"mmu_{name}")
            if path is not None:
                check_folder(name.replace("_", "-"), path)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    option.mmu_examples = option.mmu_examples or profile.examples
    option.mmu_steps = option.mmu_steps or profile.steps
    if option.mmu_seed is None:
        option.mmu_seed = profile.seed
    if option.mmu_seed is None:
        import secrets

        option.mmu_seed = secrets.randbits(32)
    for name in ("mmu_report_dir", "mmu_database", "mmu_kernel"):
        # Workers of pytest-xdist may run in another folder.
        if getattr(option, name):
            setattr(option, name, str(Path(getattr(option, name)).absolute()))
    option.mmu_known = [str(_known_path(path)) for path in option.mmu_known or ()]


def check_folder(name: str, path: str) -> None:
    """Make sure that the folder ``path`` of option ``name`` can be written to, or be made.

    Raises:
        ValueError: it cannot.
    """
    place = Path(path).absolute()
    while not os.path.lexists(place):
        place = place.parent
    if not path or not place.is_dir():
        what = f"{place} is a file" if path else "it is empty"
        raise ValueError(f"{name} is {path!r}, but {what}; allowed are folders, new or not")
    if not os.access(place, os.W_OK | os.X_OK):
        raise ValueError(
            f"{name} is {path!r}, but {place} cannot be written to; allowed are folders that can"
        )


def _known_path(path: str) -> Path:
    from conformance.known_failures import known_file, read_known

    try:
        read_known(known_file(path))
        return known_file(path).absolute()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each system and shard."""
    if "mmu_shard" not in metafunc.fixturenames:
        return
    config = metafunc.config
    if not config.getoption("--mmu-target"):
        metafunc.parametrize(
            "mmu_shard",
            [
                pytest.param(
                    ("", 0),
                    marks=pytest.mark.skip(
                        reason="no target was given: pytest --pyargs conformance "
                        "--mmu-target reference"
                    ),
                )
            ],
            ids=["no-target"],
        )
        return
    shards = [(name, shard) for name in config.option.mmu_system for shard in range(SHARDS)]
    metafunc.parametrize("mmu_shard", shards, ids=[f"{name}-{shard}" for name, shard in shards])


@pytest.fixture(scope="session")
def mmu_shards(request: pytest.FixtureRequest) -> Iterator[Shards]:
    """What runs shards in this process; it makes the target once."""
    shards = Shards(request.config)
    yield shards
    shards.close()


class Shards:
    """Runs shards on one target of each system, and leaves what they find in the spool."""

    def __init__(self, config: pytest.Config) -> None:
        from conformance.engine import Plan
        from conformance.registry import make_target
        from conformance.targets.protocol import TargetUnavailable

        option = config.option
        self._spool = Path(option.mmu_spool)
        database = None
        if option.mmu_database:
            from hypothesis.database import DirectoryBasedExampleDatabase

            database = DirectoryBasedExampleDatabase(option.mmu_database)
        self._plan: Plan = Plan(
            seed=option.mmu_seed,
            examples=option.mmu_examples,
            steps=option.mmu_steps,
            shards=SHARDS,
            database=database,
        )
        self._targets: dict[str, Target] = {}
        try:
            for name in option.mmu_system:
                self._targets[name] = make_target(option.mmu_target, option.mmu_kernel, system=name)
        except TargetUnavailable as error:
            pytest.skip(f"{option.mmu_target}: {error}")
        self._muted = self._known_identities(option.mmu_known)

    def _known_identities(self, paths: Sequence[str]) -> dict[str, set[tuple[str, str]]]:
        from conformance.known_failures import read_known

        muted: dict[str, set[tuple[str, str]]] = {}
        for path in paths:
            for entry in read_known(path):
                target = self._targets.get(entry.system)
                if target is not None and entry.covers(target):
                    muted.setdefault(entry.system, set()).update(entry.identities)
        return muted

    def run(self, system_name: str, number: int, began: float) -> list[str]:
        """Run one shard; a line for each identity that it found and that is not known."""
        from conformance.discovery import system_by_name
        from conformance.engine import run_shard
        from conformance.run import write_shard

        system: System = system_by_name(system_name)
        target = self._targets[system_name]

        def keep(shard: ShardResult) -> None:
            write_shard(
                self._spool,
                system,
                target,
                shard,
                self._plan.seed,
                time.monotonic() - began,
            )

        shard = run_shard(system, target, self._plan, number, self._muted.get(system_name), keep)
        return [
            f"{finding.violation.rule} {finding.violation.signature}: {finding.violation.message}"
            for finding in shard.findings.values()
        ]

    def close(self) -> None:
        """Let go of the targets."""
        for target in self._targets.values():
            target.close()


class Suite:
    """What happens around the tests when the plugin is on."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._own_spool = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what broke inside the suite itself; a violation is no such thing."""
        if report.failed and not str(report.longrepr).startswith(VIOLATED):
            BROKEN.append(str(report.longrepr))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Make the target once before anything starts, so that what is wrong is one message."""
        if hasattr(self._config, "workerinput"):
            return
        from conformance.registry import make_target
        from conformance.targets.linux.errors import BuildError, HarnessError
        from conformance.targets.protocol import TargetUnavailable

        option = self._config.option
        try:
            for name in option.mmu_system:
                make_target(option.mmu_target, option.mmu_kernel, system=name).close()
        except TargetUnavailable:
            # Every shard says so, as the reason why it is skipped.
            pass
        except (ValueError, BuildError, HarnessError) as error:
            raise pytest.UsageError(str(error)) from None
        if option.mmu_spool is None:
            option.mmu_spool = self._own_spool = tempfile.mkdtemp(prefix="mmu-conformance-")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give each worker of pytest-xdist the options as they were settled here."""
        node.workerinput["mmu"] = {
            name: value for name, value in vars(self._config.option).items() if name in SETTLED
        }

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Put the shards together and write the reports; in the controlling process only."""
        if hasattr(self._config, "workerinput"):
            return
        option = self._config.option
        try:
            if option.collectonly:
                return
            from conformance.end_of_run import close_run

            closing = close_run(option, session.exitstatus == pytest.ExitCode.INTERRUPTED)
        finally:
            if self._own_spool:
                import shutil

                shutil.rmtree(self._own_spool, ignore_errors=True)
        self._config.stash[CLOSING] = closing.text
        CLOSING_OF_RUN[:] = [closing]
        if closing.unwritten:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
            self._config.stash[CLOSING] += f"{closing.unwritten}\n"
        elif closing.failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell what was found."""
        text = self._config.stash.get(CLOSING, "")
        if text:
            terminalreporter.section("mmu-conformance")
            terminalreporter.write(text)


CLOSING = pytest.StashKey[str]()
VIOLATED = "Rules were broken:"
"""How the failure of a shard that found violations begins."""

BROKEN: list[str] = []
"""Errors inside the suite in the last run of this process, for the command line."""

CLOSING_OF_RUN: list[Closing] = []
"""The end of the last run in this process, for the command line."""
