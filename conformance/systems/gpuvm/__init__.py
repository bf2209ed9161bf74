"""How system ``gpuvm``, the VA manager of a GPU driver, is tried and told."""
