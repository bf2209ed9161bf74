"""Which operations of system ``mali`` a rule can be about."""

EVERY: frozenset[str] = frozenset(
    {
        "create", "vm", "destroy_vm", "bo", "close", "bind", "queue", "fence", "signal", "run",
        "active", "idle", "fault", "stick", "pre_reset", "post_reset", "suspend", "resume",
        "unplug", "close_file", "alloc", "free",
    }
)  # fmt: skip
"""All operations of the system."""

MAPPING: frozenset[str] = frozenset({"bind", "run", "alloc", "free", "destroy_vm", "close_file"})
"""Those that may change what is mapped."""

TABLES: frozenset[str] = MAPPING | {
    "vm", "queue", "idle", "active", "fault", "suspend", "post_reset", "unplug",
}  # fmt: skip
"""Those in which table pages may come, change and go, or an address space takes tables up."""

SWITCHING: frozenset[str] = frozenset(
    {
        "active", "idle", "fault", "suspend", "resume", "post_reset", "unplug", "destroy_vm",
        "close_file", "run", "bind", "alloc", "free",
    }
)  # fmt: skip
"""Those that may have commands of an address space carried out."""
