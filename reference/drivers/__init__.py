"""One executable specification for each system's software."""
