"""Hypothesis strategies: the addresses, ranges, permissions and operations worth trying."""
