"""What is right for each system: its device, its promise, and a driver that does what is right.

A driver takes nothing from a promise, nor a promise from a driver. What both have to reckon (which
calls are refused, which addresses are whose, which entry says what) is reckoned twice, for a
mistake that they shared would not be seen.
"""
