"""The MMU of a Mali GPU (CSF), and its driver."""
