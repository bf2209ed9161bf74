"""The MMU of an NVIDIA GPU (GF100 to GP100), and its driver."""
