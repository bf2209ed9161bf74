"""A counterexample as a test of its own, for who has this package and no checkout of it."""

import json
import re
import textwrap

from conformance.discovery import system_by_name
from conformance.registry import make_target
from reference.operations import from_json
from reports.counterexample import Counterexample

_WIDTH = 94
"""Columns of the text at the head of the file."""


def violated(
    system_name: str, target_name: str, lines: str, kernel: str = ""
) -> set[tuple[str, str]]:
    """The identities, (rule, signature), that some operations violate on a target.

    Args:
        system_name: of the system.
        target_name: as on the command line.
        lines: one operation a line, as JSON; arguments that are missing have their defaults.
        kernel: the tree of a linux: target; "" for the one that is found.

    Raises:
        ValueError: an operation, a system or a target that there is not.
        TargetUnavailable: the target cannot be had here.
    """
    system = system_by_name(system_name)
    operations = [from_json(json.loads(line), system.specs) for line in lines.split("\n") if line]
    target = make_target(target_name, kernel or None, lambda text: None, system_name)
    try:
        outcomes = system.session(target, None, None).run_all(operations)
        return {one.identity for outcome in outcomes for one in outcome.violations}
    finally:
        target.close()


def pytest_text(example: Counterexample, kernel: str | None) -> str:
    """A file for pytest: the operations, and that they do not violate this any more.

    ``kernel``: the tree that it names for a linux: target, unless the environment does.
    """
    title = f"{example.rule} on {example.target_name} ({example.system}): {example.views.message}"
    about = [
        *textwrap.wrap(title, _WIDTH),
        "",
        *textwrap.wrap(example.rule_text.sentence, _WIDTH),
        "",
        "Run it with pytest. MMU_TARGET names another target, MMU_KERNEL another kernel's tree.",
    ]
    lines = "\n".join(json.dumps(dict(operation)) for operation in example.operations)
    name = re.sub(r"\W+", "_", f"{example.system}_{example.rule}".lower())
    docstring = "\n".join(about).replace("\\", "\\\\").replace('"""', "'''")
    return f'''"""{docstring}
"""

import os

from conformance.export import violated

TARGET = os.environ.get("MMU_TARGET", {example.target_name!r})
KERNEL = os.environ.get("MMU_KERNEL", {kernel or ""!r})
OPERATIONS = r"""
{lines}
"""


def test_{name}():
    identity = ({example.rule!r}, {example.signature!r})
    assert identity not in violated({example.system!r}, TARGET, OPERATIONS, KERNEL)
'''
