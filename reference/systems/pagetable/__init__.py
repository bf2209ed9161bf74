"""One page table on its own."""
