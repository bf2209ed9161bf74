"""One stateful machine for each system."""
