"""How system ``pagetable``, one page table on its own, is tried and told."""
