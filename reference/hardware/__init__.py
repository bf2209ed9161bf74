"""What the device could still use: memory, walkers, and the maximal TLB."""
