"""System ``mali``: what a driver may keep, and cannot do, while a command does not end."""

import pytest

from conformance.discovery import system_by_name
from conformance.registry import make_target
from reference.operations import make

SYSTEM = system_by_name("mali")
MADE: tuple[tuple[str, dict[str, int]], ...] = (("create", {}), ("bo", {}), ("vm", {}))
LARGE = {"bo": 0, "size": 0x20_0000}


def rules(*calls):
    """The rules that the reference breaks by these calls."""
    session = SYSTEM.session(make_target("reference", system="mali"), None, None)
    broken = [
        violation.rule
        for name, args in (*MADE, *calls)
        for violation in session.run(make(name, SYSTEM.specs, **args)).violations
    ]
    outcome = session.finish()
    assert outcome is not None
    return broken + [violation.rule for violation in outcome.violations]


@pytest.mark.parametrize("start", [("active", {}), ("queue", {"bo": 0})])
def test_links_may_be_kept_until_the_reset(start):
    stuck = (("bind", {"bo": 0}), ("stick", {}), ("active", {}), ("bind", {"bo": 0}))
    assert rules(start, *stuck, ("run", {}), ("bind", {"bo": 0})) == []
    assert rules(*stuck, ("pre_reset", {}), ("post_reset", {}), ("bind", {"bo": 0})) == []


def test_a_large_page_is_split_although_nothing_can_be_locked():
    assert rules(("bind", LARGE), ("active", {}), ("stick", {}), ("bind", {"kind": 1})) == []
