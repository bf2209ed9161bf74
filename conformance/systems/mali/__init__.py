"""How system ``mali``, the MMU code of a Mali (CSF) driver, is tried and told."""
