"""What is right for each system: its device, its promise, and a driver that does what is right."""
