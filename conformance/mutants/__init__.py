"""Seeded bugs: small named edits of a reference driver's source, each for one rule to catch."""
