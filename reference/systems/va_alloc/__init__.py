"""An allocator of addresses."""
