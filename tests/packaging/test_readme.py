"""The commands that the README prints are the ones that are kept working."""

import pytest


@pytest.mark.parametrize(
    "command",
    [
        "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/mmu-conformance run",
        "python3 -m venv .venv && .venv/bin/pip install nox && .venv/bin/nox -s tests",
    ],
)
def test_the_readme_prints_the_command(checkout, command):
    lines = (checkout / "README.md").read_text(encoding="utf-8").splitlines()
    assert command in [line.strip() for line in lines]


def test_ci_runs_the_command_of_the_readme(checkout):
    script = (checkout / ".ci" / "run").read_text(encoding="utf-8")
    assert ".venv/bin/pip install nox && .venv/bin/nox -s tests'" in script
