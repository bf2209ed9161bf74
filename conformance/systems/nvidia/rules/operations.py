"""Which operations of system ``nvidia`` a rule can be about."""

EVERY: frozenset[str] = frozenset(
    {
        "create", "memory", "drop", "get", "put", "map", "map_part", "unmap", "pfn_map",
        "pfn_unmap", "raw_get", "raw_put", "raw_map", "raw_unmap", "raw_sparse", "join", "part",
        "boot", "replay", "stick", "destroy",
    }
)  # fmt: skip
"""All operations of the system."""

MAPPING: frozenset[str] = frozenset(
    {"map", "map_part", "unmap", "pfn_map", "pfn_unmap", "raw_map", "raw_unmap"}
)
"""Those that may change what is mapped."""

COUNTING: frozenset[str] = frozenset(
    {"get", "put", "raw_get", "raw_put", "raw_sparse", "boot", "create", "destroy"}
)
"""Those that may change what is referenced, or sparse."""

CHANGING: frozenset[str] = MAPPING | COUNTING
"""Those that may change tables."""

MAPS: frozenset[str] = frozenset({"map", "map_part", "pfn_map", "raw_map"})
"""Those that map something: by the end of them, no entry may be pending."""
