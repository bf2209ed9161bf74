"""The rules of system ``pagetable``."""
