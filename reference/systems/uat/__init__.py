"""Apple AGX page tables (UAT), shared with a firmware that runs at the same time."""
