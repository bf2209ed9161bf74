"""The conformance suite: rules, machines, targets, pytest plugin and command line."""

__version__ = "0.1.0"
"""The version of the distribution, stated here only."""
