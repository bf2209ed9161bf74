"""What all of the project's own tests share: how Hypothesis runs, and what the header says."""

import os

from hypothesis import settings

import reference
from reference.build_check import build_info

# The same examples on every run of CI; new ones on every run by hand.
settings.register_profile("tests", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("tests")


def pytest_report_header() -> str:
    """Which model is tested: a stale or shadowing one is seen at once."""
    info = build_info()
    how = f"compiled by mypyc {info.mypyc}" if info.compiled else "interpreted"
    return f"model: {how}, {reference.__path__[0]}"
