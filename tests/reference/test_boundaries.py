"""The limits of the hardware model, each pinned from both sides by an example."""
