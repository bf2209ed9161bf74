"""The command line as a user meets it: in a process of its own, in a directory of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str


@dataclass
class Place:
    """An empty folder to run commands in, and one for everything temporary."""

    folder: Path
    temporary: Path

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of commands: what pytest is told by ours is left out."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "MMU_"))}
        return kept | {"TMPDIR": str(self.temporary)} | more

    def python(self, *arguments: object, **environment: str) -> Done:
        """Run Python here."""
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def command(self, *arguments: object, **environment: str) -> Done:
        """Run ``mmu-conformance`` here, as the installed command: this folder is not searched."""
        return self.python("-P", "-m", "conformance", *arguments, **environment)

    def pytest(self, *arguments: object, **environment: str) -> Done:
        """Run ``pytest --pyargs conformance`` here."""
        return self.python(
            "-P", "-m", "pytest", "--pyargs", "conformance", *arguments, **environment
        )

    def importable(self) -> dict[str, str]:
        """What to add to the environment so that modules in this folder can be imported."""
        places = (str(self.folder), os.environ.get("PYTHONPATH"))
        return {"PYTHONPATH": os.pathsep.join(filter(None, places))}

    def files(self) -> list[str]:
        """Everything in the folder, as relative paths."""
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*"))


def place_in(folder: Path) -> Place:
    """A place in an empty folder."""
    place = Place(folder / "here", folder / "temporary")
    place.folder.mkdir()
    place.temporary.mkdir()
    return place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place of the test's own."""
    return place_in(tmp_path)


@pytest.fixture(scope="module")
def shared_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place that a module's tests share."""
    return place_in(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def command_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Runs ``mmu-conformance`` in this process, in an empty folder; a run must not start."""
    from conformance import cli

    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")

    def refuse(*arguments: object) -> None:
        raise AssertionError("a run was started")

    monkeypatch.setattr(cli, "_run_pytest", refuse)

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main.main([str(one) for one in arguments], prog_name="mmu-conformance")
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return run
