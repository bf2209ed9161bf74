"""How system ``nvidia``, the MMU code of an NVIDIA driver, is tried and told."""
