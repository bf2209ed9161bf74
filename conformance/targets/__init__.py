"""The ways to reach an implementation, each behind the protocol in ``protocol.py``."""
