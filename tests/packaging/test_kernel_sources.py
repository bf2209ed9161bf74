"""The script that fetches newer kernels: what it takes from a machine's configuration."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / ".ci" / "kernel_sources.py"


@pytest.fixture
def script() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("kernel_sources", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_archive_is_the_one_that_is_configured(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both forms of a list are read; archives of others, and of updates only, are none."""
    files = {
        "/etc/os-release": "NAME=x\nVERSION_CODENAME=bookworm\n",
        "/etc/apt/sources.list": "deb [signed-by=/k/b.gpg] http://b.test/debian bookworm main\n",
        "/etc/apt/sources.list.d/a.sources": (
            "Types: deb\nURIs: http://a.test/debian\nSuites: bookworm bookworm-updates\n"
            "Signed-By: /k/a.gpg\n\n"
            "Types: deb\nURIs: http://s.test/security\nSuites: bookworm-security\n"
        ),
        "/etc/apt/sources.list.d/other.list": "deb http://c.test/apt sdk main\n",
    }
    for name, text in files.items():
        path = tmp_path / name[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(script, "Path", lambda name: tmp_path / name[1:])
    assert script.archives() == [
        ("http://a.test/debian", "/k/a.gpg"),
        ("http://b.test/debian", "/k/b.gpg"),
    ]


def test_each_suite_is_asked_with_a_state_of_its_own(script: ModuleType, tmp_path: Path) -> None:
    apt = script.Apt(tmp_path, [("http://a.test/debian", "/k/a.gpg")])
    lines = (tmp_path / "sources.list").read_text().splitlines()
    assert lines[0] == "deb [signed-by=/k/a.gpg] http://a.test/debian sid main"
    assert len(lines) == len(script.SUITES)
    assert f"-oDir::State={tmp_path}/state" in apt.options
    assert "-oDir::Etc::SourceParts=/dev/null" in apt.options


def test_what_was_fetched_or_is_installed_is_not_fetched_again(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MMU_CONFORMANCE_CACHE", str(tmp_path))
    monkeypatch.setattr(script, "INSTALLED", tmp_path / "usr-src")
    monkeypatch.setattr("sys.argv", ["kernel_sources", "7.3"])
    monkeypatch.setattr(script, "archives", list)
    assert script.main() == 0
    assert capsys.readouterr().out.startswith("SKIPPED: linux-source-7.3: ")
    script.kept().mkdir(parents=True)
    (script.kept() / "linux-source-7.3.tar.xz").touch()
    assert script.main() == 0
    assert capsys.readouterr().out == "present: linux-source-7.3\n"
