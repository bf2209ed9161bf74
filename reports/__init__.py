"""Counterexamples as data, results of a run, and the ways in which both are told."""
