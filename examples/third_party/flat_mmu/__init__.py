"""The flat MMU: one table of sixteen entries, and a bell that makes the device read it again."""
