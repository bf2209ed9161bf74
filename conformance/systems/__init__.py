"""How each system is tried and told; what is right for it is in ``reference.systems``."""
