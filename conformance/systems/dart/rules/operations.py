"""Which operations of system ``dart`` a rule can be about."""

EVERY: frozenset[str] = frozenset(
    {
        "create", "probe", "remove", "lock", "device", "release", "domain", "free", "attach",
        "detach", "map", "unmap", "flush", "translate", "fault", "stick", "suspend", "resume",
        "shutdown",
    }
)  # fmt: skip
"""All operations of the system."""

SWITCHING: frozenset[str] = frozenset(
    {"probe", "remove", "device", "release", "attach", "detach", "resume", "shutdown"}
)
"""Those that write the registers of streams."""

TABLES: frozenset[str] = frozenset({"probe", "remove", "free", "attach", "map", "unmap"})
"""Those in which tables come, change or go."""

ACCESSING: frozenset[str] = SWITCHING | {"map", "unmap", "flush", "free", "fault"}
"""Those that access registers."""
