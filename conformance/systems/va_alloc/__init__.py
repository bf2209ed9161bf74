"""How system ``va-alloc``, an allocator of addresses, is tried and told."""
